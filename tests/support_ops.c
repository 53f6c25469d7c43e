/* support_ops.c - see support_ops.h */
#include "tests/support_ops.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/pool.h"
#include "engine/base/rng.h"
#include "engine/base/units.h"
#include "engine/kernels/numbers.h"

enum { PATTERN = 0xA5 };

const struct op_case_list *const op_case_lists[] = {&op_cases_plain,     &op_cases_entry, &op_cases_experts,
                                                    &op_cases_attention, &op_cases_loss,  NULL};

static unsigned rank_of(const uint64_t *shape) {
    unsigned rank = 0;
    while (rank < 6 && shape[rank])
        rank++;
    return rank;
}

static uint32_t inputs_of(const struct op_case *k) {
    uint32_t n = 0;
    while (n < OP_CASE_INPUTS && k->shapes[n][0])
        n++;
    return n;
}

static enum dtype dtype_of(const struct op_case *k, enum dtype dtype, uint32_t i) {
    return k->ids[i] ? DTYPE_INT32 : k->float_input[i] ? DTYPE_FLOAT32 : dtype;
}

uint32_t op_case_graph(const struct op_case *k, enum dtype dtype, struct graph *g, struct arena *arena,
                       unsigned threads, struct problem *why) {
    uint32_t tensors[OP_CASE_INPUTS];
    if (!graph_init(g, arena, threads, true, why))
        return GRAPH_NONE;
    for (uint32_t i = 0; i < inputs_of(k); i++) {
        const bool grad = !k->no_grad[i] && !k->ids[i];
        tensors[i] = k->same_inputs && i ? tensors[0]
                                         : graph_tensor(g, TENSOR_INPUT, "x", dtype_of(k, dtype, i),
                                                        rank_of(k->shapes[i]), k->shapes[i], grad, why);
        if (tensors[i] == GRAPH_NONE)
            return GRAPH_NONE;
    }
    struct op spec = k->op;
    spec.name = k->name;
    spec.inputs = tensors;
    spec.n_inputs = inputs_of(k);
    spec.layer = GRAPH_NONE;
    return graph_op(g, &spec, why);
}

void op_refusals_check(const struct op_refusal *list, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        struct arena arena;
        struct graph g;
        struct problem why = {0};
        arena_init(&arena, 0);
        cr_assert(op_case_graph(&list[i].k, DTYPE_FLOAT32, &g, &arena, 2, &why) == GRAPH_NONE, "row %u is accepted", i);
        cr_assert(why.kind == list[i].kind && strcmp(why.where, list[i].where) == 0, "row %u: %s at %s: %s", i,
                  problem_slug(why.kind), why.where, why.detail);
        arena_free(&arena);
    }
}

static void *alloc(uint64_t bytes) {
    void *p = aligned_alloc(OP_CASE_GUARD, units_extent(bytes ? bytes : 1));
    cr_assert(p != NULL);
    return p;
}

static unsigned char *guarded(uint64_t bytes) {
    unsigned char *p = alloc(bytes + 2 * OP_CASE_GUARD);
    memset(p, PATTERN, bytes + 2 * OP_CASE_GUARD);
    return p + OP_CASE_GUARD;
}

static void guarded_free(unsigned char *p, uint64_t bytes) {
    for (unsigned i = 0; p && i < OP_CASE_GUARD; i++)
        cr_assert(p[-1 - (int)i] == PATTERN && p[bytes + i] == PATTERN, "bytes beside a buffer were written");
    if (p)
        free(p - OP_CASE_GUARD);
}

bool op_run_saves(const struct op *op, uint32_t tensor) {
    for (uint32_t i = 0; i < op->n_saved; i++)
        if (op->saved[i] == tensor)
            return true;
    return false;
}

double op_run_number(const struct tensor *t, const void *data, uint64_t i) {
    if (t->dtype == DTYPE_INT32)
        return ((const int32_t *)data)[i];
    return (double)numbers_get((struct numbers){(void *)data, t->dtype == DTYPE_BFLOAT16}, i);
}

void op_run_step(struct op_run *r, struct pool *pool, bool backward) {
    struct problem why = {0};
    void *in[OP_CASE_INPUTS], *out[OP_CASE_OUTPUTS];
    uint64_t bytes = backward ? r->op->backward_work_bytes : r->op->forward_work_bytes;
    unsigned char *work = guarded(bytes);
    for (uint32_t i = 0; i < r->op->n_inputs; i++)
        in[i] = backward && !op_run_saves(r->op, r->op->inputs[i]) ? NULL : r->in[i];
    for (uint32_t i = 0; i < r->op->n_outputs; i++)
        out[i] = backward && !op_run_saves(r->op, r->op->outputs[i]) ? NULL : r->out[i];
    struct op_call call = {.graph = &r->g,
                           .op = r->op,
                           .pool = pool,
                           .inputs = (const void *const *)in,
                           .outputs = out,
                           .d_outputs = (const void *const *)r->d_out,
                           .d_inputs = r->d_in,
                           .work = work};
    cr_assert(backward ? op_backward(&call, &why) : op_forward(&call, &why), "%s: %s", r->op->name, why.detail);
    guarded_free(work, bytes);
}

/* n numbers of the tensor's dtype; rounded: those of float32 are what bfloat16 can hold. */
static void fill(const struct tensor *t, void *data, uint64_t seed, float spread, bool rounded) {
    float *numbers = alloc(t->elements * sizeof *numbers);
    uint16_t *narrow = alloc(t->elements * sizeof *narrow);
    rng_fill_normal(numbers, t->elements, seed, RNG_TENSOR, spread);
    numbers_round(numbers, t->elements, narrow);
    if (rounded)
        numbers_widen(narrow, t->elements, numbers);
    if (t->dtype == DTYPE_BFLOAT16)
        memcpy(data, narrow, t->bytes);
    else
        memcpy(data, numbers, t->bytes);
    free(numbers);
    free(narrow);
}

static void fill_ids(const struct tensor *t, int32_t *data, uint64_t seed, uint32_t bound) {
    for (uint64_t i = 0; i < t->elements; i++) {
        uint32_t words[4];
        rng_words(seed, (uint32_t)i, 0, 0, RNG_TENSOR, words);
        data[i] = (int32_t)(words[0] % bound);
    }
}

static void input_make(const struct op_case *k, uint32_t i, bool rounded, float before, struct op_run *r) {
    const struct tensor *t = &r->g.tensors[r->op->inputs[i]];
    r->in[i] = alloc(t->bytes);
    if (k->ids[i])
        fill_ids(t, r->in[i], i, k->ids[i]);
    else
        fill(t, r->in[i], k->same_inputs ? 0 : i, k->spread[i] != 0 ? k->spread[i] : 1, rounded);
    if (!t->needs_grad)
        return;
    if (k->same_inputs && i) {
        r->d_in[i] = r->d_in[0];
        return;
    }
    r->d_in[i] = guarded(t->bytes);
    for (uint64_t e = 0; e < t->elements; e++)
        numbers_set((struct numbers){r->d_in[i], t->dtype == DTYPE_BFLOAT16}, e, before);
}

void op_run_init(const struct op_case *k, enum dtype dtype, bool rounded, unsigned threads, float before,
                 struct op_run *r) {
    struct problem why = {0};
    struct pool *pool = pool_new(threads, &why);
    cr_assert(pool != NULL);
    *r = (struct op_run){0};
    arena_init(&r->arena, 0);
    uint32_t op = op_case_graph(k, dtype, &r->g, &r->arena, threads, &why);
    cr_assert(op != GRAPH_NONE, "%s: %s %s", k->name, why.where, why.detail);
    r->op = &r->g.ops[op];
    for (uint32_t i = 0; i < r->op->n_inputs; i++)
        input_make(k, i, rounded, before, r);
    for (uint32_t i = 0; i < r->op->n_outputs; i++) {
        const struct tensor *t = &r->g.tensors[r->op->outputs[i]];
        r->out[i] = guarded(t->bytes);
        if (i >= r->op->n_results || !t->needs_grad)
            continue;
        r->d_out[i] = alloc(t->bytes);
        fill(t, r->d_out[i], 9 + i, 1, rounded);
    }
    op_run_step(r, pool, false);
    op_run_step(r, pool, true);
    pool_free(pool);
}

void op_run_free(const struct op_case *k, struct op_run *r) {
    for (uint32_t i = 0; i < r->op->n_inputs; i++) {
        free(r->in[i]);
        if (i == 0 || !k->same_inputs)
            guarded_free(r->d_in[i], r->g.tensors[r->op->inputs[i]].bytes);
    }
    for (uint32_t i = 0; i < r->op->n_outputs; i++) {
        guarded_free(r->out[i], r->g.tensors[r->op->outputs[i]].bytes);
        free(r->d_out[i]);
    }
    arena_free(&r->arena);
}

void op_reference_run(const struct op_run *r, struct op_reference *d) {
    op_table[r->op->kind]->reference(&r->g, r->op, (const double *const *)d->in, d->out, d->scratch);
}

struct op_reference op_reference_new(const struct op_case *k, const struct op_run *r) {
    struct op_reference d = {{NULL}, {NULL}, NULL};
    uint64_t most = 1;
    for (uint32_t t = 0; t < r->g.n_tensors; t++)
        most = units_max(most, r->g.tensors[t].elements);
    for (uint32_t i = 0; i < r->op->n_inputs; i++) {
        const struct tensor *t = &r->g.tensors[r->op->inputs[i]];
        d.in[i] = k->same_inputs && i ? d.in[0] : alloc(t->elements * sizeof(double));
        for (uint64_t e = 0; e < t->elements; e++)
            d.in[i][e] = op_run_number(t, r->in[i], e);
    }
    for (uint32_t i = 0; i < r->op->n_results; i++)
        d.out[i] = alloc(r->g.tensors[r->op->outputs[i]].elements * sizeof(double));
    d.scratch = alloc(most * sizeof(double));
    op_reference_run(r, &d);
    return d;
}

void op_reference_free(const struct op_case *k, const struct op_run *r, struct op_reference *d) {
    for (uint32_t i = 0; i < r->op->n_inputs; i++)
        if (i == 0 || !k->same_inputs)
            free(d->in[i]);
    for (uint32_t i = 0; i < r->op->n_results; i++)
        free(d->out[i]);
    free(d->scratch);
}
