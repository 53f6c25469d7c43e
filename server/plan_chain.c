/* plan_chain.c - plans of posted chains: solved by engine/plan/chain, proven and counted here from the numbers posted.
 *
 * The count is the recursion's: what enters the first stage of a window is not counted in the window but by whoever
 * checkpointed it; and when a window opens, the bytes are there that its stages would need if all were run forward
 * without keeping anything, beside the gradient of what leaves it. */
#include <math.h>
#include <string.h>

#include "engine/base/units.h"
#include "server/plan_posted.h"

#define STATES_MAX ((uint64_t)16 << 20) /* of 16 bytes: half of an answer's memory */
#define EFFORT     UINT64_C(8000000)    /* of a solve, before exactness is given up: seconds */

/* ---- a plan, replayed ---- */

struct replay {
    const struct chain_posted *c;
    const struct plan_posted_step *steps;
    uint32_t n;
    uint32_t *next_grad; /* by step: the stage of the next gradient, its own with a gradient */
    uint32_t *kept;      /* by stage: 1 + its option; 0: none is kept */
    bool *held;          /* by stage: what enters it is held by a window that begins with it */
    uint64_t held_bytes; /* of both */
    uint32_t grads_left; /* stages whose gradient is to come */
    uint32_t window;     /* of the forward before: its first stage */
    double seconds;
    struct problem *why;
};

static bool illegal(const struct replay *r, uint32_t step, const char *what) {
    return problem_set(r->why, PROBLEM_PLAN, "", "step %u, stage %u of a chain's plan: %s", step, r->steps[step].of,
                       what);
}

/* Bytes of what enters stage i; of what leaves the last one. */
static uint64_t enters(const struct chain_posted *c, uint32_t i) {
    return i < c->n ? c->stages[i].input_size : c->output_size;
}

/* To run stage i forward where what enters the window's first stage is counted elsewhere. */
static uint64_t fast_need(const struct chain_posted *c, uint32_t first, uint32_t i) {
    return (i == first ? 0 : enters(c, i)) + enters(c, i + 1) + c->stages[i].fast_forward_workspace;
}

/* Of a window first..last that opens. */
static uint64_t window_need(const struct chain_posted *c, uint32_t first, uint32_t last) {
    uint64_t need = 0;
    for (uint32_t i = first; i < last; i++)
        need = units_max(need, fast_need(c, first, i));
    return need + (first < last ? enters(c, last + 1) : 0);
}

static uint64_t forward_need(const struct replay *r, const struct plan_posted_step *s, uint32_t last) {
    const struct chain_posted_stage *stage = &r->c->stages[s->of];
    if (s->keep == DAG_NONE)
        return fast_need(r->c, r->window, s->of) + enters(r->c, last + 1);
    const struct chain_posted_option *o = &stage->options[s->keep];
    return enters(r->c, s->of + (s->of < last)) + o->kept + o->forward_workspace;
}

/* What enters stage `of` is there: given, held, kept by the stage before, or just made. */
static bool entered(const struct replay *r, uint32_t step) {
    const uint32_t of = r->steps[step].of;
    return of == 0 || r->held[of] || r->kept[of - 1] ||
           (step > 0 && r->steps[step - 1].what == PLAN_POSTED_RUN && r->steps[step - 1].of + 1 == of);
}

/* A window begins with every forward that does not go on with the one before. What a fast one left is held then. */
static bool run_step(struct replay *r, uint32_t step, const bool *begins, uint64_t *live) {
    const struct plan_posted_step *s = &r->steps[step];
    const uint32_t last = r->next_grad[step];
    const bool opened = begins[step];
    if (!entered(r, step))
        return illegal(r, step, "what enters it is not there");
    if (r->kept[s->of] || s->of > last)
        return illegal(r, step, "is run forward for nothing");
    if (opened) {
        const bool after_fast =
            step > 0 && r->steps[step - 1].what == PLAN_POSTED_RUN && r->steps[step - 1].keep == DAG_NONE;
        if (after_fast && !r->held[s->of]) {
            r->held[s->of] = true;
            r->held_bytes += enters(r->c, s->of);
        }
        r->window = s->of;
    }
    *live = r->held_bytes + units_max(opened ? window_need(r->c, s->of, last) : 0, forward_need(r, s, last));
    if (s->keep == DAG_NONE) {
        r->seconds += r->c->stages[s->of].fast_forward_time;
        return true;
    }
    r->kept[s->of] = 1 + s->keep;
    r->held_bytes += r->c->stages[s->of].options[s->keep].kept;
    r->seconds += r->c->stages[s->of].options[s->keep].forward;
    return true;
}

static bool grad_step(struct replay *r, uint32_t step, uint64_t *live) {
    const struct plan_posted_step *s = &r->steps[step];
    if (s->of + 1 != r->grads_left)
        return illegal(r, step, "is not the next to go backward");
    if (r->kept[s->of] != 1 + s->keep)
        return illegal(r, step, "goes backward without what that keeps");
    const struct chain_posted_option *o = &r->c->stages[s->of].options[s->keep];
    r->held_bytes -= o->kept;
    *live = r->held_bytes + enters(r->c, s->of) + o->kept + o->backward_workspace;
    r->kept[s->of] = 0;
    r->grads_left--;
    r->seconds += o->backward;
    if (r->held[s->of]) {
        r->held[s->of] = false;
        r->held_bytes -= enters(r->c, s->of);
    }
    return true;
}

/* Whether the plan is legal; fills in live_bytes of its steps, its peak and its seconds. */
static bool replay(const struct chain_posted *c, struct plan_posted_step *steps, const bool *begins,
                   struct arena *scratch, struct plan_posted_plan *plan, struct problem *why) {
    struct replay r = {.c = c, .steps = steps, .n = plan->n_steps, .grads_left = c->n, .why = why};
    r.next_grad = arena_new(scratch, uint32_t, r.n, why);
    r.kept = arena_new(scratch, uint32_t, c->n, why);
    r.held = arena_new(scratch, bool, c->n, why);
    if (!r.next_grad || !r.kept || !r.held)
        return false;
    for (uint32_t i = r.n, next = 0; i-- > 0;)
        next = r.next_grad[i] = steps[i].what == PLAN_POSTED_GRAD ? steps[i].of : next;
    for (uint32_t i = 0; i < r.n; i++) {
        if (!(steps[i].what == PLAN_POSTED_GRAD ? grad_step(&r, i, &steps[i].live_bytes)
                                                : run_step(&r, i, begins, &steps[i].live_bytes)))
            return false;
        if (steps[i].live_bytes > plan->peak_bytes) {
            plan->peak_bytes = steps[i].live_bytes;
            plan->peak_step = i;
        }
    }
    plan->seconds = r.seconds;
    plan->steps = steps;
    return r.grads_left == 0 || illegal(&r, r.n - 1, "is the last step, and not all stages went backward");
}

/* ---- plans ---- */

/* Room for steps and for whether each begins a window. */
static bool room(uint32_t n, struct arena *scratch, struct plan_posted_step **steps, bool **begins,
                 struct problem *why) {
    *steps = arena_new(scratch, struct plan_posted_step, n, why);
    *begins = arena_new(scratch, bool, n, why);
    return *steps && *begins;
}

/* Of what is cheapest to run forward and backward, the one that keeps least. */
static uint32_t cheapest(const struct chain_posted_stage *stage) {
    uint32_t best = 0;
    for (uint32_t k = 1; k < stage->n_options; k++) {
        const struct chain_posted_option *o = &stage->options[k], *b = &stage->options[best];
        const double cost = o->forward + o->backward, least = b->forward + b->backward;
        if (cost < least || (cost == least && o->kept < b->kept))
            best = k;
    }
    return best;
}

/* Every stage once each way. */
static bool standard_make(const struct chain_posted *c, struct arena *scratch, struct plan_posted_plan *out,
                          struct problem *why) {
    struct plan_posted_step *steps;
    bool *begins;
    if (!room(2 * c->n, scratch, &steps, &begins, why))
        return false;
    for (uint32_t i = 0; i < c->n; i++) {
        const uint32_t k = cheapest(&c->stages[i]);
        steps[i] = (struct plan_posted_step){.what = PLAN_POSTED_RUN, .of = i, .keep = k};
        steps[2 * c->n - 1 - i] = (struct plan_posted_step){.what = PLAN_POSTED_GRAD, .of = i, .keep = k};
        begins[i] = true;
    }
    *out = (struct plan_posted_plan){.n_steps = 2 * c->n};
    return replay(c, steps, begins, scratch, out, why);
}

/* The solver's steps as they are told: a single is a run and a gradient. */
static bool schedule_make(const struct chain_posted *posted, const struct chain *c, const struct chain_step *from,
                          uint32_t n, struct arena *scratch, struct plan_posted_plan *out, struct problem *why) {
    struct plan_posted_step *steps;
    bool *begins;
    uint32_t to = 0;
    if (!room(2 * n, scratch, &steps, &begins, why))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        const struct chain_stage *stage = &c->stages[from[i].stage];
        const uint32_t keep = from[i].what == CHAIN_FAST     ? DAG_NONE
                              : from[i].what == CHAIN_SINGLE ? stage->singles[from[i].index].choice
                                                             : stage->options[from[i].index].choice;
        const struct plan_posted_step run = {.what = PLAN_POSTED_RUN, .of = from[i].stage, .keep = keep},
                                      grad = {.what = PLAN_POSTED_GRAD, .of = from[i].stage, .keep = keep};
        begins[to] = from[i].what != CHAIN_FAST || from[i].first == from[i].stage;
        if (from[i].what != CHAIN_BACKWARD)
            steps[to++] = run;
        if (from[i].what == CHAIN_BACKWARD || from[i].what == CHAIN_SINGLE)
            steps[to++] = grad;
    }
    *out = (struct plan_posted_plan){.n_steps = to};
    return replay(posted, steps, begins, scratch, out, why);
}

/* The plan of a point; it needs no more than the point says, and costs what it says, but for each step's rounding to
 * whole units, which one stage of very many seconds makes coarse. */
static bool point_make(const struct chain_posted *posted, const struct chain *c, const struct chain_solver *s,
                       const struct chain_point *point, double unit, struct arena *scratch,
                       struct plan_posted_plan *out, struct problem *why) {
    const struct chain_step *steps;
    uint32_t n;
    if (!chain_schedule(s, point, scratch, &steps, &n, why) || !schedule_make(posted, c, steps, n, scratch, out, why))
        return false;
    const double cost = (double)point->cost * unit;
    return (out->peak_bytes <= point->bytes && fabs(out->seconds - cost) <= 1e-9 * cost + out->n_steps * unit) ||
           problem_set(why, PROBLEM_PLAN, "",
                       "a chain's plan takes %llu bytes and %.17g where %llu and %.17g were said",
                       (unsigned long long)out->peak_bytes, out->seconds, (unsigned long long)point->bytes, cost);
}

/* ---- answers ---- */

/* A chain that is too large is the client's affair. */
static const struct chain_solver *solved(const struct chain *c, const struct chain_limits *limits,
                                         struct arena *scratch, struct problem *why) {
    struct problem mine = {0};
    const struct chain_solver *s = chain_solve(c, limits, scratch, &mine);
    if (!s && (mine.kind == PROBLEM_LIMIT || (mine.kind == PROBLEM_MEMORY && scratch->past)))
        problem_set(why, PROBLEM_LIMIT, "/chain",
                    "is too large to solve in the memory it may have: give it fewer stages or options, or a budget");
    else if (!s)
        problem_set(why, mine.kind, "/chain", "%s", mine.detail);
    return s;
}

/* Where no persistent plan fits: the one of the fewest bytes, and where it is fullest. */
static bool least_find(const struct chain_posted *posted, const struct chain *c, double unit, struct arena *scratch,
                       struct plan_posted_result *out, struct problem *why) {
    struct chain_limits limits = {.cost = UINT64_MAX, .states = STATES_MAX, .effort = EFFORT};
    struct plan_posted_plan least;
    uint32_t n;
    if (!chain_least_bytes(c, scratch, &limits.bytes, why))
        return false;
    out->minimum_budget_bytes = limits.bytes;
    out->minimum_exact = true;
    const struct chain_solver *s = solved(c, &limits, scratch, why);
    if (!s)
        return false;
    const struct chain_point *points = chain_frontier(s, &n);
    if (n == 0)
        return problem_set(why, PROBLEM_INTERNAL, "", "a chain has no plan in its least bytes");
    if (!point_make(posted, c, s, &points[0], unit, scratch, &least, why))
        return false;
    out->binds = least.steps[least.peak_step].of;
    out->binds_backward = least.steps[least.peak_step].what == PLAN_POSTED_GRAD;
    return true;
}

/* Among persistent plans: what a stage keeps stays until its own backward. More than what everything once takes buys
 * nothing. *cost: of the best, UINT64_MAX: none fits. */
static bool persistent_solve(const struct plan_posted *q, const struct chain *c, double unit, struct arena *scratch,
                             struct plan_posted_result *out, uint64_t *cost, struct problem *why) {
    const uint64_t bytes = units_min(q->budget_bytes, out->standard.peak_bytes);
    const struct chain_limits limits = {
        .from_bytes = bytes, .bytes = bytes, .cost = UINT64_MAX, .states = STATES_MAX, .effort = EFFORT};
    uint32_t n;
    const struct chain_solver *s = solved(c, &limits, scratch, why);
    if (!s)
        return false;
    const struct chain_point *points = chain_frontier(s, &n);
    out->class = "persistent";
    out->solver = "chain";
    out->states = chain_states(s);
    out->exact = chain_exact(s) || n == 0;
    *cost = n ? points[n - 1].cost : UINT64_MAX;
    if (n == 0)
        return least_find(&q->chain, c, unit, scratch, out, why);
    if (!point_make(&q->chain, c, s, &points[n - 1], unit, scratch, &out->plan, why))
        return false;
    if (!out->exact && out->standard.peak_bytes <= q->budget_bytes) { /* a grid may pass over it */
        out->plan = out->standard;
        out->exact = true;
    }
    out->cost = out->plan.seconds;
    out->lower_bound = out->exact ? out->cost : fmin(out->cost, (double)chain_lower_bound(s, bytes) * unit);
    return true;
}

static bool optimal(const struct plan_posted *q, struct arena *scratch, struct plan_posted_result *out,
                    struct problem *why) {
    struct chain c;
    double unit;
    uint64_t cost;
    if (!chain_from_posted(&q->chain, scratch, &c, &unit, why))
        return problem_nest(why, "/chain");
    return persistent_solve(q, &c, unit, scratch, out, &cost, why) &&
           (q->strategy == PLAN_POSTED_OPTIMAL || plan_chain_any(q, &c, unit, cost, scratch, out, why));
}

bool plan_chain_solve(const struct plan_posted *q, struct plan_posted_watch *watch, struct arena *scratch,
                      struct plan_posted_result *out, struct problem *why) {
    (void)watch;
    if (!standard_make(&q->chain, scratch, &out->standard, why))
        return false;
    out->least_cost = out->standard.seconds;
    if (q->strategy != PLAN_POSTED_STANDARD)
        return optimal(q, scratch, out, why);
    out->plan = out->standard;
    out->cost = out->standard.seconds;
    out->minimum_budget_bytes = out->standard.peak_bytes;
    out->minimum_exact = true;
    return true;
}

static bool point_told(const struct plan_posted *q, const struct chain *c, const struct chain_solver *s,
                       const struct chain_point *point, double unit, struct plan_posted_point *out,
                       struct problem *why) {
    struct plan_posted_plan plan;
    struct arena scratch; /* of one plan */
    arena_init_within(&scratch, PLAN_POSTED_ARENA_BYTES, q->bounds);
    const bool ok = point_make(&q->chain, c, s, point, unit, &scratch, &plan, why);
    if (ok)
        *out = (struct plan_posted_point){plan.peak_bytes, plan.seconds, chain_exact(s)};
    arena_free(&scratch);
    return ok;
}

/* A grid may pass over what everything once costs, which nothing is cheaper than. */
static uint32_t standard_first(const struct plan_posted_plan *standard, struct plan_posted_point *list, uint32_t n,
                               uint64_t most) {
    uint32_t from = n > 0 && (n == most || list[0].bytes >= standard->peak_bytes) ? 1 : 0;
    if (n > 0 && list[0].cost <= standard->seconds)
        return n;
    memmove(list + 1, list + from, (n - from) * sizeof *list);
    list[0] = (struct plan_posted_point){standard->peak_bytes, standard->seconds, true};
    return n - from + 1;
}

bool plan_chain_frontier(const struct plan_posted *q, struct arena *scratch, struct plan_posted_curve *out,
                         struct problem *why) {
    struct plan_posted_plan standard;
    struct chain c;
    double unit;
    uint32_t n;
    if (!standard_make(&q->chain, scratch, &standard, why))
        return false;
    const struct chain_limits limits = {
        .bytes = standard.peak_bytes, .cost = UINT64_MAX, .states = STATES_MAX, .effort = EFFORT};
    if (!chain_from_posted(&q->chain, scratch, &c, &unit, why))
        return problem_nest(why, "/chain");
    const struct chain_solver *s = solved(&c, &limits, scratch, why);
    if (!s)
        return false;
    const struct chain_point *points = chain_frontier(s, &n);
    uint32_t shown = (uint32_t)units_min(n, q->max_points);
    struct plan_posted_point *list = arena_new(scratch, struct plan_posted_point, (size_t)shown + 1, why);
    for (uint32_t i = 0; list && i < shown; i++) { /* evenly, with both ends; the most bytes first */
        const uint64_t at = shown > 1 ? (uint64_t)i * (n - 1) / (shown - 1) : 0;
        if (!point_told(q, &c, s, &points[n - 1 - at], unit, &list[i], why))
            return false;
    }
    if (list && !chain_exact(s))
        shown = standard_first(&standard, list, shown, q->max_points);
    *out = (struct plan_posted_curve){.points = list,
                                      .n = shown,
                                      .least_cost = standard.seconds,
                                      .standard_bytes = standard.peak_bytes,
                                      .standard_cost = standard.seconds,
                                      .exact = chain_exact(s)};
    return list != NULL;
}
