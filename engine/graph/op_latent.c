/* op_latent.c - what latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1) makes queries and keys of: a row cut
 * in two, and keys put together from each head's own part and the rotated part that all heads share. */
#include "engine/graph/op_rows.h"
#include "engine/kernels/tokens.h"

static bool split_shape(struct graph *g, struct op *op, struct problem *why) {
    if (!op_inputs_check(g, op, 1, 1, why))
        return false;
    struct tensor x = *op_input(g, op, 0);
    const uint64_t whole = x.rank ? x.shape[x.rank - 1] : 0, first = op->split.first;
    if (first == 0 || first >= whole)
        return problem_set(why, PROBLEM_LIMIT, "/first", "is %llu of %llu", (unsigned long long)first,
                           (unsigned long long)whole);
    op->backward_flops = x.elements;
    x.shape[x.rank - 1] = first;
    if (graph_output(g, op, "first", x.dtype, x.rank, x.shape, true, why) == GRAPH_NONE)
        return false;
    x.shape[x.rank - 1] = whole - first;
    return graph_output(g, op, "second", x.dtype, x.rank, x.shape, true, why) != GRAPH_NONE;
}

/* Each part's place in the whole row: rows of the two results, one after the other in x. */
struct parts {
    struct tokens_rows rows[2];
    struct tokens_place whole[2], part[2];
};

static struct parts parts_of(const struct op_call *c, struct numbers whole, struct numbers first,
                             struct numbers second) {
    const struct tensor *x = op_input(c->graph, c->op, 0);
    const uint64_t n = x->shape[x->rank - 1], a = c->op->split.first, rows = x->elements / n;
    return (struct parts){{{1, rows, a, c->pool}, {1, rows, n - a, c->pool}},
                          {{whole, 0, 0, n}, {whole, a, 0, n}},
                          {{first, 0, 0, a}, {second, 0, 0, n - a}}};
}

static bool split_run(const struct op_call *c, struct problem *why) {
    const struct parts p = parts_of(c, op_numbers_in(c, 0), op_numbers_out(c, 0), op_numbers_out(c, 1));
    (void)why;
    for (unsigned i = 0; i < 2; i++)
        tokens_copy(&p.rows[i], &p.whole[i], &p.part[i]);
    return true;
}

static bool split_grad(const struct op_call *c, struct problem *why) {
    const struct parts p = parts_of(c, op_numbers_d_in(c, 0), op_numbers_d_out(c, 0), op_numbers_d_out(c, 1));
    (void)why;
    for (unsigned i = 0; i < 2; i++)
        tokens_add(&p.rows[i], &p.part[i], &p.whole[i]);
    return true;
}

static void split_reference(const struct graph *g, const struct op *op, const double *const *in, double *const *out,
                            double *scratch) {
    const struct tensor *x = op_input(g, op, 0);
    const uint64_t n = x->shape[x->rank - 1], a = op->split.first;
    (void)scratch;
    for (uint64_t i = 0; i < x->elements; i++)
        if (i % n < a)
            out[0][i / n * a + i % n] = in[0][i];
        else
            out[1][i / n * (n - a) + i % n - a] = in[0][i];
}

static bool latent_keys_shape(struct graph *g, struct op *op, struct problem *why) {
    if (!op_inputs_check(g, op, 2, 2, why))
        return false;
    struct tensor kv = *op_input(g, op, 0);
    const struct tensor rope = *op_input(g, op, 1);
    const uint64_t heads = op->latent_keys.heads, value = op->latent_keys.value_dim;
    const uint64_t width = kv.rank ? kv.shape[kv.rank - 1] : 0;
    if (heads == 0 || width % heads || width / heads <= value || value == 0)
        return problem_set(why, PROBLEM_SHAPE, "/inputs/0", "must be %llu heads of keys and %llu wide values",
                           (unsigned long long)heads, (unsigned long long)value);
    if (rope.rank != kv.rank || rope.elements / rope.shape[rope.rank - 1] != kv.elements / width)
        return problem_set(why, PROBLEM_SHAPE, "/inputs/1", "must have the rows of the keys");
    op->backward_flops = kv.elements;
    kv.shape[kv.rank - 1] = heads * (width / heads - value + rope.shape[rope.rank - 1]);
    if (graph_output(g, op, "keys", kv.dtype, kv.rank, kv.shape, true, why) == GRAPH_NONE)
        return false;
    kv.shape[kv.rank - 1] = heads * value;
    return graph_output(g, op, "values", kv.dtype, kv.rank, kv.shape, true, why) != GRAPH_NONE;
}

/* Numbers of a token: `own` of each head, `rope` that all share, `value` of each head. */
struct widths {
    uint64_t tokens, heads, own, rope, value;
};

static struct widths widths_of(const struct graph *g, const struct op *op) {
    const struct tensor *kv = op_input(g, op, 0), *rope = op_input(g, op, 1);
    const uint64_t heads = op->latent_keys.heads, value = op->latent_keys.value_dim, width = kv->shape[kv->rank - 1];
    return (struct widths){kv->elements / width, heads, width / heads - value, rope->shape[rope->rank - 1], value};
}

/* Rows (token, head) of the three moves: own parts, shared parts, values; from kv, rope, kv to k, k, v. */
struct joins {
    struct tokens_rows rows[3];
    struct tokens_place source[3], made[3];
};

static struct joins joins_of(const struct op_call *c, struct numbers kv, struct numbers rope, struct numbers k,
                             struct numbers v) {
    const struct widths w = widths_of(c->graph, c->op);
    const uint64_t in = w.own + w.value, key = w.own + w.rope;
    return (struct joins){
        {{w.tokens, w.heads, w.own, c->pool},
         {w.tokens, w.heads, w.rope, c->pool},
         {w.tokens, w.heads, w.value, c->pool}},
        {{kv, 0, w.heads * in, in}, {rope, 0, w.rope, 0}, {kv, w.own, w.heads * in, in}},
        {{k, 0, w.heads * key, key}, {k, w.own, w.heads * key, key}, {v, 0, w.heads * w.value, w.value}}};
}

static bool latent_keys_run(const struct op_call *c, struct problem *why) {
    const struct joins j =
        joins_of(c, op_numbers_in(c, 0), op_numbers_in(c, 1), op_numbers_out(c, 0), op_numbers_out(c, 1));
    (void)why;
    for (unsigned i = 0; i < 3; i++)
        tokens_copy(&j.rows[i], &j.source[i], &j.made[i]);
    return true;
}

static bool latent_keys_grad(const struct op_call *c, struct problem *why) {
    const struct joins j =
        joins_of(c, op_numbers_d_in(c, 0), op_numbers_d_in(c, 1), op_numbers_d_out(c, 0), op_numbers_d_out(c, 1));
    (void)why;
    tokens_add(&j.rows[0], &j.made[0], &j.source[0]);
    tokens_sum(&j.rows[1], &j.made[1], &j.source[1]);
    tokens_add(&j.rows[2], &j.made[2], &j.source[2]);
    return true;
}

static void latent_keys_reference(const struct graph *g, const struct op *op, const double *const *in,
                                  double *const *out, double *scratch) {
    const struct widths w = widths_of(g, op);
    (void)scratch;
    for (uint64_t r = 0; r < w.tokens * w.heads; r++) {
        for (uint64_t c = 0; c < w.own + w.rope; c++)
            out[0][r * (w.own + w.rope) + c] =
                c < w.own ? in[0][r * (w.own + w.value) + c] : in[1][r / w.heads * w.rope + c - w.own];
        for (uint64_t c = 0; c < w.value; c++)
            out[1][r * w.value + c] = in[0][r * (w.own + w.value) + w.own + c];
    }
}

const struct op_row op_split_row = {.name = "split",
                                    .narrow = true,
                                    .shape = split_shape,
                                    .forward = split_run,
                                    .backward = split_grad,
                                    .reference = split_reference};
const struct op_row op_latent_keys_row = {.name = "latent_keys",
                                          .narrow = true,
                                          .shape = latent_keys_shape,
                                          .forward = latent_keys_run,
                                          .backward = latent_keys_grad,
                                          .reference = latent_keys_reference};
