#include "explain/outcome_causes.h"

#include <stdio.h>
#include <string.h>

#define SEARCH_LINE_MAX 254 /* bytes of a line that musl reads */

struct causes {
    const struct sightings *s;
    enum outcome outcome;
    struct arena *arena;
    struct journey_cause *items;
    size_t n;
};

static void add(struct causes *c, const char *code, const char *text, const char *change)
{
    if (c->n < OUTCOME_CAUSES_MAX)
        c->items[c->n++] =
            (struct journey_cause){ .code = code, .text = text, .change = change, .seen = true };
}

static bool is_as_typed(const struct sightings *s)
{
    return s->dns.name && outcome_is_typed(s->typed, s->dns.name);
}

/* ---- queries that were lost ---- */

static void find_lost(struct causes *c)
{
    const struct sightings *s = c->s;
    bool race = s->dns.seconds_lost || s->dns.insert_failed;
    if (!s->dns.repeated || !s->dns.a_answered)
        return;
    if (s->dns.aaaa && !s->dns.aaaa_answered)
        add(c, "lost-aaaa",
            arena_printf(c->arena,
                         "of %u queries for AAAA none was answered, of those for A %u: the name "
                         "server, or a rule on the way, drops AAAA",
                         s->dns.aaaa, s->dns.a_answered),
            "let the name server answer them, with an empty answer if there is nothing");
    else if (race)
        add(c, "five-seconds",
            s->dns.insert_failed
                ? arena_printf(c->arena,
                               "a query was lost, and meanwhile the connection table of its node "
                               "did not take %u entries: two queries that leave by one port at "
                               "once race for one entry",
                               s->dns.insert_failed)
                : arena_printf(c->arena,
                               "of two queries that left by one port at once, the second was lost "
                               "(%u time%s) and was answered when it was sent again",
                               s->dns.seconds_lost, s->dns.seconds_lost == 1 ? "" : "s"),
            "use a cache on the node, or options single-request-reopen or use-vc");
}

/* ---- names ---- */

static void find_names(struct causes *c)
{
    const struct sightings *s = c->s;
    if (s->dns.before && is_as_typed(s))
        add(c, "ndots",
            arena_printf(c->arena,
                         "%u of %u queries were for names that the search list made before %s "
                         "itself was asked for",
                         s->dns.before, s->dns.asked, s->dns.name),
            arena_printf(c->arena, "write %s", s->dns.name));
    if (c->outcome == OUTCOME_UNTRANSLATED && s->dns.name && *s->dns.name && !is_as_typed(s))
        add(c, "search-wildcard",
            arena_printf(c->arena,
                         "the address is that of %s, which the search list made of %s: a name "
                         "server has an answer for every name there",
                         s->dns.name, s->typed),
            arena_printf(c->arena, "write %.*s. with its dot", (int)strcspn(s->typed, ":"),
                         s->typed));
    if (c->outcome == OUTCOME_NAME_UNKNOWN && s->dns.as_typed_only &&
        s->dns.search_bytes > SEARCH_LINE_MAX)
        add(c, "search-line",
            arena_printf(c->arena,
                         "only %s itself was asked for: its resolver did not read the search line, "
                         "which has %zu bytes, as musl reads at most %d",
                         s->typed, s->dns.search_bytes, SEARCH_LINE_MAX),
            "keep the line below 255 bytes, or write whole names");
}

/* ---- where it was sent on to ---- */

static void find_ways(struct causes *c)
{
    const struct sightings *s = c->s;
    bool nameless = c->outcome == OUTCOME_NAME_UNHEARD || c->outcome == OUTCOME_NAME_SILENT;
    if (nameless && s->dns.entry && *s->dns.entry)
        add(c, "stale-udp",
            arena_printf(c->arena,
                         "the connection table of its node sends what comes from port %u to %s on "
                         "to %s, an address that nobody has: the entry has outlived a pod",
                         s->dns.port, s->dns.server, s->dns.entry),
            "remove the entry (conntrack -D), and see why the proxy has not");
    if (nameless && s->dns.local && !s->dns.tracked && !s->dns.bound)
        add(c, "node-cache-dead",
            arena_printf(c->arena,
                         "refused by the node's cache: %s is an address of %s itself, its rules "
                         "keep queries to it out of the connection table, and nobody listens there",
                         s->dns.server, s->node),
            "start the cache again, or take its rules away");
    if (s->dns.local && s->dns.bound && s->dns.tracked && s->dns.chosen && *s->dns.chosen)
        add(c, "node-cache-bypassed",
            arena_printf(
                c->arena,
                "the node's cache is bypassed: it listens at %s, but no rule keeps queries "
                "to it out of the connection table, so that they are sent on to %s",
                s->dns.server, s->dns.chosen),
            "let the cache set its rules up, or take its address away");
    if (c->outcome == OUTCOME_PEER_SILENT && s->tcp.to_itself)
        add(c, "hairpin",
            "it was sent to itself, with its own address as the source: it takes no connection "
            "that comes from its own address, and nothing masqueraded this one",
            "let the node masquerade what a Service sends back to its sender");
}

size_t outcome_causes(const struct sightings *s, struct arena *a,
                      struct journey_cause ret[OUTCOME_CAUSES_MAX])
{
    struct causes c = { .s = s, .outcome = outcome_of(s), .arena = a, .items = ret };
    find_ways(&c);
    find_lost(&c);
    find_names(&c);
    return c.n;
}
