"""`signpost lookup` beside the C library: the same names, of the same servers, in the same order.

Each case runs in a world of its own (lookup_world.py): getaddrinfo() of the C library and then
`signpost lookup`. What the server saw of both is compared: names, types, servers, transport, source
ports, times; and the results.
"""
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from lookup_world import SERVERS, picture, run_inside, usable

LONG_SUFFIX = ".".join(["x" * 60] * 4)

REAL_CLIENT = """
import json, socket, sys
try:
    found = socket.getaddrinfo(sys.argv[1].encode(), None, type=socket.SOCK_STREAM)
    print(json.dumps({"error": 0, "addresses": sorted(f[4][0] for f in found)}))
except socket.gaierror as e:
    print(json.dumps({"error": e.errno, "addresses": []}))
"""
IPV4_CLIENT = REAL_CLIENT.replace("type=", "family=socket.AF_INET, type=")
ERRORS = {"EAI_NONAME": -2, "EAI_AGAIN": -3, "EAI_FAIL": -4, "EAI_NODATA": -5, None: 0}

SUFFIXES = ["app.svc.cluster.local", "svc.cluster.local", "cluster.local"]
S1, S2, S3 = SUFFIXES
KUBE = "search %s\nnameserver 127.0.0.1\noptions ndots:5\n" % " ".join(SUFFIXES)
FAST = KUBE.replace("ndots:5", "ndots:5 timeout:1")
OK = ["10.1.1.1"]
UP = {"*": ["nxdomain"]}


def exists(name, **more):
    rules = {name + " A": OK, name + " *": ["nodata"]}
    rules.update(more)
    return rules


def fails_then(word, name="bar"):
    return {**exists("%s.%s" % (name, S2)), "%s.%s *" % (name, S1): [word]}


# name of the case: (name to look up, rules, resolv.conf); more keys in a fourth place
CASES = {
    "first suffix": ("bar", exists("bar." + S1), KUBE),
    "second suffix": ("bar.other", exists("bar.other." + S2), KUBE),
    "third suffix": ("bar.other.svc", exists("bar.other.svc." + S3), KUBE),
    "as it is after the list": ("bar.other.svc.cluster.local", exists("bar.other." + S2), KUBE),
    "external name": ("api.example.com", exists("api.example.com"), KUBE),
    "external name, four suffixes": (
        "api.example.com", exists("api.example.com"),
        KUBE.replace("cluster.local\n", "cluster.local ec2.internal\n", 1)),
    "trailing dot": ("api.example.com.", exists("api.example.com"), KUBE),
    "trailing dot, one label": ("bar.", UP, KUBE),
    "many dots, nowhere": ("a.b.c.d.e.f", UP, KUBE),
    "many dots, in the list": ("a.b.c.d.e.f", exists("a.b.c.d.e.f." + S2), KUBE),
    "many dots, NODATA first": ("a.b.c.d.e.f", {"a.b.c.d.e.f *": ["nodata"]}, KUBE),
    "many dots, SERVFAIL first": ("a.b.c.d.e.f", {"a.b.c.d.e.f *": ["servfail"]}, KUBE),
    "many dots, REFUSED first": (
        "a.b.c.d.e.f", {**exists("a.b.c.d.e.f." + S1), "a.b.c.d.e.f *": ["refused"]}, KUBE),
    "ndots 2, as it is first": (
        "kubernetes.default.svc", exists("kubernetes.default.svc." + S3),
        KUBE.replace("ndots:5", "ndots:2")),
    "ndots 2, list first": (
        "kubernetes.default", exists("kubernetes.default." + S2),
        KUBE.replace("ndots:5", "ndots:2")),
    "ndots 0": ("bar", exists("bar." + S1), KUBE.replace("ndots:5", "ndots:0")),
    "ndots 1": ("bar", exists("bar." + S1), KUBE.replace("ndots:5", "ndots:1")),
    "ndots without number": ("bar", exists("bar." + S1), KUBE.replace("ndots:5", "ndots:x")),
    "ndots 20 counts as 15": (
        "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p", UP, KUBE.replace("ndots:5", "ndots:20")),
    "NODATA, then found": ("bar", fails_then("nodata"), KUBE),
    "SERVFAIL, then found": ("bar", fails_then("servfail"), KUBE),
    "REFUSED leaves the list": ("bar", fails_then("refused"), KUBE),
    "NOTIMP leaves the list": ("bar", fails_then("notimp"), KUBE),
    "FORMERR leaves the list": ("bar", fails_then("formerr"), KUBE),
    "empty answer of a server that does not recurse": ("bar", {
        **exists("bar." + S2), "bar.%s *" % S1: ["nodata", "lame"]}, KUBE),
    "SERVFAIL everywhere": ("bar", {"*": ["servfail"]}, KUBE),
    "REFUSED everywhere": ("bar", {"*": ["refused"]}, KUBE),
    "NODATA everywhere": ("bar", {"*": ["nodata"]}, KUBE),
    "FORMERR everywhere": ("bar", {"*": ["formerr"]}, KUBE),
    "nothing anywhere": ("bar", UP, KUBE),
    "NODATA then NXDOMAIN": ("bar", {"bar.%s *" % S1: ["nodata"]}, KUBE),
    "SERVFAIL then NXDOMAIN": ("bar", {"bar.%s *" % S1: ["servfail"]}, KUBE),
    "A found, AAAA NXDOMAIN": (
        "bar", exists("bar." + S1, **{"bar.%s AAAA" % S1: ["nxdomain"]}), KUBE),
    "A found, AAAA SERVFAIL": (
        "bar", exists("bar." + S1, **{"bar.%s AAAA" % S1: ["servfail"]}), KUBE),
    "A found late, AAAA SERVFAIL": (
        "bar", {"bar.%s A" % S1: OK + ["delay"], "bar.%s AAAA" % S1: ["servfail"]}, KUBE),
    "A SERVFAIL, AAAA found": (
        "bar", {"bar.%s A" % S1: ["servfail"], "bar.%s AAAA" % S1: ["fd00::1"]}, KUBE),
    "A SERVFAIL late, AAAA found": (
        "bar", {"bar.%s A" % S1: ["servfail", "delay"], "bar.%s AAAA" % S1: ["fd00::1"]}, KUBE),
    "A NODATA, AAAA SERVFAIL": (
        "bar", {"bar.%s A" % S1: ["nodata"], "bar.%s AAAA" % S1: ["servfail"]}, KUBE),
    "A SERVFAIL, AAAA NODATA": (
        "bar", {"bar.%s A" % S1: ["servfail"], "bar.%s AAAA" % S1: ["nodata"]}, KUBE),
    "A NXDOMAIN, AAAA NODATA": (
        "bar", {"bar.%s A" % S1: ["nxdomain"], "bar.%s AAAA" % S1: ["nodata"]}, KUBE),
    "A FORMERR, AAAA found": (
        "bar", {"bar.%s A" % S1: ["formerr"], "bar.%s AAAA" % S1: ["fd00::1"]}, KUBE),
    "both families": ("bar", {"bar.%s A" % S1: OK + ["10.1.1.2"], "bar.%s AAAA" % S1: ["fd00::1"]},
                      KUBE),
    "alias that leads nowhere": ("bar", {"bar.%s *" % S1: ["cname:else.example"]}, KUBE),
    "truncated": ("bar", exists("bar." + S1, **{"bar.%s A" % S1: OK + ["tc"]}), KUBE),
    "truncated AAAA": (
        "bar", {"bar.%s A" % S1: OK, "bar.%s AAAA" % S1: ["fd00::1", "tc"]}, KUBE),
    "truncated, then SERVFAIL over TCP": (
        "bar", {"bar.%s *" % S1: ["servfail", "tc"], "bar.%s A" % S2: OK}, KUBE),
    "use-vc": ("bar", exists("bar." + S2), KUBE.replace("ndots:5", "ndots:5 use-vc")),
    "use-vc, SERVFAIL": (
        "bar", fails_then("servfail"), KUBE.replace("ndots:5", "ndots:5 use-vc")),
    "use-vc, nobody there": ("bar", UP, KUBE.replace("ndots:5", "ndots:5 use-vc"), {"listen": []}),
    "edns0 and trust-ad": (
        "bar", exists("bar." + S1), KUBE.replace("ndots:5", "ndots:5 edns0 trust-ad")),
    "no-aaaa": ("bar", exists("bar." + S2), KUBE.replace("ndots:5", "ndots:5 no-aaaa")),
    "no-tld-query": ("bar", UP, KUBE.replace("ndots:5", "ndots:5 no-tld-query")),
    "no-tld-query with a dot": ("bar.x", UP, KUBE.replace("ndots:5", "ndots:5 no-tld-query")),
    "single-request": (
        "bar", exists("bar." + S2), KUBE.replace("ndots:5", "ndots:5 single-request")),
    "single-request-reopen": (
        "bar", exists("bar." + S2), KUBE.replace("ndots:5", "ndots:5 single-request-reopen")),
    "single-request, SERVFAIL": (
        "bar", fails_then("servfail"), FAST.replace("ndots:5", "ndots:5 single-request")),
    "root in the list": (
        "a.b", UP, "search s1. . s2\nnameserver 127.0.0.1\noptions ndots:5\n"),
    "dot before a suffix": ("bar", UP, "search .s1 s2\nnameserver 127.0.0.1\n"),
    "last of search and domain": (
        "bar", UP, "search aa bb\ndomain cc\nsearch dd\nnameserver 127.0.0.1\n"),
    "domain takes one word": ("bar", UP, "search aa\ndomain cc dd\nnameserver 127.0.0.1\n"),
    "empty search keeps the last": (
        "bar", UP, "search aa\nsearch \nsearch\nnameserver 127.0.0.1\n"),
    "no list": ("bar", UP, "nameserver 127.0.0.1\n"),
    "domain of the host name": ("bar", UP, "nameserver 127.0.0.1\n", {"hostname": "h.some.domain"}),
    "long search line": (
        "bar", exists("bar.d9.example"),
        "search %s\nnameserver 127.0.0.1\n" % " ".join(
            ["%s%d.example" % ("y" * 40, i) for i in range(8)] + ["d9.example"])),
    "ten suffixes": (
        "bar", exists("bar.d9"),
        "search d1 d2 d3 d4 d5 d6 d7 d8 d9 d10\nnameserver 127.0.0.1\n"),
    "blank before nameserver": ("bar", UP, " nameserver 127.0.0.2\nsearch s1\n"),
    "comments": ("bar", UP, "; search x\n# search y\nsearch s1 # s2\nnameserver 127.0.0.1 #c\n"),
    "tabs": ("bar", UP, "search\ts1\ts2\nnameserver\t127.0.0.1\noptions\tndots:3\trotate\n"),
    "short address": ("bar", UP, "search s1\nnameserver 127.1\n"),
    "no file": ("bar", UP, ""),
    "four servers": (
        "bar", {"*": ["servfail"]},
        "nameserver 127.0.0.1\nnameserver 127.0.0.2\nnameserver 127.0.0.3\nnameserver 127.0.0.4\n"),
    "server 1 SERVFAIL, 2 NXDOMAIN, 3 good": (
        "bar", {"127.0.0.1|*": ["servfail"], "127.0.0.2|*": ["nxdomain"], "127.0.0.3|*": OK},
        "search s1\nnameserver 127.0.0.1\nnameserver 127.0.0.2\nnameserver 127.0.0.3\n"),
    "server 1 REFUSED, 2 good": (
        "bar", {"127.0.0.1|*": ["refused"], **exists("bar." + S2)},
        "search %s\nnameserver 127.0.0.1\nnameserver 127.0.0.2\n" % " ".join(SUFFIXES)),
    "nobody at the first server": (
        "bar", exists("bar." + S2),
        "search %s\nnameserver 127.0.0.9\nnameserver 127.0.0.2\n" % " ".join(SUFFIXES)),
    "nobody at the second server": (
        "bar", {"127.0.0.1|*": ["servfail"]},
        "search s1 s2\nnameserver 127.0.0.1\nnameserver 127.0.0.9\n"),
    "nobody anywhere": ("bar", UP, KUBE, {"listen": []}),
    "nobody anywhere, as it is first": (
        "a.b", UP, KUBE.replace("ndots:5", "ndots:1"), {"listen": []}),
    "server over IPv6": ("bar", exists("bar." + S2), KUBE.replace("127.0.0.1", "::1")),
    "attempts 0": ("bar", UP, KUBE.replace("ndots:5", "ndots:5 attempts:0")),
    "attempts 3": ("bar", {"*": ["servfail"]}, KUBE.replace("ndots:5", "ndots:5 attempts:3")),
    "mixed case": ("BaR", exists("bar." + S1), KUBE),
    "hosts first": ("bar", UP, KUBE, {"hosts": "10.7.7.7 x bar # y\nfd00::7 BAR\n10.7.7.8 bar\n"}),
    "hosts, other name": ("bar.app", exists("bar.app." + S2), KUBE, {"hosts": "10.7.7.7 bar\n"}),
    "literal": ("10.9.9.9", UP, KUBE),
    "old literal": ("10.9", UP, KUBE),
    "IPv6 literal": ("fd00::9", UP, KUBE),
    "single-request, REFUSED, second server": (
        "bar", {"127.0.0.1|*": ["refused"], **exists("bar.s1")},
        "search s1\nnameserver 127.0.0.1\nnameserver 127.0.0.2\noptions single-request\n"),
    "single-request, AAAA SERVFAIL": (
        "bar", exists("bar." + S1, **{"bar.%s AAAA" % S1: ["servfail"]}),
        KUBE.replace("ndots:5", "ndots:5 single-request")),
    "FORMERR as it is first": (
        "a.b", {"*": ["formerr"]}, KUBE.replace("ndots:5", "ndots:1")),
    "AAAA first, then A NXDOMAIN late": (
        "bar", {"bar.%s A" % S1: ["nxdomain", "delay"], "bar.%s AAAA" % S1: ["nodata"]}, KUBE),
    "A SERVFAIL over TCP, AAAA NODATA": (
        "bar", {"bar.%s A" % S1: ["servfail"], "bar.%s AAAA" % S1: ["nodata"]},
        KUBE.replace("ndots:5", "ndots:5 use-vc")),
    "A NODATA over TCP, AAAA SERVFAIL": (
        "bar", {"bar.%s A" % S1: ["nodata"], "bar.%s AAAA" % S1: ["servfail"]},
        KUBE.replace("ndots:5", "ndots:5 use-vc")),
    "truncated, NXDOMAIN over TCP": (
        "bar", {"bar.%s *" % S1: ["nxdomain", "tc"], **exists("bar." + S2)}, KUBE),
    "use-vc, nobody at the first server": (
        "bar", exists("bar.s2"),
        "search s1 s2\nnameserver 127.0.0.9\nnameserver 127.0.0.2\noptions use-vc\n"),
    "use-vc, nobody at the second server": (
        "bar", exists("bar.s2"),
        "search s1 s2\nnameserver 127.0.0.1\nnameserver 127.0.0.9\noptions use-vc\n"),
    "one label and a huge ndots": ("bar", UP, KUBE.replace("ndots:5", "ndots:-5")),
    "alias for A only": (
        "bar", {"bar.%s A" % S1: ["cname:else.example"], "bar.%s AAAA" % S1: ["nodata"]}, KUBE),
    "alias that leads nowhere, second suffix": (
        "bar", {"bar.%s *" % S2: ["cname:else.example"]}, KUBE),
    "localhost not in the file": ("localhost", UP, KUBE),
    "escaped dot": ("a\\.b", UP, KUBE),
    "long label": ("x" * 64, UP, KUBE),
    "long label, as it is first": ("a." + "x" * 64, UP, KUBE.replace("ndots:5", "ndots:1")),
    "empty label": ("bar..x", UP, KUBE),
    "too long with a suffix": (
        "bar", exists("bar.s2"), "search %s.yyyyyyyy s2\nnameserver 127.0.0.1\n" % LONG_SUFFIX),
    "too long, then as it is": (
        "bar", exists("bar"), "search %s.yyyyyyyy s2\nnameserver 127.0.0.1\n" % LONG_SUFFIX),
    "SRV name asked as address": (
        "_http._tcp.web.default", {"_http._tcp.web.default.%s *" % S2: ["nodata"]}, KUBE),
    # Silence: these take seconds.
    "silence": ("bar", {"*": ["drop"]}, FAST.replace("timeout:1", "timeout:1 attempts:1")),
    "silence, two attempts": ("bar", {"*": ["drop"]}, FAST),
    "first of three servers silent": (
        "bar", {"127.0.0.1|*": ["drop"], **exists("bar.s1")},
        "search s1\nnameserver 127.0.0.1\nnameserver 127.0.0.2\nnameserver 127.0.0.3\n"
        "options timeout:1\n"),
    "second server waits longer": (
        "bar", {"*": ["drop"]},
        "nameserver 127.0.0.1\nnameserver 127.0.0.2\noptions timeout:2 attempts:1\n"),
    "AAAA lost": ("bar", {"bar.%s A" % S1: OK, "bar.%s AAAA" % S1: ["drop"]}, FAST),
    "A lost, AAAA NODATA": (
        "bar", {"bar.%s A" % S1: ["drop"], "bar.%s AAAA" % S1: ["nodata"]}, FAST),
    "A SERVFAIL, AAAA lost": (
        "bar", {"bar.%s A" % S1: ["servfail"], "bar.%s AAAA" % S1: ["drop"]}, FAST),
    "single-request, AAAA lost": (
        "bar", {"bar.%s A" % S1: OK, "bar.%s AAAA" % S1: ["drop"]},
        FAST.replace("ndots:5", "ndots:5 single-request")),
    "AAAA lost twice: gentleness stays": (
        "bar", {"bar.%s A" % S1: ["nodata"], "bar.%s AAAA" % S1: ["drop"], **exists("bar." + S2)},
        FAST),
    "no-aaaa and silence": (
        "bar", {"*": ["drop"]}, FAST.replace("ndots:5", "ndots:5 no-aaaa attempts:1")),
    "timeout 0 waits a second": ("bar", {"*": ["drop"]}, "nameserver 127.0.0.1\n"
                                 "options timeout:0 attempts:1\n"),
    "silence over the list, as it is first": ("a.b", {"*": ["drop"]}, FAST.replace(
        "ndots:5", "ndots:1 attempts:1")),
    "SERVFAIL, then silence": (
        "bar", {"127.0.0.1|*": ["servfail"], "127.0.0.2|*": ["drop"]},
        "search s1\nnameserver 127.0.0.1\nnameserver 127.0.0.2\noptions timeout:1 attempts:1\n"),
}


def run_case(case, program):
    name, rules, resolv, more = (*case, {})[:4]
    return run_inside(rules, resolv, [
        [sys.executable, "-c", REAL_CLIENT, name],
        [program, "lookup", "--output", "json", "--", name],
    ], more)


def difference(results):
    """How the two clients differ, or None."""
    real, ours = (json.loads(r["out"]) for r in results)
    theirs = (real["error"], sorted(set(real["addresses"])))
    result = (ERRORS[ours["result"]["error"]], sorted(set(ours["result"]["addresses"])))
    if result != theirs:
        return "result: the C library %s, signpost %s" % (theirs, result)
    left, right = (picture(r) for r in results)
    if left != right:
        return "queries:\nthe C library\n  %s\nsignpost\n  %s" % (
            "\n  ".join(map(str, left)), "\n  ".join(map(str, right)))
    return None


@pytest.fixture(scope="module")
def namespaces():
    why = usable()
    if why:
        pytest.skip(why)


@pytest.fixture(scope="module")
def compared(namespaces, signpost):
    """A function: the difference of a case. Cases run ahead, some at a time, since they wait."""
    def compare(name):
        found = True
        for _ in range(3):  # a busy machine may stand still for a while; true differences stay
            found = found and difference(run_case(CASES[name], signpost))
        return found

    with ThreadPoolExecutor(4) as pool:
        running = {name: pool.submit(compare, name) for name in CASES}
        yield lambda name: running[name].result()


@pytest.mark.parametrize("name", CASES)
def test_as_the_c_library(compared, name):
    found = compared(name)
    assert found is None, found


def test_as_getent(namespaces, signpost):
    results = run_inside(exists("bar.other." + S2), KUBE, [
        ["getent", "ahosts", "bar.other"], [signpost, "lookup", "bar.other"]], {})
    assert results[0]["status"] == 0 and "10.1.1.1" in results[0]["out"]
    assert picture(results[0]) == picture(results[1])
    assert len(results[0]["queries"]) == 4


@pytest.mark.parametrize("rules,seen", [
    (exists("bar." + S2), ["bar." + S1, "bar." + S2]),
    (UP, ["bar." + S1, "bar." + S2, "bar." + S3, "bar"]),
])
def test_one_family(namespaces, signpost, rules, seen):
    results = run_inside(rules, KUBE, [
        [sys.executable, "-c", IPV4_CLIENT, "bar"], [signpost, "lookup", "--type", "A", "bar"]], {})
    for result in results:
        assert [(q["name"], q["type"]) for q in result["queries"]] == [(n, "A") for n in seen]


def test_rotate(namespaces, signpost):
    """Each process starts anywhere; within one, each name starts one server further."""
    resolv = "search s1 s2\noptions rotate\n" + "".join(
        "nameserver %s\n" % s for s in SERVERS[:3])
    for result in run_inside(UP, resolv, [
            [sys.executable, "-c", REAL_CLIENT, "bar"], [signpost, "lookup", "bar"]], {}):
        order = [SERVERS.index(q["server"]) for q in result["queries"] if q["type"] == "A"]
        assert order == [(order[0] + i) % 3 for i in range(3)]


def test_text(namespaces, signpost):
    rules = exists("bar.other." + S2)
    result, = run_inside(rules, KUBE, [[signpost, "lookup", "bar.other"]], {})
    lines = result["out"].splitlines()
    assert result["status"] == 0
    assert lines[0] == "Walk of \"bar.other\" as glibc does it (ndots:5, 3 in the search list)"
    assert lines[1].split() == "# candidate type server over rcode answers at ms took ms".split()
    assert lines[2].split()[:7] == ("1 bar.other.%s A 127.0.0.1 udp NXDOMAIN 0" % S1).split()
    assert lines[4].split()[:7] == ("2 bar.other.%s A 127.0.0.1 udp NOERROR 1" % S2).split()
    assert lines[4].endswith("won") and not lines[5].endswith("won")
    assert lines[6].startswith("Result: bar.other is bar.other.%s., after" % S2)
    assert lines[7].strip() == "10.1.1.1"
    assert lines[8] == ("Advice: 2 of 4 queries were in vain; asking for \"bar.other.%s.\" "
                        "(with the dot) saves them." % S2)
    assert "\033" not in result["out"]


def test_text_of_a_failure(namespaces, signpost):
    result, = run_inside(fails_then("refused"), KUBE, [[signpost, "lookup", "bar"]], {})
    assert result["status"] == 1
    assert "Result: EAI_NONAME, Name or service not known" in result["out"]
    assert "bar.%s got no usable answer; glibc leaves the search list there" % S1 in result["out"]


def test_service_records(namespaces, signpost):
    name = "_http._tcp.web"
    rules = {"%s.%s SRV" % (name, S1): ["srv:web." + S1]}
    result, = run_inside(rules, KUBE, [
        [signpost, "lookup", "--type", "SRV", "--output", "json", name]], {})
    found = json.loads(result["out"])["result"]
    assert found["error"] is None
    assert found["records"][0].split()[-4:] == ["0", "100", "80", "web.%s." % S1]


def test_another_process(namespaces, signpost, tmp_path):
    """--pid goes to the network and the files of that process; --pod finds it in a lab's folder."""
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    (tmp_path / "hosts").write_text("10.8.8.8 only-there\n")
    there = subprocess.Popen(
        ["unshare", "-Urnm", "--uts", "sh", "-c",
         'ip link set lo up && mount --bind "$0/resolv.conf" "$(realpath /etc/resolv.conf)" && '
         'mount --bind "$0/hosts" /etc/hosts && echo ready && exec sleep 60', str(tmp_path)],
        stdout=subprocess.PIPE, text=True)
    try:
        assert there.stdout.readline() == "ready\n"
        pod = tmp_path / "pods" / "app_web"
        pod.mkdir(parents=True)
        (pod / "pid").write_text("%d\n" % there.pid)
        for where in (["--pid", str(there.pid)], ["--lab-dir", str(tmp_path), "--pod", "app/web"]):
            for name, status, text in (
                    ("only-there", 0, "10.8.8.8"), ("bar", 1, "nothing listens")):
                done = subprocess.run([signpost, "lookup", *where, name],
                                      capture_output=True, text=True, timeout=20, check=False)
                assert done.returncode == status, done.stderr
                assert text in done.stdout
    finally:
        there.kill()
        there.wait()


POD = """
kind: Pod
metadata: {name: web, namespace: app}
spec:
  subdomain: sub
  hostAliases: [{ip: 10.7.7.7, hostnames: [alias]}]
  dnsConfig: {options: [{name: ndots, value: "2"}]}
status: {podIPs: [{ip: 10.244.1.7}]}
"""


def test_files_of_a_pod(signpost, tmp_path):
    """What `resolvconf` and `hosts` print is what `lookup` goes by."""
    (tmp_path / "pod.yaml").write_text(POD)
    (tmp_path / "host").write_text("nameserver 8.8.8.8\nsearch host.domain\n")

    def output(*argv):
        return subprocess.run([signpost, *argv], capture_output=True, text=True, timeout=20,
                              check=True, cwd=tmp_path).stdout

    resolv = output("resolvconf", "--pod", "pod.yaml", "--host-resolv", "host",
                    "--cluster-dns", "10.96.0.10")
    assert resolv == ("search %s host.domain\nnameserver 10.96.0.10\noptions ndots:2\n"
                      % " ".join(SUFFIXES))
    hosts = output("hosts", "--pod", "pod.yaml")
    assert "10.244.1.7\tweb.sub.app.svc.cluster.local\tweb\n" in hosts
    (tmp_path / "resolv.conf").write_text(resolv)
    (tmp_path / "hosts").write_text(hosts)
    for name, address in (("alias", "10.7.7.7"), ("web.sub.app.svc.cluster.local", "10.244.1.7")):
        found = json.loads(output("lookup", "--resolv-conf", "resolv.conf", "--hosts", "hosts",
                                  "--output", "json", name))
        assert found["result"]["source"] == "files"
        assert found["result"]["addresses"] == [address]
        assert found["resolver"]["ndots"] == 2


@pytest.mark.parametrize("argv,text", [
    (["lookup"], "give one name"),
    (["lookup", "--as", "dig", "x"], "no resolver known"),
    (["lookup", "--type", "WHAT", "x"], "no such record type"),
    (["lookup", "--output", "xml", "x"], "give text or json"),
    (["lookup", "--resolv-conf", "/nowhere", "x"], "/nowhere: No such file"),
    (["lookup", "--pid", "1", "--pod", "a/b", "x"], "not both"),
    (["resolvconf"], "--pod FILE"),
    (["resolvconf", "--pod", "/nowhere"], "/nowhere: No such file"),
    (["hosts", "--pod", "/dev/null"], "no Pod"),
])
def test_refusals(signpost, argv, text):
    done = subprocess.run(
        [signpost, *argv], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode not in (0, -6, -11)
    assert text in done.stderr and done.stdout == ""
