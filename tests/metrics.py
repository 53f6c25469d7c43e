#!/usr/bin/python3
# metrics.py - reads Prometheus text as strictly as its format is written: metrics.py FILE [--then FILE] [--uses FILE...]
#
# FILE is what /metrics answered. --then: a later answer, whose counters have not fallen. --uses: every metric that these
# files name is in FILE. In the end the checker itself: faults planted in a text that passed must be found.
import math
import re
import sys

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LINE = re.compile(r"(%s)(?:\{(.*)\})? (\S+)" % NAME)
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)')
UNITS = ("milliseconds", "microseconds", "minutes", "hours", "kilobytes", "megabytes", "mb", "percent", "ms", "pct")


def labels_read(text, n):
    labels = {}
    while text:
        match = LABEL.match(text)
        if not match or match[1] in labels:
            raise ValueError("line %d: labels: %s" % (n, text))
        if match[3] and match.end() == len(text):
            raise ValueError("line %d: a comma and nothing after it" % n)
        labels[match[1]] = match[2]
        text = text[match.end() :]
    return tuple(sorted(labels.items()))


def family_of(name, types):
    """The family that a line belongs to: a histogram's lines have endings."""
    for ending in ("_bucket", "_sum", "_count"):
        if name.endswith(ending) and types.get(name[: -len(ending)]) == "histogram":
            return name[: -len(ending)]
    return name


def name_faults(name, kind):
    if (kind == "counter") != name.endswith("_total"):
        yield "%s is a %s" % (name, kind)
    for word in name.split("_"):
        if word in UNITS:
            yield "%s is not in base units" % name


def read(text):
    """{family: type}, {family: {(line's name, labels): value}}"""
    types, helps, families = {}, set(), {}
    if not text.endswith("\n") or "\r" in text or "\n\n" in text:
        raise ValueError("lines do not end as they should")
    last = None
    for n, line in enumerate(text[:-1].split("\n"), 1):
        if line.startswith("#"):
            match = re.fullmatch(r"# (HELP|TYPE) (%s) (.+)" % NAME, line)
            if not match:
                raise ValueError("line %d: %s" % (n, line))
            word, name, rest = match.groups()
            if word == "HELP":
                if name in helps or not re.fullmatch(r'[A-Z0-9].*\.', rest):
                    raise ValueError("line %d: help of %s" % (n, name))
                helps.add(name)
            elif name in types or name not in helps or rest not in ("counter", "gauge", "histogram"):
                raise ValueError("line %d: type of %s" % (n, name))
            else:
                types[name] = rest
                families[name] = {}
                last = name
            continue
        match = LINE.fullmatch(line)
        if not match:
            raise ValueError("line %d: %s" % (n, line))
        name, labels, value = match[1], labels_read(match[2] or "", n), float(match[3])
        family = family_of(name, types)
        if family != last:
            raise ValueError("line %d: %s is not below its own head" % (n, name))
        if (name, labels) in families[family]:
            raise ValueError("line %d: it is there twice" % n)
        families[family][name, labels] = value
    return types, families


def histogram_faults(name, lines):
    series = {}
    for (line, labels), value in lines.items():
        rest = tuple(pair for pair in labels if pair[0] != "le")
        one = series.setdefault(rest, {"buckets": []})
        if line.endswith("_bucket"):
            if "le" not in dict(labels):
                yield "%s: a bucket without its bound" % name
                continue
            one["buckets"].append((float(dict(labels)["le"]), value))
        else:
            one[line[len(name) :]] = value
    for labels, one in series.items():
        bounds = [bound for bound, _ in one["buckets"]]
        counts = [count for _, count in one["buckets"]]
        if bounds != sorted(set(bounds)) or not bounds or bounds[-1] != math.inf:
            yield "%s%s: bounds do not rise to +Inf" % (name, labels)
        elif counts != sorted(counts):
            yield "%s%s: counts fall" % (name, labels)
        elif one.get("_count") != counts[-1] or "_sum" not in one:
            yield "%s%s: count or sum" % (name, labels)
        elif counts[-1] == 0 and one["_sum"] != 0:
            yield "%s%s: a sum of nothing" % (name, labels)


def faults(text):
    try:
        types, families = read(text)
    except ValueError as e:
        yield str(e)
        return
    for name, kind in types.items():
        yield from name_faults(name, kind)
        if kind == "histogram":
            yield from histogram_faults(name, families[name])
        for (line, labels), value in families[name].items():
            if math.isnan(value) or (kind != "gauge" and value < 0):
                yield "%s%s is %g" % (line, labels, value)
        if kind == "counter" and not families[name] and name != "rematd_jobs_finished_total":
            yield "%s has no line" % name


def later_faults(before, after):
    types, then = read(before)
    _, now = read(after)
    for name, kind in types.items():
        for line, value in then[name].items():
            if kind != "gauge" and now[name].get(line, -1) < value:
                yield "%s%s fell from %g" % (line[0], line[1], value)


def use_faults(text, files):
    types, families = read(text)
    there = set(types)
    for name, kind in types.items():
        if kind == "histogram":
            there |= {name + ending for ending in ("_bucket", "_sum", "_count")}
            there.discard(name)
    for file in files:
        with open(file, encoding="utf-8") as f:
            used = set(re.findall(r"(?<![\w.:/@-])(?:rematd|process)_[a-z0-9_]+", f.read()))
        if len(used) < 5:
            yield "%s names %d metrics" % (file, len(used))
        for name in used - there:
            yield "%s: %s is not a metric" % (file, name)


def planted(text):
    """Texts that are wrong."""
    yield "no end of line", text[:-1]
    yield "a type twice", text.replace("# TYPE rematd_store_up gauge\n", "# TYPE rematd_store_up gauge\n" * 2)
    yield "an unknown type", text.replace("# TYPE rematd_store_up gauge", "# TYPE rematd_store_up number")
    yield "no help", text.replace("# HELP rematd_store_up ", "# HELP rematd_store_upp ")
    yield "a line twice", re.sub(r"\n(rematd_store_up .*\n)", r"\n\1\1", text)
    yield "a line elsewhere", text + "rematd_store_up 1\n"
    yield "a value that is none", re.sub(r"\nrematd_store_up .*\n", "\nrematd_store_up one\n", text)
    yield "a counter without _total", text.replace("rematd_store_failures_total", "rematd_store_failures")
    yield "a gauge with it", text.replace("rematd_store_up", "rematd_store_up_total")
    yield "other units", text.replace("rematd_store_up", "rematd_store_up_ms")
    yield "a counter below zero", re.sub(r"\nrematd_store_failures_total .*\n", "\nrematd_store_failures_total -1\n", text)
    yield "no +Inf", re.sub(r"\nrematd_store_transaction\w+_bucket\{le=\"\+Inf.*", "", text)
    yield "another count", re.sub(r"(\nrematd_store_transaction\w+_count) .*", r"\1 123456789", text)
    yield "no sum", re.sub(r"\nrematd_store_transaction\w+_sum .*", "", text)
    yield "falling buckets", re.sub(r"(\nrematd_store_transaction\w+_bucket\{le=\"0.0001\"\}) .*", r"\1 123456789", text)
    yield "a label that is not closed", text.replace('version="', "version=", 1)
    yield "a label twice", text.replace('version="', 'version="1",version="', 1)
    yield "a blank line", text.replace("\n", "\n\n", 1)


def main():
    args = sys.argv[1:]
    texts = {name: open(name, encoding="utf-8", newline="").read() for name in args if name[:2] != "--"}
    first = texts[args[0]]
    found = list(faults(first))
    if "--then" in args:
        later = texts[args[args.index("--then") + 1]]
        found += list(faults(later)) + list(later_faults(first, later))
    if "--uses" in args:
        found += list(use_faults(first, args[args.index("--uses") + 1 :]))
    if not found:
        for what, wrong in planted(first):
            if wrong == first or not list(faults(wrong)):
                found.append("the checker passes %s" % what)
    for fault in found:
        print("FAULT  " + fault)
    print("%d families, %d lines" % (first.count("# TYPE "), len(first.split("\n")) - 1 - 2 * first.count("# TYPE ")))
    sys.exit(1 if found else 0)


main()
