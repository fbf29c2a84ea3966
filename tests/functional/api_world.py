"""Everybody who follows an API server (DNS, proxy, controller), behind a relay with faults, and what each knows of it.
Tests import the fixtures `api` and `relay`, or make relays with open_relay()."""
import contextlib
import json
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

RECOVERS = 60   # seconds; the longest pause is 45 s
LASTS = 1.0     # seconds of a fault: longer than the first pauses
FAR = "apiserver.invalid"  # a name that only a proxy knows
MANAGED = "endpointslice-controller.k8s.io"
COREFILE = """
.:@PORT@ {
    bind 127.0.0.1
    prometheus 127.0.0.1:@PORT2@
    ready 127.0.0.1:@PORT3@
    kubernetes cluster.local {
        %s
        startup_timeout 1ms
    }
}
"""
GET = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())"
# Nothing that is sent to the API server or comes from it arrives.
VANISH = "table inet away { chain in { type filter hook input priority -300; tcp dport 6443 drop; tcp sport 6443 drop; }; }"


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


@contextlib.contextmanager
def open_relay(api, folder, kind=FaultRelay, port=None):
    """port: of what stands between it and the server."""
    with kind(port or api.port, folder / "relay") as between:
        between.api = api
        yield between


@pytest.fixture(name="api")
def api_fixture():
    with ApiServer(stream=True) as server:
        fill(server)
        yield server


@pytest.fixture(name="relay")
def relay_fixture(api, tmp_path):
    with open_relay(api, tmp_path) as between:
        yield between


class Clock:
    """Of processes that are started with its environment: it can be set forward."""

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
        self.memory[:] = struct.pack("<Q", self.shift() + seconds)

    def shift(self):
        return struct.unpack("<Q", self.memory[:])[0]


class Subject:
    """user: of a kubeconfig file, in place of just a URL; with it the server is one of TLS, signed by ca.crt in the folder.
    far: the relay is a proxy, and leads to it."""

    def __init__(self, program, folder, relay, env=None, user=None, elect=False, far=False):
        self.relay, self.api, self.path, self.env = relay, relay.api, folder / "log", env
        self.url, self.kubeconfig = "http://127.0.0.1:%d" % self.api_port(), None
        if user:
            self.kubeconfig = folder / "kubeconfig"
            self.write_kubeconfig(str(folder / "ca.crt"), user, far)
        self.start(program, folder, elect)

    def write_kubeconfig(self, authority, user, far):
        cluster = {"server": self.url.replace("http", "https"), "certificate-authority": authority}
        if far:
            cluster.update({"server": "https://%s:6443" % FAR, "proxy-url": self.url})
        self.kubeconfig.write_text(json.dumps({
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}], "current-context": "x",
            "clusters": [{"name": "c", "cluster": cluster}], "users": [{"name": "u", "user": user}]}))

    def flags(self):
        return ["--kubeconfig", self.kubeconfig] if self.kubeconfig else ["--master", self.url]

    def api_port(self):
        return self.relay.port

    def log(self):
        return self.path.read_text()

    def gauge(self, name, kind="Service"):
        wanted = 'signpost_apiserver_%s{kind="%s",namespace=""} ' % (name, kind)
        return float(next(line for line in self.page("/metrics").splitlines() if line.startswith(wanted)).split()[-1])

    def drop(self, name):
        """Takes the Service away, with what stands behind it."""
        self.api.state.delete("EndpointSlice", "default", name + "-a")
        self.api.state.delete("Service", "default", name)

    def vanish(self):
        """No packet arrives any more, on no connection; until appear()."""
        self.relay.set("vanished")

    def appear(self):
        self.relay.set(None)


class Dns(Subject):
    def start(self, program, folder, _):
        line = "kubeconfig %s" % self.kubeconfig if self.kubeconfig else "endpoint " + self.url
        self.server = Server(program, folder, COREFILE % line, env=self.env)

    def close(self):
        self.server.__exit__()

    def knows(self, name, ip, _):
        return self.server.addresses(name + ".default.svc.cluster.local.") == [ip]

    def is_well(self):
        return http_get(self.server.numbered(3), "/ready")[0] == 200

    def page(self, path):
        return http_get(self.server.numbered(2), path)[1]

    def log(self):
        return self.server.log()


class Proxy(Subject):
    """In a network namespace of its own, with a bridge to the relay."""

    def api_port(self):
        return 6443

    def start(self, program, folder, _):
        try:
            self.world = World(program, str(folder))
        except (PermissionError, FileNotFoundError) as e:
            pytest.skip("user namespaces are not permitted here: %s" % e)
        self.world.run("ip", "link", "set", "lo", "up")
        bridge = self.world.start(sys.executable, str(LIB / "bridge.py"), "6443", str(self.relay.path), stdout=subprocess.PIPE)
        assert bridge.stdout.readline() == "ready\n"
        with self.path.open("w") as log:
            self.process = self.world.start(program, "proxy", *self.flags(), "--hostname-override", "n1",
                                            stdout=log, stderr=log, env=self.env)

    def close(self):
        self.world.stop(self.process)
        self.world.close()

    def knows(self, _, ip, pod_ip):
        rules = self.world.run("nft", "list", "ruleset").stdout
        return ip + " " in rules and pod_ip + " " in rules

    def is_well(self):
        return self.process.poll() is None

    def page(self, path):
        port = 10249 if path == "/metrics" else 10256
        return self.world.run(sys.executable, "-c", GET, "http://127.0.0.1:%d%s" % (port, path)).stdout

    def vanish(self):
        self.world.run("nft", "-f", "-", text=VANISH)

    def appear(self):
        self.world.run("nft", "delete", "table", "inet", "away")


class Controller(Subject):
    def start(self, program, _, elect):
        self.port = free_port()
        with self.path.open("w") as log:
            self.process = subprocess.Popen(
                [program, "controller", *self.flags(), "--leader-elect=%s" % ("true" if elect else "false"),
                 "--metrics-bind-address", "127.0.0.1:%d" % self.port], stdout=log, stderr=log, env=self.env)

    def close(self):
        self.process.terminate()
        assert self.process.wait(15) == 0, self.log()

    def knows(self, name, _, pod_ip):
        with self.api.state.changed:
            slices = [o for (kind, _, _), o in self.api.state.objects.items() if kind == "EndpointSlice"
                      and o["metadata"]["labels"].get("kubernetes.io/service-name") == name
                      and o["metadata"]["labels"].get("endpointslice.kubernetes.io/managed-by") == MANAGED]
            return [e["addresses"] for s in slices for e in s["endpoints"]] == [[pod_ip]]

    def drop(self, name):
        """Its pod: slices of a Service that is gone are the garbage collection's."""
        self.api.state.delete("Pod", "default", name + "-0")

    def is_well(self):
        return self.process.poll() is None and http_get(self.port, "/readyz")[0] == 200

    def page(self, path):
        return http_get(self.port, path)[1]


EVERYBODY = [Dns, Proxy, Controller]


def knows(subject):
    """All that fill() has put there."""
    until(lambda: subject.knows("web", "10.96.0.1", "10.1.0.1") and subject.is_well())


def stays(subject, seconds=LASTS):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert subject.knows("web", "10.96.0.1", "10.1.0.1") and subject.is_well(), subject.log()
        time.sleep(0.05)


def follows(subject, name="new"):
    put(subject.api, name, "10.96.0.2", "10.1.0.2")
    until(lambda: subject.knows(name, "10.96.0.2", "10.1.0.2"))
    assert subject.knows("web", "10.96.0.1", "10.1.0.1")
