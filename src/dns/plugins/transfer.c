/* `transfer [ZONES...] { to ADDRESS|*... ; source IP }`: hands zones of this server block to
 * secondaries (AXFR, RFC 5936; IXFR, RFC 1995, answered with the whole zone or, when nothing is
 * new, its SOA). */
#include "dns/plugins/transfer.h"

#include <string.h>

#define MESSAGE_FILL 63000 /* bytes of records of one message, counted without compression */

struct out {
    struct query *q;
    struct arena arena; /* of the records that are not sent yet */
    size_t bytes;
    struct rrset soa; /* type 0: not seen yet */
    bool incremental, current;
    uint32_t serial; /* the client's */
    unsigned long records;
};

/* ---- records ---- */

static void flush(struct out *o)
{
    query_send_part(o->q);
    arena_reset(&o->arena);
    o->bytes = 0;
}

static void add_record(struct out *o, const struct rrset *rr, const uint8_t *rdata, size_t len)
{
    size_t bytes = name_wire_len(rr->owner) + 10 + len;
    if (o->bytes && o->bytes + bytes > MESSAGE_FILL)
        flush(o);
    uint8_t *copy = arena_alloc(&o->arena, 2 + len);
    put_u16(copy, (uint16_t)len);
    memcpy(copy + 2, rdata, len);
    struct rrset one = *rr;
    one.owner = arena_memdup(&o->arena, rr->owner, name_wire_len(rr->owner));
    one.rdata = copy;
    one.rdlen = 0;
    one.count = 1;
    query_add(o->q, SECTION_ANSWER, one);
    o->bytes += bytes;
    o->records++;
}

static bool add_rrset(void *ctx, const struct rrset *rr)
{
    struct out *o = ctx;
    const uint8_t *at = rr->rdata;
    if (!o->soa.type) {
        o->soa = rrset_dup(&o->q->arena, rr);
        size_t len = get_u16(rr->rdata);
        o->current = o->incremental && get_u32(rr->rdata + 2 + len - 20) == o->serial;
    }
    for (uint16_t i = 0; i < rr->count; i++) {
        size_t len;
        const uint8_t *rdata = rrset_next(rr, &at, &len);
        add_record(o, rr, rdata, len);
    }
    return !o->current;
}

/* ---- the step ---- */

/* The serial of the SOA that an IXFR question carries. */
static bool read_serial(const struct query *q, uint32_t *ret)
{
    struct name owner;
    const struct query_msg *m = q->asked ? q->asked : &q->msg; /* `rewrite` leaves it out */
    struct cursor c = cursor_of(m->raw, m->raw_len);
    uint8_t rdata[2 * NAME_MAX_WIRE + 20];
    struct wbuf w = wbuf_of(rdata, sizeof rdata);
    if (!m->authority_off)
        return false;
    c.pos = m->authority_off;
    if (name_parse(&c, &owner) < 0 || cursor_u16(&c) != RR_SOA)
        return false;
    (void)cursor_u16(&c);
    (void)cursor_u32(&c);
    uint16_t len = cursor_u16(&c);
    if (c.bad || rdata_expand(&c, RR_SOA, len, &w) < 0 || w.bad || w.pos < 20)
        return false;
    *ret = get_u32(rdata + w.pos - 20);
    return true;
}

static bool is_allowed(const struct transfer_rule *rule, const struct ip *client)
{
    for (size_t i = 0; i < rule->n; i++)
        if (!rule->to[i].ip.family || ip_equal(&rule->to[i].ip, client))
            return true;
    return false;
}

static void log_transfer(const struct out *o)
{
    struct ip ip = query_client(o->q);
    char client[IP_TEXT_MAX], zone[NAME_TEXT_MAX];
    uint32_t serial = get_u32(o->soa.rdata + 2 + get_u16(o->soa.rdata) - 20);
    log_info("plugin/transfer: Outgoing %s of %lu records of zone \"%s\" to %s for %u SOA serial",
             o->current ? "incremental transfer" : "transfer", o->records,
             name_to_text(o->q->msg.q.lower, zone), ip_text(&ip, client), serial);
}

/* The last message is sent by the server, so what it holds moves to the query. */
static enum step finish(struct out *o)
{
    struct rrset_list *answer = &o->q->reply.section[SECTION_ANSWER];
    if (!o->current)
        (void)add_rrset(o, &o->soa);
    for (uint16_t i = 0; i < answer->n; i++)
        answer->items[i] = rrset_dup(&o->q->arena, &answer->items[i]);
    o->q->reply.flags |= FLAG_AA;
    log_transfer(o);
    arena_done(&o->arena);
    return STEP_DONE;
}

static enum step hand_out(struct query *q, const struct transfer *t, struct out *o)
{
    q->reply.flags |= FLAG_AA;
    for (unsigned i = 0; i < t->shared.n; i++) {
        int code = t->shared.providers[i].fn(q, t->shared.providers[i].conf, add_rrset, o);
        if (code == ERR_NOT_FOUND)
            continue;
        if (code == 0 && o->soa.type)
            return finish(o);
        arena_done(&o->arena);
        return query_fail(q, RCODE_SERVFAIL, "plugin/transfer: the zone cannot be handed out: %s",
                          err_str(code));
    }
    q->reply.flags &= (uint16_t)~FLAG_AA;
    arena_done(&o->arena);
    return STEP_NEXT;
}

static enum step transfer_in(struct query *q, void *conf)
{
    const struct transfer *t = conf;
    uint16_t type = q->msg.q.type;
    struct out o = { .q = q, .incremental = type == RR_IXFR };
    struct ip client = query_client(q);
    if (type != RR_AXFR && type != RR_IXFR)
        return STEP_NEXT;
    if (!query_takes_parts(q))
        return query_fail(q, RCODE_REFUSED, NULL);
    int zone = zone_set_find(t->zones, &q->msg.q);
    if (zone < 0)
        return STEP_NEXT;
    if (!is_allowed(t->rules[zone], &client))
        return query_fail(q, RCODE_REFUSED, NULL);
    if (o.incremental && !read_serial(q, &o.serial))
        return query_fail(q, RCODE_SERVFAIL, NULL);
    arena_init(&o.arena, 2 * MESSAGE_FILL);
    return hand_out(q, t, &o);
}

/* ---- set-up ---- */

static int opt_to(struct transfer_rule *rule, struct arena *a, struct dispenser *d, struct err *e)
{
    const char **args;
    size_t n = dispenser_rest(d, a, &args);
    if (n == 0)
        return dispenser_arg_err(d, e);
    struct transfer_target *to = arena_zalloc(a, (rule->n + n) * sizeof *to);
    if (rule->n)
        memcpy(to, rule->to, rule->n * sizeof *to);
    for (size_t i = 0; i < n; i++)
        if (strcmp(args[i], "*") != 0 &&
            ip_port_parse(args[i], 53, &to[rule->n + i].ip, &to[rule->n + i].port) < 0)
            return dispenser_err(d, e, "'to' takes addresses and *, not '%s'", args[i]);
    rule->to = to;
    rule->n += n;
    return 0;
}

static int opt_source(struct transfer_rule *rule, struct dispenser *d, struct err *e)
{
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    if (ip_parse(dispenser_val(d), &rule->source) < 0)
        return dispenser_err(d, e, "'source' takes an address, not '%s'", dispenser_val(d));
    return dispenser_end(d, e);
}

static int read_directive(struct transfer *t, struct setup *s, struct dispenser *d, struct err *e)
{
    struct arena *a = setup_arena(s);
    struct zone_list zones = { 0 };
    struct transfer_rule *rule = arena_zalloc(a, sizeof *rule);
    int code = 0;
    while (dispenser_next_arg(d))
        if (zone_expand(dispenser_val(d), a, &zones, e) < 0)
            return dispenser_err(d, e, "%s", e->text);
    if (zones.n == 0)
        zones = setup_zones(s);
    while (code == 0 && dispenser_next_block(d)) {
        if (strcmp(dispenser_val(d), "to") == 0)
            code = opt_to(rule, a, d, e);
        else if (strcmp(dispenser_val(d), "source") == 0)
            code = opt_source(rule, d, e);
        else
            code = dispenser_unknown(d, e);
    }
    if (code == 0 && rule->n == 0)
        code = dispenser_err(d, e, "'to' is required");
    for (size_t i = 0; code == 0 && i < zones.n; i++) {
        t->names.items = xrealloc(t->names.items, (t->names.n + 1) * sizeof(char *));
        t->rules = xrealloc(t->rules, (t->names.n + 1) * sizeof(struct transfer_rule *));
        t->names.items[t->names.n] = zones.items[i];
        t->rules[t->names.n++] = rule;
    }
    return code;
}

static void transfer_stop(void *conf)
{
    struct transfer *t = conf;
    transfer_notify_stop(t);
    free(t->names.items);
    free(t->rules);
}

static int transfer_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    struct transfer *t = arena_zalloc(setup_arena(s), sizeof *t);
    int code = 0;
    t->loop = setup_loop(s);
    t->shared.notify = transfer_notify;
    t->shared.conf = t;
    setup_stop(s, transfer_stop, t);
    while (code == 0 && dispenser_next_directive(d))
        code = read_directive(t, s, d, e);
    if (code < 0)
        return code;
    t->zones = zone_set_new(setup_arena(s), &t->names);
    offers_add(setup_offers(s), "transfer", &t->shared);
    setup_in(s, transfer_in, t);
    return 0;
}

const struct plugin plugin_transfer = {
    .name = "transfer", .setup = transfer_setup, .repeatable = true, .outward = true
};
