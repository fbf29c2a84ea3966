/* `explain` from options to report: opens the objects, sets the DNS and the rules up over them, and
 * asks. What the commands `explain` and `trace` share. */
#pragma once

#include "cmd/explain_source.h"
#include "cmd/proxy_options.h"
#include "explain/explain.h"

struct explain_options {
    struct explain_objects_options objects;
    struct proxy_options proxy;
    const char *proxy_config, *mode, *as, *at, *protocol, *cluster_domain, *host_resolv,
        *host_hosts;
    struct flag_list cluster_dns, outside;
    const char *corefile, *node_rules, *connections, *resolv_conf; /* files; or NULL */
    struct explain_around around; /* what is not to be read from a file */
};

/* Everything as without flags: no objects yet. */
void explain_options_defaults(struct explain_options *ret);
/* from, to: as the command takes them. take() is called once, on success; the report is gone when
 * it returns. */
int explain_run(const struct explain_options *o, const char *from, const char *to,
                void (*take)(void *ctx, const struct explain_report *r), void *ctx, struct err *e);
