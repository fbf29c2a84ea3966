"""Every fault of an API server or of the way to it, for everybody who follows one: what is served goes on being served,
and what happened meanwhile follows when the fault is over."""
import copy
import mmap
import os
import pathlib
import struct
import subprocess
import sys
import time

import pytest

LIB = pathlib.Path(__file__).resolve().parents[1] / "lib"
sys.path.insert(0, str(LIB))
from apiserver import ApiServer, endpoint_slice, namespace, service  # noqa: E402
from dns_world import Server, free_port, http_get  # noqa: E402
from fault_relay import FaultRelay  # noqa: E402
from proxy_world import World  # noqa: E402

LASTS = 1.0     # seconds of a fault: longer than the first pauses
RECOVERS = 60   # the longest pause is 45 s
FAULTS = ["killed", "hangs", "slow", "truncated", 401, 410, 429, 500, 503]
MANAGED = "endpointslice-controller.k8s.io"
COREFILE = """
.:@PORT@ {
    bind 127.0.0.1
    prometheus 127.0.0.1:@PORT2@
    ready 127.0.0.1:@PORT3@
    kubernetes cluster.local {
        endpoint %s
    }
}
"""


def node(name):
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {}}}


def pod(app, ip):
    return {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": app + "-0", "namespace": "default", "uid": "pod-" + app, "labels": {"app": app}},
            "spec": {"nodeName": "n1", "containers": [{"name": "c", "ports": [{"containerPort": 8080}]}]},
            "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
                       "conditions": [{"type": "Ready", "status": "True"}]}}


def put(api, name, ip, pod_ip):
    """A Service with what stands behind it, for each in the form that it follows."""
    made = service(name, ip)
    made["metadata"]["uid"] = "svc-" + name
    made["spec"]["selector"] = {"app": name}
    api.state.put(endpoint_slice(name, pod_ip))
    api.state.put(pod(name, pod_ip))
    api.state.put(made)


def fill(api):
    api.state.put(namespace("default"))
    api.state.put(node("n1"))
    put(api, "web", "10.96.0.1", "10.1.0.1")


def until(condition, seconds=RECOVERS):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


class Dns:
    def __init__(self, program, folder, relay):
        self.server = Server(program, folder, COREFILE % relay.url)

    def close(self):
        self.server.__exit__()

    def knows(self, name, ip, _):
        return self.server.addresses(name + ".default.svc.cluster.local.") == [ip]

    def is_well(self):
        return http_get(self.server.numbered(3), "/ready")[0] == 200

    def log(self):
        return self.server.log()


class Proxy:
    """In a network namespace of its own, with a bridge to the relay."""

    def __init__(self, program, folder, relay):
        try:
            self.world = World(program, str(folder))
        except (PermissionError, FileNotFoundError) as e:
            pytest.skip("user namespaces are not permitted here: %s" % e)
        self.path = folder / "log"
        self.world.run("ip", "link", "set", "lo", "up")
        bridge = self.world.start(sys.executable, str(LIB / "bridge.py"), "6443", str(relay.path), stdout=subprocess.PIPE)
        assert bridge.stdout.readline() == "ready\n"
        with self.path.open("w") as log:
            self.process = self.world.start(program, "proxy", "--master", "http://127.0.0.1:6443", "--hostname-override", "n1",
                                            stdout=log, stderr=log)

    def close(self):
        self.world.stop(self.process)
        self.world.close()

    def knows(self, _, ip, pod_ip):
        rules = self.world.run("nft", "list", "ruleset").stdout
        return ip + " " in rules and pod_ip + " " in rules

    def is_well(self):
        return self.process.poll() is None

    def log(self):
        return self.path.read_text()


class Controller:
    def __init__(self, program, folder, relay):
        self.api, self.port, self.path = relay.api, free_port(), folder / "log"
        with self.path.open("w") as log:
            self.process = subprocess.Popen(
                [program, "controller", "--master", relay.url, "--leader-elect=false",
                 "--metrics-bind-address", "127.0.0.1:%d" % self.port], stdout=log, stderr=log)

    def close(self):
        self.process.terminate()
        assert self.process.wait(15) == 0, self.log()

    def knows(self, name, _, pod_ip):
        with self.api.state.changed:
            slices = [o for (kind, _, _), o in self.api.state.objects.items() if kind == "EndpointSlice"
                      and o["metadata"]["labels"].get("kubernetes.io/service-name") == name
                      and o["metadata"]["labels"].get("endpointslice.kubernetes.io/managed-by") == MANAGED]
            return [e["addresses"] for s in slices for e in s["endpoints"]] == [[pod_ip]]

    def is_well(self):
        return self.process.poll() is None and http_get(self.port, "/metrics")[0] == 200

    def log(self):
        return self.path.read_text()


@pytest.fixture
def api():
    with ApiServer(stream=True) as server:
        fill(server)
        yield server


@pytest.fixture
def relay(api, tmp_path):
    with FaultRelay(api.port, tmp_path / "relay") as between:
        between.api = api
        yield between


@pytest.fixture(params=[Dns, Proxy, Controller])
def subject(request, signpost, tmp_path, relay):
    made = request.param(signpost, tmp_path, relay)
    yield made
    made.close()


def stays(subject, seconds=LASTS):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert subject.knows("web", "10.96.0.1", "10.1.0.1") and subject.is_well(), subject.log()
        time.sleep(0.05)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_and_its_end(subject, relay, api, fault):
    until(lambda: subject.knows("web", "10.96.0.1", "10.1.0.1") and subject.is_well())
    relay.set(fault)
    if isinstance(fault, str) and fault != "slow":
        put(api, "meanwhile", "10.96.0.2", "10.1.0.2")
    stays(subject)
    if fault == "slow":
        put(api, "meanwhile", "10.96.0.2", "10.1.0.2")  # follows all the same
    else:
        relay.set(None)
    until(lambda: subject.knows("meanwhile", "10.96.0.2", "10.1.0.2") or isinstance(fault, int))
    relay.set(None)
    put(api, "then", "10.96.0.3", "10.1.0.3")
    until(lambda: subject.knows("then", "10.96.0.3", "10.1.0.3"))
    assert subject.knows("web", "10.96.0.1", "10.1.0.1")


@pytest.mark.parametrize("fault", ["killed", "hangs", "truncated", 503])
def test_a_fault_from_the_start(request, signpost, tmp_path, relay, api, fault):
    """Nothing is known yet: DNS says so, and is not ready, until it is."""
    relay.set(fault)
    subject = Dns(signpost, tmp_path, relay)
    request.addfinalizer(subject.close)
    end = time.monotonic() + LASTS
    while time.monotonic() < end:
        assert subject.server.addresses("web.default.svc.cluster.local.") == "SERVFAIL"
        assert not subject.is_well()
    relay.set(None)
    until(lambda: subject.knows("web", "10.96.0.1", None))
    until(subject.is_well)


def test_a_replica_that_is_behind(subject, relay, api):
    """The connection ends and the next goes to a server that does not know the latest yet: nothing goes back."""
    until(lambda: subject.knows("web", "10.96.0.1", "10.1.0.1") and subject.is_well())
    with ApiServer(stream=True) as behind:
        behind.state.objects = {k: o for k, o in copy.deepcopy(api.state.objects).items()
                                if k[0] != "EndpointSlice" or o["metadata"]["name"] == "web-a"}
        behind.state.revision, behind.state.events = api.state.revision, []
        put(api, "latest", "10.96.0.4", "10.1.0.4")
        until(lambda: subject.knows("latest", "10.96.0.4", "10.1.0.4"))
        relay.move(behind.port)
        end = time.monotonic() + LASTS
        while time.monotonic() < end:
            assert subject.knows("latest", "10.96.0.4", "10.1.0.4") and subject.is_well(), subject.log()
            time.sleep(0.05)
        relay.move(api.port)
    put(api, "then", "10.96.0.3", "10.1.0.3")
    until(lambda: subject.knows("then", "10.96.0.3", "10.1.0.3"))
    assert subject.knows("latest", "10.96.0.4", "10.1.0.4")


# ---- with clocks that can be set forward ----

class Clock:
    def __init__(self, folder):
        self.path = folder / "clock"
        self.path.write_bytes(bytes(8))
        with self.path.open("r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 8)

    def env(self, signpost):
        library = pathlib.Path(signpost).parent / "tests/lib/shift_clock.so"
        if not library.exists():
            pytest.skip("%s is not built" % library)
        env = dict(os.environ, LD_PRELOAD=str(library), SHIFT_CLOCK=str(self.path))
        ran = subprocess.run([signpost, "dns", "-version"], env=env, capture_output=True, text=True, timeout=60, check=False)
        if ran.returncode:
            pytest.skip("no library can be put in front of a sanitizer")
        return env

    def forward(self, seconds):
        now = struct.unpack("<Q", self.memory[:])[0]
        self.memory[:] = struct.pack("<Q", now + seconds)


@pytest.fixture
def clocked(request, signpost, tmp_path, relay):
    clock = Clock(tmp_path)
    server = Server(signpost, tmp_path, COREFILE % relay.url, env=clock.env(signpost))
    request.addfinalizer(server.__exit__)
    return server, clock


def gauge(server, name, kind="Service"):
    wanted = 'signpost_apiserver_%s{kind="%s",namespace=""} ' % (name, kind)
    lines = http_get(server.numbered(2), "/metrics")[1].splitlines()
    return float(next(line for line in lines if line.startswith(wanted)).split()[-1])


def test_an_hour_away(clocked, relay, api):
    """Answers and readiness stay, the age is told, and the server is asked again and again, but not in a hurry."""
    server, clock = clocked
    web = "web.default.svc.cluster.local."
    until(lambda: http_get(server.numbered(3), "/ready")[0] == 200)
    assert gauge(server, "age_seconds") < 60
    relay.set("killed")
    put(api, "meanwhile", "10.96.0.2", "10.1.0.2")
    api.state.delete("Service", "default", "web")
    put(api, "web", "10.96.0.9", "10.1.0.9")
    api.state.compact()
    for _ in range(360):
        clock.forward(10)
        time.sleep(0.03)
        assert server.addresses(web) == ["10.96.0.1"]
    assert http_get(server.numbered(3), "/ready")[0] == 200
    assert 3500 < gauge(server, "age_seconds") < 4000
    assert gauge(server, "watching") == 0
    assert 60 < gauge(server, "failures_total") < 400
    assert server.log().count("trying again") < 20  # what sounds the same is told once
    relay.set(None)
    clock.forward(60)
    server.until(web, ["10.96.0.9"], seconds=RECOVERS)
    server.until("meanwhile.default.svc.cluster.local.", ["10.96.0.2"], seconds=5)
    assert gauge(server, "age_seconds") < 100


def test_a_way_that_leads_nowhere(clocked, relay, api):
    """Nothing ends and nothing comes: what is silent for longer than bookmarks allow is begun anew, elsewhere."""
    server, clock = clocked
    until(lambda: http_get(server.numbered(3), "/ready")[0] == 200)
    relay.set("hangs")
    relay.cleared = type(relay.cleared)()  # those that hang do so for ever
    put(api, "meanwhile", "10.96.0.2", "10.1.0.2")
    relay.fault = None
    time.sleep(0.5)
    held, relay.cleared = relay.cleared, type(relay.cleared)()
    relay.cleared.set()
    assert server.addresses("meanwhile.default.svc.cluster.local.") == "NXDOMAIN"
    until(lambda: clock.forward(5) or server.addresses("meanwhile.default.svc.cluster.local.") == ["10.96.0.2"])
    assert "nothing came for too long" in server.log()
    held.set()
