#!/usr/bin/env python3
"""Checks who includes whom in src/, by the tables below. Run as a test; see ARCHITECTURE.md.

A room may include itself and the rooms of lower levels, never one of its own level or above.
"""
import os
import re
import sys

LEVELS = [
    ["base"],
    ["wire", "loop", "config", "kernel"],
    ["kube", "net"],
    ["store", "source"],
    ["dns", "endpoints", "proxy", "client", "node", "registry"],
    ["explain", "lab"],
    ["cmd"],
]

# Plugins see the server through one door, so that each can be read, and written, alone; what several
# of them work with stands beside it. A trailing slash means the whole room.
PLUGIN = re.compile(r"src/dns/plugins/([a-z]+)[^/]*\.[ch]$")
PLUGIN_SEES = ["dns/plugin.h", "dns/plugins/", "base/", "wire/", "config/corefile.h",
               "dns/regex.h", "dns/transfer.h",
               "dns/zone_answer.h", "dns/zone_load.h", "dns/zone_transfer.h"]
PLUGIN_ALSO = {
    "health": ["net/http.h"],  # serve a page
    "ready": ["net/http.h"],
    "prometheus": ["net/http.h"],
    "timeouts": ["net/tcp.h"],  # sets them
    "secondary": ["dns/axfr.h", "dns/zone_data.h"],  # reads what comes in
    "dnstap": ["net/frames.h", "net/tls.h"],  # how its messages travel
    "tls": ["net/tls.h"],  # makes it
    "autopath": ["kube/object.h"],  # @node: what it asks for
    "cache": ["dns/cache.h"],
    "etcd": ["source/etcd.h", "config/tree.h"],  # where its values come from; their JSON
    "dnssec": ["dns/dnskey_list.h", "dns/rrsig.h", "dns/sig_cache.h"],
    "forward": ["dns/upstream.h"],
    "sign": ["dns/dnskey_list.h", "dns/zone_sign.h"],
    "kubernetes": ["dns/snapshot.h", "dns/snap_facts.h", "dns/miss.h", "dns/nearest.h",
                   "kube/selector.h"],  # the picture it answers from; its options
}

# (room, room): what the levels forbid and is wanted all the same.
ALLOWED = {
    ("lab", "explain"): "the lab's walk is shown with the words and the record of explain/",
}

# Headers of libraries and of the kernel's tables, and the rooms that may see them: a library that
# is to be replaced is then a matter of one room.
LIBRARIES = [
    (r"urcu", ["base"]),
    (r"yaml\.h", ["config"]),
    (r"jansson\.h", ["config", "lab", "registry"]),
    (r"maxminddb\.h", ["dns"]),
    (r"libmnl/|linux/(netfilter/nf(netlink|_tables)|rtnetlink|veth|if_link)", ["kernel"]),
    (r"openssl/(ssl|x509)", ["net"]),
    (r"nghttp2/", ["net"]),
    (r"seccomp\.h|linux/landlock", ["kernel"]),
    (r"microhttpd\.h", ["net", "proxy", "lab"]),
    (r"curl/", ["net"]),
    (r"sqlite3\.h", ["registry"]),
]

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')


def level_of(room):
    for level, rooms in enumerate(LEVELS):
        if room in rooms:
            return level
    return None


def c_files(top):
    for folder, _, names in sorted(os.walk(top)):
        for name in sorted(names):
            if name.endswith((".c", ".h")):
                yield os.path.join(folder, name)


def problem_of_own(path, room, header):
    """What is wrong with a file of `room` including "room/file.h", or None."""
    target = header.split("/")[0]
    if "/" not in header or level_of(target) is None:
        return 'is not of the form "room/file.h" with a room of the table'
    if target != room and level_of(target) >= level_of(room) and (room, target) not in ALLOWED:
        return "%s (level %d) must not see %s (level %d)" % (
            room, level_of(room), target, level_of(target))
    plugin = PLUGIN.match(path)
    allowed = PLUGIN_SEES + PLUGIN_ALSO.get(plugin[1], []) if plugin else []
    if plugin and not any(header == a or a.endswith("/") and header.startswith(a) for a in allowed):
        return "a plugin of this name may see only %s" % ", ".join(allowed)
    return None


def problem_of_library(room, header):
    for pattern, rooms in LIBRARIES:
        if re.match(pattern, header) and room not in rooms:
            return "only %s may see this library" % " and ".join(rooms)
    return None


def check(path):
    """Yields the problems of one file."""
    room = path.split("/")[1]
    if level_of(room) is None:
        yield "%s: room '%s' is not in the table" % (path, room)
        return
    with open(path, encoding="utf-8") as source:
        for number, line in enumerate(source, 1):
            found = INCLUDE.match(line)
            if not found:
                continue
            own = found[1] == '"'
            problem = problem_of_own(path, room, found[2]) if own else problem_of_library(
                room, found[2])
            if problem:
                yield "%s:%d: %s: %s" % (path, number, found[2], problem)


def main():
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    files = list(c_files("src"))
    problems = [problem for path in files for problem in check(path)]
    print("\n".join(problems) if problems else "%d files keep their levels" % len(files))
    return 1 if problems or not files else 0


if __name__ == "__main__":
    sys.exit(main())
