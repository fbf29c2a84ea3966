"""The soak in small: that it runs, and sees what it is there to see."""
import subprocess
import sys

import pytest


def run(signpost, root, *words):
    return subprocess.run(
        ["/usr/bin/python3", "-B", str(root / "tests" / "soak.py"), "--program", signpost, *words],
        capture_output=True, text=True, timeout=240, check=False)


def test_short(signpost, root):
    """Queries of four transports, changes and reloads for a quarter of a minute: nothing is lost."""
    done = run(signpost, root, "--minutes", "0.25", "--rate", "200", "--reload", "2")
    assert done.returncode == 0 and done.stdout.endswith("GOOD\n"), done.stdout + done.stderr
    for mode in ("udp", "tcp", "dot", "doh"):
        assert "\n%s: " % mode in done.stdout


@pytest.fixture(name="verdict")
def verdict_fixture(root):
    sys.path.insert(0, str(root / "tests"))
    try:
        import soak
        yield soak.verdict
    finally:
        sys.path.remove(str(root / "tests"))


@pytest.mark.parametrize("own, files, good", [
    (lambda t: 5000, lambda t: 40, True),
    (lambda t: 5000 + min(t, 600) * 10, lambda t: 40, True),            # only while it warms up
    (lambda t: 5000 + (4000 if t % 300 == 0 else 0), lambda t: 40, True),  # single peaks
    (lambda t: 5000 + t * 0.5, lambda t: 40, False),                    # 1.5 MiB in 50 minutes
    (lambda t: 5000, lambda t: 40 + t // 100, False),
])
def test_verdict(verdict, own, files, good):
    samples = [(t, 9000, own(t), files(t), 5) for t in range(0, 3600, 5)]
    assert verdict(samples, 3600)[1] == good
