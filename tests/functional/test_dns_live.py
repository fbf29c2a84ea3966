"""Changes of the manifests while queries are answered: visible within a second, never half."""
import os
import threading
import time

import pytest

from dns_world import Server, write_whole
from small_world import metric

COREFILE = """.:@PORT@ {
    bind 127.0.0.1
    errors
    log . {
        class error
    }
    kubernetes cluster.local in-addr.arpa {
        manifests @DIR@/manifests
        pods verified
    }
    loadbalance
}
"""
SERVICE = """---
apiVersion: v1
kind: Service
metadata: {name: %s, namespace: %s}
spec:
  clusterIP: %s
  ports: [{name: http, port: 80}]
"""
HEADLESS = """---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: default}
spec:
  clusterIP: None
  ports: [{name: pg, port: 5432}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: db-1, namespace: default, labels: {kubernetes.io/service-name: db}}
addressType: IPv4
ports: [{name: pg, port: 5432}]
endpoints:
"""
NAMESPACE = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n"
POD = """---
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: default}
spec: {containers: [{name: c, image: i}]}
status: {phase: %s, podIP: %s}
"""


def name_of(service, namespace="default"):
    return "%s.%s.svc.cluster.local." % (service, namespace)


@pytest.fixture(name="world")
def world_fixture(signpost, tmp_path):
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "first.yaml").write_text(SERVICE % ("web", "default", "10.96.0.10"))
    with Server(signpost, tmp_path, COREFILE, "-workers", "2") as s:
        s.manifests = folder
        s.until(name_of("web"), ["10.96.0.10"])
        yield s


def test_added_changed_removed(world):
    file = world.manifests / "second.yaml"
    assert world.addresses(name_of("new")) == "NXDOMAIN"
    file.write_text(SERVICE % ("new", "default", "10.96.0.20"))
    world.until(name_of("new"), ["10.96.0.20"])
    world.until("20.0.96.10.in-addr.arpa.", [name_of("new")], rdtype="PTR")
    write_whole(file, SERVICE % ("new", "default", "10.96.0.21"))
    world.until(name_of("new"), ["10.96.0.21"])
    assert world.addresses("20.0.96.10.in-addr.arpa.", "PTR") == "NXDOMAIN"
    file.unlink()
    world.until(name_of("new"), "NXDOMAIN")
    assert world.addresses("21.0.96.10.in-addr.arpa.", "PTR") == "NXDOMAIN"
    assert world.addresses(name_of("web")) == ["10.96.0.10"]


def test_new_folder_and_moved_file(world):
    deep = world.manifests / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "x.yml").write_text(SERVICE % ("deep", "default", "10.96.0.30"))
    world.until(name_of("deep"), ["10.96.0.30"])
    os.rename(deep, world.manifests.parent / "away")
    world.until(name_of("deep"), "NXDOMAIN")


def test_last_good_objects_stay(world):
    """A file that stops parsing is reported with its line; when it parses again, it counts again."""
    file = world.manifests / "first.yaml"
    write_whole(file, SERVICE % ("web", "default", "10.96.0.10") + "---\nkind: [\n")
    world.wait_log("%s:" % file)
    line = [t for t in world.log().splitlines() if str(file) in t][0]
    assert line.startswith("[WARNING] %s:" % file)
    assert int(line[len("[WARNING] %s:" % file):].split(":")[0]) > 7
    assert world.addresses(name_of("web")) == ["10.96.0.10"]
    write_whole(file, SERVICE % ("web", "default", "10.96.0.11"))
    world.until(name_of("web"), ["10.96.0.11"])


def test_refused_object(world):
    """The others of its file are taken all the same."""
    file = world.manifests / "mixed.yaml"
    file.write_text(SERVICE % ("bad", "default", "10.96.0.999") +
                    SERVICE % ("good", "default", "10.96.0.40"))
    world.until(name_of("good"), ["10.96.0.40"])
    assert world.addresses(name_of("bad")) == "NXDOMAIN"
    world.wait_log("%s:" % file)


def test_namespace_later(world):
    file = world.manifests / "shop.yaml"
    file.write_text(SERVICE % ("cart", "shop", "10.96.0.50"))
    world.wait_log("the namespace shop does not exist")
    assert world.addresses(name_of("cart", "shop")) == "NXDOMAIN"
    assert world.addresses("shop.svc.cluster.local.") == "NXDOMAIN"
    (world.manifests / "ns.yaml").write_text(NAMESPACE % "shop")
    world.until(name_of("cart", "shop"), ["10.96.0.50"])
    assert world.addresses("shop.svc.cluster.local.") == []
    (world.manifests / "ns.yaml").unlink()
    world.until(name_of("cart", "shop"), "NXDOMAIN")


def test_endpoints_become_ready(world):
    file = world.manifests / "db.yaml"
    endpoint = "- {addresses: [10.1.0.%d], conditions: {ready: %s}}\n"
    file.write_text(HEADLESS + endpoint % (1, "true") + endpoint % (2, "false"))
    world.until(name_of("db"), ["10.1.0.1"])
    write_whole(file, HEADLESS + endpoint % (1, "false") + endpoint % (2, "true"))
    world.until(name_of("db"), ["10.1.0.2"])
    assert world.addresses("1.0.1.10.in-addr.arpa.", "PTR") == "NXDOMAIN"
    assert world.addresses("10-1-0-2.db.default.svc.cluster.local.") == ["10.1.0.2"]
    write_whole(file, HEADLESS + endpoint % (1, "false") + endpoint % (2, "false"))
    world.until(name_of("db"), "NXDOMAIN")


def test_type_changes(world):
    file = world.manifests / "first.yaml"
    write_whole(file, "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: default}\n"
                      "spec: {type: ExternalName, externalName: www.example.com}\n")
    world.until(name_of("web"), ["www.example.com."])
    write_whole(file, SERVICE % ("web", "default", "10.96.0.10"))
    world.until(name_of("web"), ["10.96.0.10"])


def test_pods(world):
    file = world.manifests / "pods.yaml"
    name = "10-1-0-7.default.pod.cluster.local."
    file.write_text(POD % ("a", "Running", "10.1.0.7"))
    world.until(name, ["10.1.0.7"])
    write_whole(file, POD % ("a", "Succeeded", "10.1.0.7"))
    world.until(name, "NXDOMAIN")


def test_serial_moves(world):
    def serial():
        return world.ask("cluster.local.", "SOA").answer[0][0].serial
    before = serial()
    time.sleep(1.1)
    (world.manifests / "x.yaml").write_text(SERVICE % ("x", "default", "10.96.0.60"))
    world.until(name_of("x"), ["10.96.0.60"])
    assert before < serial() <= int(time.time()) + 1


CHURN_SECONDS = 5
CHURN_RATE = 200


def churn(folder, errors):
    """Changes a second: an address, endpoints, a namespace and a pod, one after the other."""
    end = ["- {addresses: [10.1.%d.%d]}\n" % (i // 250, i % 250 + 1) for i in range(40)]
    begin = time.monotonic()
    number = 0
    try:
        while time.monotonic() - begin < CHURN_SECONDS:
            number += 1
            n = number % 40
            if n % 4 == 0:
                text = SERVICE % ("svc", "shop", "10.96.1.%d" % (n + 1))
                write_whole(folder / "svc.yaml", text)
            elif n % 4 == 1:
                write_whole(folder / "db.yaml", HEADLESS + "".join(end[:n + 1]))
            elif n % 4 == 2:
                write_whole(folder / "ns.yaml", NAMESPACE % ("shop" if n % 8 < 4 else "other"))
            else:
                write_whole(folder / "pod.yaml", POD % ("a", "Running", "10.1.0.%d" % (n + 1)))
            time.sleep(max(0, begin + number / CHURN_RATE - time.monotonic()))
    except Exception as e:  # a thread's failure is the test's
        errors.append(e)


def ask_all_along(world, end, errors, counts):
    names = [name_of("web"), name_of("db"), name_of("svc", "shop"), "shop.svc.cluster.local.",
             "1.0.1.10.in-addr.arpa.", "10-1-0-1.db.default.svc.cluster.local.",
             "10-1-0-4.default.pod.cluster.local.", "_pg._tcp.db.default.svc.cluster.local."]
    types = ["A", "A", "A", "A", "PTR", "A", "A", "SRV"]
    number = 0
    try:
        while not end.is_set():
            which = number % len(names)
            got = world.addresses(names[which], types[which], tcp=number % 16 == 3,
                                  use_edns=0, payload=4096)
            if which == 0:
                assert got == ["10.96.0.10"], got
            elif which == 1 and got != "NXDOMAIN":
                # The set of one moment: one that grew from the front, without holes.
                last = sorted(int(a.split(".")[3]) for a in got)
                assert last == list(range(1, len(last) + 1)), got
            elif which == 2 and isinstance(got, list):
                assert len(got) == 1, got
            number += 1
    except Exception as e:
        errors.append(e)
    counts.append(number)


def test_churn(world):
    """Queries in flight on both workers while the cluster changes 200 times a second."""
    errors, counts, end = [], [], threading.Event()
    askers = [threading.Thread(target=ask_all_along, args=(world, end, errors, counts))
              for _ in range(4)]
    for thread in askers:
        thread.start()
    churn(world.manifests, errors)
    end.set()
    for thread in askers:
        thread.join()
    assert not errors, errors[0]
    assert sum(counts) > 500
    write_whole(world.manifests / "svc.yaml", SERVICE % ("svc", "default", "10.96.2.1"))
    world.until(name_of("svc"), ["10.96.2.1"])


def test_behind_a_cache(signpost, tmp_path):
    """What `kubernetes` says is not kept by `cache`: TTLs count down, and changes show at once."""
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "web.yaml").write_text(SERVICE % ("web", "default", "10.96.0.10"))
    corefile = (COREFILE.replace("loadbalance", "prometheus 127.0.0.1:@PORT2@\n    cache 3600")
                .replace("manifests\n", "manifests\n        ttl 3600\n", 1))
    with Server(signpost, tmp_path, corefile) as server:
        server.until(name_of("web"), ["10.96.0.10"])

        def ttl():
            return server.ask(name_of("web")).answer[0].ttl
        deadline = time.monotonic() + 20
        while ttl() > 3598:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert metric(server, 2, 'coredns_cache_hits_total{.*type="success".*}')[0] >= 1
        assert server.addresses(name_of("new")) == "NXDOMAIN"
        assert server.addresses(name_of("new")) == "NXDOMAIN"
        assert metric(server, 2, 'coredns_cache_hits_total{.*type="denial".*}')[0] >= 1
        write_whole(folder / "web.yaml", SERVICE % ("web", "default", "10.96.0.11"))
        (folder / "new.yaml").write_text(SERVICE % ("new", "default", "10.96.0.20"))
        server.until(name_of("web"), ["10.96.0.11"])
        server.until(name_of("new"), ["10.96.0.20"])
        assert metric(server, 2, "coredns_cache_entries{.*}") == [0, 0]
