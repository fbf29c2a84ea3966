"""`signpost registry` and kube-apiserver write the same objects as the same protocol buffers."""
import http.client

import kube_proto
import kube_world
import pytest
from registry_objects import OBJECTS
from registry_world import PATHS, Registry

PROTO = kube_proto.MEDIA
CHANCE = ("uid", "resourceVersion", "creationTimestamp", "time", "lastTransitionTime", "clusterIP", "clusterIPs", "taints",
          "managedFields", "continue", "message")
NS = "forms"


class Alone(kube_world.Cluster):
    def start_controllers(self):
        """What they write would be in the one and not in the other."""


@pytest.fixture(scope="module")
def both(signpost, tmp_path_factory):
    if kube_world.missing():
        pytest.skip(kube_world.missing())
    with Alone(tmp_path_factory.mktemp("theirs")) as theirs, \
            Registry(signpost, tmp_path_factory.mktemp("ours"), "--controllers=false", "--service-cluster-ip-range", kube_world.RANGES,
                     memory=True) as ours:
        for call in theirs.call, ours.call:
            call("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NS}})
        ours.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-a"}})
        for obj in OBJECTS:
            meta = obj["metadata"] | ({} if obj["kind"] == "Node" else {"namespace": NS})
            involved = {"involvedObject": obj["involvedObject"] | {"namespace": NS}} if "involvedObject" in obj else {}
            for call in theirs.call, ours.call:
                call("POST", root(obj["kind"]), obj | involved | {"metadata": meta})
        yield theirs, ours


def root(kind):
    return PATHS[kind].format("namespaces/" + NS)


def ask(server, path, accept=PROTO):
    connection = server.connect()
    connection.request("GET", path, headers={"Authorization": "Bearer " + server.token, "Accept": accept})
    return connection.getresponse()


class Door:
    """Where either is asked."""

    def __init__(self, server):
        self.server = server
        self.token = kube_world.TOKEN if isinstance(server, Alone) else server.token

    def connect(self):
        if not isinstance(self.server, Alone):
            return self.server.connect()
        return http.client.HTTPSConnection("127.0.0.1", self.server.port, context=self.server.context(), timeout=30)


def order(value, key=None):
    """Without what is drawn by chance; keys in their order, for that of the fields counts."""
    if isinstance(value, dict):
        return [(k, None if k in CHANCE else order(v)) for k, v in value.items()]
    return [order(v) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize("obj", OBJECTS, ids=lambda o: o["kind"] + "-" + o["metadata"]["name"])
def test_same_messages(both, obj):
    seen = []
    for server in both:
        reply = ask(Door(server), root(obj["kind"]) + "/" + obj["metadata"]["name"])
        assert reply.getheader("Content-Type") == PROTO
        seen.append(order(kube_proto.read(reply.read(), zeros=True)))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("path", ["services", "services/none", "services?labelSelector=a%3Db", "nothing"])
def test_same_lists_and_failures(both, path):
    seen = []
    for server in both:
        reply = ask(Door(server), "/api/v1/namespaces/%s/%s" % (NS, path), PROTO + ",application/json")
        data = reply.read()
        made = kube_proto.read(data, zeros=True) if reply.getheader("Content-Type") == PROTO else data[:0]
        seen.append((reply.status, reply.getheader("Content-Type"), order(made)))
    assert seen[0] == seen[1]


def test_same_events(both):
    seen = []
    for server in both:
        reply = ask(Door(server), root("Service") + "?watch=1&timeoutSeconds=2&sendInitialEvents=true&"
                    "resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true")
        assert reply.getheader("Content-Type") == PROTO + ";stream=watch"
        seen.append([(kind, order(obj)) for kind, obj in kube_proto.events(reply)])
    assert seen[0] == seen[1] and seen[0][-1][0] == "BOOKMARK"


def test_discovery(both):
    """A group that both have alike: byte for byte, but for the hashes of how the original stores things."""
    group = [ask(Door(s), "/apis/discovery.k8s.io").read() for s in both]
    assert group[0] == group[1]
    seen = []
    for server in both:
        text = ask(Door(server), "/apis/discovery.k8s.io/v1").read()
        kind = "meta.APIResourceList"
        made = kube_proto.message(kind, dict(kube_proto.fields(text[4:]))[2])
        for resource in made["resources"]:
            resource.pop("storageVersionHash", None)
        seen.append(order(made))
    assert seen[0] == seen[1]
    v2 = PROTO + ";g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    seen = []
    for server in both:
        reply = ask(Door(server), "/apis", v2)
        assert reply.getheader("Content-Type") == v2
        items = [kube_proto.message("apidiscovery.APIGroupDiscovery", raw)
                 for n, raw in kube_proto.fields(dict(kube_proto.fields(reply.read()[4:]))[2]) if n == 2]
        seen += [order(i["versions"]) for i in items if i["metadata"]["name"] == "discovery.k8s.io"]
    assert len(seen) == 2 and seen[0] == seen[1]
