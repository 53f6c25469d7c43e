/* op_route.c - which k experts each token goes to, and with what weight. Saves the choice and all probabilities.
 * A correction moves the choice alone: no gradient reaches it. */
#include <math.h>

#include "engine/base/units.h"
#include "engine/graph/op_rows.h"
#include "engine/kernels/route.h"

static bool route_check(const struct graph *g, const struct op *op, struct problem *why) {
    const struct tensor *x = op_input(g, op, 0);
    const uint64_t experts = x->rank ? x->shape[x->rank - 1] : 0, k = op->route.per_token;
    if (k == 0 || k > experts || experts > INT32_MAX)
        return problem_set(why, PROBLEM_LIMIT, "/per_token", "is %llu of %llu experts", (unsigned long long)k,
                           (unsigned long long)experts);
    if (op->route.groups > ROUTE_GROUPS_MAX || (op->route.groups && experts % op->route.groups))
        return problem_set(why, PROBLEM_LIMIT, "/groups", "is %llu of %llu experts",
                           (unsigned long long)op->route.groups, (unsigned long long)experts);
    if (op->route.groups && (op->route.kept_groups == 0 || op->route.kept_groups > op->route.groups ||
                             k > op->route.kept_groups * (experts / op->route.groups)))
        return problem_set(why, PROBLEM_LIMIT, "/kept_groups", "is %llu of %llu groups, for %llu experts a token",
                           (unsigned long long)op->route.kept_groups, (unsigned long long)op->route.groups,
                           (unsigned long long)k);
    if (op->n_inputs > 1 && !op_vector_check(g, op, 1, experts, why))
        return false;
    return isfinite(op->route.factor) || problem_set(why, PROBLEM_LIMIT, "/factor", "must be a finite number");
}

static bool shape(struct graph *g, struct op *op, struct problem *why) {
    if (!op_inputs_check(g, op, 1, 2, why) || !route_check(g, op, why))
        return false;
    const struct tensor x = *op_input(g, op, 0);
    const uint64_t experts = x.shape[x.rank - 1];
    const uint64_t chosen[] = {x.elements / experts, op->route.per_token}, all[] = {x.elements / experts, experts};
    uint32_t weights = graph_output(g, op, "weights", DTYPE_FLOAT32, 2, chosen, true, why);
    uint32_t ids =
        weights == GRAPH_NONE ? GRAPH_NONE : graph_output(g, op, "experts", DTYPE_INT32, 2, chosen, true, why);
    if (ids == GRAPH_NONE)
        return false;
    g->tensors[ids].needs_grad = false; /* which expert is no number to differentiate */
    uint32_t probabilities = graph_output(g, op, "probabilities", DTYPE_FLOAT32, 2, all, false, why);
    op->forward_flops = op->backward_flops = 5 * x.elements;
    return probabilities != GRAPH_NONE && graph_save(g, op, ids, why) && graph_save(g, op, probabilities, why);
}

static struct route route_of(const struct op_call *c) {
    const struct tensor *x = op_input(c->graph, c->op, 0);
    const struct op_route *spec = &c->op->route;
    const uint64_t experts = x->shape[x->rank - 1];
    return (struct route){.tokens = x->elements / experts,
                          .experts = experts,
                          .per_token = spec->per_token,
                          .normalise = spec->normalise,
                          .sigmoid = spec->sigmoid,
                          .factor = spec->factor != 0 ? spec->factor : 1,
                          .groups = spec->groups,
                          .kept_groups = spec->kept_groups,
                          .pool = c->pool,
                          .ids = c->outputs[1],
                          .probabilities = c->outputs[2]};
}

static bool forward(const struct op_call *c, struct problem *why) {
    struct route f = route_of(c);
    (void)why;
    f.logits = op_numbers_in(c, 0);
    if (c->op->n_inputs > 1)
        f.correction = op_numbers_in(c, 1);
    f.weights = op_out(c, 0);
    route_forward(&f);
    return true;
}

static bool backward(const struct op_call *c, struct problem *why) {
    struct route f = route_of(c);
    (void)why;
    f.d_weights = op_d_out(c, 0);
    f.d_logits = op_numbers_d_in(c, 0);
    if (f.d_logits.at)
        route_backward(&f);
    return true;
}

static void probabilities(const struct op *op, uint64_t experts, const double *logits, double *p) {
    double most = -INFINITY, sum = 0;
    for (uint64_t e = 0; e < experts; e++)
        most = fmax(most, logits[e]);
    for (uint64_t e = 0; e < experts; e++)
        sum += p[e] = op->route.sigmoid ? 1 / (1 + exp(-logits[e])) : exp(logits[e] - most);
    for (uint64_t e = 0; !op->route.sigmoid && e < experts; e++)
        p[e] /= sum;
}

/* Scores of experts in groups that are not among the best become -1. */
static void groups_drop(const struct op *op, uint64_t experts, bool corrected, double *score) {
    const uint64_t groups = op->route.groups, each = groups ? experts / groups : 0;
    double best[ROUTE_GROUPS_MAX];
    for (uint64_t g = 0; g < groups; g++) {
        double first = -INFINITY, second = -INFINITY;
        for (uint64_t e = g * each; e < (g + 1) * each; e++) {
            second = fmax(second, fmin(first, score[e]));
            first = fmax(first, score[e]);
        }
        best[g] = corrected && each > 1 ? first + second : first;
    }
    for (uint64_t g = 0; g < groups; g++) {
        uint64_t better = 0;
        for (uint64_t o = 0; o < groups; o++)
            better += best[o] > best[g] || (best[o] == best[g] && o < g);
        for (uint64_t e = g * each; better >= op->route.kept_groups && e < (g + 1) * each; e++)
            score[e] = -INFINITY;
    }
}

static void reference(const struct graph *g, const struct op *op, const double *const *in, double *const *out,
                      double *score) {
    const struct tensor *x = op_input(g, op, 0);
    const uint64_t experts = x->shape[x->rank - 1], k = op->route.per_token;
    for (uint64_t t = 0; t < x->elements / experts; t++) {
        double *weights = out[0] + t * k, *ids = out[1] + t * k, sum = 0;
        const double *correction = op->n_inputs > 1 ? in[1] : NULL;
        probabilities(op, experts, in[0] + t * experts, score);
        for (uint64_t e = 0; correction && e < experts; e++)
            score[e] += correction[e];
        groups_drop(op, experts, correction != NULL, score);
        for (uint64_t j = 0; j < k; j++) {
            uint64_t best = 0;
            for (uint64_t e = 1; e < experts; e++)
                best = score[e] > score[best] ? e : best;
            ids[j] = (double)best;
            sum += weights[j] = score[best] - (correction ? correction[best] : 0);
            score[best] = -INFINITY; /* taken */
        }
        const double factor = op->route.factor != 0 ? (double)op->route.factor : 1;
        for (uint64_t j = 0; j < k; j++)
            weights[j] *= factor / (op->route.normalise ? sum : 1);
    }
}

const struct op_row op_route_row = {
    .name = "route", .narrow = true, .shape = shape, .forward = forward, .backward = backward, .reference = reference};
