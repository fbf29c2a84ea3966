"""Prometheus's text format 0.0.4, read strictly: whatever a scraper might stumble over raises."""
import math
import re

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|NaN|[+-]Inf", re.IGNORECASE)
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}


class Invalid(Exception):
    """What is wrong, and the line."""


class Family:
    """samples: {(suffix, ((label, value), ...) sorted): number}"""

    def __init__(self, name, text):
        self.name, self.help, self.type, self.samples = name, text, None, {}

    def labels(self):
        """The names of the labels of each series, `le` left out."""
        return {frozenset(k for k, _ in labels if k != "le") for _, labels in self.samples}

    def find(self, suffix="", /, **wanted):
        """The numbers of all series that have at least these labels."""
        return [v for (s, labels), v in self.samples.items()
                if s == suffix and wanted.items() <= dict(labels).items()]

    def bounds(self):
        """What stands in `le`, as numbers, in order."""
        return sorted({float(dict(labels)["le"]) for s, labels in self.samples if s == "_bucket"})


def require(good, what, line):
    if not good:
        raise Invalid("%s: %s" % (what, line))


def unescape(text, quoted, line):
    allowed = {"\\": "\\", "n": "\n"}
    if quoted:
        allowed['"'] = '"'
    out, i = "", 0
    while i < len(text):
        if text[i] == "\\":
            i += 1
            require(i < len(text) and text[i] in allowed, "unknown escape", line)
            out += allowed[text[i]]
        else:
            out += text[i]
        i += 1
    return out


def read_labels(text, line):
    """Behind the brace: (labels, rest)."""
    found = {}
    while not text.startswith("}"):
        name = LABEL.match(text)
        require(name, "no label's name", line)
        require(not name[0].startswith("__"), "a reserved label", line)
        require(name[0] not in found, "a label twice", line)
        value = re.match(r'="((?:[^"\\]|\\.)*)"', text[name.end():])
        require(value, "no label's value", line)
        found[name[0]] = unescape(value[1], True, line)
        text = text[name.end() + value.end():]
        require(text[0] in ",}", "neither comma nor brace", line)
        if text[0] == ",":
            text = text[1:]
            require(not text.startswith("}"), "a comma too many", line)
    return tuple(sorted(found.items())), text[1:]


def read_sample(line):
    """(name, labels, number)"""
    name = NAME.match(line)
    require(name, "no name", line)
    rest, labels = line[name.end():], ()
    if rest.startswith("{"):
        labels, rest = read_labels(rest[1:], line)
    require(rest.startswith(" ") and NUMBER.fullmatch(rest[1:]), "not a number", line)
    return name[0], labels, float(rest[1:])


def read_head(line, family, families):
    """A HELP or TYPE line; returns the family that begins or goes on."""
    match = re.fullmatch(r"# (HELP|TYPE) (\S+) (.*)", line)
    require(match, "an odd comment", line)
    kind, name, text = match.groups()
    require(NAME.fullmatch(name), "not a name", line)
    if kind == "HELP":
        require(name not in families, "a family twice", line)
        families[name] = Family(name, unescape(text, False, line))
        return families[name]
    require(family and family.name == name and family.type is None and not family.samples,
            "TYPE stands not behind its HELP", line)
    require(text in SUFFIXES, "unknown type", line)
    family.type = text
    return family


def check_family(f):
    require(f.samples, "no samples", f.name)
    require(f.type, "no type", f.name)
    require((f.type == "counter") == f.name.endswith("_total"), "_total is for counters", f.name)
    if f.type == "counter":
        require(all(math.isfinite(v) and v >= 0 for v in f.samples.values()), "not a count", f.name)
    if f.type == "histogram":
        check_histogram(f)


def check_histogram(f):
    groups = {}
    for (suffix, labels), value in f.samples.items():
        others = tuple(pair for pair in labels if pair[0] != "le")
        require((suffix == "_bucket") == (len(others) < len(labels)), "le is for buckets", f.name)
        group = groups.setdefault(others, {"_bucket": [], "_sum": [], "_count": []})
        group[suffix].append((dict(labels).get("le"), value))
    bounds = {tuple(le for le, _ in g["_bucket"]) for g in groups.values()}
    require(len(bounds) == 1, "series with other buckets", f.name)
    for g in groups.values():
        edges = [float(le) for le, _ in g["_bucket"]]
        counts = [v for _, v in g["_bucket"]]
        require(edges == sorted(set(edges)) and edges[-1] == math.inf, "odd bounds", f.name)
        require(counts == sorted(counts), "buckets do not add up", f.name)
        require(len(g["_sum"]) == len(g["_count"]) == 1, "not one sum and one count", f.name)
        require(g["_count"][0][1] == counts[-1], "+Inf is not the count", f.name)
        require(g["_sum"][0][1] >= 0, "a negative sum", f.name)


def parse(page):
    """{name: Family}; raises Invalid."""
    families, family = {}, None
    require(page.endswith("\n"), "the last line has no end", page[-80:])
    for line in page[:-1].split("\n"):
        require(line and line == line.strip(), "blanks", repr(line))
        if line.startswith("#"):
            family = read_head(line, family, families)
            continue
        name, labels, value = read_sample(line)
        require(family and family.type and name.startswith(family.name), "outside its family", line)
        key = (name[len(family.name):], labels)
        require(key[0] in SUFFIXES[family.type], "outside its family", line)
        require(key not in family.samples, "a series twice", line)
        family.samples[key] = value
    for family in families.values():
        check_family(family)
    return families
