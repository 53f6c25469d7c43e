/* checkpoint_tables.c - names of parameters in published files, by model_type. */
#include "server/checkpoint_tables.h"

#define AS(name, file)                                                                                                 \
    { .ours = name, .theirs = file }
#define CONV1D(name, file)                                                                                             \
    { .ours = name, .theirs = file, .layout = CHECKPOINT_TRANSPOSED }
#define OF_THREE(name, file, i)                                                                                        \
    { .ours = name, .theirs = file, .layout = CHECKPOINT_TRANSPOSED, .part = i, .parts = 3 }

static const struct checkpoint_row gpt2_rows[] = {AS("embedding.weight", ".wte.weight"),
                                                  AS("embedding.positions", ".wpe.weight"),
                                                  AS("attention.norm", ".h.%u.ln_1"),
                                                  OF_THREE("attention.q", ".h.%u.attn.c_attn", 0),
                                                  OF_THREE("attention.k", ".h.%u.attn.c_attn", 1),
                                                  OF_THREE("attention.v", ".h.%u.attn.c_attn", 2),
                                                  CONV1D("attention.out", ".h.%u.attn.c_proj"),
                                                  AS("mlp.norm", ".h.%u.ln_2"),
                                                  CONV1D("mlp.up", ".h.%u.mlp.c_fc"),
                                                  CONV1D("mlp.down", ".h.%u.mlp.c_proj"),
                                                  AS("final_norm", ".ln_f"),
                                                  AS("head.weight", "lm_head.weight"),
                                                  {0}};
static const struct checkpoint_leftover gpt2_leftovers[] = {{".h.%u.attn.bias", CHECKPOINT_ALWAYS},
                                                            {".h.%u.attn.masked_bias", CHECKPOINT_ALWAYS},
                                                            {"lm_head.weight", CHECKPOINT_TIED},
                                                            {0}};

/* ---- llama and what is named like it ---- */

static const struct checkpoint_row llama_rows[] = {AS("embedding.weight", ".embed_tokens.weight"),
                                                   AS("attention.norm", ".layers.%u.input_layernorm"),
                                                   AS("attention.q", ".layers.%u.self_attn.q_proj"),
                                                   AS("attention.k", ".layers.%u.self_attn.k_proj"),
                                                   AS("attention.v", ".layers.%u.self_attn.v_proj"),
                                                   AS("attention.q_norm", ".layers.%u.self_attn.q_norm"),
                                                   AS("attention.k_norm", ".layers.%u.self_attn.k_norm"),
                                                   AS("attention.out", ".layers.%u.self_attn.o_proj"),
                                                   AS("mlp.gate", ".layers.%u.mlp.gate_proj"),
                                                   AS("mlp.up", ".layers.%u.mlp.up_proj"),
                                                   AS("mlp.down", ".layers.%u.mlp.down_proj"),
                                                   AS("final_norm", ".norm"),
                                                   AS("head.weight", "lm_head.weight"),
                                                   {0}};
static const struct checkpoint_row two_norm_rows[] = {AS("mlp.norm", ".layers.%u.post_attention_layernorm"), {0}};
static const struct checkpoint_row four_norm_rows[] = {AS("attention.post_norm", ".layers.%u.post_attention_layernorm"),
                                                       AS("mlp.norm", ".layers.%u.pre_feedforward_layernorm"),
                                                       AS("mlp.post_norm", ".layers.%u.post_feedforward_layernorm"),
                                                       {0}};
static const struct checkpoint_row mixtral_rows[] = {AS("experts.router", ".layers.%u.block_sparse_moe.gate"),
                                                     AS("experts.gate", ".layers.%u.block_sparse_moe.experts.%e.w1"),
                                                     AS("experts.up", ".layers.%u.block_sparse_moe.experts.%e.w3"),
                                                     AS("experts.down", ".layers.%u.block_sparse_moe.experts.%e.w2"),
                                                     {0}};
static const struct checkpoint_row qwen_moe_rows[] = {AS("experts.router", ".layers.%u.mlp.gate"),
                                                      AS("experts.gate", ".layers.%u.mlp.experts.%e.gate_proj"),
                                                      AS("experts.up", ".layers.%u.mlp.experts.%e.up_proj"),
                                                      AS("experts.down", ".layers.%u.mlp.experts.%e.down_proj"),
                                                      AS("shared.gate", ".layers.%u.mlp.shared_expert.gate_proj"),
                                                      AS("shared.up", ".layers.%u.mlp.shared_expert.up_proj"),
                                                      AS("shared.down", ".layers.%u.mlp.shared_expert.down_proj"),
                                                      AS("shared.token_gate", ".layers.%u.mlp.shared_expert_gate"),
                                                      {0}};
static const struct checkpoint_leftover llama_leftovers[] = {
    {".layers.%u.self_attn.rotary_emb.inv_freq", CHECKPOINT_ALWAYS},
    {".rotary_emb.inv_freq", CHECKPOINT_ALWAYS},
    {"lm_head.weight", CHECKPOINT_TIED},
    {0}};

/* ---- encoders ---- */

#define IN_LAYER ".encoder.layer.%u."
static const struct checkpoint_row encoder_rows[] = {
    AS("embedding.weight", ".embeddings.word_embeddings.weight"),
    AS("embedding.positions", ".embeddings.position_embeddings.weight"),
    AS("embedding.types", ".embeddings.token_type_embeddings.weight"),
    AS("embedding.norm", ".embeddings.LayerNorm"),
    AS("attention.q", IN_LAYER "attention.self.query"),
    AS("attention.k", IN_LAYER "attention.self.key"),
    AS("attention.v", IN_LAYER "attention.self.value"),
    AS("attention.out", IN_LAYER "attention.output.dense"),
    AS("attention.norm", IN_LAYER "attention.output.LayerNorm"),
    AS("mlp.up", IN_LAYER "intermediate.dense"),
    AS("mlp.down", IN_LAYER "output.dense"),
    AS("mlp.norm", IN_LAYER "output.LayerNorm"),
    {0}};
#define HEAD_ROWS(at, dense, norm)                                                                                     \
    {                                                                                                                  \
        AS("head.dense", at dense), AS("head.norm", at norm),                                                          \
            {.ours = "head.bias", .theirs = at ".bias", .when = CHECKPOINT_TIED},                                      \
            {.ours = "head.bias", .theirs = at ".decoder.bias", .when = CHECKPOINT_UNTIED},                            \
            AS("head.spare_bias", at ".bias"), AS("head.weight", at ".decoder.weight"), {                              \
            0                                                                                                          \
        }                                                                                                              \
    }
static const struct checkpoint_row bert_head_rows[] =
    HEAD_ROWS("cls.predictions", ".transform.dense", ".transform.LayerNorm");
static const struct checkpoint_row roberta_head_rows[] = HEAD_ROWS("lm_head", ".dense", ".layer_norm");
#define HEAD_LEFTOVERS(at)                                                                                             \
    {".embeddings.position_ids", CHECKPOINT_ALWAYS}, {".pooler.dense.*", CHECKPOINT_ALWAYS},                           \
        {at ".decoder.weight", CHECKPOINT_TIED}, {                                                                     \
        at ".decoder.bias", CHECKPOINT_TIED                                                                            \
    }
static const struct checkpoint_leftover bert_leftovers[] = {
    HEAD_LEFTOVERS("cls.predictions"), {"cls.seq_relationship.*", CHECKPOINT_ALWAYS}, {0}};
static const struct checkpoint_leftover roberta_leftovers[] = {HEAD_LEFTOVERS("lm_head"), {0}};

/* ---- vision ---- */

static const struct checkpoint_row vit_rows[] = {
    {.ours = "patches.weight",
     .theirs = ".embeddings.patch_embeddings.projection.weight",
     .layout = CHECKPOINT_CHANNELS_FIRST},
    AS("patches.bias", ".embeddings.patch_embeddings.projection.bias"),
    {.ours = "class_token", .theirs = ".embeddings.cls_token", .ones = 2},
    {.ours = "embedding.positions", .theirs = ".embeddings.position_embeddings", .ones = 1},
    AS("attention.norm", IN_LAYER "layernorm_before"),
    AS("attention.q", IN_LAYER "attention.attention.query"),
    AS("attention.k", IN_LAYER "attention.attention.key"),
    AS("attention.v", IN_LAYER "attention.attention.value"),
    AS("attention.out", IN_LAYER "attention.output.dense"),
    AS("mlp.norm", IN_LAYER "layernorm_after"),
    AS("mlp.up", IN_LAYER "intermediate.dense"),
    AS("mlp.down", IN_LAYER "output.dense"),
    AS("final_norm", ".layernorm"),
    AS("head", "classifier"),
    {0}};
static const struct checkpoint_leftover vit_leftovers[] = {{".pooler.dense.*", CHECKPOINT_ALWAYS}, {0}};

const struct checkpoint_names checkpoint_tables[] = {
    {"gpt2", "transformer", {gpt2_rows}, gpt2_leftovers},
    {"llama", "model", {llama_rows, two_norm_rows}, llama_leftovers},
    {"mistral", "model", {llama_rows, two_norm_rows}, llama_leftovers},
    {"mixtral", "model", {llama_rows, two_norm_rows, mixtral_rows}, llama_leftovers},
    {"qwen2", "model", {llama_rows, two_norm_rows}, llama_leftovers},
    {"qwen3", "model", {llama_rows, two_norm_rows}, llama_leftovers},
    {"qwen2_moe", "model", {llama_rows, two_norm_rows, qwen_moe_rows}, llama_leftovers},
    {"qwen3_moe", "model", {llama_rows, two_norm_rows, qwen_moe_rows}, llama_leftovers},
    {"gemma", "model", {llama_rows, two_norm_rows}, llama_leftovers},
    {"gemma2", "model", {llama_rows, four_norm_rows}, llama_leftovers},
    {"gemma3_text", "model", {llama_rows, four_norm_rows}, llama_leftovers},
    {"olmo2", "model", {llama_rows, four_norm_rows}, llama_leftovers},
    {"bert", "bert", {encoder_rows, bert_head_rows}, bert_leftovers},
    {"roberta", "roberta", {encoder_rows, roberta_head_rows}, roberta_leftovers},
    {"vit", "vit", {vit_rows}, vit_leftovers},
};
const unsigned checkpoint_tables_length = sizeof checkpoint_tables / sizeof checkpoint_tables[0];
