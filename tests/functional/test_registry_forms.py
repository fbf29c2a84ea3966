"""The forms in which the small Kubernetes API answers: protocol buffers, gzip, and what it refuses."""
import gzip
import json

import kube_proto
import pytest
import yaml
from registry_objects import OBJECTS
from registry_world import Registry, config_map, service

PROTO = kube_proto.MEDIA
@pytest.fixture(scope="module")
def api(signpost, tmp_path_factory):
    with Registry(signpost, tmp_path_factory.mktemp("registry"), "--controllers=false", memory=True) as made:
        for obj in OBJECTS:
            made.create(obj)
        yield made


def ask(api, path, accept=None, method="GET", body=None, kind="application/json", **headers):
    """(status, Content-Type, bytes, headers)"""
    connection = api.connect()
    try:
        connection.request(method, path, body, {
            "Authorization": "Bearer " + api.token, **({"Content-Type": kind} if body is not None else {}),
            **({"Accept": accept} if accept else {}), **{k.replace("_", "-"): v for k, v in headers.items()}})
        reply = connection.getresponse()
        return reply.status, reply.getheader("Content-Type"), reply.read(), reply.headers
    finally:
        connection.close()


@pytest.mark.parametrize("obj", OBJECTS, ids=lambda o: o["kind"] + "-" + o["metadata"]["name"])
def test_objects_in_protocol_buffers(api, obj):
    path = api.path(obj["kind"], obj["metadata"]["name"])
    status, kind, data, _ = ask(api, path, PROTO)
    assert (status, kind) == (200, PROTO)
    assert kube_proto.read(data) == api.call("GET", path)
    listed = kube_proto.read(ask(api, api.path(obj["kind"]), PROTO)[2])
    assert listed == api.list(obj["kind"])


def test_what_is_sent_comes_back(api):
    """The bytes of an answer are a body that says the same."""
    data = ask(api, api.path("Service", "named"), PROTO + ",application/json")[2]
    status, kind, again, _ = ask(api, api.path("Service", "named"), PROTO, "PUT", data, PROTO)
    assert (status, kind, again) == (200, PROTO, data)


def test_metadata_in_protocol_buffers(api):
    wish = "%s;as=%s;v=v1;g=meta.k8s.io"
    for what, path in ("PartialObjectMetadata", api.path("Service", "named")), ("PartialObjectMetadataList", api.path("Service")):
        status, kind, data, _ = ask(api, path, wish % (PROTO, what))
        assert (status, kind) == (200, PROTO)
        other = json.loads(ask(api, path, wish % ("application/json", what))[2])
        for item in other.get("items", []):
            assert item.pop("kind") == "PartialObjectMetadata" and item.pop("apiVersion") == "meta.k8s.io/v1"
        assert kube_proto.read(data) == other
    status, kind, data, _ = ask(api, api.path("Service"), wish % (PROTO, "Table") + ",application/json")
    assert (status, kind, json.loads(data)["kind"]) == (200, "application/json", "ServiceList")
    assert ask(api, api.path("Service"), wish % (PROTO, "Table"))[0] == 406


def test_failures_in_protocol_buffers(api):
    for method, path, body in [("GET", api.path("Service", "none"), None), ("POST", api.path("Service"), json.dumps(
            service("x", type="Bogus"))), ("DELETE", api.path("Service", "none"), None)]:
        status, kind, data, _ = ask(api, path, PROTO, method, body)
        other = json.loads(ask(api, path, None, method, body)[2])
        read = kube_proto.read(data)
        assert (status, kind, read) == (other["code"], PROTO, other)


def test_watch_in_protocol_buffers(api):
    path = api.path("ConfigMap", None, watch=1, timeoutSeconds=2, fieldSelector="metadata.name=m",
                    sendInitialEvents="true", resourceVersionMatch="NotOlderThan", allowWatchBookmarks="true")
    connections = [api.connect() for _ in range(2)]
    replies = []
    for connection, accept in zip(connections, [PROTO, PROTO + ";stream=watch,application/json"]):
        replies.append(api.send(connection, "GET", path, accept=accept))
        assert replies[-1].getheader("Content-Type") == PROTO + ";stream=watch"
    api.patch("ConfigMap", "m", {"data": {"x": "seen"}})
    for reply, connection in zip(replies, connections):
        seen = list(kube_proto.events(reply))
        assert [kind for kind, _ in seen] == ["ADDED", "BOOKMARK", "MODIFIED"]
        assert seen[1][1]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert seen[2][1] == api.get("ConfigMap", "m")
        connection.close()


def test_lost_history_in_protocol_buffers(signpost, tmp_path):
    with Registry(signpost, tmp_path, "--history", "10", memory=True) as api:
        version = api.create(config_map("a"))["metadata"]["resourceVersion"]
        for n in range(20):
            api.patch("ConfigMap", "a", {"data": {"n": str(n)}})
        connection = api.connect()
        reply = api.send(connection, "GET", api.path("ConfigMap", None, watch=1, resourceVersion=version), accept=PROTO)
        (kind, status), = kube_proto.events(reply)
        assert (kind, status["kind"], status["code"], status["reason"]) == ("ERROR", "Status", 410, "Expired")


@pytest.mark.parametrize("how", ["application/json", PROTO])
def test_long_answers_are_packed(api, how):
    big = "y" * 70000
    for name in "big-a", "big-b":
        if name not in api.names("ConfigMap"):
            api.create(config_map(name, x=big))
    plain = ask(api, api.path("ConfigMap"), how)
    packed = ask(api, api.path("ConfigMap"), how, Accept_Encoding="deflate, gzip")
    assert plain[3].get("Content-Encoding") is None and len(plain[2]) > 131072
    assert (packed[3]["Content-Encoding"], packed[3]["Vary"], packed[1]) == ("gzip", "Accept-Encoding", how)
    assert gzip.decompress(packed[2]) == plain[2] and len(packed[2]) < 10000
    for path, asked in [(api.path("ConfigMap"), "br"), (api.path("ConfigMap"), "gzip;q=0"),
                        (api.path("ConfigMap", "big-a"), "gzip"), ("/openapi/v2", "gzip"), ("/metrics", "gzip"),
                        (api.path("ConfigMap", None, watch=1, timeoutSeconds=1), "gzip")]:
        assert ask(api, path, how if "openapi" not in path else None, Accept_Encoding=asked)[3].get("Content-Encoding") is None, path


def test_forms_that_are_not_offered(api):
    for accept in "application/cbor", "text/html", "application/cbor-seq":
        status, kind, data, _ = ask(api, api.path("ConfigMap"), accept)
        assert (status, json.loads(data)["reason"]) == (406, "NotAcceptable")
    for kind in "application/cbor", "text/plain":
        status, _, data, _ = ask(api, api.path("ConfigMap"), None, "POST", b"x", kind)
        assert (status, json.loads(data)["reason"]) == (415, "UnsupportedMediaType")
    assert ask(api, api.path("ConfigMap", None, watch=1), "application/yaml")[0] == 406


V2 = ";g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def discovery(api, path, accept):
    connection = api.connect()
    reply = api.send(connection, "GET", path, accept=accept)
    text = reply.read()
    connection.close()
    return reply.status, reply.getheader("Content-Type"), text


def payload(text):
    assert text[:4] == b"k8s\0"
    return dict(kube_proto.fields(text[4:]))[2]


@pytest.mark.parametrize("path, kind", [
    ("/api", "APIVersions"), ("/apis", "APIGroupList"), ("/api/v1", "APIResourceList"),
    ("/apis/discovery.k8s.io", "APIGroup"), ("/apis/discovery.k8s.io/v1", "APIResourceList")])
def test_discovery_in_all_forms(api, path, kind):
    plain = json.loads(discovery(api, path, "application/json")[2])
    assert plain["kind"] == kind
    status, media, text = discovery(api, path, "application/vnd.kubernetes.protobuf,application/json")
    assert (status, media) == (200, "application/vnd.kubernetes.protobuf")
    made = kube_proto.lean("meta." + kind, kube_proto.message("meta." + kind, payload(text)))
    for resource in made.get("resources", []):
        resource["verbs"] = resource["verbs"]["items"]
    assert {"kind": kind} | ({} if kind == "APIVersions" else {"apiVersion": "v1"}) | made == plain
    status, media, text = discovery(api, path, "application/yaml")
    assert (status, media) == (200, "application/yaml") and yaml.safe_load(text) == plain
    assert discovery(api, path, "text/html")[0] == 406


@pytest.mark.parametrize("path", ["/api", "/apis"])
def test_aggregated_discovery_in_both_forms(api, path):
    plain = json.loads(discovery(api, path, "application/json" + V2)[2])
    status, media, text = discovery(api, path, "application/vnd.kubernetes.protobuf" + V2 + ",application/json" + V2)
    assert (status, media) == (200, "application/vnd.kubernetes.protobuf" + V2)
    kind = "apidiscovery.APIGroupDiscovery"
    items = [kube_proto.lean(kind, kube_proto.message(kind, raw)) for n, raw in kube_proto.fields(payload(text)) if n == 2]
    assert [i["versions"] for i in items] == [i["versions"] for i in plain["items"]]
    assert [i["metadata"].get("name") for i in items] == [i["metadata"].get("name") for i in plain["items"]]
