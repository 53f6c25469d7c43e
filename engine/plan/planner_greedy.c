/* planner_greedy.c - keeps everything, then drops what frees most bytes for its cost, until it fits: the plain
 * baseline. Stages and options are those of planner_optimal; nothing is recomputed inside a recomputation. */
#include "engine/plan/planner_optimal.h"

#include "engine/base/units.h"

struct dropping {
    const struct chain *c;
    uint32_t *option; /* by stage, the last one's single */
};

/* Live bytes at the busiest moment when every stage keeps its option. */
static uint64_t peak_of(const struct dropping *d) {
    uint64_t kept = 0, peak = 0;
    for (uint32_t s = 0; s < d->c->n; s++) {
        const struct chain_stage *stage = &d->c->stages[s];
        if (s == d->c->n - 1)
            return units_max(peak, kept + stage->singles[d->option[s]].need);
        const struct chain_option *o = &stage->options[d->option[s]];
        peak = units_max(peak, kept + units_max(o->forward_need[CHAIN_FIRST], o->backward_need));
        kept += o->kept;
    }
    return peak;
}

/* Of all single changes that keep less, the one of most bytes for its cost; the last single of less need too. */
static bool drop_one(struct dropping *d) {
    double best = 0;
    uint32_t at = 0, to = 0;
    for (uint32_t s = 0; s + 1 < d->c->n; s++) {
        const struct chain_option *list = d->c->stages[s].options, *now = &list[d->option[s]];
        for (uint32_t k = 0; k < d->c->stages[s].n_options; k++) {
            if (list[k].kept >= now->kept)
                continue;
            const double more = (double)list[k].backward_cost - (double)now->backward_cost,
                         rate = (double)(now->kept - list[k].kept) / (more > 1 ? more : 1);
            if (rate > best) {
                best = rate;
                at = s;
                to = k;
            }
        }
    }
    d->option[at] = best > 0 ? to : d->option[at];
    return best > 0;
}

static void keep_all(struct dropping *d) {
    for (uint32_t s = 0; s < d->c->n; s++) {
        const struct chain_stage *stage = &d->c->stages[s];
        for (uint32_t k = 1; s + 1 < d->c->n && k < stage->n_options; k++)
            if (stage->options[k].backward_cost < stage->options[d->option[s]].backward_cost)
                d->option[s] = k;
        for (uint32_t k = 1; s + 1 == d->c->n && k < stage->n_singles; k++)
            if (stage->singles[k].cost < stage->singles[d->option[s]].cost)
                d->option[s] = k;
    }
}

static bool write_down(const struct optimal *o, const struct dropping *d, struct arena *a, struct plan *out,
                       uint32_t *of, struct problem *why) {
    const uint32_t n = d->c->n;
    struct chain_step *steps = arena_new(a, struct chain_step, 2 * (size_t)n, why);
    struct step *moves;
    uint32_t n_moves;
    if (!steps)
        return false;
    for (uint32_t s = 0; s < n; s++) {
        steps[s] = (struct chain_step){s + 1 < n ? CHAIN_FORWARD : CHAIN_SINGLE, CHAIN_FIRST, s, d->option[s], 0};
        steps[2 * n - 2 - s] =
            s + 1 < n ? (struct chain_step){CHAIN_BACKWARD, CHAIN_FIRST, s, d->option[s], 0} : steps[s];
    }
    if (!chain_graph_moves(o->chain, steps, 2 * n - 1, a, &moves, &n_moves, of, why) ||
        !plan_make(*of ? &o->others[*of - 1] : o->graph, moves, n_moves, a, out, why))
        return false;
    out->optimality.cost = chain_steps_cost(d->c, steps, 2 * n - 1);
    return true;
}

bool planner_greedy_within(const struct optimal *o, uint64_t peak_bytes, struct arena *a, struct plan *plan,
                           uint32_t *of, struct problem *why) {
    struct dropping d = {.c = chain_graph_chain(o->chain)};
    d.option = arena_new(a, uint32_t, d.c->n, why);
    if (!d.option)
        return false;
    keep_all(&d);
    for (;;) {
        if (o->persistent_bytes + peak_of(&d) <= peak_bytes) {
            if (!write_down(o, &d, a, plan, of, why))
                return false;
            if (plan->peak_bytes <= peak_bytes)
                return true;
        }
        if (!drop_one(&d))
            return write_down(o, &d, a, plan, of, why);
    }
}

static bool plan(const struct graph *g, const struct strategy *s, struct arena *arena, struct plan *out,
                 struct problem *why) {
    struct optimal o;
    uint32_t of;
    return planner_optimal_open(g, NULL, 0, s->objective == OBJECTIVE_SECONDS ? s->rates : NULL, arena, &o, why) &&
           planner_greedy_within(&o, s->budget_bytes ? s->budget_bytes : UINT64_MAX, arena, out, &of, why);
}

const struct planner planner_greedy = {.name = "greedy",
                                       .description = "drops what frees most bytes for its cost until it fits",
                                       .known_as = "",
                                       .parameters = STRATEGY_TAKES_BUDGET | STRATEGY_TAKES_OBJECTIVE,
                                       .plan = plan};
