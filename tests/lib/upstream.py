#!/usr/bin/env python3
"""A small authoritative server for tests: upstream.py -conf COREFILE

Reads the few Corefile words that the vector sets use for their upstream (bind, file, hosts without
fallthrough) and answers over UDP and TCP the way CoreDNS's `file` plugin does: aliases followed,
the apex NS in the authority section, addresses of MX, SRV and NS targets as additional records.
A block without `file` or `hosts` refuses, one with only `hosts` fails for names it does not hold.
"""
import os
import signal
import socketserver
import struct
import sys
import threading

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.zone

ALIASES_MAX = 8
TARGET_OF = {"MX": "exchange", "SRV": "target", "NS": "target"}


class Block:
    """One server block: a zone from a file, or a table of addresses, or neither."""

    def __init__(self, key):
        name, _, port = key.rpartition(":")
        self.name = dns.name.from_text(name)
        self.port = int(port)
        self.host = "127.0.0.1"
        self.zone = None
        self.hosts = None

    def take(self, words, folder):
        if words[0] == "bind":
            self.host = words[1]
        elif words[0] == "file":
            self.zone = dns.zone.from_file(
                os.path.join(folder, words[1]), origin=words[2], relativize=False)
        elif words[0] == "hosts":
            self.hosts = {}
        elif self.hosts is not None:
            for name in words[1:]:
                self.hosts[dns.name.from_text(name)] = words[0]
        else:
            sys.exit("upstream.py: unknown word in the Corefile: %s" % words[0])


def read_corefile(path):
    blocks, depth = [], 0
    with open(path, encoding="utf-8") as text:
        for line in text:
            words = line.split("#")[0].split()
            if not words:
                continue
            if depth == 0:
                blocks.append(Block(words[0]))
            elif words != ["}"]:
                blocks[-1].take(words, os.path.dirname(path))
            depth += words.count("{") - words.count("}")
    return blocks


def node_of(zone, name):
    """(records, exists) of a name: its own, those of a wildcard, or none."""
    if name in zone.nodes:
        return zone.nodes[name], True
    if any(other.is_subdomain(name) for other in zone.nodes):
        return None, True
    while name != zone.origin:
        name = name.parent()
        wildcard = dns.name.Name((b"*",) + name.labels)
        if wildcard in zone.nodes:
            return zone.nodes[wildcard], True
        if name in zone.nodes:
            break
    return None, False


def rrset_at(node, name, rdtype):
    rdataset = node.get_rdataset(1, rdtype) if node else None
    return dns.rrset.from_rdata_list(name, rdataset.ttl, rdataset) if rdataset else None


def answer_from_zone(zone, query, reply):
    question = query.question[0]
    name, exists, found = dns.name.from_text(question.name.to_text().lower()), True, None
    for _ in range(ALIASES_MAX):
        node, exists = node_of(zone, name)
        found = rrset_at(node, name, question.rdtype)
        alias = None if found else rrset_at(node, name, dns.rdatatype.CNAME)
        if found:
            reply.answer.append(found)
        if not alias:
            break
        reply.answer.append(alias)
        name = alias[0].target
    reply.flags |= dns.flags.AA
    if not exists:
        reply.set_rcode(dns.rcode.NXDOMAIN)
    apex = dns.rdatatype.NS if exists and reply.answer else dns.rdatatype.SOA
    if not (found and question.rdtype == dns.rdatatype.NS):
        reply.authority.append(rrset_at(zone.nodes[zone.origin], zone.origin, apex))
    if found:
        add_targets(zone, found, reply)


def add_targets(zone, found, reply):
    attribute = TARGET_OF.get(dns.rdatatype.to_text(found.rdtype))
    for rdata in found if attribute else ():
        target = getattr(rdata, attribute)
        for rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA):
            address = rrset_at(zone.nodes.get(target), target, rdtype)
            if address:
                reply.additional.append(address)


def answer_from_hosts(hosts, query, reply):
    question = query.question[0]
    if question.name not in hosts:
        reply.set_rcode(dns.rcode.SERVFAIL)
        return
    reply.flags |= dns.flags.AA
    if question.rdtype == dns.rdatatype.A:
        reply.answer.append(dns.rrset.from_text(question.name, 3600, 1, 1, hosts[question.name]))


def records(sections):
    """The wire form, uncompressed: compression would spell names as the question does."""
    out = b""
    for rrset in sections:
        for rdata in rrset:
            wire = rdata.to_wire()
            out += rrset.name.to_wire() + struct.pack(
                "!HHIH", rrset.rdtype, rrset.rdclass, rrset.ttl, len(wire)) + wire
    return out


def encode(reply, size):
    question = reply.question[0]
    asked = question.name.to_wire() + struct.pack("!HH", question.rdtype, question.rdclass)
    sections = [reply.answer, reply.authority, reply.additional]
    opt = b""
    if reply.edns >= 0:
        opt = b"\0" + struct.pack("!HHIH", dns.rdatatype.OPT, reply.payload, reply.ednsflags, 0)
    body = b"".join(records(s) for s in sections)
    if 12 + len(asked) + len(body) + len(opt) > size:
        sections, body = [[], [], []], b""
        reply.flags |= dns.flags.TC
    counts = [sum(len(rrset) for rrset in s) for s in sections]
    counts[2] += bool(opt)
    return struct.pack("!HHHHHH", reply.id, reply.flags, 1, *counts) + asked + body + opt


def respond(blocks, wire, udp):
    query = dns.message.from_wire(wire)
    reply = dns.message.make_response(query)
    if query.edns >= 0:
        reply.use_edns(0, query.ednsflags, query.payload)
    inside = [b for b in blocks if query.question[0].name.is_subdomain(b.name)]
    block = max(inside, key=lambda b: len(b.name), default=None)
    if block and block.zone:
        answer_from_zone(block.zone, query, reply)
    elif block and block.hosts is not None:
        answer_from_hosts(block.hosts, query, reply)
    else:
        reply.set_rcode(dns.rcode.REFUSED)
    return encode(reply, max(512, query.payload) if udp else 65535)


class UdpHandler(socketserver.BaseRequestHandler):
    def handle(self):
        data, sock = self.request
        sock.sendto(respond(self.server.blocks, data, True), self.client_address)


class TcpHandler(socketserver.StreamRequestHandler):
    def handle(self):
        while True:
            head = self.rfile.read(2)
            if len(head) < 2:
                return
            out = respond(self.server.blocks, self.rfile.read(struct.unpack("!H", head)[0]), False)
            self.wfile.write(struct.pack("!H", len(out)) + out)


class UdpServer(socketserver.ThreadingUDPServer):
    daemon_threads = True


class TcpServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


def main():
    if len(sys.argv) != 3 or sys.argv[1] != "-conf":
        sys.exit(__doc__.splitlines()[0])
    blocks = read_corefile(sys.argv[2])
    for host, port in {(b.host, b.port) for b in blocks}:
        for server_class, handler in ((TcpServer, TcpHandler), (UdpServer, UdpHandler)):
            server = server_class((host, port), handler)
            server.blocks = [b for b in blocks if (b.host, b.port) == (host, port)]
            threading.Thread(target=server.serve_forever, daemon=True).start()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    # Before any thread is made: all of them leave the signals to sigwait().
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main()
