/* tensor_file.h - safetensors and npy files, read and written. Nothing in a header is believed before it is checked.
 *
 * A reader reads the header alone and checks all of it: sizes by checked products, ranges inside the file and tiling
 * its data exactly, no name twice. Pure functions over a descriptor (pread; its position is not used): any thread. */
#ifndef REMATD_SERVER_TENSOR_FILE_H
#define REMATD_SERVER_TENSOR_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/problem.h"
#include "engine/graph/op.h"

#define TENSOR_FILE_RANK_MAX    8
#define TENSOR_FILE_HEADER_MAX  ((uint64_t)1 << 20)
#define TENSOR_FILE_ENTRIES_MAX 10000u

struct tensor_entry {
    const char *name; /* npy: "" */
    enum dtype dtype;
    bool boolean; /* stored as one byte 0 or 1; dtype is then DTYPE_UINT8 */
    unsigned rank;
    uint64_t shape[TENSOR_FILE_RANK_MAX];
    uint64_t offset, bytes; /* offset in the file */
};

enum tensor_file_format { TENSOR_FILE_SAFETENSORS, TENSOR_FILE_NPY };

struct tensor_file {
    enum tensor_file_format format;
    struct tensor_entry *entries; /* in the order of the file's header; lives in the arena */
    unsigned n_entries;
};

/* Tells the formats apart by their first bytes. PROBLEM_MALFORMED, PROBLEM_LIMIT (too large a header, too many
 * tensors), PROBLEM_UNSUPPORTED (Fortran order, big endian, objects, dtypes we have no use for), all in words a person
 * can act on. */
PROBLEM_MUST_CHECK bool tensor_file_read(int fd, uint64_t file_bytes, struct arena *arena, struct tensor_file *file,
                                         struct problem *why);

/* name NULL: the only one (PROBLEM_MISSING_FIELD where there are several). Borrowed, or NULL with PROBLEM_NOT_FOUND. */
PROBLEM_MUST_CHECK const struct tensor_entry *tensor_file_find(const struct tensor_file *file, const char *name,
                                                               struct problem *why);

/* Elements: the product of the shape (1 for rank 0). Entries that tensor_file_read made cannot overflow. */
uint64_t tensor_file_elements(const struct tensor_entry *entry);

/* dst has tensor_file_elements floats. float32 goes straight there; the other dtypes are converted (to the nearest
 * float; booleans to 0 and 1). */
PROBLEM_MUST_CHECK bool tensor_file_load(int fd, const struct tensor_entry *entry, float *dst, struct problem *why);

/* Elements [from, from + n) of it alone, to dst[n]. They are there. */
PROBLEM_MUST_CHECK bool tensor_file_load_part(int fd, const struct tensor_entry *entry, uint64_t from, uint64_t n,
                                              float *dst, struct problem *why);

/* "[2, 3]", for sentences; text has TENSOR_FILE_SHAPE_BYTES. Returns text. */
#define TENSOR_FILE_SHAPE_BYTES 192
const char *tensor_file_shape_text(unsigned rank, const uint64_t *shape, char *text);

/* The bytes before the data: 8-byte length and JSON padded to a multiple of 8. Data follow in the order of the entries,
 * without gaps; entry offsets are not read, entry bytes are. In the arena. */
PROBLEM_MUST_CHECK char *tensor_file_safetensors_header(struct arena *arena, const struct tensor_entry *entries,
                                                        unsigned n, size_t *bytes, struct problem *why);
/* npy version 1.0, padded to a multiple of 64. PROBLEM_UNSUPPORTED for bfloat16, which numpy has no name for. */
PROBLEM_MUST_CHECK char *tensor_file_npy_header(struct arena *arena, const struct tensor_entry *entry, size_t *bytes,
                                                struct problem *why);

#endif
