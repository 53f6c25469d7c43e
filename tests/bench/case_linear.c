/* case_linear.c - a linear layer: forward with its bias, and each gradient, added into what is there; see cases.h */
#include <stdlib.h>

#include "engine/base/units.h"
#include "engine/kernels/linear.h"
#include "tests/bench/cases.h"

enum { TENSORS = 8 };

struct linear_case {
    float *tensors[TENSORS]; /* x weight bias d_y y d_x d_weight work */
    struct linear side[CASE_DIRECTIONS][CASE_THREADS];
    double flops;
};

static struct linear linear_of(const struct linear_case *c, enum case_direction direction) {
    float *const *t = c->tensors;
    struct linear l = {.x = numbers_float(t[0]), .weight = numbers_float(t[1]), .work = t[7]};
    if (direction == CASE_FORWARD) {
        l.bias = numbers_float(t[2]);
        l.y = numbers_float(t[4]);
        return l;
    }
    l.d_y = numbers_float(t[3]);
    if (direction == CASE_D_X)
        l.d_x = numbers_float(t[5]);
    else
        l.d_weight = numbers_float(t[6]);
    return l;
}

struct linear_case *linear_case_new(uint64_t rows, uint64_t in, uint64_t out, const struct case_pools *pools) {
    const uint64_t work = units_max(linear_forward_bytes(rows, out, CASE_THREADS),
                                    linear_backward_bytes(rows, in, out, true, true, CASE_THREADS));
    const uint64_t sizes[TENSORS] = {rows * in,  in * out,  out,      rows * out,
                                     rows * out, rows * in, in * out, work / sizeof(float) + 1};
    struct linear_case *c = calloc(1, sizeof *c);
    if (!c)
        exit(1);
    for (unsigned i = 0; i < TENSORS; i++)
        c->tensors[i] = bench_tensor_uniform(sizes[i], i + 1);
    for (unsigned d = 0; d < CASE_DIRECTIONS; d++)
        for (unsigned t = 0; t < CASE_THREADS; t++) {
            struct linear *l = &c->side[d][t];
            *l = linear_of(c, (enum case_direction)d);
            l->rows = rows;
            l->in = in;
            l->out = out;
            l->pool = pools->pool[t];
        }
    c->flops = 2.0 * (double)rows * (double)in * (double)out;
    return c;
}

void linear_case_free(struct linear_case *c) {
    for (unsigned i = 0; i < TENSORS; i++)
        free(c->tensors[i]);
    free(c);
}

static void forward(void *state) {
    linear_forward(state);
}

static void backward(void *state) {
    linear_backward(state);
}

struct bench_work linear_case_work(struct linear_case *c, enum case_direction direction, unsigned column) {
    return (struct bench_work){c->flops, direction == CASE_FORWARD ? forward : backward, &c->side[direction][column]};
}
