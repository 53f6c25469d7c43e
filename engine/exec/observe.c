/* observe.c - see observe.h */
#include "engine/exec/observe.h"

#include <stdlib.h>

#include "engine/base/units.h"

struct life {
    uint64_t bytes;
    uint32_t made, freed, last_read; /* last_read 0: never by the backward */
    bool recomputed, rewritten;
};

struct observe {
    const struct graph *g;
    struct life *lives;
    uint32_t n_lives, room;
    uint32_t *at; /* by tensor: its life, 1-based; 0 where it is not there */
    uint32_t turn, n_steps;
    uint64_t *change; /* by step; see observe_sum */
};

struct observe *observe_new(const struct plan *plan) {
    struct observe *o = calloc(1, sizeof *o);
    if (!o)
        return NULL;
    o->g = plan->graph;
    o->n_steps = o->turn = plan->n_steps;
    o->room = plan->n_extents + 1; /* a life is an extent */
    o->lives = calloc(o->room, sizeof *o->lives);
    o->at = calloc((size_t)plan->graph->n_tensors + 1, sizeof *o->at);
    o->change = calloc((size_t)plan->n_steps + 2, sizeof *o->change);
    if (o->lives && o->at && o->change)
        return o;
    observe_free(o);
    return NULL;
}

void observe_free(struct observe *o) {
    if (!o)
        return;
    free(o->lives);
    free(o->at);
    free(o->change);
    free(o);
}

void observe_made(struct observe *o, uint32_t value, uint32_t step) {
    if (value >= o->g->n_tensors)
        return;
    o->lives[o->n_lives] = (struct life){.bytes = o->g->tensors[value].bytes, .made = step, .freed = o->n_steps};
    o->at[value] = ++o->n_lives;
}

void observe_freed(struct observe *o, uint32_t value, uint32_t step) {
    if (value >= o->g->n_tensors)
        return;
    o->lives[o->at[value] - 1].freed = step;
    o->at[value] = 0;
}

static struct life *life_of(struct observe *o, uint32_t tensor) {
    return o->at[tensor] ? &o->lives[o->at[tensor] - 1] : NULL;
}

static void read_again(struct observe *o, uint32_t tensor, uint32_t step) {
    struct life *life = life_of(o, tensor);
    if (life && !life->rewritten)
        life->last_read = step;
}

void observe_run(struct observe *o, const struct op *op, uint32_t step, bool again) {
    if (!again)
        return;
    o->turn = (uint32_t)units_min(o->turn, step);
    for (uint32_t i = 0; i < op->n_inputs; i++)
        read_again(o, op->reads[i], step);
    for (uint32_t i = 0; i < op->n_outputs; i++) {
        struct life *life = life_of(o, op->outputs[i]);
        if (life && life->made == step)
            life->recomputed = true;
        else if (life)
            life->rewritten = true;
    }
}

void observe_grad(struct observe *o, const struct op *op, uint32_t step) {
    o->turn = (uint32_t)units_min(o->turn, step);
    for (uint32_t i = 0; i < op->n_saved; i++)
        read_again(o, op->saved[i], step);
}

/* The steps at which a life is retained, [made, *until]; false if it never is. */
static bool retained(const struct life *life, uint32_t *until) {
    *until = life->recomputed ? life->freed : life->last_read;
    return life->recomputed || life->last_read > 0;
}

void observe_sum(struct observe *o, uint64_t *retained_peak_bytes, uint64_t *saved_bytes) {
    *retained_peak_bytes = *saved_bytes = 0;
    for (uint32_t i = 0; i < o->n_lives;
         i++) { /* change[] holds differences: what comes, less what went the step before */
        const struct life *life = &o->lives[i];
        uint32_t until;
        if (!retained(life, &until))
            continue;
        o->change[life->made] += life->bytes;
        o->change[until + 1] -= life->bytes; /* wraps, and unwraps in the sum */
        if (life->made < o->turn && life->last_read >= o->turn)
            *saved_bytes += life->bytes;
    }
    uint64_t bytes = 0;
    for (uint32_t step = 0; step < o->n_steps; step++) {
        bytes += o->change[step];
        *retained_peak_bytes = units_max(*retained_peak_bytes, bytes);
    }
}
