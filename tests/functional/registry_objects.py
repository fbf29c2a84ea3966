"""Objects of all kinds that can be made, with what is easily lost on the way: empty texts, false, nothing in a list."""
from registry_world import config_map, pod, service

OBJECTS = [
    service("plain"), service("named", ports=[{"name": "a", "port": 1, "targetPort": "web"}, {"name": "b", "port": 2}],
                              selector={"b": "1", "a": "2"}, externalIPs=["192.0.2.1"], sessionAffinity="ClientIP"),
    config_map("m", labels={"z": "1", "a": "2"}, x="", y="text"),
    config_map("raw") | {"binaryData": {"a": "AAE=", "b": "", "c": "/w==", "d": "AAEC"}, "immutable": False},
    pod("p", nodeName="n", volumes=[{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}], containers=[
        {"name": "c", "image": "i", "resources": {"limits": {"cpu": "100m", "memory": "64Mi"}},
         "readinessProbe": {"tcpSocket": {"port": "web"}}, "env": [{"name": "A", "value": ""}]}]),
    {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "annotations": {"a": "\u00e9\n"}},
     "spec": {"podCIDR": "10.2.0.0/24", "taints": [{"key": "k", "effect": "NoSchedule"}]}},
    {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "s"}, "addressType": "IPv4",
     "endpoints": [{"addresses": ["10.1.1.1"], "conditions": {"ready": False}, "zone": "z"}],
     "ports": [{"port": 80, "name": ""}]},
    {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "e"}, "subsets": [
        {"addresses": [{"ip": "10.1.1.1", "targetRef": {"kind": "Pod", "name": "p"}}], "ports": [{"port": 80}]}]},
    {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"},
     "spec": {"renewTime": "2026-01-02T03:04:05.000006Z", "leaseTransitions": 0}},
    {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "ev", "namespace": "default"}, "reason": "r",
     "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"}, "count": 2},
    {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "sa"}, "automountServiceAccountToken": False},
]
