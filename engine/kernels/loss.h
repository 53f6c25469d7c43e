/* loss.h - a linear layer and the cross entropy of what it makes, as one kernel: its outputs, the logits, need not be
 * whole.
 *
 * Work is cut into cells, LOSS_TOKENS tokens by a tile of the vocabulary, by shape alone. The forward makes the logits
 * of a cell, keeps of each row its largest and the sum of its powers, and joins those in tile order. The backward goes
 * through stripes of a few tiles over all tokens: their logits (saved, or made again), in their place the gradients,
 * then what these add to d_weight, d_bias and d_x. A gradient's sum runs in an order that no stripe, chunk or thread
 * changes, so the same bits come out of all; losses are summed in double, LOSS_BLOCK tokens at a time. */
#ifndef REMATD_KERNELS_LOSS_H
#define REMATD_KERNELS_LOSS_H

#include <stdint.h>

#include "engine/kernels/numbers.h"

struct pool;

enum { LOSS_BLOCK = 128, LOSS_TOKENS = 512, LOSS_TILE = 512 };

struct loss {
    uint64_t tokens, in, vocab; /* each at most GEMM_SIZE_MAX */
    uint64_t chunk; /* 0: logits are kept; else the backward holds no more than those of so many tokens at once, but
                       one tile of all tokens at least */
    float cap;      /* logits are cap tanh(raw / cap); 0: raw */
    float scale;    /* raw are scale x weight^T + bias */
    bool narrow;    /* x, weight, bias, logits and their gradients are bfloat16 */
    struct pool *pool;
    struct numbers x, weight, bias; /* [tokens, in], [vocab, in], [vocab]; no bias: at NULL */
    const int32_t *targets;         /* [tokens]; outside [0, vocab): not counted */
    struct numbers logits;          /* [tokens, vocab]; written where chunk is 0 */
    float *log_sum_exp;             /* [tokens] */
    float *loss;                    /* [1]: the mean over counted tokens, 0 if there are none */
    float d_loss;
    struct numbers d_x, d_weight, d_bias; /* added into; at NULL where not wanted */
    void *work;
};

/* Bytes of work for so many threads, a multiple of 64; reads sizes, chunk and narrow. */
uint64_t loss_forward_work(const struct loss *l, unsigned threads);
uint64_t loss_backward_work(const struct loss *l, unsigned threads);

void loss_forward(const struct loss *l);
void loss_backward(const struct loss *l);

#endif
