/* test_models.c - models as requests give them: parameter counts of every kind of config.json, to the unit, as
 * transformers has them (tests/data/parameters.json, made by record_parameters.py); presets; refusals by name. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/models/presets.h"
#include "server/wire_model.h"

static struct wire_document *recorded(void) {
    static char text[1 << 19];
    struct problem why = {0};
    FILE *file = fopen("tests/data/parameters.json", "rb");
    cr_assert(file);
    size_t bytes = fread(text, 1, sizeof text, file);
    fclose(file);
    struct wire_document *d = wire_parse(text, bytes, &why);
    cr_assert(d, "%s", why.detail);
    return d;
}

static uint64_t parameters_of(const struct model *m, const char *name) {
    struct workload w = {.model = *m, .seq_len = 16, .batch = 1, .dtype = DTYPE_BFLOAT16};
    struct arena a;
    struct graph g;
    struct problem why = {0};
    arena_init(&a, 0);
    if (m->family == MODEL_VISION)
        w.seq_len = model_tokens(m);
    w.attention = &attn_table[ATTN_FLASH];
    w.optimizer = optimizer_find("adamw");
    cr_assert(model_lower(&w, &a, &g, &why), "%s: %s %s", name, why.where, why.detail);
    uint64_t parameters = model_parameters(&g);
    arena_free(&a);
    return parameters;
}

static const char says_nothing_of_bytes[] =
    "n_group routed_scaling_factor topk_group topk_method "
    "logit_scale pad_token_id partial_rotary_factor query_pre_attn_scalar rotary_dim rotary_pct decoder_start_token_id";

Test(models, every_config_has_the_parameters_that_transformers_counts) {
    struct wire_document *d = recorded();
    struct wire_value root = wire_root(d), list, row, config, name;
    struct problem why = {0};
    cr_assert(wire_need(&root, "models", &list, &why));
    cr_assert_gt(wire_length(&list), 150);
    for (size_t i = 0; i < wire_length(&list); i++) {
        struct arena a;
        struct wire_model m;
        const char *text;
        uint64_t parameters = 0;
        row = wire_at(&list, i);
        arena_init(&a, 0);
        cr_assert(wire_need(&row, "config", &config, &why) && wire_need(&row, "name", &name, &why) &&
                  wire_string(&name, &text, &why) &&
                  wire_uint_of(&row, "parameters", 1, UINT64_MAX, &parameters, &why));
        cr_assert(wire_model_config_read(&config, &a, &m, &why), "%s: %s %s", text, why.where, why.detail);
        cr_expect_eq(parameters_of(&m.model, text), parameters, "%s: %lu, not %lu", text, parameters_of(&m.model, text),
                     parameters);
        for (unsigned f = 0; f < m.n_ignored; f++)
            cr_expect(strstr(says_nothing_of_bytes, m.ignored[f]), "%s: %s is ignored", text, m.ignored[f]);
        arena_free(&a);
    }
    wire_document_free(d);
}

/* A preset is the config of the same name, wherever one is recorded. */
Test(models, presets_are_the_recorded_models) {
    struct wire_document *d = recorded();
    struct wire_value root = wire_root(d), list;
    struct problem why = {0};
    unsigned same = 0;
    cr_assert(wire_need(&root, "models", &list, &why));
    for (unsigned p = 0; p < presets_table_length; p++) {
        struct model m = presets_table[p].model;
        model_defaults(&m);
        cr_assert(model_check(&m, &why), "%s: %s", presets_table[p].name, why.detail);
        cr_assert_eq(presets_find(presets_table[p].name), &presets_table[p], "%s is there twice",
                     presets_table[p].name);
        for (size_t i = 0; i < wire_length(&list); i++) {
            struct wire_value row = wire_at(&list, i);
            const char *name = "";
            uint64_t parameters = 0;
            cr_assert(wire_string_of(&row, "name", &name, &why) &&
                      wire_uint_of(&row, "parameters", 1, UINT64_MAX, &parameters, &why));
            if (strcmp(name, presets_table[p].name) != 0)
                continue;
            same++;
            cr_expect_eq(parameters_of(&m, name), parameters, "%s", name);
        }
    }
    cr_expect_geq(same, 12);
    wire_document_free(d);
}

/* Pointers begin at the model. */
static bool model_read(const char *text, struct arena *a, struct wire_model *m, struct problem *why) {
    char whole[1024];
    struct wire_value root, model;
    *why = (struct problem){0};
    int bytes = snprintf(whole, sizeof whole, "{\"model\":%s}", text);
    struct wire_document *d = wire_parse(whole, (size_t)bytes, why);
    cr_assert(d, "%s: %s", text, why->detail);
    root = wire_root(d);
    bool ok = wire_need(&root, "model", &model, why) && wire_model_read(&model, a, m, why);
    cr_assert(ok || strncmp(why->where, "/model", 6) == 0);
    if (!ok)
        memmove(why->where, why->where + 6, strlen(why->where + 6) + 1);
    wire_document_free(d);
    return ok;
}

Test(models, bad_models_are_refused_by_field) {
    static const struct {
        const char *text, *where;
        enum problem_kind kind;
    } rows[] = {
        {"7", "", PROBLEM_MALFORMED},
        {"\"gpt5\"", "", PROBLEM_LIMIT},
        {"{}", "/family", PROBLEM_MISSING_FIELD},
        {"{\"family\":\"encoder\"}", "/family", PROBLEM_UNSUPPORTED},
        {"{\"family\":\"decoder\",\"layers\":2,\"d_model\":8}", "/heads", PROBLEM_MISSING_FIELD},
        {"{\"family\":\"decoder\",\"layers\":0,\"d_model\":8,\"heads\":2}", "/layers", PROBLEM_LIMIT},
        {"{\"family\":\"decoder\",\"layers\":1001,\"d_model\":8,\"heads\":2}", "/layers", PROBLEM_LIMIT},
        {"{\"family\":\"decoder\",\"layers\":2,\"d_model\":8,\"heads\":3}", "/heads", PROBLEM_SHAPE},
        {"{\"family\":\"decoder\",\"layers\":2,\"d_model\":8,\"heads\":4,\"kv_heads\":8}", "/kv_heads", PROBLEM_SHAPE},
        {"{\"family\":\"decoder\",\"layers\":2,\"d_model\":8,\"heads\":4,\"kv_heads\":3}", "/kv_heads", PROBLEM_SHAPE},
        {"{\"family\":\"decoder\",\"layers\":2,\"d_model\":8,\"heads\":4,\"mlp\":\"glu\"}", "/mlp", PROBLEM_LIMIT},
        {"{\"family\":\"decoder\",\"layers\":2,\"d_model\":8,\"heads\":4,\"bias\":1}", "/bias", PROBLEM_MALFORMED},
        {"{\"family\":\"decoder\",\"layers\":2,\"d_model\":8,\"heads\":4,\"depth\":1}", "/depth",
         PROBLEM_UNKNOWN_FIELD},
        {"{\"family\":\"decoder\",\"layers\":2,\"d_model\":8,\"heads\":4,\"experts\":4,\"experts_per_token\":5}",
         "/experts_per_token", PROBLEM_LIMIT},
        {"{\"hf_config\":{}}", "/hf_config/model_type", PROBLEM_MISSING_FIELD},
        {"{\"hf_config\":{\"model_type\":\"mamba\"}}", "/hf_config/model_type", PROBLEM_UNSUPPORTED},
        {"{\"hf_config\":{\"model_type\":\"nonsense\"}}", "/hf_config/model_type", PROBLEM_UNSUPPORTED},
        {"{\"hf_config\":{\"model_type\":\"llava\",\"text_config\":{\"model_type\":\"llama\"}}}",
         "/hf_config/model_type", PROBLEM_UNSUPPORTED},
        {"{\"hf_config\":{\"model_type\":\"llama\"},\"layers\":2}", "/layers", PROBLEM_UNKNOWN_FIELD},
        {"{\"hf_config\":{\"model_type\":\"llama\",\"hidden_size\":\"4096\"}}", "/hf_config/hidden_size",
         PROBLEM_MALFORMED},
        {"{\"hf_config\":{\"model_type\":\"llama\",\"hidden_size\":null}}", "/hf_config/hidden_size",
         PROBLEM_MALFORMED},
        {"{\"hf_config\":{\"model_type\":\"mistral\",\"num_key_value_heads\":null}}", "/hf_config/num_key_value_heads",
         PROBLEM_MALFORMED},
        {"{\"hf_config\":{\"model_type\":\"llama\",\"num_key_value_heads\":5}}", "/hf_config/num_key_value_heads",
         PROBLEM_SHAPE},
        {"{\"hf_config\":{\"model_type\":\"gpt2\",\"n_head\":7}}", "/hf_config/n_head", PROBLEM_SHAPE},
        {"{\"hf_config\":{\"model_type\":\"llama\",\"hidden_act\":\"mish\"}}", "/hf_config/hidden_act",
         PROBLEM_UNSUPPORTED},
        {"{\"hf_config\":{\"model_type\":\"llama\",\"quantization_config\":{\"bits\":4}}}",
         "/hf_config/quantization_config", PROBLEM_UNSUPPORTED},
        {"{\"hf_config\":{\"model_type\":\"vit\",\"id2label\":{}}}", "/hf_config/id2label", PROBLEM_UNSUPPORTED},
        {"{\"hf_config\":{\"model_type\":\"t5\",\"feed_forward_proj\":\"gated-mish\"}}", "/hf_config/feed_forward_proj",
         PROBLEM_UNSUPPORTED},
        {"{\"hf_config\":{\"model_type\":\"gpt_neo\",\"num_layers\":3}}", "/hf_config", PROBLEM_LIMIT},
        {"{\"hf_config\":{\"model_type\":\"deepseek_v2\"}}", "/hf_config/num_experts_per_tok", PROBLEM_MISSING_FIELD},
        {"{\"hf_config\":{\"model_type\":\"gemma2\",\"num_hidden_layers\":2,\"layer_types\":[\"full_attention\"]}}",
         "/hf_config/layer_types", PROBLEM_LIMIT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena a;
        struct wire_model m;
        struct problem why;
        arena_init(&a, 0);
        cr_expect_not(model_read(rows[i].text, &a, &m, &why), "%s", rows[i].text);
        cr_expect_eq(why.kind, rows[i].kind, "%s: %s", rows[i].text, why.detail);
        cr_expect_str_eq(why.where, rows[i].where, "%s: at %s: %s", rows[i].text, why.where, why.detail);
        arena_free(&a);
    }
}

Test(models, windows_and_leftovers_are_read_as_the_framework_does) {
    static const struct {
        const char *text;
        uint64_t window, pattern;
        const char *ignored; /* the first */
    } rows[] = {
        {"{\"hf_config\":{\"model_type\":\"mistral\"}}", 4096, 0, NULL},
        {"{\"hf_config\":{\"model_type\":\"mistral\",\"sliding_window\":null}}", 0, 0, NULL},
        {"{\"hf_config\":{\"model_type\":\"qwen2\",\"sliding_window\":128}}", 0, 0, NULL},
        {"{\"hf_config\":{\"model_type\":\"qwen2\",\"use_sliding_window\":true,\"sliding_window\":128,"
         "\"max_window_layers\":0}}",
         128, 0, NULL},
        {"{\"hf_config\":{\"model_type\":\"qwen3\",\"use_sliding_window\":true,\"max_window_layers\":32}}", 0, 0, NULL},
        {"{\"hf_config\":{\"model_type\":\"gemma2\"}}", 4096, 2, NULL},
        {"{\"hf_config\":{\"model_type\":\"gemma2\",\"num_hidden_layers\":3,\"layer_types\":[\"sliding_attention\","
         "\"sliding_attention\",\"full_attention\"],\"z\":1,\"bos_token_id\":2}}",
         4096, 3, "bos_token_id"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena a;
        struct wire_model m;
        struct problem why;
        arena_init(&a, 0);
        cr_assert(model_read(rows[i].text, &a, &m, &why), "%s: %s %s", rows[i].text, why.where, why.detail);
        cr_expect_eq(m.model.window, rows[i].window, "%s", rows[i].text);
        cr_expect_eq(m.model.window_pattern, rows[i].pattern, "%s", rows[i].text);
        cr_expect_eq(m.n_ignored, rows[i].ignored ? 2u : 0u);
        cr_expect(!rows[i].ignored || strcmp(m.ignored[0], rows[i].ignored) == 0);
        arena_free(&a);
    }
}

/* Every field of every kind with odd values: read, or refused at a field of the config; never a model out of bounds. */
Test(models, odd_values_are_read_or_refused_by_name) {
    static const char *const types[] = {"gpt2", "llama", "mistral", "mixtral", "qwen2", "qwen3", "gemma2"};
    static const char *const keys[] = {"vocab_size",
                                       "hidden_size",
                                       "n_embd",
                                       "intermediate_size",
                                       "n_inner",
                                       "num_hidden_layers",
                                       "n_layer",
                                       "n_head",
                                       "num_attention_heads",
                                       "num_key_value_heads",
                                       "head_dim",
                                       "max_position_embeddings",
                                       "n_positions",
                                       "tie_word_embeddings",
                                       "attention_bias",
                                       "mlp_bias",
                                       "sliding_window",
                                       "num_local_experts",
                                       "num_experts_per_tok",
                                       "use_sliding_window",
                                       "max_window_layers",
                                       "layer_types",
                                       "hidden_act",
                                       "hidden_activation",
                                       "activation_function",
                                       "attn_logit_softcapping",
                                       "final_logit_softcapping",
                                       "quantization_config",
                                       "add_cross_attention"};
    static const char *const values[] = {
        "null", "\"12\"", "-1", "0",        "1",    "7", "1.5", "9007199254740992", "9223372036854775807",
        "true", "[]",     "{}", "\"silu\"", "1e300"};
    unsigned read = 0, refused = 0;
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++)
        for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
            for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
                char text[256];
                struct arena a;
                struct wire_model m;
                struct problem why;
                snprintf(text, sizeof text, "{\"hf_config\":{\"model_type\":\"%s\",\"%s\":%s}}", types[t], keys[k],
                         values[v]);
                arena_init(&a, 0);
                if (model_read(text, &a, &m, &why)) {
                    struct problem bounds = {0};
                    cr_expect(model_check(&m.model, &bounds), "%s: %s %s", text, bounds.where, bounds.detail);
                    read++;
                } else {
                    cr_expect(strncmp(why.where, "/hf_config/", 11) == 0, "%s: at %s", text, why.where);
                    cr_expect(why.kind == PROBLEM_MALFORMED || why.kind == PROBLEM_LIMIT || why.kind == PROBLEM_SHAPE ||
                                  why.kind == PROBLEM_UNSUPPORTED,
                              "%s: %s", text, problem_slug(why.kind));
                    refused++;
                }
                arena_free(&a);
            }
    cr_expect_gt(read, 500);
    cr_expect_gt(refused, 500);
}
