/* chain_posted.c - chains that are posted, with times as floating point: see chain.h */
#include <math.h>

#include "engine/base/units.h"
#include "engine/plan/chain.h"

/* All sizes together: a plan counts each at most twice (what enters a stage as itself and as its gradient). */
#define SIZES_MAX ((uint64_t)1 << 61)
/* The largest plan in units: 2^61, and half a unit of rounding for each of its steps. */
#define COST_BITS 61
/* Below it a unit would soon be no normal number; times that small are nothing. */
#define UNIT_EXPONENT_MIN (-1000)

/* ---- what may be posted ---- */

static bool add_size(uint64_t *sum, uint64_t size, const char *name, struct problem *why) {
    if (!units_add(*sum, size, sum) || *sum >= SIZES_MAX)
        return problem_set(why, PROBLEM_LIMIT, name, "with the sizes before it this passes 2^61");
    return true;
}

static bool check_time(double time, const char *name, struct problem *why) {
    if (!isfinite(time) || time < 0)
        return problem_set(why, PROBLEM_LIMIT, name, "must be a finite time, 0 or more");
    return true;
}

static bool check_option(const struct chain_posted_option *o, uint64_t *sum, struct problem *why) {
    return check_time(o->forward, "/forward", why) && check_time(o->backward, "/backward", why) &&
           add_size(sum, o->kept, "/kept", why) && add_size(sum, o->forward_workspace, "/forward_workspace", why) &&
           add_size(sum, o->backward_workspace, "/backward_workspace", why);
}

static bool check_stage(const struct chain_posted_stage *s, uint64_t *sum, struct problem *why) {
    if (!add_size(sum, s->input_size, "/input_size", why) ||
        !check_time(s->fast_forward_time, "/fast_forward/time", why) ||
        !add_size(sum, s->fast_forward_workspace, "/fast_forward/workspace", why))
        return false;
    if (s->n_options == 0)
        return problem_set(why, PROBLEM_LIMIT, "/options", "a stage needs at least one option");
    for (uint32_t k = 0; k < s->n_options; k++)
        if (!check_option(&s->options[k], sum, why))
            return problem_nest(why, "/options/%u", k);
    return true;
}

static bool check(const struct chain_posted *p, struct problem *why) {
    uint64_t sum = 0;
    if (p->n == 0)
        return problem_set(why, PROBLEM_LIMIT, "/stages", "a chain needs at least one stage");
    for (uint32_t i = 0; i < p->n; i++)
        if (!check_stage(&p->stages[i], &sum, why))
            return problem_nest(why, "/stages/%u", i);
    return add_size(&sum, p->output_size, "/output_size", why);
}

/* ---- whole numbers ---- */

/* No plan takes more: every forward at most once for every backward, n in all. */
static double longest_plan(const struct chain_posted *p) {
    double total = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        double forward = p->stages[i].fast_forward_time, backward = 0;
        for (uint32_t k = 0; k < p->stages[i].n_options; k++) {
            forward = fmax(forward, p->stages[i].options[k].forward);
            backward = fmax(backward, p->stages[i].options[k].backward);
        }
        total += (double)p->n * forward + backward;
    }
    return total;
}

/* A power of two, so that times which are whole numbers of one stay exact. */
static double pick_unit(double longest) {
    int exponent = 0;
    if (longest == 0)
        return 1;
    frexp(longest, &exponent); /* longest < 2^exponent */
    exponent -= COST_BITS;
    return ldexp(1, exponent < UNIT_EXPONENT_MIN ? UNIT_EXPONENT_MIN : exponent);
}

static uint64_t whole(double time, double unit) {
    return (uint64_t)nearbyint(time / unit);
}

/* ---- the chain ---- */

static void make_option(const struct chain_posted_option *o, uint64_t input, uint64_t output, uint32_t choice,
                        double unit, struct chain_option *option, struct chain_single *single) {
    const uint64_t forward = whole(o->forward, unit), backward = whole(o->backward, unit);
    const uint64_t forward_need = output + o->kept + o->forward_workspace;
    const uint64_t backward_need = input + o->kept + o->backward_workspace;
    *option = (struct chain_option){.kept = o->kept,
                                    .forward_need = {forward_need, forward_need},
                                    .backward_need = backward_need,
                                    .forward_cost = {forward, forward},
                                    .backward_cost = backward,
                                    .choice = choice};
    *single = (struct chain_single){.need = units_max(input + o->kept + o->forward_workspace, backward_need),
                                    .cost = forward + backward,
                                    .choice = choice};
}

static bool make_stage(const struct chain_posted *p, uint32_t i, double unit, struct arena *a, struct chain_stage *out,
                       struct problem *why) {
    const struct chain_posted_stage *s = &p->stages[i];
    const bool last = i + 1 == p->n;
    const uint64_t output = last ? p->output_size : p->stages[i + 1].input_size;
    const uint64_t fast = whole(s->fast_forward_time, unit), need = output + s->fast_forward_workspace;
    struct chain_option *options = arena_new(a, struct chain_option, s->n_options, why);
    struct chain_single *singles = arena_new(a, struct chain_single, s->n_options, why);
    if (!options || !singles)
        return false;
    for (uint32_t k = 0; k < s->n_options; k++)
        make_option(&s->options[k], s->input_size, output, k, unit, &options[k], &singles[k]);
    *out = (struct chain_stage){.input = s->input_size,
                                .fast_cost = {fast, fast},
                                .fast_need = {need, need},
                                .moving_need = {s->input_size + need, s->input_size + need},
                                .beside = {output, 0},
                                .options = options,
                                .singles = singles,
                                .n_options = last ? 0 : s->n_options,
                                .n_singles = s->n_options};
    return true;
}

bool chain_from_posted(const struct chain_posted *p, struct arena *a, struct chain *out, double *unit,
                       struct problem *why) {
    if (!check(p, why))
        return false;
    const double longest = longest_plan(p);
    if (!isfinite(longest))
        return problem_set(why, PROBLEM_LIMIT, "/stages", "the times of a plan add up to more than a double holds");
    struct chain_stage *stages = arena_new(a, struct chain_stage, p->n, why);
    if (!stages)
        return false;
    *unit = pick_unit(longest);
    for (uint32_t i = 0; i < p->n; i++)
        if (!make_stage(p, i, *unit, a, &stages[i], why))
            return false;
    *out = (struct chain){stages, p->n};
    return true;
}

/* ---- and back ---- */

static double step_seconds(const struct chain_posted_stage *posted, const struct chain_stage *stage,
                           const struct chain_step *step) {
    const struct chain_posted_option *o = posted->options;
    switch (step->what) {
    case CHAIN_FAST:
        return posted->fast_forward_time;
    case CHAIN_FORWARD:
        return o[stage->options[step->index].choice].forward;
    case CHAIN_BACKWARD:
        return o[stage->options[step->index].choice].backward;
    case CHAIN_SINGLE:
        o += stage->singles[step->index].choice;
        return o->forward + o->backward;
    }
    return 0;
}

double chain_posted_seconds(const struct chain_posted *p, const struct chain *c, const struct chain_step *steps,
                            uint32_t n) {
    double total = 0;
    for (uint32_t i = 0; i < n; i++)
        total += step_seconds(&p->stages[steps[i].stage], &c->stages[steps[i].stage], &steps[i]);
    return total;
}
