/* attn_standard.c - attention that makes the weights and keeps them, forward; see attn_standard.h.
 *
 * One task a panel. Scores of all its keys lie in workspace, tile by tile: an online softmax takes each tile as soon as
 * it is made, and what a later maximum takes from it is made good when the weights are written, in one pass. */
#include "engine/kernels/attn_standard.h"

#include <math.h>
#include <string.h>

#include "engine/base/pool.h"
#include "engine/base/units.h"
#include "engine/kernels/attn_drop.h"
#include "engine/kernels/attn_kernels.h"

enum { LINE = 16 };                  /* floats */
#define KEYS_MAX ((uint64_t)1 << 40) /* keeps sizes of workspaces within 64 bits */

static uint64_t line(uint64_t floats) {
    return units_ceil_div(floats, LINE) * LINE;
}

static uint64_t keys_seen(const struct attn_shape *s, const struct attn_mask *m) {
    uint64_t span;
    /* a window lets a panel see no more than this many keys */
    if (units_add(m->behind, m->ahead, &span) && units_add(span, TILE_PANEL, &span))
        return units_max(1, units_min(units_min(s->n_k, span), KEYS_MAX));
    return units_min(s->n_k, KEYS_MAX);
}

struct standard_room standard_room(const struct attn_shape *s, const struct attn_mask *m, bool backward) {
    const uint64_t d_v = attn_value_dim(s), width = flash_width(s->d), width_v = flash_width(d_v);
    struct standard_room r = {.tasks = s->batch * s->heads * flash_panels(s), .keys = keys_seen(s, m)};
    r.tile = flash_tile_keys(s);
    r.tiles = units_ceil_div(r.keys, r.tile) + 1;
    const uint64_t tile = units_min(r.tile, r.keys), padded = (width == s->d && width_v == d_v) ? 0 : tile;
    r.d_x = backward && m->softcap == 0 ? 0 : s->d * TILE_PANEL;
    r.rows = r.d_x + (backward ? d_v * TILE_PANEL : 0);
    r.tops = r.rows + line((backward ? 1 : 3) * TILE_PANEL);
    r.y = r.tops + (backward ? 0 : line(r.tiles * TILE_PANEL));
    r.q = r.y + TILE_PANEL * (backward ? width : width_v);
    r.d_o = r.q + (backward && width != s->d ? TILE_PANEL * width : 0);
    r.pad = r.d_o + (backward && width_v != d_v ? TILE_PANEL * width_v : 0);
    r.copy = r.pad + padded * flash_widest(s);
    r.kept = r.copy + tile * TILE_PANEL;
    r.t = r.kept + (backward ? line(2 * r.keys) : 0); /* uint64_t each */
    r.floats = r.t + line(r.keys * TILE_PANEL) + LINE;
    return r;
}

static uint64_t progress_bytes(uint64_t tasks, bool backward) {
    return backward ? units_extent(tasks * sizeof(uint64_t)) : 0;
}

uint64_t attn_standard_work_bytes(const struct attn_shape *s, const struct attn_mask *m, bool backward,
                                  unsigned threads) {
    if (s->n_q <= STANDARD_FEW)
        return standard_rows_work_bytes(s, m, threads);
    const struct standard_room r = standard_room(s, m, backward);
    return progress_bytes(r.tasks, backward) + flash_slots_bytes(threads, r.tasks, r.floats);
}

unsigned attn_standard_aux_shape(const struct attn_shape *s, uint64_t shape[4]) {
    shape[0] = s->batch;
    shape[1] = s->heads;
    shape[2] = s->n_q;
    shape[3] = s->n_k;
    return 4;
}

struct forward {
    const struct attn_call *c;
    const struct tile *tile;
    struct standard_room room;
    uint64_t panels; /* of a head */
};

/* A panel, and where its slot has m, l, alpha. */
struct open_panel {
    const struct forward *f;
    struct flash_panel p;
    float *work, *m, *l, *alpha;
};

static struct open_panel panel_open(const struct forward *f, uint64_t index, unsigned slot) {
    const struct attn_call *c = f->c;
    const struct attn_shape *s = &c->shape;
    /* the longest panels of a causal mask first */
    const uint64_t head = index / f->panels, panel = f->panels - 1 - index % f->panels;
    struct open_panel o = {.f = f, .work = (float *)c->work + slot * f->room.floats};
    o.p = flash_panel(c, head / s->heads, head % s->heads, panel * flash_step(s));
    o.m = o.work + f->room.rows;
    o.l = o.m + TILE_PANEL;
    o.alpha = o.l + TILE_PANEL;
    f->tile->turn(o.p.rows, s->d, c->q + o.p.b * s->q.batch + o.p.h * s->q.head + o.p.i * s->q.row, s->q.row,
                  (float)(c->scale * FLASH_LOG2_E), o.work + f->room.x);
    memset(o.work + f->room.y, 0, TILE_PANEL * flash_width(attn_value_dim(s)) * sizeof(float));
    memset(o.work + f->room.floats - LINE, 0, LINE * sizeof(float));
    for (unsigned r = 0; r < TILE_PANEL; r++) {
        o.m[r] = -INFINITY;
        o.l[r] = 0;
    }
    return o;
}

/* 1. S = Q K^T, 2. T = exp2(S - m) with the largest score so far, 3. Y += (D T) V: keys j .. j + n; t is theirs. */
static void panel_step(const struct open_panel *o, uint64_t j, uint64_t n, float *t) {
    const struct forward *f = o->f;
    const struct attn_call *c = f->c;
    const struct attn_shape *s = &c->shape;
    const struct flash_panel *p = &o->p;
    const struct tile_band band = flash_band(p, j);
    const uint64_t d_v = attn_value_dim(s), width = flash_width(d_v);
    uint64_t kept[FLASH_TILE_MAX], v_row = s->v.row;
    const float *v = c->v + p->b * s->v.batch + p->h_k * s->v.head + j * s->v.row;
    v = flash_rows(v, &v_row, n, d_v, width, o->work + f->room.pad);
    flash_scores(p, f->tile, &band, j, n, o->work + f->room.x, t);
    f->tile->soft(&band, n, t, o->m, o->l, o->alpha);
    if (c->dropout.p > 0) {
        float *copy = o->work + f->room.copy;
        attn_drop_bits(f->tile, &c->dropout, attn_head_number(s, p->b, p->h), p->i, p->rows, j, n, kept);
        f->tile->drop(&band, n, kept, attn_drop_factor(&c->dropout), t, copy);
        t = copy;
    }
    f->tile->gather(&band, n, width, t, v, v_row, o->alpha, o->work + f->room.y);
}

/* tops[tiles][PANEL], the maxima that tiles saw, become what makes weights of them: exp2(top - m) / l. */
static void shares_of(const struct open_panel *o, uint64_t tiles, float *tops) {
    const struct tile_band whole = {TILE_PANEL, -TILE_FAR, TILE_FAR};
    float *share = o->alpha;
    for (unsigned r = 0; r < TILE_PANEL; r++) {
        share[r] = o->l[r] == 0 ? 0 : 1 / o->l[r];
        o->m[r] = o->m[r] == -INFINITY ? 0 : o->m[r];
    }
    o->f->tile->powers(&whole, tiles, tops, o->m);
    for (uint64_t i = 0; i < tiles; i++)
        for (unsigned r = 0; r < TILE_PANEL; r++)
            tops[i * TILE_PANEL + r] *= share[r];
}

static void output_write(const struct open_panel *o) {
    const struct attn_shape *s = &o->f->c->shape;
    const uint64_t d_v = attn_value_dim(s), width = flash_width(d_v);
    const float *y = o->work + o->f->room.y, *share = o->alpha;
    float *out = o->f->c->o + o->p.b * s->o.batch + o->p.h * s->o.head + o->p.i * s->o.row;
    for (unsigned r = 0; r < o->p.rows; r++)
        for (uint64_t x = 0; x < d_v; x++)
            out[r * s->o.row + x] = y[r * width + x] * share[r];
}

/* n keys of a tile that lies in t. */
static void weights_write(const struct open_panel *o, uint64_t j, uint64_t n, const float *factor, float *t) {
    const struct tile_band band = flash_band(&o->p, j);
    const uint64_t rows = o->p.rows;
    float *weights = standard_weights(&o->p) + j * rows;
    o->f->tile->weigh(&band, n, t, factor, rows == TILE_PANEL ? weights : t);
    for (uint64_t key = 0; rows < TILE_PANEL && key < n; key++)
        memcpy(weights + key * rows, t + key * TILE_PANEL, rows * sizeof *t);
}

static void forward_task(void *arg, uint64_t index, unsigned slot) {
    const struct forward *f = arg;
    const struct attn_call *c = f->c;
    const struct attn_shape *s = &c->shape;
    const uint64_t tile = f->room.tile;
    const struct open_panel o = panel_open(f, index, slot);
    const struct flash_panel *p = &o.p;
    float *tops = o.work + f->room.tops, *t = o.work + f->room.t;
    uint64_t tiles = 0;
    for (uint64_t j = p->lo; j < p->hi; j += tile, tiles++) {
        panel_step(&o, j, units_min(tile, p->hi - j), t + (j - p->lo) * TILE_PANEL);
        memcpy(tops + tiles * TILE_PANEL, o.m, TILE_PANEL * sizeof *tops);
    }
    if (c->mask.sinks)
        flash_sink_join(c->mask.sinks[p->h], flash_width(attn_value_dim(s)), o.m, o.l, o.work + f->room.y);
    shares_of(&o, tiles, tops);
    output_write(&o);
    for (uint64_t j = p->lo, i = 0; j < p->hi; j += tile, i++)
        weights_write(&o, j, units_min(tile, p->hi - j), tops + i * TILE_PANEL, t + (j - p->lo) * TILE_PANEL);
}

void attn_standard_forward(const struct attn_call *c) {
    if (c->shape.n_q <= STANDARD_FEW) {
        standard_rows_forward(c);
        return;
    }
    struct forward f = {c, tile_best(), standard_room(&c->shape, &c->mask, false), flash_panels(&c->shape)};
    pool_run(c->pool, f.room.tasks, forward_task, &f);
}
