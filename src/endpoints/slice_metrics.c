/* What controllers that write slices count, under the names of the originals. */
#include "base/mem.h"
#include "base/str.h"
#include "endpoints/controller.h"

#include <string.h>

#define NS_PER_MS 1000000ULL

static const char *const distributions[DISTRIBUTIONS] = { "", "PreferClose", "PreferSameZone",
                                                          "PreferSameNode" };
static const uint64_t counts[] = { 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096 };

static double read_endpoints(void *ctx)
{
    const struct controller *c = ctx;
    return (double)atomic_load_explicit(&c->metrics.endpoints, memory_order_relaxed);
}

static double read_slices(void *ctx)
{
    const struct controller *c = ctx;
    return (double)atomic_load_explicit(&c->metrics.slices, memory_order_relaxed);
}

static double read_ideal(void *ctx)
{
    const struct controller *c = ctx;
    return (double)atomic_load_explicit(&c->metrics.ideal, memory_order_relaxed);
}

static double read_distribution(void *ctx)
{
    return (double)atomic_load_explicit((_Atomic int64_t *)ctx, memory_order_relaxed);
}

static struct histogram per_sync(const char *name, const char *help, const char *labels)
{
    return metric_histogram(name, help, labels, counts, ARRAY_SIZE(counts), 1);
}

static void init_slices(struct controller *c)
{
    struct controller_metrics *m = &c->metrics;
    struct strbuf b = { 0 };
    for (unsigned i = 0; i < 2 * DISTRIBUTIONS; i++) {
        strbuf_reset(&b);
        metric_label(&b, "topology", i < DISTRIBUTIONS ? "Disabled" : "Auto");
        metric_label(&b, "traffic_distribution", distributions[i % DISTRIBUTIONS]);
        m->changed[i / DISTRIBUTIONS][i % DISTRIBUTIONS] =
            per_sync("endpoint_slice_controller_endpointslices_changed_per_sync",
                     "EndpointSlices that differ from what they ought to be.", b.p);
    }
    for (unsigned i = 1; i < DISTRIBUTIONS; i++) {
        strbuf_reset(&b);
        metric_label(&b, "traffic_distribution", distributions[i]);
        metric_gauge("endpoint_slice_controller_services_count_by_traffic_distribution",
                     "Services with this trafficDistribution.", b.p, read_distribution,
                     &m->distribution[i]);
    }
    strbuf_done(&b);
    m->added = per_sync("endpoint_slice_controller_endpoints_added_per_sync", "New endpoints.", "");
    m->removed =
        per_sync("endpoint_slice_controller_endpoints_removed_per_sync", "Endpoints gone.", "");
    metric_gauge("endpoint_slice_controller_endpoints_desired", "Endpoints wanted.", "",
                 read_endpoints, c);
    metric_gauge("endpoint_slice_controller_num_endpoint_slices", "EndpointSlices wanted.", "",
                 read_slices, c);
    metric_gauge("endpoint_slice_controller_desired_endpoint_slices",
                 "EndpointSlices that there would be if all were full.", "", read_ideal, c);
}

static void init_mirror(struct controller *c)
{
    static const uint64_t took[] = { NS_PER_MS,       2 * NS_PER_MS,   4 * NS_PER_MS,
                                     8 * NS_PER_MS,   16 * NS_PER_MS,  32 * NS_PER_MS,
                                     64 * NS_PER_MS,  128 * NS_PER_MS, 256 * NS_PER_MS,
                                     512 * NS_PER_MS, 1024 * NS_PER_MS };
    struct controller_metrics *m = &c->metrics;
    m->added = per_sync("endpoint_slice_mirroring_controller_endpoints_added_per_sync",
                        "New endpoints.", "");
    m->updated = per_sync("endpoint_slice_mirroring_controller_endpoints_updated_per_sync",
                          "Changed endpoints.", "");
    m->removed = per_sync("endpoint_slice_mirroring_controller_endpoints_removed_per_sync",
                          "Endpoints gone.", "");
    m->skipped = per_sync("endpoint_slice_mirroring_controller_addresses_skipped_per_sync",
                          "Addresses that are none, or too many.", "");
    m->took = metric_histogram("endpoint_slice_mirroring_controller_endpoints_sync_duration",
                               "How long Endpoints were being mirrored, in seconds.", "", took,
                               ARRAY_SIZE(took), 1e-9);
    metric_gauge("endpoint_slice_mirroring_controller_endpoints_desired", "Endpoints wanted.", "",
                 read_endpoints, c);
    metric_gauge("endpoint_slice_mirroring_controller_num_endpoint_slices",
                 "EndpointSlices wanted.", "", read_slices, c);
    metric_gauge("endpoint_slice_mirroring_controller_desired_endpoint_slices",
                 "EndpointSlices wanted.", "", read_ideal, c);
}

void slice_metrics_init(struct controller *c)
{
    if (c->type == &control_slices)
        init_slices(c);
    else if (c->type == &control_mirror)
        init_mirror(c);
}

void slice_metrics_done(struct controller *c)
{
    for (unsigned i = 0; i < DISTRIBUTIONS; i++)
        metric_gauge_drop(&c->metrics.distribution[i]);
}

/* Readers are on another thread. */
static void move(_Atomic int64_t *total, unsigned from, unsigned to)
{
    atomic_fetch_add_explicit(total, (int64_t)to - from, memory_order_relaxed);
}

static void replace(struct work *w, const struct work_totals *with)
{
    struct controller_metrics *m = &w->controller->metrics;
    move(&m->endpoints, w->totals.endpoints, with->endpoints);
    move(&m->slices, w->totals.slices, with->slices);
    move(&m->ideal, w->totals.ideal, with->ideal);
    move(&m->distribution[w->totals.distribution], 1, 0);
    move(&m->distribution[with->distribution], 0, 1);
    w->totals = *with;
}

static unsigned distribution_of(const struct service *s)
{
    for (unsigned i = 1; s && !s->topology_auto && i < DISTRIBUTIONS; i++)
        if (str_eq(s->traffic_distribution, distributions[i]))
            return i;
    return 0;
}

void controller_count(struct work *w, const struct plan *p, const struct service *service,
                      unsigned skipped)
{
    const struct plan_counts *n = &p->counts;
    const struct controller_metrics *m = &w->controller->metrics;
    const struct work_totals totals = { n->endpoints, n->slices, n->ideal,
                                        distribution_of(service) };
    histogram_observe(&m->added, n->added);
    histogram_observe(&m->removed, n->removed);
    if (service) {
        histogram_observe(&m->changed[service->topology_auto][totals.distribution],
                          p->n_puts + p->n_dels);
    } else {
        histogram_observe(&m->updated, n->updated);
        histogram_observe(&m->skipped, skipped);
    }
    replace(w, &totals);
}

void controller_uncount(struct work *w)
{
    replace(w, &(struct work_totals){ 0 });
}
