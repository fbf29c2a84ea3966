#!/usr/bin/env python3
"""A request from a name to a pod on a real API server, with the parts played by whom one likes.

  ./run peers walk                                        all parts played by signpost
  ./run peers walk --dns coredns --proxy kube-proxy-nftables
  ./run peers matrix                                      every combination, as a table
"""
import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "lib"), str(HERE.parent / "functional")]
import walk_world  # noqa: E402
from walk_checks import CHECKS, COMBINATIONS, SOON  # noqa: E402


def show_walk(world, args):
    world.use(dns=args.dns, proxy=args.proxy, controller=args.controller)
    world.until_answered_by("bar-1", seconds=SOON)
    world.scale(*walk_world.BARS)
    world.until_answered_by(*walk_world.BARS, seconds=SOON)
    done = world.call("walk", "shop/foo", "bar", check=False)
    print(done.stdout + done.stderr, end="", flush=True)
    if args.keep:
        print("\nThe lab goes on, and follows its folder of manifests, %s.\n"
              "  export SIGNPOST_LAB=%s\n  build/signpost lab status\n"
              "  build/signpost lab down; rm -r %s   # its end" % (world.source, world.dir, world.folder))
    return done.returncode


def row(world, api, dns, proxy, controller):
    """The cells of a combination: what was seen to work, and in how many seconds; whether all did."""
    start, told, good = time.monotonic(), [], True
    reason = walk_world.missing(world.signpost, api, dns, proxy, controller)
    if reason:
        return ["not run: " + reason], True
    try:
        world.scale("bar-1")
        world.use(dns=dns, proxy=proxy, controller=controller)
        world.until_answered_by("bar-1", seconds=SOON)
    except AssertionError as e:
        return ["NOT READY: %s" % e], False
    for name, check in CHECKS.items():
        try:
            check(world)
            told.append("ok")
        except AssertionError as e:
            told.append("FAILED")
            good = False
            print("%s+%s+%s+%s, %s: %s" % (api, dns, proxy, controller, name, e), file=sys.stderr)
    return [*told, "%.1f" % (time.monotonic() - start)], good


FORM = "%-15s %-9s %-20s %-24s" + " %-8s" * (len(CHECKS) + 1)


def show_matrix(world):
    """The rows of this world's API server."""
    status = 0
    for combination in [c for c in COMBINATIONS if c[0] == world.api]:
        cells, good = row(world, *combination)
        status |= not good
        cells += [""] * (len(CHECKS) + 1 - len(cells))
        print(FORM % (*combination, *cells), flush=True)
    return int(status)


def arguments():
    parser = argparse.ArgumentParser(prog="./run peers walk", description=__doc__.splitlines()[0])
    parser.add_argument("--signpost", default=str(walk_world.ROOT / "build" / "signpost"), help=argparse.SUPPRESS)
    parser.add_argument("--api", choices=walk_world.APIS, default=walk_world.APIS[0])
    parser.add_argument("--dns", choices=walk_world.DNS, default="signpost")
    parser.add_argument("--proxy", choices=walk_world.PROXIES, default="signpost")
    parser.add_argument("--controller", choices=walk_world.CONTROLLERS, default="signpost")
    parser.add_argument("--keep", action="store_true", help="leave the lab running")
    parser.add_argument("--matrix", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def run(args, api, what):
    folder = subprocess.check_output(["mktemp", "-d", "/tmp/signpost-walk-XXXXXX"], text=True).strip()
    world, status = walk_world.Walk(args.signpost, folder, api), 1
    try:
        world.__enter__()
        status = what(world)
    except AssertionError as e:
        print(e, file=sys.stderr)
    finally:
        if status or not args.keep:
            world.__exit__()
            shutil.rmtree(folder, ignore_errors=True)
    return status


def run_matrix(args):
    status = 0
    print(FORM % ("API server", "DNS", "proxy", "controller", *CHECKS, "seconds"), flush=True)
    for api in walk_world.APIS:
        reason = walk_world.missing(args.signpost, api)
        if reason:
            print("%-15s not run: %s" % (api, reason))
        else:
            status |= run(args, api, show_matrix)
    return status


def main():
    args = arguments()
    if args.matrix:
        return run_matrix(args)
    reason = walk_world.missing(args.signpost, args.api, args.dns, args.proxy, args.controller)
    if reason:
        sys.exit(reason)
    return run(args, args.api, lambda world: show_walk(world, args))


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
