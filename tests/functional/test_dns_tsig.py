"""`tsig`: checked against dnspython's own signatures, and by hand where it only raises."""
import base64
import hashlib
import hmac
import re
import socket
import struct
import time

import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.query
import dns.rcode
import dns.tsig
import dns.tsigkeyring
import dns.zone
import pytest

from dns_world import Server, free_port, header, opt, question, run_until_end

SECRET = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI="
OTHER = "bm90IHRoZSBzYW1lIHNlY3JldCBhdCBhbGwsIHJlYWw="
KEYS = dns.tsigkeyring.from_text({"k.test.": SECRET, "quoted.test.": OTHER})
WRONG = dns.tsigkeyring.from_text({"k.test.": OTHER, "none.test.": SECRET})
COREFILE = """.:@PORT@ {
    bind 127.0.0.1
    errors
    tsig {
        secret K.test %s
        secrets @DIR@/keys
    }
    whoami
}
need.:@PORT@ {
    bind 127.0.0.1
    tsig in.need {
        secret k.test. %s
        require AAAA TXT
        require_opcode NOTIFY
    }
    hosts {
        %s
        fallthrough
    }
    whoami
}
""" % (SECRET, SECRET, "\n        ".join("10.0.%d.%d many.in.need" % (i >> 8, i & 255)
                                        for i in range(200)))
KEYS_FILE = """# of all kinds
key "quoted.test." { /* two
lines */ algorithm HMAC-SHA512; secret "%s"; };
key bare.test { secret %s; }; // the end
""" % (OTHER, SECRET)


@pytest.fixture(name="server")
def server_fixture(signpost, tmp_path):
    (tmp_path / "keys").write_text(KEYS_FILE)
    with Server(signpost, tmp_path, COREFILE, "-workers", "2") as s:
        yield s


def signed(name, rdtype="A", keys=KEYS, key="k.test.", algorithm="hmac-sha256.", shift=0,
           opcode=0, **more):
    """(message, wire); shift: seconds by which the client's clock is wrong."""
    message = dns.message.make_query(name, rdtype, **more)
    message.set_opcode(opcode)
    message.use_tsig(keys, dns.name.from_text(key), algorithm=dns.name.from_text(algorithm))
    real = time.time
    try:
        time.time = lambda: real() + shift
        return message, message.to_wire()
    finally:
        time.time = real


def ask(server, name, *args, tcp=False, **more):
    message, wire = signed(name, *args, **more)
    reply = (server.tcp if tcp else server.udp)(wire)
    assert reply is not None, server.log()
    return dns.message.from_wire(reply, keyring={**WRONG, **KEYS}, request_mac=message.mac)


@pytest.mark.parametrize("algorithm", ["hmac-sha1.", "hmac-sha224.", "hmac-sha256.", "HMAC-sha384.",
                                       "hmac-sha512."])
@pytest.mark.parametrize("tcp", [False, True])
def test_signed(server, algorithm, tcp):
    reply = ask(server, "x.test.", algorithm=algorithm, tcp=tcp)
    assert reply.had_tsig and reply.rcode() == 0 and reply.tsig_error == 0
    assert reply.edns == -1 and len(reply.additional) == 2
    assert ask(server, "x.test.", tcp=tcp, use_edns=0).edns == 0


def test_unsigned_may_pass(server):
    assert server.ask("x.test.").rcode() == 0


def test_keys_of_a_file_and_case(server):
    assert ask(server, "x.", key="quoted.test.").had_tsig
    keys = dns.tsigkeyring.from_text({"K.TEST.": SECRET, "Bare.Test.": SECRET})
    for key in ("K.TEST.", "Bare.Test."):
        message, wire = signed("x.", keys=keys, key=key)
        reply = dns.message.from_wire(server.udp(wire), keyring=keys, request_mac=message.mac)
        assert reply.had_tsig and reply.rcode() == 0


def tsig_of(reply):
    """(rcode, what lies before the record, its rdata's fields) of a reply whose key is k.test."""
    at = reply.rindex(b"\x01k\x04test\0\0\xfa")
    rdata = reply[at + 8 + 10:]
    _, end = dns.name.from_wire(rdata, 0)
    high, low, fudge, size = struct.unpack_from("!HIHH", rdata, end)
    mac = rdata[end + 10:end + 10 + size]
    ident, error, other = struct.unpack_from("!HHH", rdata, end + 10 + size)
    assert len(rdata) == end + 16 + size + other
    return reply[3] & 15, reply[:at], (high << 32 | low, fudge, mac, ident, error,
                                       rdata[end + 16 + size:])


@pytest.mark.parametrize("error, more", [
    (dns.tsig.PeerBadSignature, {"keys": WRONG}),
    (dns.tsig.PeerBadKey, {"keys": WRONG, "key": "none.test."}),
    (dns.tsig.PeerBadKey, {"algorithm": "hmac-sha256-128."}),
    (dns.tsig.PeerBadKey, {"algorithm": "hmac-md5.sig-alg.reg.int."}),
    (dns.tsig.PeerBadTime, {"shift": 400}), (dns.tsig.PeerBadTime, {"shift": -400}),
])
def test_refused(server, error, more):
    for name in ("x.test.", "a.in.need."):
        with pytest.raises(error):
            ask(server, name, **more)


def test_errors_in_bytes(server):
    message, wire = signed("x.test.", keys=WRONG)
    rcode, _, (_, _, mac, ident, error, other) = tsig_of(server.udp(wire))
    assert (rcode, mac, ident, error, other) == (9, b"", message.id, 16, b"")
    message, wire = signed("x.test.", shift=-400)
    rcode, before, (when, fudge, mac, ident, error, other) = tsig_of(server.udp(wire))
    assert rcode == 9 and error == 18 and ident == message.id and fudge == 300
    assert abs(when - (time.time() - 400)) < 3
    assert abs(int.from_bytes(other, "big") - time.time()) < 3
    counted = before[:10] + struct.pack("!H", struct.unpack("!H", before[10:12])[0] - 1)
    text = struct.pack("!H", len(message.mac)) + message.mac + counted + before[12:]
    text += b"\x01k\x04test\0" + struct.pack("!HI", 255, 0) + b"\x0bhmac-sha256\0"
    text += struct.pack("!HIHHH", when >> 32, when & 0xffffffff, fudge, error, len(other)) + other
    assert mac == hmac.new(base64.b64decode(SECRET), text, hashlib.sha256).digest()


def test_changed_bytes(server):
    """No bit of a signed query may change but letter case in the key's and algorithm's names."""
    _, wire = signed("x.example.", use_edns=0)  # no part of the key's name, which is written out
    accepted = 0
    for bit in range(16, len(wire) * 8):
        changed = bytearray(wire)
        changed[bit // 8] ^= 1 << bit % 8
        reply = server.udp(bytes(changed), timeout=0.02 if changed[2] & 0x80 else 2)
        if reply and reply[3] & 15 == 0 and b"\0\0\xfa\0\xff" in reply:
            accepted += 1
    assert accepted == len("ktest") + len("hmacsha")
    assert ask(server, "x.test.").rcode() == 0


def record(rdata, owner=b"\x01k\x04test\0", rdclass=255, ttl=0):
    return owner + struct.pack("!HHIH", 250, rdclass, ttl, len(rdata)) + rdata


GOOD = b"\x0bhmac-sha256\0" + struct.pack("!HIHH", 0, 0, 300, 0) + struct.pack("!HHH", 1, 0, 0)


@pytest.mark.parametrize("wire, rcode", [
    (header(ar=2) + question("x.") + record(GOOD) + opt(), 1),  # not the last
    (header(ar=2) + question("x.") + record(GOOD) * 2, 1),
    (header(an=1) + question("x.") + record(GOOD), 1),
    (header(ar=1) + question("x.") + record(GOOD, rdclass=1), 1),
    (header(ar=1) + question("x.") + record(GOOD, ttl=1), 1),
    (header(ar=1) + question("x.") + record(GOOD + b"x"), 1),
    (header(ar=1) + question("x.") + record(GOOD[:-1]), 1),
    (header(ar=1) + question("x.") + record(GOOD), 9),  # no MAC
])
def test_malformed(server, wire, rcode):
    assert server.udp(wire)[3] & 15 == rcode


def test_stale_signature_of_a_slot(server):
    """What follows a signed query is not signed, be it malformed or not."""
    for _ in range(40):
        assert ask(server, "x.test.").had_tsig
        for wire in (header(qd=2) + question("x.") * 2, header() + question("x.")):
            reply = server.udp(wire)
            assert b"\0\0\xfa\0\xff" not in reply


def test_what_is_required(server):
    def outcome(name, rdtype, opcode=0, sign=False):
        if sign:
            return ask(server, name, rdtype, opcode=opcode).rcode()
        message = dns.message.make_query(name, rdtype)
        message.set_opcode(opcode)
        return server.udp(message.to_wire())[3] & 15
    assert outcome("a.in.need.", "A") == 0
    for rdtype in ("AAAA", "TXT"):
        assert outcome("a.in.need.", rdtype) == dns.rcode.REFUSED
        assert outcome("a.in.need.", rdtype, sign=True) == 0
        assert outcome("a.need.", rdtype) == 0  # of no zone of the plugin
    assert outcome("in.need.", "SOA", dns.opcode.NOTIFY) == dns.rcode.REFUSED
    assert outcome("in.need.", "SOA", dns.opcode.NOTIFY, sign=True) == 0


def test_zones_that_are_not_looked_at(server):
    _, wire = signed("a.need.", keys=WRONG)
    reply = server.udp(wire)
    assert reply[3] & 15 == 0 and b"\0\0\xfa\0\xff" not in reply


def test_room_in_truncated_replies(server):
    for size in (512, 700, 1232):
        message, wire = signed("many.in.need.", use_edns=0, payload=size)
        reply = server.udp(wire)
        assert size - 80 < len(reply) <= size
        parsed = dns.message.from_wire(reply, keyring=KEYS, request_mac=message.mac)
        assert parsed.had_tsig and parsed.flags & dns.flags.TC
    assert len(ask(server, "many.in.need.", tcp=True).answer[0]) == 200


def test_upstreams_see_no_signature(signpost, tmp_path):
    corefile = ".:@PORT@ {\n bind 127.0.0.1\n tsig {\n secret k.test %s\n }\n forward . %s\n}\n"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as upstream:
        upstream.bind(("127.0.0.1", 0))
        upstream.settimeout(5)
        where = "127.0.0.1:%d" % upstream.getsockname()[1]
        with Server(signpost, tmp_path, corefile % (SECRET, where)) as s, \
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            message, wire = signed("x.test.", use_edns=0)
            client.settimeout(5)
            client.connect(("127.0.0.1", s.port))
            client.send(wire)
            while True:
                asked, peer = upstream.recvfrom(4096)
                seen = dns.message.from_wire(asked)  # would raise for a key it does not know
                if seen.question and seen.question[0].name == dns.name.from_text("x.test."):
                    break
            assert seen.edns == 0 and b"\0\xfa" not in asked
            upstream.sendto(dns.message.make_response(seen).to_wire(), peer)
            reply = dns.message.from_wire(client.recv(4096), keyring=KEYS, request_mac=message.mac)
            assert reply.had_tsig and reply.rcode() == 0


def test_zone_transfer(signpost, tmp_path):
    """Many messages, each signed in a row."""
    with (tmp_path / "db").open("w") as zone:
        zone.write("@ 60 IN SOA ns.z. a.z. 1 2 3 4 5\n@ 60 IN NS ns.z.\n")
        zone.writelines("n%d 60 IN TXT %s\n" % (i, "x" * 200) for i in range(2000))
    corefile = ("z.:@PORT@ {\n bind 127.0.0.1\n file @DIR@/db\n transfer {\n to *\n }\n"
                " tsig {\n secret k.test %s\n require AXFR\n }\n}\n")
    with Server(signpost, tmp_path, corefile % SECRET) as s:
        messages = dns.query.xfr("127.0.0.1", "z.", port=s.port, keyring=KEYS, keyname="k.test.",
                                 keyalgorithm=dns.tsig.HMAC_SHA256, relativize=False, lifetime=10)
        zone = dns.zone.from_xfr(messages, relativize=False)
        assert len(zone.nodes) == 2001
        assert s.tcp(header() + question("z.", 252))[3] & 15 == dns.rcode.REFUSED


@pytest.mark.parametrize("options, words", [
    ("secret a", "after 'a'"), ("secret a. !", "is not base64"),
    ("secret a..b AAAA", "not a domain"),
    ("secret a AAAA x", "after 'x'"), ("secret a AAAA\n secret A. AAAA", "key 'A.' redefined"),
    ("secret a " + 1400 * "A", "is not base64 of 1 to 1024 bytes"),
    ('secret a ""', "is not base64"),
    ("secrets nosuch", "secrets nosuch: cannot be opened"), ("secrets bad", "bad:2: expected ';'"),
    ("secrets", "after 'secrets'"), ("require", "after 'require'"),
    ("require nosuch", "unknown query type 'nosuch'"), ("require_opcode nosuch", "unknown opcode"),
    ("require_opcode", "after 'require_opcode'"), ("nosuch", "unknown property 'nosuch'"),
])
def test_options_that_are_refused(signpost, tmp_path, options, words):
    (tmp_path / "bad").write_text("\nkey a { secret AAAA; } x")
    corefile = ".:%d {\n bind 127.0.0.1\n tsig {\n %s\n }\n whoami\n}\n" % (free_port(), options)
    status, output = run_until_end(signpost, tmp_path, corefile)
    assert status == 1 and words in output, output
    assert re.match(r"plugin/tsig: Corefile:\d - Error during parsing: ", output), output


@pytest.mark.parametrize("text, words", [
    ("zone a {};", "expected 'key' and not 'zone'"), ("key", "expected '{' and not ''"),
    ("key a { secret", "expected ';'"), ("key a { algorithm md5; };", "algorithm 'md5'"),
    ("key a { };", "is not base64"),
    ("key a { secret AAAA; }; key a { secret AAAA; };", "redefined"),
    ("key a { secret \"AAAA; };", "expected ';'"), ("/* key", None), ("", None), ("#", None),
    ("key a { nosuch; };", "expected 'secret', 'algorithm'"), ("key " + 5000 * "a", "expected '{'"),
])
def test_files_of_keys(signpost, tmp_path, text, words):
    (tmp_path / "keys").write_text(text)
    corefile = ".:@PORT@ {\n bind 127.0.0.1\n tsig {\n secrets @DIR@/keys\n }\n whoami\n}\n"
    if words:
        corefile = corefile.replace("@PORT@", str(free_port())).replace("@DIR@", ".")
        status, output = run_until_end(signpost, tmp_path, corefile)
        assert status == 1 and words in output and "secrets" not in output, output
    else:
        with Server(signpost, tmp_path, corefile) as s:
            assert s.ask("x.").rcode() == 0
