"""The kubelet's files for a Pod as `resolvconf` and `hosts` print them, byte for byte, the events that it
would write, and what `check` says of Pods that the API server would refuse. The numbers are those of
tests/cases.txt."""
import subprocess

import pytest

H0 = "nameserver 8.8.8.8\nsearch host.domain\n"
H_OPTIONS = H0 + "options ndots:2 rotate\n"
CLUSTER = "app.svc.cluster.local svc.cluster.local cluster.local"
T01 = "search %s host.domain\nnameserver 10.96.0.10\noptions ndots:5\n" % CLUSTER
T05 = "search host.domain\nnameserver 8.8.8.8\n"
T10 = ("dnsConfig: {nameservers: [10.0.0.11], searches: [my.domain], options: [{name: ndots, value: '3'},"
       " {name: debug}]}")
MANY = ["d%02d.test" % i for i in range(33)]
LONG = ["x" * 63 + "." + "y" * 63 + "." + "z" * 63 + "." + "w" * 61 + ".t"]  # 255 characters
FULL = ["%063d.%063d" % (i, i) for i in range(15)] + ["%063d.%064d" % (9, 9)]  # 2048 with the blanks
NO_DNS = ('kubelet does not have ClusterDNS IP configured and cannot create Pod using "ClusterFirst" policy.'
          ' Falling back to "Default" policy.')
CUT_SERVERS = ("event on the Pod: DNSConfigForming: Nameserver limits were exceeded, some nameservers have"
               " been omitted, the applied nameserver line is: ")
CUT_SEARCHES = ("event on the Pod: DNSConfigForming: Search Line limits were exceeded, some search paths have"
                " been omitted, the applied search line is: ")


def none_with(searches):
    return "dnsPolicy: None, dnsConfig: {nameservers: [1.1.1.1], searches: [%s]}" % ", ".join(searches)


def searching(names):
    return "search %s\nnameserver 1.1.1.1\n" % " ".join(names)


# spec, what is printed, and by name: the node's file (host), warnings (events), more arguments.
RESOLVCONF = {
    "T01": ("", T01, {}),
    "T02": ("hostNetwork: true", T05, {}),
    "T03": ("dnsPolicy: ClusterFirstWithHostNet, hostNetwork: true", T01, {}),
    "T04": ("dnsPolicy: ClusterFirstWithHostNet", T01, {}),
    "T05": ("dnsPolicy: Default", T05, {}),
    "T06": ("dnsPolicy: Default", T05 + "options ndots:2 rotate\n", {"host": H_OPTIONS}),
    "T07": ("dnsPolicy: ClusterFirst", T01, {"host": H_OPTIONS}),
    "T08": ("dnsPolicy: None, dnsConfig: {nameservers: [1.2.3.4], searches: [ns1.svc.cd.example,"
            " my.dns.search.suffix], options: [{name: ndots, value: '2'}, {name: edns0}]}",
            "search ns1.svc.cd.example my.dns.search.suffix\nnameserver 1.2.3.4\noptions ndots:2 edns0\n", {}),
    "T09": ("dnsPolicy: None", "", {"events": ["log: nothing is left to write; a container runtime may then"
                                               " copy the node's own file"]}),
    "T10": (T10, "search %s host.domain my.domain\nnameserver 10.96.0.10\nnameserver 10.0.0.11\n"
            "options ndots:3 debug\n" % CLUSTER, {}),
    "T11": ("dnsPolicy: Default, " + T10, "search host.domain my.domain\nnameserver 8.8.8.8\n"
            "nameserver 10.0.0.11\noptions ndots:3 debug\n", {}),
    "T12": ("dnsConfig: {nameservers: [10.96.0.10]}", T01, {}),
    "T13": ("dnsConfig: {searches: [svc.cluster.local]}", T01, {}),
    "T14": ("", "search host.domain\nnameserver 10.96.0.10\noptions ndots:5\n", {"args": ["--cluster-domain", ""]}),
    "T15": ("", T05, {"dns": [], "events": [
        "event on the node: MissingClusterDNS: " + NO_DNS,
        'event on the Pod: MissingClusterDNS: pod: "web_app(u-1)". ' + NO_DNS]}),
    "T16": ("dnsPolicy: Default", "search .\nnameserver 127.0.0.1\n",
            {"host": None, "args": ["--node-ip", "10.0.0.1"]}),
    "T17": ("dnsPolicy: Default", "search .\nnameserver 127.0.0.1\nnameserver ::1\n",
            {"host": None, "args": ["--node-ip", "10.0.0.1", "--node-ip", "fd00::1"]}),
    "T18": ("", "search %s\nnameserver 10.96.0.10\noptions ndots:5\n" % CLUSTER, {"host": None}),
    "T20": ("dnsConfig: {nameservers: [1.1.1.1, 2.2.2.2, 3.3.3.3]}",
            T01.replace("options", "nameserver 1.1.1.1\nnameserver 2.2.2.2\noptions"),
            {"events": [CUT_SERVERS + "10.96.0.10 1.1.1.1 2.2.2.2"]}),
    "T21": (none_with(MANY), searching(MANY[:32]), {"events": [CUT_SEARCHES + " ".join(MANY[:32])]}),
    "T22": (none_with(MANY[:7]), searching(MANY[:6]),
            {"events": [CUT_SEARCHES + " ".join(MANY[:6])], "args": ["--old-limits"]}),
    "T22 length": (none_with(FULL[:3]), searching(FULL[:2]),
                   {"events": [CUT_SEARCHES + " ".join(FULL[:2])], "args": ["--old-limits"]}),
    "T23": (none_with(MANY[:2] + LONG + MANY[2:4]), searching(MANY[:4]),
            {"events": [CUT_SEARCHES + " ".join(MANY[:4])]}),
    "T24": (none_with(FULL), searching(FULL), {}),
    "T24 more": (none_with(FULL + ["B"]), searching(FULL), {"events": [CUT_SEARCHES + " ".join(FULL)]}),
    "T25": (none_with(MANY[:4] + LONG + MANY[4:32]), searching(MANY[:31]),
            {"events": [CUT_SEARCHES + " ".join(MANY[:31])]}),
    "T26": ("", T01.replace("options", "nameserver fd00::a\noptions"), {"dns": ["10.96.0.10", "fd00::a"]}),
    "T27": ("dnsPolicy: Default", "search foo bar\nnameserver 8.8.8.8\n",
            {"host": "nameserver 8.8.8.8\nsearch a b\nsearch foo. bar\n"}),
    "T29": ("dnsPolicy: Default", "nameserver 1.2.3.4\nnameserver 1.2.3.5\nnameserver 1.2.3.6\n",
            {"host": " nameserver 1.2.3.4\nnameserver\t1.2.3.5\nnameserver 1.2.3.6 #c\n"}),
    "T30": ("dnsPolicy: Default", T05, {"host": "; nameserver 9.9.9.9\n#nameserver 9.9.9.8\ndomain x\n" + H0}),
    "T31": ("", T01.replace("host.domain", " ".join(MANY[:29])),
            {"host": "search %s\n" % " ".join(MANY[:29])}),
    "T31 more": ("dnsPolicy: None, dnsConfig: {nameservers: [1.1.1.1]}", "nameserver 1.1.1.1\n",
                 {"host": "search %s\n" % " ".join(MANY[:30]),
                  "events": ["event on the node: CheckLimitsForResolvConf: Resolv.conf file '@HOST@' contains"
                             " search line consisting of more than 29 domains!"]}),
    "T32": ("dnsConfig: {options: [{name: a}, {name: b, value: ''}]}", T01.replace("ndots:5", "ndots:5 a b"), {}),
    "T33": ("dnsPolicy: Sideways", T01,
            {"events": ['log: dnsPolicy "Sideways" is unknown; going on as with ClusterFirst']}),
    "T34": ("", T01.replace("host.domain", "."), {"host": "nameserver 8.8.8.8\nsearch .\n"}),
}


def write_pod(folder, spec, more=""):
    (folder / "pod.yaml").write_text("apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: app, uid: u-1}\n"
                                     "spec: {containers: [{name: c, image: x}], %s}\n%s" % (spec, more))


def run(signpost, folder, *args):
    return subprocess.run([signpost, *args], cwd=folder, capture_output=True, text=True, timeout=20,
                          check=False, stdin=subprocess.DEVNULL)


def resolvconf(signpost, folder, spec, host=H0, dns=("10.96.0.10",), args=()):
    write_pod(folder, spec)
    if host is not None:
        (folder / "host").write_text(host)
    flags = [word for ip in dns for word in ("--cluster-dns", ip)]
    return run(signpost, folder, "resolvconf", "--pod", "pod.yaml", "--host-resolv",
               "" if host is None else "host", *flags, *args)


@pytest.mark.parametrize("case", RESOLVCONF)
def test_resolvconf(signpost, tmp_path, case):
    spec, text, more = RESOLVCONF[case]
    events = [e.replace("@HOST@", "host") for e in more.get("events", [])]
    done = resolvconf(signpost, tmp_path, spec, **{k: v for k, v in more.items() if k != "events"})
    assert (done.returncode, done.stdout) == (0, text), done.stderr
    assert done.stderr.splitlines() == ["signpost resolvconf: warning: " + e for e in events]


@pytest.mark.parametrize("case,host,words", [
    ("T19", None, "gone: No such file"),
    ("T28", "search a\nnameserver\n", "host: line 2: nameserver list is empty"),
])
def test_a_node_file_that_stops_the_pod(signpost, tmp_path, case, host, words):
    done = resolvconf(signpost, tmp_path, "dnsPolicy: None", host, args=[] if host else ["--host-resolv", "gone"])
    assert done.returncode == 1 and done.stdout == "" and words in done.stderr, (case, done.stderr)


HEAD = ("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
        "fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n")
HOST_HEAD = "# Kubernetes-managed hosts file (host network).\n"
ALIASES = "hostAliases: [{ip: 123.45.67.89, hostnames: [some.domain, other]}, {ip: 123.45.67.89, hostnames: [b]}]"
ALIAS_LINES = "\n# Entries added by HostAliases.\n123.45.67.89\tsome.domain\tother\n123.45.67.89\tb\n"
NODE_HOSTS = "127.0.0.1 localhost\n# the node's\n10.0.0.9 node\n"
FULL_NAME = "web.sub.app.svc.cluster.local\tweb"
OWN_FILE = ("volumes: [{name: v, emptyDir: {}}], initContainers: [{name: own, image: x, volumeMounts: [{name: v,"
            " mountPath: /etc/hosts}]}]")
CUT = "a" * 61 + "b-" + "c" * 7  # 70 characters, the 63rd is a dash

# spec, the addresses, what is printed, warnings
HOSTS = {
    "T45": ("hostname: podfoo", "1.2.3.4", HEAD + "1.2.3.4\tpodfoo\n", []),
    "T46": ("subdomain: sub", "1.2.3.4", HEAD + "1.2.3.4\t%s\n" % FULL_NAME, []),
    "T47": ("subdomain: sub", "1.2.3.4 fd00::4", HEAD + "1.2.3.4\t%s\nfd00::4\t%s\n" % (FULL_NAME, FULL_NAME), []),
    "T48": (ALIASES, "1.2.3.4", HEAD + "1.2.3.4\tweb\n" + ALIAS_LINES, []),
    "T49": ("hostNetwork: true", "1.2.3.4", HOST_HEAD + NODE_HOSTS, []),
    "T49 aliases": ("hostNetwork: true, " + ALIASES, "1.2.3.4", HOST_HEAD + NODE_HOSTS + ALIAS_LINES, []),
    "T50": (OWN_FILE, "1.2.3.4", HEAD + "1.2.3.4\tweb\n",
            ['container "own" mounts a file of its own at /etc/hosts and does not see this one']),
    "T51": ("hostname: " + CUT, "1.2.3.4", HEAD + "1.2.3.4\t%s\n" % CUT[:62],
            ['the hostname is cut to "%s"' % CUT[:62]]),
    "T52": ("setHostnameAsFQDN: true, subdomain: sub, hostname: " + "h" * 38, "1.2.3.4",
            HEAD + "1.2.3.4\t%s.sub.app.svc.cluster.local\t%s\n" % ("h" * 38, "h" * 38), []),
    "T53": ("setHostnameAsFQDN: true", "1.2.3.4", HEAD + "1.2.3.4\tweb\n", []),
    "T54": ("hostnameOverride: a.b.c, subdomain: sub", "1.2.3.4", HEAD + "1.2.3.4\ta.b.c\n", []),
}


def hosts(signpost, folder, spec, ips="1.2.3.4"):
    write_pod(folder, spec, "status: {podIPs: [%s]}\n" % ", ".join("{ip: '%s'}" % ip for ip in ips.split()))
    (folder / "hosts").write_text(NODE_HOSTS)
    return run(signpost, folder, "hosts", "--pod", "pod.yaml", "--host-hosts", "hosts")


@pytest.mark.parametrize("case", HOSTS)
def test_hosts(signpost, tmp_path, case):
    spec, ips, text, warnings = HOSTS[case]
    done = hosts(signpost, tmp_path, spec, ips)
    assert (done.returncode, done.stdout) == (0, text), done.stderr
    assert done.stderr.splitlines() == ["signpost hosts: warning: " + w for w in warnings]


def test_a_name_that_the_kernel_cannot_have(signpost, tmp_path):
    """T52, with one character more."""
    done = hosts(signpost, tmp_path, "setHostnameAsFQDN: true, subdomain: sub, hostname: " + "h" * 39)
    assert done.returncode == 1 and done.stdout == ""
    assert ("FQDN %s.sub.app.svc.cluster.local is too long (64 characters is the max, 65 characters requested)"
            % ("h" * 39)) in done.stderr


@pytest.mark.parametrize("case,spec,words", [
    ("T35", "dnsPolicy: None", "spec.dnsConfig: must be given when dnsPolicy is None"),
    ("T36", "dnsPolicy: None, dnsConfig: {}", "spec.dnsConfig.nameservers: at least one is needed"),
    ("T37", "dnsConfig: {nameservers: [1.1.1.1, 1.1.1.2, 1.1.1.3, 1.1.1.4]}", "must not have more than 3"),
    ("T38", "dnsConfig: {nameservers: [dns.example]}", "'dns.example' must be an IP address"),
    ("T39", "dnsConfig: {searches: [a_b.c]}", None),
    ("T40", "dnsConfig: {searches: [.]}", None),
    ("T41", "dnsConfig: {searches: [%s]}" % ", ".join(MANY), "spec.dnsConfig.searches: must not have more than 32"),
    ("T42", "dnsConfig: {options: [{value: '1'}]}", "pod.yaml:4: spec.dnsConfig.options[].name must be given"),
    ("T43", "hostAliases: [{ip: 456.78.90.123, hostnames: [a]}]", "'456.78.90.123' must be an IP address"),
    ("T44", "subdomain: a.b", "spec.subdomain: 'a.b'"),
])
def test_what_the_api_server_would_refuse(signpost, tmp_path, case, spec, words):
    """words None: it takes it, since searches need not be strict."""
    write_pod(tmp_path, spec)
    done = run(signpost, tmp_path, "check", "pod.yaml")
    assert done.returncode == (1 if words else 0), (case, done.stderr)
    assert (words or "") in done.stderr
