/* attn_standard_backward.c - the gradients of attn_standard.c, from the weights.
 *
 * One task a panel: dP of all its keys first, which its row sums of P dP need; then dS, and what it adds. All panels of
 * one key head add to the same d_k and d_v. They do so in task order, tile of keys by tile of keys, each task following
 * the one before it, so that one head alone keeps several threads busy and sums never depend on how many there are. */
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "engine/base/pool.h"
#include "engine/base/units.h"
#include "engine/kernels/attn_drop.h"
#include "engine/kernels/attn_kernels.h"
#include "engine/kernels/attn_standard.h"

struct backward {
    const struct attn_call *c;
    const struct tile *tile;
    struct standard_room room;
    uint64_t panels;          /* of a head */
    struct flash_chain chain; /* a key head's tasks, which share d_k and d_v; steps are tiles of keys done with */
    float *slots;
};

/* A panel on its way through the keys, and its slot. */
struct block {
    const struct backward *f;
    struct flash_panel p;
    uint64_t index;
    const float *weights, *q, *d_o; /* q and d_o: [rows][width], so far apart: */
    uint64_t q_row, o_row;
    float *work, *delta, *t; /* t: [keys][PANEL] from key p.lo, dP and then dS */
    uint64_t *kept;          /* [keys] */
};

/* Some keys of it. */
struct part {
    struct tile_band band;
    uint64_t j, n;
    const float *p; /* weights as a tile */
    float *t;
    uint64_t *kept;
};

/* ---- opening a panel ---- */

static struct block block_open(const struct backward *f, struct flash_panel p, uint64_t index, unsigned slot) {
    const struct attn_call *c = f->c;
    const struct attn_shape *s = &c->shape;
    const struct standard_room *room = &f->room;
    const uint64_t d_v = attn_value_dim(s);
    struct block k = {
        .f = f, .p = p, .index = index, .weights = standard_weights(&p), .q_row = s->q.row, .o_row = s->o.row};
    const float *q = c->q + p.b * s->q.batch + p.h * s->q.head + p.i * s->q.row;
    const float *d_o = c->d_o + p.b * s->o.batch + p.h * s->o.head + p.i * s->o.row;
    k.work = f->slots + slot * room->floats;
    k.delta = k.work + room->rows;
    k.t = k.work + room->t;
    k.kept = (uint64_t *)(void *)(k.work + room->kept);
    f->tile->turn(p.rows, d_v, d_o, s->o.row, 1, k.work + room->d_x);
    if (c->mask.softcap != 0)
        f->tile->turn(p.rows, s->d, q, s->q.row, (float)(c->scale * FLASH_LOG2_E), k.work + room->x);
    k.q = flash_rows(q, &k.q_row, p.rows, s->d, flash_width(s->d), k.work + room->q);
    k.d_o = flash_rows(d_o, &k.o_row, p.rows, d_v, flash_width(d_v), k.work + room->d_o);
    memset(k.delta, 0, TILE_PANEL * sizeof *k.delta);
    memset(k.work + room->floats - UNITS_EXTENT / sizeof(float), 0, UNITS_EXTENT);
    return k;
}

/* ---- a tile of keys ---- */

/* The weights of n keys from j: where they are, or spread over whole rows of a tile. */
static const float *weights_of(const struct block *k, uint64_t j, uint64_t n) {
    const uint64_t rows = k->p.rows;
    const float *from = k->weights + j * rows;
    float *tile = k->work + k->f->room.copy;
    if (rows == TILE_PANEL)
        return from;
    for (uint64_t key = 0; key < n; key++) {
        memcpy(tile + key * TILE_PANEL, from + key * rows, rows * sizeof *tile);
        memset(tile + key * TILE_PANEL + rows, 0, (TILE_PANEL - rows) * sizeof *tile);
    }
    return tile;
}

static struct part part_of(const struct block *k, uint64_t j, uint64_t n) {
    const uint64_t at = j - k->p.lo;
    return (struct part){flash_band(&k->p, j), j, n, weights_of(k, j, n), k->t + at * TILE_PANEL, k->kept + at};
}

/* From key j of the panel to the next multiple of a tile, so that tiles of all panels are the same ones. */
static uint64_t tile_end(const struct block *k, uint64_t j) {
    const uint64_t tile = k->f->room.tile;
    return units_min(k->p.hi, (j / tile + 1) * tile);
}

/* t = D dP, delta += P D dP; forward 3: d(D P) = dO V^T */
static void weights_gradient(const struct block *k, const struct part *a) {
    const struct attn_call *c = k->f->c;
    const struct attn_shape *s = &c->shape;
    const struct tile *tile = k->f->tile;
    const float *v = c->v + k->p.b * s->v.batch + k->p.h_k * s->v.head + a->j * s->v.row;
    tile->dots(&a->band, a->n, attn_value_dim(s), v, s->v.row, k->work + k->f->room.d_x, a->t);
    if (c->dropout.p > 0) {
        const uint64_t head = attn_head_number(s, k->p.b, k->p.h);
        attn_drop_bits(tile, &c->dropout, head, k->p.i, k->p.rows, a->j, a->n, a->kept);
        tile->drop(&a->band, a->n, a->kept, attn_drop_factor(&c->dropout), a->t, a->t);
    }
    tile->along(&a->band, a->n, a->p, a->t, k->delta);
}

static void weights_gradients(const struct block *k) {
    for (uint64_t j = k->p.lo, end; j < k->p.hi; j = end) {
        end = tile_end(k, j);
        const struct part a = part_of(k, j, end - j);
        weights_gradient(k, &a);
    }
}

/* t *= the slope of the cap, 1 - tanh^2 of the products, which are made again a few keys at a time. */
static void uncap(const struct block *k, const struct part *a) {
    enum { KEYS = 24 };
    const struct attn_call *c = k->f->c;
    const struct attn_shape *s = &c->shape;
    const float in = (float)(FLASH_LN_2 / c->mask.softcap);
    float products[KEYS * TILE_PANEL];
    for (uint64_t from = 0; from < a->n; from += KEYS) {
        const struct tile_band band = {TILE_PANEL, -TILE_FAR, TILE_FAR};
        const uint64_t n = units_min(KEYS, a->n - from);
        const float *keys = c->k + k->p.b * s->k.batch + k->p.h_k * s->k.head + (a->j + from) * s->k.row;
        k->f->tile->dots(&band, n, s->d, keys, s->k.row, k->work + k->f->room.x, products);
        for (uint64_t e = 0; e < n * TILE_PANEL; e++) {
            const float y = tanhf(products[e] * in);
            a->t[from * TILE_PANEL + e] *= 1 - y * y;
        }
    }
}

/* t = factor dS = factor P (D dP - delta), which the cap flattens: forward 2, forward 1. */
static void scores_gradient(const struct block *k, const struct part *a, float factor) {
    k->f->tile->slopes(&a->band, a->n, a->p, k->delta, factor, a->t);
}

/* dst[n][d], rows `row` apart, += t^T x */
static void keys_add(const struct block *k, const struct part *a, const float *t, const float *x, uint64_t x_row,
                     uint64_t d, float *dst, uint64_t row) {
    const uint64_t width = flash_width(d);
    float *sum = k->work + k->f->room.pad;
    if (width == d) {
        k->f->tile->spread(&a->band, a->n, width, t, x, x_row, dst, row);
        return;
    }
    memset(sum, 0, a->n * width * sizeof *sum);
    k->f->tile->spread(&a->band, a->n, width, t, x, x_row, sum, width);
    for (uint64_t key = 0; key < a->n; key++)
        for (uint64_t e = 0; e < d; e++)
            dst[key * row + e] += sum[key * width + e];
}

/* Forward 3: dV += (D P)^T dO; forward 1: dQ += scale dS K, dK += scale dS^T Q. `before`: tiles of keys before. */
static void part_add(const struct block *k, const struct part *a, uint64_t before) {
    const struct attn_call *c = k->f->c;
    const struct attn_shape *s = &c->shape;
    const struct tile *tile = k->f->tile;
    const uint64_t k_at = k->p.b * s->k.batch + k->p.h_k * s->k.head + a->j * s->k.row;
    const uint64_t v_at = k->p.b * s->v.batch + k->p.h_k * s->v.head + a->j * s->v.row;
    const float *weights = a->p;
    if (c->d_q) {
        const uint64_t width = flash_width(s->d);
        uint64_t row = s->k.row;
        const float *keys = flash_rows(c->k + k_at, &row, a->n, s->d, width, k->work + k->f->room.pad);
        tile->gather(&a->band, a->n, width, a->t, keys, row, NULL, k->work + k->f->room.y);
    }
    if (c->dropout.p > 0 && c->d_v) {
        float *dropped = k->work + k->f->room.copy; /* where they may be */
        tile->drop(&a->band, a->n, a->kept, attn_drop_factor(&c->dropout), weights, dropped);
        weights = dropped;
    }
    flash_follow(&k->f->chain, k->index, before + 1);
    if (c->d_v)
        keys_add(k, a, weights, k->d_o, k->o_row, attn_value_dim(s), c->d_v + v_at, s->v.row);
    if (c->d_k)
        keys_add(k, a, a->t, k->q, k->q_row, s->d, c->d_k + k_at, s->k.row);
    flash_announce(&k->f->chain, k->index, before + 1);
}

static void output_add(const struct block *k) {
    const struct attn_call *c = k->f->c;
    const struct attn_shape *s = &c->shape;
    const float *y = k->work + k->f->room.y;
    float *d_q = c->d_q + k->p.b * s->q.batch + k->p.h * s->q.head + k->p.i * s->q.row;
    for (unsigned r = 0; r < k->p.rows; r++)
        for (uint64_t x = 0; x < s->d; x++)
            d_q[r * s->q.row + x] += y[r * flash_width(s->d) + x];
}

static void backward_task(void *arg, uint64_t index, unsigned slot) {
    const struct backward *f = arg;
    const struct attn_call *c = f->c;
    const struct attn_shape *s = &c->shape;
    /* the longest panels of a causal mask first */
    const uint64_t chain = index % f->chain.chains, place = index / f->chain.chains,
                   panel = f->panels - 1 - place % f->panels;
    const uint64_t h_k = chain % s->kv_heads, h = h_k * (s->heads / s->kv_heads) + place / f->panels;
    const struct flash_panel p = flash_panel(c, chain / s->kv_heads, h, panel * flash_step(s));
    const struct block k = block_open(f, p, index, slot);
    memset(k.work + f->room.y, 0, TILE_PANEL * flash_width(s->d) * sizeof(float));
    weights_gradients(&k);
    for (uint64_t j = p.lo, end; j < p.hi; j = end) {
        end = tile_end(&k, j);
        const struct part a = part_of(&k, j, end - j);
        scores_gradient(&k, &a, c->scale);
        if (c->mask.softcap != 0)
            uncap(&k, &a);
        part_add(&k, &a, j / f->room.tile);
    }
    if (c->d_q)
        output_add(&k);
    /* what this task does not see, another after it may: it is done with those keys when all before it are */
    flash_follow(&k.f->chain, k.index, UINT64_MAX);
    flash_announce(&k.f->chain, k.index, UINT64_MAX);
}

/* ---- the gradients of bias and sinks ---- */

float standard_biased(const struct attn_call *c, uint64_t b, uint64_t h, uint64_t i, uint64_t j, float score) {
    const uint64_t *stride = c->mask.bias_stride;
    const float slope = attn_slope(&c->shape, &c->mask, b, h);
    if (slope != 0)
        score -= slope * (float)attn_distance(&c->shape, i, j);
    if (!c->mask.bias)
        return score;
    return score + c->mask.bias[b * stride[0] + h * stride[1] + i * stride[2] + j * stride[3]];
}

static float score_of(const struct attn_call *c, uint64_t b, uint64_t h, uint64_t i, uint64_t j) {
    const struct attn_shape *s = &c->shape;
    const float *q = c->q + b * s->q.batch + h * s->q.head + i * s->q.row;
    const float *key = c->k + b * s->k.batch + h / (s->heads / s->kv_heads) * s->k.head + j * s->k.row;
    float score = 0;
    for (uint64_t x = 0; x < s->d; x++)
        score += q[x] * key[x];
    score *= c->scale;
    if (c->mask.softcap != 0)
        score = c->mask.softcap * tanhf(score / c->mask.softcap);
    return standard_biased(c, b, h, i, j, score);
}

double standard_sink_weight(const struct attn_call *c, uint64_t b, uint64_t h, uint64_t i, uint64_t lo, uint64_t hi,
                            const float *weights, uint64_t step) {
    uint64_t at = lo;
    for (uint64_t j = lo + 1; j < hi; j++)
        at = weights[j * step] > weights[at * step] ? j : at;
    if (hi == lo || weights[at * step] == 0)
        return 0; /* nothing is taken of any key, and the sink's gradient is 0 */
    return (double)weights[at * step] * exp((double)c->mask.sinks[h] - (double)score_of(c, b, h, i, at));
}

/* Rows of dS into the bias: one number for each, or for all keys. */
static void bias_rows_add(const struct block *k) {
    const struct flash_panel *p = &k->p;
    const uint64_t *stride = p->c->mask.bias_stride;
    float *bias = p->c->d_bias + p->b * stride[0] + p->h * stride[1] + p->i * stride[2];
    for (unsigned r = 0; r < p->rows; r++, bias += stride[2]) {
        uint64_t lo, hi;
        attn_key_range(&p->c->shape, &p->c->mask, p->i + r, &lo, &hi);
        double sum = 0;
        for (uint64_t j = lo; j < hi; j++)
            if (stride[3])
                bias[j * stride[3]] += k->t[(j - p->lo) * TILE_PANEL + r];
            else
                sum += (double)k->t[(j - p->lo) * TILE_PANEL + r];
        if (!stride[3])
            *bias += (float)sum;
    }
}

struct slices {
    struct backward f;
    uint64_t batch, heads, panels; /* that have numbers of their own; the rest is summed over */
};

static struct block slice_open(const struct slices *l, uint64_t b, uint64_t h, uint64_t panel, unsigned slot) {
    const struct flash_panel p = flash_panel(l->f.c, b, h, panel * flash_step(&l->f.c->shape));
    const struct block k = block_open(&l->f, p, 0, slot);
    weights_gradients(&k);
    return k;
}

static void bias_task(void *arg, uint64_t index, unsigned slot) {
    const struct slices *l = arg;
    const struct attn_shape *s = &l->f.c->shape;
    const uint64_t panel = index % l->panels, h = index / l->panels % l->heads, b = index / l->panels / l->heads;
    for (uint64_t b_i = b; b_i < s->batch; b_i += l->batch)
        for (uint64_t h_i = h; h_i < s->heads; h_i += l->heads)
            for (uint64_t panel_i = panel; panel_i < l->f.panels; panel_i += l->panels) {
                const struct block k = slice_open(l, b_i, h_i, panel_i, slot);
                for (uint64_t j = k.p.lo, end; j < k.p.hi; j = end) {
                    end = tile_end(&k, j);
                    const struct part a = part_of(&k, j, end - j);
                    scores_gradient(&k, &a, 1);
                }
                bias_rows_add(&k);
            }
}

/* d_sink = - sum over rows of its weight times delta. */
static void sink_task(void *arg, uint64_t index, unsigned slot) {
    const struct slices *l = arg;
    const struct attn_call *c = l->f.c;
    for (uint64_t b = 0; b < c->shape.batch; b++) {
        double sum = 0;
        for (uint64_t panel = 0; panel < l->f.panels; panel++) {
            const struct block k = slice_open(l, b, index, panel, slot);
            for (unsigned r = 0; r < k.p.rows; r++)
                sum += standard_sink_weight(c, b, index, k.p.i + r, k.p.lo, k.p.hi, k.weights + r, k.p.rows) *
                       (double)k.delta[r];
        }
        c->d_sinks[index] -= (float)sum;
    }
}

static void sums_backward(const struct backward *f) {
    const struct attn_call *c = f->c;
    const uint64_t *stride = c->mask.bias_stride;
    struct slices l = {*f, stride[0] ? c->shape.batch : 1, stride[1] ? c->shape.heads : 1, stride[2] ? f->panels : 1};
    if (c->d_bias)
        pool_run(c->pool, l.batch * l.heads * l.panels, bias_task, &l);
    if (c->d_sinks)
        pool_run(c->pool, c->shape.heads, sink_task, &l);
}

void attn_standard_backward(const struct attn_call *c) {
    const struct attn_shape *s = &c->shape;
    if (s->n_q <= STANDARD_FEW) {
        standard_rows_backward(c);
        return;
    }
    struct backward f = {.c = c,
                         .tile = tile_best(),
                         .room = standard_room(s, &c->mask, true),
                         .panels = flash_panels(s),
                         .chain = {.progress = c->work, .chains = s->batch * s->kv_heads}};
    f.slots = (float *)(void *)((unsigned char *)c->work + units_extent(f.room.tasks * sizeof(uint64_t)));
    for (uint64_t i = 0; i < f.room.tasks; i++)
        atomic_init(&f.chain.progress[i], 0);
    pool_run(c->pool, f.room.tasks, backward_task, &f);
    sums_backward(&f);
}
