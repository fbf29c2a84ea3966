"""`signpost lookup` for Pods of folders and clusters, for processes, and all ways side by side."""
import http.server
import json
import os
import subprocess
import threading

import pytest

from lookup_world import run_inside, usable

SUFFIXES = ["app.svc.cluster.local", "svc.cluster.local", "cluster.local"]
S1, S2, S3 = SUFFIXES
KUBE = "search %s\nnameserver 127.0.0.1\noptions ndots:5 timeout:1\n" % " ".join(SUFFIXES)
POD = """
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: app}
spec:
  subdomain: sub
  hostAliases: [{ip: 10.7.7.7, hostnames: [alias]}]
  dnsConfig: {options: [{name: ndots, value: "2"}]}
status: {podIPs: [{ip: 10.244.1.7}]}
"""


def exists(name):
    return {name + " A": ["10.1.1.1"], name + " *": ["nodata"]}


def lookup(signpost, *argv, env=None):
    return subprocess.run([signpost, "lookup", *argv], capture_output=True, text=True, timeout=60,
                          check=False, env={**os.environ, **(env or {})})


@pytest.fixture(scope="module")
def namespaces():
    why = usable()
    if why:
        pytest.skip(why)


@pytest.fixture
def folder(tmp_path):
    """The Pod beside another of the same name, and what is no manifest."""
    inner = tmp_path / "manifests" / "inner"
    inner.mkdir(parents=True)
    (inner / "web.yaml").write_text(POD)
    (inner.parent / "other.yml").write_text(POD.replace("namespace: app", "namespace: shop"))
    (inner.parent / "README.md").write_text("kind: [Pod\n")
    (inner.parent / ".hidden.yaml").write_text("kind: [Pod\n")
    (tmp_path / "node.conf").write_text("nameserver 8.8.8.8\nsearch host.domain\n")
    return tmp_path


def test_pod_of_a_folder(signpost, folder):
    """Its hosts file first; then its resolv.conf, with the node's suffix."""
    place = ["--manifests", str(folder / "manifests"), "--pod", "app/web", "--host-resolv",
             str(folder / "node.conf"), "--cluster-dns", "127.0.0.9", "--output", "json"]
    found = json.loads(lookup(signpost, *place, "alias").stdout)
    assert found["result"]["source"] == "files"
    assert found["result"]["addresses"] == ["10.7.7.7"]
    found = json.loads(lookup(signpost, *place, "web.sub.app.svc.cluster.local").stdout)
    assert found["result"]["addresses"] == ["10.244.1.7"]
    found = json.loads(lookup(signpost, *place, "bar").stdout)
    assert found["resolver"]["servers"] == ["127.0.0.9"]
    assert found["resolver"]["search"] == SUFFIXES + ["host.domain"]
    assert found["resolver"]["ndots"] == 2
    assert found["result"]["error"] == "EAI_AGAIN"


def test_pod_of_a_folder_asks(namespaces, signpost, folder):
    result, = run_inside(exists("bar." + S2), "nameserver 127.0.0.3\n", [
        [signpost, "lookup", "--manifests", str(folder / "manifests"), "--pod", "app/web",
         "--cluster-dns", "127.0.0.1", "bar"]], {})
    assert result["status"] == 0, result["errors"]
    assert {q["server"] for q in result["queries"]} == {"127.0.0.1"}
    assert [q["name"] for q in result["queries"]][::2] == ["bar." + S1, "bar." + S2]


class Api(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.path == "/api/v1/namespaces/app/pods/web"
        pod = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "web", "namespace": "app"},
               "spec": {"hostAliases": [{"ip": "10.7.7.8", "hostnames": ["alias"]}]},
               "status": {"podIPs": [{"ip": "10.244.1.8"}]}}
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404,
                  "message": "pods \"gone\" not found", "reason": "NotFound"}
        body = json.dumps(pod if known else status).encode()
        self.send_response(200 if known else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def kubeconfig(tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    path = tmp_path / "config"
    path.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {
            "server": "http://127.0.0.1:%d" % server.server_address[1]}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "app"}}],
        "users": [{"name": "u", "user": {}}]}))
    yield str(path)
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("pod", ["app/web", "web"])
def test_pod_of_a_cluster(signpost, kubeconfig, pod):
    done = lookup(signpost, "--kubeconfig", kubeconfig, "--pod", pod, "alias")
    assert done.returncode == 0, done.stderr
    assert "10.7.7.8" in done.stdout


def test_pod_that_a_cluster_has_not(signpost, kubeconfig):
    done = lookup(signpost, "--kubeconfig", kubeconfig, "--pod", "app/gone", "alias")
    assert done.returncode == 2
    assert "Pod app/gone: " in done.stderr and "not found" in done.stderr
    done = lookup(signpost, "--kubeconfig", kubeconfig, "--pod", "app/../x", "alias")
    assert done.returncode == 2 and "give NAMESPACE/NAME" in done.stderr


@pytest.mark.parametrize("argv,text", [
    (["--manifests", "M", "--pod", "app/none", "x"], "no Pod app/none in it"),
    (["--manifests", "M", "--pod", "web", "x"], "2 Pods named web; say which one"),
    (["--manifests", "M", "x"], "2 Pods; say which one"),
    (["--manifests", "M", "--kubeconfig", "K", "--pod", "a/b", "x"], "not both"),
    (["--manifests", "M", "--pid", "1", "x"], "leave out --manifests"),
    (["--manifests", "M", "--pod", "a/b", "--lab-dir", "D", "x"], "leave out --manifests"),
    (["--kubeconfig", "K", "x"], "name the Pod"),
    (["--manifests", "M", "--pod", "app/web", "--cluster-dns", "dns", "x"], "not an IP address"),
    (["--server", "dns.example", "x"], "give IP or IP:PORT"),
    (["--server", "1.1.1.1,1.1.1.2,1.1.1.3,1.1.1.4", "x"], "at most 3"),
    (["--nsswitch", "/nowhere", "x"], "/nowhere: No such file"),
])
def test_refusals(signpost, folder, argv, text):
    argv = [str(folder / "manifests") if a == "M" else a for a in argv]
    done = lookup(signpost, *argv)
    assert done.returncode == 2 and text in done.stderr and done.stdout == ""


def test_environment_of_a_process(signpost, namespaces, tmp_path):
    """RES_OPTIONS and LOCALDOMAIN of the process count, ours do not."""
    there = subprocess.Popen(["sleep", "60"], env={"LOCALDOMAIN": "its.domain",
                                                   "RES_OPTIONS": "ndots:3 attempts:1 timeout:1",
                                                   "PATH": os.environ["PATH"]})
    try:
        done = lookup(signpost, "--pid", str(there.pid), "--server", "127.0.0.9", "--output", "json",
                      "bar", env={"LOCALDOMAIN": "our.domain", "RES_OPTIONS": "ndots:7"})
        found = json.loads(done.stdout)
        assert found["resolver"]["search"] == ["its.domain"]
        assert found["resolver"]["ndots"] == 3
    finally:
        there.kill()
        there.wait()


def test_nsswitch(signpost, tmp_path):
    (tmp_path / "hosts").write_text("10.9.9.9 bar\n")
    (tmp_path / "conf").write_text("hosts: mdns4_minimal [NOTFOUND=return] files\n")
    done = lookup(signpost, "--hosts", str(tmp_path / "hosts"), "--nsswitch",
                  str(tmp_path / "conf"), "--server", "127.0.0.9", "bar")
    assert done.returncode == 0 and "10.9.9.9" in done.stdout
    assert "nsswitch.conf: not followed: mdns4_minimal" in done.stderr


def test_compare(namespaces, signpost):
    rules = {"bar.%s *" % S1: ["nodata"], **exists("bar." + S2)}
    text, shown = run_inside(rules, KUBE, [
        [signpost, "lookup", "--compare", "bar"],
        [signpost, "lookup", "--compare", "--output", "json", "bar"]], {})
    assert text["status"] == 1
    rows = {line.split()[0]: line.split()[1:] for line in text["out"].splitlines()}
    assert rows["candidate"] == ["glibc", "musl", "musl-1.2.3", "go", "c-ares"]
    assert rows["bar." + S1] == ["1", "NODATA"] * 5
    assert rows["bar." + S2] == "2 found - - 2 found 2 found".split()
    assert rows["queries"] == ["4", "2", "2", "4", "4"]
    assert rows["result"] == ["10.1.1.1", "EAI_NODATA", "EAI_NONAME", "10.1.1.1", "10.1.1.1"]
    assert "Differs: musl fails (EAI_NODATA) where glibc finds it." in text["out"]
    every = json.loads(shown["out"])
    assert [one["as"] for one in every] == rows["candidate"]
    assert [len(one["candidates"]) for one in every] == [2, 1, 1, 2, 2]


def test_compare_alike(namespaces, signpost):
    found, srv = run_inside(exists("bar." + S1), KUBE, [
        [signpost, "lookup", "--compare", "bar"],
        [signpost, "lookup", "--compare", "--type", "SRV", "bar"]], {})
    assert found["status"] == 0 and found["out"].endswith("All find it.\n")
    assert srv["out"].splitlines()[1].split() == ["candidate", "glibc", "go"]
    assert srv["out"].endswith("None finds it.\n")


def test_advice(namespaces, signpost):
    """What to write, what to set, and whether the list was tried at all."""
    rules = exists("api.example.com")
    outside, searched, cut = run_inside(
        {**rules, "cut.%s A" % S1: ["10.1.1.1", "tc"]}, KUBE, [
            [signpost, "lookup", "--as", "go", "--output", "json", "api.example.com"],
            [signpost, "lookup", "--as", "musl", "a.b.c.d.e.f"],
            [signpost, "lookup", "--as", "go", "--output", "json", "cut"]], {})
    advice = json.loads(outside["out"])["advice"]
    assert advice["betterName"] == "api.example.com." and advice["ndots"] == 2
    assert advice["queries"] == 8 and advice["inVain"] == 6
    meanings = [q["meaning"] for q in json.loads(outside["out"])["queries"]]
    assert meanings.count("no such name: next") == 3 and "won" in meanings
    assert "musl takes this name as it is and does not try the search list" in searched["out"]
    queries = json.loads(cut["out"])["queries"]
    assert [q["over"] for q in queries if q["type"] == "A"] == ["udp", "tcp"]
    assert "cut: again over TCP" in [q["meaning"] for q in queries]
    assert json.loads(cut["out"])["advice"]["again"] == 0
