"""Plays a world: starts both servers, asks, compares. Nothing here depends on chance."""
import collections
import re

import ask
import compare
import decisions
import servers
import worlds

Found = collections.namedtuple("Found", "number query difference")  # number None: they do not start alike

SILENCES = 3  # of one side in a world: waiting for more would take too long

Played = collections.namedtuple("Played", "found counts logs started asked")


def line_named(log):
    """The line that a refusal names first: (file's last part or "Corefile", line), or None."""
    found = re.search(r"/((?:Corefile|part)[\w.]*):([0-9]+)( - |: )", re.sub(r"maxprocs.*|.*WARNING.*", "", log))
    return int(found.group(2)) if found else None


def refusals(pair, up):
    """None when both refuse at the same line or both serve, else what differs."""
    logs = {side: pair.servers[side].log() for side in up}
    illegal = re.search(r".*all\.json:[0-9]+:(?!.* the namespace .* does not exist).*", logs["signpost"])
    if illegal:
        return "objects are not legal: " + illegal.group(0)
    if up["signpost"] != up["coredns"]:
        return "%s serves, %s does not" % tuple(sorted(up, key=up.get, reverse=True))
    if up["signpost"]:
        return None
    lines = {side: line_named(log) for side, log in logs.items()}
    if lines["coredns"] is not None and lines["coredns"] != lines["signpost"]:
        return "refused at line %s, by the reference at line %s" % (lines["signpost"], lines["coredns"])
    return None


def start_only(bench, world, text):
    """(what differs or None, logs): for Corefiles with a mistake."""
    with servers.Pair(bench, world, text) as pair:
        up = pair.wait()
        return refusals(pair, up), {side: server.log() for side, server in pair.servers.items()}


def play(bench, world):
    """Found differences that no decision covers."""
    counts, found = collections.Counter(), []
    with servers.Pair(bench, world) as pair:
        up = pair.wait()
        logs = {side: server.log() for side, server in pair.servers.items()}
        wrong = refusals(pair, up)
        if wrong or not all(up.values()):
            return Played([Found(None, None, wrong)] if wrong else [], counts, logs, all(up.values()), 0)
        asker = ask.Asker(pair.ports)
        asked = silences = 0
        try:
            for number, query in enumerate(world["queries"]):
                asked += 1
                difference = compare.compare(query, asker.ask(query), worlds.slack(world), worlds.ordered(world))
                if difference is None:
                    continue
                name = decisions.decided(query, difference, world)
                if difference.fields == ("silence",):
                    silences += 1
                    dead = [side for side, server in pair.servers.items() if not server.alive()]
                    name = "the reference crashes" if dead == ["coredns"] else name
                    if dead or silences == SILENCES:
                        counts[name] += bool(name)
                        found += [] if name else [Found(number, query, difference)]
                        break
                if name:
                    counts[name] += 1
                    continue
                found.append(Found(number, query, difference))
        finally:
            asker.close()
        logs = {side: server.log() for side, server in pair.servers.items()}
    return Played(found, counts, logs, True, asked)
