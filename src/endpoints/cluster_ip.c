#include "endpoints/cluster_ip.h"

#include "base/ht.h"
#include "base/str.h"
#include "endpoints/ip_slots.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FAMILIES 2

/* One Service that wants addresses. Those that bring all of their own need no entry: what they have
 * stands in the store. Index 0 is IPv4, 1 is IPv6. */
struct entry {
    struct slot_claim claims[FAMILIES]; /* first, so that a claim leads to its entry */
    struct ip by_hand[FAMILIES];        /* family 0: none */
    bool claimed[FAMILIES];
    bool fresh;              /* not yet in the store */
    struct object *incoming; /* what is to be stored, until then */
    const char *ns;
    char name[]; /* ns lies behind */
};

struct cluster_ip_allocator {
    struct store *store;
    struct ip_slots slots[FAMILIES];
    bool has_range[FAMILIES];
    uint8_t default_families[FAMILIES]; /* in the order of the ranges */
    struct ht entries;                  /* "ns/name" -> struct entry */
    bool synced;
    void (*problem)(void *ctx, const char *text);
    void *ctx;
};

static unsigned index_of(uint8_t family)
{
    return family == 4 ? 0 : 1;
}

struct cluster_ip_allocator *cluster_ip_new(struct store *store, const struct ip_prefix *ranges,
                                            size_t n_ranges)
{
    struct cluster_ip_allocator *a = xcalloc(1, sizeof *a);
    unsigned n = 0;
    a->store = store;
    for (size_t i = 0; i < n_ranges; i++) {
        unsigned f = index_of(ranges[i].ip.family);
        if (a->has_range[f])
            continue;
        a->has_range[f] = true;
        a->default_families[n++] = ranges[i].ip.family;
        ip_slots_init(&a->slots[f], &ranges[i]);
    }
    return a;
}

void cluster_ip_on_problem(struct cluster_ip_allocator *a,
                           void (*problem)(void *ctx, const char *text), void *ctx)
{
    a->problem = problem;
    a->ctx = ctx;
}

static void entry_free(struct entry *e)
{
    object_free(e->incoming);
    free(e);
}

void cluster_ip_free(struct cluster_ip_allocator *a)
{
    if (!a)
        return;
    ht_each (e, &a->entries)
        entry_free(e->value);
    ht_done(&a->entries);
    for (unsigned f = 0; f < FAMILIES; f++)
        ip_slots_done(&a->slots[f]);
    free(a);
}

static void tell_problem(const struct cluster_ip_allocator *a, const struct meta *m,
                         const char *fmt, ...) printf_like(3, 4);

static void tell_problem(const struct cluster_ip_allocator *a, const struct meta *m,
                         const char *fmt, ...)
{
    cleanup(strbuf_done) struct strbuf b = { 0 };
    char text[256];
    va_list ap;
    if (!a->problem)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    strbuf_printf(&b, "%s%sService %s/%s: %s", m->origin, *m->origin ? ": " : "", m->namespace,
                  m->name, text);
    a->problem(a->ctx, b.p);
}

/* The families of the Service, the API server's defaults filled in. */
static void fill_families(const struct cluster_ip_allocator *a, struct service *s)
{
    if (s->type == SERVICE_EXTERNAL_NAME)
        return;
    if (!s->families[0])
        s->families[0] = a->default_families[0];
    uint8_t second = s->families[0] == 4 ? 6 : 4;
    if (s->dual_stack_wanted && !s->families[1] && a->has_range[index_of(second)])
        s->families[1] = second;
}

static bool has_address_of(const struct service *s, uint8_t family)
{
    for (uint8_t i = 0; i < s->n_cluster_ips; i++)
        if (s->cluster_ips[i].family == family)
            return true;
    return false;
}

/* Is there something to allocate? Families are filled in. */
static bool wants_addresses(const struct cluster_ip_allocator *a, const struct service *s)
{
    bool wants = false;
    if (s->type == SERVICE_EXTERNAL_NAME || s->headless)
        return false;
    for (unsigned i = 0; i < FAMILIES && s->families[i]; i++) {
        if (has_address_of(s, s->families[i]))
            continue;
        if (a->has_range[index_of(s->families[i])])
            wants = true;
        else
            tell_problem(a, &s->object.meta, "there is no IPv%u range to take a clusterIP from",
                         s->families[i]);
    }
    return wants;
}

static void reserve(struct cluster_ip_allocator *a, const struct service *s)
{
    char text[IP_TEXT_MAX];
    for (uint8_t i = 0; i < s->n_cluster_ips; i++) {
        const struct ip *ip = &s->cluster_ips[i];
        unsigned f = index_of(ip->family);
        if (a->has_range[f] && ip_slots_reserve(&a->slots[f], ip) > 1)
            tell_problem(a, &s->object.meta, "clusterIP %s is also that of another Service",
                         ip_text(ip, text));
    }
}

static void release(struct cluster_ip_allocator *a, const struct ip *ips, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned f = index_of(ips[i].family);
        if (ips[i].family && a->has_range[f])
            ip_slots_release(&a->slots[f], &ips[i]);
    }
}

static void claim_missing(struct cluster_ip_allocator *a, struct entry *e, const struct service *s)
{
    for (uint8_t i = 0; i < s->n_cluster_ips; i++)
        e->by_hand[index_of(s->cluster_ips[i].family)] = s->cluster_ips[i];
    for (unsigned i = 0; i < FAMILIES && s->families[i]; i++) {
        unsigned f = index_of(s->families[i]);
        e->claimed[f] = a->has_range[f] && !has_address_of(s, s->families[i]);
        if (e->claimed[f])
            ip_slots_claim(&a->slots[f], &e->claims[f], e->ns, e->name);
    }
}

static void drop_claims(struct cluster_ip_allocator *a, struct entry *e)
{
    release(a, e->by_hand, FAMILIES);
    for (unsigned f = 0; f < FAMILIES; f++) {
        if (e->claimed[f])
            ip_slots_drop(&a->slots[f], &e->claims[f]);
        e->claimed[f] = false;
        e->by_hand[f].family = 0;
    }
}

/* A copy of the Service with the addresses that the entry has now, in the order of its families. */
static struct object *with_addresses(struct cluster_ip_allocator *a, struct entry *e,
                                     const struct object *o)
{
    struct service s = *service_of(o);
    struct ip ips[FAMILIES];
    uint8_t n = 0;
    fill_families(a, &s);
    for (unsigned i = 0; i < FAMILIES && s.families[i]; i++) {
        unsigned f = index_of(s.families[i]);
        const struct slot_claim *c = &e->claims[f];
        if (e->claimed[f] && c->slot)
            ips[n++] = ip_slots_ip(&a->slots[f], c->slot);
        for (uint8_t k = 0; k < s.n_cluster_ips && !e->claimed[f]; k++)
            if (s.cluster_ips[k].family == s.families[i])
                ips[n++] = s.cluster_ips[k];
    }
    s.cluster_ips = ips;
    s.n_cluster_ips = n;
    return object_copy(&s.object);
}

/* Stores the Service of an entry with its present addresses: the one that has just come in, or
 * again the one that is in the store. */
static void store_entry(struct cluster_ip_allocator *a, struct entry *e)
{
    const struct object *o = e->incoming;
    if (!o)
        o = store_get(a->store, KIND_SERVICE, e->ns, e->name);
    if (!o)
        return;
    for (unsigned f = 0; f < FAMILIES; f++) {
        struct slot_claim *c = &e->claims[f];
        if (e->claimed[f] && !c->slot && (e->fresh || c->passed))
            tell_problem(a, &o->meta, "the IPv%u range has no free clusterIP left", f ? 6 : 4);
        c->passed = c->slot;
    }
    struct object *copy = with_addresses(a, e, o);
    object_free(e->incoming);
    e->incoming = NULL;
    e->fresh = false;
    store_put(a->store, copy);
}

/* Services whose address has moved are stored again; that happens before the Service that moved
 * them is stored. */
static void store_moved(struct cluster_ip_allocator *a)
{
    for (unsigned f = 0; f < FAMILIES; f++) {
        struct ip_slots *s = &a->slots[f];
        for (size_t i = 0; i < s->moved.n; i++) {
            struct slot_claim *c = s->moved.items[i];
            struct entry *e = (struct entry *)(void *)(c - f);
            if (!e->incoming && c->slot != c->passed)
                store_entry(a, e);
        }
        vec_clear(&s->moved);
    }
}

static void settle(struct cluster_ip_allocator *a)
{
    if (!a->synced)
        return;
    for (unsigned f = 0; f < FAMILIES; f++)
        if (a->has_range[f])
            ip_slots_settle(&a->slots[f]);
    store_moved(a);
}

static struct entry *entry_new(const struct meta *m)
{
    size_t name = strlen(m->name) + 1, ns = strlen(m->namespace) + 1;
    struct entry *e = xcalloc(1, sizeof *e + name + ns);
    memcpy(e->name, m->name, name);
    e->ns = memcpy(e->name + name, m->namespace, ns);
    e->fresh = true;
    return e;
}

static void forget(struct cluster_ip_allocator *a, const char *ns, const char *name);

static void key_of(struct strbuf *b, const char *ns, const char *name)
{
    strbuf_printf(b, "%s/%s", ns, name);
}

/* The entry of a Service; it may have had none, but addresses by hand. */
static struct entry *entry_of(struct cluster_ip_allocator *a, const struct meta *m)
{
    cleanup(strbuf_done) struct strbuf key = { 0 };
    key_of(&key, m->namespace, m->name);
    struct entry *e = ht_get(&a->entries, key.p, key.len);
    if (e)
        return e;
    forget(a, m->namespace, m->name);
    e = entry_new(m);
    ht_put(&a->entries, key.p, key.len, e);
    return e;
}

/* Gives back whatever the Service had; its entry goes, too. */
static void forget(struct cluster_ip_allocator *a, const char *ns, const char *name)
{
    cleanup(strbuf_done) struct strbuf key = { 0 };
    key_of(&key, ns, name);
    struct entry *e = ht_del(&a->entries, key.p, key.len);
    if (e) {
        drop_claims(a, e);
        entry_free(e);
        return;
    }
    const struct object *o = store_get(a->store, KIND_SERVICE, ns, name);
    if (o)
        release(a, service_of(o)->cluster_ips, service_of(o)->n_cluster_ips);
}

/* Its own addresses are all it needs. */
static void put_plain(struct cluster_ip_allocator *a, const struct service *s)
{
    forget(a, s->object.meta.namespace, s->object.meta.name);
    reserve(a, s);
    settle(a);
    store_put(a->store, object_copy(&s->object));
}

void cluster_ip_put(struct cluster_ip_allocator *a, struct object *service)
{
    struct service s = *service_of(service);
    fill_families(a, &s);
    if (!wants_addresses(a, &s)) {
        put_plain(a, &s);
        object_free(service);
        return;
    }
    struct entry *e = entry_of(a, &service->meta);
    drop_claims(a, e);
    object_free(e->incoming);
    e->incoming = service;
    reserve(a, &s);
    claim_missing(a, e, &s);
    settle(a);
    if (a->synced)
        store_entry(a, e);
}

void cluster_ip_delete(struct cluster_ip_allocator *a, const char *ns, const char *name)
{
    forget(a, ns, name);
    store_delete(a->store, KIND_SERVICE, ns, name);
    settle(a);
}

void cluster_ip_synced(struct cluster_ip_allocator *a)
{
    if (a->synced)
        return;
    a->synced = true;
    settle(a);
    ht_each (it, &a->entries)
        store_entry(a, it->value);
}
