"""A lab for tests: a folder of manifests that it follows, and commands inside of it."""
import json
import pathlib
import shutil
import subprocess
import time

import pytest

NODES = """
kind: Node
apiVersion: v1
metadata: {name: n1}
spec: {podCIDRs: [10.244.1.0/24, "fd00:10:244:1::/64"]}
status: {addresses: [{type: InternalIP, address: 172.18.0.11}, {type: InternalIP, address: "fd00:18::11"}]}
---
kind: Node
apiVersion: v1
metadata: {name: n2}
spec: {podCIDRs: [10.244.2.0/24, "fd00:10:244:2::/64"]}
status: {addresses: [{type: InternalIP, address: 172.18.0.12}, {type: InternalIP, address: "fd00:18::12"}]}
"""

POD = """
kind: Pod
apiVersion: v1
metadata: {name: NAME, namespace: app, labels: {app: NAME}}
spec:
  nodeName: NODE
  terminationGracePeriodSeconds: 1
  containers:
    - name: web
      image: signpost
      args: [lab, backend, --port, "8080"]
      readinessProbe: {httpGet: {port: 8080, path: /ready}, periodSeconds: 1, failureThreshold: 1}
"""


def pod(name, node, **changes):
    text = POD.replace("NAME", name).replace("NODE", node)
    for old, new in changes.items():
        text = text.replace(old, new)
    return text


class Lab:
    """A running lab and its folder of manifests."""

    def __init__(self, program, tmp):
        self.program = program
        self.source = tmp / "manifests"
        self.dir = tmp / "lab"
        self.source.mkdir()

    def call(self, *args, check=True):
        done = subprocess.run([self.program, "lab", args[0], "--dir", str(self.dir), *args[1:]],
                              capture_output=True, text=True, timeout=90, check=False)
        if check and done.returncode:
            raise AssertionError("%s: %s%s" % (args, done.stdout, done.stderr))
        return done

    def run(self, where, *command, check=True):
        return self.call("exec", where, "--", *command, check=check).stdout

    def write(self, name, text):
        hidden = self.source / ("." + name)
        hidden.write_text(text)
        hidden.rename(self.source / name)

    def object(self, name):
        return json.loads((self.dir / "objects" / (name + ".json")).read_text())

    def pid(self):
        return int((self.dir / "pid").read_text())


def wait(what, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return
        time.sleep(0.02)
    raise AssertionError("not within %s s" % seconds)


def is_ready(thing):
    return any(c["type"] == "Ready" and c["status"] == "True"
               for c in thing["status"]["conditions"])


def open_lab(program):
    """A Lab that is not up yet, in a short path: sockets and mounts want that. close_lab() ends it."""
    if subprocess.run(["unshare", "-Urnmp", "--fork", "true"], check=False).returncode:
        pytest.skip("this machine gives no user namespaces")
    return Lab(program, pathlib.Path(subprocess.check_output(["mktemp", "-d", "/tmp/lab-XXXXXX"], text=True).strip()))


def close_lab(lab):
    lab.call("down", check=False)
    shutil.rmtree(lab.dir.parent, ignore_errors=True)
