/* loss.c - see loss.h: cuts, logits, forward. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "engine/base/pool.h"
#include "engine/base/units.h"
#include "engine/kernels/gemm.h"
#include "engine/kernels/loss_cells.h"
#include "engine/kernels/rows.h"
#include "engine/kernels/tile.h"

enum { COLUMNS = 384 };

/* n cut into equal parts of at most `most`, in whole vectors */
static uint64_t part_of(uint64_t n, uint64_t most) {
    return units_ceil_div(units_ceil_div(n, units_ceil_div(n, most)), 16) * 16;
}

struct loss_cuts loss_cuts_of(const struct loss *l) {
    struct loss_cuts c = {.tile = units_ceil_div(units_ceil_div(l->vocab, LOSS_TILES), 16) * 16};
    c.tile = units_min(units_min(c.tile, LOSS_TILE), l->vocab);
    c.tiles = units_ceil_div(l->vocab, c.tile);
    c.block = units_min(l->tokens, LOSS_TOKENS);
    c.blocks = units_ceil_div(l->tokens, c.block);
    c.row = c.tile % 256 ? c.tile : c.tile + 16;
    c.stripe = units_max(2, units_min(LOSS_TILES, LOSS_CELLS / c.blocks));
    c.stripe = units_min(c.stripe, c.tiles);
    if (l->chunk)
        c.stripe = units_max(1, units_min(c.stripe, units_min(l->chunk, l->tokens) * l->vocab / c.row / l->tokens));
    c.columns = part_of(l->in, COLUMNS);
    c.n_columns = units_ceil_div(l->in, c.columns);
    return c;
}

struct loss_cell loss_cell_at(const struct loss *l, const struct loss_cuts *cuts, uint64_t tile, uint64_t block) {
    const uint64_t v = tile * cuts->tile, token = block * cuts->block;
    return (struct loss_cell){v, units_min(cuts->tile, l->vocab - v), token, units_min(cuts->block, l->tokens - token)};
}

static void round_row(uint64_t n, float *y) {
    uint16_t rounded[LOSS_TILE];
    numbers_round(y, n, rounded);
    numbers_widen(rounded, n, y);
}

static void cap_row(float cap, uint64_t n, float *y) {
    for (uint64_t i = 0; i < n; i++)
        y[i] /= cap;
    tile_best()->tanh(n, y, y);
    for (uint64_t i = 0; i < n; i++)
        y[i] *= cap;
}

void loss_logits(const struct loss *l, const struct loss_cell *c, float *to, uint64_t row) {
    float buffer[LOSS_TILE];
    const float *bias = l->bias.at ? numbers_read(l->bias, c->v, c->columns, buffer) : NULL;
    gemm(c->rows, c->columns, l->in, l->scale, gemm_part(l->x, c->token * l->in, l->in, false),
         gemm_part(l->weight, c->v * l->in, l->in, true), false, to, row);
    for (uint64_t r = 0; r < c->rows && (bias || l->cap > 0 || l->narrow); r++) {
        float *y = to + r * row;
        if (bias)
            rows_best()->add(c->columns, y, bias, y);
        if (l->cap > 0)
            cap_row(l->cap, c->columns, y);
        if (l->narrow)
            round_row(c->columns, y);
    }
}

/* ---- forward ---- */

/* Of one row of one cell: its largest logit, and the sum of e^(logit - largest). */
struct partial {
    float top, sum;
};

struct forward {
    const struct loss *l;
    struct loss_cuts cuts;
    struct partial *partials; /* [tiles][tokens] */
    float *at_target;         /* [tokens] */
    float *scratch;           /* [slots][scratch_floats] */
    uint64_t scratch_floats, groups;
};

/* Whole float32 logits are made in their place. */
static uint64_t forward_scratch(const struct loss *l, const struct loss_cuts *c) {
    return l->narrow || l->chunk ? c->block * c->tile : 0;
}

uint64_t loss_forward_work(const struct loss *l, unsigned threads) {
    const struct loss_cuts c = loss_cuts_of(l);
    return units_extent(c.tiles * l->tokens * sizeof(struct partial)) + units_extent(l->tokens * sizeof(float)) +
           threads * units_extent(forward_scratch(l, &c) * sizeof(float));
}

static void rows_sum(const struct forward *f, const struct loss_cell *c, uint64_t tile, const float *y, uint64_t row) {
    const struct tile *t = tile_best();
    for (uint64_t r = 0; r < c->rows; r++, y += row) {
        const uint64_t token = c->token + r;
        const int64_t target = (int64_t)f->l->targets[token] - (int64_t)c->v;
        const float top = t->top(c->columns, y);
        f->partials[tile * f->l->tokens + token] = (struct partial){top, t->powers_sum(c->columns, y, top)};
        if (target >= 0 && target < (int64_t)c->columns)
            f->at_target[token] = y[target];
    }
}

/* Index counts tiles, and within one groups of blocks: one group of all where there are tiles enough. */
static void logits_task(void *arg, uint64_t index, unsigned slot) {
    const struct forward *f = arg;
    const struct loss *l = f->l;
    const uint64_t tile = index / f->groups, each = units_ceil_div(f->cuts.blocks, f->groups);
    float *cell = f->scratch + slot * f->scratch_floats;
    for (uint64_t b = index % f->groups * each, end = units_min(b + each, f->cuts.blocks); b < end; b++) {
        const struct loss_cell c = loss_cell_at(l, &f->cuts, tile, b);
        const bool in_place = !l->chunk && !l->narrow;
        float *to = in_place ? (float *)l->logits.at + c.token * l->vocab + c.v : cell;
        const uint64_t row = in_place ? l->vocab : f->cuts.tile;
        loss_logits(l, &c, to, row);
        rows_sum(f, &c, tile, to, row);
        for (uint64_t r = 0; !l->chunk && l->narrow && r < c.rows; r++)
            numbers_close(l->logits, (c.token + r) * l->vocab + c.v, c.columns, to + r * row);
    }
}

static void join_task(void *arg, uint64_t index, unsigned slot) {
    const struct forward *f = arg;
    const uint64_t tokens = f->l->tokens, end = units_min(tokens, (index + 1) * LOSS_BLOCK);
    (void)slot;
    for (uint64_t token = index * LOSS_BLOCK; token < end; token++) {
        double top = -INFINITY, sum = 0;
        for (uint64_t t = 0; t < f->cuts.tiles; t++) {
            const struct partial *p = &f->partials[t * tokens + token];
            top = p->sum != 0 && (double)p->top > top ? (double)p->top : top;
        }
        for (uint64_t t = 0; t < f->cuts.tiles; t++) {
            const struct partial *p = &f->partials[t * tokens + token];
            sum += p->sum != 0 ? (double)p->sum * exp((double)p->top - top) : 0;
        }
        f->l->log_sum_exp[token] = (float)(top + log(sum));
    }
}

static bool counts(const struct loss *l, uint64_t token) {
    return l->targets[token] >= 0 && (uint64_t)l->targets[token] < l->vocab;
}

static float mean(const struct forward *f) {
    const struct loss *l = f->l;
    uint64_t counted = 0;
    double total = 0;
    for (uint64_t from = 0; from < l->tokens; from += LOSS_BLOCK) {
        double sum = 0;
        for (uint64_t t = from; t < units_min(l->tokens, from + LOSS_BLOCK); t++)
            if (counts(l, t)) {
                sum += (double)l->log_sum_exp[t] - (double)f->at_target[t];
                counted++;
            }
        total += sum;
    }
    return counted ? (float)(total / (double)counted) : 0;
}

void loss_forward(const struct loss *l) {
    struct forward f = {.l = l, .cuts = loss_cuts_of(l), .partials = l->work};
    unsigned char *at = (unsigned char *)l->work + units_extent(f.cuts.tiles * l->tokens * sizeof(struct partial));
    f.at_target = (float *)at;
    f.scratch = (float *)(at + units_extent(l->tokens * sizeof(float)));
    f.scratch_floats = units_extent(forward_scratch(l, &f.cuts) * sizeof(float)) / sizeof(float);
    f.groups = f.cuts.tiles < LOSS_TILES ? f.cuts.blocks : 1;
    pool_run(l->pool, f.cuts.tiles * f.groups, logits_task, &f);
    pool_run(l->pool, units_ceil_div(l->tokens, LOSS_BLOCK), join_task, &f);
    *l->loss = mean(&f);
}
