/* Options of `kubernetes`, and the start of an instance. */
#include "dns/plugins/kubernetes.h"
#include "dns/plugins/metadata.h"

#include "base/str.h"
#include "dns/transfer.h"
#include "kube/selector.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <string.h>

/* ---- options ---- */

static int arg_list(struct kubernetes *k, struct dispenser *d, const char *const **list, size_t *n,
                    struct err *e)
{
    const char **args;
    struct arena *a = setup_arena(k->setup);
    size_t count = dispenser_rest(d, a, &args);
    if (count == 0)
        return dispenser_arg_err(d, e);
    const char **all = arena_alloc(a, (*n + count) * sizeof *all);
    if (*n)
        memcpy(all, *list, *n * sizeof *all);
    memcpy(all + *n, args, count * sizeof *all);
    *list = all;
    *n += count;
    return 0;
}

static int opt_manifests(struct kubernetes *k, struct dispenser *d, struct err *e)
{
    return arg_list(k, d, &k->source.dirs, &k->source.n_dirs, e);
}

static int opt_range(struct kubernetes *k, struct dispenser *d, struct err *e)
{
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    k->source.range = dispenser_val(d);
    return 0;
}

static int opt_namespaces(struct kubernetes *k, struct dispenser *d, struct err *e)
{
    return arg_list(k, d, &k->options.namespaces, &k->options.n_namespaces, e);
}

static int selector_arg(struct kubernetes *k, struct dispenser *d, const struct selector **ret,
                        const char **ret_text, struct err *e)
{
    const char **args;
    struct arena *a = setup_arena(k->setup);
    size_t n = dispenser_rest(d, a, &args);
    char *text = arena_strdup(a, "");
    if (n == 0)
        return dispenser_arg_err(d, e);
    for (size_t i = 0; i < n; i++)
        text = arena_printf(a, "%s%s%s", text, i ? " " : "", args[i]);
    if (strstr(text, "!=")) /* so does the reference, whose selectors cannot say it */
        return dispenser_err(d, e,
                             "label selector %s: \"!=\" is not an operator here; write \"key notin "
                             "(value)\"",
                             text);
    *ret_text = text;
    int code = selector_parse(text, a, ret, e);
    return code < 0 ? dispenser_err(d, e, "%s", e->text) : 0;
}

static int opt_labels(struct kubernetes *k, struct dispenser *d, struct err *e)
{
    return selector_arg(k, d, &k->options.labels, &k->source.labels, e);
}

static int opt_namespace_labels(struct kubernetes *k, struct dispenser *d, struct err *e)
{
    return selector_arg(k, d, &k->options.namespace_labels, &k->source.namespace_labels, e);
}

static int opt_pods(struct kubernetes *k, struct dispenser *d, struct err *e)
{
    static const char *const modes[] = { "disabled", "insecure", "verified" };
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    for (unsigned i = 0; i < ARRAY_SIZE(modes); i++)
        if (strcmp(dispenser_val(d), modes[i]) == 0) {
            k->options.pods = (enum snapshot_pods)i;
            return dispenser_next_arg(d) ? dispenser_arg_err(d, e) : 0;
        }
    return dispenser_err(d, e,
                         "wrong value for pods: %s,  must be one of: disabled, verified, insecure",
                         dispenser_val(d));
}

static int opt_ttl(struct kubernetes *k, struct dispenser *d, struct err *e)
{
    long ttl;
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    int code = str_to_long(dispenser_val(d), -1000000000L, 1000000000L, &ttl);
    if (code == ERR_PARSE)
        return dispenser_err(d, e, "ttl is not a number: %s", dispenser_val(d));
    if (code < 0 || ttl < 0 || ttl > KUBERNETES_TTL_MAX)
        return dispenser_err(d, e, "ttl must be in range [0, %d]: %s", KUBERNETES_TTL_MAX,
                             dispenser_val(d));
    k->ttl = (uint32_t)ttl;
    while (dispenser_next_arg(d)) /* accepted by the reference */
        log_warning("plugin/kubernetes: ttl takes one number; '%s' has no effect",
                    dispenser_val(d));
    return 0;
}

static int opt_ignore(struct kubernetes *k, struct dispenser *d, struct err *e)
{
    while (dispenser_next_arg(d)) {
        if (strcmp(dispenser_val(d), "empty_service") != 0)
            return dispenser_err(d, e, "unable to parse ignore value: '%s'", dispenser_val(d));
        k->options.ignore_empty = true;
    }
    return 0;
}

static int no_args(struct dispenser *d, struct err *e)
{
    return dispenser_next_arg(d) ? dispenser_arg_err(d, e) : 0;
}

static int opt_endpoint_pod_names(struct kubernetes *k, struct dispenser *d, struct err *e)
{
    k->options.endpoint_pod_names = true;
    return no_args(d, e);
}

static int opt_noendpoints(struct kubernetes *k, struct dispenser *d, struct err *e)
{
    k->options.endpoints = false;
    return no_args(d, e);
}

static int opt_zonal(struct kubernetes *k, struct dispenser *d, struct err *e)
{
    k->zonal = true;
    return no_args(d, e);
}

static int opt_fallthrough(struct kubernetes *k, struct dispenser *d, struct err *e)
{
    return zone_set_fallthrough(k->setup, d, &k->fallthrough, e);
}

static int opt_startup_timeout(struct kubernetes *k, struct dispenser *d, struct err *e)
{
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    if (str_to_duration(dispenser_val(d), &k->startup_ns) < 0)
        return dispenser_err(d, e, "startup_timeout is not a duration: %s", dispenser_val(d));
    if (k->startup_ns <= 0)
        return dispenser_err(d, e, "startup_timeout must be positive: %s", dispenser_val(d));
    return 0;
}

static int opt_endpoint(struct kubernetes *k, struct dispenser *d, struct err *e)
{
    const char **args;
    size_t n = dispenser_rest(d, setup_arena(k->setup), &args);
    if (n == 0)
        return dispenser_arg_err(d, e);
    if (n > 1)
        log_warning(
            "plugin/kubernetes: multiple endpoints have been deprecated, only the first one "
            "is used: %s",
            args[0]);
    k->source.endpoint = args[0];
    return 0;
}

static int opt_tls(struct kubernetes *k, struct dispenser *d, struct err *e)
{
    const char **args;
    if (dispenser_rest(d, setup_arena(k->setup), &args) != 3)
        return dispenser_arg_err(d, e);
    k->source.cert = setup_path(k->setup, args[0]);
    k->source.key = setup_path(k->setup, args[1]);
    k->source.ca = setup_path(k->setup, args[2]);
    return 0;
}

static int opt_kubeconfig(struct kubernetes *k, struct dispenser *d, struct err *e)
{
    const char **args;
    size_t n = dispenser_rest(d, setup_arena(k->setup), &args);
    if (n < 1 || n > 2)
        return dispenser_arg_err(d, e);
    k->source.kubeconfig = args[0];
    k->source.context = n > 1 ? args[1] : NULL;
    return 0;
}

/* Without a rate there is none: a list and a watch for each kind are all that is ever asked for. */
static int opt_qps(struct kubernetes *k, struct dispenser *d, struct err *e)
{
    char *end;
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    k->source.qps = strtod(dispenser_val(d), &end);
    if (end == dispenser_val(d) || *end || !(k->source.qps >= 0))
        return dispenser_err(d, e, "apiserver_qps must be a number of at least 0: %s",
                             dispenser_val(d));
    return dispenser_end(d, e);
}

static int whole_number(struct dispenser *d, long *ret, struct err *e)
{
    const char *option = dispenser_val(d);
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    if (str_to_long(dispenser_val(d), 0, INT32_MAX, ret) < 0)
        return dispenser_err(d, e, "%s must be a whole number of at least 0: %s", option,
                             dispenser_val(d));
    return dispenser_end(d, e);
}

static int opt_burst(struct kubernetes *k, struct dispenser *d, struct err *e)
{
    long n = 0;
    int ret = whole_number(d, &n, e);
    k->source.burst = (double)n;
    return ret;
}

static int opt_max_inflight(struct kubernetes *k, struct dispenser *d, struct err *e)
{
    long n = 0;
    int ret = whole_number(d, &n, e);
    k->source.inflight = (unsigned)n;
    return ret;
}

static int opt_multicluster(struct kubernetes *k, struct dispenser *d, struct err *e)
{
    struct zone_list zones = { 0 };
    while (dispenser_next_arg(d)) {
        int code = zone_expand(dispenser_val(d), setup_arena(k->setup), &zones, e);
        if (code < 0)
            return dispenser_err(d, e, "%s", e->text);
    }
    k->multicluster = zones;
    return 0;
}

static const struct {
    const char *name;
    int (*read)(struct kubernetes *k, struct dispenser *d, struct err *e);
} options[] = {
    { "manifests", opt_manifests },
    { "service_cluster_ip_range", opt_range },
    { "namespaces", opt_namespaces },
    { "namespace_labels", opt_namespace_labels },
    { "labels", opt_labels },
    { "pods", opt_pods },
    { "endpoint_pod_names", opt_endpoint_pod_names },
    { "ttl", opt_ttl },
    { "noendpoints", opt_noendpoints },
    { "fallthrough", opt_fallthrough },
    { "ignore", opt_ignore },
    { "zonal", opt_zonal },
    { "startup_timeout", opt_startup_timeout },
    { "endpoint", opt_endpoint },
    { "tls", opt_tls },
    { "kubeconfig", opt_kubeconfig },
    { "apiserver_qps", opt_qps },
    { "apiserver_burst", opt_burst },
    { "apiserver_max_inflight", opt_max_inflight },
    { "multicluster", opt_multicluster },
};

static int read_option(struct kubernetes *k, struct dispenser *d, struct err *e)
{
    for (size_t i = 0; i < ARRAY_SIZE(options); i++)
        if (strcmp(options[i].name, dispenser_val(d)) == 0)
            return options[i].read(k, d, e);
    return dispenser_unknown(d, e);
}

/* ---- zones ---- */

static bool is_reverse(const uint8_t *zone)
{
    static const uint8_t v4[] = "\007in-addr\004arpa", v6[] = "\003ip6\004arpa";
    return name_is_below(zone, v4) || name_is_below(zone, v6);
}

static int read_zones(struct kubernetes *k, struct dispenser *d, struct err *e)
{
    struct arena *a = setup_arena(k->setup);
    struct zone_list zones = { 0 };
    while (dispenser_next_arg(d)) {
        int code = zone_expand(dispenser_val(d), a, &zones, e);
        if (code < 0)
            return dispenser_err(d, e, "%s", e->text);
    }
    if (zones.n == 0)
        zones = setup_zones(k->setup);
    k->zones = zone_set_new(a, &zones);
    k->primary = -1;
    for (int i = (int)zones.n - 1; i >= 0; i--) {
        if (name_wire_len(zone_set_wire(k->zones, i)) > KUBERNETES_ZONE_MAX)
            return dispenser_err(d, e, "zone \"%s\" is too long for names below it",
                                 zones.items[i]);
        if (!is_reverse(zone_set_wire(k->zones, i)))
            k->primary = i;
    }
    return k->primary < 0 ? dispenser_err(d, e, "non-reverse zone name must be used") : 0;
}

/* "[a. b.]" */
static const char *zones_text(const struct kubernetes *k)
{
    struct arena *a = setup_arena(k->setup);
    const char *text = "[";
    for (unsigned i = 0; i < zone_set_count(k->zones); i++) {
        char name[NAME_TEXT_MAX];
        text = arena_printf(a, "%s%s%s", text, i ? " " : "",
                            name_to_text(zone_set_wire(k->zones, (int)i), name));
    }
    return arena_printf(a, "%s]", text);
}

/* The reference's complaint comes first, as it does there. */
static int check_multicluster(const struct kubernetes *k, const struct dispenser *d, struct err *e)
{
    for (size_t i = 0; i < k->multicluster.n; i++) {
        struct name zone;
        bool ours = false;
        for (unsigned n = 0; n < zone_set_count(k->zones); n++)
            ours |= name_from_text(k->multicluster.items[i], &zone) == 0 &&
                    name_equal(zone.wire, zone_set_wire(k->zones, (int)n));
        if (!ours)
            return dispenser_err(
                d, e, "is not authoritative for the multicluster zone %s (authoritative zones: %s)",
                k->multicluster.items[i], zones_text(k));
    }
    return k->multicluster.n
               ? dispenser_err(d, e, "'multicluster' is not supported: ServiceImports are not read")
               : 0;
}

static int check(const struct kubernetes *k, const struct dispenser *d, struct err *e)
{
    int code = check_multicluster(k, d, e);
    if (code < 0)
        return code;
    if (k->options.n_namespaces && k->options.namespace_labels)
        return dispenser_err(d, e, "namespaces and namespace_labels cannot both be set");
    if (k->source.n_dirs && (k->source.kubeconfig || k->source.endpoint || k->source.cert))
        return dispenser_err(d, e, "manifests and an API server cannot both be the source");
    if (k->zonal && !k->options.endpoints)
        return dispenser_err(d, e, "zonal and noendpoints cannot both be set");
    return 0;
}

/* ---- our own addresses ---- */

static void add_local(struct kubernetes *k, const struct ip *ip)
{
    bool link_local = ip->family == 6 && ip->bytes[0] == 0xfe && (ip->bytes[1] & 0xc0) == 0x80;
    if (!ip->family || ip_is_loopback(ip) || link_local || ip_is_any(ip))
        return;
    k->local = xrealloc(k->local, (k->n_local + 1) * sizeof *k->local);
    k->local[k->n_local++] = *ip;
}

/* The addresses that the block is bound to, or all of the host's. */
static void find_local(struct kubernetes *k)
{
    const struct ip *binds;
    size_t n = setup_binds(k->setup, &binds);
    struct ifaddrs *all = NULL;
    for (size_t i = 0; i < n; i++)
        add_local(k, &binds[i]);
    if (n || getifaddrs(&all) < 0)
        return;
    for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
        if (!i->ifa_addr)
            continue;
        struct ip ip = ip_of_sockaddr(i->ifa_addr);
        add_local(k, &ip);
    }
    freeifaddrs(all);
}

/* ---- life ---- */

static void kubernetes_stop(void *conf)
{
    struct kubernetes *k = conf;
    snapshot_free(k->snapshot);
    free(k->local);
}

static bool kubernetes_ready(void *conf)
{
    const struct kubernetes *k = conf;
    return snapshot_synced(k->snapshot);
}

static void kubernetes_late(void *conf)
{
    const struct kubernetes *k = conf;
    snapshot_build(k->snapshot);
}

/* Names of pods are only looked at when endpoints go by them; the rest is the proxy's. */
static int open_source(struct kubernetes *k, struct err *e)
{
    k->source.without = PART_UID | PART_ENDPOINT_NODE | PART_ENDPOINT_HINTS | PART_WRITING;
    if (!k->options.endpoint_pod_names)
        k->source.without |= PART_ENDPOINT_POD;
    if (!k->source.n_dirs && !k->source.labels) /* in folders slices are made by them */
        k->source.without |= PART_LABELS;
    if (k->source.kubeconfig && k->source.endpoint) { /* as in the reference */
        log_warning("plugin/kubernetes: endpoint has no effect beside kubeconfig");
        k->source.endpoint = k->source.cert = k->source.key = k->source.ca = NULL;
    }
    k->source.kinds = 1u << KIND_NAMESPACE | 1u << KIND_SERVICE;
    k->source.kinds |= k->options.endpoints ? 1u << KIND_SLICE : 0;
    k->source.kinds |= k->options.pods == PODS_VERIFIED ? 1u << KIND_POD : 0;
    k->source.namespaces = k->options.namespaces;
    k->source.coredns_metrics = true;
    k->source.n_namespaces = k->options.n_namespaces;
    return setup_source(k->setup, &k->source, &k->store, e);
}

static void prepare_zones(struct kubernetes *k)
{
    struct arena *a = setup_arena(k->setup);
    unsigned n = zone_set_count(k->zones);
    k->soa = arena_zalloc(a, n * sizeof(uint8_t *));
    k->keeps = arena_zalloc(a, n * sizeof *k->keeps);
    for (unsigned i = 0; i < n; i++) {
        const uint8_t *zone = zone_set_wire(k->zones, (int)i);
        k->soa[i] = soa_rdata(k, a, zone);
        k->keeps[i] = !zone_set_meets(k->fallthrough, zone);
    }
}

static int kubernetes_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    struct kubernetes *k = arena_zalloc(setup_arena(s), sizeof *k);
    k->setup = s;
    k->ttl = KUBERNETES_TTL_DEFAULT;
    k->startup_ns = KUBERNETES_STARTUP_NS;
    k->options.endpoints = true;
    dispenser_next_directive(d);
    int ret = read_zones(k, d, e);
    while (ret == 0 && dispenser_next_block(d))
        ret = read_option(k, d, e);
    if (ret == 0)
        ret = check(k, d, e);
    if (ret == 0)
        ret = open_source(k, e);
    if (ret < 0)
        return ret;
    find_local(k);
    prepare_zones(k);
    struct offers *offers = setup_offers(s);
    offers_add(offers, "kubernetes", k);
    k->options.externals = offers_find(offers, "k8s_external") != NULL;
    k->options.clients = metadata_of(s) && k->options.pods == PODS_VERIFIED;
    k->snapshot = snapshot_new(k->store, &k->options);
    transfers_add(transfers_find(s), kubernetes_transfer, k);
    metadata_provide(metadata_of(s), "kubernetes/", kubernetes_label, k);
    setup_in(s, kubernetes_in, k);
    setup_at_once(s, kubernetes_at_once);
    setup_ahead(s, kubernetes_ahead, k);
    setup_ready(s, kubernetes_ready, k);
    setup_wait(s, kubernetes_ready, kubernetes_late, k->startup_ns, "Kubernetes API", k);
    setup_stop(s, kubernetes_stop, k);
    k->setup = NULL;
    return 0;
}

const struct plugin plugin_kubernetes = { .name = "kubernetes",
                                          .setup = kubernetes_setup,
                                          .why = &kubernetes_why };
