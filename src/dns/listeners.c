/* From server blocks to listeners: which zones are served at which address and port. */
#include "dns/setup.h"

#include "base/ip.h"

#include <string.h>

/* "dns://:53", "dns://127.0.0.1:53": the `server` label of metrics. */
static const char *server_label(struct dns_config *s, const struct ip *ip, uint16_t port)
{
    char text[IP_TEXT_MAX];
    ip_text(ip, text);
    return arena_printf(&s->arena, ip->family == 6 ? "dns://[%s]:%u" : "dns://%s:%u", text, port);
}

static struct dns_listener *listener_of(struct dns_config *s, const struct ip *ip, uint16_t port)
{
    vec_each (l, &s->listeners) {
        if (l->port == port && ip_equal(&l->ip, ip))
            return l;
    }
    vec_push(&s->listeners, (struct dns_listener){ .ip = *ip, .port = port });
    return &s->listeners.items[s->listeners.n - 1];
}

static void merge_limits(struct tcp_limits *to, const struct tcp_limits *from)
{
    to->first_ms = from->first_ms ? from->first_ms : to->first_ms;
    to->idle_ms = from->idle_ms ? from->idle_ms : to->idle_ms;
    to->write_ms = from->write_ms ? from->write_ms : to->write_ms;
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
            return err_set(e, ERR_INVALID,
                           "%s:%d - cannot serve dns://%s:%u - it is already defined",
                           key->token->file, key->token->line, key->zone, key->port);
    l->routes = xrealloc(l->routes, (l->n_routes + 1) * sizeof *l->routes);
    l->routes[l->n_routes++] = (struct route){ .server = server_label(s, &l->ip, l->port),
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
    l->sockets = MAX(l->sockets, b->sockets);
    return 0;
}

static int check_scheme(const struct key *key, struct err *e)
{
    static const char *const names[] = { "dns", "tls", "quic", "grpc", "https", "https3" };
    if (key->scheme == SCHEME_DNS)
        return 0;
    return err_set(e, ERR_UNSUPPORTED, "%s:%d - %s:// listeners are not supported; use dns://",
                   key->token->file, key->token->line, names[key->scheme]);
}

static int add_key(struct dns_config *s, const struct block_setup *b, const struct key *key,
                   struct err *e)
{
    static const struct ip wildcard = { 0 };
    int ret = check_scheme(key, e);
    if (ret < 0)
        return ret;
    if (b->binds.n == 0)
        return add_route(s, listener_of(s, &wildcard, key->port), key, b, e);
    for (size_t i = 0; i < b->binds.n && ret == 0; i++)
        ret = add_route(s, listener_of(s, &b->binds.items[i], key->port), key, b, e);
    return ret;
}

/* The same zone and port once bound and once not: both sockets would get its queries. */
static int check_overlap(const struct dns_config *s, struct err *e)
{
    vec_each (any, &s->listeners) {
        vec_each (l, &s->listeners) {
            if (any->ip.family || !l->ip.family || l->port != any->port)
                continue;
            for (unsigned i = 0; i < any->n_routes; i++)
                for (unsigned k = 0; k < l->n_routes; k++)
                    if (name_equal(any->routes[i].zone_wire, l->routes[k].zone_wire))
                        return err_set(e, ERR_INVALID,
                                       "cannot serve dns://%s:%u - zone overlap listener capacity "
                                       "with %s",
                                       any->routes[i].zone, any->port, l->routes[k].server);
        }
    }
    return 0;
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
        settle(s);
    return ret;
}

void listeners_done(struct dns_config *s)
{
    vec_each (l, &s->listeners) {
        ht_done(&l->index);
        free(l->routes);
    }
    vec_done(&s->listeners);
}
