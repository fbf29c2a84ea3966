"""Tokens and certificates that expire and are replaced, for everybody who follows an API server: what is known is served
meanwhile, and what changed meanwhile follows without anybody's doing."""
import os
import pathlib
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from api_world import EVERYBODY, fill, put, until  # noqa: E402
from apiserver import ApiServer  # noqa: E402
from certificates import Authority  # noqa: E402
from fault_relay import FaultRelay  # noqa: E402

LASTS = 1.5  # seconds, in which all requests are refused


@pytest.fixture
def authority(tmp_path):
    made = Authority(tmp_path)
    made.issue("server", "/CN=server", "IP:127.0.0.1")
    made.issue("late", "/CN=server", "IP:127.0.0.1", days=-1)
    for name, days in ("one", 2), ("two", 2), ("old", -1):
        made.issue(name, "/CN=" + name, "DNS:client", days=days)
    return made


@pytest.fixture
def api(authority):
    a = authority.path
    with ApiServer(stream=True, tls=(a("server.crt"), a("server.key"))) as server:
        fill(server)
        yield server


@pytest.fixture(params=EVERYBODY)
def start(request, signpost, tmp_path, api):
    with FaultRelay(api.port, tmp_path / "relay") as relay:
        relay.api = api
        made = []

        def begin(**user):
            made.append(request.param(signpost, tmp_path, relay, user=user))
            return made[0]

        yield begin
        for one in made:
            one.close()


@pytest.fixture
def certified(api, authority):
    """Wants a client's certificate."""
    api.stop()
    api.tls = (*api.tls[:2], authority.path("ca.crt"))
    api.start()
    return api


def give(authority, source, to):
    """The files change one after the other, as they do where somebody copies them."""
    for end in (".crt", ".key"):
        whole = authority.folder / ("new" + end)
        whole.write_bytes((authority.folder / (source + end)).read_bytes())
        os.replace(whole, authority.folder / (to + end))


def knows(subject):
    until(lambda: subject.knows("web", "10.96.0.1", "10.1.0.1") and subject.is_well())


def stays(subject, seconds=LASTS):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert subject.knows("web", "10.96.0.1", "10.1.0.1") and subject.is_well(), subject.log()
        time.sleep(0.05)


def follows(subject, api):
    put(api, "new", "10.96.0.2", "10.1.0.2")
    until(lambda: subject.knows("new", "10.96.0.2", "10.1.0.2"))
    assert subject.knows("web", "10.96.0.1", "10.1.0.1")


def test_a_token_is_replaced(start, tmp_path, api):
    """In its file, before the old one is refused: the next request comes with the new one."""
    token = tmp_path / "token"
    token.write_text("one\n")
    api.token = "one"
    subject = start(tokenFile=str(token))
    knows(subject)
    token.write_text("two\n")
    api.token = "two"
    api.state.end_watches()
    follows(subject, api)


def test_a_token_has_expired(start, tmp_path, api):
    """For a while there is none that is good."""
    token = tmp_path / "token"
    token.write_text("one\n")
    api.token = "one"
    subject = start(tokenFile=str(token))
    knows(subject)
    api.token = "two"
    api.state.end_watches()
    stays(subject)
    until(lambda: "the server says 401 Unauthorized" in subject.log())
    token.write_text("two\n")
    follows(subject, api)


def test_a_client_certificate_is_replaced(start, authority, certified):
    give(authority, "one", "client")
    subject = start(**{"client-certificate": authority.path("client.crt"), "client-key": authority.path("client.key")})
    knows(subject)
    assert certified.last_client == "one"
    certified.banned.add("one")
    certified.state.end_watches()
    stays(subject)
    give(authority, "two", "client")
    follows(subject, certified)
    assert certified.last_client == "two"


def test_a_client_certificate_has_expired(start, authority, certified):
    """At the start: the server ends each handshake, until there is another."""
    give(authority, "old", "client")
    subject = start(**{"client-certificate": authority.path("client.crt"), "client-key": authority.path("client.key")})
    until(lambda: "; trying again" in subject.log())
    assert certified.requests == []
    give(authority, "one", "client")
    knows(subject)
    follows(subject, certified)


def test_the_server_s_certificate_has_expired(start, authority, api):
    subject = start(token="t")
    knows(subject)
    api.stop()
    good, api.tls = api.tls, (authority.path("late.crt"), authority.path("late.key"))
    api.start()
    until(lambda: "certificate has expired" in subject.log())
    seen = len(api.requests)
    stays(subject)
    assert len(api.requests) == seen  # nobody tells it anything
    api.stop()
    api.tls = good
    api.start()
    follows(subject, api)


def test_the_authority_is_replaced(start, tmp_path, api):
    """The server comes back with a certificate of another one, which the file names a while later."""
    subject = start(token="t")
    knows(subject)
    api.stop()
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    other.issue("server", "/CN=server", "IP:127.0.0.1")
    api.tls = (other.path("server.crt"), other.path("server.key"))
    api.start()
    until(lambda: "certificate" in subject.log())
    stays(subject)
    os.replace(other.path("ca.crt"), tmp_path / "ca.crt")
    follows(subject, api)
