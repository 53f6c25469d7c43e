/* op.c - the op table's lookups, dtypes, and the wrappers the executor calls; see op.h.
 *
 * A kernel may write the gradients of its inputs from several threads at once, so it must never be handed the same
 * buffer twice. An op that reads one tensor twice (attention with q = k = v) gets a buffer of its own for each further
 * occurrence, at the end of its workspace; they are added here, in input order. */
#include "engine/graph/op.h"

#include <string.h>

#include "engine/base/units.h"
#include "engine/graph/graph.h"
#include "engine/kernels/eltwise.h"

static const struct {
    const char *name;
    uint64_t bytes;
} dtypes[] = {
    [DTYPE_FLOAT32] = {"float32", 4}, [DTYPE_BFLOAT16] = {"bfloat16", 2}, [DTYPE_FLOAT16] = {"float16", 2},
    [DTYPE_FLOAT64] = {"float64", 8}, [DTYPE_INT64] = {"int64", 8},       [DTYPE_INT32] = {"int32", 4},
    [DTYPE_UINT8] = {"uint8", 1},
};
_Static_assert(sizeof dtypes / sizeof dtypes[0] == DTYPES, "one row per dtype");

uint64_t dtype_bytes(enum dtype d) {
    return dtypes[d].bytes;
}

const char *dtype_name(enum dtype d) {
    return dtypes[d].name;
}

bool dtype_find(const char *name, enum dtype *out) {
    for (unsigned d = 0; d < DTYPES; d++)
        if (strcmp(dtypes[d].name, name) == 0) {
            *out = (enum dtype)d;
            return true;
        }
    return false;
}

/* The first input that reads the same tensor as input i. */
static uint32_t first_reader(const struct op *op, uint32_t i) {
    uint32_t first = 0;
    while (op->reads[first] != op->reads[i])
        first++;
    return first;
}

bool op_repeat_bytes(const struct graph *g, const struct op *op, uint64_t *bytes) {
    *bytes = 0;
    for (uint32_t i = 0; i < op->n_inputs; i++)
        if (first_reader(op, i) != i && !units_add(*bytes, units_extent(g->tensors[op->inputs[i]].bytes), bytes))
            return false;
    return true;
}

bool op_forward(const struct op_call *c, struct problem *why) {
    return op_table[c->op->kind]->forward(c, why);
}

bool op_backward(const struct op_call *c, struct problem *why) {
    const struct op *op = c->op;
    uint64_t repeat_bytes;
    if (!op_repeat_bytes(c->graph, op, &repeat_bytes) || repeat_bytes == 0)
        return op_table[op->kind]->backward(c, why);

    struct op_call own = *c;
    void *d_inputs[OP_INPUTS_REPEATING];
    unsigned char *next = (unsigned char *)c->work + op->backward_work_bytes - repeat_bytes;
    for (uint32_t i = 0; i < op->n_inputs; i++) {
        d_inputs[i] = c->d_inputs[i];
        if (first_reader(op, i) == i)
            continue;
        uint64_t bytes = units_extent(c->graph->tensors[op->inputs[i]].bytes);
        if (d_inputs[i])
            d_inputs[i] = memset(next, 0, bytes);
        next += bytes;
    }
    own.d_inputs = d_inputs;
    if (!op_table[op->kind]->backward(&own, why))
        return false;
    for (uint32_t i = 0; i < op->n_inputs; i++) {
        const struct tensor *t = &c->graph->tensors[op->inputs[i]];
        const bool narrow = t->dtype == DTYPE_BFLOAT16;
        if (d_inputs[i] != c->d_inputs[i])
            eltwise_accumulate(c->pool, t->elements, 1, (struct numbers){d_inputs[i], narrow},
                               (struct numbers){c->d_inputs[i], narrow});
    }
    return true;
}
