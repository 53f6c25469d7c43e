/* tensor_file.c - see tensor_file.h: what both formats share. The formats themselves are in tensor_safetensors.c and
 * tensor_npy.c. */
#include "server/tensor_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/units.h"
#include "server/tensor_format.h"

#define CHUNK_BYTES 65536u

bool tensor_format_pread(int fd, void *to, uint64_t bytes, uint64_t offset, struct problem *why) {
    for (char *at = to; bytes > 0;) {
        ssize_t got = pread(fd, at, bytes, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return problem_set(why, PROBLEM_IO, "", "cannot read a tensor file: %s", strerror(errno));
        if (got == 0)
            return problem_set(why, PROBLEM_MALFORMED, "", "the file ends before its data do");
        at += got;
        bytes -= (uint64_t)got;
        offset += (uint64_t)got;
    }
    return true;
}

bool tensor_format_sized(struct tensor_entry *entry, struct problem *why) {
    uint64_t elements;
    if (!units_product(entry->shape, entry->rank, &elements) ||
        !units_mul(elements, dtype_bytes(entry->dtype), &entry->bytes))
        return problem_set(why, PROBLEM_LIMIT, "", "tensor '%.80s' has a shape of more than 2^64 bytes", entry->name);
    return true;
}

bool tensor_file_read(int fd, uint64_t file_bytes, struct arena *arena, struct tensor_file *file, struct problem *why) {
    char first[8];
    *file = (struct tensor_file){0};
    if (file_bytes < sizeof first)
        return problem_set(why, PROBLEM_MALFORMED, "", "%llu bytes are neither a safetensors nor an npy file",
                           (unsigned long long)file_bytes);
    if (!tensor_format_pread(fd, first, sizeof first, 0, why))
        return false;
    if (memcmp(first, TENSOR_NPY_MAGIC, TENSOR_NPY_MAGIC_LENGTH) == 0) {
        file->format = TENSOR_FILE_NPY;
        return tensor_npy_read(fd, file_bytes, arena, file, why);
    }
    file->format = TENSOR_FILE_SAFETENSORS;
    return tensor_safetensors_read(fd, file_bytes, arena, file, why);
}

const struct tensor_entry *tensor_file_find(const struct tensor_file *file, const char *name, struct problem *why) {
    if (!name) {
        if (file->n_entries == 1)
            return &file->entries[0];
        problem_set(why, PROBLEM_MISSING_FIELD, "/name", "the file holds %u tensors: a name must say which",
                    file->n_entries);
        return NULL;
    }
    for (unsigned i = 0; i < file->n_entries; i++)
        if (strcmp(file->entries[i].name, name) == 0)
            return &file->entries[i];
    problem_set(why, PROBLEM_NOT_FOUND, "/name", "the file holds no tensor '%.80s'", name);
    return NULL;
}

uint64_t tensor_file_elements(const struct tensor_entry *entry) {
    return entry->bytes / dtype_bytes(entry->dtype);
}

static float float_from_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static float half_to_float(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16, exponent = (half >> 10) & 0x1fu, fraction = half & 0x3ffu;
    if (exponent == 31)
        return float_from_bits(sign | 0x7f800000u | fraction << 13);
    if (exponent > 0)
        return float_from_bits(sign | (exponent + 112) << 23 | fraction << 13);
    float small = (float)fraction * 0x1p-24f; /* subnormal: exact in float */
    return sign ? -small : small;
}

/* One row per dtype: n elements at from (unaligned) to floats. */
#define CONVERT(NAME, TYPE, EXPRESSION)                                                                                \
    static void NAME(const char *from, float *to, size_t n) {                                                          \
        for (size_t i = 0; i < n; i++) {                                                                               \
            TYPE v;                                                                                                    \
            memcpy(&v, from + i * sizeof v, sizeof v);                                                                 \
            to[i] = (EXPRESSION);                                                                                      \
        }                                                                                                              \
    }
CONVERT(from_float32, float, v)
CONVERT(from_float64, double, (float)v)
CONVERT(from_float16, uint16_t, half_to_float(v))
CONVERT(from_bfloat16, uint16_t, float_from_bits((uint32_t)v << 16))
CONVERT(from_int64, int64_t, (float)v)
CONVERT(from_int32, int32_t, (float)v)
CONVERT(from_uint8, uint8_t, (float)v)

static void (*const convert_table[])(const char *from, float *to, size_t n) = {
    [DTYPE_FLOAT32] = from_float32, [DTYPE_BFLOAT16] = from_bfloat16, [DTYPE_FLOAT16] = from_float16,
    [DTYPE_FLOAT64] = from_float64, [DTYPE_INT64] = from_int64,       [DTYPE_INT32] = from_int32,
    [DTYPE_UINT8] = from_uint8,
};
_Static_assert(sizeof convert_table / sizeof convert_table[0] == DTYPES, "one conversion per dtype");

bool tensor_file_load(int fd, const struct tensor_entry *entry, float *dst, struct problem *why) {
    if (entry->dtype == DTYPE_FLOAT32)
        return tensor_format_pread(fd, dst, entry->bytes, entry->offset, why);
    char chunk[CHUNK_BYTES];
    uint64_t size = dtype_bytes(entry->dtype);
    for (uint64_t done = 0; done < entry->bytes;) {
        uint64_t bytes = units_min(entry->bytes - done, CHUNK_BYTES);
        if (!tensor_format_pread(fd, chunk, bytes, entry->offset + done, why))
            return false;
        if (entry->boolean)
            for (uint64_t i = 0; i < bytes; i++)
                if ((unsigned char)chunk[i] > 1)
                    return problem_set(why, PROBLEM_MALFORMED, "",
                                       "tensor '%.80s' has a boolean that is neither 0 nor 1", entry->name);
        convert_table[entry->dtype](chunk, dst + done / size, bytes / size);
        done += bytes;
    }
    return true;
}

bool tensor_file_load_part(int fd, const struct tensor_entry *entry, uint64_t from, uint64_t n, float *dst,
                           struct problem *why) {
    const uint64_t each = dtype_bytes(entry->dtype);
    struct tensor_entry part = *entry;
    part.rank = 1;
    part.shape[0] = n;
    part.offset += from * each;
    part.bytes = n * each;
    return tensor_file_load(fd, &part, dst, why);
}

const char *tensor_file_shape_text(unsigned rank, const uint64_t *shape, char *text) {
    size_t used = (size_t)snprintf(text, TENSOR_FILE_SHAPE_BYTES, "[");
    for (unsigned i = 0; i < rank; i++)
        used += (size_t)snprintf(text + used, TENSOR_FILE_SHAPE_BYTES - used, "%s%llu", i ? ", " : "",
                                 (unsigned long long)shape[i]);
    snprintf(text + used, TENSOR_FILE_SHAPE_BYTES - used, "]"); /* 8 numbers of at most 20 digits fit */
    return text;
}
