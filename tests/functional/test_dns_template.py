"""`template` and `metadata`: what the vector set does not show. Answers were compared with the reference's."""
import contextlib
import re

import dns.rcode
import pytest
from dns_world import Server, http_get, records, run_until_end


@pytest.fixture
def start(signpost, tmp_path):
    with contextlib.ExitStack() as stack:
        def begin(lines, key="."):
            text = "%s:@PORT@ {\n    bind 127.0.0.1\n    errors\n%s\n}\n" % (key, lines)
            return stack.enter_context(Server(signpost, tmp_path, text, "-workers", "1"))
        yield begin


def answer(server, name, rdtype="TXT"):
    reply = server.ask(name, rdtype)
    return dns.rcode.to_text(reply.rcode()) if reply.rcode() else [r[3] for r in records(reply.answer)]


@pytest.mark.parametrize("text,wanted", [
    ("{{ .Name }}", "xfoo.g.test."),
    ("{{ .Group.nothere }}", "<no value>"),
    ("{{ .Group.a }}-{{ .Group.b }}", "x-foo"),
    ("{{ index .Group `2` }}", "foo"),
    ("{{ index .Match 0 }}", "xfoo.g.test."),
    ("{{ .Question.Name }} {{ .Question.Qtype }} {{ .Question.Qclass }}", "Xfoo.g.test. 16 1"),
    ("a {{- /* nothing */ -}} b", "ab"),
    ("{{ if eq .Group.a `x` }}yes{{ else }}no{{ end }}", "yes"),
    ("{{ if eq .Group.a `y` }}y{{ else if ne .Zone `g.test.` }}z{{ else }}rest{{ end }}", "rest"),
    ("{{ if .Group.c }}some{{ else }}none{{ end }}", "none"),
    ("{{ if eq (index .Match 1) `x` }}{{ if .Name }}deep{{ end }}{{ end }}", "deep"),
    ("{{ parseInt `ff` 16 0 }}", "255"),
    ("{{ .Meta `no/such` }}.", "."),
])
def test_texts(start, text, wanted):
    server = start("    template IN TXT g.test {\n        match ^(?P<a>x)(?P<b>.*)(?P<c>y?)\\.g\\.test\\.$\n"
                   '        answer "{{ .Name }} 1 IN TXT \\"%s\\""\n    }' % text)
    assert answer(server, "Xfoo.g.test") == ['"%s"' % wanted]


@pytest.mark.parametrize("text", [
    "{{ index .Match 3 }}", "{{ parseInt .Name 10 8 }}", "{{ if eq 1 `1` }}x{{ end }}",
    "{{ parseInt `128` 10 8 }}"])
def test_texts_that_fail(start, text):
    server = start("    template IN TXT {\n        answer \"{{ .Name }} 1 IN TXT %s\"\n    }" % text)
    assert answer(server, "a.test") == "SERVFAIL"
    server.wait_log("[ERROR] plugin/errors: 2 a.test. TXT: template")


def test_failures_and_matches_are_counted(start):
    server = start("    prometheus 127.0.0.1:@PORT2@\n    template IN TXT one.test two.test {\n"
                   "        match ^(ok|bad)\\.\n"
                   '        answer "{{ .Name }} 1 IN {{ if eq .Group.1 `x` }}{{ end }}TXT hi"\n    }'
                   .replace("{{ if eq .Group.1 `x` }}{{ end }}",
                            "{{ if eq (index .Match 1) `bad` }}BAD{{ end }}"))
    assert answer(server, "ok.one.test") == ['"hi"']
    assert answer(server, "ok.two.test") == ['"hi"']
    assert answer(server, "bad.two.test") == "SERVFAIL"
    _, page = http_get(server.numbered(2), "/metrics")
    found = re.findall(r"coredns_template_matches_total{(.*)} (\S+)", page)
    assert sorted((re.search('zone="(.*?)"', labels)[1], value) for labels, value in found) == [
        ("one.test.", "1"), ("two.test.", "2")]
    assert all('class="IN"' in labels and 'type="TXT"' in labels for labels, _ in found)
    assert re.search(r'template_rr_failures_total{.*section="answer".*} 1$', page, re.MULTILINE)


def test_groups_survive_a_look_up(start):
    """The chase of a CNAME runs other expressions before the next text is made."""
    server = start("    template IN A one.test {\n        match ^(.*)\\.one\\.test\\.$\n"
                   '        answer "{{ .Name }} 1 IN CNAME {{ index .Match 1 }}.two.test."\n'
                   '        additional "{{ index .Match 1 }}.three.test. 1 IN A 192.0.2.3"\n    }\n'
                   "    template IN A two.test {\n        match ^(.)(.)\n"
                   '        answer "{{ .Name }} 1 IN A 192.0.2.2"\n    }')
    reply = server.ask("web.one.test")
    assert records(reply.answer) == [("web.one.test.", 1, "CNAME", "web.two.test."),
                                     ("web.two.test.", 1, "A", "192.0.2.2")]
    assert records(reply.additional) == [("web.three.test.", 1, "A", "192.0.2.3")]


def test_a_cname_to_itself_ends(start):
    server = start('    template IN A {\n        answer "{{ .Name }} 1 IN CNAME {{ .Name }}"\n    }')
    reply = server.ask("a.test")
    assert reply.rcode() == dns.rcode.NOERROR and len(reply.answer) <= 8


@pytest.mark.parametrize("line,words", [
    ('answer "{{ .Name"', "'}}' is missing"),
    ('answer "{{ .Colour }}"', ".Colour"),
    ('answer "{{ printf `x` }}"', "printf"),
    ('answer "{{ range .Match }}{{ end }}"', "range"),
    ('answer "{{ .Name | len }}"', "not supported here"),
    ('answer "{{ $x := .Name }}"', "not supported"),
    ('answer "{{ if .Name }}"', "'end' is missing"),
    ('answer "{{ end }}"', "'end' without 'if'"),
    ('answer "{{ else }}"', "'else' without 'if'"),
    ('answer "{{ if .Name }}{{ else }}{{ else }}{{ end }}"', "'else' without 'if'"),
    ('answer "{{ index .Match .Name }}"', "needs a number"),
    ('answer "{{ `open }}"', "not closed"),
    ("answer", "Wrong argument count"),
    ("match (", "invalid regular expression"),
    ("match", "Wrong argument count"),
    ("rcode BANANA", "BANANA"),
    ("rcode BADVERS", "BADVERS"),
    ("ederror x", "x"),
    ("var a b", "var"),
    ("expr true", "unknown property 'expr'"),
    ("bananas", "unknown property 'bananas'"),
])
def test_refused(signpost, tmp_path, line, words):
    text = ".:5353 {\n    bind 127.0.0.1\n    template IN A {\n        %s\n    }\n}\n" % line
    status, output = run_until_end(signpost, tmp_path, text)
    assert status == 1
    assert words in output and "Corefile:4 - " in output, output


# ---- metadata ----

KUBERNETES = "    kubernetes cluster.local {\n        manifests @DIR@/m\n    }"


@pytest.mark.parametrize("name,line", [
    ("web.shop.svc.cluster.local", "<web> <shop> <svc> <> <> <> <->"),
    ("e1.web.shop.svc.cluster.local", "<web> <shop> <svc> <e1> <> <> <->"),
    ("_http._tcp.web.shop.svc.cluster.local", "<web> <shop> <svc> <> <http> <tcp> <->"),
    ("1-2-3-4.shop.pod.cluster.local", "<1-2-3-4> <shop> <pod> <> <> <> <->"),
    ("a.b.cluster.local", "<-> <-> <-> <-> <-> <-> <invalid query name>"),
    ("a.example.org", "<-> <-> <-> <-> <-> <-> <->"),
])
def test_kubernetes_labels_in_the_log(start, tmp_path, name, line):
    (tmp_path / "m").mkdir()
    labels = "service namespace kind endpoint port-name protocol parse-error".split()
    form = " ".join("<{/kubernetes/%s}>" % label for label in labels)
    server = start('    metadata\n    log . "labels %s"\n%s' % (form, KUBERNETES))
    server.ask(name)
    server.wait_log("labels " + line)


def test_labels_are_those_of_the_clients_question(start, tmp_path):
    (tmp_path / "m").mkdir()
    server = start("    metadata\n    rewrite name suffix .svc.cluster.local .svc.other.test\n"
                   '    template IN TXT other.test {\n        answer "{{ .Name }} 1 IN TXT '
                   '{{ .Meta `kubernetes/service` }}"\n    }\n' + KUBERNETES)
    assert answer(server, "web.shop.svc.cluster.local") == ['"web"']


def test_without_metadata_there_are_no_labels(start, tmp_path):
    (tmp_path / "m").mkdir()
    server = start('    log . "labels {/kubernetes/service} {/} {/x"\n' + KUBERNETES)
    server.ask("web.shop.svc.cluster.local")
    server.wait_log("labels - {/} {/x")


def test_zones_of_metadata(start, tmp_path):
    (tmp_path / "m").mkdir()
    server = start('    metadata example.org\n    log . "labels {/kubernetes/service}"\n' + KUBERNETES)
    server.ask("web.shop.svc.cluster.local")
    server.wait_log("labels -")
