/* chain_any.c - see chain_any.h
 *
 * A state is what is resident and whose backward is next. From it the search goes on by a step that fits the budget;
 * only where some step does not fit does it drop something, for in any plan what is dropped can stay until the first
 * step that it would be in the way of. What is there twice is kept once, and what is kept can be trimmed to what leaves
 * its stage. The estimate of what is left is that of an unlimited budget: for each stage the cheaper of its backward
 * with what is kept and of forward and backward anew. It never falls by more than a step costs, so a state is final
 * when it is first taken from the heap. */
#include <string.h>

#include "engine/base/rng.h"
#include "engine/base/units.h"
#include "engine/plan/chain_any.h"

/* No plan of more is looked for, that sums stay below 2^64. */
#define COST_MAX ((uint64_t)1 << 63)
#define NONE     UINT32_MAX
#define BITS     64

/* How one state came from another: steps of plans, and what goes between them. */
enum move { MOVE_FAST, MOVE_FORWARD, MOVE_BACKWARD, MOVE_SINGLE, MOVE_DROP_INPUT, MOVE_DROP_KEPT, MOVE_TRIM };

struct state {
    uint64_t inputs; /* bit s: what enters stage s is resident */
    uint64_t kept;   /* fields of `any`: 1 + index into a stage's useful options, 0: none */
    uint64_t cost;
    uint32_t parent;
    uint32_t index;  /* of the option or single the move used */
    uint8_t left;    /* stages whose backward is to come */
    uint8_t what;    /* enum move */
    uint8_t stage;   /* it was of */
    uint8_t settled; /* its cost is the least */
};

struct entry {
    uint64_t estimate;
    uint32_t state;
};

/* A stage as the search sees it. */
struct stage {
    const struct chain_stage *in;
    uint32_t *useful; /* options that no other beats in everything */
    uint32_t n_useful;
    unsigned shift, width; /* of its field in state.kept */
    uint64_t anew;         /* the least of forward and backward together */
};

struct any {
    uint32_t n;
    struct stage stages[CHAIN_ANY_STAGES_MAX];
    uint64_t bytes, cost_max, states_max;
    struct state *states;
    struct entry *heap; /* smallest first */
    uint32_t *table;    /* open addressing: 1 + state, 0: free */
    size_t n_states, states_room, n_heap, heap_room, table_room;
    bool full; /* a state was turned away */
    struct arena *a;
    struct problem *why;
};

/* ---- stages ---- */

static bool beats(const struct chain_option *o, const struct chain_option *other) {
    return o->kept <= other->kept && o->forward_need[CHAIN_FIRST] <= other->forward_need[CHAIN_FIRST] &&
           o->backward_need <= other->backward_need &&
           o->forward_cost[CHAIN_FIRST] <= other->forward_cost[CHAIN_FIRST] && o->backward_cost <= other->backward_cost;
}

static bool beaten(const struct chain_stage *s, uint32_t k) {
    for (uint32_t other = 0; other < s->n_options; other++)
        if (other != k && beats(&s->options[other], &s->options[k]) &&
            (other < k || !beats(&s->options[k], &s->options[other])))
            return true;
    return false;
}

static uint64_t least_anew(const struct chain_stage *s) {
    uint64_t least = UINT64_MAX;
    for (uint32_t k = 0; k < s->n_singles; k++)
        least = units_min(least, s->singles[k].cost);
    for (uint32_t k = 0; k < s->n_options; k++)
        least = units_min(least, s->options[k].forward_cost[CHAIN_FIRST] + s->options[k].backward_cost);
    return least;
}

static bool read_stages(struct any *any, const struct chain *c, bool *fits) {
    unsigned shift = 0;
    *fits = c->n <= CHAIN_ANY_STAGES_MAX;
    for (uint32_t i = 0; i < c->n && *fits; i++) {
        struct stage *s = &any->stages[i];
        s->in = &c->stages[i];
        s->useful = arena_new(any->a, uint32_t, s->in->n_options, any->why);
        if (!s->useful)
            return false;
        for (uint32_t k = 0; k < s->in->n_options; k++)
            if (!beaten(s->in, k))
                s->useful[s->n_useful++] = k;
        s->anew = least_anew(s->in);
        s->shift = shift;
        while (s->n_useful >> s->width)
            s->width++;
        shift += s->width;
        *fits = shift <= BITS;
    }
    return true;
}

/* ---- what is resident ---- */

static uint64_t bit(uint32_t stage) {
    return (uint64_t)1 << stage;
}

static uint64_t field(const struct stage *s) {
    return s->width == 0 ? 0 : (UINT64_MAX >> (BITS - s->width)) << s->shift;
}

/* What stage i keeps, or NULL. */
static const struct chain_option *kept(const struct any *any, const struct state *at, uint32_t i, uint32_t *index) {
    const struct stage *s = &any->stages[i];
    const uint64_t value = s->width == 0 ? 0 : (at->kept & field(s)) >> s->shift;
    if (value == 0)
        return NULL;
    *index = s->useful[value - 1];
    return &s->in->options[*index];
}

static uint64_t kept_bytes(const struct any *any, const struct state *at, uint32_t i) {
    uint32_t index;
    const struct chain_option *o = kept(any, at, i, &index);
    return o ? o->kept : 0;
}

static uint64_t resident_bytes(const struct any *any, const struct state *at) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < at->left; i++)
        bytes += (at->inputs & bit(i) ? any->stages[i].in->input : 0) + kept_bytes(any, at, i);
    return bytes;
}

static bool enters(const struct any *any, const struct state *at, uint32_t i) {
    return i == 0 || (at->inputs & bit(i)) || (at->kept & field(&any->stages[i - 1]));
}

static uint64_t estimate(const struct any *any, const struct state *at) {
    uint64_t cost = at->cost;
    for (uint32_t i = 0; i < at->left; i++) {
        uint32_t index;
        const struct chain_option *o = kept(any, at, i, &index);
        cost += o ? units_min(o->backward_cost, any->stages[i].anew) : any->stages[i].anew;
    }
    return cost;
}

/* ---- the heap and the table ---- */

static bool grow(struct any *any, void **items, size_t *room, size_t size) {
    void *larger = arena_take(any->a, 2 * *room, size, any->why);
    if (!larger)
        return false;
    memcpy(larger, *items, *room * size);
    *items = larger;
    *room *= 2;
    return true;
}

/* Equal estimates: whoever is nearer to the end, then whoever is older. */
static bool sooner(const struct any *any, const struct entry *x, const struct entry *y) {
    if (x->estimate != y->estimate)
        return x->estimate < y->estimate;
    const unsigned left_x = any->states[x->state].left, left_y = any->states[y->state].left;
    return left_x != left_y ? left_x < left_y : x->state < y->state;
}

static bool push(struct any *any, uint32_t state) {
    const struct entry e = {estimate(any, &any->states[state]), state};
    if (any->n_heap == any->heap_room && !grow(any, (void **)&any->heap, &any->heap_room, sizeof *any->heap))
        return false;
    size_t i = any->n_heap++;
    for (; i > 0 && sooner(any, &e, &any->heap[(i - 1) / 2]); i = (i - 1) / 2)
        any->heap[i] = any->heap[(i - 1) / 2];
    any->heap[i] = e;
    return true;
}

static struct entry pop(struct any *any) {
    const struct entry top = any->heap[0], last = any->heap[--any->n_heap];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child + 1 < any->n_heap && sooner(any, &any->heap[child + 1], &any->heap[child]))
            child++;
        if (child >= any->n_heap || !sooner(any, &any->heap[child], &last))
            break;
        any->heap[i] = any->heap[child];
        i = child;
    }
    any->heap[i] = last;
    return top;
}

/* Where a state like this is in the table, or would be. */
static size_t slot(const struct any *any, const struct state *like) {
    uint64_t hash = rng_mix(like->inputs + RNG_MIX_STEP * like->left);
    hash = rng_mix(hash ^ like->kept);
    for (size_t i = hash & (any->table_room - 1);; i = (i + 1) & (any->table_room - 1)) {
        if (any->table[i] == 0)
            return i;
        const struct state *s = &any->states[any->table[i] - 1];
        if (s->inputs == like->inputs && s->kept == like->kept && s->left == like->left)
            return i;
    }
}

static bool grow_table(struct any *any) {
    any->table = arena_new(any->a, uint32_t, 2 * any->table_room, any->why);
    if (!any->table)
        return false;
    any->table_room *= 2;
    for (size_t i = 0; i < any->n_states; i++)
        any->table[slot(any, &any->states[i])] = (uint32_t)i + 1;
    return true;
}

/* A state that can be reached so. False with a problem. */
static bool reach(struct any *any, const struct state *s) {
    if (estimate(any, s) > any->cost_max)
        return true;
    const size_t at = slot(any, s);
    if (any->table[at]) {
        struct state *known = &any->states[any->table[at] - 1];
        if (known->settled || known->cost <= s->cost)
            return true;
        *known = *s;
        return push(any, any->table[at] - 1);
    }
    if (any->n_states >= any->states_max) {
        any->full = true;
        return true;
    }
    if (any->n_states == any->states_room && !grow(any, (void **)&any->states, &any->states_room, sizeof *any->states))
        return false;
    any->states[any->n_states++] = *s;
    any->table[at] = (uint32_t)any->n_states;
    return push(any, (uint32_t)any->n_states - 1) && (2 * any->n_states < any->table_room || grow_table(any));
}

/* ---- moves ---- */

/* Where the search stands: a copy, for the array may move. */
struct here {
    struct state s;
    uint32_t state;
    uint64_t resident;
    bool blocked; /* something did not fit */
};

static struct state after(const struct here *h, enum move what, uint32_t stage, uint32_t index, uint64_t cost) {
    struct state s = h->s;
    s.cost += cost;
    s.parent = h->state;
    s.index = index;
    s.what = (uint8_t)what;
    s.stage = (uint8_t)stage;
    s.settled = false;
    return s;
}

static bool fits(const struct any *any, struct here *h, uint64_t bytes) {
    const bool yes = bytes <= any->bytes;
    h->blocked |= !yes;
    return yes;
}

/* What a step needs beside what is resident; FORWARD and SINGLE make anew what their stage keeps, BACKWARD ends it. */
static uint64_t step_bytes(const struct any *any, const struct state *at, uint64_t resident, enum move what,
                           uint32_t stage, uint32_t index) {
    const struct chain_stage *s = any->stages[stage].in;
    const uint64_t *beside = any->stages[at->left - 1].in->beside;
    switch (what) {
    case MOVE_FAST:
        return resident + s->fast_need[CHAIN_FIRST] + beside[0];
    case MOVE_FORWARD:
        return resident - kept_bytes(any, at, stage) + s->options[index].forward_need[CHAIN_FIRST] + beside[1];
    case MOVE_BACKWARD:
        return resident - kept_bytes(any, at, stage) + s->options[index].backward_need;
    case MOVE_SINGLE:
        return resident - kept_bytes(any, at, stage) + s->singles[index].need;
    default:
        return resident;
    }
}

static bool try_fast(struct any *any, struct here *h, uint32_t i) {
    const uint64_t leaves = any->stages[i + 1].in->input;
    if ((h->s.inputs & bit(i + 1)) || (enters(any, &h->s, i + 1) && kept_bytes(any, &h->s, i) >= leaves) ||
        !fits(any, h, step_bytes(any, &h->s, h->resident, MOVE_FAST, i, 0)))
        return true;
    struct state s = after(h, MOVE_FAST, i, 0, any->stages[i].in->fast_cost[CHAIN_FIRST]);
    s.inputs |= bit(i + 1);
    return reach(any, &s);
}

static bool try_options(struct any *any, struct here *h, uint32_t i) {
    const struct stage *stage = &any->stages[i];
    for (uint32_t u = 0; u < stage->n_useful; u++) {
        const uint32_t index = stage->useful[u];
        const struct chain_option *o = &stage->in->options[index];
        const uint64_t value = (uint64_t)(u + 1) << stage->shift;
        if ((h->s.kept & field(stage)) == value ||
            !fits(any, h, step_bytes(any, &h->s, h->resident, MOVE_FORWARD, i, index)))
            continue;
        struct state s = after(h, MOVE_FORWARD, i, index, o->forward_cost[CHAIN_FIRST]);
        s.kept = (s.kept & ~field(stage)) | value;
        if (o->kept >= any->stages[i + 1].in->input)
            s.inputs &= ~bit(i + 1);
        if (!reach(any, &s))
            return false;
    }
    return true;
}

static bool finish(struct any *any, const struct here *h, enum move what, uint32_t index, uint64_t cost) {
    const uint32_t i = h->s.left - 1u;
    struct state s = after(h, what, i, index, cost);
    s.inputs &= ~bit(i);
    s.kept &= ~field(&any->stages[i]);
    s.left--;
    return reach(any, &s);
}

static bool try_backward(struct any *any, struct here *h) {
    const uint32_t i = h->s.left - 1u;
    const struct chain_stage *stage = any->stages[i].in;
    uint32_t index = 0;
    const struct chain_option *o = kept(any, &h->s, i, &index);
    if (!enters(any, &h->s, i))
        return true;
    if (o && fits(any, h, step_bytes(any, &h->s, h->resident, MOVE_BACKWARD, i, index)) &&
        !finish(any, h, MOVE_BACKWARD, index, o->backward_cost))
        return false;
    for (uint32_t k = 0; k < stage->n_singles; k++)
        if (fits(any, h, step_bytes(any, &h->s, h->resident, MOVE_SINGLE, i, k)) &&
            !finish(any, h, MOVE_SINGLE, k, stage->singles[k].cost))
            return false;
    return true;
}

static bool try_drops(struct any *any, const struct here *h, uint32_t i) {
    const uint64_t mine = field(&any->stages[i]);
    if (h->s.inputs & bit(i)) {
        struct state s = after(h, MOVE_DROP_INPUT, i, 0, 0);
        s.inputs &= ~bit(i);
        if (!reach(any, &s))
            return false;
    }
    if (!(h->s.kept & mine))
        return true;
    struct state s = after(h, MOVE_DROP_KEPT, i, 0, 0);
    s.kept &= ~mine;
    if (!reach(any, &s))
        return false;
    if (i + 1u >= h->s.left || (s.inputs & bit(i + 1)) || kept_bytes(any, &h->s, i) <= any->stages[i + 1].in->input)
        return true;
    s.what = MOVE_TRIM;
    s.inputs |= bit(i + 1);
    return reach(any, &s);
}

static bool expand(struct any *any, uint32_t state) {
    struct here h = {.s = any->states[state], .state = state};
    h.resident = resident_bytes(any, &h.s);
    for (uint32_t i = 0; i + 1u < h.s.left; i++)
        if (enters(any, &h.s, i) && (!try_fast(any, &h, i) || !try_options(any, &h, i)))
            return false;
    if (!try_backward(any, &h))
        return false;
    for (uint32_t i = 0; i < h.s.left && h.blocked; i++)
        if (!try_drops(any, &h, i))
            return false;
    return true;
}

/* ---- the search ---- */

static bool start(struct any *any) {
    any->states_room = any->heap_room = 256;
    any->table_room = 1024;
    any->states = arena_new(any->a, struct state, any->states_room, any->why);
    any->heap = arena_new(any->a, struct entry, any->heap_room, any->why);
    any->table = arena_new(any->a, uint32_t, any->table_room, any->why);
    const struct state first = {.left = (uint8_t)any->n, .parent = NONE};
    return any->states && any->heap && any->table && reach(any, &first);
}

/* The last state of a best plan, or NONE. */
static bool search(struct any *any, uint32_t *end, uint64_t *lower_bound) {
    *end = NONE;
    while (any->n_heap > 0) {
        const struct entry e = pop(any);
        if (any->states[e.state].settled)
            continue;
        any->states[e.state].settled = true;
        *lower_bound = e.estimate;
        if (any->states[e.state].left == 0) {
            *end = e.state;
            return true;
        }
        if (!expand(any, e.state))
            return false;
        if (any->full)
            return true;
    }
    *lower_bound = any->cost_max + 1;
    return true;
}

static struct chain_any_moment moment(const struct any *any, const struct state *before, const struct state *made) {
    struct chain_any_moment m = {.inputs = before->inputs};
    for (uint32_t i = 0; i < before->left; i++)
        if ((before->kept & field(&any->stages[i])) && (i != made->stage || made->what == MOVE_FAST))
            m.kept |= bit(i);
    m.bytes = step_bytes(any, before, resident_bytes(any, before), made->what, made->stage, made->index);
    return m;
}

/* The way back from the end, written forwards. */
static bool write_plan(const struct any *any, uint32_t end, struct chain_any_plan *out) {
    static const enum chain_do does[] = {CHAIN_FAST, CHAIN_FORWARD, CHAIN_BACKWARD, CHAIN_SINGLE};
    uint32_t n = 0;
    for (uint32_t i = end; any->states[i].parent != NONE; i = any->states[i].parent)
        n += any->states[i].what <= MOVE_SINGLE;
    struct chain_step *steps = arena_new(any->a, struct chain_step, n, any->why);
    struct chain_any_moment *moments = arena_new(any->a, struct chain_any_moment, n, any->why);
    if (!steps || !moments)
        return false;
    *out = (struct chain_any_plan){.steps = steps, .moments = moments, .n = n, .cost = any->states[end].cost};
    for (uint32_t i = end; any->states[i].parent != NONE; i = any->states[i].parent) {
        const struct state *s = &any->states[i], *before = &any->states[s->parent];
        if (s->what > MOVE_SINGLE)
            continue;
        n--;
        moments[n] = moment(any, before, s);
        steps[n] = (struct chain_step){.what = does[s->what],
                                       .pass = before->left == any->n ? CHAIN_FIRST : CHAIN_AGAIN,
                                       .stage = s->stage,
                                       .index = s->index,
                                       .first = s->stage};
        out->bytes = units_max(out->bytes, moments[n].bytes);
    }
    return true;
}

bool chain_any_solve(const struct chain *c, const struct chain_any_limits *limits, struct arena *a,
                     struct chain_any_plan *out, struct problem *why) {
    struct any any = {.n = c->n,
                      .bytes = limits->bytes,
                      .cost_max = units_min(limits->cost, COST_MAX),
                      .states_max = units_min(limits->states, NONE - 1),
                      .a = a,
                      .why = why};
    uint32_t end = NONE;
    uint64_t lower_bound = 0;
    bool small;
    *out = (struct chain_any_plan){0};
    if (!read_stages(&any, c, &small))
        return false;
    if (!small)
        return true;
    if (!start(&any) || !search(&any, &end, &lower_bound) || (end != NONE && !write_plan(&any, end, out)))
        return false;
    out->lower_bound = lower_bound;
    out->exact = !any.full;
    out->states = any.n_states;
    return true;
}
