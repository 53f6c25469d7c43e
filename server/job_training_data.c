/* job_training_data.c - see job_training_data.h */
#include "server/job_training_data.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/rng.h"
#include "engine/base/units.h"
#include "engine/kernels/numbers.h"

#define IDS_MAX    ((uint64_t)1 << 26) /* of one input: reading them all once takes a moment */
#define BYTES      256u                /* ids of a text */
#define MASK_SHARE 0.15

enum { CHUNK = 4096 };

/* ---- what there is ---- */

struct rules {
    const char *name;
    bool ids;
    bool (*wanted)(const struct model *m);
    uint64_t (*bound)(const struct model *m); /* ids are below it */
};

static bool any(const struct model *m) {
    (void)m;
    return true;
}
static bool reads_tokens(const struct model *m) {
    return m->family != MODEL_VISION;
}
static bool has_types(const struct model *m) {
    return m->type_vocab != 0;
}
static bool reads_source(const struct model *m) {
    return m->family == MODEL_ENCODER_DECODER && !m->mel_bins;
}
static bool sees(const struct model *m) {
    return m->family == MODEL_VISION;
}
static bool hears(const struct model *m) {
    return m->mel_bins != 0;
}
static uint64_t vocabulary(const struct model *m) {
    return m->vocab;
}
static uint64_t answers(const struct model *m) {
    return m->family == MODEL_VISION ? m->classes : m->vocab;
}
static uint64_t types(const struct model *m) {
    return m->type_vocab;
}

static const struct rules inputs[TRAINING_INPUTS] = {
    [TRAINING_TOKENS] = {"tokens", true, reads_tokens, vocabulary},
    [TRAINING_TARGETS] = {"targets", true, any, answers},
    [TRAINING_TYPES] = {"token_types", true, has_types, types},
    [TRAINING_SOURCE] = {"source_tokens", true, reads_source, vocabulary},
    [TRAINING_IMAGE] = {"image", false, sees, NULL},
    [TRAINING_SOUND] = {"sound", false, hears, NULL},
};

/* Ids of a row without the target behind it. */
static uint64_t row_length(const struct workload *w, enum training_input which) {
    if (w->model.family == MODEL_VISION)
        return 1;
    return which == TRAINING_SOURCE ? workload_source_len(w) : w->seq_len;
}

/* ---- single ids ---- */

struct ids {
    const struct training_rows *rows;
    int fd; /* of a stored tensor */
};

static bool ids_open(struct ids *i, const struct training_rows *rows, struct blob_store *blobs, struct problem *why) {
    uint64_t bytes;
    *i = (struct ids){rows, -1};
    if (!rows->given || rows->text || rows->tensor.kind != WIRE_TENSOR_STORED)
        return true;
    i->fd = blob_read_open(blobs, rows->tensor.digest, &bytes, why);
    return i->fd >= 0;
}

static void ids_close(const struct ids *i) {
    if (i->fd >= 0)
        close(i->fd);
}

/* As numbers: what is no whole one is found by whoever reads. n <= CHUNK. */
static bool ids_get(const struct ids *i, uint64_t from, uint64_t n, uint64_t bound, float *out, struct problem *why) {
    const struct wire_tensor *t = &i->rows->tensor;
    if (i->rows->text) {
        for (uint64_t j = 0; j < n; j++)
            out[j] = (float)(unsigned char)i->rows->text[from + j];
    } else if (t->kind == WIRE_TENSOR_INLINE) {
        memcpy(out, t->data + from, n * sizeof *out);
    } else if (t->kind == WIRE_TENSOR_STORED) {
        return tensor_file_load_part(i->fd, &t->entry, from, n, out, why);
    } else {
        for (uint64_t j = 0; j < n; j++) {
            uint32_t words[4];
            rng_words(t->seed, (uint32_t)((from + j) / 4), (uint32_t)((from + j) / 4 >> 32), 0, RNG_TENSOR, words);
            out[j] = (float)(words[(from + j) % 4] * bound >> 32);
        }
    }
    return true;
}

/* Every id of a given input once. */
static bool ids_check(const struct wire_value *v, const struct training_rows *rows, enum training_input which,
                      const struct model *m, struct blob_store *blobs, struct problem *why) {
    const uint64_t n = rows->text ? strlen(rows->text) : rows->tensor.elements, bound = inputs[which].bound(m);
    float chunk[CHUNK];
    struct ids i;
    if (!rows->text && rows->tensor.kind == WIRE_TENSOR_RANDOM)
        return true;
    if (n > IDS_MAX)
        return wire_fail(v, why, PROBLEM_LIMIT, "has %llu ids; the most is %llu", (unsigned long long)n,
                         (unsigned long long)IDS_MAX);
    if (!ids_open(&i, rows, blobs, why))
        return wire_nest(v, why);
    bool ok = true;
    for (uint64_t from = 0, some; ok && from < n; from += some) {
        some = units_min(CHUNK, n - from);
        ok = ids_get(&i, from, some, bound, chunk, why);
        for (uint64_t j = 0; ok && j < some; j++)
            if (!(chunk[j] == floorf(chunk[j]) && chunk[j] < (float)bound &&
                  (chunk[j] >= 0 || which == TRAINING_TARGETS)))
                ok = wire_fail(v, why, PROBLEM_LIMIT, "element %llu is %g, which is no id below %llu",
                               (unsigned long long)(from + j), (double)chunk[j], (unsigned long long)bound);
    }
    ids_close(&i);
    return ok;
}

/* ---- reading ---- */

/* What the elements are cut into; see the header. */
static bool rows_set(const struct wire_value *v, struct training_rows *r, enum training_input which,
                     const struct workload *w, struct problem *why) {
    const uint64_t n = row_length(w, which), all = r->text ? strlen(r->text) : r->tensor.elements;
    const unsigned rank = r->text ? 1 : r->tensor.rank;
    const uint64_t last = r->text ? all : r->tensor.shape[rank - 1];
    const bool next = which == TRAINING_TOKENS && !w->model.bidirectional; /* a target may follow */
    r->stride = r->length = last;
    r->n = last ? all / last : 0;
    if (n == 1 && rank == 1 && w->model.family == MODEL_VISION) {
        r->stride = r->length = 1;
        r->n = all;
    } else if (last == n || (next && last == n + 1)) {
        return true;
    } else if (rank == 1 && last > n && (which == TRAINING_TOKENS || which == TRAINING_SOURCE)) {
        r->stride = 1;
        r->length = n + next;
        r->n = last - r->length + 1;
        r->drawn = true;
    } else {
        return wire_fail(v, why, PROBLEM_SHAPE, "has rows of %llu ids; the model reads %llu%s",
                         (unsigned long long)last, (unsigned long long)n, next ? ", or one more for the targets" : "");
    }
    return true;
}

struct reading {
    struct job *job;
    const struct job_context *c;
    const struct workload *w;
    struct training_data *out;
};

static bool given_read(struct reading *r, const struct wire_value *v, enum training_input which, struct problem *why) {
    const struct wire_tensor_rules rules = {
        .blobs = r->c->blobs, .arena = r->c->arena, .rank_min = 1, .rank_max = TENSOR_FILE_RANK_MAX};
    struct training_rows *rows = &r->out->inputs[which];
    if (!inputs[which].wanted(&r->w->model))
        return wire_fail(v, why, PROBLEM_UNSUPPORTED, "is nothing this model reads");
    if (rows->given)
        return wire_fail(v, why, PROBLEM_UNSUPPORTED, "is given twice");
    rows->given = true;
    if (!wire_tensor_read(v, &rules, &rows->tensor, why) || !job_tensor_note(r->job, &rows->tensor, r->c->arena, why))
        return false;
    return !inputs[which].ids ||
           (rows_set(v, rows, which, r->w, why) && ids_check(v, rows, which, &r->w->model, r->c->blobs, why));
}

static bool text_read(struct reading *r, const struct wire_value *v, struct problem *why) {
    struct training_rows *rows = &r->out->inputs[TRAINING_TOKENS];
    const char *text;
    if (!wire_string(v, &text, why))
        return false;
    if (!reads_tokens(&r->w->model))
        return wire_fail(v, why, PROBLEM_UNSUPPORTED, "is nothing this model reads");
    if (rows->given)
        return wire_fail(v, why, PROBLEM_UNSUPPORTED, "and tokens say the same thing; give one of them");
    if (r->w->model.vocab < BYTES)
        return wire_fail(v, why, PROBLEM_UNSUPPORTED, "is read as bytes, and the vocabulary has fewer than 256 ids");
    rows->given = true;
    rows->text = arena_copy(r->c->arena, text, strlen(text) + 1, why);
    return rows->text && rows_set(v, rows, TRAINING_TOKENS, r->w, why);
}

bool job_training_data_read(struct job *job, const struct wire_value *request, const struct job_context *c,
                            const struct workload *w, uint64_t seed, struct training_data *out, struct problem *why) {
    const char *fields[TRAINING_INPUTS + 1] = {NULL};
    struct reading r = {job, c, w, out};
    struct wire_value v, list;
    *out = (struct training_data){.w = w, .seed = seed};
    for (unsigned i = 0; i < TRAINING_INPUTS; i++)
        fields[i] = inputs[i].name;
    if ((wire_get(request, "tokens", &v) && !given_read(&r, &v, TRAINING_TOKENS, why)) ||
        (wire_get(request, "text", &v) && !text_read(&r, &v, why)))
        return false;
    if (!wire_get(request, "inputs", &list))
        return true;
    if (!wire_object(&list, fields, why))
        return false;
    for (unsigned i = 0; i < TRAINING_INPUTS; i++)
        if (wire_get(&list, inputs[i].name, &v) && !given_read(&r, &v, i, why))
            return false;
    return true;
}

/* The graph's shape; a batch of 1 may be left out. */
static bool same_shape(const struct wire_tensor *t, const struct tensor *like) {
    const unsigned skip = like->rank > t->rank && like->shape[0] == 1 ? 1 : 0;
    if (t->rank + skip != like->rank)
        return false;
    return memcmp(t->shape, like->shape + skip, t->rank * sizeof *t->shape) == 0;
}

static bool numbers_check(const struct training_rows *rows, const struct tensor *t, struct problem *why) {
    char shape[TENSOR_FILE_SHAPE_BYTES];
    if (!rows->given || same_shape(&rows->tensor, t))
        return true;
    problem_set(why, PROBLEM_SHAPE, "", "must be %s, channels last", tensor_file_shape_text(t->rank, t->shape, shape));
    return problem_nest(why, "/inputs/%s", t->name);
}

bool job_training_data_check(const struct training_data *d, const struct graph *g, struct problem *why) {
    for (uint32_t t = 0; t < g->n_tensors; t++)
        for (unsigned i = 0; g->tensors[t].role == TENSOR_INPUT && i < TRAINING_INPUTS; i++)
            if (!inputs[i].ids && strcmp(inputs[i].name, g->tensors[t].name) == 0 &&
                !numbers_check(&d->inputs[i], &g->tensors[t], why))
                return false;
    return true;
}

/* ---- filling ---- */

struct filling {
    const struct training_data *d;
    struct blob_store *blobs;
    const struct tensor *t;
    uint64_t row; /* the first of this microbatch */
};

/* Where window `row` of a stream begins: one of n places. */
static uint64_t window_draw(const struct training_data *d, enum training_input which, uint64_t row, uint64_t n) {
    uint32_t words[4];
    rng_words(d->seed, (uint32_t)row, (uint32_t)(row >> 32), (uint32_t)which, RNG_DATA, words);
    return ((uint64_t)words[0] << 32 | words[1]) % n;
}

/* Ids [skip, skip + n) of one row; -1 past its end. */
static bool row_get(const struct ids *i, const struct filling *f, enum training_input which, uint64_t row,
                    uint64_t skip, uint64_t n, int32_t *dst, struct problem *why) {
    const struct training_rows *r = i->rows;
    const uint64_t bound = inputs[which].bound(&f->d->w->model);
    const uint64_t start = (r->drawn ? window_draw(f->d, which, row, r->n) : row % r->n) * r->stride;
    float chunk[CHUNK];
    for (uint64_t done = 0, some; done < n; done += some) {
        some = units_min(CHUNK, n - done);
        uint64_t from = skip + done, there = from >= r->length ? 0 : units_min(some, r->length - from);
        if (!ids_get(i, start + from, there, bound, chunk, why))
            return false;
        for (uint64_t j = 0; j < some; j++)
            dst[done + j] = j < there && chunk[j] >= 0 ? (int32_t)chunk[j] : -1; /* minus infinity is no int32 */
    }
    return true;
}

/* Where nothing is given: a row of uniform ids, by its number. */
static void row_draw(const struct filling *f, enum training_input which, uint64_t row, uint64_t skip, uint64_t n,
                     int32_t *dst) {
    const uint64_t bound = inputs[which].bound(&f->d->w->model), length = row_length(f->d->w, which) + 1;
    for (uint64_t j = 0; j < n; j++) {
        const uint64_t at = row * length + skip + j;
        uint32_t words[4];
        rng_words(f->d->seed, (uint32_t)(at / 4), (uint32_t)(at / 4 >> 32), (uint32_t)which, RNG_DATA, words);
        dst[j] = (int32_t)(words[at % 4] * bound >> 32);
    }
}

/* `length` ids of each row of the microbatch. */
static bool rows_fill(const struct filling *f, enum training_input which, uint64_t skip, uint64_t length, int32_t *dst,
                      struct problem *why) {
    const struct training_rows *rows = &f->d->inputs[which];
    struct ids i;
    if (!ids_open(&i, rows, f->blobs, why))
        return false;
    bool ok = true;
    for (uint64_t b = 0; ok && b < f->d->w->batch; b++, dst += length) {
        if (rows->given)
            ok = row_get(&i, f, which, f->row + b, skip, length, dst, why);
        else
            row_draw(f, which, f->row + b, skip, length, dst);
    }
    ids_close(&i);
    return ok;
}

/* Whether an encoder is to guess token j of a row. */
static bool is_masked(const struct filling *f, uint64_t row, uint64_t j) {
    uint32_t words[4];
    rng_words(f->d->seed, (uint32_t)j, (uint32_t)row, TRAINING_INPUTS, RNG_DATA, words);
    return j == 0 || words[0] < rng_threshold(MASK_SHARE);
}

static bool is_masking(const struct training_data *d) {
    return d->w->model.family == MODEL_ENCODER && !d->inputs[TRAINING_TARGETS].given;
}

static bool tokens_fill(const struct filling *f, void *dst, struct problem *why) {
    const uint64_t n = f->d->w->seq_len;
    int32_t *ids = dst;
    if (!rows_fill(f, TRAINING_TOKENS, 0, n, ids, why))
        return false;
    for (uint64_t e = 0; is_masking(f->d) && e < f->t->elements; e++)
        if (is_masked(f, f->row + e / n, e % n))
            ids[e] = (int32_t)f->d->w->model.vocab - 1;
    return true;
}

static bool targets_fill(const struct filling *f, void *dst, struct problem *why) {
    const struct training_data *d = f->d;
    const uint64_t n = row_length(d->w, TRAINING_TARGETS);
    int32_t *ids = dst;
    if (d->inputs[TRAINING_TARGETS].given || d->w->model.family == MODEL_VISION)
        return rows_fill(f, TRAINING_TARGETS, 0, n, ids, why);
    if (!is_masking(d))
        return rows_fill(f, TRAINING_TOKENS, 1, n, ids, why);
    if (!rows_fill(f, TRAINING_TOKENS, 0, n, ids, why))
        return false;
    for (uint64_t e = 0; e < f->t->elements; e++)
        if (!is_masked(f, f->row + e / n, e % n))
            ids[e] = -1;
    return true;
}

static bool types_fill(const struct filling *f, void *dst, struct problem *why) {
    if (f->d->inputs[TRAINING_TYPES].given)
        return rows_fill(f, TRAINING_TYPES, 0, f->d->w->seq_len, dst, why);
    memset(dst, 0, f->t->bytes);
    return true;
}

static bool source_fill(const struct filling *f, void *dst, struct problem *why) {
    return rows_fill(f, TRAINING_SOURCE, 0, workload_source_len(f->d->w), dst, why);
}

/* Elements [from, from + n): given, the same every time; else normal numbers, others for every microbatch. */
static bool block_get(const struct ids *i, const struct filling *f, uint64_t from, uint64_t n, float *out,
                      struct problem *why) {
    const struct wire_tensor *t = &i->rows->tensor;
    if (!i->rows->given)
        rng_fill_normal_from(out, from, n, f->d->seed, RNG_DATA + (uint32_t)((f->row + 1) << 8), 1);
    else if (t->kind == WIRE_TENSOR_STORED)
        return tensor_file_load_part(i->fd, &t->entry, from, n, out, why);
    else if (t->kind == WIRE_TENSOR_INLINE)
        memcpy(out, t->data + from, n * sizeof *out);
    else if (t->uniform)
        rng_fill_uniform_from(out, from, n, t->seed, RNG_TENSOR, 0, 1);
    else
        rng_fill_normal_from(out, from, n, t->seed, RNG_TENSOR, 1);
    for (uint64_t j = 0; i->rows->given && t->kind == WIRE_TENSOR_RANDOM && j < n; j++)
        out[j] *= t->factor;
    return true;
}

static bool numbers_fill(const struct filling *f, enum training_input which, void *dst, struct problem *why) {
    const struct numbers to = {dst, f->t->dtype == DTYPE_BFLOAT16};
    float chunk[CHUNK];
    struct ids i;
    if (!ids_open(&i, &f->d->inputs[which], f->blobs, why))
        return false;
    bool ok = true;
    for (uint64_t from = 0, n; ok && from < f->t->elements; from += n) {
        n = units_min(CHUNK, f->t->elements - from);
        float *at = numbers_open(to, from, chunk);
        ok = block_get(&i, f, from, n, at, why);
        numbers_close(to, from, n, at);
    }
    ids_close(&i);
    return ok;
}

static bool image_fill(const struct filling *f, void *dst, struct problem *why) {
    return numbers_fill(f, TRAINING_IMAGE, dst, why);
}

static bool sound_fill(const struct filling *f, void *dst, struct problem *why) {
    return numbers_fill(f, TRAINING_SOUND, dst, why);
}

bool job_training_data_fill(const struct training_data *d, struct blob_store *blobs, const struct tensor *t,
                            uint64_t row, void *dst, struct problem *why) {
    static bool (*const fills[TRAINING_INPUTS])(const struct filling *, void *, struct problem *) = {
        [TRAINING_TOKENS] = tokens_fill, [TRAINING_TARGETS] = targets_fill, [TRAINING_TYPES] = types_fill,
        [TRAINING_SOURCE] = source_fill, [TRAINING_IMAGE] = image_fill,     [TRAINING_SOUND] = sound_fill};
    const struct filling f = {d, blobs, t, row};
    for (unsigned i = 0; i < TRAINING_INPUTS; i++)
        if (strcmp(inputs[i].name, t->name) == 0)
            return fills[i](&f, dst, why);
    return problem_set(why, PROBLEM_INTERNAL, "", "nothing fills %s", t->name);
}
