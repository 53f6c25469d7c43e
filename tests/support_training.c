/* support_training.c - see support_training.h */
#include "tests/support_training.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"

/* ---- loading ---- */

static uint32_t word_of(uint32_t input, uint64_t row, uint64_t place) {
    uint32_t words[4];
    rng_words(input, (uint32_t)place, (uint32_t)row, 0, RNG_DATA, words);
    return words[0];
}

static uint64_t bound_of(const struct model *m, const char *name) {
    if (strcmp(name, "token_types") == 0)
        return m->type_vocab;
    return m->family == MODEL_VISION ? m->classes : m->vocab;
}

static void ids_load(const struct support_session *s, uint32_t value, uint64_t row, int32_t *dst) {
    const struct tensor *t = &s->plan->graph->tensors[value];
    const bool targets = strcmp(t->name, "targets") == 0, drops = targets && !s->t->every_target;
    const uint64_t rows = t->shape[0], each = t->elements / rows;
    for (uint64_t i = 0; i < t->elements; i++) {
        const uint32_t word = word_of(value, row + i / each, i % each);
        dst[i] = (int32_t)(word % bound_of(&s->t->w->model, t->name));
        if (drops && each > 1 && word >> 16 < 0x10000 / 5)
            dst[i] = -100;
    }
}

static void numbers_put(const struct tensor *t, float *numbers, void *dst) {
    if (t->dtype == DTYPE_BFLOAT16)
        numbers_round(numbers, t->elements, dst);
    else
        memcpy(dst, numbers, t->bytes);
}

static bool ends_in(const char *name, const char *ending) {
    const size_t n = strlen(name), e = strlen(ending);
    return n >= e && strcmp(name + n - e, ending) == 0;
}

/* Norms around 1, biases around 0. */
static void weights_draw(const struct support_session *s, uint32_t value, float *dst) {
    const struct tensor *t = &s->plan->graph->tensors[value];
    const bool norm = ends_in(t->name, "norm.weight");
    rng_fill_normal(dst, t->elements, value, RNG_TENSOR, norm || ends_in(t->name, "bias") ? 0.1f : 0.16f);
    for (uint64_t i = 0; norm && i < t->elements; i++)
        dst[i] += 1 - (float)s->t->w->model.norm_offset;
}

void support_session_load(const struct support_session *s, uint32_t value, void *dst) {
    const struct tensor *t = &s->plan->graph->tensors[value];
    const uint64_t row = s->t->same_rows ? 0 : s->microbatch * s->t->w->batch;
    if (t->dtype == DTYPE_INT32) {
        ids_load(s, value, row, dst);
        return;
    }
    float *numbers = malloc(t->elements * sizeof *numbers);
    cr_assert(numbers);
    if (t->role == TENSOR_PARAMETER)
        weights_draw(s, value, numbers);
    else
        for (uint64_t b = 0, each = t->elements / t->shape[0]; b < t->shape[0]; b++)
            rng_fill_normal(numbers + b * each, each, row + b, RNG_DATA, 1);
    numbers_put(t, numbers, dst);
    free(numbers);
}

static bool load(void *user, uint32_t value, void *dst, struct problem *why) {
    const struct support_session *s = user;
    (void)why;
    if (value < s->plan->graph->n_tensors)
        support_session_load(s, value, dst);
    else
        *(float *)dst = 1 / (float)s->train.options.accumulation;
    return true;
}

/* ---- sessions ---- */

static bool cancelled(void *user) {
    struct support_session *s = user;
    return s->asked++ == s->cancel_at;
}

static void progress(void *user, uint32_t done, uint32_t total) {
    struct support_session *s = user;
    cr_assert(total == s->plan->n_steps && done == s->microbatch_steps + 1);
    s->microbatch_steps = done % total;
    s->microbatch += done == total;
    if (s->t->at_turn && done == s->plan->turn)
        s->t->at_turn(s);
}

static struct train_options train_options_of(struct support_session *s) {
    const struct workload *w = s->t->w;
    static const struct update_rule none;
    return (struct train_options){.exec = s->exec,
                                  .plan = s->plan,
                                  .pool = s->pool,
                                  .loss = model_loss(s->plan->graph),
                                  .accumulation = w->gradient_accumulation ? w->gradient_accumulation : 1,
                                  .optimizer = w->optimizer,
                                  .rule =
                                      memcmp(&s->t->rule, &none, sizeof none) == 0 ? w->optimizer->rule : s->t->rule,
                                  .clip_norm = s->t->clip_norm,
                                  .digest = true,
                                  .cancelled = cancelled,
                                  .user = s};
}

void support_session_open(struct support_session *s, const struct support_training *t, const struct plan *plan) {
    struct problem why = {0};
    *s = (struct support_session){.t = t, .plan = plan, .cancel_at = UINT64_MAX};
    s->slab = slab_new(&why);
    s->persistent = slab_new(&why);
    s->pool = pool_new(t->w->threads ? t->w->threads : 1, &why);
    cr_assert(s->slab && s->persistent && s->pool, "%s", why.detail);
    const struct exec_options options = {.pool = s->pool,
                                         .load = load,
                                         .user = s,
                                         .cancelled = cancelled,
                                         .progress = progress,
                                         .witness = true,
                                         .check_recompute = t->check_recompute};
    s->exec = exec_new(plan, s->slab, s->persistent, &options, &why);
    cr_assert(s->exec, "%s: %s", why.where, why.detail);
    const struct train_options of = train_options_of(s);
    cr_assert(train_init(&s->train, &of, &why), "%s: %s", why.where, why.detail);
}

void support_session_close(struct support_session *s) {
    exec_free(s->exec);
    pool_free(s->pool);
    slab_free(s->slab);
    slab_free(s->persistent);
}

/* ---- whole trainings ---- */

static bool is_parameter(const struct graph *g, uint32_t t, bool gradient) {
    return g->tensors[t].role == TENSOR_PARAMETER && (!gradient || g->tensors[t].needs_grad);
}

static void keep(const struct support_session *s, struct support_trained *out) {
    const struct graph *g = s->plan->graph;
    for (unsigned gradient = 0; gradient < 2; gradient++) {
        unsigned char *to = out->kept[gradient] = malloc(graph_persistent_bytes(g) + 1);
        cr_assert(to);
        for (uint32_t t = 0; t < g->n_tensors; t++)
            if (is_parameter(g, t, gradient)) {
                memcpy(to, exec_value(s->exec, t + (gradient ? g->n_tensors : 0)), g->tensors[t].bytes);
                to += g->tensors[t].bytes;
            }
    }
}

/* What was measured is what was planned, to the byte; times and FLOPs are sums over the passes. */
static void report_check(const struct exec_report *r, const struct plan *p, uint64_t passes) {
    cr_assert_eq(r->measured_peak_bytes, p->peak_bytes, "measured %lu, predicted %lu", r->measured_peak_bytes,
                 p->peak_bytes);
    cr_assert_eq(r->live_peak_bytes, p->live_peak_bytes);
    cr_assert_eq(r->retained_peak_bytes, p->retained_peak_bytes);
    cr_assert_eq(r->saved_bytes, p->saved_activations_bytes);
    cr_assert_eq(r->forward_flops, passes * p->forward_flops);
    cr_assert_eq(r->recompute_flops, passes * p->recompute_flops);
    cr_assert_eq(r->backward_flops, passes * p->backward_flops);
    cr_assert(r->touched_bytes <= p->slab_bytes, "touched %lu of %lu", r->touched_bytes, p->slab_bytes);
}

void support_train(const struct support_training *t, const struct plan *plan, struct support_trained *out) {
    struct support_session s;
    struct problem why = {0};
    *out = (struct support_trained){.kept = {NULL, NULL}};
    support_session_open(&s, t, plan);
    for (uint64_t i = 0; i < t->steps; i++) {
        struct train_step step;
        cr_assert(train_step(&s.train, &step, &why), "%s: %s", why.where, why.detail);
        out->losses[i] = step.loss;
        out->norms[i] = step.gradient_norm;
    }
    out->digest = s.train.digest;
    keep(&s, out);
    cr_assert(exec_finish(s.exec, &out->report, &why), "%s: %s", why.where, why.detail);
    report_check(&out->report, plan, s.microbatch);
    support_session_close(&s);
}

void support_trained_free(struct support_trained *t) {
    free(t->kept[0]);
    free(t->kept[1]);
}

bool support_trained_same(const struct graph *g, const struct support_trained *a, const struct support_trained *b,
                          uint64_t steps, const char **differs) {
    *differs = "a loss";
    if (memcmp(a->losses, b->losses, steps * sizeof *a->losses) != 0)
        return false;
    for (unsigned gradient = 2; gradient-- > 0;)
        for (uint64_t t = 0, at = 0; t < g->n_tensors; t++)
            if (is_parameter(g, (uint32_t)t, gradient)) {
                *differs = g->tensors[t].name;
                if (memcmp(a->kept[gradient] + at, b->kept[gradient] + at, g->tensors[t].bytes) != 0)
                    return false;
                at += g->tensors[t].bytes;
            }
    *differs = "a gradient of an earlier step";
    return digest_same(a->digest, b->digest) && memcmp(a->norms, b->norms, steps * sizeof *a->norms) == 0;
}
