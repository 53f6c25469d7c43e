/* chain_stage.c - see chain_stage.h */
#include "engine/plan/chain_stage.h"

#include <string.h>

#include "engine/base/units.h"

/* ---- making one ---- */

struct numbering {
    struct local_stage *s;
    uint32_t *local, room;
};

static uint32_t number(struct numbering *n, uint32_t value) {
    struct local_stage *s = n->s;
    if (n->local[value] == GRAPH_NONE) {
        n->local[value] = s->n_values;
        s->values[s->n_values++] = (struct local_value){
            .bytes = units_extent(plan_value_bytes(s->graph, value)), .value = value, .maker = GRAPH_NONE};
    }
    return n->local[value];
}

static void add(struct numbering *n, struct local_list *list, uint32_t tensor, bool gradient) {
    const struct graph *g = n->s->graph;
    if (g->tensors[tensor].role != TENSOR_PARAMETER)
        list->of[list->n++] = number(n, gradient ? g->n_tensors + tensor : tensor);
}

static void op_number(struct numbering *n, uint32_t i, uint32_t *room) {
    struct local_stage *s = n->s;
    const struct op *op = &s->graph->ops[s->first_op + i];
    struct local_op *l = &s->ops[i];
    l->reads.of = room;
    l->makes.of = l->reads.of + op->n_inputs;
    l->saved.of = l->makes.of + op->n_outputs;
    l->gradients.of = l->saved.of + op->n_saved;
    l->needs_grad = op->needs_grad && s->graph->backward;
    l->function = op->kind == OP_FUNCTION;
    l->forward_work = units_extent(op->forward_work_bytes);
    l->backward_work = units_extent(op->backward_work_bytes);
    for (uint32_t k = 0; k < op->n_inputs; k++)
        add(n, &l->reads, op->reads[k], false);
    for (uint32_t k = 0; k < op->n_outputs; k++)
        add(n, &l->makes, op->outputs[k], false);
    for (uint32_t k = 0; k < op->n_saved; k++)
        add(n, &l->saved, op->saved[k], false);
    for (uint32_t k = 0; k < op->n_results; k++)
        if (s->graph->tensors[op->outputs[k]].needs_grad)
            add(n, &l->gradients, op->outputs[k], true);
    for (uint32_t k = 0; k < op->n_inputs; k++)
        if (s->graph->tensors[op->reads[k]].needs_grad)
            add(n, &l->gradients, op->reads[k], true);
    for (uint32_t k = 0; k < l->makes.n; k++)
        s->values[l->makes.of[k]].maker = i;
}

static bool scratch_make(struct local_stage *s, struct arena *a, struct problem *why) {
    s->next = arena_new(a, unsigned char, s->n_values, why);
    s->mark = arena_new(a, unsigned char, s->n_values, why);
    s->have = arena_new(a, bool, s->n_values, why);
    s->touched = arena_new(a, uint32_t, s->n_values, why);
    s->run = arena_new(a, bool, s->n_ops, why);
    s->again = arena_new(a, bool, s->n_ops, why);
    return s->next && s->mark && s->have && s->touched && s->run && s->again;
}

bool chain_stage_make(const struct graph *g, uint32_t first_op, uint32_t n_ops, uint32_t *local, struct arena *a,
                      struct local_stage *s, struct problem *why) {
    *s = (struct local_stage){.graph = g, .first_op = first_op, .n_ops = n_ops};
    size_t room = 0;
    for (uint32_t o = first_op; o < first_op + n_ops; o++)
        room += 2 * (size_t)g->ops[o].n_inputs + 2 * (size_t)g->ops[o].n_outputs + g->ops[o].n_saved;
    uint32_t *numbers = arena_new(a, uint32_t, room + 1, why);
    s->ops = arena_new(a, struct local_op, n_ops, why);
    s->values = arena_new(a, struct local_value, room + 1, why);
    if (!numbers || !s->ops || !s->values)
        return false;
    struct numbering n = {.s = s, .local = local};
    for (uint32_t i = 0; i < n_ops; i++) {
        const struct op *op = &g->ops[first_op + i];
        op_number(&n, i, numbers);
        numbers += 2 * (size_t)op->n_inputs + 2 * (size_t)op->n_outputs + op->n_saved;
    }
    for (uint32_t v = 0; v < s->n_values; v++)
        local[s->values[v].value] = GRAPH_NONE;
    for (uint32_t i = 0; i < n_ops; i++)
        for (uint32_t k = 0; k < s->ops[i].saved.n; k++)
            if (s->values[s->ops[i].saved.of[k]].maker != GRAPH_NONE)
                s->values[s->ops[i].saved.of[k]].there |= LOCAL_OWN_SAVED;
    return scratch_make(s, a, why);
}

/* ---- moves ---- */

/* Marks the ops whose outputs are missing for what `have` lacks of a list, down to what is there. */
static void need(struct local_stage *s, const struct local_list *list) {
    for (uint32_t k = 0; k < list->n; k++) {
        const uint32_t maker = s->values[list->of[k]].maker;
        if (!s->have[list->of[k]] && maker != GRAPH_NONE && !s->run[maker]) {
            s->run[maker] = true;
            need(s, &s->ops[maker].reads);
        }
    }
}

/* The marked ops in order; what they make is there then. */
static uint32_t run_marked(struct local_stage *s, struct step *moves, uint32_t n) {
    for (uint32_t i = 0; i < s->n_ops; i++) {
        if (!s->run[i])
            continue;
        s->run[i] = false;
        moves[n++] = (struct step){STEP_RUN, i};
        for (uint32_t k = 0; k < s->ops[i].makes.n; k++)
            s->have[s->ops[i].makes.of[k]] = true;
    }
    return n;
}

uint32_t chain_stage_forward(struct local_stage *s, const bool *drop, enum chain_pass pass, bool leaves,
                             struct step *moves, uint32_t n) {
    for (uint32_t v = 0; v < s->n_values; v++)
        s->have[v] = s->values[v].maker == GRAPH_NONE;
    for (uint32_t v = 0; v < s->n_values; v++) {
        const struct local_value *value = &s->values[v];
        if (chain_stage_keeps(value, drop) || (leaves && value->there & LOCAL_LEAVES))
            need(s, &(struct local_list){&v, 1});
    }
    for (uint32_t i = 0; i < s->n_ops; i++) /* a function may leave in its context what its backward reads */
        if (pass == CHAIN_FIRST || (s->ops[i].function && drop && !drop[i])) {
            s->run[i] = true;
            need(s, &s->ops[i].reads);
        }
    return run_marked(s, moves, n);
}

uint32_t chain_stage_backward(struct local_stage *s, const bool *drop, bool early, struct step *moves, uint32_t n) {
    for (uint32_t v = 0; v < s->n_values; v++) {
        const struct local_value *value = &s->values[v];
        s->have[v] = value->maker == GRAPH_NONE || chain_stage_keeps(value, drop) ||
                     (value->there & LOCAL_START_BACKWARD && !(value->there & LOCAL_OWN_SAVED));
    }
    for (uint32_t i = 0; i < s->n_ops; i++)
        s->again[i] = s->ops[i].function && drop[i];
    for (uint32_t i = s->n_ops; early && i-- > 0;) {
        if (s->ops[i].needs_grad)
            need(s, &s->ops[i].saved);
        if (s->again[i]) {
            s->run[i] = true;
            need(s, &s->ops[i].reads);
        }
    }
    if (early)
        n = run_marked(s, moves, n);
    for (uint32_t i = s->n_ops; i-- > 0;) {
        if (!s->ops[i].needs_grad)
            continue;
        need(s, &s->ops[i].saved);
        if (s->again[i] && !early) {
            s->run[i] = true;
            need(s, &s->ops[i].reads);
        }
        n = run_marked(s, moves, n);
        moves[n++] = (struct step){STEP_GRAD, i};
    }
    return n;
}

/* ---- walking ---- */

enum next_event { NEXT_NOTHING, NEXT_READ, NEXT_MADE };

struct walking {
    struct local_stage *s;
    uint64_t after, during; /* bytes there after the move at hand; and during it */
};

static void touch(struct walking *w, const struct local_list *list) {
    for (uint32_t k = 0; k < list->n; k++) {
        const uint32_t v = list->of[k];
        if (w->s->next[v] != NEXT_READ && !w->s->mark[v]) {
            w->s->mark[v] = 1;
            w->during += w->s->values[v].bytes;
        }
    }
}

static void unmark(struct walking *w, const struct local_list *list) {
    for (uint32_t k = 0; k < list->n; k++)
        w->s->mark[list->of[k]] = 0;
}

static void becomes(struct walking *w, uint32_t v, enum next_event event) {
    unsigned char *next = &w->s->next[v];
    if (*next != NEXT_READ && event == NEXT_READ)
        w->after += w->s->values[v].bytes;
    if (*next == NEXT_READ && event != NEXT_READ)
        w->after -= w->s->values[v].bytes;
    *next = (unsigned char)event;
}

static uint64_t walk_run(struct walking *w, const struct local_op *op) {
    w->during = w->after;
    touch(w, &op->makes);
    touch(w, &op->reads);
    unmark(w, &op->makes);
    unmark(w, &op->reads);
    for (uint32_t k = 0; k < op->makes.n; k++)
        becomes(w, op->makes.of[k], NEXT_MADE);
    for (uint32_t k = 0; k < op->reads.n; k++)
        becomes(w, op->reads.of[k], NEXT_READ);
    return w->during + op->forward_work;
}

static uint64_t walk_grad(struct walking *w, const struct local_op *op, uint32_t move) {
    w->during = w->after;
    touch(w, &op->saved);
    touch(w, &op->gradients);
    unmark(w, &op->saved);
    unmark(w, &op->gradients);
    for (uint32_t k = 0; k < op->saved.n; k++)
        becomes(w, op->saved.of[k], NEXT_READ);
    for (uint32_t k = 0; k < op->gradients.n; k++)
        becomes(w, op->gradients.of[k], w->s->touched[op->gradients.of[k]] == move ? NEXT_NOTHING : NEXT_READ);
    return w->during + op->backward_work;
}

/* A gradient is made by the first that touches it, unless it was there. */
static void gradients_begin(struct local_stage *s, const struct step *moves, uint32_t n, unsigned start) {
    for (uint32_t i = n; i-- > 0;)
        for (uint32_t k = 0; moves[i].op == STEP_GRAD && k < s->ops[moves[i].of].gradients.n; k++)
            s->touched[s->ops[moves[i].of].gradients.of[k]] = i;
    for (uint32_t v = 0; v < s->n_values; v++)
        if (s->values[v].there & start)
            s->touched[v] = UINT32_MAX;
}

uint64_t chain_stage_walk(struct local_stage *s, const struct step *moves, uint32_t n, const struct walk *w) {
    struct walking k = {.s = s};
    for (uint32_t v = 0; v < s->n_values; v++) {
        const struct local_value *value = &s->values[v];
        const bool stays = value->there & w->end || (w->kept_end && chain_stage_keeps(value, w->drop));
        s->next[v] = stays ? NEXT_READ : NEXT_NOTHING;
        k.after += stays ? value->bytes : 0;
    }
    gradients_begin(s, moves, n, w->start);
    uint64_t peak = k.after;
    for (uint32_t i = n; i-- > 0;) {
        const struct local_op *op = &s->ops[moves[i].of];
        peak = units_max(peak, moves[i].op == STEP_RUN ? walk_run(&k, op) : walk_grad(&k, op, i));
    }
    return peak;
}
