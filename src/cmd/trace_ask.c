#include "cmd/trace_ask.h"

#include "base/clock.h"
#include "base/str.h"
#include "client/stub.h"
#include "cmd/lookup_place.h"
#include "kernel/netns.h"
#include "lab/process_file.h"
#include "wire/msg.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define FILE_MAX    (1 << 20)
#define HOST_MAX    300
#define HTTP_PORT   80
#define DNS_PORT    53
#define ANSWER_MAX  65536
#define QUIET_MS    200 /* an answer after which nothing comes for so long is whole */
#define ARENA_CHUNK (64 << 10)

struct asking {
    const struct trace_ask *options;
    const struct request_how *how;
    struct observer *o;
    struct arena arena;
    char host[HOST_MAX];
    uint16_t port;
    struct stub_result found;
    int64_t started_ns, end_ns;
    struct asked *ret;
};

static int64_t since(const struct asking *a)
{
    return clock_ns() - a->started_ns;
}

static int left_ms(const struct asking *a)
{
    int64_t left = (a->end_ns - clock_ns()) / 1000000;
    return left > 0 ? (int)left : 0;
}

static void fail(struct asking *a, const char *what, const char *why)
{
    struct strbuf b = { 0 };
    strbuf_printf(&b, "%s: %s", what, why);
    free(a->ret->error);
    a->ret->error = strbuf_steal(&b);
}

/* "bar", "bar:80", "10.96.0.20:80", "fd00::1", "[fd00::1]:80" */
static int read_target(struct asking *a, struct err *e)
{
    const char *typed = a->how->typed, *colon = strrchr(typed, ':');
    bool udp = a->how->protocol == IPPROTO_UDP;
    size_t len = strlen(typed), skip = *typed == '[';
    struct ip ip;
    long port = udp ? 0 : HTTP_PORT;
    if (skip)
        len = strcspn(typed, "]") - 1;
    else if (colon && ip_parse(typed, &ip) < 0)
        len = (size_t)(colon - typed);
    bool given = colon && colon >= typed + skip + len;
    if (given && str_to_long(colon + 1, 1, 65535, &port) < 0)
        return err_set(e, ERR_INVALID, "%s: the port is a number, 1 to 65535", typed);
    if (!port)
        return err_set(e, ERR_INVALID, "%s: with --protocol udp give a port, TO:PORT", typed);
    if (!len || len >= sizeof a->host)
        return err_set(e, ERR_INVALID, "%s: no name of that length", typed);
    (void)snprintf(a->host, sizeof a->host, "%.*s", (int)len, typed + skip);
    a->port = (uint16_t)port;
    return 0;
}

/* ---- the name ---- */

static int look_up(struct asking *a, struct err *e)
{
    pid_t pid = a->o->pods.items[a->o->client].pid;
    cleanup_free char *conf_text = process_file(pid, "etc/resolv.conf", FILE_MAX);
    cleanup_free char *hosts = process_file(pid, "etc/hosts", FILE_MAX);
    cleanup_free char *nsswitch = process_file(pid, "etc/nsswitch.conf", FILE_MAX);
    struct stub_conf conf;
    struct stub_env env = { 0 };
    struct stub stub;
    lookup_environment(pid, &a->arena, &env);
    a->options->way->read_conf(conf_text, &env, &a->arena, &conf);
    stub_init(&stub, a->options->way, &conf, hosts, nsswitch);
    int code = stub_lookup(&stub, a->host, STUB_ADDRESS, &a->arena, &a->found, e);
    a->ret->name_ns = a->ret->connect_ns = since(a);
    a->ret->by_ports = true;
    for (size_t i = 0; code == 0 && i < a->found.n_queries; i++)
        vec_push(&a->ret->ports.items, a->found.queries[i].local_port);
    if (code == 0 && a->found.error)
        fail(a, a->host, a->found.error_text);
    return code;
}

/* ---- the connection, or the datagram ---- */

/* From which address the kernel would send there; family 0: from none. */
static struct ip source_of(const struct ip *to)
{
    struct sockaddr_storage sa;
    socklen_t len = ip_to_sockaddr(to, DNS_PORT, &sa);
    struct ip none = { .family = 0 };
    cleanup_close int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&sa, len) < 0)
        return none;
    len = sizeof sa;
    return getsockname(fd, (struct sockaddr *)&sa, &len) < 0
               ? none
               : ip_of_sockaddr((struct sockaddr *)&sa);
}

/* Its own port is known, and the rules are marked for exactly this, before the first packet. */
static int open_marked(struct asking *a, const struct ip *to)
{
    bool udp = a->how->protocol == IPPROTO_UDP;
    struct sockaddr_storage sa;
    struct ip from = source_of(to);
    if (!from.family)
        return -errno;
    socklen_t len = ip_to_sockaddr(&from, 0, &sa);
    int fd =
        socket(sa.ss_family, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (bind(fd, (struct sockaddr *)&sa, len) < 0 ||
        getsockname(fd, (struct sockaddr *)&sa, &len) < 0) {
        int code = -errno;
        close(fd);
        return code;
    }
    struct tuple t = { from, *to, port_of_sockaddr((struct sockaddr *)&sa), a->port,
                       a->how->protocol };
    int64_t before = clock_ns();
    a->ret->tuple = t;
    observer_mark(a->o, &t);
    a->started_ns += clock_ns() - before; /* this is no part of the request */
    return fd;
}

static int wait_for(struct asking *a, int fd, short events, int max_ms)
{
    struct pollfd p = { .fd = fd, .events = events };
    int n = poll(&p, 1, MIN(left_ms(a), max_ms));
    return n < 0 ? -errno : n == 0 ? -ETIMEDOUT : 0;
}

static int connect_to(struct asking *a, int fd, const struct ip *to)
{
    struct sockaddr_storage sa;
    socklen_t len = ip_to_sockaddr(to, a->port, &sa), size = sizeof(int);
    int error = 0;
    if (connect(fd, (struct sockaddr *)&sa, len) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return -errno;
    int code = wait_for(a, fd, POLLOUT, INT_MAX);
    if (code == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0)
        code = -error;
    return code;
}

/* ---- what is said over it ---- */

static int send_http(const struct asking *a, int fd)
{
    cleanup(strbuf_done) struct strbuf b = { 0 };
    bool v6 = strchr(a->host, ':');
    strbuf_printf(
        &b,
        "GET / HTTP/1.0\r\nHost: %s%s%s:%u\r\nUser-Agent: signpost-trace\r\nAccept: */*\r\n"
        "\r\n",
        v6 ? "[" : "", a->host, v6 ? "]" : "", a->port);
    return send(fd, b.p, b.len, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int send_datagram(const struct asking *a, int fd)
{
    static const uint8_t root[] = { 0 };
    uint8_t query[NAME_MAX_WIRE + 32];
    const char *text = a->options->data ? a->options->data : "signpost trace\n";
    bool dns = a->port == DNS_PORT && !a->options->data;
    size_t len = dns ? msg_encode_query(query, (uint16_t)clock_ns(), root, RR_NS, 0) : strlen(text);
    return send(fd, dns ? (const void *)query : text, len, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Until its end, silence, or as much as is of interest; -ETIMEDOUT, or what broke it, with nothing
 * read. */
static int read_answer(struct asking *a, int fd, char *buf, size_t size)
{
    size_t n = 0;
    bool udp = a->how->protocol == IPPROTO_UDP;
    while (n < size - 1) {
        int code = wait_for(a, fd, POLLIN, n ? QUIET_MS : INT_MAX);
        ssize_t got = code < 0 ? -1 : recv(fd, buf + n, size - 1 - n, 0);
        if (got < 0 && n == 0)
            return code < 0 ? code : -errno;
        if (got <= 0)
            break;
        n += (size_t)got;
        a->ret->total_ns = since(a);
        if (udp)
            break;
    }
    buf[n] = '\0';
    return (int)n;
}

static void take_answer(struct asking *a, const char *text, size_t len)
{
    struct asked *r = a->ret;
    r->complete = true;
    if (a->how->protocol == IPPROTO_TCP && sscanf(text, "HTTP/%*d.%*d %d", &r->status) != 1)
        r->status = 0;
    free(r->said);
    r->said = xstrndup(text, MIN(len, strcspn(text, "\r\n")));
}

static int talk(struct asking *a, int fd)
{
    static char answer[ANSWER_MAX];
    bool udp = a->how->protocol == IPPROTO_UDP;
    a->ret->connect_ns = since(a);
    int code = udp ? send_datagram(a, fd) : send_http(a, fd);
    if (code == 0)
        code = read_answer(a, fd, answer, sizeof answer);
    if (code > 0)
        take_answer(a, answer, (size_t)code);
    return code;
}

/* One address after the other, as clients do. */
static void ask_all(struct asking *a)
{
    int code = 0;
    char text[IP_PORT_TEXT_MAX];
    for (size_t i = 0; i < a->found.n_ips && !a->ret->complete && left_ms(a); i++) {
        const struct ip *to = &a->found.ips[i];
        cleanup_close int fd = open_marked(a, to);
        code = fd < 0 ? fd : connect_to(a, fd, to);
        if (code == 0)
            code = talk(a, fd);
        if (!a->ret->complete)
            fail(a, ip_port_text(to, a->port, text),
                 code < 0 ? strerror(-code) : "it was closed without an answer");
    }
    if (!a->ret->complete)
        a->ret->total_ns = since(a);
}

static int ask(struct asking *a, struct err *e)
{
    int code = netns_enter(a->o->client_net);
    if (code < 0)
        return err_set(e, code, "the client's network cannot be entered: %s", strerror(-code));
    a->started_ns = clock_ns();
    a->end_ns = a->started_ns + a->how->wait_s * 1000000000LL;
    code = look_up(a, e);
    if (code == 0)
        ask_all(a);
    int back = netns_enter(a->o->node_net);
    if (code == 0 && back < 0)
        code = err_set(e, back, "the node's network cannot be entered: %s", strerror(-back));
    return code;
}

int trace_ask(void *ctx, struct observer *o, const struct request_how *how, struct asked *ret,
              struct err *e)
{
    const struct trace_ask *options = ctx;
    struct asking a = { .options = options, .how = how, .o = o, .ret = ret };
    struct strbuf by = { 0 };
    int code = read_target(&a, e);
    if (code < 0)
        return code;
    strbuf_printf(&by, "signpost, that looks up as %s does and sends %s,", options->way->name,
                  how->protocol == IPPROTO_UDP ? "one datagram" : "GET /");
    *ret = (struct asked){ .by = strbuf_steal(&by), .said = xstrdup(""), .error = xstrdup("") };
    arena_init(&a.arena, ARENA_CHUNK);
    code = ask(&a, e);
    arena_done(&a.arena);
    if (code < 0)
        asked_done(ret);
    return code;
}
