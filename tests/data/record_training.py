"""record_training.py - whole training steps as transformers and PyTorch run them, for the tests of training steps.

    python record_training.py        writes training/NAME.safetensors beside itself

Each file holds one small model in float32: its weights under the names of its state dict, what it reads ("tokens",
"token_types", "image") and "targets" ([batch, tokens], -100 is ignored; [batch] for images), "loss", the mean over the
targets that count, "loss64", the same in float64, and "grad.NAME" for every weight. "grad64.max.NAME" is the largest
difference of that gradient from float64's, what float32 itself costs. NAME.json is the model's config.json. Attention is
eager, nothing is dropped, and weights are wide enough that every gradient counts (those of the keys' biases are 0 but for
rounding: a softmax does not see them). Names are those of published files; the framework renames some as it loads.
"""
import json
import os
import re

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageClassification, AutoModelForMaskedLM

HERE = os.path.dirname(os.path.abspath(__file__))
BATCH, SEQ = 2, 48

# name, class, config, whether some targets are ignored
MODELS = [
    ("gpt2", AutoModelForCausalLM, False,
     {"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 64, "vocab_size": 256,
      "n_inner": 80, "activation_function": "gelu_new", "attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0}),
    ("llama", AutoModelForCausalLM, True,
     {"model_type": "llama", "hidden_size": 64, "intermediate_size": 72, "num_hidden_layers": 2,
      "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 160, "max_position_embeddings": 64,
      "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "tie_word_embeddings": False}),
    ("bert", AutoModelForMaskedLM, True,
     {"model_type": "bert", "hidden_size": 64, "intermediate_size": 72, "num_hidden_layers": 2,
      "num_attention_heads": 4, "vocab_size": 160, "max_position_embeddings": 64, "type_vocab_size": 2,
      "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}),
    ("mixtral", AutoModelForCausalLM, False,
     {"model_type": "mixtral", "hidden_size": 48, "intermediate_size": 40, "num_hidden_layers": 2,
      "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 128, "max_position_embeddings": 64,
      "num_local_experts": 4, "num_experts_per_tok": 2, "rope_theta": 1e6}),
    ("vit", AutoModelForImageClassification, False,
     {"model_type": "vit", "hidden_size": 64, "intermediate_size": 72, "num_hidden_layers": 2,
      "num_attention_heads": 4, "image_size": [24, 32], "patch_size": [8, 8], "num_channels": 3,
      "num_labels": 10, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}),
]


def spread(model, generator):
    """Weights of 0.08, biases of 0.05, norms around 1."""
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        norm = p.dim() == 1 and name.endswith("weight")
        p.data.copy_(1 + 0.1 * noise if norm else 0.05 * noise if p.dim() == 1 else 0.08 * noise)


def inputs_of(config, ignored, generator):
    if config["model_type"] == "vit":
        image = torch.randn(BATCH, config["num_channels"], *config["image_size"], generator=generator)
        return {"image": image}, torch.randint(0, config["num_labels"], (BATCH,), generator=generator)
    # ids from 2 on: embeddings give padding, 0 or 1 in some classes, no gradient
    inputs = {"tokens": torch.randint(2, config["vocab_size"], (BATCH, SEQ), generator=generator)}
    targets = torch.randint(0, config["vocab_size"], (BATCH, SEQ), generator=generator)
    if config["model_type"] == "bert":
        inputs["token_types"] = torch.randint(0, 2, (BATCH, SEQ), generator=generator)
    if ignored:
        targets[torch.rand(BATCH, SEQ, generator=generator) < 0.2] = -100
    return inputs, targets


VIT = [(r"\.layers\.", ".encoder.layer."), (r"attention\.o_proj", "attention.output.dense"),
       (r"attention\.q_proj", "attention.attention.query"), (r"attention\.k_proj", "attention.attention.key"),
       (r"attention\.v_proj", "attention.attention.value"), (r"mlp\.fc1", "intermediate.dense"),
       (r"mlp\.fc2", "output.dense")]


def published(model_type, tensors):
    """Under the names, and in the pieces, of published files."""
    out = {}
    for name, t in tensors.items():
        if model_type == "vit":
            for pattern, by in VIT:
                name = re.sub(pattern, by, name)
        name = name.replace(".mlp.gate.", ".block_sparse_moe.gate.")
        name = name.replace(".mlp.experts.", ".block_sparse_moe.experts.")
        if name.endswith("experts.gate_up_proj"):
            for e, both in enumerate(t):
                out[name.replace("gate_up_proj", "%d.w1.weight" % e)], out[
                    name.replace("gate_up_proj", "%d.w3.weight" % e)] = both.chunk(2)
        elif name.endswith("experts.down_proj"):
            out.update({name.replace("down_proj", "%d.w2.weight" % e): one for e, one in enumerate(t)})
        else:
            out[name] = t
    return out


def step(model, inputs, targets):
    names = {"tokens": "input_ids", "token_types": "token_type_ids", "image": "pixel_values"}
    model.zero_grad()
    logits = model(**{names[k]: v for k, v in inputs.items()}).logits
    loss = F.cross_entropy(logits.flatten(0, -2), targets.flatten(), ignore_index=-100)
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def record(name, kind, ignored, config):
    generator = torch.Generator().manual_seed(7)
    config_class = AutoConfig.for_model(**config)
    config_class._experts_implementation = "eager"
    model = kind.from_config(config_class, attn_implementation="eager").train()
    spread(model, generator)
    inputs, targets = inputs_of(config, ignored, generator)
    file = published(config["model_type"], {n: p.detach().clone() for n, p in model.named_parameters()})
    loss, grads = step(model, inputs, targets)
    wide = {k: v.double() if v.is_floating_point() else v for k, v in inputs.items()}
    loss64, grads64 = step(model.double(), wide, targets)
    grads, grads64 = published(config["model_type"], grads), published(config["model_type"], grads64)
    assert set(grads) == set(file)
    for n, g in grads.items():
        file["grad." + n] = g
        file["grad64.max." + n] = (g.double() - grads64[n]).abs().max().float().reshape(1)
    file.update({k: v if v.is_floating_point() else v.int() for k, v in inputs.items()})
    file.update({"targets": targets.int(), "loss": loss.reshape(1), "loss64": loss64.reshape(1)})
    path = os.path.join(HERE, "training", name + ".safetensors")
    save_file({k: v.contiguous() for k, v in file.items()}, path)
    os.chmod(path, 0o644)
    with open(os.path.join(HERE, "training", name + ".json"), "w") as out:
        json.dump(config, out, indent=1, sort_keys=True)
        out.write("\n")
    print("%s: loss %.6f, %d weights, %d bytes" % (name, loss, len(grads), os.path.getsize(path)))


def main():
    os.makedirs(os.path.join(HERE, "training"), exist_ok=True)
    for model in MODELS:
        record(*model)


if __name__ == "__main__":
    main()
