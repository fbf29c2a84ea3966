#include "endpoints/pod_offer.h"

#include "base/str.h"
#include "endpoints/ports.h"

#include <stdlib.h>

/* The number behind a named target: the first container port of that name and protocol; 0: none. */
static uint16_t target_of(const struct service_port *p, const struct pod *pod)
{
    if (!p->target_name)
        return p->target_port;
    for (uint16_t i = 0; i < pod->n_ports; i++)
        if (pod->ports[i].protocol == p->protocol && str_eq(pod->ports[i].name, p->target_name))
            return pod->ports[i].port;
    return 0;
}

uint16_t pod_ports_for(const struct service *s, const struct pod *pod, struct arena *a,
                       const struct slice_port **ret)
{
    struct slice_port *ports = arena_alloc(a, (s->n_ports + 1) * sizeof *ports);
    uint16_t n = 0;
    for (uint16_t i = 0; i < s->n_ports; i++) {
        const struct service_port *p = &s->ports[i];
        uint16_t number = target_of(p, pod);
        if (number)
            ports[n++] = (struct slice_port){ .name = p->name,
                                              .app_protocol = p->app_protocol,
                                              .port = number,
                                              .protocol = p->protocol };
    }
    qsort(ports, n, sizeof *ports, port_compare);
    *ret = ports;
    return n;
}

const struct ip *pod_ip_of(const struct pod *pod, uint8_t family)
{
    for (uint8_t i = 0; i < pod->n_ips; i++)
        if (pod->ips[i].family == family)
            return &pod->ips[i];
    return NULL;
}

const char *pod_hostname_in(const struct service *s, const struct pod *pod)
{
    if (pod->hostname && str_eq(pod->subdomain, s->object.meta.name))
        return pod->hostname;
    return "";
}

bool service_has_named_targets(const struct service *s)
{
    for (uint16_t i = 0; i < s->n_ports; i++)
        if (s->ports[i].target_name)
            return true;
    return false;
}

unsigned service_families(const struct service *s, uint8_t ret[2])
{
    unsigned n = 0;
    for (; n < 2 && s->families[n]; n++)
        ret[n] = s->families[n];
    if (n)
        return n;
    for (; n < 2 && n < s->n_cluster_ips; n++)
        ret[n] = s->cluster_ips[n].family;
    if (n)
        return n;
    ret[0] = 4;
    ret[1] = 6;
    return s->headless ? 2 : 1;
}
