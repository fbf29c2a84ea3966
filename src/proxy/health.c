#include "proxy/health.h"

#include "base/clock.h"
#include "base/mem.h"

#include <errno.h>
#include <microhttpd.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define HTTP_CONNECTIONS_MAX 64
#define HTTP_TIMEOUT_S       10

struct health_server {
    struct health *health;
    enum health_role role;
    struct MHD_Daemon *daemon;
};

void health_init(struct health *h, struct proxy_metrics *m, const char *mode, int64_t timeout_ns)
{
    *h = (struct health){ .metrics = m, .mode = mode, .timeout_ns = timeout_ns };
    pthread_mutex_init(&h->lock, NULL);
    for (unsigned f = 0; f < FAMILIES; f++)
        h->family[f].updated_ns = clock_unix_ns(); /* a proxy that starts is healthy */
}

void health_done(struct health *h)
{
    pthread_mutex_destroy(&h->lock);
}

void health_without(struct health *h, unsigned family)
{
    pthread_mutex_lock(&h->lock);
    h->family[family] = (struct family_health){ .unused = true };
    pthread_mutex_unlock(&h->lock);
}

void health_queued(struct health *h)
{
    pthread_mutex_lock(&h->lock);
    for (unsigned f = 0; f < FAMILIES; f++) {
        if (h->family[f].unused)
            continue;
        if (!h->family[f].queued_ns)
            h->family[f].queued_ns = clock_ns();
        h->metrics->last_queued_ms[f] = (uint64_t)clock_unix_ns() / 1000000;
    }
    pthread_mutex_unlock(&h->lock);
}

void health_updated(struct health *h, unsigned family)
{
    pthread_mutex_lock(&h->lock);
    h->family[family].queued_ns = 0;
    h->family[family].updated_ns = clock_unix_ns();
    pthread_mutex_unlock(&h->lock);
}

void health_node(struct health *h, bool leaving)
{
    pthread_mutex_lock(&h->lock);
    h->node_leaving = leaving;
    pthread_mutex_unlock(&h->lock);
}

/* RFC 3339 with nanoseconds, as the original's clients expect. */
static void print_time(struct strbuf *out, const char *name, int64_t ns)
{
    time_t s = ns / 1000000000;
    struct tm tm;
    char text[32];
    gmtime_r(&s, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    strbuf_printf(out, "\"%s\": \"%s.%09dZ\"", name, text, (int)(ns % 1000000000));
}

static bool is_healthy(const struct health *h, const struct family_health *f)
{
    return !f->queued_ns || clock_ns() - f->queued_ns <= h->timeout_ns;
}

bool health_is_good(struct health *h)
{
    pthread_mutex_lock(&h->lock);
    bool good = is_healthy(h, &h->family[0]) && is_healthy(h, &h->family[1]);
    pthread_mutex_unlock(&h->lock);
    return good;
}

static const char *word(bool b)
{
    return b ? "true" : "false";
}

int health_answer(struct health *h, bool ready, struct strbuf *out)
{
    pthread_mutex_lock(&h->lock);
    bool ok[FAMILIES], healthy = true;
    int64_t oldest = INT64_MAX;
    for (unsigned f = 0; f < FAMILIES; f++) {
        ok[f] = is_healthy(h, &h->family[f]);
        healthy &= ok[f];
        if (!h->family[f].unused)
            oldest = MIN(oldest, h->family[f].updated_ns);
    }
    bool good = healthy && !(ready && h->node_leaving);
    int64_t now = clock_unix_ns();
    strbuf_puts(out, "{");
    print_time(out, "lastUpdated", good ? now : oldest);
    strbuf_puts(out, ", ");
    print_time(out, "currentTime", now);
    if (ready)
        strbuf_printf(out, ", \"nodeEligible\": %s", word(!h->node_leaving));
    strbuf_printf(out, ", \"healthy\": %s, \"status\": {", word(healthy));
    const char *between = "";
    for (unsigned f = 0; f < FAMILIES; f++) {
        if (h->family[f].unused)
            continue;
        strbuf_printf(out, "%s\"%s\": {", between, family_names[f]);
        between = ", ";
        print_time(out, "lastUpdated", h->family[f].updated_ns);
        strbuf_printf(out, ", \"healthy\": %s}", word(ok[f]));
    }
    strbuf_puts(out, "}}\n");
    pthread_mutex_unlock(&h->lock);
    return good ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
}

static enum MHD_Result reply(struct MHD_Connection *c, int status, const char *type,
                             struct strbuf *body)
{
    struct MHD_Response *r =
        MHD_create_response_from_buffer(body->len, body->p, MHD_RESPMEM_MUST_COPY);
    if (!r)
        return MHD_NO;
    MHD_add_response_header(r, "Content-Type", type);
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    enum MHD_Result ret = MHD_queue_response(c, (unsigned)status, r);
    MHD_destroy_response(r);
    return ret;
}

static int probe(struct health *h, const char *path, const char **ret_type, struct strbuf *out)
{
    bool ready = strcmp(path, "/healthz") == 0;
    if (!ready && strcmp(path, "/livez") != 0)
        return MHD_HTTP_NOT_FOUND;
    *ret_type = "application/json";
    int status = health_answer(h, ready, out);
    metric_add((ready ? h->metrics->healthz : h->metrics->livez)[status != MHD_HTTP_OK], 1);
    return status;
}

static int metrics_page(struct health *h, const char *path, const char **ret_type,
                        struct strbuf *out)
{
    if (strcmp(path, "/metrics") == 0) {
        *ret_type = "text/plain; version=0.0.4; charset=utf-8";
        metric_print(out);
    } else if (strcmp(path, "/proxyMode") == 0) {
        strbuf_puts(out, h->mode);
    } else if (strcmp(path, "/healthz") == 0) {
        strbuf_puts(out, "ok");
    } else {
        return MHD_HTTP_NOT_FOUND;
    }
    return MHD_HTTP_OK;
}

static enum MHD_Result answer(void *ctx, struct MHD_Connection *c, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **con)
{
    struct health_server *s = ctx;
    (void)method;
    (void)version;
    (void)upload;
    if (!*con) { /* the headers; a body, if any, is read and dropped */
        *con = s;
        return MHD_YES;
    }
    if (*upload_size) {
        *upload_size = 0;
        return MHD_YES;
    }
    struct strbuf body = { 0 };
    const char *type = "text/plain; charset=utf-8";
    int status = s->role == HEALTH_PROBES ? probe(s->health, url, &type, &body)
                                          : metrics_page(s->health, url, &type, &body);
    if (status == MHD_HTTP_NOT_FOUND)
        strbuf_puts(&body, "404 page not found\n");
    enum MHD_Result ret = reply(c, status, type, &body);
    strbuf_done(&body);
    return ret;
}

int health_serve(struct health *h, enum health_role role, const struct ip *ip, uint16_t port,
                 struct health_server **ret, struct err *e)
{
    struct sockaddr_storage sa;
    char text[IP_TEXT_MAX];
    ip_to_sockaddr(ip, port, &sa);
    struct health_server *s = xcalloc(1, sizeof *s);
    *s = (struct health_server){ .health = h, .role = role };
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | (ip->family == 6 ? MHD_USE_IPv6 : 0);
    errno = 0;
    s->daemon = MHD_start_daemon(flags, port, NULL, NULL, answer, s, MHD_OPTION_SOCK_ADDR, &sa,
                                 MHD_OPTION_CONNECTION_LIMIT, HTTP_CONNECTIONS_MAX,
                                 MHD_OPTION_CONNECTION_TIMEOUT, HTTP_TIMEOUT_S, MHD_OPTION_END);
    if (!s->daemon) {
        int code = errno ? -errno : -EADDRINUSE;
        free(s);
        return err_set(e, code, "listen tcp %s port %u: %s", ip_text(ip, text), port,
                       err_str(code));
    }
    *ret = s;
    return 0;
}

void health_stop(struct health_server *s)
{
    if (!s)
        return;
    MHD_stop_daemon(s->daemon);
    free(s);
}
