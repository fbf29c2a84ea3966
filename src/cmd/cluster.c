#include "cmd/cluster.h"

#include "base/ht.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "endpoints/cluster_ip.h"
#include "endpoints/planner.h"
#include "kube/pod.h"
#include "registry/feed.h"
#include "source/apiserver.h"
#include "source/dir.h"

#include <string.h>

#define DEFAULT_BURST 10 /* as the originals' */

struct cluster {
    struct store *store;
    struct cluster_ip_allocator *addresses;
    struct planner *planner;
    struct dir_source *source; /* folders, with allocator and planner; or: */
    struct api_client *client;
    struct apiserver *server;
    struct feed *feed; /* or: a registry */
    struct ht
        strays; /* namespace -> sentence about its first object, to be told if it is not there */
    struct ht reported;   /* namespaces of which it was told */
    char *key;            /* in struct clusters: what it is asked for by */
    struct cluster *next; /* in struct clusters */
};

/* Namespaces that an API server makes by itself. */
static const char *const implied[] = { "default", "kube-system", "kube-public", "kube-node-lease" };

static bool is_implied(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(implied); i++)
        if (strcmp(implied[i], name) == 0)
            return true;
    return false;
}

static void put_implied(struct cluster *c, const char *name)
{
    store_put(c->store, namespace_new(name));
}

static void on_problem(void *ctx, const char *text)
{
    (void)ctx;
    log_warning("%s", text);
}

/* Whether its namespace exists is looked at when the whole batch is in. */
static void note_namespace(void *ctx, const struct object *o)
{
    struct cluster *c = ctx;
    const struct meta *m = &o->meta;
    struct strbuf b = { 0 };
    if (!kind_is_namespaced(o->kind) || store_get(c->store, KIND_NAMESPACE, "", m->namespace) ||
        ht_get_str(&c->strays, m->namespace) || ht_get_str(&c->reported, m->namespace))
        return;
    strbuf_printf(&b,
                  "%s%s%s %s/%s: the namespace %s does not exist, so that DNS knows nothing in it; "
                  "add a Namespace object",
                  m->origin, *m->origin ? ": " : "", kind_text(o->kind), m->namespace, m->name,
                  m->namespace);
    ht_put_str(&c->strays, m->namespace, strbuf_steal(&b));
}

static void on_settled(void *ctx)
{
    struct cluster *c = ctx;
    ht_each (e, &c->strays) {
        if (!store_get(c->store, KIND_NAMESPACE, "", e->key)) {
            log_warning("%s", (char *)e->value);
            ht_put_str(&c->reported, e->key, c);
        }
        free(e->value);
    }
    ht_done(&c->strays);
}

static void on_put(void *ctx, struct object *o)
{
    struct cluster *c = ctx;
    note_namespace(c, o);
    if (o->kind == KIND_NAMESPACE)
        ht_del_str(&c->reported, o->meta.name);
    if (o->kind == KIND_SERVICE)
        cluster_ip_put(c->addresses, o);
    else
        store_put(c->store, o);
}

static void delete_namespace(struct cluster *c, const char *name)
{
    cleanup_free char *copy = xstrdup(name); /* it may be the object's own */
    if (is_implied(copy)) {
        put_implied(c, copy);
        return;
    }
    store_delete(c->store, KIND_NAMESPACE, "", copy);
    for (unsigned kind = 0; kind < KIND_COUNT; kind++)
        store_each(c->store, (enum kind)kind, copy, note_namespace, c);
}

static void on_delete(void *ctx, enum kind kind, const char *ns, const char *name)
{
    struct cluster *c = ctx;
    if (kind == KIND_NAMESPACE)
        delete_namespace(c, name);
    else if (kind == KIND_SERVICE)
        cluster_ip_delete(c->addresses, ns, name);
    else
        store_delete(c->store, kind, ns, name);
}

static void on_synced(void *ctx)
{
    struct cluster *c = ctx;
    cluster_ip_synced(c->addresses);
    planner_start(c->planner);
    store_set_synced(c->store);
}

/* "A" or "A,B" of different families. Returns how many, or a negative code. */
static int parse_ranges(const char *text, struct ip_prefix ranges[2], struct err *e)
{
    int n = 0;
    for (const char *at = text;; at++) {
        size_t len = strcspn(at, ",");
        cleanup_free char *one = xstrndup(at, len);
        if (n == 2 || ip_prefix_parse(one, &ranges[n]) < 0 ||
            (n == 1 && ranges[0].ip.family == ranges[1].ip.family))
            return err_set(e, ERR_INVALID,
                           "service cluster IP range \"%s\": must be one address range or two of "
                           "different families, such as " CLUSTER_IP_DEFAULT_V4
                           "," CLUSTER_IP_DEFAULT_V6,
                           text);
        n++;
        at += len;
        if (!*at)
            return n;
    }
}

void cluster_close(struct cluster *c)
{
    if (!c)
        return;
    feed_close(c->feed);
    apiserver_close(c->server);
    api_client_free(c->client);
    dir_source_close(c->source);
    planner_free(c->planner);
    cluster_ip_free(c->addresses);
    store_free(c->store);
    ht_each (it, &c->strays)
        free(it->value);
    ht_done(&c->strays);
    ht_done(&c->reported);
    free(c->key);
    free(c);
}

static int open_dirs(uv_loop_t *loop, const struct object_source *source, struct cluster **ret,
                     struct err *e)
{
    struct ip_prefix ranges[2];
    const char *text = source->range;
    int n_ranges =
        parse_ranges(text ? text : CLUSTER_IP_DEFAULT_V4 "," CLUSTER_IP_DEFAULT_V6, ranges, e);
    if (n_ranges < 0)
        return n_ranges;
    struct cluster *c = xcalloc(1, sizeof *c);
    c->store = store_new();
    c->addresses = cluster_ip_new(c->store, ranges, (size_t)n_ranges);
    cluster_ip_on_problem(c->addresses, on_problem, c);
    c->planner = planner_new(c->store);
    for (size_t i = 0; i < ARRAY_SIZE(implied); i++)
        put_implied(c, implied[i]);
    const struct sink sink = { .ctx = c,
                               .without = source->without,
                               .put = on_put,
                               .del = on_delete,
                               .synced = on_synced,
                               .problem = on_problem,
                               .settled = on_settled };
    int r = dir_source_open(loop, source->dirs, source->n_dirs, &sink, &c->source, e);
    if (r < 0) {
        cluster_close(c);
        return r;
    }
    *ret = c;
    return 0;
}

/* ---- an API server ---- */

/* It has checked and completed its objects, and its controllers make the slices. */
static void on_api_put(void *ctx, struct object *o)
{
    struct cluster *c = ctx;
    store_put(c->store, o);
}

static void on_api_delete(void *ctx, enum kind kind, const char *ns, const char *name)
{
    struct cluster *c = ctx;
    store_delete(c->store, kind, ns, name);
}

static void on_api_synced(void *ctx)
{
    struct cluster *c = ctx;
    store_set_synced(c->store);
}

struct gone {
    bool (*keep)(void *list, const char *ns, const char *name);
    void *list;
    VEC(const struct object *) objects;
};

static void note_gone(void *ctx, const struct object *o)
{
    struct gone *g = ctx;
    if (!g->keep(g->list, o->meta.namespace, o->meta.name))
        vec_push(&g->objects, o);
}

static void on_api_sweep(void *ctx, enum kind kind, const char *ns,
                         bool (*keep)(void *list, const char *ns, const char *name), void *list)
{
    struct cluster *c = ctx;
    struct gone g = { .keep = keep, .list = list };
    store_each(c->store, kind, ns, note_gone, &g);
    vec_each (o, &g.objects)
        store_delete(c->store, kind, (*o)->meta.namespace, (*o)->meta.name);
    vec_done(&g.objects);
}

static int api_config_of(const struct object_source *s, struct arena *a, struct api_config *ret,
                         struct err *e)
{
    const char *scheme = s->endpoint && !strstr(s->endpoint, "://") ? "http://" : "";
    const char *url = s->endpoint ? arena_printf(a, "%s%s", scheme, s->endpoint) : NULL;
    if (s->kubeconfig) {
        int r = kubeconfig_load(&s->kubeconfig, 1, s->context, a, ret, e);
        if (r == 0 && url)
            ret->server = url;
        return r;
    }
    if (!url)
        return api_config_in_cluster(NULL, a, ret, e);
    *ret = (struct api_config){ .server = url,
                                .cert = s->cert,
                                .key = s->key,
                                .ca = s->ca,
                                .namespace = "default",
                                .origin = "endpoint" };
    return 0;
}

static int open_server(uv_loop_t *loop, const struct object_source *source, struct cluster **ret,
                       struct err *e)
{
    cleanup(arena_done) struct arena a;
    struct api_config config;
    arena_init(&a, 4096);
    int r = api_config_of(source, &a, &config, e);
    if (r < 0)
        return r;
    struct cluster *c = xcalloc(1, sizeof *c);
    c->store = store_new();
    const struct sink sink = { .ctx = c,
                               .without = source->without,
                               .put = on_api_put,
                               .del = on_api_delete,
                               .synced = on_api_synced,
                               .problem = on_problem,
                               .sweep = on_api_sweep };
    const struct apiserver_options options = { .kinds = source->kinds,
                                               .namespaces = source->namespaces,
                                               .n_namespaces = source->n_namespaces,
                                               .labels = source->labels,
                                               .namespace_labels = source->namespace_labels,
                                               .node = source->node };
    r = api_client_new(loop, &config, &c->client, e);
    if (r == 0) {
        api_client_limit(c->client, source->qps, source->burst ? source->burst : DEFAULT_BURST);
        api_client_limit_inflight(c->client, source->inflight);
        api_client_metrics(c->client,
                           source->coredns_metrics ? API_METRICS_DNS : API_METRICS_PROXY);
    }
    if (r == 0)
        r = apiserver_open(loop, c->client, &options, &sink, &c->server, e);
    if (r < 0) {
        cluster_close(c);
        return r;
    }
    *ret = c;
    return 0;
}

struct cluster *cluster_of_registry(struct registry *r)
{
    struct cluster *c = xcalloc(1, sizeof *c);
    c->store = store_new();
    c->feed = feed_open(r, &(struct sink){ .ctx = c,
                                           .put = on_api_put,
                                           .del = on_api_delete,
                                           .synced = on_api_synced,
                                           .problem = on_problem });
    return c;
}

int cluster_open(uv_loop_t *loop, const struct object_source *source, struct cluster **ret,
                 struct err *e)
{
    return source->n_dirs ? open_dirs(loop, source, ret, e) : open_server(loop, source, ret, e);
}

struct store *cluster_store(struct cluster *c)
{
    return c->store;
}

struct api_client *cluster_client(struct cluster *c)
{
    return c->client;
}

static void add_word(struct strbuf *b, const char *text)
{
    strbuf_printf(b, "\n%s", text ? text : "");
}

/* The same folders under other names count as the same. */
static char *key_of(const struct object_source *s)
{
    struct strbuf b = { 0 };
    strbuf_printf(&b, "%x %x %s %g %g %u", s->without, s->kinds, s->range ? s->range : "", s->qps,
                  s->burst, s->inflight);
    for (size_t i = 0; i < s->n_dirs; i++) {
        cleanup_free char *real = realpath(s->dirs[i], NULL);
        add_word(&b, real ? real : s->dirs[i]);
    }
    if (s->n_dirs)
        return strbuf_steal(&b);
    const char *const words[] = { s->kubeconfig, s->context, s->endpoint,         s->cert, s->key,
                                  s->ca,         s->labels,  s->namespace_labels, s->node };
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        add_word(&b, words[i]);
    for (size_t i = 0; i < s->n_namespaces; i++)
        add_word(&b, s->namespaces[i]);
    return strbuf_steal(&b);
}

int clusters_open_source(void *ctx, const struct object_source *source, struct store **ret,
                         struct err *e)
{
    struct clusters *all = ctx;
    if (all->local && !source->n_dirs && !source->kubeconfig && !source->endpoint) {
        *ret = all->local->store;
        return 0;
    }
    cleanup_free char *key = key_of(source);
    struct cluster *c = all->first;
    while (c && strcmp(c->key, key) != 0)
        c = c->next;
    if (!c) {
        if (all->n == CLUSTERS_MAX)
            return err_set(e, ERR_LIMIT, "more than %d sources of objects", CLUSTERS_MAX);
        int r = cluster_open(all->loop, source, &c, e);
        if (r < 0)
            return r;
        c->key = key;
        key = NULL;
        c->next = all->first;
        all->first = c;
        all->n++;
    }
    *ret = c->store;
    return 0;
}

struct cluster *clusters_next(const struct clusters *all, const struct cluster *c)
{
    if (!c && all->local)
        return all->local;
    return c && c != all->local ? c->next : all->first;
}

void clusters_close(struct clusters *all)
{
    while (all->first) {
        struct cluster *c = all->first;
        all->first = c->next;
        cluster_close(c);
    }
    all->n = 0;
}
