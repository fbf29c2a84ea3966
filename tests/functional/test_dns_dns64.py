"""dns64, whose second look-up may have to wait, and erratic, which makes queries wait."""
import re
import socket
import time

import dns.ipv6
import dns.rcode
import pytest

from dns_world import Connection, http_get, parse, query, records
from small_world import (NSID, TABLE, Zone, a, block, flags, metric, option, options, outcomes,
                         start, zone)  # noqa: F401

# ---- dns64 ----

def start_dns64(start, zone, text, more=""):
    return start(block("%s\ndns64 %s\nforward . %s" % (more, text, zone.upstream)))


ALLOW = "{\nallow_ipv4\n}"


def test_dns64(start, zone):
    s = start_dns64(start, zone, ALLOW, "prometheus 127.0.0.1:@PORT2@")
    made = [("four.test.", 100, "AAAA", "64:ff9b::c000:22%d" % i) for i in (1, 2)]
    for tcp in (False, True):
        reply = s.ask("four.test.", "AAAA", tcp=tcp, use_edns=0, payload=1232)
        assert sorted(records(reply.answer)) == made and flags(reply) == "QR RD"
        assert reply.payload == 1232 and reply.authority and reply.additional
    assert [r[0] for r in records(s.ask("FOUR.test.", "AAAA").answer)] == ["FOUR.test."] * 2
    assert records(s.ask("both.test.", "AAAA").answer) == [
        ("both.test.", 300, "AAAA", "2001:db8::3")]
    assert records(s.ask("alias.test.", "AAAA").answer) == [
        ("alias.test.", 70, "CNAME", "four.test."),
        ("four.test.", 300, "AAAA", "64:ff9b::c000:221")]
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
    ("2001:db8:1122:3344::/32", "2001:db8:c000:221::"),
    ("2001:db8:f00::/40", "2001:db8:fc0:2:21::"),
    ("2001:db8:64::/48", "2001:db8:64:c000:2:2100::"),
    ("2001:db8:1122:3344::/56", "2001:db8:1122:33c0:0:221::"),
    ("2001:db8:1122:3344::/64", "2001:db8:1122:3344:c0:2:2100:0"),
    ("2001:db8:1122:3344::/96", "2001:db8:1122:3344::c000:221"),
])
def test_dns64_prefixes(start, zone, prefix, expected):
    s = start_dns64(start, zone, "{\nallow_ipv4\nprefix %s\n}" % prefix)
    made = [dns.ipv6.inet_aton(r[3]) for r in records(s.ask("four.test.", "AAAA").answer)]
    assert len(made) == 2 and dns.ipv6.inet_aton(expected) in made


def test_dns64_translate_all(start, zone):
    s = start_dns64(start, zone, "{\nallow_ipv4\ntranslate_all\n}")
    assert s.addresses("both.test.", "AAAA") == ["64:ff9b::c000:203"]


def test_dns64_for_ipv6_clients_only(start, zone):
    s = start(".:@PORT@ {\ndns64 2001:db8:64::/96 {\nallow_ipv4\n}\nforward . %s\n}\n" %
              zone.upstream)
    assert "options behind a prefix have no effect" in s.log()
    assert s.addresses("four.test.", "AAAA") == []
    with socket.socket(socket.AF_INET6) as sock:
        try:
            sock.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6")
    reply = parse(s.udp(query("four.test.", "AAAA").to_wire(), host="::1"))
    assert "2001:db8:64::c000:221" in [r[3] for r in records(reply.answer)]


def test_dns64_without_waiting(start):
    """Both look-ups are answered at once."""
    s = start(block("dns64 {\nallow_ipv4\n}\nhosts {\n10.0.0.1 a.test\n2001:db8::1 six.test\n}"))
    assert records(s.ask("A.test.", "AAAA").answer) == [("a.test.", 600, "AAAA", "64:ff9b::a00:1")]
    assert s.addresses("six.test.", "AAAA") == ["2001:db8::1"]
    assert s.ask("b.test.", "AAAA").rcode() == dns.rcode.SERVFAIL


def test_dns64_hooks_further_out_see_the_translation(start, zone):
    """nsid stands outside of it, loadbalance and minimal inside."""
    s = start_dns64(start, zone, ALLOW, "nsid me\nminimal\nloadbalance\nlog\nerrors")
    reply = s.ask("four.test.", "AAAA", use_edns=0, options=[option(NSID)])
    assert options(reply) == {NSID: b"me"} and len(reply.answer) == 2 and not reply.authority
    s.wait_log("AAAA IN four.test.")
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

@pytest.mark.parametrize("text, expected", [
    ("", "-a-a-a"), ("{\n}", "-a-a-a"), ("{\ndrop\n}", "-a-a-a"), ("{\ndrop 3\n}", "-aa-aa"),
    ("{\ndrop 0\n}", "aaaa"), ("{\ntruncate\n}", "TaTa"), ("{\ntruncate 3\n}", "TaaTaa"),
    ("{\ndrop 4\ntruncate 2\n}", "-aTa-aTa"),
])
def test_erratic(start, text, expected):
    assert outcomes(start(block("erratic " + text)), len(expected)) == expected


@pytest.mark.parametrize("text, every, seconds", [("delay", 2, 0.1), ("delay 3 400ms", 3, 0.4)])
def test_erratic_delays(start, text, every, seconds):
    s = start(block("erratic {\n%s\n}" % text))
    took = []
    for _ in range(2 * every):
        begin = time.monotonic()
        assert s.addresses("x.test.") == ["192.0.2.53"]
        took.append(time.monotonic() - begin)
    assert all(took[i] >= seconds for i in (0, every)), took
    assert min(took) < seconds / 2, took


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
