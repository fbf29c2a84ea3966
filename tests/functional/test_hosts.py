"""`hosts`: what the vector set does not show, above all a file that changes under way."""
import re
import subprocess
import time

import dns.rcode
import pytest
from forward_world import free_port, start, wait_for  # noqa: F401  a fixture


def addresses(server, name, rdtype="A"):
    got = server.ask(name, rdtype)
    return [r.to_text() for rrset in got.answer for r in rrset]


def sample(server, name):
    """One sample by name and labels; it must be there once."""
    return server.metric(re.escape(name), only=1)


BLOCK = """.:@PORT@ {
    bind 127.0.0.1
    errors
    prometheus @METRICS@
    hosts table %s {
        %s
    }
    whoami
}
"""


def test_a_file_that_changes(start, tmp_path):
    path = tmp_path / "table"
    path.write_text("10.0.0.1 a.test\n")
    server = start(BLOCK % ("", "reload 50ms"))
    entries = 'coredns_hosts_entries{hostsfile="table"}'
    stamp = "coredns_hosts_reload_timestamp_seconds"
    assert addresses(server, "a.test.") == ["10.0.0.1"] and sample(server, entries) == 2
    first = sample(server, stamp)
    assert abs(first - path.stat().st_mtime) < 0.001
    path.write_text("10.0.0.2 a.test b.test\n10.0.0.3 a.test\n")
    wait_for(lambda: addresses(server, "a.test.") == ["10.0.0.2", "10.0.0.3"])
    assert addresses(server, "2.0.0.10.in-addr.arpa.", "PTR") == ["a.test.", "b.test."]
    assert sample(server, entries) == 6 and sample(server, stamp) > first
    new = tmp_path / "new"
    new.write_text("10.0.0.4 a.test\n")
    new.rename(path)
    wait_for(lambda: addresses(server, "a.test.") == ["10.0.0.4"])
    path.unlink()
    time.sleep(0.2)
    assert addresses(server, "a.test.") == ["10.0.0.4"]  # what was known stays
    path.write_text("")
    wait_for(lambda: server.ask("a.test.").rcode() == dns.rcode.SERVFAIL)


def test_reload_0_reads_once(start, tmp_path):
    (tmp_path / "table").write_text("10.0.0.1 a.test\n")
    server = start(BLOCK % ("", "reload 0"))
    (tmp_path / "table").write_text("10.0.0.2 a.test\n")
    time.sleep(0.3)
    assert addresses(server, "a.test.") == ["10.0.0.1"]


def test_answers_hold_while_the_table_is_replaced(start, tmp_path):
    """Readers run at full speed over a table that is exchanged again and again."""
    path = tmp_path / "table"
    names = " ".join("n%d.test" % i for i in range(500))
    path.write_text("10.0.0.1 %s\n" % names)
    server = start(BLOCK % ("", "reload 1ms"))
    for round_ in range(30):
        new = tmp_path / "new"
        new.write_text("10.0.%d.1 %s\n" % (round_, names))
        new.rename(path)
        for i in range(0, 500, 25):
            assert re.fullmatch(r"10\.0\.\d+\.1", addresses(server, "n%d.test." % i)[0])


def test_a_file_that_appears_later(start, tmp_path):
    server = start(BLOCK % ("", "reload 50ms\n 10.0.0.9 inline.test"))
    assert "[WARNING] plugin/hosts: File does not exist: table" in server.log.read_text()
    assert addresses(server, "inline.test.") == ["10.0.0.9"]
    (tmp_path / "table").write_text("10.0.0.1 a.test inline.test\n")
    wait_for(lambda: addresses(server, "a.test.") == ["10.0.0.1"])
    assert addresses(server, "inline.test.") == ["10.0.0.1", "10.0.0.9"]


def test_lines_that_cannot_be_read_are_named(start, tmp_path):
    (tmp_path / "table").write_bytes(
        b"# comment\n\n10.0.0.1\nbananas and apples\n10.0.0.2 a..b good.test # x\r\n"
        b"10.0.0.3 last.test\0junk\n::ffff:10.0.0.4 mapped.test")
    server = start(BLOCK % ("", "no address\n 10.0.0.5 in.test"))
    text = server.log.read_text()
    assert "plugin/hosts: table: 3 lines are not" in text and "the first is line 3" in text
    assert re.search(r"Corefile:6, lines of hosts: 1 lines are not", text)
    assert addresses(server, "good.test.") == ["10.0.0.2"]
    assert addresses(server, "mapped.test.") == ["10.0.0.4"]
    assert addresses(server, "4.0.0.10.in-addr.arpa.", "PTR") == ["mapped.test."]
    assert addresses(server, "in.test.") == ["10.0.0.5"]


def test_zones_and_reverse_names(start, tmp_path):
    (tmp_path / "table").write_text("10.0.0.1 a.in.test a.out.test\n10.0.0.2 *.in.test\n")
    server = start(BLOCK % ("in.test", ""))
    assert addresses(server, "a.in.test.") == ["10.0.0.1"]
    assert addresses(server, "b.in.test.") == ["10.0.0.2"]
    assert server.ask("c.b.in.test.").rcode() == dns.rcode.SERVFAIL
    assert server.ask("a.out.test.").additional  # whoami
    assert addresses(server, "1.0.0.10.in-addr.arpa.", "PTR") == ["a.in.test."]
    assert server.ask("2.0.0.10.in-addr.arpa.", "PTR").additional  # no names for wildcards
    assert sample(server, 'coredns_hosts_entries{hostsfile="table"}') == 3


@pytest.mark.parametrize("options, other, unknown", [
    ("", "answered", "failed"), ("fallthrough", "answered", "passed"),
    ("fallthrough other.test", "answered", "failed"),
    ("fallthrough\nfallthrough_unsupported", "passed", "passed"),
])
def test_what_falls_through(start, tmp_path, options, other, unknown):
    (tmp_path / "table").write_text("10.0.0.1 a.test\n")
    server = start(BLOCK % ("", options))

    def outcome(name, rdtype):
        got = server.ask(name, rdtype)
        if got.rcode() == dns.rcode.SERVFAIL:
            return "failed"
        return "passed" if got.additional else "answered"
    assert outcome("a.test.", "A") == "answered"
    assert outcome("a.test.", "AAAA") == "answered"
    assert outcome("a.test.", "TXT") == other
    assert outcome("b.test.", "A") == unknown
    assert outcome("b.test.", "TXT") == unknown
    assert outcome("9.0.0.10.in-addr.arpa.", "PTR") == "passed"


def test_two_blocks_with_one_file(start, tmp_path):
    (tmp_path / "table").write_text("10.0.0.1 a.test b.example\n")
    server = start((BLOCK + BLOCK.replace(".:@", "example:@")) % ("", "", "", "ttl 7"))
    assert addresses(server, "a.test.") == ["10.0.0.1"]
    assert server.ask("b.example.").answer[0].ttl == 7
    assert sample(server, 'coredns_hosts_entries{hostsfile="table"}') in (2, 4)


def test_a_large_file(start, tmp_path):
    with (tmp_path / "table").open("w") as table:
        for i in range(200000):
            table.write("10.%d.%d.%d n%d.big.test\n" % (i >> 16, i >> 8 & 255, i & 255, i))
        table.writelines("10.9.%d.%d many.test\n" % (i >> 8, i & 255) for i in range(5000))
    server = start(BLOCK % ("", ""))
    assert addresses(server, "n199999.big.test.") == ["10.3.13.63"]
    assert addresses(server, "63.13.3.10.in-addr.arpa.", "PTR") == ["n199999.big.test."]
    assert "1000 entries are left out" in server.log.read_text()
    got = server.ask("many.test.", tcp=True)
    assert sum(len(rrset) for rrset in got.answer) == 4000


@pytest.mark.parametrize("options, words", [
    ("ttl 0", "ttl provided is invalid"), ("ttl x", "ttl needs a number"),
    ("ttl", "ttl needs a time"),
    ("ttl 65536", "ttl provided is invalid"),
    ("reload often", "invalid duration for reload 'often'"),
    ("reload -1s", "invalid negative duration"), ("reload", "reload needs a duration"),
    ("no_reverse at all", "after 'at'"), ("fallthrough_unsupported", "needs fallthrough"),
    ("fallthrough\n192.0.2.1 a.test", "unknown property '192.0.2.1'"),
])
def test_options_that_are_refused(signpost, tmp_path, options, words):
    text = BLOCK.replace("@PORT@", str(free_port())).replace("@METRICS@", "")
    (tmp_path / "Corefile").write_text(text % ("", options))
    ran = subprocess.run([signpost, "dns", "-conf", "Corefile"], cwd=tmp_path, timeout=20,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, check=False)
    assert ran.returncode == 1 and words in ran.stdout, ran.stdout
    assert re.search(r"plugin/hosts: Corefile:\d - Error during parsing", ran.stdout)
