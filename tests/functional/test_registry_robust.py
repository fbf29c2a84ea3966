"""The small Kubernetes API and clients that are slow, greedy, broken or hostile: each is refused or waited for without
anybody else noticing."""
import contextlib
import http.client
import json
import re
import resource
import socket
import subprocess
import time

import pytest
from registry_world import config_map, service

WATCHES = 1000
SOON = 5  # seconds for an answer while others misbehave, on a slow machine


class Plain:
    """A registry without TLS, for bytes that no HTTP library would send."""

    def __init__(self, program, folder):
        self.path = folder / "log"
        with self.path.open("w") as log:
            self.process = subprocess.Popen([program, "registry", "--insecure-http", "--listen=127.0.0.1:0", "--data=:memory:",
                                             "--controllers=false"], stdout=log, stderr=log)
        end = time.monotonic() + 30
        while not (found := re.search(r"serves http on \S+ port (\d+)", self.path.read_text())):
            assert time.monotonic() < end and self.process.poll() is None, self.path.read_text()
            time.sleep(0.01)
        self.port = int(found[1])

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), 30)

    def ask(self, method, path, body=None, kind="application/json", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, {"Content-Type": kind, **headers})
            reply = connection.getresponse()
            return reply.status, reply.read(), reply.headers
        finally:
            connection.close()

    def is_quick(self):
        begin = time.monotonic()
        assert self.ask("GET", "/api/v1/namespaces/default")[0] == 200
        return time.monotonic() - begin < SOON


MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture(scope="module")
def plain(signpost, tmp_path_factory):
    registry = Plain(signpost, tmp_path_factory.mktemp("plain"))
    yield registry
    assert registry.process.poll() is None
    registry.process.terminate()
    assert registry.process.wait(30) == 0


def send_all(sock, data):
    """What comes back until the end."""
    with contextlib.suppress(OSError):
        sock.sendall(data)
    got = b""
    with contextlib.suppress(OSError):
        while piece := sock.recv(65536):
            got += piece
    return got


# ---- slow ----

def test_heads_that_never_end(plain):
    """A byte now and then does not keep a connection: 10 seconds for the first request, all in all."""
    slow = [plain.connect() for _ in range(50)]
    for sock in slow:
        sock.sendall(b"GET /api HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    begin, closed = time.monotonic(), set()
    while len(closed) < len(slow):
        assert time.monotonic() - begin < 40, "%d are still open" % (len(slow) - len(closed))
        assert plain.is_quick()
        for sock in set(slow) - closed:
            sock.settimeout(0.001)
            try:
                sock.sendall(b"x")
                if sock.recv(1000) == b"":
                    closed.add(sock)
            except TimeoutError:
                pass
            except OSError:
                closed.add(sock)
        time.sleep(0.2)
    assert time.monotonic() - begin > 5


def test_bodies_that_stop(plain):
    """A body that is announced and does not come is no request."""
    slow = [plain.connect() for _ in range(20)]
    for sock in slow:
        sock.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
                     b'{"metadata": {"name": "half"' % MAPS.encode())
    assert plain.is_quick()
    for sock in slow:
        sock.close()
    assert plain.ask("GET", MAPS + "/half")[0] == 404


def test_watchers_that_read_nothing(plain):
    """Others hear of everything at once, and what was kept for the sleeping is given back."""
    def memory():
        text = open("/proc/%d/status" % plain.process.pid, encoding="ascii").read()
        return int(re.search(r"VmRSS:\s+(\d+)", text)[1])

    before = memory()
    sleeping = []
    for _ in range(10):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", plain.port))
        sock.sendall(b"GET %s?watch=1 HTTP/1.1\r\nHost: x\r\n\r\n" % MAPS.encode())
        sleeping.append(sock)
    connection = http.client.HTTPConnection("127.0.0.1", plain.port, timeout=30)
    connection.request("GET", MAPS + "?watch=1&fieldSelector=metadata.name%3Dbig")
    reply = connection.getresponse()
    assert plain.ask("POST", MAPS, json.dumps(config_map("big", x="")))[0] == 201
    assert json.loads(reply.readline())["type"] == "ADDED"
    for n in range(20):
        begin = time.monotonic()
        assert plain.ask("PUT", MAPS + "/big", json.dumps(config_map("big", x=str(n) * 200000)))[0] == 200
        assert json.loads(reply.readline())["object"]["data"]["x"].startswith(str(n))
        assert time.monotonic() - begin < SOON
    assert memory() - before > 20000, "nothing was kept for them: the test tests nothing"
    for sock in sleeping:
        sock.close()
    plain.ask("DELETE", MAPS + "/big")
    assert plain.is_quick()


def test_too_many_watches(plain):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < WATCHES + 200:
        pytest.skip("too few descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, WATCHES + 200), hard))
    watches = []
    try:
        for _ in range(WATCHES):
            sock = plain.connect()
            sock.sendall(b"GET %s?watch=1 HTTP/1.1\r\nHost: x\r\n\r\n" % MAPS.encode())
            watches.append(sock)
        for sock in watches:
            assert sock.recv(12) == b"HTTP/1.1 200"
        status, body, headers = plain.ask("GET", MAPS + "?watch=1")
        assert (status, json.loads(body)["reason"], headers["Retry-After"]) == (429, "TooManyRequests", "1")
        assert plain.is_quick()
    finally:
        for sock in watches:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    end = time.monotonic() + 30
    while plain.ask("GET", MAPS + "?watch=1&timeoutSeconds=1")[0] != 200:
        assert time.monotonic() < end
        time.sleep(0.1)


# ---- broken ----

@pytest.mark.parametrize("data, status", [
    (b"\x00\x01\x02\x03\r\n\r\n", 400), (b"GET\r\n\r\n", 400), (b"GET / HTTP/9.9\r\n\r\n", 505),
    (b"GET /" + b"x" * 70000, 431), (b"GET / HTTP/1.1\r\nX: " + b"y" * 70000 + b"\r\n\r\n", 431),
    (b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n" % MAPS.encode(), 400),
    (b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n" % MAPS.encode(), 400),
    (b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n" % MAPS.encode(), 413),
])
def test_broken_requests(plain, data, status):
    with plain.connect() as sock:
        got = send_all(sock, data)
    assert got.startswith(b"HTTP/1.1 %d " % status), got[:200]
    assert plain.is_quick()


@pytest.mark.parametrize("path", [
    "/%ff%fe", "/api/v1/namespaces/%c3%28/configmaps", MAPS + "/%00", MAPS + "?labelSelector=%ff", MAPS + "?fieldSelector=%00%3D1",
    "/api/v1/" + "namespaces/" * 2000, MAPS + "/" + "a" * 5000, MAPS + "?" + "limit=1&" * 2000, "/../../etc/passwd",
    MAPS + "?labelSelector=" + "a," * 5000 + "b", MAPS + "?labelSelector=a%20in%20(" + "b," * 5000 + "c)"])
def test_odd_paths(plain, path):
    status, body, _ = plain.ask("GET", path)
    assert status in (200, 400, 404), (status, body[:200])
    json.loads(body)
    assert plain.is_quick()


@pytest.mark.parametrize("kind, body", [
    ("application/json", b'{"a":' * 200 + b"1" + b"}" * 200), ("application/json", b"[" * 100000),
    ("application/yaml", b"".join(b" " * n + b"a:\n" for n in range(300))), ("application/yaml", b"[" * 5000),
    ("application/yaml", b"a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: [*c,*c]\n"),
    ("application/json", b'{"metadata":{"name":"\xff"}}'), ("application/json", b'{"metadata":{"name":"\xc3\x28"}}'),
    ("application/json", b'{"metadata":{"name":"a\\u0000b"}}'), ("application/yaml", b'metadata: {name: "\xff"}'),
    ("application/json", b'{"metadata":{"name":"x"}'), ("application/json", b'{"kind":"ConfigMap"}{"kind":"ConfigMap"}'),
    ("application/vnd.kubernetes.protobuf", b"k8s\0"), ("application/vnd.kubernetes.protobuf", b"k8s\0\x0a\xff\xff\xff\xff\x0f"),
    ("application/vnd.kubernetes.protobuf", b"none"),
    ("application/vnd.kubernetes.protobuf",
     b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12\x08\x0a\x06\x0a\x04\xff\xfe\xfd\xfc")])
def test_odd_bodies(plain, kind, body):
    status, answer, _ = plain.ask("POST", MAPS, body, kind)
    assert status in (400, 422), answer[:300]
    assert json.loads(answer)["kind"] == "Status" and plain.is_quick()


@pytest.mark.parametrize("kind, patch", [
    ("json-patch", '[{"op":"add","path":"' + "/a" * 3000 + '","value":1}]'),
    ("json-patch", json.dumps([{"op": "copy", "from": "/data", "path": "/data/x%d" % n} for n in range(30)])),
    ("json-patch", json.dumps([{"op": "add", "path": "/data", "value": {}}] + [
        {"op": "copy", "from": "/metadata", "path": "/metadata" + "/a" * (2 ** n - 1)} for n in range(1, 15)])),
    ("json-patch", json.dumps([{"op": "add", "path": "/data" + "/a" * n, "value": {}} for n in range(1, 3000)])),
    ("json-patch", json.dumps([{"op": "test", "path": "/data", "value": {}}] * 20000)), ("json-patch", '[{"op":"move"}]'),
    ("json-patch", "{}"), ("merge-patch", "[]"), ("merge-patch", '{"metadata":' * 200 + "{}" + "}" * 200),
    ("strategic-merge-patch", '{"$patch":"bogus"}'), ("strategic-merge-patch", '{"metadata":{"labels":{"$patch":5}}}'),
    ("strategic-merge-patch", '{"$setElementOrder/x":[1],"$deleteFromPrimitiveList/metadata":[1],"$retainKeys":"x"}')])
def test_odd_patches(plain, kind, patch):
    plain.ask("POST", MAPS, json.dumps(config_map("patched", x="1")))
    status, answer, _ = plain.ask("PATCH", MAPS + "/patched", patch, "application/%s+json" % kind)
    assert status in (200, 400, 413, 422), answer[:300]
    assert json.loads(plain.ask("GET", MAPS + "/patched")[1])["data"]["x"] == "1" and plain.is_quick()
    plain.ask("DELETE", MAPS + "/patched")


def test_many_objects_in_one_list(plain):
    """A list goes on being answered while it is long, and other requests between."""
    for n in range(300):
        assert plain.ask("POST", "/api/v1/namespaces/default/services", json.dumps(
            service("many-%d" % n, clusterIP="None")))[0] == 201
    status, body, _ = plain.ask("GET", "/api/v1/services?limit=500")
    assert status == 200 and len(json.loads(body)["items"]) >= 300
