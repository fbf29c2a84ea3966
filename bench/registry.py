#!/usr/bin/env python3
"""`signpost registry` beside kube-apiserver with etcd: durable creates a second, the time until 100 watchers have
heard of a change, and memory with some thousand objects.

    ./run bench registry [--objects N] [--seconds S] [--theirs]

--theirs measures kube-apiserver, too; ./run peers builds it. Both keep their files in the same folder's file system,
speak TLS, and are asked by the same client, whose own cost is part of what is measured.
"""
import argparse
import http.client
import json
import pathlib
import ssl
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:1] = [str(ROOT / "tests" / part) for part in ("lib", "functional", "peers")]
# (In the place of this folder, where dns.py hides a package of that name.)
from registry_world import Registry, config_map  # noqa: E402

CLIENTS = 16
WATCHERS = 100
EVENTS = 50
MAPS = "/api/v1/namespaces/default/configmaps"


class Server:
    """Where one of them is asked, and the processes that it is made of."""

    def __init__(self, name, port, ca, token, pids):
        self.name, self.port, self.token, self.pids = name, port, token, pids
        self.context = ssl.create_default_context(cafile=ca)

    def connect(self):
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=self.context, timeout=60)

    def send(self, connection, method, path, body=None):
        connection.request(method, path, body and json.dumps(body), {
            "Authorization": "Bearer " + self.token, "Content-Type": "application/json"})
        return connection.getresponse()

    def memory(self):
        """Proportional set size of all its processes, in MB."""
        total = 0
        for pid in self.pids:
            for line in pathlib.Path("/proc/%d/smaps_rollup" % pid).read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        return total / 1024


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


def fan_out(server):
    """Median milliseconds from a change to the moment when the last of the watchers has read it."""
    connection = server.connect()
    server.send(connection, "POST", MAPS, config_map("watched", n="-1")).read()
    seen, done = [0] * EVENTS, [threading.Event() for _ in range(EVENTS)]
    lock, ready = threading.Lock(), threading.Barrier(WATCHERS + 1)

    def watch():
        mine = server.connect()
        reply = server.send(mine, "GET", MAPS + "?watch=1&fieldSelector=metadata.name%3Dwatched")
        reply.readline()
        ready.wait()
        for n in range(EVENTS):
            reply.readline()
            with lock:
                seen[n] += 1
                if seen[n] == WATCHERS:
                    done[n].set()
        mine.close()

    threads = [threading.Thread(target=watch, daemon=True) for _ in range(WATCHERS)]
    for thread in threads:
        thread.start()
    ready.wait()
    times = []
    for n in range(EVENTS):
        begin = time.monotonic()
        server.send(connection, "PUT", MAPS + "/watched", config_map("watched", n=str(n))).read()
        assert done[n].wait(60)
        times.append((time.monotonic() - begin) * 1000)
    return sorted(times)[EVENTS // 2]


def measure(server, options):
    rate = creates(server, options.seconds, "a")
    connection, n = server.connect(), 0
    while n < options.objects:
        server.send(connection, "POST", MAPS, config_map("m-%d" % n, x="y" * 100)).read()
        n += 1
    delay, memory = fan_out(server), server.memory()
    print("%-15s %8.0f creates/s %8.1f ms to %d watchers %8.1f MB with %d objects" % (
        server.name, rate, delay, WATCHERS, memory, n + int(rate * options.seconds)), flush=True)
    return rate, delay, memory


def compare(ours, theirs):
    print("signpost beside kube-apiserver with etcd: %.1f times the creates, %.1f times as fast to all watchers, "
          "%.1f times smaller" % (ours[0] / theirs[0], theirs[1] / ours[1], theirs[2] / ours[2]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--objects", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--theirs", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Registry(str(ROOT / options.build / "signpost"), folder,
                                                                    "--controllers=false") as ours:
        mine = measure(Server("signpost", ours.port, str(ours.credentials / "ca.crt"), ours.token, [ours.process.pid]),
                       options)
    if options.theirs:
        import kube_world
        kube_world.Cluster.start_controllers = lambda self: None
        with tempfile.TemporaryDirectory() as folder, kube_world.Cluster(folder) as theirs:
            compare(mine, measure(Server("kube-apiserver", theirs.port, theirs.path("ca.crt"), kube_world.TOKEN,
                                         [theirs.api.pid, theirs.etcd.process.pid]), options))


if __name__ == "__main__":
    main()
