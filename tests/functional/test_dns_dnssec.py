"""`dnssec`: replies signed on-line, checked by dnspython's validator and by delv."""
import signal
import time

import dns.flags
import dns.name
import dns.rcode
import dns.rdatatype
import pytest

from dns_world import parse, query
from dnssec_world import (KSK, ZSK, Key, check, check_refused, delv, denial, keyring, merged,
                          signatures, types_of)
from small_world import block, flags, metric, start  # noqa: F401
from test_dns_small_pages import example

INSIDE = "A HINFO TXT AAAA LOC SRV CERT SSHFP RRSIG NSEC TLSA HIP OPENPGPKEY SPF".split()
APEX = ("A NS SOA HINFO MX TXT AAAA LOC SRV CERT SSHFP RRSIG NSEC DNSKEY TLSA HIP OPENPGPKEY "
        "SPF").split()
CUT = sorted(INSIDE + ["NS"], key=lambda t: dns.rdatatype.from_text(t))
DB = """$TTL 300
@ SOA ns admin 1 7200 3600 1209600 60
@ NS ns
@ MX 10 Mail
ns A 192.0.2.1
mail A 192.0.2.2
www A 192.0.2.4
www A 192.0.2.3
www 60 AAAA 2001:db8::1
alias CNAME www
chain CNAME alias
outside CNAME target.example.net.
dangling CNAME nowhere
*.wild TXT "w"
*.cwild CNAME www
dn DNAME www
a.b.empty A 192.0.2.9
sub NS ns.sub
sub DS 12345 13 2 AA0102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F
ns.sub A 192.0.2.5
plain NS ns.plain
ns.plain A 192.0.2.6
srv SRV 0 0 53 www
mixed 60 A 192.0.2.7
mixed 30 A 192.0.2.8
"""


class World:
    """example.org out of a file, signed with one key; example.net without signatures."""

    def __init__(self, folder, begin, options="", keys=None, before="", net=""):
        (folder / "db").write_text(DB)
        self.keys = keys or [Key(folder, "example.org.")]
        self.folder, self.ring = folder, keyring(*self.keys)
        lines = "\n".join("key file %s" % k.base.name for k in self.keys)
        self.server = begin(block("errors\nprometheus 127.0.0.1:@PORT2@\n%s\n"
                                  "dnssec {\n%s\n%s\n}\nfile db" % (before, lines, options),
                                  "example.org") +
                            block("template IN A {\nanswer \"{{ .Name }} 60 IN A 192.0.2.77\"\n}\n" +
                                  net, "example.net"))

    def ask(self, name, rdtype="A", **more):
        name = name if name.endswith(".") else name + ".example.org."
        return self.server.ask(name, rdtype, tcp=more.pop("tcp", True), want_dnssec=True, **more)

    def check(self, name, rdtype="A", unsigned=(), **more):
        return check(self.ask(name, rdtype, **more), self.ring, unsigned)


@pytest.fixture(name="world")
def world_fixture(start, tmp_path):
    return World(tmp_path, start)


def texts(section, but=("RRSIG",)):
    return sorted(" ".join((r.name.to_text(), dns.rdatatype.to_text(r.rdtype), r[0].to_text()))
                  for r in section if dns.rdatatype.to_text(r.rdtype) not in but)


# ---- positive answers ----

@pytest.mark.parametrize("name, rdtype, answers", [
    ("www", "A", 2), ("WwW", "A", 2), ("www", "AAAA", 1), ("example.org.", "SOA", 1),
    ("example.org.", "NS", 1), ("example.org.", "MX", 1), ("alias", "A", 3), ("chain", "A", 4),
    ("x.wild", "TXT", 1), ("*.wild", "TXT", 1), ("y.z.cwild", "A", 3), ("srv", "SRV", 1),
    ("mixed", "A", 2), ("sub", "DS", 1), ("dn", "DNAME", 1), ("alias", "CNAME", 1)])
def test_answers_validate(world, name, rdtype, answers):
    reply = world.check(name, rdtype)
    assert reply.rcode() == dns.rcode.NOERROR and flags(reply).split() == ["QR", "AA", "RD"]
    assert len(texts(reply.answer)) == answers
    assert reply.flags & dns.flags.AD == 0


def test_without_do_nothing_is_signed(world):
    reply = world.server.ask("www.example.org.", "A", use_edns=0)
    assert texts(reply.answer, ()) == texts(reply.answer) and len(reply.answer) == 2
    assert world.server.ask("no.example.org.").rcode() == dns.rcode.NXDOMAIN


def test_signatures_say_when_and_who(world):
    now = time.time()
    reply = world.ask("www", "AAAA")
    sig = signatures(reply.answer, reply.answer[0])[0]
    assert abs(sig.inception - (now - 3 * 3600)) < 60
    assert abs(sig.expiration - (now + 8 * 86400)) < 60
    assert (sig.original_ttl, sig.key_tag, sig.labels) == (3600, world.keys[0].tag, 3)
    assert sig.signer.to_text() == "example.org."
    assert {r.ttl for r in reply.answer} == {60}
    wild = world.ask("a.b.wild", "TXT").answer
    assert signatures(wild, wild[0])[0].labels == 5
    wild = world.ask("*.wild", "TXT").answer
    assert signatures(wild, wild[0])[0].labels == 3


def test_names_outside_stay_as_they_are(world):
    world.check("outside", unsigned=["target.example.net. A"])
    reply = world.ask("other.example.net.")
    assert len(reply.answer) == 1 and reply.answer[0].rdtype == dns.rdatatype.A


def test_a_dname_and_what_follows_from_it(world):
    reply = world.check("x.dn")
    assert "x.dn.example.org. CNAME x.www.example.org." in texts(reply.answer)
    assert denial(reply)[0] == "x.www.example.org."


@pytest.mark.parametrize("algorithm", [7, 8, 10, 13, 14, 15])
def test_algorithms(start, tmp_path, algorithm):
    world = World(tmp_path, start, keys=[Key(tmp_path, "example.org.", algorithm)])
    assert signatures(world.check("www").answer, world.ask("www").answer[0])[0].algorithm == algorithm
    assert denial(world.check("no"))[0] == "no.example.org."
    assert len(world.check("example.org.", "DNSKEY").answer) == 2


def test_cut_to_what_udp_takes(world):
    wire = world.server.udp(query("srv.example.org.", "SRV", want_dnssec=True,
                                  payload=512).to_wire())
    assert len(wire) <= 512 and parse(wire).flags & dns.flags.TC


# ---- keys ----

def tags(reply):
    return {(dns.rdatatype.to_text(s.type_covered), s.key_tag)
            for r in reply.answer if r.rdtype == dns.rdatatype.RRSIG for s in r}


def test_dnskey_at_the_apex(start, tmp_path):
    world = World(tmp_path, start, keys=[Key(tmp_path, "example.org.", ttl="77"),
                                         Key(tmp_path, "org.", 15)])
    ring = {world.keys[0].zone: keyring(*world.keys)[world.keys[0].zone].copy()}
    ring[world.keys[0].zone].add(world.keys[1].rdata)
    reply = check(world.ask("example.org.", "DNSKEY"), ring)
    assert [r.ttl for r in reply.answer] == [77] * 4
    assert {t for _, t in tags(reply)} == {k.tag for k in world.keys}
    assert flags(reply) == "QR AA RD" and not reply.authority
    plain = world.server.ask("example.org.", "DNSKEY")
    assert texts(plain.answer, ()) == texts(reply.answer)
    assert denial(world.ask("www", "DNSKEY"))[0] == "www.example.org."


def test_some_keys_sign_keys_and_others_the_rest(start, tmp_path):
    keys = [Key(tmp_path, "example.org.", 13, KSK), Key(tmp_path, "example.org.", 13, ZSK),
            Key(tmp_path, "example.org.", 15, ZSK)]
    world = World(tmp_path, start, keys=keys)
    assert tags(world.check("example.org.", "DNSKEY")) == {("DNSKEY", keys[0].tag)}
    assert tags(world.check("www")) == {("A", keys[1].tag), ("A", keys[2].tag)}


def test_keys_of_one_kind_sign_all(start, tmp_path):
    keys = [Key(tmp_path, "example.org.", 13, ZSK), Key(tmp_path, "example.org.", 15, ZSK)]
    world = World(tmp_path, start, keys=keys)
    for name, rdtype in (("example.org.", "DNSKEY"), ("www", "A")):
        assert {t for _, t in tags(world.check(name, rdtype))} == {k.tag for k in keys}


@pytest.mark.parametrize("end", ["", ".key", ".private"])
def test_forms_of_a_key_file(start, tmp_path, end):
    key = Key(tmp_path, "example.org.")
    s = start(block("dnssec {\nkey file %s%s\n}\nwhoami" % (key.base, end), "example.org"))
    assert len(s.ask("example.org.", "DNSKEY").answer) == 1


# ---- denials ----

@pytest.mark.parametrize("name, rdtype, types", [
    ("nowhere", "A", [t for t in INSIDE if t != "A"]),
    ("www", "TXT", [t for t in INSIDE if t != "TXT"]),
    ("www", "MX", INSIDE), ("www", "ANY", INSIDE), ("www", "CAA", INSIDE),
    ("www", "RRSIG", [t for t in INSIDE if t != "RRSIG"]),
    ("b.empty", "A", [t for t in INSIDE if t != "A"]),
    ("example.org.", "TXT", [t for t in APEX if t != "TXT"]),
    ("example.org.", "CAA", APEX), ("example.org.", "DS", APEX),
    ("www", "DS", INSIDE), ("nowhere", "DS", INSIDE), ("alias", "DS", None),
    ("plain", "DS", CUT)])
def test_denials(world, name, rdtype, types):
    reply = world.check(name, rdtype)
    if types is None:
        return
    assert reply.rcode() == dns.rcode.NOERROR and not reply.answer
    owner, following, found = denial(reply)
    assert owner == (name if name.endswith(".") else name + ".example.org.")
    assert following == "\\000." + owner
    assert found == types
    assert {r.ttl for r in reply.authority} == {300}


def test_a_denial_repeats_the_name_as_it_was_typed(world):
    reply = world.check("NoWhere")
    assert denial(reply)[:2] == ("NoWhere.example.org.", "\\000.nowhere.example.org.")


def test_nsec_may_be_asked_for(world):
    reply = world.check("www", "NSEC")
    assert [types_of(r[0]) for r in reply.answer if r.rdtype == dns.rdatatype.NSEC] == [INSIDE]
    assert not reply.authority


@pytest.mark.parametrize("name", ["dangling", "x.dn"])
def test_denial_at_the_end_of_a_cname(world, name):
    reply = world.check(name)
    assert reply.rcode() == dns.rcode.NOERROR
    assert denial(reply)[0] == {"dangling": "nowhere", "x.dn": "x.www"}[name] + ".example.org."


def test_longest_names(world):
    for last in (43, 46, 47, 48, 49):
        labels = [b"a" * 63, b"b" * 63, b"c" * 63, b"d" * last]
        name = dns.name.Name([*labels, b"example", b"org", b""])
        owner, following, _ = denial(check(world.ask(name.to_text()), world.ring))
        assert owner == name.to_text() and dns.name.from_text(following) > name


# ---- zone cuts ----

def test_referral_with_ds(world):
    reply = world.check("x.sub", unsigned=["sub.example.org. NS", "ns.sub.example.org. A"])
    assert flags(reply) == "QR RD"
    assert "sub.example.org. DS" in " ".join(texts(reply.authority))


def test_referral_without_ds(world):
    reply = world.check("x.plain", unsigned=["plain.example.org. NS", "ns.plain.example.org. A"])
    owner, following, types = denial(reply)
    assert (owner, following, types) == ("plain.example.org.", "plain\\000.example.org.", CUT)


# ---- other plugins ----

def test_replies_of_kubernetes(start, tmp_path):
    (tmp_path / "objects").mkdir()
    (tmp_path / "objects" / "s.yaml").write_text("""
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  clusterIP: 10.0.0.10
  ports: [{name: http, port: 80, protocol: TCP}]
---
apiVersion: v1
kind: Service
metadata: {name: peers, namespace: default}
spec:
  clusterIP: None
  ports: [{name: db, port: 5432, protocol: TCP}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: peers-1, namespace: default, labels: {kubernetes.io/service-name: peers}}
addressType: IPv4
ports: [{name: db, port: 5432, protocol: TCP}]
endpoints:
- {addresses: [10.1.0.1], hostname: one}
- {addresses: [10.1.0.2], hostname: two}
---
apiVersion: v1
kind: Service
metadata: {name: away, namespace: default}
spec: {type: ExternalName, externalName: web.default.svc.cluster.local}
""")
    keys = [Key(tmp_path, "cluster.local."), Key(tmp_path, "10.in-addr.arpa.", 15)]
    s = start(block("dnssec cluster.local {\nkey file %s\n}\ncache\nloadbalance\n"
                    "kubernetes cluster.local {\nmanifests objects\n}" % keys[0].base.name,
                    "cluster.local") +
              block("dnssec {\nkey file %s\n}\nkubernetes cluster.local 10.in-addr.arpa {\nmanifests objects\n}" %
                    keys[1].base.name, "10.in-addr.arpa"))
    for _ in range(2):  # the second time out of the cache
        for name, rdtype, count in (("web", "A", 1), ("peers", "A", 2), ("web", "AAAA", 0),
                                    ("none", "A", 0), ("away", "A", 2),
                                    ("_db._tcp.peers", "SRV", 2), ("one.peers", "A", 1)):
            reply = check(s.ask(name + ".default.svc.cluster.local.", rdtype, tcp=True,
                                want_dnssec=True), keyring(*keys))
            assert reply.rcode() == dns.rcode.NOERROR
            assert len(texts(reply.answer)) == count
            assert count or denial(reply)[0].startswith(name)
    reply = check(s.ask("2.0.1.10.in-addr.arpa.", "PTR", tcp=True, want_dnssec=True), keyring(*keys))
    assert texts(reply.answer) == ["2.0.1.10.in-addr.arpa. PTR two.peers.default.svc.cluster.local."]
    check(s.ask("cluster.local.", "DNSKEY", tcp=True, want_dnssec=True), keyring(*keys))


def test_out_of_the_cache(start, tmp_path):
    world = World(tmp_path, start, before="cache 30")
    first, second = world.check("www"), world.check("www")
    assert [r.to_text() for r in merged(first.answer) if r.rdtype == dns.rdatatype.RRSIG][0].split()[4:] \
        == [r.to_text() for r in merged(second.answer) if r.rdtype == dns.rdatatype.RRSIG][0].split()[4:]
    assert denial(world.check("no")) == denial(world.check("no"))
    assert world.server.ask("no.example.org.").rcode() == dns.rcode.NXDOMAIN
    assert len(world.server.ask("www.example.org.").answer) == 2
    assert world.server.ask("no.example.org.", want_dnssec=True).rcode() == dns.rcode.NOERROR


def test_rewritten(start, tmp_path):
    world = World(tmp_path, start, before="rewrite stop {\nname exact short.example.org "
                                          "www.example.org\n}\nrewrite ttl suffix example.org 7\n")
    assert {r.ttl for r in world.check("www").answer} == {7}
    reply = world.ask("short")  # not what was signed, but still the answer
    assert len(texts(reply.answer)) == 2


def test_what_is_signed_stays_so(start, tmp_path):
    """Through `forward` from a server that signs, and from one that does not."""
    world = World(tmp_path, start)
    other = Key(tmp_path, ".", 15)
    folder = tmp_path / "second"
    folder.mkdir()
    s = start(block("dnssec . {\nkey file %s\n}\nforward . 127.0.0.1:%d" %
                    (other.base, world.server.port)))
    reply = s.ask("www.example.org.", tcp=True, want_dnssec=True)
    assert {(t, tag) for t, tag in tags(check(reply, world.ring))} == {("A", world.keys[0].tag)}
    reply = s.ask("no.example.org.", tcp=True, want_dnssec=True)
    assert denial(check(reply, world.ring))[0] == "no.example.org."
    reply = s.ask("x.example.net.", tcp=True, want_dnssec=True)
    check(reply, keyring(other))
    assert tags(reply) == {("A", other.tag)}


def test_zone_transfers_pass(start, tmp_path):
    world = World(tmp_path, start, before="transfer {\nto *\n}")
    reply = world.ask("example.org.", "AXFR")
    assert len(reply.answer) == DB.count("\n")  # $TTL is no record, and the SOA stands twice
    assert not [r for r in reply.answer + reply.authority if r.rdtype in (46, 47)]


def test_the_longest_zone_signs(start, tmp_path):
    keys = [Key(tmp_path, "org.")]
    s = start(block("dnssec example.org sub.example.org {\nkey file %s\n}\n"
                    "template IN A {\nanswer \"{{ .Name }} 60 IN A 192.0.2.77\"\n}" % keys[0].base,
                    "org"))
    for name, signer in (("a.example.org.", "example.org."), ("a.sub.example.org.", "sub.example.org.")):
        reply = s.ask(name, want_dnssec=True)
        assert signatures(reply.answer, reply.answer[0])[0].signer.to_text() == signer
        assert len(s.ask(signer, "DNSKEY").answer) == 1
    assert len(s.ask("other.org.", want_dnssec=True).answer) == 1


# ---- a validating resolver ----

@pytest.mark.parametrize("algorithm", [8, 13, 15])
def test_delv(start, tmp_path, algorithm):
    world = World(tmp_path, start, keys=[Key(tmp_path, "example.org.", algorithm)])
    for name, rdtype, words in (("www", "A", "; fully validated"), ("alias", "A", "; fully validated"),
                                ("x.wild", "TXT", "; fully validated"),
                                ("no", "A", "; negative response, fully validated"),
                                ("www", "TXT", "; negative response, fully validated"),
                                ("www", "DS", "; negative response, fully validated"),
                                ("plain", "DS", "; negative response, fully validated"),
                                ("dangling", "A", "; fully validated")):
        said = delv(tmp_path, world.server.port, world.keys[0], name + ".example.org.", rdtype)
        assert words in said, said


# ---- the cache of signatures ----

def test_metrics(start, tmp_path):
    world = World(tmp_path, start)
    for _ in range(3):
        world.check("www")  # signatures over A and over NS
    s = world.server
    assert metric(s, 2, "coredns_dnssec_cache_entries{.*type=\"signature\"}") == [2]
    assert metric(s, 2, "coredns_dnssec_cache_misses_total{.*}") == [2]
    assert metric(s, 2, "coredns_dnssec_cache_hits_total{.*}") == [4]
    assert sum(metric(s, 2, "signpost_dnssec_failures_total{.*}")) == 0


def test_capacity(start, tmp_path):
    world = World(tmp_path, start, options="cache_capacity 16")
    for i in range(100):
        world.check("n%d" % i, tcp=False)
    assert 8 < metric(world.server, 2, "coredns_dnssec_cache_entries{.*}")[0] <= 16
    assert metric(world.server, 2, "coredns_dnssec_cache_misses_total{.*}")[0] >= 100


def test_one_series_a_listener(start, tmp_path):
    keys = [Key(tmp_path, "example.org."), Key(tmp_path, "example.net.")]
    s = start("".join(block("prometheus 127.0.0.1:@PORT2@\ndnssec {\nkey file %s\n}\nwhoami" %
                            k.base, k.zone.to_text()) for k in keys))
    for k in keys:
        check(s.ask(k.zone.to_text(), "DNSKEY", want_dnssec=True), keyring(*keys))
    assert metric(s, 2, "coredns_dnssec_cache_entries{.*}") == [2]


def test_reload(start, tmp_path):
    """The new key signs, and the gauge still stands there once."""
    world = World(tmp_path, start)
    check(world.ask("www"), world.ring)
    new, s = Key(tmp_path, "example.org.", 15), world.server
    s.path.write_text(s.path.read_text().replace(world.keys[0].base.name, new.base.name))
    s.process.send_signal(signal.SIGUSR1)
    end = time.monotonic() + 10
    while tags(world.ask("www")) != {("A", new.tag)}:
        assert time.monotonic() < end, s.log()
    check(world.ask("www"), keyring(new))
    while len(metric(s, 2, "coredns_dnssec_cache_entries{.*}")) != 1:
        assert time.monotonic() < end, s.log()


# ---- refused Corefiles ----

REFUSED = [
    ("dnssec {\nkey\n}", 4, "after 'key'"), ("dnssec {\nkey file\n}", 4, "after 'file'"),
    ("dnssec {\nkey vault x\n}", 4, "'vault'"),
    ("dnssec {\nkey aws_secretsmanager x\n}", 4, "keys from 'aws_secretsmanager' are not supported"),
    ("dnssec {\nkey file none\n}", 4, "open none.key: No such file"),
    ("dnssec {\nkey file @A@.key @A@\n}", 4, "is there already"),
    ("dnssec {\n\nkey file @NET@\n}", 3, "key example.net. (keyid: @NETTAG@) can not sign any"),
    ("dnssec {\nkey file @MIXED@\n}", 4, "is not the private key to"),
    ("dnssec {\nkey file @OLD@\n}", 4, "algorithm 1 is not supported"),
    ("dnssec {\nkey file @BARE@\n}", 4, "bare.private: No such file"),
    ("dnssec {\ncache_capacity\n}", 4, "after 'cache_capacity'"),
    ("dnssec {\ncache_capacity x\n}", 4, "'x' is not a number"),
    ("dnssec {\ncache_capacity 1 2\n}", 4, "after '2'"),
    ("dnssec {\nfoo\n}", 4, "unknown property 'foo'"),
    ("dnssec x..y {\n}", 3, "x..y"), ("dnssec\ndnssec", 4, "only be used once"),
]


def fill(folder, text):
    a, net = Key(folder, "example.org."), Key(folder, "example.net.")
    mixed, bare, old = (folder / name for name in ("mixed", "bare", "old"))
    (folder / "mixed.key").write_text(a.public.read_text())
    (folder / "mixed.private").write_text(net.private.read_text())
    (folder / "bare.key").write_text(a.public.read_text())
    (folder / "old.key").write_text("example.org. IN DNSKEY 257 3 1 AAAA\n")
    (folder / "old.private").write_text("")
    for word, value in (("@A@", a.base), ("@NET@", net.base), ("@NETTAG@", net.tag),
                        ("@MIXED@", mixed), ("@BARE@", bare), ("@OLD@", old)):
        text = text.replace(word, str(value))
    return text


@pytest.mark.parametrize("text, line, words", REFUSED)
def test_refused(signpost, tmp_path, text, line, words):
    whole = fill(tmp_path, text + "\0" + words)
    text, words = whole.split("\0")
    check_refused(signpost, tmp_path, text, line, words)


def test_without_a_key(start):
    s = start(block("dnssec\nwhoami", "example.org"))
    s.wait_log("plugin/dnssec: %s:3: there is no key" % s.path)
    assert s.ask("example.org.", want_dnssec=True).rcode() == dns.rcode.NOERROR


# ---- the page ----

def test_example(start, tmp_path):
    key = Key(tmp_path, "example.org.")
    (tmp_path / "db.example.org").write_text(DB)
    s = start(example("dnssec").replace("Kexample.org.+013+45330", key.base.name))
    check(s.ask("www.example.org.", want_dnssec=True), keyring(key))
