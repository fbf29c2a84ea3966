#!/usr/bin/env python3
"""What a pod's client sees of the node cache: when it is killed again and again, with rules that outlive
the process, as the original's do, and with rules that end with it; when one process follows another; and
what a name outside the cluster costs with autopath and without. `./run bench nodecache`

Everything runs in namespaces of its own, rootless: a node with the service proxy and the cache, a pod
with the cluster's DNS, and one that asks, in the first two parts with dnsperf at a fixed rate."""
import argparse
import contextlib
import json
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
# In place of this folder, whose dns.py is not the library.
sys.path[:1] = [str(ROOT / "tests" / "functional"), str(ROOT / "tests" / "lib")]

import resolvers  # noqa: E402
from node_world import VIP, WEB, Node  # noqa: E402
from proxy_world import World  # noqa: E402
from search_world import Walker, make_node  # noqa: E402

WAYS = {"rules that outlive the process": ("-rules", "iptables"),
        "rules that end with the process": ("-rules", "nft")}
PARTS = ("kills", "successors", "walk")
TIMEOUT_S = 2  # of a query
OUTSIDE = "www.example.net"


def progress(text):
    if sys.stderr.isatty():
        print("\r\033[K" + text, end="", file=sys.stderr, flush=True)


@contextlib.contextmanager
def new_world(program):
    """A world and a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="signpost-bench-") as folder:
        folder = pathlib.Path(folder)
        (folder / "manifests").mkdir()
        world = World(program, str(folder / "manifests"))
        try:
            world.build()
            yield world, folder
        finally:
            world.close()


# ---- under load ----

def asked_and_lost(text):
    """dnsperf's own counts, without the queries that were under way when it was told to end."""
    counts = {key: int(n) for key, n in re.findall(r"Queries (sent|interrupted): +(\d+)", text)}
    asked = counts["sent"] - counts.get("interrupted", 0)
    good = re.search(r"NOERROR (\d+)", text)
    return asked, asked - (int(good[1]) if good else 0)


@contextlib.contextmanager
def load(node, rate):
    """Queries of one pod at that rate; yields a list that gets (asked, lost)."""
    names, result = node.folder / "names", []
    names.write_text(WEB + " A\n")
    asker = node.world.start("dnsperf", "-s", VIP, "-d", str(names), "-Q", str(rate), "-t", str(TIMEOUT_S),
                             "-c", "8", "-l", "3600", "-q", "2000", ns="c1", stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT)
    yield result
    time.sleep(TIMEOUT_S + 0.5)  # what is lost counts as lost by then
    asker.send_signal(signal.SIGINT)  # it tells what it counted
    result += asked_and_lost(asker.communicate(timeout=TIMEOUT_S + 30)[0])
    node.world.children.remove(asker)


def kill(node, flags, o):
    """Kills the cache o.kills times."""
    process = node.cache(*flags)
    with load(node, o.rate) as result:
        for n in range(o.kills):
            time.sleep(o.up)
            node.kill(process)
            time.sleep(o.down)
            process = node.cache(*flags)
            progress("killed %d of %d times" % (n + 1, o.kills))
    return result


def succeed(node, o):
    """One process after another takes over."""
    node.cache()
    with load(node, o.rate) as result:
        for n in range(o.successors):
            node.cache("-takeover")
            progress("followed %d of %d times" % (n + 1, o.successors))
    return result


def print_lost(title, rows, times):
    print("%-33s %10s %8s %10s %10s" % (title, "queries", "lost", "share", "each time"))
    for name, (asked, lost) in rows.items():
        print("%-33s %10d %8d %9.4f%% %10.1f" % (name, asked, lost, 100 * lost / max(1, asked), lost / times))
    print()


def kills(program, o):
    rows = {}
    for way, flags in WAYS.items():
        with new_world(program) as (world, folder):
            rows[way] = kill(Node(world, program, folder), flags, o)
    progress("")
    print_lost("killed %d times" % o.kills, rows, o.kills)
    return rows


def successors(program, o):
    with new_world(program) as (world, folder):
        rows = {"-takeover": succeed(Node(world, program, folder), o)}
    progress("")
    print_lost("followed %d times" % o.successors, rows, o.successors)
    return rows


# ---- a name outside ----

def walks(program, autopath, o):
    """By resolver: questions, and the median of the milliseconds."""
    rows = {}
    with new_world(program) as (world, folder):
        node = make_node(world, program, folder, autopath)
        node.cache()
        for kind in resolvers.KINDS:
            if resolvers.missing(kind):
                continue
            walker = Walker(node, resolvers.build(kind, folder))
            answer, asked = walker.walk(OUTSIDE)
            assert answer.code == 0, "%s finds no %s" % (kind, OUTSIDE)
            rows[kind] = asked, statistics.median(walker.client.ask(OUTSIDE).ms for _ in range(o.walks))
    return rows


def walk(program, o):
    before, after = walks(program, False, o), walks(program, True, o)
    print("%-33s %21s %21s" % (OUTSIDE + ", in the cache", "without autopath", "with autopath"))
    for kind in before:
        print("%-33s %s %s" % (kind, *("%10d %7.2f ms" % rows[kind] for rows in (before, after))))
    print()
    return {"without": before, "with": after}


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--build", default="build", help="folder with the program")
    p.add_argument("--only", choices=PARTS, action="append", help="this part; all without it")
    p.add_argument("--kills", type=int, default=50)
    p.add_argument("--successors", type=int, default=20)
    p.add_argument("--walks", type=int, default=200, help="look-ups that the median is of")
    p.add_argument("--rate", type=int, default=20000, help="queries a second")
    p.add_argument("--up", type=float, default=0.5, help="seconds that it serves before it is killed")
    p.add_argument("--down", type=float, default=1.0, help="seconds until it is started again")
    p.add_argument("--json", help="write the figures there")
    o = p.parse_args()
    program = str((ROOT / o.build / "signpost").resolve())
    parts = {"kills": kills, "successors": successors, "walk": walk}
    figures = {name: parts[name](program, o) for name in o.only or PARTS}
    if o.json:
        pathlib.Path(o.json).write_text(json.dumps({"options": vars(o), "figures": figures}, indent=1))


if __name__ == "__main__":
    main()
