/* `ready [ADDR] { monitor until-ready|continuously }`: /ready says OK when every plugin is ready,
 * else 503 with the names of those that are not. */
#include "dns/plugin.h"

#include "net/http.h"

#include <string.h>

struct ready {
    const char *address;
    bool continuously;
    struct dns_config *config;
    struct http_server *http;
    _Atomic bool stopping;
};

static void ready_page(void *ctx, const char *path, struct http_reply *reply)
{
    struct ready *r = ctx;
    struct strbuf waiting = { 0 };
    if (strcmp(path, "/ready") != 0) {
        reply->status = 404;
    } else if (r->stopping) {
        reply->status = 503;
        strbuf_puts(&reply->body, "Shutting down");
    } else if (dns_config_ready(r->config, !r->continuously, &waiting)) {
        strbuf_puts(&reply->body, "OK");
    } else {
        reply->status = 503;
        strbuf_puts(&reply->body, waiting.p);
        log_info("plugin/ready: Plugins not ready: \"%s\"", waiting.p);
    }
    strbuf_done(&waiting);
}

static int ready_start(void *conf, struct err *e)
{
    struct ready *r = conf;
    return http_server_open(r->address, ready_page, r, &r->http, e);
}

static long long ready_lameduck(void *conf)
{
    struct ready *r = conf;
    r->stopping = true;
    return 0;
}

static void ready_stop(void *conf)
{
    struct ready *r = conf;
    http_server_close(r->http);
}

static int read_monitor(struct ready *r, struct dispenser *d, struct err *e)
{
    if (strcmp(dispenser_val(d), "monitor") != 0)
        return dispenser_unknown(d, e);
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    r->continuously = strcmp(dispenser_val(d), "continuously") == 0;
    if (!r->continuously && strcmp(dispenser_val(d), "until-ready") != 0)
        return dispenser_err(d, e, "monitor is until-ready or continuously, not '%s'",
                             dispenser_val(d));
    return dispenser_next_arg(d) ? dispenser_arg_err(d, e) : 0;
}

static int ready_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    struct ready *r = arena_zalloc(setup_arena(s), sizeof *r);
    r->address = ":8181";
    r->config = setup_config(s);
    dispenser_next_directive(d);
    if (dispenser_next_arg(d)) {
        r->address = dispenser_val(d);
        if (!strchr(r->address, ':'))
            return dispenser_err(d, e, "address %s: missing port in address", r->address);
        if (dispenser_next_arg(d))
            return dispenser_arg_err(d, e);
    }
    while (dispenser_next_block(d)) {
        int ret = read_monitor(r, d, e);
        if (ret < 0)
            return ret;
    }
    setup_start(s, ready_start, r);
    setup_lameduck(s, ready_lameduck, r);
    setup_stop(s, ready_stop, r);
    return 0;
}

const struct plugin plugin_ready = { .name = "ready", .setup = ready_setup, .outward = true };
