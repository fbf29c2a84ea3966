/* `prometheus [ADDR]`: counts queries as the reference does (its names, labels and buckets) and
 * serves /metrics. One difference on purpose: the label `plugin` names the plugin that answered. */
#include "dns/plugins/prometheus.h"

#include "dns/plugin.h"
#include "net/http.h"

#include <stdatomic.h>
#include <string.h>

#define TYPES   21 /* labels of `type`, "other" last */
#define RCODES  24 /* rcodes that are told apart; the rest counts as the last */
#define PLUGINS 64

/* Series of one route. Those with many labels are registered when they first occur: 0 until then.
 */
struct route_metrics {
    struct histogram duration, request_size[TRANSPORT_COUNT], response_size[TRANSPORT_COUNT];
    metric do_requests;
    _Atomic metric requests[TRANSPORT_COUNT][2][TYPES];
    _Atomic metric responses[RCODES][PLUGINS];
};

struct prometheus {
    const char *address;
    struct dns_config *config;
    const struct block *block;
    struct http_server *http;
    struct route_metrics **routes; /* by id; NULL for those of other blocks */
    unsigned n_routes;
};

static const char *const type_names[TYPES] = {
    "A",   "AAAA", "CNAME", "DNSKEY", "DS",   "MX",   "NSEC3", "NSEC", "NS",    "PTR",   "RRSIG",
    "SOA", "SRV",  "TXT",   "HTTPS",  "SVCB", "IXFR", "AXFR",  "ANY",  "HINFO", "other",
};
static uint8_t type_index[260]; /* by record type; filled once */
static const char *const proto_names[] = { "udp", "tcp" };

/* 0.25 ms doubled 15 times, in nanoseconds. */
#define B(k) (250000ULL << (k))
static const uint64_t time_bounds[] = { B(0), B(1), B(2),  B(3),  B(4),  B(5),  B(6),  B(7),
                                        B(8), B(9), B(10), B(11), B(12), B(13), B(14), B(15) };
static const uint64_t size_bounds[] = { 0,    100,  200,  300,   400,   511,   1023,
                                        2047, 4095, 8291, 16000, 32000, 48000, 64000 };

static void fill_type_index(void)
{
    static bool filled;
    if (filled)
        return; /* workers of the configuration before read it */
    filled = true;
    memset(type_index, TYPES - 1, sizeof type_index);
    for (uint8_t i = 0; i < TYPES - 1; i++) {
        uint16_t type;
        /* "HINFO" is not a label of the reference: it counts as other. */
        if (strcmp(type_names[i], "HINFO") != 0 && rr_type_from_text(type_names[i], &type) == 0 &&
            type < sizeof type_index)
            type_index[type] = i;
    }
}

/* ---- counting ---- */

/* Registers on first sight. Two workers may do so at once: both get the same slot. */
static metric first_sight(_Atomic metric *slot, const char *name, const char *help,
                          const char *labels)
{
    metric m = metric_counter(name, help, labels);
    atomic_store_explicit(slot, m, memory_order_release);
    return m;
}

/* Labels by name. */
static metric new_request(const struct query *q, _Atomic metric *slot, unsigned family,
                          uint8_t type)
{
    struct strbuf labels = { 0 };
    metric_label(&labels, "family", family ? "2" : "1");
    metric_label(&labels, "proto", proto_names[q->transport]);
    metric_label(&labels, "server", q->route->server);
    metric_label(&labels, "type", type_names[type]);
    metric_label(&labels, "view", q->route->view);
    metric_label(&labels, "zone", q->route->zone);
    metric m = first_sight(slot, "coredns_dns_requests_total",
                           "Counter of DNS requests made per zone, protocol and family.", labels.p);
    strbuf_done(&labels);
    return m;
}

static metric new_response(const struct query *q, _Atomic metric *slot, uint16_t rcode)
{
    struct strbuf labels = { 0 };
    char text[16];
    metric_label(&labels, "plugin", q->answerer ? plugins[q->answerer - 1]->name : "");
    metric_label(&labels, "rcode", rcode_text(rcode, text));
    metric_label(&labels, "server", q->route->server);
    metric_label(&labels, "view", q->route->view);
    metric_label(&labels, "zone", q->route->zone);
    metric m = first_sight(slot, "coredns_dns_responses_total", "Counter of response status codes.",
                           labels.p);
    strbuf_done(&labels);
    return m;
}

static void prometheus_after(struct query *q, void *conf)
{
    const struct prometheus *p = conf;
    struct route_metrics *r = p->routes[q->route->id];
    unsigned family = q->peer.ss_family == AF_INET6 && query_client(q).family == 6;
    uint16_t qtype = q->msg.q.type;
    uint8_t type = qtype < sizeof type_index ? type_index[qtype] : TYPES - 1;
    _Atomic metric *slot = &r->requests[q->transport][family][type];
    metric m = atomic_load_explicit(slot, memory_order_acquire);
    metric_add(m ? m : new_request(q, slot, family, type), 1);
    if (q->msg.edns.do_bit)
        metric_add(r->do_requests, 1);
    histogram_observe(&r->request_size[q->transport], q->msg.raw_len);
    if (q->dropped)
        return;
    histogram_observe(&r->duration, (uint64_t)(q->end_ns - q->start_ns));
    histogram_observe(&r->response_size[q->transport], q->reply_len);
    uint16_t rcode = MIN(q->reply.rcode, (uint16_t)(RCODES - 1));
    slot = &r->responses[rcode][MIN(q->answerer, (uint8_t)(PLUGINS - 1))];
    m = atomic_load_explicit(slot, memory_order_acquire);
    metric_add(m ? m : new_response(q, slot, rcode), 1);
}

/* ---- registering ---- */

/* first: name of a label of the route's series that the others have not; or NULL. */
static void route_labels(struct strbuf *ret, const struct route *route, const char *first,
                         const char *value)
{
    strbuf_reset(ret);
    if (first)
        metric_label(ret, first, value);
    metric_label(ret, "server", route->server);
    metric_label(ret, "view", route->view);
    metric_label(ret, "zone", route->zone);
}

static struct route_metrics *route_metrics_new(const struct route *route)
{
    struct route_metrics *r = xcalloc(1, sizeof *r);
    struct strbuf labels = { 0 };
    route_labels(&labels, route, NULL, NULL);
    r->duration = metric_histogram("coredns_dns_request_duration_seconds",
                                   "Histogram of the time (in seconds) each request took.",
                                   labels.p, time_bounds, ARRAY_SIZE(time_bounds), 1e-9);
    r->do_requests = metric_counter("coredns_dns_do_requests_total",
                                    "Counter of DNS requests with DO bit set per zone.", labels.p);
    for (int t = 0; t < TRANSPORT_COUNT; t++) {
        route_labels(&labels, route, "proto", proto_names[t]);
        r->request_size[t] =
            metric_histogram("coredns_dns_request_size_bytes", "Size of the requests (in bytes).",
                             labels.p, size_bounds, ARRAY_SIZE(size_bounds), 1);
        r->response_size[t] = metric_histogram("coredns_dns_response_size_bytes",
                                               "Size of the returned responses (in bytes).",
                                               labels.p, size_bounds, ARRAY_SIZE(size_bounds), 1);
    }
    strbuf_done(&labels);
    return r;
}

static double one(void *ctx)
{
    (void)ctx;
    return 1;
}

static void register_plugins(struct prometheus *p, const struct route *r)
{
    struct strbuf labels = { 0 };
    for (size_t i = 0; i < r->chain_block->n_directives; i++) {
        const char *name = r->chain_block->directives[i].name;
        if (!route_has_plugin(r, name))
            continue;
        route_labels(&labels, r, "name", name);
        metric_gauge("coredns_plugin_enabled",
                     "A metric that indicates whether a plugin is enabled on per server and zone "
                     "basis.",
                     labels.p, one, p);
    }
    strbuf_done(&labels);
}

static void metrics_page(void *ctx, const char *path, struct http_reply *reply)
{
    (void)ctx;
    if (strcmp(path, "/metrics") != 0) {
        reply->status = 404;
        return;
    }
    reply->content_type = "text/plain; version=0.0.4; charset=utf-8";
    metric_print(&reply->body);
}

/* What there is once a process, whatever is loaded and reloaded. */
static void register_process(void)
{
    static bool done;
    if (done)
        return;
    done = true;
    metric_gauge("coredns_build_info", "A metric with a constant '1' value.",
                 "goversion=\"\",revision=\"\",version=\"signpost-" SIGNPOST_VERSION "\"", one,
                 NULL);
    (void)metric_counter("coredns_panics_total", "A metric that counts the number of panics.", "");
    prometheus_process_metrics();
}

static int prometheus_start(void *conf, struct err *e)
{
    struct prometheus *p = conf;
    const struct route *const *routes = dns_config_routes(p->config, &p->n_routes);
    p->routes = xcalloc(p->n_routes, sizeof(struct route_metrics *));
    for (unsigned i = 0; i < p->n_routes; i++) {
        if (routes[i]->chain_block != p->block)
            continue;
        p->routes[i] = route_metrics_new(routes[i]);
        register_plugins(p, routes[i]);
    }
    register_process();
    return http_server_open(p->address, metrics_page, NULL, &p->http, e);
}

static void prometheus_stop(void *conf)
{
    struct prometheus *p = conf;
    http_server_close(p->http);
    metric_gauge_drop(p);
    for (unsigned i = 0; i < p->n_routes; i++)
        free(p->routes[i]);
    free(p->routes);
}

static int refuse_option(struct dispenser *d, struct err *e)
{
    if (strcmp(dispenser_val(d), "runtime_metrics") == 0)
        return dispenser_err(d, e,
                             "option 'runtime_metrics' is about the Go runtime, which is not "
                             "here; take the line out (process_* metrics are always there)");
    if (strcmp(dispenser_val(d), "tls") == 0)
        return dispenser_err(d, e,
                             "option 'tls' is not supported: metrics are served without "
                             "encryption only; take the line out");
    return dispenser_unknown(d, e);
}

static int prometheus_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    struct prometheus *p = arena_zalloc(setup_arena(s), sizeof *p);
    p->address = "localhost:9153";
    p->config = setup_config(s);
    p->block = setup_block(s);
    fill_type_index();
    dispenser_next_directive(d);
    if (dispenser_next_arg(d)) {
        p->address = dispenser_val(d);
        if (!strchr(p->address, ':'))
            return dispenser_err(d, e, "address %s: missing port in address", p->address);
        if (dispenser_next_arg(d))
            return dispenser_arg_err(d, e);
    }
    if (dispenser_next_block(d))
        return refuse_option(d, e);
    setup_start(s, prometheus_start, p);
    setup_after(s, prometheus_after, p);
    setup_stop(s, prometheus_stop, p);
    return 0;
}

const struct plugin plugin_prometheus = { .name = "prometheus",
                                          .setup = prometheus_setup,
                                          .outward = true };
