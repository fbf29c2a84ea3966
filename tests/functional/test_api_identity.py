"""Tokens and certificates that expire and are replaced, for everybody who follows an API server: what is known is served
meanwhile, and what changed meanwhile follows without anybody's doing."""
import os
import re
import time

import pytest

from api_world import EVERYBODY, FAR, fill, follows, knows, open_relay, stays, until
from apiserver import ApiServer
from certificates import Authority
from fault_relay import FaultProxy
from login import Login

REFUSED = 1.5  # seconds, in which all requests are refused


@pytest.fixture
def authority(tmp_path):
    made = Authority(tmp_path)
    made.issue("server", "/CN=server", "IP:127.0.0.1,DNS:" + FAR)
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
    with open_relay(api, tmp_path) as relay:
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
    follows(subject)


def test_a_token_has_expired(start, tmp_path, api):
    """For a while there is none that is good."""
    token = tmp_path / "token"
    token.write_text("one\n")
    api.token = "one"
    subject = start(tokenFile=str(token))
    knows(subject)
    api.token = "two"
    api.state.end_watches()
    stays(subject, REFUSED)
    until(lambda: "the server says 401 Unauthorized" in subject.log())
    token.write_text("two\n")
    follows(subject)


def test_a_client_certificate_is_replaced(start, authority, certified):
    give(authority, "one", "client")
    subject = start(**{"client-certificate": authority.path("client.crt"), "client-key": authority.path("client.key")})
    knows(subject)
    assert certified.last_client == "one"
    certified.banned.add("one")
    certified.state.end_watches()
    stays(subject, REFUSED)
    give(authority, "two", "client")
    follows(subject)
    assert certified.last_client == "two"


def test_a_client_certificate_has_expired(start, authority, certified):
    """At the start: the server ends each handshake, until there is another."""
    give(authority, "old", "client")
    subject = start(**{"client-certificate": authority.path("client.crt"), "client-key": authority.path("client.key")})
    until(lambda: "; trying again" in subject.log())
    assert certified.requests == []
    give(authority, "one", "client")
    knows(subject)
    follows(subject)


def test_the_server_s_certificate_has_expired(start, authority, api):
    subject = start(token="t")
    knows(subject)
    api.stop()
    good, api.tls = api.tls, (authority.path("late.crt"), authority.path("late.key"))
    api.start()
    until(lambda: "certificate has expired" in subject.log())
    seen = len(api.requests)
    stays(subject, REFUSED)
    assert len(api.requests) == seen  # nobody tells it anything
    api.stop()
    api.tls = good
    api.start()
    follows(subject)


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
    stays(subject, REFUSED)
    os.replace(other.path("ca.crt"), tmp_path / "ca.crt")
    follows(subject)


# ---- programs that print credentials ----

@pytest.fixture
def login(tmp_path):
    return Login(tmp_path, installHint="ask the admins")


def in_seconds(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


def runs(subject):
    found = re.search(r'^signpost_credential_runs_total\{result="success"\} (\d+)$', subject.page("/metrics"), re.M)
    return int(found[1]) if found else 0


def test_a_token_from_a_program(start, login, api):
    """Once for all requests, and again when it was refused."""
    login.prints(token="one")
    api.token = "one"
    subject = start(exec=login.exec)
    knows(subject)
    assert login.calls() == ["get a token x y"] and runs(subject) == 1
    time.sleep(1)  # younger credentials would be tried again
    login.prints(token="two")
    api.token = "two"
    api.state.end_watches()
    follows(subject)
    assert len(login.calls()) == 2 and runs(subject) == 2


def test_a_token_from_a_program_that_expires(start, login, api):
    """It is asked for another one before the server says 401."""
    login.prints(token="one", expirationTimestamp=in_seconds(3))
    api.token = "one"
    subject = start(exec=login.exec)
    knows(subject)
    login.prints(token="two", expirationTimestamp=in_seconds(3600))
    time.sleep(3.5)
    api.token = "two"
    api.state.end_watches()
    follows(subject)
    assert "401" not in subject.log()


def test_a_certificate_from_a_program(start, login, certified):
    login.prints_certificate("one")
    subject = start(exec=login.exec)
    knows(subject)
    assert certified.last_client == "one"
    time.sleep(1)
    login.prints_certificate("two")
    certified.banned.add("one")
    certified.state.end_watches()
    follows(subject)
    assert certified.last_client == "two"


def test_a_program_that_fails(start, login, api):
    """For a while, after a token was refused: what is known is served, what it prints is not told."""
    login.prints(token="one")
    api.token = "one"
    subject = start(exec=login.exec)
    knows(subject)
    time.sleep(1)
    (login.folder / "answer").write_text("secret")
    api.token = "two"
    api.state.end_watches()
    until(lambda: "login: what it printed is not one JSON object; ask the admins" in subject.log())
    stays(subject, REFUSED)
    assert "secret" not in subject.log()
    login.prints(token="two")
    follows(subject)


# ---- a proxy ----

@pytest.mark.parametrize("who", EVERYBODY)
def test_a_proxy(request, signpost, tmp_path, api, who):
    """proxy-url: the server's name is known to the proxy alone. When the proxy is away what is known is served."""
    with open_relay(api, tmp_path, FaultProxy) as proxy:
        subject = who(signpost, tmp_path, proxy, user={"token": "t"}, far=True)
        request.addfinalizer(subject.close)
        knows(subject)
        assert set(proxy.asked) == {FAR + ":6443"}
        proxy.set("killed")
        stays(subject)
        proxy.set(None)
        follows(subject)
