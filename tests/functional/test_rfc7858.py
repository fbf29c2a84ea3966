"""RFC 7858, DNS over TLS; with its usage profiles (RFC 8310) and padding (RFC 7830, RFC 8467)."""
import base64
import contextlib
import hashlib
import ssl
import struct
import subprocess
import time

from cryptography import x509
from cryptography.hazmat.primitives import serialization
import dns.edns
import pytest

from dns_world import Connection, parse, run_until_end
from forward_world import HOST
from rfc_world import (BIG, Rfc, ask, ends, framed, same_answer, wire, world)  # noqa: F401  a fixture

RFC = Rfc(7858)
PADDING, KEEPALIVE, BLOCK = 12, 11, 468


@RFC.case("3.1", "853 is the port when none is named")
def port_853(w):
    code, text = run_until_end(w.server.process.args[0], w.ca.folder, "tls://. {\n bind 192.0.2.1\n whoami\n}\n")
    assert code == 1 and "192.0.2.1:853" in text, text


@RFC.case("3.1", "nothing is answered in clear text on the port for TLS")
def no_clear_text(w):
    with Connection(w.tls) as c:
        c.send(wire())
        c.sock.settimeout(10)
        got = b""
        with contextlib.suppress(ConnectionError):
            while part := c.sock.recv(4096):
                got += part
        assert len(got) < 20 and got[:1] in (b"", b"\x15"), "an alert at most"


@RFC.case("3.2", "TLS 1.2 and 1.3")
def versions(w):
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = w.context("dot", minimum_version=version, maximum_version=version)
        with w.sealed(context=context) as c:
            assert ask(c).answer


@RFC.case("3.2", "ALPN: dot is chosen where it is offered")
def alpn(w):
    with w.sealed() as c:
        assert c.sock.selected_alpn_protocol() == "dot"


@RFC.case("3.3", "the two octets of length, in any pieces")
def length(w):
    whole = framed(wire(ident=1), wire(ident=2))
    for size in (1, 3, 31):
        with w.sealed() as c:
            for at in range(0, len(whole), size):
                c.write(whole[at:at + size])
            assert sorted(parse(c.receive()).id for _ in range(2)) == [1, 2]


@RFC.case("3.3", "the answers are those of clear text")
def same(w):
    for name, rdtype in (("www.test.", "A"), ("big.test.", "TXT"), ("two.test.", "MX")):
        with w.sealed() as c:
            assert same_answer(ask(c, name, rdtype), w.server.ask(name, rdtype, tcp=True))


@RFC.case("3.3", "many queries at once, answered as they become ready")
def pipelining(w):
    with w.sealed() as c:
        c.write(framed(wire("p.slow.", ident=0), *(wire(ident=i) for i in range(1, 300))))
        order = [parse(c.receive()).id for _ in range(300)]
        assert sorted(order) == list(range(300)) and order[-1] == 0


@RFC.case("3.4", "one connection for many queries")
def reuse(w):
    with w.sealed() as c:
        assert [ask(c, ident=i).id for i in range(100)] == list(range(100))


@RFC.case("3.4", "an idle connection is closed, with TLS's own goodbye")
def idle(w):
    with w.sealed(w.brief_tls) as c:
        assert ask(c).answer
        assert ends(c)  # a cut would be an error of TLS


@RFC.case("3.4", "a client that says goodbye gets what it waits for")
def goodbye(w):
    with Connection(w.tls) as c:
        inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = w.context("dot").wrap_bio(inside, outside, server_hostname="dns.test")

        def feed():
            c.write(outside.read())
            data = c.sock.recv(65535)
            inside.write(data) if data else inside.write_eof()

        def step(act):
            while True:
                try:
                    return act()
                except ssl.SSLWantReadError:
                    feed()
        step(tls.do_handshake)
        tls.write(framed(wire("g.slow.", ident=5)))
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.unwrap()  # our goodbye; the server's comes behind the reply
        c.write(outside.read())
        c.sock.settimeout(10)
        size = 0
        with contextlib.suppress(ConnectionError):
            while part := c.sock.recv(65535):
                size += len(part)
        assert size > len(wire("g.slow.")), "more than a goodbye"


@RFC.case("3.4", "sessions are resumed, also by another worker")
def resumption(w):
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = w.context("dot", minimum_version=version, maximum_version=version)
        resumed = 0
        for _ in range(8):
            with w.sealed(context=context) as c:
                ask(c)
                session = c.sock.session
            with w.sealed(context=context, session=session) as c:
                assert ask(c).answer
                resumed += c.sock.session_reused
        assert resumed == 8


@RFC.case("RFC7828-3", "who asks is told for how long the connection may be idle")
def keepalive(w):
    for port, tenths in ((w.tls, 100), (w.brief_tls, 10)):
        with w.sealed(port) as c:
            reply = ask(c, options=[dns.edns.GenericOption(KEEPALIVE, b"")])
            assert [(o.otype, o.to_wire()) for o in reply.options] == [(KEEPALIVE, struct.pack("!H", tenths))]


@RFC.case("RFC7828-3.3.2", "the promise is kept")
def kept(w):
    with w.sealed(w.brief_tls) as c:
        ask(c, options=[dns.edns.GenericOption(KEEPALIVE, b"")])
        time.sleep(0.6)
        assert ask(c).answer


@RFC.case("4.1", "opportunistic privacy: a client that checks nothing is served")
def opportunistic(w):
    with w.sealed(context=w.context("dot", verify=False), name=None) as c:
        assert ask(c).answer


def kdig(w, *words):
    return subprocess.run(["kdig", "@" + HOST, "-p", str(w.tls), *words, "www.test.", "A"], capture_output=True,
                          text=True, timeout=60, check=False)


@RFC.case("4.2", "a client that knows the key's pin")
def pinned(w):
    with open(w.certificate[0], "rb") as f:
        key = x509.load_pem_x509_certificate(f.read()).public_key()
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    pin = base64.b64encode(hashlib.sha256(der).digest()).decode()
    other = base64.b64encode(bytes(32)).decode()
    assert "status: NOERROR" in kdig(w, "+tls", "+tls-pin=" + pin).stdout
    assert "status: NOERROR" not in kdig(w, "+tls", "+tls-pin=" + other).stdout


@RFC.case("RFC8310-5", "the strict profile: authority and name are checked")
def strict(w):
    good = ("+tls", "+tls-ca=" + w.ca.pem, "+tls-hostname=dns.test")
    done = kdig(w, *good)
    assert "status: NOERROR" in done.stdout and "TLS" in done.stdout, done
    assert "status: NOERROR" not in kdig(w, *good[:2], "+tls-hostname=other.test").stdout
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        w.sealed(name="other.test")
    with pytest.raises(ssl.SSLCertVerificationError, match="self-signed|unable to get local issuer"):
        w.sealed(context=ssl.create_default_context())


@RFC.case("5", "what is no TLS is ended and harms nobody")
def garbage(w):
    with w.sealed() as good:
        assert ask(good).answer
        for data in (bytes(300), b"\x16\x03\x01\x01\x00" + bytes(300), b"GET / HTTP/1.1\r\n\r\n"):
            with Connection(w.tls) as c:
                c.write(data)
                c.sock.settimeout(10)
                with contextlib.suppress(ConnectionError):
                    while c.sock.recv(4096):
                        pass
        assert ask(good).answer


# ---- padding ----


def padded(name="www.test.", rdtype="A", size=0):
    return wire(name, rdtype, options=[dns.edns.GenericOption(PADDING, bytes(size))])


@RFC.case("RFC7830-4", "who pads gets a padded reply: a multiple of 468 octets (RFC8467-4.1)")
def padding(w):
    with w.sealed() as c:
        for name, rdtype in (("www.test.", "A"), ("test.", "SOA"), ("nobody.test.", "A"), ("big.test.", "TXT")):
            for size in (0, 40, 500):
                c.send(padded(name, rdtype, size))
                data = c.receive()
                assert len(data) % BLOCK == 0, (name, size, len(data))
                options = parse(data).options
                assert [o.otype for o in options] == [PADDING] and not any(options[0].to_wire())
    assert len(data) > BIG * 230


@RFC.case("RFC7830-4", "who does not pad gets no padding")
def unpadded(w):
    with w.sealed() as c:
        assert not ask(c, use_edns=0).options
        assert ask(c).edns < 0


@RFC.case("RFC7830-6", "in clear text the reply has the query's padding and no more")
def clear_padding(w):
    with w.connect() as c:
        c.send(padded(size=40))
        assert [len(o.to_wire()) for o in parse(c.receive()).options] == [40]


@RFC.case("RFC8467-4.1", "as kdig asks for it")
def kdig_padding(w):
    done = kdig(w, "+tls", "+padding", "+tls-ca=" + w.ca.pem, "+tls-hostname=dns.test")
    assert "status: NOERROR" in done.stdout and "Received %d B" % BLOCK in done.stdout, done.stdout


@RFC.case("6", "a connection costs its client alone: handshakes that never end are closed")
def half_handshakes(w):
    conns = [Connection(w.brief_tls) for _ in range(50)]
    for c in conns:
        c.write(b"\x16\x03\x01")
    begin = time.monotonic()
    with w.sealed(w.brief_tls) as good:
        assert ask(good).answer
    for c in conns:
        c.sock.settimeout(10)
        with contextlib.suppress(ConnectionError):
            assert c.sock.recv(100)[:1] in (b"", b"\x15")
        c.sock.close()
    assert time.monotonic() - begin < 20


@pytest.mark.parametrize("case", RFC.cases)
def test_rfc7858(world, case):  # noqa: F811
    case(world)
