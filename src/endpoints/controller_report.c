/* What controllers tell: metrics, under the names that the originals have where they have one, and
 * Events. */
#include "base/mem.h"
#include "base/str.h"
#include "endpoints/controller.h"

#include <stdarg.h>
#include <stdio.h>

#define NS_PER_S   1000000000ULL
#define EVENT_TEXT 1024 /* what an API server takes of a message */

static double read_depth(void *ctx)
{
    const struct controller *c = ctx;
    return (double)atomic_load_explicit(&c->metrics.depth, memory_order_relaxed);
}

static metric count(const char *name, const char *help, const char *label, const char *value)
{
    struct strbuf b = { 0 };
    metric_label(&b, label, value);
    metric m = metric_counter(name, help, b.p);
    strbuf_done(&b);
    return m;
}

/* The Endpoints controller of the original counts neither changes nor syncs. */
static void count_changes(struct controller *c)
{
    static const char *const ops[WRITE_OPS] = { "create", "update", "delete" };
    const char *name = c->type == &control_slices   ? "endpoint_slice_controller_changes"
                       : c->type == &control_mirror ? "endpoint_slice_mirroring_controller_changes"
                                                    : "signpost_endpoint_controller_changes";
    for (unsigned i = 0; i < WRITE_OPS; i++)
        c->metrics.changes[i] = count(
            name, c->type->kind == KIND_SLICE ? "EndpointSlices written." : "Endpoints written.",
            "operation", ops[i]);
}

static void count_syncs(struct controller *c)
{
    static const char *const results[SYNC_RESULTS] = { "success", "stale", "error", "away" };
    const char *name = c->type == &control_slices ? "endpoint_slice_controller_syncs"
                       : c->type == &control_mirror
                           ? "signpost_endpoint_slice_mirroring_controller_syncs"
                           : "signpost_endpoint_controller_syncs";
    for (unsigned i = 0; i < SYNC_RESULTS; i++)
        c->metrics.syncs[i] = count(name,
                                    "Comparisons of what there is with what ought to be; away: the "
                                    "API server could not be written to.",
                                    "result", results[i]);
}

void controller_metrics_init(struct controller *c)
{
    static const uint64_t seconds[] = { NS_PER_S / 1000, NS_PER_S / 100, NS_PER_S / 10, NS_PER_S,
                                        10 * NS_PER_S };
    struct strbuf b = { 0 };
    struct controller_metrics *m = &c->metrics;
    count_changes(c);
    count_syncs(c);
    metric_label(&b, "name", c->type->queue);
    m->adds = metric_counter("workqueue_adds_total", "Objects put into the queue.", b.p);
    m->retries =
        metric_counter("workqueue_retries_total", "Objects put back after a failure.", b.p);
    m->waited = metric_histogram("workqueue_queue_duration_seconds",
                                 "Between when an object was due and when it was looked at.", b.p,
                                 seconds, ARRAY_SIZE(seconds), 1e-9);
    m->worked = metric_histogram("workqueue_work_duration_seconds",
                                 "Between that and the end of its last write.", b.p, seconds,
                                 ARRAY_SIZE(seconds), 1e-9);
    metric_gauge("workqueue_depth", "Objects in the queue.", b.p, read_depth, c);
    strbuf_done(&b);
    slice_metrics_init(c);
}

void controller_metrics_done(struct controller *c)
{
    metric_gauge_drop(c);
    slice_metrics_done(c);
}

static const char *api_version_of(enum kind kind)
{
    return kind == KIND_SLICE ? "discovery.k8s.io/v1" : "v1";
}

void controller_event(const struct controller *c, const struct object *about, bool warning,
                      const char *reason, const char *fmt, ...)
{
    const struct object_writer *to = &c->r->o.writer;
    char text[EVENT_TEXT];
    va_list ap;
    if (!to->event)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    to->event(to->ctx, &(struct event){ .api_version = api_version_of(about->kind),
                                        .kind = kind_text(about->kind),
                                        .about = &about->meta,
                                        .version = object_version(about),
                                        .component = c->type->component,
                                        .reason = reason,
                                        .message = text,
                                        .warning = warning });
}
