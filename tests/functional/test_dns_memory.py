"""When there is no memory for something new, what was there before serves on, and the new thing comes
when there is room again (docs/decisions/0012)."""
import pathlib
import resource
import signal
import sys
import time

import pytest

from dns_world import MANIFEST, WEB, http_get, write_whole
from forward_world import wait_for
from test_dns_faults import World

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "lib"))
from apiserver import ApiServer, namespace, service  # noqa: E402

COREFILE = """cluster.local:@PORT@ zone.test:@PORT@ hosts.test:@PORT@ {
    bind 127.0.0.1
    prometheus 127.0.0.1:@PORT2@
    kubernetes cluster.local {
        %s
        ttl 30
    }
    file @DIR@/db zone.test {
        reload 1s
    }
    hosts @DIR@/hosts hosts.test {
        reload 1s
        ttl 7
    }
}
"""
ZONE = "@ 60 SOA ns root %d 2 3 4 5\n@ NS ns\nns A 192.0.2.%d\n"
WAIT = 20


class Tight(World):
    """Its memory can be limited to what it has now, and the limit be lifted."""

    def __init__(self, program, folder, source="manifests @DIR@/manifests"):
        self.limits = None
        (folder / "manifests").mkdir()
        (folder / "manifests" / "web.yaml").write_text(MANIFEST)
        (folder / "db").write_text("$ORIGIN zone.test.\n" + ZONE % (1, 1))
        (folder / "hosts").write_text("192.0.2.1 a.hosts.test\n")
        super(World, self).__init__(program, folder, COREFILE % source, "-workers", "1")
        if self.is_sanitized():
            self.stop()
            pytest.skip("a sanitizer's shadow memory does not go together with a limit")

    def tighten(self, room=256 << 10):
        pages = int(pathlib.Path("/proc/%d/statm" % self.process.pid).read_text().split()[0])
        self.limits = resource.prlimit(self.process.pid, resource.RLIMIT_AS)
        resource.prlimit(self.process.pid, resource.RLIMIT_AS,
                         (pages * resource.getpagesize() + room, self.limits[1]))

    def relax(self):
        resource.prlimit(self.process.pid, resource.RLIMIT_AS, self.limits)

    def put_off(self):
        return self.metric("signpost_dns_memory_put_off")

    def hold(self, condition):
        """For one and a half seconds it stays so."""
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            assert condition(), self.log()
            time.sleep(0.02)


@pytest.fixture(name="server")
def server_fixture(signpost, tmp_path):
    with Tight(signpost, tmp_path) as s:
        s.until(WEB, ["10.96.0.10"], WAIT)
        s.addresses("ns.zone.test."), s.addresses(WEB, tcp=True), http_get(s.numbered(2), "/metrics")
        yield s
        assert s.process.poll() is None, s.log()
        assert s.stop() == 0


def test_reload(server):
    """It is refused, said, and counted; the next one, when there is room, succeeds."""
    text = server.path.read_text()
    write_whole(server.path, text.replace("ttl 30", "ttl 11"))
    server.tighten()
    server.process.send_signal(signal.SIGUSR1)
    server.wait_log("Corefile not reloaded, the old one goes on serving: memory is short", WAIT)
    server.hold(lambda: server.ask(WEB).answer[0].ttl == 30 and server.ask(WEB, tcp=True).answer[0].ttl == 30)
    assert server.metric("coredns_reload_failed_total") == 1 and server.put_off() >= 1
    server.relax()
    server.process.send_signal(signal.SIGUSR1)
    server.wait_log("Reloading complete", WAIT)
    assert server.ask(WEB).answer[0].ttl == 11


def test_changed_objects(server):
    """A file is read when there is room, without being touched again."""
    server.tighten()
    path = server.folder / "manifests" / "web.yaml"
    write_whole(path, MANIFEST.replace("10.96.0.10", "10.96.0.11"))
    server.wait_log("web.yaml: not read because memory is short", WAIT)
    server.hold(lambda: server.addresses(WEB) == ["10.96.0.10"])
    write_whole(path, MANIFEST.replace("10.96.0.10", "10.96.0.12"))
    server.hold(lambda: server.addresses(WEB) == ["10.96.0.10"])
    assert server.log().count("not read because") == 1, "told once"
    server.relax()
    server.until(WEB, ["10.96.0.12"], WAIT)


def test_zone_file(server):
    server.tighten()
    write_whole(server.folder / "db", "$ORIGIN zone.test.\n" + ZONE % (2, 2))
    server.wait_log("memory is short; the zone stays as it was", WAIT)
    server.hold(lambda: server.addresses("ns.zone.test.") == ["192.0.2.1"])
    server.relax()
    server.until("ns.zone.test.", ["192.0.2.2"], WAIT)


def test_hosts_file(server):
    server.tighten()
    write_whole(server.folder / "hosts", "192.0.2.2 a.hosts.test\n")
    server.wait_log("hosts not read because memory is short", WAIT)
    server.hold(lambda: server.addresses("a.hosts.test.") == ["192.0.2.1"])
    server.relax()
    server.until("a.hosts.test.", ["192.0.2.2"], WAIT)


def test_api_server(signpost, tmp_path):
    """The watch is given up and begun anew later: what is known is served until then."""
    with ApiServer() as api:
        api.state.put(namespace("default"))
        api.state.put(service("web", "10.96.0.10"))
        with Tight(signpost, tmp_path, "endpoint %s" % api.url()) as server:
            server.until(WEB, ["10.96.0.10"], WAIT)
            server.addresses(WEB, tcp=True), http_get(server.numbered(2), "/metrics")
            server.tighten()
            api.state.put(service("web", "10.96.0.11"))
            wait_for(lambda: server.put_off() > 0, WAIT)
            server.hold(lambda: server.addresses(WEB) == ["10.96.0.10"])
            server.relax()
            server.until(WEB, ["10.96.0.11"], 40)
            assert server.stop() == 0
