"""The comparison with a running CoreDNS: that it sees differences, and a short run of it."""
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import urllib.request

import dns.message
import dns.rrset
import pytest

from conftest import ROOT

sys.path.insert(0, str(ROOT / "tests" / "conformance"))

import api  # noqa: E402
import compare  # noqa: E402
import corefile  # noqa: E402
import objects  # noqa: E402
import queries  # noqa: E402
import worlds  # noqa: E402

QUERY = {"name": "a.test", "type": 1, "class": 1, "flags": 0x100, "edns": None, "tcp": False, "src": "127.0.0.1",
         "port": 1}


def reply(*addresses, ttl=30, rcode=0, flags=0):
    made = dns.message.make_response(dns.message.from_wire(queries.encode(QUERY, 7)))
    made.flags |= flags
    made.set_rcode(rcode)
    made.answer += [dns.rrset.from_text("a.test.", ttl, "IN", "A", one) for one in addresses]
    return made.to_wire()


def fields(ours, theirs, slack=0, ordered=False):
    found = compare.compare(QUERY, {"signpost": ours, "coredns": theirs}, slack, ordered)
    return found and found.fields


def test_what_counts_as_a_difference():
    one = reply("192.0.2.1", "192.0.2.2")
    assert fields([one], [reply("192.0.2.2", "192.0.2.1")]) is None
    assert fields([one], [reply("192.0.2.2", "192.0.2.1")], ordered=True) == ("order",)
    assert fields([one], [reply("192.0.2.1")]) == ("answer",)
    assert fields([one], [reply("192.0.2.1", "192.0.2.2", ttl=29)]) == ("answer",)
    assert fields([one], [reply("192.0.2.1", "192.0.2.2", ttl=29)], slack=2) is None
    assert fields([one], [reply("192.0.2.1", "192.0.2.2", rcode=3)]) == ("rcode",)
    assert fields([one], [reply("192.0.2.1", "192.0.2.2", flags=0x400)]) == ("flags",)
    assert fields([], [one]) == ("silence",) and fields([], []) is None
    assert fields([one[:-1]], [one])[0].startswith("broken")
    assert fields([one + b"x"], [one])[0].startswith("broken")


def test_a_seed_makes_the_same_world():
    made = [json.dumps(worlds.make("s", 3, 50)) for _ in range(2)]
    assert made[0] == made[1] != json.dumps(worlds.make("s", 4, 50))
    assert len(json.loads(made[0])["queries"]) == 50


def test_all_plugins_come_up():
    seen = {p for n in range(120) for p in worlds.plugins(worlds.make("all", n, 1))}
    assert seen >= set(corefile.GRAMMARS) - {"root"}


def test_api_lists_and_watches():
    served = api.Api()
    try:
        made = objects.make_objects(random.Random(1))
        base = served.endpoint(served.add(made))
        with urllib.request.urlopen(base + "/api/v1/services") as page:
            items = json.load(page)["items"]
        assert items == [o for o in made if o["kind"] == "Service"] and items
        with urllib.request.urlopen(base + "/api/v1/services?labelSelector=env%3Dprod") as page:
            assert all(o["metadata"]["labels"]["env"] == "prod" for o in json.load(page)["items"])
        with urllib.request.urlopen(base + "/api/v1/namespaces?watch=true&sendInitialEvents=true") as page:
            events = [json.loads(page.readline()) for o in made if o["kind"] == "Namespace"]
            assert {e["type"] for e in events} == {"ADDED"}
            assert json.loads(page.readline())["type"] == "BOOKMARK"
    finally:
        served.close()


def test_queries_encode():
    rng = random.Random(5)
    world = worlds.make("q", 1, 300)
    assert all(len(queries.encode(q, 1)) > 16 for q in world["queries"])
    wire = queries.encode(dict(rng.choice(world["queries"]), name="x.test", edns={"size": 700, "do": True}), 9)
    assert struct.unpack_from("!H", wire)[0] == 9 and dns.message.from_wire(wire, ignore_trailing=False).payload == 700


def run(*words, path=None):
    env = dict(os.environ, PATH=path or os.environ["PATH"])
    return subprocess.run([sys.executable, "-B", str(ROOT / "tests" / "conformance" / "run.py"), *words],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, env=env,
                          check=False)


def test_without_coredns_it_says_so(signpost, tmp_path):
    done = run("--signpost", signpost, path=str(tmp_path))
    assert done.returncode == 0 and "left out" in done.stdout


@pytest.mark.skipif(not shutil.which("coredns"), reason="there is no coredns on PATH to compare with")
def test_a_short_run(signpost, tmp_path):
    done = run("--signpost", signpost, "--seed", "short", "--queries", "600", "--per-world", "150", "--jobs", "1",
               "--cases", str(tmp_path / "cases"))
    assert done.returncode == 0, done.stdout
    assert "seed short: 600 queries in 4 worlds" in done.stdout
