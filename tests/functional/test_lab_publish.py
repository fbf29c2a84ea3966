"""The lab as the kubelet of an API server: `signpost lab up --kubeconfig`."""
import json
import pathlib
import shutil
import subprocess

import pytest

from test_lab import NODES, Lab, is_ready, pod, wait

API = "http://172.18.0.11:8001"
BASE = "/api/v1/namespaces/app/"
CONFIG = {"kind": "Config", "apiVersion": "v1", "current-context": "c",
          "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
          "clusters": [{"name": "c", "cluster": {"server": API}}], "users": [{"name": "u", "user": {}}]}
SERVER = """
kind: Pod
apiVersion: v1
metadata: {name: api, namespace: app}
spec:
  nodeName: n1
  hostNetwork: true
  terminationGracePeriodSeconds: 0
  volumes: [{name: here, hostPath: {path: "@HERE@"}}, {name: log, emptyDir: {}}]
  containers:
    - name: api
      image: python
      command: [/usr/bin/python3, -B, /here/lab_api.py, "8001", /log/requests]
      volumeMounts: [{name: here, mountPath: /here}, {name: log, mountPath: /log}]
"""
OBJECTS = """
kind: Namespace
apiVersion: v1
metadata: {name: app}
---
kind: ConfigMap
apiVersion: v1
metadata: {name: old, namespace: app}
data: {a: b}
---
kind: ConfigMap
apiVersion: v1
metadata: {name: "no", namespace: app, labels: {bad: ""}}
---
kind: Service
apiVersion: v1
metadata: {name: web, namespace: app}
spec: {ports: [{port: 80}]}
"""


class Published(Lab):
    def requests(self):
        text = (self.dir / "pods" / "app_api" / "volumes" / "log" / "requests").read_text()
        return [json.loads(line) for line in text.splitlines() if line.endswith("]")]

    def of(self, path):
        """What was asked about an object once the server was there: method, path, body, status."""
        return [r for r in self.requests() if r[3] != 503 and (
            (r[0] == "POST" and r[1] + "/" + r[2]["metadata"]["name"] == path) or
            r[1].split("?")[0].removesuffix("/status") == path)]


@pytest.fixture(scope="module")
def world(signpost):
    if subprocess.run(["unshare", "-Urnmp", "--fork", "true"], check=False).returncode:
        pytest.skip("this machine gives no user namespaces")
    tmp = pathlib.Path(subprocess.check_output(["mktemp", "-d", "/tmp/lab-XXXXXX"], text=True).strip())
    lab = Published(signpost, tmp)
    (tmp / "kubeconfig").write_text(json.dumps(CONFIG))
    lab.write("nodes.yaml", NODES)
    lab.write("objects.yaml", OBJECTS)
    lab.write("api.yaml", SERVER.replace("@HERE@", str(pathlib.Path(__file__).parent)))
    lab.write("web.yaml", pod("web", "n2"))
    lab.write("old.yaml", pod("old", "n2"))
    # one object is refused for ever, and the lab waits for all
    started = lab.call("up", str(lab.source), "--kubeconfig", str(tmp / "kubeconfig"), "--wait", "5", check=False)
    lab.started = started
    yield lab
    lab.call("down", check=False)
    shutil.rmtree(tmp, ignore_errors=True)


def test_what_is_missing_at_the_start_is_said(world):
    assert world.started.returncode == 1
    assert "not ready after 5 s: 1 objects that the API server has not taken yet" in world.started.stderr


def test_places_come_before_what_is_in_them(world):
    made = [r[1].rsplit("/", 1)[1] for r in world.requests() if r[0] == "POST" and r[3] == 201]
    assert made[:3] == ["namespaces", "nodes", "nodes"]
    assert {"services", "pods"} <= set(made[3:])
    log = (world.dir / "log").read_text()
    assert log.count("waiting for the API server") == 1
    assert log.count("the API server at %s answers" % API) == 1


def test_a_pod_is_created_without_its_status_which_follows(world):
    wait(lambda: len([r for r in world.of(BASE + "pods/web") if r[1].endswith("/status")]) >= 1)
    first, *rest = world.of(BASE + "pods/web")
    assert first[0] == "POST" and "status" not in first[2] and "uid" not in first[2]["metadata"]
    assert first[2]["spec"]["nodeName"] == "n2"
    assert {(r[0], r[1]) for r in rest} == {("PATCH", BASE + "pods/web/status")}
    status = rest[-1][2]["status"]
    assert status["podIP"].startswith("10.244.2.") and status["podIPs"] and is_ready({"status": status})


def test_what_is_there_already_becomes_ours(world):
    created, changed = world.of(BASE + "configmaps/old")[:2]
    assert (created[0], created[3]) == ("POST", 409)
    assert (changed[0], changed[2]["data"], changed[3]) == ("PATCH", {"a": "b"}, 200)
    steps = [(r[0], r[1], r[3]) for r in world.of(BASE + "pods/old")]
    assert steps[:3] == [("POST", BASE + "pods", 409),
                         ("DELETE", BASE + "pods/old?gracePeriodSeconds=0", 200), ("POST", BASE + "pods", 201)]


def test_a_refusal_is_told_once_and_tried_again(world):
    tries = lambda: [r for r in world.of(BASE + "configmaps/no") if r[3] == 422]
    n = len(tries())
    wait(lambda: len(tries()) > max(n, 1), 15)
    log = (world.dir / "log").read_text()
    assert log.count("ConfigMap app/no on the API server: the server says 422 Invalid: bad is no good") == 1


def test_what_the_server_fills_in_is_in_the_objects(world):
    wait(lambda: world.object("service_app_web")["spec"].get("clusterIP") == "10.96.3.4")


def test_a_change_is_a_patch_of_what_is_different(world):
    world.write("web.yaml", pod("web", "n2").replace("labels: {app: web}", "labels: {tier: front}"))
    change = {"metadata": {"labels": {"app": None, "tier": "front"}}}
    wait(lambda: [r[2] for r in world.of(BASE + "pods/web") if r[1] == BASE + "pods/web"] == [change])


def test_a_pod_that_ends(world):
    """As a kubelet does it: not ready, deleted with its grace, and for good when nothing of it runs."""
    text = pod("slow", "n2").replace("      image:", "      lifecycle: {preStop: {sleep: {seconds: 1}}}\n      image:")
    world.write("slow.yaml", text)
    wait(lambda: any(r[1].endswith("/status") and is_ready(r[2]) for r in world.of(BASE + "pods/slow")))
    before = len(world.of(BASE + "pods/slow"))
    (world.source / "slow.yaml").unlink()
    gone = ("DELETE", BASE + "pods/slow?gracePeriodSeconds=0", 200)
    wait(lambda: world.of(BASE + "pods/slow")[-1:] and tuple(
        world.of(BASE + "pods/slow")[-1][i] for i in (0, 1, 3)) == gone)
    status, deleted, _ = world.of(BASE + "pods/slow")[before:]
    assert status[1].endswith("/status") and not is_ready(status[2])
    assert (deleted[0], deleted[1], deleted[3]) == ("DELETE", BASE + "pods/slow", 200)


def test_bad_kubeconfigs(signpost, tmp_path):
    (tmp_path / "manifests").mkdir()
    program = {"apiVersion": "client.authentication.k8s.io/v1", "command": "login", "interactiveMode": "Never"}
    (tmp_path / "program").write_text(json.dumps({**CONFIG, "users": [{"name": "u", "user": {"exec": program}}]}))
    (tmp_path / "kubeconfig").write_text("kind: Config\n")
    for args, words in [(["--kubeconfig", str(tmp_path / "none")], "No such file"),
                        (["--kubeconfig", str(tmp_path / "kubeconfig")], "kubeconfig"),
                        (["--kubeconfig", str(tmp_path / "program")], "exec: login) are not offered by the lab"),
                        (["--wait", "0"], "give 1 to 3600 seconds")]:
        done = subprocess.run([signpost, "lab", "up", "--dir", str(tmp_path / "lab"), *args,
                               str(tmp_path / "manifests")], capture_output=True, text=True, check=False, timeout=30)
        assert done.returncode == 1 and words in done.stderr, (args, done.stderr)
