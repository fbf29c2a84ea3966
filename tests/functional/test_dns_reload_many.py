"""Many reloads under load; and what a reload keeps of a cache."""
import signal
import threading
import time

import pytest

from dns_world import MANIFEST, WEB, write_whole
from forward_world import wait_for
from load_world import Load
from small_world import Zone, a, metric, start  # noqa: F401  a fixture

CLUSTER = """cluster.local:@PORT@ {
    bind 127.0.0.1
    cache 30
    loadbalance
    kubernetes {
        manifests @DIR@
        ttl %d
    }
}
"""
KEPT = "    bind 127.0.0.1\n    prometheus 127.0.0.1:@PORT2@\n    cache 300\n    forward . %s\n"


def reload(server, text):
    """With the signal, so that nobody waits for an interval."""
    before = len(server.log())
    write_whole(server.path, text)
    server.process.send_signal(signal.SIGUSR1)
    end = time.monotonic() + 10
    while "Reloading complete" not in server.log()[before:]:
        assert time.monotonic() < end, server.log()
        time.sleep(0.002)


def test_a_hundred_reloads(start, tmp_path):
    """Not a query is lost, and each answer is that of a Corefile that was there."""
    (tmp_path / "web.yaml").write_text(MANIFEST)
    server = start(CLUSTER % 10, "-workers", "2")
    text = server.path.read_text()
    with Load(WEB, server.port) as load:
        for number in range(100):
            reload(server, text.replace("ttl 10", "ttl %d" % (10 + number % 7)))
            if number == 40:
                before = server.memory_kb()
        server.until(WEB, ["10.96.0.10"])
    assert load.ttls <= set(range(1, 17)) and len(load.ttls) > 3
    assert load.counts["ask_udp"] > 1000 and load.counts["ask_tcp"] > 100
    assert server.memory_kb() < before + 49152, "a reload keeps what it should let go"


@pytest.fixture(name="upstream")
def upstream_fixture():
    with Zone({("x.test.", "A"): a("x.test.", "192.0.2.1", ttl=200)}) as z:
        yield z.upstream


def asked(server, upstream):
    """How many queries go upstream for one of the client's."""
    before = len(upstream.queries)
    assert server.addresses("x.test.") == ["192.0.2.1"]
    return len(upstream.queries) - before


def test_cache_is_kept(start, upstream):
    """Its table goes on while the block's keys, the cache and what is behind it stay as they are."""
    server = start(".:@PORT@ {\n" + KEPT % upstream + "}\n")
    text = server.path.read_text()
    assert asked(server, upstream) == 1
    assert asked(server, upstream) == 0
    kept = [text.replace("    cache", "    errors\n    cache"),
            text.replace("    cache", "    # a comment\n    cache"),
            text + "other.test:%d {\n    bind 127.0.0.1\n    whoami\n}\n" % server.port]
    for other in kept:
        reload(server, other)
        assert asked(server, upstream) == 0, other
    entries = 'coredns_cache_entries\\{.*type="success".*\\}'
    wait_for(lambda: metric(server, 2, entries) == [1])  # the old configurations have ended
    gone = [text.replace("cache 300", "cache 299"),
            text.replace("forward .", "forward test."),
            text.replace("    cache", "    header {\n        response set ra\n    }\n    cache"),
            text.replace(".:%d" % server.port, "test:%d" % server.port)]
    for other in gone:
        reload(server, other)
        assert asked(server, upstream) == 1, other
        assert asked(server, upstream) == 0, other


def test_kept_cache_and_failed_reload(start, upstream):
    """A configuration that is refused takes nothing away."""
    server = start(".:@PORT@ {\n" + KEPT % upstream + "}\n")
    assert asked(server, upstream) == 1
    text = server.path.read_text()
    write_whole(server.path, text + "x.test {\n    bind 192.0.2.1\n    whoami\n}\n")
    server.process.send_signal(signal.SIGUSR1)
    server.wait_log("the old one goes on serving")
    assert asked(server, upstream) == 0
    reload(server, text.replace("    cache", "    errors\n    cache"))
    assert asked(server, upstream) == 0


def test_waiting_over_a_reload(start):
    """Two with the same question, one of each configuration, share one fetch and its answer."""
    with Zone({("x.test.", "A"): a("x.test.", "192.0.2.1")}, delay=1.0) as slow:
        server = start(".:@PORT@ {\n" + KEPT % slow.upstream + "}\n")
        found = []
        threads = [threading.Thread(target=lambda: found.append(server.addresses("x.test.")))
                   for _ in range(2)]
        threads[0].start()
        end = time.monotonic() + 5
        while not slow.upstream.queries:
            assert time.monotonic() < end
            time.sleep(0.005)
        reload(server, server.path.read_text() + "# more\n")
        threads[1].start()
        for thread in threads:
            thread.join()
        assert found == [["192.0.2.1"]] * 2
        assert len(slow.upstream.queries) == 1
