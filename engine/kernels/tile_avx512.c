/* tile_avx512.c - struct tile for x86-64 processors with AVX-512 F, DQ, BW and VL; asked for at run time (tile.c). */
#if defined(__x86_64__)

#ifdef __clang__
#include <immintrin.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma"))),                   \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,prefer-vector-width=512")
#include <immintrin.h>
#endif

#define TILE_LANES        16
#define TILE_ROW          tile_avx512
#define TILE_NAME         "avx512"
#define TILE_FMA(a, b, c) ((vec)_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c)))
#define TILE_MAX(a, b)    ((vec)_mm512_max_ps((__m512)(a), (__m512)(b)))
#define TILE_FLUSH(y, x, least)                                                                                        \
    ((vec)_mm512_maskz_mov_ps(_mm512_cmp_ps_mask((__m512)(x), (__m512)(least), _CMP_NLT_UQ), (__m512)(y)))

#define TILE_WORDS          8
#define TILE_MUL(a, b)      ((wide)_mm512_mul_epu32((__m512i)(a), (__m512i)(b)))
#define TILE_XOR(a, b, c)   ((wide)_mm512_ternarylogic_epi64((__m512i)(a), (__m512i)(b), (__m512i)(c), 0x96))
#define TILE_KEPT(x, least) _mm512_cmpge_epu64_mask((__m512i)((x)&0xFFFFFFFFu), _mm512_set1_epi64((long long)(least)))

#include "engine/kernels/tile_body.h"

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#else
typedef int tile_avx512_is_for_x86; /* a translation unit must not be empty */
#endif
