#include "proxy/model.h"

#include "base/clock.h"
#include "base/ht.h"
#include "base/str.h"
#include "proxy/select.h"
#include "proxy/unserved.h"

#include <stdarg.h>
#include <stdio.h>

typedef VEC(struct vip *) vips;

/* A Service that is or was served. */
struct tracked {
    vips vips;
    unsigned features; /* that were reported, enum feature bits */
};

/* Who wants a key; the first by owner has it. */
struct claims {
    vips by_owner;
};

struct model {
    struct store *store;
    struct listener listener;
    struct model_options options;
    char *node_name;
    struct ht tracked; /* "ns/name" -> struct tracked */
    struct ht claims;  /* struct vip_key -> struct claims */
    struct ht dirty;   /* "ns/name" */
    VEC(struct vip_key) changed;
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

static void node_changed(struct model *m, const struct change *c)
{
    const struct object *o = c->new ? c->new : c->old;
    if (strcmp(o->meta.name, m->node_name) == 0)
        m->stats.node_deleting = c->new && c->new->meta.deleting;
}

static void changed(void *ctx, const struct change *c)
{
    struct model *m = ctx;
    const struct object *o = c->new ? c->new : c->old;
    switch (c->kind) {
    case KIND_SERVICE:
        m->stats.service_changes++;
        mark_dirty(m, o->meta.namespace, o->meta.name);
        break;
    case KIND_SLICE:
        m->stats.endpoint_changes++;
        mark_slice(m, c->old);
        mark_slice(m, c->new);
        note_trigger(m, c->new);
        break;
    case KIND_NODE:
        node_changed(m, c);
        return;
    default:
        return;
    }
    if (m->options.dirty)
        m->options.dirty(m->options.ctx);
}

static void take_existing(void *ctx, const struct object *o)
{
    struct model *m = ctx;
    if (o->kind == KIND_SERVICE)
        mark_dirty(m, o->meta.namespace, o->meta.name);
    else if (strcmp(o->meta.name, m->node_name) == 0)
        m->stats.node_deleting = o->meta.deleting;
}

struct model *model_new(struct store *store, const struct model_options *o)
{
    struct model *m = xcalloc(1, sizeof *m);
    m->store = store;
    m->options = *o;
    m->node_name = xstrdup(o->node_name);
    m->start_unix_ns = clock_unix_ns();
    m->listener = (struct listener){ .changed = changed, .ctx = m };
    store_listen(store, &m->listener);
    store_each(store, KIND_SERVICE, NULL, take_existing, m);
    store_each(store, KIND_NODE, NULL, take_existing, m);
    return m;
}

static void free_tracked(struct tracked *t)
{
    vec_each (v, &t->vips)
        free(*v);
    vec_done(&t->vips);
    free(t);
}

static void free_claims(struct claims *c)
{
    vec_done(&c->by_owner);
    free(c);
}

void model_free(struct model *m)
{
    if (!m)
        return;
    store_unlisten(m->store, &m->listener);
    ht_each (e, &m->tracked)
        free_tracked(e->value);
    ht_each (e, &m->claims)
        free_claims(e->value);
    ht_done(&m->tracked);
    ht_done(&m->claims);
    ht_done(&m->dirty);
    vec_done(&m->changed);
    vec_done(&m->scratch.slices);
    free(m->node_name);
    free(m);
}

bool model_is_dirty(const struct model *m)
{
    return m->dirty.n > 0;
}

/* ---- claims: who has a key */

static void report_conflict(struct model *m, const struct claims *c, const struct vip *late)
{
    char text[IP_TEXT_MAX];
    struct ip ip = ip_of_bytes(late->key.family, late->key.ip);
    const struct vip *first = c->by_owner.items[0],
                     *other = late != first ? late : c->by_owner.items[1];
    warn(m, "Services %s and %s both claim %s %s port %u; %s gets it", first->owner, other->owner,
         ip_text(&ip, text), protocol_text(late->key.protocol), late->key.port, first->owner);
}

static void claim(struct model *m, struct vip *v)
{
    struct claims *c = ht_get(&m->claims, &v->key, sizeof v->key);
    if (!c) {
        c = xcalloc(1, sizeof *c);
        ht_put(&m->claims, &v->key, sizeof v->key, c);
    }
    vec_push(&c->by_owner, v);
    size_t i = c->by_owner.n - 1;
    for (; i > 0 && strcmp(c->by_owner.items[i - 1]->owner, v->owner) > 0; i--)
        c->by_owner.items[i] = c->by_owner.items[i - 1];
    c->by_owner.items[i] = v;
    if (c->by_owner.n > 1)
        report_conflict(m, c, v);
    vec_push(&m->changed, v->key);
    m->stats.vips++;
    m->stats.backends += v->n_backends;
}

static void unclaim(struct model *m, const struct vip *v)
{
    struct claims *c = ht_get(&m->claims, &v->key, sizeof v->key);
    size_t i = 0;
    while (c->by_owner.items[i] != v)
        i++;
    for (c->by_owner.n--; i < c->by_owner.n; i++)
        c->by_owner.items[i] = c->by_owner.items[i + 1];
    if (c->by_owner.n == 0)
        free_claims(ht_del(&m->claims, &v->key, sizeof v->key));
    vec_push(&m->changed, v->key);
    m->stats.vips--;
    m->stats.backends -= v->n_backends;
}

/* ---- one Service */

static void add_slice(void *ctx, const struct object *o)
{
    struct slice_list *l = ctx;
    vec_push(&l->slices, slice_of(o));
}

static bool is_served(const struct service *s)
{
    return s && s->type != SERVICE_EXTERNAL_NAME && !s->headless && s->n_cluster_ips > 0 &&
           !proxy_ignores(&s->object.meta);
}

static void build_vips(struct model *m, const struct service *s, vips *out)
{
    const struct meta *meta = &s->object.meta;
    vec_clear(&m->scratch.slices);
    store_each_slice_of(m->store, meta->namespace, meta->name, add_slice, &m->scratch);
    for (unsigned i = 0; i < s->n_cluster_ips; i++) {
        for (unsigned p = 0; p < s->n_ports; p++) {
            size_t left_out;
            struct vip *v = vip_select(s, &s->ports[p], &s->cluster_ips[i], &m->scratch,
                                       m->node_name, &left_out);
            vec_push(out, v);
            if (left_out > 0)
                warn(m, "Service %s: %zu endpoints above the limit of %d are left out", v->owner,
                     left_out, VIP_BACKENDS_MAX);
        }
    }
}

static void report_features(struct model *m, struct tracked *t, const struct service *s)
{
    char text[512];
    unsigned wanted = unserved_features(s, &m->scratch);
    if (wanted && wanted != t->features)
        warn(m, "Service %s/%s: only its cluster IP is served; not offered: %s",
             s->object.meta.namespace, s->object.meta.name,
             unserved_text(wanted, text, sizeof text));
    t->features = wanted;
}

static struct vip *take_equal(vips *from, const struct vip *like)
{
    for (size_t i = 0; i < from->n; i++) {
        struct vip *v = from->items[i];
        if (vip_equal(v, like)) {
            vec_swap_remove(from, i);
            return v;
        }
    }
    return NULL;
}

/* Puts the new list in place of the old one; vips that stayed the same stay where they are. */
static void exchange(struct model *m, struct tracked *t, vips *new)
{
    vips old = t->vips;
    t->vips = (vips){ 0 };
    VEC(struct vip *) fresh = { 0 };
    vec_each (v, new) {
        struct vip *same = take_equal(&old, *v);
        if (same)
            free(*v);
        else
            vec_push(&fresh, *v);
        vec_push(&t->vips, same ? same : *v);
    }
    vec_each (v, &old) {
        unclaim(m, *v);
        free(*v);
    }
    vec_each (v, &fresh)
        claim(m, *v);
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

static void recompute(struct model *m, const char *key, size_t len)
{
    vips new = { 0 };
    const char *slash = strchr(key, '/'); /* a namespace has none */
    char *ns = xstrndup(key, (size_t)(slash - key));
    const struct object *o = store_get(m->store, KIND_SERVICE, ns, slash + 1);
    const struct service *s = o ? service_of(o) : NULL;
    free(ns);
    struct tracked *t = track(m, key, len);
    if (is_served(s)) {
        build_vips(m, s, &new);
        report_features(m, t, s);
    }
    exchange(m, t, &new);
    if (!is_served(s)) {
        ht_del(&m->tracked, key, len);
        free_tracked(t);
    }
}

void model_refresh(struct model *m)
{
    struct ht dirty = m->dirty;
    m->dirty = (struct ht){ 0 };
    m->stats.dirty_since = m->stats.trigger_ns = 0;
    ht_each (e, &dirty)
        recompute(m, e->key, e->key_len);
    ht_done(&dirty);
    m->stats.services = m->tracked.n;
}

/* ---- what came out */

const struct vip *model_find(const struct model *m, const struct vip_key *key)
{
    const struct claims *c = ht_get(&m->claims, key, sizeof *key);
    return c ? c->by_owner.items[0] : NULL;
}

static int compare_changes(const void *a, const void *b)
{
    const struct vip_change *x = a, *y = b;
    return vip_key_compare(&x->key, &y->key);
}

size_t model_take_changes(struct model *m, struct vip_change **ret_changes)
{
    VEC(struct vip_change) out = { 0 };
    vec_each (k, &m->changed)
        vec_push(&out, (struct vip_change){ .key = *k });
    if (out.n > 0)
        qsort(out.items, out.n, sizeof *out.items, compare_changes);
    size_t w = 0;
    for (size_t i = 0; i < out.n; i++)
        if (w == 0 || vip_key_compare(&out.items[w - 1].key, &out.items[i].key) != 0)
            out.items[w++] =
                (struct vip_change){ out.items[i].key, model_find(m, &out.items[i].key) };
    vec_done(&m->changed);
    *ret_changes = out.items;
    return w;
}

size_t model_all(const struct model *m, uint8_t family, struct vip_change **ret_changes)
{
    VEC(struct vip_change) out = { 0 };
    ht_each (e, &m->claims) {
        const struct claims *c = e->value;
        const struct vip *v = c->by_owner.items[0];
        if (v->key.family == family)
            vec_push(&out, (struct vip_change){ v->key, v });
    }
    if (out.n > 0)
        qsort(out.items, out.n, sizeof *out.items, compare_changes);
    *ret_changes = out.items;
    return out.n;
}

struct model_stats model_stats(const struct model *m)
{
    return m->stats;
}
