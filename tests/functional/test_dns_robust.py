"""Broken messages by the thousand. Run with a sanitizer's build this says most."""
import random
import socket
import struct

import pytest

from dns_world import Connection, Server, header, opt, question

COREFILE = """.:@PORT@ {
    bind 127.0.0.1
    errors
    log
    prometheus 127.0.0.1:@PORT2@
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        manifests @DIR@/manifests
        pods insecure
        zonal
        endpoint_pod_names
    }
    loadbalance
    whoami
}
deep.a.b.test:@PORT@ {
    bind 127.0.0.1
    whoami
}
"""
MANIFEST = """apiVersion: v1
kind: Service
metadata: {name: db, namespace: default}
spec:
  clusterIP: None
  ports: [{name: pg, port: 5432}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: db-1, namespace: default, labels: {kubernetes.io/service-name: db}}
addressType: IPv4
ports: [{name: pg, port: 5432}]
endpoints:
- {addresses: [10.1.0.1], hostname: db-0, zone: us-a}
- {addresses: [10.1.0.2], zone: us-b}
---
apiVersion: v1
kind: Service
metadata: {name: ext, namespace: default}
spec: {type: ExternalName, externalName: db.default.svc.cluster.local}
"""
PACKETS = 20000
NAMES = ["db.default.svc.cluster.local.", "_pg._tcp.db.default.svc.cluster.local.",
         "us-a.pin._zone.db.default.svc.cluster.local.", "ext.default.svc.cluster.local.",
         "1-2-3-4.default.pod.cluster.local.", "a.b.c.d.e.f.default.pod.cluster.local.",
         "2.0.1.10.in-addr.arpa.", "1." * 32 + "ip6.arpa.", "cluster.local.", ".",
         "ns.dns.cluster.local.", "x.deep.a.b.test.", "svc.cluster.local.", "_._.x.y.svc.cluster.local."]
TYPES = [1, 28, 33, 12, 16, 6, 2, 5, 15, 65, 255, 252, 43, 65280]


def whole(rand):
    name, rdtype = rand.choice(NAMES), rand.choice(TYPES)
    rdclass = rand.choice((1, 1, 1, 1, 3, 255))
    more, count = b"", 0
    if rand.random() < 0.6:
        options = [(rand.choice((3, 8, 9, 10, 11, 12, 65001)), rand.randbytes(rand.randrange(30)))
                   for _ in range(rand.randrange(4))]
        more, count = opt(rand.choice((0, 100, 512, 1232, 65535)), rand.choice((0, 0x8000)),
                          rand.choice((0, 0, 0, 1)), options), 1
    return header(rand.randrange(65536), rand.choice((0x0100, 0, 0x0110, 0x2000)), ar=count) + \
        question(name, rdtype, rdclass) + more


def mutated(rand):
    data = bytearray(whole(rand))
    for _ in range(rand.randrange(4)):
        how, at = rand.randrange(6), rand.randrange(len(data)) if data else 0
        if not data:
            break
        if how == 0:
            data[at] ^= 1 << rand.randrange(8)
        elif how == 1:
            data[at] = rand.choice((0, 1, 63, 64, 0xc0, 0xff))
        elif how == 2:
            del data[at:]
        elif how == 3:
            data[at:at] = rand.randbytes(rand.randrange(1, 80))
        elif how == 4:
            data[at:at + 2] = struct.pack("!H", 0xc000 | rand.randrange(len(data) + 4))
        elif len(data) >= 12:
            field = 4 + 2 * rand.randrange(4)
            data[field:field + 2] = struct.pack("!H", rand.choice((0, 1, 2, 3, 65535)))
    if rand.random() < 0.02:
        data = bytearray(rand.randbytes(rand.randrange(600)))
    return bytes(data)


@pytest.fixture(scope="module")
def server(signpost, tmp_path_factory):
    folder = tmp_path_factory.mktemp("robust")
    (folder / "manifests").mkdir()
    (folder / "manifests" / "db.yaml").write_text(MANIFEST)
    with Server(signpost, folder, COREFILE, "-workers", "2") as s:
        yield s
        assert s.process.poll() is None
        assert s.stop() == 0


def answers(server):
    assert server.process.poll() is None, server.log()[-3000:]
    assert server.addresses(NAMES[0]) == ["10.1.0.1", "10.1.0.2"]


def check_reply(reply):
    """Whatever came in, what goes out is a reply with a header."""
    assert len(reply) >= 12 and reply[2] & 0x80


def test_by_udp(server):
    rand = random.Random(2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", server.port))
        sock.setblocking(False)
        for number in range(PACKETS):
            sock.send(mutated(rand))
            if number % 50 == 0:
                answers(server) # no faster than it can read
                while True:
                    try:
                        check_reply(sock.recv(65535))
                    except BlockingIOError:
                        break
    answers(server)


def test_by_tcp(server):
    rand = random.Random(3)
    left = PACKETS
    while left > 0:
        with Connection(server.port) as c:
            batch = [mutated(rand) for _ in range(min(left, 200))]
            c.send(*batch)
            c.send(header(ident=0xfffe) + question(NAMES[0]))
            last = header(0xfffe, 0x8500, an=2) + question(NAMES[0])
            reply = b""
            while not reply.startswith(last):
                reply = c.receive()
                check_reply(reply)
            left -= len(batch)
            if rand.random() < 0.5: # leaves with half a frame
                c.write(struct.pack("!H", 500) + rand.randbytes(rand.randrange(400)))
    answers(server)


def test_broken_streams(server):
    """Frames that are cut anywhere, lengths that lie, connections that break."""
    rand = random.Random(4)
    for _ in range(300):
        stream = b"".join(struct.pack("!H", len(m)) + m
                          for m in (mutated(rand) for _ in range(5)))
        with Connection(server.port) as c:
            while stream:
                size = rand.randrange(1, 200)
                try:
                    c.write(stream[:size] if rand.random() < 0.9 else rand.randbytes(size))
                except OSError:
                    break
                stream = stream[size:]
    answers(server)
