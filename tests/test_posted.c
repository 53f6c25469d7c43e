/* test_posted.c - graphs and chains that are posted: what they are read as, plans of many of them under many budgets,
 * and the job that plans them. Requests that are refused, and answers word for word, are in tests/wire/plans. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/job.h"
#include "server/plan_bounds.h"
#include "server/plan_posted.h"

/* ---- texts ---- */

struct text {
    char *at;
    size_t bytes, room;
};

__attribute__((format(printf, 2, 3))) static void say(struct text *t, const char *format, ...) {
    char piece[256];
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(piece, sizeof piece, format, args);
    va_end(args);
    cr_assert(n >= 0 && (size_t)n < sizeof piece);
    if (t->bytes + (size_t)n + 1 > t->room) {
        t->room = 2 * t->room + 1024;
        t->at = realloc(t->at, t->room);
        cr_assert(t->at);
    }
    memcpy(t->at + t->bytes, piece, (size_t)n + 1);
    t->bytes += (size_t)n;
}

static uint64_t next; /* of a test's numbers; every test is a process of its own */

static uint64_t draw(uint64_t below) {
    next += 0x9e3779b97f4a7c15u;
    uint64_t x = next;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (x ^ (x >> 31)) % below;
}

/* stages, each of up to `options` ways */
static void chain_say(struct text *t, unsigned stages, unsigned options) {
    say(t, "\"chain\": {\"stages\": [");
    for (unsigned i = 0; i < stages; i++) {
        const unsigned n = 1 + (unsigned)draw(options);
        say(t, "%s{\"input_size\": %u, \"fast_forward\": {\"time\": %g, \"workspace\": %u}, \"options\": [",
            i ? ", " : "", (unsigned)draw(50), (double)draw(100) / 8, (unsigned)draw(10));
        for (unsigned k = 0; k < n; k++)
            say(t, "%s{\"forward\": %g, \"backward\": %g, \"kept\": %u, \"backward_workspace\": %u}", k ? ", " : "",
                (double)draw(100) / 8, (double)draw(100) / 8, (unsigned)draw(200), (unsigned)draw(30));
        say(t, "]}");
    }
    say(t, "], \"output_size\": %u}", (unsigned)draw(20));
}

/* n nodes and an input, edges forwards with probability 1 / sparse; a chain of edges besides, so that all are joined */
static void graph_say(struct text *t, unsigned n, unsigned sparse, const char *cost) {
    say(t, "\"graph\": {\"nodes\": [{\"id\": \"in\", \"bytes\": 7, \"phase\": \"input\"}");
    for (unsigned i = 0; i < n; i++)
        say(t, ", {\"id\": %u, \"%s\": %u, \"bytes\": %u, \"workspace_bytes\": %u, \"phase\": \"%s\"}", i, cost,
            (unsigned)draw(20), (unsigned)draw(100), (unsigned)draw(10), i < n / 2 ? "forward" : "backward");
    say(t, "], \"edges\": [[\"in\", 0]");
    for (unsigned i = 0; i < n; i++)
        for (unsigned j = i + 1; j < n; j++)
            if (j == i + 1 || draw(sparse) == 0)
                say(t, ", [%u, %u]", i, j);
    say(t, "]}");
}

/* ---- one question ---- */

static const char *answered_within(const char *request, enum plan_posted_form form, struct plan_posted_watch *watch,
                                   struct arena_bounds *bounds, struct arena *a, struct problem *why) {
    struct plan_posted q;
    struct wire_out o;
    struct wire_document *d = wire_parse(request, strlen(request), why);
    cr_assert(d, "%s", why->detail);
    const struct wire_value v = wire_root(d);
    wire_out_init(&o, a, why);
    bool ok = plan_posted_read(&v, form, NULL, a, &q, why);
    q.bounds = bounds;
    ok = ok && (form == PLAN_POSTED_FRONTIER ? plan_posted_frontier(&q, watch, &o, why)
                                             : plan_posted_answer(&q, watch, &o, NULL, why));
    wire_document_free(d);
    return ok ? wire_text(&o, NULL) : NULL;
}

static const char *answered(const char *request, enum plan_posted_form form, struct plan_posted_watch *watch,
                            struct arena *a, struct problem *why) {
    return answered_within(request, form, watch, NULL, a, why);
}

/* A number of an answer; NAN: null, or not there. path: "optimality/exact"; true is 1. */
static double number(const char *answer, const char *path) {
    struct problem why = {0};
    struct wire_document *d = wire_parse(answer, strlen(answer), &why);
    cr_assert(d, "%s", why.detail);
    struct wire_value at[8] = {wire_root(d)};
    unsigned depth = 0;
    double x = NAN;
    bool b, there = true;
    char name[64];
    while (there && *path) {
        const size_t n = strcspn(path, "/");
        snprintf(name, sizeof name, "%.*s", (int)n, path);
        there = wire_type(&at[depth]) == WIRE_OBJECT && wire_get(&at[depth], name, &at[depth + 1]);
        depth++;
        path += n + (path[n] == '/');
    }
    if (there && wire_type(&at[depth]) == WIRE_BOOL && wire_bool(&at[depth], &b, &why))
        x = b;
    else if (there && (wire_type(&at[depth]) == WIRE_INTEGER || wire_type(&at[depth]) == WIRE_REAL) &&
             !wire_real(&at[depth], -1e300, 1e300, &x, &why))
        x = NAN;
    wire_document_free(d);
    return x;
}

/* The posted thing under a strategy and a budget (0: none). */
static const char *planned(const char *posted, const char *strategy, uint64_t budget, struct arena *a) {
    struct problem why = {0};
    struct plan_posted_watch watch = {.ask = NULL};
    const char *request = budget ? arena_printf(a, &why, "{%s, \"strategy\": %s, \"budget_bytes\": %llu}", posted,
                                                strategy, (unsigned long long)budget)
                                 : arena_printf(a, &why, "{%s, \"strategy\": %s}", posted, strategy);
    cr_assert(request);
    const char *answer = answered(request, PLAN_POSTED_AT_ONCE, &watch, a, &why);
    cr_assert(answer, "%s %s\n%s", why.where, why.detail, request);
    return answer;
}

/* ---- chains ---- */

/* Down from what the best plan takes to the least: each costs no less than the one before, and fits. */
static void chain_check(unsigned stages, unsigned options) {
    struct arena a;
    struct text t = {0};
    double before = 0;
    arena_init(&a, 0);
    chain_say(&t, stages, options);
    const char *all = planned(t.at, "\"optimal\"", 0, &a), *standard = planned(t.at, "\"standard\"", 0, &a);
    cr_expect_eq(number(all, "compute_overhead_pct"), 0);
    cr_expect_leq(number(all, "peak_bytes"), number(standard, "peak_bytes"));
    for (double budget = number(all, "peak_bytes"); budget >= 1; budget -= 1 + floor(budget / 20)) {
        const char *answer = planned(t.at, "\"optimal\"", (uint64_t)budget, &a),
                   *any = planned(t.at, "\"optimal_dag\"", (uint64_t)budget, &a);
        cr_expect_eq(number(any, "optimality/exact"), 1);
        cr_expect(number(answer, "feasible") == 0 || number(any, "step_seconds") <= number(answer, "step_seconds"));
        cr_expect(number(any, "feasible") == 0 || number(any, "peak_bytes") <= budget);
        if (number(answer, "feasible") == 0) {
            const double least = number(answer, "minimum_budget_bytes");
            cr_expect_gt(least, budget);
            cr_expect_eq(number(planned(t.at, "\"optimal\"", (uint64_t)least, &a), "peak_bytes"), least);
            cr_expect_eq(number(planned(t.at, "\"optimal\"", (uint64_t)least - 1, &a), "feasible"), 0);
            break;
        }
        cr_expect_leq(number(answer, "peak_bytes"), budget);
        cr_expect_geq(number(answer, "step_seconds"), before);
        before = number(answer, "step_seconds");
    }
    free(t.at);
    arena_free(&a);
}

Test(Posted, chains_cost_more_in_less_until_nothing_fits) {
    for (uint64_t seed = 0; seed < 60; seed++) {
        next = seed;
        chain_check(1 + (unsigned)draw(9), 1 + (unsigned)draw(3));
    }
}

Test(Posted, a_frontier_is_what_plans_say) {
    struct arena a;
    struct problem why = {0};
    struct text t = {0};
    struct plan_posted_watch watch = {.ask = NULL};
    arena_init(&a, 0);
    chain_say(&t, 12, 3);
    const char *request = arena_printf(&a, &why, "{%s}", t.at);
    const char *answer = answered(request, PLAN_POSTED_FRONTIER, &watch, &a, &why);
    cr_assert(answer, "%s", why.detail);
    struct wire_document *d = wire_parse(answer, strlen(answer), &why);
    struct wire_value root = wire_root(d), points;
    cr_assert(wire_get(&root, "points", &points) && wire_length(&points) > 2);
    double bytes = INFINITY, seconds = -1;
    for (size_t i = 0; i < wire_length(&points); i++) {
        const struct wire_value point = wire_at(&points, i);
        const char *text = wire_json(&point, &a, &why);
        const char *plan = planned(t.at, "\"optimal\"", (uint64_t)number(text, "slab_bytes"), &a);
        cr_expect_lt(number(text, "slab_bytes"), bytes);
        cr_expect_gt(number(text, "step_seconds"), seconds);
        bytes = number(text, "slab_bytes");
        seconds = number(text, "step_seconds");
        cr_expect_eq(number(plan, "peak_bytes"), bytes);
        cr_expect_eq(number(plan, "step_seconds"), seconds);
    }
    wire_document_free(d);
    free(t.at);
    arena_free(&a);
}

/* ---- graphs ---- */

static void graph_check(unsigned n, unsigned sparse, const char *cost) {
    static const char strategy[] = "{\"name\": \"optimal_dag\", \"time_limit_seconds\": 0.2}";
    struct arena a;
    struct text t = {0};
    arena_init(&a, 0);
    graph_say(&t, n, sparse, cost);
    const double most = number(planned(t.at, "\"standard\"", 0, &a), "peak_bytes");
    for (unsigned part = 10; part > 0; part--) {
        const uint64_t budget = (uint64_t)(most * part / 10) + 1;
        const char *answer = planned(t.at, strategy, budget, &a);
        const double feasible = number(answer, "feasible");
        if (part == 10)
            cr_expect_eq(feasible, 1);
        if (feasible == 1) {
            cr_expect_leq(number(answer, "peak_bytes"), (double)budget);
            cr_expect_geq(number(answer, "optimality/gap_pct"), 0);
        } else {
            cr_expect(isnan(number(answer, "peak_bytes")) && number(answer, "minimum_budget_bytes") <= most);
        }
        if (feasible == 0)
            cr_expect_gt(number(answer, "minimum_budget_bytes"), (double)budget);
    }
    free(t.at);
    arena_free(&a);
}

Test(Posted, graphs_stay_within_their_budgets) {
    for (uint64_t seed = 0; seed < 12; seed++) {
        next = seed;
        graph_check(2 + (unsigned)draw(12), 2 + (unsigned)draw(6), seed % 2 ? "flops" : "seconds");
    }
}

Test(Posted, a_time_limit_that_cuts_in_is_told) {
    struct arena a;
    struct problem why = {0};
    struct text t = {0};
    struct plan_posted_watch watch = {.ask = NULL};
    arena_init(&a, 0);
    graph_say(&t, 60, 6, "seconds");
    const double most = number(planned(t.at, "\"standard\"", 0, &a), "peak_bytes");
    const char *request = arena_printf(
        &a, &why, "{%s, \"strategy\": {\"name\": \"optimal_dag\", \"time_limit_seconds\": 0}, \"budget_bytes\": %llu}",
        t.at, (unsigned long long)(most * 0.9));
    const char *answer = answered(request, PLAN_POSTED_AT_ONCE, &watch, &a, &why);
    cr_assert(answer, "%s", why.detail);
    cr_expect(watch.cut || number(answer, "optimality/exact") == 1);
    cr_expect_geq(number(answer, "optimality/lower_bound"), 0);
    free(t.at);
    arena_free(&a);
}

/* As many nodes as a body holds. */
Test(Posted, large_graphs_are_read) {
    enum { NODES = 9000 };
    struct arena a;
    struct text t = {0};
    arena_init(&a, 0);
    say(&t, "\"graph\": {\"nodes\": [");
    for (unsigned i = 0; i < NODES; i++)
        say(&t, "%s{\"id\": %u, \"seconds\": 0.1, \"bytes\": 8, \"phase\": \"forward\"}", i ? "," : "", i);
    say(&t, "], \"edges\": [");
    for (unsigned i = 1; i < NODES; i++)
        say(&t, "%s[%u,%u]", i > 1 ? "," : "", i - 1, i);
    say(&t, "]}");
    cr_assert_lt(t.bytes, 1u << 20);
    const char *answer = planned(t.at, "\"standard\"", 0, &a);
    cr_expect_eq(number(answer, "peak_bytes"), 16);
    cr_expect_float_eq(number(answer, "step_seconds"), NODES * 0.1, 1e-9);
    free(t.at);
    arena_free(&a);
}

static bool graph_read(const char *text, bool reorder, struct arena *a, struct wire_graph *g, struct problem *why) {
    struct wire_document *d = wire_parse(text, strlen(text), why);
    cr_assert(d, "%s", why->detail);
    const struct wire_value v = wire_root(d);
    const bool ok = wire_graph_read(&v, reorder, a, g, why);
    wire_document_free(d);
    return ok;
}

Test(Posted, seconds_become_whole_costs) {
    static const double scales[] = {1e-12, 1, 3e14};
    for (unsigned s = 0; s < 3; s++) {
        char text[512];
        struct arena a;
        struct problem why = {0};
        struct wire_graph g;
        arena_init(&a, 0);
        snprintf(
            text, sizeof text,
            "{\"nodes\": [{\"id\": 1, \"seconds\": %.17g, \"bytes\": 1}, {\"id\": 2, \"seconds\": %.17g, \"bytes\": 1},"
            "{\"id\": 3, \"seconds\": 0, \"bytes\": 1}], \"edges\": []}",
            scales[s], scales[s] / 3);
        cr_assert(graph_read(text, false, &a, &g, &why), "%s", why.detail);
        uint64_t sum = 0;
        int exponent;
        for (unsigned i = 0; i < 3; i++) {
            sum += g.dag.nodes[i].cost;
            cr_expect_float_eq((double)g.dag.nodes[i].cost * g.unit, g.seconds[i], scales[s] * 1e-14);
        }
        cr_expect(sum < (uint64_t)1 << 50 && sum >= (uint64_t)1 << 48, "%llu", (unsigned long long)sum);
        cr_expect_eq(frexp(g.unit, &exponent), 0.5);
        arena_free(&a);
    }
}

/* Listed backwards, all but the inputs: the order is the one that is listed first of those that may run. */
Test(Posted, reordering_keeps_to_the_list_where_it_can) {
    struct arena a;
    struct problem why = {0};
    struct wire_graph g;
    arena_init(&a, 0);
    cr_assert(
        graph_read(
            "{\"nodes\": [{\"id\": \"d\", \"flops\": 1, \"bytes\": 1}, {\"id\": \"c\", \"flops\": 1, \"bytes\": 1},"
            "{\"id\": \"e\", \"flops\": 1, \"bytes\": 1}, {\"id\": \"a\", \"flops\": 1, \"bytes\": 1},"
            "{\"id\": \"i\", \"bytes\": 1, \"phase\": \"input\"}],"
            "\"edges\": [[\"a\", \"c\"], [\"c\", \"d\"], [\"i\", \"e\"], [\"i\", \"a\"]]}",
            true, &a, &g, &why),
        "%s", why.detail);
    static const uint32_t order[] = {2, 3, 1, 0}; /* e a c d */
    for (uint32_t i = 0; i < 4; i++)
        cr_expect_eq(g.dag.nodes[i].makes[0], order[i]);
    cr_expect(g.dag.values[0].wanted && g.dag.values[2].wanted && !g.dag.values[4].wanted && g.dag.values[4].given);
    arena_free(&a);
}

Test(Posted, reading_survives_every_allocation_that_fails) {
    for (unsigned kind = 0; kind < 2; kind++) {
        struct text t = {0};
        say(&t, "{");
        kind ? chain_say(&t, 5, 3) : graph_say(&t, 8, 3, "flops");
        say(&t, "}");
        for (uint64_t at = 0;; at++) {
            struct problem why = {0};
            struct plan_posted q;
            struct arena a;
            arena_init(&a, 0);
            a.fail_at = at;
            struct wire_document *d = wire_parse(t.at, t.bytes, &why);
            const struct wire_value v = wire_root(d);
            const bool ok = plan_posted_read(&v, PLAN_POSTED_AT_ONCE, NULL, &a, &q, &why);
            wire_document_free(d);
            arena_free(&a);
            cr_assert(ok || why.kind == PROBLEM_MEMORY, "%s", why.detail);
            if (ok)
                break;
        }
        free(t.at);
    }
}

/* ---- the job ---- */

struct seen {
    unsigned reports, asks, stop_after;
    uint64_t done, total;
};

static void on_report(void *user, const char *object) {
    struct seen *s = user;
    s->reports++;
    cr_expect(strstr(object, "\"phase\":\"search\""), "%s", object);
}

static void on_progress(void *user, uint64_t done, uint64_t total) {
    struct seen *s = user;
    cr_expect_leq(done, total);
    s->done = done;
    s->total = total;
}

static unsigned asks;
static bool stops(void) {
    return asks > 3;
}

static bool on_ask(void *user, const struct plan_posted_progress *p) {
    (void)user;
    return ++asks > 3 && p->found;
}

/* A daemon that stops ends a long search, and no arena gives anything any more: but what was found is told. */
Test(Posted, a_search_that_a_drain_cuts_has_an_answer) {
    struct arena a;
    struct problem why = {0};
    struct text t = {0};
    struct plan_posted_watch watch = {.ask = on_ask};
    struct service service = {.draining = stops};
    struct plan_bounds bounds;
    arena_init(&a, 0);
    graph_say(&t, 60, 6, "seconds");
    const double most = number(planned(t.at, "\"standard\"", 0, &a), "peak_bytes");
    const char *request = arena_printf(
        &a, &why, "{%s, \"strategy\": {\"name\": \"optimal_dag\", \"time_limit_seconds\": 60}, \"budget_bytes\": %llu}",
        t.at, (unsigned long long)(most * 0.8));
    plan_bounds_begin(&bounds, &service);
    bounds.begun_ns = 0; /* it has been planned for long */
    const char *answer = answered_within(request, PLAN_POSTED_AT_ONCE, &watch, &bounds.arena, &a, &why);
    cr_assert(answer, "%s", why.detail);
    cr_expect(watch.cut);
    cr_expect_eq(number(answer, "feasible"), 1);
    free(t.at);
    arena_free(&a);
}

static bool on_cancelled(void *user) {
    struct seen *s = user;
    return ++s->asks > s->stop_after;
}

/* A long search that is cancelled has a result all the same. */
Test(Posted, a_cancelled_job_keeps_what_it_has) {
    struct arena a;
    struct problem why = {0};
    struct text t = {0};
    struct job job;
    struct seen seen = {.stop_after = 3};
    struct job_run run = {.progress = on_progress, .report = on_report, .cancelled = on_cancelled, .user = &seen};
    arena_init(&a, 0);
    graph_say(&t, 60, 6, "seconds");
    const double most = number(planned(t.at, "\"standard\"", 0, &a), "peak_bytes");
    const char *request = arena_printf(&a, &why,
                                       "{\"kind\": \"plan\", %s, \"budget_bytes\": %llu, \"strategy\": {\"name\": "
                                       "\"optimal_dag\", \"time_limit_seconds\": 3600}}",
                                       t.at, (unsigned long long)(most * 0.8));
    const struct job_context c = {.arena = &a, .threads = 1, .memory_limit_bytes = UINT64_MAX};
    cr_assert(job_make(&job, request, strlen(request), &c, &why), "%s", why.detail);
    const bool ok = job.kind->run(&job, &c, &run, &why);
    cr_assert(run.result, "%s", why.detail);
    cr_expect(ok ? number(run.result, "optimality/exact") == 1 : why.kind == PROBLEM_CANCELLED, "%s", why.detail);
    cr_expect(ok || (seen.reports > 0 && seen.total == 3600000));
    free(t.at);
    arena_free(&a);
}

Test(Posted, a_job_answers_for_a_workload_too) {
    static const char request[] = "{\"kind\": \"plan\", \"workload\": {\"model\": \"gpt2\", \"seq_len\": 64}}";
    struct arena a;
    struct problem why = {0};
    struct job job;
    struct seen seen = {.stop_after = 1000000};
    struct job_run run = {.progress = on_progress, .cancelled = on_cancelled, .user = &seen};
    arena_init(&a, 0);
    const struct job_context c = {.arena = &a, .threads = 1, .memory_limit_bytes = UINT64_MAX};
    cr_assert(job_make(&job, request, strlen(request), &c, &why) && job.kind->run(&job, &c, &run, &why), "%s",
              why.detail);
    cr_expect_eq(number(run.result, "model/parameters"), 124439808);
    cr_expect(seen.done == seen.total && seen.total > 0);
    arena_free(&a);
}
