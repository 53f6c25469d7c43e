/* attn.c - the table of attention kernels, and which keys a query may see; see attn.h */
#include "engine/kernels/attn.h"

#include <math.h>
#include <string.h>

#include "engine/kernels/attn_kernels.h"

const struct attn_kernel attn_table[] = {
    [ATTN_STANDARD] = {.name = "standard",
                       .description = "makes the weights and keeps them for the backward",
                       .aux_name = "weights",
                       .forward_flops = 4,
                       .backward_flops = 8,
                       .aux_shape = attn_standard_aux_shape,
                       .work_bytes = attn_standard_work_bytes,
                       .forward = attn_standard_forward,
                       .backward = attn_standard_backward},
    [ATTN_FLASH] = {.name = "flash",
                    .description = "tile by tile, never the weights; keeps output and log-sum-exp",
                    .aux_name = "log_sum_exp",
                    .saves_output = true,
                    .rereads_bias = true,
                    .forward_flops = 4,
                    .backward_flops = 10,
                    .aux_shape = attn_flash_aux_shape,
                    .work_bytes = attn_flash_work_bytes,
                    .forward = attn_flash_forward,
                    .backward = attn_flash_backward},
};
const unsigned attn_table_length = sizeof attn_table / sizeof attn_table[0];

const struct attn_kernel *attn_find(const char *name) {
    for (unsigned i = 0; i < attn_table_length; i++)
        if (strcmp(attn_table[i].name, name) == 0)
            return &attn_table[i];
    return NULL;
}

float attn_alibi_slope(uint64_t head, uint64_t heads) {
    uint64_t n = 1;
    while (n <= heads / 2)
        n *= 2;
    const double power = head < n ? 8 * (double)(head + 1) / (double)n : 4 * (double)(2 * (head - n) + 1) / (double)n;
    return (float)exp2(-power);
}

float attn_slope(const struct attn_shape *s, const struct attn_mask *m, uint64_t b, uint64_t h) {
    const uint64_t heads = s->all_heads ? s->all_heads : s->heads;
    return m->alibi ? attn_alibi_slope(attn_head_number(s, b, h) % heads, heads) : 0;
}

typedef __int128 wide; /* positions, distances and their sums: nothing here overflows it */

static wide clamp(wide x, wide most) {
    return x < 0 ? 0 : x > most ? most : x;
}

void attn_key_range(const struct attn_shape *s, const struct attn_mask *m, uint64_t i, uint64_t *lo, uint64_t *hi) {
    wide p = (wide)i + s->n_k - s->n_q;
    *lo = m->behind == ATTN_FAR ? 0 : (uint64_t)clamp(p - m->behind + 1, s->n_k);
    *hi = m->ahead == ATTN_FAR ? s->n_k : (uint64_t)clamp(p + m->ahead, s->n_k);
    if (*hi < *lo)
        *hi = *lo;
}

/* The sum of clamp(i + start, n_k) over i < n_q: zeros, then a ramp, then n_k. */
static wide ramp_sum(const struct attn_shape *s, wide start) {
    wide n_q = s->n_q, n_k = s->n_k;
    wide zeros = clamp(1 - start, n_q);        /* i + start <= 0 */
    wide full = n_q - clamp(n_k - start, n_q); /* i + start >= n_k */
    wide ramp = n_q - zeros - full;
    if (ramp < 0) /* n_k = 0 alone */
        ramp = 0;
    wide first = zeros + start;
    return full * n_k + ramp * first + ramp * (ramp - 1) / 2;
}

uint64_t attn_pairs(const struct attn_shape *s, const struct attn_mask *m) {
    wide shift = (wide)s->n_k - s->n_q;
    if (m->behind == 0 && m->ahead == 0)
        return 0;
    wide pairs = m->ahead == ATTN_FAR ? (wide)s->n_q * s->n_k : ramp_sum(s, shift + m->ahead);
    if (m->behind != ATTN_FAR)
        pairs -= ramp_sum(s, shift - m->behind + 1);
    return pairs > (wide)UINT64_MAX ? UINT64_MAX : (uint64_t)pairs;
}
