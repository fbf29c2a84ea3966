"""The kubernetes plugin on an API server: what is asked of it, what follows from its changes, and what from its faults."""
import json
import os
import pathlib
import re
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from apiserver import ApiServer, endpoint_slice, namespace, service  # noqa: E402
from certificates import Authority  # noqa: E402
from dns_world import Server, http_get, run_until_end  # noqa: E402

COREFILE = """
.:@PORT@ {
    bind 127.0.0.1
    prometheus 127.0.0.1:@PORT2@
    ready 127.0.0.1:@PORT3@
    kubernetes cluster.local in-addr.arpa {
        %s
    }
}
"""
WEB = "web.default.svc.cluster.local."


def fill(api):
    api.state.put(namespace("default"))
    api.state.put(namespace("shop", team="a"))
    for i in range(5):
        api.state.put(service("s%d" % i, "10.96.0.%d" % (10 + i)))
    api.state.put(service("web", "10.96.0.1", app="web"))
    api.state.put(service("db", "None", ns="shop"))
    api.state.put(endpoint_slice("db", "10.1.0.1", "10.1.0.2", ns="shop"))


@pytest.fixture(params=["protobuf-stream", "json"])
def api(request):
    """In either form, and with lists, or watches that begin with all objects."""
    with ApiServer(proto=request.param.startswith("protobuf"), stream=request.param.endswith("stream")) as server:
        fill(server)
        yield server


EVERY_FORM = pytest.mark.parametrize("api", ["protobuf", "json", "protobuf-stream", "json-stream"], indirect=True)


def lists_of(api, plural):
    """What has asked the server for all objects, and was not refused."""
    sign = "sendInitialEvents" if api.stream else "limit="
    return [p for p in api.paths() if "/%s?" % plural in p and sign in p and "continue" not in p]


@pytest.fixture
def start(signpost, tmp_path):
    servers = []

    def begin(options, wait=True):
        servers.append(Server(signpost, tmp_path, COREFILE % options, wait=wait))
        return servers[-1].__enter__()

    yield begin
    for server in servers:
        server.__exit__()


def ready(server, seconds=10.0):
    end = time.monotonic() + seconds
    while http_get(server.numbered(3), "/ready")[0] != 200:
        assert time.monotonic() < end
        time.sleep(0.02)


def follow(server, api, name="new", seconds=10.0):
    """A change arrives: the server and the API server are on speaking terms."""
    api.state.put(service(name, "10.96.1.1"))
    server.until(name + ".default.svc.cluster.local.", ["10.96.1.1"], seconds=seconds)


@EVERY_FORM
def test_lists_and_changes(api, start):
    server = start("endpoint " + api.url())
    server.until(WEB, ["10.96.0.1"], seconds=5)
    for i in range(5):
        server.until("s%d.default.svc.cluster.local." % i, ["10.96.0.%d" % (10 + i)])
    server.until("db.shop.svc.cluster.local.", ["10.1.0.1", "10.1.0.2"], seconds=5)
    assert server.addresses("1.0.96.10.in-addr.arpa.", "PTR") == [WEB]
    ready(server)
    follow(server, api)
    api.state.put(endpoint_slice("db", "10.1.0.2", "10.1.0.3", ns="shop"))
    server.until("db.shop.svc.cluster.local.", ["10.1.0.2", "10.1.0.3"], seconds=5)
    api.state.delete("Service", "default", "web")
    server.until(WEB, "NXDOMAIN", seconds=5)
    api.state.delete("Namespace", "", "shop")
    server.until("db.shop.svc.cluster.local.", "NXDOMAIN", seconds=5)
    assert len(lists_of(api, "services")) == 1
    pages = [p for p in api.paths() if "/services?" in p and "continue" in p]
    assert bool(pages) == (not api.proto and not api.stream)  # JSON lists come in pages
    assert not [p for p in api.paths() if "/pods" in p]
    metrics = http_get(server.numbered(2), "/metrics")[1]
    assert 'signpost_apiserver_lists_total{kind="Service",namespace=""} 1' in metrics
    assert 'signpost_apiserver_watching{kind="Service",namespace=""} 1' in metrics


@pytest.mark.parametrize("api", ["protobuf", "json"], indirect=True)
def test_a_list_in_pages(api, start):
    """A server without a cache, or one whose cache is not filled yet, heeds the limit in either form."""
    api.pages = True
    server = start("endpoint " + api.url())
    ready(server)
    for i in range(5):
        assert server.addresses("s%d.default.svc.cluster.local." % i) == ["10.96.0.%d" % (10 + i)]
    assert server.addresses(WEB) == ["10.96.0.1"]
    assert len([p for p in api.paths() if "/services?" in p and "continue=" in p]) == 3
    follow(server, api)


@pytest.mark.parametrize("api", ["protobuf", "json"], indirect=True)
def test_a_change_between_pages(api, start):
    """It concerns an object that would have been on the page before: the watch begins where the list began."""
    api.pages = True
    api.between_pages = [lambda: api.state.put(service("s0", "10.96.0.100"))]
    server = start("endpoint " + api.url() + "\n noendpoints")
    server.until("s0.default.svc.cluster.local.", ["10.96.0.100"], seconds=5)


def test_selectors_and_namespaces(api, start):
    server = start("endpoint %s\n namespaces shop\n labels app=web" % api.url())
    server.until("s1.default.svc.cluster.local.", "NXDOMAIN", seconds=5)
    server.until("db.shop.svc.cluster.local.", "NXDOMAIN", seconds=5)
    api.state.put(service("web", "10.96.0.7", ns="shop", app="web"))
    server.until("web.shop.svc.cluster.local.", ["10.96.0.7"], seconds=5)
    paths = [p.split("&")[0].split("?")[0] for p in api.paths()]
    assert set(paths) == {"/api/v1/namespaces", "/api/v1/namespaces/shop/services",
                          "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"}
    assert all("labelSelector=app%3Dweb" in p for p in api.paths() if "/services" in p)
    assert all("fieldSelector=metadata.name%3Dshop" in p for p in api.paths() if "v1/namespaces?" in p)


def test_more_namespaces_than_requests(signpost, tmp_path):
    names = " ".join("n%d" % i for i in range(100))
    status, text = run_until_end(signpost, tmp_path, ".:0 {\n kubernetes cluster.local {\n endpoint http://127.0.0.1:1\n"
                                                     " namespaces %s\n }\n}\n" % names)
    assert status == 1 and "100 namespaces are 300 lists to follow, more than 255" in text


def test_a_namespace_that_may_not_be_read(api, start):
    """Rights within a namespace are enough; without the right to list Namespaces it is taken to be there."""
    api.faults["namespaces"] = [403] * 3
    server = start("endpoint %s\n namespaces shop" % api.url())
    server.until("db.shop.svc.cluster.local.", ["10.1.0.1", "10.1.0.2"], seconds=5)
    ready(server)
    server.wait_log("Namespace shop may not be read; taking it to be there")
    assert server.addresses(WEB) == "NXDOMAIN"
    api.state.delete("Namespace", "", "shop")  # what can be read in the end counts
    server.until("db.shop.svc.cluster.local.", "NXDOMAIN", seconds=20)


def test_before_the_first_list(api, start):
    api.faults["services?list"] = [503] * 3
    server = start("endpoint %s\n startup_timeout 1ms" % api.url())
    assert server.addresses(WEB) == "SERVFAIL"
    assert http_get(server.numbered(3), "/ready")[0] == 503
    server.until(WEB, ["10.96.0.1"], seconds=20)
    ready(server)
    server.wait_log("the server says 503 ServiceUnavailable: the test says so; trying again")


def test_nothing_is_cached_before_the_first_list(api, signpost, tmp_path):
    api.faults["services?list"] = [503]
    text = COREFILE.replace("    kubernetes", "    cache 30\n    kubernetes") % (
        "endpoint %s\n startup_timeout 1ms" % api.url())
    with Server(signpost, tmp_path, text) as server:
        assert server.addresses(WEB) == "SERVFAIL"
        end = time.monotonic() + 10
        while http_get(server.numbered(3), "/ready")[0] != 200:
            assert server.addresses(WEB) in ("SERVFAIL", ["10.96.0.1"]) and time.monotonic() < end
        server.until(WEB, ["10.96.0.1"])


@EVERY_FORM
@pytest.mark.parametrize("fault", ["break", "garbage", 500, 429])
def test_a_list_that_fails(api, start, fault):
    api.faults["services?list"] = [fault]
    server = start("endpoint " + api.url())
    server.until(WEB, ["10.96.0.1"], seconds=20)
    follow(server, api)
    assert "failures_total{kind=\"Service\",namespace=\"\"} 1" in http_get(server.numbered(2), "/metrics")[1]


@pytest.mark.parametrize("fault", ["garbage", "empty", 500, 503])
def test_a_watch_that_fails(api, start, fault):
    api.faults["services?watch"] = [fault]
    server = start("endpoint " + api.url())
    server.until(WEB, ["10.96.0.1"], seconds=5)
    follow(server, api)
    assert len(lists_of(api, "services")) == 1


def test_a_connection_that_is_reset_when_it_is_used_again(api, start):
    """Nobody's failure: the request goes out on another connection at once."""
    api.pages = api.stream = False
    api.faults["services?list"] = ["reset"]
    server = start("endpoint " + api.url())
    server.until(WEB, ["10.96.0.1"], seconds=5)
    follow(server, api)
    assert 'failures_total{kind="Service",namespace=""} 0' in http_get(server.numbered(2), "/metrics")[1]


def test_a_watch_that_ends_goes_on_where_it_was(api, start):
    server = start("endpoint " + api.url())
    server.until(WEB, ["10.96.0.1"], seconds=5)
    follow(server, api)
    for i in range(3):
        api.state.end_watches()
        follow(server, api, "n%d" % i)
    assert len(lists_of(api, "services")) == 1


@pytest.mark.parametrize("api", ["json-stream"], indirect=True)
@pytest.mark.parametrize("how", ["ends", "silent"])
def test_a_server_that_does_not_know_how_to_stream(api, start, how):
    """It may take the parameters for nothing and leave the end of the initial events out."""
    api.faults["services?list"] = ["no end, " + how]
    server = start("endpoint " + api.url())
    server.until(WEB, ["10.96.0.1"], seconds=25)
    follow(server, api)
    asked = [p for p in api.paths() if "/services?" in p]
    assert len([p for p in asked if "sendInitialEvents" in p]) == 1
    assert len([p for p in asked if "limit=" in p]) >= 1


@pytest.mark.parametrize("api", ["protobuf-stream", "protobuf"], indirect=True)
def test_a_replica_that_is_behind(api, start):
    """A watch that goes back in revisions is not believed: what the store says now is asked for."""
    server = start("endpoint " + api.url())
    ready(server)
    follow(server, api)
    old = service("new", "10.96.2.2")
    api.state.replay(old, 101)
    follow(server, api, "other", seconds=20)
    assert server.addresses("new.default.svc.cluster.local.") == ["10.96.1.1"]
    server.wait_log("the watch went back from revision")
    assert ["resourceVersion=0" in p for p in lists_of(api, "services")] == [True, False]


def test_gone(api, start):
    """The revision is too old: a new list, and what it does not have is no more."""
    server = start("endpoint " + api.url())
    ready(server)
    follow(server, api)
    api.stop()
    api.state.delete("Service", "default", "web")
    api.state.put(service("late", "10.96.0.99"))
    api.state.compact()
    api.start()
    server.until("late.default.svc.cluster.local.", ["10.96.0.99"], seconds=20)
    server.until(WEB, "NXDOMAIN", seconds=5)
    assert server.addresses("s1.default.svc.cluster.local.") == ["10.96.0.11"]


@EVERY_FORM
def test_gone_again_and_again(api, start):
    """A server that takes none of the revisions that it gives is not asked for lists in a tight loop."""
    api.faults["services?watch"] = [410] * 1000
    server = start("endpoint " + api.url())
    server.until(WEB, ["10.96.0.1"], seconds=5)
    api.state.end_watches()  # also one that has begun with all objects
    end = time.monotonic() + 2
    while time.monotonic() < end:
        assert server.addresses(WEB) == ["10.96.0.1"]
        time.sleep(0.1)
    lists = lists_of(api, "services")
    assert 2 <= len(lists) <= 8
    assert ["resourceVersion=0" in p for p in lists] == [True] + [False] * (len(lists) - 1)
    api.faults.clear()
    follow(server, api, seconds=20)


def test_away(api, start):
    """Answers go on while the server is away; what happened meanwhile follows when it is back."""
    server = start("endpoint " + api.url())
    ready(server)
    api.stop()
    api.state.put(service("meanwhile", "10.96.0.50"))
    end = time.monotonic() + 2
    while time.monotonic() < end:
        assert server.addresses(WEB) == ["10.96.0.1"]
        assert http_get(server.numbered(3), "/ready")[0] == 200
    assert 'signpost_apiserver_watching{kind="Service",namespace=""} 0' in http_get(server.numbered(2), "/metrics")[1]
    api.start()
    server.until("meanwhile.default.svc.cluster.local.", ["10.96.0.50"], seconds=20)
    server.wait_log("all is well again", 10)


def test_a_server_that_hangs_holds_nothing_up(api, start):
    api.faults["endpointslices?list"] = ["hang"]
    server = start("endpoint " + api.url())
    api.state.put(service("x", "10.96.0.77"))
    server.until("x.default.svc.cluster.local.", ["10.96.0.77"], seconds=5)


def kubeconfig(tmp_path, api, user):
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps({
        "kind": "Config", "current-context": "x",
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}},
                     {"name": "y", "context": {"cluster": "d", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}},
                     {"name": "d", "cluster": dict({"server": api.url()}, **user.pop("cluster", {}))}],
        "users": [{"name": "u", "user": user}]}))
    return path


def test_tokens_are_read_again(start, tmp_path):
    with ApiServer(token="one") as api:
        fill(api)
        token = tmp_path / "token"
        token.write_text("one\n")
        server = start("kubeconfig %s y" % kubeconfig(tmp_path, api, {"tokenFile": str(token)}))
        server.until(WEB, ["10.96.0.1"], seconds=5)
        token.write_text("two\n")
        api.token = "two"
        api.state.end_watches()  # the new watch comes with the old token, is refused, and comes again
        follow(server, api, seconds=20)


@pytest.fixture
def certificates(tmp_path):
    """ca.crt, server.crt/key for 127.0.0.1, client.crt/key, all signed by the same authority."""
    authority = Authority(tmp_path)
    authority.issue("server", "/CN=server", "IP:127.0.0.1")
    authority.issue("client", "/CN=client", "DNS:client")
    return tmp_path


def test_certificates(start, certificates):
    d = str(certificates)
    with ApiServer(tls=(d + "/server.crt", d + "/server.key", d + "/ca.crt")) as api:
        fill(api)
        server = start("endpoint {0}\n tls {1}/client.crt {1}/client.key {1}/ca.crt".format(api.url(), d))
        server.until(WEB, ["10.96.0.1"], seconds=5)
        follow(server, api)


def test_an_unknown_authority(start, certificates):
    d = str(certificates)
    with ApiServer(tls=(d + "/server.crt", d + "/server.key")) as api:
        server = start("kubeconfig %s y" % kubeconfig(certificates, api, {"token": "t"}))
        server.wait_log("certificate", 10)
        assert server.addresses(WEB) == "SERVFAIL"
        assert not api.requests


def test_in_cluster_needs_its_environment(signpost, tmp_path):
    env_had = os.environ.pop("KUBERNETES_SERVICE_HOST", None)
    try:
        status, text = run_until_end(signpost, tmp_path, ".:0 {\n    kubernetes cluster.local\n}\n")
    finally:
        if env_had:
            os.environ["KUBERNETES_SERVICE_HOST"] = env_had
    assert status == 1
    assert "plugin/kubernetes" in text and "unable to load in-cluster configuration" in text


def proxy(signpost, *flags):
    return subprocess.run([signpost, "proxy", "--print", *flags], capture_output=True, text=True, timeout=60, check=False)


def test_the_proxy_on_an_api_server(api, signpost):
    api.state.put(endpoint_slice("web", "10.1.0.7"))
    api.state.put(service("other", "10.96.0.66", **{"service.kubernetes.io/service-proxy-name": "x"}))
    ran = proxy(signpost, "--master", api.url())
    assert ran.returncode == 0, ran.stderr
    assert "10.96.0.1 " in ran.stdout and "10.1.0.7" in ran.stdout
    assert "10.96.0.66" not in ran.stdout
    assert {p.split("?")[0] for p in api.paths()} == {
        "/api/v1/nodes", "/api/v1/services", "/apis/discovery.k8s.io/v1/endpointslices",
        "/apis/networking.k8s.io/v1/servicecidrs"}


def test_the_proxy_has_one_source(signpost, tmp_path):
    ran = proxy(signpost, "--master", "http://127.0.0.1:1", "--manifests", str(tmp_path))
    assert ran.returncode == 2 and "exclude each other" in ran.stderr


def memory(server, what):
    text = pathlib.Path("/proc/%d/status" % server.process.pid).read_text()
    return int(re.search(r"^%s:\s+(\d+) kB" % what, text, re.M).group(1))


@EVERY_FORM
def test_memory_of_the_first_list(api, start):
    """At no time does it take twice of what it leaves."""
    for i in range(1500):
        api.state.put(service("n%d" % i, "10.96.%d.%d" % (10 + i // 250, 1 + i % 250)))
        api.state.put(endpoint_slice("n%d" % i, *("10.%d.%d.%d" % (2 + i // 250, i % 250, k) for k in range(1, 31))))
    api.page_size = 0
    server = start("endpoint " + api.url())
    server.until("n1499.default.svc.cluster.local.", ["10.96.15.250"], seconds=30)
    ready(server, 30)
    assert memory(server, "VmHWM") < 2 * memory(server, "VmRSS")
