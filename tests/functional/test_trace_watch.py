"""signpost trace --watch: a line for each query and connection of a pod, in a lab and on a node."""
import json
import os
import shutil
import signal
import subprocess
import threading

import pytest

from lab_world import close_lab, open_lab, pod, wait
from node_world import VIP, WEB
from proxy_world import pod4, world  # noqa: F401
from trace_world import Hand

CLIENT = """
kind: Pod
apiVersion: v1
metadata: {name: client, namespace: app}
spec:
  nodeName: node-1
  terminationGracePeriodSeconds: 1
  containers: [{name: shell, command: [sleep, infinity]}]
"""


class Watch:
    """A running `trace --watch --output json`; its lines as they come."""

    def __init__(self, process):
        self.process, self.lines = process, []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def find(self, **want):
        return [l for l in self.lines if all(l.get(k) == v for k, v in want.items())]

    def one(self, seconds=10, **want):
        wait(lambda: self.find(**want), seconds)
        return self.find(**want)[0]

    def end(self, number=signal.SIGINT):
        """Its last line: the sum."""
        self.process.send_signal(number)
        status = self.process.wait(10)
        self.reader.join(10)
        assert status == 0, self.process.stderr.read()
        return self.lines[-1]


def end_of(line):
    return line["arrivesAt"] and (line["arrivesAt"]["pod"], line["arrivesAt"]["port"])


# ---- a lab


@pytest.fixture(scope="module")
def lab(signpost, root):
    lab = open_lab(signpost)
    shutil.copytree(root / "examples" / "shop", lab.source, dirs_exist_ok=True)
    lab.write("pods.yaml", "---".join([pod("web", "node-2"), CLIENT, """
kind: Namespace
apiVersion: v1
metadata: {name: app}
---
kind: Service
apiVersion: v1
metadata: {name: web, namespace: app}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
kind: Service
apiVersion: v1
metadata: {name: nobody, namespace: app}
spec: {selector: {app: nobody}, ports: [{port: 80}]}
"""]))
    lab.call("up", str(lab.source))
    wait(lambda: lab.call("exec", "app/client", "--", "curl", "-s", "-m", "2", "http://web/", check=False).returncode == 0, 30)
    yield lab
    close_lab(lab)


def watch_lab(lab, *arguments):
    return Watch(subprocess.Popen(
        [lab.program, "trace", "--lab-dir", str(lab.dir), "--watch", "--output", "json", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))


def curl(lab, url, *more):
    return lab.call("exec", "app/client", "--", "curl", "-s", "-m", "3", *more, url, check=False).stdout


def until_it_sees(w, request):
    """Until the first line is there; then the lines are forgotten."""
    def seen():
        request()
        return w.lines
    wait(seen, 15)
    del w.lines[:]


def test_the_flows_of_a_pod_in_a_lab(lab):
    w = watch_lab(lab, "app/client", "--wait", "1")
    until_it_sees(w, lambda: curl(lab, "http://web/"))
    curl(lab, "http://web/")
    name = "web.app.svc.cluster.local."
    query = w.one(flow="dns", name=name, type="A", result="NOERROR")
    assert query["to"]["service"] == "kube-system/kube-dns:dns" and query["answer"].startswith("A 10.96.")
    assert end_of(query)[0].startswith("kube-system/kube-dns-") and end_of(query)[1] == 53
    tcp = w.one(flow="tcp", name=name, type="A", result="ok")
    assert tcp["to"]["service"] == "app/web:http" and end_of(tcp) == ("app/web", 8080)
    assert tcp["from"]["pod"] == "app/client" and tcp["direction"] == "out" and 0 < tcp["ms"] < 1000
    curl(lab, "http://nobody/")
    assert end_of(w.one(flow="tcp", to=w.one(flow="tcp", name="nobody.app.svc.cluster.local.")["to"], result="refused")) is None
    curl(lab, "http://no-such/")
    assert w.one(flow="dns", name="no-such.app.svc.cluster.local.", type="A")["result"] == "NXDOMAIN"
    curl(lab, "http://10.244.2.250:81/")
    assert w.one(flow="tcp", result="no answer")["ms"] is None
    tables = lab.call("exec", "--node", "node-1", "--", "nft", "list", "tables").stdout
    assert "trace" not in tables
    last = w.end()
    assert (last["lostPackets"], last["lostFlows"]) == (0, 0) and last["lines"] >= len(w.lines) - 1


def test_who_asks_a_pod(lab):
    w = watch_lab(lab, "app/web")

    def asked():  # the node asks, too: it probes
        curl(lab, "http://web/")
        return [l for l in w.find(flow="tcp", direction="in", result="ok") if l["from"]["pod"] == "app/client"]
    wait(asked, 15)
    line = asked()[0]
    assert (line["to"]["pod"], line["to"]["port"], end_of(line)) == ("app/web", 8080, ("app/web", 8080))
    w.end(signal.SIGTERM)


def test_a_port_where_nobody_listens(lab):
    w = watch_lab(lab, "app/client")
    until_it_sees(w, lambda: curl(lab, "http://web/"))
    ip = lab.object("pod_app_web")["status"]["podIP"]
    curl(lab, "http://web:81/")  # no such port of the Service: a rule refuses
    curl(lab, "http://%s:82/" % ip)
    assert end_of(w.one(flow="tcp", result="refused", name=None)) == ("app/web", 82)
    wait(lambda: len(w.find(flow="tcp", result="refused")) == 2)
    w.end()


def test_nothing_is_left_when_it_is_killed(lab):
    folders = set(os.listdir("/tmp"))
    w = watch_lab(lab, "app/client")
    until_it_sees(w, lambda: curl(lab, "http://web/"))
    pid = int((lab.dir / "pods" / "app_client" / "pid").read_text())
    sockets = "/proc/%d/net/packet" % pid
    assert len(open(sockets, encoding="ascii").read().splitlines()) == 2
    w.process.kill()
    w.process.wait(10)
    assert len(open(sockets, encoding="ascii").read().splitlines()) == 1  # its head
    slow = subprocess.Popen([lab.program, "trace", "--lab-dir", str(lab.dir), "--wait", "30", "app/client", "10.244.2.250"],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    tables = lambda: lab.call("exec", "--node", "node-1", "--", "nft", "list", "tables").stdout  # noqa: E731
    wait(lambda: "signpost_trace" in tables(), 15)
    ours = processes_below(slow.pid)
    assert ours  # curl, in the pod
    slow.kill()
    slow.wait(10)
    wait(lambda: "signpost_trace" not in tables() and not any(os.path.exists("/proc/%d" % p) for p in ours))
    assert len(open(sockets, encoding="ascii").read().splitlines()) == 1
    assert {f for f in set(os.listdir("/tmp")) - folders if "signpost" in f and "trace" in f} == set()


def processes_below(pid):
    """Those that it started, and so on."""
    found = [pid]
    for p in found:
        with open("/proc/%d/task/%d/children" % (p, p), encoding="ascii") as f:
            found += [int(word) for word in f.read().split()]
    return found[1:]


def test_objects_that_come_later_have_their_names(lab):
    w = watch_lab(lab, "app/client")
    until_it_sees(w, lambda: curl(lab, "http://web/"))
    lab.write("late.yaml", pod("late", "node-1") + """
---
kind: Service
apiVersion: v1
metadata: {name: late, namespace: app}
spec: {selector: {app: late}, ports: [{port: 80, targetPort: 8080}]}
""")
    def seen():
        curl(lab, "http://late/")
        return w.find(flow="tcp", result="ok") and w.find(flow="tcp", result="ok")[-1]["to"]["service"] == "app/late:80"
    wait(seen, 30)
    assert end_of(w.find(flow="tcp", result="ok")[-1]) == ("app/late", 8080)
    w.end()


def test_limits_and_text(lab):
    process = subprocess.Popen([lab.program, "trace", "--lab-dir", str(lab.dir), "--watch", "--count", "3", "app/client"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    def ended():
        curl(lab, "http://web/")
        return process.poll() is not None
    wait(ended, 15)
    lines = process.stdout.read().splitlines()
    assert process.returncode == 0 and len(lines) == 4
    assert lines[0].split() == ["time", "flow", "name", "type", "to", "arrives", "at", "ms", "result"]
    assert any("web.app.svc.cluster.local." in l and "kube-system/kube-dns:dns 10.96.0.10" in l for l in lines[1:])
    done = subprocess.run([lab.program, "trace", "--lab-dir", str(lab.dir), "--watch", "--for", "1", "app/client"],
                          capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 1


def test_a_pod_that_ends(lab):
    lab.write("short.yaml", CLIENT.replace("client", "short"))
    wait(lambda: (lab.dir / "pods" / "app_short" / "pid").exists(), 20)
    w = watch_lab(lab, "app/short")
    until_it_sees(w, lambda: lab.call("exec", "app/short", "--", "curl", "-s", "-m", "3", "http://127.0.0.1:1/",
                                      "http://10.96.0.10:1/", check=False))
    (lab.source / "short.yaml").unlink()
    status, said = w.process.wait(20), w.process.stderr.read()
    assert status == 0 and "pod app/short has ended" in said, said


@pytest.mark.parametrize("arguments, words", [
    (["--watch"], "give whom to watch"), (["--watch", "app/none"], "there is no pod app/none"),
    (["--watch", "web"], "give a pod as NAMESPACE/POD"),
    (["--watch", "app/client", "--output", "html"], "--output html"),
    (["--count", "3", "app/client", "web"], "--for and --count"),
    (["--watch", "--count", "-1", "app/client"], "1 or more"), (["--watch", "--pid", "999999999"], "no such process"),
])
def test_refusals(lab, arguments, words):
    lab_dir = [] if "--pid" in arguments else ["--lab-dir", str(lab.dir)]
    done = subprocess.run([lab.program, "trace", *lab_dir, *arguments], capture_output=True, text=True,
                          timeout=20, check=False)
    assert done.returncode == 2 and done.stderr.startswith("signpost trace: ") and words in done.stderr


# ---- a node, made by hand


def watch_hand(hand, *arguments):
    return Watch(hand.start("--watch", "--output", "json", *arguments))


@pytest.fixture
def hand(world, signpost, tmp_path):  # noqa: F811
    return Hand(world, signpost, tmp_path)


def test_a_process_of_a_node(hand):
    w = watch_hand(hand, "--pid", str(hand.process.pid), "--manifests", hand.world.folder)
    until_it_sees(w, lambda: hand.dig())
    hand.dig()
    hand.dig(WEB, "+tcp")
    hand.world.ask("c1", "tcp", "10.96.0.80", 80)
    hand.world.ask("c1", "udp", "10.96.0.80", 7)
    hand.world.ask("c1", "tcp", "10.96.0.81", 80)
    query = w.one(flow="dns", name=WEB + ".", type="A", result="NOERROR")
    assert query["to"]["service"] == "kube-system/kube-dns:udp" and end_of(query) == ("t/p1", 53)
    assert w.one(flow="dns/tcp", name=WEB + ".")["to"]["service"] == "kube-system/kube-dns:tcp"
    tcp = w.one(flow="tcp", result="ok", to={"ip": "10.96.0.80", "port": 80, "pod": None, "node": None,
                                             "service": "t/web:http"})
    assert end_of(tcp) == ("t/p2", 8080) and tcp["from"]["pod"] == "t/c1"
    udp = w.one(flow="udp", result="ok")
    assert udp["to"]["service"] == "t/web:echo" and end_of(udp) == ("t/p2", 8080)
    assert w.one(flow="tcp", result="refused")["to"]["service"] == "t/nobody:http"
    assert w.end()["lostPackets"] == 0
    assert "trace" not in hand.world.run("nft", "list", "tables").stdout


def test_a_pod_of_a_node_is_found_by_its_address(hand):
    w = watch_hand(hand, "t/c1", "--manifests", hand.world.folder)
    until_it_sees(w, lambda: hand.dig())
    hand.world.ask("c1", "tcp", "10.96.0.80", 80)
    assert end_of(w.one(flow="tcp", result="ok")) == ("t/p2", 8080)
    w.end()
    gone = hand.world.run(hand.signpost, "trace", "--watch", "t/p1", "--manifests", hand.world.folder,
                          "--service-cluster-ip-range", "10.96.0.0/16", "--for", "1", check=False)
    assert gone.returncode == 0, gone.stderr
    hand.world.write("far", {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "far", "namespace": "t"},
                             "spec": {"nodeName": "node9"}, "status": {"podIP": "10.244.9.9", "phase": "Running"}})
    away = hand.world.run(hand.signpost, "trace", "--watch", "t/far", "--manifests", hand.world.folder, check=False)
    assert away.returncode == 2 and "pod t/far is not on this node" in away.stderr


def test_without_objects_there_are_addresses(hand):
    w = watch_hand(hand, "--pid", str(hand.process.pid))
    until_it_sees(w, lambda: hand.dig())
    hand.dig()
    line = w.one(flow="dns", name=WEB + ".")
    assert (line["to"]["ip"], line["to"]["service"], line["arrivesAt"]["ip"]) == (VIP, None, pod4("p1"))
    w.end()


def test_without_the_right_it_says_so(signpost):
    if os.geteuid() == 0:
        user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    else:
        user = []
    child = subprocess.Popen(["sleep", "60"])
    try:
        done = subprocess.run([*user, signpost, "trace", "--watch", "--pid", str(child.pid)], capture_output=True,
                              text=True, timeout=20, check=False)
    finally:
        child.kill()
        child.wait()
    assert done.returncode == 2 and "run as root" in done.stderr


def test_it_does_not_wait_for_a_reader_that_has_gone(hand):
    read, write = os.pipe()
    process = hand.world.start(hand.signpost, "trace", "--watch", "--pid", str(hand.process.pid), stdout=write,
                               stderr=subprocess.PIPE)
    os.close(write)
    os.close(read)
    hand.world.wait_for(lambda: (hand.dig(), process.poll() is not None)[1], 10)
    assert process.returncode == 2 and "cannot write" in process.stderr.read()


