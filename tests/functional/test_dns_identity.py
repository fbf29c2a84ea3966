"""Who the server is to an API server: programs that print credentials, certificates that are replaced, and what it counts."""
import json
import os
import pathlib
import re
import signal
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from apiserver import ApiServer, endpoint_slice, service, namespace  # noqa: E402
from certificates import Authority  # noqa: E402
from dns_world import Server, http_get, run_until_end  # noqa: E402
from login import V1, V1BETA1, Login  # noqa: E402

WEB = "web.default.svc.cluster.local."
COREFILE = """
.:@PORT@ {
    bind 127.0.0.1
    prometheus 127.0.0.1:@PORT2@
    kubernetes cluster.local {
        %s
    }
}
"""

def fill(api):
    api.state.put(namespace("default"))
    api.state.put(service("web", "10.96.0.1"))
    api.state.put(endpoint_slice("web", "10.1.0.1"))


@pytest.fixture
def start(signpost, tmp_path):
    servers = []

    def begin(options):
        servers.append(Server(signpost, tmp_path, COREFILE % options))
        return servers[-1].__enter__()

    yield begin
    for server in servers:
        server.__exit__()


def follow(server, api, name, seconds=20.0):
    api.state.put(service(name, "10.96.1.1"))
    server.until(name + ".default.svc.cluster.local.", ["10.96.1.1"], seconds=seconds)


class Program(Login):
    """And the kubeconfig file that names it."""

    def __init__(self, folder, api, version=V1, cluster=(), **more):
        super().__init__(folder, version, **more)
        self.kubeconfig = self.folder / "kubeconfig"
        self.kubeconfig.write_text(json.dumps({
            "kind": "Config", "current-context": "x", "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": dict({"server": api.url()}, **dict(cluster))}],
            "users": [{"name": "u", "user": {"exec": self.exec}}]}))


def in_seconds(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


@pytest.mark.parametrize("version", [V1, V1BETA1])
def test_a_token_from_a_program(start, tmp_path, version):
    """Once for all requests, again when it was refused; while the server may not start programs itself."""
    with ApiServer(token="one", stream=True) as api:
        fill(api)
        program = Program(tmp_path, api, version, provideClusterInfo=True, cluster={"tls-server-name": "kube"})
        program.prints(token="one")
        server = start("kubeconfig %s" % program.kubeconfig)
        server.until(WEB, ["10.96.0.1"], seconds=10)
        assert program.calls() == ["get a token x y"]
        assert json.loads((tmp_path / "info").read_text()) == {
            "kind": "ExecCredential", "apiVersion": version,
            "spec": {"interactive": False, "cluster": {"server": api.url(), "tls-server-name": "kube"}}}
        time.sleep(1)  # younger credentials would be tried again
        program.prints(token="two")
        api.token = "two"
        api.state.end_watches()
        follow(server, api, "new")
        assert len(program.calls()) == 2
        assert 'signpost_credential_runs_total{result="success"} 2' in http_get(server.numbered(2), "/metrics")[1]


def test_a_token_that_expires(start, tmp_path):
    with ApiServer(token="one", stream=True) as api:
        fill(api)
        program = Program(tmp_path, api)
        program.prints(token="one", expirationTimestamp=in_seconds(2))
        server = start("kubeconfig %s" % program.kubeconfig)
        server.until(WEB, ["10.96.0.1"], seconds=10)
        program.prints(token="two", expirationTimestamp=in_seconds(3600))
        time.sleep(2.5)
        api.token = "two"
        api.state.end_watches()
        follow(server, api, "new")
        metrics = http_get(server.numbered(2), "/metrics")[1]
        assert len(program.calls()) == 2
        assert not re.search(r'rest_client_requests_total{code="401"', metrics)


def test_a_certificate_from_a_program(start, tmp_path):
    authority = Authority(tmp_path)
    authority.issue("server", "/CN=server", "IP:127.0.0.1")
    for name in ("one", "two"):
        authority.issue(name, "/CN=" + name, "DNS:client")
    d = str(tmp_path)
    with ApiServer(tls=(d + "/server.crt", d + "/server.key", d + "/ca.crt"), stream=True) as api:
        fill(api)
        program = Program(tmp_path, api, cluster={"certificate-authority": d + "/ca.crt"})
        program.prints_certificate("one")
        server = start("kubeconfig %s" % program.kubeconfig)
        server.until(WEB, ["10.96.0.1"], seconds=10)
        assert api.last_client == "one"
        time.sleep(1)
        program.prints_certificate("two")
        api.banned.add("one")
        api.state.end_watches()
        follow(server, api, "new")
        assert api.last_client == "two"


FAILURES = {
    "status": (lambda p: ((p.folder / "status").write_text("3"), (p.folder / "said").write_text("log in\nfirst")),
               "login: it ended with status 3: log in first; ask the admins; trying again"),
    "garbage": (lambda p: (p.folder / "answer").write_text("secret"), "login: what it printed is not one JSON object; ask"),
    "no status": (lambda p: p.prints(), "login: its status has neither a token nor a client certificate"),
    "too much": (lambda p: (p.folder / "answer").write_text("x" * 70000), "login: it printed more than 65536 bytes"),
    "not there": (lambda p: p.path.unlink(), "login: there is no such program"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_programs_that_fail(start, tmp_path, failure):
    """Nothing that they print gets into the log; the rest is served, and all is well when they are."""
    with ApiServer(token="one", stream=True) as api:
        fill(api)
        program = Program(tmp_path, api, installHint="ask the admins")
        program.prints(token="one")
        break_it, words = FAILURES[failure]
        break_it(program)
        server = start("kubeconfig %s" % program.kubeconfig)
        server.wait_log(words, 10)
        assert "secret" not in server.log()
        assert server.addresses(WEB) == "SERVFAIL"
        for name in ("status", "said"):
            (tmp_path / name).unlink(missing_ok=True)
        if not program.path.exists():
            program.install()
        program.prints(token="one")
        server.until(WEB, ["10.96.0.1"], seconds=30)


def test_a_slow_program_holds_nothing_up(start, tmp_path):
    with ApiServer(token="one", stream=True) as api:
        fill(api)
        program = Program(tmp_path, api)
        program.prints(token="one")
        (tmp_path / "slow").write_text("2")
        server = start("kubeconfig %s\n        startup_timeout 1ms" % program.kubeconfig)
        assert server.addresses(WEB) == "SERVFAIL"
        assert http_get(server.numbered(2), "/metrics")[0] == 200
        server.until(WEB, ["10.96.0.1"], seconds=20)
        assert len(program.calls()) == 1


def reload(server, text, words, seconds=20):
    had = server.log().count(words)
    server.path.write_text(text)
    server.process.send_signal(signal.SIGUSR1)
    end = time.monotonic() + seconds
    while server.log().count(words) == had:
        assert time.monotonic() < end, server.log()
        time.sleep(0.02)


def test_reload(start, tmp_path):
    """A program that is known is asked for a new configuration as well; one that is not comes too late."""
    with ApiServer(token="one", stream=True) as api:
        fill(api)
        program = Program(tmp_path, api)
        program.prints(token="one")
        server = start("kubeconfig %s" % program.kubeconfig)
        server.until(WEB, ["10.96.0.1"], seconds=10)
        text = server.path.read_text()
        reload(server, text.replace("        kubeconfig", "        namespaces default\n        kubeconfig"), "Reloading complete")
        server.until(WEB, ["10.96.0.1"], seconds=10)
        follow(server, api, "new")
        if "left out in a build with a sanitizer" in server.log():
            return  # and may start programs
        (tmp_path / "other").mkdir()
        other = Program(tmp_path / "other", api)
        reload(server, text.replace(str(program.kubeconfig), str(other.kubeconfig)), "may not start programs any more, as its system calls are limited; start it anew")
        assert other.calls() == []
        follow(server, api, "more")


def test_refused_by_name(signpost, tmp_path):
    with ApiServer() as api:
        program = Program(tmp_path, api, interactiveMode="Always")
        status, text = run_until_end(signpost, tmp_path, ".:0 {\n kubernetes cluster.local {\n kubeconfig %s\n }\n}\n"
                                     % program.kubeconfig)
    assert status == 1
    assert "kubeconfig:1: exec.interactiveMode Always: there is no terminal to ask at" in text


# ---- certificates in files ----

@pytest.fixture
def secured(tmp_path):
    """An API server that wants certificates, and the files that a Corefile names."""
    authority = Authority(tmp_path)
    authority.issue("server", "/CN=server", "IP:127.0.0.1")
    for name in ("one", "two"):
        authority.issue(name, "/CN=" + name, "DNS:client")
    give(tmp_path, "one")
    (tmp_path / "trusted.crt").write_bytes((tmp_path / "ca.crt").read_bytes())
    d = str(tmp_path)
    with ApiServer(tls=(d + "/server.crt", d + "/server.key", d + "/ca.crt"), stream=True) as api:
        fill(api)
        yield api


def give(folder, name):
    """The files change one after the other, as they do where somebody copies them."""
    for end in (".crt", ".key"):
        whole = folder / ("new" + end)
        whole.write_bytes((folder / (name + end)).read_bytes())
        os.replace(whole, folder / ("client" + end))


def test_a_client_certificate_is_replaced(start, tmp_path, secured):
    """The one that the server takes no more is not used again, on no connection."""
    server = start("endpoint {0}\n tls {1}/client.crt {1}/client.key {1}/trusted.crt".format(secured.url(), tmp_path))
    server.until(WEB, ["10.96.0.1"], seconds=10)
    assert secured.last_client == "one"
    give(tmp_path, "two")
    secured.banned.add("one")
    secured.state.end_watches()
    follow(server, secured, "new")
    assert secured.last_client == "two"


def test_an_authority_is_replaced(start, tmp_path, secured):
    """The server comes back with a certificate of another authority, which the file names by then."""
    server = start("endpoint {0}\n tls {1}/client.crt {1}/client.key {1}/trusted.crt".format(secured.url(), tmp_path))
    server.until(WEB, ["10.96.0.1"], seconds=10)
    secured.stop()
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    other.issue("server", "/CN=server", "IP:127.0.0.1")
    secured.tls = (other.path("server.crt"), other.path("server.key"), secured.tls[2])
    secured.start()
    server.wait_log("certificate", 20)
    assert server.addresses(WEB) == ["10.96.0.1"]
    whole = tmp_path / "new.crt"
    whole.write_bytes(pathlib.Path(other.path("ca.crt")).read_bytes())
    os.replace(whole, tmp_path / "trusted.crt")
    follow(server, secured, "new", seconds=40)


# ---- what is counted, and the rate ----

def test_requests_are_counted(start):
    """Under the names that CoreDNS has for them."""
    with ApiServer(stream=True) as api:
        fill(api)
        api.faults["services?list"] = [503]
        server = start("endpoint " + api.url())
        server.until(WEB, ["10.96.0.1"], seconds=20)
        metrics = http_get(server.numbered(2), "/metrics")[1]
        host = 'host="127.0.0.1:%d"' % api.port
        assert 'coredns_kubernetes_rest_client_requests_total{code="503",method="GET",%s} 1' % host in metrics
        assert 'coredns_kubernetes_rest_client_requests_total{code="200",method="GET",%s} 3' % host in metrics
        for what in ("request", "rate_limiter"):
            assert 'coredns_kubernetes_rest_client_%s_duration_seconds_count{verb="GET",%s} 4' % (what, host) in metrics


def test_a_rate(start):
    """Two requests a second after the first: three lists take a second."""
    with ApiServer(stream=True) as api:
        fill(api)
        begun = time.monotonic()
        server = start("endpoint %s\n apiserver_qps 2\n apiserver_burst 1" % api.url())
        end, waited = time.monotonic() + 20, None
        while not waited:
            assert time.monotonic() < end
            metrics = http_get(server.numbered(2), "/metrics")[1]
            waited = re.search(r'rate_limiter_duration_seconds_sum{verb="GET",host="[^"]*"} ([0-9.]+)\n'
                               r'\S+_count{\S+} 3', metrics)
        assert time.monotonic() - begun > 0.9
        assert 1.2 < float(waited.group(1)) < 10
        server.until(WEB, ["10.96.0.1"])
