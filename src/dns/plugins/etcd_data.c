/* The values of one set of options: follows the source, publishes the tree. */
#include "base/clock.h"
#include "base/rcu.h"
#include "dns/plugins/etcd.h"

#include <string.h>

#define TOLD_MAX 20 /* values that cannot be read, between two lists; the metric counts all */

struct etcd_data {
    struct etcd_data *next;
    char *identity; /* all options as text */
    char *labels;   /* of its metrics */
    bool shown;     /* it has the metrics of these labels */
    unsigned users;
    int64_t opened_ns;
    struct etcd_source *source;
    struct etcd_tree tree; /* that is served */
    struct etcd_tree list; /* that is being read */
    bool listing, full;
    unsigned told;
    _Atomic(struct etcd_node *) root;
    _Atomic bool synced;
    _Atomic uint64_t keys, bad;
};

static struct etcd_data *all; /* control thread */

/* ---- metrics ---- */

static double read_keys(void *ctx)
{
    return (double)atomic_load(&((struct etcd_data *)ctx)->keys);
}

static double read_bad(void *ctx)
{
    return (double)atomic_load(&((struct etcd_data *)ctx)->bad);
}

static double read_connected(void *ctx)
{
    struct etcd_data *d = ctx;
    return atomic_load(&etcd_source_status(d->source)->connected);
}

/* How old the picture may be: 0 while it is followed. */
static double read_age(void *ctx)
{
    const struct etcd_status *s = etcd_source_status(((struct etcd_data *)ctx)->source);
    int64_t heard = atomic_load(&s->heard_ns);
    if (atomic_load(&s->connected) || !heard)
        return 0;
    return (double)(clock_ns() - heard) / 1e9;
}

static double read_failures(void *ctx)
{
    struct etcd_data *d = ctx;
    return (double)atomic_load(&etcd_source_status(d->source)->failures);
}

static double read_lists(void *ctx)
{
    struct etcd_data *d = ctx;
    return (double)atomic_load(&etcd_source_status(d->source)->lists);
}

static double read_revision(void *ctx)
{
    struct etcd_data *d = ctx;
    return (double)atomic_load(&etcd_source_status(d->source)->revision);
}

static void show(struct etcd_data *d)
{
    d->shown = true;
    metric_gauge("signpost_etcd_keys", "Keys that are held.", d->labels, read_keys, d);
    metric_gauge("signpost_etcd_bad_values", "Keys whose value cannot be read.", d->labels,
                 read_bad, d);
    metric_gauge("signpost_etcd_connected", "Whether changes are being followed.", d->labels,
                 read_connected, d);
    metric_gauge("signpost_etcd_age_seconds", "Since changes are not followed any more.", d->labels,
                 read_age, d);
    metric_gauge("signpost_etcd_revision", "The cluster's revision that is served.", d->labels,
                 read_revision, d);
    metric_counter_read("signpost_etcd_failures_total", "Requests and connections that failed.",
                        d->labels, read_failures, d);
    metric_counter_read("signpost_etcd_lists_total", "Times that everything was read.", d->labels,
                        read_lists, d);
}

/* Two with the same labels would be one series twice: the first has them. */
static void show_one(const char *labels)
{
    struct etcd_data *found = NULL;
    for (struct etcd_data *d = all; d; d = d->next) {
        if (strcmp(d->labels, labels) != 0)
            continue;
        if (d->shown)
            return;
        found = d;
    }
    if (found)
        show(found);
}

/* ---- the sink ---- */

static void publish(struct etcd_data *d)
{
    rcu_publish(&d->root, etcd_tree_root(&d->tree));
    atomic_store(&d->keys, d->tree.n);
    atomic_store(&d->bad, d->tree.bad);
    etcd_tree_retire(&d->tree);
}

static void on_begin(void *ctx)
{
    struct etcd_data *d = ctx;
    etcd_tree_drop(&d->list);
    d->listing = true;
    d->told = 0;
}

/* Keys may hold anything; log lines may not. */
static const char *printable(const char *key, size_t len, char out[256])
{
    size_t n = MIN(len, 255);
    for (size_t i = 0; i < n; i++)
        out[i] = key[i] < ' ' || key[i] > '~' ? '?' : key[i];
    out[n] = 0;
    return out;
}

static void tell(struct etcd_data *d, const struct etcd_pair *p, const char *what)
{
    char key[256];
    if (d->told++ < TOLD_MAX)
        log_warning("plugin/etcd: %s: %s; it gives no record%s", printable(p->key, p->key_len, key),
                    what, d->told == TOLD_MAX ? " (further ones are counted only)" : "");
}

static void on_put(void *ctx, const struct etcd_pair *p)
{
    struct etcd_data *d = ctx;
    struct etcd_tree *t = d->listing ? &d->list : &d->tree;
    struct err e;
    if (p->key_len > ETCD_KEY_MAX) {
        tell(d, p, "the key is longer than any name");
        return;
    }
    if (t->n >= ETCD_KEYS_MAX && !etcd_find(t->root, p->key, p->key_len)) {
        if (!d->full)
            log_error("plugin/etcd: more than %d keys; further ones are left out", ETCD_KEYS_MAX);
        d->full = true;
        return;
    }
    struct etcd_value *v = etcd_value_new(p, &e);
    if (v->kind == ETCD_HOST_BAD)
        tell(d, p, e.text);
    etcd_tree_put(t, v);
}

static void on_del(void *ctx, const char *key, size_t len)
{
    struct etcd_data *d = ctx;
    etcd_tree_del(&d->tree, key, len);
}

static void on_synced(void *ctx)
{
    struct etcd_data *d = ctx;
    struct etcd_tree old = d->tree;
    d->tree = d->list;
    d->list = (struct etcd_tree){ 0 };
    d->listing = d->full = false;
    publish(d);
    if (!atomic_load(&d->synced))
        log_info("plugin/etcd: %zu keys at revision %lld", d->tree.n,
                 (long long)atomic_load(&etcd_source_status(d->source)->revision));
    atomic_store(&d->synced, true);
    etcd_tree_drop(&old);
}

static void on_settled(void *ctx)
{
    publish(ctx);
}

/* ---- life ---- */

static char *identity_of(const struct etcd_options *o)
{
    struct strbuf b = { 0 };
    const char *rest[] = { o->user, o->password, o->tls.ca, o->tls.cert, o->tls.key };
    for (size_t i = 0; i < o->n_endpoints; i++)
        strbuf_printf(&b, "%s\n", o->endpoints[i]);
    for (size_t i = 0; i < o->n_ranges; i++)
        strbuf_printf(&b, "\t%s\n", o->ranges[i]);
    for (size_t i = 0; i < ARRAY_SIZE(rest); i++)
        strbuf_printf(&b, "%zu:%s\n", i, rest[i] ? rest[i] : "");
    return strbuf_steal(&b);
}

static char *labels_of(const struct etcd_options *o)
{
    struct strbuf ranges = { 0 }, labels = { 0 };
    for (size_t i = 0; i < o->n_ranges; i++)
        strbuf_printf(&ranges, "%s%s", i ? " " : "", o->ranges[i]);
    metric_label(&labels, "endpoint", o->endpoints[0]);
    metric_label(&labels, "path", ranges.p);
    strbuf_done(&ranges);
    return strbuf_steal(&labels);
}

static void data_free(struct etcd_data *d)
{
    free(d->identity);
    free(d->labels);
    free(d);
}

struct etcd_data *etcd_data_open(uv_loop_t *loop, const struct etcd_options *o, struct err *e)
{
    struct etcd_data *d = all;
    char *identity = identity_of(o);
    while (d && strcmp(d->identity, identity) != 0)
        d = d->next;
    if (d) {
        d->users++;
        free(identity);
        return d;
    }
    d = xcalloc(1, sizeof *d);
    struct etcd_sink sink = { d, on_begin, on_put, on_del, on_synced, on_settled };
    d->identity = identity;
    d->labels = labels_of(o);
    d->users = 1;
    d->opened_ns = clock_ns();
    if (etcd_source_open(loop, o, &sink, &d->source, e) < 0) {
        data_free(d);
        return NULL;
    }
    d->next = all;
    all = d;
    show_one(d->labels);
    return d;
}

void etcd_data_close(struct etcd_data *d)
{
    if (!d || --d->users)
        return;
    struct etcd_data **at = &all;
    while (*at != d)
        at = &(*at)->next;
    *at = d->next;
    metric_gauge_drop(d);
    show_one(d->labels);
    etcd_source_close(d->source);
    rcu_publish(&d->root, NULL);
    etcd_tree_drop(&d->tree);
    etcd_tree_drop(&d->list);
    data_free(d);
}

bool etcd_data_root(const struct etcd_data *d, const struct etcd_node **ret)
{
    if (!atomic_load_explicit(&((struct etcd_data *)(uintptr_t)d)->synced, memory_order_acquire))
        return false;
    *ret = rcu_load(&((struct etcd_data *)(uintptr_t)d)->root);
    return true;
}

bool etcd_data_may_wait(const struct etcd_data *d, int64_t now_ns)
{
    const struct etcd_node *root;
    return now_ns - d->opened_ns < ETCD_FIRST_NS && !etcd_data_root(d, &root);
}
