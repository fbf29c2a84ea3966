#include "net/http.h"

#include "base/mem.h"
#include "base/metric.h"
#include "net/listen.h"

#include <microhttpd.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct http_server {
    struct MHD_Daemon *daemon;
    int fd; /* of the daemon */
    http_handler *handler;
    _Atomic(void *) ctx;
    char *address;
    unsigned refs;
    struct http_server *next;
};

static struct http_server *servers;

static enum MHD_Result respond(struct MHD_Connection *c, int status, const char *type,
                               struct strbuf *body)
{
    size_t len = body->len;
    char *text = strbuf_steal(body);
    struct MHD_Response *r = MHD_create_response_from_buffer(len, text, MHD_RESPMEM_MUST_FREE);
    if (!r) {
        free(text);
        return MHD_NO;
    }
    MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    enum MHD_Result ret = MHD_queue_response(c, (unsigned)status, r);
    MHD_destroy_response(r);
    return ret;
}

static enum MHD_Result answer(void *cls, struct MHD_Connection *c, const char *path,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **state)
{
    struct http_server *s = cls;
    struct http_reply reply = { .status = 200, .content_type = "text/plain; charset=utf-8" };
    (void)version, (void)data, (void)state;
    if (*size) {
        *size = 0; /* a body is read and forgotten */
        return MHD_YES;
    }
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        reply.status = MHD_HTTP_METHOD_NOT_ALLOWED;
        strbuf_puts(&reply.body, "only GET and HEAD are served\n");
    } else {
        s->handler(s->ctx, path, &reply);
        if (reply.status == MHD_HTTP_NOT_FOUND && !reply.body.len)
            strbuf_puts(&reply.body, "404 page not found\n");
    }
    return respond(c, reply.status, reply.content_type, &reply.body);
}

/* ":8080" and "localhost:8080" are what the originals' files say. */
static int parse_address(const char *address, struct ip *ret_ip, uint16_t *ret_port, struct err *e)
{
    char text[64];
    const char *colon = strrchr(address, ':');
    if (!colon)
        return err_set(e, ERR_PARSE, "address %s: missing port in address", address);
    *ret_ip = (struct ip){ 0 };
    if (colon == address || strncmp(address, "localhost:", 10) == 0) {
        (void)snprintf(text, sizeof text, "127.0.0.1%s", colon);
        int ret = ip_port_parse(text, 0, ret_ip, ret_port);
        if (colon == address)
            *ret_ip = (struct ip){ 0 };
        return ret < 0 ? err_set(e, ERR_PARSE, "address %s: invalid port", address) : 0;
    }
    if (ip_port_parse(address, 0, ret_ip, ret_port) < 0)
        return err_set(e, ERR_PARSE, "address %s: neither an IP address and port nor \":port\"",
                       address);
    return 0;
}

static struct http_server *find(const char *address, http_handler *handler)
{
    for (struct http_server *s = servers; s; s = s->next)
        if (s->handler == handler && strcmp(s->address, address) == 0)
            return s;
    return NULL;
}

/* At HTTP_CONNS_MAX, further ones wait in the kernel's queue. */
static double read_connections(void *ctx)
{
    const struct http_server *s = ctx;
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
    return info ? info->num_connections : 0;
}

static void add_gauge(struct http_server *s)
{
    struct strbuf labels = { 0 };
    metric_label(&labels, "address", s->address);
    metric_gauge("signpost_http_connections", "Open connections to a page's server, 64 at most.",
                 labels.p, read_connections, s);
    strbuf_done(&labels);
}

static struct MHD_Daemon *start_daemon(struct http_server *s, int fd)
{
    return MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL, 0, NULL, NULL, answer,
                            s, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
                            (unsigned)HTTP_CONNS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
                            (unsigned)HTTP_TIMEOUT_S, MHD_OPTION_END);
}

int http_server_open(const char *address, http_handler *handler, void *ctx,
                     struct http_server **ret, struct err *e)
{
    struct ip ip;
    uint16_t port;
    struct http_server *s = find(address, handler);
    if (s) {
        s->refs++;
        atomic_store(&s->ctx, ctx); /* the newest asker's: an older one will go first */
        *ret = s;
        return 0;
    }
    int code = parse_address(address, &ip, &port, e);
    if (code < 0)
        return code;
    int fd = listen_tcp(&ip, port, e);
    if (fd < 0)
        return fd;
    s = xcalloc(1, sizeof *s);
    s->handler = handler;
    s->ctx = ctx;
    s->daemon = start_daemon(s, fd);
    if (!s->daemon) {
        close(fd);
        free(s);
        return err_set(e, ERR_REFUSED, "http server on %s: cannot be started", address);
    }
    s->fd = fd;
    s->address = xstrdup(address);
    s->refs = 1;
    s->next = servers;
    servers = s;
    add_gauge(s);
    *ret = s;
    return 0;
}

/* The sockets are closed with their daemons, which look at them until then. */
void http_servers_retire(void)
{
    for (struct http_server *s = servers; s; s = s->next)
        (void)shutdown(s->fd, SHUT_RDWR);
}

void http_server_close(struct http_server *s)
{
    if (!s || --s->refs)
        return;
    struct http_server **p = &servers;
    while (*p != s)
        p = &(*p)->next;
    *p = s->next;
    metric_gauge_drop(s);
    MHD_stop_daemon(s->daemon); /* closes the listening socket */
    free(s->address);
    free(s);
}
