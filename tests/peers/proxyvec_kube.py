#!/usr/bin/env python3
"""The proxy vectors (tests/proxyvec) with objects that lie on a real API server.

  ./run peers proxyvec [--proxy signpost|kube-proxy] [--mode nftables|iptables] [ARGUMENT...]

Further arguments are those of tests/proxyvec/proxyvec.py. All of it, the API server too, lives in user,
network, PID and mount namespaces of its own, so it needs no root and cannot touch this machine. Only the
iptables mode with all vectors at once does need root: iptables-restore sends its rules in one message,
and only root may make that as long as it gets then."""
import argparse
import base64
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT / "tests" / "lib"), str(ROOT / "tests" / "functional")]
import kube_world  # noqa: E402

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


def kubeconfig(cluster):
    """One that reads everywhere, with the rights of kube-proxy and those that the runner needs."""
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
    parser.add_argument("--proxy", choices=COMMANDS, default="signpost")
    parser.add_argument("--mode", choices=("nftables", "iptables"), default="nftables")
    return parser.parse_known_args()


def run_inside(args, more):
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    command = COMMANDS[args.proxy].replace("@SIGNPOST@", args.signpost).replace("@PEERS@", str(kube_world.PROGRAMS))
    folder = tempfile.mkdtemp(prefix="proxyvec-")
    try:
        with Cluster(folder) as cluster:
            env = {**os.environ, "PATH": show_config_command(folder)}
            return subprocess.run(
                [sys.executable, "-B", args.vectors + "/proxyvec.py", "--dir", args.vectors, "--mode", args.mode,
                 "--source-kind", "kube", "--kubeconfig", kubeconfig(cluster), "--proxy-cmd", command, *more],
                env=env, check=False).returncode
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main():
    args, more = arguments()
    reason = kube_world.missing()
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
