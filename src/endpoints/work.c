#include "endpoints/work.h"
#include "endpoints/hint_state.h"

#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <string.h>

#define ECHO_PATIENCE_NS 30000000000LL /* then what the store shows is believed */

/* ---- what is to be written ---- */

static bool is_new(const struct object *o)
{
    return !*o->meta.name || (o->kind == KIND_ENDPOINTS && !object_version(o));
}

static void add_puts(struct work *w, const struct plan *p, bool new)
{
    for (size_t i = 0; i < p->n_puts; i++) {
        const struct meta *m = &p->puts[i]->meta;
        if (is_new(p->puts[i]) != new)
            continue;
        vec_push(&w->ops, (struct op){ .op = new ? WRITE_CREATE : WRITE_UPDATE,
                                       .object = p->puts[i],
                                       .name = new ? NULL : xstrdup(m->name),
                                       .uid = new ? NULL : xstrdup(m->uid) });
    }
}

void work_take_ops(struct work *w, struct plan *p)
{
    w->at = 0;
    add_puts(w, p, true);
    add_puts(w, p, false);
    p->n_puts = 0;
    for (size_t i = 0; i < p->n_dels; i++)
        vec_push(&w->ops, (struct op){ .op = WRITE_DELETE,
                                       .name = xstrdup(p->dels[i]->meta.name),
                                       .uid = xstrdup(p->dels[i]->meta.uid) });
}

void work_take_deletion(struct work *w)
{
    w->at = 0;
    vec_push(&w->ops,
             (struct op){ .op = WRITE_DELETE, .name = xstrdup(w->name), .uid = xstrdup("") });
}

void work_drop_ops(struct work *w)
{
    vec_each (op, &w->ops) {
        object_free(op->object);
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

static void drop(struct work *w, size_t i)
{
    expected_free(&w->expected.items[i]);
    vec_swap_remove(&w->expected, i);
}

void work_forget_lost(struct work *w)
{
    vec_each (uid, &w->lost)
        free(*uid);
    vec_clear(&w->lost);
}

void work_free(struct work *w)
{
    work_drop_ops(w);
    vec_each (x, &w->expected)
        expected_free(x);
    vec_done(&w->expected);
    work_forget_lost(w);
    vec_done(&w->lost);
    hint_state_free(w->hints);
    free(w->namespace);
    free(w->name);
    free(w);
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

/* o: the object of that name, or NULL. */
static bool is_fulfilled(const struct expected *x, const struct object *o)
{
    bool same = o && strcmp(o->meta.uid, x->uid) == 0;
    if (!x->version)
        return !same || o->meta.deleting;
    return same && object_version(o) && is_as_new(object_version(o), x->version);
}

/* Somebody may have deleted what was written before its reply came. */
static bool is_lost(const struct work *w, const char *uid)
{
    vec_each (it, &w->lost)
        if (strcmp(*it, uid) == 0)
            return true;
    return false;
}

static void drop_older(struct work *w, const char *name)
{
    for (size_t i = w->expected.n; i-- > 0;)
        if (strcmp(w->expected.items[i].name, name) == 0)
            drop(w, i);
}

/* A newer write of the same object takes the place of the older one. */
void work_expect(struct work *w, const struct op *op, const struct write_result *result,
                 const struct store *store, enum kind kind, int64_t now)
{
    bool gone = op->op == WRITE_DELETE;
    const char *name = gone ? op->name : result->name, *uid = gone ? op->uid : result->uid;
    if (!name || !uid || (gone && !*uid) || (!gone && !result->version))
        return;
    drop_older(w, name);
    vec_push(&w->expected, (struct expected){ .name = xstrdup(name),
                                              .uid = xstrdup(uid),
                                              .version = gone ? NULL : xstrdup(result->version),
                                              .until_ns = now + ECHO_PATIENCE_NS });
    size_t last = w->expected.n - 1;
    if (is_lost(w, uid) ||
        is_fulfilled(&w->expected.items[last], store_get(store, kind, w->namespace, name)))
        drop(w, last);
}

bool work_confirm(struct work *w, const struct meta *what, const struct object *now)
{
    if (!now && w->busy)
        vec_push(&w->lost, xstrdup(what->uid));
    for (size_t i = 0; i < w->expected.n; i++) {
        const struct expected *x = &w->expected.items[i];
        if (strcmp(x->name, what->name) != 0 || !is_fulfilled(x, now))
            continue;
        bool exact = !x->version || str_eq(x->version, object_version(now));
        drop(w, i);
        return exact;
    }
    return false;
}

int64_t work_stale_until(struct work *w, const struct store *store, enum kind kind, int64_t now)
{
    int64_t until = 0;
    for (size_t i = w->expected.n; i-- > 0;) {
        const struct expected *x = &w->expected.items[i];
        const struct object *o = store_get(store, kind, w->namespace, x->name);
        if (now >= x->until_ns || is_fulfilled(x, o))
            drop(w, i);
        else
            until = until ? MIN(until, x->until_ns) : x->until_ns;
    }
    return until;
}
