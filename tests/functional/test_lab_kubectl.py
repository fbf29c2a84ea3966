"""The API of a lab, which is `signpost up` in one of its pods: kubectl outside of the lab sees what runs in it, and what
kubectl writes is seen by requests inside. KUBECTL names the program, else it is the one in PATH."""
import json
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.request
import ssl

import pytest
import yaml

from lab_world import close_lab, open_lab, wait

PROGRAM = os.environ.get("KUBECTL") or shutil.which("kubectl")
pytestmark = pytest.mark.skipif(not PROGRAM, reason="there is no kubectl")
SOON = 60
SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "fresh", "namespace": "shop"},
           "spec": {"selector": {"app": "bar"}, "ports": [{"port": 80, "targetPort": "http"}]}}


@pytest.fixture(scope="module", name="lab")
def lab_fixture(signpost, root):
    lab = open_lab(signpost)
    lab.source.rmdir()
    shutil.copytree(root / "examples" / "shop", lab.source)
    lab.told = lab.call("up", str(lab.source)).stdout
    yield lab
    close_lab(lab)


@pytest.fixture(scope="module", name="kubectl")
def kubectl_fixture(lab):
    def run(*words, text=None):
        done = subprocess.run([PROGRAM, "--kubeconfig", str(lab.dir / "kubeconfig"), "--cache-dir",
                               str(lab.dir.parent / "cache"), *words], input=text, capture_output=True, text=True,
                              timeout=SOON, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout
    return run


def pods(kubectl):
    """Name -> (ready, status, address)."""
    items = json.loads(kubectl("get", "pods", "-n", "shop", "-o", "json"))["items"]
    return {p["metadata"]["name"]: p for p in items}


def test_where_it_is_told(lab):
    line = "kubectl --kubeconfig %s/kubeconfig" % lab.dir
    assert line in lab.told and line in lab.call("status").stdout
    assert (lab.dir / "kubeconfig").stat().st_mode & 0o777 == 0o600


def test_pods_and_nodes_are_shown_as_they_run(lab, kubectl):
    rows = [line.split() for line in kubectl("get", "pods", "-A", "-o", "wide", "--no-headers").splitlines()]
    assert {(r[1], r[2], r[3], r[7]) for r in rows if r[0] == "shop"} == {
        ("foo", "1/1", "Running", "node-1"), ("bar-1", "1/1", "Running", "node-1"),
        ("bar-2", "1/1", "Running", "node-2"), ("bar-3", "1/1", "Running", "node-2")}
    nodes = [line.split()[:2] for line in kubectl("get", "nodes", "--no-headers").splitlines()]
    assert nodes == [["node-1", "Ready"], ["node-2", "Ready"]]
    own = lab.object("pod_shop_bar-1")["status"]["podIP"]
    assert pods(kubectl)["bar-1"]["status"]["podIP"] == own
    slices = kubectl("get", "endpointslices", "-n", "shop", "-l", "kubernetes.io/service-name=bar", "-o", "yaml")
    addresses = {e["addresses"][0] for s in yaml.safe_load(slices)["items"] for e in s["endpoints"]}
    assert own in addresses and len(addresses) == 3


def test_a_service_that_is_applied_is_walked_to(lab, kubectl):
    assert kubectl("apply", "-f", "-", text=json.dumps(SERVICE)).strip() == "service/fresh created"
    ip = kubectl("get", "service", "-n", "shop", "fresh", "-o", "jsonpath={.spec.clusterIP}")
    wait(lambda: (lab.dir / "objects" / "service_shop_fresh.json").exists())
    wait(lambda: '"pod": "bar-' in lab.run("shop/foo", "curl", "-s", "--max-time", "2", "http://fresh/", check=False))
    walk = lab.call("walk", "shop/foo", "fresh").stdout
    assert re.search(r"because of Service shop/fresh \(not from the folder\): its clusterIP", walk)
    assert "A " + ip in walk and "HTTP/1.1 200 OK, from %s:80" % ip in walk
    kubectl("delete", "service", "-n", "shop", "fresh")
    wait(lambda: not (lab.dir / "objects" / "service_shop_fresh.json").exists())
    wait(lambda: lab.call("exec", "shop/foo", "--", "getent", "hosts", "fresh", check=False).returncode == 2)


def test_the_folder_goes_on_being_followed(lab, kubectl):
    lab.write("more.yaml", yaml.safe_dump({**SERVICE, "metadata": {"name": "more", "namespace": "shop"}}))
    wait(lambda: "more" in kubectl("get", "services", "-n", "shop", "-o", "name"))
    (lab.source / "more.yaml").unlink()
    wait(lambda: "more" not in kubectl("get", "services", "-n", "shop", "-o", "name"))


def test_the_name_service_of_the_process_itself(lab):
    ip = lab.object("service_shop_bar")["spec"]["clusterIP"]
    asked = lab.call("exec", "--node", "node-1", "--", "signpost", "lookup", "--server", "127.0.0.1",
                     "bar.shop.svc.cluster.local.").stdout
    assert ip in asked


def test_a_pod_that_is_deleted_is_started_anew(lab, kubectl):
    before = pods(kubectl)["bar-2"]
    kubectl("delete", "pod", "-n", "shop", "bar-2", "--wait=false")

    def again():
        now = pods(kubectl).get("bar-2")
        return now and now["metadata"]["uid"] != before["metadata"]["uid"] and "deletionTimestamp" not in now[
            "metadata"] and now["status"]["containerStatuses"][0]["ready"]
    wait(again, SOON)
    assert pods(kubectl)["bar-2"]["status"]["podIP"] != before["status"]["podIP"]
    wait(lambda: "bar-2" in {json.loads(lab.run("shop/foo", "curl", "-s", "http://bar/"))["pod"] for _ in range(10)})


def test_nobody_without_a_token(lab):
    server = yaml.safe_load((lab.dir / "kubeconfig").read_text())["clusters"][0]["cluster"]["server"]
    assert server.startswith("https://127.0.0.1:")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(server + "/api/v1/pods", context=context, timeout=20)
    assert refused.value.code == 401


def test_all_is_written_anew_when_the_process_was_killed(lab, kubectl):
    """It keeps its objects in memory."""
    uid = kubectl("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}")
    lab.run("kube-system/signpost-1", "sh", "-c", "for p in /proc/[0-9]*; do grep -q '^up$' $p/comm && kill -9 ${p#/proc/};"
            " tr '\\0' ' ' <$p/cmdline 2>/dev/null | grep -q '^signpost up ' && kill -9 ${p#/proc/}; done; true")

    def again():
        done = subprocess.run([PROGRAM, "--kubeconfig", str(lab.dir / "kubeconfig"), "get", "namespace", "kube-system",
                               "-o", "jsonpath={.metadata.uid}", "--request-timeout=5s"], capture_output=True,
                              text=True, timeout=SOON, check=False)
        return done.returncode == 0 and done.stdout != uid
    wait(again, SOON)
    wait(lambda: {"foo", "bar-1", "bar-2", "bar-3"} == {n for n, p in pods(kubectl).items()
                                                        if p["status"].get("phase") == "Running"}, SOON)
    wait(lambda: lab.call("walk", "shop/foo", "bar", check=False).returncode == 0, SOON)
