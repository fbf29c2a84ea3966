/* `reload [INTERVAL] [JITTER]`: looks every so often whether the Corefile has changed, and serves
 * the new one without losing a query. One setting a process: the last one counts. */
#include "dns/plugin.h"

#define INTERVAL_DEFAULT 30000000000LL /* ns */
#define INTERVAL_MIN     2000000000LL
#define JITTER_DEFAULT   15000000000LL
#define JITTER_MIN       1000000000LL

static int duration_arg(struct dispenser *d, const char *what, long long min, bool zero_allowed,
                        long long *ret_ns, struct err *e)
{
    if (str_to_duration(dispenser_val(d), ret_ns) < 0)
        return dispenser_err(d, e, "%s is not a duration: %s", what, dispenser_val(d));
    if (*ret_ns < min && !(zero_allowed && *ret_ns == 0))
        return dispenser_err(d, e, "%s value must be greater or equal to %llds", what,
                             min / 1000000000);
    return 0;
}

/* ---- which Corefile is served ---- */

static double one(void *ctx)
{
    (void)ctx;
    return 1;
}

static int show_version(void *conf, struct err *e)
{
    const struct corefile *c = conf;
    struct strbuf labels = { 0 };
    char hash[2 * sizeof c->sha512 + 1];
    (void)e;
    for (size_t i = 0; i < sizeof c->sha512; i++)
        (void)snprintf(hash + 2 * i, 3, "%02x", c->sha512[i]);
    metric_label(&labels, "hash", "sha512");
    metric_label(&labels, "value", hash);
    metric_gauge("coredns_reload_version_info",
                 "A metric with a constant '1' value, labelled by the hash of the Corefile.",
                 labels.p, one, conf);
    strbuf_done(&labels);
    return 0;
}

/* ---- set-up ---- */

static int reload_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    long long interval = INTERVAL_DEFAULT, jitter = JITTER_DEFAULT;
    int ret = 0;
    dispenser_next_directive(d);
    if (dispenser_next_arg(d))
        ret = duration_arg(d, "interval", INTERVAL_MIN, false, &interval, e);
    if (ret == 0 && dispenser_next_arg(d))
        ret = duration_arg(d, "jitter", JITTER_MIN, true, &jitter, e);
    if (ret == 0 && dispenser_next_arg(d))
        ret = dispenser_arg_err(d, e);
    if (ret == 0)
        ret = dispenser_end(d, e);
    if (ret < 0)
        return ret;
    if (dispenser_next_directive(d)) /* the reference does not look at it either */
        log_warning("plugin/reload: %s:%d: only the first 'reload' of a server block counts",
                    dispenser_token(d)->file, dispenser_token(d)->line);
    setup_reload(s, interval, MIN(jitter, interval / 2));
    void *corefile = (void *)(uintptr_t)setup_corefile(s);
    setup_start(s, show_version, corefile);
    setup_stop(s, metric_gauge_drop, corefile);
    return 0;
}

const struct plugin plugin_reload = { .name = "reload", .setup = reload_setup, .repeatable = true };
