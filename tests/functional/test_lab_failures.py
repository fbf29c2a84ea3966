"""The lab's catalogue of failures: each can be made, shows itself in the request that it names, and can be mended."""
import json
import shutil
import subprocess
import time

import pytest

from lab_world import close_lab, open_lab

FAILURES = {  # name: the outcome of its request, and words of its verdict or of what it cost
    "no-ready-endpoints": ("rejected", "refused by a rule of its node"),
    "wrong-target-port": ("port-closed", ":8081 at pod wrong-target-port/server"),
    "named-port-missing": ("rejected", "refused by a rule of its node"),
    "wrong-selector": ("rejected", "refused by a rule of its node"),
    "wrong-port": ("rejected", "a port that no service has"),
    "internal-local": ("dropped", "dropped by a rule of its node"),
    "external-local": ("lost", "to node node-1, where it did not arrive"),
    "dead-endpoint": ("lost", "where it did not arrive"),
    "no-such-service": ("name-unknown", "there is no such name"),
    "dns-dead": ("name-silent", "which answered none"),
    "forward-loop": ("name-failed", "answered REFUSED"),
    "search-wildcard": ("untranslated", "198.51.100.7:80"),
    "ndots-storm": ("answered", "6 of its 8 queries"),
    "lost-aaaa": ("answered", "had to be sent again"),
    "five-seconds": ("answered", "which is where the time went"),
}

CAUSES = {  # what the objects say of it; of the others they know nothing
    "no-ready-endpoints": "pods-not-ready", "wrong-target-port": "wrong-target-port",
    "named-port-missing": "named-port-missing", "wrong-selector": "selector-matches-nothing",
    "wrong-port": "port-not-in-service", "internal-local": "local-without-endpoint",
    "external-local": "local-without-endpoint", "dead-endpoint": "stale-endpoint",
    "no-such-service": "no-such-name", "search-wildcard": "search-wildcard",
}


@pytest.fixture(scope="module")
def lab(signpost, root):
    lab = open_lab(signpost)
    shutil.copytree(root / "examples" / "shop", lab.source, dirs_exist_ok=True)
    lab.call("up", str(lab.source))
    yield lab
    close_lab(lab)


def request(lab, command):
    """The trace that `break` told to try."""
    words = command.split()
    assert words[:2] == ["signpost", "trace"]
    done = subprocess.run([lab.program, "trace", "--lab-dir", str(lab.dir), "--wait", "8", "--output", "json", *words[2:]],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure(lab, name):
    outcome, words = FAILURES[name]
    told = lab.call("break", name).stdout.splitlines()
    command = next(line.strip() for line in told if line.startswith("  signpost trace "))
    end = time.monotonic() + 25  # name servers and proxies take a moment to learn of its objects
    while True:
        seen = request(lab, command)
        if seen["outcome"] == outcome and words in seen["verdict"] + seen["cost"]:
            break
        assert time.monotonic() < end, json.dumps(seen, indent=1)
    if name in CAUSES:
        assert CAUSES[name] in [cause["code"] for cause in seen["causes"]], json.dumps(seen, indent=1)
        assert all(cause["text"] for cause in seen["causes"])
    elif seen["outcome"] == "answered":
        assert seen["causes"] == []
    assert name + " (there)" in lab.call("break").stdout
    lab.call("mend", name)
    assert name + " (there)" not in lab.call("break").stdout
    assert "broken-" + name not in lab.call("exec", "--node", "node-1", "--", "nft", "list", "tables").stdout


def test_the_catalogue_is_all_of_it(lab):
    lines = lab.call("break").stdout.splitlines()[2:]
    assert [line.split()[0] for line in lines if line.strip()] == list(FAILURES)


@pytest.mark.parametrize("arguments, words", [
    (["break", "nothing"], 'there is no failure "nothing"; there are: no-ready-endpoints, '),
    (["mend"], "give the name of one failure"), (["break", "a", "b"], "give the name of one failure"),
])
def test_refusals(lab, arguments, words):
    done = lab.call(*arguments, check=False)
    assert done.returncode == 1 and words in done.stderr
