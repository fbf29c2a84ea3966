"""The tests against a real Kubernetes API server share one; each works in namespaces of its own."""
import pathlib
import sys

import dns  # noqa: F401  dnspython, before a path offers bench/dns.py under that name
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "lib"), str(ROOT / "tests" / "functional")]
import kube_world  # noqa: E402
from dns_world import Server  # noqa: E402
from program import signpost_program  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "long: left out where time is short; see `run`")


@pytest.fixture(scope="session")
def signpost():
    return signpost_program()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    reason = kube_world.missing()
    if reason:
        pytest.skip(reason)
    with kube_world.Cluster(tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.fixture
def start(signpost, tmp_path):
    """Starts `signpost dns` with a Corefile's text, or with lines for its kubernetes plugin."""
    servers = []

    def begin(lines, env=None):
        folder = tmp_path / str(len(servers))
        folder.mkdir()
        text = kube_world.COREFILE.replace("@LINES@", lines)
        servers.append(Server(signpost, folder, text, env=env))
        return servers[-1].__enter__()

    yield begin
    for server in servers:
        server.__exit__()
