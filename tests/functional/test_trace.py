"""signpost trace: what it says of a request is what the lab was made to do with it."""
import html.parser
import json
import shutil
import subprocess

import pytest

from lab_world import close_lab, is_ready, open_lab, wait

WEB = """
kind: Pod
apiVersion: v1
metadata: {name: %(name)s, namespace: shop, labels: {app: %(name)s}}
spec:
  nodeName: %(node)s
  terminationGracePeriodSeconds: 1
  containers:
    - name: web
      image: signpost
      args: [lab, backend, --port, "8080"]
      ports: [{name: http, containerPort: 8080}]
      readinessProbe: {tcpSocket: {port: %(ready)s}, periodSeconds: 1, failureThreshold: 1}
"""

SHELL = """
kind: Pod
apiVersion: v1
metadata: {name: hasty, namespace: shop}
spec:
  nodeName: node-1
  terminationGracePeriodSeconds: 1
  dnsConfig: {options: [{name: timeout, value: "1"}, {name: attempts, value: "1"}]}
  containers: [{name: shell, command: [sleep, infinity]}]
"""

SERVICE = """
kind: Service
apiVersion: v1
metadata: {name: %(name)s, namespace: shop}
spec:
  %(more)s
  ports: [{name: http, port: 80, targetPort: %(port)s}]
"""

SLICE = """
kind: EndpointSlice
apiVersion: discovery.k8s.io/v1
metadata: {name: ghost-1, namespace: shop, labels: {kubernetes.io/service-name: ghost}}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}]
endpoints: [{addresses: [10.244.2.200], conditions: {ready: true}}]
"""


def objects():
    far = "selector: {app: far}"
    services = [
        ("far", far, "http"), ("near", "selector: {app: near}", "http"), ("wrong-port", far, "8081"),
        ("no-such-name", far, "grpc"), ("nobody", "selector: {app: none}", "8080"),
        ("asleep", "selector: {app: asleep}", "http"), ("ghost", "sessionAffinity: None", "8080"),
        ("bare", "{clusterIP: None, selector: {app: asleep}}"[1:-1].replace(", ", "\n  "), "8080"),
        ("local", "selector: {app: far}\n  internalTrafficPolicy: Local", "http"),
    ]
    pods = [("far", "node-2", 8080), ("near", "node-1", 8080), ("asleep", "node-2", 9)]
    texts = [SERVICE % {"name": n, "more": more, "port": port} for n, more, port in services]
    texts += [WEB % {"name": n, "node": node, "ready": ready} for n, node, ready in pods]
    return "---".join(texts + [SHELL, SLICE])


@pytest.fixture(scope="module")
def lab(signpost, root):
    lab = open_lab(signpost)
    shutil.copytree(root / "examples" / "shop", lab.source, dirs_exist_ok=True)
    lab.call("up", str(lab.source))
    lab.write("more.yaml", objects())
    wait(lambda: all((lab.dir / "objects" / ("pod_shop_%s.json" % n)).exists() for n in ("far", "near", "hasty")))
    wait(lambda: all(is_ready(lab.object("pod_shop_" + n)) for n in ("far", "near", "hasty")), 20)
    wait(lambda: trace(lab, "shop/foo", "near")["outcome"] == "answered", 20)
    wait(lambda: trace(lab, "shop/foo", "far")["outcome"] == "answered", 20)
    wait(lambda: trace(lab, "shop/foo", "wrong-port")["outcome"] == "port-closed", 20)
    wait(lambda: trace(lab, "shop/foo", "ghost")["outcome"] == "lost", 20)
    yield lab
    close_lab(lab)


def call(lab, *arguments):
    return subprocess.run([lab.program, "trace", "--lab-dir", str(lab.dir), *arguments], capture_output=True,
                          text=True, timeout=90, check=False)


def trace(lab, client, to, seconds=3):
    done = call(lab, "--output", "json", "--wait", str(seconds), client, to)
    assert done.returncode in (0, 1), done.stderr
    seen = json.loads(done.stdout)
    assert done.returncode == (0 if seen["outcome"] == "answered" else 1)
    return seen


def address(lab, pod):
    return lab.object("pod_shop_" + pod)["status"]["podIP"]


SOUND = [
    ("bar", "pod shop/bar-"), ("bar:80", "pod shop/bar-"), ("bar.shop", "pod shop/bar-"),
    ("bar.other", "pod other/bar on node-2"), ("bar.shop.svc.cluster.local.", "pod shop/bar-"),
    ("db.data:5432", "pod data/db-"), ("db-0.db.data:5432", "pod data/db-0 on node-1"),
    ("near", "pod shop/near on node-1"), ("far", "pod shop/far on node-2"), ("{far}:8080", "pod shop/far on node-2"),
    ("{near}:8080", "pod shop/near on node-1"),
]


@pytest.mark.parametrize("to, peer", SOUND)
def test_sound_requests(lab, to, peer):
    seen = trace(lab, "shop/foo", to.format(far=address(lab, "far"), near=address(lab, "near")))
    assert seen["outcome"] == "answered" and "and " + peer in seen["verdict"], seen["verdict"]
    assert "answered with status 200" in seen["verdict"]


def test_a_pod_that_asks_for_its_own_service(lab):
    seen = trace(lab, "shop/near", "near.shop")
    assert seen["outcome"] == "answered" and "pod shop/near on node-1 answered" in seen["verdict"]


def test_a_pod_that_asks_for_itself(lab):
    seen = trace(lab, "shop/near", "near:8080")  # its hosts file has that name
    assert seen["outcome"] == "answered" and "without a packet leaving it" in seen["verdict"]


BROKEN = [  # what was asked for, the outcome, words of the verdict
    ("nosuch", "name-unknown", "there is no such name"),
    ("bare", "name-unknown", "there is no such name"),
    ("nobody", "rejected", "reject-chain: reject"),
    ("asleep", "rejected", "reject-chain: reject"),
    ("no-such-name", "rejected", "reject-chain: reject"),
    ("local", "dropped", "drop"),
    ("bar:81", "rejected", "a port that no service has"),
    ("10.96.0.251", "dropped", "an address that no service has"),
    ("wrong-port", "port-closed", ":8081 at pod shop/far on node-2, where nothing listens"),
    ("{far}:81", "port-closed", ":81 arrived at pod shop/far on node-2, where nothing listens"),
    ("ghost", "lost", "sent on to 10.244.2.200:8080, where it did not arrive"),
]


@pytest.mark.parametrize("to, outcome, words", BROKEN)
def test_broken_requests(lab, to, outcome, words):
    seen = trace(lab, "shop/foo", to.format(far=address(lab, "far")))
    assert (seen["outcome"], words in seen["verdict"]) == (outcome, True), seen["verdict"]


class Lossy:
    """A table of rules in a pod or node, for as long as the block lasts."""

    def __init__(self, lab, where, hook, rule):
        self.lab, self.where = lab, where
        self.rules = "table inet lossy { chain c { type filter hook %s priority 10; %s drop; }; }" % (hook, rule)

    def nft(self, *command):
        where = self.where if self.where[0] == "--node" else self.where[:1]
        self.lab.call("exec", *where, "--", "nft", *command)

    def __enter__(self):
        self.nft(self.rules)
        return self

    def __exit__(self, *_):
        self.nft("delete table inet lossy")


def test_a_server_that_hears_and_is_silent(lab):
    with Lossy(lab, ["shop/far"], "input", "ip saddr %s" % address(lab, "foo")):
        seen = trace(lab, "shop/foo", "far")
    assert seen["outcome"] == "peer-silent" and "at pod shop/far on node-2, which did not answer" in seen["verdict"]


def test_an_answer_that_does_not_come_back(lab):
    with Lossy(lab, ["--node", "node-2"], "forward", "ip daddr %s tcp sport 8080" % address(lab, "foo")):
        seen = trace(lab, "shop/foo", "far")
    assert seen["outcome"] == "answer-lost" and "answered by pod shop/far on node-2, but" in seen["verdict"]


def test_name_servers_that_hear_and_are_silent(lab):
    with Lossy(lab, ["kube-system/kube-dns-1"], "output", "udp sport 53"), \
            Lossy(lab, ["kube-system/kube-dns-2"], "output", "udp sport 53"):
        seen = trace(lab, "shop/hasty", "bar.")
    assert seen["outcome"] == "name-silent" and "10.96.0.10:53" in seen["verdict"]


def test_queries_that_do_not_arrive(lab):
    with Lossy(lab, ["--node", "node-1"], "forward", "ip saddr %s udp dport 53" % address(lab, "hasty")):
        seen = trace(lab, "shop/hasty", "bar.")
    assert seen["outcome"] == "name-unheard" and "none arrived" in seen["verdict"]


def test_what_a_name_costs(lab):
    seen = trace(lab, "shop/foo", "bar.other")
    assert "2 of its 4 queries were for names that the search list made" in seen["cost"]
    assert trace(lab, "shop/foo", "bar")["cost"] == ""


def test_every_step_of_a_sound_request_was_observed(lab):
    steps = trace(lab, "shop/foo", "far")["steps"]
    assert [s["step"] for s in steps if not s["observed"]] == []
    assert [s["step"] for s in steps][:3] == ["name typed", "resolver", "queries"]


def test_nothing_is_left(lab):
    trace(lab, "shop/foo", "far")
    assert "signpost_trace" not in lab.call("exec", "--node", "node-1", "--", "nft", "list", "tables").stdout


class Page(html.parser.HTMLParser):
    """The page's text, and its elements as far as they were opened and closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.words, self.arrows, self.links = [], [], 0, []
        self.feed(text)

    def handle_startendtag(self, tag, attrs):
        self.note(tag, attrs)

    def handle_starttag(self, tag, attrs):
        self.note(tag, attrs)
        if tag != "meta":
            self.open.append(tag)

    def note(self, tag, attrs):
        self.arrows += tag == "line" and any(k == "marker-end" and v.endswith("-head)") for k, v in attrs)
        self.links += [v for k, v in attrs if k in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_a_page(lab):
    done = call(lab, "--output", "html", "shop/foo", "bar.other")
    page = Page(done.stdout)
    assert (done.returncode, page.open, page.links, page.arrows) == (0, [], [], 9)
    text = " ".join(page.words)
    assert "pod other/bar on node-2 answered with status 200" in text and "HTTP 200" in text


@pytest.mark.parametrize("arguments, words", [
    (["shop/foo"], "give two"), (["shop/none", "bar"], "there is no pod shop/none"),
    (["--output", "xml", "shop/foo", "bar"], "--output xml"), (["--wait", "0", "shop/foo", "bar"], "--wait 0"),
    (["shop/foo", "bar/x"], "bar/x"),
])
def test_refusals(lab, arguments, words):
    done = call(lab, *arguments)
    assert done.returncode == 2 and done.stderr.startswith("signpost trace: ") and words in done.stderr
