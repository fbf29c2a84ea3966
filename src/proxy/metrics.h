/* The proxy's metrics: the names of kube-proxy where the meaning is the same, and our own. Counted
 * on the control thread, read by the scraping thread. */
#pragma once

#include "base/metric.h"

#define FAMILIES 2 /* 0: IPv4, 1: IPv6 */

enum proxy_mode { MODE_NFTABLES, MODE_IPTABLES };
extern const char *const proxy_mode_names[]; /* "nftables", "iptables" */

struct proxy_metrics {
    struct histogram sync[FAMILIES], full_sync[FAMILIES], partial_sync[FAMILIES];
    struct histogram programming[FAMILIES]; /* trigger time of an endpoint change to the kernel */
    struct histogram latency;               /* object change seen to kernel */
    struct histogram transaction[FAMILIES]; /* elements of one transaction */
    metric failures[FAMILIES], services_total, endpoints_total;
    metric partial_failures[FAMILIES]; /* iptables: of a restore of changes only */
    _Atomic uint64_t table_rules[FAMILIES][2], table_written[FAMILIES][2]; /* filter, nat */
    struct histogram stale_sync[FAMILIES]; /* clean-up of UDP flows */
    metric stale_deleted[FAMILIES];
    _Atomic uint64_t no_local[FAMILIES][2];                            /* internal, external */
    metric healthz[2], livez[2];                                       /* 0: 200, 1: 503 */
    _Atomic uint64_t last_sync_ms[FAMILIES], last_queued_ms[FAMILIES]; /* Unix ms */
    _Atomic uint64_t elements[FAMILIES], rules[FAMILIES], chains[FAMILIES];
    _Atomic uint64_t services, vips, backends, refused;
    _Atomic uint64_t services_pending, endpoints_pending;
};

extern const char *const family_names[FAMILIES]; /* "IPv4", "IPv6" */

static inline unsigned family_index(uint8_t family)
{
    return family == 6;
}

/* Registers everything that the mode has; m must live as long as the process. */
void proxy_metrics_init(struct proxy_metrics *m, enum proxy_mode mode);
/* Iptables mode: packets that the kernel counts by these names (kernel/nfacct.h). */
void proxy_metrics_packets(const char *invalid, const char *localhost);
