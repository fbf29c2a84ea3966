"""The same questions to signpost and to the real CoreDNS, both on the same API server."""
import contextlib
import shutil
import subprocess

import dns.message
import dns.query
import dns.rcode
import pytest

import kube_world
from dns_world import free_port, query
from kube_world import endpoint_slice, external, service

ZONE = "cluster.local."


@pytest.fixture(scope="module")
def coredns(cluster, tmp_path_factory):
    program = kube_world.PROGRAMS / "coredns"
    program = program if program.exists() else shutil.which("coredns")
    if not program:
        pytest.skip("there is no coredns: ./run peers builds it")
    folder = tmp_path_factory.mktemp("coredns")
    port = free_port()
    text = kube_world.COREFILE.replace("@LINES@", "kubeconfig %s\n pods verified" % cluster.admin)
    for word, number in (("@PORT@", port), ("@PORT2@", free_port()), ("@PORT3@", free_port())):
        text = text.replace(word, str(number))
    (folder / "Corefile").write_text(text)
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([program, "-conf", "Corefile"], cwd=folder, stdout=log,
                                   stderr=log, stdin=subprocess.DEVNULL)
    yield port
    process.kill()
    process.wait()


def ask(port, name, rdtype):
    message = query(name, rdtype)
    reply = dns.query.udp(message, "127.0.0.1", 10, port)
    # SOA serials are clocks
    text = lambda section: sorted((r.name.to_text(), r.ttl, i.to_text() if r.rdtype != 6 else "SOA")
                                  for r in section for i in r)
    return (dns.rcode.to_text(reply.rcode()), reply.flags, text(reply.answer), text(reply.authority),
            text(reply.additional))


def fill(cluster):
    """A namespace with a service of each kind, several times over; its questions."""
    names = []
    cluster.add_namespace("many")
    for i in range(12):
        name = "s%d" % i
        if i % 4 == 3:
            made = external(name, "many", "s0.many.svc." + ZONE[:-1])
        else:
            ports = [{"name": p, "port": 80 + k, "protocol": "UDP" if k == 1 else "TCP"}
                     for k, p in enumerate(("http", "dns", "grpc")[:1 + i % 3])]
            made = service(name, "many", ip="None" if i % 4 == 1 else None, ports=ports,
                           **({"ipFamilyPolicy": "PreferDualStack"} if i % 2 else {}))
        spec = cluster.create(made)["spec"]
        if i % 4 == 1 and i < 9:  # s9 is headless and empty
            cluster.create(endpoint_slice(name, "10.4.%d.1" % i, "10.4.%d.2" % i, namespace="many"))
            cluster.create(endpoint_slice(name, "fd00:4::%d" % i, namespace="many", suffix="-six", family="IPv6"))
            names.append("10-4-%d-1.%s" % (i, name))
            names += ["1.%d.4.10.in-addr.arpa." % i]
        names += [name, "_http._tcp." + name, "_dns._udp." + name, "no." + name]
        names += [".".join(reversed(a.split("."))) + ".in-addr.arpa."
                  for a in spec.get("clusterIPs", []) if "." in a]
    return [n if n.endswith("arpa.") else "%s.many.svc.%s" % (n, ZONE) for n in names] + [
        ZONE, "svc." + ZONE, "many.svc." + ZONE, "none.svc." + ZONE, "dns-version." + ZONE, "ns.dns." + ZONE,
        "10-4-1-1.many.pod." + ZONE, "pod." + ZONE, "S0.MANY.svc." + ZONE]


def test_same_answers(cluster, coredns, start):
    names = fill(cluster)
    server = start("kubeconfig %s\n pods verified" % cluster.admin)
    last = names[0]

    def known(port):
        with contextlib.suppress(OSError, dns.exception.Timeout):
            return ask(port, last, "A")[0] == "NOERROR" and ask(port, "s10.many.svc." + ZONE, "A")[2]
        return False

    for port in (coredns, server.port):
        cluster.until(lambda p=port: known(p), 60, "it answers")
    asked, differences = 0, []
    for name in names:
        for rdtype in ("PTR", "A") if name.endswith("arpa.") else ("A", "AAAA", "SRV", "TXT"):
            theirs, ours = ask(coredns, name, rdtype), ask(server.port, name, rdtype)
            asked += 1
            if theirs != ours:
                differences.append("%s %s\n  coredns  %s\n  signpost %s" % (name, rdtype, theirs, ours))
    assert asked > 200
    assert not differences, "\n".join(differences)
