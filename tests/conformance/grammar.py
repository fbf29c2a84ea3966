"""What may be said of each plugin but rewrite, view and template: functions (world, names of the
block's plugins, keys) that give a list of lines. They also tell names worth asking for (seeds)."""

CLIENTS = ["127.0.0.1", "127.0.0.2", "127.0.0.20", "127.0.0.21"]
NETS = ["127.0.0.0/8", "127.0.0.1", "127.0.0.0/30", "127.0.0.20", "10.0.0.0/8", "::1", "::/0", "*",
        "192.0.2.0/24", "127.0.0.16/28"]
TYPES = ["A", "AAAA", "SRV", "TXT", "PTR", "ANY", "MX", "NS", "SOA", "HTTPS"]

FILE_ZONE = """\
$ORIGIN %(zone)s.
$TTL 300
@ IN SOA ns1 hostmaster 2026010101 7200 3600 1209600 %(minimum)d
@ NS ns1
@ NS ns2.example.net.
@ MX 10 mail
@ A 192.0.2.80
@ TXT "apex" "two words"
ns1 A 192.0.2.53
ns1 AAAA 2001:db8::53
mail 60 A 192.0.2.25
www A 192.0.2.1
www A 192.0.2.2
www AAAA 2001:db8::1
alias CNAME www
loop1 CNAME loop2
loop2 CNAME loop1
away CNAME www.example.net.
gone CNAME nothing
outwild CNAME x.wild
*.wild A 192.0.2.7
*.wild TXT "wild"
host.wild A 192.0.2.8
a.b.c.deep A 192.0.2.9
sub NS ns.sub
sub NS ns.other.test.
ns.sub A 192.0.2.54
dn DNAME www.example.net.
dnin DNAME deep
_sip._tcp SRV 10 20 5060 www
_sip._tcp SRV 10 20 5061 away
naptr NAPTR 10 20 "s" "SIP" "" _sip._tcp
caa CAA 0 issue "ca.example.net"
svc HTTPS 1 . alpn=h2 ipv4hint=192.0.2.1
big TXT %(big)s
UPPER A 192.0.2.99
ptr PTR www
unknown TYPE65280 \\# 3 010203
%(many)s
"""
ZONE_NAMES = ["", "www", "alias", "loop1", "away", "gone", "outwild", "x.wild", "a.x.wild", "host.wild", "wild",
              "deep", "c.deep", "a.b.c.deep", "z.c.deep", "sub", "x.sub", "ns.sub", "dn", "x.dn", "a.b.c.dnin",
              "_sip._tcp", "_tcp", "naptr", "caa", "svc", "big", "UPPER", "ptr", "unknown", "many", "nope",
              "*.wild", "mail", "ns1", "y.host.wild"]


def line(*args, sub=None):
    return {"args": list(args), "sub": sub}


def some(world, low, high, pool):
    return world.rng.sample(pool, min(len(pool), world.rng.randint(low, high)))


def options(world, choices):
    """Those of [(percent, [word...]), ...] that chance picks, in any order; None for none."""
    made = [words for percent, words in choices if world.chance(percent)]
    world.rng.shuffle(made)
    return made or None


def zone_text(zone, rng):
    return FILE_ZONE % {"zone": zone, "minimum": rng.choice([30, 300, 3600]),
                        "big": " ".join('"%s"' % (c * 200) for c in "abcdef"),
                        "many": "\n".join("many A 198.51.100.%d" % n for n in range(1, 41))}


# ---- Kubernetes ----

def kubernetes(world, names, keys):
    if world.rng.random() < 0.1 and any(world.zone in k for k in keys):
        zones = []
    else:
        zones = world.rng.choice([[world.zone, "in-addr.arpa", "ip6.arpa"]] * 4 + [
            [world.zone], [world.zone, "10.0.0.0/8"], [world.zone, "10.96.0.0/12", "fd00::/16"],
            [world.zone, "other.test"], ["in-addr.arpa", world.zone]])
    chosen = world.rng.choice(["disabled", "insecure", "insecure", "verified", "verified"])
    if "autopath" in names:
        chosen = "verified"
    sub = [["@SOURCE@"]]
    sub += options(world, [
        (80, ["pods", chosen]), (30, ["endpoint_pod_names"]),
        (60, ["ttl", world.rng.choice(["0", "1", "5", "30", "300", "301", "3600"])]),
        (6, ["noendpoints"]), (20, ["ignore", "empty_service"]), (25, ["zonal"]),
        (10, ["startup_timeout", "3s"]),
        (12, ["labels", world.rng.choice(["env=prod", "env in (prod,dev)", "team notin (red)", "!tier"])])]) or []
    limited = world.rng.random()
    if limited < 0.12:
        sub.append(["namespaces", *some(world, 1, 3, ["default", "prod", "dev", "svc", "kube-system"])])
    elif limited < 0.2:
        sub.append(["namespace_labels", world.rng.choice(["env=prod", "team", "env notin (dev)"])])
    if world.chance(60):
        sub.append(["fallthrough", *world.rng.choice([[], ["in-addr.arpa", "ip6.arpa"], [world.zone]])])
    return [line("kubernetes", *zones, sub=sub)]


def k8s_external(world, names, keys):
    zone = world.rng.choice(["ext.test", "example.net", "svc.example.org"])
    world.external = zone
    world.seeds += [zone, "dns." + zone, "ns1.dns." + zone, "x." + zone, "edge." + zone]
    zones = [zone] + (["in-addr.arpa"] if world.chance(30) else [])
    return [line("k8s_external", *zones, sub=options(world, [
        (20, ["apex", "edge"]), (40, ["ttl", world.rng.choice(["0", "7", "3600"])]), (40, ["headless"]),
        (40, ["fallthrough", *world.rng.choice([[], ["in-addr.arpa"], [zone]])])]))]


def autopath(world, names, keys):
    world.autopath = True
    if "kubernetes" in names and world.chance(75):
        return [line("autopath", *world.rng.choice([[], [world.zone]]), "@kubernetes")]
    path = world.file("resolv", "search default.svc.%s svc.%s %s example.net\nnameserver 127.0.0.1\n" %
                      ((world.zone,) * 3))
    return [line("autopath", *world.rng.choice([[], [world.zone]]), path)]


# ---- records from files ----

def hosts(world, names, keys):
    text = ("# a comment\n192.0.2.10 a.hosts.test b.hosts.test\n192.0.2.11 a.hosts.test\n"
            "2001:db8::10 a.hosts.test six.hosts.test\n10.96.0.77 UP.hosts.test\n"
            "192.0.2.12 *.star.hosts.test\n\n127.0.0.1 localhost\n192.0.2.13 www.example.net\n"
            "fe80::1%lo scoped.hosts.test\n192.0.2.14 tail.hosts.test # words\n")
    world.seeds += ["a.hosts.test", "b.hosts.test", "six.hosts.test", "up.hosts.test", "x.star.hosts.test",
                    "nope.hosts.test", "inline.hosts.test", "a.b.star.hosts.test", "10.2.0.192.in-addr.arpa",
                    "77.0.96.10.in-addr.arpa", "90.2.0.192.in-addr.arpa", "hosts.test"]
    args = [world.file("hosts", text)]
    if world.chance(40):
        args += some(world, 1, 2, ["hosts.test", "in-addr.arpa", "example.net", "."])
    inline = options(world, [(30, ["192.0.2.90", "inline.hosts.test", "www.example.net"]), (10, ["bogus", "line"])])
    sub = options(world, [
        (40, ["ttl", world.rng.choice(["1", "60", "65535"])]), (20, ["no_reverse"]), (10, ["reload", "0"]),
        (70, ["fallthrough", *world.rng.choice([[], [], ["hosts.test"], ["in-addr.arpa", world.zone]])])])
    if sub and any(o[0] == "fallthrough" for o in sub) and world.chance(15):
        sub.append(["fallthrough_unsupported"])
    return [line("hosts", *args, sub=(inline or []) + (sub or []) or None)]


def zone_file(world, names, keys):
    zone = world.rng.choice(["files.test", "files.test", "example.net", "sub.files.test", "FILES.test"])
    world.seeds += [("%s.%s" % (name, zone)).lstrip(".") for name in ZONE_NAMES]
    path = world.file("zone", zone_text(zone, world.rng))
    made = [line("file", path, zone, sub=options(world, [
        (10, ["reload", "0"]), (25, ["fallthrough", *world.rng.choice([[], [zone]])])]))]
    if world.chance(20):
        path = world.file("rev", "$ORIGIN 2.0.192.in-addr.arpa.\n@ 60 SOA a b 1 2 3 4 5\n@ 60 NS a.test.\n"
                                 "1 60 PTR www.files.test.\n*.9 60 PTR wild.files.test.\n")
        made.append(line("file", path, "2.0.192.in-addr.arpa"))
        world.seeds += ["1.2.0.192.in-addr.arpa", "7.9.2.0.192.in-addr.arpa", "2.0.192.in-addr.arpa"]
    return made


def auto(world, names, keys):
    zone = "auto.test"
    world.files["autodir/db.auto.test"] = zone_text(zone, world.rng)
    world.seeds += ["%s.%s" % (name, zone) for name in ZONE_NAMES if name][:12]
    return [line("auto", zone, sub=[["directory", "@DIR@/autodir"], ["reload", "0"]])]


# ---- other servers ----

def forward(world, names, keys):
    made = []
    for zone in ["example.org"] * world.chance(15) + ["."]:
        to = world.rng.choice([["@UP@"]] * 5 + [["@UP@", "@UP2@"], ["@DEAD@", "@UP@"], ["@UP2@"]])
        sub = options(world, [
            (15, ["except", *some(world, 1, 2, ["example.org", "sub.example.net", world.zone])]),
            (12, ["force_tcp"]), (12, ["prefer_udp"]), (10, ["max_fails", "0"]), (8, ["expire", "5s"]),
            (10, ["failover", *some(world, 1, 2, ["SERVFAIL", "REFUSED", "NXDOMAIN"])]) if len(to) > 1
            else (8, ["max_concurrent", "1000"]), (10, ["health_check", "1s", "no_rec"]),
            (8, ["read_timeout", "2s"])]) or []
        sub.append(["policy", "sequential" if len(to) > 1 else
                    world.rng.choice(["random", "round_robin", "sequential"])])
        if "@DEAD@" in to:
            sub = [o for o in sub if o[0] not in ("max_fails", "health_check")]
        made.append(line("forward", zone, *to, sub=sub))
    return made


def cache(world, names, keys):
    args = world.rng.choice([[], [], ["30"], ["1"], ["3600"], ["30", world.zone], ["60", "example.net", "."]])
    rng = world.rng
    return [line("cache", *args, sub=options(world, [
        (20, ["success", rng.choice(["2000", "9984"]), *rng.choice([[], ["60"], ["60", "10"], ["600", "0"]])]),
        (20, ["denial", "2000", *rng.choice([[], ["60"], ["60", "10"], ["600", "0"]])]),
        (8, ["serve_stale", *rng.choice([[], ["1h"], ["1h", "verify"], ["1h", "immediate"]])]),
        (8, ["prefetch", "1000", "1m", "10%"]), (15, ["servfail", rng.choice(["0", "1s", "10s"])]),
        (12, ["disable", rng.choice(["success", "denial"]), *rng.choice([[], [world.zone]])]),
        (12, ["keepttl"])]))]


# ---- small plugins ----

def acl(world, names, keys):
    made = []
    for _ in range(world.rng.choice([1, 1, 2])):
        sub = []
        for _ in range(world.rng.randint(1, 3)):
            action = world.rng.choice(["allow", "allow", "block", "filter", "filter", "drop"])
            rule = [action]
            if world.chance(75) or action in ("drop", "block"):
                rule += ["type", *some(world, 1, 3, TYPES if action != "drop" else ["MX", "HTTPS"])]
            if world.chance(60) or len(rule) == 1:
                rule += ["net", *some(world, 1, 2, NETS)]
            sub.append(rule)
        made.append(line("acl", *some(world, 0, 1, [world.zone, "example.net", "."]), sub=sub))
    return made


def dns64(world, names, keys):
    prefix = world.rng.choice(["64:ff9b::/96", "2001:db8:64::/96", "2001:db8::/32", "2001:db8:0:1::/64",
                               "2001:db8:1::/48", "2001:db8::/40", "2001:db8:1:100::/56"])
    if world.chance(25):
        return [line("dns64", *world.rng.choice([[], [prefix]]))]
    return [line("dns64", sub=options(world, [(60, ["prefix", prefix]), (40, ["translate_all"]),
                                              (70, ["allow_ipv4"])]))]


def loadbalance(world, names, keys):
    if world.chance(75):
        return [line("loadbalance", *world.rng.choice([[], ["round_robin"]]))]
    if world.chance(50):
        return [line("loadbalance", sub=[["prefer", "10.1.0.0/24", "2001:db8::/32"]])]
    path = world.file("weights", "# weights\nwww.files.test\n192.0.2.1 200\n192.0.2.2 1\n\nwww.example.net\n"
                                 "192.0.2.3 7\n")
    return [line("loadbalance", "weighted", path)]


def header(world, names, keys):
    rules = [[where, how, *some(world, 1, 2, ["aa", "ra", "rd"])]
             for where in ("query", "response") for how in ("set", "clear") if world.chance(35)]
    return [line("header", sub=rules or [["response", "set", "ra"]])]


def transfer(world, names, keys):
    return [line("transfer", *world.rng.choice([[], [], [world.zone], ["files.test"]]),
                 sub=[["to", *world.rng.choice([["*"], ["*"], ["127.0.0.1"], ["127.0.0.20"]])]])]


def erratic(world, names, keys):
    return [line("erratic", sub=[["drop", "0"]] + (options(world, [(40, ["large"])]) or []))]


def metadata(world, names, keys):
    return [line("metadata", *some(world, 0, 1, [world.zone, "example.net"]))]


def simple(*choices):
    """One of some lines as they stand."""
    return lambda world, names, keys: [line(*world.rng.choice(choices))]


def http(name):
    return lambda world, names, keys: [line(name, "127.0.0.1:" + world.port())]


GRAMMARS = {
    "kubernetes": kubernetes, "k8s_external": k8s_external, "autopath": autopath, "hosts": hosts,
    "file": zone_file, "auto": auto, "forward": forward, "cache": cache, "acl": acl, "dns64": dns64,
    "loadbalance": loadbalance, "header": header, "transfer": transfer, "erratic": erratic,
    "metadata": metadata, "health": http("health"), "ready": http("ready"),
    "prometheus": http("prometheus"), "errors": simple(["errors"], ["errors", "stdout"]),
    "log": simple(["log"], ["log", ".", "{common}"], ["log", "example.net"]), "loop": simple(["loop"]),
    "debug": simple(["debug"]), "reload": simple(["reload"], ["reload", "10s"]),
    "cancel": simple(["cancel"], ["cancel", "4s"]), "whoami": simple(["whoami"]),
    "timeouts": lambda world, names, keys: [line("timeouts", sub=[["idle", "5s"]])],
    "nsid": simple(["nsid"], ["nsid", "rack", "7"], ["nsid", "x"]),
    "bufsize": simple(["bufsize"], ["bufsize", "512"], ["bufsize", "1400"], ["bufsize", "4096"]),
    "local": lambda world, names, keys: [line("local", sub=options(
        world, [(30, ["localhost_prefix", world.rng.choice(["on", "off"])])]))],
    "any": simple(["any"]), "chaos": simple(["chaos", "demo 1.0", "Ann", "Bob"]),
    "minimal": simple(["minimal"]), "multisocket": simple(["multisocket", "2"]),
}
