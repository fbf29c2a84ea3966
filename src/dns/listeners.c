/* From server blocks to listeners: which zones are served at which address and port. */
#include "dns/setup.h"

#include "base/ip.h"
#include "base/log.h"

#include <string.h>

#define HTTPS_CONNS 200 /* of a listener at a time, unless `https` says otherwise */

/* "dns://:53", "tls://127.0.0.1:853": the `server` label of metrics. */
static const char *server_label(struct dns_config *s, const struct dns_listener *l)
{
    char text[IP_TEXT_MAX];
    ip_text(&l->ip, text);
    return arena_printf(&s->arena, l->ip.family == 6 ? "%s://[%s]:%u" : "%s://%s:%u",
                        scheme_text(l->scheme), text, l->port);
}

static struct dns_listener *listener_of(struct dns_config *s, const struct ip *ip,
                                        const struct key *key)
{
    vec_each (l, &s->listeners) {
        if (l->scheme == key->scheme && l->port == key->port && ip_equal(&l->ip, ip))
            return l;
    }
    vec_push(&s->listeners,
             (struct dns_listener){
                 .ip = *ip, .port = key->port, .scheme = key->scheme, .https_conns = HTTPS_CONNS });
    return &s->listeners.items[s->listeners.n - 1];
}

static void merge_limits(struct tcp_limits *to, const struct tcp_limits *from)
{
    const struct stream_limits *f = &from->times;
    struct stream_limits *t = &to->times;
    t->first_ms = f->first_ms ? f->first_ms : t->first_ms;
    t->idle_ms = f->idle_ms ? f->idle_ms : t->idle_ms;
    t->write_ms = f->write_ms ? f->write_ms : t->write_ms;
    to->messages = from->messages ? from->messages : to->messages;
}

/* Behind a block without a view, another of the same zone would never be asked. */
static int add_route(struct dns_config *s, struct dns_listener *l, const struct key *key,
                     const struct block_setup *b, struct err *e)
{
    const struct chain *chain = b->chain;
    unsigned position = l->n_routes;
    struct name zone;
    if (name_from_text(key->zone, &zone) < 0)
        return err_set(e, ERR_PARSE, "%s:%d - zone is not a valid domain name: %s",
                       key->token->file, key->token->line, key->zone);
    uint8_t *wire = arena_alloc(&s->arena, zone.len);
    name_lower(wire, zone.wire, zone.len);
    for (unsigned i = 0; i < l->n_routes; i++)
        if (!l->routes[i].filter && name_equal(l->routes[i].zone_wire, wire))
            return err_set(
                e, ERR_INVALID, "%s:%d - cannot serve %s://%s:%u - it is already defined",
                key->token->file, key->token->line, scheme_text(key->scheme), key->zone, key->port);
    l->routes = xrealloc(l->routes, (l->n_routes + 1) * sizeof *l->routes);
    l->routes[l->n_routes++] = (struct route){ .server = server_label(s, l),
                                               .zone = key->zone,
                                               .view = b->view ? b->view : "",
                                               .filter = b->filter,
                                               .filter_conf = b->filter_conf,
                                               .id = position,
                                               .zone_wire = wire,
                                               .zone_len = zone.len,
                                               .zone_labels = zone.n_labels,
                                               .chain = chain,
                                               .chain_block = chain->block };
    if (chain->any_class)
        l->any_class = true;
    merge_limits(&l->tcp, &b->tcp);
    if (b->https_conns >= 0)
        l->https_conns = (unsigned)b->https_conns;
    if (b->tls[l->scheme])
        l->tls = b->tls[l->scheme];
    l->sockets = MAX(l->sockets, b->sockets);
    return 0;
}

static int check_scheme(const struct key *key, struct err *e)
{
    if (key->scheme == SCHEME_DNS || key->scheme == SCHEME_TLS || key->scheme == SCHEME_HTTPS)
        return 0;
    return err_set(e, ERR_UNSUPPORTED, "%s:%d - %s:// listeners are not supported; use tls://",
                   key->token->file, key->token->line, scheme_text(key->scheme));
}

static int add_key(struct dns_config *s, const struct block_setup *b, const struct key *key,
                   struct err *e)
{
    static const struct ip wildcard = { 0 };
    int ret = check_scheme(key, e);
    if (ret < 0)
        return ret;
    if (b->binds.n == 0)
        return add_route(s, listener_of(s, &wildcard, key), key, b, e);
    for (size_t i = 0; i < b->binds.n && ret == 0; i++)
        ret = add_route(s, listener_of(s, &b->binds.items[i], key), key, b, e);
    return ret;
}

/* The same zone and port once bound and once not: both sockets would get its queries. */
static int check_overlap(const struct dns_config *s, struct err *e)
{
    vec_each (any, &s->listeners) {
        vec_each (l, &s->listeners) {
            if (any->ip.family || !l->ip.family || l->port != any->port || l->scheme != any->scheme)
                continue;
            for (unsigned i = 0; i < any->n_routes; i++)
                for (unsigned k = 0; k < l->n_routes; k++)
                    if (name_equal(any->routes[i].zone_wire, l->routes[k].zone_wire))
                        return err_set(e, ERR_INVALID,
                                       "cannot serve %s://%s:%u - zone overlap listener capacity "
                                       "with %s",
                                       scheme_text(any->scheme), any->routes[i].zone, any->port,
                                       l->routes[k].server);
        }
    }
    return 0;
}

/* Connections to one port would go to one or the other scheme by chance. */
static int check_ports(const struct dns_config *s, struct err *e)
{
    vec_each (a, &s->listeners) {
        vec_each (b, &s->listeners) {
            bool one_address = !a->ip.family || !b->ip.family || ip_equal(&a->ip, &b->ip);
            if (a->scheme < b->scheme && a->port == b->port && one_address)
                return err_set(e, ERR_INVALID,
                               "cannot serve %s and %s: one port cannot have two schemes",
                               a->routes[0].server, b->routes[0].server);
        }
    }
    return 0;
}

static void warn_of_plain(const struct dns_config *s)
{
    vec_each (l, &s->listeners) {
        if (l->scheme != SCHEME_DNS && !l->tls)
            log_warning("%s has no certificate: without a 'tls' line it is served unencrypted",
                        l->routes[0].server);
    }
}

/* Those of one zone stay in the order of the file, which `id` has until they are settled. */
static int longest_first(const void *a, const void *b)
{
    const struct route *x = a, *y = b;
    if (x->zone_labels != y->zone_labels)
        return (int)y->zone_labels - (int)x->zone_labels;
    int order = name_compare(x->zone_wire, y->zone_wire);
    return order ? order : (x->id > y->id) - (x->id < y->id);
}

/* Routes stop moving here: they get their ids and their listener's address. */
static void settle(struct dns_config *s)
{
    unsigned n = 0;
    vec_each (l, &s->listeners)
        n += l->n_routes;
    s->routes = arena_zalloc(&s->arena, n * sizeof(struct route *));
    vec_each (l, &s->listeners) {
        l->workers = MAX(s->options->workers, 1u);
        if (l->scheme == SCHEME_HTTPS && l->https_conns)
            l->quota = stream_quota_new(l->https_conns);
        l->places = l->sockets ? (l->sockets + l->workers - 1) / l->workers : 1;
        qsort(l->routes, l->n_routes, sizeof *l->routes, longest_first);
        for (unsigned i = 0; i < l->n_routes; i++) {
            struct route *r = &l->routes[i];
            r->listener = l;
            r->config = s;
            r->id = s->n_routes;
            s->routes[s->n_routes++] = r;
            if (!ht_get(&l->index, r->zone_wire, r->zone_len))
                ht_put(&l->index, r->zone_wire, r->zone_len, r);
        }
    }
}

int listeners_build(struct dns_config *s, struct err *e)
{
    for (size_t i = 0; i < s->corefile->n_blocks; i++) {
        const struct block_setup *b = &s->blocks[i];
        for (size_t k = 0; k < b->block->n_keys; k++) {
            int ret = add_key(s, b, &b->block->keys[k], e);
            if (ret < 0)
                return ret;
        }
    }
    int ret = check_overlap(s, e);
    if (ret == 0)
        ret = check_ports(s, e);
    if (ret < 0)
        return ret;
    warn_of_plain(s);
    settle(s);
    return 0;
}

void listeners_done(struct dns_config *s)
{
    vec_each (l, &s->listeners) {
        stream_quota_free(l->quota);
        ht_done(&l->index);
        free(l->routes);
    }
    vec_done(&s->listeners);
}
