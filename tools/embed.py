#!/usr/bin/env python3
"""Prints a text file as C: embed.py NAME FILE gives `const char NAME[]`, line by line."""
import sys

name, path = sys.argv[1:]
print("extern const char %s[];\nconst char %s[] =" % (name, name))
with open(path, encoding="utf-8") as text:
    for line in text:
        print('    "%s\\n"' % line.rstrip("\n").replace("\\", "\\\\").replace('"', '\\"'))
print("    ;")
