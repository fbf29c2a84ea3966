"""`forward` against upstreams that answer late, wrongly, cut, out of order or not at all."""
import re
import socket
import struct
import subprocess
import threading
import time

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from forward_world import HOST, address_of, free_port, reply, wait_for, world  # noqa: F401  a fixture


# ---- relaying ----


@pytest.mark.parametrize("tcp", [False, True])
def test_the_message_passes_untouched(world, tcp):
    up = world.upstream(lambda q, p: [reply(q, flags=dns.flags.RA | dns.flags.AD)])
    server = world.server("forward . %s" % up)
    options = [dns.edns.GenericOption(10, b"12345678"), dns.edns.ECSOption("198.51.100.0", 24)]
    query = dns.message.make_query("WwW.Example.oRg.", "A", use_edns=0, payload=1400,
                                   want_dnssec=True, options=options)
    query.flags |= dns.flags.CD
    got = server.send(query, tcp)
    seen, proto = up.queries[0]
    assert proto == ("tcp" if tcp else "udp") and seen.id != query.id
    seen.id = query.id
    assert seen.to_wire() == query.to_wire()
    assert got.flags == (dns.flags.QR | dns.flags.RD | dns.flags.RA | dns.flags.AD | dns.flags.CD)
    assert got.question[0].name.to_text() == "WwW.Example.oRg."
    assert address_of(got) == "192.0.2.1"
    assert got.ednsflags & dns.flags.DO and got.payload == 1400


def test_options_of_the_upstream_reach_the_client(world):
    def act(query, _):
        message = dns.message.from_wire(reply(query))
        message.use_edns(0, payload=4000, options=[dns.edns.GenericOption(15, b"\0\x09no")])
        return [message.to_wire()]
    server = world.server("forward . %s" % world.upstream(act))
    got = server.ask(use_edns=0, payload=1300)
    assert got.payload == 1300 and got.options[0].otype == 15
    assert server.ask().edns == -1


def test_other_classes_pass(world):
    server = world.server("forward . %s" % world.upstream(
        lambda q, p: [reply(q, None, dns.rcode.NOTIMP)]))
    assert server.ask("version.bind.", "TXT", rdclass="CH").rcode() == dns.rcode.NOTIMP


def test_ids_and_ports_vary(world):
    up = world.upstream()
    server = world.server("forward . %s" % up)
    for i in range(64):
        server.ask("n%d.example.org." % i)
    assert len(up.sources) >= 4
    ids = [query.id for query, _ in up.queries]
    assert len(set(ids)) > 60 and max(ids) - min(ids) > 20000


def test_only_the_answer_counts(world):
    def act(query, _):
        right = reply(query, "192.0.2.9")
        other = dns.message.make_query("other.example.org.", "A", id=query.id)
        aaaa = dns.message.make_query(query.question[0].name, "AAAA", id=query.id)
        return [b"", b"\1\2\3", struct.pack("!H", query.id), query.to_wire(),
                struct.pack("!H", query.id ^ 1) + right[2:],
                reply(other, "192.0.2.66"), reply(aaaa, None), (0.1, right)]
    server = world.server("forward . %s" % world.upstream(act))
    assert address_of(server.ask()) == "192.0.2.9"
    assert address_of(server.ask(tcp=True)) == "192.0.2.9"
    assert server.metric("signpost_upstream_ignored_total") == 14


def test_a_malformed_reply_is_a_failure(world):
    bad = world.upstream(lambda q, p: [reply(q)[:-3]])
    server = world.server("forward . %s %s {\n policy sequential\n}" % (bad, world.upstream()))
    assert address_of(server.ask()) == "192.0.2.1"
    assert bad.asked() == 1


def test_cut_replies(world):
    def act(query, proto):
        return [reply(query, flags=dns.flags.TC)[:-3] if proto == "udp" else reply(query)]
    up = world.upstream(act)
    server = world.server("forward cut.test %s\nforward . %s {\n prefer_udp\n}" % (up, up))
    got = server.ask("x.cut.test.")
    assert got.flags & dns.flags.TC and not got.answer
    assert address_of(server.ask(tcp=False)) == "192.0.2.1"
    assert address_of(server.ask(tcp=True)) == "192.0.2.1"
    assert [proto for _, proto in up.queries] == ["udp", "udp", "tcp", "udp", "tcp"]


def test_force_tcp_wins(world):
    up = world.upstream()
    server = world.server("forward . %s {\n force_tcp\n prefer_udp\n}" % up)
    server.ask()
    server.ask()
    assert [proto for _, proto in up.queries] == ["tcp", "tcp"]


def test_long_messages(world):
    def act(query, _):
        message = dns.message.make_response(query)
        texts = " ".join('"%s"' % ("x" * 250) for _ in range(200))
        message.answer.append(dns.rrset.from_text(query.question[0].name, 1, "IN", "TXT", texts))
        return [message.to_wire()]
    server = world.server("forward . %s" % world.upstream(act))
    assert len(server.ask(rdtype="TXT", tcp=True).to_wire()) > 50000
    assert server.ask(rdtype="TXT", use_edns=0, payload=60000).answer
    assert server.ask(rdtype="TXT").flags & dns.flags.TC


def test_lookups_of_the_server_itself(world):
    (world.folder / "objects").mkdir()
    (world.folder / "objects" / "a.yaml").write_text(
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: n}\n---\n"
        "apiVersion: v1\nkind: Service\nmetadata: {name: ext, namespace: n}\n"
        "spec: {type: ExternalName, externalName: www.example.org}\n")
    up = world.upstream()
    server = world.server("kubernetes cluster.local {\n manifests %s\n}\nforward . %s" % (
        world.folder / "objects", up))
    got = server.ask("ext.n.svc.cluster.local.", use_edns=0, payload=1300, want_dnssec=True)
    assert [r.rdtype for r in got.answer] == [5, 1] and got.answer[1][0].address == "192.0.2.1"
    seen = up.queries[0][0]
    assert seen.question[0].name.to_text() == "www.example.org."
    assert seen.payload == 1300 and seen.ednsflags & dns.flags.DO and seen.flags & dns.flags.RD
    query = dns.message.make_query("ext.n.svc.cluster.local.", "A", flags=dns.flags.CD)
    server.send(query, tcp=True)
    seen, proto = up.queries[1]
    assert proto == "tcp" and seen.edns == -1 and seen.flags == dns.flags.CD


# ---- choosing ----


def test_from_and_except(world):
    one, two = world.upstream(), world.upstream(lambda q, p: [reply(q, "192.0.2.2")])
    server = world.server("forward example.org %s {\n except mail.example.org x.example.org\n}\n"
                          "forward org %s\n" % (one, two))
    for name, address in [("example.org.", "192.0.2.1"), ("A.EXAMPLE.ORG.", "192.0.2.1"),
                          ("mail.example.org.", "192.0.2.2"), ("a.X.example.org.", "192.0.2.2"),
                          ("org.", "192.0.2.2")]:
        assert address_of(server.ask(name)) == address, name
    assert server.ask("example.net.").rcode() == dns.rcode.SERVFAIL
    assert "plugin/forward: no next plugin found" in server.log.read_text()


@pytest.mark.parametrize("policy", ["sequential", "round_robin", "random"])
def test_policies(world, policy):
    ups = [world.upstream(lambda q, p, i=i: [reply(q, "192.0.2.%d" % i)]) for i in range(3)]
    server = world.server("forward . %s {\n policy %s\n}" % (" ".join(map(str, ups)), policy))
    got = [address_of(server.ask("n%d.test." % i))[-1] for i in range(30)]
    if policy == "sequential":
        assert got == ["0"] * 30
    elif policy == "round_robin":
        assert got == ["0", "1", "2"] * 10
    else:
        assert set(got) == {"0", "1", "2"} and got != ["0", "1", "2"] * 10


def test_a_dead_one_is_passed_over(world):
    dead = free_port()
    server = world.server("forward . %s:%d %s {\n policy sequential\n}" % (
        HOST, dead, world.upstream()))
    start = time.monotonic()
    assert address_of(server.ask()) == "192.0.2.1"
    assert address_of(server.ask(tcp=True)) == "192.0.2.1"
    assert time.monotonic() - start < 0.5


@pytest.mark.parametrize("tcp", [False, True])
def test_all_dead(world, tcp):
    server = world.server("forward . %s:%d" % (HOST, free_port()))
    assert server.ask(tcp=tcp).rcode() == dns.rcode.SERVFAIL
    expected = r"dial tcp %s:\d+: connect" if tcp else r"read udp %s:\d+->127.0.0.1:\d+: read"
    line = r"\[ERROR\] plugin/errors: 2 www.example.org. A: %s: connection refused" % expected
    assert re.search(line % HOST, server.log.read_text())


def test_silence(world):
    silent = world.upstream(lambda q, p: [])
    server = world.server("forward . %s" % silent)
    start = time.monotonic()
    assert server.ask().rcode() == dns.rcode.SERVFAIL
    assert 3.9 < time.monotonic() - start < 5.2 and silent.asked() == 2
    assert re.search(r"read udp \S+->%s: i/o timeout" % silent, server.log.read_text())


@pytest.mark.parametrize("tcp", [False, True])
def test_silence_and_read_timeout(world, tcp):
    silent = world.upstream(lambda q, p: [])
    server = world.server("forward . %s %s {\n policy sequential\n read_timeout 200ms\n}" % (
        silent, world.upstream()))
    start = time.monotonic()
    assert address_of(server.ask(tcp=tcp)) == "192.0.2.1"
    assert 0.19 < time.monotonic() - start < 1


def test_five_seconds_in_all(world):
    silent = world.upstream(lambda q, p: [])
    server = world.server("forward . %s {\n max_connect_attempts 0\n}" % silent)
    start = time.monotonic()
    assert server.ask().rcode() == dns.rcode.SERVFAIL
    assert 4.9 < time.monotonic() - start < 5.2 and silent.asked() == 3


def test_max_connect_attempts(world):
    ups = [world.upstream(lambda q, p: []) for _ in range(3)]
    server = world.server("forward . %s {\n policy sequential\n read_timeout 100ms\n"
                          " max_connect_attempts 2\n}" % " ".join(map(str, ups)))
    assert server.ask().rcode() == dns.rcode.SERVFAIL
    assert [up.asked() for up in ups] == [1, 1, 0]


def test_failover(world):
    ups = [world.upstream(lambda q, p, r=r: [reply(q, None, r)])
           for r in (dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.NXDOMAIN)]
    good = world.upstream()
    lines = "\n".join("forward %s %s %s {\n policy sequential\n failover SERVFAIL REFUSED\n}" % item
                      for item in [("good.test", "%s %s" % (ups[0], ups[1]), good),
                                   ("nx.test", ups[0], ups[2]), ("bad.test", ups[1], ups[0]),
                                   ("gone.test", ups[0], "%s:%d" % (HOST, free_port()))])
    server = world.server(lines)
    assert address_of(server.ask("good.test.")) == "192.0.2.1"
    assert server.ask("nx.test.").rcode() == dns.rcode.NXDOMAIN
    assert server.ask("bad.test.").rcode() == dns.rcode.SERVFAIL
    assert ups[0].asked("bad.test.") == 1 and ups[1].asked("bad.test.") == 1
    assert server.ask("gone.test.").rcode() == dns.rcode.SERVFAIL
    assert "gone.test" not in server.log.read_text()  # a reply that was relayed, not our failure


def test_next(world):
    empty = world.upstream(lambda q, p: [reply(q, None)])
    missing = world.upstream(lambda q, p: [reply(q, None, dns.rcode.NXDOMAIN)])
    server = world.server(
        "forward a.test %s {\n next NXDOMAIN REFUSED\n}\nforward b.test %s {\n next_on_nodata\n}\n"
        "forward test %s {\n next NXDOMAIN\n}" % (missing, empty, world.upstream()))
    assert address_of(server.ask("a.test.")) == "192.0.2.1"
    assert address_of(server.ask("b.test.")) == "192.0.2.1"
    server = world.server("forward . %s {\n next NXDOMAIN\n}\nwhoami" % missing)
    assert server.ask().rcode() == dns.rcode.NXDOMAIN  # nobody is next: the reply stands


def test_max_concurrent(world):
    up = world.upstream(lambda q, p: [(0.5, reply(q))])
    server = world.server("forward . %s {\n max_concurrent 3\n}" % up)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(3)
        for i in range(5):
            query = dns.message.make_query("n%d.test." % i, "A", id=i)
            sock.sendto(query.to_wire(), (HOST, server.port))
        got = [dns.message.from_wire(sock.recv(4096)).rcode() for _ in range(5)]
    assert got == [dns.rcode.REFUSED] * 2 + [dns.rcode.NOERROR] * 3
    assert "concurrent queries exceeded maximum 3" in server.log.read_text()
    assert server.metric("coredns_forward_max_concurrent_rejects_total") == 2
    assert server.ask().rcode() == dns.rcode.NOERROR


# ---- health ----


def test_health(world):
    alive = []
    sick = world.upstream(lambda q, p: [reply(q, "192.0.2.7", dns.rcode.REFUSED)] if alive else [])
    well = world.upstream()
    server = world.server("forward . %s %s {\n policy sequential\n read_timeout 100ms\n"
                          " health_check 30ms no_rec domain check.test\n max_fails 1\n}"
                          % (sick, well))
    assert address_of(server.ask()) == "192.0.2.1" and sick.asked("www.example.org.") == 1
    failures = 'coredns_proxy_healthcheck_failures_total.*to="%s"' % sick
    wait_for(lambda: server.metric(failures) >= 2)
    start = time.monotonic()
    for i in range(5):
        assert address_of(server.ask("n%d.test." % i)) == "192.0.2.1"
    assert time.monotonic() - start < 0.1 and sick.asked() == 1 + sick.asked("check.test.")
    checks = [q for q, _ in sick.queries if q.question[0].name.to_text() == "check.test."]
    assert checks[0].question[0].rdtype == 2 and not checks[0].flags & dns.flags.RD
    alive.append(True)  # any answer is a sign of life
    wait_for(lambda: server.ask().rcode() == dns.rcode.REFUSED)
    count = sick.asked("check.test.")
    time.sleep(0.2)
    assert sick.asked("check.test.") == count and well.asked("check.test.") == 0


def test_all_down(world):
    silent = world.upstream(lambda q, p: [])
    options = "read_timeout 50ms\n health_check 30ms\n max_fails 1\n"
    server = world.server("forward slow.test %s {\n %s}\nforward fast.test %s {\n %s "
                          "failfast_all_unhealthy_upstreams\n}"
                          % (silent, options, silent, options))
    server.ask("a.slow.test.")
    server.ask("a.fast.test.")
    # A check of a silent server takes a second: two of each line have to fail.
    wait_for(lambda: server.metric("coredns_proxy_healthcheck_failures_total") >= 4)
    time.sleep(0.1)
    before = silent.asked()
    assert server.ask("b.fast.test.").rcode() == dns.rcode.SERVFAIL and silent.asked() == before
    assert "b.fast.test. A: no healthy proxies" in server.log.read_text()
    assert server.ask("b.slow.test.").rcode() == dns.rcode.SERVFAIL
    assert silent.asked("b.slow.test.") == 1
    assert server.metric("coredns_forward_healthcheck_broken_total") == 2


def test_no_checks_with_max_fails_0(world):
    silent = world.upstream(lambda q, p: [])
    server = world.server("forward . %s {\n max_fails 0\n read_timeout 50ms\n health_check 20ms\n}"
                          % silent)
    for _ in range(3):
        server.ask()
    time.sleep(0.2)
    assert len(silent.queries) == silent.asked() == 6


# ---- connections ----


def ask_many(server, n, tcp=False):
    """n queries at once; addresses by name number."""
    kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
    got = {}
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.settimeout(8)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        sock.connect((HOST, server.port))
        stream = sock.makefile("rb") if tcp else None
        for i in range(n):
            wire = dns.message.make_query("n%d.test." % i, "A", id=i).to_wire()
            sock.sendall(struct.pack("!H", len(wire)) + wire if tcp else wire)
        for _ in range(n):
            wire = stream.read(struct.unpack("!H", stream.read(2))[0]) if tcp else sock.recv(4096)
            message = dns.message.from_wire(wire)
            assert message.question[0].name.to_text() == "n%d.test." % message.id
            got[message.id] = address_of(message)
    return got


def test_tcp_replies_in_any_order(world):
    waiting, lock = [], threading.Lock()

    def act(query, _):
        number = int(query.question[0].name.labels[0][1:])
        with lock:
            waiting.append(number)
        return [((60 - number) / 100, reply(query, "192.0.2.%d" % number))]
    up = world.upstream(act)
    server = world.server("forward . %s" % up)
    assert ask_many(server, 60, tcp=True) == {i: "192.0.2.%d" % i for i in range(60)}
    assert 1 <= up.connections <= 8
    before = up.connections
    assert server.ask("n5.test.", tcp=True).answer and up.connections == before
    hits = 'coredns_proxy_conn_cache_hits_total.*proto="tcp"'
    assert server.metric(hits) == 61 - before
    assert server.metric(hits.replace("hits", "misses")) == before


def test_connections_that_lie_idle(world):
    up = world.upstream()
    server = world.server("forward . %s {\n expire 200ms\n}" % up)
    for _ in range(3):
        server.ask(tcp=True)
    assert up.connections == 1
    time.sleep(0.6)
    server.ask(tcp=True)
    assert up.connections == 2


def test_a_connection_that_the_upstream_closes(world):
    served = []

    def act(query, proto):
        if proto == "tcp" and query.question[0].name.to_text() == "second.test." and not served:
            served.append(True)
            return [b"close"]
        return [reply(query)]
    up = world.upstream(act)
    server = world.server("forward . %s {\n max_connect_attempts 1\n}" % up)
    server.ask("first.test.", tcp=True)
    assert address_of(server.ask("second.test.", tcp=True)) == "192.0.2.1"
    assert up.connections == 2 and up.asked("second.test.") == 2


def test_a_connection_that_is_closed_at_once(world):
    up = world.upstream(lambda q, p: [b"close"])
    server = world.server("forward . %s" % up)
    assert server.ask(tcp=True).rcode() == dns.rcode.SERVFAIL
    assert up.asked() == 2
    assert re.search(r"read tcp \S+->%s: EOF" % up, server.log.read_text())


def test_max_idle_conns(world):
    up = world.upstream(lambda q, p: [(0.2, reply(q))])
    server = world.server("forward . %s {\n max_idle_conns 1\n}" % up)
    ask_many(server, 4, tcp=True)
    assert up.connections == 4
    ask_many(server, 4, tcp=True)
    assert up.connections == 7


@pytest.mark.parametrize("tcp", [False, True])
def test_many_at_once(world, tcp):
    def act(query, _):
        number = int(query.question[0].name.labels[0][1:])
        return [reply(query, "192.0.%d.%d" % (number // 256, number % 256))]
    n = 100 if tcp else 400
    server = world.server("forward . %s" % world.upstream(act), workers=2)
    for _ in range(3):
        assert ask_many(server, n, tcp) == {i: "192.0.%d.%d" % (i // 256, i % 256)
                                            for i in range(n)}
    count = 'coredns_proxy_request_duration_seconds_count.*rcode="NOERROR"'
    assert server.metric(count) == 3 * n


def test_an_end_with_queries_under_way(world):
    up = world.upstream(lambda q, p: [])
    server = world.server("forward . %s" % up)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        for i in range(10):
            sock.sendto(dns.message.make_query("n%d.test." % i, "A").to_wire(), (HOST, server.port))
        wait_for(lambda: up.asked() == 10)
        start = time.monotonic()
        server.terminate()
        rcodes = {dns.message.from_wire(sock.recv(4096)).rcode() for _ in range(10)}
    assert rcodes == {dns.rcode.SERVFAIL} and time.monotonic() - start < 1


def test_an_end_with_tcp_clients_waiting(world):
    """Their connections go; the server still ends at once and loses nothing."""
    up = world.upstream(lambda q, p: [])
    server = world.server("forward . %s" % up)
    with socket.create_connection((HOST, server.port)) as sock:
        for i in range(10):
            wire = dns.message.make_query("n%d.test." % i, "A").to_wire()
            sock.sendall(struct.pack("!H", len(wire)) + wire)
        wait_for(lambda: up.asked() == 10)
        start = time.monotonic()
        server.terminate()
        while sock.recv(4096):
            pass
    server.stop()
    assert time.monotonic() - start < 1


# ---- where to ----


def test_resolv_conf_is_followed(world):
    """Nameserver lines have no ports, so whom a query goes to is read from the metrics."""
    one = world.upstream()
    path, new, target = (world.folder / name for name in ("resolv.conf", "new", "target.conf"))
    path.write_text("# text\nsearch x.test\nnameserver 127.0.0.9\n")
    server = world.server("forward . %s %s {\n policy sequential\n read_timeout 100ms\n"
                          " max_fails 0\n}" % (path, one))

    def now(expected):
        wait_for(lambda: server.log.read_text().strip().endswith(expected))

    path.write_text("nameserver 127.0.0.2\nnameserver ::1\nnameserver 127.0.0.2\nnameserver x\n")
    now("upstreams are now 127.0.0.2:53 [::1]:53 %s" % one)
    new.write_text("nameserver 127.0.0.3\n")
    new.rename(path)
    now("upstreams are now 127.0.0.3:53 %s" % one)
    target.write_text("nameserver 127.0.0.4\n")
    new.symlink_to(target)
    new.rename(path)
    now("upstreams are now 127.0.0.4:53 %s" % one)
    target.write_text("nameserver 127.0.0.5\n")
    now("upstreams are now 127.0.0.5:53 %s" % one)
    path.write_text("search x.test\n")
    now("the upstreams stay as they were: no nameservers found in %s" % path)
    server.ask()
    misses = 'coredns_proxy_conn_cache_misses_total.*to="127.0.0.%d:53"'
    assert [server.metric(misses % i) for i in (9, 2, 3, 4, 5)] == [0, 0, 0, 0, 1]


def test_forms_of_to(world):
    up = world.upstream()
    server = world.server("forward a.test dns://%s\nforward b.test localhost:%d\n"
                          "forward c.test %s %s" % (up, up.port, up, up))
    for name in ("a.test.", "b.test.", "c.test."):
        assert address_of(server.ask(name)) == "192.0.2.1"


def start_fails(signpost, folder, line):
    (folder / "Corefile").write_text(".:%d {\n bind %s\n %s\n}\n" % (free_port(), HOST, line))
    ran = subprocess.run([signpost, "dns", "-conf", "Corefile"], cwd=folder, timeout=20,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, check=False)
    assert ran.returncode == 1, ran.stdout
    return ran.stdout


@pytest.mark.parametrize("option, words", [
    ("doh_method GET", "'doh_method' is not"),
    ("resolver 127.0.0.1", "'resolver' is not"), ("upstream x", "unknown property 'upstream'"),
    ("policy best", "unknown policy 'best'"), ("max_fails -1", "-1"), ("max_concurrent x", "x"),
    ("expire 5", "expire is not a duration: 5"), ("expire -5s", "expire is too short"),
    ("health_check often", "often"), ("health_check 1s why", "unknown option why"),
    ("health_check 1s domain a..b", "a..b"), ("next NOPE", "NOPE"), ("next", "after 'next'"),
    ("failover NOERROR", "NOERROR"), ("except", "after 'except'"), ("force_tcp yes", "after 'yes'"),
    ("source_address ::1", "another IP version"), ("source_address x", "x"),
])
def test_options_that_are_refused(signpost, tmp_path, option, words):
    text = start_fails(signpost, tmp_path, "forward . 127.0.0.1 {\n %s\n}" % option)
    assert words in text
    assert re.search(r"plugin/forward: Corefile:[45] - Error during parsing", text)


@pytest.mark.parametrize("line, words", [
    ("forward", "after 'forward'"), ("forward .", "after '.'"),
    ("forward . https://192.0.2.1", "over HTTPS are not supported; use tls://"),
    ("forward . grpc://192.0.2.1", "'grpc' is not supported as a destination protocol in forward"),
    ("forward . ./nofile", 'not an IP address or file: "./nofile"'),
    ("forward . " + " ".join("192.0.2.%d" % i for i in range(16)), "more than 15"),
    ("forward . nowhere.invalid", 'failed to resolve "nowhere.invalid"'),
])
def test_lines_that_are_refused(signpost, tmp_path, line, words):
    text = start_fails(signpost, tmp_path, line)
    assert words in text and "plugin/forward: Corefile:3 - " in text


def test_source_address(world):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as upstream:
        upstream.bind((HOST, 0))
        upstream.settimeout(3)
        server = world.server("forward . %s:%d {\n source_address 127.0.0.9\n}" % (
            HOST, upstream.getsockname()[1]))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(dns.message.make_query("a.test.", "A").to_wire(), (HOST, server.port))
            assert upstream.recvfrom(4096)[1][0] == "127.0.0.9"
