/* `signpost dns`: the cluster DNS server, with the flags of the reference. */
#include "cmd/commands.h"
#include "cmd/corefile.h"
#include "cmd/dns_process.h"
#include "cmd/dns_why.h"

#include <linux/capability.h>
#include <string.h>

static const char *conf;
static bool list_plugins, version;

static int read_corefile(void *ctx, struct corefile **ret, struct err *e)
{
    const struct dns_process *p = ctx;
    return command_corefile(conf, (uint16_t)p->port, ret, e);
}

/* A reload may want another port below 1024. */
static struct dns_process process = { .port = 53,
                                      .guard.capabilities = 1ULL << CAP_NET_BIND_SERVICE,
                                      .corefile = read_corefile,
                                      .ctx = &process };

static const struct flag flags[] = {
    { "conf", FLAG_STRING, &conf, "FILE",
      "Corefile to load (default \"Corefile\"); stdin reads it "
      "from standard input." },
    { "plugins", FLAG_BOOL, &list_plugins, NULL, "List the plugins and exit." },
    { "version", FLAG_BOOL, &version, NULL, "Print the version and exit." },
    DNS_PROCESS_FLAGS(process),
    GUARD_FLAGS(process.guard),
};

static int run(int argc, char **argv)
{
    struct err e = { 0 };
    if (argc > 1 && strcmp(argv[1], "why") == 0)
        return dns_why_command(argc - 1, argv + 1);
    int left = 0, ret = flags_parse(&cmd_dns, flags, ARRAY_SIZE(flags), argc, argv, &left, &e);
    if (ret > 0)
        return 0;
    if (ret == 0 && left)
        ret = err_set(&e, ERR_INVALID, "extra command line arguments: [%s]", argv[0]);
    if (ret == 0)
        ret = dns_process_check(&process, &e);
    if (ret < 0) {
        (void)fprintf(stderr, "signpost dns: %s\n", e.text);
        return 2;
    }
    for (size_t i = 0; list_plugins && plugins[i]; i++)
        (void)printf("dns.%s\n", plugins[i]->name);
    if (version)
        (void)printf("signpost-%s\n", SIGNPOST_VERSION);
    if (list_plugins || version)
        return 0;
    ret = dns_process_run(&process, &e);
    if (ret < 0)
        (void)fprintf(stderr, "%s\n", e.text);
    return ret < 0 ? 1 : 0;
}

const struct command cmd_dns = {
    .name = "dns",
    .also = "coredns",
    .args = "",
    .summary = "The cluster DNS server: answers for Services, endpoints and pods.",
    .details =
        "Serves the blocks of a Corefile. Objects come from a folder of manifests "
        "(`manifests DIR` in the kubernetes block), which is watched.\n\n"
        "SIGTERM and SIGINT end it, after the lameduck time of `health`. SIGUSR1 and "
        "SIGHUP make it read its Corefile again. -takeover starts a process that follows the "
        "one at the control socket without losing a query. `signpost dns why NAME` asks the "
        "running server why a name gets its answer.",
    .run = run,
};
