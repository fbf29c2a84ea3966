"""Options of errors, loadbalance, health and prometheus."""
import collections
import contextlib
import re
import socket
import time

import dns.rcode
import pytest

from dns_world import Server, free_port, http_get, query, records, run_until_end, parse, write_whole

REFUSED = r"read udp 127\.0\.0\.1:\d+->127\.0\.0\.1:\d+: read: connection refused"


def refused(name):
    return r"2 %s A: %s" % (re.escape(name), REFUSED)


# ---- errors ----

ERRORS = """.:@PORT@ {
    bind 127.0.0.1
    errors {
        stacktrace
        %s
    }
    forward . 127.0.0.1:@PORT2@
}
"""


def ask_all(server, *names):
    for name in names:
        assert server.ask(name).rcode() == dns.rcode.SERVFAIL


def lines(server):
    return [line for line in server.log().splitlines() if "plugin/errors" in line]


def test_errors_alike_are_counted(signpost, tmp_path):
    options = 'consolidate 300ms "nothing like it"\nconsolidate 400ms ".*refused$"'
    with Server(signpost, tmp_path, ERRORS % options, "-workers", "2") as s:
        ask_all(s, "a.", "b.", "c.", "d.")
        assert not lines(s)
        wanted = "[ERROR] plugin/errors: 4 errors like '.*refused$' occurred in last 400ms"
        s.wait_log(wanted)
        ask_all(s, "e.")
        s.wait_log("plugin/errors: 1 errors like '.*refused$' occurred in last 400ms")
        assert len(lines(s)) == 2


def test_errors_without_a_pattern_are_printed(signpost, tmp_path):
    with Server(signpost, tmp_path, ERRORS % 'consolidate 1h "^nothing"') as s:
        ask_all(s, "a.x.", "b.x.")
    assert len(lines(s)) == 2
    assert re.fullmatch(r"\[ERROR\] plugin/errors: " + refused("a.x."), lines(s)[0])


def test_show_first_and_level(signpost, tmp_path):
    options = "consolidate 300ms refused warning show_first"
    with Server(signpost, tmp_path, ERRORS % options) as s:
        ask_all(s, "a.", "b.", "c.")
        s.wait_log("[WARNING] plugin/errors: 3 errors like 'refused' occurred in last 300ms")
        ask_all(s, "d.")
        time.sleep(0.5)  # one alone was shown, and needs no summary
        first, second, third = lines(s)
        assert re.fullmatch(r"\[WARNING\] plugin/errors: " + refused("a."), first)
        assert "3 errors" in second and " 2 d. A: " in third


@pytest.mark.parametrize("period, text", [("90m", "1h30m0s"), ("1500ms", "1.5s"), ("5m", "5m0s"),
                                          ("30s", "30s"), ("26h", "26h0m0s")])
def test_pending_counts_at_the_end(signpost, tmp_path, period, text):
    options = "consolidate %s refused info" % period
    with Server(signpost, tmp_path, ERRORS % options) as s:
        ask_all(s, "a.", "b.")
        assert s.stop() == 0
        assert lines(s) == [
            "[INFO] plugin/errors: 2 errors like 'refused' occurred in last " + text]


@pytest.mark.parametrize("options, words", [
    ("errors {\n consolidate\n }", "after 'consolidate'"),
    ("errors {\n consolidate 5m\n }", "after '5m'"),
    ("errors {\n consolidate often x\n }", "consolidate needs a duration: often"),
    ("errors {\n consolidate 5m x warn\n }", "unknown option in consolidate: warn"),
    ("errors {\n consolidate 5m x show_first error\n }", "log level must come before show_first"),
    ("errors {\n consolidate 5m x error show_first y\n }", "after 'y'"),
    ("errors {\n consolidate 5m (x\n }", "invalid regular expression \"(x\""),
    ("errors {\n consolidate 5m @LONG@\n }", "longer than 10000 characters"),
    ("errors {\n stacktrace x\n }", "after 'x'"),
    ("errors {\n nosuch\n }", "unknown property 'nosuch'"),
    ("errors file", "invalid log file: file"),
    ("loadbalance weighted", "missing weight file argument"),
    ("loadbalance weighted f x", "unexpected argument(s)"),
    ("loadbalance weighted f {\n reload 5\n }", "invalid reload duration '5'"),
    ("loadbalance weighted f {\n reload\n }", "reload duration value is missing"),
    ("loadbalance weighted f {\n prefer 10.0.0.0/8\n }", "unknown property 'prefer'"),
    ("loadbalance {\n reload 5s\n }", "unknown property 'reload'"),
    ("loadbalance {\n prefer 10.0.0.1\n }", 'invalid CIDR "10.0.0.1"'),
    ("loadbalance {\n prefer\n }", "after 'prefer'"),
    ("loadbalance random", "unknown policy: random"),
    ("prometheus {\n runtime_metrics\n }", "take the line out"),
    ("prometheus {\n tls web.yml\n }", "option 'tls' is not supported"),
    ("prometheus {\n nosuch\n }", "unknown property 'nosuch'"),
])
def test_refused(signpost, tmp_path, options, words):
    corefile = ". {\n bind 127.0.0.1\n %s\n whoami\n}\n" % options.replace("@LONG@", 10001 * "x")
    status, output = run_until_end(signpost, tmp_path, corefile, "-dns.port", str(free_port()))
    assert status == 1 and words in output, output
    assert re.search(r"plugin/\w+: Corefile:\d - Error during parsing: ", output)


# ---- loadbalance ----

TABLE = """10.0.0.1 a.test b.test
10.0.0.2 a.test b.test
10.1.0.3 a.test b.test
10.1.0.4 a.test b.test
2001:db8::1 a.test
2001:db8::2 a.test
"""
BALANCE = """.:@PORT@ {
    bind 127.0.0.1
    loadbalance %s
    hosts @DIR@/table
}
"""


def orders(server, name, count=200, rdtype="A"):
    """How often each order of addresses came; from the bytes, as dnspython shuffles sets."""
    return collections.Counter(
        tuple(r[3] for r in records(server.ask(name, rdtype).answer)) for _ in range(count))


@pytest.fixture(name="table")
def table_fixture(tmp_path):
    (tmp_path / "table").write_text(TABLE)
    return tmp_path


def test_weighted(signpost, table):
    (table / "weights").write_text("# comment\nA.Test\n\n 10.0.0.2 200\n10.1.0.4\t50\n"
                                   "2001:db8::2 1\n2001:DB8:0::2 255\n")
    with Server(signpost, table, BALANCE % "weighted weights") as s:
        found = orders(s, "A.TEST.", 1000)
        chosen = {order[0]: count for order, count in found.items()}
        assert len(found) == len(chosen)  # the rest of the order depends on nothing else
        assert chosen["10.0.0.2"] > 650 and 100 < chosen["10.1.0.4"] < 350
        assert sum(chosen.get(a, 0) for a in ("10.0.0.1", "10.1.0.3")) < 50
        assert ("10.0.0.2", "10.0.0.1", "10.1.0.3", "10.1.0.4") in found
        assert ("10.1.0.4", "10.0.0.2", "10.1.0.3", "10.0.0.1") in found
        assert orders(s, "a.test.", 300, "AAAA")[("2001:db8::2", "2001:db8::1")] > 280
        assert {order[0]: 60 < n < 140 for order, n in orders(s, "b.test.", 400).items()} == {
            "10.0.0.1": True, "10.0.0.2": True, "10.1.0.3": True, "10.1.0.4": True}


def mostly(server, address):
    return sum(n for order, n in orders(server, "a.test.").items() if order[0] == address) > 150


def test_weights_are_read_again(signpost, table):
    weights = table / "weights"
    with Server(signpost, table, BALANCE % "weighted weights {\n reload 20ms\n }") as s:
        s.wait_log("[WARNING] plugin/loadbalance: Failed to open weight file weights")
        for address in ("10.0.0.1", "10.1.0.3"):
            write_whole(weights, "a.test\n%s 255\n" % address)
            end = time.monotonic() + 3
            while not mostly(s, address):
                assert time.monotonic() < end, s.log()
        write_whole(weights, "a.test\n10.0.0.2 255\n10.0.0.1 256\n")
        s.wait_log('[ERROR] plugin/loadbalance: weight file weights:3: wrong weight value:"256"')
        time.sleep(0.1)
        assert mostly(s, "10.1.0.3") and s.log().count("wrong weight") == 1
        weights.unlink()
        time.sleep(0.1)
        assert mostly(s, "10.1.0.3") and s.log().count("Failed to open") == 2


def test_readers_while_weights_change(signpost, table):
    weights = table / "weights"
    write_whole(weights, "a.test\n10.0.0.1 1\n")
    corefile = BALANCE % "weighted weights {\n reload 1ms\n }"
    with Server(signpost, table, corefile, "-workers", "2") as s:
        for number in range(30):
            write_whole(weights, "a.test\n" + "".join(
                "10.0.%d.%d 9\n" % (number, i) for i in range(200)))
            assert all(len(order) == 4 for order in orders(s, "a.test.", 20))


@pytest.mark.parametrize("text, words", [
    ("10.0.0.1 3\n", "missing domain name"), ("a b c\n", "a name, or an address and its weight"),
    ("a\n10.0.0.1 0\n", 'wrong weight value:"0"'), ("a\n10.0.0 2\n", 'wrong IP address:"10.0.0"'),
    ("a..b\n", 'not a domain name:"a..b"'), ("@LARGE@", "are not read"),
])
def test_weights_that_cannot_be_read(signpost, table, text, words):
    (table / "weights").write_text(text.replace("@LARGE@", (4 << 20) * "#" + "\n"))
    corefile = (BALANCE % "weighted weights").replace("@PORT@", str(free_port()))
    status, output = run_until_end(signpost, table, corefile.replace("@DIR@", str(table)))
    assert status == 1 and words in output and "plugin/loadbalance: " in output, output


def test_prefer(signpost, table):
    options = "{\n prefer 10.1.0.0/16 192.0.2.0/24\n prefer 2001:db8::2/128\n }"
    with Server(signpost, table, BALANCE % options) as s:
        found = orders(s, "a.test.")
        assert len(found) == 4  # two orders of each half
        assert all(set(order[:2]) == {"10.1.0.3", "10.1.0.4"} for order in found)
        assert set(orders(s, "a.test.", 20, "AAAA")) == {("2001:db8::2", "2001:db8::1")}
        assert s.ask("a.test.", "TXT").rcode() == 0


# ---- health ----

HEALTH = """.:@PORT@ {
    bind 127.0.0.1
    health %s:@PORT2@
    prometheus 127.0.0.1:@PORT3@
    whoami
}
"""


def sample(server, name):
    page = http_get(server.numbered(3), "/metrics")[1]
    found = re.findall(r"^%s (\S+)$" % re.escape(name), page, re.M)
    assert len(found) == 1, page
    return float(found[0])


def wait_sample(server, name, least, seconds=8.0):
    end = time.monotonic() + seconds
    while sample(server, name) < least:
        assert time.monotonic() < end, server.log()
        time.sleep(0.05)


@pytest.mark.parametrize("address", ["127.0.0.1", "", "localhost"])
def test_health_asks_itself(signpost, tmp_path, address):
    with Server(signpost, tmp_path, HEALTH % address) as s:
        assert sample(s, "coredns_health_request_duration_seconds_count") == 0
        wait_sample(s, "coredns_health_request_duration_seconds_count", 1, 3)
        assert sample(s, "coredns_health_request_failures_total") == 0
        assert sample(s, 'coredns_health_request_duration_seconds_bucket{le="2.5"}') == 1


def hold(port, count):
    """Connections that say nothing: the page serves no more than 64 at a time."""
    stack = contextlib.ExitStack()
    for _ in range(count):
        stack.enter_context(socket.create_connection(("127.0.0.1", port), 5))
    return stack


def test_slow_and_failed_health(signpost, tmp_path):
    with Server(signpost, tmp_path, HEALTH % "127.0.0.1") as s:
        wait_sample(s, "coredns_health_request_duration_seconds_count", 1, 3)
        url = '"http://127.0.0.1:%d/health"' % s.numbered(2)
        with hold(s.numbered(2), 64):
            time.sleep(2.3)
        s.wait_log("[WARNING] plugin/health: Local health request to %s took more than 1s: " % url)
        assert sample(s, "coredns_health_request_failures_total") == 0
        with hold(s.numbered(2), 64):
            s.wait_log("Local health request to %s failed: timeout" % url, 6)
        assert sample(s, "coredns_health_request_failures_total") >= 1


# ---- prometheus ----

def test_process_metrics(signpost, tmp_path):
    before = time.time()
    with Server(signpost, tmp_path, HEALTH % "127.0.0.1") as s:
        assert before - 2 < sample(s, "process_start_time_seconds") < time.time() + 1
        assert 5 < sample(s, "process_open_fds") < sample(s, "process_max_fds")
        resident = sample(s, "process_resident_memory_bytes")
        assert 1 << 20 < resident < sample(s, "process_virtual_memory_bytes")
        assert sample(s, "process_virtual_memory_max_bytes") > 1 << 30
        first = sample(s, "process_cpu_seconds_total")
        for _ in range(50):
            s.ask("x.")
        assert sample(s, "process_cpu_seconds_total") > first
        page = http_get(s.numbered(3), "/metrics")[1]
        assert "# TYPE process_cpu_seconds_total counter\n" in page
        for name in ("start_time_seconds", "open_fds", "max_fds", "virtual_memory_bytes"):
            assert "# TYPE process_%s gauge\n" % name in page


def test_labels_are_escaped(signpost, tmp_path):
    corefile = (HEALTH % "127.0.0.1").replace(".:@PORT@", 'a\\\\"b.test:@PORT@')
    with Server(signpost, tmp_path, corefile) as s:
        page = http_get(s.numbered(3), "/metrics")[1]
        zone = re.search(r'coredns_plugin_enabled\{name="whoami",.*zone="(.*)"\} 1', page).group(1)
        assert re.fullmatch(r'(?:[^"\\]|\\\\|\\")*', zone) and "\\" in zone, zone


def test_plugins_that_see_queries(signpost, tmp_path):
    with Server(signpost, tmp_path, HEALTH % "127.0.0.1") as s:
        page = http_get(s.numbered(3), "/metrics")[1]
        assert re.findall(r'coredns_plugin_enabled\{name="(\w+)"', page) == ["prometheus", "whoami"]


def test_answers_stay_whole(signpost, tmp_path):
    """A reply without addresses, and one of another type, pass all of it."""
    (tmp_path / "table").write_text(TABLE)
    (tmp_path / "weights").write_text("a.test\n10.0.0.1 2\n")
    with Server(signpost, tmp_path, BALANCE % "weighted weights") as s:
        reply = parse(s.udp(query("1.0.0.10.in-addr.arpa.", "PTR").to_wire()))
        assert sorted(r[3] for r in records(reply.answer)) == ["a.test.", "b.test."]
        assert s.addresses("a.test.", "MX") == []
