#!/usr/bin/python3
# api.py - requests made from docs/openapi.json, and every answer held against it: api.py URL [--requests N] [--seed S]
# [--seconds S]
#
# Every operation in turn: a request that its schemas allow, or one with something wrong in it. Whatever is asked, the answer
# must be one that the document declares (status, headers, content type, schema) and none of 5xx but 503 and 507; what is
# answered yes, the document must take too; and what it takes may be impossible (422) but not malformed (400). In the end
# the daemon is alive, and no job has lost its worker. The same seed makes the same requests, but for the ids of jobs.
import argparse
import collections
import http.client
import json
import os
import random
import struct
import sys
import time
import urllib.parse

here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [here, os.path.join(here, "..", "e2e")]
import api_values  # noqa: E402
import exchange  # noqa: E402
import openapi  # noqa: E402

FINAL = ("succeeded", "failed", "cancelled")
NOBODY = "01a22d4c-813a-7000-898d-2850dadb6d61"  # an id that no job has
MINE = ("crash", "internal")  # in the slug of a failed job's problem: our defect
STREAMS = ("text/event-stream", "application/x-ndjson")
TIMEOUT, STREAM_SECONDS, STREAM_BYTES = 120, 0.3, 1 << 16
Request = collections.namedtuple("Request", "method target headers body fits")


class Daemon:
    """One connection, opened again where the daemon closes it."""

    def __init__(self, url):
        self.address = urllib.parse.urlsplit(url).netloc
        self.connection = http.client.HTTPConnection(self.address, timeout=TIMEOUT)

    def ask(self, r):
        """The exchange, as openapi.py reads it."""
        for fresh in (False, True):
            try:
                self.connection.request(r.method, r.target, r.body, dict(r.headers))
                socket = self.connection.sock  # the answer's alone where the daemon closes
                answer = self.connection.getresponse()
                break
            except (http.client.RemoteDisconnected, ConnectionError, BrokenPipeError):
                self.connection.close()
                if fresh:
                    raise
        body, complete = self.read(answer, socket)
        if answer.will_close or not complete:
            self.connection.close()
        else:
            socket.settimeout(TIMEOUT)
        asked = exchange.Message("", [(n.lower(), v) for n, v in r.headers], r.body or b"", True)
        headers = [(n.lower(), v) for n, v in answer.getheaders()]
        return exchange.Exchange(r.method, r.target, asked, answer.status, headers, body, complete)

    def read(self, answer, socket):
        """Body, and whether that is all: a stream is left where it falls silent, or has said a good deal."""
        if answer.getheader("Content-Type", "").split(";")[0] not in STREAMS:
            try:
                return answer.read(), True
            except http.client.IncompleteRead as e:
                return e.partial, False
        socket.settimeout(STREAM_SECONDS)
        body = b""
        try:
            while len(body) < STREAM_BYTES:
                piece = answer.read1()
                if not piece:
                    return body, True
                body += piece
        except (TimeoutError, http.client.IncompleteRead):
            pass
        return body, False

    def json(self, method, path, body=None):
        headers = [("Content-Type", "application/json")] if body else []
        return json.loads(self.ask(Request(method, path, headers, json.dumps(body).encode() if body else None, True)).body)


# ---- files of tensors ----


def npy(rng, shape):
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }" % "".join("%d, " % n for n in shape)
    header = header.ljust(117) + "\n"
    n = 1
    for d in shape:
        n *= d
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + rng.randbytes(4 * n)


def safetensors(rng, shape):
    n = 4
    for d in shape:
        n *= d
    header = {name: {"dtype": "F32", "shape": shape, "data_offsets": [i * n, (i + 1) * n]} for i, name in enumerate("qk")}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + rng.randbytes(2 * n)


def tamed(query):
    """A search for the most layers plans models of every depth: under strategies that choose, that is no cheap question."""
    strategy = query.get("strategy")
    strategy = strategy.get("name") if isinstance(strategy, dict) else strategy
    if query.get("find") == "layers" and strategy in ("optimal", "greedy", "revolve"):
        query["find"] = "batch"
    return query


def bytes_spoilt(rng, data):
    at = rng.randrange(len(data))
    return rng.choice((data[:at], data + b"\0", data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :], b"", data[8:]))


# ---- requests ----


class Source:
    def __init__(self, document, known, seed):
        self.document = document
        self.known = known
        self.seed = seed
        self.operations = [o for o in document.operations()]
        self.weights = [5 if "requestBody" in o and "tensors" not in p else 2 if "{" in p or "parameters" in o else 1 for _, p, o in self.operations]

    def request(self, number):
        rng = random.Random("%s/%d" % (self.seed, number))
        method, path, operation = rng.choices(self.operations, self.weights)[0]
        maker = api_values.Maker(self.document.resolve, rng, self.known)
        wrong = rng.random() < 0.55
        where = rng.choice(("body", "body", "body", "query", "path", "headers", "method")) if wrong else ""
        parameters = [self.document.resolve(p) for p in self.document.json["paths"][path].get("parameters", []) + operation.get("parameters", [])]
        headers = self.headers(maker, parameters, where)
        body, fits = self.body(maker, operation, headers, where)
        target = self.path(maker, path, parameters, where) + self.query(maker, parameters, where)
        if where == "method":
            method = rng.choice(("PATCH", "OPTIONS", "DELETE", "PUT", "POST", "HEAD", "GET", "TRACE", "X"))
        return Request(method, target, headers, body, fits and not wrong)

    def path(self, maker, path, parameters, where):
        for p in parameters:
            if p["in"] != "path":
                continue
            value = str(maker.value(p["schema"], p["name"]))
            if where == "path":
                value = maker.rng.choice(api_values.STRINGS[1:] + [value[:-1], value + "0", value.upper(), "sha256:" + "0" * 64])
            path = path.replace("{%s}" % p["name"], urllib.parse.quote(value.encode("utf-8", "replace"), safe=":"))
        return path + (maker.rng.choice(("/", "/x", "x", "//")) if where == "path" and maker.rng.random() < 0.2 else "")

    def query(self, maker, parameters, where):
        rng = maker.rng
        pairs = []
        for p in (p for p in parameters if p["in"] == "query"):
            if p.get("required") or rng.random() < 0.25:
                value = maker.value(p["schema"], p["name"])
                pairs.append((p["name"], str(value).lower() if isinstance(value, bool) else str(value)))
        pairs = list(tamed(dict(pairs)).items())
        if where == "query":
            what = rng.choice(("add", "drop", "double", "value", "value"))
            if what == "add" or not pairs:
                pairs.append((rng.choice(("unknown", "", "Model")), "1"))
            elif what == "drop":
                pairs.pop(rng.randrange(len(pairs)))
            elif what == "double":
                pairs.append(rng.choice(pairs))
            else:
                i = rng.randrange(len(pairs))
                value = rng.choice(api_values.EXTREMES + api_values.REALS + api_values.STRINGS)
                pairs[i] = (pairs[i][0], str(api_values.capped(value, pairs[i][0])))
        return "?" + urllib.parse.urlencode(pairs, errors="replace") if pairs else ""

    def headers(self, maker, parameters, where):
        rng = maker.rng
        headers = []
        for p in (p for p in parameters if p["in"] == "header"):
            if rng.random() < 0.4:
                headers.append((p["name"], str(maker.value(p["schema"], p["name"])).encode().decode("latin-1")))
        if rng.random() < 0.1:
            headers.append(("Accept", rng.choice(("*/*", "application/json", "application/*;q=0.5, */*"))))
        if where == "headers":
            headers.append(
                rng.choice(
                    (
                        ("Accept", rng.choice(("text/html", "application/x-npy", "application/x-ndjson", ";;", "*/*;q=0"))),
                        ("Prefer", rng.choice(("wait", "wait=-1", "wait=1e3", "return=minimal", "wait=99999999999999999999"))),
                        ("Idempotency-Key", rng.choice(("", "k" * 256, "\u00e9", "a b", "same"))),
                        ("If-None-Match", rng.choice(("*", '"x"', "W/", '"' * 99))),
                        ("Last-Event-ID", rng.choice(("-1", "x", "99999999999999999999", "1.5"))),
                        ("Range", rng.choice(("bytes=0-1", "bytes=9-1", "x"))),
                        ("Content-Encoding", "gzip"),
                        ("Host", rng.choice(("", "evil.example", "localhost:1", "a b"))),
                        ("Authorization", "Bearer x"),
                        ("X-Long", "x" * 9000),
                    )
                )
            )
        return headers

    def body(self, maker, operation, headers, where):
        """(bytes or None, whether they fit). Adds their Content-Type to headers."""
        rng = maker.rng
        content = operation.get("requestBody", {}).get("content")
        if not content:
            return (rng.choice((b"{}", b"x")), False) if where == "body" and rng.random() < 0.2 else (None, True)
        kind = rng.choice(list(content))
        stated = kind if where != "headers" or rng.random() < 0.7 else rng.choice(("text/plain", "application/json; charset=latin1", ""))
        headers.append(("Content-Type", stated))
        if "json" not in kind:
            shape = [rng.randint(0, 4) for _ in range(rng.randint(0, 4))]
            data = rng.choice((npy, safetensors))(rng, shape)
            return (bytes_spoilt(rng, data) if where == "body" else data), False  # a digest in the path, or a type, may differ
        media = content[kind]
        examples = [x["value"] for x in media.get("examples", {}).values()] + ([media["example"]] if "example" in media else [])
        value = rng.choice(examples) if examples and rng.random() < 0.2 else maker.value(media["schema"])
        if where == "body":
            for _ in range(rng.choice((1, 1, 1, 2, 4))):
                value = maker.spoil(value)
        value = api_values.capped(tamed(value) if isinstance(value, dict) else value)
        if where == "body" and rng.random() < 0.12:
            return maker.text(value), False
        return json.dumps(value).encode(), not any(self.document.faults(media["schema"], value, ""))


# ---- what must hold ----


def unsaid(r, problem):
    """What the document says in words alone: whether a length is needed is the model's affair, whether a name is the file's,
    and which parameters of a query go together."""
    if r.method == "GET":
        return problem["type"].endswith(("/missing-field", "/unknown-field"))
    return problem["type"].endswith("/missing-field") and problem["pointer"].endswith(("/workload/seq_len", "/name"))


def faults(document, r, e):
    for fault in openapi.exchange_faults(document, e):
        if not (fault.startswith("the question at /") and b'"queries"' in r.body):  # each is answered for itself, by a problem too
            yield fault
    if e.status >= 500 and e.status not in (503, 507, 501 if r.method == "X" or r.method == "TRACE" else 0):
        yield "a status of the daemon's own failing"
    if r.fits and e.status in (400, 411, 415) and not unsaid(r, json.loads(e.body)):
        yield "the document takes the request, the daemon calls it malformed: %s" % json.loads(e.body)


def learn(known, r, e):
    """Ids and digests for later requests."""
    if e.status not in (200, 201, 202) or r.method == "HEAD" or dict(e.headers).get("content-type") != "application/json":
        return
    body = json.loads(e.body)
    if r.target == "/v1/jobs" and isinstance(body.get("id"), str):
        known["id"].append(body["id"])
    if isinstance(body.get("tensor"), str):
        known["digest"].append(body["tensor"])
    known["page_token"] = known["id"]
    for name in ("id", "digest"):
        del known[name][:-20]


def jobs_faults(daemon, seconds):
    """Every job ends, and none because of us."""
    until = time.monotonic() + seconds
    for state in ("queued", "running"):
        while jobs := daemon.json("GET", "/v1/jobs?state=" + state)["jobs"]:
            if time.monotonic() > until:
                yield "job %s is %s still" % (jobs[0]["id"], state)
                break
            time.sleep(0.05)
    page = "/v1/jobs?state=failed"
    for job in daemon.json("GET", page)["jobs"]:
        if any(word in json.dumps(job["problem"]) for word in MINE):
            yield "job %s: %s" % (job["id"], job["problem"])


def seeds(daemon):
    """What strings may be, by name: asked for, or a fixed few."""
    presets = sorted(daemon.json("GET", "/v1/models")["models"], key=lambda m: m["parameters"])[:8]
    return {
        "model": [m["name"] for m in presets],
        "device": [d["name"] for d in daemon.json("GET", "/v1/devices")["devices"]],
        "strategy": [s["name"] for s in daemon.json("GET", "/v1/strategies")["strategies"]],
        "model_type": ["gpt2", "llama", "bert", "t5", "vit"],
        "dtype": ["float32", "bfloat16"],
        "attention": ["standard", "flash", "any"],
        "optimizer": ["adamw", "sgd", "none"],
        "framework": ["rematd"],
        "activation": ["gelu", "relu", "silu"],
        "ops": ["attention", "mlp", "norm", "attention_core"],
        "recompute": ["attention", "mlp"],
        "name": ["output", "grad_q", "grad_input", "q"],
        "id": [NOBODY],
        "page_token": [NOBODY],
        "label": ["team:a", "x:"],
        "last_event_id": ["0", "3", "latest"],
        "digest": [],
    }


def main():
    sys.stdout.reconfigure(line_buffering=True)
    options = argparse.ArgumentParser()
    options.add_argument("url")
    options.add_argument("--requests", type=int, default=1000)
    options.add_argument("--seed", default="1")
    options = options.parse_args()
    with open(os.path.join(here, "../../docs/openapi.json"), encoding="utf-8") as file:
        document = openapi.Document(json.load(file))
    daemon = Daemon(options.url)
    source = Source(document, seeds(daemon), options.seed)
    counts, slow, bad = collections.Counter(), [], 0
    began = time.monotonic()
    for number in range(options.requests):
        r = source.request(number)
        sent = time.monotonic()
        try:
            e = daemon.ask(r)
            found = list(faults(document, r, e))
            counts[e.status, r.fits] += 1
            learn(source.known, r, e)
        except (OSError, http.client.HTTPException) as error:
            found = ["no answer: %r" % error]
            daemon.connection.close()
        slow.append((time.monotonic() - sent, number, r))
        for fault in found[:1]:
            bad += 1
            print("FAULT  request %d: %s %s: %s" % (number, r.method, r.target[:300], fault))
            print("       headers %r body %r" % (r.headers, (r.body or b"")[:1500]))
    for fault in jobs_faults(daemon, 30):
        bad += 1
        print("FAULT  " + fault)
    if daemon.json("GET", "/healthz")["status"] != "ok":
        bad += 1
    print("%d requests of seed %s in %.1f s, %d of them by the document" % (options.requests, options.seed, time.monotonic() - began, sum(n for (_, fits), n in counts.items() if fits)))
    print("  ".join("%d x %d" % (s, sum(n for (t, _), n in counts.items() if t == s)) for s in sorted({s for s, _ in counts})))
    for seconds, number, r in sorted(slow, key=lambda s: -s[0])[:3]:
        print("slowest: %.2f s, request %d: %s %s" % (seconds, number, r.method, r.target[:100]))
    sys.exit(1 if bad else 0)


main()
