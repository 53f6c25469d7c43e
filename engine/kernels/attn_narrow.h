/* attn_narrow.h - attention on tensors that are not all float32, by the kernels of attn_table, which know nothing else.
 *
 * One group of query heads, those that read one key head of one batch, is worked on at a time: what the kernel reads of
 * it lies widened in workspace, what it writes is rounded from there. Gradients are widened, added to, and rounded;
 * those of a bias or of sinks that several groups share once, at the end. */
#ifndef REMATD_KERNELS_ATTN_NARROW_H
#define REMATD_KERNELS_ATTN_NARROW_H

#include "engine/kernels/attn.h"
#include "engine/kernels/numbers.h"

enum attn_part {
    ATTN_Q,
    ATTN_K,
    ATTN_V,
    ATTN_O,
    ATTN_AUX,
    ATTN_BIAS,
    ATTN_SINKS,
    ATTN_D_O,
    ATTN_D_Q,
    ATTN_D_K,
    ATTN_D_V,
    ATTN_D_BIAS,
    ATTN_D_SINKS,
    ATTN_PARTS
};

struct attn_narrow {
    const struct attn_kernel *kernel;
    struct attn_call call;         /* of all groups; pointers other than pool are not read */
    bool widened[ATTN_PARTS];      /* has a place in workspace; AUX: only where it is not float32 */
    struct numbers at[ATTN_PARTS]; /* as in attn_call */
    unsigned char *work;           /* attn_narrow_work_bytes, 64-byte aligned, content undefined */
};

/* Reads call.shape, call.mask and widened; at most 2^62. */
uint64_t attn_narrow_work_bytes(const struct attn_narrow *n, bool backward, unsigned threads);

/* As attn_kernel.forward and backward. */
void attn_narrow_run(const struct attn_narrow *n, bool backward);

#endif
