#!/usr/bin/env python3
"""ratios.py - has a kernel become slower? The ratios of bench_kernels beside those kept in ratios.json.

    ratios.py BENCH_KERNELS [--keep] [--tolerance 0.12] [beginnings of names ...]

Ratios to OpenBLAS, memcpy or the plain step on the same machine in the same minute, never seconds: they hold on other
machines of the kind, more or less. What is worse than its kept ratio by more than the tolerance is measured again, with
more rounds, and again; what is worse all three times has regressed: its line is printed and the exit is 1. --keep writes
what was measured (of all lines, or of the named ones) in place of comparing.
"""
import argparse
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
KEPT = os.path.join(HERE, "ratios.json")
AGAIN = (15, 45, 90)  # rounds


def measure(bench, rounds, names=()):
    """{name: (ratio, whether more is better)}"""
    command = [bench, "--quick", "--ratios", "--rounds", str(rounds), *names]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    lines = (line.split("\t") for line in out.splitlines())
    return {name: (float(value), better == "least") for name, value, better in lines}


def loss(kept, value, more):
    """By what part it is worse than what was kept; below 0 where it is better."""
    return 1 - value / kept if more else value / kept - 1


def compare(kept, bench, tolerance, names):
    suspects, worse = list(names), {}
    for rounds in AGAIN:
        now = measure(bench, rounds, suspects)
        worse = {n: v for n, (v, more) in now.items() if n in kept and loss(kept[n], v, more) > tolerance}
        if rounds == AGAIN[0]:
            print(f"{len(now)} ratios; {len(worse)} worse than kept by more than {tolerance:.0%}", flush=True)
            for n in sorted(set(now) - set(kept)):
                print(f"new: {n} {now[n][0]:.2f}; --keep keeps it")
        else:
            print(f"... of those, with {rounds} rounds: {len(worse)}", flush=True)
        if not worse:
            return {}
        suspects = [n.split(", 1 thread")[0].split(", 2 threads")[0] for n in worse]
    return worse


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("bench")
    p.add_argument("names", nargs="*")
    p.add_argument("--keep", action="store_true")
    p.add_argument("--tolerance", type=float, default=0.12)
    a = p.parse_intermixed_args()
    kept = {}
    if os.path.exists(KEPT):
        with open(KEPT) as file:
            kept = json.load(file)
    if a.keep:
        fresh = {n: round(v, 2) for n, (v, _) in measure(a.bench, AGAIN[0], a.names).items()}
        with open(KEPT, "w") as file:
            json.dump({**(kept if a.names else {}), **fresh}, file, indent=1)
            file.write("\n")
        print(f"{len(fresh)} ratios kept")
        return 0
    worse = compare(kept, a.bench, a.tolerance, a.names)
    for n, value in worse.items():
        print(f"regressed: {n}: {value:.2f}, kept {kept[n]:.2f}")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
