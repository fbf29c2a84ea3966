#include "source/apiserver.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metric.h"
#include "kube/pod.h"
#include "source/reflector.h"

#include <string.h>

static const struct resource {
    const char *group, *plural, *api_version, *kind_name;
    enum kind kind;
    const char *field_selector;
} resources[] = {
    { "/api/v1", "namespaces", "v1", "Namespace", KIND_NAMESPACE, NULL },
    { "/api/v1", "nodes", "v1", "Node", KIND_NODE, NULL },
    { "/api/v1", "services", "v1", "Service", KIND_SERVICE, NULL },
    { "/apis/discovery.k8s.io/v1", "endpointslices", "discovery.k8s.io/v1", "EndpointSlice",
      KIND_SLICE, NULL },
    /* Pods that have ended have no address any more. */
    { "/api/v1", "pods", "v1", "Pod", KIND_POD,
      "status.phase!=Succeeded,status.phase!=Failed,status.phase!=Unknown" },
    { "/api/v1", "configmaps", "v1", "ConfigMap", KIND_CONFIGMAP, NULL },
    { "/api/v1", "endpoints", "v1", "Endpoints", KIND_ENDPOINTS, NULL },
    { "/apis/networking.k8s.io/v1", "servicecidrs", "networking.k8s.io/v1", "ServiceCIDR",
      KIND_SERVICE_CIDR, NULL },
};

/* One reflector and what it reads. */
struct part {
    struct apiserver *server;
    struct reflector_options options;
    const char *namespace; /* of its objects; NULL: all */
    const char *only;      /* a Namespace's own reflector: its name */
    struct reflector *reflector;
    bool synced;
    struct visits {
        const struct part *part;
        enum reflector_state state;
    } visits[REFLECTOR_STATES]; /* what its counters of states read */
};

struct apiserver {
    struct arena arena;
    struct sink sink;
    struct part *parts;
    size_t n, n_synced;
};

/* ---- what reflectors tell ---- */

static void on_put(void *ctx, struct object *o)
{
    const struct part *p = ctx;
    p->server->sink.put(p->server->sink.ctx, o);
}

static void on_del(void *ctx, enum kind kind, const char *ns, const char *name)
{
    const struct part *p = ctx;
    p->server->sink.del(p->server->sink.ctx, kind, ns, name);
}

static void on_problem(void *ctx, const char *text)
{
    const struct part *p = ctx;
    p->server->sink.problem(p->server->sink.ctx, text);
}

struct sweep {
    const struct part *part;
    bool (*keep)(void *list, const char *ns, const char *name);
    void *list;
};

/* A reflector of one Namespace object says nothing about the others. */
static bool keeps(void *ctx, const char *ns, const char *name)
{
    const struct sweep *s = ctx;
    return (s->part->only && strcmp(s->part->only, name) != 0) || s->keep(s->list, ns, name);
}

static void on_sweep(void *ctx, const struct reflector_options *o,
                     bool (*keep)(void *list, const char *ns, const char *name), void *list)
{
    const struct part *p = ctx;
    struct sweep s = { p, keep, list };
    p->server->sink.sweep(p->server->sink.ctx, o->kind, p->namespace, keeps, &s);
}

static void on_synced(void *ctx)
{
    struct part *p = ctx;
    struct apiserver *s = p->server;
    if (s->sink.settled)
        s->sink.settled(s->sink.ctx);
    if (p->synced)
        return;
    p->synced = true;
    if (++s->n_synced == s->n)
        s->sink.synced(s->sink.ctx);
}

/* Clusters before 1.33 have none, and their roles do not speak of them. */
static bool is_optional(const struct part *p)
{
    return p->options.kind == KIND_SERVICE_CIDR;
}

/* A Role cannot allow to list Namespaces, cluster-scoped as they are. One that was named and that
 * we may not look at is taken to be there; a list, should we ever be allowed one, knows better. */
static void on_forbidden(void *ctx)
{
    struct part *p = ctx;
    if (p->synced)
        return;
    if (is_optional(p)) {
        log_info("source/apiserver: ServiceCIDRs are not to be had; going on without");
        on_synced(p);
    }
    if (!p->only)
        return;
    log_warning("source/apiserver: Namespace %s may not be read; taking it to be there", p->only);
    on_put(p, namespace_new(p->only));
    on_synced(p);
}

/* ---- metrics ---- */

static double read_age(void *ctx)
{
    const struct part *p = ctx;
    int64_t heard = atomic_load(&reflector_status(p->reflector)->heard_ns);
    return heard ? (double)(clock_ns() - heard) / 1e9 : -1;
}

static double read_watching(void *ctx)
{
    const struct part *p = ctx;
    return atomic_load(&reflector_status(p->reflector)->watching);
}

#define COUNT(what)                                                                                \
    static double read_##what(void *ctx)                                                           \
    {                                                                                              \
        const struct part *p = ctx;                                                                \
        return (double)atomic_load(&reflector_status(p->reflector)->what);                         \
    }
COUNT(lists)
COUNT(events)
COUNT(failures)

static double read_visits(void *ctx)
{
    const struct visits *v = ctx;
    return (double)atomic_load(&reflector_status(v->part->reflector)->entered[v->state]);
}

static void show_state(struct part *p, enum reflector_state state, const char *labels)
{
    struct strbuf b = { 0 };
    p->visits[state] = (struct visits){ p, state };
    strbuf_puts(&b, labels);
    metric_label(&b, "state", reflector_state_text(state));
    metric_counter_read("signpost_apiserver_states_total",
                        "How often the following of a kind came into each state.", b.p, read_visits,
                        &p->visits[state]);
    strbuf_done(&b);
}

static void show(struct part *p)
{
    struct strbuf b = { 0 };
    metric_label(&b, "kind", p->options.name);
    metric_label(&b, "namespace", p->namespace ? p->namespace : p->only ? p->only : "");
    metric_gauge("signpost_apiserver_age_seconds",
                 "Since the API server was last known to be followed without a gap; -1: never yet.",
                 b.p, read_age, p);
    metric_gauge("signpost_apiserver_watching", "Whether a watch is up.", b.p, read_watching, p);
    metric_counter_read("signpost_apiserver_lists_total", "Lists read whole.", b.p, read_lists, p);
    metric_counter_read("signpost_apiserver_events_total", "Watch events.", b.p, read_events, p);
    metric_counter_read("signpost_apiserver_failures_total", "Requests that failed.", b.p,
                        read_failures, p);
    for (unsigned i = 0; i < REFLECTOR_STATES; i++)
        show_state(p, (enum reflector_state)i, b.p);
    strbuf_done(&b);
}

/* ---- life ---- */

static const char *copy(struct arena *a, const char *s)
{
    return s && *s ? arena_strdup(a, s) : NULL;
}

static const char *fields_of(struct arena *a, const struct resource *r, const char *only,
                             const char *node)
{
    if (only)
        return arena_printf(a, "metadata.name=%s", only);
    if (r->kind == KIND_NODE && node)
        return arena_printf(a, "metadata.name=%s", node);
    if (r->kind == KIND_POD && node)
        return arena_printf(a, "%s,spec.nodeName=%s", r->field_selector, node);
    return r->field_selector;
}

/* The part of a kind in a namespace; of a Namespace the object itself. */
static void add_part(struct apiserver *s, const struct resource *r,
                     const struct apiserver_options *o, const char *ns)
{
    struct arena *a = &s->arena;
    struct part *p = &s->parts[s->n++];
    bool is_namespace = r->kind == KIND_NAMESPACE, namespaced = kind_is_namespaced(r->kind);
    const char *in = ns && namespaced ? arena_printf(a, "namespaces/%s/", ns) : "";
    *p = (struct part){ .server = s, .namespace = namespaced ? copy(a, ns) : NULL };
    if (is_namespace)
        p->only = copy(a, ns);
    p->options = (struct reflector_options){
        .path = arena_printf(a, "%s/%s%s", r->group, in, r->plural),
        .label_selector = is_namespace ? copy(a, o->namespace_labels)
                          : namespaced ? copy(a, o->labels)
                                       : NULL,
        .field_selector = fields_of(a, r, p->only, o->node),
        .api_version = r->api_version,
        .name = r->kind_name,
        .kind = r->kind,
        .without = s->sink.without,
    };
}

static bool is_by_namespace(const struct resource *r)
{
    return kind_is_namespaced(r->kind) || r->kind == KIND_NAMESPACE;
}

static size_t count_parts(unsigned kinds, size_t namespaces)
{
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_SIZE(resources); i++)
        if (kinds >> resources[i].kind & 1)
            n += is_by_namespace(&resources[i]) ? namespaces : 1;
    return n;
}

int apiserver_open(uv_loop_t *loop, struct api_client *client, const struct apiserver_options *o,
                   const struct sink *sink, struct apiserver **ret, struct err *e)
{
    size_t each = o->n_namespaces ? o->n_namespaces : 1, n = count_parts(o->kinds, each);
    if (n > APISERVER_REFLECTORS_MAX)
        return err_set(e, ERR_LIMIT,
                       "%zu namespaces are %zu lists to follow, more than %d; name none, to follow "
                       "all namespaces with one list a kind",
                       each, n, APISERVER_REFLECTORS_MAX);
    struct apiserver *s = xcalloc(1, sizeof *s);
    arena_init(&s->arena, 4096);
    s->sink = *sink;
    s->parts = arena_zalloc(&s->arena, n * sizeof *s->parts);
    for (size_t i = 0; i < ARRAY_SIZE(resources); i++) {
        if (!(o->kinds >> resources[i].kind & 1))
            continue;
        bool by_namespace = is_by_namespace(&resources[i]);
        for (size_t k = 0; k < (by_namespace ? each : 1); k++)
            add_part(s, &resources[i], o,
                     by_namespace && o->n_namespaces ? o->namespaces[k] : NULL);
    }
    for (size_t i = 0; i < s->n; i++) {
        struct part *p = &s->parts[i];
        const struct reflector_sink to = { p,         on_put,       on_del,    on_sweep,
                                           on_synced, on_forbidden, on_problem };
        p->reflector = reflector_new(loop, client, &p->options, &to);
        show(p);
    }
    *ret = s;
    return 0;
}

void apiserver_close(struct apiserver *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++) {
        metric_gauge_drop(&s->parts[i]);
        for (unsigned k = 0; k < REFLECTOR_STATES; k++)
            metric_gauge_drop(&s->parts[i].visits[k]);
        reflector_free(s->parts[i].reflector);
    }
    arena_done(&s->arena);
    free(s);
}

int64_t apiserver_age(const struct apiserver *s)
{
    int64_t now = clock_ns(), age = 0;
    for (size_t i = 0; i < s->n; i++) {
        int64_t heard = atomic_load(&reflector_status(s->parts[i].reflector)->heard_ns);
        if (!heard && is_optional(&s->parts[i]) && s->parts[i].synced)
            continue;
        if (!heard)
            return -1;
        age = MAX(age, now - heard);
    }
    return age;
}
