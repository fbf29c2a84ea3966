"""Every fault of an API server or of the way to it, for everybody who follows one: what is served goes on being served,
and what happened meanwhile follows when the fault is over."""
import copy
import time

import pytest

from api_world import EVERYBODY, LASTS, Dns, api_fixture, knows, put, relay_fixture, stays, until  # noqa: F401  fixtures
from apiserver import ApiServer

FAULTS = ["killed", "hangs", "vanished", "slow", "truncated", 401, 410, 429, 500, 503]


@pytest.fixture(params=EVERYBODY)
def subject(request, signpost, tmp_path, relay):
    made = request.param(signpost, tmp_path, relay)
    yield made
    made.close()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_and_its_end(subject, relay, api, fault):
    knows(subject)
    relay.set(fault)
    if isinstance(fault, str) and fault != "slow":
        put(api, "meanwhile", "10.96.0.2", "10.1.0.2")
    stays(subject)
    if fault == "slow":
        put(api, "meanwhile", "10.96.0.2", "10.1.0.2")  # follows all the same
    else:
        relay.set(None)
    until(lambda: subject.knows("meanwhile", "10.96.0.2", "10.1.0.2") or isinstance(fault, int))
    relay.set(None)
    put(api, "then", "10.96.0.3", "10.1.0.3")
    until(lambda: subject.knows("then", "10.96.0.3", "10.1.0.3"))
    # a slice whose creation got no reply is made twice, until the watch tells of the first
    until(lambda: subject.knows("web", "10.96.0.1", "10.1.0.1"))


@pytest.mark.parametrize("status", [429, 503])
def test_patience_that_is_asked_for(subject, relay, api, status):
    """For as long as Retry-After says nothing is asked for again, be it the first of the failures."""
    knows(subject)
    relay.retry_after = 4
    relay.set(status)
    put(api, "then", "10.96.0.3", "10.1.0.3")
    until(lambda: len({what for _, what in relay.refused}) >= 3)
    stays(subject, 6)
    relay.set(None)
    last = {}
    for when, what in relay.refused:
        assert when - last.get(what, 0) > 3.9, relay.refused
        last[what] = when
    assert len(relay.refused) > len(last)
    until(lambda: subject.knows("then", "10.96.0.3", "10.1.0.3"))


@pytest.mark.parametrize("fault", ["killed", "hangs", "truncated", 503])
def test_a_fault_from_the_start(request, signpost, tmp_path, relay, api, fault):
    """Nothing is known yet: DNS says so, and is not ready, until it is."""
    relay.set(fault)
    subject = Dns(signpost, tmp_path, relay)
    request.addfinalizer(subject.close)
    end = time.monotonic() + LASTS
    while time.monotonic() < end:
        assert subject.server.addresses("web.default.svc.cluster.local.") == "SERVFAIL"
        assert not subject.is_well()
    relay.set(None)
    until(lambda: subject.knows("web", "10.96.0.1", None))
    until(subject.is_well)


def test_a_replica_that_is_behind(subject, relay, api):
    """The connection ends and the next goes to a server that does not know the latest yet: nothing goes back."""
    knows(subject)
    with ApiServer(stream=True) as behind:
        behind.state.objects = {k: o for k, o in copy.deepcopy(api.state.objects).items()
                                if k[0] != "EndpointSlice" or o["metadata"]["name"] == "web-a"}
        behind.state.revision, behind.state.events = api.state.revision, []
        put(api, "latest", "10.96.0.4", "10.1.0.4")
        until(lambda: subject.knows("latest", "10.96.0.4", "10.1.0.4"))
        relay.move(behind.port)
        end = time.monotonic() + LASTS
        while time.monotonic() < end:
            assert subject.knows("latest", "10.96.0.4", "10.1.0.4") and subject.is_well(), subject.log()
            time.sleep(0.05)
        relay.move(api.port)
    put(api, "then", "10.96.0.3", "10.1.0.3")
    until(lambda: subject.knows("then", "10.96.0.3", "10.1.0.3"))
    assert subject.knows("latest", "10.96.0.4", "10.1.0.4")
