#!/usr/bin/env python3
"""optimal_table.py - optimal plans beside the named strategies, at every tenth of the memory there is to spare.

    tests/bench/optimal_table.py [--measure] [--model M] [--seq-len N] [--dtype D]

Starts bin/rematd on a free port in a temporary directory. Memory runs from the fewest bytes that `optimal` needs to the
peak of `standard`. At each tenth, and at each other strategy's own peak, no named strategy that fits may run fewer FLOPs
than `optimal`; larger budgets may not cost more, peaks stay within budgets, one byte less than the least does not do, and
points of the frontier are what their budgets plan: else the exit code is 1 and what is wrong is printed with its request.
Llama-3-8B, unless told otherwise.

--measure: GPT-2 small, each tenth run as a training step and compared bit for bit with the run under standard, in the
slab that was planned; the best named strategy is run beside it. Takes some minutes of both cores."""
import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TENTHS = 10


class Daemon:
    """A rematd of its own; `post` answers (status, object)."""

    def __enter__(self):
        self.dir = tempfile.TemporaryDirectory()
        log = os.path.join(self.dir.name, "log")
        with open(log, "wb") as out:
            self.process = subprocess.Popen(
                [os.path.join(ROOT, "bin/rematd"), "serve", "--listen", "127.0.0.1:0", "--workers", "1", "--data",
                 os.path.join(self.dir.name, "data")], stdout=out, stderr=subprocess.STDOUT)
        for _ in range(100):
            found = re.search(r"http://127\.0\.0\.1:\d+", open(log).read())
            if found:
                self.url = found.group()
                return self
            time.sleep(0.1)
        self.__exit__()
        sys.exit("optimal_table: the daemon does not start")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.dir.cleanup()

    def post(self, path, body, **headers):
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(),
                                         {"Content-Type": "application/json", **headers})
        try:
            with urllib.request.urlopen(request, timeout=900) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            return refused.code, json.load(refused)

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return json.load(answer)


class Judge:
    """Gathers what is wrong, each with the request that shows it."""
    wrong = 0
    checks = 0

    def holds(self, true, what, request):
        self.checks += 1
        if not true:
            self.wrong += 1
            print("WRONG: %s\n  POST /v1/plans %s" % (what, json.dumps(request)), flush=True)


class Plans:
    def __init__(self, daemon, workload, judge):
        self.daemon, self.workload, self.judge, self.asked = daemon, workload, judge, []

    def request(self, strategy, budget=None):
        body = {"workload": self.workload, "strategy": strategy}
        return body if budget is None else {**body, "budget_bytes": budget}

    def make(self, strategy, budget=None):
        status, plan = self.daemon.post("/v1/plans", self.request(strategy, budget))
        if status != 200:
            sys.exit("optimal_table: %s: %s" % (self.request(strategy, budget), plan))
        return plan

    def optimal(self, budget):
        plan, request = self.make("optimal", budget), self.request("optimal", budget)
        self.judge.holds(plan["feasible"], "does not fit a budget above the least", request)
        self.judge.holds(plan["peak_bytes"] <= budget, "its peak is above the budget", request)
        self.asked.append((budget, flops(plan), request, plan["optimality"]))
        return plan

    def laws(self, least):
        """Of all optimal plans so far: more bytes never cost more; one byte less than the least does not do."""
        last = None
        for budget, cost, request, _ in sorted(self.asked, key=lambda a: a[0]):
            self.judge.holds(last is None or cost <= last[0], "%d FLOPs, more than a smaller budget's: %r" % (
                cost, last), request)
            last = min(last or (cost, budget), (cost, budget))
        below = self.make("optimal", least - 1)
        self.judge.holds(not below["feasible"] and below["minimum_budget_bytes"] == least,
                         "fits in less than its least, or names another", self.request("optimal", least - 1))


def flops(plan):
    """Of a whole step: what is made again and what a chunked loss adds to the backward are in it."""
    return sum(plan["flops"].values())


def name_of(strategy):
    if isinstance(strategy, str):
        return strategy
    rest = ["/".join(map(str, v)) if isinstance(v, list) else str(v) for k, v in strategy.items() if k != "name"]
    return " ".join([strategy["name"]] + rest)


def frontier(plans, daemon, workload, judge):
    """Every named strategy, as (plan, strategy). Points are asked for again by their budgets."""
    status, answer = daemon.post("/v1/frontiers", {"workload": workload, "points": 24})
    if status != 200:
        sys.exit("optimal_table: %s" % answer)
    off = []
    for p in answer["points"]:
        again = plans.make(p["strategy"])
        off.append((abs(again["compute_overhead_pct"] - p["compute_overhead_pct"]), p, again["compute_overhead_pct"]))
    different = sum(o[0] > 0 for o in off)
    distance, point, planned_pct = max(off, key=lambda o: o[0])
    judge.holds(not different, "%d of %d points of the frontier are not what their budgets plan; the farthest has %.3f %%, "
                "its budget %.3f %%" % (different, len(off), point["compute_overhead_pct"], planned_pct),
                plans.request(point["strategy"]))
    return [(plans.make(n["strategy"]), n["strategy"]) for n in answer["named"]]


def beside(plans, named, budget):
    """Those that fit, cheapest first; greedy and revolve have plans for the budget."""
    own = [(plans.make({"name": n}, budget), {"name": n}) for n in ("greedy", "revolve")]
    fit = [(flops(p), p["peak_bytes"], i, p, s) for i, (p, s) in enumerate(named + own) if p["peak_bytes"] <= budget]
    return [(p, s) for _, _, _, p, s in sorted(fit, key=lambda f: f[:3])]


def compared(plans, named, budget, judge):
    """The optimal plan and the best other one (or None) within the budget; that one is met in its own peak too."""
    plan, others = plans.optimal(budget), beside(plans, named, budget)
    if not others:
        return plan, None
    other, strategy = others[0]
    for of, at in ((plan, budget), (plans.optimal(other["peak_bytes"]), other["peak_bytes"])):
        judge.holds(flops(of) <= flops(other), "optimal, %d FLOPs in %d bytes, is beaten by %s, %d FLOPs in %d bytes" % (
            flops(of), of["peak_bytes"], name_of(strategy), flops(other), other["peak_bytes"]), plans.request("optimal", at))
    return plan, others[0]


def budgets(least, most):
    return [least + (most - least) * i // TENTHS for i in range(TENTHS + 1)]


def certificate(plan):
    o = plan["optimality"]
    return "%.3f%s" % (o["gap_pct"], ", exact" if o["exact"] else "")


def percent(x):
    return "%.3f" % x


def line(cells):
    print("| " + " | ".join(cells) + " |", flush=True)


def head(cells):
    line(cells)
    line(["---:" if c.endswith(("bytes", "%", "s")) else "---" for c in cells])


def planned(daemon, workload, judge):
    plans = Plans(daemon, workload, judge)
    named = frontier(plans, daemon, workload, judge)
    least, most = plans.make("optimal", 1)["minimum_budget_bytes"], plans.make("standard")["peak_bytes"]
    print("%s, %d tokens, batch %d, %s, attention %s: %d to %d bytes\n" % (
        workload["model"], workload["seq_len"], workload["batch"], workload["dtype"], workload["attention"], least, most))
    head(["tenth", "budget, bytes", "peak, bytes", "overhead %", "gap %", "best named that fits", "its peak, bytes",
          "its overhead %"])
    for i, budget in enumerate(budgets(least, most)):
        plan, best = compared(plans, named, budget, judge)
        line([str(i), "%d" % budget, "%d" % plan["peak_bytes"], percent(plan["compute_overhead_pct"]), certificate(plan)] +
             ([name_of(best[1]), "%d" % best[0]["peak_bytes"], percent(best[0]["compute_overhead_pct"])] if best else
              ["none", "", ""]))
    own = [(p, s) for p, s in named if p["peak_bytes"] >= least]
    less = same = 0
    for p, _ in own:
        cost = flops(compared(plans, named, p["peak_bytes"], judge)[0])
        less += cost < flops(p)
        same += cost == flops(p)
    plans.laws(least)
    proven = {budget: o["exact"] for budget, _, _, o in plans.asked}
    print("\nOf %d budgets %d are proven to have no better plan; the largest gap of the others is %.3f %%." % (
        len(proven), sum(proven.values()), max(o["gap_pct"] for _, _, _, o in plans.asked)))
    print("In the peaks of the %d named strategies themselves optimal is cheaper than %d and equals %d." % (
        len(own), less, same))


def job(daemon, workload, strategy, budget, compare):
    body = {"kind": "training_step", "strategy": strategy, "steps": 1, "seed": 1, "workload": workload}
    if budget:
        body["budget_bytes"] = budget
    if compare:
        body["compare_with"] = "standard"
    status, done = daemon.post("/v1/jobs", body, Prefer="wait=600")
    while status < 300 and done["state"] in ("queued", "running"):
        time.sleep(1)
        done = daemon.get("/v1/jobs/" + done["id"])
    if status >= 300 or done["state"] != "succeeded":
        sys.exit("optimal_table: %s: %s" % (json.dumps(body), json.dumps(done)))
    return done["result"], body


def seconds(result):
    return sum(result["time"][k] for k in ("forward_seconds", "recompute_seconds", "backward_seconds"))


def measured(daemon, workload, judge):
    plans = Plans(daemon, workload, judge)
    named = frontier(plans, daemon, workload, judge)
    least, most = plans.make("optimal", 1)["minimum_budget_bytes"], plans.make("standard")["peak_bytes"]
    job(daemon, workload, "standard", None, False)  # the first run touches everything for the first time
    print("%s, %d tokens, batch %d, %s, attention %s, adamw: %d to %d bytes; s is forward to backward\n" % (
        workload["model"], workload["seq_len"], workload["batch"], workload["dtype"], workload["attention"], least, most))
    head(["tenth", "budget, bytes", "predicted = measured peak, bytes", "identical", "overhead %", "s", "standard's s",
          "time overhead %", "best named that fits", "its overhead %", "its s"])
    ran = {}
    for i, budget in enumerate(budgets(least, most)):
        plan, best = compared(plans, named, budget, judge)
        result, body = job(daemon, workload, {"name": "optimal"}, budget, True)
        memory, comparison = result["memory"], result["comparison"]
        judge.holds(memory["predicted_peak_bytes"] == memory["measured_peak_bytes"] == plan["peak_bytes"] <= budget,
                    "planned %d, predicted %d, measured %d" % (
                        plan["peak_bytes"], memory["predicted_peak_bytes"], memory["measured_peak_bytes"]), body)
        judge.holds(comparison["identical"] is True, "losses or gradients differ from standard's", body)
        judge.holds(abs(comparison["compute_overhead_pct"] - plan["compute_overhead_pct"]) < 1e-9,
                    "ran %r %% more FLOPs, planned %r" % (comparison["compute_overhead_pct"], plan["compute_overhead_pct"]), body)
        cells = ["none", "", ""]
        if best:
            strategy, key = best[1], (name_of(best[1]), best[0]["peak_bytes"])
            if key not in ran:
                ran[key] = seconds(job(daemon, workload, strategy, budget, False)[0])
            cells = [name_of(strategy), percent(best[0]["compute_overhead_pct"]), "%.2f" % ran[key]]
        line([str(i), "%d" % budget, "%d" % memory["measured_peak_bytes"], str(comparison["identical"]).lower(),
              percent(plan["compute_overhead_pct"]), "%.2f" % seconds(result),
              "%.2f" % (seconds(result) / (1 + comparison["time_overhead_pct"] / 100)),
              "%.1f" % comparison["time_overhead_pct"]] + cells)
    plans.laws(least)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--measure", action="store_true")
    p.add_argument("--model")
    p.add_argument("--seq-len", type=int)
    p.add_argument("--dtype")
    a = p.parse_args()
    model, seq_len, dtype = ("gpt2", 1024, "float32") if a.measure else ("llama-3-8b", 8192, "bfloat16")
    workload = {"model": a.model or model, "seq_len": a.seq_len or seq_len, "batch": 1, "dtype": a.dtype or dtype,
                "attention": "flash", "optimizer": "adamw"}
    judge = Judge()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the daemon goes too
    with Daemon() as daemon:
        (measured if a.measure else planned)(daemon, workload, judge)
    if judge.wrong:
        print("%d of %d checks failed" % (judge.wrong, judge.checks))
    else:
        print("All %d checks hold: no named strategy that fits runs fewer FLOPs; no larger budget costs more; every peak "
              "is within its budget%s." % (judge.checks, ", measured and predicted, with standard's losses and "
                                           "gradients bit for bit" if a.measure else ""))
    sys.exit(judge.wrong > 0)


main()
