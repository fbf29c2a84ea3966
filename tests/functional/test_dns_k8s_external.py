"""`k8s_external`: what the vector set does not show: changes, shared addresses, headless, errors."""
import dns.rcode
import pytest

from dns_world import Server, records, run_until_end, write_whole

COREFILE = """
.:@PORT@ {
    bind 127.0.0.1
    kubernetes cluster.local {
        manifests @DIR@/manifests
    }
    k8s_external ext.test 192.0.2.0/24 {
        %s
    }
    file hosts.db balancer.test
}
"""

ZONE = """@ 60 IN SOA ns root 1 2 3 4 60
one 60 IN A 198.51.100.1
one 60 IN AAAA 2001:db8::1
two 60 IN A 198.51.100.2
"""

SERVICE = """---
apiVersion: v1
kind: Service
metadata: {name: %s, namespace: a}
spec:
  clusterIP: %s
  externalIPs: [%s]
  ports: [{name: http, port: 80}, {name: dns, port: 53, protocol: UDP}]
status: {loadBalancer: {ingress: [%s]}}
"""

HEADLESS = """---
apiVersion: v1
kind: Service
metadata: {name: bare, namespace: a}
spec: {clusterIP: None, ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: bare-1, namespace: a, labels: {kubernetes.io/service-name: bare}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints:
- {addresses: [10.1.0.1], hostname: first}
- {addresses: [10.1.0.2]}
"""

NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n"


def service(name="web", cluster="10.96.0.1", external="", ingress=""):
    return SERVICE % (name, cluster, external, ingress)


@pytest.fixture
def start(signpost, tmp_path):
    servers = []
    (tmp_path / "manifests").mkdir()
    (tmp_path / "hosts.db").write_text(ZONE)
    (tmp_path / "manifests" / "namespace.yaml").write_text(NAMESPACE)

    def begin(*objects, options="ttl 30"):
        write_whole(tmp_path / "manifests" / "objects.yaml", "".join(objects))
        servers.append(Server(signpost, tmp_path, COREFILE % options))
        return servers[-1].__enter__()

    yield begin
    for server in servers:
        server.__exit__()


def change(tmp_path, *objects):
    write_whole(tmp_path / "manifests" / "objects.yaml", "".join(objects))


def test_addresses_come_and_go(start, tmp_path):
    server = start(service())
    assert server.addresses("web.a.ext.test.") == "NXDOMAIN"
    change(tmp_path, service(external="192.0.2.1", ingress="{ip: 192.0.2.2}, {ip: '2001:db8::2'}"))
    server.until("web.a.ext.test.", ["192.0.2.1", "192.0.2.2"])
    assert server.addresses("web.a.ext.test.", "AAAA") == ["2001:db8::2"]
    assert server.addresses("1.2.0.192.in-addr.arpa.", "PTR") == ["web.a.ext.test."]
    change(tmp_path, service(external="192.0.2.3, 192.0.2.2", ingress="{ip: 192.0.2.2}"))
    server.until("web.a.ext.test.", ["192.0.2.2", "192.0.2.3"])
    assert server.addresses("1.2.0.192.in-addr.arpa.", "PTR") == "NXDOMAIN"
    assert server.addresses("2.2.0.192.in-addr.arpa.", "PTR") == ["web.a.ext.test."]
    assert server.addresses("3.2.0.192.in-addr.arpa.", "PTR") == ["web.a.ext.test."]
    change(tmp_path, service())
    server.until("web.a.ext.test.", "NXDOMAIN")
    assert server.addresses("2.2.0.192.in-addr.arpa.", "PTR") == "NXDOMAIN"
    assert server.addresses("web.a.svc.cluster.local.") == ["10.96.0.1"]


def test_two_services_share_an_address(start, tmp_path):
    one, two = service(external="192.0.2.1"), service("api", "10.96.0.2", "192.0.2.1")
    server = start(one, two)
    assert server.addresses("1.2.0.192.in-addr.arpa.", "PTR") == ["api.a.ext.test.",
                                                                    "web.a.ext.test."]
    change(tmp_path, two)
    server.until("web.a.ext.test.", "NXDOMAIN")
    assert server.addresses("1.2.0.192.in-addr.arpa.", "PTR") == ["api.a.ext.test."]


def test_host_names(start):
    hosts = "{hostname: one.balancer.test}, {hostname: two.balancer.test}"
    server = start(service(ingress=hosts),
                   service("both", "10.96.0.2", "192.0.2.1", hosts))
    assert records(server.ask("web.a.ext.test.").answer) == [
        ("web.a.ext.test.", 5, "CNAME", "one.balancer.test."),
        ("one.balancer.test.", 60, "A", "198.51.100.1")]
    reply = server.ask("_http._tcp.web.a.ext.test.", "SRV")
    assert sorted(r[3] for r in records(reply.answer)) == ["0 50 80 one.balancer.test.",
                                                           "0 50 80 two.balancer.test."]
    assert sorted(r[3] for r in records(reply.additional)) == [
        "198.51.100.1", "198.51.100.2", "2001:db8::1"]
    assert server.addresses("both.a.ext.test.") == ["192.0.2.1"]
    assert len(server.addresses("both.a.ext.test.", "SRV")) == 6


def test_headless(start):
    server = start(service(external="192.0.2.1"), HEADLESS, options="headless")
    assert server.addresses("bare.a.ext.test.") == ["10.1.0.1", "10.1.0.2"]
    assert server.addresses("first.bare.a.ext.test.") == ["10.1.0.1"]
    assert server.addresses("10-1-0-2.bare.a.ext.test.") == ["10.1.0.2"]
    assert server.addresses("other.bare.a.ext.test.") == "NXDOMAIN"
    assert server.addresses("_http._tcp.bare.a.ext.test.", "SRV") == [
        "0 50 8080 10-1-0-2.bare.a.ext.test.", "0 50 8080 first.bare.a.ext.test."]
    assert server.addresses("_nope._tcp.bare.a.ext.test.", "SRV") == "NXDOMAIN"
    assert server.addresses("bare.a.ext.test.", "AAAA") == []
    assert server.addresses("web.a.ext.test.") == ["192.0.2.1"]


def test_without_headless(start):
    server = start(HEADLESS)
    assert server.addresses("bare.a.ext.test.") == "NXDOMAIN"
    assert server.addresses("first.bare.a.ext.test.") == "NXDOMAIN"


def test_fallthrough(start):
    server = start(service(external="192.0.2.1"), options="fallthrough")
    reply = server.ask("nope.a.ext.test.")
    assert reply.rcode() == dns.rcode.SERVFAIL or reply.rcode() == dns.rcode.REFUSED
    assert server.addresses("web.a.ext.test.") == ["192.0.2.1"]
    assert server.addresses("a.ext.test.") == []


def test_apex(start):
    server = start(service(), options="apex gw")
    assert server.addresses("ext.test.", "NS") == ["ns1.gw.ext.test."]
    assert server.addresses("gw.ext.test.") == []
    assert server.addresses("x.ns1.gw.ext.test.") == "NXDOMAIN"
    assert server.addresses("ext.test.", "AXFR", tcp=True) == "REFUSED"


@pytest.mark.parametrize("line, words", [
    ("ttl 3601", "ttl must be in range"), ("ttl x", "ttl must be in range"),
    ("apex a.b", "one label"), ("apex", "Wrong argument count"), ("bananas", "bananas"),
    ("headless yes", "Wrong argument count"),
])
def test_refused(signpost, tmp_path, line, words):
    (tmp_path / "manifests").mkdir()
    text = (COREFILE % line).replace("@PORT@", "5300").replace("@DIR@", str(tmp_path))
    code, output = run_until_end(signpost, tmp_path, text)
    assert code == 1 and words in output and "Corefile:8 - " in output, output


def test_needs_kubernetes(signpost, tmp_path):
    code, output = run_until_end(
        signpost, tmp_path, ".:5300 {\n    bind 127.0.0.1\n    k8s_external ext.test\n}\n")
    assert code == 1 and "k8s_external" in output and "'kubernetes'" in output, output
