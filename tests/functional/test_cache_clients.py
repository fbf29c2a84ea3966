"""The node-local cache as clients of pods see it: how many questions a name takes them with autopath and
without, for each resolver; what they meet when the cache dies; and which pods of the cluster DNS it asks."""
import sys

import pytest
import resolvers
from node_world import VIP
from search_world import BASE, COUNT, Walker, make_fixture, world  # noqa: F401  fixtures

# A name, what it is, and the questions that a client of namespace app asks for it without autopath.
NAMES = [("near", "10.96.3.1", 2), ("secret.other", "10.96.3.2", 4), ("secret.other.svc", "10.96.3.2", 6),
         ("secret.other.svc.cluster.local", "10.96.3.2", 8), ("www.example.net", "198.51.100.1", 8),
         ("only4.example.net", "198.51.100.4", 8)]


@pytest.fixture(name="programs", scope="module")
def programs_fixture(tmp_path_factory):
    """Builds each resolver's program once, when it is first wanted."""
    folder, made = tmp_path_factory.mktemp("resolvers"), {}

    def get(kind):
        if resolvers.missing(kind):
            pytest.skip(resolvers.missing(kind))
        if kind not in made:
            made[kind] = resolvers.build(kind, folder)
        return made[kind]

    return get


@pytest.mark.parametrize("autopath", [True, False], ids=["autopath", "plain"])
def test_questions_of_a_walk(make, programs, autopath):
    """With autopath each resolver has its answer with the first pair of questions."""
    node, kinds = make(autopath=autopath), [k for k in resolvers.KINDS if not resolvers.missing(k)]
    assert "glibc" in kinds
    node.cache()
    for kind in kinds:
        client = Walker(node, programs(kind))
        for name, address, plain in NAMES:
            answer, asked = client.walk(name)
            assert (answer.code, address in answer.addresses) == (0, True), (kind, name, vars(answer))
            assert asked == (2 if autopath else plain), (kind, name)
        answer, asked = client.walk("nope.example.net")
        assert (answer.code != 0, asked) == (True, 8), (kind, vars(answer))


def short(node, pod, name):
    return node.world.run("dig", "+short", "+time=2", "@" + VIP, name, ns=pod).stdout.split()


def test_a_namespace_sees_its_own_names_only(make):
    """Whatever another namespace's pods on the same node have asked before."""
    node = make()
    node.cache()
    for _ in range(2):  # the second time all comes from the cache
        for pod, own, other in (("c1", "app", "other"), ("p3", "other", "app")):
            assert "198.51.100.1" in short(node, pod, "www.example.net.%s.svc.cluster.local" % own)
            assert short(node, pod, "www.example.net.%s.svc.cluster.local" % other) == []
        assert short(node, "p3", "secret.other.svc.cluster.local") == ["10.96.3.2"]
        assert short(node, "c1", "secret.app.svc.cluster.local") == []
        assert short(node, "p3", "near.other.svc.cluster.local") == []
        assert short(node, "p1", "www.example.net.app.svc.cluster.local") == [], "no pod that is known"


@pytest.mark.parametrize("kind", ["glibc", "musl"])
@pytest.mark.parametrize("rules", ["nft", "iptables"])
def test_a_client_that_lives_on(make, programs, kind, rules):
    """T97: with the original's rules a dead cache costs glibc milliseconds and musl five seconds, and then
    there is no answer; with ours the same client's next question is answered, and by the next cache, too."""
    node = make()
    process = node.cache("-rules", rules)
    client = node.client(programs(kind), "default")
    assert client.ask("web").code == 0
    node.kill(process)
    answer = client.ask("web")
    if rules == "nft":
        assert answer.code == 0 and answer.ms < 1000, vars(answer)
    elif kind == "glibc":
        assert answer.code != 0 and answer.ms < 1000, vars(answer)
    else:
        assert answer.code != 0 and 4500 < answer.ms < 8000, vars(answer)
    node.cache("-rules", rules)
    answer = client.ask("web")
    assert answer.code == 0 and answer.ms < 1000, vars(answer)


FRESH = """import socket, struct, sys, time
end, n, bad = time.monotonic() + float(sys.argv[1]), 0, 0
while time.monotonic() < end:
    n += 1
    labels = ["x%d" % n, "other", "svc", "cluster", "local"]
    name = b"".join(bytes([len(l)]) + l.encode() for l in labels) + b"\\0"
    with socket.socket(type=socket.SOCK_DGRAM) as s:
        s.settimeout(3)
        s.sendto(struct.pack("!6H", n & 65535, 256, 1, 0, 0, 0) + name + b"\\0\\1\\0\\1", ("10.96.0.10", 53))
        try:
            bad += s.recv(512)[3] & 15 != 3
        except OSError:
            bad += 1
    time.sleep(0.002)
print(n, bad)
"""


def asked_of(node, labels):
    """Questions with these labels, by pod of the cluster DNS."""
    return [node.metric(COUNT + labels, "127.0.0.1:9153", ns=pod) for pod in node.pods]


def test_the_pods_of_the_cluster_dns_share_the_load(make):
    """Behind one address: a connection that has had its time makes way for one that may lead to another
    pod."""
    node = make(autopath=False, pods=("p1", "p2"),
                base=BASE.replace("@AUTOPATH@", "").replace("max_age 30s", "max_age 100ms"))
    node.cache()
    udp = asked_of(node, 'proto="udp"')
    asked, bad = node.world.run(sys.executable, "-c", FRESH, "4", ns="c1").stdout.split()
    assert int(asked) > 100 and bad == "0", (asked, bad)
    counts = asked_of(node, 'proto="tcp"')
    assert min(counts) > int(asked) / 10, counts
    assert asked_of(node, 'proto="udp"') == udp, "all of it came over TCP"
