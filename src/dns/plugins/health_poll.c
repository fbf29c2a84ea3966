#include "dns/plugins/health.h"

#include "base/clock.h"
#include "dns/plugin.h"

#include <string.h>

#define POLL_MS    1000
#define TIMEOUT_MS 3000
#define SLOW_NS    1000000000LL
#define REPLY_HEAD "HTTP/1."

static const char request[] =
    "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
/* 0.25 ms times 10, in nanoseconds. */
static const uint64_t bounds[] = { 250000, 2500000, 25000000, 250000000, 2500000000 };

/* One request on its way. Its two handles are closed together; the memory goes with the last. */
struct probe {
    uv_tcp_t tcp;
    uv_timer_t timeout;
    uv_connect_t connect;
    uv_write_t write;
    char in[64];
    size_t in_len;
    int64_t start_ns;
    struct health_poll *poll; /* NULL: nobody wants to know any more */
    unsigned open;
};

struct health_poll {
    uv_timer_t timer;
    char *url;
    struct sockaddr_storage addr;
    struct probe *probe; /* under way, or NULL */
    struct histogram duration;
    metric failures;
};

static void probe_handle_closed(uv_handle_t *h)
{
    struct probe *p = h->data;
    if (!--p->open)
        free(p);
}

static void probe_close(struct probe *p)
{
    if (p->poll)
        p->poll->probe = NULL;
    p->poll = NULL;
    uv_close((uv_handle_t *)&p->tcp, probe_handle_closed);
    uv_close((uv_handle_t *)&p->timeout, probe_handle_closed);
}

/* failure: what went wrong, or NULL. Closing ends what is under way, which is reported to us once
 * more. */
static void probe_end(struct probe *p, const char *failure)
{
    struct health_poll *h = p->poll;
    if (!h)
        return;
    int64_t elapsed = clock_ns() - p->start_ns;
    histogram_observe(&h->duration, (uint64_t)elapsed);
    if (failure) {
        metric_add(h->failures, 1);
        log_warning("plugin/health: Local health request to \"%s\" failed: %s", h->url, failure);
    } else if (elapsed > SLOW_NS) {
        log_warning("plugin/health: Local health request to \"%s\" took more than 1s: %.9gs",
                    h->url, (double)elapsed / 1e9);
    }
    probe_close(p);
}

static void give_room(uv_handle_t *h, size_t wanted, uv_buf_t *ret)
{
    struct probe *p = h->data;
    (void)wanted;
    *ret = uv_buf_init(p->in + p->in_len, (unsigned)(sizeof p->in - p->in_len));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct probe *p = stream->data;
    (void)buf;
    if (n < 0) {
        probe_end(p, n == UV_EOF ? "no reply" : uv_strerror((int)n));
        return;
    }
    p->in_len += (size_t)n;
    if (p->in_len < strlen(REPLY_HEAD))
        return;
    bool http = memcmp(p->in, REPLY_HEAD, strlen(REPLY_HEAD)) == 0;
    probe_end(p, http ? NULL : "the reply is not HTTP");
}

static void on_written(uv_write_t *w, int status)
{
    if (status < 0)
        probe_end(w->data, uv_strerror(status));
}

static void on_connected(uv_connect_t *c, int status)
{
    struct probe *p = c->data;
    uv_buf_t buf = { .base = (char *)(uintptr_t)request, .len = sizeof request - 1 };
    if (!p->poll)
        return;
    p->write.data = p;
    if (status == 0)
        status = uv_write(&p->write, (uv_stream_t *)&p->tcp, &buf, 1, on_written);
    if (status == 0)
        status = uv_read_start((uv_stream_t *)&p->tcp, give_room, on_read);
    if (status < 0)
        probe_end(p, uv_strerror(status));
}

static void on_timeout(uv_timer_t *t)
{
    probe_end(t->data, "timeout");
}

static void begin(uv_timer_t *timer)
{
    struct health_poll *h = timer->data;
    if (h->probe)
        return;
    struct probe *p = h->probe = xcalloc(1, sizeof *p);
    p->poll = h;
    p->open = 2;
    p->tcp.data = p->timeout.data = p->connect.data = p;
    p->start_ns = clock_ns();
    uv_tcp_init(timer->loop, &p->tcp);
    uv_timer_init(timer->loop, &p->timeout);
    uv_timer_start(&p->timeout, on_timeout, TIMEOUT_MS, 0);
    int ret = uv_tcp_connect(&p->connect, &p->tcp, (const struct sockaddr *)&h->addr, on_connected);
    if (ret < 0)
        probe_end(p, uv_strerror(ret));
}

/* The address to ask; one that stands for all of them is asked on the loopback. */
static void set_address(struct health_poll *h, const char *address)
{
    const char *colon = strrchr(address, ':');
    struct ip ip = { 0 };
    uint16_t port = 0;
    char text[64];
    bool named = colon != address && strncmp(address, "localhost:", 10) != 0;
    (void)snprintf(text, sizeof text, "%s%s", named ? "" : "127.0.0.1", named ? address : colon);
    if (ip_port_parse(text, 0, &ip, &port) < 0)
        return;
    if (ip_is_any(&ip) && ip_parse(ip.family == 6 ? "::1" : "127.0.0.1", &ip) < 0)
        return;
    ip_to_sockaddr(&ip, port, &h->addr);
}

struct health_poll *health_poll_new(uv_loop_t *loop, const char *address)
{
    struct health_poll *h = xcalloc(1, sizeof *h);
    struct strbuf url = { 0 };
    strbuf_printf(&url, "http://%s/health", address);
    h->url = strbuf_steal(&url);
    set_address(h, address);
    h->duration = metric_histogram("coredns_health_request_duration_seconds",
                                   "How long the process takes to answer its own health check.", "",
                                   bounds, ARRAY_SIZE(bounds), 1e-9);
    h->failures = metric_counter("coredns_health_request_failures_total",
                                 "Health checks of its own that the process did not answer.", "");
    uv_timer_init(loop, &h->timer);
    h->timer.data = h;
    uv_timer_start(&h->timer, begin, POLL_MS, POLL_MS);
    return h;
}

static void poll_closed(uv_handle_t *timer)
{
    struct health_poll *h = timer->data;
    free(h->url);
    free(h);
}

void health_poll_close(struct health_poll *h)
{
    if (!h)
        return;
    if (h->probe)
        probe_close(h->probe);
    uv_close((uv_handle_t *)&h->timer, poll_closed);
}
