"""A scripted server that zones are transferred from: each zone has its records and its manners."""
import contextlib
import socket
import struct
import threading
import time

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


def soa(origin, serial, refresh=3600, retry=3600, expire=3600):
    return "%s 60 IN SOA ns.%s root.%s %d %d %d %d 60" % (
        origin, origin, origin, serial, refresh, retry, expire)


class Zone:
    """Records as lines of text without the SOA; `manner` says what is wrong with the transfer."""

    def __init__(self, origin, lines=(), serial=1, manner="good", **timers):
        self.origin, self.lines, self.serial = origin, list(lines), serial
        self.manner, self.timers = manner, timers

    def soa(self):
        return soa(self.origin, self.serial, **self.timers)

    def chunks(self, per_message):
        lines = [self.soa(), *self.lines, self.soa()]
        return [lines[i:i + per_message] for i in range(0, len(lines), per_message)]


class Primary:
    """Serves while inside `with`, over TCP. `seen`: (zone, type) of each question."""

    def __init__(self, *zones, port=0, per_message=100, host="127.0.0.1"):
        self.zones = {z.origin: z for z in zones}
        self.per_message = per_message
        self.seen = []
        self.up = True
        self.ended = threading.Event()
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind((host, port))
        self.sock.listen(64)
        self.port = self.sock.getsockname()[1]
        self.address = "%s:%d" % (host, self.port)
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __getitem__(self, origin):
        return self.zones[origin]

    def close(self):
        self.ended.set()
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def add(self, zone):
        self.zones[zone.origin] = zone

    def accept(self):
        while not self.ended.is_set():
            try:
                conn, _ = self.sock.accept()
            except OSError:
                return
            if self.up:
                threading.Thread(target=self.serve, args=(conn,), daemon=True).start()
            else:
                conn.close()

    def serve(self, conn):
        with conn, contextlib.suppress(OSError, EOFError):
            conn.settimeout(30)
            while True:
                size = struct.unpack("!H", self.exactly(conn, 2))[0]
                wire = self.exactly(conn, size)
                query = dns.message.from_wire(wire)
                question = query.question[0]
                origin = question.name.to_text().lower()
                kind = dns.rdatatype.to_text(question.rdtype)
                self.seen.append((origin, kind))
                zone = self.zones.get(origin)
                if kind == "AXFR" and zone:
                    self.transfer(conn, query, zone)
                else:
                    self.reply(conn, query, zone)

    @staticmethod
    def exactly(conn, size):
        data = b""
        while len(data) < size:
            part = conn.recv(size - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    @staticmethod
    def message(query, lines, rcode=0):
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.AA
        reply.set_rcode(rcode)
        for line in lines:
            owner, ttl, klass, rdtype, rdata = line.split(None, 4)
            reply.answer.append(dns.rrset.from_text(owner, int(ttl), klass, rdtype, rdata))
        return reply

    @staticmethod
    def send(conn, wire):
        conn.sendall(struct.pack("!H", len(wire)) + wire)

    def reply(self, conn, query, zone):
        if not zone or zone.manner == "refusing":
            self.send(conn, self.message(query, [], dns.rcode.REFUSED).to_wire())
        else:
            self.send(conn, self.message(query, [zone.soa()]).to_wire())

    def wires(self, query, zone):
        """The messages of a good transfer."""
        return [self.message(query, chunk).to_wire(max_size=65535)
                for chunk in zone.chunks(self.per_message)]

    def transfer(self, conn, query, zone):
        getattr(self, "go_" + zone.manner)(conn, query, zone, self.wires(query, zone))

    def go_good(self, conn, _query, _zone, wires):
        for wire in wires:
            self.send(conn, wire)

    def go_refusing(self, conn, query, *_):
        self.send(conn, self.message(query, [], dns.rcode.REFUSED).to_wire())

    def go_closing_early(self, conn, _query, _zone, wires):
        for wire in wires[:-1]:
            self.send(conn, wire)
        raise EOFError

    def go_half_a_message(self, conn, _query, _zone, wires):
        conn.sendall(struct.pack("!H", len(wires[0])) + wires[0][:-3])
        raise EOFError

    def go_wrong_id(self, conn, _query, _zone, wires):
        for wire in wires:
            self.send(conn, bytes([wire[0] ^ 1]) + wire[1:])

    def go_wrong_question(self, conn, query, zone, _wires):
        query.question[0].name = query.question[0].name.parent()
        for chunk in zone.chunks(self.per_message):
            self.send(conn, self.message(query, chunk).to_wire())

    def go_no_first_soa(self, conn, query, zone, _wires):
        self.send(conn, self.message(query, [*zone.lines, zone.soa()]).to_wire())

    def go_no_last_soa(self, conn, query, zone, _wires):
        self.send(conn, self.message(query, [zone.soa(), *zone.lines]).to_wire())
        raise EOFError

    def go_other_last_soa(self, conn, query, zone, _wires):
        last = soa(zone.origin, zone.serial + 1)
        self.send(conn, self.message(query, [zone.soa(), *zone.lines, last]).to_wire())

    def go_endless(self, conn, query, zone, _wires):
        number = 0
        self.send(conn, self.message(query, [zone.soa()]).to_wire())
        while not self.ended.is_set():
            lines = ["h%d.%s 60 IN A 192.0.2.1" % (number + i, zone.origin) for i in range(500)]
            number += len(lines)
            self.send(conn, self.message(query, lines).to_wire())

    def go_silent(self, *_):
        self.ended.wait(30)

    def go_slow(self, conn, _query, _zone, wires):
        for wire in wires:
            data = struct.pack("!H", len(wire)) + wire
            for at in range(0, len(data), 7):
                conn.sendall(data[at:at + 7])
                if self.ended.wait(0.005):
                    return

    def count(self, origin, kind):
        return self.seen.count((origin, kind))

    def wait_seen(self, origin, kind, number, seconds=10.0):
        end = time.monotonic() + seconds
        while self.count(origin, kind) < number:
            assert time.monotonic() < end, "%s %s: %d times of %d" % (
                origin, kind, self.count(origin, kind), number)
            time.sleep(0.01)
