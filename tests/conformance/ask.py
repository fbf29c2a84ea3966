"""Sends a query to both servers at once, from the same address, and takes what comes back."""
import select
import socket
import struct
import time

import message
import queries

SIDES = ("signpost", "coredns")
PATIENCE = 6.0  # seconds, when the other side has replied
SILENCE = 0.3  # seconds, when neither has


class Asker:
    def __init__(self, ports, host="127.0.0.1"):
        self.ports, self.host = ports, host
        self.udp, self.tcp, self.ident = {}, {}, 1

    def close(self):
        for sock in [*self.udp.values(), *self.tcp.values()]:
            sock.close()

    def ask(self, query):
        """{side: [wire, ...]}; an empty list is silence."""
        self.ident = self.ident % 60000 + 2
        idents = {side: self.ident + n for n, side in enumerate(SIDES)}
        if query["tcp"]:
            return {side: self.over_tcp(query, side, idents[side]) for side in SIDES}
        return self.over_udp(query, idents)

    # ---- UDP ----

    def udp_socket(self, source):
        if source not in self.udp:
            made = socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET, socket.SOCK_DGRAM)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            made.bind((source, 0))
            self.udp[source] = made
        return self.udp[source]

    def over_udp(self, query, idents):
        sock, got = self.udp_socket(query["src"]), {side: [] for side in SIDES}
        host = "::1" if ":" in query["src"] else self.host
        wire = queries.encode(query, 0)
        for side in SIDES:
            sock.sendto(struct.pack("!H", idents[side]) + wire[2:], (host, self.ports[side][query["port"]]))
        begin = time.monotonic()
        while not all(got.values()):
            left = begin + (PATIENCE if any(got.values()) else SILENCE) - time.monotonic()
            if left <= 0 or not select.select([sock], [], [], left)[0]:
                if left <= 0:
                    break
                continue
            data = sock.recv(65535)
            for side in SIDES:
                if len(data) >= 2 and struct.unpack_from("!H", data)[0] == idents[side]:
                    got[side].append(data)
        return got

    # ---- TCP ----

    def over_tcp(self, query, side, ident):
        wire = queries.encode(query, ident)
        if query["type"] in (251, 252):
            return self.transfer(query, side, wire)
        for _ in range(2):  # an idle connection may just have been closed
            try:
                return self.once(query, side, wire)
            except OSError:
                self.forget(query, side)
        return []

    def connect(self, query, side):
        made = socket.socket(socket.AF_INET6 if ":" in query["src"] else socket.AF_INET)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.settimeout(PATIENCE)
        made.bind((query["src"], 0))
        made.connect(("::1" if ":" in query["src"] else self.host, self.ports[side][query["port"]]))
        return made

    def forget(self, query, side):
        sock = self.tcp.pop((side, query["src"], query["port"]), None)
        if sock:
            sock.close()

    def once(self, query, side, wire):
        key = (side, query["src"], query["port"])
        if key not in self.tcp:
            self.tcp[key] = self.connect(query, side)
        sock = self.tcp[key]
        sock.settimeout(1.0 if query.get("quiet") else PATIENCE)
        sock.sendall(struct.pack("!H", len(wire)) + wire)
        try:
            while True:
                reply = receive(sock)
                if reply[:2] == wire[:2]:  # not the second reply to an earlier query
                    return [reply]
        except socket.timeout:
            self.forget(query, side)
            return []

    def transfer(self, query, side, wire):
        """Messages until the second SOA, or until one that is no transfer."""
        got, soas = [], 0
        try:
            with self.connect(query, side) as sock:
                sock.sendall(struct.pack("!H", len(wire)) + wire)
                while soas < 2:
                    got.append(receive(sock))
                    reply = message.parse(got[-1])
                    soas += sum(record[1] == 6 for record in reply.answer)
                    if reply.rcode or not reply.answer:
                        break
                    sock.settimeout(0.5)
        except (OSError, ValueError):
            pass
        return got


def exactly(sock, size):
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise ConnectionError("closed")
        data += part
    return data


def receive(sock):
    return exactly(sock, struct.unpack("!H", exactly(sock, 2))[0])
