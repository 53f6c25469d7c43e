/* model.h - what somebody wants to train, and the graph of one training step of it.
 *
 * A model is described by what differs between families, not by name. model_lower writes the step - embedding, layers,
 * final norm, head, loss - into the one graph; planners do the rest. Everything is made in the graph's arena; any
 * thread. */
#ifndef REMATD_MODELS_MODEL_H
#define REMATD_MODELS_MODEL_H

#include "engine/graph/graph.h"
#include "engine/models/optimizer.h"

enum model_family { MODEL_DECODER, MODEL_ENCODER };
enum model_mlp { MODEL_GELU, MODEL_GELU_TANH, MODEL_RELU, MODEL_SILU, MODEL_SWIGLU, MODEL_GEGLU };
enum model_norm { MODEL_LAYERNORM, MODEL_RMSNORM };
enum model_positions { MODEL_LEARNED, MODEL_ROTARY, MODEL_NO_POSITIONS };

#define MODEL_LAYERS_MAX 1000u
#define MODEL_SIZE_MAX   ((uint64_t)1 << 24) /* of every width, head count, vocabulary, expert count */
#define MODEL_SEQ_MAX    ((uint64_t)1 << 31)
#define MODEL_BATCH_MAX  ((uint64_t)1 << 24)

struct model {
    enum model_family family;
    uint64_t layers, d_model, heads, kv_heads, head_dim, d_ff, vocab;
    enum model_mlp mlp;
    enum model_norm norm;
    enum model_positions positions;
    uint64_t max_positions;            /* bounds seq_len where positions are learned */
    bool bias_qkv, bias_out, bias_mlp; /* of the attention's input and output projections, of the feed-forward */
    bool tied_embeddings;
    bool qk_norm;       /* RMS norm of every query and key head */
    bool sandwich_norm; /* norms also behind attention and feed-forward (gemma2) */
    bool parallel;      /* attention and feed-forward read the same norm, one sum */
    bool embedding_scale;
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
    uint64_t experts, experts_per_token; /* 0: dense */
    uint64_t expert_d_ff;                /* width of one expert */
};

/* One training step of it. */
struct workload {
    struct model model;
    uint64_t seq_len, batch;
    enum dtype dtype; /* of activations and weights: float32, bfloat16, float16 */
    const struct attn_kernel *attention;
    double dropout; /* after embedding, attention and feed-forward, and on the weights of attention */
    const struct optimizer *optimizer;
    unsigned threads;               /* 0: 1; workspace depends on it */
    uint64_t gradient_accumulation; /* microbatches of `batch` a step; 0: 1. The graph is of one */
};

/* Fills what is 0 with the defaults of docs/protocol.md (kv_heads = heads, head_dim = d_model / heads, ...). */
void model_defaults(struct model *m);
/* Every bound and contradiction, by the name of the field: "/kv_heads". */
PROBLEM_MUST_CHECK bool model_check(const struct model *m, struct problem *why);
/* The model's, and "/seq_len" (also past learned positions), "/batch", "/dropout". */
PROBLEM_MUST_CHECK bool workload_check(const struct workload *w, struct problem *why);

/* The step's graph, optimizer bytes included; g is uninitialised. Its output is the loss. */
PROBLEM_MUST_CHECK bool model_lower(const struct workload *w, struct arena *arena, struct graph *g,
                                    struct problem *why);

/* Elements of all parameters of a lowered graph. */
uint64_t model_parameters(const struct graph *g);

/* What lives across steps, outside the slab; their sum is graph_persistent_bytes. */
struct model_persistent {
    uint64_t parameters_bytes, gradients_bytes, optimizer_bytes;
};
struct model_persistent model_persistent(const struct graph *g);

#endif
