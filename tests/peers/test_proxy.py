"""signpost proxy on a real API server."""
import subprocess

from kube_world import endpoint_slice, service


def test_print(cluster, signpost):
    cluster.add_namespace("proxy")
    ip = cluster.create(service("web", "proxy"))["spec"]["clusterIP"]
    cluster.create(endpoint_slice("web", "10.3.0.1", "10.3.0.2", namespace="proxy"))
    cluster.create(service("head", "proxy", ip="None"))
    cluster.create(endpoint_slice("head", "10.3.0.9", namespace="proxy"))
    cluster.create({**service("other", "proxy"), "metadata": {
        "name": "other", "namespace": "proxy", "labels": {"service.kubernetes.io/service-proxy-name": "x"}}})
    other = cluster.call("GET", cluster.at("Service", "other", "proxy"))["spec"]["clusterIP"]
    command = [signpost, "proxy", "--print", "--kubeconfig", cluster.admin, "--hostname-override", "node-a"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ip in ran.stdout and "10.3.0.1" in ran.stdout and "10.3.0.2" in ran.stdout
    assert "10.3.0.9" not in ran.stdout and other not in ran.stdout
