"""kubectl with the small Kubernetes API: what people do with it day by day. KUBECTL names the program, else it is the
one in PATH."""
import functools
import json
import os
import shutil
import subprocess
import time

import pytest
import yaml
from registry_world import Registry, config_map, pod, service

PROGRAM = os.environ.get("KUBECTL") or shutil.which("kubectl")
pytestmark = pytest.mark.skipif(not PROGRAM, reason="there is no kubectl")
WAIT = 60


class Kubectl:
    def __init__(self, registry, folder):
        self.registry, self.folder = registry, folder
        self.base = [PROGRAM, "--kubeconfig", registry.kubeconfig, "--cache-dir", str(folder / "cache")]

    def run(self, *words, text=None, env=None):
        return subprocess.run([*self.base, *words], input=text, capture_output=True, text=True, timeout=WAIT,
                              env={**os.environ, **(env or {})}, check=False)

    def __call__(self, *words, text=None, env=None):
        done = self.run(*words, text=text, env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refused(self, *words, text=None):
        done = self.run(*words, text=text)
        assert done.returncode != 0, done.stdout
        return done.stderr

    @functools.cached_property
    def minor(self):
        """That of Debian 12 is 1.20, which lacks some flags."""
        return int(json.loads(self("version", "--client", "-o", "json"))["clientVersion"]["minor"].rstrip("+"))


@pytest.fixture(scope="module")
def api(signpost, tmp_path_factory):
    with Registry(signpost, tmp_path_factory.mktemp("registry"), memory=True) as made:
        made.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-a"}, "status": {
            "capacity": {"cpu": "4", "memory": "8Gi"}, "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "all is well"}]}})
        yield made


@pytest.fixture(scope="module")
def kubectl(api, tmp_path_factory):
    return Kubectl(api, tmp_path_factory.mktemp("kubectl"))


@pytest.fixture
def ns(api, request):
    name = request.node.name.replace("_", "-").replace("[", "-").rstrip("]").lower()
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return name


def head(text):
    return text.splitlines()[0].split()


def test_get(api, kubectl, ns):
    api.create(service("web", ns, selector={"app": "web"}))
    api.create(pod("p", ns, nodeName="node-a"))
    api.patch("Pod", "p", {"status": {"phase": "Running", "podIP": "10.1.1.1", "podIPs": [{"ip": "10.1.1.1"}]}},
              sub="/status", ns=ns)
    table = kubectl("-n", ns, "get", "services")
    assert head(table) == ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"]
    assert table.splitlines()[1].split()[:2] == ["web", "ClusterIP"] and "80/TCP" in table
    assert head(kubectl("-n", ns, "get", "svc", "-o", "wide"))[-1] == "SELECTOR"
    wide = kubectl("-n", ns, "get", "pods", "-o", "wide")
    assert "10.1.1.1" in wide and "node-a" in wide and "Running" in wide
    assert "Ready" in kubectl("get", "nodes") and "192.0.2.1" in kubectl("get", "node", "-o", "wide")
    made = api.get("Service", "web", ns)
    whole = ["--show-managed-fields"] if kubectl.minor > 20 else []
    assert json.loads(kubectl("-n", ns, "get", "svc", "web", "-o", "json", *whole)) == made
    assert yaml.safe_load(kubectl("-n", ns, "get", "svc", "web", "-o", "yaml"))["spec"] == made["spec"]
    assert kubectl("-n", ns, "get", "svc", "-o", "jsonpath={.items[*].metadata.name}") == "web"
    assert kubectl("-n", ns, "get", "svc,pods", "-o", "name").split() == ["service/web", "pod/p"]
    listed = kubectl("-n", ns, "get", "all")
    assert "service/web" in listed and "pod/p" in listed
    assert kubectl("get", "svc", "-A", "--field-selector", "metadata.name=web", "-o", "name") == "service/web\n"
    assert kubectl("-n", ns, "get", "svc", "--chunk-size=1", "-o", "name") == "service/web\n"
    assert "NotFound" in kubectl.refused("-n", ns, "get", "svc", "none")
    assert "deployments" in kubectl.refused("-n", ns, "get", "deployments")


@pytest.mark.parametrize("form", ["wide", "json", "yaml", "name"])
def test_get_watch(api, kubectl, ns, form):
    api.create(service("web", ns))
    watching = subprocess.Popen([*kubectl.base, "-n", ns, "get", "svc", "-w", "-o", form], text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        read = ""
        while "web" not in read:
            line = watching.stdout.readline()
            assert line, watching.stderr.read()
            read += line
        api.create(service("second-one", ns))
        while "second-one" not in read:
            line = watching.stdout.readline()
            assert line, watching.stderr.read()
            read += line
    finally:
        watching.kill()
        watching.communicate()


def test_describe(api, kubectl, ns):
    api.create(service("web", ns, selector={"app": "web"}))
    made = pod("p", ns, nodeName="node-a")
    made["metadata"]["labels"] = {"app": "web"}
    api.create(made)
    api.patch("Pod", "p", {"status": {"phase": "Running", "podIP": "10.1.1.1", "podIPs": [{"ip": "10.1.1.1"}], "conditions": [
        {"type": "Ready", "status": "True"}]}}, sub="/status", ns=ns)
    end = time.monotonic() + WAIT
    while "10.1.1.1:8080" not in (shown := kubectl("-n", ns, "describe", "service", "web")):
        assert time.monotonic() < end, shown
    assert "Selector:" in shown and "app=web" in shown and "80/TCP" in shown
    api.create({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e", "namespace": ns}, "reason": "Started",
                "message": "it has begun", "type": "Normal", "involvedObject": {
                    "kind": "Pod", "name": "p", "namespace": ns, "uid": api.get("Pod", "p", ns)["metadata"]["uid"]}})
    shown = kubectl("-n", ns, "describe", "pod", "p")
    assert "nginx:1" in shown and "node-a" in shown and "it has begun" in shown
    shown = kubectl("describe", "node", "node-a")
    assert "KubeletReady" in shown and "8Gi" in shown and "p" in shown
    for kind in "namespace " + ns, "configmap", "endpoints", "serviceaccount", "lease":
        kubectl("-n", ns, "describe", *kind.split())
    if kubectl.minor > 20:  # before it was v1beta1
        assert "10.1.1.1" in kubectl("-n", ns, "describe", "endpointslice")


def test_apply(api, kubectl, ns, tmp_path):
    file = tmp_path / "all.yaml"

    def write(n, **ports):
        docs = [service("web", ns, selector={"app": "web"}, ports=[{"name": k, "port": v} for k, v in ports.items()]),
                config_map("m", ns, x=str(n)), pod("p", ns)]
        file.write_text("---\n".join(yaml.safe_dump(d) for d in docs))

    write(1, http=80, more=81)
    assert "service/web created" in kubectl("apply", "-f", str(file))
    assert "service/web unchanged" in kubectl("apply", "-f", str(file))
    write(2, http=80)
    done = kubectl("apply", "-f", str(file))
    assert "configmap/m configured" in done and "service/web configured" in done and "pod/p unchanged" in done
    assert [p["name"] for p in api.get("Service", "web", ns)["spec"]["ports"]] == ["http"]
    assert api.get("ConfigMap", "m", ns)["data"] == {"x": "2"}
    write(3, http=80)
    changed = kubectl.run("diff", "-f", str(file))
    assert changed.returncode == 1 and "+  x: \"3\"" in changed.stdout, changed.stderr
    assert "configured" in kubectl("apply", "-f", str(file), "--dry-run=server")
    assert api.get("ConfigMap", "m", ns)["data"] == {"x": "2"}
    bad = yaml.safe_dump(config_map("bad", ns) | {"datum": {"x": "1"}})
    assert "datum" in kubectl.refused("apply", "-f", "-", text=bad)
    kubectl("delete", "-f", str(file), "--grace-period=0", "--force")
    assert api.names("Service", ns) == []


def test_apply_on_the_server(api, kubectl, ns):
    text = yaml.safe_dump(config_map("m", ns, x="1"))
    assert "serverside-applied" in kubectl("apply", "--server-side", "-f", "-", text=text)
    assert "serverside-applied" in kubectl("apply", "--server-side", "-f", "-", text=text)
    other = yaml.safe_dump(config_map("m", ns, x="2", z="1"))
    said = kubectl.refused("apply", "--server-side", "--field-manager=other", "-f", "-", text=other)
    assert ".data.x" in said and "conflict" in said
    kubectl("apply", "--server-side", "--field-manager=other", "--force-conflicts", "-f", "-", text=other)
    assert api.get("ConfigMap", "m", ns)["data"] == {"x": "2", "z": "1"}
    kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", text=yaml.safe_dump(config_map("other", ns)))
    assert api.names("ConfigMap", ns) == ["m"]


def test_create_and_change(api, kubectl, ns):
    n = ["-n", ns]
    kubectl(*n, "create", "configmap", "m", "--from-literal=a=b")
    kubectl(*n, "create", "service", "clusterip", "one", "--tcp=80:8080")
    kubectl(*n, "create", "service", "nodeport", "two", "--tcp=80:8080")
    kubectl(*n, "create", "service", "externalname", "three", "--external-name=x.example")
    kubectl(*n, "create", "serviceaccount", "sa")
    kubectl("create", "namespace", ns + "-more")
    assert "already exists" in kubectl.refused(*n, "create", "configmap", "m")
    kubectl(*n, "run", "p", "--image=nginx", "--port=80", "--labels=app=p")
    kubectl(*n, "expose", "pod", "p", "--port=80", "--name=exposed")
    assert api.get("Service", "exposed", ns)["spec"]["selector"] == {"app": "p"}
    assert "created" in kubectl(*n, "create", "configmap", "dry", "--dry-run=server")
    assert "dry" not in api.names("ConfigMap", ns)
    kubectl(*n, "patch", "svc", "one", "-p", '{"spec":{"type":"NodePort"}}')
    kubectl(*n, "patch", "svc", "one", "--type=merge", "-p", '{"spec":{"sessionAffinity":"ClientIP"}}')
    kubectl(*n, "patch", "svc", "one", "--type=json", "-p", '[{"op":"add","path":"/metadata/labels/x","value":"y"}]')
    made = api.get("Service", "one", ns)
    assert made["spec"]["type"] == "NodePort" and made["spec"]["sessionAffinity"] == "ClientIP"
    assert made["metadata"]["labels"]["x"] == "y"
    if kubectl.minor >= 24:
        kubectl(*n, "patch", "pod", "p", "--subresource=status", "--type=merge", "-p", '{"status":{"phase":"Running"}}')
        assert api.get("Pod", "p", ns)["status"]["phase"] == "Running"
    kubectl(*n, "replace", "-f", "-", text=json.dumps(api.get("ConfigMap", "m", ns) | {"data": {"a": "c"}}))
    assert api.get("ConfigMap", "m", ns)["data"] == {"a": "c"}


def test_edit(api, kubectl, ns):
    api.create(config_map("m", ns, x="old"))
    out = kubectl("-n", ns, "edit", "configmap", "m", env={"EDITOR": "sed -i s/old/new/", "KUBE_EDITOR": "sed -i s/old/new/"})
    assert "edited" in out and api.get("ConfigMap", "m", ns)["data"] == {"x": "new"}


def test_label_and_annotate(api, kubectl, ns):
    api.create(config_map("m", ns))
    kubectl("-n", ns, "label", "cm", "m", "a=b")
    assert "overwrite" in kubectl.refused("-n", ns, "label", "cm", "m", "a=c")
    kubectl("-n", ns, "label", "cm", "m", "a=c", "--overwrite")
    kubectl("-n", ns, "annotate", "cm", "m", "note=some words")
    assert kubectl("-n", ns, "get", "cm", "-l", "a in (c,d)", "-o", "name") == "configmap/m\n"
    assert kubectl("-n", ns, "get", "cm", "-L", "a").splitlines()[1].split()[-1] == "c"
    kubectl("-n", ns, "label", "cm", "m", "a-")
    assert api.get("ConfigMap", "m", ns)["metadata"].get("labels") in (None, {})
    assert api.get("ConfigMap", "m", ns)["metadata"]["annotations"] == {"note": "some words"}
    assert "invalid" in kubectl.refused("-n", ns, "label", "cm", "m", "a=-b", "--overwrite").lower()


def test_delete(api, kubectl, ns):
    for n in range(4):
        api.create(config_map("m%d" % n, ns, labels={"odd": str(n % 2)}))
    assert 'configmap "m0" deleted' in kubectl("-n", ns, "delete", "cm", "m0")
    kubectl("-n", ns, "delete", "cm", "m2", "--dry-run=server")
    assert api.names("ConfigMap", ns) == ["m1", "m2", "m3"]
    kubectl("-n", ns, "delete", "cm", "-l", "odd=1")
    assert api.names("ConfigMap", ns) == ["m2"]
    kubectl("-n", ns, "delete", "cm", "--all")
    assert api.names("ConfigMap", ns) == []
    api.create(pod("p", ns, nodeName="node-a"))
    kubectl("-n", ns, "delete", "pod", "p", "--grace-period=0", "--force")
    assert api.names("Pod", ns) == []
    kubectl("delete", "namespace", ns)
    assert ns not in api.names("Namespace")


def test_explain(kubectl):
    text = kubectl("explain", "service.spec")
    for word in "clusterIPs", "headless", "trafficDistribution", "<string>":
        assert word in text, text
    text = kubectl("explain", "service.spec.ports.targetPort")
    assert "pods' port" in text and ("IntOrString" in text or kubectl.minor == 20)
    assert "conditions" in kubectl("explain", "endpointslice.endpoints")
    assert "kubernetes.io/service-name" in kubectl("explain", "endpointslices")
    assert "readinessProbe" in kubectl("explain", "pod.spec", "--recursive")
    for kind in ("namespace", "node", "pod", "service", "endpoints", "configmap", "event", "serviceaccount", "lease",
                 "endpointslice", "servicecidr", "ipaddress"):
        text = kubectl("explain", kind)
        assert "metadata" in text and "<empty>" not in text.split("FIELDS")[0], text
    assert "none" in kubectl.refused("explain", "service.spec.none")


def test_api_resources(kubectl):
    listed = kubectl("api-resources", "-o", "wide")
    for word in "endpointslices", "discovery.k8s.io/v1", "svc", "leases", "ipaddresses", "deletecollection":
        assert word in listed, listed
    assert "services" in kubectl("api-resources", "--namespaced=true", "-o", "name").split()
    versions = kubectl("api-versions").split()
    assert {"v1", "discovery.k8s.io/v1", "coordination.k8s.io/v1", "networking.k8s.io/v1"} <= set(versions)
    assert json.loads(kubectl("version", "-o", "json"))["serverVersion"]["major"] == "1"
    assert kubectl("get", "--raw", "/readyz") == "ok"
    assert "running" in kubectl("cluster-info")
    kubectl("auth", "can-i", "--help")


def test_readers_may_not_write(api, kubectl, tmp_path):
    config = str(api.credentials / "reader.conf")
    reader = Kubectl(api, tmp_path)
    reader.base[2] = config
    assert "default" in reader("get", "namespaces")
    assert "may only read" in reader.refused("create", "configmap", "x")


def test_what_one_may_do(api, kubectl, tmp_path):
    assert kubectl("auth", "can-i", "create", "pods").strip() == "yes"
    assert "*.*" in kubectl("auth", "can-i", "--list", "-n", "default")
    reader = Kubectl(api, tmp_path)
    reader.base[2] = api.kubeconfig.replace("admin.conf", "reader.conf")
    assert reader("auth", "can-i", "list", "pods").strip() == "yes"
    no = reader.run("auth", "can-i", "delete", "services")
    assert no.returncode == 1 and no.stdout.startswith("no - only members of system:masters may write")
    assert "[get list watch]" in reader("auth", "can-i", "--list", "-n", "default")


def test_what_is_not_offered_is_named(kubectl, api, ns):
    api.create(pod("p", ns, nodeName="node-a"))
    assert "pods/log is not offered by signpost registry" in kubectl.refused("get", "--raw", api.path("Pod", "p", ns) + "/log")
    assert "the server doesn't have a resource type \"deployment" in kubectl.refused("rollout", "status", "deployment/x")


def test_endpoints_are_answered_with_a_warning(kubectl, ns):
    done = kubectl.run("-n", ns, "get", "endpoints")
    assert "Warning: v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice" in done.stderr
    assert "Warning" not in kubectl.run("-n", ns, "get", "services").stderr
