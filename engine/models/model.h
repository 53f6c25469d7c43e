/* model.h - what somebody wants to train, and the graph of one training step of it.
 *
 * A model is described by what differs between families, not by name. model_lower writes the step - embedding, layers,
 * final norm, head, loss - into the one graph; planners do the rest. Everything is made in the graph's arena; any
 * thread. */
#ifndef REMATD_MODELS_MODEL_H
#define REMATD_MODELS_MODEL_H

#include "engine/graph/graph.h"
#include "engine/models/optimizer.h"

enum model_family { MODEL_DECODER, MODEL_ENCODER, MODEL_VISION, MODEL_ENCODER_DECODER };
const char *model_family_name(enum model_family f);
enum model_mlp {
    MODEL_GELU,
    MODEL_GELU_TANH,
    MODEL_RELU,
    MODEL_SILU,
    MODEL_SWIGLU,
    MODEL_GEGLU,
    MODEL_GEGLU_TANH,
    MODEL_REGLU
};
enum model_norm {
    MODEL_LAYERNORM,
    MODEL_RMSNORM,
    MODEL_LAYERNORM_NO_BIAS,
    MODEL_LAYERNORM_PLAIN /* no weight either */
};
enum model_positions {
    MODEL_LEARNED,
    MODEL_ROTARY,
    MODEL_NO_POSITIONS,
    MODEL_ALIBI,   /* no tensor: slopes of the heads by distance (arXiv 2108.12409) */
    MODEL_RELATIVE /* a table of biases by distance, of the first layer's attention, used in all (T5) */
};
/* What a norm of queries and keys runs over: each head with one weight for all, the whole row, or each head with a
 * weight of its own and no bias. */
enum model_qk_norm { MODEL_OVER_HEAD, MODEL_OVER_ROW, MODEL_OVER_EACH_HEAD };

#define MODEL_LAYERS_MAX 1000u
#define MODEL_SIZE_MAX   ((uint64_t)1 << 24) /* of every width, head count, vocabulary, expert count */
#define MODEL_SEQ_MAX    ((uint64_t)1 << 31)
#define MODEL_BATCH_MAX  ((uint64_t)1 << 24)

/* How fast the pairs of a head turn (arXiv 2104.09864): pair i of dim / 2 by theta ^ (-2 i / dim) a position, and what
 * was done to that for sequences longer than those first trained on. */
enum model_rope_scaling {
    MODEL_ROPE_PLAIN,
    MODEL_ROPE_LINEAR,  /* all slower by factor */
    MODEL_ROPE_LLAMA3,  /* slow ones by factor, fast ones not, a ramp between */
    MODEL_ROPE_YARN,    /* the same with another ramp, and longer vectors (arXiv 2309.00071) */
    MODEL_ROPE_DYNAMIC, /* theta grows with what a sequence is longer than max_positions */
    MODEL_ROPE_LONG     /* each pair by a number of its own, and longer vectors (arXiv 2402.13753) */
};
#define MODEL_STRETCH_MAX 128 /* pairs of MODEL_ROPE_LONG */

struct model_rope {
    double theta; /* 0: 10000 */
    enum model_rope_scaling scaling;
    double factor;
    double original_positions; /* of the first training; 0: max_positions */
    double low, high;          /* LLAMA3: turns in that many positions between which the ramp is; YARN: beta_slow and
                                  beta_fast, 0: 1 and 32 */
    bool exact_ramp;           /* YARN: its ends are not rounded to pairs */
    double attention_factor;   /* YARN: of cosine and sine; 0: by magnitude, or 0.1 ln factor + 1 */
    double magnitude, magnitude_all;
};

/* Which layers. */
struct layer_set {
    uint64_t bits[(MODEL_LAYERS_MAX + 63) / 64];
};
static inline bool layer_set_has(const struct layer_set *s, uint32_t layer) {
    return s->bits[layer / 64] >> layer % 64 & 1;
}
static inline void layer_set_add(struct layer_set *s, uint32_t layer) {
    s->bits[layer / 64] |= (uint64_t)1 << layer % 64;
}

struct model {
    enum model_family family;
    uint64_t layers, d_model, heads, kv_heads, head_dim, d_ff, vocab;
    enum model_mlp mlp;
    enum model_norm norm;
    enum model_positions positions;
    uint64_t max_positions;            /* bounds seq_len where positions are learned */
    bool bias_qkv, bias_out, bias_mlp; /* of the attention's input and output projections, of the feed-forward */
    bool tied_embeddings;
    bool no_key_bias; /* with bias_qkv: the keys have none (Whisper) */
    bool qk_norm;     /* a norm of queries and keys */
    enum model_qk_norm qk_norm_over;
    bool sandwich_norm; /* norms also behind attention and feed-forward (gemma2) */
    bool output_norm;   /* x = x + norm(f(x)) (OLMo 2) */
    bool norm_residual; /* x = n + f(n), n = norm(x) (BLOOM, if asked) */
    bool parallel;      /* attention and feed-forward read the same norm, one sum */
    bool two_norms;     /* with parallel: each reads a norm of its own */
    bool embedding_scale;
    bool head_bias;
    bool head_scale; /* what enters the head is scaled */
    bool no_final_norm;
    uint64_t embedding_width; /* 0: d_model; else embeddings are this wide, and projected */
    bool project_bias;        /* of that projection */
    bool project_late;        /* it comes behind positions, types and norm (ELECTRA) */
    struct {
        uint64_t q_rank; /* 0: queries are projected from x */
        uint64_t kv_rank, rope_dim, value_dim;
    } latent;   /* kv_rank 0: none. head_dim counts rope_dim; its own norms have an epsilon of 1e-6 */
    bool sinks; /* one more logit a head (gpt-oss) */
    /* encoders */
    bool bidirectional;   /* every token sees every token */
    bool post_norm;       /* x = norm(x + f(x)) instead of x + f(norm(x)); no final norm */
    bool embedding_norm;  /* a norm behind the embeddings */
    bool mlm_head;        /* before the head: a square linear layer, the activation, a norm; the head has a bias */
    bool spare_head_bias; /* untied, the framework keeps a second bias of the head that nothing reads (BERT, RoBERTa) */
    uint64_t type_vocab;  /* token types, embedded and added; 0: none */
    uint64_t reserved_positions;             /* learned positions that no token takes (2 in RoBERTa) */
    double attention_softcap, final_softcap; /* 0: none */
    uint64_t window;                         /* sliding window; 0: none */
    uint64_t window_pattern; /* every window_pattern-th layer (index % pattern == pattern - 1) is full; 0: all have the
                                window */
    bool window_listed;      /* window_layers says which have it, whatever the pattern */
    struct layer_set window_layers;
    uint64_t experts, experts_per_token; /* 0: dense */
    uint64_t expert_d_ff;                /* width of one expert */
    uint64_t shared_d_ff;                /* width of what every token goes through beside its experts; 0: none */
    bool shared_gate;                    /* behind a gate */
    bool router_bias, expert_bias;
    struct layer_set dense_layers; /* have no experts though the model has */
    /* vision: an image of patches and one token before them; the head reads that token */
    uint64_t image_height, image_width, patch_height, patch_width, channels, classes;
    /* encoder-decoders: layers, heads and d_ff are the decoder's; these the encoder's, 0: as the decoder */
    uint64_t source_layers, source_heads, source_head_dim, source_d_ff;
    bool own_tables; /* untied, encoder and decoder have embeddings of their own, and one is left that nothing reads
                        (BART) */
    uint64_t relative_buckets;
    uint64_t mel_bins, source_positions; /* the encoder hears: two frames of so many bins a position, all positions
                                            (Whisper); 0: it reads tokens */
    /* What changes numbers alone, no shape. */
    double norm_epsilon;         /* 0: 1e-5 */
    double norm_offset;          /* added to the weights of norms (gemma: 1) */
    double attention_divisor;    /* scores are divided by its root; 0: head_dim */
    bool attention_by_depth;     /* and by the layer's number, from 1 */
    bool head_gelu;              /* the activation of mlm_head is gelu whatever mlp is (RoBERTa, ELECTRA) */
    double logit_scale;          /* of the logits; 0: 1 */
    struct model_rope rope;      /* where positions are MODEL_ROTARY */
    struct model_rope rope_near; /* of layers with a window; theta 0: as the others */
    struct {
        uint64_t pairs;
        float within[MODEL_STRETCH_MAX], past[MODEL_STRETCH_MAX]; /* the first training's positions */
    } rope_stretch;                                               /* of MODEL_ROPE_LONG */
    uint64_t rotary_dim;     /* numbers of a head that turn; 0: rotary_share of them */
    double rotary_share;     /* 0: 1 */
    bool rotary_interleaved; /* pairs are neighbours, not half a head apart */
    struct {
        bool normalise, sigmoid; /* as in struct op_route */
        double factor;           /* of the weights; 0: 1 */
        uint64_t groups, kept_groups;
        bool corrected; /* by a number for each expert, which no gradient reaches (DeepSeek-V3) */
    } route;
    uint64_t relative_distance; /* past it all distances share a bucket; 0: 128 */
    const char *missing;        /* a static string: what of its arithmetic no op has; NULL: nothing */
};

/* One training step of it. */
struct workload {
    struct model model;
    uint64_t seq_len, batch;
    uint64_t source_len; /* of the encoder in an encoder-decoder; 0: seq_len, or what the model hears */
    enum dtype dtype;    /* of activations and weights: float32, bfloat16, float16 */
    const struct attn_kernel *attention;
    uint64_t loss_chunk; /* tokens whose logits are there at once, a multiple of 128: a strategy's; 0: all */
    double dropout;      /* after embedding, attention and feed-forward, and on the weights of attention */
    const struct optimizer *optimizer;
    unsigned threads;               /* 0: 1; workspace depends on it */
    uint64_t seed;                  /* of dropout */
    uint64_t gradient_accumulation; /* microbatches of `batch` a step; 0: 1. The graph is of one */
};

/* Fills what is 0 with the defaults of docs/protocol.md (kv_heads = heads, head_dim = d_model / heads, ...). */
void model_defaults(struct model *m);
/* Every bound and contradiction, by the name of the field: "/kv_heads". */
PROBLEM_MUST_CHECK bool model_check(const struct model *m, struct problem *why);
/* Whether its arithmetic is known to the ops, beside their shapes: "/model" and what is missing. Ops refuse what they
 * cannot do themselves. */
PROBLEM_MUST_CHECK bool model_runs(const struct model *m, struct problem *why);
/* Numbers that turn by position, of a head so wide (of latent.rope_dim, where there is one); even. */
uint64_t model_rotary_dim(const struct model *m, uint64_t head_dim);
/* Of cosine and sine, by MODEL_ROPE_YARN's rule for a factor. */
double model_rope_magnitude(double factor, double magnitude);
/* Of the graph: an encoder-decoder's are both stacks', the encoder's first. */
uint64_t model_graph_layers(const struct model *m);
/* What a sequence of it is long: seq_len for all but vision, which has its patches and a token. */
uint64_t model_tokens(const struct model *m);
/* The model's, and "/seq_len" (also past learned positions), "/source_len", "/batch", "/dropout". */
PROBLEM_MUST_CHECK bool workload_check(const struct workload *w, struct problem *why);

/* What the encoder of an encoder-decoder reads. */
uint64_t workload_source_len(const struct workload *w);

/* The step's graph, optimizer bytes included; g is uninitialised. Its output is the loss. */
PROBLEM_MUST_CHECK bool model_lower(const struct workload *w, struct arena *arena, struct graph *g,
                                    struct problem *why);

/* Of a lowered graph: its output; the layer a parameter is of (GRAPH_NONE: none). */
uint32_t model_loss(const struct graph *g);
uint32_t model_parameter_layer(const struct graph *g, uint32_t parameter);
/* What one sequence of it counts as, in tokens. */
uint64_t model_workload_tokens(const struct workload *w);

/* Elements of all parameters of a lowered graph, as frameworks count them. */
uint64_t model_parameters(const struct graph *g);

/* What lives across steps, outside the slab; their sum is graph_persistent_bytes. */
struct model_persistent {
    uint64_t parameters_bytes, gradients_bytes, optimizer_bytes;
};
struct model_persistent model_persistent(const struct graph *g);

#endif
