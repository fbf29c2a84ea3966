#!/usr/bin/env python3
"""Measures DNS servers with a generated cluster: CPU per query, as a multiple of an echo server's
(the floor) in the same round, over UDP, TCP and TLS; latency at half load; changes while they are
asked; start and memory as the cluster grows. docs/bench.md says how to read it."""

import argparse
import json
import os
import pathlib
import shutil
import signal
import socket
import sys
import tempfile
import time

import aims
import profiler
import report
from bench import HERE, Bench, Row, Setting
from churn import Churn
from closed import Closed, Node
from latency import Latency
from peers import PEERS, version
from sizes import Sizes

PORTS = 6                # taken from --port upwards
ENDPOINTS_MAX = 3000000  # as many pod addresses as cluster.py has
SIZES = [100, 1000, 10000, 100000]
SCENARIOS = {made.name: made for made in [
    Closed("hits", "A records of every Service", every_source=True),
    Closed("search", "what pods with ndots:5 send: A and AAAA, half of it NXDOMAIN, some SRV",
           names="search"),
    Closed("forwarded", "names from upstream that lie in the cache", names="forwarded",
           forward=True, rounds=2),
    Node("node", "caches of a node: names of the cluster and others, A and AAAA, that lie in them",
         names="node"),
    Closed("tcp", "the hits over TCP: lasting connections, pipelined", transport="tcp", rounds=2),
    Closed("dot", "the hits over TLS, likewise", transport="tls", rounds=2),
    Closed("workers", "the hits with one worker and with two", workers=(1, 2), rounds=2),
    Latency(),
    Churn(),
    Sizes(),
]}


def bounded(low, high):
    def parse(text):
        value = int(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{value} is not within {low}..{high}")
        return value
    return parse


def first_taken(port):
    """The first of our ports that another program has, or None. With SO_REUSEPORT a server would
    start beside it and both be measured as one."""
    for number in range(port, port + PORTS):
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            with socket.socket(socket.AF_INET, kind) as probe:
                if kind == socket.SOCK_STREAM:  # connections of a run before may linger
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", number))
                except OSError:
                    return number
    return None


def names_of(known):
    def parse(text):
        names = text.split(",")
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not among {', '.join(known)}")
        return names
    return parse


def sizes_list(text):
    return [bounded(1, 100000)(word) for word in text.split(",")]


def parse_args(argv):
    p = argparse.ArgumentParser(prog="run bench dns", description=__doc__)
    p.add_argument("--build", type=pathlib.Path, default=HERE.parent / "build",
                   help="build folder (build)")
    p.add_argument("--signpost", type=pathlib.Path, help="the binary (BUILD/signpost)")
    p.add_argument("--scenario", type=names_of(SCENARIOS), metavar="A,B", default=list(SCENARIOS),
                   help=f"what to measure, of {','.join(SCENARIOS)}")
    p.add_argument("--only", type=names_of(PEERS), metavar="A,B", default=list(PEERS),
                   help=f"servers to measure, of {','.join(PEERS)}")
    p.add_argument("--services", type=bounded(1, 100000), default=10000)
    p.add_argument("--endpoints-per-service", type=bounded(1, 5000), default=10)
    p.add_argument("--seed", type=int, default=1, help="of the generated cluster")
    p.add_argument("--sizes", type=sizes_list, metavar="N,M", default=SIZES,
                   help="Services of the scenario sizes (%s)" % ",".join(map(str, SIZES)))
    p.add_argument("--queries", type=bounded(1, 100000000), default=200000,
                   help="a round of a closed loop (200000)")
    p.add_argument("--seconds", type=bounded(1, 600), default=2,
                   help="its limit for slow servers (2)")
    p.add_argument("--open-seconds", type=bounded(1, 600), default=2,
                   help="a round at a fixed rate (2)")
    p.add_argument("--changes", type=bounded(1, 10000), default=1000,
                   help="endpoint changes a second of the scenario churn (1000)")
    p.add_argument("--rounds", type=bounded(1, 1000),
                   help="of every scenario (each has a number of its own)")
    p.add_argument("--window", type=bounded(1, 1024), default=128, help="queries under way at once")
    p.add_argument("--flows", type=bounded(1, 64), default=8, help="source ports")
    p.add_argument("--edns", type=bounded(0, 65535), default=0,
                   help="UDP size to announce; 0: no OPT record")
    p.add_argument("--port", type=bounded(1024, 65535 - PORTS), default=20530,
                   help=f"the first of {PORTS} loopback ports to use")
    p.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write everything measured")
    p.add_argument("--keep", action="store_true",
                   help="keep the folder with configurations and logs")
    p.add_argument("--profile", action="store_true",
                   help="show where signpost's time goes in the first scenario (hits), by perf")
    p.add_argument("--profile-seconds", type=bounded(1, 600), default=5)
    args = p.parse_args(argv)
    args.build = args.build.resolve()
    args.signpost = (args.signpost or args.build / "signpost").resolve()
    if max(args.services, *args.sizes) * args.endpoints_per_service > ENDPOINTS_MAX:
        p.error(f"more than {ENDPOINTS_MAX} endpoints")
    if not os.access(args.build / "bench/load", os.X_OK):
        p.error(f"{args.build}/bench/load is not built: ./run build makes it")
    taken = first_taken(args.port)
    if taken:
        p.error(f"port {taken} of 127.0.0.1 is in use; choose others with --port")
    return args


def find_programs(bench):
    """Which of the wanted servers are there, and why the others are not."""
    programs, absent = {}, {}
    site = bench.site("none", Setting(bench.world()))
    for name in bench.args.only:
        program = PEERS[name].program(site)
        if program:
            programs[name] = program
        else:
            absent[name] = (f"not built: {bench.args.signpost}" if name.startswith("signpost")
                            else "not installed")
    return programs, absent


def run_scenario(bench, scenario, programs, absent):
    """Its result, with those that were not measured and why."""
    wanted = scenario.peers()
    left_out = {name: PEERS[name].cannot[scenario.name] for name in programs
                if wanted(name) and scenario.name in PEERS[name].cannot}
    taken = {name: program for name, program in programs.items()
             if wanted(name) and name not in left_out}
    since = time.monotonic()
    made = scenario.run(bench, taken)
    return {"title": scenario.title, "rounds": bench.rounds(scenario),
            "took_seconds": round(time.monotonic() - since, 1), **made,
            "absent": {**{name: why for name, why in absent.items() if wanted(name)}, **left_out}}


def is_bad(made):
    """A server that is there failed, or signpost answered wrongly."""
    return bool(made["failed"]) or any(row.get("wrong") and name.startswith("signpost")
                                       for name, row in made["servers"].items())


def bench_all(bench):
    """Returns the exit status."""
    a, style = bench.args, report.Style()
    programs, absent = find_programs(bench)
    options = {key: getattr(a, key) for key in ("queries", "seconds", "open_seconds", "changes",
                                                "services", "sizes", "endpoints_per_service", "seed",
                                                "window", "flows", "edns")}
    result = {"format": 2, "context": report.context(bench.server_cpu, bench.load_cpu),
              "options": options, "cluster": bench.world().sizes, "scenarios": {},
              "versions": {n: version(PEERS[n], p) for n, p in programs.items()},
              "programs": programs}
    report.print_context(result["context"], options, result["cluster"], style)
    for name in a.scenario:
        made = run_scenario(bench, SCENARIOS[name], programs, absent)
        notes = [*report.load_notes(made["servers"]),
                 *SCENARIOS[name].notes(bench, made["servers"])]
        report.print_scenario(SCENARIOS[name], made, notes, style)
        result["scenarios"][name] = made
    aims.print_aims(result, style)
    report.print_versions(result["versions"], style)
    if a.json:
        a.json.write_text(json.dumps(result, indent=1) + "\n")
    return 1 if any(map(is_bad, result["scenarios"].values())) else 0


def profile(bench):
    """Of signpost, in the first of the wanted scenarios."""
    scenario = SCENARIOS[bench.args.scenario[0]]
    if not isinstance(scenario, Closed):
        print(f"{scenario.name} has no profile: only the closed loops do", file=sys.stderr)
        return 1
    programs, _ = find_programs(bench)
    name = next((n for n in programs if n.startswith("signpost")), None)
    if not name:
        print(f"not built: {bench.args.signpost}", file=sys.stderr)
        return 1
    setting = scenario.setting(bench, [name])
    return profiler.profile(bench, Row(name, name, programs[name]), setting, report.Style())


def main(argv=None):
    args = parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-dns-"))
    bench = Bench(args, folder)
    try:
        with bench.stack:
            return profile(bench) if args.profile else bench_all(bench)
    except KeyboardInterrupt:
        return 130
    finally:
        if args.keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
