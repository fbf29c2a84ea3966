"""The DNS bench: does it measure what it says, on a cluster too small for its figures to mean
anything?"""
import json
import os
import pathlib
import socket
import subprocess
import sys
import urllib.request

import ports
import pytest
from conftest import ROOT

BENCH = ROOT / "bench"
sys.path.insert(0, str(BENCH))
import cluster  # noqa: E402
import kubeproto  # noqa: E402


@pytest.fixture(scope="session")
def build(signpost):
    """The folder that signpost was built in: the bench's C programs lie there, too."""
    folder = pathlib.Path(signpost).parent
    assert os.access(folder / "bench/load", os.X_OK), "%s/bench/load is not built" % folder
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    return folder, cluster.write_cluster(folder, 50, 3)


def free_port():
    """The first of a few free loopback ports in a row, below those that connections get."""
    for port in range(ports.LOW, ports.HIGH, 7):
        if all(is_free(number) for number in range(port, port + 5)):
            return port
    raise AssertionError("no free ports")


def is_free(port):
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


def run_bench(build, *arguments):
    return subprocess.run([sys.executable, "-B", BENCH / "dns.py", "--build", build, "--port",
                           str(free_port()), *arguments], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("mix", ["hits", "search"])
def test_table_and_json(build, signpost, tmp_path, mix):
    out = tmp_path / "result.json"
    ran = run_bench(build, "--signpost", signpost, "--services", "50", "--queries", "2000",
                    "--rounds", "1", "--only", "floor,signpost", "--mix", mix, "--json", out)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "\033" not in ran.stdout
    rows = {line.split()[0]: line.split() for line in ran.stdout.splitlines() if line.strip()}
    assert rows["floor"][3] == "1.00"
    result = json.loads(out.read_text())
    assert result["failed"] == {} and result["absent"] == {}
    assert result["cluster"]["services"] == 50
    assert set(result["servers"]) == {"floor", "signpost"}
    made = result["servers"]["signpost"]
    assert made["wrong"] == made["lost"] == 0 and made["checked"] == 2000 // 16
    assert made["ratio"]["median"] > 0 and made["memory_mb"]["median"] > 0.1
    assert made["first_answer_ms"]["median"] > 0
    load = made["rounds"][0]["load"]
    assert load["answered"] == 2000 == sum(load["rcodes"].values())
    assert ("NXDOMAIN" in load["rcodes"]) == (mix == "search")


def test_what_is_absent_is_listed(build, tmp_path):
    ran = run_bench(build, "--signpost", tmp_path / "nowhere", "--services", "20", "--queries",
                    "500", "--rounds", "1", "--only", "floor,signpost")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "signpost      not built: %s" % (tmp_path / "nowhere") in ran.stdout


def test_a_server_that_fails_is_an_error(build, tmp_path):
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho out of order >&2\nexit 3\n")
    broken.chmod(0o755)
    ran = run_bench(build, "--signpost", broken, "--services", "20", "--queries", "500",
                    "--rounds", "1", "--only", "floor,signpost")
    assert ran.returncode == 1
    assert "failed: ended with status 3: out of order" in ran.stdout


def test_a_port_in_use_is_refused(build):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        ran = run_bench(build, "--only", "floor", "--port", str(port))
    assert ran.returncode == 2 and "port %d of 127.0.0.1 is in use" % port in ran.stderr


@pytest.fixture()
def floor(build):
    port = free_port()
    server = subprocess.Popen([build / "bench/floor", "--port", str(port)])
    try:
        yield port
    finally:
        server.terminate()
        server.wait(5)


def run_load(build, port, names, *arguments):
    return subprocess.run([build / "bench/load", "--to", "127.0.0.1:%d" % port, "--names", names,
                           "--timeout-ms", "200", *arguments], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60, check=False)


def wait_for(build, port, names):
    for _ in range(50):
        if run_load(build, port, names, "--queries", "1", "--seconds", "1").returncode == 0:
            return
    raise AssertionError("the floor does not answer")


def test_load_knows_wrong_answers(build, floor, tmp_path):
    """The floor answers every query with NOERROR and nothing: right for NODATA only."""
    names = tmp_path / "names"
    names.write_text("a.example A NODATA\n")
    wait_for(build, floor, names)
    for expect, wrong in (("NODATA", 0), ("", 0), ("NXDOMAIN", 100), ("NOERROR", 100),
                          ("10.0.0.1", 100)):
        names.write_text("a.example. A %s # every one\n" % expect)
        ran = run_load(build, floor, names, "--queries", "100", "--check-every", "1")
        load = json.loads(ran.stdout)
        assert (load["answered"], load["lost"], load["wrong"]) == (100, 0, wrong), expect
        assert (load["first_wrong"] is not None) == bool(wrong)


def test_load_counts_what_is_lost(build, tmp_path):
    names = tmp_path / "names"
    names.write_text("a.example A\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        ran = run_load(build, silent.getsockname()[1], names, "--queries", "20")
    load = json.loads(ran.stdout)
    assert (load["sent"], load["answered"], load["lost"]) == (20, 0, 20)


@pytest.mark.parametrize("line", ["a.example", "a..example A", "a.example BOGUS", "a A 10.0.0",
                                  "a A NODATA more", "a\"b A", "x" * 64 + " A",
                                  ".".join(["x" * 63] * 4) + " A"])
def test_load_refuses_a_bad_line(build, tmp_path, line):
    names = tmp_path / "names"
    names.write_text("good.example A\n%s\n" % line)
    ran = run_load(build, 9, names)
    assert ran.returncode == 1 and "%s:2: not NAME TYPE [EXPECT]" % names in ran.stderr


def test_load_stays_at_home(build, tmp_path):
    ran = subprocess.run([build / "bench/load", "--to", "192.0.2.1:53", "--names", "/dev/null"],
                         capture_output=True, text=True, timeout=10, check=False)
    assert ran.returncode == 2


def test_cluster_is_the_same_every_time(small, tmp_path):
    folder, sizes = small
    assert cluster.write_cluster(tmp_path, 50, 3) == sizes
    assert sizes["services"] == 50 and sizes["endpoints"] == 150
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        assert path.read_bytes() == (tmp_path / path.relative_to(folder)).read_bytes()


def test_names_of_the_cluster_are_in_the_zone(small):
    folder, sizes = small
    zone = {(w[0], w[3], w[4]) for w in map(str.split, (folder / "cluster.zone").open())}
    hits = [line.split() for line in (folder / "names-hits.txt").open()]
    assert len({name for name, _, _ in hits}) == sizes["services"]
    assert all((name + ".", kind, address) in zone for name, kind, address in hits)
    owners = {owner for owner, _, _ in zone}
    search = [line.split() for line in (folder / "names-search.txt").open()]
    missing = [words[0] for words in search if words[2] == "NXDOMAIN"]
    assert missing and not owners & {name + "." for name in missing}


@pytest.fixture()
def api(small):
    server = subprocess.Popen([sys.executable, "-B", BENCH / "fakeapi.py", small[0] / "manifests"],
                              stdout=subprocess.PIPE, text=True)
    try:
        yield "http://127.0.0.1:%d" % int(server.stdout.readline())
    finally:
        server.terminate()
        server.wait(5)
        server.stdout.close()


def get(url, accept="application/json"):
    request = urllib.request.Request(url, headers={"Accept": accept})
    return urllib.request.urlopen(request, timeout=10)


def test_fake_api(api, small):
    sizes = small[1]
    services = json.load(get(api + "/api/v1/services"))
    assert services["kind"] == "ServiceList" and len(services["items"]) == sizes["services"]
    slices = json.load(get(api + "/apis/discovery.k8s.io/v1/endpointslices"))
    assert sum(len(s["endpoints"]) for s in slices["items"]) == sizes["endpoints"]
    with get(api + "/api/v1/services", "application/vnd.kubernetes.protobuf") as answer:
        body = answer.read()
        assert answer.headers["Content-Type"] == kubeproto.CONTENT_TYPE
    assert body[:4] == b"k8s\0" and services["items"][0]["metadata"]["uid"].encode() in body
    watch = get(api + "/api/v1/services?watch=true&sendInitialEvents=true&timeoutSeconds=1")
    events = [json.loads(line) for line in watch]
    assert [e["type"] for e in events] == ["ADDED"] * sizes["services"] + ["BOOKMARK"]


def test_protobuf():
    """Against bytes worked out by hand from generated.proto."""
    namespace = {"apiVersion": "v1", "kind": "Namespace",
                 "metadata": {"name": "a", "labels": {"k": "v"}}, "status": {"phase": "Active"}}
    assert kubeproto.encode_object(namespace).hex() == (
        "0a0b" "0a0161" "5a06" "0a016b" "120176" "1a08" "0a06" + b"Active".hex())
    assert kubeproto.varint(300) == b"\xac\x02"
    with pytest.raises(KeyError):
        kubeproto.encode_object({"kind": "Namespace", "metadata": {"surprise": "x"}})
