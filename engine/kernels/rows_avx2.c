/* rows_avx2.c - struct rows for x86-64 processors with AVX2 and FMA */
#if defined(__x86_64__)

#ifdef __clang__
#include <immintrin.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#include <immintrin.h>
#endif

#define ROWS_ROW          rows_avx2
#define ROWS_NAME         "avx2"
#define ROWS_LANES        8
#define ROWS_FMA(a, b, c) __builtin_fmaf(a, b, c)
#define ROWS_MUL(a, b)    ((wide)_mm256_mul_epu32((__m256i)(a), (__m256i)(b)))

#include "engine/kernels/rows_body.h"

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#else
typedef int rows_avx2_is_for_x86; /* a translation unit must not be empty */
#endif
