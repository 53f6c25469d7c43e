/* tensor_npy.c - numpy's npy format, versions 1.0 and 2.0.
 *
 *   \x93NUMPY | major minor | header length: u16 (1.0) or u32 (2.0), little endian | header | data
 *   {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }            spaces, then a newline
 *
 * The header is a Python literal; numpy writes exactly these three keys, in any order. This grammar and nothing more.
 */
#include "server/tensor_format.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/units.h"

#define VERSION_BYTES 2u
#define ALIGNMENT     64u

static const struct {
    const char *name;
    enum dtype dtype;
    bool boolean;
} descrs[] = {
    {"<f4", DTYPE_FLOAT32, false}, {"<f2", DTYPE_FLOAT16, false}, {"<f8", DTYPE_FLOAT64, false},
    {"<i8", DTYPE_INT64, false},   {"<i4", DTYPE_INT32, false},   {"|u1", DTYPE_UINT8, false},
    {"|b1", DTYPE_UINT8, true},
};
#define DESCR_ROWS (sizeof descrs / sizeof descrs[0])

struct cursor {
    const char *at; /* the text ends with NUL */
    struct problem *why;
};

static bool malformed(struct cursor *c, const char *what) {
    return problem_set(c->why, PROBLEM_MALFORMED, "", "the npy header is not readable: %s", what);
}

static bool next_is(struct cursor *c, char wanted) {
    while (*c->at == ' ')
        c->at++;
    if (*c->at != wanted)
        return false;
    c->at++;
    return true;
}

static bool word_is(struct cursor *c, const char *word) {
    while (*c->at == ' ')
        c->at++;
    size_t length = strlen(word);
    if (strncmp(c->at, word, length) != 0)
        return false;
    c->at += length;
    return true;
}

/* A quoted word without escapes, at most 20 characters. */
static bool quoted_read(struct cursor *c, char text[21]) {
    while (*c->at == ' ')
        c->at++;
    char quote = *c->at;
    if (quote != '\'' && quote != '"')
        return malformed(c, "a quoted word is missing");
    const char *start = ++c->at;
    while (*c->at && *c->at != quote && *c->at != '\\')
        c->at++;
    if (*c->at != quote || c->at - start > 20)
        return malformed(c, "a quoted word does not end or is too long");
    memcpy(text, start, (size_t)(c->at - start));
    text[c->at - start] = '\0';
    c->at++;
    return true;
}

static bool descr_read(struct cursor *c, struct tensor_entry *entry) {
    char text[21];
    if (next_is(c, '['))
        return problem_set(c->why, PROBLEM_UNSUPPORTED, "", "npy arrays of records are not supported");
    if (!quoted_read(c, text))
        return false;
    for (size_t i = 0; i < DESCR_ROWS; i++)
        if (strcmp(descrs[i].name, text) == 0) {
            entry->dtype = descrs[i].dtype;
            entry->boolean = descrs[i].boolean;
            return true;
        }
    if (text[0] == '>')
        return problem_set(c->why, PROBLEM_UNSUPPORTED, "",
                           "big-endian npy data ('%s') are not supported: save little endian", text);
    if (strcmp(text, "|O") == 0 || strcmp(text, "O") == 0)
        return problem_set(c->why, PROBLEM_UNSUPPORTED, "", "npy arrays of Python objects are not supported");
    return problem_set(c->why, PROBLEM_UNSUPPORTED, "",
                       "npy dtype '%s' is not supported; known are <f4, <f2, <f8, <i8, <i4, |u1, |b1", text);
}

static bool order_read(struct cursor *c) {
    if (word_is(c, "True"))
        return problem_set(c->why, PROBLEM_UNSUPPORTED, "",
                           "npy data in Fortran order are not supported: save numpy.ascontiguousarray(a)");
    return word_is(c, "False") || malformed(c, "fortran_order is True or False");
}

/* (), (5,), (2, 3), (2, 3,) */
static bool shape_read(struct cursor *c, struct tensor_entry *entry) {
    if (!next_is(c, '('))
        return malformed(c, "shape is a tuple");
    bool comma = true;
    while (!next_is(c, ')')) {
        if (!comma)
            return malformed(c, "shape is a tuple");
        if (entry->rank == TENSOR_FILE_RANK_MAX)
            return problem_set(c->why, PROBLEM_LIMIT, "", "the npy array has more than %d dimensions",
                               TENSOR_FILE_RANK_MAX);
        uint64_t value = 0;
        const char *start = c->at;
        for (; *c->at >= '0' && *c->at <= '9'; c->at++)
            if (!units_mul(value, 10, &value) || !units_add(value, (uint64_t)(*c->at - '0'), &value))
                return problem_set(c->why, PROBLEM_LIMIT, "", "the npy array has a dimension past 2^64");
        if (c->at == start)
            return malformed(c, "shape is a tuple of whole numbers");
        entry->shape[entry->rank++] = value;
        comma = next_is(c, ',');
    }
    return !(entry->rank == 1 && !comma) || malformed(c, "shape is a tuple");
}

static bool header_read(struct cursor *c, struct tensor_entry *entry) {
    enum { DESCR = 1, ORDER = 2, SHAPE = 4 };
    unsigned seen = 0;
    if (!next_is(c, '{'))
        return malformed(c, "it does not start with '{'");
    for (bool comma = true; !next_is(c, '}'); comma = next_is(c, ',')) {
        char key[21];
        if (!comma)
            return malformed(c, "a comma is missing");
        if (!quoted_read(c, key) || !(next_is(c, ':') || malformed(c, "':' is missing")))
            return false;
        unsigned bit = strcmp(key, "descr") == 0           ? DESCR
                       : strcmp(key, "fortran_order") == 0 ? ORDER
                       : strcmp(key, "shape") == 0         ? SHAPE
                                                           : 0;
        if (bit == 0 || seen & bit)
            return malformed(c, bit ? "a key is given twice" : "it has a key that the format does not know");
        seen |= bit;
        if (bit == DESCR ? !descr_read(c, entry) : bit == ORDER ? !order_read(c) : !shape_read(c, entry))
            return false;
    }
    if (seen != (DESCR | ORDER | SHAPE))
        return malformed(c, "it lacks one of descr, fortran_order, shape");
    c->at += strspn(c->at, " \n");
    return *c->at == '\0' || malformed(c, "something follows its end");
}

/* Where the header's text is: *offset and *bytes. */
static bool prelude_read(int fd, uint64_t file_bytes, uint64_t *offset, uint64_t *bytes, struct problem *why) {
    unsigned char version[VERSION_BYTES], length[4] = {0};
    if (!tensor_format_pread(fd, version, VERSION_BYTES, TENSOR_NPY_MAGIC_LENGTH, why))
        return false;
    if (version[1] != 0 || version[0] < 1 || version[0] > 2)
        return problem_set(why, PROBLEM_UNSUPPORTED, "", "npy version %u.%u is not supported; 1.0 and 2.0 are",
                           version[0], version[1]);
    uint64_t length_bytes = version[0] == 1 ? 2 : 4, at = TENSOR_NPY_MAGIC_LENGTH + VERSION_BYTES;
    if (!tensor_format_pread(fd, length, length_bytes, at, why))
        return false;
    *offset = at + length_bytes;
    *bytes = length[0] | (uint64_t)length[1] << 8 | (uint64_t)length[2] << 16 | (uint64_t)length[3] << 24;
    if (*bytes > TENSOR_FILE_HEADER_MAX)
        return problem_set(why, PROBLEM_LIMIT, "", "the npy header has %llu bytes; the most is %llu",
                           (unsigned long long)*bytes, (unsigned long long)TENSOR_FILE_HEADER_MAX);
    if (*bytes > file_bytes - *offset)
        return problem_set(why, PROBLEM_MALFORMED, "", "the npy header says %llu bytes, the file ends before",
                           (unsigned long long)*bytes);
    return true;
}

bool tensor_npy_read(int fd, uint64_t file_bytes, struct arena *arena, struct tensor_file *file, struct problem *why) {
    uint64_t offset = 0, bytes = 0;
    if (!prelude_read(fd, file_bytes, &offset, &bytes, why))
        return false;
    char *text = arena_take(arena, bytes + 1, 1, why);
    struct tensor_entry *entry = arena_new(arena, struct tensor_entry, 1, why);
    if (!text || !entry || !tensor_format_pread(fd, text, bytes, offset, why))
        return false;
    struct cursor c = {text, why};
    if (strlen(text) != bytes)
        return malformed(&c, "it has a NUL byte");
    entry->name = "";
    if (!header_read(&c, entry) || !tensor_format_sized(entry, why))
        return false;
    entry->offset = offset + bytes;
    if (entry->bytes != file_bytes - entry->offset)
        return problem_set(why, PROBLEM_MALFORMED, "", "the npy array is %llu bytes by its shape; the file has %llu",
                           (unsigned long long)entry->bytes, (unsigned long long)(file_bytes - entry->offset));
    file->entries = entry;
    file->n_entries = 1;
    return true;
}

char *tensor_file_npy_header(struct arena *arena, const struct tensor_entry *entry, size_t *bytes,
                             struct problem *why) {
    const char *descr = NULL;
    for (size_t i = 0; i < DESCR_ROWS && !descr; i++)
        if (descrs[i].dtype == entry->dtype && descrs[i].boolean == entry->boolean)
            descr = descrs[i].name;
    if (!descr) {
        problem_set(why, PROBLEM_UNSUPPORTED, "", "npy has no name for %s: ask for safetensors",
                    dtype_name(entry->dtype));
        return NULL;
    }
    char shape[TENSOR_FILE_RANK_MAX * 22 + 1] = "";
    for (unsigned i = 0, n = 0; i < entry->rank; i++)
        n += (unsigned)sprintf(shape + n, "%s%llu%s", i ? " " : "", (unsigned long long)entry->shape[i],
                               i + 1 < entry->rank || entry->rank == 1 ? "," : "");
    char text[512];
    int length = snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, shape);
    size_t before = TENSOR_NPY_MAGIC_LENGTH + VERSION_BYTES + 2;
    size_t whole = (before + (size_t)length + 1 + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT, header = whole - before;
    char *out = arena_take(arena, whole + 1, 1, why);
    if (!out)
        return NULL;
    memset(out, ' ', whole);
    memcpy(out, TENSOR_NPY_MAGIC "\x01\x00", TENSOR_NPY_MAGIC_LENGTH + VERSION_BYTES);
    out[before - 2] = (char)(header & 0xff);
    out[before - 1] = (char)(header >> 8);
    memcpy(out + before, text, (size_t)length);
    out[whole - 1] = '\n';
    *bytes = whole;
    return out;
}
