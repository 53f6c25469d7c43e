/* attn.h - scaled dot-product attention, forward and backward: shapes, masks, the kernel table.
 *
 *   S_ij = cap(scale sum_c q_ic k_jc) - slope |p_i - j| + bias_ij   (minus infinity where the mask forbids)
 *   P_ij = softmax over j of S_ij and the sink, of which nothing is taken
 *                                            (a row with nothing allowed is all zeros)
 *   O_ic = sum_j D_ij P_ij v_jc              (D: dropout, kept entries / (1 - p))
 *
 * Cap, slope, bias and sink are there where struct attn_mask says so. float32 throughout (attn_narrow.h: what else).
 * Kernels allocate nothing, keep no state, and write each output element from one thread in an order that depends on
 * shapes alone: same input, same bits, any number of threads. */
#ifndef REMATD_KERNELS_ATTN_H
#define REMATD_KERNELS_ATTN_H

#include <stdbool.h>
#include <stdint.h>

struct pool;

/* Floats from one element to the next along batch, head and row; the last dimension is contiguous. */
struct attn_stride {
    uint64_t batch, head, row;
};

/* q [batch, heads, n_q, d]; k [batch, kv_heads, n_k, d]; v, o the same of value_dim; heads a multiple of kv_heads:
 * query head h reads key head h / (heads / kv_heads). All sizes >= 1. Gradients have the strides of what they are
 * gradients of. */
struct attn_shape {
    uint64_t batch, heads, kv_heads, n_q, n_k, d;
    struct attn_stride q, k, v, o;
    uint64_t value_dim; /* 0: d */
    /* A call may be a part of a larger one: its head (0, 0) is number b heads + h there, of so many heads a batch. */
    uint64_t first_head, all_heads; /* all_heads 0: heads */
};

static inline uint64_t attn_value_dim(const struct attn_shape *s) {
    return s->value_dim ? s->value_dim : s->d;
}

/* What dropout counts heads by. */
static inline uint64_t attn_head_number(const struct attn_shape *s, uint64_t b, uint64_t h) {
    return s->first_head + b * s->heads + h;
}

#define ATTN_FAR UINT64_MAX

/* Query i stands at p = i + n_k - n_q (may be negative). Key j is allowed iff p - j < behind and j - p < ahead.
 *   none: behind = ahead = ATTN_FAR; causal: ahead = 1;
 *   window w: behind = w, ahead = 1; two-sided w: behind = ahead = w.
 * bias (or NULL) is added to the scaled scores; minus infinity forbids. bias_stride: batch, head, query, key;
 * 0 = broadcast, and a gradient of it is the sum over what it is broadcast to. */
struct attn_mask {
    uint64_t behind, ahead;
    const float *bias;
    uint64_t bias_stride[4];
    const float *sinks; /* [heads], or NULL: one more logit of every row of the head; nothing forbids it */
    float softcap;      /* cap(x) = softcap tanh(x / softcap); 0: none */
    bool alibi;         /* slope is attn_alibi_slope of the head */
};

/* ALiBi (arXiv 2108.12409, section 3): 2^(-8 / n), its square, ... for n heads, n a power of two; of any other number
 * of heads those that are left over take every second slope of 2 n heads. */
float attn_alibi_slope(uint64_t head, uint64_t heads);
/* The slope of head h of batch b, 0 without ALiBi; and what it takes from query i's score of key j. */
float attn_slope(const struct attn_shape *s, const struct attn_mask *m, uint64_t b, uint64_t h);
static inline uint64_t attn_distance(const struct attn_shape *s, uint64_t i, uint64_t j) {
    const uint64_t p = i + s->n_k, at = j + s->n_q;
    return p > at ? p - at : at - p;
}

/* The keys query i may see by position alone: [*lo, *hi), empty where lo == hi. */
void attn_key_range(const struct attn_shape *s, const struct attn_mask *m, uint64_t i, uint64_t *lo, uint64_t *hi);
/* Allowed (query, key) pairs of one head by position alone (a bias counts as allowed). */
uint64_t attn_pairs(const struct attn_shape *s, const struct attn_mask *m);

/* Dropout on the weights: entry (b, h, i, j) is kept iff word >= rng_threshold(p), word = lane j mod 4 of
 * rng_words(seed, j / 4, i, attn_head_number, RNG_ATTENTION_DROPOUT). p = 0 is off. */
struct attn_dropout {
    double p;
    uint64_t seed;
};

struct attn_call {
    struct attn_shape shape;
    struct attn_mask mask;
    float scale;
    struct attn_dropout dropout;
    struct pool *pool; /* NULL: this thread alone */
    const float *q, *k, *v;
    float *o;   /* forward: written. backward: read, NULL where the kernel does not save it */
    float *aux; /* forward: written. backward: read */
    const float *d_o;
    float *d_q, *d_k, *d_v; /* backward: added into; NULL where not wanted. Never overlap each other */
    float *d_bias;          /* the same, laid out as mask.bias_stride says */
    float *d_sinks;         /* the same, [heads] */
    void *work;             /* work_bytes(shape, mask, backward, threads), 64-byte aligned, content undefined */
};

struct attn_kernel {
    const char *name;
    const char *description;
    const char *aux_name;                   /* what it makes for the backward: "weights", "log_sum_exp" */
    bool saves_output;                      /* its backward reads o */
    bool rereads_bias;                      /* its backward reads mask.bias; where there are sinks, any kernel's does */
    unsigned forward_flops, backward_flops; /* per allowed pair and per element of d: 4 and 8 or 10 */
    /* aux rank 3 or 4: [batch, heads, n_q] or [batch, heads, n_q, n_k]; returns the rank */
    unsigned (*aux_shape)(const struct attn_shape *s, uint64_t shape[4]);
    /* Tight: every call writes the last 64 bytes of it and nothing beyond (tests check). Must not overflow for any
     * shape whose tensors fit 2^62 bytes. */
    uint64_t (*work_bytes)(const struct attn_shape *s, const struct attn_mask *m, bool backward, unsigned threads);
    void (*forward)(const struct attn_call *c);
    void (*backward)(const struct attn_call *c);
};

extern const struct attn_kernel attn_table[];
extern const unsigned attn_table_length;
enum { ATTN_STANDARD, ATTN_FLASH };                    /* rows of attn_table */
const struct attn_kernel *attn_find(const char *name); /* static, or NULL */

/* The judge: double precision, contiguous [batch, heads, n, d] whatever the strides say, one thread, allocation free;
 * gradients of q, k and v.
 * Gradients are written (not added); d_o NULL does the forward alone. weights: scratch of n_k doubles per call,
 * d_weights the same. */
void attn_ref(const struct attn_shape *s, const struct attn_mask *m, double scale, const struct attn_dropout *dropout,
              const double *q, const double *k, const double *v, double *o, const double *d_o, double *d_q, double *d_k,
              double *d_v, double *weights, double *d_weights);

#endif
