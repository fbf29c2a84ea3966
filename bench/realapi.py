"""A real kube-apiserver with etcd on loopback that holds a generated cluster; the programs are those
of tests/peers (./run peers builds them). No controllers run: nothing changes but what the bench
changes."""

import concurrent.futures
import http.client
import json
import pathlib
import sys
import threading

import changes
import fakeapi

PEERS_TESTS = pathlib.Path(__file__).resolve().parents[1] / "tests"
WRITERS = 4
OURS = ("uid", "resourceVersion", "creationTimestamp")  # the server gives its own


def kube_world():
    """tests/peers/kube_world.py, which stands on modules of the other tests. Its `dns` is a library's,
    ours is the bench."""
    mine = sys.modules.pop("dns", None)
    bench = str(pathlib.Path(__file__).resolve().parent)
    path, sys.path = sys.path, [str(PEERS_TESTS / name) for name in ("lib", "functional", "peers")] + [
        p for p in sys.path if p and pathlib.Path(p).resolve() != pathlib.Path(bench)]
    try:
        import kube_world as found
    finally:
        sys.path = path
        for name in [n for n in sys.modules if n == "dns" or n.startswith("dns.")]:
            del sys.modules[name]
        if mine:
            sys.modules["dns"] = mine
    return found


class RealApi:
    """Runs while inside `with`. Its kubeconfig file is what servers are given in place of a port."""

    def __init__(self, folder, world):
        self.kube, self.world, self.local = kube_world(), world, threading.local()
        why = self.kube.missing()
        if why:
            raise SystemExit(f"--real: {why}")
        folder.mkdir()
        self.cluster = self.kube.Cluster(folder)

    def __enter__(self):
        try:
            self.cluster.etcd.start()
            self.cluster.start_api()
            self.load()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.cluster.__exit__()

    @property
    def kubeconfig(self):
        return self.cluster.admin

    def send(self, method, path, body, kind="application/json"):
        if not hasattr(self.local, "connection"):
            self.local.connection = http.client.HTTPSConnection(
                "127.0.0.1", self.cluster.port, context=self.cluster.context(), timeout=60)
        self.local.connection.request(method, path, json.dumps(body), {
            "Authorization": "Bearer " + self.kube.TOKEN, "Content-Type": kind})
        reply = self.local.connection.getresponse()
        text = reply.read()
        if reply.status >= 300:
            raise SystemExit(f"{method} {path}: {reply.status} {text[:300].decode(errors='replace')}")

    def create(self, obj):
        for name in OURS:
            obj["metadata"].pop(name, None)
        obj.pop("status", None)
        namespace = "namespaces/" + obj["metadata"].get("namespace", "")
        self.send("POST", self.kube.RESOURCES[obj["kind"]].format(namespace), obj)

    def load(self):
        by_kind = {kind: [] for _, kind, _ in fakeapi.RESOURCES.values()}
        for obj in fakeapi.read_objects([self.world / "manifests", self.world / "before"]):
            by_kind[obj["kind"]].append(obj)
        with concurrent.futures.ThreadPoolExecutor(WRITERS) as pool:
            for kind in ("Namespace", "Service", "EndpointSlice"):
                list(pool.map(self.create, by_kind[kind]))


class RealChanges:
    """As those of changes.py, by requests to that server."""

    def __init__(self, world, api):
        self.api, self.entries = api, changes.listed(world)
        self.slices = [[json.loads((world / state / entry["file"]).read_text())
                        for state in ("before", "after")] for entry in self.entries]

    def make(self, number):
        turn, which = divmod(number, len(self.entries))
        made = self.slices[which][(turn + 1) % 2]
        path = self.api.cluster.at("EndpointSlice", made["metadata"]["name"], made["metadata"]["namespace"])
        self.api.send("PATCH", path, {"endpoints": made["endpoints"]}, "application/merge-patch+json")

    def pace(self, count, rate=0, first=0):
        return changes.pace(self.make, count, rate, first)

    def reset(self):
        for which in range(len(self.entries)):
            self.make(which + len(self.entries))
