"""A node with pods in namespaces of their own: p1 serves the cluster's DNS behind two Services, c1
asks, and the node may run the node cache."""
import contextlib
import os
import re
import signal
import subprocess
import sys

from dns_world import MANIFEST
from forward_world import wait_for
from proxy_world import pod4
from resolvers import Client

VIP, UPSTREAM, LINK_LOCAL = "10.96.0.10", "10.96.0.11", "169.254.20.10"
CLUSTER = """.:53 {
    nsid cluster
    kubernetes cluster.local {
        manifests %s
    }
}
"""
NODE_BASE = """cluster.local:53 {
    nsid node
    cache 30
    bind __PILLAR__LOCAL__DNS__
    forward . __PILLAR__CLUSTER__DNS__ {
        force_tcp
    }
    health 169.254.20.10:8080
}
"""
WEB = "web.default.svc.cluster.local"
GET = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())"
LOAD = """import select, socket, struct, sys
name = b"".join(bytes([len(l)]) + l.encode() for l in sys.argv[1].split(".")) + b"\\0"
lost = n = 0
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    with socket.socket(type=socket.SOCK_DGRAM) as s:
        s.settimeout(3)
        s.connect((sys.argv[2], 53))
        n += 1
        try:
            s.send(struct.pack("!6H", n & 65535, 256, 1, 0, 0, 0) + name + b"\\0\\1\\0\\1")
            answer = s.recv(512)
            lost += answer[:2] != struct.pack("!H", n & 65535) or answer[3] & 15 != 0
        except OSError:
            lost += 1
print(n, lost)
"""


class Node:
    """A World whose node may run the cache; pod p1 serves the cluster's DNS, c1 asks. base: the
    cache's template; cluster: the Corefile of the cluster's DNS, in which %s is the objects' folder;
    pods: those that serve it."""

    def __init__(self, world, signpost, folder, base=NODE_BASE, cluster=CLUSTER, pods=("p1",)):
        self.world, self.signpost, self.folder = world, signpost, folder
        objects = folder / "objects"
        objects.mkdir()
        (objects / "web.yaml").write_text(MANIFEST)
        (folder / "cluster").write_text(cluster % objects)
        (folder / "base").write_text(base)
        self.pods = pods
        self.dns = {pod: self.cluster_dns(pod) for pod in pods}
        for name, vip in (("kube-dns", VIP), ("kube-dns-upstream", UPSTREAM)):
            self.service(name, vip)
        world.daemon()
        self.until("cluster")

    def cluster_dns(self, pod):
        return self.world.start(self.signpost, "dns", "-conf", str(self.folder / "cluster"), "-control", "",
                                ns=pod, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def service(self, name, vip):
        ports = [{"name": p.lower(), "port": 53, "protocol": p} for p in ("UDP", "TCP")]
        meta = {"name": name, "namespace": "kube-system"}
        self.world.write(name, {
            "apiVersion": "v1", "kind": "Service", "metadata": meta,
            "spec": {"clusterIP": vip, "clusterIPs": [vip], "ports": ports}}, {
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": dict(meta, name=name + "-1",
                             labels={"kubernetes.io/service-name": name}), "ports": ports,
            "endpoints": [{"addresses": [pod4(pod)], "nodeName": "node1"} for pod in self.pods]})

    def cache(self, *flags, wait=True):
        pidfile = self.folder / "pid"
        before = pidfile.read_text() if pidfile.exists() else None
        with open(self.folder / "cache.log", "a", encoding="utf-8") as log:
            process = self.world.start(
                "env", "KUBE_DNS_UPSTREAM_SERVICE_HOST=" + UPSTREAM, self.signpost, "cache",
                "-localip", LINK_LOCAL + "," + VIP, "-conf", str(self.folder / "Corefile"),
                "-basecorefile", str(self.folder / "base"), "-upstreamsvc", "kube-dns-upstream",
                "-pidfile", str(pidfile), "-control", str(self.folder / "control"),
                "-metrics-listen-address", "127.0.0.1:9353", *flags, stdout=log, stderr=log)
        if wait:
            wait_for(lambda: pidfile.exists() and pidfile.read_text() not in ("", before), 20)
            self.until("node")
        return process

    def kill(self, process, number=signal.SIGKILL):
        """Its exit status."""
        os.kill(int((self.folder / "pid").read_text()), number)
        self.world.children.remove(process)
        return process.wait(20)

    def asked(self, server=VIP):
        """Who answers: the NSID; None: nobody."""
        ran = self.world.run("dig", "+nsid", "+time=1", "+tries=1", "@" + server, WEB, ns="c1",
                             check=False)
        found = re.search(r'NSID: [0-9a-f ]+\("(\w+)"\)', ran.stdout)
        return found[1] if found and "ANSWER SECTION" in ran.stdout else None

    def until(self, who):
        wait_for(lambda: self.asked() == who, 20)

    def client(self, program, namespace, pod="c1"):
        """A resolver of tests/lib/resolvers.py in that pod, with the files of a Pod of that namespace."""
        conf = self.folder / ("resolv.conf-" + namespace)
        conf.write_text("nameserver %s\nsearch %s.svc.cluster.local svc.cluster.local cluster.local\n"
                        "options ndots:5\n" % (VIP, namespace))
        (self.folder / "hosts").write_text("127.0.0.1 localhost\n")
        (self.folder / "nsswitch.conf").write_text("hosts: files dns\n")
        script = ("mount --bind $0/%s /etc/resolv.conf && mount --bind $0/hosts /etc/hosts &&"
                  " mount --bind $0/nsswitch.conf /etc/nsswitch.conf && exec $1" % conf.name)
        return Client(lambda: self.world.start(
            "unshare", "-m", "sh", "-c", script, str(self.folder), program, ns=pod,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE))

    def metric(self, pattern, address, ns=None):
        """The sum of the samples that match at http://ADDRESS/metrics."""
        text = self.world.run(sys.executable, "-c", GET, "http://%s/metrics" % address, ns=ns).stdout
        return sum(float(line.rsplit(None, 1)[1]) for line in text.splitlines() if re.match(pattern, line))

    def rules(self):
        return self.world.run("nft", "list", "ruleset").stdout

    def addresses(self):
        return self.world.run("ip", "-br", "addr").stdout

    @contextlib.contextmanager
    def load(self):
        """Queries of one client, one after the other; yields a list that gets (asked, lost)."""
        result = []
        p = self.world.start(sys.executable, "-c", LOAD, WEB, VIP, ns="c1", stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
        assert p.stdout.readline().strip() == "ready"
        yield result
        p.stdin.close()
        result += [int(w) for w in p.stdout.read().split()]
        assert p.wait(10) == 0
