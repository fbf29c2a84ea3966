"""The swap matrix: a pod asks for a Service by its name and is answered by another pod, whoever of
the real programs and ours plays each part, all on a real API server."""
import pathlib
import shutil
import subprocess

import pytest

import walk_world
from walk_world import wait
from walk_checks import APIS, CHECKS, COMBINATIONS, SOON


@pytest.fixture(scope="module", params=APIS)
def world(request, signpost):
    reason = walk_world.missing(signpost, request.param)
    if reason:
        pytest.skip(reason)
    folder = pathlib.Path(subprocess.check_output(["mktemp", "-d", "/tmp/walk-XXXXXX"], text=True).strip())
    try:
        with walk_world.Walk(signpost, folder, request.param) as made:
            yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=[c[1:] for c in COMBINATIONS if c[0] == APIS[0]], ids="+".join)
def walk(request, world, signpost):
    """The world in one of its combinations, with one pod behind bar."""
    dns, proxy, controller = request.param
    reason = walk_world.missing(signpost, world.api, dns, proxy, controller)
    if reason:
        pytest.skip(reason)
    world.scale("bar-1")
    world.use(dns=dns, proxy=proxy, controller=controller)
    world.until_answered_by("bar-1", seconds=SOON)
    return world


def test_walk(walk):
    for check in CHECKS.values():
        check(walk)
    CHECKS["walk"](walk)


def test_queries_whose_port_was_used_before(world):
    """Their entry in the connection table stands already, so that no event tells of it."""
    world.scale("bar-1")
    world.use(dns="signpost", proxy="signpost", controller="signpost")
    world.until_answered_by("bar-1", seconds=SOON)
    ports = "/proc/sys/net/ipv4/ip_local_port_range"
    before = world.foo("cat", ports).stdout
    world.foo("sh", "-c", "echo 40000 40019 >" + ports)
    try:
        world.answers(requests=20)
        for _ in range(6):
            world.call("walk", "shop/foo", "bar")
    finally:
        world.foo("sh", "-c", "echo %s >%s" % (before.strip().replace("\t", " "), ports))


@pytest.mark.long
def test_swaps_under_load(world, signpost):
    """From the originals to ours and back: no request fails, and each looks the name up."""
    reason = walk_world.missing(signpost, world.api, "coredns", "kube-proxy-nftables")
    if reason:
        pytest.skip(reason)
    world.scale("bar-1", "bar-2")
    world.use(dns="coredns", proxy="kube-proxy-nftables", controller="signpost")
    world.until_answered_by("bar-1", "bar-2", seconds=SOON)
    for swaps in ({"dns": "signpost"}, {"proxy": "signpost"}, {"dns": "coredns"}, {"proxy": "kube-proxy-nftables"}):
        with world.requests() as told:
            world.use(**swaps)
            world.until_answered_by("bar-1", "bar-2", seconds=SOON)
        n, failed = told
        assert n > 5 and not failed, "%s: of %d requests %s" % (swaps, n, failed)


@pytest.mark.long
@pytest.mark.parametrize("dns, proxy", [("signpost", "signpost"), ("coredns", "kube-proxy-nftables")])
def test_the_api_server_goes_away(world, signpost, dns, proxy):
    """Names and addresses go on working without it, and what changes afterwards is followed."""
    reason = walk_world.missing(signpost, world.api, dns, proxy)
    if reason:
        pytest.skip(reason)
    world.scale("bar-1", "bar-2")
    world.use(dns=dns, proxy=proxy, controller="signpost")
    world.until_answered_by("bar-1", "bar-2", seconds=SOON)
    with world.requests() as told:
        with world.without_api():
            world.scale("bar-1", "bar-2", "bar-3")
            wait(lambda: world.is_ready("bar-3", "shop"), SOON, "bar-3 is ready")
            assert set(world.answers(requests=200)) == {"bar-1", "bar-2"}
        world.until_answered_by("bar-1", "bar-2", "bar-3", seconds=SOON)
    n, failed = told
    assert n > 5 and not failed, "of %d requests %s" % (n, failed)
    assert world.call("walk", "shop/foo", "bar").returncode == 0
