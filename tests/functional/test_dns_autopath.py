"""`autopath`: whose path it is, what is looked up, and what comes back."""
import re
from urllib.parse import unquote

import dns.flags
import pytest

from apiserver import ApiServer
from dns_world import Server, http_get, records, run_until_end, write_whole

PODS = """
.:@PORT@ {
    bind 127.0.0.1
    prometheus 127.0.0.1:@PORT3@
    autopath @kubernetes
    cache 30
    kubernetes cluster.local {
        manifests @DIR@/manifests
        pods %s
    }
    forward . 127.0.0.1:@PORT2@
}
.:@PORT2@ {
    bind 127.0.0.1
    file root.db .
}
"""

NODE = """
cluster.local:@PORT@ {
    bind 127.0.0.1
    prometheus 127.0.0.1:@PORT3@
    autopath @node {
        name n
        %s
    }
    cache 30
    forward . 127.0.0.1:@PORT2@
}
.:@PORT2@ {
    bind 127.0.0.1
    prometheus 127.0.0.1:@PORT4@
    file root.db .
    kubernetes cluster.local {
        manifests @DIR@/manifests
    }
}
"""

FILE = """
.:@PORT@ {
    bind 127.0.0.1
    autopath path.test search.conf
    forward . 127.0.0.1:@PORT2@
}
.:@PORT2@ {
    bind 127.0.0.1
    prometheus 127.0.0.1:@PORT3@
    %s
}
"""

ROOT_DB = """. 60 IN SOA ns root 1 2 3 4 60
www.example.net. 300 IN A 198.51.100.1
alias.example.net. 120 IN CNAME www.example.net.
two.path.test. 60 IN A 198.51.100.2
x.two.path.test. 60 IN TXT "x"
"""

OBJECTS = """apiVersion: v1
kind: Namespace
metadata: {name: a}
---
apiVersion: v1
kind: Namespace
metadata: {name: b}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: a}
spec: {clusterIP: 10.96.0.1, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: b}
spec: {clusterIP: 10.96.0.2, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: out, namespace: a}
spec: {type: ExternalName, externalName: www.example.net}
"""

POD = """---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: %s}
spec: {nodeName: n, containers: [{name: c, image: x}]}
status: {phase: Running, podIP: %s, podIPs: [{ip: %s}]}
"""


KUBECONFIG = """apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "%s"}}]
users: [{name: u, user: {}}]
"""


def pod(namespace, ip="127.0.0.1"):
    return POD % (namespace, ip, ip)


@pytest.fixture
def start(signpost, tmp_path):
    servers = []
    (tmp_path / "manifests").mkdir()
    (tmp_path / "root.db").write_text(ROOT_DB)
    (tmp_path / "search.conf").write_text("domain no.test\nsearch one.path.test TWO.path.test\n")

    def begin(corefile, *objects):
        write_whole(tmp_path / "manifests" / "objects.yaml", OBJECTS + "".join(objects))
        servers.append(Server(signpost, tmp_path, corefile))
        return servers[-1].__enter__()

    yield begin
    for server in servers:
        server.__exit__()


def answer(server, name, rdtype="A", **more):
    return records(server.ask(name, rdtype, **more).answer)


@pytest.mark.parametrize("tcp", [False, True])
def test_a_pod(start, tcp):
    server = start(PODS % "verified", pod("a"))
    z = "svc.cluster.local."
    assert answer(server, "web.a." + z, tcp=tcp) == [("web.a." + z, 5, "A", "10.96.0.1")]
    assert answer(server, "web.b.a." + z, tcp=tcp) == [
        ("web.b.a." + z, 5, "CNAME", "web.b." + z), ("web.b." + z, 5, "A", "10.96.0.2")]
    assert answer(server, "web.b.svc.a." + z, tcp=tcp) == [
        ("web.b.svc.a." + z, 5, "CNAME", "web.b." + z), ("web.b." + z, 5, "A", "10.96.0.2")]
    reply = server.ask("alias.example.net.a." + z, tcp=tcp)
    assert [r[0::2] for r in records(reply.answer)] == [
        ("alias.example.net.a." + z, "CNAME"), ("alias.example.net.", "CNAME"),
        ("www.example.net.", "A")]
    assert records(reply.answer)[0][3] == "alias.example.net."
    # An alias of the cluster's own is told once.
    assert [r[2] for r in answer(server, "out.a." + z, tcp=tcp)] == ["CNAME", "A"]
    # Not found anywhere: what the first element says.
    reply = server.ask("nope.nope.a." + z, tcp=tcp)
    assert reply.rcode() == 3 and reply.flags & dns.flags.AA
    assert [r[0] for r in records(reply.authority)] == ["cluster.local."]
    # No data is an answer.
    assert server.addresses("web.a." + z, "AAAA", tcp=tcp) == []
    assert server.addresses("www.example.net.a." + z, "TXT", tcp=tcp) == []
    # Other paths are not its own.
    assert server.addresses("www.example.net.b." + z, tcp=tcp) == "NXDOMAIN"
    assert server.addresses("www.example.net.svc.cluster.local.", tcp=tcp) == "NXDOMAIN"
    assert server.addresses("a." + z, tcp=tcp) == "SERVFAIL"
    metrics = http_get(server.numbered(3), "/metrics")[1]
    assert 'coredns_autopath_success_total{server="dns://127.0.0.1:%d"} 7' % server.port in metrics


def test_pods_that_share_an_address(start, tmp_path):
    server = start(PODS % "verified", pod("a"), pod("b"))
    name = "www.example.net.%s.svc.cluster.local."
    for namespace in "ab":
        assert len(answer(server, name % namespace)) == 2
    write_whole(tmp_path / "manifests" / "objects.yaml", OBJECTS + pod("a", "127.0.0.9") + pod("b"))
    server.until("web.b.a.svc.cluster.local.", "NXDOMAIN")
    assert len(answer(server, name % "b")) == 2


@pytest.mark.parametrize("mode", ["disabled", "insecure"])
def test_needs_verified_pods(start, mode):
    server = start(PODS % mode, pod("a"))
    assert server.addresses("www.example.net.a.svc.cluster.local.") == "NXDOMAIN"
    assert "pods verified" in server.log()


def test_a_node_knows_its_own_pods(start, tmp_path):
    """One question instead of the whole walk, behind a cache that only forwards."""
    other = pod("b").replace("nodeName: n", "nodeName: m")
    server = start(NODE % "manifests @DIR@/manifests", pod("a"), other)
    z = "svc.cluster.local."
    for _ in range(2):  # from upstream, then from the cache
        assert answer(server, "www.example.net.a." + z)[0][2:] == ("CNAME", "www.example.net.")
        assert answer(server, "web.a." + z) == [("web.a." + z, 5, "A", "10.96.0.1")]
        assert answer(server, "web.b.a." + z)[1][3] == "10.96.0.2"
        assert server.addresses("www.example.net.a." + z, "AAAA") == []
    assert server.addresses("www.example.net.b." + z) == "NXDOMAIN", "that pod is on another node"
    assert server.addresses("nope.nope.a." + z) == "NXDOMAIN"
    write_whole(tmp_path / "manifests" / "objects.yaml", OBJECTS)  # the pod goes
    server.until("www.example.net.a." + z, "NXDOMAIN")


def test_a_nodes_pods_from_an_api_server(start, tmp_path):
    with ApiServer() as api:
        for name, node in (("here", "n"), ("there", "m")):
            api.state.put({"apiVersion": "v1", "kind": "Pod",
                           "metadata": {"name": name, "namespace": "a" if node == "n" else "b"},
                           "spec": {"nodeName": node},
                           "status": {"phase": "Running", "podIP": "127.0.0.1"}})
        (tmp_path / "kubeconfig").write_text(KUBECONFIG % api.url())
        server = start(NODE % "kubeconfig @DIR@/kubeconfig")
        server.until("www.example.net.a.svc.cluster.local.", ["198.51.100.1", "www.example.net."])
        assert server.addresses("www.example.net.b.svc.cluster.local.") == "NXDOMAIN"
        asked = [unquote(p) for p in api.paths() if p.startswith("/api/v1/")]
        assert asked and all("/pods?" in p and "spec.nodeName=n" in p for p in asked), asked


def requests(server):
    text = http_get(server.numbered(3), "/metrics")[1]
    return sum(int(line.split()[-1]) for line in text.splitlines()
               if line.startswith("coredns_dns_requests_total"))


def test_a_file(start):
    server = start(FILE % "file root.db .")
    assert records(server.ask("x.one.path.test.", "TXT").answer) == [
        ("x.one.path.test.", 60, "CNAME", "x.two.path.test."), ("x.two.path.test.", 60, "TXT", '"x"')]
    before = requests(server)
    assert answer(server, "WWW.example.net.ONE.path.test.")[0][:3] == (
        "WWW.example.net.ONE.path.test.", 300, "CNAME")
    assert requests(server) == before + 3  # each candidate once
    assert server.addresses("nope.one.path.test.") == "NXDOMAIN"
    assert requests(server) == before + 6
    assert server.addresses("nope.two.path.test.") == "NXDOMAIN"
    assert requests(server) == before + 7
    long = ".".join(["a" * 60] * 3 + ["b" * 55])
    assert server.addresses(long + ".one.path.test.") == "NXDOMAIN"


def test_an_error_ends_the_search(start):
    server = start(FILE % "erratic {\n        drop 0\n        delay 0\n        truncate 0\n    }")
    before = requests(server)
    assert server.addresses("x.one.path.test.", "MX") == "SERVFAIL"
    assert requests(server) > before


@pytest.mark.parametrize("line, words", [
    ("autopath", "no resolv-conf"), ("autopath nope.conf", "nope.conf"),
    ("autopath @erratic", "@erratic"), ("autopath @node {\n nope x\n }", "unknown property 'nope'"),
    ("autopath @node {\n name a,b\n manifests .\n }", "'a,b' is no name of a node"),
    ("autopath @node {\n name\n }", "Wrong argument count"),
    ("autopath @node {\n manifests .\n kubeconfig x\n }", "cannot both be the source"), ("autopath long.conf", "long.conf:2: more than 32"),
    ("autopath bad.conf", "bad.conf:1: not a domain name"),
])
def test_refused(signpost, tmp_path, line, words):
    (tmp_path / "long.conf").write_text("\nsearch" + " x" * 33 + "\n")
    (tmp_path / "bad.conf").write_text("search a..b\n")
    code, output = run_until_end(
        signpost, tmp_path, ".:5300 {\n    bind 127.0.0.1\n    %s\n    whoami\n}\n" % line)
    assert code == 1 and words in output, output
    assert re.search(r"Corefile:[3-6] - ", output), output
