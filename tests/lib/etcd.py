#!/usr/bin/env python3
"""A real etcd on loopback ports of its own.

As a program: etcd.py COMMAND... runs the command while an etcd is up, with @URL@ in its arguments
replaced by the etcd's address, and ends with its status.
"""
import base64
import contextlib
import json
import pathlib
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import ports

PROGRAM = shutil.which("etcd")


def free_ports(count):
    found = set()
    while len(found) < count:
        found.add(ports.free_port())
    return list(found)


def b64(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


class Etcd:
    """One member. Its ports and its data stay the same from start to start.

    peers: [(name, peer port)] of all members. tls: (ca, cert, key) that it wants clients of the
    same authority for.
    """

    def __init__(self, folder, name="one", peers=None, tls=None, program=PROGRAM):
        self.folder, self.program = pathlib.Path(folder), program
        self.name = name
        self.tls = tls
        self.port, peer = free_ports(2)
        self.peer = dict(peers)[name] if peers else peer
        self.peers = peers or [(name, peer)]
        self.process = None
        self.token = None

    @property
    def url(self):
        return "%s://127.0.0.1:%d" % ("https" if self.tls else "http", self.port)

    def command(self):
        peer = "http://127.0.0.1:%d" % self.peer
        flags = {
            "name": self.name, "data-dir": self.folder / ("data-" + self.name),
            "listen-client-urls": self.url, "advertise-client-urls": self.url,
            "listen-peer-urls": peer, "initial-advertise-peer-urls": peer,
            "initial-cluster": ",".join("%s=http://127.0.0.1:%d" % p for p in self.peers),
            "heartbeat-interval": 50, "election-timeout": 500,
        }
        if self.tls:
            flags.update({"trusted-ca-file": self.tls[0], "cert-file": self.tls[1],
                          "key-file": self.tls[2]})
        command = [self.program] + ["--%s=%s" % item for item in flags.items()]
        return command + (["--client-cert-auth"] if self.tls else [])

    def start(self, wait=True):
        with (self.folder / ("etcd-%s.log" % self.name)).open("a", encoding="utf-8") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=subprocess.STDOUT, cwd=self.folder)
        if wait:
            self.wait_up()
        return self

    def wait_up(self):
        end = time.monotonic() + 30
        while time.monotonic() < end:
            assert self.process.poll() is None, "etcd ended; see etcd-%s.log" % self.name
            with contextlib.suppress(OSError):
                self.call("/v3/kv/range", {"key": b64("x")})
                return
            time.sleep(0.05)
        raise AssertionError("etcd does not answer")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.kill()  # its log of writes makes that safe, and it is quick
            self.process.wait(30)

    def __enter__(self):
        return self if self.process else self.start()

    def __exit__(self, *_):
        self.stop()

    def call(self, path, body):
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = self.token
        context = None
        if self.tls:
            context = ssl.create_default_context(cafile=self.tls[0])
            context.load_cert_chain(self.tls[1], self.tls[2])
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}),
                                             urllib.request.HTTPSHandler(context=context))
        try:
            with opener.open(request, timeout=5) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as e:
            raise OSError("%s: %s" % (path, e.read().decode())) from e

    def put(self, key, value, lease=None):
        """value: an object that becomes JSON, or the text itself."""
        text = value if isinstance(value, (str, bytes)) else json.dumps(value)
        body = {"key": b64(key), "value": b64(text)}
        if lease:
            body["lease"] = lease
        return int(self.call("/v3/kv/put", body)["header"]["revision"])

    def delete(self, key):
        self.call("/v3/kv/deleterange", {"key": b64(key)})

    def lease(self, seconds):
        return self.call("/v3/lease/grant", {"TTL": seconds})["ID"]

    def login(self, user, password):
        self.token = self.call("/v3/auth/authenticate", {"name": user, "password": password})["token"]


def main():
    if not PROGRAM:
        print("etcd.py: there is no etcd on the PATH (package etcd-server)", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="etcd-") as folder, Etcd(folder) as etcd:
        command = [word.replace("@URL@", etcd.url) for word in sys.argv[1:]]
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
