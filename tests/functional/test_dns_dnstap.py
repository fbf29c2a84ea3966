"""`dnstap`: messages field by field, receivers that come, go and misbehave."""
import contextlib
import ipaddress
import os
import shutil
import socket
import ssl
import subprocess
import time

import dns.message
import dns.query
import pytest

from dns_world import Connection, Server, free_port, http_get, query, run_until_end
from forward_world import Upstream
from test_dns_small_pages import example
from tls_world import Authority
from tap_world import ACCEPT, READY, START, STOP, Receiver, control, parse

BLOCK = """.:@PORT@ {
    bind 127.0.0.1 ::1
    %s
    %s
    prometheus 127.0.0.1:@PORT2@
}
"""


@pytest.fixture
def start(signpost, tmp_path):
    with contextlib.ExitStack() as stack:
        yield lambda dnstap, rest="whoami", **more: stack.enter_context(
            Server(signpost, tmp_path, BLOCK % (dnstap, rest), **more))


@pytest.fixture
def sock(tmp_path):
    return tmp_path / "tap.sock"


def connected(server):
    server.wait_log("plugin/dnstap: connected to", 15)


def check_times(message, began, response):
    sent = message["query_sec"] + message["query_nsec"] / 1e9
    assert began - 0.01 <= sent <= time.time() + 0.01
    assert ("response_sec" in message) == response
    if response:
        assert sent - 0.01 <= message["response_sec"] + message["response_nsec"] / 1e9 < sent + 5


@pytest.mark.parametrize("address, tcp", [("127.0.0.1", False), ("::1", False), ("127.0.0.1", True)])
def test_query_and_response(start, sock, address, tcp):
    began = time.time()
    with Receiver(sock) as receiver:
        server = start("dnstap %s" % sock)
        connected(server)
        ask = dns.query.tcp if tcp else dns.query.udp
        source_port = free_port()
        ask(query("example.org."), address, port=server.port, timeout=5, source_port=source_port)
        messages = receiver.wait(2)
        assert [m["type"] for m in messages] == ["CLIENT_QUERY", "CLIENT_RESPONSE"]
        for m in messages:
            assert m["identity"].decode() == socket.gethostname()
            assert m["version"].startswith(b"signpost-")
            assert (m["family"], m["protocol"]) == (2 if ":" in address else 1, 2 if tcp else 1)
            assert ipaddress.ip_address(m["query_address"]) == ipaddress.ip_address(address)
            assert m["query_port"] == source_port
            assert not {"extra", "query_message", "response_message", "response_address",
                        "response_port"} & set(m)
            check_times(m, began, m["type"] == "CLIENT_RESPONSE")
        assert messages[0]["query_sec"] == messages[1]["query_sec"]
        assert messages[0]["query_nsec"] == messages[1]["query_nsec"]


def test_full(start, sock):
    with Receiver(sock) as receiver:
        server = start("dnstap unix://%s full" % sock)
        connected(server)
        wire = query("Example.org.", "AAAA", use_edns=0, want_dnssec=True).to_wire()
        reply = server.udp(wire)
        messages = receiver.wait(2)
        assert messages[0]["query_message"] == wire
        assert messages[1]["response_message"] == reply
        assert "response_message" not in messages[0] and "query_message" not in messages[1]


def test_full_of_a_reply_that_was_cut(start, sock):
    (sock.parent / "db").write_text("@ 60 SOA . . 1 2 3 4 5\n" + "".join(
        "many 60 A 10.0.0.%d\n" % i for i in range(250)))
    with Receiver(sock) as receiver:
        server = start("dnstap %s full" % sock, "file db example.org")
        connected(server)
        for wire in (query("many.example.org.").to_wire(),
                     query("many.example.org.", use_edns=0, payload=1232).to_wire()):
            seen = len(receiver.frames)
            reply = server.udp(wire)
            messages = receiver.wait(seen + 2)
            assert reply[2] & 2 and messages[-1]["response_message"] == reply
        reply = server.tcp(query("many.example.org.").to_wire())
        assert receiver.wait(6)[-1]["response_message"] == reply and len(reply) > 4000


def test_identity_version_extra(start, sock):
    with Receiver(sock) as receiver:
        server = start("""metadata
    dnstap %s {
        identity me
        version "one two"
        extra "{name} {type} {remote} {rcode} {rsize} {>id} {nothing} {/geoip/city/name}"
        skipverify
    }""" % sock)
        connected(server)
        server.ask("example.org.")
        for m in receiver.wait(2):
            assert (m["identity"], m["version"]) == (b"me", b"one two")
            assert m["extra"] == b"example.org. A 127.0.0.1 - - 4711 {nothing} -"


@pytest.mark.parametrize("option, protocol", [("", 1), ("force_tcp", 2)])
def test_forwarder(start, sock, option, protocol):
    upstream = Upstream()
    began = time.time()
    with Receiver(sock) as receiver, contextlib.closing(upstream):
        server = start("dnstap %s full" % sock, "forward . %s {\n %s\n }" % (upstream, option))
        connected(server)
        wire = query("example.org.").to_wire()
        reply = server.udp(wire)
        messages = receiver.wait(4)
        assert [m["type"] for m in messages] == ["CLIENT_QUERY", "FORWARDER_QUERY",
                                                 "FORWARDER_RESPONSE", "CLIENT_RESPONSE"]
        for m in messages[1:3]:
            assert (m["family"], m["protocol"]) == (1, protocol)
            assert m["query_address"] == m["response_address"] == bytes([127, 0, 0, 1])
            assert m["response_port"] == upstream.port and m["query_port"] != server.port
            check_times(m, began, m["type"] == "FORWARDER_RESPONSE")
        assert messages[1]["query_message"] == wire
        answer = dns.message.from_wire(messages[2]["response_message"])
        assert answer.id == 4711 and answer.answer == dns.message.from_wire(reply).answer


def test_forwarder_without_an_answer(start, sock):
    upstream = Upstream(act=lambda query, proto: [])
    with Receiver(sock) as receiver, contextlib.closing(upstream):
        server = start("dnstap %s" % sock, "forward . %s {\n max_connect_attempts 1\n }" % upstream)
        connected(server)
        assert server.udp(query("example.org.").to_wire(), timeout=15) is not None
        types = [m["type"] for m in receiver.wait(2)]
        assert types[0] == "CLIENT_QUERY" and set(types[1:]) == {"FORWARDER_QUERY"}


@pytest.mark.parametrize("rest, types", [
    ("acl {\n drop\n }\n whoami", ["CLIENT_QUERY"]),
    ("acl {\n block\n }\n whoami", ["CLIENT_QUERY", "CLIENT_RESPONSE"]),
    ("hosts {\n 192.0.2.1 other.test\n }", ["CLIENT_QUERY"]),
    ("rewrite name example.org other.org\n whoami", ["CLIENT_QUERY", "CLIENT_RESPONSE"]),
])
def test_which_replies_are_told(start, sock, rest, types):
    with Receiver(sock) as receiver:
        server = start("dnstap %s" % sock, rest)
        connected(server)
        server.udp(query("example.org.").to_wire(), timeout=0.3)
        receiver.wait(len(types))
        server.stop()
        end = time.monotonic() + 5
        while not receiver.stops:
            assert time.monotonic() < end
            time.sleep(0.01)
        assert [m["type"] for m in receiver.messages] == types


def test_two_receivers(start, sock):
    with Receiver(sock) as one, Receiver(0) as two:
        server = start("dnstap %s\n dnstap tcp://localhost:%d full 2 3" % (sock, two.port))
        server.wait_log("connected to %s" % sock, 10)
        server.wait_log("connected to tcp://localhost:%d" % two.port, 10)
        server.ask("example.org.")
        assert "query_message" not in one.wait(2)[0]
        assert "query_message" in two.wait(2)[0]


def test_end_tells_what_is_left_and_stops(start, sock):
    with Receiver(sock) as receiver:
        server = start("dnstap %s" % sock)
        connected(server)
        for _ in range(20):
            server.ask("example.org.")
        assert server.stop() == 0
        receiver.wait(40)
        end = time.monotonic() + 5
        while not receiver.stops:
            assert time.monotonic() < end
            time.sleep(0.01)
        assert (receiver.starts, receiver.stops, receiver.connections) == (1, 1, 1)


def test_receiver_away_and_back(start, sock):
    server = start("dnstap %s" % sock)
    server.wait_log("No connection to dnstap endpoint %s: no such file" % sock)
    for _ in range(5):
        server.ask("example.org.")  # nobody takes it
    with Receiver(sock) as receiver:
        connected(server)
        server.ask("example.org.")
        receiver.wait(2)
    server.wait_log("it closed the connection", 5)
    server.ask("example.org.")
    with Receiver(sock) as receiver:
        end = time.monotonic() + 15
        while not receiver.starts:
            assert time.monotonic() < end
            time.sleep(0.01)
        server.ask("last.example.org.")
        receiver.wait(2)
    page = http_get(server.numbered(2), "/metrics")[1]
    assert 'signpost_dnstap_messages_total{endpoint="%s"}' % sock in page
    dropped = [x for x in page.splitlines() if x.startswith("signpost_dnstap_dropped_total{")]
    assert 10 <= float(dropped[0].split()[-1]) <= 14
    server.wait_log("Dropped dnstap messages: ", 15)


def test_slow_receiver_holds_nothing_up(start, sock):
    """One that reads nothing: messages are dropped, queries are answered."""
    (sock.parent / "db").write_text("@ 60 SOA . . 1 2 3 4 5\n" + "".join(
        "@ 60 TXT %d-%s\n" % (i, "x" * 240) for i in range(150)))
    with Receiver(sock, manner="deaf"):
        server = start("dnstap %s full" % sock, "file db example.org")
        connected(server)
        dropped, end = False, time.monotonic() + 30
        with Connection(server.port) as c:
            while not dropped:
                assert time.monotonic() < end
                wire = query("example.org.", "TXT").to_wire()
                c.send(*[wire] * 20)
                for _ in range(20):
                    assert len(c.receive()) > 37000
                page = http_get(server.numbered(2), "/metrics")[1]
                dropped = any(x.startswith("signpost_dnstap_dropped_total{")
                              for x in page.splitlines())
        assert server.ask("example.org.", "TXT").answer


@pytest.mark.parametrize("manner, why", [
    ("other_content", "it does not take messages of the type"),
    ("garbage", "it breaks the protocol"),
    ("wrong_control", "it breaks the protocol"),
    ("large_control", "it breaks the protocol"),
    ("silent", "it does not answer in time"),
])
def test_receivers_that_break_the_protocol(start, sock, manner, why):
    with Receiver(sock, manner=manner) as receiver:
        server = start("dnstap %s" % sock)
        server.wait_log(why, 10)
        server.ask("example.org.")
        receiver.manner = "good"
        connected(server)
        server.ask("example.org.")
        receiver.wait(2)


# ---- listening ----

class Client:
    """A receiver that connects."""

    def __init__(self, address, tls=None):
        family = socket.AF_INET if isinstance(address, int) else socket.AF_UNIX
        self.sock = socket.socket(family)
        self.sock.settimeout(10)
        self.sock.connect(("127.0.0.1", address) if isinstance(address, int) else str(address))
        if tls:
            self.sock = tls.wrap_socket(self.sock, server_hostname="127.0.0.1")
        assert Receiver.frame(self, self.sock)[0] == READY
        self.sock.sendall(control(ACCEPT))
        assert Receiver.frame(self, self.sock)[0] == START

    exactly = staticmethod(Receiver.exactly)

    def next(self):
        return Receiver.frame(self, self.sock)


@pytest.mark.parametrize("tcp", [False, True])
def test_listen(start, sock, tcp):
    port = free_port()
    server = start("dnstap listen %s full" % ("tcp://127.0.0.1:%d" % port if tcp else sock))
    server.ask("example.org.")
    clients = [Client(port if tcp else sock) for _ in range(2)]
    end = time.monotonic() + 10
    while server.log().count("connected to") < 2:
        assert time.monotonic() < end
        time.sleep(0.01)
    clients[1].sock.close()
    wire = query("second.example.org.").to_wire()
    server.udp(wire)
    kind, frame = clients[0].next()
    while kind is None and parse(frame).get("query_message") != wire:
        kind, frame = clients[0].next()  # the first may have been waiting for somebody
    assert parse(frame)["type"] == "CLIENT_QUERY"
    assert parse(clients[0].next()[1])["type"] == "CLIENT_RESPONSE"
    server.stop()
    assert clients[0].next()[0] == STOP


def test_listen_where_somebody_is(start):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = start("dnstap listen tcp://127.0.0.1:%d" % taken.getsockname()[1])
        server.wait_log("Failed to start dnstap listener")
        assert server.ask("example.org.").rcode() == 0


# ---- TLS ----

@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


def server_context(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


@pytest.mark.parametrize("believed", [True, False])
def test_tls(start, authority, believed):
    """The receiver's certificate is checked, by the system's authorities, unless told otherwise."""
    env = {**os.environ, "SSL_CERT_FILE": authority.pem} if believed else None
    with Receiver(0, tls=server_context(authority.issue("localhost"))) as receiver:
        server = start("dnstap tls://localhost:%d full %s" % (
            receiver.port, "" if believed else "{\n skipverify\n }"), env=env)
        connected(server)
        for _ in range(50):
            server.ask("example.org.")
        assert "query_message" in receiver.wait(100)[0]
        server.stop()
        end = time.monotonic() + 10
        while not receiver.stops:
            assert time.monotonic() < end
            time.sleep(0.01)


@pytest.mark.parametrize("name, known", [("elsewhere", True), ("localhost", False)])
def test_tls_with_a_wrong_certificate(start, authority, name, known):
    env = {**os.environ, "SSL_CERT_FILE": authority.pem} if known else None
    with Receiver(0, tls=server_context(authority.issue(name))) as receiver:
        server = start("dnstap tls://localhost:%d" % receiver.port, env=env)
        server.wait_log("No connection to dnstap endpoint", 10)
        assert "verify failed" in server.log()
        assert server.ask("example.org.").rcode() == 0
        assert receiver.starts == 0


@pytest.mark.parametrize("clients", [False, True])
def test_listen_with_tls(start, authority, clients):
    port = free_port()
    server = start("dnstap listen tls://127.0.0.1:%d full {\n tls %s %s %s\n }" % (
        port, *authority.issue("127.0.0.1"), authority.pem if clients else ""))
    context = ssl.create_default_context(cafile=authority.pem)
    if clients:
        with pytest.raises((OSError, EOFError)):
            Client(port, context)
        context.load_cert_chain(*authority.issue("client"))
    client = Client(port, context)
    connected(server)
    server.ask("example.org.")
    assert parse(client.next()[1])["type"] == "CLIENT_QUERY"
    assert parse(client.next()[1])["type"] == "CLIENT_RESPONSE"
    server.stop()
    assert client.next()[0] == STOP


@pytest.mark.skipif(not shutil.which("fstrm_capture"), reason="fstrm-bin is not there")
def test_fstrm_capture_understands(start, sock):
    out = sock.parent / "captured"
    with subprocess.Popen(["fstrm_capture", "-t", "protobuf:dnstap.Dnstap", "-u", sock, "-w", out],
                          stderr=subprocess.DEVNULL) as capture:
        try:
            server = start("dnstap %s full" % sock)
            connected(server)
            for _ in range(10):
                server.ask("example.org.")
            server.stop()
        finally:
            time.sleep(0.2)
            capture.terminate()
            capture.wait(10)
    assert out.read_bytes().count(b"\7example\3org") == 20


@pytest.mark.parametrize("text, why", [
    ("dnstap", "Wrong argument count or unexpected line ending after 'dnstap'"),
    ("dnstap listen", "dnstap listen requires an endpoint argument"),
    ("dnstap tap.sock full full", 'dnstap: invalid MultipleTcpWriteBuf "full"'),
    ("dnstap tap.sock full 0", "dnstap: MultipleTcpWriteBuf must be between 1 and 1024 (MiB units): 0"),
    ("dnstap tap.sock full 1 x", 'dnstap: invalid MultipleQueue "x"'),
    ("dnstap tap.sock full 1 4097", "MultipleQueue must be between 1 and 4096 (x10k messages): 4097"),
    ("dnstap tcp://127.0.0.1", "needs HOST:PORT"),
    ("dnstap %s" % ("x" * 200), "a socket's path has 1 to 107 bytes"),
    ("dnstap tap.sock {\n frob\n }", "unknown property 'frob'"),
    ("dnstap tap.sock {\n identity\n }", "Wrong argument count"),
    ("dnstap tap.sock {\n identity a b\n }", "Wrong argument count"),
    ("dnstap tap.sock {\n tls a b\n }", "tls directive only valid for listeners"),
    ("dnstap listen tls://127.0.0.1:6000", "a TLS listener requires 'tls CERT KEY'"),
    ("dnstap listen tls://127.0.0.1:6000 {\n tls a\n }", "tls requires cert and key file paths"),
    ("dnstap listen tls://127.0.0.1:6000 {\n tls a b\n }", "No such file"),
    ("dnstap listen tcp://127.0.0.1:6000 {\n tls a b\n }", "'tls' needs a tls:// endpoint"),
])
def test_refusals(signpost, tmp_path, text, why):
    code, output = run_until_end(signpost, tmp_path, ".:0 {\n %s\n whoami\n}\n" % text)
    assert code == 1 and why in output and "plugin/dnstap: Corefile:" in output, output


# ---- the page ----

def test_example(signpost, tmp_path, sock):
    with Receiver(sock) as one, Receiver(0) as two:
        text = example("dnstap").replace("/run/dnstap.sock", str(sock))
        text = text.replace("192.0.2.53:6000", "localhost:%d" % two.port)
        with Server(signpost, tmp_path, text.replace("192.0.2.1", "127.0.0.1:1")) as server:
            for name in (str(sock), "tcp://localhost:%d" % two.port):
                server.wait_log("connected to " + name, 10)
            server.ask("example.org.")
            assert "query_message" in one.wait(1)[0]
            assert "query_message" not in two.wait(1)[0]
