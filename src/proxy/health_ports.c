#include "proxy/health_ports.h"

#include "base/ht.h"
#include "base/str.h"
#include "base/vec.h"

#include <stdio.h>

/* One address and port; the handle frees it when it is closed. */
struct opening {
    uv_tcp_t tcp;
    struct ip ip;
    struct served *served;
};

struct served {
    struct health_ports *all;
    char *service;
    uint16_t port;
    unsigned n_local;
    bool wanted, told;
    VEC(struct opening *) openings;
};

struct client;

struct health_ports {
    uv_loop_t *loop;
    struct health *health;
    void (*warn)(void *ctx, const char *service, const char *text);
    void *ctx;
    struct ht served; /* port (2 bytes) -> struct served */
    struct client *clients;
    size_t n_connections;
};

/* A client; freed when both handles are closed. */
struct client {
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_write_t write;
    struct health_ports *all;
    struct client *previous, *next;
    char request[HEALTH_PORT_REQUEST_MAX];
    size_t n;
    unsigned open_handles;
    struct strbuf answer;
    uint16_t port;
};

/* ---- a connection */

static void on_client_closed(uv_handle_t *h)
{
    struct client *c = h->data;
    if (--c->open_handles > 0)
        return;
    strbuf_done(&c->answer);
    free(c);
}

static void close_client(struct client *c)
{
    if (uv_is_closing((uv_handle_t *)&c->tcp))
        return;
    *(c->previous ? &c->previous->next : &c->all->clients) = c->next;
    if (c->next)
        c->next->previous = c->previous;
    c->all->n_connections--;
    uv_close((uv_handle_t *)&c->tcp, on_client_closed);
    uv_close((uv_handle_t *)&c->timer, on_client_closed);
}

static void on_timeout(uv_timer_t *t)
{
    close_client(t->data);
}

static void on_written(uv_write_t *w, int status)
{
    (void)status;
    close_client(w->data);
}

static void print_body(const struct served *s, bool healthy, struct strbuf *out)
{
    const char *slash = strchr(s->service, '/');
    strbuf_printf(out,
                  "{\n\t\"service\": {\n\t\t\"namespace\": \"%.*s\",\n\t\t\"name\": \"%s\"\n\t},\n"
                  "\t\"localEndpoints\": %u,\n\t\"serviceProxyHealthy\": %s\n}",
                  (int)(slash - s->service), s->service, slash + 1, s->n_local,
                  healthy ? "true" : "false");
}

static void print_answer(const struct served *s, struct strbuf *out)
{
    struct strbuf body = { 0 };
    bool healthy = health_is_good(s->all->health), good = healthy && s->n_local > 0;
    print_body(s, healthy, &body);
    strbuf_printf(out,
                  "HTTP/1.1 %s\r\nContent-Type: application/json\r\n"
                  "X-Content-Type-Options: nosniff\r\n"
                  "X-Load-Balancing-Endpoint-Weight: %u\r\nContent-Length: %zu\r\n"
                  "Connection: close\r\n\r\n%s",
                  good ? "200 OK" : "503 Service Unavailable", s->n_local, body.len, body.p);
    strbuf_done(&body);
}

static void answer(struct client *c)
{
    struct served *s = ht_get(&c->all->served, &c->port, sizeof c->port);
    uv_read_stop((uv_stream_t *)&c->tcp);
    if (!s) {
        close_client(c);
        return;
    }
    print_answer(s, &c->answer);
    uv_buf_t buf = uv_buf_init(c->answer.p, (unsigned)c->answer.len);
    if (uv_write(&c->write, (uv_stream_t *)&c->tcp, &buf, 1, on_written) < 0)
        close_client(c);
}

static void on_alloc(uv_handle_t *h, size_t size, uv_buf_t *ret)
{
    struct client *c = h->data;
    (void)size;
    *ret = uv_buf_init(c->request + c->n, (unsigned)(sizeof c->request - 1 - c->n));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct client *c = stream->data;
    (void)buf;
    if (n < 0) {
        close_client(c);
        return;
    }
    c->n += (size_t)n;
    c->request[c->n] = '\0';
    if (strstr(c->request, "\r\n\r\n"))
        answer(c);
    else if (c->n + 1 == sizeof c->request)
        close_client(c);
}

static void on_connection(uv_stream_t *server, int status)
{
    struct opening *o = server->data;
    struct health_ports *p = o->served->all;
    if (status < 0)
        return;
    struct client *c = xcalloc(1, sizeof *c);
    c->all = p;
    c->port = o->served->port;
    c->open_handles = 2;
    c->write.data = c;
    c->next = p->clients;
    if (p->clients)
        p->clients->previous = c;
    p->clients = c;
    p->n_connections++;
    uv_tcp_init(p->loop, &c->tcp);
    uv_timer_init(p->loop, &c->timer);
    c->tcp.data = c->timer.data = c;
    uv_timer_start(&c->timer, on_timeout, HEALTH_PORT_TIMEOUT_MS, 0);
    if (uv_accept(server, (uv_stream_t *)&c->tcp) < 0 ||
        p->n_connections > HEALTH_PORT_CONNECTIONS_MAX ||
        uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) < 0)
        close_client(c);
}

/* ---- ports */

static void on_opening_closed(uv_handle_t *h)
{
    free(h->data);
}

static void close_opening(struct opening *o)
{
    o->tcp.data = o;
    uv_close((uv_handle_t *)&o->tcp, on_opening_closed);
}

static void open_at(struct served *s, const struct ip *ip)
{
    struct sockaddr_storage sa;
    char text[IP_TEXT_MAX], said[256];
    struct opening *o = xcalloc(1, sizeof *o);
    o->ip = *ip;
    o->served = s;
    ip_to_sockaddr(ip, s->port, &sa);
    uv_tcp_init(s->all->loop, &o->tcp);
    o->tcp.data = o;
    int ret = uv_tcp_bind(&o->tcp, (struct sockaddr *)&sa, ip->family == 6 ? UV_TCP_IPV6ONLY : 0);
    if (ret == 0)
        ret = uv_listen((uv_stream_t *)&o->tcp, 64, on_connection);
    if (ret == 0) {
        vec_push(&s->openings, o);
        return;
    }
    snprintf(said, sizeof said, "healthCheckNodePort of Service %.100s: %s port %u: %s", s->service,
             ip_text(ip, text), s->port, uv_strerror(ret));
    if (!s->told)
        s->all->warn(s->all->ctx, s->service, said);
    s->told = true;
    close_opening(o);
}

static bool is_in(const struct ip *ips, size_t n, const struct ip *ip)
{
    for (size_t i = 0; i < n; i++)
        if (ip_equal(&ips[i], ip))
            return true;
    return false;
}

static bool is_open_at(const struct served *s, const struct ip *ip)
{
    vec_each (o, &s->openings)
        if (ip_equal(&(*o)->ip, ip))
            return true;
    return false;
}

static void reopen(struct served *s, const struct ip *ips, size_t n)
{
    for (size_t i = 0; i < s->openings.n;) {
        if (is_in(ips, n, &s->openings.items[i]->ip)) {
            i++;
            continue;
        }
        close_opening(s->openings.items[i]);
        vec_swap_remove(&s->openings, i);
    }
    for (size_t i = 0; i < n; i++)
        if (!is_open_at(s, &ips[i]))
            open_at(s, &ips[i]);
}

static void drop(struct health_ports *p, struct served *s)
{
    ht_del(&p->served, &s->port, sizeof s->port);
    vec_each (o, &s->openings)
        close_opening(*o);
    vec_done(&s->openings);
    free(s->service);
    free(s);
}

struct health_ports *health_ports_new(uv_loop_t *loop, struct health *h,
                                      void (*warn)(void *ctx, const char *service,
                                                   const char *text),
                                      void *ctx)
{
    struct health_ports *p = xcalloc(1, sizeof *p);
    *p = (struct health_ports){ .loop = loop, .health = h, .warn = warn, .ctx = ctx };
    return p;
}

static void drop_unwanted(struct health_ports *p)
{
    VEC(struct served *) gone = { 0 };
    ht_each (e, &p->served) {
        struct served *s = e->value;
        if (!s->wanted)
            vec_push(&gone, s);
    }
    vec_each (s, &gone)
        drop(p, *s);
    vec_done(&gone);
}

static void want(struct health_ports *p, const struct health_check *c)
{
    struct served *s = ht_get(&p->served, &c->port, sizeof c->port);
    if (!s) {
        s = xcalloc(1, sizeof *s);
        s->all = p;
        s->port = c->port;
        ht_put(&p->served, &s->port, sizeof s->port, s);
    }
    free(s->service);
    s->service = xstrdup(c->service);
    s->n_local = c->n_local;
    s->wanted = true;
}

void health_ports_update(struct health_ports *p, const struct health_check *checks, size_t n,
                         const struct ip *ips, size_t n_ips)
{
    ht_each (e, &p->served)
        ((struct served *)e->value)->wanted = false;
    for (size_t i = 0; i < n; i++)
        want(p, &checks[i]);
    drop_unwanted(p);
    ht_each (e, &p->served)
        reopen(e->value, ips, n_ips);
}

size_t health_ports_count(const struct health_ports *p)
{
    size_t n = 0;
    ht_each (e, &p->served)
        n += ((struct served *)e->value)->openings.n > 0;
    return n;
}

void health_ports_free(struct health_ports *p)
{
    if (!p)
        return;
    health_ports_update(p, NULL, 0, NULL, 0);
    while (p->clients)
        close_client(p->clients);
    ht_done(&p->served);
    free(p);
}
