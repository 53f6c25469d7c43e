"""step_table.py - training steps of GPT-2 small: rematd beside PyTorch, in alternation, as one table.

    python3 tests/bench/step_table.py BENCH_STEP [--seq 512,1024] [--rounds 3] [--turns 2]

For each row PyTorch runs at every setting of threads (2, waiting asleep or spinning; pages kept) and the best counts;
rematd runs on 2 threads between them. Seconds are the least median of the turns; ratio is rematd / PyTorch. Then the
step's seconds over those of `standard` with the same attention; and, for `standard`, PyTorch's after torch.compile."""
import argparse
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
MUST, STRETCH = 1 / 1.2, 1 / 1.4  # of PyTorch's seconds
PAIRS = [("standard", "eager"), ("flash", "sdpa")]


def lines(command):
    out = subprocess.run(command, capture_output=True, text=True)
    if out.returncode:
        sys.exit(out.stderr)
    return [json.loads(line) for line in out.stdout.splitlines() if line.startswith("{")]


def compiled_of(ask):
    """Seconds after torch.compile, or None where it does not run (it needs a C++ compiler)."""
    out = subprocess.run(ask + ["2-compiled"], capture_output=True, text=True)
    return json.loads(out.stdout.splitlines()[-1])["seconds"] if out.returncode == 0 else None


def main():
    p = argparse.ArgumentParser()
    p.add_argument("bench")
    p.add_argument("--seq", default="512,1024")
    p.add_argument("--rounds", default="3")
    p.add_argument("--turns", type=int, default=2)
    p.add_argument("--setting", default="2-passive,2-active")
    p.add_argument("--strategy", default="standard,every_layer,every_2")
    p.add_argument("--compiled", default="standard", help="strategies that PyTorch also runs compiled")
    a = p.parse_args()
    print("%-5s %-12s %-9s %9s %9s %6s  %13s %13s %13s %14s  %-17s %s" % (
        "SEQ", "STRATEGY", "ATTENTION", "REMATD s", "TORCH s", "RATIO", "SAVED", "TORCH SAVED", "PEAK",
        "TORCH PEAK RSS", "OVER STANDARD", "TORCH COMPILED s"), flush=True)
    worst = 0
    for seq in a.seq.split(","):
        for ours, theirs in PAIRS:
            plain = None
            for strategy in a.strategy.split(","):
                mine, torch = [], []
                ask = [os.path.join(HERE, "peers.sh"), "step_torch.py", "--seq", seq, "--attention", theirs, "--strategy", strategy,
                       "--pages", "kept", "--rounds", a.rounds, "--setting"]
                for _ in range(a.turns):
                    mine += lines([a.bench, seq, ours, strategy, "2", a.rounds])
                    torch += lines(ask + [a.setting])
                compiled = compiled_of(ask) if strategy in a.compiled.split(",") else None
                m = min(mine, key=lambda r: r["seconds"])
                t = min(torch, key=lambda r: r["seconds"])
                plain = plain or (m["seconds"], t["seconds"])
                ratio = m["seconds"] / t["seconds"]
                worst = max(worst, ratio)
                print("%-5s %-12s %-9s %9.3f %9.3f %5.2f%s  %13d %13d %13d %14d  %.2f (torch %.2f)  %s" % (
                    seq, strategy, ours, m["seconds"], t["seconds"], ratio, "*" if ratio > MUST else " ", m["saved_bytes"], t["saved_bytes"],
                    m["peak_bytes"], t["peak_rss"], m["seconds"] / plain[0], t["seconds"] / plain[1],
                    "%.3f, ratio %.2f" % (compiled, m["seconds"] / compiled) if compiled else ""), flush=True)
    print("worst ratio %.2f, must %.2f (%.2f); * misses it; load %s" % (worst, MUST, STRETCH, " ".join("%.1f" % x for x in os.getloadavg())))


main()
