"""`rewrite`: what the vector sets do not show: what upstreams are sent, replies of the server's own,
questions in replies, waiting look-ups, and rules that are refused."""
import contextlib

import dns.edns
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from dns_world import Server, query, records, run_until_end
from forward_world import Upstream

NSID, SUBNET, LOCAL = 3, 8, 0xffee


def block(lines, key="."):
    return "%s:@PORT@ {\n    bind 127.0.0.1\n    log\n    errors\n%s\n}\n" % (key, lines)


@pytest.fixture
def start(signpost, tmp_path):
    with contextlib.ExitStack() as stack:
        def begin(lines, *flags, key="."):
            server = Server(signpost, tmp_path, block(lines, key), "-workers", "1", *flags)
            return stack.enter_context(server)
        yield begin


class Zone:
    """A scripted upstream: {(name, type): records as text}; other names are refused or denied."""

    def __init__(self, table, rcode=dns.rcode.NXDOMAIN, options=()):
        self.table, self.rcode, self.options = table, rcode, list(options)
        self.up = Upstream(self.act)

    def act(self, asked, _proto):
        made = dns.message.make_response(asked)
        q = asked.question[0]
        rrs = self.table.get((q.name.to_text().lower(), dns.rdatatype.to_text(q.rdtype)))
        if rrs is None:
            made.set_rcode(self.rcode)
        for line in rrs or ():
            made.answer.append(dns.rrset.from_text(*line.split(None, 4)[:4], line.split(None, 4)[4]))
        if asked.edns >= 0:
            made.use_edns(0, payload=1232, options=self.options)
        return [made.to_wire()]

    def __enter__(self):
        return self.up

    def __exit__(self, *_):
        self.up.close()


def asked(up):
    return [(q.question[0].name.to_text(), dns.rdatatype.to_text(q.question[0].rdtype))
            for q, _ in up.queries]


def test_question_is_the_clients_and_the_upstreams_is_the_new_one(start):
    with Zone({("new.test.", "A"): ["new.test. 60 IN A 192.0.2.1"]}) as up:
        server = start("    rewrite name old.test new.test\n    forward . %s" % up)
        reply = server.ask("OLD.test")
        assert reply.question[0].name.to_text() == "OLD.test."
        assert records(reply.answer) == [("old.test.", 60, "A", "192.0.2.1")]
        assert asked(up) == [("new.test.", "A")]
        server.wait_log("A IN old.test.")  # the log speaks of what the client asked


def test_other_names_pass_untouched(start):
    with Zone({("WwW.Test.".lower(), "A"): ["www.test. 60 IN A 192.0.2.1"]}) as up:
        server = start("    rewrite name old.test new.test\n    forward . %s" % up)
        cookie = dns.edns.GenericOption(10, b"12345678")
        wire = query("WwW.Test", use_edns=0, options=[cookie])
        wire.flags |= 0x0010
        server.udp(wire.to_wire())
        sent, _ = up.queries[0]
        sent.id = wire.id
        assert sent.to_wire() == wire.to_wire()


def test_a_failure_bears_the_clients_question(start):
    with Zone({}, rcode=dns.rcode.SERVFAIL) as up:
        server = start("    rewrite name old.test new.test\n    forward . %s {\n"
                       "        max_fails 0\n    }" % up)
        reply = server.ask("Old.test")
        assert reply.rcode() == dns.rcode.SERVFAIL
        assert reply.question[0].name.to_text() == "Old.test."


def test_rcode_of_the_servers_own_failure(start):
    server = start("    rewrite rcode suffix test SERVFAIL NXDOMAIN\n    template IN A {\n"
                   "        rcode SERVFAIL\n    }")
    reply = server.ask("a.test")
    assert (reply.rcode(), reply.question[0].name.to_text()) == (dns.rcode.NXDOMAIN, "a.test.")


def test_invalid_name_is_a_failure(start):
    label = "a" * 60
    server = start("    rewrite name regex (.*) {1}{1}{1}{1}{1}.test\n    whoami")
    reply = server.ask(label + ".org")
    assert reply.rcode() == dns.rcode.SERVFAIL
    assert reply.question[0].name.to_text() == label + ".org."
    server.wait_log("invalid name after rewrite")


def test_owner_of_the_servers_own_records(start):
    """Records whose owner is the question's name keep the name that was looked up, unless mapped."""
    server = start("    rewrite continue name suffix .plain.test .real.test\n"
                   "    rewrite name suffix .auto.test .real.test answer auto\n"
                   "    hosts {\n        192.0.2.7 web.real.test\n    }")
    assert records(server.ask("Web.plain.test").answer)[0][0] == "web.real.test."
    assert records(server.ask("Web.auto.test").answer)[0][0] == "web.auto.test."


def test_soa_in_denial_is_mapped_too(start, tmp_path):
    (tmp_path / "m").mkdir()
    server = start("    rewrite name suffix .svc.cluster.foo .svc.cluster.local answer auto\n"
                   "    kubernetes cluster.local {\n        manifests %s\n    }" % (tmp_path / "m"))
    reply = server.ask("no.default.svc.cluster.foo")
    assert reply.rcode() == dns.rcode.NXDOMAIN
    owner, _, rdtype, _ = records(reply.authority)[0]
    assert (owner, rdtype) == ("cluster.local.", "SOA")


def test_values_of_all_types(start):
    table = {("x.in.net.", t): ["x.in.net. 60 IN %s %s" % (t, v)] for t, v in {
        "MX": "10 a.in.net.", "SRV": "1 2 3 a.in.net.", "NS": "a.in.net.", "PTR": "a.in.net.",
        "DNAME": "a.in.net.", "NAPTR": '1 2 "u" "s" "" a.in.net.',
        "SOA": "a.in.net. a.in.net. 1 2 3 4 5", "TXT": '"a.in.net."'}.items()}
    with Zone(table) as up:
        server = start("    rewrite name suffix .out.org .in.net answer auto\n    forward . %s" % up)
        for rdtype in "MX SRV NS PTR DNAME NAPTR".split():
            owner, _, _, value = records(server.ask("x.out.org", rdtype).answer)[0]
            assert (owner, value.split()[-1]) == ("x.out.org.", "a.out.org."), rdtype
        assert records(server.ask("x.out.org", "SOA").answer)[0][3] == (
            "a.out.org. a.in.net. 1 2 3 4 5")
        assert records(server.ask("x.out.org", "TXT").answer)[0][3] == '"a.in.net."'


def test_type_and_class_reach_the_upstream(start):
    with Zone({("a.test.", "AAAA"): ["a.test. 60 IN AAAA 2001:db8::1"]}) as up:
        server = start("    rewrite continue class CH IN\n    rewrite type A AAAA\n"
                       "    forward . %s" % up)
        reply = server.ask("a.test", "A", rdclass="CH")
        assert asked(up) == [("a.test.", "AAAA")]
        assert up.queries[0][0].question[0].rdclass == 1
        assert (reply.question[0].rdtype, reply.question[0].rdclass) == (1, 3)
        assert records(reply.answer) == [("a.test.", 60, "AAAA", "2001:db8::1")]


def options(message):
    return [(o.otype, o.to_wire()) for o in message.options]


@pytest.mark.parametrize("rule,sent", [
    ("local set 0xffee 0x0102", [(LOCAL, b"\x01\x02")]),
    ("local append 0xffee two", [(LOCAL, b"one"), (LOCAL, b"two")]),
    ("local append 0xffee {qtype}", [(LOCAL, b"one")]),
    ("local append 0xffed {qtype}", [(LOCAL, b"one"), (LOCAL - 1, b"\0\1")]),
    ("local replace 0xffee two", [(LOCAL, b"two")]),
    ("local unset 0xffee", []),
    ("local replace 0xffed two", [(LOCAL, b"one")]),
    ("local set 0xffee {qname}", [(LOCAL, b"a.test.")]),
    ("local set 0xffee {qtype}", [(LOCAL, b"\0\1")]),
    ("local set 0xffee {client_ip}", [(LOCAL, b"\x7f\0\0\1")]),
    ("local set 0xffee {server_ip}", [(LOCAL, b"\x7f\0\0\1")]),
    ("local set 0xffee {protocol}", [(LOCAL, b"udp")]),
    ("local set 0xffee {no/such}", [(LOCAL, b"one")]),
    ("nsid set", [(LOCAL, b"one"), (NSID, b"")]),
    ("subnet set 20 64", [(LOCAL, b"one"), (SUBNET, b"\0\1\x14\0\x7f\0\0")]),
])
def test_edns_options_that_upstreams_see(start, rule, sent):
    with Zone({("a.test.", "A"): ["a.test. 60 IN A 192.0.2.1"]}) as up:
        server = start("    metadata\n    rewrite edns0 %s\n    forward . %s" % (rule, up))
        one = dns.edns.GenericOption(LOCAL, b"one")
        server.ask("a.test", use_edns=0, payload=1400, options=[one])
        seen, _ = up.queries[0]
        assert (options(seen), seen.payload) == (sent, 1400)


def test_edns_for_a_client_without(start):
    with Zone({("a.test.", "A"): ["a.test. 60 IN A 192.0.2.1"]}) as up:
        server = start("    rewrite edns0 local set 65001 x revert\n    forward . %s" % up)
        reply = server.ask("a.test")
        assert options(up.queries[0][0]) == [(65001, b"x")]
        assert reply.edns == -1


def test_cname_waits_for_a_fresh_look_up(start):
    table = {("a.test.", "A"): ["a.test. 60 IN CNAME old.net.", "old.net. 60 IN A 192.0.2.1"],
             ("new.net.", "A"): ["new.net. 30 IN A 192.0.2.2"]}
    with Zone(table) as up:
        server = start("    rewrite cname suffix old.net. new.net.\n    forward . %s" % up)
        for tcp in (False, True):
            reply = server.ask("A.test", tcp=tcp)
            assert reply.question[0].name.to_text() == "A.test."
            assert [r[1:] for r in records(reply.answer)] == [(60, "CNAME", "new.net."),
                                                              (30, "A", "192.0.2.2")]


def test_cname_that_leads_to_itself_ends(start):
    table = {("a.test.", "A"): ["a.test. 60 IN CNAME b.test."]}
    with Zone(table) as up:
        server = start("    rewrite cname exact b.test. a.test.\n    forward . %s" % up)
        reply = server.ask("a.test")
        assert reply.rcode() == dns.rcode.NOERROR
        assert len(up.queries) <= 8


def test_a_costly_expression_gives_up(start):
    server = start("    rewrite name regex (a*)*b$ x.test\n    whoami")
    name = ".".join(["a" * 60] * 3) + ".test"
    assert server.ask(name).rcode() == dns.rcode.NOERROR


@pytest.mark.parametrize("rule,words", [
    ("", "no rule type"),
    ("continue", "no rule type"),
    ("colour a b", "colour"),
    ("answer name a b", "must begin with a name rule"),
    ("name a.test", "too few arguments"),
    ("name fuzzy a b", "fuzzy"),
    ("name regex (a b", "invalid regular expression"),
    ("name regex (?=a)b c", "look-ahead"),
    ("name regex (?<!a)b c", "look-behind"),
    (r"name regex (a)\1 c", "backreferences"),
    ("name regex a++b c", "possessive"),
    ("name regex zz {0}.test", "more groups"),
    ("name regex (a) {2}.test", "more groups"),
    ("name regex %s b" % ("a" * 10001), "10000"),
    ("name suffix a b answer", "invalid type"),
    ("name suffix a b answer colour", "colour"),
    ("name suffix a b answer name x", "missing arguments"),
    ("name suffix a b answer auto answer name x y", "exclude"),
    ("name suffix a b c", "exceeded"),
    ("type A BANANA", "BANANA"),
    ("type A", "exactly two"),
    ("class IN XX", "XX"),
    ("ttl a.test soon", "soon"),
    ("ttl a.test 5-1", "5-1"),
    ("ttl a.test -", "invalid TTL"),
    ("rcode a.test NOERROR NOPE", "NOPE"),
    ("edns0 local set banana", "code"),
    ("edns0 local set banana x", "banana"),
    ("edns0 local set 1 0xzz", "0xzz"),
    ("edns0 local set 1 {nope}", "nope"),
    ("edns0 subnet set 33 1", "33"),
    ("edns0 colour set", "colour"),
    ("edns0 nsid shine", "shine"),
])
def test_refused(signpost, tmp_path, rule, words):
    text = ".:5353 {\n    bind 127.0.0.1\n    rewrite %s\n    whoami\n}\n" % rule
    status, output = run_until_end(signpost, tmp_path, text)
    assert status == 1
    assert words in output and "plugin/rewrite: " in output and ":3 - " in output
