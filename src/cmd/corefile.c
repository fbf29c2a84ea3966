#include "cmd/corefile.h"

#include "dns/plugin.h"

#include <string.h>

/* Plugins of the reference that this program does not have, with the reason a user should know. */
static const char *why_unsupported(const char *directive)
{
    static const char *const known[] = {
        "geoip",    "proxyproto", "quic",   "grpc_server", "https", "https3",  "trace",
        "pprof",    "shed",       "dnstap", "dnssec",      "tls",   "route53", "azure",
        "clouddns", "secondary",  "etcd",   "grpc",        "on",    "sign",    "nomad",
    };
    static char why[96];
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        if (strcmp(known[i], directive) != 0)
            continue;
        (void)snprintf(why, sizeof why, "plugin '%s' is not supported yet; take the line out",
                       known[i]);
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

int command_corefile(const char *path, uint16_t port, struct corefile **ret, struct err *e)
{
    static const char builtin[] = ". {\n    whoami\n    log\n}\n";
    static const char *names[128];
    plugin_names(names);
    struct corefile_options options = { .default_port = port,
                                        .directives = names,
                                        .why_unsupported = why_unsupported };
    if (path)
        return corefile_load(path, &options, ret, e);
    if (access("Corefile", F_OK) == 0)
        return corefile_load("Corefile", &options, ret, e);
    return corefile_parse(builtin, sizeof builtin - 1, "built-in", &options, ret, e);
}
