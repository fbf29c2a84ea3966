#!/usr/bin/env python3
"""signpost and the real kube-proxy side by side, each with a node and pods of its own and the same random Services,
slices and changes: what becomes of random flows must be the same.

  ./run peers flows [--flows N] [--seed S] [--mode nftables|iptables] [--kills] [--flags FLAGS] [--minutes N]
                    [--signpost FILE] [--verbose]

Where chance decides (which endpoint), the sets of what may happen are compared: a flow that seems to differ is asked
again until the sets are certain."""
import argparse
import collections
import json
import os
import pathlib
import random
import shlex
import shutil
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT / "tests" / "lib"), str(ROOT / "tests" / "functional")]
import kube_world  # noqa: E402
import proxy_lab  # noqa: E402
from proxy_lab import BACKENDS, NODE, PORTS, SECOND, pod  # noqa: E402

NS = "flows"
SERVICES = 12        # at a time
CHANGED = 6          # of them, from one batch to the next
TRIES, MORE_TRIES = 8, 80
BATCH = 180          # flows
SETTLE_SECONDS = 30
# Not r1: where a pod of another node comes back to itself over this one, kube-proxy masquerades up to 1.35 only.
SOURCES = ["c1", "c1", "p1", "p2", "r3", "node", "outside", "outside"]
RANGES = {4: ["192.168.9.0/24", "10.244.0.0/16", "198.51.100.0/24", "192.168.9.9/32", "10.244.1.50/32", "192.168.9.1/32"],
          6: ["fd00:9::/64", "fd00:10:244::/48", "2001:db8::/32", "fd00:9::9/128"]}
DISTRIBUTIONS = [None, "PreferClose", "PreferSameNode"]


def address(kind, family, number):
    """One that no other Service has: cluster, external, balancer."""
    if family == 4:
        return {"cluster": "10.96.%d.%d", "external": "203.0.113.%d", "balancer": "198.18.%d.%d"}[kind] % (
            (divmod(number, 200)[0], 10 + number % 200) if kind != "external" else (1 + number % 250,))
    return {"cluster": "fd00:10:96::%x", "external": "fd00:88::%x", "balancer": "fd00:77::%x"}[kind] % (16 + number)


def coin(dice, share):
    return dice.random() < share


def make_ports(dice, number, node_ports):
    ports, both = [], coin(dice, 0.15)  # both: one number over TCP and UDP, as DNS has it
    for i in range(2 if both else dice.choice([1, 1, 2])):
        proto = ("TCP", "UDP")[i] if both else dice.choice(["TCP", "TCP", "UDP"])
        ports.append({"name": "n%d" % i, "port": 80 + i * (not both), "protocol": proto, "targetPort": PORTS[i]})
        if node_ports:
            ports[-1]["nodePort"] = 30000 + 2 * number + i * (not both)
    return ports


def make_status(dice, families, number):
    ingress = []
    for family in families:
        one = {"ip": address("balancer", family, number)}
        if coin(dice, 0.3):
            one["ipMode"] = dice.choice(["VIP", "VIP", "Proxy"])
        ingress.append(one)
    if coin(dice, 0.1):
        ingress.append({"hostname": "balancer.example"})
    return {"loadBalancer": {"ingress": ingress}}


def make_service(dice, number):
    families = dice.choice([[4], [4], [6], [4, 6], [6, 4]])
    kind = dice.choice(["ClusterIP", "NodePort", "LoadBalancer", "LoadBalancer"])
    ips = [address("cluster", f, number) for f in families]
    spec = {"type": kind, "clusterIP": ips[0], "clusterIPs": ips, "ipFamilies": ["IPv%d" % f for f in families],
            "internalTrafficPolicy": dice.choice(["Cluster", "Cluster", "Local"]), "sessionAffinity": "None",
            "ports": make_ports(dice, number, kind == "NodePort" or kind == "LoadBalancer" and coin(dice, 0.8))}
    if coin(dice, 0.2):
        spec.update(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 100}})
    if coin(dice, 0.3):
        spec["externalIPs"] = [address("external", f, number) for f in families]
    if kind != "ClusterIP" or "externalIPs" in spec:
        spec["externalTrafficPolicy"] = dice.choice(["Cluster", "Local"])
    if kind == "LoadBalancer" and coin(dice, 0.5):
        spec["loadBalancerSourceRanges"] = [dice.choice(RANGES[dice.choice([4, 4, 6])]) for _ in range(dice.choice([1, 2]))]
    labels = {"service.kubernetes.io/service-proxy-name": "other"} if coin(dice, 0.04) else {}
    made = {"apiVersion": "v1", "kind": "Service", "spec": spec,
            "metadata": {"name": "s%d" % number, "namespace": NS, "uid": "s%d" % number, "labels": labels}}
    if kind == "LoadBalancer":
        made["status"] = make_status(dice, families, number)
    return made


def make_endpoint(dice, name, family, hints):
    conditions = dice.choice([{"ready": True}] * 5 + [{"ready": False}, {}, {"ready": None, "serving": None},
                             {"ready": False, "serving": True, "terminating": True},
                             {"ready": False, "serving": True, "terminating": True},
                             {"ready": False, "serving": False, "terminating": True}])
    here = not name.startswith("r")
    made = {"addresses": [pod(name, family)], "conditions": conditions,
            "nodeName": proxy_lab.NODE_NAME if here else proxy_lab.OTHER_NODE,
            "zone": proxy_lab.ZONE if here or name == "r2" else proxy_lab.OTHER_ZONE}
    if hints == "zone" and coin(dice, 0.95):
        made["hints"] = {"forZones": [{"name": made["zone"]}]}
    if hints == "node" and coin(dice, 0.95):
        made["hints"] = {"forNodes": [{"name": made["nodeName"]}], "forZones": [{"name": made["zone"]}]}
    if coin(dice, 0.05):
        del made["nodeName"]
    return made


def make_slices(dice, service):
    """One or two of each family; an endpoint may be in both."""
    name, spec = service["metadata"]["name"], service["spec"]
    hints = dice.choice([None, None, "zone", "node"])
    ports = [{"name": p["name"], "port": p["targetPort"], "protocol": p["protocol"]} for p in spec["ports"]]
    if coin(dice, 0.1):
        ports = ports[:-1]
    for family in (int(word[-1]) for word in spec["ipFamilies"]):
        names = dice.sample(BACKENDS, dice.choice([0, 1, 2, 3, 4, 5]))
        endpoints = [make_endpoint(dice, n, family, hints) for n in names]
        cut = dice.randrange(len(endpoints) + 1)
        parts = [endpoints[:cut], endpoints[cut:] + (endpoints[:1] if coin(dice, 0.2) else [])]
        for i, part in enumerate(parts):
            yield {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv%d" % family,
                   "metadata": {"name": "%s-%d-%d" % (name, family, i), "namespace": NS,
                                "labels": {"kubernetes.io/service-name": name}},
                   "ports": ports, "endpoints": part}


def targets(service):
    """(what, protocol, host, port) that this Service could be asked at, and some beside."""
    spec = service["spec"]
    ingress = [i["ip"] for i in service.get("status", {}).get("loadBalancer", {}).get("ingress", []) if "ip" in i]
    for port in spec["ports"]:
        proto = port["protocol"].lower()
        for what, hosts in (("cluster IP", spec["clusterIPs"]), ("external IP", spec.get("externalIPs", [])),
                            ("balancer", ingress)):
            for host in hosts:
                yield what, proto, host, port["port"]
        for family in (4, 6):
            for what, host in (("node", NODE[family]), ("second node address", SECOND[family])):
                if "nodePort" in port:
                    yield what, proto, host, port["nodePort"]
        for host in ("127.0.0.1", "::1") if "nodePort" in port else ():
            yield "loopback", proto, host, port["nodePort"]
    for host in spec["clusterIPs"]:
        yield "wrong port", "tcp", host, 4444
        if len({port["port"] for port in spec["ports"]}) == len(spec["ports"]):
            first = spec["ports"][0]
            yield "wrong protocol", "udp" if first["protocol"] == "TCP" else "tcp", host, first["port"]


Flow = collections.namedtuple("Flow", "service what source proto host port sticky")


class World:
    """The objects, the same in both labs, and the flows that are worth asking."""

    def __init__(self, dice, labs):
        self.dice, self.labs, self.services, self.slices = dice, labs, {}, {}
        self.gone, self.next, self.canary = [], 0, None

    def put(self, obj):
        for lab in self.labs:
            lab.put(obj)

    def drop(self, obj):
        for lab in self.labs:
            lab.delete(obj)

    def set_slices(self, number):
        fresh = {s["metadata"]["name"]: s for s in make_slices(self.dice, self.services[number])}
        for name, old in self.slices.get(number, {}).items():
            if name not in fresh:
                self.drop(old)
        for one in fresh.values():
            self.put(one)
        self.slices[number] = fresh

    def add(self, number):
        self.services[number] = make_service(self.dice, number)
        first = coin(self.dice, 0.5)
        if first:
            self.set_slices(number)
        self.put(self.services[number])
        if not first:
            self.set_slices(number)

    def remove(self, number):
        self.gone += [(self.services[number], t) for t in targets(self.services[number])]
        self.drop(self.services.pop(number))
        for one in self.slices.pop(number).values():
            self.drop(one)

    def change(self):
        """New ones, changed ones, removed ones."""
        self.gone = []
        for number in self.dice.sample(sorted(self.services), min(CHANGED, len(self.services))):
            how = self.dice.choice(["slices", "slices", "both", "remove"])
            if how == "remove":
                self.remove(number)
            elif how == "both":
                self.gone += [(self.services[number], t) for t in targets(self.services[number])]
                self.add(number)
            else:
                self.set_slices(number)
        while len(self.services) < SERVICES:
            self.add(self.next)
            self.next += 1

    def set_canary(self, number):
        """What answers when all that was written before has been taken in: each watch tells in order."""
        ips = {4: "10.96.250.%d" % (1 + number % 250), 6: "fd00:10:96::f%03x" % (number % 4096)}
        if self.canary:
            self.drop(self.canary)
        self.canary = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "canary%d" % number, "namespace": NS},
                       "spec": {"type": "ClusterIP", "clusterIP": ips[4], "clusterIPs": [ips[4], ips[6]],
                                "ipFamilies": ["IPv4", "IPv6"], "ports": [{"port": 80, "protocol": "TCP"}]}}
        for family in (4, 6):
            self.put({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv%d" % family,
                      "metadata": {"name": "canary%d-%d" % (number, family), "namespace": NS,
                                   "labels": {"kubernetes.io/service-name": "canary%d" % number}},
                      "ports": [{"name": "", "port": PORTS[0], "protocol": "TCP"}],
                      "endpoints": [{"addresses": [pod("p1", family)]}]})
        self.put(self.canary)
        until = time.monotonic() + SETTLE_SECONDS
        for lab in self.labs:
            while any(r["outcome"] != "reply" for r in lab.ask("c1", [("tcp", ip, 80) for ip in ips.values()]).result()):
                if time.monotonic() > until:
                    raise SystemExit("%s has not taken the objects in: %s" % (lab.prefix, lab.log()[-2000:]))

    def flows(self):
        every = [(s, t) for s in self.services.values() for t in targets(s)]
        every += self.dice.sample(self.gone, min(len(self.gone), 20))
        nobody = {"metadata": {"name": "nobody"}, "spec": {}}
        every += [(nobody, ("unallocated", "tcp", host, 80)) for host in ("10.96.200.200", "fd00:10:96::eeee")]
        now = {s["metadata"]["name"]: s for s in self.services.values()}
        for service, (what, proto, host, port) in self.dice.sample(every, min(len(every), BATCH)):
            service = now.get(service["metadata"]["name"], service)
            source = "node" if what == "loopback" else self.dice.choice(SOURCES)
            yield Flow(service["metadata"]["name"], what, source, proto, host, port,
                       service["spec"].get("sessionAffinity") == "ClientIP")


def own_seen(flow, reply):
    return "own" if reply["seen"] == reply["own"] else reply["seen"]


def summary(flow, replies):
    """What two labs must have in common."""
    outcomes = {r["outcome"] for r in replies}
    heard = [r for r in replies if r["outcome"] == "reply"]
    if not flow.sticky:
        return {tuple(sorted(outcomes)), *((r["name"], r["port"], r["seen"]) for r in heard)}
    kept = len({(r["name"], r["port"]) for r in heard}) <= 1
    seen = {own_seen(flow, r) for r in heard if r["name"] != flow.source}  # itself: seen otherwise
    return {tuple(sorted(outcomes)), kept, tuple(sorted(seen)) if flow.source not in BACKENDS else None}


def ask(lab, flows, tries):
    """The replies to each flow."""
    by_source = collections.defaultdict(list)
    for number, flow in enumerate(flows):
        by_source[flow.source].append(number)
    made, waiting = collections.defaultdict(list), []
    for source, numbers in by_source.items():
        order = [n for n in numbers for _ in range(tries)]
        waiting.append((order, lab.ask(source, [(flows[n].proto, flows[n].host, flows[n].port) for n in order])))
    for order, future in waiting:
        for number, reply in zip(order, future.result()):
            made[number].append(reply)
    return [made[number] for number in range(len(flows))]


def asked(labs, flows):
    """Each with the replies that signpost's clients got and, where the outcomes differ for certain, those of both labs."""
    replies = [ask(lab, flows, TRIES) for lab in labs]
    for number, flow in enumerate(flows):
        both = [list(of_lab[number]) for of_lab in replies]
        for _ in range(3):
            if summary(flow, both[0]) == summary(flow, both[1]):
                yield flow, both[0], None
                break
            again = [ask(lab, [flow], MORE_TRIES)[0] for lab in labs]
            # An answer that was late on a busy machine is no timeout.
            both = [[r for r in old if r["outcome"] != "timeout"] + new for old, new in zip(both, again)]
        else:
            yield flow, both[0], [sorted(map(str, summary(flow, one))) for one in both]


def show(world, flow, seen, labs):
    print("%s\n  %s\n  %s" % (flow, *("%s: %s" % (lab.prefix, one) for lab, one in zip(labs, seen))))
    for number, service in world.services.items():
        if service["metadata"]["name"] == flow.service:
            print("  " + json.dumps({"labels": service["metadata"]["labels"], "spec": service["spec"],
                                     "status": service.get("status")}))
            for one in world.slices[number].values():
                print("  " + json.dumps({k: one[k] for k in ("addressType", "ports", "endpoints")}))
    sys.stdout.flush()


COLUMNS = ("reply", "refused", "timeout", "several")


class Tally:
    """Of each kind of target: how many flows, what became of them, how many differed."""

    def __init__(self):
        self.rows, self.since = collections.defaultdict(collections.Counter), time.monotonic()

    def add(self, flow, replies, differs):
        outcomes = {r["outcome"] for r in replies}
        outcome = outcomes.pop() if len(outcomes) == 1 else "several"
        self.rows[flow.what].update(["flows", outcome if outcome in COLUMNS else "several"] + ["differ"] * differs)

    def total(self, column):
        return sum(row[column] for row in self.rows.values())

    def seconds(self):
        return time.monotonic() - self.since

    def print(self):
        columns = ("flows", *COLUMNS, "differ")
        form = "%-20s" + " %8s" * len(columns)
        print(form % ("target", *columns))
        for what, row in sorted(self.rows.items()):
            print(form % (what, *(row[c] for c in columns)))
        print(form % ("all", *(self.total(c) for c in columns)))


def start(lab, args):
    lab.start_proxy([os.path.abspath(args.signpost), "proxy"], args.mode, *shlex.split(args.flags))


def change(world, args, batch):
    """With kills, signpost meets every second batch with a new process, the old one killed while it changed things."""
    world.change()
    if args.kills and batch % 2:
        time.sleep(random.random() * 0.3)  # not the world's dice: its objects are those of the seed
        world.labs[0].kill_proxies()
        start(world.labs[0], args)
    world.set_canary(batch)


def compare(labs, args):
    """Until so many flows were asked, or differ, or the time is over."""
    dice, tally, batch = random.Random(args.seed), Tally(), 0
    world = World(dice, labs)
    while tally.total("flows") < args.flows and tally.total("differ") < args.stop and tally.seconds() < 60 * args.minutes:
        change(world, args, batch)
        for lab in labs:
            lab.forget_flows()
        flows = list(world.flows())[:args.flows - tally.total("flows")]
        for flow, replies, seen in asked(labs, flows):
            tally.add(flow, replies, bool(seen))
            if seen:
                show(world, flow, seen, labs)
        batch += 1
        if args.verbose:
            print("%d flows, %d differ, %.0f s" % (tally.total("flows"), tally.total("differ"), tally.seconds()),
                  file=sys.stderr)
    return tally


def parse_args(argv):
    p = argparse.ArgumentParser(prog="run peers flows", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--flows", type=int, default=3000)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--mode", choices=("nftables", "iptables"), default="nftables")
    p.add_argument("--signpost", default=os.environ.get("SIGNPOST", str(ROOT / "build" / "signpost")))
    p.add_argument("--stop", type=int, default=10, help="when so many differ")
    p.add_argument("--kills", action="store_true", help="of signpost, by kill -9, and a new start each time")
    p.add_argument("--flags", default="", help="of both proxies, besides those of every run, as --flags=\"--masquerade-all ...\"")
    p.add_argument("--minutes", type=float, default=20, help="at most")
    p.add_argument("--verbose", action="store_true")
    return p.parse_args(argv)


def main(argv):
    args = parse_args(argv)
    if not os.access(kube_world.PROGRAMS / "kube-proxy", os.X_OK):
        raise SystemExit("kube-proxy is not in build-peers/: ./run peers builds it")
    proxy_lab.apart()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="proxy-flows-"))
    answers = proxy_lab.Answers()
    labs = [proxy_lab.Lab("sp", folder / "sp", answers), proxy_lab.Lab("kp", folder / "kp", answers)]
    try:
        for lab in labs:
            lab.build()
        answers.start()
        start(labs[0], args)
        labs[1].start_proxy([str(kube_world.PROGRAMS / "kube-proxy")], args.mode, *shlex.split(args.flags))
        tally = compare(labs, args)
    finally:
        for lab in labs:
            lab.close()
        shutil.rmtree(folder, ignore_errors=True)
    tally.print()
    words = [args.mode, "mode, seed %d," % args.seed, "with kills," if args.kills else "", args.flags and args.flags + ",",
             "%.0f s" % tally.seconds()]
    print(" ".join(filter(None, words)))
    asked_all = tally.total("flows") >= args.flows
    print("%d flows, %d differ%s" % (tally.total("flows"), tally.total("differ"),
                                     "" if asked_all else "; %d were wanted" % args.flows))
    return 0 if asked_all and not tally.total("differ") else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
