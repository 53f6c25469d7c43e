/* test_exec.c - the executor and its witnesses. Faults are planted here, each a way the claim could be false, and each
 * must be caught by something that does not know the layout. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/base/rng.h"
#include "engine/base/units.h"
#include "tests/support.h"

#define FLOATS 1000u

/* ---- an op whose behaviour each test picks ---- */

struct fault {
    unsigned runs;
    uint64_t beyond_floats; /* the forward writes this far behind its workspace */
    bool before;            /* ... or just before it */
    bool other_dropout;     /* a second run draws other numbers */
};

static bool fault_forward(void *context, const float *const *in, float *const *out, float *const *saved, void *work) {
    struct fault *f = context;
    float *w = work;
    uint64_t seed = f->other_dropout ? f->runs : 0;
    f->runs++;
    for (unsigned i = 0; i < FLOATS; i++) {
        uint32_t word[4];
        rng_words(seed, i, 0, 0, 0, word);
        out[0][i] = saved[0][i] = word[0] & 1 ? in[0][i] : 0;
        w[i] = 1;
    }
    if (f->beyond_floats)
        ((volatile float *)w)[FLOATS + f->beyond_floats] = 1;
    if (f->before)
        ((volatile float *)w)[-1] = 1;
    return true;
}

static bool fault_backward(void *context, const float *const *in, const float *const *saved, const float *const *g,
                           float *const *d, void *work) {
    (void)context, (void)in;
    for (unsigned i = 0; i < FLOATS; i++) {
        ((float *)work)[i] = 0;
        d[0][i] += saved[0][i] != 0 ? g[0][i] : 0;
    }
    return true;
}

static const uint64_t fault_shapes[2][8] = {{FLOATS}, {FLOATS}};
static const unsigned fault_ranks[] = {1, 1};

static void fault_graph(struct graph *g, struct arena *a, struct fault *f) {
    struct problem why = {0};
    cr_assert(graph_init(g, a, 1, true, &why));
    uint32_t x = graph_tensor(g, TENSOR_INPUT, "x", DTYPE_FLOAT32, 1, fault_shapes[0], true, &why);
    const struct op op = {.kind = OP_FUNCTION,
                          .name = "f",
                          .inputs = &x,
                          .n_inputs = 1,
                          .function = {.context = f,
                                       .forward = fault_forward,
                                       .backward = fault_backward,
                                       .n_results = 1,
                                       .n_saved = 1,
                                       .ranks = fault_ranks,
                                       .shapes = fault_shapes,
                                       .workspace_bytes = FLOATS * 4}};
    graph_request(g, graph_result(g, graph_op(g, &op, &why), 0));
    graph_request_grad(g, x);
    cr_assert(graph_finish(g, &why));
}

static bool load(void *user, uint32_t value, void *dst, struct problem *why) {
    (void)why;
    rng_fill_normal(dst, plan_value_bytes(user, value) / 4, value, RNG_TENSOR, 1);
    return true;
}

/* Runs the graph's every_layer plan after `spoil` has had its way with it. */
static bool run_spoiled(struct fault *f, void (*spoil)(struct plan *), struct exec_report *report,
                        struct problem *why) {
    struct arena a;
    struct graph g;
    struct plan p;
    const struct strategy s = {.planner = &planner_every_layer};
    arena_init(&a, 0);
    fault_graph(&g, &a, f);
    cr_assert(planner_plan(&g, &s, &a, &p, why));
    if (spoil)
        spoil(&p);
    struct slab *slab = slab_new(why), *persistent = slab_new(why);
    const struct exec_options options = {.load = load, .user = &g, .witness = true, .check_recompute = true};
    struct exec *e = exec_new(&p, slab, persistent, &options, why);
    bool ok = e && exec_run(e, p.n_steps, why) && exec_finish(e, report, why);
    if (ok)
        cr_assert_eq(units_extent(report->touched_bytes), p.slab_bytes);
    exec_free(e);
    slab_free(slab);
    slab_free(persistent);
    arena_free(&a);
    return ok;
}

Test(exec, the_unspoiled_run_is_clean) {
    struct exec_report report;
    struct problem why = {0};
    cr_assert(run_spoiled(&(struct fault){0}, NULL, &report, &why), "%s", why.detail);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* they take the signals */
static void one_extent_short(struct plan *p) {
    p->slab_bytes -= UNITS_EXTENT;
}

Test(exec, a_layout_that_is_short_meets_the_guard_page, .signal = SIGSEGV) {
    struct exec_report report;
    struct problem why = {0};
    cr_assert(run_spoiled(&(struct fault){0}, one_extent_short, &report, &why));
}

Test(exec, a_kernel_that_writes_far_beyond_its_workspace_meets_the_guard_page, .signal = SIGSEGV) {
    struct exec_report report;
    struct problem why = {0};
    cr_assert(run_spoiled(&(struct fault){.beyond_floats = 1 << 16}, NULL, &report, &why));
}
#endif

#if !defined(__SANITIZE_ADDRESS__) /* which takes the write before the test can look for it */
static void work_below_front(struct plan *p) {
    for (uint32_t i = 0; i < p->n_extents;
         i++) /* the workspace goes to the bottom, so that just before it lies the front */
        if (p->extents[i].value == EXTENT_WORK) {
            for (uint32_t j = 0; j < p->n_extents; j++)
                if (p->extents[j].offset < p->extents[i].offset && p->extents[j].value != EXTENT_WORK)
                    p->extents[j].offset += p->extents[i].bytes;
            p->extents[i].offset = 0;
        }
    p->slab_bytes = 0;
    for (uint32_t i = 0; i < p->n_extents; i++)
        p->slab_bytes = units_max(p->slab_bytes, p->extents[i].offset + p->extents[i].bytes);
}

Test(exec, a_kernel_that_writes_before_the_slab_is_caught_by_the_pattern) {
    struct exec_report report;
    struct problem why = {0};
    cr_assert_not(run_spoiled(&(struct fault){.before = true}, work_below_front, &report, &why));
    cr_assert_eq(why.kind, PROBLEM_WITNESS, "%s", why.detail);
}
#endif

Test(exec, a_recomputation_with_another_dropout_counter_is_caught) {
    struct exec_report report;
    struct problem why = {0};
    cr_assert_not(run_spoiled(&(struct fault){.other_dropout = true}, NULL, &report, &why));
    cr_assert_eq(why.kind, PROBLEM_NONDETERMINISTIC);
}

/* ---- cancel, progress, misuse ---- */

struct asked {
    const struct graph *g;
    uint32_t cancel_at, asked, done;
};

static bool asked_load(void *user, uint32_t value, void *dst, struct problem *why) {
    return load((void *)(uintptr_t)((struct asked *)user)->g, value, dst, why);
}
static bool asked_cancelled(void *user) {
    struct asked *a = user;
    return a->asked++ == a->cancel_at;
}
static void asked_progress(void *user, uint32_t done, uint32_t total) {
    struct asked *a = user;
    cr_assert(done == a->done + 1 && done <= total);
    a->done = done;
}

Test(exec, cancels_between_any_two_steps_and_reports_progress) {
    struct arena a;
    struct graph g;
    struct plan p;
    struct problem none = {0};
    const struct strategy s = {.planner = &planner_every_layer};
    arena_init(&a, 0);
    struct fault f = {0};
    fault_graph(&g, &a, &f);
    cr_assert(planner_plan(&g, &s, &a, &p, &none));
    struct slab *slab = slab_new(&none), *persistent = slab_new(&none);
    for (uint32_t at = 0; at <= p.n_steps; at++) {
        struct asked asked = {.g = &g, .cancel_at = at};
        struct problem why = {0};
        struct exec_report report;
        const struct exec_options options = {
            .load = asked_load, .user = &asked, .cancelled = asked_cancelled, .progress = asked_progress};
        struct exec *e = exec_new(&p, slab, persistent, &options, &why);
        bool ok = exec_run(e, p.n_steps, &why);
        cr_assert_eq(ok, at == p.n_steps);
        cr_assert_eq(asked.done, at);
        if (!ok) {
            cr_assert_eq(why.kind, PROBLEM_CANCELLED);
            cr_assert_not(exec_run(e, p.n_steps, &(struct problem){0}), "a failed run goes no further");
            cr_assert_not(exec_finish(e, &report, &(struct problem){0}));
        }
        exec_free(e);
    }
    slab_free(slab);
    slab_free(persistent);
    arena_free(&a);
}

/* ---- the slab ---- */

Test(exec, a_slab_grows_shrinks_and_is_reused) {
    struct problem why = {0};
    struct slab *slab = slab_new(&why);
    const uint64_t sizes[] = {64, 4096, 0, 1 << 20, 4160, 5 << 20, 64 * 1001, 5 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        unsigned char *at = slab_reserve(slab, sizes[i], &why);
        cr_assert(at, "%s", why.detail);
        slab_fill(slab);
        cr_assert_eq(slab_touched_bytes(slab), 0u);
        cr_assert(slab_page_bytes(slab) >= sizes[i] && slab_page_bytes(slab) < sizes[i] + 4096);
        if (sizes[i] == 0)
            continue;
        at[0] ^= 1;
        cr_assert_eq(slab_touched_bytes(slab), 8u);
        at[sizes[i] - 1] ^= 1;
        cr_assert_eq(slab_touched_bytes(slab), sizes[i]);
        cr_assert(slab_front_intact(slab));
        unsigned char in_core[1 << 12];
        size_t pages = slab_page_bytes(slab) / 4096;
        cr_assert_eq(mincore((void *)((uintptr_t)at & ~(uintptr_t)4095), pages * 4096, in_core), 0);
        for (size_t page = 0; page < pages; page++)
            cr_assert(in_core[page] & 1, "page %zu of %zu is touched beforehand", page, pages);
    }
    cr_assert_null(slab_reserve(slab, (uint64_t)1 << 60, &why));
    cr_assert_eq(why.kind, PROBLEM_MEMORY);
    slab_free(slab);
    slab_free(NULL);
}
