"""Upstreams that are dead, slow, lying, cutting, huge or that hang up: what the client gets, when at
the latest, and that all others are served meanwhile. One worker serves everybody here."""
import socket
import struct
import threading
import time

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from forward_world import HOST, Server, Upstream, free_port, reply

COREFILE = """.:@PORT@ {
 bind 127.0.0.1
 errors
 prometheus @METRICS@
 forward good.test %s
 forward . %s {
  %s
 }
}
"""
LATEST = 6.5  # seconds: an upstream has 5, and this machine may be busy
WRONG, RIGHT = "192.0.2.66", "192.0.2.1"


class RawTcp:
    """Does what it likes with each connection: act(connection, query)."""

    def __init__(self, act):
        self.act, self.connections, self.open = act, 0, []
        self.port = free_port()
        self.listener = socket.create_server((HOST, self.port))
        threading.Thread(target=self.serve, daemon=True).start()

    def __str__(self):
        return "%s:%d" % (HOST, self.port)

    def serve(self):
        while True:
            try:
                conn = self.listener.accept()[0]
            except OSError:
                return
            self.connections += 1
            self.open.append(conn)
            threading.Thread(target=self.one, args=(conn,), daemon=True).start()

    def one(self, conn):
        try:
            size = struct.unpack("!H", conn.recv(2, socket.MSG_WAITALL))[0]
            self.act(conn, dns.message.from_wire(conn.recv(size, socket.MSG_WAITALL)))
        except (OSError, struct.error):
            pass

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        for sock in [self.listener, *self.open]:
            sock.close()


class World:
    def __init__(self, signpost, folder):
        self.signpost, self.folder, self.made = signpost, folder, []
        self.good = self.keep(Upstream())

    def keep(self, thing):
        self.made.append(thing)
        return thing

    def serve(self, up, options=""):
        corefile = COREFILE % (self.good, up, options)
        self.server = self.keep(Server(self.signpost, self.folder, corefile))
        return self.server

    def close(self):
        for thing in reversed(self.made):
            thing.stop() if isinstance(thing, Server) else thing.close()

    def ask(self, tcp=False, **options):
        """Asks what the bad one is to answer; others ask the good one until that has ended.
        Returns the reply and the seconds that it took."""
        found = []

        def bad():
            begin = time.monotonic()
            got = self.server.ask("x.bad.test.", tcp=tcp, timeout=LATEST, **options)
            found.append((got, time.monotonic() - begin))

        thread = threading.Thread(target=bad)
        thread.start()
        served = 0
        while thread.is_alive() or served < 4:
            got = self.server.ask("n%d.good.test." % served, tcp=served % 4 == 3, timeout=2)
            assert address_of(got) == RIGHT
            served += 1
            time.sleep(0.02)
        thread.join()
        assert found, "no reply within %.1f s" % LATEST
        return found[0]


def address_of(message):
    return message.answer[0][0].address if message.answer else None


@pytest.fixture(name="world")
def world_fixture(signpost, tmp_path):
    world = World(signpost, tmp_path)
    yield world
    world.close()


def lies(query):
    """Replies that must not be taken: another id, another question, a question, no reply at all."""
    right = reply(query, WRONG)
    other = dns.message.make_query("other.bad.test.", "A", id=query.id)
    longer = dns.message.make_query("x.x.bad.test.", "A", id=query.id)
    text = dns.message.make_query(query.question[0].name, "TXT", id=query.id)
    chaos = dns.message.make_query(query.question[0].name, "A", "CH", id=query.id)
    for ident in (query.id ^ 1, query.id ^ 0x8000, 0):
        yield struct.pack("!H", ident) + right[2:]
    for wrong in (other, longer):
        yield reply(wrong, WRONG)
    for wrong in (text, chaos):
        yield reply(wrong, None)
    yield right[:2] + bytes([right[2] & 0x7f]) + right[3:]
    yield right[:4] + b"\0\0" + right[6:]
    yield right[:11]


# ---- dead and slow ----

@pytest.mark.parametrize("tcp", [False, True])
def test_dead(world, tcp):
    world.serve("%s:%d" % (HOST, free_port()))
    got, took = world.ask(tcp)
    assert got.rcode() == dns.rcode.SERVFAIL and took < LATEST


@pytest.mark.parametrize("tcp", [False, True])
def test_silent(world, tcp):
    """Two tries of two seconds."""
    up = world.keep(Upstream(lambda q, p: []))
    world.serve(up)
    got, took = world.ask(tcp)
    assert got.rcode() == dns.rcode.SERVFAIL and 3.9 < took < LATEST
    assert up.asked("x.bad.test.") == 2


@pytest.mark.parametrize("tcp", [False, True])
def test_slow(world, tcp):
    up = world.keep(Upstream(lambda q, p: [(1.2, reply(q))]))
    world.serve(up)
    got, took = world.ask(tcp)
    assert address_of(got) == RIGHT and 1.1 < took < LATEST
    assert up.asked("x.bad.test.") == 1


def test_too_slow(world):
    """A reply that comes after its try has ended is nobody's."""
    up = world.keep(Upstream(lambda q, p: [(0.5, reply(q, WRONG))]))
    world.serve(up, "read_timeout 200ms\n  max_connect_attempts 4")
    got, took = world.ask()
    assert got.rcode() == dns.rcode.SERVFAIL and not got.answer and 0.7 < took < LATEST
    assert up.asked("x.bad.test.") == 4


# ---- lying ----

@pytest.mark.parametrize("tcp", [False, True])
def test_nothing_but_lies(world, tcp):
    up = world.keep(Upstream(lambda q, p: list(lies(q))))
    server = world.serve(up, "read_timeout 500ms\n  max_connect_attempts 2\n  max_fails 0")
    got, took = world.ask(tcp)
    assert got.rcode() == dns.rcode.SERVFAIL and not got.answer and 0.9 < took < LATEST
    dummy = dns.message.make_query("x.bad.test.", "A")
    assert server.metric("signpost_upstream_ignored_total") == 2 * len(list(lies(dummy)))


@pytest.mark.parametrize("tcp", [False, True])
def test_the_truth_among_lies(world, tcp):
    up = world.keep(Upstream(lambda q, p: [*lies(q), (0.4, reply(q)), (0.5, reply(q, WRONG))]))
    world.serve(up)
    got, took = world.ask(tcp)
    assert address_of(got) == RIGHT and took < LATEST and up.asked("x.bad.test.") == 1


def test_another_source(world):
    """The right id and question, but from another port, and from another address."""
    spoofers = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    spoofers[0].bind((HOST, 0))
    made = []

    def act(query, _):
        for spoofer in spoofers:
            for source in made[0].sources:
                spoofer.sendto(reply(query, WRONG), (HOST, source))
        return [(0.3, reply(query))]

    made.append(world.keep(Upstream(act)))
    spoofers[1].bind(("127.0.0.66", made[0].port))
    world.serve(made[0])
    got, took = world.ask()
    assert address_of(got) == RIGHT and 0.2 < took < LATEST
    for spoofer in spoofers:
        spoofer.close()


def test_a_flood_of_forgeries(world):
    """Thousands of guesses at the id, while the right answer takes its time."""
    def act(query, _):
        wire = reply(query, WRONG)
        guesses = (i for i in range(3000) if i != query.id)
        return [*(struct.pack("!H", i) + wire[2:] for i in guesses), (0.3, reply(query))]
    world.serve(world.keep(Upstream(act)))
    got, took = world.ask()
    assert address_of(got) == RIGHT and took < LATEST


# ---- broken, cut and huge ----

@pytest.mark.parametrize("tcp", [False, True])
def test_broken_messages(world, tcp):
    """The header and question are right, what follows is not."""
    def act(query, _):
        return [reply(query)[:-1]]
    up = world.keep(Upstream(act))
    world.serve(up)
    got, took = world.ask(tcp)
    assert got.rcode() == dns.rcode.SERVFAIL and took < LATEST
    assert up.asked("x.bad.test.") == 2


def test_always_cut(world):
    """TC over UDP is the client's to deal with; over TCP it makes no sense, and is no loop."""
    up = world.keep(Upstream(lambda q, p: [reply(q, flags=dns.flags.TC)]))
    world.serve(up, "prefer_udp")
    for tcp in (False, True):
        got, took = world.ask(tcp)
        assert got.flags & dns.flags.TC and took < LATEST
    assert up.asked("x.bad.test.") == 4  # each over UDP and then over TCP


@pytest.mark.parametrize("tcp", [False, True])
def test_huge(world, tcp):
    def act(query, _):
        message = dns.message.make_response(query)
        texts = " ".join('"%s"' % ("y" * 255) for _ in range(250))
        message.answer.append(dns.rrset.from_text(query.question[0].name, 1, "IN", "TXT", texts))
        return [message.to_wire(max_size=65535)]
    world.serve(world.keep(Upstream(act)))
    got, took = world.ask(tcp, rdtype="TXT", use_edns=0, payload=1232)
    assert took < LATEST and (len(got.to_wire()) > 64000 if tcp else got.flags & dns.flags.TC)


def test_more_than_a_message_holds(world):
    """A TCP stream of the longest messages that nobody asked for, and then the answer."""
    def act(conn, query):
        junk = struct.pack("!HH", 65535, query.id ^ 1) + bytes(65533)
        wire = reply(query)
        conn.sendall(junk * 20 + struct.pack("!H", len(wire)) + wire)
    world.serve(world.keep(RawTcp(act)))
    got, took = world.ask(True)
    assert address_of(got) == RIGHT and took < LATEST


# ---- hanging up ----

def hang_up(conn, _):
    conn.close()


def reset(conn, _):
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.close()


def half_a_message(conn, query):
    wire = reply(query, WRONG)
    conn.sendall(struct.pack("!H", len(wire)) + wire[:-5])
    conn.close()


def half_a_length(conn, _):
    conn.sendall(b"\0")
    conn.close()


@pytest.mark.parametrize("act", [hang_up, reset, half_a_message, half_a_length])
def test_hanging_up(world, act):
    up = world.keep(RawTcp(act))
    world.serve(up)
    got, took = world.ask(True)
    assert got.rcode() == dns.rcode.SERVFAIL and not got.answer and took < LATEST
    assert up.connections == 2


def test_hanging_up_behind_the_answer(world):
    def act(conn, query):
        wire = reply(query)
        conn.sendall(struct.pack("!H", len(wire)) + wire + b"\0\7junk")
        conn.close()
    up = world.keep(RawTcp(act))
    world.serve(up)
    for i in range(3):
        got, took = world.ask(True)
        assert address_of(got) == RIGHT and took < LATEST
        assert up.connections == i + 1


def test_dripping(world):
    """One byte after the other, but never all of them."""
    def act(conn, query):
        wire = reply(query, WRONG)
        for byte in struct.pack("!H", 400) + wire:
            conn.sendall(bytes([byte]))
            time.sleep(0.2)
    world.serve(world.keep(RawTcp(act)), "read_timeout 1s")
    got, took = world.ask(True)
    assert got.rcode() == dns.rcode.SERVFAIL and 1.9 < took < LATEST


def test_nobody_accepts(world):
    """The kernel takes the connection and the question, and that is all."""
    with socket.create_server((HOST, 0)) as listener:
        world.serve("%s:%d" % (HOST, listener.getsockname()[1]), "read_timeout 1s")
        got, took = world.ask(True)
    assert got.rcode() == dns.rcode.SERVFAIL and 1.9 < took < LATEST
