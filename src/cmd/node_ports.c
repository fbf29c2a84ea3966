#include "cmd/node_ports.h"

#include <ifaddrs.h>

static bool is_wanted(const struct proxy_settings *s, const struct ip *ip)
{
    if (!ip->family || ip_is_loopback(ip))
        return false;
    for (unsigned i = 0; i < s->n_node_port_ranges; i++)
        if (ip_prefix_contains(&s->node_port_ranges[i], ip))
            return true;
    return s->node_ports_all;
}

void node_port_addresses(const struct proxy_settings *s, const struct ip primary[FAMILIES],
                         struct address_list *out)
{
    struct ifaddrs *all = NULL;
    for (unsigned f = 0; f < FAMILIES && s->node_ports_primary; f++)
        if (primary[f].family)
            vec_push(&out->ips, primary[f]);
    if ((!s->n_node_port_ranges && !s->node_ports_all) || getifaddrs(&all) < 0)
        return;
    for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
        struct ip ip = i->ifa_addr ? ip_of_sockaddr(i->ifa_addr) : (struct ip){ .family = 0 };
        if (is_wanted(s, &ip))
            vec_push(&out->ips, ip);
    }
    freeifaddrs(all);
}
