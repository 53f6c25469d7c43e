/* test_kernels_far.c - heads whose keys and values no cache holds: panels that go through the keys side by side make,
 * bit for bit, what each makes alone. */
#include "tests/attn_case.h"

#define FLASH (&attn_table[ATTN_FLASH])

enum { PANEL = 48, HEADS = 8 }; /* as many heads as let a call of one panel of each keep whole panels */

struct outcome {
    float *o, *aux;
};

static struct attn_call call_of(const struct attn_case *c, struct outcome *out) {
    return (struct attn_call){
        .shape = c->s, .mask = c->m, .scale = c->scale, .q = c->q, .k = c->k, .v = c->v, .o = out->o, .aux = out->aux};
}

static struct outcome outcome_new(const struct attn_case *c) {
    return (struct outcome){attn_alloc(c->sizes[0] * sizeof(float)), attn_alloc(HEADS * c->s.n_q * sizeof(float))};
}

static void outcome_free(struct outcome *out) {
    free(out->o);
    free(out->aux);
}

static struct outcome whole(const struct attn_case *c, unsigned threads) {
    struct problem why = {0};
    struct outcome out = outcome_new(c);
    struct attn_call call = call_of(c, &out);
    call.pool = pool_new(threads, &why);
    cr_assert(call.pool != NULL);
    attn_step(&(struct attn_how){FLASH, call.pool, threads, HEADS_FIRST, 0}, &call, false);
    pool_free(call.pool);
    return out;
}

/* A call for each panel, of the keys up to its last query. */
static struct outcome one_by_one(const struct attn_case *c) {
    struct outcome out = outcome_new(c);
    float *aux = attn_alloc(HEADS * PANEL * sizeof *aux);
    for (uint64_t i = 0; i < c->s.n_q; i += PANEL) {
        struct attn_call call = call_of(c, &out);
        call.shape.n_q = units_min(PANEL, c->s.n_q - i);
        call.shape.n_k -= c->s.n_q - i - call.shape.n_q;
        call.q += i * c->s.q.row;
        call.o += i * c->s.o.row;
        call.aux = aux;
        attn_step(&(struct attn_how){FLASH, NULL, 1, HEADS_FIRST, 0}, &call, false);
        for (uint64_t h = 0; h < HEADS; h++)
            memcpy(out.aux + h * c->s.n_q + i, aux + h * call.shape.n_q, call.shape.n_q * sizeof *aux);
    }
    free(aux);
    return out;
}

static void same_bits(const struct attn_case *c) {
    struct outcome truth = one_by_one(c);
    for (unsigned threads = 1; threads <= 3; threads++) {
        struct outcome out = whole(c, threads);
        cr_assert(memcmp(out.o, truth.o, c->sizes[0] * sizeof(float)) == 0, "output, %u threads", threads);
        cr_assert(memcmp(out.aux, truth.aux, HEADS * c->s.n_q * sizeof(float)) == 0, "aux, %u threads", threads);
        outcome_free(&out);
    }
    outcome_free(&truth);
}

/* Panels that share a task, as the workspace of one thread shows: they share the scores of 96 keys and those keys'
 * values, where these are padded to 48; each of them owns q^T, m, l, alpha and output. */
static uint64_t panels_together(const struct attn_case *c) {
    const struct attn_shape *s = &c->s;
    const uint64_t own = (2 * s->d + 3) * PANEL, shared = 96 * (PANEL + (s->value_dim == 40 ? 48 : 0));
    return (FLASH->work_bytes(s, &c->m, false, 1) / sizeof(float) - shared) / own;
}

TestSuite(kernels_far, .timeout = 300);

/* Two panels a task and one in the last, all from the first key on. */
Test(kernels_far, causal_panels_side_by_side) {
    struct attn_case c = attn_case_new(1, HEADS, 1, 8 * PANEL + 5, 16384, 64);
    c.m.ahead = 1;
    cr_expect_eq(panels_together(&c), 2);
    same_bits(&c);
    attn_case_free(&c);
}

/* Four and at the end two; every panel begins at a key of its own, and values are padded. */
Test(kernels_far, windows_side_by_side) {
    struct attn_case c = attn_case_of_values(1, HEADS, 1, 17 * PANEL + 5, 20480, 64, 40);
    c.m.ahead = 1;
    c.m.behind = 300;
    c.m.sinks = c.sinks = attn_random(HEADS, 6, 2);
    cr_expect_eq(panels_together(&c), 4);
    same_bits(&c);
    attn_case_free(&c);
}

/* What caches hold keeps one panel a task: its workspace is what one panel needs. */
Test(kernels_far, near_heads_keep_small_workspaces) {
    struct attn_case c = attn_case_new(1, HEADS, 1, 18 * PANEL, 4096, 64);
    const uint64_t scores = 96 * PANEL, own = (2 * 64 + 3) * PANEL;
    cr_expect_eq(FLASH->work_bytes(&c.s, &c.m, false, 2), 2 * (scores + own) * sizeof(float));
    attn_case_free(&c);
}
