/* Options of `forward`, and the start and end of a block's lines. */
#include "dns/plugins/forward.h"

#include <string.h>

#define EXPIRE_NS  10000000000LL
#define READ_NS    2000000000LL
#define CHECK_NS   500000000LL
#define MAX_FAILS  2
#define RCODES_MAX 32

static const char *const tls_alpn_dot[] = { "dot", NULL };

static int no_args(struct dispenser *d, struct err *e)
{
    return dispenser_next_arg(d) ? dispenser_arg_err(d, e) : 0;
}

static int duration_arg(struct dispenser *d, const char *what, int64_t min, int64_t *ret,
                        struct err *e)
{
    long long ns;
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    if (str_to_duration(dispenser_val(d), &ns) < 0)
        return dispenser_err(d, e, "%s is not a duration: %s", what, dispenser_val(d));
    if (ns < min)
        return dispenser_err(d, e, "%s is too short: %s", what, dispenser_val(d));
    *ret = ns;
    return 0;
}

static int count_arg(struct dispenser *d, const char *what, long *ret, struct err *e)
{
    long n;
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    if (str_to_long(dispenser_val(d), -1000000000L, 1000000000L, &n) < 0)
        return dispenser_err(d, e, "%s is not a number: %s", what, dispenser_val(d));
    if (n < 0)
        return dispenser_err(d, e, "%s can't be negative: %s", what, dispenser_val(d));
    *ret = n;
    return no_args(d, e);
}

/* ---- one option each ---- */

static int opt_except(struct setup *s, struct forward *f, struct dispenser *d, struct err *e)
{
    struct zone_list zones = { 0 };
    while (dispenser_next_arg(d)) {
        int code = zone_expand(dispenser_val(d), setup_arena(s), &zones, e);
        if (code < 0)
            return dispenser_err(d, e, "%s", e->text);
    }
    if (!zones.n)
        return dispenser_arg_err(d, e);
    if (f->except) /* an earlier line: its zones count as well */
        for (unsigned i = 0; i < zone_set_count(f->except); i++) {
            char text[NAME_TEXT_MAX];
            name_to_text(zone_set_wire(f->except, (int)i), text);
            int code = zone_expand(text, setup_arena(s), &zones, e);
            if (code < 0)
                return code;
        }
    f->except = zone_set_new(setup_arena(s), &zones);
    return 0;
}

static int opt_force_tcp(struct setup *s, struct forward *f, struct dispenser *d, struct err *e)
{
    (void)s;
    f->force_tcp = f->upstream.check_tcp = true;
    return no_args(d, e);
}

static int opt_prefer_udp(struct setup *s, struct forward *f, struct dispenser *d, struct err *e)
{
    (void)s;
    f->prefer_udp = true;
    return no_args(d, e);
}

static int opt_expire(struct setup *s, struct forward *f, struct dispenser *d, struct err *e)
{
    int ret = duration_arg(d, "expire", 0, &f->upstream.expire_ns, e);
    (void)s;
    return ret < 0 ? ret : no_args(d, e);
}

static int opt_max_age(struct setup *s, struct forward *f, struct dispenser *d, struct err *e)
{
    int ret = duration_arg(d, "max_age", 0, &f->upstream.max_age_ns, e);
    (void)s;
    return ret < 0 ? ret : no_args(d, e);
}

static int opt_max_idle_conns(struct setup *s, struct forward *f, struct dispenser *d,
                              struct err *e)
{
    long n;
    int ret = count_arg(d, "max_idle_conns", &n, e);
    (void)s;
    if (ret == 0)
        f->upstream.max_idle = (unsigned)n;
    return ret;
}

static int opt_read_timeout(struct setup *s, struct forward *f, struct dispenser *d, struct err *e)
{
    int ret = duration_arg(d, "read_timeout", 1000000, &f->read_ns, e);
    (void)s;
    return ret < 0 ? ret : no_args(d, e);
}

static int opt_max_fails(struct setup *s, struct forward *f, struct dispenser *d, struct err *e)
{
    long n;
    int ret = count_arg(d, "max_fails", &n, e);
    (void)s;
    if (ret == 0)
        f->upstream.max_fails = (unsigned)n;
    return ret;
}

static int opt_max_connect_attempts(struct setup *s, struct forward *f, struct dispenser *d,
                                    struct err *e)
{
    long n;
    int ret = count_arg(d, "max_connect_attempts", &n, e);
    (void)s;
    if (ret == 0 && n > FORWARD_TRIES_MAX)
        return dispenser_err(d, e, "max_connect_attempts can be at most %d: %ld", FORWARD_TRIES_MAX,
                             n);
    if (ret == 0)
        f->max_attempts = n;
    return ret;
}

static int opt_max_concurrent(struct setup *s, struct forward *f, struct dispenser *d,
                              struct err *e)
{
    long n;
    int ret = count_arg(d, "max_concurrent", &n, e);
    if (ret == 0) {
        f->max_concurrent = (unsigned)n;
        f->error_concurrent =
            arena_printf(setup_arena(s), "concurrent queries exceeded maximum %ld", n);
    }
    return ret;
}

static int opt_policy(struct setup *s, struct forward *f, struct dispenser *d, struct err *e)
{
    static const char *const names[] = { "random", "round_robin", "sequential" };
    (void)s;
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        if (strcmp(dispenser_val(d), names[i]) == 0) {
            f->policy = (enum forward_policy)i;
            return no_args(d, e);
        }
    return dispenser_err(d, e, "unknown policy '%s'", dispenser_val(d));
}

static int check_domain(struct forward *f, struct dispenser *d, struct err *e)
{
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    if (name_from_text(dispenser_val(d), &f->upstream.check_name) < 0)
        return dispenser_err(d, e, "health_check: not a domain name: %s", dispenser_val(d));
    return 0;
}

static int opt_health_check(struct setup *s, struct forward *f, struct dispenser *d, struct err *e)
{
    int ret = duration_arg(d, "health_check", 1000000, &f->upstream.check_ns, e);
    (void)s;
    while (ret == 0 && dispenser_next_arg(d)) {
        if (strcmp(dispenser_val(d), "no_rec") == 0)
            f->upstream.check_no_rec = true;
        else if (strcmp(dispenser_val(d), "domain") == 0)
            ret = check_domain(f, d, e);
        else
            ret = dispenser_err(d, e, "health_check: unknown option %s", dispenser_val(d));
    }
    return ret;
}

static int rcode_args(struct dispenser *d, const char *what, uint32_t *ret, struct err *e)
{
    unsigned n = 0;
    uint16_t rcode;
    for (; dispenser_next_arg(d); n++) {
        if (rcode_from_text(dispenser_val(d), &rcode) < 0 || rcode >= RCODES_MAX)
            return dispenser_err(d, e, "%s: %s is not a valid rcode", what, dispenser_val(d));
        *ret |= 1u << rcode;
    }
    return n ? 0 : dispenser_arg_err(d, e);
}

static int opt_next(struct setup *s, struct forward *f, struct dispenser *d, struct err *e)
{
    (void)s;
    return rcode_args(d, "next", &f->next, e);
}

static int opt_next_on_nodata(struct setup *s, struct forward *f, struct dispenser *d,
                              struct err *e)
{
    (void)s;
    f->next_on_nodata = true;
    return no_args(d, e);
}

static int opt_failover(struct setup *s, struct forward *f, struct dispenser *d, struct err *e)
{
    int ret = rcode_args(d, "failover", &f->failover, e);
    (void)s;
    if (ret == 0 && f->failover & 1u << RCODE_NOERROR)
        return dispenser_err(d, e, "failover: NOERROR is no failure");
    return ret;
}

static int opt_failfast(struct setup *s, struct forward *f, struct dispenser *d, struct err *e)
{
    (void)s;
    f->failfast = true;
    return no_args(d, e);
}

static int opt_source_address(struct setup *s, struct forward *f, struct dispenser *d,
                              struct err *e)
{
    struct ip ip;
    (void)s;
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    if (ip_parse(dispenser_val(d), &ip) < 0)
        return dispenser_err(d, e, "source_address is not an IP address: %s", dispenser_val(d));
    ip_to_sockaddr(&ip, 0, &f->upstream.source);
    return no_args(d, e);
}

/* "tls", "tls CA", "tls CERT KEY", "tls CERT KEY CA" */
static int opt_tls(struct setup *s, struct forward *f, struct dispenser *d, struct err *e)
{
    const char *args[3];
    unsigned n = 0;
    while (dispenser_next_arg(d)) {
        if (n == ARRAY_SIZE(args))
            return dispenser_arg_err(d, e);
        args[n++] = setup_path(s, dispenser_val(d));
    }
    struct tls_options o = { .ca = n % 2 ? args[n - 1] : NULL, .alpn = tls_alpn_dot };
    if (n >= 2) {
        o.cert = args[0];
        o.key = args[1];
    }
    tls_config_free(f->upstream.tls); /* of an earlier line */
    f->upstream.tls = NULL;
    return tls_config_new(&o, &f->upstream.tls, e) < 0 ? dispenser_err(d, e, "%s", e->text) : 0;
}

static int opt_tls_servername(struct setup *s, struct forward *f, struct dispenser *d,
                              struct err *e)
{
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    if (!*dispenser_val(d) || strlen(dispenser_val(d)) >= TLS_NAME_MAX)
        return dispenser_err(d, e, "tls_servername is not a name: '%s'", dispenser_val(d));
    f->tls_name = arena_strdup(setup_arena(s), dispenser_val(d));
    return no_args(d, e);
}

static int opt_later(struct setup *s, struct forward *f, struct dispenser *d, struct err *e)
{
    (void)s, (void)f;
    return dispenser_err(d, e, "option '%s' is not supported yet", dispenser_val(d));
}

static const struct {
    const char *name;
    int (*read)(struct setup *s, struct forward *f, struct dispenser *d, struct err *e);
} options[] = {
    { "except", opt_except },
    { "force_tcp", opt_force_tcp },
    { "prefer_udp", opt_prefer_udp },
    { "expire", opt_expire },
    { "max_age", opt_max_age },
    { "max_idle_conns", opt_max_idle_conns },
    { "read_timeout", opt_read_timeout },
    { "max_fails", opt_max_fails },
    { "max_connect_attempts", opt_max_connect_attempts },
    { "max_concurrent", opt_max_concurrent },
    { "policy", opt_policy },
    { "health_check", opt_health_check },
    { "next", opt_next },
    { "next_on_nodata", opt_next_on_nodata },
    { "failover", opt_failover },
    { "failfast_all_unhealthy_upstreams", opt_failfast },
    { "source_address", opt_source_address },
    { "tls", opt_tls },
    { "tls_servername", opt_tls_servername },
    { "doh_method", opt_later },
    { "resolver", opt_later },
};

static int read_option(struct setup *s, struct forward *f, struct dispenser *d, struct err *e)
{
    for (size_t i = 0; i < ARRAY_SIZE(options); i++)
        if (strcmp(options[i].name, dispenser_val(d)) == 0)
            return options[i].read(s, f, d, e);
    return dispenser_unknown(d, e);
}

/* ---- a line ---- */

static int read_from(struct setup *s, struct forward *f, struct dispenser *d, struct err *e)
{
    struct zone_list zones = { 0 };
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    if (zone_expand(dispenser_val(d), setup_arena(s), &zones, e) < 0)
        return dispenser_err(d, e, "%s", e->text);
    if (zones.n > 1)
        log_warning(
            "plugin/forward: unsupported CIDR notation: '%s' expands to %zu zones. Using only "
            "'%s'.",
            dispenser_val(d), zones.n, zones.items[0]);
    zones.n = MIN(zones.n, 1u);
    f->from = zone_set_new(setup_arena(s), &zones);
    return 0;
}

static int read_tos(struct setup *s, struct forward *f, struct dispenser *d, struct err *e)
{
    struct arena *a = setup_arena(s);
    struct dispenser ahead = *d;
    const char **args;
    size_t n = dispenser_rest(&ahead, a, &args);
    if (!n)
        return dispenser_arg_err(d, e);
    if (n > FORWARD_TO_MAX)
        return dispenser_err(d, e, "more than %d TOs configured: %zu", FORWARD_TO_MAX, n);
    f->tos = arena_zalloc(a, n * sizeof *f->tos);
    while (dispenser_next_arg(d))
        if (forward_to_read(dispenser_val(d), a, &f->tos[f->n_tos++], e) < 0)
            return dispenser_err(d, e, "%s", e->text);
    return 0;
}

/* Upstreams over TLS have a name at most once, and authorities even without a `tls` option. */
static int check_tls(struct forward *f, const struct dispenser *d, struct err *e)
{
    struct tls_options o = { .alpn = tls_alpn_dot };
    bool any = false;
    for (unsigned i = 0; i < f->n_tos; i++) {
        any |= f->tos[i].tls;
        if (f->tos[i].name && f->tls_name)
            return dispenser_err(d, e,
                                 "both forward ('%s') and proxy level ('%s') TLS servernames are "
                                 "set for an upstream",
                                 f->tls_name, f->tos[i].name);
    }
    if (any && !f->upstream.tls && tls_config_new(&o, &f->upstream.tls, e) < 0)
        return dispenser_err(d, e, "%s", e->text);
    return 0;
}

static int read_line(struct setup *s, struct forward *f, struct dispenser *d, struct err *e)
{
    f->read_ns = READ_NS;
    f->max_attempts = -1;
    f->upstream.expire_ns = EXPIRE_NS;
    f->upstream.check_ns = CHECK_NS;
    f->upstream.max_fails = MAX_FAILS;
    f->upstream.check_name = (struct name){ .len = 1 };
    int ret = read_from(s, f, d, e);
    if (ret == 0)
        ret = read_tos(s, f, d, e);
    while (ret == 0 && dispenser_next_block(d))
        ret = read_option(s, f, d, e);
    if (ret == 0)
        ret = check_tls(f, d, e);
    if (ret == 0 && forward_list_update(f, e) < 0)
        ret = dispenser_err(d, e, "%s", e->text);
    return ret;
}

static int check_source(const struct forward *f, const struct dispenser *d, struct err *e)
{
    const struct forward_list *l = rcu_load(&f->list);
    for (unsigned i = 0; f->upstream.source.ss_family && i < l->n; i++)
        if (l->items[i]->addr.ss_family != f->upstream.source.ss_family)
            return dispenser_err(d, e, "source_address is of another IP version than %s",
                                 l->items[i]->name);
    return 0;
}

/* ---- life ---- */

static int forward_start(void *conf, struct err *e)
{
    struct forward_block *b = conf;
    (void)e;
    for (unsigned i = 0; i < b->n; i++)
        forward_watch_start(&b->items[i]);
    return 0;
}

static void forward_worker_stop(struct worker *w, void *conf)
{
    struct forward_block *b = conf;
    if (b->workers[w->index])
        upstream_worker_close(b->workers[w->index]);
}

static void forward_stop(void *conf)
{
    struct forward_block *b = conf;
    for (unsigned i = 0; i < b->n_workers; i++)
        upstream_worker_free(b->workers[i]);
    for (unsigned i = 0; i < b->n; i++) {
        forward_watch_stop(&b->items[i]);
        forward_lists_free(&b->items[i]);
        tls_config_free(b->items[i].upstream.tls);
    }
}

static int forward_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    struct arena *a = setup_arena(s);
    struct forward_block *b = arena_zalloc(a, sizeof *b);
    struct dispenser count = *d;
    unsigned lines = 0;
    while (dispenser_next_directive(&count))
        lines++;
    b->items = arena_zalloc(a, lines * sizeof *b->items);
    b->n_workers = setup_workers(s);
    b->workers = arena_zalloc(a, b->n_workers * sizeof(struct upstream_worker *));
    b->loop = setup_loop(s);
    b->taps = taps_find(s);
    b->arena = a;
    setup_stop(s, forward_stop, b);
    while (dispenser_next_directive(d)) {
        struct forward *f = &b->items[b->n++];
        f->block = b;
        int ret = read_line(s, f, d, e);
        if (ret == 0)
            ret = check_source(f, d, e);
        if (ret < 0)
            return ret;
    }
    forward_metrics_init();
    setup_any_class(s);
    setup_in(s, forward_in, b);
    setup_start(s, forward_start, b);
    setup_worker_stop(s, forward_worker_stop, b);
    return 0;
}

const struct plugin plugin_forward = {
    .name = "forward", .setup = forward_setup, .repeatable = true, .why = &forward_why
};
