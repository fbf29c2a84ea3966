"""https:// listeners: DNS over HTTPS, with HTTP/2 and HTTP/1.1, and clients of the bad sort."""
import base64
import contextlib
import http.client
import re
import socket
import ssl
import subprocess
import time

import dns.message
import dns.rcode
import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest

from dns_world import Server, http_get, parse, query, run_until_end
from forward_world import HOST, Upstream, reply, wait_for
from test_dns_small_pages import example
from tls_world import ca  # noqa: F401  a fixture

BLOCK = "https://.:@PORT@ {\n bind 127.0.0.1\n tls %s %s\n prometheus 127.0.0.1:@PORT2@\n%s\n}\n"
TYPE = "application/dns-message"
QUICK = " template IN A quick.test {\n  answer \"{{ .Name }} 60 IN A 192.0.2.7\"\n }\n"


@pytest.fixture
def start(signpost, tmp_path, ca):
    with contextlib.ExitStack() as stack:
        def begin(lines=QUICK, workers=1):
            text = BLOCK % (*ca.good, lines)
            return stack.enter_context(Server(signpost, tmp_path, text, "-workers", str(workers)))
        yield begin


@pytest.fixture
def upstream():
    """Answers names that begin with "slow" late, others at once."""
    up = Upstream(lambda q, p: [
        (0.7 if q.question[0].name.to_text().startswith("slow") else 0, reply(q))])
    yield up
    up.close()


def sealed(server, ca, *alpn, certificate=None):
    context = ssl.create_default_context(cafile=ca.pem)
    if alpn:
        context.set_alpn_protocols(alpn)
    if certificate:
        context.load_cert_chain(*certificate)
    sock = socket.create_connection((HOST, server.port), 5)
    return context.wrap_socket(sock, server_hostname="dns.test")


def wire(name="www.quick.test.", rdtype="A"):
    return query(name, rdtype, ident=0).to_wire()


def encoded(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Http1:
    """An HTTP/1.1 connection."""

    def __init__(self, server, ca, **more):
        self.http = http.client.HTTPConnection(HOST)
        self.http.sock = sealed(server, ca, "http/1.1", **more)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.close()

    def ask(self, method="POST", path="/dns-query", body=None, headers=()):
        """(status, headers, body)"""
        self.http.request(method, path, body, dict(headers))
        got = self.http.getresponse()
        return got.status, {k.lower(): v for k, v in got.getheaders()}, got.read()


class Http2:
    """An HTTP/2 connection."""

    def __init__(self, server, ca, window=None):
        self.sock = sealed(server, ca, "h2")
        assert self.sock.selected_alpn_protocol() == "h2"
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        if window is not None:
            self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.streams, self.done, self.reset, self.over = {}, [], {}, False
        self.grant, self.settled = True, 0
        self.flush()
        if window is not None:
            self.until(lambda: self.settled == 2)  # both SETTINGS, else h2 reckons with the old window

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def flush(self):
        self.sock.sendall(self.h2.data_to_send())

    def begin(self, method="POST", path="/dns-query", body=b"", end=True, headers=()):
        stream = self.h2.get_next_available_stream_id()
        head = [(":method", method), (":scheme", "https"), (":authority", "dns.test"),
                (":path", path), *headers]
        self.streams[stream] = [0, {}, b""]
        self.h2.send_headers(stream, head, end_stream=end and not body)
        while body:
            size = min(len(body), 16384, self.h2.local_flow_control_window(stream))
            if not size:
                self.receive()
                continue
            self.h2.send_data(stream, body[:size], end_stream=end and size == len(body))
            body = body[size:]
            self.flush()
        self.flush()
        return stream

    def receive(self):
        data = self.sock.recv(65536)
        if not data:
            self.over = True
        for event in self.h2.receive_data(data) if data else ():
            self.take(event)
        self.flush()

    def take(self, event):
        if isinstance(event, h2.events.ResponseReceived):
            head = dict(event.headers)
            self.streams[event.stream_id][:2] = [int(head[":status"]), head]
        elif isinstance(event, h2.events.DataReceived):
            self.streams[event.stream_id][2] += event.data
            if self.grant:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.done.append(event.stream_id)
        elif isinstance(event, h2.events.SettingsAcknowledged):
            self.settled += 1
        elif isinstance(event, h2.events.StreamReset):
            self.reset[event.stream_id] = int(event.error_code)
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.over = True

    def until(self, condition):
        while not condition() and not self.over:
            self.receive()
        assert condition()

    def ask(self, *args, **kwargs):
        """(status, headers, body)"""
        stream = self.begin(*args, **kwargs)
        self.until(lambda: stream in self.done)
        return tuple(self.streams[stream])


@pytest.fixture(params=[Http1, Http2], ids=["http1", "http2"])
def protocol(request):
    return request.param


def responses(server, status):
    _, page = http_get(server.numbered(2), "/metrics")
    found = re.findall('^coredns_dns_https_responses_total{server="https://127.0.0.1:%d",status="%d"}'
                       " (.*)$" % (server.port, status), page, re.MULTILINE)
    return float(found[0]) if found else 0


def addresses(body):
    return [r.to_text() for rrset in parse(body).answer for r in rrset]


# ---- decent clients ----


@pytest.mark.parametrize("flag, how", [("+https", "HTTP/2-POST"), ("+https-get", "HTTP/2-GET")])
def test_kdig(start, ca, flag, how):
    server = start(QUICK + " log . \"{proto} {name} {type}\"\n")
    done = subprocess.run(
        ["kdig", "@" + HOST, "-p", str(server.port), flag, "+tls-ca=" + ca.pem,
         "+tls-hostname=dns.test", "www.quick.test.", "A"], capture_output=True, text=True,
        timeout=20, check=False)
    assert how in done.stdout and "status: 200" in done.stdout and "192.0.2.7" in done.stdout, done
    server.wait_log("[INFO] tcp www.quick.test. A")
    assert "https://.:%d on 127.0.0.1" % server.port in server.log()
    assert responses(server, 200) == 1


def test_get_and_post(start, ca, protocol):
    server = start()
    with protocol(server, ca) as conn:
        for _ in range(3):
            for asked in ({"body": wire(), "headers": [("content-type", TYPE)]}, {"body": wire()},
                          {"method": "GET", "path": "/dns-query?dns=" + encoded(wire())},
                          {"method": "GET", "path": "/dns-query?x=y&dns=" + encoded(wire())}):
                status, head, body = conn.ask(**asked)
                assert (status, head["content-type"]) == (200, TYPE)
                assert head["content-length"] == str(len(body)) and "date" in head
                assert addresses(body) == ["192.0.2.7"]
    assert responses(server, 200) == 12


def test_metrics_and_functions_say_tcp(start, ca, protocol):
    server = start(QUICK + " view ours {\n  expr proto() == 'tcp' && server_ip() == '127.0.0.1'\n }\n")
    with protocol(server, ca) as conn:
        assert addresses(conn.ask(body=wire())[2]) == ["192.0.2.7"]
    _, page = http_get(server.numbered(2), "/metrics")
    found = [line for line in page.splitlines() if line.startswith("coredns_dns_requests_total{")]
    assert len(found) == 1 and 'proto="tcp"' in found[0] and 'server="https://' in found[0]


AGES = """
 template IN A {
  match "^a[.]test[.]$"
  answer "{{ .Name }} 60 IN A 192.0.2.7"
  answer "{{ .Name }} 50 IN A 192.0.2.8"
  additional "x.test 40 IN A 192.0.2.8"
  fallthrough
 }
 template IN A long.test {
  answer "{{ .Name }} 86400 IN A 192.0.2.7"
 }
 template IN A nx.test {
  rcode NXDOMAIN
  authority "nx.test 300 IN SOA ns. root. 1 2 3 4 20"
 }
 template IN A nd.test {
  authority "nd.test 15 IN SOA ns. root. 1 2 3 4 20"
 }
 template IN A bad.test {
  rcode SERVFAIL
 }
 template IN A empty.test {
  rcode NOERROR
 }
"""


def test_how_long_a_cache_may_keep_it(start, ca):
    server = start(AGES)
    with Http2(server, ca) as conn:
        for name, age in (("a.test", 40), ("long.test", 3600), ("nx.test", 20), ("nd.test", 15),
                          ("bad.test", 5), ("empty.test", 5)):
            status, head, _ = conn.ask(body=wire(name))
            assert (name, status, head["cache-control"]) == (name, 200, "max-age=%d" % age)


def test_streams_end_when_they_are_ready(start, ca, upstream):
    server = start(" forward . %s\n" % upstream)
    with Http2(server, ca) as conn:
        slow = conn.begin(body=wire("slow.test."))
        quick = [conn.begin(body=wire("n%d.test." % i)) for i in range(20)]
        conn.until(lambda: len(conn.done) == 21)
        assert conn.done[-1] == slow and sorted(conn.done[:-1]) == quick
        assert all(conn.streams[s][0] == 200 for s in conn.done)


def test_pipelined_requests_are_answered_in_order(start, ca, upstream):
    server = start(" forward . %s\n" % upstream)
    names = ["slow.test.", "a.test.", "slow2.test.", "b.test."]
    with sealed(server, ca) as sock:
        for name in names:
            body = wire(name)
            sock.sendall(b"POST /dns-query HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (
                len(body), body))
        got = b""
        while got.count(b"HTTP/1.1 200 OK") < 4 or not got.endswith(b"\xc0\x00\x02\x01"):
            got += sock.recv(65536)
        assert [got.index(dns.name.from_text(n).to_wire()) for n in names] == sorted(
            got.index(dns.name.from_text(n).to_wire()) for n in names)


def test_byte_by_byte(start, ca):
    server = start()
    with sealed(server, ca) as sock:
        body = wire()
        for byte in b"POST /dns-query HTTP/1.1\r\ncontent-LENGTH:%d\r\n\r\n%s" % (len(body), body):
            sock.sendall(bytes([byte]))
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")


def test_large_replies_and_small_windows(start, ca, tmp_path):
    texts = "".join('big TXT "%s%d"\n' % ("x" * 230, i) for i in range(250))
    (tmp_path / "db").write_text("$ORIGIN test.\n@ 60 SOA ns root 1 2 3 4 5\n@ NS ns\n" + texts)
    server = start(" root @DIR@\n file db test\n")
    with Http2(server, ca, window=1000) as conn:
        streams = [conn.begin(body=wire("big.test.", "TXT")) for _ in range(12)]
        conn.until(lambda: sorted(conn.done) == streams)
        for stream in streams:
            assert len(parse(conn.streams[stream][2]).answer) == 250
    with Http1(server, ca) as conn:
        for _ in range(3):
            assert len(parse(conn.ask(body=wire("big.test.", "TXT"))[2]).answer) == 250


def test_connections_that_are_to_end(start, ca):
    server = start()
    for line in (b"GET %s HTTP/1.1\r\nConnection: keep-alive, Close\r\n\r\n", b"GET %s HTTP/1.0\r\n\r\n"):
        with sealed(server, ca) as sock:
            sock.sendall(line % ("/dns-query?dns=" + encoded(wire())).encode())
            got = b""
            while data := sock.recv(65536):
                got += data
            assert got.startswith(b"HTTP/1.1 200 OK\r\n") and b"connection: close\r\n" in got


def test_expect_continue(start, ca):
    server, body = start(), wire()
    with sealed(server, ca) as sock:
        sock.sendall(b"POST /dns-query HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
                     % len(body))
        assert sock.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body[:5])
        sock.sendall(body[5:])
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")


def test_client_certificates(signpost, tmp_path, ca):
    text = ("https://.:@PORT@ {\n bind 127.0.0.1\n tls %s %s %s {\n  client_auth require_and_verify\n }\n"
            "%s}\n" % (*ca.good, ca.pem, QUICK))
    with Server(signpost, tmp_path, text) as server:
        with Http1(server, ca, certificate=ca.client) as conn:
            assert conn.ask(body=wire())[0] == 200
        with pytest.raises((OSError, http.client.HTTPException)):
            with Http1(server, ca) as conn:
                conn.ask(body=wire())


def test_plain_http_without_a_certificate(signpost, tmp_path):
    text = "https://.:@PORT@ {\n bind 127.0.0.1\n%s}\n" % QUICK
    with Server(signpost, tmp_path, text) as server:
        plain = http.client.HTTPConnection(HOST, server.port, timeout=5)
        with contextlib.closing(plain):
            plain.request("POST", "/dns-query", wire())
            assert addresses(plain.getresponse().read()) == ["192.0.2.7"]
        server.wait_log("[WARNING] https://127.0.0.1:%d has no certificate" % server.port)


# ---- what is refused ----


@pytest.mark.parametrize("status, asked", [
    (404, {"path": "/", "body": wire()}), (404, {"method": "GET", "path": "/dns-query/x"}),
    (400, {"method": "GET"}), (400, {"method": "GET", "path": "/dns-query?dns=@@"}),
    (400, {"method": "GET", "path": "/dns-query?dns=AA&dns=AA"}),
    (400, {"method": "GET", "path": "/dns-query?dns=" + encoded(wire()) + "="}),
    (405, {"method": "PUT", "body": wire()}), (405, {"method": "DELETE"}), (400, {"body": b"x"}),
    (400, {"method": "HEAD"}), (400, {"body": b""}),
    (415, {"body": wire(), "headers": [("content-type", "application/dns-json")]}),
    (400, {"body": wire()[:2] + b"\x80" + wire()[3:]}), (400, {"body": wire()[:-1]}),
])
def test_requests_that_are_refused(start, ca, protocol, status, asked):
    server = start()
    with protocol(server, ca) as conn:
        got, head, body = conn.ask(**asked)
        assert got == status and head["content-type"] == "text/plain"
        assert not body if asked.get("method") == "HEAD" else body
        assert conn.ask(body=wire())[0] == 200  # the connection is as good as before
    assert responses(server, status) == 1


def test_an_unknown_opcode_is_dns_not_http(start, ca, protocol):
    server = start()
    with protocol(server, ca) as conn:
        status, _, body = conn.ask(body=wire()[:2] + b"\x10" + wire()[3:])
        assert status == 200 and dns.message.from_wire(body).rcode() == dns.rcode.NOTIMP


def test_too_much_is_refused(start, ca, protocol):
    server = start()
    large = "/dns-query?dns=" + "A" * 20000
    with protocol(server, ca) as conn:
        assert conn.ask("GET", large)[0] == 431
    with protocol(server, ca) as conn:
        with contextlib.suppress(OSError):  # it may close while we still send
            assert conn.ask(body=bytes(70000))[0] == 413
    with protocol(server, ca) as conn:
        assert conn.ask(body=wire())[0] == 200
    assert responses(server, 431) == 1 and responses(server, 413) == 1


@pytest.mark.parametrize("head, status", [
    (b"POST /dns-query HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
    (b"POST /dns-query HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc", 400),
    (b"POST /dns-query HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
    (b"POST /dns-query HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
    (b"POST /dns-query HTTP/1.1\r\nContent-Length: 99999999999999999999999999\r\n\r\n", 413),
    (b"POST /dns-query HTTP/1.1\r\nno colon\r\n\r\n", 400),
    (b"POST /dns-query HTTP/1.1\r\nname : value\r\n\r\n", 400),
    (b"POST /dns-query HTTP/1.1\r\n folded: value\r\n\r\n", 400),
    (b"POST /dns-query HTTP/1.1\r\na: \0\r\n\r\n", 400),
    (b"POST /dns-query HTTP/2.0\r\n\r\n", 505), (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    (b"GET  HTTP/1.1\r\n\r\n", 400), (b"hello\r\n\r\n", 400), (b"\r\n\r\n", 400),
    (b"GET /" + b"a" * 17000, 431),
])
def test_broken_heads_end_the_connection(start, ca, head, status):
    server = start()
    with sealed(server, ca) as sock:
        sock.sendall(head)
        got = b""
        with contextlib.suppress(ConnectionError):
            while data := sock.recv(65536):
                got += data
        assert got.startswith(b"HTTP/1.1 %d " % status) and got.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("lines, error", [
    ("https x", "Wrong argument count or unexpected line ending after 'x'"),
    ("https {\n max_connections -1\n}", "max_connections must be a non-negative integer: -1"),
    ("https {\n max_connections\n}", "unexpected line ending after 'max_connections'"),
    ("https {\n max_connections 1 2\n}", "unexpected line ending after '2'"),
    ("https {\n max_connections 1\n max_connections 1\n}", "max_connections already defined"),
    ("https {\n foo\n}", "unknown property 'foo'"),
])
def test_lines_that_are_refused(signpost, tmp_path, lines, error):
    code, text = run_until_end(signpost, tmp_path, "https://. {\n%s\n}\n" % lines)
    assert code == 1 and "plugin/https: Corefile:" in text and error in text, text


# ---- clients of the bad sort ----


def test_alpn(start, ca):
    server = start()
    with pytest.raises(ssl.SSLError, match="no application protocol"):
        sealed(server, ca, "dot")
    for offer, chosen in (((), None), (("http/1.1",), "http/1.1"), (("http/1.1", "h2"), "h2")):
        with sealed(server, ca, *offer) as sock:
            assert sock.selected_alpn_protocol() == chosen


def ends(sock, seconds):
    """Whether the peer closes in that time."""
    sock.settimeout(seconds)
    try:
        while sock.recv(65536):
            pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("alpn", ["h2", "http/1.1"])
def test_slow_requests_end_and_hold_nobody_back(start, ca, alpn):
    server = start(QUICK + " timeouts {\n  read 1s\n  idle 1s\n }\n")
    with sealed(server, ca, alpn) as slow, sealed(server, ca, alpn) as mute:
        data = (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9 * 30) if alpn == "h2"
                else b"GET /dns-query?dns=" + b"A" * 300)
        begin = time.monotonic()
        with contextlib.suppress(OSError):
            for byte in data:
                slow.sendall(bytes([byte]))
                with Http1(server, ca) as conn:
                    assert conn.ask(body=wire())[0] == 200
                time.sleep(0.05)
            pytest.fail("it was let go on")
        assert time.monotonic() - begin < 8
        assert ends(mute, 8)


def test_idle_connections_end(start, ca, protocol):
    server = start(QUICK + " timeouts {\n  idle 1s\n }\n")
    with protocol(server, ca) as conn:
        assert conn.ask(body=wire())[0] == 200
        assert ends(conn.http.sock if protocol is Http1 else conn.sock, 5)


@pytest.mark.parametrize("data", [b"\0" * 500, b"GET / HTTP/1.1\r\n\r\n",
                                  b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 500], ids=["zeros", "http1", "frames"])
def test_garbage_for_http2(start, ca, data):
    server = start()
    with sealed(server, ca, "h2") as sock:
        sock.sendall(data)
        assert ends(sock, 3)
    with Http2(server, ca) as conn:
        assert conn.ask(body=wire())[0] == 200


def test_peers_that_leave_before_the_reply(start, ca, upstream, protocol):
    server = start(" forward . %s\n" % upstream)
    for i in range(10):
        with protocol(server, ca) as conn:
            name = "slow%d.test." % i
            if protocol is Http1:
                conn.http.request("POST", "/dns-query", wire(name))
            else:
                conn.begin(body=wire(name))
                if i % 2:
                    conn.h2.reset_stream(1)
                    conn.flush()
            wait_for(lambda: upstream.asked(name))
    time.sleep(1)  # the replies come to nobody
    with protocol(server, ca) as conn:
        assert conn.ask(body=wire("www.test."))[0] == 200


def test_streams_that_are_reset_still_count(start, ca, upstream):
    """Opening and resetting streams must not make us hold questions without end."""
    server = start(" forward . %s\n" % upstream)
    with Http2(server, ca) as conn:
        begun = time.monotonic()
        with contextlib.suppress(Exception):
            for i in range(600):
                stream = conn.begin(body=wire("slow%d.test." % i))
                conn.h2.reset_stream(stream)
                conn.flush()
        wait_for(lambda: upstream.asked() >= 1)
        time.sleep(0.3)
        # Some more on a slow machine, where the first have ended before the last are asked.
        rounds = 1 + int(time.monotonic() - begun)
        assert len({query.question[0].name for query, _ in upstream.queries}) <= 130 * rounds
    with Http2(server, ca) as conn:
        assert conn.ask(body=wire("www.test."))[0] == 200


def test_bodies_that_never_end(start, ca):
    server = start()
    before = server.memory_kb()
    with Http2(server, ca) as conn:
        with contextlib.suppress(Exception):
            for _ in range(100):
                conn.begin(body=bytes(60000), end=False)
        with Http2(server, ca) as other:
            assert other.ask(body=wire())[0] == 200
        assert server.memory_kb() - before < 20000


def test_replies_that_are_never_read(start, ca, tmp_path):
    texts = "".join('big TXT "%s%d"\n' % ("x" * 230, i) for i in range(250))
    (tmp_path / "db").write_text("$ORIGIN test.\n@ 60 SOA ns root 1 2 3 4 5\n@ NS ns\n" + texts)
    server = start(" root @DIR@\n file db test\n timeouts {\n  write 1s\n  idle 1s\n }\n")
    before = server.memory_kb()
    with Http2(server, ca, window=0) as conn:
        conn.grant = False
        streams = [conn.begin(body=wire("big.test.", "TXT")) for _ in range(100)]
        conn.until(lambda: len(conn.reset) + sum(
            conn.streams[s][0] == 200 for s in streams) == 100)
        assert 0 < len(conn.reset) < 100 and set(conn.reset.values()) == {7}  # REFUSED_STREAM
        assert server.memory_kb() - before < 20000
        assert ends(conn.sock, 5)


@pytest.mark.parametrize("workers", [1, 2])
def test_max_connections(start, ca, workers):
    server = start(QUICK + " https {\n  max_connections 3\n }\n", workers)
    with contextlib.ExitStack() as stack:
        conns = [stack.enter_context(Http1(server, ca)) for _ in range(3)]
        assert all(conn.ask(body=wire())[0] == 200 for conn in conns)
        with pytest.raises(OSError):
            sealed(server, ca)
        assert all(conn.ask(body=wire())[0] == 200 for conn in conns)
    def served():
        try:
            with Http1(server, ca) as conn:
                return conn.ask(body=wire())[0] == 200
        except OSError:
            return False
    wait_for(served)


def test_a_transfer_is_not_for_https(start, ca, tmp_path):
    (tmp_path / "db").write_text("$ORIGIN test.\n@ 60 SOA ns root 1 2 3 4 5\n@ NS ns\n")
    server = start(" root @DIR@\n file db test\n transfer {\n  to *\n }\n")
    with Http1(server, ca) as conn:
        status, _, body = conn.ask(body=wire("test.", "AXFR"))
        assert status == 200 and dns.message.from_wire(body).rcode() != dns.rcode.NOERROR


# ---- the page ----


def test_example(signpost, tmp_path, ca, upstream):
    text = example("https").replace("10.0.0.1", str(upstream))
    text = text.replace("/etc/dns/tls.crt", ca.good[0]).replace("/etc/dns/tls.key", ca.good[1])
    with Server(signpost, tmp_path, text) as server:
        with Http2(server, ca) as conn:
            assert addresses(conn.ask(body=wire())[2]) == ["192.0.2.1"]
