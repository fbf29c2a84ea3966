/* What is around the Services of a proxy, for both families: the node's own addresses where node
 * ports are open, and the ranges that cluster IPs are taken from. Owned lists. */
#pragma once

#include "cmd/cluster.h"
#include "cmd/node_ports.h"
#include "cmd/proxy_options.h"
#include "proxy/model.h"
#include "proxy/ruleset.h"

typedef VEC(struct ip_prefix) range_list;

struct proxy_around {
    struct address_list node_ips;
    range_list ranges;
};

/* As told (--service-cluster-ip-range); else those of the ServiceCIDRs and, of a folder, those that
 * our own allocator gives addresses from. In order; *ret must be zero. */
void proxy_ranges_find(struct store *store, const struct proxy_settings *settings, bool from_folder,
                       range_list *ret);
/* All of it. *ret must be zero or done. */
void proxy_around_find(struct store *store, const struct model *model,
                       const struct proxy_settings *settings, bool from_folder,
                       struct proxy_around *ret);
bool proxy_around_equal(const struct proxy_around *a, const struct proxy_around *b);
/* Of the lists of a, which must stay. */
struct surroundings proxy_around_view(const struct proxy_around *a);
void proxy_around_done(struct proxy_around *a);
