/* lower_rotary.c - positions as rotations: how fast each pair of a head turns, by the model's rule. Steps are rounded
 * to float32 where the framework's are. */
#include <math.h>

#include "engine/models/lower.h"

static const double tau = 6.283185307179586;

static double theta_of(const struct model_rope *r) {
    return r->theta > 0 ? r->theta : 10000;
}

static float slower(const struct model_rope *r) {
    return r->factor > 0 ? (float)r->factor : 1;
}

static double positions_of(const struct model *m, const struct model_rope *r) {
    return r->original_positions > 0 ? r->original_positions : (double)m->max_positions;
}

static float plain(const struct model_rope *r, uint64_t pair, uint64_t dim) {
    return powf((float)theta_of(r), (float)(2 * pair) / (float)dim);
}

static void linear(const struct lowering *l, const struct model_rope *r, uint64_t dim, float *f) {
    (void)l;
    for (uint64_t i = 0; i < dim / 2; i++)
        f[i] = 1 / plain(r, i, dim) / slower(r);
}

/* Pairs that turn more than `high` times in the first training's positions stay, fewer than `low` times slow down. */
static void llama3(const struct lowering *l, const struct model_rope *r, uint64_t dim, float *f) {
    const float positions = (float)positions_of(l->m, r), low = (float)r->low, high = (float)r->high;
    for (uint64_t i = 0; i < dim / 2; i++) {
        f[i] = 1 / plain(r, i, dim);
        const float length = (float)tau / f[i], slow = f[i] / slower(r);
        const float keep = (positions / length - low) / (high - low);
        if (length > positions / low)
            f[i] = slow;
        else if (!(length < positions / high))
            f[i] = (1 - keep) * slow + keep * f[i];
    }
}

/* The pair that turns so many times in the first training's positions. */
static double pair_turning(double turns, double positions, double theta, uint64_t dim) {
    return (double)dim * log(positions / (turns * tau)) / (2 * log(theta));
}

static void yarn(const struct lowering *l, const struct model_rope *r, uint64_t dim, float *f) {
    const double positions = positions_of(l->m, r), theta = theta_of(r);
    double first = pair_turning(r->high > 0 ? r->high : 32, positions, theta, dim);
    double last = pair_turning(r->low > 0 ? r->low : 1, positions, theta, dim);
    if (!r->exact_ramp) {
        first = floor(first);
        last = ceil(last);
    }
    first = fmax(first, 0);
    last = fmin(last, (double)dim - 1);
    if (first == last)
        last += 0.001;
    for (uint64_t i = 0; i < dim / 2; i++) {
        const float ramp = fminf(fmaxf(((float)i - (float)first) / (float)(last - first), 0), 1), keep = 1 - ramp;
        const float p = plain(r, i, dim);
        f[i] = 1 / (slower(r) * p) * (1 - keep) + 1 / p * keep;
    }
}

static void unscaled(const struct lowering *l, const struct model_rope *r, uint64_t dim, float *f) {
    (void)l;
    for (uint64_t i = 0; i < dim / 2; i++)
        f[i] = 1 / plain(r, i, dim);
}

static void dynamic(const struct lowering *l, const struct model_rope *r, uint64_t dim, float *f) {
    const double most = (double)l->m->max_positions, length = fmax((double)l->w->seq_len, most);
    const double factor = r->factor > 0 ? r->factor : 1, share = (double)dim / ((double)dim - 2);
    struct model_rope grown = *r;
    if (dim > 2)
        grown.theta = theta_of(r) * pow(factor * length / most - (factor - 1), share);
    unscaled(l, &grown, dim, f);
}

static void longer(const struct lowering *l, const struct model_rope *r, uint64_t dim, float *f) {
    const bool past = (double)l->w->seq_len > positions_of(l->m, r);
    const float *stretch = past ? l->m->rope_stretch.past : l->m->rope_stretch.within;
    for (uint64_t i = 0; i < dim / 2; i++) /* models without a number for every pair do not run (model_runs) */
        f[i] = i < l->m->rope_stretch.pairs ? 1 / (stretch[i] * plain(r, i, dim)) : 1 / plain(r, i, dim);
}

static float long_factor(const struct model *m, const struct model_rope *r) {
    const double positions = positions_of(m, r),
                 factor = r->factor > 0 ? r->factor : (double)m->max_positions / positions;
    return factor > 1 ? (float)sqrt(1 + log(factor) / log(positions)) : 1;
}

/* Of cosine and sine. */
static float factor_of(const struct model *m, const struct model_rope *r) {
    if (r->scaling == MODEL_ROPE_LONG && !(r->attention_factor > 0))
        return long_factor(m, r);
    if (r->scaling != MODEL_ROPE_YARN || r->attention_factor > 0)
        return (float)r->attention_factor;
    if (r->magnitude > 0 && r->magnitude_all > 0)
        return (float)(model_rope_magnitude(r->factor, r->magnitude) /
                       model_rope_magnitude(r->factor, r->magnitude_all));
    return (float)model_rope_magnitude(r->factor, 1);
}

uint32_t lower_rotary(struct lowering *l, const char *name, uint32_t x, uint64_t heads) {
    static void (*const rules[])(const struct lowering *, const struct model_rope *, uint64_t, float *) = {
        [MODEL_ROPE_PLAIN] = unscaled, [MODEL_ROPE_LINEAR] = linear,   [MODEL_ROPE_LLAMA3] = llama3,
        [MODEL_ROPE_YARN] = yarn,      [MODEL_ROPE_DYNAMIC] = dynamic, [MODEL_ROPE_LONG] = longer};
    const struct model *m = l->m;
    const bool near = m->rope_near.theta > 0 && lower_windowed(l);
    const struct model_rope *r = near ? &m->rope_near : &m->rope;
    const uint64_t dim = model_rotary_dim(m, l->head_dim);
    if (m->positions != MODEL_ROTARY || x == GRAPH_NONE)
        return x;
    if (dim == 0) /* heads too narrow to have a pair: planned, and model_runs says so */
        return lower_op(l, name, (struct op){.kind = OP_ROTARY}, &x, 1);
    if (!l->rope[near].frequencies) {
        float *f = arena_new(l->g->arena, float, dim / 2, l->why);
        if (!f)
            return GRAPH_NONE;
        rules[r->scaling](l, r, dim, f);
        l->rope[near].frequencies = f;
        l->rope[near].factor = factor_of(m, r);
    }
    const struct op op = {.kind = OP_ROTARY,
                          .rotary = {.heads = heads,
                                     .dim = dim,
                                     .last = m->latent.kv_rank != 0,
                                     .interleaved = m->rotary_interleaved,
                                     .frequencies = l->rope[near].frequencies,
                                     .factor = l->rope[near].factor}};
    return lower_op(l, name, op, &x, 1);
}
