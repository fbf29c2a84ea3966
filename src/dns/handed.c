#include "dns/handed.h"

#include "dns/socket.h"

#include <unistd.h>

#define DRAIN_IDLE_MS 2000 /* of TCP connections, once another process has the address */

static bool is_of(const struct dns_handed *h, const struct dns_listener *l)
{
    return h->scheme == l->scheme && h->port == l->port && ip_equal(&h->ip, &l->ip);
}

/* So many sockets over all workers. */
static void want(struct dns_listener *l, unsigned sockets)
{
    if (sockets <= l->workers || sockets <= l->sockets)
        return;
    l->sockets = sockets;
    l->places = (sockets + l->workers - 1) / l->workers;
}

void handed_make_room(const struct dns_server *s, struct dns_config *c)
{
    vec_each (l, &c->listeners) {
        unsigned n = 0;
        for (size_t i = 0; i < s->adopted.n; i++)
            n += is_of(&s->adopted.items[i], l);
        want(l, n);
    }
}

void handed_adopt(struct dns_server *s, struct dns_handed_list *list)
{
    s->handed = list;
    if (!list || !list->n)
        return;
    s->adopted.items = xcalloc(list->n, sizeof *list->items);
    s->adopted.n = list->n;
    for (size_t i = 0; i < list->n; i++)
        s->adopted.items[i] = (struct dns_handed){
            list->items[i].ip, list->items[i].port, list->items[i].scheme, { -1, -1 }
        };
}

bool handed_take(struct dns_handed_list *list, const struct dns_listener *l, int ret_fd[2])
{
    for (size_t i = 0; list && i < list->n; i++) {
        struct dns_handed *h = &list->items[i];
        if (!is_of(h, l) || (h->fd[0] < 0 && l->scheme == SCHEME_DNS) || h->fd[1] < 0)
            continue;
        ret_fd[0] = h->fd[0];
        ret_fd[1] = h->fd[1];
        h->fd[0] = h->fd[1] = -1;
        return true;
    }
    return false;
}

void dns_handed_done(struct dns_handed_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        for (int k = 0; k < 2; k++)
            if (list->items[i].fd[k] >= 0)
                close(list->items[i].fd[k]);
    free(list->items);
    *list = (struct dns_handed_list){ 0 };
}

/* ---- the side that gives ---- */

/* The worker's open sockets by number. Control thread, while no call to the worker is under way. */
static bool socket_at(const struct dns_worker *w, unsigned i, struct dns_handed *ret)
{
    const struct dns_socket *s = i < w->n_sockets ? w->sockets[i] : NULL;
    if (!s || !s->open)
        return false;
    struct stream_server *stream = socket_stream(s);
    int tcp_fd = stream ? stream_server_fd(stream) : -1;
    *ret = (struct dns_handed){ s->ip, s->port, s->scheme, { s->fd, tcp_fd } };
    return true;
}

struct dns_handed_list dns_server_sockets(struct dns_server *s)
{
    VEC(struct dns_handed) all = { 0 };
    struct dns_handed h;
    for (unsigned w = 0; w < s->n_workers; w++)
        for (unsigned i = 0; i < s->workers[w].n_sockets; i++)
            if (socket_at(&s->workers[w], i, &h))
                vec_push(&all, h);
    return (struct dns_handed_list){ all.items, all.n };
}

/* Receives and accepts nothing more; queries that wait are answered, and open connections served
 * until they are idle. */
static void drain(struct dns_worker *w)
{
    for (unsigned i = 0; i < w->n_sockets; i++) {
        struct dns_socket *s = w->sockets[i];
        struct stream_server *stream = socket_stream(s);
        if (!s->open || !stream)
            continue;
        struct stream_limits limits = s->listener->tcp.times;
        limits.first_ms = limits.idle_ms = DRAIN_IDLE_MS;
        stream_server_set_limits(stream, &limits);
        stream_server_retire(stream);
        if (s->fd >= 0)
            uv_poll_stop(&s->poll); /* the descriptor is still needed for replies */
    }
}

/* Waiting queries and open connections. */
static size_t under_way(const struct dns_worker *w)
{
    size_t n = w->waiting;
    for (unsigned i = 0; i < w->n_sockets; i++) {
        const struct stream_server *stream = socket_stream(w->sockets[i]);
        n += w->sockets[i]->open && stream ? stream_server_connections(stream) : 0;
    }
    return n;
}

static void drain_on_worker(struct worker *w, void *arg)
{
    (void)arg;
    drain(container_of(w, struct dns_worker, worker));
}

void dns_server_drain(struct dns_server *s)
{
    for (unsigned i = 0; i < s->n_workers; i++)
        worker_call_wait(&s->workers[i].worker, drain_on_worker, NULL);
}

static void count_on_worker(struct worker *w, void *arg)
{
    size_t *n = arg;
    *n += under_way(container_of(w, struct dns_worker, worker));
}

size_t dns_server_under_way(struct dns_server *s)
{
    size_t n = 0;
    for (unsigned i = 0; i < s->n_workers; i++)
        worker_call_wait(&s->workers[i].worker, count_on_worker, &n);
    return n;
}
