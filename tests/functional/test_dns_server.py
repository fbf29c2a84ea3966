"""Messages as such: what is accepted, what is refused and how, EDNS, TCP, the process around it."""
import random
import signal
import socket
import struct
import threading
import time

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import pytest

from dns_world import (MANIFEST, WEB, Connection, Server, free_port, header, http_get, opt, parse, query,
                       question, records)

COREFILE = """.:@PORT@ {
    bind 127.0.0.1
    errors
    health 127.0.0.1:@PORT2@
    ready 127.0.0.1:@PORT3@
    prometheus 127.0.0.1:@PORT4@
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        manifests @DIR@/manifests
        fallthrough in-addr.arpa
    }
    loadbalance
}
other.test:@PORT@ {
    bind 127.0.0.1
    prometheus 127.0.0.1:@PORT4@
    whoami
}
"""


def start(program, folder, corefile=COREFILE, *flags):
    (folder / "manifests").mkdir(exist_ok=True)
    (folder / "manifests" / "web.yaml").write_text(MANIFEST)
    return Server(program, folder, corefile, "-workers", "2", *flags)


@pytest.fixture(scope="module")
def server(signpost, tmp_path_factory):
    with start(signpost, tmp_path_factory.mktemp("server")) as s:
        yield s


def replies_until_ping(server, *wires):
    """What came back for these, and then for a good query: one socket, so one worker and in order."""
    ping = query(WEB, ident=9).to_wire()
    got = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.connect(("127.0.0.1", server.port))
        for wire in (*wires, ping):
            sock.send(wire)
        while not got or got[-1][:2] != b"\0\x09":
            got.append(sock.recv(65535))
    assert parse(got[-1]).rcode() == 0
    return got[:-1]


# ---- acceptance ----

def test_silence(server):
    whole = query(WEB).to_wire()
    response = header(flags=0x8100) + question(WEB)
    assert replies_until_ping(server, *(whole[:n] for n in range(12)), response) == []


@pytest.mark.parametrize("opcode", [1, 2, 3, 5, 6, 15])
def test_other_opcodes(server, opcode):
    wire = header(flags=opcode << 11) + question(WEB)
    assert server.udp(wire) == header(flags=0x8000 | opcode << 11 | 4, qd=0)
    if opcode in (1, 5):
        wire = header(flags=opcode << 11 | 0x0100) + question(WEB)
        assert server.udp(wire) == header(flags=0x8100 | opcode << 11 | 4, qd=0)


OPT = opt()
A_RECORD = question(WEB) + struct.pack("!IH", 5, 4) + b"\x0a\0\0\1"
FORMERR = {
    "no question": header(qd=0),
    "no question, bytes behind": header(qd=0) + question(WEB),
    "two questions": header(qd=2) + question(WEB) * 2,
    "two answers": header(an=2) + question(WEB) + A_RECORD * 2,
    "two authorities": header(ns=2) + question(WEB) + A_RECORD * 2,
    "three additionals": header(ar=3) + question(WEB) + A_RECORD * 3,
    "name runs out": header() + b"\x05abc",
    "label of 64": header() + b"\x40" + b"a" * 64 + b"\0\0\1\0\1",
    "name of 256": header() + (b"\x3f" + b"a" * 63) * 4 + b"\0\0\1\0\1",
    "no class": header() + question(WEB)[:-2],
    "pointer to itself": header() + b"\xc0\x0c\0\1\0\1",
    "additional runs out": header(ar=1) + question(WEB) + OPT[:-1],
    "options run out": header(ar=1) + question(WEB) + OPT[:-1] + b"\5\0\3\0\7a",
    "garbage": header() + bytes(range(192, 256)),
}


@pytest.mark.parametrize("case", FORMERR)
def test_formerr(server, case):
    for reply in (server.udp(FORMERR[case]), server.tcp(FORMERR[case])):
        assert reply == header(flags=0x8101, qd=0)


def test_header_alone(server):
    assert server.udp(header()) == header(flags=0x8102, qd=0)


def good(wire):
    reply = parse(wire)
    return reply.rcode() == 0 and records(reply.answer) == [(WEB, 5, "A", "10.96.0.10")]


ACCEPTED = {
    "plain": header() + question(WEB),
    "bytes behind": header() + question(WEB) + b"trailing",
    "one answer": header(an=1) + question(WEB) + A_RECORD,
    "one authority": header(ns=1) + question(WEB) + A_RECORD,
    "a record and an OPT": header(ar=2) + question(WEB) + A_RECORD + OPT,
    "two OPTs": header(ar=2) + question(WEB) + OPT * 2,
    "no RD": header(flags=0) + question(WEB),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_accepted(server, case):
    for reply in (server.udp(ACCEPTED[case]), server.tcp(ACCEPTED[case])):
        assert good(reply)


def padded(size):
    """A query of so many bytes. The reply has the padding, too: 65000 makes room for it."""
    bare = len(header() + question(WEB) + opt(options=[(12, b"")]))
    return header(ar=1) + question(WEB) + opt(65000, options=[(12, bytes(size - bare))])


@pytest.mark.parametrize("size", [600, 1232, 4096])
def test_large_padded_query(server, size):
    assert len(padded(size)) == size
    assert good(server.udp(padded(size)))


def test_longer_than_the_buffer(server):
    """Cut by UDP, so malformed; whole by TCP."""
    assert server.udp(padded(4097)) == header(flags=0x8101, qd=0)
    assert good(server.tcp(padded(4097)))
    assert good(server.tcp(padded(60000)))


def test_flags(server):
    """RD and CD are copied; TC, RA, Z and AD of a query mean nothing."""
    for flags in (0x0000, 0x0100, 0x0010, 0x0110, 0x07b0 & ~0x0400):
        reply = server.udp(header(flags=flags) + question(WEB))
        assert struct.unpack("!H", reply[2:4])[0] == 0x8400 | flags & 0x0110
        assert good(reply)


def test_notify(server):
    """Goes down the chain like a query."""
    reply = parse(server.udp(header(flags=4 << 11) + question("cluster.local.", 6)))
    assert reply.opcode() == dns.opcode.NOTIFY and reply.rcode() == 0


@pytest.mark.parametrize("rdclass", [3, 4, 254, 255, 0, 7])
def test_class(server, rdclass):
    reply = server.udp(header() + question(WEB, 1, rdclass))
    assert reply == header(flags=0x8105) + question(WEB, 1, rdclass)


def test_case_is_echoed(server):
    rand = random.Random(1)
    for _ in range(20):
        name = "".join(rand.choice((c.lower(), c.upper())) for c in WEB)
        wire = server.udp(header() + question(name))
        assert wire[12:12 + len(question(name))] == question(name)
        reply = parse(wire)
        assert reply.answer[0].name.to_text() == name


def test_root_and_longest_names(server):
    longest = ".".join(["a" * 63] * 3 + ["b" * 61]) + "."
    for name in (".", longest):
        assert server.ask(name).rcode() == dns.rcode.SERVFAIL  # nobody below kubernetes
    assert "no next plugin found" in server.log()


def test_whoami(server):
    reply = server.ask("x.other.test.")
    assert not reply.answer and reply.flags & dns.flags.AA
    assert records(reply.additional)[0] == ("x.other.test.", 0, "A", "127.0.0.1")
    owner, _, rdtype, rdata = records(reply.additional)[1]
    assert (owner, rdtype) == ("_udp.x.other.test.", "SRV")
    assert rdata.startswith("0 0 ") and rdata.endswith(" .")


# ---- EDNS ----

@pytest.mark.parametrize("version", [1, 255])
@pytest.mark.parametrize("name", [WEB, "nowhere.", "other.test."])
def test_badvers(server, name, version):
    """Decided before any zone is looked at. The upper bits of the rcode are the OPT's."""
    asked = server.udp(header(ar=1) + question(name) + opt(version=version))
    assert asked == header(flags=0x8100, ar=1) + question(name) + b"\0\0\x29\0\0\1\0\0\0\0\0"


def test_options_echoed(server):
    options = [(3, b""), (9, b"\0\0\0\1"), (10, b"12345678"), (11, b""), (12, bytes(20)),
               (8, b"\0\1\x18\0\x0a\0\1"), (65001, b"x"), (15, b"\0\1")]
    reply = server.ask(WEB, use_edns=0, payload=1232,
                       options=[dns.edns.GenericOption(c, d) for c, d in options])
    assert [(int(o.otype), o.to_wire()) for o in reply.options] == options[:5]


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize("flags", [0, 0x8000, 0xffff, 0x7fff])
def test_opt_of_reply(server, flags, tcp):
    """Size and DO are copied, other flags are not."""
    wire = header(ar=1) + question(WEB) + opt(1432, flags)
    reply = parse(server.tcp(wire) if tcp else server.udp(wire))
    assert (reply.edns, reply.payload, reply.ednsflags) == (0, 1432, flags & 0x8000)
    assert server.ask(WEB, tcp=tcp).edns == -1


def test_small_sizes(server):
    """Below 512 counts as 512, but the small number is echoed."""
    reply = server.ask("other.test.", use_edns=0, payload=100)
    assert reply.payload == 100 and not reply.flags & dns.flags.TC
    assert len(reply.additional) == 2


def test_opt_with_errors(server):
    reply = server.ask(WEB, rdclass="CH", use_edns=0, payload=1232)
    assert reply.rcode() == dns.rcode.REFUSED and reply.edns == 0 and reply.payload == 1232


# ---- TCP ----

def numbered(count):
    return [header(ident=i) + question(WEB) for i in range(count)]


@pytest.mark.parametrize("count", [5, 200, 2000])
def test_pipeline(server, count):
    with Connection(server.port) as c:
        writer = threading.Thread(target=c.send, args=numbered(count))
        writer.start() # replies are read meanwhile: 2000 may not fit into the buffers
        got = [c.receive() for _ in range(count)]
        writer.join()
    assert [struct.unpack("!H", g[:2])[0] for g in got] == list(range(count))
    assert all(good(g) for g in got)


def test_byte_by_byte(server):
    message = numbered(1)[0]
    with Connection(server.port) as c:
        c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in struct.pack("!H", len(message)) + message:
            c.write(bytes([byte]))
            time.sleep(0.001)
        assert good(c.receive())


def test_short_and_empty_frames(server):
    """No reply, and the connection stays."""
    with Connection(server.port) as c:
        c.send(b"", b"x", header()[:11], header(flags=0x8000) + question(WEB), *numbered(1))
        assert good(c.receive())


def test_reply_after_half_close(server):
    with Connection(server.port) as c:
        c.send(*numbered(3))
        c.sock.shutdown(socket.SHUT_WR)
        assert [good(c.receive()) for _ in range(3)] == [True] * 3
        with pytest.raises(EOFError):
            c.receive()


def test_many_connections(server):
    connections = [Connection(server.port) for _ in range(400)]
    for c in connections:
        c.send(*numbered(1))
    for c in reversed(connections):
        assert good(c.receive())
        c.sock.close()
    assert server.addresses(WEB) == ["10.96.0.10"]


def test_torn_connections(server):
    """Closed in the middle of a frame, or with replies unread."""
    for end in range(0, 40, 3):
        with Connection(server.port) as c:
            c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            c.send(*numbered(50))
            c.write((b"\0\x28" + numbered(1)[0])[:end])
    assert server.addresses(WEB, tcp=True) == ["10.96.0.10"]


def test_idle_connections_are_closed(server):
    """3 s until the first message, 10 s after one; looked at once a second."""
    with Connection(server.port) as silent, Connection(server.port) as asked:
        begin = time.monotonic()
        asked.send(*numbered(1))
        assert good(asked.receive())
        for c, least, most in ((silent, 2.9, 5), (asked, 9.9, 12.5)):
            c.sock.settimeout(15)
            assert c.sock.recv(1) == b""
            assert least < time.monotonic() - begin < most


def test_client_that_does_not_read(server):
    """It is not read from any more, long before its replies fill the memory."""
    before = server.memory_kb()
    with Connection(server.port) as c:
        c.sock.settimeout(0.5)
        frame = struct.pack("!H", len(numbered(1)[0])) + numbered(1)[0]
        with pytest.raises(TimeoutError):
            for _ in range(2000):
                c.write(frame * 1000)
        assert server.addresses(WEB) == ["10.96.0.10"]
    assert server.memory_kb() - before < 65536


# ---- sockets ----

def test_wildcard_answers_from_the_address_asked(signpost, tmp_path):
    """A connected socket hears nothing from another address."""
    corefile = ".:@PORT@ {\n    whoami\n}\n"
    with start(signpost, tmp_path, corefile) as s:
        for host in ("127.0.0.1", "127.0.0.77"):
            reply = parse(s.udp(query("x.").to_wire(), host=host))
            assert records(reply.additional)[0][2] == "A"
        if socket.has_ipv6 and ipv6_loopback():
            reply = parse(s.udp(query("x.").to_wire(), host="::1"))
            assert records(reply.additional)[0][2:] == ("AAAA", "::1")


def ipv6_loopback():
    with socket.socket(socket.AF_INET6) as sock:
        try:
            sock.bind(("::1", 0))
        except OSError:
            return False
        return True


def test_both_workers_answer(server):
    """The kernel spreads clients by their ports; every one gets its reply."""
    socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(64)]
    for number, sock in enumerate(socks):
        sock.settimeout(5)
        sock.connect(("127.0.0.1", server.port))
        sock.send(query(WEB, ident=number).to_wire())
    for number, sock in enumerate(socks):
        reply = sock.recv(4096)
        assert good(reply) and reply[:2] == struct.pack("!H", number)
        sock.close()
    _, page = http_get(server.numbered(4), "/metrics")
    assert "process_cpu_seconds_total" in page


# ---- the process ----

LAMEDUCK = COREFILE.replace("@PORT2@", "@PORT2@ {\n        lameduck 1s\n    }")


def test_lameduck(signpost, tmp_path):
    with start(signpost, tmp_path, LAMEDUCK) as s:
        health, ready = s.numbered(2), s.numbered(3)
        assert http_get(ready, "/ready") == (200, "OK")
        begin = time.monotonic()
        s.process.send_signal(signal.SIGTERM)
        s.wait_log("Going into lameduck mode for 1s")
        assert http_get(ready, "/ready") == (503, "Shutting down")
        assert http_get(health, "/health") == (200, "OK")
        asked = 0
        while time.monotonic() - begin < 0.9:
            assert s.addresses(WEB, tcp=asked % 2 == 1) == ["10.96.0.10"]
            asked += 1
        assert asked > 10
        assert s.process.wait(10) == 0
        assert 1 <= time.monotonic() - begin < 4


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals(signpost, tmp_path, number):
    pidfile = tmp_path / "pid"
    with start(signpost, tmp_path, COREFILE, "-pidfile", str(pidfile)) as s:
        s.until(WEB, ["10.96.0.10"])
        deadline = time.monotonic() + 5  # it is written a moment after the first answer
        while not pidfile.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert int(pidfile.read_text()) == s.process.pid
        with Connection(s.port) as c: # an open connection does not hold it up
            begin = time.monotonic()
            assert s.stop(number) == 0
            assert time.monotonic() - begin < 2
            assert c.sock.recv(1) == b""
        assert not pidfile.exists()


def test_failed_start_does_not_wait(signpost, tmp_path):
    """A listener that cannot be opened: status 1 at once, lameduck or not."""
    corefile = LAMEDUCK.replace("lameduck 1s", "lameduck 20s").replace("bind 127.0.0.1",
                                                                       "bind 192.0.2.1")
    (tmp_path / "manifests").mkdir()
    s = Server(signpost, tmp_path, corefile, wait=False)
    assert s.process.wait(10) == 1
    assert "listen udp 192.0.2.1:%d: Cannot assign requested address" % s.port in s.log()


def test_start_lines(signpost, tmp_path):
    corefile = "b.test:@PORT@ a.test:%d {\n    bind 127.0.0.1\n}\n.:@PORT@ {\n bind 127.0.0.1\n}\n"
    corefile %= (other := free_port())
    with start(signpost, tmp_path, corefile) as s:
        s.wait_log("signpost-")
        lines = [line for line in s.log().splitlines() if not line.startswith("[INFO] guard: ")]
        assert lines[:3] == [".:%d on 127.0.0.1" % s.port, "b.test.:%d on 127.0.0.1" % s.port,
                             "a.test.:%d on 127.0.0.1" % other]
        assert lines[3].startswith("signpost-")
        assert s.ask("x.b.test.").rcode() == dns.rcode.REFUSED  # keys without plugins
    with start(signpost, tmp_path, corefile, "-quiet") as s: # but for what is not to be had here
        assert [line for line in s.log().splitlines() if not line.startswith("[INFO] guard: ")] == []


def test_health_and_ready_pages(server):
    health, ready = server.numbered(2), server.numbered(3)
    assert http_get(health, "/health") == (200, "OK")
    assert http_get(ready, "/ready") == (200, "OK")
    assert http_get(health, "/")[0] == http_get(ready, "/health")[0] == 404
    assert http_get(health, "/health", "POST")[0] == 405


def test_case_of_a_reply_over_tcp_and_udp_is_one(server):
    """loadbalance and both transports give the same bytes for a single record."""
    wire = query(WEB).to_wire()
    assert server.udp(wire) == server.tcp(wire)
