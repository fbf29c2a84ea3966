"""Random Kubernetes objects, legal by the API server's rules, as plain dictionaries.

Nothing is left for a side to compute: cluster addresses are written out, and no Service that selects
pods lacks its slices.
"""

import ipaddress

NAMES = ["web", "db", "api", "cache", "svc", "pod", "dns", "dns-version", "any", "ns", "x", "kubernetes",
         "a-b-c", "web-1", "in-addr", "ip6", "cluster", "local", "xn--bcher-kva", "tcp", "udp",
         "s" * 63, "localhost", "wpad", "kube-dns"]
NAMESPACES = ["default", "kube-system", "prod", "dev", "svc", "pod", "dns", "10-0-0-1", "1", "ns1",
              "arpa", "cluster", "n" * 63, "local", "team-a", "xn--ns"]
INITIAL = {"default", "kube-system", "kube-public", "kube-node-lease"}  # every cluster has them
PORTS = ["http", "https", "dns", "dns-tcp", "pg", "metrics", "a", "web-80", "p" * 15, "tcp", "udp"]
HOSTS = ["web-0", "web-1", "db-0", "h", "10-1-0-1", "0", "svc", "pod", "h" * 63, "tcp", "host-a"]
ZONES = ["us-a", "us-b", "rack7.corp.example", "Zone-C", "z"]
LABELS = {"env": ["prod", "dev", "test"], "team": ["red", "blue"], "tier": ["front", "back"]}
EXTERNAL = ["www.example.net", "example.net", "alias.example.net", "chain1.example.net",
            "nx.example.net", "deep.wild.example.net", "mx.example.net", "broken.example.net",
            "www.example.net.", "localhost", "192.0.2.9", "a.nozone.invalid", "big.example.net",
            "two.example.org", "deleg.example.org", "refused.example.net", "six.example.net"]
PROTOCOLS = ["TCP", "TCP", "TCP", "UDP", "UDP", "SCTP"]
POD_CLIENTS = ["127.0.0.%d" % n for n in range(20, 24)]  # pods that queries come from


def labels(rng):
    return {k: rng.choice(v) for k, v in LABELS.items() if rng.random() < 0.4}


def meta(name, namespace=None, marks=None):
    made = {"name": name, "creationTimestamp": "2026-01-01T00:00:00Z",
            "uid": "uid-%s-%s" % (namespace or "", name), "resourceVersion": "1"}
    if namespace:
        made["namespace"] = namespace
    if marks:
        made["labels"] = marks
    return made


class Maker:
    """Keeps what must be unique: names and cluster addresses."""

    def __init__(self, rng, zone):
        self.rng, self.zone, self.made, self.slices = rng, zone, [], 0
        self.v4, self.v6 = rng.sample(range(2, 250), 200), rng.sample(range(2, 65000), 300)

    def cluster_ip(self, family):
        if family == 4:
            return "10.96.%d.%d" % (self.rng.randrange(3), self.v4.pop())
        return "fd00:10:96::%x" % self.v6.pop()

    def pod_ip(self, family):
        """From a small range, so that addresses meet."""
        if family == 4:
            return "10.1.%d.%d" % (self.rng.randrange(2), self.rng.randrange(1, 40))
        text = self.rng.choice(["fd00:1::%x", "fd00:1::%x", "fd00:1:0:0:1::%x", "2001:db8::a:%x",
                                "fd00:1:%x::"]) % self.rng.randrange(1, 30)
        return str(ipaddress.ip_address(text))

    def service_ports(self):
        rng, ports = self.rng, []
        count = rng.choice([0, 1, 1, 1, 2, 3])
        names = rng.sample(PORTS, count)
        if count == 1 and rng.random() < 0.4:
            names = [None]
        used = set()
        for name in names:
            protocol, number = rng.choice(PROTOCOLS), rng.choice([53, 80, 443, 5432, 8080, 65535])
            if (protocol, number) in used:
                continue
            used.add((protocol, number))
            port = {"protocol": protocol, "port": number, "targetPort": number}
            if name:
                port["name"] = name
            ports.append(port)
        return ports

    def service(self, namespace, name):
        rng = self.rng
        kind = rng.choice(["cluster", "cluster", "cluster", "headless", "headless", "headless",
                           "external", "external", "lb", "node"])
        spec = {"sessionAffinity": "None"}
        made = {"apiVersion": "v1", "kind": "Service", "metadata": meta(name, namespace, labels(rng)),
                "spec": spec, "status": {"loadBalancer": {}}}
        if kind == "external":
            spec.update(type="ExternalName", externalName=self.external_name())
            if rng.random() < 0.3:
                spec["ports"] = self.service_ports()
            return made
        ports = self.service_ports()
        if kind != "headless" and not ports:
            ports = [{"protocol": "TCP", "port": 80, "targetPort": 80}]
        if ports:
            spec["ports"] = ports
        families = rng.choice([[4], [4], [6], [4, 6], [6, 4]])
        spec["type"] = {"lb": "LoadBalancer", "node": "NodePort"}.get(kind, "ClusterIP")
        spec["clusterIPs"] = (["None"] if kind == "headless" else
                              [self.cluster_ip(family) for family in families])
        spec["clusterIP"] = spec["clusterIPs"][0]
        spec["ipFamilies"] = ["IPv%d" % family for family in families]
        spec["ipFamilyPolicy"] = "SingleStack" if len(families) == 1 else "RequireDualStack"
        if rng.random() < 0.2:
            spec["publishNotReadyAddresses"] = True
        self.outside(made, kind)
        self.endpoints(namespace, name, families, ports)
        return made

    def external_name(self):
        rng = self.rng
        if rng.random() < 0.35:
            return "%s.%s.svc.%s" % (rng.choice(NAMES[:8]), rng.choice(NAMESPACES[:4]), self.zone)
        return rng.choice(EXTERNAL)

    def outside(self, service, kind):
        """Addresses from outside the cluster."""
        rng, spec = self.rng, service["spec"]
        if rng.random() < 0.3:
            spec["externalIPs"] = sorted({"192.0.2.%d" % rng.randrange(20, 40)
                                          for _ in range(rng.randrange(1, 3))})
            if rng.random() < 0.3:
                spec["externalIPs"].append("2001:db8::%d" % rng.randrange(20, 30))
        if kind == "lb" and rng.random() < 0.8:
            ingress = []
            for _ in range(rng.randrange(1, 3)):
                one = {"ip": rng.choice(["192.0.2.%d", "192.0.2.%d", "2001:db8:1::%d"]) % rng.randrange(40, 60)}
                ingress += [] if one in ingress else [one]
            if rng.random() < 0.2 and not spec.get("externalIPs"):
                ingress = [{"hostname": rng.choice(["lb.example.net", "www.example.net"])}]
            service["status"]["loadBalancer"]["ingress"] = ingress

    # ---- slices ----

    def slice_ports(self, ports):
        rng = self.rng
        if not ports:
            return rng.choice([[], [], [{"name": "", "protocol": "TCP", "port": 9}]])
        made = []
        for port in ports:
            if rng.random() < 0.9:
                made.append({"name": port.get("name", ""), "protocol": port["protocol"],
                             "port": rng.choice([port["port"], 8080])})
        if rng.random() < 0.1 and len({p["name"] for p in made}) == len(made):
            made.append({"name": "extra", "protocol": "UDP", "port": 7})
        return made

    def endpoint(self, namespace, family):
        rng = self.rng
        made = {"addresses": [self.pod_ip(family)]}
        conditions = rng.choice([{"ready": True, "serving": True, "terminating": False}] * 5 +
                                [{"ready": False, "serving": True, "terminating": True},
                                 {"ready": False, "serving": False, "terminating": False},
                                 {"ready": True, "serving": True, "terminating": True}, {}, None])
        if conditions is not None:
            made["conditions"] = conditions
        if rng.random() < 0.35:
            made["hostname"] = rng.choice(HOSTS)
        if rng.random() < 0.5:
            made["targetRef"] = {"kind": "Pod", "namespace": namespace, "uid": "u",
                                 "name": rng.choice(["pod-1", "web-0", "p" * 64, "a.b", "10-1-0-1"])}
        if rng.random() < 0.5:
            made["zone"] = rng.choice(ZONES)
            if rng.random() < 0.5:
                made["hints"] = {"forZones": [{"name": rng.choice(ZONES)}]}
        if rng.random() < 0.5:
            made["nodeName"] = rng.choice(["node-1", "node-2"])
        if rng.random() < 0.08:
            made["addresses"].append(self.pod_ip(family))
        return made

    def endpoints(self, namespace, name, families, ports):
        rng = self.rng
        for family in families:
            for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
                self.slice(namespace, name, family, ports)

    def slice(self, namespace, name, family, ports):
        rng = self.rng
        self.slices += 1
        marks = labels(rng)
        if name is not None:
            marks["kubernetes.io/service-name"] = name
        if rng.random() < 0.5:
            marks["endpointslice.kubernetes.io/managed-by"] = "endpointslice-controller.k8s.io"
        count = rng.choice([0, 1, 2, 2, 3, 4] + [40] * (rng.random() < 0.3))
        made, seen = [], set()
        for _ in range(count):
            one = self.endpoint(namespace, family)
            if not seen & set(one["addresses"]) and len(set(one["addresses"])) == len(one["addresses"]):
                seen |= set(one["addresses"])
                made.append(one)
        self.made.append({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                          "metadata": meta("slice-%d" % self.slices, namespace, marks),
                          "addressType": "IPv%d" % family, "endpoints": made,
                          "ports": self.slice_ports(ports)})

    # ---- the rest ----

    def pod(self, namespace, name, address, phase):
        made = {"apiVersion": "v1", "kind": "Pod", "metadata": meta(name, namespace, labels(self.rng)),
                "spec": {"nodeName": "node-1", "containers": [{"name": "c", "image": "i"}]},
                "status": {"phase": phase}}
        if address:
            made["status"].update(podIP=address, podIPs=[{"ip": address}])
        return made

    def pods(self, namespaces):
        rng = self.rng
        for number in range(rng.randrange(8)):
            address = self.pod_ip(rng.choice([4, 4, 6])) if rng.random() < 0.9 else None
            phase = rng.choice(["Running"] * 6 + ["Pending", "Succeeded", "Failed", "Unknown"])
            self.made.append(self.pod(rng.choice(namespaces), "pod-%d.x" % number, address, phase))
        for number, address in enumerate(POD_CLIENTS):
            if rng.random() < 0.7:
                self.made.append(self.pod(rng.choice(namespaces), "client-%d" % number, address,
                                          "Running"))

    def world(self):
        rng = self.rng
        namespaces = rng.sample(NAMESPACES, rng.randrange(1, 6))
        missing = set(namespaces[:1]) - INITIAL if rng.random() < 0.1 else set()
        for name in sorted({*namespaces, *INITIAL}):
            if name not in missing:
                self.made.append({"apiVersion": "v1", "kind": "Namespace",
                                  "metadata": meta(name, None, labels(rng)),
                                  "status": {"phase": "Active"}})
        for name in namespaces:
            for service in rng.sample(NAMES, rng.randrange(1, 8)):
                self.made.append(self.service(name, service))
            if rng.random() < 0.3:
                self.slice(name, rng.choice(["orphan", "gone"]), rng.choice([4, 6]),
                           self.service_ports())
        self.pods(namespaces)
        return self.made


def make_objects(rng, zone="cluster.local"):
    return Maker(rng, zone).world()
