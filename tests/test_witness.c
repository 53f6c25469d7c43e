/* test_witness.c - a kernel that takes memory behind the plan's back is seen by the operating system's count. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "engine/exec/exec.h"
#include "engine/plan/planner.h"
#include "server/witness.h"

#define FLOATS       (1u << 16)
#define STOLEN_BYTES ((size_t)64 << 20)

struct thief {
    bool steals;
    void *stolen;
};

static bool thief_forward(void *context, const float *const *in, float *const *out, float *const *saved, void *work) {
    struct thief *t = context;
    (void)saved, (void)work;
    memcpy(out[0], in[0], FLOATS * sizeof(float));
    if (t->steals && !t->stolen && (t->stolen = malloc(STOLEN_BYTES)))
        memset(t->stolen, 1, STOLEN_BYTES);
    return true;
}

static bool thief_backward(void *context, const float *const *in, const float *const *saved, const float *const *g,
                           float *const *d, void *work) {
    (void)context, (void)in, (void)saved, (void)work;
    for (unsigned i = 0; i < FLOATS; i++)
        d[0][i] += g[0][i];
    return true;
}

static bool load(void *user, uint32_t value, void *dst, struct problem *why) {
    (void)user, (void)value, (void)why;
    memset(dst, 0, FLOATS * sizeof(float));
    return true;
}

/* What the process grew by during the job, beyond its slab's pages. */
static uint64_t outside_bytes(struct thief *thief) {
    static const uint64_t shapes[1][8] = {{FLOATS}};
    static const unsigned ranks[] = {1};
    const struct strategy s = {.planner = &planner_every_layer};
    struct problem why = {0};
    struct arena a;
    struct graph g;
    struct plan p;
    struct exec_report report;
    arena_init(&a, 0);
    cr_assert(graph_init(&g, &a, 1, true, &why));
    uint32_t x = graph_tensor(&g, TENSOR_INPUT, "x", DTYPE_FLOAT32, 1, shapes[0], true, &why);
    const struct op op = {.kind = OP_FUNCTION,
                          .name = "thief",
                          .inputs = &x,
                          .n_inputs = 1,
                          .function = {.context = thief,
                                       .forward = thief_forward,
                                       .backward = thief_backward,
                                       .n_results = 1,
                                       .ranks = ranks,
                                       .shapes = shapes}};
    graph_request(&g, graph_result(&g, graph_op(&g, &op, &why), 0));
    graph_request_grad(&g, x);
    cr_assert(graph_finish(&g, &why) && planner_plan(&g, &s, &a, &p, &why));
    struct slab *slab = slab_new(&why), *persistent = slab_new(&why);
    uint64_t before = witness_rss_bytes();
    const struct exec_options options = {.load = load};
    struct exec *e = exec_new(&p, slab, persistent, &options, &why);
    cr_assert(e && exec_run(e, p.n_steps, &why) && exec_finish(e, &report, &why));
    uint64_t grown = witness_rss_bytes() - before, pages = slab_page_bytes(slab) + slab_page_bytes(persistent);
    exec_free(e);
    slab_free(slab);
    slab_free(persistent);
    arena_free(&a);
    free(thief->stolen);
    return grown > pages ? grown - pages : 0;
}

Test(witness, an_honest_kernel_stays_inside) {
    struct thief thief = {0};
    (void)outside_bytes(&thief); /* warm: first use of tables and of the allocator */
    cr_assert_leq(outside_bytes(&thief), WITNESS_OUTSIDE_BYTES);
}

Test(witness, a_kernel_that_mallocs_is_caught) {
    struct thief thief = {.steals = true};
    cr_assert_gt(outside_bytes(&thief), WITNESS_OUTSIDE_BYTES);
}
