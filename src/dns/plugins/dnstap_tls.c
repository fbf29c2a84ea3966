/* A connection of dnstap under TLS: what was put is sealed and written, what comes is opened. */
#include "dns/plugins/dnstap_impl.h"

#include <stdlib.h>
#include <string.h>

/* Sealed bytes on their way; the frames' own, or a handshake's. */
struct sealed {
    uv_write_t write;
    struct tap_stream *stream;
    bool frames;
    char bytes[];
};

static void on_written(uv_write_t *write, int status)
{
    struct sealed *w = write->data;
    struct tap_stream *st = w->stream;
    bool frames = w->frames;
    free(w);
    if (!st->ended && frames)
        tap_stream_written(st, status);
    else if (!st->ended && status < 0)
        tap_stream_fail(st, uv_strerror(status));
    tap_stream_release(st);
}

static int send_sealed(struct tap_stream *st, bool frames)
{
    const uint8_t *out;
    size_t n = tls_out(st->tls, &out);
    if (!n)
        return 0;
    struct sealed *w = xmalloc(sizeof *w + n);
    w->stream = st;
    w->frames = frames;
    w->write.data = w;
    memcpy(w->bytes, out, n);
    tls_out_done(st->tls, n);
    uv_buf_t buf = uv_buf_init(w->bytes, (unsigned)n);
    int code = uv_write(&w->write, &st->conn.stream, &buf, 1, on_written);
    if (code < 0)
        free(w);
    else
        st->open++;
    return code;
}

static void broken(struct tap_stream *st)
{
    char why[TLS_ERROR_MAX];
    (void)snprintf(why, sizeof why, "%s", tls_error(st->tls));
    (void)send_sealed(st, false); /* the alert that tells the peer */
    tap_stream_fail(st, why);
}

void tap_tls_begin(struct tap_stream *st)
{
    const struct tap_endpoint *to = st->sender->endpoint;
    st->tls = tls_new(to->tls, to->listen ? NULL : to->host, NULL);
    if (!st->tls)
        tap_stream_fail(st, "TLS cannot be begun with this name");
    else if (!to->listen && tls_handshake(st->tls) < 0)
        broken(st);
    else
        (void)send_sealed(st, false);
}

void tap_tls_feed(struct tap_stream *st, const uint8_t *data, size_t len)
{
    if (tls_feed(st->tls, data, len) < 0) {
        broken(st);
        return;
    }
    (void)send_sealed(st, false);
    if (st->state == TAP_CONNECTING && tls_is_ready(st->tls))
        tap_stream_greet(st);
    while (!st->ended) {
        ssize_t n = tls_read(st->tls, st->in + st->in_len, sizeof st->in - st->in_len);
        if (n == 0)
            return;
        if (n < 0) {
            tap_stream_fail(st, n == -ENOTCONN ? "it closed the connection" : tls_error(st->tls));
            return;
        }
        st->in_len += (size_t)n;
        tap_stream_take(st);
    }
}

int tap_tls_flush(struct tap_stream *st)
{
    int code = tls_write(st->tls, st->out, st->out_len);
    return code < 0 ? code : send_sealed(st, true);
}
