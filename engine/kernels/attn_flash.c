/* attn_flash.c - attention tile by tile, forward, and what its backward shares; see attn_flash.h.
 *
 * Dao et al. 2022, "FlashAttention" (arXiv 2205.14135), algorithm 1, with query panels outside and key tiles inside:
 * one task per panel, or per few that share the keys of a long head, so that one head alone keeps every thread busy.
 * Scores lie transposed (tile.h). */
#include "engine/kernels/attn_flash.h"

#include <math.h>
#include <string.h>

#include "engine/base/pool.h"
#include "engine/base/units.h"
#include "engine/kernels/attn_drop.h"
#include "engine/kernels/attn_kernels.h"

uint64_t flash_panels(const struct attn_shape *s) {
    return units_ceil_div(s->n_q, flash_step(s));
}

uint64_t flash_step(const struct attn_shape *s) {
    enum { GRAIN = 16, TASKS_WANTED = 8 };
    uint64_t step = TILE_PANEL;
    while (step > GRAIN && s->batch * s->heads * units_ceil_div(s->n_q, step) < TASKS_WANTED)
        step -= GRAIN;
    return step;
}

uint64_t flash_width(uint64_t d) {
    return units_ceil_div(units_min(d, FLASH_D_MAX), TILE_WIDTH) * TILE_WIDTH;
}

uint64_t flash_widest(const struct attn_shape *s) {
    return flash_width(units_max(s->d, attn_value_dim(s)));
}

uint64_t flash_tile_keys(const struct attn_shape *s) {
    enum { FLOATS = 49152, GRAIN = 24 };
    return units_max(GRAIN, units_min(FLASH_TILE_MAX, FLOATS / flash_widest(s) / GRAIN * GRAIN));
}

struct flash_panel flash_panel(const struct attn_call *c, uint64_t b, uint64_t h, uint64_t i) {
    const struct attn_shape *s = &c->shape;
    unsigned rows = (unsigned)units_min(flash_step(s), s->n_q - i);
    struct flash_panel p = {.c = c, .b = b, .h = h, .h_k = h / (s->heads / s->kv_heads), .i = i, .rows = rows};
    /* both ends of a query's keys only move up with the query */
    attn_key_range(s, &c->mask, i, &p.lo, &p.all_hi);
    attn_key_range(s, &c->mask, i + rows - 1, &p.all_lo, &p.hi);
    return p;
}

/* key - position < ahead and position - key < behind, where key = j + row and position = i + column + n_k - n_q */
struct tile_band flash_band(const struct flash_panel *p, uint64_t j) {
    const struct attn_shape *s = &p->c->shape;
    const struct attn_mask *m = &p->c->mask;
    const int64_t shift = (int64_t)(p->i + s->n_k) - (int64_t)(s->n_q + j), most = TILE_FAR, far = (int64_t)1 << 61;
    const int64_t lo = shift - (int64_t)units_min(m->behind, (uint64_t)far) + 1;
    const int64_t hi = shift + (int64_t)units_min(m->ahead, (uint64_t)far);
    return (struct tile_band){p->rows,
                              lo < -most  ? -most
                              : lo > most ? most
                                          : lo,
                              hi < -most  ? -most
                              : hi > most ? most
                                          : hi};
}

const float *flash_rows(const float *from, uint64_t *row, uint64_t n, uint64_t d, uint64_t width, float *pad) {
    if (d == width)
        return from;
    for (uint64_t r = 0; r < n; r++) {
        memcpy(pad + r * width, from + r * *row, d * sizeof *pad);
        memset(pad + r * width + d, 0, (width - d) * sizeof *pad);
    }
    *row = width;
    return pad;
}

void flash_expect(const float *from, uint64_t row, uint64_t rows, uint64_t d) {
    enum { LINE = 16 };
    for (uint64_t r = 0; r < rows; r++)
        for (uint64_t c = 0; c < d; c += LINE)
            __builtin_prefetch(from + r * row + c, 0, 2);
}

static void bias_add(const struct flash_panel *p, uint64_t j, uint64_t n, float *t) {
    const struct attn_mask *m = &p->c->mask;
    const float *bias = m->bias + p->b * m->bias_stride[0] + p->h * m->bias_stride[1] + j * m->bias_stride[3];
    for (unsigned r = 0; r < p->rows; r++) {
        const float *bias_r = bias + (p->i + r) * m->bias_stride[2];
        for (uint64_t key = 0; key < n; key++)
            t[key * TILE_PANEL + r] += bias_r[key * m->bias_stride[3]] * (float)FLASH_LOG2_E;
    }
}

static void slope_take(const struct flash_panel *p, uint64_t j, uint64_t n, float slope, float *t) {
    const float factor = (float)(slope * FLASH_LOG2_E);
    for (uint64_t key = 0; key < n; key++)
        for (unsigned r = 0; r < p->rows; r++)
            t[key * TILE_PANEL + r] -= factor * (float)attn_distance(&p->c->shape, p->i + r, j + key);
}

static void cap(uint64_t n, float softcap, float *t) {
    const float in = (float)(FLASH_LN_2 / softcap), out = (float)(softcap * FLASH_LOG2_E);
    for (uint64_t e = 0; e < n * TILE_PANEL; e++)
        t[e] = out * tanhf(t[e] * in);
}

void flash_scores(const struct flash_panel *p, const struct tile *tile, const struct tile_band *band, uint64_t j,
                  uint64_t n, const float *x, float *t) {
    const struct attn_shape *s = &p->c->shape;
    const float *k = p->c->k + p->b * s->k.batch + p->h_k * s->k.head + j * s->k.row;
    const float slope = attn_slope(s, &p->c->mask, p->b, p->h);
    tile->dots(band, n, s->d, k, s->k.row, x, t);
    if (p->c->mask.softcap != 0)
        cap(n, p->c->mask.softcap, t);
    if (slope != 0)
        slope_take(p, j, n, slope, t);
    if (p->c->mask.bias)
        bias_add(p, j, n, t);
    if (j < p->all_lo || j + n > p->all_hi)
        tile->forbid(band, n, t);
}

/* The panels of a task go through the keys side by side: what one brings in from memory serves them all. One panel
 * where caches hold a head's keys and values, and fewer than GROUP where tasks get scarce. */
enum { GROUP_MAX = 4 };

static bool is_far(const struct attn_shape *s) {
    enum { FAR_FLOATS = 1 << 21 };
    return s->n_k >= FAR_FLOATS / units_min(FAR_FLOATS, s->d + attn_value_dim(s));
}

static uint64_t group_of(const struct attn_shape *s) {
    enum { TASKS_WANTED = 32 };
    const uint64_t panels = s->batch * s->heads * flash_panels(s);
    return is_far(s) ? units_max(1, units_min(GROUP_MAX, panels / TASKS_WANTED)) : 1;
}

/* One slot's workspace, in floats; each part is whole cache lines: what the panels of a task share, scores first, and
 * what each has of its own, q^T first. */
struct room {
    uint64_t group;         /* panels of a task */
    uint64_t tile;          /* keys of a tile */
    uint64_t v, own;        /* offsets: v padded, what the first panel owns */
    uint64_t rows, y, each; /* offsets in that: m l alpha, output; all of it */
    uint64_t floats;        /* everything */
};

static uint64_t line(uint64_t floats) {
    return units_ceil_div(floats, 16) * 16;
}

static struct room room_of(const struct attn_shape *s) {
    const uint64_t width = flash_widest(s), d_v = attn_value_dim(s);
    struct room r = {.group = group_of(s), .tile = units_min(s->n_k, flash_tile_keys(s))};
    r.v = line(r.tile * TILE_PANEL);
    r.own = r.v + (flash_width(d_v) == d_v ? 0 : r.tile * flash_width(d_v));
    r.rows = width * TILE_PANEL;
    r.y = r.rows + line(3 * TILE_PANEL);
    r.each = r.y + TILE_PANEL * width;
    r.floats = r.own + r.group * r.each;
    return r;
}

static uint64_t head_tasks(const struct attn_shape *s) {
    return units_ceil_div(flash_panels(s), group_of(s));
}

static uint64_t forward_tasks(const struct attn_shape *s) {
    return s->batch * s->heads * head_tasks(s);
}

struct forward {
    const struct attn_call *c;
    const struct tile *tile;
    struct room room;
    uint64_t head_tasks, panels; /* of a head */
};

/* A panel on its way through the keys. */
struct open_panel {
    struct flash_panel p;
    float *x, *m, *l, *alpha, *y;
};

void flash_sink_join(float sink, uint64_t width, float *m, float *l, float *y) {
    const float s = (float)(sink * FLASH_LOG2_E);
    for (unsigned r = 0; r < TILE_PANEL; r++) {
        const float top = m[r] > s ? m[r] : s;
        if (top == -INFINITY || isnan(m[r]))
            continue;
        const float share = exp2f(m[r] - top);
        l[r] = l[r] * share + exp2f(s - top);
        m[r] = top;
        for (uint64_t c = 0; c < width; c++)
            y[r * width + c] *= share;
    }
}

/* o_i = y_i / l_i; the log-sum-exp goes to aux. */
static void panel_finish(const struct flash_panel *p, const float *m, const float *l, const float *y, uint64_t width) {
    const struct attn_shape *s = &p->c->shape;
    const uint64_t d_v = attn_value_dim(s);
    float *o = p->c->o + p->b * s->o.batch + p->h * s->o.head + p->i * s->o.row;
    float *lse = p->c->aux + (p->b * s->heads + p->h) * s->n_q + p->i;
    for (unsigned r = 0; r < p->rows; r++) {
        float share = l[r] == 0 ? 0 : 1 / l[r];
        for (uint64_t c = 0; c < d_v; c++)
            o[r * s->o.row + c] = y[r * width + c] * share;
        lse[r] = l[r] == 0 ? -INFINITY : (float)((m[r] + log2((double)l[r])) * FLASH_LN_2);
    }
}

static struct open_panel panel_open(const struct forward *f, uint64_t head, uint64_t i, float *own) {
    const struct attn_call *c = f->c;
    const struct attn_shape *s = &c->shape;
    const struct flash_panel p = flash_panel(c, head / s->heads, head % s->heads, i);
    float *m = own + f->room.rows;
    const struct open_panel o = {p, own, m, m + TILE_PANEL, m + 2 * TILE_PANEL, own + f->room.y};
    f->tile->turn(p.rows, s->d, c->q + p.b * s->q.batch + p.h * s->q.head + p.i * s->q.row, s->q.row,
                  (float)(c->scale * FLASH_LOG2_E), o.x);
    memset(o.y, 0, TILE_PANEL * flash_widest(s) * sizeof *o.y);
    for (unsigned r = 0; r < TILE_PANEL; r++) {
        o.m[r] = -INFINITY;
        o.l[r] = 0;
    }
    return o;
}

static uint64_t tile_keys(const struct forward *f, const struct flash_panel *p, uint64_t j) {
    return j < p->hi ? units_min(f->room.tile, p->hi - j) : 0;
}

/* Keys j .. of the panel, up to a tile of them. */
static void panel_step(const struct forward *f, const struct open_panel *o, uint64_t j, float *work) {
    const struct attn_call *c = f->c;
    const struct attn_shape *s = &c->shape;
    const struct flash_panel *p = &o->p;
    const struct tile_band band = flash_band(p, j);
    const uint64_t n = tile_keys(f, p, j), d_v = attn_value_dim(s), width = flash_width(d_v);
    const float *v = c->v + p->b * s->v.batch + p->h_k * s->v.head + j * s->v.row;
    uint64_t kept[FLASH_TILE_MAX], v_row = s->v.row;
    float *t = work;
    if (n == 0)
        return;
    v = flash_rows(v, &v_row, n, d_v, width, work + f->room.v);
    flash_scores(p, f->tile, &band, j, n, o->x, t);
    f->tile->soft(&band, n, t, o->m, o->l, o->alpha);
    if (c->dropout.p > 0) {
        attn_drop_bits(f->tile, &c->dropout, attn_head_number(s, p->b, p->h), p->i, p->rows, j, n, kept);
        f->tile->drop(&band, n, kept, attn_drop_factor(&c->dropout), t, t);
    }
    f->tile->gather(&band, n, width, t, v, v_row, o->alpha, o->y);
}

/* Part `part` of `parts` of the keys and values of a tile to come, where those of a head are more than caches hold;
 * elsewhere asking costs more than waiting. */
static void tile_expect(const struct forward *f, const struct flash_panel *p, uint64_t j, uint64_t part,
                        uint64_t parts) {
    const struct attn_call *c = f->c;
    const struct attn_shape *s = &c->shape;
    const uint64_t keys = tile_keys(f, p, j), from = keys * part / parts, n = keys * (part + 1) / parts - from;
    if (n == 0 || !is_far(s))
        return;
    j += from;
    flash_expect(c->k + p->b * s->k.batch + p->h_k * s->k.head + j * s->k.row, s->k.row, n, s->d);
    flash_expect(c->v + p->b * s->v.batch + p->h_k * s->v.head + j * s->v.row, s->v.row, n, attn_value_dim(s));
}

static void panel_close(const struct forward *f, const struct open_panel *o) {
    const uint64_t width = flash_width(attn_value_dim(&f->c->shape));
    if (f->c->mask.sinks)
        flash_sink_join(f->c->mask.sinks[o->p.h], width, o->m, o->l, o->y);
    panel_finish(&o->p, o->m, o->l, o->y, width);
}

static void forward_task(void *arg, uint64_t index, unsigned slot) {
    const struct forward *f = arg;
    const struct room *room = &f->room;
    /* the longest panels of a causal mask first */
    const uint64_t head = index / f->head_tasks, first = (f->head_tasks - 1 - index % f->head_tasks) * room->group;
    const uint64_t panels = units_min(room->group, f->panels - first), step = flash_step(&f->c->shape);
    float *work = (float *)f->c->work + slot * room->floats;
    struct open_panel o[GROUP_MAX];
    uint64_t keys = 0; /* of the panel that has most */

    for (uint64_t g = 0; g < panels; g++) {
        o[g] = panel_open(f, head, (first + g) * step, work + room->own + g * room->each);
        if (o[g].p.hi > o[g].p.lo)
            keys = units_max(keys, o[g].p.hi - o[g].p.lo);
    }
    for (uint64_t at = 0; at < keys; at += room->tile)
        for (uint64_t g = 0; g < panels; g++) {
            tile_expect(f, &o[panels - 1].p, o[panels - 1].p.lo + at + room->tile, g, panels);
            panel_step(f, &o[g], o[g].p.lo + at, work);
        }
    for (uint64_t g = 0; g < panels; g++)
        panel_close(f, &o[g]);
}

void attn_flash_forward(const struct attn_call *c) {
    const struct attn_shape *s = &c->shape;
    struct forward f = {c, tile_best(), room_of(s), head_tasks(s), flash_panels(s)};
    pool_run(c->pool, forward_tasks(s), forward_task, &f);
}

void flash_follow(const struct flash_chain *c, uint64_t index, uint64_t step) {
    if (index >= c->chains)
        pool_follow(&c->progress[index - c->chains], step);
}

void flash_announce(const struct flash_chain *c, uint64_t index, uint64_t step) {
    atomic_store_explicit(&c->progress[index], step, memory_order_release);
}

uint64_t flash_slots_bytes(unsigned threads, uint64_t tasks, uint64_t floats) {
    const uint64_t most = (uint64_t)1 << 62;
    uint64_t bytes;
    return units_mul(units_min(threads, tasks), floats * sizeof(float), &bytes) ? units_min(bytes, most) : most;
}

unsigned attn_flash_aux_shape(const struct attn_shape *s, uint64_t shape[4]) {
    shape[0] = s->batch;
    shape[1] = s->heads;
    shape[2] = s->n_q;
    return 3;
}

uint64_t attn_flash_work_bytes(const struct attn_shape *s, const struct attn_mask *m, bool backward, unsigned threads) {
    (void)m;
    if (backward)
        return flash_backward_work_bytes(s, threads);
    return flash_slots_bytes(threads, forward_tasks(s), room_of(s).floats);
}
