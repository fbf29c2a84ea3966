"""RFC 8484, DNS over HTTPS, with HTTP/2 and HTTP/1.1."""
import contextlib
import re
import subprocess

import dns.edns
import dns.rcode
import pytest

from dns_world import parse, query
from forward_world import HOST
from rfc_world import BIG, Rfc, same_answer, world  # noqa: F401  a fixture
from test_doh import TYPE, Http1, Http2, encoded, ends, sealed

RFC = Rfc(8484)


class Port:
    """What the clients of test_doh want of a server."""

    def __init__(self, port):
        self.port = port


def open_both(w, port=None):
    """A connection of each protocol."""
    for protocol in (Http2, Http1):
        with protocol(Port(port or w.https), w.ca) as conn:
            yield conn


def wire(name="www.test.", rdtype="A"):
    return query(name, rdtype, ident=0).to_wire()


def get(name="www.test.", rdtype="A"):
    return {"method": "GET", "path": "/dns-query?dns=" + encoded(wire(name, rdtype))}


def post(name="www.test.", rdtype="A", content_type=TYPE):
    return {"body": wire(name, rdtype), "headers": [("content-type", content_type)]}


def answer(got):
    status, head, body = got
    assert status == 200 and head["content-type"] == TYPE, got
    assert int(head["content-length"]) == len(body)
    return parse(body)


@RFC.case("4.1", "GET and POST give the answer of DNS")
def methods(w):
    for name, rdtype in (("www.test.", "A"), ("big.test.", "TXT"), ("two.test.", "MX")):
        want = w.server.ask(name, rdtype, tcp=True)
        for conn in open_both(w):
            assert same_answer(answer(conn.ask(**get(name, rdtype))), want)
            assert same_answer(answer(conn.ask(**post(name, rdtype))), want)


@RFC.case("4.1", "an id of 0, as caches like it, is told back")
def id_zero(w):
    for conn in open_both(w):
        assert answer(conn.ask(**get())).id == 0


@RFC.case("4.1", "the variable is base64url without padding")
def base64url(w):
    name = next(n for n in ("%sx%d.test." % ("\\255\\254\\253" * (i % 3 + 1), i) for i in range(200))
                if {"-", "_"} <= set(encoded(wire(n))))
    for conn in open_both(w):
        assert answer(conn.ask("GET", "/dns-query?dns=" + encoded(wire(name)))).rcode() == dns.rcode.NXDOMAIN
        plain = encoded(wire(name)).replace("-", "+").replace("_", "/")
        assert conn.ask("GET", "/dns-query?dns=" + plain)[0] == 400
        assert conn.ask("GET", "/dns-query?dns=" + encoded(wire()) + "==")[0] == 400


@RFC.case("4.1", "other variables beside dns are passed over")
def other_variables(w):
    for conn in open_both(w):
        assert answer(conn.ask("GET", "/dns-query?a=b&dns=%s&c" % encoded(wire()))).answer
        assert conn.ask("GET", "/dns-query?ans=" + encoded(wire()))[0] == 400


@RFC.case("4.1", "other paths are not found")
def paths(w):
    for conn in open_both(w):
        for path in ("/", "/dns-query/", "/DNS-QUERY", "/other"):
            assert conn.ask(path=path, body=wire())[0] == 404


@RFC.case("4.1", "media types: other ones are refused with 415")
def media_types(w):
    for conn in open_both(w):
        for good in (TYPE, "Application/DNS-Message", TYPE + "; charset=x"):
            assert answer(conn.ask(**post(content_type=good))).answer
        for bad in ("text/plain", "application/dns-json", "application/dns-messages", "application/x-www-form-urlencoded"):
            assert conn.ask(**post(content_type=bad))[0] == 415
        assert answer(conn.ask(body=wire())).answer  # without any it is taken for a message
        assert answer(conn.ask(**get())).answer


@RFC.case("4.1", "other methods are refused with 405, and Allow names those that work (RFC9110-15.5.6)")
def other_methods(w):
    for conn in open_both(w):
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
            status, head, _ = conn.ask(method, body=wire())
            assert (status, head["allow"]) == (405, "GET, HEAD, POST")
        assert answer(conn.ask(**get())).answer


@RFC.case("4.1", "HEAD is GET without the body (RFC9110-9.3.2)")
def head(w):
    for conn in open_both(w):
        want = conn.ask(**get())
        status, fields, body = conn.ask("HEAD", get()["path"])
        assert (status, body) == (200, b"") and fields["content-length"] == want[1]["content-length"]
        assert fields["cache-control"] == want[1]["cache-control"] and fields["content-type"] == TYPE
        assert answer(conn.ask(**get())).answer


@RFC.case("4.2.1", "a failure of DNS is a success of HTTP")
def failures(w):
    for conn in open_both(w):
        assert answer(conn.ask(**get("nobody.test."))).rcode() == dns.rcode.NXDOMAIN
        assert answer(conn.ask(**get("www.elsewhere."))).rcode() in (dns.rcode.REFUSED, dns.rcode.SERVFAIL)
        assert answer(conn.ask(body=wire()[:2] + b"\x10" + wire()[3:])).rcode() == dns.rcode.NOTIMP


@RFC.case("4.2.1", "what is no message is a failure of HTTP: 400")
def no_message(w):
    for conn in open_both(w):
        for body in (b"", b"x", wire()[:-1], wire()[:11]):
            assert conn.ask(body=body)[0] == 400
        assert answer(conn.ask(**get())).answer


@RFC.case("4.2.1", "too much is refused: a body with 413, a head with 431")
def too_much(w):
    for conn in open_both(w):
        with contextlib.suppress(OSError):  # it may close while we still send
            assert conn.ask(body=bytes(65536))[0] == 413
    for conn in open_both(w):
        assert conn.ask("GET", "/dns-query?dns=" + "A" * 20000)[0] == 431
    largest = with_option(65001, bytes(65535 - len(with_option(65001, b""))))
    assert len(largest) == 65535
    for conn in open_both(w):
        assert answer(conn.ask(body=largest)).answer


def with_option(code, data):
    return query("www.test.", ident=0, options=[dns.edns.GenericOption(code, data)]).to_wire(max_size=65535)


@RFC.case("5.1", "freshness is the smallest TTL of the answer")
def freshness(w):
    for conn in open_both(w):
        for name, rdtype, age in (("www.test.", "A", 60), ("two.test.", "TXT", 40), ("two.test.", "MX", 40)):
            got = conn.ask(**get(name, rdtype))
            ttls = [r.ttl for part in (answer(got).answer, answer(got).authority, answer(got).additional)
                    for r in part]
            assert got[1]["cache-control"] == "max-age=%d" % min([*ttls, age]) and min(ttls) <= 60


@RFC.case("5.1", "of a denial it is that of the SOA and of its last field (RFC2308)")
def freshness_of_denials(w):
    for conn in open_both(w):
        for name in ("nobody.test.", "www.test."):
            got = conn.ask(**get(name, "TXT"))
            assert not answer(got).answer and got[1]["cache-control"] == "max-age=15"


@RFC.case("5.1", "a failure is kept for a short time")
def freshness_of_failures(w):
    for conn in open_both(w):
        assert conn.ask(**get("www.elsewhere."))[1]["cache-control"] == "max-age=5"
        assert "cache-control" not in conn.ask("GET", "/dns-query")[1]


@RFC.case("5.2", "HTTP/2 is chosen where it is offered, else HTTP/1.1")
def protocols(w):
    for offer, chosen in ((("h2", "http/1.1"), "h2"), (("http/1.1", "h2"), "h2"), (("http/1.1",), "http/1.1"), ((), None)):
        with sealed(Port(w.https), w.ca, *offer) as sock:
            assert sock.selected_alpn_protocol() == chosen


@RFC.case("5.2", "streams of one connection end as they become ready")
def streams(w):
    with Http2(Port(w.https), w.ca) as conn:
        slow = conn.begin(body=wire("st.slow."))
        quick = [conn.begin(body=wire()) for _ in range(30)]
        conn.until(lambda: len(conn.done) == 31)
        assert conn.done[-1] == slow and sorted(conn.done[:-1]) == quick


@RFC.case("RFC9112-9.3", "HTTP/1.1: one connection for many requests")
def keep_alive(w):
    with Http1(Port(w.https), w.ca) as conn:
        for _ in range(50):
            status, head, _ = conn.ask(**post())
            assert status == 200 and "connection" not in head


@RFC.case("RFC9112-9.3.2", "HTTP/1.1: pipelined requests are answered in order")
def pipelining(w):
    names = ["h.slow.", "www.test.", "two.test.", "i.slow."]
    with sealed(Port(w.https), w.ca) as sock:
        sock.sendall(b"".join(b"POST /dns-query HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (
            TYPE.encode(), len(wire(n)), wire(n)) for n in names))
        got = b""
        while got.count(b"HTTP/1.1 200 OK") < len(names):
            got += sock.recv(65536)
        at = [got.index(dns.name.from_text(n).to_wire()) for n in names]
        assert at == sorted(at)


@RFC.case("RFC9112-9.6", "HTTP/1.1: Connection: close is done, and said, without a cut")
def close(w):
    with sealed(Port(w.https), w.ca) as sock:
        sock.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % get()["path"].encode() +
                     b"GET / HTTP/1.1\r\n\r\n" * 20)
        got = b""
        while part := sock.recv(65536):
            got += part
        assert got.startswith(b"HTTP/1.1 200 OK\r\n") and b"connection: close\r\n" in got
        assert got.count(b"HTTP/1.1 ") == 1


@RFC.case("RFC9113-6.8", "HTTP/2: an idle connection ends")
def idle(w):
    for conn in open_both(w, w.brief_https):
        assert answer(conn.ask(**post())).answer
        assert ends(conn.http.sock if isinstance(conn, Http1) else conn.sock, 20)


@RFC.case("8.1", "padding: who pads gets a reply of a multiple of 468 octets (RFC8467-4.1)")
def padding(w):
    for conn in open_both(w):
        for size in (0, 100):
            assert len(conn.ask(body=with_option(12, bytes(size)))[2]) == 468


@RFC.case("RFC7828-3", "TCP keepalive has no place in HTTP")
def no_keepalive(w):
    for conn in open_both(w):
        assert not answer(conn.ask(body=with_option(11, b""))).options


@RFC.case("6", "a reply larger than any datagram")
def large(w):
    for conn in open_both(w):
        reply = answer(conn.ask(**get("big.test.", "TXT")))
        assert len(reply.answer) == BIG and not reply.flags & 0x0200


@RFC.case("10", "whole answers to kdig, by GET and by POST, whose checks are strict")
def kdig(w):
    for way in (("+https",), ("+https=dns.test/dns-query",), ("+https", "+https-get")):
        done = subprocess.run(
            ["kdig", "@" + HOST, "-p", str(w.https), *way,
             "+tls-ca=" + w.ca.pem, "+tls-hostname=dns.test", "www.test.", "A"],
            capture_output=True, text=True, timeout=60, check=False)
        assert "status: NOERROR" in done.stdout and re.search(r"www\.test\.\s+60\s+IN\s+A\s+192\.0\.2\.1", done.stdout), done
        assert "HTTP/2" in done.stdout


@pytest.mark.parametrize("case", RFC.cases)
def test_rfc8484(world, case):  # noqa: F811
    case(world)
