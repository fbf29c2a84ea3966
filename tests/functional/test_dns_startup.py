"""The start of a server on an API server, and a reload on to another one: nothing is served before the first lists are in,
unless they take too long; and the limits of what the API server is asked for."""
import contextlib
import pathlib
import signal
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from apiserver import ApiServer, endpoint_slice, namespace, service  # noqa: E402
from dns_world import Server, http_get  # noqa: E402
from fault_relay import FaultRelay  # noqa: E402

COREFILE = """
.:@PORT@ {
    bind 127.0.0.1
    ready 127.0.0.1:@PORT2@
    kubernetes cluster.local {
        endpoint %s
        %s
    }
}
"""
WEB = "web.default.svc.cluster.local."
WAITING = "[INFO] plugin/kubernetes: waiting for Kubernetes API before starting server"
UNSYNCED = "[WARNING] plugin/kubernetes: starting server with unsynced Kubernetes API"


def fill(api, ip="10.96.0.1"):
    api.state.put(namespace("default"))
    api.state.put(service("web", ip))
    api.state.put(endpoint_slice("web", "10.1.0.1"))


@pytest.fixture
def api():
    with ApiServer(stream=True) as server:
        fill(server)
        yield server


@pytest.fixture
def relay(api):
    with FaultRelay(api.port) as between:
        between.set("hangs")
        yield between


@pytest.fixture
def start(request, signpost, tmp_path):
    def begin(url, options="", wait=False):
        server = Server(signpost, tmp_path, COREFILE % (url, options), wait=wait)
        request.addfinalizer(server.__exit__)
        return server

    return begin


def answer(server):
    """None: nobody listens."""
    with contextlib.suppress(ConnectionError):
        return server.addresses(WEB)


def page(server):
    with contextlib.suppress(ConnectionError):
        return http_get(server.numbered(2), "/ready")


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_nothing_is_served_before_the_first_lists(start, relay):
    server = start(relay.url, "startup_timeout 1m")
    server.wait_log(WAITING, 20)
    until(lambda: page(server) == (503, "kubernetes"))
    assert answer(server) is None
    until(lambda: server.log().count(WAITING) == 3)
    relay.set(None)
    until(lambda: answer(server) is not None)
    assert answer(server) == ["10.96.0.1"]
    assert page(server) == (200, "OK")
    assert UNSYNCED not in server.log()


def test_it_does_not_wait_for_ever(start, relay):
    server = start(relay.url, "startup_timeout 700ms")
    until(lambda: answer(server) is not None)
    assert answer(server) == "SERVFAIL"
    assert server.ask("cluster.local.", "SOA").rcode() == 0
    assert server.addresses("dns-version.cluster.local.", "TXT") == ['"1.1.0"']
    assert server.log().count(UNSYNCED) == 1
    assert server.log().index(WAITING) < server.log().index(UNSYNCED)
    assert page(server) == (503, "kubernetes")
    relay.set(None)
    server.until(WEB, ["10.96.0.1"], seconds=60)
    until(lambda: page(server) == (200, "OK"))


def test_five_seconds_unless_told(start, relay):
    begun = time.monotonic()
    server = start(relay.url)
    until(lambda: answer(server) is not None)
    assert 5 <= time.monotonic() - begun < 15
    assert answer(server) == "SERVFAIL"


def test_a_signal_ends_the_wait(start, relay):
    server = start(relay.url, "startup_timeout 1m")
    server.wait_log(WAITING, 20)
    begun = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - begun < 5


def test_a_reload_that_was_asked_for_while_waiting(start, relay):
    server = start(relay.url, "startup_timeout 1m")
    server.wait_log(WAITING, 20)
    server.process.send_signal(signal.SIGUSR1)
    server.wait_log("SIGUSR1: Reloading")
    server.path.write_text(server.path.read_text().replace("startup_timeout 1m", "ttl 33"))
    relay.set(None)
    server.wait_log("Reloading complete", 20)
    assert server.ask(WEB).answer[0].ttl == 33


@pytest.mark.parametrize("comes", [True, False], ids=["in time", "too late"])
def test_the_old_serves_until_the_new_can(start, relay, comes):
    with ApiServer(stream=True) as old:
        fill(old, "10.96.0.9")
        server = start(old.url(), wait=True)
        text = server.path.read_text()
        assert answer(server) == ["10.96.0.9"]
        server.path.write_text(text.replace(old.url(), relay.url + "\n startup_timeout " + ("1m" if comes else "2s")))
        server.process.send_signal(signal.SIGUSR1)
        end = time.monotonic() + 1
        while time.monotonic() < end:
            assert answer(server) == ["10.96.0.9"]
        until(lambda: WAITING in server.log())
        assert "Reloading complete" not in server.log()
        server.process.send_signal(signal.SIGUSR1)  # another waits for the end of this one
        if comes:
            relay.set(None)
            until(lambda: answer(server) != ["10.96.0.9"])
            assert answer(server) == ["10.96.0.1"]
        else:
            until(lambda: answer(server) == "SERVFAIL")
            assert UNSYNCED in server.log()
        until(lambda: server.log().count("Reloading complete") == 2)


def test_the_end_while_a_reload_waits(start, relay):
    with ApiServer(stream=True) as old:
        fill(old, "10.96.0.9")
        server = start(old.url(), wait=True)
        server.path.write_text(server.path.read_text().replace(old.url(), relay.url))
        server.process.send_signal(signal.SIGUSR1)
        server.wait_log(WAITING, 20)
        assert server.stop() == 0


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_requests_in_flight(start, api, limit):
    """Watches whose replies have begun count no more, or the third list would never come."""
    api.head_pause = 0.3
    server = start(api.url(), "apiserver_max_inflight %d" % limit)
    until(lambda: answer(server) is not None)
    assert answer(server) == ["10.96.0.1"]
    assert api.most_waiting == (limit or 3)
    api.state.end_watches()
    api.state.put(service("new", "10.96.0.2"))
    server.until("new.default.svc.cluster.local.", ["10.96.0.2"], seconds=20)
    assert api.most_waiting == (limit or 3)


def test_a_request_that_failed_is_in_flight_no_more(start, api):
    api.faults[""] = [503, "hang"]
    server = start(api.url(), "apiserver_max_inflight 1\n startup_timeout 1m")
    until(lambda: answer(server) is not None, 60)
    assert answer(server) == ["10.96.0.1"]
