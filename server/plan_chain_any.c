/* plan_chain_any.c - plans of small posted chains among all plans, persistent or not: solved by engine/plan/chain_any,
 * proven and counted here from the numbers posted. */
#include "engine/base/units.h"
#include "engine/plan/chain_any.h"
#include "server/plan_posted.h"

#define STATES_MAX UINT64_C(500000) /* of some 200 bytes */

/* What may be resident before a step: whatever was and was not dropped, and what the step before made. */
struct replay {
    const struct chain_posted *c;
    uint64_t inputs;                     /* bit s: what enters stage s */
    uint32_t kept[CHAIN_ANY_STAGES_MAX]; /* 1 + option; 0: none */
    uint32_t grads_left;
    struct plan_posted_plan *plan;
    struct problem *why;
};

static bool illegal(const struct replay *r, uint32_t stage, const char *what) {
    return problem_set(r->why, PROBLEM_PLAN, "", "stage %u of a chain's plan: %s", stage, what);
}

static bool is_in(uint64_t set, uint32_t stage) {
    return set >> stage & 1;
}

static uint64_t enters(const struct chain_posted *c, uint32_t i) {
    return i < c->n ? c->stages[i].input_size : c->output_size;
}

/* What the plan says is resident is, and all else is dropped. What leaves a stage may stay of what that kept. */
static bool drop(struct replay *r, const struct chain_any_moment *m, uint32_t stage, bool ends, uint64_t *bytes) {
    uint64_t may = r->inputs | 1;
    *bytes = 0;
    for (uint32_t i = 0; i < r->c->n; i++) {
        may |= r->kept[i] && i + 1 < r->c->n ? (uint64_t)1 << (i + 1) : 0;
        if (is_in(m->kept, i) && !r->kept[i])
            return illegal(r, i, "is said to be kept, and is not");
        if (!is_in(m->kept, i) && !(ends && i == stage))
            r->kept[i] = 0;
        *bytes += is_in(m->kept, i) ? r->c->stages[i].options[r->kept[i] - 1].kept : 0;
        *bytes += i > 0 && is_in(m->inputs, i) ? enters(r->c, i) : 0;
    }
    r->inputs = m->inputs;
    return (m->inputs & ~may) == 0 || illegal(r, stage, "finds something that nothing has left");
}

static bool entered(const struct replay *r, uint32_t stage) {
    return stage == 0 || is_in(r->inputs, stage) || r->kept[stage - 1] ||
           illegal(r, stage, "what enters it is not there");
}

/* One instruction, beside `resident` bytes. */
static void put(struct replay *r, struct plan_posted_step *steps, enum plan_posted_do what, uint32_t stage,
                uint32_t keep, uint64_t bytes, double seconds) {
    struct plan_posted_plan *p = r->plan;
    steps[p->n_steps] = (struct plan_posted_step){what, stage, keep, bytes};
    if (bytes > p->peak_bytes) {
        p->peak_bytes = bytes;
        p->peak_step = p->n_steps;
    }
    p->n_steps++;
    p->seconds += seconds;
}

static bool forward(struct replay *r, const struct chain_any_moment *m, uint32_t stage, uint32_t keep, bool alone,
                    struct plan_posted_step *steps) {
    const struct chain_posted_stage *s = &r->c->stages[stage];
    uint64_t bytes;
    if (!drop(r, m, stage, false, &bytes) || !entered(r, stage))
        return false;
    if (stage >= r->grads_left)
        return illegal(r, stage, "is run forward for nothing");
    if (keep == DAG_NONE) {
        bytes += enters(r->c, stage + 1) + s->fast_forward_workspace + enters(r->c, r->grads_left);
        put(r, steps, PLAN_POSTED_RUN, stage, keep, bytes, s->fast_forward_time);
        r->inputs |= stage + 1 < r->c->n ? (uint64_t)1 << (stage + 1) : 0;
        return true;
    }
    const struct chain_posted_option *o = &s->options[keep];
    bytes += enters(r->c, stage + !alone) + o->kept + o->forward_workspace;
    put(r, steps, PLAN_POSTED_RUN, stage, keep, bytes, o->forward);
    r->kept[stage] = 1 + keep;
    return true;
}

static bool backward(struct replay *r, const struct chain_any_moment *m, uint32_t stage, uint32_t keep,
                     struct plan_posted_step *steps) {
    const struct chain_posted_option *o = &r->c->stages[stage].options[keep];
    uint64_t bytes;
    if (!drop(r, m, stage, true, &bytes))
        return false;
    if (stage + 1 != r->grads_left || r->kept[stage] != 1 + keep)
        return illegal(r, stage, "cannot go backward yet");
    bytes += enters(r->c, stage) + o->kept + o->backward_workspace;
    put(r, steps, PLAN_POSTED_GRAD, stage, keep, bytes, o->backward);
    r->kept[stage] = 0;
    r->grads_left--;
    return true;
}

static bool replayed(const struct chain_posted *posted, const struct chain *c, const struct chain_any_plan *from,
                     struct arena *scratch, struct plan_posted_plan *out, struct problem *why) {
    struct replay r = {.c = posted, .grads_left = posted->n, .plan = out, .why = why};
    struct plan_posted_step *steps = arena_new(scratch, struct plan_posted_step, 2 * (size_t)from->n, why);
    *out = (struct plan_posted_plan){.steps = steps};
    bool ok = steps != NULL;
    for (uint32_t i = 0; ok && i < from->n; i++) {
        const struct chain_step *s = &from->steps[i];
        const struct chain_stage *stage = &c->stages[s->stage];
        const bool single = s->what == CHAIN_SINGLE;
        const uint32_t keep = s->what == CHAIN_FAST ? DAG_NONE
                              : single              ? stage->singles[s->index].choice
                                                    : stage->options[s->index].choice;
        ok = (s->what == CHAIN_BACKWARD || forward(&r, &from->moments[i], s->stage, keep, single, steps)) &&
             ((s->what != CHAIN_BACKWARD && !single) || backward(&r, &from->moments[i], s->stage, keep, steps));
    }
    return ok && (r.grads_left == 0 || illegal(&r, r.grads_left - 1, "never goes backward"));
}

bool plan_chain_any(const struct plan_posted *q, const struct chain *c, double unit, uint64_t cost,
                    struct arena *scratch, struct plan_posted_result *out, struct problem *why) {
    const struct chain_any_limits limits = {.bytes = q->budget_bytes, .cost = cost, .states = STATES_MAX};
    struct chain_any_plan found;
    struct plan_posted_plan plan;
    if (!chain_any_solve(c, &limits, scratch, &found, why))
        return problem_nest(why, "/chain");
    if (found.steps && !replayed(&q->chain, c, &found, scratch, &plan, why))
        return false;
    if (found.steps && plan.peak_bytes > q->budget_bytes)
        return problem_set(why, PROBLEM_PLAN, "", "a chain's plan takes %llu bytes of %llu",
                           (unsigned long long)plan.peak_bytes, (unsigned long long)q->budget_bytes);
    if (found.steps && (out->plan.n_steps == 0 || plan.seconds < out->cost)) {
        out->plan = plan;
        out->cost = plan.seconds;
    }
    out->class = "all";
    out->solver = "chain_any";
    out->states += found.states;
    out->exact = found.exact;
    out->undecided = out->plan.n_steps == 0 && !found.exact;
    out->lower_bound = (double)found.lower_bound * unit;
    if (out->plan.n_steps && (out->exact || out->lower_bound > out->cost))
        out->lower_bound = out->cost;
    if (out->lower_bound < out->least_cost)
        out->lower_bound = out->least_cost;
    out->minimum_exact = false; /* it is known of persistent plans */
    return true;
}
