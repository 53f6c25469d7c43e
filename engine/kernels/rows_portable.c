/* rows_portable.c - struct rows for any processor, and the choice among all. */
#ifdef __GNUC__
#pragma GCC diagnostic ignored "-Wpsabi"
#endif

#define ROWS_ROW          rows_portable
#define ROWS_NAME         "portable"
#define ROWS_LANES        4
#define ROWS_FMA(a, b, c) ((a) * (b) + (c))
#define ROWS_MUL(a, b)    (((a)&0xFFFFFFFFu) * ((b)&0xFFFFFFFFu))

#include "engine/kernels/rows_body.h"

#include <stdatomic.h>

#include "engine/kernels/tile.h"

const struct rows *const rows_table[] = {
#if defined(__x86_64__)
    &rows_avx512, &rows_avx2,
#endif
    &rows_portable};
const unsigned rows_table_length = sizeof rows_table / sizeof rows_table[0];

bool rows_run(const struct rows *rows) {
#if defined(__x86_64__)
    if (rows == &rows_avx512)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (rows == &rows_avx2)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return rows == &rows_portable;
}

static const struct rows *choose(void) {
    const char *name = tile_best()->name;
    unsigned i = 0;
    while (i + 1 < rows_table_length && strcmp(rows_table[i]->name, name) != 0)
        i++;
    while (!rows_run(rows_table[i]))
        i++;
    return rows_table[i];
}

/* Asked for every few hundred numbers, so the answer is kept: whoever is first finds the same. */
const struct rows *rows_best(void) {
    static _Atomic(const struct rows *) kept;
    const struct rows *rows = atomic_load_explicit(&kept, memory_order_relaxed);
    if (!rows) {
        rows = choose();
        atomic_store_explicit(&kept, rows, memory_order_relaxed);
    }
    return rows;
}
