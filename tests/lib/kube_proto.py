"""Reads the protocol buffers of the Kubernetes API by the registry's table of types (src/registry/schema.txt), into
what the same object is in JSON."""
import base64
import datetime
import json
import pathlib
import re
import struct

SCHEMA = pathlib.Path(__file__).resolve().parents[2] / "src" / "registry" / "schema.txt"
MEDIA = "application/vnd.kubernetes.protobuf"
ZERO = {"string": "", "int32": 0, "int64": 0, "bool": False, "double": 0.0}


def schema():
    types = {}
    for line in SCHEMA.read_text().splitlines():
        if line.startswith(" "):
            number, name, kind, *marks = line.split()
            shape, kind = re.match(r"(\[\]|\{\}|\*)?(.*)", kind).groups()
            fields[int(number)] = (name, shape, kind, marks)
        elif line and not line.startswith("#"):
            fields = types[line.split()[0]] = {}
    return types


TYPES = schema()


def varint(data, at):
    n = shift = 0
    while True:
        n |= (data[at] & 0x7f) << shift
        at, shift, more = at + 1, shift + 7, data[at] & 0x80
        if not more:
            return n, at


def fields(data):
    """(number, value): whole numbers, or bytes."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        wire = tag & 7
        if wire == 0:
            value, at = varint(data, at)
        elif wire == 2:
            size, at = varint(data, at)
            assert at + size <= len(data)
            value, at = data[at:at + size], at + size
        else:
            assert wire == 1, wire
            value, at = data[at:at + 8], at + 8
        yield tag >> 3, value


def signed(n):
    return n - (1 << 64) if n >> 63 else n


def time(data, micro):
    part = dict(fields(data))
    if not part:
        return None
    text = datetime.datetime.fromtimestamp(signed(part[1]), datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    return text + (".%06dZ" % (part[2] // 1000) if micro else "Z")


def value(kind, data):
    if kind in TYPES:
        return message(kind, data)
    if kind in ("int32", "int64"):
        return signed(data)
    if kind == "bool":
        return data != 0
    if kind == "double":
        return struct.unpack("<d", data)[0]
    if kind in ("time", "microtime"):
        return time(data, kind == "microtime")
    if kind == "bytes":
        return base64.b64encode(data).decode()
    if kind == "string":
        return data.decode()
    part = dict(fields(data))
    if kind == "intorstring":
        return part[3].decode() if part[1] else signed(part[2])
    return part[1].decode() if kind == "quantity" else json.loads(part[1])


def message(kind, data):
    """With all that was written, also zeros; the order of the fields is kept."""
    made, last = {}, 0
    for number, raw in fields(data):
        assert number >= last, "the original writes fields in the order of their numbers"
        last = number
        name, shape, inner, marks = TYPES[kind][number]
        if "inline" in marks:
            made.update(message(inner, raw))
        elif shape == "[]":
            made.setdefault(name, []).append(value(inner, raw))
        elif shape == "{}":
            entry = dict(fields(raw))
            made.setdefault(name, {})[entry[1].decode()] = value(inner, entry[2])
        else:
            made[name] = value(inner, raw)
    return made


def lean(kind, doc):
    """As JSON has it: what JSON leaves out when it is zero is left out."""
    made = {}
    flat = {}
    for name, shape, inner, marks in TYPES[kind].values():
        if "inline" in marks:
            flat.update(lean(inner, {k: v for k, v in doc.items() if k in {f[0] for f in TYPES[inner].values()}}))
        if "inline" in marks:
            continue
        if name not in doc:
            if shape and not {"?", "??"} & set(marks):
                made[name] = None
            continue
        v = doc[name]
        if inner in TYPES:
            v = [lean(inner, e) for e in v] if shape == "[]" else lean(inner, v)
        if shape is None and (v is None and "??" in marks or "?" in marks and inner in ZERO and v == ZERO[inner]):
            continue
        made[name] = v
    return flat | made


def kind_of(version, name):
    group = {"v1": "core", "discovery.k8s.io/v1": "discovery", "coordination.k8s.io/v1": "coordination",
             "networking.k8s.io/v1": "networking"}.get(version, "meta")
    return "meta." + name if name in ("Status", "PartialObjectMetadata") else group + "." + name


def read(data, zeros=False):
    """An object or a list with its envelope as a document."""
    assert data[:4] == b"k8s\0"
    envelope = dict(fields(data[4:]))
    about = {n: v.decode() for n, v in fields(envelope[1])}
    doc = {"kind": about[2], "apiVersion": about[1]}
    if about[2].endswith("List"):
        kind = kind_of(about[1], about[2][:-4])
        parts = list(fields(envelope[2]))
        made = {"metadata": message("meta.ListMeta", next(v for n, v in parts if n == 1)),
                "items": [message(kind, v) for n, v in parts if n == 2]}
        if not zeros:
            made = {"metadata": lean("meta.ListMeta", made["metadata"]), "items": [lean(kind, i) for i in made["items"]]}
    else:
        kind = kind_of(about[1], about[2])
        made = message(kind, envelope[2])
        made = made if zeros else lean(kind, made)
    return doc | made


def events(stream):
    """The events of a watch: (type, object)."""
    while head := stream.read(4):
        part = dict(fields(stream.read(struct.unpack(">I", head)[0])))
        yield part[1].decode(), read(dict(fields(part[2]))[1])
