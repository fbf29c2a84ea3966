/* What every cluster has from its first moment: the namespaces, and the Service kubernetes with its
 * endpoints, which lead to this API. */
#pragma once

#include "base/ip.h"
#include "registry/registry.h"

/* Writes what is missing. ip, port: where clients inside the cluster reach us; without an address
 * (family 0), or with a loopback one, there are no endpoints. */
int bootstrap(struct registry *r, const struct ip *ip, uint16_t port, struct err *e);
