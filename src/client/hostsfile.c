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

/* The line's address for that family; of a mapped or loopback IPv6 address the C library makes an
 * IPv4 one when only IPv4 is wanted. */
static bool line_ip(const char *text, uint8_t family, struct ip *ret)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    struct ip ip;
    if (ip_parse(text, &ip) < 0)
        return false;
    if (family == 4 && ip.family == 6) {
        bool is_mapped = memcmp(ip.bytes, mapped, sizeof mapped) == 0;
        if (!is_mapped && !ip_is_loopback(&ip))
            return false;
        struct ip four = { .family = 4, .bytes = { 127, 0, 0, 1 } };
        if (is_mapped)
            memcpy(four.bytes, ip.bytes + 12, 4);
        ip = four;
    }
    *ret = ip;
    return family == 0 || family == ip.family;
}

static bool line_names(const struct strlist *fields, const char *name)
{
    for (size_t i = 1; i < fields->n; i++) {
        if (strcasecmp(fields->items[i], name) == 0)
            return true;
    }
    return false;
}

static void add_ip(struct hosts_match *m, const struct ip *ip)
{
    for (size_t i = 0; i < m->n; i++) {
        if (ip_equal(&m->ips[i], ip))
            return;
    }
    if (m->n < HOSTS_IPS_MAX)
        m->ips[m->n++] = *ip;
}

int hostsfile_find(const char *text, const char *name, uint8_t family, struct arena *a,
                   struct hosts_match *ret)
{
    struct hosts_match m = { 0 };
    while (*text) {
        size_t len = strcspn(text, "\n"), used = 0;
        while (used < len && text[used] != '#')
            used++;
        struct strlist fields = { 0 };
        struct ip ip;
        strlist_split(&fields, a, text, used, " \t\v\f\r");
        if (fields.n > 1 && line_names(&fields, name) && line_ip(fields.items[0], family, &ip)) {
            m.canonical = m.n ? m.canonical : fields.items[1];
            add_ip(&m, &ip);
        }
        text += len + (text[len] == '\n');
    }
    if (m.n == 0)
        return ERR_NOT_FOUND;
    *ret = m;
    return 0;
}
