/* support_chain.c - see support_chain.h */
#include "tests/support_chain.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/wire.h"
#include "tests/support.h"

#define REFERENCE_STAGES 12
#define REFERENCE_BYTES  4096

static uint64_t larger(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

static void *make(struct arena *a, size_t n, size_t size) {
    struct problem why = {0};
    void *p = arena_take(a, n, size, &why);
    cr_assert(p, "%s", why.detail);
    return p;
}

/* ---- chains at random ---- */

static uint32_t some(uint64_t *state, uint32_t most) {
    return 1 + (uint32_t)support_random(state, most);
}

static uint64_t number(uint64_t *state, uint64_t most) {
    return support_random(state, 4) == 0 ? 0 : support_random(state, most + 1); /* zeros are not rare */
}

static struct chain_stage random_stage(uint64_t *state, const struct support_chain_shape *shape, struct arena *a,
                                       bool last) {
    const uint32_t n_options = last ? 0 : some(state, shape->options + 1) - 1, n_singles = some(state, shape->options);
    struct chain_option *options = make(a, n_options, sizeof *options);
    struct chain_single *singles = make(a, n_singles, sizeof *singles);
    for (uint32_t k = 0; k < n_options; k++)
        options[k] =
            (struct chain_option){.kept = number(state, shape->sizes),
                                  .forward_need = {number(state, 2 * shape->sizes), number(state, 2 * shape->sizes)},
                                  .backward_need = number(state, 3 * shape->sizes),
                                  .forward_cost = {number(state, shape->costs), number(state, shape->costs)},
                                  .backward_cost = number(state, 2 * shape->costs),
                                  .choice = k};
    for (uint32_t k = 0; k < n_singles; k++)
        singles[k] = (struct chain_single){number(state, 3 * shape->sizes), number(state, 3 * shape->costs), k};
    struct chain_stage s = {.input = number(state, shape->sizes),
                            .fast_cost = {number(state, shape->costs), number(state, shape->costs)},
                            .fast_need = {number(state, 2 * shape->sizes), number(state, 2 * shape->sizes)},
                            .beside = {number(state, shape->sizes), number(state, shape->sizes)},
                            .options = options,
                            .singles = singles,
                            .n_options = n_options,
                            .n_singles = n_singles};
    for (uint32_t k = 0; k < n_options; k++) {
        uint64_t *cost = options[k].forward_cost, most = s.fast_cost[CHAIN_FIRST] + cost[CHAIN_AGAIN];
        cost[CHAIN_FIRST] = cost[CHAIN_FIRST] < most ? cost[CHAIN_FIRST] : most;
    }
    for (unsigned pass = 0; pass < CHAIN_PASSES; pass++)
        s.moving_need[pass] = s.fast_need[pass] + number(state, s.input);
    return s;
}

void support_chain_random(uint64_t seed, const struct support_chain_shape *shape, struct arena *a, struct chain *out) {
    uint64_t state = seed << 32;
    struct chain_stage *stages = make(a, shape->stages, sizeof *stages);
    for (uint32_t i = 0; i < shape->stages; i++) {
        const bool last = i + 1 == shape->stages;
        if (shape->period && i >= shape->period && !last)
            stages[i] = stages[i - shape->period];
        else
            stages[i] = random_stage(&state, shape, a, last);
    }
    *out = (struct chain){stages, shape->stages};
}

static struct chain_posted_stage random_posted(uint64_t *state, const struct support_chain_shape *shape,
                                               struct arena *a) {
    const uint32_t n = some(state, shape->options);
    struct chain_posted_option *options = make(a, n, sizeof *options);
    const uint64_t fast = support_random(state, shape->costs + 1);
    for (uint32_t k = 0; k < n; k++)
        options[k] =
            (struct chain_posted_option){.forward = (double)(fast + number(state, 2)),
                                         .backward = (double)support_random(state, 2 * shape->costs + 1),
                                         .kept = number(state, shape->sizes), /* beside what leaves the stage */
                                         .forward_workspace = number(state, shape->sizes / 2),
                                         .backward_workspace = number(state, shape->sizes / 2)};
    return (struct chain_posted_stage){.input_size = 1 + support_random(state, shape->sizes),
                                       .fast_forward_time = (double)fast,
                                       .fast_forward_workspace = number(state, shape->sizes / 2),
                                       .options = options,
                                       .n_options = n};
}

void support_chain_posted(uint64_t seed, const struct support_chain_shape *shape, struct arena *a,
                          struct chain_posted *out) {
    uint64_t state = seed << 32;
    struct chain_posted_stage *stages = make(a, shape->stages, sizeof *stages);
    for (uint32_t i = 0; i < shape->stages; i++) {
        const bool again = shape->period && i >= shape->period && i + 1 < shape->stages;
        stages[i] = again ? stages[i - shape->period] : random_posted(&state, shape, a);
    }
    for (uint32_t i = 0; i < shape->stages; i++) {
        struct chain_posted_option *options = make(a, stages[i].n_options, sizeof *options);
        for (uint32_t k = 0; k < stages[i].n_options; k++) {
            options[k] = stages[i].options[k];
            options[k].kept += i + 1 < shape->stages ? stages[i + 1].input_size : 0;
        }
        stages[i].options = options;
    }
    *out = (struct chain_posted){stages, shape->stages, 0};
}

struct chain support_chain_of(const struct chain_posted *p, struct arena *a, double *unit) {
    struct problem why = {0};
    struct chain c;
    double unit_here;
    cr_assert(chain_from_posted(p, a, &c, unit ? unit : &unit_here, &why), "%s: %s", why.where, why.detail);
    return c;
}

/* ---- chains from files ---- */

static double real_of(const struct wire_value *object, const char *key) {
    struct problem why = {0};
    struct wire_value v;
    double x = 0;
    cr_assert(wire_need(object, key, &v, &why) && wire_real(&v, -1e300, 1e300, &x, &why), "%s: %s", why.where,
              why.detail);
    return x;
}

static uint64_t uint_of(const struct wire_value *object, const char *key) {
    return (uint64_t)real_of(object, key);
}

static struct wire_value member(const struct wire_value *object, const char *key) {
    struct wire_value v;
    cr_assert(wire_get(object, key, &v), "%s is missing", key);
    return v;
}

static struct chain_posted_stage read_stage(const struct wire_value *v, struct arena *a) {
    const struct wire_value fast = member(v, "fast_forward"), list = member(v, "options");
    const uint32_t n = (uint32_t)wire_length(&list);
    struct chain_posted_option *options = make(a, n, sizeof *options);
    for (uint32_t k = 0; k < n; k++) {
        const struct wire_value o = wire_at(&list, k);
        options[k] = (struct chain_posted_option){.forward = real_of(&o, "forward"),
                                                  .backward = real_of(&o, "backward"),
                                                  .kept = uint_of(&o, "kept"),
                                                  .forward_workspace = uint_of(&o, "forward_workspace"),
                                                  .backward_workspace = uint_of(&o, "backward_workspace")};
    }
    return (struct chain_posted_stage){.input_size = uint_of(v, "input_size"),
                                       .fast_forward_time = real_of(&fast, "time"),
                                       .fast_forward_workspace = uint_of(&fast, "workspace"),
                                       .options = options,
                                       .n_options = n};
}

void support_chain_value(const struct wire_value *v, struct arena *a, struct chain_posted *out) {
    const struct wire_value list = member(v, "stages");
    const uint32_t n = (uint32_t)wire_length(&list);
    struct chain_posted_stage *stages = make(a, n, sizeof *stages);
    for (uint32_t i = 0; i < n; i++) {
        const struct wire_value s = wire_at(&list, i);
        stages[i] = read_stage(&s, a);
    }
    *out = (struct chain_posted){stages, n, uint_of(v, "output_size")};
}

struct wire_document *support_chain_open(const char *path) {
    static char text[1 << 16];
    struct problem why = {0};
    FILE *file = fopen(path, "rb");
    cr_assert(file, "%s", path);
    const size_t bytes = fread(text, 1, sizeof text, file);
    fclose(file);
    cr_assert_lt(bytes, sizeof text);
    struct wire_document *d = wire_parse(text, bytes, &why);
    cr_assert(d, "%s: %s", path, why.detail);
    return d;
}

/* ---- the frontier by budgets ---- */

/* No plan needs more: everything kept at once, and the largest of all needs. */
static uint64_t bytes_of_all(const struct chain *c) {
    uint64_t kept = 0, need = 0, beside = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        const struct chain_stage *s = &c->stages[i];
        uint64_t most = 0;
        for (unsigned pass = 0; pass < CHAIN_PASSES; pass++)
            need = larger(need, larger(s->fast_need[pass], s->moving_need[pass]));
        for (uint32_t k = 0; k < s->n_options; k++) {
            const struct chain_option *o = &s->options[k];
            most = larger(most, o->kept);
            need = larger(need, larger(o->backward_need, larger(o->forward_need[0], o->forward_need[1])));
        }
        for (uint32_t k = 0; k < s->n_singles; k++)
            need = larger(need, s->singles[k].need);
        kept += s->input + most;
        beside = larger(beside, larger(s->beside[0], s->beside[1]));
    }
    return kept + need + beside;
}

struct table {
    const struct chain *c;
    uint64_t *best; /* [m][i][j] */
};

static uint64_t *best(const struct table *t, uint64_t m, uint32_t i, uint32_t j) {
    return &t->best[(m * t->c->n + i) * t->c->n + j];
}

static uint64_t plus(uint64_t a, uint64_t b) {
    return a == UINT64_MAX || b == UINT64_MAX ? UINT64_MAX : a + b;
}

static void improve(uint64_t *least, uint64_t cost) {
    if (cost < *least)
        *least = cost;
}

static bool feasible(const struct chain *c, uint64_t m, uint32_t i, uint32_t j, unsigned pass) {
    const uint64_t beside = c->stages[j].beside[0];
    if (m < c->stages[i].fast_need[pass] + beside)
        return false;
    for (uint32_t l = i + 1; l < j; l++)
        if (m < c->stages[l].moving_need[pass] + beside)
            return false;
    return true;
}

static uint64_t best_of(const struct table *t, uint64_t m, uint32_t i, uint32_t j) {
    const struct chain_stage *s = t->c->stages;
    const unsigned pass = j + 1 == t->c->n ? CHAIN_FIRST : CHAIN_AGAIN;
    uint64_t least = UINT64_MAX, forward = 0;
    for (uint32_t k = 0; i == j && k < s[i].n_singles; k++)
        if (m >= s[i].singles[k].need)
            improve(&least, s[i].singles[k].cost);
    if (i == j || !feasible(t->c, m, i, j, pass))
        return least;
    for (uint32_t l = i + 1; l <= j; l++) {
        forward += s[l - 1].fast_cost[pass];
        if (m >= s[l].input)
            improve(&least, plus(forward, plus(*best(t, m - s[l].input, l, j), *best(t, m, i, l - 1))));
    }
    for (uint32_t k = 0; k < s[i].n_options; k++) {
        const struct chain_option *o = &s[i].options[k];
        if (m >= o->forward_need[pass] + s[j].beside[1] && m >= o->backward_need && m >= o->kept)
            improve(&least, plus(o->forward_cost[pass] + o->backward_cost, *best(t, m - o->kept, i + 1, j)));
    }
    return least;
}

const struct chain_point *support_chain_frontier(const struct chain *c, struct arena *a, uint32_t *n) {
    const uint64_t most = bytes_of_all(c);
    cr_assert(c->n <= REFERENCE_STAGES && most <= REFERENCE_BYTES);
    struct chain_point *points = make(a, most + 1, sizeof *points);
    const struct table t = {c, malloc((most + 1) * c->n * c->n * sizeof *t.best)};
    uint64_t last = UINT64_MAX;
    *n = 0;
    for (uint64_t m = 0; m <= most; m++) {
        for (uint32_t length = 0; length < c->n; length++)
            for (uint32_t i = 0; i + length < c->n; i++)
                *best(&t, m, i, i + length) = best_of(&t, m, i, i + length);
        if (*best(&t, m, 0, c->n - 1) != last) {
            last = *best(&t, m, 0, c->n - 1);
            points[(*n)++] = (struct chain_point){m, last};
        }
    }
    free(t.best);
    return points;
}

/* ---- the frontier by listing plans ---- */

struct list {
    struct chain_point *points;
    size_t n, room;
};

static void list_add(struct list *l, uint64_t bytes, uint64_t cost) {
    if (l->n == l->room) {
        l->room = l->room ? 2 * l->room : 64;
        l->points = realloc(l->points, l->room * sizeof *l->points);
    }
    l->points[l->n++] = (struct chain_point){bytes, cost};
}

static struct list plans_of(const struct chain *c, uint32_t i, uint32_t j) {
    const struct chain_stage *s = c->stages;
    const unsigned pass = j + 1 == c->n ? CHAIN_FIRST : CHAIN_AGAIN;
    struct list all = {0};
    for (uint32_t k = 0; i == j && k < s[i].n_singles; k++)
        list_add(&all, s[i].singles[k].need, s[i].singles[k].cost);
    if (i == j)
        return all;
    uint64_t floor = s[i].fast_need[pass] + s[j].beside[0], forward = 0;
    for (uint32_t l = i + 1; l < j; l++)
        floor = larger(floor, s[l].moving_need[pass] + s[j].beside[0]);
    const struct list rest = plans_of(c, i + 1, j);
    for (uint32_t k = 0; k < s[i].n_options; k++)
        for (size_t r = 0; r < rest.n; r++) {
            const struct chain_option *o = &s[i].options[k];
            const uint64_t need = larger(o->forward_need[pass] + s[j].beside[1], o->backward_need);
            list_add(&all, larger(floor, larger(need, o->kept + rest.points[r].bytes)),
                     o->forward_cost[pass] + o->backward_cost + rest.points[r].cost);
        }
    free(rest.points);
    for (uint32_t l = i + 1; l <= j; l++) {
        const struct list right = plans_of(c, l, j), left = plans_of(c, i, l - 1);
        forward += s[l - 1].fast_cost[pass];
        for (size_t r = 0; r < right.n; r++)
            for (size_t f = 0; f < left.n; f++)
                list_add(&all, larger(floor, larger(s[l].input + right.points[r].bytes, left.points[f].bytes)),
                         forward + right.points[r].cost + left.points[f].cost);
        free(right.points);
        free(left.points);
    }
    return all;
}

static int by_bytes(const void *x, const void *y) {
    const struct chain_point *p = x, *q = y;
    if (p->bytes != q->bytes)
        return p->bytes < q->bytes ? -1 : 1;
    return p->cost < q->cost ? -1 : p->cost > q->cost;
}

const struct chain_point *support_chain_listed(const struct chain *c, struct arena *a, uint32_t *n) {
    const struct list all = plans_of(c, 0, c->n - 1);
    struct chain_point *points = make(a, all.n, sizeof *points);
    *n = 0;
    if (all.n)
        qsort(all.points, all.n, sizeof *all.points, by_bytes);
    for (size_t i = 0; i < all.n; i++)
        if (*n == 0 || all.points[i].cost < points[*n - 1].cost)
            points[(*n)++] = all.points[i];
    free(all.points);
    return points;
}
