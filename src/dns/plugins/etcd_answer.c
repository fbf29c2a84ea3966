/* Records of `etcd`.
 *
 * An answer is planned first, as a list of records and look-ups of host names elsewhere; carrying
 * it out may have to wait, and the values must not be looked at any more then. So all that the plan
 * holds is in the query's arena. */
#include "base/hash.h"
#include "dns/plugins/etcd.h"
#include "dns/plugins/seen.h"

#include <math.h>
#include <string.h>

#define CHAIN_MAX   8 /* CNAMEs one behind the other */
#define SOA_REFRESH 7200
#define SOA_RETRY   1800
#define SOA_EXPIRE  86400

struct etcd_op {
    struct etcd_op *next;
    const uint8_t *lookup; /* a name to be looked up elsewhere; NULL: rr is a record */
    enum section section;  /* where it goes */
    uint16_t type;         /* of the look-up */
    bool no_cname;         /* of what the look-up brings */
    struct rrset rr;
};

/* ---- the plan ---- */

static struct etcd_op *add_op(struct etcd_query *e, enum section s)
{
    struct etcd_op *op = arena_zalloc(&e->q->arena, sizeof *op);
    op->section = s;
    *e->tail = op;
    e->tail = &op->next;
    e->n_ops++;
    return op;
}

static void add_rr(struct etcd_query *e, enum section s, const uint8_t *owner, uint16_t type,
                   uint32_t ttl, const void *rdata, uint16_t rdlen)
{
    add_op(e, s)->rr = (struct rrset){ .owner = owner,
                                       .rdata = arena_memdup(&e->q->arena, rdata, rdlen),
                                       .ttl = ttl,
                                       .type = type,
                                       .class = CLASS_IN,
                                       .count = 1,
                                       .rdlen = rdlen };
}

static void add_name(struct etcd_query *e, enum section s, const uint8_t *owner, uint16_t type,
                     uint32_t ttl, const uint8_t *target)
{
    add_rr(e, s, owner, type, ttl, target, name_wire_len(target));
}

static void add_lookup(struct etcd_query *e, enum section s, const uint8_t *name, uint16_t type,
                       bool no_cname)
{
    if (e->lookups++ == ETCD_LOOKUPS_MAX) {
        e->q->reply.tc = true;
        e->q->error = "plugin/etcd: more than 256 host names to be looked up for one answer";
    }
    if (e->lookups > ETCD_LOOKUPS_MAX)
        return;
    struct etcd_op *op = add_op(e, s);
    op->lookup = arena_memdup(&e->q->arena, name, name_wire_len(name));
    op->type = type;
    op->no_cname = no_cname;
}

static uint16_t address_type(const struct etcd_value *v)
{
    return v->kind == ETCD_HOST_V4 ? RR_A : v->kind == ETCD_HOST_V6 ? RR_AAAA : 0;
}

static void add_address(struct etcd_query *e, enum section s, const uint8_t *owner,
                        const struct etcd_value *v)
{
    add_rr(e, s, owner, address_type(v), etcd_ttl(e, v), v->ip.bytes, (uint16_t)ip_len(&v->ip));
}

static const uint8_t *keep_name(struct etcd_query *e, const uint8_t *name)
{
    return arena_memdup(&e->q->arena, name, name_wire_len(name));
}

/* ---- what has been said already ---- */

static uint64_t hash_of(const void *p, size_t n, uint64_t kind)
{
    return hash_bytes(p, n) + kind * 0x9e3779b97f4a7c15ULL;
}

/* A target with a port, or with an address. */
static uint64_t hash_target(const uint8_t *name, uint64_t kind)
{
    return hash_of(name, name_wire_len(name), kind);
}

static uint64_t hash_pair(const uint8_t *name, const struct etcd_value *v)
{
    return hash_target(name, 1ULL << 32) ^ hash_of(v->ip.bytes, ip_len(&v->ip), 1);
}

/* ---- addresses and text ---- */

/* The way to a name through CNAMEs. */
struct chain {
    const struct chain *before;
    const uint8_t *target;
    unsigned length;
};

static bool is_in_chain(const struct chain *c, const uint8_t *target)
{
    for (; c; c = c->before)
        if (name_equal(c->target, target))
            return true;
    return false;
}

static enum etcd_found addresses(struct etcd_query *e, enum section s, const uint8_t *name,
                                 const uint8_t *owner, uint16_t type, const struct chain *chain);

static void follow(struct etcd_query *e, enum section s, const uint8_t *name, const uint8_t *owner,
                   uint16_t type, const struct chain *chain, const struct etcd_value *v)
{
    struct chain here = { chain, v->host, chain ? chain->length + 1 : 1 };
    if (name_is_below(v->host, name) || here.length > CHAIN_MAX || is_in_chain(chain, v->host))
        return;
    if (e->n_ops > ETCD_WALK_MAX) { /* no message holds that many records */
        e->q->reply.tc = true;
        return;
    }
    struct etcd_op **before = e->tail;
    add_name(e, s, owner, RR_CNAME, etcd_ttl(e, v), v->host);
    struct etcd_op **behind = e->tail;
    if (!name_is_below(v->host, e->zone)) {
        add_lookup(e, s, v->host, type, false);
        return;
    }
    (void)addresses(e, s, v->host, keep_name(e, v->host), type, &here);
    if (e->tail == behind) { /* it leads nowhere */
        e->tail = before;
        *before = NULL;
        e->n_ops--;
    }
}

/* At the zone's own name, what stands at apex.dns comes first. */
static enum etcd_found services_or_apex(struct etcd_query *e, const uint8_t *name, uint16_t type,
                                        struct etcd_list *ret)
{
    static const uint8_t apex[] = "\004apex\003dns";
    uint8_t wire[sizeof apex + NAME_MAX_WIRE];
    size_t n = name_wire_len(e->zone);
    if (type != RR_TXT && name_equal(name, e->zone) && sizeof apex - 1 + n <= NAME_MAX_WIRE) {
        memcpy(wire, apex, sizeof apex - 1);
        memcpy(wire + sizeof apex - 1, e->zone, n);
        if (etcd_services(e, wire, type, false, ret) == ETCD_FOUND)
            return ETCD_FOUND;
    }
    return etcd_services(e, name, type, false, ret);
}

static void add_own(struct etcd_query *e, enum section s, const uint8_t *owner, uint16_t type,
                    const struct etcd_value *v, struct seen *seen)
{
    if (type == RR_TXT && v->kind == ETCD_HOST_TEXT && v->text_len) {
        if (seen_add(seen, hash_of(v->text, v->text_len, 2)))
            add_rr(e, s, owner, RR_TXT, etcd_ttl(e, v), v->text, (uint16_t)v->text_len);
    } else if (type == address_type(v) && seen_add(seen, hash_of(v->ip.bytes, ip_len(&v->ip), 3))) {
        add_address(e, s, owner, v);
    }
}

static enum etcd_found addresses(struct etcd_query *e, enum section s, const uint8_t *name,
                                 const uint8_t *owner, uint16_t type, const struct chain *chain)
{
    struct etcd_list list;
    enum etcd_found found = services_or_apex(e, name, type, &list);
    if (found != ETCD_FOUND)
        return found;
    struct seen seen = seen_new(&e->q->arena, list.n);
    e->q->reply.tc |= list.cut;
    for (size_t i = 0; i < list.n; i++) {
        if (list.items[i]->kind == ETCD_HOST_NAME)
            follow(e, s, name, owner, type, chain, list.items[i]);
        else
            add_own(e, s, owner, type, list.items[i], &seen);
    }
    return ETCD_FOUND;
}

/* ---- targets: SRV, MX, NS ---- */

/* A name without its first labels; whole when it has no more than that. */
static const uint8_t *strip(const uint8_t *name, uint32_t labels)
{
    if (labels >= name_wire_labels(name))
        return name;
    for (; labels; labels--)
        name += 1 + *name;
    return name;
}

/* The target's addresses, from here or from elsewhere. */
static void add_target_addresses(struct etcd_query *e, const uint8_t *target)
{
    if (name_is_below(target, e->zone)) {
        (void)addresses(e, SECTION_ADDITIONAL, target, keep_name(e, target), RR_A, NULL);
        return;
    }
    add_lookup(e, SECTION_ADDITIONAL, target, RR_A, false);
    add_lookup(e, SECTION_ADDITIONAL, target, RR_AAAA, true);
}

/* Weights are shares of a hundred among the values of one priority. */
struct weights {
    struct {
        uint16_t priority;
        bool used;
        int64_t sum;
    } * slots;
    size_t mask;
};

static int64_t *weight_sum(struct weights *w, uint16_t priority)
{
    size_t i = (size_t)(priority * 0x9e3779b1u) & w->mask;
    while (w->slots[i].used && w->slots[i].priority != priority)
        i = (i + 1) & w->mask;
    w->slots[i].used = true;
    w->slots[i].priority = priority;
    return &w->slots[i].sum;
}

static struct weights weigh(struct etcd_query *e, const struct etcd_list *l)
{
    size_t capacity = 8;
    while (capacity < 2 * l->n)
        capacity *= 2;
    struct weights w = { arena_zalloc(&e->q->arena, capacity * sizeof *w.slots), capacity - 1 };
    for (size_t i = 0; i < l->n; i++)
        *weight_sum(&w, l->items[i]->priority) += l->items[i]->weight ? l->items[i]->weight : 100;
    return w;
}

static uint16_t weight_of(struct weights *w, const struct etcd_value *v)
{
    double share = 100.0 / (double)*weight_sum(w, v->priority) * (v->weight ? v->weight : 100);
    return !(share >= 1) ? 1 : share > UINT16_MAX ? UINT16_MAX : (uint16_t)floor(share);
}

static void add_srv(struct etcd_query *e, const struct etcd_value *v, uint16_t weight,
                    const uint8_t *target)
{
    uint8_t rdata[6 + NAME_MAX_WIRE];
    size_t n = name_wire_len(target);
    put_u16(rdata, v->priority);
    put_u16(rdata + 2, weight);
    put_u16(rdata + 4, v->port);
    memcpy(rdata + 6, target, n);
    add_rr(e, SECTION_ANSWER, NULL, RR_SRV, etcd_ttl(e, v), rdata, (uint16_t)(6 + n));
}

static void add_mx(struct etcd_query *e, const struct etcd_value *v, const uint8_t *target)
{
    uint8_t rdata[2 + NAME_MAX_WIRE];
    size_t n = name_wire_len(target);
    put_u16(rdata, v->priority);
    memcpy(rdata + 2, target, n);
    add_rr(e, SECTION_ANSWER, NULL, RR_MX, etcd_ttl(e, v), rdata, (uint16_t)(2 + n));
}

static void srv_of(struct etcd_query *e, const struct etcd_value *v, uint16_t weight,
                   struct seen *seen)
{
    const uint8_t *name = v->kind == ETCD_HOST_NAME ? v->host : v->domain;
    if (v->no_port || !name || (v->kind != ETCD_HOST_NAME && !address_type(v)))
        return;
    const uint8_t *target = strip(name, v->strip);
    /* Values with the same host name are told apart, those that a strip made alike are not. */
    if (v->kind == ETCD_HOST_NAME || seen_add(seen, hash_target(target, v->port)))
        add_srv(e, v, weight, target);
    if (v->kind == ETCD_HOST_NAME) {
        if (seen_add(seen, hash_target(target, 2ULL << 32)))
            add_target_addresses(e, target);
    } else if (seen_add(seen, hash_pair(target, v))) {
        add_address(e, SECTION_ADDITIONAL, keep_name(e, target), v);
    }
}

static enum etcd_found plan_srv(struct etcd_query *e)
{
    struct etcd_list list;
    enum etcd_found found = etcd_services(e, e->q->msg.q.lower, RR_SRV, false, &list);
    if (found != ETCD_FOUND)
        return found;
    struct weights w = weigh(e, &list);
    struct seen seen = seen_new(&e->q->arena, 2 * list.n);
    e->q->reply.tc |= list.cut;
    for (size_t i = 0; i < list.n; i++)
        srv_of(e, list.items[i], weight_of(&w, list.items[i]), &seen);
    return ETCD_FOUND;
}

static void mx_of(struct etcd_query *e, const struct etcd_value *v, struct seen *seen)
{
    if (!v->mail)
        return;
    if (v->kind == ETCD_HOST_NAME) {
        const uint8_t *target = strip(v->host, v->strip);
        add_mx(e, v, target);
        if (seen_add(seen, hash_target(target, 2ULL << 32)))
            add_target_addresses(e, target);
    } else if (address_type(v) && v->domain) {
        const uint8_t *target = strip(v->domain, v->strip);
        if (seen_add(seen, hash_target(target, v->priority)))
            add_mx(e, v, target);
        if (seen_add(seen, hash_pair(v->domain, v))) /* the whole name, as in the reference */
            add_address(e, SECTION_ADDITIONAL, keep_name(e, v->domain), v);
    }
}

static enum etcd_found plan_mx(struct etcd_query *e)
{
    struct etcd_list list;
    enum etcd_found found = etcd_services(e, e->q->msg.q.lower, RR_MX, false, &list);
    if (found != ETCD_FOUND)
        return found;
    struct seen seen = seen_new(&e->q->arena, 2 * list.n);
    e->q->reply.tc |= list.cut;
    for (size_t i = 0; i < list.n; i++)
        mx_of(e, list.items[i], &seen);
    return ETCD_FOUND;
}

/* The zone's name servers stand at ns.dns. */
static enum etcd_found plan_ns(struct etcd_query *e)
{
    static const uint8_t ns[] = "\002ns\003dns";
    uint8_t wire[sizeof ns + NAME_MAX_WIRE];
    struct etcd_list list;
    size_t n = name_wire_len(e->zone);
    if (sizeof ns - 1 + n > NAME_MAX_WIRE)
        return ETCD_NO_SUCH_NAME;
    memcpy(wire, ns, sizeof ns - 1);
    memcpy(wire + sizeof ns - 1, e->zone, n);
    enum etcd_found found = etcd_services(e, wire, RR_NS, false, &list);
    if (found != ETCD_FOUND)
        return found;
    struct seen seen = seen_new(&e->q->arena, list.n);
    for (size_t i = 0; i < list.n; i++) {
        const struct etcd_value *v = list.items[i];
        if (v->kind == ETCD_HOST_NAME) {
            e->q->error = "plugin/etcd: NS record must be an IP address";
            return ETCD_BROKEN;
        }
        if (!address_type(v) || !v->domain)
            continue;
        const uint8_t *target = strip(v->domain, v->strip);
        add_address(e, SECTION_ADDITIONAL, keep_name(e, target), v);
        if (seen_add(&seen, hash_target(target, 0)))
            add_name(e, SECTION_ANSWER, NULL, RR_NS, etcd_ttl(e, v), target);
    }
    return ETCD_FOUND;
}

/* ---- one name: CNAME, PTR ---- */

static enum etcd_found plan_names(struct etcd_query *e, uint16_t type)
{
    struct etcd_list list;
    enum etcd_found found = etcd_services(e, e->q->msg.q.lower, type, true, &list);
    for (size_t i = 0; found == ETCD_FOUND && i < list.n && i < 1; i++)
        if (list.items[i]->host)
            add_name(e, SECTION_ANSWER, NULL, type, etcd_ttl(e, list.items[i]),
                     list.items[i]->host);
    return found;
}

void etcd_soa(struct etcd_query *e, enum section s)
{
    size_t n = name_wire_len(e->zone);
    uint8_t rdata[2 * NAME_MAX_WIRE + 64];
    struct wbuf w = wbuf_of(rdata, sizeof rdata);
    const uint32_t numbers[] = { (uint32_t)time(NULL), SOA_REFRESH, SOA_RETRY, SOA_EXPIRE,
                                 ETCD_SOA_TTL };
    if (n + 11 > NAME_MAX_WIRE)
        return; /* its server and mailbox have no names */
    wbuf_put(&w, "\002ns\003dns", 7);
    wbuf_put(&w, e->zone, n);
    wbuf_put(&w, "\012hostmaster", 11);
    wbuf_put(&w, e->zone, n);
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        wbuf_u32(&w, numbers[i]);
    add_rr(e, s, e->zone, RR_SOA, ETCD_SOA_TTL, rdata, (uint16_t)w.pos);
}

enum etcd_found etcd_plan(struct etcd_query *e)
{
    const struct question *q = &e->q->msg.q;
    struct etcd_list list;
    switch (q->type) {
    case RR_A:
    case RR_AAAA:
    case RR_TXT:
        return addresses(e, SECTION_ANSWER, q->lower, NULL, q->type, NULL);
    case RR_SRV:
        return plan_srv(e);
    case RR_MX:
        return plan_mx(e);
    case RR_CNAME:
    case RR_PTR:
        return plan_names(e, q->type);
    case RR_NS:
        if (name_equal(q->lower, e->zone))
            return plan_ns(e);
        break;
    default:
        break;
    }
    return services_or_apex(e, q->lower, RR_A, &list); /* only whether it exists */
}

/* ---- carrying it out ---- */

static enum step go_on(struct query *q, struct etcd_op *op);

static enum step looked_up(struct query *q, void *conf, void *data)
{
    struct etcd_op *op = conf;
    const struct query *sub = data;
    if (op->section == SECTION_ANSWER)
        q->reply.tc |= sub->reply.tc;
    query_copy_records(q, sub, SECTION_ANSWER, op->section, op->no_cname ? RR_CNAME : 0);
    return go_on(q, op->next);
}

static enum step go_on(struct query *q, struct etcd_op *op)
{
    for (; op; op = op->next) {
        if (op->lookup)
            return query_lookup(q, op->lookup, op->type, looked_up, op);
        query_add(q, op->section, op->rr);
    }
    return STEP_DONE;
}

enum step etcd_carry_out(struct etcd_query *e)
{
    e->q->reply.flags |= FLAG_AA;
    return go_on(e->q, e->ops);
}
