"""`signpost proxy --proxy-mode=iptables` when things go wrong: other hands in the tables, programs that are missing, slow or
break, sudden ends, many changes; and what clients notice of it.

SIGNPOST_CHURN_SECONDS: how long the storm lasts (4)."""
import os
import random
import re
import shlex
import signal
import socket
import subprocess
import sys
import time

import pytest

from proxy_world import pod4, world  # pylint: disable=unused-import
from test_proxy_churn import SCTP_CLIENT, SCTP_SERVER, Client, Storm, check, start_clients
from test_proxy_faults import only
from test_proxy_iptables import MODE, REAL, fake, ours, saved

BACKENDS = ["p1", "p2", "p3"]
TCP, UDP = ("http", 80, "TCP"), ("dns", 53, "UDP")
QUIET = "--iptables-sync-period=0s"  # no look after the tables by the clock
ENDS = 8                             # sudden ones
STORM_SECONDS = float(os.environ.get("SIGNPOST_CHURN_SECONDS", "4"))
STORMED = 8                          # Services in it: many do not go into one message without real root
NOW = 5                              # seconds, on a busy machine, for what nothing has to wait


def daemon(world, *more, path=None):
    return world.daemon(MODE, QUIET, "--min-sync-period=20ms", *more, path=path)


def stop(world, process, number=signal.SIGKILL):
    process.send_signal(number)
    process.wait()
    world.children.remove(process)


def hide(world, *patterns):
    """Programs of the world are not there any more, until show()."""
    cases = "|".join(patterns)
    world.run("sh", "-c", "mkdir -p /run/sbin /run/some && mount --bind /usr/sbin /run/sbin && cd /run/sbin &&"
                          "for f in *; do case $f in %s) ;; *) ln -s /run/sbin/$f /run/some/;; esac; done;"
                          "mount --bind /run/some /usr/sbin" % cases)


def show(world):
    world.run("/bin/umount", "/usr/sbin")


# ---- other hands

@pytest.mark.parametrize("command", [
    "iptables -t nat -F KUBE-SERVICES",
    "iptables -t nat -F $(iptables-save -t nat | sed -n 's/^:\\(KUBE-SVC-[^ ]*\\) .*/\\1/p')",
    "iptables -t nat -D $(iptables-save -t nat | sed -n 's/^-A \\(KUBE-SEP-.*\\)/\\1/p' | tail -n 1)",
    "iptables -t nat -D PREROUTING -m comment --comment 'kubernetes service portals' -j KUBE-SERVICES",
    "iptables -F FORWARD",
    "iptables -t mangle -X KUBE-PROXY-CANARY",
    "ip6tables -t nat -F",
    "nft delete table ip nat",
    "nft flush ruleset",
])
def test_drift_is_told(world, command):
    """By the kernel: nobody has to look."""
    world.service("web", ["10.96.0.10"], [TCP], ["p1"])
    world.service("six", ["fd00:10:96::10"], [TCP], ["p1"], family=6)
    daemon(world)
    assert world.wait_for(lambda: "IPv6: full sync" in world.log(), 10), world.log()
    before = sorted(saved(world))
    world.run("bash", "-c", 'eval "%s"' % command if "KUBE-SEP" in command else command)
    assert world.wait_for(lambda: "somebody else has taken" in world.log(), NOW), world.log()
    assert world.wait_for(lambda: sorted(saved(world)) == before, NOW), world.log()
    assert only(world, "p1", n=2)()


def test_drift_in_the_middle(world, tmp_path):
    """What goes while we write is not told as somebody else's: there were more transactions than ours, so rules are
    counted."""
    path = fake(tmp_path, '/usr/sbin/iptables-nft-restore "$@" || exit; [ ! -e "$0.on" ] || { rm "$0.on";'
                          ' /usr/sbin/iptables-nft -t nat -F KUBE-SERVICES; }\n')
    world.service("web", ["10.96.0.10"], [TCP], ["p1"])
    daemon(world, path=path)
    assert world.wait_for(lambda: "IPv6: full sync" in world.log(), 10), world.log()
    (tmp_path / "bin" / "iptables-nft-restore.on").touch()
    world.service("web", ["10.96.0.10"], [TCP], ["p2"])
    assert world.wait_for(lambda: "somebody else has taken" in world.log(), NOW), world.log()
    assert world.wait_for(only(world, "p2", n=2), NOW), world.log()


def test_others_rules_are_not_ours(world):
    """In tables that are shared, others come and go without a word from us."""
    world.service("web", ["10.96.0.10"], [TCP], ["p1"])
    daemon(world)
    assert world.wait_for(lambda: "IPv6: full sync" in world.log(), 10), world.log()
    for command in ("-N OTHER", "-A OTHER -j ACCEPT", "-I POSTROUTING -s 192.0.2.1 -j OTHER", "-F OTHER",
                    "-D POSTROUTING -s 192.0.2.1 -j OTHER", "-X OTHER"):
        world.run("iptables", "-t", "nat", *shlex.split(command))
    world.service("web", ["10.96.0.10"], [TCP], ["p2"])
    assert world.wait_for(only(world, "p2"), NOW), world.log()
    assert "somebody else" not in world.log() and world.log().count("full sync") == 2


# ---- the programs

def test_programs_break_on_the_way(world, tmp_path):
    """Rules that are there go on working; the change comes in when the program works again, slow as it may be."""
    path = fake(tmp_path, REAL)
    world.service("web", ["10.96.0.10"], [TCP], ["p1"])
    daemon(world, path=path)
    assert world.wait_for(only(world, "p1"), 10), world.log()
    fake(tmp_path, "exit 1\n")
    world.service("web", ["10.96.0.10"], [TCP], ["p2"])
    assert world.wait_for(lambda: "were not written" in world.log(), NOW), world.log()
    assert only(world, "p1")()
    fake(tmp_path, "sleep 1\n" + REAL)
    assert world.wait_for(only(world, "p2"), 20), world.log()


def test_no_restore_program(world):
    """Said by name, and rules come as soon as there is one."""
    hide(world, "iptables-*restore")
    world.service("web", ["10.96.0.10"], [TCP], ["p1"])
    world.service("six", ["fd00:10:96::10"], [TCP], ["p1"], family=6)
    daemon(world)
    words = "IPv4 rules were not written: iptables-nft-restore cannot be started: No such file or directory"
    assert world.wait_for(lambda: words in world.log(), 10), world.log()
    assert world.wait_for(lambda: "IPv6: full sync" in world.log(), 10), world.log()
    show(world)
    assert world.wait_for(only(world, "p1"), 20), world.log()


def health(world):
    fetch = ("import urllib.request as u;"
             "print(u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:10256/healthz').read().decode())")
    return world.run(sys.executable, "-c", fetch, check=False).stdout


def test_no_ip6tables(world):
    """IPv4 alone, with one sentence about it; nothing is tried in vain, and health does not mind."""
    hide(world, "ip6tables*")
    world.service("web", ["10.96.0.10"], [TCP], ["p1"])
    world.service("six", ["fd00:10:96::10"], [TCP], ["p1"], family=6)
    running = daemon(world)
    for pods in (["p1"], ["p2"]):
        world.service("web", ["10.96.0.10"], [TCP], pods)
        assert world.wait_for(only(world, *pods), 10), world.log()
    world.run("iptables", "-t", "nat", "-F", "KUBE-SERVICES")
    assert world.wait_for(only(world, "p2"), NOW), world.log()
    assert '"IPv4"' in health(world) and "IPv6" not in health(world)
    said = [line for line in world.log().splitlines() if "ip6tables-nft" in line]
    assert len(said) == 1 and "Services have no IPv6 addresses on this host: ip6tables-nft cannot be started" in said[0]
    assert "not written" not in world.log() and "IPv6: " not in world.log()
    stop(world, running)
    world.proxy(MODE, "--oneshot")
    world.proxy("--cleanup")
    show(world)
    assert ours(world) == []


def test_no_iptables_at_all(world):
    hide(world, "*tables*")
    world.service("web", ["10.96.0.10"], [TCP], ["p1"])
    words = "no IPv4 rules can be written on this host: iptables cannot be started: No such file or directory"
    once = world.proxy(MODE, "--oneshot", check=False)
    assert once.returncode == 1 and words in once.stderr
    running = daemon(world)
    assert running.wait(timeout=20) == 1
    assert words in world.log()
    show(world)
    assert ours(world) == []


def test_kernel_without_a_match(world, tmp_path):
    """Services that need what the kernel lacks (here: the match recent, for session affinity) are named, all others
    served; when it has come, they are."""
    path = fake(tmp_path, 'cat >"$0.in"; grep -q "m recent" "$0.in" && { echo "line 1: Couldn\'t load match \'recent\'" >&2;'
                          ' exit 2; }\n/usr/sbin/iptables-nft-restore "$@" <"$0.in"\n')
    for number in range(9):
        world.service("s%d" % number, ["10.96.0.%d" % (60 + number)], [TCP], ["p1"],
                      sessionAffinity="ClientIP" if number in (2, 7) else "None")
    daemon(world, path=path)
    for number in (0, 4, 8):
        assert world.wait_for(only(world, "p1", ip="10.96.0.%d" % (60 + number), n=1), 10), world.log()
    words = "IPv4 rules of Service t/s2:http, t/s7:http were refused, all others are written: .*load match .recent"
    assert world.wait_for(lambda: re.search(words, world.log()), 10), world.log()
    fake(tmp_path, REAL)
    for number in (2, 7):
        assert world.wait_for(only(world, "p1", ip="10.96.0.%d" % (60 + number), n=1), 30), world.log()


# ---- size

def test_large_service(world):
    """5,000 endpoints: one comes, one goes, by few rules; the probabilities go down from 1 in 5,000."""
    hosts = ["10.244.%d.%d" % (100 + i // 250, 1 + i % 250) for i in range(5000)]

    def write(ips):
        meta = {"name": "large", "namespace": "t"}
        slices = [{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                   "metadata": dict(meta, name="large-%d" % i, labels={"kubernetes.io/service-name": "large"}),
                   "ports": [{"name": "p", "port": 8080}], "endpoints": [{"addresses": [ip]} for ip in ips[i:i + 1000]]}
                  for i in range(0, len(ips), 1000)]
        world.write("large", {"apiVersion": "v1", "kind": "Service", "metadata": meta,
                              "spec": {"clusterIP": "10.96.0.200", "ports": [{"name": "p", "port": 80}]}}, *slices)

    def destinations():
        return sorted(re.findall(r"--to-destination (\S+):8080", world.run("iptables-save", "-t", "nat").stdout))

    daemon(world)
    for ips in (hosts, hosts[1:], hosts[1:] + ["10.244.90.1"]):
        write(ips)
        assert world.wait_for(lambda: destinations() == sorted(ips), 60), world.log()[-2000:]
    jumps = [line for line in ours(world) if line.startswith("-A KUBE-SVC-")]
    assert len(jumps) == 5001  # and that of masquerading
    assert "--probability 0.00020000" in jumps[1] and "probability" not in jumps[-1]
    world.service("web", ["10.96.0.10"], [TCP], ["p1"])
    assert world.wait_for(only(world, "p1"), 20), world.log()[-2000:]
    assert "refused" not in world.log() and "not written" not in world.log()


# ---- sudden ends, storms, clients

def test_killed_at_any_moment(world, tmp_path):
    """With kill -9, also in the middle of a restore, whose program then goes on or not: no connection fails, and a new
    process leaves what a start from nothing makes."""
    path = fake(tmp_path, "sleep 0.0$(($(date +%N | cut -c1) % 6))\n" + REAL)
    world.service("web", ["10.96.0.10"], [TCP, UDP], BACKENDS)
    running = daemon(world)
    assert world.wait_for(only(world, *BACKENDS, n=3), 10), world.log()
    clients, held = start_clients(world), Client(world, "c1", "held", "10.96.0.10", 80, 10, waits=True)
    dice = random.Random(2)
    for number in range(ENDS):
        world.service("web", ["10.96.0.10"], [TCP, UDP], dice.sample(BACKENDS, dice.choice([2, 3])))
        world.service("other", ["10.96.1.%d" % number], [TCP], dice.sample(BACKENDS, dice.randrange(4)))
        time.sleep(dice.random() * 0.4)
        stop(world, running)
        running = daemon(world, path=path)
        time.sleep(dice.random() * 0.4)
    fake(tmp_path, REAL)
    world.service("web", ["10.96.0.10"], [TCP, UDP], ["p1"])
    world.service("last", ["10.96.2.1"], [TCP], ["p1"])
    assert world.wait_for(only(world, "p1", ip="10.96.2.1", n=1), 20), world.log()[-2000:]
    assert world.wait_for(only(world, "p1"), 20)
    check(clients, held, 20)
    stop(world, running, signal.SIGTERM)
    grown = saved(world)
    world.proxy("--cleanup")
    world.proxy(MODE, "--oneshot")
    assert saved(world) == grown


def test_storm(world):
    """Changes as fast as they can be made, and one restart: what is served never fails, what is open stays open."""
    world.service("web", ["10.96.0.10"], [TCP, UDP], ["p1", "p2"])
    running = daemon(world)
    assert world.wait_for(only(world, *BACKENDS, n=3), 10), world.log()
    clients, held = start_clients(world), Client(world, "c1", "held", "10.96.0.10", 80, 10, waits=True)
    for _ in range(2):
        assert Storm(world, STORMED).run(STORM_SECONDS / 2) > 100
        stop(world, running, signal.SIGTERM)
        running = daemon(world)
    world.service("last", ["10.96.2.1"], [TCP], ["p1"])
    assert world.wait_for(only(world, "p1", ip="10.96.2.1", n=1), 20), world.log()[-2000:]
    check(clients, held, 20)
    assert "refused" not in world.log() and "not written" not in world.log()
    stop(world, running, signal.SIGTERM)
    grown = saved(world)
    world.proxy("--cleanup")
    world.proxy(MODE, "--oneshot")
    assert saved(world) == grown


def test_udp_flow_moves_at_once(world):
    """At most the answer that is under way when its endpoint goes is lost."""
    world.service("dns", ["10.96.0.10"], [UDP], ["p1"])
    daemon(world)
    assert world.wait_for(only(world, "p1", proto="udp", port=53, n=1), 10), world.log()
    flow = Client(world, "c1", "flow", "10.96.0.10", 53, waits=True)
    order = ["p1"]
    for pod in ("p2", "p3", "p1"):
        world.service("dns", ["10.96.0.10"], [UDP], [pod])
        order.append(pod)
        assert world.wait_for(only(world, pod, proto="udp", port=53, n=1), NOW), world.log()
        time.sleep(0.8)  # longer than the flow waits for an answer: it is to be heard from there
    runs = flow.end()
    assert [who for who, _, _ in runs if who != "TimeoutError"] == order, runs
    assert all(count == 1 for who, count, _ in runs if who == "TimeoutError"), runs


# ---- SCTP

def test_sctp(world):
    """The rules are there on any kernel; connections where it speaks SCTP."""
    world.service("assoc", ["10.96.0.10"], [("s", 80, "SCTP")], ["p1"])
    world.service("none", ["10.96.0.11"], [("s", 80, "SCTP")], None)
    world.proxy(MODE, "--oneshot")
    rules = "\n".join(ours(world))
    assert re.search(r'-A KUBE-SERVICES -d 10.96.0.10/32 -p sctp .*cluster IP" -m sctp --dport 80 -j KUBE-SVC-', rules)
    assert re.search(r"-A KUBE-SEP-\w+ -p sctp .* -m sctp -j DNAT --to-destination %s:8080" % pod4("p1"), rules)
    assert re.search(r'-A KUBE-SERVICES -d 10.96.0.11/32 -p sctp .*has no endpoints" -m sctp --dport 80 -j REJECT', rules)
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP).close()
    except OSError as e:
        pytest.skip("rules for SCTP are written, but this kernel has no SCTP to send (CONFIG_IP_SCTP): %s" % e)
    server = world.start(sys.executable, "-c", SCTP_SERVER, ns="p1", stdout=subprocess.PIPE)
    assert server.stdout.readline().strip() == "ready"
    assert world.run(sys.executable, "-c", SCTP_CLIENT, ns="c1").stdout.strip() == pod4("c1")
