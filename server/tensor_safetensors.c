/* tensor_safetensors.c - the safetensors format.
 *
 *   u64 little endian: H | H bytes of JSON, padded with spaces | data
 *   {"__metadata__": {"key": "text"}, "NAME": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}
 *
 * Offsets count from the first byte of the data. The header is read with a parser of its own: it accepts this grammar
 * and nothing more, so there is nothing to be surprised by. */
#include "server/tensor_format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/units.h"
#include "server/route.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "data are read as they lie in the file");

#define LENGTH_BYTES 8u
#define METADATA     "__metadata__"

static const struct {
    const char *name;
    enum dtype dtype;
    bool boolean;
} dtypes[] = {
    {"F32", DTYPE_FLOAT32, false}, {"F16", DTYPE_FLOAT16, false}, {"BF16", DTYPE_BFLOAT16, false},
    {"F64", DTYPE_FLOAT64, false}, {"I64", DTYPE_INT64, false},   {"I32", DTYPE_INT32, false},
    {"U8", DTYPE_UINT8, false},    {"BOOL", DTYPE_UINT8, true},
};
#define DTYPE_ROWS (sizeof dtypes / sizeof dtypes[0])

struct cursor {
    const char *at, *end;
    struct arena *arena;
    struct problem *why;
};

static bool malformed(struct cursor *c, const char *what) {
    return problem_set(c->why, PROBLEM_MALFORMED, "", "the safetensors header is not readable: %s", what);
}

static void space_skip(struct cursor *c) {
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\r' || *c->at == '\t'))
        c->at++;
}

/* Skips space, then takes the character if it comes next. */
static bool next_is(struct cursor *c, char wanted) {
    space_skip(c);
    if (c->at == c->end || *c->at != wanted)
        return false;
    c->at++;
    return true;
}

static bool expect(struct cursor *c, char wanted) {
    char what[] = "'x' is missing";
    what[1] = wanted;
    return next_is(c, wanted) || malformed(c, what);
}

/* The four digits of \uXXXX; -1 where there are none. */
static long unit_read(struct cursor *c) {
    long value = 0;
    if (c->end - c->at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        const char *digits = "0123456789abcdef", *found = strchr(digits, *c->at >= 'A' ? *c->at | 0x20 : *c->at);
        if (*c->at == '\0' || !found)
            return -1;
        value = value * 16 + (found - digits);
        c->at++;
    }
    return value;
}

/* Behind a backslash: writes what the escape stands for. */
static bool escape_read(struct cursor *c, char **out) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (c->at == c->end)
        return malformed(c, "it ends within a name");
    char kind = *c->at++;
    const char *simple = kind ? strchr(from, kind) : NULL;
    if (simple) {
        *(*out)++ = to[simple - from];
        return true;
    }
    long code = kind == 'u' ? unit_read(c) : -1;
    if (code >= 0xd800 && code < 0xdc00 && c->end - c->at > 2 && c->at[0] == '\\' && c->at[1] == 'u') {
        c->at += 2;
        long low = unit_read(c);
        code = low >= 0xdc00 && low < 0xe000 ? 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00) : -1;
    }
    if (code <= 0 || (code >= 0xd800 && code < 0xe000))
        return malformed(c, "a name has an escape that stands for no character");
    char *p = *out;
    if (code < 0x80) {
        *p++ = (char)code;
    } else {
        int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
        static const unsigned char lead[] = {0, 0xc0, 0xe0, 0xf0};
        *p++ = (char)(lead[more] | code >> (6 * more));
        while (more-- > 0)
            *p++ = (char)(0x80 | ((code >> (6 * more)) & 0x3f));
    }
    *out = p;
    return true;
}

/* A JSON string, decoded into the arena. No escape is shorter than what it stands for. */
static char *string_read(struct cursor *c) {
    if (!expect(c, '"'))
        return NULL;
    const char *close = c->at;
    while (close < c->end && *close != '"')
        close += *close == '\\' ? 2 : 1;
    if (close >= c->end) {
        malformed(c, "it ends within a name");
        return NULL;
    }
    char *text = arena_take(c->arena, (size_t)(close - c->at) + 1, 1, c->why);
    if (!text)
        return NULL;
    char *out = text;
    while (c->at < close) {
        unsigned char next = (unsigned char)*c->at++;
        if (next < 0x20) {
            malformed(c, "a name has a control character");
            return NULL;
        }
        if (next != '\\')
            *out++ = (char)next;
        else if (!escape_read(c, &out))
            return NULL;
    }
    c->at = close + 1;
    if (!route_text_is_utf8(text)) {
        malformed(c, "a name is not UTF-8");
        return NULL;
    }
    return text;
}

static bool number_read(struct cursor *c, uint64_t *value) {
    space_skip(c);
    const char *start = c->at;
    *value = 0;
    while (c->at < c->end && *c->at >= '0' && *c->at <= '9') {
        if (!units_mul(*value, 10, value) || !units_add(*value, (uint64_t)(*c->at - '0'), value))
            return problem_set(c->why, PROBLEM_LIMIT, "", "the safetensors header has a number past 2^64");
        c->at++;
    }
    if (c->at == start || (*start == '0' && c->at - start > 1))
        return malformed(c, "a whole number is missing");
    return true;
}

/* [a, b, ...] of at most room numbers. */
static bool numbers_read(struct cursor *c, uint64_t *values, unsigned room, unsigned *n) {
    *n = 0;
    if (!expect(c, '['))
        return false;
    if (next_is(c, ']'))
        return true;
    do {
        if (*n == room)
            return problem_set(c->why, PROBLEM_LIMIT, "", "the safetensors header has a list of more than %u numbers",
                               room);
        if (!number_read(c, &values[(*n)++]))
            return false;
    } while (next_is(c, ','));
    return expect(c, ']');
}

static bool dtype_read(struct cursor *c, struct tensor_entry *entry) {
    char *name = string_read(c);
    if (!name)
        return false;
    for (size_t i = 0; i < DTYPE_ROWS; i++)
        if (strcmp(dtypes[i].name, name) == 0) {
            entry->dtype = dtypes[i].dtype;
            entry->boolean = dtypes[i].boolean;
            return true;
        }
    return problem_set(c->why, PROBLEM_UNSUPPORTED, "",
                       "tensor '%.80s' has dtype %.20s; known are F32, F16, BF16, F64, I64, I32, U8, BOOL", entry->name,
                       name);
}

static bool entry_read(struct cursor *c, struct tensor_entry *entry) {
    enum { DTYPE = 1, SHAPE = 2, OFFSETS = 4 };
    unsigned seen = 0, n;
    uint64_t range[2];
    if (!expect(c, '{'))
        return false;
    do {
        char *key = string_read(c);
        if (!key || !expect(c, ':'))
            return false;
        unsigned bit = strcmp(key, "dtype") == 0          ? DTYPE
                       : strcmp(key, "shape") == 0        ? SHAPE
                       : strcmp(key, "data_offsets") == 0 ? OFFSETS
                                                          : 0;
        if (bit == 0 || seen & bit)
            return malformed(c, bit ? "a tensor gives a field twice"
                                    : "a tensor has a field that the format does not know");
        seen |= bit;
        if (bit == DTYPE ? !dtype_read(c, entry)
            : bit == SHAPE
                ? !numbers_read(c, entry->shape, TENSOR_FILE_RANK_MAX, &entry->rank)
                : !numbers_read(c, range, 2, &n) || (n != 2 && !malformed(c, "data_offsets are two numbers")))
            return false;
    } while (next_is(c, ','));
    if (!expect(c, '}'))
        return false;
    if (seen != (DTYPE | SHAPE | OFFSETS))
        return malformed(c, "a tensor lacks one of dtype, shape, data_offsets");
    if (!tensor_format_sized(entry, c->why))
        return false;
    if (range[1] < range[0] || range[1] - range[0] != entry->bytes)
        return problem_set(c->why, PROBLEM_MALFORMED, "",
                           "tensor '%.80s' is %llu bytes by its shape, but not by its offsets", entry->name,
                           (unsigned long long)entry->bytes);
    entry->offset = range[0];
    return true;
}

/* {"key": "text", ...}: checked, not kept. */
static bool metadata_read(struct cursor *c) {
    if (!expect(c, '{'))
        return false;
    if (next_is(c, '}'))
        return true;
    do {
        if (!string_read(c) || !expect(c, ':') || !string_read(c))
            return false;
    } while (next_is(c, ','));
    return expect(c, '}');
}

static bool header_read(struct cursor *c, struct tensor_file *file, unsigned room) {
    bool metadata = false;
    if (c->at == c->end || *c->at != '{')
        return malformed(c, "it does not start with '{'");
    c->at++;
    if (!next_is(c, '}')) {
        do {
            char *name = string_read(c);
            if (!name || !expect(c, ':'))
                return false;
            if (strcmp(name, METADATA) == 0) {
                if (metadata)
                    return malformed(c, METADATA " is given twice");
                metadata = true;
                if (!metadata_read(c))
                    return false;
                continue;
            }
            if (file->n_entries == TENSOR_FILE_ENTRIES_MAX)
                return problem_set(c->why, PROBLEM_LIMIT, "", "the file holds more than %u tensors",
                                   TENSOR_FILE_ENTRIES_MAX);
            if (file->n_entries == room)
                return malformed(c, "a tensor is not an object");
            struct tensor_entry *entry = &file->entries[file->n_entries++];
            entry->name = name;
            if (!entry_read(c, entry))
                return false;
        } while (next_is(c, ','));
        if (!expect(c, '}'))
            return false;
    }
    space_skip(c);
    return c->at == c->end || malformed(c, "something follows its end");
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(const struct tensor_entry *const *)a)->name, (*(const struct tensor_entry *const *)b)->name);
}

static int by_offset(const void *a, const void *b) {
    const struct tensor_entry *x = *(const struct tensor_entry *const *)a, *y = *(const struct tensor_entry *const *)b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

/* No name twice; the ranges, put in order, follow each other from 0 to data_bytes. */
static bool entries_check(struct tensor_file *file, uint64_t data_bytes, struct arena *arena, struct problem *why) {
    struct tensor_entry **order = arena_new(arena, struct tensor_entry *, file->n_entries, why);
    if (!order)
        return false;
    for (unsigned i = 0; i < file->n_entries; i++)
        order[i] = &file->entries[i];
    qsort(order, file->n_entries, sizeof *order, by_name);
    for (unsigned i = 1; i < file->n_entries; i++)
        if (strcmp(order[i - 1]->name, order[i]->name) == 0)
            return problem_set(why, PROBLEM_MALFORMED, "", "the file names two tensors '%.80s'", order[i]->name);
    qsort(order, file->n_entries, sizeof *order, by_offset);
    uint64_t at = 0;
    for (unsigned i = 0; i < file->n_entries; i++) {
        if (order[i]->offset != at)
            return problem_set(why, PROBLEM_MALFORMED, "",
                               "tensor '%.80s' starts at byte %llu of the data, not at %llu", order[i]->name,
                               (unsigned long long)order[i]->offset, (unsigned long long)at);
        if (!units_add(at, order[i]->bytes, &at) || at > data_bytes)
            return problem_set(why, PROBLEM_MALFORMED, "", "tensor '%.80s' ends beyond the file", order[i]->name);
    }
    return at == data_bytes || problem_set(why, PROBLEM_MALFORMED, "", "%llu bytes of the file belong to no tensor",
                                           (unsigned long long)(data_bytes - at));
}

bool tensor_safetensors_read(int fd, uint64_t file_bytes, struct arena *arena, struct tensor_file *file,
                             struct problem *why) {
    uint64_t header_bytes;
    if (!tensor_format_pread(fd, &header_bytes, LENGTH_BYTES, 0, why))
        return false;
    uint64_t after = file_bytes - LENGTH_BYTES;
    if (header_bytes > TENSOR_FILE_HEADER_MAX)
        return problem_set(why, header_bytes > after ? PROBLEM_MALFORMED : PROBLEM_LIMIT, "",
                           "neither an npy file, nor safetensors with a header of at most %llu bytes",
                           (unsigned long long)TENSOR_FILE_HEADER_MAX);
    if (header_bytes > after)
        return problem_set(why, PROBLEM_MALFORMED, "", "the safetensors header says %llu bytes, the file ends before",
                           (unsigned long long)header_bytes);
    char *text = arena_take(arena, header_bytes + 1, 1, why);
    if (!text || !tensor_format_pread(fd, text, header_bytes, LENGTH_BYTES, why))
        return false;
    uint64_t room = 0; /* every tensor opens a brace */
    for (uint64_t i = 0; i < header_bytes; i++)
        room += text[i] == '{';
    room = units_min(room, TENSOR_FILE_ENTRIES_MAX);
    if (!(file->entries = arena_new(arena, struct tensor_entry, room, why)))
        return false;
    struct cursor c = {text, text + header_bytes, arena, why};
    if (!header_read(&c, file, (unsigned)room) || !entries_check(file, after - header_bytes, arena, why))
        return false;
    for (unsigned i = 0; i < file->n_entries; i++)
        file->entries[i].offset += LENGTH_BYTES + header_bytes;
    return true;
}

static const char *dtype_text(const struct tensor_entry *entry) {
    size_t i = 0;
    while (dtypes[i].dtype != entry->dtype || dtypes[i].boolean != entry->boolean)
        i++; /* every dtype has a row */
    return dtypes[i].name;
}

static char *entry_text(struct arena *arena, const struct tensor_entry *entry, uint64_t begin, struct problem *why) {
    char shape[TENSOR_FILE_RANK_MAX * 21 + 1] = "";
    for (unsigned i = 0, n = 0; i < entry->rank; i++)
        n += (unsigned)sprintf(shape + n, "%s%llu", i ? "," : "", (unsigned long long)entry->shape[i]);
    const char *name = route_json_text(entry->name, arena);
    if (!name) {
        problem_set(why, PROBLEM_MEMORY, "", "no memory for a tensor's name");
        return NULL;
    }
    return arena_printf(arena, why, "%s:{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%llu,%llu]}", name,
                        dtype_text(entry), shape, (unsigned long long)begin,
                        (unsigned long long)(begin + entry->bytes));
}

char *tensor_file_safetensors_header(struct arena *arena, const struct tensor_entry *entries, unsigned n, size_t *bytes,
                                     struct problem *why) {
    const char **texts = arena_new(arena, const char *, n, why);
    uint64_t length = 2 + (n > 0 ? n - 1 : 0), begin = 0; /* braces and commas */
    if (!texts)
        return NULL;
    for (unsigned i = 0; i < n; i++) {
        if (!(texts[i] = entry_text(arena, &entries[i], begin, why)))
            return NULL;
        length += strlen(texts[i]);
        begin += entries[i].bytes;
    }
    uint64_t padded = (length + 7) / 8 * 8;
    char *header = arena_take(arena, LENGTH_BYTES + padded + 1, 1, why);
    if (!header)
        return NULL;
    memcpy(header, &padded, LENGTH_BYTES);
    char *at = header + LENGTH_BYTES;
    *at++ = '{';
    for (unsigned i = 0; i < n; i++) {
        if (i > 0)
            *at++ = ',';
        size_t text_length = strlen(texts[i]);
        memcpy(at, texts[i], text_length);
        at += text_length;
    }
    *at++ = '}';
    memset(at, ' ', padded - length);
    *bytes = LENGTH_BYTES + padded;
    return header;
}
