"""`signpost up`: API, controllers, DNS and proxy in one process, in namespaces of the test's own."""
import collections
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest

from proxy_world import CIDRS, NODE4, pod4, world  # pylint: disable=unused-import

ROOT = pathlib.Path(__file__).resolve().parents[2]
ASK = """
import sys, urllib.error, urllib.request
method, path, kind = sys.argv[1:4]
body = sys.stdin.buffer.read() or None
request = urllib.request.Request("http://127.0.0.1:6443" + path, body, {"Content-Type": kind}, method=method)
try:
    print(urllib.request.urlopen(request, timeout=20).read().decode())
except urllib.error.HTTPError as e:
    sys.exit("%d %s" % (e.code, e.read().decode()))
"""
READY = {"type": "Ready", "status": "True"}


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


class Up:
    """A process in the world's outer namespace, which is the node."""

    def __init__(self, world, *flags, http=True, wait=True):
        self.world, self.folder = world, pathlib.Path(world.folder).parent
        self.out, self.log = self.folder / "up.out", self.folder / "up.log"
        flags = ["--data", str(self.folder / "data" / "registry.db"), "--forward=", "--conntrack-max-per-core=0",
                 "--cluster-cidr", CIDRS, "--control", str(self.folder / "dns.sock"),
                 *(["--insecure-http"] if http else []), *flags]
        with self.out.open("w") as out, self.log.open("a") as log:
            self.process = world.start(world.program, "up", *flags, stdout=out, stderr=log)
        if wait:
            until(lambda: "is up" in self.out.read_text() or self.process.poll() is not None)
            assert self.process.poll() is None, self.log.read_text()

    def stop(self, number=signal.SIGTERM):
        """nsenter has become the program, so the signal reaches it."""
        self.process.send_signal(number)
        self.world.children.remove(self.process)
        return self.process.wait(30)

    def call(self, method, path, body=None, kind="application/json"):
        done = self.world.run(sys.executable, "-c", ASK, method, path, kind, text=json.dumps(body) if body else "")
        return json.loads(done.stdout)

    def patch(self, path, body):
        return self.call("PATCH", path, body, "application/merge-patch+json")

    def run_pod(self, ns, name, ip, ready=True):
        """What a kubelet would report."""
        status = {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
                  "conditions": [dict(READY, status="True" if ready else "False")]}
        self.patch("/api/v1/namespaces/%s/pods/%s/status" % (ns, name), {"status": status})

    def dig(self, *words, ns="c1", server=NODE4):
        done = self.world.run("dig", "@" + server, "+short", "+time=2", "+tries=2", *words, ns=ns, check=False)
        return sorted(done.stdout.split())

    def backends(self, ip, n=60, source="c1"):
        replies = self.world.ask(source, "tcp", ip, 80, n)
        return collections.Counter(r.get("name") or r["outcome"] for r in replies)


def objects(world, *items):
    pathlib.Path(world.folder, "all.json").write_text("\n".join(json.dumps(i) for i in items))


def service(name, **spec):
    spec.setdefault("ports", [{"port": 80, "targetPort": 8080}])
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def node(name="node1"):
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
            "status": {"addresses": [{"type": "InternalIP", "address": NODE4}]}}


def pod(name, ip=None, app="web"):
    made = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": app}},
            "spec": {"nodeName": "node1", "containers": [{"name": "c", "image": "i"}]}}
    if ip:
        made["status"] = {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": [READY]}
    return made


def test_shop_from_name_to_pod(world):
    """The example: what kubectl sees, what DNS says, and where a connection ends."""
    shop = pathlib.Path(world.folder) / "shop"
    shutil.copytree(ROOT / "examples" / "shop", shop)
    up = Up(world, "--manifests", str(shop), "--dns-address", NODE4, "--hostname-override", "node-1")
    for i in "123":
        up.run_pod("shop", "bar-" + i, pod4("p" + i))
    address, = up.dig("bar.shop.svc.cluster.local")
    svc = up.call("GET", "/api/v1/namespaces/shop/services/bar")
    assert svc["spec"]["clusterIP"] == address
    until(lambda: set(up.backends(address)) == {"p1", "p2", "p3"})
    assert set(up.backends(address, source="node")) == {"p1", "p2", "p3"}

    made = up.call("GET", "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices")["items"]
    told = {e["addresses"][0]: e["nodeName"] for s in made for e in s["endpoints"] or []}
    assert told == {pod4("p1"): "node-1", pod4("p2"): "node-2", pod4("p3"): "node-2"}

    up.run_pod("shop", "bar-2", pod4("p2"), ready=False)
    until(lambda: set(up.backends(address, 20)) == {"p1", "p3"})
    (shop / "shop" / "bar-3.yaml").unlink()
    until(lambda: set(up.backends(address, 20)) == {"p1"})
    up.call("DELETE", "/api/v1/namespaces/shop/services/bar")
    until(lambda: up.dig("bar.shop.svc.cluster.local") == [])
    until(lambda: set(up.backends(address, 1)).isdisjoint({"p1", "p2", "p3"}))

    text = up.out.read_text()
    assert "http://127.0.0.1:6443" in text and "%s port 53, zone cluster.local" % NODE4 in text
    assert "nftables, on node node-1" in text and str(shop) in text
    assert up.stop() == 0


@pytest.mark.parametrize("mode", ["nftables", "iptables"])
def test_pods_with_status_in_manifests(world, mode):
    """No kubelet at all: a file says where the Pods are; and a file that does not any more takes it back."""
    objects(world, node(), service("web", selector={"app": "web"}), pod("a", pod4("p1")), pod("b", pod4("p2")))
    up = Up(world, "--manifests", world.folder, "--dns-address", NODE4, "--hostname-override", "node1",
            "--proxy-mode", mode)
    assert "%s, on node node1" % mode in up.out.read_text()
    address, = up.dig("web.default.svc.cluster.local")
    until(lambda: set(up.backends(address)) == {"p1", "p2"})
    assert up.dig("10-244-1-11.default.pod.cluster.local") == [pod4("p1")]
    assert up.dig("10-244-1-99.default.pod.cluster.local") == [], "pods are verified"
    objects(world, node(), service("web", selector={"app": "web"}), pod("a", pod4("p1")), pod("b"))
    until(lambda: set(up.backends(address, 20)) == {"p1"})
    assert "podIP" not in up.call("GET", "/api/v1/namespaces/default/pods/b")["status"]
    objects(world, node(), service("web", selector={"app": "web"}), pod("a", pod4("p3")))
    until(lambda: set(up.backends(address, 20)) == {"p3"})
    assert up.stop() == 0


def test_headless_and_node_port(world):
    objects(world, node(), service("db", clusterIP="None", selector={"app": "web"}),
            service("out", type="NodePort", selector={"app": "web"},
                    ports=[{"port": 80, "targetPort": 8080, "nodePort": 30080}]),
            pod("a", pod4("p1")), pod("b", pod4("p2")))
    up = Up(world, "--manifests", world.folder, "--dns-address", NODE4, "--hostname-override", "node1")
    until(lambda: up.dig("db.default.svc.cluster.local") == [pod4("p1"), pod4("p2")])
    until(lambda: {r.get("name") for r in world.ask("outside", "tcp", NODE4, 30080, 40)} == {"p1", "p2"})
    assert up.stop() == 0


def test_restart_keeps_addresses_and_rules(world):
    up = Up(world, "--dns-address", NODE4, "--hostname-override", "node1")
    for made in (node(), service("web", selector={"app": "web"}), pod("a")):
        ns = "/namespaces/default" if made["kind"] != "Node" else ""
        up.call("POST", "/api/v1%s/%ss" % (ns, made["kind"].lower()), made)
    up.run_pod("default", "a", pod4("p1"))
    until(lambda: up.dig("web.default.svc.cluster.local"))
    address, = up.dig("web.default.svc.cluster.local")
    until(lambda: set(up.backends(address, 5)) == {"p1"})
    before = up.call("GET", "/api/v1/pods")["metadata"]["resourceVersion"]
    for number in (signal.SIGTERM, signal.SIGKILL):
        up.stop(number)
        assert set(up.backends(address, 5)) == {"p1"}, "rules stay"
        up = Up(world, "--dns-address", NODE4, "--hostname-override", "node1")
        assert up.dig("web.default.svc.cluster.local") == [address]
        assert up.call("GET", "/api/v1/pods")["metadata"]["resourceVersion"] == before
    up.run_pod("default", "a", pod4("p2"))
    until(lambda: set(up.backends(address, 5)) == {"p2"})
    assert up.stop() == 0


def test_own_corefile_and_reload(world):
    conf = pathlib.Path(world.folder).parent / "Corefile"
    conf.write_text("shop.test:5300 {\n    bind %s\n    kubernetes shop.test\n}\n" % NODE4)
    up = Up(world, "-conf", str(conf), "--proxy=false")
    up.call("POST", "/api/v1/namespaces/default/services", service("web"))
    until(lambda: up.dig("-p", "5300", "web.default.svc.shop.test"))
    conf.write_text("other.test:5300 {\n    bind %s\n    kubernetes other.test {\n        labels app=x\n    }\n"
                    "}\n" % NODE4)
    up.process.send_signal(signal.SIGHUP)
    until(lambda: "Reloading complete" in up.log.read_text())
    up.call("POST", "/api/v1/namespaces/default/services",
            dict(service("seen"), metadata={"name": "seen", "labels": {"app": "x"}}))
    until(lambda: up.dig("-p", "5300", "seen.default.svc.other.test"))
    assert up.dig("-p", "5300", "web.default.svc.other.test") == [], "labels are looked at"
    why = world.run(world.program, "dns", "why", "--server", str(up.folder / "dns.sock"),
                    "seen.default.svc.other.test", check=False)
    assert "Service default/seen" in why.stdout, why.stdout + why.stderr
    assert "as %s says" % conf in up.out.read_text()
    conf.with_name("other").write_text("other.test:5300 {\n    bind %s\n    whoami\n}\n" % NODE4)
    other = world.run(world.program, "dns", "-conf", str(conf.with_name("other")), "--takeover", "--control",
                      str(up.folder / "dns.sock"), check=False)
    assert other.returncode == 1 and "serves more than DNS" in other.stderr
    for i in range(8):  # more than what SQLite keeps beside its file: it writes into the file itself
        up.call("POST", "/api/v1/namespaces/default/configmaps", {
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m%d" % i}, "data": {"x": "y" * 900000}})
    assert up.stop() == 0


def test_parts_left_off(world):
    up = Up(world, "--dns=false", "--proxy=false", "--controllers=false")
    text = up.out.read_text()
    for line in ("DNS        off", "proxy      off", "made by others"):
        assert line in text
    assert world.run("ss", "-Hlun").stdout == "", "nothing answers UDP"
    assert world.run("nft", "list", "tables").stdout == ""
    assert up.stop() == 0


@pytest.mark.skipif(not any(os.access(os.path.join(p, "kubectl"), os.X_OK) for p in os.get_exec_path()),
                    reason="there is no kubectl")
def test_kubectl_and_a_watch_at_the_end(world):
    objects(world, node(), service("web", selector={"app": "web"}), pod("a", pod4("p1")))
    up = Up(world, "--manifests", world.folder, "--hostname-override", "node1", http=False)
    kubectl = ["kubectl", "--kubeconfig", str(up.folder / "data" / "admin.conf"), "--cache-dir", str(up.folder / "cache")]
    until(lambda: pod4("p1") in world.run(*kubectl, "get", "endpointslices").stdout)
    seen = world.run(*kubectl, "get", "svc,pods,nodes", "-A", "-o", "wide").stdout
    assert "service/web" in seen and pod4("p1") in seen and "node/node1" in seen
    watch = world.start(*kubectl, "get", "pods", "-w", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert watch.stdout.readline().startswith("NAME")
    assert watch.stdout.readline().startswith("a ")
    began = time.monotonic()
    assert up.stop() == 0 and time.monotonic() - began < 10
    world.children.remove(watch)
    _, errors = watch.communicate(timeout=30)
    assert "unexpected EOF" not in errors and "reset" not in errors


# ---- what it refuses ----

@pytest.mark.parametrize("flags,words", [
    (["--dns=false", "-conf", "x"], "not with --dns=false"),
    (["-conf", "x", "--dns-address", "127.0.0.1"], "not with -conf"),
    (["--dns-address", "here"], '"here" is no IP address'),
    (["--cluster-domain", "a b"], "--cluster-domain"),
    (["--forward", "1.1.1.1 {"], "no list of addresses or a file"),
    (["--controllers=job"], 'there is no "job"'),
    (["--cluster-cidr", "10/x"], "no address range"),
    (["--listen", "0.0.0.0:1", "--insecure-http"], "only together with --listen of a loopback"),
    (["extra"], 'unexpected argument "extra"')])
def test_wrong_flags(signpost, tmp_path, flags, words):
    done = subprocess.run([signpost, "up", "--data", ":memory:", *flags], cwd=tmp_path, capture_output=True, text=True,
                          timeout=20)
    assert done.returncode == 2 and words in done.stderr
    assert not list(tmp_path.iterdir()), "nothing was made"


def test_without_the_right_to_write_rules(signpost, tmp_path):
    """In a user namespace of its own nobody may touch the network namespace that it came from."""
    enter = ["unshare", "-Ur"]
    if subprocess.run([*enter, "true"], check=False).returncode:
        pytest.skip("user namespaces are not permitted here")
    done = subprocess.run([*enter, signpost, "up", "--data", ":memory:"], cwd=tmp_path, capture_output=True, text=True,
                          timeout=30)
    assert done.returncode == 1
    assert "CAP_NET_ADMIN" in done.stderr and "--proxy=false" in done.stderr
    assert not list(tmp_path.iterdir()), "nothing was made"
