/* bench.h - what benches share: a clock, medians, tensors, and the yardsticks that kernels are held against.
 *
 * Machines are shared and change their clock, so seconds mean little: every figure that counts is a ratio of two rates
 * measured in turns, in the same process, round by round, and the median over the rounds. */
#ifndef REMATD_TESTS_BENCH_H
#define REMATD_TESTS_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/pool.h"

double bench_now(void);       /* seconds of a monotonic clock */
double bench_processor(void); /* seconds of processor time, all threads together */

/* Of x[n], which is sorted by it; n >= 1. At place n * part: 0.5 is the median. */
double bench_median(double *x, unsigned n);
double bench_quantile(double *x, unsigned n, double part);

/* n floats, 64-byte aligned, every page touched: normal numbers, or uniform ones in [-1, 1). Ends the program if there
 * is no memory. free() frees them. */
float *bench_tensor(uint64_t n, uint64_t seed);
float *bench_tensor_uniform(uint64_t n, uint64_t seed);

struct pool *bench_pool(unsigned threads); /* ends the program if threads cannot be started */

/* Says what went wrong, and ends the program. */
void bench_die(const struct problem *why) __attribute__((noreturn));

/* ---- something to time ---- */

struct bench_work {
    double amount;            /* FLOPs or bytes of one run */
    void (*run)(void *state); /* NULL: there is no such work */
    void *state;
};

/* Seconds of so many runs, over that number. */
double bench_seconds(const struct bench_work *w, unsigned runs);
/* How many runs take so many seconds or more; runs it once to know. */
unsigned bench_runs(const struct bench_work *w, double seconds);

/* ---- yardsticks, each on every thread of a pool; the state is the pool's ---- */

enum { BENCH_PRODUCT = 768 };

/* OpenBLAS: a product of 768^3 of its own for every thread, so that none waits for another. */
struct bench_work bench_product(struct pool *pool);
/* Fused multiply-adds of registers alone, 12 independent sums; the widest vectors there are. */
struct bench_work bench_peak(struct pool *pool);
/* memcpy between arrays beyond any cache: bytes read and bytes written are counted. */
struct bench_work bench_copy(struct pool *pool);

/* What runs here: processor features, and the kernels OpenBLAS and we picked. */
void bench_print_machine(void);

#endif
