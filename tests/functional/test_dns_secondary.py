"""`secondary`: transfers from primaries of all manners, SOA timers, NOTIFY, catalogs."""
import contextlib
import threading
import time

import dns.flags
import dns.message
import dns.opcode
import dns.query
import dns.rcode
import dns.zone
import pytest

from dns_world import Server, free_port, http_get, parse, run_until_end
from primary import Primary, Zone, soa
from test_dns_small_pages import example

BLOCK = """.:@PORT@ {
    bind 127.0.0.1
    secondary %s {
        transfer from %s
        %s
    }
    %s
}
"""
SERVED = ["192.0.2.1"]
DEAD = "127.0.0.1:1"


def zone(origin="z.test.", *lines, **more):
    return Zone(origin, ["%s 60 IN NS ns.%s" % (origin, origin),
                         "ns.%s 60 IN A 192.0.2.1" % origin, *lines], **more)


@pytest.fixture
def start(signpost, tmp_path):
    with contextlib.ExitStack() as stack:
        yield lambda corefile, **more: stack.enter_context(
            Server(signpost, tmp_path, corefile, **more))


def notify(server, name, source=None):
    message = dns.message.make_query(name, "SOA")
    message.flags = dns.flags.AA
    message.set_opcode(dns.opcode.NOTIFY)
    message.answer.append(dns.rrset.from_text(*soa(name, 9).split(None, 4)[:2], "IN", "SOA",
                                              soa(name, 9).split(None, 4)[4]))
    return dns.query.udp(message, "127.0.0.1", port=server.port, timeout=5, source=source)


def wait_metric(port, line, seconds=5.0):
    end = time.monotonic() + seconds
    while line not in (text := http_get(port, "/metrics")[1]):
        assert time.monotonic() < end, text
        time.sleep(0.05)


def test_serves_as_file_does(start):
    with Primary(zone("z.test.", "*.wild.z.test. 60 IN TXT w", "c.z.test. 60 IN CNAME ns.z.test.",
                      "sub.z.test. 60 IN NS ns.sub.z.test.", "Big.Z.test. 60 IN A 192.0.2.2",
                      "elsewhere. 60 IN A 192.0.2.3")) as primary:
        server = start(BLOCK % ("z.test", primary.address, "", ""))
        server.until("ns.z.test", SERVED, 5)
        assert server.addresses("c.z.test") == ["192.0.2.1", "ns.z.test."]
        assert server.addresses("a.wild.z.test", rdtype="TXT") == ['"w"']
        assert server.addresses("big.z.test") == ["192.0.2.2"]
        assert server.addresses("nothing.z.test") == "NXDOMAIN"
        reply = server.ask("x.sub.z.test")
        assert not reply.flags & dns.flags.AA and len(reply.authority) == 1
        assert server.ask("ns.z.test").flags & dns.flags.AA
        assert server.addresses("ns.other.test") == "REFUSED"
        server.wait_log("1 records of zone z.test. lie outside")


def test_many_messages_and_records(start):
    lines = ["h%d.z.test. 60 IN A 10.0.%d.%d" % (i, i // 256, i % 256) for i in range(3000)]
    with Primary(zone("z.test.", *lines), per_message=40) as primary:
        server = start(BLOCK % ("z.test", primary.address, "", "transfer {\n to *\n }"))
        server.until("h2999.z.test", ["10.0.11.183"], 10)
        got = dns.zone.from_xfr(dns.query.xfr("127.0.0.1", "z.test.", port=server.port,
                                              relativize=False, timeout=10), relativize=False)
        assert len(list(got.iterate_rdatas("A"))) == 3001


BROKEN = {
    "refusing": "the answer is REFUSED", "closing_early": "closed the connection too early",
    "half_a_message": "closed the connection too early", "wrong_id": "another id",
    "wrong_question": "another question", "no_first_soa": "does not begin with the SOA",
    "no_last_soa": "closed the connection too early", "other_last_soa": "the zone changed",
}


def test_broken_transfers_are_refused_and_tried_again(start):
    names = {manner: "%s.test." % manner.replace("_", "-") for manner in BROKEN}
    zones = [zone(names[m], manner=m) for m in BROKEN]
    with Primary(*zones, zone("good.test."), per_message=1) as primary:
        server = start(BLOCK % (" ".join([*names.values(), "good.test"]), primary.address, "",
                                "prometheus 127.0.0.1:@PORT2@"))
        server.until("ns.good.test", SERVED, 5)
        for manner, why in BROKEN.items():
            server.wait_log("transfer of zone %s from %s failed: " % (
                names[manner], primary.address), 5)
            line = next(x for x in server.log().splitlines()
                        if "transfer of zone %s from" % names[manner] in x)
            assert why in line
            assert server.addresses("ns." + names[manner]) == "SERVFAIL"
            assert server.addresses(names[manner], rdtype="SOA") == "SERVFAIL"
        for each in zones:
            each.manner = "good"
        for name in names.values():
            server.until("ns." + name, SERVED, 10)
        assert 'signpost_secondary_failures_total{zone="wrong-id.test."}' in http_get(
            server.numbered(2), "/metrics")[1]


def test_slow_silent_and_endless_ones_disturb_nobody(start):
    lines = ["h%d.slow.test. 60 IN A 192.0.2.9" % i for i in range(120)]
    with Primary(zone("slow.test.", *lines, manner="slow"), zone("silent.test.", manner="silent"),
                 zone("endless.test.", manner="endless"), zone("good.test.")) as primary:
        server = start(BLOCK % ("slow.test silent.test endless.test good.test", primary.address, "",
                                ""))
        server.until("ns.good.test", SERVED, 5)
        slowest = 0.0
        end = time.monotonic() + 2
        while time.monotonic() < end:
            began = time.monotonic()
            assert server.addresses("ns.good.test") == SERVED
            assert server.addresses("ns.endless.test") == "SERVFAIL"
            slowest = max(slowest, time.monotonic() - began)
        assert slowest < 1
        server.until("h119.slow.test", ["192.0.2.9"], 20)
        server.wait_log("of zone silent.test. from %s failed: it does not answer" % primary.address,
                        10)


def test_first_primary_is_dead(start):
    with Primary(zone()) as primary:
        server = start(BLOCK % ("z.test", "%s %s" % (DEAD, primary.address), "", ""))
        server.until("ns.z.test", SERVED, 5)
        server.wait_log("from %s failed: connection refused" % DEAD)


def test_primary_that_comes_later(start):
    port = free_port()
    server = start(BLOCK % ("z.test", "127.0.0.1:%d" % port, "", ""))
    server.wait_log("retrying in 250 ms")
    assert server.addresses("ns.z.test") == "SERVFAIL"
    with Primary(zone(), port=port):
        server.until("ns.z.test", SERVED, 10)


def test_refresh_by_soa_timer(start):
    with Primary(zone(refresh=1, retry=1)) as primary:
        server = start(BLOCK % ("z.test", primary.address, "", ""))
        server.until("ns.z.test", SERVED, 5)
        primary["z.test."].lines[1] = "ns.z.test. 60 IN A 192.0.2.77"
        primary.wait_seen("z.test.", "SOA", 2)
        assert server.addresses("ns.z.test") == SERVED  # the serial is the same
        assert primary.count("z.test.", "AXFR") == 1
        primary["z.test."].serial = 2
        server.until("ns.z.test", ["192.0.2.77"], 10)


def test_serial_arithmetic(start):
    with Primary(zone(serial=0xfffffff0)) as primary:
        server = start(BLOCK % ("z.test", primary.address, "", ""))
        server.until("ns.z.test", SERVED, 5)
        primary["z.test."].lines[1] = "ns.z.test. 60 IN A 192.0.2.77"
        for number, (serial, transfers) in enumerate([(0xffffff00, 1), (5, 2), (4, 2)], 1):
            primary["z.test."].serial = serial
            notify(server, "z.test.")
            primary.wait_seen("z.test.", "SOA", number)
            primary.wait_seen("z.test.", "AXFR", transfers)
            if serial == 5:
                server.until("ns.z.test", ["192.0.2.77"], 5)
        assert primary.count("z.test.", "AXFR") == 2
        server.wait_log("has serial 4 at %s and 5 here: it stays as it is" % primary.address)


def test_transfer_with_an_older_serial_is_refused(start):
    """The SOA is asked of the first primary; the zone comes from the second, which lags."""
    with Primary(zone(serial=5)) as first, Primary(zone(serial=3)) as second:
        server = start(BLOCK % ("z.test", "%s %s" % (first.address, second.address), "", ""))
        server.until("ns.z.test", SERVED, 5)
        first["z.test."].serial = 6
        first["z.test."].manner = "closing_early"
        notify(server, "z.test.")
        server.wait_log("its serial 3 is older than ours, 5", 5)
        assert server.addresses("ns.z.test") == SERVED


def test_notify(start):
    with Primary(zone(), zone("y.test."), host="127.0.0.1") as primary:
        server = start(BLOCK % ("z.test y.test", primary.address, "", "prometheus 127.0.0.1:@PORT2@"))
        server.until("ns.z.test", SERVED, 5)
        server.until("ns.y.test", SERVED, 5)
        primary["z.test."].serial = 2
        primary["z.test."].lines[1] = "ns.z.test. 60 IN A 192.0.2.77"
        reply = notify(server, "z.test.")
        assert reply.opcode() == dns.opcode.NOTIFY and reply.rcode() == 0 and not reply.answer
        assert reply.flags & dns.flags.AA and reply.flags & dns.flags.QR
        server.until("ns.z.test", ["192.0.2.77"], 5)
        assert primary.count("y.test.", "SOA") == 0
        assert notify(server, "other.test.").rcode() == dns.rcode.REFUSED
        with pytest.raises(dns.exception.Timeout):
            message = dns.message.make_query("z.test.", "SOA")
            message.flags = 0
            message.set_opcode(dns.opcode.NOTIFY)
            dns.query.udp(message, "127.0.0.1", port=server.port, timeout=0.5, source="127.0.0.5")
        port = server.numbered(2)
        wait_metric(port, 'signpost_secondary_notifies_refused_total 1')
        wait_metric(port, 'signpost_secondary_transfers_total{zone="z.test."} 2')
        assert 'signpost_secondary_age_seconds{zone="y.test."}' in http_get(port, "/metrics")[1]


def test_storm_of_notifies_is_one_check_at_a_time(start):
    with Primary(zone()) as primary:
        server = start(BLOCK % ("z.test", primary.address, "", ""))
        server.until("ns.z.test", SERVED, 5)
        for _ in range(200):
            notify(server, "z.test.")
        assert server.addresses("ns.z.test") == SERVED
        assert primary.count("z.test.", "SOA") <= 200
        assert primary.count("z.test.", "AXFR") == 1


def test_expiry(start):
    with Primary(zone(refresh=1, retry=1, expire=3)) as primary:
        server = start(BLOCK % ("z.test", primary.address, "", "transfer {\n to *\n }"))
        server.until("ns.z.test", SERVED, 5)
        primary.up = False
        server.until("ns.z.test", "SERVFAIL", 15)
        server.wait_log("Zone z.test. is expired")
        wire = dns.message.make_query("z.test.", "AXFR").to_wire()
        assert parse(server.tcp(wire)).rcode() == dns.rcode.SERVFAIL
        primary.up = True  # with the serial that it had: the zone is current again
        server.until("ns.z.test", SERVED, 10)
        server.wait_log("Zone z.test. is served again")


def test_fallthrough(start):
    with Primary(zone()) as primary:
        server = start(BLOCK % ("z.test", primary.address, "fallthrough in.z.test", "whoami"))
        server.until("ns.z.test", SERVED, 5)
        assert len(server.ask("x.in.z.test").additional) == 2
        assert server.addresses("x.z.test") == "NXDOMAIN"


def test_signpost_as_primary(signpost, start, tmp_path):
    """`file` with `transfer` tells the secondary, which fetches."""
    primary_port, port = free_port(), free_port()
    (tmp_path / "primary").mkdir()
    db = tmp_path / "primary" / "db"
    head = "$TTL 60\n@ SOA ns root %d 3600 3600 3600 60\n@ NS ns\nns A 192.0.2.%d\n"
    db.write_text(head % (1, 1))
    with Server(signpost, tmp_path / "primary", """z.test:@PORT@ {
    bind 127.0.0.1
    file db {
        reload 50ms
    }
    transfer {
        to 127.0.0.1:%d
    }
}
""" % port, ports=[primary_port]):
        server = start(BLOCK % ("z.test", "127.0.0.1:%d" % primary_port, "", ""), ports=[port])
        server.until("ns.z.test", SERVED, 10)
        db.write_text(head % (2, 77))
        server.until("ns.z.test", ["192.0.2.77"], 10)


def test_chain_of_secondaries(signpost, start, tmp_path):
    middle_port, port = free_port(), free_port()
    (tmp_path / "middle").mkdir()
    with Primary(zone()) as primary, Server(signpost, tmp_path / "middle", BLOCK % (
            "z.test", primary.address, "", "transfer {\n to 127.0.0.1:%d\n }" % port),
            ports=[middle_port]) as middle:
        middle.until("ns.z.test", SERVED, 5)
        server = start(BLOCK % ("z.test", "127.0.0.1:%d" % middle_port, "", ""), ports=[port])
        server.until("ns.z.test", SERVED, 10)
        primary["z.test."].serial = 2
        primary["z.test."].lines[1] = "ns.z.test. 60 IN A 192.0.2.77"
        notify(middle, "z.test.")
        server.until("ns.z.test", ["192.0.2.77"], 10)


# ---- catalogs ----

def catalog(*members, serial=1, origin="cat.test."):
    zones = ["%s.zones.%s 60 IN PTR %s" % (label, origin, name) for label, name in members]
    return Zone(origin, ["%s 60 IN NS invalid." % origin, 'version.%s 60 IN TXT "2"' % origin,
                         *zones], serial=serial)


def test_catalog(start):
    with Primary(catalog(("m1", "a.test."), ("m2", "b.test.")), zone("a.test."), zone("b.test."),
                 zone("c.test.")) as primary:
        server = start(BLOCK % ("cat.test", primary.address, "catalog", ""))
        server.until("ns.a.test", SERVED, 5)
        server.until("ns.b.test", SERVED, 5)
        assert server.addresses("ns.c.test") == "REFUSED"
        primary.add(catalog(("m1", "a.test."), ("m3", "c.test."), serial=2))
        notify(server, "cat.test.")
        server.until("ns.c.test", SERVED, 5)
        server.until("ns.b.test", "REFUSED", 5)
        assert primary.count("a.test.", "AXFR") == 1
        primary["a.test."].serial = 2  # a member is a zone like any other
        primary["a.test."].lines[1] = "ns.a.test. 60 IN A 192.0.2.77"
        notify(server, "a.test.")
        server.until("ns.a.test", ["192.0.2.77"], 5)
        primary.add(catalog(("m9", "a.test."), serial=3))  # another member of the same name
        notify(server, "cat.test.")
        primary.wait_seen("a.test.", "AXFR", 3)
        server.until("ns.c.test", "REFUSED", 5)


def test_broken_catalog_leaves_members_alone(start):
    with Primary(catalog(("m1", "a.test.")), zone("a.test.")) as primary:
        server = start(BLOCK % ("cat.test", primary.address, "catalog", ""))
        server.until("ns.a.test", SERVED, 5)
        broken = catalog(serial=2)
        broken.lines[1] = 'version.cat.test. 60 IN TXT "1"'
        primary.add(broken)
        notify(server, "cat.test.")
        server.wait_log('the catalog\'s version is not "2"', 5)
        assert server.addresses("ns.a.test") == SERVED
        assert server.addresses("version.cat.test", rdtype="TXT") == ['"2"']


def test_catalog_with_zones_that_it_may_list(start):
    with Primary(catalog(("m1", "a.in.test."), ("m2", "b.out.test.")), zone("a.in.test."),
                 zone("b.out.test.")) as primary:
        server = start(BLOCK % ("cat.test", primary.address, "catalog in.test", ""))
        server.until("ns.a.in.test", SERVED, 5)
        server.wait_log("Skipped 1 member zones from catalog cat.test.")
        assert server.addresses("ns.b.out.test") == "REFUSED"


def test_change_of_ownership(start):
    one = catalog(("m", "a.test."), origin="one.test.")
    two = catalog(("m", "a.test."), origin="two.test.")
    with Primary(one, catalog(origin="two.test."), zone("a.test.")) as primary:
        server = start(BLOCK % ("one.test two.test", primary.address, "catalog", ""))
        server.until("ns.a.test", SERVED, 5)
        two.serial = 2
        primary.add(two)
        notify(server, "two.test.")
        server.wait_log("Skipping catalog member zone a.test. from two.test.", 5)
        one.serial = 2
        one.lines.append("coo.m.zones.one.test. 60 IN PTR two.test.")
        notify(server, "one.test.")
        server.wait_log("Transferred: one.test. from %s for 2" % primary.address, 5)
        two.serial = 3
        notify(server, "two.test.")
        server.wait_log("Migrated catalog member zone a.test. from catalog one.test. to two.test.",
                        5)
        one.serial = 3
        one.lines = one.lines[:2]
        notify(server, "one.test.")
        server.wait_log("Transferred: one.test. from %s for 3" % primary.address, 5)
        assert server.addresses("ns.a.test") == SERVED


def test_zone_of_the_corefile_is_no_member(start):
    with Primary(catalog(("m1", "a.test."), ("m2", "cat.test.")), zone("a.test.")) as primary:
        more = "secondary a.test {\n transfer from %s\n }" % primary.address
        server = start(BLOCK % ("cat.test", primary.address, "catalog", more))
        server.until("ns.a.test", SERVED, 10)
        server.wait_log("Skipping catalog member zone a.test. from cat.test.", 5)
        server.wait_log("Skipping catalog member zone cat.test. from cat.test.", 5)


def test_many_members_queue(start):
    names = ["z%d.test." % i for i in range(150)]
    with Primary(catalog(*[("m%d" % i, n) for i, n in enumerate(names)]),
                 *[zone(n) for n in names]) as primary:
        server = start(BLOCK % ("cat.test", primary.address, "catalog", ""))
        for name in names:
            server.until("ns." + name, SERVED, 15)
        primary.add(catalog(serial=2))
        notify(server, "cat.test.")
        server.until("ns.z0.test", "REFUSED", 5)
        server.until("ns.z149.test", "REFUSED", 5)


# ---- under way ----

def test_reload_and_end_while_transfers_run(start):
    with Primary(zone(), zone("silent.test.", manner="silent")) as primary:
        corefile = BLOCK % ("z.test silent.test", primary.address, "", "reload 2s 1s")
        server = start(corefile)
        server.until("ns.z.test", SERVED, 5)
        asked, ended = set(), threading.Event()

        def go_on():
            while not ended.is_set():
                asked.add(str(server.addresses("ns.z.test")))

        thread = threading.Thread(target=go_on, daemon=True)
        thread.start()
        text = server.path.read_text()
        server.path.write_text(text.replace("reload 2s 1s", "reload 2s 1s\n whoami"))
        server.wait_log("Reloading complete", 15)
        server.until("ns.z.test", SERVED, 5)
        ended.set()
        thread.join(10)
        assert asked <= {str(SERVED), "SERVFAIL"}  # SERVFAIL: until it is transferred anew


@pytest.mark.parametrize("block, why", [
    ("secondary z.test", "Error during parsing: secondary zones require a transfer from property"),
    ("secondary z.test {\n catalog\n }", "secondary zones require a transfer from property"),
    ("secondary z.test {\n transfer\n }", "Wrong argument count"),
    ("secondary z.test {\n transfer from\n }", "Wrong argument count"),
    ("secondary z.test {\n transfer to 192.0.2.1\n }", "unknown property to"),
    ("secondary z.test {\n transfer from *\n }", "can't use '*' in transfer from"),
    ("secondary z.test {\n transfer from host.test\n }", "must specify an IP address: `host.test'"),
    ("secondary z.test {\n transfer from tls://192.0.2.1\n }", "must specify an IP address"),
    ("secondary z.test {\n frob\n }", "unknown property 'frob'"),
])
def test_refusals(signpost, tmp_path, block, why):
    code, output = run_until_end(signpost, tmp_path, ".:0 {\n %s\n}\n" % block)
    assert code == 1 and why in output and "plugin/secondary: Corefile:" in output


# ---- the page ----

def test_example(start):
    with Primary(zone("example.org."), catalog(("m1", "a.example.net."), origin="catalog.example."),
                 zone("a.example.net.")) as primary:
        text = example("secondary").replace("192.0.2.1 192.0.2.2", "127.0.0.1:1 " + primary.address)
        server = start(text.replace("192.0.2.1", primary.address))
        server.until("ns.example.org", SERVED, 10)
        server.until("ns.a.example.net", SERVED, 10)
