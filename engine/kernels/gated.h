/* gated.h - y = activation(gate) up, in one pass. All n numbers long. */
#ifndef REMATD_KERNELS_GATED_H
#define REMATD_KERNELS_GATED_H

#include "engine/kernels/numbers.h"

struct pool;

/* The activations of act.h. */
enum gated_by { GATED_SILU, GATED_GELU, GATED_GELU_TANH, GATED_RELU };

struct gated {
    uint64_t n;
    enum gated_by by;
    struct pool *pool;
    struct numbers gate, up, y;
    struct numbers d_y, d_gate, d_up; /* the last two are added into; none where not wanted */
};

void gated_forward(const struct gated *g);
void gated_backward(const struct gated *g);

#endif
