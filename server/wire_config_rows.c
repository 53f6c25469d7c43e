/* wire_config_rows.c - the fields of each model_type's config.json, with the defaults and nullability of transformers'
 * own configuration classes (5.23). */
#include "server/wire_config.h"

#define AT(field) offsetof(struct model, field)

/* What most of them share. */
#define COMMON(vocab_, width, ff, layers_, heads_)                                                                     \
    {"vocab_size", NULL, SIZE, AT(vocab), vocab_, false, MODEL_SIZE_MAX},                                              \
        {"hidden_size", NULL, SIZE, AT(d_model), width, false, MODEL_SIZE_MAX},                                        \
        {"intermediate_size", NULL, SIZE, AT(d_ff), ff, false, MODEL_SIZE_MAX},                                        \
        {"num_hidden_layers", NULL, SIZE, AT(layers), layers_, false, MODEL_LAYERS_MAX}, {                             \
        "num_attention_heads", NULL, SIZE, AT(heads), heads_, false, MODEL_SIZE_MAX                                    \
    }
#define KV_HEADS(n, null)                                                                                              \
    { "num_key_value_heads", NULL, SIZE, AT(kv_heads), n, null, MODEL_SIZE_MAX }
#define HEAD_DIM(n, null)                                                                                              \
    { "head_dim", NULL, SIZE, AT(head_dim), n, null, 65536 }
#define POSITIONS(n)                                                                                                   \
    { "max_position_embeddings", NULL, SIZE, AT(max_positions), n, false, MODEL_SEQ_MAX }
#define TIED(yes)                                                                                                      \
    { "tie_word_embeddings", NULL, FLAG, AT(tied_embeddings), yes, false, 0 }
#define FLAG_ROW(key, field)                                                                                           \
    { key, NULL, FLAG, AT(field), 0, false, 0 }
#define EPSILON(key, n)                                                                                                \
    { key, NULL, POSITIVE, AT(norm_epsilon), n, false, 0 }
#define RMS(n)         EPSILON("rms_norm_eps", n)
#define ATTENTION_BIAS FLAG_ROW("attention_bias", bias_qkv), FLAG_ROW("attention_bias", bias_out)

const struct wire_config_row wire_config_gpt2_rows[] = {
    {"vocab_size", NULL, SIZE, AT(vocab), 50257, false, MODEL_SIZE_MAX},
    {"n_positions", "max_position_embeddings", SIZE, AT(max_positions), 1024, false, MODEL_SEQ_MAX},
    {"n_embd", "hidden_size", SIZE, AT(d_model), 768, false, MODEL_SIZE_MAX},
    {"n_layer", "num_hidden_layers", SIZE, AT(layers), 12, false, MODEL_LAYERS_MAX},
    {"n_head", "num_attention_heads", SIZE, AT(heads), 12, false, MODEL_SIZE_MAX},
    {"n_inner", NULL, SIZE, AT(d_ff), 0, true, MODEL_SIZE_MAX},
    TIED(true),
    EPSILON("layer_norm_epsilon", 1e-5),
    {0}};
const struct wire_config_row wire_config_llama_rows[] = {COMMON(32000, 4096, 11008, 32, 32),
                                                         KV_HEADS(0, true),
                                                         HEAD_DIM(0, true),
                                                         POSITIONS(2048),
                                                         TIED(false),
                                                         ATTENTION_BIAS,
                                                         FLAG_ROW("mlp_bias", bias_mlp),
                                                         RMS(1e-6),
                                                         {0}};
const struct wire_config_row wire_config_mistral_rows[] = {
    COMMON(32000, 4096, 14336, 32, 32),
    KV_HEADS(8, false),
    HEAD_DIM(0, true),
    POSITIONS(131072),
    TIED(false),
    {"sliding_window", NULL, SIZE, AT(window), 4096, true, MODEL_SEQ_MAX},
    RMS(1e-6),
    {0}};
const struct wire_config_row wire_config_mixtral_rows[] = {
    COMMON(32000, 4096, 14336, 32, 32),
    KV_HEADS(8, false),
    HEAD_DIM(0, true),
    POSITIONS(131072),
    TIED(false),
    {"sliding_window", NULL, SIZE, AT(window), 0, true, MODEL_SEQ_MAX},
    {"num_local_experts", "num_experts", SIZE, AT(experts), 8, false, MODEL_SIZE_MAX},
    {"num_experts_per_tok", NULL, SIZE, AT(experts_per_token), 2, false, MODEL_SIZE_MAX},
    RMS(1e-5),
    {0}};
const struct wire_config_row wire_config_qwen2_rows[] = {
    COMMON(151936, 4096, 22016, 32, 32),
    KV_HEADS(32, true),
    HEAD_DIM(0, false),
    POSITIONS(32768),
    TIED(false),
    {"sliding_window", NULL, SIZE, AT(window), 4096, true, MODEL_SEQ_MAX},
    RMS(1e-6),
    {0}};
const struct wire_config_row wire_config_qwen3_rows[] = {
    COMMON(151936, 4096, 22016, 32, 32),
    KV_HEADS(32, true),
    HEAD_DIM(128, false),
    POSITIONS(32768),
    TIED(false),
    ATTENTION_BIAS,
    {"sliding_window", NULL, SIZE, AT(window), 4096, true, MODEL_SEQ_MAX},
    RMS(1e-6),
    {0}};
const struct wire_config_row wire_config_gemma2_rows[] = {
    COMMON(256000, 2304, 9216, 26, 8),
    KV_HEADS(4, false),
    HEAD_DIM(256, false),
    POSITIONS(8192),
    TIED(true),
    ATTENTION_BIAS,
    {"sliding_window", NULL, SIZE, AT(window), 4096, true, MODEL_SEQ_MAX},
    {"attn_logit_softcapping", NULL, REAL, AT(attention_softcap), 50, true, 0},
    {"final_logit_softcapping", NULL, REAL, AT(final_softcap), 30, true, 0},
    RMS(1e-6),
    {"query_pre_attn_scalar", NULL, POSITIVE, AT(attention_divisor), 256, false, 0},
    {0}};

#define TYPES_ROW(n)                                                                                                   \
    { "type_vocab_size", NULL, SIZE, AT(type_vocab), n, false, MODEL_SIZE_MAX }
const struct wire_config_row wire_config_bert_rows[] = {
    COMMON(30522, 768, 3072, 12, 12), POSITIONS(512), TIED(true), TYPES_ROW(2), EPSILON("layer_norm_eps", 1e-12), {0}};
const struct wire_config_row wire_config_roberta_rows[] = {
    COMMON(50265, 768, 3072, 12, 12), POSITIONS(512), TIED(true), TYPES_ROW(2), EPSILON("layer_norm_eps", 1e-12), {0}};
const struct wire_config_row wire_config_distilbert_rows[] = {
    {"vocab_size", NULL, SIZE, AT(vocab), 30522, false, MODEL_SIZE_MAX},
    {"dim", "hidden_size", SIZE, AT(d_model), 768, false, MODEL_SIZE_MAX},
    {"hidden_dim", NULL, SIZE, AT(d_ff), 3072, false, MODEL_SIZE_MAX},
    {"n_layers", "num_hidden_layers", SIZE, AT(layers), 6, false, MODEL_LAYERS_MAX},
    {"n_heads", "num_attention_heads", SIZE, AT(heads), 12, false, MODEL_SIZE_MAX},
    POSITIONS(512),
    TIED(true),
    {0}};

/* ---- rows of the others ---- */

#define SIZE_ROW(key, field, n)                                                                                        \
    { key, NULL, SIZE, AT(field), n, false, MODEL_SIZE_MAX }
#define NULL_ROW(key, field)                                                                                           \
    { key, NULL, SIZE, AT(field), 0, true, MODEL_SIZE_MAX }
#define ON_ROW(key, field)                                                                                             \
    { key, NULL, FLAG, AT(field), 1, false, 0 }
#define WINDOW(n)                                                                                                      \
    { "sliding_window", NULL, SIZE, AT(window), n, true, MODEL_SEQ_MAX }

const struct wire_config_row wire_config_gemma_rows[] = {COMMON(256000, 3072, 24576, 28, 16),
                                                         KV_HEADS(16, false),
                                                         HEAD_DIM(256, false),
                                                         POSITIONS(8192),
                                                         TIED(true),
                                                         ATTENTION_BIAS,
                                                         RMS(1e-6),
                                                         {0}};
const struct wire_config_row wire_config_gemma3_rows[] = {
    COMMON(262208, 2304, 9216, 26, 8),
    KV_HEADS(4, false),
    HEAD_DIM(256, false),
    POSITIONS(131072),
    TIED(true),
    ATTENTION_BIAS,
    WINDOW(4096),
    {"final_logit_softcapping", NULL, REAL, AT(final_softcap), 0, true, 0},
    RMS(1e-6),
    {"query_pre_attn_scalar", NULL, POSITIVE, AT(attention_divisor), 256, false, 0},
    {0}};
const struct wire_config_row wire_config_phi3_rows[] = {
    COMMON(32064, 3072, 8192, 32, 32), KV_HEADS(0, true), POSITIONS(4096), TIED(false), WINDOW(0), RMS(1e-5), {0}};
const struct wire_config_row wire_config_starcoder2_rows[] = {COMMON(49152, 3072, 12288, 30, 24),
                                                              KV_HEADS(2, false),
                                                              POSITIONS(4096),
                                                              TIED(true),
                                                              WINDOW(0),
                                                              ON_ROW("use_bias", bias_qkv),
                                                              ON_ROW("use_bias", bias_out),
                                                              ON_ROW("use_bias", bias_mlp),
                                                              EPSILON("norm_epsilon", 1e-5),
                                                              {0}};
const struct wire_config_row wire_config_olmo2_rows[] = {COMMON(50304, 4096, 11008, 32, 32),
                                                         KV_HEADS(0, true),
                                                         POSITIONS(2048),
                                                         TIED(false),
                                                         ATTENTION_BIAS,
                                                         RMS(1e-5),
                                                         {0}};
const struct wire_config_row wire_config_gpt_neox_rows[] = {COMMON(50432, 6144, 24576, 44, 64),
                                                            POSITIONS(2048),
                                                            TIED(false),
                                                            ON_ROW("use_parallel_residual", parallel),
                                                            ON_ROW("attention_bias", bias_qkv),
                                                            ON_ROW("attention_bias", bias_out),
                                                            EPSILON("layer_norm_eps", 1e-5),
                                                            {0}};
const struct wire_config_row wire_config_gptj_rows[] = {
    SIZE_ROW("vocab_size", vocab, 50400),
    {"n_positions", "max_position_embeddings", SIZE, AT(max_positions), 2048, false, MODEL_SEQ_MAX},
    {"n_embd", "hidden_size", SIZE, AT(d_model), 4096, false, MODEL_SIZE_MAX},
    {"n_layer", "num_hidden_layers", SIZE, AT(layers), 28, false, MODEL_LAYERS_MAX},
    {"n_head", "num_attention_heads", SIZE, AT(heads), 16, false, MODEL_SIZE_MAX},
    NULL_ROW("n_inner", d_ff),
    TIED(false),
    EPSILON("layer_norm_epsilon", 1e-5),
    SIZE_ROW("rotary_dim", rotary_dim, 64),
    {0}};
const struct wire_config_row wire_config_gpt_neo_rows[] = {
    SIZE_ROW("vocab_size", vocab, 50257),
    POSITIONS(2048),
    SIZE_ROW("hidden_size", d_model, 2048),
    {"num_layers", "num_hidden_layers", SIZE, AT(layers), 24, false, MODEL_LAYERS_MAX},
    {"num_heads", "num_attention_heads", SIZE, AT(heads), 16, false, MODEL_SIZE_MAX},
    NULL_ROW("intermediate_size", d_ff),
    {"window_size", NULL, SIZE, AT(window), 256, false, MODEL_SEQ_MAX},
    TIED(true),
    EPSILON("layer_norm_epsilon", 1e-5),
    {0}};
const struct wire_config_row wire_config_opt_rows[] = {
    SIZE_ROW("vocab_size", vocab, 50272),
    POSITIONS(2048),
    SIZE_ROW("hidden_size", d_model, 768),
    {"num_hidden_layers", NULL, SIZE, AT(layers), 12, false, MODEL_LAYERS_MAX},
    SIZE_ROW("num_attention_heads", heads, 12),
    SIZE_ROW("ffn_dim", d_ff, 3072),
    FLAG_ROW("_remove_final_layer_norm", no_final_norm),
    TIED(true),
    {0}};
const struct wire_config_row wire_config_bloom_rows[] = {
    SIZE_ROW("vocab_size", vocab, 250880),
    {"hidden_size", "n_embed", SIZE, AT(d_model), 64, false, MODEL_SIZE_MAX},
    {"n_layer", "num_hidden_layers", SIZE, AT(layers), 2, false, MODEL_LAYERS_MAX},
    {"n_head", "num_attention_heads", SIZE, AT(heads), 8, false, MODEL_SIZE_MAX},
    FLAG_ROW("apply_residual_connection_post_layernorm", norm_residual),
    TIED(true),
    EPSILON("layer_norm_epsilon", 1e-5),
    {0}};
const struct wire_config_row wire_config_falcon_rows[] = {
    SIZE_ROW("vocab_size", vocab, 65024),
    {"hidden_size", "n_embed", SIZE, AT(d_model), 4544, false, MODEL_SIZE_MAX},
    {"num_hidden_layers", NULL, SIZE, AT(layers), 32, false, MODEL_LAYERS_MAX},
    SIZE_ROW("num_attention_heads", heads, 71),
    NULL_ROW("ffn_hidden_size", d_ff),
    POSITIONS(2048),
    TIED(true),
    {"layer_norm_epsilon", NULL, POSITIVE, AT(norm_epsilon), 1e-5, true, 0},
    {0}};
const struct wire_config_row wire_config_phi_rows[] = {COMMON(51200, 2048, 8192, 24, 32),
                                                       KV_HEADS(0, true),
                                                       POSITIONS(2048),
                                                       TIED(false),
                                                       FLAG_ROW("qk_layernorm", qk_norm),
                                                       EPSILON("layer_norm_eps", 1e-5),
                                                       {0}};
const struct wire_config_row wire_config_stablelm_rows[] = {COMMON(50304, 2560, 6912, 32, 32),
                                                            KV_HEADS(32, false),
                                                            POSITIONS(4096),
                                                            TIED(false),
                                                            FLAG_ROW("use_qkv_bias", bias_qkv),
                                                            FLAG_ROW("qk_layernorm", qk_norm),
                                                            FLAG_ROW("use_parallel_residual", parallel),
                                                            EPSILON("layer_norm_eps", 1e-5),
                                                            {0}};
const struct wire_config_row wire_config_cohere_rows[] = {
    COMMON(256000, 8192, 22528, 40, 64),
    KV_HEADS(0, true),
    POSITIONS(8192),
    TIED(true),
    ATTENTION_BIAS,
    {"use_qk_norm", NULL, FLAG, AT(qk_norm), 0, true, 0},
    {"layer_norm_eps", NULL, POSITIVE, AT(norm_epsilon), 1e-5, true, 0},
    {"logit_scale", NULL, REAL, AT(logit_scale), 0.0625, true, 0},
    {0}};

#define EXPERTS(key, alias, n, per_token)                                                                              \
    {key, alias, SIZE, AT(experts), n, false, MODEL_SIZE_MAX},                                                         \
        SIZE_ROW("num_experts_per_tok", experts_per_token, per_token)
const struct wire_config_row wire_config_qwen2_moe_rows[] = {
    COMMON(151936, 2048, 5632, 24, 16),
    KV_HEADS(16, true),
    HEAD_DIM(0, false),
    POSITIONS(32768),
    TIED(false),
    WINDOW(4096),
    ON_ROW("qkv_bias", bias_qkv),
    EXPERTS("num_experts", NULL, 60, 4),
    SIZE_ROW("moe_intermediate_size", expert_d_ff, 1408),
    SIZE_ROW("shared_expert_intermediate_size", shared_d_ff, 5632),
    RMS(1e-6),
    FLAG_ROW("norm_topk_prob", route.normalise),
    {0}};
const struct wire_config_row wire_config_qwen3_moe_rows[] = {COMMON(151936, 2048, 6144, 24, 32),
                                                             KV_HEADS(4, false),
                                                             HEAD_DIM(0, true),
                                                             POSITIONS(32768),
                                                             TIED(false),
                                                             ATTENTION_BIAS,
                                                             WINDOW(4096),
                                                             EXPERTS("num_experts", "num_local_experts", 128, 8),
                                                             SIZE_ROW("moe_intermediate_size", expert_d_ff, 768),
                                                             RMS(1e-6),
                                                             FLAG_ROW("norm_topk_prob", route.normalise),
                                                             {0}};
const struct wire_config_row wire_config_gpt_oss_rows[] = {COMMON(201088, 2880, 2880, 36, 64),
                                                           KV_HEADS(8, false),
                                                           HEAD_DIM(64, false),
                                                           POSITIONS(131072),
                                                           TIED(false),
                                                           WINDOW(128),
                                                           ON_ROW("attention_bias", bias_qkv),
                                                           ON_ROW("attention_bias", bias_out),
                                                           EXPERTS("num_local_experts", "num_experts", 128, 4),
                                                           RMS(1e-5),
                                                           {0}};
#define LATENT                                                                                                         \
    SIZE_ROW("kv_lora_rank", latent.kv_rank, 512),                                                                     \
        {"q_lora_rank", NULL, SIZE, AT(latent.q_rank), 1536, true, MODEL_SIZE_MAX},                                    \
        SIZE_ROW("qk_rope_head_dim", latent.rope_dim, 64), SIZE_ROW("v_head_dim", latent.value_dim, 128)
const struct wire_config_row wire_config_deepseek_v2_rows[] = {
    COMMON(102400, 4096, 11008, 32, 32),
    POSITIONS(2048),
    TIED(false),
    ATTENTION_BIAS,
    FLAG_ROW("mlp_bias", bias_mlp),
    LATENT,
    EXPERTS("n_routed_experts", "num_experts", 64, 0),
    SIZE_ROW("moe_intermediate_size", expert_d_ff, 1407),
    RMS(1e-6),
    {"routed_scaling_factor", NULL, REAL, AT(route.factor), 1, false, 0},
    {0}};
const struct wire_config_row wire_config_deepseek_v3_rows[] = {
    COMMON(129280, 7168, 18432, 61, 128),
    POSITIONS(4096),
    TIED(false),
    ATTENTION_BIAS,
    LATENT,
    EXPERTS("n_routed_experts", "num_local_experts", 256, 8),
    SIZE_ROW("moe_intermediate_size", expert_d_ff, 2048),
    RMS(1e-6),
    {"routed_scaling_factor", NULL, REAL, AT(route.factor), 2.5, false, 0},
    {"n_group", NULL, SIZE, AT(route.groups), 8, true, 64},
    {"topk_group", NULL, SIZE, AT(route.kept_groups), 4, true, 64},
    {"norm_topk_prob", NULL, FLAG, AT(route.normalise), 1, true, 0},
    {"rope_interleave", NULL, FLAG, AT(rotary_interleaved), 1, true, 0},
    {0}};
const struct wire_config_row wire_config_electra_rows[] = {COMMON(30522, 256, 1024, 12, 4),
                                                           POSITIONS(512),
                                                           TIED(true),
                                                           TYPES_ROW(2),
                                                           SIZE_ROW("embedding_size", embedding_width, 128),
                                                           EPSILON("layer_norm_eps", 1e-12),
                                                           {0}};
const struct wire_config_row wire_config_vit_rows[] = {
    SIZE_ROW("hidden_size", d_model, 768),
    SIZE_ROW("intermediate_size", d_ff, 3072),
    {"num_hidden_layers", NULL, SIZE, AT(layers), 12, false, MODEL_LAYERS_MAX},
    SIZE_ROW("num_attention_heads", heads, 12),
    HEAD_DIM(0, false),
    SIZE_ROW("num_channels", channels, 3),
    ON_ROW("qkv_bias", bias_qkv),
    EPSILON("layer_norm_eps", 1e-12),
    {0}};
const struct wire_config_row wire_config_t5_rows[] = {
    SIZE_ROW("vocab_size", vocab, 32128),
    {"d_model", "hidden_size", SIZE, AT(d_model), 512, false, MODEL_SIZE_MAX},
    {"d_kv", "head_dim", SIZE, AT(head_dim), 64, false, 65536},
    SIZE_ROW("d_ff", d_ff, 2048),
    {"num_layers", "num_hidden_layers", SIZE, AT(source_layers), 6, false, MODEL_LAYERS_MAX},
    {"num_heads", "num_attention_heads", SIZE, AT(heads), 8, false, MODEL_SIZE_MAX},
    SIZE_ROW("relative_attention_num_buckets", relative_buckets, 32),
    EPSILON("layer_norm_epsilon", 1e-6),
    SIZE_ROW("relative_attention_max_distance", relative_distance, 128),
    {0}};
const struct wire_config_row wire_config_bart_rows[] = {
    SIZE_ROW("vocab_size", vocab, 50265),
    POSITIONS(1024),
    {"d_model", "hidden_size", SIZE, AT(d_model), 1024, false, MODEL_SIZE_MAX},
    {"encoder_layers", "num_hidden_layers", SIZE, AT(source_layers), 12, false, MODEL_LAYERS_MAX},
    {"encoder_attention_heads", "num_attention_heads", SIZE, AT(source_heads), 16, false, MODEL_SIZE_MAX},
    SIZE_ROW("encoder_ffn_dim", source_d_ff, 4096),
    {"decoder_layers", NULL, SIZE, AT(layers), 12, false, MODEL_LAYERS_MAX},
    SIZE_ROW("decoder_attention_heads", heads, 16),
    SIZE_ROW("decoder_ffn_dim", d_ff, 4096),
    {"scale_embedding", NULL, FLAG, AT(embedding_scale), 0, true, 0},
    TIED(true),
    {0}};

const struct wire_config_row wire_config_whisper_rows[] = {
    SIZE_ROW("vocab_size", vocab, 51865),
    SIZE_ROW("num_mel_bins", mel_bins, 80),
    {"encoder_layers", "num_hidden_layers", SIZE, AT(source_layers), 4, false, MODEL_LAYERS_MAX},
    {"encoder_attention_heads", "num_attention_heads", SIZE, AT(source_heads), 6, false, MODEL_SIZE_MAX},
    {"decoder_layers", NULL, SIZE, AT(layers), 4, false, MODEL_LAYERS_MAX},
    SIZE_ROW("decoder_attention_heads", heads, 6),
    SIZE_ROW("decoder_ffn_dim", d_ff, 1536),
    SIZE_ROW("encoder_ffn_dim", source_d_ff, 1536),
    {"d_model", "hidden_size", SIZE, AT(d_model), 384, false, MODEL_SIZE_MAX},
    SIZE_ROW("max_source_positions", source_positions, 1500),
    {"max_target_positions", NULL, SIZE, AT(max_positions), 448, false, MODEL_SEQ_MAX},
    TIED(true),
    {0}};
