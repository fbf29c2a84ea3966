"""The small Kubernetes API: verbs, watches, lists in pieces, patches, access, and what survives."""
import json
import signal
import ssl
import subprocess
import time

import pytest
from registry_world import Refused, Registry, config_map, pod, service


@pytest.fixture(scope="module")
def api(signpost, tmp_path_factory):
    with Registry(signpost, tmp_path_factory.mktemp("registry"), memory=True) as made:
        yield made


@pytest.fixture
def ns(api, request):
    """A namespace of the test's own."""
    name = request.node.name.replace("_", "-").split("[")[0].lower()
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return name


def refused(call, *words, **more):
    with pytest.raises(Refused) as e:
        call(*words, **more)
    return e.value


def until(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


# ---- objects ----

def test_object_lives(api, ns):
    made = api.create(config_map("a", ns, x="1"))
    meta = made["metadata"]
    assert meta["uid"] and meta["creationTimestamp"] and int(meta["resourceVersion"]) > 0
    assert api.get("ConfigMap", "a", ns) == made
    made["data"]["y"] = "2"
    changed = api.update(made)
    assert int(changed["metadata"]["resourceVersion"]) > int(meta["resourceVersion"])
    assert api.update(changed) == changed, "what changes nothing is no new version"
    gone = api.delete("ConfigMap", "a", ns)
    assert (gone["kind"], gone["status"], gone["details"]["uid"]) == ("Status", "Success", meta["uid"])
    e = refused(api.get, "ConfigMap", "a", ns)
    assert (e.code, e.reason, e.status["details"]["kind"]) == (404, "NotFound", "configmaps")


def test_conflicts(api, ns):
    made = api.create(config_map("a", ns, x="1"))
    assert refused(api.create, config_map("a", ns)).reason == "AlreadyExists"
    api.update(made | {"data": {"x": "2"}})
    assert refused(api.update, made | {"data": {"x": "3"}}).reason == "Conflict"
    assert refused(api.delete, "ConfigMap", "a", ns, body={"preconditions": {"uid": "other"}}).code == 409
    assert refused(api.create, config_map("a", "nowhere")).status["message"] == 'namespaces "nowhere" not found'


def test_dry_run_leaves_nothing(api, ns):
    api.create(config_map("a", ns), dryRun="All")
    assert api.names("ConfigMap", ns) == []
    svc = api.create(service("s", ns), dryRun="All")
    assert svc["spec"]["clusterIP"] == "10.96.0.0"
    assert [i for i in api.list("IPAddress")["items"] if i["spec"]["parentRef"]["namespace"] == ns] == []


def test_unknown_fields(api, ns):
    odd = config_map("a", ns) | {"colour": "red"}
    e = refused(api.create, odd, fieldValidation="Strict")
    assert e.code == 400 and 'unknown field "colour"' in e.status["message"]
    made = api.create(odd)
    assert "colour" not in made and 'unknown field \\"colour\\"' in api.headers["Warning"]


@pytest.mark.parametrize("body, code", [
    (b"{", 400), (b"[]", 400), (b'"x"', 400), (b"{}", 422), (b"\xff\xfe", 400), (b"[" * 200, 400), (b"", 400),
    (json.dumps({"kind": "Service", "apiVersion": "v1"}), 400), (json.dumps({"apiVersion": "v2"}), 400),
    (json.dumps({"metadata": {"name": 5}}), 400), (json.dumps({"metadata": {"name": "a/b"}}), 422),
    (json.dumps({"metadata": {"name": "x", "namespace": "other"}}), 400), (3 * 1024 * 1024 + 1, 413),
])
def test_bad_bodies(api, body, code):
    connection, body = api.connect(), b" " * body if isinstance(body, int) else body
    reply = api.send(connection, "POST", api.path("ConfigMap"), body)
    assert reply.status == code, reply.read()


def test_bad_targets(api):
    for path, code in [("/api/v1/namespaces/default/configmaps/%zz", 400), ("/api/v2/pods", 404), ("/nothing", 404),
                       ("/api/v1/configmaps?labelSelector=a=b=c", 400), ("/api/v1/configmaps?limit=x", 400),
                       ("/api/v1/configmaps?fieldSelector=spec.x=1", 400), ("/api/v1/configmaps?continue=zz", 400),
                       ("/api/v1/configmaps?resourceVersion=999999999999999999", 504)]:
        assert refused(api.call, "GET", path).code == code, path
    e = refused(api.call, "GET", "/apis/apps/v1/namespaces/default/deployments")
    assert e.code == 404 and "deployments of apps/v1" in e.status["message"]
    assert refused(api.call, "POST", api.path("IPAddress"), {}).code == 405


# ---- lists and watches ----

def test_selectors(api, ns):
    for n, labels in enumerate([{"a": "1"}, {"a": "2"}, {"b": "1"}]):
        api.create(config_map("m%d" % n, ns, labels=labels))
    assert api.names("ConfigMap", ns, labelSelector="a") == ["m0", "m1"]
    assert api.names("ConfigMap", ns, labelSelector="a in (2,3)") == ["m1"]
    assert api.names("ConfigMap", ns, labelSelector="a!=1") == ["m1", "m2"]
    assert api.names("ConfigMap", ns, fieldSelector="metadata.name=m2") == ["m2"]
    api.create(pod("p", ns, nodeName="n1"))
    assert api.names("Pod", ns, fieldSelector="spec.nodeName=n1,status.phase!=Running") == ["p"]
    assert api.names("Pod", ns, fieldSelector="spec.nodeName=n2") == []


def test_pieces_show_one_moment(api, ns):
    for n in range(5):
        api.create(config_map("m%d" % n, ns))
    first = api.list("ConfigMap", ns, limit=2)
    assert first["metadata"]["remainingItemCount"] == 3
    api.delete("ConfigMap", "m3", ns)
    api.create(config_map("m9", ns))
    names, token = ["m0", "m1"], first["metadata"]["continue"]
    while token:
        piece = api.list("ConfigMap", ns, limit=2, **{"continue": token})
        assert piece["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        names += [i["metadata"]["name"] for i in piece["items"]]
        token = piece["metadata"].get("continue")
    assert names == ["m0", "m1", "m2", "m3", "m4"]


def test_watch(api, ns):
    api.create(config_map("old", ns, labels={"a": "1"}))
    version = api.list("ConfigMap", ns)["metadata"]["resourceVersion"]
    with api.watch("ConfigMap", ns, resourceVersion=version, labelSelector="a=1") as watch, \
            api.watch("ConfigMap", ns) as whole:
        assert whole.next()[0] == "ADDED"
        api.create(config_map("other", ns))
        api.patch("ConfigMap", "old", {"data": {"x": "1"}}, ns=ns)
        api.patch("ConfigMap", "old", {"metadata": {"labels": {"a": "2"}}}, ns=ns)
        api.patch("ConfigMap", "old", {"metadata": {"labels": {"a": "1"}}}, ns=ns)
        api.delete("ConfigMap", "old", ns)
        seen = [watch.next() for _ in range(4)]
        assert [kind for kind, _ in seen] == ["MODIFIED", "DELETED", "ADDED", "DELETED"]
        assert [kind for kind, _ in (whole.next() for _ in range(5))] == ["ADDED"] + ["MODIFIED"] * 3 + ["DELETED"]
        versions = [int(o["metadata"]["resourceVersion"]) for _, o in seen]
        assert versions == sorted(set(versions))
    with api.watch("ConfigMap", ns, resourceVersion=version) as again:
        assert [again.next()[0] for _ in range(5)] == ["ADDED"] + ["MODIFIED"] * 3 + ["DELETED"]


def test_watch_begins_with_the_state(api, ns):
    api.create(config_map("a", ns))
    with api.watch("ConfigMap", ns, sendInitialEvents="true", resourceVersionMatch="NotOlderThan",
                   allowWatchBookmarks="true") as watch:
        assert watch.next()[0] == "ADDED"
        kind, mark = watch.next()
        assert kind == "BOOKMARK" and mark["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    with api.watch("ConfigMap", ns, timeoutSeconds=1) as watch:
        assert watch.next()[0] == "ADDED" and watch.next() is None


def test_forgotten_history_is_gone(signpost, tmp_path):
    with Registry(signpost, tmp_path, "--history", "10", memory=True) as api:
        first = api.create(config_map("a"))
        for n in range(20):
            api.patch("ConfigMap", "a", {"data": {"n": str(n)}})
        with api.watch("ConfigMap", resourceVersion=first["metadata"]["resourceVersion"]) as watch:
            kind, status = watch.next()
            assert (kind, status["code"], status["reason"]) == ("ERROR", 410, "Expired") and watch.next() is None


@pytest.mark.parametrize("accept", ["application/json", "application/vnd.kubernetes.protobuf"])
def test_many_events_of_one_request(signpost, tmp_path, accept):
    """More than the history keeps: watches hear of all of them, in order, whoever else has ended meanwhile."""
    with Registry(signpost, tmp_path, "--history", "10", memory=True) as api:
        for n in range(60):
            api.create(config_map("m%02d" % n, x="y" * 2000))
        whole, some, gone = api.watch("ConfigMap"), api.watch("ConfigMap", fieldSelector="metadata.name=m33"), None
        gone = api.watch("ConfigMap")
        assert [whole.next()[1]["metadata"]["name"] for _ in range(60)] == ["m%02d" % n for n in range(60)]
        gone.close()
        connection = api.connect()
        proto = api.send(connection, "GET", api.path("ConfigMap", watch=1), accept=accept)
        assert proto.status == 200
        api.call("DELETE", api.path("ConfigMap"))
        events = [whole.next() for _ in range(60)]
        assert [(kind, o["metadata"]["name"]) for kind, o in events] == [("DELETED", "m%02d" % n) for n in range(60)]
        revisions = [int(o["metadata"]["resourceVersion"]) for _, o in events]
        assert revisions == sorted(set(revisions))
        assert [some.next()[0] for _ in range(2)] == ["ADDED", "DELETED"]
        stream = b""
        while stream.count(b"DELETED") < 60:
            stream += proto.read1(65536)
        assert stream.count(b"ADDED") == 60
        connection.close()


def test_scalars_of_yaml_and_quantities(api, ns):
    """As kube-apiserver takes them: YAML 1.1 has more truths and numbers than one might think."""
    def send(text, path):
        return api.call("POST", path, text, kind="application/yaml")
    made = send("apiVersion: v1\nkind: Service\nmetadata: {name: web, annotations: {on: 'y'}}\nspec:\n  ports:\n"
                "  - {port: 0x50, targetPort: 0o17}\n", api.path("Service", ns=ns))
    assert made["spec"]["ports"][0]["port"] == 80 and made["spec"]["ports"][0]["targetPort"] == 15
    assert made["metadata"]["annotations"] == {"true": "y"}
    config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\n"
    assert refused(send, config + "data: {x: y}", api.path("ConfigMap", ns=ns)).code == 400
    assert refused(send, config + "data: {x: .inf}", api.path("ConfigMap", ns=ns)).code == 400
    assert send(config + "immutable: y", api.path("ConfigMap", ns=ns))["immutable"] is True
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "q"},
            "status": {"capacity": {"memory": " +1E6", "cpu": "2000m", "pods": "0110"}}}
    status = api.create(node)["status"]
    assert status["capacity"] == {"memory": "+1E6", "cpu": "2", "pods": "0110"} == status["allocatable"]
    node["status"]["capacity"]["cpu"] = "-1"
    answer = refused(api.create, node | {"metadata": {"name": "r"}})
    assert answer.code == 422 and set(answer.fields) == {"status.capacity.cpu", "status.allocatable.cpu"}
    bad = pod("p", ns, containers=[{"name": "c", "image": "i", "resources": {"limits": {"cpu": "-1"}}}])
    answer = refused(api.create, bad)
    assert answer.code == 422 and "spec.containers[0].resources.limits[cpu]" in answer.fields


def test_reviews(api):
    """Who am I, and what may I do."""
    def ask(group, name, token=None, **spec):
        return api.call("POST", "/apis/%s/v1/%s" % (group, name), {"spec": spec} if spec else {}, token=token)["status"]
    reader = api.token_of("reader")
    who = ask("authentication.k8s.io", "selfsubjectreviews", reader)["userInfo"]
    assert who["username"] == "reader" and "system:authenticated" in who["groups"] and who["uid"] == "2"
    access = ("authorization.k8s.io", "selfsubjectaccessreviews")
    for token, verb, allowed in [(None, "delete", True), (reader, "watch", True), (reader, "delete", False)]:
        answer = ask(*access, token, resourceAttributes={"verb": verb, "resource": "pods"})
        assert answer["allowed"] is allowed and ("reason" in answer) is not allowed
    assert ask(*access, reader, nonResourceAttributes={"verb": "get", "path": "/metrics"})["allowed"]
    assert refused(ask, *access).code == 422
    assert refused(ask, *access, resourceAttributes={}, nonResourceAttributes={}).code == 422
    rules = ask("authorization.k8s.io", "selfsubjectrulesreviews", reader, namespace="default")
    assert rules["resourceRules"] == [{"verbs": ["get", "list", "watch"], "apiGroups": ["*"], "resources": ["*"]}]
    assert refused(ask, "authorization.k8s.io", "selfsubjectrulesreviews").code == 400
    assert refused(ask, *access, "wrong").code == 401
    assert refused(api.call, "POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", {}).code == 404


def test_revisions_of_what_is_not_kept(signpost, tmp_path):
    """A process that begins with nothing must not go on with numbers that meant something else."""
    api = Registry(signpost, tmp_path, memory=True)
    with api:
        before = api.create(config_map("a"))["metadata"]["resourceVersion"]
    with api:
        api.create(config_map("b"))
        with api.watch("ConfigMap", resourceVersion=before) as watch:
            kind, status = watch.next()
            assert (kind, status["code"], status["reason"]) == ("ERROR", 410, "Expired")


def test_tables(api, ns):
    api.create(service("web", ns, externalIPs=["192.0.2.7"]))
    table = api.call("GET", api.path("Service", None, ns), accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert table["kind"] == "Table"
    assert [c["name"] for c in table["columnDefinitions"]][:3] == ["Name", "Type", "Cluster-IP"]
    cells = table["rows"][0]["cells"]
    assert cells[0:2] == ["web", "ClusterIP"] and cells[3:5] == ["192.0.2.7", "80/TCP"]


# ---- patches and deletion ----

def test_patches(api, ns):
    api.create(service("s", ns, ports=[{"name": "a", "port": 1}, {"name": "b", "port": 2}]))
    made = api.patch("Service", "s", {"spec": {"ports": [{"port": 2, "targetPort": 9}]}}, "strategic", ns=ns)
    assert {p["port"]: p["targetPort"] for p in made["spec"]["ports"]} == {1: 1, 2: 9}
    made = api.patch("Service", "s", {"spec": {"ports": [{"port": 1, "$patch": "delete"}]}}, "strategic", ns=ns)
    assert [p["port"] for p in made["spec"]["ports"]] == [2]
    made = api.patch("Service", "s", [{"op": "test", "path": "/spec/ports/0/port", "value": 2},
                                      {"op": "add", "path": "/metadata/labels", "value": {"x": "y"}},
                                      {"op": "add", "path": "/metadata/labels/a.b~1c", "value": "d"}], "json", ns=ns)
    assert made["metadata"]["labels"] == {"x": "y", "a.b/c": "d"}
    assert refused(api.patch, "Service", "s", [{"op": "test", "path": "/spec/ports/0/port", "value": 3}], "json",
                   ns=ns).code == 422
    made = api.patch("Service", "s", {"metadata": {"labels": None}}, ns=ns)
    assert "labels" not in made["metadata"]


def test_finalizers_hold(api, ns):
    made = config_map("a", ns)
    made["metadata"]["finalizers"] = ["example.com/hold"]
    api.create(made)
    assert api.delete("ConfigMap", "a", ns)["metadata"]["deletionTimestamp"]
    assert api.names("ConfigMap", ns) == ["a"]
    api.patch("ConfigMap", "a", {"metadata": {"finalizers": None}}, ns=ns)
    assert api.names("ConfigMap", ns) == []


def test_pods_take_their_time(api, ns):
    api.create(pod("p", ns, nodeName="n1"))
    assert api.delete("Pod", "p", ns)["metadata"]["deletionGracePeriodSeconds"] == 30
    assert api.names("Pod", ns) == ["p"]
    api.delete("Pod", "p", ns, gracePeriodSeconds=0)
    assert api.names("Pod", ns) == []


def test_status_is_a_part(api, ns):
    made = api.create(pod("p", ns))
    assert made["status"]["phase"] == "Pending" and made["spec"]["restartPolicy"] == "Always"
    api.patch("Pod", "p", {"status": {"phase": "Running", "podIP": "10.1.1.1"}, "spec": {"nodeName": "x"}},
              sub="/status", ns=ns)
    made = api.patch("Pod", "p", {"status": {"phase": "Failed"}}, ns=ns)
    assert made["status"]["phase"] == "Running" and "nodeName" not in made["spec"]
    assert api.names("Pod", ns, fieldSelector="status.podIP=10.1.1.1") == ["p"]


def test_collection_goes(api, ns):
    for n in range(4):
        api.create(config_map("m%d" % n, ns, labels={"odd": str(n % 2)}))
    api.call("DELETE", api.path("ConfigMap", None, ns, labelSelector="odd=1"))
    assert api.names("ConfigMap", ns) == ["m0", "m2"]


# ---- who may ----

def test_access(api):
    reader = api.token_of("reader")
    assert api.call("GET", api.path("Service"), token=reader)["kind"] == "ServiceList"
    e = refused(api.call, "POST", api.path("ConfigMap"), config_map("a"), token=reader)
    assert (e.code, e.reason) == (403, "Forbidden")
    for token in "wrong", "", reader[:-1]:
        assert refused(api.call, "GET", api.path("Service"), token=token).code == 401
    connection = api.connect()
    assert api.send(connection, "GET", "/readyz", token="").read() == b"ok"
    assert api.call("GET", "/version", token="")["major"] == "1"


def test_client_certificates(api, tmp_path):
    folder = api.credentials
    for name, subject in ("boss", "/O=system:masters/CN=boss"), ("guest", "/CN=guest"):
        subprocess.run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                        tmp_path / (name + ".key"), "-out", tmp_path / "csr", "-subj", subject], check=True,
                       capture_output=True)
        subprocess.run(["openssl", "x509", "-req", "-in", tmp_path / "csr", "-CA", folder / "ca.crt", "-CAkey",
                        folder / "ca.key", "-CAcreateserial", "-CAserial", tmp_path / "serial", "-out",
                        tmp_path / (name + ".crt")], check=True, capture_output=True)
        connection = api.connect()
        connection._context.load_cert_chain(tmp_path / (name + ".crt"), tmp_path / (name + ".key"))
        reply = api.send(connection, "DELETE", api.path("ConfigMap", "none"), token="")
        assert reply.status == (404 if name == "boss" else 403)
    with pytest.raises((ssl.SSLError, OSError)):
        connection = api.connect()
        stranger = tmp_path / "stranger"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", stranger, "-out", tmp_path / "s.crt", "-subj", "/O=system:masters/CN=x"],
                       check=True, capture_output=True)
        connection._context.load_cert_chain(tmp_path / "s.crt", stranger)
        api.send(connection, "GET", api.path("Service"), token="").read()


# ---- what survives ----

def test_kill(signpost, tmp_path):
    registry = Registry(signpost, tmp_path)
    with registry:
        kept = []
        for turn in range(3):
            for n in range(20):
                kept.append(registry.create(config_map("m%d-%d" % (turn, n)))["metadata"]["name"])
            registry.delete("ConfigMap", kept.pop(0))
            version = int(registry.list("ConfigMap")["metadata"]["resourceVersion"])
            registry.stop(signal.SIGKILL)
            registry.start()
            assert registry.names("ConfigMap") == sorted(kept)
            assert int(registry.list("ConfigMap")["metadata"]["resourceVersion"]) >= version
        assert registry.stop() == 0


def test_one_process_a_file(signpost, tmp_path):
    with Registry(signpost, tmp_path) as registry:
        done = subprocess.run([signpost, "registry", "--listen", "127.0.0.1:0", "--data", registry.data],
                              capture_output=True, text=True, timeout=30, cwd=tmp_path)
        assert done.returncode == 1 and "another process has it" in done.stderr


@pytest.mark.parametrize("flags, words", [
    (["--listen", "x"], "--listen"), (["--service-cluster-ip-range", "10.0.0.0/33"], "--service-cluster-ip-range"),
    (["--service-cluster-ip-range", "10.0.0.0/16,10.1.0.0/16"], "same family"),
    (["--service-node-port-range", "9-1"], "--service-node-port-range"), (["--history", "-1"], "--history"),
    (["--insecure-http", "--listen", "0.0.0.0:0"], "--insecure-http"), (["more"], "unexpected argument"),
    (["--data", "/nowhere/x/y.db"], "/nowhere/x"),
])
def test_bad_options(signpost, tmp_path, flags, words):
    done = subprocess.run([signpost, "registry", *flags], capture_output=True, text=True, timeout=30, cwd=tmp_path)
    assert done.returncode == 1 and words in done.stderr


def owned_by(owner, name, ns):
    made = config_map(name, ns)
    made["metadata"]["ownerReferences"] = [{"apiVersion": "v1", "kind": owner["kind"], "uid": owner["metadata"]["uid"],
                                            "name": owner["metadata"]["name"]}]
    return made


def test_owned_objects_go(api, ns):
    owner = api.create(config_map("owner", ns))
    for name in "a", "b":
        api.create(owned_by(owner, name, ns))
    shared = owned_by(owner, "shared", ns)
    other = api.create(config_map("other", ns))
    shared["metadata"]["ownerReferences"] += owned_by(other, "x", ns)["metadata"]["ownerReferences"]
    api.create(shared)
    api.delete("ConfigMap", "owner", ns)
    until(lambda: api.names("ConfigMap", ns) == ["other", "shared"])
    assert [o["name"] for o in api.get("ConfigMap", "shared", ns)["metadata"]["ownerReferences"]] == ["other"]
    api.create(owned_by(owner, "late", ns))
    until(lambda: "late" not in api.names("ConfigMap", ns))
    api.delete("ConfigMap", "other", ns, propagationPolicy="Orphan")
    until(lambda: api.names("ConfigMap", ns) == ["shared"])
    assert "ownerReferences" not in api.get("ConfigMap", "shared", ns)["metadata"]


def test_foreground_waits_for_the_owned(api, ns):
    owner = api.create(config_map("owner", ns))
    held = owned_by(owner, "held", ns)
    held["metadata"]["finalizers"] = ["example.com/hold"]
    api.create(held)
    api.delete("ConfigMap", "owner", ns, propagationPolicy="Foreground")
    until(lambda: "deletionTimestamp" in api.get("ConfigMap", "held", ns)["metadata"])
    assert api.get("ConfigMap", "owner", ns)["metadata"]["finalizers"] == ["foregroundDeletion"]
    api.patch("ConfigMap", "held", {"metadata": {"finalizers": None}}, ns=ns)
    until(lambda: api.names("ConfigMap", ns) == [])


def test_namespace_ends(api, ns):
    made = config_map("held", ns)
    made["metadata"]["finalizers"] = ["example.com/hold"]
    api.create(made)
    api.create(service("s", ns))
    ip = api.get("Service", "s", ns)["spec"]["clusterIP"]
    api.delete("Namespace", ns)
    until(lambda: api.names("Service", ns) == [])
    assert api.get("Namespace", ns)["status"]["phase"] == "Terminating"
    e = refused(api.create, config_map("new", ns))
    assert e.code == 403 and "being terminated" in e.status["message"]
    assert ip not in api.names("IPAddress")
    api.patch("ConfigMap", "held", {"metadata": {"finalizers": None}}, ns=ns)
    until(lambda: ns not in api.names("Namespace"))


# ---- who owns which fields ----

def owners(obj):
    return {(e["manager"], e["operation"]): e["fieldsV1"] for e in obj["metadata"].get("managedFields", [])}


def applied(name, ns, **data):
    return json.dumps(config_map(name, ns, **data))


def test_managers(api, ns):
    made = api.create(service("s", ns, selector={"a": "b"}), fieldManager="one")
    assert owners(made) == {("one", "Update"): {"f:spec": {
        "f:internalTrafficPolicy": {}, "f:selector": {}, "f:sessionAffinity": {}, "f:type": {},
        "f:clusterIP": {}, "f:clusterIPs": {}, "f:ipFamilies": {}, "f:ipFamilyPolicy": {},
        "f:ports": {".": {}, 'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:name": {}, "f:port": {}, "f:protocol": {},
                                                                "f:targetPort": {}}}}}} or owners(made)
    made = api.patch("Service", "s", {"metadata": {"labels": {"x": "y"}}, "spec": {"selector": {"a": "c"}}}, ns=ns,
                     fieldManager="two")
    assert owners(made)["two", "Update"] == {"f:metadata": {"f:labels": {".": {}, "f:x": {}}}, "f:spec": {"f:selector": {}}}
    assert "f:selector" not in owners(made)["one", "Update"]["f:spec"]


def test_apply(api, ns):
    def apply(body, manager, **more):
        return api.patch("ConfigMap", "a", body, "apply", ns=ns, fieldManager=manager, **more)

    made = apply(applied("a", ns, x="1", y="1"), "one")
    assert owners(made) == {("one", "Apply"): {"f:data": {"f:x": {}, "f:y": {}}}}
    assert apply(applied("a", ns, x="1", y="1"), "one") == made
    e = refused(apply, applied("a", ns, x="2"), "two")
    assert (e.code, e.reason, e.fields) == (409, "Conflict", [".data.x"])
    assert e.status["details"]["causes"][0]["reason"] == "FieldManagerConflict"
    made = apply(applied("a", ns, x="2", z="1"), "two", force="true")
    assert made["data"] == {"x": "2", "y": "1", "z": "1"}
    assert owners(made) == {("one", "Apply"): {"f:data": {"f:y": {}}}, ("two", "Apply"): {"f:data": {"f:x": {}, "f:z": {}}}}
    made = apply(applied("a", ns, x="2"), "two")
    assert made["data"] == {"x": "2", "y": "1"}
    assert refused(apply, applied("a", ns), "").code == 422
    assert refused(apply, "kind: Service", "one").code == 400


def test_apply_merges_lists(api, ns):
    def apply(spec, manager):
        return api.patch("Service", "s", json.dumps(service("s", ns, **spec)), "apply", ns=ns, fieldManager=manager)

    apply({"ports": [{"name": "a", "port": 1}]}, "one")
    made = apply({"ports": [{"name": "b", "port": 2}]}, "two")
    assert [p["port"] for p in made["spec"]["ports"]] == [1, 2]
    made = apply({"ports": [{"name": "c", "port": 3}]}, "two")
    assert [p["port"] for p in made["spec"]["ports"]] == [1, 3]


# ---- folders of manifests ----

def test_manifests(signpost, tmp_path):
    folder = tmp_path / "manifests"
    (folder / "more").mkdir(parents=True)
    web = folder / "web.yaml"
    web.write_text("apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\n"
                   "spec: {ports: [{port: 80}], selector: {app: web}}\n---\n"
                   "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m, namespace: shop}\ndata: {x: '1'}\n")
    (folder / "more" / "list.json").write_text(json.dumps(
        {"apiVersion": "v1", "kind": "ConfigMapList", "items": [{"metadata": {"name": "n"}}]}))
    (folder / "odd.yaml").write_text("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n")
    registry = Registry(signpost, tmp_path, "--manifests", str(folder))
    with registry as api:
        assert api.get("Service", "web", "shop")["spec"]["clusterIP"].startswith("10.96.")
        assert api.names("ConfigMap") == ["n"] and "Deployment of apps/v1 is not offered" in registry.log()
        api.patch("ConfigMap", "m", {"data": {"mine": "kept"}}, ns="shop")
        api.create(config_map("hand", "shop"))
        web.write_text(web.read_text().replace("'1'", "'2'"))
        until(lambda: api.get("ConfigMap", "m", "shop")["data"] == {"x": "2", "mine": "kept"})
        web.write_text("{")
        until(lambda: "its objects stay as they were" in registry.log())
        assert api.get("Service", "web", "shop")
        web.write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m, namespace: shop}\ndata: {x: '2'}\n")
        until(lambda: api.names("Service", "shop") == [])
        registry.stop()
        web.unlink()
        registry.start()
        assert api.names("ConfigMap", "shop") == ["hand"] and api.names("ConfigMap") == ["n"]


def test_python_client(api, ns):
    """The client library of the Kubernetes project: list, watch, patch, and the deletion of a collection."""
    client = pytest.importorskip("kubernetes.client")
    config, watch = pytest.importorskip("kubernetes.config"), pytest.importorskip("kubernetes.watch")
    core = client.CoreV1Api(config.new_client_from_config(config_file=api.kubeconfig))
    core.create_namespaced_service(ns, client.V1Service(
        metadata=client.V1ObjectMeta(name="s"), spec=client.V1ServiceSpec(ports=[client.V1ServicePort(port=80)])))
    listed = core.list_namespaced_service(ns)
    assert [s.metadata.name for s in listed.items] == ["s"] and listed.items[0].spec.cluster_ip.startswith("10.96.")
    core.patch_namespaced_service("s", ns, {"metadata": {"labels": {"a": "b"}}})
    core.delete_namespaced_service("s", ns)
    seen = [(e["type"], e["object"].metadata.labels) for e in watch.Watch().stream(
        core.list_namespaced_service, ns, resource_version=listed.metadata.resource_version, timeout_seconds=1)]
    assert seen == [("MODIFIED", {"a": "b"}), ("DELETED", {"a": "b"})]
    core.create_namespaced_config_map(ns, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="m")))
    core.delete_collection_namespaced_config_map(ns)
    assert core.list_namespaced_config_map(ns).items == []
