#include "lab/backend.h"

#include "base/ip.h"
#include "base/log.h"

#include <errno.h>
#include <jansson.h>
#include <microhttpd.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#define UNREADY_FILE        "/tmp/unready"
#define BACKEND_CONNECTIONS 512

static json_t *endpoint_text(const struct sockaddr *sa)
{
    char text[IP_PORT_TEXT_MAX];
    struct ip addr = ip_of_sockaddr(sa);
    return json_string(ip_port_text(&addr, port_of_sockaddr(sa), text));
}

static json_t *describe(const struct backend_options *o, struct MHD_Connection *c, const char *url)
{
    const union MHD_ConnectionInfo *i =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const union MHD_ConnectionInfo *f =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    const char *host = MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);
    const char *node = getenv("NODE_NAME");
    struct sockaddr_storage local = { 0 };
    socklen_t len = sizeof local;
    getsockname(f->connect_fd, (struct sockaddr *)&local, &len);
    return json_pack("{s:s, s:s*, s:o, s:o, s:s*, s:s}", "pod", o->name, "node", node, "client",
                     endpoint_text(i->client_addr), "local",
                     endpoint_text((struct sockaddr *)&local), "host", host, "path", url);
}

static enum MHD_Result reply(struct MHD_Connection *c, unsigned status, char *text)
{
    struct MHD_Response *r =
        MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
    MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE,
                            text[0] == '{' ? "application/json" : "text/plain");
    MHD_add_response_header(r, MHD_HTTP_HEADER_CONNECTION, "close");
    enum MHD_Result result = MHD_queue_response(c, status, r);
    MHD_destroy_response(r);
    return result;
}

static enum MHD_Result answer(void *ctx, struct MHD_Connection *c, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **state)
{
    (void)method, (void)version, (void)upload, (void)state;
    if (*upload_size) { /* bodies are read and thrown away */
        *upload_size = 0;
        return MHD_YES;
    }
    if (!strcmp(url, "/ready")) {
        bool ready = access(UNREADY_FILE, F_OK) < 0;
        return reply(c, ready ? 200 : 503, strdup(ready ? "ready\n" : "not ready\n"));
    }
    json_t *json = describe(ctx, c, url);
    char *text = json_dumps(json, JSON_PRESERVE_ORDER);
    json_decref(json);
    size_t len = strlen(text);
    text = realloc(text, len + 2);
    memcpy(text + len, "\n", 2);
    return reply(c, 200, text);
}

static int listen_on(uint16_t port)
{
    struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    struct sockaddr_in any4 = { .sin_family = AF_INET, .sin_port = htons(port) };
    int on = 1, off = 0, fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool v6 = fd >= 0;
    if (!v6)
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (v6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, v6 ? (struct sockaddr *)&any : (struct sockaddr *)&any4,
             v6 ? sizeof any : sizeof any4) < 0 ||
        listen(fd, BACKEND_CONNECTIONS) < 0) {
        int code = -errno;
        close(fd);
        return code;
    }
    return fd;
}

int backend_run(const struct backend_options *o, struct err *e)
{
    struct backend_options opt = *o;
    sigset_t ends;
    const char *hostname = getenv("HOSTNAME");
    if (!opt.name)
        opt.name = hostname ? hostname : "?";
    /* Blocked before the server's thread exists, so that it is this thread that gets them. */
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    int fd = listen_on(opt.port);
    if (fd < 0)
        return err_set(e, fd, "cannot listen on port %u: %s", opt.port, strerror(-fd));
    struct MHD_Daemon *d = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD, opt.port, NULL, NULL, answer, &opt, MHD_OPTION_LISTEN_SOCKET,
        fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)BACKEND_CONNECTIONS,
        MHD_OPTION_CONNECTION_TIMEOUT, 10U, MHD_OPTION_END);
    if (!d)
        return err_set(e, ERR_REFUSED, "the web server does not start on port %u", opt.port);
    log_info("%s listens on port %u", opt.name, opt.port);
    int number;
    sigwait(&ends, &number);
    MHD_stop_daemon(d);
    return 0;
}
