/* bench_linear.c - GFLOP/s of the products of a linear layer, beside the same product as one call of OpenBLAS.
 *
 *   bench_linear [threads] [rounds] [name of a shape]
 *
 * For each shape: forward (with bias), d_x and d_weight (added into what is there), at GPT-2 small's sizes. `ours` runs
 * on a pool, `blas` is one cblas_sgemm that OpenBLAS shares out itself, `square` one product of 768^3 on one thread in
 * the same rounds. Least time of the rounds: on the clock, and ("p") of processor time of all threads together, which
 * tells what cutting costs on machines that are shared. The last columns are ours over blas, time by time. */
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/pool.h"
#include "engine/base/rng.h"
#include "engine/base/units.h"
#include "engine/kernels/linear.h"
#include "tests/bench/bench.h"

enum { SQUARE = 768, FORWARD = 0, D_X, D_WEIGHT, DIRECTIONS };
static const char *const direction_names[] = {"forward", "d_x", "d_weight"};

static const struct {
    const char *name;
    uint64_t in, out;
} shapes[] = {{"768>768", 768, 768},
              {"768>2304", 768, 2304},
              {"768>3072", 768, 3072},
              {"3072>768", 3072, 768},
              {"768>50257", 768, 50257}};

struct least {
    double clock, processor, start_clock, start_processor;
};

static void begin(struct least *l) {
    l->start_clock = bench_now();
    l->start_processor = bench_processor();
}

static void end(struct least *l) {
    double clock = bench_now() - l->start_clock;
    double processor = bench_processor() - l->start_processor;
    if (l->clock == 0 || clock < l->clock)
        l->clock = clock;
    if (l->processor == 0 || processor < l->processor)
        l->processor = processor;
}

static void ours(struct linear l, int direction) {
    if (direction == FORWARD) {
        linear_forward(&l);
        return;
    }
    l.d_bias.at = NULL;
    (direction == D_X ? &l.d_weight : &l.d_x)->at = NULL;
    linear_backward(&l);
}

static void sgemm(uint64_t m, uint64_t n, uint64_t k, const float *a, uint64_t a_row, bool a_turned, const float *b,
                  uint64_t b_row, bool b_turned, float beta, float *c) {
    cblas_sgemm(CblasRowMajor, a_turned ? CblasTrans : CblasNoTrans, b_turned ? CblasTrans : CblasNoTrans, (int)m,
                (int)n, (int)k, 1, a, (int)a_row, b, (int)b_row, beta, c, (int)n);
}

static void blas(const struct linear *l, int direction) {
    const uint64_t rows = l->rows, in = l->in, out = l->out;
    const float *x = l->x.at, *d_y = l->d_y.at, *weight = l->weight.at;
    float *y = l->y.at;
    if (direction == FORWARD) {
        for (uint64_t r = 0; r < rows; r++)
            memcpy(y + r * out, l->bias.at, out * sizeof *y);
        sgemm(rows, out, in, x, in, false, weight, in, true, 1, y);
    } else if (direction == D_X) {
        sgemm(rows, in, out, d_y, out, false, weight, in, false, 1, l->d_x.at);
    } else {
        sgemm(out, in, rows, d_y, out, true, x, in, false, 1, l->d_weight.at);
    }
}

static void square(struct least *l, float *abc) {
    const uint64_t size = SQUARE * SQUARE;
    begin(l);
    sgemm(SQUARE, SQUARE, SQUARE, abc, SQUARE, false, abc + size, SQUARE, false, 0, abc + 2 * size);
    end(l);
}

static void line(const char *name, struct linear l, unsigned threads, unsigned rounds, float *abc) {
    const double flops = 2e-9 * (double)l.rows * (double)l.in * (double)l.out;
    for (int direction = 0; direction < DIRECTIONS; direction++) {
        struct least a = {0}, b = {0}, s = {0};
        for (unsigned r = 0; r < rounds; r++) {
            square(&s, abc);
            begin(&a);
            ours(l, direction);
            end(&a);
            openblas_set_num_threads((int)threads);
            begin(&b);
            blas(&l, direction);
            end(&b);
            openblas_set_num_threads(1);
        }
        const double square_flops = 2e-9 * SQUARE * SQUARE * SQUARE;
        printf("%-10s %5lu %-9s %7.1f %7.1f %7.1f %8.1f %7.1f %7.1f %7.2f %7.2f\n", name, l.rows,
               direction_names[direction], flops / a.clock, flops / b.clock, square_flops / s.clock,
               flops / a.processor, flops / b.processor, square_flops / s.processor, a.clock / b.clock,
               a.processor / b.processor);
        fflush(stdout);
    }
}

static void shape(const char *name, uint64_t rows, uint64_t in, uint64_t out, struct pool *pool, unsigned rounds,
                  float *abc) {
    float *x = bench_tensor_uniform(rows * in, 1), *weight = bench_tensor_uniform(in * out, 2),
          *bias = bench_tensor_uniform(out, 3), *d_y = bench_tensor_uniform(rows * out, 4);
    float *y = bench_tensor_uniform(rows * out, 5), *d_x = bench_tensor_uniform(rows * in, 6),
          *d_weight = bench_tensor_uniform(in * out, 7);
    const struct linear l = {.rows = rows,
                             .in = in,
                             .out = out,
                             .pool = pool,
                             .x = numbers_float(x),
                             .weight = numbers_float(weight),
                             .bias = numbers_float(bias),
                             .y = numbers_float(y),
                             .d_y = numbers_float(d_y),
                             .d_x = numbers_float(d_x),
                             .d_weight = numbers_float(d_weight)};
    line(name, l, pool_threads(pool), rounds, abc);
    float *all[] = {x, weight, bias, d_y, y, d_x, d_weight};
    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
}

int main(int argc, char **argv) {
    const unsigned threads = argc > 1 ? (unsigned)atoi(argv[1]) : 1, rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 9;
    struct problem why = {0};
    struct pool *pool = threads && rounds ? pool_new(threads, &why) : NULL;
    if (!pool) {
        fprintf(stderr, "usage: bench_linear [threads] [rounds] [name of a shape]\n");
        return 2;
    }
    float *abc = bench_tensor_uniform(3 * SQUARE * SQUARE, 8);
    printf("GFLOP/s, best of %u rounds, %u threads, OpenBLAS for %s\n%-10s %5s %-9s %7s %7s %7s %8s %7s %7s %7s %7s\n",
           rounds, threads, openblas_get_corename(), "shape", "rows", "", "ours", "blas", "square", "p: ours", "blas",
           "square", "time", "p: time");
    for (unsigned i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (uint64_t rows = 512; rows <= 1024; rows *= 2)
            if (argc <= 3 || strcmp(argv[3], shapes[i].name) == 0)
                shape(shapes[i].name, rows, shapes[i].in, shapes[i].out, pool, rounds, abc);
    free(abc);
    pool_free(pool);
    return 0;
}
