"""A small API server over HTTP: lists and watches namespaces, services, slices and pods.

One server serves many worlds: the first part of the path (/w12/api/v1/services) names the world. The
objects of a world do not change while it is served.
"""
import http.server
import json
import threading
import urllib.parse

KINDS = {"namespaces": ("Namespace", "v1"), "services": ("Service", "v1"), "pods": ("Pod", "v1"),
         "endpointslices": ("EndpointSlice", "discovery.k8s.io/v1")}
VERSION = {"major": "1", "minor": "34", "gitVersion": "v1.34.0", "platform": "linux/amd64"}


def fits_one(term, marks):
    for word, wanted in (("!=", False), ("==", True), ("=", True)):
        if word in term:
            key, value = (part.strip() for part in term.split(word, 1))
            return (marks.get(key) == value) == wanted
    if "(" in term:
        head, values = term.rstrip(") ").split("(", 1)
        key, how = head.split()[0], head.split()[1:]
        found = marks.get(key) in {v.strip() for v in values.split(",")}
        return found if how == ["in"] else not found
    term = term.strip()
    return term[1:].strip() not in marks if term.startswith("!") else term in marks


def terms(selector):
    """Splits at commas outside parentheses."""
    depth, part = 0, ""
    for letter in selector:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            yield part
            part = ""
        else:
            part += letter
    if part.strip():
        yield part


def field(item, path):
    for part in path.split("."):
        item = item.get(part, {}) if isinstance(item, dict) else {}
    return item if isinstance(item, str) else ""


def selected(item, query):
    marks = item["metadata"].get("labels") or {}
    if not all(fits_one(term, marks) for term in terms(query.get("labelSelector", ""))):
        return False
    for term in query.get("fieldSelector", "").split(","):
        if "!=" in term:
            path, value = term.split("!=", 1)
            if field(item, path) == value:
                return False
        elif "=" in term:
            path, value = term.split("=", 1)
            if field(item, path) != value.lstrip("="):
                return False
    return True


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def refuse(self, status, reason):
        self.reply(status, {"kind": "Status", "apiVersion": "v1", "status": "Failure",
                            "reason": reason, "code": status, "message": reason})

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        parts = url.path.strip("/").split("/")
        world, last = self.server.worlds.get(parts[0]), parts[-1]
        if last == "version":
            return self.reply(200, VERSION)
        if world is None or last not in KINDS:
            return self.refuse(404, "NotFound")
        kind, version = KINDS[last]
        items = [o for o in world if o["kind"] == kind and selected(o, query)]
        if query.get("watch") in ("1", "true"):
            return self.watch(items if query.get("sendInitialEvents") == "true" else [], kind,
                              version, query)
        return self.reply(200, {"kind": kind + "List", "apiVersion": version,
                                "metadata": {"resourceVersion": "2"}, "items": items})

    def event(self, how, item):
        data = json.dumps({"type": how, "object": item}).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def watch(self, items, kind, version, query):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for item in items:
            self.event("ADDED", item)
        if query.get("sendInitialEvents") == "true":
            self.event("BOOKMARK", {"kind": kind, "apiVersion": version, "metadata": {
                "resourceVersion": "2", "annotations": {"k8s.io/initial-events-end": "true"}}})
        self.wfile.flush()
        self.close_connection = True
        try:  # nothing more happens; the client's going away ends the wait
            self.rfile.read(1)
        except OSError:
            pass


class Api:
    """Runs in a thread. endpoint(world) is what CoreDNS is told."""

    def __init__(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.worlds = {}
        self.count = 0
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def add(self, objects):
        self.count += 1
        name = "w%d" % self.count
        self.server.worlds[name] = objects
        return name

    def drop(self, name):
        self.server.worlds.pop(name, None)

    def endpoint(self, name):
        return "http://127.0.0.1:%d/%s" % (self.server.server_address[1], name)

    def close(self):
        self.server.shutdown()
        self.server.server_close()
