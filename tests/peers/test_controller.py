"""The EndpointSlice controller beside kube-controller-manager: each on an API server of its own, the same random
changes to both. Whenever all is quiet, the slices say the same, names aside. CONTROLLER_CHANGES sets how many."""
import json
import os
import random
import subprocess
import time

import kube_world
import pytest

CHANGES = int(os.environ.get("CONTROLLER_CHANGES", "200"))
BETWEEN_LOOKS = 50
PODS = 60
SERVICES = 5
NODES = 4
MANAGED = "endpointslice-controller.k8s.io"
NS = "shop"


class Theirs(kube_world.Cluster):
    def start_controllers(self):
        self.controllers = self.run(
            "kube-controller-manager", "--kubeconfig=" + self.admin, "--leader-elect=false",
            "--controllers=endpointslice-controller", "--secure-port=0", "--max-endpoints-per-slice=10",
            "--kube-api-qps=500", "--kube-api-burst=500")


class Ours(kube_world.Cluster):
    program = None

    def start_controllers(self):
        with open(self.path("controller.log"), "ab") as log:
            self.controllers = subprocess.Popen(
                [self.program, "controller", "--kubeconfig", self.admin, "--metrics-bind-address=",
                 "--leader-elect-lease-duration=3s", "--leader-elect-renew-deadline=2s",
                 "--leader-elect-retry-period=500ms", "--max-endpoints-per-slice=10", "--kube-api-qps=500",
                 "--kube-api-burst=500"], stdout=log, stderr=log)


@pytest.fixture
def pair(signpost, tmp_path):
    reason = kube_world.missing()
    if reason:
        pytest.skip(reason)
    Ours.program = signpost
    for name in "theirs", "ours":
        (tmp_path / name).mkdir()
    with Theirs(tmp_path / "theirs") as theirs, Ours(tmp_path / "ours") as ours:
        for cluster in theirs, ours:
            cluster.add_namespace(NS)
            for i in range(NODES):
                cluster.create({"apiVersion": "v1", "kind": "Node", "metadata": {
                    "name": "n%d" % i, "labels": {"topology.kubernetes.io/zone": "z%d" % (i % 2)}}})
        yield theirs, ours


class Life:
    """Random changes, made to all clusters alike."""

    def __init__(self, clusters, seed):
        self.clusters, self.dice = clusters, random.Random(seed)
        self.pods = {}  # name -> address
        self.services = set()

    def all(self, method, *words, **more):
        for cluster in self.clusters:
            getattr(cluster, method)(*words, **more)

    def status(self, name):
        ready, phase = self.dice.random() < 0.7, "Failed" if self.dice.random() < 0.05 else "Running"
        ip = self.pods[name]
        self.all("set_ready", name, ready, NS, podIP=ip, podIPs=[{"ip": ip}], phase=phase)

    def add_pod(self, name):
        self.pods[name] = "10.1.%d.%d" % (self.dice.randrange(250), int(name[1:]) + 1)
        spec = {"nodeName": "n%d" % self.dice.randrange(NODES), "terminationGracePeriodSeconds": 0, "containers": [
            {"name": "c", "image": "x", "ports": [{"name": "web", "containerPort": 9000 + int(name[1:]) % 2}]}]}
        if self.dice.random() < 0.3:
            spec.update(hostname=name, subdomain="s2")
        self.all("create", {"apiVersion": "v1", "kind": "Pod", "spec": spec, "metadata": {
            "name": name, "namespace": NS, "labels": {"app": self.dice.choice("abc")}}})
        self.status(name)

    def change_pod(self):
        name, what = "p%d" % self.dice.randrange(PODS), self.dice.randrange(10)
        if name not in self.pods:
            self.add_pod(name)
        elif what < 5:
            self.status(name)
        elif what < 7:
            self.all("patch", "Pod", name, {"metadata": {"labels": {"app": self.dice.choice("abc")}}}, NS)
        elif what < 8:  # it ends, but takes its time
            for cluster in self.clusters:
                cluster.call("DELETE", cluster.at("Pod", name, NS), {"gracePeriodSeconds": 300})
        else:
            del self.pods[name]
            self.all("delete", "Pod", name, NS)

    def change_service(self):
        n = self.dice.randrange(SERVICES)
        name = "s%d" % n
        if name in self.services and self.dice.random() < 0.15:
            self.services.discard(name)
            self.all("delete", "Service", name, NS)
            return
        ports = [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": self.dice.choice([8080, "web"])}]
        if n == 4:
            ports.append({"name": "dns", "port": 53, "protocol": "UDP", "appProtocol": "example.com/x",
                          "targetPort": self.dice.choice([53, "web"])})
        spec = {"selector": {"app": "abc"[n % 3]}, "ports": ports, "publishNotReadyAddresses": n == 3,
                "trafficDistribution": self.dice.choice([None, "PreferClose", "PreferSameZone", "PreferSameNode"])}
        meta = {"name": name, "namespace": NS, "labels": {"x": self.dice.choice(["1", "2"])}}
        if name in self.services:
            self.all("patch", "Service", name, {"metadata": {"labels": meta["labels"]}, "spec": spec}, NS)
            return
        self.services.add(name)
        self.all("create", {"apiVersion": "v1", "kind": "Service", "metadata": meta,
                            "spec": dict(spec, **({"clusterIP": "None"} if n == 2 else {}))})

    def change(self):
        if self.dice.random() < 0.75:
            self.change_pod()
        else:
            self.change_service()


def items(cluster, kind):
    return cluster.call("GET", cluster.at(kind, "", NS).rstrip("/"))["items"]


def look(cluster):
    """{what slices that can be told apart say: their endpoints}. What waits for the garbage collection does not count."""
    alive = {s["metadata"]["uid"] for s in items(cluster, "Service")}
    seen = {}
    for one in items(cluster, "EndpointSlice"):
        meta, owners = one["metadata"], one["metadata"].get("ownerReferences", [])
        if meta["labels"].get("endpointslice.kubernetes.io/managed-by") != MANAGED or owners[0]["uid"] not in alive:
            continue
        head = [meta["labels"], meta["generateName"], one["addressType"], [dict(o, uid="") for o in owners],
                sorted(one["ports"] or [], key=str)]
        for endpoint in one["endpoints"] or []:
            endpoint.get("targetRef", {}).pop("uid", None)
        seen.setdefault(json.dumps(head, sort_keys=True), []).extend(
            json.dumps(e, sort_keys=True) for e in one["endpoints"] or [])
    return {head: sorted(endpoints) for head, endpoints in seen.items()}


def same(pair, seconds):
    """Waits until both say the same, and go on doing so."""
    end, since, views = time.monotonic() + seconds, None, None
    while time.monotonic() < end:
        before, views = views, [look(cluster) for cluster in pair]
        if views[0] != views[1] or views != before:
            since = None
        since = since or time.monotonic()
        if views[0] == views[1] and time.monotonic() - since > 1.5:
            return views[0]
        time.sleep(0.2)
    theirs, ours = ({(h, e) for h, es in v.items() for e in es or [""]} for v in views)
    pytest.fail("only theirs: %s\nonly ours: %s" % (sorted(theirs - ours)[:5], sorted(ours - theirs)[:5]))


def test_the_same_slices(pair):
    life = Life(pair, 1)
    for i in range(CHANGES):
        life.change()
        if (i + 1) % BETWEEN_LOOKS == 0:
            same(pair, 60)
    assert any(same(pair, 60).values())


def test_an_api_server_that_is_killed(pair):
    ours, life = pair[1], Life(pair, 2)
    for _ in range(60):
        life.change()
    same(pair, 60)
    ours.kill_api()
    time.sleep(3)
    ours.start_api()
    for _ in range(30):
        life.change()
    assert any(same(pair, 90).values())
