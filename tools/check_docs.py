#!/usr/bin/env python3
"""Checks that what is named is there: in pages, files in backquotes and relative links; in sources,
pages. A test."""
import os
import re
import sys

ROOMS = sorted(d for d in os.listdir(os.path.join(os.path.dirname(__file__), "../src")))
FILE = re.compile(r"`((?:%s|src|tests|tools|docs|bench|examples|deploy|packaging)/[\w./-]*)`" % "|".join(ROOMS))
PAGE = re.compile(r"\b[\w/-]+\.md\b")
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def pages():
    yield from (n for n in sorted(os.listdir(".")) if n.endswith(".md"))
    for folder, _, names in os.walk("docs"):
        yield from (os.path.join(folder, n) for n in sorted(names) if n.endswith(".md"))


def problems_of(page):
    with open(page, encoding="utf-8") as text:
        for number, line in enumerate(text, 1):
            for name in FILE.findall(line):
                if not os.path.exists(name) and not os.path.exists(os.path.join("src", name)):
                    yield "%s:%d: %s is not there" % (page, number, name)
            for name in LINK.findall(line):
                if not os.path.exists(os.path.join(os.path.dirname(page), name)):
                    yield "%s:%d: the link to %s leads nowhere" % (page, number, name)


def sources():
    for top in ("src", "tests", "bench", "tools"):
        for folder, _, names in os.walk(top):
            yield from (os.path.join(folder, n) for n in sorted(names) if n.endswith((".c", ".h", ".py")))


def unknown_pages(source):
    with open(source, encoding="utf-8") as text:
        for number, line in enumerate(text, 1):
            for name in PAGE.findall(line):
                if not os.path.exists(name):
                    yield "%s:%d: there is no page %s" % (source, number, name)


def main():
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    checked = list(pages())
    problems = [problem for page in checked for problem in problems_of(page)]
    problems += [problem for source in sources() for problem in unknown_pages(source)]
    print("\n".join(problems) if problems else "%d pages name what is there" % len(checked))
    return 1 if problems or not checked else 0


if __name__ == "__main__":
    sys.exit(main())
