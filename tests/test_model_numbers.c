/* test_model_numbers.c - what a config.json says of arithmetic reaches the ops: frequencies as transformers has them,
 * epsilons, scales, gates, seeds; and what no op knows is planned, and refused by name when it is run. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/models/presets.h"
#include "server/wire_model.h"

struct lowered {
    struct arena a;
    struct graph g;
    struct wire_model model;
};

static void lower_config(struct lowered *l, const char *type, const char *fields, double dropout, uint64_t seed) {
    char text[1024];
    struct problem why = {0};
    arena_init(&l->a, 0);
    int bytes = snprintf(text, sizeof text, "{\"model_type\":\"%s\"%s%s}", type, fields[0] ? "," : "", fields);
    struct wire_document *d = wire_parse(text, (size_t)bytes, &why);
    cr_assert(d, "%s: %s", text, why.detail);
    struct wire_value root = wire_root(d);
    cr_assert(wire_model_config_read(&root, &l->a, &l->model, &why), "%s: %s %s", text, why.where, why.detail);
    wire_document_free(d);
    struct workload w = {.model = l->model.model,
                         .seq_len = 16,
                         .batch = 1,
                         .dropout = dropout,
                         .seed = seed,
                         .attention = &attn_table[ATTN_STANDARD],
                         .optimizer = optimizer_find("none")};
    if (w.model.family == MODEL_VISION)
        w.seq_len = model_tokens(&w.model);
    cr_assert(model_lower(&w, &l->a, &l->g, &why), "%s: %s %s", text, why.where, why.detail);
}

/* The op of that name in that layer; any layer where it is GRAPH_NONE. */
static const struct op *op_of(const struct lowered *l, const char *name, uint32_t layer) {
    for (uint32_t i = 0; i < l->g.n_ops; i++)
        if (strcmp(l->g.ops[i].name, name) == 0 && (layer == GRAPH_NONE || l->g.ops[i].layer == layer))
            return &l->g.ops[i];
    cr_assert(false, "no op %s", name);
    return NULL;
}

#define SMALL                                                                                                          \
    "\"num_hidden_layers\":1,\"hidden_size\":64,\"num_attention_heads\":4,\"vocab_size\":32,\"intermediate_size\":32"

/* The right hand sides are inv_freq and attention_scaling of transformers 5.23. */
Test(model_numbers, positions_turn_as_fast_as_the_frameworks) {
    static const struct {
        const char *type, *fields;
        uint64_t dim;
        float factor, frequencies[8];
    } rows[] = {
        {"llama",
         SMALL,
         16,
         1,
         {1, 0.3162277638912201f, 0.10000000149011612f, 0.03162277862429619f, 0.009999999776482582f,
          0.003162277862429619f, 0.0010000000474974513f, 0.0003162277862429619f}},
        {"llama",
         SMALL ",\"rope_theta\":500000.0,\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8.0,"
               "\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,\"original_max_position_embeddings\":64}",
         16,
         1,
         {1, 0.07940301299095154f, 0.004700753837823868f, 0.0009115831344388425f, 0.00017677668074611574f,
          3.428102354519069e-05f, 6.647869668086059e-06f, 1.289173155782919e-06f}},
        {"llama",
         SMALL ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":4.0}",
         16,
         1,
         {0.25f, 0.07905694097280502f, 0.02500000037252903f, 0.007905694656074047f, 0.0024999999441206455f,
          0.0007905694656074047f, 0.0002500000118743628f, 7.905694656074047e-05f}},
        {"llama",
         SMALL ",\"rope_parameters\":{\"rope_type\":\"yarn\",\"factor\":4.0,\"rope_theta\":10000.0,"
               "\"original_max_position_embeddings\":128}",
         16,
         1.138629436111989f,
         {1, 0.23717081546783447f, 0.04999999701976776f, 0.007905694656074047f, 0.0024999999441206455f,
          0.0007905694656074047f, 0.0002500000118743628f, 7.905694656074047e-05f}},
        {"gpt_neox", SMALL, 4, 1, {1, 0.009999999776482582f}},
        {"stablelm", SMALL ",\"num_key_value_heads\":4,\"rope_theta\":20000", 4, 1, {1, 0.0070710680447518826f}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct lowered l;
        lower_config(&l, rows[i].type, rows[i].fields, 0, 0);
        const struct op_rotary *r = &op_of(&l, "attention.k_rotary", 0)->rotary;
        cr_expect_eq(r->dim, rows[i].dim);
        cr_expect_float_eq(r->factor == 0 ? 1 : r->factor, rows[i].factor, 1e-6);
        for (uint64_t p = 0; p < r->dim / 2; p++)
            cr_expect(fabsf(r->frequencies[p] - rows[i].frequencies[p]) <= 3e-7f * rows[i].frequencies[p],
                      "%zu: pair %lu: %.9g, not %.9g", i, p, (double)r->frequencies[p], (double)rows[i].frequencies[p]);
        arena_free(&l.a);
    }
}

Test(model_numbers, what_differs_between_types_reaches_the_ops) {
    struct lowered l;
    lower_config(&l, "gpt2", "\"scale_attn_by_inverse_layer_idx\":true", 0, 0);
    cr_expect_float_eq(op_of(&l, "attention.norm", 3)->norm.epsilon, 1e-5f, 1e-12);
    cr_expect_float_eq(op_of(&l, "attention", 3)->attention.scale, 0.125f / 4, 1e-9);
    cr_expect(op_of(&l, "mlp.activation", 0)->gelu.tanh_form);
    arena_free(&l.a);
    lower_config(&l, "roberta", "", 0, 0);
    cr_expect_eq(op_of(&l, "positions", GRAPH_NONE)->positions.first, 2);
    cr_expect_float_eq(op_of(&l, "mlp.norm", 0)->norm.epsilon, 1e-12f, 1e-18);
    arena_free(&l.a);
    lower_config(&l, "gemma2", "\"query_pre_attn_scalar\":144", 0, 0);
    cr_expect_eq(op_of(&l, "mlp.norm", 0)->norm.offset, 1);
    cr_expect_float_eq(op_of(&l, "attention", 0)->attention.scale, 1 / 12.0, 1e-8);
    cr_expect_eq(op_of(&l, "attention", 0)->attention.softcap, 50);
    cr_expect_eq(op_of(&l, "mlp.activation", 0)->gated.gate, GATE_GELU_TANH);
    arena_free(&l.a);
    lower_config(&l, "gemma3_text", "", 0, 0); /* layer 5 sees everything, and turns slower */
    cr_expect_float_eq(op_of(&l, "attention.q_rotary", 0)->rotary.frequencies[127], pow(1e4, -254 / 256.0), 1e-9);
    cr_expect_float_eq(op_of(&l, "attention.q_rotary", 5)->rotary.frequencies[127], pow(1e6, -254 / 256.0), 1e-11);
    arena_free(&l.a);
    lower_config(&l, "gptj", "", 0, 0);
    cr_expect(op_of(&l, "attention.q_rotary", 0)->rotary.interleaved);
    cr_expect_eq(op_of(&l, "attention.q_rotary", 0)->rotary.dim, 64);
    arena_free(&l.a);
    lower_config(&l, "mixtral", "", 0, 0);
    cr_expect(op_of(&l, "experts.route", 0)->route.normalise);
    arena_free(&l.a);
    lower_config(&l, "bloom", "", 0, 0);
    cr_expect(op_of(&l, "attention", 0)->attention.alibi);
    arena_free(&l.a);
    lower_config(&l, "deepseek_v2",
                 "\"num_experts_per_tok\":6,\"rope_scaling\":{\"type\":\"yarn\",\"factor\":40,\"mscale\":0.707,"
                 "\"mscale_all_dim\":0.707,\"original_max_position_embeddings\":4096}",
                 0, 0);
    cr_expect_float_eq(op_of(&l, "attention", 0)->attention.scale, 1 / sqrt(75.98208793209287), 1e-7);
    cr_expect(op_of(&l, "attention.q_rotary", 0)->rotary.last);
    arena_free(&l.a);
}

/* Every dropout of every op and workload draws from elsewhere. */
Test(model_numbers, no_two_dropouts_share_a_seed) {
    uint64_t seeds[512];
    unsigned n = 0;
    for (uint64_t seed = 0; seed < 3; seed++) {
        struct lowered l;
        lower_config(&l, "gpt2", "\"n_layer\":4", 0.1, seed);
        for (uint32_t i = 0; i < l.g.n_ops; i++) {
            if (l.g.ops[i].kind == OP_DROPOUT)
                seeds[n++] = l.g.ops[i].dropout.seed;
            if (l.g.ops[i].kind == OP_ATTENTION)
                seeds[n++] = l.g.ops[i].attention.dropout.seed;
        }
        arena_free(&l.a);
    }
    cr_expect_eq(n, 3 * (4 * 3 + 1));
    for (unsigned i = 0; i < n; i++)
        for (unsigned k = 0; k < i; k++)
            cr_expect_neq(seeds[i], seeds[k]);
}

Test(model_numbers, what_no_op_knows_is_planned_and_not_run) {
    static const struct {
        const char *type, *fields;
        bool runs;
    } rows[] = {
        {"llama", "", true},
        {"bert", "", true},
        {"bert", "\"is_decoder\":true", false},
        {"gpt_oss", "", false},
        {"deepseek_v3", "", true},
        {"bloom", "\"apply_residual_connection_post_layernorm\":true", true},
        {"deepseek_v2", "\"num_experts_per_tok\":6", true},
        {"deepseek_v2",
         "\"num_experts_per_tok\":6,\"topk_method\":\"group_limited_greedy\",\"n_group\":8,\"topk_group\":3", true},
        {"deepseek_v2", "\"num_experts_per_tok\":6,\"topk_method\":\"noaux\"", false},
        {"falcon", "", true},
        {"cohere", "", true},
        {"falcon", "\"alibi\":true", false},
        {"mixtral", "\"router_jitter_noise\":0.0", true},
        {"mixtral", "\"router_jitter_noise\":0.1", false},
        {"phi3", "\"rope_scaling\":null", true},
        {"phi3", "\"rope_scaling\":{\"type\":\"longrope\",\"short_factor\":[1],\"long_factor\":[2]}", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct lowered l;
        struct problem why = {0};
        lower_config(&l, rows[i].type, rows[i].fields, 0, 0);
        cr_expect_eq(model_runs(&l.model.model, &why), rows[i].runs, "%s %s: %s", rows[i].type, rows[i].fields,
                     why.detail);
        cr_expect(rows[i].runs || (why.kind == PROBLEM_UNSUPPORTED && strcmp(why.where, "/model") == 0));
        arena_free(&l.a);
    }
}
