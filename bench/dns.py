#!/usr/bin/env python3
"""Measures DNS servers with a generated cluster: CPU per query, as a multiple of an echo server's
(the floor) in the same run; memory; and the time from start to the first right answer.
docs/bench.md says how to read it."""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import cluster
import process
import report
from peers import PEERS, Site, version

HERE = pathlib.Path(__file__).resolve().parent
PORTS = 5                # taken from --port upwards
ENDPOINTS_MAX = 3000000  # as many pod addresses as cluster.py has
START_SECONDS = 120
LOAD_SECONDS_EXTRA = 30
PERF_SECONDS = 120


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


def names_list(text):
    names = text.split(",")
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not among {', '.join(PEERS)}")
    return names


def parse_args(argv):
    p = argparse.ArgumentParser(prog="run bench dns", description=__doc__)
    p.add_argument("--build", type=pathlib.Path, default=HERE.parent / "build",
                   help="build folder (build)")
    p.add_argument("--signpost", type=pathlib.Path, help="the binary (BUILD/signpost)")
    p.add_argument("--only", type=names_list, metavar="A,B", default=list(PEERS),
                   help=f"servers to measure, of {','.join(PEERS)}")
    p.add_argument("--services", type=bounded(1, 100000), default=10000)
    p.add_argument("--endpoints-per-service", type=bounded(1, 5000), default=10)
    p.add_argument("--seed", type=int, default=1, help="of the generated cluster")
    p.add_argument("--mix", choices=["hits", "search"], default="hits",
                   help="hits: A of existing names; search: what search lists send, with misses")
    p.add_argument("--queries", type=bounded(1, 100000000), default=400000, help="a round")
    p.add_argument("--seconds", type=bounded(1, 600), default=10,
                   help="a round's limit for slow servers")
    p.add_argument("--rounds", type=bounded(1, 1000), default=5)
    p.add_argument("--window", type=bounded(1, 1024), default=128, help="queries under way at once")
    p.add_argument("--flows", type=bounded(1, 64), default=8, help="source ports")
    p.add_argument("--edns", type=bounded(0, 65535), default=0,
                   help="UDP size to announce; 0: no OPT record")
    p.add_argument("--port", type=bounded(1024, 65535 - PORTS), default=20530,
                   help=f"the first of {PORTS} loopback ports to use")
    p.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write everything measured")
    p.add_argument("--keep", action="store_true",
                   help="keep the folder with configurations and logs")
    p.add_argument("--perf", action="store_true",
                   help="keep one server under load and print commands to profile it")
    args = p.parse_args(argv)
    args.build = args.build.resolve()
    args.signpost = (args.signpost or args.build / "signpost").resolve()
    if args.services * args.endpoints_per_service > ENDPOINTS_MAX:
        p.error(f"more than {ENDPOINTS_MAX} endpoints")
    if not os.access(args.build / "bench/load", os.X_OK):
        p.error(f"{args.build}/bench/load is not built: ./run build makes it")
    taken = first_taken(args.port)
    if taken:
        p.error(f"port {taken} of 127.0.0.1 is in use; choose others with --port")
    return args


class Bench:
    """One run: its folder, its cores, and what was generated."""

    def __init__(self, args, folder):
        cpus = sorted(os.sched_getaffinity(0))
        self.args, self.folder = args, folder
        self.server_cpu, self.load_cpu = cpus[-1], cpus[0]  # the first core often takes interrupts
        self.cluster = folder / "cluster"
        self.names = self.cluster / f"names-{args.mix}.txt"
        self.cluster.mkdir()
        self.sizes = cluster.write_cluster(self.cluster, args.services, args.endpoints_per_service,
                                           args.seed)
        self.probe = json.loads((self.cluster / "probe.json").read_text())
        self.n_names = sum(1 for _ in open(self.names))
        self.api_port = None
        os.sched_setaffinity(0, {self.load_cpu})  # inherited by the load and the API server

    def site(self, peer):
        folder = self.folder / peer.name
        folder.mkdir(exist_ok=True)
        return Site(folder, self.cluster, self.args.build, self.args.signpost, self.args.mix,
                    self.args.port, self.api_port)

    def load(self, peer, queries, start=0):
        """One run of the load generator; its report."""
        a = self.args
        argv = [a.build / "bench/load", "--to", f"127.0.0.1:{a.port}", "--names", self.names,
                "--queries", queries, "--seconds", a.seconds, "--window", a.window,
                "--flows", min(a.flows, a.window), "--edns", a.edns,
                "--start", start % self.n_names, "--check-every", 16 if peer.correct else 0]
        done = subprocess.run([str(x) for x in argv], capture_output=True, text=True,
                              timeout=a.seconds + LOAD_SECONDS_EXTRA, check=False)
        if done.returncode:
            raise process.StartError(done.stderr.strip() or f"load ended with {done.returncode}")
        return json.loads(done.stdout)


@contextlib.contextmanager
def fake_api(bench):
    """The API server, when a server under measurement wants one; it shares the load's core."""
    log = bench.folder / "fakeapi.log"
    with open(log, "wb") as err:
        argv = [sys.executable, "-B", HERE / "fakeapi.py", bench.cluster / "manifests"]
        api = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err,
                               text=True)
    try:
        line = api.stdout.readline()
        if not line:
            raise process.StartError(f"fakeapi.py: {process.tail(log)}")
        bench.api_port = int(line)
        yield
    finally:
        process.stop(api)


@contextlib.contextmanager
def running(bench, peer, program):
    """The server, from its start to its end; gives it and the seconds to its first right answer."""
    site = bench.site(peer)
    argv = peer.command(site, program)
    log = site.folder / "log"
    log.write_bytes(b"")
    probe = bench.probe if peer.correct else {**bench.probe, "addresses": []}
    since = time.monotonic()
    server = process.start(argv, bench.server_cpu, log, site.folder)
    try:
        first = process.first_answer(server, since, site.port, probe, START_SECONDS, log)
        process.pin(process.tree(server.pid), bench.server_cpu)
        yield server, first
    finally:
        process.stop(server)


def measure(bench, peer, program, number):
    """One round of one server: start it, warm it up on every name, then measure."""
    with running(bench, peer, program) as (server, first):
        warm = bench.load(peer, max(bench.n_names, bench.args.queries // 10))
        pids = process.tree(server.pid)
        before, stood = process.cpu_ns(pids), process.waited_ns(pids)
        load = bench.load(peer, bench.args.queries, warm["next"])
        used, stood = process.cpu_ns(pids) - before, process.waited_ns(pids) - stood
        if not load["answered"]:
            raise process.StartError("it stopped answering")
        return {"round": number, "us_per_query": used / 1000 / load["answered"], "qps": load["qps"],
                "core_busy": used / 1e9 / load["seconds"],
                "core_lost": stood / 1e9 / load["seconds"],
                "load_busy": load["busy_seconds"] / load["seconds"],
                "memory_mb": process.memory_mb(pids), "peak_mb": process.peak_mb(pids),
                "first_answer_ms": first * 1000, "load": load}


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def find_programs(bench):
    """Which of the wanted servers are there, and why the others are not."""
    programs, absent = {}, {}
    for name in bench.args.only:
        program = PEERS[name].program(bench.site(PEERS[name]))
        if program:
            programs[name] = program
        else:
            absent[name] = (f"not built: {bench.args.signpost}" if name.startswith("signpost")
                            else "not installed")
    return programs, absent


def run_rounds(bench, programs):
    """Round by round over all servers, so that a slow spell of the machine meets all of them."""
    rounds, failed = {name: [] for name in programs}, {}
    for number in range(bench.args.rounds):
        for name, program in programs.items():
            if name in failed:
                continue
            progress(f"round {number + 1} of {bench.args.rounds}: {name}")
            try:
                rounds[name].append(measure(bench, PEERS[name], program, number))
            except (process.StartError, subprocess.TimeoutExpired, OSError) as e:
                failed[name] = f"failed: {e}"
    progress("")
    return rounds, failed


def collect(bench, programs, absent, rounds, failed):
    a = bench.args
    servers = {}
    for name, measured in rounds.items():
        if measured and name not in failed:
            servers[name] = {"version": version(PEERS[name], programs[name]),
                             "program": programs[name],
                             **report.summary(measured, rounds.get("floor", [])),
                             "rounds": measured}
    options = {key: getattr(a, key) for key in ("mix", "queries", "seconds", "rounds", "services",
                                                "endpoints_per_service", "seed", "window", "flows",
                                                "edns")}
    return {"format": 1, "context": bench.context, "options": options, "cluster": bench.sizes,
            "servers": servers, "absent": absent, "failed": failed}


def hold(bench, programs):
    """Keeps one server under load, for a profiler."""
    name = next((n for n in programs if n != "floor"), "floor")
    with running(bench, PEERS[name], programs[name]) as (server, _):
        print(f"{name} is under load on core {bench.server_cpu} for {PERF_SECONDS} s, or until "
              "interrupted. In another terminal:")
        print(f"  perf record -F 997 --call-graph fp -o {name}.perf -p {server.pid} -- sleep 10")
        print(f"  perf report -i {name}.perf --no-children", flush=True)
        until = time.monotonic() + PERF_SECONDS
        with contextlib.suppress(KeyboardInterrupt):
            while time.monotonic() < until:
                bench.load(PEERS[name], 1000000)


def bench_all(bench):
    """Returns the exit status: 1 when an installed server failed or signpost answered wrongly."""
    programs, absent = find_programs(bench)
    bench.context = report.context(bench.server_cpu, bench.load_cpu)
    wants_api = any(PEERS[name].needs_api for name in programs)
    with fake_api(bench) if wants_api else contextlib.nullcontext():
        if bench.args.perf:
            hold(bench, programs)
            return 0
        result = collect(bench, programs, absent, *run_rounds(bench, programs))
    style = report.Style()
    report.print_context(result, style)
    report.print_table(result, style)
    if bench.args.json:
        bench.args.json.write_text(json.dumps(result, indent=1) + "\n")
    wrong = [name for name, made in result["servers"].items() if made["wrong"]]
    return 1 if result["failed"] or any(n.startswith("signpost") for n in wrong) else 0


def main(argv=None):
    args = parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-dns-"))
    try:
        return bench_all(Bench(args, folder))
    except KeyboardInterrupt:
        return 130
    finally:
        if args.keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
