"""What the tests of one RFC each share: a table of cases that name their section, and a server."""
import contextlib
import socket
import ssl
import struct

import pytest

from dns_world import Connection, Server, http_get, parse, query
from forward_world import HOST, Upstream, reply
from tls_world import Authority

COREFILE = """.:@PORT@ {
    bind 127.0.0.1
    log . "{proto} {name} {type}"
    prometheus 127.0.0.1:@PORT7@
    include
}
tls://.:@PORT2@ https://.:@PORT3@ {
    bind 127.0.0.1
    tls CERTIFICATE
    prometheus 127.0.0.1:@PORT7@
    include
}
.:@PORT4@ {
    bind 127.0.0.1
    timeouts {
        idle 1s
        read 1s
        maxtcpqueries 5
    }
    include
}
tls://.:@PORT5@ https://.:@PORT6@ {
    bind 127.0.0.1
    tls CERTIFICATE
    timeouts {
        idle 1s
        read 1s
    }
    include
}
"""
LINES = """root FOLDER
    file db test
    forward slow UPSTREAM
"""
BIG = 250
ZONE = """$ORIGIN test.
@ 60 SOA ns root 1 2 3 4 15
@ 60 NS ns
ns 60 A 192.0.2.53
www 60 A 192.0.2.1
two 60 A 192.0.2.1
two 40 TXT two
two 40 MX 1 www
""" + "".join('big 60 TXT "%s%d"\n' % ("x" * 230, i) for i in range(BIG))


class Rfc:
    """The cases of one, in the order of the file."""

    def __init__(self, number):
        self.number, self.cases = number, []

    def case(self, section, text):
        def note(function):
            self.cases.append(pytest.param(function, id="RFC%d-%s-%s" % (self.number, section, text.replace(" ", "-"))))
            return function
        return note


class World:
    """A server with plain, TLS and HTTPS listeners, and all three again with short times. `slow.`
    is answered after 0.7 s, all else at once."""

    def __init__(self, program, folder):
        self.ca = Authority(folder)
        self.certificate = self.ca.issue("good", "dns.test", HOST)
        (folder / "db").write_text(ZONE)
        self.up = Upstream(lambda q, p: [(0.7, reply(q))])
        lines = LINES.replace("FOLDER", str(folder)).replace("UPSTREAM", str(self.up))
        text = COREFILE.replace("CERTIFICATE", "%s %s" % self.certificate).replace("include", lines.strip())
        self.server = Server(program, folder, text, "-workers", "2")
        s = self.server
        self.plain, self.tls, self.https = s.port, s.numbered(2), s.numbered(3)
        self.brief, self.brief_tls, self.brief_https = (s.numbered(n) for n in (4, 5, 6))

    def close(self):
        try:
            assert self.server.stop() == 0
        finally:
            self.up.close()

    def pages(self):
        return http_get(self.server.numbered(7), "/metrics")[1]

    # ---- clients ----

    def connect(self, port=None):
        return Connection(port or self.plain)

    def context(self, *alpn, verify=True, **more):
        context = ssl.create_default_context(cafile=self.ca.pem)
        if not verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if alpn:
            context.set_alpn_protocols(alpn)
        for name, value in more.items():
            setattr(context, name, value)
        return context

    def sealed(self, port=None, context=None, session=None, name="dns.test"):
        """A Connection under TLS whose reads tell an orderly end from a cut."""
        conn = Connection(port or self.tls)
        conn.sock = (context or self.context("dot")).wrap_socket(
            conn.sock, server_hostname=name, session=session, suppress_ragged_eofs=False)
        return conn


def wire(name="www.test.", rdtype="A", ident=1, **more):
    return query(name, rdtype, ident, **more).to_wire(max_size=65535)


def framed(*messages):
    return b"".join(struct.pack("!H", len(m)) + m for m in messages)


def ends(conn, seconds=10):
    """Whether the server closes, in an orderly way and without another byte, in that time."""
    conn.sock.settimeout(seconds)
    try:
        return conn.sock.recv(1) == b""
    except TimeoutError:
        return False


def ask(conn, name="www.test.", rdtype="A", ident=1, **more):
    conn.send(wire(name, rdtype, ident, **more))
    return parse(conn.receive())


def same_answer(a, b):
    return [r.to_text() for r in a.answer] == [r.to_text() for r in b.answer] and bool(a.answer)


@pytest.fixture(scope="module")
def world(signpost, tmp_path_factory):
    with contextlib.closing(World(signpost, tmp_path_factory.mktemp("rfc"))) as w:
        yield w


def half_close(conn):
    conn.sock.shutdown(socket.SHUT_WR)
