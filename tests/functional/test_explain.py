"""`signpost explain`: the search walk, each cause of a failure, and what is not one; from tables."""
import json
import re
import subprocess

import pytest
import yaml

NODES = """
apiVersion: v1
kind: Node
metadata: {name: n1, labels: {topology.kubernetes.io/zone: a}}
spec: {podCIDRs: [10.244.1.0/24]}
status: {addresses: [{type: InternalIP, address: 172.18.0.11}]}
---
apiVersion: v1
kind: Node
metadata: {name: n2, labels: {topology.kubernetes.io/zone: b}}
spec: {podCIDRs: [10.244.2.0/24]}
status: {addresses: [{type: InternalIP, address: 172.18.0.12}]}
---
apiVersion: v1
kind: Namespace
metadata: {name: app}
---
apiVersion: v1
kind: Namespace
metadata: {name: other}
---
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec: {clusterIP: 10.96.0.10, selector: {k8s-app: kube-dns}, ports: [{name: dns, port: 53, protocol: UDP}]}
"""


def pod(name, ip, labels=None, ns="app", node="n1", ready=True, ports=((None, 8080),), phase="Running",
        **spec):
    made = {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": ns, "labels": labels or {}},
            "spec": {"nodeName": node, "containers": [
                {"name": "c", "image": "i",
                 "ports": [{"containerPort": p, **({"name": n} if n else {})} for n, p in ports]}], **spec},
            "status": {"phase": phase,
                       "conditions": [{"type": "Ready", "status": str(ready)}]}}
    if ip:
        made["status"]["podIPs"] = [{"ip": ip}]
    return made


def service(name, ip="10.96.1.1", ns="app", port=80, target=8080, selector="web", **spec):
    made = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": ns},
            "spec": {"clusterIP": ip, "ports": [{"name": "http", "port": port, "targetPort": target}],
                     **spec}}
    if selector:
        made["spec"]["selector"] = {"app": selector}
    return made


def slice_of(name, ips, port_name="http", **conditions):
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": name + "-1", "namespace": "app",
                         "labels": {"kubernetes.io/service-name": name}},
            "ports": [{"name": port_name, "port": 8080}],
            "endpoints": [{"addresses": [ip], "conditions": conditions} for ip in ips]}


WEB = {"app": "web"}
CLIENT = pod("c", "10.244.1.9")
DNS = pod("dns", "10.244.1.2", {"k8s-app": "kube-dns"}, ns="kube-system", ports=(("dns", 53),))
WEBS = [pod("w1", "10.244.1.3", WEB), pod("w2", "10.244.2.3", WEB, node="n2")]


class Folder:
    def __init__(self, program, path):
        self.program, self.path = program, path
        (path / "0.yaml").write_text(NODES)

    def write(self, *objects):
        (self.path / "1.yaml").write_text("\n---\n".join(json.dumps(o) for o in objects))

    def run(self, *args):
        return subprocess.run([self.program, "explain", *args, "--manifests", self.path],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30,
                              check=False)

    def say(self, source, target, *flags):
        ran = self.run(source, target, "--output", "json", *flags)
        assert ran.returncode in (0, 1), ran.stderr
        assert "Sanitizer" not in ran.stderr
        said = json.loads(ran.stdout)
        assert said["reachable"] == (ran.returncode == 0)
        return said


class Bare(Folder):
    """With nothing in it."""

    def __init__(self, program, path):  # pylint: disable=super-init-not-called
        self.program, self.path = program, path


@pytest.fixture
def folder(signpost, tmp_path):
    return Folder(signpost, tmp_path)


def codes(said, what="causes"):
    return [c["code"] for c in said[what]]


def endpoints(said, inside=True):
    return sorted(e["ip"] for e in said["endpoints"] if e["in"] == inside)


# ---- why it fails: objects, target, code, a piece of the verdict, a piece of the advice

FAILURES = {
    "no such name": ([CLIENT, DNS, *WEBS, service("web")], "wbe", "no-such-name",
                     'no Service "wbe" in the namespace "app"', "web.app.svc.cluster.local"),
    "another namespace": ([CLIENT, DNS, service("web", ns="other")], "web", "no-such-name",
                          'no Service "web" in the namespace "app"', "web.other.svc"),
    "no such namespace": ([CLIENT, DNS, service("web")], "web.othr", "no-such-name", "othr", "did you mean"),
    "selector": ([CLIENT, DNS, *WEBS, service("web", selector="wbe")], "web:80", "selector-matches-nothing",
                 "app=wbe matches no pod", "did you mean app=web, as pod w"),
    "selector far off": ([CLIENT, DNS, *WEBS, service("web", selector="database")], "web:80",
                         "selector-matches-nothing", "app=database matches no pod", "let the selector"),
    "not ready": ([CLIENT, DNS, pod("w1", "10.244.1.3", WEB, ready=False), service("web")], "web",
                  "pods-not-ready", "of 1 pod that the selector app=web matches", "pod app/w1"),
    "pending": ([CLIENT, DNS, pod("w1", None, WEB, ready=False, phase="Pending"), service("web")], "web",
                "pods-not-ready", "0 have an address", "pod app/w1"),
    "no slice": ([CLIENT, DNS, service("web", selector=None)], "web", "slice-missing",
                 "nobody made an EndpointSlice", "kubernetes.io/service-name"),
    "stale slice": ([CLIENT, DNS, *WEBS, service("web"), slice_of("web", [])], "web", "slice-missing",
                    "no EndpointSlice has them", "controller runs"),
    "slice port": ([CLIENT, DNS, service("web", selector=None), slice_of("web", ["10.244.1.3"], "htpp")],
                   "web", "wrong-port-name", "no EndpointSlice of it has a port of that name", "names"),
    "named port": ([CLIENT, DNS, *WEBS, service("web", target="web")], "web", "named-port-missing",
                   'targetPort "web" is the name of no container port', "name the container's port"),
    "port not in Service": ([CLIENT, DNS, *WEBS, service("web")], "web:8080", "port-not-in-service",
                            "has no port 8080 over TCP; its ports: 80/TCP (http)", "use one of them"),
    "named port not in Service": ([CLIENT, DNS, *WEBS, service("web")], "web:grpc", "port-not-in-service",
                                  "has no port grpc", "use one of them"),
    "headless port": ([CLIENT, DNS, *WEBS, service("web", ip="None")], "web:80", "headless-port",
                      "is headless", "use port 8080"),
    "headless, nobody": ([CLIENT, DNS, service("web", ip="None")], "web", "no-such-name",
                         "no ready endpoint", "check the name"),
    "Local inside": ([CLIENT, DNS, WEBS[1], service("web", internalTrafficPolicy="Local")], "web",
                     "local-without-endpoint", "none of its endpoints is on node n1", "policy Cluster"),
    "DNS is dead": ([CLIENT, *WEBS, service("web")], "web", "dns-unreachable",
                    "the cluster's DNS cannot be asked at 10.96.0.10: Service kube-system/kube-dns has no "
                    "endpoint", "labels"),
    "unallocated": ([CLIENT, DNS], "10.96.77.77:80", "no-such-address", "no Service has it", "by its name"),
    "family": ([CLIENT, DNS, service("six", ip="fd00:10:96::1", ipFamilies=["IPv6"]),
                pod("w6", "fd00:10:244::3", WEB)], "six", "no-common-family",
               "app/c has no IPv6 address", "ipFamilies"),
    "ended pod": ([CLIENT, DNS, pod("job", "10.244.1.7", phase="Succeeded")], "10.244.1.7:80", "pod-ended",
                  "pod app/job has ended", "again"),
    "no address yet": ([pod("c", None, phase="Pending"), DNS, *WEBS, service("web")], "web",
                       "source-without-address", "no address yet", "runs"),
}


@pytest.mark.parametrize("mode", ["nftables", "iptables"])
@pytest.mark.parametrize("case", FAILURES)
def test_failures(folder, case, mode):
    objects, target, code, verdict, change = FAILURES[case]
    folder.write(*objects)
    said = folder.say("app/c", target, "--proxy-mode", mode)
    assert not said["reachable"] and codes(said)[0] == code, said["verdict"]
    if case == "no slice" and mode == "nftables":  # T101
        assert [o["end"] for o in said["ways"][0]["outcomes"]] == ["rejected"]
    assert verdict in said["verdict"] and verdict in said["causes"][0]["text"]
    assert change in said["causes"][0]["change"]
    assert said["verdict"].count("\n") == 0


def test_local_policy_of_nodes(folder):
    """From outside policy Local wants an endpoint at the node; pods are served everywhere."""
    folder.write(CLIENT, DNS, WEBS[1], service("web", type="NodePort", externalTrafficPolicy="Local",
                                               ports=[{"name": "http", "port": 80, "targetPort": 8080,
                                                       "nodePort": 30080}]))
    cidr = ("--cluster-cidr", "10.244.0.0/16")
    said = folder.say("192.0.2.1", "172.18.0.11:30080", *cidr)
    assert codes(said) == ["local-without-endpoint"] and "node n1" in said["verdict"]
    assert "externalTrafficPolicy Local" in said["verdict"]
    assert folder.say("192.0.2.1", "172.18.0.12:30080", *cidr)["reachable"]
    said = folder.say("app/c", "172.18.0.12:30080", *cidr)  # by way of the other node's rules
    assert said["reachable"] and said["ways"][0]["next"] == "n2"
    assert said["ways"][1]["outcomes"][0]["ip"] == "10.244.2.3"


def test_source_ranges(folder):
    made = service("web", type="LoadBalancer", loadBalancerSourceRanges=["198.51.100.0/24"])
    made["status"] = {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}
    folder.write(CLIENT, DNS, *WEBS, made)
    said = folder.say("192.0.2.1", "203.0.113.1:80", "--at", "n1")
    assert codes(said) == ["source-range"] and "do not let 192.0.2.1 in" in said["verdict"]
    assert folder.say("198.51.100.7", "203.0.113.1:80", "--at", "n1")["reachable"]


# ---- what works

def test_cluster_ip(folder):
    folder.write(CLIENT, DNS, *WEBS, service("web"))
    said = folder.say("c", "web")
    assert said["reachable"] and said["port"] == 80 and endpoints(said) == ["10.244.1.3", "10.244.2.3"]
    way = said["ways"][0]
    assert [o["share"] for o in way["outcomes"]] == [0.5, 0.5]
    for o in way["outcomes"]:  # T98: DNAT to that pod, no SNAT
        assert o["dnat"] and not o["masquerade"] and o["end"] == "sent" and o["port"] == 8080
        assert o["pod"] in ("app/w1", "app/w2") and "turns the sender back into 10.96.1.1:80" in o["reply"]
    chains = [s["chain"] for s in way["outcomes"][0]["steps"]]
    assert "services" in chains and "draw2-tcp" in chains
    assert any(s["map"] == "services" and "10.96.1.1 . tcp . 80" in s["element"]
               for s in way["outcomes"][0]["steps"])


def test_iptables_mode(folder):
    """The chains that people know."""
    folder.write(CLIENT, DNS, *WEBS, service("web"))
    said = folder.say("c", "web", "--proxy-mode", "iptables")
    chains = [s["chain"] for s in said["ways"][0]["outcomes"][0]["steps"]]
    assert "nat KUBE-SERVICES" in chains and any(c.startswith("nat KUBE-SEP-") for c in chains)
    assert [round(o["share"], 6) for o in said["ways"][0]["outcomes"]] == [0.5, 0.5]
    ran = folder.run("c", "web", "--proxy-mode", "iptables")
    assert "-m statistic --mode random --probability 0.5" in ran.stdout
    ran = folder.run("c", "web:81", "--proxy-mode", "iptables")  # no rule of this mode minds
    assert ran.returncode == 1 and re.search("then +lost +no way from here", ran.stdout)
    ran = folder.run("c", "web", "--proxy-mode", "ipvs")
    assert ran.returncode == 2 and "ipvs" in ran.stderr


@pytest.mark.parametrize("mode", ["nftables", "iptables"])
def test_hairpin(folder, mode):
    folder.write(DNS, WEBS[0], service("web"))
    said = folder.say("app/w1", "web", "--proxy-mode", mode)
    out = said["ways"][0]["outcomes"][0]
    assert said["reachable"] and out["masquerade"] and out["why"] == "to oneself"  # T99
    assert codes(said, "notes") == ["hairpin"] and "itself" in said["notes"][0]["text"]


def test_wrong_target_port_is_a_hint(folder):
    folder.write(CLIENT, DNS, *WEBS, service("web", target=8081))
    said = folder.say("app/c", "web")
    assert said["reachable"] and "wrong-target-port" in codes(said, "notes")
    assert "port 8081, which no container of pod w1 declares (8080)" in said["verdict"]


def test_headless(folder):
    folder.write(CLIENT, DNS, *WEBS, service("web", ip="None"))
    said = folder.say("app/c", "web")
    assert said["reachable"] and said["port"] == 8080 and len(said["ways"]) == 2
    assert not any(o["dnat"] for w in said["ways"] for o in w["outcomes"])


def test_external_name(folder):
    folder.write(CLIENT, DNS, service("api", ip="", selector=None, type="ExternalName", externalName="x.example"))
    said = folder.say("app/c", "api")
    assert said["reachable"] and "external-name" in codes(said, "notes") and "x.example" in said["verdict"]
    said = folder.say("app/c", "api:443", "--outside", "x.example=192.0.2.7")
    assert said["reachable"] and said["ways"][0]["outcomes"][0]["ip"] == "192.0.2.7"


def test_affinity(folder):
    folder.write(CLIENT, DNS, *WEBS, service("web", sessionAffinity="ClientIP"))
    said = folder.say("app/c", "web")
    assert "affinity" in codes(said, "notes") and said["ways"][0]["outcomes"][0]["kept"] == 10800


def test_endpoints_in_and_out(folder):
    """Each with its reason."""
    folder.write(CLIENT, DNS, WEBS[0], pod("w3", "10.244.1.4", WEB, ready=False),
                 pod("w4", None, WEB, phase="Pending", ready=False),
                 pod("w5", "10.244.1.5", WEB, phase="Failed", ready=False), service("web"))
    said = folder.say("app/c", "web")
    why = {e["pod"]: (e["in"], e["why"]) for e in said["endpoints"]}
    assert why == {"app/w1": (True, "ready"), "app/w3": (False, "not ready"),
                   "app/w4": (False, "not an endpoint: the pod has no address yet (Pending)"),
                   "app/w5": (False, "not an endpoint: the pod has ended (Failed)")}


def test_stale_endpoint(folder):
    made = slice_of("web", ["10.244.1.3", "10.244.1.4"])
    for number, e in enumerate(made["endpoints"]):
        e["targetRef"] = {"kind": "Pod", "namespace": "app", "name": "w%d" % (number + 1)}
    folder.write(CLIENT, DNS, WEBS[0], service("web"), made)
    said = folder.say("app/c", "web")
    assert codes(said, "notes") == ["stale-endpoint"] and said["notes"][0]["text"].startswith("1 of 2 endpoints")
    assert {e["pod"]: e["why"] for e in said["endpoints"]} == {
        "app/w1": "ready", "app/w2": "in its slice, but there is no such pod"}


def test_resolv_conf_that_not_all_can_read(folder):
    """musl drops a search line of more than 255 bytes."""
    searches = ["domain-%02d.of.a.very.long.list.example" % i for i in range(8)]
    folder.write(pod("c", "10.244.1.9", dnsConfig={"searches": searches}), DNS, *WEBS, service("web"))
    said = folder.say("app/c", "web")
    assert said["reachable"] and codes(said, "notes") == ["resolv-conf"]
    assert "musl" in said["notes"][0]["text"]


def test_without_a_dns_service(signpost, tmp_path):
    (tmp_path / "a.json").write_text("\n".join(json.dumps(o) for o in [CLIENT, *WEBS, service("web")]))
    (tmp_path / "b.yaml").write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: app}\n")
    said = Folder.say(Bare(signpost, tmp_path), "app/c", "web")
    assert said["reachable"] and codes(said, "notes") == ["no-dns-service", "no-node"]
    said = Folder.say(Bare(signpost, tmp_path), "app/c", "web", "--cluster-dns", "10.96.0.10")
    assert codes(said)[0] == "dns-unreachable"


def test_conditions_and_hints(folder):
    made = slice_of("web", [])
    made["endpoints"] = [
        {"addresses": ["10.250.1.3"], "hints": {"forZones": [{"name": "a"}]}},
        {"addresses": ["10.250.2.3"], "hints": {"forZones": [{"name": "b"}]}},
        {"addresses": ["10.250.2.4"], "conditions": {"ready": False, "serving": True, "terminating": True}},
        {"addresses": ["10.250.2.5"], "conditions": {"ready": False, "serving": False, "terminating": True}}]
    folder.write(CLIENT, DNS, service("web"), made)
    said = folder.say("app/c", "web")
    why = {e["ip"]: e["why"] for e in said["endpoints"]}
    assert endpoints(said) == ["10.250.1.3"]
    assert "topology hints give it to other zones" in why["10.250.2.3"]
    assert "still serving" in why["10.250.2.4"] and "not serving" in why["10.250.2.5"]
    made["endpoints"] = made["endpoints"][2:]
    folder.write(CLIENT, DNS, service("web"), made)
    said = folder.say("app/c", "web")
    assert endpoints(said) == ["10.250.2.4"] and said["reachable"]


def test_sources(folder):
    folder.write(CLIENT, pod("c", "10.244.2.9", ns="other", node="n2"), DNS, *WEBS, service("web"))
    ran = folder.run("c", "web")
    assert ran.returncode == 2 and "several" in ran.stderr
    assert "app/c" in ran.stderr and "other/c" in ran.stderr
    ran = folder.run("app/d", "web")
    assert ran.returncode == 2 and "did you mean" in ran.stderr
    assert folder.say("10.244.1.9", "web")["source"]["text"] == "pod app/c"
    said = folder.say("n1", "10.96.1.1:80", "--cluster-cidr", "10.244.0.0/16")
    assert said["source"]["text"] == "node n1"
    assert all(o["masquerade"] for o in said["ways"][0]["outcomes"])
    for args, text in ((("app/c",), "FROM and TO"), (("app/c", "web:0"), "a port is"),
                       (("app/c", "web:99999"), "a port is"), (("app/c", "[::1"), "[ADDRESS]:PORT"),
                       (("192.0.2.1", "10.96.1.1:80"), "--at NODE"), (("192.0.2.1", "web"), "no search list"),
                       (("app/c", "web", "--protocol", "icmp"), "tcp, udp or sctp"),
                       (("app/c", "web", "--output", "xml"), "text or json"),
                       (("192.0.2.1", "10.96.1.1:80", "--at", "n9"), "no such Node")):
        ran = folder.run(*args)
        assert ran.returncode == 2 and text in ran.stderr, (args, ran.stderr)


def test_text(folder):
    folder.write(CLIENT, DNS, *WEBS, service("web"))
    ran = folder.run("app/c", "web")
    assert ran.returncode == 0 and "\x1b" not in ran.stdout
    for text in ("look-up", "web.app.svc.cluster.local", "A 10.96.1.1", "endpoints", "draw2-tcp",
                 "@services { 10.96.1.1 . tcp . 80", "50% 10.244.1.3:8080", "reply"):
        assert text in ran.stdout, text
    assert ran.stdout.splitlines()[-1].startswith("pod app/c reaches web:80: ")
    ran = folder.run("app/c", "wbe")
    assert ran.returncode == 1 and "To change: did you mean" in ran.stdout


# ---- the search walk

S = ["app.svc.cluster.local", "svc.cluster.local", "cluster.local"]


def walk(folder, name, exist, searches=None, ndots=None, policy=None, aliases=None, way="glibc"):
    """exist: names of the world. Returns the candidates and the report."""
    config = {}
    if searches is not None:
        config["searches"] = searches
    if ndots is not None:
        config["options"] = [{"name": "ndots", "value": str(ndots)}]
    spec = {"dnsConfig": config} if config else {}
    if policy:
        spec["dnsPolicy"] = policy
        config["nameservers"] = ["192.0.2.53"]
    if aliases:
        spec["hostAliases"] = aliases
    folder.write(pod("c", "10.244.1.9", **spec), DNS, *WEBS, pod("w8", "10.244.1.8", WEB, ns="other"),
                 pod("w7", "10.244.1.7", WEB, ns="default"), service("bar"),
                 service("bar", "10.96.1.2", "other"), service("kubernetes", "10.96.0.1", "default"))
    outside = ["--outside", ",".join(e + "=192.0.2.9" for e in exist)] if exist else ["--outside", "none.test=192.0.2.9"]
    said = folder.say("app/c", name, "--as", way, *outside)
    return [c["name"] for c in said["lookup"]["candidates"]], said


def listed(name, suffixes):
    return [name + "." + s for s in suffixes]


# name, names of the world, further search, ndots -> candidates, found
WALKS = {
    "T55 same namespace": ("bar", [], None, None, ["bar." + S[0]], True),
    "T56 name.namespace": ("bar.other", [], None, None, listed("bar.other", S[:2]), True),
    "T57 name.namespace.svc": ("bar.other.svc", [], None, None, listed("bar.other.svc", S), True),
    "T58 whole name, four dots": ("bar.other.svc.cluster.local", [], None, None,
            listed("bar.other.svc.cluster.local", S) + ["bar.other.svc.cluster.local"], True),
    "T59 of the world": ("api.example.com", ["api.example.com"], None, None,
            listed("api.example.com", S) + ["api.example.com"], True),
    "of the world, host's search": ("api.example.com", ["api.example.com"], ["ec2.internal"], None,
                 listed("api.example.com", S + ["ec2.internal"]) + ["api.example.com"], True),
    "T60 final dot": ("api.example.com.", ["api.example.com"], None, None, ["api.example.com."], True),
    "T61 five dots, nowhere": ("a.b.c.d.e.f", [], None, None, ["a.b.c.d.e.f"] + listed("a.b.c.d.e.f", S), False),
    "T62 ndots:2, three labels": ("kubernetes.default.svc", [], None, 2,
            ["kubernetes.default.svc"] + listed("kubernetes.default.svc", S), True),
    "T63 ndots:2, two labels": ("kubernetes.default", [], None, 2, listed("kubernetes.default", S[:2]), True),
    "T64 ndots:0": ("bar", [], None, 0, ["bar", "bar." + S[0]], True),
    "T65 ndots:1": ("bar", [], None, 1, ["bar." + S[0]], True),
    "T66 ndots:20 is 15": ("a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p", [], None, 20,
            ["a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p"] + listed("a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p", S), False),
    "T74 ten domains": ("x.y", ["x.y.d9"], ["d%d" % i for i in range(1, 11)], None,
            listed("x.y", S + ["d%d" % i for i in range(1, 10)]), True),
    "T88 mixed case": ("BaR", [], None, None, ["BaR." + S[0]], True),
}


@pytest.mark.parametrize("case", WALKS)
def test_walks(folder, case):
    name, exist, searches, ndots, candidates, found = WALKS[case]
    got, said = walk(folder, name, exist, searches, ndots)
    assert got == candidates
    assert (said["lookup"]["won"] == len(candidates) - 1) == found
    assert said["reachable"] == found, said["verdict"]


# name, further search, ndots -> candidates of glibc, of musl; found by each
WAYS = {
    "five dots, nowhere": ("a.b.c.d.e.f", 5, ["a.b.c.d.e.f"] + listed("a.b.c.d.e.f", S), ["a.b.c.d.e.f"], 0, 0),
    "three labels": ("kubernetes.default.svc", 2,
                     ["kubernetes.default.svc"] + listed("kubernetes.default.svc", S), ["kubernetes.default.svc"], 1, 0),
    "two labels": ("kubernetes.default", 2, listed("kubernetes.default", S[:2]), listed("kubernetes.default", S[:2]), 1, 1),
    "ndots:0": ("bar", 0, ["bar", "bar." + S[0]], ["bar"], 1, 0),
}


@pytest.mark.parametrize("case", WAYS)
def test_ways(folder, case):
    """What glibc and Go find by the search list, musl may never look for."""
    name, ndots, glibc, musl, found_glibc, found_musl = WAYS[case]
    for way, candidates, found in (("glibc", glibc, found_glibc), ("go", glibc, found_glibc),
                                   ("musl", musl, found_musl)):
        got, said = walk(folder, name, [], ndots=ndots, way=way)
        assert got == candidates and said["reachable"] == bool(found), (way, said["verdict"])
        if way == "musl" and not found:
            assert codes(said) == ["not-searched"] and "never walks the search list" in said["verdict"]


def test_root_in_the_search_list(folder):
    got, _ = walk(folder, "a.b", [], ["s1", ".", "s2"], 5, policy="None")  # T75
    assert got == ["a.b.s1", "a.b.", "a.b.s2"]


def test_without_a_search_list(folder):
    got, _ = walk(folder, "bar", [], [], policy="None")  # T77
    assert got == ["bar"]


def test_hosts_file_first(folder):
    got, said = walk(folder, "web.example", [], aliases=[{"ip": "10.1.1.1", "hostnames": ["web.example"]}])
    assert got == [] and said["lookup"]["files"] == "web.example"  # T86
    assert said["ways"][0]["ip"] == "10.1.1.1"


def test_waste_is_counted(folder):
    _, said = walk(folder, "api.example.com", ["api.example.com"], ["ec2.internal"])
    note = [n for n in said["notes"] if n["code"] == "ndots"][0]  # T89
    assert note["text"].startswith("8 of 10 queries are in vain: the name has 2 dots, fewer than ndots:5")
    assert note["change"] == "write api.example.com.: 2 queries"


def test_wildcard_of_a_search_domain(folder):
    got, said = walk(folder, "api.example.com", ["*.corp.test", "api.example.com"], ["corp.test"])
    assert got[-1] == "api.example.com.corp.test" and codes(said) == ["search-wildcard"]
    assert "captures the name" in said["verdict"] and said["causes"][0]["change"] == "write api.example.com."
    got, said = walk(folder, "api.example.com.", ["*.corp.test", "api.example.com"], ["corp.test"])
    assert said["reachable"] and len(got) == 1


def test_service_that_captures_a_name_of_the_world(folder):
    folder.write(CLIENT, DNS, *WEBS, service("bar", "10.96.1.2", "other"))
    said = folder.say("app/c", "bar.other", "--outside", "bar.other=192.0.2.1")
    assert codes(said) == ["search-wildcard"] and "bar.other.svc.cluster.local answers first" in said["verdict"]


def test_wildcard_is_a_risk_when_nobody_knows(folder):
    folder.write(pod("c", "10.244.1.9", dnsConfig={"searches": ["corp.test"]}), DNS)
    said = folder.say("app/c", "api.example.com")
    assert said["reachable"] and "search-wildcard" in codes(said, "notes")


def test_node_policies(folder, tmp_path):
    """dnsPolicy Default: the node's resolv.conf is all that counts."""
    resolv = tmp_path / "resolv"
    resolv.write_text("nameserver 192.0.2.53\nsearch corp.test\n")
    folder.write(pod("c", "10.244.1.9", dnsPolicy="Default"), DNS, *WEBS, service("web"))
    said = folder.say("app/c", "web", "--host-resolv", resolv)
    assert said["lookup"]["search"] == ["corp.test"] and codes(said) == ["no-such-name"]


# ---- the lab's failures, as far as objects tell them

BROKEN = {"no-ready-endpoints": "pods-not-ready", "wrong-target-port": None, "named-port-missing": "named-port-missing",
          "wrong-selector": "selector-matches-nothing", "wrong-port": "port-not-in-service",
          "internal-local": "local-without-endpoint", "external-local": "local-without-endpoint",
          "dead-endpoint": "stale-endpoint", "no-such-service": "no-such-name", "forward-loop": "forward-loop",
          "search-wildcard": "search-wildcard", "dns-not-ready": "dns-unreachable", "musl-search": "search-line"}
COSTLY = {"wrong-target-port": "wrong-target-port", "search-wildcard": "search-wildcard", "ndots-storm": "ndots",
          "dns-dead": "dns-dead", "cached-nxdomain": "cached-nxdomain"}
WORDS = {"$NODE1IP": "172.18.0.11", "$NODE1": "n1", "$NODE2": "n2", "$GHOST": "10.244.2.250"}


def failure(root, name):
    """The request that shows it, and its objects with the status that pods would have."""
    text = (root / "src" / "lab" / "failures.yaml").read_text()
    for word, meaning in WORDS.items():
        text = text.replace(word, meaning)
    found, objects, request = False, [], None
    for one in yaml.safe_load_all(text):
        if one["kind"] == "Failure":
            found = one["metadata"]["name"] == name
            request = one["request"] if found else request
        elif found:
            objects.append(one)
    for number, one in enumerate(o for o in objects if o["kind"] == "Pod"):
        ready = one["metadata"].get("labels", {}).get("lab") != "never-ready"
        one["status"] = {"phase": "Running", "podIPs": [{"ip": "10.244.%s.%d" % (one["spec"]["nodeName"][1], 20 + number)}],
                         "conditions": [{"type": "Ready", "status": str(ready)}]}
    return request, objects


@pytest.mark.parametrize("name", sorted(set(BROKEN) | set(COSTLY)))
def test_failures_of_the_lab(folder, root, name):
    request, objects = failure(root, name)
    folder.write(DNS, *objects)
    said = folder.say(request["from"], request["to"], *(["--as", request["as"]] if "as" in request else []))
    if BROKEN.get(name):
        assert codes(said)[0] == BROKEN[name] and not said["reachable"], said["verdict"]
        assert said["causes"][0]["text"] in said["verdict"]
    if name in COSTLY:
        assert COSTLY[name] in codes(said, "notes"), said
        assert any(note["code"] == COSTLY[name] and note["text"] in said["verdict"] for note in said["notes"]) or name in BROKEN
    if name == "wrong-target-port":
        assert "no container of pod server declares" in said["verdict"]


# ---- the example

SHOP = {"bar": (True, "one of 3 endpoints"), "bar.other": (True, "other/bar"), "db.data:5432": (True, "headless"),
        "api": (True, "api.example.com"), "empty": (False, "app=nobody matches no pod"),
        "baar": (False, 'no Service "baar"')}


@pytest.mark.parametrize("target", SHOP)
def test_shop(signpost, root, target):
    reachable, verdict = SHOP[target]
    ran = subprocess.run([signpost, "explain", "foo", target, "--manifests", root / "examples" / "shop",
                          "--output", "json"], stdout=subprocess.PIPE, text=True, timeout=30, check=False)
    said = json.loads(ran.stdout)
    assert said["reachable"] == reachable and ran.returncode == (0 if reachable else 1)
    assert verdict in said["verdict"] and "assumed-status" in codes(said, "notes")
