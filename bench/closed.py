"""Scenarios in a closed loop: as many queries as the server takes, a new one for each answer. What
counts is the CPU time that a query costs, as a multiple of the echo server's in the same round."""

from dataclasses import dataclass

import cluster
import process
import report
from bench import Meter, Row, Setting, each_round, running

COLUMNS = [("server", 15), ("us/query", 9), ("spread", 16), ("x floor", 8), ("best", 6),
           ("queries/s", 10), ("core", 5), ("memory", 9), ("first answer", 13), ("wrong", 6)]
NODE_SERVICES = 10  # of the cluster that is generated; nobody asks for them
KEYS = ("us_per_query", "qps", "core_busy", "core_lost", "load_busy", "memory_mb", "peak_mb",
        "first_answer_ms")


def measure(bench, row, setting):
    """One round of one server: start it, warm it up on every name, then measure."""
    with running(bench, row, setting) as (server, first):
        start = bench.warm_up(row, setting)
        meter = Meter(server)
        load = bench.load(row, setting, bench.args.queries, start=start)
        used, waited, pids = meter.cpu_seconds(), meter.waited_seconds(), meter.pids
        return {"us_per_query": used * 1e6 / load["answered"], "qps": load["qps"],
                "core_busy": used / load["seconds"], "core_lost": waited / load["seconds"],
                "load_busy": load["busy_seconds"] / load["seconds"],
                "memory_mb": process.memory_mb(pids), "peak_mb": process.peak_mb(pids),
                "first_answer_ms": first * 1000, "load": load}


def summary(rounds, floor_rounds):
    """A round is compared with the floor of the same round: both met the same noise."""
    made = report.summary(rounds, KEYS)
    floors = {r["round"]: r["us_per_query"] for r in floor_rounds}
    ratios = [r["us_per_query"] / floors[r["round"]] for r in rounds if r["round"] in floors]
    made["ratio"] = report.spread(ratios) if ratios else None
    # Noise only ever adds, so the quickest rounds of both say most on a busy machine.
    made["ratio_of_best"] = made["us_per_query"]["min"] / min(floors.values()) if floors else None
    return {**made, **report.load_sums(rounds)}


@dataclass
class Closed:
    name: str
    title: str
    names: str = "hits"
    transport: str = "udp"
    forward: bool = False
    workers: tuple = (1,)
    every_source: bool = False  # also signpost on an API server
    rounds: int = 3
    columns = COLUMNS

    def peers(self):
        return lambda name: self.every_source or name != "signpost-api"

    def rows(self, programs):
        return [Row(name if len(self.workers) == 1 else f"{name} x{count}", name, program, count)
                for count in self.workers for name, program in programs.items()]

    def setting(self, bench, programs):
        if self.forward:
            bench.need_upstream()
        return bench.setting(bench.world(), programs, names=self.names, transport=self.transport,
                             forward=self.forward)

    def run(self, bench, programs):
        rows, setting = self.rows(programs), self.setting(bench, programs)
        rounds, failed = each_round(self.name, rows, bench.rounds(self),
                                    lambda row: measure(bench, row, setting))
        floors = {row.workers: rounds.get(row.label, []) for row in rows if row.name == "floor"}
        servers = {row.label: summary(rounds[row.label], floors.get(row.workers, []))
                   for row in rows if row.label in rounds}
        return {"servers": servers, "failed": failed}

    @staticmethod
    def cells(name, made):
        us, middle = made["us_per_query"], report.medians(made)
        ratio = f"{made['ratio']['median']:.2f}" if made["ratio"] else "-"
        best = f"{made['ratio_of_best']:.2f}" if made["ratio_of_best"] else "-"
        return [name, f"{us['median']:.2f}", f"{us['min']:.2f}-{us['max']:.2f}", ratio, best,
                f"{middle['qps']:,.0f}", f"{middle['core_busy']:.0%}",
                f"{middle['memory_mb']:.1f} MB", f"{middle['first_answer_ms']:.0f} ms", report.wrong(made)]

    def notes(self, bench, servers):
        """What makes figures doubtful, said where they are read."""
        if max(self.workers) > 1 and bench.load_cpu in bench.cores(max(self.workers)):
            yield ("too few cores: the load generator shares those of the servers, so queries/s "
                   "says nothing about how they scale")
        elif bench.load_cpu == bench.server_cpu:
            yield "one core for server and load generator: queries/s means nothing here"
        else:
            for name, made in servers.items():
                yield from core_notes(name, made)


def core_notes(name, made):
    cores = int(name.rpartition(" x")[2]) if " x" in name else 1
    idle = cores - made["core_busy"]["median"]
    if idle > 0.1 * cores and made["core_lost"]["median"] > idle / 2:
        yield f"{name}: other work had its core for {idle / cores:.0%} of the time"
    elif idle > 0.1 * cores:
        yield f"{name}: its core was idle for {idle / cores:.0%}; queries/s is not its limit"


class Node(Closed):
    """The servers as caches of a node: they have no names of their own, so that what is measured is a
    query that the cache answers."""

    def setting(self, bench, programs):
        bench.need_upstream()
        name, address = next(cluster.node_names())
        return Setting(bench.world(services=NODE_SERVICES, zone_data=False), names=self.names,
                       forward=True, node=True, probe={"name": name, "addresses": [address]})
