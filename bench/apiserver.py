#!/usr/bin/env python3
"""How signpost and CoreDNS get ready on an API server (fakeapi.py, protocol buffers): from the start
of the process to the first right answer, the CPU time that it took, memory at its highest and when
all is calm; and then what endpoint changes cost. docs/bench.md says how to read it."""

import argparse
import json
import pathlib
import shutil
import signal
import sys
import tempfile
import time

import bench as common
import changes
import dns
import process
import realapi
import report
import sizes
from peers import PEERS, version

SERVERS = ["signpost-api", "coredns"]
CALM_SECONDS = 3  # after which memory counts as steady
COLUMNS = [("server", 13), ("first answer", 14), ("spread", 18), ("CPU", 9), ("peak", 10), ("steady", 10),
           ("1,000 changes", 15), ("last seen", 11)]
KEYS = ("first_ms", "cpu_ms", "peak_mb", "steady_mb", "ms_per_1000_changes", "last_seen_ms")
SLICES_MAX = 1000  # that change, each in turn
REST_SECONDS = 0.5 # after the last change, for what follows it


def parse_args(argv):
    p = argparse.ArgumentParser(prog="run bench apiserver", description=__doc__)
    p.add_argument("--build", type=pathlib.Path, default=common.HERE.parent / "build",
                   help="build folder (build)")
    p.add_argument("--services", type=dns.bounded(1, 100000), default=10000)
    p.add_argument("--endpoints-per-service", type=dns.bounded(1, 5000), default=10)
    p.add_argument("--rounds", type=dns.bounded(1, 1000), default=5)
    p.add_argument("--real", action="store_true",
                   help="with kube-apiserver and etcd (./run peers) in place of fakeapi.py")
    p.add_argument("--changes", type=dns.bounded(1, 1000000), default=3000,
                   help="endpoint changes to measure (3000)")
    p.add_argument("--rate", type=dns.bounded(1, 100000), default=500,
                   help="of them a second (500)")
    p.add_argument("--port", type=dns.bounded(1024, 65535 - dns.PORTS), default=20530,
                   help=f"the first of {dns.PORTS} loopback ports to use")
    p.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write everything measured")
    own = p.parse_args(argv)
    args = dns.parse_args([f"--{name.replace('_', '-')}={getattr(own, name)}" for name in (
        "build", "services", "endpoints_per_service", "rounds", "port")] + ["--only=" + ",".join(SERVERS)])
    args.json, args.made, args.rate, args.real = own.json, own.changes, own.rate, own.real
    return args


def changer_of(bench, row, setting):
    if bench.real:
        return realapi.RealChanges(setting.world.folder, bench.real)
    return setting.world.changes(row.peer, setting.api_port)


def change(bench, row, setting, server):
    """CPU time of changes at a steady rate, without what the server uses when nothing happens, and
    how long after the last one was made it was seen."""
    changer, port = changer_of(bench, row, setting), bench.args.port
    idle = sizes.idle_share(server)
    meter = common.Meter(server)
    made = changer.pace(bench.args.made, bench.args.rate)
    states = list(changes.state_after(changer.entries, made["made"]))
    with changes.open_asker(port) as asker:
        seen = changes.wait_shown(asker, *states[(made["made"] - 1) % len(states)])
    time.sleep(REST_SECONDS)
    used = meter.cpu_seconds() - idle * meter.seconds()
    changes.all_shown(port, changer.entries, made["made"])  # or else it fails
    return {"ms_per_1000_changes": used * 1e6 / made["made"],
            "last_seen_ms": (seen - made["until"]) * 1000}


def measure(bench, row, setting):
    changer_of(bench, row, setting).reset()
    with common.running(bench, row, setting) as (server, first):
        pids = process.tree(server.pid)
        made = {"first_ms": first * 1000, "cpu_ms": process.cpu_ns(pids) / 1e6}
        sizes.wait_calm(pids, CALM_SECONDS)
        made.update(peak_mb=process.peak_mb(pids), steady_mb=process.memory_mb(pids))
        return {**made, **change(bench, row, setting, server)}


def print_row(name, made):
    first = made["first_ms"]
    print(report.line([name, f"{first['median']:.0f} ms", f"{first['min']:.0f}-{first['max']:.0f}",
                f"{made['cpu_ms']['median']:.0f} ms", f"{made['peak_mb']['median']:.1f} MB",
                f"{made['steady_mb']['median']:.1f} MB", f"{made['ms_per_1000_changes']['median']:.0f} ms",
                f"{made['last_seen_ms']['median']:.0f} ms"], COLUMNS))


def bench_all(bench):
    programs, absent = dns.find_programs(bench)
    context = report.context(bench.server_cpu, bench.load_cpu)
    world = bench.world(changing=min(SLICES_MAX, bench.args.made))
    bench.real = None
    if bench.args.real:
        bench.real = bench.stack.enter_context(realapi.RealApi(bench.folder / "real", world.folder))
        setting = common.Setting(world, api_port=bench.real.kubeconfig)
    else:
        setting = bench.setting(world, programs)
    rows = common.one_row_each(programs)
    rounds, failed = common.each_round("apiserver", rows, bench.args.rounds,
                                       lambda row: measure(bench, row, setting))
    servers = {name: {"version": version(PEERS[name], programs[name]), **report.summary(made, KEYS)}
               for name, made in rounds.items()}
    result = {"format": 1, "context": context, "cluster": world.sizes, "servers": servers,
              "absent": absent, "failed": failed}
    print_result(result)
    if bench.args.json:
        bench.args.json.write_text(json.dumps(result, indent=1) + "\n")
    return 1 if failed else 0


def print_result(result):
    c, size = result["context"], result["cluster"]
    print(f"{c['cpu']}, {c['cores']} cores, Linux {c['kernel']}, load average {c['load_average']:.2f}")
    print(f"{size['services']:,} Services ({size['headless']:,} headless), {size['endpoints']:,} endpoints\n")
    print(report.line([title for title, _ in COLUMNS], COLUMNS))
    for name, made in result["servers"].items():
        print_row(name, made)
    for name, reason in {**result["absent"], **result["failed"]}.items():
        print(f"{name:<{COLUMNS[0][1]}} {reason}")
    if {*SERVERS} <= {*result["servers"]}:
        ours, theirs = (result["servers"][name] for name in SERVERS)
        ratio = lambda key: f"{theirs[key]['median'] / ours[key]['median']:.1f}"
        print(f"\nCoreDNS takes {ratio('first_ms')} times as long, {ratio('cpu_ms')} times the CPU, "
              f"{ratio('peak_mb')} and {ratio('steady_mb')} times the memory (peak, steady), "
              f"{ratio('ms_per_1000_changes')} times the CPU for changes")


def main(argv=None):
    args = parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-apiserver-"))
    bench = common.Bench(args, folder)
    try:
        with bench.stack:
            return bench_all(bench)
    except KeyboardInterrupt:
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
