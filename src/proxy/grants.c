#include "proxy/grants.h"

#include "base/vec.h"

/* Hashed as bytes. */
struct front_key {
    uint8_t family, protocol, is_node_port, zero;
    uint16_t port;
    uint8_t ip[16];
};
_Static_assert(sizeof(struct front_key) == 22, "front_key is hashed as bytes");

struct claim {
    const struct portal *portal;
    struct front *front;
};

struct claimants {
    VEC(struct claim) by_name;
};

static struct front_key key_of(const struct portal *p, const struct front *f)
{
    struct front_key k = { .family = p->family,
                           .protocol = p->protocol,
                           .is_node_port = f->kind == FRONT_NODE_PORT,
                           .port = f->port };
    memcpy(k.ip, f->ip, sizeof k.ip);
    return k;
}

static void free_claimants(struct claimants *l)
{
    vec_done(&l->by_name);
    free(l);
}

void grants_done(struct grants *c)
{
    ht_each (e, &c->by_front)
        free_claimants(e->value);
    ht_done(&c->by_front);
}

/* The first gets it; of the others the ones that had it are told. */
static void grant(struct grants *c, struct claimants *l, const struct portal *not_told)
{
    for (size_t i = 0; i < l->by_name.n; i++) {
        struct claim *one = &l->by_name.items[i];
        if (one->front->granted == (i == 0))
            continue;
        one->front->granted = i == 0;
        if (one->portal != not_told)
            c->moved(c->ctx, one->portal);
    }
}

static void add_one(struct grants *c, const struct portal *p, struct front *f)
{
    struct front_key k = key_of(p, f);
    struct claimants *l = ht_get(&c->by_front, &k, sizeof k);
    if (!l) {
        l = xcalloc(1, sizeof *l);
        ht_put(&c->by_front, &k, sizeof k, l);
    }
    vec_push(&l->by_name, (struct claim){ p, f });
    size_t i = l->by_name.n - 1;
    for (; i > 0 && strcmp(l->by_name.items[i - 1].portal->owner, p->owner) > 0; i--)
        l->by_name.items[i] = l->by_name.items[i - 1];
    l->by_name.items[i] = (struct claim){ p, f };
    grant(c, l, p);
    if (l->by_name.n > 1)
        c->conflict(c->ctx, l->by_name.items[0].portal, l->by_name.items[i ? i : 1].portal, f);
}

static void remove_one(struct grants *c, const struct portal *p, const struct front *f)
{
    struct front_key k = key_of(p, f);
    struct claimants *l = ht_get(&c->by_front, &k, sizeof k);
    size_t i = 0;
    while (l->by_name.items[i].portal != p)
        i++;
    for (l->by_name.n--; i < l->by_name.n; i++)
        l->by_name.items[i] = l->by_name.items[i + 1];
    if (l->by_name.n == 0)
        free_claimants(ht_del(&c->by_front, &k, sizeof k));
    else
        grant(c, l, p);
}

/* The claims are the only place that writes to a portal, and only to `granted`. */
void grants_add(struct grants *c, const struct portal *p)
{
    for (unsigned i = 0; i < p->n_fronts; i++)
        add_one(c, p, (struct front *)&p->fronts[i]);
}

void grants_remove(struct grants *c, const struct portal *p)
{
    for (unsigned i = 0; i < p->n_fronts; i++)
        remove_one(c, p, &p->fronts[i]);
}
