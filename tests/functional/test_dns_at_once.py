"""All at once: several workers under load, while the Corefile, hosts files, zones, weights and
objects change and the metrics are read. Every query gets its answer. Worth most in a build with
ThreadSanitizer."""
import random
import re
import signal
import socket
import struct
import threading
import time

import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

import exposition
from dns_world import Server, http_get, write_whole
from forward_world import Upstream, reply

SECONDS = 6
COREFILE = """.:@PORT@ {
    bind 127.0.0.1
    prometheus 127.0.0.1:@PORT2@
    log . {
        class error
    }
    cache 3 {
        prefetch 2 1m 50%
        serve_stale 10s
        success 1024 3600 1
    }
    loadbalance
    rewrite name suffix .renamed.test .test answer auto
    rewrite ttl suffix test. 1-2
    acl {
        filter type LOC
    }
    dns64 {
        allow_ipv4
    }
    hosts @DIR@/hosts {
        reload 100ms
        ttl 1
        fallthrough
    }
    template IN TXT {
        answer "{{ .Name }} 1 IN TXT {{ .Remote }}"
    }
    forward . @UP@ @DEAD@ {
        policy round_robin
        health_check 100ms
    }
}
example.org:@PORT@ {
    bind 127.0.0.1
    prometheus 127.0.0.1:@PORT2@
    metadata
    view even {
        expr metadata('view/name') == '' && port() in ['1']
    }
    whoami
}
example.org:@PORT@ {
    bind 127.0.0.1
    prometheus 127.0.0.1:@PORT2@
    loadbalance weighted @DIR@/weights {
        reload 100ms
    }
    autopath @DIR@/resolv.conf
    cache 1
    file @DIR@/db.example.org {
        reload 100ms
    }
    transfer {
        to *
    }
}
cluster.local:@PORT@ {
    bind 127.0.0.1
    prometheus 127.0.0.1:@PORT2@
    kubernetes {
        manifests @DIR@/objects
        pods verified
    }
    transfer {
        to *
    }
}
"""
ZONE = """@ 1 IN SOA ns root %d 60 60 60 1
@ 1 IN NS ns
ns 1 IN A 10.0.0.53
www 1 IN A 192.0.2.1
www 1 IN A 192.0.2.2
found 1 IN A 10.0.%d.%d
"""
OBJECTS = """apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.10, ports: [{name: http, port: %d}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {clusterIP: None, selector: {app: db}, ports: [{name: pg, port: 5432}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db-0, namespace: shop, labels: {app: db}}
spec: {containers: [{name: c, image: i}]}
status: {phase: Running, podIP: 10.1.0.%d, podIPs: [{ip: 10.1.0.%d}],
         conditions: [{type: Ready, status: "True"}]}
"""
# Name, type, and what the rcode may be.
QUESTIONS = [
    ("listed.test.", "A", "NOERROR"), ("LISTED.renamed.test.", "A", "NOERROR"),
    ("www.example.org.", "A", "NOERROR"), ("found.sub.example.org.", "A", "NOERROR"),
    ("none.example.org.", "AAAA", "NXDOMAIN"), ("web.shop.svc.cluster.local.", "A", "NOERROR"),
    ("web.shop.svc.cluster.local.", "SRV", "NOERROR"), ("db.shop.svc.cluster.local.", "A", "NOERROR"),
    ("none.shop.svc.cluster.local.", "A", "NXDOMAIN"), ("any.test.", "TXT", "NOERROR"),
    ("x.test.", "LOC", "NOERROR"), ("n%d.test.", "A", "NOERROR"), ("n%d.test.", "A", "NOERROR"),
    ("n%d.renamed.test.", "AAAA", "NOERROR")]


class World:
    def __init__(self, signpost, folder):
        self.folder, self.done, self.problems = folder, threading.Event(), []
        self.counts, self.lock = {}, threading.Lock()
        self.up = Upstream(self.answer)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            dead = "127.0.0.1:%d" % free.getsockname()[1]
        (folder / "objects").mkdir()
        (folder / "resolv.conf").write_text("search sub.example.org example.org\n")
        self.change(0)
        corefile = COREFILE.replace("@UP@", str(self.up)).replace("@DEAD@", dead)
        self.server = Server(signpost, folder, corefile, "-workers", "4")
        self.good = self.server.path.read_text()

    @staticmethod
    def answer(query, _):
        asked = query.question[0]
        if asked.name.to_text() == ".":
            return [reply(query, None)]
        wire = reply(query, "192.0.2.1" if asked.rdtype == 1 else None, ttl=1)
        return [(random.random() / 50, wire)]

    def change(self, n):
        write_whole(self.folder / "hosts", "192.0.2.%d listed.test\n" % (n % 200 + 1))
        write_whole(self.folder / "weights", "www.example.org\n192.0.2.1 %d\n" % (n % 200 + 1))
        write_whole(self.folder / "db.example.org", ZONE % (n + 1, n // 200 % 200, n % 200))
        write_whole(self.folder / "objects" / "shop.yaml",
                    OBJECTS % (n % 1000 + 1, n % 200 + 1, n % 200 + 1))

    # ---- what runs beside each other ----

    def run(self, task):
        n = 0
        try:
            while not self.done.is_set():
                task(n)
                n += 1
        except Exception as e:  # pylint: disable=broad-except  # told at the end
            self.problems.append("%s: %r" % (task.__name__, e))
            self.done.set()
        with self.lock:
            self.counts[task.__name__] = self.counts.get(task.__name__, 0) + n

    def ask(self, _):
        """A burst over UDP from a new port, the replies in any order."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", self.server.port))
            sock.settimeout(10)
            wanted = {}
            for i in range(12):
                name, rdtype, rcode = random.choice(QUESTIONS)
                name = name.replace("%d", str(random.randrange(3000)))
                query = dns.message.make_query(name, rdtype, id=i)
                wanted[i] = (query, rcode)
                sock.send(query.to_wire())
            while wanted:
                self.check(dns.message.from_wire(sock.recv(65535)), wanted)

    def ask_tcp(self, _):
        with socket.create_connection(("127.0.0.1", self.server.port), 10) as sock:
            wanted = {}
            for i in range(4):
                name, rdtype, rcode = random.choice(QUESTIONS)
                query = dns.message.make_query(name.replace("%d", "1"), rdtype, id=i)
                wanted[i] = (query, rcode)
                wire = query.to_wire()
                sock.sendall(struct.pack("!H", len(wire)) + wire)
            stream = sock.makefile("rb")
            while wanted:
                wire = stream.read(struct.unpack("!H", stream.read(2))[0])
                self.check(dns.message.from_wire(wire), wanted)

    @staticmethod
    def check(got, wanted):
        query, rcode = wanted.pop(got.id)
        assert got.question == query.question
        assert dns.rcode.to_text(got.rcode()) == rcode, got.to_text()

    def transfer(self, _):
        for zone in ("example.org.", "cluster.local."):
            messages = list(dns.query.xfr("127.0.0.1", zone, port=self.server.port, lifetime=15,
                                          relativize=False))
            assert messages and messages[0].answer[0].rdtype == dns.rdatatype.SOA
        time.sleep(0.02)

    def edit(self, n):
        self.change(n)
        time.sleep(0.03)

    def reload(self, n):
        write_whole(self.server.path, self.good + "more%d.test:%d {\n bind 127.0.0.1\n}\n" % (
            n, self.server.port))
        self.server.process.send_signal(signal.SIGHUP)
        time.sleep(0.35)

    def scrape(self, _):
        status, page = http_get(self.server.numbered(2), "/metrics")
        assert status == 200
        exposition.parse(page)
        time.sleep(0.02)


@pytest.fixture(name="world")
def world_fixture(signpost, tmp_path):
    world = World(signpost, tmp_path)
    yield world
    world.server.__exit__()
    world.up.close()


def test_all_at_once(world):
    tasks = [world.ask, world.ask, world.ask_tcp, world.transfer, world.edit, world.reload,
             world.scrape]
    threads = [threading.Thread(target=world.run, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    world.done.wait(SECONDS)
    world.done.set()
    for thread in threads:
        thread.join()
    log = world.server.log()
    assert not world.problems, "%s\n%s" % (world.problems, log[-2000:])
    assert all(world.counts[task.__name__] >= 3 for task in tasks), world.counts
    assert log.count("Reloading complete") >= 3
    assert "reload failed" not in log, re.findall(".*reload failed.*", log)[0]
    assert world.server.stop() == 0
