"""`signpost registry` beside kube-apiserver: the same random requests to both, and the same answers, but for what
is drawn by chance. REGISTRY_REQUESTS sets how many, REGISTRY_SEED which."""
import copy
import json
import os
import random
import re

import kube_world
import pytest
from registry_world import Refused, Registry

REQUESTS = int(os.environ.get("REGISTRY_REQUESTS", "2000"))
SEED = int(os.environ.get("REGISTRY_SEED", "1"))
NS = "play"
ROOTS = {"Service": "/api/v1/namespaces/play/services", "ConfigMap": "/api/v1/namespaces/play/configmaps",
         "Pod": "/api/v1/namespaces/play/pods", "Endpoints": "/api/v1/namespaces/play/endpoints",
         "EndpointSlice": "/apis/discovery.k8s.io/v1/namespaces/play/endpointslices",
         "Lease": "/apis/coordination.k8s.io/v1/namespaces/play/leases",
         "ServiceAccount": "/api/v1/namespaces/play/serviceaccounts", "Node": "/api/v1/nodes"}
API = {"EndpointSlice": "discovery.k8s.io/v1", "Lease": "coordination.k8s.io/v1"}
NAMES = ["a", "b", "c", "d"]
PATCHES = {"merge": "application/merge-patch+json", "strategic": "application/strategic-merge-patch+json",
           "json": "application/json-patch+json", "apply": "application/apply-patch+yaml"}


class Dice(random.Random):
    def some(self, **maybe):
        """Each member with a chance of one in two."""
        return {k: v() if callable(v) else v for k, v in maybe.items() if self.random() < 0.5}


def meta(dice, name):
    labels = {dice.choice(["app", "x.example/y", "bad key"] if dice.random() < 0.1 else ["app", "tier"]):
              dice.choice(["a", "b", "", "not ok"] if dice.random() < 0.1 else ["a", "b"])}
    made = {"name": name, **dice.some(labels=labels, annotations={"k": dice.choice("xyz")})}
    if dice.random() < 0.05:
        made["finalizers"] = [dice.choice(["example.com/f", "nodomain", "bad/fin/alizer"])]
    return made


def port(dice):
    made = {"port": dice.choice([80, 81, 443, 0, 70000, 10250] if dice.random() < 0.2 else [80, 81, 443])}
    made |= dice.some(name=lambda: dice.choice(["http", "a", "Bad"] if dice.random() < 0.2 else ["http", "b"]),
                      protocol=lambda: dice.choice(["TCP", "UDP", "tcp"] if dice.random() < 0.2 else ["TCP", "UDP"]),
                      targetPort=lambda: dice.choice([8080, "web", 0, "Bad_Name", "12345678901234567890"]))
    if dice.random() < 0.15:
        made["nodePort"] = dice.choice([30001, 30002, 80])
    if dice.random() < 0.1:
        made["appProtocol"] = dice.choice(["http", "example.com/x", "a b"])
    return made


def service_spec(dice):
    kinds = ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"]
    spec = {"ports": [port(dice) for _ in range(dice.choice([1, 1, 2, 0]))]}
    spec |= dice.some(type=lambda: dice.choice(kinds + ["Bogus"] if dice.random() < 0.1 else kinds),
                      selector={"app": "a"},
                      sessionAffinity=lambda: dice.choice(["None", "ClientIP", "Bogus"]))
    more = {"clusterIP": ["None", "10.96.3.3", "10.97.0.1", "bogus", ""], "externalName": ["x.example.", "a_b", ""],
            "clusterIPs": [["10.96.3.4"], ["None"], ["10.96.3.4", "fd00:10:96::44"], ["fd00:10:96::5"]],
            "ipFamilyPolicy": ["SingleStack", "PreferDualStack", "RequireDualStack", "Bogus"],
            "ipFamilies": [["IPv4"], ["IPv6"], ["IPv6", "IPv4"], ["IPv4", "IPv4"]],
            "externalIPs": [["192.0.2.1"], ["127.0.0.1"], ["x"]],
            "externalTrafficPolicy": ["Local", "Cluster", "Bogus"], "internalTrafficPolicy": ["Local", "Bogus"],
            "healthCheckNodePort": [30055, 80], "loadBalancerSourceRanges": [["10.0.0.0/8"], ["x"]],
            "loadBalancerClass": ["example.com/x", "a b"], "allocateLoadBalancerNodePorts": [False, True],
            "publishNotReadyAddresses": [True], "trafficDistribution": ["PreferClose", "Bogus"],
            "sessionAffinityConfig": [{"clientIP": {"timeoutSeconds": 5}}, {"clientIP": {"timeoutSeconds": 0}}]}
    for name, values in more.items():
        if dice.random() < 0.07:
            spec[name] = dice.choice(values)
    if spec.get("type") == "ExternalName":  # in a change to this type the original keeps an address unchecked
        spec.pop("clusterIP", None)
    return spec


def body(dice, kind, name):
    made = {"apiVersion": API.get(kind, "v1"), "kind": kind, "metadata": meta(dice, name)}
    if kind == "Service":
        made["spec"] = service_spec(dice)
    elif kind == "ConfigMap":
        made |= dice.some(data=lambda: {dice.choice(["k", "l", "b/d"]): dice.choice("xy")},
                          binaryData=lambda: {dice.choice("mn"): "AAE="}, immutable=lambda: dice.random() < 0.1)
    elif kind == "Pod":
        container = {"name": dice.choice(["c", "C_"] if dice.random() < 0.1 else ["c"]), "image": dice.choice(["i", "i:1", "h/i:latest"])}
        container |= dice.some(ports=lambda: [{"containerPort": dice.choice([80, 0, 8080]), **dice.some(name="web")}],
                               env=lambda: [{"name": "A", "value": dice.choice("xy")}],
                               resources=lambda: {"limits": {"memory": dice.choice(["64Mi", "64Mi", "0.5Gi", "65536Ki"]),
                                                             "cpu": dice.choice(["100m", "100m", "0.1", "1000m", 2])}},
                               readinessProbe={"httpGet": {"port": 80}})
        made["spec"] = {"containers": [container], **dice.some(
            restartPolicy=lambda: dice.choice(["Always", "Never", "Bogus"]), nodeName="node-a",
            hostname="h", terminationGracePeriodSeconds=0, nodeSelector={"a": "b"}, dnsPolicy="Default")}
    elif kind == "EndpointSlice":
        made["addressType"] = dice.choice(["IPv4", "IPv4", "IPv6", "FQDN", "Bogus"] if dice.random() < 0.2 else ["IPv4"])
        made["endpoints"] = [{"addresses": [dice.choice(["10.1.1.1", "10.1.1.2", "127.0.0.1", "::1", "x.example"]
                                                        if dice.random() < 0.2 else ["10.1.1.1", "10.1.1.2"])],
                              **dice.some(conditions={"ready": True}, hostname="h", nodeName="n", zone="z")}
                             for _ in range(dice.choice([0, 1, 2]))]
        made |= dice.some(ports=lambda: [dice.some(port=80, name="a", protocol="UDP", appProtocol="x")
                                         for _ in range(dice.choice([1, 1, 2]))])
    elif kind == "Endpoints":
        made |= dice.some(subsets=lambda: [dice.some(addresses=[{"ip": dice.choice(["10.1.1.1", "127.0.0.1", "x"])}],
                                                     ports=[{"port": dice.choice([80, 0]), **dice.some(name="a", protocol="UDP")}])])
    elif kind == "Lease":
        made |= dice.some(spec=lambda: dice.some(holderIdentity="me", leaseDurationSeconds=lambda: dice.choice([15, 0]),
                                                 renewTime="2026-01-02T03:04:05.000006Z", leaseTransitions=1))
    elif kind == "Node":
        made |= dice.some(spec=lambda: dice.some(unschedulable=True, podCIDR="10.2.0.0/24"))
    elif dice.random() < 0.3:
        made["automountServiceAccountToken"] = False
    if dice.random() < 0.04:
        made[dice.choice(["bogus", "Spec"])] = 1
    if dice.random() < 0.03 and kind != "Service":  # a Service without a name keeps the original busy for a minute
        made["metadata"] = dice.choice([None, 5, {"name": 5}, {"name": name, "labels": ["a"]}])
    return made


def patch(dice, kind, name):
    how = dice.choice(list(PATCHES))
    made = body(dice, kind, name)
    if how == "apply":
        return how, made
    if how == "json":
        where = dice.choice(["/metadata/labels", "/spec/ports/0/port", "/data/k", "/spec/type", "/nothing/here", "/spec/ports/-"])
        what = dice.choice(["add", "replace", "remove", "test"])
        return how, [{"op": what, "path": where, **({} if what == "remove" else {"value": dice.choice([{"app": "b"}, 82, "x", {"port": 90, "name": "n"}])})}]
    part = {k: v for k, v in made.items() if k not in ("kind", "apiVersion") and dice.random() < 0.7}
    if isinstance(part.get("metadata"), dict):
        part["metadata"].pop("name", None)
    if dice.random() < 0.2:
        part.setdefault("metadata", {"labels": None})
    return how, part


class Both:
    """What either server is asked, with what the other has drawn."""

    def __init__(self, theirs, ours):
        self.servers = {"theirs": theirs, "ours": ours}
        self.last = {"theirs": {}, "ours": {}}  # path -> object

    def ask(self, method, path, data=None, kind="application/json", old=None):
        answers = {}
        for who, call in self.servers.items():
            sent = copy.deepcopy(data)
            if old and isinstance(sent, dict) and isinstance(sent.get("metadata"), dict):
                known = self.last[who].get(old)
                if known and known["metadata"].get("resourceVersion"):
                    sent["metadata"]["resourceVersion"] = known["metadata"]["resourceVersion"]
            answers[who] = call(method, path, sent, kind)
            code, doc = answers[who]
            if code < 300 and method != "DELETE" and "dryRun" not in path and (doc.get("metadata") or {}).get("name"):
                bare = re.sub(r"\?.*", "", path)
                self.last[who][bare + "/" + doc["metadata"]["name"] if method == "POST" else bare] = doc
        return answers


# What is drawn by chance; a list's token; what a Node waits for a controller to take away.
CHANCE = ("continue", "taints", "uid", "resourceVersion", "creationTimestamp", "time", "deletionTimestamp", "managedFields")


def plain(value, drawn, key=None):
    """Without what is drawn by chance: addresses and ports that nobody asked for become one word."""
    if isinstance(value, dict):
        hidden = ("internalTrafficPolicy",) if value.get("type") == "ExternalName" else ()  # shown in some answers
        return {k: plain(v, drawn, k) for k, v in value.items() if k not in CHANCE + hidden}
    if isinstance(value, list):
        return [plain(v, drawn, key) for v in value]
    if key in ("clusterIP", "clusterIPs") and value not in drawn and value != "None":
        return "drawn6" if ":" in str(value) else "drawn"
    if key in ("nodePort", "healthCheckNodePort") and value not in drawn:
        return "drawn"
    return value


def text(dice_body):
    return json.dumps(dice_body)


GIVEN = {"10.96.3.3", "10.96.3.4", "fd00:10:96::44", "fd00:10:96::5", 30001, 30002, 30055, 80}


def verdict(answer):
    """What clients go by: the code, the reason, the fields that are wrong; else the object."""
    code, doc = answer
    if code >= 400:
        details = doc.get("details") or {}
        return code, doc.get("reason"), details.get("name"), details.get("kind"), sorted(
            {(c.get("reason"), c.get("field")) for c in details.get("causes") or []}, key=str)
    return code, plain(doc, GIVEN)


def managers(answer):
    doc = answer[1]
    if answer[0] >= 300 or not isinstance(doc.get("metadata"), dict):
        return None
    return sorted(((e["manager"], e["operation"], e.get("subresource"), json.dumps(e["fieldsV1"], sort_keys=True))
                   for e in doc["metadata"].get("managedFields", [])), key=str)


def request(dice):
    kind = dice.choice(["Service"] * 6 + ["Pod", "EndpointSlice"] * 2 + list(ROOTS))
    root, name = ROOTS[kind], dice.choice(NAMES)
    path = root + "/" + name
    options = "?fieldManager=" + dice.choice(["one", "two"])
    if dice.random() < 0.1:
        options += "&dryRun=All"
    if dice.random() < 0.1:
        options += "&fieldValidation=" + dice.choice(["Strict", "Ignore", "Warn", "Bogus"])
    what = dice.random()
    if what < 0.35:
        return "POST", root + options, body(dice, kind, name), "application/json", None
    if what < 0.55:
        return "PUT", path + options, body(dice, kind, name), "application/json", dice.choice([path, path, None])
    if what < 0.80:
        how, made = patch(dice, kind, name)
        if how == "apply" and dice.random() < 0.5:
            options += "&force=true"
        return "PATCH", path + options, made, PATCHES[how], None
    if what < 0.9:
        zero = "?gracePeriodSeconds=0" if dice.random() < 0.7 else ""
        return "DELETE", path + zero, None, "application/json", None
    if what < 0.95:
        return "GET", path, None, "application/json", None
    return "GET", root + "?" + dice.choice(["labelSelector=app", "labelSelector=app%3Da", "fieldSelector=metadata.name%3Da", "limit=1", "labelSelector=%3D%3D"]), \
        None, "application/json", None


def compare(both, dice, n):
    """Asks n times; the differences as texts."""
    found = []
    for i in range(n):
        method, path, data, kind, old = request(dice)
        answers = both.ask(method, path, data, kind, old)
        a, b = verdict(answers["theirs"]), verdict(answers["ours"])
        same = a == b
        if same and "/nodes" not in path and managers(answers["theirs"]) != managers(answers["ours"]):
            same, a, b = False, managers(answers["theirs"]), managers(answers["ours"])
        if not same:
            found.append("%d: %s %s %s\n   theirs: %s\n   ours:   %s\n   %s | %s" % (
                i, method, path, text(data), a, b, str(answers["theirs"][1].get("message"))[:300], str(answers["ours"][1].get("message"))[:300]))
            for call in both.servers.values():  # from the same state on
                for name in NAMES:
                    root = next(r for r in ROOTS.values() if path.startswith(r))
                    call("PATCH", root + "/" + name, {"metadata": {"finalizers": None}}, PATCHES["merge"])
                    call("DELETE", root + "/" + name + "?gracePeriodSeconds=0", None, "application/json")
    return found


def asker(cluster):
    def ask(method, path, data, kind):
        try:
            return 200, cluster.call(method, path, data, kind=kind)
        except kube_world.Refused as e:
            word = str(e).split(": ", 1)[1]
            return e.status, json.loads(word) if word.startswith("{") else {"message": word}
    return ask


def ours_asker(registry):
    def ask(method, path, data, kind):
        try:
            return 200, registry.call(method, path, data, kind=kind)
        except Refused as e:
            return e.code, e.status
    return ask


class Alone(kube_world.Cluster):
    def start_controllers(self):
        """What they write would be in the one and not in the other."""


def test_same_answers(signpost, tmp_path):
    if kube_world.missing():
        pytest.skip(kube_world.missing())
    (tmp_path / "theirs").mkdir()
    with Alone(tmp_path / "theirs") as theirs, \
            Registry(signpost, tmp_path, "--service-cluster-ip-range", kube_world.RANGES,
                     "--controllers=false", memory=True) as ours:
        for call in theirs.call, ours.call:
            call("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NS}})
        ours.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-a"}})
        found = compare(Both(asker(theirs), ours_asker(ours)), Dice(SEED), REQUESTS)
        assert not found, "%d of %d differ\n%s" % (len(found), REQUESTS, "\n".join(found[:20]))
