#include "cmd/explain_run.h"

#include "base/log.h"
#include "base/str.h"
#include "client/textfile.h"
#include "cmd/explain_corefile.h"
#include "cmd/explain_dns.h"
#include "cmd/proxy_around.h"
#include "kube/pod.h"
#include "loop/loop.h"

#include <string.h>

#define ARENA_CHUNK (64 << 10)

struct run {
    uv_loop_t loop;
    struct arena arena;
    struct explain_options options;
    const char *corefile; /* the text of options.corefile */
    struct proxy_settings settings;
    struct chain_options chains[FAMILIES];
    struct explain_objects objects;
    struct explain_dns *dns;
    struct explain_request request;
    struct pod_dns pod_dns;
    range_list ranges;
    void (*take)(void *ctx, const struct explain_report *r);
    void *ctx;
};

static void on_warning(void *ctx, const char *text)
{
    (void)ctx;
    log_warning("%s", text);
}

/* ---- what was asked for */

static int read_protocol(const char *text, enum protocol *ret, struct err *e)
{
    static const char *const names[] = { "tcp", "udp", "sctp" };
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        if (strcmp(names[i], text) == 0) {
            *ret = (enum protocol)i;
            return 0;
        }
    }
    return err_set(e, ERR_INVALID, "--protocol %s: give tcp, udp or sctp", text);
}

static int check(const struct explain_options *o, struct err *e)
{
    bool server = o->objects.kubeconfig || o->objects.master;
    if (o->objects.manifests.n && server)
        return err_set(e, ERR_INVALID, "--manifests and an API server exclude each other");
    for (size_t i = 0; i < o->outside.n; i++)
        if (!strchr(o->outside.items[i], '='))
            return err_set(e, ERR_INVALID, "--outside %s: give NAME=ADDRESS", o->outside.items[i]);
    for (size_t i = 0; i < o->cluster_dns.n; i++) {
        struct ip ip;
        if (ip_parse(o->cluster_dns.items[i], &ip) < 0)
            return err_set(e, ERR_INVALID, "--cluster-dns %s: not an IP address",
                           o->cluster_dns.items[i]);
    }
    return 0;
}

static int read_proxy(struct run *r, struct err *e)
{
    struct explain_options *o = &r->options;
    int rc = 0;
    if (o->proxy_config)
        rc = proxy_config_read(o->proxy_config, &o->proxy, on_warning, e);
    o->proxy.range = o->objects.range;
    if (o->mode)
        o->proxy.mode = o->mode;
    proxy_options_complete(&o->proxy);
    if (rc == 0)
        rc = proxy_settings_of(&o->proxy, &r->settings, e);
    for (unsigned f = 0; f < FAMILIES && rc == 0; f++) {
        r->request.rules[f] = r->settings.rules[f];
        if (r->settings.pod_cidrs_of_node)
            r->request.rules[f].local_mode = LOCAL_CIDR;
    }
    proxy_settings_chains(&r->settings, r->chains);
    for (unsigned f = 0; f < FAMILIES; f++)
        r->chains[f].drop_invalid = true;
    r->request.chains = r->settings.mode == MODE_IPTABLES ? r->chains : NULL;
    return rc;
}

#define AROUND_MAX (64 << 20) /* bytes of a file about a node */

/* An explain_corefile_fn: the file that was given, whoever asks. */
static const char *given_corefile(void *ctx, const char *ns, const char *service, struct arena *a,
                                  const char **ret_name)
{
    const struct run *r = ctx;
    (void)ns, (void)service, (void)a;
    *ret_name = r->options.corefile;
    return r->corefile;
}

static int read_around(struct run *r, struct err *e)
{
    struct explain_options *o = &r->options;
    const struct {
        const char *path, **text;
    } files[] = { { o->corefile, &r->corefile },
                  { o->node_rules, &o->around.rules },
                  { o->connections, &o->around.connections },
                  { o->resolv_conf, &o->around.resolv_conf } };
    int rc = 0;
    for (size_t i = 0; i < ARRAY_SIZE(files) && rc == 0; i++)
        if (files[i].path)
            rc = textfile_read(files[i].path, AROUND_MAX, &r->arena, files[i].text, NULL, e);
    if (r->corefile) {
        o->around.corefile = given_corefile;
        o->around.ctx = r;
    } else if (o->objects.manifests.n) {
        o->around.corefile = explain_find_corefile;
        o->around.ctx = &o->objects.manifests;
    } else {
        o->around.corefile = explain_fetch_corefile;
        o->around.ctx = &r->objects;
    }
    r->request.around = o->around;
    return rc;
}

static int read_files(struct run *r, struct err *e)
{
    const struct explain_options *o = &r->options;
    struct explain_request *q = &r->request;
    int rc = 0;
    if (o->host_resolv)
        rc =
            textfile_read(o->host_resolv, HOST_RESOLVCONF_MAX, &r->arena, &q->host_resolv, NULL, e);
    if (rc == 0 && o->host_hosts)
        rc = textfile_read(o->host_hosts, HOST_RESOLVCONF_MAX, &r->arena, &q->node_hosts, NULL, e);
    for (size_t i = 0; i < o->cluster_dns.n; i++)
        strlist_add(&q->cluster_dns, &r->arena, o->cluster_dns.items[i]);
    return rc == 0 ? read_around(r, e) : rc;
}

/* ---- the Pod that asks */

struct match {
    const char *ns, *name;
    const struct object *found;
};

static void match_pod(void *ctx, const struct object *o)
{
    struct match *m = ctx;
    if (strcmp(o->meta.name, m->name) == 0 && (!m->ns || strcmp(o->meta.namespace, m->ns) == 0))
        m->found = o;
}

/* Who it is in the end, explain/ decides; several of one name are told there. */
static int read_pod(struct run *r, struct err *e)
{
    const char *from = r->request.from, *slash = strchr(from, '/');
    struct match m = { .name = slash ? slash + 1 : from };
    bool known = false;
    if (slash)
        m.ns = arena_strndup(&r->arena, from, (size_t)(slash - from));
    store_each(r->request.store, KIND_POD, NULL, match_pod, &m);
    if (!m.found)
        return 0;
    int rc = explain_pod_dns(&r->objects, m.found->meta.namespace, m.found->meta.name, &r->arena,
                             &r->pod_dns, &known, e);
    r->request.pod_dns = known ? &r->pod_dns : NULL;
    return rc;
}

/* ---- the whole ---- */

static int explain(struct run *r, struct err *e)
{
    struct explain_report report;
    int rc = explain_objects_open(&r->loop, &r->options.objects, &r->objects, e);
    if (rc < 0)
        return rc;
    r->request.store = cluster_store(r->objects.cluster);
    proxy_ranges_find(r->request.store, &r->settings, r->objects.from_folder, &r->ranges);
    r->request.ranges = r->ranges.items;
    r->request.n_ranges = r->ranges.n;
    r->request.assumed_status = r->objects.assumed_status;
    rc = read_pod(r, e);
    if (rc == 0)
        rc = explain_dns_open(&r->loop, r->request.store, r->request.cluster_domain,
                              &r->options.outside, &r->dns, e);
    r->request.ask = explain_dns_ask;
    r->request.ctx = r->dns;
    if (rc == 0)
        rc = explain_build(&r->request, &r->arena, &report, e);
    if (rc == 0) {
        r->take(r->ctx, &report);
        explain_done(&report);
    }
    return rc;
}

static int work(struct run *r, struct err *e)
{
    int rc = check(&r->options, e);
    if (rc == 0)
        rc = read_protocol(r->options.protocol, &r->request.protocol, e);
    if (rc == 0)
        rc = way_from_text(r->options.as, &r->request.way, e);
    if (rc == 0)
        rc = read_proxy(r, e);
    if (rc == 0)
        rc = read_files(r, e);
    if (rc < 0)
        return rc;
    r->request.at = r->options.at;
    r->request.cluster_domain = r->options.cluster_domain;
    uv_loop_init(&r->loop);
    rc = explain(r, e);
    explain_dns_close(r->dns);
    explain_objects_close(&r->objects);
    loop_done(&r->loop);
    vec_done(&r->ranges);
    return rc;
}

void explain_options_defaults(struct explain_options *ret)
{
    *ret = (struct explain_options){ .as = "glibc",
                                     .protocol = "tcp",
                                     .cluster_domain = "cluster.local" };
    proxy_options_defaults(&ret->proxy);
}

int explain_run(const struct explain_options *o, const char *from, const char *to,
                void (*take)(void *ctx, const struct explain_report *r), void *ctx, struct err *e)
{
    struct run r = { .options = *o, .take = take, .ctx = ctx };
    arena_init(&r.arena, ARENA_CHUNK);
    r.request.from = from;
    r.request.to = to;
    int rc = work(&r, e);
    arena_done(&r.arena);
    return rc;
}
