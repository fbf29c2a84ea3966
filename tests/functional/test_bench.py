"""The DNS bench: does it measure what it says, on a cluster too small for its figures to mean
anything? No figure makes a test pass or fail; wrong answers and missing rows do."""
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
import aims  # noqa: E402
import changes  # noqa: E402
import cluster  # noqa: E402
import kubeproto  # noqa: E402
import profiler  # noqa: E402
import report  # noqa: E402
import upstream  # noqa: E402

SCENARIOS = ["hits", "search", "forwarded", "node", "tcp", "dot", "workers", "latency", "churn", "sizes"]
# So small that a round takes tenths of a second.
SMALL = ["--services", "60", "--queries", "2000", "--rounds", "1", "--seconds", "2",
         "--open-seconds", "1", "--changes", "100", "--sizes", "50", "--only", "floor,signpost"]


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
        if all(is_free(number) for number in range(port, port + 6)):
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


@pytest.fixture(scope="module")
def whole_run(build, signpost, tmp_path_factory):
    """All scenarios on the floor and signpost: what is printed, and the JSON."""
    out = tmp_path_factory.mktemp("bench") / "result.json"
    ran = run_bench(build, "--signpost", signpost, *SMALL, "--json", out)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout, json.loads(out.read_text())


def test_every_scenario_has_its_rows(whole_run):
    printed, result = whole_run
    assert "\033" not in printed
    assert list(result["scenarios"]) == SCENARIOS
    rows = {name: list(made["servers"]) for name, made in result["scenarios"].items()}
    for name in ("hits", "search", "forwarded", "node", "tcp", "dot", "latency"):
        assert rows[name] == ["floor", "signpost"], name
    assert rows["workers"] == ["floor x1", "signpost x1", "floor x2", "signpost x2"]
    assert rows["churn"] == ["signpost"] and rows["sizes"] == ["signpost 50"]
    for made in result["scenarios"].values():
        assert made["failed"] == {} and made["absent"] == {}
        assert all(len(row["rounds"]) == 1 for row in made["servers"].values())
    tables = printed.split("\n\n")
    for name in SCENARIOS:
        table = next(t for t in tables if t.startswith(name + ": "))
        lines = [line.split() for line in table.splitlines()]
        assert lines[1][0] == "server" and lines[2][0] in ("floor", "signpost")


def test_no_answer_is_wrong(whole_run):
    """As signpost is right, every server's answers are compared, and some were."""
    for name, made in whole_run[1]["scenarios"].items():
        if name == "sizes":
            continue
        for label, row in made["servers"].items():
            assert row["wrong"] == 0, (name, label, row["rounds"])
            assert (row["checked"] > 0) == label.startswith("signpost"), (name, label)


def test_the_figures_are_there(whole_run):
    made = whole_run[1]["scenarios"]
    hits = made["hits"]["servers"]["signpost"]
    assert hits["ratio"]["median"] > 0 and hits["memory_mb"]["median"] > 0.1
    assert hits["first_answer_ms"]["median"] > 0
    load = hits["rounds"][0]["load"]
    assert load["answered"] + load["lost"] == 2000 and sum(load["rcodes"].values()) == load["answered"]
    assert made["search"]["servers"]["signpost"]["rounds"][0]["load"]["rcodes"]["NXDOMAIN"] > 0
    assert made["hits"]["servers"]["floor"]["ratio"]["median"] == 1
    latency = made["latency"]["servers"]["signpost"]
    assert 0 < latency["p50"]["median"] <= latency["p99.9"]["median"] <= latency["max"]["median"]
    assert latency["rounds"][0]["rate"] == int(latency["rounds"][0]["reach"] / 2)
    churn = made["churn"]["servers"]["signpost"]
    assert churn["changes_per_second"]["median"] > 0 and churn["all_seen_ms"]["median"] > 0
    size = made["sizes"]["servers"]["signpost 50"]
    assert size["cluster"]["services"] == 50 and size["seen_ms"]["median"] > 0


def test_changes_by_the_api_server(build, signpost):
    """Twice as many as there are slices: each goes there and back, and is seen both times."""
    ran = run_bench(build, "--signpost", signpost, *SMALL[:-1], "signpost-api", "--scenario", "churn")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    row = next(line.split() for line in ran.stdout.splitlines() if line.startswith("signpost-api"))
    assert row[-1] == "0"


def test_profile(build, signpost):
    """Where perf may not look, that is what is said."""
    ran = run_bench(build, "--signpost", signpost, "--services", "60", "--profile",
                    "--profile-seconds", "1")
    if ran.returncode:
        assert "no profile: perf" in ran.stdout, ran.stdout + ran.stderr
        pytest.skip(ran.stdout.strip().splitlines()[-1])
    lines = [line for line in ran.stdout.splitlines() if line and not line.startswith("note:")]
    assert lines[0].endswith("us/query") and " samples under hits, udp, " in lines[0]
    assert lines[1].split() == ["part", "share", "us/query"] and len(lines) > 4


def spread(value):
    return {"median": value, "min": value, "max": value}


def test_aims(capsys):
    """Those that nothing was measured for are left out."""
    sizes = {"signpost %d" % n: {"memory_mb": spread(mb), "us_per_change": spread(us)}
             for n, mb, us in ((100, 2, 50), (1000, 10, 50), (10000, 28, 50), (100000, 208, 60))}
    result = {"options": {"endpoints_per_service": 10},
              "scenarios": {"sizes": {"servers": sizes},
                            "latency": {"servers": {"signpost": {"over_floor": 12}}}}}
    aims.print_aims(result, report.Style())
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[0] for row in rows] == ["sizes:"] * 3 + ["latency:"]
    figures = [" ".join(row).replace(" -", "") for row in rows]
    assert figures[0].endswith("<= 30 MB 28.0 MB") and figures[1].endswith("<= 1 1.00 (2.0 KB)")
    assert figures[2].endswith("1 1.20 (50> 60 us)") and figures[3].endswith("<= 100 us +12 us")


def test_parts_of_a_profile():
    assert profiler.part_of_files(["/x/src/base/cursor.h", "/x/src/wire/msg_read.c"]) == "parse"
    assert profiler.part_of_files(["/x/src/base/metric.h", "/x/src/dns/chain.c"]) == "metrics"
    assert profiler.part_of_files([]) == "libraries"
    frames = [("memcpy", 0, "[kernel.kallsyms]"), ("__sys_sendmmsg", 0, "[kernel.kallsyms]"),
              ("sendmmsg", 0, "/lib/libc.so.6")]
    assert profiler.kernel_part(frames) == "kernel: send, and delivery to the client"


def test_what_is_absent_is_listed(build, tmp_path):
    ran = run_bench(build, "--signpost", tmp_path / "nowhere", "--services", "20", "--queries",
                    "500", "--rounds", "1", "--only", "floor,signpost", "--scenario", "hits")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "signpost        not built: %s" % (tmp_path / "nowhere") in ran.stdout


def test_a_server_that_fails_is_an_error(build, tmp_path):
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho out of order >&2\nexit 3\n")
    broken.chmod(0o755)
    ran = run_bench(build, "--signpost", broken, "--services", "20", "--queries", "500",
                    "--rounds", "1", "--open-seconds", "1", "--only", "floor,signpost",
                    "--scenario", "hits,latency")
    assert ran.returncode == 1
    assert ran.stdout.count("failed: ended with status 3: out of order") == 2


def test_a_port_in_use_is_refused(build):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        ran = run_bench(build, "--only", "floor", "--port", str(port))
    assert ran.returncode == 2 and "port %d of 127.0.0.1 is in use" % port in ran.stderr


@pytest.fixture()
def floor(build, tmp_path):
    """The port for UDP and TCP; the next speaks TLS."""
    port = free_port()
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert, "-subj",
                    "/CN=localhost"], check=True, capture_output=True, timeout=30)
    server = subprocess.Popen([build / "bench/floor", "--port", str(port), "--tls-port",
                               str(port + 1), "--cert", cert, "--key", key])
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


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_load_over_each_transport(build, floor, tmp_path, transport):
    names = tmp_path / "names"
    names.write_text("a.example A NODATA\nb.example AAAA NODATA\n")
    wait_for(build, floor, names)
    port = floor + 1 if transport == "tls" else floor
    ran = run_load(build, port, names, "--queries", "3000", "--check-every", "1", "--transport",
                   transport, "--window", "64")
    load = json.loads(ran.stdout)
    assert (load["answered"], load["lost"], load["wrong"]) == (3000, 0, 0)
    assert 0 < load["latency_us"]["p50"] <= load["latency_us"]["p99.9"] <= load["latency_us"]["max"]


def test_load_at_a_rate(build, floor, tmp_path):
    """1,000 queries, 2,000 a second: that the last is sent when it is due takes half a second."""
    names = tmp_path / "names"
    names.write_text("a.example A\n")
    wait_for(build, floor, names)
    ran = run_load(build, floor, names, "--queries", "1000", "--rate", "2000")
    load = json.loads(ran.stdout)
    assert load["answered"] + load["lost"] == 1000 and load["seconds"] >= 999 / 2000


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


def post(url):
    return json.load(urllib.request.urlopen(urllib.request.Request(url, data=b""), timeout=10))


@pytest.mark.parametrize("accept", ["application/json", kubeproto.CONTENT_TYPE])
def test_fake_api_changes(tmp_path, accept):
    """A watch is told of every change, in order, also of those before it began."""
    cluster.write_cluster(tmp_path, 60, 3, changing=2, zone_data=False)
    entries = changes.listed(tmp_path)
    server = subprocess.Popen([sys.executable, "-B", BENCH / "fakeapi.py", tmp_path / "manifests",
                               tmp_path / "before", "--changes", tmp_path],
                              stdout=subprocess.PIPE, text=True)
    try:
        url = "http://127.0.0.1:%d" % int(server.stdout.readline())
        assert post(url + "/bench/changes?count=1")["made"] == 1
        watch = get(url + "/apis/discovery.k8s.io/v1/endpointslices?watch=true&resourceVersion=1500"
                    "&timeoutSeconds=1", accept)
        post(url + "/bench/changes?count=3&first=1&rate=100")
        body = watch.read()
    finally:
        server.terminate()
        server.wait(5)
        server.stdout.close()
    first, second = ([entry[state].encode() for state in ("after", "before")] for entry in entries)
    found = [body.find(address) for address in (first[0], second[0])]
    assert -1 < found[0] < found[1]
    back = [body.rfind(address) for address in (first[1], second[1])]
    assert found[1] < back[0] < back[1]
    assert body.count(first[0]) == body.count(first[1]) == 1


def test_changes_in_a_folder(tmp_path):
    cluster.write_cluster(tmp_path, 60, 3, changing=2, zone_data=False)
    made = changes.FolderChanges(tmp_path)
    assert len(made.entries) == 2
    for count in range(6):
        states = list(changes.state_after(made.entries, count))
        for entry, (name, has, gone) in zip(made.entries, states):
            text = (tmp_path / "changing" / entry["file"]).read_text()
            assert name == entry["name"] and has in text and gone not in text, count
        made.make(count)


def test_upstream():
    name, address = next(cluster.forwarded_names())
    known = {upstream.wire_name(name): socket.inet_aton(address)}
    query = b"\x12\x34\x01\x00\x00\x01" + bytes(6) + upstream.wire_name(name)
    answer = upstream.answer(query + b"\x00\x01\x00\x01", known)
    assert answer[:8] == b"\x12\x34\x81\x80\x00\x01\x00\x01" and answer.endswith(known[upstream.wire_name(name)])
    nodata = upstream.answer(query + b"\x00\x1c\x00\x01", known)
    assert nodata[3] & 15 == 0 and nodata[6:10] == b"\x00\x00\x00\x01"
    missing = upstream.answer(query.replace(b"outside", b"nowhere") + b"\x00\x01\x00\x01", known)
    assert missing[3] & 15 == 3


def test_protobuf():
    """Against bytes worked out by hand from generated.proto."""
    namespace = {"apiVersion": "v1", "kind": "Namespace",
                 "metadata": {"name": "a", "labels": {"k": "v"}}, "status": {"phase": "Active"}}
    assert kubeproto.encode_object(namespace).hex() == (
        "0a0b" "0a0161" "5a06" "0a016b" "120176" "1a08" "0a06" + b"Active".hex())
    assert kubeproto.varint(300) == b"\xac\x02"
    with pytest.raises(KeyError):
        kubeproto.encode_object({"kind": "Namespace", "metadata": {"surprise": "x"}})
