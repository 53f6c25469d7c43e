/* attn_ref.h - attn_ref on tensors that lie in any order: what the attention op's reference calls. */
#ifndef REMATD_KERNELS_ATTN_REF_H
#define REMATD_KERNELS_ATTN_REF_H

#include "engine/kernels/attn.h"

/* As attn_ref in attn.h, but the strides of *s are honoured (gradients lie like what they are gradients of; o and d_o
 * alike). Gradients are added: the caller zeroes d_q, d_k, d_v. bias and sinks, if not NULL, stand for those of *m in
 * double. */
void attn_ref_strided(const struct attn_shape *s, const struct attn_mask *m, const double *bias, const double *sinks,
                      double scale, const struct attn_dropout *dropout, const double *q, const double *k,
                      const double *v, double *o, const double *d_o, double *d_q, double *d_k, double *d_v,
                      double *weights, double *d_weights);

/* The strides of contiguous [batch, heads, n, d] tensors. */
struct attn_shape attn_contiguous(const struct attn_shape *s);

#endif
