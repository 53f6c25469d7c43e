/* test_training_truth.c - whole training steps as PyTorch ran them (tests/data/record_training.py), against the same
 * steps here: weights mapped from the recorded files, one step under each attention kernel, the loss and every gradient
 * held to the recorded ones.
 *
 * Bounds: the loss within 1e-6 of itself, from PyTorch's in float32 and in float64; gradients within 5e-6 of S, the
 * largest there is in the model. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/exec/train.h"
#include "engine/plan/planner.h"
#include "server/wire_model.h"
#include "tests/support_weights.h"

enum { ENTRIES_MAX = 512 };

struct recorded {
    const char *name;
    struct arena a;
    struct wire_model model;
    struct workload w;
    struct graph g;
    struct plan plan;
    int fd;
    struct tensor_file file;
    const char *names[ENTRIES_MAX]; /* of the weights */
    unsigned n;
    struct checkpoint_map map;
};

/* ---- reading what was recorded ---- */

static void config_read(struct recorded *r) {
    static char text[4096];
    char path[128];
    struct problem why = {0};
    snprintf(path, sizeof path, "tests/data/training/%s.json", r->name);
    FILE *file = fopen(path, "rb");
    cr_assert(file);
    const size_t bytes = fread(text, 1, sizeof text, file);
    fclose(file);
    struct wire_document *d = wire_parse(text, bytes, &why);
    cr_assert(d, "%s", why.detail);
    const struct wire_value root = wire_root(d);
    cr_assert(wire_model_config_read(&root, &r->a, &r->model, &why), "%s: %s %s", r->name, why.where, why.detail);
    wire_document_free(d);
}

static void file_read(struct recorded *r) {
    char path[128];
    struct stat about;
    struct problem why = {0};
    snprintf(path, sizeof path, "tests/data/training/%s.safetensors", r->name);
    r->fd = open(path, O_RDONLY);
    cr_assert(r->fd >= 0 && fstat(r->fd, &about) == 0);
    cr_assert(tensor_file_read(r->fd, (uint64_t)about.st_size, &r->a, &r->file, &why), "%s", why.detail);
    for (unsigned i = 0; i < r->file.n_entries; i++) {
        const char *name = r->file.entries[i].name;
        if (strchr(name, '.') && strncmp(name, "grad", 4) != 0)
            r->names[r->n++] = name;
    }
}

static const struct tensor_entry *entry_of(const struct recorded *r, const char *name) {
    struct problem why = {0};
    const struct tensor_entry *e = tensor_file_find(&r->file, name, &why);
    cr_assert(e, "%s: %s: %s", r->name, name, why.detail);
    return e;
}

/* The file's numbers; yours. */
static float *numbers_of(const struct recorded *r, const char *prefix, const char *name) {
    char whole[256];
    struct problem why = {0};
    snprintf(whole, sizeof whole, "%s%s", prefix, name);
    const struct tensor_entry *e = entry_of(r, whole);
    float *numbers = malloc(tensor_file_elements(e) * sizeof *numbers);
    cr_assert(numbers && tensor_file_load(r->fd, e, numbers, &why), "%s: %s", whole, why.detail);
    return numbers;
}

static double loss64_of(const struct recorded *r) {
    double loss;
    const struct tensor_entry *e = entry_of(r, "loss64");
    cr_assert(e->dtype == DTYPE_FLOAT64 && pread(r->fd, &loss, sizeof loss, (off_t)e->offset) == sizeof loss);
    return loss;
}

static void recorded_open(struct recorded *r, const char *name, const struct attn_kernel *kernel,
                          const struct planner *planner, unsigned threads) {
    struct problem why = {0};
    memset(r, 0, sizeof *r);
    r->name = name;
    arena_init(&r->a, 0);
    config_read(r);
    file_read(r);
    const struct tensor_entry *tokens = r->model.model.family == MODEL_VISION ? NULL : entry_of(r, "tokens");
    r->w = (struct workload){.model = r->model.model,
                             .seq_len = tokens ? tokens->shape[1] : model_tokens(&r->model.model),
                             .batch = entry_of(r, "targets")->shape[0],
                             .attention = kernel,
                             .optimizer = optimizer_find("none"),
                             .threads = threads};
    cr_assert(model_runs(&r->w.model, &why), "%s: %s", name, why.detail);
    cr_assert(model_lower(&r->w, &r->a, &r->g, &why), "%s: %s %s", name, why.where, why.detail);
    cr_assert(planner_plan(&r->g, &(struct strategy){.planner = planner}, &r->a, &r->plan, &why), "%s", why.detail);
    cr_assert(checkpoint_names_map(checkpoint_names_find(r->model.type), &r->g, r->names, r->n, &r->a, &r->map, &why),
              "%s: %s", name, why.detail);
    cr_assert_eq(r->map.n_strangers, 0);
}

static void recorded_close(struct recorded *r) {
    close(r->fd);
    arena_free(&r->a);
}

/* ---- loading ---- */

/* Recorded images have their channels first, the graph's have them last. */
static void image_load(const struct tensor *t, const float *from, float *to) {
    const uint64_t pixels = t->shape[1] * t->shape[2], channels = t->shape[3];
    for (uint64_t b = 0; b < t->shape[0]; b++)
        for (uint64_t p = 0; p < pixels; p++)
            for (uint64_t c = 0; c < channels; c++)
                to[(b * pixels + p) * channels + c] = from[(b * channels + c) * pixels + p];
}

static void input_load(const struct recorded *r, const struct tensor *t, void *dst) {
    float *numbers = numbers_of(r, "", t->name);
    if (strcmp(t->name, "image") == 0)
        image_load(t, numbers, dst);
    else
        for (uint64_t i = 0; i < t->elements; i++)
            ((int32_t *)dst)[i] = (int32_t)numbers[i];
    free(numbers);
}

/* Calls with where a slice begins within its parameter, and what the file (or its gradients: prefix "grad.") has. */
static void slices_visit(const struct recorded *r, uint32_t parameter, const char *prefix,
                         void (*visit)(void *user, uint64_t at, float value, const char *name), void *user) {
    const struct tensor *t = &r->g.tensors[parameter];
    uint64_t seen = 0;
    for (uint32_t i = 0; i < r->map.n_slices; i++) {
        const struct checkpoint_slice *s = &r->map.slices[i];
        if (s->tensor != parameter)
            continue;
        const uint64_t elements = t->elements / (s->is_expert ? t->shape[0] : 1);
        const uint64_t base = s->is_expert ? s->expert * elements : 0;
        float *numbers = numbers_of(r, prefix, r->names[s->entry]);
        for (uint64_t e = 0; e < elements; e++)
            visit(user, base + e, numbers[checkpoint_names_index(&r->g, s, e)], r->names[s->entry]);
        free(numbers);
        seen += elements;
    }
    cr_assert_eq(seen, t->elements, "%s: %s", r->name, t->name);
}

static void put(void *user, uint64_t at, float value, const char *name) {
    (void)name;
    ((float *)user)[at] = value;
}

static bool load(void *user, uint32_t value, void *dst, struct problem *why) {
    const struct recorded *r = user;
    (void)why;
    if (value >= r->g.n_tensors)
        *(float *)dst = 1;
    else if (r->g.tensors[value].role == TENSOR_INPUT)
        input_load(r, &r->g.tensors[value], dst);
    else
        slices_visit(r, value, "", put, dst);
    return true;
}

/* ---- comparing ---- */

struct comparison {
    const float *own;
    double largest, worst; /* recorded gradient; difference from it */
    char where[128];
};

static void compare(void *user, uint64_t at, float value, const char *name) {
    struct comparison *c = user;
    const double difference = fabs((double)value - (double)c->own[at]);
    c->largest = fmax(c->largest, fabs((double)value));
    if (difference > c->worst || isnan(difference)) {
        c->worst = isnan(difference) ? INFINITY : difference;
        snprintf(c->where, sizeof c->where, "%s", name);
    }
}

static void loss_check(const struct recorded *r, double loss) {
    float *one = numbers_of(r, "", "loss");
    const double recorded32 = (double)one[0], recorded64 = loss64_of(r);
    free(one);
    cr_assert(fabs(loss - recorded64) <= 1e-6 * recorded64, "%s: loss %.9g, in float64 %.9g", r->name, loss,
              recorded64);
    cr_assert(fabs(loss - recorded32) <= 1e-6 * recorded32, "%s: loss %.9g, in float32 %.9g", r->name, loss,
              recorded32);
}

static void gradients_check(const struct recorded *r, const struct exec *e) {
    struct comparison c = {0};
    for (uint32_t t = 0; t < r->g.n_tensors; t++)
        if (r->g.tensors[t].role == TENSOR_PARAMETER) {
            c.own = exec_value(e, r->g.n_tensors + t);
            cr_assert(c.own, "%s: %s has no gradient", r->name, r->g.tensors[t].name);
            slices_visit(r, t, "grad.", compare, &c);
        }
    cr_assert(c.largest > 0 && c.worst <= 5e-6 * c.largest, "%s: %s: %g of %g", r->name, c.where, c.worst, c.largest);
}

static void step_check(const char *name, const struct attn_kernel *kernel, const struct planner *planner,
                       unsigned threads) {
    static struct recorded r;
    struct problem why = {0};
    struct train train;
    struct train_step step;
    struct exec_report report;
    recorded_open(&r, name, kernel, planner, threads);
    struct slab *slab = slab_new(&why), *persistent = slab_new(&why);
    struct pool *pool = pool_new(threads, &why);
    const struct exec_options options = {.pool = pool, .load = load, .user = &r, .witness = true};
    struct exec *e = exec_new(&r.plan, slab, persistent, &options, &why);
    cr_assert(e, "%s: %s %s", name, why.where, why.detail);
    const struct train_options of = {.exec = e,
                                     .plan = &r.plan,
                                     .pool = pool,
                                     .loss = model_loss(&r.g),
                                     .accumulation = 1,
                                     .optimizer = r.w.optimizer};
    cr_assert(train_init(&train, &of, &why) && train_step(&train, &step, &why), "%s: %s", name, why.detail);
    loss_check(&r, step.loss);
    gradients_check(&r, e);
    cr_assert(exec_finish(e, &report, &why), "%s", why.detail);
    cr_assert_eq(report.measured_peak_bytes, r.plan.peak_bytes);
    exec_free(e);
    pool_free(pool);
    slab_free(slab);
    slab_free(persistent);
    recorded_close(&r);
}

static const char *const recorded[] = {"gpt2", "llama", "bert", "mixtral", "vit"};

Test(training, steps_are_what_pytorch_computes) {
    for (size_t i = 0; i < sizeof recorded / sizeof recorded[0]; i++)
        for (unsigned k = 0; k < attn_table_length; k++) {
            step_check(recorded[i], &attn_table[k], &planner_standard, 1);
            step_check(recorded[i], &attn_table[k], &planner_every_layer, 2);
        }
}

/* ---- as a job reads them ---- */

static void weight_values(void *user, unsigned i, float *numbers) {
    struct recorded *r = user;
    float *recorded_numbers = numbers_of(r, "", r->names[i]);
    memcpy(numbers, recorded_numbers, entry_of(r, r->names[i])->bytes);
    free(recorded_numbers);
}

static void mapped(void *user, uint32_t tensor, float *to) {
    slices_visit(user, tensor, "", put, to);
}

/* The weights alone, as an upload. */
static void upload_check(struct recorded *r, struct blob_store *blobs) {
    char digest[BLOB_DIGEST_SIZE];
    struct tensor_entry entries[ENTRIES_MAX];
    for (unsigned i = 0; i < r->n; i++)
        entries[i] = *entry_of(r, r->names[i]);
    support_weights_upload(blobs, entries, r->n, weight_values, r, digest);
    support_weights_check(blobs, digest, &r->g, r->model.type, mapped, r);
}

Test(training, uploads_are_read_as_they_are_mapped) {
    static struct recorded r;
    struct support_blobs blobs;
    support_blobs_open(&blobs);
    for (size_t i = 0; i < sizeof recorded / sizeof recorded[0]; i++) {
        recorded_open(&r, recorded[i], &attn_table[ATTN_FLASH], &planner_standard, 1);
        upload_check(&r, blobs.store);
        recorded_close(&r);
    }
    support_blobs_close(&blobs);
}
