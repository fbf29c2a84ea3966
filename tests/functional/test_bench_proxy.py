"""The proxy's bench: does it measure what it says? No figure makes a test pass or fail; missing rows do."""
import json
import os
import pathlib
import subprocess
import sys

import pytest
from conftest import ROOT

SMALL = ["--sizes", "20", "--rounds", "1", "--connections", "160", "--packets", "100", "--single-changes", "5",
         "--many-changes", "50", "--only", "one rule,signpost"]


def test_small_run(signpost, tmp_path):
    build = pathlib.Path(signpost).parent
    assert os.access(build / "bench/flows", os.X_OK), "%s/bench/flows is not built" % build
    if subprocess.run(["unshare", "-Urnm", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine gives no user namespaces")
    out = tmp_path / "made.json"
    ran = subprocess.run([sys.executable, "-B", ROOT / "bench" / "proxy.py", "--build", str(build), "--json", str(out),
                          *SMALL], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    made = json.loads(out.read_text())["sizes"]["20"]
    assert made["one rule"]["new_us"] > 0 and made["one rule"]["packet_ratio"] > 0
    ours = made["signpost"]
    assert ours["changes"] == 5 and 0 < ours["change_p50_ms"] <= ours["change_p99_ms"]
    assert ours["chains"] > 20 and ours["rules"] > 20 and ours["elements"] > 20 * 3
    assert ours["first_sync_s"] > 0 and ours["cpu_per_1000_s"] > 0 and ours["memory_mb"] > 1 and ours["new_us"] > 0
    assert ours["restart_cpu_s"] > 0 and ours["restart_peak_mb"] > 1


def test_refuses_by_name():
    for option, words in ((["--only", "ipvs"], "not among one rule"), (["--sizes", "1"], "2..100000")):
        ran = subprocess.run([sys.executable, "-B", ROOT / "bench" / "proxy.py", *option], capture_output=True, text=True,
                             timeout=20, check=False)
        assert ran.returncode == 2 and words in ran.stderr
