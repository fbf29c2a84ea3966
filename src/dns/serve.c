#include "dns/serve_impl.h"

#include "base/clock.h"
#include "base/mem.h"
#include "dns/setup.h"
#include "dns/why.h"

#include <string.h>

static metric m_malformed, m_unsent, m_waiting_refused, m_no_memory;

static double memory_short(void *ctx)
{
    (void)ctx;
    return mem_is_short();
}

static double memory_put_off(void *ctx)
{
    (void)ctx;
    return (double)mem_put_off();
}

void serve_no_memory(void)
{
    metric_add(m_no_memory, 1);
}

void serve_metrics_init(void)
{
    m_malformed = metric_counter("signpost_dns_malformed_total",
                                 "Messages answered or dropped before any plugin saw them.", "");
    m_unsent = metric_counter("signpost_dns_replies_unsent_total",
                              "Replies that the kernel would not send.", "");
    m_waiting_refused = metric_counter("signpost_dns_waiting_refused_total",
                                       "Queries refused because too many were waiting.", "");
    m_no_memory = metric_counter("signpost_dns_no_memory_total",
                                 "Queries dropped or refused because memory was short.", "");
    metric_gauge("signpost_dns_memory_put_off",
                 "Times that reading something anew was put off because memory was short.", "",
                 memory_put_off, NULL);
    metric_gauge("signpost_dns_memory_short", "1 while new work that needs memory is refused.", "",
                 memory_short, NULL);
}

bool serve_may_wait(struct query *q)
{
    struct dns_worker *w = serve_worker(q);
    if (!query_pool_has(&w->pool)) { /* its place in the batch could not be filled again */
        metric_add(m_no_memory, 1);
        return false;
    }
    if (w->waiting < SERVE_WAITING_MAX) {
        w->waiting++;
        atomic_fetch_add(&q->route->config->waiting, 1);
        return true;
    }
    metric_add(m_waiting_refused, 1);
    return false;
}

void serve_waits_no_more(struct query *q)
{
    serve_worker(q)->waiting--;
    atomic_fetch_sub(&q->route->config->waiting, 1);
}

struct query *serve_query_get(struct query *like)
{
    return query_get(&serve_worker(like)->pool);
}

void serve_query_put(struct query *q)
{
    query_put(&serve_worker(q)->pool, q);
}

/* ---- the reply ---- */

/* Options that the reference echoes; everything else of the client's OPT stays out of the reply. Of
 * TCP keepalive and padding under TLS more is made (dns/serve_stream.c). */
#define ECHOED                                                                                     \
    (edns_bit(EDNS_NSID) | edns_bit(EDNS_EXPIRE) | edns_bit(EDNS_COOKIE) |                         \
     edns_bit(EDNS_KEEPALIVE) | edns_bit(EDNS_PADDING))

static void echo_options(struct query *q)
{
    uint8_t *out = arena_alloc(&q->arena, q->msg.edns.options_len);
    struct wbuf w = wbuf_of(out, q->msg.edns.options_len);
    edns_copy(&q->msg.edns, ~ECHOED, &w);
    q->reply.edns.options = out;
    q->reply.edns.options_len = (uint16_t)w.pos;
}

static void reply_begin(struct query *q)
{
    uint16_t flags = FLAG_QR | (q->msg.flags & 0x7800);
    if (flags_opcode(q->msg.flags) == OPCODE_QUERY)
        flags |= q->msg.flags & (FLAG_RD | FLAG_CD);
    q->reply = (struct reply){ .id = q->msg.id, .flags = flags, .q = &q->msg.q };
    if (q->msg.edns.present) {
        q->reply.edns = q->msg.edns;
        q->reply.edns.version = 0;
        q->reply.edns.options = NULL;
        q->reply.edns.options_len = 0;
        if (q->msg.edns.options_len)
            echo_options(q);
    }
    q->bare = false;
    q->error = NULL;
    q->answerer = 0;
    q->dropped = false;
    q->waiting = false;
    q->route = NULL;
    query_forget_ahead(q);
    q->at_once = q->noting = false;
    q->sign = NULL;
    q->asked = NULL;
    q->served = NULL;
    q->rewrites = NULL;
    q->fetch = NULL;
    if (q->depth == 0)
        q->deadline_ns = 0;
}

static size_t reply_limit(const struct query *q)
{
    if (q->transport != TRANSPORT_UDP)
        return MSG_MAX;
    if (!q->msg.edns.present)
        return MSG_UDP_MIN;
    return MAX(q->msg.edns.udp_size, MSG_UDP_MIN);
}

/* ---- one query ---- */

/* Starts the reply and finds the route. STEP_NEXT: its chain is to be run. */
static enum step route_query(struct query *q)
{
    reply_begin(q);
    const struct dns_listener *l = q->socket->listener;
    if (q->msg.q.class != CLASS_IN && !l->any_class)
        return query_fail(q, RCODE_REFUSED, NULL);
    if (q->msg.edns.present && q->msg.edns.version > 0) {
        q->reply.edns = (struct edns){ .present = true };
        return query_fail(q, RCODE_BADVERS, NULL);
    }
    q->route = listener_route(l, q);
    return q->route ? STEP_NEXT : query_fail(q, RCODE_REFUSED, NULL);
}

enum step serve_dispatch(struct query *q)
{
    enum step step = route_query(q);
    if (q->why)
        why_routed(q);
    return step == STEP_NEXT ? chain_run(q->route->chain, q) : step;
}

enum step serve_below(struct query *q, const struct query *of)
{
    reply_begin(q);
    q->route = of->route;
    return chain_run_below(q->route->chain, q, of->step);
}

/* Replies to what cannot be a query: the header alone. Returns false when silence is right. */
bool serve_malformed(struct query *q, enum query_form form)
{
    static const enum rcode rcodes[] = { [QUERY_NOTIMP] = RCODE_NOTIMP,
                                         [QUERY_FORMERR] = RCODE_FORMERR,
                                         [QUERY_EMPTY] = RCODE_SERVFAIL };
    metric_add(m_malformed, 1);
    if (form == QUERY_DROP)
        return false;
    uint16_t opcode = form == QUERY_NOTIMP ? q->msg.flags & 0x7800 : 0;
    q->reply = (struct reply){ .id = q->msg.id,
                               .rcode = rcodes[form],
                               .flags = FLAG_QR | opcode | (q->msg.flags & FLAG_RD) };
    q->route = NULL;
    q->sign = NULL;
    q->msg.edns.present = false;
    return true;
}

void serve_after(struct query *q)
{
    if (!q->route)
        return;
    const struct chain *c = q->route->chain;
    for (uint16_t i = 0; i < c->n_after; i++)
        c->after[i].run(q, c->after[i].conf);
}

size_t serve_encode(struct query *q, uint8_t *out, size_t limit)
{
    if (__builtin_expect(q->sign == NULL, 1))
        return msg_encode(&q->reply, out, limit);
    size_t room = MIN(q->sign_room, limit - MSG_HEADER);
    return q->sign(q, q->sign_conf, out, msg_encode(&q->reply, out, limit - room));
}

/* ---- UDP ---- */

static void socket_flush(struct dns_socket *s)
{
    if (s->out.n) {
        unsigned unsent = udp_flush(s->fd, &s->out);
        if (unsent)
            metric_add(m_unsent, unsent);
    }
    s->out_pos = 0;
}

static void udp_reply(struct dns_socket *s, struct query *q)
{
    if (s->out_pos > SERVE_OUT_BYTES || s->out.n == UDP_BATCH)
        socket_flush(s);
    uint8_t *out = s->out_bytes + s->out_pos;
    q->reply_len = serve_encode(q, out, reply_limit(q));
    udp_out_add(&s->out, out, q->reply_len, &q->peer, s->wildcard ? &q->local : NULL);
    s->out_pos += (q->reply_len + 15) & ~(size_t)15;
}

static void look_ahead(struct query *q, bool second)
{
    const struct chain *c = q->route->chain;
    for (unsigned i = 0; i < c->n_ahead; i++)
        c->ahead[i].run(q, c->ahead[i].conf, &q->ahead[i], second);
}

/* Reads the datagram in place i. STEP_NEXT: it has a chain to run. */
static enum step udp_query(struct dns_socket *s, unsigned i, int64_t now)
{
    struct query *q = s->slots[i];
    arena_reset(&q->arena);
    q->start_ns = now;
    enum query_form form = msg_parse_query(q->packet, udp_in_len(&s->in, i), &q->msg);
    if (form != QUERY_OK)
        return serve_malformed(q, form) ? STEP_DONE : STEP_DROP;
    enum step step = route_query(q);
    if (step == STEP_NEXT)
        look_ahead(q, false);
    return step;
}

/* Gives place i a query to receive into. */
static bool socket_place(struct dns_socket *s, unsigned i)
{
    struct query *q = s->slots[i] = query_get(&s->w->pool);
    if (!q)
        return false;
    q->worker = &s->w->worker;
    q->socket = s;
    q->conn = NULL;
    q->parent = NULL;
    q->depth = 0;
    q->transport = TRANSPORT_UDP;
    udp_in_place(&s->in, i, q->packet, QUERY_PACKET, &q->peer, s->wildcard ? &q->local : NULL);
    return true;
}

/* The places that can be received into: all of them unless memory has run out. */
static unsigned socket_places(struct dns_socket *s)
{
    unsigned n = 0;
    while (n < UDP_BATCH && (s->slots[n] || socket_place(s, n)))
        n++;
    return n;
}

/* In passes, so that the memory which one query waits for arrives while others are worked on. */
static void udp_batch(struct dns_socket *s, unsigned n)
{
    enum step steps[UDP_BATCH];
    int64_t now = clock_ns();
    for (unsigned i = 0; i < n; i++)
        steps[i] = udp_query(s, i, now);
    for (unsigned i = 0; i < n; i++)
        if (steps[i] == STEP_NEXT)
            look_ahead(s->slots[i], true);
    for (unsigned i = 0; i < n; i++) {
        struct query *q = s->slots[i];
        if (steps[i] == STEP_NEXT)
            steps[i] = chain_run(q->route->chain, q);
        if (steps[i] == STEP_WAIT) {
            (void)socket_place(s, i); /* it has left its place */
            continue;
        }
        q->dropped = steps[i] == STEP_DROP;
        if (!q->dropped)
            udp_reply(s, q);
    }
    now = clock_ns();
    for (unsigned i = 0; i < n; i++) {
        if (steps[i] == STEP_WAIT)
            continue;
        s->slots[i]->end_ns = now;
        serve_after(s->slots[i]);
    }
    socket_flush(s);
}

static void udp_readable(uv_poll_t *poll, int status, int events)
{
    struct dns_socket *s = poll->data;
    (void)status, (void)events;
    worker_enter(&s->w->worker);
    for (int round = 0; round < SERVE_ROUNDS; round++) {
        unsigned places = socket_places(s);
        int n = places ? udp_receive(s->fd, &s->in, places) : 0;
        if (!places)
            metric_add(m_no_memory, udp_discard(s->fd));
        if (n > 0)
            udp_batch(s, (unsigned)n);
        if (n < UDP_BATCH)
            break;
        rcu_quiescent();
    }
    worker_leave(&s->w->worker);
}

/* ---- queries that waited ---- */

static void finish_sub_query(struct query *sub)
{
    struct query *parent = sub->parent;
    if (sub->done)
        sub->done(sub, sub->done_conf);
    else if (parent)
        query_resume(parent, sub);
    serve_query_put(sub);
}

void serve_finish_waiting(struct query *q, enum step step)
{
    if (q->depth > 0 || q->done) {
        finish_sub_query(q);
        return;
    }
    if (q->transport != TRANSPORT_UDP) {
        serve_stream_finish(q, step == STEP_DONE);
        return;
    }
    q->dropped = step == STEP_DROP;
    if (!q->dropped)
        udp_reply(q->socket, q);
    q->end_ns = clock_ns();
    serve_after(q);
    socket_flush(q->socket);
    serve_query_put(q);
}

/* ---- opening and closing ---- */

static void socket_closed(uv_handle_t *h)
{
    struct dns_socket *s = h->data;
    close(s->fd);
    s->fd = -1;
}

/* The object stays until the worker ends: waiting queries may refer to it. */
static void socket_close(struct dns_socket *s)
{
    serve_stream_close(s);
    if (s->fd >= 0 && !uv_is_closing((uv_handle_t *)&s->poll))
        uv_close((uv_handle_t *)&s->poll, socket_closed);
    s->open = false;
}

static struct dns_socket *find_socket(const struct dns_worker *w, const struct dns_listener *l,
                                      unsigned place)
{
    for (unsigned i = 0; i < w->n_sockets; i++) {
        struct dns_socket *s = w->sockets[i];
        if (s->open && s->scheme == l->scheme && s->port == l->port && s->place == place &&
            ip_equal(&s->ip, &l->ip))
            return s;
    }
    return NULL;
}

struct dns_socket *serve_socket(const struct dns_worker *w, const struct dns_listener *l)
{
    return find_socket(w, l, 0);
}

bool serve_has(const struct dns_worker *w, const struct dns_listener *l, unsigned place)
{
    return find_socket(w, l, place) != NULL;
}

bool serve_wants(const struct dns_worker *w, const struct dns_listener *l, unsigned place)
{
    return place == 0 || place * l->workers + w->worker.index < l->sockets;
}

static void begin_udp(struct dns_socket *s)
{
    s->out_bytes = xmalloc(SERVE_OUT_BYTES + MSG_MAX + 16);
    udp_in_init(&s->in);
    s->poll.data = s;
}

static struct dns_socket *socket_new(struct dns_worker *w, const struct dns_listener *l, int fd)
{
    struct dns_socket *s = xcalloc(1, sizeof *s);
    s->fd = fd;
    s->w = w;
    s->listener = l;
    s->ip = l->ip;
    s->port = l->port;
    s->scheme = l->scheme;
    s->open = true;
    s->wildcard = !l->ip.family || ip_is_any(&l->ip);
    if (fd >= 0)
        begin_udp(s);
    w->sockets = xrealloc(w->sockets, (w->n_sockets + 1) * sizeof(struct dns_socket *));
    w->sockets[w->n_sockets++] = s;
    return s;
}

static int poll_udp(struct dns_socket *s, struct err *e)
{
    int ret = uv_poll_init(&s->w->worker.loop, &s->poll, s->fd);
    if (ret == 0)
        ret = uv_poll_start(&s->poll, UV_READABLE, udp_readable);
    return ret < 0 ? err_set(e, ret, "serve: %s", uv_strerror(ret)) : 0;
}

int serve_listener(struct dns_worker *w, const struct dns_listener *l, unsigned place, int udp_fd,
                   int tcp_fd, struct err *e)
{
    struct dns_socket *s = find_socket(w, l, place);
    if (s) {
        s->listener = l;
        serve_stream_update(s);
        return 0;
    }
    s = socket_new(w, l, udp_fd);
    s->place = place;
    if (!w->tcp_out)
        w->tcp_out = xmalloc(MSG_MAX);
    if (tcp_fd < 0)
        return 0; /* for queries of the server's own only */
    int ret = udp_fd >= 0 ? poll_udp(s, e) : 0;
    if (ret == 0)
        ret = serve_stream_open(s, tcp_fd, e);
    return ret;
}

void serve_keep_only(struct dns_worker *w, const struct dns_listener *listeners, size_t n)
{
    for (unsigned i = 0; i < w->n_sockets; i++) {
        struct dns_socket *s = w->sockets[i];
        if (s->open && (s->listener < listeners || s->listener >= listeners + n))
            socket_close(s);
    }
}

void serve_close(struct dns_worker *w)
{
    for (unsigned i = 0; i < w->n_sockets; i++)
        if (w->sockets[i]->open)
            socket_close(w->sockets[i]);
}

void serve_free(struct dns_worker *w)
{
    for (unsigned i = 0; i < w->n_sockets; i++) {
        for (unsigned k = 0; k < UDP_BATCH; k++)
            if (w->sockets[i]->slots[k])
                query_put(&w->pool, w->sockets[i]->slots[k]);
        free(w->sockets[i]->out_bytes);
        free(w->sockets[i]);
    }
    free(w->sockets);
    free(w->tcp_out);
    query_pool_done(&w->pool);
}
