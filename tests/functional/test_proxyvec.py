"""What clients see, compared with kube-proxy: every scenario of tests/proxyvec, in both modes.

Most of a scenario is waiting for what must not come, so the scenarios are dealt out to several
runners at the same time, each in namespaces of its own."""
import json
import re
import subprocess
import sys
import threading

import pytest
from conftest import ROOT

VECTORS = ROOT / "tests" / "proxyvec"
RUNNERS = 6
ENTER = ["unshare", "-Urnm", "sh", "-c",
         "mount -t tmpfs tmpfs /run && mkdir -p /run/netns && exec \"$@\"", "sh"]


MODES = ["nftables", "iptables"]
ALL = [json.loads(line) for line in (VECTORS / "scenarios.jsonl").read_text().splitlines()]
CASES = [(mode, s["id"]) for mode in MODES for s in ALL if mode in s.get("modes", MODES)]


def weight(scenario):
    """About how long it takes: waiting is written in the steps, a new lab costs a second."""
    text = json.dumps(scenario)
    waits = sum(float(w) for w in re.findall(r'"wait": ([0-9.]+)', text))
    rounds = sum(float(g) * float(n) for g, n in
                 re.findall(r'"gap": ([0-9.]+).{0,60}"rounds": (\d+)', text))
    return 1 + waits + rounds + 2 * text.count("timeout") + 3 * ("args" in scenario)


def deal(mode):
    hands = [(0.0, []) for _ in range(RUNNERS)]
    for s in sorted((s for s in ALL if mode in s.get("modes", MODES)), key=weight, reverse=True):
        hands.sort(key=lambda h: h[0])
        hands[0] = (hands[0][0] + weight(s), hands[0][1] + [s["id"]])
    return [ids for _, ids in hands]


def play(signpost, mode, ids, out):
    only = ",".join("^%s$" % i for i in ids)
    ran = subprocess.run(
        [*ENTER, sys.executable, "-B", VECTORS / "proxyvec.py", "--dir", VECTORS, "--mode",
         mode, "--source-kind", "dir", "--only", only, "--proxy-cmd",
         "%s proxy --manifests=@SOURCE@ --hostname-override=@NODE@ --proxy-mode=@MODE@"
         " --conntrack-max-per-core=0 --min-sync-period=100ms @ARGS@" % signpost],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=170, check=False)
    for i in ids:
        out[mode, i] = ran.stdout


@pytest.fixture(scope="module")
def outputs(signpost):
    probe = subprocess.run([*ENTER, "true"], capture_output=True, text=True, timeout=20,
                           check=False)
    if probe.returncode:
        pytest.skip("user namespaces are not permitted here: " + probe.stderr.strip())
    out = {}
    threads = [threading.Thread(target=play, args=(signpost, mode, ids, out))
               for mode in MODES for ids in deal(mode)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return out


@pytest.mark.parametrize("mode,name", CASES)
def test_scenario(outputs, mode, name):
    text = outputs.get((mode, name), "the runner did not end in time")
    lines = [line for line in text.splitlines() if name in line or "note:" in line]
    assert re.search(r"^ok   %s " % re.escape(name), text, re.MULTILINE), \
        "\n".join(lines) or text[-2000:]
