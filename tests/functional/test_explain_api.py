"""`signpost explain` on the objects of an API server, read through a kubeconfig file."""
import json
import subprocess

from registry_world import Registry, pod, service


def make(api, obj, status=None):
    made = api.create(obj)
    if status:
        made["status"] = status
        api.update(made, "/status")
    return made


def test_explain_on_an_api_server(signpost, tmp_path):
    running = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    with Registry(signpost, tmp_path, memory=True) as api:
        make(api, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "app"}})
        client = pod("c", "app", nodeName="n1",
                     dnsConfig={"options": [{"name": "ndots", "value": "2"}], "searches": ["corp.test"]})
        make(api, client, {**running, "podIPs": [{"ip": "10.244.1.9"}], "podIP": "10.244.1.9"})
        web = service("web", "app", selector={"app": "web"}, clusterIP="10.96.1.1")
        web = make(api, web)
        make(api, {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                   "metadata": {"name": "web-x", "namespace": "app",
                                "labels": {"kubernetes.io/service-name": "web"}},
                   "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
                   "endpoints": [{"addresses": ["10.244.1.3"], "conditions": {"ready": True}}]})

        def say(target):
            ran = subprocess.run([signpost, "explain", "app/c", target, "--kubeconfig", api.kubeconfig,
                                  "--output", "json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 text=True, timeout=60, check=False)
            assert ran.returncode in (0, 1), ran.stderr
            return json.loads(ran.stdout)

        said = say("web")
        assert said["reachable"], said["verdict"]
        # what the store does not keep of a Pod is asked for
        assert said["lookup"]["ndots"] == 2 and said["lookup"]["search"][-1] == "corp.test"
        assert [o["ip"] for o in said["ways"][0]["outcomes"]] == ["10.244.1.3"]
        said = say("wbe")
        assert [c["code"] for c in said["causes"]] == ["no-such-name"]
        assert said["near"] == ["web.app.svc.cluster.local."]
        # the range of cluster IPs is an object of the server's
        said = say("10.96.77.77")
        assert [c["code"] for c in said["causes"]] == ["no-such-address"], said
    ran = subprocess.run([signpost, "explain", "c", "web", "--kubeconfig", tmp_path / "nothing"],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert ran.returncode == 2 and "nothing" in ran.stderr


def test_the_corefile_is_asked_for(signpost, tmp_path):
    running = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    with Registry(signpost, tmp_path, memory=True) as api:
        make(api, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "app"}})
        make(api, pod("c", "app", nodeName="n1"), {**running, "podIPs": [{"ip": "10.244.1.9"}], "podIP": "10.244.1.9"})
        names = service("kube-dns", "kube-system", selector={"k8s-app": "kube-dns"}, clusterIP="10.96.0.10")
        names["spec"]["ports"] = [{"name": "dns", "port": 53, "protocol": "UDP"}]
        make(api, names)
        make(api, {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                   "metadata": {"name": "kube-dns-x", "namespace": "kube-system",
                                "labels": {"kubernetes.io/service-name": "kube-dns"}},
                   "ports": [{"name": "dns", "port": 53, "protocol": "UDP"}],
                   "endpoints": [{"addresses": ["10.244.1.2"], "conditions": {"ready": True}}]})

        def say():
            ran = subprocess.run([signpost, "explain", "app/c", "www.example.com", "--kubeconfig", api.kubeconfig,
                                  "--output", "json"], capture_output=True, text=True, timeout=60, check=False)
            assert ran.returncode in (0, 1), ran.stderr
            return json.loads(ran.stdout)

        assert say()["reachable"]
        make(api, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "coredns", "namespace": "kube-system"},
                   "data": {"Corefile": ".:53 {\n    forward . 127.0.0.1\n}\n"}})
        said = say()
        assert [c["code"] for c in said["causes"]] == ["forward-loop"], said
        assert "Corefile of ConfigMap kube-system/coredns:2" in said["verdict"]
