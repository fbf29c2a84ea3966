"""`view`, `timeouts` and `multisocket`: which block a query goes to, and how long connections live."""
import re
import signal
import time

import pytest

from dns_world import Connection, Server, http_get, query, run_until_end, write_whole

BLOCK = """
v.test:@PORT@ {
    bind 127.0.0.1
    metadata
    view %s {
        expr %s
    }
    template IN ANY . {
        answer "{{ .Name }} 5 IN TXT %s"
    }
}
"""
LAST = BLOCK.replace("    metadata\n    view %s {\n        expr %s\n    }\n", "") % "rest"


def texts(server, name="x.v.test.", **more):
    return server.addresses(name, "TXT", **more)


EXPRESSIONS = [
    ("true", True), ("false", False), ("!false && not false", True), ("true || false && false", True),
    ("(true or false) and false", False), ("!(1 == 2)", True), ("1 < 2 && 2 <= 2 && 3 > 2", True),
    ("2 >= 3", False), ("'a' < 'b' && 'ab' > 'a'", True), ("'it\\'s' == 'it\\'s'", True),
    ("name() == 'x.v.test.'", True), ("name() endsWith '.v.test.'", True),
    ("name() startsWith 'x.' and name() contains 'v.t'", True), ("name() contains 'X'", False),
    ("name() matches '^x[.].*[.]$'", True), ("not (name() matches 'y')", True),
    ("type() in ['A', 'TXT']", True), ("type() not in ['A', 'TXT']", False), ("id() in [1, 4711]", True),
    ("class() == 'IN' && proto() == 'udp'", True), ("opcode() == 0", True), ("size() == 26", True),
    ("client_ip() == '127.0.0.1' && server_ip() == '127.0.0.1'", True),
    ("port() != '0' && server_port() != port()", True), ("bufsize() == 512 && !do()", True),
    ("incidr(client_ip(), '127.0.0.0/8')", True), ("incidr(client_ip(), '128.0.0.0/8')", False),
    ("incidr(server_ip(), '::/0')", False), ("incidr('10.1.2.3', '10.1.0.0/16')", True),
    ("incidr(name(), '10.1.0.0/16')", False), ("metadata('nope/nope') == ''", True),
]


@pytest.mark.parametrize("expression, wanted", EXPRESSIONS)
def test_expression(signpost, tmp_path, expression, wanted):
    with Server(signpost, tmp_path, BLOCK % ("a", expression, "first") + LAST) as server:
        assert texts(server) == ['"first"' if wanted else '"rest"']


@pytest.mark.parametrize("expression, words", [
    ("banana() == 1", "unknown name 'banana'"), ("client_ip( == 1", "'=='"), ("name()", "neither true"),
    ("type() == 1", "do not fit"), ("port() == 53", "ports"), ("true < false", "do not fit"),
    ("1 + 1 == 2", "'+'"), ("name() matches type()", "regular expression"),
    ("name() matches '('", "matches '('"), ("type() in ['A', 1]", "another type"),
    ("type() in 'A'", "'['"), ("incidr(client_ip())", "2 arguments"), ("name('x') == 'y'", "0 arguments"),
    ("incidr(client_ip(), 'x')", "not a network"), ("incidr(1, '10.0.0.0/8')", "takes texts"),
    ("'a == 'b'", "'b' stands"), ("name() == 'a", "not closed"), ("true &&", "missing"), ("true true", "'true'"), ("!id()", "negated"),
    ("1 && true", "both sides"), ("99999999999999999999 == 1", "not a number"),
    ("(" * 70 + "true" + ")" * 70, "deeper"), ("!" * 70 + "true", "deeper"),
])
def test_refused_expression(signpost, tmp_path, expression, words):
    text = (BLOCK % ("a", expression, "x")).replace("@PORT@", "5300")
    code, output = run_until_end(signpost, tmp_path, text)
    assert code == 1 and words in output and "Corefile:6 - " in output, output


def test_order_and_shorter_zones(signpost, tmp_path):
    corefile = (BLOCK % ("a", "name() startsWith 'a'", "a") + BLOCK % ("b", "name() contains 'b'", "b") +
                LAST.replace("v.test", "test"))
    # Enough zones that they are found through a table.
    many = "".join(LAST.replace("v.test", "z%d.v.test" % i) for i in range(12))
    for text in (corefile, corefile + many):
        with Server(signpost, tmp_path, text) as server:
            assert texts(server, "ab.v.test.") == ['"a"']
            assert texts(server, "b.v.test.") == ['"b"']
            assert texts(server, "c.v.test.") == ['"rest"']


def test_view_is_a_label(signpost, tmp_path):
    block = (BLOCK % ("inside", "metadata('view/name') == 'inside'", "in")).replace(
        "    metadata\n", "    metadata\n    prometheus 127.0.0.1:@PORT2@\n    acl {\n        allow\n    }\n")
    with Server(signpost, tmp_path, block) as server:
        assert texts(server) == ['"in"']
        metrics = http_get(server.numbered(2), "/metrics")[1]
    for name in ("dns_requests_total", "dns_responses_total", "template_matches_total",
                 "acl_allowed_requests_total"):
        lines = [line for line in metrics.splitlines() if line.startswith("coredns_" + name)]
        assert lines and all('view="inside"' in line for line in lines), metrics


def test_a_block_that_is_never_reached(signpost, tmp_path):
    text = (LAST + BLOCK % ("a", "true", "a")).replace("@PORT@", "5300")
    code, output = run_until_end(signpost, tmp_path, text)
    assert code == 1 and "it is already defined" in output, output


LIMITS = ".:@PORT@ {\n    bind 127.0.0.1\n    %s\n    whoami\n}\n"


def ended_after(sock):
    began = time.monotonic()
    sock.settimeout(10)
    while sock.recv(4096):
        pass
    return time.monotonic() - began


def test_timeouts(signpost, tmp_path):
    block = "timeouts {\n        read 1s\n        idle 2s\n    }"
    with Server(signpost, tmp_path, LIMITS % block) as server:
        with Connection(server.port) as fresh:
            assert 0.9 < ended_after(fresh.sock) < 2.9
        with Connection(server.port) as used:
            used.send(query("a.test.").to_wire())
            assert used.receive()
            assert 1.9 < ended_after(used.sock) < 3.9


def test_queries_of_a_connection(signpost, tmp_path):
    with Server(signpost, tmp_path, LIMITS % "timeouts {\n        maxtcpqueries 2\n    }") as server:
        with Connection(server.port) as c:
            for _ in range(2):
                c.send(query("a.test.").to_wire())
                assert c.receive()
            assert ended_after(c.sock) < 1


@pytest.mark.parametrize("line, words", [
    ("timeouts {\n read 0.5s\n }", "between 1s and 24h"), ("timeouts {\n idle 25h\n }", "between"),
    ("timeouts {\n write x\n }", "duration"), ("timeouts {\n bananas 1s\n }", "bananas"),
    ("timeouts {\n }", "no timeouts"), ("timeouts 1s", "Wrong argument"),
    ("timeouts {\n maxtcpqueries 0\n }", "above zero"), ("multisocket 0", "zero"),
    ("multisocket 1025", "maximum (1024)"), ("multisocket x", "invalid"),
    ("multisocket 1 2", "Wrong argument"),
])
def test_refused_options(signpost, tmp_path, line, words):
    code, output = run_until_end(signpost, tmp_path, (LIMITS % line).replace("@PORT@", "5300"))
    assert code == 1 and words in output and re.search(r"Corefile:\d+ - ", output), output


def sockets(server, table):
    port = ":%04X " % server.port
    with open("/proc/net/" + table, encoding="ascii") as lines:
        return sum("0100007F" + port in line and " 00000000:0000 " in line for line in lines)


@pytest.mark.parametrize("line, workers, wanted", [
    ("multisocket 5", 2, 5), ("multisocket 1", 2, 2), ("multisocket", 3, 3), ("multisocket 7", 1, 7),
])
def test_sockets(signpost, tmp_path, line, workers, wanted):
    with Server(signpost, tmp_path, LIMITS % line, "-workers", str(workers)) as server:
        assert sockets(server, "udp") == wanted and sockets(server, "tcp") == wanted
        for _ in range(20):  # from as many ports: all sockets have their share
            assert server.ask("a.test.", tcp=False).id == 4711
        for _ in range(20):
            assert server.ask("a.test.", tcp=True).id == 4711


def test_sockets_change_with_a_reload(signpost, tmp_path):
    with Server(signpost, tmp_path, LIMITS % "multisocket 5", "-workers", "2") as server:
        for line, wanted in (("multisocket 8", 8), ("multisocket 3", 3), ("errors", 2)):
            text = (LIMITS % line).replace("@PORT@", str(server.port))
            write_whole(server.path, text)
            server.process.send_signal(signal.SIGUSR1)
            end = time.monotonic() + 5
            while sockets(server, "udp") != wanted or sockets(server, "tcp") != wanted:
                assert time.monotonic() < end, server.log()
                time.sleep(0.01)
            for _ in range(20):
                assert server.ask("a.test.").id == 4711
