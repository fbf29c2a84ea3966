"""Latency at half load: queries come at a fixed rate, half of what the server reaches, whether it
answers or not. Each counts from when it was due, so that a server that stalls is charged for all
the queries that it kept waiting, and not for one (coordinated omission)."""

import report
from bench import each_round, one_row_each, running

REACH_SECONDS = 1
KEYS = ("reach", "rate", "p50", "p99", "p99.9", "max", "generator")


def open_loop(bench, row, setting, rate, start=0):
    seconds = bench.args.open_seconds
    return bench.load(row, setting, rate * seconds, seconds + 1, start, rate)


def half_of_reach(bench, row, setting, start):
    reach = bench.load(row, setting, bench.args.queries, REACH_SECONDS, start)
    return reach["qps"], max(1, int(reach["qps"] / 2)), reach["next"]


class Latency:
    name, title, rounds = "latency", "latency at half of what each server reaches", 2
    columns = [("server", 15), ("queries/s", 10), ("p50", 9), ("p99", 9), ("p99.9", 9),
               ("best p99.9", 11), ("over floor", 11), ("generator", 10), ("lost", 5), ("wrong", 6)]

    def peers(self):
        return lambda name: name != "signpost-api"

    def measure(self, bench, row, setting):
        with running(bench, row, setting):
            start = bench.warm_up(row, setting)
            reach, rate, start = half_of_reach(bench, row, setting, start)
            load = open_loop(bench, row, setting, rate, start)
            return {"reach": reach, "rate": rate, "load": load,
                    **{key: load["latency_us"][key] for key in ("p50", "p99", "p99.9", "max")},
                    "generator": load["behind_us"]["p99.9"]}

    def run(self, bench, programs):
        setting = bench.setting(bench.world(), programs)
        rounds, failed = each_round(self.name, one_row_each(programs), bench.rounds(self),
                                    lambda row: self.measure(bench, row, setting))
        servers = {label: {**report.summary(made, KEYS), **report.load_sums(made)}
                   for label, made in rounds.items()}
        if "floor" in servers:
            floor = servers["floor"]["p99.9"]["min"]
            for made in servers.values():
                made["over_floor"] = made["p99.9"]["min"] - floor
        return {"servers": servers, "failed": failed}

    @staticmethod
    def cells(name, made):
        over = f"{made['over_floor']:+.0f} us" if "over_floor" in made else "-"
        middle = report.medians(made)
        return [name, f"{middle['rate']:,.0f}",
                *(f"{middle[key]:.0f} us" for key in ("p50", "p99", "p99.9")),
                f"{made['p99.9']['min']:.0f} us", over, f"{middle['generator']:.0f} us",
                str(made["lost"]), report.wrong(made)]

    def notes(self, bench, servers):
        if bench.load_cpu == bench.server_cpu:
            yield "one core for server and load generator: latencies mean nothing here"
        late = [name for name, made in servers.items()
                if made["generator"]["min"] > made["p99.9"]["min"] / 2]
        if late:
            yield (f"{', '.join(late)}: the load generator itself was late for much of the p99.9 "
                   "(column generator): other work had its core")
