#!/usr/bin/python3
"""A server under mixed load for as long as one likes, and whether it keeps what it should let go.

Queries over UDP, TCP, TLS and HTTPS (dnsperf) for names that are there, that are not and that are
forwarded; connections that come and go; objects that change; a reload every few seconds. Memory,
descriptors and threads are sampled all the while. Memory must not grow once the server is warm:
Theil and Sen's slope over the samples, so that single peaks count for nothing.
"""
import argparse
import contextlib
import http.client
import os
import pathlib
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "lib"), str(HERE / "functional")]

from certificates import Authority  # noqa: E402
from dns_world import Connection, Server, parse, query, write_whole  # noqa: E402
import dnsperf  # noqa: E402

COREFILE = """cluster.local:@PORT@ forwarded.test:@PORT@ {
    bind 127.0.0.1
    cache %(cache)d
    loadbalance
    prometheus 127.0.0.1:@PORT4@
    kubernetes cluster.local {
        manifests @DIR@/manifests
        ttl %(ttl)d
    }
    forward forwarded.test 127.0.0.1:%(upstream)d
}
tls://cluster.local:@PORT2@ https://cluster.local:@PORT3@ {
    bind 127.0.0.1
    tls @DIR@/server.crt @DIR@/server.key
    log . {
        class error
    }
    kubernetes cluster.local {
        manifests @DIR@/manifests
        ttl %(ttl)d
    }
}
"""
UPSTREAM = """forwarded.test:@PORT@ {
    bind 127.0.0.1
    template IN A {
        answer "{{ .Name }} 20 IN A 192.0.2.7"
    }
}
"""
SERVICE = """apiVersion: v1
kind: Service
metadata: {name: %s, namespace: default, labels: {change: "%d"}}
spec:
  clusterIP: 10.96.%d.%d
  ports: [{name: http, port: 80, protocol: TCP}]
"""
SERVICES = 200
GROUP = 10          # of them in a file
FORWARDED = 20000   # names, twice what the cache holds
MISSES = 5000
WARM_MAX = 600      # seconds: after these at the latest, growth is growth
FREE = 1 << 10      # KiB that may be gained at any rate,
FREE_A_MINUTE = 8 << 10  # and so many in a run of a minute, where a page more weighs much
READY = 20


def questions(folder):
    """Files of questions: all kinds, and those that the sealed listeners serve."""
    cluster = ["s%d.default.svc.cluster.local A" % i for i in range(SERVICES)]
    cluster += ["_http._tcp.s%d.default.svc.cluster.local SRV" % i for i in range(SERVICES)]
    cluster += ["n%d.default.svc.cluster.local A" % i for i in range(MISSES)]
    forwarded = ["n%d.forwarded.test A" % i for i in range(FORWARDED)]
    step = len(forwarded) // len(cluster)
    mixed = [q for i, one in enumerate(cluster) for q in (one, *forwarded[i * step:(i + 1) * step])]
    files = {}
    for name, lines in (("mixed", mixed), ("cluster", cluster)):
        files[name] = folder / (name + ".txt")
        files[name].write_text("\n".join(lines) + "\n")
    return files


class Worker(threading.Thread):
    """Does something every so many seconds, as far as it can, until the end; what goes wrong is kept."""

    def __init__(self, act, every):
        super().__init__(daemon=True)
        self.act, self.every = act, every
        self.over, self.count, self.problem, self.rate = threading.Event(), 0, None, 0.0

    def run(self):
        begin = due = time.monotonic()
        try:
            while not self.over.wait(max(0.0, due - time.monotonic())):
                self.act(self.count)
                self.count += 1
                due = max(due + self.every, time.monotonic() - 1)  # a second can be caught up with
        except Exception as e:  # reported at the end
            self.problem = repr(e)
        self.rate = self.count / (time.monotonic() - begin)


class World:
    def __init__(self, program, folder):
        self.program, self.folder = program, pathlib.Path(folder)
        (self.folder / "manifests").mkdir()
        for i in range(SERVICES // GROUP):
            self.change(i)
        authority = Authority(self.folder)
        authority.issue("server", "/CN=server", "IP:127.0.0.1,DNS:localhost")
        self.context = ssl.create_default_context(cafile=authority.path("ca.crt"))
        self.server = None

    def corefile(self, number, upstream):
        return COREFILE % {"cache": 30 + number % 3, "ttl": 5 + number % 7, "upstream": upstream}

    # ---- what happens all the while ----

    def change(self, number):
        """A file of GROUP objects, each with another address and label."""
        first = number * GROUP % SERVICES
        text = [SERVICE % ("s%d" % i, number, number * GROUP // SERVICES % 200, i + 1)
                for i in range(first, first + GROUP)]
        write_whole(self.folder / "manifests" / ("from%d.yaml" % first), "---\n".join(text))

    def reload(self, number):
        s = self.server
        text = self.corefile(number, self.upstream_port)
        for word, port in s.ports.items():
            text = text.replace(word, str(port))
        before = s.output.stat().st_size
        write_whole(s.path, text.replace("@DIR@", str(self.folder)))
        s.process.send_signal(signal.SIGUSR1)
        end = time.monotonic() + 60
        while True:
            with s.output.open("rb") as log:
                log.seek(before)
                if b"Reloading complete" in log.read():
                    return
            assert time.monotonic() < end, "a reload takes more than a minute"
            time.sleep(0.01)

    def connect(self, number):
        """A connection for one question, of each kind in turn."""
        wire = query("s1.default.svc.cluster.local.", ident=number & 0xffff).to_wire()
        kind = number % 3
        if kind == 2:
            https = http.client.HTTPSConnection("127.0.0.1", self.server.numbered(3), timeout=20,
                                                context=self.context)
            with contextlib.closing(https):
                https.request("POST", "/dns-query", wire)
                reply = https.getresponse().read()
        else:
            with Connection(self.server.port if kind else self.server.numbered(2)) as c:
                c.sock.settimeout(20)
                if not kind:
                    c.sock = self.context.wrap_socket(c.sock, server_hostname="127.0.0.1")
                c.send(wire)
                reply = c.receive()
        assert parse(reply).answer, "an answer without a record"

    # ---- samples ----

    def sample(self):
        """(RSS, of it its own, in KiB; descriptors; threads)"""
        found = {}
        for line in pathlib.Path("/proc/%d/status" % self.server.process.pid).read_text().splitlines():
            word, _, rest = line.partition(":")
            if word in ("VmRSS", "RssAnon", "Threads"):
                found[word] = int(rest.split()[0])
        n = len(os.listdir("/proc/%d/fd" % self.server.process.pid))
        return found["VmRSS"], found["RssAnon"], n, found["Threads"]


def slope(points):
    """Theil and Sen's: the median of the slopes of pairs, of which no more than some thousands."""
    step = max(1, len(points) // 120)
    points = points[::step]
    found = [(y2 - y1) / (x2 - x1) for i, (x1, y1) in enumerate(points) for x2, y2 in points[i + 1:]]
    return statistics.median(found)


def verdict(samples, seconds):
    """(text, whether it is good): growth after the warm-up."""
    warm = min(WARM_MAX, seconds / 3)
    used = [s for s in samples if s[0] >= warm]
    if len(used) < 5:
        return "too few samples", False
    span = used[-1][0] - used[0][0]
    grown = slope([(s[0], s[2]) for s in used]) * span
    allowed = FREE + FREE_A_MINUTE / max(1.0, seconds / 60)
    lines, good = [], grown <= allowed
    lines.append("memory: %+.0f KiB in %.0f s after %.0f s of warm-up (%.0f allowed): %s" % (
        grown, span, warm, allowed, "good" if good else "IT GROWS"))
    half = len(used) // 2
    for column, name, room in ((3, "descriptors", 8), (4, "threads", 0)):
        first, last = (statistics.median(s[column] for s in part) for part in (used[:half], used[half:]))
        lines.append("%s: %g as a median of the first half, %g of the second: %s" % (
            name, first, last, "good" if last <= first + room else "IT GROWS"))
        good = good and last <= first + room
    return "\n".join(lines), good


def row(s):
    return "%8.0f  %9d  %9d  %11d  %7d" % s


def watch(world, seconds, every):
    """Samples until the end, of which about twenty are shown."""
    samples, begin, shown = [], time.monotonic(), -seconds
    print("%8s  %9s  %9s  %11s  %7s" % ("seconds", "RSS KiB", "own KiB", "descriptors", "threads"),
          flush=True)
    while time.monotonic() - begin < seconds:
        assert world.server.process.poll() is None, "the server ended: " + world.server.log()[-2000:]
        samples.append((time.monotonic() - begin, *world.sample()))
        if samples[-1][0] - shown >= seconds / 20:
            shown = samples[-1][0]
            print(row(samples[-1]), flush=True)
        time.sleep(every)
    print(row(samples[-1]), flush=True)
    return samples


def loads(stack, world, files, seconds, rate):
    """The four transports; the sealed ones at a fifth of the rate."""
    s, more = world.server, {"seconds": seconds, "timeout": 20}
    return [stack.enter_context(dnsperf.Run(mode, port, files[kind], rate=max(1, share), clients=4, **more))
            for mode, port, kind, share in (
                ("udp", s.port, "mixed", rate), ("tcp", s.port, "mixed", rate // 2),
                ("dot", s.numbered(2), "cluster", rate // 5),
                ("doh", s.numbered(3), "cluster", rate // 5))]


def report_load(runs):
    """Whether every query got a reply, and the right kind of one."""
    good = True
    for run in runs:
        c = run.finish(120)
        fine = c["completed"] and not c["lost"] and set(c["rcodes"]) <= {"NOERROR", "NXDOMAIN"}
        good = good and fine
        print("%s: %d sent, %d answered, %d lost, %s: %s" % (
            run.mode, c["sent"], c["completed"], c["lost"], c["rcodes"], "good" if fine else "BAD"))
        if not fine:
            print(run.text)
    return good


def report_work(workers):
    good = True
    for what, worker in workers.items():
        worker.over.set()
        worker.join(120)
        good = good and not worker.problem and worker.count > 0
        times = GROUP if what == "changes" else 1
        print("%s: %d, %.1f a second%s" % (what, worker.count * times, worker.rate * times,
                                           ": " + worker.problem if worker.problem else ""))
    return good


def soak(world, options):
    files = questions(world.folder)
    with contextlib.ExitStack() as stack:
        (world.folder / "upstream").mkdir()
        up = stack.enter_context(Server(world.program, world.folder / "upstream", UPSTREAM, "-workers", "1"))
        world.upstream_port = up.port
        world.server = s = stack.enter_context(
            Server(world.program, world.folder, world.corefile(0, up.port), "-workers", "2"))
        s.until("s1.default.svc.cluster.local.", ["10.96.0.2"], READY)
        workers = {"changes": Worker(world.change, GROUP / options.changes),
                   "reloads": Worker(world.reload, options.reload),
                   "connections": Worker(world.connect, 1 / options.connections)}
        runs = loads(stack, world, files, int(options.seconds), options.rate)
        for worker in workers.values():
            worker.start()
        samples = watch(world, options.seconds, max(0.2, min(5, options.seconds / 200)))
        good = report_work(workers)
        good = report_load(runs) and good
        text, flat = verdict(samples, options.seconds)
        if "left out in a build with a sanitizer" in s.log():
            text, flat = text + "\n(not judged: a sanitizer keeps for a while what is freed)", True
        print(text)
        code = s.stop()
        print("the server ended with %d" % code)
        return good and flat and code == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default=str(HERE.parent / "build" / "signpost"))
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=int, default=1000, help="queries a second over UDP; half of it TCP")
    parser.add_argument("--changes", type=float, default=100, help="objects changed a second")
    parser.add_argument("--connections", type=float, default=20, help="short connections a second")
    parser.add_argument("--reload", type=float, default=10, help="seconds from reload to reload")
    options = parser.parse_args()
    options.seconds = options.minutes * 60
    options.program = os.path.abspath(options.program)
    with tempfile.TemporaryDirectory() as folder:
        good = soak(World(options.program, folder), options)
    print("GOOD" if good else "NOT GOOD")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
