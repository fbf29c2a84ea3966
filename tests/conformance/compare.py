"""Are two replies the same? And if not, is the difference one that was decided on?"""
import collections
import struct
import time

import message

Difference = collections.namedtuple("Difference", "fields ours theirs")


def serial_blind(record):
    """The serial of the cluster zone is the time of the last change, which each server sees for itself."""
    owner, kind, klass, ttl, data = record
    if kind == 6:
        at = len(data) - 20
        if abs(struct.unpack_from("!I", data, at)[0] - time.time()) < 86400 or data[at:at + 4] == bytes(4):
            return owner, kind, klass, ttl, data[:at] + bytes(4) + data[at + 4:]
    if kind == 33 and owner.startswith(b"\x04_tcp") and data.endswith(b"\0") and len(data) == 7:
        return owner, kind, klass, ttl, bytes(7)  # whoami tells the port of each connection
    return record


def merged(wires):
    """One reply of all messages of a transfer."""
    replies = [message.parse(wire) for wire in wires]
    if len(replies) == 1:
        return replies[0]
    return replies[0]._replace(answer=[record for r in replies for record in r.answer])


def tidy(wires):
    reply = merged(wires)
    return reply._replace(size=0, **{part: sorted(map(serial_blind, getattr(reply, part)))
                                     for part in ("answer", "authority", "additional")})


def near(mine, other, slack):
    """The same records, with TTLs that differ by the time that passed between two caches."""
    if len(mine) != len(other):
        return False
    strip = [sorted((r[0], r[1], r[2], r[4], r[3]) for r in part) for part in (mine, other)]
    return all(a[:4] == b[:4] and abs(a[4] - b[4]) <= slack for a, b in zip(*strip))


def cut_alike(mine, other):
    """Truncated replies: which records remain depends on their order, how many on their length."""
    kinds = [collections.Counter(r[1] for r in part) for part in (mine, other)]
    if kinds[0].keys() != kinds[1].keys():
        return not mine or not other or len(mine) == len(other)
    even = len({len(r[0]) + len(r[4]) for r in mine + other}) <= 1
    return all(abs(kinds[0][k] - kinds[1][k]) <= (0 if even else 3) for k in kinds[0])


def differing(ours, theirs, slack):
    """The names of the parts that differ."""
    fields = [name for name in ("rcode", "flags", "question", "opt")
              if getattr(ours, name) != getattr(theirs, name)]
    cut = ours.flags & theirs.flags & message.TC
    for part in ("answer", "authority", "additional"):
        mine, other = getattr(ours, part), getattr(theirs, part)
        if mine == other or slack and near(mine, other, slack):
            continue
        if not (cut and (cut_alike(mine, other) or part == "additional" and abs(len(mine) - len(other)) <= 4)):
            fields.append(part)
    return fields


ALIASES = (5, 39)


def out_of_order(ours, theirs, ordered):
    """Aliases come one after the other everywhere; all else where nobody shuffles."""
    parts = [[(r[0], r[1], r[4]) for r in merged(wires).answer if ordered or r[1] in ALIASES]
             for wires in (ours, theirs)]
    return parts[0] != parts[1] and sorted(parts[0]) == sorted(parts[1])


def compare(query, got, slack, ordered=False):
    """None when the replies are the same, else the Difference. ordered: so are the records of the answer."""
    ours, theirs = got["signpost"], got["coredns"]
    if [w[2:] for w in ours] == [w[2:] for w in theirs]:
        return None
    if not ours or not theirs:
        return Difference(("silence",), ours and tidy(ours) or None, theirs and tidy(theirs) or None)
    try:
        mine = tidy(ours)
    except (ValueError, IndexError, struct.error) as error:
        return Difference(("broken: %s" % error,), None, tidy(theirs))
    other = tidy(theirs)
    fields = differing(mine, other, slack)
    if not fields and query["type"] not in (251, 252) and out_of_order(ours, theirs, ordered):
        fields = ["order"]
    return Difference(tuple(fields), mine, other) if fields else None
