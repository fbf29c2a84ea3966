"""An API server that is away for long, for everybody who follows one: an hour passes on clocks that can be set forward."""
import time

import pytest

from api_world import EVERYBODY, Clock, Controller, Dns, api_fixture, knows, open_relay, put, relay_fixture, until  # noqa: F401,E501  fixtures
from certificates import Authority
from h2_front import H2Front

STEP, STEPS = 30, 120  # seconds of an hour
AGAIN = 60             # the longest pause, and what a connection takes to fail
BOOKMARKS = 90         # longer than between those of a server: silence is then a fault


@pytest.fixture
def clock(tmp_path):
    return Clock(tmp_path)


@pytest.fixture(params=EVERYBODY)
def subject(request, signpost, tmp_path, relay, clock):
    put(relay.api, "going", "10.96.0.5", "10.1.0.5")
    made = request.param(signpost, tmp_path, relay, env=clock.env(signpost), elect=True)
    request.addfinalizer(made.close)
    knows(made)
    return made


def passes(clock, condition, seconds):
    """Within so many seconds of the shifted clock."""
    end = clock.shift() + seconds
    while not condition():
        assert clock.shift() < end
        clock.forward(1)
        time.sleep(0.05)


AWAY = {
    "killed": (lambda s: s.relay.set("killed"), lambda s: s.relay.set(None)),
    "hung": (lambda s: s.relay.set("hangs"), lambda s: s.relay.set(None)),
    "vanished": (lambda s: s.vanish(), lambda s: s.appear()),
    "503": (lambda s: s.relay.set(503), lambda s: s.relay.set(None)),
}


@pytest.mark.parametrize("how", AWAY)
def test_an_hour(subject, clock, api, how):
    """What is known is served; the age of it is told; the server is asked again and again, but not in a hurry. In the end
    all that has happened meanwhile is there, although the server has forgotten the way to it."""
    leave, come = AWAY[how]
    assert subject.gauge("age_seconds") < 60
    assert subject.gauge("watching") == 1
    leave(subject)
    put(api, "meanwhile", "10.96.0.2", "10.1.0.2")
    put(api, "web", "10.96.0.9", "10.1.0.9")
    subject.drop("going")
    api.state.compact()
    writes = len(api.state.writes)
    for _ in range(STEPS):
        clock.forward(STEP)
        time.sleep(0.03)
        assert subject.knows("web", "10.96.0.1", "10.1.0.1") and subject.is_well(), subject.log()
    assert subject.knows("going", "10.96.0.5", "10.1.0.5")
    assert 3500 < subject.gauge("age_seconds") < 4000
    assert subject.gauge("watching") == 0
    assert 25 < subject.gauge("failures_total") < 400
    assert subject.log().count("trying again") < 24  # what sounds the same is told once
    assert len(api.state.writes) == writes
    come(subject)
    passes(clock, lambda: subject.knows("web", "10.96.0.9", "10.1.0.9"), AGAIN)
    passes(clock, lambda: subject.knows("meanwhile", "10.96.0.2", "10.1.0.2"), AGAIN)
    passes(clock, lambda: not subject.knows("going", "10.96.0.5", "10.1.0.5"), AGAIN)
    assert not subject.knows("web", "10.96.0.1", "10.1.0.1")
    passes(clock, lambda: subject.gauge("watching") == 1, AGAIN)
    assert subject.gauge("age_seconds") < 100
    assert subject.is_well(), subject.log()


def fails_over(subject, clock, relay):
    lists = subject.gauge("lists_total")
    relay.strand()
    put(relay.api, "meanwhile", "10.96.0.2", "10.1.0.2")
    time.sleep(0.5)
    assert not subject.knows("meanwhile", "10.96.0.2", "10.1.0.2")
    passes(clock, lambda: subject.knows("meanwhile", "10.96.0.2", "10.1.0.2"), BOOKMARKS + AGAIN)
    assert subject.gauge("lists_total") == lists
    assert "nothing came for too long" in subject.log()
    put(relay.api, "then", "10.96.0.3", "10.1.0.3")
    until(lambda: subject.knows("then", "10.96.0.3", "10.1.0.3"), 10)


def test_a_connection_that_is_dead(subject, clock, relay):
    """Nothing ends and nothing comes: what is silent for longer than bookmarks allow is begun anew, elsewhere. Nobody
    needs the list again."""
    fails_over(subject, clock, relay)


@pytest.mark.parametrize("who", EVERYBODY)
def test_one_connection_for_all_that_is_dead(request, signpost, tmp_path, api, clock, who):
    """The same with HTTP/2, where all that is asked shares the connection, and what follows is sent on it, too, for as long
    as it seems to be well."""
    authority = Authority(tmp_path)
    authority.issue("server", "/CN=server", "IP:127.0.0.1")
    with H2Front(api.port, authority.path("server.crt"), authority.path("server.key")) as front, \
            open_relay(api, tmp_path, port=front.port) as relay:
        subject = who(signpost, tmp_path, relay, env=clock.env(signpost), user={"token": "t"}, elect=True)
        request.addfinalizer(subject.close)
        knows(subject)
        assert len(relay.connections) == 2  # the client's and the server's end of one
        fails_over(subject, clock, relay)


def test_a_revision_that_is_gone(subject, clock, relay, api):
    """The server is back after a moment, and has forgotten: all is read anew, and what it no longer has goes."""
    relay.set("killed")
    subject.drop("going")
    api.state.compact()
    relay.set(None)
    passes(clock, lambda: not subject.knows("going", "10.96.0.5", "10.1.0.5"), AGAIN)
    assert subject.knows("web", "10.96.0.1", "10.1.0.1")
    assert "listing again" in subject.log()


@pytest.mark.parametrize("who", [Dns, Controller], ids=["dns", "controller"])
def test_pages_before_the_first_list(request, signpost, tmp_path, relay, who):
    """Nothing was ever heard: no age is made up, and nobody is told to come."""
    relay.set("hangs")
    made = who(signpost, tmp_path, relay)
    request.addfinalizer(made.close)
    until(lambda: "signpost_apiserver_age_seconds" in page(made))
    assert made.gauge("age_seconds") == -1
    assert made.gauge("watching") == 0
    assert not made.is_well()


def page(subject):
    try:
        return subject.page("/metrics")
    except OSError:
        return ""
