"""The proxy vectors, with their objects on a real API server."""
import pathlib
import re
import subprocess
import sys

import pytest

import kube_world

VECTORS = kube_world.ROOT / "tests" / "proxyvec"
RUNNER = pathlib.Path(__file__).with_name("proxyvec_kube.py")
LIMIT = 400  # seconds


@pytest.mark.long
def test_vectors(signpost):
    reason = kube_world.missing()
    if not reason and not (VECTORS / "scenarios.jsonl").exists():
        reason = "there are no vectors in tests/proxyvec"
    if not reason and subprocess.run(["unshare", "-Urnm", "true"], check=False, capture_output=True).returncode:
        reason = "this machine gives no user namespaces"
    if reason:
        pytest.skip(reason)
    ran = subprocess.run([sys.executable, "-B", str(RUNNER), "--signpost", signpost, "--vectors", str(VECTORS)],
                         capture_output=True, text=True, timeout=LIMIT, check=False)
    *_, last = ran.stdout.splitlines() or [""]
    passed = re.fullmatch(r"(\d+) passed, 0 failed", last)
    assert passed and int(passed[1]) >= 38 and ran.returncode == 0, ran.stdout + ran.stderr
