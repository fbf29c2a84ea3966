"""`signpost proxy` under a storm of changes and under sudden ends, with traffic all the time: nothing that is served
fails, what is open stays open, and the kernel ends where a fresh start would. Further: without nft, without IPv6, SCTP.

SIGNPOST_CHURN_SECONDS: how long the storm lasts (10); then the full 1,000 changes a second must be made."""
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

from proxy_world import pod4, world  # pylint: disable=unused-import
from test_proxy_faults import QUIET, REAL, fake_nft, fresh, names, only, table

TRAFFIC = str(pathlib.Path(__file__).with_name("proxy_traffic.py"))
BACKENDS = ["p1", "p2", "p3"]
TCP, UDP = ("http", 80, "TCP"), ("dns", 53, "UDP")
SHOWN = "SIGNPOST_CHURN_SECONDS" in os.environ
SECONDS = float(os.environ.get("SIGNPOST_CHURN_SECONDS", "10"))
RATE = 1000    # changes a second
OTHERS = 60    # Services that change, beside the one that is asked
TOGETHER = 20  # of them in a file
TICKS = os.sysconf("SC_CLK_TCK")
ENDS = 12      # sudden ones


class Client:
    """One of proxy_traffic.py, in a place."""

    def __init__(self, world, source, *words, waits=False):
        self.process = world.start(sys.executable, "-B", TRAFFIC, *map(str, words), ns=None if source == "node" else source,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if waits:
            assert self.process.stdout.readline().strip() == "ready"

    def end(self):
        out, _ = self.process.communicate(timeout=30)
        return json.loads(out)


def start_clients(world):
    places = [("c1", "tcp", 80), ("c1", "udp", 53), ("outside", "tcp", 80), ("node", "tcp", 80)]
    return [Client(world, source, "new", proto, "10.96.0.10", port, waits=True) for source, proto, port in places]


def check(clients, held, least):
    for client in clients:
        made = client.end()
        assert set(made) == {"reply"} and made["reply"] >= least, made
    made = held.end()
    assert not made["broken"] and made["said"] >= least, made


def resident_mb(process):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path("/proc/%d/status" % process.pid).read_text()).group(1)) / 1024


class Storm:
    """Endpoints of all Services come and go; p1 and p2 stay where they are asked. A file holds some Services, all of which
    change when it is written: one file a change would measure who writes files, not who reads them."""

    def __init__(self, world, others=OTHERS):
        self.world, self.dice, self.pods, self.made = world, random.Random(1), {}, 0
        self.files = [range(i, min(i + TOGETHER, others)) for i in range(0, others, TOGETHER)]

    def objects(self, number):
        before = self.pods.get(number)
        while self.pods.get(number) == before:
            self.pods[number] = self.dice.sample(BACKENDS, self.dice.randrange(4))
        self.made += 1
        return self.world.service_objects(
            "s%d" % number, ["10.96.1.%d" % number], [TCP, UDP], self.pods[number],
            sessionAffinity=self.dice.choice(["None", "ClientIP"]), type=self.dice.choice(["ClusterIP", "NodePort"]))

    def run(self, seconds):
        """Returns how many changes."""
        since, first, turn = time.monotonic(), self.made, 0
        while time.monotonic() - since < seconds:
            if turn % 2 == 0:
                self.world.service("web", ["10.96.0.10"], [TCP, UDP], ["p1", "p2"] + self.dice.choice([[], ["p3"]]))
            file = turn % len(self.files)
            self.world.write("file%d" % file, *(o for number in self.files[file] for o in self.objects(number)))
            turn += 1
            ahead = since + (self.made - first) / RATE - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)
        return self.made - first


def cpu(process):
    """Seconds of a process' CPU time, with those of the programs that it called."""
    return sum(map(int, pathlib.Path("/proc/%d/stat" % process.pid).read_text().rpartition(")")[2].split()[11:15])) / TICKS


def room(process):
    """MB that may come: a sanitizer keeps what was freed, 256 MB of it."""
    return 300 if "libasan" in pathlib.Path("/proc/%d/maps" % process.pid).read_text() else 8


def test_storm(world):
    world.service("web", ["10.96.0.10"], [TCP, UDP], ["p1", "p2"])
    daemon = world.daemon(QUIET)
    assert world.wait_for(only(world, *BACKENDS, n=3))
    storm = Storm(world)
    storm.run(1)  # what memory the Services themselves take
    before, spent, own = resident_mb(daemon), cpu(daemon), time.process_time()
    clients, held = start_clients(world), Client(world, "c1", "held", "10.96.0.10", 80, 20, waits=True)
    made = storm.run(SECONDS)
    print("%d changes in %g s; CPU time of the proxy %.1f s, of who wrote the files %.1f s" % (
        made, SECONDS, cpu(daemon) - spent, time.process_time() - own))
    check(clients, held, 20 * SECONDS)
    assert made > (0.95 * RATE if SHOWN else 10) * SECONDS  # a busy machine makes fewer than were wanted
    world.service("last", ["10.96.2.1"], [TCP], ["p1"])
    assert world.wait_for(only(world, "p1", ip="10.96.2.1", n=1), 20), world.log()[-2000:]
    assert resident_mb(daemon) < before + room(daemon)
    assert table(world) == fresh(world)
    assert "refused" not in world.log() and "not written" not in world.log()


def test_killed_at_any_moment(world, tmp_path):
    """With kill -9, also in the middle of a transaction, whose nft then goes on or dies with it."""
    path = fake_nft(tmp_path, "sleep 0.0$(($(date +%N | cut -c1) % 6))\n" + REAL)
    world.service("web", ["10.96.0.10"], [TCP, UDP], BACKENDS)
    daemon = world.daemon(QUIET)
    assert world.wait_for(only(world, *BACKENDS, n=3))
    clients, held = start_clients(world), Client(world, "c1", "held", "10.96.0.10", 80, 10, waits=True)
    dice = random.Random(2)
    for number in range(ENDS):
        world.service("web", ["10.96.0.10"], [TCP, UDP], dice.sample(BACKENDS, dice.choice([2, 3])))
        world.service("other", ["10.96.1.%d" % number], [TCP], dice.sample(BACKENDS, dice.randrange(4)))
        time.sleep(dice.random() * 0.15)
        daemon.send_signal(signal.SIGKILL)
        daemon.wait()
        world.children.remove(daemon)
        daemon = world.daemon(QUIET, path=path)
        time.sleep(dice.random() * 0.15)
    fake_nft(tmp_path, REAL)
    world.service("web", ["10.96.0.10"], [TCP, UDP], ["p1"])
    world.service("last", ["10.96.2.1"], [TCP], ["p1"])
    assert world.wait_for(only(world, "p1", ip="10.96.2.1", n=1), 20), world.log()[-2000:]
    assert world.wait_for(only(world, "p1", n=8), 20)
    check(clients, held, 20)
    assert table(world) == fresh(world)


def restart(world, daemon, *more):
    """With kill -9; when both families are in the kernel."""
    daemon.send_signal(signal.SIGKILL)
    daemon.wait()
    world.children.remove(daemon)
    before = world.log().count("full sync")
    daemon = world.daemon(QUIET, *more)
    assert world.wait_for(lambda: world.log().count("full sync") == before + 2, 20), world.log()[-2000:]
    return daemon


def written(world):
    """Elements of the last two full syncs: (written, there already)."""
    return [(int(a), int(b)) for a, b in
            re.findall(r"full sync, (\d+) elements, .*; (\d+) were there", world.log())[-2:]]


def tell(world, events):
    """What nft monitor has told, up to now."""
    said = len(events.read_text())

    def is_told():
        world.run("nft", "add table ip other; delete table ip other")
        return "table ip other" in events.read_text()[said:]
    assert world.wait_for(is_told, 10)
    return events.read_text()


def test_restart_is_taken_over(world, tmp_path):
    """What is right is not touched, what is wrong is: nobody's client notices, TCP, UDP and kept ones."""
    everything = {"type": "LoadBalancer", "balancer": ["203.0.113.30"], "loadBalancerSourceRanges": ["10.0.0.0/8", "10.244.0.0/24"],
                  "sessionAffinity": "ClientIP", "externalTrafficPolicy": "Local"}
    world.service("web", ["10.96.0.10"], [TCP, UDP], ["p1", "p2"])
    world.service("kept", ["10.96.0.11"], [TCP, UDP, ("s", 90, "SCTP")], BACKENDS, **everything)
    world.service("none", ["10.96.0.12"], [TCP], None, type="NodePort")
    world.service("six", ["fd00:10:96::13"], [TCP, UDP], BACKENDS, family=6, sessionAffinity="ClientIP")
    daemon = world.daemon(QUIET, "--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112")
    assert world.wait_for(only(world, "p1", "p2", n=3))
    kept = names(world, ip="10.96.0.11", n=1)
    clients, held = start_clients(world), Client(world, "c1", "held", "10.96.0.10", 80, 10, waits=True)
    flow = Client(world, "c1", "flow", "10.96.0.10", 53, waits=True)
    events = tmp_path / "events"
    with open(events, "w", encoding="ascii") as out:
        monitor = world.start("nft", "monitor", stdout=out)
    tell(world, events)
    for _ in range(3):
        before = len(events.read_text())
        daemon = restart(world, daemon, "--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112")
        assert {n for n, _ in written(world)} == {0} and all(n > 5 for _, n in written(world)), world.log()
        assert names(world, ip="10.96.0.11", n=3) == 3 * kept
        told = tell(world, events)[before:].splitlines()
        assert not [line for line in told if "signpost" in line and " affinity " not in line], told
    world.stop(monitor)
    daemon.send_signal(signal.SIGSTOP)
    world.run("nft", "-f", "-", text="""delete element ip signpost services { 10.96.0.11 . tcp . 80 }
        add element ip signpost cluster-ips { 10.96.0.99 }
        delete element ip signpost sources { 203.0.113.30 . tcp . 80 . 10.0.0.0/8 }""")
    daemon = restart(world, daemon, "--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112")
    assert sorted(n for n, _ in written(world)) == [0, 3], world.log()
    assert "is made anew" not in world.log()
    check(clients, held, 20)
    assert len({who for who, _, _ in flow.end()}) == 1  # never moved, never waited in vain
    def served(elements):  # without who is kept, which a fresh start does not know
        return [e for e in elements if " timeout " not in e]
    assert served(table(world)) == served(fresh(world, "--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112"))


@pytest.mark.parametrize("command,options", [
    ("insert rule ip signpost services ip daddr 10.96.0.66 drop", []),
    ("add chain ip signpost nat-output { policy drop; }", []),
    ("add element ip signpost layout { 1 . 2 . 3 . 4 }", []),
    ("delete set ip signpost layout", []),
    ("list tables", ["--masquerade-all"]),
])
def test_restart_replaces_other_layouts(world, command, options):
    """Chains and rules that we would not write are not taken over; connections live on."""
    world.service("web", ["10.96.0.10"], [TCP, UDP], ["p1", "p2"])
    daemon = world.daemon(QUIET)
    assert world.wait_for(only(world, "p1", "p2", n=3))
    clients, held = start_clients(world), Client(world, "c1", "held", "10.96.0.10", 80, 10, waits=True)
    daemon.send_signal(signal.SIGSTOP)
    world.run("nft", command)
    daemon = restart(world, daemon, *options)
    assert world.log().count("is made anew: its chains and rules are not those of this layout") == (2 if options else 1)
    check(clients, held, 3)
    assert table(world) == fresh(world, *options)
    daemon = restart(world, daemon, *options)
    assert {n for n, _ in written(world)} == {0}


def test_udp_flow_moves_at_once(world):
    """A flow leaves an endpoint that is gone for good, and the next packet comes to one that lives: at most the answer
    that is under way at that moment is lost."""
    world.service("dns", ["10.96.0.10"], [UDP], ["p1"])
    world.daemon(QUIET)
    assert world.wait_for(only(world, "p1", proto="udp", port=53, n=1))
    flow = Client(world, "c1", "flow", "10.96.0.10", 53, waits=True)
    order = ["p1"]
    for pod in ("p2", "p3", "p1", "p2"):
        world.service("dns", ["10.96.0.10"], [UDP], [pod])
        order.append(pod)
        assert world.wait_for(only(world, pod, proto="udp", port=53, n=1))
        time.sleep(0.8)  # longer than the flow waits for an answer: it is to be heard from there
    runs = flow.end()
    assert [who for who, _, _ in runs if who != "TimeoutError"] == order, runs
    assert all(count == 1 for who, count, _ in runs if who == "TimeoutError"), runs


def test_no_nft_at_all(world, tmp_path):
    """Said by name; rules come as soon as there is one."""
    folder = tmp_path / "none"
    folder.mkdir()
    world.service("web", ["10.96.0.10"], [TCP], ["p1"])
    with open(tmp_path / "proxy.log", "a", encoding="utf-8") as log:
        world.start("unshare", "-m", "sh", "-c", 'mount -t tmpfs none /usr/sbin; exec env "$@"', "sh",
                    "PATH=%s:/usr/bin:/bin" % folder, *world.proxy_args("-v=2", QUIET), stderr=log)
    assert world.wait_for(lambda: "nft" in world.log() and "were not written" in world.log()), world.log()
    shutil.copy("/usr/sbin/nft", folder / "nft.new")
    (folder / "nft.new").rename(folder / "nft")
    assert world.wait_for(only(world, "p1", n=2), 20), world.log()


def test_kernel_without_ipv6(world, tmp_path):
    """One family that the kernel does not know does not stop the other."""
    path = fake_nft(tmp_path, 'cat >"$0.in$$"; grep -q "table ip6" "$0.in$$" && { echo "Error: Could not process rule: '
                              'Operation not supported" >&2; exit 1; }\n/usr/sbin/nft "$@" <"$0.in$$"\n')
    world.service("web", ["10.96.0.10"], [TCP], ["p1"])
    world.daemon(QUIET, path=path)
    assert world.wait_for(only(world, "p1", n=2), 10), world.log()
    assert world.wait_for(lambda: "IPv6 rules were not written" in world.log())
    assert "Operation not supported" in world.log()
    world.service("web", ["10.96.0.10"], [TCP], ["p2"])
    assert world.wait_for(only(world, "p2", n=2), 10), world.log()
    assert "IPv4 rules were not written" not in world.log()


# ---- SCTP

SCTP_SERVER = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)
s.bind(("0.0.0.0", 8080))
s.listen(8)
print("ready", flush=True)
while True:
    c, peer = s.accept()
    c.sendall(peer[0].encode())
    c.close()
"""
SCTP_CLIENT = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)
s.settimeout(3)
s.connect(("10.96.0.10", 80))
print(s.recv(100).decode())
"""


def test_sctp(world):
    """The rules are there on any kernel; connections where it speaks SCTP."""
    world.service("assoc", ["10.96.0.10"], [("s", 80, "SCTP")], ["p1"])
    world.proxy("--oneshot")
    assert "10.96.0.10 . sctp . 80" in world.run("nft", "list", "map", "ip", "signpost", "services").stdout
    assert pod4("p1") + " . 8080" in world.run("nft", "list", "map", "ip", "signpost", "endpoints-sctp").stdout
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP).close()
    except OSError as e:
        pytest.skip("rules for SCTP are written, but this kernel has no SCTP to send (CONFIG_IP_SCTP): %s" % e)
    server = world.start(sys.executable, "-c", SCTP_SERVER, ns="p1", stdout=subprocess.PIPE)
    assert server.stdout.readline().strip() == "ready"
    assert world.run(sys.executable, "-c", SCTP_CLIENT, ns="c1").stdout.strip() == pod4("c1")


# ---- ranges of cluster IPs

def test_ranges_come_and_go(world):
    """Ranges inside of others, and beside them, in any order: the kernel has what a fresh start would write."""
    ranges = ["10.96.0.0/15", "10.97.0.0/16", "10.97.4.0/24", "10.96.0.0/12", "172.16.0.0/12", "fd00:10::/32"]
    world.service("web", ["10.96.0.10"], [TCP], ["p1"])
    daemon = world.daemon(QUIET)
    assert world.wait_for(only(world, "p1", n=2))
    dice, there = random.Random(3), set()
    for number in range(8):
        there ^= set(dice.sample(ranges, dice.choice([1, 2])))
        world.write("ranges", *({"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
                                 "metadata": {"name": "r%d" % i}, "spec": {"cidrs": [one]}}
                                for i, one in enumerate(sorted(there))))
        world.service("last", ["10.96.3.%d" % number], [TCP], ["p1"])
        assert world.wait_for(only(world, "p1", ip="10.96.3.%d" % number, n=1), 10), world.log()[-2000:]
        want = world.proxy("--print").stdout
        wanted = {word for line in re.findall(r"element ip6? signpost service-ranges { (.*) }", want)
                  for word in line.split(", ")}
        assert world.wait_for(lambda w=wanted: listed_ranges(world) == w, 10), (listed_ranges(world), wanted)
        daemon = restart(world, daemon)
        assert {n for n, _ in written(world)} == {0}
    assert "refused" not in world.log() and "not written" not in world.log() and "made anew" not in world.log()


def listed_ranges(world):
    return {word for family in ("ip", "ip6") for word in re.findall(
        r"[0-9a-f:.]+/\d+", world.run("nft", "list", "set", family, "signpost", "service-ranges").stdout)}
