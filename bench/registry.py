#!/usr/bin/env python3
"""`signpost registry` beside kube-apiserver with etcd: durable creates a second, the time until 100 watchers have
heard of a change, and memory with some thousand objects.

    ./run bench registry [--objects N] [--seconds S] [--theirs]

--theirs measures kube-apiserver, too; ./run peers builds it. Both keep their files in the same folder's file system,
speak TLS, and are asked by the same clients. The time to the watchers is told from the request, as that is where both
begin alike: kube-apiserver acknowledges a write when its watchers have been told, signpost before. It holds one
commit to the disk; the time until the acknowledgement is told beside it.
"""
import argparse
import http.client
import json
import pathlib
import ssl
import subprocess
import sys
import tempfile
import threading
import time

import process

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:1] = [str(ROOT / "tests" / part) for part in ("lib", "functional", "peers")]
# (In the place of this folder, where dns.py hides a package of that name.)
from registry_world import Registry, config_map  # noqa: E402

CLIENTS = 16
WATCHERS = 100
EVENTS = 1000
MAPS = "/api/v1/namespaces/default/configmaps"


class Server:
    """Where one of them is asked, and the processes that it is made of."""

    def __init__(self, name, port, ca, token, pids, client):
        self.name, self.port, self.token, self.pids, self.client = name, port, token, pids, client
        self.context = ssl.create_default_context(cafile=ca)

    def connect(self):
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=self.context, timeout=60)

    def send(self, connection, method, path, body=None):
        connection.request(method, path, body and json.dumps(body), {
            "Authorization": "Bearer " + self.token, "Content-Type": "application/json"})
        return connection.getresponse()

    def seconds(self):
        """Of processor time so far."""
        return process.cpu_ns(self.pids) / 1e9

    def memory(self):
        """Proportional set size of all its processes, in MB."""
        return sum(process.kilobytes("/proc/%d/smaps_rollup" % pid, "Pss:") for pid in self.pids) / 1024


def creates(server, seconds, prefix):
    """How many objects a second are acknowledged."""
    end, counts = time.monotonic() + seconds, [0] * CLIENTS

    def work(n):
        connection = server.connect()
        while time.monotonic() < end:
            reply = server.send(connection, "POST", MAPS, config_map("%s-%d-%d" % (prefix, n, counts[n]), x="y" * 100))
            reply.read()
            assert reply.status == 201, reply.status
            counts[n] += 1

    threads = [threading.Thread(target=work, args=(n,)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


def watched(server, watchers):
    """What bench/watchers.c measures, and microseconds of the server's processors for each event."""
    before = server.seconds()
    text = subprocess.check_output([str(server.client), str(server.port), server.token, MAPS, "watched", str(watchers),
                                    str(EVENTS)], text=True, timeout=600)
    return json.loads(text), (server.seconds() - before) / EVENTS * 1e6


def fan_out(server):
    """The same with and without watchers: the difference is what they cost."""
    server.send(server.connect(), "POST", MAPS, config_map("watched", n="-1")).read()
    _, alone = watched(server, 0)
    times, cost = watched(server, WATCHERS)
    print("%-15s %8.2f ms from a write's request to its acknowledgement, %.2f ms to the last of %d watchers (p99 %.2f; "
          "%.2f ms behind the acknowledgement), %.1f us of processor time for each event and watcher" % (
              server.name, times["acknowledged"]["median"], times["last"]["median"], WATCHERS, times["last"]["p99"],
              times["behind"]["median"], (cost - alone) / WATCHERS), flush=True)
    return times["last"]["median"], (cost - alone) / WATCHERS


def measure(server, options):
    rate = creates(server, options.seconds, "a")
    connection, n = server.connect(), 0
    while n < options.objects:
        server.send(connection, "POST", MAPS, config_map("m-%d" % n, x="y" * 100)).read()
        n += 1
    (delay, cost), memory = fan_out(server), server.memory()
    print("%-15s %8.0f creates/s %8.1f MB with %d objects" % (
        server.name, rate, memory, n + int(rate * options.seconds)), flush=True)
    return rate, delay, cost, memory


def compare(ours, theirs):
    print("signpost beside kube-apiserver with etcd: %.1f times the creates, %.1f times as fast to all watchers with %.1f "
          "times less of the processor, %.1f times smaller" % (
              ours[0] / theirs[0], theirs[1] / ours[1], theirs[2] / ours[2], theirs[3] / ours[3]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--objects", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--theirs", action="store_true")
    options = parser.parse_args()
    client = ROOT / options.build / "bench" / "watchers"
    with tempfile.TemporaryDirectory() as folder, Registry(str(ROOT / options.build / "signpost"), folder,
                                                                    "--controllers=false") as ours:
        mine = measure(Server("signpost", ours.port, str(ours.credentials / "ca.crt"), ours.token, [ours.process.pid],
                              client), options)
    if options.theirs:
        import kube_world
        kube_world.Cluster.start_controllers = lambda self: None
        with tempfile.TemporaryDirectory() as folder, kube_world.Cluster(folder) as theirs:
            compare(mine, measure(Server("kube-apiserver", theirs.port, theirs.path("ca.crt"), kube_world.TOKEN,
                                         [theirs.api.pid, theirs.etcd.process.pid], client),
                                  options))


if __name__ == "__main__":
    main()
