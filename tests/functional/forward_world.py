"""A scripted upstream and a server under test, for the tests of forward and hosts."""
import re
import select
import signal
import socket
import struct
import subprocess
import threading
import time
import urllib.request

import dns.message
import dns.query
import dns.rcode
import dns.rrset
import pytest

from ports import free_port  # noqa: F401  for those who import this

HOST = "127.0.0.1"
BLOCK = ".:@PORT@ {\n bind 127.0.0.1\n errors\n prometheus @METRICS@\n%s\n}\n"


def wait_for(condition, seconds=5):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.02)


def reply(query, address="192.0.2.1", rcode=dns.rcode.NOERROR, flags=0, ttl=60):
    """What a decent server says; address None: nothing in the answer section."""
    message = dns.message.make_response(query)
    message.flags |= flags
    message.set_rcode(rcode)
    if address and rcode == dns.rcode.NOERROR:
        question = query.question[0]
        message.answer.append(
            dns.rrset.from_text(question.name, ttl, question.rdclass, "A", address))
    return message.to_wire()


class Upstream:
    """A scripted server. act(query, proto) returns the messages to send, each bytes or (delay,
    bytes); an empty list is silence. TCP messages of one connection go out as they become ready."""

    def __init__(self, act=lambda query, proto: [reply(query)], port=None):
        self.act, self.queries, self.lock = act, [], threading.Lock()
        self.port = port or free_port()
        self.connections, self.sources, self.open, self.threads = 0, set(), set(), []
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.tcp = socket.socket()
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.udp.bind((HOST, self.port))
        self.tcp.bind((HOST, self.port))
        self.tcp.listen(64)
        self.wake, self.waker = socket.socketpair()
        self.start(self.serve)

    def __str__(self):
        return "%s:%d" % (HOST, self.port)

    def start(self, target, *args):
        thread = threading.Thread(target=target, args=args, daemon=True)
        thread.start()
        self.threads.append(thread)

    def serve(self):
        while True:
            ready, _, _ = select.select([self.udp, self.tcp, self.wake], [], [])
            if self.wake in ready:
                return
            if self.tcp in ready:
                conn = self.tcp.accept()[0]
                self.connections += 1
                self.open.add(conn)
                self.start(self.serve_tcp, conn)
            if self.udp in ready:
                wire, peer = self.udp.recvfrom(65535)
                self.sources.add(peer[1])
                self.handle(wire, "udp", lambda data, peer=peer: self.udp.sendto(data, peer))

    def serve_tcp(self, conn):
        stream = conn.makefile("rb")
        try:
            while len(head := stream.read(2)) == 2:
                wire = stream.read(struct.unpack("!H", head)[0])
                self.handle(wire, "tcp", lambda data: self.send_tcp(conn, data))
        except OSError:
            pass

    def send_tcp(self, conn, data):
        if data == b"close":
            conn.shutdown(socket.SHUT_RDWR)
        else:
            conn.sendall(struct.pack("!H", len(data)) + data)

    def handle(self, wire, proto, send):
        query = dns.message.from_wire(wire)
        with self.lock:
            self.queries.append((query, proto))
        for item in self.act(query, proto):
            delay, data = item if isinstance(item, tuple) else (0, item)
            if delay:
                timer = threading.Timer(delay, self.send_late, (send, data))
                timer.daemon = True
                timer.start()
            else:
                send(data)

    @staticmethod
    def send_late(send, data):
        try:
            send(data)
        except OSError:
            pass

    def asked(self, name=None):
        """How many queries came that were not health checks, or that were for name."""
        names = [query.question[0].name.to_text().lower() for query, _ in self.queries]
        return names.count(name) if name else sum(n != "." for n in names)

    def close(self):
        self.waker.send(b"x")
        self.threads[0].join()
        for sock in [self.udp, self.tcp, self.wake, self.waker, *self.open]:
            sock.close()


class Server:
    """signpost dns; @PORT@ in the Corefile is its port, @METRICS@ that of /metrics."""

    def __init__(self, program, folder, corefile, workers=1):
        self.port, self.metrics_port = free_port(), free_port()
        text = corefile.replace("@PORT@", str(self.port))
        text = text.replace("@METRICS@", "%s:%d" % (HOST, self.metrics_port))
        (folder / "Corefile").write_text(text)
        self.log, self.ending = folder / "log", False
        with self.log.open("w") as out:
            self.process = subprocess.Popen(
                [program, "dns", "-conf", "Corefile", "-workers", str(workers)], cwd=folder,
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        wait_for(self.is_up, 10)

    def is_up(self):
        assert self.process.poll() is None, self.log.read_text()
        try:
            socket.create_connection((HOST, self.port), 1).close()
            return True
        except OSError:
            return False

    def ask(self, name="www.example.org.", rdtype="A", tcp=False, timeout=8, **options):
        query = dns.message.make_query(name, rdtype, **options)
        return self.send(query, tcp, timeout)

    def send(self, query, tcp=False, timeout=8):
        function = dns.query.tcp if tcp else dns.query.udp
        return function(query, HOST, port=self.port, timeout=timeout)

    def metric(self, pattern, only=None):
        """The sum of all samples whose line matches; only: how many there must be."""
        text = urllib.request.urlopen("http://%s:%d/metrics" % (HOST, self.metrics_port)).read()
        found = re.findall("^%s.* (\\S+)$" % pattern, text.decode(), re.MULTILINE)
        assert only in (None, len(found)), text.decode()
        return sum(float(value) for value in found)

    def terminate(self):
        if not self.ending:
            self.process.send_signal(signal.SIGTERM)
        self.ending = True

    def stop(self):
        self.terminate()
        code = self.process.wait(20)
        text = self.log.read_text()
        assert code == 0 and "Sanitizer" not in text and "runtime error" not in text, text
        assert "[ERROR] system call" not in text, text


@pytest.fixture
def start(signpost, tmp_path):
    """Starts servers, which end with the test."""
    servers = []

    def begin(corefile):
        servers.append(Server(signpost, tmp_path, corefile, workers=2))
        return servers[-1]

    yield begin
    for server in servers:
        server.stop()


@pytest.fixture
def world(signpost, tmp_path):
    """Makes upstreams and servers, and ends them; servers must end well."""
    made = []

    class World:
        folder = tmp_path
        kind = Upstream

        @staticmethod
        def upstream(*args, kind=None, **kwargs):
            made.append((kind or World.kind)(*args, **kwargs))
            return made[-1]

        @staticmethod
        def server(block, workers=1):
            """block: lines of one, or a whole one."""
            folder = tmp_path / ("server%d" % len(made))
            folder.mkdir()
            made.append(Server(signpost, folder, block if "@PORT@" in block else BLOCK % block,
                               workers))
            return made[-1]

    yield World
    for thing in reversed(made):
        thing.stop() if isinstance(thing, Server) else thing.close()


def address_of(message):
    return message.answer[0][0].address if message.answer else None
