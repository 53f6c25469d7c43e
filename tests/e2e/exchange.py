# exchange.py - what record.py kept, read as HTTP: requests and the answers to them, in pairs.
import collections
import glob
import gzip
import os

Message = collections.namedtuple("Message", "line headers body complete")
Exchange = collections.namedtuple("Exchange", "method target asked status headers body complete")


def chunks(data, at):
    """The chunked body at `at`: its bytes, where it ends, whether it ends at all."""
    body = b""
    while (end := data.find(b"\r\n", at)) >= 0:
        size = int(data[at:end].split(b";")[0], 16)
        body += data[end + 2 : end + 2 + size]
        at = end + 2 + size + 2
        if size == 0:
            return body, at, at <= len(data)
    return body, len(data), False


def message(data, at, has_body):
    """The message at `at` and where the next one begins. Lenient: what is no HTTP is a body."""
    end = data.find(b"\r\n\r\n", at)
    if end < 0:
        return Message(data[at:].split(b"\r\n")[0].decode("latin-1"), [], b"", False), len(data)
    first, *lines = data[at:end].decode("latin-1").split("\r\n")
    headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    fields, at = dict(headers), end + 4
    try:
        if not has_body(first):
            return Message(first, headers, b"", True), at
        if "chunked" in fields.get("transfer-encoding", ""):
            body, at, complete = chunks(data, at)
            return Message(first, headers, body, complete), at
        size = int(fields.get("content-length", 0))
    except ValueError:
        size = len(data)
    return Message(first, headers, data[at : at + size], at + size <= len(data)), at + size


def answers(data, methods):
    at, n = 0, 0
    while at < len(data):
        method = methods[n] if n < len(methods) else "?"
        bare = lambda line: method == "HEAD" or line.split(" ")[1:2] in (["204"], ["304"]) or " 1" in line[8:10]
        answer, at = message(data, at, lambda line: not bare(line))
        if answer.line.split(" ")[1:2] and not answer.line.split(" ")[1].startswith("1"):  # 100 Continue
            n += 1
            yield answer


def requests(data):
    at = 0
    while at < len(data):
        request, at = message(data, at, lambda line: True)
        yield request


def connection(path):
    with open(path + ".request", "rb") as asked, open(path + ".answer", "rb") as answered:
        asks = list(requests(asked.read()))
        methods = [ask.line.split(" ")[0] for ask in asks]
        for ask, answer in zip(asks, answers(answered.read(), methods)):
            method, target = (ask.line.split(" ") + ["", ""])[:2]
            status = answer.line.split(" ")[1]
            zipped = answer.complete and answer.body and dict(answer.headers).get("content-encoding") == "gzip"
            body = gzip.decompress(answer.body) if zipped else answer.body
            yield Exchange(method, target, ask, int(status), answer.headers, body, answer.complete)


def read(directory):
    for path in sorted(glob.glob(os.path.join(directory, "*.answer"))):
        yield from connection(path[: -len(".answer")])
