"""`signpost proxy` with an API server: ServiceCIDRs, the Events that it writes, its own Node only."""
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "tests" / "lib"))
from apiserver import ApiServer  # noqa: E402

SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "t", "uid": "u1"},
           "spec": {"type": "ClusterIP", "clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"],
                    "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}}


def node(name):
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
            "status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]}}


def cidr(name, *ranges):
    return {"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": name},
            "spec": {"cidrs": list(ranges)}}


@pytest.fixture(params=[True, False], ids=["proto", "json"])
def api(request):
    with ApiServer(proto=request.param, stream=True) as server:
        server.page_size = 0
        for obj in (node("node1"), node("node2"), SERVICE, cidr("kubernetes", "10.96.0.0/16", "fd00:10:96::/112")):
            server.state.put(json.loads(json.dumps(obj)))
        yield server


def kubeconfig(tmp_path, api):
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps({
        "kind": "Config", "apiVersion": "v1", "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:%d" % api.port}}],
        "users": [{"name": "u", "user": {}}]}))
    return str(path)


def rules(signpost, tmp_path, api, *more):
    ran = subprocess.run([signpost, "proxy", "--print", "--kubeconfig", kubeconfig(tmp_path, api),
                          "--hostname-override=node1", *more], capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def ranges(text):
    return {word for line in re.findall(r"element ip6? signpost service-ranges { (.*) }", text)
            for word in line.split(", ")}


def test_service_cidrs(signpost, tmp_path, api):
    """All of them; what lies in another counts once. A flag is told instead."""
    assert ranges(rules(signpost, tmp_path, api)) == {"10.96.0.0/16", "fd00:10:96::/112"}
    api.state.put(cidr("more", "10.97.0.0/20"))
    api.state.put(cidr("inner", "10.96.4.0/24"))
    assert ranges(rules(signpost, tmp_path, api)) == {"10.96.0.0/16", "10.97.0.0/20", "fd00:10:96::/112"}
    told = rules(signpost, tmp_path, api, "--service-cluster-ip-range=10.9.0.0/16")
    assert ranges(told) == {"10.9.0.0/16"}


@pytest.mark.parametrize("status", [403, 404])
def test_without_service_cidrs(signpost, tmp_path, api, status):
    """A role or a server that does not know them keeps nothing else from being served."""
    api.faults["servicecidrs"] = [status] * 100
    text = rules(signpost, tmp_path, api)
    assert "10.96.0.10" in text and not ranges(text)


def test_own_node_only(signpost, tmp_path, api):
    rules(signpost, tmp_path, api)
    asked = [path for path, _ in api.requests if "/nodes?" in path]
    assert asked and all("fieldSelector=metadata.name%3Dnode1" in path for path in asked), asked


def events(api, reason):
    with api.state.changed:
        return [o for (kind, _, _), o in api.state.objects.items() if kind == "Event" and o["reason"] == reason]


def until(condition, process):
    end = time.monotonic() + 15
    while not condition():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.05)


# The API server is reached through a Unix socket: the proxy must not touch this machine's rules.
INSIDE = """ip link set lo up; ip addr add 10.9.9.9/32 dev lo
{python} -B {bridge} {port} {socket} >bridge &
{python} -c 'import socket, time; s = socket.create_server(("10.9.9.9", 30999)); print("ready", flush=True); time.sleep(60)' >taken &
until grep -q ready bridge && grep -q ready taken; do sleep 0.05; done
exec {signpost} proxy --kubeconfig {config} --hostname-override=node1 --conntrack-max-per-core=0 \\
    --nodeport-addresses=10.0.0.0/8 --iptables-min-sync-period=50ms"""


@pytest.mark.parametrize("api", [False], indirect=True, ids=["json"])
def test_events(signpost, tmp_path, api):
    """That it has started; that a port for health checks cannot be had."""
    enter = ["unshare", "-Urn"]
    if subprocess.run([*enter, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine gives no user namespaces")
    taken = json.loads(json.dumps(SERVICE))
    taken["metadata"].update(name="taken", uid="u2")
    taken["spec"].update(type="LoadBalancer", clusterIP="10.96.0.11", clusterIPs=["10.96.0.11"],
                         externalTrafficPolicy="Local", healthCheckNodePort=30999)
    api.state.put(taken)
    relay = subprocess.Popen([sys.executable, "-c", RELAY, str(tmp_path / "api"), str(api.port)],
                             stdout=subprocess.PIPE, text=True)
    assert relay.stdout.readline().strip() == "ready"
    inside = INSIDE.format(python=sys.executable, bridge=ROOT / "tests" / "lib" / "bridge.py", port=api.port,
                           socket=tmp_path / "api", signpost=signpost, config=kubeconfig(tmp_path, api))
    with open(tmp_path / "log", "wb") as log:
        proxy = subprocess.Popen([*enter, "sh", "-c", inside], cwd=tmp_path, stdout=log, stderr=log,
                                 start_new_session=True)
    try:
        until(lambda: events(api, "Starting") and events(api, "FailedToStartServiceHealthcheck"), proxy)
    finally:
        os.killpg(proxy.pid, signal.SIGKILL)
        relay.kill()
        proxy.wait()
        relay.wait()
    started, failed = events(api, "Starting")[0], events(api, "FailedToStartServiceHealthcheck")[0]
    assert started["involvedObject"]["kind"] == "Node" and started["involvedObject"]["name"] == "node1"
    assert started["metadata"]["namespace"] == "default" and started["type"] == "Normal"
    assert failed["involvedObject"]["kind"] == "Service" and failed["involvedObject"]["name"] == "taken"
    assert failed["metadata"]["namespace"] == "t" and failed["type"] == "Warning" and "30999" in failed["message"]


RELAY = """
import socket, sys, threading
def carry(a, b):
    try:
        while data := a.recv(65536):
            b.sendall(data)
    except OSError:
        pass
    for s in (a, b):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen(16)
print("ready", flush=True)
while True:
    client = listener.accept()[0]
    server = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
    threading.Thread(target=carry, args=(client, server), daemon=True).start()
    threading.Thread(target=carry, args=(server, client), daemon=True).start()
"""
