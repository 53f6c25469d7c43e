/* test_presets.c - a preset is the model that its recorded config.json gives: the same graph, op for op. A parameter
 * count alone would not see a window, a tie of two equal sizes swapped, or which norm is read. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "engine/models/presets.h"
#include "server/wire_model.h"

/* Past every window of a preset, within learned positions. */
static void lower(const struct model *m, struct arena *a, struct graph *g, const char *name) {
    struct workload w = {.model = *m, .seq_len = 5000, .batch = 1, .dtype = DTYPE_BFLOAT16};
    struct problem why = {0};
    if (m->positions == MODEL_LEARNED && w.seq_len > m->max_positions - m->reserved_positions)
        w.seq_len = m->max_positions - m->reserved_positions;
    if (m->family == MODEL_VISION)
        w.seq_len = model_tokens(m);
    w.attention = &attn_table[ATTN_FLASH];
    w.optimizer = optimizer_find("adamw");
    arena_init(a, 0);
    cr_assert(model_lower(&w, a, g, &why), "%s: %s %s", name, why.where, why.detail);
}

static bool same_op(const struct op *x, const struct op *y) {
    return x->kind == y->kind && strcmp(x->name, y->name) == 0 && x->layer == y->layer && x->n_inputs == y->n_inputs &&
           memcmp(x->inputs, y->inputs, x->n_inputs * sizeof *x->inputs) == 0 && x->forward_flops == y->forward_flops &&
           x->backward_flops == y->backward_flops;
}

static bool same_tensor(const struct tensor *x, const struct tensor *y) {
    return x->role == y->role && strcmp(x->name, y->name) == 0 && x->rank == y->rank && x->storage == y->storage &&
           memcmp(x->shape, y->shape, x->rank * sizeof *x->shape) == 0;
}

static void same_graph(const struct model *preset, const struct model *config, const char *name) {
    struct arena pa, ca;
    struct graph p, c;
    uint32_t op = 0, tensor = 0;
    lower(preset, &pa, &p, name);
    lower(config, &ca, &c, name);
    cr_expect_eq(preset->mlp, config->mlp, "%s: activation", name);
    cr_expect_eq(p.n_ops, c.n_ops, "%s: %u ops, not %u", name, p.n_ops, c.n_ops);
    cr_expect_eq(p.n_tensors, c.n_tensors, "%s", name);
    while (op < p.n_ops && op < c.n_ops && same_op(&p.ops[op], &c.ops[op]))
        op++;
    while (tensor < p.n_tensors && tensor < c.n_tensors && same_tensor(&p.tensors[tensor], &c.tensors[tensor]))
        tensor++;
    cr_expect_eq(op, c.n_ops, "%s: differs at %s", name, op < c.n_ops ? c.ops[op].name : "the end");
    cr_expect_eq(tensor, c.n_tensors, "%s: differs at %s", name, tensor < c.n_tensors ? c.tensors[tensor].name : "");
    arena_free(&pa);
    arena_free(&ca);
}

Test(presets, are_the_graphs_of_their_recorded_configs) {
    static char text[1 << 20];
    struct problem why = {0};
    struct arena a;
    struct wire_value root, list;
    unsigned same = 0;
    FILE *file = fopen("tests/data/parameters.json", "rb");
    cr_assert(file);
    size_t bytes = fread(text, 1, sizeof text, file);
    fclose(file);
    struct wire_document *d = wire_parse(text, bytes, &why);
    cr_assert(d, "%s", why.detail);
    root = wire_root(d);
    cr_assert(wire_need(&root, "models", &list, &why));
    arena_init(&a, 0);
    for (size_t i = 0; i < wire_length(&list); i++) {
        struct wire_value row = wire_at(&list, i), config;
        struct wire_model read;
        const char *name = "";
        cr_assert(wire_string_of(&row, "name", &name, &why) && wire_need(&row, "config", &config, &why));
        const struct preset *preset = presets_find(name);
        if (preset == NULL)
            continue;
        struct model m = preset->model;
        model_defaults(&m);
        cr_assert(wire_model_config_read(&config, &a, &read, &why), "%s: %s", name, why.detail);
        same_graph(&m, &read.model, name);
        same++;
    }
    cr_expect_geq(same, 51, "%u of %u presets are recorded", same, presets_table_length);
    arena_free(&a);
    wire_document_free(d);
}

Test(presets, say_whose_they_are) {
    cr_expect_geq(presets_table_length, 90);
    for (unsigned i = 0; i < presets_table_length; i++) {
        const char *source = presets_table[i].source, *slash = strchr(source, '/');
        cr_expect(slash && slash != source && slash[1] && !strchr(slash + 1, '/') && !strchr(source, ' '), "%s: '%s'",
                  presets_table[i].name, source);
        cr_expect_eq(strcspn(presets_table[i].name, " /ABCDEFGHIJKLMNOPQRSTUVWXYZ"), strlen(presets_table[i].name),
                     "%s", presets_table[i].name);
    }
}
