/* plan.c - from moves to a finished plan: where each life of each value ends. */
#include "engine/plan/plan.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/units.h"

static const char *const step_names[] = {[STEP_RUN] = "run", [STEP_GRAD] = "grad", [STEP_FREE] = "free"};
_Static_assert(sizeof step_names / sizeof step_names[0] == STEP_OPS, "one name per step op");

const char *plan_step_name(enum step_op op) {
    return step_names[op];
}

const char *plan_op_name(const struct graph *g, uint32_t op, struct arena *arena, struct problem *why) {
    const struct op *o = &g->ops[op];
    return o->layer == GRAPH_NONE || !g->borrow_names ? o->name : arena_printf(arena, why, "%u.%s", o->layer, o->name);
}

const char *plan_value_name(const struct graph *g, uint32_t value, struct arena *arena, struct problem *why) {
    bool gradient = value >= g->n_tensors;
    const struct tensor *t = &g->tensors[gradient ? value - g->n_tensors : value];
    const struct op *maker = t->producer == GRAPH_NONE || !g->borrow_names ? NULL : &g->ops[t->producer];
    char layer[16] = "";
    if (!maker && !gradient)
        return t->name;
    if (maker && maker->layer != GRAPH_NONE)
        snprintf(layer, sizeof layer, "%u.", maker->layer);
    bool part = maker && t->name != maker->name; /* one of several outputs: its name is what it is to the op */
    return arena_printf(arena, why, "%s%s%s%s%s%s", gradient ? "d(" : "", layer, part ? maker->name : "",
                        part ? "." : "", t->name, gradient ? ")" : "");
}

uint64_t plan_value_bytes(const struct graph *g, uint32_t value) {
    return g->tensors[value < g->n_tensors ? value : value - g->n_tensors].bytes;
}

/* Frees are found walking the moves backwards: a value that a move touches dies with it unless the next event is a
 * read. A value whose next event is that it is made again dies too: that is what dropping an activation means. */
enum next_event { NEXT_NOTHING, NEXT_READ, NEXT_MADE };

struct ends {
    const struct graph *g;
    unsigned char *next; /* enum next_event by value */
    struct step *out;    /* filled from the back */
    uint32_t room, at;
    struct arena *arena;
};

static bool ends_push(struct ends *e, struct step step, struct problem *why) {
    if (e->at == 0) {
        uint32_t larger = e->room * 2;
        struct step *copy = arena_new(e->arena, struct step, larger, why);
        if (!copy)
            return false;
        memcpy(copy + (larger - e->room), e->out, e->room * sizeof *copy);
        e->out = copy;
        e->at = larger - e->room;
        e->room = larger;
    }
    e->out[--e->at] = step;
    return true;
}

static bool kept_to_the_end(const struct graph *g, uint32_t value) {
    return value < g->n_tensors ? g->tensors[value].requested : g->tensors[value - g->n_tensors].grad_requested;
}

static bool in_slab(const struct graph *g, uint32_t value) {
    return g->tensors[value < g->n_tensors ? value : value - g->n_tensors].role != TENSOR_PARAMETER;
}

/* One touch of a value by the move at hand. Frees it behind the move if this is its last one in this life. */
static bool ends_touch(struct ends *e, uint32_t value, struct problem *why) {
    if (!in_slab(e->g, value) || e->next[value] == NEXT_READ || kept_to_the_end(e->g, value))
        return true;
    e->next[value] = NEXT_READ; /* touched twice by one move: freed once */
    return ends_push(e, (struct step){STEP_FREE, value}, why);
}

static bool ends_touch_all(struct ends *e, const struct op *op, enum step_op what, struct problem *why) {
    uint32_t gradient = e->g->n_tensors;
    bool ok = true;
    if (what == STEP_RUN) {
        for (uint32_t i = 0; ok && i < op->n_outputs; i++)
            ok = ends_touch(e, op->outputs[i], why);
        for (uint32_t i = 0; ok && i < op->n_inputs; i++)
            ok = ends_touch(e, op->reads[i], why);
        return ok;
    }
    for (uint32_t i = 0; ok && i < op->n_saved; i++)
        ok = ends_touch(e, op->saved[i], why);
    for (uint32_t i = 0; ok && i < op->n_results; i++)
        if (e->g->tensors[op->outputs[i]].needs_grad)
            ok = ends_touch(e, gradient + op->outputs[i], why);
    for (uint32_t i = 0; ok && i < op->n_inputs; i++)
        if (e->g->tensors[op->reads[i]].needs_grad)
            ok = ends_touch(e, gradient + op->reads[i], why);
    return ok;
}

/* What the touches of this move mean for the moves before it. */
static void ends_mark(struct ends *e, const struct op *op, enum step_op what) {
    uint32_t gradient = e->g->n_tensors;
    if (what == STEP_RUN) {
        for (uint32_t i = 0; i < op->n_outputs; i++)
            e->next[op->outputs[i]] = NEXT_MADE;
        for (uint32_t i = 0; i < op->n_inputs; i++)
            e->next[op->reads[i]] = NEXT_READ;
        return;
    }
    for (uint32_t i = 0; i < op->n_saved; i++)
        e->next[op->saved[i]] = NEXT_READ;
    for (uint32_t i = 0; i < op->n_results; i++)
        if (e->g->tensors[op->outputs[i]].needs_grad)
            e->next[gradient + op->outputs[i]] = NEXT_READ;
    for (uint32_t i = 0; i < op->n_inputs; i++)
        if (e->g->tensors[op->reads[i]].needs_grad)
            e->next[gradient + op->reads[i]] = NEXT_READ;
}

static bool moves_end(struct ends *e, const struct step *moves, uint32_t n_moves, struct problem *why) {
    for (uint32_t i = n_moves; i-- > 0;) {
        const struct op *op = &e->g->ops[moves[i].of];
        if (!ends_touch_all(e, op, moves[i].op, why) || !ends_push(e, moves[i], why))
            return false;
        ends_mark(e, op, moves[i].op);
    }
    for (uint32_t t = 0; t < e->g->n_tensors; t++) /* an input that nobody reads */
        if (e->g->tensors[t].role == TENSOR_INPUT && e->next[t] == NEXT_NOTHING && !kept_to_the_end(e->g, t) &&
            !ends_push(e, (struct step){STEP_FREE, t}, why))
            return false;
    return true;
}

bool plan_make(const struct graph *g, const struct step *moves, uint32_t n_moves, struct arena *arena,
               struct plan *plan, struct problem *why) {
    *plan = (struct plan){.graph = g};
    struct ends e = {.g = g, .room = n_moves * 3 + 16, .arena = arena};
    e.at = e.room;
    e.next = arena_new(arena, unsigned char, (size_t)g->n_tensors * 2, why);
    e.out = arena_new(arena, struct step, e.room, why);
    if (!e.next || !e.out || !moves_end(&e, moves, n_moves, why))
        return false;
    plan->steps = e.out + e.at;
    plan->n_steps = e.room - e.at;
    return plan_check(plan, arena, why) && plan_simulate(plan, arena, NULL, why) && plan_layout(plan, arena, why);
}
