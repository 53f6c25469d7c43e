/* test_types.c - one small step of every model_type as PyTorch ran it (tests/data/record_types.py), against the same
 * step here under each attention kernel: the loss, the norm of every tensor's gradient and three of its elements.
 *
 * Bounds: the loss within 1e-5 of itself; norms within 1e-4 of themselves, and elements within 2e-5 of the largest norm
 * of the model's gradients (some are 0 but for rounding: keys' biases do nothing). */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/exec/train.h"
#include "engine/plan/planner.h"
#include "server/checkpoint_names.h"
#include "server/wire_model.h"
#include "tests/support_weights.h"

enum { ENTRIES_MAX = 128, BATCH = 2, TOKENS = 12, SOURCE = 10, MARKS = 3 };

struct entry {
    const char *name;
    double norm, at[MARKS];     /* recorded */
    double squares, own[MARKS]; /* ours */
    uint64_t elements, seen;
};

struct recorded {
    const char *name;
    struct arena a;
    struct wire_model model;
    struct workload w;
    struct graph g;
    struct plan plan;
    double loss;
    struct entry entries[ENTRIES_MAX];
    const char *names[ENTRIES_MAX];
    unsigned n;
    struct checkpoint_map map;
};

/* ---- the formula of everything that is not recorded ---- */

static uint32_t hashed(const char *name, uint64_t i) {
    uint32_t h = 2166136261u;
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 16777619u;
    h ^= (uint32_t)i * 0x9e3779b9u;
    h = (h ^ h >> 16) * 0x85ebca6bu;
    h = (h ^ h >> 13) * 0xc2b2ae35u;
    return h ^ h >> 16;
}

static bool ends(const char *name, const char *with) {
    const size_t n = strlen(name), w = strlen(with);
    return n >= w && strcmp(name + n - w, with) == 0;
}

static float number(const char *name, unsigned rank, uint64_t i) {
    const float u = (float)(hashed(name, i) >> 8) / 8388608.0f - 1;
    if (ends(name, "weight") && (strstr(name, "norm") || strstr(name, "Norm") || strstr(name, "ln_")))
        return 1 + 0.25f * u;
    return (rank == 1 ? 0.125f : 0.25f) * u;
}

static int32_t id(const struct recorded *s, const char *name, uint64_t i) {
    if (strcmp(name, "token_types") == 0)
        return (int32_t)(hashed(name, i) % (uint32_t)s->w.model.type_vocab);
    if (strcmp(name, "targets") == 0 && hashed("ignored", i) % 5 == 0)
        return -100;
    return (int32_t)(2 + hashed(name, i) % (uint32_t)(s->w.model.vocab - 2));
}

/* ---- what was recorded ---- */

static struct wire_document *types_read(void) {
    static char text[1 << 20];
    struct problem why = {0};
    FILE *file = fopen("tests/data/types.json", "rb");
    cr_assert(file);
    const size_t bytes = fread(text, 1, sizeof text, file);
    fclose(file);
    struct wire_document *d = wire_parse(text, bytes, &why);
    cr_assert(d, "%s", why.detail);
    return d;
}

static double real(const struct wire_value *v) {
    struct problem why = {0};
    double out = 0;
    cr_assert(wire_real(v, -1e300, 1e300, &out, &why), "%s", why.detail);
    return out;
}

static void gradients_read(struct recorded *s, const struct wire_value *all) {
    struct wire_value one;
    for (s->n = 0; wire_member(all, s->n, &one); s->n++) {
        cr_assert_lt(s->n, ENTRIES_MAX);
        struct entry *e = &s->entries[s->n];
        *e = (struct entry){.name = one.key};
        s->names[s->n] = one.key;
        struct wire_value v = wire_at(&one, 0);
        e->norm = real(&v);
        for (unsigned i = 0; i < MARKS; i++) {
            v = wire_at(&one, 1 + i);
            e->at[i] = real(&v);
        }
    }
}

static void step_open(struct recorded *s, const struct wire_value *row, const struct attn_kernel *kernel) {
    struct problem why = {0};
    struct wire_value config, loss, gradients;
    memset(s, 0, sizeof *s);
    s->name = row->key;
    arena_init(&s->a, 0);
    cr_assert(wire_get(row, "config", &config) && wire_get(row, "loss", &loss) &&
              wire_get(row, "gradients", &gradients));
    cr_assert(wire_model_config_read(&config, &s->a, &s->model, &why), "%s: %s %s", s->name, why.where, why.detail);
    s->loss = real(&loss);
    gradients_read(s, &gradients);
    s->w = (struct workload){.model = s->model.model,
                             .seq_len = TOKENS,
                             .source_len = s->model.model.family == MODEL_ENCODER_DECODER ? SOURCE : 0,
                             .batch = BATCH,
                             .attention = kernel,
                             .optimizer = optimizer_find("none"),
                             .threads = 1};
}

static void step_plan(struct recorded *s) {
    struct problem why = {0};
    const struct checkpoint_names *names = checkpoint_names_find(s->model.type);
    cr_assert(names, "%s: no names", s->name);
    cr_assert(model_lower(&s->w, &s->a, &s->g, &why), "%s: %s %s", s->name, why.where, why.detail);
    cr_assert(planner_plan(&s->g, &(struct strategy){.planner = &planner_standard}, &s->a, &s->plan, &why));
    cr_assert(checkpoint_names_map(names, &s->g, s->names, s->n, &s->a, &s->map, &why), "%s: %s", s->name, why.detail);
    cr_assert_eq(s->map.n_strangers, 0, "%s: %s", s->name, s->map.n_strangers ? s->names[s->map.strangers[0]] : "");
}

/* ---- filling ---- */

static uint64_t slice_elements(const struct recorded *s, const struct checkpoint_slice *c, uint64_t *base) {
    const struct tensor *t = &s->g.tensors[c->tensor];
    const uint64_t elements = t->elements / (c->is_expert ? t->shape[0] : 1);
    *base = c->is_expert ? c->expert * elements : 0;
    return elements;
}

static void parameter_fill(const struct recorded *s, uint32_t parameter, float *dst) {
    for (uint32_t i = 0; i < s->map.n_slices; i++) {
        const struct checkpoint_slice *c = &s->map.slices[i];
        uint64_t base;
        const uint64_t elements = slice_elements(s, c, &base);
        for (uint64_t e = 0; c->tensor == parameter && e < elements; e++)
            dst[base + e] = number(s->names[c->entry], c->rank, checkpoint_names_index(&s->g, c, e));
    }
}

/* The framework has bins before frames. */
static void sound_fill(const struct tensor *t, float *dst) {
    const uint64_t frames = t->shape[1], bins = t->shape[2];
    for (uint64_t b = 0; b < t->shape[0]; b++)
        for (uint64_t f = 0; f < frames; f++)
            for (uint64_t m = 0; m < bins; m++)
                dst[(b * frames + f) * bins + m] = number("sound", 3, (b * bins + m) * frames + f);
}

static bool load(void *user, uint32_t value, void *dst, struct problem *why) {
    const struct recorded *s = user;
    (void)why;
    if (value >= s->g.n_tensors) {
        *(float *)dst = 1;
        return true;
    }
    const struct tensor *t = &s->g.tensors[value];
    if (t->role == TENSOR_PARAMETER)
        parameter_fill(s, value, dst);
    else if (strcmp(t->name, "sound") == 0)
        sound_fill(t, dst);
    else
        for (uint64_t i = 0; i < t->elements; i++)
            ((int32_t *)dst)[i] = id(s, t->name, i);
    return true;
}

/* ---- comparing ---- */

static void gradients_gather(struct recorded *s, const struct exec *e) {
    for (uint32_t i = 0; i < s->map.n_slices; i++) {
        const struct checkpoint_slice *c = &s->map.slices[i];
        struct entry *entry = &s->entries[c->entry];
        const float *own = s->g.tensors[c->tensor].needs_grad ? exec_value(e, s->g.n_tensors + c->tensor) : NULL;
        uint64_t base, whole = 1;
        const uint64_t elements = slice_elements(s, c, &base);
        for (unsigned d = 0; d < c->rank; d++)
            whole *= c->shape[d];
        entry->elements = whole;
        entry->seen += elements;
        for (uint64_t k = 0; own && k < elements; k++) {
            const double g = own[base + k];
            const uint64_t at = checkpoint_names_index(&s->g, c, k);
            entry->squares += g * g;
            for (unsigned m = 0; m < MARKS; m++)
                if (at == whole * (uint64_t[]){1, 3, 6}[m] / 7)
                    entry->own[m] = g;
        }
    }
}

static unsigned step_compare(struct recorded *s, const char *kernel, double loss, bool say) {
    double largest = 0, worst = 0, worst_at = 0;
    unsigned wrong = 0;
    for (unsigned i = 0; i < s->n; i++)
        largest = fmax(largest, s->entries[i].norm);
    for (unsigned i = 0; i < s->n; i++) {
        const struct entry *e = &s->entries[i];
        const double norm = sqrt(e->squares), off = fabs(norm - e->norm);
        double marks = 0;
        cr_assert_eq(e->seen, e->elements, "%s: %s: %lu of %lu", s->name, e->name, e->seen, e->elements);
        for (unsigned m = 0; m < MARKS; m++)
            marks = fmax(marks, fabs(e->own[m] - e->at[m]));
        worst_at = fmax(worst_at, marks / largest);
        if (e->norm > 1e-4 * largest)
            worst = fmax(worst, off / e->norm);
        if (off <= 1e-4 * e->norm + 1e-6 * largest && marks <= 2e-5 * largest)
            continue;
        if (wrong++ == 0)
            cr_expect(false, "%s, %s: %s: norm %.7g, recorded %.7g; elements off by %g of %g", s->name, kernel, e->name,
                      norm, e->norm, marks, largest);
    }
    if (say)
        fprintf(stderr, "%-20s %-8s loss %.2e  norms %.2e  elements %.2e%s\n", s->name, kernel,
                fabs(loss - s->loss) / s->loss, worst, worst_at, wrong ? "  WRONG" : "");
    cr_expect(fabs(loss - s->loss) <= 1e-5 * s->loss, "%s, %s: loss %.9g, recorded %.9g", s->name, kernel, loss,
              s->loss);
    return wrong;
}

static void step_run(struct recorded *s) {
    struct problem why = {0};
    struct train train;
    struct train_step done;
    struct exec_report report;
    struct slab *slab = slab_new(&why), *persistent = slab_new(&why);
    struct pool *pool = pool_new(1, &why);
    const struct exec_options options = {.pool = pool, .load = load, .user = s, .witness = true};
    struct exec *e = exec_new(&s->plan, slab, persistent, &options, &why);
    cr_assert(e, "%s: %s %s", s->name, why.where, why.detail);
    const struct train_options of = {.exec = e,
                                     .plan = &s->plan,
                                     .pool = pool,
                                     .loss = model_loss(&s->g),
                                     .accumulation = 1,
                                     .optimizer = s->w.optimizer};
    cr_assert(train_init(&train, &of, &why) && train_step(&train, &done, &why), "%s: %s", s->name, why.detail);
    gradients_gather(s, e);
    step_compare(s, s->w.attention->name, done.loss, getenv("REMATD_TESTS_SAY") != NULL);
    cr_assert(exec_finish(e, &report, &why), "%s", why.detail);
    cr_assert_eq(report.measured_peak_bytes, s->plan.peak_bytes);
    exec_free(e);
    pool_free(pool);
    slab_free(slab);
    slab_free(persistent);
}

/* What no op can: recorded all the same, for the day it is lifted. */
static const char *const refused[] = {"falcon_alibi", "gpt_oss"};

static bool is_refused(const char *name) {
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (strcmp(refused[i], name) == 0)
            return true;
    return false;
}

Test(types, steps_are_what_pytorch_computes) {
    static struct recorded s;
    struct wire_value row;
    struct wire_document *d = types_read();
    const struct wire_value root = wire_root(d);
    for (size_t i = 0; wire_member(&root, i, &row); i++)
        for (unsigned k = 0; k < 2; k++) {
            struct problem why = {0};
            step_open(&s, &row, &attn_table[k ? ATTN_FLASH : ATTN_STANDARD]);
            const bool runs = model_runs(&s.w.model, &why);
            cr_expect_eq(runs, !is_refused(s.name), "%s: %s", s.name, why.detail);
            if (runs) {
                step_plan(&s);
                step_run(&s);
            }
            arena_free(&s.a);
        }
    wire_document_free(d);
}

/* ---- as a job reads files ---- */

struct file {
    struct recorded *s;
    struct tensor_entry entries[ENTRIES_MAX];
};

static void file_values(void *user, unsigned i, float *numbers) {
    const struct file *f = user;
    for (uint64_t k = 0; k < f->entries[i].bytes / sizeof *numbers; k++)
        numbers[k] = number(f->entries[i].name, f->entries[i].rank, k);
}

static void mapped(void *user, uint32_t tensor, float *to) {
    parameter_fill(((struct file *)user)->s, tensor, to);
}

/* The tensors of a published file, in float32. */
static void upload_check(struct recorded *s, struct blob_store *blobs) {
    struct file f = {.s = s};
    char digest[BLOB_DIGEST_SIZE];
    for (uint32_t i = 0; i < s->map.n_slices; i++) {
        const struct checkpoint_slice *c = &s->map.slices[i];
        struct tensor_entry *e = &f.entries[c->entry];
        *e = (struct tensor_entry){.name = s->names[c->entry], .dtype = DTYPE_FLOAT32, .rank = c->rank};
        memcpy(e->shape, c->shape, sizeof c->shape);
        e->bytes = sizeof(float);
        for (unsigned k = 0; k < c->rank; k++)
            e->bytes *= c->shape[k];
    }
    support_weights_upload(blobs, f.entries, s->n, file_values, &f, digest);
    support_weights_check(blobs, digest, &s->g, s->model.type, mapped, &f);
}

Test(types, files_are_read_as_they_are_mapped) {
    static struct recorded s;
    struct support_blobs blobs;
    struct wire_value row;
    struct wire_document *d = types_read();
    const struct wire_value root = wire_root(d);
    support_blobs_open(&blobs);
    for (size_t i = 0; wire_member(&root, i, &row); i++) {
        step_open(&s, &row, &attn_table[ATTN_FLASH]);
        if (!is_refused(s.name)) {
            step_plan(&s);
            upload_check(&s, blobs.store);
        }
        arena_free(&s.a);
    }
    support_blobs_close(&blobs);
    wire_document_free(d);
}

/* T5's head is its embeddings; a file that has another, which models of unscaled logits do, is not read as if it had
 * none. */
Test(types, a_head_that_is_not_the_embeddings_is_a_stranger) {
    static struct recorded s;
    static const char *const of[] = {"t5", "t5_gated"};
    struct wire_document *d = types_read();
    const struct wire_value root = wire_root(d);
    for (unsigned i = 0; i < 2; i++) {
        struct wire_value row;
        struct problem why = {0};
        cr_assert(wire_get(&root, of[i], &row));
        step_open(&s, &row, &attn_table[ATTN_FLASH]);
        step_plan(&s);
        s.names[s.n++] = "lm_head.weight";
        cr_assert(checkpoint_names_map(checkpoint_names_find("t5"), &s.g, s.names, s.n, &s.a, &s.map, &why));
        cr_expect_eq(s.map.n_strangers, i, "%s", of[i]);
        arena_free(&s.a);
    }
    wire_document_free(d);
}
