"""peers.py - rematd's attention beside PyTorch's and ONNX Runtime's, in turns, as tables of ratios: theirs / ours.

    peers.py BENCH_ROUNDS [--quick] [--only grid,forward,checkpoint]

Ours runs in a process of its own that is told what to run through a pipe (bench_rounds.c), and sleeps meanwhile; a
round is one run of ours and one of the peer's, each repeated until it takes some milliseconds. Both sides run at the
better of one and two threads, found out first. Ratios are of one round, the figure is their median. The peers' pages
are kept between calls and their threads wait asleep, which is what they are fastest with here.
"""
import argparse
import itertools
import math
import os
import statistics
import subprocess
import sys
import time

KEPT = {  # read once, when the process starts
    "OMP_WAIT_POLICY": "PASSIVE",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "THP_MEM_ALLOC_ENABLE": "1",
}
if any(os.environ.get(k) != v for k, v in KEPT.items()):
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **KEPT})

import numpy
import onnx
import onnxruntime
import torch
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

RUN_SECONDS = 0.004  # shorter work is repeated
THREADS = (1, 2)
LONG_SECONDS = 1.0  # where a run takes longer, two threads are the better setting without trying


class Ours:
    """The other end of the pipe."""

    def __init__(self, path):
        self.process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *words):
        print(*words, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit("bench_rounds ended")
        return answer.strip()

    def runner(self, what):
        return lambda threads, runs: float(self.ask(what, threads, runs))


def timed(run):
    """A peer's run(threads) as a runner: seconds of one run, the mean of so many."""

    def runner(threads, runs):
        torch.set_num_threads(threads)
        start = time.perf_counter()
        for _ in range(runs):
            run(threads)
        return (time.perf_counter() - start) / runs

    return runner


def best_setting(runner, estimate):
    """(threads, runs): the better number of threads, and the repetitions that make a run long enough."""
    if estimate > LONG_SECONDS:
        return 2, 1
    seconds = {}
    for threads in THREADS:
        first = runner(threads, 1)
        runs = max(1, min(1000, math.ceil(RUN_SECONDS / first)))
        seconds[threads] = min(runner(threads, runs) for _ in range(2)), runs
    threads = min(THREADS, key=lambda t: seconds[t][0])
    return threads, max(1, min(1000, math.ceil(RUN_SECONDS / seconds[threads][0])))


class Cell:
    """One comparison: the median ratio, and both sides' seconds and threads."""

    def __init__(self, ours, theirs, budget, estimate=0.0, most=15):
        mine, peer = best_setting(ours, estimate), best_setting(theirs, estimate)
        self.threads = mine[0], peer[0]
        rounds = []
        begin = time.perf_counter()
        while not rounds or (time.perf_counter() - begin) * (1 + 1 / len(rounds)) < budget and len(rounds) < most:
            rounds.append((ours(*mine), theirs(*peer)))
        self.rounds = len(rounds)
        self.seconds = [statistics.median(side) for side in zip(*rounds)]
        self.ratio = statistics.median(theirs / ours for ours, theirs in rounds)


def mark(value, must):
    return f"{value:5.2f}{'*' if must and value < must else ' '}"


def goal(must, stretch):
    return f"must {must:.2f} ({stretch:.2f})"


# ---- forward and backward beside PyTorch's scaled_dot_product_attention ----

GRID = dict(B=(1, 4), H=(1, 8, 16), N=(128, 512, 2048, 8192), d=(32, 64, 128))


def seconds_wanted(b, h, n, d, causal):
    """Roughly, of forward and backward at 10^11 a second."""
    return 14e-11 * b * h * n * n * d / (2 if causal else 1)


def torch_tensors(b, h, n, d):
    return [torch.randn(b, h, n, d, requires_grad=i < 3) for i in range(4)]


def grid_cell(ours, b, h, n, d, causal, budget):
    q, k, v, d_o = torch_tensors(b, h, n, d)

    def theirs(_):
        o = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        torch.autograd.grad(o, (q, k, v), d_o)

    ours.ask("case", "flash", b, h, n, d, int(causal))
    return Cell(ours.runner("both"), timed(theirs), budget, seconds_wanted(b, h, n, d, causal))


def grid(ours, quick):
    targets = {False: ((1.3, 1.6), (1.0, 1.2)), True: ((1.9, 2.5), (1.0, 1.2))}
    for causal in (False, True):
        (must, stretch), (worst_must, worst_stretch) = targets[causal]
        kind = "causal" if causal else "plain"
        print(f"\nforward + backward beside PyTorch's scaled_dot_product_attention, {kind}: PyTorch's seconds / ours")
        columns = list(itertools.product(GRID["N"], GRID["d"]))
        print("    N " + "".join(f"{n:7}" for n, _ in columns) + "\n    d " + "".join(f"{d:7}" for _, d in columns))
        cells, left_out = {}, 0
        for b, h in itertools.product(GRID["B"], GRID["H"]):
            print(f"B {b} H {h:2}".ljust(7), end="", flush=True)
            for n, d in columns:
                if quick and seconds_wanted(b, h, n, d, causal) > 0.5:
                    left_out += 1
                    print("      -", end="", flush=True)
                    continue
                cell = cells[b, h, n, d] = grid_cell(ours, b, h, n, d, causal, 0.35 if quick else 2)
                print(" " + mark(cell.ratio, worst_must), end="", flush=True)
            print()
        ratios = [c.ratio for c in cells.values()]
        at = min(cells, key=lambda c: cells[c].ratio)
        print(f"{kind}: median {mark(statistics.median(ratios), must)} {goal(must, stretch)};  worst "
              f"{mark(cells[at].ratio, worst_must)} {goal(worst_must, worst_stretch)}, at B {at[0]} H {at[1]} N {at[2]} d {at[3]};  "
              f"{len(cells)} cells" + (f", {left_out} long ones left out" if left_out else ""))
        better = [sum(c.threads[side] == 2 for c in cells.values()) for side in (0, 1)]
        print(f"       two threads are better in {better[0]} cells for us, in {better[1]} for PyTorch; "
              f"{min(c.rounds for c in cells.values())} to {max(c.rounds for c in cells.values())} rounds", flush=True)


# ---- one shape a line ----


def lines_head(title, peer):
    print(f"\n{title}: {peer}'s seconds / ours\n{'':34} {'ours, ms':>9} threads {'theirs':>9} threads rounds  ratio")


def line(name, cell, must, stretch):
    print(f"{name:34} {1e3 * cell.seconds[0]:9.2f} {cell.threads[0]:7} {1e3 * cell.seconds[1]:9.2f} {cell.threads[1]:7} "
          f"{cell.rounds:6} {mark(cell.ratio, must)} {goal(must, stretch) if must else ''}", flush=True)


# ---- forward beside ONNX Runtime's MultiHeadAttention ----


def onnx_session(b, h, n, d, causal, threads, feeds):
    """One MultiHeadAttention node of com.microsoft, bound to its tensors."""
    names = ["query", "key", "value"]
    tensor = lambda name: onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [b, n, h * d])
    node = onnx.helper.make_node("MultiHeadAttention", names, ["output"], domain="com.microsoft", num_heads=h,
                                 unidirectional=int(causal))
    graph = onnx.helper.make_graph([node], "attention", [tensor(x) for x in names], [tensor("output")])
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("com.microsoft", 1)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # its threads would run beside ours
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for name in names:
        binding.bind_ortvalue_input(name, feeds[name])
    binding.bind_ortvalue_output("output", feeds["output"])
    return session, binding


def forward(ours, quick):
    lines_head("forward beside MultiHeadAttention (com.microsoft)", "ONNX Runtime")
    shapes = [(1, 8, 1024, 64), (1, 8, 2048, 64), (1, 8, 4096, 64), (1, 12, 1024, 128), (4, 16, 1024, 64)]
    for causal, (b, h, n, d) in itertools.product((False, True), shapes[:2] if quick else shapes):
        feeds = {x: onnxruntime.OrtValue.ortvalue_from_numpy(numpy.random.randn(b, n, h * d).astype(numpy.float32))
                 for x in ("query", "key", "value", "output")}
        sessions = {t: onnx_session(b, h, n, d, causal, t, feeds) for t in THREADS}
        ours.ask("case", "flash", b, h, n, d, int(causal))
        cell = Cell(ours.runner("forward"), timed(lambda t: sessions[t][0].run_with_iobinding(sessions[t][1])),
                    1 if quick else 5)
        line(f"B {b} H {h} N {n} d {d}{', causal' if causal else ''}", cell, *((2.6, 3.0) if causal else (1.2, 1.3)))


# ---- checkpointed attention beside torch.utils.checkpoint ----


def checkpointed(ours, quick):
    lines_head("checkpointed attention beside torch.utils.checkpoint over plain attention", "PyTorch")
    for causal, n in itertools.product((False, True), (1024,) if quick else (512, 1024, 2048)):
        h, d = 8, 64
        q, k, v, d_o = torch_tensors(1, h, n, d)
        mask = torch.full((n, n), -math.inf).triu(1)

        def plain(q, k, v):
            scores = (q * d**-0.5) @ k.transpose(2, 3)
            return F.softmax(scores.add_(mask) if causal else scores, dim=-1) @ v

        def theirs(_):
            torch.autograd.grad(checkpoint(plain, q, k, v, use_reentrant=False), (q, k, v), d_o)

        for kernel, goals in (("flash", (5.0, 6.0) if causal else (2.5, 3.0)), ("standard", (0, 0))):
            ours.ask("lab", kernel, 1, h, n, d, int(causal))
            cell = Cell(ours.runner("both"), timed(theirs), 1 if quick else 5)
            line(f"{kernel} H {h} N {n} d {d}{', causal' if causal else ''}", cell, *goals)


PARTS = {"grid": grid, "forward": forward, "checkpoint": checkpointed}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rounds")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default=",".join(PARTS))
    a = parser.parse_args()
    ours = Ours(a.rounds)
    torch.manual_seed(1)
    print(f"rematd: {ours.ask('isa')}; PyTorch {torch.__version__}: {torch.backends.cpu.get_cpu_capability()}, "
          f"MKL {torch.backends.mkl.is_available()}, oneDNN {torch.backends.mkldnn.is_available()}; ONNX Runtime {onnxruntime.__version__}")
    for part in a.only.split(","):
        PARTS[part](ours, a.quick)


main()
