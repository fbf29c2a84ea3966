"""What the tests of the small plugins share: a scripted zone to forward to, short ways to ask."""
import contextlib
import re
import socket

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from dns_world import Server, header, http_get, parse, query, question
from forward_world import Upstream

NSID, COOKIE, EDE = 3, 10, 15


def block(lines, key="."):
    return "%s:@PORT@ {\n    bind 127.0.0.1\n%s\n}\n" % (key, lines)


@pytest.fixture
def start(signpost, tmp_path):
    with contextlib.ExitStack() as stack:
        def begin(corefile, *flags, **more):
            server = Server(signpost, tmp_path, corefile, "-workers", "1", *flags, **more)
            return stack.enter_context(server)
        yield begin


def flags(reply):
    return dns.flags.to_text(reply.flags)


def options(reply):
    return {o.otype: o.to_wire() for o in reply.options}


def option(code, data=b""):
    return dns.edns.GenericOption(code, data)


def metric(server, number, pattern):
    _, page = http_get(server.numbered(number), "/metrics")
    return [float(v) for v in re.findall("^%s (\\S+)$" % pattern, page, re.MULTILINE)]


class Zone:
    """A scripted upstream with a few records, SOA records in denials, and a way to be slow."""

    def __init__(self, table, soa_ttl=100, delay=0):
        self.table, self.soa_ttl, self.delay = table, soa_ttl, delay
        self.upstream = Upstream(self.act)

    def act(self, asked, _):
        wanted = asked.question[0]
        name = wanted.name.to_text().lower()
        rdtype = dns.rdatatype.to_text(wanted.rdtype)
        made = dns.message.make_response(asked)
        made.flags |= dns.flags.AA | dns.flags.RA
        found = self.table.get((name, rdtype))
        if isinstance(found, str):
            made.set_rcode(dns.rcode.from_text(found))
        elif found:
            made.answer += [dns.rrset.from_text(*rr) for rr in found]
            made.authority.append(dns.rrset.from_text("test.", 100, "IN", "NS", "ns.test."))
            made.additional.append(dns.rrset.from_text("ns.test.", 100, "IN", "A", "192.0.2.53"))
        else:
            if not any(known == name for known, _ in self.table):
                made.set_rcode(dns.rcode.NXDOMAIN)
            if self.soa_ttl is not None:
                made.authority.append(dns.rrset.from_text("test.", self.soa_ttl, "IN", "SOA",
                                                          "ns.test. root.test. 1 2 3 4 40"))
        return [(self.delay, made.to_wire(max_size=65535))]

    def last(self):
        return self.upstream.queries[-1][0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.upstream.close()


def a(name, *addresses, ttl=300):
    return [(name, ttl, "IN", "A", *addresses)]


TABLE = {("four.test.", "A"): a("four.test.", "192.0.2.33", "192.0.2.34"),
         ("both.test.", "A"): a("both.test.", "192.0.2.3"),
         ("both.test.", "AAAA"): [("both.test.", 300, "IN", "AAAA", "2001:db8::3")],
         ("txt.test.", "TXT"): [("txt.test.", 300, "IN", "TXT", "t")],
         ("short.test.", "A"): a("short.test.", "192.0.2.6", ttl=5),
         ("alias.test.", "A"): [("alias.test.", 70, "IN", "CNAME", "four.test."),
                                *a("four.test.", "192.0.2.33")],
         ("alias.test.", "AAAA"): [("alias.test.", 70, "IN", "CNAME", "four.test.")],
         ("broken.test.", "A"): "SERVFAIL", ("broken.test.", "TXT"): "REFUSED",
         ("half.test.", "AAAA"): "SERVFAIL", ("half.test.", "A"): a("half.test.", "192.0.2.9"),
         ("many.test.", "A"): a("many.test.", *("192.0.2.%d" % i for i in range(60)))}


@pytest.fixture(scope="module")
def zone():
    with Zone(TABLE) as made:
        yield made


CHAOS = (("version.bind.", ["demo 1.0"]), ("VERSION.server.", ["demo 1.0"]),
         ("authors.bind.", ["Ann Example", "Bob Example"]),
         ("hostname.bind.", [socket.gethostname()]), ("id.server.", [socket.gethostname()]))


def ask_chaos(server, name, rdtype="TXT"):
    wire = header() + question(name, dns.rdatatype.from_text(rdtype), 3)
    return dns.message.from_wire(server.udp(wire), one_rr_per_rrset=True)


def outcomes(server, n, name="x.test."):
    """One letter a query: - dropped, F failed, T truncated, a answered."""
    got = ""
    for _ in range(n):
        wire = server.udp(query(name).to_wire(), timeout=0.5)
        reply = wire and parse(wire)
        got += ("-" if not reply else "F" if reply.rcode() else
                "T" if reply.flags & dns.flags.TC else "a")
    return got
