/* plan_simulate.c - walks a plan once and notes the lives of all values; every figure follows from those.
 *
 * A life of a value begins with the step that makes it (inputs: step 0) and ends with its free. A tensor is *held* from
 * its making to its last read by the backward: those are the saved tensors; lives begun by a second run are
 * *recomputed*. */
#include <string.h>

#include "engine/base/units.h"
#include "engine/plan/plan.h"

#define NOT_ALIVE UINT32_MAX

struct life {
    struct extent extent;
    uint64_t exact_bytes;
    uint32_t held_until; /* last read by a grad or a recomputation; 0 where there is none */
    bool recomputed, gradient, outside_input_or_output;
    bool remade; /* an output that stayed and was written again: what reads it now reads the recomputation */
};

struct simulation {
    struct plan *plan;
    const struct graph *g;
    struct life *lives;
    uint32_t n_lives, room;
    uint32_t *alive;     /* by value: index of its life, or NOT_ALIVE */
    unsigned char *runs; /* by op: 0, 1 or 2 for more */
    struct arena *arena;
};

static struct life *life_begin(struct simulation *s, uint32_t value, uint32_t step, uint64_t bytes,
                               struct problem *why) {
    if (s->n_lives == s->room) {
        struct life *larger = arena_new(s->arena, struct life, (size_t)s->room * 2, why);
        if (!larger)
            return NULL;
        memcpy(larger, s->lives, s->n_lives * sizeof *larger);
        s->lives = larger;
        s->room *= 2;
    }
    struct life *life = &s->lives[s->n_lives];
    *life = (struct life){
        .exact_bytes = bytes,
        .extent = {.value = value, .first = step, .last = s->plan->n_steps - 1, .bytes = units_extent(bytes)}};
    if (value != EXTENT_WORK)
        s->alive[value] = s->n_lives;
    s->n_lives++;
    return life;
}

static bool make(struct simulation *s, uint32_t value, uint32_t step, bool recomputed, struct problem *why) {
    bool gradient = value >= s->g->n_tensors;
    const struct tensor *t = &s->g->tensors[gradient ? value - s->g->n_tensors : value];
    if (t->role == TENSOR_PARAMETER)
        return true;
    if (s->alive[value] != NOT_ALIVE) {
        s->lives[s->alive[value]].remade |= recomputed;
        return true;
    }
    struct life *life = life_begin(s, value, step, t->bytes, why);
    if (!life)
        return false;
    life->recomputed = recomputed;
    life->gradient = gradient;
    life->outside_input_or_output = gradient ? t->grad_requested : t->role == TENSOR_INPUT || t->requested;
    return true;
}

static void read_in_backward(struct simulation *s, uint32_t tensor, uint32_t step) {
    if (s->alive[tensor] != NOT_ALIVE && !s->lives[s->alive[tensor]].remade)
        s->lives[s->alive[tensor]].held_until = step;
}

static bool simulate_run(struct simulation *s, uint32_t step, struct problem *why) {
    uint32_t id = s->plan->steps[step].of;
    const struct op *op = &s->g->ops[id];
    bool again = s->runs[id] > 0;
    s->runs[id] = again ? 2 : 1;
    *(again ? &s->plan->recompute_flops : &s->plan->forward_flops) += op->forward_flops;
    for (uint32_t i = 0; again && i < op->n_inputs; i++)
        read_in_backward(s, op->reads[i], step);
    for (uint32_t i = 0; i < op->n_outputs; i++)
        if (!make(s, op->outputs[i], step, again, why))
            return false;
    return op->forward_work_bytes == 0 || life_begin(s, EXTENT_WORK, step, op->forward_work_bytes, why);
}

static bool simulate_grad(struct simulation *s, uint32_t step, struct problem *why) {
    const struct op *op = &s->g->ops[s->plan->steps[step].of];
    s->plan->backward_flops += op->backward_flops;
    for (uint32_t i = 0; i < op->n_saved; i++)
        read_in_backward(s, op->saved[i], step);
    for (uint32_t i = 0; i < op->n_results; i++)
        if (s->g->tensors[op->outputs[i]].needs_grad && !make(s, s->g->n_tensors + op->outputs[i], step, false, why))
            return false;
    for (uint32_t i = 0; i < op->n_inputs; i++)
        if (s->g->tensors[op->reads[i]].needs_grad && !make(s, s->g->n_tensors + op->reads[i], step, false, why))
            return false;
    return op->backward_work_bytes == 0 || life_begin(s, EXTENT_WORK, step, op->backward_work_bytes, why);
}

static bool simulate_free(struct simulation *s, uint32_t step) {
    uint32_t value = s->plan->steps[step].of;
    s->lives[s->alive[value]].extent.last = step;
    s->alive[value] = NOT_ALIVE;
    return true;
}

static bool simulate_steps(struct simulation *s, struct problem *why) {
    struct plan *plan = s->plan;
    plan->turn = plan->n_steps;
    for (uint32_t t = 0; t < s->g->n_tensors; t++)
        if (s->g->tensors[t].role == TENSOR_INPUT && !make(s, t, 0, false, why))
            return false;
    for (uint32_t step = 0; step < plan->n_steps; step++) {
        enum step_op what = plan->steps[step].op;
        if (plan->turn == plan->n_steps &&
            (what == STEP_GRAD || (what == STEP_RUN && s->runs[plan->steps[step].of] > 0)))
            plan->turn = step;
        uint32_t lives = s->n_lives;
        if (!(what == STEP_RUN    ? simulate_run(s, step, why)
              : what == STEP_GRAD ? simulate_grad(s, step, why)
                                  : simulate_free(s, step)))
            return false;
        for (; lives < s->n_lives; lives++)
            if (s->lives[lives].extent.value == EXTENT_WORK)
                s->lives[lives].extent.last = step;
    }
    return true;
}

/* Adds a life's bytes to one column of the moments it spans, as a difference; sums follow. */
static void span(struct plan_moment *m, size_t column, uint32_t first, uint32_t last, uint64_t bytes) {
    *(uint64_t *)((char *)&m[first] + column) += bytes;
    *(uint64_t *)((char *)&m[last + 1] + column) -= bytes; /* wraps, and unwraps in the sum */
}

#define COLUMN(name) offsetof(struct plan_moment, name)

static void life_spread(const struct life *life, struct plan_moment *m) {
    const struct extent *e = &life->extent;
    size_t rest = e->value == EXTENT_WORK         ? COLUMN(workspace_bytes)
                  : life->recomputed              ? COLUMN(recomputed_bytes)
                  : life->outside_input_or_output ? COLUMN(inputs_outputs_bytes)
                  : life->gradient                ? COLUMN(activation_gradients_bytes)
                                                  : COLUMN(transient_bytes);
    uint32_t from = e->first;
    span(m, COLUMN(live_bytes), e->first, e->last, e->bytes);
    if (life->recomputed)
        span(m, COLUMN(retained_bytes), e->first, e->last, life->exact_bytes);
    else if (life->held_until > 0) {
        span(m, COLUMN(retained_bytes), e->first, life->held_until, life->exact_bytes);
        span(m, COLUMN(saved_activations_bytes), e->first, life->held_until, e->bytes);
        from = life->held_until + 1;
    }
    if (from <= e->last)
        span(m, rest, from, e->last, e->bytes);
}

static void moments_sum(struct plan *plan, struct plan_moment *m) {
    uint64_t *flat = (uint64_t *)m;
    const size_t columns = sizeof *m / sizeof *flat;
    for (size_t i = columns; i < columns * plan->n_steps; i++)
        flat[i] += flat[i - columns];
    for (uint32_t step = 0; step < plan->n_steps; step++) {
        plan->retained_peak_bytes = units_max(plan->retained_peak_bytes, m[step].retained_bytes);
        if (m[step].live_bytes > plan->live_peak_bytes) {
            plan->live_peak_bytes = m[step].live_bytes;
            plan->peak_step = step;
            plan->peak = m[step];
        }
    }
}

/* Held when the forward ends: begun before the turn and read at or after it. */
static uint64_t saved_at_turn(const struct simulation *s) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < s->n_lives; i++) {
        const struct life *life = &s->lives[i];
        if (life->extent.first < s->plan->turn && life->held_until >= s->plan->turn && life->held_until > 0)
            bytes += life->exact_bytes;
    }
    return bytes;
}

bool plan_simulate(struct plan *plan, struct arena *arena, struct plan_moment *moments, struct problem *why) {
    const struct graph *g = plan->graph;
    struct simulation s = {.plan = plan, .g = g, .room = plan->n_steps + g->n_tensors + 16, .arena = arena};
    s.lives = arena_new(arena, struct life, s.room, why);
    s.alive = arena_new(arena, uint32_t, (size_t)g->n_tensors * 2, why);
    s.runs = arena_new(arena, unsigned char, g->n_ops, why);
    struct plan_moment *m = arena_new(arena, struct plan_moment, (size_t)plan->n_steps + 1, why);
    if (!s.lives || !s.alive || !s.runs || !m)
        return false;
    memset(s.alive, 0xff, (size_t)g->n_tensors * 2 * sizeof *s.alive);
    plan->forward_flops = plan->backward_flops = plan->recompute_flops = 0;
    plan->live_peak_bytes = plan->retained_peak_bytes = 0;
    if (!simulate_steps(&s, why))
        return false;
    plan->n_extents = s.n_lives;
    plan->extents = arena_new(arena, struct extent, s.n_lives, why);
    if (!plan->extents)
        return false;
    for (uint32_t i = 0; i < s.n_lives; i++) {
        plan->extents[i] = s.lives[i].extent;
        life_spread(&s.lives[i], m);
    }
    moments_sum(plan, m);
    plan->saved_activations_bytes = saved_at_turn(&s);
    plan->persistent_bytes = graph_persistent_bytes(g);
    if (moments)
        memcpy(moments, m, plan->n_steps * sizeof *m);
    return true;
}
