"""step_torch.py - a training step of GPT-2 small in PyTorch: the seconds and bytes rematd's own steps are held against.

    python step_torch.py [--seq 512,1024] [--attention eager,sdpa] [--strategy standard,every_layer,every_2]
                         [--setting 1,2-passive,2-active,2-compiled] [--pages fresh,kept] [--rounds 3]

12 layers, d_model 768, 12 heads, vocabulary 50257, learned positions, gelu in its tanh form, tied head, no dropout,
float32, batch 1; forward, loss and backward, no optimizer. A JSON line for each combination, each run in a process of
its own, since OpenMP and malloc read their settings once:

    seconds       median of the rounds after one that warms up; fastest: the least of them
    cpu           the least processor time of a round, all threads: what to compare where machines are shared
    saved_bytes   what autograd holds between forward and backward: unique storages, parameters excluded
    peak_rss      of the process; rss_before: after the model was made and before the first step

Settings: threads, and whether OpenMP's threads wait asleep or spinning; `compiled`: asleep, and torch.compile has made
the step (its first rounds, which compile, are not counted). Pages: `kept` asks malloc to keep what was
freed and to use huge pages, which spares most page faults of every step but the first.
"""
import argparse
import itertools
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time

LAYERS, WIDTH, HEADS, VOCABULARY, POSITIONS = 12, 768, 12, 50257, 1024
CHOICES = {
    "seq": ["512", "1024"],
    "attention": ["eager", "sdpa"],
    "strategy": ["standard", "every_layer", "every_2"],
    "setting": ["1", "2-passive", "2-active", "2-compiled"],
    "pages": ["fresh", "kept"],
}
KEPT = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "THP_MEM_ALLOC_ENABLE": "1",
}


def run_one(seq, attention, strategy, rounds, compiled):
    import torch
    from torch import nn
    from torch.nn import functional as F
    from torch.utils.checkpoint import checkpoint

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.manual_seed(1)
    mask = torch.full((seq, seq), -math.inf).triu(1)

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm_1 = nn.LayerNorm(WIDTH)
            self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
            self.out = nn.Linear(WIDTH, WIDTH)
            self.norm_2 = nn.LayerNorm(WIDTH)
            self.up = nn.Linear(WIDTH, 4 * WIDTH)
            self.down = nn.Linear(4 * WIDTH, WIDTH)

        def attend(self, x):
            q, k, v = (t.view(1, seq, HEADS, -1).transpose(1, 2) for t in self.qkv(x).split(WIDTH, dim=2))
            if attention == "sdpa":
                o = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            else:
                scores = (q * (WIDTH // HEADS) ** -0.5) @ k.transpose(2, 3)
                o = F.softmax(scores.add_(mask), dim=-1) @ v
            return self.out(o.transpose(1, 2).reshape(1, seq, WIDTH))

        def forward(self, x):
            x = x + self.attend(self.norm_1(x))
            return x + self.down(F.gelu(self.up(self.norm_2(x)), approximate="tanh"))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens = nn.Embedding(VOCABULARY, WIDTH)
            self.positions = nn.Embedding(POSITIONS, WIDTH)
            self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
            self.norm = nn.LayerNorm(WIDTH)
            nn.init.normal_(self.tokens.weight, std=0.02)
            nn.init.normal_(self.positions.weight, std=0.02)

        def forward(self, ids, targets):
            x = self.tokens(ids) + self.positions(torch.arange(seq))
            for i, block in enumerate(self.blocks):
                if strategy == "every_layer" or (strategy == "every_2" and i % 2 == 1):
                    x = checkpoint(block, x, use_reentrant=False)
                else:
                    x = block(x)
            logits = F.linear(self.norm(x), self.tokens.weight)
            return F.cross_entropy(logits.view(seq, VOCABULARY), targets.view(seq))

    model = Model()
    ids, targets = torch.randint(VOCABULARY, (2, 1, seq))
    rss_before = int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGESIZE")
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    saved = {}

    def pack(t):
        storage = t.untyped_storage()
        if storage.data_ptr() not in parameters:
            saved[storage.data_ptr()] = storage.nbytes()
        return t

    seconds = []
    warm = 3 if compiled else 1
    for i in range(rounds + warm):
        model.zero_grad(set_to_none=True)
        if i == 0:
            with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
                loss = model(ids, targets)
            loss.backward()
            if compiled:
                model = torch.compile(model)
            continue
        start, cpu = time.perf_counter(), time.process_time()
        loss = model(ids, targets)
        middle = time.perf_counter()
        loss.backward()
        if i < warm:
            continue
        seconds.append((time.perf_counter() - start, middle - start, time.process_time() - cpu))
    return {
        "seconds": round(statistics.median(s for s, _, _ in seconds), 4),
        "fastest": round(min(s for s, _, _ in seconds), 4),
        "forward": round(min(f for _, f, _ in seconds), 4),
        "cpu": round(min(c for _, _, c in seconds), 4),
        "saved_bytes": sum(saved.values()),
        "peak_rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "rss_before": rss_before,
        "loss": round(loss.item(), 5),
        "torch": torch.__version__,
    }


def run_all(chosen, rounds):
    for seq, strategy, attention, setting, pages in itertools.product(
        *(chosen[x] for x in ("seq", "strategy", "attention", "setting", "pages"))
    ):
        threads, _, wait = setting.partition("-")
        env = dict(os.environ, OMP_NUM_THREADS=threads, OMP_WAIT_POLICY="ACTIVE" if wait == "active" else "PASSIVE")
        env.update(KEPT if pages == "kept" else {})
        one = [sys.executable, __file__, "--one", seq, attention, strategy, str(rounds), wait]
        got = json.loads(subprocess.run(one, env=env, check=True, stdout=subprocess.PIPE).stdout)
        row = {"seq": int(seq), "strategy": strategy, "attention": attention, "setting": setting, "pages": pages}
        load = round(os.getloadavg()[0], 1)
        print(json.dumps({**row, **got, "load": load}), flush=True)


def main():
    if sys.argv[1:2] == ["--one"]:
        seq, attention, strategy, rounds, wait = sys.argv[2:]
        print(json.dumps(run_one(int(seq), attention, strategy, int(rounds), wait == "compiled")))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, choices in CHOICES.items():
        parser.add_argument(f"--{name}", default=",".join(choices))
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    run_all({name: getattr(args, name).split(",") for name in CHOICES}, args.rounds)


if __name__ == "__main__":
    main()
