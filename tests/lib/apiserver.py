"""A Kubernetes API server for tests: namespaces, services, slices and pods that change while they are watched, and the
ways in which such a server fails. HTTP on loopback; JSON or protocol buffers; one thread a request."""
import http.server
import json
import pathlib
import socket
import ssl
import struct
import sys
import threading
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))
import kubeproto  # noqa: E402

RESOURCES = {
    "namespaces": ("v1", "Namespace"), "nodes": ("v1", "Node"), "services": ("v1", "Service"), "pods": ("v1", "Pod"),
    "endpointslices": ("discovery.k8s.io/v1", "EndpointSlice"), "leases": ("coordination.k8s.io/v1", "Lease"),
    "endpoints": ("v1", "Endpoints"), "events": ("v1", "Event"), "servicecidrs": ("networking.k8s.io/v1", "ServiceCIDR"),
}
REASONS = {401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "Conflict", 410: "Expired", 422: "Invalid", 429: "TooManyRequests", 500: "InternalError",
           503: "ServiceUnavailable"}


class Refused(Exception):
    """An HTTP status."""


class State:
    """The objects with their history. All access under `changed`."""

    def __init__(self):
        self.changed = threading.Condition()
        self.revision = 100
        self.objects = {}  # (kind, namespace, name) -> object
        self.events = []   # (revision, type, object)
        self.before = {}   # revision -> the object that was there
        self.oldest = 0    # revisions below are compacted
        self.cut = 0       # raised: all watches end
        self.writes = []   # (method, kind, name) of what came over HTTP and was done

    def put(self, obj):
        with self.changed:
            key = obj["kind"], obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
            self.revision += 1
            obj["metadata"]["resourceVersion"] = str(self.revision)
            self.before[self.revision] = self.objects.get(key)
            self.events.append((self.revision, "MODIFIED" if key in self.objects else "ADDED", obj))
            self.objects[key] = obj
            self.changed.notify_all()

    def delete(self, kind, namespace, name):
        with self.changed:
            obj = json.loads(json.dumps(self.objects.pop((kind, namespace, name))))
            self.revision += 1
            obj["metadata"]["resourceVersion"] = str(self.revision)
            self.events.append((self.revision, "DELETED", obj))
            self.changed.notify_all()

    # What a server adds, and what it refuses.

    def create(self, obj, namespace):
        meta = obj["metadata"]
        with self.changed:
            if "name" not in meta:
                meta["name"] = meta["generateName"] + "%05x" % (self.revision % 0x100000)
            if (obj["kind"], namespace, meta["name"]) in self.objects or "resourceVersion" in meta:
                raise Refused(409)
            meta.update(namespace=namespace, uid="uid-%d" % self.revision, generation=1)
            self.put(obj)
            self.writes.append(("POST", obj["kind"], meta["name"]))
        return obj

    def replace(self, obj, namespace, name):
        meta = obj["metadata"]
        with self.changed:
            old = self.objects.get((obj["kind"], namespace, name))
            if not old:
                raise Refused(404)
            was = old["metadata"]
            if meta.get("resourceVersion", was["resourceVersion"]) != was["resourceVersion"] or meta["name"] != name \
                    or meta.get("uid", was.get("uid")) != was.get("uid"):
                raise Refused(409)
            meta.update(namespace=namespace, uid=was.get("uid", ""), generation=was.get("generation", 0) + 1)
            self.put(obj)
            self.writes.append(("PUT", obj["kind"], name))
        return obj

    def merge(self, kind, namespace, name, change):
        """Of a merge patch what needs no merging: members of the object itself."""
        with self.changed:
            old = self.objects.get((kind, namespace, name))
            if not old:
                raise Refused(404)
            self.put(json.loads(json.dumps(dict(old, **change))))
            self.writes.append(("PATCH", kind, name))
            return self.objects[(kind, namespace, name)]

    def remove(self, kind, namespace, name):
        with self.changed:
            if (kind, namespace, name) not in self.objects:
                raise Refused(404)
            self.delete(kind, namespace, name)
            self.writes.append(("DELETE", kind, name))

    def collect(self):
        """The garbage collection: what belongs to something that is gone goes."""
        with self.changed:
            uids = {o["metadata"].get("uid") for o in self.objects.values()}
            for key, obj in list(self.objects.items()):
                owners = obj["metadata"].get("ownerReferences", [])
                if owners and not any(o["uid"] in uids for o in owners):
                    self.delete(*key)

    def replay(self, obj, revision):
        """What a replica that is behind would send: an object as it was at an earlier revision."""
        with self.changed:
            obj["metadata"]["resourceVersion"] = str(revision)
            self.revision += 1
            self.events.append((self.revision, "MODIFIED", obj))
            self.changed.notify_all()

    def compact(self):
        """What happened so far can no longer be watched."""
        with self.changed:
            self.oldest = self.revision + 1
            self.revision += 1
            self.cut += 1
            self.changed.notify_all()

    def end_watches(self):
        with self.changed:
            self.cut += 1
            self.changed.notify_all()


def fits(obj, query, namespace):
    if namespace and obj["metadata"].get("namespace") != namespace:
        return False
    labels = obj["metadata"].get("labels", {})
    for term in filter(None, query.get("labelSelector", "").split(",")):
        if term.startswith("!"):
            if term[1:] in labels:
                return False
            continue
        key, _, value = term.replace("==", "=").partition("=")
        if labels.get(key) != value:
            return False
    for term in filter(None, query.get("fieldSelector", "").split(",")):
        if term.startswith("metadata.name=") and obj["metadata"]["name"] != term.partition("=")[2]:
            return False
    return True


def seen_by(how, obj, before, query, namespace):
    """What a watch with a selector is told, none or one: that something is gone, as it was, when it fits no more."""
    fit = fits(obj, query, namespace)
    if how == "MODIFIED" and before and fit != fits(before, query, namespace):
        gone = dict(before, metadata=dict(before["metadata"], resourceVersion=obj["metadata"]["resourceVersion"]))
        return [("ADDED", obj) if fit else ("DELETED", gone)]
    return [(how, obj)] if fit else []


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, kind="application/json", **headers):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status, **headers):
        body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status,
                "reason": REASONS[status], "message": "the test says so"}
        self.answer(status, json.dumps(body).encode(), **headers)

    def do_GET(self):
        server = self.server.owner
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        words = url.path.strip("/").split("/")
        namespace = words[words.index("namespaces") + 1] if "namespaces" in words[:-1] else ""
        server.note(self.path, self.headers)
        server.wait_for_head()
        if self.is_banned():
            return self.refuse(401)
        if server.token and self.headers.get("Authorization") != "Bearer " + server.token:
            return self.refuse(401)
        if words[-1] not in RESOURCES and words[-2] in RESOURCES:
            return self.write("GET")
        if words[-1] not in RESOURCES:
            return self.answer(404, b"{}")
        initial = query.get("sendInitialEvents") == "true"
        if initial and not server.stream:
            return self.refuse(422)
        fault = server.fault(words[-1], query)
        if fault == "hang":
            return server.gone.wait(60)
        if isinstance(fault, int):
            return self.refuse(fault, **({"Retry_After": "1"} if fault == 429 else {}))
        version, kind = RESOURCES[words[-1]]
        proto = server.proto and "protobuf" in self.headers.get("Accept", "")
        if query.get("watch") == "true":
            return self.watch(server.state, kind, query, namespace, proto, fault)
        return self.list(server.state, version, kind, query, namespace, proto, fault)

    def is_banned(self):
        """The client's certificate, by its common name."""
        server = self.server.owner
        if not server.tls or len(server.tls) < 3:
            return False
        name = dict(word for words in self.connection.getpeercert()["subject"] for word in words)["commonName"]
        server.last_client = name
        return name in server.banned

    def write(self, method):
        """One object: read, made, replaced, deleted."""
        server = self.server.owner
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        words = self.path.partition("?")[0].strip("/").split("/")
        namespace = words[words.index("namespaces") + 1]
        plural, name = (words[-1], "") if method == "POST" else (words[-2], words[-1])
        version, kind = RESOURCES[plural]
        if method != "GET":
            server.note(method + " " + self.path, self.headers)
            if server.token and self.headers.get("Authorization") != "Bearer " + server.token:
                return self.refuse(401)
        fault = server.fault(plural, {}, method)
        if fault == "hang":
            return server.gone.wait(60)
        if isinstance(fault, int):
            return self.refuse(fault)
        try:
            if method == "GET":
                done = server.state.objects.get((kind, namespace, name))
                if not done:
                    raise Refused(404)
            elif method == "DELETE":
                server.state.remove(kind, namespace, name)
                done = {"kind": "Status", "apiVersion": "v1", "status": "Success"}
            elif method == "PATCH":
                done = server.state.merge(kind, namespace, name, json.loads(body))
            else:
                obj = json.loads(body)
                assert (obj["apiVersion"], obj["kind"]) == (version, kind), obj
                obj = server.state.create(obj, namespace) if method == "POST" \
                    else server.state.replace(obj, namespace, name)
                done = obj
        except Refused as refused:
            return self.refuse(refused.args[0])
        if fault == "no answer":  # it is done, but nobody hears of it
            self.close_connection = True
            return None
        if fault == "slow":
            time.sleep(0.5)
        return self.answer(201 if method == "POST" else 200, json.dumps(done).encode())

    def do_POST(self):
        self.write("POST")

    def do_PUT(self):
        self.write("PUT")

    def do_DELETE(self):
        self.write("DELETE")

    def do_PATCH(self):
        self.write("PATCH")

    def list(self, state, version, kind, query, namespace, proto, fault):
        if "continue" in query and self.server.owner.between_pages:
            self.server.owner.between_pages.pop()()
        with state.changed:
            items = [o for (k, _, _), o in sorted(state.objects.items()) if k == kind and fits(o, query, namespace)]
            revision = str(state.revision)
        meta = {"resourceVersion": revision}
        if self.server.owner.pages and "limit" in query:
            start, size = int(query.get("continue", "0")), self.server.owner.page_size or int(query["limit"])
            if start + size < len(items):
                meta["continue"] = str(start + size)
            items = items[start:start + size]
        if proto:
            body = kubeproto.encode_list(version, kind, revision, items, meta.get("continue", ""))
            content = kubeproto.CONTENT_TYPE
        else:
            body = json.dumps({"kind": kind + "List", "apiVersion": version, "metadata": meta, "items": items}).encode()
            content = "application/json"
        if fault == "break":
            self.send_response(200)
            self.send_header("Content-Type", content)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:len(body) // 2])
            self.close_connection = True
            return
        self.answer(200, body if fault != "garbage" else b"<html>no</html>", content)
        if fault == "reset":
            self.reset_on_next()

    def reset_on_next(self):
        """The connection is gone when the next request comes on it, as with idle ones that a server gives up."""
        self.connection.settimeout(5)
        self.connection.recv(1, socket.MSG_PEEK)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def event(self, how, obj, proto):
        if proto:
            self.chunk(kubeproto.encode_event(how, obj))
        else:
            self.chunk(json.dumps({"type": how, "object": obj}).encode() + b"\n")

    def initial_events(self, state, kind, query, namespace):
        """All objects, and the bookmark that says so; [] if they were not asked for."""
        if query.get("sendInitialEvents") != "true":
            return []
        assert query["resourceVersionMatch"] == "NotOlderThan" and query["allowWatchBookmarks"] == "true"
        objects = [o for (k, _, _), o in sorted(state.objects.items()) if k == kind and fits(o, query, namespace)]
        version = next(v for v, k in RESOURCES.values() if k == kind)
        end = {"apiVersion": version, "kind": kind, "metadata": {
            "resourceVersion": str(state.revision), "annotations": {"k8s.io/initial-events-end": "true"}}}
        return [("ADDED", o) for o in objects] + [("BOOKMARK", end)]

    def watch(self, state, kind, query, namespace, proto, fault):
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with state.changed:
            cut = state.cut
            initial = self.initial_events(state, kind, query, namespace)
            at = state.revision if initial else int(query["resourceVersion"])
        if isinstance(fault, str) and fault.startswith("no end"):
            if fault.endswith("silent"):
                return self.server.owner.gone.wait(60)
            initial = initial[:-1]
            cut -= fault.endswith("ends")
        for number, (how, obj) in enumerate(initial):
            if fault in ("break", "garbage") and number == len(initial) // 2:
                return self.chunk(b"\x00\x00\x00\x05wrong") if fault == "garbage" else None
            self.event(how, obj, proto)
        if at < state.oldest - 1:  # told within the stream, as the API does
            status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410, "reason": "Expired",
                      "message": "too old resource version"}
            self.chunk(json.dumps({"type": "ERROR", "object": status}).encode() + b"\n")
            return self.wfile.write(b"0\r\n\r\n")
        if fault == "garbage":
            return self.chunk(b"\x00\x00\x00\x05wrong")
        if fault == "empty":
            return self.chunk(b'{"type":"ADDED"}\n')
        while not self.server.owner.gone.is_set():
            with state.changed:
                if state.cut != cut:
                    break
                fresh = [e for e in state.events if e[0] > at]
                if not fresh and not state.changed.wait(0.2):
                    continue
            for revision, how, obj in fresh:
                at = revision
                for seen in seen_by(how, obj, state.before.get(revision), query, namespace) if obj["kind"] == kind else ():
                    self.event(*seen, proto)
        self.wfile.write(b"0\r\n\r\n")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request, client_address):
        pass  # clients go away


class ApiServer:
    """Runs while inside `with`. stop() and start() keep state and port. As a real one does, it sends JSON in pages, and
    protocol buffers from its cache at once, unless `pages` says that there is no cache."""

    def __init__(self, proto=True, token=None, tls=None, stream=False):
        self.state, self.proto, self.token, self.tls = State(), proto, token, tls
        self.stream = stream  # a watch may begin with all objects
        self.pages = not proto
        self.page_size = 2       # whatever is asked for, so that there are several; 0: what is asked for
        self.banned, self.last_client = set(), None  # common names of clients' certificates
        self.between_pages = []  # called before a list's later pages, which come with the newest revision
        self.faults = {}    # plural -> list of faults for the next requests; "" for any
        self.requests = []  # (path, headers)
        self.lock = threading.Lock()
        self.head_pause = 0  # seconds before the head of each reply
        self.waiting = self.most_waiting = 0  # requests that wait for it
        self.port, self.server = 0, None
        self.gone = threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        if self.server:
            self.stop()

    def start(self):
        self.gone.clear()
        self.server = Server(("127.0.0.1", self.port), Handler)
        self.server.owner = self
        self.port = self.server.server_address[1]
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.tls[:2])
            if len(self.tls) > 2:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(self.tls[2])
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self.gone.set()
        self.state.end_watches()
        self.server.shutdown()
        self.server.server_close()
        self.server = None

    def url(self):
        return "http%s://127.0.0.1:%d" % ("s" if self.tls else "", self.port)

    def note(self, path, headers):
        with self.lock:
            self.requests.append((path, dict(headers)))

    def wait_for_head(self):
        with self.lock:
            self.waiting += 1
            self.most_waiting = max(self.most_waiting, self.waiting)
        time.sleep(self.head_pause)
        with self.lock:
            self.waiting -= 1

    def fault(self, plural, query, method=None):
        """The next fault for a request: faults["services"], or ["services?watch"] for watches only, ["POST leases"]
        for what is written."""
        if method:
            with self.lock:
                waiting = self.faults.get(method + " " + plural)
                return waiting.pop(0) if waiting else None
        with self.lock:
            listing = "watch" not in query or "sendInitialEvents" in query
            for name in (plural + ("?list" if listing else "?watch"), plural, ""):
                if self.faults.get(name):
                    return self.faults[name].pop(0)
        return None

    def paths(self):
        with self.lock:
            return [path for path, _ in self.requests]


def namespace(name, **labels):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def service(name, ip, ns="default", **labels):
    return {"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name, "namespace": ns, "labels": labels},
            "spec": {"clusterIP": ip, "clusterIPs": [ip], "ipFamilies": ["IPv4"], "type": "ClusterIP",
                     "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 80}]}}


def endpoint_slice(of, *ips, ns="default", suffix="-a"):
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": of + suffix, "namespace": ns, "labels": {"kubernetes.io/service-name": of}},
            "endpoints": [{"addresses": [ip], "conditions": {"ready": True}} for ip in ips],
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}]}
