#!/usr/bin/env python3
"""A Kubernetes API server as far as DNS servers and service proxies need one: lists and watches of
Namespaces, Services, EndpointSlices, Pods, Nodes and ServiceCIDRs, read once from folders of JSON
manifests. It lets CoreDNS run its kubernetes plugin, and kube-proxy run, without a cluster. Plain
HTTP, JSON or protobuf, loopback only.

With --changes EndpointSlices change when the bench asks for it: a POST to /bench/changes?count=N&
rate=R&first=F makes N of them, R a second, beginning with the Fth; /bench/reset makes the lists what
they were. The folder is one that cluster.py wrote: each slice in changes.json goes from what is in
before/ to what is in after/ and back."""

import argparse
import functools
import http.server
import itertools
import json
import pathlib
import threading
import urllib.parse

import changes
import kubeproto

JSON_TYPE = "application/json"
SLICES = "/apis/discovery.k8s.io/v1/endpointslices"
RESOURCES = {
    "/api/v1/namespaces": ("v1", "Namespace", False),
    "/api/v1/services": ("v1", "Service", True),
    "/api/v1/pods": ("v1", "Pod", True),
    "/api/v1/nodes": ("v1", "Node", False),
    "/apis/networking.k8s.io/v1/servicecidrs": ("networking.k8s.io/v1", "ServiceCIDR", False),
    SLICES: ("discovery.k8s.io/v1", "EndpointSlice", True),
}
WATCH_SECONDS_MAX = 600
FIRST_CHANGE = 1000000000  # revisions of changes; all have as many digits


def encode(value):
    return json.dumps(value, separators=(",", ":")).encode()


def encode_event(kind, obj):
    return encode({"type": kind, "object": obj}) + b"\n"


def static_documents():
    """What clients ask to find out who they talk to."""
    documents = {"/version": encode({"major": "1", "minor": "34", "gitVersion": "v1.34.0"})}
    by_group = {}
    for path, (version, kind, namespaced) in RESOURCES.items():
        group, _, name = path.rpartition("/")
        listed = by_group.setdefault(group, {"kind": "APIResourceList", "apiVersion": "v1",
                                             "groupVersion": version, "resources": []})
        listed["resources"].append({"name": name, "singularName": kind.lower(), "kind": kind,
                                    "namespaced": namespaced, "verbs": ["get", "list", "watch"]})
    documents.update((group, encode(listed)) for group, listed in by_group.items())
    return documents


def read_objects(folders):
    for path in sorted(itertools.chain.from_iterable(f.glob("*.json") for f in folders)):
        made = json.loads(path.read_text())
        yield from made["items"] if made["kind"] == "List" else [made]


class Bodies:
    """Lists, and the initial events of watches, all ready to send: a client's time to its first
    answer must not contain this program's time to encode. JSON is made when first asked for."""

    def __init__(self, folders):
        self.folders, self.newest = folders, 1
        encoded = {kind: [] for _, kind, _ in RESOURCES.values()}
        for obj in read_objects(folders):
            encoded[obj["kind"]].append(kubeproto.encode_object(obj))
            self.newest = max(self.newest, int(obj["metadata"]["resourceVersion"]))
        self.proto = {path: self.make_proto(version, kind, encoded[kind])
                      for path, (version, kind, _) in RESOURCES.items()}
        self.lock = threading.Lock()

    def bookmark(self, version, kind):
        return {"apiVersion": version, "kind": kind, "metadata": {
            "resourceVersion": str(self.newest),
            "annotations": {"k8s.io/initial-events-end": "true"}}}

    def make_proto(self, version, kind, encoded):
        events = [kubeproto.wrap_event("ADDED", version, kind, one) for one in encoded]
        events.append(kubeproto.encode_event("BOOKMARK", self.bookmark(version, kind)))
        return (kubeproto.join_list(version, kind, str(self.newest), encoded), b"".join(events))

    @functools.cached_property
    def json(self):
        by_kind = {kind: [] for _, kind, _ in RESOURCES.values()}
        for obj in read_objects(self.folders):
            by_kind[obj["kind"]].append(obj)
        return {path: self.make_json(version, kind, by_kind[kind])
                for path, (version, kind, _) in RESOURCES.items()}

    def make_json(self, version, kind, objects):
        events = [encode_event("ADDED", o) for o in objects]
        events.append(encode_event("BOOKMARK", self.bookmark(version, kind)))
        listed = {"kind": kind + "List", "apiVersion": version,
                  "metadata": {"resourceVersion": str(self.newest)}, "items": objects}
        return encode(listed), b"".join(events)

    def of(self, path, content_type):
        """(list, initial events)"""
        if content_type != JSON_TYPE:
            return self.proto[path]
        with self.lock:
            return self.json[path]


class Template:
    """An event, encoded but for its revision."""

    def __init__(self, obj, encode_one):
        obj["metadata"]["resourceVersion"] = str(FIRST_CHANGE)
        self.head, self.tail = encode_one("MODIFIED", obj).split(str(FIRST_CHANGE).encode())

    def at(self, revision):
        return self.head + b"%d" % revision + self.tail


class Changes:
    """The slices that change, and who watches them. Before a reset no more is forgotten: a watch
    that begins after a change is told of it."""

    def __init__(self, world):
        self.lock = threading.Lock()
        self.encoders = {JSON_TYPE: encode_event, kubeproto.CONTENT_TYPE: kubeproto.encode_event}
        self.templates = [self.read(world, entry) for entry in changes.listed(world)]
        self.watchers = []  # (content type, send)
        self.reset()

    def read(self, world, entry):
        both = [(world / state / entry["file"]).read_text() for state in ("before", "after")]
        return [{t: Template(json.loads(text), encoder) for t, encoder in self.encoders.items()}
                for text in both]

    def reset(self):
        with self.lock:
            self.history = []  # (revision, template of each content type)

    def make(self, number):
        """The change of this number: every slice in turn, forth and then back."""
        turn, which = divmod(number, len(self.templates))
        with self.lock:
            revision = FIRST_CHANGE + len(self.history)
            template = self.templates[which][(turn + 1) % 2]
            self.history.append((revision, template))
            for watcher in list(self.watchers):
                self.tell(watcher, revision, template)

    def tell(self, watcher, revision, template):
        content_type, send = watcher
        try:
            send(template[content_type].at(revision))
        except OSError:
            if watcher in self.watchers:
                self.watchers.remove(watcher)

    def watch(self, content_type, send, since):
        watcher = content_type, send
        with self.lock:
            self.watchers.append(watcher)
            for revision, template in self.history:
                if revision > since:
                    self.tell(watcher, revision, template)
        return watcher

    def leave(self, watcher):
        with self.lock:
            if watcher in self.watchers:
                self.watchers.remove(watcher)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    static = static_documents()
    bodies = None
    changes = None

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        proto = kubeproto.CONTENT_TYPE in self.headers.get("Accept", "")
        content_type = kubeproto.CONTENT_TYPE if proto else JSON_TYPE
        if url.path in self.static:
            self.reply(200, self.static[url.path], JSON_TYPE)
        elif url.path not in RESOURCES:
            self.not_found(url.path)
        elif query.get("watch") in ("true", "1"):
            self.watch(url.path, query, content_type)
        else:
            self.reply(200, self.bodies.of(url.path, content_type)[0], content_type)

    def do_POST(self):
        url = urllib.parse.urlsplit(self.path)
        query = {key: int(value) for key, value in urllib.parse.parse_qsl(url.query)}
        if url.path == "/bench/changes" and self.changes:
            self.reply(200, encode(changes.pace(self.changes.make, **query)), JSON_TYPE)
        elif url.path == "/bench/reset" and self.changes:
            self.changes.reset()
            self.reply(200, b"{}", JSON_TYPE)
        else:
            self.not_found(url.path)

    def not_found(self, path):
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404,
                  "reason": "NotFound", "message": f"{path} is not served here"}
        self.reply(404, encode(status), JSON_TYPE)

    def reply(self, code, body, content_type):
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_chunk(self, data):
        self.wfile.write(b"%x\r\n" % len(data) + data + b"\r\n")

    def watch(self, path, query, content_type):
        """The initial events, if they were asked for, and then those that the bench asks for, until
        the time that the client set."""
        self.send_response(200)
        self.send_header("Content-Type", content_type + (
            ";stream=watch" if content_type != JSON_TYPE else ""))
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if query.get("sendInitialEvents") == "true":
            self.send_chunk(self.bodies.of(path, content_type)[1])
        self.close_connection = True
        watcher = None
        if self.changes and path == SLICES:
            since = int(query.get("resourceVersion") or 0)
            watcher = self.changes.watch(content_type, self.send_chunk, since)
        seconds = min(int(query.get("timeoutSeconds", WATCH_SECONDS_MAX)), WATCH_SECONDS_MAX)
        self.connection.settimeout(seconds)
        try:
            self.connection.recv(1)  # the client has nothing to say: it closes
        except TimeoutError:
            self.wfile.write(b"0\r\n\r\n")
        finally:
            if watcher:
                self.changes.leave(watcher)

    def handle(self):
        try:
            super().handle()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def log_message(self, *args):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=pathlib.Path, nargs="+",
                        help="folders of manifests in JSON")
    parser.add_argument("--changes", type=pathlib.Path, help="what cluster.py wrote, with changes")
    parser.add_argument("--port", type=int, default=0, help="0: any free one; printed when ready")
    args = parser.parse_args()
    Handler.bodies = Bodies(args.folders)
    Handler.changes = Changes(args.changes) if args.changes else None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", args.port), Handler)
    server.daemon_threads = True
    print(server.server_port, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
