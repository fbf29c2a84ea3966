/* What the API server would refuse of a Pod's name service: dnsPolicy, dnsConfig, hostAliases and
 * names; and what it takes, but does not do what was meant. Source: Kubernetes' validation of Pods,
 * as of 1.34 (KEP-4427 included). */
#pragma once

#include "base/arena.h"
#include "client/pod_dns.h"

/* Each sentence begins with the field's path, "spec.dnsConfig.nameservers[0]: ...", or with whose
 * it is: "its resolv.conf: ...". */
typedef void pod_problem_fn(void *ctx, const char *text);

/* strict_searches: as before KEP-4427, without underscores and '.'. */
void pod_dns_check(const struct pod_dns *p, bool strict_searches, pod_problem_fn *fn, void *ctx);

/* Of a Pod with dnsConfig: what the kubelet would cut of its resolv.conf, and what resolvers make
 * of the rest, as resolvconf_lint() tells it. Nothing of a Pod that gets the node's file. */
void pod_dns_lint(const struct pod_dns *p, struct arena *a, pod_problem_fn *fn, void *ctx);
