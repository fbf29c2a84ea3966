"""The node-local cache as clients of pods see it: how many questions a name takes them with autopath and
without, for each resolver; what they meet when the cache dies; and which pods of the cluster DNS it asks."""
import collections
import re
import signal
import sys

import pytest
import resolvers
from forward_world import wait_for
from node_world import LINK_LOCAL, NODE_BASE, VIP
from proxy_world import world  # noqa: F401  a fixture
from search_world import BASE, COUNT, Walker, make_node

# A name, what it is, and the questions that a client of namespace app asks for it without autopath.
NAMES = [("near", "10.96.3.1", 2), ("secret.other", "10.96.3.2", 4), ("secret.other.svc", "10.96.3.2", 6),
         ("secret.other.svc.cluster.local", "10.96.3.2", 8), ("www.example.net", "198.51.100.1", 8),
         ("only4.example.net", "198.51.100.4", 8)]


@pytest.fixture(name="programs", scope="module")
def programs_fixture(tmp_path_factory):
    """Builds each resolver's program once, when it is first wanted."""
    folder, made = tmp_path_factory.mktemp("resolvers"), {}

    def get(kind):
        if resolvers.missing(kind):
            pytest.skip(resolvers.missing(kind))
        if kind not in made:
            made[kind] = resolvers.build(kind, folder)
        return made[kind]

    return get


@pytest.fixture(name="make")
def make_fixture(world, signpost, tmp_path):  # noqa: F811
    yield lambda **more: make_node(world, signpost, tmp_path, **more)
    log = tmp_path / "cache.log"
    assert not log.exists() or "Sanitizer" not in log.read_text(), log.read_text()


@pytest.mark.parametrize("autopath", [True, False], ids=["autopath", "plain"])
def test_questions_of_a_walk(make, programs, autopath):
    """With autopath each resolver has its answer with the first pair of questions."""
    node, kinds = make(autopath=autopath), [k for k in resolvers.KINDS if not resolvers.missing(k)]
    assert "glibc" in kinds
    node.cache()
    for kind in kinds:
        client = Walker(node, programs(kind))
        for name, address, plain in NAMES:
            answer, asked = client.walk(name)
            assert (answer.code, address in answer.addresses) == (0, True), (kind, name, vars(answer))
            assert asked == (2 if autopath else plain), (kind, name)
        answer, asked = client.walk("nope.example.net")
        assert (answer.code != 0, asked) == (True, 8), (kind, vars(answer))


def short(node, pod, name):
    return node.world.run("dig", "+short", "+time=2", "@" + VIP, name, ns=pod).stdout.split()


def test_a_namespace_sees_its_own_names_only(make):
    """Whatever another namespace's pods on the same node have asked before."""
    node = make()
    node.cache()
    for _ in range(2):  # the second time all comes from the cache
        for pod, own, other in (("c1", "app", "other"), ("p3", "other", "app")):
            assert "198.51.100.1" in short(node, pod, "www.example.net.%s.svc.cluster.local" % own)
            assert short(node, pod, "www.example.net.%s.svc.cluster.local" % other) == []
        assert short(node, "p3", "secret.other.svc.cluster.local") == ["10.96.3.2"]
        assert short(node, "c1", "secret.app.svc.cluster.local") == []
        assert short(node, "p3", "near.other.svc.cluster.local") == []
        assert short(node, "p1", "www.example.net.app.svc.cluster.local") == [], "no pod that is known"


@pytest.mark.parametrize("kind", ["glibc", "musl"])
@pytest.mark.parametrize("rules", ["nft", "iptables"])
def test_a_client_that_lives_on(make, programs, kind, rules):
    """T97: with the original's rules a dead cache costs glibc milliseconds and musl five seconds, and then
    there is no answer; with ours the same client's next question is answered, and by the next cache, too."""
    node = make()
    process = node.cache("-rules", rules)
    client = node.client(programs(kind), "default")
    assert client.ask("web").code == 0
    node.kill(process)
    answer = client.ask("web")
    if rules == "nft":
        assert answer.code == 0 and answer.ms < 1000, vars(answer)
    elif kind == "glibc":
        assert answer.code != 0 and answer.ms < 1000, vars(answer)
    else:
        assert answer.code != 0 and 4500 < answer.ms < 8000, vars(answer)
    node.cache("-rules", rules)
    answer = client.ask("web")
    assert answer.code == 0 and answer.ms < 1000, vars(answer)


FRESH = """import socket, struct, sys, time
end, n, bad = time.monotonic() + float(sys.argv[1]), 0, 0
while time.monotonic() < end:
    n += 1
    labels = ["x%d" % n, "other", "svc", "cluster", "local"]
    name = b"".join(bytes([len(l)]) + l.encode() for l in labels) + b"\\0"
    with socket.socket(type=socket.SOCK_DGRAM) as s:
        s.settimeout(3)
        s.sendto(struct.pack("!6H", n & 65535, 256, 1, 0, 0, 0) + name + b"\\0\\1\\0\\1", ("10.96.0.10", 53))
        try:
            bad += s.recv(512)[3] & 15 != 3
        except OSError:
            bad += 1
    time.sleep(0.002)
print(n, bad)
"""


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


def test_the_pods_of_the_cluster_dns_share_the_load(make):
    """Behind one address: a connection that has had its time makes way for one that may lead to another
    pod."""
    node = make(autopath=False, pods=("p1", "p2"),
                base=BASE.replace("@AUTOPATH@", "").replace("max_age 30s", "max_age 100ms"))
    node.cache()
    asked, bad = node.world.run(sys.executable, "-c", FRESH, "5", ns="c1").stdout.split()
    assert int(asked) > 200 and bad == "0", (asked, bad)
    counts = collections.Counter({pod: node.metric(COUNT, "127.0.0.1:9153", ns=pod) for pod in node.pods})
    assert min(counts.values()) > int(asked) / 10, counts


AWAY = """cluster.local:53 {
    prometheus 169.254.20.10:9253
    nsid node
    cache {
        success 9984 2 1
        denial 9984 1
        prefetch 3 10s 50%
        serve_stale 6s verify 300ms 5s 1s
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


def test_what_is_asked_for_is_renewed_ahead(make):
    """A client that goes on asking never waits for the cluster DNS, though its answer ends every four
    seconds: misses do not grow."""
    node = make(base=AWAY.replace("9984 2 1", "9984 4 1").replace("prefetch 3 10s 50%", "prefetch 2 10s 75%"))
    node.cache()
    misses = (r"coredns_cache_misses_total\{.*", LINK_LOCAL + ":9253")
    before = node.metric(*misses)
    out = node.world.run(sys.executable, "-c", STEADY, "near.app.svc.cluster.local", "9", ns="c1").stdout.split()
    assert int(out[0]) > 8 and out[1] == "0", out
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
