"""What bench/dns.py prints: the machine, one row a server, and the same as JSON."""

import datetime
import os
import pathlib
import platform
import statistics
import sys

COLUMNS = [("server", 13), ("us/query", 9), ("spread", 16), ("x floor", 8), ("best", 6),
           ("queries/s", 10), ("core", 5), ("memory", 9), ("first answer", 13), ("wrong", 6)]


def read(path, default="unknown"):
    try:
        return pathlib.Path(path).read_text().strip()
    except OSError:
        return default


def cpu_model():
    for line in read("/proc/cpuinfo", "").splitlines():
        if line.startswith(("model name", "Hardware", "cpu model")):
            return line.partition(":")[2].strip()
    return platform.machine()


def context(server_cpu, load_cpu):
    governor = read(f"/sys/devices/system/cpu/cpu{server_cpu}/cpufreq/scaling_governor",
                    "not visible")
    return {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "cpu": cpu_model(), "cores": os.cpu_count(), "governor": governor,
            "kernel": platform.release(), "load_average": os.getloadavg()[0],
            "rmem_default": int(read("/proc/sys/net/core/rmem_default", "0")),
            "server_cpu": server_cpu, "load_cpu": load_cpu}


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def summary(rounds, floor_rounds):
    """A round is compared with the floor of the same round: both met the same noise."""
    made = {key: spread([r[key] for r in rounds])
            for key in ("us_per_query", "qps", "core_busy", "core_lost", "load_busy", "memory_mb",
                        "peak_mb", "first_answer_ms")}
    floors = {r["round"]: r["us_per_query"] for r in floor_rounds}
    ratios = [r["us_per_query"] / floors[r["round"]] for r in rounds if r["round"] in floors]
    made["ratio"] = spread(ratios) if ratios else None
    # Noise only ever adds, so the quickest rounds of both say most on a busy machine.
    made["ratio_of_best"] = made["us_per_query"]["min"] / min(floors.values()) if floors else None
    for key in ("wrong", "lost", "checked"):
        made[key] = sum(r["load"][key] for r in rounds)
    return made


def row(name, made):
    us = made["us_per_query"]
    ratio = f"{made['ratio']['median']:.2f}" if made["ratio"] else "-"
    best = f"{made['ratio_of_best']:.2f}" if made["ratio_of_best"] else "-"
    return [name, f"{us['median']:.2f}", f"{us['min']:.2f}-{us['max']:.2f}", ratio, best,
            f"{made['qps']['median']:,.0f}", f"{made['core_busy']['median']:.0%}",
            f"{made['memory_mb']['median']:.1f} MB", f"{made['first_answer_ms']['median']:.0f} ms",
            str(made["wrong"]) if made["checked"] else "-"]


class Style:
    """Colour on a terminal only, and not against the user's wish (no-color.org)."""

    def __init__(self, stream=sys.stdout):
        self.on = stream.isatty() and "NO_COLOR" not in os.environ

    def paint(self, text, code):
        return f"\033[{code}m{text}\033[0m" if self.on else text

    def bold(self, text):
        return self.paint(text, "1")

    def dim(self, text):
        return self.paint(text, "2")

    def red(self, text):
        return self.paint(text, "31")


def line(cells):
    first, *rest = [f"{cell:>{width}}" if i else f"{cell:<{width}}"
                    for i, (cell, (_, width)) in enumerate(zip(cells, COLUMNS))]
    return " ".join([first, *rest])


def notes(result):
    """What makes figures doubtful, said where they are read."""
    for name, made in result["servers"].items():
        if made["lost"]:
            yield f"{name}: {made['lost']} queries got no answer"
        if made["wrong"]:
            first = next(r["load"]["first_wrong"] for r in made["rounds"] if r["load"]["wrong"])
            yield f"{name}: {made['wrong']} of {made['checked']} checked answers wrong: {first}"
        idle = 1 - made["core_busy"]["median"]
        if idle > 0.1 and made["core_lost"]["median"] > idle / 2:
            yield f"{name}: other work had its core for {idle:.0%} of the time"
        elif idle > 0.1:
            yield f"{name}: its core was idle for {idle:.0%}; queries/s is not its limit"
    average = result["context"]["load_average"]
    if average > 0.5:
        yield f"load average was {average:.2f} at the start: other work ran beside this"
    if result["context"]["server_cpu"] == result["context"]["load_cpu"]:
        yield "one core for server and load generator: queries/s means nothing here"


def print_context(result, style):
    c, o, size = result["context"], result["options"], result["cluster"]
    print(style.bold(f"{c['cpu']}, {c['cores']} cores (server on {c['server_cpu']}, load on "
                     f"{c['load_cpu']}), governor {c['governor']}, Linux {c['kernel']}"))
    print(f"{size['services']:,} Services ({size['headless']:,} headless), {size['endpoints']:,} "
          f"endpoints; mix {o['mix']}, {o['queries']:,} queries a round, {o['rounds']} rounds")


def print_table(result, style):
    print()
    print(style.bold(line([title for title, _ in COLUMNS])))
    for name, made in result["servers"].items():
        text = line(row(name, made))
        bold = style.bold if name == "signpost" else str
        print(style.red(text) if made["wrong"] else bold(text))
    for name, reason in {**result["absent"], **result["failed"]}.items():
        print(style.dim(f"{name:<{COLUMNS[0][1]}} {reason}"))
    print()
    for note in notes(result):
        print(style.dim(f"note: {note}"))
    for name, made in result["servers"].items():
        if made["version"]:
            print(style.dim(f"{name}: {made['version']}"))
