#!/usr/bin/env python3
"""Generates a cluster: Namespaces, Services and EndpointSlices as manifests, the queries that its
pods ask, and the same names as zone data for other DNS servers. The same sizes and seed give the
same bytes."""

import argparse
import itertools
import json
import pathlib
import random
from dataclasses import dataclass, field

ZONE = "cluster.local"
TTL = 30
SLICE_MAX = 100  # endpoints a slice, the default of the EndpointSlice controller
OBJECTS_PER_FILE = 500
FORWARDED_NAMES = 2000  # fewer than any server's cache holds
NODE_NAMES = 2000       # each with A and AAAA
FORWARDED_ZONE = "outside.example"
PODS_PER_NODE = 100
SERVICES_PER_NAMESPACE = 50
CREATED = "2025-01-07T09:30:00Z"

TEAMS = ["checkout", "payments", "identity", "catalog", "search", "logistics", "billing",
         "messaging", "analytics", "platform", "observability", "recommendations", "fulfilment",
         "pricing", "media"]
STAGES = ["prod", "staging", "canary", "batch", "eu", "us"]
SUBJECTS = ["orders", "invoices", "users", "sessions", "carts", "stock", "prices", "reviews",
            "events", "ledger", "tokens", "images", "alerts", "reports", "shipments", "coupons",
            "profiles"]
PARTS = ["api", "gateway", "worker", "cache", "frontend", "backend", "postgres", "redis", "indexer",
         "scheduler", "consumer", "exporter"]
ZONES = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
PORTS = [("http", 80, 8080), ("https", 443, 8443), ("grpc", 9000, 9000), ("postgres", 5432, 5432)]
METRICS = ("metrics", 9090, 9090)
EXTERNAL = ["api.stripe.com", "s3.eu-central-1.amazonaws.com", "hooks.slack.com", "github.com",
            "sts.googleapis.com", "registry-1.docker.io"]


@dataclass
class Endpoint:
    address: str
    node: int
    pod: str
    hostname: str | None


@dataclass
class Service:
    name: str
    namespace: str
    cluster_ip: str | None  # None: headless
    ports: list
    endpoints: list = field(default_factory=list)
    changed: str | None = None  # what the first endpoint's address changes to, and back

    @property
    def domain(self):
        return f"{self.name}.{self.namespace}.svc.{ZONE}"

    @property
    def addresses(self):
        return [self.cluster_ip] if self.cluster_ip else [e.address for e in self.endpoints]


def dotted(number):
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))


def suffix(rng, length=5):
    """The random part of a pod's or slice's name; Kubernetes leaves vowels out."""
    return "".join(rng.choices("bcdfghjklmnpqrstvwxz2456789", k=length))


def uid(rng):
    text = f"{rng.getrandbits(128):032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def namespace_names(count):
    pairs = [f"{team}-{stage}" for team, stage in itertools.product(TEAMS, STAGES)]
    return [pairs[i % len(pairs)] + ("" if i < len(pairs) else f"-{i // len(pairs)}")
            for i in range(count)]


def service_names(count):
    """Names for one namespace; distinct."""
    pairs = [f"{subject}-{part}" for part, subject in itertools.product(PARTS, SUBJECTS)]
    return [pairs[i % len(pairs)] + ("" if i < len(pairs) else f"-v{1 + i // len(pairs)}")
            for i in range(count)]


def make_endpoints(service, count, next_pod, rng):
    replica_set = suffix(rng, 9)
    stateful = service.cluster_ip is None and service.name.endswith(("postgres", "redis", "cache"))
    for i in range(count):
        pod = next(next_pod)
        name = f"{service.name}-{i}" if stateful else f"{service.name}-{replica_set}-{suffix(rng)}"
        # Node n has 10.128.0.0/9's nth /24, as cluster networks commonly hand them out.
        node, on_node = divmod(pod, PODS_PER_NODE)
        address = dotted((10 << 24) + (128 << 16) + (node << 8) + 2 + on_node)
        service.endpoints.append(Endpoint(address, node, name, name if stateful else None))


def make_cluster(services, endpoints_per_service, seed):
    """Services of all namespaces, shuffled in kind; the last is headless, so that a first right
    answer for it proves that Services and EndpointSlices have both been read."""
    rng = random.Random(seed)
    namespaces = namespace_names(max(1, services // SERVICES_PER_NAMESPACE))
    names = service_names(1 + services // len(namespaces))
    cluster_ip = (dotted((10 << 24) + (96 << 16) + n) for n in itertools.count(10))
    next_pod = iter(range(32768 * PODS_PER_NODE))
    made = []
    for i in range(services):
        headless = rng.random() < 0.1 or i == services - 1
        ports = [rng.choice(PORTS)] + ([METRICS] if rng.random() < 0.4 else [])
        service = Service(names[i // len(namespaces)], namespaces[i % len(namespaces)],
                          None if headless else next(cluster_ip), ports)
        make_endpoints(service, endpoints_per_service, next_pod, rng)
        made.append(service)
    return namespaces, made


def mark_changing(services, count):
    """Headless Services, since only their endpoints are in answers; pods have no such addresses.
    The last one stays, for the first right answer."""
    headless = [s for s in services if not s.cluster_ip and s.endpoints]
    for i, service in enumerate(headless[:-1][:count]):
        service.changed = dotted((10 << 24) + (64 << 16) + 1 + i)


def metadata(rng, revision, **more):
    return {**more, "uid": uid(rng), "resourceVersion": str(next(revision)),
            "creationTimestamp": CREATED}


def namespace_object(name, rng, revision):
    return {"apiVersion": "v1", "kind": "Namespace",
            "metadata": metadata(rng, revision, name=name,
                                 labels={"kubernetes.io/metadata.name": name}),
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}


def service_object(service, rng, revision):
    ip = service.cluster_ip or "None"
    labels = {"app.kubernetes.io/name": service.name,
              "app.kubernetes.io/part-of": service.namespace}
    ports = [{"name": name, "protocol": "TCP", "port": port, "targetPort": target}
             for name, port, target in service.ports]
    return {"apiVersion": "v1", "kind": "Service",
            "metadata": metadata(rng, revision, name=service.name, namespace=service.namespace,
                                 labels=labels),
            "spec": {"type": "ClusterIP", "clusterIP": ip, "clusterIPs": [ip],
                     "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
                     "internalTrafficPolicy": "Cluster", "sessionAffinity": "None", "ports": ports,
                     "selector": {"app.kubernetes.io/name": service.name}},
            "status": {"loadBalancer": {}}}


def endpoint_object(endpoint, namespace, rng):
    host = f"ip-10-0-{endpoint.node // 256}-{endpoint.node % 256}"
    made = {"addresses": [endpoint.address],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "nodeName": f"{host}.eu-central-1.compute.internal",
            "targetRef": {"kind": "Pod", "namespace": namespace, "name": endpoint.pod,
                          "uid": uid(rng)},
            "zone": ZONES[endpoint.node % len(ZONES)]}
    if endpoint.hostname:
        made["hostname"] = endpoint.hostname
    return made


def slice_objects(service, rng, revision):
    for start in range(0, len(service.endpoints), SLICE_MAX):
        part = service.endpoints[start:start + SLICE_MAX]
        labels = {"kubernetes.io/service-name": service.name,
                  "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}
        if not service.cluster_ip:
            labels["service.kubernetes.io/headless"] = ""
        yield {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
               "metadata": metadata(rng, revision, name=f"{service.name}-{suffix(rng)}",
                                    generateName=f"{service.name}-", namespace=service.namespace,
                                    labels=labels),
               "addressType": "IPv4",
               "endpoints": [endpoint_object(e, service.namespace, rng) for e in part],
               "ports": [{"name": n, "protocol": "TCP", "port": t} for n, _, t in service.ports]}


def write_lists(folder, stem, objects):
    for i in itertools.count():
        items = list(itertools.islice(objects, OBJECTS_PER_FILE))
        if not items:
            return
        made = {"apiVersion": "v1", "kind": "List", "items": items}
        text = json.dumps(made, separators=(",", ":"))
        (folder / f"{stem}-{i:04}.json").write_text(text + "\n")


def write_changing(folder, service, made):
    """A file for this slice alone, as it is and as it becomes; returns what changes.py wants."""
    name = f"{service.namespace}.{service.name}.json"
    text = json.dumps(made, separators=(",", ":")) + "\n"
    (folder / "changing" / name).write_text(text)
    (folder / "before" / name).write_text(text)
    made["endpoints"][0]["addresses"] = [service.changed]
    (folder / "after" / name).write_text(json.dumps(made, separators=(",", ":")) + "\n")
    return {"name": service.domain, "file": name, "before": service.addresses[0],
            "after": service.changed}


def list_slices(folder, services, rng, revision):
    """Those for the lists; the first of a Service that changes is written elsewhere."""
    listed = []
    for service in services:
        slices = slice_objects(service, rng, revision)
        if service.changed:
            listed.append(write_changing(folder, service, next(slices)))
        yield from slices
    (folder / "changes.json").write_text(json.dumps(listed) + "\n")


def write_manifests(folder, namespaces, services, seed):
    for made in (folder, *(folder.parent / name for name in ("changing", "before", "after"))):
        made.mkdir()
    rng = random.Random(seed + 1)
    revision = itertools.count(1000)
    write_lists(folder, "namespaces", (namespace_object(n, rng, revision) for n in namespaces))
    write_lists(folder, "services", (service_object(s, rng, revision) for s in services))
    write_lists(folder, "endpointslices", list_slices(folder.parent, services, rng, revision))


def pair(name, address):
    """What getaddrinfo() sends for one candidate name; address None: there is no such name."""
    if address is None:
        return [f"{name} A NXDOMAIN", f"{name} AAAA NXDOMAIN"]
    return [f"{name} A {address}", f"{name} AAAA NODATA"]


def search_walk(service, rng):
    """One lookup by a pod with the usual search list (NAMESPACE.svc, svc, the zone; ndots:5)."""
    kind = rng.random()
    if kind < 0.4:  # "name", same namespace
        return pair(service.domain, service.addresses[0])
    if kind < 0.7:  # "name.namespace", from another namespace
        miss = f"{service.name}.{service.namespace}.default.svc.{ZONE}"
        return pair(miss, None) + pair(service.domain, service.addresses[0])
    if kind < 0.9 or not service.cluster_ip:  # an outside name: three misses before it leaves
        outside = rng.choice(EXTERNAL)
        candidates = (f"{service.namespace}.svc.{ZONE}", f"svc.{ZONE}", ZONE)
        return [line for c in candidates for line in pair(f"{outside}.{c}", None)]
    return [f"_{service.ports[0][0]}._tcp.{service.domain} SRV NOERROR"]


def expected(service):
    """A name that changes has all its addresses but one, and of those two exactly one."""
    if not service.changed:
        return service.addresses[0]
    return f"{service.addresses[0]}|{service.changed}/{len(service.addresses)}"


def forwarded_names():
    """What upstream.py answers."""
    return ((f"h{i}.{FORWARDED_ZONE}", dotted((198 << 24) + (18 << 16) + i))
            for i in range(FORWARDED_NAMES))


def node_names():
    """What upstream.py answers to a node's cache: half of it names of the cluster."""
    for i in range(NODE_NAMES // 2):
        yield f"app{i}.{TEAMS[i % len(TEAMS)]}.svc.{ZONE}", dotted((10 << 24) + (97 << 16) + i)
        yield f"n{i}.{FORWARDED_ZONE}", dotted((198 << 24) + (19 << 16) + i)


def write_names(folder, services, seed):
    rng = random.Random(seed + 2)
    order = [s for s in services if s.endpoints or s.cluster_ip]
    rng.shuffle(order)
    hits = (f"{s.domain} A {expected(s)}" for s in order)
    (folder / "names-hits.txt").write_text("\n".join(hits) + "\n")
    walks = (line for s in order for line in search_walk(s, rng))
    (folder / "names-search.txt").write_text("\n".join(walks) + "\n")
    outside = (f"{name} A {address}" for name, address in forwarded_names())
    (folder / "names-forwarded.txt").write_text("\n".join(outside) + "\n")
    pods = (line for name, address in node_names() for line in pair(name, address))
    (folder / "names-node.txt").write_text("\n".join(pods) + "\n")


def endpoint_domain(endpoint, service):
    return f"{endpoint.hostname or endpoint.address.replace('.', '-')}.{service.domain}"


def records(services):
    """(owner, type, data) of all names, as the Kubernetes DNS specification derives them."""
    for s in services:
        yield from ((s.domain, "A", address) for address in s.addresses)
        targets = [s.domain]
        if not s.cluster_ip:
            targets = [endpoint_domain(e, s) for e in s.endpoints]
            yield from ((endpoint_domain(e, s), "A", e.address) for e in s.endpoints)
        weight = max(1, 100 // max(1, len(targets)))
        for name, port, target_port in s.ports:
            number = port if s.cluster_ip else target_port
            for target in targets:
                yield f"_{name}._tcp.{s.domain}", "SRV", f"0 {weight} {number} {target}."


def soa_records():
    return [(ZONE, "SOA", f"ns.dns.{ZONE}. hostmaster.{ZONE}. 1 7200 1800 86400 {TTL}"),
            (ZONE, "NS", f"ns.dns.{ZONE}."), (f"ns.dns.{ZONE}", "A", "10.96.0.10")]


def write_zone_data(folder, services):
    every = soa_records() + list(records(services))
    with open(folder / "cluster.zone", "w") as zone, open(folder / "unbound.data", "w") as unbound:
        for owner, kind, data in every:
            zone.write(f"{owner}. {TTL} IN {kind} {data}\n")
            unbound.write(f'local-data: "{owner}. {TTL} IN {kind} {data}"\n')
    with open(folder / "hosts", "w") as hosts, open(folder / "dnsmasq.srv", "w") as srv:
        for owner, kind, data in every:
            if kind == "A":
                hosts.write(f"{data} {owner}\n")
            elif kind == "SRV":
                priority, weight, port, target = data.split()
                srv.write(f"srv-host={owner},{target.rstrip('.')},{port},{priority},{weight}\n")


def write_probe(folder, service):
    probe = {"name": service.domain, "addresses": service.addresses}
    (folder / "probe.json").write_text(json.dumps(probe) + "\n")


def write_cluster(folder, services, endpoints_per_service, seed=1, changing=0, zone_data=True):
    """Writes everything below folder, which must exist; returns the counts. changing: how many
    headless Services get slices in files of their own, for changes; as many as there are."""
    namespaces, made = make_cluster(services, endpoints_per_service, seed)
    mark_changing(made, changing)
    write_manifests(folder / "manifests", namespaces, made, seed)
    write_names(folder, made, seed)
    if zone_data:
        write_zone_data(folder, made)
    write_probe(folder, made[-1])
    return {"namespaces": len(namespaces), "services": len(made),
            "headless": sum(s.cluster_ip is None for s in made),
            "endpoints": sum(len(s.endpoints) for s in made)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path, help="an empty folder; made when missing")
    parser.add_argument("--services", type=int, default=10000)
    parser.add_argument("--endpoints-per-service", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    made = write_cluster(args.folder, args.services, args.endpoints_per_service, args.seed)
    print(json.dumps(made))


if __name__ == "__main__":
    main()
