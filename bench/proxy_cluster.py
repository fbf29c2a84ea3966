"""The cluster of bench/proxy.py: Services of one port whose endpoints are addresses that one namespace has all of,
so that each of them answers. Some have a single endpoint, which changes between two addresses."""

import itertools
import json

import cluster

NODE, NODE_ADDRESS = "node-a", "192.168.9.1"
SERVICE_RANGE, FIRST_SERVICE = "10.96.0.0/12", (10 << 24) + (96 << 16) + 10
POD_RANGE, FIRST_POD = "10.128.0.0/10", (10 << 24) + (128 << 16) + 10
PORT, POD_PORT = 80, 8080
NAMESPACE = "shop"
NODES = 100


def service_ip(number):
    return cluster.dotted(FIRST_SERVICE + number)


def service_name(number):
    return f"s{number:06}"


def metadata(revision, **more):
    return {**more, "uid": f"uid-{next(revision)}", "resourceVersion": str(next(revision)),
            "creationTimestamp": cluster.CREATED}


def service(number, revision):
    ip = service_ip(number)
    return {"apiVersion": "v1", "kind": "Service",
            "metadata": metadata(revision, name=service_name(number), namespace=NAMESPACE),
            "spec": {"type": "ClusterIP", "clusterIP": ip, "clusterIPs": [ip], "ipFamilies": ["IPv4"],
                     "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster", "sessionAffinity": "None",
                     "ports": [{"name": "http", "protocol": "TCP", "port": PORT, "targetPort": POD_PORT}]}}


def endpoint_slice(number, addresses, revision):
    labels = {"kubernetes.io/service-name": service_name(number)}
    ready = {"ready": True, "serving": True, "terminating": False}
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": metadata(revision, name=service_name(number) + "-a", namespace=NAMESPACE, labels=labels),
            "addressType": "IPv4", "ports": [{"name": "http", "protocol": "TCP", "port": POD_PORT}],
            "endpoints": [{"addresses": [a], "conditions": ready, "nodeName": node_of(a)} for a in addresses]}


def node_of(address):
    """One in NODES is on the node that is measured."""
    number = int(address.rpartition(".")[2]) % NODES
    return f"node-{number}" if number else NODE


def surroundings(revision):
    yield {"apiVersion": "v1", "kind": "Node", "metadata": metadata(revision, name=NODE),
           "status": {"addresses": [{"type": "InternalIP", "address": NODE_ADDRESS}]}}
    yield {"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
           "metadata": metadata(revision, name="kubernetes"), "spec": {"cidrs": [SERVICE_RANGE]}}


def write_changing(folder, number, addresses, revision):
    file = service_name(number) + ".json"
    made = endpoint_slice(number, addresses[:1], revision)
    (folder / "before" / file).write_text(json.dumps(made))
    made["endpoints"][0]["addresses"] = [addresses[1]]
    (folder / "after" / file).write_text(json.dumps(made))
    return {"file": file, "service": service_ip(number), "before": addresses[0], "after": addresses[1]}


def write(folder, services, endpoints, changing):
    """What fakeapi.py reads; returns the entries of changes.json."""
    for name in ("manifests", "before", "after"):
        (folder / name).mkdir()
    revision, pods = itertools.count(1000), (cluster.dotted(n) for n in itertools.count(FIRST_POD))
    step = max(1, services // changing)
    listed, slices = [], []
    for number in range(services):
        if number % step == 0 and len(listed) < changing:
            listed.append(write_changing(folder, number, [next(pods), next(pods)], revision))
        else:
            slices.append(endpoint_slice(number, list(itertools.islice(pods, endpoints)), revision))
    manifests = folder / "manifests"
    cluster.write_lists(manifests, "around", surroundings(revision))
    cluster.write_lists(manifests, "services", (service(n, revision) for n in range(services)))
    cluster.write_lists(manifests, "slices", iter(slices))
    (folder / "changes.json").write_text(json.dumps(listed))
    return listed
