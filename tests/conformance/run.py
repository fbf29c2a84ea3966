#!/usr/bin/env python3
"""signpost beside a real CoreDNS: random objects, random Corefiles, random queries.

    run.py --signpost build/signpost [--queries 100000] [--seed S] [--only PLUGIN]
    run.py --signpost build/signpost --case FOLDER

Ends with 0 when every difference is one that was decided on. See docs/conformance.md.
"""
import argparse
import collections
import json
import multiprocessing
import os
import pathlib
import queue
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import corefile  # noqa: E402
import decisions  # noqa: E402
import play  # noqa: E402
import servers  # noqa: E402
import shrink  # noqa: E402
import worlds  # noqa: E402

KINDS_A_WORLD = 3  # differences of a world that are looked into


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--signpost", default="build/signpost")
    parser.add_argument("--coredns", default=shutil.which("coredns"))
    parser.add_argument("--queries", type=int, default=100000, help="at least so many (100000)")
    parser.add_argument("--per-world", type=int, default=800, help="queries in a world (800)")
    parser.add_argument("--seed", default=None, help="the run's number; one by chance unless given")
    parser.add_argument("--only", help="a plugin that every world must have")
    parser.add_argument("--world", type=int, help="this world of the seed alone")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--cases", default="build/conformance", help="where failing cases are written")
    parser.add_argument("--case", help="a case's folder: plays it again")
    parser.add_argument("--max-cases", type=int, default=20, help="stop after so many")
    parser.add_argument("--no-shrink", action="store_true")
    made = parser.parse_args()
    made.signpost = os.path.abspath(made.signpost)
    return made


# ---- a worker ----

def work(options, number, tasks, results):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    bench, parent = None, os.getppid()
    folder = tempfile.mkdtemp(prefix="conformance.")
    try:
        bench = servers.Bench(options.signpost, options.coredns, os.path.join(folder, "w"), number, options.jobs)
        while True:
            try:
                index = tasks.get(timeout=2)
            except queue.Empty:
                if os.getppid() != parent:
                    break
                continue
            if index is None:
                break
            results.put(one_world(bench, options, index))
    except Exception as error:  # told to the parent, which ends
        results.put(error)
        raise
    finally:
        if bench:
            bench.end()
        shutil.rmtree(folder, ignore_errors=True)


def one_world(bench, options, index):
    world = worlds.make(options.seed, index, options.per_world, options.only)
    played = play.play(bench, world)
    made = {"index": index, "asked": played.asked, "counts": played.counts, "plugins": worlds.plugins(world),
            "started": played.started, "found": len(played.found), "cases": [], "unsteady": 0}
    kinds = {}
    for found in played.found:
        kinds.setdefault(shrink.kind(found), found)
    for found in list(kinds.values())[:KINDS_A_WORLD]:
        look_into(bench, options, world, found, played, made)
    text = worlds.spoiled(options.seed, index, world)
    wrong, logs = play.start_only(bench, world, text)
    made["spoiled"] = 1
    name = wrong and decisions.decided_start(text, wrong, logs)
    if name:
        made["counts"][name] += 1
    elif wrong:
        folder = pathlib.Path(options.cases) / ("%s-%d-start" % (options.seed, index))
        shrink.write_case(folder, dict(world, queries=[], text=text), play.Found(None, None, wrong), logs)
        (folder / "Corefile").write_text(text)
        made["found"] += 1
        made["cases"].append((str(folder), wrong + "\n"))
    return made


def look_into(bench, options, world, found, played, made):
    folder = pathlib.Path(options.cases) / ("%s-%d-%d" % (options.seed, made["index"], len(made["cases"])))
    small, best = dict(world, queries=world["queries"][:(found.number or 0) + 1]), found
    if not options.no_shrink:
        shrinker = shrink.Shrinker(bench, world, found)
        cut = shrinker.run(found.number)
        if cut is None:
            made["unsteady"] += 1
            made["found"] -= sum(shrink.kind(one) == shrink.kind(found) for one in played.found)
            folder = folder.with_name(folder.name + "-unsteady")
            shrink.write_case(folder, small, found, played.logs)
            return
        small, best = cut, shrinker.best or found
    shrink.write_case(folder, small, best, played.logs)
    made["cases"].append((str(folder), shrink.describe(best)))


# ---- the run ----

class Totals:
    def __init__(self):
        self.counts, self.plugins = collections.Counter(), collections.Counter()
        self.queries = self.worlds = self.found = self.spoiled = self.unsteady = self.refused = 0
        self.cases, self.begin = [], time.monotonic()
        self.told = self.begin

    def add(self, made):
        self.worlds += 1
        self.queries += made["asked"]
        self.found += made["found"]
        self.spoiled += made["spoiled"]
        self.unsteady += made["unsteady"]
        self.refused += not made["started"]
        self.counts.update(made["counts"])
        for plugin in made["plugins"]:
            self.plugins[plugin] += made["asked"]
        for folder, text in made["cases"]:
            self.cases.append(folder)
            print("\n%s\n%s" % (folder, text), flush=True)

    def progress(self, wanted):
        """One line that changes on a terminal, one in half a minute elsewhere."""
        terminal = sys.stdout.isatty()
        if terminal or time.monotonic() > self.told + 30:
            self.told = time.monotonic()
            print("%s%d of %d queries, %d worlds, %d differences%s" % (
                "\r" if terminal else "", self.queries, wanted, self.worlds, self.found,
                " " if terminal else "\n"), end="", flush=True)

    def tell(self, options):
        print("\nseed %s: %d queries in %d worlds (%d refused by both), %d spoiled Corefiles, %.0f s" % (
            options.seed, self.queries, self.worlds, self.refused, self.spoiled, time.monotonic() - self.begin))
        print("queries by plugin: " + ", ".join("%s %d" % p for p in self.plugins.most_common()))
        for name, reason, _ in decisions.DECISIONS + decisions.START_DECISIONS:
            print("decided: %6d  %s: %s" % (self.counts[name], name, reason))
        if self.unsteady:
            print("unsteady: %d differences did not show again in a new start" % self.unsteady)
        print("undecided differences: %d in %d cases" % (self.found, len(self.cases)))


def start_workers(options):
    tasks, results = multiprocessing.Queue(), multiprocessing.Queue()
    crew = [multiprocessing.Process(target=work, args=(options, n, tasks, results)) for n in range(options.jobs)]
    for one in crew:
        one.start()
    return crew, tasks, results


def run(options):
    totals = Totals()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    crew, tasks, results = start_workers(options)
    try:
        given = options.world if options.world is not None else 0
        waiting = 0
        for _ in range(options.jobs * 2 if options.world is None else 1):
            tasks.put(given)
            given, waiting = given + 1, waiting + 1
        while waiting:
            try:
                made = results.get(timeout=600)
            except queue.Empty:
                raise SystemExit("conformance: a worker does not answer")
            if isinstance(made, Exception):
                raise made
            waiting -= 1
            totals.add(made)
            totals.progress(options.queries)
            if options.world is None and len(totals.cases) < options.max_cases and \
                    totals.queries + waiting * options.per_world < options.queries:
                tasks.put(given)
                given, waiting = given + 1, waiting + 1
        for _ in crew:
            tasks.put(None)
    except BaseException:
        for one in crew:
            one.terminate()
        raise
    finally:
        for one in crew:
            one.join(30)
    totals.tell(options)
    return 1 if totals.found else 0


def again(options):
    """Plays a case that was written."""
    world = json.loads((pathlib.Path(options.case) / "world.json").read_text())
    with tempfile.TemporaryDirectory(prefix="conformance.") as folder:
        bench = servers.Bench(options.signpost, options.coredns, os.path.join(folder, "w"), 0, 1)
        try:
            if "text" in world:
                wrong, logs = play.start_only(bench, world, world["text"])
                for side, log in logs.items():
                    print("%s says:\n%s" % (side, log))
                print(wrong or "no difference")
                return 1 if wrong else 0
            played = play.play(bench, world)
        finally:
            bench.end()
    print(corefile.render(world["blocks"]))
    for found in played.found:
        print(shrink.describe(found))
    if not played.started:
        for side, log in played.logs.items():
            print("%s says:\n%s" % (side, log))
    print("%d queries, %d differences, decided: %s" % (played.asked, len(played.found), dict(played.counts)))
    return 1 if played.found else 0


def version(coredns):
    said = subprocess.run([coredns, "-version"], stdout=subprocess.PIPE, text=True, check=False).stdout
    return "%s (%s)" % (coredns, said.split("\n", 1)[0])


def main():
    options = arguments()
    if not options.coredns:  # ./run has tried to make one
        print("conformance: the random part is left out: there is no coredns on PATH, and no Go to make one")
        return 0
    if options.case:
        return again(options)
    if options.seed is None:
        options.seed = str(random.SystemRandom().randrange(10 ** 6))
    print("conformance: seed %s, %d queries, beside %s" % (
        options.seed, options.queries, version(options.coredns)), flush=True)
    return run(options)


if __name__ == "__main__":
    sys.exit(main())
