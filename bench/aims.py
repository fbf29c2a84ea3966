"""What signpost aims at, beside what was measured. Nothing passes or fails by it: a busy machine
misses aims that a quiet one meets."""

WIDTH = 62


def ratio(scenario):
    def figure(scenarios, name, options):
        made = scenarios.get(scenario, {}).get("servers", {}).get(name)
        if made and made["ratio"]:
            return f"{made['ratio']['median']:.2f} (best {made['ratio_of_best']:.2f})"
        return None
    return figure


def size(scenarios, name, services):
    return scenarios.get("sizes", {}).get("servers", {}).get(f"{name} {services}")


def memory(scenarios, name, options):
    made = size(scenarios, name, 10000)
    if made and options["endpoints_per_service"] == 10:
        return f"{made['memory_mb']['median']:.1f} MB"
    return None


def growth(scenarios, name, options):
    """Bytes for each Service more, from one size to the next, at the upper end and below it."""
    small, middle, large = (size(scenarios, name, n) for n in (1000, 10000, 100000))
    if not (small and middle and large):
        return None
    megabytes = [made["memory_mb"]["median"] for made in (small, middle, large)]
    below, above = (megabytes[1] - megabytes[0]) / 9000, (megabytes[2] - megabytes[1]) / 90000
    return f"{above / below:.2f} ({above * 1024:.1f} KB)" if below > 0 else None


def change(scenarios, name, options):
    small, large = size(scenarios, name, 100), size(scenarios, name, 100000)
    if not (small and large) or small["us_per_change"]["median"] <= 0:
        return None
    least, most = (made["us_per_change"]["median"] for made in (small, large))
    return f"{most / least:.2f} ({least:.0f} -> {most:.0f} us)"


def latency(scenarios, name, options):
    made = scenarios.get("latency", {}).get("servers", {}).get(name, {})
    return f"{made['over_floor']:+.0f} us" if "over_floor" in made else None


AIMS = [
    ("hits: CPU per query, x floor", "<= 1.15", ratio("hits")),
    ("search: CPU per query, x floor", "<= 1.15", ratio("search")),
    ("node: CPU per cached query, x floor", "<= 1.2", ratio("node")),
    ("sizes: memory at 10,000 Services with 100,000 endpoints", "<= 30 MB", memory),
    ("sizes: memory of a Service more, 10k to 100k over 1k to 10k", "<= 1", growth),
    ("sizes: CPU of a change, at 100,000 Services over at 100", "1", change),
    ("latency: p99.9 at half load above the floor's", "<= 100 us", latency),
]


def print_aims(result, style):
    """Those that something was measured for."""
    rows = []
    for title, aim, figure in AIMS:
        found = [figure(result["scenarios"], name, result["options"])
                 for name in ("signpost", "signpost-api")]
        if any(found):
            rows.append((title, aim, *(one or "-" for one in found)))
    if rows:
        print()
        print(style.bold(f"{'aim':<{WIDTH}} {'':>10} {'signpost':>22} {'signpost-api':>22}"))
    for title, aim, ours, by_api in rows:
        print(f"{title:<{WIDTH}} {aim:>10} {ours:>22} {by_api:>22}")
