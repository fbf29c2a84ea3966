"""Random flows through signpost and through the real kube-proxy: a few hundred, the same every time. Thousands are
asked by `./run peers flows`."""
import os
import pathlib
import re
import subprocess
import sys

import kube_world
import pytest

PROGRAM = pathlib.Path(__file__).with_name("proxy_flows.py")


@pytest.mark.parametrize("options", [["--mode", "nftables", "--kills"], ["--mode", "iptables"]])
def test_same_outcomes(signpost, options):
    if not os.access(kube_world.PROGRAMS / "kube-proxy", os.X_OK):
        pytest.skip("kube-proxy is not in build-peers/: ./run peers builds it")
    if subprocess.run(["unshare", "-Urnm", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine gives no user namespaces")
    ran = subprocess.run([sys.executable, "-B", str(PROGRAM), "--signpost", signpost, "--flows", "200", *options],
                         capture_output=True, text=True, timeout=240, check=False)
    assert ran.returncode == 0 and re.search(r"^200 flows, 0 differ$", ran.stdout, re.M), ran.stdout + ran.stderr
