#!/usr/bin/env python3
"""The proxy vectors (tests/proxyvec) with objects that lie on a real API server, or on a registry.

  ./run peers proxyvec [--api kube-apiserver|signpost] [--proxy signpost|kube-proxy]
                       [--mode nftables|iptables] [ARGUMENT...]

Further arguments are those of tests/proxyvec/proxyvec.py. All of it, the API server too, lives in user,
network, PID and mount namespaces of its own, so it needs no root and cannot touch this machine. Only the
iptables mode with all vectors at once does need root: iptables-restore sends its rules in one message,
and only root may make that as long as it gets then."""
import argparse
import base64
import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT / "tests" / "lib"), str(ROOT / "tests" / "functional")]
import kube_world  # noqa: E402
from certificates import Authority  # noqa: E402
from dns_world import free_port  # noqa: E402

APART = "apart"  # in the environment of the process inside
COMMANDS = {
    "signpost": "@SIGNPOST@ proxy --kubeconfig=@SOURCE@ --hostname-override=@NODE@ --proxy-mode=@MODE@ "
                "--conntrack-max-per-core=0 @ARGS@",
    "kube-proxy": "@PEERS@/kube-proxy --kubeconfig=@SOURCE@ --hostname-override=@NODE@ --proxy-mode=@MODE@ "
                  "--conntrack-max-per-core=0 @ARGS@",
}


class Cluster(kube_world.Cluster):
    """The vectors bring slices of their own."""

    def start_controllers(self):
        pass


class Registry:
    """`signpost registry` in the place of it."""

    def __init__(self, folder, program):
        self.folder, self.program, self.port = pathlib.Path(folder), program, free_port()
        self.url = "https://127.0.0.1:%d" % self.port
        authority = Authority(folder)
        authority.issue("server", "/CN=server", "IP:127.0.0.1,IP:10.96.0.1,IP:fd00:10:96::1")
        (self.folder / "tokens.csv").write_text('%s,admin,1,"system:masters"\n' % kube_world.TOKEN)

    def path(self, name):
        return str(self.folder / name)

    def __enter__(self):
        with open(self.path("log"), "wb") as log:
            self.process = subprocess.Popen(
                [self.program, "registry", "--listen=127.0.0.1:%d" % self.port, "--data=" + self.path("registry.db"),
                 "--credentials=" + str(self.folder), "--service-cluster-ip-range=" + kube_world.RANGES,
                 "--controllers=false"],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        kube_world.Cluster.until(self.answers, 30, "the registry answers: " + self.path("log"))
        return self

    def answers(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def kubeconfig(cluster):
    """One that can be read from everywhere."""
    ca = base64.b64encode(pathlib.Path(cluster.path("ca.crt")).read_bytes()).decode()
    path = pathlib.Path(cluster.path("vectors.json"))
    path.write_text(json.dumps({
        "kind": "Config", "apiVersion": "v1", "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": cluster.url, "certificate-authority-data": ca}}],
        "users": [{"name": "u", "user": {"token": kube_world.TOKEN}}]}))
    return str(path)


def show_config_command(folder):
    """The runner reads a kubeconfig by `kubectl --kubeconfig FILE config view`; ours is JSON as it is."""
    program = pathlib.Path(folder) / "bin" / "kubectl"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nexec cat "$2"\n')
    program.chmod(0o755)
    return "%s:%s:/usr/sbin:/sbin" % (program.parent, os.environ["PATH"])


def arguments():
    parser = argparse.ArgumentParser(prog="./run peers proxyvec", add_help=False)
    parser.add_argument("--signpost", default=os.environ.get("SIGNPOST", str(ROOT / "build" / "signpost")))
    parser.add_argument("--vectors", default=str(ROOT / "tests" / "proxyvec"), help="the folder with proxyvec.py")
    parser.add_argument("--api", choices=("kube-apiserver", "signpost"), default="kube-apiserver")
    parser.add_argument("--proxy", choices=COMMANDS, default="signpost")
    parser.add_argument("--mode", choices=("nftables", "iptables"), default="nftables")
    return parser.parse_known_args()


def run_inside(args, more):
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    command = COMMANDS[args.proxy].replace("@SIGNPOST@", args.signpost).replace("@PEERS@", str(kube_world.PROGRAMS))
    folder = tempfile.mkdtemp(prefix="proxyvec-")
    try:
        with Cluster(folder) if args.api == "kube-apiserver" else Registry(folder, args.signpost) as cluster:
            env = {**os.environ, "PATH": show_config_command(folder)}
            return subprocess.run(
                [sys.executable, "-B", args.vectors + "/proxyvec.py", "--dir", args.vectors, "--mode", args.mode,
                 "--source-kind", "kube", "--kubeconfig", kubeconfig(cluster), "--proxy-cmd", command, *more],
                env=env, check=False).returncode
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main():
    args, more = arguments()
    reason = kube_world.missing() if args.api == "kube-apiserver" else None
    if reason:
        sys.exit(reason)
    if os.environ.get("SIGNPOST_PROXYVEC") == APART:
        return run_inside(args, more)
    os.environ["SIGNPOST_PROXYVEC"] = APART
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    # the process inside is the first of its PID namespace: nothing outlives it
    user = [] if args.mode == "iptables" and os.geteuid() == 0 else ["--user", "--map-root-user"]
    return subprocess.run(["unshare", *user, "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
                           sys.executable, "-B", __file__, *sys.argv[1:]], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
