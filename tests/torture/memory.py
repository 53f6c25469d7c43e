#!/usr/bin/python3
# memory.py - a flood of jobs of 10 to 190 MiB where there are 256 MiB: all succeed, nobody is killed for memory.
#
# In a container where there is one: CONTAINER="podman" (or docker, with options) and an image, IMAGE=rematd (make image). Else
# the daemon is told its limit, and the pages of all its processes are counted.
import json
import os
import random
import shlex
import shutil
import subprocess
import tempfile
import threading
import time

import table
from daemon import Daemon

MIB = 1 << 20
LIMIT = 256 * MIB


def container():
    """The command that runs one, or None."""
    image = os.environ.get("IMAGE", "rematd")
    for words in [os.environ["CONTAINER"]] if os.environ.get("CONTAINER") else ["podman", "docker"]:
        command = shlex.split(words)
        if shutil.which(command[0]) and not subprocess.run([*command, "image", "inspect", image], capture_output=True).returncode:
            return command, image
    return None


class Contained(Daemon):
    """A daemon in a container of 256 MiB; its data directory is ours."""

    def __init__(self, engine, image):
        where = tempfile.mkdtemp(prefix="rematd-torture-")
        os.chmod(where, 0o777)
        self.engine, self.name = engine, "rematd-torture-%d" % os.getpid()
        options = "--network=host --memory=256m --memory-swap=256m --user=0:0".split()
        options += "--ulimit nofile=4096:4096 --ulimit nproc=4096:4096".split()
        command = [*engine, "run", "--name", self.name, *options, "-v", "%s:%s" % (where, where), image, "rematd"]
        super().__init__(workers=4, data=os.path.join(where, "data"), command=command)
        self.where = where

    def killed_for_memory(self):
        out = subprocess.run([*self.engine, "inspect", "-f", "{{.State.OOMKilled}}", self.name], capture_output=True, text=True)
        return out.stdout.strip() == "true"

    def __exit__(self, *args):
        subprocess.run([*self.engine, "rm", "-f", self.name], capture_output=True)
        super().__exit__(*args)
        shutil.rmtree(self.where, ignore_errors=True)


HEADS = (2, 4, 8, 12, 16, 20, 24, 28, 32, 38)
TOO_MANY = 64
AROUND = 16 * MIB  # what a worker has beside a job's slab


def body(chance, heads=None):
    """Heads of 1,024 positions, whose weights are 4 MiB each."""
    heads = heads or chance.choice(HEADS)
    tensor = {name: {"shape": [heads, 1024, 32], "random": {"seed": chance.randrange(99)}} for name in "qkv"}
    return json.dumps({"kind": "attention", "strategy": "standard", "backward": False, "inputs": tensor}).encode()


def pages_bytes(pids):
    """The memory of processes, what they share divided among them."""
    total = 0
    for pid in pids:
        try:
            with open("/proc/%d/smaps_rollup" % pid) as file:
                total += sum(int(line.split()[1]) << 10 for line in file if line.startswith("Pss:"))
        except (OSError, ValueError):
            pass
    return total


class Pages(threading.Thread):
    def __init__(self, daemon):
        super().__init__()
        self.of, self.most, self.over = daemon, 0, threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(0.02):
            self.most = max(self.most, pages_bytes([self.of.process.pid, *self.of.children()]))

    def end(self):
        self.over.set()
        self.join()
        return self.most


def flood(daemon, n, wrong):
    """Submits n jobs at once and waits; (their planned bytes, how many were refused as larger than all there is, seconds)."""
    chance, planned, refused, began = random.Random(7), {}, 0, time.monotonic()
    limit = daemon.ask("GET", "/version").json()["memory_limit_bytes"]
    for _ in range(n):
        answer = daemon.ask("POST", "/v1/jobs", body(chance))
        if answer.status == 422 and answer.json()["minimum_budget_bytes"] + AROUND > limit:
            refused += 1
            continue
        if answer.status != 202:
            wrong.append("a job is refused: %d %s" % (answer.status, answer.body[:200]))
            continue
        job = answer.json()
        planned[job["id"]] = job["planned"]["peak_bytes"]
    if daemon.status("POST", "/v1/jobs", body(chance, TOO_MANY)) != 422:
        wrong.append("a job that never fits is taken")
    if not daemon.idle(1200):
        wrong.append("jobs do not end")
    seconds = time.monotonic() - began
    for job in daemon.jobs():
        if job["state"] != "succeeded" or job["attempts"] != 1:
            wrong.append("a job of %d MiB %s: %s" % (planned[job["id"]] / MIB, job["state"], job["problem"]))
    return list(planned.values()), refused, seconds


def run(rows, long):
    n, wrong, found = 400 if long else 24, [], container()
    plain = Daemon("--memory-limit", "192M", "--threads", "1", workers=4)
    with Contained(*found) if found else plain as daemon:
        daemon.start(60)
        pages = None if found else Pages(daemon)
        planned, refused, seconds = flood(daemon, n, wrong)
        most = pages.end() if pages else 0
        if "signal 9" in daemon.said():
            wrong.append("a worker was killed")
        if found and daemon.killed_for_memory():
            wrong.append("the kernel killed for memory")
    if most > LIMIT:
        wrong.append("together they had %d MiB" % (most / MIB))
    if not planned or max(planned) < 100 * MIB:
        wrong.append("no job was large: at most %d MiB" % (max(planned, default=0) / MIB))
    done = "%d jobs, %.0f to %.0f MiB, %s" % (
        len(planned),
        min(planned, default=0) / MIB,
        max(planned, default=0) / MIB,
        "in a container of 256 MiB" if found else "limit 192 MiB, no container here",
    )
    seen = "%.1f jobs/s, %.0f MiB/s planned" % (n / seconds, sum(planned) / MIB / seconds)
    if refused:
        seen += "; %d larger than all there is: 422" % refused
    if most:
        seen += "; all processes at most %d MiB" % (most / MIB)
    rows.add("memory: a flood of jobs", done, "; ".join(wrong[:4]) or seen, not wrong)


if __name__ == "__main__":
    table.main(run)
