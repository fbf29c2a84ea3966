#include "proxy/stale.h"

#include "base/ht.h"
#include "base/vec.h"
#include "kernel/conntrack.h"
#include "proxy/metrics.h"

#include <errno.h>

/* Hashed as bytes; ip zero: a node port. */
struct place_key {
    uint8_t family, zero;
    uint16_t port;
    uint8_t ip[16];
};

struct target {
    const struct portal *portal; /* NULL: nobody serves there */
};

struct stale_index {
    bool family[FAMILIES]; /* there is any target */
    struct ht targets;     /* struct place_key -> struct target */
    struct ht node_ips;    /* struct ip */
};

static struct place_key key_of(uint8_t family, const uint8_t *ip, uint16_t port)
{
    struct place_key k = { .family = family, .port = port };
    if (ip)
        memcpy(k.ip, ip, family == 4 ? 4 : 16);
    return k;
}

/* known: only places that are there already. */
static void add_portal(struct stale_index *x, const struct portal *p, const struct portal *now,
                       bool known)
{
    for (unsigned i = 0; p && i < p->n_fronts; i++) {
        const struct front *f = &p->fronts[i];
        struct place_key k = key_of(p->family, f->kind == FRONT_NODE_PORT ? NULL : f->ip, f->port);
        struct target *t = ht_get(&x->targets, &k, sizeof k);
        if ((!f->granted && p == now) || (known && !t))
            continue;
        if (!t) {
            t = xcalloc(1, sizeof *t);
            ht_put(&x->targets, &k, sizeof k, t);
        }
        t->portal = now;
        x->family[family_index(p->family)] = true;
    }
}

static bool serves(const struct portal *p, const uint8_t ip[16]);

/* Whoever could be reached before can be reached now, at the same places. */
static bool takes_nothing_away(const struct portal_change *c)
{
    const struct portal *old = c->old, *new = c->new;
    if (!old || !new || old == new || old->n_fronts != new->n_fronts ||
        (old->n_fronts > 0 &&
         memcmp(old->fronts, new->fronts, old->n_fronts * sizeof *old->fronts) != 0))
        return false;
    uint32_t serving = 0;
    for (uint32_t i = 0; i < old->n_backends; i++) {
        if (!(old->backends[i].use & BACKEND_SERVING))
            continue;
        if (!serves(new, old->backends[i].ip))
            return false;
        serving++;
    }
    return serving > 0; /* where nobody served, flows were not translated */
}

static bool is_udp(const struct portal *p)
{
    return p && p->protocol == PROTO_UDP;
}

/* Old fronts first: one that now belongs to another portal is that one's. */
struct stale_index *stale_index_new(const struct portal_change *changes, size_t n,
                                    const struct surroundings *around)
{
    struct stale_index *x = xcalloc(1, sizeof *x);
    for (size_t i = 0; i < n; i++)
        if (is_udp(changes[i].old) && !takes_nothing_away(&changes[i]))
            add_portal(x, changes[i].old, NULL, false);
    for (size_t i = 0; i < n; i++)
        if (is_udp(changes[i].new))
            add_portal(x, changes[i].new, changes[i].new, takes_nothing_away(&changes[i]));
    for (size_t i = 0; x->targets.n > 0 && i < around->n_node_ips; i++)
        ht_put(&x->node_ips, &around->node_ips[i], sizeof around->node_ips[i], x);
    return x;
}

void stale_index_free(struct stale_index *x)
{
    if (!x)
        return;
    ht_each (e, &x->targets)
        free(e->value);
    ht_done(&x->targets);
    ht_done(&x->node_ips);
    free(x);
}

static const struct target *find(const struct stale_index *x, const struct tuple *t)
{
    struct place_key k = key_of(t->to.family, t->to.bytes, t->to_port);
    const struct target *found = ht_get(&x->targets, &k, sizeof k);
    if (found || !ht_get(&x->node_ips, &t->to, sizeof t->to))
        return found;
    k = key_of(t->to.family, NULL, t->to_port);
    return ht_get(&x->targets, &k, sizeof k);
}

/* Backends are sorted by address. */
static bool serves(const struct portal *p, const uint8_t ip[16])
{
    uint32_t low = 0, high = p->n_backends;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (memcmp(p->backends[middle].ip, ip, 16) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < p->n_backends && memcmp(p->backends[low].ip, ip, 16) == 0; low++)
        if (p->backends[low].use & BACKEND_SERVING)
            return true;
    return false;
}

bool stale_is(const struct stale_index *x, const struct flow *f)
{
    if (f->original.protocol != IPPROTO_UDP)
        return false;
    const struct target *t = find(x, &f->original);
    return t && !(t->portal && serves(t->portal, f->reply.from.bytes));
}

struct sweep {
    const struct stale_index *index;
    VEC(struct flow) flows;
};

static void collect(void *ctx, const struct flow *f)
{
    struct sweep *s = ctx;
    if (stale_is(s->index, f))
        vec_push(&s->flows, *f);
}

static int collect_family(struct conntrack *c, uint8_t family, struct sweep *s)
{
    size_t before = s->flows.n;
    int ret;
    do {
        s->flows.n = before;
        ret = conntrack_dump_udp(c, family, collect, s);
    } while (ret == -EINTR); /* the table changed too much meanwhile */
    return ret;
}

static int sweep(const struct stale_index *x, struct stale_result *r)
{
    struct sweep s = { .index = x };
    struct conntrack c;
    int ret = conntrack_open(&c);
    if (ret < 0)
        return ret;
    for (unsigned f = 0; f < FAMILIES && ret >= 0; f++)
        if (x->family[f])
            ret = collect_family(&c, f == 0 ? 4 : 6, &s);
    vec_each (f, &s.flows)
        r->deleted[f->original.to.family == 6] += conntrack_delete(&c, f) == 0;
    vec_done(&s.flows);
    conntrack_done(&c);
    return ret;
}

struct stale_result stale_clean(const struct portal_change *changes, size_t n,
                                const struct surroundings *around)
{
    struct stale_result r = { .looked = false };
    struct stale_index *x = stale_index_new(changes, n, around);
    r.looked = x->targets.n > 0;
    if (r.looked)
        r.code = sweep(x, &r);
    stale_index_free(x);
    return r;
}
