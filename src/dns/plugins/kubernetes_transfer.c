/* The cluster zone as a transfer: SOA, NS, then Services by name. Pod names, reverse names, zonal
 * names and the endpoints of Services with an address of their own are not part of it, as in the
 * reference. */
#include "dns/plugins/kubernetes.h"
#include "dns/snapshot.h"
#include "dns/transfer.h"

#include "base/vec.h"

#include <errno.h>
#include <string.h>

struct walk {
    transfer_emit *emit;
    void *ctx;
    uint32_t ttl;
    const uint8_t *origin;
    const struct snap_service *s;
    uint8_t name[NAME_MAX_WIRE]; /* of the Service */
    bool stop;
};

/* ---- records ---- */

static void emit_one(struct walk *w, const uint8_t *owner, uint16_t type, const uint8_t *rdata,
                     uint16_t n, uint16_t rdlen)
{
    const struct rrset rr = { .owner = owner,
                              .rdata = rdata,
                              .ttl = w->ttl,
                              .type = type,
                              .class = CLASS_IN,
                              .count = n,
                              .rdlen = rdlen };
    if (n && !w->stop)
        w->stop = !w->emit(w->ctx, &rr);
}

static void emit_srv(struct walk *w, const uint8_t *owner, uint16_t weight, int32_t port,
                     const uint8_t *target)
{
    uint8_t rdata[2 + 6 + NAME_MAX_WIRE];
    struct wbuf b = wbuf_of(rdata, sizeof rdata);
    wbuf_u16(&b, (uint16_t)(6 + name_wire_len(target)));
    wbuf_u16(&b, 0);
    wbuf_u16(&b, weight);
    wbuf_u16(&b, (uint16_t)port);
    wbuf_put(&b, target, name_wire_len(target));
    emit_one(w, owner, RR_SRV, rdata, 1, 0);
}

/* Labels in front of a name; false: too long for one. */
static bool join(uint8_t out[NAME_MAX_WIRE], const uint8_t *labels, size_t n, const uint8_t *tail)
{
    size_t len = name_wire_len(tail);
    if (n + len > NAME_MAX_WIRE)
        return false;
    memcpy(out, labels, n);
    memcpy(out + n, tail, len);
    return true;
}

/* "_port._protocol" in front of the Service's name; false: the port has no name. (A named port of a
 * slice may lack a number; the reference writes 65535 then, and so does the cast of -1.) */
static bool port_name(const struct walk *w, const struct snap_port *port,
                      uint8_t out[NAME_MAX_WIRE])
{
    const uint8_t *texts[] = { w->s->pool + port->name, w->s->pool + port->protocol };
    uint8_t labels[2 * (1 + NAME_MAX_LABEL)];
    size_t n = 0;
    if (!port->name)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        if (texts[i][0] + 1 > NAME_MAX_LABEL)
            return false;
        labels[n++] = (uint8_t)(texts[i][0] + 1);
        labels[n++] = '_';
        memcpy(labels + n, texts[i] + 1, texts[i][0]);
        n += texts[i][0];
    }
    return join(out, labels, n, w->name);
}

/* ---- Services ---- */

static void cluster_ip(struct walk *w)
{
    const struct snap_service *s = w->s;
    uint8_t owner[NAME_MAX_WIRE];
    emit_one(w, w->name, RR_A, s->a, (uint16_t)s->n_a, 4);
    emit_one(w, w->name, RR_AAAA, s->aaaa, (uint16_t)s->n_aaaa, 16);
    for (uint16_t i = 0; i < s->n_ports; i++) {
        if (s->ports[i].number >= 0)
            emit_srv(w, w->name, 100, s->ports[i].number, w->name);
        if (port_name(w, &s->ports[i], owner))
            emit_srv(w, owner, 100, s->ports[i].number, w->name);
    }
}

/* Weights share a hundred among the endpoints of one slice. */
static uint16_t group_weight(const struct snap_service *s, uint16_t group)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_endpoints; i++)
        n += s->endpoints[i].group == group;
    return n < 100 ? (uint16_t)(100 / n) : 1;
}

static void endpoint(struct walk *w, uint32_t number, uint16_t weight)
{
    const struct snap_service *s = w->s;
    const struct snap_endpoint *e = &s->endpoints[number];
    const struct snap_group *g = &s->groups[e->group];
    uint8_t buf[64], target[NAME_MAX_WIRE], owner[NAME_MAX_WIRE];
    const uint8_t *label = snap_endpoint_label(s, e, buf);
    const uint8_t *ip = snap_endpoint_bytes(s, number);
    bool v4 = number < s->n_ipv4;
    if (!join(target, label, 1u + label[0], w->name))
        return;
    emit_one(w, w->name, v4 ? RR_A : RR_AAAA, ip, 1, v4 ? 4 : 16);
    emit_one(w, target, v4 ? RR_A : RR_AAAA, ip, 1, v4 ? 4 : 16);
    for (uint16_t i = 0; i < g->n; i++)
        if (port_name(w, &s->ports[g->first + i], owner))
            emit_srv(w, owner, weight, s->ports[g->first + i].number, target);
}

/* Endpoints that are host names have no address to point to: "." says so, as in the reference. */
static void named_endpoint(struct walk *w)
{
    uint8_t owner[NAME_MAX_WIRE];
    for (uint16_t i = 0; i < w->s->n_ports; i++)
        if (port_name(w, &w->s->ports[i], owner))
            emit_srv(w, owner, 100, w->s->ports[i].number, (const uint8_t *)"");
}

static void headless(struct walk *w)
{
    const struct snap_service *s = w->s;
    uint16_t *weights = xcalloc(s->n_groups + 1u, sizeof *weights); /* 0: not known yet */
    for (uint32_t i = 0; i < s->n_endpoints && !w->stop; i++) {
        uint16_t group = s->endpoints[i].group;
        if (!weights[group])
            weights[group] = group_weight(s, group);
        endpoint(w, i, weights[group]);
    }
    free(weights);
    if (s->external && !s->n_endpoints)
        named_endpoint(w);
}

static void external(struct walk *w)
{
    uint8_t rdata[2 + NAME_MAX_WIRE];
    size_t len = w->s->external ? name_wire_len(w->s->external) : 0;
    if (!len)
        return;
    put_u16(rdata, (uint16_t)len);
    memcpy(rdata + 2, w->s->external, len);
    emit_one(w, w->name, RR_CNAME, rdata, 1, 0);
}

static void service(struct walk *w)
{
    uint8_t labels[160];
    memcpy(labels, w->s->key, w->s->key_len);
    memcpy(labels + w->s->key_len, "\003svc", 4);
    if (!join(w->name, labels, w->s->key_len + 4u, w->origin))
        return;
    if (w->s->kind == SNAP_CLUSTER_IP)
        cluster_ip(w);
    else if (w->s->kind == SNAP_HEADLESS)
        headless(w);
    else if (w->s->kind == SNAP_EXTERNAL)
        external(w);
}

/* By name, then by namespace. */
static int by_name(const void *a, const void *b)
{
    const struct snap_service *x = *(const struct snap_service *const *)a;
    const struct snap_service *y = *(const struct snap_service *const *)b;
    const uint8_t *p = x->key, *q = y->key;
    for (int i = 0; i < 2; i++, p += 1 + p[0], q += 1 + q[0]) {
        int order = memcmp(p + 1, q + 1, MIN(p[0], q[0]));
        if (order || p[0] != q[0])
            return order ? order : p[0] - q[0];
    }
    return 0;
}

struct service_list {
    VEC(const struct snap_service *) items;
};

static void add_service(void *ctx, const struct snap_service *s)
{
    struct service_list *l = ctx;
    vec_push(&l->items, s);
}

static void services(struct walk *w, const struct snapshot *snapshot)
{
    struct service_list l = { 0 };
    snapshot_each_service(snapshot, add_service, &l);
    if (l.items.n)
        qsort(l.items.items, l.items.n, sizeof *l.items.items, by_name);
    for (size_t i = 0; i < l.items.n && !w->stop; i++) {
        w->s = l.items.items[i];
        service(w);
    }
    vec_done(&l.items);
}

/* ---- the zone ---- */

/* Takes what an answer function put into a section of the reply. */
static struct rrset_list take(struct query *q, enum section s)
{
    struct rrset_list l = q->reply.section[s];
    q->reply.section[s] = (struct rrset_list){ 0 };
    return l;
}

static void emit_list(struct walk *w, const struct rrset_list *l)
{
    for (uint16_t i = 0; i < l->n && !w->stop; i++) {
        struct rrset rr = l->items[i];
        rr.owner = rr.owner ? rr.owner : w->origin;
        w->stop = !w->emit(w->ctx, &rr);
    }
}

static bool is_reverse(const uint8_t *zone)
{
    static const uint8_t v4[] = "\007in-addr\004arpa", v6[] = "\003ip6\004arpa";
    return name_is_below(zone, v4) || name_is_below(zone, v6);
}

/* Services have no place in a reverse zone, so there is nothing to hand out. Any name inside the
 * zone that leaves room for others is taken for the origin, as in the reference. */
int kubernetes_transfer(struct query *q, void *conf, transfer_emit *emit, void *ctx)
{
    const struct kubernetes *k = conf;
    struct kubernetes at = *k;
    struct question *origin = arena_zalloc(&q->arena, sizeof *origin);
    char text[NAME_TEXT_MAX];
    const char *items[] = { text };
    struct zone_list zones = { .items = items, .n = 1, .capacity = 1 };
    if (zone_set_find(k->zones, &q->msg.q) < 0 || is_reverse(q->msg.q.lower) ||
        q->msg.q.name.len > KUBERNETES_ZONE_MAX)
        return ERR_NOT_FOUND;
    if (!snapshot_synced(k->snapshot))
        return -EAGAIN;
    name_from_wire(q->msg.q.lower, &origin->name);
    memcpy(origin->lower, q->msg.q.lower, q->msg.q.name.len);
    (void)name_to_text(origin->lower, text);
    at.zones = zone_set_new(&q->arena, &zones);
    at.soa = arena_alloc(&q->arena, sizeof(uint8_t *));
    at.soa[0] = soa_rdata(k, &q->arena, origin->lower);
    struct lookup l = {
        .q = q, .k = &at, .name = origin, .owner = origin->name.wire, .type = RR_NS
    };
    struct walk w = { .emit = emit, .ctx = ctx, .ttl = k->ttl, .origin = origin->lower };
    (void)answer_ns(&l);
    struct rrset_list ns = take(q, SECTION_ANSWER), addresses = take(q, SECTION_ADDITIONAL);
    add_soa(&l, SECTION_ANSWER);
    struct rrset_list soa = take(q, SECTION_ANSWER);
    emit_list(&w, &soa);
    emit_list(&w, &ns);
    emit_list(&w, &addresses);
    services(&w, k->snapshot);
    return 0;
}
