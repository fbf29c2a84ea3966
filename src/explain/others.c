#include "explain/others.h"

#include "base/str.h"
#include "config/tree.h"
#include "explain/flow.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define CHAIN_DEPTH_MAX 16  /* jumps inside of jumps, as the kernel's limit */
#define PROXY_SRCNAT    100 /* priority of the chain in which the proxy masquerades */
#define TYPE_AAAA       28  /* as a query's type says */
#define QUERY_TAIL_MIN  160 /* bits: a query's type is behind its header and its name */

int others_read(const char *text, struct arena *a, struct others *ret, struct err *e)
{
    struct tree_doc docs;
    struct err why;
    int rc = tree_parse(text, strlen(text), "rules", a, &docs, &why);
    const struct tree *list = rc == 0 && docs.n ? tree_get(docs.documents[0], "nftables") : NULL;
    *ret = (struct others){ .list = list };
    if (list && list->kind == TREE_SEQUENCE)
        return 0;
    return err_set(e, ERR_INVALID, "not what `nft -j list ruleset` prints: %s",
                   rc < 0 ? why.text : "it has no \"nftables\"");
}

/* ---- how far a rule is known to fit ---- */

enum fit { FIT_NO, FIT_MAYBE, FIT_YES };

/* Of a rule, and of the way to it: does it fit, and what is it that is not known? */
struct fitting {
    enum fit fit;
    bool type_aaaa, by_port;
};

static enum fit truth(bool yes)
{
    return yes ? FIT_YES : FIT_NO;
}

static enum fit either(enum fit a, enum fit b)
{
    return a > b ? a : b;
}

static const char *text_at(const struct tree *t, const char *key)
{
    const char *text = tree_str(t, key);
    return text ? text : "";
}

static bool is_number(const struct tree *t, long *ret)
{
    char *end = NULL;
    if (!t || t->kind != TREE_SCALAR || t->quoted)
        return false;
    *ret = strtol(t->text, &end, 10);
    return *end == '\0';
}

static long number_at(const struct tree *t, const char *key)
{
    long n;
    return is_number(tree_get(t, key), &n) ? n : 0;
}

typedef enum fit fits_fn(const struct tree *right, const void *value);

/* One of a set is enough; of a set by its name, and of what is not known, nothing is. */
static enum fit fits_any(const struct tree *right, const void *value, fits_fn *fits)
{
    const struct tree *set = tree_get(right, "set");
    enum fit fit = set ? FIT_NO : FIT_MAYBE;
    for (const struct tree *t = set ? set->child : NULL; t; t = t->next)
        fit = either(fit, fits(t, value));
    return fit;
}

static enum fit fits_address(const struct tree *right, const void *value)
{
    const struct ip *ip = value;
    struct ip one;
    struct ip_prefix net;
    const struct tree *prefix = tree_get(right, "prefix");
    if (prefix) {
        char text[80];
        (void)snprintf(text, sizeof text, "%s/%ld", text_at(prefix, "addr"),
                       number_at(prefix, "len"));
        return ip_prefix_parse(text, &net) < 0 ? FIT_MAYBE : truth(ip_prefix_contains(&net, ip));
    }
    if (!tree_text(right))
        return fits_any(right, value, fits_address);
    return ip_parse(tree_text(right), &one) < 0 ? FIT_MAYBE : truth(ip_equal(&one, ip));
}

static enum fit fits_number(const struct tree *right, const void *value)
{
    long n = *(const uint16_t *)value, least, most;
    const struct tree *range = tree_get(right, "range");
    if (is_number(right, &least))
        return truth(least == n);
    if (range && is_number(range->child, &least) && is_number(range->child->next, &most))
        return truth(least <= n && n <= most);
    return fits_any(right, value, fits_number);
}

static enum fit fits_protocol(const struct tree *right, const void *value)
{
    uint8_t protocol = *(const uint8_t *)value;
    long n;
    if (is_number(right, &n))
        return truth(n == protocol);
    if (tree_text(right) && *tree_text(right) != '@')
        return truth(str_eq(tree_text(right), protocol == IPPROTO_TCP ? "tcp" : "udp"));
    return fits_any(right, value, fits_protocol);
}

static bool is_query(const struct others_packet *p)
{
    return p->protocol == IPPROTO_UDP && p->to_port == 53;
}

/* Bytes of the packet by their place: of a query, what lies behind its name is its type. */
static enum fit fits_raw(const struct tree *payload, const struct tree *right,
                         const struct others_packet *p, struct fitting *f)
{
    long value;
    f->type_aaaa |= is_query(p) && str_eq(text_at(payload, "base"), "th") &&
                    number_at(payload, "offset") >= QUERY_TAIL_MIN &&
                    number_at(payload, "len") == 16 && is_number(right, &value) &&
                    value == TYPE_AAAA;
    return FIT_MAYBE;
}

static enum fit fits_payload(const struct tree *payload, const struct tree *right,
                             const struct others_packet *p, struct fitting *f)
{
    const char *protocol = text_at(payload, "protocol"), *field = text_at(payload, "field");
    bool ip = str_eq(protocol, "ip"), ip6 = str_eq(protocol, "ip6");
    if (tree_get(payload, "base"))
        return fits_raw(payload, right, p, f);
    if ((ip && p->to.family != 4) || (ip6 && p->to.family != 6))
        return FIT_NO;
    if ((str_eq(protocol, "udp") && p->protocol != IPPROTO_UDP) ||
        (str_eq(protocol, "tcp") && p->protocol != IPPROTO_TCP))
        return FIT_NO;
    if ((ip || ip6) && str_eq(field, "saddr"))
        return fits_address(right, &p->from);
    if ((ip || ip6) && str_eq(field, "daddr"))
        return fits_address(right, &p->to);
    if (ip && str_eq(field, "protocol"))
        return fits_protocol(right, &p->protocol);
    if (str_eq(field, "dport"))
        return fits_number(right, &p->to_port);
    f->by_port |= str_eq(field, "sport");
    return FIT_MAYBE;
}

/* Address and port together, and the like: what sets are made of that packets fill. */
static enum fit fits_concat(const struct tree *parts, struct fitting *f)
{
    for (const struct tree *t = parts->child; t; t = t->next)
        f->by_port |= str_eq(text_at(tree_get(t, "payload"), "field"), "sport");
    return FIT_MAYBE;
}

/* One state, or several, as a list or as a set. */
static bool names_state(const struct tree *right, const char *state)
{
    const struct tree *set = tree_get(right, "set"), *list = set ? set : right;
    if (tree_text(right))
        return str_eq(tree_text(right), state);
    for (const struct tree *t = list ? list->child : NULL; t; t = t->next)
        if (str_eq(tree_text(t), state))
            return true;
    return false;
}

static enum fit fits_match(const struct tree *match, const struct others_packet *p,
                           struct fitting *f)
{
    const struct tree *left = tree_get(match, "left"), *right = tree_get(match, "right");
    const struct tree *payload = tree_get(left, "payload"), *concat = tree_get(left, "concat");
    const char *meta = text_at(left, "meta.key"), *ct = text_at(left, "ct.key");
    enum fit fit = FIT_MAYBE;
    if (payload)
        fit = fits_payload(payload, right, p, f);
    else if (str_eq(meta, "l4proto"))
        fit = fits_protocol(right, &p->protocol);
    else if (str_eq(meta, "nfproto"))
        fit = truth(str_eq(tree_text(right), p->to.family == 4 ? "ipv4" : "ipv6"));
    else if (str_eq(ct, "state"))
        fit = truth(names_state(right, "new"));
    else if (concat)
        fit = fits_concat(concat, f);
    if (fit == FIT_MAYBE || !str_eq(text_at(match, "op"), "!="))
        return fit;
    return fit == FIT_YES ? FIT_NO : FIT_YES;
}

/* ---- rules ---- */

enum wanted { WANT_DROP, WANT_UNTRACK, WANT_KEPT_SOURCE };

struct search {
    const struct others *others;
    const struct others_packet *packet;
    enum wanted wanted;
    struct arena *arena;
    struct others_finding *ret;
    const char *family, *table;
    unsigned depth, visits;
};

enum went { WENT_ON, WENT_AWAY, WENT_FOUND };

static enum went search_chain(struct search *s, const char *chain, struct fitting before);

static bool keeps_source(const struct others_packet *p, const struct tree *snat)
{
    struct ip ip;
    return ip_parse(text_at(snat, "addr"), &ip) == 0 && ip_equal(&ip, &p->from);
}

static enum went found(struct search *s, const struct tree *rule, const struct fitting *f)
{
    if (f->fit != FIT_YES && !f->type_aaaa && !f->by_port)
        return WENT_ON; /* some such packets, and nobody knows which */
    s->ret->which = f->fit == FIT_YES ? OTHERS_ALL : f->type_aaaa ? OTHERS_AAAA : OTHERS_SECOND;
    s->ret->where =
        arena_printf(s->arena, "chain %s of table %s %s (rule %d)", text_at(rule, "chain"),
                     s->family, s->table, (int)number_at(rule, "handle"));
    return WENT_FOUND;
}

static bool is_wanted(const struct search *s, const struct tree *statement)
{
    switch (s->wanted) {
    case WANT_DROP:
        return tree_get(statement, "drop") || tree_get(statement, "reject");
    case WANT_UNTRACK:
        return tree_get(statement, "notrack");
    default:
        return keeps_source(s->packet, tree_get(statement, "snat"));
    }
}

static bool is_end(const struct tree *statement)
{
    static const char *const ends[] = { "accept", "drop",       "reject", "return",
                                        "snat",   "masquerade", "dnat",   "queue" };
    for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
        if (tree_get(statement, ends[i]))
            return true;
    return false;
}

/* Statements that have no say in what becomes of the packet. */
static bool is_idle(const struct tree *statement)
{
    static const char *const idle[] = { "counter", "log", "set", "mangle", "quota", "notrack" };
    for (size_t i = 0; i < ARRAY_SIZE(idle); i++)
        if (tree_get(statement, idle[i]))
            return true;
    return false;
}

/* *way: what is known of packets that come behind this rule. */
static enum went search_rule(struct search *s, const struct tree *rule, struct fitting *way)
{
    struct fitting f = *way;
    const struct tree *statement;
    const struct tree *expr = tree_get(rule, "expr");
    for (statement = expr ? expr->child : NULL; statement; statement = statement->next) {
        const struct tree *match = tree_get(statement, "match"), *to;
        if (match) {
            enum fit fit = fits_match(match, s->packet, &f);
            if (fit == FIT_NO)
                return WENT_ON;
            f.fit = MIN(f.fit, fit);
        } else if (is_wanted(s, statement)) {
            return found(s, rule, &f);
        } else if ((to = tree_get(statement, "jump")) || (to = tree_get(statement, "goto"))) {
            enum went went = search_chain(s, text_at(to, "target"), f);
            if (went != WENT_ON)
                return went == WENT_FOUND || f.fit == FIT_YES ? went : WENT_ON;
        } else if (is_end(statement)) {
            if (f.fit == FIT_YES)
                return WENT_AWAY;
            *way = f; /* some went away here: which, is not known */
            way->fit = FIT_MAYBE;
            return WENT_ON;
        } else if (!is_idle(statement)) {
            f.fit = FIT_MAYBE; /* a limit, a map, a match of iptables */
        }
    }
    return WENT_ON;
}

static enum went search_chain(struct search *s, const char *chain, struct fitting before)
{
    const struct tree *entry;
    if (s->depth == CHAIN_DEPTH_MAX)
        return WENT_ON;
    s->depth++;
    enum went went = WENT_ON;
    for (entry = s->others->list->child; entry && went == WENT_ON; entry = entry->next) {
        const struct tree *rule = tree_get(entry, "rule");
        if (s->visits++ == OTHERS_VISITS_MAX)
            return WENT_AWAY;
        if (!str_eq(text_at(rule, "chain"), chain) || !str_eq(text_at(rule, "table"), s->table) ||
            !str_eq(text_at(rule, "family"), s->family))
            continue;
        went = search_rule(s, rule, &before);
    }
    s->depth--;
    return went;
}

/* ---- chains that packets meet ---- */

static bool is_of_proxy(const struct tree *chain)
{
    const char *table = text_at(chain, "table");
    return str_eq(table, "signpost") || str_starts(table, "signpost_") ||
           str_eq(table, "kube-proxy");
}

static bool is_met(const struct tree *chain, enum hook hook, const struct others_packet *p)
{
    const char *family = text_at(chain, "family");
    return str_eq(text_at(chain, "hook"), hook_text(hook)) && !is_of_proxy(chain) &&
           (str_eq(family, "inet") || str_eq(family, p->to.family == 4 ? "ip" : "ip6"));
}

static bool search_hook(struct search *s, enum hook hook, const char *type)
{
    const struct tree *entry;
    for (entry = s->others->list->child; entry; entry = entry->next) {
        const struct tree *chain = tree_get(entry, "chain");
        if (!chain || !is_met(chain, hook, s->packet))
            continue;
        if (type && !str_eq(text_at(chain, "type"), type))
            continue;
        if (s->wanted == WANT_KEPT_SOURCE && number_at(chain, "prio") >= PROXY_SRCNAT)
            continue;
        s->family = text_at(chain, "family");
        s->table = text_at(chain, "table");
        s->depth = 0;
        struct fitting all = { .fit = FIT_YES };
        if (search_chain(s, text_at(chain, "name"), all) == WENT_FOUND)
            return true;
    }
    return false;
}

bool others_drop(const struct others *o, enum hook hook, const struct others_packet *p,
                 struct arena *a, struct others_finding *ret)
{
    struct search s = { .others = o, .packet = p, .wanted = WANT_DROP, .arena = a, .ret = ret };
    return search_hook(&s, hook, "filter");
}

bool others_untrack(const struct others *o, const struct others_packet *p, struct arena *a,
                    struct others_finding *ret)
{
    struct search s = { .others = o, .packet = p, .wanted = WANT_UNTRACK, .arena = a, .ret = ret };
    return search_hook(&s, HOOK_PREROUTING, "filter");
}

bool others_keep_source(const struct others *o, const struct others_packet *p, struct arena *a,
                        struct others_finding *ret)
{
    struct search s = {
        .others = o, .packet = p, .wanted = WANT_KEPT_SOURCE, .arena = a, .ret = ret
    };
    return search_hook(&s, HOOK_POSTROUTING, "nat");
}
