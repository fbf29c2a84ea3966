"""The lab's catalogue of failures: each can be made, shows itself in the request that it names, and can be mended."""
import json
import pathlib
import re
import shutil
import subprocess
import time

import pytest

from lab_world import close_lab, open_lab

FAILURES = {  # name: the outcome of its request, words of its verdict or of what it cost, and the cause's code
    "no-ready-endpoints": ("rejected", "refused by a rule of its node", "pods-not-ready"),
    "wrong-target-port": ("port-closed", ":8081 at pod wrong-target-port/server", "wrong-target-port"),
    "named-port-missing": ("rejected", "refused by a rule of its node", "named-port-missing"),
    "wrong-selector": ("rejected", "refused by a rule of its node", "selector-matches-nothing"),
    "wrong-port": ("rejected", "a port that no service has", "port-not-in-service"),
    "internal-local": ("dropped", "dropped by a rule of its node", "local-without-endpoint"),
    "external-local": ("lost", "to node node-1, where it did not arrive", "local-without-endpoint"),
    "dead-endpoint": ("lost", "where it did not arrive", "stale-endpoint"),
    "no-such-service": ("name-unknown", "there is no such name", "no-such-name"),
    "dns-dead": ("name-silent", "which answered none", "dns-dead"),
    "forward-loop": ("name-failed", "answered REFUSED", "forward-loop"),
    "search-wildcard": ("untranslated", "198.51.100.7:80", "search-wildcard"),
    "ndots-storm": ("answered", "6 of its 8 queries", "ndots"),
    "lost-aaaa": ("answered", "had to be sent again", "lost-aaaa"),
    "five-seconds": ("answered", "which is where the time went", "five-seconds"),
    "cached-nxdomain": ("name-unknown", "there is no such name", "cached-nxdomain"),
    "hairpin": ("peer-silent", "at pod hairpin/server on node-2, which did not answer", "hairpin"),
    "stale-udp": ("name-unheard", "none arrived at a pod that serves names", "stale-udp"),
    "musl-search": ("name-unknown", "there is no such name", "search-line"),
    "dns-not-ready": ("name-unheard", "none arrived at a pod that serves names", "dns-unreachable"),
}

CLASSIC = {  # what everyone meets sooner or later, and the failures that show it
    "the race of five seconds": ["five-seconds"], "AAAA is lost": ["lost-aaaa"], "a storm of queries": ["ndots-storm"],
    "NXDOMAIN from before": ["cached-nxdomain"], "nobody is ready": ["no-ready-endpoints"],
    "a wrong targetPort": ["wrong-target-port"], "a named port that is missing": ["named-port-missing"],
    "to itself, and not masqueraded": ["hairpin"], "UDP to a pod that is gone": ["stale-udp"],
    "externalTrafficPolicy Local": ["external-local"], "the name service is dead": ["dns-dead", "dns-not-ready"],
    "a circle of forwarding": ["forward-loop"], "a wildcard in the search list": ["search-wildcard"],
    "a search line too long for musl": ["musl-search"],
}
SEEN = ["search-wildcard", "ndots", "lost-aaaa", "five-seconds", "hairpin", "stale-udp", "search-line"]  # by packets alone


@pytest.fixture(scope="module")
def lab(signpost, root):
    lab = open_lab(signpost)
    shutil.copytree(root / "examples" / "shop", lab.source, dirs_exist_ok=True)
    lab.call("up", str(lab.source))
    yield lab
    close_lab(lab)


def words_of(command):
    words = command.split()
    assert words[:2] == ["signpost", "trace"]
    return words[2:]


SLOW = ["five-seconds", "lost-aaaa", "stale-udp"]  # what takes longer than others to be over


def request(lab, command, seconds):
    """The trace that `break` told to try."""
    done = subprocess.run([lab.program, "trace", "--lab-dir", str(lab.dir), "--wait", str(seconds), "--output", "json",
                           *words_of(command)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


def explain(lab, command):
    """What the objects and the node's rules say of the same request, without a packet."""
    done = subprocess.run([lab.program, "explain", "--lab-dir", str(lab.dir), "--output", "json", *words_of(command)],
                          capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


def plain(text):
    """Without what differs from run to run: line breaks and numbers."""
    return re.sub(r"\d+(\.\d+)*", "N", " ".join(text.split()))


def section(name):
    """What docs/failures.md shows of the trace."""
    page = (pathlib.Path(__file__).parents[2] / "docs/failures.md").read_text()
    block = page.split("\n## %s\n" % name)[1].split("\n## ")[0].split("    $ signpost trace ")[1]
    command, _, shown = block.partition("\n")
    return command.split(" | tail")[0], shown


def last_lines(seen):
    """Of the trace as text."""
    causes = ["by %s: %s%s" % ("what was seen" if c["seen"] else "the objects", c["text"], "; " + c["change"] if c["change"] else "")
              for c in seen["causes"]]
    return "\n".join([seen["verdict"], *causes, seen["cost"]])


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure(lab, name):
    """It shows itself, and both who follow the request and who ask the objects name its cause."""
    outcome, words, code = FAILURES[name]
    told = lab.call("break", name).stdout.splitlines()
    command = next(line.strip() for line in told if line.startswith("  signpost trace "))
    end = time.monotonic() + 25  # name servers and proxies take a moment to learn of its objects
    while True:
        seen = request(lab, command, 8 if name in SLOW else 2)
        if seen["outcome"] == outcome and words in seen["verdict"] + seen["cost"]:
            break
        assert time.monotonic() < end, json.dumps(seen, indent=1)
    causes = {cause["code"]: cause for cause in seen["causes"]}
    assert code in causes and all(cause["text"] for cause in seen["causes"]), json.dumps(seen, indent=1)
    assert any(cause["seen"] and cause["code"] == code for cause in seen["causes"]) == (code in SEEN)
    assert (plain(command), plain(last_lines(seen))) == ("signpost trace " + plain(section(name)[0]), plain(section(name)[1]))
    if name == "stale-udp":  # T108
        way = next(step for step in seen["steps"] if step["step"] == "their way")
        assert "read from the table itself: that entry stood before" in [line["text"] for line in way["lines"]]
    said = explain(lab, command)
    texts = [cause["text"] for cause in said["causes"] + said["notes"] if cause["code"] == code]
    assert texts and any(text in said["verdict"] for text in texts), json.dumps(said, indent=1)
    assert name + " (there)" in lab.call("break").stdout
    lab.call("mend", name)
    assert name + " (there)" not in lab.call("break").stdout
    assert "broken-" + name not in lab.call("exec", "--node", "node-1", "--", "nft", "list", "tables").stdout


def test_the_classics_are_among_them():
    shown = [name for names in CLASSIC.values() for name in names]
    assert len(CLASSIC) == 14 and set(shown) <= set(FAILURES) and len(set(shown)) == len(shown)


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
