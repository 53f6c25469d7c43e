/* stack.h - a list of functions applied one after another, as ops in a graph: what checkpoint_sequential takes and what
 * jobs of kind `sequential` say.
 *
 * What flows is a list of tensors [B, N, D]; every function is applied to each of them (with the same parameters),
 * except `add`, which sums the list into one. A layer is a group, repeated; without groups each function is a layer. */
#ifndef REMATD_MODELS_STACK_H
#define REMATD_MODELS_STACK_H

#include "engine/graph/graph.h"

enum stack_kind {
    STACK_LINEAR,     /* out, bias: x W^T + b */
    STACK_FFN,        /* hidden, activation, bias: linear, activation, linear back to D */
    STACK_ATTENTION,  /* heads, kv_heads, mask, kernel, dropout; with projections q, k, v, out, or x split into heads */
    STACK_LAYER_NORM, /* epsilon */
    STACK_RMS_NORM,
    STACK_GELU, /* tanh_form */
    STACK_RELU,
    STACK_SILU,
    STACK_DROPOUT,  /* p, seed */
    STACK_ADD,      /* the list becomes its sum */
    STACK_SCALE,    /* factor */
    STACK_RESIDUAL, /* functions: x + f(x) */
    STACK_LAYER,    /* functions, repeat: outermost only */
    STACK_FUNCTION, /* a user's op_function on the whole list, its results the new list */
    STACK_KINDS
};

/* The name on the wire: "linear", ..., "layer"; STACK_FUNCTION is C only. */
const char *stack_kind_name(enum stack_kind kind);
bool stack_kind_find(const char *name, enum stack_kind *out);

/* Something the caller supplies: handed back in stack_origin.given, never looked into here but for the shape. */
struct stack_given {
    const void *source;
    unsigned rank;
    uint64_t shape[GRAPH_RANK_MAX];
};

struct stack_function {
    enum stack_kind kind;
    uint64_t seed; /* parameters, dropout */
    union {
        struct {
            uint64_t out; /* 0: read from weight */
            bool bias;
            const struct stack_given *weight, *bias_given; /* NULL: from the seed */
        } linear;
        struct {
            uint64_t hidden;
            enum stack_kind activation; /* STACK_GELU, STACK_RELU, STACK_SILU */
            bool tanh_form, bias;
        } ffn;
        struct {
            uint64_t heads, kv_heads;       /* kv_heads 0: as heads */
            uint64_t behind, ahead;         /* attn_mask */
            const struct stack_given *mask; /* added to the scores, rank 2 to 4; NULL: none */
            const struct attn_kernel *kernel;
            struct attn_dropout dropout;
            bool projections, bias;
        } attention;
        struct {
            float epsilon;
            const struct stack_given *weight, *bias; /* NULL: ones and zeros */
        } norm;
        struct {
            bool tanh_form;
        } gelu;
        struct {
            double p;
        } dropout;
        struct {
            float factor;
        } scale;
        struct {
            const struct stack_function *functions;
            uint64_t n_functions;
            uint64_t repeat; /* layer only; >= 1 */
        } group;
        struct op_function function;
    };
};

/* A longer program would take a planner longer than a request may wait. */
#define STACK_OPS_MAX 5000u

/* Where a parameter (or a mask) comes from: `given`, or from the seed. */
struct stack_origin {
    uint32_t tensor;
    const void *given; /* NULL: from the seed */
    uint64_t seed;
    uint32_t domain; /* of rng_fill_normal */
    float deviation; /* of the normal; 0: constant */
    float constant;
};

struct stack {
    uint32_t *inputs, *outputs; /* tensors */
    uint32_t n_inputs, n_outputs;
    struct stack_origin *origins; /* parameters and masks, in the order they were made */
    uint32_t n_origins, origins_room;
};

/* Adds the inputs ("input" or "input.0", ...; shapes[i] of rank 3), the functions and their parameters to g, requests
 * the outputs and every gradient, finishes g. Parameters of linear layers are normal with deviation 1 / sqrt(in) from
 * (function seed, number of the parameter in the stack); biases and norm biases 0, norm weights 1. Problems point into
 * the list: "/functions/1/functions/0/out". */
PROBLEM_MUST_CHECK bool stack_make(struct graph *g, const uint64_t (*shapes)[GRAPH_RANK_MAX], const unsigned *ranks,
                                   uint32_t n_inputs, const struct stack_function *functions, uint64_t n_functions,
                                   struct stack *stack, struct problem *why);

/* Fills a parameter that is not given. */
void stack_origin_fill(const struct stack_origin *origin, float *dst, uint64_t elements);

#endif
