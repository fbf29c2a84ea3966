#!/usr/bin/env python3
"""What the endpoint controllers cost on a real API server, beside kube-controller-manager with the same three
controllers alone: CPU time for 1,000 changes of Pods, writes, and memory. Each has an API server of its own, one
after the other. It needs what ./run peers builds. docs/bench.md says how to read it."""

import argparse
import concurrent.futures
import contextlib
import json
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import time

import process
import report

ROOT = pathlib.Path(__file__).resolve().parents[1]
# In place of bench/, whose dns.py is not the dns that those want.
sys.path[:1] = [str(ROOT / "tests" / folder) for folder in ("lib", "functional", "peers")]
import kube_world  # noqa: E402

NS = "shop"
NAMES = "endpointslice-controller,endpoints-controller,endpointslice-mirroring-controller"
RATE = ["--kube-api-qps=1000", "--kube-api-burst=1000", "--controllers=" + NAMES]
COLUMNS = [("controller", 24), ("start", 10), ("CPU for 1,000", 15), ("writes", 8), ("memory", 10), ("peak", 10)]
AT_ONCE = 4  # requests that make changes


class Bench(kube_world.Cluster):
    """A control plane whose controllers are those under measurement."""

    program = None

    def start_controllers(self):
        flags = ["--kubeconfig=" + self.admin, "--leader-elect=false", *RATE]
        if self.program is None:
            self.controllers = self.run("kube-controller-manager", *flags, "--secure-port=0")
            return
        with open(self.path("controller.log"), "ab") as log:
            self.controllers = subprocess.Popen([self.program, "controller", *flags, "--metrics-bind-address="],
                                                stdout=log, stderr=log)

    def pids(self):
        return process.tree(self.controllers.pid)

    def writes(self):
        """Of slices and Endpoints, as the API server counts them."""
        page = self.call("GET", "/metrics", raw=True).decode()
        return sum(int(float(m.group(1))) for m in re.finditer(
            r'^apiserver_request_total\{[^}]*resource="(?:endpoints|endpointslices)"[^}]*verb="(?:POST|PUT|DELETE)"[^}]*\} (\S+)',
            page, re.M))


def parse_args(argv):
    p = argparse.ArgumentParser(prog="run bench controller", description=__doc__)
    p.add_argument("--build", type=pathlib.Path, default=ROOT / "build", help="build folder (build)")
    p.add_argument("--services", type=int, default=20)
    p.add_argument("--pods-per-service", type=int, default=10)
    p.add_argument("--changes", type=int, default=1000)
    p.add_argument("--only", choices=["signpost", "kube-controller-manager"], help="leave the other one out")
    p.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write everything measured")
    return p.parse_args(argv)


def ready_pods(cluster):
    """Pods that slices tell as ready, and those that Endpoints tell."""
    slices = cluster.call("GET", cluster.at("EndpointSlice", "", NS).rstrip("/"))["items"]
    endpoints = cluster.call("GET", cluster.at("Endpoints", "", NS).rstrip("/"))["items"]
    return ({e["targetRef"]["name"] for s in slices for e in s["endpoints"] or [] if e["conditions"]["ready"]},
            {a["targetRef"]["name"] for o in endpoints for s in o.get("subsets", []) for a in s.get("addresses", [])})


def settle(cluster, ready):
    cluster.until(lambda: ready_pods(cluster) == (ready, ready), 120, "slices and Endpoints tell all Pods")


def fill(cluster, args):
    cluster.add_namespace(NS)
    for n in range(args.services):
        cluster.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s%d" % n, "namespace": NS},
                        "spec": {"selector": {"app": "s%d" % n}, "ports": [{"port": 80}]}})
    names = ["p%d" % n for n in range(args.services * args.pods_per_service)]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda name: cluster.add_pod(
            name, "10.1.%d.%d" % divmod(int(name[1:]), 250), NS, app="s%d" % (int(name[1:]) % args.services)), names))
    settle(cluster, set(names))
    return set(names)


def change(cluster, ready, names, n):
    """Pods get ready and unready, each time another."""
    dice = random.Random(1)
    order = [dice.choice(names) for _ in range(n)]
    turns = []
    for name in order:
        ready ^= {name}
        turns.append((name, name in ready))
    lanes = [[t for t in turns if int(t[0][1:]) % AT_ONCE == lane] for lane in range(AT_ONCE)]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for done in [pool.submit(lambda lane: [cluster.set_ready(*t, NS) for t in lane], lane) for lane in lanes]:
            done.result()
    settle(cluster, ready)


def measure(name, args, folder):
    cluster = Bench(folder)
    cluster.program = str(args.build / "signpost") if name == "signpost" else None
    with cluster:
        names = fill(cluster, args)
        start_ms, writes = process.cpu_ns(cluster.pids()) / 1e6, cluster.writes()
        begun = time.monotonic()
        change(cluster, set(names), sorted(names), args.changes)
        seconds = time.monotonic() - begun
        cpu_ms = process.cpu_ns(cluster.pids()) / 1e6 - start_ms
        return {"start_ms": start_ms, "cpu_ms": cpu_ms, "per_1000_ms": cpu_ms * 1000 / args.changes,
                "writes": cluster.writes() - writes, "seconds": seconds,
                "memory_mb": process.memory_mb(cluster.pids()), "peak_mb": process.peak_mb(cluster.pids())}


def print_row(name, m):
    print(report.line([name, "%.0f ms" % m["start_ms"], "%.0f ms" % m["per_1000_ms"], "%d" % m["writes"],
                       "%.1f MB" % m["memory_mb"], "%.1f MB" % m["peak_mb"]], COLUMNS), flush=True)


def main(argv):
    args = parse_args(argv)
    reason = kube_world.missing()
    if reason:
        print("bench controller: " + reason, file=sys.stderr)
        return 1
    names = [args.only] if args.only else ["signpost", "kube-controller-manager"]
    print("%d Services with %d Pods each; %d changes of Pods that get ready or unready" % (
        args.services, args.pods_per_service, args.changes))
    print(report.line([title for title, _ in COLUMNS], COLUMNS), flush=True)
    made = {}
    for name in names:
        with tempfile.TemporaryDirectory(prefix="signpost-bench-") as folder:
            made[name] = measure(name, args, folder)
        print_row(name, made[name])
    if len(made) == 2:
        print("CPU: 1 to %.1f" % (made[names[1]]["cpu_ms"] / made[names[0]]["cpu_ms"]))
    if args.json:
        args.json.write_text(json.dumps({"format": 1, "changes": args.changes, "controllers": made}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main(sys.argv[1:]))
