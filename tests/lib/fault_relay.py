"""A relay on loopback in front of an API server, with the faults of servers and of networks.

Faults: "killed" (connections end, new ones too), "hangs" (nothing gets through, nothing ends), "vanished" (the same, and
new connections do not come about: their packets get no reply), "slow" (200 bytes every 20 ms), "truncated" (replies end
after 300 bytes), or an HTTP status that is the answer to everything, with retry_after if that is set."""
import contextlib
import json
import os
import socket
import threading
import time

REASONS = {401: "Unauthorized", 410: "Expired", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable"}
PIECE, PAUSE, TRUNCATED = 200, 0.02, 300
BACKLOG = 8  # of connections that were not accepted yet: when it is full, the kernel drops what comes


def read_head(client):
    head = b""
    while b"\r\n\r\n" not in head:
        got = client.recv(65536)
        if not got:
            raise ConnectionError
        head += got
    return head


class FaultRelay:
    """Runs while inside `with`. path: listens on a Unix socket there too, for those in another network namespace."""

    def __init__(self, target, path=None):
        self.target, self.path, self.fault = target, path, None
        self.lock, self.connections = threading.Lock(), set()
        self.retry_after, self.refused = 0, []  # seconds; (time, "GET /path") of what a status was the answer to
        self.cleared = threading.Event()
        self.cleared.set()
        self.open, self.listeners = True, []
        self.stranded, self.ended, self.fillers = set(), threading.Event(), []

    def __enter__(self):
        self.listen(socket.socket(), ("127.0.0.1", 0))
        self.port = self.listeners[0].getsockname()[1]
        if self.path:
            self.listen(socket.socket(socket.AF_UNIX), str(self.path))
        return self

    def listen(self, sock, address):
        sock.bind(address)
        sock.listen(BACKLOG)
        self.listeners.append(sock)
        threading.Thread(target=self.accept, args=(sock,), daemon=True).start()

    def __exit__(self, *_):
        self.open = False
        self.ended.set()
        self.set(None)
        self.cut()
        for sock in self.listeners:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        if self.path:
            os.unlink(self.path)

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.port

    def set(self, fault):
        """None: all is well. What hung goes on then."""
        self.fault = fault
        if fault in ("hangs", "vanished"):
            self.cleared.clear()
        else:
            self.cleared.set()
        if fault == "vanished":
            self.fill()
        else:
            self.drain()
        if fault not in (None, "hangs", "vanished", "slow"):
            self.cut()

    def fill(self):
        """Connections that nobody accepts, until one does not come about."""
        for _ in range(BACKLOG + 4):  # accept() may have one or two of them in hand
            sock = socket.socket()
            self.fillers.append(sock)
            sock.settimeout(0.2)
            with contextlib.suppress(TimeoutError):
                sock.connect(("127.0.0.1", self.port))
                continue
            return
        raise AssertionError("the backlog does not fill up")

    def drain(self):
        for sock in self.fillers:
            sock.close()
        self.fillers = []

    def strand(self):
        """What is connected now hears nothing any more, for good; connections that come are well."""
        with self.lock:
            self.stranded |= self.connections

    def move(self, target):
        """Another server is behind it from now on."""
        self.target = target
        self.cut()

    def cut(self):
        with self.lock:
            for sock in self.connections:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def accept(self, sock):
        while self.open:
            with contextlib.suppress(OSError):
                client = sock.accept()[0]
                if self.fault == "vanished":
                    self.cleared.wait()
                threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with contextlib.suppress(OSError), client:
            if self.fault == "killed":
                return
            if isinstance(self.fault, int):
                self.refuse(client, self.fault)
                return
            with self.reach(client) as server:
                server.settimeout(None)
                with self.lock:
                    self.connections |= {client, server}
                asks = threading.Thread(target=self.carry, args=(client, server, False), daemon=True)
                asks.start()
                self.carry(server, client, True)
                asks.join()
                with self.lock:
                    self.connections -= {client, server}

    def reach(self, _):
        return socket.create_connection(("127.0.0.1", self.target), 5)

    def refuse(self, client, status):
        client.settimeout(5)
        request = read_head(client)
        self.refused.append((time.monotonic(), request.split(b"?")[0].split(b" HTTP")[0].decode()))
        body = json.dumps({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status,
                           "reason": REASONS[status], "message": "the relay says so"}).encode()
        later = "Retry-After: %d\r\n" % self.retry_after if self.retry_after else ""
        head = "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\nConnection: close\r\n\r\n"
        client.sendall((head % (status, REASONS[status], later, len(body))).encode() + body)

    def carry(self, source, to, is_reply):
        sent = 0
        try:
            while data := source.recv(65536):
                self.cleared.wait()
                if source in self.stranded:
                    self.ended.wait()
                if self.fault == "truncated" and is_reply:
                    data = data[:max(0, TRUNCATED - sent)]
                sent += len(data)
                self.send(to, data, is_reply)
                if self.fault == "truncated" and is_reply and sent >= TRUNCATED:
                    break
        except OSError:
            pass
        for sock in (source, to):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def send(self, to, data, is_reply):
        while self.fault == "slow" and is_reply and data:
            to.sendall(data[:PIECE])
            data = data[PIECE:]
            time.sleep(PAUSE)
        to.sendall(data)


class FaultProxy(FaultRelay):
    """A proxy (RFC 9110 section 9.3.6), whatever the place that is asked for: all lead to the server."""

    def __init__(self, *args):
        super().__init__(*args)
        self.asked = []  # "HOST:PORT"

    def reach(self, client):
        method, place = read_head(client).split()[:2]
        if method != b"CONNECT":
            raise ConnectionError
        self.asked.append(place.decode())
        server = super().reach(client)
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        return server
