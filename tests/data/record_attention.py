"""record_attention.py - attention as PyTorch computes it in float64, for test_truth.c.

    python record_attention.py        writes attention_truth.txt and attention_truth.bin beside itself

Inputs are not stored: element i of tensor t (q 1, k 2, v 3, grad_output 4, bias 5) is a function of (i, t), exact in
float32 (see `numbers`). A bias element is minus infinity where i % 7 == 3, or where its row % 5 == 2.

attention_truth.txt: a line per case - name, batch, heads, kv_heads, n_q, n_k, d, behind, ahead (0: no limit), bias (0 or
1, of shape [heads, n_q, n_k]), scale, offset of its first float in the .bin, then the largest error of PyTorch's own
float32 for output, grad_q, grad_k, grad_v (the larger of its default kernel and its plain one).
attention_truth.bin: float32, little endian: output, grad_q, grad_k, grad_v of each case in turn, rounded from float64.
"""
import os

import numpy
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

HERE = os.path.dirname(os.path.abspath(__file__))

# name, batch, heads, kv_heads, n_q, n_k, d, behind, ahead, bias, scale (0: 1 / sqrt d)
CASES = (
    [(f"n{n}", 1, 2, 2, n, n, 16, 0, 0, 0, 0) for n in (1, 2, 3, 7, 13, 31, 61)]
    + [(f"causal_n{n}", 1, 2, 2, n, n, 16, 0, 1, 0, 0) for n in (1, 2, 7, 13, 61, 127)]
    + [(f"d{d}", 1, 1, 1, 23, 29, d, 0, 0, 0, 0) for d in (8, 24, 32, 64, 80)]
    + [(f"d{d}", 1, 1, 1, 11, 17, d, 0, 0, 0, 0) for d in (96, 128, 256)]
    + [(f"causal_d{d}", 1, 1, 1, 19, 19, d, 0, 1, 0, 0) for d in (8, 64, 128)]
    + [(f"lengths_{q}_{k}", 2, 2, 1, q, k, 16, 0, 1, 0, 0) for q, k in ((1, 53), (5, 37), (53, 1), (37, 5), (24, 96))]
    + [
        ("grouped_6_1", 1, 6, 1, 17, 23, 16, 0, 0, 0, 0),
        ("grouped_6_3", 1, 6, 3, 17, 23, 16, 0, 1, 0, 0),
        ("grouped_8_2", 2, 8, 2, 11, 11, 32, 0, 0, 0, 0),
        ("window_8", 1, 2, 2, 61, 61, 16, 8, 1, 0, 0),
        ("window_1", 1, 2, 2, 31, 31, 16, 1, 1, 0, 0),
        ("two_sided_5", 1, 2, 2, 47, 61, 16, 5, 5, 0, 0),
        ("bias", 1, 2, 2, 37, 41, 16, 0, 0, 1, 0),
        ("bias_causal", 2, 4, 2, 29, 29, 16, 0, 1, 1, 0),
        ("scale", 1, 2, 2, 31, 31, 16, 0, 0, 0, 0.03),
        ("scale_0.5", 1, 2, 2, 31, 31, 16, 0, 0, 0, 0.5),
        ("scores_100", 1, 2, 2, 29, 29, 64, 0, 0, 0, 5.0),
        ("scores_100_causal", 1, 2, 2, 29, 29, 64, 0, 1, 0, 5.0),
        ("long_causal", 1, 1, 1, 521, 521, 8, 0, 1, 0, 0),
    ]
)


def numbers(tensor, shape):
    """Uniform in [-2, 2) in steps of 2^-10: murmur's 32-bit finaliser of i + (t + 1) 0x9E3779B9."""
    h = numpy.arange(numpy.prod(shape), dtype=numpy.uint32) + numpy.uint32((tensor + 1) * 0x9E3779B9 & 0xFFFFFFFF)
    h ^= h >> numpy.uint32(16)
    h *= numpy.uint32(0x85EBCA6B)
    h ^= h >> numpy.uint32(13)
    h *= numpy.uint32(0xC2B2AE35)
    h ^= h >> numpy.uint32(16)
    return torch.from_numpy((((h >> numpy.uint32(20)).astype(numpy.float64) - 2048) / 1024).reshape(shape))


def mask_of(heads, n_q, n_k, behind, ahead, bias):
    """Float mask [heads, n_q, n_k], or None."""
    distance = torch.arange(n_q)[:, None] + n_k - n_q - torch.arange(n_k)[None, :]
    allowed = torch.ones(n_q, n_k, dtype=torch.bool)
    if behind:
        allowed &= distance < behind
    if ahead:
        allowed &= -distance < ahead
    if not bias:
        return None if not behind and not ahead else torch.zeros(n_q, n_k, dtype=torch.float64).masked_fill(~allowed, -torch.inf)
    values = numbers(5, (heads, n_q, n_k))
    i = torch.arange(values.numel()).reshape(values.shape)
    values = values.masked_fill((i % 7 == 3) | (i // n_k % 5 == 2), -torch.inf)
    return values.masked_fill(~allowed, -torch.inf)


def run(dtype, backend, case):
    _, batch, heads, kv_heads, n_q, n_k, d, behind, ahead, bias, scale = case
    shapes = [(batch, heads, n_q, d), (batch, kv_heads, n_k, d), (batch, kv_heads, n_k, d)]
    q, k, v = [numbers(t + 1, s).to(dtype).requires_grad_() for t, s in enumerate(shapes)]
    mask = mask_of(heads, n_q, n_k, behind, ahead, bias)
    with sdpa_kernel(backend):
        o = scaled_dot_product_attention(
            q, k, v, None if mask is None else mask.to(dtype), scale=scale or None, enable_gqa=heads != kv_heads
        )
    o.backward(numbers(4, shapes[0]).to(dtype))
    return [x.detach().double() for x in (o, q.grad, k.grad, v.grad)]


def main():
    lines, data, offset = [], [], 0
    for case in CASES:
        truth = run(torch.float64, [SDPBackend.MATH], case)
        assert all(torch.isfinite(x).all() for x in truth), case
        errors = [0.0] * 4
        for backend in ([SDPBackend.MATH], [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]):
            single = run(torch.float32, backend, case)
            errors = [max(e, (a - b).abs().max().item()) for e, a, b in zip(errors, single, truth)]
        lines.append(" ".join(str(x) for x in case) + f" {offset} " + " ".join(f"{e:.4g}" for e in errors))
        for x in truth:
            data.append(x.float().numpy().astype("<f4").ravel())
            offset += x.numel()
    with open(os.path.join(HERE, "attention_truth.txt"), "w") as f:
        f.write(f"# PyTorch {torch.__version__.split('+')[0]}, by record_attention.py, which says what the columns are\n")
        f.write("\n".join(lines) + "\n")
    numpy.concatenate(data).tofile(os.path.join(HERE, "attention_truth.bin"))


if __name__ == "__main__":
    main()
