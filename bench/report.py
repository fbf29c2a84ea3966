"""What bench/dns.py prints: the machine, and a table for each scenario with one row a server."""

import datetime
import os
import pathlib
import platform
import statistics
import sys

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


def summary(rounds, keys):
    """Of a server's rounds: how these figures spread, and what they were."""
    return {**{key: spread([r[key] for r in rounds]) for key in keys}, "rounds": rounds}


def medians(made):
    return {key: value["median"] for key, value in made.items()
            if isinstance(value, dict) and "median" in value}


def load_sums(rounds):
    return {key: sum(r["load"][key] for r in rounds)
            for key in ("wrong", "lost", "checked", "reconnects")}


def wrong(made):
    return str(made["wrong"]) if made["checked"] else "-"


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


def line(cells, columns):
    first, *rest = [f"{cell:>{width}}" if i else f"{cell:<{width}}"
                    for i, (cell, (_, width)) in enumerate(zip(cells, columns))]
    return " ".join([first, *rest])


def load_notes(servers):
    """What every scenario's answers may show, where it asks for any."""
    for name, made in servers.items():
        if made.get("lost"):
            yield f"{name}: {made['lost']} queries got no answer"
        if made.get("reconnects"):
            yield f"{name}: it closed {made['reconnects']} connections"
        if made.get("wrong"):
            first = next(r["load"]["first_wrong"] for r in made["rounds"] if r["load"]["wrong"])
            yield f"{name}: {made['wrong']} of {made['checked']} checked answers wrong: {first}"


def print_context(context, options, size, style):
    c, o = context, options
    print(style.bold(f"{c['cpu']}, {c['cores']} cores (server on {c['server_cpu']}, load on "
                     f"{c['load_cpu']}), governor {c['governor']}, Linux {c['kernel']}"))
    print(f"{size['services']:,} Services ({size['headless']:,} headless), {size['endpoints']:,} "
          f"endpoints; {o['queries']:,} queries a round at most")
    if c["load_average"] > 0.5:
        print(style.dim(f"note: load average was {c['load_average']:.2f} at the start: other work "
                        "ran beside this"))


def print_scenario(scenario, made, notes, style):
    print()
    print(style.bold(f"{scenario.name}: {scenario.title}") + f"; rounds: {made['rounds']}, "
          f"{made['took_seconds']:.0f} s")
    print(style.bold(line([title for title, _ in scenario.columns], scenario.columns)))
    for name, row in made["servers"].items():
        text = line(scenario.cells(name, row), scenario.columns)
        bold = style.bold if name.startswith("signpost") else str
        print(style.red(text) if row.get("wrong") else bold(text))
    for name, reason in {**made["absent"], **made["failed"]}.items():
        print(style.dim(f"{name:<{scenario.columns[0][1]}} {reason}"))
    for note in notes:
        print(style.dim(f"note: {note}"))
    sys.stdout.flush()


def print_versions(versions, style):
    print()
    for name, version in versions.items():
        if version:
            print(style.dim(f"{name}: {version}"))
