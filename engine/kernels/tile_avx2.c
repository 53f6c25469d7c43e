/* tile_avx2.c - struct tile for x86-64 processors with AVX2 and FMA; asked for at run time (tile.c). */
#if defined(__x86_64__)

#ifdef __clang__
#include <immintrin.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#include <immintrin.h>
#endif

#define TILE_LANES              8
#define TILE_ROW                tile_avx2
#define TILE_NAME               "avx2"
#define TILE_FMA(a, b, c)       ((vec)_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c)))
#define TILE_MAX(a, b)          ((vec)_mm256_max_ps((__m256)(a), (__m256)(b)))
#define TILE_FLUSH(y, x, least) ((vec)((bits)(y) & ~(bits)((x) < (least))))

#define TILE_WORDS          4
#define TILE_MUL(a, b)      ((wide)_mm256_mul_epu32((__m256i)(a), (__m256i)(b)))
#define TILE_XOR(a, b, c)   ((a) ^ (b) ^ (c))
#define TILE_KEPT(x, least) (~(uint32_t)_mm256_movemask_pd((__m256d)(((x)&0xFFFFFFFFu) - (uint64_t)(least))) & 15u)

#include "engine/kernels/tile_body.h"

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#else
typedef int tile_avx2_is_for_x86; /* a translation unit must not be empty */
#endif
