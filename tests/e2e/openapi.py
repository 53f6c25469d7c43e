#!/usr/bin/python3
# openapi.py - every recorded answer is one that docs/openapi.json promises: openapi.py DOCUMENT RECORDS [--every]
#
# Checked of an answer: its path, method, status, content type, headers and body; where it is a yes, that the document
# takes the question too. Then the document itself, with its examples, and the checker: faults planted in answers that
# passed must be found. With --every, every operation must have been answered yes at least once.
import collections
import copy
import datetime
import json
import re
import sys
import urllib.parse
import warnings

import exchange
import jsonschema

warnings.simplefilter("ignore", DeprecationWarning)

# Not part of the contract: what any HTTP answer may carry.
COMMON_HEADERS = {"date", "content-length", "content-type", "connection", "x-content-type-options", "transfer-encoding"}
COMMON_HEADERS |= {"vary", "access-control-allow-origin", "access-control-expose-headers"}  # to pages of other origins
# Of any answer of such a status.
NEEDED_HEADERS = {401: "www-authenticate", 405: "allow", 429: "retry-after", 503: "retry-after"}
formats = jsonschema.FormatChecker(())


@formats.checks("date-time", ValueError)
def is_date_time(text):
    return not isinstance(text, str) or bool(datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ"))


@formats.checks("uri-reference")
def is_uri_reference(text):
    return not isinstance(text, str) or re.fullmatch(r"[!#$%&'()*+,\-./:;=?@\[\]_~0-9A-Za-z]*", text) is not None


class Document:
    def __init__(self, document):
        self.json = document
        self.resolver = jsonschema.RefResolver("", document)
        self.validators = {}
        self.templates = []
        for path, item in document["paths"].items():
            pattern = re.sub(r"\\{[^}]*\\}", "([^/]+)", re.escape(path))
            self.templates.append((path, re.compile(pattern), item))
        self.templates.sort(key=lambda t: t[0].count("{"))

    def resolve(self, value):
        while "$ref" in value:
            value = self.resolver.resolve(value["$ref"])[1]
        return value

    def find(self, target):
        path = urllib.parse.unquote(target.partition("?")[0])
        return next(((t, item) for t, pattern, item in self.templates if pattern.fullmatch(path)), (None, {}))

    def faults(self, schema, value, what):
        """What is wrong with a value, most telling first; at most three of it."""
        key = json.dumps(schema, sort_keys=True)
        if key not in self.validators:
            self.validators[key] = jsonschema.Draft202012Validator(
                schema, resolver=self.resolver, format_checker=formats
            )
        errors = sorted(self.validators[key].iter_errors(value), key=jsonschema.exceptions.relevance, reverse=True)
        for error in errors[:3]:
            cause = jsonschema.exceptions.best_match([error])
            yield "%s at /%s: %s" % (what, "/".join(map(str, cause.absolute_path)), cause.message[:300])

    def operations(self):
        for path, item in self.json["paths"].items():
            for method in ("get", "head", "put", "post", "delete"):
                if method in item:
                    yield method.upper(), path, item[method]


# ---- one exchange ----


def text_value(schema, text):
    """A parameter or header as the type its schema names."""
    if schema.get("type") in ("integer", "number"):
        try:
            return json.loads(text)
        except ValueError:
            pass
    return text


def stream_items(kind, body):
    """The whole events of a stream, each as {"id", "event", "data"}; what is cut off at its end is none."""
    if kind == "application/x-ndjson":
        yield from map(json.loads, body.decode().split("\n")[:-1])
        return
    for block in body.decode().split("\n\n")[:-1]:
        lines = [line.partition(": ") for line in block.split("\n") if not line.startswith(":")]
        if lines:
            item = {name: value for name, _, value in lines}
            yield {**item, "id": json.loads(item.get("id", "null")), "data": json.loads(item.get("data", "null"))}


def stream_bytes(kind, items):
    if kind == "application/x-ndjson":
        return "".join(json.dumps(item) + "\n" for item in items).encode()
    lines = lambda item: ["%s: %s\n" % (k, json.dumps(v) if k in ("id", "data") else v) for k, v in item.items()]
    return "".join("".join(lines(item)) + "\n" for item in items).encode()


def stream_kind(headers):
    kind = dict(headers).get("content-type", "").partition(";")[0].strip()
    return kind if kind in ("text/event-stream", "application/x-ndjson") else None


def media_schema(content, headers):
    """(fault, schema) of a body: the schema that its Content-Type has in content."""
    kind = headers.get("content-type", "").partition(";")[0].strip()
    if kind not in content:
        return "content type %r is not declared: %s" % (kind, ", ".join(content) or "no body is"), None
    return None, content[kind].get("schema", {}) if kind.endswith("json") else None


def body_faults(document, content, headers, body, what):
    fault, schema = media_schema(content, headers)
    kind = stream_kind(headers)
    if fault:
        yield "%s: %s" % (what, fault)
    elif kind:
        try:
            for item in stream_items(kind, body):
                yield from document.faults(content[kind]["x-itemSchema"], item, "an event of " + what)
        except ValueError as e:
            yield "%s is no stream: %s" % (what, e)
    elif schema is not None:
        try:
            yield from document.faults(schema, json.loads(body), what)
        except ValueError as e:
            yield "%s is no JSON: %s" % (what, e)


def header_faults(document, declared, headers):
    for name, header in declared.items():
        header = document.resolve(header)
        if name.lower() in headers:
            value = text_value(document.resolve(header["schema"]), headers[name.lower()])
            yield from document.faults(header["schema"], value, "header " + name)
        elif header.get("required"):
            yield "header %s is not there" % name
    for name in headers.keys() - COMMON_HEADERS - {n.lower() for n in declared}:
        yield "header %s is not declared" % name


def answer_faults(document, operation, method, e):
    responses = operation["responses"]
    response = document.resolve(responses.get(str(e.status), responses["default"]))
    if str(e.status) not in responses and e.status not in response["x-statuses"]:
        yield "status is not declared"
        return
    headers = dict(e.headers)
    yield from header_faults(document, response.get("headers", {}), headers)
    if e.status in (204, 304) or method == "HEAD":
        return
    if response.get("content"):
        yield from body_faults(document, response["content"], headers, e.body, "the answer")
    elif e.body:
        yield "it has a body, and none is declared"


def question_faults(document, item, operation, e):
    """Of a question that was answered yes: the document must take it too."""
    parameters = [document.resolve(p) for p in item.get("parameters", []) + operation.get("parameters", [])]
    known = {p["name"]: p for p in parameters if p["in"] == "query"}
    query = dict(urllib.parse.parse_qsl(e.target.partition("?")[2], keep_blank_values=True))
    for name, value in query.items():
        if name in known:
            schema = known[name]["schema"]
            yield from document.faults(schema, text_value(document.resolve(schema), value), "parameter " + name)
        else:
            yield "parameter %s is taken, but not declared" % name
    for name in known.keys() - query.keys():
        if known[name].get("required"):
            yield "parameter %s is required, but was not missed" % name
    content = operation.get("requestBody", {}).get("content")
    if content:
        yield from body_faults(document, content, dict(e.asked.headers), e.asked.body, "the question")


def method_of(item, e):
    """HEAD is GET without a body, where it has no row of its own."""
    return "get" if e.method == "HEAD" and "head" not in item else e.method.lower()


def exchange_faults(document, e):
    template, item = document.find(e.target)
    method = method_of(item, e)
    if not e.complete and not (stream_kind(e.headers) and e.status == 200):  # whose client may leave
        yield "the answer is cut short"
    elif NEEDED_HEADERS.get(e.status, "date") not in dict(e.headers):
        yield "header %s is not there" % NEEDED_HEADERS[e.status]
    elif e.method == "OPTIONS" and e.status == 204:
        preflight = document.resolve(document.json["components"]["responses"]["Preflight"])
        yield from header_faults(document, preflight["headers"], dict(e.headers))
    elif template is None or method not in item:
        stray = document.resolve(document.json["components"]["responses"]["Stray"])
        if e.status not in stray["x-statuses"]:
            yield "no such operation is declared"
            return
        if e.status == 405:
            allowed = {m.upper() for m in item if m != "parameters"} | ({"HEAD"} if "get" in item else set())
            if allowed != set(re.split(", *", dict(e.headers).get("allow", ""))):
                yield "Allow is not what the document allows: %s" % ", ".join(sorted(allowed))
        if e.method != "HEAD":
            yield from body_faults(document, stray["content"], dict(e.headers), e.body, "the answer")
    else:
        yield from answer_faults(document, item[method], e.method, e)
        if e.status < 300:
            yield from question_faults(document, item, item[method], e)


# ---- the document ----


def nodes(value, path=""):
    yield path, value
    if isinstance(value, (dict, list)):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from nodes(child, "%s/%s" % (path, key))


KEYWORDS = set(
    "$ref type properties required additionalProperties items enum const anyOf oneOf allOf description default examples "
    "minimum maximum exclusiveMinimum exclusiveMaximum minItems maxItems minLength maxLength pattern format "
    "propertyNames discriminator contentMediaType".split()
)


def schema_faults(document, schema, path):
    """Misspelt keywords, required names that are no properties, objects that are neither closed nor maps."""
    for word in schema.keys() - KEYWORDS:
        yield "%s: %s is no keyword" % (path, word)
    for name in set(schema.get("required", [])) - schema.get("properties", {}).keys():
        if "properties" in schema:
            yield "%s: requires %s, which is no property" % (path, name)
    if "properties" in schema and "additionalProperties" not in schema:
        yield "%s: does not say whether there may be other properties" % path
    children = [schema[k] for k in ("items", "additionalProperties") if isinstance(schema.get(k), dict)]
    for key in ("anyOf", "oneOf", "allOf"):
        children += schema.get(key, [])
    for child in children + list(schema.get("properties", {}).values()):
        yield from schema_faults(document, child, path)


def document_faults(document):
    for path, node in nodes(document.json):
        if not isinstance(node, dict):
            continue
        if isinstance(node.get("$ref"), str):
            try:
                document.resolver.resolve(node["$ref"])
            except jsonschema.RefResolutionError:
                yield "%s: %s is not there" % (path, node["$ref"])
        if isinstance(node.get("schema"), dict):
            yield from schema_faults(document, node["schema"], path)
            examples = [x["value"] for x in node.get("examples", {}).values()]
            for example in examples + [node[k] for k in ("example",) if k in node]:
                yield from document.faults(node["schema"], example, "example of %s" % path)
    for name, schema in document.json["components"]["schemas"].items():
        yield from schema_faults(document, schema, name)
    ids = collections.Counter(o.get("operationId") for _, _, o in document.operations())
    yield from ("operationId %s is there %d times" % (i, n) for i, n in ids.items() if n > 1)


# ---- the checker ----


def shapes(value, path=()):
    """The path of one object of every shape: list elements are taken for alike."""
    if isinstance(value, dict):
        yield path
        for key, child in value.items():
            yield from shapes(child, path + (key,))
    elif isinstance(value, list) and value:
        yield from shapes(value[0], path + (0,))


def planted(e):
    """Wrong versions of a right answer."""
    headers = dict(e.headers)
    yield "another status", e._replace(status=299)
    if e.method != "HEAD" and e.status not in (204, 304):
        other = [("content-type", "text/html")] + [h for h in e.headers if h[0] != "content-type"]
        yield "another content type", e._replace(headers=other)
    yield "a header nobody declared", e._replace(headers=e.headers + [("x-planted", "1")])
    kind = stream_kind(e.headers)
    items = list(stream_items(kind, e.body)) if kind else []
    for path in {path for item in items for path in shapes(item)}:
        wrong = copy.deepcopy(items)
        for item in wrong:
            if path in list(shapes(item)):
                place = item
                for key in path:
                    place = place[key]
                place["planted"] = [[]]
        yield "a field planted at /%s of an event" % "/".join(map(str, path)), e._replace(body=stream_bytes(kind, wrong))
    if kind or "json" not in headers.get("content-type", "") or e.target == "/openapi.json" or not e.body:
        return
    yield "half a body", e._replace(body=e.body[: len(e.body) // 2])
    body = json.loads(e.body)
    for path in list(shapes(body)):
        wrong = copy.deepcopy(body)
        place = wrong
        for key in path:
            place = place[key]
        place["planted"] = [[]]
        yield "a field planted at /%s" % "/".join(map(str, path)), e._replace(body=json.dumps(wrong))


def checker_faults(document, exchanges):
    """Faults planted in one answer of every operation and status, and not found."""
    seen = set()
    n = 0
    for e in exchanges:
        template, item = document.find(e.target)
        key = template, e.method, e.status
        if key in seen or method_of(item, e) not in item or list(exchange_faults(document, e)):
            continue
        seen.add(key)
        for what, wrong in planted(e):
            n += 1
            if not list(exchange_faults(document, wrong)):
                yield "%s %s %d passes with %s" % (e.method, template, e.status, what)
        response = document.resolve(item[method_of(item, e)]["responses"].get(str(e.status), {}))
        for name, header in response.get("headers", {}).items():
            without = e._replace(headers=[h for h in e.headers if h[0] != name.lower()])
            if document.resolve(header).get("required") and not list(exchange_faults(document, without)):
                yield "%s %s %d passes without %s" % (e.method, template, e.status, name)
    print("%d faults planted in them" % n)


# ---- the report ----


def report(document, exchanges, every):
    counts = collections.Counter()
    for e in exchanges:
        template, item = document.find(e.target)
        counts[method_of(item, e).upper(), template, str(e.status)] += 1
    for method, path, operation in document.operations():
        seen = {s: n for (m, t, s), n in sorted(counts.items(), key=str) if (m, t) == (method, path)}
        unseen = [s for s in operation["responses"] if s not in seen and s != "default"]
        line = "%-6s %-28s %s" % (method, path, "  ".join("%s x %d" % pair for pair in seen.items()))
        print(line + ("  never: " + " ".join(unseen) if unseen else ""))
        if every and not any(s < "300" for s in seen):
            yield "%s %s: nothing asked it and was answered yes" % (method, path)
    print("%d answers" % sum(counts.values()))


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        document = Document(json.load(file))
    exchanges = list(exchange.read(sys.argv[2]))
    faults = ["%s: %s" % ("the document", f) for f in document_faults(document)]
    for e in exchanges:
        faults += ["%s %s %d: %s" % (e.method, e.target[:200], e.status, f) for f in exchange_faults(document, e)]
    faults += report(document, exchanges, "--every" in sys.argv[3:])
    faults += checker_faults(document, exchanges)
    if not exchanges:
        faults.append("no answer was recorded")
    for fault in dict.fromkeys(faults):
        print("FAULT  " + fault)
    sys.exit(1 if faults else 0)


main()
