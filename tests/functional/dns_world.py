"""A running `signpost dns` and ways to talk to it, byte by byte if need be."""
import contextlib
import http.client
import os
import pathlib
import signal
import socket
import struct
import subprocess
import time

import dns.flags
import dns.message
import dns.name
import dns.rcode

from ports import free_port  # noqa: F401  for those who import this

TIMEOUT = 5.0
WEB = "web.default.svc.cluster.local."
MANIFEST = """apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  clusterIP: 10.96.0.10
  ports: [{name: http, port: 80}]
"""
LIB = pathlib.Path(__file__).resolve().parents[1] / "lib"


def header(ident=4711, flags=0x0100, qd=1, an=0, ns=0, ar=0):
    return struct.pack("!6H", ident, flags, qd, an, ns, ar)


def question(name, rdtype=1, rdclass=1):
    return dns.name.from_text(name).to_wire() + struct.pack("!HH", rdtype, rdclass)


def opt(size=1232, flags=0, version=0, options=()):
    data = b"".join(struct.pack("!HH", code, len(d)) + d for code, d in options)
    return struct.pack("!BHHBBHH", 0, 41, size, 0, version, flags, len(data)) + data


def query(name, rdtype="A", ident=4711, **more):
    made = dns.message.make_query(name, rdtype, **more)
    made.id = ident
    return made


def parse(wire):
    """Records one by one and in order, letter case kept."""
    return dns.message.from_wire(wire, one_rr_per_rrset=True, raise_on_truncation=False)


def records(section):
    """(owner, TTL, type, rdata) of each record, as text."""
    return [(r.name.to_text(), r.ttl, dns.rdatatype.to_text(r.rdtype), r[0].to_text())
            for r in section if len(r)]


class Connection:
    """DNS over TCP, with the reads and writes in the caller's hands."""

    def __init__(self, port, host="127.0.0.1"):
        self.sock = socket.create_connection((host, port), TIMEOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def write(self, data):
        self.sock.sendall(data)

    def send(self, *messages):
        self.write(b"".join(struct.pack("!H", len(m)) + m for m in messages))

    def exactly(self, size):
        data = b""
        while len(data) < size:
            part = self.sock.recv(size - len(data))
            if not part:
                raise EOFError("closed after %d of %d bytes" % (len(data), size))
            data += part
        return data

    def receive(self):
        return self.exactly(struct.unpack("!H", self.exactly(2))[0])


class Server:
    """Runs while inside `with`. @PORT@, @PORT2@ ... and @DIR@ in the Corefile are filled in."""

    def __init__(self, program, folder, corefile, *flags, ports=(), wait=True, env=None):
        self.folder = pathlib.Path(folder)
        self.ports = {}
        for number in range(1, 10):
            word = "@PORT%s@" % ("" if number == 1 else number)
            if word in corefile:
                self.ports[word] = ports[number - 1] if number <= len(ports) else free_port()
                corefile = corefile.replace(word, str(self.ports[word]))
        self.port = self.ports.get("@PORT@")
        self.path = self.folder / "Corefile"
        self.path.write_text(corefile.replace("@DIR@", str(self.folder)))
        self.output = self.folder / "output"
        if "-control" not in flags:
            flags = ("-control", "", *flags)  # the usual one is for one server at a time
        env = dict(os.environ if env is None else env)
        env.setdefault("TSAN_OPTIONS", "suppressions=%s" % (LIB / "tsan.supp"))
        with self.output.open("w", encoding="utf-8") as out:
            self.process = subprocess.Popen(
                [program, "dns", "-conf", self.path, *flags], cwd=self.folder, stdout=out,
                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=env)
        if wait:
            self.wait_up()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()
        report = self.log()
        assert "Sanitizer" not in report, report
        assert "[ERROR] system call" not in report, report

    def numbered(self, number):
        return self.ports["@PORT%d@" % number]

    def log(self):
        return self.output.read_text(encoding="utf-8")

    def wait_up(self):
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise AssertionError("ended with %d: %s" % (self.process.returncode, self.log()))
            with contextlib.suppress(OSError), Connection(self.port):
                return
            time.sleep(0.01)
        raise AssertionError("does not listen: " + self.log())

    def wait_log(self, text, seconds=3.0):
        end = time.monotonic() + seconds
        while text not in self.log():
            assert time.monotonic() < end, "%r is not in %r" % (text, self.log())
            time.sleep(0.01)

    def stop(self, number=signal.SIGTERM):
        """Ends it, and returns its exit status."""
        self.process.send_signal(number)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def memory_kb(self):
        for line in pathlib.Path("/proc/%d/status" % self.process.pid).read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise AssertionError("no VmRSS")

    # ---- asking ----

    def udp(self, wire, port=None, timeout=TIMEOUT, host="127.0.0.1"):
        """The reply's bytes; None: silence."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.settimeout(timeout)
            sock.connect((host, port or self.port))
            sock.send(wire)
            try:
                return sock.recv(65535)
            except TimeoutError:
                return None

    def tcp(self, wire, port=None):
        with Connection(port or self.port) as c:
            c.send(wire)
            return c.receive()

    def ask(self, name, rdtype="A", tcp=False, port=None, **more):
        wire = query(name, rdtype, **more).to_wire()
        reply = (self.tcp if tcp else self.udp)(wire, port)
        assert reply is not None, "no reply to %s %s: %s" % (name, rdtype, self.log())
        return parse(reply)

    def addresses(self, name, rdtype="A", **more):
        """What stands in the answer section, sorted; or the rcode as text."""
        reply = self.ask(name, rdtype, **more)
        if reply.rcode():
            return dns.rcode.to_text(reply.rcode())
        return sorted(r[3] for r in records(reply.answer))

    def until(self, name, wanted, seconds=1.0, **more):
        """Asks until the answer is right; a change must be visible within a second."""
        end = time.monotonic() + seconds
        while True:
            found = self.addresses(name, **more)
            if found == wanted:
                return
            assert time.monotonic() < end, "%s: %s and not %s: %s" % (
                name, found, wanted, self.log())
            time.sleep(0.01)


def http_get(port, path, method="GET"):
    """(status, body)"""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.request(method, path)
        reply = connection.getresponse()
        return reply.status, reply.read().decode()
    finally:
        connection.close()


def run_until_end(program, folder, corefile, *flags):
    """For Corefiles that must not start: (exit status, all output)."""
    path = pathlib.Path(folder) / "Corefile"
    path.write_text(corefile)
    ran = subprocess.run([program, "dns", "-conf", "Corefile", *flags], cwd=folder,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, timeout=20, check=False)
    return ran.returncode, ran.stdout


def write_whole(path, text):
    """Puts a file into place at once, as a careful writer does."""
    aside = path.with_name("." + path.name)
    aside.write_text(text, encoding="utf-8")
    os.replace(aside, path)
