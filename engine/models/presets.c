/* presets.c - each row is the published config.json of the model named by its source. */
#include "engine/models/presets.h"

#include <string.h>

#define GPT2(l, d, h)                                                                                                  \
    {                                                                                                                  \
        .mlp = MODEL_GELU_TANH, .norm = MODEL_LAYERNORM, .positions = MODEL_LEARNED, .layers = l, .d_model = d,        \
        .heads = h, .vocab = 50257, .max_positions = 1024, .bias_qkv = true, .bias_out = true, .bias_mlp = true,       \
        .tied_embeddings = true                                                                                        \
    }
/* layers, width, heads, key/value heads, feed-forward, vocabulary, positions, and what is particular */
#define LLAMA(l, d, h, kv, ff, v, p, ...)                                                                              \
    {                                                                                                                  \
        .mlp = MODEL_SWIGLU, .norm = MODEL_RMSNORM, .positions = MODEL_ROTARY, .layers = l, .d_model = d, .heads = h,  \
        .kv_heads = kv, .d_ff = ff, .vocab = v, .max_positions = p, __VA_ARGS__                                        \
    }
#define GEMMA2(l, d, h, kv, hd, ff)                                                                                    \
    {                                                                                                                  \
        .mlp = MODEL_GEGLU, .norm = MODEL_RMSNORM, .positions = MODEL_ROTARY, .layers = l, .d_model = d, .heads = h,   \
        .kv_heads = kv, .head_dim = hd, .d_ff = ff, .vocab = 256000, .max_positions = 8192, .tied_embeddings = true,   \
        .sandwich_norm = true, .embedding_scale = true, .window = 4096, .window_pattern = 2, .attention_softcap = 50,  \
        .final_softcap = 30                                                                                            \
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
    {"mistral-7b", LLAMA(32, 4096, 32, 8, 14336, 32000, 32768, .window = 4096), "mistralai/Mistral-7B-v0.1"},
    {"mixtral-8x7b", LLAMA(32, 4096, 32, 8, 14336, 32000, 32768, .experts = 8, .experts_per_token = 2),
     "mistralai/Mixtral-8x7B-v0.1"},
    {"qwen2-0.5b", LLAMA(24, 896, 14, 2, 4864, 151936, 131072, .bias_qkv = true, .tied_embeddings = true),
     "Qwen/Qwen2-0.5B"},
    {"qwen2-7b", LLAMA(28, 3584, 28, 4, 18944, 152064, 131072, .bias_qkv = true), "Qwen/Qwen2-7B"},
    {"qwen3-0.6b",
     LLAMA(28, 1024, 16, 8, 3072, 151936, 40960, .head_dim = 128, .qk_norm = true, .tied_embeddings = true),
     "Qwen/Qwen3-0.6B"},
    {"qwen3-8b", LLAMA(36, 4096, 32, 8, 12288, 151936, 40960, .head_dim = 128, .qk_norm = true), "Qwen/Qwen3-8B"},
    {"gemma-2-2b", GEMMA2(26, 2304, 8, 4, 256, 9216), "google/gemma-2-2b"},
    {"gemma-2-9b", GEMMA2(42, 3584, 16, 8, 256, 14336), "google/gemma-2-9b"},
};
const unsigned presets_table_length = sizeof presets_table / sizeof presets_table[0];

const struct preset *presets_find(const char *name) {
    for (unsigned i = 0; i < presets_table_length; i++)
        if (strcmp(presets_table[i].name, name) == 0)
            return &presets_table[i];
    return NULL;
}
