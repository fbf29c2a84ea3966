#!/usr/bin/env python3
"""Checks that each case of tests/cases.txt is named by a test, and that tests name no others. With
--list it says by which. A test."""
import os
import re
import sys

LIST = "tests/cases.txt"
NUMBER = re.compile(r"\bT\d{2,3}\b")
FOLDERS = ("tests/unit", "tests/functional", "tests/peers")


def cases():
    """Number -> what it says, in their order."""
    with open(LIST, encoding="utf-8") as text:
        rows = [line.strip().split(None, 1) for line in text if NUMBER.match(line)]
    return dict(rows), [number for number, _ in rows]


def sources():
    for top in FOLDERS:
        for folder, _, names in os.walk(top):
            yield from (os.path.join(folder, n) for n in sorted(names) if n.endswith((".c", ".py")))


def named():
    """Number -> the places that name it."""
    found = {}
    for source in sources():
        with open(source, encoding="utf-8") as text:
            for at, line in enumerate(text, 1):
                for number in NUMBER.findall(line):
                    found.setdefault(number, []).append("%s:%d" % (source, at))
    return found


def main():
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    (listed, order), found = cases(), named()
    problems = ["%s: %s is there twice" % (LIST, n) for n in sorted(set(order)) if order.count(n) > 1]
    problems += ["%s: no test names %s: %s" % (LIST, n, listed[n]) for n in order if n not in found]
    problems += ["%s: %s is not in %s" % (places[0], n, LIST)
                 for n, places in sorted(found.items()) if n not in listed]
    if sys.argv[1:] == ["--list"]:
        print("\n".join("%-4s %s\n     %s" % (n, listed[n], " ".join(found.get(n, ["-"])))
                        for n in order))
    print("\n".join(problems) if problems else "%d cases have tests" % len(order))
    return 1 if problems or not order else 0


if __name__ == "__main__":
    sys.exit(main())
