"""The EndpointSlice controller on an API server: what it writes, and what it does when writing fails."""
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from apiserver import ApiServer, endpoint_slice  # noqa: E402
from dns_world import free_port, http_get  # noqa: E402

MANAGED = "endpointslice-controller.k8s.io"
CREATED = "2026-01-02T03:04:05Z"
ELECTION = ["--leader-elect-lease-duration=2s", "--leader-elect-renew-deadline=1500ms",
            "--leader-elect-retry-period=300ms"]


def node(name, zone):
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone}}}


def service(name, uid=None, labels=None, ports=None, **spec):
    return {"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name, "namespace": "shop", "uid": uid or "svc-" + name, "labels": labels or {},
                         "creationTimestamp": CREATED},
            "spec": dict({"type": "ClusterIP", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"],
                          "ipFamilies": ["IPv4"], "selector": {"app": name},
                          "ports": ports or [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}]}, **spec)}


def pod(name, ip, app="web", ready=True, on="n1", **spec):
    return {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "shop", "uid": "pod-" + name, "labels": {"app": app}},
            "spec": dict({"nodeName": on, "containers": [{"name": "c", "ports": [{"name": "web", "containerPort": 9090,
                                                                                "protocol": "TCP"}]}]}, **spec),
            "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
                       "conditions": [{"type": "Ready", "status": "True" if ready else "False",
                                       "lastTransitionTime": "2026-01-02T03:05:00Z"}]}}


class Controller:
    def __init__(self, program, api, tmp_path, *flags):
        self.port = free_port()
        self.log = tmp_path / ("log-%d" % self.port)
        with self.log.open("w") as out:
            self.process = subprocess.Popen(
                [program, "controller", "--master", api.url(), "--metrics-bind-address", "127.0.0.1:%d" % self.port,
                 *flags], stderr=out, stdout=out)

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(15)

    def leads(self):
        try:
            return 'leader_election_master_status{name="signpost-controller"} 1' in http_get(self.port, "/metrics")[1]
        except OSError:
            return False


@pytest.fixture(params=[True, False], ids=["protobuf", "json"])
def api(request):
    with ApiServer(proto=request.param) as server:
        fill(server)
        yield server


@pytest.fixture
def one():
    with ApiServer() as server:
        fill(server)
        yield server


def fill(api):
    api.state.put(node("n1", "za"))
    api.state.put(node("n2", "zb"))


@pytest.fixture
def start(signpost, tmp_path):
    running = []

    def begin(api, *flags):
        running.append(Controller(signpost, api, tmp_path, *(flags or ("--leader-elect=false",))))
        return running[-1]

    yield begin
    for controller in running:
        assert controller.stop() == 0 or controller.process.returncode == -signal.SIGKILL, controller.log.read_text()


def slices(api, of="web"):
    with api.state.changed:
        return [o for (kind, _, _), o in sorted(api.state.objects.items()) if kind == "EndpointSlice"
                and o["metadata"]["labels"].get("kubernetes.io/service-name") == of
                and o["metadata"]["labels"].get("endpointslice.kubernetes.io/managed-by") == MANAGED]


def ready(api, of="web"):
    return sorted(e["addresses"][0] for s in slices(api, of) for e in s["endpoints"] if e["conditions"]["ready"])


def until(condition, seconds=15.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def writes(api):
    with api.state.changed:
        return len([w for w in api.state.writes if w[1] == "EndpointSlice"])


def quiet(api, seconds=0.5):
    """No write for a while."""
    before, since = writes(api), time.monotonic()
    while time.monotonic() - since < seconds:
        if writes(api) != before:
            before, since = writes(api), time.monotonic()
        time.sleep(0.02)
    return before


def test_slices_follow_pods(api, start):
    api.state.put(service("web", labels={"team": "a"}))
    api.state.put(pod("p1", "10.1.0.1"))
    api.state.put(pod("p2", "10.1.0.2", on="n2", ready=False))
    start(api)
    until(lambda: ready(api) == ["10.1.0.1"])
    made, = slices(api)
    assert made["addressType"] == "IPv4"
    meta = made["metadata"]
    assert meta["generateName"] == "web-" and meta["name"].startswith("web-")
    assert meta["labels"] == {"team": "a", "kubernetes.io/service-name": "web",
                              "endpointslice.kubernetes.io/managed-by": MANAGED}
    assert meta["ownerReferences"] == [{"apiVersion": "v1", "kind": "Service", "name": "web", "uid": "svc-web",
                                        "controller": True, "blockOwnerDeletion": True}]
    assert meta["annotations"] == {"endpoints.kubernetes.io/last-change-trigger-time": CREATED}
    assert made["ports"] == [{"name": "http", "protocol": "TCP", "port": 8080}]
    first, second = sorted(made["endpoints"], key=lambda e: e["addresses"])
    assert first == {"addresses": ["10.1.0.1"], "conditions": {"ready": True, "serving": True, "terminating": False},
                     "nodeName": "n1", "zone": "za",
                     "targetRef": {"kind": "Pod", "namespace": "shop", "name": "p1", "uid": "pod-p1"}}
    assert second["conditions"] == {"ready": False, "serving": False, "terminating": False}
    assert quiet(api) == 1
    api.state.put(pod("p2", "10.1.0.2", on="n2"))
    until(lambda: ready(api) == ["10.1.0.1", "10.1.0.2"])
    api.state.delete("Pod", "shop", "p1")
    until(lambda: ready(api) == ["10.1.0.2"])
    api.state.delete("Pod", "shop", "p2")
    until(lambda: [s["endpoints"] for s in slices(api)] == [[]])  # known to be empty
    assert quiet(api) == 4 and len(slices(api)) == 1
    assert slices(api)[0]["metadata"]["name"] == meta["name"]
    assert slices(api)[0]["metadata"]["generateName"] == "web-"


def test_what_a_service_asks_for(api, start):
    api.state.put(service("named", ports=[{"name": "x", "port": 80, "protocol": "TCP", "targetPort": "web"}]) if not api.proto
                  else service("named", ports=[{"name": "x", "port": 80, "protocol": "TCP", "targetPort": 9090}]))
    api.state.put(pod("a", "10.1.1.1", app="named"))
    api.state.put(service("db", clusterIP="None", clusterIPs=["None"]))
    api.state.put(pod("db-0", "10.1.2.1", app="db", hostname="db-0", subdomain="db"))
    near = service("near")
    near["spec"]["trafficDistribution"] = "PreferSameNode"
    api.state.put(near)
    api.state.put(pod("c", "10.1.3.1", app="near", on="n2"))
    start(api)
    until(lambda: ready(api, "named") and ready(api, "db") and ready(api, "near"))
    assert slices(api, "named")[0]["ports"] == [{"name": "x", "protocol": "TCP", "port": 9090}]
    db, = slices(api, "db")
    assert db["metadata"]["labels"]["service.kubernetes.io/headless"] == ""
    assert db["endpoints"][0]["hostname"] == "db-0"
    assert slices(api, "near")[0]["endpoints"][0]["hints"] == {"forZones": [{"name": "zb"}], "forNodes": [{"name": "n2"}]}
    near = service("near")
    api.state.put(near)
    until(lambda: "hints" not in slices(api, "near")[0]["endpoints"][0])


def test_many_pods_are_packed(one, start):
    one.state.put(service("web"))
    for i in range(250):
        one.state.put(pod("p%d" % i, "10.1.%d.%d" % (i // 100, i % 100 + 1)))
    start(one)
    until(lambda: len(ready(one)) == 250)
    assert sorted(len(s["endpoints"]) for s in slices(one)) == [50, 100, 100]
    one.state.delete("Pod", "shop", "p0")
    until(lambda: len(ready(one)) == 249)
    assert quiet(one) == 4


def test_slices_of_others_are_left_alone(one, start):
    foreign = endpoint_slice("web", "10.9.9.9", ns="shop")
    one.state.put(foreign)
    one.state.put(dict(service("own"), spec=dict(service("own")["spec"], selector={})))
    one.state.put(service("web"))
    one.state.put(pod("p1", "10.1.0.1"))
    start(one)
    until(lambda: ready(one) == ["10.1.0.1"])
    assert quiet(one) == 1 and not slices(one, "own")
    assert one.state.objects["EndpointSlice", "shop", "web-a"] is foreign


def test_a_service_goes_and_comes_again(one, start):
    one.state.put(service("web"))
    one.state.put(pod("p1", "10.1.0.1"))
    controller = start(one)
    until(lambda: ready(one) == ["10.1.0.1"])
    one.state.delete("Service", "shop", "web")
    # Kinds are watched one by one: a slice that went before its Service would be made again.
    gone = 'signpost_apiserver_events_total{kind="Service",namespace=""} 1'
    until(lambda: gone in http_get(controller.port, "/metrics")[1])
    one.state.collect()
    assert slices(one) == []
    assert quiet(one) == 1
    one.state.put(service("web", uid="first"))
    until(lambda: ready(one) == ["10.1.0.1"])
    one.state.put(service("web", uid="second"))  # recreated while nobody looked: the old slices go
    until(lambda: [s["metadata"]["ownerReferences"][0]["uid"] for s in slices(one)] == ["second"])
    assert ready(one) == ["10.1.0.1"]


def test_somebody_meddles(one, start):
    one.state.put(service("web"))
    one.state.put(pod("p1", "10.1.0.1"))
    start(one)
    until(lambda: ready(one) == ["10.1.0.1"])
    changed = json.loads(json.dumps(slices(one)[0]))
    changed["endpoints"] = []
    changed["metadata"].setdefault("annotations", {})["mine"] = "kept"
    one.state.put(changed)
    until(lambda: ready(one) == ["10.1.0.1"])
    assert slices(one)[0]["metadata"]["annotations"]["mine"] == "kept"
    one.state.delete("EndpointSlice", "shop", changed["metadata"]["name"])
    until(lambda: ready(one) == ["10.1.0.1"])
    assert quiet(one) == 3


def test_a_node_that_comes_late(one, start):
    one.state.put(service("web"))
    one.state.put(pod("p1", "10.1.0.1"))
    one.state.put(pod("p2", "10.1.0.2", on="late"))
    start(one)
    until(lambda: ready(one) == ["10.1.0.1"])
    one.state.put(node("late", "zc"))
    until(lambda: ready(one) == ["10.1.0.1", "10.1.0.2"])


@pytest.mark.parametrize("fault", [409, 429, 500, 503, 403, "no answer"])
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_write_that_fails(one, start, method, fault):
    one.state.put(service("web"))
    one.state.put(pod("p1", "10.1.0.1"))
    if method == "POST":
        one.faults["POST endpointslices"] = [fault]
    start(one)
    until(lambda: ready(one) == ["10.1.0.1"])
    one.faults["PUT endpointslices"] = [fault] if method == "PUT" else []
    one.state.put(pod("p2", "10.1.0.2"))
    until(lambda: ready(one) == ["10.1.0.1", "10.1.0.2"])
    assert not one.faults[method + " endpointslices"]
    until(lambda: len(slices(one)) == 1)


def test_away(one, start):
    """While the server is away nothing is lost; what happened meanwhile follows when it is back."""
    one.state.put(service("web"))
    one.state.put(pod("p1", "10.1.0.1"))
    controller = start(one)
    until(lambda: ready(one) == ["10.1.0.1"])
    one.stop()
    one.state.put(pod("p2", "10.1.0.2"))
    one.state.delete("Pod", "shop", "p1")
    time.sleep(1)
    assert http_get(controller.port, "/healthz")[0] == 200
    one.start()
    until(lambda: ready(one) == ["10.1.0.2"], 30)
    assert len(slices(one)) == 1


def test_random_lives(one, start):
    """Whatever happens, the slices end as the Pods are, no address twice."""
    dice = random.Random(7)
    start(one, "--leader-elect=false", "--max-endpoints-per-slice=5", "--kube-api-qps=500")
    alive = {}
    for i in range(300):
        name, app = "p%d" % dice.randrange(40), dice.choice(["web", "db"])
        what = dice.randrange(10)
        if what < 6:
            alive[name] = app, dice.random() < 0.8, dice.choice(["n1", "n2"])
            one.state.put(pod(name, "10.1.0.%s" % name[1:], app, alive[name][1], alive[name][2]))
        elif what < 8 and name in alive:
            del alive[name]
            one.state.delete("Pod", "shop", name)
        else:
            one.state.put(service(app, labels={"n": str(i)}))
        if i == 150:
            one.state.compact()
        time.sleep(0.003)
    for app in "web", "db":
        one.state.put(service(app))
        wanted = sorted("10.1.0.%s" % n[1:] for n, (a, ok, _) in alive.items() if a == app and ok)
        until(lambda: ready(one, app) == wanted, 30)
    quiet(one)
    for app in "web", "db":
        there = [e["addresses"][0] for s in slices(one, app) for e in s["endpoints"]]
        assert len(there) == len(set(there)) == len([1 for a, _, _ in alive.values() if a == app])
        assert all(s["metadata"]["labels"].get("n") is None for s in slices(one, app))


def test_two_controllers_one_leader(one, start):
    one.state.put(service("web"))
    one.state.put(pod("p1", "10.1.0.1"))
    pair = [start(one, *ELECTION), start(one, *ELECTION)]
    until(lambda: ready(one) == ["10.1.0.1"])
    until(lambda: [c.leads() for c in pair].count(True) == 1)
    leader, other = sorted(pair, key=lambda c: not c.leads())
    lease = one.state.objects["Lease", "kube-system", "signpost-controller"]["spec"]
    assert lease["leaseDurationSeconds"] == 2 and lease["leaseTransitions"] == 0
    assert quiet(one) == 1 and not other.leads()
    leader.stop(signal.SIGKILL)
    one.state.put(pod("p2", "10.1.0.2"))
    until(lambda: ready(one) == ["10.1.0.1", "10.1.0.2"])
    assert other.leads()
    assert one.state.objects["Lease", "kube-system", "signpost-controller"]["spec"]["leaseTransitions"] == 1


@pytest.mark.parametrize("in_between", [False, True], ids=["idle", "renewing"])
def test_a_lease_that_is_given_back(one, start, in_between):
    """The next one need not wait for the lease to run out, even if the end comes while it is being renewed."""
    slow = ["--leader-elect-lease-duration=60s", "--leader-elect-renew-deadline=40s", "--leader-elect-retry-period=300ms"]
    first = start(one, *slow)
    until(first.leads)
    second = start(one, *slow)
    until(lambda: "held by" in second.log.read_text())
    if in_between:
        one.faults["PUT leases"] = ["slow"]
        until(lambda: not one.faults["PUT leases"])  # asked for; the answer takes its time
    assert first.stop() == 0
    until(second.leads)


def test_a_leader_that_cannot_renew_stops(one, start):
    one.state.put(service("web"))
    one.state.put(pod("p1", "10.1.0.1"))
    controller = start(one, *ELECTION)
    until(lambda: ready(one) == ["10.1.0.1"] and controller.leads())
    one.faults["PUT leases"] = [500] * 1000
    one.faults["GET leases"] = [500] * 1000
    until(lambda: not controller.leads())
    before = quiet(one, 0.1)
    one.state.put(pod("p2", "10.1.0.2"))
    time.sleep(0.5)
    assert writes(one) == before
    one.faults.clear()
    until(lambda: ready(one) == ["10.1.0.1", "10.1.0.2"])


def test_a_lease_that_another_takes(one, start):
    controller = start(one, *ELECTION)
    until(controller.leads)
    taken = json.loads(json.dumps(one.state.objects["Lease", "kube-system", "signpost-controller"]))
    taken["spec"].update(holderIdentity="another", leaseDurationSeconds=3600)
    one.state.put(taken)
    until(lambda: not controller.leads())
    assert "taken by another" in controller.log.read_text()
    one.state.put(service("web"))
    one.state.put(pod("p1", "10.1.0.1"))
    assert quiet(one) == 0


def test_batches(one, start):
    one.state.put(service("web"))
    one.state.put(pod("p1", "10.1.0.1"))
    start(one, "--leader-elect=false", "--endpointslice-updates-batch-period=1s")
    until(lambda: ready(one) == ["10.1.0.1"])
    before = quiet(one)
    for i in range(2, 12):
        one.state.put(pod("p%d" % i, "10.1.0.%d" % i))
        time.sleep(0.03)
    until(lambda: len(ready(one)) == 11)
    assert quiet(one) == before + 1


@pytest.mark.parametrize("flag,words", [
    ("--max-endpoints-per-slice=0", "must be 1 to 1000"),
    ("--concurrent-service-endpoint-syncs=0", "must be 1 to"),
    ("--leader-elect-resource-lock=endpoints", "is not offered"),
    ("--leader-elect-resource-name=A_B", "--leader-elect-resource-name"),
    ("--leader-elect-renew-deadline=20s", "lease must last longer"),
    ("--controllers=*,nope", "there is no \"nope\""),
    ("--controllers=-endpoint", "none is left"),
    ("--concurrent-endpoint-syncs=0", "must be 1 to"),
    ("--mirroring-max-endpoints-per-subset=1001", "must be 1 to 1000"),
])
def test_flags_that_are_refused(signpost, flag, words):
    ran = subprocess.run([signpost, "controller", "--master", "http://127.0.0.1:1", "--metrics-bind-address=", flag],
                         capture_output=True, text=True, timeout=20, check=False)
    assert ran.returncode in (1, 2) and words in ran.stderr, ran.stderr
