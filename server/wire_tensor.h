/* wire_tensor.h - the ways a request may give a tensor or a mask, and their numbers when they are wanted.
 *
 *   T:    [[1, 2], [3, 4]]                                      nested
 *         {"shape": [2, 2], "data": [1, 2, 3, 4]}               flat or nested
 *         {"shape": [2, 2], "random": {"seed": 1, "distribution": "normal" | "uniform", "scale": 1}}
 *         {"tensor": "sha256:...", "name": "q"}                 uploaded before
 *   mask: "none" | "causal" | {"window": w, "causal": true} | null | T with true, false and null among its numbers */
#ifndef REMATD_SERVER_WIRE_TENSOR_H
#define REMATD_SERVER_WIRE_TENSOR_H

#include "server/blob.h"
#include "server/tensor_file.h"
#include "server/wire.h"

enum wire_tensor_kind { WIRE_TENSOR_INLINE, WIRE_TENSOR_RANDOM, WIRE_TENSOR_STORED, WIRE_TENSOR_ONES };

struct wire_tensor {
    enum wire_tensor_kind kind;
    unsigned rank;
    uint64_t shape[TENSOR_FILE_RANK_MAX], elements; /* float32 each: 4 * elements does not overflow */
    const float *data;                              /* inline */
    uint64_t seed;                                  /* random: domain RNG_TENSOR */
    bool uniform;                                   /* in [0, 1), else normal with deviation 1; */
    float factor;                                   /* each times this */
    const char *digest;                             /* stored */
    struct tensor_entry entry;
    bool mask; /* stored booleans are 0 and minus infinity */
};

struct wire_tensor_rules {
    struct blob_store *blobs;
    struct arena *arena;
    unsigned rank_min, rank_max;
    bool mask; /* true, false and null are numbers too: 0, minus infinity, minus infinity */
};

/* Reads v and, of a stored tensor, the file's header. What *out points to lives in the arena. */
PROBLEM_MUST_CHECK bool wire_tensor_read(const struct wire_value *v, const struct wire_tensor_rules *rules,
                                         struct wire_tensor *out, struct problem *why);
/* All ones, of the shape given. */
struct wire_tensor wire_tensor_ones(unsigned rank, const uint64_t *shape, uint64_t elements);
/* Writes the tensor's elements to dst. */
PROBLEM_MUST_CHECK bool wire_tensor_load(const struct wire_tensor *t, struct blob_store *blobs, float *dst,
                                         struct problem *why);

struct wire_mask {
    uint64_t behind, ahead;   /* as struct attn_mask has them */
    struct wire_tensor *bias; /* or NULL; in the arena */
};
PROBLEM_MUST_CHECK bool wire_mask_read(const struct wire_value *v, const struct wire_tensor_rules *rules,
                                       struct wire_mask *out, struct problem *why);

struct attn_dropout;
/* p, or {"p", "seed"}; seed 0 if not given. */
PROBLEM_MUST_CHECK bool wire_dropout_read(const struct wire_value *v, struct attn_dropout *out, struct problem *why);

#endif
