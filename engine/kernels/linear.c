/* linear.c - see linear.h. Three products, and the sum of a bias's gradient. */
#include "engine/kernels/linear.h"

#include "engine/base/units.h"
#include "engine/kernels/eltwise.h"
#include "engine/kernels/product.h"

uint64_t linear_forward_bytes(uint64_t rows, uint64_t out, unsigned threads) {
    return product_work_bytes(rows, out, threads);
}

uint64_t linear_backward_bytes(uint64_t rows, uint64_t in, uint64_t out, bool d_x, bool d_weight, unsigned threads) {
    return units_max(d_x ? product_work_bytes(rows, in, threads) : 0,
                     d_weight ? product_work_bytes(out, in, threads) : 0);
}

void linear_forward(const struct linear *l) {
    const struct product y = {.m = l->rows,
                              .n = l->out,
                              .k = l->in,
                              .a = gemm_part(l->x, 0, l->in, false),
                              .b = gemm_part(l->weight, 0, l->in, true),
                              .c = l->y,
                              .c_row = l->out,
                              .bias = l->bias};
    product_run(l->pool, &y, l->work);
}

void linear_backward(const struct linear *l) {
    const struct product d_x = {.m = l->rows,
                                .n = l->in,
                                .k = l->out,
                                .a = gemm_part(l->d_y, 0, l->out, false),
                                .b = gemm_part(l->weight, 0, l->in, false),
                                .c = l->d_x,
                                .c_row = l->in,
                                .sum = true};
    const struct product d_weight = {.m = l->out,
                                     .n = l->in,
                                     .k = l->rows,
                                     .a = gemm_part(l->d_y, 0, l->out, true),
                                     .b = gemm_part(l->x, 0, l->in, false),
                                     .c = l->d_weight,
                                     .c_row = l->in,
                                     .sum = true};
    if (l->d_x.at)
        product_run(l->pool, &d_x, l->work);
    if (l->d_weight.at)
        product_run(l->pool, &d_weight, l->work);
    if (l->d_bias.at)
        eltwise_rows_accumulate(l->pool, l->rows, l->out, l->d_y, l->d_bias);
}
