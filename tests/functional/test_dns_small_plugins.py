"""The small plugins but for dns64 and erratic."""
import re
import socket
import time

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from dns_world import (Server, free_port, header, opt, parse, query, question, records)
from forward_world import Upstream
from small_world import (CHAOS, COOKIE, EDE, NSID, TABLE, Zone, ask_chaos, block, flags, metric,
                         option, options, start, zone)  # noqa: F401

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
    forward = "forward . %s" % zone.upstream
    s = start(block("header {\nresponse set ra aa\nresponse clear rd RA\n}\nwhoami") +
              block("header {\nquery clear rd\nquery set RA\n}\n" + forward, "test") +
              block("header {\nquery set rd aa ra\nquery clear aa\n}\n" + forward, "four.test") +
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
    s = start(block("nsid gv server\nwhoami") +
              block("nsid\nforward . %s" % zone.upstream, "test") +
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
              block("bufsize\nforward . %s" % zone.upstream, "both.test") +
              block("bufsize 600\nwhoami", "who.test"))
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
    two = header(ar=2) + question("who.test.") + opt(700) + opt(4000, options=[(COOKIE, bytes(8))])
    assert parse(s.udp(two)).payload == 600 # of two OPT records the last one counts


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
    corefile = (block("prometheus 127.0.0.1:@PORT2@\nlocal\nwhoami") +
                block("local {\nlocalhost_prefix off\n}\nwhoami", "off.test"))
    with Server(signpost, tmp_path_factory.mktemp("local"), corefile, "-workers", "1") as s:
        yield s


@pytest.mark.parametrize("name, rdtype, owner, expected", [
    ("localhost.", "A", "answer", "A 127.0.0.1"), ("localhost.", "AAAA", "answer", "AAAA ::1"),
    ("LocalHost.", "A", "answer", "A 127.0.0.1"), ("localhost.", "SOA", "answer", "SOA " + SOA),
    ("localhost.", "NS", "answer", "NS localhost."),
    ("localhost.", "MX", "localhost.", "SOA " + SOA),
    ("localhost.", "ANY", "localhost.", "SOA " + SOA),
    ("x.y.localhost.", "A", "answer", "A 127.0.0.1"),
    ("x.localhost.", "AAAA", "answer", "AAAA ::1"),
    ("X.localhost.", "MX", "X.localhost.", "SOA " + SOA),
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
    return r'\[FATAL\] plugin/loop: Loop \(127\.0\.0\.1:\d+ -> %s:%d\) detected for zone ' \
        r'"(\S+)", see docs/plugins/loop\.md\. Query: "HINFO (\d+\.\d+\.\S*)"' % \
        ("127.0.0.1", s.port)


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


def test_loop_again_after_a_reload(start):
    """Of the new configuration's own accord, while the old one's end is near."""
    s = start(block("debug\nloop\nwhoami"))
    s.wait_log("probe for zone")
    s.path.write_text(s.path.read_text().replace("debug\n", "debug\nlog\n"))
    s.process.send_signal(10) # SIGUSR1
    s.wait_log("Reloading complete", 5)
    end = time.monotonic() + 5
    while s.log().count("probe for zone") < 2:
        assert time.monotonic() < end
        time.sleep(0.05)
    time.sleep(0.5)
    assert s.ask("x.").additional


def test_without_debug(start):
    s = start(block("loop\nwhoami"))
    time.sleep(0.5)
    assert "DEBUG" not in s.log()


def test_debug_ends_with_a_reload(start):
    s = start(block("debug\nloop\nwhoami") + block("debug\nwhoami", "who.test"))
    s.wait_log("DEBUG")
    s.path.write_text(s.path.read_text().replace("debug\n", ""))
    s.process.send_signal(10)
    s.wait_log("Reloading complete", 5)
    time.sleep(2.6) # by then the new configuration's loop would have told of its end
    assert "no more looked for" not in s.log()


# ---- root ----

def test_root_warns(start, tmp_path):
    s = start(block("root %s/none\nwhoami" % tmp_path))
    assert "[WARNING] plugin/root: Root path does not exist: %s/none" % tmp_path in s.log()
