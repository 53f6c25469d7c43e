"""ops_torch.py - the ops of a GPT-2 small step one by one in PyTorch, beside bench_linear and bench_ops.

    OMP_NUM_THREADS=2 OMP_WAIT_POLICY=PASSIVE python ops_torch.py [--rounds 15] [--only linear]

Least milliseconds of the rounds on the clock, and of processor time of all threads together. Outputs of the linear
lines are written where there is room already; the others allocate as autograd does.
"""
import argparse
import math
import os
import time

import torch
from torch.nn import functional as F

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
torch.manual_seed(1)
rows = []


def add(name, flops, run):
    rows.append([name, flops, run, math.inf, math.inf])


def linear(n, inner, outer):
    x, w, b, dy = torch.randn(n, inner), torch.randn(outer, inner), torch.randn(outer), torch.randn(n, outer)
    y, dx, dw = torch.empty(n, outer), torch.empty(n, inner), torch.empty(outer, inner)
    flops, name = 2 * n * inner * outer, f"linear {n:5} {inner:5} > {outer:5}"
    add(name + " forward", flops, lambda: torch.addmm(b, x, w.t(), out=y))
    add(name + " d_x", flops, lambda: torch.mm(dy, w, out=dx))
    add(name + " d_weight", flops, lambda: torch.mm(dy.t(), x, out=dw))


def both(name, make, *inputs):
    """Forward, then backward alone on a graph that is kept."""
    leaves = [t.detach().requires_grad_() for t in inputs]
    y = make(*leaves)
    dy = torch.randn_like(y)
    add(name + " forward", 0, lambda: make(*leaves))
    add(name + " backward", 0, lambda: torch.autograd.grad(y, leaves, dy, retain_graph=True))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    for n in (512, 1024):
        for inner, outer in ((768, 768), (768, 2304), (768, 3072), (3072, 768)):
            linear(n, inner, outer)
    linear(1024, 768, 50257)
    for n in (512, 1024):
        both(f"gelu {n} 3072", lambda x: F.gelu(x, approximate="tanh"), torch.randn(n, 3072))
        both(f"layer_norm {n} 768", lambda x, w, b: F.layer_norm(x, (768,), w, b), torch.randn(n, 768),
             torch.randn(768), torch.randn(768))
        a, b = torch.randn(n, 768), torch.randn(n, 768)
        add(f"add {n} 768 forward", 0, lambda a=a, b=b: a + b)
        mask = torch.full((n, n), -math.inf).triu(1)
        qkv = [torch.randn(1, 12, n, 64) for _ in range(3)]
        both(f"attention {n} eager", lambda q, k, v, m=mask: F.softmax(((q * 0.125) @ k.transpose(2, 3)).add_(m), -1) @ v, *qkv)
        both(f"attention {n} sdpa", lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True), *qkv)
    chosen = [r for r in rows if args.only in r[0]]
    for _ in range(args.rounds):
        for r in chosen:
            start, cpu = time.perf_counter(), time.process_time()
            r[2]()
            r[3], r[4] = min(r[3], time.perf_counter() - start), min(r[4], time.process_time() - cpu)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, least of {args.rounds} rounds, load {os.getloadavg()[0]:.1f}")
    for name, flops, _, wall, cpu in chosen:
        rate = f"{flops / wall / 1e9:8.1f} {flops / cpu / 1e9:8.1f} GFLOP/s, clock and processor" if flops else ""
        print(f"{name:36} {wall * 1e3:9.3f} {cpu * 1e3:9.3f} ms {rate}")


main()
