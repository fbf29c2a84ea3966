"""Start, memory and the cost of one change as the cluster grows."""

import contextlib
import time

import changes
import process
import report
from bench import Meter, Row, Setting, each_round, fake_api, running

CALM_SHARE = 0.05  # of a core, at most, for CALM_SECONDS
CALM_SECONDS, CALM_STEP, CALM_WAIT = 1.0, 0.25, 60
CHANGING = 100     # slices that change, in turn
PACED, PACE = 100, 100  # changes whose CPU time is measured, and how many a second
SEEN = 20          # changes whose way into answers is timed
SETTLE = 0.3       # seconds after the last change that still count as its work
KEYS = ("first_answer_ms", "cpu_ms", "memory_mb", "peak_mb", "us_per_change", "seen_ms",
        "seen_max_ms")


def wait_calm(pids, calm_seconds=CALM_SECONDS):
    """Until the server has done all that follows its start."""
    end, since = time.monotonic() + CALM_WAIT, time.monotonic()
    while time.monotonic() < end and time.monotonic() - since < calm_seconds:
        before = process.cpu_ns(pids)
        time.sleep(CALM_STEP)
        if process.cpu_ns(pids) - before > CALM_SHARE * CALM_STEP * 1e9:
            since = time.monotonic()


def idle_share(server):
    """What the server uses when nothing happens, so that it is not taken for work on changes."""
    meter = Meter(server)
    time.sleep(SETTLE)
    return meter.cpu_seconds() / meter.seconds()


def cost_of_changes(server, changer):
    """CPU microseconds each; nobody asks meanwhile."""
    idle, meter = idle_share(server), Meter(server)
    changer.pace(PACED, PACE)
    time.sleep(SETTLE)
    return (meter.cpu_seconds() - idle * meter.seconds()) * 1e6 / PACED


def time_to_be_seen(port, changer):
    """Milliseconds for each of some changes, made one after the other."""
    took = []
    with changes.open_asker(port) as asker:
        for number in range(PACED, PACED + SEEN):
            made = changer.pace(1, 0, number)
            state = list(changes.state_after(changer.entries, number + 1))
            name = state[number % len(state)]
            took.append((changes.wait_shown(asker, *name) - made["until"]) * 1000)
    return took


class Sizes:
    name, title, rounds = "sizes", "start, memory and one change, as the cluster grows", 1
    columns = [("server", 13), ("Services", 9), ("endpoints", 10), ("first answer", 13),
               ("CPU", 10), ("memory", 10), ("peak", 10), ("us/change", 10), ("seen after", 11),
               ("at most", 9)]

    def peers(self):
        return lambda name: name in ("signpost", "signpost-api", "coredns")

    def measure(self, bench, row, setting):
        changer = setting.world.changes(row.peer, setting.api_port)
        changer.reset()
        with running(bench, row, setting) as (server, first):
            pids = process.tree(server.pid)
            cpu_ms = process.cpu_ns(pids) / 1e6
            wait_calm(pids)
            memory, peak = process.memory_mb(pids), process.peak_mb(pids)
            cost = cost_of_changes(server, changer)
            seen = sorted(time_to_be_seen(bench.args.port, changer))
            return {"first_answer_ms": first * 1000, "cpu_ms": cpu_ms, "memory_mb": memory,
                    "peak_mb": peak, "us_per_change": cost, "seen_ms": seen[len(seen) // 2],
                    "seen_max_ms": seen[-1]}

    def run_size(self, bench, programs, services):
        world = bench.world(services, CHANGING, zone_data=False)
        rows = [Row(f"{name} {services}", name, program) for name, program in programs.items()]
        setting = Setting(world)
        wants_api = any(row.peer.needs_api for row in rows)
        with fake_api(bench, world) if wants_api else contextlib.nullcontext() as port:
            setting.api_port = port
            rounds, failed = each_round(f"{self.name} {services}", rows, bench.rounds(self),
                                        lambda row: self.measure(bench, row, setting))
        servers = {label: {"cluster": world.sizes, **report.summary(made, KEYS)}
                   for label, made in rounds.items()}
        bench.forget(world)
        return servers, failed

    def run(self, bench, programs):
        servers, failed = {}, {}
        for services in bench.args.sizes:
            made, not_made = self.run_size(bench, programs, services)
            servers.update(made)
            failed.update(not_made)
        by_name = {name: i for i, name in enumerate(programs)}
        order = sorted(servers, key=lambda label: by_name[label.split()[0]])
        return {"servers": {label: servers[label] for label in order}, "failed": failed}

    @staticmethod
    def cells(label, made):
        middle, size = report.medians(made), made["cluster"]
        return [label.split()[0], f"{size['services']:,}", f"{size['endpoints']:,}",
                f"{middle['first_answer_ms']:,.0f} ms", f"{middle['cpu_ms']:,.0f} ms",
                f"{middle['memory_mb']:.1f} MB", f"{middle['peak_mb']:.1f} MB",
                f"{middle['us_per_change']:,.0f}", f"{middle['seen_ms']:.1f} ms",
                f"{middle['seen_max_ms']:.1f} ms"]

    def notes(self, bench, servers):
        return ()
