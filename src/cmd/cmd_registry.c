/* `signpost registry`: the part of the Kubernetes API that service discovery and service networking
 * need, for kubectl and everything else that speaks it. */
#include "base/log.h"
#include "base/mem.h"
#include "cmd/commands.h"
#include "cmd/registry_process.h"
#include "loop/loop.h"
#include "loop/notify.h"
#include "net/accept.h"

#include <signal.h>

static struct registry_process process = REGISTRY_DEFAULTS; /* metrics are read to the end */
static long verbosity;

static const struct flag flags[] = {
    REGISTRY_FLAGS(process),
    { "v", FLAG_INT, &verbosity, "N", "2 and above: more is logged." },
};

static void on_signal(uv_signal_t *s, int number)
{
    (void)number;
    uv_stop(s->loop);
}

static int work(struct err *e)
{
    uv_loop_t loop;
    uv_signal_t term, interrupt;
    uv_loop_init(&loop);
    uv_signal_init(&loop, &term);
    uv_signal_init(&loop, &interrupt);
    uv_signal_start(&term, on_signal, SIGTERM);
    uv_signal_start(&interrupt, on_signal, SIGINT);
    int code = registry_process_open(&process, &loop, e);
    if (code == 0) {
        registry_process_announce(&process);
        notify_ready();
        uv_run(&loop, UV_RUN_DEFAULT);
        notify_stopping();
    }
    registry_process_close(&process);
    uv_run(&loop, UV_RUN_NOWAIT);
    loop_done(&loop);
    return code;
}

static int run(int argc, char **argv)
{
    struct err e = { 0 };
    int left = 0;
    int code = flags_parse(&cmd_registry, flags, ARRAY_SIZE(flags), argc, argv, &left, &e);
    if (code > 0)
        return 0;
    log_set_fd(2);
    log_set_level(verbosity >= 2 ? LOG_DEBUG : LOG_INFO);
    if (code == 0 && left)
        code = err_set(&e, ERR_INVALID, "unexpected argument \"%s\"", argv[0]);
    if (code == 0)
        code = registry_process_check(&process, &e);
    accept_init();
    mem_reserve();
    if (code == 0)
        code = work(&e);
    flag_list_done(&process.manifests);
    if (code < 0)
        (void)fprintf(stderr, "signpost registry: %s\n", e.text);
    return code < 0 ? 1 : 0;
}

const struct command cmd_registry = {
    .name = "registry",
    .args = "",
    .summary = "Serves a small Kubernetes API for services, pods and what belongs to them.",
    .details =
        "Namespaces, Nodes, Pods, Services, Endpoints, EndpointSlices, ConfigMaps, Events, "
        "ServiceAccounts and Leases, with all verbs, watches, patches, defaults, checks, cluster "
        "addresses and node ports as a Kubernetes API server has them; ServiceCIDRs and "
        "IPAddresses to read. kubectl, client libraries, CoreDNS, kube-proxy and signpost's own "
        "parts work with it.\n\n"
        "EndpointSlices and Endpoints of Services are made in this process, as `signpost "
        "controller` makes them on an API server; --controllers=false leaves that to others.\n\n"
        "What is acknowledged is on the disk. On the first start an authority, a certificate, "
        "tokens and two kubeconfig files are made beside the data: admin.conf may do all, "
        "reader.conf may read. Users are added to tokens.csv.\n\n"
        "SIGTERM and SIGINT end it.",
    .run = run,
};
