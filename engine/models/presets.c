/* presets.c - each row is the published config.json of the model named by its source. */
#include "engine/models/presets.h"

#include <string.h>

#define BIASES .bias_qkv = true, .bias_out = true, .bias_mlp = true
#define GPT2(l, d, h)                                                                                                  \
    {                                                                                                                  \
        .mlp = MODEL_GELU_TANH, .norm = MODEL_LAYERNORM, .positions = MODEL_LEARNED, .layers = l, .d_model = d,        \
        .heads = h, .vocab = 50257, .max_positions = 1024, BIASES, .tied_embeddings = true                             \
    }
/* layers, width, heads, key/value heads, feed-forward, vocabulary, positions, and what is particular */
#define LLAMA(l, d, h, kv, ff, v, p, ...)                                                                              \
    {                                                                                                                  \
        .mlp = MODEL_SWIGLU, .norm = MODEL_RMSNORM, .positions = MODEL_ROTARY, .layers = l, .d_model = d, .heads = h,  \
        .kv_heads = kv, .d_ff = ff, .vocab = v, .max_positions = p, __VA_ARGS__                                        \
    }
#define THETA(t) .rope = {.theta = t}
#define SLOWED(n)                                                                                                      \
    .rope = {                                                                                                          \
        .theta = 500000, .scaling = MODEL_ROPE_LLAMA3, .factor = n, .original_positions = 8192, .low = 1, .high = 4}
#define TIED  .tied_embeddings = true
#define QWEN2 .bias_qkv = true, THETA(1e6), .norm_epsilon = 1e-6
#define QWEN3 .head_dim = 128, .qk_norm = true, THETA(1e6), .norm_epsilon = 1e-6
#define GEMMA2(l, d, h, kv, hd, ff, divisor)                                                                           \
    {                                                                                                                  \
        .mlp = MODEL_GEGLU_TANH, .norm_epsilon = 1e-6, .norm_offset = 1, .norm = MODEL_RMSNORM,                        \
        .positions = MODEL_ROTARY, .layers = l, .d_model = d, .heads = h, .kv_heads = kv, .head_dim = hd, .d_ff = ff,  \
        .vocab = 256000, .max_positions = 8192, .tied_embeddings = true, .sandwich_norm = true,                        \
        .embedding_scale = true, .window = 4096, .window_pattern = 2, .attention_softcap = 50, .final_softcap = 30,    \
        .attention_divisor = divisor                                                                                   \
    }
/* With the head of masked language modelling; feed-forwards are four times the width. */
#define BERT(l, d, h, v, p, ...)                                                                                       \
    {                                                                                                                  \
        .family = MODEL_ENCODER, .mlp = MODEL_GELU, .norm = MODEL_LAYERNORM, .positions = MODEL_LEARNED, .layers = l,  \
        .d_model = d, .heads = h, .vocab = v, .max_positions = p, BIASES, .tied_embeddings = true,                     \
        .bidirectional = true, .post_norm = true, .embedding_norm = true, .mlm_head = true, .norm_epsilon = 1e-12,     \
        __VA_ARGS__                                                                                                    \
    }
/* Norms with biases, rotary positions, attention and feed-forward beside each other. */
#define BESIDE(l, d, h, kv, v, ...)                                                                                    \
    {                                                                                                                  \
        .norm = MODEL_LAYERNORM, .positions = MODEL_ROTARY, .layers = l, .d_model = d, .heads = h, .kv_heads = kv,     \
        .vocab = v, .max_positions = 2048, .parallel = true, __VA_ARGS__                                               \
    }
#define NEOX(l, d, h, v) BESIDE(l, d, h, h, v, .mlp = MODEL_GELU, BIASES, .two_norms = true, .rotary_share = 0.25)
#define OPT(l, d, h, ...)                                                                                              \
    {                                                                                                                  \
        .mlp = MODEL_RELU, .norm = MODEL_LAYERNORM, .positions = MODEL_LEARNED, .layers = l, .d_model = d, .heads = h, \
        .vocab = 50272, .max_positions = 2050, .reserved_positions = 2, BIASES, .tied_embeddings = true, __VA_ARGS__   \
    }
#define BLOOM(l, d, h)                                                                                                 \
    {                                                                                                                  \
        .mlp = MODEL_GELU_TANH, .norm = MODEL_LAYERNORM, .positions = MODEL_ALIBI, .layers = l, .d_model = d,          \
        .heads = h, .vocab = 250880, .max_positions = 2048, BIASES, .tied_embeddings = true, .embedding_norm = true    \
    }
#define STARCODER2(l, d, h, kv, ...)                                                                                   \
    {                                                                                                                  \
        .mlp = MODEL_GELU_TANH, .norm = MODEL_LAYERNORM, .positions = MODEL_ROTARY, .layers = l, .d_model = d,         \
        .heads = h, .kv_heads = kv, .vocab = 49152, .max_positions = 16384, .window = 4096, BIASES, __VA_ARGS__        \
    }
#define COHERE(l, d, h, kv, ff, ...)                                                                                   \
    {                                                                                                                  \
        .mlp = MODEL_SWIGLU, .norm = MODEL_LAYERNORM_NO_BIAS, .positions = MODEL_ROTARY, .layers = l, .d_model = d,    \
        .heads = h, .kv_heads = kv, .d_ff = ff, .vocab = 256000, .max_positions = 8192, .tied_embeddings = true,       \
        .parallel = true, .rotary_interleaved = true, __VA_ARGS__                                                      \
    }
#define GEMMA(l, d, h, kv, ff, v, p, ...)                                                                              \
    {                                                                                                                  \
        .mlp = MODEL_GEGLU_TANH, .norm_epsilon = 1e-6, .norm_offset = 1, .norm = MODEL_RMSNORM,                        \
        .positions = MODEL_ROTARY, .layers = l, .d_model = d, .heads = h, .kv_heads = kv, .head_dim = 256, .d_ff = ff, \
        .vocab = v, .max_positions = p, .tied_embeddings = true, .embedding_scale = true, __VA_ARGS__                  \
    }
#define OLMO2 THETA(500000), .norm_epsilon = 1e-6, .qk_norm = true, .qk_norm_over = MODEL_OVER_ROW, .output_norm = true
#define GPT_OSS(l, e)                                                                                                  \
    LLAMA(l, 2880, 64, 8, 2880, 201088, 131072, .head_dim = 64, .bias_qkv = true, .bias_out = true, .sinks = true,     \
          .window = 128, .window_pattern = 2, .experts = e, .experts_per_token = 4, .router_bias = true,               \
          .expert_bias = true,                                                                                         \
          .rope = {.theta = 150000,                                                                                    \
                   .scaling = MODEL_ROPE_YARN,                                                                         \
                   .factor = 32,                                                                                       \
                   .original_positions = 4096,                                                                         \
                   .low = 1,                                                                                           \
                   .high = 32,                                                                                         \
                   .exact_ramp = true},                                                                                \
          .route = {.normalise = true}, .missing = "gpt_oss's clamped activation of experts")
#define VIT(l, d, h)                                                                                                   \
    {                                                                                                                  \
        .family = MODEL_VISION, .mlp = MODEL_GELU, .norm = MODEL_LAYERNORM, .positions = MODEL_LEARNED, .layers = l,   \
        .d_model = d, .heads = h, .max_positions = 197, BIASES, .bidirectional = true, .image_height = 224,            \
        .image_width = 224, .patch_height = 16, .patch_width = 16, .channels = 3, .classes = 1000,                     \
        .norm_epsilon = 1e-12                                                                                          \
    }
#define T5(l, d, h, hd, ff)                                                                                            \
    {                                                                                                                  \
        .family = MODEL_ENCODER_DECODER, .mlp = MODEL_RELU, .norm = MODEL_RMSNORM, .positions = MODEL_RELATIVE,        \
        .layers = l, .d_model = d, .heads = h, .head_dim = hd, .d_ff = ff, .vocab = 32128, .max_positions = 512,       \
        .tied_embeddings = true, .head_scale = true, .relative_buckets = 32, .norm_epsilon = 1e-6,                     \
        .attention_divisor = 1                                                                                         \
    }
#define BART(l, d, h)                                                                                                  \
    {                                                                                                                  \
        .family = MODEL_ENCODER_DECODER, .mlp = MODEL_GELU, .norm = MODEL_LAYERNORM, .positions = MODEL_LEARNED,       \
        .layers = l, .d_model = d, .heads = h, .vocab = 50265, .max_positions = 1026, .reserved_positions = 2, BIASES, \
        .tied_embeddings = true, .post_norm = true, .embedding_norm = true, .own_tables = true                         \
    }
#define WHISPER(l, d, h, mel, v)                                                                                       \
    {                                                                                                                  \
        .family = MODEL_ENCODER_DECODER, .mlp = MODEL_GELU, .norm = MODEL_LAYERNORM, .positions = MODEL_LEARNED,       \
        .layers = l, .d_model = d, .heads = h, .vocab = v, .max_positions = 448, BIASES, .no_key_bias = true,          \
        .tied_embeddings = true, .mel_bins = mel, .source_positions = 1500                                             \
    }

const struct preset presets_table[] = {
    {"gpt2", GPT2(12, 768, 12), "openai-community/gpt2"},
    {"gpt2-medium", GPT2(24, 1024, 16), "openai-community/gpt2-medium"},
    {"gpt2-large", GPT2(36, 1280, 20), "openai-community/gpt2-large"},
    {"gpt2-xl", GPT2(48, 1600, 25), "openai-community/gpt2-xl"},
    {"llama-2-7b", LLAMA(32, 4096, 32, 32, 11008, 32000, 4096, .head_dim = 128), "meta-llama/Llama-2-7b-hf"},
    {"llama-2-13b", LLAMA(40, 5120, 40, 40, 13824, 32000, 4096, .head_dim = 128), "meta-llama/Llama-2-13b-hf"},
    {"llama-2-70b", LLAMA(80, 8192, 64, 8, 28672, 32000, 4096, .head_dim = 128), "meta-llama/Llama-2-70b-hf"},
    {"llama-3-8b", LLAMA(32, 4096, 32, 8, 14336, 128256, 8192, .head_dim = 128, THETA(500000)),
     "meta-llama/Meta-Llama-3-8B"},
    {"llama-3-70b", LLAMA(80, 8192, 64, 8, 28672, 128256, 8192, .head_dim = 128, THETA(500000)),
     "meta-llama/Meta-Llama-3-70B"},
    {"llama-3.1-8b", LLAMA(32, 4096, 32, 8, 14336, 128256, 131072, .head_dim = 128, SLOWED(8)),
     "meta-llama/Llama-3.1-8B"},
    {"llama-3.1-70b", LLAMA(80, 8192, 64, 8, 28672, 128256, 131072, .head_dim = 128, SLOWED(8)),
     "meta-llama/Llama-3.1-70B"},
    {"llama-3.1-405b", LLAMA(126, 16384, 128, 8, 53248, 128256, 131072, .head_dim = 128, SLOWED(8)),
     "meta-llama/Llama-3.1-405B"},
    {"llama-3.2-1b", LLAMA(16, 2048, 32, 8, 8192, 128256, 131072, .head_dim = 64, TIED, SLOWED(32)),
     "meta-llama/Llama-3.2-1B"},
    {"llama-3.2-3b", LLAMA(28, 3072, 24, 8, 8192, 128256, 131072, .head_dim = 128, TIED, SLOWED(32)),
     "meta-llama/Llama-3.2-3B"},
    {"llama-3.3-70b", LLAMA(80, 8192, 64, 8, 28672, 128256, 131072, .head_dim = 128, SLOWED(8)),
     "meta-llama/Llama-3.3-70B-Instruct"},
    {"tinyllama-1.1b", LLAMA(22, 2048, 32, 4, 5632, 32000, 2048, .head_dim = 64),
     "TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T"},
    {"smollm2-135m", LLAMA(30, 576, 9, 3, 1536, 49152, 8192, TIED, THETA(100000)), "HuggingFaceTB/SmolLM2-135M"},
    {"smollm2-360m", LLAMA(32, 960, 15, 5, 2560, 49152, 8192, TIED, THETA(100000)), "HuggingFaceTB/SmolLM2-360M"},
    {"smollm2-1.7b", LLAMA(24, 2048, 32, 32, 8192, 49152, 8192, TIED, THETA(130000)), "HuggingFaceTB/SmolLM2-1.7B"},
    {"mistral-7b", LLAMA(32, 4096, 32, 8, 14336, 32000, 32768, .window = 4096), "mistralai/Mistral-7B-v0.1"},
    {"mistral-nemo-12b", LLAMA(40, 5120, 32, 8, 14336, 131072, 1024000, .head_dim = 128, THETA(1e6)),
     "mistralai/Mistral-Nemo-Base-2407"},
    {"mistral-small-24b", LLAMA(40, 5120, 32, 8, 32768, 131072, 32768, .head_dim = 128, THETA(1e8)),
     "mistralai/Mistral-Small-24B-Base-2501"},
    {"mixtral-8x7b",
     LLAMA(32, 4096, 32, 8, 14336, 32000, 32768, .experts = 8, .experts_per_token = 2, THETA(1e6),
           .route = {.normalise = true}),
     "mistralai/Mixtral-8x7B-v0.1"},
    {"mixtral-8x22b",
     LLAMA(56, 6144, 48, 8, 16384, 32768, 65536, .experts = 8, .experts_per_token = 2, THETA(1e6),
           .route = {.normalise = true}),
     "mistralai/Mixtral-8x22B-Instruct-v0.1"},
    {"qwen2-0.5b", LLAMA(24, 896, 14, 2, 4864, 151936, 131072, QWEN2, TIED), "Qwen/Qwen2-0.5B"},
    {"qwen2-7b", LLAMA(28, 3584, 28, 4, 18944, 152064, 131072, QWEN2), "Qwen/Qwen2-7B"},
    {"qwen2.5-0.5b", LLAMA(24, 896, 14, 2, 4864, 151936, 32768, QWEN2, TIED), "Qwen/Qwen2.5-0.5B"},
    {"qwen2.5-1.5b", LLAMA(28, 1536, 12, 2, 8960, 151936, 131072, QWEN2, TIED), "Qwen/Qwen2.5-1.5B"},
    {"qwen2.5-3b", LLAMA(36, 2048, 16, 2, 11008, 151936, 32768, QWEN2, TIED), "Qwen/Qwen2.5-3B"},
    {"qwen2.5-7b", LLAMA(28, 3584, 28, 4, 18944, 152064, 131072, QWEN2), "Qwen/Qwen2.5-7B"},
    {"qwen2.5-14b", LLAMA(48, 5120, 40, 8, 13824, 152064, 131072, QWEN2), "Qwen/Qwen2.5-14B"},
    {"qwen2.5-32b", LLAMA(64, 5120, 40, 8, 27648, 152064, 131072, QWEN2), "Qwen/Qwen2.5-32B"},
    {"qwen2.5-72b", LLAMA(80, 8192, 64, 8, 29568, 152064, 131072, QWEN2), "Qwen/Qwen2.5-72B"},
    {"qwen3-0.6b", LLAMA(28, 1024, 16, 8, 3072, 151936, 40960, QWEN3, TIED), "Qwen/Qwen3-0.6B"},
    {"qwen3-1.7b", LLAMA(28, 2048, 16, 8, 6144, 151936, 40960, QWEN3, TIED), "Qwen/Qwen3-1.7B"},
    {"qwen3-4b", LLAMA(36, 2560, 32, 8, 9728, 151936, 40960, QWEN3, TIED), "Qwen/Qwen3-4B"},
    {"qwen3-8b", LLAMA(36, 4096, 32, 8, 12288, 151936, 40960, QWEN3), "Qwen/Qwen3-8B"},
    {"qwen3-14b", LLAMA(40, 5120, 40, 8, 17408, 151936, 40960, QWEN3), "Qwen/Qwen3-14B"},
    {"qwen3-32b", LLAMA(64, 5120, 64, 8, 25600, 151936, 40960, QWEN3), "Qwen/Qwen3-32B"},
    {"gemma-2-2b", GEMMA2(26, 2304, 8, 4, 256, 9216, 256), "google/gemma-2-2b"},
    {"gemma-2-9b", GEMMA2(42, 3584, 16, 8, 256, 14336, 256), "google/gemma-2-9b"},
    {"gemma-2-27b", GEMMA2(46, 4608, 32, 16, 128, 36864, 144), "google/gemma-2-27b"},
    {"bert-base-uncased", BERT(12, 768, 12, 30522, 512, .type_vocab = 2, .spare_head_bias = true),
     "google-bert/bert-base-uncased"},
    {"bert-large-uncased", BERT(24, 1024, 16, 30522, 512, .type_vocab = 2, .spare_head_bias = true),
     "google-bert/bert-large-uncased"},
    {"roberta-base",
     BERT(12, 768, 12, 50265, 514, .type_vocab = 1, .reserved_positions = 2, .spare_head_bias = true,
          .head_gelu = true),
     "FacebookAI/roberta-base"},
    {"roberta-large",
     BERT(24, 1024, 16, 50265, 514, .type_vocab = 1, .reserved_positions = 2, .spare_head_bias = true,
          .head_gelu = true),
     "FacebookAI/roberta-large"},
    {"distilbert-base-uncased", BERT(6, 768, 12, 30522, 512, .type_vocab = 0), "distilbert/distilbert-base-uncased"},
    {"phi-2", BESIDE(32, 2560, 32, 32, 51200, .mlp = MODEL_GELU_TANH, BIASES, .head_bias = true, .rotary_share = 0.4),
     "microsoft/phi-2"},
    {"phi-3-mini-4k", LLAMA(32, 3072, 32, 32, 8192, 32064, 4096, .window = 2047), "microsoft/Phi-3-mini-4k-instruct"},
    {"phi-4", LLAMA(40, 5120, 40, 10, 17920, 100352, 16384, .head_dim = 128, THETA(250000)), "microsoft/phi-4"},
    {"gemma-2b", GEMMA(18, 2048, 8, 1, 16384, 256000, 8192, .qk_norm = false), "google/gemma-2b"},
    {"gemma-7b", GEMMA(28, 3072, 16, 16, 24576, 256000, 8192, .qk_norm = false), "google/gemma-7b"},
    {"gemma-3-1b",
     GEMMA(26, 1152, 4, 1, 6912, 262144, 32768, .qk_norm = true, .sandwich_norm = true, .window = 512,
           .window_pattern = 6, .rope = {.theta = 1e6}, .rope_near = {.theta = 1e4}, .attention_divisor = 256),
     "google/gemma-3-1b-pt"},
    {"olmo-2-7b", LLAMA(32, 4096, 32, 32, 11008, 100352, 4096, OLMO2), "allenai/OLMo-2-1124-7B"},
    {"olmo-2-13b", LLAMA(40, 5120, 40, 40, 13824, 100352, 4096, OLMO2), "allenai/OLMo-2-1124-13B"},
    {"stablelm-2-1.6b",
     {.mlp = MODEL_SWIGLU,
      .norm = MODEL_LAYERNORM,
      .positions = MODEL_ROTARY,
      .layers = 24,
      .d_model = 2048,
      .heads = 32,
      .d_ff = 5632,
      .vocab = 100352,
      .max_positions = 4096,
      .bias_qkv = true,
      .rotary_share = 0.25},
     "stabilityai/stablelm-2-1_6b"},
    {"starcoder2-3b", STARCODER2(30, 3072, 24, 2, TIED, THETA(999999.4420358813)), "bigcode/starcoder2-3b"},
    {"starcoder2-15b", STARCODER2(40, 6144, 48, 4, .tied_embeddings = false, THETA(100000)), "bigcode/starcoder2-15b"},
    {"command-r", COHERE(40, 8192, 64, 64, 22528, .qk_norm = false, THETA(8e6), .logit_scale = 0.0625),
     "CohereForAI/c4ai-command-r-v01"},
    {"command-r-plus",
     COHERE(64, 12288, 96, 8, 33792, .qk_norm = true, .qk_norm_over = MODEL_OVER_EACH_HEAD, THETA(75e6),
            .logit_scale = 0.8333333333333334),
     "CohereForAI/c4ai-command-r-plus"},
    {"pythia-1.4b", NEOX(24, 2048, 16, 50304), "EleutherAI/pythia-1.4b"},
    {"pythia-12b", NEOX(36, 5120, 40, 50688), "EleutherAI/pythia-12b"},
    {"gpt-neox-20b", NEOX(44, 6144, 64, 50432), "EleutherAI/gpt-neox-20b"},
    {"gpt-j-6b",
     BESIDE(28, 4096, 16, 16, 50400, .mlp = MODEL_GELU_TANH, .bias_mlp = true, .head_dim = 256, .head_bias = true,
            .rotary_dim = 64, .rotary_interleaved = true),
     "EleutherAI/gpt-j-6b"},
    {"gpt-neo-2.7b",
     {.mlp = MODEL_GELU_TANH,
      .norm = MODEL_LAYERNORM,
      .positions = MODEL_LEARNED,
      .layers = 32,
      .d_model = 2560,
      .heads = 20,
      .vocab = 50257,
      .max_positions = 2048,
      .bias_out = true,
      .bias_mlp = true,
      .tied_embeddings = true,
      .attention_divisor = 1,
      .window = 256,
      .window_listed = true,
      .window_layers = {{0xAAAAAAAA}}}, /* every second */
     "EleutherAI/gpt-neo-2.7B"},
    {"falcon-7b", BESIDE(32, 4544, 71, 1, 65024, .mlp = MODEL_GELU, TIED), "tiiuae/falcon-7b"},
    {"falcon-40b", BESIDE(60, 8192, 128, 8, 65024, .mlp = MODEL_GELU, TIED, .two_norms = true), "tiiuae/falcon-40b"},
    {"opt-125m", OPT(12, 768, 12, .post_norm = false), "facebook/opt-125m"},
    {"opt-350m", OPT(24, 1024, 16, .post_norm = true, .embedding_width = 512), "facebook/opt-350m"},
    {"opt-1.3b", OPT(24, 2048, 32, .post_norm = false), "facebook/opt-1.3b"},
    {"opt-66b", OPT(64, 9216, 72, .post_norm = false), "facebook/opt-66b"},
    {"bloom-560m", BLOOM(24, 1024, 16), "bigscience/bloom-560m"},
    {"bloom-7b1", BLOOM(30, 4096, 32), "bigscience/bloom-7b1"},
    {"bloom-176b", BLOOM(70, 14336, 112), "bigscience/bloom"},
    {"qwen3-30b-a3b",
     LLAMA(48, 2048, 32, 4, 6144, 151936, 40960, QWEN3, .experts = 128, .experts_per_token = 8, .expert_d_ff = 768,
           .route = {.normalise = true}),
     "Qwen/Qwen3-30B-A3B"},
    {"qwen3-235b-a22b",
     LLAMA(94, 4096, 64, 4, 12288, 151936, 40960, QWEN3, .experts = 128, .experts_per_token = 8, .expert_d_ff = 1536,
           .route = {.normalise = true}),
     "Qwen/Qwen3-235B-A22B"},
    {"gpt-oss-20b", GPT_OSS(24, 32), "openai/gpt-oss-20b"},
    {"gpt-oss-120b", GPT_OSS(36, 128), "openai/gpt-oss-120b"},
    {"deepseek-v2-lite",
     LLAMA(27, 2048, 16, 16, 10944, 102400, 163840, .head_dim = 192,
           .latent = {.kv_rank = 512, .rope_dim = 64, .value_dim = 128}, .experts = 64, .experts_per_token = 6,
           .expert_d_ff = 1408, .shared_d_ff = 2816, .dense_layers = {{0x1}}, .norm_epsilon = 1e-6,
           .rotary_interleaved = true, .attention_divisor = 75.98208793209287,
           .rope = {.theta = 10000,
                    .scaling = MODEL_ROPE_YARN,
                    .factor = 40,
                    .original_positions = 4096,
                    .low = 1,
                    .high = 32,
                    .magnitude = 0.707,
                    .magnitude_all = 0.707}),
     "deepseek-ai/DeepSeek-V2-Lite"},
    {"deepseek-v3",
     LLAMA(61, 7168, 128, 128, 18432, 129280, 163840, .head_dim = 192,
           .latent = {.q_rank = 1536, .kv_rank = 512, .rope_dim = 64, .value_dim = 128}, .experts = 256,
           .experts_per_token = 8, .expert_d_ff = 2048, .shared_d_ff = 2048, .dense_layers = {{0x7}},
           .norm_epsilon = 1e-6, .rotary_interleaved = true, .route = {true, true, 2.5, 8, 4, true},
           .rope = {.theta = 10000,
                    .scaling = MODEL_ROPE_YARN,
                    .factor = 40,
                    .original_positions = 4096,
                    .low = 1,
                    .high = 32,
                    .magnitude = 1,
                    .magnitude_all = 1}),
     "deepseek-ai/DeepSeek-V3"},
    {"vit-base-patch16-224", VIT(12, 768, 12), "google/vit-base-patch16-224"},
    {"vit-large-patch16-224", VIT(24, 1024, 16), "google/vit-large-patch16-224"},
    {"t5-small", T5(6, 512, 8, 64, 2048), "google-t5/t5-small"},
    {"t5-base", T5(12, 768, 12, 64, 3072), "google-t5/t5-base"},
    {"t5-large", T5(24, 1024, 16, 64, 4096), "google-t5/t5-large"},
    {"t5-3b", T5(24, 1024, 32, 128, 16384), "google-t5/t5-3b"},
    {"t5-11b", T5(24, 1024, 128, 128, 65536), "google-t5/t5-11b"},
    {"bart-base", BART(6, 768, 12), "facebook/bart-base"},
    {"bart-large", BART(12, 1024, 16), "facebook/bart-large"},
    {"whisper-base", WHISPER(6, 512, 8, 80, 51865), "openai/whisper-base"},
    {"whisper-large-v3", WHISPER(32, 1280, 20, 128, 51866), "openai/whisper-large-v3"},
};
const unsigned presets_table_length = sizeof presets_table / sizeof presets_table[0];

const struct preset *presets_find(const char *name) {
    for (unsigned i = 0; i < presets_table_length; i++)
        if (strcmp(presets_table[i].name, name) == 0)
            return &presets_table[i];
    return NULL;
}
