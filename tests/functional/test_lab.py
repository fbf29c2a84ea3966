"""The lab: nodes and pods as namespaces, without root, and nothing left behind."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import pytest

from lab_world import NODES, Lab, close_lab, is_ready, open_lab, pod, wait


@pytest.fixture(scope="module")
def world(signpost):
    """A lab of two nodes and three pods that all tests here share."""
    lab = open_lab(signpost)
    lab.write("nodes.yaml", NODES)
    lab.write("client.yaml", pod("client", "n1"))
    lab.write("near.yaml", pod("near", "n1"))
    lab.write("far.yaml", pod("far", "n2"))
    lab.call("up", str(lab.source))
    yield lab
    close_lab(lab)


def address(lab, name):
    return lab.object("pod_app_" + name)["status"]["podIP"]


def test_addresses_are_of_the_nodes(world):
    assert address(world, "client").startswith("10.244.1.")
    assert address(world, "far").startswith("10.244.2.")
    status = world.object("pod_app_far")["status"]
    assert status["phase"] == "Running"
    assert status["hostIP"] == "172.18.0.12"
    assert is_ready(world.object("pod_app_far"))


@pytest.mark.parametrize("name", ["near", "far"])
def test_pods_reach_each_other_without_translation(world, name):
    answer = json.loads(world.run("app/client", "curl", "-sS", "-m", "5",
                                  "http://%s:8080/" % address(world, name)))
    assert answer["pod"] == name
    assert answer["client"].split(":")[0] == address(world, "client")
    assert answer["local"] == address(world, name) + ":8080"


@pytest.mark.parametrize("name", ["near", "far"])
def test_the_same_over_ipv6(world, name):
    ips = [i["ip"] for i in world.object("pod_app_" + name)["status"]["podIPs"]]
    mine = [i["ip"] for i in world.object("pod_app_client")["status"]["podIPs"]]
    assert ips[1].startswith("fd00:10:244:")
    answer = json.loads(world.run("app/client", "curl", "-sS", "-m", "5",
                                  "http://[%s]:8080/" % ips[1]))
    assert answer["pod"] == name
    assert answer["client"].startswith("[%s]:" % mine[1])


def test_files_are_those_of_a_kubelet(world):
    assert world.run("app/client", "cat", "/etc/resolv.conf") == (
        "search app.svc.cluster.local svc.cluster.local cluster.local\n"
        "nameserver 10.96.0.10\n"
        "options ndots:5\n")
    hosts = world.run("app/client", "cat", "/etc/hosts")
    assert hosts.startswith("# Kubernetes-managed hosts file.\n")
    ips = [i["ip"] for i in world.object("pod_app_client")["status"]["podIPs"]]
    assert hosts.endswith("".join("%s\tclient\n" % ip for ip in ips))
    assert world.run("app/client", "hostname").strip() == "client"
    assert world.run("app/client", "getent", "ahostsv4", "client").split()[0] == address(
        world, "client")


def test_a_pod_cannot_touch_this_machine(world):
    for path in ["/usr/lab-was-here", "/etc/../usr/bin/lab-was-here", "/.lab/etc/lab-was-here"]:
        assert world.call("exec", "app/client", "--", "touch", path, check=False).returncode
        assert not os.path.exists(path)
    world.run("app/client", "touch", "/tmp/lab-was-here", "/etc/lab-was-here")
    assert not os.path.exists("/tmp/lab-was-here")
    assert not os.path.exists("/etc/lab-was-here")
    links = world.run("app/client", "cat", "/proc/net/dev")
    assert re.findall(r"^ *(\w+):", links, re.M) in (["lo", "eth0"], ["eth0", "lo"])


def test_exec_hands_the_status_on(world):
    assert world.call("exec", "app/client", "--", "sh", "-c", "exit 7", check=False).returncode == 7
    assert world.call("exec", "app/client", "--", "no-such", check=False).returncode == 127
    missing = world.call("exec", "app/nobody", "--", "true", check=False)
    assert missing.returncode == 1
    assert "no pod app/nobody" in missing.stderr


def test_exec_in_a_node(world):
    done = world.call("exec", "--node", "n1", "--", "hostname")
    assert done.stdout == "n1\n"


def test_status_shows_all(world):
    text = world.call("status").stdout
    for word in ["n1", "172.18.0.12", "app/client", address(world, "far"), "ready"]:
        assert word in text


def test_a_second_lab_in_the_same_place_is_refused(world):
    again = world.call("up", str(world.source), check=False)
    assert again.returncode == 1
    assert "already runs" in again.stderr
    assert world.run("app/client", "true") == ""


def test_a_pod_comes_and_goes_with_its_manifest(world):
    world.write("extra.yaml", pod("extra", "n2"))
    path = world.dir / "objects" / "pod_app_extra.json"
    wait(lambda: path.exists() and is_ready(world.object("pod_app_extra")))
    pid = int((world.dir / "pods" / "app_extra" / "pid").read_text())
    (world.source / "extra.yaml").unlink()
    wait(lambda: not path.exists())
    assert not os.path.exists("/proc/%d/root" % pid)
    wait(lambda: not (world.dir / "pods" / "app_extra").exists())


def test_a_gateway_keeps_its_address(world):
    """Else pods that know it would send to nobody for seconds after another pod came or went."""
    def link():
        return re.search(r"link/ether (\S+)", world.call("exec", "--node", "n1", "--", "ip", "link", "show", "cni0").stdout)[1]

    before, seen = link(), set()
    names = ["come-%d" % i for i in range(6)]
    for name in names:  # a bridge would take the lowest of its members' addresses, which are by chance
        world.write(name + ".yaml", pod(name, "n1"))
        wait(lambda n=name: (world.dir / "objects" / ("pod_app_%s.json" % n)).exists())
        seen.add(link())
    for name in names:
        (world.source / (name + ".yaml")).unlink()
        wait(lambda n=name: not (world.dir / "objects" / ("pod_app_%s.json" % n)).exists())
        seen.add(link())
    assert seen == {before}


def test_readiness_follows_the_probe(world):
    world.run("app/near", "touch", "/tmp/unready")
    wait(lambda: not is_ready(world.object("pod_app_near")))
    world.run("app/near", "rm", "/tmp/unready")
    wait(lambda: is_ready(world.object("pod_app_near")))


def test_readiness_of_the_manifest_wins(world):
    told = pod("near", "n1") + "status: {conditions: [{type: Ready, status: 'False'}]}\n"
    world.write("near.yaml", told)
    wait(lambda: not is_ready(world.object("pod_app_near")))
    world.write("near.yaml", pod("near", "n1"))
    wait(lambda: is_ready(world.object("pod_app_near")))


def test_a_changed_spec_is_a_new_pod(world):
    pid = (world.dir / "pods" / "app_near" / "pid").read_text()
    world.write("near.yaml", pod("near", "n1").replace("--port", "--name, other, --port"))

    def is_new():
        try:
            now = (world.dir / "pods" / "app_near" / "pid").read_text()
            return now != pid and is_ready(world.object("pod_app_near"))
        except FileNotFoundError:
            return False

    wait(is_new)
    answer = world.run("app/client", "curl", "-sS", "http://%s:8080/" % address(world, "near"))
    assert json.loads(answer)["pod"] == "other"


def test_a_broken_file_keeps_its_pods(world):
    world.write("far.yaml", "kind: Pod\nmetadata: {name: far\n")
    wait(lambda: "far.yaml:" in (world.dir / "log").read_text())
    assert is_ready(world.object("pod_app_far"))
    world.write("far.yaml", pod("far", "n2"))
    assert world.run("app/far", "true") == ""


def test_what_is_not_offered_is_refused_by_name(world):
    world.write("odd.yaml", pod("odd", "n1", containers="initContainers: [{name: x}]\n  containers"))
    path = world.dir / "objects" / "pod_app_odd.json"
    wait(path.exists)
    status = world.object("pod_app_odd")["status"]
    assert status["phase"] == "Pending"
    assert "initContainers are not offered" in status["message"]
    (world.source / "odd.yaml").unlink()
    wait(lambda: not path.exists())


def test_a_config_map_is_a_folder_that_follows(world):
    world.write("map.yaml", "kind: ConfigMap\nmetadata: {name: m, namespace: app}\n"
                            "data: {word: one}\n")
    world.write("reader.yaml", pod("reader", "n1").replace(
        "spec:\n", "spec:\n  volumes: [{name: v, configMap: {name: m}}]\n").replace(
        "image: signpost\n",
        "image: signpost\n      volumeMounts: [{name: v, mountPath: /etc/words}]\n"))
    path = world.dir / "objects" / "pod_app_reader.json"
    wait(lambda: path.exists() and is_ready(world.object("pod_app_reader")))
    assert world.run("app/reader", "cat", "/etc/words/word") == "one"
    world.write("map.yaml", "kind: ConfigMap\nmetadata: {name: m, namespace: app}\n"
                            "data: {word: two}\n")
    wait(lambda: world.run("app/reader", "cat", "/etc/words/word") == "two")


def test_nothing_survives_its_first_process(signpost, tmp_path):
    if subprocess.run(["unshare", "-Urnmp", "--fork", "true"], check=False).returncode:
        pytest.skip("this machine gives no user namespaces")
    lab = Lab(signpost, tmp_path)
    lab.write("client.yaml", pod("client", "node-1"))  # no Node described: there is one
    lab.call("up", str(lab.source))
    pids = [lab.pid()] + [int(p.read_text()) for p in lab.dir.glob("*/*/pid")]
    assert len(pids) == 3  # the lab, its node, its pod
    lab.call("down")
    assert not lab.dir.exists()
    for pid in pids:
        wait(lambda pid=pid: not os.path.exists("/proc/%d/root" % pid))


def test_bad_arguments(signpost, tmp_path):
    for args, words in [(["lab"], "what shall it do"), (["lab", "fly"], 'there is no "fly"'),
                        (["lab", "up", str(tmp_path / "none")], "No such file"),
                        (["lab", "exec", "--dir", str(tmp_path / "none"), "a/b", "--", "true"],
                         "no lab runs"),
                        (["lab", "down", "--dir", str(tmp_path / "none")], "no lab runs"),
                        (["lab", "backend", "--port", "0"], "give 1 to 65535")]:
        done = subprocess.run([signpost, *args], capture_output=True, text=True, check=False)
        assert done.returncode == 1, args
        assert words in done.stderr, args


WALK = ["name typed", "resolver", "queries", "their way", "record, and why", "virtual IP",
        "rule and endpoint", "route", "arrival", "conntrack", "reply", "total"]


@pytest.fixture(name="tmpdir_alone")
def tmpdir_alone_fixture():
    """A TMPDIR that no other demonstration uses, with a short name."""
    path = pathlib.Path(subprocess.check_output(["mktemp", "-d", "/tmp/demo-XXXXXX"], text=True).strip())
    yield path
    path.rmdir()


def demo(signpost, source, tmpdir):
    return subprocess.run([signpost, "lab", "demo", str(source)], env=dict(os.environ, TMPDIR=str(tmpdir)),
                          capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def shop(world, root, tmp_path_factory):
    """A copy of the example, to be spoiled."""
    to = tmp_path_factory.mktemp("shop") / "shop"
    shutil.copytree(root / "examples" / "shop", to)
    return to


def test_the_demonstration(world, signpost, root, tmpdir_alone):
    done = demo(signpost, root / "examples" / "shop", tmpdir_alone)
    assert done.returncode == 0, done.stdout + done.stderr
    steps = re.findall(r"^ +\d+  (\w.*?)  ", done.stdout, re.M)
    assert steps[:len(WALK)] == WALK
    assert "NOT SEEN" not in done.stdout and "UNEXPECTED" not in done.stdout
    assert "every step was observed" in done.stdout
    assert not list(tmpdir_alone.iterdir())


def test_an_interrupted_demonstration_leaves_nothing(world, signpost, root, tmpdir_alone):
    with subprocess.Popen([signpost, "lab", "demo", str(root / "examples" / "shop")],
                          env=dict(os.environ, TMPDIR=str(tmpdir_alone)), start_new_session=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.startswith("Lab in "):  # early: what is left must take longer than this takes
                break
        lab = [int(path.read_text()) for path in tmpdir_alone.glob("signpost-demo-*/lab/pid")]
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(20) == 1
        assert "ended by signal 2" in process.stderr.read()
    assert len(lab) == 1 and not list(tmpdir_alone.iterdir())
    for pid in lab:
        wait(lambda pid=pid: not os.path.exists("/proc/%d/root" % pid))


def test_the_demonstration_fails_loudly(shop, signpost, tmpdir_alone):
    """Without a proxy on foo's node nothing leads from a Service address to a pod."""
    path = shop / "kube-system" / "signpost-1.yaml"
    without = path.read_text().replace("        - up\n", "        - up\n        - --proxy=false\n")
    without = without.replace("httpGet:\n          path: /healthz\n          port: 10256", "tcpSocket:\n          port: 6443")
    assert "--proxy=false" in without and "tcpSocket" in without
    path.write_text(without)
    done = demo(signpost, shop, tmpdir_alone)
    assert done.returncode == 1
    assert "http://bar/ gave no answer" in done.stderr


@pytest.fixture(name="cached")
def cached_fixture(world, root, tmp_path):
    """The shop with a cache on each node."""
    shutil.copytree(root / "examples" / "shop", tmp_path / "shop")
    for path in (root / "examples" / "node-cache").glob("*.yaml"):
        shutil.copy(path, tmp_path / "shop" / "kube-system")
    return tmp_path / "shop"


def let_end_slowly(shop):
    """The pods of the cluster DNS serve on while the proxies learn that they end."""
    for name, old, new in (("coredns", "lameduck 0s", "lameduck 2s"),
                           ("kube-dns-1", "PeriodSeconds: 2", "PeriodSeconds: 5"),
                           ("kube-dns-2", "PeriodSeconds: 2", "PeriodSeconds: 5")):
        path = shop / "kube-system" / (name + ".yaml")
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))


def test_the_demonstration_with_a_cache_on_each_node(cached, signpost, tmpdir_alone):
    done = demo(signpost, cached, tmpdir_alone)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not tracked: 10.96.0.10:53 is node-1's own address" in done.stdout
    outside = re.search(r"a name of the world outside .*", done.stdout)[0]
    assert "203.0.113.20" in outside and re.search(r"NOERROR +2 ", outside), "one round trip: " + outside


FRESH_NAMES = """import socket, struct, sys, time
end, n, bad = time.monotonic() + float(sys.argv[1]), 0, []
print("ready", flush=True)
while time.monotonic() < end:
    n += 1
    labels = ["x%d" % n, "other", "svc", "cluster", "local"]
    name = b"".join(bytes([len(l)]) + l.encode() for l in labels) + b"\\0"
    with socket.socket(type=socket.SOCK_DGRAM) as s:
        s.settimeout(5)
        s.sendto(struct.pack("!6H", n & 65535, 256, 1, 0, 0, 0) + name + b"\\0\\1\\0\\1", ("10.96.0.10", 53))
        try:
            rcode = s.recv(512)[3] & 15
        except OSError as e:
            rcode = str(e)
    if rcode != 3:
        bad.append((n, rcode))
    time.sleep(0.002)
print(n, bad)
"""


def test_pods_of_the_cluster_dns_are_exchanged_behind_the_caches(cached, signpost, tmp_path):
    """One by one, while a pod asks for names that no cache has: nothing is lost."""
    lab = Lab(signpost, tmp_path)
    let_end_slowly(cached)
    lab.source.rmdir()
    lab.source = cached
    lab.call("up", str(cached))
    try:
        load = subprocess.Popen([signpost, "lab", "exec", "--dir", str(lab.dir), "shop/foo", "--",
                                 "python3", "-c", FRESH_NAMES, "14"], stdout=subprocess.PIPE, text=True)
        assert load.stdout.readline() == "ready\n"
        for name in ("kube-dns-1", "kube-dns-2"):
            path = cached / "kube-system" / (name + ".yaml")
            text = path.read_text()
            path.unlink()
            wait(lambda name=name: name not in lab.call("status").stdout)
            path.write_text(text)
            wait(lambda name=name: re.search(name + r" +\S+ +\S+ +ready ", lab.call("status").stdout))
        asked, bad = load.communicate(timeout=60)[0].split(None, 1)
        assert int(asked) > 500 and bad.strip() == "[]", (asked, bad)
    finally:
        lab.call("down")
