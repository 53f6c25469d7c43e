/* product.h - c[m][n] = or += a[m][k] b[k][n], where each may be kept in float32 or bfloat16.
 *
 * The result is cut into blocks, one thread a block, by the shape and the number of threads: what a number of c is does
 * not depend on the cut. Where c is bfloat16, its sums stay float32 in the workspace until a block of c is done, and
 * are rounded once; a and b are widened as they are packed.
 */
#ifndef REMATD_KERNELS_PRODUCT_H
#define REMATD_KERNELS_PRODUCT_H

#include "engine/kernels/gemm.h"
#include "engine/kernels/numbers.h"

struct pool;

enum { PRODUCT_BLOCK = 256 };

struct product {
    uint64_t m, n, k;        /* each at most GEMM_SIZE_MAX, and so are row distances; any may be 0 */
    struct gemm_matrix a, b; /* of part of a tensor: gemm_part */
    struct numbers c;        /* may not overlap a or b */
    uint64_t c_row;
    bool sum;            /* c +=; else c = */
    struct numbers bias; /* [n], what each row of c starts from; at NULL: 0. Not with `sum` */
};

/* Workspace of product_run on a pool of so many threads where c is bfloat16 (or is planned as if it were): a multiple
 * of 64, no less for larger m, n or threads, at most 256 KiB a thread. Where c is float32, none is used. */
uint64_t product_work_bytes(uint64_t m, uint64_t n, unsigned threads);

/* pool NULL: here, on this thread; so from inside a task of a pool, each with product_work_bytes(m, n, 1) of its own.
 * The bits are the same. work is aligned to 64 bytes. */
void product_run(struct pool *pool, const struct product *p, void *work);

#endif
