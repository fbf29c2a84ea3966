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
    """The name "?" stands for what is no name."""
    labels, at = [], 12
    while data[at]:
        if data[at] > 63 or at + data[at] + 5 >= len(data):
            return "?", 0, b""
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
        if "drop" in words or not question:
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
        bind_over("/etc/nsswitch.conf", case["nsswitch"], folder)
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
        "nsswitch": more.get("nsswitch", "hosts: files dns\n"),
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


# ---- the real libraries --------------------------------------------------------------------------

GETADDRINFO = r"""
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
    char text[INET6_ADDRSTRLEN];
    int error = argc > 1 ? getaddrinfo(argv[1], NULL, &hints, &found) : EAI_FAIL;
    printf("%d\n", error);
    for (; found && !error; found = found->ai_next) {
        void *address = found->ai_family == AF_INET
                            ? (void *)&((struct sockaddr_in *)found->ai_addr)->sin_addr
                            : (void *)&((struct sockaddr_in6 *)found->ai_addr)->sin6_addr;
        puts(inet_ntop(found->ai_family, address, text, sizeof text));
    }
    return 0;
}
"""

ARES = r"""
#include <ares.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/select.h>

static void done(void *arg, int status, int timeouts, struct ares_addrinfo *found)
{
    char text[INET6_ADDRSTRLEN];
    *(int *)arg = 1;
    (void)timeouts;
    printf("%d\n", status);
    for (struct ares_addrinfo_node *n = found ? found->nodes : NULL; n; n = n->ai_next) {
        void *address = n->ai_family == AF_INET
                            ? (void *)&((struct sockaddr_in *)n->ai_addr)->sin_addr
                            : (void *)&((struct sockaddr_in6 *)n->ai_addr)->sin6_addr;
        puts(inet_ntop(n->ai_family, address, text, sizeof text));
    }
    ares_freeaddrinfo(found);
}

int main(int argc, char **argv)
{
    struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC };
    ares_channel channel;
    int ended = 0;
    if (argc > 1 && strcmp(argv[1], "--version") == 0)
        return puts(ares_version(NULL)) < 0;
    if (argc < 2 || ares_library_init(ARES_LIB_INIT_ALL) || ares_init(&channel))
        return 2;
    ares_getaddrinfo(channel, argv[1], NULL, &hints, done, &ended);
    while (!ended) {
        fd_set readable, writable;
        struct timeval wait;
        FD_ZERO(&readable);
        FD_ZERO(&writable);
        int n = ares_fds(channel, &readable, &writable);
        if (n == 0)
            break;
        select(n, &readable, &writable, NULL, ares_timeout(channel, NULL, &wait));
        ares_process(channel, &readable, &writable);
    }
    ares_destroy(channel);
    return 0;
}
"""

GO = """
//go:debug netdns=go
//go:debug netedns0=1
package main

import (
\t"fmt"
\t"net"
\t"os"
)

func main() {
\tfound, err := net.LookupHost(os.Args[1])
\tif err != nil {
\t\tfmt.Println(err)
\t\treturn
\t}
\tfmt.Println("0")
\tfor _, a := range found {
\t\tfmt.Println(a)
\t}
}
"""


def compiled(folder, name, source, argv, env=None):
    """The program, or None where the compiler or the library is not there."""
    path, out = pathlib.Path(folder, name), pathlib.Path(folder, name.split(".")[0])
    path.write_text(source)
    argv = [a.replace("OUT", str(out)).replace("IN", str(path)) for a in argv]
    if not shutil.which(argv[0]):
        return None
    done = subprocess.run(argv, capture_output=True, text=True, timeout=240, check=False,
                          env={**os.environ, **(env or {})})
    return str(out) if done.returncode == 0 else None


def musl_name():
    """Which musl the compiler has: that before 1.2.4 is another one."""
    for loader in pathlib.Path("/lib").glob("ld-musl-*"):
        text = subprocess.run([str(loader)], capture_output=True, text=True, check=False).stderr
        version = [line.split()[1] for line in text.splitlines() if line.startswith("Version")]
        if version:
            return "musl-1.2.3" if [int(n) for n in version[0].split(".")] < [1, 2, 4] else "musl"
    return None


def real_clients(folder):
    """Programs of the libraries that are there, by the name that signpost has for them."""
    go = shutil.which("go") or "/usr/local/go/bin/go"
    found = {
        "glibc": compiled(folder, "glibc.c", GETADDRINFO, ["cc", "-o", "OUT", "IN"]),
        musl_name(): compiled(folder, "musl.c", GETADDRINFO,
                              ["musl-gcc", "-static", "-o", "OUT", "IN"]),
        "go": compiled(folder, "pure.go", GO, [go, "build", "-o", "OUT", "IN"],
                       {"CGO_ENABLED": "0", "GO111MODULE": "off", "GOFLAGS": "-p=2"}),
        "c-ares": compiled(folder, "ares.c", ARES, ["cc", "-o", "OUT", "IN", "-lcares"]),
    }
    if found["c-ares"]:
        version = subprocess.run([found["c-ares"], "--version"], capture_output=True, text=True,
                                 check=True).stdout
        if [int(n) for n in version.split(".")[:2]] >= [1, 20]:
            found["c-ares"] = None  # its timeouts and tries are others
    return {name: program for name, program in found.items() if name and program}


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
