"""One node with pods and an outside, in namespaces of their own: rootless, nothing of the host is
touched. The node is the outer network namespace, pods and the outside are namespaces inside."""
import json
import os
import pathlib
import subprocess
import sys
import time

import pytest

PEER = str(pathlib.Path(__file__).with_name("proxy_peer.py"))
PODS = {"p1": 11, "p2": 12, "p3": 13, "c1": 50}
NODE4, NODE6, OUT4, OUT6 = "192.168.9.1", "fd00:9::1", "192.168.9.9", "fd00:9::9"
CIDRS = "10.244.0.0/16,fd00:10:244::/48"
BACKEND_PORT = 8080


def pod4(name):
    return "10.244.1.%d" % PODS[name]


def pod6(name):
    return "fd00:10:244:1::%d" % PODS[name]


class World:
    def __init__(self, program, folder):
        self.program, self.folder, self.children = program, folder, []
        self.outer = subprocess.Popen(
            ["unshare", "-Urnm", "sh", "-c",
             "mount -t tmpfs tmpfs /run && mkdir -p /run/netns && echo ready && exec sleep 600"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self.outer.stdout.readline().strip() != "ready":
            error = self.outer.stderr.read()
            self.outer.wait()
            raise PermissionError(error.strip())

    def command(self, args, ns=None):
        enter = ["nsenter", "-t", str(self.outer.pid), "-U", "-m", "-n", "--preserve-credentials"]
        return enter + (["ip", "netns", "exec", ns] if ns else []) + list(args)

    def run(self, *args, ns=None, check=True, text=None):
        r = subprocess.run(self.command(args, ns), input=text, capture_output=True, text=True,
                           timeout=120)
        if check and r.returncode:
            raise RuntimeError("%s: %s" % (" ".join(args), r.stderr.strip()))
        return r

    def start(self, *args, ns=None, **kw):
        p = subprocess.Popen(self.command(args, ns), text=True, **kw)
        self.children.append(p)
        return p

    def build(self):
        inner = ["outside", *PODS]
        for name in inner:
            self.run("ip", "netns", "add", name)
        for ns in [None, *inner]:  # no waiting for duplicate address detection, all errors told
            self.run("sh", "-c", "cd /proc/sys/net; for f in ipv6/conf/all/accept_dad"
                                 " ipv6/conf/default/accept_dad ipv4/icmp_ratelimit"
                                 " ipv6/icmp/ratelimit; do echo 0 >$f; done", ns=ns)
        lines = ["link set lo up",
                 "link add out0 type veth peer name eth0 netns outside",
                 "addr add %s/24 dev out0" % NODE4, "addr add %s/64 dev out0 nodad" % NODE6,
                 "link set out0 up"]
        for name in PODS:
            lines += ["link add %s type veth peer name eth0 netns %s" % (name, name),
                      "link set %s up" % name, "addr add 10.244.1.1/32 dev " + name,
                      "addr add fd00:10:244:1::1/128 dev %s nodad" % name,
                      "route add %s/32 dev %s" % (pod4(name), name),
                      "route add %s/128 dev %s" % (pod6(name), name)]
        self.run("ip", "-batch", "-", text="\n".join(lines) + "\n")
        self.inner("outside", OUT4 + "/24", OUT6 + "/64", NODE4, NODE6)
        for name in PODS:
            self.inner(name, pod4(name) + "/32", pod6(name) + "/128", "10.244.1.1",
                       "fd00:10:244:1::1")
        self.run("ip", "-batch", "-",
                 text="route add default via %s\nroute add default via %s\n" % (OUT4, OUT6))
        self.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward;"
                             "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
        for name in ("p1", "p2", "p3"):
            p = self.start(sys.executable, PEER, "serve", name, str(BACKEND_PORT), ns=name,
                           stdout=subprocess.PIPE)
            assert p.stdout.readline().strip() == "ready"

    def inner(self, ns, a4, a6, gw4, gw6):
        self.run("ip", "-n", ns, "-batch", "-", text="\n".join([
            "link set lo up", "addr add %s dev eth0" % a4, "addr add %s dev eth0 nodad" % a6,
            "link set eth0 up", "route add %s/32 dev eth0" % gw4, "route add %s/128 dev eth0" % gw6,
            "route add default via " + gw4, "route add default via " + gw6]) + "\n")

    # -- objects

    def write(self, name, *objects):
        path = os.path.join(self.folder, name + ".json")
        with open(path + ".new~", "w", encoding="ascii") as f:
            f.write("\n".join(json.dumps(o) for o in objects))
        os.rename(path + ".new~", path)

    def service(self, name, ips, ports, pods, family=4, **spec):
        """ports: [(name, number, protocol)]; pods None: a Service without any slice."""
        self.write(name, *self.service_objects(name, ips, ports, pods, family, **spec))

    @staticmethod
    def service_objects(name, ips, ports, pods, family=4, **spec):
        meta = {"name": name, "namespace": "t"}
        balancer = {"loadBalancer": {"ingress": [{"ip": ip} for ip in spec.pop("balancer", [])]}}
        objects = [{"apiVersion": "v1", "kind": "Service", "metadata": meta, "status": balancer,
                    "spec": {**spec, "clusterIP": ips[0], "clusterIPs": ips,
                             "ports": [{"name": n, "port": p, "protocol": t}
                                       for n, p, t in ports]}}]
        if pods is not None:
            address = pod4 if family == 4 else pod6
            objects.append({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "addressType": "IPv%d" % family,
                "metadata": dict(meta, name=name + "-1",
                                 labels={"kubernetes.io/service-name": name}),
                "ports": [{"name": n, "port": BACKEND_PORT, "protocol": t} for n, _, t in ports],
                "endpoints": [{"addresses": [address(p)], "nodeName": "node1"} for p in pods]})
        return objects

    # -- the proxy

    def proxy_args(self, *more):
        return [self.program, "proxy", "--manifests", self.folder, "--hostname-override", "node1",
                "--cluster-cidr", CIDRS, "--conntrack-max-per-core=0", *more]

    def proxy(self, *more, check=True):
        return self.run(*self.proxy_args(*more), check=check)

    def daemon(self, *more, path=None):
        before = ["env", "PATH=%s:%s" % (path, os.environ["PATH"])] if path else []
        with open(os.path.join(os.path.dirname(self.folder), "proxy.log"), "a",
                  encoding="utf-8") as log:
            return self.start(*before, *self.proxy_args("-v=2", *more), stderr=log)

    def log(self):
        return pathlib.Path(self.folder).with_name("proxy.log").read_text(encoding="utf-8")

    # -- traffic

    def ask(self, source, proto, host, port, n=1):
        r = self.run(sys.executable, PEER, "ask", proto, host, str(port), str(n),
                     ns=None if source == "node" else source)
        return json.loads(r.stdout)

    def wait_for(self, condition, seconds=5):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if condition():
                return True
            time.sleep(0.05)
        return False

    def stop(self, process):
        process.terminate()
        self.children.remove(process)
        return process.wait(timeout=10)

    def close(self):
        for p in self.children:
            p.kill()
            p.wait()
        self.outer.kill()
        self.outer.wait()


@pytest.fixture
def world(signpost, tmp_path):
    folder = tmp_path / "manifests"
    folder.mkdir()
    try:
        w = World(signpost, str(folder))
    except (PermissionError, FileNotFoundError) as e:
        pytest.skip("user namespaces are not permitted here: %s" % e)
    try:
        w.build()
        yield w
    finally:
        w.close()
