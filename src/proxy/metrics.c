#include "proxy/metrics.h"

#include "base/mem.h"
#include "kernel/nfacct.h"

#include <stdio.h>
#include <string.h>

const char *const family_names[FAMILIES] = { "IPv4", "IPv6" };
const char *const proxy_mode_names[] = { "nftables", "iptables" };

#define MS 1000000ull
#define S  1000000000ull

static const uint64_t sync_bounds[] = {
    1 * MS,   2 * MS,   4 * MS,    8 * MS,    16 * MS,   32 * MS,   64 * MS,    128 * MS,
    256 * MS, 512 * MS, 1024 * MS, 2048 * MS, 4096 * MS, 8192 * MS, 16384 * MS,
};

static const uint64_t size_bounds[] = { 1, 2, 5, 10, 20, 50, 100, 1000, 10000, 100000, 1000000 };

#define PROGRAMMING_BOUNDS 80 /* 0.25, 0.5, 1..59, 60..115 step 5, 120..300 step 30 */
static uint64_t programming_bounds[PROGRAMMING_BOUNDS];

static unsigned fill_programming_bounds(void)
{
    unsigned n = 0;
    programming_bounds[n++] = S / 4;
    programming_bounds[n++] = S / 2;
    for (uint64_t s = 1; s < 60; s++)
        programming_bounds[n++] = s * S;
    for (uint64_t s = 60; s < 120; s += 5)
        programming_bounds[n++] = s * S;
    for (uint64_t s = 120; s <= 300; s += 30)
        programming_bounds[n++] = s * S;
    return n;
}

static double read_count(void *ctx)
{
    return (double)atomic_load_explicit((_Atomic uint64_t *)ctx, memory_order_relaxed);
}

static double read_seconds(void *ctx)
{
    return read_count(ctx) / 1000;
}

static void init_no_local(struct proxy_metrics *m, unsigned f)
{
    static const char *const policies[] = { "internal", "external" };
    for (unsigned i = 0; i < 2; i++) {
        char label[64];
        snprintf(label, sizeof label, "ip_family=\"%s\",traffic_policy=\"%s\"", family_names[f],
                 policies[i]);
        metric_gauge("kubeproxy_sync_proxy_rules_no_local_endpoints_total",
                     "Service ports with traffic policy Local and no endpoint on this node.", label,
                     read_count, &m->no_local[f][i]);
    }
}

static void init_family(struct proxy_metrics *m, unsigned f, unsigned n_programming)
{
    char label[32];
    snprintf(label, sizeof label, "ip_family=\"%s\"", family_names[f]);
    const char *l = label;
    m->sync[f] = metric_histogram("kubeproxy_sync_proxy_rules_duration_seconds", "Time of a sync.",
                                  l, sync_bounds, sizeof sync_bounds / sizeof *sync_bounds, 1e-9);
    m->full_sync[f] = metric_histogram("kubeproxy_sync_full_proxy_rules_duration_seconds",
                                       "Time of a sync that makes the table anew.", l, sync_bounds,
                                       sizeof sync_bounds / sizeof *sync_bounds, 1e-9);
    m->partial_sync[f] = metric_histogram("kubeproxy_sync_partial_proxy_rules_duration_seconds",
                                          "Time of a sync of changes only.", l, sync_bounds,
                                          sizeof sync_bounds / sizeof *sync_bounds, 1e-9);
    m->programming[f] = metric_histogram("kubeproxy_network_programming_duration_seconds",
                                         "Time from a pod's change to the rules for it.", l,
                                         programming_bounds, n_programming, 1e-9);
    m->transaction[f] = metric_histogram("signpost_proxy_transaction_elements",
                                         "Elements added and deleted by one sync.", l, size_bounds,
                                         sizeof size_bounds / sizeof *size_bounds, 1);
    metric_gauge("kubeproxy_sync_proxy_rules_last_timestamp_seconds",
                 "Unix time of the last successful sync.", l, read_seconds, &m->last_sync_ms[f]);
    metric_gauge("kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds",
                 "Unix time at which the last sync was asked for.", l, read_seconds,
                 &m->last_queued_ms[f]);
    m->stale_sync[f] = metric_histogram("kubeproxy_conntrack_reconciler_sync_duration_seconds",
                                        "Time to find and remove stale UDP flows.", l, sync_bounds,
                                        sizeof sync_bounds / sizeof *sync_bounds, 1e-9);
    m->stale_deleted[f] =
        metric_counter("kubeproxy_conntrack_reconciler_deleted_entries_total",
                       "UDP flows removed because their endpoint serves no more.", l);
    init_no_local(m, f);
    metric_gauge("signpost_proxy_rules", "Rules in the kernel.", l, read_count, &m->rules[f]);
    metric_gauge("signpost_proxy_chains", "Chains in the kernel.", l, read_count, &m->chains[f]);
}

static void init_nftables(struct proxy_metrics *m, unsigned f)
{
    char label[32];
    snprintf(label, sizeof label, "ip_family=\"%s\"", family_names[f]);
    m->failures[f] = metric_counter("kubeproxy_sync_proxy_rules_nftables_sync_failures_total",
                                    "Syncs that the kernel refused in part or whole.", label);
    metric_gauge("signpost_proxy_elements", "Map and set elements in the kernel.", label,
                 read_count, &m->elements[f]);
}

static void init_iptables(struct proxy_metrics *m, unsigned f)
{
    static const char *const tables[] = { "filter", "nat" };
    char label[64];
    snprintf(label, sizeof label, "ip_family=\"%s\"", family_names[f]);
    m->failures[f] = metric_counter("kubeproxy_sync_proxy_rules_iptables_restore_failures_total",
                                    "Restores of everything that were refused.", label);
    m->partial_failures[f] =
        metric_counter("kubeproxy_sync_proxy_rules_iptables_partial_restore_failures_total",
                       "Restores of changes that were refused.", label);
    for (unsigned t = 0; t < 2; t++) {
        snprintf(label, sizeof label, "ip_family=\"%s\",table=\"%s\"", family_names[f], tables[t]);
        metric_gauge("kubeproxy_sync_proxy_rules_iptables_total", "Rules in our chains of a table.",
                     label, read_count, &m->table_rules[f][t]);
        metric_gauge("kubeproxy_sync_proxy_rules_iptables_last",
                     "Rules that the last sync wrote into a table.", label, read_count,
                     &m->table_written[f][t]);
    }
}

static double read_packets(void *ctx)
{
    uint64_t n;
    return nfacct_read(ctx, &n) == 0 ? (double)n : 0;
}

void proxy_metrics_packets(const char *invalid, const char *localhost)
{
    metric_counter_read("kubeproxy_iptables_ct_state_invalid_dropped_packets_total",
                        "Packets dropped because connection tracking could not place them.", "",
                        read_packets, (void *)invalid);
    metric_counter_read("kubeproxy_iptables_localhost_nodeports_accepted_packets_total",
                        "Packets to node ports at loopback addresses.", "", read_packets,
                        (void *)localhost);
}

static void init_changes(struct proxy_metrics *m)
{
    m->services_total = metric_counter("kubeproxy_sync_proxy_rules_service_changes_total",
                                       "Changes of Services seen.", "");
    m->endpoints_total = metric_counter("kubeproxy_sync_proxy_rules_endpoint_changes_total",
                                        "Changes of EndpointSlices seen.", "");
    metric_gauge("kubeproxy_sync_proxy_rules_service_changes_pending",
                 "Changes of Services not yet in the kernel.", "", read_count,
                 &m->services_pending);
    metric_gauge("kubeproxy_sync_proxy_rules_endpoint_changes_pending",
                 "Changes of EndpointSlices not yet in the kernel.", "", read_count,
                 &m->endpoints_pending);
    m->latency = metric_histogram("signpost_proxy_change_to_kernel_seconds",
                                  "Time from the oldest change of a sync to its rules.", "",
                                  sync_bounds, sizeof sync_bounds / sizeof *sync_bounds, 1e-9);
}

static void init_health(struct proxy_metrics *m)
{
    static const char *const codes[] = { "code=\"200\"", "code=\"503\"" };
    for (unsigned i = 0; i < 2; i++) {
        m->healthz[i] =
            metric_counter("kubeproxy_proxy_healthz_total", "Answers of /healthz.", codes[i]);
        m->livez[i] = metric_counter("kubeproxy_proxy_livez_total", "Answers of /livez.", codes[i]);
    }
}

void proxy_metrics_init(struct proxy_metrics *m, enum proxy_mode mode)
{
    unsigned n = fill_programming_bounds();
    for (unsigned f = 0; f < FAMILIES; f++) {
        init_family(m, f, n);
        if (mode == MODE_NFTABLES)
            init_nftables(m, f);
        else
            init_iptables(m, f);
    }
    init_changes(m);
    init_health(m);
    metric_gauge("signpost_proxy_services", "Services served.", "", read_count, &m->services);
    metric_gauge("signpost_proxy_service_ports", "Addresses and ports served.", "", read_count,
                 &m->vips);
    metric_gauge("signpost_proxy_endpoints", "Endpoints behind them.", "", read_count,
                 &m->backends);
    metric_gauge("signpost_proxy_refused_service_ports",
                 "Addresses and ports whose rules the kernel refuses.", "", read_count,
                 &m->refused);
}
