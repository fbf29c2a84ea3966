"""`signpost dns why`: the chain's steps, the cause of a miss, the nearest names that exist."""
import contextlib
import json
import re
import subprocess

import pytest

from dns_world import Server, free_port, http_get
from forward_world import Upstream, reply, wait_for

SERVICE = """---
apiVersion: v1
kind: Service
metadata: {name: %s, namespace: %s%s}
spec:
  clusterIP: %s
  ports: [{name: http, port: 80}]
"""
SLICE = """---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %(name)s-1, namespace: %(ns)s, labels: {kubernetes.io/service-name: %(name)s}}
addressType: IPv4
ports: [{name: http, port: 80}]
endpoints: [%(endpoints)s]
"""
NAMESPACES = "".join("---\napiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n" % ns
                     for ns in ("prod", "hidden"))
POD = """---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: prod}
spec: {}
status: {podIP: 10.244.0.77}
"""


def endpoints(name, ns, ready=(), not_ready=()):
    rows = ["{addresses: [%s], conditions: {ready: %s}}" % (address, state)
            for state, all in (("true", ready), ("false", not_ready)) for address in all]
    return SLICE % {"name": name, "ns": ns, "endpoints": ", ".join(rows)}


MANIFESTS = (
    NAMESPACES + POD
    + SERVICE % ("web", "default", "", "10.96.0.10")
    + endpoints("web", "default", ["10.244.0.1"])
    + SERVICE % ("idle", "default", "", "10.96.0.11")
    + endpoints("idle", "default", [], ["10.244.0.5", "10.244.0.6", "10.244.0.7"])
    + SERVICE % ("db", "prod", "", "None") + endpoints("db", "prod", [], ["10.244.0.8"])
    + SERVICE % ("cache", "prod", "", "None") + endpoints("cache", "prod", ["10.244.0.9"])
    + SERVICE % ("secret", "hidden", "", "10.96.0.12"))
COREFILE = """cluster.local:@PORT@ in-addr.arpa:@PORT@ {
    bind 127.0.0.1
    errors
    log . "{name} {rcode} why={why}"
    prometheus 127.0.0.1:@PORT2@
    cache 30
    rewrite name exact old.cluster.local web.default.svc.cluster.local
    acl {
        block type TXT net 127.0.0.9
        allow
    }
    kubernetes {
        manifests @DIR@/manifests
        namespaces default prod
        fallthrough in-addr.arpa
    }
    hosts {
        192.0.2.9 nine.cluster.local
        fallthrough
    }
    loadbalance
}
test:@PORT@ {
    bind 127.0.0.1
    view inside {
        expr incidr(client_ip(), '10.0.0.0/8')
    }
    whoami
}
test:@PORT@ {
    bind 127.0.0.1
    template IN A {
        match "^t[0-9]+[.]test[.]$"
        answer "{{ .Name }} 60 IN A 192.0.2.1"
        fallthrough
    }
    erratic
}
.:@PORT@ {
    bind 127.0.0.1
    forward . %s
}
"""


class World:
    def __init__(self, signpost, folder, upstream):
        (folder / "manifests").mkdir()
        (folder / "manifests" / "all.yaml").write_text(MANIFESTS)
        self.signpost, self.control = signpost, folder / "control"
        self.server = Server(signpost, folder, COREFILE % upstream, "-control", self.control,
                             "-workers", "2")
        self.conf = folder / "Corefile"

    def run(self, *args):
        return subprocess.run([self.signpost, "dns", "why", *args], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=20, check=False)

    def why(self, name, *args, status=None):
        ran = self.run(name, *args, "--server", self.control, "--output", "json")
        assert ran.returncode in ((0, 1) if status is None else (status,)), ran.stderr
        return Report(json.loads(ran.stdout))


class Report:
    def __init__(self, data):
        self.data = data
        self.rcode, self.near, self.causes = data["rcode"], data["near"], data["causes"]
        self.answer = data["answer"]

    def steps(self, depth=0):
        return [(s["step"], s["what"]) for s in self.data["steps"]
                if s["step"] and s["depth"] == depth]

    def said(self, step, what):
        """The details that a step gave under a word."""
        found, current = [], None
        for s in self.data["steps"]:
            current = s["step"] or current
            if current == step and s["what"] == what:
                found.append(s["detail"])
        return found


@pytest.fixture(scope="module", name="upstream")
def upstream_fixture():
    with contextlib.closing(Upstream(lambda q, _: [reply(q)])) as u:
        yield u


@pytest.fixture(scope="module", name="world")
def world_fixture(signpost, tmp_path_factory, upstream):
    w = World(signpost, tmp_path_factory.mktemp("why"), upstream)
    with w.server:
        yield w


def test_an_answer(world):
    r = world.why("web.default.svc.cluster.local", status=0)
    assert r.rcode == "NOERROR" and not r.causes
    assert re.fullmatch("web.default.svc.cluster.local. [1-5] IN A 10.96.0.10", r.answer[0])
    assert r.steps()[:2] == [("listener", "chosen"), ("zone", "chosen")]
    assert "cluster.local., ." in r.said("zone", "chosen")[0]
    assert "Corefile:1" in r.said("zone", "chosen")[0]
    plugins = [s for s in r.steps() if s[0] in ("rewrite", "acl", "cache", "kubernetes", "hosts")]
    assert plugins == [("rewrite", "passed on"), ("acl", "passed on"), ("cache", "passed on"),
                       ("hosts", "passed on"), ("kubernetes", "answered")]
    assert r.said("kubernetes", "name") == ['a Service: service "web", namespace "default"']
    assert "all.yaml:" in r.said("kubernetes", "object")[0]
    assert "default/web" in r.said("kubernetes", "object")[0]
    assert r.said("kubernetes", "endpoints") == ["1 ready, 0 not ready, in 1 slice"]
    assert r.said("hosts", "no entry")


ZONE = ".svc.cluster.local"
MISSES = {  # name: (cause, nearest)
    "wbe.default" + ZONE: ('no Service "wbe" in the namespace "default"',
                           ["web.default.svc.cluster.local."]),
    "web.prod" + ZONE: ('no Service "web" in the namespace "prod"',
                        ["web.default.svc.cluster.local."]),
    "web.defautl" + ZONE: ('no namespace "defautl"', ["web.default.svc.cluster.local.",
                                                      "default.svc.cluster.local."]),
    "secret.hidden" + ZONE: ('namespace "hidden" is there, but', []),
    "db.prod" + ZONE: ("prod/db is headless and has no ready endpoint (1 is not)", []),
    "_htp._tcp.web.default" + ZONE: ('has no port "_htp" with protocol "_tcp"',
                                     ["_http._tcp.web.default.svc.cluster.local."]),
    "10-244-0-3.cache.prod" + ZONE: ('no ready endpoint "10-244-0-3"', ["10-244-0-9"]),
    "10-244-0-1.default.pod.cluster.local": ("pods disabled", []),
    "web.default.sv.cluster.local": ("SERVICE.NAMESPACE.svc.ZONE", []),
}


@pytest.mark.parametrize("name", MISSES)
def test_misses(world, name):
    cause, near = MISSES[name]
    r = world.why(name, status=1)
    assert r.rcode == "NXDOMAIN"
    assert len(r.causes) == 1 and cause in r.causes[0], r.causes
    assert r.near == near


def test_other_types(world):
    r = world.why("web.default.svc.cluster.local", "AAAA", status=1)
    assert r.rcode == "NOERROR" and "no AAAA record" in r.causes[0]
    r = world.why("1.0.244.10.in-addr.arpa", "PTR", status=0)
    assert r.said("kubernetes", "object") == ["an endpoint of the Service default/web"]
    r = world.why("99.0.244.10.in-addr.arpa", "PTR", status=1)
    assert "10.244.0.99 is neither" in r.causes[0]
    assert r.said("kubernetes", "fallthrough")
    r = world.why("_http._tcp.web.default.svc.cluster.local", "SRV", status=0)
    assert 'port "_http", protocol "_tcp"' in r.said("kubernetes", "name")[0]


def test_an_address_that_leads_nowhere(world):
    r = world.why("idle.default.svc.cluster.local", status=0)
    assert r.said("kubernetes", "endpoints") == ["0 ready, 3 not ready, in 1 slice"]
    assert "leads nowhere" in r.said("kubernetes", "note")[0]


def test_wrong_zone(world, upstream):
    r = world.why("web.default", status=0)  # the upstream answers anything
    assert r.steps()[1] == ("zone", "chosen") and r.said("zone", "chosen")[0].startswith(". ")
    assert r.said("forward", "upstream")[0].startswith("%s over udp, 1 try" % upstream)
    upstream.act = lambda q, _: [reply(q, rcode=3)]
    try:
        r = world.why("web.default.svc.cluster.locl", status=1)
        assert r.rcode == "NXDOMAIN" and "wrong zone" in r.causes[0]
        assert r.near == ["web.default.svc.cluster.local."]
    finally:
        upstream.act = lambda q, _: [reply(q)]


def test_rewrite(world):
    r = world.why("old.cluster.local", status=0)
    assert r.said("rewrite", "name")[0] == "old.cluster.local. -> web.default.svc.cluster.local."
    assert r.said("kubernetes", "name") == ['a Service: service "web", namespace "default"']
    assert re.fullmatch("old.cluster.local. [1-5] IN A 10.96.0.10", r.answer[0])


def test_cache(world):
    name = "cache.prod.svc.cluster.local"
    assert world.why(name).said("cache", "miss")
    r = world.why(name, status=0)
    assert ("cache", "answered") in r.steps() and ("kubernetes", "not reached") in r.steps()
    assert r.said("cache", "hit")[0].startswith("success, ")
    assert "kubernetes" in r.said("cache", "not reached")[0]
    name = "chace.prod.svc.cluster.local"  # a cached miss has its cause and its neighbours, too
    assert world.why(name).rcode == "NXDOMAIN"
    r = world.why(name, status=1)
    assert r.said("cache", "hit")[0].startswith("denial, ")
    assert r.near == ["cache.prod.svc.cluster.local."] and "no Service" in r.causes[0]


def test_acl(world):
    r = world.why("x.cluster.local", "TXT", "--client", "127.0.0.9", status=1)
    assert r.rcode == "REFUSED"
    assert r.said("acl", "rule") == ["block: line 1 of acl 1, for the client 127.0.0.9"]
    r = world.why("x.cluster.local", "TXT", "--client", "127.0.0.8", status=1)
    assert r.said("acl", "rule") == ["allow: line 2 of acl 1, for the client 127.0.0.8"]
    assert ("acl", "passed on") in r.steps()


def test_view_and_pod(world):
    r = world.why("t1.test")
    assert r.said("view", "passed over") == ["inside: an expression is false"]
    assert r.said("template", "template") == ["number 1 (IN A): the name fits"]
    r = world.why("x.test")
    assert r.said("template", "template") == ["number 1 (IN A): the name fits no pattern"]
    r = world.why("t1.test", "--pod", "prod/client")
    assert r.said("view", "chosen") == ["inside: its expressions are true"]
    assert ("whoami", "answered") in r.steps()
    ran = world.run("t1.test", "--pod", "prod/nobody", "--server", world.control)
    assert ran.returncode == 2 and "there is none of that name" in ran.stderr


def test_lookups(signpost, tmp_path, upstream):
    """What a plugin asks for itself is shown inside it."""
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "a.yaml").write_text(
        "apiVersion: v1\nkind: Service\nmetadata: {name: out, namespace: default}\n"
        "spec: {type: ExternalName, externalName: there.test}\n")
    corefile = tmp_path / "Corefile"
    corefile.write_text("cluster.local:1 {\n    kubernetes {\n        manifests m\n    }\n}\n"
                        ".:1 {\n    forward . %s\n}\n" % upstream)
    ran = subprocess.run([signpost, "dns", "why", "out.default.svc.cluster.local", "-conf",
                          "Corefile", "--output", "json"], cwd=tmp_path, stdout=subprocess.PIPE,
                         text=True, timeout=20, check=False)
    assert ran.returncode == 0
    r = Report(json.loads(ran.stdout))
    assert r.steps(1) == [("look-up", "asked"), ("zone", "chosen"), ("forward", "answered")]
    assert r.said("look-up", "asked") == ["there.test. A"]
    assert len(r.answer) == 2


def counted(world):
    _, page = http_get(world.server.numbered(2), "/metrics")
    return sum(float(line.split()[-1]) for line in page.splitlines()
               if line.startswith("coredns_dns_requests_total"))


def test_it_is_neither_logged_nor_counted(world):
    before = counted(world)
    world.why("quiet.default.svc.cluster.local")
    world.server.ask("loud.default.svc.cluster.local.")
    world.server.wait_log("loud.default")
    assert "quiet.default" not in world.server.log()
    assert counted(world) == before + 1


def test_log_reason(world):
    names = {"web.default.svc.cluster.local.": "cluster.local./default/web: answered",
             "none.default.svc.cluster.local.": "cluster.local./default/none: no such Service",
             "web.nowhere.svc.cluster.local.":
                 "cluster.local./nowhere/web: no such namespace, or not exposed",
             "db.prod.svc.cluster.local.": "cluster.local./prod/db: no ready endpoint",
             "idle.default.svc.cluster.local.":
                 "cluster.local./default/idle: answered, no ready endpoint",
             "old.cluster.local.": "cluster.local./default/web: answered",
             "nine.cluster.local.": "cluster.local.: hosts"}
    for name, reason in names.items():
        before = len(world.server.log())
        world.server.ask(name, ident=1)
        wait_for(lambda at=before: "why=" in world.server.log()[at:])
        line = world.server.log()[before:].split("why=")[1].splitlines()[0]
        assert line in (reason, reason + ", cached"), (name, line)
    before = len(world.server.log())
    world.server.ask("none.default.svc.cluster.local.")
    wait_for(lambda: "no such Service, cached" in world.server.log()[before:])
    world.server.ask("98.0.244.10.in-addr.arpa.", "PTR")
    world.server.wait_log("in-addr.arpa.: nobody has that address, fallthrough")


def test_text_and_trouble(world, signpost, tmp_path):
    ran = world.run("wbe.default.svc.cluster.local", "--server", world.control)
    assert ran.returncode == 1
    lines = [line.split() for line in ran.stdout.splitlines()]
    assert ["near", "web.default.svc.cluster.local."] in lines
    assert any(line[:1] == ["kubernetes"] for line in lines)
    assert any(line[:2] == ["reply", "NXDOMAIN"] for line in lines)
    for args, text in (((), "give a NAME"), (("a", "b", "c"), "give a NAME"),
                       (("a", "AXFR"), "AXFR"), (("a", "NOSUCH"), "NOSUCH"),
                       (("a..b",), "not a domain name"), (("a", "--client", "x"), "client x"),
                       (("a", "--at", "127.0.0.1:1"), "no server block listens there")):
        ran = world.run(*args, "--server", world.control)
        assert ran.returncode == 2 and text in ran.stderr, (args, ran.stderr)
    ran = world.run("a", "--server", tmp_path / "nothing")
    assert ran.returncode == 2 and "-conf FILE" in ran.stderr
    at = "127.0.0.1:%d" % world.server.port
    r = world.why("web.default.svc.cluster.local", "--at", at)
    assert at in r.said("listener", "chosen")[0]


def test_without_a_server(signpost, tmp_path, upstream):
    """The same from a Corefile alone; pages and ports are not opened."""
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "all.yaml").write_text(MANIFESTS)
    health = free_port()
    corefile = (COREFILE % upstream).replace("@DIR@", str(tmp_path)).replace(
        "@PORT@", "53").replace("@PORT2@", "1").replace(
        "    errors\n", "    errors\n    loop\n    ready 127.0.0.1:1\n    health 192.0.2.1:%d\n"
        % health)
    (tmp_path / "Corefile").write_text(corefile)
    ran = subprocess.run([signpost, "dns", "why", "wbe.default.svc.cluster.local", "-conf",
                          tmp_path / "Corefile", "--output", "json"], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True, timeout=20, check=False)
    assert ran.returncode == 1, ran.stderr
    r = Report(json.loads(ran.stdout))
    assert r.near == ["web.default.svc.cluster.local."] and r.rcode == "NXDOMAIN"
    assert "Sanitizer" not in ran.stderr


def test_many_at_once(world):
    """More than may be traced at one time: each gets its answer or is told to try again."""
    runs = [subprocess.Popen([world.signpost, "dns", "why", "n%d.test.example" % i, "--server",
                              world.control], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                             text=True) for i in range(30)]
    for ran in runs:
        _, errors = ran.communicate(timeout=20)
        assert ran.returncode == 0 or ran.returncode == 2 and (
            "try again" in errors or "conversation" in errors or "reset" in errors), errors
    assert world.why("web.default.svc.cluster.local").rcode == "NOERROR"


def test_under_way_at_the_end(signpost, tmp_path):
    """Whoever waits for a trace when the server ends is let go, and nothing is left behind, which a
    build with a sanitizer sees."""
    control = tmp_path / "control"
    with contextlib.closing(Upstream(lambda query, proto: [])) as silent, Server(
            signpost, tmp_path, ".:@PORT@ {\n bind 127.0.0.1\n forward . %s\n}\n" % silent, "-control", control) as server:
        with subprocess.Popen([signpost, "dns", "why", "slow.test", "--server", control],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as asking:
            wait_for(lambda: silent.queries, 20)
            assert server.stop() == 0
            asking.wait(60)
