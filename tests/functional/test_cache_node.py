"""The node-local cache on its node: its addresses and rules, what it keeps while the cluster DNS is away, and
what it renews or forgets by itself."""
import re
import signal
import sys

import pytest
from forward_world import wait_for
from node_world import GET, LINK_LOCAL, NODE_BASE, VIP
from search_world import make_fixture, world  # noqa: F401  fixtures

AWAY = """cluster.local:53 {
    prometheus 169.254.20.10:9253
    nsid node
    cache {
        success 9984 2 1
        denial 9984 1
        prefetch 3 10s 50%
        serve_stale 4s verify 300ms 5s 1s
    }
    bind __PILLAR__LOCAL__DNS__
    forward . __PILLAR__CLUSTER__DNS__ {
        force_tcp
        max_age 30s
    }
}
"""


def reply_of(node, name):
    """rcode, TTL of the first record of the first section that has one."""
    text = node.world.run("dig", "+time=6", "+tries=1", "@" + VIP, name, ns="c1", check=False).stdout
    rcode = re.search(r"status: (\w+)", text)
    ttl = re.search(r"(?m)^[^;\s]\S*\s+(\d+)\s+IN\s", text)
    return rcode and rcode[1], ttl and int(ttl[1])


def test_the_cluster_dns_is_away(make):
    """What was known is answered for a while, with a TTL that says so, and fresh when it is back."""
    node = make(base=AWAY)
    node.cache()
    rcode, ttl = reply_of(node, "near.app.svc.cluster.local")
    assert rcode == "NOERROR" and ttl <= 2
    node.dns["p1"].kill()
    node.dns["p1"].wait(10)
    wait_for(lambda: reply_of(node, "near.app.svc.cluster.local") == ("NOERROR", 5), 10)
    assert reply_of(node, "secret.other.svc.cluster.local")[0] == "SERVFAIL", "that was not known"
    wait_for(lambda: reply_of(node, "near.app.svc.cluster.local")[0] == "SERVFAIL", 20)
    assert node.metric(r"coredns_cache_served_stale_total\{.*", LINK_LOCAL + ":9253") >= 1
    node.dns["p1"] = node.cluster_dns("p1")
    wait_for(lambda: reply_of(node, "near.app.svc.cluster.local")[0] == "NOERROR", 20)


def test_a_service_that_was_asked_for_too_early(make):
    node = make(base=AWAY)
    node.cache()
    for _ in range(2):  # from the cluster DNS, then from the cache
        rcode, ttl = reply_of(node, "late.app.svc.cluster.local")
        assert rcode == "NXDOMAIN" and ttl <= 1
    (node.folder / "objects" / "late.yaml").write_text(
        "apiVersion: v1\nkind: Service\nmetadata: {name: late, namespace: app}\n"
        "spec: {clusterIP: 10.96.3.9, clusterIPs: [10.96.3.9], ports: [{name: http, port: 80}]}\n")
    wait_for(lambda: reply_of(node, "late.app.svc.cluster.local")[0] == "NOERROR", 15)


STEADY = """import socket, struct, sys, time
name = b"".join(bytes([len(l)]) + l.encode() for l in sys.argv[1].split(".")) + b"\\0"
end, n, bad = time.monotonic() + float(sys.argv[2]), 0, 0
while time.monotonic() < end:
    n += 1
    with socket.socket(type=socket.SOCK_DGRAM) as s:
        s.settimeout(3)
        s.sendto(struct.pack("!6H", n & 65535, 256, 1, 0, 0, 0) + name + b"\\0\\1\\0\\1", ("10.96.0.10", 53))
        bad += s.recv(512)[3] & 15 != 0
    time.sleep(0.05)
print(n, bad)
"""


def test_what_is_asked_for_is_renewed_ahead(make):
    """A client that goes on asking never waits for the cluster DNS, though its answer ends every four
    seconds: misses do not grow."""
    node = make(base=AWAY.replace("9984 2 1", "9984 4 1").replace("prefetch 3 10s 50%", "prefetch 2 10s 75%"))
    node.cache()
    misses = (r"coredns_cache_misses_total\{.*", LINK_LOCAL + ":9253")
    before = node.metric(*misses)
    out = node.world.run(sys.executable, "-c", STEADY, "near.app.svc.cluster.local", "7", ns="c1").stdout.split()
    assert int(out[0]) > 6 and out[1] == "0", out
    assert node.metric(*misses) == before + 1
    assert node.metric(r"coredns_cache_prefetch_total\{.*", LINK_LOCAL + ":9253") >= 2


def addresses_of(node, link):
    shown = node.world.run("ip", "-br", "addr", "show", "dev", link, check=False).stdout
    return re.findall(r"(\S+)/32", shown)


def test_addresses_on_lo(make):
    """T107: as on a kernel without dummy links; what was there before stays."""
    node = make()
    node.world.run("ip", "addr", "add", LINK_LOCAL + "/32", "dev", "lo")
    process = node.cache("-interfacename", "lo", "-syncinterval", "1s")
    assert set(addresses_of(node, "lo")) >= {VIP, LINK_LOCAL}
    assert [node.asked(ip) for ip in (VIP, LINK_LOCAL)] == ["node", "node"]
    assert node.kill(process, signal.SIGTERM) == 0
    assert VIP not in addresses_of(node, "lo") and LINK_LOCAL in addresses_of(node, "lo")


def test_health_and_metrics(make):
    """Where the original's probe and monitoring ask."""
    node = make(base=NODE_BASE)
    node.cache()
    assert node.world.run(sys.executable, "-c", GET, "http://169.254.20.10:8080/health").stdout == "OK\n"
    assert node.metric(r"coredns_nodecache_setup_errors_total\{", "127.0.0.1:9353") == 0


def test_addresses_where_the_kernel_says(make):
    """T107: a link of their own if it has dummy links, else lo."""
    node = make()
    tried = node.world.run("ip", "link", "add", "try0", "type", "dummy", check=False)
    if tried.returncode == 0:
        node.world.run("ip", "link", "del", "try0")
    node.cache()
    assert set(addresses_of(node, "nodelocaldns" if tried.returncode == 0 else "lo")) >= {VIP, LINK_LOCAL}
    said = "This kernel knows no dummy links" in (node.folder / "cache.log").read_text()
    assert said == (tried.returncode != 0)


class Monitor:
    """What is changed in the node's rules from now on."""

    def __init__(self, node):
        self.node, self.path, self.marks = node, node.folder / "monitor", 0
        with self.path.open("w", encoding="utf-8") as out:
            self.process = node.world.start("stdbuf", "-oL", "nft", "monitor", stdout=out)
        self.text()

    def mark(self):
        self.marks += 1
        self.node.world.run("nft", "add", "table", "ip", "mark%d" % self.marks)
        return "mark%d" % self.marks in self.path.read_text()

    def text(self):
        """All up to now: until it has seen a change that is made here."""
        wait_for(self.mark, 10)
        return self.path.read_text()


@pytest.mark.parametrize("base,flags,words", [
    (NODE_BASE.replace("cache 30", "bogus"), (), "Unknown directive 'bogus'"),
    (NODE_BASE, ("-pidfile", "/nowhere/pid"), "pidfile /nowhere/pid"),
], ids=["Corefile", "pidfile"])
def test_rules_come_last(make, base, flags, words):
    """T96: one that cannot serve, or not write its pidfile, has touched no rule."""
    node = make(base=base)
    monitor = Monitor(node)
    process = node.cache(*flags, wait=False)
    assert process.wait(30) != 0
    node.world.children.remove(process)
    assert words in (node.folder / "cache.log").read_text()
    assert "signpost-cache" not in monitor.text() and node.asked() == "cluster"


def test_rules_are_made_and_go(make):
    """T96: what the test above would see."""
    node = make(base=NODE_BASE)
    monitor = Monitor(node)
    process = node.cache()
    assert "create table ip signpost-cache" in monitor.text()
    assert node.kill(process, signal.SIGTERM) == 0
    assert "delete table ip signpost-cache" in monitor.text()
