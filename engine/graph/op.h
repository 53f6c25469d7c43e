/* op.h - what an op is, and the table of all of them. To add one: a file op_NAME.c with its row, a line in op_table. */
#ifndef REMATD_GRAPH_OP_H
#define REMATD_GRAPH_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/problem.h"
#include "engine/kernels/attn.h"

struct graph;
struct pool;

enum dtype {
    DTYPE_FLOAT32,
    DTYPE_BFLOAT16,
    DTYPE_FLOAT16,
    DTYPE_FLOAT64,
    DTYPE_INT64,
    DTYPE_INT32,
    DTYPE_UINT8,
    DTYPES
};
uint64_t dtype_bytes(enum dtype d);
const char *dtype_name(enum dtype d); /* "float32", ... */
bool dtype_find(const char *name, enum dtype *out);

enum op_kind {
    OP_ATTENTION, /* q, k, v [, bias] [, sinks [heads]] -> o ; aux by kernel */
    OP_LINEAR,    /* x [.., in], weight [out, in] [, bias [out]] -> [.., out] */
    OP_GELU,      /* x -> gelu(x), erf or tanh form */
    OP_RELU,
    OP_SILU,
    /* weight [n], or [H, n] for x [.., H, n]; the factor is norm.offset + weight, 1 without a weight */
    OP_LAYER_NORM, /* x [.., n] [, weight [, bias [n]]] -> [.., n]; aux mean, rstd [..] */
    OP_RMS_NORM,   /* x [.., n] [, weight] -> [.., n]; aux rstd [..] */
    OP_DROPOUT,    /* x -> x keep / (1 - p): Philox, key = seed, counter (i / 4 low, i / 4 high, 0, RNG_DROPOUT), lane i
                      mod 4 */
    OP_ADD,        /* a, b (same shape) -> a + b */
    OP_SCALE,      /* x -> factor x */
    /* What models of families are made of beside those. */
    OP_EMBEDDING,            /* ids [..] int32, table [V, d] -> [.., d] */
    OP_POSITIONS,            /* x [.., N, d], table [P, d] with P >= N -> x + table[0..N) */
    OP_ROTARY,               /* x [.., d] -> x rotated by position */
    OP_GATED,                /* gate, up (same shape) -> activation(gate) up */
    OP_LINEAR_CROSS_ENTROPY, /* x [.., d], weight [V, d], targets [..] int32 [, bias [V]] -> mean loss [1] float32 over
                                targets in [0, V); aux log_sum_exp [..], and with chunk 0 logits [.., V] */
    OP_ROUTE,    /* logits [.., E] [, correction [E]] -> weights [T, k] float32, experts [T, k] int32; aux probabilities
                    [T, E] float32 */
    OP_DISPATCH, /* x [.., d], experts [T, k] -> [T k, d]: each token once per expert it goes to */
    OP_EXPERT_LINEAR, /* x [T k, in], experts, weight [E, out, in] [, bias [E, out]] -> [T k, out] */
    OP_COMBINE,       /* y [T k, d], weights [T, k], experts [T, k] -> [T, d] */
    OP_TOKEN_GATE,    /* x [.., d], gate [.., 1] -> sigmoid(gate) x */
    OP_CONVOLUTION,   /* x [B, spatial.., C], weight [out, window.., C] [, bias [out]] -> [B, spatial'.., out] */
    OP_PREPEND,       /* x [B, N, d], token [d] -> [B, 1 + N, d], the token first */
    OP_TAKE_TOKEN,    /* x [B, N, d] -> [B, d]: the first token */
    OP_RELATIVE_BIAS, /* table [buckets, heads] -> [heads, n_q, n_k]: what attention adds by distance */
    OP_SPLIT,         /* x [.., a + b] -> [.., a], [.., b] */
    OP_LATENT_KEYS,   /* kv [.., H (n + d_v)], rope [.., r] -> k [.., H (n + r)], v [.., H d_v]: each head's own n
                         numbers, then the r that all heads share */
    OP_FUNCTION,      /* somebody's forward and backward */
    OP_KINDS
};

/* The parts of a layer that a selective strategy may name; an op may belong to several. */
enum op_part {
    PART_ATTENTION = 1,      /* the attention sub-layer */
    PART_ATTENTION_CORE = 2, /* scores, softmax, dropout, product */
    PART_MLP = 4,
    PART_NORM = 8,
};

/* How [B, H, N, d] lies in the attention op's tensors. */
enum attn_layout {
    ATTN_HEADS_FIRST, /* tensors are [B, H, N, d] */
    ATTN_ROWS_FIRST,  /* tensors are [B, N, H d]: what linear layers make */
};

struct op_attention {
    const struct attn_kernel *kernel;
    enum attn_layout layout;
    uint64_t heads, kv_heads; /* read where layout is ATTN_ROWS_FIRST, else from the shapes */
    uint64_t behind, ahead;   /* attn_mask; ATTN_FAR is open */
    float scale;              /* 0: 1 / sqrt(d) */
    struct attn_dropout dropout;
    bool sinks;    /* the last input: one more logit a head, that nothing is taken from */
    float softcap; /* scores become cap tanh(score / cap); 0: none */
    bool alibi;    /* scores of head h lose attn_alibi_slope(h, heads) times the distance */
};

/* Positions as rotations (arXiv 2104.09864) of `dim` numbers of each head: pair i of position p turns by p f[i]. */
struct op_rotary {
    uint64_t heads, dim;      /* dim even; 0: the whole head */
    bool last;                /* it is the last dim numbers of a head that turn, else the first */
    bool interleaved;         /* pairs are (2 i, 2 i + 1), else (i, i + dim / 2) */
    const float *frequencies; /* [dim / 2], outlives the graph */
    float factor;             /* of cosine and sine; 0: 1 */
};

/* What a gate goes through. */
enum gate { GATE_SILU, GATE_GELU, GATE_GELU_TANH, GATE_RELU, GATES };

struct op_route {
    uint64_t per_token;
    bool normalise;               /* the chosen weights are divided by their sum */
    bool sigmoid;                 /* of each logit, in place of a softmax over all */
    float factor;                 /* of the weights; 0: 1 */
    uint64_t groups, kept_groups; /* experts are chosen from the best groups of neighbours alone; groups 0 or 1: all */
};

/* A user's op. Pointers are float32 data of the shapes given; each function runs on one thread at a time.
 * forward writes outputs and saved. backward adds into the non-NULL d_inputs; it sees inputs only if keeps_inputs,
 * saved always. Both get workspace_bytes of scratch. false stops the run with PROBLEM_STATE and the function's name. */
struct op_function {
    void *context;
    bool (*forward)(void *context, const float *const *inputs, float *const *outputs, float *const *saved, void *work);
    bool (*backward)(void *context, const float *const *inputs, const float *const *saved,
                     const float *const *d_outputs, float *const *d_inputs, void *work);
    uint32_t n_results, n_saved;
    const unsigned *ranks;       /* of results, then saved */
    const uint64_t (*shapes)[8]; /* of results, then saved */
    bool keeps_inputs;
    uint64_t forward_flops, backward_flops, workspace_bytes;
};

struct op {
    enum op_kind kind;
    const char *name;
    const uint32_t *inputs; /* tensor ids */
    uint32_t n_inputs;
    uint32_t layer; /* 0, 1, ...; GRAPH_NONE outside every layer */
    unsigned parts; /* enum op_part */
    union {
        struct op_attention attention;
        struct {
            bool tanh_form;
        } gelu;
        struct {
            uint64_t out;
        } linear; /* 0: read from weight */
        struct {
            float epsilon;
            float offset; /* added to the weight (gemma: 1) */
        } norm;
        struct {
            double p;
            uint64_t seed;
        } dropout;
        struct {
            float factor;
        } scale;
        struct op_route route;
        struct op_rotary rotary;
        struct {
            enum gate gate;
        } gated;
        struct {
            uint64_t first; /* row of the table for position 0 */
        } positions;
        struct {
            uint64_t stride[2], padding[2]; /* along each spatial dimension; stride >= 1 */
        } convolution;
        struct {
            uint64_t n_q, n_k;
            bool bidirectional;    /* later keys have buckets of their own */
            uint64_t max_distance; /* of the last bucket; 0: 128 */
        } relative_bias;
        struct {
            uint64_t first; /* a */
        } split;
        struct {
            uint64_t heads, value_dim;
        } latent_keys;
        struct {
            uint64_t chunk; /* a multiple of 128; 0: logits are whole */
            float cap;      /* logits become cap tanh(logit / cap); 0: none */
            float scale;    /* of x weight^T; 0: 1 */
        } linear_cross_entropy;
        struct op_function function;
    };
    /* filled in by graph_op: */
    uint32_t *outputs; /* results, then what is made for the backward alone */
    uint32_t n_outputs, n_results;
    const uint32_t *reads; /* the storages of its inputs: where an input is a view, what it is a view of */
    uint32_t *saved;       /* storages its grad reads; parameters among them are not activations */
    uint32_t n_saved;
    bool needs_grad;
    uint64_t forward_flops, backward_flops;
    uint64_t forward_work_bytes, backward_work_bytes; /* for graph.threads; duplicates of inputs included */
};

/* One run or grad of one op. Arrays are indexed like op.inputs and op.outputs. */
struct op_call {
    const struct graph *graph;
    const struct op *op;
    struct pool *pool;
    const void *const *inputs;    /* backward: NULL where not in op.saved (parameters are always there) */
    void *const *outputs;         /* forward: all, to be written. backward: NULL where not saved */
    const void *const *d_outputs; /* backward: one per result; NULL only where a result has no gradient */
    void *const *d_inputs;        /* backward: ADD into it; NULL where no gradient is wanted */
    void *work;
    uint64_t pass; /* which run of the plan over the same parameters this is: 0, 1, ...; dropout draws anew in each */
};

/* The seed of an op's dropout in one pass: the op's own in pass 0, others after it; a recomputation is in its pass. */
uint64_t op_pass_seed(uint64_t seed, uint64_t pass);

struct op_row {
    const char *name;
    bool narrow; /* its kernels read and write bfloat16 too, not float32 alone */
    /* Checks input shapes (`where` is "/inputs/1", ...), makes outputs with graph_output and marks what is saved with
     * graph_save, sets flops and work bytes (for graph.threads, multiples of 64). */
    bool (*shape)(struct graph *g, struct op *op, struct problem *why);
    /* Whether the kernels know this op of theirs; NULL: every one. PROBLEM_UNSUPPORTED if not. */
    bool (*runs)(const struct graph *g, const struct op *op, struct problem *why);
    bool (*forward)(const struct op_call *c, struct problem *why);
    bool (*backward)(const struct op_call *c, struct problem *why);
    /* double precision forward of results alone: in[i], out[r] contiguous doubles; scratch-free or own stack only.
     * NULL for OP_FUNCTION. scratch holds (largest tensor's elements) doubles. */
    void (*reference)(const struct graph *g, const struct op *op, const double *const *in, double *const *out,
                      double *scratch);
};

extern const struct op_row *const op_table[OP_KINDS];

/* Rows of op_table, one file each. */
extern const struct op_row op_attention_row, op_linear_row, op_gelu_row, op_relu_row, op_silu_row, op_layer_norm_row,
    op_rms_norm_row, op_dropout_row, op_add_row, op_scale_row, op_embedding_row, op_positions_row, op_rotary_row,
    op_gated_row, op_linear_cross_entropy_row, op_route_row, op_dispatch_row, op_expert_linear_row, op_combine_row,
    op_token_gate_row, op_convolution_row, op_prepend_row, op_take_token_row, op_relative_bias_row, op_split_row,
    op_latent_keys_row, op_function_row;

/* An op that reads one tensor more than once has at most this many inputs. */
#define OP_INPUTS_REPEATING 64u

/* *bytes = what the wrapper below needs for inputs that occur more than once; part of op.backward_work_bytes, at its
 * end. */
PROBLEM_MUST_CHECK bool op_repeat_bytes(const struct graph *g, const struct op *op, uint64_t *bytes);

/* The wrappers the executor calls: they give an input that occurs twice a gradient of its own and add the two in order.
 */
PROBLEM_MUST_CHECK bool op_forward(const struct op_call *c, struct problem *why);
PROBLEM_MUST_CHECK bool op_backward(const struct op_call *c, struct problem *why);

#endif
