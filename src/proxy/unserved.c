#include "proxy/unserved.h"

#include <stdio.h>

static bool has_node_ports(const struct service *s)
{
    for (unsigned i = 0; i < s->n_ports; i++)
        if (s->ports[i].node_port)
            return true;
    return s->type == SERVICE_NODE_PORT;
}

static bool has_lb_addresses(const struct service *s)
{
    for (unsigned i = 0; i < s->n_ingress; i++)
        if (s->ingress[i].ip.family && !s->ingress[i].proxy_mode)
            return true;
    return false;
}

static bool has_hints(const struct slice_list *l)
{
    for (size_t i = 0; i < l->slices.n; i++)
        for (uint32_t k = 0; k < l->slices.items[i]->n_endpoints; k++)
            if (l->slices.items[i]->endpoints[k].n_hints)
                return true;
    return false;
}

unsigned unserved_features(const struct service *s, const struct slice_list *slices)
{
    unsigned node_ports = has_node_ports(s) ? FEATURE_NODE_PORTS : 0;
    unsigned external = s->n_external_ips ? FEATURE_EXTERNAL_IPS : 0;
    unsigned lb = has_lb_addresses(s) ? FEATURE_LB_ADDRESSES : 0;
    unsigned wanted = node_ports | external | lb;
    if (lb && s->n_source_ranges)
        wanted |= FEATURE_SOURCE_RANGES;
    if (s->external_local && wanted)
        wanted |= FEATURE_EXTERNAL_LOCAL;
    if (s->internal_local)
        wanted |= FEATURE_INTERNAL_LOCAL;
    if (s->affinity_seconds)
        wanted |= FEATURE_AFFINITY;
    if (has_hints(slices))
        wanted |= FEATURE_HINTS;
    return wanted;
}

const char *unserved_text(unsigned features, char *out, size_t size)
{
    static const char *const names[] = {
        "node ports",
        "external IPs",
        "load balancer addresses",
        "source ranges",
        "session affinity",
        "internalTrafficPolicy Local",
        "externalTrafficPolicy Local",
        "topology hints",
    };
    size_t n = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (features >> i & 1 && n < size)
            n += (size_t)snprintf(out + n, size - n, "%s%s", n ? ", " : "", names[i]);
    return out;
}
