#!/usr/bin/python3
# mutate.py - raw.py's requests, changed at random, at a real daemon: it lives, answers no 500, and serves others meanwhile.
import os
import random
import threading
import time

import raw
import table
import talk
from daemon import TINY, Daemon

SECONDS = 4
CLIENTS = 8
ALLOWED = {501, 503, 505, 507}
WORDS = [
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b"%00", b"%2f", b"..", b"/", b"?", b"&", b"=", b";", b",",
    b"Content-Length: ", b"Transfer-Encoding: chunked\r\n", b"Host: localhost\r\n", b"Expect: 100-continue\r\n",
    b"Connection: close\r\n", b"HTTP/1.1", b"HTTP/1.0", b"0\r\n\r\n", b"ffffffffffffffff", b"-1", b"\xff", b"{", b"[", b'"',
    b"Range: bytes=0-", b"Last-Event-ID: 1\r\n", b"If-None-Match: *\r\n", b"Prefer: wait=1\r\n", b"Accept: */*\r\n",
]  # fmt: skip
PATHS = [
    b"/", b"/healthz", b"/readyz", b"/version", b"/metrics", b"/openapi.json", b"/v1/jobs?page_size=2", b"/v1/strategies",
    b"/v1/models", b"/v1/devices", b"/v1/kernels", b"/v1/plans?model=gpt2&seq_len=64", b"/v1/jobs/none/events",
    b"/v1/capacity?model=gpt2&seq_len=64&find=batch&device=t4-16gb", b"/v1/tensors/sha256:" + b"0" * 64,
    b"/v1/memory-savings?seq_len=64&d_model=32&num_layers=2",
]  # fmt: skip


def seeds():
    for _, steps, _ in raw.CASES:
        text = steps if isinstance(steps, bytes) else b"".join(step for step in steps if isinstance(step, bytes))
        if len(text) < 5000:
            yield text
    for path in PATHS:
        for method in (b"GET", b"HEAD", b"DELETE", b"OPTIONS"):
            yield method + b" " + path + b" HTTP/1.1\r\n" + raw.H + b"\r\n"
    for path in (b"/v1/jobs", b"/v1/explain", b"/v1/plans", b"/v1/frontiers", b"/v1/capacity"):
        for body in (TINY, raw.BODY):
            length = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
            yield b"POST " + path + b" HTTP/1.1\r\n" + raw.H + length + body


def mutate(text, all_seeds, chance):
    text = bytearray(text)
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        at, to = sorted(chance.randrange(len(text) + 1) for _ in range(2))
        what = chance.randrange(7)
        if what == 0 and text:
            text[min(at, len(text) - 1)] ^= 1 << chance.randrange(8)
        elif what == 1:
            del text[at : min(to, at + 20)]
        elif what == 2:
            text[at:at] = text[at : min(to, at + 100)]
        elif what in (3, 4):
            text[at:at] = chance.choice(WORDS)
        elif what == 5:
            other = chance.choice(all_seeds)
            text[at:] = other[chance.randrange(len(other) + 1) :]
        else:
            text[at : at + 1] = bytes([chance.randrange(256)])
    return bytes(text)


def client(daemon, number, seed, until, counts, wrong):
    chance, all_seeds, n = random.Random(seed * 1000 + number), list(seeds()), 0
    while time.monotonic() < until and len(wrong) < 5:
        text = mutate(chance.choice(all_seeds), all_seeds, chance)
        try:
            data, _ = talk.converse(daemon, [text, "half"], seconds=3, quiet=0.02)
        except OSError as e:
            wrong.append("cannot connect: %s" % e)
            return
        n += 1
        for status in set(talk.answers(data)):
            counts[status] = counts.get(status, 0) + 1
            if status >= 500 and status not in ALLOWED:
                wrong.append("%d to %r" % (status, text[:300]))
    counts["requests"] = counts.get("requests", 0) + n


def normal(daemon, until, waits, wrong):
    while time.monotonic() < until:
        began = time.monotonic()
        status = daemon.status("GET", "/v1/plans?model=gpt2&seq_len=64", seconds=5)
        waits.append(time.monotonic() - began)
        if status != 200:
            wrong.append("a normal client gets %d" % status)
        time.sleep(0.01)


def run(rows, long):
    seed = int(os.environ.get("SEED", 0)) or (random.randrange(1 << 30) if long else 1)
    seconds = int(os.environ.get("SECONDS_EACH", 0)) or (120 if long else SECONDS)
    counts, waits, wrong = {}, [], []
    with Daemon(workers=0) as daemon:
        daemon.start()
        until = time.monotonic() + seconds
        threads = [threading.Thread(target=client, args=(daemon, i, seed, until, counts, wrong)) for i in range(CLIENTS)]
        threads.append(threading.Thread(target=normal, args=(daemon, until, waits, wrong)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if not daemon.alive() or daemon.status("GET", "/healthz") != 200:
            wrong.append("the daemon is not well: %s" % daemon.said()[-300:])
        elif daemon.stop():
            wrong.append("it ends with %d" % daemon.process.returncode)
    n = counts.pop("requests", 0)
    kinds = {kind: sum(c for status, c in counts.items() if status // 100 == kind) for kind in (2, 3, 4, 5)}
    seen = ", ".join("%d x %dxx" % (c, kind) for kind, c in kinds.items())
    seen += "; a normal client waits at most %.0f ms" % (1000 * max(waits, default=0))
    done = "%d in %d s, seed %d" % (n, seconds, seed)
    rows.add("raw requests, mutated", done, "; ".join(wrong[:4]) or seen, not wrong and n > 50)


if __name__ == "__main__":
    table.main(run)
