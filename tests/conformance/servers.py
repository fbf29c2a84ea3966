"""Starts the two servers of a world, and the upstream that both forward to."""
import contextlib
import itertools
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time

import corefile

UPSTREAM_ZONE = """\
$ORIGIN %s.
$TTL 120
@ IN SOA ns1 root 7 7200 3600 1209600 60
@ NS ns1
@ A 192.0.2.100
@ MX 10 mx
ns1 A 192.0.2.53
www A 192.0.2.3
www 60 A 192.0.2.4
www AAAA 2001:db8::3
alias 30 CNAME www
chain1 CNAME chain2
chain2 CNAME chain3
chain3 CNAME www
toolong CNAME nothing
x.wild A 192.0.2.5
*.wild A 192.0.2.6
mx MX 5 www
mx MX 10 alias
txt TXT "hello" "world"
four A 192.0.2.33
four A 192.0.2.34
six AAAA 2001:db8::6
two A 192.0.2.201
nodata TXT "only"
dn DNAME wild
deleg NS ns.deleg
ns.deleg A 192.0.2.54
lb A 192.0.2.150
_http._tcp SRV 0 5 80 www
zero 0 A 192.0.2.7
%s
"""
UPSTREAM = """\
(zones) {
    bind 127.0.0.1
    template ANY ANY broken.example.net {
        rcode SERVFAIL
    }
    template ANY ANY refused.example.net {
        rcode REFUSED
    }
    file %(dir)s/example.net example.net
    file %(dir)s/example.org example.org
    template ANY ANY . {
        rcode NXDOMAIN
        authority ". 90 IN SOA a.root. b.root. 1 2 3 4 60"
    }
}
.:%(one)d {
    import zones
}
.:%(two)d {
    import zones
}
"""
WORDS = re.compile("@[A-Z]+[0-9]*@")
START = 15.0  # seconds a server has


class Ports:
    """Ports that nobody uses, below the range that the kernel gives out."""

    def __init__(self, worker, workers):
        size = 18000 // workers
        self.numbers = itertools.cycle(range(12000 + worker * size, 12000 + (worker + 1) * size))

    def take(self):
        for number in itertools.islice(self.numbers, 5000):
            with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
                with contextlib.suppress(OSError):
                    tcp.bind(("127.0.0.1", number))
                    udp.bind(("127.0.0.1", number))
                    return number
        raise RuntimeError("no free port")


class Process:
    """A server. `up` is false when it ended instead of serving."""

    def __init__(self, command, folder, text, env):
        self.folder, self.command = folder, command
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "Corefile").write_text(text, encoding="utf-8")
        self.output = folder / "output"
        with self.output.open("wb") as out:
            self.process = subprocess.Popen([*command, "-conf", str(folder / "Corefile")], stdout=out,
                                            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=folder,
                                            env={**os.environ, **env})
        self.up = False

    def log(self):
        return self.output.read_text(encoding="utf-8", errors="replace")

    def wait(self, seconds=START):
        """Until it says that it serves."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            ended = self.process.poll() is not None
            if re.search(r"^(CoreDNS-|linux/|signpost)", self.log(), re.MULTILINE) and not ended:
                self.up = True
                return True
            if ended:
                return False
            time.sleep(0.004)
        return False

    def alive(self):
        return self.process.poll() is None

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Upstream:
    def __init__(self, coredns, folder, ports):
        folder.mkdir(parents=True)
        many = "\n".join("big A 198.51.100.%d" % n for n in range(1, 61))
        for zone in ("example.net", "example.org"):
            (folder / zone).write_text(UPSTREAM_ZONE % (zone, many))
        self.one, self.two, self.dead = ports.take(), ports.take(), ports.take()
        self.server = Process([coredns], folder, UPSTREAM % {"dir": folder, "one": self.one, "two": self.two}, {})
        if not self.server.wait():
            raise RuntimeError("the upstream does not start: " + self.server.log())

    def end(self):
        self.server.end()


class Bench:
    """What a worker keeps for all its worlds."""

    def __init__(self, signpost, coredns, folder, worker, workers):
        import api
        self.commands = {"signpost": [signpost, "dns"], "coredns": [coredns]}
        self.folder = pathlib.Path(folder)
        self.ports = Ports(worker, workers)
        self.api = api.Api()
        self.upstream = Upstream(coredns, self.folder / "upstream", self.ports)

    def end(self):
        self.upstream.end()
        self.api.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Pair:
    """Both servers of a world, while inside `with`."""

    def __init__(self, bench, world, text=None):
        self.bench, self.world, self.folder = bench, world, bench.folder / "world"
        shutil.rmtree(self.folder, ignore_errors=True)
        manifests = self.folder / "manifests"
        manifests.mkdir(parents=True)
        (manifests / "all.json").write_text(json.dumps(
            {"apiVersion": "v1", "kind": "List", "items": world["objects"]}))
        self.name = bench.api.add(world["objects"])
        text = corefile.render(world["blocks"]) if text is None else text
        for name, content in world["files"].items():
            path = self.folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(self.filled(content, "signpost", False), encoding="utf-8")
        self.ports, self.servers = {}, {}
        for side, command in bench.commands.items():
            self.ports[side] = {n: bench.ports.take() for n in range(1, world["ports"] + 1)}
            for name, content in world["files"].items():
                if WORDS.search(content):
                    (self.folder / (name + "." + side)).write_text(self.filled(content, side))
            self.servers[side] = Process(command, self.folder / side, self.filled(text, side), world["env"])

    def filled(self, text, side, ports=True):
        source = "manifests %s/manifests" % self.folder
        if side == "coredns":
            source = "endpoint " + self.bench.api.endpoint(self.name)
        text = text.replace("@SOURCE@", source)
        if ports:
            for name in sorted(self.world["files"], key=len, reverse=True):
                if WORDS.search(self.world["files"][name]):  # imported: it differs for the sides
                    text = text.replace("@DIR@/" + name, "%s/%s.%s" % (self.folder, name, side))
            for number, port in self.ports[side].items():
                text = text.replace("@PORT%d@" % number, str(port))
        upstream = self.bench.upstream
        for word, value in (("@UP@", "127.0.0.1:%d" % upstream.one), ("@UP2@", "127.0.0.1:%d" % upstream.two),
                            ("@DEAD@", "127.0.0.1:%d" % upstream.dead), ("@DIR@", str(self.folder))):
            text = text.replace(word, value)
        return text

    def wait(self):
        """{side: does it serve?}"""
        return {side: server.wait() for side, server in self.servers.items()}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in self.servers.values():
            server.end()
        self.bench.api.drop(self.name)
