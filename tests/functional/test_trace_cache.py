"""signpost trace where the node has a cache at the cluster DNS's address: as it should be, dead, and bypassed."""
import json
import shutil
import subprocess

import pytest

from lab_world import close_lab, open_lab, wait

NOTRACK = """table inet cache {
  chain before { type filter hook prerouting priority -300; ip daddr 10.96.0.10 udp dport 53 notrack; }
  chain behind { type filter hook output priority -300; ip saddr 10.96.0.10 udp sport 53 notrack; }
}"""


@pytest.fixture(scope="module")
def lab(signpost, root):
    lab = open_lab(signpost)
    shutil.copytree(root / "examples" / "shop", lab.source, dirs_exist_ok=True)
    lab.call("up", str(lab.source))
    on_node(lab, "ip", "addr", "add", "10.96.0.10/32", "dev", "lo")
    yield lab
    close_lab(lab)


def on_node(lab, *command):
    return lab.call("exec", "--node", "node-1", "--", *command).stdout


def has_socket(lab):
    return "10.96.0.10:53" in on_node(lab, "ss", "-Huln")


class Server:
    """A name server on the node, at the cluster DNS's address, that asks a pod of the cluster DNS."""

    def __init__(self, lab):
        self.lab = lab
        upstream = lab.object("pod_kube-system_kube-dns-1")["status"]["podIP"]
        corefile = lab.dir.parent / "Corefile"
        corefile.write_text(".:53 {\n    bind 10.96.0.10\n    forward . %s\n}\n" % upstream)
        self.command = [lab.program, "lab", "exec", "--dir", str(lab.dir), "--node", "node-1", "--", "sh", "-c",
                        "cat > /tmp/Corefile.cache && exec signpost dns -conf /tmp/Corefile.cache", "sh"]
        self.text = corefile.read_text()

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, text=True)
        self.process.stdin.write(self.text)
        self.process.stdin.close()
        wait(lambda: has_socket(self.lab), 20)

    def __exit__(self, *_):
        for pid in on_node(self.lab, "sh", "-c", "ss -Hulnp 'src 10.96.0.10:53' | grep -o 'pid=[0-9]*' | sort -u").split():
            on_node(self.lab, "kill", pid[4:])
        self.process.wait(20)
        wait(lambda: not has_socket(self.lab), 20)


CASES = {  # what is there of the cache: listener, rules; what becomes of the request, the causes, words of the queries' way
    "as it should be": (True, True, "answered", [], "not tracked: 10.96.0.10:53 is node-1's own address, where its cache answers"),  # T100
    "dead": (False, True, "name-unheard", ["node-cache-dead"], "not tracked: 10.96.0.10:53 is node-1's own address, where nobody listens"),  # T105
    "bypassed": (True, False, "answered", ["node-cache-bypassed"], "conntrack: 10.96.0.10:53 became "),  # T106
}


@pytest.mark.parametrize("name", CASES)
def test_a_cache_on_the_node(lab, name):
    listens, rules, outcome, causes, words = CASES[name]
    if rules:
        on_node(lab, "nft", NOTRACK)
    try:
        if listens:
            with Server(lab):
                seen = trace(lab)
        else:
            seen = trace(lab)
    finally:
        if rules:
            on_node(lab, "nft", "delete table inet cache")
    assert seen["outcome"] == outcome and [c["code"] for c in seen["causes"] if c["seen"]] == causes, seen
    way = next(step for step in seen["steps"] if step["step"] == "their way")
    assert any(words in line["text"] for line in way["lines"]), way


def trace(lab):
    done = subprocess.run([lab.program, "trace", "--lab-dir", str(lab.dir), "--wait", "3", "--output", "json", "shop/foo", "bar"],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)
