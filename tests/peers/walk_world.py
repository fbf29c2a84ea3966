"""A laboratory with a control plane in it: the API server (etcd and kube-apiserver, or signpost
registry) is a pod of a node of its own, and the cluster DNS, the service proxy and the controller of
slices are each ours or the original. The rest is examples/shop."""
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import time

from certificates import Authority
from kube_world import ETCD, PROGRAMS, ROOT

SHOP = ROOT / "examples" / "shop"
CONTROL, API = "172.18.0.10", "https://172.18.0.10:6443"
CIDR = "10.244.0.0/16,fd00:10:244::/48"
RANGES = "10.96.0.0/16,fd00:10:96::/112"
NODES = ("node-1", "node-2")
BARS = ("bar-1", "bar-2", "bar-3")
ADMIN = "administrator"

APIS = ("kube-apiserver", "signpost")
DNS = ("signpost", "coredns")
PROXIES = ("signpost", "kube-proxy-nftables", "kube-proxy-iptables")
RULES = {"signpost": ["ip signpost", "ip6 signpost"], "kube-proxy-nftables": ["ip kube-proxy", "ip6 kube-proxy"],
         "kube-proxy-iptables": ["%s %s" % (f, t) for f in ("ip", "ip6") for t in ("nat", "filter", "mangle")]}
CONTROLLERS = ("signpost", "kube-controller-manager")

# Token, user, groups: with kube-apiserver each has the rights that it gives the original's user, or
# those of packaging/kubernetes. A registry knows no roles: everybody may read, and the group write.
USERS = (
    (ADMIN, "admin", "system:masters"),
    ("dns", "system:serviceaccount:kube-system:signpost-dns", "system:serviceaccounts"),
    ("proxy", "system:kube-proxy", ""),
    ("controller", "system:serviceaccount:kube-system:endpointslice-controller", "system:serviceaccounts"),
)


def kubeconfig(token):
    return {"kind": "Config", "apiVersion": "v1", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": API, "certificate-authority": "ca.crt"}}],
            "users": [{"name": "u", "user": {"token": token}}]}


def pod(name, node, program, args, host_network=True, volumes=(), **container):
    """A pod of kube-system. volumes: of {"mountPath": ..., "hostPath": ...} or "emptyDir"."""
    mounts, sources = [], []
    for i, volume in enumerate(volumes):
        volume = dict(volume)
        mounts.append({"name": "v%d" % i, "mountPath": volume.pop("mountPath")})
        sources.append({"name": "v%d" % i, **volume})
    box = {"name": "main", "image": program.rsplit("/", 1)[-1], "command": [program], "args": list(args),
           "volumeMounts": mounts, **container}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "kube-system"},
            "spec": {"nodeName": node, "hostNetwork": host_network, "dnsPolicy": "Default",
                     "terminationGracePeriodSeconds": 2, "containers": [box], "volumes": sources}}


def http_probe(port, path):
    return {"readinessProbe": {"httpGet": {"port": port, "path": path}, "periodSeconds": 1}}


class Walk:
    """Runs while inside `with`. Everything lies in a folder, which must have a short name (mounts and
    sockets are made below it)."""

    def __init__(self, signpost, folder, api="kube-apiserver"):
        self.signpost, self.api = signpost, api
        self.folder = pathlib.Path(folder)
        self.source, self.dir = self.folder / "manifests", self.folder / "lab"
        self.credentials = self.folder / "credentials"
        self.roles = {}  # "dns" -> what plays it

    # ---- the folder of manifests ----

    def path(self, name):
        return self.source / "kube-system" / (name + ".json")

    def write(self, name, *objects):
        """All in one file, from one moment to the next."""
        hidden = self.path("." + name)
        hidden.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
        hidden.rename(self.path(name))

    def prepare(self):
        for name in ("shop", "data", "other", "outside"):
            shutil.copytree(SHOP / name, self.source / name)
        # the example's nodes, with IPv6 as well
        text = (SHOP / "cluster.yaml").read_text()
        for i in (1, 2):
            text = text.replace("podCIDRs: [10.244.%d.0/24]" % i, 'podCIDRs: [10.244.%d.0/24, "fd00:10:244:%d::/64"]' % (i, i))
            text = text.replace("address: 172.18.0.1%d\n" % i, "address: 172.18.0.1%d\n    - type: InternalIP\n"
                                '      address: "fd00:18::1%d"\n' % (i, i))
        (self.source / "cluster.yaml").write_text(text)
        self.scale("bar-1")
        self.path("x").parent.mkdir()
        self.write_credentials()
        self.write("six", {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "bar-six", "namespace": "shop"},
                           "spec": {"selector": {"app": "bar"}, "ipFamilies": ["IPv6"], "ipFamilyPolicy": "SingleStack",
                                    "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}})
        self.write("control", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "control"},
                               "spec": {"podCIDR": "10.244.0.0/24", "podCIDRs": ["10.244.0.0/24"]},
                               "status": {"addresses": [{"type": "InternalIP", "address": CONTROL}]}},
                   *(self.kube_apiserver() if self.api == "kube-apiserver" else self.registry()))

    def write_credentials(self):
        self.credentials.mkdir()
        authority = Authority(self.credentials)
        authority.issue("server", "/CN=server", "IP:%s,IP:127.0.0.1,IP:10.96.0.1" % CONTROL)
        authority.run("genrsa", "-out", "sa.key", "2048")
        authority.run("rsa", "-in", "sa.key", "-pubout", "-out", "sa.pub")
        lines = ""
        for i, (token, user, groups) in enumerate(USERS):
            if token == "controller" and self.api == "signpost":
                groups = "system:masters"
            lines += '%s,"%s",%d,"%s"\n' % (token, user, i, groups)
        (self.credentials / "tokens.csv").write_text(lines)
        for token, _, _ in USERS:
            (self.credentials / (token + ".json")).write_text(json.dumps(kubeconfig(token)))
        account = self.credentials / "account"  # as a kubelet mounts it
        account.mkdir()
        shutil.copy(self.credentials / "ca.crt", account)
        (account / "token").write_text("dns")
        (account / "namespace").write_text("kube-system")

    def volumes(self, *more):
        return ({"mountPath": "/peers", "hostPath": {"path": str(PROGRAMS)}},
                {"mountPath": "/credentials", "hostPath": {"path": str(self.credentials)}}, *more)

    def registry(self):
        start = ("cp /credentials/*.* /data && exec signpost registry --listen=%s:6443 --data=/data/registry.db"
                 " --credentials=/data --controllers=false --service-cluster-ip-range=%s" % (CONTROL, RANGES))
        yield pod("registry", "control", "sh", ["-c", start],
                  volumes=self.volumes({"mountPath": "/data", "emptyDir": {}}),
                  readinessProbe={"tcpSocket": {"port": 6443}, "periodSeconds": 1})

    def kube_apiserver(self):
        etcd = "http://127.0.0.1:2379"
        program = "/peers/etcd-server" if ETCD.exists() else "etcd"
        yield pod("etcd", "control", program, [
            "--data-dir=/data", "--listen-client-urls=" + etcd, "--advertise-client-urls=" + etcd,
            "--listen-peer-urls=http://127.0.0.1:2380", "--unsafe-no-fsync"],
            volumes=self.volumes({"mountPath": "/data", "emptyDir": {}}))
        yield pod("kube-apiserver", "control", "/peers/kube-apiserver", [
            "--etcd-servers=" + etcd, "--secure-port=6443", "--bind-address=0.0.0.0",
            "--advertise-address=" + CONTROL, "--service-cluster-ip-range=" + RANGES,
            "--tls-cert-file=/credentials/server.crt", "--tls-private-key-file=/credentials/server.key",
            "--client-ca-file=/credentials/ca.crt", "--token-auth-file=/credentials/tokens.csv",
            "--authorization-mode=RBAC", "--service-account-issuer=https://kubernetes.default.svc",
            "--service-account-key-file=/credentials/sa.pub",
            "--service-account-signing-key-file=/credentials/sa.key",
            "--disable-admission-plugins=ServiceAccount", "--enable-priority-and-fairness=false"],
            volumes=self.volumes(), readinessProbe={"tcpSocket": {"port": 6443}, "periodSeconds": 1})

    # ---- who plays which part ----

    def dns(self, which):
        program = {"signpost": "signpost", "coredns": "/peers/coredns"}[which]
        args = (["dns"] if which == "signpost" else []) + ["-conf", "/etc/coredns/Corefile"]
        for i, node in enumerate(NODES):
            made = pod("%s-%d" % (which if which == "coredns" else "signpost-dns", i + 1), node, program, args,
                       host_network=False,
                       volumes=self.volumes(
                           {"mountPath": "/etc/coredns", "configMap": {"name": "signpost-dns"}},
                           {"mountPath": "/run/secrets/kubernetes.io/serviceaccount",
                            "hostPath": {"path": str(self.credentials / "account")}}),
                       env=[{"name": "KUBERNETES_SERVICE_HOST", "value": CONTROL},
                            {"name": "KUBERNETES_SERVICE_PORT", "value": "6443"}],
                       ports=[{"name": "dns", "containerPort": 53, "protocol": "UDP"},
                              {"name": "dns-tcp", "containerPort": 53, "protocol": "TCP"},
                              {"name": "metrics", "containerPort": 9153, "protocol": "TCP"}],
                       **http_probe(8181, "/ready"))
            made["metadata"]["labels"] = {"k8s-app": "kube-dns"}
            yield made

    def proxy(self, which):
        program, mode = "signpost", "nftables"
        if which != "signpost":
            program, mode = "/peers/kube-proxy", which.rsplit("-", 1)[-1]
        for i, node in enumerate(NODES):
            args = (["proxy"] if which == "signpost" else []) + [
                "--kubeconfig=/credentials/proxy.json", "--hostname-override=" + node, "--cluster-cidr=" + CIDR,
                "--proxy-mode=" + mode, "--conntrack-max-per-core=0", "--healthz-bind-address=0.0.0.0:10256"]
            yield pod("%s-%d" % ("signpost-proxy" if which == "signpost" else "kube-proxy", i + 1), node, program,
                      args, volumes=self.volumes(), **http_probe(10256, "/healthz"))

    def controller(self, which):
        common = ["--kubeconfig=/credentials/controller.json", "--leader-elect=false"]
        if which == "signpost":
            yield pod("signpost-controller", "control", "signpost", [
                "controller", *common, "--controllers=endpointslice-controller",
                "--metrics-bind-address=0.0.0.0:10257"], volumes=self.volumes(), **http_probe(10257, "/readyz"))
        else:
            yield pod("kube-controller-manager", "control", "/peers/kube-controller-manager", [
                *common, "--controllers=endpointslice-controller", "--secure-port=0"], volumes=self.volumes())

    def pods_of(self, role, which):
        return list(getattr(self, role)(which))

    def begin(self, role, which):
        self.roles[role] = which
        self.write("%s-%s" % (role, which), *self.pods_of(role, which))

    def wait_ready(self, role):
        for one in self.pods_of(role, self.roles[role]):
            name = one["metadata"]["name"]
            wait(lambda n=name: self.is_ready(n), 120, "%s is ready: %s" % (name, self.log_of(name)))

    def end(self, role, which):
        self.path("%s-%s" % (role, which)).unlink()
        for one in self.pods_of(role, which):
            name = one["metadata"]["name"]
            wait(lambda n=name: not self.object("pod", n, "kube-system"), 30, "%s ends" % name)

    def swap(self, role, which):
        """As an administrator would: two servers of names may stand side by side, others not. The rules
        of a proxy that has ended go on working until those of the next are there."""
        before = self.roles[role]
        if role != "dns":
            self.end(role, before)
        self.begin(role, which)
        self.wait_ready(role)
        if role == "dns":
            self.end(role, before)
        if role == "proxy":
            self.clean_nodes(before, which)

    def use(self, **roles):
        """Who plays the parts (dns, proxy, controller) from now on; all of it is ready then."""
        changed = {role: which for role, which in roles.items() if self.roles.get(role) != which}
        new = [role for role in changed if role not in self.roles]
        for role in new:
            self.begin(role, changed[role])
        for role in new:
            self.wait_ready(role)
        for role in set(changed) - set(new):
            self.swap(role, changed[role])

    def clean_nodes(self, before, now):
        """The one that went has left its rules, which go when the next one's are there."""
        address = self.object("service", "bar")["spec"]["clusterIP"]
        for node in NODES:
            wait(lambda n=node: any(address in self.on(n, "nft", "list", "table", *t.split(), check=False)
                                    for t in RULES[now]), 30, "rules of %s on %s" % (now, node))
            if before == "signpost":
                self.on(node, "signpost", "proxy", "--cleanup")
            for table in set(RULES[before]) - set(RULES[now]):
                self.on(node, "nft", "delete", "table", *table.split(), check=False)

    def put(self, file, folder):
        hidden = self.source / folder / ("." + file.name)
        shutil.copy(file, hidden)
        hidden.rename(self.source / folder / file.name)

    def put_dns(self):
        """What is shipped for the cluster DNS, but for roles where nobody knows any."""
        text = (ROOT / "packaging/kubernetes/dns.yaml").read_text()
        parts = [part for part in text.split("\n---\n") if self.api == "kube-apiserver" or "rbac." not in part]
        (self.folder / "dns.yaml").write_text("\n---\n".join(parts))
        self.put(self.folder / "dns.yaml", "kube-system")

    def scale(self, *bars):
        """Of the pods behind Service bar these and no others."""
        for name in BARS:
            if name not in bars:
                (self.source / "shop" / (name + ".yaml")).unlink(missing_ok=True)
            elif not (self.source / "shop" / (name + ".yaml")).exists():
                self.put(SHOP / "shop" / (name + ".yaml"), "shop")

    # ---- running ----

    def call(self, *args, timeout=120, check=True):
        done = subprocess.run([self.signpost, "lab", args[0], "--dir", str(self.dir), *args[1:]],
                              capture_output=True, text=True, timeout=timeout, check=False)
        if check and done.returncode:
            raise AssertionError("signpost lab %s: %s%s" % (" ".join(args), done.stdout, done.stderr))
        return done

    def on(self, node, *command, check=True):
        return self.call("exec", "--node", node, "--", *command, check=check).stdout

    def foo(self, *command, check=True):
        return self.call("exec", "shop/foo", "--", *command, check=check)

    @contextlib.contextmanager
    def without_api(self):
        """Its process is killed, and nobody reaches the new one, which the lab starts, before the end."""
        name = "kube-apiserver" if self.api == "kube-apiserver" else "registry"
        self.on("control", "nft", "add table inet away; add chain inet away input { type filter hook input priority 0; };"
                " add rule inet away input tcp dport 6443 reject with tcp reset")
        self.call("exec", "kube-system/" + name, "--", "sh", "-c",
                  "for p in /proc/[0-9]*; do p=${p#/proc/}; [ $p = 1 ] || [ $p = $$ ] || kill -9 $p; done; true")
        try:
            yield
        finally:
            self.on("control", "nft", "delete", "table", "inet", "away")

    def __enter__(self):
        self.prepare()
        try:
            self.call("up", str(self.source), "--kubeconfig", str(self.credentials / (ADMIN + ".json")),
                      "--wait", "180", timeout=240)
            # with this at the start, `lab up` would wait for answers from the cluster DNS
            self.put_dns()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.call("down", check=False)

    # ---- what is seen ----

    def object(self, kind, name, namespace="shop"):
        with contextlib.suppress(FileNotFoundError):
            return json.loads((self.dir / "objects" / ("%s_%s_%s.json" % (kind, namespace, name))).read_text())
        return None

    def is_ready(self, name, namespace="kube-system"):
        made = self.object("pod", name, namespace) or {}
        return any(c["type"] == "Ready" and c["status"] == "True"
                   for c in made.get("status", {}).get("conditions", []))

    def log_of(self, name, namespace="kube-system"):
        return self.dir / "pods" / ("%s_%s" % (namespace, name)) / "main.log"

    def get(self, path):
        """What the API server says, asked on its own node."""
        text = self.on("control", "curl", "-sfk", "-H", "Authorization: Bearer " + ADMIN, API + path)
        return json.loads(text)

    def answers(self, name="bar", requests=40):
        """The pods that answered that many requests of foo, with how often; None stands for failure."""
        done = self.foo("curl", "-s", "--connect-timeout", "1", "--max-time", "3", "-H", "Connection: close",
                        "http://%s/?request=[1-%d]" % (name, requests), check=False)
        counts = {}
        for line in done.stdout.splitlines():
            who = json.loads(line)["pod"]
            counts[who] = counts.get(who, 0) + 1
        failed = requests - sum(counts.values())
        return {**counts, None: failed} if failed else counts

    @contextlib.contextmanager
    def requests(self):
        """foo asks for bar as often as it can, each time by its name; yields a list that then has the
        number of requests, and of those that failed."""
        script = ("n=0; while [ ! -e /tmp/stop ]; do curl -s -o /dev/null --connect-timeout 1 --max-time 3 http://bar/"
                  " || date +'failed %T'; n=$((n+1)); done; echo $n; rm /tmp/stop")
        told = []
        with subprocess.Popen([self.signpost, "lab", "exec", "--dir", str(self.dir), "shop/foo", "--", "sh", "-c",
                               script], stdout=subprocess.PIPE, text=True) as process:
            try:
                yield told
            finally:
                self.foo("touch", "/tmp/stop")
                *failed, n = process.communicate(timeout=60)[0].split("\n")[:-1]
                told += [int(n), failed]

    def until_answered_by(self, *pods, seconds=60):
        """Each of them and nobody else, with no failure."""
        wait(lambda: set(self.answers()) == set(pods), seconds, "answers from %s" % " ".join(pods))


def wait(what, seconds, why):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "not within %g s: %s" % (seconds, why)
        time.sleep(0.05)


def missing(signpost, api, *roles):
    """Why this cannot be run here; None: it can."""
    if api == "signpost" and subprocess.run([signpost, "registry", "--help"], check=False,
                                            capture_output=True).returncode:
        return "there is no signpost registry"
    for name in (api, *roles):
        program = name.split("-nftables")[0].split("-iptables")[0]
        if program != "signpost" and not os.access(PROGRAMS / program, os.X_OK):
            return "%s is not in build-peers/: ./run peers builds it" % program
    if api != "signpost" and not ETCD.exists() and not shutil.which("etcd"):
        return "there is no etcd: ./run peers installs it"
    if "kube-proxy-iptables" in roles and not shutil.which("iptables", path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
        return "there is no iptables"
    if subprocess.run(["unshare", "-Urnmp", "--fork", "true"], check=False, capture_output=True).returncode:
        return "this machine gives no user namespaces"
    return None
