"""A running `signpost registry`, and a client that speaks plain HTTP to it over TLS."""
import http.client
import json
import pathlib
import re
import signal
import ssl
import subprocess
import time
import urllib.parse

START_SECONDS = 30
PATHS = {
    "Namespace": "/api/v1/namespaces", "Node": "/api/v1/nodes", "Pod": "/api/v1/{}/pods",
    "Service": "/api/v1/{}/services", "Endpoints": "/api/v1/{}/endpoints", "ConfigMap": "/api/v1/{}/configmaps",
    "Event": "/api/v1/{}/events", "ServiceAccount": "/api/v1/{}/serviceaccounts",
    "Lease": "/apis/coordination.k8s.io/v1/{}/leases",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/{}/endpointslices",
    "ServiceCIDR": "/apis/networking.k8s.io/v1/servicecidrs", "IPAddress": "/apis/networking.k8s.io/v1/ipaddresses",
}


class Refused(Exception):
    def __init__(self, code, status):
        super().__init__("%d: %s" % (code, status))
        self.code, self.status = code, status

    @property
    def reason(self):
        return self.status.get("reason")

    @property
    def fields(self):
        return [c.get("field") for c in self.status.get("details", {}).get("causes", [])]


class Registry:
    def __init__(self, program, folder, *flags, memory=False):
        self.program, self.folder, self.flags = program, pathlib.Path(folder), flags
        self.data = ":memory:" if memory else str(self.folder / "data" / "registry.db")
        self.credentials = self.folder / "data"
        self.process, self.port = None, 0

    def start(self):
        log = self.folder / "registry.log"
        with log.open("ab") as out:
            before = out.tell()
            self.process = subprocess.Popen(
                [self.program, "registry", "--listen", "127.0.0.1:%d" % self.port, "--data", self.data,
                 "--credentials", str(self.credentials), *self.flags], cwd=self.folder, stdout=out, stderr=out)
        end = time.monotonic() + START_SECONDS
        while True:
            text = log.read_bytes()[before:].decode()
            found = re.search(r"on \S+ port (\d+)\n(?s:.*)kubectl", text)
            if found:
                break
            assert self.process.poll() is None and time.monotonic() < end, text
            time.sleep(0.01)
        self.port = int(found[1])
        self.token = self.token_of("admin")
        return self

    def stop(self, number=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            return self.process.wait(30)
        return self.process and self.process.returncode

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop(signal.SIGKILL)

    def log(self):
        return (self.folder / "registry.log").read_text()

    @property
    def kubeconfig(self):
        return str(self.credentials / "admin.conf")

    def token_of(self, user):
        for line in (self.credentials / "tokens.csv").read_text().splitlines():
            if not line.startswith("#") and line.split(",")[1] == user:
                return line.split(",")[0]
        raise AssertionError(user)

    # ---- talking to it ----

    def connect(self, timeout=30):
        context = ssl.create_default_context(cafile=str(self.credentials / "ca.crt"))
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=timeout)

    def send(self, connection, method, path, body=None, kind="application/json", accept=None, token=None):
        headers = {"Authorization": "Bearer " + (self.token if token is None else token)}
        if body is not None:
            headers["Content-Type"] = kind
        if accept:
            headers["Accept"] = accept
        data = body if body is None or isinstance(body, (bytes, str)) else json.dumps(body)
        connection.request(method, path, data, headers)
        return connection.getresponse()

    def call(self, method, path, body=None, **more):
        """The answer as a document; raises Refused."""
        connection = self.connect()
        try:
            reply = self.send(connection, method, path, body, **more)
            text = reply.read()
        finally:
            connection.close()
        self.headers = reply.headers
        if reply.status >= 400:
            raise Refused(reply.status, json.loads(text) if text else {})
        return json.loads(text)

    def path(self, kind, name=None, ns="default", **query):
        path = PATHS[kind].format("namespaces/" + ns) + ("/" + name if name else "")
        return path + ("?" + urllib.parse.urlencode(query) if query else "")

    def create(self, obj, **query):
        return self.call("POST", self.path(obj["kind"], ns=obj["metadata"].get("namespace", "default"), **query), obj)

    def get(self, kind, name, ns="default"):
        return self.call("GET", self.path(kind, name, ns))

    def list(self, kind, ns="default", **query):
        return self.call("GET", self.path(kind, None, ns, **query))

    def names(self, kind, ns="default", **query):
        return [i["metadata"]["name"] for i in self.list(kind, ns, **query)["items"]]

    def update(self, obj, sub=""):
        meta = obj["metadata"]
        return self.call("PUT", self.path(obj["kind"], meta["name"], meta.get("namespace", "default")) + sub, obj)

    def patch(self, kind, name, patch, how="merge", sub="", ns="default", **query):
        types = {"merge": "merge-patch+json", "json": "json-patch+json", "strategic": "strategic-merge-patch+json",
                 "apply": "apply-patch+yaml"}
        path = self.path(kind, name, ns) + sub + ("?" + urllib.parse.urlencode(query) if query else "")
        return self.call("PATCH", path, patch, kind="application/" + types[how])

    def delete(self, kind, name, ns="default", body=None, **query):
        return self.call("DELETE", self.path(kind, name, ns, **query), body)

    def watch(self, kind, ns="default", **query):
        return Watch(self, self.path(kind, None, ns, watch=1, **query))


class Watch:
    def __init__(self, registry, path):
        self.connection = registry.connect()
        self.reply = registry.send(self.connection, "GET", path)
        assert self.reply.status == 200, self.reply.read()

    def next(self):
        """The next event as (type, object); None at the end."""
        line = self.reply.readline()
        return (lambda e: (e["type"], e["object"]))(json.loads(line)) if line else None

    def close(self):
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def service(name, ns="default", **spec):
    spec.setdefault("ports", [{"name": "http", "port": 80, "targetPort": 8080}])
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": ns}, "spec": spec}


def config_map(name, ns="default", labels=None, **data):
    meta = {"name": name, "namespace": ns, **({"labels": labels} if labels else {})}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def pod(name, ns="default", **spec):
    spec.setdefault("containers", [{"name": "c", "image": "nginx:1"}])
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": ns}, "spec": spec}
