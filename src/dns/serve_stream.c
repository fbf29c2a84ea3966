/* Queries that come on connections: over TCP, TLS and HTTPS. */
#include "dns/serve_impl.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define AGE_DEFAULT 5    /* seconds that a failure over HTTPS may be kept, as in the reference */
#define AGE_MAX     3600 /* the most that anything may */

#define PADDED_TO 468 /* a reply's length is a multiple of it (RFC 8467 section 4.1) */

/* ---- replies ---- */

/* The last field of an SOA: how long a denial may be kept (RFC 2308). */
static uint32_t soa_minimum(const struct rrset *rr)
{
    const uint8_t *at = rr->rdata;
    size_t len = 0;
    const uint8_t *rdata = rr->count ? rrset_next(rr, &at, &len) : NULL;
    return len < 4 ? UINT32_MAX : get_u32(rdata + len - 4);
}

/* For how many seconds an HTTP cache may keep the reply (RFC 8484 section 5.1). */
static uint32_t max_age(const struct reply *r)
{
    uint32_t age = AGE_MAX;
    bool any = false;
    if (r->rcode != RCODE_NOERROR && r->rcode != RCODE_NXDOMAIN)
        return AGE_DEFAULT;
    for (int s = 0; s < SECTION_COUNT; s++)
        for (uint16_t i = 0; i < r->section[s].n; i++) {
            const struct rrset *rr = &r->section[s].items[i];
            age = MIN(age, rr->ttl);
            if (rr->type == RR_SOA && !r->section[SECTION_ANSWER].n)
                age = MIN(age, soa_minimum(rr));
            any = true;
        }
    return any ? age : AGE_DEFAULT;
}

/* For how long the connection is kept without a query, in tenths of a second (RFC 7828). */
static void put_keepalive(const struct query *q, struct wbuf *w)
{
    const struct stream_server *s = socket_stream(q->socket);
    uint32_t ms = s ? stream_server_patience(s) : 0;
    wbuf_u16(w, EDNS_KEEPALIVE);
    wbuf_u16(w, 2);
    wbuf_u16(w, (uint16_t)MIN(ms / 100, (uint32_t)UINT16_MAX));
}

/* So many zeros as last option, and the reply has a length that tells little (RFC 7830). The length
 * without them is found by encoding: only for those who ask for it. */
static void pad(struct query *q, struct wbuf *w, uint8_t *out)
{
    struct edns *edns = &q->reply.edns;
    size_t sign = q->sign ? q->sign_room : 0;
    wbuf_u16(w, EDNS_PADDING);
    wbuf_u16(w, 0);
    edns->options_len = (uint16_t)w->pos;
    size_t len = msg_encode(&q->reply, out, MSG_MAX - sign) + sign;
    size_t zeros = (PADDED_TO - len % PADDED_TO) % PADDED_TO;
    if (len + zeros > MSG_MAX)
        return;
    put_u16((uint8_t *)(uintptr_t)edns->options + w->pos - 2, (uint16_t)zeros);
    memset(wbuf_take(w, zeros), 0, zeros);
    edns->options_len = (uint16_t)w->pos;
}

/* Options that are between us and a client under TLS; elsewhere they are echoed, as the reference
 * does. */
static void own_options(struct query *q, uint8_t *out)
{
    const struct edns *asked = &q->msg.edns;
    struct edns *edns = &q->reply.edns;
    if (!q->socket->listener->tls || !asked->present || !asked->options_len || !edns->present)
        return;
    bool keepalive = edns_has(asked, EDNS_KEEPALIVE), padded = edns_has(asked, EDNS_PADDING);
    size_t cap = (size_t)edns->options_len + 6 + 4 + PADDED_TO;
    if ((!keepalive && !padded) || cap > UINT16_MAX)
        return;
    struct wbuf w = wbuf_of(arena_alloc(&q->arena, cap), cap);
    edns_copy(edns, edns_bit(EDNS_KEEPALIVE) | (padded ? edns_bit(EDNS_PADDING) : 0), &w);
    if (keepalive && q->conn) /* it has no place in HTTP */
        put_keepalive(q, &w);
    edns->options = w.base;
    edns->options_len = (uint16_t)w.pos;
    if (padded)
        pad(q, &w, out);
}

static void give(struct query *q, const uint8_t *out)
{
    if (!q->request)
        tcp_reply(q->conn, out, q->reply_len);
    else
        doh_reply(q->request, out, q->reply_len, max_age(&q->reply));
}

void serve_stream_finish(struct query *q, bool reply)
{
    q->dropped = !reply;
    uint8_t *out = serve_worker(q)->tcp_out;
    if (reply) {
        own_options(q, out);
        q->reply_len = serve_encode(q, out, MSG_MAX);
    }
    q->end_ns = clock_ns();
    serve_after(q);
    if (reply)
        give(q, out);
    else if (q->request)
        doh_fail(q->request, 500);
    else
        tcp_no_reply(q->conn);
    serve_query_put(q);
}

void query_send_part(struct query *q)
{
    uint8_t *out = serve_worker(q)->tcp_out;
    tcp_send_part(q->conn, out, serve_encode(q, out, MSG_MAX));
    for (int s = 0; s < SECTION_COUNT; s++)
        q->reply.section[s].n = 0;
}

/* ---- queries ---- */

static struct query *stream_query(struct dns_socket *s, const struct sockaddr *peer,
                                  const uint8_t *data, size_t len)
{
    struct query *q = query_get(&s->w->pool);
    if (!q)
        return NULL;
    if (len > QUERY_PACKET) {
        uint8_t *packet = malloc(len);
        if (!packet) {
            query_put(&s->w->pool, q);
            return NULL;
        }
        q->packet = packet;
    }
    memcpy(q->packet, data, len);
    arena_reset(&q->arena);
    q->worker = &s->w->worker;
    q->socket = s;
    q->conn = NULL;
    q->request = NULL;
    q->parent = NULL;
    q->depth = 0;
    q->transport = TRANSPORT_TCP;
    memcpy(&q->peer, peer,
           peer->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
    q->start_ns = clock_ns();
    return q;
}

static void run(struct query *q)
{
    enum step step = serve_dispatch(q);
    if (step != STEP_WAIT)
        serve_stream_finish(q, step == STEP_DONE);
}

static void tcp_message(void *ctx, struct tcp_conn *c, const uint8_t *data, size_t len)
{
    struct query *q = stream_query(ctx, tcp_peer(c), data, len);
    if (!q) {
        serve_no_memory();
        tcp_no_reply(c);
        return;
    }
    q->conn = c;
    enum query_form form = msg_parse_query(q->packet, len, &q->msg);
    if (form == QUERY_OK)
        run(q);
    else
        serve_stream_finish(q, serve_malformed(q, form));
}

/* What cannot be read is an error of HTTP; an unknown opcode is one of DNS. */
static void doh_message(void *ctx, struct doh_request *r, const uint8_t *data, size_t len)
{
    struct query *q = stream_query(ctx, doh_peer(r), data, len);
    if (!q) {
        serve_no_memory();
        doh_fail(r, 500);
        return;
    }
    q->request = r;
    enum query_form form = msg_parse_query(q->packet, len, &q->msg);
    if (form == QUERY_OK) {
        run(q);
    } else if (serve_malformed(q, form) && form == QUERY_NOTIMP) {
        serve_stream_finish(q, true);
    } else {
        doh_fail(r, 400);
        serve_query_put(q);
    }
}

static void doh_answered(void *ctx, int status)
{
    static const int known[HTTPS_STATUSES] = { 200, 400, 404, 405, 411, 413, 415, 431, 500, 505 };
    struct dns_socket *s = ctx;
    char labels[128];
    unsigned i = 0;
    while (i + 1 < HTTPS_STATUSES && known[i] != status)
        i++;
    if (!s->https_responses[i]) {
        (void)snprintf(labels, sizeof labels, "server=\"%s\",status=\"%d\"",
                       s->listener->routes[0].server, known[i]);
        s->https_responses[i] = metric_counter("coredns_dns_https_responses_total",
                                               "Responses of HTTPS listeners.", labels);
    }
    metric_add(s->https_responses[i], 1);
}

static void enter(void *ctx)
{
    struct dns_socket *s = ctx;
    worker_enter(&s->w->worker);
}

static void leave(void *ctx)
{
    struct dns_socket *s = ctx;
    worker_leave(&s->w->worker);
}

/* ---- opening and closing ---- */

struct stream_server *socket_stream(const struct dns_socket *s)
{
    return s->tcp ? tcp_server_stream(s->tcp) : s->doh ? doh_server_stream(s->doh) : NULL;
}

void serve_stream_update(struct dns_socket *s)
{
    const struct dns_listener *l = s->listener;
    if (s->tcp) {
        tcp_server_set_limits(s->tcp, &l->tcp);
        tcp_server_set_tls(s->tcp, l->tls);
    } else if (s->doh) {
        doh_server_set_limits(s->doh, &l->tcp.times);
        doh_server_set_tls(s->doh, l->tls, l->quota);
    }
}

int serve_stream_open(struct dns_socket *s, int fd, struct err *e)
{
    const struct stream_owner owner = { .ctx = s, .enter = enter, .leave = leave };
    const struct tcp_handler tcp = { .owner = owner, .message = tcp_message };
    const struct doh_handler doh = { .owner = owner,
                                     .message = doh_message,
                                     .answered = doh_answered };
    uv_loop_t *loop = &s->w->worker.loop;
    int ret = s->scheme == SCHEME_HTTPS ? doh_server_open(loop, fd, &doh, &s->doh, e)
                                        : tcp_server_open(loop, fd, &tcp, &s->tcp, e);
    if (ret == 0)
        serve_stream_update(s);
    return ret;
}

void serve_stream_close(struct dns_socket *s)
{
    if (s->tcp)
        tcp_server_close(s->tcp);
    if (s->doh)
        doh_server_close(s->doh);
    s->tcp = NULL;
    s->doh = NULL;
}
