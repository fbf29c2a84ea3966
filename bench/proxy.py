#!/usr/bin/env python3
"""What the service proxy costs, beside kube-proxy in both of its modes: first sync, memory, one change from the API
server's event to the first connection that shows it, CPU for 1,000 changes, a restart, the size of the ruleset, and new
connections and packets against direct ones. Each row has a node, pods and an API server in namespaces of its own. As
root it needs nothing else; kube-proxy is what ./run peers builds. docs/bench.md says how to read it."""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import process
import report

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
ROWS = {"one rule": ("", "one rule"), "signpost": ("signpost", "nftables"), "kube-proxy nftables": ("kube-proxy", "nftables"),
        "kube-proxy iptables": ("kube-proxy", "iptables")}
SIZES = [100, 1000, 10000]
BASE = "kube-proxy nftables"  # what ratios are of
COLUMNS = {
    "first sync": [("row", 20), ("Services", 9), ("first sync", 11), ("CPU", 9), ("memory", 10), ("peak", 10),
                   ("peak of nft", 12), ("chains", 8), ("rules", 8), ("elements", 9)],
    "changes": [("row", 20), ("Services", 9), ("changes", 8), ("p50", 10), ("p99", 10), ("CPU for 1,000", 14),
                ("of kube-proxy", 14)],
    "restart": [("row", 20), ("Services", 9), ("CPU", 9), ("memory", 10), ("peak", 10), ("peak of nft", 12)],
    "flows": [("row", 20), ("Services", 9), ("new", 10), ("x direct", 9), ("packet", 10), ("x direct", 9)],
}
FIRST = {"first sync": "chains", "changes": "cpu_per_1000_s", "restart": "restart_cpu_s", "flows": "new_us"}  # there: so are the table's others
FAIR_SECONDS = 900  # that a row may take


def sizes_list(text):
    sizes = [int(word) for word in text.split(",")]
    if not all(2 <= n <= 100000 for n in sizes):
        raise argparse.ArgumentTypeError("sizes are within 2..100000")
    return sizes


def rows_list(text):
    unknown = [name for name in text.split(",") if name not in ROWS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not among {', '.join(ROWS)}")
    return text.split(",")


def parse_args(argv):
    p = argparse.ArgumentParser(prog="run bench proxy", description=__doc__)
    p.add_argument("--build", type=pathlib.Path, default=ROOT / "build", help="build folder (build)")
    p.add_argument("--only", type=rows_list, metavar="A,B", default=list(ROWS), help=f"of {', '.join(ROWS)}")
    p.add_argument("--sizes", type=sizes_list, metavar="N,M", default=SIZES, help="numbers of Services")
    p.add_argument("--endpoints-per-service", type=int, default=3)
    p.add_argument("--min-sync-ms", type=int, default=100, help="least time between two syncs of every proxy (100)")
    p.add_argument("--single-changes", type=int, default=100, help="changes whose effect is waited for (100)")
    p.add_argument("--change-seconds", type=int, default=20, help="and for how long at most (20)")
    p.add_argument("--many-changes", type=int, default=1000, help="changes whose CPU time is measured (1000)")
    p.add_argument("--many-rate", type=int, default=200, help="of them a second (200)")
    p.add_argument("--rounds", type=int, default=5, help="of flows (5)")
    p.add_argument("--connections", type=int, default=4000, help="a round (4000)")
    p.add_argument("--packets", type=int, default=10000, help="round trips a round (10000)")
    p.add_argument("--start-seconds", type=int, default=600, help="that a first sync may take (600)")
    p.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write everything measured")
    return p.parse_args(argv)


def plan_of(args, name, services, folder):
    program, mode = ROWS[name]
    commands = {"": [], "signpost": [str(args.build.resolve() / "signpost"), "proxy"],
                "kube-proxy": [shutil.which("kube-proxy") or ""]}
    cpus = sorted(os.sched_getaffinity(0))
    return {"command": commands[program], "mode": mode, "services": services, "folder": str(folder),
            "flows": str(args.build.resolve() / "bench/flows"), "endpoints": args.endpoints_per_service,
            "changing": min(100, services // 2), "min_sync_ms": args.min_sync_ms, "load_cpus": [cpus[0]],
            "proxy_cpus": [cpus[-1]], "single_changes": args.single_changes, "change_seconds": args.change_seconds,
            "many_changes": args.many_changes, "many_rate": args.many_rate, "rounds": args.rounds,
            "connections": args.connections, "packets": args.packets, "start_seconds": args.start_seconds}


def measure(args, name, services):
    if ROWS[name][0] == "kube-proxy" and not shutil.which("kube-proxy"):
        return {"failed": "there is no kube-proxy: ./run peers builds it"}
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-proxy-"))
    try:
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        ran = subprocess.run(
            ["unshare", *user, "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, "-B",
             HERE / "proxy_node.py"], input=json.dumps(plan_of(args, name, services, folder)), capture_output=True,
            text=True, timeout=FAIR_SECONDS, check=False)
        if ran.returncode or not ran.stdout.strip():
            return {"failed": (ran.stderr.strip() or "it ended without a word")[-process.LOG_TAIL:]}
        return json.loads(ran.stdout)
    except subprocess.TimeoutExpired:
        return {"failed": f"took longer than {FAIR_SECONDS} s"}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def cells(title, name, services, m, base):
    head = [name, f"{services:,}"]
    if title == "flows":
        return head + [f"{m['new_us']:.1f} us", f"{m['new_ratio']:.2f}", f"{m['packet_us']:.1f} us",
                       f"{m['packet_ratio']:.2f}"]
    if title == "restart":
        return head + [f"{m['restart_cpu_s']:.2f} s", f"{m['restart_memory_mb']:.1f} MB", f"{m['restart_peak_mb']:.1f} MB",
                       f"{m['restart_writer_peak_mb']:.1f} MB"]
    if title == "changes":
        ratio = f"{m['cpu_per_1000_s'] / base['cpu_per_1000_s']:.3f}" if base.get("cpu_per_1000_s") else "-"
        return head + [str(m["changes"]), f"{m['change_p50_ms']:.1f} ms", f"{m['change_p99_ms']:.1f} ms",
                       f"{m['cpu_per_1000_s']:.2f} s", ratio]
    return head + [f"{m['first_sync_s']:.2f} s", f"{m['start_cpu_s']:.2f} s", f"{m['memory_mb']:.1f} MB",
                   f"{m['peak_mb']:.1f} MB", f"{m['writer_peak_mb']:.1f} MB", f"{m['chains']:,}", f"{m['rules']:,}",
                   f"{m['elements']:,}"]


def print_table(title, made, style):
    print()
    print(style.bold(title))
    print(style.bold(report.line([text for text, _ in COLUMNS[title]], COLUMNS[title])))
    for services, rows in made.items():
        for name, m in rows.items():
            if FIRST[title] not in m and "failed" in m:  # what was measured before that is shown
                print(style.dim(f"{name:<20} {services:>9,} failed: {' '.join(m['failed'].split())[:200]}"))
            elif FIRST[title] in m:
                line = report.line(cells(title, name, services, m, rows.get(BASE, {})), COLUMNS[title])
                print(style.bold(line) if name == "signpost" else line)
    sys.stdout.flush()


def main(argv):
    args, style, made = parse_args(argv), report.Style(), {}
    cpus, since = sorted(os.sched_getaffinity(0)), time.monotonic()
    context = report.context(cpus[-1], cpus[0])
    for services in args.sizes:
        made[services] = {}
        for name in args.only:
            if sys.stderr.isatty():
                print(f"\r\033[K{name}, {services:,} Services", end="", file=sys.stderr, flush=True)
            made[services][name] = measure(args, name, services)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    print(style.bold(f"{context['cpu']}, {context['cores']} cores, Linux {context['kernel']}; load average "
                     f"{context['load_average']:.2f}; {args.endpoints_per_service} endpoints a Service; least time between "
                     f"syncs {args.min_sync_ms} ms; {time.monotonic() - since:.0f} s"))
    for title in COLUMNS:
        print_table(title, made, style)
    if args.json:
        args.json.write_text(json.dumps({"context": context, "options": {k: str(v) for k, v in vars(args).items()},
                                         "sizes": made}, indent=1) + "\n")
    return 1 if any("failed" in m for rows in made.values() for m in rows.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
