/* checkpoint_tables.c - names of parameters in published files, by model_type. */
#include "server/checkpoint_tables.h"

#define AS(name, file)                                                                                                 \
    { .ours = name, .theirs = file }
#define CONV1D(name, file)                                                                                             \
    { .ours = name, .theirs = file, .layout = CHECKPOINT_TRANSPOSED }
#define OF_THREE(name, file, i)                                                                                        \
    { .ours = name, .theirs = file, .layout = CHECKPOINT_TRANSPOSED, .part = i, .parts = 3 }
#define QKV(file, at, how)                                                                                             \
    {.ours = "attention.q", .theirs = at file, .fused = how, .part = 0},                                               \
        {.ours = "attention.k", .theirs = at file, .fused = how, .part = 1}, {                                         \
        .ours = "attention.v", .theirs = at file, .fused = how, .part = 2                                              \
    }
#define HALF(name, file, i)                                                                                            \
    { .ours = name, .theirs = file, .part = i, .parts = 2 }

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

static const struct checkpoint_row gpt_neo_rows[] = {AS("embedding.weight", ".wte.weight"),
                                                     AS("embedding.positions", ".wpe.weight"),
                                                     AS("attention.norm", ".h.%u.ln_1"),
                                                     AS("attention.q", ".h.%u.attn.attention.q_proj"),
                                                     AS("attention.k", ".h.%u.attn.attention.k_proj"),
                                                     AS("attention.v", ".h.%u.attn.attention.v_proj"),
                                                     AS("attention.out", ".h.%u.attn.attention.out_proj"),
                                                     AS("mlp.norm", ".h.%u.ln_2"),
                                                     AS("mlp.up", ".h.%u.mlp.c_fc"),
                                                     AS("mlp.down", ".h.%u.mlp.c_proj"),
                                                     AS("final_norm", ".ln_f"),
                                                     AS("head.weight", "lm_head.weight"),
                                                     {0}};
static const struct checkpoint_leftover gpt_neo_leftovers[] = {{".h.%u.attn.attention.bias", CHECKPOINT_ALWAYS},
                                                               {".h.%u.attn.attention.masked_bias", CHECKPOINT_ALWAYS},
                                                               {"lm_head.weight", CHECKPOINT_TIED},
                                                               {0}};
static const struct checkpoint_row gptj_rows[] = {AS("embedding.weight", ".wte.weight"),
                                                  AS("norm", ".h.%u.ln_1"),
                                                  AS("attention.q", ".h.%u.attn.q_proj"),
                                                  AS("attention.k", ".h.%u.attn.k_proj"),
                                                  AS("attention.v", ".h.%u.attn.v_proj"),
                                                  AS("attention.out", ".h.%u.attn.out_proj"),
                                                  AS("mlp.up", ".h.%u.mlp.fc_in"),
                                                  AS("mlp.down", ".h.%u.mlp.fc_out"),
                                                  AS("final_norm", ".ln_f"),
                                                  AS("head.weight", "lm_head.weight"),
                                                  AS("head.bias", "lm_head.bias"),
                                                  {0}};

/* ---- queries, keys and values in one, head by head ---- */

#define MIXED(at) QKV("query_key_value", at, CHECKPOINT_QKV_MIXED), AS("attention.out", at "dense")
#define IN_H      ".h.%u."
static const struct checkpoint_row gpt_neox_rows[] = {MIXED(".layers.%u.attention."),
                                                      AS("embedding.weight", ".embed_in.weight"),
                                                      AS("norm", ".layers.%u.input_layernorm"),
                                                      AS("attention.norm", ".layers.%u.input_layernorm"),
                                                      AS("mlp.norm", ".layers.%u.post_attention_layernorm"),
                                                      AS("mlp.up", ".layers.%u.mlp.dense_h_to_4h"),
                                                      AS("mlp.down", ".layers.%u.mlp.dense_4h_to_h"),
                                                      AS("final_norm", ".final_layer_norm"),
                                                      AS("head.weight", "embed_out.weight"),
                                                      {0}};
static const struct checkpoint_leftover gpt_neox_leftovers[] = {
    {".layers.%u.attention.bias", CHECKPOINT_ALWAYS},
    {".layers.%u.attention.masked_bias", CHECKPOINT_ALWAYS},
    {".layers.%u.attention.rotary_emb.inv_freq", CHECKPOINT_ALWAYS},
    {"embed_out.weight", CHECKPOINT_TIED},
    {0}};
static const struct checkpoint_row bloom_rows[] = {MIXED(IN_H "self_attention."),
                                                   AS("embedding.weight", ".word_embeddings.weight"),
                                                   AS("embedding.norm", ".word_embeddings_layernorm"),
                                                   AS("attention.norm", IN_H "input_layernorm"),
                                                   AS("mlp.norm", IN_H "post_attention_layernorm"),
                                                   AS("mlp.up", IN_H "mlp.dense_h_to_4h"),
                                                   AS("mlp.down", IN_H "mlp.dense_4h_to_h"),
                                                   AS("final_norm", ".ln_f"),
                                                   AS("head.weight", "lm_head.weight"),
                                                   {0}};
static const struct checkpoint_row falcon_rows[] = {
    AS("norm", IN_H "ln_attn"), AS("mlp.norm", IN_H "ln_mlp"), AS("norm", IN_H "input_layernorm"), {0}};
static const struct checkpoint_leftover bloom_leftovers[] = {
    {".h.%u.self_attention.rotary_emb.inv_freq", CHECKPOINT_ALWAYS}, {"lm_head.weight", CHECKPOINT_TIED}, {0}};

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
static const struct checkpoint_row deepseek_rows[] = {
    AS("attention.q_down", ".layers.%u.self_attn.q_a_proj"),
    AS("attention.q_norm", ".layers.%u.self_attn.q_a_layernorm"),
    AS("attention.q", ".layers.%u.self_attn.q_b_proj"),
    AS("attention.kv_down", ".layers.%u.self_attn.kv_a_proj_with_mqa"),
    AS("attention.kv_norm", ".layers.%u.self_attn.kv_a_layernorm"),
    AS("attention.kv", ".layers.%u.self_attn.kv_b_proj"),
    AS("experts.correction_bias", ".layers.%u.mlp.gate.e_score_correction_bias"),
    AS("shared.gate", ".layers.%u.mlp.shared_experts.gate_proj"),
    AS("shared.up", ".layers.%u.mlp.shared_experts.up_proj"),
    AS("shared.down", ".layers.%u.mlp.shared_experts.down_proj"),
    {0}};
static const struct checkpoint_row phi3_rows[] = {QKV("self_attn.qkv_proj", ".layers.%u.", CHECKPOINT_QKV),
                                                  HALF("mlp.gate", ".layers.%u.mlp.gate_up_proj", 0),
                                                  HALF("mlp.up", ".layers.%u.mlp.gate_up_proj", 1),
                                                  {0}};
/* phi, stablelm, starcoder2, cohere: where they differ. */
static const struct checkpoint_row phi_rows[] = {AS("norm", ".layers.%u.input_layernorm"),
                                                 AS("attention.q_norm", ".layers.%u.self_attn.q_layernorm"),
                                                 AS("attention.k_norm", ".layers.%u.self_attn.k_layernorm"),
                                                 AS("attention.out", ".layers.%u.self_attn.dense"),
                                                 AS("mlp.up", ".layers.%u.mlp.fc1"),
                                                 AS("mlp.down", ".layers.%u.mlp.fc2"),
                                                 AS("final_norm", ".final_layernorm"),
                                                 AS("head.bias", "lm_head.bias"),
                                                 {0}};
static const struct checkpoint_row stablelm_rows[] = {
    AS("norm", ".layers.%u.input_layernorm"),
    AS("attention.q_norm", ".layers.%u.self_attn.q_layernorm.norms.%e"),
    AS("attention.k_norm", ".layers.%u.self_attn.k_layernorm.norms.%e"),
    {0}};
static const struct checkpoint_row starcoder2_rows[] = {
    AS("mlp.up", ".layers.%u.mlp.c_fc"), AS("mlp.down", ".layers.%u.mlp.c_proj"), {0}};
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

#define IN_DISTIL ".transformer.layer.%u."
static const struct checkpoint_row distilbert_rows[] = {AS("attention.q", IN_DISTIL "attention.q_lin"),
                                                        AS("attention.k", IN_DISTIL "attention.k_lin"),
                                                        AS("attention.v", IN_DISTIL "attention.v_lin"),
                                                        AS("attention.out", IN_DISTIL "attention.out_lin"),
                                                        AS("attention.norm", IN_DISTIL "sa_layer_norm"),
                                                        AS("mlp.up", IN_DISTIL "ffn.lin1"),
                                                        AS("mlp.down", IN_DISTIL "ffn.lin2"),
                                                        AS("mlp.norm", IN_DISTIL "output_layer_norm"),
                                                        AS("head.dense", "vocab_transform"),
                                                        AS("head.norm", "vocab_layer_norm"),
                                                        AS("head", "vocab_projector"),
                                                        {0}};
static const struct checkpoint_leftover distilbert_leftovers[] = {
    {".embeddings.position_ids", CHECKPOINT_ALWAYS}, {"vocab_projector.weight", CHECKPOINT_TIED}, {0}};
static const struct checkpoint_row electra_rows[] = {AS("embedding.project", ".embeddings_project"),
                                                     AS("head.dense", "generator_predictions.dense"),
                                                     AS("head.norm", "generator_predictions.LayerNorm"),
                                                     AS("head", "generator_lm_head"),
                                                     {0}};
static const struct checkpoint_leftover electra_leftovers[] = {
    {".embeddings.position_ids", CHECKPOINT_ALWAYS}, {"generator_lm_head.weight", CHECKPOINT_TIED}, {0}};

/* ---- encoders before decoders, and decoders named like theirs ---- */

#define IN_STACK ".@.layers.%u."
static const struct checkpoint_row bart_rows[] = {AS("attention.q", IN_STACK "self_attn.q_proj"),
                                                  AS("attention.k", IN_STACK "self_attn.k_proj"),
                                                  AS("attention.v", IN_STACK "self_attn.v_proj"),
                                                  AS("attention.out", IN_STACK "self_attn.out_proj"),
                                                  AS("attention.norm", IN_STACK "self_attn_layer_norm"),
                                                  AS("cross.q", IN_STACK "encoder_attn.q_proj"),
                                                  AS("cross.k", IN_STACK "encoder_attn.k_proj"),
                                                  AS("cross.v", IN_STACK "encoder_attn.v_proj"),
                                                  AS("cross.out", IN_STACK "encoder_attn.out_proj"),
                                                  AS("cross.norm", IN_STACK "encoder_attn_layer_norm"),
                                                  AS("mlp.up", IN_STACK "fc1"),
                                                  AS("mlp.down", IN_STACK "fc2"),
                                                  AS("mlp.norm", IN_STACK "final_layer_norm"),
                                                  AS("source.positions", ".encoder.embed_positions.weight"),
                                                  AS("embedding.positions", ".decoder.embed_positions.weight"),
                                                  AS("source.embedding_norm", ".encoder.layernorm_embedding"),
                                                  AS("embedding.norm", ".decoder.layernorm_embedding"),
                                                  {0}};
static const struct checkpoint_row bart_table_rows[] = {
    {.ours = "embedding.weight", .theirs = ".shared.weight", .when = CHECKPOINT_TIED},
    AS("embedding.weight", ".decoder.embed_tokens.weight"),
    AS("source.embedding.weight", ".encoder.embed_tokens.weight"),
    AS("embedding.spare", ".shared.weight"),
    AS("head.weight", "lm_head.weight"),
    {0}};
static const struct checkpoint_leftover bart_leftovers[] = {{".encoder.embed_tokens.weight", CHECKPOINT_TIED},
                                                            {".decoder.embed_tokens.weight", CHECKPOINT_TIED},
                                                            {"lm_head.weight", CHECKPOINT_TIED},
                                                            {"final_logits_bias", CHECKPOINT_ALWAYS},
                                                            {0}};
static const struct checkpoint_row opt_rows[] = {AS("embedding.weight", ".decoder.embed_tokens.weight"),
                                                 AS("embedding.project", ".decoder.project_in"),
                                                 AS("head.project", ".decoder.project_out"),
                                                 AS("final_norm", ".decoder.final_layer_norm"),
                                                 AS("head.weight", "lm_head.weight"),
                                                 {0}};
static const struct checkpoint_leftover opt_leftovers[] = {{"lm_head.weight", CHECKPOINT_TIED}, {0}};
#define SOUND(name, file)                                                                                              \
    {.ours = name ".weight", .theirs = file ".weight", .layout = CHECKPOINT_CHANNELS_FIRST},                           \
        AS(name ".bias", file ".bias")
static const struct checkpoint_row whisper_rows[] = {SOUND("sound.first", ".encoder.conv1"),
                                                     SOUND("sound.second", ".encoder.conv2"),
                                                     AS("embedding.weight", ".decoder.embed_tokens.weight"),
                                                     AS("source.final_norm", ".encoder.layer_norm"),
                                                     AS("final_norm", ".decoder.layer_norm"),
                                                     AS("head.weight", "proj_out.weight"),
                                                     {0}};
static const struct checkpoint_leftover whisper_leftovers[] = {{"proj_out.weight", CHECKPOINT_TIED}, {0}};

#define IN_BLOCK "@.block.%u.layer."
static const struct checkpoint_row t5_rows[] = {AS("attention.q", IN_BLOCK "0.SelfAttention.q"),
                                                AS("attention.k", IN_BLOCK "0.SelfAttention.k"),
                                                AS("attention.v", IN_BLOCK "0.SelfAttention.v"),
                                                AS("attention.out", IN_BLOCK "0.SelfAttention.o"),
                                                AS("attention.norm", IN_BLOCK "0.layer_norm"),
                                                AS("cross.q", IN_BLOCK "1.EncDecAttention.q"),
                                                AS("cross.k", IN_BLOCK "1.EncDecAttention.k"),
                                                AS("cross.v", IN_BLOCK "1.EncDecAttention.v"),
                                                AS("cross.out", IN_BLOCK "1.EncDecAttention.o"),
                                                AS("cross.norm", IN_BLOCK "1.layer_norm"),
                                                AS("mlp.gate", IN_BLOCK "2.DenseReluDense.wi_0"),
                                                AS("mlp.gate", IN_BLOCK "1.DenseReluDense.wi_0"),
                                                AS("mlp.up", IN_BLOCK "2.DenseReluDense.wi_1"),
                                                AS("mlp.up", IN_BLOCK "1.DenseReluDense.wi_1"),
                                                AS("mlp.up", IN_BLOCK "2.DenseReluDense.wi"),
                                                AS("mlp.up", IN_BLOCK "1.DenseReluDense.wi"),
                                                AS("mlp.down", IN_BLOCK "2.DenseReluDense.wo"),
                                                AS("mlp.down", IN_BLOCK "1.DenseReluDense.wo"),
                                                AS("mlp.norm", IN_BLOCK "2.layer_norm"),
                                                AS("mlp.norm", IN_BLOCK "1.layer_norm"),
                                                {0}};
static const struct checkpoint_row t5_table_rows[] = {
    AS("embedding.weight", "shared.weight"),
    AS("source.relative_bias", "encoder.block.0.layer.0.SelfAttention.relative_attention_bias"),
    AS("relative_bias", "decoder.block.0.layer.0.SelfAttention.relative_attention_bias"),
    AS("source.final_norm", "encoder.final_layer_norm"),
    AS("final_norm", "decoder.final_layer_norm"),
    AS("head.weight", "lm_head.weight"),
    {0}};
static const struct checkpoint_leftover t5_leftovers[] = {
    {"encoder.embed_tokens.weight", CHECKPOINT_ALWAYS},
    {"decoder.embed_tokens.weight", CHECKPOINT_ALWAYS},
    {"decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight", CHECKPOINT_ALWAYS},
    {"lm_head.weight", CHECKPOINT_SCALED},
    {0}};

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
    {"phi3", "model", {llama_rows, two_norm_rows, phi3_rows}, llama_leftovers},
    {"phi", "model", {llama_rows, phi_rows}, llama_leftovers},
    {"starcoder2", "model", {llama_rows, two_norm_rows, starcoder2_rows}, llama_leftovers},
    {"stablelm", "model", {stablelm_rows, llama_rows, two_norm_rows}, llama_leftovers},
    {"cohere", "model", {llama_rows, phi_rows}, llama_leftovers},
    {"deepseek_v2", "model", {llama_rows, two_norm_rows, qwen_moe_rows, deepseek_rows}, llama_leftovers},
    {"deepseek_v3", "model", {llama_rows, two_norm_rows, qwen_moe_rows, deepseek_rows}, llama_leftovers},
    {"gpt_neo", "transformer", {gpt_neo_rows}, gpt_neo_leftovers},
    {"gptj", "transformer", {gptj_rows}, gpt2_leftovers},
    {"gpt_neox", "gpt_neox", {gpt_neox_rows}, gpt_neox_leftovers},
    {"bloom", "transformer", {bloom_rows}, bloom_leftovers},
    {"falcon", "transformer", {bloom_rows, falcon_rows}, bloom_leftovers},
    {"opt", "model", {bart_rows, opt_rows}, opt_leftovers},
    {"distilbert", "distilbert", {encoder_rows, distilbert_rows}, distilbert_leftovers},
    {"electra", "electra", {encoder_rows, electra_rows}, electra_leftovers},
    {"bart", "model", {bart_rows, bart_table_rows}, bart_leftovers},
    {"whisper", "model", {bart_rows, whisper_rows}, whisper_leftovers},
    {"t5", "", {t5_rows, t5_table_rows}, t5_leftovers},
};
const unsigned checkpoint_tables_length = sizeof checkpoint_tables / sizeof checkpoint_tables[0];
