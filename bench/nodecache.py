#!/usr/bin/env python3
"""What a pod's client sees when the node cache is killed again and again: with rules that outlive the
process, as the original's do, and with rules that end with it. `./run bench nodecache`

Everything runs in namespaces of its own, rootless: a node with the service proxy and the cache, a pod
with the cluster's DNS, and one that asks with dnsperf at a fixed rate."""
import argparse
import json
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
# In place of this folder, whose dns.py is not the library.
sys.path[:1] = [str(ROOT / "tests" / "functional"), str(ROOT / "tests" / "lib")]

from node_world import VIP, WEB, Node  # noqa: E402
from proxy_world import World  # noqa: E402

WAYS = {"rules that outlive the process": ("-rules", "iptables"),
        "rules that end with the process": ("-rules", "nft")}
TIMEOUT_S = 2  # of a query


def asked_and_lost(text):
    """dnsperf's own counts."""
    sent = int(re.search(r"Queries sent: +(\d+)", text)[1])
    good = re.search(r"NOERROR (\d+)", text)
    return sent, sent - (int(good[1]) if good else 0)


def drill(node, flags, o):
    """Kills the cache o.kills times under load; (queries, those without a good answer)."""
    names = node.folder / "names"
    names.write_text(WEB + " A\n")
    seconds = o.kills * (o.up + o.down + 1) + 5
    process = node.cache(*flags)
    load = node.world.start("dnsperf", "-s", VIP, "-d", str(names), "-Q", str(o.rate), "-t", str(TIMEOUT_S),
                            "-c", "8", "-l", str(seconds), "-q", "2000", ns="c1", stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT)
    for n in range(o.kills):
        time.sleep(o.up)
        node.kill(process)
        time.sleep(o.down)
        process = node.cache(*flags)
        print("\r  killed %d of %d times" % (n + 1, o.kills), end="", file=sys.stderr, flush=True)
    time.sleep(o.up)
    print(file=sys.stderr)
    load.send_signal(signal.SIGINT)  # it tells what it counted
    text = load.communicate(timeout=TIMEOUT_S + 30)[0]
    node.world.children.remove(load)
    node.kill(process, 15)
    return asked_and_lost(text)


def measure(program, flags, o):
    with tempfile.TemporaryDirectory(prefix="signpost-bench-") as folder:
        folder = pathlib.Path(folder)
        (folder / "manifests").mkdir()
        world = World(program, str(folder / "manifests"))
        try:
            world.build()
            return drill(Node(world, program, folder), flags, o)
        finally:
            world.close()


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--build", default="build", help="folder with the program")
    p.add_argument("--kills", type=int, default=50)
    p.add_argument("--rate", type=int, default=20000, help="queries a second")
    p.add_argument("--up", type=float, default=0.5, help="seconds that it serves before it is killed")
    p.add_argument("--down", type=float, default=1.0, help="seconds until it is started again")
    p.add_argument("--json", help="write the figures there")
    o = p.parse_args()
    program = str((ROOT / o.build / "signpost").resolve())
    figures = {way: measure(program, flags, o) for way, flags in WAYS.items()}
    print("%-33s %10s %10s %10s" % ("killed %d times" % o.kills, "queries", "lost", "a death"))
    for way, (asked, lost) in figures.items():
        print("%-33s %10d %10d %10.1f" % (way, asked, lost, lost / o.kills))
    if o.json:
        pathlib.Path(o.json).write_text(json.dumps({"options": vars(o), "figures": figures}, indent=1))


if __name__ == "__main__":
    main()
