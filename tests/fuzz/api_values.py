# api_values.py - JSON values by the schemas of docs/openapi.json: what fits them, what nearly does, and as text what is
# hardly JSON. All from one random.Random: the same seed makes the same values.
#
# A schema says what is allowed, not what is small: CAPS keeps sizes so low that whatever is asked for is cheap.
import copy
import hashlib
import json
import math

CAPS = {
    "seq_len": 256, "source_len": 128, "batch": 4, "gradient_accumulation": 4, "layers": 6, "num_layers": 6, "d_model": 64,
    "d_ff": 128, "expert_d_ff": 64, "head_dim": 32, "heads": 4, "kv_heads": 4, "vocab": 512, "max_positions": 256,
    "experts": 4, "experts_per_token": 2, "window": 64, "window_pattern": 4, "rotary_dim": 16, "steps": 2, "repeat": 3,
    "hidden": 64, "out": 64, "n": 4, "k": 4, "segments": 4, "loss_chunk": 256, "max_points": 20, "points": 8,
    "time_limit_seconds": 0.02, "shape": 16, "page_size": 50, "tensor": 4, "pipeline": 4, "pipeline_chunks": 2,
    "bytes": 1000, "workspace_bytes": 100, "seconds": 1, "tokens": 16, "flops": 1000, "input_size": 100, "output_size": 100, "kept": 200,
    "workspace": 50, "time": 10, "forward": 10, "backward": 20, "last_event_id": 10, "epsilon": 0.5, "learning_rate": 1,
    "weight_decay": 1, "budget_bytes": 1 << 40, "seed": 1 << 20,
}  # fmt: skip
# What is one choice in schemas and would mostly fail if drawn apart: drawn once a request, most of the time.
SHARED = {"shape", "seq_len", "d_model", "heads"}
EXTREMES = [0, -1, 1, 1 << 31, (1 << 32) - 1, 1 << 53, (1 << 53) + 1, 1 << 63, (1 << 64) - 1, 1 << 64, -(1 << 63), 10**30]
REALS = [0.5, -0.0, 1e-320, 1e300, -1e300, 1.5, 2.0]
STRINGS = ["", " ", "\x00", "a\u0000b", "\ud7ff", "\U0001f600", "\u0007", "../../etc/passwd", "%00", "~", "a" * 300, "'\"\\", "null", "1e9"]
WRONG = [None, True, False, [], {}, "", "x", 0, -1, 0.5, [[]], [None], {"": None}]


class Maker:
    """known: what strings of some names may be: {"model": [...], ...}; the daemon says what exists."""

    def __init__(self, resolve, rng, known):
        self.resolve = resolve
        self.rng = rng
        self.known = known
        self.shared = {}
        self.made_by = {
            "#/components/schemas/TensorInline": self.inline,
            "#/components/schemas/NumberList": lambda: self.numbers(self.rng.randint(1, 12)),
            "#/components/schemas/Graph": self.graph,
            "#/components/schemas/Model": self.model,
        }

    # ---- what fits ----

    def value(self, schema, name="", depth=0):
        if name in SHARED and self.rng.random() < 0.85:
            if name not in self.shared:
                self.shared[name] = self.fresh(schema, name, depth)
            return copy.deepcopy(self.shared[name])
        return self.fresh(schema, name, depth)

    def fresh(self, schema, name, depth):
        make = self.made_by.get(schema.get("$ref"))
        if make:
            return make()
        schema = self.resolve(schema)
        for key in ("oneOf", "anyOf"):
            if key in schema and "properties" not in schema:
                return self.value(self.rng.choice(schema[key]), name, depth)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self.rng.choice(schema["enum"])
        kind = schema.get("type", "object" if "properties" in schema else "null")
        if isinstance(kind, list):
            kind = self.rng.choice(kind)
        return getattr(self, "of_" + kind)(schema, name, depth)

    def of_object(self, schema, name, depth):
        properties = schema.get("properties", {})
        wanted = set(schema.get("required", []))
        for key in ("oneOf", "anyOf"):  # beside properties: which of them are required together
            if key in schema:
                wanted |= set(self.rng.choice(schema[key])["required"])
        some = self.rng.choice((0, 0.1, 0.3))
        exclusive = {n for key in ("oneOf", "anyOf") for s in schema.get(key, []) for n in s["required"]}
        names = [n for n in properties if n in wanted or n not in exclusive and self.rng.random() < some]
        if depth > 6:
            names = [n for n in names if n in wanted]
        return {n: self.value(properties[n], n, depth + 1) for n in names}

    def of_array(self, schema, name, depth):
        least = schema.get("minItems", 0)
        most = min(schema.get("maxItems", 4), max(least, 4)) if depth < 5 else max(least, 1)
        return [self.fresh(schema.get("items", {}), name, depth + 1) for _ in range(self.rng.randint(least, most))]

    def of_integer(self, schema, name, depth):
        least = max(schema.get("minimum", 0), schema.get("exclusiveMinimum", -1) + 1)
        most = min(schema.get("maximum", 1 << 53), max(least, CAPS.get(name, 8)))
        if most > 1000:  # any order of magnitude
            return self.rng.randint(least, max(least, min(most, 1 << self.rng.randint(0, 45))))
        powers = [1 << i for i in range(20) if least <= 1 << i <= most]
        return self.rng.choice(powers) if powers and self.rng.random() < 0.8 else self.rng.randint(least, most)

    def of_number(self, schema, name, depth):
        least = schema.get("minimum", schema.get("exclusiveMinimum", -4))
        most = min(schema.get("maximum", schema.get("exclusiveMaximum", math.inf)), CAPS.get(name, max(least, 4)))
        value = self.rng.choice((least, round(self.rng.uniform(least, most), 3), self.rng.uniform(least, most)))
        inside = value < schema.get("exclusiveMaximum", math.inf) and value > schema.get("exclusiveMinimum", -math.inf)
        return value if inside else (least + most) / 2

    def of_string(self, schema, name, depth):
        pattern = schema.get("pattern", "")
        if "sha256" in pattern:
            return self.rng.choice(self.known["digest"] + ["sha256:" + hashlib.sha256(b"none").hexdigest()])
        if pattern.startswith("^wait="):
            return "wait=%d" % self.rng.choice((0, 0, 1))
        if name == "include":
            return ",".join(self.rng.sample(["layers", "apply", "explain", "steps"], self.rng.randint(1, 2)))
        if self.known.get(name):
            return self.rng.choice(self.known[name])
        text = self.rng.choice(["x", "layer", "q", "tokens of a text", "a.b-c_d", "\u00e9\u4e2d"])
        return text[: schema.get("maxLength", 99)].ljust(schema.get("minLength", 0), "x")

    def of_boolean(self, schema, name, depth):
        return self.rng.random() < 0.5

    def of_null(self, schema, name, depth):
        return None

    # ---- what a schema can't say ----

    def model(self):
        """Mostly a small one with every field: presets are not small."""
        forms = self.resolve({"$ref": "#/components/schemas/Model"})["oneOf"]
        model = self.value(self.rng.choices(forms, (1, 2, 20))[0], "model", 2)
        if isinstance(model, dict) and "hf_config" in model:  # by the names that most types have
            model["hf_config"] |= {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "vocab_size": 500}
        return model

    def numbers(self, n):
        return [round(self.rng.gauss(0, 1), 2) for _ in range(n)]

    def inline(self):
        shape = self.value({"$ref": "#/components/schemas/Shape"}, "shape")
        return {"shape": shape, "data": self.numbers(min(math.prod(shape), 4096))}

    def graph(self):
        """Edges from earlier nodes to later ones; every node seconds, or every node flops."""
        n = self.rng.randint(1, 7)
        cost = self.rng.choice(("seconds", "flops"))
        nodes = [{"id": self.rng.choice((i, str(i))), "bytes": self.rng.randint(0, 500), cost: self.rng.randint(0, 9)} for i in range(n)]
        for node in nodes:
            if self.rng.random() < 0.3:
                node["workspace_bytes"] = self.rng.randint(0, 50)
        for node in nodes[n - n // 3 :]:
            node["phase"] = "backward"
        pairs = [(i, j) for j in range(n) for i in range(j) if self.rng.random() < 0.4]
        graph = {"nodes": nodes, "edges": [[nodes[i]["id"], nodes[j]["id"]] for i, j in pairs]}
        if self.rng.random() < 0.4:
            graph["outputs"] = [nodes[-1]["id"]]
        return graph

    # ---- what nearly fits ----

    def spoil(self, value):
        """The value with one thing changed."""
        value = copy.deepcopy(value)
        places = list(containers(value))
        if not places:
            return self.rng.choice(WRONG)
        place = self.rng.choice(places)
        if not place:
            place.append(self.rng.choice(WRONG)) if isinstance(place, list) else place.update(unknown=1)
            return value
        key = self.rng.choice(sorted(place) if isinstance(place, dict) else range(len(place)))
        what = self.rng.choice(("drop", "type", "number", "string", "number", "add", "double", "wrap", "empty"))
        if what == "drop":
            del place[key]
        elif what == "add":
            name = self.rng.choice(("unknown", key, "", "shape", "strategy", "\u00e9", "a/b~c"))
            if isinstance(place, dict):
                place[str(name)] = self.rng.choice(WRONG)
            else:
                place.insert(key, self.rng.choice(WRONG))
        elif what == "double" and isinstance(place, list):
            place.append(copy.deepcopy(place[key]))
        elif what == "wrap":
            place[key] = self.rng.choice(([place[key]], {"name": place[key]}, {"x": place[key]}))
        elif what == "empty" and isinstance(place[key], (dict, list, str)):
            place[key] = type(place[key])()
        elif what == "number" or isinstance(place[key], (int, float)) and self.rng.random() < 0.5:
            place[key] = self.rng.choice(EXTREMES + REALS)
        elif what == "string":
            place[key] = self.rng.choice(STRINGS)
        else:
            place[key] = self.rng.choice(WRONG)
        return value

    def text(self, value):
        """As bytes; spoilt below what JSON is."""
        data = json.dumps(value).encode()
        at = self.rng.randint(0, len(data))
        return self.rng.choice(
            (
                data[:at],
                data[:at] + bytes([self.rng.randrange(256)]) + data[at:],
                data[:at] + b"\x00" + data[at:],
                data + b" x",
                b"\xef\xbb\xbf" + data,
                data.replace(b"{", b'{"kind": 1, "kind": 2,', 1),
                data.replace(b"1", b"NaN", 1),
                data.replace(b"1", b"1e999", 1),
                data.replace(b"1", b"01", 1),
                data.replace(b'"', b'"\\ud800', 1),
                data.replace(b'"', b'"\xff', 1),
                b"[" * 40 + b"]" * 40,
                b"",
                data.replace(b",", b",,", 1),
                b'{"a":' * 2000,
            )
        )


def containers(value):
    if isinstance(value, (dict, list)):
        yield value
        for child in value.values() if isinstance(value, dict) else value:
            yield from containers(child)


def capped(value, name=""):
    """Numbers between what is cheap and what is refused anyway, made cheap."""
    if isinstance(value, dict):
        return {n: capped(v, n) for n, v in value.items()}
    if isinstance(value, list):
        return [capped(v, name) for v in value]
    if isinstance(value, (int, float)) and not isinstance(value, bool) and name in CAPS:
        refused = 86400 if name == "time_limit_seconds" else 1 << 31
        return CAPS[name] if CAPS[name] < value < refused and name != "budget_bytes" else value
    return value
