/* `dns64`: AAAA records made from A records, for clients that reach IPv4 through a translator (RFC
 * 6147; addresses: RFC 6052 section 2.2). */
#include "dns/plugin.h"

#include <string.h>

#define DNS64_TTL 600 /* upper limit where no SOA record names one (RFC 6147 section 5.1.7) */

struct dns64 {
    struct ip_prefix prefix;
    bool all;    /* whatever AAAA records there are */
    bool allow4; /* clients that ask by IPv4 as well */
    struct dns_config *config;
    metric *translated; /* by route */
    struct arena *arena;
};

/* ---- translation ---- */

/* The prefix and behind it the IPv4 address, which goes around bits 64 to 71: those stay zero. */
static void translate(const struct ip_prefix *prefix, const uint8_t v4[4], uint8_t out[16])
{
    unsigned at = prefix->bits / 8;
    memcpy(out, prefix->ip.bytes, 16);
    for (unsigned i = 0; i < 4; i++) {
        if (at == 8)
            at++;
        out[at++] = v4[i];
    }
}

static uint32_t ttl_limit(const struct query *q)
{
    const struct rrset_list *authority = &q->reply.section[SECTION_AUTHORITY];
    for (uint16_t i = 0; i < authority->n; i++)
        if (authority->items[i].type == RR_SOA)
            return authority->items[i].ttl;
    return DNS64_TTL;
}

static struct rrset translated_set(struct query *q, const struct dns64 *x, const struct rrset *from,
                                   uint32_t ttl)
{
    uint8_t *rdata = arena_alloc(&q->arena, (size_t)from->count * 16);
    struct rrset to = *from;
    const uint8_t *at = from->rdata;
    for (uint16_t i = 0; i < from->count; i++) {
        size_t len;
        translate(&x->prefix, rrset_next(from, &at, &len), rdata + (size_t)i * 16);
    }
    to.type = RR_AAAA;
    to.rdlen = 16;
    to.rdata = rdata;
    to.ttl = MIN(to.ttl, ttl);
    return to;
}

/* An A record of class IN has four bytes; others, by whatever way, are no addresses. */
static bool has_addresses(const struct rrset *rr)
{
    const uint8_t *at = rr->rdata;
    for (uint16_t i = 0; i < rr->count; i++) {
        size_t len;
        (void)rrset_next(rr, &at, &len);
        if (len != 4)
            return false;
    }
    return true;
}

static void take_section(struct query *q, const struct dns64 *x, const struct query *sub,
                         enum section s, uint32_t ttl)
{
    const struct rrset_list *from = &sub->reply.section[s];
    q->reply.section[s].n = 0;
    for (uint16_t i = 0; i < from->n; i++) {
        struct rrset rr = rrset_dup(&q->arena, &from->items[i]);
        if (s == SECTION_ANSWER && rr.type == RR_A && has_addresses(&rr))
            rr = translated_set(q, x, &rr, ttl);
        query_add(q, s, rr);
    }
}

/* A failed look-up for A records leaves what was known before. */
static enum step take_answer(struct query *q, void *conf, void *data)
{
    const struct dns64 *x = conf;
    const struct query *sub = data;
    uint32_t ttl = ttl_limit(q);
    if (sub->reply.rcode != RCODE_NOERROR)
        return STEP_DONE;
    for (int s = 0; s < SECTION_COUNT; s++)
        take_section(q, x, sub, (enum section)s, ttl);
    q->reply.rcode = RCODE_NOERROR;
    q->reply.flags &= (uint16_t) ~(FLAG_AA | FLAG_RA | FLAG_AD | FLAG_RD);
    if (flags_opcode(q->msg.flags) == OPCODE_QUERY) /* our own reply: `header` was further in */
        q->reply.flags |= q->msg.flags & FLAG_RD;
    q->reply.tc = sub->reply.tc;
    metric_add(x->translated[q->route->id], 1);
    return STEP_DONE;
}

/* ---- the hook ---- */

static bool has_aaaa(const struct rrset_list *l)
{
    for (uint16_t i = 0; i < l->n; i++)
        if (l->items[i].type == RR_AAAA)
            return true;
    return false;
}

static enum step dns64_out(struct query *q, void *conf)
{
    const struct dns64 *x = conf;
    if (q->msg.q.type != RR_AAAA || q->msg.q.class != CLASS_IN)
        return STEP_DONE;
    if (!x->allow4 && query_client(q).family == 4)
        return STEP_DONE;
    if (!x->all && has_aaaa(&q->reply.section[SECTION_ANSWER]))
        return STEP_DONE;
    if (q->reply.rcode == RCODE_NXDOMAIN)
        return STEP_DONE;
    return query_lookup(q, q->msg.q.name.wire, RR_A, take_answer, conf);
}

/* ---- set-up ---- */

static int read_prefix(struct dns64 *x, const struct dispenser *d, struct err *e)
{
    const char *text = dispenser_val(d);
    struct ip_prefix p;
    if (ip_prefix_parse(text, &p) < 0)
        return dispenser_err(d, e, "invalid CIDR address: %s", text);
    if (p.ip.family != 6)
        return dispenser_err(d, e, "the prefix must be an IPv6 one: %s", text);
    if (p.bits != 96 && (p.bits < 32 || p.bits > 64 || p.bits % 8))
        return dispenser_err(d, e, "the prefix must have 32, 40, 48, 56, 64 or 96 bits: %s", text);
    x->prefix = p;
    return 0;
}

static int read_option(struct dns64 *x, struct dispenser *d, struct err *e)
{
    const char *word = dispenser_val(d);
    if (strcmp(word, "translate_all") == 0) {
        x->all = true;
    } else if (strcmp(word, "allow_ipv4") == 0) {
        x->allow4 = true;
    } else if (strcmp(word, "prefix") == 0) {
        if (!dispenser_next_arg(d))
            return dispenser_arg_err(d, e);
        int ret = read_prefix(x, d, e);
        if (ret < 0)
            return ret;
    } else {
        return dispenser_unknown(d, e);
    }
    return dispenser_next_arg(d) ? dispenser_arg_err(d, e) : 0;
}

static int read_options(struct dns64 *x, struct dispenser *d, struct err *e)
{
    while (dispenser_next_block(d)) {
        int ret = read_option(x, d, e);
        if (ret < 0)
            return ret;
    }
    return 0;
}

/* The reference reads its options only where no prefix stands on the first line. */
static int read_line(struct dns64 *x, struct dispenser *d, struct err *e)
{
    if (!dispenser_next_arg(d))
        return read_options(x, d, e);
    int ret = read_prefix(x, d, e);
    if (ret < 0)
        return ret;
    if (dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    struct dns64 ignored = *x;
    const struct token *at = dispenser_token(d);
    size_t before = d->i;
    ret = read_options(&ignored, d, e);
    if (ret == 0 && d->i != before)
        log_warning("plugin/dns64: %s:%d: options behind a prefix have no effect; put the prefix "
                    "into the block",
                    at->file, at->line);
    return ret;
}

static int dns64_start(void *conf, struct err *e)
{
    struct dns64 *x = conf;
    unsigned n;
    const struct route *const *routes = dns_config_routes(x->config, &n);
    (void)e;
    x->translated = arena_zalloc(x->arena, n * sizeof *x->translated);
    for (unsigned i = 0; i < n; i++)
        x->translated[i] = metric_counter(
            "coredns_dns64_requests_translated_total", "Queries answered from A records by dns64.",
            arena_printf(x->arena, "server=\"%s\"", routes[i]->server));
    return 0;
}

static int dns64_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    struct dns64 *x = arena_zalloc(setup_arena(s), sizeof *x);
    x->config = setup_config(s);
    x->arena = setup_arena(s);
    x->prefix = (struct ip_prefix){ .ip = { 6, { 0, 0x64, 0xff, 0x9b } }, .bits = 96 };
    dispenser_next_directive(d);
    int ret = read_line(x, d, e);
    if (ret < 0)
        return ret;
    setup_out_step(s, dns64_out, x);
    setup_start(s, dns64_start, x);
    return 0;
}

const struct plugin plugin_dns64 = { .name = "dns64", .setup = dns64_setup };
