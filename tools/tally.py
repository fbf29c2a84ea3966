#!/usr/bin/env python3
"""Adds up the results of all parts of `./run test`: tally.py STATUS:FILE...

FILE is Meson's testlog.json (one JSON object a line) or a JUnit XML file; STATUS is 0 when the
part's command said success. Prints what failed or was skipped (cases of one test in one line), then
one closing line; exits 1 when anything failed. A part that failed without naming a test counts as
one failure. An alone.xml beside FILE has what was tried once more by itself: what passed there
counts as passed, and is named.

tally.py --failed FILE: what failed there, as pytest takes it, a line each.
"""
import collections
import json
import os
import sys
import xml.etree.ElementTree as ElementTree

MESON_GOOD = ("OK", "EXPECTEDFAIL")


def meson_results(path):
    """Yields (name, outcome) for each line of testlog.json."""
    with open(path, encoding="utf-8") as log:
        for line in log:
            if not line.strip():
                continue
            test = json.loads(line)
            outcome = "passed" if test["result"] in MESON_GOOD else "failed"
            yield test["name"], "skipped" if test["result"] == "SKIP" else outcome


def junit_results(path):
    """Yields (name, outcome) for each test case of a JUnit file."""
    for case in ElementTree.parse(path).iter("testcase"):
        outcome = "passed"
        if case.find("failure") is not None or case.find("error") is not None:
            outcome = "failed"
        elif case.find("skipped") is not None:
            outcome = "skipped"
        yield "%s.%s" % (case.get("classname"), case.get("name")), outcome


def node_of(name):
    """pytest's name of a case of a JUnit file."""
    path, rest = "", name
    while not os.path.isfile(path + ".py"):
        part, dot, rest = rest.partition(".")
        if not dot:
            raise ValueError("%s: not in a file that is here" % name)
        path = os.path.join(path, part)
    return "%s.py::%s" % (path, rest)


def list_failed(path):
    for name, outcome in junit_results(path):
        if outcome == "failed":
            print(node_of(name))


def with_second_try(results, path):
    """The results, those that passed alone among them."""
    alone = os.path.join(os.path.dirname(path), "alone.xml")
    second = dict(junit_results(alone)) if os.path.exists(alone) else {}
    for name, outcome in results:
        if outcome == "failed" and second.get(name) == "passed":
            print("passed at the second try, by itself: %s  (%s)" % (name, path))
            outcome = "passed"
        yield name, outcome


def results_of(status, path):
    """The results of one part; one failure more when its command failed and no test did."""
    results = []
    if os.path.exists(path):
        read = meson_results if path.endswith(".json") else junit_results
        results = list(read(path))
        if os.path.basename(path) == "functional.xml":
            results = list(with_second_try(results, path))
    if not results:
        results = [("%s: no results" % path, "failed")]
    elif status and not any(outcome == "failed" for _, outcome in results):
        results.append(("%s: ended with an error" % path, "failed"))
    return results


def main():
    if sys.argv[1] == "--failed":
        list_failed(sys.argv[2])
        return 0
    count = {"passed": 0, "failed": 0, "skipped": 0}
    named = collections.Counter()
    for argument in sys.argv[1:]:
        status, _, path = argument.partition(":")
        for name, outcome in results_of(int(status), path):
            count[outcome] += 1
            if outcome == "failed":
                print("failed   %s  (%s)" % (name, path))
            named[outcome, name.partition("[")[0], path] += 1
    for (outcome, name, path), cases in named.items():
        if outcome == "skipped":
            print("skipped  %s%s  (%s)" % (name, " x%d" % cases if cases > 1 else "", path))
    line = "%(passed)d passed, %(failed)d failed" % count
    if count["skipped"]:
        line += ", %(skipped)d skipped" % count
    print(line)
    return 1 if count["failed"] or not count["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
