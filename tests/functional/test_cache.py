"""The node-local cache: its Corefile, its rules and addresses, and what clients see when it comes,
goes, dies and is followed by another."""
import contextlib
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

from dns_world import free_port, http_get
from forward_world import Upstream, reply, wait_for
from node_world import LINK_LOCAL, VIP, Node
from proxy_world import world  # noqa: F401  a fixture

BASE = """cluster.local:53 {
    errors
    cache {
        success 9984 30
        denial 9984 5
    }
    reload
    bind __PILLAR__LOCAL__DNS__ __PILLAR__DNS__SERVER__
    forward . __PILLAR__CLUSTER__DNS__ {
        force_tcp
    }
}
.:53 {
    errors
    cache 30
    bind __PILLAR__LOCAL__DNS__
    forward . __PILLAR__UPSTREAM__SERVERS__ {
        force_tcp
    }
}
"""


class Cache:
    """`signpost cache` on loopback addresses of its own, without rules."""

    def __init__(self, signpost, folder, base=BASE, cluster="9.10.11.12", flags=()):
        self.folder = pathlib.Path(folder)
        self.kube_dns = self.folder / "kube-dns"
        self.kube_dns.mkdir(exist_ok=True)
        self.base, self.conf = self.folder / "base", self.folder / "Corefile"
        if base is not None:
            self.base.write_text(base)
        self.port, self.metrics = free_port(), free_port()
        self.output = self.folder / "output"
        env = dict(os.environ)
        if cluster:
            env["TEST_SVC_SERVICE_HOST"] = cluster
        self.args = [signpost, "cache", "-localip", "127.0.1.1,127.0.1.2", "-conf", self.conf,
                     "-basecorefile", self.base, "-kubednscm", self.kube_dns, "-upstreamsvc",
                     "test-svc", "-setupinterface=false", "-setupiptables=false", "-control", "",
                     "-metrics-listen-address", "127.0.0.1:%d" % self.metrics,
                     "-dns.port", str(self.port), *flags]
        with self.output.open("w", encoding="utf-8") as out:
            self.process = subprocess.Popen(self.args, stdout=out, stderr=subprocess.STDOUT,
                                            stdin=subprocess.DEVNULL, env=env)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(30)
        assert "Sanitizer" not in self.log(), self.log()
        assert "[ERROR] system call" not in self.log(), self.log()

    def log(self):
        return self.output.read_text(encoding="utf-8")

    def corefile(self):
        return self.conf.read_text() if self.conf.exists() else ""

    def serving(self, text, seconds=15):
        wait_for(lambda: text in self.corefile() and "signpost-" in self.log(), seconds)

    def failures(self, kind):
        text = http_get(self.metrics, "/metrics")[1]
        found = re.search(r'nodecache_setup_errors_total\{errortype="%s"\} (\d+)' % kind, text)
        return int(found[1])


def test_corefile_from_the_template(signpost, tmp_path):
    """T91, T93."""
    with Cache(signpost, tmp_path) as cache:
        cache.serving("cluster.local")
        text = cache.corefile()
        assert "    bind 127.0.1.1 127.0.1.2 \n" in text
        assert "forward . 9.10.11.12 {\n        force_tcp\n    }" in text
        assert "forward . /etc/resolv.conf {\n        force_tcp\n    }" in text
        assert "__PILLAR__" not in text
        for kind in ("iptables", "iptables_lock", "interface_add", "interface_check", "configmap"):
            assert cache.failures(kind) == 0


def test_config_map_is_followed(signpost, tmp_path):
    """T92, T93."""
    with Cache(signpost, tmp_path) as cache:
        cache.serving("cluster.local")
        (cache.kube_dns / "upstreamNameservers").write_text('["2.2.2.2:10053", "3.3.3.3"]')
        (cache.kube_dns / "stubDomains").write_text(
            '{"b.test": ["4.4.4.4"], "a.test": ["5.5.5.5", "6.6.6.6:54"], "c.test": ["7.7.7.7"]}')
        cache.serving("c.test")
        text = cache.corefile()
        assert "    forward . 2.2.2.2:10053 3.3.3.3\n}" in text
        for domain, servers in (("a", "5.5.5.5 6.6.6.6:54"), ("b", "4.4.4.4"), ("c", "7.7.7.7")):
            assert "__PILLAR__" not in text and ("%s.test:%d {\n    errors\n    cache 30\n    bind 127.0.1.1 127.0.1.2\n"
                    "    forward . %s\n}\n" % (domain, cache.port, servers)) in text
        wait_for(lambda: "Reloading complete" in cache.log(), 10)


def test_keys_of_no_use_are_told_once(signpost, tmp_path):
    with Cache(signpost, tmp_path) as cache:
        cache.serving("cluster.local")
        (cache.kube_dns / "federations").write_text("{}")
        wait_for(lambda: "not for the node cache: federations" in cache.log(), 10)
        time.sleep(2.5)  # another look
        assert cache.log().count("federations") == 1


def test_wrong_config_map_leaves_the_old_one(signpost, tmp_path):
    with Cache(signpost, tmp_path) as cache:
        cache.serving("cluster.local")
        before = cache.corefile()
        stubs = cache.kube_dns / "stubDomains"
        stubs.write_text('{"x_y": ["1.1.1.1"]}')
        wait_for(lambda: cache.failures("configmap") == 1, 10)
        assert "%s: stubDomains: 'x_y' is no DNS subdomain" % stubs in cache.log()
        assert cache.corefile() == before and cache.process.poll() is None
        time.sleep(2.5)  # another look at the same text
        assert cache.failures("configmap") == 1, "what is wrong is told once"
        stubs.write_text('{"x.y": ["1.1.1.1"]}')
        cache.serving("x.y:")


def test_a_template_that_cannot_be_served_leaves_the_old_one(signpost, tmp_path):
    base = BASE.replace(":53", ":@")
    port = free_port()
    with contextlib.closing(Upstream(lambda q, _: [(0, reply(q))])) as up:
        good = BASE.replace(":53", ":%d" % port).replace("__PILLAR__UPSTREAM__SERVERS__", str(up))
        with Cache(signpost, tmp_path, good.replace("        force_tcp\n", "")) as cache:
            cache.serving("cluster.local")
            assert ask(port, "x.test") == 0
            cache.base.write_text(base + "nonsense {{\n")
            wait_for(lambda: "the old one goes on serving" in cache.log(), 10)
            assert ask(port, "y.test") == 0


def ask(port, name):
    """dig's exit status: 0 with an answer."""
    return subprocess.run(["dig", "+time=2", "+tries=2", "-p", str(port), "@127.0.1.2", name],
                          stdout=subprocess.DEVNULL, check=False).returncode


def test_without_a_template_the_corefile_is_served(signpost, tmp_path):
    port = free_port()
    (tmp_path / "Corefile").write_text("x.test:%d {\n    bind 127.0.1.2\n    whoami\n}\n" % port)
    with Cache(signpost, tmp_path, base=None) as cache:
        wait_for(lambda: "signpost-" in cache.log(), 10)
        assert ask(port, "x.test") == 0


@pytest.mark.parametrize("flags,cluster,say", [
    (["-localip", "169.254.20.10,fd00::1"], "1.1.1.1", "another family"),  # T95
    (["-localip", "169.254.20"], "1.1.1.1", "-localip: 169.254.20 is no IP address"),  # T95
    (["-localip", ",".join(["127.0.1.9"] * 20)], "1.1.1.1", "at most 16 addresses"),
    (["-rules", "ipvs"], "1.1.1.1", "-rules ipvs: nft or iptables"),
    (["-syncinterval", "1ms"], "1.1.1.1", "-syncinterval: at least 1s"),
    (["-health-port", "0"], "1.1.1.1", "a port is 1 to 65535"),
    (["-takeover"], "1.1.1.1", "-takeover goes through a control socket"),
    (["-dns.port", "0"], "1.1.1.1", "-dns.port 0: a port is 1 to 65535"),
    (["-workers", "-1"], "1.1.1.1", "-workers -1: 0 to"),
    (["-setupebtables"], "1.1.1.1", "setupebtables"),
    ([], None, "TEST_SVC_SERVICE_HOST is not set"),
    ([], "bar", "TEST_SVC_SERVICE_HOST=bar: this is no IP address"),
])
def test_wrong_flags_are_told(signpost, tmp_path, flags, cluster, say):
    with Cache(signpost, tmp_path, cluster=cluster, flags=flags) as cache:
        assert cache.process.wait(20) != 0
        assert say in cache.log()


def test_localip_is_needed(signpost):
    ran = subprocess.run([signpost, "cache"], capture_output=True, text=True, check=False)
    assert ran.returncode == 2 and "-localip is needed" in ran.stderr


# ---- on a node ----

@pytest.fixture(name="node")
def node_fixture(world, signpost, tmp_path):  # noqa: F811
    yield Node(world, signpost, tmp_path)
    log = tmp_path / "cache.log"
    assert not log.exists() or "Sanitizer" not in log.read_text(), log.read_text()


def test_pods_ask_on_their_node(node):
    process = node.cache()
    assert [node.asked(ip) for ip in (VIP, LINK_LOCAL)] == ["node", "node"]
    assert "flags owner" in node.rules() and "NodeLocal DNS Cache: skip conntrack" in node.rules()
    assert VIP + "/32" in node.addresses() and LINK_LOCAL + "/32" in node.addresses()
    tracked = node.world.run("conntrack", "-L", "-d", LINK_LOCAL, check=False).stdout
    assert "dport=53" not in tracked, "these are not tracked: " + tracked
    assert node.kill(process, signal.SIGTERM) == 0
    assert node.asked() == "cluster"
    assert "skip conntrack" not in node.rules() and VIP not in node.addresses()


def test_killed_the_next_query_goes_the_normal_way(node):
    """T96, T104."""
    process = node.cache()
    node.kill(process)
    assert node.asked() == "cluster", "the first query after its death"
    assert "skip conntrack" not in node.rules()
    process = node.cache()
    assert node.asked() == "node", "and it takes over again"


def test_killed_again_and_again_under_load(node):
    with node.load() as result:
        for _ in range(8):
            process = node.cache()
            node.kill(process)
            node.until("cluster")
    asked, lost = result
    assert asked > 100  # or there was no load to speak of
    assert lost <= 8, "one query at most for each death was lost: %d of %d" % (lost, asked)


def test_successors_lose_no_query(node):
    """Twenty, one after the other."""
    node.cache()
    with node.load() as result:
        for _ in range(20):
            node.cache("-takeover")
    asked, lost = result
    assert asked > 300 and lost == 0, result
    assert node.rules().count("flags owner") == 1
    assert VIP + "/32" in node.addresses()


def iptables_rules(node):
    """Of ours, in order, as `iptables -S` has them: (table, chain, the rest)."""
    rows = []
    for table in ("raw", "filter"):
        for line in node.world.run("iptables", "-t", table, "-S").stdout.splitlines():
            words = line.replace("CT --notrack", "NOTRACK").split(None, 2)
            if "NodeLocal DNS Cache" in line:
                rows.append((table, words[1], words[2]))
    return rows


def expected_rules(ip):
    """Those of one address; each was put in front of those before."""
    raw, allow = "skip conntrack", "allow DNS traffic"

    def row(table, chain, proto, way, port, text):
        return (table, chain, "-%s %s/32 -p %s -m %s --%sport %d -m comment --comment "
                "\"NodeLocal DNS Cache: %s\" -j %s" %
                (way, ip, proto, proto, way, port, text, "NOTRACK" if text == raw else "ACCEPT"))
    return [row("raw", "PREROUTING", p, "d", 53, raw) for p in ("udp", "tcp")] + \
           [row("raw", "OUTPUT", "tcp", w, 8080, raw) for w in "sd"] + \
           [row("raw", "OUTPUT", p, w, 53, raw) for w in "ds" for p in ("udp", "tcp")] + \
           [row("filter", "INPUT", p, "d", 53, allow) for p in ("udp", "tcp")] + \
           [row("filter", "OUTPUT", p, "s", 53, allow) for p in ("udp", "tcp")]


def by_chain(rules):
    return {key: [r[2] for r in rules if r[:2] == key] for key in {r[:2] for r in rules}}


def test_the_originals_rules_by_iptables(node):
    """T94, and T96 at SIGTERM."""
    process = node.cache("-rules", "iptables", "-syncinterval", "1s")
    wait_for(lambda: len(iptables_rules(node)) == 24, 20)
    assert by_chain(iptables_rules(node)) == by_chain(expected_rules(VIP) +
                                                      expected_rules(LINK_LOCAL))
    time.sleep(1.5)  # another look adds none
    assert len(iptables_rules(node)) == 24
    table, chain, rest = expected_rules(VIP)[0]
    for _ in range(2):  # copies, as an old iptables could leave them
        node.world.run("sh", "-c", "iptables -t %s -I %s %s" % (table, chain, rest))
    assert len(iptables_rules(node)) == 26
    assert node.kill(process, signal.SIGTERM) == 0
    assert iptables_rules(node) == [] and node.asked() == "cluster"


def test_iptables_rules_outlive_a_killed_process(node):
    """T96."""
    process = node.cache("-rules", "iptables")
    wait_for(lambda: len(iptables_rules(node)) == 24, 20)
    node.kill(process)
    assert len(iptables_rules(node)) == 24
    assert node.asked() is None, "as with the original: nobody listens"
    node.cache("-rules", "iptables")
    assert len(iptables_rules(node)) == 24


def test_lost_addresses_are_put_back(node):
    node.cache("-syncinterval", "1s")
    node.world.run("ip", "addr", "del", VIP + "/32", "dev", "lo")
    wait_for(lambda: VIP + "/32" in node.addresses(), 10)


def test_skipteardown_leaves_what_it_made(node):
    process = node.cache("-rules", "iptables", "-skipteardown")
    wait_for(lambda: len(iptables_rules(node)) == 24, 20)
    assert node.kill(process, signal.SIGTERM) == 0
    assert len(iptables_rules(node)) == 24 and VIP + "/32" in node.addresses()
