#!/usr/bin/python3
# kill_loop.py - kill -9 of the daemon, of workers and of both at random moments while clients submit: what was answered
# 202 is there once, ends once, and its bytes are those of a run that nobody disturbed.
import hashlib
import http.client
import json
import os
import random
import threading
import time

import table
from daemon import FILE, JSON, Daemon, kill

READY_SECONDS = 2.0
SHORT_SECONDS = 15  # of rounds; a busy machine makes fewer
CLIENTS = 3
JOBS_A_ROUND = 6


def attention(n, seed, strategy):
    tensor = {name: {"shape": [2, n, 16], "random": {"seed": seed + i}} for i, name in enumerate("qkv")}
    return {"kind": "attention", "strategy": strategy, "mask": "causal", "inputs": tensor}


def sequential(layers, n, seed):
    layer = [{"name": "attention", "heads": 2, "projections": False}, {"name": "ffn", "hidden": 64, "seed": seed}]
    return {
        "kind": "sequential",
        "strategy": "every_layer",
        "inputs": [{"shape": [1, n, 32], "random": {"seed": seed}}],
        "functions": [{"name": "layer", "repeat": layers, "functions": layer}],
    }


BODIES = [
    json.dumps(body).encode()
    for body in (
        attention(16, 1, "standard"),
        attention(64, 5, "checkpointed"),
        attention(128, 9, "flash"),
        sequential(2, 16, 13),
        sequential(8, 128, 17),
        sequential(16, 256, 21),
    )
]


def outputs(job):
    def digests(value):
        if isinstance(value, dict):
            return value["tensor"] if "tensor" in value else {k: digests(v) for k, v in value.items()}
        return [digests(v) for v in value] if isinstance(value, list) else value

    return digests(job["result"]["outputs"])


def undisturbed():
    """What each body's result is when nothing goes wrong."""
    with Daemon("--threads", "1") as daemon:
        daemon.start()
        ids = [daemon.ask("POST", "/v1/jobs", body).json()["id"] for body in BODIES]
        assert daemon.idle(60)
        return [outputs(daemon.ask("GET", "/v1/jobs/" + i).json()) for i in ids]


class Load:
    """Clients that do not give up: a key is sent until it is acknowledged."""

    def __init__(self, daemon, seed):
        self.daemon, self.seed = daemon, seed
        self.lock = threading.Lock()
        self.permits = threading.Semaphore(0)
        self.over = threading.Event()
        self.next = 0
        self.acknowledged = {}  # key: (body's number, id)
        self.uploaded = {}  # digest: bytes
        self.wrong, self.retries = [], 0
        self.threads = [threading.Thread(target=self.client, args=(i,)) for i in range(CLIENTS)]
        self.threads.append(threading.Thread(target=self.uploader))
        for thread in self.threads:
            thread.start()

    def until_good(self, method, path, body, headers, good):
        while True:
            try:
                answer = self.daemon.ask(method, path, body, headers, 10)
                if answer.status in good:
                    return answer
                if answer.status not in (429, 503):
                    self.wrong.append("%s %s: %d %s" % (method, path, answer.status, answer.body[:200]))
                    return None
            except (OSError, http.client.HTTPException):
                pass
            if self.over.is_set() and not self.daemon.alive():
                return None  # it does not come again
            with self.lock:
                self.retries += 1
            time.sleep(0.005)

    def client(self, number):
        chance = random.Random(self.seed * 100 + number)
        while True:
            self.permits.acquire()
            if self.over.is_set():
                return
            with self.lock:
                key = "key-%d" % self.next
                self.next += 1
            which = chance.randrange(len(BODIES))
            answer = self.until_good("POST", "/v1/jobs", BODIES[which], dict(JSON, **{"Idempotency-Key": key}), (202,))
            if answer:
                with self.lock:
                    self.acknowledged[key] = (which, answer.json()["id"])
            time.sleep(chance.random() * 0.02)

    def uploader(self):
        chance = random.Random(self.seed)
        while not self.over.wait(0.05):
            header = b'{"a":{"dtype":"U8","shape":[64],"data_offsets":[0,64]}}'.ljust(64)
            data = len(header).to_bytes(8, "little") + header + chance.randbytes(64)
            answer = self.until_good("POST", "/v1/tensors", data, FILE, (201,))
            if answer:
                self.uploaded[answer.json()["tensor"]] = data

    def end(self):
        self.over.set()
        self.permits.release(CLIENTS)
        for thread in self.threads:
            thread.join()


def disturb(daemon, chance):
    """One kill, or two; the daemon runs and is ready afterwards. Returns (what, seconds to recover)."""
    if chance.random() < 0.7:  # while jobs run, else at any time
        until = time.monotonic() + 1
        while not daemon.ask("GET", "/v1/jobs?state=running&page_size=1").json()["jobs"] and time.monotonic() < until:
            time.sleep(0.002)
        time.sleep(chance.random() * 0.05)
    else:
        time.sleep(chance.uniform(0.02, 0.3))
    what = chance.choice(("daemon", "worker", "both", "start"))
    workers = daemon.children()
    if what in ("worker", "both") and workers:
        for pid in chance.sample(workers, chance.randint(1, len(workers))):
            kill(pid)
    if what == "worker":
        return what, 0.0
    if what == "both":
        time.sleep(chance.random() * 0.02)
    daemon.kill()
    if what == "start":  # once more while it comes up
        daemon.spawn()
        time.sleep(chance.random() * 0.1)
        daemon.kill()
    return what, daemon.start()


def check_files(data, wrong):
    """Every file has the digest it is called by; returns how many there are."""
    n = 0
    for directory, _, names in os.walk(os.path.join(data, "blobs")):
        for name in names:
            with open(os.path.join(directory, name), "rb") as file:
                if hashlib.sha256(file.read()).hexdigest() != name:
                    wrong.append("blob %s holds something else" % name)
            n += 1
    return n


def check_events(daemon, job, wrong):
    states = [data["state"] for name, data in daemon.events(job["id"]) if name == "state"]
    ended = [s for s in states if s in ("succeeded", "failed", "cancelled")]
    if states[:1] != ["queued"] or len(ended) != 1 or states[-1:] != [job["state"]]:
        wrong.append("job %s went through %s" % (job["id"], states))


def check(daemon, load, expected, wrong):
    """Everything that was acknowledged, against what is there; returns the counts of states."""
    jobs = {job["id"]: job for job in daemon.jobs()}
    ids = [i for _, i in load.acknowledged.values()]
    if len(set(ids)) != len(ids):
        wrong.append("two keys have one job")
    if set(jobs) != set(ids):
        wrong.append("%d jobs lost, %d jobs nobody knows" % (len(set(ids) - set(jobs)), len(set(jobs) - set(ids))))
    counts = {}
    for key, (which, job_id) in load.acknowledged.items():
        job = jobs.get(job_id)
        if not job:
            continue
        counts[job["state"]] = counts.get(job["state"], 0) + 1
        check_events(daemon, job, wrong)
        if job["state"] == "succeeded" and outputs(job) != expected[which]:
            wrong.append("job %s has another result than undisturbed" % job_id)
        elif job["state"] == "failed" and (job["attempts"] < 2 or "crash" not in job["problem"]["type"]):
            wrong.append("job %s failed: %s" % (job_id, job["problem"]))
        elif job["state"] not in ("succeeded", "failed"):
            wrong.append("job %s is %s" % (job_id, job["state"]))
    for key, (which, job_id) in random.Random(1).sample(sorted(load.acknowledged.items()), min(50, len(ids))):
        answer = daemon.ask("POST", "/v1/jobs", BODIES[which], dict(JSON, **{"Idempotency-Key": key}))
        if answer.json().get("id") != job_id or answer.headers.get("Idempotency-Replayed") != "true":
            wrong.append("key %s again: %d %s" % (key, answer.status, answer.body[:100]))
    for digest, data in load.uploaded.items():
        if daemon.ask("GET", "/v1/tensors/" + digest).body != data:
            wrong.append("upload %s is lost" % digest)
    return counts


def run(rows, long, rounds=None, seed=None):
    rounds = rounds or (1000 if long else 20)
    seed = int(os.environ.get("SEED", 0)) or seed or (random.randrange(1 << 30) if long else 1)
    chance, expected, wrong = random.Random(seed), undisturbed(), []
    kills, slowest = {}, 0.0
    with Daemon("--threads", "1") as daemon:
        slowest = daemon.start()
        load = Load(daemon, seed)
        try:
            until = time.monotonic() + SHORT_SECONDS
            for n in range(rounds):
                if not long and n >= 8 and time.monotonic() > until:
                    rounds = n
                    break
                load.permits.release(JOBS_A_ROUND)
                what, seconds = disturb(daemon, chance)
                kills[what] = kills.get(what, 0) + 1
                slowest = max(slowest, seconds)
        finally:
            load.end()
        wrong += load.wrong
        if not daemon.idle(600 if long else 120):
            wrong.append("jobs do not end")
        counts = check(daemon, load, expected, wrong)
        files = check_files(daemon.data, wrong)
    if not kills.get("worker") or not counts.get("succeeded"):
        wrong.append("nothing was tried")
    done = "%d kills (%s), %d keys, %d retries, seed %d" % (
        rounds,
        ", ".join("%d %s" % (n, what) for what, n in sorted(kills.items())),
        len(load.acknowledged),
        load.retries,
        seed,
    )
    states = ", ".join("%d %s" % (n, state) for state, n in sorted(counts.items()))
    seen = "%s, %d uploads, %d files whole" % (states, len(load.uploaded), files)
    rows.add("kill -9: every 202 once, with its bytes", done, "; ".join(wrong[:5]) or seen, not wrong)
    rows.add("kill -9: ready again", "%d kills" % rounds, "at most %.2f s" % slowest, slowest < READY_SECONDS)


if __name__ == "__main__":
    table.main(run)
