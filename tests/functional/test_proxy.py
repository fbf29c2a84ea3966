"""`signpost proxy` on a real kernel: cluster IPs from pods, from the node and from outside."""
import collections
import json
import pathlib
import re
import subprocess
import sys
import time

import pytest

from proxy_world import PEER, pod4, world  # pylint: disable=unused-import

ROOT = pathlib.Path(__file__).resolve().parents[2]
BACKENDS = ["p1", "p2", "p3"]
TCP, UDP = ("http", 80, "TCP"), ("dns", 53, "UDP")


def outcomes(replies):
    return set(r["outcome"] for r in replies)


def backends(replies):
    return collections.Counter(r.get("name") for r in replies)


def check_even(replies, names=BACKENDS):
    assert outcomes(replies) == {"reply"}
    seen = backends(replies)
    assert set(seen) == set(names)
    fair = len(replies) / len(names)
    for name in names:  # about six standard deviations at 300 of 3
        assert abs(seen[name] - fair) < 6 * (fair * (1 - 1 / len(names))) ** 0.5 + 1, seen


@pytest.mark.parametrize("proto,port", [("tcp", 80), ("udp", 53)])
def test_spread_and_source(world, proto, port):
    world.service("web", ["10.96.0.10"], [TCP, UDP], BACKENDS)
    world.proxy("--oneshot")
    from_pod = world.ask("c1", proto, "10.96.0.10", port, 300)
    check_even(from_pod)
    assert set(r["seen"] for r in from_pod) == {pod4("c1")}
    from_outside = world.ask("outside", proto, "10.96.0.10", port, 300)
    check_even(from_outside)
    assert set(r["seen"] for r in from_outside) == {"10.244.1.1"}  # the node's end of the pod link
    check_even(world.ask("node", proto, "10.96.0.10", port, 300))


def test_ipv6(world):
    world.service("six", ["fd00:10:96::10"], [TCP, UDP], BACKENDS, family=6)
    world.proxy("--oneshot")
    for proto, port in (("tcp", 80), ("udp", 53)):
        check_even(world.ask("c1", proto, "fd00:10:96::10", port, 150))
    replies = world.ask("outside", "tcp", "fd00:10:96::10", 80, 60)
    check_even(replies)
    assert set(r["seen"] for r in replies) == {"fd00:10:244:1::1"}
    assert outcomes(world.ask("node", "tcp", "fd00:10:96::10", 80, 5)) == {"reply"}


def test_no_cluster_cidr_no_masquerade(world):
    world.service("web", ["10.96.0.10"], [TCP], ["p1"])
    world.run(world.program, "proxy", "--manifests", world.folder, "--hostname-override", "node1",
              "--oneshot")
    assert world.ask("outside", "tcp", "10.96.0.10", 80)[0]["seen"] == "192.168.9.9"


def test_hairpin(world):
    """A pod that meets itself sees its node as the client; other backends see the pod."""
    world.service("self", ["10.96.0.12"], [TCP, UDP], ["p1"])
    world.service("all", ["10.96.0.13"], [TCP], BACKENDS)
    world.proxy("--oneshot")
    for proto, port in (("tcp", 80), ("udp", 53)):
        for r in world.ask("p1", proto, "10.96.0.12", port, 20):
            assert (r["outcome"], r["name"], r["seen"]) == ("reply", "p1", "10.244.1.1")
    replies = world.ask("p1", "tcp", "10.96.0.13", 80, 120)
    check_even(replies)
    for r in replies:
        assert r["seen"] == ("10.244.1.1" if r["name"] == "p1" else pod4("p1"))


@pytest.mark.parametrize("source", ["c1", "node", "outside"])
def test_reject(world, source):
    """No endpoint, or a port that no Service has: refused at once, for everyone."""
    world.service("empty", ["10.96.0.14"], [TCP, UDP], None)
    world.service("empty6", ["fd00:10:96::14"], [TCP, UDP], None)
    world.service("web", ["10.96.0.10"], [TCP], BACKENDS)
    world.proxy("--oneshot")
    for host in ("10.96.0.14", "fd00:10:96::14"):
        for proto, port in (("tcp", 80), ("udp", 53)):
            assert outcomes(world.ask(source, proto, host, port, 1)) == {"refused"}
    assert outcomes(world.ask(source, "tcp", "10.96.0.10", 81, 1)) == {"refused"}
    assert outcomes(world.ask(source, "tcp", "10.96.0.99", 80, 1)) == {"timeout"}  # not ours


def only(world, *names):
    def check():
        r = world.ask("c1", "tcp", "10.96.0.10", 80, 12)
        return outcomes(r) == {"reply"} and set(backends(r)) <= set(names)
    return check


def test_changes_and_kept_connections(world):
    """Endpoint changes are followed; open connections stay where they are."""
    world.service("web", ["10.96.0.10"], [TCP], ["p1"])
    daemon = world.daemon()
    assert world.wait_for(only(world, "p1"))
    held = world.start(sys.executable, PEER, "hold", "10.96.0.10", "80", ns="c1",
                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert held.stdout.readline().strip() == "p1"
    for pods in (["p2", "p3"], ["p3"], ["p1", "p2", "p3"], ["p2"]):
        world.service("web", ["10.96.0.10"], [TCP], pods)
        last = pods[-1]
        assert world.wait_for(only(world, *pods)), (pods, last)
        held.stdin.write("still there\n")
        held.stdin.flush()
        assert held.stdout.readline().strip() == "still there"
    world.service("web", ["10.96.0.10"], [TCP], None)
    pathlib.Path(world.folder, "web.json").unlink()
    assert world.wait_for(
        lambda: outcomes(world.ask("c1", "tcp", "10.96.0.10", 80, 1)) == {"timeout"})
    assert world.stop(daemon) == 0
    assert "refused" not in pathlib.Path(world.folder).with_name("proxy.log").read_text()


def test_restart_has_no_gap(world):
    """Connections that start while the proxy restarts all succeed."""
    world.service("web", ["10.96.0.10"], [TCP], BACKENDS)
    world.proxy("--oneshot")
    client = world.start(sys.executable, PEER, "ask", "tcp", "10.96.0.10", "80", "4000", ns="c1",
                         stdout=subprocess.PIPE)
    runs = 0
    while client.poll() is None and runs < 200:
        world.proxy("--oneshot")
        runs += 1
    replies = json.loads(client.communicate()[0])
    assert runs > 3
    assert outcomes(replies) == {"reply"}


def test_shrinking_service_loses_nothing(world):
    """No connection finds an empty slot while the number of endpoints goes up and down."""
    world.service("web", ["10.96.0.10"], [TCP], BACKENDS)
    world.daemon("--min-sync-period=0s")
    assert world.wait_for(only(world, *BACKENDS))
    client = world.start(sys.executable, PEER, "ask", "tcp", "10.96.0.10", "80", "8000", ns="c1",
                         stdout=subprocess.PIPE)
    changes = 0
    while client.poll() is None and changes < 2000:
        world.service("web", ["10.96.0.10"], [TCP], BACKENDS[:1 + changes % 3])
        changes += 1
        time.sleep(0.01)
    assert changes > 20
    assert outcomes(json.loads(client.communicate()[0])) == {"reply"}


def test_flushed_rules_come_back(world):
    world.service("web", ["10.96.0.10"], [TCP], ["p1"])
    daemon = world.daemon("--iptables-sync-period=200ms")
    assert world.wait_for(only(world, "p1"))
    world.run("nft", "flush", "ruleset")
    assert world.wait_for(only(world, "p1"))
    world.run("nft", "flush", "ruleset")
    world.service("web", ["10.96.0.10"], [TCP], ["p2"])
    assert world.wait_for(only(world, "p2"))
    world.stop(daemon)


def test_rules_stay_until_cleanup(world):
    world.service("web", ["10.96.0.10"], [TCP], ["p1"])
    world.run("nft", "add table ip other")
    daemon = world.daemon()
    assert world.wait_for(only(world, "p1"))
    world.stop(daemon)
    assert only(world, "p1")()
    world.proxy("--cleanup")
    assert world.run("nft", "list", "tables").stdout.split("\n") == ["table ip other", ""]
    world.proxy("--cleanup")  # nothing there is fine


def test_size_of_the_ruleset(world):
    """Chains and rules are the same for 30 and for 3000 Services."""
    def load(n):
        world.write("many", *[o for i in range(n) for o in many(i)])
        world.proxy("--oneshot")
        text = world.run("nft", "-s", "list", "chains").stdout
        rules = sum(len(re.findall(r"^\t\t(?!type )\S", world.run(
            "nft", "list", "chain", "ip", "signpost", c).stdout, re.M))
            for c in re.findall(r"chain (\S+) {", text.split("table ip6")[0]))
        return text.count("chain "), rules

    def many(i):
        meta = {"name": "s%d" % i, "namespace": "t"}
        yield {"apiVersion": "v1", "kind": "Service", "metadata": meta,
               "spec": {"clusterIP": "10.96.%d.%d" % (1 + i // 250, i % 250),
                        "ports": [{"port": 80}]}}
        yield {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
               "metadata": dict(meta, labels={"kubernetes.io/service-name": meta["name"]}),
               "ports": [{"name": "", "port": 8080}],
               "endpoints": [{"addresses": ["10.244.1.%d" % (j + 1)]} for j in range(i % 3)]}

    few = load(30)
    assert few == load(3000)
    assert few[0] > 11


def test_health_and_metrics(world):
    world.service("web", ["10.96.0.10"], [TCP], ["p1"])
    world.daemon("--healthz-bind-address=127.0.0.1:10256")
    assert world.wait_for(only(world, "p1"))
    fetch = ("import sys, urllib.request as u;"
             "print(u.build_opener(u.ProxyHandler({})).open(sys.argv[1]).read().decode())")
    def get(url):
        return world.run(sys.executable, "-c", fetch, url).stdout
    assert '"healthy": true' in get("http://127.0.0.1:10256/healthz")
    text = get("http://127.0.0.1:10249/metrics")
    assert 'kubeproxy_sync_full_proxy_rules_duration_seconds_count{ip_family="IPv4"} 1' in text
    assert 'signpost_proxy_elements{ip_family="IPv4"} 7' in text
    assert get("http://127.0.0.1:10249/proxyMode").strip() == "nftables"


def test_expected_texts_are_taken(world):
    """What the golden files say, in order, is what the kernel accepts."""
    cases = sorted((ROOT / "tests" / "golden" / "rules").iterdir())
    assert cases
    for case in cases:
        steps = sorted(case.glob("*.nft"), key=lambda p: int(p.stem))
        for step in steps:
            world.run("nft", "-f", "-", text=step.read_text())


def test_print_is_what_is_written(world):
    world.service("web", ["10.96.0.10"], [TCP, UDP], BACKENDS)
    text = world.proxy("--print").stdout
    world.run("nft", "-f", "-", text=text)
    def listed():  # without the seal, which only the proxy itself puts on
        text = world.run("nft", "-s", "list", "ruleset").stdout
        return sorted(re.sub(r"(?s)\n\tset layout {.*?\n\t}\n", "\n", text).split("\n"))
    printed = listed()
    world.proxy("--oneshot")
    assert listed() == printed
    assert "set layout" in world.run("nft", "list", "sets").stdout


@pytest.mark.parametrize("args,words", [
    (["--proxy-mode=ipvs"], "--proxy-mode=ipvs is not offered"),
    (["--cluster-cidr=10.0.0.0/8,11.0.0.0/8"], "more than one IPv4 range"),
    (["--nodeport-addresses=localhost"], "nodeport-addresses"),
    (["--nodeport-addresses=10.0.0.0/33"], "is no address range"),
    (["--detect-local-mode=Guess"], "InterfaceNamePrefix"),
    (["--detect-local-mode=BridgeInterface"], "--pod-bridge-interface"),
    (["--bind-address=nowhere"], "--bind-address"),
    (["--iptables-masquerade-bit=32"], "0..31"),
    (["--service-cluster-ip-range=10.0.0.0/8,11.0.0.0/8"], "IPv4"),
    (["--healthz-bind-address=x"], "is no IP:PORT"),
    (["--manifests=/nonexistent"], "/nonexistent"),
])
def test_refused_by_name(signpost, tmp_path, args, words):
    r = subprocess.run([signpost, "proxy", "--manifests", str(tmp_path), "--print", *args],
                       capture_output=True, text=True, timeout=20)
    assert r.returncode != 0
    assert words in r.stderr
