"""The flags of `signpost proxy --proxy-mode=iptables`, by what clients notice and what lies in the kernel."""
import pathlib
import time

import pytest

from proxy_world import world  # pylint: disable=unused-import
from test_proxy_faults import only
from test_proxy_iptables import MODE, ours, saved

TCP = ("http", 80, "TCP")
PORT = 30080
LOOPBACK, NODE, GATEWAY, NODE6 = "127.0.0.1", "192.168.9.1", "10.244.1.1", "fd00:9::1"


def node_port_service(world, pods, family=4, port=PORT):
    name, ip = ("web", "10.96.0.10") if family == 4 else ("six", "fd00:10:96::10")
    world.service(name, [ip], [TCP], pods, family=family, type="NodePort")
    path = pathlib.Path(world.folder, name + ".json")
    path.write_text(path.read_text().replace('"port": 80,', '"port": 80, "nodePort": %d,' % port))


def daemon(world, *more):
    started = world.daemon(MODE, "--min-sync-period=20ms", *more)
    assert world.wait_for(lambda: "IPv6: full sync" in world.log(), 10), world.log()
    return started


def answers(world, source, host, port=PORT):
    return world.ask(source, "tcp", host, port)[0].get("name")


@pytest.mark.parametrize("value,open_at", [
    ("all", {LOOPBACK, NODE, GATEWAY, NODE6}),
    ("primary", {NODE, NODE6}),
    ("localhost", {LOOPBACK}),
    ("192.168.9.0/24", {NODE, NODE6}),  # IPv6: all
    ("192.168.9.0/24,fd00:77::/64", {NODE}),
    ("127.0.0.0/8,10.244.1.1/32", {LOOPBACK, GATEWAY, NODE6}),
])
def test_nodeport_addresses(world, value, open_at):
    node_port_service(world, ["p1"])
    node_port_service(world, ["p2"], family=6, port=PORT + 1)
    daemon(world, "--nodeport-addresses=" + value)
    assert world.wait_for(only(world, "p1", n=1), 10), world.log()
    asked = [("node", LOOPBACK), ("outside", NODE), ("c1", GATEWAY)]
    seen = {host for source, host in asked if answers(world, source, host) == "p1"}
    if answers(world, "outside", NODE6, PORT + 1) == "p2":
        seen.add(NODE6)
    assert seen == open_at


def test_new_address_gets_node_ports(world):
    node_port_service(world, ["p1"])
    daemon(world, "--nodeport-addresses=192.168.9.0/24")
    world.run("ip", "addr", "add", "192.168.9.77/24", "dev", "out0")
    assert world.wait_for(lambda: answers(world, "outside", "192.168.9.77") == "p1", 10), world.log()
    world.run("ip", "addr", "del", "192.168.9.77/24", "dev", "out0")
    assert world.wait_for(lambda: not any("192.168.9.77" in line for line in saved(world)), 10), world.log()
    assert answers(world, "outside", NODE) == "p1"


@pytest.mark.parametrize("flag,opened", [("--iptables-localhost-nodeports=true", True),
                                         ("--iptables-localhost-nodeports=false", False)])
def test_localhost_nodeports(world, flag, opened):
    node_port_service(world, ["p1"])
    daemon(world, flag)
    assert world.wait_for(lambda: answers(world, "outside", NODE) == "p1", 10), world.log()
    assert (answers(world, "node", LOOPBACK) == "p1") == opened
    assert any("KUBE-FIREWALL" in line and "127.0.0.0/8" in line for line in ours(world)) == opened
    assert world.run("cat", "/proc/sys/net/ipv4/conf/all/route_localnet").stdout == "%d\n" % opened


@pytest.mark.parametrize("flags,seen", [([], "10.244.1.50"), (["--masquerade-all"], GATEWAY)])
def test_masquerade_all(world, flags, seen):
    world.service("web", ["10.96.0.10"], [TCP], ["p1"])
    world.proxy(MODE, "--oneshot", "--iptables-masquerade-bit=7", *flags)
    assert world.ask("c1", "tcp", "10.96.0.10", 80)[0]["seen"] == seen
    assert world.ask("outside", "tcp", "10.96.0.10", 80)[0]["seen"] == GATEWAY
    assert "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x80/0x80" in saved(world)


@pytest.mark.parametrize("flag", ["--iptables-min-sync-period=2s", "--min-sync-period=2s"])
def test_min_sync_period(world, flag):
    """The first change after a calm comes in at once, the next one waits for the end of the period."""
    world.service("web", ["10.96.0.10"], [TCP], ["p1"])
    world.daemon(MODE, flag)
    assert world.wait_for(only(world, "p1", n=1), 10), world.log()
    time.sleep(2)
    written = time.monotonic()
    world.service("web", ["10.96.0.10"], [TCP], ["p2"])
    assert world.wait_for(only(world, "p2", n=1), 10), world.log()
    world.service("web", ["10.96.0.10"], [TCP], ["p3"])
    assert world.wait_for(only(world, "p3", n=1), 10), world.log()
    assert time.monotonic() - written >= 2
    assert world.wait_for(lambda: world.log().count("IPv4: partial sync") == 2), world.log()  # told behind the write


def test_cleanup_of_each_mode(world):
    """With a mode its own rules, without one all of them: nothing of either is left."""
    node_port_service(world, ["p1"])
    everything = ["nft", "list", "ruleset"]
    empty = "\n".join(saved(world))
    world.proxy(MODE, "--oneshot")
    world.proxy("--cleanup", "--proxy-mode=nftables")
    assert ours(world)
    world.proxy("--cleanup", MODE)
    assert ours(world) == []
    world.proxy("--proxy-mode=nftables", "--oneshot")
    world.proxy("--cleanup", MODE)
    assert "table ip signpost" in world.run(*everything).stdout
    world.proxy("--cleanup")
    assert "signpost" not in world.run(*everything).stdout and "KUBE" not in world.run(*everything).stdout
    assert "\n".join(line for line in saved(world) if line.startswith("-A")) == empty
