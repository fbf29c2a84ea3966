"""`signpost proxy` when things go wrong or change under it: the nft program, other people's hands on
the tables, sudden ends, many changes; and what clients notice of it."""
import json
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from proxy_world import PEER, pod4, world  # pylint: disable=unused-import

BACKENDS = ["p1", "p2", "p3"]
TCP, UDP = ("http", 80, "TCP"), ("dns", 53, "UDP")
QUIET = "--iptables-sync-period=0s"  # no look after the tables by the clock


def names(world, ip="10.96.0.10", n=12, source="c1", proto="tcp", port=80):
    return [r.get("name") for r in world.ask(source, proto, ip, port, n)]


def only(world, *pods, **kw):
    return lambda: (lambda seen: None not in seen and set(seen) <= set(pods))(names(world, **kw))


def table(world):
    """What the kernel has, without what depends on the history: slots and chains of moduli, and the seal on them."""
    text = world.run("nft", "-s", "list", "ruleset").stdout
    text = re.sub(r"(?s)\n\tchain (draw|remember|keep).*?\n\t}\n", "\n", text)
    text = re.sub(r"(?s)\n\tset layout {.*?\n\t}\n", "\n", text)
    elements = sorted(re.sub(r"^\d+ \. (?=[0-9a-f]+:[0-9a-f]+ : )", "", e.strip())
                      for e in re.sub(r"[{}\n]|elements =", ",", text).split(","))
    return [e for e in elements if e]


def fresh(world, *options):
    """What a first start makes of the same objects."""
    for family in ("ip", "ip6"):
        world.run("nft", "delete", "table", family, "signpost")
    world.proxy("--oneshot", *options)
    return table(world)


# ---- the nft program

def fake_nft(tmp_path, body):
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    program = folder / "nft"
    new = folder / "nft.new"
    new.write_text("#!/bin/sh\n" + body)
    new.chmod(0o755)
    new.rename(program)
    return str(folder)


REAL = 'exec /usr/sbin/nft "$@"\n'


@pytest.mark.parametrize("body,words", [
    ("exit 1\n", "nft ended with status 1: it said nothing"),
    ("echo 'Error: no good' >&2; exit 3\n", "Error: no good"),
    ("kill -9 $$\n", "nft ended with status 137"),
    ("head -c 1000 | /usr/sbin/nft -f -\n", "nft ended with status"),
])
def test_broken_nft(world, tmp_path, body, words):
    """Said in the log, tried again, written as soon as nft works; nothing half done."""
    path = fake_nft(tmp_path, body)
    world.service("web", ["10.96.0.10"], [TCP], ["p1"])
    world.daemon(QUIET, path=path)
    assert world.wait_for(lambda: words in world.log()), world.log()
    assert world.run("nft", "list", "tables").stdout.strip() == ""
    fake_nft(tmp_path, REAL)
    assert world.wait_for(only(world, "p1"), 15), world.log()


def test_nft_breaks_on_the_way(world, tmp_path):
    """Elements need no nft. What does, a list of a size that is new, comes in when nft works again; the rest goes on."""
    path = fake_nft(tmp_path, REAL)
    world.service("web", ["10.96.0.10"], [TCP], ["p1"])
    world.daemon(QUIET, path=path)
    assert world.wait_for(only(world, "p1"))
    fake_nft(tmp_path, "exit 1\n")
    world.service("web", ["10.96.0.10"], [TCP], ["p2"])
    assert world.wait_for(only(world, "p2")), world.log()
    world.service("two", ["10.96.0.11"], [TCP], ["p1", "p2"])
    assert world.wait_for(lambda: "rules of Service t/two:http were refused, all others are written" in world.log())
    world.service("web", ["10.96.0.10"], [TCP], ["p3"])
    assert world.wait_for(only(world, "p3")), world.log()
    fake_nft(tmp_path, "sleep 1\n" + REAL)  # and slow
    assert world.wait_for(only(world, "p1", "p2", ip="10.96.0.11"), 20), world.log()
    assert only(world, "p3")()


def test_one_service_is_refused(world, tmp_path):
    """A refusal is narrowed down to its Service, named, and no other waits for it."""
    path = fake_nft(tmp_path, 'cat >"$0.in"; grep -q "draw2-tcp" "$0.in" && '
                              '{ echo "Error: not this one" >&2; exit 1; }\n'
                              '/usr/sbin/nft "$@" <"$0.in"\n')
    for i in range(8):
        world.service("s%d" % i, ["10.96.0.%d" % (60 + i)], [TCP], ["p1", "p2"] if i == 6 else ["p1"])
    world.daemon(QUIET, path=path)
    for i in (0, 5, 7):
        assert world.wait_for(only(world, "p1", ip="10.96.0.%d" % (60 + i), n=2), 10), world.log()
    assert world.wait_for(lambda: "rules of Service t/s6:http were refused" in world.log())
    fake_nft(tmp_path, REAL)
    assert world.wait_for(only(world, "p1", "p2", ip="10.96.0.66", n=2), 20)


# ---- other hands

@pytest.mark.parametrize("command", [
    "flush ruleset", "delete table ip signpost", "flush table ip signpost",
    "flush chain ip signpost services", "flush map ip signpost services",
    "delete element ip signpost services { 10.96.0.10 . tcp . 80 }",
])
def test_drift_is_noticed(world, command):
    world.service("web", ["10.96.0.10"], [TCP], ["p1"])
    world.daemon(QUIET)
    assert world.wait_for(only(world, "p1", n=2))
    assert world.wait_for(lambda: "IPv6: full sync" in world.log())  # the second of the two
    before = table(world)
    world.run("nft", command)
    assert world.wait_for(lambda: table(world) == before, 10), world.log()
    assert only(world, "p1", n=2)()
    assert "somebody else has deleted" in world.log()


def test_others_tables_are_not_ours(world):
    world.service("web", ["10.96.0.10"], [TCP], ["p1"])
    world.daemon(QUIET)
    assert world.wait_for(only(world, "p1", n=2))
    world.run("nft", "add table ip other; add chain ip other c; flush table ip other;"
                     " delete table ip other")
    time.sleep(0.3)  # nothing is to happen; the drift tests show that it would by now
    assert "somebody else" not in world.log()


def test_takeover_from_the_original(world):
    """The original's tables serve until ours do, and are removed then."""
    world.service("web", ["10.96.0.10"], [TCP], ["p1"])
    world.run("nft", "-f", "-", text="""
        table ip kube-proxy {
            chain nat-prerouting { type nat hook prerouting priority -100;
                ip daddr 10.96.0.10 tcp dport 80 dnat to %s:8080; }
        }
        table ip6 kube-proxy { }""" % pod4("p1"))
    client = world.start(sys.executable, PEER, "ask", "tcp", "10.96.0.10", "80", "1500", ns="c1",
                         stdout=subprocess.PIPE)
    world.daemon(QUIET)
    assert world.wait_for(lambda: "kube-proxy" not in world.run("nft", "list", "tables").stdout)
    assert set(r["outcome"] for r in json.loads(client.communicate()[0])) == {"reply"}


# ---- sudden ends

def test_killed_and_started_again(world):
    """Connections come in all the time while the proxy is killed and started, endpoints change in
    between; kept ones live on."""
    world.service("web", ["10.96.0.10"], [TCP], ["p1", "p2"])
    daemon = world.daemon(QUIET)
    assert world.wait_for(only(world, "p1", "p2"))
    held = world.start(sys.executable, PEER, "hold", "10.96.0.10", "80", ns="c1",
                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert held.stdout.readline().strip() in ("p1", "p2")
    client = world.start(sys.executable, PEER, "ask", "tcp", "10.96.0.10", "80", "2000", ns="c1",
                         stdout=subprocess.PIPE)
    for pods in (["p2", "p3"], ["p3"], ["p1", "p3"]):
        daemon.send_signal(signal.SIGKILL)
        daemon.wait()
        world.children.remove(daemon)
        world.service("web", ["10.96.0.10"], [TCP], pods)
        daemon = world.daemon(QUIET)
        assert world.wait_for(only(world, *pods), 10)
        held.stdin.write("still there\n")
        held.stdin.flush()
        assert held.stdout.readline().strip() == "still there"
    assert set(r["outcome"] for r in json.loads(client.communicate()[0])) == {"reply"}


def test_cleanup_leaves_nothing(world):
    world.service("web", ["10.96.0.10", "fd00:10:96::10"], [TCP], ["p1"], type="NodePort",
                  sessionAffinity="ClientIP")
    world.proxy("--oneshot")
    assert "signpost" in world.run("nft", "list", "tables").stdout
    world.proxy("--cleanup")
    assert world.run("nft", "list", "ruleset").stdout == ""


# ---- affinity

def sticky(world, pods):
    world.service("web", ["10.96.0.10"], [TCP], pods, sessionAffinity="ClientIP")


def test_affinity_survives(world):
    """A restart and a flushed chain: clients stay; one whose endpoint goes moves for good."""
    sticky(world, BACKENDS)
    daemon = world.daemon(QUIET)
    assert world.wait_for(only(world, *BACKENDS, n=1))
    first = {c: set(names(world, n=6, source=c)) for c in ("c1", "outside", "node")}
    assert all(len(s) == 1 for s in first.values())
    for _ in range(3):
        assert world.stop(daemon) == 0
        daemon = world.daemon(QUIET)
        assert world.wait_for(lambda: world.log().count("full sync") % 2 == 0)
        for c, seen in first.items():
            assert set(names(world, n=6, source=c)) == seen
    gone = next(iter(first["c1"]))
    rest = [p for p in BACKENDS if p != gone]
    sticky(world, rest)
    assert world.wait_for(only(world, *rest, n=3))
    second = set(names(world, n=6))
    assert len(second) == 1
    sticky(world, BACKENDS)
    assert world.wait_for(lambda: gone in world.run(
        "nft", "list", "map", "ip", "signpost", "endpoints-tcp").stdout or
        pod4(gone) in world.run("nft", "list", "map", "ip", "signpost", "endpoints-tcp").stdout)
    assert set(names(world, n=6)) == second
    for c in ("outside", "node"):
        if first[c] != {gone}:
            assert set(names(world, n=6, source=c)) == first[c]


def test_dead_endpoint_is_forgotten(world):
    """No entry of the timed map leads to an endpoint that has left."""
    sticky(world, ["p1"])
    world.daemon(QUIET)
    assert world.wait_for(only(world, "p1", n=2))
    assert pod4("p1") in world.run("nft", "list", "map", "ip", "signpost", "affinity").stdout
    sticky(world, ["p2"])
    assert world.wait_for(only(world, "p2", n=2))
    text = world.run("nft", "list", "map", "ip", "signpost", "affinity").stdout
    assert ": %s ." % pod4("p1") not in text
    assert ": %s ." % pod4("p2") in text


# ---- everything at once, in both families

@pytest.mark.parametrize("family,ip,vip,other,node,near,far", [
    (4, "10.96.0.30", "203.0.113.30", "203.0.113.31", "192.168.9.1", "192.168.9.0/24",
     "10.99.0.0/16"),
    (6, "fd00:10:96::30", "fd00:77::30", "fd00:77::31", "fd00:9::1", "fd00:9::/64",
     "fd00:99::/64"),
])
def test_balancer_with_everything(world, family, ip, vip, other, node, near, far):
    """Source ranges, affinity, a Local policy and node ports together."""
    more = {"type": "LoadBalancer", "sessionAffinity": "ClientIP", "externalTrafficPolicy": "Local"}
    ports = [("http", 80, "TCP")]
    world.service("open", [ip], ports, BACKENDS, family, **more, balancer=[vip],
                  loadBalancerSourceRanges=[near])
    world.service("shut", [ip[:-2] + "40"], ports, BACKENDS, family, **more, balancer=[other],
                  loadBalancerSourceRanges=[far])
    for name in ("open", "shut"):
        path = pathlib.Path(world.folder, name + ".json")
        path.write_text(path.read_text().replace('"port": 80,', '"port": 80, "nodePort": %d,' %
                                                 (30080 if name == "open" else 30081)))
    world.daemon(QUIET)
    assert world.wait_for(lambda: None not in names(world, ip=ip, n=2))
    replies = world.ask("outside", "tcp", vip, 80, 8)
    assert set(r["outcome"] for r in replies) == {"reply"}
    assert len(set(r["name"] for r in replies)) == 1  # kept
    assert all(r["seen"] == r["own"] for r in replies)  # not masqueraded
    at_node = world.ask("outside", "tcp", node, 30080, 4)
    assert set(r.get("name") for r in at_node) == set(r["name"] for r in replies)
    assert world.ask("outside", "tcp", other, 80)[0]["outcome"] == "timeout"
    assert world.ask("c1", "tcp", other, 80)[0]["outcome"] == "timeout"
    assert world.ask("outside", "tcp", node, 30081)[0]["outcome"] == "reply"
    from_node = world.ask("node", "tcp", vip, 80, 4)
    assert set(r["outcome"] for r in from_node) == {"reply"}


# ---- UDP

def test_udp_client_moves(world):
    """A client with one socket follows its endpoint's end; a change that leaves it alone does not
    touch it."""
    world.service("dns", ["10.96.0.10"], [UDP], ["p1"])
    world.daemon(QUIET)
    assert world.wait_for(only(world, "p1", proto="udp", port=53, n=2))
    talker = world.start(sys.executable, "-c", (
        "import socket, sys\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1)\n"
        "s.connect(('10.96.0.10', 53))\n"
        "for line in sys.stdin:\n"
        "    try:\n"
        "        s.send(b'x'); print(s.recv(100).decode().split()[0], flush=True)\n"
        "    except OSError as e: print(e.__class__.__name__, flush=True)\n"),
        ns="c1", stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def talk():
        talker.stdin.write("\n")
        talker.stdin.flush()
        return talker.stdout.readline().strip()

    assert talk() == "p1"
    world.service("dns", ["10.96.0.10"], [UDP], ["p1", "p2"])
    assert world.wait_for(lambda: "p2" in names(world, proto="udp", port=53, n=20))
    assert talk() == "p1"
    world.service("dns", ["10.96.0.10"], [UDP], ["p2"])
    assert world.wait_for(lambda: talk() == "p2")
    world.service("dns", ["10.96.0.10"], [UDP], None)
    pathlib.Path(world.folder, "dns.json").unlink()
    assert world.wait_for(lambda: talk() not in ("p1", "p2"))


# ---- many changes

def test_thousand_changes(world):
    """A burst of changes becomes few transactions, and ends where a fresh start would."""
    world.daemon(QUIET, "--min-sync-period=50ms")
    for i in range(1000):
        pods = [p for k, p in enumerate(BACKENDS) if (i >> k) & 1]
        world.service("s%d" % (i % 40), ["10.96.0.%d" % (10 + i % 40)], [TCP, UDP], pods,
                      sessionAffinity="ClientIP" if i % 3 else "None",
                      type="NodePort" if i % 5 else "ClusterIP",
                      externalTrafficPolicy="Local" if i % 2 and i % 5 else None)
    world.service("last", ["10.96.0.100"], [TCP], ["p1"])
    assert world.wait_for(only(world, "p1", ip="10.96.0.100", n=1), 20)
    assert world.log().count("partial sync") < 500
    assert table(world) == fresh(world)
    assert "refused" not in world.log() and "not written" not in world.log()


def test_large_service(world):
    """5,000 endpoints: one comes, one goes, by few elements; all are listed once."""
    hosts = ["10.244.%d.%d" % (100 + i // 250, 1 + i % 250) for i in range(5000)]

    def write(ips):
        meta = {"name": "large", "namespace": "t"}
        slices = [{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                   "addressType": "IPv4",
                   "metadata": dict(meta, name="large-%d" % i,
                                    labels={"kubernetes.io/service-name": "large"}),
                   "ports": [{"name": "p", "port": 8080}],
                   "endpoints": [{"addresses": [ip]} for ip in ips[i:i + 1000]]}
                  for i in range(0, len(ips), 1000)]
        world.write("large", {"apiVersion": "v1", "kind": "Service", "metadata": meta,
                              "spec": {"clusterIP": "10.96.0.200",
                                       "ports": [{"name": "p", "port": 80}]}}, *slices)

    def listed():
        text = world.run("nft", "list", "map", "ip", "signpost", "endpoints-tcp",
                         check=False).stdout  # not there yet
        return sorted(re.findall(r" : (10\.244\.\d+\.\d+) \. 8080", text))

    world.daemon(QUIET)
    for ips in (hosts, hosts[1:], hosts[1:] + ["10.244.90.1"], hosts[:4000]):
        write(ips)
        assert world.wait_for(lambda: listed() == sorted(ips), 20), world.log()
    changed = [int(n) for n in re.findall(r"IPv4: partial sync, (\d+) elements", world.log())]
    assert min(changed) <= 6, changed
    assert world.run("nft", "list", "chains").stdout.count("chain draw") <= 6


# ---- the configuration file

def test_configuration_file(world, tmp_path):
    """What it says counts; the process ends when it changes."""
    config = tmp_path / "proxy.yaml"
    text = ("apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"
            "mode: nftables\nclusterCIDR: 10.244.0.0/16\nhostnameOverride: other\n"
            "conntrack: {maxPerCore: 0, min: null}\nnodePortAddresses: [192.168.0.0/16]\n"
            "nftables: {masqueradeAll: true, minSyncPeriod: 10ms, syncPeriod: 0s}\n"
            "ipvs: {scheduler: rr}\nwrong: 1\n")
    config.write_text(text)
    world.service("web", ["10.96.0.10"], [TCP], ["p1"], type="NodePort")
    daemon = world.start(world.program, "proxy", "--manifests", world.folder, "--config",
                         str(config), "--hostname-override=node1", "--cluster-cidr=1.2.3.0/24",
                         stderr=subprocess.PIPE)
    assert world.wait_for(only(world, "p1", n=2))
    assert world.ask("c1", "tcp", "10.96.0.10", 80)[0]["seen"] == "10.244.1.1"  # masqueradeAll
    assert "192.168.9.1" in world.run("nft", "list", "set", "ip", "signpost", "node-ips").stdout
    config.write_text(text.replace("wrong: 1\n", ""))
    said = daemon.communicate(timeout=20)[1]
    world.children.remove(daemon)
    assert daemon.returncode == 1
    assert "%s:10: wrong is not a field of KubeProxyConfiguration" % config in said
    assert "%s:9: ipvs is without effect" % config in said
    assert "on node node1" in said
    assert "the configuration file has changed" in said


@pytest.mark.parametrize("value,want", [
    ("primary", ["192.168.9.1", "fd00:9::1"]),
    ("192.168.9.0/24", ["192.168.9.1", "fd00:9::1", "fd00:10:244:1::1"]),  # IPv6: all
    ("192.168.9.0/24,fd00:9::/64", ["192.168.9.1", "fd00:9::1"]),
    ("all", ["192.168.9.1", "10.244.1.1", "fd00:9::1", "fd00:10:244:1::1"]),
])
def test_node_port_addresses(world, value, want):
    text = world.proxy("--print", "--nodeport-addresses=" + value).stdout
    seen = {a for line in re.findall(r"element ip6? signpost node-ips { (.*) }", text)
            for a in line.split(", ") if not a.startswith("fe80:")}
    assert seen == set(want)


def test_new_address_gets_node_ports(world):
    world.daemon(QUIET, "--nodeport-addresses=192.168.0.0/16")
    show = ("nft", "list", "set", "ip", "signpost", "node-ips")
    assert world.wait_for(lambda: "192.168.9.1" in world.run(*show, check=False).stdout)
    world.run("ip", "addr", "add", "192.168.44.1/32", "dev", "out0")
    assert world.wait_for(lambda: "192.168.44.1" in world.run(*show).stdout)
    world.run("ip", "addr", "del", "192.168.44.1/32", "dev", "out0")
    assert world.wait_for(lambda: "192.168.44.1" not in world.run(*show).stdout)


@pytest.mark.parametrize("text,words", [
    ("kind: Other\n", "no document of kind KubeProxyConfiguration"),
    ("kind: KubeProxyConfiguration\napiVersion: v2\n", "apiVersion v2 is not"),
    ("mode: ipvs\n", "--proxy-mode=ipvs is not offered"),
    ("oomScoreAdj: much\n", ":3: oomScoreAdj: must be a whole number"),
    ("nftables: {syncPeriod: 5}\n", ":3: nftables.syncPeriod: must be a duration"),
    ("nftables: {masqueradeAll: 1}\n", ":3: nftables.masqueradeAll: must be true or false"),
    ("nodePortAddresses: all\n", ":3: nodePortAddresses: must be a list"),
    ("conntrack: 5\n", ":3: conntrack: must be a mapping"),
])
def test_configuration_refused(signpost, tmp_path, text, words):
    config = tmp_path / "proxy.yaml"
    head = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"
    config.write_text(text if "kind" in text else head + text)
    r = subprocess.run([signpost, "proxy", "--manifests", str(tmp_path), "--print", "--config",
                        str(config)], capture_output=True, text=True, timeout=20, check=False)
    assert r.returncode == 2
    assert words in r.stderr


def test_written_configuration_is_read(signpost, tmp_path):
    config, again = tmp_path / "a.yaml", tmp_path / "b.yaml"
    run = [signpost, "proxy", "--manifests", str(tmp_path)]
    subprocess.run([*run, "--cluster-cidr=10.0.0.0/8,fd00::/8", "--nodeport-addresses=primary",
                    "--iptables-sync-period=45s", "--write-config-to", str(config)], check=True,
                   timeout=20)
    subprocess.run([*run, "--config", str(config), "--write-config-to", str(again)], check=True,
                   timeout=20)
    assert config.read_text() == again.read_text()
    assert 'clusterCIDR: "10.0.0.0/8,fd00::/8"' in config.read_text()
    assert "syncPeriod: 45000ms" in config.read_text()


def test_flags_without_effect_are_named(signpost, tmp_path):
    r = subprocess.run([signpost, "proxy", "--manifests", str(tmp_path), "--print",
                        "--ipvs-scheduler=rr", "--vmodule=x=1"], capture_output=True, text=True,
                       timeout=20, check=False)
    assert r.returncode == 0
    assert "--ipvs-scheduler is without effect" in r.stderr
    assert "--vmodule is without effect" in r.stderr
