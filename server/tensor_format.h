/* tensor_format.h - what tensor_file.c and the two formats behind it share; nobody else includes it. */
#ifndef REMATD_SERVER_TENSOR_FORMAT_H
#define REMATD_SERVER_TENSOR_FORMAT_H

#include "server/tensor_file.h"

#define TENSOR_NPY_MAGIC        "\x93NUMPY"
#define TENSOR_NPY_MAGIC_LENGTH 6u

/* Exactly bytes at offset, or a problem. */
PROBLEM_MUST_CHECK bool tensor_format_pread(int fd, void *to, uint64_t bytes, uint64_t offset, struct problem *why);
/* entry->bytes from its shape and dtype, or PROBLEM_LIMIT where they overflow. */
PROBLEM_MUST_CHECK bool tensor_format_sized(struct tensor_entry *entry, struct problem *why);

/* file_bytes >= 8; fill file->entries. */
PROBLEM_MUST_CHECK bool tensor_safetensors_read(int fd, uint64_t file_bytes, struct arena *arena,
                                                struct tensor_file *file, struct problem *why);
PROBLEM_MUST_CHECK bool tensor_npy_read(int fd, uint64_t file_bytes, struct arena *arena, struct tensor_file *file,
                                        struct problem *why);

#endif
