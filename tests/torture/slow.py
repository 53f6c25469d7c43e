#!/usr/bin/python3
# slow.py - clients that are slow on purpose, or many: who behaves does not notice, who does not is answered or cut.
import json
import resource
import selectors
import shutil
import socket
import subprocess
import threading
import time

import table
import talk
from daemon import Daemon

P99_SECONDS = 0.1  # or three times what it is without slow clients, where the machine is busy with something else
H = b"Host: localhost\r\n"
PLAN = "/v1/plans?model=gpt2&seq_len=64&strategy=every_layer"
LONG_JOB = json.dumps(
    {
        "kind": "sequential",
        "inputs": [{"shape": [1, 256, 64], "random": {"seed": 1}}],
        "functions": [{"name": "layer", "repeat": 4, "functions": [{"name": "attention", "heads": 2, "projections": False}]}],
    }
)


def files_allow():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Normal(threading.Thread):
    """A client that behaves, and how long it waits."""

    def __init__(self, daemon):
        super().__init__()
        self.daemon_, self.waits, self.statuses, self.over = daemon, [], {}, threading.Event()
        self.start()

    def run(self):
        while not self.over.is_set():
            began = time.monotonic()
            status = self.daemon_.status("GET", PLAN, seconds=10)
            self.waits.append(time.monotonic() - began)
            self.statuses[status] = self.statuses.get(status, 0) + 1
            time.sleep(0.005)

    def p99(self):
        waits = sorted(self.waits)
        return waits[min(len(waits) - 1, len(waits) * 99 // 100)]

    def alone(self, seconds):
        """Looks how it is without the others, and begins to count."""
        time.sleep(seconds)
        self.limit = max(P99_SECONDS, 3 * self.p99()) if self.waits else 3 * seconds
        self.waits.clear()

    def end(self):
        """(p99 in seconds, whether it is soon enough and every answer was 200)"""
        self.over.set()
        self.join()
        return self.p99(), self.p99() < self.limit and set(self.statuses) == {200}


# What a slow client has to say in pieces; "read": it says all and hardly listens.
KINDS = {
    "header": (b"GET /healthz HTTP/1.1\r\n" + H, b"X-%d: y\r\n"),
    "body": (b"POST /v1/plans HTTP/1.1\r\n" + H + b"Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n", b"    "),
    "upload": (b"POST /v1/tensors HTTP/1.1\r\n" + H + b"Content-Length: 100000\r\n\r\n", b"abcd"),
    "read": (b"GET /openapi.json HTTP/1.1\r\n" + H + b"\r\n", None),
}


def open_slow(daemon, kind, n):
    out = []
    for _ in range(n):
        s = socket.socket()
        if kind == "read":
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        s.settimeout(5)
        s.connect(("127.0.0.1", daemon.port))
        s.sendall(KINDS[kind][0])
        s.setblocking(False)
        out.append(s)
    return out


def trickle(slow, kind, n):
    for s in slow:
        try:
            if kind == "read":
                s.recv(16)
            else:
                piece = KINDS[kind][1]
                s.send(piece % n if b"%d" in piece else piece)
        except OSError:
            pass


def own(rows, long):
    n, seconds = (400, 20) if long else (200, 0.8)
    for kind in KINDS:
        with Daemon("--connections", str(2 * n), workers=0) as daemon:
            daemon.start()
            normal = Normal(daemon)
            normal.alone(0.4)
            slow = open_slow(daemon, kind, n)
            until, piece = time.monotonic() + seconds, 0
            while time.monotonic() < until:
                trickle(slow, kind, piece)
                piece += 1
                time.sleep(0.1)
            p99, good = normal.end()
            for s in slow:
                s.close()
            good = good and daemon.status("GET", "/readyz") == 200
        seen = "p99 of %d others %.1f ms, %s" % (len(normal.waits), 1000 * p99, normal.statuses)
        rows.add("slow %s" % kind, "%d connections, %g s" % (n, seconds), seen, good)


def cut(rows, long):
    """A byte a second is no way to keep a connection: headers have 20 s."""
    with Daemon(workers=0) as daemon:
        daemon.start()
        slow = open_slow(daemon, "header", 20)
        began, ended = time.monotonic(), []
        while len(ended) < len(slow) and time.monotonic() - began < 40:
            trickle(slow, "header", 1)
            for s in slow:
                try:
                    if s not in ended and s.recv(1000) == b"":
                        ended.append(s)
                except BlockingIOError:
                    pass
                except OSError:
                    ended.append(s)
            time.sleep(0.5)
        seconds = time.monotonic() - began
    seen = "%d cut after %.0f s" % (len(ended), seconds)
    rows.add("slow headers end", "20 connections, a line each 0.5 s", seen, len(ended) == 20)


def slowhttptest(rows, long):
    if not shutil.which("slowhttptest"):
        rows.add("slowhttptest", "-", "the package slowhttptest is not here", None)
        return
    modes = {
        "headers": ["-H", "-i", "2", "-x", "24", "-u", "/healthz"],
        "body": ["-B", "-i", "2", "-s", "8192", "-x", "10", "-f", "application/json", "-u", "/v1/plans"],
        "read": ["-X", "-w", "10", "-y", "20", "-n", "2", "-z", "16", "-k", "3", "-u", "/openapi.json"],
    }
    for name, (*flags, path) in modes.items():
        with Daemon("--connections", "1000", workers=0) as daemon:
            daemon.start()
            normal = Normal(daemon)
            normal.alone(1)
            url = "http://localhost:%d%s" % (daemon.port, path)
            command = "slowhttptest -c 500 -r 250 -l 30 -p 3".split()
            done = subprocess.run([*command, *flags, url], capture_output=True, text=True, timeout=120)
            p99, good = normal.end()
            good = good and done.returncode == 0 and daemon.status("GET", "/readyz") == 200
        seen = "p99 of %d others %.1f ms, %s" % (len(normal.waits), 1000 * p99, normal.statuses)
        rows.add("slowhttptest, %s" % name, "500 connections, 30 s", seen, good)


def crowd(daemon, n, request, seconds, enough):
    """n connections at once; each says request and stays. {status: how many} and [(status, socket)]; 0: cut, None:
    unanswered."""
    counts, open_ = {}, []
    selector = selectors.DefaultSelector()
    for _ in range(n):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(("127.0.0.1", daemon.port))
        selector.register(s, selectors.EVENT_WRITE, b"")
    left, until = n, time.monotonic() + seconds
    while left and time.monotonic() < until:
        for key, events in selector.select(0.1):
            s, data, over = key.fileobj, key.data, None
            try:
                if events & selectors.EVENT_WRITE:
                    s.send(request)
                    selector.modify(s, selectors.EVENT_READ, b"")
                    continue
                piece = s.recv(65536)
                data += piece
                over = None if piece and not enough(data) else (talk.answers(data)[:1] or [0])[0]
            except BlockingIOError:
                continue
            except OSError:
                over = 0
            if over is None:
                selector.modify(s, selectors.EVENT_READ, data)
                continue
            counts[over] = counts.get(over, 0) + 1
            selector.unregister(s)
            open_.append((over, s))
            left -= 1
    open_ += [(None, key.fileobj) for key in selector.get_map().values()]
    selector.close()
    if left:
        counts[None] = left
    return counts, open_


def tell(counts):
    names = {0: "cut", None: "unanswered"}
    return ", ".join("%d x %s" % (n, names.get(status, status)) for status, n in sorted(counts.items(), key=str))


def many(rows, long):
    """Far more connections than are allowed, and as many as are."""
    n = 5000 if long else 1000
    request = b"GET /v1/strategies HTTP/1.1\r\n" + H + b"\r\n"
    whole = lambda data: b"\r\n\r\n" in data and talk.answers(data)[:1] != [-1]
    for limit in (256, n + 1000):
        with Daemon("--connections", str(limit), workers=0) as daemon:
            daemon.start()
            counts, sockets = crowd(daemon, n, request, 30 if long else 8, whole)
            for _, s in sockets:
                s.close()
            until = time.monotonic() + 5
            while daemon.status("GET", PLAN) != 200 and time.monotonic() < until:
                time.sleep(0.05)
            good = daemon.status("GET", PLAN) == 200 and None not in counts
            good = good and (limit < n or counts == {200: n})
        rows.add("%d connections, %d allowed" % (n, limit), "each asks once and stays", tell(counts), good)


def streams(rows, long):
    """A thousand who watch one job."""
    n = 1000
    with Daemon("--connections", "4000", workers=0) as daemon:
        daemon.start()
        job = daemon.ask("POST", "/v1/jobs", LONG_JOB).json()["id"]
        request = b"GET /v1/jobs/%s/events HTTP/1.1\r\n" % job.encode() + H + b"\r\n"
        begun = lambda data: b"queued" in data or data.startswith(b"HTTP/1.1 5")
        counts, sockets = crowd(daemon, n, request, 15, begun)
        watching = counts.get(200, 0)
        normal = daemon.status("GET", PLAN)
        daemon.ask("POST", "/v1/jobs/%s/cancel" % job)
        ended, until = 0, time.monotonic() + 10
        for status, s in sockets:
            s.settimeout(max(0.01, until - time.monotonic()))
            try:
                ended += status == 200 and b"cancelled" in s.recv(65536)
            except OSError:
                pass
            s.close()
        good = set(counts) <= {200, 503} and watching >= 100 and ended == watching and normal == 200
    rows.add("%d event streams" % n, "of one job, then it is cancelled", "%s; %d heard the end" % (tell(counts), ended), good)


def run(rows, long):
    files_allow()
    own(rows, long)
    many(rows, long)
    streams(rows, long)
    if long:
        cut(rows, long)
        slowhttptest(rows, long)


if __name__ == "__main__":
    table.main(run)
