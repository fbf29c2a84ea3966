/* `local { localhost_prefix on|off }`: answers for names that never leave a host (RFC 6303, RFC
 * 6761): localhost and what is below it, the reverse zones 0, 127 and 255, and localhost.X, which
 * search lists make of localhost. */
#include "dns/plugin.h"

#include <string.h>

#define LOCAL_TTL 604800 /* a week */

struct local {
    bool prefix; /* localhost.X as well */
    metric requests;
};

/* All in the wire's form, lower case; what is rdata of a type with names has its length in front.
 */
static const char localhost[] = "\011localhost";
static const char own_address[] = "\0011\0010\0010\003127\007in-addr\004arpa";
static const char *const zones[] = { "\011localhost", "\0010\007in-addr\004arpa",
                                     "\003127\007in-addr\004arpa", "\003255\007in-addr\004arpa" };
static const uint8_t soa_rdata[] = "\000\057\011localhost\000\004root\011localhost\000"
                                   "\000\000\000\001\000\000\000\000\000\000\000\000"
                                   "\000\000\000\000\000\011\072\200";
static const uint8_t name_rdata[] = "\000\013\011localhost\000";
static const uint8_t address4[] = { 127, 0, 0, 1 };
static const uint8_t address6[16] = { [15] = 1 };

/* NULL owner: the question's name. */
static void add(struct query *q, enum section s, const uint8_t *owner, uint16_t type,
                uint16_t rdlen, const uint8_t *rdata)
{
    query_add(q, s,
              (struct rrset){ .owner = owner,
                              .type = type,
                              .class = CLASS_IN,
                              .ttl = LOCAL_TTL,
                              .count = 1,
                              .rdlen = rdlen,
                              .rdata = rdata });
}

static enum step no_data(struct query *q, const uint8_t *owner)
{
    add(q, SECTION_AUTHORITY, owner, RR_SOA, 0, soa_rdata);
    return STEP_DONE;
}

static bool add_address(struct query *q)
{
    if (q->msg.q.type == RR_A)
        add(q, SECTION_ANSWER, NULL, RR_A, sizeof address4, address4);
    else if (q->msg.q.type == RR_AAAA)
        add(q, SECTION_ANSWER, NULL, RR_AAAA, sizeof address6, address6);
    else
        return false;
    return true;
}

/* Below localhost, or localhost.X: addresses and nothing else. */
static enum step answer_host(struct query *q, const struct local *l)
{
    metric_add(l->requests, 1);
    return add_address(q) ? STEP_DONE : no_data(q, NULL);
}

static enum step answer_apex(struct query *q, bool is_localhost)
{
    if (q->msg.q.type == RR_SOA)
        add(q, SECTION_ANSWER, NULL, RR_SOA, 0, soa_rdata);
    else if (q->msg.q.type == RR_NS)
        add(q, SECTION_ANSWER, NULL, RR_NS, 0, name_rdata);
    else if (!is_localhost || !add_address(q))
        return no_data(q, NULL);
    return STEP_DONE;
}

/* Below a reverse zone there is one name only. */
static enum step answer_reverse(struct query *q, const uint8_t *zone)
{
    if (strcmp((const char *)q->msg.q.lower, own_address) != 0) {
        q->reply.rcode = RCODE_NXDOMAIN;
        return no_data(q, zone);
    }
    if (q->msg.q.type != RR_PTR)
        return no_data(q, zone);
    add(q, SECTION_ANSWER, NULL, RR_PTR, 0, name_rdata);
    return STEP_DONE;
}

/* The zone that the name is or lies below; NULL: none. */
static const char *zone_of(const struct question *q)
{
    for (size_t i = 0; i < ARRAY_SIZE(zones); i++) {
        size_t len = strlen(zones[i]) + 1;
        if (len <= q->name.len && memcmp(q->lower + q->name.len - len, zones[i], len) == 0 &&
            name_is_below(q->lower, (const uint8_t *)zones[i]))
            return zones[i];
    }
    return NULL;
}

static enum step local_in(struct query *q, void *conf)
{
    const struct local *l = conf;
    const struct question *question = &q->msg.q;
    bool first = memcmp(question->lower, localhost, sizeof localhost - 1) == 0;
    if (first && question->name.n_labels > 1 && l->prefix)
        return answer_host(q, l);
    const char *zone = zone_of(question);
    if (!zone)
        return STEP_NEXT;
    bool apex = question->name.len == strlen(zone) + 1;
    if (apex)
        return answer_apex(q, zone == zones[0]);
    if (zone == zones[0])
        return answer_host(q, l);
    return answer_reverse(q, (const uint8_t *)zone);
}

/* ---- set-up ---- */

static int read_option(struct local *l, struct dispenser *d, struct err *e)
{
    if (strcmp(dispenser_val(d), "localhost_prefix") != 0)
        return dispenser_unknown(d, e);
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    l->prefix = strcmp(dispenser_val(d), "on") == 0;
    if (!l->prefix && strcmp(dispenser_val(d), "off") != 0)
        return dispenser_err(d, e, "localhost_prefix expects 'on' or 'off', got \"%s\"",
                             dispenser_val(d));
    return dispenser_next_arg(d) ? dispenser_arg_err(d, e) : 0;
}

static int local_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    struct local *l = arena_zalloc(setup_arena(s), sizeof *l);
    l->prefix = true;
    dispenser_next_directive(d);
    if (dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    while (dispenser_next_block(d)) {
        int ret = read_option(l, d, e);
        if (ret < 0)
            return ret;
    }
    l->requests =
        metric_counter("coredns_local_localhost_requests_total",
                       "Queries for localhost with other labels before or behind it.", "");
    setup_in(s, local_in, l);
    return 0;
}

const struct plugin plugin_local = { .name = "local", .setup = local_setup };
