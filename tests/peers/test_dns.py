"""signpost dns on a real API server."""
import concurrent.futures
import re
import time

import pytest

from dns_world import http_get
from kube_world import Cluster, Relay, account, endpoint_slice, external, secret, service

SYNC = 30       # seconds for what a busy machine may take long for
PAGE = 500      # objects that signpost asks for at a time
PROTOBUF = "application/vnd.kubernetes.protobuf"
READ = [("", ["services"], {}), ("discovery.k8s.io", ["endpointslices"], {})]


def name_of(name, namespace="default"):
    return "%s.%s.svc.cluster.local." % (name, namespace)


def ready(server, seconds=SYNC):
    end = time.monotonic() + seconds
    while http_get(server.numbered(3), "/ready")[0] != 200:
        assert time.monotonic() < end, server.log()
        time.sleep(0.02)


def metric(server, name, kind, namespace=""):
    wanted = 'signpost_apiserver_%s{kind="%s",namespace="%s"} ' % (name, kind, namespace)
    lines = http_get(server.numbered(2), "/metrics")[1].splitlines()
    return float(next(line for line in lines if line.startswith(wanted)).split()[-1])


def follow(cluster, server, name, seconds=1.0, namespace="default"):
    """A new Service is answered within a second of its creation."""
    ip = cluster.create(service(name, namespace))["spec"]["clusterIP"]
    server.until(name_of(name, namespace), [ip], seconds=seconds)
    return ip


# ---- what is answered ----

@pytest.fixture(scope="module")
def shop(cluster):
    """Services of every type, and pods behind them, whose slices the controller makes."""
    cluster.add_namespace("shop", team="a")
    for i in range(3):
        cluster.add_pod("web-%d" % i, "10.1.0.%d" % (10 + i), "shop", app="web")
    cluster.add_pod("sick", "10.1.0.20", "shop", ready=False, app="web")
    cluster.add_pod("db-0", "10.1.1.1", "shop", hostname="db-0", subdomain="db", app="db")
    made = {
        "web": cluster.create(service("web", "shop", selector={"app": "web"})),
        "db": cluster.create(service("db", "shop", ip="None", selector={"app": "db"})),
        "pods": cluster.create(service("pods", "shop", ip="None", selector={"app": "web"})),
        "dual": cluster.create(service("dual", "shop", ipFamilyPolicy="RequireDualStack")),
        "out": cluster.create(external("out", "shop", "www.example.net")),
    }
    return {name: one["spec"] for name, one in made.items()}


IDENTITIES = {
    "token": lambda c, r: "kubeconfig " + c.kubeconfig("token.json", {"token": "administrator"}),
    "certificate": lambda c, r: "kubeconfig " + c.kubeconfig("certificate.json", {
        "client-certificate": "client.crt", "client-key": "client.key"}),
    "endpoint with tls": lambda c, r: "endpoint %s\n tls %s %s %s" % (
        c.url, c.path("client.crt"), c.path("client.key"), c.path("ca.crt")),
    "endpoint": lambda c, r: "endpoint " + r.url,
}


@pytest.mark.parametrize("identity", IDENTITIES)
def test_answers(cluster, shop, start, identity):
    with Relay(cluster) as relay:
        server = start(IDENTITIES[identity](cluster, relay) + "\n pods verified")
        ready(server)
        at = lambda name: name_of(name, "shop")
        server.until(at("pods"), ["10.1.0.10", "10.1.0.11", "10.1.0.12"], seconds=SYNC)
        server.until(at("db"), ["10.1.1.1"], seconds=SYNC)
        assert server.addresses(at("db-0.db")) == ["10.1.1.1"]
        assert server.addresses(at("web")) == [shop["web"]["clusterIP"]]
        assert server.addresses(at("dual")) + server.addresses(at("dual"), "AAAA") == shop["dual"]["clusterIPs"]
        assert server.addresses(at("out")) == ["www.example.net."]
        assert server.addresses(at("_http._tcp.db"), "SRV") == ["0 100 8080 " + at("db-0.db")]
        backwards = ".".join(reversed(shop["web"]["clusterIP"].split("."))) + ".in-addr.arpa."
        assert server.addresses(backwards, "PTR") == [at("web")]
        assert server.addresses("10-1-0-10.shop.pod.cluster.local.") == ["10.1.0.10"]
        assert server.addresses("10-1-0-99.shop.pod.cluster.local.") == "NXDOMAIN"
        assert server.addresses(at("none")) == "NXDOMAIN"
        assert server.addresses(name_of("kubernetes")) == ["10.96.0.1"]
        name = "follow-" + identity.replace(" ", "-")
        follow(cluster, server, name)
        cluster.delete("Service", name)
        server.until(name_of(name), "NXDOMAIN")
        if identity == "endpoint":
            check_replies(cluster, relay)


def check_replies(cluster, relay):
    """Everything comes as protocol buffers: a kind by one watch that begins with all objects or, where the
    server's etcd is too old for that, by one list and one watch."""
    kinds = ["namespaces", "services", "endpointslices", "pods"]
    cluster.until(lambda: len(relay.replies()) >= len(kinds), SYNC, "replies to all watches")
    assert {status for _, status, _ in relay.replies()} == {200}
    for plural in kinds:
        mine = [(path, kind) for path, _, kind in relay.replies() if "/%s?" % plural in path]
        assert [kind for path, kind in mine if "watch" not in path] in ([], [PROTOBUF])
        assert {kind for path, kind in mine if "watch" in path} == {PROTOBUF + ";stream=watch"}


def test_streams(cluster, start):
    """Whether the server has them depends on its etcd; either way everything is read once."""
    server = start("kubeconfig " + cluster.admin)
    ready(server)
    assert metric(server, "lists_total", "Service") == 1
    assert metric(server, "failures_total", "Service") == 0
    cluster.until(lambda: states(server)["watching"] == 1, SYNC, "a watch")
    assert states(server)["streaming"] == 1
    assert states(server)["listing"] == (0 if cluster.etcd_streams() else 1)


def states(server, kind="Service"):
    """How often the following of a kind was in each state."""
    text = http_get(server.numbered(2), "/metrics")[1]
    found = re.findall(r'signpost_apiserver_states_total{kind="%s",namespace="",state="(\w+)"} (\d+)' % kind, text)
    return {state: int(count) for state, count in found}


def test_changes_follow_within_a_second(cluster, start):
    server = start("kubeconfig " + cluster.admin)
    ready(server)
    cluster.create(service("c", ip="None"))
    cluster.create(endpoint_slice("c", "10.2.0.1", "10.2.0.2"))
    server.until(name_of("c"), ["10.2.0.1", "10.2.0.2"])
    cluster.patch("EndpointSlice", "c-a", {"endpoints": [
        {"addresses": ["10.2.0.2"], "conditions": {"ready": False}},
        {"addresses": ["10.2.0.3"], "conditions": {"ready": True}, "hostname": "three"}]})
    server.until(name_of("c"), ["10.2.0.3"])
    assert server.addresses(name_of("three.c")) == ["10.2.0.3"]
    cluster.create(endpoint_slice("c", "10.2.1.1", suffix="-b"))
    server.until(name_of("c"), ["10.2.0.3", "10.2.1.1"])
    cluster.delete("EndpointSlice", "c-a")
    server.until(name_of("c"), ["10.2.1.1"])
    cluster.patch("Service", "c", {"spec": {"type": "ExternalName", "externalName": "x.example",
                                            "clusterIP": None, "clusterIPs": None}})
    server.until(name_of("c"), ["x.example."])
    assert metric(server, "lists_total", "Service") == 1
    assert metric(server, "failures_total", "Service") == 0


def test_a_pod_that_gets_ready(cluster, start):
    server = start("kubeconfig " + cluster.admin)
    cluster.create(service("slow", ip="None", selector={"app": "slow"}))
    cluster.add_pod("slow-0", "10.1.5.1", ready=False, app="slow")
    server.until(name_of("slow"), "NXDOMAIN", seconds=SYNC)  # a headless Service with no endpoint is no name
    cluster.set_ready("slow-0", True)
    server.until(name_of("slow"), ["10.1.5.1"], seconds=SYNC)
    cluster.delete("Pod", "slow-0")
    server.until(name_of("slow"), "NXDOMAIN", seconds=SYNC)


# ---- rights ----

def test_an_account_with_a_role_in_a_namespace(cluster, start):
    """What `namespaces` asks for: Services and slices there, and that one Namespace."""
    cluster.add_namespace("narrow")
    cluster.create(account("narrow"))
    cluster.allow("narrow", READ, "narrow")
    cluster.allow("narrow", [("", ["namespaces"], {"resourceNames": ["narrow"]})])
    user = {"token": cluster.token("narrow")}
    server = start("kubeconfig %s\n namespaces narrow" % cluster.kubeconfig("narrow.json", user))
    ready(server)
    follow(cluster, server, "mine", namespace="narrow")
    follow_not = cluster.create(service("other"))
    assert follow_not and server.addresses(name_of("other")) == "NXDOMAIN"
    assert metric(server, "failures_total", "Service", "narrow") == 0


def test_an_account_with_nothing_but_a_role(cluster, start):
    """A Role cannot allow to list Namespaces; the one that is named is taken to be there."""
    cluster.add_namespace("bare")
    cluster.create(account("bare"))
    cluster.allow("bare", READ, "bare")
    user = {"token": cluster.token("bare")}
    server = start("kubeconfig %s\n namespaces bare" % cluster.kubeconfig("bare.json", user))
    ready(server)
    follow(cluster, server, "mine", namespace="bare")


def test_an_account_without_rights(cluster, start):
    cluster.create(account("nobody"))
    user = {"token": cluster.token("nobody")}
    server = start("kubeconfig " + cluster.kubeconfig("nobody.json", user))
    server.wait_log("the server says 403 Forbidden: services is forbidden", SYNC)
    assert server.addresses(name_of("kubernetes")) == "SERVFAIL"
    assert http_get(server.numbered(3), "/ready")[0] == 503


def test_tokens_change(cluster, start, tmp_path):
    """The first token dies with its Secret; the file has another by then."""
    cluster.create(account("rotating"))
    cluster.allow("rotating", READ + [("", ["namespaces"], {})])
    for name in ("first", "second"):
        cluster.create(secret(name))
    file = tmp_path / "token"
    file.write_text(cluster.token("rotating", secret="first"))
    with Relay(cluster, token=None) as relay:
        user = {"tokenFile": str(file)}
        server = start("kubeconfig " + cluster.kubeconfig("rotating.json", user, relay.url))
        ready(server)
        follow(cluster, server, "with-first")
        first = relay.last_bearer
        file.write_text(cluster.token("rotating", secret="second"))
        cluster.delete("Secret", "first")
        cluster.until(lambda: cluster.status("/api/v1/services", first) == 401, SYNC, "401")
        relay.cut()
        server.wait_log("401 Unauthorized", SYNC)
        follow(cluster, server, "with-second", seconds=SYNC)
        server.wait_log("all is well again", SYNC)
        assert relay.last_bearer != first


# ---- the server goes away ----

def test_restart_of_the_api_server(cluster, start):
    server = start("kubeconfig " + cluster.admin)
    ready(server)
    ip = follow(cluster, server, "before")
    cluster.kill_api()
    end = time.monotonic() + 2
    while time.monotonic() < end:
        assert server.addresses(name_of("before")) == [ip]
        assert http_get(server.numbered(3), "/ready")[0] == 200
    server.wait_log("trying again", SYNC)
    assert metric(server, "watching", "Service") == 0
    cluster.start_api()
    follow(cluster, server, "after", seconds=60)
    assert server.addresses(name_of("before")) == [ip]
    follow(cluster, server, "and-then")


def test_a_past_that_is_forgotten(cluster, start):
    """Changes that happened while we were cut off, in an etcd that was compacted since."""
    relay = Relay(cluster)
    with relay:
        server = start("kubeconfig " + cluster.kubeconfig("relay.json", {}, relay.url))
        ready(server)
        follow(cluster, server, "goes")
        ip = follow(cluster, server, "stays")
        lists = metric(server, "lists_total", "Service")
    cluster.delete("Service", "goes")
    late = cluster.create(service("comes"))["spec"]["clusterIP"]
    cluster.compact()
    cluster.kill_api()
    cluster.start_api()
    with relay:
        server.until(name_of("comes"), [late], seconds=60)
        server.until(name_of("goes"), "NXDOMAIN")
        assert server.addresses(name_of("stays")) == [ip]
        server.wait_log("; listing again", SYNC)
        cluster.until(lambda: metric(server, "lists_total", "Service") == lists + 1, SYNC, "one list")
        follow(cluster, server, "then", seconds=SYNC)


@pytest.mark.long
def test_without_a_watch_cache(start, cluster, tmp_path_factory):
    """The store heeds the limit of a list, so that it comes in pages."""
    with Cluster(tmp_path_factory.mktemp("uncached"), "--watch-cache=false") as uncached:
        names = ["s%d" % i for i in range(PAGE + 50)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda name: uncached.create(external(name)), names))
        with Relay(uncached) as relay:
            relay.streams = False
            server = start("endpoint %s\n noendpoints" % relay.url)
            ready(server)
            for name in names:
                assert server.addresses(name_of(name)) == ["x.example."]
            lists = [path for path, _, _ in relay.replies() if "/services?" in path and "watch" not in path]
            assert len(lists) == 2 and "continue=" in lists[1]
            follow(uncached, server, "new")
