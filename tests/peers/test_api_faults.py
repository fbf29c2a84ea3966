"""Connections to a real API server that are dead without a word, where all requests share one (HTTP/2)."""
import subprocess

import kube_world
import pytest
from fault_relay import FaultRelay

RECOVERS = 40  # seconds; a request of the leader election waits for five


@pytest.fixture
def relay(cluster):
    with FaultRelay(cluster.port) as between:
        between.kubeconfig = cluster.kubeconfig("relay.json", {"token": "administrator"},
                                                "https://127.0.0.1:%d" % between.port)
        yield between


@pytest.fixture
def controller(signpost, cluster, relay, tmp_path):
    """Of Endpoints, which nobody else makes here."""
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([signpost, "controller", "--kubeconfig", relay.kubeconfig,
                                    "--controllers=endpoints-controller", "--metrics-bind-address="],
                                   stdout=log, stderr=log)
    process.log = (tmp_path / "log").read_text
    yield process
    process.terminate()
    assert process.wait(20) == 0, process.log()


def make(cluster, ns, name, ip):
    cluster.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": ns},
                    "spec": {"selector": {"app": name}, "ports": [{"port": 80}]}})
    cluster.add_pod(name, ip, ns, app=name)


def has(cluster, ns, name, ip):
    try:
        found = cluster.call("GET", cluster.at("Endpoints", name, ns))
    except kube_world.Refused:
        return False
    return [a["ip"] for s in found.get("subsets", []) for a in s.get("addresses", [])] == [ip]


def test_a_connection_that_is_dead(cluster, relay, controller):
    """It is noticed by the first request that gets no reply, and nothing is sent on it any more: neither is the Lease
    lost, nor do changes wait for the watches to notice by themselves."""
    ns = "dead-connection"
    cluster.add_namespace(ns)
    make(cluster, ns, "first", "10.1.0.1")
    cluster.until(lambda: has(cluster, ns, "first", "10.1.0.1"), RECOVERS, "the controller is at work")
    assert len(relay.connections) == 2  # the client's and the server's end of one
    relay.strand()
    make(cluster, ns, "second", "10.1.0.2")
    cluster.until(lambda: has(cluster, ns, "second", "10.1.0.2"), RECOVERS, "Endpoints of what came meanwhile")
    assert "no longer leading" not in controller.log()
    make(cluster, ns, "third", "10.1.0.3")
    cluster.until(lambda: has(cluster, ns, "third", "10.1.0.3"), 5, "and no waiting any more")
