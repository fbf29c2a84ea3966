"""Floods of what cannot be read, over each transport, beside good clients of all of them; and the
queues of the control socket when they are full."""
import contextlib
import multiprocessing
import random
import socket
import ssl
import struct
import time

import pytest

from dns_world import MANIFEST, WEB, Server, parse
from rfc_world import ask, framed, wire, world  # noqa: F401  a fixture
from test_dns_faults import broken, eventually
from test_dns_guard import is_sanitized
from test_doh import Http1, Http2
from test_rfc8484 import Port, answer, post

SECONDS = 2.5


# ---- floods: each sends one lot over one connection, and says how many messages ----


def some(rand, n=50):
    return [broken(rand) for _ in range(n)]


def udp(w, rand, _):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", w.plain))
        sock.setblocking(False)
        lot = some(rand)
        for message in lot * 4:
            with contextlib.suppress(OSError):
                sock.send(message)
    return len(lot) * 4


def tcp(w, rand, _):
    with w.connect() as c:
        lot = some(rand)
        c.write(framed(*lot) + rand.choice((b"", b"\xff\xff", b"\0", rand.randbytes(30))))
        c.sock.settimeout(0.05)
        with contextlib.suppress(OSError):
            c.sock.recv(65536)
    return len(lot)


def tls(w, rand, context):
    if rand.randrange(3) == 0:  # no TLS at all
        with w.connect(w.tls) as c:
            c.write(rand.choice((rand.randbytes(200), b"\x16\x03\x01\0\x80" + rand.randbytes(128), framed(wire()))))
        return 1
    with w.sealed(context=context, name=None) as c:
        lot = some(rand)
        c.write(framed(*lot))
        if rand.randrange(2):  # and then what is no record any more
            sock = socket.socket(fileno=c.sock.detach())
            with sock:
                sock.sendall(rand.randbytes(300))
    return len(lot)


HEADS = (b"GET /dns-query?dns=%s HTTP/1.1\r\n\r\n", b"POST /dns-query HTTP/1.1\r\nContent-Length: 9%s\r\n\r\n",
         b"%s\r\n\r\n", b"PUT /%s HTTP/1.1\r\n\r\n", b"GET / HTTP/9.9\r\n%s: \0\r\n\r\n")


def https(w, rand, context):
    """Broken requests of HTTP/1.1, or frames by chance behind the preface of HTTP/2."""
    alpn = rand.choice(("h2", "http/1.1"))
    with w.connect(w.https) as c:
        context.set_alpn_protocols([alpn])
        c.sock = context.wrap_socket(c.sock)
        if alpn == "h2":
            data = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + struct.pack("!HBBBI", 0, 0, 4, 0, 0)
            for _ in range(30):
                body = rand.randbytes(rand.randrange(40))
                data += struct.pack("!I", len(body))[1:] + rand.randbytes(6) + body
        else:
            data = b"".join(rand.choice(HEADS) % rand.randbytes(10) for _ in range(30))
        c.write(data)
        c.sock.settimeout(0.05)
        with contextlib.suppress(OSError):
            c.sock.recv(65536)
    return 30


def flood(act, w, results):
    rand, sent = random.Random(7), 0
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(OSError):  # it may close while we still send
            sent += act(w, rand, context)
    results.put(sent)


def good_clients(w):
    """One of each transport, on connections of their own."""
    replies = (w.server.udp(wire(), timeout=0.5) for _ in range(20))
    assert parse(next(r for r in replies if r)).answer
    for conn in (w.connect(), w.sealed()):
        with conn as c:
            assert ask(c).answer
    for protocol in (Http1, Http2):
        with protocol(Port(w.https), w.ca) as conn:
            assert answer(conn.ask(**post())).answer


@pytest.mark.parametrize("act", [udp, tcp, tls, https], ids=lambda act: act.__name__)
def test_flood(world, act):  # noqa: F811
    fork = multiprocessing.get_context("fork")
    results, rounds, before = fork.Queue(), 0, world.server.memory_kb()
    process = fork.Process(target=flood, args=(act, world, results))
    process.start()
    try:
        while process.is_alive() and rounds < 1000:
            good_clients(world)
            rounds += 1
            if not results.empty():
                break
        sent = results.get(timeout=60)
    finally:
        process.join(60)
    assert rounds > 0 and sent > 100, (rounds, sent)
    good_clients(world)
    assert world.server.process.poll() is None
    room = 500 if is_sanitized(world.server) else 100  # a sanitizer keeps what was freed for a while
    assert world.server.memory_kb() - before < room << 10


# ---- the control socket ----


@pytest.fixture(name="controlled")
def controlled_fixture(signpost, tmp_path):
    (tmp_path / "web.yaml").write_text(MANIFEST)
    text = "cluster.local:@PORT@ {\n bind 127.0.0.1\n kubernetes {\n  manifests @DIR@\n }\n}\n"
    with Server(signpost, tmp_path, text, "-control", tmp_path / "control") as server:
        server.until(WEB, ["10.96.0.10"], 10)
        eventually((tmp_path / "control").exists)
        yield server


def connect(server):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(20)
    sock.connect(str(server.folder / "control"))
    return sock


def served(server):
    with connect(server) as sock:
        with contextlib.suppress(ConnectionError):
            sock.sendall(b"nonsense\n")
            return sock.recv(100).startswith(b"error")
        return False


def test_too_many_at_the_control_socket(controlled):
    """Sixteen who say nothing: the next is closed at once, and DNS does not notice. When one goes there is
    a place again."""
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(connect(controlled)) for _ in range(16)]
        eventually(lambda: not served(controlled))
        for _ in range(50):
            assert controlled.addresses(WEB) == ["10.96.0.10"]
        idle[0].close()
        eventually(lambda: served(controlled))


def test_one_who_does_not_read_at_the_control_socket(controlled):
    """What is not taken is bounded: it is closed. Others are served meanwhile."""
    with connect(controlled) as greedy:
        greedy.settimeout(0.2)
        with contextlib.suppress(OSError):
            for _ in range(3000):
                greedy.sendall(b"sockets\n" * 50)
        assert served(controlled)
        assert controlled.addresses(WEB) == ["10.96.0.10"]
    eventually(lambda: served(controlled))


def test_lines_by_chance_at_the_control_socket(controlled):
    rand = random.Random(3)
    for _ in range(100):
        with connect(controlled) as sock, contextlib.suppress(ConnectionError):
            lines = [rand.randbytes(rand.randrange(100)), b"why " + rand.randbytes(30), b"why a.b A x y z",
                     b"x" * rand.choice((4094, 4095, 4096, 9000))]
            sock.sendall(b"\n".join(rand.sample(lines, 3)) + b"\n")
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(4096):
                pass
    assert served(controlled) and controlled.addresses(WEB) == ["10.96.0.10"]
