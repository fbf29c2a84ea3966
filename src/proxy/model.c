#include "proxy/model.h"

#include "base/clock.h"
#include "base/ht.h"
#include "base/str.h"
#include "kube/pod.h"
#include "proxy/grants.h"
#include "proxy/portal_build.h"

#include <stdarg.h>
#include <stdio.h>

typedef VEC(struct portal *) portals;

/* A Service that is or was served. */
struct tracked {
    portals portals;
    uint16_t health_port;
    unsigned n_local;
};

/* What is to be told: the portal that was there when the last changes were taken. */
struct told {
    const struct portal *old;
};

struct model {
    struct store *store;
    struct listener listener;
    struct model_options options;
    char *node_name, *zone;
    struct place place;
    struct ht tracked; /* "ns/name" -> struct tracked */
    struct ht portals; /* id -> struct portal */
    struct ht dirty;   /* "ns/name" */
    struct ht changed; /* id -> struct told */
    portals buried;    /* replaced, to be freed by the next refresh */
    struct grants grants;
    struct slice_list scratch;
    struct model_stats stats;
    int64_t start_unix_ns;
};

static void printf_like(2, 3) warn(struct model *m, const char *fmt, ...)
{
    char text[1024];
    if (!m->options.warn)
        return;
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    m->options.warn(m->options.ctx, text);
}

/* ---- what the store tells */

static void mark_dirty(struct model *m, const char *ns, const char *name)
{
    struct strbuf key = { 0 };
    strbuf_printf(&key, "%s/%s", ns, name);
    ht_put(&m->dirty, key.p, key.len, m);
    strbuf_done(&key);
    if (!m->stats.dirty_since)
        m->stats.dirty_since = clock_ns();
}

static void mark_slice(struct model *m, const struct object *o)
{
    if (o && *slice_of(o)->service)
        mark_dirty(m, o->meta.namespace, slice_of(o)->service);
}

static void note_trigger(struct model *m, const struct object *o)
{
    int64_t t = o ? slice_of(o)->trigger_time_ns : 0;
    if (t >= m->start_unix_ns && (!m->stats.trigger_ns || t < m->stats.trigger_ns))
        m->stats.trigger_ns = t;
}

static void mark_service(void *ctx, const struct object *o)
{
    mark_dirty(ctx, o->meta.namespace, o->meta.name);
}

static bool take_addresses(struct model *m, const struct node *n)
{
    struct ip now[2] = { m->options.addresses[0], m->options.addresses[1] };
    for (unsigned i = 0; n && i < n->n_internal_ips; i++) {
        struct ip *one = &now[n->internal_ips[i].family == 6];
        if (!one->family)
            *one = n->internal_ips[i];
    }
    bool same =
        ip_equal(&now[0], &m->place.addresses[0]) && ip_equal(&now[1], &m->place.addresses[1]);
    memcpy(m->place.addresses, now, sizeof now);
    return !same;
}

/* Zone and addresses decide for every Service. */
static bool take_node(struct model *m, const struct node *n)
{
    const char *zone = n ? n->zone : "";
    bool changed = take_addresses(m, n);
    if (strcmp(zone, m->zone) == 0)
        return changed;
    free(m->zone);
    m->place.zone = m->zone = xstrdup(zone);
    return true;
}

static bool node_changed(struct model *m, const struct change *c)
{
    const struct object *o = c->new ? c->new : c->old;
    if (strcmp(o->meta.name, m->node_name) != 0 || !take_node(m, c->new ? node_of(c->new) : NULL))
        return false;
    store_each(m->store, KIND_SERVICE, NULL, mark_service, m);
    return true;
}

static void changed(void *ctx, const struct change *c)
{
    struct model *m = ctx;
    switch (c->kind) {
    case KIND_SERVICE:
        m->stats.service_changes++;
        mark_service(m, c->new ? c->new : c->old);
        break;
    case KIND_SLICE:
        m->stats.endpoint_changes++;
        mark_slice(m, c->old);
        mark_slice(m, c->new);
        note_trigger(m, c->new);
        break;
    case KIND_NODE:
        if (!node_changed(m, c))
            return;
        break;
    default:
        return;
    }
    if (m->options.dirty)
        m->options.dirty(m->options.ctx);
}

/* ---- changes to be told */

static void note_change(struct model *m, const char *id, const struct portal *old)
{
    if (ht_get_str(&m->changed, id))
        return;
    struct told *t = xmalloc(sizeof *t);
    t->old = old;
    ht_put_str(&m->changed, id, t);
}

static void on_moved(void *ctx, const struct portal *p)
{
    note_change(ctx, p->id, p);
}

static void on_conflict(void *ctx, const struct portal *first, const struct portal *other,
                        const struct front *f)
{
    char text[IP_TEXT_MAX];
    struct ip ip = ip_of_bytes(first->family, f->ip);
    const char *where = f->kind == FRONT_NODE_PORT ? "node" : ip_text(&ip, text);
    warn(ctx, "Services %s and %s both claim %s %s port %u; %s gets it", first->owner, other->owner,
         where, protocol_text(first->protocol), f->port, first->owner);
}

/* ---- making and freeing */

struct model *model_new(struct store *store, const struct model_options *o)
{
    struct model *m = xcalloc(1, sizeof *m);
    m->store = store;
    m->options = *o;
    m->node_name = xstrdup(o->node_name);
    m->zone = xstrdup("");
    m->place = (struct place){ .node_name = m->node_name, .zone = m->zone };
    m->grants = (struct grants){ .conflict = on_conflict, .moved = on_moved, .ctx = m };
    m->start_unix_ns = clock_unix_ns();
    m->listener = (struct listener){ .changed = changed, .ctx = m };
    store_listen(store, &m->listener);
    const struct object *node = store_get(store, KIND_NODE, "", m->node_name);
    take_node(m, node ? node_of(node) : NULL);
    store_each(store, KIND_SERVICE, NULL, mark_service, m);
    return m;
}

static void free_tracked(struct tracked *t)
{
    vec_each (p, &t->portals)
        free(*p);
    vec_done(&t->portals);
    free(t);
}

static void free_buried(struct model *m)
{
    vec_each (p, &m->buried)
        free(*p);
    vec_clear(&m->buried);
}

void model_free(struct model *m)
{
    if (!m)
        return;
    store_unlisten(m->store, &m->listener);
    free_buried(m);
    vec_done(&m->buried);
    grants_done(&m->grants);
    ht_each (e, &m->tracked)
        free_tracked(e->value);
    ht_each (e, &m->changed)
        free(e->value);
    ht_done(&m->tracked);
    ht_done(&m->portals);
    ht_done(&m->dirty);
    ht_done(&m->changed);
    vec_done(&m->scratch.slices);
    free(m->node_name);
    free(m->zone);
    free(m);
}

bool model_is_dirty(const struct model *m)
{
    return m->dirty.n > 0;
}

/* ---- one Service */

static void add_slice(void *ctx, const struct object *o)
{
    struct slice_list *l = ctx;
    vec_push(&l->slices, slice_of(o));
}

/* By name: when two slices disagree about an endpoint, the result must not depend on chance. */
static int compare_slices(const void *a, const void *b)
{
    const struct slice *x = *(const struct slice *const *)a, *y = *(const struct slice *const *)b;
    return strcmp(x->object.meta.name, y->object.meta.name);
}

static void find_slices(struct model *m, const struct service *s)
{
    struct slice_list *l = &m->scratch;
    vec_clear(&l->slices);
    store_each_slice_of(m->store, s->object.meta.namespace, s->object.meta.name, add_slice, l);
    if (l->slices.n > 1)
        qsort(l->slices.items, l->slices.n, sizeof *l->slices.items, compare_slices);
}

static void build_portals(struct model *m, const struct service *s, portals *out)
{
    for (unsigned i = 0; i < s->n_cluster_ips; i++) {
        for (unsigned p = 0; p < s->n_ports; p++) {
            size_t left_out;
            struct portal *new = portal_build(s, &s->ports[p], s->cluster_ips[i].family,
                                              &m->scratch, &m->place, &left_out);
            vec_push(out, new);
            if (left_out > 0)
                warn(m, "Service %s: %zu endpoints above the limit of %d are left out", new->owner,
                     left_out, PORTAL_BACKENDS_MAX);
        }
    }
}

static void count_portal(struct model *m, const struct portal *p, int sign)
{
    size_t d = (size_t)(intptr_t)sign;
    m->stats.portals += d;
    m->stats.backends += d * p->n_backends;
    if (p->has_any && p->n_local == 0) {
        m->stats.no_local[p->family == 6][0] += d * p->internal_local;
        m->stats.no_local[p->family == 6][1] += d * p->external_local;
    }
}

static void bury(struct model *m, struct portal *p)
{
    note_change(m, p->id, p);
    grants_remove(&m->grants, p);
    ht_del_str(&m->portals, p->id);
    count_portal(m, p, -1);
    vec_push(&m->buried, p);
}

static void bear(struct model *m, struct portal *p)
{
    note_change(m, p->id, NULL);
    ht_put_str(&m->portals, p->id, p);
    grants_add(&m->grants, p);
    count_portal(m, p, 1);
}

static struct portal *take_equal(portals *from, const struct portal *like)
{
    for (size_t i = 0; i < from->n; i++) {
        struct portal *p = from->items[i];
        if (portal_equal(p, like)) {
            vec_swap_remove(from, i);
            return p;
        }
    }
    return NULL;
}

/* Puts the new list in place of the old one; portals that stayed the same stay where they are. */
static void exchange(struct model *m, struct tracked *t, portals *new)
{
    portals old = t->portals, fresh = { 0 };
    t->portals = (portals){ 0 };
    vec_each (p, new) {
        struct portal *same = take_equal(&old, *p);
        if (same)
            free(*p);
        else
            vec_push(&fresh, *p);
        vec_push(&t->portals, same ? same : *p);
    }
    vec_each (p, &old)
        bury(m, *p);
    vec_each (p, &fresh)
        bear(m, *p);
    vec_done(&fresh);
    vec_done(&old);
    vec_done(new);
}

static struct tracked *track(struct model *m, const char *key, size_t len)
{
    struct tracked *t = ht_get(&m->tracked, key, len);
    if (!t) {
        t = xcalloc(1, sizeof *t);
        ht_put(&m->tracked, key, len, t);
    }
    return t;
}

static void note_health(struct model *m, struct tracked *t, const struct service *s)
{
    bool asked = s->type == SERVICE_LOAD_BALANCER && s->external_local;
    t->health_port = asked ? s->health_check_node_port : 0;
    t->n_local = t->health_port ? select_local_ready(&m->scratch, &m->place) : 0;
}

static void recompute(struct model *m, const char *key, size_t len)
{
    portals new = { 0 };
    const char *slash = strchr(key, '/'); /* a namespace has none */
    char *ns = xstrndup(key, (size_t)(slash - key));
    const struct object *o = store_get(m->store, KIND_SERVICE, ns, slash + 1);
    const struct service *s = o && service_is_served(service_of(o)) ? service_of(o) : NULL;
    struct tracked *t = track(m, key, len);
    free(ns);
    if (s) {
        find_slices(m, s);
        build_portals(m, s, &new);
        note_health(m, t, s);
    }
    exchange(m, t, &new);
    if (!s) {
        ht_del(&m->tracked, key, len);
        free_tracked(t);
    }
}

void model_refresh(struct model *m)
{
    struct ht dirty = m->dirty;
    if (m->changed.n == 0) /* otherwise somebody has yet to be told of them */
        free_buried(m);
    m->dirty = (struct ht){ 0 };
    m->stats.dirty_since = m->stats.trigger_ns = 0;
    ht_each (e, &dirty)
        recompute(m, e->key, e->key_len);
    ht_done(&dirty);
    m->stats.services = m->tracked.n;
}

/* ---- what came out */

const struct portal *model_find(const struct model *m, const char *id)
{
    return ht_get_str(&m->portals, id);
}

const struct place *model_place(const struct model *m)
{
    return &m->place;
}

static void sort(struct portal_change *list, size_t n)
{
    if (n > 1)
        qsort(list, n, sizeof *list, portal_change_compare);
}

size_t model_take_changes(struct model *m, struct portal_change **ret_changes)
{
    VEC(struct portal_change) out = { 0 };
    ht_each (e, &m->changed) {
        const struct told *t = e->value;
        const struct portal *new = model_find(m, e->key);
        if (t->old || new)
            vec_push(&out, (struct portal_change){ new ? new->id : t->old->id, t->old, new });
        free(e->value);
    }
    ht_done(&m->changed);
    sort(out.items, out.n);
    *ret_changes = out.items;
    return out.n;
}

size_t model_all(const struct model *m, uint8_t family, struct portal_change **ret_changes)
{
    VEC(struct portal_change) out = { 0 };
    ht_each (e, &m->portals) {
        const struct portal *p = e->value;
        if (p->family == family)
            vec_push(&out, (struct portal_change){ p->id, NULL, p });
    }
    sort(out.items, out.n);
    *ret_changes = out.items;
    return out.n;
}

size_t model_health_checks(const struct model *m, struct health_check **ret_checks)
{
    VEC(struct health_check) out = { 0 };
    ht_each (e, &m->tracked) {
        const struct tracked *t = e->value;
        if (t->health_port)
            vec_push(&out, (struct health_check){ e->key, t->health_port, t->n_local });
    }
    *ret_checks = out.items;
    return out.n;
}

struct model_stats model_stats(const struct model *m)
{
    return m->stats;
}
