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
