/* graph.h - ops and tensors: the one form everything takes before anything is decided.
 *
 * A graph is built in an arena, op after op in execution order, and is read-only afterwards: any number of threads may
 * read it. Tensors are numbered in the order they are made; ops likewise. */
#ifndef REMATD_GRAPH_GRAPH_H
#define REMATD_GRAPH_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/problem.h"
#include "engine/graph/op.h"

#define GRAPH_NONE        UINT32_MAX
#define GRAPH_RANK_MAX    8
#define GRAPH_TENSORS_MAX (1u << 22)

enum tensor_role {
    TENSOR_INPUT,     /* given before the run, lives in the slab */
    TENSOR_PARAMETER, /* persistent: outside the slab, and its gradient too */
    TENSOR_MADE,      /* an op's output */
};

struct tensor {
    const char *name;
    enum tensor_role role;
    enum dtype dtype;
    unsigned rank;
    uint64_t shape[GRAPH_RANK_MAX];
    uint64_t elements, bytes;
    uint32_t producer;   /* op, or GRAPH_NONE */
    uint32_t storage;    /* its own id; for a view, that of the tensor whose bytes it is */
    bool needs_grad;     /* a gradient flows through it */
    bool requested;      /* an output of the whole graph: alive at the end; its gradient is given */
    bool grad_requested; /* its gradient is an output of the whole graph: alive at the end */
};

struct graph {
    struct arena *arena;
    unsigned threads; /* workspace is asked for this many */
    bool backward;    /* whether gradients are wanted at all */
    struct tensor *tensors;
    uint32_t n_tensors, tensors_room;
    struct op *ops;
    uint32_t n_ops, ops_room;
    uint64_t optimizer_bytes; /* persistent bytes beside parameters and gradients; set before it is planned */
    bool borrow_names;        /* names given outlive the graph and are not copied; set right after graph_init */
    uint32_t layers;          /* 1 + the largest op layer; set by graph_finish */
};

/* In the arena; threads >= 1. */
PROBLEM_MUST_CHECK bool graph_init(struct graph *g, struct arena *arena, unsigned threads, bool backward,
                                   struct problem *why);

/* Room for so many tensors and ops at once, for those who know; nothing is promised beyond speed. */
PROBLEM_MUST_CHECK bool graph_reserve(struct graph *g, uint32_t tensors, uint32_t ops, struct problem *why);

/* A tensor that no op makes. Names are copied. GRAPH_NONE with a problem (PROBLEM_LIMIT "/shape/0" ...) on sizes of 0,
 * rank over 8 or more than 2^62 bytes. */
uint32_t graph_tensor(struct graph *g, enum tensor_role role, const char *name, enum dtype dtype, unsigned rank,
                      const uint64_t *shape, bool needs_grad, struct problem *why);

/* The same bytes under another shape (as many elements): costs nothing, is no step, and its gradient is the gradient of
 * what it is a view of. An op reads it like any tensor. */
uint32_t graph_view(struct graph *g, uint32_t of, unsigned rank, const uint64_t *shape, struct problem *why);

/* Appends an op: *spec is copied, its inputs are tensor ids; the row of op_table checks shapes and makes the outputs,
 * named "NAME" (or "NAME.aux"). Returns the op's id or GRAPH_NONE. Its results are graph_result(g, op, 0...). */
uint32_t graph_op(struct graph *g, const struct op *spec, struct problem *why);
uint32_t graph_result(const struct graph *g, uint32_t op, uint32_t index);

/* Marks what the graph is for. */
void graph_request(struct graph *g, uint32_t tensor);
void graph_request_grad(struct graph *g, uint32_t tensor);

/* Counts layers; call once, when complete. Checks that something is requested, and that all bytes and FLOPs of the
 * graph together can be counted (PROBLEM_LIMIT). */
PROBLEM_MUST_CHECK bool graph_finish(struct graph *g, struct problem *why);

/* Whether a tensor is a parameter that has a gradient. */
static inline bool graph_is_trained(const struct graph *g, uint32_t tensor) {
    return g->tensors[tensor].role == TENSOR_PARAMETER && g->tensors[tensor].needs_grad;
}

/* Parameters, their gradients where the graph has a backward, and optimizer_bytes: exact bytes. */
uint64_t graph_persistent_bytes(const struct graph *g);

/* Used by the rows of op_table while an op is being added. */
uint32_t graph_output(struct graph *g, struct op *op, const char *suffix, enum dtype dtype, unsigned rank,
                      const uint64_t *shape, bool result, struct problem *why);
PROBLEM_MUST_CHECK bool graph_save(struct graph *g, struct op *op, uint32_t tensor, struct problem *why);

#endif
