"""Random queries about a world: its names, names near them, and much else; and their wire form."""
import ipaddress
import struct

import dns.name

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "HINFO": 13, "MX": 15, "TXT": 16, "AAAA": 28,
         "SRV": 33, "NAPTR": 35, "DNAME": 39, "DS": 43, "RRSIG": 46, "NSEC": 47, "DNSKEY": 48, "SVCB": 64,
         "HTTPS": 65, "IXFR": 251, "AXFR": 252, "ANY": 255, "CAA": 257, "TYPE65280": 65280, "TYPE0": 0}
ODD = [n for t, n in TYPES.items() if t not in ("A", "AAAA", "SRV", "IXFR", "AXFR")]
UPSTREAM = ["www.example.net", "alias.example.net", "chain1.example.net", "nx.example.net", "big.example.net",
            "broken.example.net", "refused.example.net", "mx.example.net", "example.net", "x.wild.example.net",
            "six.example.net", "deleg.example.org", "two.example.org", "example.org", "www.example.org",
            "four.example.net", "txt.example.net", "dn.example.net", "host.sub.example.net", "Nodata.Example.Net"]
FIXED = ["version.bind", "authors.bind", "hostname.bind", "id.server", "localhost", "x.localhost",
         "localhost.example.net", "1.0.0.127.in-addr.arpa", "2.0.0.127.in-addr.arpa", "0.in-addr.arpa", ".",
         "test", "com", "255.in-addr.arpa", "in-addr.arpa", "ip6.arpa", "arpa", "local", "version.server"]
SOURCES = ["127.0.0.1"] * 12 + ["127.0.0.2", "127.0.0.20", "127.0.0.21", "127.0.0.22"]


def reverse(address):
    return ipaddress.ip_address(address).reverse_pointer


def dashed(address):
    return address.replace(".", "-").replace(":", "-")


class Names:
    """Every name that the objects, the Corefile and the upstream know."""

    def __init__(self, world, objects):
        zone = world.zone
        self.zone, self.pools = zone, {"seed": world.seeds, "up": UPSTREAM, "fixed": FIXED}
        self.services, self.ends, self.pods, self.turned, self.nets = [], [], [], [], []
        spaces = {o["metadata"]["namespace"] for o in objects if "namespace" in o["metadata"]}
        self.spaces = sorted(spaces | {"default", "nope"})
        for one in objects:
            getattr(self, "add_" + one["kind"].lower())(one, world)
        kube = ["", "svc.", "pod.", "ns.dns.", "dns.", "dns-version.", "foo.", "svc.svc.", "a.b.c.d.e."]
        self.pools["zone"] = [k + zone for k in kube]
        self.pools["space"] = ["%s.%s.%s" % (n, k, zone) for n in self.spaces for k in ("svc", "pod")]
        self.pools.update(service=self.services, end=self.ends, pod=self.pods, reverse=self.turned)
        self.pools = {k: v for k, v in self.pools.items() if v}
        if world.external:
            self.pools["external"] = ["%s.%s" % (s.split(".svc.")[0], world.external) for s in self.services]
            self.pools["external"] += [n + "." + world.external for n in self.spaces]

    def add_namespace(self, one, world):
        self.services.append("nope.%s.svc.%s" % (one["metadata"]["name"], self.zone))

    def add_service(self, one, world):
        name = "%s.%s.svc.%s" % (one["metadata"]["name"], one["metadata"]["namespace"], self.zone)
        self.services += [name, name]
        spec = one["spec"]
        for port in spec.get("ports", []):
            self.services.append("_%s._%s.%s" % (port.get("name", ""), port["protocol"].lower(), name))
        balancer = one["status"]["loadBalancer"].get("ingress", [])
        for address in spec.get("clusterIPs", []) + spec.get("externalIPs", []) + [i.get("ip") for i in balancer]:
            if address and address != "None":
                self.turned.append(reverse(address))

    def add_endpointslice(self, one, world):
        marks = one["metadata"].get("labels", {})
        name = "%s.%s.svc.%s" % (marks.get("kubernetes.io/service-name", "none"), one["metadata"]["namespace"],
                                 self.zone)
        for end in one["endpoints"][:6]:
            for address in end["addresses"]:
                self.turned.append(reverse(address))
                self.ends.append(dashed(address) + "." + name)
                self.pods.append("%s.%s.pod.%s" % (dashed(address), one["metadata"]["namespace"], self.zone))
            if "hostname" in end:
                self.ends.append(end["hostname"] + "." + name)
            if "targetRef" in end:
                self.ends.append(end["targetRef"]["name"] + "." + name)
            if "zone" in end:
                self.ends += ["%s.%s._zone.%s" % (end["zone"], how, name) for how in ("pin", "prefer")]

    def add_pod(self, one, world):
        address = one["status"].get("podIP")
        if address:
            self.pods.append("%s.%s.pod.%s" % (dashed(address), one["metadata"]["namespace"], self.zone))
            self.turned.append(reverse(address))


def mutate(rng, name, names):
    labels = name.split(".")
    how, at = rng.randrange(12), rng.randrange(len(labels))
    if how == 0:
        labels.insert(at, rng.choice(["x", "*", "any", "_tcp", "_http", "a-b", "_", "10-1-0-1"]))
    elif how == 1:
        del labels[at]
    elif how == 2:
        labels[at] = rng.choice(["*", "any", "x", "svc", "pod", "1", "_udp", "_", "--", "fd00--1"])
    elif how == 3:
        labels[at:at] = [labels[at]]
    elif how == 4:
        labels = ["_" + rng.choice(["http", "dns", "a"]), "_" + rng.choice(["tcp", "udp", "sctp"])] + labels
    elif how == 5:  # as a search list does
        tail = rng.choice(["default.svc.%s", "svc.%s", "%s", "prod.svc.%s"]) % names.zone
        labels += tail.split(".")
    elif how == 6 and labels[at]:
        labels[at] = labels[at][:-1] or "y"
    elif how == 7:
        labels[at] = rng.choice([r"\000", r"a\.b", r"\255", "a b", "A" * 63, r"\@", "x_y", r"\"q"])
    elif how == 8:
        labels[at] = labels[at].lstrip("_")
    elif how == 9 and at:
        labels[at - 1], labels[at] = labels[at], labels[at - 1]
    elif how == 10:
        labels = rng.choice(["us-a", "Zone-C.x", "z"]).split(".") + [rng.choice(["pin", "prefer", "x"]), "_zone"] + labels
    else:
        labels = labels[at:]
    return ".".join(label for label in labels if label) or "."


def mixed(rng, name):
    return "".join(c.upper() if rng.random() < 0.5 and n and name[n - 1] != "\\" else c
                   for n, c in enumerate(name))


def random_name(rng, names):
    pool = rng.choice([p for p in names.pools for _ in range(1 if p in ("zone", "fixed", "space") else 3)])
    name = rng.choice(names.pools[pool])
    if rng.random() < 0.25:
        name = mutate(rng, name, names)
    if rng.random() < 0.12:
        name = mixed(rng, name)
    try:
        dns.name.from_text(name + ("" if name.endswith(".") else "."))
    except Exception:  # too long by a mutation
        return names.zone
    return name


def random_type(rng, name):
    if rng.random() < 0.2:
        return rng.choice(ODD)
    if ".arpa" in name and rng.random() < 0.8:
        return TYPES["PTR"]
    if name.startswith("_") and rng.random() < 0.7:
        return TYPES["SRV"]
    return rng.choice([1, 1, 1, 28, 28, 33, 16, 15, 5, 255])


def random_edns(rng):
    if rng.random() < 0.5:
        return None
    made = {"size": rng.choice([512, 1232, 1232, 4096, 0, 300, 700, 1400, 65535]), "do": rng.random() < 0.3}
    if rng.random() < 0.03:
        made["version"] = rng.choice([1, 255])
    if rng.random() < 0.03:
        made["z"] = rng.choice([1, 0x4000])
    if rng.random() < 0.3:
        made["options"] = rng.sample([[3, ""], [10, "0102030405060708"], [12, "0000"], [8, "00011800c00002"],
                                      [0xffee, "aa"], [65001, "01"], [9, ""], [11, ""], [0xffaa, ""]],
                                     rng.randrange(1, 4))
    return made


def one_query(rng, names, ports):
    name = random_name(rng, names)
    made = {"name": name, "type": random_type(rng, name), "class": 1, "flags": 0x0100, "edns": random_edns(rng),
            "tcp": rng.random() < 0.12, "src": rng.choice(SOURCES), "port": rng.choice(ports)}
    if rng.random() < 0.15:
        made["flags"] = rng.choice([0, 0x0110, 0x0120, 0x0130, 0x0140, 0x0300, 0x0500, 0x0180, 0x0010])
    odd = rng.random()
    if odd < 0.02:
        made["class"] = rng.choice([3, 255, 4, 254, 2])
    elif odd < 0.035 and (name.endswith("bind") or name.endswith("server")):
        made["class"] = 3
    elif odd < 0.03:
        made["type"] = rng.choice([251, 252])
        made["tcp"] = rng.random() < 0.8
        if made["type"] == 251:
            made["serial"] = rng.choice([1, 2026010101])
    elif odd < 0.035:
        made["opcode"] = rng.choice([1, 2, 4, 5, 3])
    if name in ("version.bind", "authors.bind", "hostname.bind", "id.server", "version.server"):
        made["class"] = rng.choice([3, 3, 3, 1])
        made["type"] = rng.choice([16, 16, 255, 1])
    return made


def make_queries(rng, world, objects, count, ports):
    """With some asked again later, for the caches; and a transfer of each zone."""
    names, made = Names(world, objects), []
    while len(made) < count:
        if made and rng.random() < 0.12:
            again = dict(rng.choice(made[-40:]))
            if rng.random() < 0.3:
                again["name"] = mixed(rng, again["name"])
            made.append(again)
        else:
            made.append(one_query(rng, names, ports))
    return made


# ---- wire form ----

def wire_name(name):
    return dns.name.from_text(name if name.endswith(".") and not name.endswith("\\.") else name + ".").to_wire()


def encode(query, ident):
    wire = wire_name(query["name"])
    edns, authority = query.get("edns"), b""
    flags = query["flags"] | query.get("opcode", 0) << 11
    if "serial" in query:
        authority = wire + struct.pack("!HHIH", 6, 1, 0, 22) + b"\0\0" + struct.pack("!5I", query["serial"], 1, 1, 1, 1)
    head = struct.pack("!6H", ident, flags, 1, 0, 1 if authority else 0, 1 if edns else 0)
    tail = b""
    if edns:
        data = b"".join(struct.pack("!HH", code, len(raw) // 2) + bytes.fromhex(raw)
                        for code, raw in edns.get("options", []))
        tail = struct.pack("!BHHBBHH", 0, 41, edns["size"], 0, edns.get("version", 0),
                           0x8000 * edns["do"] | edns.get("z", 0), len(data)) + data
    return head + wire + struct.pack("!HH", query["type"], query["class"]) + authority + tail
