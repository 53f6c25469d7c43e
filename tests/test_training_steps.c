/* test_training_steps.c - what engine/exec/train.h and engine/models/init.h promise: microbatches, updates by their
 * formulas, clipping, cancelling anywhere, dropout by seed, weights by seed. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/models/init.h"
#include "tests/support_training.h"

/* A model lowered and planned. */
struct subject {
    struct arena arena;
    struct workload w;
    struct graph g;
    struct plan plan;
};

static void subject_make(struct subject *s, const struct workload *w, const struct planner *planner) {
    struct problem why = {0};
    arena_init(&s->arena, 0);
    s->w = *w;
    support_lower(&s->w, &s->arena, &s->g);
    cr_assert(planner_plan(&s->g, &(struct strategy){.planner = planner}, &s->arena, &s->plan, &why), "%s", why.detail);
}

static bool is_trained(const struct graph *g, uint32_t t) {
    return g->tensors[t].role == TENSOR_PARAMETER && g->tensors[t].needs_grad;
}

/* ---- microbatches ---- */

/* One after another, four microbatches of one sequence are a batch of four, but for the order of sums. */
Test(training, four_microbatches_are_a_batch_of_four) {
    for (unsigned m = 0; m < 5; m++) {
        struct subject whole, parts;
        struct support_trained a, b;
        struct workload w = support_workload(&support_models[m], 2);
        w.batch = 4;
        subject_make(&whole, &w, &planner_standard);
        w.batch = 1;
        w.gradient_accumulation = 4;
        subject_make(&parts, &w, &planner_every_layer);
        struct support_training t = {.w = &whole.w, .steps = 1, .every_target = true};
        support_train(&t, &whole.plan, &a);
        t.w = &parts.w;
        support_train(&t, &parts.plan, &b);
        const float *x = (const float *)(void *)a.kept[1], *y = (const float *)(void *)b.kept[1];
        double largest = 0, worst = 0;
        for (uint64_t i = 0; i < model_parameters(&whole.g); i++) {
            largest = fmax(largest, fabs((double)x[i]));
            worst = fmax(worst, fabs((double)x[i] - (double)y[i]));
        }
        cr_assert(largest > 0 && worst <= 1e-5 * largest, "%s: %g of %g", support_models[m].name, worst, largest);
        cr_assert(fabs(a.losses[0] - b.losses[0]) <= 1e-6 * a.losses[0], "%.9g, %.9g", a.losses[0], b.losses[0]);
        support_trained_free(&a);
        support_trained_free(&b);
        arena_free(&whole.arena);
        arena_free(&parts.arena);
    }
}

/* Gradients do not add up over steps: what is left of the second is what it is alone. */
Test(training, a_step_begins_from_nothing) {
    struct subject s;
    struct support_trained two;
    struct support_session alone;
    struct train_step step;
    struct problem why = {0};
    struct workload w = support_workload_tiny(&support_models[1]);
    w.gradient_accumulation = 2;
    subject_make(&s, &w, &planner_every_layer);
    const struct support_training t = {.w = &s.w, .steps = 2};
    support_train(&t, &s.plan, &two);
    support_session_open(&alone, &t, &s.plan);
    alone.microbatch = 2;
    cr_assert(train_step(&alone.train, &step, &why), "%s", why.detail);
    cr_assert(step.loss == two.losses[1] && step.loss != two.losses[0]);
    const unsigned char *gradients = two.kept[1];
    for (uint32_t p = 0; p < s.g.n_tensors; p++)
        if (is_trained(&s.g, p)) {
            const uint64_t bytes = s.g.tensors[p].bytes;
            cr_assert_eq(memcmp(gradients, exec_value(alone.exec, s.g.n_tensors + p), bytes), 0, "%s",
                         s.g.tensors[p].name);
            gradients += bytes;
        }
    support_session_close(&alone);
    support_trained_free(&two);
    arena_free(&s.arena);
}

/* ---- updates ---- */

/* A weight as the formulas have it. */
struct element {
    double p, m, v;
};

struct formula {
    struct update_rule rule;
    double step;      /* 1, 2, ... */
    double ambiguous; /* lion: a sign that rounding decides */
};

static void sgd(struct formula *f, struct element *e, double g) {
    e->p -= (double)f->rule.rate * (g + (double)f->rule.decay * e->p);
}

static void sgd_momentum(struct formula *f, struct element *e, double g) {
    e->m = (double)f->rule.momentum * e->m + g + (double)f->rule.decay * e->p;
    e->p -= (double)f->rule.rate * e->m;
}

static void adamw(struct formula *f, struct element *e, double g) {
    const double b1 = (double)f->rule.beta1, b2 = (double)f->rule.beta2, rate = (double)f->rule.rate;
    e->m = b1 * e->m + (1 - b1) * g;
    e->v = b2 * e->v + (1 - b2) * g * g;
    const double m = e->m / (1 - pow(b1, f->step)), v = e->v / (1 - pow(b2, f->step));
    e->p -= rate * (double)f->rule.decay * e->p + rate * m / (sqrt(v) + (double)f->rule.epsilon);
}

static void lion(struct formula *f, struct element *e, double g) {
    const double b1 = (double)f->rule.beta1, b2 = (double)f->rule.beta2;
    const double c = b1 * e->m + (1 - b1) * g;
    f->ambiguous = fabs(c) <= 1e-6 * (fabs(b1 * e->m) + fabs((1 - b1) * g));
    e->p -= (double)f->rule.rate * ((c > 0) - (c < 0) + (double)f->rule.decay * e->p);
    e->m = b2 * e->m + (1 - b2) * g;
}

static const struct {
    const char *name;
    void (*formula)(struct formula *f, struct element *e, double g);
    struct update_rule rule, slow; /* slow: a step is less than bfloat16 can show */
} optimizers[] = {
    {"sgd", sgd, {.rate = 0.5f, .decay = 0.1f}, {.rate = 0.05f, .decay = 0.1f}},
    {"sgd_momentum", sgd_momentum, {.rate = 0.2f, .decay = 0.1f, .momentum = 0.8f}, {.rate = 0.02f, .momentum = 0.9f}},
    {"adamw",
     adamw,
     {.rate = 0.01f, .beta1 = 0.8f, .beta2 = 0.95f, .epsilon = 1e-6f, .decay = 0.1f},
     {.rate = 2e-4f, .beta1 = 0.9f, .beta2 = 0.999f, .epsilon = 1e-6f, .decay = 0.01f}},
    {"lion",
     lion,
     {.rate = 0.01f, .beta1 = 0.8f, .beta2 = 0.9f, .decay = 0.1f},
     {.rate = 2e-4f, .beta1 = 0.9f, .beta2 = 0.99f}},
};
enum { OPTIMIZERS = sizeof optimizers / sizeof optimizers[0] };

struct judge {
    const struct subject *s;
    struct element *elements; /* of all trained parameters, one after another */
    struct formula formula;
    unsigned optimizer;
    double moved; /* the most that a weight is from where it began */
};

static double number(const struct support_session *s, uint32_t t, bool gradient, uint64_t i) {
    const struct graph *g = s->plan->graph;
    const struct numbers x = {exec_value(s->exec, t + (gradient ? g->n_tensors : 0)),
                              g->tensors[t].dtype == DTYPE_BFLOAT16};
    return (double)numbers_get(x, i);
}

static void judge_open(struct judge *j, const struct support_session *session) {
    const struct graph *g = &j->s->g;
    struct element *e = j->elements = calloc(model_parameters(g), sizeof *e);
    cr_assert(e);
    for (uint32_t t = 0; t < g->n_tensors; t++)
        for (uint64_t i = 0; is_trained(g, t) && i < g->tensors[t].elements; i++)
            (e++)->p = number(session, t, false, i);
}

static double norm_of(const struct support_session *s) {
    const struct graph *g = s->plan->graph;
    double squares = 0;
    for (uint32_t t = 0; t < g->n_tensors; t++)
        for (uint64_t i = 0; is_trained(g, t) && i < g->tensors[t].elements; i++)
            squares += number(s, t, true, i) * number(s, t, true, i);
    return sqrt(squares);
}

/* In bfloat16 a weight is its float32 master copy, rounded: half a last place off at most. */
static void weight_check(struct judge *j, const struct tensor *t, struct element *e, double have) {
    const double most = 1e-6 + (t->dtype == DTYPE_BFLOAT16 ? fabs(e->p) / 256 : 0);
    if (j->formula.ambiguous != 0 && t->dtype == DTYPE_FLOAT32)
        e->p = have;
    cr_assert(fabs(have - e->p) <= most, "%s, step %g: %s is %.9g, by the formula %.9g", optimizers[j->optimizer].name,
              j->formula.step, t->name, have, e->p);
}

static void step_judge(struct judge *j, const struct support_session *session, double factor) {
    const struct graph *g = &j->s->g;
    struct element *e = j->elements;
    j->formula.step++;
    for (uint32_t t = 0; t < g->n_tensors; t++)
        for (uint64_t i = 0; is_trained(g, t) && i < g->tensors[t].elements; i++, e++) {
            const double before = e->p;
            optimizers[j->optimizer].formula(&j->formula, e, factor * number(session, t, true, i));
            weight_check(j, &g->tensors[t], e, number(session, t, false, i));
            j->moved = fmax(j->moved, fabs(e->p - before));
        }
}

/* Every weight after every step; clip: the bound, 0 for none. */
static void optimizer_check(unsigned o, enum dtype dtype, double clip, uint64_t steps) {
    struct subject s;
    struct support_session session;
    struct workload w = support_workload_tiny(&support_models[1]);
    const bool narrow = dtype == DTYPE_BFLOAT16;
    w.optimizer = optimizer_find(optimizers[o].name);
    w.dtype = dtype;
    subject_make(&s, &w, &planner_every_layer);
    const struct support_training t = {
        .w = &s.w, .rule = narrow ? optimizers[o].slow : optimizers[o].rule, .clip_norm = clip};
    struct judge j = {.s = &s, .optimizer = o, .formula = {.rule = t.rule}};
    support_session_open(&session, &t, &s.plan);
    judge_open(&j, &session);
    for (uint64_t i = 0; i < steps; i++) {
        struct train_step step;
        struct problem why = {0};
        cr_assert(train_step(&session.train, &step, &why), "%s", why.detail);
        const double norm = norm_of(&session);
        cr_assert(fabs(step.gradient_norm - norm) <= 1e-9 * norm, "%.12g, %.12g", step.gradient_norm, norm);
        cr_assert(clip == 0 || (clip < 1) == (norm > clip), "clips at %g, the norm is %g", clip, norm);
        step_judge(&j, &session, clip > 0 && norm > clip ? clip / norm : 1);
    }
    cr_assert(j.moved > 1e-5, "nothing moved");
    free(j.elements);
    support_session_close(&session);
    arena_free(&s.arena);
}

Test(training, updates_are_by_their_formulas) {
    for (unsigned o = 0; o < OPTIMIZERS; o++) {
        optimizer_check(o, DTYPE_FLOAT32, 0, 3);
        optimizer_check(o, DTYPE_FLOAT32, 0.05, 3); /* clips */
        optimizer_check(o, DTYPE_FLOAT32, 1e6, 2);  /* does not */
    }
}

/* Steps too short for bfloat16 add up in the float32 copies. */
Test(training, narrow_weights_are_rounded_master_copies) {
    for (unsigned o = 0; o < OPTIMIZERS; o++) {
        optimizer_check(o, DTYPE_BFLOAT16, 0, 12);
        optimizer_check(o, DTYPE_BFLOAT16, 0.05, 3);
    }
}

Test(training, clipping_leaves_the_gradients_that_are_kept) {
    struct subject s;
    struct support_trained a, b;
    struct workload w = support_workload_tiny(&support_models[0]);
    w.optimizer = optimizer_find("sgd");
    subject_make(&s, &w, &planner_standard);
    struct support_training t = {.w = &s.w, .steps = 1};
    support_train(&t, &s.plan, &a);
    t.clip_norm = 1e-3;
    support_train(&t, &s.plan, &b);
    cr_assert_eq(memcmp(a.kept[1], b.kept[1], model_parameters(&s.g) * sizeof(float)), 0);
    cr_assert_neq(memcmp(a.kept[0], b.kept[0], model_parameters(&s.g) * sizeof(float)), 0);
    cr_assert(a.norms[0] == b.norms[0]);
    support_trained_free(&a);
    support_trained_free(&b);
    arena_free(&s.arena);
}

Test(training, optimizers_without_an_update_are_refused) {
    for (unsigned o = 0; o < optimizer_table_length; o++) {
        const struct train_options options = {.optimizer = &optimizer_table[o]};
        struct train t;
        struct problem why = {0};
        const bool steps = !optimizer_table[o].steps || optimizer_table[o].update;
        cr_assert_eq(train_init(&t, &options, &why), steps, "%s", optimizer_table[o].name);
        cr_assert(steps || (why.kind == PROBLEM_UNSUPPORTED && strcmp(why.where, "/optimizer") == 0));
    }
}

/* ---- stopping ---- */

Test(training, an_unfinished_run_does_not_rewind) {
    struct subject s;
    struct support_session session;
    struct exec_report report;
    struct workload w = support_workload_tiny(&support_models[0]);
    subject_make(&s, &w, &planner_every_layer);
    const struct support_training t = {.w = &s.w};
    const uint32_t untils[] = {0, 1, s.plan.turn, s.plan.n_steps - 1};
    for (unsigned i = 0; i < 4; i++) {
        struct problem none = {0}, why = {0};
        support_session_open(&session, &t, &s.plan);
        cr_assert(exec_run(session.exec, untils[i], &none), "%s", none.detail);
        cr_assert_not(exec_rewind(session.exec, &why));
        cr_assert_eq(why.kind, PROBLEM_STATE);
        cr_assert_not(exec_finish(session.exec, &report, &(struct problem){0}));
        cr_assert(exec_run(session.exec, s.plan.n_steps, &none), "%s", none.detail); /* it goes on all the same */
        cr_assert(exec_rewind(session.exec, &none), "%s", none.detail);
        cr_assert(exec_run(session.exec, s.plan.n_steps, &none), "%s", none.detail);
        cr_assert(exec_finish(session.exec, &report, &none), "%s", none.detail);
        support_session_close(&session);
    }
    arena_free(&s.arena);
}

static uint32_t trained_tensors(const struct graph *g) {
    uint32_t n = 0;
    for (uint32_t t = 0; t < g->n_tensors; t++)
        n += is_trained(g, t);
    return n;
}

/* Before every step of both passes of both steps, and between any two tensors of both updates. */
Test(training, cancels_anywhere) {
    struct subject s;
    struct workload w = support_workload_tiny(&support_models[1]);
    w.model.layers = 1;
    w.gradient_accumulation = 2;
    w.optimizer = optimizer_find("adamw");
    subject_make(&s, &w, &planner_every_layer);
    const struct support_training t = {.w = &s.w};
    const uint64_t each = 2 * s.plan.n_steps, updates = trained_tensors(&s.g), all = 2 * (each + updates);
    for (uint64_t at = 0; at <= all; at++) {
        struct support_session session;
        struct train_step step;
        struct problem why = {0};
        support_session_open(&session, &t, &s.plan);
        session.cancel_at = at;
        const bool ok = train_step(&session.train, &step, &why) && train_step(&session.train, &step, &why);
        cr_assert_eq(ok, at == all, "%lu of %lu", at, all);
        cr_assert_eq(session.asked, at + !ok);
        cr_assert_eq(session.train.step, at / (each + updates));
        if (!ok) {
            const bool updating = at % (each + updates) >= each;
            cr_assert_eq(why.kind, PROBLEM_CANCELLED, "%s", why.detail);
            cr_assert(updating == (strstr(why.detail, "update") != NULL), "%lu: %s", at, why.detail);
            cr_assert(updating || !train_step(&session.train, &step, &(struct problem){0}), "a failed run goes on");
        }
        support_session_close(&session);
    }
    arena_free(&s.arena);
}

/* ---- seeds ---- */

static double loss_of(const struct support_model *m, double dropout, uint64_t seed, const struct planner *planner) {
    struct subject s;
    struct support_trained out;
    struct workload w = support_workload_tiny(m);
    w.dropout = dropout;
    w.seed = seed;
    subject_make(&s, &w, planner);
    const struct support_training t = {.w = &s.w, .steps = 1, .check_recompute = true};
    support_train(&t, &s.plan, &out);
    support_trained_free(&out);
    arena_free(&s.arena);
    return out.losses[0];
}

Test(training, dropout_is_of_the_seed) {
    for (unsigned m = 0; m < support_models_length; m++) {
        const struct support_model *model = &support_models[m];
        const double loss = loss_of(model, 0.1, 7, &planner_standard);
        cr_assert(loss == loss_of(model, 0.1, 7, &planner_every_layer), "%s", model->name);
        cr_assert(loss != loss_of(model, 0.1, 8, &planner_standard), "%s", model->name);
        cr_assert(loss != loss_of(model, 0, 7, &planner_standard), "%s", model->name);
        cr_assert(loss_of(model, 0, 7, &planner_standard) == loss_of(model, 0, 8, &planner_standard));
    }
}

/* Without updates, and on the same tokens, each pass has masks of its own; the same ones in every run. */
Test(training, every_pass_draws_its_own_dropout) {
    for (unsigned m = 0; m < support_models_length; m++) {
        struct subject s;
        struct support_trained one, two;
        struct workload w = support_workload_tiny(&support_models[m]);
        w.dropout = 0.1;
        w.optimizer = optimizer_find("none");
        subject_make(&s, &w, &planner_every_layer);
        const struct support_training t = {.w = &s.w, .steps = 2, .check_recompute = true, .same_rows = true};
        support_train(&t, &s.plan, &one);
        support_train(&t, &s.plan, &two);
        cr_assert(one.losses[0] != one.losses[1], "%s", support_models[m].name);
        cr_assert(one.losses[0] == two.losses[0] && one.losses[1] == two.losses[1], "%s", support_models[m].name);
        support_trained_free(&one);
        support_trained_free(&two);
        arena_free(&s.arena);
    }
}

/* Deviation and mean of a parameter as init_fill makes it. */
static void init_check(const struct subject *s, uint32_t p, struct pool *pool) {
    const struct tensor *t = &s->g.tensors[p];
    const bool constant = strstr(t->name, "norm.weight") || strstr(t->name, "bias");
    const bool ends = strstr(t->name, "attention.out.weight") || strstr(t->name, "mlp.down.weight");
    const double deviation = ends ? 0.02 / sqrt(2 * (double)s->w.model.layers) : 0.02;
    float *x = malloc(t->bytes), *again = malloc(t->bytes), *other = malloc(t->bytes);
    double sum = 0, squares = 0;
    cr_assert(x && again && other);
    init_fill(&s->w, &s->g, p, 3, NULL, x);
    init_fill(&s->w, &s->g, p, 3, pool, again);
    init_fill(&s->w, &s->g, p, 4, NULL, other);
    cr_assert_eq(memcmp(x, again, t->bytes), 0, "%s: threads show", t->name);
    cr_assert_eq(memcmp(x, other, t->bytes) == 0, constant, "%s: seeds", t->name);
    for (uint64_t i = 0; i < t->elements; i++) {
        sum += (double)x[i];
        squares += (double)x[i] * (double)x[i];
        cr_assert(constant ? (double)x[i] == (strstr(t->name, "bias") ? 0 : 1)
                           : fabs((double)x[i]) <= 1.0001 * sqrt(3) * deviation,
                  "%s", t->name);
    }
    const double n = (double)t->elements;
    cr_assert(constant || (fabs(sqrt(squares / n) - deviation) <= 3 * deviation / sqrt(n) &&
                           fabs(sum / n) <= 5 * deviation / sqrt(n)),
              "%s: mean %g, deviation %g", t->name, sum / n, sqrt(squares / n));
    free(x);
    free(again);
    free(other);
}

Test(training, weights_are_of_the_seed) {
    struct problem why = {0};
    struct pool *pool = pool_new(3, &why);
    for (unsigned m = 0; m < 5; m++) {
        struct subject s;
        const struct workload w = support_workload(&support_models[m], 2);
        subject_make(&s, &w, &planner_standard);
        for (uint32_t p = 0; p < s.g.n_tensors; p++)
            if (s.g.tensors[p].role == TENSOR_PARAMETER && strstr(s.g.tensors[p].name, "experts.down") == NULL)
                init_check(&s, p, pool);
        arena_free(&s.arena);
    }
    pool_free(pool);
}
