/* One question to a primary over TCP: for its SOA, or for the whole zone. Nothing here waits. */
#include "dns/plugins/secondary.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

struct fetch {
    struct fetch_job job;
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_connect_t connect;
    uv_write_t write;
    unsigned open; /* handles */
    bool ended;
    int64_t deadline_ns;
    struct zone_builder *builder;
    struct axfr axfr;
    size_t in_len;
    uint8_t origin[NAME_MAX_WIRE];
    uint8_t out[2 + NAME_MAX_WIRE + 32];
    uint8_t in[2 + MSG_MAX];
};

/* ---- the end ---- */

static void handle_closed(uv_handle_t *h)
{
    struct fetch *f = h->data;
    if (--f->open == 0)
        free(f);
}

void fetch_cancel(struct fetch *f)
{
    if (!f || f->ended)
        return;
    f->ended = true;
    zone_builder_free(f->builder);
    f->builder = NULL;
    uv_close((uv_handle_t *)&f->tcp, handle_closed);
    uv_close((uv_handle_t *)&f->timer, handle_closed);
}

static void finish(struct fetch *f, struct fetched *result)
{
    if (f->ended)
        return;
    fetch_cancel(f);
    f->job.done(f->job.ctx, result);
}

static void fail(struct fetch *f, int code, const char *why)
{
    finish(f, &(struct fetched){ .code = code, .why = why });
}

/* ---- answers ---- */

static int find_serial(const struct fetch *f, const struct msg *m, uint32_t *ret, struct err *e)
{
    const struct rrset_list *answer = &m->section[SECTION_ANSWER];
    for (uint16_t i = 0; i < answer->n; i++) {
        const struct rrset *rr = &answer->items[i];
        const uint8_t *at = rr->rdata;
        size_t len;
        if (rr->type != RR_SOA || !name_equal(rr->owner, f->origin))
            continue;
        const uint8_t *rdata = rrset_next(rr, &at, &len);
        *ret = soa_times_of(rdata, len).serial;
        return 0;
    }
    return err_set(e, ERR_INVALID, "the answer has no SOA record of the zone");
}

static int read_soa(const struct fetch *f, const uint8_t *p, size_t len, uint32_t *ret,
                    struct err *e)
{
    struct arena a;
    struct msg m;
    char rcode[16];
    int code;
    arena_init(&a, 4096);
    if (msg_parse(p, len, &a, &m) < 0)
        code = err_set(e, ERR_PARSE, "a message is malformed");
    else if (m.id != f->axfr.id || !(m.flags & FLAG_QR))
        code = err_set(e, ERR_INVALID, "a message has another id than the question");
    else if (m.rcode != RCODE_NOERROR)
        code = err_set(e, ERR_REFUSED, "the answer is %s", rcode_text(m.rcode, rcode));
    else if (!m.has_question || m.q.type != RR_SOA || !name_equal(m.q.lower, f->origin))
        code = err_set(e, ERR_INVALID, "a message answers another question");
    else
        code = find_serial(f, &m, ret, e);
    arena_done(&a);
    return code;
}

static int take_zone(struct fetch *f, const uint8_t *p, size_t len, struct fetched *result,
                     struct err *e)
{
    int code = axfr_message(&f->axfr, p, len, e);
    if (code <= 0)
        return code;
    struct zone_builder *b = f->builder;
    f->builder = NULL;
    code = zone_builder_end(b, &result->zone, e);
    result->serial = f->axfr.serial;
    return code < 0 ? code : 1;
}

static void take_message(struct fetch *f, const uint8_t *p, size_t len)
{
    struct err e = { 0 };
    struct fetched result = { 0 };
    int code;
    if (f->job.type == RR_AXFR)
        code = take_zone(f, p, len, &result, &e);
    else
        code = read_soa(f, p, len, &result.serial, &e) < 0 ? e.code : 1;
    if (code < 0)
        fail(f, code, e.text);
    else if (code)
        finish(f, &result);
}

/* ---- the connection ---- */

static void on_timer(uv_timer_t *timer)
{
    fail(timer->data, -ETIMEDOUT, "it does not answer in time");
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *ret_buf)
{
    struct fetch *f = h->data;
    (void)suggested;
    *ret_buf = uv_buf_init((char *)f->in + f->in_len, (unsigned)(sizeof f->in - f->in_len));
}

/* All whole messages that have been received; the buffer always has room for one. */
static void take_messages(struct fetch *f)
{
    size_t at = 0;
    while (!f->ended && f->in_len - at >= 2) {
        size_t len = get_u16(f->in + at);
        if (f->in_len - at - 2 < len)
            break;
        take_message(f, f->in + at + 2, len);
        at += 2 + len;
    }
    f->in_len -= at;
    memmove(f->in, f->in + at, f->in_len);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct fetch *f = stream->data;
    (void)buf;
    if (f->ended || n == 0)
        return;
    if (n < 0) {
        fail(f, (int)n, n == UV_EOF ? "it closed the connection too early" : uv_strerror((int)n));
        return;
    }
    f->in_len += (size_t)n;
    if (clock_ns() > f->deadline_ns) {
        fail(f, -ETIMEDOUT, "the transfer takes too long");
        return;
    }
    uv_timer_start(&f->timer, on_timer, FETCH_IDLE_MS, 0);
    take_messages(f);
}

static void on_written(uv_write_t *write, int status)
{
    struct fetch *f = write->data;
    if (status < 0)
        fail(f, status, uv_strerror(status));
}

static void write_question(struct fetch *f)
{
    struct wbuf w = wbuf_of(f->out, sizeof f->out);
    wbuf_u16(&w, 0);
    wbuf_u16(&w, f->axfr.id);
    wbuf_u16(&w, 0);
    wbuf_u16(&w, 1);
    wbuf_u16(&w, 0);
    wbuf_u32(&w, 0);
    wbuf_put(&w, f->origin, name_wire_len(f->origin));
    wbuf_u16(&w, f->job.type);
    wbuf_u16(&w, CLASS_IN);
    put_u16(f->out, (uint16_t)(w.pos - 2));
    uv_buf_t buf = uv_buf_init((char *)f->out, (unsigned)w.pos);
    f->write.data = f;
    int code = uv_write(&f->write, (uv_stream_t *)&f->tcp, &buf, 1, on_written);
    if (code < 0)
        fail(f, code, uv_strerror(code));
}

static void on_connect(uv_connect_t *connect, int status)
{
    struct fetch *f = connect->data;
    if (f->ended)
        return;
    if (status < 0) {
        fail(f, status, uv_strerror(status));
        return;
    }
    uv_timer_start(&f->timer, on_timer, FETCH_IDLE_MS, 0);
    uv_read_start((uv_stream_t *)&f->tcp, on_alloc, on_read);
    write_question(f);
}

struct fetch *fetch_start(const struct fetch_job *job)
{
    struct fetch *f = xcalloc(1, sizeof *f);
    struct sockaddr_storage to;
    uint16_t id = (uint16_t)uv_hrtime();
    f->job = *job;
    memcpy(f->origin, job->origin, name_wire_len(job->origin));
    f->deadline_ns = clock_ns() + FETCH_TOTAL_MS * 1000000LL;
    (void)uv_random(NULL, NULL, &id, sizeof id, 0, NULL);
    if (job->type == RR_AXFR)
        f->builder = zone_builder_new(f->origin);
    axfr_init(&f->axfr, f->origin, id, zone_builder_add, f->builder);
    f->open = 2;
    f->tcp.data = f->timer.data = f->connect.data = f;
    uv_tcp_init(job->loop, &f->tcp);
    uv_timer_init(job->loop, &f->timer);
    uv_timer_start(&f->timer, on_timer, FETCH_CONNECT_MS, 0);
    (void)ip_to_sockaddr(&job->primary.ip, job->primary.port, &to);
    if (uv_tcp_connect(&f->connect, &f->tcp, (struct sockaddr *)&to, on_connect) < 0)
        uv_timer_start(&f->timer, on_timer, 1, 0); /* no socket: told as a time-out, not in here */
    return f;
}
