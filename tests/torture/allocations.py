#!/usr/bin/python3
# allocations.py - the n-th allocation fails while a request is served, for every n, on every operation of docs/openapi.json.
#
# Each answer is the usual one, or 503 or 507, or the connection ends where there was no memory to say so. Nothing dies,
# and a second round of the same failures leaves nothing behind that the first did not.
import http.client
import json
import os
import random
import time

import faults
import table
from daemon import FILE, JSON, ROOT, TINY, Daemon

SHORT_EACH = 16  # failures of one operation; the long form takes them all, up to LONG_EACH
LONG_EACH = 3000
QUERIES = {
    "/v1/plans": "model=gpt2&seq_len=64&strategy=every_layer",
    "/v1/capacity": "model=gpt2&seq_len=64&find=batch&device=t4-16gb",
    "/v1/memory-savings": "seq_len=64&d_model=32&num_layers=2",
    "/v1/events": "job={id}",  # without a job it never ends
}


def tensor_file():
    header = b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'.ljust(64)
    return len(header).to_bytes(8, "little") + header + bytes(16)


def example(operation):
    """What the document shows of a JSON body."""
    media = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if not media:
        return None
    if "example" in media:
        return json.dumps(media["example"]).encode()
    return json.dumps(next(iter(media["examples"].values()))["value"]).encode() if "examples" in media else b"{}"


class Question:
    def __init__(self, method, path, body=None, headers=None, fresh=None):
        self.method, self.path, self.body, self.headers = method, path, body, headers or {}
        self.fresh = fresh  # makes what the question uses up

    def name(self):
        return "%s %s" % (self.method, self.path.split("?")[0])

    def ask(self, daemon):
        """The status; 0: no answer."""
        path = self.path.replace("{fresh}", self.fresh(daemon)) if self.fresh else self.path
        return lambda: daemon.status(self.method, path, self.body, self.headers, 20)


def new_job(daemon):
    job = daemon.ask("POST", "/v1/jobs", TINY).json()["id"]
    daemon.ask("POST", "/v1/jobs/%s/cancel" % job)
    return job


def finished_job(data):
    """One with outputs, from a daemon that has workers and all the memory it wants."""
    with Daemon(workers=1, data=data) as daemon:
        daemon.start()
        job = daemon.ask("POST", "/v1/jobs", TINY, dict(JSON, Prefer="wait=60")).json()
        daemon.stop()
        return job["id"]


def new_tensor(daemon):
    return daemon.ask("POST", "/v1/tensors", tensor_file(), FILE).json()["tensor"]


def questions(job, digest):
    """One for each operation the document names."""
    with open(os.path.join(ROOT, "docs", "openapi.json")) as file:
        paths = json.load(file)["paths"]
    given = {"id": job, "digest": digest, "name": "output"}
    for path, operations in paths.items():
        for method, operation in operations.items():
            if method not in ("get", "post", "put", "delete", "head"):
                continue
            body = example(operation)
            headers = JSON if body is not None else {}
            if "application/octet-stream" in operation.get("requestBody", {}).get("content", {}):
                body, headers = tensor_file(), FILE
            used_up = {"delete": {"id": new_job, "digest": new_tensor}}.get(method, {})
            fresh = next((make for key, make in used_up.items() if "{%s}" % key in path), None)
            query = QUERIES.get(path) if method == "get" else None
            filled = path + ("?" + query if query else "")
            for key, value in given.items():
                filled = filled.replace("{%s}" % key, "{fresh}" if fresh else value)
            yield Question(method.upper(), filled, body, headers, fresh)


def sweep(daemon, control, question, numbers, usual, counts, wrong):
    for n in numbers:
        ask = question.ask(daemon)
        control.arm(faults.ALLOCATE, n, n + 1, 12)
        status = ask()
        control.disarm()
        counts[status] = counts.get(status, 0) + 1
        if status not in (*usual, 0, 503, 507):
            wrong.append("%s, allocation %d: %d" % (question.name(), n, status))
        if not daemon.alive():
            wrong.append("%s, allocation %d: the daemon died: %s" % (question.name(), n, daemon.said()[-300:]))
            return False
    return True


def settle(daemon, question):
    for _ in range(3):
        try:
            daemon.ask("GET", "/healthz")
        except (OSError, http.client.HTTPException):
            pass
        question.ask(daemon)()


def quiet(control):
    """What is allocated when the last connection is closed: the least of a few looks."""
    looks = []
    for _ in range(10):
        looks.append(control.live())
        time.sleep(0.005)
    return min(looks)


def operation(daemon, control, question, each, chance, counts, wrong):
    """All its allocations, twice; returns how many there are, or 0 if the daemon is gone."""
    usual = {question.ask(daemon)() for _ in range(3)}
    ask = question.ask(daemon)
    control.arm(faults.ALLOCATE)
    ask()
    calls = control.disarm()
    if usual & {0, 500}:
        wrong.append("%s: %s with all the memory it wants" % (question.name(), usual))
    numbers = list(range(1, calls + 2))
    if len(numbers) > each:
        numbers = numbers[: each // 2] + sorted(chance.sample(numbers[each // 2 :], each - each // 2))
    live = []
    for _ in range(2):
        if not sweep(daemon, control, question, numbers, usual, counts, wrong):
            return 0
        settle(daemon, question)
        live.append(quiet(control))
    leaked = live[1] - live[0]
    if leaked > max(8, len(numbers) // 4) and not question.name().startswith(("POST", "PUT", "DELETE")):
        wrong.append("%s: %d allocations more after %d failures" % (question.name(), leaked, len(numbers)))
    return max(calls, 1)


def run(rows, long):
    faults.build()
    chance, counts, wrong, total, n = random.Random(5), {}, [], 0, 0
    daemon, control = faults.daemon("--plan-cache", "0", workers=0)
    with daemon:
        job = finished_job(daemon.data)
        daemon.start()
        digest = new_tensor(daemon)
        for question in questions(job, digest):
            calls = operation(daemon, control, question, LONG_EACH if long else SHORT_EACH, chance, counts, wrong)
            n += 1
            total += calls
            if not calls:
                daemon.kill()
                daemon.start()
        if daemon.alive() and daemon.stop():
            wrong.append("it ends with %d" % daemon.process.returncode)
    done = "%d failures in %d operations of %d allocations" % (sum(counts.values()), n, total)
    seen = ", ".join("%d x %s" % (c, status or "no answer") for status, c in sorted(counts.items()))
    rows.add("memory: the n-th allocation fails", done, "; ".join(wrong[:6]) or seen, not wrong and counts.get(503, 0) > 0)


if __name__ == "__main__":
    table.main(run)
