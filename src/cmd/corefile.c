#include "cmd/corefile.h"

#include "dns/plugin.h"

#include <string.h>

/* Plugins of the reference that this program does not have: why, and what to do instead. */
static const struct {
    const char *name, *why;
} unsupported[] = {
    { "azure", "cloud providers' zones are not read; serve an export with 'file', or 'forward' to "
               "their name servers" },
    { "clouddns", "cloud providers' zones are not read; serve an export with 'file', or 'forward' "
                  "to their name servers" },
    { "route53", "cloud providers' zones are not read; serve an export with 'file', or 'forward' "
                 "to their name servers" },
    { "nomad", "Nomad's services are not read; 'forward' its zone to Consul or Nomad" },
    { "grpc", "DNS over gRPC is not spoken; use 'forward' with tls:// addresses" },
    { "grpc_server", "DNS over gRPC is not spoken; serve tls:// instead" },
    { "quic", "DNS over QUIC is not spoken; serve tls:// instead" },
    { "https3", "HTTP/3 is not spoken; serve tls:// instead" },
    { "proxyproto", "the PROXY protocol is not spoken; let the balancer keep clients' addresses" },
    { "shed", "every queue of this server is bounded as it is; take the line out" },
    { "pprof", "there is no Go runtime to profile; use 'perf' on the process" },
    { "trace", "no spans are sent; 'log', 'dnstap' and 'prometheus' show queries" },
    { "on", "no commands are run; let the service manager run them" },
};

static const char *why_unsupported(const char *directive)
{
    static char why[192];
    for (size_t i = 0; i < ARRAY_SIZE(unsupported); i++) {
        if (strcmp(unsupported[i].name, directive) != 0)
            continue;
        (void)snprintf(why, sizeof why, "plugin '%s' is not supported: %s", directive,
                       unsupported[i].why);
        return why;
    }
    return NULL;
}

static void plugin_names(const char **out)
{
    size_t n = 0;
    for (; plugins[n]; n++)
        out[n] = plugins[n]->name;
    out[n] = NULL;
}

int command_corefile_lenient(const char *path, struct corefile **ret, struct err *e)
{
    struct corefile_options options = { .default_port = 53 };
    return corefile_load(path, &options, ret, e);
}

size_t command_unknown_directives(const struct corefile *c,
                                  void (*problem)(void *ctx, const char *text), void *ctx)
{
    size_t n = 0;
    char text[512];
    for (size_t b = 0; b < c->n_blocks; b++) {
        for (size_t i = 0; i < c->blocks[b].n_directives; i++) {
            const struct directive *d = &c->blocks[b].directives[i];
            if (plugin_find(d->name))
                continue;
            const char *why = why_unsupported(d->name);
            (void)snprintf(text, sizeof text, "%s:%d - Error during parsing: %s%s%s",
                           d->tokens[0].file, d->tokens[0].line, why ? why : "Unknown directive '",
                           why ? "" : d->name, why ? "" : "'");
            problem(ctx, text);
            n++;
        }
    }
    return n;
}

void command_corefile_options(struct corefile_options *ret, uint16_t port)
{
    static const char *names[128];
    plugin_names(names);
    *ret = (struct corefile_options){ .default_port = port,
                                      .directives = names,
                                      .why_unsupported = why_unsupported };
}

int command_corefile(const char *path, uint16_t port, struct corefile **ret, struct err *e)
{
    static const char builtin[] = ". {\n    whoami\n    log\n}\n";
    struct corefile_options options;
    command_corefile_options(&options, port);
    if (path)
        return corefile_load(path, &options, ret, e);
    if (access("Corefile", F_OK) == 0)
        return corefile_load("Corefile", &options, ret, e);
    return corefile_parse(builtin, sizeof builtin - 1, "built-in", &options, ret, e);
}
