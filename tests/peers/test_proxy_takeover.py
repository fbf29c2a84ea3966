"""From the real kube-proxy to signpost and back, twice, with traffic all the time."""
import json
import os
import pathlib
import subprocess
import sys

import kube_world
import pytest

PROGRAM = pathlib.Path(__file__).with_name("proxy_takeover.py")


@pytest.mark.long
@pytest.mark.parametrize("mode,our_mode", [("nftables", "nftables"), ("iptables", "nftables"),
                                           ("iptables", "iptables")])
def test_no_moment_without_service(signpost, mode, our_mode):
    original = kube_world.PROGRAMS / "kube-proxy"
    if not os.access(original, os.X_OK):
        pytest.skip("kube-proxy is not in build-peers/: ./run peers builds it")
    if subprocess.run(["unshare", "-Urnm", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine gives no user namespaces")
    ran = subprocess.run([sys.executable, "-B", str(PROGRAM), signpost, str(original), mode, our_mode], capture_output=True,
                         text=True, timeout=280, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    made = json.loads(ran.stdout.splitlines()[-1])
    assert made["held"] > 50 and all(o["reply"] > 200 for o in made["outcomes"])
