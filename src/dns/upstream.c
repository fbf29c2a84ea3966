#include "base/clock.h"
#include "base/mem.h"
#include "dns/upstream_impl.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

metric upstream_m_ignored;

/* ---- upstreams ---- */

/* 0.25 ms times powers of two, as the originals. */
static const uint64_t durations[] = { 250000,     500000,     1000000,    2000000,
                                      4000000,    8000000,    16000000,   32000000,
                                      64000000,   128000000,  256000000,  512000000,
                                      1024000000, 2048000000, 4096000000, 8192000000 };

static void register_metrics(struct upstream *u, const char *proxy)
{
    static const char *const protos[] = { "udp", "tcp", "tcp-tls" };
    char labels[UPSTREAM_NAME + 64];
    for (int i = u->tls_name ? CHANNEL_TLS : 0; i < (u->tls_name ? CHANNEL_KINDS : CHANNEL_TLS);
         i++) {
        (void)snprintf(labels, sizeof labels, "proxy_name=\"%s\",to=\"%s\",proto=\"%s\"", proxy,
                       u->name, protos[i]);
        u->hits[i] =
            metric_counter("coredns_proxy_conn_cache_hits_total",
                           "Questions sent on a socket or connection that was open.", labels);
        u->misses[i] =
            metric_counter("coredns_proxy_conn_cache_misses_total",
                           "Questions that a socket or connection was opened for.", labels);
    }
    (void)snprintf(labels, sizeof labels, "proxy_name=\"%s\",to=\"%s\"", proxy, u->name);
    u->check_failures = metric_counter("coredns_proxy_healthcheck_failures_total",
                                       "Health checks that got no answer.", labels);
    u->full = metric_counter("signpost_upstream_full_total",
                             "Questions not sent because too many were under way.", labels);
    if (!upstream_m_ignored) /* workers that count read it while another configuration begins */
        upstream_m_ignored =
            metric_counter("signpost_upstream_ignored_total",
                           "Messages from upstreams that answer nothing under way.", "");
}

static void name_upstream(struct upstream *u)
{
    char ip[IP_TEXT_MAX], scope[16] = "";
    struct ip address = ip_of_sockaddr((const struct sockaddr *)&u->addr);
    unsigned port = port_of_sockaddr((const struct sockaddr *)&u->addr);
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&u->addr;
    if (address.family == 6 && v6->sin6_scope_id)
        (void)snprintf(scope, sizeof scope, "%%%u", v6->sin6_scope_id);
    (void)snprintf(u->name, sizeof u->name, address.family == 4 ? "%s%s:%u" : "[%s%s]:%u",
                   ip_text(&address, ip), scope, port);
}

void upstream_init(struct upstream *u, unsigned id, const struct sockaddr_storage *addr,
                   const char *tls_name, const struct upstream_options *options, const char *proxy)
{
    *u = (struct upstream){
        .addr = *addr, .id = id, .tls_name = tls_name, .options = options, .proxy = proxy
    };
    name_upstream(u);
    register_metrics(u, proxy);
}

bool upstream_down(const struct upstream *u)
{
    unsigned max = u->options->max_fails;
    return max && atomic_load_explicit(&u->fails, memory_order_relaxed) > max;
}

/* ---- workers ---- */

struct upstream_worker *upstream_worker_new(struct worker *w)
{
    struct upstream_worker *uw = calloc(1, sizeof *uw);
    uint8_t *in = malloc((size_t)UDP_IN_BATCH * MSG_MAX);
    if (!uw || !in) {
        free(uw);
        free(in);
        return NULL;
    }
    uw->worker = w;
    uw->in = in;
    udp_in_init(&uw->udp_in);
    for (unsigned i = 0; i < UDP_IN_BATCH; i++)
        udp_in_place(&uw->udp_in, i, in + (size_t)i * MSG_MAX, MSG_MAX, NULL, NULL);
    wheel_init(&uw->wheel, w);
    return uw;
}

static void close_link(struct upstream_link *l)
{
    for (int kind = 0; kind < CHANNEL_KINDS; kind++)
        for (unsigned i = 0; i < UPSTREAM_CHANNELS; i++) {
            struct channel *c = l->channels[kind][i];
            if (!c)
                continue;
            channel_close(c);
            channel_fail(c, -ECANCELED);
        }
    wheel_clear(&l->check);
}

void upstream_worker_close(struct upstream_worker *uw)
{
    if (uw->closed)
        return;
    uw->closed = true;
    for (unsigned i = 0; i < uw->n_links; i++)
        if (uw->links[i])
            close_link(uw->links[i]);
    wheel_close(&uw->wheel);
}

void upstream_worker_free(struct upstream_worker *uw)
{
    if (!uw)
        return;
    for (unsigned i = 0; i < uw->n_links; i++) {
        if (uw->links[i])
            tls_ticket_done(&uw->links[i]->ticket);
        free(uw->links[i]);
    }
    free(uw->links);
    for (struct slab *s = uw->slabs, *next; s; s = next) {
        next = s->next;
        free(s);
    }
    free(uw->in);
    free(uw);
}

static struct upstream_link *link_of(struct upstream_worker *uw, struct upstream *u)
{
    if (u->id >= uw->n_links) {
        uw->links = xrealloc(uw->links, (u->id + 1) * sizeof(struct upstream_link *));
        while (uw->n_links <= u->id)
            uw->links[uw->n_links++] = NULL;
    }
    if (!uw->links[u->id]) {
        struct upstream_link *l = xcalloc(1, sizeof *l);
        l->worker = uw;
        l->upstream = u;
        uw->links[u->id] = l;
    }
    return uw->links[u->id];
}

/* Ids and ports are all that stands between an outsider and a forged answer: from the kernel. */
uint16_t upstream_random(struct upstream_worker *uw)
{
    if (!uw->ids_left) {
        if (getrandom(uw->ids, sizeof uw->ids, 0) != (ssize_t)sizeof uw->ids)
            for (unsigned i = 0; i < RANDOM_IDS; i++)
                uw->ids[i] = (uint16_t)rand_next(&uw->worker->rand);
        uw->ids_left = RANDOM_IDS;
    }
    return uw->ids[--uw->ids_left];
}

/* ---- exchanges ---- */

static struct exchange *exchange_get(struct upstream_worker *uw)
{
    struct exchange *x = uw->free;
    if (!x) {
        struct slab *s = calloc(1, sizeof *s);
        if (!s)
            return NULL;
        s->next = uw->slabs;
        uw->slabs = s;
        for (unsigned i = 0; i < SLAB_EXCHANGES; i++) {
            s->items[i].next = uw->free;
            uw->free = &s->items[i];
        }
        x = uw->free;
    }
    uw->free = x->next;
    return x;
}

static void exchange_put(struct upstream_worker *uw, struct exchange *x)
{
    x->next = uw->free;
    uw->free = x;
}

static struct exchange **place_of(struct channel *c, uint16_t id)
{
    struct exchange **at = &c->by_id[id % CHANNEL_BUCKETS];
    while (*at && (*at)->id != id)
        at = &(*at)->next;
    return at;
}

/* The exchange is out of its bucket; frees it. */
static void exchange_drop(struct exchange *x)
{
    struct channel *c = x->channel;
    wheel_clear(&x->deadline);
    c->link->n--;
    exchange_put(c->link->worker, x);
    if (--c->n == 0 && c->fd >= 0)
        channel_idle(c);
}

static void exchange_finish(struct exchange *x, struct upstream_reply *r)
{
    upstream_done_fn *done = x->done;
    void *ctx = x->ctx;
    r->elapsed_ns = clock_ns() - x->start_ns;
    r->local = (const struct sockaddr *)&x->channel->local;
    exchange_drop(x);
    done(ctx, r);
}

void upstream_cancel(struct exchange *x)
{
    struct exchange **at = place_of(x->channel, x->id);
    *at = x->next;
    exchange_drop(x);
}

static void exchange_late(struct deadline *d)
{
    struct exchange *x = container_of(d, struct exchange, deadline);
    struct channel *c = x->channel;
    struct upstream_reply r = { .error = c->error ? c->error : -ETIMEDOUT };
    channel_error(c, r.error, r.text, sizeof r.text);
    *place_of(c, x->id) = x->next;
    if (c->heard_ns < x->start_ns)
        c->retired = true; /* silent since: the next question gets another port or connection */
    exchange_finish(x, &r);
}

/* ---- channels' messages ---- */

/* Does the message repeat the question? Servers that fail before reading it may leave it out. */
static bool answers(const struct exchange *x, const uint8_t *msg, size_t len)
{
    const struct question *q = x->q;
    uint8_t lower[NAME_MAX_WIRE];
    uint16_t questions = get_u16(msg + 4);
    if (questions == 0)
        return (msg[3] & 15) != RCODE_NOERROR;
    if (questions != 1 || len < MSG_HEADER + q->name.len + 4u)
        return false;
    const uint8_t *end = msg + MSG_HEADER + q->name.len;
    name_lower(lower, msg + MSG_HEADER, q->name.len);
    return memcmp(lower, q->lower, q->name.len) == 0 && get_u16(end) == q->type &&
           get_u16(end + 2) == q->class;
}

void channel_message(struct channel *c, const uint8_t *msg, size_t len)
{
    struct exchange **at = len < MSG_HEADER ? NULL : place_of(c, get_u16(msg));
    struct exchange *x = at ? *at : NULL;
    if (!x || !(msg[2] & 0x80) || !answers(x, msg, len)) {
        metric_add(upstream_m_ignored, 1);
        return;
    }
    struct upstream_reply r = { .msg = msg, .len = len };
    *at = x->next;
    c->heard_ns = clock_ns();
    exchange_finish(x, &r);
}

void channel_fail(struct channel *c, int error)
{
    struct upstream_reply r = { .error = error };
    struct exchange *all = NULL;
    bool broken =
        c->kind != CHANNEL_UDP && (error == UV_EOF || error == -ECONNRESET || error == -EPIPE);
    channel_error(c, error, r.text, sizeof r.text);
    for (unsigned i = 0; i < CHANNEL_BUCKETS; i++)
        while (c->by_id[i]) { /* first all of them: done() may put new ones into the buckets */
            struct exchange *x = c->by_id[i];
            c->by_id[i] = x->next;
            x->next = all;
            all = x;
        }
    for (struct exchange *x = all, *next; x; x = next) {
        next = x->next;
        r.stale = broken && x->reused;
        exchange_finish(x, &r);
    }
}

static const char *error_text(int error, char buf[TLS_ERROR_MAX])
{
    if (error == -ETIMEDOUT)
        return "i/o timeout";
    if (error == UV_EOF)
        return "EOF";
    if (error == -ECANCELED)
        return "the server ends";
    (void)snprintf(buf, TLS_ERROR_MAX, "%s", strerror(-error));
    if (buf[0] >= 'A' && buf[0] <= 'Z')
        buf[0] = (char)(buf[0] | 0x20);
    return buf;
}

void channel_error(const struct channel *c, int error, char *text, size_t cap)
{
    const char *proto = c->kind == CHANNEL_UDP ? "udp" : "tcp";
    const char *to = c->link->upstream->name;
    struct upstream local = { .addr = c->local };
    char buf[TLS_ERROR_MAX];
    const char *why = error_text(error, buf);
    const char *call = why == buf ? c->connecting ? "connect: " : "read: " : "";
    if (c->tls && *tls_error(c->tls)) {
        why = tls_error(c->tls);
        call = "tls: ";
    }
    name_upstream(&local);
    if (c->connecting)
        (void)snprintf(text, cap, "dial %s %s: %s%s", proto, to, call, why);
    else
        (void)snprintf(text, cap, "read %s %s->%s: %s%s", proto, local.name, to, call, why);
}

/* ---- asking ---- */

static struct exchange *refuse(struct upstream_link *l, int error, struct upstream_reply *ret_error)
{
    char buf[TLS_ERROR_MAX];
    *ret_error = (struct upstream_reply){ .error = error };
    if (error == -ENOBUFS)
        metric_add(l->upstream->full, 1);
    (void)snprintf(ret_error->text, sizeof ret_error->text, "ask %s: %s", l->upstream->name,
                   error == -ENOBUFS ? "too many questions under way" : error_text(error, buf));
    return NULL;
}

static uint16_t free_id(struct channel *c)
{
    uint16_t id;
    do
        id = upstream_random(c->link->worker);
    while (*place_of(c, id));
    return id;
}

static int send_on(struct channel *c, uint16_t id, const struct upstream_request *r)
{
    return c->kind == CHANNEL_UDP ? udp_channel_send(c, id, r->msg, r->len)
                                  : tcp_channel_send(c, id, r->msg, r->len);
}

static void register_exchange(struct channel *c, struct exchange *x)
{
    struct exchange **at = &c->by_id[x->id % CHANNEL_BUCKETS];
    x->next = *at;
    *at = x;
    c->n++;
    c->uses++;
    c->used_ns = x->start_ns;
    c->link->n++;
    int64_t end = c->connecting ? x->limit_ns : MIN(x->start_ns + x->read_ns, x->limit_ns);
    wheel_set(&c->link->worker->wheel, &x->deadline, end);
}

struct exchange *upstream_ask(struct upstream_worker *uw, struct upstream *u,
                              const struct upstream_request *r, upstream_done_fn *done, void *ctx,
                              struct upstream_reply *ret_error)
{
    struct upstream_link *l = link_of(uw, u);
    int error = -ENOBUFS;
    if (uw->closed)
        return refuse(l, -ECANCELED, ret_error);
    if (l->n >= UPSTREAM_OUTSTANDING)
        return refuse(l, error, ret_error);
    int kind = u->tls_name ? CHANNEL_TLS : r->tcp ? CHANNEL_TCP : CHANNEL_UDP;
    struct channel *c = channel_pick(l, kind, r->len, &error);
    if (!c)
        return refuse(l, error, ret_error);
    struct exchange *x = exchange_get(uw);
    if (!x)
        return refuse(l, -ENOMEM, ret_error);
    *x = (struct exchange){ .deadline.fn = exchange_late,
                            .channel = c,
                            .q = r->q,
                            .done = done,
                            .ctx = ctx,
                            .start_ns = clock_ns(),
                            .read_ns = r->read_ns,
                            .limit_ns = r->limit_ns,
                            .id = free_id(c),
                            .reused = c->heard_ns != 0 };
    error = send_on(c, x->id, r);
    if (error < 0) {
        exchange_put(uw, x);
        return refuse(l, error, ret_error);
    }
    register_exchange(c, x);
    return x;
}

/* ---- health ---- */

static void send_check(struct upstream_link *l);

static void check_again(struct deadline *d)
{
    send_check(container_of(d, struct upstream_link, check));
}

static void check_failed(struct upstream_link *l)
{
    struct upstream *u = l->upstream;
    atomic_fetch_add_explicit(&u->fails, 1, memory_order_relaxed);
    metric_add(u->check_failures, 1);
    l->check.fn = check_again;
    wheel_set(&l->worker->wheel, &l->check, clock_ns() + u->options->check_ns);
}

static void check_done(void *ctx, const struct upstream_reply *reply)
{
    struct upstream_link *l = ctx;
    if (reply->error == -ECANCELED)
        return;
    if (reply->error) {
        check_failed(l);
        return;
    }
    atomic_store_explicit(&l->upstream->fails, 0, memory_order_relaxed);
    atomic_store(&l->upstream->checking, false);
}

/* Any reply will do, whatever its rcode: somebody is there. */
static void send_check(struct upstream_link *l)
{
    const struct upstream_options *o = l->upstream->options;
    struct upstream_reply error;
    uint8_t msg[NAME_MAX_WIRE + 32];
    if (atomic_load(&l->upstream->gone)) {
        atomic_store(&l->upstream->checking, false);
        return;
    }
    l->check_q = (struct question){ .name = o->check_name, .type = RR_NS, .class = CLASS_IN };
    name_lower(l->check_q.lower, o->check_name.wire, o->check_name.len);
    size_t len = msg_encode_query(msg, 0, o->check_name.wire, RR_NS, 0);
    if (o->check_no_rec)
        put_u16(msg + 2, 0);
    struct upstream_request r = { .msg = msg,
                                  .len = len,
                                  .q = &l->check_q,
                                  .tcp = o->check_tcp,
                                  .read_ns = UPSTREAM_CHECK_NS,
                                  .limit_ns = clock_ns() + UPSTREAM_CHECK_NS };
    if (!upstream_ask(l->worker, l->upstream, &r, check_done, l, &error) &&
        error.error != -ECANCELED)
        check_failed(l);
}

void upstream_check(struct upstream_worker *uw, struct upstream *u)
{
    if (u->options->max_fails && !uw->closed && !atomic_exchange(&u->checking, true))
        send_check(link_of(uw, u));
}

void upstream_observe(struct upstream_worker *uw, const struct upstream *u, uint16_t rcode,
                      int64_t elapsed_ns)
{
    struct upstream_link *l = uw->links[u->id];
    unsigned i = MIN(rcode, UPSTREAM_RCODES);
    if (!l->has_duration[i]) {
        char labels[UPSTREAM_NAME + 96], buf[16];
        (void)snprintf(labels, sizeof labels, "proxy_name=\"%s\",to=\"%s\",rcode=\"%s\"", u->proxy,
                       u->name, i == UPSTREAM_RCODES ? "OTHER" : rcode_text(rcode, buf));
        l->durations[i] = metric_histogram("coredns_proxy_request_duration_seconds",
                                           "Time until an upstream's reply came.", labels,
                                           durations, ARRAY_SIZE(durations), 1e-9);
        l->has_duration[i] = true;
    }
    histogram_observe(&l->durations[i], (uint64_t)MAX(elapsed_ns, 0));
}
