/* route.c - see route.h */
#include "engine/kernels/route.h"

#include <float.h>
#include <stddef.h>

#include "engine/base/pool.h"
#include "engine/base/units.h"
#include "engine/kernels/tile.h"

enum { TOKENS = 16 };

static void probabilities(const struct route *f, const struct tile *tile, uint64_t t) {
    float *p = f->probabilities + t * f->experts;
    const float *logits = numbers_read(f->logits, t * f->experts, f->experts, p);
    if (!f->sigmoid) {
        tile->softmax(f->experts, logits, p);
        return;
    }
    float rest[NUMBERS_BLOCK];
    for (uint64_t e = 0; e < f->experts; e += NUMBERS_BLOCK)
        tile->sigmoid(units_min(NUMBERS_BLOCK, f->experts - e), logits + e, p + e, rest);
}

/* What an expert is chosen by; below every number where it is a NaN, so that any two can be compared. */
static float rank_of(const struct route *f, const float *p, uint64_t e) {
    float correction;
    const float rank = f->correction.at ? p[e] + *numbers_read(f->correction, e, 1, &correction) : p[e];
    return rank >= -FLT_MAX ? rank : -FLT_MAX;
}

/* The largest of a group, or its two largest. */
static float group_rank(const struct route *f, const float *p, uint64_t group) {
    const uint64_t each = f->experts / f->groups;
    float first = -FLT_MAX, second = -FLT_MAX;
    for (uint64_t e = group * each; e < (group + 1) * each; e++) {
        const float rank = rank_of(f, p, e);
        if (rank > first) {
            second = first;
            first = rank;
        } else if (rank > second) {
            second = rank;
        }
    }
    return f->correction.at && each > 1 ? first + second : first;
}

/* One bit a group; all where there are none. */
static uint64_t groups_kept(const struct route *f, const float *p) {
    float ranks[ROUTE_GROUPS_MAX];
    uint64_t kept = 0;
    if (f->groups == 0)
        return UINT64_MAX;
    for (uint64_t g = 0; g < f->groups; g++)
        ranks[g] = group_rank(f, p, g);
    for (uint64_t n = 0; n < f->kept_groups; n++) {
        uint64_t best = f->groups;
        for (uint64_t g = 0; g < f->groups; g++)
            if (!(kept >> g & 1) && (best == f->groups || ranks[g] > ranks[best]))
                best = g;
        kept |= (uint64_t)1 << best;
    }
    return kept;
}

static void choose(const struct route *f, const float *p, int32_t *ids) {
    const uint64_t kept = groups_kept(f, p), each = f->groups ? f->experts / f->groups : f->experts;
    uint64_t n = 0;
    for (uint64_t e = 0; e < f->experts; e++) {
        const float rank = rank_of(f, p, e);
        if (!(kept >> e / each & 1) || (n == f->per_token && rank_of(f, p, (uint64_t)ids[n - 1]) >= rank))
            continue;
        uint64_t at = n < f->per_token ? n++ : n - 1;
        for (; at > 0 && rank_of(f, p, (uint64_t)ids[at - 1]) < rank; at--)
            ids[at] = ids[at - 1];
        ids[at] = (int32_t)e;
    }
}

static float chosen_sum(const struct route *f, const float *p, const int32_t *ids) {
    float sum = 0;
    for (uint64_t j = 0; j < f->per_token; j++)
        sum += p[ids[j]];
    return sum;
}

static void forward_task(void *arg, uint64_t index, unsigned slot) {
    const struct route *f = arg;
    const struct tile *tile = tile_best();
    (void)slot;
    for (uint64_t t = index * TOKENS; t < units_min(f->tokens, (index + 1) * TOKENS); t++) {
        const float *p = f->probabilities + t * f->experts;
        int32_t *ids = f->ids + t * f->per_token;
        float *weights = f->weights + t * f->per_token;
        probabilities(f, tile, t);
        choose(f, p, ids);
        const float sum = f->normalise ? chosen_sum(f, p, ids) : 1;
        for (uint64_t j = 0; j < f->per_token; j++)
            weights[j] = sum == 0 ? 0 : f->factor * (p[ids[j]] / sum);
    }
}

void route_forward(const struct route *f) {
    pool_run(f->pool, units_ceil_div(f->tokens, TOKENS), forward_task, (void *)f);
}

/* With s the sum weights are divided by (1: none): d_p[i_j] = factor / s (d_w_j - mean), where mean = sum over j of
 * d_w_j p[i_j] / s if divided, else 0. */
struct slope {
    float scale, mean;
    float inner; /* of d_p and p: what softmax takes from each. Dividing by the sum makes it 0 */
};

static struct slope slope_of(const struct route *f, const float *p, const int32_t *ids, const float *d_weights) {
    const float sum = f->normalise ? chosen_sum(f, p, ids) : 1;
    float along = 0;
    for (uint64_t j = 0; j < f->per_token && sum != 0; j++)
        along += d_weights[j] * (p[ids[j]] / sum); /* of one expert alone: d_w, and its slope is exactly 0 */
    const float scale = sum == 0 ? 0 : f->factor / sum;
    return (struct slope){scale, f->normalise ? along : 0, f->normalise || f->sigmoid ? 0 : scale * along};
}

/* d_logits of experts [from, from + n) of one token */
static void d_logits(const struct route *f, uint64_t t, struct slope s, uint64_t from, uint64_t n) {
    const float *p = f->probabilities + t * f->experts;
    float buffer[NUMBERS_BLOCK], *d = numbers_open_sum(f->d_logits, t * f->experts + from, n, buffer);
    for (uint64_t c = 0; c < n && s.inner != 0; c++)
        d[c] -= p[from + c] * s.inner;
    for (uint64_t j = t * f->per_token; j < (t + 1) * f->per_token; j++) {
        const uint64_t e = (uint64_t)f->ids[j];
        if (e < from || e >= from + n)
            continue;
        const float d_p = s.scale * (f->d_weights[j] - s.mean);
        d[e - from] += d_p * p[e] * (f->sigmoid ? 1 - p[e] : 1);
    }
    numbers_close(f->d_logits, t * f->experts + from, n, buffer);
}

static void backward_task(void *arg, uint64_t index, unsigned slot) {
    const struct route *f = arg;
    (void)slot;
    for (uint64_t t = index * TOKENS; t < units_min(f->tokens, (index + 1) * TOKENS); t++) {
        const uint64_t at = t * f->per_token;
        struct slope s = slope_of(f, f->probabilities + t * f->experts, f->ids + at, f->d_weights + at);
        for (uint64_t from = 0; from < f->experts; from += NUMBERS_BLOCK)
            d_logits(f, t, s, from, units_min(NUMBERS_BLOCK, f->experts - from));
    }
}

void route_backward(const struct route *f) {
    pool_run(f->pool, units_ceil_div(f->tokens, TOKENS), backward_task, (void *)f);
}
