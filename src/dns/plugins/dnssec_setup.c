/* Options, keys and metrics of `dnssec`. */
#include "dns/plugins/dnssec.h"

#include <pthread.h>
#include <string.h>

#define CAPACITY 10000 /* as in the reference */

/* ---- metrics ---- */

/* Everything that lives. One listener may serve several blocks, and there is one gauge for it. */
static struct dnssec *all;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Of all blocks behind the route's listener. */
static double read_entries(void *ctx)
{
    const struct route *of = ctx;
    double sum = 0;
    unsigned n;
    const struct route *const *routes = dns_config_routes(of->config, &n);
    pthread_mutex_lock(&lock);
    for (const struct dnssec *d = all; d; d = d->next) {
        bool here = false;
        for (unsigned i = 0; i < n; i++)
            here |=
                routes[i]->chain_block == d->block && strcmp(routes[i]->server, of->server) == 0;
        sum += here && d->config == of->config ? (double)sig_cache_count(d->cache) : 0;
    }
    pthread_mutex_unlock(&lock);
    return sum;
}

/* The first route of a listener that comes here. */
static bool is_first(const struct route *const *routes, unsigned i)
{
    for (unsigned k = 0; k < i; k++)
        if (strcmp(routes[k]->server, routes[i]->server) == 0 &&
            route_has_plugin(routes[k], "dnssec"))
            return false;
    return true;
}

static void register_route(struct dnssec *d, const struct route *r, bool gauge)
{
    struct strbuf labels = { 0 };
    struct dnssec_counters *c = &d->counters[r->id];
    metric_label(&labels, "server", r->server);
    c->hits =
        metric_counter("coredns_dnssec_cache_hits_total", "The count of cache hits.", labels.p);
    c->misses =
        metric_counter("coredns_dnssec_cache_misses_total", "The count of cache misses.", labels.p);
    c->failures = metric_counter("signpost_dnssec_failures_total",
                                 "RRsets that could not be signed.", labels.p);
    metric_label(&labels, "type", "signature");
    if (gauge)
        metric_gauge("coredns_dnssec_cache_entries", "The number of elements in the dnssec cache.",
                     labels.p, read_entries, (void *)r);
    strbuf_done(&labels);
}

/* ---- start and end ---- */

static int dnssec_start(void *conf, struct err *e)
{
    struct dnssec *d = conf;
    unsigned n;
    const struct route *const *routes = dns_config_routes(d->config, &n);
    (void)e;
    d->counters = arena_zalloc(d->arena, n * sizeof *d->counters);
    d->cache = sig_cache_new(d->capacity);
    pthread_mutex_lock(&lock);
    d->next = all;
    all = d;
    pthread_mutex_unlock(&lock);
    for (unsigned i = 0; i < n; i++)
        if (routes[i]->chain_block == d->block)
            register_route(d, routes[i], is_first(routes, i));
    return 0;
}

static void drop_gauges(const struct dnssec *d)
{
    unsigned n;
    const struct route *const *routes = dns_config_routes(d->config, &n);
    for (unsigned i = 0; i < n; i++)
        if (routes[i]->chain_block == d->block)
            metric_gauge_drop((void *)routes[i]);
}

static void dnssec_stop(void *conf)
{
    struct dnssec *d = conf;
    if (d->cache)
        drop_gauges(d);
    pthread_mutex_lock(&lock);
    for (struct dnssec **at = &all; *at; at = &(*at)->next) {
        if (*at != d)
            continue;
        *at = d->next;
        break;
    }
    pthread_mutex_unlock(&lock);
    sig_cache_free(d->cache);
    dnskey_list_done(&d->list);
}

/* ---- keys ---- */

/* A key signs its own zone and what lies below. */
static int check_owner(const struct dnssec *d, const struct dnskey *k, const struct dispenser *dp,
                       struct err *e)
{
    char name[NAME_TEXT_MAX];
    for (unsigned i = 0; i < zone_set_count(d->zones); i++)
        if (name_is_below(zone_set_wire(d->zones, (int)i), k->owner))
            return 0;
    return dispenser_err(dp, e, "key %s (keyid: %u) can not sign any of the zones",
                         name_to_text(k->owner, name), k->tag);
}

/* All keys as one RRset, whose owner is the question's name. */
static void make_dnskeys(struct dnssec *d)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < d->list.n; i++)
        bytes += 2u + d->list.keys[i]->rdlen;
    struct wbuf w = wbuf_of(arena_alloc(d->arena, bytes), bytes);
    for (unsigned i = 0; i < d->list.n; i++) {
        wbuf_u16(&w, d->list.keys[i]->rdlen);
        wbuf_put(&w, d->list.keys[i]->rdata, d->list.keys[i]->rdlen);
    }
    d->dnskeys = (struct rrset){ .rdata = w.base,
                                 .ttl = d->list.keys[0]->ttl,
                                 .type = RR_DNSKEY,
                                 .class = CLASS_IN,
                                 .count = (uint16_t)d->list.n };
}

static int check_keys(struct dnssec *d, const struct dispenser *dp, struct err *e)
{
    unsigned ksk = 0, zsk = 0;
    for (unsigned i = 0; i < d->list.n; i++) {
        int ret = check_owner(d, d->list.keys[i], dp, e);
        if (ret < 0)
            return ret;
        ksk += dnskey_is_ksk(d->list.keys[i]);
        zsk += dnskey_is_zsk(d->list.keys[i]);
    }
    d->split = ksk && zsk;
    return 0;
}

/* ---- set-up ---- */

static int read_capacity(struct dnssec *d, struct dispenser *dp, struct err *e)
{
    long n;
    if (!dispenser_next_arg(dp))
        return dispenser_arg_err(dp, e);
    if (str_to_long(dispenser_val(dp), INT32_MIN, SIG_CACHE_CAPACITY_MAX, &n) < 0)
        return dispenser_err(dp, e, "cache_capacity: '%s' is not a number up to %d",
                             dispenser_val(dp), SIG_CACHE_CAPACITY_MAX);
    d->capacity = n > 0 ? (size_t)n : 0;
    return dispenser_end(dp, e);
}

static int read_option(struct dnssec *d, struct setup *s, struct dispenser *dp, struct err *e)
{
    if (strcmp(dispenser_val(dp), "key") == 0)
        return dnskey_list_read(&d->list, s, dp, e);
    if (strcmp(dispenser_val(dp), "cache_capacity") == 0)
        return read_capacity(d, dp, e);
    return dispenser_unknown(dp, e);
}

static int read_zones(struct dnssec *d, struct setup *s, struct dispenser *dp, struct err *e)
{
    struct zone_list zones = { 0 };
    struct err why;
    while (dispenser_next_arg(dp))
        if (zone_expand(dispenser_val(dp), setup_arena(s), &zones, &why) < 0)
            return dispenser_err(dp, e, "%s", why.text);
    if (!zones.n)
        zones = setup_zones(s);
    d->zones = zone_set_new(setup_arena(s), &zones);
    return 0;
}

static int dnssec_setup(struct setup *s, struct dispenser *dp, struct err *e)
{
    struct dnssec *d = arena_zalloc(setup_arena(s), sizeof *d);
    d->config = setup_config(s);
    d->block = setup_block(s);
    d->arena = setup_arena(s);
    d->capacity = CAPACITY;
    setup_stop(s, dnssec_stop, d);
    dispenser_next_directive(dp);
    const struct dispenser at = *dp;
    int ret = read_zones(d, s, dp, e);
    while (ret == 0 && dispenser_next_block(dp))
        ret = read_option(d, s, dp, e);
    if (ret == 0)
        ret = check_keys(d, &at, e);
    if (ret < 0)
        return ret;
    if (!d->list.n) {
        const struct token *t = dispenser_token(&at);
        log_warning("plugin/dnssec: %s:%d: there is no key, so nothing is signed; add 'key file "
                    "KEY'",
                    t->file, t->line);
        return 0;
    }
    make_dnskeys(d);
    setup_in(s, dnssec_in, d);
    setup_out_step(s, dnssec_out, d);
    setup_start(s, dnssec_start, d);
    return 0;
}

const struct plugin plugin_dnssec = { .name = "dnssec", .setup = dnssec_setup };
