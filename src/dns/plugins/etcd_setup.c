/* Options of `etcd`, and which keys a block needs. */
#include "dns/plugins/etcd.h"

#include <string.h>

#define LEASE_MIN 30
#define LEASE_MAX 86400

struct reading {
    struct etcd *x;
    struct setup *s;
    struct dispenser *d;
    struct err *e;
    bool tls; /* the option was there */
};

/* "skydns", "/skydns/" and "//skydns" are "/skydns". */
static int opt_path(struct reading *r)
{
    char *out = r->x->path;
    size_t at = 0;
    if (!dispenser_next_arg(r->d))
        return dispenser_arg_err(r->d, r->e);
    const char *p = dispenser_val(r->d);
    if (strlen(p) + 2 > sizeof r->x->path)
        return dispenser_err(r->d, r->e, "path is longer than %d bytes", ETCD_PATH_MAX - 2);
    out[at++] = '/';
    for (; *p; p++)
        if (*p != '/' || out[at - 1] != '/')
            out[at++] = *p;
    while (at && out[at - 1] == '/')
        at--;
    out[at] = 0;
    r->x->path_len = at;
    return 0;
}

static int opt_endpoint(struct reading *r)
{
    const char **args;
    size_t n = dispenser_rest(r->d, setup_arena(r->s), &args);
    if (!n)
        return dispenser_arg_err(r->d, r->e);
    if (n > ETCD_ENDPOINTS_MAX)
        return dispenser_err(r->d, r->e, "more than %d endpoints", ETCD_ENDPOINTS_MAX);
    for (size_t i = 0; i < n; i++) {
        struct err why;
        const char *url = args[i];
        if (!strstr(url, "://"))
            url = arena_printf(setup_arena(r->s), "http://%s", url);
        if (http_url_check(url, &why) < 0)
            return dispenser_err(r->d, r->e, "%s", why.text);
    }
    r->x->options.endpoints = args;
    r->x->options.n_endpoints = n;
    return 0;
}

static int opt_credentials(struct reading *r)
{
    const char **args;
    size_t n = dispenser_rest(r->d, setup_arena(r->s), &args);
    if (!n)
        return dispenser_arg_err(r->d, r->e);
    if (n != 2)
        return dispenser_err(r->d, r->e, "credentials requires 2 arguments, username and password");
    r->x->options.user = args[0];
    r->x->options.password = args[1];
    return 0;
}

static int opt_tls(struct reading *r)
{
    const char **args;
    struct http_tls *tls = &r->x->options.tls;
    size_t n = dispenser_rest(r->d, setup_arena(r->s), &args);
    if (n > 3)
        return dispenser_err(r->d, r->e,
                             "maximum of three arguments allowed for TLS config, found %zu", n);
    for (size_t i = 0; i < n; i++)
        args[i] = setup_path(r->s, args[i]);
    *tls = (struct http_tls){ .ca = n == 1   ? args[0]
                                    : n == 3 ? args[2]
                                             : NULL,
                              .cert = n > 1 ? args[0] : NULL,
                              .key = n > 1 ? args[1] : NULL };
    struct err why;
    r->tls = true;
    int code = http_tls_check(tls, &why);
    return code < 0 ? dispenser_err(r->d, r->e, "%s", why.text) : 0;
}

/* "30", "30s", "1h30m". */
static int opt_lease(struct reading *r, const char *option, uint32_t *ret)
{
    long long ns;
    long seconds;
    if (!dispenser_next_arg(r->d))
        return dispenser_arg_err(r->d, r->e);
    const char *text = dispenser_val(r->d);
    bool plain = *text && strspn(text, "0123456789") == strlen(text);
    if (plain && str_to_long(text, 0, UINT32_MAX, &seconds) == 0)
        ns = (long long)seconds * 1000000000;
    else if (plain || str_to_duration(text, &ns) < 0)
        return dispenser_err(r->d, r->e,
                             "invalid %s value: invalid TTL format, use format like '30', '30s', "
                             "'5m', '1h', or '2h30m'",
                             option);
    if (ns < 0)
        return dispenser_err(r->d, r->e, "invalid %s value: TTL must be non-negative", option);
    if (ns / 1000000000 > UINT32_MAX)
        return dispenser_err(
            r->d, r->e, "invalid %s value: TTL too large, maximum is 4294967295 seconds", option);
    *ret = (uint32_t)(ns / 1000000000);
    return 0;
}

/* Words of older versions, which the reference still reads and which mean nothing. */
static int opt_nothing(struct reading *r)
{
    while (dispenser_next_arg(r->d))
        ;
    return 0;
}

static int read_option(struct reading *r)
{
    const char *word = dispenser_val(r->d);
    if (strcmp(word, "path") == 0)
        return opt_path(r);
    if (strcmp(word, "endpoint") == 0)
        return opt_endpoint(r);
    if (strcmp(word, "credentials") == 0)
        return opt_credentials(r);
    if (strcmp(word, "tls") == 0)
        return opt_tls(r);
    if (strcmp(word, "min-lease-ttl") == 0)
        return opt_lease(r, word, &r->x->lease_min);
    if (strcmp(word, "max-lease-ttl") == 0)
        return opt_lease(r, word, &r->x->lease_max);
    if (strcmp(word, "fallthrough") == 0)
        return zone_set_fallthrough(r->s, r->d, &r->x->fallthrough, r->e);
    if (strcmp(word, "upstream") == 0 || strcmp(word, "stubzones") == 0 ||
        strcmp(word, "debug") == 0)
        return opt_nothing(r);
    return dispenser_unknown(r->d, r->e);
}

static int read_zones(struct reading *r)
{
    struct zone_list zones = { 0 };
    while (dispenser_next_arg(r->d)) {
        int code = zone_expand(dispenser_val(r->d), setup_arena(r->s), &zones, r->e);
        if (code < 0)
            return dispenser_err(r->d, r->e, "%s", r->e->text);
    }
    if (zones.n == 0)
        zones = setup_zones(r->s);
    r->x->zones = zone_set_new(setup_arena(r->s), &zones);
    return 0;
}

/* Where the zones' keys lie; what lies below another of them needs no place of its own. */
static bool is_covered(const struct etcd *x, int zone)
{
    const uint8_t *wire = zone_set_wire(x->zones, zone);
    for (int i = 0; i < (int)zone_set_count(x->zones); i++) {
        const uint8_t *other = zone_set_wire(x->zones, i);
        if (i != zone && name_is_below(wire, other) && (!name_equal(wire, other) || i < zone))
            return true;
    }
    return false;
}

static int make_ranges(struct reading *r)
{
    struct etcd *x = r->x;
    struct arena *a = setup_arena(r->s);
    unsigned zones = zone_set_count(x->zones);
    const char **ranges = arena_alloc(a, (zones + 1) * sizeof *ranges);
    size_t n = 0;
    for (int i = 0; i < (int)zones; i++) {
        char key[ETCD_PATH_MAX + ETCD_KEY_MAX];
        if (is_covered(x, i))
            continue;
        size_t len = etcd_key(x, zone_set_wire(x->zones, i), key);
        ranges[n++] = len ? arena_strndup(a, key, len) : "/";
    }
    if (n > ETCD_RANGES_MAX)
        return dispenser_err(r->d, r->e, "%zu zones; at most %d are taken", n, ETCD_RANGES_MAX);
    x->options.ranges = ranges;
    x->options.n_ranges = n;
    return 0;
}

/* "localhost:2379" is https:// where there is the option `tls`. */
static void name_schemes(struct reading *r)
{
    struct etcd_options *o = &r->x->options;
    struct arena *a = setup_arena(r->s);
    const char **urls = arena_alloc(a, o->n_endpoints * sizeof *urls);
    for (size_t i = 0; i < o->n_endpoints; i++)
        urls[i] = strstr(o->endpoints[i], "://")
                      ? o->endpoints[i]
                      : arena_printf(a, "%s%s", r->tls ? "https://" : "http://", o->endpoints[i]);
    o->endpoints = urls;
}

int etcd_read_options(struct etcd *x, struct setup *s, struct dispenser *d, struct err *e)
{
    static const char *const endpoint[] = { "http://localhost:2379" };
    struct reading r = { .x = x, .s = s, .d = d, .e = e };
    int code = 0;
    strcpy(x->path, "/skydns");
    x->path_len = strlen(x->path);
    x->lease_min = LEASE_MIN;
    x->lease_max = LEASE_MAX;
    x->options.endpoints = endpoint;
    x->options.n_endpoints = 1;
    x->options.name = "plugin/etcd";
    while (code == 0 && dispenser_next_directive(d)) { /* the last one's zones count */
        code = read_zones(&r);
        while (code == 0 && dispenser_next_block(d))
            code = read_option(&r);
    }
    if (code < 0)
        return code;
    name_schemes(&r);
    return make_ranges(&r);
}
