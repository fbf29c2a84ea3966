#include "net/tcp.h"

#include "base/cursor.h"
#include "base/mem.h"

#include <string.h>

struct tcp_server {
    struct stream_server s;
    struct tcp_handler handler;
    uint32_t messages; /* of a connection; 0: any number */
};

struct tcp_conn {
    struct stream s;
    uint32_t taken; /* messages so far */
    uint8_t *buf;   /* TCP_BUFFER bytes while a message is incomplete, else NULL */
    size_t len;
};

static struct tcp_conn *conn_of(struct stream *s)
{
    return container_of(s, struct tcp_conn, s);
}

static struct tcp_server *server_of(const struct tcp_conn *c)
{
    return container_of(c->s.server, struct tcp_server, s);
}

/* One read is given the rest of a message buffer, so at most one message is ever moved. */
static void conn_room(struct stream *s, uint8_t **ret, size_t *ret_len)
{
    struct tcp_conn *c = conn_of(s);
    if (!c->buf)
        c->buf = stream_buffer_take(s, TCP_BUFFER);
    *ret = c->buf ? c->buf + c->len : NULL;
    *ret_len = TCP_BUFFER - c->len;
}

/* A peer that asks without reading the replies must not make us hold them without end. */
static bool conn_is_full(const struct tcp_conn *c, unsigned share)
{
    return c->s.pending >= TCP_PENDING_MAX / share ||
           stream_unsent(&c->s) >= TCP_UNSENT_MAX / share;
}

static bool conn_is_used_up(const struct tcp_conn *c)
{
    return server_of(c)->messages && c->taken >= server_of(c)->messages;
}

/* Hands over every complete message; returns the number of bytes used. */
static size_t conn_messages(struct tcp_conn *c)
{
    const struct tcp_handler *h = &server_of(c)->handler;
    size_t used = 0;
    while (!c->s.closed && !c->s.ending && !conn_is_full(c, 1) && !conn_is_used_up(c) &&
           c->len - used >= 2) {
        size_t len = get_u16(c->buf + used);
        if (c->len - used < 2 + len)
            break;
        const uint8_t *data = c->buf + used + 2;
        used += 2 + len;
        c->s.begun = true;
        stream_touch(&c->s);
        if (len == 0)
            continue;
        c->s.pending++;
        c->taken++;
        h->message(h->owner.ctx, c, data, len);
    }
    return used;
}

static void conn_process(struct tcp_conn *c)
{
    c->s.busy++; /* a reply inside must neither free it nor start over */
    stream_cork(&c->s);
    size_t used = conn_messages(c);
    stream_uncork(&c->s);
    c->s.busy--;
    c->len -= used;
    if (used && c->len)
        memmove(c->buf, c->buf + used, c->len);
    if (c->len == 0) {
        stream_buffer_give(&c->s, c->buf);
        c->buf = NULL;
    }
    stream_pause(&c->s, conn_is_full(c, 1));
    if (conn_is_used_up(c))
        stream_end(&c->s);
    stream_let_go(&c->s);
}

static void conn_got(struct stream *s, size_t n)
{
    struct tcp_conn *c = conn_of(s);
    c->len += n;
    conn_process(c);
}

/* What was read before the pause comes first. */
static bool conn_may_go_on(const struct tcp_conn *c)
{
    return c->s.paused && !c->s.busy && !c->s.closed && !c->s.ending && !conn_is_full(c, 2);
}

static void conn_sent(struct stream *s)
{
    struct tcp_conn *c = conn_of(s);
    if (conn_may_go_on(c))
        conn_process(c);
}

static void conn_freed(struct stream *s)
{
    stream_buffer_give(s, conn_of(s)->buf);
}

static const struct stream_kind kind = { .size = sizeof(struct tcp_conn),
                                         .room = conn_room,
                                         .got = conn_got,
                                         .sent = conn_sent,
                                         .freed = conn_freed };

/* ---- servers ---- */

void tcp_server_set_limits(struct tcp_server *s, const struct tcp_limits *limits)
{
    stream_server_set_limits(&s->s, &limits->times);
    s->messages = limits->messages;
}

void tcp_server_set_tls(struct tcp_server *s, struct tls_config *tls)
{
    stream_server_set_tls(&s->s, tls, NULL);
}

int tcp_server_open(uv_loop_t *loop, int fd, const struct tcp_handler *handler,
                    struct tcp_server **ret, struct err *e)
{
    struct tcp_server *s = xcalloc(1, sizeof *s);
    s->handler = *handler;
    int code = stream_server_open(&s->s, &kind, &handler->owner, loop, fd, e);
    if (code == 0)
        *ret = s;
    return code;
}

void tcp_server_close(struct tcp_server *s)
{
    stream_server_close(&s->s);
}

struct stream_server *tcp_server_stream(struct tcp_server *s)
{
    return &s->s;
}

const struct sockaddr *tcp_peer(const struct tcp_conn *c)
{
    return (const struct sockaddr *)&c->s.peer;
}

const struct sockaddr *tcp_local(const struct tcp_conn *c)
{
    return (const struct sockaddr *)&c->s.local;
}

/* ---- replies ---- */

static void message_answered(struct tcp_conn *c)
{
    c->s.pending--;
    stream_touch(&c->s);
    if (conn_may_go_on(c))
        conn_process(c);
    else
        stream_let_go(&c->s);
}

void tcp_send_part(struct tcp_conn *c, const uint8_t *data, size_t len)
{
    uint8_t prefix[2];
    put_u16(prefix, (uint16_t)len);
    struct iovec parts[] = { { prefix, sizeof prefix }, { (void *)(uintptr_t)data, len } };
    stream_send(&c->s, parts, ARRAY_SIZE(parts));
}

void tcp_reply(struct tcp_conn *c, const uint8_t *data, size_t len)
{
    tcp_send_part(c, data, len);
    message_answered(c);
}

void tcp_no_reply(struct tcp_conn *c)
{
    message_answered(c);
}
