"""Lines of rewrite, template and view, which have small languages of their own."""
from grammar import line, options, some

SUFFIXES = ["cluster.local", "svc.cluster.local", "example.net", "files.test", "hosts.test", "internal.test",
            "prod.svc.cluster.local", "example.org"]
NAMES = ["www.example.net", "web.default.svc.cluster.local", "alias.files.test", "a.hosts.test",
         "db.prod.svc.cluster.local", "short.test", "nx.example.net", "www.internal.test"]
EDNS = ["0xffee", "0xffaa", "65001"]


def answers(world):
    """What stands behind TO of a regex rule."""
    made = []
    for _ in range(world.rng.choice([0, 1, 1, 2])):
        made += ["answer", world.rng.choice(["name", "value"]),
                 *world.rng.choice([[r"(.*)\.svc\.cluster\.local", "{1}.internal.test"],
                                    [r"(.*)\.example\.net", "{1}.internal.test"],
                                    [r"^www\.(.*)", "w3.{1}"], [r"(.*)", "x.{1}"]])]
    return made or world.rng.choice([[], ["answer", "auto"]])


def name_rule(world):
    rng = world.rng
    how = rng.choice(["exact", "prefix", "suffix", "suffix", "substring", "regex", "regex", ""])
    auto = ["answer", "auto"] if world.chance(40) else []
    if how == "":
        return ["name", *some(world, 2, 2, NAMES)]
    if how == "exact":
        return ["name", "exact", *some(world, 2, 2, NAMES), *auto]
    if how == "prefix":
        return ["name", "prefix", *rng.choice([["www.", "web."], ["old-", "new."], ["a.", "b.a."]]), *auto]
    if how == "suffix":
        pair = some(world, 2, 2, SUFFIXES)
        if world.chance(60):
            pair = ["." + one for one in pair]
        world.seeds += ["web.default" + pair[0] if pair[0][0] == "." else "web." + pair[0]]
        return ["name", "suffix", *pair, *auto]
    if how == "substring":
        return ["name", "substring", *rng.choice([["internal", "example"], ["files", "hosts"],
                                                  ["svc", "pod"], [".test", ".test"]]), *auto]
    return ["name", "regex", *rng.choice([
        [r"(.*)\.internal\.test", "{1}.svc.cluster.local"], [r"^([a-z]+)-(\d+)\.(.*)$", "{1}.{3}"],
        [r"(.*)\.(default|prod)\.(.*)", "{1}.{2}.svc.{3}"], [r"www\.(.*)\.test", "{1}.example.net"],
        [r"(.*)\.{2,}", "{0}"], [r"(.+)\.hosts\.test", "{1}.files.test"]]), *answers(world)]


def ttl_rule(world):
    return ["ttl", *world.rng.choice([["example.net"], ["exact", "www.example.net"], ["suffix", "test"],
                                      ["suffix", ".local"], ["regex", ".*"], ["prefix", "www"],
                                      ["substring", "svc"]]),
            world.rng.choice(["7", "30-", "-20", "10-60", "0-5", "99999-"])]


def rcode_rule(world):
    return ["rcode", *world.rng.choice([["suffix", "example.net"], ["regex", ".*"], ["substring", "nope"],
                                        ["exact", "nx.example.net"]]),
            *world.rng.choice([["NXDOMAIN", "NOERROR"], ["SERVFAIL", "NXDOMAIN"], ["NOERROR", "REFUSED"],
                               ["3", "0"], ["REFUSED", "SERVFAIL"]])]


def cname_rule(world):
    return ["cname", *world.rng.choice([["exact", "www.example.net.", "www.files.test."],
                                        ["suffix", "example.net.", "files.test."],
                                        ["regex", r"(.*)\.example\.net\.", "{1}.hosts.test."],
                                        ["prefix", "www.", "a."]])]


def edns_rule(world):
    rng = world.rng
    revert = ["revert"] if world.chance(30) else []
    kind = rng.choice(["local", "local", "nsid", "subnet", "unset"])
    if kind == "local":
        return ["edns0", "local", rng.choice(["set", "append", "replace"]), rng.choice(EDNS),
                rng.choice(["0x0102", "text", "{qname}", "{qtype}", "{client_ip}", "{protocol}"]), *revert]
    if kind == "nsid":
        return ["edns0", "nsid", rng.choice(["set", "append", "replace"]), *revert]
    if kind == "subnet":
        return ["edns0", "subnet", rng.choice(["set", "append", "replace"]), rng.choice(["24", "32", "0"]),
                rng.choice(["56", "128"]), *revert]
    return ["edns0", "local", "unset", rng.choice(EDNS), *revert]


def rewrite(world, names, keys):
    rng, made = world.rng, []
    for _ in range(rng.choice([1, 1, 2, 3])):
        rule = rng.choice([name_rule] * 6 + [ttl_rule, ttl_rule, rcode_rule, cname_rule, edns_rule,
                                             edns_rule, None])
        words = (rng.choice([["type", "ANY", "A"], ["type", "MX", "TXT"], ["class", "CH", "IN"],
                             ["type", "HTTPS", "AAAA"]]) if rule is None else rule(world))
        how = rng.choice([[], [], ["stop"], ["continue"]])
        if words[0] == "name" and "answer" in words and "auto" not in words and world.chance(50):
            at = words.index("answer")
            made.append(line("rewrite", *how, sub=[words[:at], *(
                words[n:n + 4] for n in range(at, len(words), 4))]))
        else:
            made.append(line("rewrite", *how, *words))
    world.seeds += ["www.internal.test", "web.default.internal.test", "short.test", "web-1.internal.test",
                    "old-web.test", "www.hosts.test"]
    return made


# ---- template ----

MATCHES = [r"^ip-(?P<a>[0-9]*)-(?P<b>[0-9]*)\.tmpl\.test\.$", r"(.*)\.tmpl\.test\.", r"^(?P<x>[a-z]+)[.]",
           ".*", r"^www\.", r"never\.matches\.$"]
ANSWERS = ["{{ .Name }} 60 IN A 192.0.2.77", "{{ .Name }} 60 IN A 10.0.{{ .Group.a }}.{{ .Group.b }}",
           "{{ .Name }} 60 IN TXT \"{{ .Type }} {{ .Class }} {{ index .Match 0 }}\"",
           "{{ .Name }} 60 IN CNAME www.example.net.", "{{ .Name }} 60 IN AAAA 2001:db8::77",
           "{{ .Name }} IN MX 10 {{ .Zone }}", "{{ .Name }} 5 IN TXT \"{{ .Remote }}\"",
           "{{ if eq .Type \"A\" }}{{ .Name }} 60 IN A 192.0.2.78{{ else }}{{ .Name }} 60 IN TXT \"e\"{{ end }}",
           "{{ .Name }} 60 IN CNAME {{ index .Match 1 }}.example.net."]
AUTHORITY = ["{{ .Zone }} 60 IN SOA ns.{{ .Zone }} root.{{ .Zone }} 1 60 60 60 60",
             "{{ .Zone }} 60 IN NS ns1.tmpl.test."]


def template(world, names, keys):
    rng, made = world.rng, []
    world.seeds += ["ip-1-2.tmpl.test", "x.tmpl.test", "tmpl.test", "a.b.tmpl.test", "www.tmpl.test", "ip-999-1.tmpl.test"]
    for _ in range(rng.choice([1, 1, 2])):
        sub = [["match", rng.choice(MATCHES)] for _ in range(rng.choice([0, 1, 1, 2]))]
        sub += [["answer", rng.choice(ANSWERS)] for _ in range(rng.choice([0, 1, 1, 2]))]
        sub += options(world, [
            (30, ["authority", rng.choice(AUTHORITY)]), (20, ["additional", "ns1.tmpl.test. 60 IN A 192.0.2.1"]),
            (30, ["rcode", rng.choice(["NXDOMAIN", "NOERROR", "REFUSED", "SERVFAIL"])]),
            (15, ["ederror", *rng.choice([["21", "Blocked by policy"], ["15"], ["0", "x"]])]),
            (60, ["fallthrough", *rng.choice([[], [], ["tmpl.test"]])])]) or []
        alias = any("CNAME" in option[-1] for option in sub)  # one that leads back here goes round and round
        made.append(line("template", rng.choice(["IN", "IN", "ANY"]),
                         rng.choice(["A", "A", "ANY", "ANY", "AAAA", "TXT"]),
                         *(["tmpl.test"] if alias else rng.choice([[], ["tmpl.test"], ["tmpl.test"], ["tmpl.test", "example.net"]])),
                         sub=sub or [["rcode", "NXDOMAIN"]]))
    return made


# ---- view ----

EXPRESSIONS = ["name() startsWith 'www'", "type() in ['A', 'AAAA']", "incidr(client_ip(), '127.0.0.16/28')",
               "proto() == 'tcp'", "bufsize() > 1000", "do()", "class() == 'IN' && type() != 'SRV'",
               "name() matches '^[a-d]'", "!(type() == 'A')", "opcode() == 0 and not do()", "size() < 45",
               "client_ip() == '127.0.0.2' || name() endsWith 'test.'", "name() contains 'web'",
               "type() not in ['PTR', 'TXT']", "server_ip() == '127.0.0.1'", "true"]


def view(world, names, keys):
    return [line("view", "v%d" % world.rng.randrange(3),
                 sub=[["expr", one] for one in some(world, 1, 2, EXPRESSIONS)])]


GRAMMARS = {"rewrite": rewrite, "template": template, "view": view}
