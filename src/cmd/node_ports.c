#include "cmd/node_ports.h"

#include <ifaddrs.h>

static bool is_in_range(const struct proxy_settings *s, const struct ip *ip)
{
    for (unsigned i = 0; i < s->n_node_port_ranges; i++)
        if (ip_prefix_contains(&s->node_port_ranges[i], ip))
            return true;
    return false;
}

static bool is_wanted(const struct proxy_settings *s, const struct ip *ip)
{
    if (!ip->family)
        return false;
    if (ip_is_loopback(ip))
        return ip->family == 4 && s->localhost_node_ports &&
               (s->node_ports_localhost || is_in_range(s, ip));
    return s->node_ports_all || is_in_range(s, ip);
}

void node_port_addresses(const struct proxy_settings *s, const struct ip primary[FAMILIES],
                         struct address_list *out)
{
    struct ifaddrs *all = NULL;
    for (unsigned f = 0; f < FAMILIES && s->node_ports_primary; f++)
        if (primary[f].family)
            vec_push(&out->ips, primary[f]);
    if (!s->n_node_port_ranges && !s->node_ports_all && !s->node_ports_localhost)
        return;
    if (getifaddrs(&all) < 0)
        return;
    for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
        struct ip ip = i->ifa_addr ? ip_of_sockaddr(i->ifa_addr) : (struct ip){ .family = 0 };
        if (is_wanted(s, &ip))
            vec_push(&out->ips, ip);
    }
    freeifaddrs(all);
}
