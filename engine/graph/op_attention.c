/* op_attention.c - scaled dot-product attention by any kernel of attn_table.
 *
 * Inputs q, k, v and, where there is one, a bias of rank 2 to 4 that is aligned right and broadcast to [B, H, Nq, Nk];
 * last, where op_attention.sinks says so, one number a head. Where any of them is not float32 the kernels run group by
 * group in workspace (attn_narrow.h). */
#include <math.h>

#include "engine/base/units.h"
#include "engine/graph/op_rows.h"
#include "engine/kernels/attn_narrow.h"
#include "engine/kernels/attn_ref.h"
#include "engine/kernels/gemm.h"

#define HEAD_SIZE_MAX 65536u        /* keeps a tile of a kernel in memory */
#define LENGTH_MAX    GEMM_SIZE_MAX /* positions fit a word of the dropout counter */

enum { Q, K, V, BIAS };

static struct attn_stride stride_of(const struct op_attention *a, uint64_t heads, uint64_t n, uint64_t d) {
    if (a->layout == ATTN_ROWS_FIRST)
        return (struct attn_stride){n * heads * d, d, heads * d};
    return (struct attn_stride){heads * n * d, n * d, d};
}

/* Where the dimensions of one tensor are; heads come from the op where rows come first. */
static void dimensions(const struct op_attention *a, const struct tensor *t, uint64_t rows_first_heads,
                       uint64_t dim[4]) {
    const bool rows_first = a->layout == ATTN_ROWS_FIRST;
    dim[0] = t->shape[0];
    dim[1] = rows_first ? rows_first_heads : t->shape[1];
    dim[2] = rows_first ? t->shape[1] : t->shape[2];
    dim[3] = rows_first ? t->shape[2] / rows_first_heads : t->shape[3];
}

static bool has_bias(const struct op *op) {
    return op->n_inputs > (uint32_t)BIAS + op->attention.sinks;
}

/* Shapes were checked. */
static struct attn_shape shape_of(const struct graph *g, const struct op *op) {
    const struct op_attention *a = &op->attention;
    uint64_t q[4], k[4], v[4];
    dimensions(a, op_input(g, op, Q), a->heads, q);
    dimensions(a, op_input(g, op, K), a->kv_heads, k);
    dimensions(a, op_input(g, op, V), a->kv_heads, v);
    struct attn_shape s = {
        .batch = q[0], .heads = q[1], .kv_heads = k[1], .n_q = q[2], .n_k = k[2], .d = q[3], .value_dim = v[3]};
    s.q = stride_of(a, s.heads, s.n_q, s.d);
    s.k = stride_of(a, s.kv_heads, s.n_k, s.d);
    s.v = stride_of(a, s.kv_heads, s.n_k, s.value_dim);
    s.o = stride_of(a, s.heads, s.n_q, s.value_dim);
    return s;
}

static struct attn_mask mask_of(const struct graph *g, const struct op *op) {
    const struct op_attention *a = &op->attention;
    struct attn_mask m = {.behind = a->behind, .ahead = a->ahead, .softcap = a->softcap, .alibi = a->alibi};
    if (!has_bias(op))
        return m;
    const struct tensor *t = op_input(g, op, BIAS);
    uint64_t step = 1;
    for (unsigned i = t->rank; i-- > 0;) {
        m.bias_stride[i + 4 - t->rank] = t->shape[i] == 1 ? 0 : step;
        step *= t->shape[i];
    }
    return m;
}

static bool rank_check(const struct op *op, const struct tensor *t, uint32_t i, struct problem *why) {
    const struct op_attention *a = &op->attention;
    const bool rows_first = a->layout == ATTN_ROWS_FIRST;
    const uint64_t heads = i == Q ? a->heads : a->kv_heads;
    if (t->rank != (rows_first ? 3u : 4u))
        problem_set(why, PROBLEM_SHAPE, "", "has %u dimensions, not %s", t->rank,
                    rows_first ? "3: batch, rows, heads times head size" : "4: batch, heads, rows, head size");
    else if (rows_first && heads == 0)
        return problem_set(why, PROBLEM_LIMIT, i == Q ? "/heads" : "/kv_heads",
                           "is 0; attention has at least one head");
    else if (rows_first && t->shape[2] % heads != 0)
        problem_set(why, PROBLEM_SHAPE, "", "is %llu wide, which %llu heads do not divide",
                    (unsigned long long)t->shape[2], (unsigned long long)heads);
    else
        return true;
    return problem_nest(why, "/inputs/%u", i);
}

/* k and v against q: the same batch and head size, heads that divide, one length; v may be of another head size. */
static bool partners_check(const struct graph *g, const struct op *op, struct problem *why) {
    static const char *const names[4] = {"batch", "heads", "rows", "head size"};
    const struct op_attention *a = &op->attention;
    uint64_t dim[3][4];
    for (uint32_t i = Q; i <= V; i++) {
        if (!rank_check(op, op_input(g, op, i), i, why))
            return false;
        dimensions(a, op_input(g, op, i), i == Q ? a->heads : a->kv_heads, dim[i]);
    }
    for (unsigned x = 0; x < 4; x++) {
        const bool with_q = x == 0 || x == 3;
        if (with_q && dim[K][x] != dim[Q][x])
            return problem_set(why, PROBLEM_SHAPE, "/inputs/1", "%s is %llu, of the queries %llu", names[x],
                               (unsigned long long)dim[K][x], (unsigned long long)dim[Q][x]);
        if (x != 3 && dim[V][x] != dim[K][x])
            return problem_set(why, PROBLEM_SHAPE, "/inputs/2", "%s is %llu, of the keys %llu", names[x],
                               (unsigned long long)dim[V][x], (unsigned long long)dim[K][x]);
    }
    if (dim[Q][1] % dim[K][1] != 0)
        return problem_set(why, PROBLEM_SHAPE, "/inputs/1", "%llu key heads do not divide %llu query heads",
                           (unsigned long long)dim[K][1], (unsigned long long)dim[Q][1]);
    return true;
}

static bool sinks_check(const struct graph *g, const struct op *op, struct problem *why) {
    if (!op->attention.sinks)
        return true;
    return op_vector_check(g, op, op->n_inputs - 1, shape_of(g, op).heads, why);
}

static bool bias_check(const struct graph *g, const struct op *op, struct problem *why) {
    if (!has_bias(op))
        return true;
    const struct tensor *t = op_input(g, op, BIAS);
    const struct attn_shape s = shape_of(g, op);
    const uint64_t want[4] = {s.batch, s.heads, s.n_q, s.n_k};
    if (t->rank < 2 || t->rank > 4)
        return problem_set(why, PROBLEM_SHAPE, "/inputs/3", "has %u dimensions; a bias has 2 to 4", t->rank);
    for (unsigned i = 0; i < t->rank; i++) {
        const uint64_t full = want[i + 4 - t->rank];
        if (t->shape[i] != 1 && t->shape[i] != full)
            return problem_set(why, PROBLEM_SHAPE, "/inputs/3", "dimension %u is %llu; it must be 1 or %llu", i,
                               (unsigned long long)t->shape[i], (unsigned long long)full);
    }
    return true;
}

static bool limits_check(const struct graph *g, const struct op *op, struct problem *why) {
    const struct op_attention *a = &op->attention;
    const struct attn_shape s = shape_of(g, op);
    if (s.d > HEAD_SIZE_MAX)
        return problem_set(why, PROBLEM_LIMIT, "/inputs/0", "head size is %llu; the most is %u",
                           (unsigned long long)s.d, HEAD_SIZE_MAX);
    if (s.value_dim > HEAD_SIZE_MAX)
        return problem_set(why, PROBLEM_LIMIT, "/inputs/2", "head size is %llu; the most is %u",
                           (unsigned long long)s.value_dim, HEAD_SIZE_MAX);
    if (s.n_q > LENGTH_MAX || s.q.row > GEMM_SIZE_MAX || s.o.row > GEMM_SIZE_MAX)
        return problem_set(why, PROBLEM_LIMIT, "/inputs/0", "rows, and their width, are at most 2^31 - 1");
    if (s.n_k > LENGTH_MAX || s.k.row > GEMM_SIZE_MAX || s.v.row > GEMM_SIZE_MAX)
        return problem_set(why, PROBLEM_LIMIT, "/inputs/1", "rows, and their width, are at most 2^31 - 1");
    if (s.batch * s.heads > UINT32_MAX) /* no overflow: both count elements of q */
        return problem_set(why, PROBLEM_LIMIT, "/inputs/0", "batch times heads is at most 2^32 - 1");
    if (!isfinite(a->scale))
        return problem_set(why, PROBLEM_LIMIT, "/scale", "must be a finite number");
    if (!(a->softcap >= 0 && isfinite(a->softcap)))
        return problem_set(why, PROBLEM_LIMIT, "/softcap", "must be a finite number, 0 or more");
    if (!(a->dropout.p >= 0 && a->dropout.p < 1))
        return problem_set(why, PROBLEM_LIMIT, "/dropout/p", "must be at least 0 and less than 1");
    return true;
}

static float scale_of(const struct op *op, const struct attn_shape *s) {
    return op->attention.scale != 0 ? op->attention.scale : (float)(1 / sqrt((double)s->d));
}

/* Without its tensors. */
static struct attn_call whole_call(const struct graph *g, const struct op *op) {
    const struct attn_shape s = shape_of(g, op);
    return (struct attn_call){
        .shape = s, .mask = mask_of(g, op), .scale = scale_of(op, &s), .dropout = op->attention.dropout};
}

static bool is_narrow(const struct graph *g, const struct op *op) {
    for (uint32_t i = 0; i < op->n_inputs; i++)
        if (op_input(g, op, i)->dtype != DTYPE_FLOAT32)
            return true;
    return false;
}

/* Weights as the scores; sums in full. */
static enum dtype aux_dtype(const struct graph *g, const struct op *op) {
    const struct attn_shape s = shape_of(g, op);
    uint64_t unused[4];
    return op->attention.kernel->aux_shape(&s, unused) == 4 ? op_input(g, op, Q)->dtype : DTYPE_FLOAT32;
}

static struct attn_narrow narrow_of(const struct graph *g, const struct op *op) {
    const bool bias = has_bias(op), sinks = op->attention.sinks;
    struct attn_narrow n = {.kernel = op->attention.kernel, .call = whole_call(g, op)};
    n.widened[ATTN_Q] = n.widened[ATTN_K] = n.widened[ATTN_V] = n.widened[ATTN_O] = n.widened[ATTN_D_O] = true;
    n.widened[ATTN_AUX] = aux_dtype(g, op) != DTYPE_FLOAT32;
    n.widened[ATTN_BIAS] = bias;
    n.widened[ATTN_SINKS] = sinks;
    n.widened[ATTN_D_Q] = op_input(g, op, Q)->needs_grad;
    n.widened[ATTN_D_K] = op_input(g, op, K)->needs_grad;
    n.widened[ATTN_D_V] = op_input(g, op, V)->needs_grad;
    n.widened[ATTN_D_BIAS] = bias && op_input(g, op, BIAS)->needs_grad;
    n.widened[ATTN_D_SINKS] = sinks && op_input(g, op, op->n_inputs - 1)->needs_grad;
    return n;
}

/* Of the 8 or 10 a pair and number of the backward, 4 are for dV and dP, of v's size; the rest, also what flash makes
 * again, is of q's. */
static bool costs_set(const struct graph *g, struct op *op, struct problem *why) {
    const struct attn_kernel *kernel = op->attention.kernel;
    const struct attn_shape s = shape_of(g, op);
    const struct attn_mask m = mask_of(g, op);
    const uint64_t both = s.d + s.value_dim;
    uint64_t pairs, again;
    if (!units_product((const uint64_t[]){s.batch, s.heads, attn_pairs(&s, &m)}, 3, &pairs) ||
        !units_product((const uint64_t[]){pairs, both, kernel->forward_flops / 2}, 3, &op->forward_flops) ||
        !units_product((const uint64_t[]){pairs, both, 4}, 3, &op->backward_flops) ||
        !units_product((const uint64_t[]){pairs, s.d, kernel->backward_flops - 8}, 3, &again) ||
        !units_add(op->backward_flops, again, &op->backward_flops))
        return op_too_large(op, Q, "FLOPs", why);
    const struct attn_narrow narrow = narrow_of(g, op);
    for (unsigned backward = 0; backward < 2; backward++)
        *(backward ? &op->backward_work_bytes : &op->forward_work_bytes) =
            is_narrow(g, op) ? attn_narrow_work_bytes(&narrow, backward, g->threads)
                             : kernel->work_bytes(&s, &m, backward, g->threads);
    if (op->forward_work_bytes >= (uint64_t)1 << 62 || op->backward_work_bytes >= (uint64_t)1 << 62)
        return op_too_large(op, Q, "workspace bytes", why);
    return true;
}

static bool shape(struct graph *g, struct op *op, struct problem *why) {
    const struct attn_kernel *kernel = op->attention.kernel;
    if (!kernel)
        return problem_set(why, PROBLEM_MISSING_FIELD, "/kernel", "attention needs a kernel");
    const uint32_t least = 3u + op->attention.sinks;
    if (!op_inputs_check(g, op, least, least + 1, why) || !partners_check(g, op, why) || !sinks_check(g, op, why) ||
        !bias_check(g, op, why) || !limits_check(g, op, why) || !costs_set(g, op, why))
        return false;
    struct tensor q = *op_input(g, op, Q);
    const struct attn_shape s = shape_of(g, op);
    uint64_t aux_shape[4];
    unsigned aux_rank = kernel->aux_shape(&s, aux_shape);
    q.shape[q.rank - 1] = s.value_dim * (q.rank == 3 ? s.heads : 1);
    uint32_t o = graph_output(g, op, NULL, q.dtype, q.rank, q.shape, true, why);
    uint32_t aux = o == GRAPH_NONE
                       ? GRAPH_NONE
                       : graph_output(g, op, kernel->aux_name, aux_dtype(g, op), aux_rank, aux_shape, false, why);
    if (aux == GRAPH_NONE)
        return false;
    for (uint32_t i = Q; i <= V; i++)
        if (!graph_save(g, op, op->inputs[i], why))
            return false;
    if (has_bias(op) && (kernel->rereads_bias || op->attention.sinks) && !graph_save(g, op, op->inputs[BIAS], why))
        return false;
    if (op->attention.sinks && !graph_save(g, op, op->inputs[op->n_inputs - 1], why))
        return false;
    return (!kernel->saves_output || graph_save(g, op, o, why)) && graph_save(g, op, aux, why);
}

static struct attn_call call_of(const struct op_call *c) {
    const struct op *op = c->op;
    struct attn_call call = whole_call(c->graph, op);
    call.dropout.seed = op_pass_seed(call.dropout.seed, c->pass);
    call.mask.bias = has_bias(op) ? op_in(c, BIAS) : NULL;
    call.mask.sinks = op->attention.sinks ? op_in(c, op->n_inputs - 1) : NULL;
    call.pool = c->pool;
    call.q = op_in(c, Q);
    call.k = op_in(c, K);
    call.v = op_in(c, V);
    call.o = op_out(c, 0);
    call.aux = op_out(c, 1);
    call.work = c->work;
    return call;
}

static struct attn_narrow narrow_call(const struct op_call *c) {
    const struct op *op = c->op;
    struct attn_narrow n = narrow_of(c->graph, op);
    n.call.pool = c->pool;
    n.call.dropout.seed = op_pass_seed(n.call.dropout.seed, c->pass);
    n.work = c->work;
    n.at[ATTN_Q] = op_numbers_in(c, Q);
    n.at[ATTN_K] = op_numbers_in(c, K);
    n.at[ATTN_V] = op_numbers_in(c, V);
    n.at[ATTN_O] = op_numbers_out(c, 0);
    n.at[ATTN_AUX] = op_numbers_out(c, 1);
    if (has_bias(op))
        n.at[ATTN_BIAS] = op_numbers_in(c, BIAS);
    if (op->attention.sinks)
        n.at[ATTN_SINKS] = op_numbers_in(c, op->n_inputs - 1);
    return n;
}

static bool forward(const struct op_call *c, struct problem *why) {
    (void)why;
    if (is_narrow(c->graph, c->op)) {
        const struct attn_narrow n = narrow_call(c);
        attn_narrow_run(&n, false);
        return true;
    }
    const struct attn_call call = call_of(c);
    c->op->attention.kernel->forward(&call);
    return true;
}

static void narrow_backward(const struct op_call *c) {
    struct attn_narrow n = narrow_call(c);
    n.at[ATTN_D_O] = op_numbers_d_out(c, 0);
    n.at[ATTN_D_Q] = op_numbers_d_in(c, Q);
    n.at[ATTN_D_K] = op_numbers_d_in(c, K);
    n.at[ATTN_D_V] = op_numbers_d_in(c, V);
    if (has_bias(c->op))
        n.at[ATTN_D_BIAS] = op_numbers_d_in(c, BIAS);
    if (c->op->attention.sinks)
        n.at[ATTN_D_SINKS] = op_numbers_d_in(c, c->op->n_inputs - 1);
    attn_narrow_run(&n, true);
}

static bool backward(const struct op_call *c, struct problem *why) {
    (void)why;
    if (is_narrow(c->graph, c->op)) {
        narrow_backward(c);
        return true;
    }
    struct attn_call call = call_of(c);
    call.d_o = op_d_out(c, 0);
    call.d_q = op_d_in(c, Q);
    call.d_k = op_d_in(c, K);
    call.d_v = op_d_in(c, V);
    call.d_bias = has_bias(c->op) ? op_d_in(c, BIAS) : NULL;
    call.d_sinks = c->op->attention.sinks ? op_d_in(c, c->op->n_inputs - 1) : NULL;
    c->op->attention.kernel->backward(&call);
    return true;
}

/* One row of weights is the scratch: n_k is at most the elements of k. */
static void reference(const struct graph *g, const struct op *op, const double *const *in, double *const *out,
                      double *scratch) {
    const struct attn_shape s = shape_of(g, op);
    const struct attn_mask m = mask_of(g, op);
    const double *sinks = op->attention.sinks ? in[op->n_inputs - 1] : NULL, scale = (double)scale_of(op, &s);
    attn_ref_strided(&s, &m, has_bias(op) ? in[BIAS] : NULL, sinks, scale, &op->attention.dropout, in[Q], in[K], in[V],
                     out[0], NULL, NULL, NULL, NULL, scratch, NULL);
}

const struct op_row op_attention_row = {.name = "attention",
                                        .narrow = true,
                                        .shape = shape,
                                        .forward = forward,
                                        .backward = backward,
                                        .reference = reference};
