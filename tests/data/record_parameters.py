"""record_parameters.py - exact parameter counts of models as transformers builds them, for test_models.c.

    python record_parameters.py        writes parameters.json beside itself

Every model is made on the meta device from its configuration alone: no weights are read. Parameters that are tied count
once. `config` is what is posted as hf_config; keys left out are there to see that defaults are the framework's own.
"""
import json
import os

import torch
import transformers
from transformers import (AutoConfig, AutoModelForCausalLM, AutoModelForImageClassification, AutoModelForMaskedLM,
                          AutoModelForSeq2SeqLM, AutoModelForSpeechSeq2Seq)

HERE = os.path.dirname(os.path.abspath(__file__))


def rows(model_type, *configs):
    return [(name, {"model_type": model_type, **config}) for name, config in configs]


def llama(d, layers, heads, ff, vocab, **more):
    return {"hidden_size": d, "num_hidden_layers": layers, "num_attention_heads": heads, "intermediate_size": ff,
            "vocab_size": vocab, **more}


def gptj(d, layers, heads, rotary, vocab, **more):
    return {"n_embd": d, "n_layer": layers, "n_head": heads, "rotary_dim": rotary, "vocab_size": vocab, **more}


def neo(d, layers, heads, window, **more):
    return {"hidden_size": d, "num_layers": layers, "num_heads": heads, "window_size": window, **more,
            "attention_types": [[["global", "local"], layers // 2]]}


def opt(d, layers, heads, ff, vocab, embed, **more):
    return {"hidden_size": d, "num_hidden_layers": layers, "num_attention_heads": heads, "ffn_dim": ff,
            "vocab_size": vocab, "word_embed_proj_dim": embed, **more}


def short(d, layers, heads, vocab, **more):
    return {"hidden_size": d, "num_hidden_layers": layers, "num_attention_heads": heads, "vocab_size": vocab, **more}


def bloom(d, layers, heads, vocab, **more):
    return {"hidden_size": d, "n_layer": layers, "n_head": heads, "vocab_size": vocab, **more}


def t5(d, kv, ff, layers, heads, **more):
    return {"d_model": d, "d_kv": kv, "d_ff": ff, "num_layers": layers, "num_heads": heads, **more}


def vit(d, layers, heads, ff, patch, **more):
    return {"hidden_size": d, "num_hidden_layers": layers, "num_attention_heads": heads, "intermediate_size": ff,
            "image_size": 224, "patch_size": patch, "num_channels": 3, **more}


def labels(count):
    names = ["label %d" % i for i in range(count)]
    return {"id2label": {str(i): name for i, name in enumerate(names)},
            "label2id": {name: i for i, name in enumerate(names)}}


def encdec(d, encoder, decoder, vocab, **more):
    """encoder and decoder: (layers, heads, ffn width)"""
    return {"d_model": d, "encoder_layers": encoder[0], "encoder_attention_heads": encoder[1],
            "encoder_ffn_dim": encoder[2], "decoder_layers": decoder[0], "decoder_attention_heads": decoder[1],
            "decoder_ffn_dim": decoder[2], "vocab_size": vocab, **more}


def mla(q_rank, kv_rank, nope, rope, v):
    return {"q_lora_rank": q_rank, "kv_lora_rank": kv_rank, "qk_nope_head_dim": nope, "qk_rope_head_dim": rope,
            "v_head_dim": v}


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
    + rows("gemma", ("gemma defaults", {}),
           ("gemma-2b", llama(2048, 18, 8, 16384, 256000, num_key_value_heads=1, head_dim=256, hidden_act="gelu")),
           ("gemma-7b", llama(3072, 28, 16, 24576, 256000, num_key_value_heads=16, head_dim=256)),
           ("gemma untied with biases", llama(96, 3, 6, 333, 1000, num_key_value_heads=2, head_dim=20,
                                              attention_bias=True, tie_word_embeddings=False)))
    + rows("gemma3_text", ("gemma3_text defaults", {}),
           ("gemma-3-270m", llama(640, 18, 4, 2048, 262144, num_key_value_heads=1, head_dim=256, sliding_window=512,
                                  query_pre_attn_scalar=256,
                                  layer_types=(["sliding_attention"] * 5 + ["full_attention"]) * 3)),
           ("gemma-3-1b", llama(1152, 26, 4, 6912, 262144, num_key_value_heads=1, head_dim=256, sliding_window=512,
                                sliding_window_pattern=6)),
           ("gemma3_text untied with biases", llama(96, 4, 6, 333, 1000, num_key_value_heads=2, head_dim=20,
                                                    sliding_window_pattern=2, attention_bias=True,
                                                    tie_word_embeddings=False)))
    + rows("phi3", ("phi3 defaults", {}),
           ("phi-3-mini-4k", llama(3072, 32, 32, 8192, 32064, num_key_value_heads=32, sliding_window=2047)),
           ("phi-4", llama(5120, 40, 40, 17920, 100352, num_key_value_heads=10, pad_token_id=100349)),
           ("phi-4-mini", llama(3072, 32, 24, 8192, 200064, num_key_value_heads=8, partial_rotary_factor=0.75,
                                tie_word_embeddings=True)),
           ("phi3 small", llama(96, 3, 6, 333, 1000, num_key_value_heads=None, pad_token_id=None)))
    + rows("starcoder2", ("starcoder2 defaults", {}),
           ("starcoder2-7b", llama(4608, 32, 36, 18432, 49152, num_key_value_heads=4, sliding_window=4096)),
           ("starcoder2-15b", llama(6144, 40, 48, 24576, 49152, num_key_value_heads=4, sliding_window=4096,
                                    tie_word_embeddings=False)),
           ("starcoder2 without biases", llama(96, 3, 6, 333, 1000, num_key_value_heads=3, use_bias=False,
                                               tie_word_embeddings=False)))
    + rows("olmo2", ("olmo2 defaults", {}),
           ("olmo-2-7b", llama(4096, 32, 32, 11008, 100352, num_key_value_heads=32)),
           ("olmo-2-32b", llama(5120, 64, 40, 27648, 100352, num_key_value_heads=8)),
           ("olmo2 tied with biases", llama(96, 3, 6, 333, 1000, num_key_value_heads=2, attention_bias=True,
                                            tie_word_embeddings=True)))
    + rows("gpt_neox", ("gpt_neox defaults", {}),
           ("pythia-70m", llama(512, 6, 8, 2048, 50304)),
           ("pythia-6.9b", llama(4096, 32, 32, 16384, 50432)),
           ("gpt_neox in sequence, without biases", llama(96, 3, 6, 333, 1000, use_parallel_residual=False,
                                                          attention_bias=False, rotary_pct=0.5)),
           ("gpt_neox tied", llama(96, 3, 6, 333, 1000, tie_word_embeddings=True)))
    + rows("gptj", ("gptj defaults", {}),
           ("gpt-j-6b", gptj(4096, 28, 16, 64, 50400, n_inner=None)),
           ("gptj small", gptj(96, 3, 6, 8, 1000, n_inner=333)),
           ("gptj tied, by the common names", short(96, 3, 6, 1000, rotary_dim=8, tie_word_embeddings=True)))
    + rows("gpt_neo", ("gpt_neo defaults", {}),
           ("gpt-neo-125m", neo(768, 12, 12, 256)),
           ("gpt-neo-2.7b", neo(2560, 32, 20, 256, intermediate_size=None)),
           ("gpt_neo untied", neo(96, 4, 6, 7, intermediate_size=333, max_position_embeddings=77, vocab_size=1000,
                                  tie_word_embeddings=False)))
    + rows("opt", ("opt defaults", {}),
           ("opt-350m", opt(1024, 24, 16, 4096, 50272, 512, do_layer_norm_before=False)),
           ("opt-6.7b", opt(4096, 32, 32, 16384, 50272, 4096)),
           ("galactica-125m", opt(768, 12, 12, 3072, 50000, 768, enable_bias=False,
                                  layer_norm_elementwise_affine=False)),
           ("opt untied", opt(96, 3, 6, 333, 1000, 40, max_position_embeddings=77, tie_word_embeddings=False)),
           ("opt without final norm", opt(96, 3, 6, 333, 1000, None, _remove_final_layer_norm=True)))
    + rows("bloom", ("bloom defaults", {}),
           ("bloom-560m", bloom(1024, 24, 16, 250880)),
           ("bloom-7b1", bloom(4096, 30, 32, 250880)),
           ("bloom-176b", bloom(14336, 70, 112, 250880)),
           ("bloom untied", {"n_embed": 96, "num_hidden_layers": 3, "num_attention_heads": 6, "vocab_size": 1000,
                             "tie_word_embeddings": False}))
    + rows("falcon", ("falcon defaults", {}),
           ("falcon-7b", short(4544, 32, 71, 65024, multi_query=True, parallel_attn=True, bias=False, alibi=False,
                               new_decoder_architecture=False)),
           ("falcon-40b", short(8192, 60, 128, 65024, num_kv_heads=8, new_decoder_architecture=True, bias=False,
                                parallel_attn=True)),
           ("falcon2-11b", short(4096, 60, 32, 65024, num_kv_heads=8, ffn_hidden_size=16384,
                                 new_decoder_architecture=True, num_ln_in_parallel_attn=1, tie_word_embeddings=False)),
           ("falcon-rw-1b", short(2048, 24, 32, 50304, alibi=True, bias=True, multi_query=False, parallel_attn=False)),
           ("falcon two norms", short(96, 3, 6, 1000, num_kv_heads=2, new_decoder_architecture=True,
                                      num_ln_in_parallel_attn=2, bias=True, ffn_hidden_size=333)),
           ("falcon kv heads unread", short(96, 3, 6, 1000, num_kv_heads=2, multi_query=True)))
    + rows("phi", ("phi defaults", {}),
           ("phi-1.5", llama(2048, 24, 32, 8192, 51200, num_key_value_heads=None)),
           ("phi-2", llama(2560, 32, 32, 10240, 51200, num_key_value_heads=32, partial_rotary_factor=0.4)),
           ("phi with query and key norms", llama(96, 3, 6, 333, 1000, num_key_value_heads=2, qk_layernorm=True)))
    + rows("stablelm", ("stablelm defaults", {}),
           ("stablelm-3b-4e1t", llama(2560, 32, 32, 6912, 50304, num_key_value_heads=32, use_qkv_bias=False)),
           ("stablelm-2-1.6b", llama(2048, 24, 32, 5632, 100352, num_key_value_heads=32, use_qkv_bias=True)),
           ("stablelm-2-12b", llama(5120, 40, 32, 13824, 100352, num_key_value_heads=8, qk_layernorm=True,
                                    use_parallel_residual=True)),
           ("stablelm tied", llama(96, 3, 6, 333, 1000, num_key_value_heads=2, use_qkv_bias=True, qk_layernorm=True,
                                   tie_word_embeddings=True)))
    + rows("cohere", ("cohere defaults", {}),
           ("command-r", llama(8192, 40, 64, 22528, 256000, num_key_value_heads=64, logit_scale=0.0625)),
           ("command-r-plus", llama(12288, 64, 96, 33792, 256000, num_key_value_heads=8, use_qk_norm=True)),
           ("aya-23-8b", llama(4096, 32, 32, 14336, 256000, num_key_value_heads=8, tie_word_embeddings=True)),
           ("cohere untied with biases", llama(96, 3, 6, 333, 1000, num_key_value_heads=None, use_qk_norm=True,
                                               attention_bias=True, tie_word_embeddings=False)))
    + rows("qwen2_moe", ("qwen2_moe defaults", {}),
           ("qwen1.5-moe-a2.7b", llama(2048, 24, 16, 5632, 151936, num_key_value_heads=16, num_experts=60,
                                       num_experts_per_tok=4, moe_intermediate_size=1408,
                                       shared_expert_intermediate_size=5632, decoder_sparse_step=1)),
           ("qwen2-57b-a14b", llama(3584, 28, 28, 18944, 151936, num_key_value_heads=4, num_experts=64,
                                    num_experts_per_tok=8, moe_intermediate_size=2560,
                                    shared_expert_intermediate_size=20480)),
           ("qwen2_moe with dense layers", llama(96, 5, 6, 333, 1000, num_key_value_heads=2, num_experts=5,
                                                 num_experts_per_tok=2, moe_intermediate_size=44,
                                                 shared_expert_intermediate_size=55, decoder_sparse_step=2,
                                                 mlp_only_layers=[3], qkv_bias=False, tie_word_embeddings=True)))
    + rows("qwen3_moe", ("qwen3_moe defaults", {}),
           ("qwen3-30b-a3b", llama(2048, 48, 32, 6144, 151936, num_key_value_heads=4, head_dim=128, num_experts=128,
                                   num_experts_per_tok=8, moe_intermediate_size=768)),
           ("qwen3-235b-a22b", llama(4096, 94, 64, 12288, 151936, num_key_value_heads=4, head_dim=128, num_experts=128,
                                     num_experts_per_tok=8, moe_intermediate_size=1536)),
           ("qwen3_moe with dense layers", llama(96, 5, 6, 333, 1000, num_key_value_heads=2, head_dim=20, num_experts=5,
                                                 num_experts_per_tok=2, moe_intermediate_size=44, decoder_sparse_step=2,
                                                 mlp_only_layers=[3], attention_bias=True, tie_word_embeddings=True)))
    + rows("gpt_oss", ("gpt_oss defaults", {}),
           ("gpt-oss-20b", llama(2880, 24, 64, 2880, 201088, num_key_value_heads=8, head_dim=64, num_local_experts=32,
                                 num_experts_per_tok=4, sliding_window=128)),
           ("gpt-oss-120b", llama(2880, 36, 64, 2880, 201088, num_key_value_heads=8, head_dim=64,
                                  num_local_experts=128, num_experts_per_tok=4, sliding_window=128)),
           ("gpt_oss small", llama(96, 3, 6, 332, 1000, num_key_value_heads=2, head_dim=20, num_local_experts=5,
                                   num_experts_per_tok=2, attention_bias=False, tie_word_embeddings=True,
                                   pad_token_id=None,
                                   layer_types=["full_attention", "sliding_attention", "full_attention"])))
    + rows("deepseek_v2", ("deepseek_v2 defaults", {"num_experts_per_tok": 6}),
           ("deepseek-v2-lite", llama(2048, 27, 16, 10944, 102400, num_key_value_heads=16,
                                      **mla(None, 512, 128, 64, 128), moe_intermediate_size=1408, n_routed_experts=64,
                                      n_shared_experts=2, num_experts_per_tok=6, first_k_dense_replace=1,
                                      topk_method="greedy", n_group=1, topk_group=1)),
           ("deepseek-v2", llama(5120, 60, 128, 12288, 102400, num_key_value_heads=128, **mla(1536, 512, 128, 64, 128),
                                 moe_intermediate_size=1536, n_routed_experts=160, n_shared_experts=2,
                                 num_experts_per_tok=6, first_k_dense_replace=1, topk_method="group_limited_greedy",
                                 n_group=8, topk_group=3, routed_scaling_factor=16.0)),
           ("deepseek_v2 tied with biases", llama(96, 4, 6, 333, 1000, num_key_value_heads=6, **mla(40, 24, 12, 8, 20),
                                                  moe_intermediate_size=44, n_routed_experts=5, n_shared_experts=3,
                                                  num_experts_per_tok=2, first_k_dense_replace=2, attention_bias=True,
                                                  tie_word_embeddings=True)))
    + rows("deepseek_v3", ("deepseek_v3 defaults", {}),
           ("deepseek-v3", llama(7168, 61, 128, 18432, 129280, num_key_value_heads=128, **mla(1536, 512, 128, 64, 128),
                                 moe_intermediate_size=2048, n_routed_experts=256, n_shared_experts=1,
                                 num_experts_per_tok=8, first_k_dense_replace=3, n_group=8, topk_group=4)),
           ("moonlight-16b-a3b", llama(2048, 27, 16, 11264, 163840, num_key_value_heads=16,
                                       **mla(None, 512, 128, 64, 128), moe_intermediate_size=1408, n_routed_experts=64,
                                       n_shared_experts=2, num_experts_per_tok=6, first_k_dense_replace=1, n_group=1,
                                       topk_group=1)),
           ("deepseek_v3 tied with biases", llama(96, 4, 6, 333, 1000, num_key_value_heads=6, **mla(40, 24, 12, 8, 20),
                                                  moe_intermediate_size=44, n_routed_experts=6, n_shared_experts=3,
                                                  num_experts_per_tok=2, first_k_dense_replace=2, n_group=2,
                                                  topk_group=1, attention_bias=True, tie_word_embeddings=True)))
    + rows("electra", ("electra defaults", {}),
           ("electra-base-discriminator", llama(768, 12, 12, 3072, 30522, embedding_size=768)),
           ("electra-base-generator", llama(256, 12, 4, 1024, 30522, embedding_size=768)),
           ("electra-large-generator", llama(256, 24, 4, 1024, 30522, embedding_size=1024)),
           ("electra untied", llama(96, 3, 4, 200, 1000, embedding_size=40, type_vocab_size=5,
                                    max_position_embeddings=77, tie_word_embeddings=False)),
           ("electra small", llama(96, 3, 4, 200, 1000, embedding_size=96)))
    + rows("vit", ("vit defaults", {}),
           ("vit-base-patch16-224-in21k", vit(768, 12, 12, 3072, 16)),
           ("vit-large-patch16-224", vit(1024, 24, 16, 4096, 16, num_labels=1000)),
           ("vit-huge-patch14-224", vit(1280, 32, 16, 5120, 14, **labels(10))),
           ("vit without query, key and value biases", vit(96, 3, 4, 200, 28, qkv_bias=False, **labels(3))),
           ("vit of an oblong image", {"hidden_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
                                       "intermediate_size": 200, "image_size": [33, 48], "patch_size": [8, 6],
                                       "num_channels": 1, "num_labels": 1}))
    + rows("t5", ("t5 defaults", {}),
           ("t5-base", t5(768, 64, 3072, 12, 12)),
           ("t5-3b", t5(1024, 128, 16384, 24, 32)),
           ("t5-v1.1-base", t5(768, 64, 2048, 12, 12, feed_forward_proj="gated-gelu", tie_word_embeddings=False)),
           ("flan-t5-xl", t5(2048, 64, 5120, 24, 32, num_decoder_layers=24, feed_forward_proj="gated-gelu",
                             tie_word_embeddings=False)),
           ("mt5-small as t5", t5(512, 64, 1024, 8, 6, vocab_size=250112, feed_forward_proj="gated-gelu",
                                  tie_word_embeddings=False)),
           ("t5 with fewer decoder layers", t5(96, 20, 200, 4, 6, num_decoder_layers=2, vocab_size=1000,
                                               relative_attention_num_buckets=18, feed_forward_proj="gated-silu")))
    + rows("bart", ("bart defaults", {}),
           ("bart-base", encdec(768, (6, 12, 3072), (6, 12, 3072), 50265)),
           ("bart-large-cnn", encdec(1024, (12, 16, 4096), (12, 16, 4096), 50264)),
           ("bart uneven", encdec(96, (3, 4, 200), (2, 6, 111), 1000, max_position_embeddings=77)),
           ("bart untied", encdec(96, (1, 4, 200), (2, 4, 200), 1000, tie_word_embeddings=False, scale_embedding=True)))
    + rows("whisper", ("whisper defaults", {}),
           ("whisper-tiny", encdec(384, (4, 6, 1536), (4, 6, 1536), 51865)),
           ("whisper-small", encdec(768, (12, 12, 3072), (12, 12, 3072), 51865)),
           ("whisper-large-v3", encdec(1280, (32, 20, 5120), (32, 20, 5120), 51866, num_mel_bins=128)),
           ("whisper uneven", encdec(96, (3, 4, 200), (2, 6, 111), 1000, num_mel_bins=20, max_source_positions=33,
                                     max_target_positions=44, pad_token_id=0, tie_word_embeddings=False)))
)
# every other type is a decoder
HEADS = {"bert": AutoModelForMaskedLM, "roberta": AutoModelForMaskedLM, "distilbert": AutoModelForMaskedLM,
         "electra": AutoModelForMaskedLM, "vit": AutoModelForImageClassification, "t5": AutoModelForSeq2SeqLM,
         "bart": AutoModelForSeq2SeqLM, "whisper": AutoModelForSpeechSeq2Seq}


def count(config):
    with torch.device("meta"):
        model = HEADS.get(config["model_type"], AutoModelForCausalLM).from_config(AutoConfig.for_model(**config))
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
