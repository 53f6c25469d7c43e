"""record_types.py - one small training step of every model type as transformers and PyTorch run it.

    python record_types.py           writes types.json beside itself

No weights are recorded: they are a formula of a tensor's name and the index of an element, which tests/test_types.c has
too. For each case types.json has its config.json, the loss (the mean over the targets that count) and for every tensor
of a published file its gradient: the norm, then the elements n/7, 3n/7 and 6n/7. Everything is run in float64, which
some of the framework's norms and softmaxes leave for float32. Nothing is dropped, attention is eager.

The formula: a 32-bit FNV-1a of the name, mixed with the index, is u in [-1, 1); 1 + u/4 is a weight of a norm, u/8 an
element of another vector, u/4 one of anything else. Token ids and targets come of the same hash.
"""
import json
import os
import re

import numpy as np
import torch
import torch.nn.functional as F
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM
from transformers import AutoModelForSpeechSeq2Seq
from transformers.core_model_loading import revert_weight_conversion

HERE = os.path.dirname(os.path.abspath(__file__))
BATCH, SEQ, SOURCE = 2, 12, 10
CAUSAL, MASKED = AutoModelForCausalLM, AutoModelForMaskedLM
TRANSLATION, SPEECH = AutoModelForSeq2SeqLM, AutoModelForSpeechSeq2Seq

SIZES = {"hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4,
         "vocab_size": 64, "max_position_embeddings": 32, "pad_token_id": 0}
GROUPED = {**SIZES, "num_key_value_heads": 2}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
LATENT = {**SIZES, "num_key_value_heads": 4, "kv_lora_rank": 12, "q_lora_rank": 20, "qk_nope_head_dim": 6,
          "qk_rope_head_dim": 4, "v_head_dim": 10, "n_routed_experts": 4, "num_experts_per_tok": 2,
          "n_shared_experts": 2, "moe_intermediate_size": 24, "first_k_dense_replace": 1}
N_SIZES = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 16, "vocab_size": 64}
FALCON = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 64, "ffn_hidden_size": 40}
BART = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 2,
        "decoder_attention_heads": 4, "encoder_ffn_dim": 24, "decoder_ffn_dim": 40, "vocab_size": 64}
T5 = {"d_model": 32, "d_kv": 6, "d_ff": 40, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 4,
      "relative_attention_num_buckets": 8, "relative_attention_max_distance": 10, "vocab_size": 64, "pad_token_id": 0}

# name, class, model_type, config
CASES = [
    ("llama_llama3", CAUSAL, "llama",
     {**GROUPED, "attention_bias": True, "mlp_bias": True, "rope_parameters": {
         "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
         "original_max_position_embeddings": 16}}),
    ("llama_yarn", CAUSAL, "llama",
     {**GROUPED, "head_dim": 16, "rope_parameters": {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0,
                                                      "original_max_position_embeddings": 8}}),
    ("llama_linear", CAUSAL, "llama",
     {**GROUPED, "rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}}),
    ("mistral", CAUSAL, "mistral", {**GROUPED, "sliding_window": 5, "head_dim": 10}),
    ("qwen2", CAUSAL, "qwen2",
     {**GROUPED, "use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1, "tie_word_embeddings": True}),
    ("qwen3", CAUSAL, "qwen3", {**GROUPED, "head_dim": 10}),
    ("qwen2_moe", CAUSAL, "qwen2_moe",
     {**GROUPED, **EXPERTS, "shared_expert_intermediate_size": 28, "norm_topk_prob": False}),
    ("qwen3_moe", CAUSAL, "qwen3_moe",
     {**GROUPED, **EXPERTS, "head_dim": 10, "norm_topk_prob": True, "decoder_sparse_step": 2}),
    ("gemma", CAUSAL, "gemma", {**GROUPED, "head_dim": 10}),
    ("gemma2", CAUSAL, "gemma2",
     {**GROUPED, "head_dim": 10, "sliding_window": 5, "query_pre_attn_scalar": 24, "attn_logit_softcapping": 2.0,
      "final_logit_softcapping": 3.0}),
    ("gemma3_text", CAUSAL, "gemma3_text",
     {**GROUPED, "head_dim": 10, "sliding_window": 5, "query_pre_attn_scalar": 24,
      "layer_types": ["sliding_attention", "full_attention"],
      "rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                          "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}}),
    ("phi3", CAUSAL, "phi3", {**GROUPED, "sliding_window": 5, "bos_token_id": 1, "eos_token_id": 2}),
    ("gpt_neox", CAUSAL, "gpt_neox", {**SIZES, "rotary_pct": 0.5}),
    ("gpt_neox_sequential", CAUSAL, "gpt_neox", {**SIZES, "use_parallel_residual": False}),
    ("gptj", CAUSAL, "gptj", {**N_SIZES, "n_inner": 40, "rotary_dim": 4}),
    ("gpt_neo", CAUSAL, "gpt_neo",
     {"hidden_size": 32, "intermediate_size": 40, "num_layers": 2, "num_heads": 4, "window_size": 5, "vocab_size": 64,
      "max_position_embeddings": 16, "attention_types": [[["global", "local"], 1]]}),
    ("opt", CAUSAL, "opt",
     {"hidden_size": 32, "ffn_dim": 40, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 64,
      "max_position_embeddings": 16, "word_embed_proj_dim": 32, "pad_token_id": 1}),
    ("opt_projected", CAUSAL, "opt",
     {"hidden_size": 32, "ffn_dim": 40, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 64,
      "max_position_embeddings": 16, "word_embed_proj_dim": 16, "do_layer_norm_before": False, "pad_token_id": 1}),
    ("bloom", CAUSAL, "bloom", {"hidden_size": 32, "n_layer": 2, "n_head": 4, "vocab_size": 64}),
    ("falcon", CAUSAL, "falcon", {**FALCON, "new_decoder_architecture": True, "num_kv_heads": 2}),
    ("falcon_one_key", CAUSAL, "falcon", {**FALCON, "multi_query": True}),
    ("falcon_sequential", CAUSAL, "falcon", {**FALCON, "multi_query": False, "parallel_attn": False, "bias": True}),
    ("falcon_alibi", CAUSAL, "falcon",
     {**FALCON, "multi_query": False, "parallel_attn": False, "bias": True, "alibi": True}),
    ("phi", CAUSAL, "phi", {**GROUPED, "partial_rotary_factor": 0.5}),
    ("phi_normed", CAUSAL, "phi", {**SIZES, "partial_rotary_factor": 0.5, "qk_layernorm": True}),
    ("stablelm", CAUSAL, "stablelm",
     {**GROUPED, "partial_rotary_factor": 0.5, "use_qkv_bias": True, "qk_layernorm": True}),
    ("stablelm_parallel", CAUSAL, "stablelm", {**GROUPED, "use_parallel_residual": True}),
    ("starcoder2", CAUSAL, "starcoder2", {**GROUPED, "sliding_window": 5}),
    ("olmo2", CAUSAL, "olmo2", GROUPED),
    ("cohere", CAUSAL, "cohere", {**GROUPED, "logit_scale": 0.25, "use_qk_norm": True}),
    ("cohere_plain", CAUSAL, "cohere", {**GROUPED, "logit_scale": 1.0}),
    ("deepseek_v2", CAUSAL, "deepseek_v2", {**LATENT, "routed_scaling_factor": 1.5}),
    ("deepseek_v2_lite", CAUSAL, "deepseek_v2", {**LATENT, "q_lora_rank": None, "n_shared_experts": 1}),
    ("deepseek_v3", CAUSAL, "deepseek_v3", {**LATENT, "n_group": 2, "topk_group": 1}),
    ("gpt_oss", CAUSAL, "gpt_oss",
     {**GROUPED, "head_dim": 10, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 5}),
    ("bert_untied", MASKED, "bert", {**SIZES, "hidden_act": "relu", "tie_word_embeddings": False}),
    ("roberta", MASKED, "roberta", {**SIZES, "pad_token_id": 1, "hidden_act": "relu", "type_vocab_size": 1}),
    ("distilbert", MASKED, "distilbert",
     {"dim": 32, "hidden_dim": 40, "n_layers": 2, "n_heads": 4, "vocab_size": 64, "max_position_embeddings": 16}),
    ("electra", MASKED, "electra", {**SIZES, "embedding_size": 16, "hidden_act": "relu"}),
    ("t5", TRANSLATION, "t5", T5),
    ("t5_gated", TRANSLATION, "t5", {**T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
    ("bart", TRANSLATION, "bart",
     {**BART, "max_position_embeddings": 16, "scale_embedding": True, "pad_token_id": 1}),
    ("whisper", SPEECH, "whisper",
     {**BART, "num_mel_bins": 6, "max_source_positions": SOURCE, "max_target_positions": 16, "pad_token_id": 0,
      "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}),
    # ---- corners: fields that change numbers, and how older files say them
    ("gpt2_by_depth", CAUSAL, "gpt2",
     {**N_SIZES, "scale_attn_by_inverse_layer_idx": True, "activation_function": "relu"}),
    ("gpt2_unscaled", CAUSAL, "gpt2", {**N_SIZES, "scale_attn_weights": False, "tie_word_embeddings": False}),
    ("llama_files", CAUSAL, "llama",
     {**GROUPED, "rope_theta": 500000.0, "rope_scaling": {
         "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
         "original_max_position_embeddings": 16}}),
    ("llama_dynamic", CAUSAL, "llama",
     {**GROUPED, "max_position_embeddings": 8, "rope_scaling": {"type": "dynamic", "factor": 2.0}}),
    ("mixtral", CAUSAL, "mixtral", {**GROUPED, "num_local_experts": 4, "sliding_window": 5}),
    ("mistral_linear", CAUSAL, "mistral",
     {**GROUPED, "sliding_window": None, "rope_theta": 1e6, "rope_scaling": {"type": "linear", "factor": 2.0}}),
    ("qwen2_yarn", CAUSAL, "qwen2",
     {**GROUPED, "rope_theta": 1e6, "sliding_window": 5, "use_sliding_window": False, "rope_scaling": {
         "type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8}}),
    ("qwen3_window", CAUSAL, "qwen3",
     {**GROUPED, "head_dim": 8, "use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1,
      "attention_bias": True}),
    ("qwen2_moe_window", CAUSAL, "qwen2_moe",
     {**GROUPED, **EXPERTS, "shared_expert_intermediate_size": 28, "norm_topk_prob": True, "use_sliding_window": True,
      "sliding_window": 5, "max_window_layers": 1, "mlp_only_layers": [1], "qkv_bias": False}),
    ("qwen3_moe_window", CAUSAL, "qwen3_moe",
     {**GROUPED, **EXPERTS, "head_dim": 8, "norm_topk_prob": False, "use_sliding_window": True, "sliding_window": 5,
      "mlp_only_layers": [0]}),
    ("gemma_files", CAUSAL, "gemma", {**GROUPED, "head_dim": 8, "hidden_act": "gelu", "hidden_activation": None}),
    ("gemma2_files", CAUSAL, "gemma2",
     {**GROUPED, "head_dim": 8, "hidden_act": "relu", "attn_logit_softcapping": None, "final_logit_softcapping": None,
      "sliding_window": 5, "rope_theta": 5000.0}),
    ("gemma3_files", CAUSAL, "gemma3_text",
     {**GROUPED, "head_dim": 10, "sliding_window": 5, "query_pre_attn_scalar": 24, "sliding_window_pattern": 2,
      "rope_theta": 1e6, "rope_local_base_freq": 5000.0, "rope_scaling": {"rope_type": "linear", "factor": 8.0},
      "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0}),
    ("phi3_files", CAUSAL, "phi3",
     {**GROUPED, "bos_token_id": 1, "eos_token_id": 2, "rope_theta": 5000.0, "rope_scaling": None,
      "partial_rotary_factor": 0.75, "original_max_position_embeddings": 16, "tie_word_embeddings": True}),
    ("phi3_long", CAUSAL, "phi3",
     {**GROUPED, "bos_token_id": 1, "eos_token_id": 2, "rope_theta": 5000.0, "original_max_position_embeddings": 8,
      "rope_scaling": {"type": "longrope", "short_factor": [1.0, 1.1, 1.2, 1.5], "long_factor": [1.0, 1.5, 2.0, 3.5]}}),
    ("phi3_long_within", CAUSAL, "phi3",
     {**GROUPED, "bos_token_id": 1, "eos_token_id": 2, "partial_rotary_factor": 0.75,
      "rope_scaling": {"type": "su", "original_max_position_embeddings": 16,
                       "short_factor": [1.0, 1.1, 1.5], "long_factor": [1.0, 2.0, 3.5]}}),
    ("gpt_neox_files", CAUSAL, "gpt_neox",
     {**SIZES, "rotary_pct": 0.25, "rotary_emb_base": 5000, "attention_bias": False, "hidden_act": "gelu_fast",
      "tie_word_embeddings": True}),
    ("gpt_neo_local", CAUSAL, "gpt_neo",
     {"hidden_size": 32, "num_layers": 2, "num_heads": 4, "window_size": 5, "vocab_size": 64,
      "max_position_embeddings": 16, "attention_types": [[["local"], 2]], "activation_function": "relu"}),
    ("opt_bare", CAUSAL, "opt",
     {"hidden_size": 32, "ffn_dim": 40, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 64,
      "max_position_embeddings": 16, "word_embed_proj_dim": 32, "pad_token_id": 1, "enable_bias": False,
      "layer_norm_elementwise_affine": False, "_remove_final_layer_norm": True, "activation_function": "gelu",
      "tie_word_embeddings": False}),
    ("bloom_six", CAUSAL, "bloom", {"hidden_size": 36, "n_layer": 1, "n_head": 6, "vocab_size": 64}),
    ("bloom_post", CAUSAL, "bloom",
     {"hidden_size": 32, "n_layer": 2, "n_head": 4, "vocab_size": 64,
      "apply_residual_connection_post_layernorm": True}),
    ("falcon_one_norm", CAUSAL, "falcon",
     {**FALCON, "new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1,
      "rope_theta": 5000.0, "activation": "gelu_new"}),
    ("falcon_parallel", CAUSAL, "falcon", {**FALCON, "multi_query": False, "bias": True, "tie_word_embeddings": False}),
    ("phi_files", CAUSAL, "phi",
     {**GROUPED, "partial_rotary_factor": 0.75, "rope_theta": 5000.0, "qk_layernorm": True,
      "tie_word_embeddings": True}),
    ("stablelm_files", CAUSAL, "stablelm",
     {**GROUPED, "partial_rotary_factor": 0.25, "rope_theta": 5000, "qk_layernorm": True,
      "use_parallel_residual": True, "tie_word_embeddings": True}),
    ("starcoder2_bare", CAUSAL, "starcoder2",
     {**GROUPED, "sliding_window": None, "use_bias": False, "rope_theta": 5000.0, "tie_word_embeddings": False}),
    ("cohere_biased", CAUSAL, "cohere",
     {**GROUPED, "attention_bias": True, "layer_norm_eps": 1e-3, "rope_theta": 5000.0}),
    ("deepseek_v2_yarn", CAUSAL, "deepseek_v2",
     {**LATENT, "attention_bias": True, "rope_theta": 10000, "rope_scaling": {
         "type": "yarn", "factor": 4, "original_max_position_embeddings": 8, "beta_fast": 32, "beta_slow": 1,
         "mscale": 0.707, "mscale_all_dim": 0.9}}),
    ("deepseek_v2_groups", CAUSAL, "deepseek_v2",
     {**LATENT, "topk_method": "group_limited_greedy", "n_group": 2, "topk_group": 1}),
    ("deepseek_v3_yarn", CAUSAL, "deepseek_v3",
     {**LATENT, "n_routed_experts": 8, "n_group": 4, "topk_group": 2, "num_experts_per_tok": 3, "norm_topk_prob": False,
      "rope_interleave": False, "rope_theta": 10000, "rope_scaling": {
          "type": "yarn", "factor": 4, "original_max_position_embeddings": 8, "beta_fast": 32, "beta_slow": 1,
          "mscale": 1.0, "mscale_all_dim": 1.0}}),
    ("bert_gelu_new", MASKED, "bert", {**SIZES, "hidden_act": "gelu_new", "layer_norm_eps": 1e-3}),
    ("roberta_untied", MASKED, "roberta", {**SIZES, "pad_token_id": 1, "tie_word_embeddings": False}),
    ("distilbert_relu", MASKED, "distilbert",
     {"dim": 32, "hidden_dim": 40, "n_layers": 2, "n_heads": 4, "vocab_size": 64, "max_position_embeddings": 16,
      "activation": "relu", "sinusoidal_pos_embds": True}),
    ("electra_wide", MASKED, "electra", {**SIZES, "embedding_size": 32, "tie_word_embeddings": False}),
    ("bart_untied", TRANSLATION, "bart",
     {**BART, "max_position_embeddings": 16, "pad_token_id": 1, "activation_function": "relu",
      "tie_word_embeddings": False}),
    ("whisper_untied", SPEECH, "whisper",
     {**BART, "num_mel_bins": 6, "max_source_positions": SOURCE, "max_target_positions": 16, "pad_token_id": 0,
      "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1, "tie_word_embeddings": False,
      "scale_embedding": True}),
]


def hashed(name, n):
    h = 2166136261
    for byte in name.encode():
        h = (h ^ byte) * 16777619 & 0xffffffff
    x = np.uint32(h) ^ (np.arange(n, dtype=np.uint32) * np.uint32(0x9e3779b9))
    x = (x ^ x >> np.uint32(16)) * np.uint32(0x85ebca6b)
    x = (x ^ x >> np.uint32(13)) * np.uint32(0xc2b2ae35)
    return x ^ x >> np.uint32(16)


def values(name, shape):
    u = (hashed(name, int(np.prod(shape))) >> np.uint32(8)).astype(np.float32) / np.float32(1 << 23) - np.float32(1)
    is_norm = name.endswith("weight") and ("norm" in name or "Norm" in name or "ln_" in name)
    if is_norm:
        u = np.float32(1) + np.float32(0.25) * u
    else:
        u = np.float32(0.125 if len(shape) == 1 else 0.25) * u
    return torch.from_numpy(u.reshape(shape)).double()


def ids(name, vocab, length):
    """From 2 on: padding is below."""
    return torch.from_numpy((2 + hashed(name, BATCH * length) % np.uint32(vocab - 2)).astype(np.int64)).view(BATCH, -1)


def inputs_of(model_type, config):
    vocab = config["vocab_size"]
    tokens = ids("tokens", vocab, SEQ)
    targets = ids("targets", vocab, SEQ)
    targets[torch.from_numpy(hashed("ignored", BATCH * SEQ) % np.uint32(5) == 0).view(BATCH, -1)] = -100
    inputs = {"input_ids": tokens}
    if model_type in ("bert", "electra", "roberta"):
        kinds = config.get("type_vocab_size", 2)
        inputs["token_type_ids"] = torch.from_numpy(
            (hashed("token_types", BATCH * SEQ) % np.uint32(kinds)).astype(np.int64)).view(BATCH, -1)
    if model_type in ("t5", "bart"):
        inputs = {"input_ids": ids("source_tokens", vocab, SOURCE), "decoder_input_ids": tokens}
    if model_type == "whisper":
        sound = values("sound", (BATCH, config["num_mel_bins"], 2 * SOURCE))
        inputs = {"input_features": sound, "decoder_input_ids": tokens}
    return inputs, targets


def pieces(model_type, name, t):
    """The tensors of published files that are t, as views of it: some are fused, some renamed as they are loaded."""
    if model_type == "mixtral":
        name = name.replace(".mlp.", ".block_sparse_moe.")
    halves = ("w1", "w3", "w2") if model_type == "mixtral" else ("gate_proj", "up_proj", "down_proj")
    if model_type == "gpt_neox" and name == "lm_head.weight":
        yield "embed_out.weight", t
    elif model_type != "gpt_oss" and name.endswith("experts.gate_up_proj"):
        for e, both in enumerate(t):
            gate, up = both.chunk(2)
            yield name.replace("gate_up_proj", "%d.%s.weight" % (e, halves[0])), gate
            yield name.replace("gate_up_proj", "%d.%s.weight" % (e, halves[1])), up
    elif model_type != "gpt_oss" and name.endswith("experts.down_proj"):
        for e, one in enumerate(t):
            yield name.replace("down_proj", "%d.%s.weight" % (e, halves[2])), one
    else:
        yield name, t


def record(name, kind, model_type, config):
    config_class = AutoConfig.for_model(model_type, **config)
    config_class._experts_implementation = "eager"
    model = kind.from_config(config_class, attn_implementation="eager").double().eval()
    tensors = dict(model.named_parameters())
    tensors.update((n, b) for n, b in model.named_buffers() if n.endswith("e_score_correction_bias"))
    for n, p in tensors.items():
        for piece, view in pieces(model_type, n, p.data):
            view.copy_(values(piece, tuple(view.shape)))
    published = revert_weight_conversion(model, model.state_dict())
    inputs, targets = inputs_of(model_type, config)
    logits = model(**inputs, use_cache=False).logits if kind is not MASKED else model(**inputs).logits
    loss = F.cross_entropy(logits.double().flatten(0, -2), targets.flatten(), ignore_index=-100)
    loss.backward()
    grads = {}
    for n, p in tensors.items():
        grad = p.grad if p.grad is not None else torch.zeros_like(p)
        for piece, view in pieces(model_type, n, grad):
            flat = view.flatten()
            some = [flat[len(flat) * i // 7].item() for i in (1, 3, 6)]
            grads[piece] = [float("%.7g" % v) for v in [view.norm().item()] + some]
    assert set(grads) <= set(published), sorted(set(grads) - set(published))
    print("%s: loss %.6f, %d tensors" % (name, loss.item(), len(grads)))
    return {"config": {"model_type": model_type, **config}, "loss": float("%.9g" % loss.item()), "gradients": grads}


def main():
    out = {}
    for name, kind, model_type, config in CASES:
        out[name] = record(name, kind, model_type, config)
    text = json.dumps(out, indent=0, sort_keys=True)
    text = re.sub(r"\[\n([^\[\]{}\"]*)\n\]", lambda m: "[" + m.group(1).replace("\n", " ") + "]", text)
    with open(os.path.join(HERE, "types.json"), "w") as file:
        file.write(text + "\n")


if __name__ == "__main__":
    main()
