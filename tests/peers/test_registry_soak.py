"""client-go's informers on `signpost registry`: CoreDNS and kube-proxy follow it through a relay that breaks connections,
while so much is written that the history no longer reaches back. After each fault both know what there is.
REGISTRY_SOAK_SECONDS says for how long, 30 if not."""
import http.client
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time

import dns.exception
import dns.query
import kube_world
import pytest
from dns_world import free_port, query
from fault_relay import FaultRelay
from kube_world import ROOT, endpoint_slice, service
from proxy_world import World

SECONDS = float(os.environ.get("REGISTRY_SOAK_SECONDS", "30"))
HISTORY = 20     # events: less than what is written during a fault
WRITES = 60      # in each round
RECOVERS = 120   # client-go waits for up to 30 s between attempts
FAULTS = ["killed", "truncated", "hangs", "slow", "cut", 410]
NAMES = ["s%d" % i for i in range(8)]
COREFILE = """
.:%d {
    bind 127.0.0.1
    kubernetes cluster.local {
        endpoint %s
    }
}
"""


class SeeingRelay(FaultRelay):
    """Counts what the registry says."""

    def __enter__(self):
        self.expired = self.protobuf = 0
        return super().__enter__()

    def send(self, to, data, is_reply):
        if is_reply:
            self.expired += data.count(b"Expired")
            self.protobuf += data.count(b"application/vnd.kubernetes.protobuf;stream=watch")
        super().send(to, data, is_reply)


class Registry:
    def __init__(self, program, folder):
        self.path = folder / "registry.log"
        with self.path.open("w") as log:
            self.process = subprocess.Popen(
                [program, "registry", "--insecure-http", "--listen=127.0.0.1:0", "--history=%d" % HISTORY,
                 "--data=" + str(folder / "registry.db"), "--controllers=false"], stdout=log, stderr=log)
        kube_world.Cluster.until(self.read_port, 30, "the registry serves")
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def read_port(self):
        found = re.search(r"serves http on \S+ port (\d+)", self.path.read_text())
        self.port = found and int(found[1])
        return found

    def call(self, method, path, body=None):
        self.connection.request(method, path, body and json.dumps(body), {"Content-Type": (
            "application/merge-patch+json" if method == "PATCH" else "application/json")})
        reply = self.connection.getresponse()
        text = reply.read()
        assert reply.status < 300, text
        return json.loads(text)


class Game:
    """Services with a slice each, that come, change and go."""

    def __init__(self, registry, seed):
        self.registry, self.dice, self.state, self.n = registry, random.Random(seed), {}, 0
        registry.call("POST", "/api/v1/nodes", {
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"},
            "status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]}})

    def ip(self):
        self.n += 1
        return "10.1.%d.%d" % (self.n // 250 % 250, self.n % 250 + 1)

    def write(self):
        services, slices = "/api/v1/namespaces/default/services", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
        name, ip = self.dice.choice(NAMES), self.ip()
        if name not in self.state:
            made = self.registry.call("POST", services, service(name))
            self.registry.call("POST", slices, endpoint_slice(name, ip))
            self.state[name] = (made["spec"]["clusterIP"], ip)
        elif self.dice.random() < 0.4:
            self.registry.call("DELETE", slices + "/" + name + "-a")
            self.registry.call("DELETE", services + "/" + name)
            del self.state[name]
        else:
            self.registry.call("PATCH", slices + "/" + name + "-a", {"endpoints": [
                {"addresses": [ip], "conditions": {"ready": True}}]})
            self.state[name] = (self.state[name][0], ip)


class CoreDns:
    def __init__(self, program, folder, relay):
        self.port, self.folder = free_port(), folder
        (folder / "Corefile").write_text(COREFILE % (self.port, relay.url))
        with (folder / "coredns.log").open("w") as log:
            self.process = subprocess.Popen([program, "-conf", "Corefile"], cwd=folder, stdout=log, stderr=log)

    def knows(self, state):
        for name in NAMES:
            try:
                reply = dns.query.udp(query(name + ".default.svc.cluster.local.", "A"), "127.0.0.1", 2, self.port)
            except (OSError, dns.exception.Timeout):
                return False
            if [r.address for a in reply.answer for r in a] != ([state[name][0]] if name in state else []):
                return False
        return True

    def close(self):
        self.process.kill()
        self.process.wait()


class KubeProxy:
    def __init__(self, program, folder, relay):
        try:
            self.world = World(program, str(folder))
        except (PermissionError, FileNotFoundError) as e:
            pytest.skip("user namespaces are not permitted here: %s" % e)
        self.world.run("ip", "link", "set", "lo", "up")
        bridge = self.world.start(sys.executable, str(ROOT / "tests" / "lib" / "bridge.py"), "6443", str(relay.path),
                                  stdout=subprocess.PIPE)
        assert bridge.stdout.readline() == "ready\n"
        (folder / "kubeconfig").write_text(json.dumps({
            "kind": "Config", "apiVersion": "v1", "current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "c"}}],
            "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:6443"}}]}))
        with (folder / "kube-proxy.log").open("w") as log:
            self.process = self.world.start(
                program, "--kubeconfig", str(folder / "kubeconfig"), "--hostname-override=n1", "--proxy-mode=nftables",
                "--conntrack-max-per-core=0", stdout=log, stderr=log)

    def knows(self, state):
        """By what is jumped to: chains that are out of use stay for a while."""
        self.rules = self.world.run("nft", "list", "ruleset").stdout
        addresses = re.findall(r"([\d.]+) \. tcp \. 80 : goto service-\w+-default/(s\d)/", self.rules)
        pods = re.findall(r"goto endpoint-\w+-default/(s\d)/tcp/http__([\d.]+)/", self.rules)
        return ({name: ip for ip, name in addresses} == {name: ip for name, (ip, _) in state.items()} and
                {name: dict(pods).get(name) for name in state} == {name: pod for name, (_, pod) in state.items()})

    def close(self):
        self.world.stop(self.process)
        self.world.close()


@pytest.fixture
def parts(signpost, tmp_path):
    programs = {n: kube_world.PROGRAMS / n for n in ("coredns", "kube-proxy")}
    for name, path in programs.items():
        if not os.access(path, os.X_OK):
            pytest.skip("%s is not in build-peers/: ./run peers builds it" % name)
    if not shutil.which("nft"):
        pytest.skip("there is no nft")
    registry = Registry(signpost, tmp_path)
    folder = subprocess.check_output(["mktemp", "-d", "/tmp/relay-XXXXXX"], text=True).strip()  # a short name
    try:
        with SeeingRelay(registry.port, folder + "/s") as relay:
            followers = [CoreDns(programs["coredns"], tmp_path, relay), KubeProxy(programs["kube-proxy"], tmp_path, relay)]
            yield registry, relay, followers
            for follower in followers:
                follower.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        registry.process.kill()
        registry.process.wait()


def settle(followers, state, what):
    for follower in followers:
        kube_world.Cluster.until(lambda f=follower: f.knows(state), RECOVERS,
                                 "%s knows all after %s: %s" % (type(follower).__name__, what, state))


@pytest.mark.long
def test_informers_recover(parts):
    registry, relay, followers = parts
    game = Game(registry, 1)
    for _ in range(20):
        game.write()
    settle(followers, game.state, "the start")
    end, rounds = time.monotonic() + SECONDS, 0
    while time.monotonic() < end or rounds < len(FAULTS):
        fault = FAULTS[rounds % len(FAULTS)]
        relay.cut() if fault == "cut" else relay.set(fault)
        for _ in range(WRITES):
            game.write()
        relay.set(None)
        if fault in ("killed", 410, "truncated"):
            relay.cut()
        settle(followers, game.state, fault)
        rounds += 1
        assert all(f.process.poll() is None for f in followers) and registry.process.poll() is None
    assert relay.protobuf > rounds and relay.expired > 0, (rounds, relay.protobuf, relay.expired)
    print("%d rounds, %d watches in protocol buffers, %d times 410" % (rounds, relay.protobuf, relay.expired))
