/* attn_narrow.c - see attn_narrow.h. Groups follow one another such that those that share a part of the bias are
 * neighbours: its gradient is in workspace for that long, in float32. */
#include "engine/kernels/attn_narrow.h"

#include <string.h>

#include "engine/base/pool.h"
#include "engine/base/units.h"

enum { ROWS = 64 }; /* of one head, widened or rounded by one task */

/* When a part is brought into workspace. */
enum often { EVERY_GROUP, EVERY_SLICE, ONCE };

static enum often often(enum attn_part part) {
    if (part == ATTN_SINKS || part == ATTN_D_SINKS)
        return ONCE;
    return part == ATTN_BIAS || part == ATTN_D_BIAS ? EVERY_SLICE : EVERY_GROUP;
}

static bool used(const struct attn_narrow *n, enum attn_part part, bool backward) {
    if (!n->widened[part])
        return false;
    if (!backward)
        return part < ATTN_D_O;
    if (part == ATTN_O)
        return n->kernel->saves_output;
    return part != ATTN_BIAS || n->kernel->rereads_bias || n->widened[ATTN_SINKS];
}

static bool loaded(enum attn_part part, bool backward) {
    return backward || (part != ATTN_O && part != ATTN_AUX);
}

static bool stored(enum attn_part part, bool backward) {
    return backward ? part >= ATTN_D_Q : part == ATTN_O || part == ATTN_AUX;
}

/* What one group has of a part, contiguous in workspace; strides are those of the whole tensor. */
struct piece {
    uint64_t heads, rows, width;
    struct attn_stride stride;
};

static uint64_t group_of(const struct attn_shape *s) {
    return s->heads / s->kv_heads;
}

static struct piece piece_of(const struct attn_narrow *n, enum attn_part part) {
    const struct attn_shape *s = &n->call.shape;
    const uint64_t *bias = n->call.mask.bias_stride, group = group_of(s), d_v = attn_value_dim(s);
    const struct piece q = {group, s->n_q, s->d, s->q}, k = {1, s->n_k, s->d, s->k}, v = {1, s->n_k, d_v, s->v};
    const struct piece o = {group, s->n_q, d_v, s->o}, sinks = {1, 1, s->heads, {0, 0, 0}};
    const struct piece aux = {group, s->n_q, s->n_k, {s->heads * s->n_q * s->n_k, s->n_q * s->n_k, s->n_k}};
    const struct piece scores = {
        bias[1] ? group : 1, bias[2] ? s->n_q : 1, bias[3] ? s->n_k : 1, {bias[0], bias[1], bias[2]}};
    const struct piece pieces[ATTN_PARTS] = {
        [ATTN_Q] = q,           [ATTN_D_Q] = q,       [ATTN_K] = k,           [ATTN_D_K] = k,   [ATTN_V] = v,
        [ATTN_D_V] = v,         [ATTN_O] = o,         [ATTN_D_O] = o,         [ATTN_AUX] = aux, [ATTN_BIAS] = scores,
        [ATTN_D_BIAS] = scores, [ATTN_SINKS] = sinks, [ATTN_D_SINKS] = sinks,
    };
    return pieces[part];
}

/* ---- workspace ---- */

static uint64_t more(uint64_t bytes, uint64_t by) {
    const uint64_t most = (uint64_t)1 << 62;
    return units_add(bytes, by, &bytes) ? units_min(bytes, most) : most;
}

static uint64_t piece_bytes(const struct piece *p) {
    const uint64_t most = (uint64_t)1 << 62;
    uint64_t bytes;
    if (!units_product((const uint64_t[]){p->heads, p->rows, p->width, sizeof(float)}, 4, &bytes))
        return most;
    return units_extent(units_min(bytes, most));
}

/* at[part], where not NULL, is where the part lies; returns what all of them take. */
static uint64_t lay(const struct attn_narrow *n, bool backward, float *at[ATTN_PARTS]) {
    uint64_t bytes = 0;
    for (enum attn_part part = 0; part < ATTN_PARTS; part++) {
        if (at)
            at[part] = NULL;
        if (!used(n, part, backward))
            continue;
        const struct piece p = piece_of(n, part);
        if (at)
            at[part] = (float *)(n->work + bytes);
        bytes = more(bytes, piece_bytes(&p));
    }
    return bytes;
}

static struct attn_shape group_shape(const struct attn_shape *s) {
    struct attn_shape one = {.batch = 1,
                             .heads = group_of(s),
                             .kv_heads = 1,
                             .n_q = s->n_q,
                             .n_k = s->n_k,
                             .d = s->d,
                             .value_dim = s->value_dim,
                             .all_heads = s->heads};
    const uint64_t d_v = attn_value_dim(s);
    one.q = (struct attn_stride){0, s->n_q * s->d, s->d};
    one.k = (struct attn_stride){0, 0, s->d};
    one.v = (struct attn_stride){0, 0, d_v};
    one.o = (struct attn_stride){0, s->n_q * d_v, d_v};
    return one;
}

uint64_t attn_narrow_work_bytes(const struct attn_narrow *n, bool backward, unsigned threads) {
    const struct attn_shape one = group_shape(&n->call.shape);
    return more(lay(n, backward, NULL), n->kernel->work_bytes(&one, &n->call.mask, backward, threads));
}

/* ---- there and back ---- */

struct move {
    struct piece p;
    struct numbers tensor;
    uint64_t from; /* element of the group's first */
    float *copy;
    bool back;
};

static void move_task(void *arg, uint64_t index, unsigned slot) {
    const struct move *m = arg;
    const uint64_t blocks = units_ceil_div(m->p.rows, ROWS), head = index / blocks, first = index % blocks * ROWS;
    (void)slot;
    for (uint64_t r = first; r < units_min(first + ROWS, m->p.rows); r++) {
        const uint64_t at = m->from + head * m->p.stride.head + r * m->p.stride.row;
        float *copy = m->copy + (head * m->p.rows + r) * m->p.width;
        if (m->back) {
            float *to = numbers_open(m->tensor, at, copy);
            if (to != copy)
                memcpy(to, copy, m->p.width * sizeof *to);
            numbers_close(m->tensor, at, m->p.width, copy);
        } else {
            const float *x = numbers_read(m->tensor, at, m->p.width, copy);
            if (x != copy)
                memcpy(copy, x, m->p.width * sizeof *copy);
        }
    }
}

static void move(const struct attn_narrow *n, enum attn_part part, uint64_t b, uint64_t h_k, float *copy, bool back) {
    struct move m = {.p = piece_of(n, part), .tensor = n->at[part], .copy = copy, .back = back};
    const bool of_keys = part == ATTN_K || part == ATTN_V || part == ATTN_D_K || part == ATTN_D_V;
    const uint64_t head = of_keys ? h_k : h_k * group_of(&n->call.shape);
    if (!copy || !n->at[part].at)
        return;
    m.from = b * m.p.stride.batch + head * m.p.stride.head;
    pool_run(n->call.pool, m.p.heads * units_ceil_div(m.p.rows, ROWS), move_task, &m);
}

static void load(const struct attn_narrow *n, enum often when, uint64_t b, uint64_t h_k, float *const at[ATTN_PARTS],
                 bool backward) {
    for (enum attn_part part = 0; part < ATTN_PARTS; part++)
        if (often(part) == when && loaded(part, backward))
            move(n, part, b, h_k, at[part], false);
}

static void store(const struct attn_narrow *n, enum often when, uint64_t b, uint64_t h_k, float *const at[ATTN_PARTS],
                  bool backward) {
    for (enum attn_part part = 0; part < ATTN_PARTS; part++)
        if (often(part) == when && stored(part, backward))
            move(n, part, b, h_k, at[part], true);
}

/* ---- group by group ---- */

static float *wanted(const struct attn_narrow *n, float *const at[ATTN_PARTS], enum attn_part part) {
    return n->at[part].at ? at[part] : NULL;
}

/* The kernel's part of the aux that stays as it is. */
static float *aux_in_place(const struct attn_narrow *n, const struct attn_shape *one) {
    uint64_t shape[4], each = 1;
    for (unsigned i = n->kernel->aux_shape(one, shape); i-- > 2;)
        each *= shape[i];
    return (float *)n->at[ATTN_AUX].at + one->first_head * each;
}

static struct attn_call call_of(const struct attn_narrow *n, uint64_t b, uint64_t h_k, float *const at[ATTN_PARTS],
                                void *work) {
    const struct attn_shape *s = &n->call.shape;
    const uint64_t first = h_k * group_of(s), *whole = n->call.mask.bias_stride;
    const struct piece bias = piece_of(n, ATTN_BIAS);
    struct attn_call c = n->call;
    c.shape = group_shape(s);
    c.shape.first_head = b * s->heads + first;
    c.mask.bias = at[ATTN_BIAS];
    c.mask.bias_stride[0] = 0;
    c.mask.bias_stride[1] = whole[1] ? bias.rows * bias.width : 0;
    c.mask.bias_stride[2] = whole[2] ? bias.width : 0;
    c.mask.bias_stride[3] = whole[3] ? 1 : 0;
    c.mask.sinks = at[ATTN_SINKS] ? at[ATTN_SINKS] + first : NULL;
    c.q = at[ATTN_Q];
    c.k = at[ATTN_K];
    c.v = at[ATTN_V];
    c.o = at[ATTN_O];
    c.aux = at[ATTN_AUX] ? at[ATTN_AUX] : aux_in_place(n, &c.shape);
    c.d_o = at[ATTN_D_O];
    c.d_q = wanted(n, at, ATTN_D_Q);
    c.d_k = wanted(n, at, ATTN_D_K);
    c.d_v = wanted(n, at, ATTN_D_V);
    c.d_bias = wanted(n, at, ATTN_D_BIAS);
    c.d_sinks = wanted(n, at, ATTN_D_SINKS);
    c.d_sinks = c.d_sinks ? c.d_sinks + first : NULL;
    c.work = work;
    return c;
}

void attn_narrow_run(const struct attn_narrow *n, bool backward) {
    const struct attn_shape *s = &n->call.shape;
    const uint64_t *bias = n->call.mask.bias_stride, groups = s->batch * s->kv_heads;
    const bool heads_outside = bias[1] && !bias[0];
    uint64_t slice_b = 0, slice_h = 0;
    float *at[ATTN_PARTS];
    void *work = n->work + lay(n, backward, at);

    load(n, ONCE, 0, 0, at, backward);
    for (uint64_t i = 0; i < groups; i++) {
        const uint64_t b = heads_outside ? i % s->batch : i / s->kv_heads;
        const uint64_t h_k = heads_outside ? i / s->batch : i % s->kv_heads;
        const bool other = (bias[0] && b != slice_b) || (bias[1] && h_k != slice_h);
        if (other)
            store(n, EVERY_SLICE, slice_b, slice_h, at, backward);
        slice_b = b;
        slice_h = h_k;
        if (other || i == 0)
            load(n, EVERY_SLICE, b, h_k, at, backward);
        load(n, EVERY_GROUP, b, h_k, at, backward);
        const struct attn_call c = call_of(n, b, h_k, at, work);
        (backward ? n->kernel->backward : n->kernel->forward)(&c);
        store(n, EVERY_GROUP, b, h_k, at, backward);
    }
    store(n, EVERY_SLICE, slice_b, slice_h, at, backward);
    store(n, ONCE, 0, 0, at, backward);
}
