"""Queries without a pause, in processes of their own: each must be answered, and rightly."""
import multiprocessing
import random
import select
import socket
import struct
import time

from dns_world import header, question

PATIENCE = 20.0  # seconds after which a query counts as lost
WINDOW = 8      # queries under way on a socket
BURST = 16      # queries of a TCP connection, sent at once


class Asker:
    """Checks replies to one question: an answer, with a TTL that is kept for the test."""

    def __init__(self, name, port):
        self.body = question(name)
        self.port = port
        self.count, self.ttls, self.problem = 0, set(), None

    def query(self):
        self.count += 1
        return header(ident=self.count & 0xffff) + self.body

    def check(self, reply):
        at = 12 + len(self.body)
        if reply[3] & 15 or not reply[7]:
            raise AssertionError("rcode %d, %d answers" % (reply[3] & 15, reply[7]))
        self.ttls.add(struct.unpack("!I", reply[at + 6:at + 10])[0])


def ask_udp(asker, stop, n_sockets=6):
    sockets, under_way = {}, {}
    for _ in range(n_sockets):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.connect(("127.0.0.1", asker.port))
        sockets[s.fileno()] = s
        under_way[s.fileno()] = {}
    poll = select.poll()
    for fd in sockets:
        poll.register(fd, select.POLLIN)
    while True:
        ending = stop.is_set()
        for fd, s in sockets.items():
            while not ending and len(under_way[fd]) < WINDOW:
                wire = asker.query()
                under_way[fd][wire[:2]] = time.monotonic()
                s.send(wire)
        if ending and not any(under_way.values()):
            return
        for fd, _ in poll.poll(50):
            reply = sockets[fd].recv(4096)
            asker.check(reply)
            del under_way[fd][reply[:2]]
        oldest = min((min(w.values()) for w in under_way.values() if w), default=None)
        if oldest and time.monotonic() - oldest > PATIENCE:
            raise AssertionError("no reply to a query over UDP")


def exactly(s, size):
    data = b""
    while len(data) < size:
        part = s.recv(size - len(data))
        if not part:
            raise AssertionError("closed with %d of %d bytes" % (len(data), size))
        data += part
    return data


def ask_tcp(asker, stop):
    while not stop.is_set():
        with socket.create_connection(("127.0.0.1", asker.port), PATIENCE) as s:
            wires = [asker.query() for _ in range(BURST)]
            s.sendall(b"".join(struct.pack("!H", len(w)) + w for w in wires))
            for _ in wires:
                asker.check(exactly(s, struct.unpack("!H", exactly(s, 2))[0]))


def work(ask, name, port, stop, results):
    random.seed()
    asker = Asker(name, port)
    try:
        ask(asker, stop)
    except Exception as e:  # what goes wrong here fails the test there
        asker.problem = "%s: %r" % (ask.__name__, e)
    results.put((ask.__name__, asker.count, asker.ttls, asker.problem))


class Load:
    """Asks over UDP and TCP from `with` until its end; then `counts` and `ttls` are there."""

    def __init__(self, name, port, udp=1, tcp=1):
        fork = multiprocessing.get_context("fork")
        self.stop, self.results = fork.Event(), fork.Queue()
        self.counts, self.ttls = {}, set()
        self.processes = [
            fork.Process(target=work, args=(ask, name, port, self.stop, self.results))
            for ask, n in ((ask_udp, udp), (ask_tcp, tcp)) for _ in range(n)]

    def __enter__(self):
        self.start = time.monotonic()
        for process in self.processes:
            process.start()
        return self

    def __exit__(self, *failure):
        self.stop.set()
        problems = []
        for _ in self.processes:
            name, count, ttls, problem = self.results.get(timeout=60)
            self.counts[name] = self.counts.get(name, 0) + count
            self.ttls |= ttls
            problems += [problem] if problem else []
        self.seconds = time.monotonic() - self.start
        for process in self.processes:
            process.join()
        assert failure[0] or not problems, problems
