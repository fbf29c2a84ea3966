"""A node with pods, pods of another node and an outside, each a network namespace, for tests that compare service
proxies: several such labs, with the same addresses, live side by side in one process, which must have namespaces of its
own (apart()). Servers and clients are threads of this process."""
import concurrent.futures
import contextlib
import ctypes
import errno
import json
import os
import pathlib
import selectors
import socket
import struct
import subprocess
import sys
import threading
import time

from apiserver import ApiServer

APART = "SIGNPOST_APART"  # in the environment of the process inside
CLONE_NEWNET = 0x40000000
NODE = {4: "192.168.9.1", 6: "fd00:9::1"}
SECOND = {4: "192.168.8.1", 6: "fd00:8::1"}  # further addresses of the node
OUTSIDE = {4: "192.168.9.9", 6: "fd00:9::9"}
GATEWAY = {4: "10.244.1.1", 6: "fd00:10:244:1::1"}
PODS = {"p1": 11, "p2": 12, "p3": 13, "c1": 50, "r1": 21, "r2": 22, "r3": 23}  # r: of another node
BACKENDS = ("p1", "p2", "p3", "r1", "r2")
PORTS = (8080, 8081)
CIDRS = "10.244.0.0/16,fd00:10:244::/48"
SERVICE_RANGES = ["10.96.0.0/16", "fd00:10:96::/112"]
NODE_NAME, OTHER_NODE, ZONE, OTHER_ZONE = "node-a", "node-b", "z1", "z2"
PATIENCE = 1.7  # seconds that an answer may take: an ICMP error that comes too soon counts at the second SYN only
LIBC = ctypes.CDLL(None, use_errno=True)


def pod(name, family):
    net = 2 if name.startswith("r") else 1
    return "10.244.%d.%d" % (net, PODS[name]) if family == 4 else "fd00:10:244:%d::%d" % (net, PODS[name])


def apart():
    """Runs this program again, in namespaces of its own; returns in that process only. Whatever it starts ends with it."""
    if os.environ.get(APART):
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
        os.mkdir("/run/netns")
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return
    env = {**os.environ, APART: "yes", "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    sys.exit(subprocess.run(["unshare", *user, "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
                             sys.executable, "-B", *sys.argv], env=env, check=False).returncode)


def enter(ns):
    """Sockets that this thread opens from now on are in there."""
    with open("/run/netns/" + ns) as handle:
        if LIBC.setns(handle.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns " + ns)


def in_netns(ns, call):
    with concurrent.futures.ThreadPoolExecutor(1, initializer=enter, initargs=(ns,)) as thread:
        return thread.submit(call).result()


def open_listeners(port):
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            s = socket.socket(family, kind)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            s.bind((address, port))
            s.setblocking(False)
            if kind == socket.SOCK_STREAM:
                s.listen(1024)
            yield s


class Answers(threading.Thread):
    """Tells every client the pod's name, its port and who the client seems to be; echoes what comes on a connection."""

    def __init__(self):
        super().__init__(daemon=True)
        self.selector = selectors.DefaultSelector()

    def add(self, ns, name):
        for port in PORTS:
            for s in in_netns(ns, lambda p=port: list(open_listeners(p))):
                self.selector.register(s, selectors.EVENT_READ, (s.type, "%s %d" % (name, port)))

    def run(self):
        while True:
            for key, _ in self.selector.select(0.2):
                with contextlib.suppress(OSError):
                    self.serve(key.fileobj, *key.data)

    def serve(self, s, kind, words):
        if kind == socket.SOCK_DGRAM:
            while True:
                _, peer = s.recvfrom(2048)
                s.sendto(("%s %s\n" % (words, peer[0])).encode(), peer)
        elif kind == socket.SOCK_STREAM:
            while True:
                c, peer = s.accept()
                c.sendall(("%s %s\n" % (words, peer[0])).encode())
                c.setblocking(False)
                self.selector.register(c, selectors.EVENT_READ, ("open", None))
        else:
            self.echo(s)

    def echo(self, c):
        try:
            data = c.recv(2048)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            c.sendall(data)
        else:
            self.selector.unregister(c)
            c.close()


def outcome_of(error):
    if error in (errno.ECONNREFUSED, errno.EPERM, errno.EACCES):  # the latter: a rule of the sender's own node
        return "refused"
    return errno.errorcode.get(error, str(error))


class Asking:
    """Many flows at once, each a new socket; what came of each by its number."""

    def __init__(self):
        self.selector, self.made, self.open = selectors.DefaultSelector(), {}, 0

    def begin(self, number, proto, host, port):
        s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET,
                          socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM)
        s.setblocking(False)
        error = s.connect_ex((host, port))
        if proto == "udp" and not error:
            with contextlib.suppress(OSError):  # told again when read
                s.send(b"hello\n")
        if error not in (0, errno.EINPROGRESS):
            s.close()
            self.made[number] = {"outcome": outcome_of(error)}
            return
        self.selector.register(s, selectors.EVENT_READ, (number, proto))
        self.open += 1

    def end(self, s, number, proto, made):
        self.made[number] = made
        self.selector.unregister(s)
        if proto == "tcp":
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()
        self.open -= 1

    def read(self, s, number, proto):
        try:
            own = s.getsockname()[0]
            words = s.recv(256).decode().split()
            made = {"outcome": "reply", "name": words[0], "port": int(words[1]), "seen": words[2], "own": own} \
                if words else {"outcome": "closed"}
        except BlockingIOError:
            return
        except OSError as e:
            made = {"outcome": outcome_of(e.errno)}
        self.end(s, number, proto, made)

    def finish(self):
        until = time.monotonic() + PATIENCE
        while self.open and time.monotonic() < until:
            ready = self.selector.select(until - time.monotonic())
            for key, _ in ready:
                self.read(key.fileobj, *key.data)
            if ready:  # busy with answers is not waiting for them
                until = max(until, time.monotonic() + PATIENCE / 2)
        for key in list(self.selector.get_map().values()):
            self.end(key.fileobj, *key.data, {"outcome": "timeout"})
        self.selector.close()
        return self.made


def ask_all(flows):
    """flows: (proto, host, port); the outcomes in the same order."""
    asking = Asking()
    for number, flow in enumerate(flows):
        asking.begin(number, *flow)
    made = asking.finish()
    return [made[number] for number in range(len(flows))]


class Lab:
    """One node with everything around it. prefix: of the names of its namespaces."""

    def __init__(self, prefix, folder, answers):
        self.prefix, self.folder, self.answers = prefix, pathlib.Path(folder), answers
        self.api = ApiServer(proto=False, stream=True)
        self.api.page_size = 0
        self.threads, self.proxies = {}, []
        self.folder.mkdir(parents=True, exist_ok=True)

    def ns(self, name):
        return "%s-%s" % (self.prefix, name)

    def run(self, *argv, ns="node", text=None, check=True):
        ran = subprocess.run(["ip", "netns", "exec", self.ns(ns), *argv], input=text, capture_output=True, text=True,
                             timeout=60, check=False)
        if check and ran.returncode:
            raise RuntimeError("%s: %s" % (" ".join(argv), ran.stderr.strip()))
        return ran.stdout

    def build(self):
        inner = ["node", "outside", *PODS]
        for name in inner:
            subprocess.run(["ip", "netns", "add", self.ns(name)], check=True)
            self.run("sh", "-c", "cd /proc/sys/net; for f in ipv6/conf/all/accept_dad ipv6/conf/default/accept_dad"
                                 " ipv4/icmp_ratelimit ipv6/icmp/ratelimit; do echo 0 >$f; done;"
                                 "for f in ipv4/icmp_msgs_per_sec ipv4/icmp_msgs_burst; do echo 1000000 >$f; done",
                     ns=name)
        lines = ["link set lo up"]
        for name in inner[1:]:
            lines += ["link add %s type veth peer name eth0 netns %s" % (name, self.ns(name)), "link set %s up" % name]
        lines += ["addr add %s/24 dev outside" % NODE[4], "addr add %s/64 dev outside nodad" % NODE[6],
                  "addr add %s/24 dev outside" % SECOND[4], "addr add %s/64 dev outside nodad" % SECOND[6]]
        for name in PODS:
            lines += ["addr add %s/32 dev %s" % (GATEWAY[4], name), "addr add %s/128 dev %s nodad" % (GATEWAY[6], name),
                      "route add %s/32 dev %s" % (pod(name, 4), name), "route add %s/128 dev %s" % (pod(name, 6), name)]
        lines += ["route add default via " + OUTSIDE[4], "route add default via " + OUTSIDE[6]]
        self.run("ip", "-batch", "-", text="\n".join(lines) + "\n")
        self.join("outside", OUTSIDE[4] + "/24", OUTSIDE[6] + "/64", NODE)
        for name in PODS:
            self.join(name, pod(name, 4) + "/32", pod(name, 6) + "/128", GATEWAY)
        self.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
        for name in BACKENDS:
            self.answers.add(self.ns(name), name)
        for name in inner:
            self.threads[name] = concurrent.futures.ThreadPoolExecutor(1, initializer=enter, initargs=(self.ns(name),))
        in_netns(self.ns("node"), self.api.start)
        self.put({"apiVersion": "v1", "kind": "Node", "metadata": {
            "name": NODE_NAME, "labels": {"topology.kubernetes.io/zone": ZONE}},
            "status": {"addresses": [{"type": "InternalIP", "address": NODE[f]} for f in (4, 6)]}})
        self.put({"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "kubernetes"},
                  "spec": {"cidrs": SERVICE_RANGES}})

    def join(self, name, address4, address6, gateway):
        self.run("ip", "-batch", "-", ns=name, text="\n".join([
            "link set lo up", "addr add %s dev eth0" % address4, "addr add %s dev eth0 nodad" % address6, "link set eth0 up",
            "route add %s/32 dev eth0" % gateway[4], "route add %s/128 dev eth0" % gateway[6],
            "route add default via " + gateway[4], "route add default via " + gateway[6]]) + "\n")

    # ---- objects and proxies

    def put(self, obj):
        self.api.state.put(json.loads(json.dumps(obj)))

    def delete(self, obj):
        self.api.state.delete(obj["kind"], obj["metadata"].get("namespace", ""), obj["metadata"]["name"])

    def kubeconfig(self):
        path = self.folder / "kubeconfig"
        path.write_text(json.dumps({
            "kind": "Config", "apiVersion": "v1", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:%d" % self.api.port}}],
            "users": [{"name": "u", "user": {}}]}))
        return str(path)

    def start_proxy(self, command, mode, *more):
        """command: a proxy with the flags of kube-proxy."""
        with open(self.folder / "proxy.log", "ab") as log:
            started = subprocess.Popen(
                ["ip", "netns", "exec", self.ns("node"), *command, "--kubeconfig=" + self.kubeconfig(),
                 "--hostname-override=" + NODE_NAME, "--proxy-mode=" + mode, "--cluster-cidr=" + CIDRS,
                 "--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0",
                 "--conntrack-tcp-timeout-close-wait=0", "--iptables-min-sync-period=100ms",
                 "--kube-api-content-type=application/json", *more],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.proxies.append(started)
        return started

    def kill_proxies(self):
        """With kill -9, whatever they are doing; the rules stay."""
        for process in self.proxies:
            process.kill()
            process.wait()
        self.proxies.clear()

    def log(self):
        return (self.folder / "proxy.log").read_text(errors="replace")

    # ---- flows

    def ask(self, source, flows):
        """Gives a future of their outcomes."""
        return self.threads[source].submit(ask_all, flows)

    def forget_flows(self):
        """What connection tracking knows, so that no old flow is in the way of a new one with its ports."""
        for family in ("ipv4", "ipv6"):
            self.run("conntrack", "-F", "-f", family, check=False)

    def close(self):
        for process in self.proxies:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.api.stop()
