"""The bench of traced requests: does it measure what it says? No figure makes it pass or fail."""
import json
import pathlib
import subprocess
import sys

from conftest import ROOT
from lab_world import close_lab, open_lab


def test_requests_with_and_without(signpost, tmp_path):
    close_lab(open_lab(signpost))  # skips where there can be none
    out = tmp_path / "result.json"
    done = subprocess.run([sys.executable, "-B", str(ROOT / "bench" / "trace.py"), "--build",
                           str(pathlib.Path(signpost).parent), "--pairs", "4", "--rounds", "1", "--each", "5",
                           "--json", str(out)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["what", "trace", "trace", "aim:"]
    results = json.loads(out.read_text())["results"]
    for name, n in (("trace", 4), ("watch", 5)):
        made = results[name]
        assert (len(made["with"]), len(made["without"]), made["requests"]) == (n, n, n)
        assert all(0 < ms < 10000 for ms in made["with"] + made["without"])
        assert made["median"]["ratio"] == made["median"]["with"] / made["median"]["without"]
