/* chain_graph.c - see chain_graph.h: cuts, what is resident, the numbers of every stage, and schedules as moves. */
#include "engine/plan/chain_graph.h"

#include <string.h>

#include "engine/base/units.h"
#include "engine/plan/chain_options.h"

#define NEVER (-1) /* before every stage: a value with this `low` never goes, one with this maker was there */

/* Where a tensor lies among the stages. */
struct place {
    bool resident;
    int32_t made;                   /* stage, or NEVER */
    int32_t low, high;              /* the first stage whose backward may read it; the last that adds to its gradient */
    uint32_t first_read, last_read; /* ops, forward; GRAPH_NONE */
    uint32_t last_saved;            /* the last op that saves it */
};

/* One graph, cut: every lowering has its own. */
struct cut_graph {
    const struct graph *g;
    struct place *places; /* by tensor */
    uint32_t *local;      /* scratch for chain_stage_make */
};

struct chain_graph {
    struct chain chain;
    const struct graph *g, *others;
    uint32_t n_others;
    uint32_t *cuts;
    struct local_stage *stages;
    struct local_stage *lasts;     /* the last stage as each of others has it */
    struct stage_options *options; /* by stage; shared between those alike */
    bool exact;
};

struct making {
    struct chain_graph *c;
    const struct chain_costs *costs;
    struct chain_stage *numbers;
    uint32_t *like; /* by stage: the first with its structure */
    struct arena *a;
    struct problem *why;
};

/* ---- cuts ---- */

static void place_reads(struct cut_graph *cut) {
    const struct graph *g = cut->g;
    for (uint32_t t = 0; t < g->n_tensors; t++)
        cut->places[t] = (struct place){
            .made = NEVER, .low = NEVER, .first_read = GRAPH_NONE, .last_read = GRAPH_NONE, .last_saved = GRAPH_NONE};
    for (uint32_t o = 0; o < g->n_ops; o++) {
        for (uint32_t i = 0; i < g->ops[o].n_inputs; i++) {
            struct place *p = &cut->places[g->ops[o].reads[i]];
            p->resident |= p->first_read != GRAPH_NONE && g->ops[p->first_read].layer != g->ops[o].layer;
            p->first_read = p->first_read == GRAPH_NONE ? o : p->first_read;
            p->last_read = o;
        }
        for (uint32_t i = 0; i < g->ops[o].n_saved; i++)
            cut->places[g->ops[o].saved[i]].last_saved = o;
    }
    for (uint32_t t = 0; t < g->n_tensors; t++)
        cut->places[t].resident |= g->tensors[t].role == TENSOR_INPUT || g->tensors[t].requested;
}

static bool crosses(const struct graph *g, const struct place *p, uint32_t t) {
    return g->tensors[t].role == TENSOR_MADE && g->tensors[t].storage == t && !p[t].resident &&
           p[t].last_read != GRAPH_NONE;
}

/* Before op o: how many tensors cross, and the last of them made. */
static bool cuts_find(struct chain_graph *c, const struct cut_graph *cut, struct arena *a, struct problem *why) {
    const struct graph *g = cut->g;
    int32_t *change = arena_new(a, int32_t, (size_t)g->n_ops + 2, why);
    uint32_t *entering = arena_new(a, uint32_t, (size_t)g->n_ops + 1, why);
    c->cuts = arena_new(a, uint32_t, (size_t)g->n_ops + 2, why);
    if (!change || !entering || !c->cuts)
        return false;
    for (uint32_t t = 0; t < g->n_tensors; t++)
        if (crosses(g, cut->places, t)) {
            change[g->tensors[t].producer + 1]++;
            change[cut->places[t].last_read + 1]--;
        }
    c->chain.n = 1;
    uint32_t latest = GRAPH_NONE;
    int32_t crossing = 0;
    for (uint32_t o = 1; o < g->n_ops; o++) {
        const struct op *before = &g->ops[o - 1];
        for (uint32_t i = 0; i < before->n_outputs; i++)
            if (crosses(g, cut->places, before->outputs[i]))
                latest = before->outputs[i];
        crossing += change[o];
        /* the one that crosses may be older than the latest, or than the stage: then it passes by, and it is no cut */
        const bool one = crossing == 1 && latest != GRAPH_NONE &&
                         g->tensors[latest].producer >= c->cuts[c->chain.n - 1] && cut->places[latest].last_read >= o &&
                         cut->places[latest].last_saved != GRAPH_NONE && cut->places[latest].last_saved >= o;
        if (one || crossing == 0)
            c->cuts[c->chain.n++] = o;
    }
    c->cuts[c->chain.n] = g->n_ops;
    return true;
}

/* ---- places among the stages ---- */

static void places_find(const struct chain_graph *c, struct cut_graph *cut) {
    const struct graph *g = cut->g;
    for (uint32_t s = 0; s < c->chain.n; s++)
        for (uint32_t o = c->cuts[s]; o < c->cuts[s + 1]; o++) {
            const struct op *op = &g->ops[o];
            for (uint32_t i = 0; i < op->n_outputs; i++) {
                struct place *p = &cut->places[op->outputs[i]];
                p->made = (int32_t)s;
                p->low = p->high = (int32_t)c->chain.n;
            }
        }
    for (uint32_t t = 0; t < g->n_tensors; t++)
        if (g->tensors[t].role != TENSOR_MADE)
            cut->places[t].low = (int32_t)c->chain.n;
    for (uint32_t s = c->chain.n; s-- > 0;)
        for (uint32_t o = c->cuts[s]; o < c->cuts[s + 1]; o++) {
            const struct op *op = &g->ops[o];
            for (uint32_t i = 0; i < op->n_inputs; i++)
                cut->places[op->reads[i]].low = (int32_t)s;
            for (uint32_t i = 0; i < op->n_saved; i++)
                cut->places[op->saved[i]].low = (int32_t)s;
        }
    for (uint32_t t = 0; t < g->n_tensors; t++) {
        cut->places[t].high = NEVER;
        if (g->tensors[t].requested)
            cut->places[t].low = NEVER;
    }
    for (uint32_t s = 0; s < c->chain.n; s++)
        for (uint32_t o = c->cuts[s]; o < c->cuts[s + 1]; o++)
            for (uint32_t i = 0; g->ops[o].needs_grad && i < g->ops[o].n_inputs; i++)
                cut->places[g->ops[o].reads[i]].high = (int32_t)s;
}

static unsigned there_if(bool condition, unsigned flag) {
    return condition ? flag : 0;
}

static unsigned tensor_there(const struct cut_graph *cut, uint32_t t, int32_t s) {
    const struct place *p = &cut->places[t];
    if (!p->resident)
        return 0;
    const bool there = p->low <= s;
    return there_if(p->made < s, LOCAL_START_FIRST) | LOCAL_END_FIRST | there_if(there, LOCAL_START_AGAIN) |
           there_if(there, LOCAL_END_AGAIN) | there_if(there, LOCAL_START_BACKWARD) |
           there_if(p->low < s, LOCAL_END_BACKWARD);
}

/* A requested output's gradient is given where it is first read, not before. */
static unsigned gradient_there(const struct cut_graph *cut, uint32_t t, int32_t s) {
    const struct place *p = &cut->places[t];
    const struct tensor *tensor = &cut->g->tensors[t];
    if (tensor->role == TENSOR_PARAMETER)
        return 0;
    return there_if(p->high > s, LOCAL_START_BACKWARD) |
           there_if(tensor->grad_requested || p->made < s, LOCAL_END_BACKWARD);
}

/* What enters stage s: the one tensor that is made before it, read in it and not resident; GRAPH_NONE where none is. */
static void stage_place(const struct cut_graph *cut, struct local_stage *l, int32_t s, int32_t last) {
    const uint32_t n = cut->g->n_tensors;
    for (uint32_t v = 0; v < l->n_values; v++) {
        struct local_value *value = &l->values[v];
        if (value->value >= n) {
            value->there = gradient_there(cut, value->value - n, s);
            continue;
        }
        const struct place *p = &cut->places[value->value];
        if (p->resident)
            value->there &= ~(unsigned)LOCAL_OWN_SAVED;
        value->there |= tensor_there(cut, value->value, s);
        if (!p->resident && p->made < s)
            value->there |= LOCAL_ENTERS;
        if (!p->resident && p->made == s && s < last && p->last_read != GRAPH_NONE &&
            p->last_read >= l->first_op + l->n_ops)
            value->there |= LOCAL_LEAVES;
    }
}

/* ---- stages alike ---- */

static bool same_list(const struct local_list *x, const struct local_list *y) {
    return x->n == y->n && memcmp(x->of, y->of, x->n * sizeof *x->of) == 0;
}

static bool same_structure(const struct local_stage *x, const struct local_stage *y, const uint64_t *cost) {
    if (x->n_ops != y->n_ops || x->n_values != y->n_values)
        return false;
    for (uint32_t v = 0; v < x->n_values; v++)
        if (x->values[v].bytes != y->values[v].bytes || x->values[v].there != y->values[v].there)
            return false;
    for (uint32_t i = 0; i < x->n_ops; i++) {
        const struct local_op *p = &x->ops[i], *q = &y->ops[i];
        if (p->forward_work != q->forward_work || p->backward_work != q->backward_work ||
            p->needs_grad != q->needs_grad || p->function != q->function ||
            cost[x->first_op + i] != cost[y->first_op + i] || !same_list(&p->reads, &q->reads) ||
            !same_list(&p->makes, &q->makes) || !same_list(&p->saved, &q->saved) ||
            !same_list(&p->gradients, &q->gradients))
            return false;
    }
    return true;
}

/* ---- bytes beside a stage ---- */

/* Residents and their gradients, by stage: what is there beside it, less what its own values count. */
struct beside {
    uint64_t first, again, backward;
};

static uint64_t flagged(const struct local_stage *l, uint32_t gradients, unsigned flag, bool of_gradients) {
    uint64_t bytes = 0;
    for (uint32_t v = 0; v < l->n_values; v++)
        if ((l->values[v].value >= gradients) == of_gradients && l->values[v].there & flag)
            bytes += l->values[v].bytes;
    return bytes;
}

/* All residents there before the forward of s in the first pass; during the backward of s or a recomputation for it. */
static void beside_find(const struct cut_graph *cut, uint32_t n_stages, struct beside *b) {
    const struct graph *g = cut->g;
    for (uint32_t t = 0; t < g->n_tensors; t++) {
        const struct place *p = &cut->places[t];
        const struct tensor *tensor = &g->tensors[t];
        if (tensor->role == TENSOR_PARAMETER || tensor->storage != t)
            continue;
        const uint64_t bytes = units_extent(tensor->bytes);
        const bool unread = p->low == (int32_t)n_stages; /* such an input goes at once */
        for (int32_t s = 0; p->resident && !unread && s < (int32_t)n_stages; s++) {
            b[s].first += p->made < s ? bytes : 0;
            b[s].again += p->low <= s ? bytes : 0;
            b[s].backward += p->low <= s ? bytes : 0;
        }
        for (int32_t s = 0; tensor->needs_grad && g->backward && s < (int32_t)n_stages; s++) {
            const bool there = p->high > s && (tensor->grad_requested || p->made <= s);
            b[s].again += there ? bytes : 0;
            b[s].backward += there ? bytes : 0;
        }
    }
}

static void stage_numbers(const struct chain_graph *c, uint32_t s, const struct beside *b, struct chain_stage *out) {
    const struct stage_options *o = &c->options[s];
    const struct local_stage *l = &c->stages[s];
    const uint32_t n = l->graph->n_tensors;
    const uint64_t enters = flagged(l, n, LOCAL_ENTERS, false), own_first = flagged(l, n, LOCAL_START_FIRST, false),
                   own_again = flagged(l, n, LOCAL_START_AGAIN, false);
    const bool last = s == c->chain.n - 1;
    *out = (struct chain_stage){
        .input = enters,
        .fast_cost = {0, o->fast_cost},
        .fast_need = {o->fast_need[0] - enters + b->first - own_first, o->fast_need[1] - enters - own_again},
        .moving_need = {o->moving_need[0] + b->first - own_first, o->moving_need[1] - own_again},
        .beside = {last ? 0 : b->again, last ? 0 : b->again},
        .n_options = last ? 0 : o->n_options,
        .n_singles = o->n_singles};
}

/* Options and singles with what lies beside the stage added; the same arrays where an earlier stage's are right. */
static bool stage_options(const struct making *m, uint32_t s, const struct beside *b) {
    struct chain_graph *c = m->c;
    const struct local_stage *l = &c->stages[s];
    const uint32_t n = l->graph->n_tensors, like = m->like[s];
    struct chain_stage *out = &m->numbers[s];
    if (like != s && memcmp(&b[like], &b[s], sizeof *b) == 0) {
        out->options = m->numbers[like].options;
        out->singles = m->numbers[like].singles;
        return true;
    }
    const bool last = s == c->chain.n - 1;
    const uint64_t enters = out->input, first = b[s].first - flagged(l, n, LOCAL_START_FIRST, false) - enters,
                   again = -flagged(l, n, LOCAL_START_AGAIN, false) - enters,
                   backward = b[s].backward - flagged(l, n, LOCAL_START_BACKWARD, false) -
                              flagged(l, n, LOCAL_START_BACKWARD, true) - enters;
    struct chain_option *options = arena_copy(m->a, c->options[s].options, out->n_options * sizeof *options, m->why);
    struct chain_single *singles = arena_copy(m->a, c->options[s].singles, out->n_singles * sizeof *singles, m->why);
    if (!options || !singles)
        return false;
    for (uint32_t k = 0; k < out->n_options; k++) {
        options[k].forward_need[CHAIN_FIRST] += first; /* wraps and unwraps: what is taken off was counted */
        options[k].forward_need[CHAIN_AGAIN] += again;
        options[k].backward_need += backward;
    }
    for (uint32_t k = 0; k < out->n_singles; k++)
        singles[k].need += last ? units_max(first, backward) : backward;
    out->options = options;
    out->singles = singles;
    return true;
}

/* ---- all of it ---- */

static bool cut_init(struct cut_graph *cut, const struct graph *g, struct arena *a, struct problem *why) {
    cut->g = g;
    cut->places = arena_new(a, struct place, g->n_tensors, why);
    cut->local = arena_new(a, uint32_t, (size_t)g->n_tensors * 2, why);
    if (!cut->places || !cut->local)
        return false;
    memset(cut->local, 0xff, (size_t)g->n_tensors * 2 * sizeof *cut->local);
    place_reads(cut);
    return true;
}

static bool stage_local(const struct making *m, const struct cut_graph *cut, uint32_t s, struct local_stage *out) {
    const struct chain_graph *c = m->c;
    if (!chain_stage_make(cut->g, c->cuts[s], c->cuts[s + 1] - c->cuts[s], cut->local, m->a, out, m->why))
        return false;
    stage_place(cut, out, (int32_t)s, (int32_t)c->chain.n - 1);
    return true;
}

static bool stages_make(struct making *m, const struct cut_graph *cut) {
    struct chain_graph *c = m->c;
    uint32_t n_kinds = 0, *kinds = arena_new(m->a, uint32_t, c->chain.n, m->why);
    if (!kinds)
        return false;
    for (uint32_t s = 0; s < c->chain.n; s++) {
        uint32_t k = 0;
        if (!stage_local(m, cut, s, &c->stages[s]))
            return false;
        while (k < n_kinds && s < c->chain.n - 1 &&
               !same_structure(&c->stages[kinds[k]], &c->stages[s], m->costs[0].forward))
            k++;
        if (k == n_kinds || s == c->chain.n - 1) {
            k = n_kinds;
            kinds[n_kinds++] = s;
            if (!chain_options_find(&c->stages[s], m->costs[0].forward, s == c->chain.n - 1, m->a, &c->options[s],
                                    m->why))
                return false;
        }
        m->like[s] = kinds[k];
        c->options[s] = c->options[kinds[k]];
        c->exact &= c->options[s].exact;
    }
    return true;
}

static uint64_t total_cost(const struct graph *g, const struct chain_costs *costs) {
    uint64_t cost = 0;
    for (uint32_t o = 0; o < g->n_ops; o++)
        cost += costs->forward[o] + costs->backward[o];
    return cost;
}

/* The last stage as another graph has it. */
static bool other_join(struct making *m, uint32_t i) {
    struct chain_graph *c = m->c;
    struct cut_graph cut;
    struct local_stage *l = &c->lasts[i];
    struct stage_options more;
    const uint32_t last = c->chain.n - 1;
    const uint64_t mine = total_cost(c->g, &m->costs[0]), its = total_cost(&c->others[i], &m->costs[1 + i]);
    if (!cut_init(&cut, &c->others[i], m->a, m->why))
        return false;
    places_find(c, &cut);
    return stage_local(m, &cut, last, l) && chain_options_find(l, m->costs[1 + i].forward, true, m->a, &more, m->why) &&
           chain_options_join(&c->options[last], &more, 1 + i, its > mine ? its - mine : 0, m->a, m->why);
}

struct chain_graph *chain_graph_make(const struct graph *g, const struct graph *others, uint32_t n_others,
                                     const struct chain_costs *costs, struct arena *a, struct problem *why) {
    struct chain_graph *c = arena_new(a, struct chain_graph, 1, why);
    struct cut_graph cut;
    if (!c || !cut_init(&cut, g, a, why))
        return NULL;
    c->g = g;
    c->others = others;
    c->n_others = n_others;
    c->exact = true;
    if (!cuts_find(c, &cut, a, why))
        return NULL;
    places_find(c, &cut);
    struct making m = {.c = c, .costs = costs, .a = a, .why = why};
    struct beside *b = arena_new(a, struct beside, c->chain.n, why);
    c->stages = arena_new(a, struct local_stage, c->chain.n, why);
    c->options = arena_new(a, struct stage_options, c->chain.n, why);
    c->lasts = arena_new(a, struct local_stage, n_others, why);
    m.numbers = arena_new(a, struct chain_stage, c->chain.n, why);
    m.like = arena_new(a, uint32_t, c->chain.n, why);
    if (!b || !c->stages || !c->lasts || !c->options || !m.numbers || !m.like || !stages_make(&m, &cut))
        return NULL;
    for (uint32_t i = 0; i < n_others; i++)
        if (!other_join(&m, i))
            return NULL;
    beside_find(&cut, c->chain.n, b);
    for (uint32_t s = 0; s < c->chain.n; s++) {
        stage_numbers(c, s, &b[s], &m.numbers[s]);
        if (!stage_options(&m, s, b))
            return NULL;
    }
    c->chain.stages = m.numbers;
    return c;
}

const struct chain *chain_graph_chain(const struct chain_graph *c) {
    return &c->chain;
}

bool chain_graph_exact(const struct chain_graph *c) {
    return c->exact;
}

const uint32_t *chain_graph_cuts(const struct chain_graph *c, uint32_t *n) {
    *n = c->chain.n;
    return c->cuts;
}

/* ---- schedules ---- */

static const struct stage_choice *choice_of(const struct chain_graph *c, const struct chain_step *step) {
    const struct chain_stage *stage = &c->chain.stages[step->stage];
    const uint32_t choice =
        step->what == CHAIN_SINGLE ? stage->singles[step->index].choice : stage->options[step->index].choice;
    return &c->options[step->stage].choices[choice];
}

static uint32_t step_moves(const struct chain_graph *c, const struct chain_step *step, struct step *moves, uint32_t n) {
    const uint32_t begin = n;
    const struct stage_choice *choice = step->what == CHAIN_FAST ? NULL : choice_of(c, step);
    struct local_stage *l = choice && choice->of ? &c->lasts[choice->of - 1] : &c->stages[step->stage];
    if (step->what == CHAIN_FAST)
        n = chain_stage_forward(l, NULL, step->pass, true, moves, n);
    if (step->what == CHAIN_FORWARD || step->what == CHAIN_SINGLE)
        n = chain_stage_forward(l, choice->drop, step->pass, step->what == CHAIN_FORWARD, moves, n);
    if (step->what == CHAIN_BACKWARD || step->what == CHAIN_SINGLE)
        n = chain_stage_backward(l, choice->drop, choice->early, moves, n);
    for (uint32_t i = begin; i < n; i++)
        moves[i].of += l->first_op;
    return n;
}

bool chain_graph_moves(const struct chain_graph *c, const struct chain_step *steps, uint32_t n, struct arena *a,
                       struct step **moves, uint32_t *n_moves, uint32_t *of, struct problem *why) {
    size_t room = 0;
    for (uint32_t i = 0; i < n; i++)
        room += CHAIN_STAGE_MOVES(&c->stages[steps[i].stage]);
    *moves = arena_new(a, struct step, room, why);
    if (!*moves)
        return false;
    *of = 0;
    *n_moves = 0;
    for (uint32_t i = 0; i < n; i++) {
        *n_moves = step_moves(c, &steps[i], *moves, *n_moves);
        if (steps[i].what == CHAIN_SINGLE && steps[i].stage == c->chain.n - 1)
            *of = choice_of(c, &steps[i])->of;
    }
    return true;
}
