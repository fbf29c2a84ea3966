/* The proxy's rules apart from its daemon: as text for people, and what they need around them. */
#pragma once

#include "cmd/proxy_options.h"
#include "kernel/iptables.h"
#include "proxy/model.h"

/* All rules of both families, as nft or iptables-restore would read them. The model is fresh. */
void proxy_rules_print(const struct model *m, const struct proxy_settings *s,
                       const struct surroundings *around, struct strbuf *out);

/* Iptables mode: finds the programs that this host uses, makes the counters that rules name, sets
 * route_localnet where node ports are open at loopback addresses, and registers metrics. */
const struct iptables_backend *proxy_rules_prepare(const struct proxy_settings *s,
                                                   void (*warn)(void *ctx, const char *text),
                                                   struct chain_options ret[FAMILIES]);
