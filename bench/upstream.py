#!/usr/bin/env python3
"""The server that others forward to: answers the names of cluster.forwarded_names() and node_names()
and knows no others. UDP and TCP on loopback; each name is asked once and then lies in the caches that
are measured."""

import argparse
import itertools
import socket
import socketserver
import struct
import threading

import cluster

TTL = 3600
SOA_RDATA = b"\x00\x00" + struct.pack("!5I", 1, 7200, 900, 1209600, TTL)
TYPE_A, TYPE_SOA, NXDOMAIN = 1, 6, 3


def wire_name(text):
    labels = text.split(".")
    return b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\x00"


def question_end(packet):
    at = 12
    while packet[at]:
        at += 1 + packet[at]
    return at + 5


def record(owner, kind, data):
    return owner + struct.pack("!HHIH", kind, 1, TTL, len(data)) + data


def answer(packet, addresses):
    """Points back to the question's name, at offset 12, and to the root's SOA where there is none."""
    end = question_end(packet)
    name, kind = packet[12:end - 4].lower(), struct.unpack("!H", packet[end - 4:end - 2])[0]
    rcode, answers, authority = 0, b"", b""
    if name in addresses and kind == TYPE_A:
        answers = record(b"\xc0\x0c", TYPE_A, addresses[name])
    else:
        rcode = 0 if name in addresses else NXDOMAIN
        authority = record(b"\x00", TYPE_SOA, SOA_RDATA)
    flags = 0x8080 | packet[2] << 8 & 0x0100 | rcode
    head = packet[:2] + struct.pack("!5H", flags, 1, bool(answers), bool(authority), 0)
    return head + packet[12:end] + answers + authority


def known():
    every = itertools.chain(cluster.forwarded_names(), cluster.node_names())
    return {wire_name(name): socket.inet_aton(address) for name, address in every}


class Connection(socketserver.StreamRequestHandler):
    def handle(self):
        while len(head := self.rfile.read(2)) == 2:
            try:
                reply = answer(self.rfile.read(struct.unpack("!H", head)[0]), self.server.addresses)
            except (IndexError, struct.error):
                return  # not a query
            self.wfile.write(struct.pack("!H", len(reply)) + reply)


class Streams(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads = True, True


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    args = parser.parse_args()
    addresses = known()
    with (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
          Streams(("127.0.0.1", args.port), Connection) as streams):
        streams.addresses = addresses
        threading.Thread(target=streams.serve_forever, daemon=True).start()
        server.bind(("127.0.0.1", args.port))
        print(args.port, flush=True)
        while True:
            packet, client = server.recvfrom(4096)
            try:
                server.sendto(answer(packet, addresses), client)
            except (IndexError, struct.error):
                pass  # not a query


if __name__ == "__main__":
    main()
