"""`signpost explain` beside a real kernel: what it says of a packet is what becomes of it, over
Services of many kinds, from pods, the node and outside. The walker is right when it is never wrong."""
import collections
import concurrent.futures
import json
import subprocess

import pytest

from proxy_world import BACKEND_PORT, CIDRS, NODE4, NODE6, OUT4, OUT6, PODS, pod4, pod6
from proxy_world import world  # pylint: disable=unused-import

TIMES = 40  # of each flow that goes to several endpoints: none of three is missed by chance
SOURCES = {"c1": "t/c1", "p1": "t/p1", "node": "node1", "outside": None}


def meta(name, **more):
    return {"name": name, "namespace": "t", **more}


def pods():
    for name in PODS:
        yield {"apiVersion": "v1", "kind": "Pod", "metadata": meta(name),
               "spec": {"nodeName": "node1", "containers": [{"name": "c", "image": "i"}]},
               "status": {"phase": "Running", "podIPs": [{"ip": pod4(name)}, {"ip": pod6(name)}],
                          "conditions": [{"type": "Ready", "status": "True"}]}}


def node():
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node1"},
            "spec": {"podCIDRs": ["10.244.1.0/24", "fd00:10:244:1::/64"]},
            "status": {"addresses": [{"type": "InternalIP", "address": NODE4},
                                     {"type": "InternalIP", "address": NODE6}]}}


def service(name, ip, backends, where="node1", balancer=(), family=4, **spec):
    """backends: pods; with spec.type a node port 30000 + the last part of ip goes with it."""
    port = 30000 + int(ip.rsplit(".", 1)[-1].rsplit(":", 1)[-1])
    ports = [{"name": "h", "port": 80, "protocol": "TCP"}, {"name": "d", "port": 53, "protocol": "UDP"}]
    for p in ports if "type" in spec else ():
        p["nodePort"] = port
    yield {"apiVersion": "v1", "kind": "Service", "metadata": meta(name),
           "spec": {"clusterIP": ip, "clusterIPs": [ip], "ports": ports, **spec},
           "status": {"loadBalancer": {"ingress": [{"ip": b} for b in balancer]}}}
    address = pod4 if family == 4 else pod6
    yield {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
           "addressType": "IPv%d" % family,
           "metadata": meta(name + "-1", labels={"kubernetes.io/service-name": name}),
           "ports": [{"name": p["name"], "port": BACKEND_PORT, "protocol": p["protocol"]} for p in ports],
           "endpoints": [{"addresses": [address(b)], "nodeName": where} for b in backends]}


SERVICES = {
    "web": service("web", "10.96.0.10", ["p1", "p2", "p3"]),
    "self": service("self", "10.96.0.12", ["p1"]),
    "none": service("none", "10.96.0.14", []),
    "six": service("six", "fd00:10:96::10", ["p1", "p2", "p3"], family=6),
    "port": service("port", "10.96.0.20", ["p1", "p2"], type="NodePort"),
    "six-port": service("six-port", "fd00:10:96::21", ["p2"], family=6, type="NodePort"),
    "guarded": service("guarded", "10.96.0.22", ["p1", "p3"], balancer=["203.0.113.1"],
                       type="LoadBalancer", loadBalancerSourceRanges=[OUT4 + "/32"]),
    "shut": service("shut", "10.96.0.23", ["p1"], balancer=["203.0.113.2"], type="LoadBalancer",
                    loadBalancerSourceRanges=["192.0.2.0/24"]),
    "far": service("far", "10.96.0.24", ["p2"], where="node2", balancer=["203.0.113.3"],
                   type="LoadBalancer", externalTrafficPolicy="Local"),
    "near": service("near", "10.96.0.25", ["p1", "p2"], balancer=["203.0.113.4"],
                    type="LoadBalancer", externalTrafficPolicy="Local"),
    "inner": service("inner", "10.96.0.26", ["p2"], where="node2", internalTrafficPolicy="Local"),
    "inner-here": service("inner-here", "10.96.0.27", ["p3"], internalTrafficPolicy="Local"),
    "sticky": service("sticky", "10.96.0.28", ["p1", "p2", "p3"], sessionAffinity="ClientIP"),
    "outer": service("outer", "10.96.0.29", ["p2", "p3"], externalIPs=["198.51.100.7"]),
    "empty-port": service("empty-port", "10.96.0.30", [], type="NodePort"),
}

# Every source goes to each of these; those that end in silence cost a second and a half each.
TARGETS = ["10.96.0.10:80", "10.96.0.10:53/udp", "10.96.0.10:81", "10.96.0.12:80", "10.96.0.12:53/udp",
           "10.96.0.14:80", "10.96.0.14:53/udp", "10.96.0.20:80", NODE4 + ":30020",
           NODE4 + ":30020/udp", NODE4 + ":30030", "203.0.113.1:80", "203.0.113.4:80", "10.96.0.25:80",
           "10.96.0.27:80", "10.96.0.28:80", "198.51.100.7:80", "198.51.100.7:53/udp",
           "[fd00:10:96::10]:80", "[fd00:10:96::10]:53/udp", "[%s]:30021" % NODE6, "203.0.113.3:80"]
SILENT = [("c1", "10.96.0.26:80"), ("node", "10.96.0.26:80"), ("outside", "203.0.113.3:80"),
          ("c1", "203.0.113.2:80"), ("outside", "203.0.113.2:80"), ("c1", "203.0.113.1:80"),
          ("c1", "10.96.200.200:80")]
FLOWS = [(s, t) for s in SOURCES for t in TARGETS if (s, t) not in SILENT] + SILENT


def explain(w, mode, source, target):
    address, _, proto = target.partition("/")
    who = SOURCES[source] or (OUT6 if address.startswith("[") else OUT4)
    more = [] if SOURCES[source] else ["--at", "node1"]
    ran = subprocess.run([w.program, "explain", who, address, "--protocol", proto or "tcp",
                          "--manifests", w.folder, "--cluster-cidr", CIDRS, "--output", "json",
                          "--proxy-mode", mode, *more],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30, check=False)
    assert ran.returncode in (0, 1), (source, target, ran.stderr)
    said = json.loads(ran.stdout)
    assert said["reachable"] == (ran.returncode == 0)
    return said


def ask(w, source, target, n):
    address, _, proto = target.partition("/")
    host, port = address.rsplit(":", 1)
    return w.ask(source, proto or "tcp", host.strip("[]"), int(port), n)


def name_of(outcome):
    return outcome["pod"].split("/")[1] if outcome["pod"] else outcome["ip"]


def compare(w, mode, source, target):
    """Returns how many connections were made."""
    said = explain(w, mode, source, target)
    ways = said["ways"][-1]["outcomes"]
    ends = {o["end"] for o in ways}
    if not said["reachable"]:
        assert len(ends) == 1, (source, target, ways)
        real = ask(w, source, target, 1)
        wanted = {"rejected": "refused", "dropped": "timeout", "sent": "timeout"}[ends.pop()]
        assert real[0]["outcome"] == wanted, (source, target, said["verdict"], real)
        return 1
    assert ends == {"sent"}, said["verdict"]
    assert abs(sum(o["share"] for o in ways) - 1) < 1e-6
    real = ask(w, source, target, TIMES)
    masquerade = {name_of(o): o["masquerade"] for o in ways}
    kept = any(o["kept"] for o in ways)
    seen = collections.Counter(r.get("name", r["outcome"]) for r in real)
    if kept:
        assert len(seen) == 1 and set(seen) <= set(masquerade), (source, target, seen)
    else:
        assert set(seen) == set(masquerade), (source, target, seen, masquerade)
    for r in real:
        assert (r["seen"] != r["own"]) == masquerade[r["name"]], (source, target, r, masquerade)
    return len(real)


@pytest.fixture
def filled(world):  # pylint: disable=redefined-outer-name
    world.write("0", node(), *pods())
    for name, objects in SERVICES.items():
        SERVICES[name] = list(objects)
        world.write(name, *SERVICES[name])
    return world


@pytest.mark.parametrize("mode", ["nftables", "iptables"])
def test_the_walker_and_the_kernel_agree(filled, mode):
    filled.proxy("--oneshot", "--proxy-mode", mode)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda flow: compare(filled, mode, *flow), FLOWS))
    assert sum(made) > 1000 and made.count(1) >= len(SILENT) + 10, made
