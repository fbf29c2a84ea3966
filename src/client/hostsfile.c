#include "client/hostsfile.h"

#include <string.h>
#include <strings.h>

static void add_aliases(struct strbuf *b, const struct pod_dns *p)
{
    if (p->n_aliases == 0)
        return;
    strbuf_puts(b, "\n# Entries added by HostAliases.\n");
    for (size_t i = 0; i < p->n_aliases; i++) {
        const struct host_alias *alias = &p->aliases[i];
        strbuf_puts(b, alias->ip);
        for (size_t j = 0; j < alias->names.n; j++)
            strbuf_printf(b, "\t%s", alias->names.items[j]);
        strbuf_putc(b, '\n');
    }
}

/* The two lines of ip6-localnet and ip6-mcastprefix are what the kubelet has always written, though
 * fe00:: is neither; files are compared byte by byte. */
static void add_pod_network(struct strbuf *b, const struct pod_dns *p,
                            const struct pod_names *names)
{
    strbuf_puts(b, "# Kubernetes-managed hosts file.\n"
                   "127.0.0.1\tlocalhost\n"
                   "::1\tlocalhost ip6-localhost ip6-loopback\n"
                   "fe00::0\tip6-localnet\n"
                   "fe00::0\tip6-mcastprefix\n"
                   "fe00::1\tip6-allnodes\n"
                   "fe00::2\tip6-allrouters\n");
    for (size_t i = 0; i < p->ips.n; i++) {
        strbuf_puts(b, p->ips.items[i]);
        if (*names->domain)
            strbuf_printf(b, "\t%s.%s", names->hostname, names->domain);
        strbuf_printf(b, "\t%s\n", names->hostname);
    }
}

const char *hostsfile_text(const struct pod_dns *p, const struct pod_names *names,
                           const char *node_text, struct arena *a)
{
    cleanup(strbuf_done) struct strbuf b = { 0 };
    if (p->host_network) {
        strbuf_puts(&b, "# Kubernetes-managed hosts file (host network).\n");
        strbuf_puts(&b, node_text ? node_text : "");
    } else {
        add_pod_network(&b, p, names);
    }
    add_aliases(&b, p);
    return arena_strdup(a, b.p);
}

bool hostsfile_managed(const struct pod_dns *p, const char *container)
{
    return !strlist_have(&p->own_hosts, container) && (p->host_network || p->ips.n > 0);
}
