#include "net/stream_impl.h"

#include "base/mem.h"

#include <string.h>

struct stream_write {
    uv_write_t req;
    uint8_t data[];
};

static void write_done(uv_write_t *req, int status)
{
    struct stream *s = req->handle->data;
    struct stream_server *server = s->server;
    free(container_of(req, struct stream_write, req));
    s->unsent--;
    if (status < 0) {
        stream_close(s);
        return;
    }
    if (s->lingers)
        return;
    if (s->begun) /* a handshake is no message */
        stream_touch(s);
    s->write_deadline = uv_now(s->tcp.loop) + server->limits.write_ms;
    server->owner.enter(server->owner.ctx);
    if (server->kind->sent)
        server->kind->sent(s);
    if (!s->closed)
        stream_end_if_answered(s);
    server->owner.leave(server->owner.ctx);
}

static void write_out(struct stream *s, struct stream_write *w, size_t len)
{
    uv_buf_t buf = uv_buf_init((char *)w->data, (unsigned)len);
    if (uv_write(&w->req, (uv_stream_t *)&s->tcp, &buf, 1, write_done) < 0) {
        free(w);
        stream_close(s);
        return;
    }
    if (s->unsent++ == 0)
        s->write_deadline = uv_now(s->tcp.loop) + s->server->limits.write_ms;
}

/* Without memory the connection ends: a peer that misses a reply is better off asking anew. */
static struct stream_write *write_new(struct stream *s, size_t len)
{
    struct stream_write *w = malloc(sizeof *w + len);
    if (!w)
        stream_close(s);
    return w;
}

/* How much goes without a write that somebody would have to wait for. Nothing: what is wrong shows
 * with the next one. */
static size_t send_at_once(struct stream *s, const void *data, size_t len)
{
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)data, (unsigned)MIN(len, (size_t)INT_MAX));
    if (!len || s->server->kind->sent || s->unsent)
        return 0;
    int sent = uv_try_write((uv_stream_t *)&s->tcp, &buf, 1);
    if (sent > 0 && s->begun)
        stream_touch(s);
    return sent > 0 ? (size_t)sent : 0;
}

static void send_bytes(struct stream *s, const uint8_t *data, size_t len)
{
    size_t sent = send_at_once(s, data, len);
    struct stream_write *w = sent < len ? write_new(s, len - sent) : NULL;
    if (!w)
        return;
    memcpy(w->data, data + sent, len - sent);
    write_out(s, w, len - sent);
}

void stream_flush_sealed(struct stream *s)
{
    const uint8_t *data;
    size_t len = tls_out(s->tls, &data), sent = send_at_once(s, data, len);
    tls_out_done(s->tls, sent);
    if (sent == len)
        return;
    len = tls_out(s->tls, &data);
    struct stream_write *w = write_new(s, len);
    if (!w)
        return;
    memcpy(w->data, data, len);
    tls_out_done(s->tls, len);
    write_out(s, w, len);
}

static void send_sealed(struct stream *s, const void *plain, size_t len)
{
    if (tls_write(s->tls, plain, len) < 0)
        stream_close(s);
    else
        stream_flush_sealed(s);
}

static void send_one(struct stream *s, const struct iovec *part)
{
    if (s->tls)
        send_sealed(s, part->iov_base, part->iov_len);
    else
        send_bytes(s, part->iov_base, part->iov_len);
}

static void copy_parts(uint8_t *to, const struct iovec *parts, unsigned n)
{
    for (unsigned i = 0; i < n; to += parts[i++].iov_len)
        memcpy(to, parts[i].iov_base, parts[i].iov_len);
}

static void send_now(struct stream *s, const struct iovec *parts, unsigned n, size_t len)
{
    if (n == 1) {
        send_one(s, parts);
        return;
    }
    struct stream_write *w = write_new(s, len);
    if (!w)
        return;
    copy_parts(w->data, parts, n);
    if (!s->tls) {
        write_out(s, w, len);
        return;
    }
    send_sealed(s, w->data, len);
    free(w);
}

void stream_send_gathered(struct stream *s)
{
    struct stream_server *server = s->server;
    struct iovec all = { server->gathered, server->n_gathered };
    if (server->corked != s || server->n_gathered == 0)
        return;
    server->n_gathered = 0;
    send_now(s, &all, 1, all.iov_len);
}

static bool gather(struct stream *s, const struct iovec *parts, unsigned n, size_t len)
{
    struct stream_server *server = s->server;
    if (server->corked != s)
        return false;
    if (server->n_gathered + len > STREAM_GATHER)
        stream_send_gathered(s);
    if (len > STREAM_GATHER)
        return false;
    copy_parts(server->gathered + server->n_gathered, parts, n);
    server->n_gathered += len;
    return true;
}

void stream_send(struct stream *s, const struct iovec *parts, unsigned n)
{
    size_t len = 0;
    for (unsigned i = 0; i < n; i++)
        len += parts[i].iov_len;
    if (!s->closed && !gather(s, parts, n, len) && !s->closed)
        send_now(s, parts, n, len);
}

void stream_cork(struct stream *s)
{
    struct stream_server *server = s->server;
    if (!server->gathered)
        server->gathered = mem_try(STREAM_GATHER);
    if (server->gathered && !server->corked && !s->closed)
        server->corked = s;
}

void stream_uncork(struct stream *s)
{
    if (s->server->corked != s)
        return;
    if (!s->closed)
        stream_send_gathered(s);
    s->server->corked = NULL;
    s->server->n_gathered = 0;
}

size_t stream_unsent(const struct stream *s)
{
    size_t waiting = s->server->corked == s ? s->server->n_gathered : 0;
    return waiting + uv_stream_get_write_queue_size((const uv_stream_t *)&s->tcp);
}
