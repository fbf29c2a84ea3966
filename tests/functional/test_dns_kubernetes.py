"""Names of a cluster, row by row: what is asked and which records come back.

The rows are those of a catalogue that was taken from CoreDNS; the numbers are the catalogue's. Rows
that are not here: 16 (a Service without ports: refused in a manifest, as by an API server), 85, 86
(zone transfer: no such plugin), 87, 88 (before the first full list: a folder is read before the first
query), 97 to 103 (autopath, cache, rewrite, acl: of other plugins' tests).
"""
import re
import shutil
import subprocess
import sys

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.reversename
import pytest

from conftest import ROOT
from dns_world import Server, free_port, http_get, parse, query, records
from forward_world import wait_for

Z = "cluster.local."
DATA = ROOT / "tests" / "functional" / "data"

COREFILE = """
cluster.local:@PORT@ in-addr.arpa:@PORT@ ip6.arpa:@PORT@ {
    bind 127.0.0.1
    prometheus 127.0.0.1:@PORT5@
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        manifests @DIR@/manifests
        pods verified
    }
}
example.com:@PORT@ {
    bind 127.0.0.1
    forward . 127.0.0.1:@PORT6@
}
cluster.local:@PORT2@ in-addr.arpa:@PORT2@ ip6.arpa:@PORT2@ {
    bind 127.0.0.1
    kubernetes {
        manifests @DIR@/manifests
        pods insecure
        endpoint_pod_names
        ttl 30
        ignore empty_service
        zonal
        namespaces default prod
    }
}
.:@PORT3@ {
    bind 127.0.0.1
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        manifests @DIR@/manifests
        noendpoints
        fallthrough
    }
}
.:@PORT4@ {
    bind 127.0.0.1
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        manifests @DIR@/manifests
        ttl 3600
    }
}
"""

# Each block of the Corefile: the word for its port, and the TTL of its records.
INSTANCES = {"A": ("@PORT@", 5), "B": ("@PORT2@", 30), "C": ("@PORT3@", 5), "D": ("@PORT4@", 3600)}

UPSTREAM = ("example.com:%d {\n    bind 127.0.0.1\n    file root.db example.com.\n}\n", """$TTL 60
@   IN SOA a.example.com. h.example.com. 7 7200 900 1209600 60
@   IN NS  a.example.com.
a   IN A   192.0.2.1
www IN A   192.0.2.53
""")

DB = ("SRV 0 20 5432 db-0.db.prod.svc@; SRV 0 20 5432 10-1-0-2.db.prod.svc@; "
      "SRV 0 20 5432 10-1-0-4.db.prod.svc@; SRV 0 20 5432 fd00-1--0.db.prod.svc@; "
      "+ db-0.db.prod.svc@ A 10.1.0.1; + db-0.db.prod.svc@ AAAA fd00:1::1; "
      "+ 10-1-0-2.db.prod.svc@ A 10.1.0.2; + 10-1-0-4.db.prod.svc@ A 10.1.0.4; "
      "+ fd00-1--0.db.prod.svc@ AAAA fd00:1::")
WEB = "; + web.default.svc@ A 10.96.0.10; + web.default.svc@ AAAA fd00::10"
UNNAMED = "SRV 0 100 8080 unnamed.default.svc@; + unnamed.default.svc@ A 10.96.0.11"
WWW = "CNAME www.example.com."

# number, [instance:]name, types, expected. "@" ends a name with the zone. Expected is an outcome
# (NODATA and NXDOMAIN come with the zone's SOA, REFUSED and SERVFAIL with nothing), or records
# "[owner [TTL]] TYPE rdata", those of the additional section with a plus.
ROWS = [
    (1, "web.default.svc@", "A", "A 10.96.0.10"),
    (2, "web.default.svc@", "AAAA", "AAAA fd00::10"),
    (3, "WEB.Default.SVC.Cluster.Local.", "A", "A 10.96.0.10"),
    (4, "web.default.svc@", "SRV", "SRV 0 16 80 web.default.svc@; SRV 0 16 9090 web.default.svc@; "
     "SRV 0 16 53 web.default.svc@" + WEB),
    (5, "WEB.Default.SVC.Cluster.Local.", "SRV", ("SRV 0 16 80 web.default.svc@; SRV 0 16 9090 "
     "web.default.svc@; SRV 0 16 53 web.default.svc@" + WEB).replace("@", ".Cluster.Local.")),
    (6, "_http._tcp.web.default.svc@", "SRV", "SRV 0 50 80 web.default.svc@" + WEB),
    (7, "_HTTP._TCP.web.default.svc@", "SRV", "SRV 0 50 80 web.default.svc@" + WEB),
    (8, "http.tcp.web.default.svc@", "SRV", "SRV 0 50 80 web.default.svc@" + WEB),
    (9, "_dns._udp.web.default.svc@", "SRV", "SRV 0 50 53 web.default.svc@" + WEB),
    (10, "_http._udp.web.default.svc@", "SRV A", "NXDOMAIN"),
    (11, "_nope._tcp.web.default.svc@", "SRV", "NXDOMAIN"),
    (12, "_tcp.web.default.svc@", "SRV", "NXDOMAIN"),
    (13, "_http._tcp.web.default.svc@", "A", "A 10.96.0.10"),
    (14, "unnamed.default.svc@", "SRV", UNNAMED),
    (15, "_._tcp.unnamed.default.svc@", "SRV", UNNAMED),
    (17, "web.default.svc@", "TXT MX CNAME NS SOA HTTPS DS TYPE65280", "NODATA"),
    (18, "nope.default.svc@", "A TXT PTR", "NXDOMAIN"),
    (19, "foo.web.default.svc@", "A", "NXDOMAIN"),
    (20, "a.b.c.web.default.svc@", "A", "NXDOMAIN"),
    (21, "default.svc@", "A SRV", "NODATA"),
    (22, "default.svc@", "TXT", "NXDOMAIN"),
    (23, "empty.svc@", "A", "NODATA"),
    (24, "nons.svc@", "A", "NXDOMAIN"),
    (25, "svc@", "A", "NODATA"),
    (25, "pod@", "A", "NODATA"),
    (26, "foo@", "A", "NXDOMAIN"),
    (26, "default.foo@", "A", "NXDOMAIN"),
    (26, "dns@", "A", "NXDOMAIN"),
    (27, "@", "SOA", "SOA"),
    (28, "CLUSTER.local.", "SOA", "SOA"),
    (29, "@", "A SRV", "NODATA"),
    (30, "@", "TXT", "NXDOMAIN"),
    (31, "@", "NS", "NODATA"),
    (32, "dns-version@", "TXT", 'dns-version@ 28800 TXT "1.1.0"'),
    (32, "dns-version@", "A", "NXDOMAIN"),
    (33, "*.default.svc@", "A", "NXDOMAIN"),
    (33, "any.default.svc@", "A", "NXDOMAIN"),
    (34, "db.prod.svc@", "A", "A 10.1.0.1; A 10.1.0.2; A 10.1.0.4"),
    (35, "db.prod.svc@", "AAAA", "AAAA fd00:1::1; AAAA fd00:1::"),
    (36, "db.prod.svc@", "SRV", DB),
    (36, "_pg._tcp.db.prod.svc@", "SRV", DB),
    (37, "db-0.db.prod.svc@", "A", "A 10.1.0.1"),
    (37, "db-0.db.prod.svc@", "AAAA", "AAAA fd00:1::1"),
    (38, "10-1-0-2.db.prod.svc@", "A", "A 10.1.0.2"),
    (38, "10-1-0-2.db.prod.svc@", "AAAA", "NODATA"),
    (39, "10-1-0-1.db.prod.svc@", "A", "NXDOMAIN"),
    (40, "10-1-0-3.db.prod.svc@", "A", "NXDOMAIN"),
    (41, "fd00-1--0.db.prod.svc@", "AAAA", "AAAA fd00:1::"),
    (42, "B:db-xyz.db.prod.svc@", "A", "A 10.1.0.2"),
    (42, "B:10-1-0-2.db.prod.svc@", "A", "NXDOMAIN"),
    (42, "B:10-1-0-4.db.prod.svc@", "A", "A 10.1.0.4"),
    (43, "db-xyz.db.prod.svc@", "A", "NXDOMAIN"),
    (44, "hlempty.prod.svc@", "A", "NXDOMAIN"),
    (44, "B:hlempty.prod.svc@", "A", "NXDOMAIN"),
    (45, "hlnoport.prod.svc@", "A", "A 10.1.0.20"),
    (45, "hlnoport.prod.svc@", "SRV", "NODATA"),
    (46, "noeps.prod.svc@", "A", "A 10.96.0.20"),
    (46, "B:noeps.prod.svc@", "A", "NXDOMAIN"),
    (47, "wh.withep.prod.svc@", "A", "A 10.1.0.30"),
    (47, "wh.withep.prod.svc@", "SRV",
     "SRV 0 100 8080 wh.withep.prod.svc@; + wh.withep.prod.svc@ A 10.1.0.30"),
    (48, "lb.prod.svc@", "A", "A 10.96.0.30"),
    (49, "ext.prod.svc@", "A", WWW + "; www.example.com. 60 A 192.0.2.53"),
    (50, "ext.prod.svc@", "AAAA", WWW),
    (51, "ext.prod.svc@", "CNAME", WWW),
    (52, "ext.prod.svc@", "TXT SRV MX", "NODATA"),
    (53, "_http._tcp.ext.prod.svc@", "SRV", "NXDOMAIN"),
    (54, "extint.prod.svc@", "A", "CNAME web.default.svc@; web.default.svc@ A 10.96.0.10"),
    (54, "extint.prod.svc@", "AAAA", "CNAME web.default.svc@; web.default.svc@ AAAA fd00::10"),
    (55, "extip.prod.svc@", "A", "NXDOMAIN"),
    (56, "extloop.prod.svc@", "A", "NODATA"),
    (56, "extintnx.prod.svc@", "A", "NODATA"),
    (57, "extnx.prod.svc@", "A", "CNAME nx.example.com."),
    (57, "extdead.prod.svc@", "A", "CNAME web.nozone.test."),
    (58, "10.0.96.10.in-addr.arpa.", "PTR", "PTR web.default.svc@"),
    (59, "1.0.1.10.in-addr.arpa.", "PTR", "PTR db-0.db.prod.svc@; PTR db-0.db-ro.prod.svc@"),
    (60, "2.0.1.10.in-addr.arpa.", "PTR",
     "PTR 10-1-0-2.db.prod.svc@; PTR 10-1-0-2.db-ro.prod.svc@"),
    (61, "3.0.1.10.in-addr.arpa.", "PTR", "NXDOMAIN"),
    (61, "9.9.9.10.in-addr.arpa.", "PTR", "NXDOMAIN"),
    (62, "30.0.1.10.in-addr.arpa.", "PTR", "PTR wh.withep.prod.svc@"),
    (62, "40.0.1.10.in-addr.arpa.", "PTR", "PTR 10-1-0-40.orphan.prod.svc@"),
    (63, dns.reversename.from_address("fd00:1::1").to_text(), "PTR", "PTR db-0.db.prod.svc@"),
    (63, dns.reversename.from_address("fd00::10").to_text(), "PTR", "PTR web.default.svc@"),
    (64, "5.113.0.203.in-addr.arpa.", "PTR", "NXDOMAIN"),
    (65, "10.in-addr.arpa.", "PTR", "NXDOMAIN"),
    (65, "10.0.96.10.in-addr.arpa.", "A", "NXDOMAIN"),
    (66, "in-addr.arpa.", "SOA", "SOA"),
    (66, "in-addr.arpa.", "A", "NODATA"),
    (67, "web.default.svc@", "PTR", "NODATA"),
    (68, "10-1-0-1.prod.pod@", "A", "A 10.1.0.1"),
    (69, "10-1-0-1.default.pod@", "A", "NXDOMAIN"),
    (69, "10-1-0-9.prod.pod@", "A", "NXDOMAIN"),
    (69, "10-1-0-1.nons.pod@", "A", "NXDOMAIN"),
    (70, "fd00-1--1.prod.pod@", "AAAA", "AAAA fd00:1::1"),
    (70, "fd00-1--1.prod.pod@", "A", "NODATA"),
    (71, "fd00-1-0-0-0-0-0-1.prod.pod@", "AAAA", "NXDOMAIN"),
    (71, "B:fd00-1-0-0-0-0-0-1.prod.pod@", "AAAA", "AAAA fd00:1::1"),
    (72, "a.10-1-0-1.prod.pod@", "A", "A 10.1.0.1"),
    (72, "a.b.c.10-1-0-1.prod.pod@", "A", "NXDOMAIN"),
    (73, "B:1-2-3-4.default.pod@", "A", "A 1.2.3.4"),
    (73, "B:1-2-3-999.default.pod@", "A", "NXDOMAIN"),
    (73, "B:foo.default.pod@", "A", "NXDOMAIN"),
    (73, "B:1-2-3-4.nons.pod@", "A", "NXDOMAIN"),
    (74, "B:1-2-3-4.default.pod@", "SRV",
     "SRV 0 100 0 1-2-3-4.default.pod@; + 1-2-3-4.default.pod@ A 1.2.3.4"),
    (75, "B:empty.svc@", "A", "NXDOMAIN"),
    (75, "B:kubernetes.kube-system.svc@", "A", "NXDOMAIN"),
    (76, "B:us-a.pin._zone.db.prod.svc@", "A", "A 10.1.0.1; A 10.1.0.4"),
    (76, "B:US-A.Pin._ZONE.db.prod.svc@", "AAAA", "AAAA fd00:1::1; AAAA fd00:1::"),
    (77, "B:us-zz.pin._zone.db.prod.svc@", "A", "NODATA"),
    (77, "B:us-zz.prefer._zone.db.prod.svc@", "A", "A 10.1.0.1; A 10.1.0.2; A 10.1.0.4"),
    (77, "B:us-b.prefer._zone.db.prod.svc@", "A", "A 10.1.0.2"),
    (78, "us-a.pin._zone.db.prod.svc@", "A", "NXDOMAIN"),
    (78, "B:us-a.pin._zone.web.default.svc@", "A", "NXDOMAIN"),
    (79, "C:db.prod.svc@", "A", "SERVFAIL"),
    (79, "C:nope.default.svc@", "A", "SERVFAIL"),
    (79, "C:1.0.1.10.in-addr.arpa.", "PTR", "SERVFAIL"),
    (80, "C:web.default.svc@", "A", "A 10.96.0.10"),
    (81, "D:10-1-0-1.prod.pod@", "A", "NXDOMAIN"),
    (81, "D:prod.pod@", "A", "NXDOMAIN"),
    (81, "D:pod@", "A", "NODATA"),
    (82, "foo.example.net.", "A", "REFUSED"),
    (84, "@", "AXFR", "REFUSED"),
    # The catalogue's prose, sections 2.1 to 2.11.
    ("ttl", "D:web.default.svc@", "A", "A 10.96.0.10"),
    ("pod level", "default.pod@", "A", "NODATA"),
    ("ns.dns has no address to give", "ns.dns@", "A", "NODATA"),
    ("ns.dns, mixed case", "NS.dns.Cluster.local.", "A", "NXDOMAIN"),
    ("any protocol", "_http._.web.default.svc@", "SRV", "SRV 0 50 80 web.default.svc@" + WEB),
    ("no such endpoint below a port", "x._http._tcp.web.default.svc@", "A", "NXDOMAIN"),
    ("endpoint of no port", "10-1-0-20.hlnoport.prod.svc@", "A", "A 10.1.0.20"),
    ("PTR of what does not exist", "nope.prod.svc@", "PTR", "NXDOMAIN"),
    ("no reverse name", "x.1.0.1.10.in-addr.arpa.", "PTR", "NXDOMAIN"),
    ("unknown type, unknown name", "nope.prod.svc@", "TYPE65280 HTTPS", "NXDOMAIN"),
]


def cases():
    for number, name, types, expected in ROWS:
        for rdtype in types.split():
            yield pytest.param(name, rdtype, expected, id="%s %s %s" % (number, name, rdtype))


def big_slice():
    lines = ["apiVersion: discovery.k8s.io/v1", "kind: EndpointSlice", "addressType: IPv4",
             "metadata: {name: big-1, namespace: prod, labels: {kubernetes.io/service-name: big}}",
             "ports: [{name: http, port: 80}, {name: https, port: 443}]", "endpoints:"]
    return "\n".join(lines + ["- {addresses: [10.1.1.%d]}" % i for i in range(1, 41)]) + "\n"


def answers(port):
    try:
        return dns.query.udp(dns.message.make_query("www.example.com.", "A"), "127.0.0.1", timeout=0.5, port=port).answer
    except (dns.exception.Timeout, ConnectionError):
        return None


@pytest.fixture(scope="module")
def upstream(tmp_path_factory):
    """example.com: www has an address, everything else does not exist."""
    folder = tmp_path_factory.mktemp("upstream")
    port = free_port()
    program = ROOT / "tests" / "lib" / "upstream.py"
    (folder / "root.db").write_text(UPSTREAM[1])
    (folder / "Corefile").write_text(UPSTREAM[0] % port)
    process = subprocess.Popen([sys.executable, "-B", program, "-conf", folder / "Corefile"])
    wait_for(lambda: answers(port), 20)
    yield port
    process.terminate()
    process.wait(10)


@pytest.fixture(scope="module")
def server(signpost, tmp_path_factory, upstream):
    folder = tmp_path_factory.mktemp("kubernetes")
    (folder / "manifests").mkdir()
    shutil.copy(DATA / "section7.yaml", folder / "manifests")
    (folder / "manifests" / "big.yaml").write_text(big_slice())
    ports = [free_port() for _ in range(5)] + [upstream]
    with Server(signpost, folder, COREFILE, ports=ports) as s:
        yield s
        assert "WARNING" not in s.log(), s.log()


def full(name):
    return name[:-1] + (Z if name == "@" else "." + Z) if name.endswith("@") else name


def record(text, owner, ttl):
    words = text.split()
    if not words[0].isupper() or words[0].endswith("."):
        owner = full(words.pop(0))
        if words[0].isdigit():
            ttl = int(words.pop(0))
    rdtype, rdata = words[0], " ".join(full(w) for w in words[1:])
    return (owner, ttl, rdtype, rdata)


def soa(name, ttl, found):
    """The SOA of the zone that the name lies in, the zone as it was typed; its serial is as found."""
    labels = dns.name.from_text(name).labels
    zone = b".".join(labels[-3:]).decode()
    serial = found[3].split()[2]
    assert int(serial) > 1700000000
    return (zone, min(ttl, 300), "SOA",
            "ns.dns.%s hostmaster.%s %s 7200 1800 86400 %d" % (zone, zone, serial, ttl))


def check(reply, name, expected, ttl):
    answer, authority = records(reply.answer), records(reply.authority)
    bare = expected in ("REFUSED", "SERVFAIL")
    flags = dns.flags.QR | dns.flags.RD | (0 if bare else dns.flags.AA)
    assert dns.flags.to_text(reply.flags) == dns.flags.to_text(flags)
    rcode = expected if bare or expected == "NXDOMAIN" else "NOERROR"
    assert dns.rcode.to_text(reply.rcode()) == rcode
    assert reply.question[0].name.to_text() == name
    if bare:
        assert not answer and not authority and not reply.additional
    elif expected in ("NODATA", "NXDOMAIN"):
        assert not answer and not reply.additional
        assert authority == [soa(name, ttl, authority[0])]
    elif expected == "SOA":
        assert answer == [soa(name, ttl, answer[0])]
        assert not authority and not reply.additional
    else:
        wanted = [t.strip() for t in expected.split(";")]
        assert sorted(answer) == sorted(record(t, name, ttl) for t in wanted if t[0] != "+")
        assert sorted(records(reply.additional)) == sorted(
            record(t[1:], name, ttl) for t in wanted if t[0] == "+")
        assert not authority
    types = [r[2] for r in answer]
    assert types == sorted(types, key=lambda t: t != "CNAME"), "an alias comes first"


@pytest.mark.parametrize("name,rdtype,expected", cases())
def test_row(server, name, rdtype, expected):
    instance, _, name = name.rpartition(":")
    word, ttl = INSTANCES[instance or "A"]
    name = full(name)
    check(server.ask(name, rdtype, port=server.ports[word]), name, expected, ttl)


def test_any_over_tcp(server):
    """Row 17: ANY gets no records."""
    name = full("web.default.svc@")
    check(server.ask(name, "ANY", tcp=True), name, "NODATA", 5)


def test_transfer_over_tcp(server):
    """Row 84, by TCP."""
    check(server.ask(Z, "AXFR", tcp=True), Z, "REFUSED", 5)


@pytest.mark.parametrize("rdclass", ["CH", "HS", "ANY"])
def test_other_classes(server, rdclass):
    """Row 83, on a listener whose blocks have no `forward`."""
    name = full("web.default.svc@")
    port = server.ports["@PORT4@"]
    check(server.ask(name, "TXT", rdclass=rdclass, port=port), name, "REFUSED", 5)


# ---- sizes ----

BIG = "big.prod.svc.cluster.local."


def wire_and_reply(server, rdtype, tcp=False, **more):
    wire = (server.tcp if tcp else server.udp)(query(BIG, rdtype, **more).to_wire())
    return wire, parse(wire)


def test_truncated_addresses(server):
    """Row 89: as many as fit into 512 bytes, and TC."""
    wire, reply = wire_and_reply(server, "A")
    assert (len(wire), len(reply.answer)) == (508, 29)
    assert reply.flags & dns.flags.TC


def test_addresses_with_edns(server):
    """Row 90: compressed, all of them fit."""
    wire, reply = wire_and_reply(server, "A", use_edns=0, payload=1232)
    assert (len(wire), len(reply.answer)) == (695, 40)
    assert not reply.flags & dns.flags.TC
    assert len(set(records(reply.answer))) == 40


def test_truncated_srv(server):
    """Row 91: no room for addresses; the OPT is kept."""
    _, reply = wire_and_reply(server, "SRV", use_edns=0, payload=1232)
    assert (len(reply.answer), len(reply.additional)) == (21, 0)
    assert reply.flags & dns.flags.TC and reply.edns == 0 and reply.payload == 1232


def test_srv_over_tcp(server):
    """Row 91: nothing is left out; SRV targets are not compressed."""
    _, reply = wire_and_reply(server, "SRV", tcp=True)
    assert (len(reply.answer), len(reply.additional)) == (80, 40)
    assert not reply.flags & dns.flags.TC
    assert {r[3].split()[1] for r in records(reply.answer)} == {"1"} # floor(100/80)
    assert len(set(records(reply.answer))) == 80


@pytest.mark.parametrize("payload,count", [(4096, 72), (512, 8)])
def test_srv_sizes(server, payload, count):
    _, reply = wire_and_reply(server, "SRV", use_edns=0, payload=payload)
    assert len(reply.answer) == count and reply.flags & dns.flags.TC


# ---- what it counts ----

def test_answerer_is_named(server):
    """The plugin label names who answered, which in CoreDNS it does not."""
    server.ask(full("web.default.svc@"))
    _, page = http_get(server.numbered(5), "/metrics")
    assert re.search(r'coredns_dns_responses_total\{plugin="kubernetes",rcode="NOERROR",', page)
