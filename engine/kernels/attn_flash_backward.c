/* attn_flash_backward.c - the gradients of attn_flash.c, from output and log-sum-exp.
 *
 * Dao et al. 2022, algorithm 4: key blocks outside, query panels inside. A task owns the d_k and d_v of one key block
 * and adds the block's share to d_q. Those adds happen in key-block order, whichever threads run the blocks: every task
 * says how far it has come, and follows the task of the block before it. It walks the panels from the last to the
 * first, so that under a causal mask, where later blocks have fewer panels, it always finds its forerunner ahead. */
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "engine/base/pool.h"
#include "engine/base/units.h"
#include "engine/kernels/attn_drop.h"
#include "engine/kernels/attn_flash.h"
#include "engine/kernels/attn_kernels.h"

enum { SUBTILE = 96, GRAIN = 24, BLOCK_MAX = 384, BLOCK_FLOATS = BLOCK_MAX * 256, TASKS_WANTED = 8 };

/* Workspace: progress of every task (uint64_t), then the slots. Offsets in floats within a slot; whole cache lines; the
 * last one is written in full by every task. */
struct room {
    uint64_t block; /* keys of a block, shape alone decides */
    uint64_t blocks, tasks, progress_bytes;
    uint64_t x, d_x, t, d_t, rows, q, d_o, k, y, d_k, d_v, floats;
};

static uint64_t line(uint64_t floats) {
    return units_ceil_div(floats, 16) * 16;
}

static struct room room_of(const struct attn_shape *s) {
    const uint64_t width = flash_widest(s), chains = s->batch * s->kv_heads, d_v = attn_value_dim(s);
    /* what a panel costs is shared by many keys, d_k and d_v stay near; enough tasks for several threads; blocks of one
     * size */
    const uint64_t most = units_max(SUBTILE, units_min(BLOCK_MAX, BLOCK_FLOATS / width));
    const uint64_t wanted = units_min(units_ceil_div(TASKS_WANTED, chains), units_ceil_div(s->n_k, SUBTILE / 2));
    const uint64_t blocks = units_max(units_ceil_div(s->n_k, most), wanted);
    struct room r = {.block = units_ceil_div(units_ceil_div(s->n_k, blocks), GRAIN) * GRAIN};
    r.block = units_min(r.block, s->n_k);
    r.blocks = units_ceil_div(s->n_k, r.block);
    r.tasks = chains * r.blocks;
    r.progress_bytes = units_extent(r.tasks * sizeof(uint64_t));
    const uint64_t keys = units_min(SUBTILE, r.block), panel = TILE_PANEL * width;
    const bool whole_k = flash_width(s->d) == s->d, whole_v = flash_width(d_v) == d_v;
    r.d_x = panel;
    r.t = 2 * r.d_x;
    r.d_t = r.t + line(keys * TILE_PANEL);
    r.rows = r.d_t + line(keys * TILE_PANEL);
    r.q = r.rows + line(2 * TILE_PANEL);
    r.d_o = r.q + (whole_k ? 0 : panel);
    r.k = r.d_o + (whole_v ? 0 : panel);
    r.y = r.k + (whole_k ? 0 : keys * width);
    r.d_k = r.y + panel;
    r.d_v = r.d_k + r.block * width;
    r.floats = r.d_v + r.block * width;
    return r;
}

uint64_t flash_backward_work_bytes(const struct attn_shape *s, unsigned threads) {
    struct room r = room_of(s);
    return r.progress_bytes + flash_slots_bytes(threads, r.tasks, r.floats);
}

struct backward {
    const struct attn_call *c;
    const struct tile *tile;
    struct room room;
    uint64_t panels;
    struct flash_chain chain;
};

/* One key block of one key head, as a task sees it. */
struct block {
    const struct backward *f;
    uint64_t index, b, h_k, j, n;
    float *work;
};

/* top_i = log2 sum exp (inf where the row is absent or fully masked: exp2(s - inf) = 0), delta_i = sum_c dO_ic O_ic. */
static void rows_prepare(const struct block *k, const struct flash_panel *p, const float *o, const float *d_x) {
    const struct attn_shape *s = &p->c->shape;
    const float *lse = p->c->aux + (p->b * s->heads + p->h) * s->n_q + p->i;
    float *top = k->work + k->f->room.rows, *delta = top + TILE_PANEL;
    for (unsigned r = 0; r < TILE_PANEL; r++)
        top[r] = r < p->rows && lse[r] != -INFINITY ? (float)(lse[r] * FLASH_LOG2_E) : INFINITY;
    k->f->tile->columns(p->rows, attn_value_dim(s), o, s->o.row, d_x, delta);
}

/* t = P, d_t = factor P (D dP - delta) of n keys from j; kept is filled where there is dropout. */
static void scores_gradient(const struct block *k, const struct flash_panel *p, uint64_t j, uint64_t n, float factor,
                            uint64_t *kept) {
    const struct attn_call *c = k->f->c;
    const struct attn_shape *s = &c->shape;
    const struct tile *tile = k->f->tile;
    const struct room *room = &k->f->room;
    float *t = k->work + room->t, *d_t = k->work + room->d_t, *top = k->work + room->rows, *delta = top + TILE_PANEL;
    const struct tile_band band = flash_band(p, j);
    flash_scores(p, tile, &band, j, n, k->work, t);
    tile->powers(&band, n, t, top); /* P = exp(S - LSE) */
    tile->dots(&band, n, attn_value_dim(s), c->v + k->b * s->v.batch + k->h_k * s->v.head + j * s->v.row, s->v.row,
               k->work + room->d_x, d_t);
    if (c->dropout.p > 0) {
        attn_drop_bits(tile, &c->dropout, attn_head_number(s, k->b, p->h), p->i, p->rows, j, n, kept);
        tile->drop(&band, n, kept, attn_drop_factor(&c->dropout), d_t, d_t);
    }
    tile->slopes(&band, n, t, delta, factor, d_t);
}

/* d_t *= the slope of the cap, 1 - tanh^2 of the products, which are made again in t. */
static void uncap(const struct block *k, const struct flash_panel *p, uint64_t j, uint64_t n) {
    const struct attn_call *c = k->f->c;
    const struct attn_shape *s = &c->shape;
    const float in = (float)(FLASH_LN_2 / c->mask.softcap);
    const struct tile_band band = flash_band(p, j);
    float *t = k->work + k->f->room.t, *d_t = k->work + k->f->room.d_t;
    k->f->tile->dots(&band, n, s->d, c->k + k->b * s->k.batch + p->h_k * s->k.head + j * s->k.row, s->k.row, k->work,
                     t);
    for (uint64_t e = 0; e < n * TILE_PANEL; e++) {
        const float y = tanhf(t[e] * in);
        d_t[e] *= 1 - y * y;
    }
}

/* One subtile of n keys from j: S, P, dP, dS, and what they add to y (d_q), d_k, d_v. */
static void subtile(const struct block *k, const struct flash_panel *p, uint64_t j, uint64_t n, const float *q,
                    uint64_t q_row, const float *d_o, uint64_t o_row) {
    const struct attn_call *c = k->f->c;
    const struct attn_shape *s = &c->shape;
    const struct tile *tile = k->f->tile;
    const struct room *room = &k->f->room;
    const uint64_t d_v = attn_value_dim(s), width = flash_width(s->d), width_v = flash_width(d_v);
    float *t = k->work + room->t, *d_t = k->work + room->d_t;
    const struct tile_band band = flash_band(p, j);
    uint64_t kept[SUBTILE];

    scores_gradient(k, p, j, n, c->scale, kept);
    if (c->dropout.p > 0)
        tile->drop(&band, n, kept, attn_drop_factor(&c->dropout), t, t);
    if (c->d_v) /* dV += (D P)^T dO */
        tile->spread(&band, n, width_v, t, d_o, o_row, k->work + room->d_v + (j - k->j) * width_v, width_v);
    if (c->mask.softcap != 0)
        uncap(k, p, j, n);
    if (c->d_k) /* dK += dS^T Q */
        tile->spread(&band, n, width, d_t, q, q_row, k->work + room->d_k + (j - k->j) * width, width);
    if (c->d_q) {
        uint64_t k_row = s->k.row;
        const float *keys = c->k + k->b * s->k.batch + k->h_k * s->k.head + j * s->k.row;
        keys = flash_rows(keys, &k_row, n, s->d, width, k->work + room->k);
        tile->gather(&band, n, width, d_t, keys, k_row, NULL, k->work + room->y); /* dQ += dS K */
    }
}

/* What the subtiles of a panel share: q and d_o transposed, top and delta. */
static void panel_prepare(const struct block *k, const struct flash_panel *p) {
    const struct attn_call *c = k->f->c;
    const struct attn_shape *s = &c->shape;
    const uint64_t q_at = p->b * s->q.batch + p->h * s->q.head + p->i * s->q.row;
    const uint64_t o_at = p->b * s->o.batch + p->h * s->o.head + p->i * s->o.row;
    float *d_x = k->work + k->f->room.d_x;
    k->f->tile->turn(p->rows, s->d, c->q + q_at, s->q.row, (float)(c->scale * FLASH_LOG2_E), k->work);
    k->f->tile->turn(p->rows, attn_value_dim(s), c->d_o + o_at, s->o.row, 1, d_x);
    rows_prepare(k, p, c->o + o_at, d_x);
}

/* The panel before this one is the next to come. */
static void panel_expect(const struct block *k, const struct flash_panel *p) {
    const struct attn_call *c = k->f->c;
    const struct attn_shape *s = &c->shape;
    const uint64_t step = flash_step(s), d_v = attn_value_dim(s);
    if (p->i < step)
        return;
    const uint64_t o_at = p->b * s->o.batch + p->h * s->o.head + (p->i - step) * s->o.row;
    flash_expect(c->q + p->b * s->q.batch + p->h * s->q.head + (p->i - step) * s->q.row, s->q.row, step, s->d);
    flash_expect(c->o + o_at, s->o.row, step, d_v);
    flash_expect(c->d_o + o_at, s->o.row, step, d_v);
}

static void panel_task(const struct block *k, uint64_t h, uint64_t panel, uint64_t step) {
    const struct attn_call *c = k->f->c;
    const struct attn_shape *s = &c->shape;
    const struct room *room = &k->f->room;
    const uint64_t d_v = attn_value_dim(s), width = flash_width(s->d), width_v = flash_width(d_v);
    struct flash_panel p = flash_panel(c, k->b, h, panel * flash_step(s));
    uint64_t q_at = k->b * s->q.batch + h * s->q.head + p.i * s->q.row, q_row = s->q.row;
    uint64_t o_at = k->b * s->o.batch + h * s->o.head + p.i * s->o.row, o_row = s->o.row;
    float *y = k->work + room->y;

    panel_prepare(k, &p);
    panel_expect(k, &p);
    const float *q = flash_rows(c->q + q_at, &q_row, p.rows, s->d, width, k->work + room->q);
    const float *d_o = flash_rows(c->d_o + o_at, &o_row, p.rows, d_v, width_v, k->work + room->d_o);
    memset(y, 0, TILE_PANEL * width * sizeof *y);
    uint64_t end = units_min(p.hi, k->j + k->n);
    for (uint64_t j = units_max(p.lo, k->j); j < end; j += SUBTILE)
        subtile(k, &p, j, units_min(SUBTILE, end - j), q, q_row, d_o, o_row);
    flash_follow(&k->f->chain, k->index, step);
    for (unsigned r = 0; c->d_q && r < p.rows; r++)
        for (uint64_t x = 0; x < s->d; x++)
            c->d_q[q_at + r * s->q.row + x] += y[r * width + x];
    flash_announce(&k->f->chain, k->index, step);
}

/* The panels that may see keys of the block: [*lo, *hi). */
static void panels_range(const struct block *k, uint64_t *lo, uint64_t *hi) {
    const struct attn_call *c = k->f->c;
    const uint64_t step = flash_step(&c->shape);
    uint64_t first = 0, last = k->f->panels;
    while (first < last) { /* the first panel whose keys reach the block */
        uint64_t middle = first + (last - first) / 2;
        if (flash_panel(c, 0, 0, middle * step).hi > k->j)
            last = middle;
        else
            first = middle + 1;
    }
    *lo = first;
    last = k->f->panels;
    while (first < last) { /* the first panel whose keys begin beyond it */
        uint64_t middle = first + (last - first) / 2;
        if (flash_panel(c, 0, 0, middle * step).lo >= k->j + k->n)
            last = middle;
        else
            first = middle + 1;
    }
    *hi = first;
}

static void block_add(const struct block *k, const float *from, uint64_t d, float *to,
                      const struct attn_stride *stride) {
    const uint64_t width = flash_width(d);
    if (!to)
        return;
    to += k->b * stride->batch + k->h_k * stride->head + k->j * stride->row;
    for (uint64_t r = 0; r < k->n; r++)
        for (uint64_t x = 0; x < d; x++)
            to[r * stride->row + x] += from[r * width + x];
}

static void backward_task(void *arg, uint64_t index, unsigned slot) {
    const struct backward *f = arg;
    const struct attn_shape *s = &f->c->shape;
    const struct room *room = &f->room;
    /* chains side by side: neighbours in number rarely wait for each other, and the longest blocks come first */
    const uint64_t chain = index % f->chain.chains, group = s->heads / s->kv_heads;
    struct block k = {.f = f, .index = index, .b = chain / s->kv_heads, .h_k = chain % s->kv_heads};
    k.j = index / f->chain.chains * room->block;
    k.n = units_min(room->block, s->n_k - k.j);
    k.work = (float *)((unsigned char *)f->c->work + room->progress_bytes) + slot * room->floats;
    memset(k.work + room->d_k, 0, 2 * room->block * flash_widest(s) * sizeof(float));

    uint64_t lo, hi;
    panels_range(&k, &lo, &hi);
    for (uint64_t g = 0; g < group; g++)
        for (uint64_t panel = hi; panel-- > lo;)
            panel_task(&k, k.h_k * group + g, panel, g * f->panels + f->panels - panel);
    /* a panel that this block does not see is seen by no earlier block that a later one could meet there */
    flash_announce(&k.f->chain, k.index, UINT64_MAX);
    block_add(&k, k.work + room->d_k, s->d, f->c->d_k, &s->k);
    block_add(&k, k.work + room->d_v, attn_value_dim(s), f->c->d_v, &s->v);
}

/* ---- the gradients of bias and sinks ---- */

struct slices {
    const struct backward *f;
    uint64_t batch, heads, panels; /* that have numbers of their own; the rest is summed over */
    uint64_t tasks;                /* no more than there are slots for; each takes every tasks-th slice */
};

/* d_t of n keys from j into the bias: one number for each, or for all keys. */
static void bias_tile_add(const struct flash_panel *p, uint64_t j, uint64_t n, const float *d_t) {
    const uint64_t *stride = p->c->mask.bias_stride;
    float *bias = p->c->d_bias + p->b * stride[0] + p->h * stride[1] + p->i * stride[2] + j * stride[3];
    for (unsigned r = 0; r < p->rows; r++, bias += stride[2]) {
        uint64_t lo, hi;
        attn_key_range(&p->c->shape, &p->c->mask, p->i + r, &lo, &hi);
        double sum = 0;
        for (uint64_t key = units_max(lo, j) - j; key < n && j + key < hi; key++)
            if (stride[3])
                bias[key * stride[3]] += d_t[key * TILE_PANEL + r];
            else
                sum += (double)d_t[key * TILE_PANEL + r];
        if (!stride[3])
            *bias += (float)sum;
    }
}

static void bias_panel_add(const struct block *k, uint64_t h, uint64_t panel) {
    const struct flash_panel p = flash_panel(k->f->c, k->b, h, panel * flash_step(&k->f->c->shape));
    const uint64_t step = units_min(SUBTILE, k->f->room.block);
    uint64_t kept[SUBTILE];
    panel_prepare(k, &p);
    for (uint64_t j = p.lo; j < p.hi; j += step) {
        const uint64_t n = units_min(step, p.hi - j);
        scores_gradient(k, &p, j, n, 1, kept);
        bias_tile_add(&p, j, n, k->work + k->f->room.d_t);
    }
}

static void bias_slice(const struct slices *l, struct block *k, uint64_t index) {
    const struct attn_shape *s = &l->f->c->shape;
    const uint64_t panel = index % l->panels, h = index / l->panels % l->heads, b = index / l->panels / l->heads;
    for (k->b = b; k->b < s->batch; k->b += l->batch)
        for (uint64_t h_i = h; h_i < s->heads; h_i += l->heads) {
            k->h_k = h_i / (s->heads / s->kv_heads);
            for (uint64_t panel_i = panel; panel_i < l->f->panels; panel_i += l->panels)
                bias_panel_add(k, h_i, panel_i);
        }
}

static void bias_task(void *arg, uint64_t index, unsigned slot) {
    const struct slices *l = arg;
    const struct room *room = &l->f->room;
    struct block k = {.f = l->f, .index = index};
    k.work = (float *)((unsigned char *)l->f->c->work + room->progress_bytes) + slot * room->floats;
    for (uint64_t slice = index; slice < l->batch * l->heads * l->panels; slice += l->tasks)
        bias_slice(l, &k, slice);
}

/* d_sink = - sum over rows of its weight times delta. */
static void sink_add(const struct attn_call *c, uint64_t b, uint64_t h) {
    const struct attn_shape *s = &c->shape;
    const uint64_t at = b * s->o.batch + h * s->o.head;
    const float *lse = c->aux + (b * s->heads + h) * s->n_q;
    double sum = 0;
    for (uint64_t i = 0; i < s->n_q; i++) {
        const float *o = c->o + at + i * s->o.row, *d_o = c->d_o + at + i * s->o.row;
        double delta = 0;
        for (uint64_t x = 0; x < attn_value_dim(s); x++)
            delta += (double)o[x] * (double)d_o[x];
        if (lse[i] != -INFINITY)
            sum += exp((double)c->mask.sinks[h] - (double)lse[i]) * delta;
    }
    c->d_sinks[h] -= (float)sum;
}

static void sink_task(void *arg, uint64_t h, unsigned slot) {
    const struct slices *l = arg;
    (void)slot;
    for (uint64_t b = 0; b < l->f->c->shape.batch; b++)
        sink_add(l->f->c, b, h);
}

static void sums_backward(const struct backward *f) {
    const struct attn_call *c = f->c;
    const uint64_t *stride = c->mask.bias_stride;
    struct slices l = {f, stride[0] ? c->shape.batch : 1, stride[1] ? c->shape.heads : 1, stride[2] ? f->panels : 1, 0};
    l.tasks = units_min(f->room.tasks, l.batch * l.heads * l.panels);
    if (c->d_bias)
        pool_run(c->pool, l.tasks, bias_task, &l);
    if (c->d_sinks)
        pool_run(c->pool, c->shape.heads, sink_task, &l);
}

void attn_flash_backward(const struct attn_call *c) {
    const struct attn_shape *s = &c->shape;
    struct backward f = {.c = c,
                         .tile = tile_best(),
                         .room = room_of(s),
                         .panels = flash_panels(s),
                         .chain = {.progress = c->work, .chains = s->batch * s->kv_heads}};
    for (uint64_t i = 0; i < f.room.tasks; i++)
        atomic_init(&f.chain.progress[i], 0);
    pool_run(c->pool, f.room.tasks, backward_task, &f);
    sums_backward(&f);
}
