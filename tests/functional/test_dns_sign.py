"""`sign`: zone files signed at the start and again when need be, and served by `file`."""
import os
import stat
import time

import dns.dnssec
import dns.name
import dns.rcode
import dns.rdatatype
import dns.zone
import pytest

from dns_world import write_whole
from dnssec_world import KSK, ZSK, Key, check, check_refused, delv, keyring, signatures
from small_world import block, start  # noqa: F401
from test_dns_dnssec import DB
from test_dns_small_pages import example

ORIGIN = dns.name.from_text("example.org.")
EXTRA = """sub A 192.0.2.10
@ DNSKEY 256 3 13 AAAA
@ CDS 1 13 2 AA0102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F
www NSEC x A
www RRSIG A 13 3 300 20300101000000 20200101000000 1 example.org. AAAA
twice A 192.0.2.11
twice A 192.0.2.11
odd TYPE65280 \\# 3 010203
other.net. A 192.0.2.12
"""
MADE = {dns.rdatatype.RRSIG, dns.rdatatype.NSEC}
ZONE = """example.org:@PORT@ {
    bind 127.0.0.1
    errors
    sign db {
        key file %s
        directory out
    }
    file out/db.example.org.signed {
        reload 50ms
    }
}
"""


class World:
    def __init__(self, folder, begin, keys=None, db=DB, signed=None):
        self.folder, self.keys = folder, keys or [Key(folder, "example.org.")]
        self.ring = keyring(*self.keys)
        (folder / "db").write_text(db)
        (folder / "out").mkdir(exist_ok=True)
        self.signed = folder / "out" / "db.example.org.signed"
        if signed:
            self.signed.write_text(signed)
        self.server = begin(ZONE % " ".join(str(k.base) for k in self.keys))

    def wait_signed(self, times=1):
        end = time.monotonic() + 20
        while self.server.log().count("Successfully signed zone") < times:
            assert time.monotonic() < end, self.server.log()
            time.sleep(0.02)
        self.serial()
        return self

    def serial(self):
        """Of the zone that is served, once it is the signed one."""
        wanted = self.zone().get_rdataset(ORIGIN, "SOA")[0].serial
        end = time.monotonic() + 10
        while True:
            reply = self.server.ask("example.org.", "SOA")
            if reply.answer and reply.answer[0][0].serial == wanted:
                return wanted
            assert time.monotonic() < end, reply
            time.sleep(0.02)

    def ask(self, name, rdtype="A"):
        name = name if name.endswith(".") else name + ".example.org."
        return self.server.ask(name, rdtype, tcp=True, want_dnssec=True)

    def zone(self):
        return dns.zone.from_file(str(self.signed), ORIGIN, relativize=False)


def covered(zone, name, rdtype):
    """The signatures over that set; None."""
    return zone.get_rdataset(name, "RRSIG", rdtype)


# ---- what is signed ----

def test_all_of_it(start, tmp_path):
    keys = [Key(tmp_path, "example.org."), Key(tmp_path, "else.where.", 15)]
    keys[1].zone = ORIGIN  # the owner in the file does not count
    world = World(tmp_path, start, keys, DB + EXTRA).wait_signed()
    zone, ring = world.zone(), keyring(*keys)
    cuts = {dns.name.from_text(c, ORIGIN) for c in ("sub", "plain")}
    for name, node in zone.nodes.items():
        cut = name in cuts
        below = not cut and any(name.is_subdomain(c) for c in cuts)
        for rdataset in node:
            if rdataset.rdtype == dns.rdatatype.RRSIG:
                continue
            sigs = covered(zone, name, rdataset.rdtype)
            own = not below and (not cut or rdataset.rdtype in (dns.rdatatype.DS,
                                                                dns.rdatatype.NSEC))
            assert bool(sigs) == own, (name, rdataset)
            assert not own or {s.key_tag for s in sigs} == {k.tag for k in keys}
            for sig in sigs or ():
                dns.dnssec.validate_rrsig((name, rdataset), sig, ring)
        assert bool(zone.get_rdataset(name, "NSEC")) == (not below)
    assert zone.get_rdataset("twice.example.org.", "A").to_text().count("192.0.2.11") == 1
    assert zone.get_rdataset("odd.example.org.", "TYPE65280")
    assert "other.net" not in world.signed.read_text()
    assert "1 records lie outside the zone" in world.server.log()


def test_the_chain_of_names(start, tmp_path):
    zone = World(tmp_path, start, db=DB + EXTRA).wait_signed().zone()
    names = sorted(n for n in zone.nodes if zone.get_rdataset(n, "NSEC"))
    for i, name in enumerate(names):
        nsec = zone.get_rdataset(name, "NSEC")
        assert nsec[0].next == names[(i + 1) % len(names)]
        assert nsec.ttl == 60  # the SOA's minimum
    said = {n: zone.get_rdataset(n + "example.org.", "NSEC")[0].to_text().split()[1:]
            for n in ("", "sub.", "plain.", "www.", "*.wild.", "odd.")}
    assert said == {"": "NS SOA MX RRSIG NSEC DNSKEY CDS CDNSKEY".split(),
                    "sub.": "NS DS RRSIG NSEC".split(), "plain.": "NS RRSIG NSEC".split(),
                    "www.": "A AAAA RRSIG NSEC".split(), "*.wild.": "TXT RRSIG NSEC".split(),
                    "odd.": "RRSIG NSEC TYPE65280".split()}


def test_apex(start, tmp_path):
    key = Key(tmp_path, "example.org.", 14, KSK)
    world = World(tmp_path, start, [key], DB + EXTRA).wait_signed()
    zone, now = world.zone(), time.time()
    assert zone.get_rdataset(ORIGIN, "DNSKEY").to_text().endswith(" " + key.rdata.to_text())
    assert zone.get_rdataset(ORIGIN, "CDNSKEY")[0].to_text() == key.rdata.to_text()
    ds = dns.dnssec.make_ds(ORIGIN, key.rdata, "SHA256")
    assert [r.to_text() for r in zone.get_rdataset(ORIGIN, "CDS")] == [ds.to_text()]
    assert abs(zone.get_rdataset(ORIGIN, "SOA")[0].serial - now) < 60
    sig = covered(zone, ORIGIN, "SOA")[0]
    assert 3 * 3600 - 60 <= now - sig.inception <= 21 * 3600 + 60
    assert 32 * 86400 - 60 <= sig.expiration - now <= 37 * 86400 + 60
    assert stat.S_IMODE(world.signed.stat().st_mode) == 0o600
    assert os.listdir(tmp_path / "out") == [world.signed.name]


# ---- served by `file` ----

@pytest.mark.parametrize("algorithm", [8, 10, 13, 14, 15])
def test_served(start, tmp_path, algorithm):
    world = World(tmp_path, start, [Key(tmp_path, "example.org.", algorithm)]).wait_signed()
    for name, rdtype, rcode in (("www", "A", "NOERROR"), ("nowhere", "A", "NXDOMAIN"),
                                ("www", "TXT", "NOERROR"), ("example.org.", "DNSKEY", "NOERROR"),
                                ("chain", "AAAA", "NOERROR"), ("sub", "DS", "NOERROR"),
                                ("b.empty", "A", "NOERROR")):
        reply = check(world.ask(name, rdtype), world.ring)
        assert dns.rcode.to_text(reply.rcode()) == rcode
    reply = world.ask("x.y.wild", "TXT")
    assert signatures(reply.answer, reply.answer[0])[0].labels == 3
    check(world.ask("x.sub"), world.ring, ["sub.example.org. NS", "ns.sub.example.org. A"])


def test_delv(start, tmp_path):
    world = World(tmp_path, start).wait_signed()
    for name, rdtype, words in (("www", "A", "; fully validated"), ("alias", "A", "; fully validated"),
                                ("x.wild", "TXT", "; fully validated"),
                                ("no", "A", "; negative response, fully validated"),
                                ("www", "TXT", "; negative response, fully validated"),
                                ("plain", "DS", "; negative response, fully validated")):
        said = delv(tmp_path, world.server.port, world.keys[0], name + ".example.org.", rdtype)
        assert words in said, said


# ---- when ----

def test_skipped_while_valid(start, tmp_path):
    first = World(tmp_path, start).wait_signed()
    text = first.signed.read_text()
    first.server.stop()
    again = World(tmp_path, start, first.keys, signed=text)
    again.server.wait_log("Skipping signing zone \"example.org.\"", 10)
    assert again.signed.read_text() == text


def stamp(seconds):
    return time.strftime("%Y%m%d%H%M%S", time.gmtime(time.time() + seconds))


@pytest.mark.parametrize("began, ends, why", [
    (-6 * 86400 - 9000, 20 * 86400, "its signatures are 146 hours old"),
    (-3600, 7 * 86400 - 5400, "its signatures expire in 166 hours"),
    (3600, 20 * 86400, "its signatures are not valid yet"),
    (-3600, -60, "its signatures expire in 0 hours")])
def test_signed_anew_when_old(start, tmp_path, began, ends, why):
    key = Key(tmp_path, "example.org.")
    old = ("@ 60 SOA ns admin 1 7200 3600 1209600 60\n"
           "@ 60 RRSIG SOA 13 2 60 %s %s %d example.org. AAAA\n@ 60 NS ns\n" %
           (stamp(ends), stamp(began), key.tag))
    world = World(tmp_path, start, [key], signed=old).wait_signed()
    assert why in world.server.log()
    assert world.serial() > 1


def test_signed_anew_when_keys_change(start, tmp_path):
    first = World(tmp_path, start).wait_signed()
    text = first.signed.read_text()
    first.server.stop()
    again = World(tmp_path, start, [*first.keys, Key(tmp_path, "example.org.", 15)], signed=text)
    again.wait_signed()
    assert "was signed with other keys" in again.server.log()
    assert len(again.zone().get_rdataset(ORIGIN, "DNSKEY")) == 2


@pytest.mark.parametrize("text, why", [
    (DB, "the SOA record is not signed"), ("garbage\n", "db.example.org.signed:1"),
    (DB + "".join("n%d A 192.0.2.1\n" % i for i in range(200)), "the SOA record is not signed")],
    ids=["plain", "garbage", "long"])
def test_signed_anew_when_it_is_something_else(start, tmp_path, text, why):
    key = Key(tmp_path, "example.org.")
    (tmp_path / "db").write_text(DB)
    (tmp_path / "db.example.org.signed").write_text(text)
    server = start(block("sign db {\nkey file %s\ndirectory .\n}\nwhoami" % key.base, "example.org"))
    server.wait_log("Successfully signed zone", 10)
    assert why in server.log()


def test_a_change_of_the_zone(start, tmp_path):
    """Of the file, of what it has wrong, and back."""
    world = World(tmp_path, start).wait_signed()
    before = world.serial()
    write_whole(tmp_path / "db", DB + "new A 192.0.2.99\n")
    world.wait_signed(2)
    assert world.serial() > before
    assert world.ask("new").answer and check(world.ask("new"), world.ring)
    text = world.signed.read_text()
    write_whole(tmp_path / "db", DB + "new A 192.0.2\n")
    world.server.wait_log("Error signing \"example.org.\" with key tags \"%d\": db:%d: " % (
        world.keys[0].tag, DB.count("\n") + 1), 20)
    assert world.signed.read_text() == text
    assert world.ask("new").answer
    assert os.listdir(tmp_path / "out") == [world.signed.name]


def test_no_folder_to_write_to(start, tmp_path):
    key = Key(tmp_path, "example.org.")
    (tmp_path / "db").write_text(DB)
    server = start((ZONE % key.base).replace("directory out", "directory none")
                   .replace("    file out/db.example.org.signed {\n        reload 50ms\n    }", "    whoami"))
    server.wait_log("Error signing \"example.org.\"", 10)
    assert "none/signed-" in server.log() and "No such file" in server.log()
    assert server.ask("example.org.").rcode() == dns.rcode.NOERROR


def test_another_zones_soa(start, tmp_path):
    key = Key(tmp_path, "example.org.")
    (tmp_path / "db").write_text("example.net. 60 SOA ns admin 1 2 3 4 5\n")
    server = start(block("sign db {\nkey file %s\ndirectory .\n}\nwhoami" % key.base, "example.org"))
    server.wait_log("db:1: the SOA record is of another zone", 10)


def test_two_zones_of_one_line(start, tmp_path):
    key = Key(tmp_path, "example.org.")
    (tmp_path / "db").write_text("$TTL 60\n@ SOA ns admin 1 2 3 4 5\n@ NS ns\n")
    server = start(block("sign db one.test two.test {\nkey file %s\ndirectory .\n}\nwhoami" %
                         key.base, "example.org"))
    for zone in ("one.test.", "two.test."):
        server.wait_log("Successfully signed zone \"%s\"" % zone, 10)
        name = dns.name.from_text(zone)
        key.zone = name
        read = dns.zone.from_file(str(tmp_path / ("db.%ssigned" % zone)), name, relativize=False)
        soa = read.get_rdataset(name, "SOA")
        dns.dnssec.validate_rrsig((name, soa), covered(read, name, "SOA")[0], keyring(key))


def test_ends_at_once(start, tmp_path):
    world = World(tmp_path, start).wait_signed()
    began = time.monotonic()
    assert world.server.stop() == 0
    assert time.monotonic() - began < 4  # not the five seconds between two looks


# ---- refused Corefiles ----

REFUSED = [
    ("sign", 3, "after 'sign'"), ("sign db {\n}", 3, "there is no key to sign with"),
    ("sign db", 3, "there is no key"), ("sign db x..y {\n}", 3, "x..y"),
    ("sign db {\nkey\n}", 4, "after 'key'"), ("sign db {\nkey file\n}", 4, "after 'file'"),
    ("sign db {\nkey directory /etc\n}", 4, "keys from 'directory' are not supported"),
    ("sign db {\nkey vault x\n}", 4, "'vault'"),
    ("sign db {\nkey file none\n}", 4, "open none.key: No such file"),
    ("sign db {\nkey file @ZSK@\n}", 4, "is not a CSK/KSK"),
    ("sign db {\nkey file @KSK@\nkey file @KSK@.key\n}", 5, "is there already"),
    ("sign db {\ndirectory\n}", 4, 'can only be one argument after "directory"'),
    ("sign db {\ndirectory a b\n}", 4, 'can only be one argument after "directory"'),
    ("sign db {\nfoo\n}", 4, "unknown property 'foo'"),
    ("sign db 0/25.2.0.192.in-addr.arpa {\nkey file @KSK@\n}", 3, "0/25"),
]


@pytest.mark.parametrize("text, line, words", REFUSED)
def test_refused(signpost, tmp_path, text, line, words):
    for word, kind in (("@KSK@", KSK), ("@ZSK@", ZSK)):
        if word in text:
            text = text.replace(word, str(Key(tmp_path, "example.org.", flags=kind).base))
    check_refused(signpost, tmp_path, text, line, words)


# ---- the page ----

def test_example(start, tmp_path):
    key = Key(tmp_path, "example.org.")
    (tmp_path / "db.example.org").write_text(DB)
    (tmp_path / "signed").mkdir()
    corefile = example("sign").replace("Kexample.org.+013+45330", key.base.name)
    server = start(corefile.replace("reload 10s", "reload 50ms"))
    server.wait_log("Successfully reloaded zone", 10)
    check(server.ask("www.example.org.", want_dnssec=True), keyring(key))
