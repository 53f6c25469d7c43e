/* bench_lab.c - the gradient-checkpointing lab's claims, measured: one line a claim, "holds" or "does not hold". Times
 * are medians of several rounds; bytes are exact. */
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/rng.h"
#include "engine/remat.h"
#include "tests/bench/bench.h"

#define ROUNDS 5

static uint64_t now_ns(void) {
    return (uint64_t)(1e9 * bench_now());
}

static void claim(const char *text, bool holds, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void claim(const char *text, bool holds, const char *format, ...) {
    char measured[160];
    __builtin_va_list args;
    __builtin_va_start(args, format);
    vsnprintf(measured, sizeof measured, format, args);
    __builtin_va_end(args);
    printf("%-66s  %-62s  %s\n", text, measured, holds ? "holds" : "DOES NOT HOLD");
}

static struct remat_memory_savings savings(uint64_t n, uint64_t d, uint64_t layers, unsigned threads, bool execute) {
    struct remat_memory_savings s;
    struct remat_problem why = {0};
    const struct remat_savings_options options = {.execute = execute, .run = {.threads = threads, .now_ns = now_ns}};
    if (!remat_measure_memory_savings(n, d, layers, &options, &s, &why)) {
        fprintf(stderr, "bench_lab: %s %s\n", why.where, why.detail);
        exit(1);
    }
    return s;
}

/* One attention call of one head, forward and backward. */
static struct remat_report attention(enum remat_kernel kernel, bool keep, uint64_t n, uint64_t d) {
    struct remat_tensor t[8];
    struct remat_checkpointed_attention a;
    struct remat_report report;
    const struct remat_options options = {.threads = 2, .keep = keep, .now_ns = now_ns};
    for (int i = 0; i < 8; i++) {
        t[i] = (struct remat_tensor){.data = malloc(n * d * sizeof(float)), .rank = 2, .size = {n, d}};
        if (!t[i].data)
            exit(1);
        rng_fill_normal(t[i].data, n * d, (uint64_t)i + 1, RNG_TENSOR, 1);
    }
    struct remat_problem why = {0};
    if (!remat_checkpointed_attention_init(&a, &(struct remat_attention){.kernel = kernel}, &options, &why) ||
        !remat_checkpointed_attention_forward(&a, &t[0], &t[1], &t[2], NULL, &t[3], &why) ||
        !remat_checkpointed_attention_backward(&a, &t[4], &t[5], &t[6], &t[7], &why) ||
        !remat_checkpointed_attention_report(&a, &report)) {
        fprintf(stderr, "bench_lab: %s %s\n", why.where, why.detail);
        exit(1);
    }
    remat_checkpointed_attention_free(&a);
    for (int i = 0; i < 8; i++)
        free(t[i].data);
    return report;
}

static void claims_of_the_headline(void) {
    double overhead[ROUNDS], forward[ROUNDS];
    struct remat_memory_savings s = {0};
    for (int i = 0; i < ROUNDS; i++) {
        s = savings(2048, 512, 12, 2, true);
        overhead[i] = s.measured.time_overhead_pct;
    }
    bench_median(overhead, ROUNDS); /* sorts */
    claim("about half the memory at (2048, 512, 12)", s.memory_saved_pct > 45 && s.memory_saved_pct < 60,
          "%.1f -> %.1f MB, %.1f %% saved, observed while running", s.standard_memory_mb, s.checkpointed_memory_mb,
          100 * (1 - (double)s.measured.checkpointed_memory_bytes / (double)s.measured.standard_memory_bytes));
    claim("... for about 30 % more compute", s.compute_overhead_pct > 25 && s.compute_overhead_pct < 40,
          "FLOPs +%.1f %%, seconds +%.1f %% (median of %d)", s.measured.compute_overhead_pct, overhead[ROUNDS / 2],
          ROUNDS);
    claim("the run's peak (outputs, gradients, workspace too) falls as well",
          s.measured.checkpointed_peak_bytes < s.measured.standard_peak_bytes, "%.1f -> %.1f MB",
          (double)s.measured.standard_peak_bytes / 1048576, (double)s.measured.checkpointed_peak_bytes / 1048576);
    claim("outputs and gradients are identical", s.measured.identical, "bit for bit");
    for (int i = 0; i < ROUNDS; i++)
        forward[i] = 1 + savings(1024, 512, 12, 2, true).measured.time_overhead_pct / 100;
    bench_median(forward, ROUNDS); /* sorts */
    claim("1.3x to 1.5x time for the extra forward", forward[ROUNDS / 2] > 1.2 && forward[ROUNDS / 2] < 1.5,
          "%.2fx at (1024, 512, 12)", forward[ROUNDS / 2]);
}

static void claims_of_growth(void) {
    struct remat_memory_savings one = savings(512, 128, 1, 2, true), many = savings(512, 128, 24, 2, true);
    claim("standard memory is exactly linear in L",
          many.measured.standard_memory_bytes == 24 * one.measured.standard_memory_bytes,
          "L = 1: %lu, L = 24: %lu bytes", one.measured.standard_memory_bytes, many.measured.standard_memory_bytes);
    uint64_t beyond_one = one.measured.checkpointed_memory_bytes - 3 * 512 * 128 * 4;
    uint64_t beyond_many = many.measured.checkpointed_memory_bytes - 24 * 3 * 512 * 128 * 4;
    claim("checkpointed memory beyond the inputs is independent of L", beyond_one == beyond_many,
          "L = 1: %lu, L = 24: %lu bytes", beyond_one, beyond_many);
    struct remat_memory_savings twice = savings(1024, 128, 1, 2, true);
    uint64_t weights = one.measured.standard_memory_bytes - 3 * 512 * 128 * 4;
    uint64_t weights_twice = twice.measured.standard_memory_bytes - 3 * 1024 * 128 * 4;
    claim("the N x N part quadruples with N", weights_twice == 4 * weights, "N = 512: %lu, N = 1024: %lu bytes",
          weights, weights_twice);
}

static void claims_of_flash(uint64_t n) {
    char text[80];
    struct remat_report standard = attention(REMAT_STANDARD, true, n, 64),
                        checkpointed = attention(REMAT_STANDARD, false, n, 64);
    struct remat_report flash = attention(REMAT_FLASH, true, n, 64), both = attention(REMAT_FLASH, false, n, 64);
    snprintf(text, sizeof text, "N = %lu: standard > checkpointed, flash > both in saved bytes", n);
    claim(text,
          standard.saved_bytes > checkpointed.saved_bytes && standard.saved_bytes > flash.saved_bytes &&
              flash.saved_bytes > both.saved_bytes,
          "%lu > %lu, %lu > %lu", standard.saved_bytes, checkpointed.saved_bytes, flash.saved_bytes, both.saved_bytes);
    snprintf(text, sizeof text, "N = %lu: flash never makes the N x N matrix", n);
    claim(text, flash.measured_peak_bytes < standard.measured_peak_bytes / 2, "peak %.1f MB against %.1f MB",
          (double)flash.measured_peak_bytes / 1048576, (double)standard.measured_peak_bytes / 1048576);
}

int main(void) {
    printf("%-66s  %-62s\n", "claim", "measured");
    claims_of_the_headline();
    claims_of_growth();
    for (uint64_t n = 1024; n <= 4096; n *= 2)
        claims_of_flash(n);
    return 0;
}
