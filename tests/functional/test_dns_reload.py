"""A changed Corefile is served without losing a query; a broken one changes nothing."""
import signal
import socket
import threading
import time

import dns.rcode
import pytest

from dns_world import Connection, Server, free_port, header, http_get, parse, question, write_whole

WEB = "web.default.svc.cluster.local."
MANIFEST = """apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  clusterIP: 10.96.0.%d
  ports: [{name: http, port: 80}]
"""
COREFILE = """cluster.local:@PORT@ in-addr.arpa:@PORT@ {
    bind 127.0.0.1
    errors
    prometheus 127.0.0.1:@PORT2@
    health 127.0.0.1:@PORT3@
    kubernetes {
        manifests @DIR@/manifests
        ttl 5
    }
    loadbalance
}
"""


@pytest.fixture(name="world")
def world_fixture(signpost, tmp_path):
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "web.yaml").write_text(MANIFEST % 10)
    with Server(signpost, tmp_path, COREFILE, "-workers", "2") as s:
        s.text = s.path.read_text()
        yield s


def reload(world, text, wait="Running configuration"):
    """With the signal, so that nobody waits for an interval."""
    before = len(world.log())
    write_whole(world.path, text)
    world.process.send_signal(signal.SIGUSR1)
    end = time.monotonic() + 5
    while wait not in world.log()[before:]:
        assert time.monotonic() < end, world.log()
        time.sleep(0.005)


def ttl(world):
    return world.ask(WEB).answer[0].ttl


def test_new_option(world):
    assert ttl(world) == 5
    with Connection(world.port) as c:
        reload(world, world.text.replace("ttl 5", "ttl 77"))
        assert ttl(world) == 77
        c.send(header() + question(WEB))  # opened before
        assert parse(c.receive()).answer[0].ttl == 77
    assert http_get(world.numbered(3), "/health") == (200, "OK")


def test_blocks_and_ports_come_and_go(world):
    port = free_port()
    more = "x.test:%d {\n    bind 127.0.0.1\n    whoami\n}\n" % port
    reload(world, world.text + more)
    assert world.ask("x.test.", port=port).additional
    assert world.addresses(WEB) == ["10.96.0.10"]
    reload(world, more.replace(str(port), str(world.port)))
    assert world.addresses(WEB) == "REFUSED"
    assert world.ask("x.test.").additional
    wait_closed(port)
    wait_closed(world.numbered(3))


def wait_closed(port):
    """The old configuration ends once none of its queries waits any more."""
    end = time.monotonic() + 3
    try:
        while True:
            Connection(port).sock.close()
            assert time.monotonic() < end, "port %d is still open" % port
            time.sleep(0.02)
    except ConnectionRefusedError:
        pass


def test_signal_while_starting(signpost, tmp_path):
    """It is heard once the server serves, and ends nothing."""
    (tmp_path / "manifests").mkdir()
    for number in (signal.SIGHUP, signal.SIGUSR1):
        with Server(signpost, tmp_path, COREFILE) as s:
            s.process.send_signal(number)
            s.wait_log("Reloading complete")


BROKEN = {
    "does not parse": "cluster.local {\n    kubernetes {\n",
    "unknown plugin": ". {\n    nosuch\n}\n",
    "set-up fails": ". {\n    health 8080\n}\n",
    "cannot listen": ". {\n    bind 192.0.2.1\n    whoami\n}\n",
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken(world, case):
    reload(world, BROKEN[case], "the old one goes on serving")
    for tcp in (False, True):
        assert world.addresses(WEB, tcp=tcp) == ["10.96.0.10"]
    _, page = http_get(world.numbered(2), "/metrics")
    assert "coredns_reload_failed_total 1" in page
    reload(world, world.text.replace("ttl 5", "ttl 6"))
    assert ttl(world) == 6


def test_by_itself(signpost, tmp_path):
    """`reload` looks every two seconds; signals are not needed."""
    corefile = ".:@PORT@ {\n    bind 127.0.0.1\n    reload 2s 0s\n    %s\n}\n"
    with Server(signpost, tmp_path, corefile % "errors") as s:
        assert s.ask("x.").rcode() == dns.rcode.SERVFAIL
        write_whole(s.path, s.path.read_text().replace("errors", "whoami"))
        s.wait_log("Running configuration SHA512", 1)
        end = time.monotonic() + 4
        while s.ask("x.").rcode() != 0:
            assert time.monotonic() < end, s.log()
            time.sleep(0.05)


def test_the_first_of_a_block_counts(signpost, tmp_path):
    with Server(signpost, tmp_path, ".:@PORT@ {\n    bind 127.0.0.1\n    whoami\n    reload 3s\n    reload x y z\n}\n") as s:
        s.wait_log("Corefile:5: only the first 'reload' of a server block counts")


def ask_without_loss(world, end, errors, counts):
    """Every query gets its answer, whichever configuration it meets."""
    count = 0
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, Connection(world.port) as c:
            sock.settimeout(3)
            sock.connect(("127.0.0.1", world.port))
            while not end.is_set():
                count += 1
                wire = header(ident=count % 65536) + question(WEB)
                sock.send(wire)
                c.send(wire)
                for reply in (sock.recv(4096), c.receive()):
                    assert reply[:2] == wire[:2]
                    assert parse(reply).answer[0].ttl in (5, 77)
    except Exception as e:  # a thread's failure is the test's
        errors.append(e)
    counts.append(count)


def test_no_query_is_lost(world):
    """Thirty reloads, and changes of the manifests, under queries."""
    errors, counts, end = [], [], threading.Event()
    askers = [threading.Thread(target=ask_without_loss, args=(world, end, errors, counts))
              for _ in range(3)]
    for thread in askers:
        thread.start()
    for number in range(30):
        reload(world, world.text.replace("ttl 5", "ttl 77") if number % 2 == 0 else world.text)
        write_whole(world.folder / "manifests" / "web.yaml", MANIFEST % (10 + number))
    end.set()
    for thread in askers:
        thread.join()
    assert not errors, errors[0]
    assert sum(counts) > 100
    world.until(WEB, ["10.96.0.39"])
