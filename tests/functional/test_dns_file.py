"""`file` and `auto`: what the vector sets do not show: signed zones, files that change, folders."""
import time

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
from forward_world import start, wait_for  # noqa: F401  a fixture

SIG = "RRSIG %s 8 %d 60 20380101000000 20200101000000 1 s.test. AAAA"
ZONE = """$TTL 60
@ SOA ns root %d 2 3 4 5
@ NS ns
ns A 192.0.2.1
www A %s
"""


def signed():
    """A zone whose signatures are made up: a server only has to hand out the right ones."""
    lines = ["$TTL 60"]
    for owner, labels, types in (
            ("@", 2, {"SOA": "ns root 1 2 3 4 5", "NS": "ns", "NSEC": "*.w NS SOA RRSIG NSEC"}),
            ("*.w", 3, {"A": "192.0.2.9", "NSEC": "deleg A RRSIG NSEC"}),
            ("deleg", 3, {"NS": "ns.deleg", "NSEC": "ns NS RRSIG NSEC"}),
            ("secure", 3, {"NS": "ns.deleg", "DS": "1 8 2 " + "ab" * 32, "NSEC": "@ NS DS RRSIG NSEC"}),
            ("ns", 3, {"A": "192.0.2.1", "NSEC": "secure A RRSIG NSEC"})):
        for rdtype, text in types.items():
            lines.append("%s %s %s" % (owner, rdtype, text))
            lines.append("%s %s" % (owner, SIG % (rdtype, labels)))
    lines.append("ns.deleg A 192.0.2.2")
    return "\n".join(lines) + "\n"


def kinds(section):
    """What is there, in order: owner's first label and type; signatures by what they cover."""
    out = []
    for rrset in section:
        kind = dns.rdatatype.to_text(rrset.rdtype)
        if rrset.rdtype == dns.rdatatype.RRSIG:
            kind = "~" + dns.rdatatype.to_text(rrset[0].covers())
        out.append("%s %s" % (rrset.name.labels[0].decode() if rrset.name.labels[0] else ".", kind))
    return out


def ask(server, name, rdtype="A", want_dnssec=True):
    query = dns.message.make_query(name, rdtype, want_dnssec=want_dnssec, payload=4096)
    return dns.query.udp(query, "127.0.0.1", timeout=5, port=server.port)


def addresses(server, name):
    got = ask(server, name, want_dnssec=False)
    return [r.to_text() for rrset in got.answer for r in rrset]


FILE = """.:@PORT@ {
    bind 127.0.0.1
    file zone.db s.test {
        %s
    }
}
"""


def test_signed_zone(start, tmp_path):
    (tmp_path / "zone.db").write_text(signed())
    server = start(FILE % "reload 0")
    got = ask(server, "ns.s.test.")
    assert kinds(got.answer) == ["ns A", "ns ~A"] and kinds(got.authority) == ["s NS", "s ~NS"]
    assert kinds(ask(server, "ns.s.test.", want_dnssec=False).answer) == ["ns A"]
    got = ask(server, "s.test.", "SOA")
    assert kinds(got.answer) == ["s SOA", "s ~SOA"]
    got = ask(server, "ns.s.test.", "TXT")
    assert not got.answer and kinds(got.authority) == ["s SOA", "s ~SOA", "ns NSEC", "ns ~NSEC"]
    got = ask(server, "x.w.s.test.")
    assert kinds(got.answer) == ["x A", "x ~A"]
    assert kinds(got.authority) == ["s NS", "s ~NS", "* NSEC", "* ~NSEC"]
    got = ask(server, "o.s.test.")
    assert got.rcode() == dns.rcode.NXDOMAIN
    assert kinds(got.authority) == ["s SOA", "s ~SOA", "ns NSEC", "ns ~NSEC", "s NSEC", "s ~NSEC"]


def test_referrals_of_a_signed_zone(start, tmp_path):
    (tmp_path / "zone.db").write_text(signed())
    server = start(FILE % "reload 0")
    got = ask(server, "a.secure.s.test.")
    assert not got.flags & dns.flags.AA
    assert kinds(got.authority) == ["secure NS", "secure ~NS", "secure DS", "secure ~DS"]
    assert [r.to_text() for r in got.additional[0]] == ["192.0.2.2"]
    got = ask(server, "deleg.s.test.")
    assert kinds(got.authority) == ["deleg NS", "deleg ~NS", "deleg NSEC", "deleg ~NSEC"]
    got = ask(server, "secure.s.test.", "DS")
    assert got.flags & dns.flags.AA and kinds(got.answer) == ["secure DS", "secure ~DS"]


def test_reload_by_serial(start, tmp_path):
    path = tmp_path / "zone.db"
    path.write_text(ZONE % (1, "192.0.2.1"))
    server = start(FILE % "reload 50ms")
    assert addresses(server, "www.s.test.") == ["192.0.2.1"]
    path.write_text(ZONE % (1, "192.0.2.2"))
    time.sleep(0.4)
    assert addresses(server, "www.s.test.") == ["192.0.2.1"]  # the serial is the same
    path.write_text(ZONE % (2, "192.0.2.300"))
    wait_for(lambda: "zone.db:5" in server.log.read_text())
    assert addresses(server, "www.s.test.") == ["192.0.2.1"]  # a broken file changes nothing
    path.write_text(ZONE % (3, "192.0.2.3"))
    wait_for(lambda: addresses(server, "www.s.test.") == ["192.0.2.3"])


def test_reload_by_time_and_a_file_that_comes_later(start, tmp_path):
    path = tmp_path / "zone.db"
    server = start(FILE % "reload 50ms\nreload_by_mtime")
    assert ask(server, "www.s.test.").rcode() == dns.rcode.SERVFAIL
    path.write_text(ZONE % (1, "192.0.2.1"))
    wait_for(lambda: addresses(server, "www.s.test.") == ["192.0.2.1"])
    path.write_text(ZONE % (1, "192.0.2.22"))
    wait_for(lambda: addresses(server, "www.s.test.") == ["192.0.2.22"])


AUTO = """.:@PORT@ {
    bind 127.0.0.1
    auto test {
        directory zones %s
        reload 50ms
    }
    whoami
}
"""


def test_auto(start, tmp_path):
    folder = tmp_path / "zones"
    folder.mkdir()
    (folder / "db.one.test").write_text(ZONE % (1, "192.0.2.1"))
    (folder / "db.broken.test").write_text("nonsense\n")
    (folder / "db.one.example").write_text(ZONE % (1, "192.0.2.9"))
    server = start(AUTO % "")
    assert addresses(server, "www.one.test.") == ["192.0.2.1"]
    assert not ask(server, "www.one.example.").answer  # outside of the zones of the directive
    (folder / "db.sub.one.test").write_text(ZONE % (1, "192.0.2.2"))
    wait_for(lambda: addresses(server, "www.sub.one.test.") == ["192.0.2.2"])
    assert ask(server, "x.one.test.").rcode() == dns.rcode.NXDOMAIN
    (folder / "db.one.test").unlink()
    wait_for(lambda: ask(server, "x.one.test.").rcode() == dns.rcode.NOERROR)  # whoami's
    assert addresses(server, "www.sub.one.test.") == ["192.0.2.2"]


def test_auto_with_an_expression(start, tmp_path):
    folder = tmp_path / "zones"
    folder.mkdir()
    (folder / "net.example.zone").write_text(ZONE % (1, "192.0.2.1"))
    server = start((AUTO % r"(.*)\.(.*)\.zone {2}.{1}.test").replace("auto test", "auto"))
    assert addresses(server, "www.example.net.test.") == ["192.0.2.1"]
