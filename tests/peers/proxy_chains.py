#!/usr/bin/env python3
"""The rules of iptables mode beside those of the real kube-proxy, for all objects of the proxy vectors
under several sets of flags: chain by chain and rule by rule, as iptables-save prints them.

Each set goes through three steps: kube-proxy from nothing, signpost on top of what kube-proxy has left,
and signpost from nothing. All three must leave the same. All of it lives in namespaces of its own.

  proxy_chains.py SIGNPOST      prints a line a set of flags; status 1: something differs"""
import collections
import difflib
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import proxyvec_kube  # noqa: E402
import kube_world  # noqa: E402

VECTORS = HERE.parents[1] / "tests" / "proxyvec"
INSIDE = "--inside"
NODE = "kpv-node1"
PODS = "--cluster-cidr=10.244.0.0/16,fd00:10:244::/48"
SETS = [
    [PODS],
    [PODS, "--masquerade-all"],
    [PODS, "--iptables-localhost-nodeports=false"],
    [PODS, "--nodeport-addresses=172.30.0.0/16"],
    ["--cluster-cidr=10.244.0.0/16", "--nodeport-addresses=172.30.0.0/16,127.0.0.0/8"],
    ["--detect-local-mode=ClusterCIDR", "--conntrack-tcp-be-liberal"],
    ["--detect-local-mode=BridgeInterface", "--pod-bridge-interface=cni0"],
    ["--detect-local-mode=NodeCIDR"],
    ["--detect-local-mode=InterfaceNamePrefix", "--pod-interface-name-prefix=veth",
     "--iptables-masquerade-bit=20"],
]
SECONDS = 60
# An endpoint that a hint keeps away from this node's zone: there until kube-proxy has seen its Node.
FAR = "kp-vec/s-z1:http -> 10.244.2.11:8080"
# Many Services in one chain: the original puts them there in an order of chance.
SHARED = re.compile(r"-A KUBE-(SERVICES|NODEPORTS|EXTERNAL-SERVICES|PROXY-FIREWALL) ")
LAN = """
link set lo up
link add lan0 type veth peer name lan1
link set lan0 up
link set lan1 up
addr add 192.168.77.1/24 dev lan0
addr add 172.30.0.1/16 dev lan0
addr add fd00:77::1/64 dev lan0 nodad
route add default dev lan0
"""


def sctp_objects():
    """What the vectors leave out, since not every kernel has SCTP to send."""
    more = {"s-sctp": {"type": "NodePort"}, "s-sctp-none": {"externalIPs": ["198.51.100.132"]},
            "s-sctp-sticky": {"sessionAffinity": "ClientIP", "type": "LoadBalancer", "externalTrafficPolicy": "Local",
                              "loadBalancerSourceRanges": ["192.0.2.0/24"]}}
    for number, (name, spec) in enumerate(more.items()):
        port = {"name": "assoc", "protocol": "SCTP", "port": 3868, "targetPort": 9000}
        yield {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "kp-vec"}, "spec": {
            **spec, "clusterIP": "10.96.132.%d" % number, "ipFamilyPolicy": "SingleStack",
            "ports": [{**port, **({"nodePort": 32640 + number} if "type" in spec else {})}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.132"}]}} if number == 2 else {}}
        yield {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
               "metadata": {"name": name + "-1", "namespace": "kp-vec", "labels": {"kubernetes.io/service-name": name}},
               "ports": [{"name": "assoc", "protocol": "SCTP", "port": 9000}],
               "endpoints": [{"addresses": [ip], "conditions": {"ready": True}, "nodeName": NODE}
                             for ip in ("10.244.1.11", "10.244.1.12") if number != 1]}


def vectors():
    spec = importlib.util.spec_from_file_location("proxyvec", VECTORS / "proxyvec.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def put_objects(proxyvec, source):
    """All objects that scenarios begin with, and the Nodes. Node ports that the API server would pick
    by chance are fixed, so that none takes a later one's."""
    topology = proxyvec.yaml_load_all((VECTORS / "topology.yaml").read_text())[0]
    source.apply(proxyvec.Runner.node_docs(collections.namedtuple("R", "topo")(topology)))
    port = 32700
    for line in (VECTORS / "scenarios.jsonl").read_text().splitlines():
        for name in json.loads(line).get("objects", []):
            docs = proxyvec.yaml_load_all((VECTORS / "objects" / name).read_text())
            for doc in docs:
                for p in doc["spec"]["ports"] if doc["kind"] == "Service" and \
                        doc["spec"].get("type") == "NodePort" else []:
                    port += "nodePort" not in p
                    p.setdefault("nodePort", port)
            source.apply(docs)
    source.apply(list(sctp_objects()))


def saved():
    """Both families: {chain or table: its lines}; shared chains sorted but for what ends them."""
    out = collections.defaultdict(list)
    for program in ("iptables-save", "ip6tables-save"):
        table = ""
        for line in subprocess.run([program], capture_output=True, text=True, check=True).stdout.splitlines():
            table = line if line.startswith("*") else table
            if line.startswith("#") or line == "COMMIT":
                continue
            chain = line.split()[1] if line.startswith("-A") else "chains"
            out[program, table, chain].append(re.sub(r" \[\d+:\d+\]$", "", line))
    for lines in out.values():
        if SHARED.match(lines[0]):
            lines.sort(key=lambda text: ("NOTE: this must be the last" in text, text))
    return ["%s %s: %s" % (program, table, line)
            for (program, table, _), lines in sorted(out.items()) for line in lines]


def clear():
    for program in ("iptables", "ip6tables"):
        for table in ("filter", "nat", "mangle"):
            subprocess.run([program, "-t", table, "-F"], check=True)
            subprocess.run([program, "-t", table, "-X"], check=True)


def run_until(command, log, words):
    """Starts a proxy, waits until its log has a line with the words for each family, and kills it."""
    with open(log, "w", encoding="utf-8") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)

    def wrote_both():
        assert process.poll() is None, pathlib.Path(log).read_text()
        text = pathlib.Path(log).read_text()
        return all(any(re.search(words % family, line) for line in text.splitlines())
                   for family in ("IPv4", "IPv6"))
    try:
        kube_world.Cluster.until(wrote_both, SECONDS, "both families are written: " + str(log))
        kube_world.Cluster.until(lambda: not any(FAR in line for line in saved()), SECONDS, "hints count")
    finally:
        process.kill()
        process.wait()
    return saved()


def compare(what, want, got):
    different = list(difflib.unified_diff(want, got, "kube-proxy", what, lineterm="", n=0))
    if different:
        print("\n".join(different[:60]))
    return not different


def run_inside(signpost):
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    subprocess.run(["ip", "-batch", "-"], input=LAN, text=True, check=True)
    folder, good = tempfile.mkdtemp(prefix="chains-"), True
    with proxyvec_kube.Registry(folder, signpost) as cluster:
        os.environ["PATH"] = proxyvec_kube.show_config_command(folder)
        config = proxyvec_kube.kubeconfig(cluster)
        proxyvec = vectors()
        put_objects(proxyvec, proxyvec.KubeSource(config))
        for flags in SETS:
            common = ["--kubeconfig=" + config, "--hostname-override=" + NODE, "--proxy-mode=iptables",
                      "--conntrack-max-per-core=0", "-v=2", *flags]
            theirs = run_until([str(kube_world.PROGRAMS / "kube-proxy"), *common],
                               folder + "/theirs.log", r'"SyncProxyRules complete" ipFamily="%s"')
            ours = [signpost, "proxy", *common], folder + "/ours.log", "%s: full sync"
            assert sum("-p sctp" in line for line in theirs) >= 10, "the objects for SCTP are not there"
            on_top = compare("signpost on top", theirs, run_until(*ours))
            clear()
            fresh = compare("signpost", theirs, run_until(*ours))
            clear()
            good &= on_top and fresh
            print("%s %d lines: %s" % ("equal" if on_top and fresh else "DIFFER", len(theirs),
                                       " ".join(flags)), flush=True)
    return 0 if good else 1


def main():
    if sys.argv[1] == INSIDE:
        return run_inside(sys.argv[2])
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    # The original's restore is one message, and only root may make one that long.
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return subprocess.run(["unshare", *user, "--net", "--mount", "--pid", "--fork", "--kill-child",
                           "--mount-proc", sys.executable, "-B", __file__, INSIDE, sys.argv[1]],
                          check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
