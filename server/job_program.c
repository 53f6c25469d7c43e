/* job_program.c - choosing and admitting; see job_program.h */
#include "server/job_program.h"

#include <string.h>

#include "engine/base/units.h"
#include "server/witness.h"

bool job_program_room(struct job_program *p, uint32_t feeds, uint32_t yields, struct problem *why) {
    struct arena *a = p->graph.arena;
    p->feeds = arena_new(a, struct job_feed, feeds, why);
    p->yields = arena_new(a, struct job_yield, yields, why);
    p->feed_of = arena_new(a, uint32_t, (size_t)p->graph.n_tensors * 2, why);
    return p->feeds && p->yields && p->feed_of;
}

/* The tensor's own shape; kinds that show another one overwrite it. */
static unsigned shape_of(const struct graph *g, uint32_t value, uint64_t shape[GRAPH_RANK_MAX]) {
    const struct tensor *t = &g->tensors[value < g->n_tensors ? value : value - g->n_tensors];
    memcpy(shape, t->shape, sizeof t->shape);
    return t->rank;
}

struct job_feed *job_program_feed(struct job_program *p, uint32_t value, const struct wire_tensor *tensor,
                                  const char *group, const char *name) {
    struct job_feed *feed = &p->feeds[p->n_feeds++];
    *feed = (struct job_feed){.value = value, .tensor = tensor, .group = group, .name = name};
    feed->rank = shape_of(&p->graph, value, feed->shape);
    p->feed_of[value] = p->n_feeds;
    return feed;
}

struct job_yield *job_program_yield(struct job_program *p, uint32_t value, const char *group, const char *name) {
    struct job_yield *yield = &p->yields[p->n_yields++];
    *yield = (struct job_yield){.value = value, .group = group, .name = name};
    yield->rank = shape_of(&p->graph, value, yield->shape);
    return yield;
}

#define PLANS_BYTES ((uint64_t)4 << 20) /* of graphs and plans; so much is among what is always counted */

/* Graphs and plans lie in memory while they are run, and what runs them grows with them: with the depth of a model. */
static uint64_t outside_bytes(uint64_t plans_bytes) {
    const uint64_t more = plans_bytes > PLANS_BYTES ? plans_bytes - PLANS_BYTES : 0;
    return WITNESS_OUTSIDE_BYTES + more + more / 4;
}

static bool admit(struct job *job, uint64_t peak_bytes, uint64_t outside, const struct job_context *c,
                  struct problem *why) {
    if (!units_add(peak_bytes, outside, &job->admission_bytes) || job->admission_bytes > c->memory_limit_bytes) {
        problem_set(
            why, PROBLEM_BUDGET, "", "needs %llu bytes and %llu around them; the daemon may use %llu for its jobs",
            (unsigned long long)peak_bytes, (unsigned long long)outside, (unsigned long long)c->memory_limit_bytes);
        why->minimum_budget_bytes = peak_bytes;
        return false;
    }
    return true;
}

bool job_admit(struct job *job, uint64_t peak_bytes, const struct job_context *c, struct problem *why) {
    return admit(job, peak_bytes, WITNESS_OUTSIDE_BYTES, c, why);
}

bool job_program_objective(const struct strategy *s, struct problem *why) {
    return s->objective == OBJECTIVE_FLOPS || problem_set(why, PROBLEM_UNSUPPORTED, "/objective",
                                                          "is seconds, of devices that plans name: jobs spare flops");
}

struct choice {
    bool found;
    unsigned candidate;        /* the best */
    uint64_t flops;            /* that it is chosen by */
    uint64_t least_peak_bytes; /* of all candidates */
    uint64_t planning_bytes;   /* the most that one of them took to be planned */
    bool over_budget, over_limit;
};

static bool fits_limit(uint64_t peak_bytes, const struct job_context *c) {
    uint64_t with_outside;
    return units_add(peak_bytes, WITNESS_OUTSIDE_BYTES, &with_outside) && with_outside <= c->memory_limit_bytes;
}

static void weigh(const struct job_computation *computation, unsigned candidate, const struct plan *plan,
                  const struct job_context *c, struct choice *choice) {
    const uint64_t ops = computation->ops_differ ? plan->forward_flops + plan->backward_flops : 0;
    const uint64_t flops = plan->recompute_flops + ops;
    choice->least_peak_bytes = units_min(choice->least_peak_bytes, plan->peak_bytes);
    const uint64_t budget = job_program_budget(computation->budget_bytes, computation->strategy_bytes);
    if (budget && plan->peak_bytes > budget)
        choice->over_budget = true;
    else if (!fits_limit(plan->peak_bytes, c))
        choice->over_limit = true;
    else if (!choice->found || flops < choice->flops) {
        choice->found = true;
        choice->candidate = candidate;
        choice->flops = flops;
    }
}

/* Plans it in an arena of its own: of many candidates one is kept. */
static bool consider(const struct job *job, const struct job_computation *computation, unsigned candidate,
                     const struct job_context *c, struct choice *choice, struct problem *why) {
    struct arena scratch;
    struct job_context own = *c;
    struct job_program p = {.n_feeds = 0};
    arena_init_within(&scratch, c->arena->limit_bytes, c->arena->bounds);
    own.arena = &scratch;
    bool ok = computation->build(job->spec, candidate, &own, &p, why);
    if (ok)
        weigh(computation, candidate, &p.plan, c, choice);
    choice->planning_bytes = units_max(choice->planning_bytes, scratch.taken_bytes);
    arena_free(&scratch);
    if (ok || choice->least_peak_bytes == UINT64_MAX || why->kind == PROBLEM_MEMORY || why->kind == PROBLEM_CANCELLED)
        return ok;
    *why = (struct problem){0}; /* the request is sound: this strategy has nothing to do in it */
    return true;
}

static bool refuse(const struct job_computation *computation, const struct choice *choice, const struct job_context *c,
                   struct problem *why) {
    const char *who = computation->automatic ? "no strategy fits" : "this strategy does not fit";
    unsigned long long least = choice->least_peak_bytes;
    const uint64_t budget = job_program_budget(computation->budget_bytes, computation->strategy_bytes);
    if (choice->over_budget)
        problem_set(why, PROBLEM_BUDGET,
                    budget == computation->budget_bytes ? "/budget_bytes" : "/strategy/budget_bytes",
                    "%s in %llu bytes; the least that would do is %llu", who, (unsigned long long)budget, least);
    else
        problem_set(why, PROBLEM_BUDGET, "", "%s: it needs %llu bytes and %llu around them, and the daemon has %llu",
                    who, least, (unsigned long long)WITNESS_OUTSIDE_BYTES, (unsigned long long)c->memory_limit_bytes);
    if (why->kind == PROBLEM_BUDGET)
        why->minimum_budget_bytes = choice->least_peak_bytes;
    return false;
}

static bool planned_write(struct job *job, const struct job_pair *pair, const struct job_context *c,
                          struct problem *why) {
    const struct plan *p = &pair->own.plan;
    struct wire_out o;
    wire_out_init(&o, c->arena, why);
    wire_open(&o, NULL, '{');
    wire_put_json(&o, "strategy", pair->own.strategy);
    wire_put_uint(&o, "peak_bytes", p->peak_bytes);
    wire_put_uint(&o, "slab_bytes", p->slab_bytes);
    wire_put_uint(&o, "live_peak_bytes", p->live_peak_bytes);
    wire_put_uint(&o, "retained_peak_bytes", p->retained_peak_bytes);
    wire_put_uint(&o, "saved_bytes", p->saved_activations_bytes);
    wire_put_uint(&o, "persistent_bytes", p->persistent_bytes);
    wire_put_uint(&o, "admission_bytes", job->admission_bytes);
    wire_open(&o, "flops", '{');
    wire_put_uint(&o, "forward", p->forward_flops);
    wire_put_uint(&o, "backward", p->backward_flops);
    wire_put_uint(&o, "recompute", p->recompute_flops);
    wire_close(&o, '}');
    wire_close(&o, '}');
    job->planned = wire_text(&o, NULL);
    return job->planned != NULL;
}

bool job_program_plan(struct job *job, const struct job_computation *computation, const struct job_context *c,
                      struct problem *why) {
    const uint64_t before_bytes = c->arena->taken_bytes;
    struct choice choice = {.least_peak_bytes = UINT64_MAX};
    struct job_pair *pair = arena_new(c->arena, struct job_pair, 1, why);
    if (!pair)
        return false;
    for (unsigned i = 0; i < computation->n_candidates; i++)
        if (!consider(job, computation, computation->candidates[i], c, &choice, why))
            return false;
    if (!choice.found)
        return refuse(computation, &choice, c, why);
    if (!computation->build(job->spec, choice.candidate, c, &pair->own, why))
        return false;
    pair->witness = computation->witness;
    pair->ops_differ = computation->ops_differ;
    pair->compared = computation->compare_candidate >= 0;
    uint64_t peak = pair->own.plan.peak_bytes;
    if (pair->compared) {
        if (!computation->build(job->spec, (unsigned)computation->compare_candidate, c, &pair->compare, why))
            return false;
        peak = units_max(peak, pair->compare.plan.peak_bytes);
    }
    job->program = pair;
    job->plan = &pair->own.plan;
    /* A worker plans again, in the memory the job will run in. */
    if (!admit(job, units_max(peak, choice.planning_bytes), outside_bytes(c->arena->taken_bytes - before_bytes), c,
               why))
        return pair->compared && peak != pair->own.plan.peak_bytes ? problem_nest(why, "/compare_with") : false;
    return planned_write(job, pair, c, why);
}
