"""tls:// listeners: DNS over TLS, the plugin `tls`, and clients of the bad sort."""
import contextlib
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time

import dns.edns
import pytest

from dns_world import Connection, Server, http_get, parse, query, run_until_end
from forward_world import HOST, Upstream, reply, wait_for
from test_dns_small_pages import example
from tls_world import Authority, ca  # noqa: F401  a fixture

BLOCK = "tls://.:@PORT@ {\n bind 127.0.0.1\n tls %s %s%s\n%s\n}\n"


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("stranger"), "other").issue("stranger")


@pytest.fixture
def start(signpost, tmp_path, ca):
    """start(lines of the block, more of the `tls` line, more blocks)"""
    with contextlib.ExitStack() as stack:
        def begin(lines=" whoami\n", more="", other=""):
            text = BLOCK % (*ca.good, more, lines) + other
            return stack.enter_context(Server(signpost, tmp_path, text, "-workers", "1"))
        yield begin


def trusting(ca, *, certificate=None, alpn=("dot",), **versions):
    context = ssl.create_default_context(cafile=ca.pem)
    if alpn:
        context.set_alpn_protocols(alpn)
    if certificate:
        context.load_cert_chain(*certificate)
    for name, value in versions.items():
        setattr(context, name, value)
    return context


class Sealed(Connection):
    """A Connection under TLS."""

    def __init__(self, port, context, session=None, name="dns.test"):
        super().__init__(port)
        self.sock = context.wrap_socket(self.sock, server_hostname=name, session=session)

    def ask(self, name="www.test.", rdtype="A", ident=1, **more):
        self.send(query(name, rdtype, ident, **more).to_wire())
        return parse(self.receive())


# ---- decent clients ----


def test_kdig(start, ca):
    server = start(" whoami\n log . \"{proto} {name} {type}\"\n")
    done = subprocess.run(
        ["kdig", "@" + HOST, "-p", str(server.port), "+tls", "+tls-ca=" + ca.pem,
         "+tls-hostname=dns.test", "www.test.", "A"], capture_output=True, text=True, timeout=20,
        check=False)
    assert "status: NOERROR" in done.stdout and "_tcp.www.test." in done.stdout, done
    server.wait_log("[INFO] tcp www.test. A")
    assert "tls://.:%d on 127.0.0.1" % server.port in server.log()


def test_one_connection_many_questions(start, ca):
    server = start(" whoami\n prometheus 127.0.0.1:@PORT2@\n")
    with Sealed(server.port, trusting(ca)) as conn:
        assert conn.sock.selected_alpn_protocol() == "dot"
        messages = [query("n%d.test." % i, ident=i).to_wire() for i in range(300)]
        conn.send(*messages)
        assert sorted(parse(conn.receive()).id for _ in messages) == list(range(300))
    _, page = http_get(server.numbered(2), "/metrics")
    found = [line for line in page.splitlines() if line.startswith("coredns_dns_requests_total{")]
    assert len(found) == 1 and found[0].endswith("} 300"), found
    assert 'proto="tcp"' in found[0] and 'server="tls://127.0.0.1:%d"' % server.port in found[0]


def test_replies_come_when_they_are_ready(start, ca):
    up = Upstream(lambda q, p: [(0.7, reply(q))])
    try:
        server = start(" template IN A quick.test {\n  answer \"{{ .Name }} 60 IN A 192.0.2.7\"\n }\n"
                       " forward . %s\n" % up)
        with Sealed(server.port, trusting(ca)) as conn:
            conn.send(query("slow.test.", ident=1).to_wire(), query("quick.test.", ident=2).to_wire())
            assert [parse(conn.receive()).id for _ in range(2)] == [2, 1]
        assert up.queries[0][1] == "tcp"
    finally:
        up.close()


def test_large_replies_and_byte_by_byte(start, ca, tmp_path):
    texts = "".join('big TXT "%s%d"\n' % ("x" * 230, i) for i in range(250))
    (tmp_path / "db").write_text("$ORIGIN test.\n@ 60 SOA ns root 1 2 3 4 5\n@ NS ns\n" + texts)
    server = start(" root @DIR@\n file db test\n", "")
    with Sealed(server.port, trusting(ca)) as conn:
        for _ in range(3):
            assert len(conn.ask("big.test.", "TXT").answer) == 250
        wire = query("big.test.", "TXT").to_wire()
        for byte in struct.pack("!H", len(wire)) + wire:
            conn.write(bytes([byte]))
        assert len(parse(conn.receive()).answer) == 250


def test_forward_to_ourselves(start, ca):
    server = start(" template IN A . {\n  answer \"{{ .Name }} 60 IN A 192.0.2.7\"\n }\n", other=(
        ".:@PORT2@ {\n bind 127.0.0.1\n forward . tls://127.0.0.1%%dns.test:@PORT@ {\n"
        "  tls %s\n }\n}\n" % ca.pem))
    for i in range(10):
        assert server.addresses("n%d.test." % i, port=server.numbered(2)) == ["192.0.2.7"]


@pytest.mark.parametrize("alpn, chosen", [((), None), (("dot",), "dot"), (("h2", "http/1.1"), None)])
def test_alpn_is_taken_and_not_demanded(start, ca, alpn, chosen):
    server = start()
    with Sealed(server.port, trusting(ca, alpn=alpn)) as conn:
        assert conn.sock.selected_alpn_protocol() == chosen
        assert conn.ask().rcode() == 0


def test_sessions_are_resumed(start, ca):
    server, context = start(), trusting(ca)
    with Sealed(server.port, context) as conn:
        conn.ask()
        session = conn.sock.session
    with Sealed(server.port, context, session) as conn:
        conn.ask()
        assert conn.sock.session_reused


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_versions_are_refused(start, ca):
    server = start()
    with Sealed(server.port, trusting(ca, maximum_version=ssl.TLSVersion.TLSv1_2)) as conn:
        assert conn.ask().rcode() == 0
    old = trusting(ca, minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match="protocol version"):
        Sealed(server.port, old)


@pytest.mark.parametrize("mode, none, good, bad", [
    ("nocert", True, True, True), ("request", True, True, True), ("require", False, True, True),
    ("verify_if_given", True, True, False), ("require_and_verify", False, True, False)])
def test_client_certificates(start, ca, stranger, mode, none, good, bad):
    server = start(more=" %s {\n  client_auth %s\n }" % (ca.pem, mode))
    for certificate, welcome in ((None, none), (ca.client, good), (stranger, bad)):
        try:
            with Sealed(server.port, trusting(ca, certificate=certificate)) as conn:
                conn.ask()
            served = True
        except (OSError, EOFError):
            served = False
        assert served == welcome, (mode, certificate)


def test_keylog_and_paths_below_the_root(signpost, tmp_path, ca):
    text = ("tls://.:@PORT@ {\n bind 127.0.0.1\n root %s\n whoami\n tls good.pem good.key {\n"
            "  keylog keys.log\n }\n}\n" % ca.folder)
    with Server(signpost, tmp_path, text) as server:
        with Sealed(server.port, trusting(ca)) as conn:
            conn.ask()
        log = (ca.folder / "keys.log").read_text()
        assert "CLIENT_TRAFFIC_SECRET_0 " in log
        server.process.send_signal(signal.SIGHUP)
        server.wait_log("Reloading complete", 10)
        with Sealed(server.port, trusting(ca)) as conn:
            conn.ask()
        assert len((ca.folder / "keys.log").read_text()) > len(log)


def test_without_a_certificate_it_is_plain_and_says_so(signpost, tmp_path):
    with Server(signpost, tmp_path, "tls://.:@PORT@ {\n bind 127.0.0.1\n whoami\n}\n") as server:
        with Connection(server.port) as conn:
            conn.send(query("www.test.").to_wire())
            assert parse(conn.receive()).rcode() == 0
        server.wait_log("[WARNING] tls://127.0.0.1:%d has no certificate" % server.port)


def test_no_udp(start):
    server = start()
    with pytest.raises(ConnectionRefusedError):
        server.udp(query("www.test.").to_wire())


# ---- reload ----


def fingerprint(conn):
    return conn.sock.getpeercert(binary_form=True)


def test_reload_serves_the_new_certificate_to_new_connections(start, ca):
    certificate = ca.issue("renewed", "dns.test")
    server = start(" whoami\n", "\n reload 30s")
    text = server.path.read_text().replace(ca.good[0], certificate[0]).replace(
        ca.good[1], certificate[1])
    server.path.write_text(text)
    server.process.send_signal(signal.SIGUSR1)
    server.wait_log("Reloading complete", 10)
    with Sealed(server.port, trusting(ca)) as old:
        first = fingerprint(old)
        ca.issue("renewed", "dns.test")  # the same files, as a renewal does it
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: server.log().count("Reloading complete") == 2)
        assert old.ask().rcode() == 0
        with Sealed(server.port, trusting(ca)) as new:
            assert fingerprint(new) != first
            assert new.ask().rcode() == 0
        (ca.folder / "renewed.pem").write_text("broken")
        server.process.send_signal(signal.SIGHUP)
        server.wait_log("renewed.pem: there is no certificate")
        with Sealed(server.port, trusting(ca)) as new:
            assert new.ask().rcode() == 0


# ---- take-over ----


def test_a_new_process_takes_over(signpost, tmp_path, ca):
    """Open connections are answered by the old process, new ones by the new one, and none is refused
    in between."""
    text = (BLOCK % (*ca.good, "", " whoami\n") + "https://.:@PORT2@ {\n bind 127.0.0.1\n"
            " tls %s %s\n whoami\n}\n" % ca.good)
    folders = [tmp_path / str(n) for n in range(2)]
    flags = ("-workers", "2", "-control", str(tmp_path / "control"), "-takeover")
    for folder in folders:
        folder.mkdir()
    with contextlib.ExitStack() as stack:
        old = stack.enter_context(Server(signpost, folders[0], text, *flags))
        ports = [old.port, old.numbered(2)]
        conn = stack.enter_context(Sealed(old.port, trusting(ca)))
        assert conn.ask().rcode() == 0
        new = stack.enter_context(
            Server(signpost, folders[1], text, *flags, ports=ports, wait=False))

        def is_over():
            for port, alpn in zip(ports, ("dot", "h2")):
                with Sealed(port, trusting(ca, alpn=(alpn,))) as other:
                    assert other.sock.selected_alpn_protocol() == alpn
            return "signpost-" in new.log()

        wait_for(is_over, 15)
        last = conn.ask(options=[dns.edns.GenericOption(11, b"")])  # by the old process still, which tells
        assert [o.to_wire() for o in last.options] == [b"\0\0"]   # clients to go elsewhere (RFC 7828)
        conn.sock.close()
        assert old.process.wait(20) == 0, old.log()
        with Sealed(new.port, trusting(ca)) as fresh:
            assert fresh.ask().rcode() == 0


# ---- clients of the bad sort ----


def closed_within(sock, seconds):
    """Reads until the end; how long that took."""
    begin = time.monotonic()
    sock.settimeout(seconds)
    with contextlib.suppress(ConnectionError):
        while sock.recv(65536):
            pass
    return time.monotonic() - begin


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", query("www.test.").to_wire(),
                                  b"\x16\x03\x01\xff\xff" + bytes(5000)])
def test_garbage_for_a_client_hello(start, ca, data):
    server = start()
    for _ in range(20):
        with Connection(server.port) as conn:
            conn.write(data)
            assert closed_within(conn.sock, 3) < 2
    with Sealed(server.port, trusting(ca)) as conn:
        assert conn.ask().rcode() == 0


def test_a_slow_handshake_ends_and_holds_nobody_back(start, ca):
    server = start(" whoami\n timeouts {\n  read 1s\n }\n")
    hello, sink = ssl.MemoryBIO(), ssl.MemoryBIO()
    half = trusting(ca).wrap_bio(sink, hello, server_hostname="dns.test")
    with contextlib.suppress(ssl.SSLWantReadError):
        half.do_handshake()
    data = hello.read()
    with Connection(server.port) as slow, Connection(server.port) as mute:
        mute.write(data) # all of it, and then nothing
        begin, ended = time.monotonic(), None
        for byte in data:
            try:
                slow.write(bytes([byte]))
            except OSError:
                ended = time.monotonic() - begin
                break
            with Sealed(server.port, trusting(ca)) as conn:
                assert conn.ask().rcode() == 0
            time.sleep(0.05)
        assert ended and ended < 6
        assert closed_within(mute.sock, 6) < 6


def test_idle_connections_are_closed(start, ca):
    server = start(" whoami\n timeouts {\n  idle 1s\n }\n")
    with Sealed(server.port, trusting(ca)) as conn:
        conn.ask()
        assert 0.5 < closed_within(conn.sock, 8) < 8


def test_a_client_that_does_not_read(start, ca, tmp_path):
    texts = "".join('big TXT "%s%d"\n' % ("x" * 230, i) for i in range(250))
    (tmp_path / "db").write_text("$ORIGIN test.\n@ 60 SOA ns root 1 2 3 4 5\n@ NS ns\n" + texts)
    server = start(" root @DIR@\n file db test\n timeouts {\n  write 1s\n }\n")
    wire = query("big.test.", "TXT").to_wire()
    before = server.memory_kb()
    with Sealed(server.port, trusting(ca)) as conn:
        conn.sock.settimeout(0.5)
        with contextlib.suppress(OSError):
            for _ in range(20000):
                conn.send(wire)
        with Sealed(server.port, trusting(ca)) as other:
            assert other.ask("test.", "SOA").rcode() == 0
        assert server.memory_kb() - before < 30000
        time.sleep(3)  # reading earlier would be progress
        assert closed_within(conn.sock, 8) < 8


def test_peers_that_leave_at_any_moment(start, ca):
    server, context = start(), trusting(ca)

    def leave(n):
        with contextlib.suppress(OSError):
            with Connection(server.port) as conn:
                if n % 3 == 0:
                    conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                if n % 2:
                    sealed = context.wrap_socket(conn.sock, server_hostname="dns.test")
                    wire = query("www.test.").to_wire()
                    sealed.sendall(struct.pack("!H", len(wire)) + wire[:n])
                    sealed.close()

    threads = [threading.Thread(target=leave, args=(n,)) for n in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with Sealed(server.port, context) as conn:
        assert conn.ask().rcode() == 0


# ---- what is refused ----


@pytest.mark.parametrize("line, error", [
    ("tls", "ACME is not supported"),
    ("tls {\n  acme {\n   domain x\n  }\n }", "acme is not supported: let another program"),
    ("tls {cert}", "Wrong argument count or unexpected line ending after '{cert}'"),
    ("tls {cert} {key} x y", "Wrong argument count or unexpected line ending after 'y'"),
    ("tls nofile {key}", "could not load TLS cert: open nofile: No such file or directory"),
    ("tls {cert} nofile", "could not load TLS cert: open nofile: No such file or directory"),
    ("tls {cert} {other}", "could not load TLS cert: {other}: key values mismatch"),
    ("tls {key} {key}", "{key}: there is no certificate in PEM form in it"),
    ("tls {cert} {key} nofile", "error reading nofile: open nofile: No such file"),
    ("tls {cert} {key} {\n  client_auth maybe\n }", "unknown authentication type 'maybe'"),
    ("tls {cert} {key} {\n  client_auth\n }", "unexpected line ending after 'client_auth'"),
    ("tls {cert} {key} {\n  keylog nodir/x\n }", 'unable to write TLS Key Log to "nodir/x"'),
    ("tls {cert} {key} {\n  foo\n }", "unknown option 'foo'"),
])
def test_lines_that_are_refused(signpost, tmp_path, ca, line, error):
    for word, path in zip(("{cert}", "{key}", "{other}"), (*ca.good, ca.client[1])):
        line, error = line.replace(word, path), error.replace(word, path)
    code, text = run_until_end(signpost, tmp_path, "tls://. {\n %s\n}\n" % line)
    assert code == 1 and "plugin/tls: Corefile:" in text and error in text, text


# ---- the page ----


def test_example(signpost, tmp_path, ca):
    up = Upstream()
    try:
        text = example("tls").replace("10.0.0.1", str(up))
        text = text.replace("/etc/dns/tls.crt", ca.good[0]).replace("/etc/dns/tls.key", ca.good[1])
        with Server(signpost, tmp_path, text) as server:
            with Sealed(server.port, trusting(ca)) as conn:
                assert conn.ask().answer[0][0].address == "192.0.2.1"
    finally:
        up.close()
