/* test_checkpointing.c - the gradient-checkpointing lab through remat.h: one suite a row of the lab's table. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/remat.h"
#include "tests/support.h"

/* ---- tensors for tests ---- */

static uint64_t elements(const struct remat_tensor *t) {
    uint64_t n = 1;
    for (unsigned i = 0; i < t->rank; i++)
        n *= t->size[i];
    return n;
}

static struct remat_tensor tensor(unsigned rank, const uint64_t *size, uint64_t seed) {
    struct remat_tensor t = {.rank = rank};
    memcpy(t.size, size, rank * sizeof *size);
    t.data = malloc(elements(&t) * sizeof(float));
    if (seed)
        rng_fill_normal(t.data, elements(&t), seed, RNG_TENSOR, 1);
    else
        memset(t.data, 0x7f, elements(&t) * sizeof(float));
    return t;
}

static bool same(const struct remat_tensor *a, const struct remat_tensor *b) {
    return elements(a) == elements(b) && memcmp(a->data, b->data, elements(a) * sizeof(float)) == 0;
}

/* ---- CheckpointedAttention ---- */

struct attention_run {
    struct remat_tensor o, dq, dk, dv;
    struct remat_report report;
};

struct attention_case {
    uint64_t batch, heads, kv_heads, n_q, n_k, d;
    struct remat_attention attention;
    bool mask;
};

static struct attention_run attention_run(const struct attention_case *c, bool keep, unsigned threads) {
    const uint64_t q_size[] = {c->batch, c->heads, c->n_q, c->d}, k_size[] = {c->batch, c->kv_heads, c->n_k, c->d};
    const uint64_t mask_size[] = {c->n_q, c->n_k};
    struct remat_tensor q = tensor(4, q_size, 1), k = tensor(4, k_size, 2), v = tensor(4, k_size, 3),
                        g = tensor(4, q_size, 4);
    struct remat_tensor mask = tensor(2, mask_size, 5);
    for (uint64_t i = 0; i < elements(&mask); i++) /* a third forbidden; row 0 wholly */
        if (mask.data[i] > 0.5f || i < c->n_k)
            mask.data[i] = -INFINITY;
    struct attention_run run = {
        .o = tensor(4, q_size, 0), .dq = tensor(4, q_size, 0), .dk = tensor(4, k_size, 0), .dv = tensor(4, k_size, 0)};
    struct remat_checkpointed_attention a;
    struct remat_problem why = {0};
    const struct remat_options options = {.threads = threads, .keep = keep, .witness = true, .check_recompute = true};
    cr_assert(remat_checkpointed_attention_init(&a, &c->attention, &options, &why), "%s %s", why.where, why.detail);
    cr_assert(remat_checkpointed_attention_forward(&a, &q, &k, &v, c->mask ? &mask : NULL, &run.o, &why), "%s %s",
              why.where, why.detail);
    cr_assert(remat_checkpointed_attention_backward(&a, &g, &run.dq, &run.dk, &run.dv, &why), "%s %s", why.where,
              why.detail);
    cr_assert(remat_checkpointed_attention_report(&a, &run.report));
    remat_checkpointed_attention_free(&a);
    free(q.data), free(k.data), free(v.data), free(g.data), free(mask.data);
    return run;
}

static void attention_run_free(struct attention_run *r) {
    free(r->o.data), free(r->dq.data), free(r->dk.data), free(r->dv.data);
}

static const struct attention_case attention_cases[] = {
    {1, 1, 1, 128, 128, 64, {.kernel = REMAT_STANDARD}, false},
    {2, 4, 2, 96, 96, 32, {.kernel = REMAT_STANDARD, .causal = true, .dropout = 0.1, .seed = 7}, false},
    {1, 2, 1, 65, 130, 16, {.kernel = REMAT_STANDARD, .window = 17, .causal = true}, false},
    {1, 2, 2, 97, 61, 8, {.kernel = REMAT_STANDARD, .window = 9}, true},
    {1, 3, 3, 50, 50, 24, {.kernel = REMAT_STANDARD, .dropout = 0.5, .seed = 1}, true},
    {1, 1, 1, 128, 128, 64, {.kernel = REMAT_FLASH}, false},
    {2, 4, 2, 96, 96, 32, {.kernel = REMAT_FLASH, .causal = true, .dropout = 0.1, .seed = 7}, false},
    {1, 2, 1, 65, 130, 16, {.kernel = REMAT_FLASH, .window = 17, .causal = true}, false},
    {1, 2, 2, 97, 61, 8, {.kernel = REMAT_FLASH, .window = 9}, true},
    {1, 3, 3, 50, 50, 24, {.kernel = REMAT_FLASH, .dropout = 0.5, .seed = 1}, true},
    {1, 1, 1, 1, 1, 1, {.kernel = REMAT_STANDARD}, false},
    {1, 1, 1, 1, 1, 1, {.kernel = REMAT_FLASH}, false},
};
#define CASES(table) (sizeof(table) / sizeof((table)[0]))

Test(CheckpointedAttention, outputs_and_gradients_are_bit_for_bit_those_of_the_plain_run) {
    for (size_t i = 0; i < CASES(attention_cases); i++) {
        struct attention_run plain = attention_run(&attention_cases[i], true, 1);
        for (unsigned threads = 1; threads <= 2; threads++) {
            struct attention_run checkpointed = attention_run(&attention_cases[i], false, threads);
            cr_assert(same(&plain.o, &checkpointed.o), "output, case %zu, %u threads", i, threads);
            cr_assert(same(&plain.dq, &checkpointed.dq), "grad_q, case %zu, %u threads", i, threads);
            cr_assert(same(&plain.dk, &checkpointed.dk), "grad_k, case %zu, %u threads", i, threads);
            cr_assert(same(&plain.dv, &checkpointed.dv), "grad_v, case %zu, %u threads", i, threads);
            attention_run_free(&checkpointed);
        }
        attention_run_free(&plain);
    }
}

Test(CheckpointedAttention, predicted_peak_is_measured_peak_and_the_highest_byte_touched) {
    for (size_t i = 0; i < CASES(attention_cases); i++)
        for (unsigned keep = 0; keep <= 1; keep++) {
            struct attention_run r = attention_run(&attention_cases[i], keep, 2);
            cr_assert_eq(r.report.predicted_peak_bytes, r.report.measured_peak_bytes, "case %zu", i);
            cr_assert(r.report.touched_bytes <= r.report.measured_peak_bytes &&
                          r.report.touched_bytes + 64 > r.report.measured_peak_bytes,
                      "case %zu keep %u: touched %lu of %lu", i, keep, r.report.touched_bytes,
                      r.report.measured_peak_bytes);
            attention_run_free(&r);
        }
}

Test(CheckpointedAttention, keeps_only_q_k_v_between_forward_and_backward) {
    const struct attention_case c = {1, 2, 2, 256, 256, 32, {.kernel = REMAT_STANDARD}, false};
    const uint64_t qkv = 3 * 2 * 256 * 32 * 4, weights = 2 * 256 * 256 * 4;
    struct attention_run plain = attention_run(&c, true, 1), checkpointed = attention_run(&c, false, 1);
    cr_assert_eq(plain.report.saved_bytes, qkv + weights);
    cr_assert_eq(checkpointed.report.saved_bytes, qkv);
    cr_assert_eq(plain.report.recompute_flops, 0);
    cr_assert_eq(checkpointed.report.recompute_flops, checkpointed.report.forward_flops);
    attention_run_free(&plain), attention_run_free(&checkpointed);
}

Test(CheckpointedAttention, misuse_is_a_problem_and_not_a_crash) {
    struct remat_checkpointed_attention a;
    struct remat_problem why;
    const uint64_t size[] = {1, 1, 8, 4}, other[] = {1, 1, 9, 4};
    struct remat_tensor q = tensor(4, size, 1), o = tensor(4, size, 0), g = tensor(4, size, 2),
                        wrong = tensor(4, other, 3);
    cr_assert(remat_checkpointed_attention_init(&a, &(struct remat_attention){0}, NULL, NULL));
    cr_assert_not(remat_checkpointed_attention_backward(&a, &g, &q, &q, &q, &why));
    cr_assert_str_eq(why.kind, "state");
    cr_assert_not(remat_checkpointed_attention_forward(&a, &q, &q, &wrong, NULL, &o, &why));
    cr_assert_str_eq(why.kind, "shape");
    cr_assert(remat_checkpointed_attention_forward(&a, &q, &q, &q, NULL, &o, &why));
    cr_assert_not(remat_checkpointed_attention_backward(&a, &wrong, &q, &q, &q, &why));
    cr_assert_str_eq(why.where, "/grad_output");
    struct remat_tensor dq = tensor(4, size, 0), dk = tensor(4, size, 0), dv = tensor(4, size, 0);
    cr_assert(remat_checkpointed_attention_backward(&a, &g, &dq, &dk, &dv, &why));
    cr_assert_not(remat_checkpointed_attention_backward(&a, &g, &dq, &dk, &dv, &why));
    cr_assert_str_eq(why.kind, "state");
    remat_checkpointed_attention_free(&a);
    free(q.data), free(o.data), free(g.data), free(wrong.data), free(dq.data), free(dk.data), free(dv.data);
    cr_assert_not(remat_checkpointed_attention_init(&a, &(struct remat_attention){.dropout = 1.5}, NULL, &why));
    cr_assert_str_eq(why.where, "/dropout");
}

/* ---- CheckpointedFunction: y = tanh(x w) with its own noise ---- */

#define WIDTH 64

struct layer {
    uint32_t counter; /* its random state */
    unsigned forwards;
    bool fickle; /* draws something new each time */
};

static bool layer_forward(void *context, const float *const *inputs, float *const *outputs, float *const *saved,
                          void *work) {
    struct layer *l = context;
    (void)work;
    l->forwards++;
    for (unsigned i = 0; i < WIDTH; i++) {
        uint32_t word[4];
        rng_words(l->fickle ? l->forwards : 9, l->counter++, 0, 0, 0, word);
        outputs[0][i] = tanhf(inputs[0][i]) + 1e-3f * (float)(word[0] >> 8);
        saved[0][i] = tanhf(inputs[0][i]);
    }
    return true;
}

static bool layer_backward(void *context, const float *const *inputs, const float *const *saved,
                           const float *const *grad_outputs, float *const *grad_inputs, void *work) {
    (void)context, (void)inputs, (void)work;
    for (unsigned i = 0; i < WIDTH; i++)
        grad_inputs[0][i] += grad_outputs[0][i] * (1 - saved[0][i] * saved[0][i]);
    return true;
}

static const struct remat_shape width_shape = {1, {WIDTH}};

static struct remat_function layer_function(struct layer *l) {
    return (struct remat_function){.name = "layer",
                                   .context = l,
                                   .forward = layer_forward,
                                   .backward = layer_backward,
                                   .n_inputs = 1,
                                   .n_outputs = 1,
                                   .n_saved = 1,
                                   .inputs = &width_shape,
                                   .outputs = &width_shape,
                                   .saved = &width_shape,
                                   .forward_flops = WIDTH,
                                   .backward_flops = 2 * WIDTH,
                                   .random_state = &l->counter,
                                   .random_state_bytes = sizeof l->counter};
}

static const uint64_t width_size[] = {WIDTH};

Test(CheckpointedFunction, recomputes_and_gives_the_plain_gradients) {
    struct remat_tensor x = tensor(1, width_size, 1), g = tensor(1, width_size, 2), y[2], dx[2];
    struct remat_report report[2];
    for (int keep = 0; keep <= 1; keep++) {
        struct layer l = {0};
        struct remat_function f = layer_function(&l);
        struct remat_checkpointed_function c;
        y[keep] = tensor(1, width_size, 0), dx[keep] = tensor(1, width_size, 0);
        cr_assert(remat_checkpointed_function_init(
            &c, &f, &(struct remat_options){.keep = keep, .check_recompute = true, .witness = true}, NULL));
        cr_assert(remat_checkpointed_function_forward(&c, &x, &y[keep], NULL));
        cr_assert(remat_checkpointed_function_backward(&c, &g, &dx[keep], NULL));
        cr_assert(remat_checkpointed_function_report(&c, &report[keep]));
        cr_assert_eq(l.forwards, keep ? 1u : 2u);
        cr_assert_eq(l.counter, (uint32_t)WIDTH, "the random state goes on as if nothing was recomputed");
        remat_checkpointed_function_free(&c);
    }
    cr_assert(same(&y[0], &y[1]) && same(&dx[0], &dx[1]));
    for (unsigned i = 0; i < WIDTH; i++)
        cr_assert_float_eq(dx[0].data[i], g.data[i] * (1 - tanhf(x.data[i]) * tanhf(x.data[i])), 1e-6f);
    cr_assert_eq(report[0].saved_bytes, WIDTH * 4u, "the input alone");
    cr_assert_eq(report[1].saved_bytes, WIDTH * 4u, "what the function saves");
    cr_assert_eq(report[0].predicted_peak_bytes, report[0].measured_peak_bytes);
    for (int i = 0; i < 2; i++)
        free(y[i].data), free(dx[i].data);
    free(x.data), free(g.data);
}

Test(CheckpointedFunction, a_recomputation_that_differs_is_found) {
    struct layer l = {.fickle = true};
    struct remat_function f = layer_function(&l);
    struct remat_checkpointed_function c;
    struct remat_problem why;
    struct remat_tensor x = tensor(1, width_size, 1), y = tensor(1, width_size, 0), dx = tensor(1, width_size, 0);
    cr_assert(remat_checkpointed_function_init(&c, &f, &(struct remat_options){.check_recompute = true}, NULL));
    cr_assert(remat_checkpointed_function_forward(&c, &x, &y, NULL));
    cr_assert_not(remat_checkpointed_function_backward(&c, &x, &dx, &why));
    cr_assert_str_eq(why.kind, "nondeterministic");
    remat_checkpointed_function_free(&c);
    free(x.data), free(y.data), free(dx.data);
}

static bool never(void *context, const float *const *inputs, float *const *outputs, float *const *saved, void *work) {
    (void)context, (void)inputs, (void)outputs, (void)saved, (void)work;
    return false;
}

Test(CheckpointedFunction, misuse_is_a_problem_and_not_a_crash) {
    struct layer l = {0};
    struct remat_function f = layer_function(&l);
    struct remat_checkpointed_function c;
    struct remat_problem why;
    struct remat_tensor x = tensor(1, width_size, 1), y = tensor(1, width_size, 0), dx = tensor(1, width_size, 0);
    const uint64_t short_size[] = {WIDTH - 1};
    struct remat_tensor wrong = tensor(1, short_size, 1);
    cr_assert(remat_checkpointed_function_init(&c, &f, NULL, &why));
    cr_assert_not(remat_checkpointed_function_backward(&c, &x, &dx, &why));
    cr_assert_str_eq(why.kind, "state");
    cr_assert_not(remat_checkpointed_function_forward(&c, &wrong, &y, &why));
    cr_assert_str_eq(why.kind, "shape");
    cr_assert(remat_checkpointed_function_forward(&c, &x, &y, &why));
    cr_assert_not(remat_checkpointed_function_backward(&c, &wrong, &dx, &why));
    cr_assert(remat_checkpointed_function_backward(&c, &x, &dx, &why));
    cr_assert_not(remat_checkpointed_function_backward(&c, &x, &dx, &why));
    remat_checkpointed_function_free(&c);
    f.forward = never;
    cr_assert(remat_checkpointed_function_init(&c, &f, NULL, &why));
    cr_assert_not(remat_checkpointed_function_forward(&c, &x, &y, &why));
    cr_assert_str_eq(why.kind, "state");
    remat_checkpointed_function_free(&c);
    f.forward = NULL;
    cr_assert_not(remat_checkpointed_function_init(&c, &f, NULL, &why));
    cr_assert_str_eq(why.where, "/functions/0/forward");
    free(x.data), free(y.data), free(dx.data), free(wrong.data);
}

/* ---- CheckpointSequential ---- */

Test(CheckpointSequential, any_number_of_segments_gives_the_plain_bits) {
    enum { N = 7 };
    struct remat_tensor x = tensor(1, width_size, 1), g = tensor(1, width_size, 2);
    struct remat_tensor y0 = tensor(1, width_size, 0), dx0 = tensor(1, width_size, 0);
    uint64_t saved_before = UINT64_MAX;
    for (unsigned segments = N + 1;
         segments-- > 0;) { /* 7 ... 1, then 0: one per function; first of all the plain run */
        for (int keep = segments == N; keep >= 0; keep--) {
            struct layer l[N] = {{0}};
            struct remat_function f[N];
            for (unsigned i = 0; i < N; i++)
                f[i] = layer_function(&l[i]);
            struct remat_checkpointed_sequence s;
            struct remat_tensor y = tensor(1, width_size, 0), dx = tensor(1, width_size, 0);
            struct remat_report report;
            const struct remat_options options = {.keep = keep, .check_recompute = true, .witness = true};
            cr_assert(remat_checkpoint_sequential(&s, f, N, segments, &options, &x, 1, &y, 1, NULL));
            cr_assert(remat_checkpoint_sequential_backward(&s, &g, &dx, NULL));
            cr_assert(remat_checkpoint_sequential_report(&s, &report));
            cr_assert_eq(report.predicted_peak_bytes, report.measured_peak_bytes);
            for (unsigned i = 0; i < N; i++)
                cr_assert_eq(l[i].forwards, keep ? 1u : 2u);
            if (keep)
                memcpy(y0.data, y.data, sizeof(float) * WIDTH), memcpy(dx0.data, dx.data, sizeof(float) * WIDTH);
            cr_assert(same(&y, &y0) && same(&dx, &dx0), "%u segments", segments);
            if (!keep && segments)
                cr_assert_eq(report.saved_bytes, segments * WIDTH * 4u, "one input a segment");
            saved_before = report.saved_bytes;
            remat_checkpoint_sequential_free(&s);
            free(y.data), free(dx.data);
        }
    }
    cr_assert_eq(saved_before, N * WIDTH * 4u);
    free(x.data), free(g.data), free(y0.data), free(dx0.data);
}

/* two tensors in, three out: (a + b, a - b, a) ; then three in, one out: their sum with weights */
static bool fan_forward(void *c, const float *const *in, float *const *out, float *const *saved, void *work) {
    (void)c, (void)saved, (void)work;
    for (unsigned i = 0; i < WIDTH; i++)
        out[0][i] = in[0][i] + in[1][i], out[1][i] = in[0][i] - in[1][i], out[2][i] = in[0][i];
    return true;
}
static bool fan_backward(void *c, const float *const *in, const float *const *saved, const float *const *g,
                         float *const *d, void *work) {
    (void)c, (void)in, (void)saved, (void)work;
    for (unsigned i = 0; i < WIDTH; i++)
        d[0][i] += g[0][i] + g[1][i] + g[2][i], d[1][i] += g[0][i] - g[1][i];
    return true;
}
static bool join_forward(void *c, const float *const *in, float *const *out, float *const *saved, void *work) {
    (void)c, (void)saved, (void)work;
    for (unsigned i = 0; i < WIDTH; i++)
        out[0][i] = in[0][i] * in[1][i] + 3 * in[2][i];
    return true;
}
static bool join_backward(void *c, const float *const *in, const float *const *saved, const float *const *g,
                          float *const *d, void *work) {
    (void)c, (void)saved, (void)work;
    for (unsigned i = 0; i < WIDTH; i++)
        d[0][i] += g[0][i] * in[1][i], d[1][i] += g[0][i] * in[0][i], d[2][i] += 3 * g[0][i];
    return true;
}

Test(CheckpointSequential, several_inputs_and_outputs) {
    const struct remat_shape shapes[] = {width_shape, width_shape, width_shape};
    const struct remat_function f[] = {{.name = "fan",
                                        .forward = fan_forward,
                                        .backward = fan_backward,
                                        .n_inputs = 2,
                                        .n_outputs = 3,
                                        .inputs = shapes,
                                        .outputs = shapes},
                                       {.name = "join",
                                        .forward = join_forward,
                                        .backward = join_backward,
                                        .n_inputs = 3,
                                        .n_outputs = 1,
                                        .inputs = shapes,
                                        .outputs = shapes,
                                        .keeps_inputs = true}};
    struct remat_tensor x[] = {tensor(1, width_size, 1), tensor(1, width_size, 2)}, g = tensor(1, width_size, 3);
    struct remat_tensor y = tensor(1, width_size, 0), dx[] = {tensor(1, width_size, 0), tensor(1, width_size, 0)};
    struct remat_checkpointed_sequence s;
    struct remat_problem why = {0};
    cr_assert(remat_checkpoint_sequential(&s, f, 2, 1, NULL, x, 2, &y, 1, &why), "%s: %s", why.where, why.detail);
    cr_assert(remat_checkpoint_sequential_backward(&s, &g, dx, &why), "%s: %s", why.where, why.detail);
    for (unsigned i = 0; i < WIDTH; i++) { /* y = a^2 - b^2 + 3 a */
        float a = x[0].data[i], b = x[1].data[i];
        cr_assert_float_eq(y.data[i], a * a - b * b + 3 * a, 1e-4f);
        cr_assert_float_eq(dx[0].data[i], g.data[i] * (2 * a + 3), 1e-4f);
        cr_assert_float_eq(dx[1].data[i], g.data[i] * -2 * b, 1e-4f);
    }
    remat_checkpoint_sequential_free(&s);
    cr_assert_not(remat_checkpoint_sequential(&s, f, 2, 3, NULL, x, 2, &y, 1, &why));
    cr_assert_str_eq(why.where, "/segments");
    cr_assert_not(remat_checkpoint_sequential(&s, f + 1, 1, 1, NULL, x, 2, &y, 1, &why));
    cr_assert_str_eq(why.where, "/functions/0/inputs");
    cr_assert_not(remat_checkpoint_sequential_backward(&s, &g, dx, &why));
    cr_assert_str_eq(why.kind, "state");
    free(x[0].data), free(x[1].data), free(g.data), free(y.data), free(dx[0].data), free(dx[1].data);
}

/* ---- MeasureMemorySavings ---- */

Test(MeasureMemorySavings, the_labs_figures) {
    struct remat_memory_savings s;
    cr_assert(remat_measure_memory_savings(2048, 512, 12, NULL, &s, NULL));
    cr_assert_eq(s.standard_memory_bytes, 352321536u);
    cr_assert_eq(s.checkpointed_memory_bytes, 167772160u);
    cr_assert_float_eq(s.standard_memory_mb, 336.0, 0);
    cr_assert_float_eq(s.checkpointed_memory_mb, 160.0, 0);
    cr_assert_float_eq(s.memory_saved_pct, 52.38, 0.01);
    cr_assert_float_eq(s.compute_overhead_pct, 100.0 / 3, 1e-9);
}

Test(MeasureMemorySavings, execution_observes_the_closed_form) {
    const struct {
        uint64_t n, d, layers, heads, batch;
    } rows[] = {{64, 32, 3, 1, 1}, {128, 64, 12, 4, 2}, {200, 48, 5, 3, 1}, {7, 8, 1, 1, 1}};
    for (size_t i = 0; i < CASES(rows); i++)
        for (unsigned threads = 1; threads <= 2; threads++) {
            struct remat_memory_savings s;
            struct remat_problem why = {0};
            const struct remat_savings_options options = {.heads = rows[i].heads,
                                                          .batch = rows[i].batch,
                                                          .execute = true,
                                                          .run = {.threads = threads, .witness = true}};
            cr_assert(remat_measure_memory_savings(rows[i].n, rows[i].d, rows[i].layers, &options, &s, &why), "%s %s",
                      why.where, why.detail);
            cr_assert_eq(s.measured.standard_memory_bytes, s.standard_memory_bytes, "row %zu: %lu, %lu", i,
                         s.measured.standard_memory_bytes, s.standard_memory_bytes);
            cr_assert_eq(s.measured.checkpointed_memory_bytes, s.checkpointed_memory_bytes);
            cr_assert_eq(s.measured.standard_peak_bytes, s.measured.standard_predicted_peak_bytes);
            cr_assert_eq(s.measured.checkpointed_peak_bytes, s.measured.checkpointed_predicted_peak_bytes);
            cr_assert_float_eq(s.measured.compute_overhead_pct, s.compute_overhead_pct, 1e-9);
            cr_assert(s.measured.identical);
        }
}

Test(MeasureMemorySavings, the_labs_laws) {
    struct remat_memory_savings one, two;
    cr_assert(remat_measure_memory_savings(1024, 256, 1, NULL, &one, NULL));
    for (uint64_t layers = 2; layers <= 24;
         layers++) { /* standard is linear in L; checkpointed grows by Q, K, V alone */
        cr_assert(remat_measure_memory_savings(1024, 256, layers, NULL, &two, NULL));
        cr_assert_eq(two.standard_memory_bytes, layers * one.standard_memory_bytes);
        cr_assert_eq(two.checkpointed_memory_bytes - layers * 3 * 1024 * 256 * 4, 1024u * 1024 * 4);
    }
    for (uint64_t n = 64; n <= 65536; n *= 2) { /* the N x N part quadruples */
        cr_assert(remat_measure_memory_savings(n, 64, 4, NULL, &one, NULL));
        cr_assert(remat_measure_memory_savings(2 * n, 64, 4, NULL, &two, NULL));
        cr_assert_eq(two.standard_memory_bytes - 4 * 3 * 2 * n * 64 * 4,
                     4 * (one.standard_memory_bytes - 4 * 3 * n * 64 * 4));
    }
}

Test(MeasureMemorySavings, bad_input_names_the_field) {
    const struct {
        uint64_t n, d, layers, heads;
        const char *where;
    } rows[] = {{0, 8, 1, 1, "/seq_len"},
                {8, 0, 1, 1, "/d_model"},
                {8, 8, 0, 1, "/num_layers"},
                {8, 8, 1, 3, "/heads"},
                {UINT64_MAX, 8, 1, 1, "/seq_len"},
                {8, UINT64_MAX, 1, 1, "/d_model"},
                {8, 8, UINT64_MAX, 1, "/num_layers"},
                {1ull << 32, 1ull << 32, 1000000, 1, "/seq_len"}};
    for (size_t i = 0; i < CASES(rows); i++) {
        struct remat_memory_savings s;
        struct remat_problem why = {0};
        const struct remat_savings_options options = {.heads = rows[i].heads};
        cr_assert_not(remat_measure_memory_savings(rows[i].n, rows[i].d, rows[i].layers, &options, &s, &why));
        cr_assert_str_eq(why.where, rows[i].where);
    }
}

/* ---- FlashTogether ---- */

Test(FlashTogether, flash_reduces_the_forward_and_checkpointing_the_backward) {
    for (uint64_t n = 1024; n <= 2048; n *= 2) {
        struct attention_case c = {1, 1, 1, n, n, 64, {.kernel = REMAT_STANDARD}, false};
        uint64_t saved[2][2];
        struct attention_run runs[2][2];
        for (int flash = 0; flash <= 1; flash++)
            for (int keep = 0; keep <= 1; keep++) {
                c.attention.kernel = flash ? REMAT_FLASH : REMAT_STANDARD;
                runs[flash][keep] = attention_run(&c, keep, 2);
                saved[flash][keep] = runs[flash][keep].report.saved_bytes;
                cr_assert_eq(runs[flash][keep].report.predicted_peak_bytes,
                             runs[flash][keep].report.measured_peak_bytes);
            }
        const uint64_t qkv = 3 * n * 64 * 4;
        cr_assert_eq(saved[0][1], qkv + n * n * 4, "standard");
        cr_assert_eq(saved[0][0], qkv, "checkpointed");
        cr_assert_eq(saved[1][1], qkv + n * 64 * 4 + n * 4, "flash");
        cr_assert_eq(saved[1][0], qkv, "flash_checkpointed");
        cr_assert(runs[1][1].report.measured_peak_bytes < runs[0][1].report.measured_peak_bytes);
        cr_assert(same(&runs[1][0].dq, &runs[1][1].dq) && same(&runs[0][0].dq, &runs[0][1].dq));
        float most = 0, off = 0;
        for (uint64_t i = 0; i < n * 64; i++) {
            most = fmaxf(most, fabsf(runs[0][1].o.data[i]));
            off = fmaxf(off, fabsf(runs[0][1].o.data[i] - runs[1][1].o.data[i]));
        }
        cr_assert(off <= 4e-6f * most, "flash and standard agree to rounding: %g of %g", (double)off, (double)most);
        for (int i = 0; i < 4; i++)
            attention_run_free(&runs[i / 2][i % 2]);
    }
}

/* ---- Strategies ---- */

#define LAYERS 5u

static const struct strategy named[] = {
    {.planner = &planner_standard},
    {.planner = &planner_every_layer},
    {.planner = &planner_every_n, .n = 2},
    {.planner = &planner_uniform, .segments = 2},
    {.planner = &planner_block, .k = 3},
    {.planner = &planner_selective, .selection = {.parts = PART_ATTENTION}},
    {.planner = &planner_selective, .selection = {.parts = PART_ATTENTION_CORE}},
    {.planner = &planner_selective, .selection = {.parts = PART_MLP}},
    {.planner = &planner_selective, .selection = {.parts = PART_NORM}},
    {.planner = &planner_selective, .selection = {.op_kinds = 1u << OP_GELU}},
    {.planner = &planner_selective, .selection = {.op_kinds = 1u << OP_GELU | 1u << OP_LINEAR}},
    {.planner = &planner_selective, .selection = {.parts = PART_ATTENTION, .op_kinds = 1u << OP_LAYER_NORM}},
};

Test(Strategies, every_strategy_gives_the_bits_of_standard) {
    for (unsigned kernel = 0; kernel < attn_table_length; kernel++)
        for (double p = 0; p < 0.3; p += 0.25) {
            struct arena a;
            struct graph g;
            struct stack stack;
            arena_init(&a, 0);
            support_transformer(&g, &stack, &a, LAYERS, 65, 32, &attn_table[kernel], p, 2);
            struct support_run standard = support_run(&g, &stack, &named[0], 1);
            for (size_t s = 0; s < CASES(named); s++)
                for (unsigned threads = 1; threads <= 2; threads++) {
                    struct support_run run = support_run(&g, &stack, &named[s], threads);
                    cr_assert(digest_same(run.digest, standard.digest), "%s, %s, dropout %g, %u threads",
                              named[s].planner->name, attn_table[kernel].name, p, threads);
                    cr_assert(run.report.measured_peak_bytes <= standard.report.measured_peak_bytes);
                    cr_assert(s == 0 || run.report.saved_bytes < standard.report.saved_bytes);
                }
            arena_free(&a);
        }
}

/* A strategy keeps what it says: every_n with n = 2 of 5 layers recomputes layers 0, 2, 4 and no other. */
Test(Strategies, each_recomputes_the_layers_and_parts_it_names) {
    const struct {
        struct strategy s;
        unsigned layers; /* bit per layer that may recompute */
        unsigned parts;  /* all recomputed ops have one of them; 0: any */
    } rows[] = {
        {{.planner = &planner_every_layer}, 0x1f, 0},
        {{.planner = &planner_every_n, .n = 2}, 0x15, 0},
        {{.planner = &planner_block, .k = 3}, 0x07, 0},
        {{.planner = &planner_uniform, .segments = 2}, 0x1f, 0},
        {{.planner = &planner_selective, .selection = {.parts = PART_ATTENTION}}, 0x1f, PART_ATTENTION},
        {{.planner = &planner_selective, .selection = {.parts = PART_ATTENTION_CORE}}, 0x1f, PART_ATTENTION_CORE},
    };
    struct arena a;
    struct graph g;
    struct stack stack;
    arena_init(&a, 0);
    support_transformer(&g, &stack, &a, LAYERS, 16, 16, &attn_table[ATTN_STANDARD], 0, 1);
    for (size_t r = 0; r < CASES(rows); r++) {
        struct plan p;
        struct problem why = {0};
        cr_assert(planner_plan(&g, &rows[r].s, &a, &p, &why));
        unsigned recomputed = 0;
        for (uint32_t i = p.turn; i < p.n_steps; i++) {
            const struct op *op = &g.ops[p.steps[i].of];
            if (p.steps[i].op != STEP_RUN)
                continue;
            recomputed |= 1u << op->layer;
            cr_assert(rows[r].parts == 0 || (op->parts & rows[r].parts), "row %zu recomputes %s", r, op->name);
        }
        cr_assert_eq(recomputed, rows[r].layers, "row %zu", r);
    }
    arena_free(&a);
}
