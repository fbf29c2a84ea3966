"""The small plugins: lines that are refused, and the example of each one's page."""
import re

import dns.rcode
import pytest

from conftest import ROOT
from dns_world import free_port, run_until_end
from small_world import (CHAOS, NSID, ask_chaos, block, flags, option, options, outcomes, start,
                         zone)  # noqa: F401

NAMES = ("acl any bufsize cancel chaos debug dns64 erratic header local loop minimal nsid "
         "root").split()

# ---- refused Corefiles ----

REFUSED = [
    ("acl x..y {\nblock\n}", 3, "x..y"), ("acl {\npermit net *\n}", 4, '"permit"'),
    ("acl {\nblock net 1.2.3\n}", 4, 'illegal CIDR notation "1.2.3"'),
    ("acl {\nblock net 10.0.0.0/33\n}", 4, '"10.0.0.0/33"'),
    ("acl {\nblock type BANANA\n}", 4, 'unexpected token "BANANA"; expect legal QTYPE'),
    ("acl {\nblock banana\n}", 4, 'unexpected token "banana"'),
    ("acl {\nblock type\n}", 4, 'no token specified in "type" section'),
    ("acl {\nblock type net *\n}", 4, 'no token specified in "type" section'),
    ("acl {\nblock net * type\n}", 4, 'no token specified in "type" section'),
    ("any x", 3, "after 'x'"), ("any {\n}", 3, "Unexpected token '{'"),
    ("bufsize 100", 3, "100"), ("bufsize 4097", 3, "4097"), ("bufsize x", 3, "x"),
    ("bufsize 512 1", 3, "after '1'"), ("bufsize {\n}", 3, "'{'"),
    ("bufsize 600\nbufsize 700", 4, "only be used once"),
    ("cancel 5", 3, '"5"'), ("cancel x", 3, '"x"'), ("cancel -1s", 3, '"-1s"'),
    ("cancel 0s", 3, '"0s"'), ("cancel 1s 2s", 3, "after '2s'"),
    ("chaos {\n}", 3, "'{'"), ("debug x", 3, "after 'x'"),
    ("dns64 x", 3, "x"), ("dns64 64:ff9b::/97", 3, "64:ff9b::/97"),
    ("dns64 10.0.0.0/8", 3, "10.0.0.0/8"),
    ("dns64 64:ff9b::/96 b", 3, "after 'b'"), ("dns64 {\nprefix\n}", 4, "after 'prefix'"),
    ("dns64 {\nprefix ::/96 x\n}", 4, "after 'x'"), ("dns64 {\nprefix ::/33\n}", 4, "::/33"),
    ("dns64 {\nallow_ipv4 x\n}", 4, "after 'x'"), ("dns64 {\nfoo\n}", 4, "unknown property 'foo'"),
    ("dns64 64:ff9b::/96 {\nfoo\n}", 4, "unknown property 'foo'"),
    ("erratic x", 3, "after 'x'"), ("erratic {\ndrop x\n}", 4, '"x"'),
    ("erratic {\ndrop -1\n}", 4, '"-1"'),
    ("erratic {\ndrop 1 2\n}", 4, "after '2'"), ("erratic {\ndelay 1 2\n}", 4, '"2"'),
    ("erratic {\ndelay 1 2s 3\n}", 4, "after '3'"), ("erratic {\nlarge 1\n}", 4, "after '1'"),
    ("erratic {\nfoo\n}", 4, "unknown property 'foo'"),
    ("header", 3, "after 'header'"), ("header x", 3, "after 'x'"), ("header {\n}", 4, "after '}'"),
    ("header {\nquery\n}", 4, "after 'query'"), ("header {\nresponse set\n}", 4, "after 'set'"),
    ("header {\nresponse add aa\n}", 4, "action=add"),
    ("header {\nresponse set zz\n}", 4, "flag=zz"),
    ("header {\nclear aa\n}", 4, "selector=clear"),
    ("local x", 3, "after 'x'"), ("local {\nlocalhost_prefix\n}", 4, "after 'localhost_prefix'"),
    ("local {\nlocalhost_prefix maybe\n}", 4, '"maybe"'),
    ("local {\nfoo\n}", 4, "unknown property 'foo'"),
    ("local {\nlocalhost_prefix on off\n}", 4, "after 'off'"),
    ("loop x", 3, "after 'x'"), ("loop {\n}", 3, "'{'"), ("loop\nloop", 4, "only be used once"),
    ("minimal x", 3, "after 'x'"), ("minimal {\n}", 3, "'{'"),
    ("minimal\nminimal x", 4, "after 'x'"),
    ("nsid a\nnsid b", 4, "only be used once"), ("nsid %s" % ("x" * 513), 3, "longer than 512"),
    ("root", 3, "after 'root'"), ("root / x", 3, "after 'x'"),
    ("root /etc/passwd", 3, "not a folder"),
]


@pytest.mark.parametrize("text, line, words", REFUSED)
def test_refused(signpost, tmp_path, text, line, words):
    code, output = run_until_end(signpost, tmp_path,
                                 block(text + "\nwhoami").replace("@PORT@", str(free_port())))
    name = text.split()[0]
    assert code == 1
    assert "plugin/%s: Corefile:%d - Error during parsing: " % (name, line) in output, output
    assert words in output.split("Error during parsing: ")[1], output


def test_repeats_that_mean_something(start):
    s = start(block("any\nany\nminimal\nminimal\ndebug\ndebug\nheader {\nresponse set ra\n}\n"
                    "header {\nresponse clear aa\n}\nacl {\nblock type MX\n}\n"
                    "acl {\nblock type TXT\n}\nwhoami"))
    assert flags(s.ask("x.")) == "QR RD RA"
    assert {s.ask("x.", t).rcode() for t in ("MX", "TXT")} == {dns.rcode.REFUSED}


# ---- pages ----

def example(name):
    """The Corefile of a page: the indented lines behind "Example"."""
    page = (ROOT / "docs" / "plugins" / (name + ".md")).read_text(encoding="utf-8")
    text = re.search(r"^(?:## )?Example.*?\n\n((?:    .*\n|\n)+)", page, re.MULTILINE)[1].rstrip() + "\n"
    lines = [line[4:] for line in text.split("\n")]
    keys = lines[0].split()
    assert keys[-1] == "{"
    lines[0] = " ".join(k + ":@PORT@" for k in keys[:-1]) + " {\n    bind 127.0.0.1"
    return "\n".join(lines)


def check_example(name, s):
    ask = s.ask
    return {
        "acl": lambda: ask("example.org.").additional and not ask("example.org.", "TXT").additional,
        "any": lambda: ask("example.org.", "ANY").answer[0].ttl == 8482,
        "bufsize": lambda: ask("many.test.", use_edns=0, payload=4000).payload == 1232,
        "cancel": lambda: s.addresses("both.test.") == ["192.0.2.3"],
        "chaos": lambda: all([r[0].strings[0].decode() for r in ask_chaos(s, n).answer] == texts
                             for n, texts in CHAOS),
        "debug": lambda: s.wait_log("[DEBUG] plugin/loop: probe") is None,
        "dns64": lambda: (s.addresses("four.example.org.", "AAAA") == ["2001:db8:64::a00:1"] and
                          s.addresses("six.example.org.", "AAAA") == ["2001:db8::6"]),
        "erratic": lambda: outcomes(s, 6, "example.org.") == "-aa-aa",
        "header": lambda: flags(ask("example.org.")) == "QR RD RA",
        "local": lambda: (s.addresses("localhost.corp.example.") == ["127.0.0.1"] and
                          s.addresses("both.test.") == ["192.0.2.3"]),
        "loop": lambda: s.addresses("both.test.") == ["192.0.2.3"],
        "minimal": lambda: not ask("example.org.").additional,
        "nsid": lambda: options(ask("example.org.", use_edns=0, options=[option(NSID)])) ==
        {NSID: b"rack 7"},
        "root": lambda: s.addresses("a.example.org.") == ["10.0.0.1"],
    }[name]()


@pytest.mark.parametrize("name", NAMES)
def test_example(start, zone, tmp_path, name):
    corefile = example(name)
    assert re.search(r"^\s+%s\b" % name, corefile, re.MULTILINE), "the page shows something else"
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "db.example.org").write_text(
        "@ 60 IN SOA ns root 1 2 3 4 5\n@ 60 IN NS ns\na 60 IN A 10.0.0.1\n")
    corefile = corefile.replace("192.0.2.53", str(zone.upstream))
    corefile = corefile.replace("/etc/signpost", str(tmp_path / "folder"))
    s = start(corefile)
    assert check_example(name, s)
