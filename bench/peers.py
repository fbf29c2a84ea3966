"""The servers that bench/dns.py compares, each with the least configuration that serves the same
names with so many threads. A peer is a name, how to find its program, its version, and
how to start it."""

import os
import shutil
import subprocess
from dataclasses import dataclass, field
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
    names: str         # which queries come
    port: int          # the next three: health, ready, metrics; then the upstream's, then DoT's
    api_port: int | str | None = None  # of the API server, or its kubeconfig file
    workers: int = 1
    tls: tuple | None = None  # certificate and key
    forward: bool = False     # something answers at the upstream's port
    changing: bool = False    # some slices lie in files of their own
    node: bool = False        # a node's cache: has no names of its own

    @property
    def upstream(self):
        return self.port + 4

    @property
    def tls_port(self):
        return self.port + 5


@dataclass
class Peer:
    name: str
    program: Callable[[Site], str | None]
    version: list
    command: Callable[[Site, str], list]
    needs_api: bool = False
    correct: bool = True  # answers can be checked
    patience_ms: int = 1000  # after which a query counts as lost
    cannot: dict = field(default_factory=dict)  # scenario -> why


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
             "forward": f"forward . 127.0.0.1:{site.upstream}", "cache": "cache 30"}
    if site.changing:  # as in a cluster's Corefile of today: a change is in the next answer
        lines["cache"] += (" {\n        disable success cluster.local\n"
                           "        disable denial cluster.local\n    }")
    body = [lines.get(name, name) for name in CLUSTER_PLUGINS if name in known]
    keys = f".:{site.port}"
    if site.tls:
        keys += f" tls://.:{site.tls_port}"
        body.append("tls {} {}".format(*site.tls))
    if site.workers > 1:
        body.append(f"multisocket {site.workers}")
    return f"{keys} {{\n" + "".join(f"    {line}\n" for line in body) + "}\n"


# As the template of node-cache's own manifest, but for the addresses and ports.
NODE_BLOCK = """{zone}:{port} {{
    errors
    cache {cache}
    reload
    loop
    bind 127.0.0.1
    forward . 127.0.0.1:{upstream} {{
        force_tcp
    }}
    prometheus 127.0.0.1:{metrics}
{more}}}
"""


def node_corefile(site):
    common = {"port": site.port, "upstream": site.upstream, "metrics": site.port + 3}
    zones = [("cluster.local", "{\n        success 9984 30\n        denial 9984 5\n    }",
              f"    health 127.0.0.1:{site.port + 1}\n"),
             ("in-addr.arpa", "30", ""), ("ip6.arpa", "30", ""), (".", "30", "")]
    return "".join(NODE_BLOCK.format(zone=zone, cache=cache, more=more, **common)
                   for zone, cache, more in zones)


def floor_command(site, program):
    argv = [program, "--port", str(site.port), "--workers", str(site.workers)]
    if site.tls:
        cert, key = map(str, site.tls)
        argv += ["--tls-port", str(site.tls_port), "--cert", cert, "--key", key]
    return argv


def signpost_node_command(site, program):
    base = write(site, "Corefile.base", node_corefile(site))
    return [program, "cache", "-localip", "127.0.0.1", "-basecorefile", str(base), "-conf",
            str(site.folder / "Corefile"), "-setupinterface=false", "-setupiptables=false",
            "-control", "", "-dns.port", str(site.port), "-metrics-listen-address",
            f"127.0.0.1:{site.port + 2}", "-workers", str(site.workers)]


def signpost_command(site, program, source=None):
    if site.node:
        return signpost_node_command(site, program)
    known = known_plugins(program, ["dns", "-plugins"])
    folders = f"{site.cluster / 'manifests'} {site.cluster / 'changing'}"
    text = corefile(site, source or f"manifests {folders}", known)
    return [program, "dns", "-conf", str(write(site, "Corefile", text)), "-workers",
            str(site.workers)]


def api_source(site):
    if isinstance(site.api_port, str):
        return f"kubeconfig {site.api_port}"
    return f"endpoint http://127.0.0.1:{site.api_port}"


def signpost_api_command(site, program):
    return signpost_command(site, program, api_source(site))


def coredns_command(site, program):
    if site.node:
        return [program, "-conf", str(write(site, "Corefile", node_corefile(site)))]
    source = api_source(site)
    text = corefile(site, source, known_plugins(program, ["-plugins"]))
    return [program, "-conf", str(write(site, "Corefile", text))]


def knot_command(site, program):
    conf = write(site, "knot.conf", f"""server:
  rundir: {site.folder}
  listen: 127.0.0.1@{site.port}
  udp-workers: {site.workers}
  tcp-workers: {site.workers}
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
    tls = ""
    if site.tls:
        cert, key = site.tls
        tls = (f"  ip-address: 127.0.0.1@{site.tls_port}\n  tls-port: {site.tls_port}\n"
               f'  tls-service-pem: "{cert}"\n  tls-service-key: "{key}"\n')
    conf = write(site, "nsd.conf", f"""server:
  ip-address: 127.0.0.1@{site.port}
  server-count: {site.workers}
  reuseport: {'yes' if site.workers > 1 else 'no'}
{tls}  username: ""
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
    tls = forward = ""
    data = site.cluster / "unbound.data"
    names = f'  local-zone: "cluster.local." static\n  include: "{data}"\n'
    if site.node:
        names = "  tcp-upstream: yes\n"
    if site.tls:
        cert, key = site.tls
        tls = (f"  interface: 127.0.0.1@{site.tls_port}\n  tls-port: {site.tls_port}\n"
               f'  tls-service-pem: "{cert}"\n  tls-service-key: "{key}"\n')
    if site.forward:
        forward = f'forward-zone:\n  name: "."\n  forward-addr: 127.0.0.1@{site.upstream}\n'
    conf = write(site, "unbound.conf", f"""server:
  interface: 127.0.0.1@{site.port}
{tls}  num-threads: {site.workers}
  incoming-num-tcp: 100
  do-not-query-localhost: no
  username: ""
  chroot: ""
  directory: "{site.folder}"
  pidfile: ""
  use-syslog: no
  verbosity: 0
  module-config: "iterator"
  access-control: 127.0.0.0/8 allow
{names}remote-control:
  control-enable: no
{forward}""")
    return [program, "-d", "-c", str(conf)]


def dnsmasq_command(site, program):
    # It walks all its SRV records for every query, of whatever type: only where they are asked for.
    services = f"conf-file={site.cluster / 'dnsmasq.srv'}" if site.names == "search" else ""
    forward = f"server=127.0.0.1#{site.upstream}\ncache-size=10000" if site.forward else ""
    names = "" if site.node else (f"addn-hosts={site.cluster / 'hosts'}\n{services}\n"
                                  "local=/cluster.local/\nlocal-ttl=30")
    conf = write(site, "dnsmasq.conf", f"""port={site.port}
listen-address=127.0.0.1
bind-interfaces
no-resolv
no-hosts
{names}
{forward}
pid-file
{'user=root' if os.geteuid() == 0 else ''}
log-facility=-
""")
    return [program, "-k", "-C", str(conf)]


NO_FORWARD = "answers for its own zones only"

PEERS = {peer.name: peer for peer in [
    Peer("floor", built(lambda s: s.build / "bench/floor"), [], floor_command, correct=False),
    Peer("signpost", built(lambda s: s.signpost), ["dns", "-version"], signpost_command),
    Peer("signpost-api", built(lambda s: s.signpost), ["dns", "-version"], signpost_api_command,
         needs_api=True),
    Peer("knot", installed("knotd"), ["--version"], knot_command,
         cannot={"forwarded": NO_FORWARD, "node": NO_FORWARD, "dot": "no DNS over TLS in this version"}),
    Peer("nsd", installed("nsd"), ["-v"], nsd_command, cannot={"forwarded": NO_FORWARD, "node": NO_FORWARD}),
    Peer("unbound", installed("unbound"), ["-V"], unbound_command),
    Peer("dnsmasq", installed("dnsmasq"), ["--version"], dnsmasq_command, patience_ms=15000,
         cannot={"tcp": "a process a connection, and 100 queries at most on each",
                 "dot": "no DNS over TLS", "workers": "one thread only"}),
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
