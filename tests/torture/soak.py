#!/usr/bin/python3
# soak.py - half an hour (MINUTES=) of everything at once: memory, descriptors and files are as flat at the end as they were.
import http.client
import os
import random
import threading
import time

import kill_loop
import raw
import table
import talk
from daemon import FILE, Daemon, descriptors, rss_bytes
from disk import file_of

MIB = 1 << 20
SAMPLE_SECONDS = 2.0
PLANS = ["gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"]


def job(daemon, chance, counts):
    """From submission to deletion; some are cancelled, some watched."""
    made = daemon.ask("POST", "/v1/jobs", chance.choice(kill_loop.BODIES))
    if made.status != 202:
        return made.status
    path = "/v1/jobs/" + made.json()["id"]
    what = chance.randrange(4)
    if what == 0:
        daemon.ask("POST", path + "/cancel")
    if what == 1:
        daemon.ask("GET", path + "/events", seconds=120)
    until = time.monotonic() + 120
    while daemon.ask("GET", path).json()["state"] in ("queued", "running") and time.monotonic() < until:
        time.sleep(0.01)
    daemon.status("GET", path + "/tensors")
    counts["jobs"] = counts.get("jobs", 0) + 1
    return daemon.status("DELETE", path)


def upload(daemon, chance, counts):
    made = daemon.ask("POST", "/v1/tensors", file_of(chance.randrange(1 << 30), chance.choice((64, 5000, 300000))), FILE)
    if made.status != 201:
        return made.status
    path = "/v1/tensors/" + made.json()["tensor"]
    daemon.status("GET", path)
    return daemon.status("DELETE", path)


def plan(daemon, chance, counts):
    query = "model=%s&seq_len=%d&strategy=every_layer" % (chance.choice(PLANS), 64 * chance.randint(1, 16))
    return daemon.status("GET", "/v1/plans?" + query)


def frontier(daemon, chance, counts):
    body = b'{"workload": {"model": "gpt2", "seq_len": %d}, "points": 5}' % (64 * chance.randint(1, 16))
    return daemon.status("POST", "/v1/frontiers", body, seconds=60)


def rude(daemon, chance, counts):
    """A row of the raw table: what it is answered is looked at there."""
    steps = chance.choice([steps for _, steps, _ in raw.CASES if isinstance(steps, bytes)])
    talk.converse(daemon, [steps, chance.choice(("half", "reset"))], seconds=2, quiet=0.05)
    return 200


def leave(daemon, chance, counts):
    """Watches a job that is not there, and goes in the middle of an answer."""
    talk.converse(daemon, [b"GET /v1/models HTTP/1.1\r\n" + raw.H + b"\r\n", "reset"])
    return daemon.status("GET", "/v1/jobs/none/events")


KINDS = (job, job, job, upload, plan, plan, frontier, rude, leave)


def client(daemon, number, over, counts, wrong):
    chance = random.Random(number)
    while not over.is_set():
        act = chance.choice(KINDS)
        try:
            status = act(daemon, chance, counts)
        except (OSError, http.client.HTTPException) as e:
            wrong.append("%s: %r" % (act.__name__, e))
            continue
        counts["requests"] = counts.get("requests", 0) + 1
        if status >= 500 and status != 503:
            wrong.append("%s: %d" % (act.__name__, status))
        time.sleep(0.01)


def sample(daemon):
    files, size = 0, 0
    for directory, _, names in os.walk(daemon.data):
        files += len(names)
        size += sum(os.path.getsize(os.path.join(directory, name)) for name in names if name.startswith("rematd.db"))
    front = daemon.process.pid
    return {
        "front": rss_bytes(front),
        "workers": sum(rss_bytes(pid) for pid in daemon.children()),
        "fds": descriptors(front),
        "files": files,
        "db": size,
    }


def slope(values, seconds_each):
    """Least squares, per hour."""
    n = len(values)
    mean = sum(values) / n
    middle = (n - 1) / 2
    below = sum((i - middle) ** 2 for i in range(n)) or 1
    return sum((i - middle) * (v - mean) for i, v in enumerate(values)) / below * 3600 / seconds_each


def run(rows, long):
    minutes = float(os.environ.get("MINUTES", 30))
    counts, wrong, samples, over = {}, [], [], threading.Event()
    with Daemon("--threads", "1") as daemon:
        daemon.start()
        threads = [threading.Thread(target=client, args=(daemon, i, over, counts, wrong)) for i in range(6)]
        for thread in threads:
            thread.start()
        until = time.monotonic() + 60 * minutes
        while time.monotonic() < until and daemon.alive() and len(wrong) < 20:
            time.sleep(SAMPLE_SECONDS)
            try:
                samples.append(sample(daemon))
            except OSError:
                continue  # a file or worker went while we looked
        over.set()
        for thread in threads:
            thread.join()
        daemon.idle(60)
        time.sleep(1)
        last = sample(daemon)
        if daemon.stop():
            wrong.append("it ends with %d" % daemon.process.returncode)
    half = samples[len(samples) // 2 :]
    rise = slope([s["front"] for s in half], SAMPLE_SECONDS) / MIB
    grown = (half[-1]["front"] - half[0]["front"]) / MIB
    workers = (half[-1]["workers"] - half[0]["workers"]) / MIB
    if grown > 8 and rise * minutes / 60 / 2 > 8:
        wrong.append("the front grew by %.1f MiB" % grown)
    if workers > 32:
        wrong.append("the workers grew by %.1f MiB" % workers)
    if last["fds"] > samples[0]["fds"] + 8:
        wrong.append("descriptors: %d, then %d" % (samples[0]["fds"], last["fds"]))
    if last["files"] > 20:
        wrong.append("%d files are left" % last["files"])
    seen = "front %.1f MiB, %+.2f MiB/h; workers %.1f MiB, %+.1f; %d descriptors, %d files, store %.1f MiB" % (
        last["front"] / MIB,
        rise,
        last["workers"] / MIB,
        workers,
        last["fds"],
        last["files"],
        last["db"] / MIB,
    )
    done = "%g min, %d actions, %d jobs" % (minutes, counts.get("requests", 0), counts.get("jobs", 0))
    rows.add("soak: everything at once", done, "; ".join([*wrong[:4], seen]), not wrong)


if __name__ == "__main__":
    table.main(run)
