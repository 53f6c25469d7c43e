/* test_training_gradients.c - gradients of whole models against central differences of their loss, computed in doubles
 * by walking the graph with the references of its ops: judges how the model is put together, not only its ops.
 *
 * Of every parameter the weight with the largest gradient is looked at, and others at random. Bound: 1e-4 of the
 * largest gradient of the parameter and 2e-6 of the largest of the model. REMATD_TESTS_LONG=1 looks at more. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/units.h"
#include "tests/laws.h"
#include "tests/support_training.h"

static const double step = 1e-6; /* of a weight; short, for the kinks of relu */

/* ---- the walk ---- */

/* Every tensor of a graph in doubles; views are what they are views of. */
struct walk {
    const struct graph *g;
    double **values, *scratch;
};

static void walk_init(struct walk *w, const struct support_session *s) {
    const struct graph *g = w->g = s->plan->graph;
    uint64_t most = 1;
    w->values = calloc(g->n_tensors, sizeof *w->values);
    cr_assert(w->values);
    for (uint32_t t = 0; t < g->n_tensors; t++) {
        const struct tensor *x = &g->tensors[t];
        most = units_max(most, x->elements);
        if (x->storage != t)
            continue;
        w->values[t] = calloc(x->elements, sizeof(double));
        void *data = malloc(x->bytes);
        cr_assert(w->values[t] && data);
        if (x->role != TENSOR_MADE) {
            support_session_load(s, t, data);
            for (uint64_t i = 0; i < x->elements; i++)
                w->values[t][i] = x->dtype == DTYPE_INT32 ? ((int32_t *)data)[i] : (double)((float *)data)[i];
        }
        free(data);
    }
    w->scratch = malloc(most * sizeof(double));
    cr_assert(w->scratch);
}

static void walk_free(struct walk *w) {
    for (uint32_t t = 0; t < w->g->n_tensors; t++)
        free(w->values[t]);
    free(w->values);
    free(w->scratch);
}

static double walk_loss(struct walk *w) {
    for (uint32_t o = 0; o < w->g->n_ops; o++) {
        const struct op *op = &w->g->ops[o];
        const double *in[8];
        double *out[8];
        cr_assert(op->n_inputs <= 8 && op->n_results <= 8);
        for (uint32_t i = 0; i < op->n_inputs; i++)
            in[i] = w->values[op->reads[i]];
        for (uint32_t i = 0; i < op->n_results; i++)
            out[i] = w->values[op->outputs[i]];
        op_table[op->kind]->reference(w->g, op, in, out, w->scratch);
    }
    return w->values[model_loss(w->g)][0];
}

static double slope(struct walk *w, uint32_t parameter, uint64_t i) {
    double *at = &w->values[parameter][i];
    const double before = *at;
    *at = before + step;
    const double up = walk_loss(w);
    *at = before - step;
    const double down = walk_loss(w);
    *at = before;
    return (up - down) / (2 * step);
}

/* ---- comparing ---- */

static uint64_t largest_at(const float *x, uint64_t n) {
    uint64_t at = 0;
    for (uint64_t i = 1; i < n; i++)
        at = fabsf(x[i]) > fabsf(x[at]) ? i : at;
    return at;
}

static const float *gradient_of(const struct support_session *s, uint32_t parameter) {
    return exec_value(s->exec, s->plan->graph->n_tensors + parameter);
}

static double largest_of_model(const struct support_session *s) {
    const struct graph *g = s->plan->graph;
    double largest = 0;
    for (uint32_t t = 0; t < g->n_tensors; t++)
        if (g->tensors[t].role == TENSOR_PARAMETER && g->tensors[t].needs_grad) {
            const float *x = gradient_of(s, t);
            largest = fmax(largest, fabs((double)x[largest_at(x, g->tensors[t].elements)]));
        }
    return largest;
}

static void parameter_check(const char *model, const struct support_session *s, struct walk *w, uint32_t parameter,
                            double largest) {
    const struct tensor *t = &w->g->tensors[parameter];
    const float *x = gradient_of(s, parameter);
    const unsigned weights = getenv("REMATD_TESTS_LONG") ? 8 : 2;
    uint64_t random = parameter, at = largest_at(x, t->elements);
    const double most = 1e-4 * fabs((double)x[at]) + 2e-6 * largest;
    for (unsigned i = 0; i < weights; i++, at = laws_random(&random, t->elements)) {
        const double expected = slope(w, parameter, at);
        cr_assert(fabs((double)x[at] - expected) <= most, "%s: %s[%lu]: %.9g, by differences %.9g", model, t->name, at,
                  (double)x[at], expected);
    }
}

static void model_check_gradients(const struct support_model *m, double dropout) {
    struct arena a;
    struct graph g;
    struct plan plan;
    struct support_session s;
    struct train_step taken;
    struct walk w;
    struct problem why = {0};
    struct workload workload = support_workload_tiny(m);
    const struct support_training t = {.w = &workload};
    workload.dropout = dropout;
    arena_init(&a, 0);
    support_lower(&workload, &a, &g);
    cr_assert(planner_plan(&g, &(struct strategy){.planner = &planner_every_layer}, &a, &plan, &why));
    support_session_open(&s, &t, &plan);
    walk_init(&w, &s);
    const double loss = walk_loss(&w);
    cr_assert(train_step(&s.train, &taken, &why), "%s", why.detail);
    cr_assert(fabs(taken.loss - loss) <= 1e-6 * loss, "%s: loss %.9g, in doubles %.9g", m->name, taken.loss, loss);
    const double largest = largest_of_model(&s);
    for (uint32_t p = 0; p < g.n_tensors; p++)
        if (g.tensors[p].role == TENSOR_PARAMETER && g.tensors[p].needs_grad)
            parameter_check(m->name, &s, &w, p, largest);
    walk_free(&w);
    support_session_close(&s);
    arena_free(&a);
}

static void models_check_gradients(bool rare) {
#ifndef __SANITIZE_THREAD__ /* one thread: nothing to see, slowly */
    const unsigned n = support_models_length;
#else
    const unsigned n = 1;
#endif
    for (unsigned i = 0; i < n; i++)
        if (support_models[i].rare == rare)
            model_check_gradients(&support_models[i], i % 2 && rare ? 0 : 0.1);
}

Test(training, gradients_are_the_slopes_of_the_loss) {
    models_check_gradients(false);
}

Test(training, gradients_of_rare_models_are_the_slopes_of_the_loss) {
    models_check_gradients(true);
}
