/* The address families that rules are written for: both, where both can be. A host without
 * ip6tables, or a kernel without IPv6, is no reason to do nothing for IPv4. Source: kube-proxy's
 * platformCheckSupported. */
#pragma once

#include "base/ip.h"
#include "kernel/iptables.h"
#include "proxy/metrics.h"

/* backend: NULL in nftables mode, where the program knows both. addresses: of this node; its first
 * family is IPv4, unless it has an IPv6 address only, and without that one there is nothing to be
 * done: a failure, with the reason in e. proc: "/proc" (another folder in tests). warn: one
 * sentence when one is left out. */
int families_find(const struct iptables_backend *backend, const struct ip addresses[FAMILIES],
                  const char *proc, void (*warn)(void *ctx, const char *text), void *ctx,
                  bool ret[FAMILIES], struct err *e);
