"""A real Kubernetes control plane on loopback: etcd, kube-apiserver, and of the controllers those
that make EndpointSlices. ./run peers builds the programs into build-peers/."""
import base64
import contextlib
import http.client
import http.server
import json
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request

from certificates import Authority
from dns_world import free_port
from etcd import Etcd

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / "build-peers"
ETCD = PROGRAMS / "etcd-server"  # Debian's will do, but a server on it streams no lists
START_SECONDS = 180
RANGES = "10.96.0.0/16,fd00:10:96::/112"
TOKEN = "administrator"

COREFILE = """
.:@PORT@ {
    bind 127.0.0.1
    prometheus 127.0.0.1:@PORT2@
    ready 127.0.0.1:@PORT3@
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        @LINES@
    }
}
"""

RESOURCES = {
    "Namespace": "/api/v1/namespaces", "Node": "/api/v1/nodes", "Service": "/api/v1/{}/services",
    "Pod": "/api/v1/{}/pods", "Endpoints": "/api/v1/{}/endpoints", "Secret": "/api/v1/{}/secrets",
    "ServiceAccount": "/api/v1/{}/serviceaccounts",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/{}/endpointslices",
    "Role": "/apis/rbac.authorization.k8s.io/v1/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/{}/rolebindings",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
}


def missing():
    """Why these tests cannot run here; None: they can."""
    for name in ("kube-apiserver", "kube-controller-manager"):
        if not os.access(PROGRAMS / name, os.X_OK):
            return "%s is not in build-peers/: ./run peers builds it" % name
    if not os.access(ETCD, os.X_OK) and not shutil.which("etcd"):
        return "there is no etcd: ./run peers installs it"
    return None


class Refused(Exception):
    def __init__(self, status, text):
        super().__init__("%d: %s" % (status, text))
        self.status = status


class Cluster:
    """Runs while inside `with`. The API server can be stopped and started again on its port."""

    def __init__(self, folder, *flags):
        self.folder, self.flags = pathlib.Path(folder), flags
        self.etcd = Etcd(self.folder, program=ETCD if os.access(ETCD, os.X_OK) else shutil.which("etcd"))
        self.port = free_port()
        self.authority = Authority(self.folder)
        self.api = self.controllers = None
        self.write_credentials()

    def write_credentials(self):
        a = self.authority
        a.issue("server", "/CN=server", "IP:127.0.0.1")
        a.issue("client", "/O=system:masters/CN=client", "DNS:client")
        a.run("genrsa", "-out", "sa.key", "2048")
        a.run("rsa", "-in", "sa.key", "-pubout", "-out", "sa.pub")
        (self.folder / "tokens.csv").write_text('%s,admin,1,"system:masters"\n' % TOKEN)
        self.admin = self.kubeconfig("admin.json", {"token": TOKEN})

    def path(self, name):
        return str(self.folder / name)

    @property
    def url(self):
        return "https://127.0.0.1:%d" % self.port

    def kubeconfig(self, name, user, url=None):
        cluster = {"server": url or self.url}
        if cluster["server"].startswith("https"):
            cluster["certificate-authority"] = "ca.crt"
        (self.folder / name).write_text(json.dumps({
            "kind": "Config", "apiVersion": "v1", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": user}]}))
        return self.path(name)

    # ---- processes ----

    def run(self, program, *flags):
        with open(self.path(program + ".log"), "ab") as log:
            return subprocess.Popen([PROGRAMS / program, *flags], cwd=self.folder, stdout=log,
                                    stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)

    def start_api(self):
        self.api = self.run(
            "kube-apiserver", "--etcd-servers=" + self.etcd.url, "--secure-port=%d" % self.port,
            "--bind-address=127.0.0.1", "--advertise-address=192.0.2.1",
            "--endpoint-reconciler-type=none", "--tls-cert-file=server.crt",
            "--tls-private-key-file=server.key", "--client-ca-file=ca.crt",
            "--token-auth-file=tokens.csv", "--authorization-mode=RBAC", "--anonymous-auth=false",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-account-key-file=sa.pub", "--service-account-signing-key-file=sa.key",
            "--service-cluster-ip-range=" + RANGES, "--disable-admission-plugins=ServiceAccount",
            "--enable-priority-and-fairness=false", "--shutdown-delay-duration=0", *self.flags)
        self.until(self.is_ready, START_SECONDS, "the API server is ready")

    def is_ready(self):
        assert self.api.poll() is None, "kube-apiserver ended: " + self.path("kube-apiserver.log")
        with contextlib.suppress(OSError, Refused, http.client.HTTPException):
            return self.call("GET", "/readyz", raw=True) == b"ok"
        return False

    def kill_api(self):
        self.api.kill()
        self.api.wait()

    def start_controllers(self):
        self.controllers = self.run(
            "kube-controller-manager", "--kubeconfig=" + self.admin, "--leader-elect=false",
            "--controllers=endpointslice-controller", "--secure-port=0")

    def __enter__(self):
        try:
            self.etcd.start()
            self.start_api()
            self.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-a"}})
            self.start_controllers()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in (self.controllers, self.api):
            if process and process.poll() is None:
                process.kill()
                process.wait()
        self.etcd.stop()

    # ---- talking to it ----

    @staticmethod
    def until(condition, seconds, what):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "not within %g s: %s" % (seconds, what)
            time.sleep(0.02)

    def context(self):
        return ssl.create_default_context(cafile=self.path("ca.crt"))

    def call(self, method, path, body=None, raw=False, kind="application/json",
             bearer="Bearer " + TOKEN):
        headers = {"Authorization": bearer, "Content-Type": kind}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30, context=self.context()) as reply:
                read = reply.read()
        except urllib.error.HTTPError as e:
            raise Refused(e.code, e.read().decode(errors="replace")) from e
        return read if raw else json.loads(read)

    def status(self, path, bearer):
        """The status that a request gets."""
        try:
            self.call("GET", path, raw=True, bearer=bearer)
        except Refused as e:
            return e.status
        return 200

    def create(self, obj):
        namespace = "namespaces/" + obj["metadata"].get("namespace", "default")
        return self.call("POST", RESOURCES[obj["kind"]].format(namespace), obj)

    def at(self, kind, name, namespace="default"):
        return RESOURCES[kind].format("namespaces/" + namespace) + "/" + name

    def delete(self, kind, name, namespace="default"):
        return self.call("DELETE", self.at(kind, name, namespace) + "?gracePeriodSeconds=0")

    def patch(self, kind, name, change, namespace="default", part=""):
        return self.call("PATCH", self.at(kind, name, namespace) + part, change,
                         kind="application/merge-patch+json")

    def add_namespace(self, name, **labels):
        return self.create({"apiVersion": "v1", "kind": "Namespace",
                            "metadata": {"name": name, "labels": labels}})

    def add_pod(self, name, ip, namespace="default", ready=True, hostname=None, subdomain=None,
                **labels):
        """A pod that runs, as far as anyone is told: there is no kubelet."""
        spec = {"containers": [{"name": "c", "image": "none"}], "nodeName": "node-a"}
        if hostname:
            spec.update(hostname=hostname, subdomain=subdomain)
        self.create({"apiVersion": "v1", "kind": "Pod", "spec": spec, "metadata": {
            "name": name, "namespace": namespace, "labels": labels}})
        self.set_ready(name, ready, namespace, podIP=ip, podIPs=[{"ip": ip}], phase="Running")

    def set_ready(self, name, ready, namespace="default", **status):
        status["conditions"] = [{"type": "Ready", "status": "True" if ready else "False"}]
        self.patch("Pod", name, {"status": status}, namespace, "/status")

    def etcd_streams(self):
        """Whether it is new enough for watches that begin with all objects."""
        return not subprocess.run([self.etcd.program, "--version"], capture_output=True, text=True,
                                  check=True).stdout.startswith("etcd Version: 3.4.")

    def compact(self):
        """What etcd knows of the past is forgotten."""
        key = base64.b64encode(b"x").decode()
        revision = self.etcd.call("/v3/kv/range", {"key": key})["header"]["revision"]
        self.etcd.call("/v3/kv/compaction", {"revision": revision, "physical": True})

    def token(self, account, namespace="default", secret=None):
        """A token of a service account; with a Secret's name it is good as long as that exists."""
        spec = {"expirationSeconds": 3600}
        if secret:
            spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Secret", "name": secret}
        made = self.call("POST", self.at("ServiceAccount", account, namespace) + "/token", {
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec})
        return made["status"]["token"]

    def allow(self, account, rules, namespace=None, of="default"):
        """A Role with these rules in a namespace, or a ClusterRole, for a service account."""
        kind = "Role" if namespace else "ClusterRole"
        name = "%s-%s" % (account, namespace or "all")
        meta = {"name": name, **({"namespace": namespace} if namespace else {})}
        api = "rbac.authorization.k8s.io"
        self.create({"apiVersion": api + "/v1", "kind": kind, "metadata": meta, "rules": [
            {"apiGroups": [group], "resources": resources, "verbs": ["list", "watch"], **more}
            for group, resources, more in rules]})
        self.create({"apiVersion": api + "/v1", "kind": kind + "Binding", "metadata": meta,
                     "roleRef": {"apiGroup": api, "kind": kind, "name": name},
                     "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": of}]})


class Relay:
    """Plain HTTP in front of the API server, with the administrator's token or (token=None) that of
    whoever asks. What was asked and in which form the answer came is on record."""

    def __init__(self, cluster, token=TOKEN):
        self.cluster, self.seen, self.lock, self.upstream = cluster, [], threading.Lock(), set()
        self.bearer = token and "Bearer " + token
        self.last_bearer = None  # that of the last request
        self.streams = True      # False: watches that begin with all objects are refused
        self.port = 0

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.port

    def __enter__(self):
        relay = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                if not relay.streams and "sendInitialEvents" in self.path:
                    self.send_error(422)
                else:
                    relay.carry(self)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *_):
                pass  # either side may go away

        self.server = Server(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.cut()

    def cut(self):
        """Ends all that is under way."""
        with self.lock:
            for connection in self.upstream:
                with contextlib.suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)

    def carry(self, handler):
        connection = http.client.HTTPSConnection("127.0.0.1", self.cluster.port, timeout=300,
                                                 context=self.cluster.context())
        connection.connect()
        with self.lock:
            self.upstream.add(connection)
        try:
            self.last_bearer = self.bearer or handler.headers["Authorization"]
            connection.request("GET", handler.path, headers={
                "Authorization": self.last_bearer, "Accept": handler.headers.get("Accept", "")})
            reply = connection.getresponse()
            kind = reply.getheader("Content-Type", "")
            with self.lock:
                self.seen.append((handler.path, reply.status, kind))
            handler.send_response(reply.status)
            handler.send_header("Content-Type", kind)
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            while data := reply.read1(65536):
                handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            handler.wfile.write(b"0\r\n\r\n")
        finally:
            handler.close_connection = True
            with self.lock:
                self.upstream.discard(connection)
            connection.close()

    def replies(self):
        with self.lock:
            return list(self.seen)


def service(name, namespace="default", ip=None, kind="ClusterIP", selector=None, **spec):
    """ip: "None" for a headless one, else the server's choice."""
    made = {"type": kind, "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}],
            **({"clusterIP": ip} if ip else {}), **({"selector": selector} if selector else {}), **spec}
    return {"apiVersion": "v1", "kind": "Service", "spec": made,
            "metadata": {"name": name, "namespace": namespace}}


def external(name, namespace="default", target="x.example"):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
            "spec": {"type": "ExternalName", "externalName": target}}


def endpoint_slice(of, *ips, namespace="default", suffix="-a", family="IPv4"):
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family,
            "metadata": {"name": of + suffix, "namespace": namespace,
                         "labels": {"kubernetes.io/service-name": of}},
            "endpoints": [{"addresses": [ip], "conditions": {"ready": True}} for ip in ips],
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}]}


def account(name, namespace="default"):
    return {"apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": name, "namespace": namespace}}


def secret(name, namespace="default"):
    return {"apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace}}
