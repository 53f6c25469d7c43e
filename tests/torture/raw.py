#!/usr/bin/python3
# raw.py - requests as no client sends them, byte by byte, and what a daemon must answer: a table.
#
# tests/test_http_guard.c holds requests with two readings against the front alone; here the whole daemon answers, on its
# own routes, and time plays a part: slow, half closed, reset.
import json
import time
from concurrent.futures import ThreadPoolExecutor

import table
import talk
from daemon import Daemon

H = b"Host: localhost\r\n"
GET = b"GET /healthz HTTP/1.1\r\n" + H
NEXT = GET + b"\r\n"  # behind what is refused: must not be answered
BODY = json.dumps({"workload": {"model": "gpt2", "seq_len": 64}}).encode()
POST = b"POST /v1/plans HTTP/1.1\r\n" + H + b"Content-Type: application/json\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
CHUNK = b"%x\r\n%s\r\n" % (len(BODY), BODY)
END = b"0\r\n\r\n"
UPLOAD = b"POST /v1/tensors HTTP/1.1\r\n" + H + b"Content-Type: application/octet-stream\r\n"


def target(text):
    return b"GET " + text + b" HTTP/1.1\r\n" + H + b"\r\n" + NEXT


def header(line):
    return GET + line + b"\r\n\r\n" + NEXT


def host(*lines):
    return b"GET /healthz HTTP/1.1\r\n" + b"".join(b"Host:" + line + b"\r\n" for line in lines) + b"\r\n" + NEXT


def first(line):
    return line + b"\r\n" + H + b"\r\n" + NEXT


def drip(text, seconds, size=1):
    steps = []
    for at in range(0, len(text), size):
        steps += [text[at : at + size], seconds]
    return steps


# Every answer in order; a set where the library's versions differ or either reading is sound; 0: none, the connection is cut.
REFUSED = {400, 0}
CASES = [
    # where the body ends has one answer
    ("two lengths, the same", POST + LENGTH + LENGTH + b"\r\n" + BODY + NEXT, [400]),
    ("two lengths", POST + b"Content-Length: 2\r\n" + LENGTH + b"\r\n" + BODY + NEXT, [400]),
    ("a list of lengths", POST + b"Content-Length: 2, 2\r\n\r\n{}" + NEXT, [400]),
    ("length +2", POST + b"Content-Length: +2\r\n\r\n{}" + NEXT, [400]),
    ("length -1", POST + b"Content-Length: -1\r\n\r\n{}" + NEXT, [400]),
    ("length 0x2", POST + b"Content-Length: 0x2\r\n\r\n{}" + NEXT, [400]),
    ("length 2 4", POST + b"Content-Length: 2 4\r\n\r\n{}" + NEXT, [400]),
    ("length of 23 digits", POST + b"Content-Length: 99999999999999999999999\r\n\r\n{}" + NEXT, [{400, 413}]),
    ("length 2^64 + 2", POST + b"Content-Length: 18446744073709551618\r\n\r\n{}" + NEXT, [{400, 413}]),
    ("an empty length", POST + b"Content-Length:\r\n\r\n{}" + NEXT, [{400, 411}]),
    ("a space before the colon", POST + b"Content-Length : 2\r\n\r\n{}" + NEXT, [400]),
    ("length and chunks", POST + LENGTH + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK + END + NEXT, [400]),
    ("chunks and length", POST + b"Transfer-Encoding: chunked\r\n" + LENGTH + b"\r\n" + CHUNK + END + NEXT, [400]),
    ("chunked twice", POST + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n" + CHUNK + END + NEXT, [400]),
    ("gzip, chunked", POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + CHUNK + END + NEXT, [400]),
    ("identity", POST + b"Transfer-Encoding: identity\r\n" + LENGTH + b"\r\n" + BODY + NEXT, [400]),
    ("xchunked", POST + b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNK + END + NEXT, [400]),
    ("chunked behind a control character", POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n" + CHUNK + END + NEXT, [400]),
    ("chunked folded", POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + CHUNK + END + NEXT, [{400, 411}]),
    ("chunked in 1.0", CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + CHUNK + END + NEXT, [400]),
    ("length behind a folded line", POST + b"X-A: b\r\n Content-Length: 2\r\n" + LENGTH + b"\r\n" + BODY, [{200, 400}]),
    ("no length", POST + b"\r\n" + NEXT, [411]),
    ("a body for a GET", GET + b"Content-Length: 5\r\n\r\nhello" + NEXT, [400]),
    ("a chunked body for a GET", GET + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n" + END + NEXT, [400]),
    ("an empty body for a GET", GET + b"Content-Length: 0\r\n\r\n" + NEXT, [200, 200]),
    # chunks
    ("one chunk", CHUNKED + CHUNK + END + NEXT, [200, 200]),
    ("chunks of one byte", CHUNKED + b"".join(b"1\r\n%c\r\n" % c for c in BODY) + END + NEXT, [200, 200]),
    ("sizes with zeros in front", CHUNKED + b"0000" + CHUNK + END + NEXT, [{200, 400}, {200, 0}]),
    ("a chunk with an extension", CHUNKED + CHUNK.replace(b"\r\n", b";a=b\r\n", 1) + END + NEXT, [{200, 400}, {200, 0}]),
    ("trailers", CHUNKED + CHUNK + b"0\r\nX-A: b\r\n\r\n" + NEXT, [{200, 400}, {200, 0}]),
    ("a trailer that is a length", CHUNKED + CHUNK + b"0\r\nContent-Length: 9\r\n\r\n" + NEXT, [{200, 400}, {200, 0}]),
    ("a size that is none", CHUNKED + b"zz\r\n{}\r\n" + END + NEXT, [REFUSED]),
    ("a size below nothing", CHUNKED + b"-2\r\n{}\r\n" + END + NEXT, [REFUSED]),
    ("a size 0x2", CHUNKED + b"0x2\r\n{}\r\n" + END + NEXT, [REFUSED]),
    ("a size that overflows", CHUNKED + b"1" + b"0" * 16 + b"2\r\n{}\r\n" + END + NEXT, [{400, 413, 0}]),
    ("no end of line behind a chunk", CHUNKED + b"2\r\n{}XX" + END + NEXT, [REFUSED]),
    ("no size", CHUNKED + b"\r\n{}\r\n" + END + NEXT, [REFUSED]),
    # many requests on one connection
    ("three at once", NEXT * 3, [200, 200, 200]),
    ("a hundred at once", NEXT * 100, [200] * 100),
    ("a plan, then health", POST + LENGTH + b"\r\n" + BODY + NEXT, [200, 200]),
    ("one refused in the middle", NEXT + host(b" evil.example") + NEXT, [200, 421]),
    ("close, then more", GET + b"Connection: close\r\n\r\n" + NEXT, [200]),
    ("1.0 ends", b"GET /healthz HTTP/1.0\r\n" + H + b"\r\n" + NEXT, [200]),
    ("upgrade to h2c", GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n", [200]),
    ("upgrade to websocket", GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", [200]),
    ("expects 100", [POST + LENGTH + b"Expect: 100-continue\r\n\r\n", 0.1, BODY], [100, 200]),
    ("expects 100 for too much", UPLOAD + b"Content-Length: 99999999999999\r\nExpect: 100-continue\r\n\r\n", [413]),
    ("expects the unexpected", GET + b"Expect: 42\r\n\r\n", [{200, 417}]),
    # the request line
    ("an empty line in front", b"\r\n" + NEXT, [200]),
    ("a space in front", b" " + NEXT, [REFUSED]),
    ("two spaces between", first(b"GET  /healthz HTTP/1.1"), [{200, 400, 0}, {200, 0}]),
    ("a tab between", first(b"GET\t/healthz\tHTTP/1.1"), [REFUSED]),
    ("get", first(b"get /healthz HTTP/1.1"), [{501, 400}]),
    ("no method known", first(b"BREW /healthz HTTP/1.1"), [501]),
    ("a method that is no word", first(b"G@T /healthz HTTP/1.1"), [{501, 400}]),
    ("a long method", first(b"A" * 5000 + b" /healthz HTTP/1.1"), [{501, 400, 0}]),
    ("TRACE", first(b"TRACE /healthz HTTP/1.1"), [{501, 405}]),
    ("CONNECT", first(b"CONNECT localhost:22 HTTP/1.1"), [{501, 400}]),
    ("HTTP/0.9", b"GET /healthz\r\n\r\n", [{400, 505, 0}]),
    ("HTTP/1.9", first(b"GET /healthz HTTP/1.9"), [505]),
    ("HTTP/2.0", first(b"GET /healthz HTTP/2.0"), [505]),
    ("HTTP/1.1 and more", first(b"GET /healthz HTTP/1.1x"), [{505, 400}]),
    ("http/1.1", first(b"GET /healthz http/1.1"), [{505, 400}]),
    ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [{505, 400}]),
    ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", [REFUSED]),
    ("bare line feeds", NEXT.replace(b"\r\n", b"\n"), [{200, 400}]),
    ("a bare carriage return", header(b"X-A: b\rX-B: c"), [{200, 400, 0}, {200, 0}]),
    # addresses
    ("absolute", target(b"http://localhost/healthz"), [400]),
    ("without a slash", target(b"healthz"), [400]),
    ("OPTIONS *", first(b"OPTIONS * HTTP/1.1"), [400]),
    ("/../", target(b"/v1/../healthz"), [400]),
    ("/..", target(b"/v1/.."), [400]),
    ("/./", target(b"/./healthz"), [400]),
    ("/%2e%2E/", target(b"/v1/%2e%2E/healthz"), [400]),
    ("/.%2e/", target(b"/v1/.%2e/healthz"), [400]),
    ("%2f", target(b"/v1%2fjobs"), [400]),
    ("%5c", target(b"/v1/..%5chealthz"), [400]),
    ("a backslash", target(b"/v1\\jobs"), [400]),
    ("%252e%252e", target(b"/v1/%252e%252e/healthz"), [404]),
    ("two slashes", target(b"//healthz"), [404]),
    ("a path below a tensor", target(b"/v1/tensors/..%2f..%2frematd.db"), [400]),
    ("%00", target(b"/healthz%00"), [400]),
    ("NUL", target(b"/healthz\0x"), [REFUSED]),
    ("%", target(b"/healthz%"), [400]),
    ("%zz", target(b"/%zz"), [400]),
    ("%c0%af", target(b"/v1/jobs/%c0%af"), [{400, 404}]),
    ("a fragment", target(b"/healthz#x"), [400]),
    ("bytes beyond ASCII", target(b"/health\xc3\xa9"), [400]),
    ("a control character", target(b"/health\x01"), [400]),
    ("DEL", target(b"/health\x7f"), [400]),
    ("9,000 bytes", target(b"/" + b"a" * 9000), [414]),
    ("40,000 bytes", target(b"/" + b"a" * 40000), [{414, 431, 0}]),
    ("a query of %", target(b"/v1/jobs?state=%"), [400]),
    ("a query with %00", target(b"/v1/jobs?state=%00"), [400]),
    ("a parameter twice", target(b"/v1/jobs?state=queued&state=failed"), [{200, 400}, {200, 0}]),
    # hosts
    ("no Host", host(), [400]),
    ("two Hosts", host(b" localhost", b" localhost"), [400]),
    ("an empty Host", host(b""), [421]),
    ("another Host", host(b" evil.example"), [421]),
    ("localhost.evil", host(b" localhost.evil.example"), [421]),
    ("localhost, evil", host(b" localhost, evil.example"), [421]),
    ("somebody@localhost", host(b" a@localhost"), [421]),
    ("a port of letters", host(b" localhost:x"), [421]),
    ("no Host in 1.0", b"GET /healthz HTTP/1.0\r\n\r\n" + NEXT, [400]),
    # headers
    ("65 headers", GET + b"X-A: b\r\n" * 64 + b"\r\n" + NEXT, [431]),
    ("64 headers", GET + b"X-A: b\r\n" * 63 + b"\r\n" + NEXT, [200, 200]),
    ("a header of 100,000 bytes", header(b"X-A: " + b"b" * 100000), [{431, 0}]),
    ("a name with a space", header(b"X A: b"), [400]),
    ("no name", header(b": b"), [{200, 400}, {200, 0}]),
    ("no colon", header(b"X-A"), [{200, 400, 0}, {200, 0}]),
    ("a folded line", header(b"X-A: b\r\n c"), [{200, 400}, {200, 0}]),
    ("a folded first line", b"GET /healthz HTTP/1.1\r\n X: y\r\n" + H + b"\r\n" + NEXT, [{200, 400, 0}, {200, 0}]),
    ("a control character in a value", header(b"X-A: \x01"), [400]),
    ("UTF-8 in a value", header(b"X-A: \xc3\xa9"), [200, 200]),
    ("a compressed body", POST + LENGTH + b"Content-Encoding: gzip\r\n\r\n" + BODY + NEXT, [415]),
    ("no type", b"POST /v1/plans HTTP/1.1\r\n" + H + LENGTH + b"\r\n" + BODY + NEXT, [415]),
    ("a range that is none", GET + b"Range: bytes=9-1,-,a-b\r\n\r\n", [{200, 416, 400}]),
    # too much
    ("2 MiB announced", POST + b"Content-Length: 2097152\r\n\r\n" + b" " * 2097152, [413]),
    ("2 MiB in chunks", CHUNKED + b"10000\r\n%s\r\n" % (b" " * 65536) * 32 + END, [413]),
    ("2^53 announced, none sent", POST + b"Content-Length: 9007199254740992\r\n\r\n", [413]),
    # time: slow, half closed, gone
    ("a byte at a time", drip(NEXT, 0.002), [200]),
    ("a body, a byte at a time", [POST + LENGTH + b"\r\n", *drip(BODY, 0.002)], [200]),
    ("chunks cut anywhere", drip(CHUNKED + CHUNK + END + NEXT, 0.001, 3), [200, 200]),
    ("half closed behind a request", [NEXT, "half"], [200]),
    ("half closed behind a plan", [POST + LENGTH + b"\r\n" + BODY, "half"], [200]),
    ("half closed in the headers", [GET, "half"], [REFUSED]),
    ("half closed in the body", [POST + LENGTH + b"\r\n" + BODY[:9], "half"], [REFUSED]),
    ("half closed in a chunk", [CHUNKED + CHUNK[:9], "half"], [REFUSED]),
    ("half closed in an upload", [UPLOAD + b"Content-Length: 99999\r\n\r\n" + b"x" * 999, "half"], [REFUSED]),
    ("reset in the headers", [GET, 0.02, "reset"], []),
    ("reset in the body", [POST + LENGTH + b"\r\n" + BODY[:9], 0.02, "reset"], []),
    ("reset in an upload", [UPLOAD + b"Content-Length: 99999\r\n\r\n" + b"x" * 999, 0.02, "reset"], []),
    ("reset while it answers", [b"GET /openapi.json HTTP/1.1\r\n" + H + b"\r\n", "reset"], []),
    ("a thousand asked, none read, reset", [NEXT * 1000, "reset"], []),
    ("nothing, half closed", ["half"], [0]),
    ("nothing, reset", ["reset"], []),
    ("line ends alone", [b"\r\n" * 5000, "half"], [REFUSED]),
    ("HEAD, then GET", NEXT.replace(b"GET", b"HEAD") + NEXT, [200, 200]),
]


def fits(got, wanted):
    """Whether the answers are the ones the row wants; behind a 0, or what is not 200, nothing may follow."""
    padded = got + [0] * (len(wanted) - len(got))
    if len(padded) != len(wanted):
        return False
    for have, want in zip(padded, wanted):
        if have not in (want if isinstance(want, set) else {want}):
            return False
    refused = [i for i, status in enumerate(padded) if status not in (100, 200, 404, 411)]
    return not refused or not any(padded[refused[0] + 1 :])


def case(daemon, row):
    name, steps, wanted = row
    heads = steps.count(b"HEAD ") if isinstance(steps, bytes) else 0
    data, closed = talk.converse(daemon, steps)
    got = talk.answers(data, heads)
    if got[:1] == [404]:  # well formed: the connection may go on
        got = got[:1]
    if not fits(got, wanted):
        return "%s: %s, not %s" % (name, got, wanted)
    last = [status for status in got if status >= 200][-1:]
    if wanted and not closed and not (last and last[0] in (200, 404, 411)):
        return "%s: %s, and the connection stays open" % (name, got)
    return None


def run(rows, long):
    names = [row[0] for row in CASES]
    assert len(set(names)) == len(names) >= 60
    with Daemon(workers=0) as daemon:
        daemon.start()
        wrong = []
        for _ in range(20 if long else 1):
            with ThreadPoolExecutor(16) as pool:
                wrong += [said for said in pool.map(lambda row: case(daemon, row), CASES) if said]
        began = time.monotonic()
        if daemon.status("GET", "/readyz") != 200 or time.monotonic() - began > 1:
            wrong.append("the daemon is not well: %s" % daemon.said()[-200:])
        stopped = daemon.stop()
        if stopped:
            wrong.append("it ends with %d" % stopped)
    done = "%d requests%s" % (len(CASES), ", 20 times" if long else "")
    rows.add("raw requests", done, "; ".join(wrong[:8]) or "each answered as the table says", not wrong)


if __name__ == "__main__":
    table.main(run)
