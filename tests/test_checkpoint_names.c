/* test_checkpoint_names.c - files of models as PyTorch recorded them (tests/data/training): every parameter is found,
 * every value of every tensor is used exactly once; what else published files hold is known. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/checkpoint_names.h"
#include "server/tensor_file.h"
#include "server/wire_model.h"

struct recorded {
    struct arena a;
    struct graph g;
    struct wire_model model;
    struct tensor_file file;
    const char *names[512]; /* of the weights */
    const struct tensor_entry *entries[512];
    unsigned n;
};

static void read_config(struct recorded *r, const char *name) {
    static char text[4096], path[128];
    struct problem why = {0};
    snprintf(path, sizeof path, "tests/data/training/%s.json", name);
    FILE *file = fopen(path, "rb");
    cr_assert(file);
    size_t bytes = fread(text, 1, sizeof text, file);
    fclose(file);
    struct wire_document *d = wire_parse(text, bytes, &why);
    cr_assert(d, "%s", why.detail);
    struct wire_value root = wire_root(d);
    cr_assert(wire_model_config_read(&root, &r->a, &r->model, &why), "%s: %s %s", name, why.where, why.detail);
    wire_document_free(d);
}

static bool is_weight(const char *name) {
    return strchr(name, '.') && strncmp(name, "grad", 4) != 0;
}

static void read_file(struct recorded *r, const char *name) {
    char path[128];
    struct stat about;
    struct problem why = {0};
    snprintf(path, sizeof path, "tests/data/training/%s.safetensors", name);
    int fd = open(path, O_RDONLY);
    cr_assert(fd >= 0 && fstat(fd, &about) == 0);
    cr_assert(tensor_file_read(fd, (uint64_t)about.st_size, &r->a, &r->file, &why), "%s", why.detail);
    close(fd);
    for (unsigned i = 0; i < r->file.n_entries; i++)
        if (is_weight(r->file.entries[i].name)) {
            r->entries[r->n] = &r->file.entries[i];
            r->names[r->n++] = r->file.entries[i].name;
        }
}

static void load(struct recorded *r, const char *name) {
    struct problem why = {0};
    memset(r, 0, sizeof *r);
    arena_init(&r->a, 0);
    read_config(r, name);
    read_file(r, name);
    struct workload w = {.model = r->model.model,
                         .seq_len = 48,
                         .batch = 2,
                         .attention = &attn_table[ATTN_FLASH],
                         .optimizer = optimizer_find("none")};
    if (w.model.family == MODEL_VISION)
        w.seq_len = model_tokens(&w.model);
    cr_assert(model_runs(&w.model, &why), "%s", why.detail);
    cr_assert(model_lower(&w, &r->a, &r->g, &why), "%s: %s", name, why.detail);
}

/* Marks the values of the file's tensors that a slice reads; none is read twice. */
static void mark(const struct recorded *r, const struct checkpoint_slice *s, unsigned char **seen) {
    const struct tensor_entry *e = r->entries[s->entry];
    const struct tensor *t = &r->g.tensors[s->tensor];
    cr_assert(s->rank == e->rank && memcmp(s->shape, e->shape, e->rank * sizeof *e->shape) == 0, "%s: shape", e->name);
    const uint64_t values = t->elements / (s->is_expert ? t->shape[0] : 1);
    for (uint64_t i = 0; i < values; i++) {
        const uint64_t at = checkpoint_names_index(&r->g, s, i);
        cr_assert(at < tensor_file_elements(e) && !seen[s->entry][at], "%s[%lu]", e->name, at);
        seen[s->entry][at] = 1;
    }
}

static void every_value_once(const char *name) {
    static struct recorded r;
    struct checkpoint_map map;
    struct problem why = {0};
    unsigned char *seen[512];
    load(&r, name);
    const struct checkpoint_names *names = checkpoint_names_find(r.model.type);
    cr_assert(names, "%s", name);
    cr_assert(checkpoint_names_map(names, &r.g, r.names, r.n, &r.a, &map, &why), "%s: %s", name, why.detail);
    cr_expect_eq(map.n_strangers, 0, "%s: %s", name, map.n_strangers ? r.names[map.strangers[0]] : "");
    for (unsigned i = 0; i < r.n; i++)
        seen[i] = calloc(1, tensor_file_elements(r.entries[i]));
    for (uint32_t i = 0; i < map.n_slices; i++)
        mark(&r, &map.slices[i], seen);
    for (unsigned i = 0; i < r.n; i++) {
        cr_expect(!memchr(seen[i], 0, tensor_file_elements(r.entries[i])), "%s: %s", name, r.names[i]);
        free(seen[i]);
    }
    arena_free(&r.a);
}

static const char *const recorded[] = {"gpt2", "llama", "bert", "mixtral", "vit"};

Test(checkpoint_names, every_value_of_a_file_belongs_to_one_parameter) {
    for (size_t i = 0; i < sizeof recorded / sizeof recorded[0]; i++)
        every_value_once(recorded[i]);
}

/* The three orders of values, on tensors small enough to write out. */
Test(checkpoint_names, values_are_found_where_they_lie) {
    static struct recorded r;
    struct checkpoint_map map;
    struct problem why = {0};
    load(&r, "gpt2");
    cr_assert(checkpoint_names_map(checkpoint_names_find("gpt2"), &r.g, r.names, r.n, &r.a, &map, &why));
    unsigned keys = 0;
    for (uint32_t i = 0; i < map.n_slices; i++) {
        const struct checkpoint_slice *s = &map.slices[i];
        if (strcmp(r.g.tensors[s->tensor].name, "attention.k.weight") != 0)
            continue;
        keys++;
        cr_expect(s->layout == CHECKPOINT_TRANSPOSED && s->first == 64 && s->rows == 64);
        /* out 3, in 5 of [out, in] is in 5, out 64 + 3 of [in, 3 out] */
        cr_expect_eq(checkpoint_names_index(&r.g, s, 3 * 64 + 5), 5 * 192 + 64 + 3);
    }
    cr_expect_eq(keys, 2);
    arena_free(&r.a);
    load(&r, "vit");
    cr_assert(checkpoint_names_map(checkpoint_names_find("vit"), &r.g, r.names, r.n, &r.a, &map, &why));
    /* out 2, row 3, column 4, channel 1 of [64, 8, 8, 3] */
    cr_expect_str_eq(r.g.tensors[map.slices[0].tensor].name, "patches.weight");
    cr_expect_eq(checkpoint_names_index(&r.g, &map.slices[0], ((2 * 8 + 3) * 8 + 4) * 3 + 1),
                 ((2 * 3 + 1) * 8 + 3) * 8 + 4);
    arena_free(&r.a);
}

/* Prefixes left out, buffers, a tied head once more, what the first files called norms; and strangers. */
Test(checkpoint_names, leftovers_are_known_and_strangers_told) {
    static struct recorded r;
    static char bare[512][256];
    struct checkpoint_map map;
    struct problem why = {0};
    load(&r, "gpt2");
    for (unsigned i = 0; i < r.n; i++) {
        snprintf(bare[i], sizeof bare[i], "%s", r.names[i] + strlen("transformer."));
        r.names[i] = bare[i];
    }
    r.names[r.n++] = "h.0.attn.bias";
    r.names[r.n++] = "transformer.h.11.attn.masked_bias";
    r.names[r.n++] = "lm_head.weight";
    r.names[r.n++] = "h.2.ln_1.weight"; /* of a layer that is not there */
    cr_assert(checkpoint_names_map(checkpoint_names_find("gpt2"), &r.g, r.names, r.n, &r.a, &map, &why), "%s",
              why.detail);
    cr_assert_eq(map.n_strangers, 1);
    cr_expect_str_eq(r.names[map.strangers[0]], "h.2.ln_1.weight");
    r.names[3] = "h.0.ln_1.beta";
    cr_expect_not(checkpoint_names_map(checkpoint_names_find("gpt2"), &r.g, r.names, r.n, &r.a, &map, &why));
    cr_expect_eq(why.kind, PROBLEM_NOT_FOUND);
    arena_free(&r.a);
    load(&r, "bert");
    for (unsigned i = 0; i < r.n; i++)
        if (strstr(r.names[i], "LayerNorm.")) {
            const int stem = (int)(strstr(r.names[i], "LayerNorm.") - r.names[i]) + 10;
            snprintf(bare[i], sizeof bare[i], "%.*s%s", stem, r.names[i],
                     strstr(r.names[i], ".bias") ? "beta" : "gamma");
            r.names[i] = bare[i];
        }
    r.names[r.n++] = "cls.seq_relationship.weight";
    r.names[r.n++] = "bert.pooler.dense.bias";
    why = (struct problem){0};
    cr_assert(checkpoint_names_map(checkpoint_names_find("bert"), &r.g, r.names, r.n, &r.a, &map, &why), "%s",
              why.detail);
    cr_expect_eq(map.n_strangers, 0);
    arena_free(&r.a);
    cr_expect_null(checkpoint_names_find("mamba"));
}
