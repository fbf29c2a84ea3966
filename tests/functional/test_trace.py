"""signpost trace: what it says of a request is what the lab was made to do with it."""
import contextlib
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


OPEN = """
kind: Service
apiVersion: v1
metadata: {name: open, namespace: shop}
spec: {type: NodePort, selector: {app: far}, ports: [{name: http, port: 80, nodePort: 30123, targetPort: http}]}
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
    return "---".join(texts + [SHELL, SLICE, OPEN])


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
    wait(lambda: trace(lab, "shop/foo", "172.18.0.12:30123")["outcome"] == "answered", 20)
    yield lab
    close_lab(lab)


def call(lab, *arguments):
    return subprocess.run([lab.program, "trace", "--lab-dir", str(lab.dir), *arguments], capture_output=True,
                          text=True, timeout=90, check=False)


def trace(lab, *words, seconds=3):
    """words: who asks, and for what, and flags before."""
    done = call(lab, "--output", "json", "--wait", str(seconds), *words)
    assert done.returncode in (0, 1), done.stderr
    seen = json.loads(done.stdout)
    assert done.returncode == (0 if seen["outcome"] == "answered" else 1)
    return seen


def address(lab, pod):
    return lab.object("pod_shop_" + pod)["status"]["podIP"]


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


def losses(lab, kind, fill):
    """What is made to be lost while a request of that kind is under way."""
    rules = {
        "a server that hears and is silent": [(["shop/far"], "input", "ip saddr {foo}")],
        "an answer that does not come back": [(["--node", "node-2"], "forward", "ip daddr {foo} tcp sport 8080")],
        "name servers that hear and are silent": [(["kube-system/kube-dns-%d" % n], "output", "udp sport 53") for n in (1, 2)],
        "queries that do not arrive": [(["--node", "node-1"], "forward", "ip saddr {hasty} udp dport 53")],
        "a rule of the client's node": [(["--node", "node-1"], "forward", "ip saddr {foo} tcp dport 8080")],
    }
    return [Lossy(lab, where, hook, rule.format(**fill)) for where, hook, rule in rules.get(kind, [])]


HUNDRED = "answered with status 200"
KINDS = {  # the kind of request: who asks for what, and the truth: how it ends, words of the verdict, the causes (none: it is right)
    "a Service of one's own namespace": ("shop/foo", "bar", "answered", "and pod shop/bar-", []),
    "and its port": ("shop/foo", "bar:80", "answered", "and pod shop/bar-", []),
    "and its namespace": ("shop/foo", "bar.shop", "answered", "and pod shop/bar-", []),
    "a Service of another namespace": ("shop/foo", "bar.other", "answered", "and pod other/bar on node-2 ", []),
    "a whole name": ("shop/foo", "bar.shop.svc.cluster.local.", "answered", "and pod shop/bar-", []),
    "a headless Service": ("shop/foo", "db.data:5432", "answered", "and pod data/db-", []),
    "a pod of it by its name": ("shop/foo", "db-0.db.data:5432", "answered", "and pod data/db-0 on node-1 ", []),
    "a pod of the same node": ("shop/foo", "near", "answered", "and pod shop/near on node-1 ", []),
    "a pod of another node": ("shop/foo", "far", "answered", "and pod shop/far on node-2 ", []),
    "the address of a pod of another node": ("shop/foo", "{far}:8080", "answered", "and pod shop/far on node-2 ", []),
    "the address of a pod of the same node": ("shop/foo", "{near}:8080", "answered", "and pod shop/near on node-1 ", []),
    "a node port": ("shop/foo", "172.18.0.12:30123", "answered", "and node node-2 ", []),
    "one's own Service": ("shop/near", "near.shop", "answered", "and pod shop/near on node-1 ", []),
    "oneself": ("shop/near", "near:8080", "answered", "without a packet leaving it", []),
    "as musl looks it up": ("--as musl shop/foo", "bar.other", "answered", "and pod other/bar on node-2 ", []),
    "as Go looks it up": ("--as go shop/foo", "bar", "answered", "and pod shop/bar-", []),
    "a name that nobody has": ("shop/foo", "nosuch", "name-unknown", "there is no such name", ["no-such-name"]),
    "a headless Service of which no pod is ready": ("shop/foo", "bare", "name-unknown", "there is no such name", ["no-such-name"]),
    "a selector that fits nobody": ("shop/foo", "nobody", "rejected", "reject-chain: reject", ["selector-matches-nothing"]),
    "pods that are not ready": ("shop/foo", "asleep", "rejected", "reject-chain: reject", ["pods-not-ready"]),
    "a named port that no pod has": ("shop/foo", "no-such-name", "rejected", "reject-chain: reject", ["named-port-missing"]),
    "policy Local, and nobody there": ("shop/foo", "local", "dropped", "drop", ["local-without-endpoint"]),
    "a port that the Service does not have": ("shop/foo", "bar:81", "rejected", "a port that no service has", ["port-not-in-service"]),
    "an address that no Service has": ("shop/foo", "10.96.0.251", "dropped", "an address that no service has", ["no-such-address"]),
    "a targetPort on which nobody listens": (
        "shop/foo", "wrong-port", "port-closed", ":8081 at pod shop/far on node-2, where nothing listens", ["wrong-target-port"]),
    "a pod's port on which nobody listens": (
        "shop/foo", "{far}:81", "port-closed", ":81 arrived at pod shop/far on node-2, where nothing listens", []),
    "an endpoint that is gone": (
        "shop/foo", "ghost", "lost", "sent on to 10.244.2.200:8080, where it did not arrive", ["stale-endpoint"]),
    "a server that hears and is silent": ("shop/foo", "far", "peer-silent", "at pod shop/far on node-2, which did not answer", []),
    "an answer that does not come back": ("shop/foo", "far", "answer-lost", "answered by pod shop/far on node-2, but", []),
    "name servers that hear and are silent": ("shop/hasty", "bar", "name-silent", "10.96.0.10:53", []),
    "queries that do not arrive": ("shop/hasty", "bar", "name-unheard", "none arrived", ["dns-dropped"]),
    "a rule of the client's node": ("shop/foo", "far", "dropped", "inet lossy c", ["rule-of-others"]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_verdict_is_the_truth(lab, kind):
    client, to, outcome, words, causes = KINDS[kind]
    fill = {name: address(lab, name) for name in ("far", "near", "foo", "hasty")}
    with contextlib.ExitStack() as stack:
        for lossy in losses(lab, kind, fill):
            stack.enter_context(lossy)
        seen = trace(lab, *client.split(), to.format(**fill))
    assert (seen["outcome"], words in seen["verdict"]) == (outcome, True), seen["verdict"]
    assert [c["code"] for c in seen["causes"]] == causes, seen["causes"]
    assert outcome != "answered" or (HUNDRED in seen["verdict"] and not causes)


def test_the_kinds_are_enough():
    right = [kind for kind in KINDS if KINDS[kind][2] == "answered"]
    assert len(right) >= 10 and len(KINDS) - len(right) >= 10


def test_what_a_name_costs(lab):
    seen = trace(lab, "shop/foo", "bar.other")
    assert "2 of its 4 queries were for names that the search list made" in seen["cost"]
    assert trace(lab, "shop/foo", "bar")["cost"] == ""


def test_every_step_of_a_sound_request_was_observed(lab):
    steps = trace(lab, "shop/foo", "far")["steps"]
    assert [s["step"] for s in steps if not s["observed"]] == []
    assert [s["step"] for s in steps][:3] == ["name typed", "resolver", "queries"]


def lines_of(seen, step):
    return [line["text"] for s in seen["steps"] if s["step"] == step for line in s["lines"]]


def test_what_became_of_the_addresses(lab):
    seen = trace(lab, "shop/foo", "far")  # T98
    assert any(line.startswith("destination translated, source kept") for line in lines_of(seen, "conntrack"))
    assert "the source is the client's own address: nothing was masqueraded" in lines_of(seen, "arrival")
    seen = trace(lab, "shop/near", "near.shop")  # T99
    assert any(line.startswith("destination translated, source translated") for line in lines_of(seen, "conntrack"))
    assert "the source is not the client's address: it was masqueraded, because it is sent to itself" in lines_of(seen, "arrival")
    seen = trace(lab, "shop/foo", "nobody")  # T101
    assert any("reject-chain: reject" in line for line in lines_of(seen, "rule and endpoint"))
    assert not any(line.startswith("original") for line in lines_of(seen, "conntrack"))


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
