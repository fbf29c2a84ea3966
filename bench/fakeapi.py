#!/usr/bin/env python3
"""A Kubernetes API server as far as a DNS server needs one: lists and watches of Namespaces,
Services, EndpointSlices and Pods, read once from a folder of JSON manifests and never changing
afterwards. It lets CoreDNS run its kubernetes plugin without a cluster. Plain HTTP, JSON or
protobuf, loopback only."""

import argparse
import http.server
import json
import pathlib
import threading
import urllib.parse

import kubeproto

JSON_TYPE = "application/json"
RESOURCES = {
    "/api/v1/namespaces": ("v1", "Namespace", False),
    "/api/v1/services": ("v1", "Service", True),
    "/api/v1/pods": ("v1", "Pod", True),
    "/apis/discovery.k8s.io/v1/endpointslices": ("discovery.k8s.io/v1", "EndpointSlice", True),
}
WATCH_SECONDS_MAX = 600


def encode(value):
    return json.dumps(value, separators=(",", ":")).encode()


def encode_event(kind, obj):
    return encode({"type": kind, "object": obj}) + b"\n"


def encode_list(version, kind, revision, objects):
    return encode({"kind": kind + "List", "apiVersion": version,
                   "metadata": {"resourceVersion": revision}, "items": objects})


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


def read_objects(folder):
    by_kind = {kind: [] for _, kind, _ in RESOURCES.values()}
    for path in sorted(folder.glob("*.json")):
        for item in json.loads(path.read_text())["items"]:
            by_kind[item["kind"]].append(item)
    return by_kind


def make_bodies(folder):
    """(path, content type) -> (list, initial events of a watch), all ready to send: a client's time
    to its first answer must not contain this program's time to encode."""
    by_kind = read_objects(folder)
    revisions = [int(o["metadata"]["resourceVersion"])
                 for objects in by_kind.values() for o in objects]
    newest = str(max(revisions, default=1))
    bodies = {}
    for path, (version, kind, _) in RESOURCES.items():
        bookmark = {"apiVersion": version, "kind": kind, "metadata": {
            "resourceVersion": newest, "annotations": {"k8s.io/initial-events-end": "true"}}}
        events = [("ADDED", o) for o in by_kind[kind]] + [("BOOKMARK", bookmark)]
        for content_type, to_list, to_event in (
                (JSON_TYPE, encode_list, encode_event),
                (kubeproto.CONTENT_TYPE, kubeproto.encode_list, kubeproto.encode_event)):
            bodies[path, content_type] = (to_list(version, kind, newest, by_kind[kind]),
                                          b"".join(to_event(*event) for event in events))
    return bodies


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    static = static_documents()
    bodies = {}

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        proto = kubeproto.CONTENT_TYPE in self.headers.get("Accept", "")
        content_type = kubeproto.CONTENT_TYPE if proto else JSON_TYPE
        if url.path in self.static:
            self.reply(200, self.static[url.path], JSON_TYPE)
        elif url.path not in RESOURCES:
            status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404,
                      "reason": "NotFound", "message": f"{url.path} is not served here"}
            self.reply(404, encode(status), JSON_TYPE)
        elif query.get("watch") in ("true", "1"):
            self.watch(query, self.bodies[url.path, content_type][1], content_type)
        else:
            self.reply(200, self.bodies[url.path, content_type][0], content_type)

    def reply(self, code, body, content_type):
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def watch(self, query, initial, content_type):
        """Nothing ever changes, so a watch is its initial events, if they were asked for, and then
        silence until the time that the client set."""
        self.send_response(200)
        self.send_header("Content-Type", content_type + (
            ";stream=watch" if content_type != JSON_TYPE else ""))
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if query.get("sendInitialEvents") == "true":
            self.wfile.write(b"%x\r\n" % len(initial) + initial + b"\r\n")
        self.close_connection = True
        seconds = min(int(query.get("timeoutSeconds", WATCH_SECONDS_MAX)), WATCH_SECONDS_MAX)
        self.connection.settimeout(seconds)
        try:
            self.connection.recv(1)  # the client has nothing to say: it closes
        except TimeoutError:
            self.wfile.write(b"0\r\n\r\n")

    def handle(self):
        try:
            super().handle()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def log_message(self, *args):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path, help="folder of List manifests in JSON")
    parser.add_argument("--port", type=int, default=0, help="0: any free one; printed when ready")
    args = parser.parse_args()
    Handler.bodies = make_bodies(args.folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", args.port), Handler)
    server.daemon_threads = True
    print(server.server_port, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
