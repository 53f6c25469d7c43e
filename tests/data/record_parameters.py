"""record_parameters.py - exact parameter counts of decoders and encoders as transformers builds them, for test_models.c.

    python record_parameters.py        writes parameters.json beside itself

Every model is made on the meta device from its configuration alone: no weights are read. Parameters that are tied count
once. `config` is what is posted as hf_config; keys left out are there to see that defaults are the framework's own.
"""
import json
import os

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

HERE = os.path.dirname(os.path.abspath(__file__))


def rows(model_type, *configs):
    return [(name, {"model_type": model_type, **config}) for name, config in configs]


def llama(d, layers, heads, ff, vocab, **more):
    return {"hidden_size": d, "num_hidden_layers": layers, "num_attention_heads": heads, "intermediate_size": ff,
            "vocab_size": vocab, **more}


MODELS = (
    rows("gpt2", ("gpt2 defaults", {}),
         ("gpt2-medium", {"n_embd": 1024, "n_layer": 24, "n_head": 16}),
         ("gpt2-large", {"n_embd": 1280, "n_layer": 36, "n_head": 20}),
         ("gpt2-xl", {"n_embd": 1600, "n_layer": 48, "n_head": 25, "n_inner": None}),
         ("gpt2 by the common names", {"hidden_size": 512, "num_hidden_layers": 4, "num_attention_heads": 8,
                                       "n_positions": 333, "vocab_size": 1000, "n_inner": 1111}),
         ("gpt2 untied", {"n_embd": 256, "n_layer": 3, "n_head": 4, "tie_word_embeddings": False}))
    + rows("llama", ("llama defaults", {}),
           ("llama-2-7b", llama(4096, 32, 32, 11008, 32000, num_key_value_heads=32)),
           ("llama-2-13b", llama(5120, 40, 40, 13824, 32000, num_key_value_heads=40)),
           ("llama-2-70b", llama(8192, 80, 64, 28672, 32000, num_key_value_heads=8)),
           ("llama-3-8b", llama(4096, 32, 32, 14336, 128256, num_key_value_heads=8)),
           ("llama-3-70b", llama(8192, 80, 64, 28672, 128256, num_key_value_heads=8)),
           ("llama-3.2-1b", llama(2048, 16, 32, 8192, 128256, num_key_value_heads=8, head_dim=64,
                                  tie_word_embeddings=True)),
           ("llama with biases", llama(384, 3, 6, 1000, 5000, attention_bias=True, mlp_bias=True)),
           ("llama null heads", llama(384, 3, 6, 1000, 5000, num_key_value_heads=None, head_dim=None)))
    + rows("mistral", ("mistral defaults", {}),
           ("mistral-7b", llama(4096, 32, 32, 14336, 32000, num_key_value_heads=8, sliding_window=4096)),
           ("mistral-nemo-12b", llama(5120, 40, 32, 14336, 131072, num_key_value_heads=8, head_dim=128,
                                      sliding_window=None)))
    + rows("mixtral", ("mixtral defaults", {}),
           ("mixtral-8x22b", llama(6144, 56, 48, 16384, 32768, num_key_value_heads=8)),
           ("mixtral small", llama(256, 2, 8, 512, 1000, num_local_experts=5, num_experts_per_tok=3)))
    + rows("qwen2", ("qwen2 defaults", {}),
           ("qwen2-0.5b", llama(896, 24, 14, 4864, 151936, num_key_value_heads=2, tie_word_embeddings=True)),
           ("qwen2-7b", llama(3584, 28, 28, 18944, 152064, num_key_value_heads=4)),
           ("qwen2-72b", llama(8192, 80, 64, 29568, 152064, num_key_value_heads=8)))
    + rows("qwen3", ("qwen3 defaults", {}),
           ("qwen3-0.6b", llama(1024, 28, 16, 3072, 151936, num_key_value_heads=8, tie_word_embeddings=True)),
           ("qwen3-8b", llama(4096, 36, 32, 12288, 151936, num_key_value_heads=8)),
           ("qwen3 with biases", llama(512, 2, 8, 777, 3000, num_key_value_heads=2, head_dim=48, attention_bias=True)))
    + rows("gemma2", ("gemma2 defaults", {}),
           ("gemma-2-9b", llama(3584, 42, 16, 14336, 256000, num_key_value_heads=8)),
           ("gemma-2-27b", llama(4608, 46, 32, 36864, 256000, num_key_value_heads=16, head_dim=128)))
    + rows("bert", ("bert defaults", {}), ("bert-large-uncased", llama(1024, 24, 16, 4096, 30522)),
           ("bert small", llama(96, 3, 4, 200, 1000, type_vocab_size=5, max_position_embeddings=77)),
           ("bert untied", llama(96, 3, 4, 200, 1000, tie_word_embeddings=False)))
    + rows("roberta", ("roberta defaults", {}),
           ("roberta-base", llama(768, 12, 12, 3072, 50265, max_position_embeddings=514, type_vocab_size=1)),
           ("roberta-large", llama(1024, 24, 16, 4096, 50265, max_position_embeddings=514, type_vocab_size=1)))
    + rows("distilbert", ("distilbert defaults", {}),
           ("distilbert small", {"dim": 64, "n_layers": 2, "n_heads": 4, "hidden_dim": 99, "vocab_size": 500}))
)
ENCODERS = ("bert", "roberta", "distilbert")


def count(config):
    with torch.device("meta"):
        kind = AutoModelForMaskedLM if config["model_type"] in ENCODERS else AutoModelForCausalLM
        model = kind.from_config(AutoConfig.for_model(**config))
    model.tie_weights()
    return sum({id(p): p.numel() for p in model.parameters()}.values())


def main():
    lines = [json.dumps({"name": name, "config": config, "parameters": count(dict(config))}) for name, config in MODELS]
    with open(os.path.join(HERE, "parameters.json"), "w") as out:
        out.write('{"torch": %s, "transformers": %s, "models": [\n' % (json.dumps(torch.__version__),
                                                                      json.dumps(transformers.__version__)))
        out.write(",\n".join(lines) + "\n]}\n")


if __name__ == "__main__":
    main()
