"""signpost trace of one request on a real node: namespaces made by hand, a DNS server and a proxy."""
import os
import signal
import subprocess

import pytest

from lab_world import wait
from proxy_world import world  # noqa: F401
from trace_world import Hand


@pytest.fixture
def hand(world, signpost, tmp_path):  # noqa: F811
    return Hand(world, signpost, tmp_path)


def steps(seen):
    return {s["step"]: s for s in seen["steps"]}


def lines(seen, step):
    return " | ".join(l["text"] for l in steps(seen)[step]["lines"])


def blind(seen):
    return [s["step"] for s in seen["steps"] if s["blind"]]


def unseen(seen):
    return [s["step"] for s in seen["steps"] if not s["observed"]]


def test_a_request_of_a_process(hand):
    pid = ["--pid", str(hand.process.pid), *hand.objects()]
    seen = hand.trace(*pid, "web")
    assert (seen["outcome"], seen["from"], unseen(seen)) == ("answered", "pod t/c1", [])
    assert "and pod t/p2 on node1 answered, not in HTTP, after" in seen["verdict"]
    assert "web.t.svc.cluster.local. A" in lines(seen, "queries")
    assert "became 10.244.1.11:53 (pod p1)" in lines(seen, "their way")
    assert "because of Service t/web" in lines(seen, "record, and why")
    assert "the packet is for 10.244.1.12:8080, pod p2: this is the choice" in lines(seen, "rule and endpoint")
    assert "at the link of pod t/p2 on node1" in lines(seen, "arrival")
    assert "signpost_trace" not in hand.tables()


def test_a_request_of_a_pod(hand):
    seen = hand.trace(*hand.objects(), "t/c1", "10.96.0.80:80")
    assert (seen["outcome"], seen["from"], blind(seen)) == ("answered", "pod t/c1", [])
    assert lines(seen, "queries") == "none: an address was typed"


def test_datagrams(hand):
    pid = ["--pid", str(hand.process.pid), *hand.objects(), "--protocol", "udp"]
    seen = hand.trace(*pid, "web:7")
    assert (seen["outcome"], unseen(seen)) == ("answered", []), seen
    assert "and pod t/p2 on node1 answered after" in seen["verdict"]
    assert "datagram" in lines(seen, "virtual IP") and "datagram" in lines(seen, "arrival")
    assert hand.trace(*pid, "10.96.0.10:53")["outcome"] == "answered"
    closed = hand.trace(*pid, "10.244.1.12:99")
    assert closed["outcome"] == "port-closed" and "its datagram to 10.244.1.12:99 arrived at pod t/p2" in closed["verdict"]


def test_broken_requests(hand):
    pid = ["--pid", str(hand.process.pid), *hand.objects(), "--wait", "2"]
    nobody = hand.trace(*pid, "nobody")
    assert nobody["outcome"] == "rejected" and "reject" in nobody["verdict"]
    assert any("has no endpoint" in c["text"] for c in nobody["causes"]), nobody["causes"]
    assert hand.trace(*pid, "no-such.t.svc.cluster.local.")["outcome"] == "name-unknown"
    assert hand.trace(*pid, "10.244.1.12:81")["outcome"] == "port-closed"


def test_what_is_beyond_the_node_is_blind(hand):
    seen = hand.trace("--pid", str(hand.process.pid), *hand.objects(), "--wait", "2", "far")
    assert seen["outcome"] == "unanswered" and blind(seen) == ["arrival"]
    assert "was sent on to pod t/far on node9 and not answered" in seen["verdict"]


def test_what_others_ask_is_not_taken_for_its_own(hand):
    with hand.node.load():
        seen = hand.trace("--pid", str(hand.process.pid), *hand.objects(), "web")
        names = lines(seen, "queries")
    assert seen["outcome"] == "answered" and "web.t.svc" in names and "web.default" not in names


def test_name_servers_that_are_silent(hand):
    pid = ["--pid", str(hand.process.pid), *hand.objects()]
    hand.world.run("nft", "table inet lossy { chain c { type filter hook output priority 10; udp sport 53 drop; }; }", ns="p1")
    with hand.node.load():  # others ask, too
        seen = hand.trace(*pid, "web.t.svc.cluster.local.")
    assert seen["outcome"] == "name-silent", seen["verdict"]
    hand.world.run("nft", "delete table inet lossy", ns="p1")
    hand.world.run("nft", "table inet lossy { chain c { type filter hook forward priority 10; ip saddr 10.244.1.50 udp dport 53 drop; }; }")
    assert hand.trace(*pid, "web.t.svc.cluster.local.")["outcome"] == "name-unheard"
    less = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]
    assert hand.trace(*pid, "web.t.svc.cluster.local.", before=less)["outcome"] == "name-unanswered"


def test_without_objects(hand):
    seen = hand.trace("--pid", str(hand.process.pid), "web.t")
    assert seen["outcome"] == "answered" and seen["from"].endswith("(sleep)")
    assert blind(seen) == ["record, and why", "virtual IP", "arrival"]
    assert "10.244.1.12:8080 answered" in seen["verdict"]


def test_rights_that_are_missing_are_named(hand):
    less = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]
    seen = hand.trace("--pid", str(hand.process.pid), *hand.objects(), "web", before=less)
    assert seen["outcome"] == "answered"
    assert "Operation not permitted" in lines(seen, "rule and endpoint")
    assert "the connection table of the node cannot be asked" in lines(seen, "conntrack")
    assert blind(seen) == ["their way", "rule and endpoint", "route", "arrival", "conntrack"]


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii") as f:
        return f.read().split()


def test_nothing_is_left_when_it_is_killed(hand):
    process = hand.start("--pid", str(hand.process.pid), *hand.objects(), "--wait", "30", "far")
    wait(lambda: "signpost_trace" in hand.tables(), 15)
    listed = hand.world.run("nft", "list", "ruleset").stdout
    assert "ip saddr 10.244.1.50 ip daddr 10.96.0.82 tcp sport" in listed and "meta nftrace set 1" in listed
    assert children(process.pid) == []
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    wait(lambda: "signpost_trace" not in hand.tables(), 10)
    with open("/proc/%d/net/packet" % hand.process.pid, encoding="ascii") as f:
        assert len(f.read().splitlines()) == 1  # its head
    assert not [n for n in os.listdir("/tmp") if "signpost_trace" in n]


@pytest.mark.parametrize("arguments, words", [
    (["--pid", "1"], "give for what it asks"), (["--protocol", "sctp", "t/c1", "web"], "no SCTP requests are made"),
    (["--protocol", "icmp", "t/c1", "web"], "--protocol icmp"), (["--data", "x", "t/c1", "web"], "--data"),
    (["--pid", "999999999", "web"], "no such process"), (["--lab-dir", "/x", "--pid", "1", "web"], "--lab-dir"),
    (["--manifests", "/nonexistent", "t/c1", "web"], "/nonexistent"),
    (["--manifests", "/x", "--kubeconfig", "/y", "t/c1", "web"], "exclude"),
])
def test_refusals(signpost, arguments, words):
    done = subprocess.run([signpost, "trace", *arguments], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2 and done.stderr.startswith("signpost trace: ") and words in done.stderr


def test_datagrams_need_a_port(hand):
    done = hand.world.run(hand.signpost, "trace", "--pid", str(hand.process.pid), "--protocol", "udp", "web", check=False)
    assert done.returncode == 2 and "give a port" in done.stderr
