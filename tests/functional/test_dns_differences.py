"""What random comparison with CoreDNS (docs/conformance.md) has found: one test for each mended
difference, reduced by hand."""
import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import pytest

from dns_world import Server, header, opt, parse, question, records, run_until_end
from small_world import block, option, options, start  # noqa: F401  start is a fixture

ZONE = """$ORIGIN z.test.
$TTL 60
@ SOA ns root 1 2 3 4 5
@ NS ns
ns A 192.0.2.1
a.b A 192.0.2.2
dn DNAME www.other.test.
alias CNAME ns
"""
NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: prod}\n---\n"


def raw(server, name, rdtype="A", rdclass=1, more=b""):
    wire = header(ar=1 if more else 0) + question(name, dns.rdatatype.from_text(rdtype), rdclass) + more
    return parse(server.udp(wire))


def rcode(server, name, rdtype="A", **more):
    return dns.rcode.to_text(server.ask(name, rdtype, **more).rcode())


def with_objects(start, tmp_path, text, options=""):  # noqa: F811
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "objects.yaml").write_text(NAMESPACE + text)
    return start(block("kubernetes cluster.local in-addr.arpa {\nmanifests @DIR@/m\n%s\n}" % options))


def test_badvers_has_no_options_and_comes_after_the_class(start):  # noqa: F811
    server = start(block("whoami"))
    reply = raw(server, "a.test.", more=opt(version=1, options=[(10, bytes(8)), (3, b"")]))
    assert reply.rcode() == dns.rcode.BADVERS and reply.payload == 0 and options(reply) == {}
    reply = raw(server, "a.test.", rdclass=4, more=opt(version=1))
    assert reply.rcode() == dns.rcode.REFUSED and reply.payload == 1232


@pytest.mark.parametrize("lines,outcome", [("", "REFUSED"), ("minimal", "SERVFAIL"), ("errors", "SERVFAIL"),
                                           ("loadbalance\nerrors", "SERVFAIL")])
def test_nobody_is_left_to_ask(start, lines, outcome):  # noqa: F811
    server = start(block(lines))
    assert rcode(server, "a.test.") == outcome
    if "errors" in lines:
        server.wait_log("plugin/%s: no next plugin found" % lines.split("\n")[0])


POD = """apiVersion: v1
kind: Pod
metadata: {name: p, namespace: prod}
spec: {nodeName: n, containers: [{name: c, image: i}]}
status: {phase: Running, podIP: "fd00:1::", podIPs: [{ip: "fd00:1::"}]}
"""


def test_verified_pod_whose_address_ends_in_colons(start, tmp_path):  # noqa: F811
    server = with_objects(start, tmp_path, POD, "pods verified")
    assert server.addresses("fd00-1--.prod.pod.cluster.local.", "AAAA") == ["fd00:1::"]
    assert server.addresses("fd00-1--0.prod.pod.cluster.local.", "AAAA") == "NXDOMAIN"


def test_srv_of_a_pods_name_leads_to_that_name_alone(start, tmp_path):  # noqa: F811
    server = with_objects(start, tmp_path, POD, "pods insecure")
    reply = server.ask("_http._tcp.10-1-0-1.PROD.pod.Cluster.local.", "SRV")
    target = "10-1-0-1.prod.pod.Cluster.local."
    assert records(reply.answer)[0][3] == "0 100 0 " + target
    assert records(reply.additional) == [(target, 5, "A", "10.1.0.1")]


SLICE = """apiVersion: v1
kind: Service
metadata: {name: db, namespace: prod}
spec: {clusterIP: None, ports: [{name: pg, port: 5432}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: db-1, namespace: prod, labels: {kubernetes.io/service-name: db}}
addressType: IPv4
ports: [{name: pg, port: 5432}]
endpoints:
- {addresses: [10.1.0.1], conditions: {ready: true}, targetRef: {kind: Pod, name: db.v1, namespace: prod}}
- {addresses: [10.1.0.2], conditions: {ready: true}, targetRef: {kind: Pod, name: db-2, namespace: prod}}
"""


def test_endpoints_whose_pod_name_has_dots(start, tmp_path):  # noqa: F811
    server = with_objects(start, tmp_path, SLICE, "endpoint_pod_names")
    targets = sorted(r[3].split()[3] for r in records(server.ask("db.prod.svc.cluster.local.", "SRV").answer))
    assert targets == ["10-1-0-1.db.prod.svc.cluster.local.", "db-2.db.prod.svc.cluster.local."]
    assert server.addresses(targets[0]) == ["10.1.0.1"]


def with_zone(start, tmp_path, lines=""):  # noqa: F811
    (tmp_path / "z.db").write_text(ZONE)
    return start(block("file @DIR@/z.db z.test {\nfallthrough\n}\n" + lines))


def test_a_name_that_only_has_names_below_falls_through(start, tmp_path):  # noqa: F811
    server = with_zone(start, tmp_path, "whoami")
    reply = server.ask("b.z.test.")
    assert records(reply.additional)[0][0] == "b.z.test." and not reply.authority
    assert server.addresses("a.b.z.test.") == ["192.0.2.2"]


def test_rcode_of_what_a_dname_leads_to(start, tmp_path):  # noqa: F811
    server = with_zone(start, tmp_path, "erratic {\ndrop 0\n}")
    reply = server.ask("x.dn.z.test.", "TXT")
    assert dns.rcode.to_text(reply.rcode()) == "SERVFAIL"
    assert [r[2] for r in records(reply.answer)] == ["DNAME", "CNAME"]
    assert rcode(server, "x.dn.z.test.", "A") == "NOERROR"


def test_name_servers_of_an_alias(start, tmp_path):  # noqa: F811
    reply = with_zone(start, tmp_path).ask("alias.z.test.", "NS")
    assert [r[2] for r in records(reply.answer)] == ["CNAME"]
    assert [r[2] for r in records(reply.authority)] == ["SOA"]


def test_hosts_and_whoami_in_other_classes(start):  # noqa: F811
    server = start(block('chaos "v"\nhosts {\n192.0.2.1 a.test\nfallthrough test\n}\nwhoami'))
    reply = raw(server, "a.test.", rdclass=4)
    assert records(reply.answer) == [("a.test.", 3600, "A", "192.0.2.1")]
    reply = raw(server, "b.test.", rdclass=4)
    assert [r.rdclass for r in reply.additional] == [dns.rdataclass.HS, dns.rdataclass.HS]
    assert raw(server, "b.other.", rdclass=4).rcode() == dns.rcode.SERVFAIL


@pytest.mark.parametrize("rdtype,text", [("ANY", "TXT"), ("TXT", "TXT")])
def test_type_of_a_template_that_any_asks_for(start, rdtype, text):  # noqa: F811
    server = start(block('template IN TXT {\nanswer "{{ .Name }} 60 IN TXT {{ .Type }}"\n}'))
    assert records(server.ask("a.test.", rdtype).answer) == [("a.test.", 60, "TXT", '"%s"' % text)]


def test_ttl_of_a_reply_with_additional_records_alone(start):  # noqa: F811
    server = start(block("cache {\nsuccess 2000 600 0\n}\nwhoami"))
    assert {r[1] for r in records(server.ask("a.test.").additional)} == {0}
    server = start(block("cache\nwhoami"))
    assert {r[1] for r in records(server.ask("a.test.").additional)} == {5}


def test_an_option_that_is_not_there_counts_as_unset(start):  # noqa: F811
    rules = "rewrite edns0 local unset 0xffee\nrewrite name a.test b.test\nhosts {\n192.0.2.1 b.test\n}"
    server = start(block(rules))
    assert rcode(server, "a.test.") == "SERVFAIL"
    server = start(block("rewrite continue" + rules[7:]))
    assert server.addresses("a.test.") == ["192.0.2.1"]


@pytest.mark.parametrize("rule", ["local unset 0xffee revert", "nsid unset revert", "subnet unset revert"])
def test_unset_takes_no_revert(signpost, tmp_path, rule):
    status, log = run_until_end(signpost, tmp_path, ".:0 {\n    rewrite edns0 %s\n}\n" % rule)
    assert status == 1 and "Corefile:2" in log


def test_ixfr_behind_rewrite_edns0(start, tmp_path):  # noqa: F811
    (tmp_path / "z.db").write_text(ZONE)
    server = start(block("rewrite edns0 local set 0xffee x\ntransfer {\nto *\n}\nfile @DIR@/z.db z.test"))
    asked = dns.message.make_query("z.test.", "IXFR")
    asked.authority.append(dns.rrset.from_text("z.test.", 0, "IN", "SOA", "ns.z.test. root.z.test. 1 2 3 4 5"))
    reply = parse(server.tcp(asked.to_wire()))
    assert [r[2] for r in records(reply.answer)] == ["SOA"]


@pytest.mark.parametrize("line,ttl", [("cache 1", 1), ("cache {\nsuccess 2000 60 10\n}", 10), ("cache", 5)])
def test_ttl_of_what_the_cache_does_not_keep(start, tmp_path, line, ttl):  # noqa: F811
    (tmp_path / "z.db").write_text(ZONE + "gone CNAME nowhere\n")
    server = start(block(line + "\nfile @DIR@/z.db z.test"))
    reply = server.ask("gone.z.test.")
    assert dns.rcode.to_text(reply.rcode()) == "NXDOMAIN"
    assert {r[1] for r in records(reply.answer) + records(reply.authority)} == {ttl}


def test_the_port_is_open_when_the_start_is_told(signpost, tmp_path):
    for _ in range(25):
        with Server(signpost, tmp_path, block("whoami"), wait=False) as server:
            server.wait_log("signpost-", 20)
            assert rcode(server, "a.test.") == "NOERROR"


@pytest.mark.parametrize("sent,outcome", [([], "SERVFAIL"), ([option(8, bytes.fromhex("00011800c00002"))], "NOERROR")])
def test_a_client_subnet_is_not_appended_to_another(start, sent, outcome):  # noqa: F811
    server = start(block("rewrite edns0 subnet append 24 56\nrewrite name a.test b.test\nhosts {\n192.0.2.1 b.test\n}"))
    assert rcode(server, "a.test.", use_edns=0, options=sent) == outcome


def test_rd_of_what_dns64_makes(start):  # noqa: F811
    server = start(block("dns64 {\nallow_ipv4\n}\nheader {\nresponse clear rd aa\n}\nhosts {\n192.0.2.1 a.test\n}"))
    assert dns.flags.to_text(server.ask("a.test.", "AAAA").flags) == "QR RD"
    assert dns.flags.to_text(server.ask("a.test.", "A").flags) == "QR"


def test_dns64_translates_what_template_makes(start):  # noqa: F811
    text = 'template IN %s {\nanswer "{{ .Name }} 60 IN A 192.0.2.1"\nrcode NOERROR\n}'
    server = start(block("dns64 {\nallow_ipv4\n}\n" + text % "ANY"))
    assert server.addresses("a.test.", "AAAA") == ["64:ff9b::c000:201"]


def test_pods_takes_one_word(signpost, tmp_path):
    corefile = ".:0 {\n    kubernetes c {\n        manifests .\n        pods verified fallthrough\n    }\n}\n"
    status, log = run_until_end(signpost, tmp_path, corefile)
    assert status == 1 and "Corefile:4" in log


def test_a_look_up_has_a_size_of_its_own(start):  # noqa: F811
    """The look-up of the A record is as long as the question that led to it, and of another type."""
    short = '.:@PORT@ {\nbind 127.0.0.1\nview short {\nexpr size() < 30\n}\n%s\n}\n'
    server = start(short % 'template IN A {\nanswer "{{ .Name }} 60 IN A 192.0.2.1"\n}' +
                   block('template IN TXT {\nanswer "{{ .Name }} 60 IN CNAME b.test."\n}\n'
                         'template IN A quite.long.name.test {\nanswer "{{ .Name }} 60 IN CNAME b.test."\n}'))
    assert server.addresses("quite.long.name.test.") == ["192.0.2.1", "b.test."]
