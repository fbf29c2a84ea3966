"""`transfer`: zones of several messages, who may have them, and NOTIFY."""
import socket
import subprocess

import dns.flags
import dns.message
import dns.opcode
import dns.query
import dns.rcode
import dns.rdatatype
import dns.xfr
import dns.zone
import pytest
from dns_world import free_port, run_until_end
from forward_world import start, wait_for  # noqa: F401  a fixture

HEAD = "$TTL 60\n@ SOA ns root %d 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n"
BLOCK = """.:@PORT@ {
    bind 127.0.0.1
    file zone.db z.test {
        reload 50ms
    }
    transfer z.test {
        to %s
    }
}
"""


def transfer(server, rdtype="AXFR", source=None, serial=0):
    """All messages of a transfer."""
    return list(dns.query.xfr("127.0.0.1", "z.test.", rdtype, port=server.port, source=source,
                              serial=serial, relativize=False, timeout=10))


def test_many_messages(start, tmp_path):
    count = 20000
    hosts = "".join("host-%d A 10.0.%d.%d\n" % (i, i // 256, i % 256) for i in range(count))
    (tmp_path / "zone.db").write_text(HEAD % 1 + hosts)
    server = start(BLOCK % "*")
    messages = transfer(server)
    assert len(messages) > 3
    assert all(m.flags & dns.flags.AA and not m.flags & dns.flags.TC for m in messages)
    assert all(len(m.to_wire()) <= 65535 for m in messages)
    zone = dns.zone.from_xfr(messages, relativize=False)
    assert len(list(zone.iterate_rdatas("A"))) == count + 1
    assert len(transfer(server)) == len(messages)  # the connections do not mix


def test_one_set_larger_than_a_message(start, tmp_path):
    text = "".join('big TXT "%05d%s"\n' % (i, "x" * 200) for i in range(1000))
    (tmp_path / "zone.db").write_text(HEAD % 1 + text)
    server = start(BLOCK % "*")
    zone = dns.zone.from_xfr(transfer(server), relativize=False)
    assert len(list(zone.iterate_rdatas("TXT"))) == 1000


def test_ixfr(start, tmp_path):
    (tmp_path / "zone.db").write_text(HEAD % 7)
    server = start(BLOCK % "*")
    query = dns.message.make_query("z.test.", "IXFR")
    for serial, records in ((7, 1), (6, 4), (8, 4)):
        query.authority = [dns.rrset.from_text("z.test.", 0, "IN", "SOA", ". . %d 0 0 0 0" % serial)]
        got = dns.query.tcp(query, "127.0.0.1", timeout=5, port=server.port, one_rr_per_rrset=True)
        assert sum(len(r) for r in got.answer) == records
    query.authority = []
    assert dns.query.tcp(query, "127.0.0.1", timeout=5, port=server.port).rcode() == dns.rcode.SERVFAIL


def test_refused(start, tmp_path):
    (tmp_path / "zone.db").write_text(HEAD % 1)
    server = start(BLOCK % "127.0.0.5:5353")
    query = dns.message.make_query("z.test.", "AXFR")
    for source in (None, "127.0.0.6"):
        got = dns.query.tcp(query, "127.0.0.1", timeout=5, port=server.port, source=source)
        assert got.rcode() == dns.rcode.REFUSED and not got.answer
    assert len(transfer(server, source="127.0.0.5")) == 1
    got = dns.query.udp(query, "127.0.0.1", timeout=5, port=server.port)
    assert got.rcode() == dns.rcode.REFUSED


def name_of(size, zone):
    """A name in the zone, of so many bytes."""
    labels, left = [], size - len(dns.name.from_text(zone).to_wire())
    while left > 0:
        length = min(63, left - 1 if left <= 64 else left - 3)
        labels.append("x" * length)
        left -= 1 + length
    name = ".".join([*labels, zone])
    assert len(dns.name.from_text(name).to_wire()) == size
    return name


def test_long_origins(start, tmp_path):
    """Any name in the cluster's zone will do, as long as "hostmaster" finds room in front of it."""
    (tmp_path / "objects").mkdir()
    server = start(".:@PORT@ {\n bind 127.0.0.1\n kubernetes cluster.local {\n  manifests objects\n }\n"
                   " transfer {\n  to *\n }\n}\n")
    for size, rcode in ((244, dns.rcode.NOERROR), (245, dns.rcode.REFUSED), (255, dns.rcode.REFUSED)):
        query = dns.message.make_query(name_of(size, "cluster.local."), "AXFR")
        got = dns.query.tcp(query, "127.0.0.1", timeout=5, port=server.port, one_rr_per_rrset=True)
        assert got.rcode() == rcode and bool(got.answer) == (rcode == dns.rcode.NOERROR)


@pytest.mark.parametrize("lines, longest", [("kubernetes %s {\n  manifests .\n }", 244),
                                            ("k8s_external %s\n kubernetes {\n  manifests .\n }", 240)])
def test_zones_that_are_too_long(signpost, tmp_path, lines, longest):
    corefile = "cluster.local:%d {\n bind 127.0.0.1\n %s\n}\n" % (free_port(), lines)
    zone = name_of(longest + 1, "test.")
    code, output = run_until_end(signpost, tmp_path, corefile % zone)
    assert code == 1 and 'Corefile:3 - Error during parsing: zone "%s" is too long' % zone in output
    (tmp_path / "Corefile").write_text(corefile % name_of(longest, "test."))
    checked = subprocess.run([signpost, "check", "Corefile"], cwd=tmp_path, capture_output=True,
                             text=True, timeout=20, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_notify(start, tmp_path):
    path = tmp_path / "zone.db"
    path.write_text(HEAD % 1)
    with socket.socket(type=socket.SOCK_DGRAM) as secondary:
        secondary.bind(("127.0.0.1", 0))
        secondary.settimeout(10)

        def heard(answer):
            wire, peer = secondary.recvfrom(4096)
            got = dns.message.from_wire(wire)
            assert got.opcode() == dns.opcode.NOTIFY and got.flags & dns.flags.AA
            assert got.question[0].name.to_text() == "z.test."
            assert got.question[0].rdtype == dns.rdatatype.SOA
            if answer:
                secondary.sendto(dns.message.make_response(got).to_wire(), peer)
            return got.id

        start(BLOCK % ("127.0.0.1:%d" % secondary.getsockname()[1]))
        first = heard(False)
        assert heard(True) == first  # told once more, as it did not answer
        path.write_text(HEAD % 2)
        assert heard(True) != first
        secondary.settimeout(3)
        with pytest.raises(socket.timeout):
            heard(True)


def test_kubernetes_reverse_zone_is_refused(start, tmp_path):
    (tmp_path / "objects").mkdir()
    server = start(""".:@PORT@ {
    bind 127.0.0.1
    kubernetes cluster.local in-addr.arpa {
        manifests objects
    }
    transfer {
        to *
    }
}
""")
    query = dns.message.make_query("in-addr.arpa.", "AXFR")
    got = dns.query.tcp(query, "127.0.0.1", timeout=5, port=server.port)
    assert got.rcode() == dns.rcode.REFUSED
    query = dns.message.make_query("cluster.local.", "AXFR")
    wait_for(lambda: dns.query.tcp(query, "127.0.0.1", timeout=5, port=server.port).answer)
    got = dns.query.tcp(query, "127.0.0.1", timeout=5, port=server.port)
    assert got.answer[0].rdtype == dns.rdatatype.SOA
