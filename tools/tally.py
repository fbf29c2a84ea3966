#!/usr/bin/env python3
"""Adds up the results of all parts of `./run test`: tally.py STATUS:FILE...

FILE is Meson's testlog.json (one JSON object a line) or a JUnit XML file; STATUS is 0 when the
part's command said success. Prints what failed or was skipped (cases of one test in one line), then
one closing line; exits 1 when anything failed. A part that failed without naming a test counts as
one failure.
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


def results_of(status, path):
    """The results of one part; one failure more when its command failed and no test did."""
    results = []
    if os.path.exists(path):
        read = meson_results if path.endswith(".json") else junit_results
        results = list(read(path))
    if not results:
        results = [("%s: no results" % path, "failed")]
    elif status and not any(outcome == "failed" for _, outcome in results):
        results.append(("%s: ended with an error" % path, "failed"))
    return results


def main():
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
