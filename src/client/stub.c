#include "client/stub.h"

#include "base/clock.h"
#include "base/rand.h"
#include "client/ask.h"
#include "client/hostsfile.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <string.h>

#define CHAIN_MAX 16 /* CNAMEs followed in one reply */

int personality_from_text(const char *text, enum personality *ret, struct err *e)
{
    static const char *const later[] = { "musl", "go" };
    if (str_eq(text, "glibc")) {
        *ret = AS_GLIBC;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(later); i++) {
        if (str_eq(text, later[i]))
            return err_set(e, ERR_UNSUPPORTED,
                           "looking up as %s is not offered; only glibc's way is", text);
    }
    return err_set(e, ERR_INVALID, "\"%s\" is no resolver known here; use glibc", text);
}

void stub_init(struct stub *s, enum personality as, const struct stub_conf *conf, const char *hosts)
{
    (void)as; /* there is one so far */
    *s = (struct stub){
        .conf = conf,
        .hosts = hosts,
        .one_by_one = conf->single_request || conf->single_request_reopen,
        .new_socket_each = conf->single_request_reopen,
        .rotation = (unsigned)(rand_seed() & 0xffff),
    };
}

const char *stub_error_name(int error)
{
    switch (error) {
    case 0:
        return "";
    case EAI_NONAME:
        return "EAI_NONAME";
    case EAI_NODATA:
        return "EAI_NODATA";
    case EAI_AGAIN:
        return "EAI_AGAIN";
    default:
        return "EAI_FAIL";
    }
}

const char *stub_error_text(int error)
{
    return gai_strerror(error);
}

/* getaddrinfo() has no word for NO_RECOVERY: to it the name does not exist. */
static int eai_of(enum walk_error error, bool address)
{
    static const int errors[] = {
        [WALK_OK] = 0,
        [WALK_HOST_NOT_FOUND] = EAI_NONAME,
        [WALK_TRY_AGAIN] = EAI_AGAIN,
        [WALK_NO_RECOVERY] = EAI_FAIL,
        [WALK_NO_DATA] = EAI_NODATA,
    };
    return error == WALK_NO_RECOVERY && address ? EAI_NONAME : errors[error];
}

static void add_ip(struct stub_result *r, struct arena *a, const struct ip *ip)
{
    if (r->n_ips == r->ips_capacity) {
        size_t capacity = r->ips_capacity ? 2 * r->ips_capacity : 8;
        struct ip *ips = arena_alloc(a, capacity * sizeof *ips);
        if (r->n_ips)
            memcpy(ips, r->ips, r->n_ips * sizeof *ips);
        r->ips = ips;
        r->ips_capacity = capacity;
    }
    r->ips[r->n_ips++] = *ip;
}

static struct stub_candidate *add_candidate(struct stub_result *r, struct arena *a)
{
    if (r->n_candidates == r->candidates_capacity) {
        size_t capacity = r->candidates_capacity ? 2 * r->candidates_capacity : 8;
        struct stub_candidate *c = arena_alloc(a, capacity * sizeof *c);
        if (r->n_candidates)
            memcpy(c, r->candidates, r->n_candidates * sizeof *c);
        r->candidates = c;
        r->candidates_capacity = capacity;
    }
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
        add_ip(r, a, &ip);
    }
}

static void take_reply(struct stub_result *r, struct arena *a, const struct ask_reply *reply)
{
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
            take_record(r, a, &m, s, rdata, len, at_end);
        }
    }
    if (!r->canonical && l->n) {
        char text[NAME_TEXT_MAX];
        r->canonical = arena_strdup(a, name_to_text(end, text));
    }
}

/* A reply with rdata for none of our types (an alias that leads nowhere): the walk is over, and the
 * C library says that there is no such name. */
static void finish(struct stub_result *r, const struct walk *w, uint16_t type)
{
    bool address = type == STUB_ADDRESS || type == RR_A || type == RR_AAAA;
    r->error = eai_of(walk_error(w), address);
    if (r->error == 0 && address && r->n_ips == 0)
        r->error = EAI_NONAME;
}

static void start_ask(struct ask *q, struct stub *s, uint16_t type)
{
    bool both = type == STUB_ADDRESS && !s->conf->no_aaaa;
    q->stub = s;
    q->n = both ? 2 : 1;
    q->types[0] = type == STUB_ADDRESS ? RR_A : type;
    q->types[1] = RR_AAAA;
}

static enum walk_outcome try_candidate(struct ask *proto, const char *text, struct stub_result *r)
{
    struct ask q = *proto;
    struct name name;
    enum walk_outcome o = WALK_BAD;
    struct stub_candidate *c = add_candidate(r, q.arena);
    *c = (struct stub_candidate){ .name = text, .first_query = r->n_queries };
    q.candidate = (unsigned)(r->n_candidates - 1);
    if (name_from_text(text, &name) == 0)
        o = ask_run(&q, &name);
    c->outcome = o;
    c->n_queries = r->n_queries - c->first_query;
    if (o == WALK_FOUND) {
        r->won = (int)q.candidate;
        for (unsigned i = 0; i < q.n_replies; i++)
            take_reply(r, q.arena, &q.replies[i]);
    }
    return o;
}

/* glibc sends no query for an address of anything else: letters, digits, "-" and "_", and no "-" at
 * the start of the name. (Names of the hosts file may be what they like.) */
static bool is_host_name(const char *text)
{
    struct name name;
    if (name_from_text(text, &name) < 0)
        return false;
    for (unsigned i = 0; i < name.n_labels; i++) {
        const uint8_t *label = name.wire + name.off[i];
        for (unsigned j = 1; j <= label[0]; j++) {
            uint8_t c = label[j];
            bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
            bool good = letter || (c >= '0' && c <= '9') || c == '-' || c == '_';
            if (!good || (c == '-' && i == 0 && j == 1))
                return false;
        }
    }
    return true;
}

static void ask_dns(struct stub *s, const char *name, uint16_t type, struct arena *a,
                    struct stub_result *r)
{
    struct ask proto = { .arena = a, .result = r, .start_ns = clock_ns() };
    struct walk w;
    const char *candidate;
    start_ask(&proto, s, type);
    proto.buffer = arena_alloc(a, MSG_MAX);
    walk_init(&w, name, s->conf, a);
    while ((candidate = walk_next(&w)))
        walk_report(&w, try_candidate(&proto, candidate, r));
    finish(r, &w, type);
}

static bool is_literal(const char *name, struct ip *ret)
{
    struct in_addr four;
    if (!inet_aton(name, &four) || strpbrk(name, " \t\n"))
        return ip_parse(name, ret) == 0;
    *ret = (struct ip){ .family = 4 };
    memcpy(ret->bytes, &four, 4);
    return true;
}

/* What getaddrinfo() answers without DNS. */
static bool find_locally(const struct stub *s, const char *name, uint8_t family, struct arena *a,
                         struct stub_result *r)
{
    struct hosts_match m;
    struct ip ip;
    if (is_literal(name, &ip)) {
        r->source = STUB_FROM_LITERAL;
        if (family == 0 || family == ip.family)
            add_ip(r, a, &ip);
        else
            r->error = EAI_NONAME;
        return true;
    }
    if (!s->hosts || hostsfile_find(s->hosts, name, family, a, &m) < 0)
        return false;
    r->source = STUB_FROM_FILES;
    r->canonical = m.canonical;
    for (size_t i = 0; i < m.n; i++)
        add_ip(r, a, &m.ips[i]);
    return true;
}

int stub_lookup(struct stub *s, const char *name, uint16_t type, struct arena *a,
                struct stub_result *ret, struct err *e)
{
    struct stub_result r = { .won = -1 };
    bool address = type == STUB_ADDRESS || type == RR_A || type == RR_AAAA;
    uint8_t family = type == RR_A ? 4 : type == RR_AAAA ? 6 : 0;
    int64_t start = clock_ns();
    if (!*name || strlen(name) >= NAME_TEXT_MAX)
        return err_set(e, ERR_INVALID, "\"%.64s\" is no name to look up: it is %s", name,
                       *name ? "too long" : "empty");
    bool found = address && find_locally(s, name, family, a, &r);
    r.not_host = address && !found && !is_host_name(name);
    if (r.not_host)
        r.error = EAI_NONAME;
    else if (!found)
        ask_dns(s, name, type, a, &r);
    r.time_us = (clock_ns() - start) / 1000;
    *ret = r;
    return 0;
}
