"""Differences that were decided on, each with its reason: docs/decisions/0005-reference-quirks.md.

A decision is a function (query, difference, world) that says whether the difference is this one.
"""
import re

import message
import queries
import worlds

DECISIONS = []


def decision(reason):
    def note(function):
        DECISIONS.append((function.__name__.replace("_", " "), reason, function))
        return function
    return note


def plugins(world):
    return set(worlds.plugins(world))


@decision("UDP queries are read up to 4096 bytes, not 512")
def long_query(query, difference, world):
    return (not query["tcp"] and len(queries.encode(query, 0)) > 512 and
            difference.theirs is not None and difference.theirs.rcode == 1)


@decision("EDNS flags other than DO are not echoed")
def edns_flags(query, difference, world):
    return difference.fields == ("opt",) and masked(difference) is None


def masked(difference):
    """The difference without those flags; None when nothing else differs."""
    ours, theirs = difference.ours and difference.ours.opt, difference.theirs and difference.theirs.opt
    if not ours or not theirs or not theirs.flags & 0x7fff:
        return difference
    theirs = theirs._replace(flags=theirs.flags & 0x8000)
    fields = tuple(f for f in difference.fields if f != "opt" or ours != theirs)
    return difference._replace(fields=fields, theirs=difference.theirs._replace(opt=theirs)) if fields else None


@decision("the flags of a message that is no query are not echoed")
def flags_of_refused(query, difference, world):
    return bool(difference.fields == ("flags",) and query.get("opcode") and difference.ours.rcode == 4 and
                difference.ours.flags == difference.theirs.flags & ~(message.TC | 0x00b0))


@decision("RD of a failure is what plugins saw when header cleared it, with cache or without")
def header_and_cache(query, difference, world):
    return (difference.fields == ("flags",) and
            (difference.ours.rcode in (2, 5) or "dns64" in plugins(world)) and (difference.ours.flags ^ difference.theirs.flags) == 0x0100 and {"header", "cache"} <= plugins(world))


@decision("ns.dns.ZONE is that name alone, not every name that begins so")
def ns_dns_prefix(query, difference, world):
    zones = [k.split("//")[-1].split(":")[0] for block in world["blocks"] for k in block["keys"]]
    zones += [w for one in worlds.lines(world) if one["args"][0] == "kubernetes" for w in one["args"][1:]]
    return any(query["name"].lower().startswith("ns.dns.%s." % zone) for zone in zones)


@decision("dns64 keeps the first reply when the look-up of the A records fails")
def dns64_keeps(query, difference, world):
    return (query["type"] == 28 and "dns64" in plugins(world) and difference.theirs is not None and
            difference.theirs.rcode == 0 and difference.ours is not None and
            not difference.theirs.flags & message.AA and not any(record[1] == 28 for record in difference.theirs.answer))


def lowered(reply):
    return [sorted((r[0].lower(), r[1], r[2], r[3], r[4].lower()) for r in getattr(reply, part))
            for part in ("answer", "authority", "additional")] + [[(q[0].lower(),) + q[1:] for q in reply.question]]


@decision("names are told as they were typed or written, where the reference lowers some")
def letter_case(query, difference, world):
    return bool(set(difference.fields) <= {"question", "answer", "authority", "additional"} and
                plugins(world) & {"file", "auto", "dns64", "local", "rewrite", "autopath"} and
                lowered(difference.ours) == lowered(difference.theirs))


@decision("the zone that erratic makes up is another one")
def erratic_zone(query, difference, world):
    return query["type"] == 252 and difference.fields == ("answer",) and "erratic" in plugins(world)


@decision("options that are echoed stay in the reply, whatever plugin adds to its OPT; nsid always sets DO")
def echoed_options(query, difference, world):
    if difference.fields != ("opt",) or not plugins(world) & {"nsid", "template", "acl"}:
        return False
    ours, theirs = difference.ours.opt, difference.theirs.opt
    codes = [{code for code, _ in opt.options} if opt else set() for opt in (ours, theirs)]
    echoed = {3, 9, 10, 11, 12} | ({0xffee, 0xffaa, 65001} if rule(world, "edns0") else set())
    return bool(ours and theirs and ours.size == theirs.size and codes[1] <= codes[0] and
                codes[0] - codes[1] <= echoed)


@decision("rewrite ttl leaves OPT alone, whose TTL field is none")
def rewrite_ttl_opt(query, difference, world):
    ours, theirs = difference.ours and difference.ours.opt, difference.theirs and difference.theirs.opt
    return bool(ours and theirs and rule(world, "ttl") and
                ours.options == theirs.options and set(difference.fields) <= {"opt", "rcode"})


@decision("ns.dns.ZONE is there for PTR queries, too")
def ns_dns_ptr(query, difference, world):
    return bool(query["name"].lower().startswith("ns.dns.") and query["type"] == 12 and
                difference.theirs and difference.theirs.rcode != 0)


@decision("a reverse name of IPv6 has 32 nibbles; the reference passes over up to three labels in front")
def long_reverse(query, difference, world):
    name = query["name"].lower().rstrip(".")
    return bool(name.endswith(".ip6.arpa") and 34 < name.count(".") + 1 <= 37 and difference.ours and
                difference.ours.rcode != 0)


@decision("of several views of a zone a DS query, too, takes the first that fits")
def ds_and_views(query, difference, world):
    return query["type"] == 43 and "view" in plugins(world)


@decision("endpoints whose pod name has dots go by their address, which can be asked for")
def dotted_pod_names(query, difference, world):
    dotted = any("." in end.get("targetRef", {}).get("name", "") for one in world["objects"]
                 for end in one.get("endpoints", []))
    return bool(dotted and any("endpoint_pod_names" in words(one) for one in worlds.lines(world)) and
                (difference.ours and difference.ours.rcode == 0 and difference.theirs.rcode != 0 or
                 difference.ours and difference.ours.rcode == 0 and not difference.theirs.answer or
                 any(b"\x01a\x01b" in record[0] + record[4] for record in
                     difference.theirs.answer + difference.theirs.additional)))


@decision("cache leaves replies to NOTIFY and to zone transfers alone")
def cache_leaves_alone(query, difference, world):
    return ((query.get("opcode") == 4 or query["type"] in (251, 252)) and "cache" in plugins(world) and
            set(difference.fields) <= {"answer", "authority", "additional"})


def words(one):
    """All of a line and its block."""
    return one["args"] + sum(one["sub"] or [], [])


def rule(world, *wanted):
    """Is there a rewrite line that has these words?"""
    return any(set(wanted) <= set(words(one)) for one in worlds.lines(world) if one["args"][0] == "rewrite")


@decision("rewrite edns0 shows clients no OPT that they did not ask for, and none of their own options")
def rewrite_edns(query, difference, world):
    if difference.fields != ("opt",) or not rule(world, "edns0"):
        return False
    ours, theirs = difference.ours.opt, difference.theirs.opt
    return bool(theirs and (ours is None and theirs.size == 4096 and not theirs.options or
                            ours and {c for c, _ in ours.options} <= {c for c, _ in theirs.options}))


@decision("rewrite: a name that ends in two dots is one with one dot")
def rewrite_dots(query, difference, world):
    return bool(difference.theirs and difference.theirs.rcode == 2 and rule(world, "regex") and
                any(one["args"][0] == "rewrite" and any(w.endswith("}") for w in words(one))
                    for one in worlds.lines(world)))


@decision("minimal does not turn a refusal into a failure")
def minimal_refusal(query, difference, world):
    return bool("minimal" in plugins(world) and difference.ours and
                difference.theirs and difference.theirs.rcode == 2)


@decision("k8s_external refuses zone transfers")
def external_transfer(query, difference, world):
    return bool(query["type"] in (251, 252) and "k8s_external" in plugins(world) and difference.ours and
                difference.ours.rcode == 5)


@decision("zones of reverse names are not transferred by kubernetes")
def reverse_transfer(query, difference, world):
    return bool(query["type"] in (251, 252) and query["name"].lower().rstrip(".").endswith(".arpa") and
                "kubernetes" in plugins(world) and difference.ours and difference.ours.rcode in (2, 5))


@decision("a block that rewrites classes takes queries of all classes")
def rewrite_class(query, difference, world):
    return query["class"] != 1 and rule(world, "class") and difference.theirs and difference.theirs.rcode == 5


@decision("cache keeps replies to questions of other classes, too")
def cache_and_classes(query, difference, world):
    return bool(query["class"] != 1 and "cache" in plugins(world) and difference.ours and difference.theirs and
                difference.ours.rcode == difference.theirs.rcode)


@decision("in-addr.arpa and ip6.arpa are reverse zones: PTR records do not lead there")
def reverse_primary(query, difference, world):
    return bool(query["type"] == 12 and any(
        one["args"][0] == "kubernetes" and one["args"][1:2] in (["in-addr.arpa"], ["ip6.arpa"])
        for one in worlds.lines(world)))


@decision("type 0 has no name in texts of template")
def template_type_zero(query, difference, world):
    return query["type"] == 0 and "template" in plugins(world) and difference.fields == ("answer",)


@decision("dns64 leaves failures alone that the server itself writes, with rewrite or without")
def dns64_and_rewrite(query, difference, world):
    return bool(query["type"] == 28 and {"dns64", "rewrite"} <= plugins(world) and difference.ours and
                difference.ours.rcode == 2)


@decision("every reply bears the client's question, behind rewrite continue and rewrite cname, too")
def rewrite_question(query, difference, world):
    return bool("question" in difference.fields and "rewrite" in plugins(world) and difference.ours and
                [message.name_text(q[0]).lower() for q in difference.ours.question] ==
                [message.name_text(queries.wire_name(query["name"])).lower()] and
                (difference.fields == ("question",) or rule(world, "cname")))


@decision("rewrite edns0 does not lift the limit of 512 bytes for a client without EDNS")
def rewrite_edns_limit(query, difference, world):
    return bool(not query["edns"] and not query["tcp"] and rule(world, "edns0") and difference.ours and
                difference.ours.flags & message.TC and not difference.theirs.flags & message.TC)


@decision("what a look-up says of other name servers is passed on by file")
def file_referral(query, difference, world):
    def has(reply, kind):
        return any(record[1] == kind for record in reply.authority)
    return bool(plugins(world) & {"file", "auto"} and "rcode" not in difference.fields and
                any(record[1] in (5, 39) for record in difference.ours.answer) and
                has(difference.ours, 2) and has(difference.theirs, 6))


@decision("the top of a zone of file is there, even when it has no more than SOA and NS")
def file_apex(query, difference, world):
    return bool(plugins(world) & {"file", "auto"} and query["name"].lower() == "2.0.192.in-addr.arpa" and
                difference.ours and difference.ours.rcode == 0)


@decision("the OPT of a look-up that dns64 makes stays inside")
def dns64_opt(query, difference, world):
    return bool(query["type"] == 28 and {"dns64", "acl"} <= plugins(world) and difference.fields == ("opt",) and
                not difference.ours.opt and not query["edns"])


@decision("a denial without SOA, which cache does not keep, is shown for a short time, additional records included")
def denial_without_soa(query, difference, world):
    def bare(reply):
        return [sorted(r[:3] + r[4:] for r in part) for part in (reply.answer, reply.authority, reply.additional)]
    return bool("cache" in plugins(world) and difference.ours and difference.ours.rcode == 3 and
                set(difference.fields) <= {"answer", "authority", "additional"} and
                not any(r[1] == 6 for r in difference.theirs.authority) and
                bare(difference.ours) == bare(difference.theirs))


@decision("loadbalance weighted leaves DNAME in front of the CNAME that is made of it")
def weighted_dname(query, difference, world):
    return bool(difference.fields == ("order",) and "loadbalance" in plugins(world) and
                any(r[1] == 39 for r in difference.ours.answer))


@decision("an extended error passes cache and minimal")
def extended_error(query, difference, world):
    if difference.fields != ("opt",) or not plugins(world) & {"cache", "minimal"}:
        return False
    told = [dict(opt.options) if opt else {} for opt in (difference.ours.opt, difference.theirs.opt)]
    return 15 in told[0] and 15 not in told[1]


@decision("an underscore in front of an endpoint's name is part of it, for k8s_external as well")
def external_underscore(query, difference, world):
    return bool(query["name"].startswith("_") and "k8s_external" in plugins(world) and difference.ours and
                difference.ours.rcode == 3 and difference.theirs and difference.theirs.rcode == 0)


@decision("header leaves failures as they are")
def header_and_failures(query, difference, world):
    return difference.fields == ("flags",) and difference.ours.rcode in (2, 5) and "header" in plugins(world)


@decision("addresses of name servers in a transfer have the zone's TTL, and none is link-local")
def transfer_addresses(query, difference, world):
    def others(reply):
        return [r for r in reply.answer if not (r[1] in (1, 28) and r[0].startswith(b"\x02ns\x03dns"))]
    return bool(query["type"] in (251, 252) and difference.fields == ("answer",) and
                others(difference.ours) == others(difference.theirs))


@decision("link-local addresses are not told to be the name server's")
def link_local(query, difference, world):
    return bool(set(difference.fields) <= {"answer", "additional"} and all(
        [r for r in getattr(difference.theirs, part) if r[1] != 28 or r[4][:2] != b"\xfe\x80"] ==
        getattr(difference.ours, part) for part in ("answer", "additional")))


@decision("pods that share an address share an SRV record of weight 100")
def shared_pods(query, difference, world):
    return query["type"] == 33 and ".pod." in query["name"].lower() and difference.fields == ("answer",)


@decision("an alias that leads in a circle is told about ten times, not to the same record")
def circle_of_aliases(query, difference, world):
    def found(reply):
        return {(r[0].lower(), r[1], r[4].lower()) for r in reply.answer if r[1] == 5}
    return bool(difference.fields and set(difference.fields) <= {"answer", "authority"} and
                len(difference.theirs.answer) > 7 and found(difference.ours) and
                found(difference.ours) == found(difference.theirs))


@decision("each record is told once")
def told_once(query, difference, world):
    parts = difference.fields
    return bool(set(parts) <= {"answer", "authority", "additional"} and all(
        set(getattr(difference.ours, part)) == set(getattr(difference.theirs, part)) and
        len(set(getattr(difference.ours, part))) == len(getattr(difference.ours, part)) for part in parts))


@decision("a look-up that leads back to itself ends; the reference goes on until it has no memory")
def circle(query, difference, world):
    return bool(difference.fields == ("silence",) and difference.theirs is None and
                plugins(world) & {"template", "rewrite"})


@decision("a panic that debug or the writing of a reply lets through ends the reference's process")
def the_reference_crashes(query, difference, world):
    return False  # known by its process: play.py


GROUPS = [("opt",), ("question",), ("flags",), ("order",), ("answer", "authority", "additional")]


OF_SILENCE = ("circle",)  # the others look at both replies


def covering(query, difference, world):
    silent = difference.ours is None or difference.theirs is None
    for name, _, function in DECISIONS:
        if (not silent or name in OF_SILENCE) and function(query, difference, world):
            return name
    return None


def decided(query, difference, world):
    """The name of the decision that covers the difference, or None. Differences in parts of the message
    that have nothing to do with each other may be covered one by one."""
    rest = masked(difference) or difference
    name = covering(query, difference, world) or covering(query, rest, world)
    if name or set(rest.fields) - set(sum(GROUPS, ())):
        return name
    for group in GROUPS:
        fields = tuple(field for field in rest.fields if field in group)
        if fields:
            name = covering(query, rest._replace(fields=fields), world)
            if not name:
                return None
    return name


# ---- Corefiles with a mistake ----

START_DECISIONS = []


def start_decision(reason):
    def note(function):
        START_DECISIONS.append((function.__name__.replace("_", " "), reason, function))
        return function
    return note


@start_decision("a quoted word that spans lines is told by its first line")
def quotes(text, wrong, logs):
    return wrong.startswith("refused") and text.count('"') % 2 == 1


@start_decision("words too many behind an option are an error, where the reference passes over some")
def words_too_many(text, wrong, logs):
    return wrong.startswith("coredns serves") and re.search(
        "Wrong argument count|unable to parse ignore value", logs["signpost"]) is not None


@start_decision("a directive begins on a line of its own, and its brace stands on that line")
def own_line(text, wrong, logs):
    return "start a new line" in logs["signpost"] or "at the start of a line" in logs["signpost"]


@start_decision("a server block has a zone, and zones are valid names")
def zones(text, wrong, logs):
    return wrong.startswith("coredns serves") and re.search(
        "server block needs a zone|not a valid domain name", logs["signpost"]) is not None


@start_decision("an address that is bound twice is bound once")
def bound_twice(text, wrong, logs):
    return wrong.startswith("signpost serves") and "already defined" in logs["coredns"]


@start_decision("texts of template that cannot be read are refused at start")
def template_texts(text, wrong, logs):
    return wrong.startswith("coredns serves") and "plugin/template" in logs["signpost"]


@start_decision("a closing brace stands on a line of its own")
def brace_line(text, wrong, logs):
    return ("after '}'" in logs["signpost"] or wrong.startswith("signpost serves")) and re.search(r"\S[^\n]*[ \t]}[ \t]*$", text, re.M) is not None


def decided_start(text, wrong, logs):
    for name, _, function in START_DECISIONS:
        if function(text, wrong, logs):
            return name
    return None
