/* `health [ADDR] { lameduck DURATION }`: /health says OK while the process lives. */
#include "dns/plugins/health.h"

#include "dns/plugin.h"

#include "net/http.h"

#include <string.h>

struct health {
    const char *address;
    long long lameduck_ns;
    struct http_server *http;
    uv_loop_t *loop;
    struct health_poll *poll;
};

static void health_page(void *ctx, const char *path, struct http_reply *reply)
{
    (void)ctx;
    if (strcmp(path, "/health") == 0)
        strbuf_puts(&reply->body, "OK");
    else
        reply->status = 404;
}

static int health_start(void *conf, struct err *e)
{
    struct health *h = conf;
    int ret = http_server_open(h->address, health_page, h, &h->http, e);
    if (ret == 0)
        h->poll = health_poll_new(h->loop, h->address);
    return ret;
}

/* Queries are answered all the while: whoever sent them here gets time to notice that we are going.
 */
static long long health_lameduck(void *conf)
{
    const struct health *h = conf;
    if (h->lameduck_ns > 0)
        log_info("plugin/health: Going into lameduck mode for %.3gs", (double)h->lameduck_ns / 1e9);
    return h->lameduck_ns;
}

static void health_stop(void *conf)
{
    struct health *h = conf;
    health_poll_close(h->poll);
    http_server_close(h->http);
}

static int read_lameduck(struct health *h, struct dispenser *d, struct err *e)
{
    if (strcmp(dispenser_val(d), "lameduck") != 0)
        return dispenser_arg_err(d, e);
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    if (str_to_duration(dispenser_val(d), &h->lameduck_ns) < 0)
        return dispenser_err(d, e, "lameduck is not a duration: %s", dispenser_val(d));
    return dispenser_next_arg(d) ? dispenser_arg_err(d, e) : 0;
}

static int health_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    struct health *h = arena_zalloc(setup_arena(s), sizeof *h);
    h->address = ":8080";
    h->loop = setup_loop(s);
    dispenser_next_directive(d);
    if (dispenser_next_arg(d)) {
        h->address = dispenser_val(d);
        if (!strchr(h->address, ':'))
            return dispenser_err(d, e, "address %s: missing port in address", h->address);
        if (dispenser_next_arg(d))
            return dispenser_arg_err(d, e);
    }
    while (dispenser_next_block(d)) {
        int ret = read_lameduck(h, d, e);
        if (ret < 0)
            return ret;
    }
    setup_start(s, health_start, h);
    setup_lameduck(s, health_lameduck, h);
    setup_stop(s, health_stop, h);
    return 0;
}

const struct plugin plugin_health = { .name = "health", .setup = health_setup, .outward = true };
