"""A load generator of the trade gets an answer to every query, over each transport."""
import contextlib

import pytest

from certificates import Authority
from dns_world import MANIFEST, Server
import dnsperf

COREFILE = """.:@PORT@ {
    bind 127.0.0.1
    kubernetes cluster.local {
        manifests @DIR@
    }
}
tls://.:@PORT2@ https://.:@PORT3@ {
    bind 127.0.0.1
    tls @DIR@/server.crt @DIR@/server.key
    kubernetes cluster.local {
        manifests @DIR@
    }
}
"""
MODES = {"udp": 1, "tcp": 1, "dot": 2, "doh": 3}
QUESTIONS = ("web.default.svc.cluster.local A", "_http._tcp.web.default.svc.cluster.local SRV",
             "web.default.svc.cluster.local AAAA", "nobody.default.svc.cluster.local A")


@pytest.fixture(scope="module", name="server")
def server_fixture(signpost, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dnsperf")
    (folder / "web.yaml").write_text(MANIFEST)
    (folder / "questions").write_text("".join(q + "\n" for q in QUESTIONS))
    Authority(folder).issue("server", "/CN=server", "IP:127.0.0.1,DNS:localhost")
    with Server(signpost, folder, COREFILE, "-workers", "2") as server:
        server.until("web.default.svc.cluster.local.", ["10.96.0.10"], 10)
        yield server


def start(server, mode, **more):
    port = server.numbered(MODES[mode]) if MODES[mode] > 1 else server.port
    return dnsperf.Run(mode, port, server.folder / "questions", more.pop("seconds", 60), timeout=20, **more)


def check(counts, at_least):
    assert counts["lost"] == counts["interrupted"] == 0, counts
    assert counts["completed"] == counts["sent"] >= at_least, counts
    assert set(counts["rcodes"]) == {"NOERROR", "NXDOMAIN"}, counts
    share = counts["rcodes"]["NXDOMAIN"] / counts["completed"]
    assert 0.2 < share < 0.3, "one question of four is for a name that is not there"


@pytest.mark.parametrize("mode", MODES)
def test_every_query_is_answered(server, mode):
    """Eight clients, a hundred queries under way."""
    with start(server, mode, clients=8, more=("-n", "1000")) as run:
        counts = run.finish(90)
    check(counts, 4000)


def test_all_transports_at_once(server):
    with contextlib.ExitStack() as stack:
        runs = [stack.enter_context(start(server, mode, clients=4, rate=300, seconds=3)) for mode in MODES]
        for run in runs:
            check(run.finish(90), 100)
