/* Options of `cache`, and the start and end of a block's. */
#include "dns/plugins/cache.h"

#include <string.h>

#define CAPACITY         10000
#define SUCCESS_TTL      3600
#define DENIAL_TTL       1800
#define MIN_TTL          5
#define SERVFAIL_NS      5000000000LL
#define SERVFAIL_MAX_NS  300000000000LL
#define RECHECK_MAX_NS   300000000000LL
#define STALE_NS         3600000000000LL
#define PREFETCH_GAP_NS  60000000000LL
#define PREFETCH_PERCENT 10
#define SECOND           1000000000LL

/* ---- arguments ---- */

static int number(struct dispenser *d, const char *what, long *ret, struct err *e)
{
    if (str_to_long(dispenser_val(d), -1000000000L, 1000000000L, ret) < 0)
        return dispenser_err(d, e, "%s is not a number: %s", what, dispenser_val(d));
    return 0;
}

static int duration(struct dispenser *d, const char *what, int64_t *ret, struct err *e)
{
    long long ns;
    if (str_to_duration(dispenser_val(d), &ns) < 0)
        return dispenser_err(d, e, "%s is not a duration: %s", what, dispenser_val(d));
    if (ns < 0)
        return dispenser_err(d, e, "%s can not be negative: %s", what, dispenser_val(d));
    *ret = ns;
    return 0;
}

static int ttl_number(struct dispenser *d, uint32_t *ret, struct err *e)
{
    long n;
    int code = number(d, "cache TTL", &n, e);
    if (code < 0)
        return code;
    if (n <= 0)
        return dispenser_err(d, e, "cache TTL can not be zero or negative: %ld", n);
    *ret = (uint32_t)n;
    return 0;
}

/* The zones from the current word to the end of the line. */
static int zone_args(struct setup *s, struct dispenser *d, struct zone_list *zones, struct err *e)
{
    do {
        int code = zone_expand(dispenser_val(d), setup_arena(s), zones, e);
        if (code < 0)
            return dispenser_err(d, e, "%s", e->text);
    } while (dispenser_next_arg(d));
    return 0;
}

/* ---- one option each ---- */

/* success|denial CAP [TTL [MINTTL]] */
static int opt_kind(struct cache_plugin *p, enum cache_kind kind, struct dispenser *d,
                    struct err *e)
{
    struct cache_limits *l = &p->limits;
    long n;
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    int code = number(d, "capacity", &n, e);
    if (code < 0)
        return code;
    if (n > CACHE_CAPACITY_MAX)
        return dispenser_err(d, e, "capacity can be at most %d: %ld", CACHE_CAPACITY_MAX, n);
    l->capacity[kind] = n < 0 ? 0 : (uint32_t)n;
    if (!dispenser_next_arg(d))
        return 0;
    code = ttl_number(d, &l->max_ttl[kind], e);
    if (code < 0 || !dispenser_next_arg(d))
        return code;
    code = number(d, "cache min TTL", &n, e);
    if (code < 0)
        return code;
    if (n < 0)
        return dispenser_err(d, e, "cache min TTL can not be negative: %ld", n);
    l->min_ttl[kind] = (uint32_t)n;
    while (dispenser_next_arg(d)) /* the reference starts with such a line, too */
        log_warning("plugin/cache: %s:%d: '%s' has no meaning here and is not used",
                    dispenser_token(d)->file, dispenser_token(d)->line, dispenser_val(d));
    return 0;
}

static int opt_success(struct setup *s, struct cache_plugin *p, struct dispenser *d, struct err *e)
{
    (void)s;
    return opt_kind(p, CACHE_SUCCESS, d, e);
}

static int opt_denial(struct setup *s, struct cache_plugin *p, struct dispenser *d, struct err *e)
{
    (void)s;
    return opt_kind(p, CACHE_DENIAL, d, e);
}

static int percentage(struct cache_plugin *p, struct dispenser *d, struct err *e)
{
    const char *text = dispenser_val(d);
    size_t len = strlen(text);
    char digits[16];
    long n;
    if (!len || text[len - 1] != '%' || len > sizeof digits)
        return dispenser_err(d, e, "last character of percentage should be `%%`: %s", text);
    memcpy(digits, text, len - 1);
    digits[len - 1] = '\0';
    if (str_to_long(digits, -1000000L, 1000000L, &n) < 0)
        return dispenser_err(d, e, "percentage is not a number: %s", text);
    if (n < 10 || n > 90)
        return dispenser_err(d, e, "percentage should fall in range [10, 90]: %ld", n);
    p->prefetch_percent = (uint32_t)n;
    return 0;
}

/* prefetch AMOUNT [DURATION [PCT%]] */
static int opt_prefetch(struct setup *s, struct cache_plugin *p, struct dispenser *d, struct err *e)
{
    long n;
    (void)s;
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    int code = number(d, "prefetch amount", &n, e);
    if (code < 0)
        return code;
    if (n < 0)
        return dispenser_err(d, e, "prefetch amount should be positive: %ld", n);
    p->prefetch = (unsigned)n;
    if (dispenser_next_arg(d))
        code = duration(d, "prefetch duration", &p->prefetch_gap_ns, e);
    if (code == 0 && dispenser_next_arg(d))
        code = percentage(p, d, e);
    return code < 0 ? code : dispenser_end(d, e);
}

/* [RTTL [RECHECK]] */
static int stale_details(struct cache_plugin *p, struct dispenser *d, struct err *e)
{
    int64_t ns = 0;
    if (!dispenser_next_arg(d))
        return 0;
    int code = duration(d, "serve_stale response TTL", &ns, e);
    if (code < 0)
        return code;
    if (ns % SECOND || ns / SECOND > INT32_MAX)
        return dispenser_err(d, e, "serve_stale response TTL must be a whole number of seconds: %s",
                             dispenser_val(d));
    p->stale_ttl = (uint32_t)(ns / SECOND);
    if (!dispenser_next_arg(d))
        return 0;
    code = duration(d, "serve_stale failure recheck", &p->recheck_ns, e);
    if (code == 0 && p->recheck_ns > RECHECK_MAX_NS)
        code = dispenser_err(d, e, "serve_stale failure recheck cannot exceed 5 minutes: %s",
                             dispenser_val(d));
    return code < 0 ? code : dispenser_end(d, e);
}

/* serve_stale [DURATION] [immediate [...] | verify [TIMEOUT [...]]] */
static int opt_serve_stale(struct setup *s, struct cache_plugin *p, struct dispenser *d,
                           struct err *e)
{
    (void)s;
    p->limits.stale_ns = STALE_NS;
    if (!dispenser_next_arg(d))
        return 0;
    int code = duration(d, "serve_stale duration", &p->limits.stale_ns, e);
    if (code < 0 || !dispenser_next_arg(d))
        return code;
    const char *mode = dispenser_val(d);
    if (strcmp(mode, "immediate") != 0 && strcmp(mode, "verify") != 0)
        return dispenser_err(d, e, "invalid value for serve_stale refresh mode: %s", mode);
    p->verify = mode[0] == 'v';
    if (p->verify) {
        if (!dispenser_next_arg(d))
            return 0;
        code = duration(d, "serve_stale verify timeout", &p->verify_ns, e);
        if (p->verify_ns && p->verify_ns < 1000000)
            p->verify_ns = 1000000; /* the timer's resolution */
    }
    return code < 0 ? code : stale_details(p, d, e);
}

static int opt_policy(struct setup *s, struct cache_plugin *p, struct dispenser *d, struct err *e)
{
    (void)s;
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    if (strcmp(dispenser_val(d), "prefer_positive") != 0)
        return dispenser_err(d, e, "invalid serve_stale_policy: %s", dispenser_val(d));
    p->limits.prefer_positive = true;
    return dispenser_end(d, e);
}

static int opt_servfail(struct setup *s, struct cache_plugin *p, struct dispenser *d, struct err *e)
{
    (void)s;
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    int code = duration(d, "servfail", &p->limits.servfail_ns, e);
    if (code == 0 && p->limits.servfail_ns > SERVFAIL_MAX_NS)
        code = dispenser_err(d, e, "caching SERVFAIL responses over 5 minutes is not permitted: %s",
                             dispenser_val(d));
    return code < 0 ? code : dispenser_end(d, e);
}

/* disable success|denial [ZONES...] */
static int opt_disable(struct setup *s, struct cache_plugin *p, struct dispenser *d, struct err *e)
{
    struct zone_list zones = { 0 };
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    const char *kind = dispenser_val(d);
    bool success = strcmp(kind, "success") == 0;
    if (!success && strcmp(kind, "denial") != 0)
        return dispenser_err(d, e, "cache type for disable must be \"success\" or \"denial\": %s",
                             kind);
    int code = dispenser_next_arg(d) ? zone_args(s, d, &zones, e)
                                     : zone_expand(".", setup_arena(s), &zones, e);
    if (code == 0)
        p->disabled[success ? CACHE_SUCCESS : CACHE_DENIAL] = zone_set_new(setup_arena(s), &zones);
    return code;
}

static int opt_keepttl(struct setup *s, struct cache_plugin *p, struct dispenser *d, struct err *e)
{
    (void)s;
    p->keepttl = true;
    return dispenser_end(d, e);
}

static const struct option {
    const char *name;
    int (*read)(struct setup *s, struct cache_plugin *p, struct dispenser *d, struct err *e);
} options[] = {
    { "success", opt_success },           { "denial", opt_denial },
    { "prefetch", opt_prefetch },         { "serve_stale", opt_serve_stale },
    { "serve_stale_policy", opt_policy }, { "servfail", opt_servfail },
    { "disable", opt_disable },           { "keepttl", opt_keepttl },
};

static int read_option(struct setup *s, struct cache_plugin *p, struct dispenser *d, struct err *e)
{
    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        if (strcmp(options[i].name, dispenser_val(d)) != 0)
            continue;
        if (options[i].read == opt_policy)
            p->has_policy = true;
        return options[i].read(s, p, d, e);
    }
    return dispenser_arg_err(d, e);
}

/* ---- metrics ---- */

static const char *const kind_names[CACHE_KINDS] = { "success", "denial" };

/* kind CACHE_KINDS: without the label `type`. */
static struct strbuf labels_of(const struct cache_plugin *p, const struct route *r, unsigned kind)
{
    struct strbuf labels = { 0 };
    metric_label(&labels, "server", r->server);
    if (kind < CACHE_KINDS)
        metric_label(&labels, "type", kind_names[kind]);
    metric_label(&labels, "view", r->view);
    metric_label(&labels, "zones", p->zones_text);
    return labels;
}

static metric counter(const struct cache_plugin *p, const struct route *r, unsigned kind,
                      const char *name, const char *help)
{
    cleanup(strbuf_done) struct strbuf labels = labels_of(p, r, kind);
    return metric_counter(name, help, labels.p);
}

static struct cache_metrics *metrics_new(const struct cache_plugin *p, const struct route *r)
{
    struct cache_metrics *m = xcalloc(1, sizeof *m);
    m->requests =
        counter(p, r, CACHE_KINDS, "coredns_cache_requests_total", "The count of cache requests.");
    m->misses = counter(p, r, CACHE_KINDS, "coredns_cache_misses_total",
                        "Requests that were not answered from the cache.");
    m->prefetches = counter(p, r, CACHE_KINDS, "coredns_cache_prefetch_total",
                            "Times that an entry was renewed in the background.");
    m->drops = counter(p, r, CACHE_KINDS, "coredns_cache_drops_total",
                       "Replies not kept because they answered another question.");
    m->served_stale = counter(p, r, CACHE_KINDS, "coredns_cache_served_stale_total",
                              "Requests answered with an entry past its time.");
    m->coalesced = counter(p, r, CACHE_KINDS, "signpost_cache_coalesced_total",
                           "Requests that waited for the answer to the same question.");
    for (unsigned k = 0; k < CACHE_KINDS; k++) {
        m->hits[k] = counter(p, r, k, "coredns_cache_hits_total", "The count of cache hits.");
        m->evictions[k] =
            counter(p, r, k, "coredns_cache_evictions_total", "Entries given up for others.");
    }
    return m;
}

static double read_entries(void *ctx)
{
    const struct cache_gauge *g = ctx;
    return g->p->cache ? cache_count(g->p->cache, g->kind) : 0;
}

static void register_entries(struct cache_plugin *p, const struct route *r)
{
    for (unsigned k = 0; k < CACHE_KINDS; k++) {
        cleanup(strbuf_done) struct strbuf labels = labels_of(p, r, k);
        metric_gauge("coredns_cache_entries", "The number of elements in the cache.", labels.p,
                     read_entries, &p->gauges[k]);
    }
}

static bool is_new_server(const struct route *const *routes, unsigned i, const struct block *b)
{
    for (unsigned k = 0; k < i; k++)
        if (routes[k]->chain_block == b && strcmp(routes[k]->server, routes[i]->server) == 0)
            return false;
    return true;
}

/* ---- start and end ---- */

static int cache_start(void *conf, struct err *e)
{
    struct cache_plugin *p = conf;
    (void)e;
    p->cache =
        p->before && p->before->cache ? cache_share(p->before->cache) : cache_new(&p->limits);
    p->before = NULL;
    const struct route *const *routes = dns_config_routes(p->config, &p->n_routes);
    p->metrics = xcalloc(p->n_routes, sizeof *p->metrics);
    for (unsigned i = 0; i < p->n_routes; i++) {
        if (routes[i]->chain_block != p->block)
            continue;
        p->metrics[i] = metrics_new(p, routes[i]);
        if (is_new_server(routes, i, p->block))
            register_entries(p, routes[i]);
    }
    return 0;
}

static void cache_stop(void *conf)
{
    struct cache_plugin *p = conf;
    for (int k = 0; k < CACHE_KINDS; k++)
        metric_gauge_drop(&p->gauges[k]);
    for (unsigned i = 0; p->metrics && i < p->n_routes; i++)
        free(p->metrics[i]);
    free(p->metrics);
    cache_free(p->cache);
}

/* ---- set-up ---- */

static const char *join_zones(struct setup *s, const struct zone_list *zones)
{
    const char *text = zones->n ? zones->items[0] : "";
    for (size_t i = 1; i < zones->n; i++)
        text = arena_printf(setup_arena(s), "%s,%s", text, zones->items[i]);
    return text;
}

/* [TTL] [ZONES...]: a first word that is a number is the TTL. */
static int read_line(struct setup *s, struct cache_plugin *p, struct dispenser *d, struct err *e)
{
    struct zone_list zones = { 0 };
    long n;
    int code = 0;
    bool more = dispenser_next_arg(d);
    if (more && str_to_long(dispenser_val(d), INT64_MIN, INT64_MAX, &n) == 0) {
        code = ttl_number(d, &p->limits.max_ttl[CACHE_SUCCESS], e);
        p->limits.max_ttl[CACHE_DENIAL] = p->limits.max_ttl[CACHE_SUCCESS];
        more = dispenser_next_arg(d);
    }
    if (code == 0 && more)
        code = zone_args(s, d, &zones, e);
    if (code < 0)
        return code;
    if (!more)
        zones = setup_zones(s);
    p->zones = zone_set_new(setup_arena(s), &zones);
    p->zones_text = join_zones(s, &zones);
    return 0;
}

/* A name that is rewritten after the look-ahead would be looked up under the hash of the old one.
 */
static bool names_stay(const struct block *b)
{
    for (size_t i = 0; i < b->n_directives; i++)
        if (strcmp(b->directives[i].name, "rewrite") == 0)
            return false;
    return true;
}

static struct cache_plugin *with_defaults(struct setup *s)
{
    struct cache_plugin *p = arena_zalloc(setup_arena(s), sizeof *p);
    p->limits = (struct cache_limits){ .capacity = { CAPACITY, CAPACITY },
                                       .min_ttl = { MIN_TTL, MIN_TTL },
                                       .max_ttl = { SUCCESS_TTL, DENIAL_TTL },
                                       .servfail_ns = SERVFAIL_NS };
    p->prefetch_gap_ns = PREFETCH_GAP_NS;
    p->prefetch_percent = PREFETCH_PERCENT;
    p->config = setup_config(s);
    p->block = setup_block(s);
    p->ended = arena_zalloc(setup_arena(s), setup_workers(s) * sizeof *p->ended);
    for (int k = 0; k < CACHE_KINDS; k++)
        p->gauges[k] = (struct cache_gauge){ p, (enum cache_kind)k };
    return p;
}

/* Whoever is set up with the same words answers the same: the replies may be kept. Of two such
 * blocks only the first has them. */
static void pass_on(struct setup *s, struct cache_plugin *p)
{
    const char *text = setup_inner_text(s);
    if (offers_find(setup_left(s), text))
        return;
    offers_add(setup_left(s), text, p);
    if (setup_inherited(s))
        p->before = offers_find(setup_inherited(s), text);
}

static int cache_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    struct cache_plugin *p = with_defaults(s);
    dispenser_next_directive(d);
    int code = read_line(s, p, d, e);
    while (code == 0 && dispenser_next_block(d))
        code = read_option(s, p, d, e);
    if (code < 0)
        return code;
    if (p->has_policy && !p->limits.stale_ns)
        return dispenser_err(d, e, "serve_stale_policy requires serve_stale");
    pass_on(s, p);
    setup_in(s, cache_in, p);
    setup_out_always(s, cache_out, p);
    if (names_stay(p->block))
        setup_ahead(s, cache_ahead, p);
    setup_start(s, cache_start, p);
    setup_worker_stop(s, cache_fetch_worker_stop, p);
    setup_stop(s, cache_stop, p);
    return 0;
}

const struct plugin plugin_cache = { .name = "cache", .setup = cache_setup, .why = &cache_why };
