"""Differences that were decided on, each with its reason: docs/decisions/0005-reference-quirks.md.

A decision is a function (query, difference, world) that says whether the difference is this one.
"""
import message
import queries

DECISIONS = []


def decision(reason):
    def note(function):
        DECISIONS.append((function.__name__.replace("_", " "), reason, function))
        return function
    return note


def plugins(world):
    return {one["args"][0] for block in world["blocks"] for one in block["lines"]}


@decision("UDP queries are read up to 4096 bytes, not 512")
def long_query(query, difference, world):
    return (not query["tcp"] and len(queries.encode(query, 0)) > 512 and
            difference.theirs is not None and difference.theirs.rcode == 1)


def decided(query, difference, world):
    """The name of the decision that covers the difference, or None."""
    for name, _, function in DECISIONS:
        if function(query, difference, world):
            return name
    return None


# ---- Corefiles with a mistake ----

START_DECISIONS = []


def start_decision(reason):
    def note(function):
        START_DECISIONS.append((function.__name__.replace("_", " "), reason, function))
        return function
    return note


def decided_start(text, wrong, logs):
    for name, _, function in START_DECISIONS:
        if function(text, wrong, logs):
            return name
    return None
