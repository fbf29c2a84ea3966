"""Replies as plain tuples that can be compared: names written out, records sorted."""
import collections
import struct

import dns.rdata
import dns.rdatatype

Reply = collections.namedtuple("Reply", "flags rcode question answer authority additional opt size")
Opt = collections.namedtuple("Opt", "size version flags options")

# How the data of a type begins: so many bytes, then so many names.
NAMES_IN = {2: (0, 1), 5: (0, 1), 6: (0, 2), 12: (0, 1), 15: (2, 1), 33: (6, 1), 39: (0, 1), 14: (0, 2), 18: (2, 1)}
TC, AA = 0x0200, 0x0400


def name_at(wire, at):
    """The name in wire form without pointers, and where it ends."""
    made, end, hops = b"", None, 0
    while True:
        size = wire[at]
        if size >= 0xc0:
            if end is None:
                end = at + 2
            at, hops = (size & 0x3f) << 8 | wire[at + 1], hops + 1
            if hops > 100:
                raise ValueError("pointers in a circle")
            continue
        made += wire[at:at + 1 + size]
        at += 1 + size
        if size == 0:
            return made, at if end is None else end


def data_at(wire, at, size, kind):
    skip, count = NAMES_IN.get(kind, (0, 0))
    if not count or size <= skip:
        return wire[at:at + size]
    made, place = wire[at:at + skip], at + skip
    for _ in range(count):
        name, place = name_at(wire, place)
        made += name
    return made + wire[place:at + size]


def options_of(data):
    made, at = [], 0
    while at + 4 <= len(data):
        code, size = struct.unpack_from("!HH", data, at)
        made.append((code, data[at + 4:at + 4 + size]))
        at += 4 + size
    return tuple(sorted(made))


def section(wire, at, count):
    made, opt, extended = [], None, 0
    for _ in range(count):
        owner, at = name_at(wire, at)
        kind, klass, ttl, size = struct.unpack_from("!HHIH", wire, at)
        at += 10
        if at + size > len(wire):
            raise ValueError("record beyond the end")
        if kind == 41:
            opt = Opt(klass, ttl >> 16 & 255, ttl & 0xffff, options_of(wire[at:at + size]))
            extended = ttl >> 24
        else:
            made.append((owner, kind, klass, ttl, data_at(wire, at, size, kind)))
        at += size
    return made, opt, extended, at


def parse(wire):
    _, flags, *counts = struct.unpack_from("!6H", wire, 0)
    at, question = 12, []
    for _ in range(counts[0]):
        name, at = name_at(wire, at)
        question.append((name,) + struct.unpack_from("!HH", wire, at))
        at += 4
    parts, opt, extended = [], None, 0
    for count in counts[1:]:
        made, found, high, at = section(wire, at, count)
        parts.append(made)
        if found:
            opt, extended = found, high
    if at != len(wire):
        raise ValueError("%d bytes too many" % (len(wire) - at))
    return Reply(flags & 0xfff0, flags & 15 | extended << 4, question, *parts, opt, len(wire))


# ---- for people ----

def name_text(name):
    made, at = [], 0
    while name[at]:
        label = name[at + 1:at + 1 + name[at]]
        made.append("".join(chr(c) if 33 <= c < 127 and c not in b".\\\"" else "\\%03d" % c for c in label))
        at += 1 + name[at]
    return ".".join(made) + "."


def record_text(record):
    owner, kind, klass, ttl, data = record
    try:
        text = dns.rdata.from_wire(klass, kind, data, 0, len(data)).to_text()
    except Exception:  # shown as it is
        text = data.hex()
    return "%s %d %s %s" % (name_text(owner), ttl, dns.rdatatype.to_text(kind), text)


def lines(reply):
    if reply is None:
        return ["no reply"]
    bits = [n for n, b in (("qr", 0x8000), ("aa", AA), ("tc", TC), ("rd", 0x100), ("ra", 0x80), ("z", 0x40),
                           ("ad", 0x20), ("cd", 0x10)) if reply.flags & b]
    made = ["rcode %d opcode %d flags %s" % (reply.rcode, reply.flags >> 11 & 15, " ".join(bits))]
    made += ["question %s class %d type %d" % (name_text(q[0]), q[2], q[1]) for q in reply.question]
    for part in ("answer", "authority", "additional"):
        made += ["%s %s" % (part, record_text(one)) for one in getattr(reply, part)]
    if reply.opt:
        made.append("opt size %d version %d flags %04x %s" % (
            reply.opt.size, reply.opt.version, reply.opt.flags,
            " ".join("%d=%s" % (code, data.hex()) for code, data in reply.opt.options)))
    return made
