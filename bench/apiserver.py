#!/usr/bin/env python3
"""How signpost and CoreDNS get ready on an API server (fakeapi.py, protocol buffers): from the start
of the process to the first right answer, the CPU time that it took, and memory at its highest and
when all is calm. docs/bench.md says how to read it."""

import argparse
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import dns
import process
import report
from peers import PEERS, version

SERVERS = ["signpost-api", "coredns"]
CALM_SECONDS = 3     # after which memory counts as steady
CALM_SHARE = 0.05    # of a core, at most, over the last half second of it
CALM_WAIT = 60
COLUMNS = [("server", 13), ("first answer", 14), ("spread", 18), ("CPU", 9), ("peak", 10), ("steady", 10)]
KEYS = ("first_ms", "cpu_ms", "peak_mb", "steady_mb")


def parse_args(argv):
    p = argparse.ArgumentParser(prog="run bench apiserver", description=__doc__)
    p.add_argument("--build", type=pathlib.Path, default=dns.HERE.parent / "build",
                   help="build folder (build)")
    p.add_argument("--services", type=dns.bounded(1, 100000), default=10000)
    p.add_argument("--endpoints-per-service", type=dns.bounded(1, 5000), default=10)
    p.add_argument("--rounds", type=dns.bounded(1, 1000), default=5)
    p.add_argument("--port", type=dns.bounded(1024, 65535 - dns.PORTS), default=20530,
                   help=f"the first of {dns.PORTS} loopback ports to use")
    p.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write everything measured")
    own = p.parse_args(argv)
    args = dns.parse_args([f"--{name.replace('_', '-')}={getattr(own, name)}" for name in (
        "build", "services", "endpoints_per_service", "rounds", "port")] + ["--only=" + ",".join(SERVERS)])
    args.json = own.json
    return args


def wait_calm(pids):
    """Until the server has done all that follows its start."""
    end, since = time.monotonic() + CALM_WAIT, time.monotonic()
    while time.monotonic() < end and time.monotonic() - since < CALM_SECONDS:
        before = process.cpu_ns(pids)
        time.sleep(0.5)
        if process.cpu_ns(pids) - before > CALM_SHARE * 5e8:
            since = time.monotonic()


def measure(bench, peer, program):
    with dns.running(bench, peer, program) as (server, first):
        pids = process.tree(server.pid)
        made = {"first_ms": first * 1000, "cpu_ms": process.cpu_ns(pids) / 1e6}
        wait_calm(pids)
        return {**made, "peak_mb": process.peak_mb(pids), "steady_mb": process.memory_mb(pids)}


def line(cells):
    return " ".join(f"{cell:>{width}}" if i else f"{cell:<{width}}"
                    for i, (cell, (_, width)) in enumerate(zip(cells, COLUMNS)))


def print_row(name, made):
    first = made["first_ms"]
    print(line([name, f"{first['median']:.0f} ms", f"{first['min']:.0f}-{first['max']:.0f}",
                f"{made['cpu_ms']['median']:.0f} ms", f"{made['peak_mb']['median']:.1f} MB",
                f"{made['steady_mb']['median']:.1f} MB"]))


def bench_all(bench):
    programs, absent = dns.find_programs(bench)
    failed, rounds = {}, {name: [] for name in programs}
    context = report.context(bench.server_cpu, bench.load_cpu)
    with dns.fake_api(bench):
        for number in range(bench.args.rounds):
            for name in [n for n in programs if n not in failed]:
                dns.progress(f"round {number + 1} of {bench.args.rounds}: {name}")
                try:
                    rounds[name].append(measure(bench, PEERS[name], programs[name]))
                except (process.StartError, subprocess.TimeoutExpired, OSError) as e:
                    failed[name] = f"failed: {e}"
    dns.progress("")
    servers = {name: {"version": version(PEERS[name], programs[name]), "rounds": made,
                      **{key: report.spread([r[key] for r in made]) for key in KEYS}}
               for name, made in rounds.items() if name not in failed}
    result = {"format": 1, "context": context, "cluster": bench.sizes, "servers": servers,
              "absent": absent, "failed": failed}
    print_result(result)
    if bench.args.json:
        bench.args.json.write_text(json.dumps(result, indent=1) + "\n")
    return 1 if failed else 0


def print_result(result):
    c, size = result["context"], result["cluster"]
    print(f"{c['cpu']}, {c['cores']} cores, Linux {c['kernel']}, load average {c['load_average']:.2f}")
    print(f"{size['services']:,} Services ({size['headless']:,} headless), {size['endpoints']:,} endpoints\n")
    print(line([title for title, _ in COLUMNS]))
    for name, made in result["servers"].items():
        print_row(name, made)
    for name, reason in {**result["absent"], **result["failed"]}.items():
        print(f"{name:<{COLUMNS[0][1]}} {reason}")
    if {*SERVERS} <= {*result["servers"]}:
        ours, theirs = (result["servers"][name] for name in SERVERS)
        ratio = lambda key: f"{theirs[key]['median'] / ours[key]['median']:.1f}"
        print(f"\nCoreDNS takes {ratio('first_ms')} times as long, {ratio('cpu_ms')} times the CPU, "
              f"{ratio('peak_mb')} and {ratio('steady_mb')} times the memory (peak, steady)")


def main(argv=None):
    args = parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-apiserver-"))
    try:
        return bench_all(dns.Bench(args, folder))
    except KeyboardInterrupt:
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
