#!/usr/bin/env python3
"""From the real kube-proxy to signpost and back on a node with traffic: no connection fails, a held one lives on.

  proxy_takeover.py SIGNPOST KUBE_PROXY MODE MODE     nftables or iptables: kube-proxy's and signpost's"""
import collections
import json
import pathlib
import signal
import socket
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "lib"), str(HERE.parent / "functional")]
import proxy_lab  # noqa: E402
from proxy_lab import NODE, PORTS, pod  # noqa: E402

NS = "t"
SECONDS = 30  # that a step may take
WEB, DNS, WEB6 = "10.96.0.10", "10.96.0.11", "fd00:10:96::10"
NODE_PORT = 30080
PAUSE = 0.005


def put_service(lab, name, ip, protocol, pods, family=4, **spec):
    lab.put({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": NS, "uid": name},
             "spec": {"type": "ClusterIP", "clusterIP": ip, "clusterIPs": [ip], "ipFamilies": ["IPv%d" % family],
                      "ports": [{"port": 80, "protocol": protocol, "targetPort": PORTS[0],
                                 **({"nodePort": NODE_PORT} if "type" in spec else {})}], **spec}})
    lab.put({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv%d" % family,
             "metadata": {"name": name + "-a", "namespace": NS, "labels": {"kubernetes.io/service-name": name}},
             "ports": [{"name": "", "port": PORTS[0], "protocol": protocol}],
             "endpoints": [{"addresses": [pod(p, family)]} for p in pods]})


class Traffic:
    """New flows all the time from a place, and what came of them."""

    def __init__(self, lab, source, flows):
        self.outcomes, self.going, self.flows = collections.Counter(), True, flows
        self.future = lab.threads[source].submit(self.run)

    def run(self):
        while self.going:
            self.outcomes.update(r["outcome"] for r in proxy_lab.ask_all(self.flows))
            time.sleep(PAUSE)

    def end(self):
        self.going = False
        self.future.result()
        return self.outcomes


class Held:
    """One connection, over which something is said all the time."""

    def __init__(self, lab):
        self.said, self.error, self.going = 0, None, True
        self.socket = proxy_lab.in_netns(lab.ns("p2"), lambda: socket.create_connection((WEB, 80), 5))
        self.socket.recv(256)
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            while self.going:
                self.socket.sendall(b"still there\n")
                if self.socket.recv(256) != b"still there\n":
                    raise OSError("closed")
                self.said += 1
                time.sleep(0.02)
        except OSError as e:
            self.error = e

    def end(self):
        self.going = False
        self.thread.join()
        return self.error


def wait(condition, what):
    until = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError("not within %d s: %s" % (SECONDS, what))
        time.sleep(0.05)


def tables(lab):
    return lab.run("nft", "list", "tables")


def chains_of_the_original(lab):
    return [line for program in ("iptables-save", "ip6tables-save") for line in lab.run(program).splitlines()
            if line.startswith("-A KUBE-S")]


class Switch:
    """The steps of docs/proxy.md."""

    def __init__(self, lab, signpost, original, mode, our_mode):
        self.lab, self.signpost, self.original, self.number = lab, signpost, original, 0
        self.mode, self.our_mode = mode, our_mode

    def new_service_answers(self):
        """What only a proxy that runs now can have brought into the kernel."""
        self.number += 1
        ips = {4: "10.96.1.%d" % self.number, 6: "fd00:10:96::1:%x" % self.number}
        for family, ip in ips.items():
            put_service(self.lab, "new%d-%d" % (self.number, family), ip, "TCP", ["p1"], family)
        wait(lambda: all(r["outcome"] == "reply" for r in self.lab.ask("c1", [("tcp", ip, 80) for ip in ips.values()]
                                                                       ).result()), "a new Service is served")

    def start_original(self):
        made = self.lab.start_proxy([self.original], self.mode)
        wait(lambda: chains_of_the_original(self.lab) if self.mode == "iptables"
             else "ip6 kube-proxy" in tables(self.lab) and "ip kube-proxy" in tables(self.lab), "kube-proxy has rules")
        return made

    def stop(self, process):
        process.send_signal(signal.SIGTERM)
        process.wait(SECONDS)

    def there(self, original):
        self.stop(original)
        ours = self.lab.start_proxy([self.signpost, "proxy"], self.our_mode)
        self.new_service_answers()
        wait(lambda: "kube-proxy" not in tables(self.lab) and
             (self.our_mode == "iptables" or not chains_of_the_original(self.lab)), "what kube-proxy left is gone")
        self.new_service_answers()
        return ours

    def back(self, ours):
        original = self.start_original()
        self.stop(ours)
        self.new_service_answers()
        if self.our_mode != self.mode or self.mode == "nftables":  # else the chains are kube-proxy's now
            self.lab.run(self.signpost, "proxy", "--cleanup", "--proxy-mode=" + self.our_mode)
        wait(lambda: "signpost" not in tables(self.lab), "what signpost left is gone")
        self.new_service_answers()
        return original


def main(signpost, original, mode, our_mode):
    proxy_lab.apart()
    answers = proxy_lab.Answers()
    with tempfile.TemporaryDirectory() as folder:
        lab = proxy_lab.Lab("one", folder, answers)
        try:
            lab.build()
            answers.start()
            put_service(lab, "web", WEB, "TCP", ["p1", "r1"], type="NodePort")
            put_service(lab, "dns", DNS, "UDP", ["p1", "r1"])
            put_service(lab, "web6", WEB6, "TCP", ["p1", "r1"], family=6)
            switch = Switch(lab, signpost, original, mode, our_mode)
            running = switch.start_original()
            switch.new_service_answers()
            flows = [("tcp", WEB, 80), ("udp", DNS, 80), ("tcp", WEB6, 80), ("tcp", NODE[4], NODE_PORT)]
            traffic = [Traffic(lab, source, flows) for source in ("p3", "outside", "node")]
            held = Held(lab)
            for _ in range(2):
                running = switch.back(switch.there(running))
            error, outcomes = held.end(), [t.end() for t in traffic]
            print(json.dumps({"held": held.said, "error": str(error or ""), "outcomes": outcomes}))
            if error or any(set(o) != {"reply"} for o in outcomes):
                print(lab.log()[-4000:], file=sys.stderr)
                return 1
            return 0
        except TimeoutError:
            print(lab.log()[-4000:], file=sys.stderr)
            raise
        finally:
            lab.close()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
