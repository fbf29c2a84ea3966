#include "client/stub.h"

#include "base/clock.h"
#include "base/rand.h"
#include "client/ask.h"

#include <string.h>

#define CHAIN_MAX 16 /* CNAMEs followed in one reply */

const struct way *const ways[] = {
    &way_glibc, &way_musl, &way_musl_old, &way_go, &way_cares, NULL
};

int way_from_text(const char *text, const struct way **ret, struct err *e)
{
    cleanup(strbuf_done) struct strbuf known = { 0 };
    for (size_t i = 0; ways[i]; i++) {
        if (str_eq(text, ways[i]->name)) {
            *ret = ways[i];
            return 0;
        }
        strbuf_printf(&known, "%s%s", i ? ", " : "", ways[i]->name);
    }
    return err_set(e, ERR_INVALID, "\"%s\" is no resolver known here; there are %s", text, known.p);
}

void stub_init(struct stub *s, const struct way *way, const struct stub_conf *conf,
               const char *hosts, const char *nsswitch)
{
    *s = (struct stub){
        .way = way,
        .conf = conf,
        .hosts = hosts,
        .nsswitch = nsswitch,
        .one_by_one = conf->single_request || conf->single_request_reopen,
        .new_socket_each = conf->single_request_reopen,
        .rotation = (unsigned)(rand_seed() & 0xffff),
    };
}

void stub_add_ip(struct stub_result *r, struct arena *a, const struct ip *ip)
{
    if (r->n_ips == r->ips_capacity)
        r->ips = arena_grow(a, r->ips, &r->ips_capacity, 8, sizeof *r->ips);
    r->ips[r->n_ips++] = *ip;
}

static struct stub_candidate *add_candidate(struct stub_result *r, struct arena *a)
{
    if (r->n_candidates == r->candidates_capacity)
        r->candidates =
            arena_grow(a, r->candidates, &r->candidates_capacity, 8, sizeof *r->candidates);
    return &r->candidates[r->n_candidates++];
}

static const uint8_t *owner_of(const struct msg *m, const struct rrset *s)
{
    return s->owner ? s->owner : m->q.name.wire;
}

/* Where the CNAMEs of a reply lead, from its question. */
static const uint8_t *chain_end(const struct msg *m)
{
    const struct rrset_list *l = &m->section[SECTION_ANSWER];
    const uint8_t *at = m->q.name.wire;
    for (unsigned steps = 0; steps < CHAIN_MAX; steps++) {
        const uint8_t *next = NULL;
        for (unsigned i = 0; i < l->n && !next; i++) {
            const struct rrset *s = &l->items[i];
            if (s->type == RR_CNAME && name_equal(owner_of(m, s), at))
                next = s->rdata + (s->rdlen ? 0 : 2);
        }
        if (!next)
            break;
        at = next;
    }
    return at;
}

static void take_record(struct stub_result *r, struct arena *a, const struct msg *m,
                        const struct rrset *s, const uint8_t *rdata, size_t len, bool at_end)
{
    cleanup(strbuf_done) struct strbuf text = { 0 };
    rr_to_text(owner_of(m, s), s->ttl, s->class, s->type, rdata, len, &text);
    for (char *p = text.p; p && *p; p++) /* zone files have tabs; a line for people has blanks */
        if (*p == '\t')
            *p = ' ';
    strlist_add(&r->records, a, arena_strdup(a, text.p ? text.p : ""));
    bool v4 = s->type == RR_A && len == 4, v6 = s->type == RR_AAAA && len == 16;
    if (at_end && s->type == m->q.type && (v4 || v6)) {
        struct ip ip = { .family = v4 ? 4 : 6 };
        memcpy(ip.bytes, rdata, len);
        stub_add_ip(r, a, &ip);
    }
}

static void take_reply(struct ask *q, const struct ask_reply *reply)
{
    struct stub_result *r = q->result;
    struct arena *a = q->arena;
    struct msg m;
    if (msg_parse(reply->bytes, reply->len, a, &m) < 0)
        return;
    const uint8_t *end = chain_end(&m);
    const struct rrset_list *l = &m.section[SECTION_ANSWER];
    for (unsigned i = 0; i < l->n; i++) {
        const struct rrset *s = &l->items[i];
        const uint8_t *at = s->rdata;
        bool at_end = name_equal(owner_of(&m, s), end);
        for (unsigned j = 0; j < s->count; j++) {
            size_t len;
            const uint8_t *rdata = rrset_next(s, &at, &len);
            take_record(r, a, &m, s, rdata, len, at_end && !q->took_ips);
        }
    }
    if (!r->canonical && l->n) {
        char text[NAME_TEXT_MAX];
        r->canonical = arena_strdup(a, name_to_text(end, text));
    }
}

static void start_ask(struct ask *q, struct stub *s, uint16_t type)
{
    bool both = type == STUB_ADDRESS && !s->conf->no_aaaa;
    q->stub = s;
    q->address = type == STUB_ADDRESS || type == RR_A || type == RR_AAAA;
    q->n = both ? 2 : 1;
    q->types[0] = type == STUB_ADDRESS ? RR_A : type;
    q->types[1] = RR_AAAA;
}

static enum walk_outcome try_candidate(struct ask *proto, const char *text, const char *as_is)
{
    struct ask q = *proto;
    struct stub_result *r = q.result;
    struct name name;
    struct stub_candidate *c = add_candidate(r, q.arena);
    *c = (struct stub_candidate){ .name = text, .first_query = r->n_queries };
    q.candidate = (unsigned)(r->n_candidates - 1);
    q.text = text;
    q.as_is = text == as_is;
    enum walk_outcome o = q.stub->way->ask(&q, name_from_text(text, &name) == 0 ? &name : NULL);
    c->outcome = o;
    c->n_queries = r->n_queries - c->first_query;
    if (o == WALK_FOUND) {
        r->won = (int)q.candidate;
        for (unsigned i = 0; i < q.n_replies; i++)
            take_reply(&q, &q.replies[i]);
    }
    return o;
}

static void ask_dns(struct stub *s, const char *name, uint16_t type, struct arena *a,
                    struct stub_result *r)
{
    const struct way *way = s->way;
    struct ask proto = { .arena = a, .result = r, .start_ns = clock_ns() };
    struct walk w;
    const char *candidate;
    start_ask(&proto, s, type);
    proto.buffer = arena_alloc(a, MSG_MAX);
    proto.state = way->open ? way->open(s, a) : NULL;
    r->error = way->no_source_error; /* unless somebody is asked */
    walk_init(&w, way->walk, name, s->conf, a);
    while ((candidate = walk_next(&w)))
        walk_report(&w, try_candidate(&proto, candidate, name));
    if (way->close)
        way->close(proto.state);
    if (r->won >= 0)
        r->error = 0;
    if (way->finish)
        way->finish(&w, type, r);
}

static bool find_in_hosts(const struct stub *s, const char *name, uint8_t family, struct arena *a,
                          struct stub_result *r)
{
    struct hosts_match m = { 0 };
    int rc = hostsfile_find(s->way->hosts, s->hosts ? s->hosts : "", name, family, a, &m);
    if (rc == ERR_NOT_FOUND)
        return false;
    r->source = STUB_FROM_FILES;
    r->error = rc < 0 ? s->way->hosts_error : 0;
    r->canonical = m.canonical;
    for (size_t i = 0; i < m.n; i++)
        stub_add_ip(r, a, &m.ips[i]);
    return true;
}

/* Go and c-ares take the loopback addresses from nowhere else. */
static void take_loopback(struct stub_result *r, uint8_t family, struct arena *a)
{
    static const struct ip ips[] = { { 4, { 127, 0, 0, 1 } }, { 6, { [15] = 1 } } };
    r->source = STUB_FROM_ITSELF;
    r->error = 0;
    for (size_t i = 0; i < ARRAY_SIZE(ips); i++) {
        if (family == 0 || family == ips[i].family)
            stub_add_ip(r, a, &ips[i]);
    }
}

static bool take_literal(const struct stub *s, const char *name, uint8_t family, struct arena *a,
                         struct stub_result *r)
{
    struct ip ip;
    if (!s->way->is_literal(name, &ip))
        return false;
    r->source = STUB_FROM_LITERAL;
    if (family == 0 || family == ip.family)
        stub_add_ip(r, a, &ip);
    else
        r->error = s->way->literal_error;
    return true;
}

/* What it had to say, as nsswitch.conf counts. */
static enum nss_status try_files(struct stub *s, const char *name, uint8_t family, struct arena *a,
                                 struct stub_result *r)
{
    if (find_in_hosts(s, name, family, a, r))
        return NSS_SUCCESS;
    if (s->way->knows && s->way->knows(name)) {
        take_loopback(r, family, a);
        return NSS_SUCCESS;
    }
    return NSS_NOTFOUND;
}

static enum nss_status try_dns(struct stub *s, const char *name, uint16_t type, struct arena *a,
                               struct stub_result *r)
{
    bool address = type == STUB_ADDRESS || type == RR_A || type == RR_AAAA;
    if (s->way->knows && s->way->knows(name))
        return NSS_NOTFOUND;
    r->source = STUB_FROM_DNS;
    r->not_host = address && s->way->is_host_name && !s->way->is_host_name(name);
    if (r->not_host) {
        r->error = s->way->not_host_error;
        return NSS_NOTFOUND;
    }
    ask_dns(s, name, type, a, r);
    if (r->error == 0)
        return NSS_SUCCESS;
    enum walk_outcome last =
        r->n_candidates ? r->candidates[r->n_candidates - 1].outcome : WALK_NXDOMAIN;
    return last == WALK_NXDOMAIN || last == WALK_NODATA || last == WALK_BAD ? NSS_NOTFOUND
           : last == WALK_UNREACHABLE                                       ? NSS_UNAVAIL
                                                                            : NSS_TRYAGAIN;
}

static void try_sources(struct stub *s, const char *name, uint16_t type, struct arena *a,
                        struct stub_result *r)
{
    uint8_t family = type == RR_A ? 4 : type == RR_AAAA ? 6 : 0;
    struct nss_order order;
    s->way->order(s, a, &order);
    r->unknown = order.ignored;
    r->error = s->way->no_source_error;
    for (unsigned i = 0; i < order.n; i++) {
        enum nss_status status = NSS_UNAVAIL;
        if (order.steps[i].source == NSS_FILES)
            status = try_files(s, name, family, a, r);
        else if (order.steps[i].source == NSS_DNS)
            status = try_dns(s, name, type, a, r);
        else
            strlist_add(&r->unknown, a, order.steps[i].name);
        if (order.steps[i].returns & 1 << status)
            break;
    }
}

static void name_error(const struct way *way, struct arena *a, struct stub_result *r)
{
    r->error_name = r->error ? way->error_name(r->error) : "";
    if (r->error == 0)
        r->error_text = "";
    else if (!r->error_text)
        r->error_text = way->error_text(r->error, r->name, a);
}

int stub_lookup(struct stub *s, const char *name, uint16_t type, struct arena *a,
                struct stub_result *ret, struct err *e)
{
    struct stub_result r = { .name = name, .won = -1 };
    uint8_t family = type == RR_A ? 4 : type == RR_AAAA ? 6 : 0;
    bool address = type == STUB_ADDRESS || family;
    int64_t start = clock_ns();
    if (!*name || strlen(name) >= NAME_TEXT_MAX)
        return err_set(e, ERR_INVALID, "\"%.64s\" is no name to look up: it is %s", name,
                       *name ? "too long" : "empty");
    if (!address && s->way->only_addresses)
        return err_set(e, ERR_UNSUPPORTED, "%s of %s asks for addresses only: give type A or AAAA",
                       s->way->function, s->way->name);
    if (!address)
        (void)try_dns(s, name, type, a, &r);
    else if (!take_literal(s, name, family, a, &r))
        try_sources(s, name, type, a, &r);
    name_error(s->way, a, &r);
    r.time_us = (clock_ns() - start) / 1000;
    *ret = r;
    return 0;
}
