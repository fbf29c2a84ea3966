"""TLS: `forward` to upstreams that are asked over it."""
import re
import socket
import threading
import time

import dns.message
import dns.rcode
import dns.rrset
import pytest

from dns_world import run_until_end
from forward_world import world as plain_world  # noqa: F401  a fixture
from forward_world import HOST, Upstream, address_of, reply, wait_for
from tls_world import Authority, TlsUpstream, ca  # noqa: F401  a fixture


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("other"), "other")
    authority.good = authority.issue("stranger", "dns.test", HOST)
    return authority


@pytest.fixture
def world(plain_world):
    plain_world.kind = TlsUpstream
    return plain_world


# ---- forward ----


@pytest.mark.parametrize("tcp", [False, True])
def test_forwards_over_tls(world, ca, tcp):
    up = world.upstream(ca.good)
    server = world.server("forward . tls://%s {\n tls %s\n }" % (up, ca.pem))
    for i in range(20):
        assert address_of(server.ask("n%d.test." % i, tcp=tcp)) == "192.0.2.1"
    assert {proto for _, proto in up.queries} == {"tcp"}
    assert up.connections == 1 and up.protocols == ["dot"]
    to = 'coredns_proxy_conn_cache_%s_total{proxy_name="forward",to="' + str(up) + '"'
    assert server.metric(to % "misses" + ',proto="tcp-tls"', 1) == 1
    assert server.metric(to % "hits" + ',proto="tcp-tls"', 1) == 19
    assert server.metric(to % "hits", 1) == 19  # no series for udp and tcp


def test_a_slow_answer_holds_nobody_back(world, ca):
    slow = "slow.test."

    def act(query, proto):
        return [(1.5 if query.question[0].name.to_text() == slow else 0, reply(query))]

    up = world.upstream(ca.good, act)
    server = world.server("forward . tls://%s {\n tls %s\n }" % (up, ca.pem))
    done = []
    thread = threading.Thread(target=lambda: done.append(server.ask(slow)))
    thread.start()
    wait_for(lambda: up.asked(slow))
    for i in range(10):
        assert address_of(server.ask("quick%d.test." % i, timeout=1)) == "192.0.2.1"
    assert not done
    thread.join()
    assert address_of(done[0]) == "192.0.2.1"


def test_large_messages(world, ca):
    def act(query, proto):
        message = dns.message.make_response(query)
        message.answer.append(dns.rrset.from_text(
            query.question[0].name, 60, "IN", "TXT", *['"%s"' % ("x" * 240 + str(i)) for i in range(200)]))
        return [message.to_wire(max_size=65535)]

    up = world.upstream(ca.good, act)
    server = world.server("forward . tls://%s {\n tls %s\n }" % (up, ca.pem))
    assert len(server.ask(rdtype="TXT", tcp=True).answer[0]) == 200


@pytest.mark.parametrize("name, option, sent", [
    ("", "", None), ("%dns.test", "", "dns.test"), ("", "tls_servername dns.test", "dns.test"),
    ("%", "", None)])
def test_the_name_that_is_expected(world, ca, name, option, sent):
    up = world.upstream(ca.good)
    server = world.server("forward . tls://%s%s:%d {\n tls %s\n %s\n }" % (
        HOST, name, up.port, ca.pem, option))
    assert address_of(server.ask()) == "192.0.2.1"
    assert up.names == [sent]


@pytest.mark.parametrize("certificate, name, why", [
    ("good", "%wrong.test", "hostname mismatch: it is not for wrong.test"),
    ("expired", "", "certificate has expired"),
    ("other", "", "unable to get local issuer certificate")])
def test_a_certificate_that_is_not_believed(world, ca, other, certificate, name, why):
    up = world.upstream(other.good if certificate == "other" else getattr(ca, certificate))
    server = world.server("forward . tls://%s%s:%d {\n tls %s\n }" % (HOST, name, up.port, ca.pem))
    assert server.ask().rcode() == dns.rcode.SERVFAIL
    text = "www.example.org. A: dial tcp %s: tls: certificate verify failed: %s" % (up, why)
    wait_for(lambda: text in server.log.read_text())
    assert not up.queries


def test_the_systems_authorities_are_believed_by_default(world, ca):
    up = world.upstream(ca.good)
    server = world.server("forward . tls://%s" % up)
    assert server.ask().rcode() == dns.rcode.SERVFAIL
    wait_for(lambda: "tls: certificate verify failed" in server.log.read_text())


def test_client_certificates(world, ca):
    up = world.upstream(ca.good, clients=ca.pem)
    with_one = world.server("forward . tls://%s {\n tls %s %s %s\n }" % (up, *ca.client, ca.pem))
    assert address_of(with_one.ask()) == "192.0.2.1"
    without = world.server("forward . tls://%s {\n tls %s\n }" % (up, ca.pem))
    assert without.ask().rcode() == dns.rcode.SERVFAIL
    wait_for(lambda: "certificate required" in without.log.read_text())


def test_relative_paths_start_at_the_root(world, ca):
    up = world.upstream(ca.good)
    server = world.server(" root %s\n forward . tls://%s {\n tls ca.pem\n }" % (ca.folder, up))
    assert address_of(server.ask()) == "192.0.2.1"


def test_an_upstream_that_closes_is_dialled_again_with_its_ticket(world, ca):
    up = world.upstream(ca.good, lambda q, p: [reply(q), (0.05, b"close")])
    server = world.server("forward . tls://%s {\n tls %s\n }" % (up, ca.pem))
    for i in range(4):
        assert address_of(server.ask("n%d.test." % i)) == "192.0.2.1"
        wait_for(lambda: up.connections == i + 1)
        time.sleep(0.1)  # for it to close; without, a retry does the same
    assert not up.resumed[0] and any(up.resumed[1:])


def test_idle_connections_expire(world, ca):
    up = world.upstream(ca.good)
    server = world.server("forward . tls://%s {\n tls %s\n expire 1s\n }" % (up, ca.pem))
    server.ask("a.test.")
    server.ask("b.test.")
    assert up.connections == 1
    time.sleep(1.5)
    server.ask("c.test.")
    assert up.connections == 2


def test_a_stalled_handshake_holds_nobody_back(world, ca):
    with socket.create_server((HOST, 0)) as mute:
        up = world.upstream(ca.good)
        server = world.server("forward slow.test tls://%s:%d {\n tls %s\n max_connect_attempts 1\n }\n"
                              " forward . tls://%s {\n tls %s\n }" % (
                                  HOST, mute.getsockname()[1], ca.pem, up, ca.pem))
        done = []
        thread = threading.Thread(target=lambda: done.append(server.ask("www.slow.test.")))
        thread.start()
        conn = mute.accept()[0]  # the ClientHello lies there
        for i in range(10):
            assert address_of(server.ask("n%d.test." % i, timeout=1)) == "192.0.2.1"
        assert not done
        thread.join()
        assert done[0].rcode() == dns.rcode.SERVFAIL
        wait_for(lambda: re.search("dial tcp .*: i/o timeout", server.log.read_text()))
        conn.close()


@pytest.mark.parametrize("data", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\x0c" + 12 * b"\0", b""])
def test_garbage_for_a_handshake(world, ca, data):
    with socket.create_server((HOST, 0)) as strange:
        def serve():
            while True:
                try:
                    conn = strange.accept()[0]
                except OSError:
                    return
                conn.sendall(data)
                conn.shutdown(socket.SHUT_WR)
                conn.close()
        threading.Thread(target=serve, daemon=True).start()
        server = world.server("forward . tls://%s:%d {\n tls %s\n }" % (
            HOST, strange.getsockname()[1], ca.pem))
        assert server.ask().rcode() == dns.rcode.SERVFAIL
        want = "dial tcp .*: (tls: wrong version number|EOF|read: connection reset|connect: connection reset)"
        wait_for(lambda: re.search(want, server.log.read_text()))


def test_health_checks_go_over_tls(world, ca):
    up = world.upstream(ca.good)
    port, where = up.port, str(up)
    server = world.server("forward . tls://%s {\n tls %s\n health_check 0.1s\n max_fails 1\n }" % (
        where, ca.pem))
    assert address_of(server.ask("a.test.")) == "192.0.2.1"
    up.close()
    assert server.ask("b.test.").rcode() == dns.rcode.SERVFAIL
    failures = "coredns_proxy_healthcheck_failures_total"
    wait_for(lambda: server.metric(failures) >= 2)
    back = world.upstream(ca.good, port=port)
    wait_for(lambda: any(q.question[0].name.to_text() == "." for q, _ in back.queries))
    assert {proto for _, proto in back.queries} == {"tcp"}
    wait_for(lambda: address_of(server.ask("c.test.")) == "192.0.2.1")


def test_a_file_of_nameservers(world, ca, tmp_path):
    up = world.upstream(ca.good)
    (tmp_path / "resolv.conf").write_text("nameserver %s:%d\n" % (HOST, up.port))
    server = world.server("forward . tls://%s {\n tls %s\n }" % (tmp_path / "resolv.conf", ca.pem))
    assert address_of(server.ask()) == "192.0.2.1"


def test_the_same_address_with_and_without_tls(world, ca):
    up, plain = world.upstream(ca.good), world.upstream(kind=Upstream)
    server = world.server("forward . tls://%s %s {\n tls %s\n policy round_robin\n }" % (
        up, plain, ca.pem))
    for i in range(6):
        assert address_of(server.ask("n%d.test." % i)) == "192.0.2.1"
    assert up.asked() == plain.asked() == 3


@pytest.mark.parametrize("line, error", [
    ("tls nofile", "error reading nofile: open nofile: No such file or directory"),
    ("tls nofile x", "could not load TLS cert: open nofile: No such file or directory"),
    ("tls a b c d", "Wrong argument count or unexpected line ending after 'd'"),
    ("tls {good[0]} {client[1]}", "could not load TLS cert: {client[1]}: key values mismatch"),
    ("tls {good[1]}", "could not read root certs: {good[1]}: there is no certificate"),
    ("tls_servername", "Wrong argument count or unexpected line ending after 'tls_servername'"),
    ("tls_servername b", "both forward ('b') and proxy level ('a') TLS servernames are set"),
])
def test_options_that_are_refused(signpost, tmp_path, ca, line, error):
    names = {"good": ca.good, "client": ca.client}
    text = ". {\n forward . tls://192.0.2.1%%a {\n  %s\n }\n}\n" % line.format(**names)
    code, got = run_until_end(signpost, tmp_path, text)
    assert code == 1 and "plugin/forward: Corefile:" in got
    assert error.format(**names) in got
