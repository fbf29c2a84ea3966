"""Answers compared with those measured on CoreDNS: every set of tests/vectors/sets.txt, in full."""
import json
import re
import subprocess
import sys

import pytest
import etcd
from conftest import ROOT

VECTORS = ROOT / "tests" / "vectors"
SETS = [w for w in (VECTORS / "sets.txt").read_text().splitlines() if w and w[0] != "#"]


def with_etcd(name):
    """What stands in front of and behind the runner's command for a set that needs a real etcd."""
    if "etcd" not in json.loads((VECTORS / name / "set.json").read_text()).get("needs", []):
        return [], []
    if not etcd.PROGRAM:
        pytest.skip("there is no etcd here (package etcd-server)")
    return ([sys.executable, "-B", etcd.__file__],
            ["--etcd-line", "endpoint @URL@", "--etcd-load", "@URL@"])


@pytest.mark.parametrize("name", SETS)
def test_set(name, signpost):
    before, behind = with_etcd(name)
    expected = sum(1 for line in (VECTORS / name / "queries.jsonl").open() if line.strip())
    ran = subprocess.run(
        [*before, sys.executable, "-B", VECTORS / "dnsvec.py", "--set", VECTORS / name, *behind,
         "--spawn", "%s dns -conf @COREFILE@" % signpost, "--source", "manifests @MANIFESTS@",
         "--upstream", "%s dns -conf @COREFILE@" % signpost],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=120, check=False)
    passed = re.search(r"^(\d+) passed, 0 failed$", ran.stdout, re.MULTILINE)
    assert ran.returncode == 0 and passed, ran.stdout
    assert int(passed[1]) == expected > 0


def test_no_set_is_forgotten():
    """A set that is in the tree but not in the list would never run."""
    there = {p.parent.name for p in VECTORS.glob("*/queries.jsonl")}
    assert there == set(SETS)


def test_refusals(signpost):
    """Corefiles that the reference refuses, with their line and words; and odd ones that it takes."""
    ran = subprocess.run(
        [sys.executable, "-B", VECTORS / "dnsvec.py", "--reject", VECTORS / "reject" / "cases.jsonl",
         "--spawn", "%s dns -conf @COREFILE@" % signpost, "--source", "manifests @MANIFESTS@"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=300, check=False)
    failed = set(re.findall(r"^FAIL (\S+)", ran.stdout, re.MULTILINE))
    assert not failed, ran.stdout
    assert re.search(r"^\d{3} passed, \d+ failed$", ran.stdout, re.MULTILINE), ran.stdout
