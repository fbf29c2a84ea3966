"""Cuts a failing world down to a small one that still fails in the same way."""
import copy
import json
import time

import corefile
import message
import play

SECONDS = 25.0  # for one case


def kind(found):
    """What must stay the same while a case shrinks."""
    if found.number is None:
        return ("start", found.difference)
    difference = found.difference
    return difference.fields, *(reply and reply.rcode for reply in difference[1:])


class Shrinker:
    def __init__(self, bench, world, found, seconds=SECONDS):
        self.bench, self.world, self.end = bench, copy.deepcopy(world), time.monotonic() + seconds
        self.want, self.best, self.runs = kind(found), None, 0

    def fails(self, world):
        self.runs += 1
        for found in play.play(self.bench, world).found:
            if kind(found) == self.want:
                self.best = found
                return True
        return False

    def attempt(self, change):
        """Keeps the change if the world still fails with it."""
        if time.monotonic() > self.end:
            return False
        world = copy.deepcopy(self.world)
        if change(world) is False or not self.fails(world):
            return False
        self.world = world
        return True

    def cut_list(self, find):
        """Takes parts out of the list that find(world) gives, large parts first."""
        size = len(find(self.world))
        while size:
            at = 0
            while at < len(find(self.world)) and time.monotonic() < self.end:
                def cut(world, at=at, size=size):
                    del find(world)[at:at + size]
                if not self.attempt(cut):
                    at += size
            size //= 2

    def queries(self, number):
        """First that query alone, then with what went before."""
        if number is None:
            self.world["queries"] = []
            return self.fails(self.world)
        world = copy.deepcopy(self.world)
        for begin in (number, max(0, number - 60), 0):
            world["queries"] = self.world["queries"][begin:number + 1]
            if self.fails(world):
                self.world = world
                if len(world["queries"]) > 1:
                    self.cut_list(lambda w: w["queries"])
                return True
        return False

    def blocks(self):
        self.cut_list(lambda w: w["blocks"])
        for b in range(len(self.world["blocks"])):
            self.cut_list(lambda w, b=b: w["blocks"][b]["lines"])
        for b, block in enumerate(self.world["blocks"]):
            for n in range(len(block["lines"])):
                if self.world["blocks"][b]["lines"][n]["sub"]:
                    self.cut_list(lambda w, b=b, n=n: w["blocks"][b]["lines"][n]["sub"])
            if len(block["keys"]) > 1:
                self.cut_list(lambda w, b=b: w["blocks"][b]["keys"])

    def attributes(self):
        for n, query in enumerate(self.world["queries"]):
            for key, plain in (("edns", None), ("tcp", False), ("flags", 0x100), ("src", "127.0.0.1"), ("class", 1)):
                if query[key] != plain:
                    self.attempt(lambda w, n=n, key=key, plain=plain: w["queries"][n].update({key: plain}))
            if self.world["queries"][n]["edns"] and "options" in self.world["queries"][n]["edns"]:
                self.attempt(lambda w, n=n: w["queries"][n]["edns"].pop("options") and None)

    def run(self, number):
        """The small world and its difference, or None when it does not fail again."""
        if not self.queries(number):
            return None
        self.blocks()
        self.cut_list(lambda w: w["objects"])
        self.attributes()
        text = corefile.render(self.world["blocks"]) + "".join(self.world["files"].values())
        unused = [name for name in self.world["files"] if "@DIR@/" + name.split("/")[0] not in text]
        for name in unused:
            del self.world["files"][name]
        return self.world


def write_case(folder, world, found, logs, bench=None):
    """A folder that says it all: world.json is what --case reads, the rest is for people."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "world.json").write_text(json.dumps(world, indent=1))
    (folder / "Corefile").write_text(corefile.render(world["blocks"]))
    (folder / "objects.json").write_text(json.dumps(
        {"apiVersion": "v1", "kind": "List", "items": world["objects"]}, indent=1))
    for name, text in world["files"].items():
        path = folder / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for side, log in logs.items():
        (folder / (side + ".log")).write_text(log)
    if found is not None:
        (folder / "difference.txt").write_text(describe(found))


def describe(found):
    if found.number is None:
        return str(found.difference) + "\n"
    difference = found.difference
    made = ["query " + json.dumps(found.query), "differs in: " + ", ".join(difference.fields)]
    mine, other = message.lines(difference.ours), message.lines(difference.theirs)
    made += ["  " + one for one in mine if one in other]
    made += ["- signpost  " + one for one in mine if one not in other]
    made += ["+ coredns   " + one for one in other if one not in mine]
    return "\n".join(made) + "\n"
