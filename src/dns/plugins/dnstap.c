/* `dnstap ENDPOINT|listen ENDPOINT [full] [WRITEBUFFER] [QUEUE] { identity S ; version S ; extra
 * FORMAT ; skipverify }`: tells of queries and replies in the dnstap format. */
#include "dns/plugins/dnstap_impl.h"

#include "base/clock.h"

#include <string.h>
#include <sys/un.h>

#define WRITEBUFFER_MAX 1024    /* MiB */
#define QUEUE_MAX       4096    /* times TAP_QUEUE messages */
#define EXTRA_MAX       4096    /* bytes; the rest is cut off */
#define CLOCK_STEP_NS   1000000 /* by which the clock is off before we take note */

/* What a worker needs to make a message. */
struct tap_worker {
    struct strbuf extra;
    uint8_t *reply; /* MSG_MAX bytes, with `full` */
};

/* One line. */
struct tap {
    struct tap *next;
    struct tap_endpoint endpoint;
    bool full;
    unsigned queue;
    const char *identity, *version;
    const struct log_format *extra; /* or NULL */
    struct tap_ring *rings;         /* by worker */
    struct tap_worker *workers;
    struct tap_sender sender;
};

struct taps {
    struct tap *first, **last;
    unsigned n_workers;
    _Atomic int64_t wall_ns; /* what is to be added to monotonic time */
};

/* ---- times ---- */

/* The same for a while, so that a query's time is the same in all messages about it. */
static int64_t wall_ns(struct taps *t, int64_t monotonic_ns)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t off = now.tv_sec * 1000000000LL + now.tv_nsec - clock_ns();
    int64_t known = atomic_load_explicit(&t->wall_ns, memory_order_relaxed);
    if (off - known > CLOCK_STEP_NS || known - off > CLOCK_STEP_NS) {
        atomic_store_explicit(&t->wall_ns, off, memory_order_relaxed);
        known = off;
    }
    return monotonic_ns + known;
}

/* ---- messages ---- */

static struct tap_bytes text_bytes(const char *text)
{
    return (struct tap_bytes){ text, strlen(text) };
}

static struct tap_bytes extra_of(struct tap *tap, struct query *q)
{
    struct strbuf *b = &tap->workers[q->worker->index].extra;
    if (!tap->extra)
        return (struct tap_bytes){ 0 };
    strbuf_reset(b);
    log_format_print(tap->extra, q, false, b);
    return (struct tap_bytes){ b->p, MIN(b->len, (size_t)EXTRA_MAX) };
}

static void put(struct tap *tap, struct query *q, struct tap_message *m)
{
    struct tap_ring *r = &tap->rings[q->worker->index];
    m->identity = text_bytes(tap->identity);
    m->version = text_bytes(tap->version);
    m->extra = extra_of(tap, q);
    uint8_t *out = tap_ring_reserve(r, tap_message_room(m));
    if (!out) {
        tap_sender_drop(&tap->sender, 1);
        return;
    }
    tap_ring_commit(r, tap_message_write(m, out));
    tap_sender_wake(&tap->sender);
}

static struct tap_message about_client(struct taps *t, const struct query *q, enum tap_type type)
{
    return (struct tap_message){
        .type = type,
        .tcp = q->transport != TRANSPORT_UDP,
        .query = query_client(q),
        .query_port = port_of_sockaddr((const struct sockaddr *)&q->peer),
        .query_ns = wall_ns(t, q->start_ns),
    };
}

static enum step dnstap_in(struct query *q, void *conf)
{
    struct taps *t = conf;
    if (q->depth || q->why) /* the server's own question */
        return STEP_NEXT;
    for (struct tap *tap = t->first; tap; tap = tap->next) {
        struct tap_message m = about_client(t, q, TAP_CLIENT_QUERY);
        if (tap->full)
            m.query_msg = (struct tap_bytes){ q->msg.raw, q->msg.raw ? q->msg.raw_len : 0 };
        put(tap, q, &m);
    }
    return STEP_NEXT;
}

/* The reply is written once more: what was sent may have been sent already. Within the bytes that
 * it had, it is cut at the same record. */
static struct tap_bytes reply_bytes(struct tap *tap, struct query *q)
{
    uint8_t *out = tap->workers[q->worker->index].reply;
    if (!tap->full)
        return (struct tap_bytes){ 0 };
    return (struct tap_bytes){ out, msg_encode(&q->reply, out, MAX(q->reply_len, MSG_UDP_MIN)) };
}

/* Replies that the server makes for want of one are not told of, as in the reference. */
static void dnstap_after(struct query *q, void *conf)
{
    struct taps *t = conf;
    if (q->dropped || q->bare)
        return;
    for (struct tap *tap = t->first; tap; tap = tap->next) {
        struct tap_message m = about_client(t, q, TAP_CLIENT_RESPONSE);
        m.response_ns = wall_ns(t, q->end_ns);
        m.response_msg = reply_bytes(tap, q);
        put(tap, q, &m);
    }
}

static struct tap_message about_forwarder(struct taps *t, const struct tap_exchange *x,
                                          enum tap_type type)
{
    struct tap_message m = { .type = type,
                             .tcp = x->tcp,
                             .response = ip_of_sockaddr(x->upstream),
                             .response_port = port_of_sockaddr(x->upstream),
                             .query_ns = wall_ns(t, x->start_ns) };
    if (x->local) {
        m.query = ip_of_sockaddr(x->local);
        m.query_port = port_of_sockaddr(x->local);
    }
    return m;
}

void taps_tell(struct taps *t, struct query *q, const struct tap_exchange *x)
{
    for (struct tap *tap = t ? t->first : NULL; tap; tap = tap->next) {
        struct tap_message m = about_forwarder(t, x, TAP_FORWARDER_QUERY);
        if (tap->full)
            m.query_msg = (struct tap_bytes){ x->query, x->query_len };
        put(tap, q, &m);
        if (!x->reply)
            continue;
        m = about_forwarder(t, x, TAP_FORWARDER_RESPONSE);
        m.response_ns = wall_ns(t, x->end_ns);
        if (tap->full)
            m.response_msg = (struct tap_bytes){ x->reply, x->reply_len };
        put(tap, q, &m);
    }
}

/* ---- starting and stopping ---- */

static int dnstap_start(void *conf, struct err *e)
{
    struct taps *t = conf;
    for (struct tap *tap = t->first; tap; tap = tap->next) {
        struct tap_sender *s = &tap->sender;
        size_t bytes = (size_t)tap->queue * TAP_QUEUE * TAP_MESSAGE_BYTES / t->n_workers;
        for (unsigned i = 0; i < t->n_workers; i++) {
            tap_ring_init(&tap->rings[i], MAX(bytes, (size_t)TAP_RING_MIN));
            if (tap->full)
                tap->workers[i].reply = xmalloc(MSG_MAX);
        }
        int code = tap_sender_start(s, e);
        if (code < 0)
            return code;
    }
    return 0;
}

static void dnstap_stop(void *conf)
{
    struct taps *t = conf;
    for (struct tap *tap = t->first; tap; tap = tap->next) {
        tap_sender_stop(&tap->sender);
        tls_config_free(tap->endpoint.tls); /* sessions under way keep it */
        for (unsigned i = 0; i < t->n_workers; i++) {
            tap_ring_done(&tap->rings[i]);
            strbuf_done(&tap->workers[i].extra);
            free(tap->workers[i].reply);
        }
    }
}

/* ---- set-up ---- */

/* "HOST:PORT", "[v6]:PORT"; url.Parse leaves out what follows a slash. */
static int read_host(struct tap_endpoint *to, const char *text, const struct dispenser *d,
                     struct err *e)
{
    size_t n = strcspn(text, "/");
    const char *colon = memrchr(text, ':', n);
    bool v6 = text[0] == '[' && colon && colon[-1] == ']';
    long port = 0;
    if (colon)
        (void)snprintf(to->port, sizeof to->port, "%.*s", (int)(text + n - colon - 1), colon + 1);
    if (!colon || colon - text >= (long)sizeof to->host ||
        str_to_long(to->port, 0, 65535, &port) < 0)
        return dispenser_err(d, e, "'%s' needs HOST:PORT", to->text);
    (void)snprintf(to->host, sizeof to->host, "%.*s", (int)(colon - text) - 2 * v6, text + v6);
    return 0;
}

static int read_endpoint(struct tap_endpoint *to, const char *text, const struct dispenser *d,
                         struct err *e)
{
    to->text = text;
    to->secure = str_starts(text, "tls://");
    if (to->secure || str_starts(text, "tcp://")) {
        to->kind = TAP_TCP;
        return read_host(to, text + strlen("tcp://"), d, e);
    }
    to->kind = TAP_UNIX;
    const char *path = str_starts(text, "unix://") ? text + strlen("unix://") : text;
    if (!path[0] || strlen(path) >= sizeof((struct sockaddr_un *)0)->sun_path)
        return dispenser_err(d, e, "'%s': a socket's path has 1 to %zu bytes", text,
                             sizeof((struct sockaddr_un *)0)->sun_path - 1);
    (void)snprintf(to->host, sizeof to->host, "%s", path);
    return 0;
}

static int read_number(const char *text, const char *name, long max, const char *unit,
                       unsigned *ret, const struct dispenser *d, struct err *e)
{
    long n;
    int code = str_to_long(text, 1, max, &n);
    if (code == ERR_PARSE)
        return dispenser_err(d, e, "dnstap: invalid %s \"%s\": not a number", name, text);
    if (code < 0)
        return dispenser_err(d, e, "dnstap: %s must be between 1 and %ld (%s): %s", name, max, unit,
                             text);
    *ret = (unsigned)n;
    return 0;
}

/* What stands behind the endpoint. The reference takes any word in place of "full", too. */
static int read_args(struct tap *tap, const char **args, size_t n, const struct dispenser *d,
                     struct err *e)
{
    unsigned mib = 1;
    int code = 0;
    tap->full = n > 0 && strcmp(args[0], "full") == 0;
    if (n > 0 && !tap->full)
        log_warning("plugin/dnstap: %s:%d: '%s' means nothing; 'full' adds the messages",
                    dispenser_token(d)->file, dispenser_token(d)->line, args[0]);
    if (n > 1)
        code =
            read_number(args[1], "MultipleTcpWriteBuf", WRITEBUFFER_MAX, "MiB units", &mib, d, e);
    if (code == 0 && n > 2)
        code = read_number(args[2], "MultipleQueue", QUEUE_MAX, "x10k messages", &tap->queue, d, e);
    if (n > 3)
        log_warning("plugin/dnstap: %s:%d: '%s' and what follows means nothing",
                    dispenser_token(d)->file, dispenser_token(d)->line, args[3]);
    tap->endpoint.send_buffer = (int)MIN((long)mib << 20, INT32_MAX / 2);
    return code;
}

static int read_tls(struct tap_endpoint *to, struct setup *s, struct dispenser *d, struct err *e)
{
    const char **args;
    if (!to->listen)
        return dispenser_err(d, e, "tls directive only valid for listeners");
    size_t n = dispenser_rest(d, setup_arena(s), &args);
    if (n < 2)
        return dispenser_err(d, e, "tls requires cert and key file paths");
    if (n > 3)
        return dispenser_arg_err(d, e);
    to->cert = setup_path(s, args[0]);
    to->key = setup_path(s, args[1]);
    to->ca = n > 2 ? setup_path(s, args[2]) : NULL;
    return 0;
}

/* What the endpoint shows and believes. */
static int make_tls(struct tap_endpoint *to, const struct dispenser *d, struct err *e)
{
    const struct tls_options o = {
        .server = to->listen,
        .cert = to->cert,
        .key = to->key,
        .ca = to->ca,
        .client_auth = !to->ca           ? TLS_NO_CERT
                       : to->skip_verify ? TLS_VERIFY_IF_GIVEN
                                         : TLS_REQUIRE_AND_VERIFY,
        .insecure = !to->listen && to->skip_verify,
    };
    if (!to->secure)
        return to->cert ? dispenser_err(d, e, "'tls' needs a tls:// endpoint, not %s", to->text)
                        : 0;
    if (to->listen && !to->cert)
        return dispenser_err(d, e, "%s: a TLS listener requires 'tls CERT KEY'", to->text);
    int code = tls_config_new(&o, &to->tls, e);
    return code < 0 ? dispenser_err(d, e, "%s", e->text) : 0;
}

static int read_option(struct tap *tap, struct setup *s, struct dispenser *d, struct err *e)
{
    const char *word = dispenser_val(d);
    bool identity = strcmp(word, "identity") == 0, version = strcmp(word, "version") == 0;
    if (strcmp(word, "skipverify") == 0) {
        tap->endpoint.skip_verify = true;
        return dispenser_end(d, e);
    }
    if (strcmp(word, "tls") == 0)
        return read_tls(&tap->endpoint, s, d, e);
    if (!identity && !version && strcmp(word, "extra") != 0)
        return dispenser_unknown(d, e);
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    if (identity)
        tap->identity = dispenser_val(d);
    else if (version)
        tap->version = dispenser_val(d);
    else
        tap->extra = dispenser_val(d)[0] ? log_format_new(s, dispenser_val(d)) : NULL;
    return dispenser_end(d, e);
}

static void register_metrics(struct tap *tap)
{
    struct strbuf labels = { 0 };
    metric_label(&labels, "endpoint", tap->endpoint.text);
    tap->sender.m_sent = metric_counter("signpost_dnstap_messages_total",
                                        "Messages written to receivers.", labels.p);
    tap->sender.m_dropped = metric_counter("signpost_dnstap_dropped_total",
                                           "Messages that nobody took in time.", labels.p);
    strbuf_done(&labels);
}

static struct tap *tap_new(struct taps *t, struct setup *s)
{
    struct arena *a = setup_arena(s);
    struct tap *tap = arena_zalloc(a, sizeof *tap);
    char host[256] = "";
    (void)gethostname(host, sizeof host - 1);
    tap->identity = arena_strdup(a, host);
    tap->version = "signpost-" SIGNPOST_VERSION;
    tap->queue = 1;
    tap->rings =
        arena_zalloc_aligned(a, t->n_workers * sizeof *tap->rings, _Alignof(struct tap_ring));
    tap->workers = arena_zalloc(a, t->n_workers * sizeof *tap->workers);
    tap->sender.endpoint = &tap->endpoint;
    tap->sender.loop = setup_loop(s);
    tap->sender.rings = tap->rings;
    tap->sender.n_rings = t->n_workers;
    *t->last = tap;
    t->last = &tap->next;
    return tap;
}

/* The folder of a socket that is listened at. */
static void tell_writes(const struct tap *tap, struct setup *s)
{
    const char *path = tap->endpoint.host, *slash = strrchr(path, '/');
    if (!tap->endpoint.listen || tap->endpoint.kind != TAP_UNIX)
        return;
    if (!slash)
        setup_writes(s, ".");
    else if (slash == path)
        setup_writes(s, "/");
    else
        setup_writes(s, arena_strndup(setup_arena(s), path, (size_t)(slash - path)));
}

static int read_directive(struct taps *t, struct setup *s, struct dispenser *d, struct err *e)
{
    const char **args;
    size_t n = dispenser_rest(d, setup_arena(s), &args), i = 0;
    if (n == 0)
        return dispenser_arg_err(d, e);
    struct tap *tap = tap_new(t, s);
    tap->endpoint.listen = strcmp(args[0], "listen") == 0;
    i += tap->endpoint.listen;
    if (i == n)
        return dispenser_err(d, e, "dnstap listen requires an endpoint argument");
    int code = read_endpoint(&tap->endpoint, args[i], d, e);
    if (code == 0)
        code = read_args(tap, args + i + 1, n - i - 1, d, e);
    while (code == 0 && dispenser_next_block(d))
        code = read_option(tap, s, d, e);
    if (code == 0)
        code = make_tls(&tap->endpoint, d, e);
    if (code == 0) {
        tell_writes(tap, s);
        register_metrics(tap);
    }
    return code;
}

static int dnstap_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    struct taps *t = arena_zalloc(setup_arena(s), sizeof *t);
    int code = 0;
    t->last = &t->first;
    t->n_workers = MAX(setup_workers(s), 1u);
    setup_stop(s, dnstap_stop, t);
    while (code == 0 && dispenser_next_directive(d))
        code = read_directive(t, s, d, e);
    if (code < 0)
        return code;
    offers_add(setup_offers(s), "dnstap", t);
    setup_in(s, dnstap_in, t);
    setup_after(s, dnstap_after, t);
    setup_start(s, dnstap_start, t);
    return 0;
}

const struct plugin plugin_dnstap = {
    .name = "dnstap", .setup = dnstap_setup, .repeatable = true, .outward = true
};
