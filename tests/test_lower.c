/* test_lower.c - training steps of real models as graphs: parameter counts as published, plans that obey the laws. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "engine/models/model.h"
#include "engine/plan/planner.h"

#define ENCODER                                                                                                        \
    .family = MODEL_ENCODER, .bidirectional = true, .post_norm = true, .embedding_norm = true, .mlm_head = true,       \
    .bias_qkv = true, .bias_out = true, .bias_mlp = true, .tied_embeddings = true
#define LLAMA .mlp = MODEL_SWIGLU, .norm = MODEL_RMSNORM, .positions = MODEL_ROTARY

static const struct {
    const char *name;
    struct model m;
    uint64_t parameters; /* as the model's authors' weights have them */
} models[] = {
    {"gpt2",
     {.layers = 12,
      .d_model = 768,
      .heads = 12,
      .bias_qkv = true,
      .bias_out = true,
      .bias_mlp = true,
      .tied_embeddings = true},
     124439808},
    {"llama-2-7b", {LLAMA, .layers = 32, .d_model = 4096, .heads = 32, .d_ff = 11008, .vocab = 32000}, 6738415616},
    {"llama-3-8b",
     {LLAMA, .layers = 32, .d_model = 4096, .heads = 32, .kv_heads = 8, .d_ff = 14336, .vocab = 128256},
     8030261248},
    {"llama-3-70b",
     {LLAMA, .layers = 80, .d_model = 8192, .heads = 64, .kv_heads = 8, .d_ff = 28672, .vocab = 128256},
     70553706496},
    {"mixtral-8x7b",
     {LLAMA, .layers = 32, .d_model = 4096, .heads = 32, .kv_heads = 8, .d_ff = 14336, .vocab = 32000, .experts = 8},
     46702792704},
    {"qwen2-7b",
     {LLAMA, .layers = 28, .d_model = 3584, .heads = 28, .kv_heads = 4, .d_ff = 18944, .vocab = 152064,
      .bias_qkv = true},
     7615616512},
    {"qwen3-8b",
     {LLAMA, .layers = 36, .d_model = 4096, .heads = 32, .kv_heads = 8, .head_dim = 128, .d_ff = 12288, .vocab = 151936,
      .qk_norm = true},
     8190735360},
    {"gemma-2-2b",
     {.mlp = MODEL_GEGLU,
      .norm = MODEL_RMSNORM,
      .positions = MODEL_ROTARY,
      .layers = 26,
      .d_model = 2304,
      .heads = 8,
      .kv_heads = 4,
      .head_dim = 256,
      .d_ff = 9216,
      .vocab = 256000,
      .tied_embeddings = true,
      .sandwich_norm = true,
      .embedding_scale = true,
      .window = 4096,
      .window_pattern = 2,
      .final_softcap = 30},
     2614341888},
    {"bert-base-uncased",
     {ENCODER, .layers = 12, .d_model = 768, .heads = 12, .vocab = 30522, .max_positions = 512, .type_vocab = 2},
     109514298},
    {"roberta-base",
     {ENCODER, .layers = 12, .d_model = 768, .heads = 12, .vocab = 50265, .max_positions = 514, .reserved_positions = 2,
      .type_vocab = 1},
     124697433},
    {"distilbert-base-uncased",
     {ENCODER, .layers = 6, .d_model = 768, .heads = 12, .vocab = 30522, .max_positions = 512},
     66985530},
};
#define MODELS (sizeof models / sizeof models[0])

static struct workload workload_of(size_t i, uint64_t seq_len, enum dtype dtype) {
    struct workload w = {.model = models[i].m, .seq_len = seq_len, .batch = 1, .dtype = dtype};
    model_defaults(&w.model);
    w.attention = &attn_table[ATTN_FLASH];
    w.optimizer = optimizer_find("adamw");
    return w;
}

Test(lower, parameters_are_counted_to_the_unit) {
    for (size_t i = 0; i < MODELS; i++) {
        struct workload w = workload_of(i, 512, DTYPE_BFLOAT16);
        struct arena a;
        struct graph g;
        struct problem why = {0};
        arena_init(&a, 0);
        cr_assert(model_lower(&w, &a, &g, &why), "%s: %s %s", models[i].name, why.where, why.detail);
        cr_assert_eq(model_parameters(&g), models[i].parameters, "%s: %lu, not %lu", models[i].name,
                     model_parameters(&g), models[i].parameters);
        struct model_persistent p = model_persistent(&g);
        cr_assert_eq(p.parameters_bytes, 2 * models[i].parameters);
        cr_assert_eq(p.gradients_bytes, 2 * models[i].parameters);
        cr_assert_eq(p.optimizer_bytes, 12 * models[i].parameters, "two moments and a master copy");
        cr_assert_eq(graph_persistent_bytes(&g), 16 * models[i].parameters);
        arena_free(&a);
    }
}

Test(lower, every_strategy_saves_less_than_standard_and_layouts_waste_at_most_one_percent) {
    const struct strategy strategies[] = {
        {.planner = &planner_standard},
        {.planner = &planner_every_layer},
        {.planner = &planner_every_n, .n = 2},
        {.planner = &planner_uniform, .k = 4},
        {.planner = &planner_block, .k = 5},
        {.planner = &planner_selective, .selection = {.parts = PART_ATTENTION}},
        {.planner = &planner_selective, .selection = {.parts = PART_ATTENTION_CORE}},
        {.planner = &planner_selective, .selection = {.parts = PART_MLP}},
        {.planner = &planner_selective, .selection = {.parts = PART_NORM}},
        {.planner = &planner_selective, .selection = {.op_kinds = 1u << OP_GATED | 1u << OP_ROTARY}},
    };
    for (size_t i = 0; i < MODELS; i++)
        for (unsigned kernel = 0; kernel < attn_table_length; kernel++) {
            struct workload w = workload_of(i, 512, kernel ? DTYPE_BFLOAT16 : DTYPE_FLOAT32);
            w.attention = &attn_table[kernel];
            uint64_t standard_saved = 0;
            for (size_t s = 0; s < sizeof strategies / sizeof strategies[0]; s++) {
                struct arena a;
                struct graph g;
                struct plan p;
                struct problem why = {0};
                arena_init(&a, 0);
                cr_assert(model_lower(&w, &a, &g, &why) && planner_plan(&g, &strategies[s], &a, &p, &why), "%s %s",
                          why.where, why.detail);
                if (s == 0)
                    standard_saved = p.saved_activations_bytes;
                cr_assert(s == 0 ? p.recompute_flops == 0 : p.saved_activations_bytes <= standard_saved, "%s under %s",
                          models[i].name, strategies[s].planner->name);
                cr_assert((double)p.slab_bytes <= 1.01 * (double)p.live_peak_bytes, "%s under %s: %lu of %lu",
                          models[i].name, strategies[s].planner->name, p.slab_bytes, p.live_peak_bytes);
                arena_free(&a);
            }
        }
}

/* An op by its name: what it makes goes, though the next op's gradient reads it, and comes back at one run a layer. */
Test(lower, an_op_by_name_drops_what_it_makes) {
    struct workload w = workload_of(0, 512, DTYPE_BFLOAT16);
    const uint64_t numbers = w.model.layers * w.seq_len * w.model.d_ff;
    const struct strategy keep = {.planner = &planner_standard},
                          gelu = {.planner = &planner_selective, .selection = {.op_kinds = 1u << OP_GELU}};
    struct arena a;
    struct graph g;
    struct plan standard, p;
    struct problem why = {0};
    uint64_t flops = 0;
    arena_init(&a, 0);
    cr_assert(model_lower(&w, &a, &g, &why) && planner_plan(&g, &keep, &a, &standard, &why) &&
                  planner_plan(&g, &gelu, &a, &p, &why),
              "%s", why.detail);
    for (uint32_t o = 0; o < g.n_ops; o++)
        flops += g.ops[o].kind == OP_GELU ? g.ops[o].forward_flops : 0;
    cr_expect_eq(standard.saved_activations_bytes - p.saved_activations_bytes, 2 * w.batch * numbers);
    cr_expect_eq(p.recompute_flops, flops);
    arena_free(&a);
}

Test(lower, bad_workloads_are_refused_by_field) {
    const struct {
        size_t model;
        uint64_t seq_len, batch, kv_heads, d_ff;
        const char *where;
    } rows[] = {{0, 0, 1, 0, 0, "/seq_len"},
                {0, 1025, 1, 0, 0, "/seq_len"},
                {0, 8, 0, 0, 0, "/batch"},
                {1, 8, 1, 5, 0, "/model/kv_heads"},
                {1, 8, 1, 0, UINT64_MAX, "/model/d_ff"},
                {1, 1ull << 31, 1ull << 24, 0, 0, ""}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct workload w = workload_of(rows[i].model, rows[i].seq_len, DTYPE_FLOAT32);
        struct arena a;
        struct graph g;
        struct problem why = {0};
        arena_init(&a, 0);
        w.batch = rows[i].batch;
        if (rows[i].kv_heads)
            w.model.kv_heads = rows[i].kv_heads;
        if (rows[i].d_ff)
            w.model.d_ff = rows[i].d_ff;
        cr_assert_not(model_lower(&w, &a, &g, &why), "row %zu", i);
        cr_assert(why.kind == PROBLEM_LIMIT || why.kind == PROBLEM_SHAPE);
        cr_assert(rows[i].where[0] == '\0' || strcmp(why.where, rows[i].where) == 0, "row %zu: %s", i, why.where);
        arena_free(&a);
    }
}
