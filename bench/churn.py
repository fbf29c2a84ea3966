"""Names that change while they are asked: endpoint changes at a fixed rate, beside a load of half of
what the server reaches, and the same load without changes to compare with. Every answer to a name
that changes must be the old one or the new one, whole, and after the last change all must be the new
ones."""

import changes
import latency
import report
from bench import Meter, each_round, one_row_each, running

KEYS = ("rate", "us_per_query", "us_per_change", "changes_per_second", "calm_p99.9", "p99.9",
        "last_seen_ms", "all_seen_ms")


class Churn:
    name, rounds = "churn", 1
    title = "endpoint changes while asked, at half of what each server reaches"
    columns = [("server", 15), ("queries/s", 10), ("changes/s", 10), ("us/query", 9),
               ("us/change", 10), ("calm p99.9", 11), ("p99.9", 9), ("last seen", 10),
               ("all seen", 9), ("lost", 5), ("wrong", 6)]

    def peers(self):
        return lambda name: name in ("signpost", "signpost-api", "coredns")

    def measure(self, bench, row, setting):
        changer = setting.world.changes(row.peer, setting.api_port)
        changer.reset()
        with running(bench, row, setting) as (server, _):
            start = bench.warm_up(row, setting)
            _, rate, start = latency.half_of_reach(bench, row, setting, start)
            meter = Meter(server)
            calm = latency.open_loop(bench, row, setting, rate, start)
            us_per_query = meter.cpu_seconds() * 1e6 / calm["answered"]
            meter = Meter(server)
            stirred, made, seen, all_seen = self.stir(bench, row, setting, rate, changer)
            used = meter.cpu_seconds() * 1e6 - us_per_query * stirred["answered"]
            return {"rate": rate, "us_per_query": us_per_query, "us_per_change": used / made["made"],
                    "changes_per_second": made["made"] / (made["until"] - made["since"]),
                    "calm": calm, "load": stirred,
                    "calm_p99.9": calm["latency_us"]["p99.9"],
                    "p99.9": stirred["latency_us"]["p99.9"],
                    "last_seen_ms": (seen - made["until"]) * 1000,
                    "all_seen_ms": (all_seen - made["until"]) * 1000}

    @staticmethod
    def stir(bench, row, setting, rate, changer):
        seconds = bench.args.open_seconds
        load = bench.load_start(row, setting, rate * seconds, seconds + 1, 0, rate,
                                check_every=1)
        try:
            made = changer.pace(bench.args.changes * seconds, bench.args.changes)
            seen, done = changes.all_shown(bench.args.port, changer.entries, made["made"])
        finally:
            stirred = bench.load_end(load)
        return stirred, made, seen, done

    def run(self, bench, programs):
        setting = bench.setting(bench.world(changing=bench.args.changes), programs)
        rounds, failed = each_round(self.name, one_row_each(programs), bench.rounds(self),
                                    lambda row: self.measure(bench, row, setting))
        servers = {label: {**report.summary(made, KEYS), **report.load_sums(made)}
                   for label, made in rounds.items()}
        return {"servers": servers, "failed": failed}

    @staticmethod
    def cells(name, made):
        middle = report.medians(made)
        return [name, f"{middle['rate']:,.0f}", f"{middle['changes_per_second']:,.0f}",
                f"{middle['us_per_query']:.2f}", f"{middle['us_per_change']:.1f}",
                f"{middle['calm_p99.9']:.0f} us", f"{middle['p99.9']:.0f} us",
                f"{middle['last_seen_ms']:.1f} ms", f"{middle['all_seen_ms']:.0f} ms",
                str(made["lost"]), report.wrong(made)]

    def notes(self, bench, servers):
        for name, made in servers.items():
            if made["changes_per_second"]["min"] < 0.95 * bench.args.changes:
                yield f"{name}: the changes could not be made as fast as {bench.args.changes} a second"
            if made["us_per_change"]["min"] <= 0:
                yield f"{name}: the cost of a change is lost in the noise of the queries"
