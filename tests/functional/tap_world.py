"""A receiver of dnstap over Frame Streams, and a reader of its messages, written from the formats'
descriptions."""
import contextlib
import socket
import struct
import threading
import time

from primary import Primary

ACCEPT, START, STOP, READY, FINISH = 1, 2, 3, 4, 5
CONTENT = b"protobuf:dnstap.Dnstap"
TYPES = {5: "CLIENT_QUERY", 6: "CLIENT_RESPONSE", 7: "FORWARDER_QUERY", 8: "FORWARDER_RESPONSE"}
FIELDS = {1: "type", 2: "family", 3: "protocol", 4: "query_address", 5: "response_address",
          6: "query_port", 7: "response_port", 8: "query_sec", 9: "query_nsec",
          10: "query_message", 12: "response_sec", 13: "response_nsec", 14: "response_message"}
OUTER = {1: "identity", 2: "version", 3: "extra", 14: "message", 15: "type"}


def control(kind, content=CONTENT):
    body = struct.pack("!I", kind)
    if content is not None:
        body += struct.pack("!II", 1, len(content)) + content
    return struct.pack("!II", 0, len(body)) + body


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at


def fields(data):
    """(number, value) of each field; the whole must fit."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        elif key & 7 == 5:
            value, at = struct.unpack_from("<I", data, at)[0], at + 4
        else:
            assert key & 7 == 2, key
            size, at = varint(data, at)
            value, at = data[at:at + size], at + size
            assert at <= len(data) and len(value) == size
        yield key >> 3, value


def named(data, names):
    out = {}
    for number, value in fields(data):
        assert names[number] not in out, "twice: " + names[number]
        out[names[number]] = value
    return out


def parse(frame):
    tap = named(frame, OUTER)
    assert tap.pop("type") == 1
    message = named(tap.pop("message"), FIELDS)
    message["type"] = TYPES[message["type"]]
    return {**tap, **message}


class Receiver:
    """Takes connections while inside `with`; `manner` says how."""

    def __init__(self, address, manner="good", tls=None):
        """address: a path, or a port of 127.0.0.1 (0: any). tls: an ssl.SSLContext."""
        self.address, self.manner, self.tls = address, manner, tls
        self.frames, self.starts, self.stops, self.connections = [], 0, 0, 0
        self.ended = threading.Event()
        self.open = []
        family = socket.AF_INET if isinstance(address, int) else socket.AF_UNIX
        self.sock = socket.socket(family)
        if family == socket.AF_INET:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.sock.bind(("127.0.0.1", address))
            self.port = self.sock.getsockname()[1]
        else:
            with contextlib.suppress(FileNotFoundError):
                address.unlink()
            self.sock.bind(str(address))
        self.sock.listen(16)
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.ended.set()
        for sock in [self.sock, *self.open]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def accept(self):
        while not self.ended.is_set():
            try:
                conn, _ = self.sock.accept()
            except OSError:
                return
            self.connections += 1
            self.open.append(conn)
            threading.Thread(target=self.serve, args=(conn,), daemon=True).start()

    exactly = staticmethod(Primary.exactly)

    def frame(self, conn):
        """(control type or None, body)"""
        size = struct.unpack("!I", self.exactly(conn, 4))[0]
        if size:
            return None, self.exactly(conn, size)
        size = struct.unpack("!I", self.exactly(conn, 4))[0]
        body = self.exactly(conn, size)
        kind = struct.unpack_from("!I", body)[0]
        if kind in (READY, START):
            assert body[4:] == struct.pack("!II", 1, len(CONTENT)) + CONTENT, body
        else:
            assert len(body) == 4, body
        return kind, body

    def serve(self, conn):
        with conn, contextlib.suppress(OSError, EOFError):
            if self.tls:
                conn = self.tls.wrap_socket(conn, server_side=True)
            assert self.frame(conn)[0] == READY
            if self.manner != "good":
                getattr(self, "go_" + self.manner)(conn)
                return
            conn.sendall(control(ACCEPT))
            assert self.frame(conn)[0] == START
            self.starts += 1
            while True:
                kind, body = self.frame(conn)
                if kind is None:
                    self.frames.append(body)
                    continue
                assert kind == STOP, kind
                self.stops += 1
                conn.sendall(control(FINISH, None))
                return

    def go_deaf(self, conn):
        """Agrees, and then reads nothing more."""
        conn.sendall(control(ACCEPT))
        self.ended.wait(60)

    def go_silent(self, _conn):
        self.ended.wait(60)

    def go_other_content(self, conn):
        conn.sendall(control(ACCEPT, b"text:plain"))
        self.ended.wait(5)

    def go_garbage(self, conn):
        conn.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.ended.wait(5)

    def go_wrong_control(self, conn):
        conn.sendall(control(FINISH, None))
        self.ended.wait(5)

    def go_large_control(self, conn):
        conn.sendall(struct.pack("!II", 0, 1 << 20) + bytes(4096))
        self.ended.wait(5)

    @property
    def messages(self):
        return [parse(f) for f in list(self.frames)]

    def wait(self, count, seconds=10.0):
        end = time.monotonic() + seconds
        while len(self.frames) < count:
            assert time.monotonic() < end, "%d of %d messages" % (len(self.frames), count)
            time.sleep(0.01)
        return self.messages
