"""RFC 7766, DNS Transport over TCP; and RFC 7828, the EDNS option that tells how long it may be idle."""
import socket
import struct
import time

import dns.edns
import dns.flags
import pytest

from dns_world import parse
from rfc_world import (BIG, Rfc, ask, ends, framed, half_close, same_answer, wire,  # noqa: F401
                       world)  # noqa: F401  a fixture

RFC = Rfc(7766)
KEEPALIVE = 11


@RFC.case("5", "the same answer over both transports")
def both_transports(w):
    for name, rdtype in (("www.test.", "A"), ("test.", "SOA"), ("two.test.", "MX")):
        assert same_answer(w.server.ask(name, rdtype), w.server.ask(name, rdtype, tcp=True))


@RFC.case("5", "what is truncated over UDP is whole over TCP")
def truncated(w):
    assert w.server.ask("big.test.", "TXT").flags & dns.flags.TC
    reply = w.server.ask("big.test.", "TXT", tcp=True)
    assert not reply.flags & dns.flags.TC and len(reply.answer) == BIG


@RFC.case("5", "a client may begin with TCP")
def tcp_first(w):
    with w.connect() as c:
        assert ask(c).answer


@RFC.case("6.2.1", "one connection for many queries")
def reuse(w):
    with w.connect() as c:
        for i in range(200):
            assert ask(c, ident=i).id == i


@RFC.case("6.2.1.1", "pipelining: all are taken before any reply is read")
def pipelining(w):
    with w.connect() as c:
        c.write(framed(*(wire(ident=i) for i in range(500))))
        assert sorted(parse(c.receive()).id for _ in range(500)) == list(range(500))


@RFC.case("6.2.2", "a client may have several connections")
def concurrent(w):
    conns = [w.connect() for _ in range(30)]
    for c in conns:
        c.send(wire())
    for c in conns:
        assert parse(c.receive()).answer
        c.sock.close()


@RFC.case("6.2.3", "an idle connection is closed, in an orderly way")
def idle(w):
    with w.connect(w.brief) as c:
        assert ask(c).answer
        begin = time.monotonic()
        assert ends(c) and time.monotonic() - begin > 0.5


@RFC.case("6.2.3", "each query begins the idle time anew")
def idle_anew(w):
    with w.connect(w.brief) as c:
        for _ in range(4):  # over more than two idle times, by less than half of one
            assert ask(c).answer
            time.sleep(0.4)
        assert ends(c)


@RFC.case("6.2.3", "no query outstanding: a connection that never asks is closed, too")
def mute(w):
    with w.connect(w.brief) as c:
        assert ends(c)


@RFC.case("6.2.3", "a connection with a query outstanding is not idle")
def outstanding(w):
    with w.connect(w.brief) as c:
        for i in range(3):
            c.send(wire("n%d.slow." % i, ident=i))
            assert parse(c.receive()).id == i


@RFC.case("6.2.4", "the last replies arrive although more has been asked")
def last_replies(w):
    """maxtcpqueries is five: what comes behind them is dropped without a reset."""
    for slow in ("", "slow."):
        with w.connect(w.brief) as c:
            names = ["m%d.%s" % (i, slow or "test.") for i in range(60)]
            c.write(framed(*(wire(name, ident=i) for i, name in enumerate(names))))
            assert sorted(parse(c.receive()).id for _ in range(5)) == list(range(5))
            c.write(framed(*(wire(ident=9) for _ in range(50))))
            assert ends(c)


@RFC.case("6.2.4", "a client that has closed its side gets what it waits for")
def half_closed(w):
    with w.connect() as c:
        c.send(wire(ident=1), wire("a.slow.", ident=2), wire("b.slow.", ident=3))
        half_close(c)
        assert sorted(parse(c.receive()).id for _ in range(3)) == [1, 2, 3]
        assert ends(c)


@RFC.case("6.2.4", "a client that resets harms nobody else")
def resets(w):
    for _ in range(20):
        with w.connect() as c:
            c.send(wire("r.slow."), wire())
            c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with w.connect() as c:
        assert ask(c).answer


@RFC.case("7", "replies come as they become ready")
def reordering(w):
    with w.connect() as c:
        c.send(wire("o.slow.", ident=1), *(wire(ident=i) for i in range(2, 6)))
        order = [parse(c.receive()).id for _ in range(5)]
        assert order[-1] == 1 and sorted(order) == [1, 2, 3, 4, 5]


@RFC.case("7", "one id for two questions: the question tells the replies apart")
def one_id(w):
    with w.connect() as c:
        c.send(wire("s.slow.", ident=7), wire("two.test.", "TXT", ident=7))
        names = [parse(c.receive()).question[0].name.to_text() for _ in range(2)]
        assert names == ["two.test.", "s.slow."]


@RFC.case("8", "length and message leave in one segment")
def one_segment(w):
    with w.connect() as c:
        for i in range(20):
            c.send(wire(ident=i))
            data = c.sock.recv(65535)
            assert len(data) == 2 + struct.unpack("!H", data[:2])[0]


@RFC.case("8", "length and message may come in any pieces")
def pieces(w):
    whole = framed(wire(ident=1), wire(ident=2))
    for size in (1, 2, 3, 7, 31, 33):
        with w.connect() as c:
            c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for at in range(0, len(whole), size):
                c.write(whole[at:at + size])
                time.sleep(0.001)
            assert sorted(parse(c.receive()).id for _ in range(2)) == [1, 2]


@RFC.case("8", "the length alone, and then the message")
def length_alone(w):
    with w.connect() as c:
        c.write(framed(wire())[:2])
        time.sleep(0.1)
        c.write(wire())
        assert parse(c.receive()).answer


@RFC.case("8", "two and a half messages at once")
def two_and_a_half(w):
    whole = framed(wire(ident=1), wire(ident=2), wire(ident=3))
    with w.connect() as c:
        c.write(whole[:-20])
        assert sorted(parse(c.receive()).id for _ in range(2)) == [1, 2]
        c.write(whole[-20:])
        assert parse(c.receive()).id == 3


@RFC.case("8", "a message of 65535 octets")
def longest(w):
    long = wire(ident=4, options=[dns.edns.GenericOption(65001, bytes(65535 - len(wire(use_edns=0)) - 4))])
    assert len(long) == 65535
    with w.connect() as c:
        c.send(long, wire(ident=5))
        assert sorted(parse(c.receive()).id for _ in range(2)) == [4, 5]


@RFC.case("8", "a message that never becomes complete gets no reply and holds nothing up")
def incomplete(w):
    with w.connect(w.brief) as c:
        c.write(framed(wire())[:-1])
        assert ends(c)
    with w.connect() as c:
        c.write(framed(wire())[:-1])
        half_close(c)
        assert ends(c, 2)


@RFC.case("8", "a message of no octets is passed over")
def empty(w):
    with w.connect() as c:
        c.write(b"\0\0" + framed(wire(ident=6)) + b"\0\0\0\0")
        assert parse(c.receive()).id == 6
        assert ask(c, ident=7).id == 7


@RFC.case("10", "one client's slow queries hold no other client up")
def fair(w):
    with w.connect() as slow:
        slow.write(framed(*(wire("f%d.slow." % i, ident=i) for i in range(200))))
        begin = time.monotonic()
        with w.connect() as c:
            assert ask(c).answer
        assert time.monotonic() - begin < 0.6
        assert sorted(parse(slow.receive()).id for _ in range(200)) == list(range(200))


# ---- RFC 7828 ----


def keepalive(reply):
    return [option.data if hasattr(option, "data") else option.to_wire()
            for option in reply.options if option.otype == KEEPALIVE]


def with_keepalive(**more):
    return {"options": [dns.edns.GenericOption(KEEPALIVE, b"")], **more}


@RFC.case("RFC7828-3.3.2", "who does not ask is not told")
def not_told(w):
    with w.connect() as c:
        assert keepalive(ask(c, use_edns=0)) == [] and not ask(c).options


@RFC.case("RFC7828-3.2.1", "without TLS the option comes back as it was sent, as from the reference")
def echoed(w):
    assert keepalive(w.server.ask("www.test.", **with_keepalive())) == [b""]
    with w.connect() as c:
        assert keepalive(ask(c, **with_keepalive())) == [b""]


@pytest.mark.parametrize("case", RFC.cases)
def test_rfc7766(world, case):  # noqa: F811
    case(world)
