"""`signpost explain` with what is known besides the objects: the name server's Corefile, the node's rules and connections."""
import json
import subprocess

import pytest

from test_explain import CLIENT, DNS, NODES, WEB, pod, service, slice_of

SERVER = "10.244.1.2"
SOUND = """.:53 {
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa
    forward . /etc/resolv.conf
    cache 30
}
"""
OUTSIDE = "nameserver 198.51.100.1\n"
STUB = "nameserver 127.0.0.53\nsearch corp.test\n"


class Folder:
    def __init__(self, program, path):
        self.program, self.path = program, path
        self.manifests = path / "manifests"
        self.manifests.mkdir()
        (self.manifests / "0.yaml").write_text(NODES)
        self.write(CLIENT, DNS, service("web"), pod("w1", "10.244.1.3", WEB), slice_of("web", ["10.244.1.3"], ready=True))

    def write(self, *objects):
        (self.manifests / "1.yaml").write_text("\n---\n".join(json.dumps(o) for o in objects))

    def file(self, name, text):
        (self.path / name).write_text(text if isinstance(text, str) else json.dumps(text))
        return str(self.path / name)

    def explain(self, *arguments):
        done = subprocess.run([self.program, "explain", "--manifests", str(self.manifests), "--output", "json", *arguments],
                              capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode in (0, 1), done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def folder(signpost, tmp_path):
    return Folder(signpost, tmp_path)


def codes(said, kind):
    return [c["code"] for c in said[kind]]


def corefile_case(old, new, to, resolv=OUTSIDE):
    return SOUND.replace(old, new), resolv, to


LOOPS = {  # Corefile, the node's resolv.conf, the name; and whether it runs in a circle
    "a server outside": (*corefile_case("", "", "www.example.com"), False),
    "itself by its loopback": (*corefile_case("/etc/resolv.conf", "127.0.0.1", "www.example.com"), True),
    "itself with its port": (*corefile_case("/etc/resolv.conf", "127.0.0.1:53", "www.example.com"), True),
    "itself in IPv6": (*corefile_case("/etc/resolv.conf", "[::1]:53", "www.example.com"), True),
    "another one at its loopback": (*corefile_case("/etc/resolv.conf", "127.0.0.1:5353", "www.example.com"), False),
    "its Service": (*corefile_case("/etc/resolv.conf", "10.96.0.10", "www.example.com"), True),
    "its pod": (*corefile_case("/etc/resolv.conf", "dns://" + SERVER, "www.example.com"), True),
    "one of several": (*corefile_case("/etc/resolv.conf", "198.51.100.1 127.0.0.1", "www.example.com"), True),
    "the node's stub": (*corefile_case("", "", "www.example.com", STUB), True),
    "the node's stub, for a name of the cluster": (*corefile_case("", "", "web", STUB), False),
    "a zone that is not asked for": (*corefile_case("forward . /etc/resolv.conf", "forward corp.test 127.0.0.1", "www.example.com"), False),
    "another block's": (SOUND + "corp.test:53 {\n    forward . 127.0.0.1\n}\n", OUTSIDE, "www.example.com", False),
    "its own block's": (SOUND + "corp.test:53 {\n    forward . 127.0.0.1\n}\n", OUTSIDE, "www.corp.test", True),
}


@pytest.mark.parametrize("name", LOOPS)
def test_a_circle_of_forwarding(folder, name):
    corefile, resolv, to, circle = LOOPS[name]
    said = folder.explain("--corefile", folder.file("Corefile", corefile), "--host-resolv", folder.file("resolv.conf", resolv), "app/c", to)
    assert (codes(said, "causes") == ["forward-loop"]) == circle, said
    assert said["reachable"] != circle
    if circle:
        assert "forwards to itself" in said["verdict"] and "(Service kube-system/kube-dns)" in said["verdict"]


KEPT = {"    cache 30\n": False, "    cache 3600\n": False, "    cache 30 {\n        denial 9984 5\n    }\n": False,
        "    cache 30 {\n        denial 9984 600 600\n        prefetch 1\n    }\n": True, "": False}


@pytest.mark.parametrize("lines", KEPT)
def test_misses_that_are_kept(folder, lines):
    said = folder.explain("--corefile", folder.file("Corefile", SOUND.replace("    cache 30\n", lines)), "app/c", "web")
    assert said["reachable"] and ("cached-nxdomain" in codes(said, "notes")) == KEPT[lines], said
    assert ("for 600 seconds more" in said["verdict"]) == KEPT[lines]


WILDCARDS = {"template IN A corp.test {\n answer \"{{ .Name }} 60 IN A 198.51.100.7\"\n }": True,
             "template ANY ANY corp.test {\n rcode NXDOMAIN\n }": False,
             "template IN TXT corp.test {\n answer \"{{ .Name }} 60 IN TXT x\"\n }": False,
             "template IN A corp.test {\n match ^ip-\n answer \"{{ .Name }} 60 IN A 198.51.100.7\"\n }": False,
             "template IN A other.test {\n answer \"{{ .Name }} 60 IN A 198.51.100.7\"\n }": False}


@pytest.mark.parametrize("template", WILDCARDS)
def test_wildcards_of_the_search_list(folder, template):
    corefile = folder.file("Corefile", SOUND.replace("    errors\n", "    errors\n    " + template + "\n"))
    resolv = folder.file("resolv.conf", OUTSIDE + "search corp.test\n")
    said = folder.explain("--corefile", corefile, "--host-resolv", resolv, "app/c", "www.example.com")
    assert (codes(said, "causes") == ["search-wildcard"]) == WILDCARDS[template], said
    if WILDCARDS[template]:
        assert "by the template at " in said["verdict"] and "Corefile:3" in said["verdict"]


def test_the_corefile_is_found_among_the_manifests(folder):
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "names", "namespace": "kube-system"},
              "data": {"Corefile": SOUND.replace("/etc/resolv.conf", "127.0.0.1")}}
    folder.write(CLIENT, DNS, config)
    assert "Corefile of ConfigMap kube-system/names:4" in folder.explain("app/c", "www.example.com")["verdict"]
    other = {**config, "metadata": {"name": "other", "namespace": "kube-system"}, "data": {"Corefile": SOUND}}
    folder.write(CLIENT, DNS, config, other)
    assert folder.explain("app/c", "www.example.com")["reachable"]  # which of the two it is, nothing says
    usual = {**other, "metadata": {"name": "coredns", "namespace": "kube-system"}, "data": config["data"]}
    folder.write(CLIENT, DNS, other, usual)
    assert "ConfigMap kube-system/coredns:4" in folder.explain("app/c", "www.example.com")["verdict"]
    dns = json.loads(json.dumps(DNS))
    dns["spec"]["volumes"] = [{"name": "config", "configMap": {"name": "names"}}]
    folder.write(CLIENT, dns, config, other)
    assert "ConfigMap kube-system/names:4" in folder.explain("app/c", "www.example.com")["verdict"]


def test_a_name_server_of_which_no_pod_declares_a_port(folder):
    folder.write(CLIENT, pod("dns", SERVER, {"k8s-app": "kube-dns"}, ns="kube-system", ports=(("web", 8080),)),
                 service("web"), pod("w1", "10.244.1.3", WEB))
    said = folder.explain("app/c", "web")
    assert "dns-dead" in codes(said, "notes") and "pod kube-system/dns behind it counts as ready" in said["verdict"]


# ---- the node's rules, as nft itself prints them


def rules(signpost_rules):
    """What nft prints of these rules, in a network namespace of their own."""
    done = subprocess.run(["unshare", "-Urn", "sh", "-c", 'nft "$0" && nft -j list ruleset', signpost_rules],
                          capture_output=True, text=True, timeout=20, check=False)
    if "unshare" in done.stderr:
        pytest.skip("this machine gives no user namespaces")
    assert done.returncode == 0, done.stderr
    return done.stdout


def chain(rule, hook="prerouting", priority=-310, kind="filter", family="inet"):
    return "table %s t { set seen { typeof ip saddr . udp sport; flags dynamic; }; chain c { type %s hook %s priority %d; %s; }; }" % (
        family, kind, hook, priority, rule)


RULES = {  # rule: the cause, or the doubt, that follows for app/c (10.244.1.9) asking for web
    chain("counter"): ([], []),
    chain("ip saddr 10.244.9.9 drop"): ([], []),
    chain("udp dport 53 drop"): (["dns-dropped"], []),
    chain("ip daddr 10.96.0.10 udp dport { 53, 5353 } ct state new drop"): (["dns-dropped"], []),
    chain("ip daddr %s udp dport 53 drop" % SERVER, "forward", 0): (["dns-dropped"], []),
    chain("udp dport 53 @th,424,16 28 drop"): ([], ["lost-aaaa"]),
    chain("udp dport 53 ip saddr . udp sport @seen drop"): ([], ["five-seconds"]),
    chain("tcp dport 80 reject"): (["rule-of-others"], []),
    chain("tcp dport 81 reject"): ([], []),
    chain("ip saddr 10.244.1.0/24 ip daddr 10.244.1.3 tcp dport 8080 drop", "forward", 0): (["rule-of-others"], []),
    chain("limit rate 5/second drop"): ([], []),
}


@pytest.mark.parametrize("text", RULES)
def test_rules_of_others(folder, text):
    causes, doubts = RULES[text]
    said = folder.explain("--node-rules", folder.file("rules.json", rules(text)), "app/c", "web")
    assert (codes(said, "causes"), said["reachable"]) == (causes, not causes), said
    found = [c for c in said["causes"] + said["notes"] if c["text"] in said["verdict"]]
    assert [c["code"] for c in found] == causes + doubts
    assert [c["code"] for c in said["notes"] if c["doubt"]] == doubts
    assert all("chain c of table inet t (rule " in c["text"] and " on n1 " in c["text"] for c in found)


RACE = {  # rules, more flags: are all conditions of the race there?
    "no cache": ("counter", [], True), "a cache on the node": ("udp dport 53 notrack", [], False),
    "musl": ("counter", ["--as", "musl"], False), "single-request-reopen": ("counter", ["options single-request-reopen"], False),
    "use-vc": ("counter", ["options use-vc"], False),
}


@pytest.mark.parametrize("name", RACE)
def test_the_conditions_of_the_race(folder, name):
    rule, flags, there = RACE[name]
    if flags and flags[0].startswith("options"):
        flags = ["--resolv-conf", folder.file("resolv", "nameserver 10.96.0.10\nsearch app.svc.cluster.local\n" + flags[0] + "\n")]
    said = folder.explain("--node-rules", folder.file("rules.json", rules(chain(rule, priority=-300))), *flags, "app/c", "web")
    assert said["reachable"] and ("five-seconds" in codes(said, "notes")) == there, said
    assert "five seconds" not in said["verdict"]  # that it may happen is a note


def test_a_source_that_is_kept(folder):
    folder.write(pod("c", "10.244.1.9", WEB), DNS, service("web"), slice_of("web", ["10.244.1.9"], ready=True))
    text = chain("ip saddr 10.244.1.9 ip daddr 10.244.1.9 snat to 10.244.1.9", "postrouting", 90, "nat", "ip").replace(
        "set seen { typeof ip saddr . udp sport; flags dynamic; }; ", "")
    said = folder.explain("--node-rules", folder.file("rules.json", rules(text)), "app/c", "web")
    assert codes(said, "causes") == ["hairpin"] and "keeps it from being masqueraded" in said["verdict"]
    assert folder.explain("app/c", "web")["reachable"]


ENTRY = "udp 17 29 src=10.244.1.9 dst=%s sport=40053 dport=%s src=%s dst=10.244.1.9 sport=53 dport=40053 use=1\n"
ENTRIES = {ENTRY % ("10.96.0.10", 53, SERVER): False, ENTRY % ("10.96.0.10", 53, "10.244.1.77"): True,
           ENTRY % ("10.96.0.10", 54, "10.244.1.77"): False, (ENTRY % ("10.96.0.10", 53, "10.244.1.77")).replace("1.9", "1.8"): False,
           "": False}


@pytest.mark.parametrize("text", ENTRIES)
def test_connections_that_outlived_a_pod(folder, text):  # T102
    folder.write(CLIENT, DNS, service("web"), pod("w1", "10.244.1.3", WEB), slice_of("web", ["10.244.1.3"], ready=True))
    said = folder.explain("--connections", folder.file("connections", text), "app/c", "web")
    assert ("stale-udp" in codes(said, "notes")) == ENTRIES[text], said
    assert ("from its port 40053 to 10.96.0.10:53 on to 10.244.1.77:53" in said["verdict"]) == ENTRIES[text]


def test_the_search_line_that_musl_does_not_read(folder):
    text = "nameserver 10.96.0.10\nsearch app.svc.cluster.local %s\n" % " ".join("d%d.a-long-domain.corp.test" % i for i in range(9))
    flags = ["--resolv-conf", folder.file("resolv", text), "app/c", "web"]
    assert folder.explain(*flags)["reachable"]
    said = folder.explain("--as", "musl", *flags)
    assert codes(said, "causes") == ["search-line"] and "passes over the search line" in said["verdict"]


@pytest.mark.parametrize("flags, words", [
    (["--corefile", "/nonexistent"], "/nonexistent"), (["--node-rules", "/nonexistent"], "/nonexistent"),
    (["--lab-dir", "/tmp"], "--lab-dir excludes"),
])
def test_refusals(folder, flags, words):
    done = subprocess.run([folder.program, "explain", "--manifests", str(folder.manifests), *flags, "app/c", "web"],
                          capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2 and words in done.stderr


def test_a_text_that_is_no_ruleset_is_told(folder):
    said = folder.explain("--node-rules", folder.file("rules", "table inet t {}"), "app/c", "web")
    assert said["reachable"] and "rules" in codes(said, "notes")
