"""Hints by the zones' CPUs (topology-mode: Auto) beside kube-controller-manager. Which endpoint is for which zone is
left to chance by the original, so zones are counted, in one slice and with two zones."""
import time

from test_controller import NS, pair  # noqa: F401

MODE = "service.kubernetes.io/topology-mode"
OLD_MODE = "service.kubernetes.io/topology-aware-hints"


def put_nodes(cluster, nodes):
    """name -> (zone, CPUs, ready). Nodes come with their zone, and get ready later: one that is ready without a zone
    would end all hints until their Service is looked at again."""
    for name, (zone, cpu, ready) in nodes.items():
        cluster.create({"apiVersion": "v1", "kind": "Node", "metadata": {
            "name": name, "labels": {"topology.kubernetes.io/zone": zone} if zone else {}}})
        cluster.patch("Node", name, {"status": {
            "allocatable": {"cpu": cpu}, "conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}},
            part="/status")


def hints(cluster):
    """How many ready endpoints are for which zones."""
    found = {}
    for one in cluster.call("GET", cluster.at("EndpointSlice", "", NS).rstrip("/"))["items"]:
        for endpoint in one["endpoints"] or []:
            zones = ",".join(z["name"] for z in endpoint.get("hints", {}).get("forZones", []))
            found[zones] = found.get(zones, 0) + endpoint["conditions"]["ready"]
    return found


def events(cluster):
    return {(e["type"], e["reason"], e["message"].partition(" (")[0]) for e in cluster.call(
        "GET", "/api/v1/namespaces/%s/events" % NS)["items"]}


def both(pair, want):
    end = time.monotonic() + 60
    while [hints(c) for c in pair] != [want, want]:
        assert time.monotonic() < end, [hints(c) for c in pair]
        time.sleep(0.1)


def test_hints_by_cpus(pair):
    for cluster in pair:
        cluster.delete("Node", "node-a")
        put_nodes(cluster, {"n0": ("z0", "2", True), "n1": ("z1", "2", True), "n2": ("", "8", False)})
        cluster.create({"apiVersion": "v1", "kind": "Service", "metadata": {
            "name": "web", "namespace": NS, "annotations": {MODE: "Auto"}},
            "spec": {"selector": {"app": "a"}, "ports": [{"port": 80}]}})
        for i in range(8):
            cluster.create({"apiVersion": "v1", "kind": "Pod", "metadata": {
                "name": "p%d" % i, "namespace": NS, "labels": {"app": "a"}},
                "spec": {"nodeName": "n%d" % (i > 5), "containers": [{"name": "c", "image": "x"}]}})
            cluster.set_ready("p%d" % i, True, NS, podIP="10.1.0.%d" % (i + 1), phase="Running")
    both(pair, {"z0": 4, "z1": 4})
    for cluster in pair:  # fewer CPUs for one zone: what is there fits no more
        put_nodes(cluster, {"n3": ("z1", "4", True)})
    both(pair, {"z0": 2, "z1": 6})
    for cluster in pair:  # less than 20 % too much: they stay
        put_nodes(cluster, {"n4": ("z0", "500m", True)})
    time.sleep(2)
    both(pair, {"z0": 2, "z1": 6})
    for cluster in pair:
        cluster.set_ready("p7", False, NS)
        cluster.patch("Service", "web", {"metadata": {"labels": {"x": "1"}}}, NS)
    time.sleep(2)
    assert hints(pair[0]) == hints(pair[1])
    for cluster in pair:  # two zones, one endpoint
        for i in range(7):
            cluster.set_ready("p%d" % i, i == 0, NS)
    both(pair, {"": 1})
    for cluster in pair:
        for i in range(8):
            cluster.set_ready("p%d" % i, True, NS)
        cluster.patch("Service", "web", {"metadata": {"annotations": {OLD_MODE: "auto", MODE: None}}}, NS)
    end = time.monotonic() + 30
    while set(hints(pair[0])) != {"z0", "z1"} or hints(pair[0]) != hints(pair[1]):
        assert time.monotonic() < end, [hints(c) for c in pair]
        time.sleep(0.1)
    for cluster in pair:
        cluster.patch("Service", "web", {"metadata": {"annotations": {OLD_MODE: None}},
                                         "spec": {"trafficDistribution": "PreferClose"}}, NS)
    both(pair, {"z0": 6, "z1": 2})
    end = time.monotonic() + 30
    while events(pair[0]) != events(pair[1]):
        assert time.monotonic() < end, [events(c) for c in pair]
        time.sleep(0.1)
    assert {reason for _, reason, _ in events(pair[1])} == {"TopologyAwareHintsEnabled", "TopologyAwareHintsDisabled"}
