"""The example on each plugin's page: it starts, and does what the page says. Those of the small
plugins are run by test_dns_small_pages.py."""
import re
import socket
import time

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsigkeyring
import dns.zone
import pytest

import etcd
import exposition
import test_dns_small_pages as small
from conftest import ROOT
from dns_world import Connection, free_port, http_get, query, records, write_whole
from forward_world import Upstream
from small_world import flags, start, zone  # noqa: F401  fixtures

PAGES = ROOT / "docs" / "plugins"
MANIFESTS = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.10, externalIPs: [203.0.113.5], ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: shop}
spec: {containers: [{name: c, image: i}]}
status: {phase: Running, podIPs: [{ip: 127.0.0.1}], podIP: 127.0.0.1}
"""
ZONE = """@ 60 IN SOA ns root 7 60 60 60 60
@ 60 IN NS ns
ns 60 IN A 10.0.0.53
a 60 IN A 10.0.0.1
www 60 IN A 192.0.2.1
www 60 IN A 192.0.2.2
"""
WEB = "web.shop.svc.cluster.local."


def write_files(folder):
    """What stands in /etc/signpost on the pages."""
    for name in ("zones", "manifests"):
        (folder / name).mkdir()
    (folder / "manifests" / "shop.yaml").write_text(MANIFESTS)
    (folder / "zones" / "db.sub.example.org").write_text(ZONE)
    (folder / "db.example.org").write_text(ZONE)
    (folder / "hosts").write_text("192.0.2.20 scanner.example.org\n")
    (folder / "weights").write_text(blocks("loadbalance", 1))
    (folder / "keys.conf").write_text(blocks("tsig", 1))


def blocks(name, number):
    """The indented text number N behind the page's "Example"."""
    page = (PAGES / (name + ".md")).read_text(encoding="utf-8")
    example = page[re.search("^(?:## )?Example", page, re.MULTILINE).start():]
    found = re.findall(r"(?:^|\n)\n((?:    .*\n|\n)+)", example)
    return re.sub("^    ", "", found[number], flags=re.MULTILINE).strip("\n") + "\n"


def corefile(name, folder, replacements):
    """The page's example, on loopback and with the test's files and upstreams."""
    text = blocks(name, 0)
    bound = "" if name == "bind" else "\n    bind 127.0.0.1"
    assert re.search(r"^    %s\b" % name, text, re.MULTILINE), "the page shows something else"
    lines = []
    for line in text.splitlines():
        if re.match(r"\S.*\{$", line):
            keys = line.split()[:-1]
            line = " ".join("%s:@PORT@" % key for key in keys) + " {" + bound
        lines.append(re.sub(r"^    (health|ready|prometheus) :\d+", r"    \1 127.0.0.1:@PORT2@", line))
    text = "\n".join(lines) + "\n"
    for old, new in {**replacements, "/etc/signpost": str(folder)}.items():
        text = text.replace(old, str(new))
    return re.sub(r"\b(file|secrets) (db\.|keys\.)", r"\1 %s/\2" % folder, text)


class World:
    def __init__(self, server, zone, folder):
        self.s, self.zone, self.folder = server, zone, folder


def check_auto(w):
    w.s.until("a.sub.example.org.", ["10.0.0.1"], 5)
    assert w.s.addresses("a.example.org.") != ["10.0.0.1"]


def check_autopath(w):
    assert w.s.addresses("four.test." + WEB[4:]) == ["192.0.2.33", "192.0.2.34", "four.test."]
    assert w.s.addresses(WEB) == ["10.96.0.10"]


def check_bind(w):
    assert w.s.ask("x.example.org.").additional
    w.s.wait_log("example.org.:%d on 127.0.0.1\n" % w.s.port)
    assert "::1" not in w.s.log()


def check_cache(w):
    before = w.zone.upstream.asked("both.test.")
    first, second = w.s.ask("both.test."), w.s.ask("both.test.")
    assert records(first.answer)[0][3] == records(second.answer)[0][3] == "192.0.2.3"
    assert w.zone.upstream.asked("both.test.") == before + 1


def check_errors(w):
    for _ in range(3):
        assert w.s.ask("x.test.").rcode() == dns.rcode.SERVFAIL
    w.s.wait_log("[ERROR] plugin/errors: 2 x.test. A: read udp ")
    assert w.s.log().count("plugin/errors: 2") == 1  # the first of the period


def check_file(w):
    assert w.s.addresses("a.example.org.") == ["10.0.0.1"]
    assert w.s.addresses("b.example.org.") == "NXDOMAIN"


def check_forward(w):
    assert w.s.addresses("both.test.") == ["192.0.2.3"]
    assert w.s.addresses("x.corp.example.") == "SERVFAIL"
    assert w.zone.upstream.asked("x.corp.example.") == 0


def check_forward_failover(w):
    """The first one is dead."""
    assert w.s.addresses("both.test.") == ["192.0.2.3"]


def check_health(w):
    assert http_get(w.s.numbered(2), "/health") == (200, "OK")
    start_ns = time.monotonic()
    w.s.process.terminate()
    w.s.wait_log("Shutting down")
    assert w.s.addresses("both.test.") == ["192.0.2.3"]  # lameduck
    assert http_get(w.s.numbered(2), "/health") == (200, "OK")
    assert w.s.process.wait(30) == 0 and time.monotonic() - start_ns >= 4.9


def check_hosts(w):
    reply = w.s.ask("printer.example.org.")
    assert records(reply.answer) == [("printer.example.org.", 60, "A", "192.0.2.10")]
    assert w.s.addresses("scanner.example.org.") == ["192.0.2.20"]
    assert w.s.addresses("10.2.0.192.in-addr.arpa.", "PTR") == ["printer.example.org."]
    assert w.s.addresses("both.test.") == ["192.0.2.3"]


def check_k8s_external(w):
    assert w.s.addresses("web.shop.example.org.") == ["203.0.113.5"]
    assert w.s.addresses(WEB) == ["10.96.0.10"]


def check_kubernetes(w):
    assert [r[:3] for r in records(w.s.ask(WEB).answer)] == [(WEB, 30, "A")]
    assert w.s.addresses("10.0.96.10.in-addr.arpa.", "PTR") == [WEB]
    assert w.s.addresses("10-9-8-7.shop.pod.cluster.local.") == ["10.9.8.7"]


def check_loadbalance(w):
    firsts = [records(w.s.ask("www.example.org.").answer)[0][3] for _ in range(100)]
    assert set(firsts) <= {"192.0.2.1", "192.0.2.2"}
    assert firsts.count("192.0.2.1") > 65  # 90 of 100 are expected; 65 is eight deviations off


def check_log(w):
    w.s.ask("b.example.org.")
    w.s.wait_log("127.0.0.1 asks for b.example.org. A: NXDOMAIN")
    w.s.ask("a.example.org.")
    w.s.ask("c.example.org.")
    w.s.wait_log("127.0.0.1 asks for c.example.org. A: NXDOMAIN")
    assert "a.example.org" not in w.s.log()


def check_metadata(w):
    w.s.ask(WEB)
    w.s.wait_log("%s is in shop" % WEB)


def check_multisocket(w):
    with open("/proc/net/udp", encoding="ascii") as table:
        local = ":%04X" % w.s.port
        assert sum(line.split()[1].endswith(local) for line in list(table)[1:]) == 4
    for i in range(40):
        assert w.s.ask("n%d.example.org." % i).additional


def check_prometheus(w):
    w.s.ask("x.example.org.")
    _, page = http_get(w.s.numbered(2), "/metrics")
    found = exposition.parse(page)["coredns_dns_requests_total"]
    assert found.find(zone="example.org.", type="A", proto="udp") == [1]


def check_ready(w):
    assert http_get(w.s.numbered(2), "/ready") == (200, "OK")
    assert w.s.addresses(WEB) == ["10.96.0.10"]


def check_reload(w):
    assert w.s.ask("x.other.test.").rcode() == dns.rcode.REFUSED
    write_whole(w.s.path, w.s.path.read_text().replace("example.org:", "other.test:"))
    end = time.monotonic() + 15
    while w.s.ask("x.other.test.").rcode():
        assert time.monotonic() < end, w.s.log()
        time.sleep(0.05)


def check_rewrite(w):
    reply = w.s.ask("web.example.org.")
    assert records(reply.answer) == [("web.example.org.", 5, "A", "10.96.0.10")]


def check_template(w):
    assert w.s.addresses("Host-7.example.org.") == ["192.0.2.7"]
    reply = w.s.ask("other.example.org.")
    assert reply.rcode() == dns.rcode.NXDOMAIN and reply.authority


def check_timeouts(w):
    wire = query("x.example.org.").to_wire()
    with Connection(w.s.port) as c:
        c.send(wire, wire)
        c.receive()
        c.receive()
        with pytest.raises(EOFError):
            c.exactly(1)


def transferred(w, **more):
    messages = dns.query.xfr("127.0.0.1", "example.org.", port=w.s.port, lifetime=10,
                             relativize=False, **more)
    return dns.zone.from_xfr(messages, relativize=False)


def check_transfer(w):
    found = transferred(w)
    assert found.get_rdataset("www.example.org.", "A").ttl == 60 and len(found.nodes) == 4
    assert w.s.ask("example.org.", "AXFR").rcode() == dns.rcode.REFUSED  # over UDP


def check_tsig(w):
    keys = dns.tsigkeyring.from_text(
        {"transfer.example.org.": "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI="})
    assert w.s.addresses("a.example.org.") == ["10.0.0.1"]
    assert w.s.ask("example.org.", "AXFR", tcp=True).rcode() == dns.rcode.REFUSED
    assert len(transferred(w, keyring=keys).nodes) == 4


def check_view(w):
    assert w.s.addresses("www.example.org.") == ["10.0.0.1"]
    # A type that the first block does not take.
    assert w.s.addresses("1.2.0.192.in-addr.arpa.", "PTR") == "REFUSED"
    assert w.s.ask("www.example.org.", "TXT").rcode() == dns.rcode.NOERROR


def check_whoami(w):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.connect(("127.0.0.1", w.s.port))
        sock.send(query("x.example.org.").to_wire())
        reply = dns.message.from_wire(sock.recv(4096))
        port = sock.getsockname()[1]
    assert flags(reply).startswith("QR AA")
    assert [r[3] for r in records(reply.additional)] == ["127.0.0.1", "0 0 %d ." % port]


CHECKS = {name[len("check_"):]: check for name, check in list(globals().items())
          if name.startswith("check_") and name != "check_forward_failover"}


@pytest.fixture(name="begin")
def begin_fixture(start, zone, tmp_path):  # noqa: F811
    def begin(name, **more):
        folder = tmp_path / "etc"
        folder.mkdir()
        write_files(folder)
        dead = "127.0.0.1:%d" % free_port()
        replacements = {"192.0.2.53": zone.upstream, "192.0.2.54": dead, **more}
        return World(start(corefile(name, folder, replacements)), zone, folder)
    return begin


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_example(begin, name):
    CHECKS[name](begin(name))


def test_example_of_forward_when_the_first_is_dead(begin, zone):  # noqa: F811
    dead = "127.0.0.1:%d" % free_port()
    check_forward_failover(begin("forward", **{"192.0.2.53": dead, "192.0.2.54": zone.upstream}))


def test_example_of_forward_when_the_first_is_silent(begin, zone):  # noqa: F811
    silent = Upstream(lambda q, p: [])
    try:
        world = begin("forward", **{"192.0.2.53": silent, "192.0.2.54": zone.upstream})
        check_forward_failover(world)
        assert silent.asked("both.test.") == 1
    finally:
        silent.close()


@pytest.mark.skipif(not etcd.PROGRAM, reason="there is no etcd here (etcd-server)")
def test_example_of_etcd(begin, tmp_path):
    with etcd.Etcd(tmp_path) as store:
        store.put("/skydns/org/example/a", {"host": "10.0.0.7"})
        world = begin("etcd", **{"http://localhost:2379": store.url})
        world.s.until("a.example.org.", ["10.0.0.7"], 5)


def test_every_page_is_run():
    """Some by the tests of their plugin, or above."""
    sources = [p.read_text(encoding="utf-8") for p in (ROOT / "tests/functional").glob("test_*.py")]
    elsewhere = {name for text in sources for name in re.findall(r'\bexample\("(\w+)"\)', text)}
    assert {p.stem for p in PAGES.glob("*.md")} == set(CHECKS) | set(small.NAMES) | {"etcd"} | elsewhere
