/* train.c - see train.h */
#include "engine/exec/train.h"

#include <math.h>

bool train_init(struct train *t, const struct train_options *options, struct problem *why) {
    const struct optimizer *o = options->optimizer;
    *t = (struct train){.options = *options};
    return !o->steps || o->update ||
           problem_set(why, PROBLEM_UNSUPPORTED, "/optimizer", "%s is planned and not run yet", o->name);
}

static uint64_t now(const struct train *t) {
    return t->options.now_ns ? t->options.now_ns() : 0;
}

/* ---- forward and backward ---- */

/* One microbatch; its loss is added to *loss. */
static bool pass(struct train *t, double *loss, struct problem *why) {
    const struct train_options *o = &t->options;
    if (t->ran && !exec_rewind(o->exec, why))
        return false;
    t->ran = true;
    if (!exec_run(o->exec, o->plan->n_steps, why))
        return false;
    const float one = *(const float *)exec_value(o->exec, o->loss);
    *loss += (double)one / (double)o->accumulation;
    if (o->digest)
        t->digest = digest_add(t->digest, &one, sizeof one);
    return true;
}

static double gradient_norm(struct train *t) {
    const struct graph *g = t->options.plan->graph;
    double squares = 0;
    for (uint32_t p = 0; p < g->n_tensors; p++)
        if (graph_is_trained(g, p)) {
            const struct numbers gradient = exec_numbers(t->options.exec, g->n_tensors + p);
            squares += update_squares(t->options.pool, gradient, g->tensors[p].elements);
            if (t->options.digest)
                t->digest = digest_add(t->digest, gradient.at, g->tensors[p].bytes);
        }
    return sqrt(squares);
}

/* ---- the update ---- */

/* Where the optimizer's floats of one tensor are, in the order of the tensors: states, then the master copy. */
static float *states_place(const struct train *t, const struct tensor *p, float *next, struct update *u) {
    const uint64_t states = t->options.optimizer->state_bytes(p) / sizeof *next / p->elements;
    for (uint64_t s = 0; s < states; s++, next += p->elements)
        u->state[s] = next;
    if (u->parameter.narrow) {
        u->master = next;
        next += p->elements;
        if (t->step == 0)
            numbers_widen(u->parameter.at, p->elements, u->master);
    }
    return next;
}

static bool update(struct train *t, double norm, struct problem *why) {
    const struct train_options *o = &t->options;
    const struct graph *g = o->plan->graph;
    const bool clips = o->clip_norm > 0 && norm > o->clip_norm;
    float *next = exec_optimizer(o->exec);
    for (uint32_t p = 0; p < g->n_tensors; p++) {
        if (!graph_is_trained(g, p))
            continue;
        if (o->cancelled && o->cancelled(o->user))
            return problem_set(why, PROBLEM_CANCELLED, "", "cancelled in the update of step %llu",
                               (unsigned long long)t->step + 1);
        struct update u = {.n = g->tensors[p].elements,
                           .pool = o->pool,
                           .parameter = exec_numbers(o->exec, p),
                           .gradient = exec_numbers(o->exec, g->n_tensors + p),
                           .rule = o->rule,
                           .factor = clips ? (float)(o->clip_norm / norm) : 1,
                           .step = t->step + 1};
        next = states_place(t, &g->tensors[p], next, &u);
        o->optimizer->update(&u);
    }
    return true;
}

bool train_step(struct train *t, struct train_step *out, struct problem *why) {
    const struct train_options *o = &t->options;
    *out = (struct train_step){0};
    if (t->step > 0)
        exec_clear_gradients(o->exec);
    for (uint64_t i = 0; i < o->accumulation; i++)
        if (!pass(t, &out->loss, why))
            return false;
    const uint64_t start = now(t);
    out->gradient_norm = gradient_norm(t);
    if (o->optimizer->update && !update(t, out->gradient_norm, why))
        return false;
    t->update_ns += now(t) - start;
    t->step++;
    return true;
}
