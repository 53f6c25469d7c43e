/* wire_config.h - what a row says of one model_type of config.json, and the table of them. For wire_*.c alone. */
#ifndef REMATD_SERVER_WIRE_CONFIG_H
#define REMATD_SERVER_WIRE_CONFIG_H

#include <stddef.h>

#include "server/wire_model.h"

enum wire_config_kind { SIZE, FLAG, REAL, POSITIVE /* a REAL that is not 0 */ };

/* One field of the file, as the framework's class reads it. */
struct wire_config_row {
    const char *key, *alias;
    enum wire_config_kind kind;
    size_t offset;   /* in struct model */
    double fallback; /* SIZE 0: model_defaults derives it */
    bool nullable;   /* null is as 0: derived, or none */
    uint64_t most;   /* SIZE */
};

struct wire_config_type {
    const char *name;
    struct model base;
    const char *activation_key, *activation; /* NULL: `more` reads it */
    bool gated;
    bool divides; /* the class refuses widths that heads do not divide */
    const struct wire_config_row *rows;
    /* What no row says: the fields it reads, and how. */
    const char *const *more_keys;
    bool (*more)(const struct wire_value *config, struct model *m, struct problem *why);
};

/* In wire_config_rope.c: how positions turn, as any of the types says it, before `more`. */
bool wire_config_rope_key(const struct wire_config_type *type, const char *key);
PROBLEM_MUST_CHECK bool wire_config_rope(const struct wire_config_type *type, const struct wire_value *config,
                                         struct model *m, struct problem *why);

/* What a config says that is planned the same, but that no op knows to run: m->missing. In wire_config_unrun.c. */
bool wire_config_unrun_key(const struct wire_config_type *type, const char *key);
void wire_config_unrun(const struct wire_config_type *type, const struct wire_value *config, struct model *m);

extern const struct wire_config_type wire_config_types[];
extern const unsigned wire_config_types_length;

/* In wire_config_rows.c; each ends with a row without a key. */
extern const struct wire_config_row wire_config_gpt2_rows[], wire_config_llama_rows[], wire_config_mistral_rows[],
    wire_config_mixtral_rows[], wire_config_qwen2_rows[], wire_config_qwen3_rows[], wire_config_gemma2_rows[],
    wire_config_bert_rows[], wire_config_roberta_rows[], wire_config_distilbert_rows[], wire_config_gemma_rows[],
    wire_config_gemma3_rows[], wire_config_phi3_rows[], wire_config_starcoder2_rows[], wire_config_olmo2_rows[],
    wire_config_gpt_neox_rows[], wire_config_gptj_rows[], wire_config_gpt_neo_rows[], wire_config_opt_rows[],
    wire_config_bloom_rows[], wire_config_falcon_rows[], wire_config_phi_rows[], wire_config_stablelm_rows[],
    wire_config_cohere_rows[], wire_config_qwen2_moe_rows[], wire_config_qwen3_moe_rows[], wire_config_gpt_oss_rows[],
    wire_config_deepseek_v2_rows[], wire_config_deepseek_v3_rows[], wire_config_electra_rows[], wire_config_vit_rows[],
    wire_config_t5_rows[], wire_config_bart_rows[], wire_config_whisper_rows[];

/* An activation by the framework's name. */
PROBLEM_MUST_CHECK bool wire_config_activation(const struct wire_value *v, const char *name, bool gated,
                                               struct model *m, struct problem *why);

/* The `more` of the types; in wire_config_more.c. */
typedef bool wire_config_more(const struct wire_value *config, struct model *m, struct problem *why);
extern const char *const wire_config_gpt2_keys[],
    *const wire_config_roberta_keys[], *const wire_config_qwen_keys[],
                                           *const wire_config_layers_keys[],
                                               *const wire_config_gemma3_keys[],
                                                   *const wire_config_moe_keys[],
                                                       *const wire_config_t5_keys[],
                                                           *const wire_config_vit_keys[],
                                                               *const wire_config_gpt_neo_keys[],
                                                                   *const wire_config_opt_keys[],
                                                                       *const wire_config_falcon_keys[],
                                                                           *const wire_config_deepseek_keys[],
                                                                               *const wire_config_bart_keys[];
wire_config_more wire_config_gpt2, wire_config_gemma, wire_config_roberta, wire_config_qwen, wire_config_layers,
    wire_config_gemma3, wire_config_moe, wire_config_t5, wire_config_vit, wire_config_gpt_neo, wire_config_opt,
    wire_config_falcon, wire_config_deepseek, wire_config_bart;

#endif
