/* chain_schedule.c - from a point of a frontier back to the plan that has it.
 *
 * Nothing was noted while curves were built: at each window the candidate that costs what the curve says is looked for
 * again, options before splits, in order. */
#include <string.h>

#include "engine/base/units.h"
#include "engine/plan/chain_windows.h"

/* What is left to write: a window in so many bytes, or a step. */
struct task {
    bool is_step;
    struct chain_step step;
    uint32_t i, j;
    uint64_t bytes;
};

struct writing {
    const struct chain_windows *w;
    const struct chain_range *range;
    bool coarse; /* indices are those of the chain it is a copy of */
    struct task *tasks;
    struct chain_step *steps;
    uint32_t n_tasks, tasks_room, n, room;
    struct arena *a;
    struct problem *why;
};

static bool task_push(struct writing *w, struct task t) {
    if (w->n_tasks == w->tasks_room) {
        struct task *larger = arena_new(w->a, struct task, (size_t)w->tasks_room * 2, w->why);
        if (!larger)
            return false;
        memcpy(larger, w->tasks, w->n_tasks * sizeof *larger);
        w->tasks = larger;
        w->tasks_room *= 2;
    }
    w->tasks[w->n_tasks++] = t;
    return true;
}

static bool step_put(struct writing *w, struct chain_step step) {
    if (w->n == w->room) {
        struct chain_step *larger = arena_new(w->a, struct chain_step, (size_t)w->room * 2, w->why);
        if (!larger)
            return false;
        memcpy(larger, w->steps, w->n * sizeof *larger);
        w->steps = larger;
        w->room *= 2;
    }
    w->steps[w->n++] = step;
    return true;
}

/* A curve in m - shift bytes. */
static uint64_t cost_in(const struct chain_curve *f, uint64_t m, uint64_t shift) {
    return m < shift ? UINT64_MAX : chain_curve_cost(f, m - shift);
}

static const struct chain_curve *curve(const struct writing *w, uint32_t i, uint32_t j) {
    return chain_range_at(w->w, w->range, i, j);
}

static bool no_way(struct writing *w) {
    return problem_set(w->why, PROBLEM_INTERNAL, "", "a point of a frontier has no plan");
}

static bool single_put(struct writing *w, const struct task *t, uint64_t cost) {
    const struct chain_stage *stage = &w->w->chain.stages[t->i];
    for (uint32_t k = 0; k < stage->n_singles; k++)
        if (stage->singles[k].need <= t->bytes && stage->singles[k].cost == cost)
            return step_put(w, (struct chain_step){CHAIN_SINGLE, chain_pass_of(w->w, t->j), t->i,
                                                   w->coarse ? stage->singles[k].choice : k, t->i});
    return no_way(w);
}

static bool option_put(struct writing *w, const struct task *t, uint32_t k) {
    const enum chain_pass pass = chain_pass_of(w->w, t->j);
    const struct chain_option *o = &w->w->chain.stages[t->i].options[k];
    const uint32_t index = w->coarse ? o->choice : k;
    const struct task backward = {.is_step = true, .step = {CHAIN_BACKWARD, pass, t->i, index, t->i}},
                      rest = {.i = t->i + 1, .j = t->j, .bytes = t->bytes - o->kept};
    return step_put(w, (struct chain_step){CHAIN_FORWARD, pass, t->i, index, t->i}) && task_push(w, backward) &&
           task_push(w, rest);
}

static bool split_put(struct writing *w, const struct task *t, uint32_t l) {
    const struct task left = {.i = t->i, .j = l - 1, .bytes = t->bytes},
                      right = {.i = l, .j = t->j, .bytes = t->bytes - w->w->chain.stages[l].input};
    for (uint32_t stage = t->i; stage < l; stage++)
        if (!step_put(w, (struct chain_step){CHAIN_FAST, chain_pass_of(w->w, t->j), stage, 0, t->i}))
            return false;
    return task_push(w, left) && task_push(w, right);
}

static bool window_put(struct writing *w, const struct task *t) {
    const struct chain_windows *s = w->w;
    const enum chain_pass pass = chain_pass_of(s, t->j);
    const uint64_t cost = chain_curve_cost(curve(w, t->i, t->j), t->bytes);
    if (t->i == t->j)
        return single_put(w, t, cost);
    const struct chain_stage *stage = &s->chain.stages[t->i];
    const uint64_t floor = chain_window_floor(s, t->i, t->j);
    for (uint32_t k = 0; k < stage->n_options; k++) {
        const struct chain_option *o = &stage->options[k];
        const uint64_t rest = cost_in(curve(w, t->i + 1, t->j), t->bytes, o->kept);
        if (rest != UINT64_MAX && chain_option_floor(s, t->i, t->j, k, floor) <= t->bytes &&
            o->forward_cost[pass] + o->backward_cost + rest == cost)
            return option_put(w, t, k);
    }
    uint64_t fast = 0;
    for (uint32_t l = t->i + 1; l <= t->j && floor <= t->bytes; l++) {
        fast += s->chain.stages[l - 1].fast_cost[pass];
        const uint64_t right = cost_in(curve(w, l, t->j), t->bytes, s->chain.stages[l].input),
                       left = chain_curve_cost(curve(w, t->i, l - 1), t->bytes);
        if (right != UINT64_MAX && left != UINT64_MAX && fast + right + left == cost)
            return split_put(w, t, l);
    }
    return no_way(w);
}

bool chain_schedule(const struct chain_solver *s, const struct chain_point *point, struct arena *a,
                    const struct chain_step **steps, uint32_t *n, struct problem *why) {
    struct writing w = {.w = s->windows, .tasks_room = 64, .room = 4 * s->windows->chain.n + 16, .a = a, .why = why};
    w.range = s->ranges;
    w.coarse = s->coarse;
    while (w.range->to < point->bytes)
        w.range++;
    w.tasks = arena_new(a, struct task, w.tasks_room, why);
    w.steps = arena_new(a, struct chain_step, w.room, why);
    if (!w.tasks || !w.steps ||
        !task_push(&w, (struct task){.i = 0, .j = s->windows->chain.n - 1, .bytes = point->bytes}))
        return false;
    while (w.n_tasks > 0) {
        const struct task t = w.tasks[--w.n_tasks];
        if (!(t.is_step ? step_put(&w, t.step) : window_put(&w, &t)))
            return false;
    }
    *steps = w.steps;
    *n = w.n;
    return true;
}
