"""The servers that bench/dns.py compares, each with the least configuration that serves the same
names with one thread. A peer is a name, how to find its program, its version, and
how to start it."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

# What a cluster's Corefile names, in this order; a server is given those that it knows.
CLUSTER_PLUGINS = ["bind", "errors", "health", "ready", "kubernetes", "prometheus", "forward",
                   "cache", "loop", "reload", "loadbalance"]


@dataclass
class Site:
    """Where and with what a server runs."""
    folder: Path       # of this server, for its files
    cluster: Path      # written by cluster.py
    build: Path
    signpost: Path
    mix: str           # of the queries to come
    port: int          # and the next three for health, ready and metrics; the one after is dead
    api_port: int | None = None


@dataclass
class Peer:
    name: str
    program: Callable[[Site], str | None]
    version: list
    command: Callable[[Site, str], list]
    needs_api: bool = False
    correct: bool = True  # answers can be checked


def installed(name):
    """From PATH, or where distributions put servers that users have no path to."""
    path = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
    return lambda site: shutil.which(name, path=path)


def built(path_of):
    return lambda site: str(path_of(site)) if os.access(path_of(site), os.X_OK) else None


def write(site, name, text):
    path = site.folder / name
    path.write_text(text)
    return path


def known_plugins(program, argv):
    """The plugins that a server was built with; all of the cluster's, when it does not say."""
    done = subprocess.run([program, *argv], capture_output=True, text=True, timeout=10, check=False)
    # CoreDNS of other builds prints "dns.kubernetes".
    known = {line.strip().removeprefix("dns.") for line in done.stdout.splitlines()}
    return known & set(CLUSTER_PLUGINS) or set(CLUSTER_PLUGINS)


def corefile(site, source, known):
    kubernetes = ("kubernetes cluster.local in-addr.arpa ip6.arpa {\n"
                  f"        {source}\n"
                  "        pods insecure\n"
                  "        fallthrough in-addr.arpa ip6.arpa\n"
                  "        ttl 30\n"
                  "    }")
    lines = {"bind": "bind 127.0.0.1", "health": f"health 127.0.0.1:{site.port + 1}",
             "ready": f"ready 127.0.0.1:{site.port + 2}", "kubernetes": kubernetes,
             "prometheus": f"prometheus 127.0.0.1:{site.port + 3}",
             "forward": f"forward . 127.0.0.1:{site.port + 4}", "cache": "cache 30"}
    body = "".join(f"    {lines.get(name, name)}\n" for name in CLUSTER_PLUGINS if name in known)
    return f".:{site.port} {{\n{body}}}\n"


def floor_command(site, program):
    return [program, "--port", str(site.port)]


def signpost_command(site, program, source=None):
    known = known_plugins(program, ["dns", "-plugins"])
    text = corefile(site, source or f"manifests {site.cluster / 'manifests'}", known)
    return [program, "dns", "-conf", str(write(site, "Corefile", text))]


def signpost_api_command(site, program):
    return signpost_command(site, program, f"endpoint http://127.0.0.1:{site.api_port}")


def coredns_command(site, program):
    source = f"endpoint http://127.0.0.1:{site.api_port}"
    text = corefile(site, source, known_plugins(program, ["-plugins"]))
    return [program, "-conf", str(write(site, "Corefile", text))]


def knot_command(site, program):
    conf = write(site, "knot.conf", f"""server:
  rundir: {site.folder}
  listen: 127.0.0.1@{site.port}
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
database:
  storage: {site.folder}
template:
  - id: default
    zonefile-sync: -1
    journal-content: none
zone:
  - domain: cluster.local
    file: {site.cluster / 'cluster.zone'}
log:
  - target: stderr
    any: warning
""")
    return [program, "-c", str(conf)]


def nsd_command(site, program):
    conf = write(site, "nsd.conf", f"""server:
  ip-address: 127.0.0.1@{site.port}
  server-count: 1
  username: ""
  chroot: ""
  zonesdir: "{site.folder}"
  database: ""
  pidfile: "{site.folder}/nsd.pid"
  zonelistfile: "{site.folder}/zone.list"
  xfrdfile: "{site.folder}/xfrd.state"
  xfrdir: "{site.folder}"
  rrl-ratelimit: 0
remote-control:
  control-enable: no
zone:
  name: cluster.local
  zonefile: {site.cluster / 'cluster.zone'}
""")
    return [program, "-d", "-c", str(conf)]


def unbound_command(site, program):
    conf = write(site, "unbound.conf", f"""server:
  interface: 127.0.0.1@{site.port}
  num-threads: 1
  username: ""
  chroot: ""
  directory: "{site.folder}"
  pidfile: ""
  use-syslog: no
  verbosity: 0
  module-config: "iterator"
  access-control: 127.0.0.0/8 allow
  local-zone: "cluster.local." static
  include: "{site.cluster / 'unbound.data'}"
remote-control:
  control-enable: no
""")
    return [program, "-d", "-c", str(conf)]


def dnsmasq_command(site, program):
    # It walks all its SRV records for every query, of whatever type: only where they are asked for.
    services = f"conf-file={site.cluster / 'dnsmasq.srv'}" if site.mix == "search" else ""
    conf = write(site, "dnsmasq.conf", f"""port={site.port}
listen-address=127.0.0.1
bind-interfaces
no-resolv
no-hosts
addn-hosts={site.cluster / 'hosts'}
{services}
local=/cluster.local/
local-ttl=30
pid-file
{'user=root' if os.geteuid() == 0 else ''}
log-facility=-
""")
    return [program, "-k", "-C", str(conf)]


PEERS = {peer.name: peer for peer in [
    Peer("floor", built(lambda s: s.build / "bench/floor"), [], floor_command, correct=False),
    Peer("signpost", built(lambda s: s.signpost), ["dns", "-version"], signpost_command),
    Peer("signpost-api", built(lambda s: s.signpost), ["dns", "-version"], signpost_api_command,
         needs_api=True),
    Peer("knot", installed("knotd"), ["--version"], knot_command),
    Peer("nsd", installed("nsd"), ["-v"], nsd_command),
    Peer("unbound", installed("unbound"), ["-V"], unbound_command),
    Peer("dnsmasq", installed("dnsmasq"), ["--version"], dnsmasq_command),
    Peer("coredns", installed("coredns"), ["-version"], coredns_command, needs_api=True),
]}


def version(peer, program):
    """The first line that a program says about itself."""
    if not peer.version:
        return ""
    try:
        done = subprocess.run([program, *peer.version], capture_output=True, text=True, timeout=10,
                              check=False)
    except (OSError, subprocess.TimeoutExpired) as e:
        return f"does not say its version: {e}"
    return next(iter((done.stdout or done.stderr).splitlines()), "")
