/* op_embedding.c - what comes before the first layer: token embeddings, and learned positions added to them. */
#include "engine/base/units.h"
#include "engine/graph/op_rows.h"
#include "engine/kernels/embedding.h"

static bool matrix_check(const struct graph *g, const struct op *op, uint32_t i, struct problem *why) {
    if (op_input(g, op, i)->rank == 2)
        return true;
    return problem_set(why, PROBLEM_SHAPE, "/inputs/1", "must be a matrix");
}

static bool embedding_shape(struct graph *g, struct op *op, struct problem *why) {
    if (op->n_inputs != 2 || op_input(g, op, 0)->dtype != DTYPE_INT32)
        return problem_set(why, PROBLEM_SHAPE, "/inputs", "embedding reads int32 ids and a table");
    if (!matrix_check(g, op, 1, why))
        return false;
    struct tensor x = *op_input(g, op, 0);
    const struct tensor *table = op_input(g, op, 1);
    if (x.rank + 1 > GRAPH_RANK_MAX)
        return problem_set(why, PROBLEM_LIMIT, "/inputs/0", "has too many dimensions");
    x.shape[x.rank] = table->shape[1];
    if (table->dtype == DTYPE_BFLOAT16 && table->needs_grad)
        op->backward_work_bytes = embedding_order_bytes(x.elements); /* at most 2^60 elements */
    uint32_t made = graph_output(g, op, NULL, table->dtype, x.rank + 1, x.shape, true, why);
    if (made == GRAPH_NONE || !graph_save(g, op, op->inputs[0], why))
        return false;
    op->backward_flops = g->tensors[made].elements;
    return true;
}

static bool embedding_runs(const struct graph *g, const struct op *op, struct problem *why) {
    if (op_elements(g, op, 0) <= EMBEDDING_TOKENS_MAX)
        return true;
    return problem_set(why, PROBLEM_UNSUPPORTED, "", "%s runs on at most 2^32 - 1 tokens", op->name);
}

static struct embedding embedding_of(const struct op_call *c) {
    const struct tensor *table = op_input(c->graph, c->op, 1);
    return (struct embedding){.tokens = op_elements(c->graph, c->op, 0),
                              .rows = table->shape[0],
                              .d = table->shape[1],
                              .pool = c->pool,
                              .ids = c->inputs[0]};
}

static bool embedding_run(const struct op_call *c, struct problem *why) {
    struct embedding e = embedding_of(c);
    (void)why;
    e.table = op_numbers_in(c, 1);
    e.y = op_numbers_out(c, 0);
    embedding_forward(&e);
    return true;
}

static bool embedding_grad(const struct op_call *c, struct problem *why) {
    struct embedding e = embedding_of(c);
    (void)why;
    e.d_y = op_numbers_d_out(c, 0);
    e.d_table = op_numbers_d_in(c, 1);
    e.order = e.d_table.narrow ? c->work : NULL;
    if (e.d_table.at)
        embedding_backward(&e);
    return true;
}

static void embedding_reference(const struct graph *g, const struct op *op, const double *const *in, double *const *out,
                                double *scratch) {
    const uint64_t rows = op_input(g, op, 1)->shape[0], d = op_input(g, op, 1)->shape[1];
    (void)scratch;
    for (uint64_t t = 0; t < op_elements(g, op, 0); t++)
        for (uint64_t c = 0; c < d; c++)
            out[0][t * d + c] = in[0][t] >= 0 && in[0][t] < (double)rows ? in[1][(uint64_t)in[0][t] * d + c] : 0;
}

static bool positions_shape(struct graph *g, struct op *op, struct problem *why) {
    if (!op_inputs_check(g, op, 2, 2, why) || !matrix_check(g, op, 1, why))
        return false;
    const struct tensor *x = op_input(g, op, 0), *table = op_input(g, op, 1);
    const uint64_t first = op->positions.first;
    if (x->rank < 2 || table->shape[1] != x->shape[x->rank - 1] || first > table->shape[0] ||
        table->shape[0] - first < x->shape[x->rank - 2])
        return problem_set(why, PROBLEM_SHAPE, "/inputs/1", "must have a row of %llu numbers for each position",
                           (unsigned long long)x->shape[x->rank - 1]);
    return op_elementwise(g, op, why);
}

static struct positions positions_of(const struct op_call *c) {
    const struct tensor *x = op_input(c->graph, c->op, 0);
    const uint64_t d = x->shape[x->rank - 1], rows = x->shape[x->rank - 2];
    return (struct positions){
        .batch = x->elements / (rows * d), .rows = rows, .d = d, .first = c->op->positions.first, .pool = c->pool};
}

static bool positions_run(const struct op_call *c, struct problem *why) {
    struct positions p = positions_of(c);
    (void)why;
    p.x = op_numbers_in(c, 0);
    p.table = op_numbers_in(c, 1);
    p.y = op_numbers_out(c, 0);
    embedding_positions(&p);
    return true;
}

static bool positions_grad(const struct op_call *c, struct problem *why) {
    struct positions p = positions_of(c);
    (void)why;
    p.d_y = op_numbers_d_out(c, 0);
    p.d_x = op_numbers_d_in(c, 0);
    p.d_table = op_numbers_d_in(c, 1);
    embedding_positions_backward(&p);
    return true;
}

static void positions_reference(const struct graph *g, const struct op *op, const double *const *in, double *const *out,
                                double *scratch) {
    const struct tensor *x = op_input(g, op, 0);
    const uint64_t d = x->shape[x->rank - 1], rows = x->shape[x->rank - 2];
    (void)scratch;
    for (uint64_t i = 0; i < x->elements; i++)
        out[0][i] = in[0][i] + in[1][op->positions.first * d + i % (rows * d)];
}

const struct op_row op_embedding_row = {.name = "embedding",
                                        .narrow = true,
                                        .shape = embedding_shape,
                                        .runs = embedding_runs,
                                        .forward = embedding_run,
                                        .backward = embedding_grad,
                                        .reference = embedding_reference};
const struct op_row op_positions_row = {.name = "positions",
                                        .narrow = true,
                                        .shape = positions_shape,
                                        .forward = positions_run,
                                        .backward = positions_grad,
                                        .reference = positions_reference};
