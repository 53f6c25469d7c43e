/* planner.c - the planner table, and how groups become a plan. */
#include "engine/plan/planner.h"

#include <string.h>

const struct planner *const planner_table[] = {
    &planner_standard,  &planner_every_layer, &planner_every_n, &planner_uniform, &planner_sqrt_n,  &planner_block,
    &planner_selective, &planner_custom,      &planner_revolve, &planner_greedy,  &planner_optimal,
};
const unsigned planner_table_length = sizeof planner_table / sizeof planner_table[0];

const struct planner *planner_find(const char *name) {
    if (strcmp(name, "none") == 0)
        return &planner_standard;
    for (unsigned i = 0; i < planner_table_length; i++)
        if (strcmp(planner_table[i]->name, name) == 0)
            return planner_table[i];
    return NULL;
}

/* Parts a strategy may name; each counts for itself. */
static const struct {
    const char *name;
    enum op_part part;
} part_names[] = {
    {"attention", PART_ATTENTION}, {"attention_core", PART_ATTENTION_CORE}, {"mlp", PART_MLP}, {"norm", PART_NORM}};

bool selection_add(struct selection *s, const char *name) {
    for (size_t i = 0; i < sizeof part_names / sizeof part_names[0]; i++)
        if (strcmp(part_names[i].name, name) == 0) {
            s->parts |= part_names[i].part;
            return true;
        }
    for (unsigned kind = 0; kind < OP_KINDS; kind++)
        if (strcmp(op_table[kind]->name, name) == 0) {
            s->op_kinds |= UINT64_C(1) << kind;
            return true;
        }
    return false;
}

void planner_select(const struct graph *g, uint32_t layer, const struct selection *s, uint32_t *group, uint32_t *next) {
    unsigned open_parts = 0;
    bool open = false;
    for (uint32_t o = 0; o < g->n_ops; o++) {
        const struct op *op = &g->ops[o];
        if (op->layer != layer)
            continue;
        unsigned parts = op->parts & s->parts & ~(unsigned)PART_NORM; /* a norm goes with the part it is in */
        bool selected = op->parts & s->parts || s->op_kinds & UINT64_C(1) << op->kind;
        if (open && (!selected || parts != open_parts)) {
            ++*next;
            open = false;
        }
        if (selected) {
            group[o] = *next;
            open_parts = parts;
            open = true;
        }
    }
    *next += open;
}

/* What has to run again for one group. */
struct rerun {
    const struct graph *g;
    const uint32_t *group;
    const bool *loose;      /* by op: what it makes is dropped also where others read it in the backward */
    uint32_t *first, *last; /* by group: its ops */
    bool *kept;             /* by tensor: stays until the backward because something outside its group reads it there */
    bool *outside;          /* by tensor: something outside its group reads it in the backward, and it does not stay */
    bool *wanted;           /* by tensor: a gradient needs it made again */
    bool *again;            /* by op */
};

static bool made_in(const struct rerun *r, uint32_t tensor, uint32_t group) {
    uint32_t producer = r->g->tensors[tensor].producer;
    return producer != GRAPH_NONE && r->group[producer] == group;
}

static bool is_loose(const struct rerun *r, uint32_t tensor) {
    uint32_t producer = r->g->tensors[tensor].producer;
    return producer != GRAPH_NONE && r->loose[producer];
}

static void kept_find(struct rerun *r) {
    for (uint32_t t = 0; t < r->g->n_tensors; t++)
        r->kept[t] = r->g->tensors[t].requested;
    for (uint32_t o = 0; o < r->g->n_ops; o++) {
        const struct op *op = &r->g->ops[o];
        for (uint32_t i = 0; i < op->n_saved; i++)
            if (r->group[o] == GRAPH_NONE || !made_in(r, op->saved[i], r->group[o]))
                (is_loose(r, op->saved[i]) ? r->outside : r->kept)[op->saved[i]] = true;
        for (uint32_t i = 0; r->group[o] != GRAPH_NONE && i < op->n_inputs; i++)
            if (!made_in(r, op->reads[i], r->group[o]))
                r->kept[op->reads[i]] = true;
    }
}

/* Walks the ops of a group backwards from the one whose gradient comes first. A kept tensor need not be made again, but
 * what an op makes for its backward alone is never kept from outside. */
static void again_find(struct rerun *r, uint32_t group, uint32_t last) {
    for (uint32_t o = last + 1; o-- > r->first[group];) {
        const struct op *op = &r->g->ops[o];
        if (r->group[o] != group)
            continue;
        for (uint32_t i = 0; i < op->n_saved; i++)
            if (made_in(r, op->saved[i], group) && !r->kept[op->saved[i]])
                r->wanted[op->saved[i]] = true;
        for (uint32_t i = 0; i < op->n_outputs; i++)
            r->wanted[op->outputs[i]] |= r->outside[op->outputs[i]] && !r->kept[op->outputs[i]];
    }
    for (uint32_t o = last + 1; o-- > r->first[group];) {
        const struct op *op = &r->g->ops[o];
        if (r->group[o] != group)
            continue;
        /* a function may leave in its context what its backward reads: it always runs again */
        r->again[o] = op->kind == OP_FUNCTION;
        for (uint32_t i = 0; i < op->n_outputs; i++)
            r->again[o] |= r->wanted[op->outputs[i]];
        for (uint32_t i = 0; r->again[o] && i < op->n_inputs; i++)
            if (made_in(r, op->reads[i], group) && !r->kept[op->reads[i]])
                r->wanted[op->reads[i]] = true;
    }
}

static uint32_t moves_again(struct rerun *r, uint32_t group, uint32_t last, struct step *moves, uint32_t n) {
    again_find(r, group, last);
    for (uint32_t o = r->first[group]; o <= last; o++)
        if (r->group[o] == group && r->again[o])
            moves[n++] = (struct step){STEP_RUN, o};
    return n;
}

/* Before the gradient of op o: the groups that make what it reads, its own among them. */
static uint32_t moves_before(struct rerun *r, uint32_t o, bool *done, struct step *moves, uint32_t n) {
    const struct op *op = &r->g->ops[o];
    for (uint32_t i = 0; i <= op->n_saved; i++) {
        const bool own = i == op->n_saved;
        const uint32_t maker = own ? o : r->g->tensors[op->saved[i]].producer;
        if (maker == GRAPH_NONE || r->group[maker] == GRAPH_NONE || done[r->group[maker]] ||
            (!own && (r->kept[op->saved[i]] || r->group[maker] == r->group[o])))
            continue;
        done[r->group[maker]] = true;
        n = moves_again(r, r->group[maker], own ? o : r->last[r->group[maker]], moves, n);
    }
    return n;
}

bool planner_plan_groups(const struct graph *g, const uint32_t *group, const bool *loose, struct arena *arena,
                         struct plan *plan, struct problem *why) {
    struct rerun r = {.g = g, .group = group, .loose = loose};
    r.outside = arena_new(arena, bool, g->n_tensors, why);
    r.last = arena_new(arena, uint32_t, (size_t)g->n_ops + 1, why);
    r.kept = arena_new(arena, bool, g->n_tensors, why);
    r.wanted = arena_new(arena, bool, g->n_tensors, why);
    r.again = arena_new(arena, bool, g->n_ops, why);
    r.first = arena_new(arena, uint32_t, (size_t)g->n_ops + 1, why);
    bool *group_done = arena_new(arena, bool, (size_t)g->n_ops + 1, why);
    struct step *moves = arena_new(arena, struct step, (size_t)g->n_ops * 3, why);
    if (!r.outside || !r.last || !r.kept || !r.wanted || !r.again || !r.first || !group_done || !moves)
        return false;
    kept_find(&r);
    for (uint32_t o = g->n_ops; o-- > 0;)
        if (group[o] != GRAPH_NONE)
            r.first[group[o]] = o;
    for (uint32_t o = 0; o < g->n_ops; o++)
        if (group[o] != GRAPH_NONE)
            r.last[group[o]] = o;
    uint32_t n = 0;
    for (uint32_t o = 0; o < g->n_ops; o++)
        moves[n++] = (struct step){STEP_RUN, o};
    for (uint32_t o = g->n_ops; g->backward && o-- > 0;) {
        if (!g->ops[o].needs_grad)
            continue;
        n = moves_before(&r, o, group_done, moves, n);
        moves[n++] = (struct step){STEP_GRAD, o};
    }
    return plan_make(g, moves, n, arena, plan, why);
}

/* A part of a layer keeps what leaves it, as a checkpoint does; norms and ops by name do not. */
static bool drops_what_leaves(const struct strategy *s, const struct op *op) {
    const struct selection *of = s->planner == &planner_selective ? &s->selection : NULL;
    if (s->planner == &planner_custom && op->layer < s->n_layers && s->layers[op->layer].policy == LAYER_RECOMPUTE)
        of = &s->layers[op->layer].selection;
    return of && !(op->parts & of->parts & ~(unsigned)PART_NORM);
}

bool planner_plan(const struct graph *g, const struct strategy *s, struct arena *arena, struct plan *plan,
                  struct problem *why) {
    if (s->planner->plan)
        return s->planner->plan(g, s, arena, plan, why);
    uint32_t *group = arena_new(arena, uint32_t, (size_t)g->n_ops + 1, why);
    bool *loose = arena_new(arena, bool, (size_t)g->n_ops + 1, why);
    if (!group || !loose)
        return false;
    memset(group, 0xff, ((size_t)g->n_ops + 1) * sizeof *group);
    if (!s->planner->groups(g, s, group, why))
        return false;
    for (uint32_t o = 0; o < g->n_ops; o++)
        loose[o] = group[o] != GRAPH_NONE && drops_what_leaves(s, &g->ops[o]);
    return planner_plan_groups(g, group, loose, arena, plan, why);
}
