"""Random Corefiles as trees that can be cut down: blocks, lines, options, words.

A block is {"keys": [...], "lines": [...]}, a line {"args": [...], "sub": [[...], ...] or None}.
Words between @ are filled in for each server: @PORT1@ ..., @SOURCE@ (where objects come from), @UP@
and @UP2@ (one upstream under two addresses), @DEAD@ (nobody answers there), @DIR@.
"""
import grammar
import grammar_rewrite

ORDER = ["errors", "log", "health", "ready", "prometheus", "loop", "debug", "reload", "cancel",
         "timeouts", "metadata", "nsid", "bufsize", "local", "dns64", "any", "chaos", "loadbalance",
         "rewrite", "autopath", "acl", "cache", "header", "minimal", "template", "transfer", "hosts",
         "k8s_external", "kubernetes", "file", "auto", "forward", "erratic", "whoami", "view", "root",
         "multisocket"]
# How often each stands in a block, of 100; kubernetes stands in most worlds.
SHARE = {"errors": 60, "log": 15, "health": 8, "ready": 8, "prometheus": 8, "loop": 5, "debug": 3,
         "reload": 8, "cancel": 5, "timeouts": 5, "metadata": 30, "nsid": 15, "bufsize": 15,
         "local": 12, "dns64": 15, "any": 15, "chaos": 8, "loadbalance": 40, "rewrite": 40,
         "autopath": 15, "acl": 15, "cache": 35, "header": 15, "minimal": 12, "template": 25,
         "transfer": 20, "hosts": 30, "k8s_external": 20, "kubernetes": 75, "file": 35, "auto": 8,
         "forward": 60, "erratic": 4, "whoami": 10, "root": 0, "multisocket": 4}
GRAMMARS = {**grammar.GRAMMARS, **grammar_rewrite.GRAMMARS}


class World:
    """What the grammar makes beside the blocks: files, names worth asking for, settings."""

    def __init__(self, rng, only=None):
        self.rng, self.only = rng, only
        self.zone = rng.choice(["cluster.local"] * 6 + ["k8s.test", "a.cluster.local", "c"])
        self.files, self.env, self.seeds, self.used_ports = {}, {}, [], 1
        self.external = None
        self.moved = []  # lines that stand in an imported file
        self.autopath = False

    def chance(self, percent):
        return self.rng.randrange(100) < percent

    def port(self):
        self.used_ports += 1
        return "@PORT%d@" % self.used_ports

    def file(self, stem, text):
        name = "%s%d" % (stem, len(self.files))
        self.files[name] = text
        return "@DIR@/" + name


def line(*args, sub=None):
    return {"args": list(args), "sub": sub}


def pick(world, extra=()):
    wanted = [name for name in ORDER if name in SHARE and
              (name == world.only or name in extra or world.chance(SHARE[name]))]
    if "autopath" in wanted and "kubernetes" not in wanted or "k8s_external" in wanted:
        wanted.append("kubernetes")
    if not set(wanted) & {"kubernetes", "forward", "file", "hosts", "template", "whoami", "erratic"}:
        wanted.append("whoami")
    if "minimal" in wanted and "debug" in wanted:  # then a panic of the reference ends it
        wanted.remove("debug")
    return [name for name in ORDER if name in wanted]


def fill(world, block, names):
    """Adds the lines of the plugins. Their order in the file has no effect, so it is random."""
    made = [(name, one) for name in names for one in GRAMMARS[name](world, names, block["keys"])]
    if world.chance(40):
        kept = [name for name, _ in made]
        world.rng.shuffle(kept)  # lines of one plugin keep their order
        lines = {name: [one for n, one in made if n == name] for name in kept}
        made = [(name, lines[name].pop(0)) for name in kept]
    block["lines"] += [one for _, one in made]
    return block


def key(world, zone, port):
    return world.rng.choice(["%s:%s", "%s:%s", "%s:%s", "dns://%s:%s"]) % (zone, port)


def bound(world):
    if world.everywhere:
        return []
    return [line("bind", "127.0.0.1", *(["::1"] if world.ipv6 else []))]


def main_block(world):
    rng = world.rng
    zones = rng.choice([["."]] * 5 + [[world.zone, "in-addr.arpa", "ip6.arpa"],
                                      [world.zone, "example.net"], [world.zone, "10.0.0.0/8"]])
    block = {"keys": [key(world, zone, "@PORT1@") for zone in zones], "lines": bound(world)}
    return fill(world, block, pick(world))


def side_block(world, zone, port):
    block = {"keys": [key(world, zone, port)], "lines": bound(world)}
    main = world.rng.choice(["whoami", "forward", "template", "file", "hosts", "erratic", "kubernetes"])
    around = ["errors", "cache", "rewrite", "acl", "loadbalance", "header", "minimal", "any", "nsid",
              "bufsize", "metadata", "local", "chaos", "dns64", "transfer"]
    names = [name for name in ORDER
             if name == main or name in around and world.chance(SHARE[name] // 2)]
    return fill(world, block, names)


def view_block(world, keys):
    block = {"keys": list(keys), "lines": bound(world)}
    names = world.rng.sample(["whoami", "forward", "template", "hosts"], 1) + ["view"]
    if world.chance(30):
        names.append("metadata")
    return fill(world, block, names)


SIDE_ZONES = ["example.org", "example.net", "files.test", "hosts.test", "sub.example.net", "10.in-addr.arpa",
              "10.1.0.0/16", "fd00::/16", "cluster.local", "prod.svc.cluster.local", "test",
              "10.96.0.0/12", "bind", "Example.ORG", "localhost"]


def snippets(world, blocks):
    """Moves some lines of a block into a snippet or a file that it imports."""
    block = world.rng.choice(blocks)
    if len(block["lines"]) < 4 or not world.chance(25):
        return blocks
    at = world.rng.randrange(1, len(block["lines"]) - 1)
    moved = block["lines"][at:at + 2]
    if world.chance(50):
        block["lines"][at:at + 2] = [line("import", "snip")]
        return [{"keys": ["(snip)"], "lines": moved}] + blocks
    world.moved = moved
    where = world.file("part", "".join(render_line(one, "") for one in moved))
    block["lines"][at:at + 2] = [line("import", where)]
    return blocks


def environment(world, blocks):
    """Puts some words into environment variables."""
    if not world.chance(25):
        return
    for block in blocks:
        for one in block["lines"]:
            for at, word in enumerate(one["args"][1:], 1):
                if word.isalnum() and world.chance(10) and len(world.env) < 5:
                    name = "CONF_V%d" % len(world.env)
                    world.env[name] = word
                    one["args"][at] = world.rng.choice(["{$%s}", "{%%%s%%}"]) % name


def make_corefile(rng, only=None):
    """The world with its blocks in .blocks."""
    world = World(rng, only)
    world.ipv6 = rng.random() < 0.3
    world.everywhere = rng.random() < 0.1  # all addresses: then the server knows some to tell as its own
    blocks = [main_block(world)]
    if world.chance(20) or only == "view":
        blocks.insert(0, view_block(world, blocks[0]["keys"]))
    zones = rng.sample(SIDE_ZONES, rng.choice([0, 0, 1, 1, 2, 3]))
    for zone in zones:
        port = "@PORT1@" if world.chance(75) else world.port()
        if not any(zone.lower() in k.lower() for b in blocks for k in b["keys"] if k.endswith(port)):
            blocks.append(side_block(world, zone, port))
            world.seeds.append(zone)
    environment(world, blocks)
    world.blocks = snippets(world, blocks)
    return world


# ---- text ----

def word(text):
    if text == "" or text[0] in '"{#' and not text.startswith(("{$", "{%")) or \
            any(c in text for c in ' \t\n#'):
        return '"%s"' % text.replace('"', '\\"')
    return text


def render_line(one, indent="    "):
    text = indent + " ".join(word(w) for w in one["args"])
    if one["sub"] is not None:
        text += " {\n" + "".join("%s    %s\n" % (indent, " ".join(word(w) for w in option))
                                 for option in one["sub"]) + indent + "}"
    return text + "\n"


def render(blocks):
    return "".join("%s {\n%s}\n" % (" ".join(block["keys"]),
                                    "".join(render_line(one) for one in block["lines"]))
                   for block in blocks)


# ---- Corefiles that should not start ----

JUNK = ["{", "}", "nonsense", "-1", "0", "999999", "1.2.3", "::g", '"', "*", "[", "(", "a..b", "10s",
        "@", "300.1.1.1", "/0", "{$NONE}", ",", "import", "#", "99999s", "TYPE999", "_", "x" * 64]


def spoil(rng, text):
    """One small change of a Corefile's text."""
    lines = text.splitlines()
    at = rng.randrange(len(lines))
    words = lines[at].split(" ")
    places = [n for n, w in enumerate(words) if w and not w.startswith("127.")]
    # Words of forward that are no addresses are host names, which servers would go and look up.
    how = rng.randrange(2 if "forward" in lines[at] else 8)
    if how == 0:
        del lines[at]
    elif how == 1:
        lines.insert(at, rng.choice([one for one in lines if "forward" not in one]))
    elif how == 2 and at + 1 < len(lines) and "forward" not in lines[at + 1]:
        lines[at:at + 2] = [lines[at] + " " + lines[at + 1].strip()]
    elif how == 3:
        lines.insert(at, "    " + rng.choice(ORDER + JUNK))
    elif places:
        place = rng.choice(places)
        if how == 4:
            del words[place]
        elif how == 5:
            words.insert(place, rng.choice(JUNK))
        elif how == 6:
            words[place] = rng.choice(JUNK)
        else:
            words[place] = words[place][:-1] or "x"
        lines[at] = " ".join(words)
    return "\n".join(lines) + "\n"
