/* The DNS server: a Corefile's blocks as compiled chains, listeners, and workers that serve them. */
#pragma once

#include "config/corefile.h"
#include "dns/plugin.h"

struct dns_server;

struct dns_options {
    unsigned workers;      /* 0: one a core that this process may use */
    uv_loop_t *loop;       /* the control thread's */
    /* Opens a folder source; the store belongs to the opener and outlives the server. */
    int (*open_source)(void *ctx, const char *const *dirs, size_t n, const char *range,
                       struct store **ret, struct err *e);
    void *ctx;
};

/* Sets every block up (nothing is opened but what plugins open themselves). The corefile must outlive
 * the server. On failure everything is undone. */
int dns_server_new(const struct corefile *c, const struct dns_options *options,
                   struct dns_server **ret, struct err *e);
/* Binds, starts plugins and workers. */
int dns_server_start(struct dns_server *s, struct err *e);
/* Lameduck hooks, then workers, then plugins end. Blocks for the lameduck time. */
void dns_server_free(struct dns_server *s);

/* One line a zone and listener: ".:53", "cluster.local.:53 on 10.0.0.1". */
void dns_server_print(const struct dns_server *s, struct strbuf *out);
/* The compiled chain of each zone (check --explain). */
void dns_server_explain(const struct dns_server *s, struct strbuf *out);
