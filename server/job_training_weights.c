/* job_training_weights.c - see job_training_weights.h */
#include "server/job_training_weights.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/units.h"
#include "engine/kernels/numbers.h"
#include "engine/models/model.h"

enum { CHUNK = 4096 };

const char *job_training_parameter_name(const struct graph *g, uint32_t parameter, struct arena *a,
                                        struct problem *why) {
    const uint32_t layer = model_parameter_layer(g, parameter);
    return layer == GRAPH_NONE ? g->tensors[parameter].name
                               : arena_printf(a, why, "%u.%s", layer, g->tensors[parameter].name);
}

/* ---- reading ---- */

bool job_training_weights_read(struct job *job, const struct wire_value *request, const struct job_context *c,
                               struct training_weights *out, struct problem *why) {
    static const char *const fields[] = {"tensor", NULL};
    struct wire_tensor noted = {.kind = WIRE_TENSOR_STORED};
    struct wire_value v, digest;
    uint64_t bytes;
    if (!wire_get(request, "weights", &v))
        return true;
    if (!wire_object(&v, fields, why) || !wire_need(&v, "tensor", &digest, why) ||
        !wire_string(&digest, &noted.digest, why))
        return false;
    noted.digest = out->digest = arena_copy(c->arena, noted.digest, strlen(noted.digest) + 1, why);
    if (!out->digest)
        return false;
    int fd = blob_read_open(c->blobs, out->digest, &bytes, why);
    if (fd < 0)
        return wire_nest(&digest, why);
    bool ok = tensor_file_read(fd, bytes, c->arena, &out->file, why);
    close(fd);
    if (!ok)
        return wire_nest(&v, why);
    if (out->file.format != TENSOR_FILE_SAFETENSORS)
        return wire_fail(&v, why, PROBLEM_UNSUPPORTED, "must be a safetensors file: it names its tensors");
    return job_tensor_note(job, &noted, c->arena, why);
}

/* ---- finding ---- */

static bool entry_find(const struct tensor_file *f, const char *prefix, const char *name, unsigned *entry) {
    const size_t n = strlen(prefix);
    for (*entry = 0; *entry < f->n_entries; ++*entry) {
        const char *there = f->entries[*entry].name;
        if (strncmp(there, prefix, n) == 0 && strcmp(there + n, name) == 0)
            return true;
    }
    return false;
}

/* By the names jobs give. False, and nothing set, where the file has others. */
static bool own_names(struct training_weights *w, const struct graph *g, const char *prefix, bool *are, struct arena *a,
                      struct problem *why) {
    struct checkpoint_map *m = &w->map;
    bool *used = arena_new(a, bool, w->file.n_entries, why);
    *m = (struct checkpoint_map){0};
    m->slices = arena_new(a, struct checkpoint_slice, g->n_tensors, why);
    m->strangers = arena_new(a, unsigned, w->file.n_entries, why);
    if (!used || !m->slices || !m->strangers)
        return false;
    *are = false;
    for (uint32_t t = 0; t < g->n_tensors; t++) {
        const struct tensor *p = &g->tensors[t];
        struct checkpoint_slice *s = &m->slices[m->n_slices];
        if (p->role != TENSOR_PARAMETER)
            continue;
        const char *name = job_training_parameter_name(g, t, a, why);
        *s = (struct checkpoint_slice){.tensor = t, .rows = p->rank ? p->shape[0] : 1, .rank = p->rank};
        memcpy(s->shape, p->shape, sizeof s->shape);
        if (!name)
            return false;
        if (!entry_find(&w->file, prefix, name, &s->entry)) {
            if (m->n_slices == 0)
                return true; /* other names */
            return problem_set(why, PROBLEM_NOT_FOUND, "/weights", "has no tensor %s%s", prefix, name);
        }
        used[s->entry] = true;
        m->n_slices++;
    }
    for (unsigned i = 0; i < w->file.n_entries; i++)
        if (!used[i] && strncmp(w->file.entries[i].name, prefix, strlen(prefix)) == 0)
            m->strangers[m->n_strangers++] = i;
    *are = true;
    return true;
}

static bool checkpoint_try(struct training_weights *w, const struct checkpoint_names *n, const struct graph *g,
                           const char *const *names, struct arena *a, struct problem *why) {
    return checkpoint_names_map(n, g, names, w->file.n_entries, a, &w->map, why);
}

/* A preset does not say whose names its files have: the first that has all of them. */
static bool checkpoint_search(struct training_weights *w, const struct graph *g, const char *const *names,
                              struct arena *a, struct problem *why) {
    const struct checkpoint_names *n;
    for (unsigned i = 0; (n = checkpoint_names_at(i)); i++) {
        struct problem one = {0};
        if (checkpoint_try(w, n, g, names, a, &one) && w->map.n_strangers == 0)
            return true;
        if (one.kind == PROBLEM_MEMORY) {
            *why = one;
            return false;
        }
    }
    return problem_set(why, PROBLEM_NOT_FOUND, "/weights",
                       "has not the tensors of this model under names that are known; with the model as hf_config, the "
                       "first that lacks is named");
}

static bool checkpoint_map(struct training_weights *w, const struct graph *g, const char *type, struct arena *a,
                           struct problem *why) {
    const struct checkpoint_names *n = type ? checkpoint_names_find(type) : NULL;
    const char **names = arena_new(a, const char *, w->file.n_entries, why);
    if (!names)
        return false;
    for (unsigned i = 0; i < w->file.n_entries; i++)
        names[i] = w->file.entries[i].name;
    if (!type)
        return checkpoint_search(w, g, names, a, why);
    if (!n)
        return problem_set(why, PROBLEM_UNSUPPORTED, "/weights", "names of files of %s are not known", type);
    return checkpoint_try(w, n, g, names, a, why) || problem_nest(why, "/weights");
}

static bool slice_check(const struct training_weights *w, const struct checkpoint_slice *s, struct problem *why) {
    const struct tensor_entry *e = &w->file.entries[s->entry];
    char want[TENSOR_FILE_SHAPE_BYTES], have[TENSOR_FILE_SHAPE_BYTES];
    if (e->boolean || (e->dtype != DTYPE_FLOAT32 && e->dtype != DTYPE_FLOAT64 && e->dtype != DTYPE_BFLOAT16 &&
                       e->dtype != DTYPE_FLOAT16))
        return problem_set(why, PROBLEM_UNSUPPORTED, "/weights", "%.160s is %s; weights are floating numbers", e->name,
                           e->boolean ? "bool" : dtype_name(e->dtype));
    if (e->rank == s->rank && memcmp(e->shape, s->shape, s->rank * sizeof *s->shape) == 0)
        return true;
    return problem_set(why, PROBLEM_SHAPE, "/weights", "%.160s is %s; the model has %s", e->name,
                       tensor_file_shape_text(e->rank, e->shape, have),
                       tensor_file_shape_text(s->rank, s->shape, want));
}

bool job_training_weights_map(struct training_weights *w, const struct graph *g, const char *type, struct arena *a,
                              struct problem *why) {
    static const char *const prefixes[] = {"", "weights.", "initial_weights."};
    bool own = false;
    if (!w->digest)
        return true;
    for (size_t i = 0; !own && i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (!own_names(w, g, prefixes[i], &own, a, why))
            return false;
    if (!own && !checkpoint_map(w, g, type, a, why))
        return false;
    for (uint32_t i = 0; i < w->map.n_slices; i++)
        if (!slice_check(w, &w->map.slices[i], why))
            return false;
    return w->map.n_strangers == 0 ||
           problem_set(why, PROBLEM_UNKNOWN_FIELD, "/weights", "has %.160s, which is no tensor of this model",
                       w->file.entries[w->map.strangers[0]].name);
}

/* ---- filling ---- */

struct filling {
    const struct graph *g;
    const struct checkpoint_slice *s;
    const struct tensor_entry *entry;
    int fd;
    struct numbers to;
    uint64_t base, elements; /* of the slice within the parameter */
};

static bool file_read(const struct filling *f, uint64_t from, uint64_t n, float *out, struct problem *why) {
    return tensor_file_load_part(f->fd, f->entry, from, n, out, why);
}

static bool plain_fill(const struct filling *f, struct problem *why) {
    const uint64_t row = f->elements / f->s->rows, run = (f->s->run ? f->s->run : f->s->rows) * row;
    float chunk[CHUNK];
    for (uint64_t i = 0, n; i < f->elements; i += n) {
        n = units_min(CHUNK, run - i % run);
        float *at = numbers_open(f->to, f->base + i, chunk);
        if (!file_read(f, checkpoint_names_index(f->g, f->s, i), n, at, why))
            return false;
        numbers_close(f->to, f->base + i, n, at);
    }
    return true;
}

/* A row of the file is a column of the parameter. */
static bool transposed_fill(const struct filling *f, struct problem *why) {
    const uint64_t columns = f->elements / f->s->rows;
    float chunk[CHUNK];
    for (uint64_t c = 0; c < columns; c++)
        for (uint64_t r = 0, n; r < f->s->rows; r += n) {
            n = units_min(CHUNK, f->s->rows - r);
            if (!file_read(f, c * f->s->shape[1] + f->s->first + r, n, chunk, why))
                return false;
            for (uint64_t i = 0; i < n; i++)
                numbers_set(f->to, f->base + (r + i) * columns + c, chunk[i]);
        }
    return true;
}

/* Within a row the numbers lie in another order. */
static bool permuted_fill(const struct filling *f, struct problem *why) {
    const uint64_t row = f->elements / f->s->rows;
    float *numbers = malloc(row * sizeof *numbers);
    bool ok = numbers || problem_set(why, PROBLEM_MEMORY, "", "there is no memory for a row of %s", f->entry->name);
    for (uint64_t r = 0; ok && r < f->s->rows; r++) {
        for (uint64_t i = 0, n; ok && i < row; i += n) {
            n = units_min(CHUNK, row - i);
            ok = file_read(f, (f->s->first + r) * row + i, n, numbers + i, why);
        }
        for (uint64_t i = 0; ok && i < row; i++)
            numbers_set(f->to, f->base + r * row + i,
                        numbers[checkpoint_names_index(f->g, f->s, r * row + i) - (f->s->first + r) * row]);
    }
    free(numbers);
    return ok;
}

bool job_training_weights_fill(const struct training_weights *w, const struct graph *g, uint32_t parameter,
                               struct blob_store *blobs, void *dst, struct problem *why) {
    static bool (*const fills[])(const struct filling *,
                                 struct problem *) = {[CHECKPOINT_PLAIN] = plain_fill,
                                                      [CHECKPOINT_TRANSPOSED] = transposed_fill,
                                                      [CHECKPOINT_CHANNELS_FIRST] = permuted_fill};
    const struct tensor *t = &g->tensors[parameter];
    uint64_t bytes;
    struct filling f = {.g = g, .to = {dst, t->dtype == DTYPE_BFLOAT16}};
    f.fd = blob_read_open(blobs, w->digest, &bytes, why);
    if (f.fd < 0)
        return problem_nest(why, "/weights");
    bool ok = true;
    for (uint32_t i = 0; ok && i < w->map.n_slices; i++) {
        f.s = &w->map.slices[i];
        if (f.s->tensor != parameter)
            continue;
        f.entry = &w->file.entries[f.s->entry];
        f.elements = t->elements / (f.s->is_expert ? t->shape[0] : 1);
        f.base = f.s->is_expert ? f.s->expert * f.elements : 0;
        ok = fills[f.s->layout](&f, why);
    }
    close(f.fd);
    return ok;
}
