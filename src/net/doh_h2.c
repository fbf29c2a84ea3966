/* HTTP/2 (RFC 9113) by libnghttp2, which is only ever called here. */
#include "net/doh_impl.h"

#include "base/mem.h"

#include <nghttp2/nghttp2.h>
#include <string.h>

#define OUT_BYTES 16384 /* sent at a time */

/* ---- requests that come ---- */

static struct doh_request *request_of(nghttp2_session *h2, int32_t stream)
{
    return nghttp2_session_get_stream_user_data(h2, stream);
}

static bool is_too_much(const struct doh_conn *c)
{
    return c->s.pending >= DOH_STREAMS_MAX || c->held > DOH_HELD_MAX;
}

static int on_begin_headers(nghttp2_session *h2, const nghttp2_frame *frame, void *ctx)
{
    struct doh_conn *c = ctx;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    /* Streams that were given up count until they are answered. */
    struct doh_request *r = is_too_much(c) ? NULL : doh_request_new(c);
    if (!r)
        return nghttp2_submit_rst_stream(h2, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                         NGHTTP2_REFUSED_STREAM);
    r->stream = frame->hd.stream_id;
    nghttp2_session_set_stream_user_data(h2, r->stream, r);
    return 0;
}

static bool is_name(const uint8_t *name, size_t len, const char *wanted)
{
    return len == strlen(wanted) && memcmp(name, wanted, len) == 0;
}

static void keep_target(struct doh_request *r, const uint8_t *value, size_t len)
{
    r->target = mem_try(len + 1);
    if (!r->target) {
        r->status = 500;
        return;
    }
    memcpy(r->target, value, len);
    r->target_len = len;
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *ctx)
{
    struct doh_request *r = request_of(h2, frame->hd.stream_id);
    (void)flags, (void)ctx;
    if (!r || frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    r->head += name_len + value_len + 32; /* as RFC 9113 6.5.2 counts */
    if (r->head > DOH_HEAD_MAX) {
        r->status = 431;
    } else if (is_name(name, name_len, ":method")) {
        r->method = doh_method_of((const char *)value, value_len);
    } else if (is_name(name, name_len, ":path") && !r->target) {
        keep_target(r, value, value_len);
    } else if (is_name(name, name_len, "content-type")) {
        r->foreign = !doh_is_message((const char *)value, value_len);
    }
    return 0;
}

static int on_data(nghttp2_session *h2, uint8_t flags, int32_t stream, const uint8_t *data,
                   size_t len, void *ctx)
{
    struct doh_conn *c = ctx;
    struct doh_request *r = request_of(h2, stream);
    (void)flags;
    if (!r || r->status)
        return 0;
    r->status = c->bodies + len > DOH_BODIES_MAX || r->in_len + len > DOH_BODY_MAX ? 413 : 0;
    if (c->bodies + len > DOH_BODIES_MAX)
        return nghttp2_submit_rst_stream(h2, NGHTTP2_FLAG_NONE, stream, NGHTTP2_ENHANCE_YOUR_CALM);
    if (r->status)
        return 0;
    uint8_t *in = realloc(r->in, r->in_len + len);
    if (!in) {
        r->status = 500;
        return 0;
    }
    r->in = in;
    memcpy(r->in + r->in_len, data, len);
    r->in_len += len;
    c->bodies += len;
    return 0;
}

static void complete(struct doh_conn *c, struct doh_request *r)
{
    c->bodies -= r->in_len;
    if (r->method != DOH_POST) { /* a body that means nothing */
        free(r->in);
        r->in = NULL;
        r->in_len = 0;
    }
    doh_request_done(r, r->target ? r->target : "", r->target_len, (const uint8_t *)"", 0);
}

static int on_frame(nghttp2_session *h2, const nghttp2_frame *frame, void *ctx)
{
    bool is_request = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    struct doh_request *r = is_request ? request_of(h2, frame->hd.stream_id) : NULL;
    if (r && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) && !r->complete) {
        r->complete = true;
        complete(ctx, r);
    }
    return 0;
}

/* The response has been sent, or somebody has given up. */
static int on_close(nghttp2_session *h2, int32_t stream, uint32_t error, void *ctx)
{
    struct doh_conn *c = ctx;
    struct doh_request *r = request_of(h2, stream);
    (void)error;
    if (!r)
        return 0;
    if (!r->complete)
        c->bodies -= r->in_len;
    if (r->waiting)
        r->gone = true;
    else
        doh_request_free(r);
    return 0;
}

/* ---- life ---- */

static int session_new(struct doh_conn *c)
{
    nghttp2_session_callbacks *callbacks;
    if (nghttp2_session_callbacks_new(&callbacks))
        return -1;
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    int ret = nghttp2_session_server_new(&c->h2, callbacks, c);
    nghttp2_session_callbacks_del(callbacks);
    return ret;
}

bool h2_begin(struct doh_conn *c)
{
    static const nghttp2_settings_entry settings[] = {
        { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, DOH_STREAMS_MAX },
        { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, DOH_HEAD_MAX },
    };
    return session_new(c) == 0 &&
           nghttp2_submit_settings(c->h2, NGHTTP2_FLAG_NONE, settings, ARRAY_SIZE(settings)) == 0;
}

void h2_forget(struct doh_request *r)
{
    nghttp2_session_set_stream_user_data(r->conn->h2, r->stream, NULL);
}

void h2_end(struct doh_conn *c)
{
    nghttp2_session_del(c->h2);
}

static void send_piece(struct doh_conn *c, const uint8_t *data, size_t len)
{
    struct iovec part = { (void *)(uintptr_t)data, len };
    if (len)
        stream_send(&c->s, &part, 1);
}

/* Frames are gathered into pieces, so that each becomes one write and one record of TLS. */
void h2_go_on(struct doh_conn *c)
{
    uint8_t piece[OUT_BYTES];
    const uint8_t *data;
    size_t len = 0;
    ssize_t n = 1;
    while (n > 0 && !c->s.closed && stream_unsent(&c->s) < DOH_UNSENT_MAX) {
        n = nghttp2_session_mem_send(c->h2, &data);
        if (n > 0 && len + (size_t)n > sizeof piece) {
            send_piece(c, piece, len);
            len = 0;
        }
        if (n > (ssize_t)sizeof piece) {
            send_piece(c, data, (size_t)n);
        } else if (n > 0) {
            memcpy(piece + len, data, (size_t)n);
            len += (size_t)n;
        }
    }
    send_piece(c, piece, len);
    bool over = !nghttp2_session_want_read(c->h2) && !nghttp2_session_want_write(c->h2);
    if (n < 0)
        stream_close(&c->s);
    else if (over)
        stream_end(&c->s);
}

void h2_retire(struct doh_conn *c)
{
    int32_t last = nghttp2_session_get_last_proc_stream_id(c->h2);
    if (nghttp2_submit_goaway(c->h2, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0) == 0)
        h2_go_on(c);
}

void h2_got(struct doh_conn *c, const uint8_t *data, size_t n)
{
    c->s.busy++;
    ssize_t used = nghttp2_session_mem_recv(c->h2, data, n);
    if (used < 0) /* what is no HTTP/2 at all; broken frames are answered by a GOAWAY */
        stream_close(&c->s);
    else
        h2_go_on(c);
    c->s.busy--;
    stream_let_go(&c->s);
}

/* ---- responses ---- */

static ssize_t read_body(nghttp2_session *h2, int32_t stream, uint8_t *buf, size_t len,
                         uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
    struct doh_request *r = source->ptr;
    size_t n = MIN(len, r->out_len - r->out_pos);
    (void)h2, (void)stream, (void)ctx;
    memcpy(buf, r->out + r->out_pos, n);
    r->out_pos += n;
    if (r->out_pos == r->out_len)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static bool keep_body(struct doh_request *r, const void *data, size_t len)
{
    r->out = malloc(len + 1); /* what is under way is to be finished, even when memory is short */
    if (!r->out)
        return false;
    if (len)
        memcpy(r->out, data, len);
    r->out_len = len;
    r->conn->held += len;
    return true;
}

static nghttp2_nv header(const char *name, const char *value)
{
    return (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name,
                         .value = (uint8_t *)(uintptr_t)value,
                         .namelen = strlen(name),
                         .valuelen = strlen(value),
                         .flags = NGHTTP2_NV_FLAG_NONE };
}

void h2_respond(struct doh_request *r, const struct doh_response *a)
{
    struct doh_conn *c = r->conn;
    char status[16], length[24], age[32], date[DOH_DATE];
    const char *reason = doh_reason(a->status);
    if (!(a->data ? keep_body(r, a->data, a->len) : keep_body(r, reason, strlen(reason)))) {
        stream_close(&c->s);
        return;
    }
    doh_date(date);
    (void)snprintf(status, sizeof status, "%d", a->status);
    (void)snprintf(length, sizeof length, "%zu", r->out_len);
    (void)snprintf(age, sizeof age, "max-age=%u", a->max_age);
    nghttp2_nv headers[] = { header(":status", status),
                             header("content-type", a->data ? DOH_MIME : "text/plain"),
                             header("content-length", length), header("date", date),
                             a->data ? header("cache-control", age) : header("allow", DOH_ALLOW) };
    size_t n = ARRAY_SIZE(headers) - (a->data || a->status == 405 ? 0 : 1);
    nghttp2_data_provider body = { .source.ptr = r, .read_callback = read_body };
    int ret =
        nghttp2_submit_response(c->h2, r->stream, headers, n, r->method == DOH_HEAD ? NULL : &body);
    if (ret < 0)
        stream_close(&c->s);
}
