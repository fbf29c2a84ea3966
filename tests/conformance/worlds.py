"""A world: objects, a Corefile, its files, and queries; all of it plain data that JSON can hold."""
import random

import corefile
import objects
import queries


def make(seed, index, count, only=None):
    rng = random.Random("%s/%d" % (seed, index))
    made = corefile.make_corefile(rng, only)
    things = objects.make_objects(rng, made.zone)
    used = sorted({int(k.rsplit("@PORT", 1)[1].strip("@")) for b in made.blocks for k in b["keys"] if "@PORT" in k})
    asked = queries.make_queries(rng, made, things, count, used)
    for query in asked:
        if made.ipv6 and rng.random() < 0.15:
            query["src"] = "::1"
    return {"seed": seed, "index": index, "blocks": made.blocks, "files": made.files, "env": made.env,
            "moved": made.moved, "objects": things, "queries": asked, "ports": made.used_ports}


def spoiled(seed, index, world):
    """The text of the world's Corefile with a mistake in it."""
    rng = random.Random("%s/%d/spoiled" % (seed, index))
    text = corefile.render(world["blocks"])
    return corefile.spoil(rng, text)


def lines(world):
    """All lines of the Corefile, imported ones as well, with the values of environment variables."""
    values = {form % name: value for name, value in world["env"].items() for form in ("{$%s}", "{%%%s%%}")}
    made = [one for block in world["blocks"] for one in block["lines"]] + world["moved"]
    return [dict(one, args=[values.get(word, word) for word in one["args"]]) for one in made]


def plugins(world):
    return sorted({one["args"][0] for one in lines(world)} - {"bind", "import"})


def slack(world):
    """How many seconds two TTLs may differ: caches count down by their own clocks."""
    return 2 if "cache" in plugins(world) else 0


def ordered(world):
    """Nobody turns the records of answers."""
    return not {"loadbalance", "kubernetes"} & set(plugins(world))
