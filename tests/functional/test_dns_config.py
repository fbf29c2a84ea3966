"""Flags and Corefiles: what is refused, and the words for it."""
import subprocess

import pytest

from dns_world import Server, free_port, run_until_end

PARSING = " - Error during parsing: "
KUBERNETES = ". {\n    kubernetes cluster.local {\n        %s\n        manifests .\n    }\n}\n"
COUNT = "Wrong argument count or unexpected line ending after '%s'"

# Corefile, first line of the error.
REFUSED = {
    "unknown directive": (". {\n    nosuch\n}\n", "Corefile:2" + PARSING + "Unknown directive 'nosuch'"),
    "removed directive": (". {\n    proxy . 10.0.0.1\n}\n",
                          "Corefile:2" + PARSING + "Unknown directive 'proxy'"),
    "known but not here": (". {\n    route53 x\n}\n", "Corefile:2" + PARSING +
                           "plugin 'route53' is not supported: cloud providers' zones are not read; "
                           "serve an export with 'file', or 'forward' to their name servers"),
    "no closing brace": (". {\n    whoami\n",
                         "Corefile:2 - Syntax error: Unexpected token 'whoami', expecting '}'"),
    "directive's block not closed": (". {\n    health {\n", "Corefile:2" + PARSING + "Unexpected EOF"),
    "comma and brace": ("a.org, {\n    whoami\n}\n", "Corefile:1" + PARSING +
                        "Expected another address but had '{' - check for extra comma"),
    "too many arguments": (". {\n    whoami x\n}\n",
                           "plugin/whoami: Corefile:2" + PARSING + COUNT % "x"),
    "brace for an argument": (". {\n    whoami {\n    }\n}\n", "plugin/whoami: Corefile:2" + PARSING +
                              "Unexpected token '{', expecting argument"),
    "import of nothing": (". {\n    import nosuch\n}\n",
                          "Corefile:2" + PARSING + "File to import not found: nosuch"),
    "bad zone": ("foo..bar {\n    whoami\n}\n", "Corefile:1 - error inspecting server blocks: "
                 "zone is not a valid domain name: foo..bar"),
    "bad port": (".:99999 {\n    whoami\n}\n", "Corefile:1 - error inspecting server blocks: address "
                 "99999: invalid port (0 to 65535) in \".:99999\""),
    "twice": (". {\n    whoami\n}\n.:53 {\n    whoami\n}\n",
              "Corefile:4 - cannot serve dns://.:53 - it is already defined"),
    "overlap": (".:1053 {\n    bind 127.0.0.1\n}\n.:1053 {\n}\n", "cannot serve dns://.:1053 - zone "
                "overlap listener capacity with dns://127.0.0.1:1053"),
    "bind": (". {\n    bind nosuchif\n}\n", "plugin/bind: Corefile:2" + PARSING +
             "not a valid IP address or interface name: 'nosuchif'"),
    "errors": (". {\n    errors FILE\n}\n",
               "plugin/errors: Corefile:2" + PARSING + "invalid log file: FILE"),
    "health": (". {\n    health 8080\n}\n", "plugin/health: Corefile:2" + PARSING +
               "address 8080: missing port in address"),
    "ready": (". {\n    ready 8181\n}\n", "plugin/ready: Corefile:2" + PARSING +
              "address 8181: missing port in address"),
    "prometheus": (". {\n    prometheus 9153\n}\n", "plugin/prometheus: Corefile:2" + PARSING +
                   "address 9153: missing port in address"),
    "log class": (". {\n    log {\n        class foo\n    }\n}\n",
                  "plugin/log: Corefile:3" + PARSING + "invalid Class: foo"),
    "forward to nobody": (". {\n    forward .\n}\n",
                          "plugin/forward: Corefile:2" + PARSING + COUNT % "."),
    "forward policy": (". {\n    forward . 10.0.0.1 {\n        policy x\n    }\n}\n",
                       "plugin/forward: Corefile:3" + PARSING + "unknown policy 'x'"),
    "repeated plugin": (". {\n    kubernetes a.local {\n        manifests .\n    }\n    kubernetes b\n}\n",
                        "plugin/kubernetes: Corefile:5" + PARSING +
                        "this plugin can only be used once per Server Block"),
    "reverse zones only": (". {\n    kubernetes 10.0.0.0/8 {\n        manifests .\n    }\n}\n",
                           "plugin/kubernetes: Corefile:2" + PARSING +
                           "non-reverse zone name must be used"),
    "not in a cluster": (". {\n    kubernetes cluster.local\n}\n",
                         "plugin/kubernetes: unable to load in-cluster configuration, "
                         "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined"),
    "no kubeconfig": (". {\n    kubernetes cluster.local {\n        kubeconfig none\n    }\n}\n",
                      "plugin/kubernetes: open none: No such file or directory"),
    "no such folder": (KUBERNETES.replace("manifests .", "manifests nosuch") % "ttl 5",
                       "plugin/kubernetes: nosuch: cannot be read: No such file or directory"),
    "multicluster elsewhere": (KUBERNETES % "multicluster a",
                               "plugin/kubernetes: Corefile:5" + PARSING +
                               "is not authoritative for the multicluster zone a. "
                               "(authoritative zones: [cluster.local.])"),
    "multicluster": (KUBERNETES % "multicluster cluster.local",
                     "plugin/kubernetes: Corefile:5" + PARSING +
                     "'multicluster' is not supported: ServiceImports are not read"),
    "auto without a group": (". {\n    auto {\n        directory . db.* {1}\n    }\n}\n",
                             "plugin/auto: Corefile:3" + PARSING + "Need at least one sub expression"),
    "two sources": (KUBERNETES % "kubeconfig x",
                    "plugin/kubernetes: Corefile:5" + PARSING +
                    "manifests and an API server cannot both be the source"),
    "labels and names": (KUBERNETES % "namespaces a\n        namespace_labels b",
                         "plugin/kubernetes: Corefile:6" + PARSING +
                         "namespaces and namespace_labels cannot both be set"),
}
# One option of kubernetes, the error behind "plugin/kubernetes: Corefile:3 - ...".
OPTIONS = {
    "upstream": "unknown property 'upstream'",
    "resyncperiod 5m": "unknown property 'resyncperiod'",
    "ttl 9999": "ttl must be in range [0, 3600]: 9999",
    "ttl -1": "ttl must be in range [0, 3600]: -1",
    "ttl x": "ttl is not a number: x",
    "ttl": COUNT % "ttl",
    "pods foo": "wrong value for pods: foo,  must be one of: disabled, verified, insecure",
    "pods": COUNT % "pods",
    "noendpoints x": COUNT % "x",
    "startup_timeout 0": "startup_timeout must be positive: 0",
    "startup_timeout soon": "startup_timeout is not a duration: soon",
    "ignore all": "unable to parse ignore value: 'all'",
    "kubeconfig": COUNT % "kubeconfig",
    "kubeconfig a b c": COUNT % "c",
    "endpoint": COUNT % "endpoint",
    "tls a b": COUNT % "b",
    "apiserver_qps x": "apiserver_qps must be a number of at least 0: x",
    "apiserver_burst -1": "apiserver_burst must be a whole number of at least 0: -1",
    "apiserver_burst 2.5": "apiserver_burst must be a whole number of at least 0: 2.5",
    "apiserver_max_inflight -1": "apiserver_max_inflight must be a whole number of at least 0: -1",
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(signpost, tmp_path, case):
    corefile, error = REFUSED[case]
    assert run_until_end(signpost, tmp_path, corefile, "-quiet") == (1, error + "\n")


@pytest.mark.parametrize("option", OPTIONS)
def test_refused_option(signpost, tmp_path, option):
    status, output = run_until_end(signpost, tmp_path, KUBERNETES % option, "-quiet")
    assert status == 1
    assert output == "plugin/kubernetes: Corefile:3" + PARSING + OPTIONS[option] + "\n"


def run(signpost, tmp_path, *flags):
    ran = subprocess.run([signpost, "dns", *flags], cwd=tmp_path, stdin=subprocess.DEVNULL,
                         capture_output=True, text=True, timeout=20, check=False)
    return ran.returncode, ran.stdout, ran.stderr


def test_version_and_plugins(signpost, tmp_path):
    status, out, _ = run(signpost, tmp_path, "-version")
    assert status == 0 and out.startswith("signpost-")
    status, out, _ = run(signpost, tmp_path, "-plugins")
    names = out.split()
    assert status == 0 and {"dns.kubernetes", "dns.whoami", "dns.bind"} <= set(names)
    assert names.index("dns.log") < names.index("dns.hosts") < names.index("dns.kubernetes")
    status, out, _ = run(signpost, tmp_path, "-h")
    assert status == 0 and "-dns.port" in out and "-pidfile" in out


@pytest.mark.parametrize("flags,error", [
    (["-nosuch"], "unknown flag -nosuch"), (["stray"], "extra command line arguments: [stray]"),
    (["-p", "0"], "-dns.port 0: a port is 1 to 65535"), (["-p", "x"], "invalid value \"x\""),
    (["-workers", "9999"], "-workers 9999"),
])
def test_wrong_flags(signpost, tmp_path, flags, error):
    status, out, text = run(signpost, tmp_path, *flags)
    assert (status, out) == (2, "") and error in text


def test_no_such_corefile(signpost, tmp_path):
    status, _, text = run(signpost, tmp_path, "-conf", "nosuch")
    assert (status, text) == (1, "open nosuch: No such file or directory\n")


def test_refused_by_one_name_or_the_other(signpost, tmp_path):
    """The program also answers to the name that it replaces."""
    link = tmp_path / "coredns"
    link.symlink_to(signpost)
    ran = subprocess.run([link, "-version"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                         timeout=20, check=False)
    assert ran.returncode == 0 and ran.stdout.startswith("signpost-")


def test_port_flag_and_builtin(signpost, tmp_path):
    """-dns.port is for keys without a port; an environment variable may give one."""
    port = free_port()
    corefile = ". {\n    bind 127.0.0.1\n    whoami\n}\na.test:@PORT@ {\n    bind 127.0.0.1\n}\n"
    with Server(signpost, tmp_path, corefile, "-dns.port", str(port)) as s:
        assert s.ask("x.", port=port).additional
    with Server(signpost, tmp_path, "a.test:{$WANTED} {\n whoami\n}\nb.test:@PORT@ {\n}\n",
                env={"WANTED": str(port)}) as s:
        assert s.ask("a.test.", port=port).additional
