/* `signpost proxy`: the service proxy, with the flags and the configuration file of kube-proxy. */
#include "base/file.h"
#include "base/log.h"
#include "cmd/commands.h"
#include "cmd/proxy_process.h"
#include "cmd/proxy_tables.h"
#include "loop/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static void on_warning(void *ctx, const char *text)
{
    (void)ctx;
    log_warning("%s", text);
}

static void on_signal(uv_signal_t *s, int number)
{
    (void)number;
    uv_stop(s->loop);
}

static void set_oom_score(long score)
{
    char text[16];
    int n = snprintf(text, sizeof text, "%ld", score);
    cleanup_close int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, (size_t)n) != n)
        log_info("oom_score_adj stays as it is, %ld was wanted: %s", score, err_str(-errno));
}

static int serve(struct proxy_process *p, struct err *e)
{
    uv_signal_t term, interrupt;
    uv_signal_init(p->loop, &term);
    uv_signal_init(p->loop, &interrupt);
    uv_signal_start(&term, on_signal, SIGTERM);
    uv_signal_start(&interrupt, on_signal, SIGINT);
    set_oom_score(p->options.oom_score_adj);
    proxy_process_serve(p);
    uv_run(p->loop, UV_RUN_DEFAULT); /* at once over if it was stopped already */
    uv_close((uv_handle_t *)&term, NULL);
    uv_close((uv_handle_t *)&interrupt, NULL);
    uv_run(p->loop, UV_RUN_NOWAIT);
    return p->failed ? err_set(e, ERR_INVALID, "ended because of the error above") : 0;
}

static int work(struct proxy_process *p, struct err *e)
{
    uv_loop_t loop;
    uv_loop_init(&loop);
    int ret = proxy_process_open(p, &loop, e);
    if (ret == 0 && p->options.print)
        ret = proxy_process_print(p, e);
    else if (ret == 0 && p->options.oneshot)
        ret = proxy_process_once(p, e);
    else if (ret == 0)
        ret = serve(p, e);
    proxy_process_close(p);
    loop_done(&loop);
    proxy_process_free(p);
    return ret;
}

static int act(struct proxy_process *p, struct err *e)
{
    if (p->options.cleanup)
        return proxy_tables_remove(p->options.any_mode, p->settings.mode, e);
    if (*p->options.write_config_to)
        return proxy_config_write(&p->options, e);
    if (!p->options.init_only)
        return work(p, e);
    tune_apply(&p->options.tuning, "/proc/sys", on_warning, NULL);
    return 0;
}

static int run(int argc, char **argv)
{
    static struct proxy_process p; /* metrics are read until the process ends */
    struct err e = { 0 };
    log_set_fd(2);
    log_set_level(LOG_INFO);
    int ret = proxy_options_read(argc, argv, &p.options, on_warning, &e);
    if (ret > 0)
        return 0;
    log_set_level(p.options.verbosity >= 2 ? LOG_DEBUG : LOG_INFO);
    if (ret == 0)
        ret = proxy_settings_of(&p.options, &p.settings, &e);
    if (ret < 0) {
        (void)fprintf(stderr, "signpost proxy: %s\n", e.text);
        return 2;
    }
    ret = act(&p, &e);
    if (ret < 0)
        (void)fprintf(stderr, "signpost proxy: %s\n", e.text);
    return ret < 0 ? 1 : 0;
}

const struct command cmd_proxy = {
    .name = "proxy",
    .also = "kube-proxy",
    .args = "",
    .summary = "The service proxy: cluster IPs, node ports and load balancer addresses of "
               "Services, by nftables or iptables rules.",
    .details =
        "Follows an API server or folders of manifests and keeps the nftables tables `ip signpost` "
        "and `ip6 signpost` in line with their Services and EndpointSlices. The rules are always "
        "the same; only map elements change, so that thousands of Services cost a connection no "
        "more than one. In iptables mode it writes the chains that people know from kube-proxy.\n\n"
        "Served are cluster IPs, node ports, external IPs and load balancer addresses with source "
        "ranges, over TCP, UDP and SCTP, in IPv4 and IPv6, with session affinity, traffic policies "
        "and topology hints.\n\n"
        "SIGTERM and SIGINT end it; the rules stay and go on working. --cleanup removes them. "
        "--print and --oneshot work without a daemon, --print also without any right.",
    .run = run,
};
