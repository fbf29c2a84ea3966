"""A node made by hand, whose pods are traced: its DNS and proxy, Services, and processes in a pod."""
import json
import subprocess

from node_world import CLUSTER, VIP, WEB, Node
from proxy_world import pod4

CONF = "nameserver %s\nsearch t.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5 timeout:1 attempts:1\n"


def pod(name, node, ip):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "t"},
            "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}]},
            "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}]}}


class Hand:
    """The node with its DNS and proxy, Services `web`, `nobody` and `far`, and a process in pod c1."""

    def __init__(self, world, signpost, folder):
        self.world, self.signpost = world, signpost
        self.node = Node(world, signpost, folder, cluster=CLUSTER.replace("%s", world.folder + " %s"))
        world.write("pods", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "t"}},
                    *[pod(p, "node1", pod4(p)) for p in ("p1", "p2", "c1")], pod("far", "node9", "10.244.9.9"))
        world.service("web", ["10.96.0.80"], [("http", 80, "TCP"), ("echo", 7, "UDP")], ["p2"])
        world.service("nobody", ["10.96.0.81"], [("http", 80, "TCP")], [])
        meta = {"name": "far", "namespace": "t"}
        world.write("far", {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {
            "clusterIP": "10.96.0.82", "clusterIPs": ["10.96.0.82"], "ports": [{"name": "http", "port": 80}]}}, {
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": dict(meta, name="far-1", labels={"kubernetes.io/service-name": "far"}),
            "ports": [{"name": "http", "port": 8080}], "endpoints": [{"addresses": ["10.244.9.9"], "nodeName": "node9"}]})
        world.wait_for(lambda: "10.96.0.82" in world.run("nft", "list", "ruleset").stdout, 10)
        conf = folder / "client.conf"
        conf.write_text(CONF % VIP)
        self.process = world.start("unshare", "-m", "sh", "-c", "mount --bind $0 /etc/resolv.conf && exec sleep 300",
                                   str(conf), ns="c1")
        world.wait_for(lambda: open("/proc/%d/comm" % self.process.pid, encoding="ascii").read() == "sleep\n")

    def dig(self, name=WEB, *more):
        return self.world.run("dig", "+time=1", "+tries=1", "@" + VIP, name, *more, ns="c1", check=False)

    def objects(self):
        return ["--manifests", self.world.folder]

    def start(self, *arguments, before=(), **kw):
        kw = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **kw}
        return self.world.start(*before, self.signpost, "trace", *arguments, **kw)

    def trace(self, *arguments, before=()):
        """What it saw, as JSON."""
        done = self.world.run(*before, self.signpost, "trace", "--output", "json", *arguments, check=False)
        assert done.returncode in (0, 1), done.stderr
        seen = json.loads(done.stdout)
        assert done.returncode == (0 if seen["outcome"] == "answered" else 1)
        return seen

    def tables(self):
        return self.world.run("nft", "list", "tables").stdout
