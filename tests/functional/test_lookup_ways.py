"""`signpost lookup --as X` beside the library X itself, on a scripted server.

Each case says what is to be seen: for each personality the candidates in order and the error. In a
world of its own (lookup_world.py) run the real libraries that are installed (glibc, musl, Go,
c-ares) and signpost as each of them. What the server saw of a library and of signpost is compared:
names, types, servers, transport, EDNS, AD, ports, times; and so are the results.
"""
import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from lookup_world import SERVERS, real_clients, run_inside, usable

SUFFIXES = ["app.svc.cluster.local", "svc.cluster.local", "cluster.local"]
S1, S2, S3 = SUFFIXES
# The first line makes silence short: c-ares takes the first "retrans" and knows no "timeout".
QUICK = "options timeout:1 retrans:400 retry:2\n"
KUBE = QUICK + "search %s\nnameserver 127.0.0.1\noptions ndots:5\n" % " ".join(SUFFIXES)
OK = ["10.1.1.1"]
UP = {"*": ["nxdomain"]}
THREE = QUICK + "search s1 s2\n" + "".join("nameserver %s\n" % s for s in SERVERS[:3])
WAYS = ["glibc", "musl", "musl-1.2.3", "go", "c-ares"]
NONAME, NODATA, AGAIN = "EAI_NONAME", "EAI_NODATA", "EAI_AGAIN"
NOSUCH, MISBEHAVES = "no such host", "server misbehaving"
NOTFOUND, ENODATA, ECONN = "ARES_ENOTFOUND", "ARES_ENODATA", "ARES_ECONNREFUSED"
FAILS = {"glibc": NONAME, "musl": NONAME, "musl-1.2.3": NONAME, "go": NOSUCH, "c-ares": NOTFOUND}


def exists(name, **more):
    rules = {name + " A": OK, name + " *": ["nodata"]}
    rules.update(more)
    return rules


def opt(text, base=KUBE):
    return base + "options %s\n" % text


def want(glibc, musl=None, go=None, cares=None, old=None):
    """Each: (candidates, error). What is left out is as glibc; the old musl as the new one. The
    error True: the usual one for a name that is not there."""
    musl = musl or glibc
    rows = {"glibc": glibc, "musl": musl, "musl-1.2.3": old or musl, "go": go or glibc,
            "c-ares": cares or glibc}
    return {way: (walk.split(), FAILS[way] if error is True else error)
            for way, (walk, error) in rows.items()}


def alike(walk, error=None):
    return want((walk, error))


A15 = "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p"
X235 = ".".join(["x" * 58] * 4)  # that many letters and dots
LONG = ["%s%d.example" % ("y" * 40, i) for i in range(8)]

# number in the catalogue: (name, rules, resolv.conf, expected); more keys in a fifth place.
# Candidates: 1, 2, 3: with that suffix; -: as it is; other words: with that suffix.
CASES = {
    "T55": ("bar", exists("bar." + S1), KUBE, alike("1")),
    "T56": ("bar.other", exists("bar.other." + S2), KUBE, alike("1 2")),
    "T57": ("bar.other.svc", exists("bar.other.svc." + S3), KUBE, alike("1 2 3")),
    "T58": ("bar.other.svc.cluster.local", exists("bar.other." + S2), KUBE, alike("1 2 3 -")),
    "T59": ("api.example.com", exists("api.example.com"), KUBE, alike("1 2 3 -")),
    "T59 with a host's suffix": (
        "api.example.com", exists("api.example.com"),
        KUBE.replace("cluster.local\n", "cluster.local ec2.internal\n", 1),
        alike("1 2 3 ec2.internal -")),
    "T60": ("api.example.com.", exists("api.example.com"), KUBE, alike("-")),
    "T61": ("a.b.c.d.e.f", UP, KUBE, want(("- 1 2 3", True), ("-", True))),
    "T62": ("kubernetes.default.svc", exists("kubernetes.default.svc." + S3),
            KUBE.replace("ndots:5", "ndots:2"), want(("- 1 2 3", None), ("-", True))),
    "T63": ("kubernetes.default", exists("kubernetes.default." + S2),
            KUBE.replace("ndots:5", "ndots:2"), alike("1 2")),
    "T64": ("bar", exists("bar." + S1), KUBE.replace("ndots:5", "ndots:0"),
            want(("- 1", None), ("-", True))),
    "T65": ("bar", exists("bar." + S1), KUBE.replace("ndots:5", "ndots:1"), alike("1")),
    "T66": (A15, UP, KUBE.replace("ndots:5", "ndots:20"),
            want(("- 1 2 3", True), ("-", True), cares=("1 2 3 -", True))),
    "T67": ("bar", exists("bar." + S2, **{"bar.%s *" % S1: ["nodata"]}), KUBE,
            want(("1 2", None), ("1", NODATA), old=("1", NONAME))),
    "T68": ("bar", exists("bar." + S2, **{"bar.%s *" % S1: ["servfail"]}), KUBE,
            want(("1 2", None), ("1", AGAIN), cares=("1", ECONN))),
    "T69": ("bar", exists("bar." + S2, **{"bar.%s *" % S1: ["refused"]}), KUBE,
            want(("1 -", NONAME), ("1", AGAIN), go=("1 2", None), cares=("1", ECONN))),
    "T70": ("bar", exists("bar." + S1, **{"bar.%s AAAA" % S1: ["nxdomain"]}), KUBE,
            want(("1", None), ("1 2 3 -", True))),
    "T71": ("bar", exists("bar." + S1, **{"bar.%s AAAA" % S1: ["servfail"]}), KUBE,
            want(("1", None), ("1", AGAIN))),
    "T72": ("bar", exists("bar." + S1, **{"bar.%s A" % S1: OK + ["tc"]}), KUBE,
            want(("1", None), old=("1", NONAME))),
    "T73": ("bar", {"bar.%s A" % S1: OK, "bar.%s AAAA" % S1: ["drop"]}, KUBE,
            want(("1", None), ("1", AGAIN))),
    "T74": ("bar", exists("bar.d9"),
            QUICK + "search d1 d2 d3 d4 d5 d6 d7 d8 d9 d10\nnameserver 127.0.0.1\n",
            alike("d1 d2 d3 d4 d5 d6 d7 d8 d9")),
    "T75": ("a.b", UP, QUICK + "search s1. . s2\nnameserver 127.0.0.1\noptions ndots:5\n",
            want(("s1 - s2", True), ("s1 ? s2 -", True), go=("s1 s2 -", True),
                 cares=("s1 ?", "ARES_EBADNAME"), old=("s1 ?", AGAIN))),
    "T76": ("bar", UP, QUICK + "search aa bb\ndomain cc\nsearch dd\nnameserver 127.0.0.1\n",
            alike("dd -", True)),
    "T77": ("bar", UP, QUICK + "nameserver 127.0.0.1\n", alike("-", True)),
    "T78": ("bar", exists("bar.d9.example"),
            QUICK + "search %s\nnameserver 127.0.0.1\n" % " ".join(LONG + ["d9.example"]),
            want((" ".join(LONG + ["d9.example"]), None), ("-", True))),
    "T79": ("bar", exists("bar.s1"), QUICK + " nameserver 127.0.0.2\nsearch s1\n", alike("s1")),
    "T80": ("bar", exists("bar." + S2), opt("single-request"), alike("1 2")),
    "T80 reopen": ("bar", exists("bar." + S2), opt("single-request-reopen"), alike("1 2")),
    "T81": ("bar", exists("bar." + S2), opt("use-vc"), alike("1 2")),
    "T82": ("bar", exists("bar." + S1), opt("edns0 trust-ad"), alike("1")),
    "T83": ("bar", exists("bar." + S2), opt("no-aaaa"), alike("1 2")),
    "T84": ("bar", {"127.0.0.1|*": ["drop"], **exists("bar.s1")}, THREE, alike("s1")),
    "T85": ("_http._tcp.web.default", {"_http._tcp.web.default.%s *" % S2: ["nodata"]}, KUBE,
            want(("1 2 3 -", NODATA), ("1 2", NODATA), go=("1 2 3 -", NOSUCH),
                 cares=("1 2 3 -", ENODATA), old=("1 2", NONAME))),
    "T86": ("bar", UP, KUBE, alike(""), {"hosts": "10.1.1.1 bar\n"}),
    "T86 with a dot": ("bar.app", exists("bar.app." + S2), KUBE, alike("1 2"),
                       {"hosts": "10.1.1.1 bar\n"}),
    "T87": ("b.b.b.b.bar.bar.bar", exists("b.b.b.b.bar.bar.bar.s2"),
            QUICK + "search %s s2\nnameserver 127.0.0.1\noptions ndots:9\n" % X235,
            want(("! -", NONAME), ("! s2", None), go=("s2", None), cares=("!", "ARES_EBADNAME"),
                 old=("!", NONAME))),
    "T88": ("BaR", exists("bar." + S2), KUBE, alike("1 2")),
    "T89": ("www.example.com", exists("www.example.com"),
            KUBE.replace("cluster.local\n", "cluster.local x y z\n", 1), alike("1 2 3 x y z -")),
    "T90": ("bar", exists("bar.s2", **{"bar.s1 *": ["servfail"]}),
            QUICK + "search s1 s2\nnameserver 127.0.0.1\n",
            want(("s1 s2", None), ("s1", AGAIN), cares=("s1", ECONN))),
    # The twelve situations in which they differ, where no case above is one.
    "silence": ("bar", {"*": ["drop"]}, QUICK + "search s1\nnameserver 127.0.0.1\n",
                want(("s1 -", AGAIN), ("s1", AGAIN), go=("s1 -", "i/o timeout"),
                     cares=("s1", "ARES_ETIMEOUT"))),
    "silence, one attempt": (
        "bar", {"*": ["drop"]}, opt("attempts:1"),
        want(("1 -", AGAIN), ("1", AGAIN), go=("1 2 3 -", "i/o timeout"),
             cares=("1", "ARES_ETIMEOUT"))),
    "nobody listens": ("bar", UP, KUBE,
                       want(("1", AGAIN), ("1", AGAIN), go=("1 2 3 -", "connection refused"),
                            cares=("1", ECONN)), {"listen": []}),
    "A lost, AAAA without data": (
        "bar", {"bar.%s A" % S1: ["drop"], "bar.%s AAAA" % S1: ["nodata"]}, KUBE,
        want(("1 -", NONAME), ("1", AGAIN), go=("1 2 3 -", NOSUCH),
             cares=("1", "ARES_ETIMEOUT"))),
    "SERVFAIL, NXDOMAIN and good": (
        "bar", {"127.0.0.1|*": ["servfail"], "127.0.0.2|*": ["nxdomain"],
                "127.0.0.3|*": OK + ["delay"]}, THREE,
        want(("s1 s2 -", True), ("s1 s2 -", True))),
    # More.
    "NODATA everywhere": ("bar", {"*": ["nodata"]}, KUBE,
                          want(("1 2 3 -", NODATA), ("1", NODATA), go=("1 2 3 -", NOSUCH),
                               cares=("1 2 3 -", ENODATA), old=("1", NONAME))),
    "SERVFAIL as it is": ("a.b", {"a.b *": ["servfail"], **exists("a.b.s1")},
                          QUICK + "search s1\nnameserver 127.0.0.1\n",
                          want(("- s1", None), ("-", AGAIN), cares=("-", ECONN))),
    "FORMERR": ("bar", exists("bar." + S2, **{"bar.%s *" % S1: ["formerr"]}), KUBE,
                want(("1 -", NONAME), ("1", AGAIN), go=("1 2", None),
                     cares=("1", "ARES_EFORMERR"))),
    "A SERVFAIL, AAAA NODATA": (
        "bar", {"bar.%s A" % S1: ["servfail"], "bar.%s AAAA" % S1: ["nodata"],
                **exists("bar." + S2)}, KUBE,
        want(("1 2", None), ("1", AGAIN), cares=("1", ECONN))),
    "second server after SERVFAIL": (
        "bar", {"127.0.0.1|*": ["servfail"], **exists("bar.s1")}, THREE, alike("s1")),
    "both families": ("bar", {"bar.%s A" % S1: OK + ["10.1.1.2"],
                              "bar.%s AAAA" % S1: ["fd00::1"]}, KUBE, alike("1")),
    "both are truncated": ("bar", {"bar.%s A" % S1: OK + ["tc"],
                                   "bar.%s AAAA" % S1: ["fd00::1", "tc"]}, KUBE,
                           want(("1", None), old=("1", NONAME))),
    "alias that leads nowhere": (
        "bar", {"bar.%s *" % S1: ["cname:else.example"]}, KUBE,
        want(("1", NONAME), ("1", NODATA), go=("1 2 3 -", NOSUCH), cares=("1 2 3 -", ENODATA),
             old=("1", NONAME))),
    "lame server": ("bar", {"bar.%s *" % S1: ["nodata", "lame"], **exists("bar." + S2)}, KUBE,
                    want(("1 -", NONAME), ("1", NODATA), go=("1 2", None), cares=("1 2", None),
                         old=("1", NONAME))),
    "IPv6 server among others": (
        "bar", exists("bar.s2"), QUICK + "search s1 s2\nnameserver ::1\nnameserver 127.0.0.1\n",
        alike("s1 s2")),
    "comments and words after them": (
        "bar", UP, QUICK + "; search x\nsearch s1 # s2\nnameserver 127.0.0.1 #c\n",
        want(("s1 # s2 -", True), go=("s1 # s2 -", True), cares=("s1 -", True))),
    "domain has one word": (
        "bar", UP, QUICK + "search aa\ndomain cc dd\nnameserver 127.0.0.1\n",
        want(("cc -", True), ("cc dd -", True))),
    "empty search": ("bar", UP, QUICK + "search aa\nsearch \nnameserver 127.0.0.1\n",
                     want(("aa -", True), ("-", True), go=("-", True))),
    "domain of the host's name": (
        "bar", UP, QUICK + "nameserver 127.0.0.1\n",
        want(("some.domain -", True), ("-", True)), {"hostname": "h.some.domain"}),
    "several servers in a line": (
        "bar", exists("bar.s1"),
        QUICK + "search s1\nnameserver 127.0.0.2,127.0.0.1\nnameserver 127.0.0.1\n", alike("s1")),
    "the same suffix twice": ("bar", UP, QUICK + "search s1 s2 s1\nnameserver 127.0.0.1\n",
                              want(("s1 s2 s1 -", True), cares=("s1 s2 -", True))),
    "a suffix that begins another": (
        "bar", UP, QUICK + "search abc ab bc\nnameserver 127.0.0.1\n",
        want(("abc ab bc -", True), cares=("abc bc -", True))),
    "dot before a suffix": ("bar", UP, QUICK + "search .s1 s2\nnameserver 127.0.0.1\n",
                            want(("s1 s2 -", True), ("! s2 -", True), go=("! s2 -", True),
                                 cares=("!", "ARES_EBADNAME"), old=("!", NONAME))),
    "onion": ("x.onion", UP, QUICK + "search s1\nnameserver 127.0.0.1\n",
              want(("- s1", True), ("-", True), go=("s1", True), cares=("", True))),
    "number with a dot": ("10.9", UP, KUBE,
                          want(("", None), go=("", NOSUCH), cares=("1 2 3 -", True))),
    "letter case of hosts": (
        "bar", exists("bar." + S1), KUBE, want(("", None), ("1", None)),
        {"hosts": "10.7.7.7 BAR\n"}),
    "hosts, blank first": ("bar", exists("bar." + S1), KUBE, want(("", None), ("1", None)),
                           {"hosts": "  10.7.7.7 bar\n"}),
    "hosts, no line break": ("bar", exists("bar." + S1), KUBE, want(("", None), ("1", None)),
                             {"hosts": "10.7.7.7 bar"}),
    "hosts, several lines": (
        "bar", UP, KUBE, alike(""),
        {"hosts": "10.7.7.7 x bar # y\nfd00::7 bar\n10.7.7.8 bar\n"}),
    "hosts and a dot at the end": (
        "bar.x.", UP, KUBE, want(("-", True), go=("", None)), {"hosts": "10.7.7.7 bar.x\n"}),
    "localhost": ("localhost", UP, KUBE, want(("1 2 3 -", True), cares=("", None))),
    "dns before files": (
        "bar", exists("bar." + S1), KUBE, want(("1", None), ("", None)),
        {"nsswitch": "hosts: dns files\n", "hosts": "10.7.7.7 bar\n"}),
    "dns before files, not found": (
        "bar", UP, KUBE, want(("1 2 3 -", None), ("", None)),
        {"nsswitch": "hosts: dns files\n", "hosts": "10.7.7.7 bar\n"}),
    "files only": ("bar", exists("bar." + S1), KUBE,
                   want(("", True), ("1", None), cares=("", ECONN)),
                   {"nsswitch": "hosts: files\n"}),
    "return when not found": (
        "bar", exists("bar." + S1), KUBE, want(("", True), ("1", None), go=("1", None)),
        {"nsswitch": "hosts: files [NOTFOUND=return] dns\n"}),
    "no line for hosts": ("bar", exists("bar." + S1), KUBE, want(("", None)),
                          {"nsswitch": "passwd: files\n", "hosts": "10.7.7.7 bar\n"}),
    "no-digit ndots": ("bar", exists("bar." + S1), KUBE.replace("ndots:5", "ndots:x"),
                       want(("- 1", None), ("1", None))),
}
CASES["return when not found"][3]["c-ares"] = (["1"], None)


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    why = usable()
    if why:
        pytest.skip(why)
    return real_clients(str(tmp_path_factory.mktemp("clients")))


def run_case(case, signpost, libraries):
    """By name of a way: what signpost's way and the library saw, the latter None without it."""
    name, rules, resolv, _, more = (*case, {})[:5]
    clients = {(way, "signpost"): [signpost, "lookup", "--as", way, "--output", "json", "--", name]
               for way in WAYS}
    clients.update({(way, "library"): [program, name] for way, program in libraries.items()})
    results = run_inside(rules, resolv, list(clients.values()), more)
    return dict(zip(clients, results))


def candidates(way_result, name):
    """In words of the cases: those that were asked for, "!" for those that could not be."""
    words, seen = [], json.loads(way_result["out"])["candidates"]
    for c in seen:
        text = c["name"].rstrip(".") if not c["name"].endswith("..") else "?"
        base = name.rstrip(".")
        suffix = text[len(base) + 1:] if text != base else "-"
        if text != "?" and not c["queries"] and c["outcome"] == "bad":
            suffix = "!"
        words.append("?" if text == "?" else str(SUFFIXES.index(suffix) + 1)
                     if suffix in SUFFIXES else suffix)
    return words


def shape(result):
    """What the server saw, without what chance decides: which of two neighbours came first."""
    queries = result["queries"]
    sent = {}
    for q in queries:
        key = (q["server"], q["proto"], q["name"], q["type"], q["edns"], q["ad"])
        sent.setdefault(key, []).append(q["at"] - queries[0]["at"])
    ports = {name: len({(q["proto"], q["port"]) for q in queries if q["name"] == name})
             for name in {q["name"] for q in queries}}
    everywhere = len({(q["proto"], q["port"]) for q in queries})
    return {"names": list(dict.fromkeys(q["name"] for q in queries)), "ports": ports,
            "ports of all": everywhere}, sent


def same_times(one, other, counts):
    """Within a second of timeouts no query is half a second off."""
    if not counts:
        return one.keys() == other.keys()
    return one.keys() == other.keys() and all(
        len(one[key]) == len(other[key]) and
        all(abs(a - b) < 0.45 for a, b in zip(one[key], other[key])) for key in one)


ARES = {1: "ARES_ENODATA", 2: "ARES_EFORMERR", 4: "ARES_ENOTFOUND", 8: "ARES_EBADNAME",
        11: "ARES_ECONNREFUSED", 12: "ARES_ETIMEOUT"}
EAI = {-2: NONAME, -3: AGAIN, -4: "EAI_FAIL", -5: NODATA}


def without_ports(text):
    return re.sub(r":\d{4,5}->", ":PORT->", text or "")


def library_result(way, result):
    first, *addresses = result["out"].splitlines()
    if first == "0":
        return None, sorted(set(addresses))
    if way == "go":
        return without_ports(first), []
    return (ARES if way == "c-ares" else EAI)[int(first)], []


def signpost_result(way, result):
    found = json.loads(result["out"])["result"]
    error = found["errorText" if way == "go" else "error"] if found["error"] else None
    return without_ports(error) or None, sorted(set(found["addresses"]))


def difference(case, results):
    """One sentence for each way that differs from what is wanted or from its library."""
    wrong = []
    for way in WAYS:
        mine, theirs = results[way, "signpost"], results.get((way, "library"))
        walk, error = case[3][way]
        found = json.loads(mine["out"])["result"]["error"]
        if (candidates(mine, case[0]), found) != (walk, error):
            wrong.append("%s: wanted %s %s, got %s %s" % (
                way, walk, error, candidates(mine, case[0]), found))
        if theirs is None:
            continue
        a, b = library_result(way, theirs), signpost_result(way, mine)
        if a != b:
            wrong.append("%s: results\n  library:  %s\n  signpost: %s" % (way, a, b))
        a, b = shape(theirs), shape(mine)
        # Several servers at once: which of them is quick enough to be heard is chance for musl.
        counts = not (way.startswith("musl") and case[2].count("nameserver") > 1)
        if a[0] != b[0] or not same_times(a[1], b[1], counts):
            wrong.append("%s: queries\n  library:  %s\n  signpost: %s" % (way, a, b))
    return "\n".join(wrong)


@pytest.fixture(scope="module")
def compared(libraries, signpost):
    """A function: how a case differs. Cases run ahead, some at a time, since they wait."""
    def compare(name):
        found = True
        for _ in range(3):  # a busy machine may stand still for a while; true differences stay
            found = found and difference(CASES[name], run_case(CASES[name], signpost, libraries))
        return found

    with ThreadPoolExecutor(6) as pool:
        running = {name: pool.submit(compare, name) for name in CASES}
        yield lambda name: running[name].result()


@pytest.mark.parametrize("name", CASES)
def test_case(compared, name):
    found = compared(name)
    assert not found, found


@pytest.mark.parametrize("way", ["glibc", "go", "c-ares"])
def test_rotate(libraries, signpost, way):
    """One server further for each name (glibc), or for each query (Go, c-ares)."""
    resolv = "search s1 s2\noptions rotate\n" + "".join("nameserver %s\n" % s for s in SERVERS[:3])
    clients = [[signpost, "lookup", "--as", way, "bar"]]
    clients += [[libraries[way], "bar"]] if way in libraries else []
    for result in run_inside(UP, resolv, clients, {}):
        order = [SERVERS.index(q["server"]) for q in result["queries"]]
        if way == "glibc":
            assert order[::2] == [(order[0] + i) % 3 for i in range(3)] and order[::2] == order[1::2]
        else:
            assert sorted(order) == [0, 0, 1, 1, 2, 2]


def test_types(libraries, signpost):
    """One family, and what only Go asks for with its search list."""
    rules = {"bar.%s A" % S1: ["nodata"], **exists("bar." + S2),
             "_x._tcp.bar.%s SRV" % S2: ["srv:web." + S1]}
    four, srv, refused = run_inside(rules, KUBE, [
        [signpost, "lookup", "--as", "go", "--type", "A", "bar"],
        [signpost, "lookup", "--as", "go", "--type", "SRV", "_x._tcp.bar"],
        [signpost, "lookup", "--as", "musl", "--type", "SRV", "_x._tcp.bar"]], {})
    assert [(q["name"], q["type"]) for q in four["queries"]] == [("bar." + S1, "A"),
                                                                 ("bar." + S2, "A")]
    assert srv["status"] == 0 and len(srv["queries"]) == 2 and "web.%s." % S1 in srv["out"]
    assert refused["status"] == 2 and "asks for addresses only" in refused["errors"]
