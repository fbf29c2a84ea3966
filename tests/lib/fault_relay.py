"""A relay on loopback in front of an API server, with the faults of servers and of networks.

Faults: "killed" (connections end, new ones too), "hangs" (nothing gets through, nothing ends), "slow" (200 bytes every
20 ms), "truncated" (replies end after 300 bytes), or an HTTP status that is the answer to everything."""
import contextlib
import json
import os
import socket
import threading
import time

REASONS = {401: "Unauthorized", 410: "Expired", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable"}
PIECE, PAUSE, TRUNCATED = 200, 0.02, 300


class FaultRelay:
    """Runs while inside `with`. path: listens on a Unix socket there too, for those in another network namespace."""

    def __init__(self, target, path=None):
        self.target, self.path, self.fault = target, path, None
        self.lock, self.connections = threading.Lock(), set()
        self.cleared = threading.Event()
        self.cleared.set()
        self.open, self.listeners = True, []

    def __enter__(self):
        self.listen(socket.socket(), ("127.0.0.1", 0))
        self.port = self.listeners[0].getsockname()[1]
        if self.path:
            self.listen(socket.socket(socket.AF_UNIX), str(self.path))
        return self

    def listen(self, sock, address):
        sock.bind(address)
        sock.listen(64)
        self.listeners.append(sock)
        threading.Thread(target=self.accept, args=(sock,), daemon=True).start()

    def __exit__(self, *_):
        self.open = False
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
        if fault == "hangs":
            self.cleared.clear()
        else:
            self.cleared.set()
        if fault not in (None, "hangs", "slow"):
            self.cut()

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
                threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with contextlib.suppress(OSError), client:
            if self.fault == "killed":
                return
            if isinstance(self.fault, int):
                self.refuse(client, self.fault)
                return
            with socket.create_connection(("127.0.0.1", self.target), 5) as server:
                server.settimeout(None)
                with self.lock:
                    self.connections |= {client, server}
                asks = threading.Thread(target=self.carry, args=(client, server, False), daemon=True)
                asks.start()
                self.carry(server, client, True)
                asks.join()
                with self.lock:
                    self.connections -= {client, server}

    @staticmethod
    def refuse(client, status):
        client.settimeout(5)
        request = b""
        while b"\r\n\r\n" not in request:
            got = client.recv(65536)
            if not got:
                return
            request += got
        body = json.dumps({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status,
                           "reason": REASONS[status], "message": "the relay says so"}).encode()
        head = "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        client.sendall((head % (status, REASONS[status], len(body))).encode() + body)

    def carry(self, source, to, is_reply):
        sent = 0
        try:
            while data := source.recv(65536):
                self.cleared.wait()
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
