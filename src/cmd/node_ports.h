/* Where node ports are open: which addresses of this machine `--nodeport-addresses` means. */
#pragma once

#include "base/vec.h"
#include "cmd/proxy_options.h"

struct address_list {
    VEC(struct ip) ips;
};

/* Appends the addresses, loopback ones only where node ports are wanted there. primary: the node's,
 * as far as known. */
void node_port_addresses(const struct proxy_settings *s, const struct ip primary[FAMILIES],
                         struct address_list *out);
