/* tile_portable.c - struct tile for any processor: the compiler splits the vectors as it must. */
#ifdef __GNUC__
#pragma GCC diagnostic ignored "-Wpsabi"
#endif

#define TILE_LANES              4
#define TILE_ROW                tile_portable
#define TILE_NAME               "portable"
#define TILE_FMA(a, b, c)       ((a) * (b) + (c))
#define TILE_MAX(a, b)          ((vec)(((bits)(a) & (bits)((a) > (b))) | ((bits)(b) & ~(bits)((a) > (b)))))
#define TILE_FLUSH(y, x, least) ((vec)((bits)(y) & ~(bits)((x) < (least))))

#define TILE_WORDS        4
#define TILE_MUL(a, b)    (((a)&0xFFFFFFFFu) * ((b)&0xFFFFFFFFu))
#define TILE_XOR(a, b, c) ((a) ^ (b) ^ (c))
#define TILE_KEPT(x, least)                                                                                            \
    ((uint32_t)((uint32_t)(x)[0] >= (least)) | (uint32_t)((uint32_t)(x)[1] >= (least)) << 1 |                          \
     (uint32_t)((uint32_t)(x)[2] >= (least)) << 2 | (uint32_t)((uint32_t)(x)[3] >= (least)) << 3)

#include "engine/kernels/tile_body.h"
