/* `acl [ZONE...] { allow|block|filter|drop [type TYPE...] [net NET...] }`: who may ask what. Lines
 * are looked at in order, those of several acl together; the first that fits decides. */
#include "dns/plugin.h"

#include <string.h>
#include <strings.h>

#define ACL_UDP_SIZE 4096 /* of the OPT record that carries the reason to clients without EDNS */

enum { EDE_BLOCKED = 15, EDE_FILTERED = 17 }; /* RFC 8914 section 4 */

enum action { ACL_BLOCK, ACL_FILTER, ACL_DROP, ACL_ALLOW, ACL_NONE };
#define COUNTED 3 /* actions counted by zone */

/* Addresses first..last of one family; a policy's are sorted and do not touch. */
struct range {
    struct ip first, last;
};

struct policy {
    enum action action;
    uint16_t *types;
    struct range *ranges;
    size_t n_types, n_ranges;
    bool any_type, any_net;
};

/* One acl: its zones and lines. */
struct rule {
    struct zone_set *zones;
    struct policy *policies;
    size_t n_policies;
    unsigned first_count; /* of its zones, in counts */
};

/* One `server` label: queries allowed, and what happened to others by zone. Those are registered
 * when they first occur: 0 until then. */
struct server_counts {
    metric allowed;
    _Atomic metric (*zones)[COUNTED];
};

struct acl {
    struct rule *rules;
    size_t n_rules;
    unsigned n_zones; /* of all rules */
    struct dns_config *config;
    const struct block *block;
    struct arena *arena;
    struct server_counts **counts; /* by route; those of one server share theirs */
};

/* ---- counting ---- */

static metric new_count(const struct query *q, const uint8_t *zone, enum action action)
{
    static const char *const names[COUNTED] = { "coredns_acl_blocked_requests_total",
                                                "coredns_acl_filtered_requests_total",
                                                "coredns_acl_dropped_requests_total" };
    static const char *const helps[COUNTED] = { "Queries answered REFUSED by acl.",
                                                "Queries answered with nothing by acl.",
                                                "Queries that acl gave no reply to." };
    struct strbuf labels = { 0 };
    char text[NAME_TEXT_MAX];
    metric_label(&labels, "server", q->route->server);
    metric_label(&labels, "view", q->route->view);
    metric_label(&labels, "zone", name_to_text(zone, text));
    metric m = metric_counter(names[action], helps[action], labels.p);
    strbuf_done(&labels);
    return m;
}

static void count(const struct query *q, const struct acl *a, const struct rule *r, int zone,
                  enum action action)
{
    _Atomic metric *slot = &a->counts[q->route->id]->zones[r->first_count + (unsigned)zone][action];
    metric m = atomic_load_explicit(slot, memory_order_acquire);
    if (!m) { /* two workers may do this at once: both get the same */
        m = new_count(q, zone_set_wire(r->zones, zone), action);
        atomic_store_explicit(slot, m, memory_order_release);
    }
    metric_add(m, 1);
}

static struct server_counts *counts_new(const struct acl *a, const struct route *r)
{
    struct server_counts *c = arena_zalloc(a->arena, sizeof *c);
    struct strbuf labels = { 0 };
    metric_label(&labels, "server", r->server);
    metric_label(&labels, "view", r->view);
    c->allowed = metric_counter("coredns_acl_allowed_requests_total", "Queries that acl let pass.",
                                labels.p);
    strbuf_done(&labels);
    c->zones = arena_zalloc(a->arena, a->n_zones * sizeof *c->zones);
    return c;
}

static int acl_start(void *conf, struct err *e)
{
    struct acl *a = conf;
    unsigned n;
    const struct route *const *routes = dns_config_routes(a->config, &n);
    const struct route *last = NULL; /* routes of one listener are neighbours */
    (void)e;
    a->counts = arena_zalloc(a->arena, n * sizeof(struct server_counts *));
    for (unsigned i = 0; i < n; i++) {
        if (routes[i]->chain_block != a->block)
            continue;
        bool same = last && last->listener == routes[i]->listener;
        a->counts[i] = same ? a->counts[last->id] : counts_new(a, routes[i]);
        last = routes[i];
    }
    return 0;
}

/* ---- queries ---- */

static bool type_fits(const struct policy *p, uint16_t type)
{
    for (size_t i = 0; i < p->n_types; i++)
        if (p->types[i] == type)
            return true;
    return p->any_type;
}

static bool net_fits(const struct policy *p, const struct ip *ip)
{
    size_t from = 0, to = p->n_ranges;
    while (from < to) { /* the first range that does not end below ip */
        size_t middle = (from + to) / 2;
        if (ip_compare(&p->ranges[middle].last, ip) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return p->any_net || (from < p->n_ranges && ip_compare(&p->ranges[from].first, ip) <= 0);
}

static enum action decide(const struct rule *r, const struct query *q, const struct ip *client)
{
    for (size_t i = 0; i < r->n_policies; i++)
        if (type_fits(&r->policies[i], q->msg.q.type) && net_fits(&r->policies[i], client))
            return r->policies[i].action;
    return ACL_NONE;
}

/* The reason goes into an OPT record, which clients without EDNS get, too: the reference's do. */
static enum step refuse(struct query *q, enum rcode rcode, uint16_t reason)
{
    struct edns *edns = &q->reply.edns;
    uint8_t *option = arena_alloc(&q->arena, 6);
    put_u16(option, EDNS_EDE);
    put_u16(option + 2, 2);
    put_u16(option + 4, reason);
    if (!edns->present)
        *edns = (struct edns){ .present = true, .udp_size = ACL_UDP_SIZE };
    edns->do_bit = true;
    edns->options = option;
    edns->options_len = 6;
    q->reply.rcode = rcode;
    return STEP_DONE;
}

static enum step acl_in(struct query *q, void *conf)
{
    const struct acl *a = conf;
    struct ip client = query_client(q);
    for (size_t i = 0; i < a->n_rules; i++) {
        const struct rule *r = &a->rules[i];
        int zone = zone_set_find(r->zones, &q->msg.q);
        enum action action = zone < 0 ? ACL_NONE : decide(r, q, &client);
        if (action == ACL_ALLOW)
            break;
        if (action == ACL_NONE)
            continue;
        count(q, a, r, zone, action);
        if (action == ACL_DROP)
            return STEP_DROP;
        return action == ACL_BLOCK ? refuse(q, RCODE_REFUSED, EDE_BLOCKED)
                                   : refuse(q, RCODE_NOERROR, EDE_FILTERED);
    }
    metric_add(a->counts[q->route->id]->allowed, 1);
    return STEP_NEXT;
}

/* ---- set-up ---- */

static int by_first(const void *a, const void *b)
{
    return ip_compare(&((const struct range *)a)->first, &((const struct range *)b)->first);
}

static void merge_ranges(struct policy *p)
{
    size_t n = 0;
    if (p->n_ranges)
        qsort(p->ranges, p->n_ranges, sizeof *p->ranges, by_first);
    for (size_t i = 0; i < p->n_ranges; i++) {
        struct range *last = n ? &p->ranges[n - 1] : NULL;
        if (!last || ip_compare(&p->ranges[i].first, &last->last) > 0)
            p->ranges[n++] = p->ranges[i];
        else if (ip_compare(&p->ranges[i].last, &last->last) > 0)
            last->last = p->ranges[i].last;
    }
    p->n_ranges = n;
}

static struct range range_of(const struct ip_prefix *net)
{
    struct range r = { net->ip, net->ip };
    for (size_t bit = net->bits; bit < 8 * ip_len(&net->ip); bit++)
        r.last.bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
    return r;
}

static int read_net(struct policy *p, const char *word, const struct dispenser *d, struct err *e)
{
    struct ip_prefix net;
    if (strcmp(word, "*") == 0) {
        p->any_net = true;
        return 0;
    }
    if (ip_parse(word, &net.ip) == 0)
        net.bits = (uint8_t)(8 * ip_len(&net.ip));
    else if (ip_prefix_parse(word, &net) < 0)
        return dispenser_err(d, e, "illegal CIDR notation \"%s\"", word);
    p->ranges[p->n_ranges++] = range_of(&net);
    return 0;
}

static int read_type(struct policy *p, const char *word, const struct dispenser *d, struct err *e)
{
    if (strcmp(word, "*") == 0)
        p->any_type = true;
    else if (rr_type_from_text(word, &p->types[p->n_types]) < 0)
        return dispenser_err(d, e, "unexpected token \"%s\"; expect legal QTYPE", word);
    else
        p->n_types++;
    return 0;
}

/* What a line does not name counts as all of it. */
static void settle(struct policy *p)
{
    p->any_type |= p->n_types == 0;
    p->any_net |= p->n_ranges == 0;
    merge_ranges(p);
}

/* "type TYPE..." and "net NET...", in any order and as often as one likes. */
static int read_sections(struct policy *p, struct arena *a, struct dispenser *d, struct err *e)
{
    const char **words, *section = NULL;
    size_t n = dispenser_rest(d, a, &words), in_section = 1;
    p->types = arena_alloc(a, n * sizeof *p->types);
    p->ranges = arena_alloc(a, n * sizeof *p->ranges);
    for (size_t i = 0; i < n; i++) {
        const char *word = words[i];
        if (strcasecmp(word, "type") == 0 || strcasecmp(word, "net") == 0) {
            if (!in_section)
                break;
            section = word;
            in_section = 0;
            continue;
        }
        if (!section)
            return dispenser_err(d, e, "unexpected token \"%s\"; expect 'type | net'", word);
        in_section++;
        int ret =
            strcasecmp(section, "net") == 0 ? read_net(p, word, d, e) : read_type(p, word, d, e);
        if (ret < 0)
            return ret;
    }
    if (!in_section)
        return dispenser_err(d, e, "no token specified in \"%s\" section", section);
    settle(p);
    return 0;
}

static int read_line(struct rule *r, struct arena *a, struct dispenser *d, struct err *e)
{
    static const char *const names[] = {
        [ACL_BLOCK] = "block", [ACL_FILTER] = "filter", [ACL_DROP] = "drop", [ACL_ALLOW] = "allow"
    };
    struct policy *all = arena_alloc(a, (r->n_policies + 1) * sizeof *all);
    struct policy *p = &all[r->n_policies];
    *p = (struct policy){ .action = ACL_NONE };
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        if (strcasecmp(dispenser_val(d), names[i]) == 0)
            p->action = (enum action)i;
    if (p->action == ACL_NONE)
        return dispenser_err(d, e,
                             "unexpected token \"%s\"; expect 'allow', 'block', 'filter' or 'drop'",
                             dispenser_val(d));
    if (r->n_policies)
        memcpy(all, r->policies, r->n_policies * sizeof *all);
    r->policies = all;
    r->n_policies++;
    return read_sections(p, a, d, e);
}

static int read_rule(struct rule *r, struct setup *s, struct dispenser *d, struct err *e)
{
    struct zone_list zones = { 0 };
    while (dispenser_next_arg(d))
        if (zone_expand(dispenser_val(d), setup_arena(s), &zones, e) < 0)
            return dispenser_err(d, e, "%s", e->text);
    if (!zones.n)
        zones = setup_zones(s);
    r->zones = zone_set_new(setup_arena(s), &zones);
    while (dispenser_next_block(d)) {
        int ret = read_line(r, setup_arena(s), d, e);
        if (ret < 0)
            return ret;
    }
    return 0;
}

static int acl_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    struct acl *a = arena_zalloc(setup_arena(s), sizeof *a);
    struct dispenser ahead = *d;
    size_t n = 0;
    while (dispenser_next_directive(&ahead))
        n++;
    a->rules = arena_zalloc(setup_arena(s), n * sizeof *a->rules);
    a->config = setup_config(s);
    a->block = setup_block(s);
    a->arena = setup_arena(s);
    while (dispenser_next_directive(d)) {
        struct rule *r = &a->rules[a->n_rules++];
        int ret = read_rule(r, s, d, e);
        if (ret < 0)
            return ret;
        r->first_count = a->n_zones;
        a->n_zones += zone_set_count(r->zones);
    }
    setup_in(s, acl_in, a);
    setup_start(s, acl_start, a);
    return 0;
}

/* ---- why ---- */

static void acl_why_after(struct query *q, void *conf, enum step step, struct why_words *w)
{
    static const char *const names[] = { "block", "filter", "drop", "allow" };
    const struct acl *a = conf;
    struct ip client = query_client(q);
    char text[IP_TEXT_MAX];
    (void)step;
    (void)ip_text(&client, text);
    for (size_t i = 0; i < a->n_rules; i++) {
        const struct rule *r = &a->rules[i];
        if (zone_set_find(r->zones, &q->msg.q) < 0)
            continue;
        for (size_t k = 0; k < r->n_policies; k++) {
            const struct policy *p = &r->policies[k];
            if (!type_fits(p, q->msg.q.type) || !net_fits(p, &client))
                continue;
            why_say(w, "rule", "%s: line %zu of acl %zu, for the client %s", names[p->action],
                    k + 1, i + 1, text);
            return;
        }
    }
    why_say(w, "rule", "none fits the client %s", text);
}

static const struct plugin_why acl_why = { .after = acl_why_after };

const struct plugin plugin_acl = {
    .name = "acl", .setup = acl_setup, .repeatable = true, .why = &acl_why
};
