#include "base/mem.h"
#include "base/str.h"
#include "endpoints/reconcile_impl.h"

#include <errno.h>
#include <string.h>

#define ECHO_PATIENCE_NS 30000000000LL /* then what the store shows is believed */

/* ---- what is to be written ---- */

static char *copy(const char *s)
{
    return s ? xstrdup(s) : NULL;
}

static const struct slice *find_slice(const struct slice_list *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->items[i]->object.meta.name, name) == 0)
            return l->items[i];
    return NULL;
}

static void add_puts(struct work *w, const struct plan *p, bool new)
{
    for (size_t i = 0; i < p->n_puts; i++) {
        const struct meta *m = &p->puts[i]->meta;
        if (!*m->name != new)
            continue;
        vec_push(&w->ops, (struct op){ .op = new ? WRITE_CREATE : WRITE_UPDATE,
                                       .slice = p->puts[i],
                                       .name = new ? NULL : copy(m->name),
                                       .uid = new ? NULL : copy(m->uid) });
    }
}

void work_take_ops(struct work *w, const struct plan *p, const struct slice_list *existing)
{
    w->at = 0;
    add_puts(w, p, true);
    add_puts(w, p, false);
    for (size_t i = 0; i < p->n_dels; i++) {
        const struct slice *s = find_slice(existing, p->dels[i]);
        vec_push(&w->ops, (struct op){ .op = WRITE_DELETE,
                                       .name = copy(p->dels[i]),
                                       .uid = copy(s ? s->object.meta.uid : "") });
    }
}

void work_drop_ops(struct work *w)
{
    vec_each (op, &w->ops) {
        object_free(op->slice);
        free(op->name);
        free(op->uid);
    }
    vec_done(&w->ops);
}

/* ---- what was written ---- */

static void expected_free(struct expected *x)
{
    free(x->name);
    free(x->uid);
    free(x->version);
}

void work_drop_expected(struct work *w)
{
    vec_each (x, &w->expected)
        expected_free(x);
    vec_done(&w->expected);
}

static void drop(struct work *w, size_t i)
{
    expected_free(&w->expected.items[i]);
    vec_swap_remove(&w->expected, i);
}

/* A newer write of the same slice takes the place of the older one. */
void work_expect(struct work *w, const struct op *op, const struct write_result *result,
                 int64_t now)
{
    bool gone = op->op == WRITE_DELETE;
    const char *name = gone ? op->name : result->name, *uid = gone ? op->uid : result->uid;
    if (!name || !uid || (!gone && !result->version))
        return;
    for (size_t i = w->expected.n; i-- > 0;)
        if (strcmp(w->expected.items[i].name, name) == 0)
            drop(w, i);
    vec_push(&w->expected, (struct expected){ .name = xstrdup(name),
                                              .uid = xstrdup(uid),
                                              .version = gone ? NULL : xstrdup(result->version),
                                              .until_ns = now + ECHO_PATIENCE_NS });
}

/* Versions are numbers that grow; should they ever be none, only the very same counts. */
static bool is_as_new(const char *have, const char *want)
{
    char *end_have, *end_want;
    errno = 0;
    unsigned long long a = strtoull(have, &end_have, 10), b = strtoull(want, &end_want, 10);
    if (errno || *end_have || *end_want)
        return strcmp(have, want) == 0;
    return a >= b;
}

/* s: the slice of that name, or NULL. */
static bool is_fulfilled(const struct expected *x, const struct slice *s)
{
    bool same = s && strcmp(s->object.meta.uid, x->uid) == 0;
    if (!x->version)
        return !same || s->object.meta.deleting;
    return same && s->version && is_as_new(s->version, x->version);
}

bool work_confirm(struct work *w, const struct slice *slice, const struct slice *now)
{
    for (size_t i = 0; i < w->expected.n; i++) {
        const struct expected *x = &w->expected.items[i];
        if (strcmp(x->name, slice->object.meta.name) != 0 || !is_fulfilled(x, now))
            continue;
        bool exact = !x->version || str_eq(x->version, now->version);
        drop(w, i);
        return exact;
    }
    return false;
}

int64_t work_stale_until(struct work *w, int64_t now)
{
    int64_t until = 0;
    for (size_t i = w->expected.n; i-- > 0;) {
        const struct expected *x = &w->expected.items[i];
        const struct object *o = store_get(w->r->store, KIND_SLICE, w->namespace, x->name);
        if (now >= x->until_ns || is_fulfilled(x, o ? slice_of(o) : NULL))
            drop(w, i);
        else
            until = until ? MIN(until, x->until_ns) : x->until_ns;
    }
    return until;
}

/* ---- metrics ---- */

static double read_depth(void *ctx)
{
    const struct reconcile *r = ctx;
    return (double)atomic_load_explicit(&r->metrics.depth, memory_order_relaxed);
}

static metric count(const char *name, const char *help, const char *label, const char *value)
{
    struct strbuf b = { 0 };
    metric_label(&b, label, value);
    metric m = metric_counter(name, help, b.p);
    strbuf_done(&b);
    return m;
}

void reconcile_metrics(struct reconcile *r)
{
    static const char *const ops[WRITE_OPS] = { "create", "update", "delete" };
    static const char *const results[SYNC_RESULTS] = { "success", "stale", "error", "away" };
    for (unsigned i = 0; i < WRITE_OPS; i++)
        r->metrics.changes[i] = count("endpoint_slice_controller_changes",
                                      "EndpointSlices written.", "operation", ops[i]);
    for (unsigned i = 0; i < SYNC_RESULTS; i++)
        r->metrics.syncs[i] = count("endpoint_slice_controller_syncs",
                                    "Services whose slices were compared with what they ought to "
                                    "be; away: the API server could not be written to.",
                                    "result", results[i]);
    metric_gauge("signpost_controller_queue_services",
                 "Services that wait for their slices to be looked at.", "", read_depth, r);
}
