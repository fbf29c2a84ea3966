"""`signpost proxy --proxy-mode=iptables` on a real kernel: what is written, and what becomes of it when
things go wrong, others interfere, or the mode changes. What clients see of the rules themselves is
in test_proxyvec.py."""
import json
import pathlib
import random
import re
import subprocess
import sys
import time

import pytest

from proxy_world import PEER, pod4, world  # pylint: disable=unused-import

BACKENDS = ["p1", "p2", "p3"]
TCP, UDP = ("http", 80, "TCP"), ("dns", 53, "UDP")
MODE = "--proxy-mode=iptables"
QUICK = "--min-sync-period=20ms"
REAL = 'exec /usr/sbin/iptables-nft-restore "$@"\n'


def saved(world, kind="nft"):
    """All rules of both families, without counters and, as nft alone, without legacy tables."""
    text = "".join(world.run("ip%stables-%s-save" % (v, kind)).stdout for v in ("", "6"))
    return [re.sub(r" \[\d+:\d+\]", "", line) for line in text.splitlines()
            if line and not line.startswith("#")]


def ours(world, kind="nft"):
    return [line for line in saved(world, kind) if "KUBE-" in line]


def names(world, ip="10.96.0.10", n=8, source="c1", port=80):
    return [r.get("name") for r in world.ask(source, "tcp", ip, port, n)]


def only(world, *pods, **kw):
    return lambda: (lambda seen: None not in seen and set(seen) <= set(pods))(names(world, **kw))


def daemon(world, *more, path=None):
    return world.daemon(MODE, QUICK, *more, path=path)


def fake(tmp_path, body):
    """In front of the host's programs."""
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    new = folder / "new"
    new.write_text("#!/bin/sh\n" + body)
    new.chmod(0o755)
    new.rename(folder / "iptables-nft-restore")
    return str(folder)


# ---- coming and going

def test_cleanup_leaves_nothing(world):
    """Ours go, whoever else's stay; a second time there is nothing to do."""
    world.service("web", ["10.96.0.10", "fd00:10:96::10"], [TCP, UDP], BACKENDS, type="NodePort",
                  sessionAffinity="ClientIP")
    world.run("iptables", "-N", "OTHER")
    world.run("iptables", "-A", "INPUT", "-s", "192.0.2.1", "-j", "OTHER")
    before = saved(world)
    world.proxy(MODE, "--oneshot")
    assert only(world, *BACKENDS)()
    assert any("KUBE-SVC-" in line for line in saved(world))
    world.proxy("--cleanup")
    assert ours(world) == []
    assert [line for line in saved(world) if "OTHER" in line] == [
        line for line in before if "OTHER" in line]
    world.proxy("--cleanup")


def test_a_kubelets_chain_stays(world):
    world.run("iptables", "-t", "mangle", "-N", "KUBE-KUBELET-CANARY")
    world.run("iptables", "-N", "KUBE-FIREWALL")
    world.run("iptables", "-A", "KUBE-FIREWALL", "-m", "mark", "--mark", "0x8000/0x8000", "-j", "DROP")
    rule = "-A KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP"
    world.proxy(MODE, "--oneshot")
    world.proxy(MODE, "--oneshot")
    assert saved(world).count(rule) == 1
    assert sum("block incoming localnet" in line for line in saved(world)) == 1
    world.proxy("--cleanup")
    assert rule in saved(world)
    assert not [line for line in ours(world) if "FIREWALL" not in line and "KUBELET" not in line]


def test_from_mode_to_mode(world):
    """The other mode's rules go when ours do their work; connections come in all the time."""
    world.service("web", ["10.96.0.10"], [TCP], BACKENDS)
    world.proxy("--oneshot")
    client = world.start(sys.executable, PEER, "ask", "tcp", "10.96.0.10", "80", "1500", ns="c1",
                         stdout=subprocess.PIPE)
    world.proxy(MODE, "--oneshot")
    assert "signpost" not in world.run("nft", "list", "tables").stdout
    assert any("KUBE-SVC-" in line for line in ours(world))
    world.proxy("--proxy-mode=nftables", "--oneshot")
    assert ours(world) == [] and "ip signpost" in world.run("nft", "list", "tables").stdout
    world.proxy(MODE, "--oneshot")
    world.proxy("--cleanup", "--proxy-mode=nftables")
    assert any("KUBE-SVC-" in line for line in ours(world))
    assert {r["outcome"] for r in json.loads(client.communicate()[0])} == {"reply"}


def test_restart_has_no_gap(world):
    """A full restore of what is there: no connection notices, no jump moves, clients with affinity
    stay."""
    world.service("web", ["10.96.0.10"], [TCP], BACKENDS, sessionAffinity="ClientIP")
    world.service("all", ["10.96.0.11"], [TCP], BACKENDS)
    world.proxy(MODE, "--oneshot")
    kept, before = names(world, source="c1"), saved(world)
    world.run("iptables", "-I", "INPUT", "-s", "192.0.2.1", "-j", "DROP")
    client = world.start(sys.executable, PEER, "ask", "tcp", "10.96.0.11", "80", "1500", ns="c1",
                         stdout=subprocess.PIPE)
    runs = 0
    while client.poll() is None and runs < 30:
        world.proxy(MODE, "--oneshot")
        runs += 1
    assert runs > 0
    assert {r["outcome"] for r in json.loads(client.communicate()[0])} == {"reply"}
    assert set(names(world, source="c1")) == set(kept) and len(set(kept)) == 1
    assert [line for line in saved(world) if "192.0.2.1" not in line] == before
    assert [line for line in saved(world) if line.startswith("-A INPUT")][0].endswith("-j DROP")


def test_print_is_what_is_written(world):
    world.service("web", ["10.96.0.10", "fd00:10:96::10"], [TCP, UDP], BACKENDS, type="NodePort",
                  externalIPs=["198.51.100.1"])
    four, six = world.proxy(MODE, "--print").stdout.split("# ip6tables-restore --noflush\n")
    world.run("iptables-restore", "--noflush", text=four)
    world.run("ip6tables-restore", "--noflush", text=six)

    def plain():  # --print cannot know whether the kernel has counters
        return [re.sub(r" -m nfacct --nfacct-name +ct_state_invalid_dropped_pkts", "", line)
                for line in saved(world) if "localhost_nps" not in line]
    printed = plain()
    world.proxy("--cleanup")
    world.proxy(MODE, "--oneshot")
    assert plain() == printed


# ---- which kind of iptables

@pytest.mark.parametrize("hint,kind", [
    ([], "nft"),
    (["iptables-legacy", "-t", "mangle", "-N", "KUBE-IPTABLES-HINT"], "legacy"),
    (["ip6tables-legacy", "-t", "mangle", "-N", "KUBE-KUBELET-CANARY"], "legacy"),
    (["iptables-legacy", "-A", "INPUT", "-s", "192.0.2.1", "-j", "DROP"], "legacy"),
    (["iptables-nft", "-A", "INPUT", "-s", "192.0.2.1", "-j", "DROP"], "nft"),
])
def test_kind(world, hint, kind):
    """Rules go where the host's are, and work there."""
    if hint and world.run(*hint, check=False).returncode:
        pytest.skip("this kernel has no legacy tables")
    world.service("web", ["10.96.0.10"], [TCP], BACKENDS)
    running = daemon(world, "--iptables-sync-period=200ms")
    assert world.wait_for(only(world, *BACKENDS), 10), world.log()
    assert "iptables: %s, since" % kind in world.log()
    world.service("web", ["10.96.0.10"], [TCP], ["p2"])
    assert world.wait_for(only(world, "p2"))
    other = {"nft": "legacy", "legacy": "nft"}[kind]
    assert any("KUBE-SVC-" in line for line in ours(world, kind))
    assert not [line for line in ours(world, other) if "KUBE-SVC-" in line]
    world.run("iptables-" + kind, "-t", "nat", "-F")
    assert world.wait_for(only(world, "p2", n=2), 10), world.log()
    world.stop(running)
    world.proxy("--cleanup")
    assert not [line for line in ours(world, kind) if "KUBE-S" in line]


# ---- other hands

@pytest.mark.parametrize("commands", [
    ["iptables -t nat -F"],
    ["iptables -t nat -D PREROUTING -m comment --comment 'kubernetes service portals' -j KUBE-SERVICES"],
    ["iptables -t mangle -X KUBE-PROXY-CANARY"],
    ["iptables -F", "iptables -X"],
    ["ip6tables -t nat -F", "ip6tables -t nat -X"],
    ["nft flush ruleset"],
    ["nft delete table ip nat"],
])
def test_drift_is_noticed(world, commands):
    world.service("web", ["10.96.0.10"], [TCP], ["p1"])
    world.service("six", ["fd00:10:96::10"], [TCP], ["p1"], family=6)
    world.service("none", ["10.96.0.11"], [TCP], None)
    daemon(world, "--iptables-sync-period=200ms")
    assert world.wait_for(only(world, "p1", n=1), 10), world.log()
    assert world.wait_for(lambda: "IPv6: full sync" in world.log())
    before = saved(world)
    for command in commands:
        world.run("sh", "-c", command, check=command is commands[0])  # then it may all be back already
    # What is repaired within milliseconds is not seen as it was: the loss itself is in the log.
    assert world.wait_for(lambda: "somebody else has taken" in world.log(), 15), world.log()
    assert world.wait_for(lambda: sorted(saved(world)) == sorted(before), 15), world.log()


# ---- the programs

@pytest.mark.parametrize("body,words", [
    ("echo 'no good' >&2; exit 2\n", "no good"),
    ("kill -9 $$\n", "iptables-nft-restore ended with status 137"),
    ("head -c 1000 | /usr/sbin/iptables-nft-restore \"$@\"\n", "iptables-nft-restore ended with status"),
])
def test_broken_programs(world, tmp_path, body, words):
    path = fake(tmp_path, body)
    world.service("web", ["10.96.0.10"], [TCP], ["p1"])
    daemon(world, path=path)
    assert world.wait_for(lambda: words in world.log(), 10), world.log()
    fake(tmp_path, REAL)
    assert world.wait_for(only(world, "p1"), 20), world.log()


def test_one_service_is_refused(world, tmp_path):
    """At the start and among changes: named, left out, tried again; no other waits for it."""
    path = fake(tmp_path, 'cat >"$0.in"; grep -q "10.96.0.6[67]" "$0.in" && '
                          '{ echo "not this one" >&2; exit 1; }\n'
                          '/usr/sbin/iptables-nft-restore "$@" <"$0.in"\n')
    for i in range(4, 8):
        world.service("s%d" % i, ["10.96.0.%d" % (60 + i)], [TCP], ["p1"])
    daemon(world, path=path)
    for i in (4, 5):
        assert world.wait_for(only(world, "p1", ip="10.96.0.%d" % (60 + i), n=1), 10), world.log()
    assert world.wait_for(lambda: re.search(
        r"rules of Service t/s6:http, t/s7:http were refused, all others are written: .*not this one",
        world.log())), world.log()
    for i in range(4):
        world.service("s%d" % i, ["10.96.0.%d" % (60 + i)], [TCP], ["p2"])
    for i in range(4):
        assert world.wait_for(only(world, "p2", ip="10.96.0.%d" % (60 + i), n=1), 10), world.log()
    fake(tmp_path, REAL)
    for i in (6, 7):
        assert world.wait_for(only(world, "p1", ip="10.96.0.%d" % (60 + i), n=1), 30), world.log()


# ---- after any sequence of changes

SPECS = [{}, {"type": "NodePort"}, {"type": "NodePort", "externalTrafficPolicy": "Local"},
         {"internalTrafficPolicy": "Local"}, {"sessionAffinity": "ClientIP"},
         {"externalIPs": ["198.51.100.7"]}]


def change(world, dice, i):
    """One object comes, changes or goes."""
    name, spec = "s%d" % i, dict(dice.choice(SPECS))
    if dice.random() < 0.25:
        pathlib.Path(world.folder, name + ".json").unlink(missing_ok=True)
        return
    if dice.random() < 0.2:
        spec.update(type="LoadBalancer", balancer=["203.0.113.%d" % i],
                    loadBalancerSourceRanges=dice.choice([None, ["192.168.9.0/24"], ["10.99.0.0/16"]]))
    pods = [p for p in BACKENDS if dice.random() < 0.5] if dice.random() < 0.8 else None
    if i % 2:
        world.service(name, ["10.96.0.%d" % (10 + i)], dice.choice([[TCP], [TCP, UDP]]), pods, **spec)
    else:
        spec.pop("externalIPs", None)
        spec.pop("balancer", None)
        spec.pop("loadBalancerSourceRanges", None)
        world.service(name, ["fd00:10:96::%d" % (10 + i)], [TCP], pods, family=6, **spec)


@pytest.mark.parametrize("seed", [1, 2])
def test_history_leaves_no_trace(world, seed):
    """What has come about step by step is what a start from nothing makes, to the last rule."""
    dice = random.Random(seed)
    for checkpoint in range(2):
        running = daemon(world)
        for _ in range(40):
            change(world, dice, dice.randrange(8))
            if dice.random() < 0.3:
                time.sleep(0.1)  # so that it writes some of the steps by themselves
        world.service("last", ["10.96.0.100"], [TCP], ["p%d" % (1 + checkpoint)])
        assert world.wait_for(only(world, "p%d" % (1 + checkpoint), ip="10.96.0.100", n=2), 15), world.log()
        world.stop(running)
        grown = saved(world)
        world.proxy("--cleanup")
        world.proxy(MODE, "--oneshot")
        assert saved(world) == grown
    assert "partial sync" in world.log() and "refused" not in world.log()


# ---- settings

def test_settings(world, tmp_path):
    """A file's section for this mode counts, the other's does not."""
    config = tmp_path / "proxy.yaml"
    config.write_text(
        "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: iptables\n"
        "clusterCIDR: 10.244.0.0/16\nconntrack: {maxPerCore: 0, tcpBeLiberal: true}\n"
        "nodePortAddresses: [192.168.9.0/24, 127.0.0.0/8]\n"
        "iptables: {masqueradeBit: 20, masqueradeAll: true, localhostNodePorts: true,"
        " minSyncPeriod: 10ms, syncPeriod: 200ms}\nnftables: {masqueradeBit: 3}\n")
    world.service("web", ["10.96.0.10"], [TCP], ["p1"], type="NodePort")
    path = pathlib.Path(world.folder, "web.json")
    path.write_text(path.read_text().replace('"port": 80,', '"port": 80, "nodePort": 30080,'))
    world.start(world.program, "proxy", "--manifests", world.folder, "--config", str(config),
                "--hostname-override=node1")
    assert world.wait_for(only(world, "p1", n=2), 10)
    assert world.ask("c1", "tcp", "10.96.0.10", 80)[0]["seen"] == "10.244.1.1"  # masqueradeAll
    assert world.ask("node", "tcp", "127.0.0.1", 30080)[0].get("name") == "p1"
    assert world.ask("outside", "tcp", "192.168.9.1", 30080)[0].get("name") == "p1"
    rules = saved(world)
    assert "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x100000/0x100000" in rules
    assert [re.search(r"-d (\S+)", r)[1] for r in rules if "NOTE: this" in r and "-d 1" in r] == [
        "127.0.0.1/32", "192.168.9.1/32"]
    assert world.run("cat", "/proc/sys/net/ipv4/conf/all/route_localnet").stdout == "1\n"


def test_metrics(world):
    """The original's names, and the numbers of rules that are there."""
    world.service("web", ["10.96.0.10"], [TCP], BACKENDS)
    world.service("none", ["10.96.0.11"], [TCP], None)
    daemon(world)
    assert world.wait_for(only(world, *BACKENDS), 10)
    fetch = ("import urllib.request as u;"
             "print(u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:10249/%s').read().decode())")
    assert world.run(sys.executable, "-c", fetch % "proxyMode").stdout.strip() == "iptables"
    text = world.run(sys.executable, "-c", fetch % "metrics").stdout
    rules = saved(world)
    start = rules.index("*nat")
    nat = [r for r in rules[start:rules.index("COMMIT", start)] if r.startswith("-A KUBE-")]
    assert 'kubeproxy_sync_proxy_rules_iptables_total{ip_family="IPv4",table="nat"} %d\n' % len(nat) in text
    for name in ('last{ip_family="IPv6",table="filter"}', 'last{ip_family="IPv4",table="nat"}'):
        assert "kubeproxy_sync_proxy_rules_iptables_" + name in text
    for name in ("ct_state_invalid_dropped_packets_total", "localhost_nodeports_accepted_packets_total"):
        assert "kubeproxy_iptables_%s 0\n" % name in text
    assert "nftables" not in text
    assert pod4("p1") in "".join(nat)
