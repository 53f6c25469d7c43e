/* tile_portable.c - struct tile for any processor: the compiler splits the vectors as it must. */
#ifdef __GNUC__
#pragma GCC diagnostic ignored "-Wpsabi"
#endif

#define TILE_LANES        4
#define TILE_ROW          tile_portable
#define TILE_NAME         "portable"
#define TILE_FMA(a, b, c) ((a) * (b) + (c))
#define TILE_MAX(a, b)    ((vec)(((bits)(a) & (bits)((a) > (b))) | ((bits)(b) & ~(bits)((a) > (b)))))

#define TILE_MUL(a, b) (((a)&0xFFFFFFFFu) * ((b)&0xFFFFFFFFu))
#define TILE_SIGNS(x)                                                                                                  \
    ((uint32_t)((x)[0] >> 63) | (uint32_t)((x)[1] >> 63) << 1 | (uint32_t)((x)[2] >> 63) << 2 |                        \
     (uint32_t)((x)[3] >> 63) << 3)

#include "engine/kernels/tile_body.h"

const struct tile *tile_best(void) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &tile_avx2;
#endif
    return &tile_portable;
}
