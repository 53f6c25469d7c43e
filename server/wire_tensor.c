/* wire_tensor.c - see wire_tensor.h */
#include "server/wire_tensor.h"

#include <float.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/rng.h"
#include "engine/base/units.h"
#include "engine/kernels/attn.h"

static bool elements_count(const struct wire_value *v, struct wire_tensor *out, struct problem *why) {
    uint64_t bytes;
    if (!units_product(out->shape, out->rank, &out->elements) || !units_mul(out->elements, sizeof(float), &bytes) ||
        bytes > (uint64_t)1 << 62)
        return wire_fail(v, why, PROBLEM_LIMIT, "is a shape of more than 2^62 bytes");
    return true;
}

static bool rank_check(const struct wire_value *v, const struct wire_tensor_rules *rules, unsigned rank,
                       struct problem *why) {
    if (rank < rules->rank_min || rank > rules->rank_max)
        return wire_fail(v, why, PROBLEM_SHAPE, "has rank %u; it must be from %u to %u", rank, rules->rank_min,
                         rules->rank_max);
    return true;
}

static bool shape_read(const struct wire_value *v, const struct wire_tensor_rules *rules, struct wire_tensor *out,
                       struct problem *why) {
    if (!wire_array(v, 0, SIZE_MAX, why) ||
        !rank_check(v, rules, wire_length(v) > UINT32_MAX ? UINT32_MAX : (unsigned)wire_length(v), why))
        return false;
    out->rank = (unsigned)wire_length(v);
    for (unsigned i = 0; i < out->rank; i++) {
        struct wire_value size = wire_at(v, i);
        if (!wire_uint(&size, 1, WIRE_INTEGER_MAX, &out->shape[i], why))
            return false;
    }
    return elements_count(v, out, why);
}

static bool number_read(const struct wire_value *v, bool mask, float *out, struct problem *why) {
    enum wire_type type = wire_type(v);
    double value;
    if (mask && (type == WIRE_NULL || type == WIRE_BOOL)) {
        bool may = false;
        if (type == WIRE_BOOL && !wire_bool(v, &may, why))
            return false;
        *out = may ? 0.0f : -INFINITY;
        return true;
    }
    if (!wire_real(v, -(double)FLT_MAX, (double)FLT_MAX, &value, why))
        return false;
    *out = (float)value;
    return true;
}

/* Elements of the dimensions from `level` on; returns where the next one goes, or NULL. */
static float *nested_read(const struct wire_value *v, const struct wire_tensor *t, unsigned level, float *dst,
                          struct problem *why) {
    if (level == t->rank)
        return number_read(v, t->mask, dst, why) ? dst + 1 : NULL;
    if (!wire_array(v, 0, SIZE_MAX, why))
        return NULL;
    size_t n = wire_length(v);
    if (n != t->shape[level]) {
        wire_fail(v, why, PROBLEM_SHAPE, "has %zu elements; dimension %u has %llu", n, level,
                  (unsigned long long)t->shape[level]);
        return NULL;
    }
    for (size_t i = 0; dst && i < n; i++) {
        struct wire_value element = wire_at(v, i);
        dst = nested_read(&element, t, level + 1, dst, why);
    }
    return dst;
}

/* The shape of a nested list, from its first elements. */
static unsigned nesting(const struct wire_value *v, uint64_t shape[TENSOR_FILE_RANK_MAX]) {
    struct wire_value down = *v;
    unsigned rank = 0;
    while (wire_type(&down) == WIRE_ARRAY) {
        size_t n = wire_length(&down);
        if (rank < TENSOR_FILE_RANK_MAX)
            shape[rank] = n;
        rank++;
        if (n == 0)
            break;
        down = wire_at(&down, 0);
    }
    return rank;
}

static bool list_read(const struct wire_value *v, const struct wire_tensor_rules *rules, bool shaped,
                      struct wire_tensor *out, struct problem *why) {
    uint64_t shape[TENSOR_FILE_RANK_MAX];
    if (!wire_array(v, 1, SIZE_MAX, why))
        return false;
    unsigned rank = nesting(v, shape);
    if (!shaped) {
        if (!rank_check(v, rules, rank, why))
            return false;
        out->rank = rank;
        memcpy(out->shape, shape, sizeof shape);
        for (unsigned i = 0; i < rank; i++)
            if (shape[i] == 0)
                return wire_fail(v, why, PROBLEM_SHAPE, "has an empty list in it");
        if (!elements_count(v, out, why))
            return false;
    }
    /* Every element costs at least two bytes of a small body: a shape that promises more is refused before memory is.
     */
    if (out->elements > WIRE_NUMBERS_MAX)
        return wire_fail(v, why, PROBLEM_SHAPE, "cannot hold the %llu elements of its shape",
                         (unsigned long long)out->elements);
    float *data = arena_new(rules->arena, float, out->elements, why);
    if (!data)
        return false;
    struct wire_tensor read = *out;
    if (shaped && rank == 1 && out->rank != 1) {
        read.rank = 1;
        read.shape[0] = out->elements;
    }
    out->kind = WIRE_TENSOR_INLINE;
    out->data = data;
    return nested_read(v, &read, 0, data, why) != NULL;
}

static bool random_read(const struct wire_value *v, struct wire_tensor *out, struct problem *why) {
    static const char *const fields[] = {"seed", "distribution", "scale", NULL};
    const char *distribution = "normal";
    double factor = 1;
    struct wire_value seed, named;
    if (!wire_object(v, fields, why) || !wire_need(v, "seed", &seed, why) ||
        !wire_uint(&seed, 0, WIRE_INTEGER_MAX, &out->seed, why) ||
        !wire_string_of(v, "distribution", &distribution, why) ||
        !wire_real_of(v, "scale", -(double)FLT_MAX, (double)FLT_MAX, &factor, why))
        return false;
    out->kind = WIRE_TENSOR_RANDOM;
    out->factor = (float)factor;
    out->uniform = strcmp(distribution, "uniform") == 0;
    if (!out->uniform && strcmp(distribution, "normal") != 0 && wire_get(v, "distribution", &named))
        return wire_fail(&named, why, PROBLEM_LIMIT, "must be \"normal\" or \"uniform\"");
    return true;
}

static bool stored_read(const struct wire_value *v, const struct wire_tensor_rules *rules, struct wire_tensor *out,
                        struct problem *why) {
    static const char *const fields[] = {"tensor", "name", NULL};
    const char *digest, *name = NULL;
    struct wire_value tensor;
    struct tensor_file file;
    uint64_t bytes;
    if (!wire_object(v, fields, why) || !wire_need(v, "tensor", &tensor, why) || !wire_string(&tensor, &digest, why) ||
        !wire_string_of(v, "name", &name, why))
        return false;
    int fd = blob_read_open(rules->blobs, digest, &bytes, why);
    if (fd < 0)
        return wire_nest(&tensor, why);
    bool ok = tensor_file_read(fd, bytes, rules->arena, &file, why) || wire_nest(&tensor, why);
    close(fd);
    if (!ok || why->kind != PROBLEM_NONE)
        return false;
    const struct tensor_entry *entry = tensor_file_find(&file, name, why);
    if (!entry)
        return wire_nest(v, why);
    if (!rank_check(v, rules, entry->rank, why))
        return false;
    out->kind = WIRE_TENSOR_STORED;
    out->entry = *entry;
    out->rank = entry->rank;
    memcpy(out->shape, entry->shape, sizeof out->shape);
    for (unsigned i = 0; i < entry->rank; i++)
        if (entry->shape[i] == 0)
            return wire_fail(v, why, PROBLEM_SHAPE, "is an empty tensor");
    out->digest = arena_copy(rules->arena, digest, strlen(digest) + 1, why);
    return out->digest && elements_count(v, out, why);
}

bool wire_tensor_read(const struct wire_value *v, const struct wire_tensor_rules *rules, struct wire_tensor *out,
                      struct problem *why) {
    static const char *const inline_fields[] = {"shape", "data", NULL};
    static const char *const random_fields[] = {"shape", "random", NULL};
    static const char *const any_fields[] = {"shape", "data", "random", "tensor", "name", NULL};
    struct wire_value shape, inner;
    *out = (struct wire_tensor){.factor = 1, .mask = rules->mask};
    if (wire_type(v) == WIRE_ARRAY)
        return list_read(v, rules, false, out, why);
    if (!wire_object(v, any_fields, why))
        return false;
    if (wire_get(v, "tensor", &inner))
        return stored_read(v, rules, out, why);
    if (wire_get(v, "random", &inner))
        return wire_object(v, random_fields, why) && wire_need(v, "shape", &shape, why) &&
               shape_read(&shape, rules, out, why) && random_read(&inner, out, why);
    if (!wire_get(v, "data", &inner))
        return wire_fail(v, why, PROBLEM_MISSING_FIELD, "needs \"data\", \"random\" or \"tensor\"");
    if (!wire_object(v, inline_fields, why))
        return false;
    bool shaped = wire_get(v, "shape", &shape);
    return (!shaped || shape_read(&shape, rules, out, why)) && list_read(&inner, rules, shaped, out, why);
}

struct wire_tensor wire_tensor_ones(unsigned rank, const uint64_t *shape, uint64_t elements) {
    struct wire_tensor t = {.kind = WIRE_TENSOR_ONES, .rank = rank, .elements = elements, .factor = 1};
    memcpy(t.shape, shape, rank * sizeof *shape);
    return t;
}

static bool stored_load(const struct wire_tensor *t, struct blob_store *blobs, float *dst, struct problem *why) {
    uint64_t bytes;
    int fd = blob_read_open(blobs, t->digest, &bytes, why);
    if (fd < 0)
        return false;
    bool ok = tensor_file_load(fd, &t->entry, dst, why);
    close(fd);
    for (uint64_t i = 0; ok && t->mask && t->entry.boolean && i < t->elements; i++)
        dst[i] = dst[i] != 0 ? 0.0f : -INFINITY;
    return ok;
}

bool wire_tensor_load(const struct wire_tensor *t, struct blob_store *blobs, float *dst, struct problem *why) {
    switch (t->kind) {
    case WIRE_TENSOR_INLINE:
        memcpy(dst, t->data, t->elements * sizeof *dst);
        return true;
    case WIRE_TENSOR_RANDOM:
        if (t->uniform)
            rng_fill_uniform(dst, t->elements, t->seed, RNG_TENSOR, 0.0f, 1.0f);
        else
            rng_fill_normal(dst, t->elements, t->seed, RNG_TENSOR, 1.0f);
        for (uint64_t i = 0; t->factor != 1 && i < t->elements; i++)
            dst[i] *= t->factor;
        return true;
    case WIRE_TENSOR_STORED:
        return stored_load(t, blobs, dst, why);
    case WIRE_TENSOR_ONES:
        break;
    }
    for (uint64_t i = 0; i < t->elements; i++)
        dst[i] = 1.0f;
    return true;
}

static bool window_read(const struct wire_value *v, struct wire_mask *out, struct problem *why) {
    static const char *const fields[] = {"window", "causal", NULL};
    struct wire_value window;
    bool causal = true;
    if (!wire_object(v, fields, why) || !wire_need(v, "window", &window, why) ||
        !wire_uint(&window, 1, WIRE_INTEGER_MAX, &out->behind, why) || !wire_bool_of(v, "causal", &causal, why))
        return false;
    out->ahead = causal ? 1 : out->behind;
    return true;
}

bool wire_mask_read(const struct wire_value *v, const struct wire_tensor_rules *rules, struct wire_mask *out,
                    struct problem *why) {
    struct wire_value window;
    const char *name;
    *out = (struct wire_mask){.behind = ATTN_FAR, .ahead = ATTN_FAR};
    if (wire_type(v) == WIRE_NULL)
        return true;
    if (wire_type(v) == WIRE_STRING) {
        if (!wire_string(v, &name, why))
            return false;
        if (strcmp(name, "causal") == 0)
            out->ahead = 1;
        else if (strcmp(name, "none") != 0)
            return wire_fail(v, why, PROBLEM_LIMIT, "must be \"none\", \"causal\", a window or a tensor");
        return true;
    }
    if (wire_type(v) == WIRE_OBJECT && (wire_get(v, "window", &window) || wire_get(v, "causal", &window)))
        return window_read(v, out, why);
    struct wire_tensor_rules own = *rules;
    own.mask = true;
    own.rank_min = 2;
    own.rank_max = 4;
    out->bias = arena_new(rules->arena, struct wire_tensor, 1, why);
    return out->bias && wire_tensor_read(v, &own, out->bias, why);
}

bool wire_dropout_read(const struct wire_value *v, struct attn_dropout *out, struct problem *why) {
    static const char *const fields[] = {"p", "seed", NULL};
    struct wire_value p = *v;
    uint64_t seed = 0;
    if (wire_type(v) == WIRE_OBJECT && (!wire_object(v, fields, why) || !wire_need(v, "p", &p, why) ||
                                        !wire_uint_of(v, "seed", 0, WIRE_INTEGER_MAX, &seed, why)))
        return false;
    double value;
    if (!wire_real(&p, 0, 1, &value, why))
        return false;
    if (value >= 1)
        return wire_fail(&p, why, PROBLEM_LIMIT, "must be below 1");
    *out = (struct attn_dropout){.p = value, .seed = seed};
    return true;
}
