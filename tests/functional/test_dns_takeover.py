"""A new process takes the sockets over from a running one, and not a query is lost."""
import contextlib
import signal
import socket
import stat
import struct
import threading
import time

import pytest

from dns_world import MANIFEST, WEB, Connection, Server, free_port, header, http_get, parse, query, question
from forward_world import Upstream, reply, wait_for
from load_world import Load

CLUSTER = """cluster.local:@PORT@ {
    bind 127.0.0.1
    health 127.0.0.1:@PORT2@
    ready 127.0.0.1:@PORT3@
    prometheus 127.0.0.1:@PORT4@
    kubernetes {
        manifests %s
        ttl %d
    }
}
"""
PATIENCE = 60  # seconds, for machines that are busy with other things; what is right takes one
WHOAMI = "%s:%d {\n    bind 127.0.0.1\n    whoami\n}\n"


class Line:
    """Processes that take over from one another, each with a folder and Corefile of its own."""

    def __init__(self, signpost, folder, stack):
        self.signpost, self.folder, self.stack = signpost, folder, stack
        self.control = folder / "control"
        self.pidfile = folder / "pid"
        self.ports = [free_port() for _ in range(4)]
        self.all = []

    def next(self, corefile, *flags, wait=True):
        folder = self.folder / str(len(self.all))
        folder.mkdir()
        server = self.stack.enter_context(
            Server(self.signpost, folder, corefile, "-control", self.control, "-takeover",
                   "-pidfile", self.pidfile, *flags, ports=self.ports, wait=wait))
        self.all.append(server)
        if wait:
            wait_for(lambda: self.pid() == server.process.pid, PATIENCE)
        return server

    def pid(self):
        with contextlib.suppress(OSError, ValueError):
            return int(self.pidfile.read_text())
        return None

    def cluster(self, ttl, *flags, more=""):
        manifests = self.folder / "manifests"
        manifests.mkdir(exist_ok=True)
        (manifests / "web.yaml").write_text(MANIFEST)
        return self.next(CLUSTER % (manifests, ttl) + more, *flags)


@pytest.fixture(name="line")
def line_fixture(signpost, tmp_path):
    with contextlib.ExitStack() as stack:
        yield Line(signpost, tmp_path, stack)


def ended(server, seconds=PATIENCE):
    """Its exit status."""
    return server.process.wait(seconds)


def test_twenty_times_under_load(line):
    """Each time another Corefile and another number of workers; listeners come and go."""
    old = line.cluster(100, "-workers", "2")
    port = old.port
    with Load(WEB, port, udp=2, tcp=1) as load:
        for number in range(20):
            more = WHOAMI % ("x.test", free_port()) if number % 3 == 0 else ""
            new = line.cluster(101 + number, "-workers", str(1 + number % 4), more=more)
            assert ended(old) == 0, old.log()
            assert new.ask(WEB).answer[0].ttl == 101 + number
            old = new
    assert load.ttls <= set(range(100, 121)) and len(load.ttls) >= 20, load.ttls
    assert load.counts["ask_udp"] / load.seconds > 500, (load.counts, load.seconds)
    assert load.counts["ask_tcp"] / load.seconds > 50, (load.counts, load.seconds)
    for number in (2, 3):
        path = {2: "/health", 3: "/ready"}[number]
        assert http_get(line.ports[number - 1], path) == (200, "OK")
    assert "coredns_build_info" in http_get(line.ports[3], "/metrics")[1]
    old.stop()
    assert not line.control.exists() and not line.pidfile.exists()


def test_all_sockets_are_read(line):
    """A successor with fewer workers reads the sockets of all of the old one's, also when it has
    reloaded since."""
    old = line.cluster(30, "-workers", "4")
    new = line.cluster(31, "-workers", "1")
    assert ended(old) == 0
    for ttl in (31, 32):
        for _ in range(60):  # each from a port of its own, so that the kernel spreads them
            assert new.ask(WEB).answer[0].ttl == ttl
        if ttl == 31:
            new.path.write_text(new.path.read_text().replace("ttl 31", "ttl 32"))
            new.process.send_signal(signal.SIGUSR1)
            new.wait_log("Reloading complete")
    more = line.cluster(33, "-workers", "3")
    assert ended(new) == 0
    assert {more.ask(WEB).answer[0].ttl for _ in range(60)} == {33}


def test_what_is_under_way_ends(line):
    """A query that waits for an upstream and an open connection are served by the old process."""
    with contextlib.closing(Upstream(lambda q, _: [(1.0, reply(q))])) as slow:
        old = line.next(".:@PORT@ {\n    bind 127.0.0.1\n    forward . %s\n}\n" % slow)
        with Connection(old.port) as c, socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", old.port))
            sock.settimeout(5)
            sock.send(header() + question("x.test."))
            c.send(header(ident=1) + question("y.test."))
            wait_for(lambda: len(slow.queries) == 2)
            new = line.next(".:@PORT@ {\n    bind 127.0.0.1\n    whoami\n}\n")
            assert old.process.poll() is None
            assert new.ask("z.test.").additional
            assert parse(sock.recv(4096)).answer[0][0].to_text() == "192.0.2.1"
            assert parse(c.receive()).answer[0][0].to_text() == "192.0.2.1"
            c.send(header(ident=2) + question("z.test."))
            assert parse(c.receive()).answer, "the connection is the old one's"
        assert ended(old) == 0


class Busy(threading.Thread):
    """A client with queries under way at every moment on one connection. When the server closes, what
    has no answer is asked again on the next one (RFC 7766 section 6.2.4)."""

    def __init__(self, port):
        super().__init__()
        self.port, self.over, self.problem = port, threading.Event(), None
        self.asked, self.connections, self.again, self.ttls = 0, 0, 0, []

    def run(self):
        try:
            under_way = {}
            while not self.over.is_set() or under_way:
                self.connections += 1
                with Connection(self.port) as c:
                    c.sock.settimeout(PATIENCE)
                    c.send(*under_way.values())
                    self.again += len(under_way)
                    self.converse(c, under_way)
        except Exception as e:  # what goes wrong here fails the test there
            self.problem = repr(e)

    def converse(self, c, under_way):
        """Until the server closes, which it does between two messages and without a reset."""
        while True:
            while not self.over.is_set() and len(under_way) < 20:
                self.asked += 1
                under_way[self.asked & 0xffff] = query(WEB, ident=self.asked & 0xffff).to_wire()
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    c.send(under_way[self.asked & 0xffff])
            if not under_way:
                return
            first = c.sock.recv(1)
            if not first:
                return
            reply = parse(c.exactly(struct.unpack("!H", first + c.exactly(1))[0]))
            del under_way[reply.id]
            self.ttls.append(reply.answer[0].ttl)


def test_a_connection_that_is_always_busy(line):
    """It goes on for some seconds, then the server answers what it has read, and closes: the old
    process ends although the client never pauses."""
    old = line.cluster(30)
    busy = Busy(old.port)
    busy.start()
    try:
        wait_for(lambda: len(busy.ttls) > 100, PATIENCE)
        new = line.cluster(31)
        assert ended(old) == 0
        assert "under way" not in old.log(), "it was cut off"
        wait_for(lambda: 31 in busy.ttls or busy.problem, PATIENCE)
    finally:
        busy.over.set()
        busy.join()
    assert not busy.problem, busy.problem
    assert len(busy.ttls) == busy.asked and set(busy.ttls) == {30, 31}
    assert busy.ttls == sorted(busy.ttls) and busy.connections == 2 and busy.again <= 20
    assert new.stop() == 0


def test_idle_connection_does_not_hold(line):
    old = line.cluster(30)
    with Connection(old.port):
        line.cluster(31)
        assert ended(old) == 0
    assert "under way" not in old.log()


def test_names_are_taken_before_the_old_one_ends(line):
    """What the old process removes at its end must be seen to be another's: it is told when pidfile
    and control socket are the new one's."""
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(line.control))
        old.listen()
        old.settimeout(20)
        inode = line.control.stat().st_ino
        new = line.next(CLUSTER % (line.folder, 30), wait=False)
        old.accept()[0].close()  # it looks whether anybody is there
        with old.accept()[0] as asked, asked.makefile() as lines:
            asked.settimeout(20)
            assert lines.readline() == "sockets\n"
            assert line.pid() is None and line.control.stat().st_ino == inode
            asked.sendall(b"sockets 0\n")
            assert lines.readline() == "taken\n"
            assert line.pid() == new.process.pid and line.control.stat().st_ino != inode
            asked.sendall(b"ending\n")
        new.wait_up()


FAILS = {
    "Corefile": "cluster.local:@PORT@ {\n    nosuch\n}\n",
    "set-up": "cluster.local:@PORT@ {\n    kubernetes {\n        manifests /nosuch\n    }\n}\n",
    "listener": "cluster.local:@PORT@ {\n    bind 127.0.0.1\n    whoami\n}\n"
                "x.test {\n    bind 192.0.2.1\n    whoami\n}\n",
    "start": "cluster.local:@PORT@ {\n    bind 127.0.0.1\n    whoami\n    health 192.0.2.1:1\n}\n",
}


def test_failures_leave_the_old_one(line):
    old = line.cluster(30)
    for what, corefile in FAILS.items():
        new = line.next(corefile, wait=False)
        assert ended(new) == 1, (what, new.log())
        assert old.process.poll() is None
        for tcp in (False, True):
            assert [old.ask(WEB, tcp=tcp).answer[0].ttl for _ in range(20)] == [30] * 20
        assert line.pid() == old.process.pid
    line.cluster(31)
    assert ended(old) == 0


def talk(path, *lines):
    """What comes back, to the end."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(5)
        s.connect(str(path))
        s.sendall("".join(line + "\n" for line in lines).encode())
        s.shutdown(socket.SHUT_WR)
        got = b""
        with contextlib.suppress(ConnectionResetError):
            while part := s.recv(4096):
                got += part
        return got.decode()


def test_the_socket_and_what_it_does_not_take(line):
    old = line.cluster(30)
    assert stat.S_IMODE(line.control.stat().st_mode) == 0o600
    assert "error" in talk(line.control, "nonsense")
    assert talk(line.control, "x" * 5000) == ""
    assert talk(line.control, "taken") == "", "nobody takes who has not asked"
    for _ in range(3):  # asked, and gone without a word
        assert "socket 127.0.0.1 %d" % old.port in talk(line.control, "sockets")
    assert old.ask(WEB).answer[0].ttl == 30
    assert old.process.poll() is None


def test_no_reload_in_between(line):
    """While another process holds copies of the sockets the list of them must not change."""
    old = line.cluster(30)
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(line.control))
        s.sendall(b"sockets\n")
        s.recv(4096)
        old.process.send_signal(signal.SIGUSR1)
        old.wait_log("being taken over")
        assert "Reloading" not in old.log().split("being taken over")[1]
    end = time.monotonic() + 5
    while "Reloading complete" not in old.log():
        assert time.monotonic() < end, old.log()
        old.process.send_signal(signal.SIGUSR1)
        time.sleep(0.05)


def test_without_anybody(line, signpost):
    """-takeover is an ordinary start then; a second process without it is refused the socket."""
    line.control.write_bytes(b"")
    first = line.next(".:@PORT@ {\n    bind 127.0.0.1\n}\n", wait=False)
    assert ended(first) == 1 and "something else of that name" in first.log()
    line.control.unlink()
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as stale:
        stale.bind(str(line.control))
    old = line.cluster(30)
    folder = line.folder / "second"
    folder.mkdir()
    with Server(signpost, folder, ".:@PORT@ {\n    bind 127.0.0.1\n}\n", "-control", line.control,
                wait=False) as second:
        assert ended(second) == 1
        assert "another process listens there" in second.log()
    assert old.ask(WEB).answer[0].ttl == 30
