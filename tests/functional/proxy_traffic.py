"""Clients of a Service that never rest, run inside a network namespace until standard input ends; then what came of it
is printed as JSON.

    proxy_traffic.py new PROTO HOST PORT      connection after connection, each from a new port
    proxy_traffic.py held HOST PORT COUNT     COUNT TCP connections, over each of which something is said all the time
    proxy_traffic.py flow HOST PORT           one UDP socket that asks all the time: who answered, in order
"""
import collections
import json
import select
import socket
import struct
import sys
import time

PATIENCE = 3.0  # an ICMP error that comes too soon is only seen by the second SYN, a second later
PAUSE = 0.002


def going():
    return not select.select([sys.stdin], [], [], PAUSE)[0]


def one(proto, host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM) as s:
        s.settimeout(PATIENCE)
        if proto == "tcp":
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        try:
            s.connect((host, port))
            if proto == "udp":
                s.send(b"hello\n")
            return "reply" if s.recv(256) else "closed"
        except OSError as e:
            return e.__class__.__name__


def new(proto, host, port):
    made = collections.Counter()
    while going():
        made[one(proto, host, port)] += 1
        if made.total() == 1:
            print("ready", flush=True)
    return made


def held(host, port, count):
    open_ones = [socket.create_connection((host, port), PATIENCE) for _ in range(count)]
    names = [s.recv(256).decode().split()[0] for s in open_ones]
    said, broken = 0, []
    print("ready", flush=True)
    while going() and not broken:
        for name, s in zip(names, open_ones):
            try:
                s.sendall(b"still there\n")
                if s.recv(256) != b"still there\n":
                    broken.append("%s: closed" % name)
            except OSError as e:
                broken.append("%s: %s" % (name, e.__class__.__name__))
            said += 1
    return {"said": said, "broken": broken, "names": sorted(set(names))}


def flow(host, port):
    runs = []  # [who, how often], and when each began
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(0.3)
        s.connect((host, port))
        while going():
            try:
                s.send(b"hello\n")
                who = s.recv(256).decode().split()[0]
            except OSError as e:
                who = e.__class__.__name__
            if not runs:
                print("ready", flush=True)
            if not runs or runs[-1][0] != who:
                runs.append([who, 0, time.monotonic()])
            runs[-1][1] += 1
    return runs


def main(kind, *words):
    if kind == "held":
        made = held(words[0], int(words[1]), int(words[2]))
    elif kind == "flow":
        made = flow(words[0], int(words[1]))
    else:
        made = new(words[0], words[1], int(words[2]))
    print(json.dumps(made))


main(*sys.argv[1:])
