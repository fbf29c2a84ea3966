"""What all scenarios of bench/dns.py share: the folder, the cores, the generated clusters, servers
from their start to their end, and the load."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass

import changes
import cluster
import process
from peers import PEERS, Site

HERE = pathlib.Path(__file__).resolve().parent
START_SECONDS = 120
LOAD_SECONDS_EXTRA = 30


@dataclass
class World:
    """A generated cluster."""
    folder: pathlib.Path
    sizes: dict
    probe: dict
    changing: bool

    def names(self, kind):
        return self.folder / f"names-{kind}.txt"

    def n_names(self, kind):
        with open(self.names(kind)) as lines:
            return sum(1 for _ in lines)

    def changes(self, peer, api_port):
        if peer.needs_api:
            return changes.ApiChanges(self.folder, api_port)
        return changes.FolderChanges(self.folder)


@dataclass
class Row:
    """A server as a scenario measures it; one line of its table."""
    label: str
    name: str       # of the peer
    program: str
    workers: int = 1

    @property
    def peer(self):
        return PEERS[self.name]


@dataclass
class Setting:
    """How a scenario wants its servers."""
    world: World
    names: str = "hits"      # which queries come
    transport: str = "udp"
    forward: bool = False    # upstream.py answers what is forwarded
    api_port: int | None = None
    node: bool = False       # the servers are a node's caches
    probe: dict | None = None  # what the first answer is about; None: a name of the cluster

    @property
    def first(self):
        return self.probe or self.world.probe


class Bench:
    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        self.cpus = sorted(os.sched_getaffinity(0))
        # The first core often takes interrupts.
        self.server_cpu, self.load_cpu = self.cpus[-1], self.cpus[0]
        self.worlds = {}
        self.certificate = None
        self.stack = contextlib.ExitStack()  # what runs until the end
        self.api_ports, self.upstream_port = {}, None
        os.sched_setaffinity(0, {self.load_cpu})  # inherited by the load and the API server

    def world(self, services=None, changing=0, zone_data=True):
        key = services or self.args.services, changing, zone_data
        if key not in self.worlds:
            folder = self.folder / "cluster-{}-{}-{:d}".format(*key)
            folder.mkdir()
            progress(f"generating {key[0]:,} Services")
            sizes = cluster.write_cluster(folder, key[0], self.args.endpoints_per_service,
                                          self.args.seed, changing, zone_data)
            probe = json.loads((folder / "probe.json").read_text())
            self.worlds[key] = World(folder, sizes, probe, changing > 0)
        return self.worlds[key]

    def forget(self, world):
        self.worlds = {key: kept for key, kept in self.worlds.items() if kept is not world}
        shutil.rmtree(world.folder)

    def rounds(self, scenario):
        return self.args.rounds or scenario.rounds

    def api_port(self, world):
        """The API server with this cluster, from now until the end."""
        if world.folder not in self.api_ports:
            progress("starting the API server")
            self.api_ports[world.folder] = self.stack.enter_context(fake_api(self, world))
        return self.api_ports[world.folder]

    def setting(self, world, programs, **more):
        """With the API server, if one of these servers wants it."""
        wanted = any(PEERS[name].needs_api for name in programs)
        return Setting(world, api_port=self.api_port(world) if wanted else None, **more)

    def need_upstream(self):
        if not self.upstream_port:
            self.upstream_port = self.stack.enter_context(
                helper(self, "upstream.py", "--port", self.args.port + 4))

    def cores(self, workers):
        """Of a server: one of its own, or for several workers all, but for the load's when there
        are enough without."""
        if workers == 1:
            return {self.server_cpu}
        rest = set(self.cpus) - {self.load_cpu}
        return rest if len(rest) >= workers else set(self.cpus)

    def tls_files(self):
        """A certificate of our own for the servers that speak TLS."""
        if not self.certificate:
            cert, key = self.folder / "cert.pem", self.folder / "key.pem"
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                            "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert,
                            "-subj", "/CN=localhost", "-days", "30"], check=True,
                           capture_output=True, stdin=subprocess.DEVNULL)
            key.chmod(0o644)  # for servers that give up their rights before they read it
            self.certificate = cert, key
        return self.certificate

    def site(self, name, setting, workers=1):
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return Site(folder, setting.world.folder, self.args.build, self.args.signpost,
                    setting.names, self.args.port, setting.api_port, workers,
                    self.tls_files() if setting.transport == "tls" else None, setting.forward,
                    setting.world.changing, setting.node)

    def load_argv(self, row, setting, queries, seconds=None, start=0, rate=0, check_every=16):
        a = self.args
        names = setting.world.names(setting.names)
        port = a.port + 5 if setting.transport == "tls" else a.port
        window = max(a.window, 2048) if rate else a.window
        argv = [a.build / "bench/load", "--to", f"127.0.0.1:{port}", "--names", names,
                "--queries", max(1, queries), "--seconds", seconds or a.seconds,
                "--window", window, "--flows", min(max(a.flows, window // 256), window),
                "--edns", a.edns, "--transport", setting.transport, "--rate", rate,
                "--start", start, "--check-every", check_every if row.peer.correct else 0,
                "--timeout-ms", row.peer.patience_ms]
        return [str(x) for x in argv]

    def load_start(self, *args, **kwargs):
        """The load generator, to be ended by load_end()."""
        return subprocess.Popen(self.load_argv(*args, **kwargs), stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def load_end(self, load, seconds=None):
        """Its report."""
        try:
            out, err = load.communicate(timeout=(seconds or self.args.seconds) + LOAD_SECONDS_EXTRA)
        finally:
            process.stop(load)
        if load.returncode:
            raise process.StartError(err.strip() or f"load ended with {load.returncode}")
        made = json.loads(out)
        if not made["answered"]:
            raise process.StartError("it stopped answering: %d queries within %.1f s, and not one answer"
                                     % (made["sent"], made["seconds"]))
        return made

    def load(self, row, setting, queries, seconds=None, start=0, rate=0):
        """One run of the load generator; its report."""
        return self.load_end(self.load_start(row, setting, queries, seconds, start, rate), seconds)

    def warm_up(self, row, setting):
        """Asks every name once, and more when there are few."""
        names = setting.world.n_names(setting.names)
        return self.load(row, setting, max(names, self.args.queries // 10))["next"]


def one_row_each(programs):
    return [Row(name, name, program) for name, program in programs.items()]


@contextlib.contextmanager
def helper(bench, script, *argv):
    """A program of ours that prints its port when it is ready; it shares the load's core."""
    log = bench.folder / f"{script}.log"
    with open(log, "wb") as err:
        started = subprocess.Popen([sys.executable, "-B", HERE / script, *map(str, argv)],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err,
                                   text=True)
    try:
        line = started.stdout.readline()
        if not line:
            raise process.StartError(f"{script}: {process.tail(log)}")
        yield int(line)
    finally:
        process.stop(started)
        started.stdout.close()


def fake_api(bench, world):
    """The API server with a cluster; gives its port."""
    folders = [world.folder / "manifests", world.folder / "before"]
    more = ["--changes", world.folder] if world.changing else []
    return helper(bench, "fakeapi.py", *folders, *more)


@contextlib.contextmanager
def running(bench, row, setting):
    """The server, from its start to its end; gives it and the seconds to its first right answer."""
    site = bench.site(row.name, setting, row.workers)
    argv = row.peer.command(site, row.program)
    log = site.folder / "log"
    log.write_bytes(b"")
    probe = setting.first if row.peer.correct else {**setting.first, "addresses": []}
    cpus = bench.cores(row.workers)
    since = time.monotonic()
    server = process.start(argv, cpus, log, site.folder)
    try:
        first = process.first_answer(server, since, site.port, probe, START_SECONDS, log)
        process.pin(process.tree(server.pid), cpus)
        yield server, first
    finally:
        process.stop(server)


class Meter:
    """What a server uses from now on."""

    def __init__(self, server):
        self.pids = process.tree(server.pid)
        self.cpu, self.waited = process.cpu_ns(self.pids), process.waited_ns(self.pids)
        self.since = time.monotonic()

    def cpu_seconds(self):
        return (process.cpu_ns(self.pids) - self.cpu) / 1e9

    def waited_seconds(self):
        return (process.waited_ns(self.pids) - self.waited) / 1e9

    def seconds(self):
        return time.monotonic() - self.since


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def each_round(title, rows, rounds, measure):
    """Round by round over all rows, so that a slow spell of the machine meets all of them. Gives the
    rounds of each row, and why rows failed."""
    made, failed = {row.label: [] for row in rows}, {}
    for number in range(rounds):
        for row in rows:
            if row.label in failed:
                continue
            progress(f"{title}, round {number + 1} of {rounds}: {row.label}")
            try:
                made[row.label].append({"round": number, **measure(row)})
            except (process.StartError, subprocess.SubprocessError, OSError) as e:
                failed[row.label] = f"failed: {e}"
    progress("")
    return {label: rounds for label, rounds in made.items() if label not in failed}, failed
