/* What the API server would refuse of a Pod's name service: dnsPolicy, dnsConfig, hostAliases and
 * names. Source: Kubernetes' validation of Pods, as of 1.34 (KEP-4427 included). */
#pragma once

#include "client/pod_dns.h"

/* Each sentence begins with the field's path: "spec.dnsConfig.nameservers[0]: ...". */
typedef void pod_problem_fn(void *ctx, const char *text);

/* strict_searches: as before KEP-4427, without underscores and '.'. */
void pod_dns_check(const struct pod_dns *p, bool strict_searches, pod_problem_fn *fn, void *ctx);
