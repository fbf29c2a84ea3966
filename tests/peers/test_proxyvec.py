"""The proxy vectors, with their objects on a real API server."""
import pathlib
import subprocess
import sys

import pytest

import kube_world

VECTORS = kube_world.ROOT / "tests" / "proxyvec"
RUNNER = pathlib.Path(__file__).with_name("proxyvec_kube.py")
LIMIT = 400  # seconds

# What the proxy can do so far; it is the same as with a folder of manifests.
PASS = ["clusterip-tcp", "clusterip-udp", "hairpin", "unused-port", "multi-port", "named-port", "conditions",
        "ignored", "localhost-sysctl", "port-change", "duplicate-endpoint", "masq-none", "masq-all"]


def test_vectors(signpost):
    reason = kube_world.missing()
    if not reason and not (VECTORS / "scenarios.jsonl").exists():
        reason = "there are no vectors in tests/proxyvec"
    if not reason and subprocess.run(["unshare", "-Urnm", "true"], check=False, capture_output=True).returncode:
        reason = "this machine gives no user namespaces"
    if reason:
        pytest.skip(reason)
    only = ",".join("^[a-z]-%s$" % name for name in PASS)
    ran = subprocess.run([sys.executable, "-B", str(RUNNER), "--signpost", signpost, "--only", only],
                         capture_output=True, text=True, timeout=LIMIT, check=False)
    assert ran.stdout.rstrip().endswith("%d passed, 0 failed" % len(PASS)), ran.stdout + ran.stderr
    assert ran.returncode == 0
