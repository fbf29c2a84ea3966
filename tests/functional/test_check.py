"""`signpost check`: everything that is wrong, at once, with file and line."""
import subprocess

import pytest

BAD = """.:5353 {
    bind 127.0.0.1
    kubernets cluster.local
    kubernetes cluster.local {
        bogus x
    }
    log {
        class wrong
    }
    route53 example.org
    health 8080
}
"""

GOOD = """.:5353 {
    bind 127.0.0.1
    errors
    loadbalance
    hosts {
        192.0.2.1 a.test
    }
    whoami
}
"""


def check(signpost, *args):
    return subprocess.run([signpost, "check", *map(str, args)], text=True, capture_output=True,
                          timeout=20)


def test_tells_every_problem(signpost, tmp_path):
    corefile = tmp_path / "Corefile"
    corefile.write_text(BAD)
    run = check(signpost, corefile)
    assert run.returncode == 1
    for line, words in [(3, "kubernets"), (5, "bogus"), (8, "wrong"), (10, "route53"),
                        (11, "missing port")]:
        assert any(f"{corefile}:{line} " in told and words in told
                   for told in run.stderr.splitlines()), (line, run.stderr)
    assert f"{corefile}: 5 problems" in run.stderr


def test_explains_the_chain(signpost, tmp_path):
    corefile = tmp_path / "Corefile"
    corefile.write_text(GOOD)
    run = check(signpost, "--explain", corefile)
    assert run.returncode == 0, run.stderr
    assert "hosts -> whoami" in run.stdout
    assert "out:  loadbalance" in run.stdout
    assert "then: errors" in run.stdout


@pytest.mark.parametrize("text,words", [
    ("kind: Service\napiVersion: v1\nmetadata: {name: a}\nspec: {ports: [{port: 99999}]}\n", "port"),
    ("kind: Service\n  bad: [\n", ":2"),
])
def test_bad_manifests(signpost, tmp_path, text, words):
    manifest = tmp_path / "a.yaml"
    manifest.write_text(text)
    for target in (manifest, tmp_path):
        run = check(signpost, target)
        assert run.returncode == 1
        assert "a.yaml" in run.stderr and words in run.stderr


def test_no_file(signpost):
    assert check(signpost).returncode == 2
    assert check(signpost, "/nonexistent/Corefile").returncode == 1


def test_resolv_conf(signpost, tmp_path):
    good, bad = tmp_path / "resolv.conf", tmp_path / "resolv.node.conf"
    good.write_text("nameserver 10.96.0.10\nsearch a.svc.cluster.local svc.cluster.local\n"
                    "options ndots:5\n")
    bad.write_text("nameserver 127.0.0.53\n")
    run = check(signpost, good)
    assert run.returncode == 0 and "%s: good" % good in run.stdout
    assert "%s:3: warning: ndots:5 with 2 search elements" % good in run.stderr
    run = check(signpost, good, bad)
    assert run.returncode == 1 and "%s:1: error: this name server is the host" % bad in run.stderr


POD = """apiVersion: v1
kind: Pod
metadata: {name: p, namespace: app}
spec:
  dnsPolicy: None
  hostAliases: [{ip: 1.2.3, hostnames: [a]}]
  containers: [{name: c, image: x}]
"""


def test_a_pod_whose_file_is_hardly_meant(signpost, tmp_path):
    """A warning is no failure."""
    (tmp_path / "pod.yaml").write_text(POD.replace("dnsPolicy: None", "dnsConfig: {searches: [.]}").replace(
        "1.2.3,", "1.2.3.4,"))
    run = check(signpost, tmp_path / "pod.yaml")
    assert run.returncode == 0, run.stderr
    for words in ("search element '.'", "ndots:5 with 4 search elements"):
        assert "pod.yaml:1: Pod app/p: warning: its resolv.conf: " + words in run.stderr, run.stderr


def test_pods(signpost, tmp_path):
    folder = tmp_path / "manifests"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "pod.yaml").write_text("# first\n---\n" + POD)
    for path in (folder, folder / "deep" / "pod.yaml"):
        run = check(signpost, path)
        assert run.returncode == 1, run.stderr
        for words in ("spec.dnsConfig: must be given", "spec.hostAliases[0].ip: '1.2.3' must be"):
            assert "pod.yaml:3: Pod app/p: " + words in run.stderr, run.stderr
        assert "2 problems" in run.stderr
