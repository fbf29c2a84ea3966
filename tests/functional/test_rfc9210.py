"""RFC 9210, DNS Transport over TCP: Operational Requirements."""
import contextlib
import re
import socket
import time

import dns.flags
import pytest

from dns_world import Connection, parse
from rfc_world import (BIG, Rfc, ask, ends, framed, same_answer, wire, world)  # noqa: F401  a fixture
from test_dns_faults import World as Crowded, close_all, connect, eventually, wait_closed

RFC = Rfc(9210)


def metric(w, name, **labels):
    """The sum over all lines of that name whose labels hold these."""
    found = re.findall(r"^%s(?:\{(.*)\})? ([\d.e+]+)$" % name, w.pages(), re.M)
    assert found, name + " is not there"
    return sum(float(value) for have, value in found
               if all('%s="%s"' % item in have for item in labels.items()))


@RFC.case("3", "every listener of UDP is one of TCP, and gives the same answers")
def both(w):
    for port in (w.plain, w.brief):
        assert same_answer(w.server.ask("www.test.", port=port), w.server.ask("www.test.", port=port, tcp=True))


@RFC.case("3", "what does not fit into a datagram is had over TCP at once")
def large(w):
    for size in (512, 1232, 4096):
        assert w.server.ask("big.test.", "TXT", payload=size).flags & dns.flags.TC
    assert len(w.server.ask("big.test.", "TXT", tcp=True).answer) == BIG


@RFC.case("4.1", "many that connect at once are all accepted")
def admission(w):
    conns = connect(w.plain, 400)
    try:
        for sock in conns:
            sock.setblocking(True)
            sock.settimeout(20)
            sock.sendall(framed(wire()))
        for sock in conns:
            assert len(sock.recv(4096)) > 12
    finally:
        close_all(conns)


@RFC.case("4.2", "the number of connections is limited by the descriptors there are, and told")
def limit(w):
    eventually(lambda: metric(w, "signpost_tcp_connections") == 0, 30)  # those of the cases before
    with w.connect() as a, w.connect() as b:
        ask(a), ask(b)
        assert metric(w, "signpost_tcp_connections") == 2
        assert metric(w, "signpost_tcp_connections_max") > 100


@RFC.case("4.2", "idle connections are closed after a time that can be set")
def idle_time(w):
    with w.connect(w.brief) as brief, w.connect() as usual:
        ask(usual), ask(brief)
        begin = time.monotonic()
        assert ends(brief) and time.monotonic() - begin < 9
        assert ask(usual).answer


@RFC.case("4.2", "the number of queries of a connection can be limited")
def transactions(w):
    with w.connect(w.brief) as c:
        assert [ask(c, ident=i).id for i in range(5)] == list(range(5))
        assert ends(c)


@RFC.case("4.2", "a reply that a client does not take is not kept for ever")
def not_taken(w):
    with w.connect() as c:
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.sock.settimeout(0.5)
        with contextlib.suppress(OSError):
            for _ in range(20000):
                c.write(framed(wire("big.test.", "TXT")))
        with w.connect() as other:
            assert ask(other).answer
        time.sleep(5.5)  # reading earlier would be progress
        c.sock.settimeout(20)
        with contextlib.suppress(ConnectionError):
            while c.sock.recv(1 << 20):
                pass


@RFC.case("4.3", "the server ends a connection without a reset")
def no_reset(w):
    for _ in range(5):
        with w.connect(w.brief) as c:
            c.write(framed(*(wire(ident=i) for i in range(100))))
            got = [parse(c.receive()).id for _ in range(5)]
            c.write(framed(wire()))
            assert sorted(got) == list(range(5)) and ends(c)


@RFC.case("4.4", "DNS over TLS: sessions are resumed, so that new connections are cheap")
def tls(w):
    context = w.context("dot")
    with w.sealed(context=context) as c:
        ask(c)
        session = c.sock.session
    with w.sealed(context=context, session=session) as c:
        assert ask(c).answer and c.sock.session_reused


@RFC.case("5.1", "a retry over UDP gets the same reply: no state is kept between them")
def retries(w):
    assert len({w.server.udp(wire("big.test.", "TXT")) for _ in range(5)}) == 1


@RFC.case("6", "TCP shows in log and metrics")
def monitoring(w):
    count = {"proto": "tcp", "server": "dns://127.0.0.1:%d" % w.plain}
    before = metric(w, "coredns_dns_requests_total", **count)
    with w.connect() as c:
        for i in range(7):
            ask(c, ident=i)
    assert metric(w, "coredns_dns_requests_total", **count) == before + 7
    w.server.wait_log("[INFO] tcp www.test. A")
    for name in ("refused", "evicted", "paused", "accept_failures"):
        metric(w, "signpost_tcp_%s_total" % name)


@pytest.mark.parametrize("case", RFC.cases)
def test_rfc9210(world, case):  # noqa: F811
    case(world)


def test_rfc9210_section_4_2_a_full_house(signpost, tmp_path):
    """At the limit the connection that has been idle longest makes room for a newcomer, who is served."""
    with Crowded(signpost, tmp_path, "-workers", "1") as s:
        seats = int(s.metric("signpost_tcp_connections_max"))
        idle, n = [], min(seats, 4096) + 50
        try:
            for _ in range(5):  # not every one is taken at once, and the first do not stay for ever
                idle += connect(s.port, n)
                with Connection(s.port) as c:
                    c.send(wire("good.test."))
                    assert parse(c.receive()).answer
                if s.metric("signpost_tcp_evicted_total") > 0:
                    break
            else:
                raise AssertionError("nobody made room")
            assert s.metric("signpost_tcp_refused_total") == 0
            wait_closed(idle, 30)
        finally:
            close_all(idle)
