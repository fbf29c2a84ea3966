#include "world.h"

#include "base/clock.h"
#include "config/tree.h"
#include "dns/setup.h"
#include "kube/decode.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_NS   20000000000LL /* no answer takes longer, even if all upstreams are silent */
#define SILENT_ROUNDS 4             /* of the loop, over TCP, after which nothing will come */

world_answer_fn *world_answer;

/* clang-format off */
static const char manifest[] =
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: prod}\n---\n"
    "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: prod}\n"
    "spec:\n  clusterIP: 10.96.0.10\n  ports: [{name: http, port: 80}]\n---\n"
    "apiVersion: v1\nkind: Service\nmetadata: {name: db, namespace: prod}\n"
    "spec:\n  clusterIP: None\n  ports: [{name: pg, port: 5432}]\n---\n"
    "apiVersion: v1\nkind: Service\nmetadata: {name: away, namespace: prod}\n"
    "spec: {type: ExternalName, externalName: www.example.org}\n---\n"
    "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
    "metadata: {name: db-1, namespace: prod, labels: {kubernetes.io/service-name: db}}\n"
    "addressType: IPv4\nports: [{name: pg, port: 5432}]\n"
    "endpoints:\n- {addresses: [10.1.0.2], hostname: db-0}\n- {addresses: [10.1.0.3]}\n";
/* clang-format on */

struct client {
    int udp, tcp;                              /* tcp -1: not connected */
    struct sockaddr_in server_udp, server_tcp; /* the server's sockets */
};

static struct dns_worker worker;
static uv_loop_t control;
static struct store *objects;
static struct dns_config *config;
static struct client client = { .tcp = -1 };
static int server_udp, server_tcp;
static int upstream_udp, upstream_listen, upstream_conn = -1;
static char upstream_text[64];

static void require(bool ok, const char *what)
{
    if (!ok) {
        (void)fprintf(stderr, "world: %s\n", what);
        abort();
    }
}

/* ---- making it ---- */

static void take(void *ctx, struct object *o)
{
    store_put(ctx, o);
}

static void refuse(void *ctx, const struct err *e)
{
    (void)ctx;
    require(false, e->text);
}

static void make_objects(void)
{
    struct arena arena;
    struct tree_doc doc;
    arena_init(&arena, 65536);
    objects = store_new();
    require(tree_parse(manifest, strlen(manifest), "m.yaml", &arena, &doc, NULL) == 0, "manifest");
    for (size_t i = 0; i < doc.n; i++)
        (void)object_decode_each(doc.documents[i], "m.yaml", 0, take, refuse, objects);
    store_set_synced(objects);
    arena_done(&arena);
}

static int open_source(void *ctx, const struct object_source *source, struct store **ret,
                       struct err *e)
{
    (void)ctx, (void)source, (void)e;
    *ret = objects;
    return 0;
}

/* A socket of 127.0.0.1 on a free port. */
static int bound(int type, struct sockaddr_in *ret)
{
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof sa;
    int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    require(fd >= 0 && bind(fd, (struct sockaddr *)&sa, sizeof sa) == 0, "bind");
    require(type == SOCK_DGRAM || listen(fd, 64) == 0, "listen");
    require(getsockname(fd, (struct sockaddr *)&sa, &len) == 0, "getsockname");
    *ret = sa;
    return fd;
}

/* UDP and TCP on one port. */
static void open_upstream(void)
{
    struct sockaddr_in sa;
    for (int tries = 0; tries < 100; tries++) {
        upstream_udp = bound(SOCK_DGRAM, &sa);
        upstream_listen = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (bind(upstream_listen, (struct sockaddr *)&sa, sizeof sa) == 0) {
            require(listen(upstream_listen, 64) == 0, "listen");
            (void)snprintf(upstream_text, sizeof upstream_text, "127.0.0.1:%u", ntohs(sa.sin_port));
            return;
        }
        close(upstream_udp);
        close(upstream_listen);
    }
    require(false, "no free port");
}

static void begin(void)
{
    static bool begun;
    if (begun)
        return;
    begun = true;
    log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
    require(uv_loop_init(&control) == 0 && uv_loop_init(&worker.worker.loop) == 0, "loop");
    worker.worker.loop.data = &worker.worker;
    worker.worker.rand = (struct rand){ .s = { 1, 2, 3, 4 } };
    (void)metric_thread_init();
    serve_metrics_init();
    rcu_thread_init();
    rcu_offline();
    make_objects();
    open_upstream();
    struct sockaddr_in unused;
    server_udp = bound(SOCK_DGRAM, &client.server_udp);
    server_tcp = bound(SOCK_STREAM, &client.server_tcp);
    client.udp = bound(SOCK_DGRAM, &unused);
    require(connect(client.udp, (struct sockaddr *)&client.server_udp, sizeof unused) == 0,
            "connect");
}

const char *world_upstream(void)
{
    begin();
    return upstream_text;
}

/* ---- serving ---- */

static void drop_config(struct dns_config *c)
{
    if (!c)
        return;
    worker_enter(&worker.worker);
    vec_each (stop, &c->worker_stops)
        stop->fn(&worker.worker, stop->conf);
    worker_leave(&worker.worker);
    uv_run(&worker.worker.loop, UV_RUN_NOWAIT);
    dns_config_free(c);
    uv_run(&control, UV_RUN_NOWAIT);
}

static int take_over(struct dns_config *c, struct err *e)
{
    int ret = c->listeners.n == 1 && c->listeners.items[0].port == WORLD_PORT
                  ? dns_config_start(c, e)
                  : err_set(e, ERR_INVALID, "not one listener at port %d", WORLD_PORT);
    if (ret == 0)
        ret = serve_listener(&worker, c->listeners.items, 0, server_udp, server_tcp, e);
    if (ret < 0) {
        drop_config(c);
        return ret;
    }
    require(worker.n_sockets == 1, "the listener has changed its address");
    struct dns_config *old = config;
    config = c;
    drop_config(old);
    return 0;
}

static int serve(struct corefile *corefile, struct err *e)
{
    static const struct dns_options options = { .workers = 1,
                                                .loop = &control,
                                                .open_source = open_source };
    struct dns_config *c = NULL;
    int ret = dns_config_new(corefile, &options, NULL, &c, e);
    return ret < 0 ? ret : take_over(c, e);
}

int world_serve(const char *text, size_t len, struct err *e)
{
    struct corefile *c = NULL;
    begin();
    int ret = corefile_parse(text, len, "/nonexistent/Corefile", NULL, &c, e);
    return ret < 0 ? ret : serve(c, e);
}

static bool is_allowed(const char *name, const char *const *allowed)
{
    while (*allowed && strcmp(*allowed, name) != 0)
        allowed++;
    return *allowed != NULL;
}

int world_serve_only(const char *text, size_t len, const char *const *allowed, struct err *e)
{
    struct corefile *c = NULL;
    begin();
    int ret = corefile_parse(text, len, "/nonexistent/Corefile", NULL, &c, e);
    for (size_t b = 0; ret == 0 && b < c->n_blocks; b++)
        for (size_t d = 0; d < c->blocks[b].n_directives; d++)
            if (!is_allowed(c->blocks[b].directives[d].name, allowed))
                ret = err_set(e, ERR_INVALID, "not here");
    if (ret < 0) {
        corefile_free(c);
        return ret;
    }
    return serve(c, e);
}

/* ---- the upstream ---- */

static uint8_t answer_out[WORLD_ANSWER_MAX];

static size_t next_answer(const uint8_t *question, size_t len, bool tcp, unsigned nth)
{
    return world_answer ? world_answer(question, len, tcp, nth, answer_out) : 0;
}

static void answer_udp(void)
{
    static uint8_t in[MSG_MAX];
    struct sockaddr_in peer;
    socklen_t len = sizeof peer;
    ssize_t n;
    size_t made;
    while ((n = recvfrom(upstream_udp, in, sizeof in, 0, (struct sockaddr *)&peer, &len)) >= 0)
        for (unsigned nth = 0; (made = next_answer(in, (size_t)n, false, nth)) > 0; nth++)
            (void)sendto(upstream_udp, answer_out, made, 0, (struct sockaddr *)&peer, len);
}

/* Questions are small and come whole; each is answered, and then the connection is closed. */
static void answer_tcp(void)
{
    static uint8_t in[2 + MSG_MAX];
    size_t made;
    if (upstream_conn < 0)
        upstream_conn = accept4(upstream_listen, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (upstream_conn < 0)
        return;
    ssize_t n = recv(upstream_conn, in, sizeof in, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    for (unsigned nth = 0; n > 2 && (made = next_answer(in + 2, (size_t)n - 2, true, nth)); nth++)
        (void)send(upstream_conn, answer_out, made, MSG_NOSIGNAL);
    close(upstream_conn);
    upstream_conn = -1;
}

/* ---- asking ---- */

/* One turn of everything. */
static void turn(bool may_block)
{
    uv_run(&worker.worker.loop, may_block ? UV_RUN_ONCE : UV_RUN_NOWAIT);
    answer_udp();
    answer_tcp();
}

static void check(const uint8_t *msg, size_t len, const uint8_t *reply, size_t reply_len)
{
    struct arena a;
    struct msg m;
    arena_init(&a, 4096);
    require(len >= MSG_HEADER && get_u16(reply) == get_u16(msg), "a reply with another id");
    require(msg_parse(reply, reply_len, &a, &m) == 0, "a reply that does not parse");
    require(m.flags & FLAG_QR, "a reply that is a question");
    arena_done(&a);
}

static size_t client_takes(const uint8_t *msg, size_t len)
{
    static struct query_msg q;
    if (msg_parse_query(msg, len, &q) != QUERY_OK || !q.edns.present)
        return MSG_UDP_MIN;
    return q.edns.udp_size < MSG_UDP_MIN ? MSG_UDP_MIN : q.edns.udp_size;
}

size_t world_ask(const uint8_t *msg, size_t len, uint8_t out[MSG_MAX])
{
    if (!len || send(client.udp, msg, len, 0) < 0)
        return 0;
    turn(false);
    int64_t end = clock_ns() + PATIENCE_NS;
    while (worker.waiting) {
        require(clock_ns() < end, "a query waits for ever");
        turn(true);
    }
    ssize_t n = recv(client.udp, out, MSG_MAX, 0);
    if (n <= 0)
        return 0;
    check(msg, len, out, (size_t)n);
    require((size_t)n <= client_takes(msg, len), "a reply that is too long");
    require(recv(client.udp, out + n, 0, MSG_DONTWAIT) < 0, "two replies");
    return (size_t)n;
}

static void hang_up(void)
{
    if (client.tcp >= 0)
        close(client.tcp);
    client.tcp = -1;
    uv_run(&worker.worker.loop, UV_RUN_NOWAIT);
}

static void call_up(void)
{
    if (client.tcp >= 0)
        return;
    client.tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    require(connect(client.tcp, (struct sockaddr *)&client.server_tcp, sizeof client.server_tcp) ==
                0,
            "connect");
    require(fcntl(client.tcp, F_SETFL, O_NONBLOCK) == 0, "fcntl");
}

/* What has come so far; false: the server has hung up. */
static bool receive(uint8_t *in, size_t cap, size_t *n)
{
    ssize_t got;
    while (*n < cap && (got = recv(client.tcp, in + *n, cap - *n, 0)) != 0) {
        if (got < 0)
            return errno == EAGAIN;
        *n += (size_t)got;
    }
    return *n == cap;
}

size_t world_ask_tcp(const uint8_t *msg, size_t len)
{
    static uint8_t in[4 * (2 + MSG_MAX)];
    uint8_t head[2];
    size_t n = 0, pos = 0, replies = 0;
    if (len > MSG_MAX)
        return 0;
    call_up();
    put_u16(head, (uint16_t)len);
    if (send(client.tcp, head, 2, MSG_MORE | MSG_NOSIGNAL) != 2 ||
        send(client.tcp, msg, len, MSG_NOSIGNAL) != (ssize_t)len) {
        hang_up();
        return 0;
    }
    bool open = true;
    int64_t end = clock_ns() + PATIENCE_NS;
    for (int quiet = 0; open && quiet < SILENT_ROUNDS;) {
        size_t before = n;
        require(clock_ns() < end, "a query over TCP waits for ever");
        turn(worker.waiting > 0);
        open = receive(in, sizeof in, &n);
        quiet = worker.waiting || n > before ? 0 : quiet + 1;
    }
    for (; n - pos >= 2 && n - pos - 2 >= get_u16(in + pos); pos += 2u + get_u16(in + pos)) {
        check(msg, len, in + pos + 2, get_u16(in + pos));
        replies++;
    }
    require(pos == n, "half a reply");
    if (!open || replies != 1)
        hang_up();
    return replies;
}

size_t world_query(uint8_t *out, uint16_t id, const char *name, uint16_t type, uint16_t edns)
{
    struct name qname;
    require(name_from_text(name, &qname) == 0, name);
    return msg_encode_query(out, id, qname.wire, type, edns);
}
