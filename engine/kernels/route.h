/* route.h - which experts a token goes to, and with what weight: the k of E with the largest probability.
 *
 *   p = softmax(logits) over all E, or sigmoid of each;  w_j = factor p[i_j], or factor p[i_j] / sum over j of p[i_j]
 *
 * A correction is added to p where experts are chosen, not in their weights. Of groups of neighbours the best are kept,
 * by the largest of that sum in a group, or of corrected ones by the two largest together (DeepSeek's V2 and V3).
 *
 * Chosen experts come by falling probability, ties by rising number; a NaN is less than any number, so that k different
 * experts are chosen whatever the logits are. */
#ifndef REMATD_KERNELS_ROUTE_H
#define REMATD_KERNELS_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/kernels/numbers.h"

struct pool;

enum { ROUTE_GROUPS_MAX = 64 };

struct route {
    uint64_t tokens, experts, per_token; /* 1 <= per_token <= experts <= 2^31 - 1 */
    uint64_t groups, kept_groups;        /* groups 0: all; each has as many experts */
    bool normalise, sigmoid;
    float factor;
    struct pool *pool;
    struct numbers logits, correction; /* [tokens][experts], [experts]; no correction: at NULL */
    float *probabilities;              /* [tokens][experts]; backward: read */
    int32_t *ids;                      /* [tokens][per_token]; backward: read */
    float *weights;                    /* [tokens][per_token] */
    const float *d_weights;
    struct numbers d_logits; /* added into */
};

void route_forward(const struct route *f);
void route_backward(const struct route *f);

#endif
