"""/metrics: strictly in its format at any moment, and with the series that dashboards of the
reference look for, each made to count by real queries."""
import datetime
import math
import socket
import threading
import time

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

import exposition
from dnssec_world import Key
from dns_world import Server, header, http_get, opt, question, write_whole
from forward_world import Upstream, reply

TIMES = [0.00025 * 2 ** k for k in range(16)]
HEALTH_TIMES = [0.00025 * 10 ** k for k in range(5)]
PROGRAMMING_TIMES = [0.001 * 2 ** k for k in range(20)]
SIZES = [0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16000, 32000, 48000, 64000]

# Name behind "coredns_", type, labels, bounds of a histogram: what the reference has, of the
# plugins that are here. coredns_cache_drops_total never counts here, and so is never shown.
REFERENCE = [
    ("build_info", "gauge", "version revision goversion", None),
    ("panics_total", "counter", "", None),
    ("plugin_enabled", "gauge", "server zone view name", None),
    ("dns_requests_total", "counter", "server zone view proto family type", None),
    ("dns_request_duration_seconds", "histogram", "server zone view", TIMES),
    ("dns_request_size_bytes", "histogram", "server zone view proto", SIZES),
    ("dns_do_requests_total", "counter", "server zone view", None),
    ("dns_response_size_bytes", "histogram", "server zone view proto", SIZES),
    ("dns_responses_total", "counter", "server zone view rcode plugin", None),
    ("cache_entries", "gauge", "server type zones view", None),
    ("cache_requests_total", "counter", "server zones view", None),
    ("cache_misses_total", "counter", "server zones view", None),
    ("cache_prefetch_total", "counter", "server zones view", None),
    ("cache_served_stale_total", "counter", "server zones view", None),
    ("cache_hits_total", "counter", "server type zones view", None),
    ("cache_evictions_total", "counter", "server type zones view", None),
    ("forward_healthcheck_broken_total", "counter", "", None),
    ("forward_max_concurrent_rejects_total", "counter", "", None),
    ("proxy_request_duration_seconds", "histogram", "proxy_name to rcode", TIMES),
    ("proxy_healthcheck_failures_total", "counter", "proxy_name to", None),
    ("proxy_conn_cache_hits_total", "counter", "proxy_name to proto", None),
    ("proxy_conn_cache_misses_total", "counter", "proxy_name to proto", None),
    ("kubernetes_dns_programming_duration_seconds", "histogram", "service_kind",
     PROGRAMMING_TIMES),
    ("health_request_duration_seconds", "histogram", "", HEALTH_TIMES),
    ("health_request_failures_total", "counter", "", None),
    ("hosts_entries", "gauge", "hostsfile", None),
    ("hosts_reload_timestamp_seconds", "gauge", "", None),
    ("reload_failed_total", "counter", "", None),
    ("reload_version_info", "gauge", "hash value", None),
    ("autopath_success_total", "counter", "server", None),
    ("dns64_requests_translated_total", "counter", "server", None),
    ("acl_blocked_requests_total", "counter", "server zone view", None),
    ("acl_filtered_requests_total", "counter", "server zone view", None),
    ("acl_dropped_requests_total", "counter", "server zone view", None),
    ("acl_allowed_requests_total", "counter", "server view", None),
    ("local_localhost_requests_total", "counter", "", None),
    ("template_matches_total", "counter", "server zone view class type", None),
    ("template_template_failures_total", "counter", "server zone view class type section template",
     None),
    ("template_rr_failures_total", "counter", "server zone view class type section template", None),
    ("dnssec_cache_entries", "gauge", "server type", None),
    ("dnssec_cache_hits_total", "counter", "server", None),
    ("dnssec_cache_misses_total", "counter", "server", None),
]
# Those that may well be 0 when all is fine.
MAY_BE_ZERO = {"panics_total", "health_request_failures_total"}

# One server block for each thing that counts; @UP@ answers, @SLOW@ takes its time, @DEAD@ is silent.
COREFILE = """. {
    bind 127.0.0.1
    prometheus 127.0.0.1:@PORT2@
    health 127.0.0.1:@PORT3@
    reload 2s 1s
    hosts "@DIR@/a \\"host\\" file" {
        fallthrough
    }
    local
    forward slow.test @SLOW@ {
        max_concurrent 1
    }
    forward dead.test @DEAD@ {
        read_timeout 20ms
        health_check 30ms
        max_fails 1
        max_connect_attempts 1
    }
    forward . @UP@
}
cache.test {
    bind 127.0.0.1
    prometheus 127.0.0.1:@PORT2@
    cache {
        prefetch 1 1m 90%
        serve_stale 1h
        success 1024 3600 1
    }
    forward . @UP@
}
six.test {
    bind 127.0.0.1
    prometheus 127.0.0.1:@PORT2@
    dns64 {
        allow_ipv4
    }
    forward . @UP@
}
path.test {
    bind 127.0.0.1
    prometheus 127.0.0.1:@PORT2@
    autopath @DIR@/resolv.conf
    template IN A {
        match ^found\\.two\\.path\\.test\\.$
        answer "{{ .Name }} 60 IN A 192.0.2.7"
        fallthrough
    }
    template IN ANY {
        rcode NXDOMAIN
    }
}
acl.test {
    bind 127.0.0.1
    prometheus 127.0.0.1:@PORT2@
    view inside {
        expr name() != 'outside.acl.test.'
    }
    acl {
        block type TXT
        filter type MX
        drop type SRV
    }
    whoami
}
template.test {
    bind 127.0.0.1
    prometheus 127.0.0.1:@PORT2@
    template IN TXT {
        match ^([a-z]+)\\.
        answer "{{ .Name }} 60 IN TXT \\"{{ parseInt (index .Match 1) 10 8 }}\\""
    }
    template IN A {
        answer "{{ .Name }} 60 IN A no-address"
    }
}
signed.test {
    bind 127.0.0.1
    prometheus 127.0.0.1:@PORT2@
    dnssec {
        key file @KEY@
    }
    template IN A {
        answer "{{ .Name }} 60 IN A 192.0.2.8"
    }
}
cluster.local {
    bind 127.0.0.1
    prometheus 127.0.0.1:@PORT2@
    kubernetes {
        manifests @DIR@/objects
    }
}
"""
BASE = """
apiVersion: v1
kind: Namespace
metadata: {name: prod}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: prod}
spec: {clusterIP: None, ports: [{name: pg, port: 5432}]}
"""
SLICE = """
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: db-1
  namespace: prod
  labels: {kubernetes.io/service-name: db}
  annotations: {endpoints.kubernetes.io/last-change-trigger-time: "%s"}
addressType: IPv4
ports: [{name: pg, port: 5432}]
endpoints: [{addresses: [%s]}]
"""


def answer(query, _):
    """Short-lived addresses; below dead.test silence, below slow.test late, no AAAA."""
    asked = query.question[0]
    name = asked.name.to_text()
    if name == "." or "dead.test." in name:
        return []
    if asked.rdtype != 1:
        denial = dns.message.from_wire(reply(query, None))
        denial.authority.append(dns.rrset.from_text("test.", 60, "IN", "SOA",
                                                    "ns.test. root.test. 1 2 3 4 60"))
        return [denial.to_wire()]
    return [(0.5, reply(query))] if "slow.test." in name else [reply(query, ttl=1)]


class World:
    def __init__(self, signpost, folder):
        self.ups = [Upstream(answer) for _ in range(3)]
        corefile = COREFILE.replace("@KEY@", str(Key(folder, "signed.test.").base))
        for word, up in zip(("@UP@", "@SLOW@", "@DEAD@"), self.ups):
            corefile = corefile.replace(word, str(up))
        (folder / 'a "host" file').write_text("192.0.2.9 listed.test\n")
        (folder / "resolv.conf").write_text("search one.path.test two.path.test\n")
        (folder / "objects").mkdir()
        write_whole(folder / "objects" / "base.yaml", BASE)
        lines = [line[:-2] + ":@PORT@ {" if line.endswith(" {") and line[0] != " " else line
                 for line in corefile.splitlines()]
        self.server = Server(signpost, folder, "\n".join(lines) + "\n", "-workers", "2")
        self.folder = folder

    def close(self):
        self.server.__exit__()
        for up in self.ups:
            up.close()

    def page(self):
        status, text = http_get(self.server.numbered(2), "/metrics")
        assert status == 200
        return exposition.parse(text)

    def find(self, name, suffix="", /, **labels):
        family = self.page().get("coredns_" + name)
        return sum(family.find(suffix, **labels)) if family else 0

    def until(self, name, action=lambda: None, seconds=20, suffix=""):
        """Does it again and again until the counter is more than zero."""
        end = time.monotonic() + seconds
        while not self.find(name, suffix):
            assert time.monotonic() < end, "%s does not count: %s" % (name, self.server.log())
            action()
            time.sleep(0.05)


def ask_all(world):
    """Queries for all that counts at once."""
    s = world.server
    s.ask("www.test.")
    s.ask("www.test.")
    s.ask("www.test.", tcp=True)
    s.udp(header(ar=1) + question("www.test.", 28) + opt(flags=0x8000))
    assert s.addresses("listed.test.") == ["192.0.2.9"]
    assert s.addresses("localhost.test.") == ["127.0.0.1"]
    assert s.addresses("www.six.test.", "AAAA") == ["64:ff9b::c000:201"]
    assert s.addresses("found.one.path.test.") == ["192.0.2.7", "found.two.path.test."]
    assert s.ask("x.acl.test.", "TXT").rcode() == dns.rcode.REFUSED
    assert s.ask("x.acl.test.", "MX").rcode() == dns.rcode.NOERROR
    assert s.udp(header() + question("x.acl.test.", 33), timeout=0.3) is None
    assert s.ask("x.acl.test.").additional
    for _ in range(2):
        assert len(s.ask("x.signed.test.", want_dnssec=True).answer) == 2
    assert s.ask("abc.template.test.", "TXT").rcode() == dns.rcode.SERVFAIL
    assert s.ask("abc.template.test.", "A").rcode() == dns.rcode.SERVFAIL


def ask_cache(world):
    s = world.server
    s.ask("denied.cache.test.", "TXT")
    s.ask("denied.cache.test.", "TXT")
    world.until("cache_prefetch_total", lambda: s.ask("often.cache.test."))
    s.ask("once.cache.test.")
    time.sleep(1.1)  # its TTL
    world.until("cache_served_stale_total", lambda: s.ask("once.cache.test."))

    def fill():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", s.port))
            sock.settimeout(3)
            for i in range(4000):
                sock.send(header(i) + question("n%d.cache.test." % i))
                sock.recv(512)
    world.until("cache_evictions_total", fill, 60)


def ask_upstreams(world):
    s = world.server
    world.until("forward_healthcheck_broken_total", lambda: s.ask("x.dead.test."))
    world.until("proxy_healthcheck_failures_total")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", s.port))
        sock.settimeout(5)
        for i in range(2):
            sock.send(header(i) + question("n%d.slow.test." % i))
        rcodes = [dns.message.from_wire(sock.recv(512)).rcode() for _ in range(2)]
    assert rcodes == [dns.rcode.REFUSED, dns.rcode.NOERROR]


def change_slice(world):
    then = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=3)
    stamp = then.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    write_whole(world.folder / "objects" / "slice.yaml", SLICE % (stamp, "10.1.0.1"))
    world.server.until("db.prod.svc.cluster.local.", ["10.1.0.1"], 5)


def reload_badly(world):
    path = world.server.path
    good = path.read_text()
    write_whole(path, good + "broken.test {\n    no-such-plugin\n}\n")
    world.until("reload_failed_total")
    write_whole(path, good)


@pytest.fixture(name="world", scope="module")
def world_fixture(signpost, tmp_path_factory):
    world = World(signpost, tmp_path_factory.mktemp("metrics"))
    try:
        ask_all(world)
        ask_cache(world)
        ask_upstreams(world)
        change_slice(world)
        reload_badly(world)
        world.until("health_request_duration_seconds", suffix="_count")
        yield world
    finally:
        world.close()


@pytest.mark.parametrize("name, kind, labels, bounds", REFERENCE, ids=[r[0] for r in REFERENCE])
def test_series_of_the_reference(world, name, kind, labels, bounds):
    family = world.page().get("coredns_" + name)
    assert family, "it is not shown"
    assert family.type == kind
    assert family.labels() == {frozenset(labels.split())}
    numbers = family.find("_count") if kind == "histogram" else family.find()
    assert name in MAY_BE_ZERO or max(numbers) > 0
    if bounds:
        assert family.bounds() == pytest.approx(bounds + [math.inf], rel=1e-9)


def test_nothing_unknown(world):
    """A series of that prefix that the reference does not have would mislead."""
    known = {"coredns_" + r[0] for r in REFERENCE}
    assert {n for n in world.page() if n.startswith("coredns_")} == known


def test_values_of_labels(world):
    server = "dns://127.0.0.1:%d" % world.server.port
    up = str(world.ups[0])
    for name, suffix, labels in [
            ("dns_requests_total", "", dict(proto="udp", family="1", type="A", zone=".", view="")),
            ("dns_requests_total", "", dict(proto="tcp", type="A", zone=".")),
            ("dns_requests_total", "", dict(type="TXT", zone="acl.test.", view="inside")),
            ("dns_responses_total", "", dict(rcode="REFUSED", plugin="acl", view="inside")),
            ("dns_responses_total", "", dict(rcode="NOERROR", plugin="hosts", zone=".")),
            ("dns_do_requests_total", "", dict(server=server, zone=".", view="")),
            ("dns_request_size_bytes", "_count", dict(proto="tcp", zone=".")),
            ("dns_response_size_bytes", "_count", dict(proto="udp", zone="cache.test.")),
            ("cache_entries", "", dict(type="success", zones="cache.test.", server=server)),
            ("cache_entries", "", dict(type="denial", zones="cache.test.")),
            ("cache_hits_total", "", dict(type="denial", zones="cache.test.", view="")),
            ("cache_evictions_total", "", dict(type="success", zones="cache.test.")),
            ("proxy_request_duration_seconds", "_count",
             dict(proxy_name="forward", to=up, rcode="NOERROR")),
            ("proxy_conn_cache_hits_total", "", dict(proxy_name="forward", to=up, proto="udp")),
            ("proxy_conn_cache_misses_total", "", dict(to=up, proto="tcp")),
            ("proxy_healthcheck_failures_total", "", dict(to=str(world.ups[2]))),
            ("kubernetes_dns_programming_duration_seconds", "_count",
             dict(service_kind="headless_with_selector")),
            ("acl_blocked_requests_total", "", dict(zone="acl.test.", view="inside")),
            ("acl_allowed_requests_total", "", dict(server=server, view="inside")),
            ("template_matches_total", "", {"class": "IN", "type": "TXT", "zone": "template.test."}),
            ("template_rr_failures_total", "",
             {"class": "IN", "type": "A", "section": "answer",
              "template": "{{ .Name }} 60 IN A no-address"}),
            ("template_template_failures_total", "",
             {"section": "answer",
              "template": '{{ .Name }} 60 IN TXT "{{ parseInt (index .Match 1) 10 8 }}"'}),
            ("hosts_entries", "", dict(hostsfile='%s/a "host" file' % world.folder)),
            ("plugin_enabled", "", dict(name="cache", zone="cache.test.", server=server))]:
        assert world.find(name, suffix, **labels) > 0, (name, labels)


def test_programming_duration_is_since_the_trigger(world):
    took = world.find("kubernetes_dns_programming_duration_seconds", "_sum")
    assert 3 <= took < 60
    assert world.find("kubernetes_dns_programming_duration_seconds", "_count") == 1


def test_version_of_the_corefile(world):
    found = world.page()["coredns_reload_version_info"].samples
    (key, value), = found.items()
    labels = dict(key[1])
    assert value == 1 and labels["hash"] == "sha512" and len(labels["value"]) == 128


def test_the_page_is_valid_at_any_moment(world):
    """While configurations take each other's place, both have registered the same gauges."""
    problems, pages, done = [], [], threading.Event()

    def scrape():
        while not done.is_set():
            try:
                pages.append(world.page())
            except exposition.Invalid as e:
                problems.append(str(e))
                return

    thread = threading.Thread(target=scrape)
    thread.start()
    good = world.server.path.read_text()
    before = world.page()["coredns_reload_version_info"].samples
    for i in range(4):
        write_whole(world.server.path, good + "more%d.test:%d {\n    bind 127.0.0.1\n}\n" % (
            i, world.server.port))
        world.server.process.send_signal(1)
        world.server.until("x.more%d.test." % i, "REFUSED", 5)
        time.sleep(0.3)  # the old one ends in the meantime
    done.set()
    thread.join()
    assert not problems and len(pages) > 10
    assert world.page()["coredns_reload_version_info"].samples != before


def test_the_checker_finds_faults():
    """It must not pass what a scraper would refuse."""
    head = "# HELP a_total H\n# TYPE a_total counter\n"
    exposition.parse(head + 'a_total{x="\\\\ \\" \\n"} 1\n')
    histogram = "# HELP h H\n# TYPE h histogram\n"
    exposition.parse(histogram + 'h_bucket{le="1"} 1\nh_bucket{le="+Inf"} 2\nh_sum 3\nh_count 2\n')
    for bad in [head, head + "a_total 1", head + "a_total 1\na_total 2\n", "a_total 1\n",
                head + 'a_total{x="1",x="2"} 1\n', head + 'a_total{x="1"y="2"} 1\n',
                head + 'a_total{x="1",} 1\n', head + 'a_total{x="\\t"} 1\n', head + "a_total x\n",
                head + 'a_total{x="1",y="2"} 1\na_total{y="2",x="1"} 1\n', head + "a_total -1\n",
                head + "a_total 1\n" + head + "a_total 2\n", head + "b_total 1\n",
                "# TYPE a_total counter\na_total 1\n", "# HELP a H\n# TYPE a counter\na 1\n",
                "# HELP a_total H\n# TYPE a_total gauge\na_total 1\n", head + "a_total  1\n",
                head + "\na_total 1\n",
                histogram + 'h_bucket{le="1"} 3\nh_bucket{le="+Inf"} 2\nh_sum 3\nh_count 2\n',
                histogram + 'h_bucket{le="1"} 1\nh_sum 3\nh_count 1\n',
                histogram + 'h_bucket{le="+Inf"} 2\nh_sum 3\nh_count 1\n',
                histogram + 'h_bucket{le="+Inf"} 2\nh_count 2\n']:
        with pytest.raises(exposition.Invalid):
            exposition.parse(bad)
