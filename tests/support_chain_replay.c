/* support_chain_replay.c - schedules of chains run step by step, and the states of all plans swept: support_chain.h */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support_chain.h"

#define REPLAY_STAGES 512
#define NOTHING       UINT32_MAX

static void raise_to(uint64_t *most, uint64_t bytes) {
    if (bytes > *most)
        *most = bytes;
}

/* ---- step by step ---- */

struct replay {
    const struct chain *c;
    bool inputs[REPLAY_STAGES];   /* what enters the stage is resident by itself */
    uint32_t kept[REPLAY_STAGES]; /* with which option; NOTHING */
    uint32_t left;                /* backwards to come */
    struct chain_point so_far;
};

static uint64_t resident(const struct replay *r) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < r->c->n; i++) {
        bytes += i > 0 && r->inputs[i] ? r->c->stages[i].input : 0;
        bytes += r->kept[i] != NOTHING ? r->c->stages[i].options[r->kept[i]].kept : 0;
    }
    return bytes;
}

static void replay_fast(struct replay *r, const struct chain_step *step) {
    const uint32_t i = step->stage;
    const struct chain_stage *s = &r->c->stages[i];
    const bool moves = step->first != i;
    cr_assert(i + 1 < r->left);
    cr_assert_not(moves && !r->inputs[i], "%u is left that was not made by a fast forward", i);
    if (moves && i > 0)
        r->inputs[i] = false;
    raise_to(&r->so_far.bytes,
             resident(r) + (moves ? s->moving_need : s->fast_need)[step->pass] + r->c->stages[r->left - 1].beside[0]);
    r->so_far.cost += s->fast_cost[step->pass];
    r->inputs[i + 1] = true;
}

static void replay_forward(struct replay *r, const struct chain_step *step) {
    const struct chain_option *o = &r->c->stages[step->stage].options[step->index];
    cr_assert_lt(step->index, r->c->stages[step->stage].n_options);
    cr_assert_eq(r->kept[step->stage], NOTHING);
    cr_assert(step->stage + 1 < r->left);
    raise_to(&r->so_far.bytes, resident(r) + o->forward_need[step->pass] + r->c->stages[r->left - 1].beside[1]);
    r->so_far.cost += o->forward_cost[step->pass];
    r->kept[step->stage] = step->index;
}

static void replay_backward(struct replay *r, const struct chain_step *step) {
    const struct chain_stage *s = &r->c->stages[step->stage];
    uint64_t need, cost;
    cr_assert_eq(step->stage + 1, r->left);
    if (step->what == CHAIN_BACKWARD) {
        cr_assert_eq(step->index, r->kept[step->stage]);
        r->kept[step->stage] = NOTHING;
        need = s->options[step->index].backward_need;
        cost = s->options[step->index].backward_cost;
    } else {
        cr_assert_lt(step->index, s->n_singles);
        need = s->singles[step->index].need;
        cost = s->singles[step->index].cost;
    }
    raise_to(&r->so_far.bytes, resident(r) + need);
    r->so_far.cost += cost;
    r->inputs[step->stage] = false;
    r->left--;
}

struct chain_point support_chain_replay(const struct chain *c, const struct chain_step *steps, uint32_t n) {
    struct replay r = {.c = c, .left = c->n, .inputs = {true}};
    cr_assert_leq(c->n, REPLAY_STAGES);
    memset(r.kept, 0xff, sizeof r.kept);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t s = steps[i].stage;
        cr_assert(s < c->n && r.left > 0);
        cr_assert(steps[i].what == CHAIN_BACKWARD ||
                  steps[i].pass == (r.left == c->n ? CHAIN_FIRST : CHAIN_AGAIN)); /* a backward's is its forward's */
        cr_assert(r.inputs[s] || (s > 0 && r.kept[s - 1] != NOTHING), "step %u of stage %u: what enters is not there",
                  i, s);
        if (steps[i].what == CHAIN_FAST)
            replay_fast(&r, &steps[i]);
        else if (steps[i].what == CHAIN_FORWARD)
            replay_forward(&r, &steps[i]);
        else
            replay_backward(&r, &steps[i]);
    }
    cr_assert_eq(r.left, 0);
    cr_assert_eq(resident(&r), 0);
    return r.so_far;
}

/* ---- any plan ---- */

/* Lets go of what a moment has no more. A stage's output may outlive what else was kept of it. */
static void shrink_to(struct replay *r, const struct chain_any_moment *m, uint32_t own) {
    for (uint32_t i = r->c->n; i-- > 0;) {
        const bool input = i == 0 || (m->inputs >> i & 1), kept = (m->kept >> i & 1) || (i == own);
        cr_assert(!input || r->inputs[i] || (i > 0 && r->kept[i - 1] != NOTHING), "nobody made what enters %u", i);
        cr_assert(!(m->kept >> i & 1) || r->kept[i] != NOTHING, "nobody kept %u", i);
        r->inputs[i] = input;
        if (!kept)
            r->kept[i] = NOTHING;
    }
}

struct chain_point support_chain_replay_any(const struct chain *c, const struct chain_any_plan *plan) {
    struct replay r = {.c = c, .left = c->n, .inputs = {true}};
    memset(r.kept, 0xff, sizeof r.kept);
    for (uint32_t i = 0; i < plan->n; i++) {
        struct chain_step step = plan->steps[i];
        const uint64_t before = r.so_far.bytes;
        const uint32_t s = step.stage;
        r.so_far.bytes = 0;
        shrink_to(&r, &plan->moments[i], step.what == CHAIN_BACKWARD ? s : NOTHING);
        cr_assert(r.inputs[s] || (s > 0 && r.kept[s - 1] != NOTHING));
        step.first = s;
        if (step.what == CHAIN_FAST)
            replay_fast(&r, &step);
        else if (step.what == CHAIN_FORWARD)
            replay_forward(&r, &step);
        else
            replay_backward(&r, &step);
        cr_assert_eq(r.so_far.bytes, plan->moments[i].bytes, "step %u: %lu bytes, not %lu", i, r.so_far.bytes,
                     plan->moments[i].bytes);
        raise_to(&r.so_far.bytes, before);
    }
    cr_assert_eq(r.left, 0);
    return r.so_far;
}

/* ---- windows within windows ---- */

struct reading {
    const struct chain *c;
    const struct chain_step *at, *end;
    uint64_t cost;
};

static struct chain_step next(struct reading *r, uint32_t stage) {
    cr_assert_neq(r->at, r->end);
    cr_assert_eq(r->at->stage, stage);
    return *r->at++;
}

static uint64_t read_window(struct reading *r, uint32_t i, uint32_t j) {
    const struct chain_stage *s = r->c->stages;
    const unsigned pass = j + 1 == r->c->n ? CHAIN_FIRST : CHAIN_AGAIN;
    struct chain_step step = next(r, i);
    if (i == j) {
        cr_assert_eq(step.what, CHAIN_SINGLE);
        r->cost += s[i].singles[step.index].cost;
        return s[i].singles[step.index].need;
    }
    uint64_t bytes = s[i].fast_need[pass] + s[j].beside[0];
    for (uint32_t l = i + 1; l < j; l++)
        raise_to(&bytes, s[l].moving_need[pass] + s[j].beside[0]);
    if (step.what == CHAIN_FORWARD) {
        const struct chain_option *o = &s[i].options[step.index];
        r->cost += o->forward_cost[pass] + o->backward_cost;
        raise_to(&bytes, o->forward_need[pass] + s[j].beside[1]);
        raise_to(&bytes, o->backward_need);
        raise_to(&bytes, o->kept + read_window(r, i + 1, j));
        step = next(r, i);
        cr_assert_eq(step.what, CHAIN_BACKWARD);
        return bytes;
    }
    uint32_t l = i + 1;
    cr_assert_eq(step.what, CHAIN_FAST);
    r->cost += s[i].fast_cost[pass];
    for (; r->at->what == CHAIN_FAST && r->at->first == i; l++)
        r->cost += s[next(r, l).stage].fast_cost[pass];
    raise_to(&bytes, s[l].input + read_window(r, l, j));
    raise_to(&bytes, read_window(r, i, l - 1));
    return bytes;
}

struct chain_point support_chain_windows(const struct chain *c, const struct chain_step *steps, uint32_t n) {
    struct reading r = {c, steps, steps + n, 0};
    const uint64_t bytes = read_window(&r, 0, c->n - 1);
    cr_assert_eq(r.at, r.end);
    return (struct chain_point){bytes, r.cost};
}

/* ---- all states ---- */

#define SWEPT_STAGES 6

/* What is resident, written out; left backwards are to come. */
struct swept {
    bool inputs[SWEPT_STAGES];
    uint32_t kept[SWEPT_STAGES]; /* 0, or 1 + option */
    uint32_t left;
};

struct sweep {
    const struct chain *c;
    uint64_t bytes;
    uint64_t *rest; /* of every state: the least cost to the end */
};

static size_t state_of(const struct chain *c, const struct swept *s) {
    size_t state = s->left;
    for (uint32_t i = 0; i < c->n; i++)
        state = (state * 2 + s->inputs[i]) * (c->stages[i].n_options + 1) + s->kept[i];
    return state;
}

static struct swept swept_of(const struct chain *c, size_t state) {
    struct swept s = {0};
    for (uint32_t i = c->n; i-- > 0;) {
        s.kept[i] = (uint32_t)(state % (c->stages[i].n_options + 1));
        state /= c->stages[i].n_options + 1;
        s.inputs[i] = state % 2;
        state /= 2;
    }
    s.left = (uint32_t)state;
    return s;
}

static uint64_t swept_bytes(const struct chain *c, const struct swept *s) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        bytes += i > 0 && s->inputs[i] ? c->stages[i].input : 0;
        bytes += s->kept[i] ? c->stages[i].options[s->kept[i] - 1].kept : 0;
    }
    return bytes;
}

static void look(const struct sweep *w, uint64_t *least, uint64_t needed, uint64_t cost, const struct swept *to) {
    const uint64_t rest = w->rest[state_of(w->c, to)];
    if (needed <= w->bytes && rest != UINT64_MAX && cost + rest < *least)
        *least = cost + rest;
}

static void look_drops(const struct sweep *w, uint64_t *least, const struct swept *s, uint32_t i) {
    struct swept to = *s;
    to.inputs[i] = i == 0;
    look(w, least, 0, 0, &to);
    to = *s;
    to.kept[i] = 0;
    look(w, least, 0, 0, &to);
    if (s->kept[i] && i + 1 < w->c->n && w->c->stages[i].options[s->kept[i] - 1].kept >= w->c->stages[i + 1].input) {
        to.inputs[i + 1] = true; /* what leaves stays */
        look(w, least, 0, 0, &to);
    }
}

static void look_steps(const struct sweep *w, uint64_t *least, const struct swept *s, uint32_t i) {
    const struct chain_stage *stage = &w->c->stages[i];
    const uint64_t here = swept_bytes(w->c, s);
    const bool enters = i == 0 || s->inputs[i] || s->kept[i - 1];
    const uint64_t *beside = w->c->stages[s->left - 1].beside;
    struct swept to = *s;
    if (i + 1 == s->left) { /* its backward is next */
        to.left--;
        to.kept[i] = 0;
        to.inputs[i] = i == 0;
        if (s->kept[i] && enters) {
            const struct chain_option *o = &stage->options[s->kept[i] - 1];
            look(w, least, here - o->kept + o->backward_need, o->backward_cost, &to);
        }
        for (uint32_t k = 0; enters && !s->kept[i] && k < stage->n_singles; k++)
            look(w, least, here + stage->singles[k].need, stage->singles[k].cost, &to);
        return;
    }
    if (!enters)
        return;
    to.inputs[i + 1] = true;
    look(w, least, here + stage->fast_need[0] + beside[0], stage->fast_cost[0], &to);
    to.inputs[i] = i == 0; /* what enters moves on */
    look(w, least, here + stage->fast_need[0] + beside[0], stage->fast_cost[0], &to);
    to = *s;
    for (uint32_t k = 0; !s->kept[i] && k < stage->n_options; k++) {
        const struct chain_option *o = &stage->options[k];
        to.kept[i] = k + 1;
        look(w, least, here + o->forward_need[0] + beside[1], o->forward_cost[0], &to);
    }
}

uint64_t support_chain_any(const struct chain *c, uint64_t bytes, bool persistent) {
    struct swept s = {.inputs = {true}, .left = c->n};
    cr_assert_leq(c->n, SWEPT_STAGES);
    const size_t first = state_of(c, &s);
    size_t n = c->n + 1;
    for (uint32_t i = 0; i < c->n; i++)
        n *= 2 * (c->stages[i].n_options + 1);
    const struct sweep w = {c, bytes, malloc(n * sizeof *w.rest)};
    bool better = true;
    for (size_t state = 0; state < n; state++)
        w.rest[state] = swept_of(c, state).left == 0 ? 0 : UINT64_MAX;
    while (better) {
        better = false;
        for (size_t state = 0; state < n; state++) {
            uint64_t least = w.rest[state];
            s = swept_of(c, state);
            for (uint32_t i = 0; i < s.left; i++) {
                if (!persistent)
                    look_drops(&w, &least, &s, i);
                look_steps(&w, &least, &s, i);
            }
            better |= least < w.rest[state];
            w.rest[state] = least;
        }
    }
    const uint64_t answer = w.rest[first];
    free(w.rest);
    return answer;
}
