#include "client/pod_dns.h"

#include <string.h>

/* At most POD_HOSTNAME_MAX bytes, and then no "-" or "." at the end. */
static int cut_hostname(const char *name, struct arena *a, struct pod_names *n, struct err *e)
{
    size_t len = strlen(name);
    n->cut = len > POD_HOSTNAME_MAX;
    if (n->cut) {
        len = POD_HOSTNAME_MAX;
        while (len > 0 && (name[len - 1] == '-' || name[len - 1] == '.'))
            len--;
    }
    if (len == 0)
        return err_set(e, ERR_INVALID, "hostname \"%s\" has nothing left when cut to %d bytes",
                       name, POD_HOSTNAME_MAX);
    n->hostname = arena_strndup(a, name, len);
    return 0;
}

static const char *pod_domain(const struct pod_dns *p, const char *cluster_domain, struct arena *a)
{
    if (!text_given(p->subdomain) || text_given(p->hostname_override))
        return "";
    return arena_printf(a, "%s.%s.svc.%s", p->subdomain, p->namespace,
                        cluster_domain ? cluster_domain : "");
}

int pod_names_build(const struct pod_dns *p, const char *cluster_domain, struct arena *a,
                    struct pod_names *ret, struct err *e)
{
    struct pod_names n = { 0 };
    const char *name = text_given(p->hostname_override) ? p->hostname_override
                       : text_given(p->hostname)        ? p->hostname
                                                        : p->name;
    int rc = cut_hostname(name, a, &n, e);
    if (rc < 0)
        return rc;
    n.domain = pod_domain(p, cluster_domain, a);
    n.nodename = n.hostname;
    if (p->hostname_as_fqdn && *n.domain) {
        n.nodename = arena_printf(a, "%s.%s", n.hostname, n.domain);
        size_t len = strlen(n.nodename);
        if (len > POD_NODENAME_MAX)
            return err_set(
                e, ERR_LIMIT,
                "FQDN %s is too long (%d characters is the max, %zu characters requested)",
                n.nodename, POD_NODENAME_MAX, len);
    }
    if (p->host_network)
        n.nodename = NULL;
    *ret = n;
    return 0;
}
