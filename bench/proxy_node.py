#!/usr/bin/env python3
"""One row of bench/proxy.py: a node in namespaces of its own, with an API server, a proxy and flows. It reads what to
do from standard input and prints what it measured, both as JSON. The process is the first of its PID namespace: nothing
outlives it."""

import concurrent.futures
import contextlib
import ctypes
import json
import os
import pathlib
import re
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
import urllib.request

import changes
import process
import proxy_cluster
from proxy_cluster import NODE, NODE_ADDRESS, POD_PORT, POD_RANGE, PORT, service_ip

HERE = pathlib.Path(__file__).resolve().parent
CLIENT = "10.200.0.2"
PODS_WIDE = "10.128.0.0/9"  # pods and clients
SAMPLES = 8                 # Services that flows go to
TRY_SECONDS = 0.05          # that a connection may take before it counts as not served
CALM_SHARE, CALM_SECONDS, CALM_STEP, CALM_WAIT = 0.05, 1.0, 0.25, 120
CLONE_NEWNET = 0x40000000
TICKS = os.sysconf("SC_CLK_TCK")
METRICS = "http://127.0.0.1:10249/metrics"
CHANGE_SECONDS = 120        # until a change must have had its effect
WRITERS = ("nft", "iptables-restor", "ip6tables-resto", "iptables", "iptables-save")
ONE_RULE = """table ip one {
    chain prerouting { type nat hook prerouting priority -100;
        ip daddr %s tcp dport %d dnat to %s:%d; }
    chain postrouting { type nat hook postrouting priority 100; }
}"""


def run(*argv, **more):
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=600, **more).stdout


def write_sysctl(path, value):
    with contextlib.suppress(OSError):  # not every kernel has every one
        pathlib.Path("/proc/sys/net", path).write_text(value)


def build_node():
    """This namespace is the node's; all pods live in a second one, and who asks them in a third."""
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    os.mkdir("/run/netns")
    for name in ("pods", "client"):
        run("ip", "netns", "add", name)
    run("ip", "-batch", "-", input=f"""link set lo up
link add pods type veth peer name eth0 netns pods
link add client type veth peer name eth0 netns client
link add out type veth peer name hole netns pods
addr add {NODE_ADDRESS}/24 dev out
addr add 169.254.1.1/32 dev pods
addr add 169.254.1.1/32 dev client
link set out arp off
link set out up
link set pods up
link set client up
route add 10.201.0.1/32 dev pods
route add {POD_RANGE} via 10.201.0.1
route add {CLIENT}/32 dev client
route add default dev out
""")
    for name, own in (("pods", "10.201.0.1/32"), ("client", CLIENT + "/32")):
        run("ip", "-n", name, "-batch", "-", input=f"""link set lo up
link set eth0 up
addr add {own} dev eth0
route add 169.254.1.1/32 dev eth0
route add default via 169.254.1.1
""")
    run("ip", "-n", "pods", "route", "add", "local", POD_RANGE, "dev", "lo")
    run("ip", "-n", "pods", "link", "set", "hole", "up")  # takes what no rule translates, and is silent
    write_sysctl("ipv4/ip_forward", "1")
    # Flows that have ended, and those that came before the rules, must not be in the way of later ones with their ports.
    write_sysctl("netfilter/nf_conntrack_tcp_timeout_close", "1")
    write_sysctl("netfilter/nf_conntrack_tcp_timeout_syn_sent", "1")


def in_netns(name, *argv):
    return ["ip", "netns", "exec", name, *map(str, argv)]


def enter_client():
    """Sockets that this thread opens from now on are the client's."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/run/netns/client") as ns:
        if libc.setns(ns.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")


def ask(address):
    """Which endpoint a new connection comes to, or None."""
    with socket.socket() as s:
        s.settimeout(TRY_SECONDS)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        try:
            s.connect((address, PORT))
            got = s.recv(4)
        except OSError:
            return None
        return socket.inet_ntoa(got) if len(got) == 4 else None


def ask_until(addresses, is_right, until):
    """Asks in turn until every answer was right once; whether that came to be."""
    left = list(addresses)
    while left and time.monotonic() < until:
        left = [address for address in left if not is_right(ask(address))]
    return not left


class Client:
    """A thread that lives in the client's namespace."""

    def __init__(self):
        self.thread = concurrent.futures.ThreadPoolExecutor(1, initializer=enter_client)

    def wait(self, proxy, addresses, is_right, seconds):
        """Until then; the proxy must live on."""
        until = time.monotonic() + seconds
        while not self.thread.submit(ask_until, addresses, is_right, min(until, time.monotonic() + 1)).result():
            proxy.check()
            if time.monotonic() > until:
                raise process.StartError(f"{addresses[0]} was not served as it should be within {seconds} s: "
                                         + process.tail(proxy.log))


def spread(numbers, q):
    ordered = sorted(numbers)
    return ordered[min(len(ordered) - 1, int(len(ordered) * q))]


class Writers(threading.Thread):
    """The largest that a program called by the proxy became."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.peak_mb, self.going = pid, 0.0, True

    def run(self):
        while self.going:
            for pid in process.tree(self.pid)[1:]:
                with contextlib.suppress(OSError):
                    if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() in WRITERS:
                        self.peak_mb = max(self.peak_mb, process.peak_mb([pid]))
            time.sleep(0.01)


class Proxy:
    def __init__(self, plan, folder, api_port):
        config = folder / "kubeconfig"
        config.write_text(json.dumps({
            "kind": "Config", "apiVersion": "v1", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{api_port}"}}],
            "users": [{"name": "u", "user": {}}]}))
        self.log = folder / "proxy.log"
        self.argv = [*plan["command"], f"--kubeconfig={config}", f"--hostname-override={NODE}",
                     f"--proxy-mode={plan['mode']}", f"--cluster-cidr={PODS_WIDE}", "--conntrack-max-per-core=0",
                     f"--iptables-min-sync-period={plan['min_sync_ms']}ms",
                     "--kube-api-content-type=application/vnd.kubernetes.protobuf"]
        self.cpus, self.folder = set(plan["proxy_cpus"]), folder

    def __enter__(self):
        self.since = time.monotonic()
        self.process = process.start(self.argv, self.cpus, self.log, self.folder)
        self.writers = Writers(self.process.pid)
        self.writers.start()
        return self

    def __exit__(self, *_):
        self.writers.going = False
        process.stop(self.process)

    def check(self):
        if self.process.poll() is not None:
            raise process.StartError(f"ended with status {self.process.returncode}: {process.tail(self.log)}")

    def cpu(self):
        """Seconds of CPU time, with those programs that it called and that have ended."""
        words = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return process.cpu_ns([self.process.pid]) / 1e9 + sum(map(int, words[13:15])) / TICKS

    def wait_calm(self):
        end, since = time.monotonic() + CALM_WAIT, time.monotonic()
        while time.monotonic() < end and time.monotonic() - since < CALM_SECONDS:
            before = self.cpu()
            time.sleep(CALM_STEP)
            if self.cpu() - before > CALM_SHARE * CALM_STEP or len(process.tree(self.process.pid)) > 1:
                since = time.monotonic()
            self.check()


def start_figures(proxy, client, samples, limit):
    client.wait(proxy, samples, bool, limit)
    first = time.monotonic() - proxy.since
    proxy.wait_calm()
    pids = [proxy.process.pid]
    return {"first_sync_s": first, "start_cpu_s": proxy.cpu(), "memory_mb": process.memory_mb(pids),
            "peak_mb": process.peak_mb(pids), "writer_peak_mb": proxy.writers.peak_mb}


def has_synced():
    """Says the proxy that it has written its rules?"""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with contextlib.suppress(OSError), opener.open(METRICS, timeout=5) as answer:
        times = re.findall(r"^kubeproxy_sync_proxy_rules_last_timestamp_seconds(?:{.*})? ([0-9.e+]+)$",
                           answer.read().decode(), re.M)
        return any(float(one) > 0 for one in times)
    return False


def restart_figures(proxy, client, samples, limit):
    """Of a process that finds the rules of an earlier one, which serve all the time."""
    until = time.monotonic() + limit
    while not has_synced():
        proxy.check()
        if time.monotonic() > until:
            raise process.StartError(f"no rules were written within {limit} s: " + process.tail(proxy.log))
        time.sleep(CALM_STEP)
    proxy.wait_calm()
    client.wait(proxy, samples, bool, limit)
    pids = [proxy.process.pid]
    return {"restart_cpu_s": proxy.cpu(), "restart_memory_mb": process.memory_mb(pids),
            "restart_peak_mb": process.peak_mb(pids), "restart_writer_peak_mb": proxy.writers.peak_mb}


def count_nft():
    chains = rules = elements = 0
    inside = False
    for line in run("nft", "-n", "list", "ruleset").splitlines():
        bare = line.strip()
        if inside or "elements = {" in bare:
            inside = "}" not in bare
            elements += bare.count(",") + (not inside)
        elif bare.startswith("chain "):
            chains += 1
        elif line.startswith("\t\t") and not bare.startswith(("type ", "typeof ", "flags ", "comment ", "counter",
                                                              "timeout ", "size ", "gc-interval ", "policy ")):
            rules += 1
            elements += sum(group.count(",") + 1 for group in re.findall(r"\{ ([^}]*)\}", bare))
    return {"chains": chains, "rules": rules, "elements": elements}


def count_iptables():
    lines = [line for program in ("iptables-save", "ip6tables-save") for line in run(program).splitlines()]
    return {"chains": sum(line.startswith(":") for line in lines),
            "rules": sum(line.startswith("-A") for line in lines), "elements": 0}


def flow_ns(plan, kind, address, port, count):
    return int(run(*in_netns("client", plan["flows"], kind, address, port, count)))


def new_flow_us(plan, addresses, port):
    """Microseconds of a new connection, in the mean over these addresses."""
    each = max(1, plan["connections"] // len(addresses))
    return sum(flow_ns(plan, "new", a, port, each) for a in addresses) / (each * len(addresses)) / 1000


def packet_us(plan, address, port):
    return flow_ns(plan, "packets", address, port, plan["packets"]) / plan["packets"] / 1000


def datapath_figures(plan, services, pods):
    """Services and direct connections to pods in turn, so that a slow spell meets both."""
    made = {"new_us": [], "direct_us": [], "new_ratio": [], "packet_us": [], "packet_ratio": []}
    for _ in range(plan["rounds"]):
        new, direct = new_flow_us(plan, services, PORT), new_flow_us(plan, pods, POD_PORT)
        packet, plain = packet_us(plan, services[0], PORT), packet_us(plan, pods[0], POD_PORT)
        for key, value in (("new_us", new), ("direct_us", direct), ("new_ratio", new / direct), ("packet_us", packet),
                           ("packet_ratio", packet / plain)):
            made[key].append(value)
    return {key: statistics.median(values) for key, values in made.items()}


def change_once(client, changer, number, proxy):
    """Milliseconds from the event that the API server sends to the first connection that shows it."""
    turn, which = divmod(number, len(changer.entries))
    entry = changer.entries[which]
    wanted = entry["before"] if turn % 2 else entry["after"]
    since = changer.pace(1, 0, number)["since"]
    client.wait(proxy, [entry["service"]], lambda seen: seen == wanted, CHANGE_SECONDS)
    return (time.monotonic() - since) * 1000


def change_figures(plan, proxy, client, changer):
    took, until = [], time.monotonic() + plan["change_seconds"]
    while len(took) < plan["single_changes"] and (time.monotonic() < until or len(took) < 3):
        took.append(change_once(client, changer, len(took), proxy))
        time.sleep(plan["min_sync_ms"] / 1000 + 0.02)
    return {"changes": len(took), "change_p50_ms": spread(took, 0.5), "change_p99_ms": spread(took, 0.99)}


def many_figures(plan, proxy, changer, first):
    proxy.wait_calm()
    before, since = proxy.cpu(), time.monotonic()
    changer.pace(plan["many_changes"], plan["many_rate"], first)
    proxy.wait_calm()
    return {"many_s": time.monotonic() - since - CALM_SECONDS,
            "cpu_per_1000_s": (proxy.cpu() - before) * 1000 / plan["many_changes"]}


def start_helper(argv, log):
    """A program of ours that prints a line when it is ready; gives that."""
    with open(log, "wb") as err:
        started = subprocess.Popen(list(map(str, argv)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err,
                                   text=True)
    line = started.stdout.readline().strip()
    if not line:
        raise process.StartError(f"{argv[0]}: {process.tail(log)}")
    return line


def samples(services):
    """Numbers of Services, the first and the last among them."""
    return sorted({number * (services - 1) // (SAMPLES - 1) for number in range(SAMPLES)})


def measure_proxy(plan, folder, entries, numbers, made):
    port = start_helper([sys.executable, "-B", HERE / "fakeapi.py", folder / "manifests", folder / "before",
                         "--changes", folder], folder / "api.log")
    changer, client = changes.ApiChanges(folder, int(port)), Client()
    changing = {entry["service"] for entry in entries}
    addresses = [service_ip(number) for number in numbers]
    asked = addresses + [a for a in sorted(changing)[:SAMPLES] if a not in addresses]
    pods = [entry["before"] for entry in entries][:SAMPLES]
    with Proxy(plan, folder, port) as proxy:
        made.update(start_figures(proxy, client, asked, plan["start_seconds"]))
        made.update(count_nft() if plan["mode"] == "nftables" else count_iptables())
        made.update(datapath_figures(plan, addresses, pods))
        made.update(change_figures(plan, proxy, client, changer))
        made.update(many_figures(plan, proxy, changer, made["changes"]))
    with Proxy(plan, folder, port) as proxy:
        made.update(restart_figures(proxy, client, asked, plan["start_seconds"]))


def measure(plan, made):
    folder = pathlib.Path(plan["folder"])
    os.sched_setaffinity(0, set(plan["load_cpus"]))
    build_node()
    start_helper(in_netns("pods", plan["flows"], "serve", POD_PORT), folder / "serve.log")
    entries = proxy_cluster.write(folder, plan["services"], plan["endpoints"], plan["changing"])
    if plan["mode"] != "one rule":
        measure_proxy(plan, folder, entries, samples(plan["services"]), made)
        return
    pod = entries[0]["before"]
    run("nft", "-f", "-", input=ONE_RULE % (service_ip(0), PORT, pod, POD_PORT))
    made.update(datapath_figures(plan, [service_ip(0)], [pod]))


def main():
    plan, made = json.load(sys.stdin), {}
    try:
        measure(plan, made)
    except (process.StartError, OSError, subprocess.SubprocessError) as e:
        made["failed"] = str(e) + (getattr(e, "stderr", None) or "")
    print(json.dumps(made))


if __name__ == "__main__":
    main()
