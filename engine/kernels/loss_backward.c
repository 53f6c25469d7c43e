/* loss_backward.c - see loss.h: stripe by stripe, gradients of logits, then what they add. */
#include <stddef.h>
#include <string.h>

#include "engine/base/pool.h"
#include "engine/base/units.h"
#include "engine/kernels/gemm.h"
#include "engine/kernels/loss_cells.h"
#include "engine/kernels/rows.h"
#include "engine/kernels/tile.h"

enum { ROWS = 256 }; /* of a piece of d_x */

struct backward {
    const struct loss *l;
    struct loss_cuts cuts;
    struct numbers stripe; /* gradients of its logits: [tiles][tokens][row] */
    float *d_x;            /* narrow: [tokens][in], sums that are rounded at the end */
    float *scratch;        /* narrow: [slots][scratch_floats] */
    uint64_t scratch_floats;
    uint64_t first, tiles; /* of the stripe at hand */
    uint64_t groups;
    float factor; /* d_loss / counted */
};

/* A cell's logits, and later the sums of a part of d_weight. */
static uint64_t scratch_floats(const struct loss *l, const struct loss_cuts *c) {
    const uint64_t logits = l->chunk ? c->block * c->tile : 0, sums = c->tile * c->columns;
    return l->narrow ? units_extent(units_max(logits, sums) * sizeof(float)) / sizeof(float) : 0;
}

static uint64_t stripe_bytes(const struct loss *l, const struct loss_cuts *c) {
    return units_extent(c->stripe * l->tokens * c->row * (l->narrow ? sizeof(uint16_t) : sizeof(float)));
}

static uint64_t sums_bytes(const struct loss *l) {
    return l->narrow ? units_extent(l->tokens * l->in * sizeof(float)) : 0;
}

uint64_t loss_backward_work(const struct loss *l, unsigned threads) {
    const struct loss_cuts c = loss_cuts_of(l);
    return stripe_bytes(l, &c) + sums_bytes(l) + threads * scratch_floats(l, &c) * sizeof(float);
}

/* Where row `token` of a tile lies in the stripe. */
static uint64_t stripe_at(const struct backward *b, uint64_t tile, uint64_t token) {
    return ((tile - b->first) * b->l->tokens + token) * b->cuts.row;
}

/* ---- gradients of logits ---- */

/* d[n] = the gradients of logits s[n] of a token from v on; d may be s */
static void slopes(const struct backward *b, uint64_t token, uint64_t v, uint64_t n, const float *s, float *d) {
    const struct loss *l = b->l;
    const int64_t target = l->targets[token];
    float logits[LOSS_TILE];
    if (target < 0 || target >= (int64_t)l->vocab) {
        memset(d, 0, n * sizeof *d);
        return;
    }
    if (l->cap > 0)
        memcpy(logits, s, n * sizeof *s);
    tile_best()->powers_of(n, s, l->log_sum_exp[token], b->factor, d);
    if ((uint64_t)target >= v && (uint64_t)target < v + n)
        d[(uint64_t)target - v] -= b->factor;
    for (uint64_t i = 0; l->cap > 0 && i < n; i++)
        d[i] *= 1 - (logits[i] / l->cap) * (logits[i] / l->cap);
}

static void slopes_cell(const struct backward *b, uint64_t tile, const struct loss_cell *c, const float *made,
                        uint64_t made_row) {
    const struct loss *l = b->l;
    for (uint64_t r = 0; r < c->rows; r++) {
        const uint64_t token = c->token + r, at = stripe_at(b, tile, token);
        float saved[LOSS_TILE], buffer[LOSS_TILE];
        const float *s =
            l->chunk ? made + r * made_row : numbers_read(l->logits, token * l->vocab + c->v, c->columns, saved);
        float *d = numbers_open(b->stripe, at, buffer);
        slopes(b, token, c->v, c->columns, s, d);
        numbers_close(b->stripe, at, c->columns, d);
    }
}

/* Logits that were not kept are made in the stripe itself, narrow ones beside it. */
static void slopes_task(void *arg, uint64_t index, unsigned slot) {
    const struct backward *b = arg;
    const struct loss *l = b->l;
    const uint64_t tile = b->first + index / b->groups, each = units_ceil_div(b->cuts.blocks, b->groups);
    for (uint64_t i = index % b->groups * each, end = units_min(i + each, b->cuts.blocks); i < end; i++) {
        const struct loss_cell c = loss_cell_at(l, &b->cuts, tile, i);
        float *made =
            l->narrow ? b->scratch + slot * b->scratch_floats : (float *)b->stripe.at + stripe_at(b, tile, c.token);
        const uint64_t row = l->narrow ? b->cuts.tile : b->cuts.row;
        if (l->chunk)
            loss_logits(l, &c, made, row);
        slopes_cell(b, tile, &c, made, row);
    }
}

/* ---- what they add ---- */

static void add_bias(const struct backward *b, uint64_t tile) {
    const struct loss *l = b->l;
    const struct loss_cell c = loss_cell_at(l, &b->cuts, tile, 0);
    double sum[LOSS_TILE] = {0};
    float buffer[LOSS_TILE];
    for (uint64_t token = 0; token < l->tokens; token++) {
        const float *d = numbers_read(b->stripe, stripe_at(b, tile, token), c.columns, buffer);
        rows_best()->sums(c.columns, d, sum);
    }
    float *to = numbers_open_sum(l->d_bias, c.v, c.columns, buffer);
    for (uint64_t i = 0; i < c.columns; i++)
        to[i] += (float)sum[i];
    numbers_close(l->d_bias, c.v, c.columns, to);
}

/* d_weight[tile][columns from `from`] += gradients of all tokens, block after block */
static void add_weight(const struct backward *b, uint64_t tile, uint64_t from, float *sums) {
    const struct loss *l = b->l;
    const uint64_t n = units_min(b->cuts.columns, l->in - from), row = l->narrow ? n : l->in;
    struct loss_cell c = loss_cell_at(l, &b->cuts, tile, 0);
    const uint64_t place = c.v * l->in + from;
    for (uint64_t r = 0; l->narrow && r < c.columns; r++)
        numbers_widen((const uint16_t *)l->d_weight.at + place + r * l->in, n, sums + r * n);
    float *to = numbers_open(l->d_weight, place, sums);
    for (uint64_t i = 0; i < b->cuts.blocks; i++) {
        c = loss_cell_at(l, &b->cuts, tile, i);
        gemm(c.columns, n, c.rows, l->scale, gemm_part(b->stripe, stripe_at(b, tile, c.token), b->cuts.row, true),
             gemm_part(l->x, c.token * l->in + from, l->in, false), true, to, row);
    }
    for (uint64_t r = 0; l->narrow && r < c.columns; r++)
        numbers_close(l->d_weight, place + r * l->in, n, to + r * n);
}

static void weight_task(void *arg, uint64_t index, unsigned slot) {
    const struct backward *b = arg;
    const uint64_t tile = b->first + index / b->cuts.n_columns, part = index % b->cuts.n_columns;
    if (part == 0 && b->l->d_bias.at)
        add_bias(b, tile);
    if (b->l->d_weight.at)
        add_weight(b, tile, part * b->cuts.columns, b->scratch + slot * b->scratch_floats);
}

/* d_x[ROWS tokens][columns] += gradients times weight, tile after tile */
static void x_task(void *arg, uint64_t index, unsigned slot) {
    const struct backward *b = arg;
    const struct loss *l = b->l;
    const uint64_t token = index / b->cuts.n_columns * ROWS, from = index % b->cuts.n_columns * b->cuts.columns;
    const uint64_t rows = units_min(ROWS, l->tokens - token), n = units_min(b->cuts.columns, l->in - from);
    float *to = (l->narrow ? b->d_x : (float *)l->d_x.at) + token * l->in + from;
    (void)slot;
    for (uint64_t tile = b->first; tile < b->first + b->tiles; tile++) {
        const struct loss_cell c = loss_cell_at(l, &b->cuts, tile, 0);
        gemm(rows, n, c.columns, l->scale, gemm_part(b->stripe, stripe_at(b, tile, token), b->cuts.row, false),
             gemm_part(l->weight, c.v * l->in + from, l->in, false), !l->narrow || tile > 0, to, l->in);
    }
}

/* Narrow: the sums join what is there. */
static void round_task(void *arg, uint64_t index, unsigned slot) {
    const struct backward *b = arg;
    const struct loss *l = b->l;
    const uint64_t end = units_min(l->tokens * l->in, (index + 1) * LOSS_TILE);
    (void)slot;
    for (uint64_t at = index * LOSS_TILE; at < end; at += NUMBERS_BLOCK) {
        const uint64_t n = units_min(NUMBERS_BLOCK, end - at);
        float buffer[NUMBERS_BLOCK], *to = numbers_open_sum(l->d_x, at, n, buffer);
        rows_best()->add(n, to, b->d_x + at, to);
        numbers_close(l->d_x, at, n, to);
    }
}

static uint64_t counted(const struct loss *l) {
    uint64_t n = 0;
    for (uint64_t t = 0; t < l->tokens; t++)
        n += l->targets[t] >= 0 && (uint64_t)l->targets[t] < l->vocab;
    return n;
}

void loss_backward(const struct loss *l) {
    struct backward b = {.l = l, .cuts = loss_cuts_of(l), .stripe = {l->work, l->narrow}};
    unsigned char *at = (unsigned char *)l->work + stripe_bytes(l, &b.cuts);
    const uint64_t n = counted(l);
    if (n == 0)
        return;
    b.factor = l->d_loss / (float)n;
    b.d_x = (float *)at;
    b.scratch = (float *)(at + sums_bytes(l));
    b.scratch_floats = scratch_floats(l, &b.cuts);
    for (b.first = 0; b.first < b.cuts.tiles; b.first += b.tiles) {
        b.tiles = units_min(b.cuts.stripe, b.cuts.tiles - b.first);
        b.groups = b.tiles < LOSS_TILES ? b.cuts.blocks : 1;
        pool_run(l->pool, b.tiles * b.groups, slopes_task, &b);
        if (l->d_weight.at || l->d_bias.at)
            pool_run(l->pool, b.tiles * b.cuts.n_columns, weight_task, &b);
        if (l->d_x.at)
            pool_run(l->pool, units_ceil_div(l->tokens, ROWS) * b.cuts.n_columns, x_task, &b);
    }
    if (l->narrow && l->d_x.at)
        pool_run(l->pool, units_ceil_div(l->tokens * l->in, LOSS_TILE), round_task, &b);
}
