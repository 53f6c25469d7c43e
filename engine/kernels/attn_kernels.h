/* attn_kernels.h - the functions behind the rows of attn_table; everyone else goes through the table. */
#ifndef REMATD_KERNELS_ATTN_KERNELS_H
#define REMATD_KERNELS_ATTN_KERNELS_H

#include "engine/kernels/attn.h"

unsigned attn_standard_aux_shape(const struct attn_shape *s, uint64_t shape[4]);
uint64_t attn_standard_work_bytes(const struct attn_shape *s, const struct attn_mask *m, bool backward,
                                  unsigned threads);
void attn_standard_forward(const struct attn_call *c);
void attn_standard_backward(const struct attn_call *c);

unsigned attn_flash_aux_shape(const struct attn_shape *s, uint64_t shape[4]);
uint64_t attn_flash_work_bytes(const struct attn_shape *s, const struct attn_mask *m, bool backward, unsigned threads);
void attn_flash_forward(const struct attn_call *c);
void attn_flash_backward(const struct attn_call *c);

#endif
