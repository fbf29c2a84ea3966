"""What must hold in a laboratory of walk_world.py, whoever plays which part in it."""
import itertools
import json

from walk_world import APIS, BARS, DNS, PROXIES, wait

SOON = 60  # seconds for what a busy machine may take long for
# API server, DNS, proxy, controller; all of an API server one after the other, in one laboratory
COMBINATIONS = [(api, *others) for api in APIS for others in [
    *itertools.product(DNS, PROXIES, ["signpost"]),
    ("signpost", "signpost", "kube-controller-manager"),
    ("coredns", "kube-proxy-nftables", "kube-controller-manager")]]
# in the rules that a walk shows; those of iptables that were rewritten meanwhile have no text
TABLES = {"signpost": "ip signpost ", "kube-proxy-nftables": "ip kube-proxy ", "kube-proxy-iptables": "jump KUBE-SERVICES"}


def walk(world):
    """One request, every step of which is observed: the DNS pod that answered and the rules that chose
    are those of this combination."""
    told = world.call("walk", "shop/foo", "bar").stdout
    assert "(pod %s-" % {"signpost": "signpost-dns"}.get(world.roles["dns"], world.roles["dns"]) in told, told
    assert TABLES[world.roles["proxy"]] in told, told
    assert not [t for role, t in TABLES.items() if role != world.roles["proxy"] and t in told], told


def names(world):
    def addresses(name):
        return {line.split()[0] for line in world.foo("getent", "ahosts", name, check=False).stdout.splitlines()}

    def pod_ips(*names):
        return {world.object("pod", name, "data")["status"]["podIP"] for name in names}

    assert addresses("bar.other") == {world.object("service", "bar", "other")["spec"]["clusterIP"]}
    assert addresses("db.data") == pod_ips("db-0", "db-1")
    assert addresses("db-0.db.data") == pod_ips("db-0")
    assert addresses("api") == {"203.0.113.10"}
    for name in ("nosuch", "nosuch.data"):
        assert addresses(name) == set()
        full = name.split(".")[0] + "." + (name + ".shop").split(".")[1] + ".svc.cluster.local"
        assert "status: NXDOMAIN" in world.foo("dig", "+time=5", full).stdout
    assert world.foo("curl", "-s", "--max-time", "5", "http://empty/", check=False).returncode == 7  # refused


def changes(world):
    world.scale(*BARS)
    world.until_answered_by(*BARS, seconds=SOON)
    world.scale("bar-1", "bar-3")
    world.until_answered_by("bar-1", "bar-3", seconds=SOON)
    wait(lambda: not world.object("pod", "bar-2"), SOON, "bar-2 has ended")
    counts = world.answers(requests=300)
    assert set(counts) == {"bar-1", "bar-3"}, "%s: requests failed, or went to a pod that is gone" % counts
    world.scale("bar-1")
    world.until_answered_by("bar-1", seconds=SOON)
    wait(lambda: not world.object("pod", "bar-3"), SOON, "bar-3 has ended")


def slices(world):
    """What is there was made by who plays the controller, and tells of the pods that are there."""
    made = world.get("/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices?labelSelector="
                    "kubernetes.io/service-name%3Dbar")["items"]
    assert [s["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] for s in made] == [
        "endpointslice-controller.k8s.io"]
    ips = [e["addresses"] for e in made[0]["endpoints"] if e["conditions"]["ready"]]
    assert ips == [[world.object("pod", "bar-1")["status"]["podIP"]]]


def ipv6(world):
    """A Service of IPv6 alone: its name has no other address, and leads to the pod's."""
    address = world.object("service", "bar-six")["spec"]["clusterIP"]
    assert address.startswith("fd00:10:96:")
    told = world.foo("getent", "ahosts", "bar-six").stdout.split("\n")[:-1]
    assert {line.split()[0] for line in told} == {address}, told
    wait(lambda: set(world.answers("bar-six")) == {"bar-1"}, SOON, "bar-1 answers by IPv6")
    answer = json.loads(world.foo("curl", "-sS", "--max-time", "5", "http://bar-six/").stdout)
    assert answer["client"].startswith("[fd00:10:244:1:"), answer  # foo's own: nothing was masqueraded


CHECKS = {"walk": walk, "names": names, "changes": changes, "slices": slices, "IPv6": ipv6}
