"""The endpoint controllers inside `signpost registry`: what they write, and what they leave alone."""
import json
import os
import random
import signal
import subprocess
import time

import pytest
from registry_world import Refused, Registry, pod, service

MANAGED = "endpointslice-controller.k8s.io"
MIRRORING = "endpointslicemirroring-controller.k8s.io"


@pytest.fixture(scope="module")
def api(signpost, tmp_path_factory):
    with Registry(signpost, tmp_path_factory.mktemp("controllers"), memory=True) as made:
        made.create(node("n1"))
        yield made


@pytest.fixture
def ns(api, request):
    """A namespace of the test's own."""
    name = request.node.name.replace("_", "-").split("[")[0].lower()
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return name


def until(condition, seconds=15):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def node(name):
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}


def run_pod(api, ns, name, ip, app="web", ready=True, on="n1"):
    """A Pod that has an address, as a kubelet would report it."""
    made = pod(name, ns, nodeName=on)
    made["metadata"]["labels"] = {"app": app}
    return set_status(api, api.create(made), ip, ready)


def set_status(api, made, ip, ready=True, phase="Running"):
    made["status"] = {"phase": phase, "podIP": ip, "podIPs": [{"ip": ip}],
                      "conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}
    return api.update(made, "/status")


def slices(api, ns, of="web", manager=MANAGED):
    label = "kubernetes.io/service-name=%s,endpointslice.kubernetes.io/managed-by=%s" % (of, manager)
    return api.list("EndpointSlice", ns, labelSelector=label)["items"]


def told(api, ns, of="web", ready=True):
    return sorted(e["addresses"][0] for s in slices(api, ns, of) for e in s["endpoints"] or []
                  if e["conditions"]["ready"] == ready)


def addresses(api, ns, name="web", which="addresses"):
    try:
        found = api.get("Endpoints", name, ns)
    except Refused as e:
        assert e.code == 404
        return None
    return sorted(a["ip"] for s in found.get("subsets", []) for a in s.get(which, []))


def revision(api):
    return api.call("GET", "/api/v1/pods")["metadata"]["resourceVersion"]


def quiet(api, seconds=0.5):
    """The revision that stays for a while."""
    now, since = revision(api), time.monotonic()
    while time.monotonic() - since < seconds:
        if revision(api) != now:
            now, since = revision(api), time.monotonic()
        time.sleep(0.02)
    return now


def test_endpoints_follow_pods(api, ns):
    svc = api.create(service("web", ns, selector={"app": "web"}))
    run_pod(api, ns, "a", "10.1.0.1")
    run_pod(api, ns, "b", "10.1.0.2", ready=False)
    run_pod(api, ns, "c", "10.1.0.3", app="other")
    until(lambda: told(api, ns) == ["10.1.0.1"] and told(api, ns, ready=False) == ["10.1.0.2"])
    until(lambda: (addresses(api, ns), addresses(api, ns, which="notReadyAddresses")) == (["10.1.0.1"], ["10.1.0.2"]))
    made, = slices(api, ns)
    assert made["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    owner, = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Service", "web", svc["metadata"]["uid"])
    assert {e["manager"] for e in made["metadata"]["managedFields"]} == {"signpost"}
    assert made["metadata"]["name"].startswith("web-")

    set_status(api, api.get("Pod", "b", ns), "10.1.0.2")
    until(lambda: told(api, ns) == ["10.1.0.1", "10.1.0.2"] == addresses(api, ns))
    set_status(api, api.get("Pod", "a", ns), "10.1.0.1", ready=False)
    until(lambda: told(api, ns) == ["10.1.0.2"] == addresses(api, ns))
    set_status(api, api.get("Pod", "b", ns), "10.1.0.2", phase="Succeeded")
    until(lambda: told(api, ns) == [] == addresses(api, ns))
    for name in "ab":
        api.delete("Pod", name, ns, body={"gracePeriodSeconds": 0})
    until(lambda: told(api, ns, ready=False) == [])
    api.delete("Service", "web", ns)
    until(lambda: slices(api, ns) == [] and addresses(api, ns) is None)


def test_watches_hear_of_them(api, ns):
    with api.watch("EndpointSlice", ns, resourceVersion=revision(api)) as w:
        api.create(service("web", ns, selector={"app": "web"}))
        kind, made = w.next()
        assert (kind, made["endpoints"] or []) == ("ADDED", [])
        run_pod(api, ns, "a", "10.1.0.1")
        kind, changed = w.next()
        assert (kind, changed["metadata"]["name"]) == ("MODIFIED", made["metadata"]["name"])
        assert changed["endpoints"][0]["targetRef"]["name"] == "a"


def test_pod_waits_for_its_node(api, ns):
    api.create(service("web", ns, selector={"app": "web"}))
    run_pod(api, ns, "a", "10.1.0.1", on="late")
    until(lambda: addresses(api, ns) == ["10.1.0.1"])
    assert told(api, ns) == []
    api.create(node("late"))
    until(lambda: told(api, ns) == ["10.1.0.1"])


def test_mirrors_what_people_write(api, ns):
    api.create(service("db", ns))
    api.create({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "db", "namespace": ns},
                "subsets": [{"addresses": [{"ip": "192.0.2.7"}], "ports": [{"name": "http", "port": 5432}]}]})
    until(lambda: [e["addresses"] for s in slices(api, ns, "db", MIRRORING) for e in s["endpoints"]] == [["192.0.2.7"]])
    api.delete("Endpoints", "db", ns)
    until(lambda: slices(api, ns, "db", MIRRORING) == [])


def test_repairs_what_others_change(api, ns):
    api.create(service("web", ns, selector={"app": "web"}))
    run_pod(api, ns, "a", "10.1.0.1")
    until(lambda: told(api, ns) == ["10.1.0.1"])
    name = slices(api, ns)[0]["metadata"]["name"]
    api.patch("EndpointSlice", name, {"endpoints": []}, ns=ns)
    until(lambda: told(api, ns) == ["10.1.0.1"])
    api.delete("EndpointSlice", slices(api, ns)[0]["metadata"]["name"], ns)
    until(lambda: told(api, ns) == ["10.1.0.1"])


def test_many_pods_few_slices(api, ns):
    api.create(service("web", ns, selector={"app": "web"}))
    want = ["10.2.%d.%d" % (i // 200, 1 + i % 200) for i in range(110)]
    for i, ip in enumerate(want):
        run_pod(api, ns, "p%d" % i, ip)
    until(lambda: told(api, ns) == sorted(want))
    assert len(slices(api, ns)) == 2
    assert addresses(api, ns) == sorted(want)


def test_namespace_that_ends(api, ns):
    api.create(service("web", ns, selector={"app": "web"}))
    held = pod("held", ns, nodeName="n1")
    held["metadata"].update(labels={"app": "web"}, finalizers=["example.org/wait"])
    set_status(api, api.create(held), "10.1.0.1")
    until(lambda: told(api, ns) == ["10.1.0.1"])
    api.delete("Namespace", ns, "")
    with pytest.raises(Refused) as e:
        api.create(service("new", ns))
    assert e.value.code == 403
    assert [(c["reason"], c["field"]) for c in e.value.status["details"]["causes"]] == [
        ("NamespaceTerminating", "metadata.namespace")]
    api.delete("Pod", "held", ns, body={"gracePeriodSeconds": 0})
    api.patch("Pod", "held", {"metadata": {"finalizers": None}}, ns=ns)
    until(lambda: ns not in api.names("Namespace", ""))
    assert "cannot be written" not in api.log()


def test_metrics(api, ns):
    api.create(service("web", ns, selector={"app": "web"}))
    until(lambda: slices(api, ns))
    connection = api.connect()
    reply = api.send(connection, "GET", "/metrics")
    text = reply.read().decode()
    connection.close()
    assert reply.status == 200
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line and line[0] != "#")
    assert float(values['endpoint_slice_controller_changes{operation="create"}']) >= 1
    assert float(values['workqueue_adds_total{name="endpoint_slice"}']) >= 1
    assert float(values["signpost_registry_feed_events_total"]) >= 1
    assert float(values["signpost_registry_feed_unread_total"]) == 0


# ---- which of them run ----

def test_left_to_others(signpost, tmp_path):
    with Registry(signpost, tmp_path, "--controllers=false", memory=True) as api:
        api.create(node("n1"))
        api.create(service("web", selector={"app": "web"}))
        run_pod(api, "default", "a", "10.1.0.1")
        before = quiet(api)
        assert slices(api, "default") == [] and addresses(api, "default") is None
        assert "left to others" in api.log()
        assert revision(api) == before


def test_all_but_one(signpost, tmp_path):
    with Registry(signpost, tmp_path, "--controllers=*,-endpoints-controller", "--max-endpoints-per-slice=1",
                  memory=True) as api:
        api.create(node("n1"))
        api.create(service("web", selector={"app": "web"}))
        run_pod(api, "default", "a", "10.1.0.1")
        run_pod(api, "default", "b", "10.1.0.2")
        until(lambda: told(api, "default") == ["10.1.0.1", "10.1.0.2"])
        assert len(slices(api, "default")) == 2 and addresses(api, "default") is None


@pytest.mark.parametrize("flag,words", [
    ("--controllers=job", 'there is no "job"'), ("--controllers=-endpoint", "none is left"),
    ("--max-endpoints-per-slice=0", "must be 1 to 1000"), ("--endpoint-updates-batch-period=2h", "must be 0 to 1h")])
def test_wrong_flags(signpost, tmp_path, flag, words):
    done = subprocess.run([signpost, "registry", "--data", ":memory:", flag], cwd=tmp_path, capture_output=True,
                          text=True, timeout=20)
    assert done.returncode == 1 and words in done.stderr


# ---- over restarts ----

def test_restart_writes_nothing(signpost, tmp_path):
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    (manifests / "web.json").write_text(json.dumps(service("web", selector={"app": "web"})))
    with Registry(signpost, tmp_path, "--manifests", str(manifests)) as api:
        api.create(node("n1"))
        for i in range(30):
            run_pod(api, "default", "p%d" % i, "10.1.0.%d" % (i + 1), ready=i % 3 > 0)
        api.create(service("db"))
        api.create({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "db"},
                    "subsets": [{"addresses": [{"ip": "192.0.2.7"}], "ports": [{"name": "http", "port": 5432}]}]})
        until(lambda: len(told(api, "default")) == 20 and slices(api, "default", "db", MIRRORING))
        before = quiet(api)
        assert api.stop() == 0
        api.start()
        assert quiet(api) == before
        api.delete("Pod", "p1", body={"gracePeriodSeconds": 0})
        until(lambda: len(told(api, "default")) == 19)


def test_killed_while_they_write(signpost, tmp_path):
    """Whatever was written when it ended, the next start brings it to the same end."""
    chance = random.Random(7)
    with Registry(signpost, tmp_path) as api:
        api.create(node("n1"))
        api.create(service("web", selector={"app": "web"}))
        want = []
        for turn in range(5):
            for i in range(10):
                want.append("10.%d.0.%d" % (turn + 1, i + 1))
                run_pod(api, "default", "p%d-%d" % (turn, i), want[-1])
            time.sleep(chance.random() * 0.02)
            api.stop(signal.SIGKILL)
            api.start()
        until(lambda: told(api, "default") == sorted(want) == addresses(api, "default"))
        assert len(slices(api, "default")) == 1


# ---- with kubectl ----

@pytest.mark.skipif(not any(os.access(os.path.join(p, "kubectl"), os.X_OK) for p in os.get_exec_path()),
                    reason="there is no kubectl")
def test_kubectl_apply(signpost, tmp_path):
    manifest = tmp_path / "web.json"
    made = pod("a", nodeName="n1")
    made["metadata"]["labels"] = {"app": "web"}
    manifest.write_text(json.dumps({"apiVersion": "v1", "kind": "List",
                                    "items": [node("n1"), service("web", selector={"app": "web"}), made]}))
    with Registry(signpost, tmp_path, memory=True) as api:
        def kubectl(*words):
            done = subprocess.run(["kubectl", "--kubeconfig", api.kubeconfig, "--cache-dir", tmp_path / "cache", *words],
                                  capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done.stderr
            return done.stdout

        kubectl("apply", "-f", str(manifest), "--validate=false")
        set_status(api, api.get("Pod", "a"), "10.1.0.9")
        until(lambda: told(api, "default") == ["10.1.0.9"])
        assert "10.1.0.9" in kubectl("get", "endpointslices", "-l", "kubernetes.io/service-name=web")
        assert "10.1.0.9:8080" in kubectl("get", "endpoints", "web")
        kubectl("delete", "pod", "a", "--grace-period=0", "--force")
        until(lambda: told(api, "default") == [])
