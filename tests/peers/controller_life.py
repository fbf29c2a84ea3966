"""Random lives of Pods, Services, Nodes and hand-made Endpoints, made to several clusters alike, and what their
controllers have made of them.

Some things are done with care, as the originals look at them only with the next change of a Service: zones of Nodes
(all Services are touched afterwards), Endpoints of Services with a selector (nobody edits them), a selector that goes
(all is quiet before, so that both leave the same behind)."""
import contextlib
import json
import random
import time

import kube_world

NS = "shop"
PODS = 40
NODES = 4
SLICES = "endpointslice-controller.k8s.io"
MIRRORED = "endpointslicemirroring-controller.k8s.io"
TRIGGER = "endpoints.kubernetes.io/last-change-trigger-time"
ANY = {"endpointslice.kubernetes.io/skip-mirror": "true"}, {"team": "a"}, {"team": "b", "x": "1"}, {}
DISTRIBUTIONS = [None, "PreferClose", "PreferSameZone", "PreferSameNode"]

# Services: what never changes of them.
FIXED = {
    "s0": {}, "s1": {"ipFamilyPolicy": "PreferDualStack"}, "s2": {"clusterIP": "None"},
    "s3": {"clusterIP": "None", "ipFamilyPolicy": "PreferDualStack"}, "s4": {}, "s5": {"ipFamilies": ["IPv6"]},
    "h0": {}, "h1": {"clusterIP": "None"},
}


class Life:
    def __init__(self, clusters, seed, quiet):
        self.clusters, self.dice, self.quiet = clusters, random.Random(seed), quiet
        self.pods, self.services, self.endpoints = {}, {}, {}
        self.nodes = {}
        for i in range(NODES):
            self.put_node("n%d" % i)

    def all(self, method, *words, **more):
        self.note(method, *words, more)
        for cluster in self.clusters:
            getattr(cluster, method)(*words, **more)

    def note(self, *what):
        with open(self.clusters[0].path("life.log"), "a", encoding="ascii") as log:
            log.write("%.3f %s\n" % (time.time(), text(what)))

    def some(self, *choices):
        return self.dice.choice(choices)

    # ---- Nodes ----

    def put_node(self, name):
        zone = self.some("z0", "z1", "z1", "")
        labels = {"topology.kubernetes.io/zone": zone or None}
        if name in self.nodes:
            self.all("patch", "Node", name, {"metadata": {"labels": labels}})
        else:
            self.all("create", {"apiVersion": "v1", "kind": "Node", "metadata": {
                "name": name, "labels": {k: v for k, v in labels.items() if v}}})
        self.nodes[name] = zone

    def touch_services(self):
        time.sleep(1)  # the Nodes are known before the Services are looked at
        for service in list(self.services):
            self.patch_service(service, {"metadata": {"labels": {"touched": str(self.dice.random())}}})

    def change_node(self):
        """A Node that is gone comes back soon: the original tries a Service again ever more seldom, and is then late with
        its other changes, too."""
        name = "n%d" % self.dice.randrange(NODES)
        if self.dice.random() < 0.3:
            del self.nodes[name]
            self.all("delete", "Node", name)
            self.touch_services()
            self.quiet()
        self.put_node(name)
        self.touch_services()

    # ---- Pods ----

    def add_pod(self, name):
        n = int(name[1:])
        ports = [[{"name": "web", "containerPort": 9000 + n % 2}, {"name": "dns", "containerPort": 5300, "protocol": "UDP"}],
                 [{"name": "web", "containerPort": 9000}], []][n % 3]
        spec = {"terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": "x", "ports": ports}]}
        if self.dice.random() < 0.9:
            spec["nodeName"] = "n%d" % self.dice.randrange(NODES)
        if self.dice.random() < 0.3:
            spec.update(hostname=name, subdomain=self.some("s2", "s3"))
        if self.dice.random() < 0.2:
            spec["initContainers"] = [{"name": "side", "image": "x", "restartPolicy": "Always",
                                       "ports": [{"name": "dns", "containerPort": 5353, "protocol": "UDP"}]}]
        self.all("create", {"apiVersion": "v1", "kind": "Pod", "spec": spec, "metadata": {
            "name": name, "namespace": NS, "labels": {"app": self.some(*"abc")}}})
        self.pods[name] = {"phase": "Pending", "ips": [], "node": "nodeName" in spec}

    def write_status(self, name, ready):
        pod = self.pods[name]
        status = {"phase": pod["phase"]}
        if pod["ips"]:
            status.update(podIP=pod["ips"][0], podIPs=[{"ip": ip} for ip in pod["ips"]])
        self.all("set_ready", name, ready, NS, **status)

    def give_address(self, name):
        """Only Pods on a Node have one. With others the original's Endpoints would be refused whole."""
        n, m = int(name[1:]) + 1, self.dice.randrange(250)
        both = ["10.1.%d.%d" % (m, n), "fd00::%x:%x" % (m, n)]
        self.pods[name]["ips"] = self.some(both, both, both[:1], both[1:])

    def change_pod(self):
        name, what = "p%d" % self.dice.randrange(PODS), self.dice.random()
        if name not in self.pods:
            self.add_pod(name)
            return
        pod = self.pods[name]
        if pod["phase"] in ("Succeeded", "Failed") or what < 0.15:
            del self.pods[name]
            self.all("delete", "Pod", name, NS)
        elif what < 0.25 and pod["node"]:  # it ends, but takes its time; without a node it would go at once
            self.note("end", name)
            for cluster in self.clusters:
                with contextlib.suppress(kube_world.Refused):
                    cluster.call("DELETE", cluster.at("Pod", name, NS), {"gracePeriodSeconds": 300})
        elif what < 0.4:
            self.all("patch", "Pod", name, {"metadata": {"labels": {"app": self.some(*"abc")}}}, NS)
        elif what < 0.45:
            pod["phase"] = self.some("Succeeded", "Failed")
            self.write_status(name, True)  # so that the end is a change of readiness
            self.write_status(name, False)
        else:
            if pod["node"] and (not pod["ips"] or what > 0.95):
                self.give_address(name)
            pod["phase"] = self.some("Running", "Running", "Running", "Pending")
            self.write_status(name, self.dice.random() < 0.7)

    # ---- Services ----

    def ports(self, name):
        http = {"name": "http", "port": 80, "protocol": "TCP", "targetPort": self.some(8080, "web")}
        dns = {"name": "dns", "port": 53, "protocol": "UDP", "appProtocol": "example.com/x",
               "targetPort": self.some(53, "dns")}
        other = {"name": "other", "port": 81, "protocol": "TCP", "targetPort": self.some(8080, 8081)}
        if name == "s3" and self.dice.random() < 0.3:
            return []
        return self.some([http], [http, dns], [http, other, dns], [other, http])

    def patch_service(self, name, change):
        self.all("patch", "Service", name, change, NS)

    def put_service(self, name):
        spec = {"ports": self.ports(name), "publishNotReadyAddresses": self.dice.random() < 0.3,
                "trafficDistribution": self.some(*DISTRIBUTIONS)}
        selects = name.startswith("s") if name not in self.services else self.services[name]
        meta = {"name": name, "namespace": NS, "labels": {"x": self.some("1", "2")}}
        if selects:
            spec["selector"] = {"app": self.some(*"abc")}
        if name in self.services:
            self.patch_service(name, {"metadata": {"labels": meta["labels"]}, "spec": spec})
        else:
            self.all("create", {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": dict(spec, **FIXED[name])})
        self.services[name] = selects

    def change_service(self):
        name, what = self.dice.choice(list(FIXED)), self.dice.random()
        if name not in self.services or what < 0.6:
            self.put_service(name)
        elif what < 0.75:
            del self.services[name]
            self.endpoints.pop(name, None)  # they go with it
            self.all("delete", "Service", name, NS)
            self.quiet()
        else:
            self.quiet()
            self.services[name] = not self.services[name]
            self.endpoints.pop(name, None)
            self.patch_service(name, {"spec": {"selector": {"app": "a"} if self.services[name] else None}})
            self.quiet()

    # ---- Endpoints by hand ----

    def subset(self, named):
        def address():
            n = self.dice.randrange(6)
            one = {"ip": self.some("192.0.2.%d" % (n + 1), "2001:db8::%x" % (n + 1))}
            if n == 1:
                one.update(hostname="h", nodeName="n1")
            if n == 2:
                one["targetRef"] = {"kind": self.some("Pod", "VirtualMachine"), "name": "x", "namespace": NS, "uid": "u"}
            return one
        ports = [{"name": "a", "port": 80}, {"name": "b", "port": 81, "protocol": "UDP"}, {"name": "c", "port": 82}]
        if named:
            ports[2]["appProtocol"] = "http"
        made = {"addresses": [address() for _ in range(self.dice.randrange(1, 6))], "ports": self.dice.sample(
            ports if named else ports[:2], self.dice.randrange(1, 3))}
        unready = [address() for _ in range(self.dice.randrange(3))]
        return dict(made, notReadyAddresses=unready) if unready else made

    def write_by_hand(self, body):
        self.note("by hand", body)
        name = body["metadata"]["name"]
        for cluster in self.clusters:
            try:
                cluster.call("PUT", cluster.at("Endpoints", name, NS), body)
            except kube_world.Refused as refused:
                if refused.status != 404:
                    raise
                cluster.create(body)

    def by_hand(self):
        """Of Services that select nothing, or that are not there. Before subsets become others they are emptied: the
        original gets stuck where it has to create several slices and to delete some at once."""
        name = self.dice.choice([n for n in FIXED if not self.services.get(n, n.startswith("s"))] or ["h0"])
        if self.services.get(name):
            return
        meta = {"name": name, "namespace": NS, "labels": self.dice.choice(ANY), "annotations": {
            "note": self.some("1", "2"), "kubectl.kubernetes.io/last-applied-configuration": "{}", TRIGGER: "2026-01-02T03:04:05Z"}}
        body = {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta, "subsets": self.endpoints.get(name, [])}
        if body["subsets"] and self.dice.random() < 0.5:
            self.turn(body["subsets"])
        else:
            self.write_by_hand(dict(body, subsets=[]))
            self.quiet()
            body["subsets"] = [self.subset(i == 0) for i in range(self.dice.randrange(3))]
        self.endpoints[name] = body["subsets"]
        self.write_by_hand(body)

    def turn(self, subsets):
        """Of a single subset one address gets ready or unready."""
        if len(subsets) == 1 and len(subsets[0]["addresses"]) > 1:
            subsets[0].setdefault("notReadyAddresses", []).append(subsets[0]["addresses"].pop())

    def drop_by_hand(self):
        name = self.some("h0", "h1")
        if self.services.get(name):
            return
        self.endpoints.pop(name, None)
        self.note("drop", name)
        for cluster in self.clusters:
            with contextlib.suppress(kube_world.Refused):
                cluster.delete("Endpoints", name, NS)

    # ---- ----

    def change(self):
        what = self.dice.random()
        if what < 0.7:
            self.change_pod()
        elif what < 0.87:
            self.change_service()
        elif what < 0.96:
            self.by_hand()
        elif what < 0.98:
            self.drop_by_hand()
        else:
            self.change_node()


# ---- what there is ----

def items(cluster, kind):
    return cluster.call("GET", cluster.at(kind, "", NS).rstrip("/"))["items"]


def text(x):
    return json.dumps(x, sort_keys=True)


def bare(x):
    """Without the uid of what it stands for: those differ from cluster to cluster, but for those of people."""
    if x.get("targetRef", {}).get("uid") not in (None, "u"):
        x = dict(x, targetRef=dict(x["targetRef"], uid=""))
    return x


def head_of_slice(one):
    meta, mirrored = one["metadata"], one["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] == MIRRORED
    notes = {k: v for k, v in meta.get("annotations", {}).items() if k != TRIGGER}
    return ["EndpointSlice", meta["labels"], notes, None if mirrored else meta["generateName"], one["addressType"],
            [dict(o, uid="") for o in meta["ownerReferences"]], sorted(one["ports"] or [], key=str)]


def look_at_slices(cluster, seen):
    """What slices that can be told apart say: their endpoints. What waits for the garbage collection does not count."""
    alive = {s["metadata"]["uid"] for kind in ("Service", "Endpoints") for s in items(cluster, kind)}
    for one in items(cluster, "EndpointSlice"):
        owners = one["metadata"].get("ownerReferences", [])
        if not owners or owners[0]["uid"] not in alive:
            continue
        seen.setdefault(text(head_of_slice(one)), []).extend(text(bare(e)) for e in one["endpoints"] or [])


def look_at_endpoints(cluster, seen):
    for one in items(cluster, "Endpoints"):
        meta = one["metadata"]
        notes = {k: v for k, v in meta.get("annotations", {}).items() if k != TRIGGER}
        head = text(["Endpoints", meta["name"], meta.get("labels", {}), notes])
        seen[head] = [text({key: sorted((bare(x) for x in members), key=text) for key, members in subset.items()})
                      for subset in one.get("subsets", [])]


def look(cluster):
    seen = {}
    look_at_slices(cluster, seen)
    look_at_endpoints(cluster, seen)
    return {head: sorted(members) for head, members in seen.items()}


def same(clusters, seconds, steady=1.5):
    """Waits until all say the same, and go on doing so."""
    end, since, views = time.monotonic() + seconds, None, None
    while time.monotonic() < end:
        before, views = views, [look(cluster) for cluster in clusters]
        if any(v != views[0] for v in views) or views != before:
            since = None
        since = since or time.monotonic()
        if all(v == views[0] for v in views) and time.monotonic() - since > steady:
            return views[0]
        time.sleep(0.1)
    for cluster in clusters:  # for whoever looks into it; life.log says what was done when
        with open(cluster.path("state.json"), "w", encoding="ascii") as out:
            json.dump({kind: items(cluster, kind) for kind in ("Service", "Pod", "EndpointSlice", "Endpoints")}, out, indent=1)
    theirs, ours = ({(h, e) for h, es in v.items() for e in es or [""]} for v in views[:2])
    raise AssertionError("only theirs: %s\nonly ours: %s" % (sorted(theirs - ours)[:5], sorted(ours - theirs)[:5]))
