"""Too much of everything: what the client gets, and that other clients are served meanwhile.

Each test drives one limit to its end, looks at what those beyond it see, asks good questions at the
same time, and reads the metric that tells the operator.
"""
import contextlib
import os
import pathlib
import random
import re
import resource
import select
import socket
import struct
import subprocess
import threading
import time

import pytest

from dns_world import Connection, Server, free_port, header, http_get, opt, parse, query, question

COREFILE = """.:@PORT@ {
    bind 127.0.0.1
    errors
    prometheus 127.0.0.1:@PORT2@
    health 127.0.0.1:@PORT3@
    forward . %s {
        max_fails 0
        policy round_robin
    }
}
good.test.:@PORT@ {
    bind 127.0.0.1
    template IN A {
        answer "{{ .Name }} 60 IN A 192.0.2.1"
    }
}
"""
GOOD = "www.good.test."


@pytest.fixture(scope="module", autouse=True)
def many_files():
    """As many descriptors as this machine gives."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


class Silent:
    """Upstreams that take questions, by UDP and TCP, and say nothing."""

    def __init__(self, n=1):
        self.sockets, self.ports = [], [free_port() for _ in range(n)]
        for port in self.ports:
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                sock = socket.socket(socket.AF_INET, kind)
                sock.bind(("127.0.0.1", port))
                self.sockets.append(sock)
            sock.listen(1024)

    def __str__(self):
        return " ".join("127.0.0.1:%d" % port for port in self.ports)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for sock in self.sockets:
            sock.close()


class World(Server):
    def __init__(self, program, folder, *flags, upstreams="127.0.0.1:9"):
        super().__init__(program, folder, COREFILE % upstreams, *flags)

    def metric(self, name, labels=""):
        text = http_get(self.numbered(2), "/metrics")[1]
        found = re.findall(r"^%s%s ([\d.e+]+)$" % (name, re.escape(labels)), text, re.M)
        assert found, "%s is not there" % name
        return sum(float(f) for f in found)

    def cpu(self):
        """Seconds of CPU so far."""
        fields = pathlib.Path("/proc/%d/stat" % self.process.pid).read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def limit_memory(self, room):
        """What is left of the address space from now on."""
        pages = int(pathlib.Path("/proc/%d/statm" % self.process.pid).read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + room
        resource.prlimit(self.process.pid, resource.RLIMIT_AS, (limit, limit))

    def is_sanitized(self):
        return "left out in a build with a sanitizer" in self.log()

    # ---- good clients ----

    def good_udp(self, n=20, tries=1, timeout=5.0):
        """Every question gets its answer, within so many tries."""
        for _ in range(n):
            reply = None
            for _ in range(tries):
                reply = reply or self.udp(query(GOOD).to_wire(), timeout=timeout)
            assert reply, self.log()[-2000:]
            assert parse(reply).answer, parse(reply)

    def good_tcp(self, n=5):
        for _ in range(n):
            assert parse(self.tcp(query(GOOD).to_wire())).answer


def eventually(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not come to that"
        time.sleep(0.02)


# ---- connections ----

def connect(port, n):
    """So many connections, as far as they are taken; no faster than a slow server's backlog empties."""
    sockets = []
    end = time.monotonic() + 10
    for i in range(n):
        sock = socket.socket()
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            sock.connect(("127.0.0.1", port))
        sockets.append(sock)
        if i % 256 == 255:
            poll = select.poll()
            poll.register(sock, select.POLLOUT)
            poll.poll(max(0, end - time.monotonic()) * 1000)
    return sockets


def close_all(sockets):
    for sock in sockets:
        sock.close()


def wait_closed(sockets, seconds):
    """Until the server has closed them all."""
    poll, waiting = select.poll(), {s.fileno(): s for s in sockets}
    for number in waiting:
        poll.register(number, select.POLLIN | select.POLLHUP)
    end = time.monotonic() + seconds
    while waiting:
        assert time.monotonic() < end, "%d are still open" % len(waiting)
        for number, _ in poll.poll(100):
            with contextlib.suppress(ConnectionError):
                assert waiting[number].recv(1) == b""
            poll.unregister(number)
            del waiting[number]


def test_idle_connections(signpost, tmp_path):
    """10,000 who say nothing, or as many as this machine has descriptors for. The oldest make room
    for newcomers; all of them are closed after three seconds."""
    n = min(10000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200)
    with World(signpost, tmp_path, "-workers", "2") as s:
        idle = connect(s.port, n)
        try:
            s.good_udp(200)
            s.good_tcp(20)
            seats = s.metric("signpost_tcp_connections_max")
            assert s.metric("signpost_tcp_connections") <= min(seats, 2 * 4096)
            wait_closed(idle, 20)
        finally:
            close_all(idle)
        gone = s.metric("signpost_tcp_evicted_total") + s.metric("signpost_tcp_refused_total")
        if n > 2 * 4096:
            assert gone >= n - 2 * 4096
        eventually(lambda: s.metric("signpost_tcp_connections") == 0)
        s.good_tcp()
        assert s.stop() == 0


def drip(sockets, message, stop):
    """One byte a second on each."""
    at = 0
    while not stop.wait(1.0):
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.send(message[at:at + 1])
        at += 1


def test_slow_clients(signpost, tmp_path):
    """One byte a second does not prolong anything: the whole first message has three seconds."""
    wire = query(GOOD).to_wire()
    with World(signpost, tmp_path, "-workers", "1") as s:
        slow, stop = connect(s.port, 500), threading.Event()
        thread = threading.Thread(target=drip, args=(slow, struct.pack("!H", len(wire)) + wire, stop))
        thread.start()
        try:
            begin = time.monotonic()
            while time.monotonic() < begin + 2.5:
                s.good_udp(5)
                s.good_tcp(1)
            wait_closed(slow, 20)
        finally:
            stop.set()
            thread.join()
            close_all(slow)
        assert s.stop() == 0


def test_paused_connection(signpost, tmp_path):
    """Too many unanswered messages on one connection: the rest waits, and all get their answers."""
    with Silent() as up, World(signpost, tmp_path, "-workers", "1", upstreams=up) as s, \
            Connection(s.port) as c:
        c.sock.settimeout(20)
        c.send(*(query("n%d.slow.test." % i, ident=i).to_wire() for i in range(140)))
        eventually(lambda: s.metric("signpost_tcp_paused_total") >= 1)
        s.good_udp()
        s.good_tcp()
        up.close() # all that wait are told so
        replies = [parse(c.receive()) for _ in range(140)]
        assert sorted(r.id for r in replies) == list(range(140))
        assert {r.rcode() for r in replies} == {2}


# ---- descriptors ----

class Poor(World):
    """A server with so few descriptors."""

    def __init__(self, program, folder, files, *flags, **more):
        script = folder / "poor"
        script.write_text('#!/bin/sh\nulimit -n %d\nexec "%s" "$@"\n' % (files, program))
        script.chmod(0o755)
        super().__init__(str(script), folder, *flags, **more)


@pytest.mark.parametrize("files", [60, 100])
def test_few_descriptors(signpost, tmp_path, files):
    """Connections never take the last ones: upstreams, files and pages need them."""
    with Poor(signpost, tmp_path, files, "-workers", "4") as s:
        idle = []
        try:
            end = time.monotonic() + 2
            while time.monotonic() < end: # a crowd that comes and goes
                idle += connect(s.port, 60)
                close_all(idle[:-240])
                idle = idle[-240:]
                s.good_udp(5)
            s.good_tcp(10)
            assert http_get(s.numbered(3), "/health")[0] == 200
            assert s.metric("signpost_tcp_accept_failures_total") == 0
            before, end = s.cpu(), time.monotonic() + 1
            while time.monotonic() < end:
                s.good_udp(1)
                time.sleep(0.05)
            assert s.cpu() - before < 0.5, "it goes round in circles"
        finally:
            close_all(idle)
        s.good_tcp(10)
        assert s.metric("signpost_tcp_evicted_total") > 0
        assert s.stop() == 0


# ---- memory ----

def flood_slow(server, n, every=0):
    """Questions that nobody answers; returns the socket with the replies that may come."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    sock.connect(("127.0.0.1", server.port))
    for i in range(n):
        sock.send(header(i & 0xffff) + question("n%d.slow.test." % i))
        if every and i % every == 0:
            server.good_udp(1, tries=5, timeout=1)
    return sock


def rcodes(sock, seconds):
    """How often each came, until it is quiet."""
    counts, end = {}, time.monotonic() + seconds
    sock.settimeout(0.5)
    while time.monotonic() < end:
        try:
            code = sock.recv(65535)[3] & 15
        except TimeoutError:
            break
        counts[code] = counts.get(code, 0) + 1
    return counts


def test_no_memory(signpost, tmp_path):
    """Questions that would have to wait are refused, connections too; all others are answered; then
    it recovers."""
    with Silent(8) as up, World(signpost, tmp_path, "-workers", "1", upstreams=up) as s:
        if s.is_sanitized():
            pytest.skip("a sanitizer's shadow memory does not go together with a limit")
        s.good_tcp()
        flood_slow(s, 200).close()
        s.limit_memory(16 << 20)
        with flood_slow(s, 12000, every=50) as sock:
            eventually(lambda: s.metric("signpost_dns_no_memory_total") > 0, 5)
            s.good_udp(50)
            assert set(rcodes(sock, 12)) == {2}
        assert s.process.poll() is None, s.log()
        eventually(lambda: s.metric("signpost_dns_memory_short") == 0)
        s.good_udp(50)
        s.good_tcp()
        assert s.stop() == 0


def test_no_memory_for_connections(signpost, tmp_path):
    """64 KiB each while a message is incomplete: those for which there is none are closed."""
    with World(signpost, tmp_path, "-workers", "1") as s:
        if s.is_sanitized():
            pytest.skip("a sanitizer's shadow memory does not go together with a limit")
        s.good_tcp()
        s.limit_memory(24 << 20)
        half = connect(s.port, 2000)
        try:
            for sock in half:
                with contextlib.suppress(OSError):
                    sock.send(b"\0\x40half a message")
            s.good_udp(100)
            wait_closed(half, 20)
        finally:
            close_all(half)
        assert s.process.poll() is None, s.log()
        eventually(lambda: s.metric("signpost_dns_memory_short") == 0)
        s.good_udp(50)
        s.good_tcp()
        assert s.stop() == 0


# ---- broken messages ----

def broken(rand):
    """A message that cannot be read, of every kind."""
    kind = rand.randrange(6)
    if kind == 0:
        return rand.randbytes(rand.randrange(1, 600))
    if kind == 1:
        whole = header() + question(GOOD) + opt()
        return whole[:rand.randrange(len(whole))]
    if kind == 2: # a name that points to itself, and two that point to each other
        return header() + rand.choice((b"\xc0\x0c", b"\xc0\x0e\xc0\x0c", b"\1a\xc0\x0c")) + b"\0\1\0\1"
    if kind == 3: # counts that lie
        return header(qd=rand.choice((0, 2, 65535)), ar=rand.randrange(65536)) + question(GOOD)
    if kind == 4: # labels without end
        return header() + b"\x3f" + b"a" * 63 + b"\x3f" * 400
    return header(flags=0x8180) + question(GOOD) # a reply


FLOOD = """
import random, socket, sys, time
sys.path[:0] = %r, %r
from test_dns_faults import broken
rand = random.Random(int(sys.argv[2]))
messages = [broken(rand) for _ in range(2000)]
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.connect(("127.0.0.1", int(sys.argv[1])))
sock.setblocking(False)
sent, end = 0, time.monotonic() + 2.5
while time.monotonic() < end:
    for message in messages:
        try:
            sock.send(message)
            sent += 1
        except OSError:
            pass
print(sent)
"""


def test_flood_of_broken_messages(signpost, tmp_path):
    """At the speed of a whole core, while good questions are answered, at the latest when asked again."""
    here = pathlib.Path(__file__).parent
    with World(signpost, tmp_path, "-workers", "1") as s:
        with subprocess.Popen(["/usr/bin/python3", "-B", "-c", FLOOD % (str(here), str(here.parent / "lib")), str(s.port), "1"],
                              stdout=subprocess.PIPE, text=True) as flood:
            while flood.poll() is None:
                s.good_udp(5, tries=10, timeout=0.5)
                s.good_tcp(1)
            sent = int(flood.stdout.read())
        assert sent > 20000
        assert s.metric("signpost_dns_malformed_total") > 10000
        s.good_udp(50)
        assert s.stop() == 0


# ---- queues ----

def test_too_many_at_one_upstream(signpost, tmp_path):
    """4096 under way; the others fail at once, and again is a question that can be asked."""
    with Silent() as up, World(signpost, tmp_path, "-workers", "1", upstreams=up) as s:
        begin = time.monotonic()
        with flood_slow(s, 6000, every=100) as sock:
            full = '{proxy_name="forward",to="%s"}' % up
            eventually(lambda: s.metric("signpost_upstream_full_total", full) > 0, 5)
            early = sock.recv(65535)
            assert early[3] & 15 == 2
            if time.monotonic() - begin < 4: # before anything has timed out
                s.good_udp(50)
                s.good_tcp()
            assert set(rcodes(sock, 12)) == {2}
        s.good_udp()


def test_too_many_waiting(signpost, tmp_path):
    """16384 wait a worker; the others are told SERVFAIL at once."""
    with Silent(8) as up, World(signpost, tmp_path, "-workers", "1", upstreams=up) as s:
        for _ in range(6):  # a slow machine's questions end before there are so many
            with flood_slow(s, 24000, every=400) as sock:
                if s.metric("signpost_dns_waiting_refused_total") == 0:
                    continue
                s.good_udp(50)
                s.good_tcp()
                assert set(rcodes(sock, 12)) == {2}
                break
        else:
            raise AssertionError("nobody was refused")
        s.good_udp()
        assert s.stop() == 0


def test_too_many_at_a_page(signpost, tmp_path):
    """64 who say nothing: the next waits, for five seconds at most; DNS does not notice."""
    with World(signpost, tmp_path, "-workers", "1") as s:
        idle = connect(s.numbered(3), 80)
        label = '{address="127.0.0.1:%d"}' % s.numbered(3)
        try:
            eventually(lambda: s.metric("signpost_http_connections", label) == 64)
            s.good_udp(50)
            s.good_tcp()
            before = s.cpu()
            connection = socket.create_connection(("127.0.0.1", s.numbered(3)), 20)
            with connection:
                connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
                assert connection.recv(100).startswith(b"HTTP/1.")
            assert s.cpu() - before < 2
        finally:
            close_all(idle)
        eventually(lambda: http_get(s.numbered(3), "/health")[0] == 200)
        assert s.stop() == 0
