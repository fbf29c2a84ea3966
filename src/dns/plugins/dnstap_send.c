/* The sender: takes messages out of the rings and gives them to the connections. */
#include "dns/plugins/dnstap_impl.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

/* ---- what is dropped ---- */

void tap_sender_drop(struct tap_sender *s, uint64_t n)
{
    if (!n)
        return;
    metric_add(s->m_dropped, n);
    atomic_fetch_add_explicit(&s->dropped, n, memory_order_relaxed);
}

static void report(struct tap_sender *s, bool now)
{
    int64_t time = clock_ns();
    if (!now && time - s->report_ns < TAP_REPORT_NS)
        return;
    uint64_t n = atomic_exchange_explicit(&s->dropped, 0, memory_order_relaxed);
    if (!n)
        return;
    s->report_ns = time;
    log_warning("plugin/dnstap: Dropped dnstap messages: %llu (%s)", (unsigned long long)n,
                s->endpoint->text);
}

/* ---- from the rings to the connections ---- */

/* Takes one message for all connections that are ready; the others miss it. */
static void give(struct tap_sender *s, const uint8_t *message, size_t len)
{
    vec_each (st, &s->streams) {
        if (tap_stream_is_ready(*st))
            tap_stream_put(*st, message, len);
        else if ((*st)->state == TAP_FLOWING)
            tap_sender_drop(s, 1);
    }
}

static bool have_room(const struct tap_sender *s, size_t len)
{
    vec_each (st, &s->streams)
        if (tap_stream_is_ready(*st) && !tap_stream_has_room(*st, len))
            return false;
    return true;
}

/* False: the connections are full. */
static bool drain_ring(struct tap_sender *s, struct tap_ring *r, bool drop)
{
    const uint8_t *message;
    uint64_t dropped = 0;
    size_t len;
    while ((message = tap_ring_peek(r, &len))) {
        if (!drop && !have_room(s, len))
            return false;
        if (!drop)
            give(s, message, len);
        dropped += drop;
        tap_ring_drop(r, len);
    }
    tap_sender_drop(s, dropped);
    return true;
}

static bool drain(struct tap_sender *s, bool drop)
{
    for (unsigned i = 0; i < s->n_rings; i++)
        if (!drain_ring(s, &s->rings[(s->turn + i) % s->n_rings], drop)) {
            s->turn = (s->turn + i + 1) % s->n_rings;
            return false;
        }
    return true;
}

static bool any_ready(const struct tap_sender *s)
{
    vec_each (st, &s->streams)
        if (tap_stream_is_ready(*st))
            return true;
    return false;
}

static void flush_all(struct tap_sender *s)
{
    for (size_t i = s->streams.n; i-- > 0;) /* one that fails leaves the list */
        if (i < s->streams.n && s->streams.items[i]->state == TAP_FLOWING)
            tap_stream_flush(s->streams.items[i]);
}

/* Messages wait for a connection that is being made, or is busy; without any they are dropped. */
void tap_sender_pump(struct tap_sender *s)
{
    if (s->ending)
        return;
    if (!s->streams.n)
        (void)drain(s, true);
    else if (any_ready(s))
        (void)drain(s, false);
    flush_all(s);
}

static bool all_empty(struct tap_sender *s)
{
    for (unsigned i = 0; i < s->n_rings; i++)
        if (!tap_ring_is_empty(&s->rings[i]))
            return false;
    return true;
}

/* Goes to sleep when there is nothing; a message that comes just then is seen by the second look,
 * or its worker sees that we sleep. */
static void on_drain(uv_timer_t *timer)
{
    struct tap_sender *s = timer->data;
    tap_sender_pump(s);
    if (!all_empty(s))
        return;
    atomic_store(&s->awake, false);
    if (!all_empty(s))
        atomic_store(&s->awake, true);
    else
        uv_timer_stop(s->drain);
}

static void on_wake(uv_async_t *wake)
{
    struct tap_sender *s = wake->data;
    tap_sender_pump(s);
    uv_timer_start(s->drain, on_drain, TAP_DRAIN_MS, TAP_DRAIN_MS);
}

void tap_sender_wake(struct tap_sender *s)
{
    if (!atomic_load(&s->awake) && !atomic_exchange(&s->awake, true))
        uv_async_send(s->wake);
}

/* ---- connections ---- */

static void dial(struct tap_sender *s)
{
    struct tap_stream *st = tap_stream_dial(s);
    vec_push(&s->streams, st);
}

void tap_sender_ended(struct tap_sender *s, struct tap_stream *st, const char *why, bool flowed)
{
    for (size_t i = 0; i < s->streams.n; i++)
        if (s->streams.items[i] == st) {
            vec_swap_remove(&s->streams, i);
            break;
        }
    if (!s->failing || flowed)
        log_error("plugin/dnstap: No connection to dnstap endpoint %s: %s", s->endpoint->text, why);
    if (s->endpoint->listen)
        return;
    s->failing = true;
    s->redial = s->redial ? MIN(2 * s->redial, (unsigned)TAP_REDIAL_MAX) : 1;
    s->redial_left = s->redial;
}

static void on_client(uv_stream_t *server, int status)
{
    struct tap_sender *s = server->data;
    if (status < 0)
        return;
    struct tap_stream *st = tap_stream_accept(s, server);
    if (s->streams.n < TAP_CLIENTS_MAX) {
        vec_push(&s->streams, st);
        return;
    }
    log_warning("plugin/dnstap: %s has more than %d clients", s->endpoint->text, TAP_CLIENTS_MAX);
    tap_stream_end(st);
}

static void handle_closed(uv_handle_t *h)
{
    free(h);
}

static int listen_tcp(struct tap_sender *s)
{
    const struct tap_endpoint *at = s->endpoint;
    struct sockaddr_storage sa;
    struct ip ip = { .family = 6 }; /* every address */
    if (at->host[0] && ip_parse(at->host, &ip) < 0)
        return UV_EADDRNOTAVAIL;
    (void)ip_to_sockaddr(&ip, (uint16_t)atoi(at->port), &sa);
    return uv_tcp_bind(&s->server->tcp, (struct sockaddr *)&sa, 0);
}

/* Tried again with each tick: a reload has the old server for a moment yet. */
static void listen_at(struct tap_sender *s)
{
    int code;
    s->server = xcalloc(1, sizeof *s->server);
    if (s->endpoint->kind == TAP_TCP)
        uv_tcp_init(s->loop, &s->server->tcp);
    else
        uv_pipe_init(s->loop, &s->server->pipe, 0);
    s->server->handle.data = s;
    code = s->endpoint->kind == TAP_TCP ? listen_tcp(s)
                                        : uv_pipe_bind(&s->server->pipe, s->endpoint->host);
    if (code == 0)
        code = uv_listen(&s->server->stream, TAP_CLIENTS_MAX, on_client);
    if (code == 0)
        return;
    if (!s->failing)
        log_error("plugin/dnstap: Failed to start dnstap listener: %s: %s", s->endpoint->text,
                  uv_strerror(code));
    s->failing = true;
    uv_close(&s->server->handle, handle_closed);
    s->server = NULL;
}

static void on_tick(uv_timer_t *timer)
{
    struct tap_sender *s = timer->data;
    if (s->endpoint->listen && !s->server)
        listen_at(s);
    else if (!s->endpoint->listen && !s->streams.n && (!s->redial_left || !--s->redial_left))
        dial(s);
    report(s, false);
}

/* ---- starting and stopping ---- */

int tap_sender_start(struct tap_sender *s, struct err *e)
{
    s->wake = xcalloc(1, sizeof *s->wake);
    int code = uv_async_init(s->loop, s->wake, on_wake);
    if (code < 0) {
        free(s->wake);
        return err_set(e, code, "plugin/dnstap: %s", uv_strerror(code));
    }
    s->drain = xcalloc(1, sizeof *s->drain);
    s->tick = xcalloc(1, sizeof *s->tick);
    uv_timer_init(s->loop, s->drain);
    uv_timer_init(s->loop, s->tick);
    s->wake->data = s->drain->data = s->tick->data = s;
    uv_timer_start(s->tick, on_tick, TAP_TICK_MS, TAP_TICK_MS);
    if (s->endpoint->listen)
        listen_at(s);
    else
        dial(s);
    return 0;
}

static void send_last(struct tap_sender *s)
{
    vec_each (st, &s->streams)
        tap_stream_settle(*st);
    if (any_ready(s))
        (void)drain(s, false); /* what one write holds */
    vec_each (st, &s->streams)
        tap_stream_last(*st);
    (void)drain(s, true);
    report(s, true);
}

void tap_sender_stop(struct tap_sender *s)
{
    if (!s->tick)
        return;
    send_last(s);
    s->ending = true;
    vec_each (st, &s->streams)
        tap_stream_end(*st);
    vec_done(&s->streams);
    if (s->server)
        uv_close(&s->server->handle, handle_closed);
    uv_close((uv_handle_t *)s->wake, handle_closed);
    uv_close((uv_handle_t *)s->drain, handle_closed);
    uv_close((uv_handle_t *)s->tick, handle_closed);
}
