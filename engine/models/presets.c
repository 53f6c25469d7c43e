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
#define TIED  .tied_embeddings = true
#define QWEN2 .bias_qkv = true
#define QWEN3 .head_dim = 128, .qk_norm = true
#define GEMMA2(l, d, h, kv, hd, ff)                                                                                    \
    {                                                                                                                  \
        .mlp = MODEL_GEGLU, .norm = MODEL_RMSNORM, .positions = MODEL_ROTARY, .layers = l, .d_model = d, .heads = h,   \
        .kv_heads = kv, .head_dim = hd, .d_ff = ff, .vocab = 256000, .max_positions = 8192, .tied_embeddings = true,   \
        .sandwich_norm = true, .embedding_scale = true, .window = 4096, .window_pattern = 2, .attention_softcap = 50,  \
        .final_softcap = 30                                                                                            \
    }
/* With the head of masked language modelling; feed-forwards are four times the width. */
#define BERT(l, d, h, v, p, ...)                                                                                       \
    {                                                                                                                  \
        .family = MODEL_ENCODER, .mlp = MODEL_GELU, .norm = MODEL_LAYERNORM, .positions = MODEL_LEARNED, .layers = l,  \
        .d_model = d, .heads = h, .vocab = v, .max_positions = p, BIASES, .tied_embeddings = true,                     \
        .bidirectional = true, .post_norm = true, .embedding_norm = true, .mlm_head = true, __VA_ARGS__                \
    }

const struct preset presets_table[] = {
    {"gpt2", GPT2(12, 768, 12), "openai-community/gpt2"},
    {"gpt2-medium", GPT2(24, 1024, 16), "openai-community/gpt2-medium"},
    {"gpt2-large", GPT2(36, 1280, 20), "openai-community/gpt2-large"},
    {"gpt2-xl", GPT2(48, 1600, 25), "openai-community/gpt2-xl"},
    {"llama-2-7b", LLAMA(32, 4096, 32, 32, 11008, 32000, 4096, .head_dim = 128), "meta-llama/Llama-2-7b-hf"},
    {"llama-2-13b", LLAMA(40, 5120, 40, 40, 13824, 32000, 4096, .head_dim = 128), "meta-llama/Llama-2-13b-hf"},
    {"llama-2-70b", LLAMA(80, 8192, 64, 8, 28672, 32000, 4096, .head_dim = 128), "meta-llama/Llama-2-70b-hf"},
    {"llama-3-8b", LLAMA(32, 4096, 32, 8, 14336, 128256, 8192, .head_dim = 128), "meta-llama/Meta-Llama-3-8B"},
    {"llama-3-70b", LLAMA(80, 8192, 64, 8, 28672, 128256, 8192, .head_dim = 128), "meta-llama/Meta-Llama-3-70B"},
    {"llama-3.1-8b", LLAMA(32, 4096, 32, 8, 14336, 128256, 131072, .head_dim = 128), "meta-llama/Llama-3.1-8B"},
    {"llama-3.1-70b", LLAMA(80, 8192, 64, 8, 28672, 128256, 131072, .head_dim = 128), "meta-llama/Llama-3.1-70B"},
    {"llama-3.1-405b", LLAMA(126, 16384, 128, 8, 53248, 128256, 131072, .head_dim = 128), "meta-llama/Llama-3.1-405B"},
    {"llama-3.2-1b", LLAMA(16, 2048, 32, 8, 8192, 128256, 131072, .head_dim = 64, TIED), "meta-llama/Llama-3.2-1B"},
    {"llama-3.2-3b", LLAMA(28, 3072, 24, 8, 8192, 128256, 131072, .head_dim = 128, TIED), "meta-llama/Llama-3.2-3B"},
    {"llama-3.3-70b", LLAMA(80, 8192, 64, 8, 28672, 128256, 131072, .head_dim = 128),
     "meta-llama/Llama-3.3-70B-Instruct"},
    {"tinyllama-1.1b", LLAMA(22, 2048, 32, 4, 5632, 32000, 2048, .head_dim = 64),
     "TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T"},
    {"smollm2-135m", LLAMA(30, 576, 9, 3, 1536, 49152, 8192, TIED), "HuggingFaceTB/SmolLM2-135M"},
    {"smollm2-360m", LLAMA(32, 960, 15, 5, 2560, 49152, 8192, TIED), "HuggingFaceTB/SmolLM2-360M"},
    {"smollm2-1.7b", LLAMA(24, 2048, 32, 32, 8192, 49152, 8192, TIED), "HuggingFaceTB/SmolLM2-1.7B"},
    {"mistral-7b", LLAMA(32, 4096, 32, 8, 14336, 32000, 32768, .window = 4096), "mistralai/Mistral-7B-v0.1"},
    {"mistral-nemo-12b", LLAMA(40, 5120, 32, 8, 14336, 131072, 1024000, .head_dim = 128),
     "mistralai/Mistral-Nemo-Base-2407"},
    {"mistral-small-24b", LLAMA(40, 5120, 32, 8, 32768, 131072, 32768, .head_dim = 128),
     "mistralai/Mistral-Small-24B-Base-2501"},
    {"mixtral-8x7b", LLAMA(32, 4096, 32, 8, 14336, 32000, 32768, .experts = 8, .experts_per_token = 2),
     "mistralai/Mixtral-8x7B-v0.1"},
    {"mixtral-8x22b", LLAMA(56, 6144, 48, 8, 16384, 32768, 65536, .experts = 8, .experts_per_token = 2),
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
    {"gemma-2-2b", GEMMA2(26, 2304, 8, 4, 256, 9216), "google/gemma-2-2b"},
    {"gemma-2-9b", GEMMA2(42, 3584, 16, 8, 256, 14336), "google/gemma-2-9b"},
    {"gemma-2-27b", GEMMA2(46, 4608, 32, 16, 128, 36864), "google/gemma-2-27b"},
    {"bert-base-uncased", BERT(12, 768, 12, 30522, 512, .type_vocab = 2, .spare_head_bias = true),
     "google-bert/bert-base-uncased"},
    {"bert-large-uncased", BERT(24, 1024, 16, 30522, 512, .type_vocab = 2, .spare_head_bias = true),
     "google-bert/bert-large-uncased"},
    {"roberta-base", BERT(12, 768, 12, 50265, 514, .type_vocab = 1, .reserved_positions = 2, .spare_head_bias = true),
     "FacebookAI/roberta-base"},
    {"roberta-large", BERT(24, 1024, 16, 50265, 514, .type_vocab = 1, .reserved_positions = 2, .spare_head_bias = true),
     "FacebookAI/roberta-large"},
    {"distilbert-base-uncased", BERT(6, 768, 12, 30522, 512, .type_vocab = 0), "distilbert/distilbert-base-uncased"},
};
const unsigned presets_table_length = sizeof presets_table / sizeof presets_table[0];

const struct preset *presets_find(const char *name) {
    for (unsigned i = 0; i < presets_table_length; i++)
        if (strcmp(presets_table[i].name, name) == 0)
            return &presets_table[i];
    return NULL;
}
