#include "registry/registry.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "registry/allocate.h"
#include "registry/collect.h"
#include "registry/path.h"
#include "registry/storage.h"

#include <string.h>

#define TRIM_MS 5000

struct waiter {
    void (*fn)(void *ctx);
    void *ctx;
};

struct registry {
    uv_check_t check;
    uv_prepare_t prepare;
    uv_timer_t trim;
    unsigned handles; /* that are not closed yet */
    bool dirty, committing;
    struct storage *storage;
    struct history history;
    int64_t revision;
    struct item_list *collections; /* one a resource */
    size_t n_objects;
    struct registry_listener *listeners, *telling; /* telling: who hears just now */
    struct allocator *allocator;
    struct collector *collector;
    VEC(struct waiter) waiters;
};

/* ---- collections ---- */

static struct item_list *collection(const struct registry *r, const struct resource *of)
{
    return &r->collections[of - resources];
}

/* Where it is, or would be. */
static size_t place_of(const struct item_list *l, const char *namespace, const char *name,
                       bool *ret_found)
{
    size_t low = 0, high = l->n;
    *ret_found = false;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int c = item_compare(l->items[middle], namespace, name);
        if (c == 0) {
            *ret_found = true;
            return middle;
        }
        if (c < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void list_insert(struct item_list *l, size_t at, struct item *i)
{
    vec_reserve(l, l->n + 1);
    memmove(l->items + at + 1, l->items + at, (l->n - at) * sizeof(struct item *));
    l->items[at] = i;
    l->n++;
}

static void list_remove(struct item_list *l, size_t at)
{
    l->n--;
    memmove(l->items + at, l->items + at + 1, (l->n - at) * sizeof(struct item *));
}

void item_list_done(struct item_list *l)
{
    vec_each (i, l)
        item_unref(*i);
    vec_done(l);
}

static void on_loaded(void *ctx, struct item *i)
{
    struct registry *r = ctx;
    bool found;
    struct item_list *l = collection(r, i->resource);
    size_t at = place_of(l, i->namespace, i->name, &found);
    list_insert(l, at, i);
    r->n_objects++;
}

/* ---- reading ---- */

int64_t registry_revision(const struct registry *r)
{
    return r->revision;
}

struct item *registry_find(const struct registry *r, const struct resource *of,
                           const char *namespace, const char *name)
{
    bool found;
    const struct item_list *l = collection(r, of);
    size_t at = place_of(l, namespace, name, &found);
    return found ? l->items[at] : NULL;
}

void registry_list(const struct registry *r, const struct resource *of, const char *namespace,
                   struct item_list *ret)
{
    bool found;
    const struct item_list *l = collection(r, of);
    size_t at = namespace ? place_of(l, namespace, "", &found) : 0;
    *ret = (struct item_list){ 0 };
    for (; at < l->n && (!namespace || strcmp(l->items[at]->namespace, namespace) == 0); at++)
        vec_push(ret, item_ref(l->items[at]));
}

/* Undoes an event that came later than the list is to be. */
static void undo(struct item_list *l, const struct history_event *e)
{
    bool found;
    const struct item *any = e->now ? e->now : e->before;
    size_t at = place_of(l, any->namespace, any->name, &found);
    if (found) {
        item_unref(l->items[at]);
        list_remove(l, at);
    }
    if (e->before)
        list_insert(l, at, item_ref(e->before));
}

int registry_list_at(const struct registry *r, const struct resource *of, const char *namespace,
                     int64_t revision, struct item_list *ret)
{
    if (revision < r->history.gone)
        return ERR_NOT_FOUND;
    size_t first = history_after(&r->history, revision);
    registry_list(r, of, namespace, ret);
    for (size_t i = r->history.n; i > first; i--) {
        const struct history_event *e = history_at(&r->history, i - 1);
        const struct item *any = e->now ? e->now : e->before;
        if (any->resource == of && (!namespace || strcmp(any->namespace, namespace) == 0))
            undo(ret, e);
    }
    return 0;
}

size_t registry_count(const struct registry *r, const struct resource *of)
{
    return collection(r, of)->n;
}

const struct history *registry_history(const struct registry *r)
{
    return &r->history;
}

void registry_compact(struct registry *r, int64_t revision)
{
    registry_commit(r);
    history_forget(&r->history, MIN(revision, r->revision));
}

/* ---- writing ---- */

/* Half-written is worse than not there: the next start finds what was acknowledged. */
static void fatal(const struct err *e)
{
    log_line(LOG_FATAL, "registry: %s; nothing of this was acknowledged", e->text);
    exit(1);
}

static void stamp(json_t *doc, int64_t revision)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%lld", (long long)revision);
    path_set_text(doc, "metadata.resourceVersion", text);
}

struct item *registry_put(struct registry *r, const struct resource *of, json_t *doc)
{
    struct err e = { 0 };
    bool found;
    stamp(doc, ++r->revision);
    struct item *i = item_new(of, doc, r->revision), *before = NULL;
    json_decref(doc);
    struct item_list *l = collection(r, of);
    size_t at = place_of(l, i->namespace, i->name, &found);
    if (found) {
        before = l->items[at];
        l->items[at] = i;
    } else {
        list_insert(l, at, i);
        r->n_objects++;
    }
    r->dirty = true;
    if (storage_put(r->storage, i, &e) < 0)
        fatal(&e);
    history_add(&r->history, &(struct history_event){ .revision = r->revision,
                                                      .at = clock_ns(),
                                                      .now = item_ref(i),
                                                      .before = before });
    allocator_changed(r->allocator, i, before);
    return i;
}

void registry_delete(struct registry *r, struct item *i)
{
    struct err e = { 0 };
    bool found;
    struct item_list *l = collection(r, i->resource);
    size_t at = place_of(l, i->namespace, i->name, &found);
    if (!found)
        return;
    r->revision++;
    r->dirty = true;
    if (storage_delete(r->storage, i, &e) < 0)
        fatal(&e);
    list_remove(l, at);
    r->n_objects--;
    json_t *doc = item_doc(i);
    stamp(doc, r->revision);
    struct item *last = item_new(i->resource, doc, r->revision);
    json_decref(doc);
    history_add(&r->history,
                &(struct history_event){
                    .revision = r->revision, .at = clock_ns(), .before = i, .last = last });
    allocator_changed(r->allocator, NULL, i);
}

struct allocator *registry_allocator(const struct registry *r)
{
    return r->allocator;
}

/* ---- commits ---- */

/* Those from one revision up to another, which is the last. It may write while it hears of them:
 * what is added comes behind, and places in the history move. */
static void tell_listener(struct registry *r, struct registry_listener *l, int64_t last, bool many)
{
    int64_t told = r->history.told;
    r->telling = l; /* until it listens no more, and may be gone */
    if (many)
        l->many(l->ctx, true);
    while (r->telling == l && told < last) {
        struct history_event e = *history_at(&r->history, history_after(&r->history, told));
        told = e.revision;
        l->event(l->ctx, &e);
    }
    if (many && r->telling == l)
        l->many(l->ctx, false);
    r->telling = NULL;
}

/* All events of a commit to one listener, then to the next: a watch can send them together. */
static void tell(struct registry *r)
{
    size_t first = history_after(&r->history, r->history.told), n = r->history.n - first;
    if (n == 0)
        return;
    int64_t last = history_at(&r->history, r->history.n - 1)->revision;
    for (struct registry_listener *l = r->listeners, *next; l; l = next) {
        next = l->next;
        tell_listener(r, l, last, n > 1 && l->many);
    }
    r->history.told = last;
}

void registry_commit(struct registry *r)
{
    struct err e = { 0 };
    if (r->committing)
        return;
    r->committing = true;
    while (r->dirty || r->waiters.n) {
        if (r->dirty && storage_commit(r->storage, r->revision, &e) < 0)
            fatal(&e);
        r->dirty = false;
        size_t n = r->waiters.n;
        struct waiter *list = r->waiters.items;
        memset(&r->waiters, 0, sizeof r->waiters);
        for (size_t i = 0; i < n; i++)
            list[i].fn(list[i].ctx);
        free(list);
        tell(r);
    }
    r->committing = false;
}

void registry_wait(struct registry *r, void (*fn)(void *ctx), void *ctx)
{
    if (r->dirty)
        vec_push(&r->waiters, (struct waiter){ fn, ctx });
    else
        fn(ctx);
}

static void on_check(uv_check_t *h)
{
    registry_commit(h->data);
}

static void on_prepare(uv_prepare_t *h)
{
    registry_commit(h->data);
}

static void on_trim(uv_timer_t *t)
{
    struct registry *r = t->data;
    history_trim(&r->history, clock_ns());
}

/* ---- listeners ---- */

void registry_listen(struct registry *r, struct registry_listener *l)
{
    registry_commit(r);
    l->next = r->listeners;
    r->listeners = l;
}

void registry_unlisten(struct registry *r, struct registry_listener *l)
{
    struct registry_listener **p = &r->listeners;
    if (r->telling == l)
        r->telling = NULL;
    while (*p && *p != l)
        p = &(*p)->next;
    if (*p)
        *p = l->next;
}

/* ---- life ---- */

static double read_objects(void *ctx)
{
    const struct registry *r = ctx;
    return (double)r->n_objects;
}

static void start_handles(struct registry *r, uv_loop_t *loop)
{
    uv_check_init(loop, &r->check);
    uv_prepare_init(loop, &r->prepare);
    uv_timer_init(loop, &r->trim);
    r->check.data = r->prepare.data = r->trim.data = r;
    r->handles = 3;
    uv_check_start(&r->check, on_check);
    uv_prepare_start(&r->prepare, on_prepare);
    uv_timer_start(&r->trim, on_trim, TRIM_MS, TRIM_MS);
}

/* What is not kept begins with a revision that none of an earlier process has reached: clients that
 * go on from one of those are told that it is gone, and list anew. */
static int64_t first_revision(const char *path)
{
    return strcmp(path, ":memory:") == 0 ? clock_unix_ns() / 1000 : 1;
}

int registry_open(const struct registry_options *o, struct registry **ret, struct err *e)
{
    schema_init();
    struct storage *storage = NULL;
    int code = storage_open(o->path, &storage, e);
    if (code < 0)
        return code;
    struct registry *r = xcalloc(1, sizeof *r);
    r->storage = storage;
    r->collections = xcalloc(n_resources, sizeof *r->collections);
    start_handles(r, o->loop);
    code = allocator_new(r, o, &r->allocator, e);
    if (code == 0)
        code = storage_load(storage, on_loaded, r, &r->revision, e);
    if (code < 0) {
        registry_close(r);
        return code;
    }
    r->revision = MAX(r->revision, first_revision(o->path));
    history_init(&r->history, r->revision);
    if (o->events_max)
        r->history.events_max = o->events_max;
    allocator_start(r->allocator);
    r->collector = collector_new(r);
    metric_gauge("signpost_registry_objects", "Objects that are kept.", "", read_objects, r);
    *ret = r;
    return 0;
}

static void on_closed(uv_handle_t *h)
{
    struct registry *r = h->data;
    if (--r->handles == 0)
        free(r);
}

void registry_close(struct registry *r)
{
    if (!r)
        return;
    registry_commit(r);
    metric_gauge_drop(r);
    collector_free(r->collector);
    storage_close(r->storage);
    allocator_free(r->allocator);
    history_done(&r->history);
    for (size_t i = 0; i < n_resources; i++)
        item_list_done(&r->collections[i]);
    free(r->collections);
    uv_close((uv_handle_t *)&r->check, on_closed);
    uv_close((uv_handle_t *)&r->prepare, on_closed);
    uv_close((uv_handle_t *)&r->trim, on_closed);
}
