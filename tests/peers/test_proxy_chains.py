"""Iptables mode writes what the real kube-proxy writes."""
import os
import pathlib
import subprocess
import sys

import kube_world
import pytest

PROGRAM = pathlib.Path(__file__).with_name("proxy_chains.py")


@pytest.mark.long
def test_same_rules(signpost):
    if not os.access(kube_world.PROGRAMS / "kube-proxy", os.X_OK):
        pytest.skip("kube-proxy is not in build-peers/: ./run peers builds it")
    if os.geteuid():
        pytest.skip("kube-proxy can write so many rules only as root: a netlink message of that length")
    ran = subprocess.run([sys.executable, "-B", str(PROGRAM), signpost], capture_output=True, text=True,
                         timeout=280, check=False)
    assert ran.returncode == 0 and ran.stdout.count("equal ") == 9, ran.stdout + ran.stderr
