#!/usr/bin/env python3
"""Checks sizes, headers and words of the project's own files. Run as a test; see CONTRIBUTING.md.

Functions are found by the house format: their braces stand alone in the first column.
"""
import os
import re
import sys

FILE_LINES = 600
FUNCTION_LINES = 100
TOPS = ["src", "tests", "bench", "tools", "run", ".ci/run"]
KINDS = (".c", ".h", ".py", ".sh")

# Longer than the rule allows, with the reason.
LONG_FILES = {
    "tests/vectors/dnsvec.py": "the vector runner is one file so that it can be handed on alone",
    "tests/proxyvec/proxyvec.py": "the vector runner of the proxy, likewise",
}
LONG_FUNCTIONS = {}

# Words that promise later work. (A template of mkstemp is no word.)
PROMISES = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def own_files():
    for top in TOPS:
        if os.path.isfile(top):
            yield top
        for folder, folders, names in os.walk(top):
            folders[:] = [f for f in folders if f != "__pycache__"]
            yield from (os.path.join(folder, n) for n in sorted(names) if n.endswith(KINDS))


def functions(lines):
    """Yields (first line, length) of each function, the lines of its signature included."""
    start = None
    for number, line in enumerate(lines):
        if line == "{":
            start = number
            while start > 0 and lines[start - 1].strip() and not lines[start - 1].startswith(
                    ("}", "#", " */", "/*")):
                start -= 1
        elif line == "}" and start is not None:
            yield start + 1, number + 1 - start
            start = None


def header_problems(path, lines):
    if not lines or not lines[0].startswith("/*"):
        yield "%s:1: a header begins with a comment that says what the thing is" % path
    if "#pragma once" not in lines:
        yield "%s:1: #pragma once is missing" % path


def check(path, lines, lengths):
    if len(lines) > FILE_LINES and path not in LONG_FILES:
        yield "%s: %d lines; split it by noun (limit %d)" % (path, len(lines), FILE_LINES)
    if path.endswith(".h"):
        yield from header_problems(path, lines)
    if path.endswith((".c", ".h")):
        for first, length in functions(lines):
            lengths.append(length)
            if length > FUNCTION_LINES and (path, first) not in LONG_FUNCTIONS:
                yield "%s:%d: a function of %d lines (limit %d)" % (
                    path, first, length, FUNCTION_LINES)
    if path.startswith("src/"):
        for number, line in enumerate(lines, 1):
            if PROMISES.search(line):
                yield "%s:%d: a promise of later work: do it or take it out" % (path, number)


def main():
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    problems, lengths = [], []
    for path in own_files():
        with open(path, encoding="utf-8") as text:
            problems += check(path, text.read().splitlines(), lengths)
    if problems:
        print("\n".join(problems))
        return 1
    lengths.sort()
    print("%d functions, median %d lines, one in ten over %d, longest %d" % (
        len(lengths), lengths[len(lengths) // 2], lengths[len(lengths) * 9 // 10], lengths[-1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
