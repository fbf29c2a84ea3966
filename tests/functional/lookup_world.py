"""A world of its own for test_lookup.py: a scripted DNS server on port 53 of 127.0.0.x in a user,
network and mount namespace, with resolv.conf, hosts and nsswitch.conf bound over the machine's.
Clients run in it one after the other; what the server saw of each comes back.
"""
import json
import os
import pathlib
import platform
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

A, CNAME, AAAA, SRV = 1, 5, 28, 33
TYPES = {A: "A", AAAA: "AAAA", SRV: "SRV"}
RCODES = {"formerr": 1, "servfail": 2, "nxdomain": 3, "notimp": 4, "refused": 5}
SERVERS = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4", "::1"]


# ---- the scripted server -------------------------------------------------------------------------

def wire_name(text):
    out = b""
    for label in text.rstrip(".").split("."):
        out += bytes([len(label)]) + label.encode()
    return out + b"\0"


def parse_question(data):
    labels, at = [], 12
    while data[at]:
        labels.append(data[at + 1:at + 1 + data[at]].decode("latin-1"))
        at += data[at] + 1
    qtype, _ = struct.unpack_from("!HH", data, at + 1)
    return ".".join(labels), qtype, data[12:at + 5]


def record(qtype, word):
    """One answer of the question's own name: an address, "cname:NAME" or "srv:NAME"."""
    if word.startswith("cname:"):
        rtype, rdata = CNAME, wire_name(word[6:])
    elif word.startswith("srv:"):
        rtype, rdata = SRV, struct.pack("!HHH", 0, 100, 80) + wire_name(word[4:])
    else:
        family = socket.AF_INET6 if ":" in word else socket.AF_INET
        rtype, rdata = qtype, socket.inet_pton(family, word)
    return b"\xc0\x0c" + struct.pack("!HHIH", rtype, 1, 5, len(rdata)) + rdata


class Script:
    """Says what to answer: keys are "NAME TYPE", "NAME *" or "*", with "SERVER|" in front for one
    server only; values are words: addresses, "nodata", an rcode, "drop", "tc", "delay"."""

    def __init__(self, rules):
        self.rules = {k.lower(): v for k, v in rules.items()}
        self.seen = []
        self.lock = threading.Lock()

    def rule(self, server, name, qtype):
        name = name.lower()
        keys = [("%s %s" % (name, TYPES.get(qtype, qtype))).lower(), name + " *", "*"]
        for key in ["%s|%s" % (server, k) for k in keys] + keys:
            if key in self.rules:
                return self.rules[key]
        return ["nxdomain"]

    def note(self, entry):
        with self.lock:
            self.seen.append(entry)

    def reply(self, server, data, port, proto):
        name, qtype, question = parse_question(data)
        flags = struct.unpack_from("!H", data, 2)[0]
        self.note({
            "server": server, "proto": proto, "name": name, "type": TYPES.get(qtype, str(qtype)),
            "port": port, "at": time.monotonic(), "edns": data[11], "ad": bool(flags & 0x20)})
        words = list(self.rule(server, name, qtype))
        if "drop" in words:
            return None
        if "delay" in words:
            words.remove("delay")
            time.sleep(0.1)
        answers, rcode, bits = [], 0, 0x8180
        for word in words:
            if word == "tc":
                bits |= 0x0200 if proto == "udp" else 0
            elif word == "lame":
                bits &= ~0x0080
            elif word in RCODES:
                rcode = RCODES[word]
            elif word != "nodata":
                answers.append(record(qtype, word))
        if bits & 0x0200:
            answers = []
        return data[:2] + struct.pack(
            "!HHHHH", bits | rcode, 1, len(answers), 0, 0) + question + b"".join(answers)


def serve_udp(script, server, sock):
    def answer(data, peer):
        out = script.reply(server, data, peer[1], "udp")
        if out:
            sock.sendto(out, peer)
    while True:
        data, peer = sock.recvfrom(4096)
        name, qtype, _ = parse_question(data)
        if "delay" in script.rule(server, name, qtype):
            threading.Thread(target=answer, args=(data, peer), daemon=True).start()
        else:
            answer(data, peer)


def serve_tcp_client(script, server, sock, peer):
    stream = sock.makefile("rb")
    while True:
        head = stream.read(2)
        if len(head) < 2:
            return
        out = script.reply(server, stream.read(struct.unpack("!H", head)[0]), peer[1], "tcp")
        if out:
            sock.sendall(struct.pack("!H", len(out)) + out)


def serve_tcp(script, server, listener):
    while True:
        sock, peer = listener.accept()
        threading.Thread(
            target=serve_tcp_client, args=(script, server, sock, peer), daemon=True).start()


def start_servers(script, servers):
    for server in servers:
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        udp = socket.socket(family, socket.SOCK_DGRAM)
        udp.bind((server, 53))
        tcp = socket.socket(family, socket.SOCK_STREAM)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind((server, 53))
        tcp.listen(16)
        for target, sock in ((serve_udp, udp), (serve_tcp, tcp)):
            threading.Thread(target=target, args=(script, server, sock), daemon=True).start()


# ---- inside the namespaces -----------------------------------------------------------------------

def bind_over(path, text, folder):
    source = pathlib.Path(folder, path.strip("/").replace("/", "_"))
    source.write_text(text)
    subprocess.run(["mount", "--bind", str(source), os.path.realpath(path)], check=True)


def seen_by(script, argv):
    script.seen.clear()
    start = time.monotonic()
    done = subprocess.run(argv, capture_output=True, text=True, timeout=40, check=False)
    took = time.monotonic() - start
    time.sleep(0.05)
    return {"out": done.stdout, "errors": done.stderr, "status": done.returncode, "took": took,
            "queries": list(script.seen)}


def inside():
    case = json.load(sys.stdin)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    script = Script(case["rules"])
    start_servers(script, case["listen"])
    with tempfile.TemporaryDirectory() as folder:
        bind_over("/etc/resolv.conf", case["resolv"], folder)
        bind_over("/etc/hosts", case["hosts"], folder)
        bind_over("/etc/nsswitch.conf", "hosts: files dns\n", folder)
        subprocess.run(["hostname", case["hostname"]], check=True)
        results = [seen_by(script, argv) for argv in case["clients"]]
    json.dump(results, sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # threads of the servers still wait


# ---- from outside --------------------------------------------------------------------------------

def run_inside(rules, resolv, clients, more):
    """What each client printed and what the server saw of it."""
    data = {
        "rules": rules, "resolv": resolv, "hosts": more.get("hosts", ""), "clients": clients,
        "listen": more.get("listen", SERVERS), "hostname": more.get("hostname", "h"),
    }
    done = subprocess.run(
        ["unshare", "-Urnm", "--uts", sys.executable, __file__, "--inside"],
        input=json.dumps(data), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def ports(queries):
    """Source ports, numbered in the order of their first use."""
    known = {}
    return [known.setdefault((q["proto"], q["port"]), len(known)) for q in queries]


def times(queries):
    """Half seconds since the first query."""
    return [round(2 * (q["at"] - queries[0]["at"])) for q in queries]


def picture(result):
    queries = result["queries"]
    return list(zip(
        [(q["server"], q["proto"], q["name"], q["type"], q["edns"], q["ad"]) for q in queries],
        ports(queries), times(queries)))


def usable():
    """Why the comparison cannot be made here, or None."""
    if platform.libc_ver()[0] != "glibc":
        return "this is not glibc"
    if not shutil.which("unshare"):
        return "unshare is not installed"
    tried = subprocess.run(["unshare", "-Urnm", "--uts", "true"], capture_output=True, check=False)
    return None if tried.returncode == 0 else "namespaces are not allowed here"


if __name__ == "__main__":
    inside()
