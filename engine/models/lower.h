/* lower.h - the words in which model_lower and its parts write a training step into a graph. For engine/models alone.
 *
 * Tensors are [batch, seq_len, width]; heads lie side by side in a row, as linear layers make them. Names are static:
 * the layer stands beside them (graph.borrow_names). Each word gives GRAPH_NONE, with the problem in l->why, where an
 * input is GRAPH_NONE or the graph refuses. */
#ifndef REMATD_MODELS_LOWER_H
#define REMATD_MODELS_LOWER_H

#include "engine/models/model.h"

/* Where ops are written, and the sizes of the stack they are written for. */
struct lowering {
    const struct workload *w;
    const struct model *m;
    struct graph *g;
    uint32_t layer; /* of the graph */
    unsigned parts;
    struct problem *why;
    /* of the encoder's or the decoder's stack */
    uint32_t index; /* the layer within the stack */
    uint64_t heads, kv_heads, head_dim, d_ff, tokens;
    bool bidirectional;
    uint32_t memory;        /* what cross-attention reads, or GRAPH_NONE */
    uint32_t relative_bias; /* what self-attention adds, or GRAPH_NONE */
    struct {
        const float *frequencies;
        float factor;
    } rope[2]; /* made when first asked for, in the graph's arena: of layers without a window, and with */
};

/* What draws the dropout of the op that is written next: two rounds of SplitMix64, which keep every pair of the
 * workload's seed and the op's number apart. */
uint64_t lower_seed(const struct lowering *l);
/* Whether the layer sees a window alone. */
bool lower_windowed(const struct lowering *l);
/* x [batch, tokens, heads width] with its heads turned by position; in lower_rotary.c. */
uint32_t lower_rotary(struct lowering *l, const char *name, uint32_t x, uint64_t heads);

uint32_t lower_parameter(struct lowering *l, const char *name, unsigned rank, const uint64_t *shape);
uint32_t lower_ops(struct lowering *l, const char *name, struct op spec, const uint32_t *inputs, uint32_t n);
uint32_t lower_result(struct lowering *l, uint32_t op, uint32_t i);
/* lower_ops and its first result. */
uint32_t lower_op(struct lowering *l, const char *name, struct op spec, const uint32_t *inputs, uint32_t n);
uint32_t lower_view(struct lowering *l, uint32_t x, unsigned rank, const uint64_t *shape);

/* Of an op, its weight and its bias. */
#define LOWER_NAMES(n) ((const char *const[]){n, n ".weight", n ".bias"})
uint32_t lower_linear(struct lowering *l, const char *const names[3], uint32_t x, uint64_t in, uint64_t out, bool bias);
uint32_t lower_norm(struct lowering *l, const char *const names[3], uint32_t x, uint64_t width);
/* The model's norm, without inputs. */
struct op lower_norm_op(const struct model *m);
uint32_t lower_dropout(struct lowering *l, const char *name, uint32_t x);
uint32_t lower_add(struct lowering *l, const char *name, uint32_t a, uint32_t b);

/* The model's activation; a gated one reads gate and up. */
bool lower_is_gated(const struct model *m);
struct op lower_activation(enum model_mlp mlp);

/* x -> the sub-layer's output, before the residual. In lower_attention.c and lower_mlp.c. */
uint32_t lower_attention(struct lowering *l, uint32_t x);
uint32_t lower_cross_attention(struct lowering *l, uint32_t x);
uint32_t lower_feed_forward(struct lowering *l, uint32_t x);

#endif
