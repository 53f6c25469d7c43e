/* megatron.h - the closed forms of Korthikanti et al. 2022 (arXiv 2205.05198): activation bytes of a transformer layer
 * in 16-bit Megatron-LM under tensor, sequence and pipeline parallelism. Pure functions.
 *
 * Per layer, s tokens, b sequences, h hidden, a heads, t-way tensor parallel (Table 2):
 *   no recomputation                 s b h (10 + 24/t + 5 a s / (h t))
 *   ... with sequence parallel       s b h / t (34 + 5 a s / h)
 *   selective (attention core)       the same without the 5 a s / h term
 *   full (each layer)                2 s b h
 * times L layers' worth on the first pipeline stage, times 1 + (p - 1) / (p m) where m > 1 chunks interleave. Without
 * dropout the masks go (2 s b h of the 10 or 34), and 3 of the 5. */
#ifndef REMATD_MODELS_MEGATRON_H
#define REMATD_MODELS_MEGATRON_H

#include "engine/models/model.h"

struct megatron {
    uint64_t tensor, pipeline, pipeline_chunks; /* 0: 1 */
    bool sequence;
    enum { MEGATRON_NONE, MEGATRON_SELECTIVE, MEGATRON_FULL } recompute;
};

struct megatron_bytes {
    uint64_t parameters_bytes, gradients_bytes, optimizer_bytes; /* 18 bytes x 12 L h^2 / (t p), as the paper counts */
    uint64_t saved_activations_bytes;                            /* of a device of the first stage */
};

/* The paper's layer alone: LayerNorm, GELU of width 4 h, one key head a head, no experts, 16-bit, attention that keeps
 * its weights. Anything else is PROBLEM_UNSUPPORTED by field; sizes that do not divide are PROBLEM_SHAPE. */
PROBLEM_MUST_CHECK bool megatron_measure(const struct workload *w, const struct megatron *p, struct megatron_bytes *out,
                                         struct problem *why);

#endif
