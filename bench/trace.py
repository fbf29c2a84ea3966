#!/usr/bin/env python3
"""What it costs a request to be traced: the time that curl counts, in a pod of a lab, by turns with
`signpost trace` and without, and in rounds with `signpost trace --watch` beside it and without.
docs/bench.md says how to read it."""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import report

HERE = pathlib.Path(__file__).resolve().parent
CLIENT, URL = "shop/foo", "bar.other"
FORMAT = "%{http_code} %{time_total}\\n"
LOOP = 'i=0; while [ $i -lt %d ]; do curl -sS -o /dev/null -m 10 -w "%s" http://%s/; i=$((i+1)); done'
WATCH_READY_SECONDS = 20
POINTS = [("p10", 0.1), ("median", 0.5), ("p99", 0.99)]
COLUMNS = [("what", 14), ("requests", 9)] + [column for point, _ in POINTS
                                            for column in ((point, 9), ("with", 9), ("ratio", 6))]
AIM = 1.2


def parse_args(argv):
    p = argparse.ArgumentParser(prog="run bench trace", description=__doc__)
    p.add_argument("--build", type=pathlib.Path, default=HERE.parent / "build", help="build folder (build)")
    p.add_argument("--pairs", type=int, default=300, help="requests with trace, and without (300)")
    p.add_argument("--rounds", type=int, default=10, help="with watch, and without (10)")
    p.add_argument("--each", type=int, default=100, help="requests of a round (100)")
    p.add_argument("--realtime", action="store_true",
                   help="with real-time priority, so that other work disturbs less (as root)")
    p.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write everything measured")
    return p.parse_args(argv)


class Lab:
    """A running lab of examples/shop."""

    def __init__(self, program, folder):
        self.program, self.dir = program, folder / "lab"

    def run(self, *args):
        return subprocess.run([self.program, *args], capture_output=True, text=True, timeout=120, check=False)

    def __enter__(self):
        done = self.run("lab", "up", str(HERE.parent / "examples" / "shop"), "--dir", str(self.dir))
        if done.returncode:
            raise SystemExit("the lab does not start: " + done.stderr)
        return self

    def __exit__(self, *_):
        self.run("lab", "down", "--dir", str(self.dir))

    def curl(self, times):
        """Milliseconds of each request, as curl counts them."""
        done = self.run("lab", "exec", "--dir", str(self.dir), CLIENT, "--", "sh", "-c", LOOP % (times, FORMAT, URL))
        words = [line.split() for line in done.stdout.splitlines()]
        if len(words) != times or any(status != "200" for status, _ in words):
            raise SystemExit("a request failed: " + done.stdout + done.stderr)
        return [float(seconds) * 1000 for _, seconds in words]

    def trace(self):
        done = self.run("trace", "--lab-dir", str(self.dir), "--output", "json", CLIENT, URL)
        if done.returncode:
            raise SystemExit("a traced request failed: " + done.stdout + done.stderr)
        return json.loads(done.stdout)["totalMs"]

    @contextlib.contextmanager
    def watch(self, folder):
        """It watches within the block, and has a line for every request of it."""
        with open(folder / "watch", "wb") as out:
            process = subprocess.Popen([self.program, "trace", "--lab-dir", str(self.dir), "--watch", "--output", "json",
                                        CLIENT], stdout=out)
        end = time.monotonic() + WATCH_READY_SECONDS
        while not (folder / "watch").stat().st_size and time.monotonic() < end:
            self.curl(1)
        yield
        process.terminate()
        process.wait(10)


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def figures(plain, traced):
    made = {"requests": len(traced)}
    for name, share in POINTS:
        a, b = percentile(plain, share), percentile(traced, share)
        made[name] = {"without": a, "with": b, "ratio": b / a}
    return {**made, "without": plain, "with": traced}


def by_turns(lab, pairs):
    """Whoever comes first in a pair is not the same each time."""
    plain, traced = [], []
    for i in range(pairs):
        if i % 2:
            traced.append(lab.trace())
        plain += lab.curl(1)
        if not i % 2:
            traced.append(lab.trace())
    return figures(plain, traced)


def in_rounds(lab, folder, rounds, each):
    plain, watched = [], []
    for i in range(2 * rounds):
        if i % 4 in (0, 3):
            made = lab.curl(each)
            plain += made
        else:
            with lab.watch(folder):
                made = lab.curl(each)
            watched += made
    return figures(plain, watched)


def print_row(name, made):
    cells = [name, str(made["requests"])]
    for key, _ in POINTS:
        m = made[key]
        cells += ["%.2f ms" % m["without"], "%.2f ms" % m["with"], "%.2f" % m["ratio"]]
    print(report.line(cells, COLUMNS), flush=True)


def main(argv):
    args = parse_args(argv)
    program = args.build / "signpost"
    if args.realtime:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))  # and all that is started from here
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-trace-"))
    try:
        with Lab(str(program.resolve()), folder) as lab:
            lab.curl(50)  # all is loaded
            lab.trace()
            print(report.line([name for name, _ in COLUMNS], COLUMNS))
            results = {"trace": by_turns(lab, args.pairs)}
            print_row("trace", results["trace"])
            results["watch"] = in_rounds(lab, folder, args.rounds, args.each)
            print_row("trace --watch", results["watch"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print("aim: a ratio of at most %.1f" % AIM)
    if args.json:
        made = {"format": 1, "context": report.context(0, 0), "results": results}
        args.json.write_text(json.dumps(made, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
