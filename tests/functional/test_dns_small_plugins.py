"""The small plugins: acl any bufsize cancel chaos debug dns64 erratic header local loop minimal nsid root.
The example of each one's page is run, too."""
import contextlib
import re
import socket
import time

import dns.edns
import dns.flags
import dns.ipv6
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from conftest import ROOT
from dns_world import (Connection, Server, free_port, http_get, opt, parse, query, question,
                       records, header, run_until_end)
from forward_world import Upstream

NAMES = "acl any bufsize cancel chaos debug dns64 erratic header local loop minimal nsid root".split()
NSID, COOKIE, EDE = 3, 10, 15


def block(lines, key="."):
    return "%s:@PORT@ {\n    bind 127.0.0.1\n%s\n}\n" % (key, lines)


@pytest.fixture
def start(signpost, tmp_path):
    with contextlib.ExitStack() as stack:
        def begin(corefile, *flags, **more):
            server = Server(signpost, tmp_path, corefile, "-workers", "1", *flags, **more)
            return stack.enter_context(server)
        yield begin


def flags(reply):
    return dns.flags.to_text(reply.flags)


def options(reply):
    return {o.otype: o.to_wire() for o in reply.options}


def option(code, data=b""):
    return dns.edns.GenericOption(code, data)


def metric(server, number, pattern):
    _, page = http_get(server.numbered(number), "/metrics")
    return [float(v) for v in re.findall("^%s (\\S+)$" % pattern, page, re.MULTILINE)]


class Zone:
    """A scripted upstream with a few records, SOA records in denials, and a way to be slow."""

    def __init__(self, table, soa_ttl=100, delay=0):
        self.table, self.soa_ttl, self.delay = table, soa_ttl, delay
        self.upstream = Upstream(self.act)

    def act(self, asked, _):
        wanted = asked.question[0]
        name = wanted.name.to_text().lower()
        rdtype = dns.rdatatype.to_text(wanted.rdtype)
        made = dns.message.make_response(asked)
        made.flags |= dns.flags.AA | dns.flags.RA
        found = self.table.get((name, rdtype))
        if isinstance(found, str):
            made.set_rcode(dns.rcode.from_text(found))
        elif found:
            made.answer += [dns.rrset.from_text(*rr) for rr in found]
            made.authority.append(dns.rrset.from_text("test.", 100, "IN", "NS", "ns.test."))
            made.additional.append(dns.rrset.from_text("ns.test.", 100, "IN", "A", "192.0.2.53"))
        else:
            if not any(known == name for known, _ in self.table):
                made.set_rcode(dns.rcode.NXDOMAIN)
            if self.soa_ttl is not None:
                made.authority.append(dns.rrset.from_text("test.", self.soa_ttl, "IN", "SOA",
                                                          "ns.test. root.test. 1 2 3 4 40"))
        return [(self.delay, made.to_wire(max_size=65535))]

    def last(self):
        return self.upstream.queries[-1][0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.upstream.close()


def a(name, *addresses, ttl=300):
    return [(name, ttl, "IN", "A", *addresses)]


TABLE = {("four.test.", "A"): a("four.test.", "192.0.2.33", "192.0.2.34"),
         ("both.test.", "A"): a("both.test.", "192.0.2.3"),
         ("both.test.", "AAAA"): [("both.test.", 300, "IN", "AAAA", "2001:db8::3")],
         ("txt.test.", "TXT"): [("txt.test.", 300, "IN", "TXT", "t")],
         ("short.test.", "A"): a("short.test.", "192.0.2.6", ttl=5),
         ("alias.test.", "A"): [("alias.test.", 70, "IN", "CNAME", "four.test."),
                                *a("four.test.", "192.0.2.33")],
         ("alias.test.", "AAAA"): [("alias.test.", 70, "IN", "CNAME", "four.test.")],
         ("broken.test.", "A"): "SERVFAIL", ("broken.test.", "TXT"): "REFUSED",
         ("half.test.", "AAAA"): "SERVFAIL", ("half.test.", "A"): a("half.test.", "192.0.2.9"),
         ("many.test.", "A"): a("many.test.", *("192.0.2.%d" % i for i in range(60)))}


@pytest.fixture(scope="module")
def zone():
    with Zone(TABLE) as made:
        yield made


# ---- acl ----

ACL = """a.test:@PORT@ {
    bind 127.0.0.1
    prometheus 127.0.0.1:@PORT2@
    acl {
        block net 127.0.0.31/32
        FILTER NET 127.0.0.32
        drop net 127.0.0.33
        allow net 127.0.0.34
        block type MX net *
        filter type TXT type SRV
        block net 127.0.0.36/30 127.0.0.48/29 127.0.0.50 10.0.0.0/8 ::1
    }
    acl in.a.test {
        block
    }
    acl in.a.test other.a.test {
        filter type A AAAA
    }
    whoami
}
deny.test:@PORT@ {
    bind 127.0.0.1
    prometheus 127.0.0.1:@PORT2@
    acl {
        allow type * net 127.0.0.40/29
        block
    }
    whoami
}
"""


@pytest.fixture(scope="module")
def acl(signpost, tmp_path_factory):
    with Server(signpost, tmp_path_factory.mktemp("acl"), ACL, "-workers", "1") as s:
        yield s


def ask_from(server, source, name, rdtype="A", timeout=5, **more):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((source, 0))
        sock.settimeout(timeout)
        sock.sendto(query(name, rdtype, **more).to_wire(), ("127.0.0.1", server.port))
        try:
            return parse(sock.recv(65535))
        except TimeoutError:
            return None


@pytest.mark.parametrize("source, name, rdtype, outcome", [
    ("127.0.0.31", "x.a.test.", "A", "block"), ("127.0.0.32", "x.a.test.", "A", "filter"),
    ("127.0.0.33", "x.a.test.", "A", "drop"), ("127.0.0.34", "x.a.test.", "MX", "pass"),
    ("127.0.0.34", "x.in.a.test.", "A", "pass"), # allow ends all of them
    ("127.0.0.1", "x.a.test.", "MX", "block"), ("127.0.0.1", "x.a.test.", "TXT", "filter"),
    ("127.0.0.1", "x.a.test.", "SRV", "filter"), ("127.0.0.1", "x.a.test.", "A", "pass"),
    ("127.0.0.35", "x.a.test.", "A", "pass"), ("127.0.0.36", "x.a.test.", "A", "block"),
    ("127.0.0.39", "x.a.test.", "A", "block"), ("127.0.0.40", "x.a.test.", "A", "pass"),
    ("127.0.0.48", "x.a.test.", "A", "block"), ("127.0.0.55", "x.a.test.", "A", "block"),
    ("127.0.0.56", "x.a.test.", "A", "pass"), ("127.0.0.1", "IN.a.test.", "NS", "block"),
    ("127.0.0.1", "x.other.a.test.", "A", "filter"), ("127.0.0.1", "x.other.a.test.", "NS", "pass"),
    ("127.0.0.41", "x.deny.test.", "A", "pass"), ("127.0.0.48", "x.deny.test.", "A", "block"),
])
def test_acl(acl, source, name, rdtype, outcome):
    reply = ask_from(acl, source, name, rdtype, 0.5 if outcome == "drop" else 5)
    if outcome == "drop":
        assert reply is None
        return
    if outcome == "pass":
        assert reply.rcode() == 0 and reply.additional and reply.edns == -1
        return
    assert reply.rcode() == (dns.rcode.REFUSED if outcome == "block" else dns.rcode.NOERROR)
    assert flags(reply) == "QR RD" and not (reply.answer or reply.authority or reply.additional)
    assert options(reply) == {EDE: b"\0\x0f" if outcome == "block" else b"\0\x11"}
    assert reply.payload == 4096 and reply.ednsflags == dns.flags.DO


def test_acl_with_edns_and_tcp(acl):
    reply = ask_from(acl, "127.0.0.31", "x.a.test.", use_edns=0, payload=1232)
    assert reply.payload == 1232 and options(reply) == {EDE: b"\0\x0f"}
    reply = acl.ask("x.a.test.", "TXT", tcp=True)
    assert reply.rcode() == 0 and options(reply) == {EDE: b"\0\x11"}


def test_acl_metrics(acl):
    for _ in range(3):
        acl.ask("x.a.test.", "MX")
    before = metric(acl, 2, "coredns_acl_allowed_requests_total{.*}")
    acl.ask("x.a.test.")
    server = 'server="dns://127.0.0.1:%d",view=""' % acl.port
    assert metric(acl, 2, "coredns_acl_allowed_requests_total{%s}" % server) == [before[0] + 1]
    assert metric(acl, 2, 'coredns_acl_blocked_requests_total{%s,zone="a.test."}' % server)[0] >= 3
    ask_from(acl, "127.0.0.33", "x.a.test.", timeout=0.2)
    assert metric(acl, 2, 'coredns_acl_dropped_requests_total{%s,zone="a.test."}' % server)[0] >= 1
    acl.ask("x.in.a.test.")
    acl.ask("x.other.a.test.")
    for which, name in (("blocked", "in"), ("filtered", "other")):
        assert metric(acl, 2, 'coredns_acl_%s_requests_total{%s,zone="%s.a.test."}' %
                      (which, server, name))[0] >= 1


def test_acl_many_nets(start):
    """Overlapping ones in any order: what lies between them is not in."""
    nets = ["127.%d.%d.0/24" % (i % 200, i * 7 % 256) for i in range(0, 2000, 2)]
    nets += ["127.9.0.0/16", "127.9.3.0/24", "127.0.0.1", "2001:db8::/32"]
    s = start(block("acl {\nblock net %s\n}\nwhoami" % " ".join(nets)))
    inside = {n[:-4] + "7" for n in nets if n.endswith("0/24")} | {"127.0.0.1", "127.9.255.254"}
    outside = {"127.%d.%d.7" % (i, j) for i in (0, 1, 50, 198) for j in (0, 1, 70, 255)} - inside
    assert outside
    for source in [*sorted(inside)[::50], "127.0.0.1", "127.9.255.254"]:
        assert ask_from(s, source, "x.").rcode() == dns.rcode.REFUSED, source
    for source in outside | {"127.0.0.2", "127.8.255.255", "127.10.0.0"} - inside:
        if not any(source.startswith(n[:-4]) for n in nets if n.endswith("0/24")):
            assert ask_from(s, source, "x.").rcode() == 0, source


# ---- any, minimal, header, nsid, bufsize, chaos ----

def test_any(start):
    s = start(block("any\nwhoami"))
    for tcp in (False, True):
        reply = s.ask("X.test.", "ANY", tcp=tcp, use_edns=0, payload=1232)
        assert records(reply.answer) == [("X.test.", 8482, "HINFO",
                                          '"ANY obsoleted" "See RFC 8482"')]
        assert flags(reply) == "QR RD" and not reply.additional and reply.payload == 1232
    assert s.ask("x.test.", "A").additional


def test_minimal(start, zone):
    s = start(block("minimal\nforward . %s" % zone.upstream) + block("minimal\nwhoami", "who.test"))
    for rdtype in ("A", "AAAA"):
        reply = s.ask("both.test.", rdtype)
        assert len(reply.answer) == 1 and not reply.authority and not reply.additional
    for name, rcode in (("both.test.", 0), ("nope.test.", dns.rcode.NXDOMAIN)):
        reply = s.ask(name, "MX")
        assert reply.rcode() == rcode and reply.authority[0].rdtype == dns.rdatatype.SOA
    reply = s.ask("who.test.", use_edns=0)
    assert reply.rcode() == 0 and reply.edns == 0 and not reply.additional
    assert s.ask("broken.test.").rcode() == dns.rcode.SERVFAIL


def referral(asked, _):
    made = dns.message.make_response(asked)
    made.authority.append(dns.rrset.from_text("test.", 60, "IN", "NS", "ns.test."))
    made.additional.append(dns.rrset.from_text("ns.test.", 60, "IN", "A", "192.0.2.1"))
    return [made.to_wire()]


def test_minimal_keeps_referrals(start):
    upstream = Upstream(referral)
    s = start(block("minimal\nforward . %s" % upstream))
    reply = s.ask("a.test.")
    assert reply.authority and reply.additional
    upstream.close()


def test_header(start, zone):
    s = start(block("header {\nresponse set ra aa\nresponse clear rd RA\n}\nwhoami") +
              block("header {\nquery clear rd\nquery set RA\n}\nforward . %s" % zone.upstream, "test") +
              block("header {\nquery set rd aa ra\nquery clear aa\n}\nforward . %s" % zone.upstream,
                    "four.test") +
              block("header {\nresponse set ra\n}\nerratic {\nlarge\n}", "fail.test"))
    assert flags(s.ask("x.")) == "QR AA" # the last line for a flag counts
    assert flags(s.ask("both.test.")) == "QR AA RA"
    assert flags(zone.last()) == "RA"
    plain = query("four.test.")
    plain.flags = 0
    assert flags(parse(s.udp(plain.to_wire()))) == "QR AA RD RA"
    assert flags(zone.last()) == "RD RA"
    assert flags(s.ask("x.fail.test.")) == "QR AA RD RA"
    assert flags(s.ask("x.fail.test.", "TXT")) == "QR RD" # written by the server itself


def test_nsid(start, zone):
    s = start(block("nsid gv server\nwhoami") + block("nsid\nforward . %s" % zone.upstream, "test") +
              block("nsid x\nerratic {\nlarge\n}", "fail.test") +
              block("nsid y\nacl {\nblock\n}", "acl.test"))
    asked = [option(NSID), option(COOKIE, b"12345678")]
    reply = s.ask("x.", use_edns=0, payload=1232, options=asked)
    assert options(reply) == {NSID: b"gv server", COOKIE: b"12345678"} and reply.payload == 1232
    assert reply.ednsflags == dns.flags.DO
    assert options(s.ask("x.", use_edns=0, options=[option(NSID, b"\1\2")])) == {NSID: b"gv server"}
    assert options(s.ask("x.", use_edns=0, options=asked[1:])) == {COOKIE: b"12345678"}
    assert s.ask("x.").edns == -1
    host = socket.gethostname().encode()
    assert options(s.ask("both.test.", use_edns=0, options=asked[:1])) == {NSID: host}
    failed = s.ask("x.fail.test.", "TXT", use_edns=0, options=asked[:1])
    assert failed.rcode() == dns.rcode.SERVFAIL and options(failed) == {NSID: b""}
    refused = s.ask("acl.test.", use_edns=0, options=asked[:1])
    assert options(refused) == {NSID: b"y", EDE: b"\0\x0f"}


def test_bufsize(start, zone):
    s = start(block("bufsize 600\nforward . %s" % zone.upstream) +
              block("bufsize\nforward . %s" % zone.upstream, "both.test"))
    cookie = [option(COOKIE, b"12345678"), option(65001, b"x")]
    reply = s.ask("many.test.", use_edns=0, payload=4096, options=cookie)
    assert zone.last().payload == 600 and zone.last().options == tuple(cookie)
    assert reply.payload == 600 and reply.flags & dns.flags.TC
    assert len(s.udp(query("many.test.", use_edns=0, payload=4096).to_wire())) <= 600
    assert s.ask("four.test.", use_edns=0, payload=512).payload == 512
    assert zone.last().payload == 512
    assert s.ask("four.test.").edns == -1 and zone.last().edns == -1
    tcp = s.ask("many.test.", tcp=True, use_edns=0, payload=4096)
    assert len(tcp.answer) == 60 and tcp.payload == 600
    assert s.ask("both.test.", use_edns=0, payload=4096).payload == 1232
    two = header(ar=2) + question("four.test.") + opt(700) + opt(4000, options=[(COOKIE, b"12345678")])
    assert parse(s.udp(two)).payload == 600 # of two OPT records the last one counts


CHAOS = (("version.bind.", ["demo 1.0"]), ("VERSION.server.", ["demo 1.0"]),
         ("authors.bind.", ["Ann Example", "Bob Example"]),
         ("hostname.bind.", [socket.gethostname()]), ("id.server.", [socket.gethostname()]))


def ask_chaos(server, name, rdtype="TXT"):
    wire = header() + question(name, dns.rdatatype.from_text(rdtype), 3)
    return dns.message.from_wire(server.udp(wire), one_rr_per_rrset=True)


def test_chaos(start):
    s = start("bind:@PORT@ server:@PORT@ {\nbind 127.0.0.1\nchaos \"demo 1.0\" \"Ann Example\" "
              "\"Bob Example\"\nany\n}\n" + block("chaos\nlocal", "other.server") +
              block("whoami", "none.test"))
    for name, texts in CHAOS:
        reply = ask_chaos(s, name)
        assert [r[0].strings[0].decode() for r in reply.answer] == texts
        assert flags(reply) == "QR RD"
        assert {(r.name.to_text(), r.rdclass, r.ttl) for r in reply.answer} == {(name, 3, 0)}
    for name in ("other.bind.", "bind.", "x.version.bind."):
        assert ask_chaos(s, name).rcode() == dns.rcode.SERVFAIL
    assert ask_chaos(s, "version.bind.", "A").rcode() == dns.rcode.SERVFAIL
    assert s.ask("version.bind.", "TXT").rcode() == dns.rcode.SERVFAIL


def test_chaos_defaults(start):
    long = "x" * 300
    s = start("bind:@PORT@ {\nbind 127.0.0.1\nchaos\n}\n" +
              "bind:@PORT2@ {\nbind 127.0.0.1\nchaos %s\n}\n" % long)
    version = ask_chaos(s, "version.bind.").answer[0][0].strings[0].decode()
    assert re.fullmatch(r"signpost-\d+\.\d+\.\d+", version)
    assert len(ask_chaos(s, "authors.bind.").answer) == 1
    wire = header() + question("version.bind.", 16, 3)
    reply = dns.message.from_wire(s.udp(wire, s.numbered(2)))
    assert reply.answer[0][0].strings == (b"x" * 255,)


# ---- local ----

SOA = "localhost. root.localhost. 1 0 0 0 604800"
WEEK = 604800


@pytest.fixture(scope="module")
def local(signpost, tmp_path_factory):
    corefile = ("prometheus 127.0.0.1:@PORT2@\nlocal\nwhoami", "local {\nlocalhost_prefix off\n}\nwhoami")
    corefile = block(corefile[0]) + block(corefile[1], "off.test")
    with Server(signpost, tmp_path_factory.mktemp("local"), corefile, "-workers", "1") as s:
        yield s


@pytest.mark.parametrize("name, rdtype, owner, expected", [
    ("localhost.", "A", "answer", "A 127.0.0.1"), ("localhost.", "AAAA", "answer", "AAAA ::1"),
    ("LocalHost.", "A", "answer", "A 127.0.0.1"), ("localhost.", "SOA", "answer", "SOA " + SOA),
    ("localhost.", "NS", "answer", "NS localhost."), ("localhost.", "MX", "localhost.", "SOA " + SOA),
    ("localhost.", "ANY", "localhost.", "SOA " + SOA), ("x.y.localhost.", "A", "answer", "A 127.0.0.1"),
    ("x.localhost.", "AAAA", "answer", "AAAA ::1"), ("X.localhost.", "MX", "X.localhost.", "SOA " + SOA),
    ("localhost.corp.test.", "A", "answer", "A 127.0.0.1"),
    ("Localhost.corp.test.", "TXT", "Localhost.corp.test.", "SOA " + SOA),
    ("127.in-addr.arpa.", "SOA", "answer", "SOA " + SOA),
    ("0.in-addr.arpa.", "NS", "answer", "NS localhost."),
    ("127.in-addr.arpa.", "A", "127.in-addr.arpa.", "SOA " + SOA),
    ("1.0.0.127.in-addr.arpa.", "PTR", "answer", "PTR localhost."),
    ("1.0.0.127.in-addr.arpa.", "A", "127.in-addr.arpa.", "SOA " + SOA),
    ("2.0.0.127.in-addr.arpa.", "PTR", "127.in-addr.arpa.", "NXDOMAIN SOA " + SOA),
    ("1.0.0.0.in-addr.arpa.", "PTR", "0.in-addr.arpa.", "NXDOMAIN SOA " + SOA),
    ("255.255.255.255.in-addr.arpa.", "PTR", "255.in-addr.arpa.", "NXDOMAIN SOA " + SOA),
])
def test_local(local, name, rdtype, owner, expected):
    reply = local.ask(name, rdtype)
    rcode, expected = (3, expected[9:]) if expected.startswith("NXDOMAIN") else (0, expected)
    assert reply.rcode() == rcode and flags(reply) == "QR RD" and not reply.additional
    section, other = ((reply.answer, reply.authority) if owner == "answer"
                      else (reply.authority, reply.answer))
    owner = name if owner == "answer" else owner
    assert records(section) == [(owner, WEEK, *expected.split(" ", 1))] and not other


@pytest.mark.parametrize("name", ["localhost.off.test.", "x.localhost.corp.test.", "alocalhost.",
                                  "localhosts.corp.test.", "1.0.0.1.in-addr.arpa.", ".",
                                  "x127.in-addr.arpa.", "127.in-addr.arpa.corp."])
def test_not_local(local, name):
    assert local.ask(name).additional # whoami


def test_local_counts(local):
    name = "coredns_local_localhost_requests_total"
    before = metric(local, 2, name)[0]
    for asked in ("localhost.x.", "a.localhost.", "localhost.", "127.in-addr.arpa.", "x."):
        local.ask(asked)
    assert metric(local, 2, name) == [before + 2]


# ---- dns64 ----

def start_dns64(start, zone, text, more=""):
    return start(block("%s\ndns64 %s\nforward . %s" % (more, text, zone.upstream)))


ALLOW = "{\nallow_ipv4\n}"


def test_dns64(start, zone):
    s = start_dns64(start, zone, ALLOW, "prometheus 127.0.0.1:@PORT2@")
    made = [("four.test.", 100, "AAAA", "64:ff9b::c000:221"), ("four.test.", 100, "AAAA", "64:ff9b::c000:222")]
    for tcp in (False, True):
        reply = s.ask("four.test.", "AAAA", tcp=tcp, use_edns=0, payload=1232)
        assert records(reply.answer) == made and flags(reply) == "QR RD" and reply.payload == 1232
        assert reply.authority and reply.additional # those of the second look-up
    assert [r[0] for r in records(s.ask("FOUR.test.", "AAAA").answer)] == ["FOUR.test."] * 2
    assert records(s.ask("both.test.", "AAAA").answer) == [("both.test.", 300, "AAAA", "2001:db8::3")]
    assert records(s.ask("alias.test.", "AAAA").answer) == [
        ("alias.test.", 70, "CNAME", "four.test."), ("four.test.", 300, "AAAA", "64:ff9b::c000:221")]
    assert records(s.ask("short.test.", "AAAA").answer)[0][1] == 5
    assert s.ask("nope.test.", "AAAA").rcode() == dns.rcode.NXDOMAIN
    nothing = s.ask("txt.test.", "AAAA")
    assert nothing.rcode() == 0 and not nothing.answer and records(nothing.authority)[0][2] == "SOA"
    assert s.addresses("four.test.") == ["192.0.2.33", "192.0.2.34"]
    assert metric(s, 2, "coredns_dns64_requests_translated_total{.*}") == [6]


def test_dns64_when_a_look_up_fails(start, zone):
    s = start_dns64(start, zone, ALLOW)
    assert s.addresses("half.test.", "AAAA") == ["64:ff9b::c000:209"] # SERVFAIL counts as nothing
    kept = s.ask("broken.test.", "AAAA")
    assert kept.rcode() == 0 and records(kept.authority)[0][2] == "SOA"


def test_dns64_without_an_soa_record(start):
    with Zone({("long.test.", "A"): a("long.test.", "10.0.0.1", ttl=9000)}, soa_ttl=None) as zone:
        s = start_dns64(start, zone, ALLOW)
        assert records(s.ask("long.test.", "AAAA").answer) == [
            ("long.test.", 600, "AAAA", "64:ff9b::a00:1")]


@pytest.mark.parametrize("prefix, expected", [
    ("2001:db8:1122:3344::/32", "2001:db8:c000:221::"), ("2001:db8:f00::/40", "2001:db8:fc0:2:21::"),
    ("2001:db8:64::/48", "2001:db8:64:c000:2:2100::"),
    ("2001:db8:1122:3344::/56", "2001:db8:1122:33c0:0:221::"),
    ("2001:db8:1122:3344::/64", "2001:db8:1122:3344:c0:2:2100:0"),
    ("2001:db8:1122:3344::/96", "2001:db8:1122:3344::c000:221"),
])
def test_dns64_prefixes(start, zone, prefix, expected):
    s = start_dns64(start, zone, "{\nallow_ipv4\nprefix %s\n}" % prefix)
    assert dns.ipv6.inet_aton(records(s.ask("four.test.", "AAAA").answer)[0][3]) == \
        dns.ipv6.inet_aton(expected)


def test_dns64_translate_all(start, zone):
    s = start_dns64(start, zone, "{\nallow_ipv4\ntranslate_all\n}")
    assert s.addresses("both.test.", "AAAA") == ["64:ff9b::c000:203"]


def test_dns64_for_ipv6_clients_only(start, zone):
    s = start(".:@PORT@ {\ndns64 2001:db8:64::/96 {\nallow_ipv4\n}\nforward . %s\n}\n" % zone.upstream)
    assert "options behind a prefix have no effect" in s.log()
    assert s.addresses("four.test.", "AAAA") == []
    with socket.socket(socket.AF_INET6) as sock:
        try:
            sock.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6")
    reply = parse(s.udp(query("four.test.", "AAAA").to_wire(), host="::1"))
    assert records(reply.answer)[0][3] == "2001:db8:64::c000:221"


def test_dns64_without_waiting(start):
    """Both look-ups are answered at once."""
    s = start(block("dns64 {\nallow_ipv4\n}\nhosts {\n10.0.0.1 a.test\n2001:db8::1 six.test\n}"))
    assert records(s.ask("A.test.", "AAAA").answer) == [("A.test.", 600, "AAAA", "64:ff9b::a00:1")]
    assert s.addresses("six.test.", "AAAA") == ["2001:db8::1"]
    assert s.ask("b.test.", "AAAA").rcode() == dns.rcode.SERVFAIL


def test_dns64_hooks_further_out_see_the_translation(start, zone):
    """nsid stands outside of it, loadbalance and minimal inside."""
    s = start_dns64(start, zone, ALLOW, "nsid me\nminimal\nloadbalance\nlog\nerrors")
    reply = s.ask("four.test.", "AAAA", use_edns=0, options=[option(NSID)])
    assert options(reply) == {NSID: b"me"} and len(reply.answer) == 2 and not reply.authority
    assert len(re.findall(r'"AAAA IN four.test. .*" NOERROR', s.log())) == 1


def test_dns64_many_at_once(start):
    with Zone(TABLE, delay=0.2) as zone:
        s = start_dns64(start, zone, ALLOW)
        socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(50)]
        for i, sock in enumerate(socks):
            sock.settimeout(5)
            sock.connect(("127.0.0.1", s.port))
            sock.send(query("four.test.", "AAAA", ident=i).to_wire())
        for i, sock in enumerate(socks):
            reply = parse(sock.recv(4096))
            assert reply.id == i and len(reply.answer) == 2
            sock.close()


def test_dns64_while_the_server_ends(start):
    with Zone(TABLE, delay=0.3) as zone:
        s = start_dns64(start, zone, ALLOW)
        for stop_after in (0.1, 0.45): # in the first look-up, in the second
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.connect(("127.0.0.1", s.port))
                sock.send(query("four.test.", "AAAA").to_wire())
                time.sleep(stop_after)
            if stop_after > 0.4:
                assert s.stop() == 0


# ---- erratic ----

def outcomes(server, n, name="x.test."):
    """One letter a query: - dropped, T truncated, a answered, F failed; upper case D: late."""
    got = ""
    for _ in range(n):
        begin = time.monotonic()
        wire = server.udp(query(name).to_wire(), timeout=0.15)
        late = time.monotonic() - begin > 0.05
        if wire is None:
            got += "-"
            continue
        reply = parse(wire)
        got += ("D" if late else "F" if reply.rcode() else "T" if reply.flags & dns.flags.TC else "a")
    return got


@pytest.mark.parametrize("text, expected", [
    ("", "-a-a-a"), ("{\n}", "-a-a-a"), ("{\ndrop\n}", "-a-a-a"), ("{\ndrop 3\n}", "-aa-aa"),
    ("{\ndrop 0\n}", "aaaa"), ("{\ntruncate\n}", "TaTa"), ("{\ntruncate 3\n}", "TaaTaa"),
    ("{\ndelay 2 80ms\n}", "DaDa"), ("{\ndelay\n}", "DaDa"), ("{\ndrop 4\ntruncate 2\n}", "-aTa-aTa"),
])
def test_erratic(start, text, expected):
    assert outcomes(start(block("erratic " + text)), len(expected)) == expected


def test_erratic_answers(start):
    s = start(block("erratic {\nlarge\n}") + block("erratic {\ntruncate 1\n}", "cut.test"))
    reply = s.ask("X.test.", tcp=True)
    assert records(reply.answer) == [("X.test.", 0, "A", "192.0.2.53")] * 30
    assert flags(reply) == "QR AA RD"
    assert s.addresses("x.test.", "AAAA") == ["2001:db8::53"]
    for rdtype in ("TXT", "SOA"):
        reply = s.ask("x.test.", rdtype)
        assert reply.rcode() == dns.rcode.SERVFAIL and flags(reply) == "QR RD"
    zone = [r[2] for r in records(s.ask("x.test.", "AXFR", tcp=True).answer)]
    assert zone == ["SOA", "NS", "AAAA", "NS", "AAAA", "SOA"]
    zone = [r[2] for r in records(s.ask("cut.test.", "AXFR", tcp=True).answer)]
    assert zone == ["SOA", "NS", "AAAA", "NS", "AAAA"]
    longest = ".".join(["a" * 63] * 3 + ["a" * 61]) + "."
    assert s.ask(longest, "AXFR", tcp=True).rcode() == 0


def test_erratic_delays_many(start):
    """In order, each in its time, UDP and TCP; what is held back at the end is let go of."""
    s = start(block("erratic {\ndelay 1 300ms\n}"))
    with Connection(s.port) as c:
        begin = time.monotonic()
        c.send(*(query("x.test.", ident=i).to_wire() for i in range(100)))
        assert [parse(c.receive()).id for _ in range(100)] == list(range(100))
        assert 0.29 < time.monotonic() - begin < 2
        c.send(query("x.test.", "TXT").to_wire())
        assert parse(c.receive()).rcode() == dns.rcode.SERVFAIL
        c.send(*(query("x.test.", ident=i).to_wire() for i in range(100)))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(query("x.test.").to_wire(), ("127.0.0.1", s.port))
            time.sleep(0.1)
        assert s.stop() == 0


def test_erratic_is_ready_for_a_while(start):
    s = start(block("ready 127.0.0.1:@PORT2@ {\nmonitor continuously\n}\nerratic {\ndrop 0\n}"))
    states = []
    for _ in range(7):
        states.append(http_get(s.numbered(2), "/ready")[0])
        s.ask("x.test.")
    assert states == [503, 503, 503, 200, 200, 503, 503]


# ---- cancel ----

def test_cancel(start):
    with Zone(TABLE, delay=1.5) as zone:
        s = start(block("errors\ncancel 300ms\nforward . %s" % zone.upstream) +
                  block("cancel\nforward . %s" % zone.upstream, "four.test"))
        begin = time.monotonic()
        assert s.ask("both.test.").rcode() == dns.rcode.SERVFAIL
        assert 0.28 < time.monotonic() - begin < 1
        s.wait_log("plugin/errors: 2 both.test. A: ")
        assert s.addresses("four.test.") == ["192.0.2.33", "192.0.2.34"]
        assert time.monotonic() - begin > 1.5


def test_cancel_counts_for_look_ups(start):
    """Each takes 0.2 s, both together more than there is."""
    with Zone(TABLE, delay=0.2) as zone:
        s = start(block("cancel 300ms\ndns64 {\nallow_ipv4\n}\nforward . %s" % zone.upstream))
        begin = time.monotonic()
        reply = s.ask("four.test.", "AAAA")
        assert reply.rcode() == 0 and not reply.answer and time.monotonic() - begin < 0.4
        assert s.addresses("both.test.", "AAAA") == ["2001:db8::3"]


# ---- loop, debug ----

def loop_line(s):
    return r'\[FATAL\] plugin/loop: Loop \(127\.0\.0\.1:\d+ -> %s:%d\) detected for zone "(\S+)", ' \
        r'see docs/plugins/loop\.md\. Query: "HINFO (\d+\.\d+\.\S*)"' % ("127.0.0.1", s.port)


@pytest.mark.parametrize("key", [".", "example.org"])
def test_loop(signpost, tmp_path, key):
    """Straight back to itself."""
    port = free_port()
    s = Server(signpost, tmp_path, block("loop\nforward . 127.0.0.1:%d" % port, key), ports=[port],
               wait=False)
    assert s.process.wait(10) == 1
    zone, name = re.search(loop_line(s), s.log()).groups()
    assert zone == (key + ".").replace("..", ".") and name.endswith("." + zone[zone == ".":])


def test_loop_by_way_of_another(signpost, tmp_path):
    port = free_port()
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    other = block("forward . 127.0.0.1:%d" % port)
    with Server(signpost, tmp_path / "a", other) as relay:
        corefile = ".:@PORT@ {\nloop\nforward . 127.0.0.1:%d\n}\n" % relay.port
        s = Server(signpost, tmp_path / "b", corefile, ports=[port], wait=False)
        assert s.process.wait(10) == 1
        assert re.search(r"Loop \(127.0.0.1:\d+ -> :%d\) detected for zone \"\.\"" % port, s.log())


def test_no_loop(start, zone):
    """The probe passes once; others' HINFO queries mean nothing; in the end it looks no more."""
    s = start(block("debug\nloop\nforward . %s" % zone.upstream))
    s.wait_log('[DEBUG] plugin/loop: probe for zone "." sent')
    for _ in range(5):
        s.ask("x.test.", "HINFO")
    s.wait_log("[DEBUG] plugin/loop: no more looked for", 5)
    probes = [q.question[0].name.to_text() for q, _ in zone.upstream.queries
              if re.fullmatch(r"\d+\.\d+\.", q.question[0].name.to_text())]
    assert 1 <= len(probes) <= 3
    for _ in range(5):
        s.ask(probes[-1], "HINFO")
    assert s.addresses("both.test.") == ["192.0.2.3"]


def test_loop_again_after_a_reload(start, zone):
    """Of the new configuration's own accord, while the old one's end is near."""
    s = start(block("debug\nloop\nforward . %s" % zone.upstream))
    s.wait_log("probe for zone")
    s.path.write_text(s.path.read_text().replace("debug\n", "debug\nlog\n"))
    s.process.send_signal(10) # SIGUSR1
    s.wait_log("Reloading complete", 5)
    end = time.monotonic() + 5
    while s.log().count("probe for zone") < 2:
        assert time.monotonic() < end
        time.sleep(0.05)
    time.sleep(0.5)
    assert s.addresses("both.test.") == ["192.0.2.3"]


def test_without_debug(start, zone):
    s = start(block("loop\nforward . %s" % zone.upstream))
    time.sleep(0.5)
    assert "DEBUG" not in s.log()


def test_debug_ends_with_a_reload(start, zone):
    s = start(block("debug\nloop\nforward . %s" % zone.upstream) + block("debug\nwhoami", "who.test"))
    s.wait_log("DEBUG")
    s.path.write_text(s.path.read_text().replace("debug\n", ""))
    s.process.send_signal(10)
    s.wait_log("Reloading complete", 5)
    time.sleep(0.5) # the old configuration ends within that
    length = len(s.log())
    time.sleep(0.5)
    assert "DEBUG" not in s.log()[length:]


# ---- root ----

def test_root_warns(start, tmp_path):
    s = start(block("root %s/none\nwhoami" % tmp_path))
    assert "[WARNING] plugin/root: Root path does not exist: %s/none" % tmp_path in s.log()


# ---- refused Corefiles ----

REFUSED = [
    ("acl x..y {\nblock\n}", 3, "x..y"), ("acl {\npermit net *\n}", 4, '"permit"'),
    ("acl {\nblock net 1.2.3\n}", 4, 'illegal CIDR notation "1.2.3"'),
    ("acl {\nblock net 10.0.0.0/33\n}", 4, '"10.0.0.0/33"'),
    ("acl {\nblock type BANANA\n}", 4, 'unexpected token "BANANA"; expect legal QTYPE'),
    ("acl {\nblock banana\n}", 4, 'unexpected token "banana"'),
    ("acl {\nblock type\n}", 4, 'no token specified in "type" section'),
    ("acl {\nblock type net *\n}", 4, 'no token specified in "type" section'),
    ("acl {\nblock net * type\n}", 4, 'no token specified in "type" section'),
    ("any x", 3, "after 'x'"), ("any {\n}", 3, "Unexpected token '{'"),
    ("bufsize 100", 3, "100"), ("bufsize 4097", 3, "4097"), ("bufsize x", 3, "x"),
    ("bufsize 512 1", 3, "after '1'"), ("bufsize {\n}", 3, "'{'"),
    ("bufsize 600\nbufsize 700", 4, "only be used once"),
    ("cancel 5", 3, '"5"'), ("cancel x", 3, '"x"'), ("cancel -1s", 3, '"-1s"'),
    ("cancel 0s", 3, '"0s"'), ("cancel 1s 2s", 3, "after '2s'"),
    ("chaos {\n}", 3, "'{'"), ("debug x", 3, "after 'x'"),
    ("dns64 x", 3, "x"), ("dns64 64:ff9b::/97", 3, "64:ff9b::/97"), ("dns64 10.0.0.0/8", 3, "10.0.0.0/8"),
    ("dns64 64:ff9b::/96 b", 3, "after 'b'"), ("dns64 {\nprefix\n}", 4, "after 'prefix'"),
    ("dns64 {\nprefix ::/96 x\n}", 4, "after 'x'"), ("dns64 {\nprefix ::/33\n}", 4, "::/33"),
    ("dns64 {\nallow_ipv4 x\n}", 4, "after 'x'"), ("dns64 {\nfoo\n}", 4, "unknown property 'foo'"),
    ("dns64 64:ff9b::/96 {\nfoo\n}", 4, "unknown property 'foo'"),
    ("erratic x", 3, "after 'x'"), ("erratic {\ndrop x\n}", 4, '"x"'), ("erratic {\ndrop -1\n}", 4, '"-1"'),
    ("erratic {\ndrop 1 2\n}", 4, "after '2'"), ("erratic {\ndelay 1 2\n}", 4, '"2"'),
    ("erratic {\ndelay 1 2s 3\n}", 4, "after '3'"), ("erratic {\nlarge 1\n}", 4, "after '1'"),
    ("erratic {\nfoo\n}", 4, "unknown property 'foo'"),
    ("header", 3, "after 'header'"), ("header x", 3, "after 'x'"), ("header {\n}", 4, "after '}'"),
    ("header {\nquery\n}", 4, "after 'query'"), ("header {\nresponse set\n}", 4, "after 'set'"),
    ("header {\nresponse add aa\n}", 4, "action=add"), ("header {\nresponse set zz\n}", 4, "flag=zz"),
    ("header {\nclear aa\n}", 4, "selector=clear"),
    ("local x", 3, "after 'x'"), ("local {\nlocalhost_prefix\n}", 4, "after 'localhost_prefix'"),
    ("local {\nlocalhost_prefix maybe\n}", 4, '"maybe"'), ("local {\nfoo\n}", 4, "unknown property 'foo'"),
    ("local {\nlocalhost_prefix on off\n}", 4, "after 'off'"),
    ("loop x", 3, "after 'x'"), ("loop {\n}", 3, "'{'"), ("loop\nloop", 4, "only be used once"),
    ("minimal x", 3, "after 'x'"), ("minimal {\n}", 3, "'{'"), ("minimal\nminimal x", 4, "after 'x'"),
    ("nsid a\nnsid b", 4, "only be used once"), ("nsid %s" % ("x" * 513), 3, "longer than 512"),
    ("root", 3, "after 'root'"), ("root / x", 3, "after 'x'"), ("root /etc/passwd", 3, "not a folder"),
]


@pytest.mark.parametrize("text, line, words", REFUSED)
def test_refused(signpost, tmp_path, text, line, words):
    code, output = run_until_end(signpost, tmp_path,
                                 block(text + "\nwhoami").replace("@PORT@", str(free_port())))
    name = text.split()[0]
    assert code == 1
    assert "plugin/%s: Corefile:%d - Error during parsing: " % (name, line) in output, output
    assert words in output.split("Error during parsing: ")[1], output


def test_repeats_that_mean_something(start):
    s = start(block("any\nany\nminimal\nminimal\ndebug\ndebug\nheader {\nresponse set ra\n}\n"
                    "header {\nresponse clear aa\n}\nacl {\nblock type MX\n}\nacl {\nblock type TXT\n}\n"
                    "whoami"))
    assert flags(s.ask("x.")) == "QR RD RA"
    assert {s.ask("x.", t).rcode() for t in ("MX", "TXT")} == {dns.rcode.REFUSED}


# ---- pages ----

def example(name):
    """The Corefile of a page: the indented lines behind "Example"."""
    page = (ROOT / "docs" / "plugins" / (name + ".md")).read_text(encoding="utf-8")
    text = re.search(r"^Example.*?\n\n((?:    .*\n|\n)+)", page, re.MULTILINE)[1].rstrip() + "\n"
    lines = [line[4:] for line in text.split("\n")]
    keys = lines[0].split()
    assert keys[-1] == "{"
    return " ".join(k + ":@PORT@" for k in keys[:-1]) + " {\n    bind 127.0.0.1\n" + "\n".join(lines[1:])


def check_example(name, s):
    ask = s.ask
    return {
        "acl": lambda: ask("example.org.").additional and not ask("example.org.", "TXT").additional,
        "any": lambda: ask("example.org.", "ANY").answer[0].ttl == 8482,
        "bufsize": lambda: ask("many.test.", use_edns=0, payload=4000).payload == 1232,
        "cancel": lambda: s.addresses("both.test.") == ["192.0.2.3"],
        "chaos": lambda: all([r[0].strings[0].decode() for r in ask_chaos(s, n).answer] == texts
                             for n, texts in CHAOS),
        "debug": lambda: s.wait_log("[DEBUG] plugin/loop: probe") is None,
        "dns64": lambda: (s.addresses("four.example.org.", "AAAA") == ["2001:db8:64::a00:1"] and
                          s.addresses("six.example.org.", "AAAA") == ["2001:db8::6"]),
        "erratic": lambda: outcomes(s, 6, "example.org.") == "-aa-aa",
        "header": lambda: flags(ask("example.org.")) == "QR RD RA",
        "local": lambda: (s.addresses("localhost.corp.example.") == ["127.0.0.1"] and
                          s.addresses("both.test.") == ["192.0.2.3"]),
        "loop": lambda: s.addresses("both.test.") == ["192.0.2.3"],
        "minimal": lambda: not ask("example.org.").additional,
        "nsid": lambda: options(ask("example.org.", use_edns=0, options=[option(NSID)])) ==
        {NSID: b"rack 7"},
        "root": lambda: s.addresses("a.example.org.") == ["10.0.0.1"],
    }[name]()


@pytest.mark.parametrize("name", NAMES)
def test_example(start, zone, tmp_path, name):
    corefile = example(name)
    assert re.search(r"^\s+%s\b" % name, corefile, re.MULTILINE), "the page shows something else"
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "table").write_text("10.0.0.1 a.example.org\n")
    corefile = corefile.replace("192.0.2.53", str(zone.upstream))
    corefile = corefile.replace("/etc/signpost", str(tmp_path / "folder"))
    s = start(corefile)
    assert check_example(name, s)
