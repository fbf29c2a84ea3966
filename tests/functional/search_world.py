"""A node with pods of two namespaces and its cache, with autopath or without: what a name costs them."""
import subprocess
import sys

import pytest
from dns_world import MANIFEST
from forward_world import wait_for
from node_world import LINK_LOCAL, VIP, Node
from proxy_world import pod4, world  # noqa: F401  a fixture

OUTSIDE = """
. 60 IN SOA ns root 1 2 3 4 60
www.example.net. 300 IN A 198.51.100.1
www.example.net. 300 IN AAAA 2001:db8::1
only4.example.net. 300 IN A 198.51.100.4
"""
SERVICES = MANIFEST + """---
apiVersion: v1
kind: Namespace
metadata: {name: app}
---
apiVersion: v1
kind: Service
metadata: {name: near, namespace: app}
spec: {clusterIP: 10.96.3.1, clusterIPs: [10.96.3.1], ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Namespace
metadata: {name: other}
---
apiVersion: v1
kind: Service
metadata: {name: secret, namespace: other}
spec: {clusterIP: 10.96.3.2, clusterIPs: [10.96.3.2], ports: [{name: http, port: 80}]}
"""
CLUSTER = """.:53 {
    nsid cluster
    prometheus 127.0.0.1:9153
    kubernetes cluster.local {
        manifests %s
    }
    file root.db .
}
"""
BASE = """cluster.local:53 {
    nsid node
    prometheus 169.254.20.10:9253
    @AUTOPATH@
    cache {
        success 9984 30
        denial 9984 5
    }
    bind __PILLAR__LOCAL__DNS__
    forward . __PILLAR__CLUSTER__DNS__ {
        force_tcp
        max_age 30s
    }
}
.:53 {
    prometheus 169.254.20.10:9253
    cache 30
    bind __PILLAR__LOCAL__DNS__
    forward . __PILLAR__CLUSTER__DNS__ {
        force_tcp
        max_age 30s
    }
}
"""
AUTOPATH = "autopath @node {\n        name node1\n        manifests @DIR@/pods\n    }"
POD = """---
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s}
spec: {nodeName: node1, containers: [{name: c, image: x}]}
status: {phase: Running, podIP: %s, podIPs: [{ip: %s}]}
"""
METER = """import re, sys, urllib.request
while sys.stdin.readline():
    lines = urllib.request.urlopen(sys.argv[1], timeout=10).read().decode().splitlines()
    print(int(sum(float(l.split()[-1]) for l in lines if re.match(sys.argv[2], l))), flush=True)
"""
COUNT = r"coredns_dns_requests_total\{.*"


def make_node(world, signpost, folder, autopath=True, **more):  # noqa: F811
    (folder / "root.db").write_text(OUTSIDE)
    (folder / "pods").mkdir()
    (folder / "pods" / "pods.yaml").write_text("".join(
        POD % (name, namespace, pod4(name), pod4(name)) for name, namespace in (("c1", "app"), ("p3", "other"))))
    base = BASE.replace("@AUTOPATH@", AUTOPATH.replace("@DIR@", str(folder)) if autopath else "")
    node = Node(world, signpost, folder, base=more.pop("base", base),
                cluster=CLUSTER.replace("root.db", str(folder / "root.db")), **more)
    (folder / "objects" / "web.yaml").write_text(SERVICES)
    wait_for(lambda: "10.96.3.2" in node.world.run("dig", "+short", "@" + VIP, "secret.other.svc.cluster.local",
                                                   ns="c1").stdout, 20)
    return node


@pytest.fixture(name="make")
def make_fixture(world, signpost, tmp_path):  # noqa: F811
    yield lambda **more: make_node(world, signpost, tmp_path, **more)
    log = tmp_path / "cache.log"
    assert not log.exists() or "Sanitizer" not in log.read_text(), log.read_text()


class Walker:
    """A client whose questions the node's cache counts; nobody else asks meanwhile."""

    def __init__(self, node, program):
        self.client = node.client(program, "app")
        self.meter = node.world.start(sys.executable, "-c", METER, "http://%s:9253/metrics" % LINK_LOCAL, COUNT,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.seen = self.count()

    def count(self):
        self.meter.stdin.write("now\n")
        self.meter.stdin.flush()
        return int(self.meter.stdout.readline())

    def walk(self, name):
        """The answer, and how many questions it took."""
        answer, before = self.client.ask(name), self.seen
        self.seen = self.count()
        return answer, self.seen - before
