#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "reconcile_world.h"

static int64_t world_now(void *ctx)
{
    return ((struct world *)ctx)->now;
}

static void on_poke(void *ctx)
{
    ((struct world *)ctx)->poked = true;
}

/* As the server keeps it: with name, uid and a new version. */
static struct object *stored(struct world *w, const struct object *o)
{
    char name[64], version[16], uid[32];
    union {
        struct object object;
        struct slice slice;
        struct endpoints endpoints;
    } copy;
    bool is_slice = o->kind == KIND_SLICE;
    memcpy(&copy, o, is_slice ? sizeof copy.slice : sizeof copy.endpoints);
    (void)snprintf(name, sizeof name, "made-%05u", ++w->n_names);
    (void)snprintf(uid, sizeof uid, "uid-%u", ++w->uid);
    (void)snprintf(version, sizeof version, "%u", ++w->version);
    if (!*copy.object.meta.name)
        copy.object.meta.name = name;
    if (!*copy.object.meta.uid)
        copy.object.meta.uid = uid;
    if (is_slice)
        copy.slice.version = version;
    else
        copy.endpoints.version = version;
    return object_copy(&copy.object);
}

static void echo(struct world *w, enum kind kind, const char *name, const struct object *o)
{
    vec_push(&w->echoes, (struct echo){ .at = w->now + rand_below(&w->rand, 500) * 1000000LL,
                                        .kind = kind,
                                        .object = o ? object_copy(o) : NULL,
                                        .name = xstrdup(name) });
}

/* Events keep their order, as a watch has it. */
static void deliver(struct world *w, bool all)
{
    size_t n = 0;
    while (n < w->echoes.n && (all || w->echoes.items[n].at <= w->now)) {
        struct echo *e = &w->echoes.items[n++];
        if (e->object)
            store_put(w->store, e->object);
        else
            store_delete(w->store, e->kind, "shop", e->name);
        free(e->name);
    }
    if (n)
        memmove(w->echoes.items, w->echoes.items + n, (w->echoes.n - n) * sizeof *w->echoes.items);
    w->echoes.n -= n;
}

const struct object *put_on_server(struct world *w, const struct object *o)
{
    struct object *now = stored(w, o);
    cleanup_free char *name = xstrdup(now->meta.name);
    enum kind kind = now->kind;
    echo(w, kind, name, now);
    store_put(w->server, now);
    return store_get(w->server, kind, "shop", name);
}

void delete_on_server(struct world *w, enum kind kind, const char *name)
{
    if (!store_get(w->server, kind, "shop", name))
        return;
    store_delete(w->server, kind, "shop", name);
    echo(w, kind, name, NULL);
}

static bool apply(struct world *w, const struct flight *f, struct object **ret)
{
    const struct object *old = f->name ? store_get(w->server, f->kind, "shop", f->name) : NULL;
    *ret = NULL;
    if (f->op == WRITE_DELETE) {
        delete_on_server(w, f->kind, f->name);
        return true;
    }
    if (f->op == WRITE_UPDATE &&
        (!old || strcmp(object_version(old), object_version(f->object)) != 0))
        return false;
    if (f->op == WRITE_CREATE && *f->object->meta.name &&
        store_get(w->server, f->kind, "shop", f->object->meta.name))
        return false;
    *ret = object_copy(put_on_server(w, f->object));
    return true;
}

static void land(struct world *w, const struct flight *f)
{
    enum fault fault = rand_below(&w->rand, 100) < w->fault_percent
                           ? (enum fault)(1 + rand_below(&w->rand, FAULTS - 1))
                           : FAULT_NONE;
    struct object *now = NULL;
    struct write_result result = { .outcome = WRITE_OK, .text = "the test says so" };
    bool fits = (fault == FAULT_NONE || fault == FAULT_NO_ANSWER) && apply(w, f, &now);
    if (w->immediate)
        deliver(w, true);
    if (fault == FAULT_AWAY || fault == FAULT_NO_ANSWER)
        result.outcome = WRITE_AWAY;
    else if (!fits)
        result.outcome = WRITE_REFUSED;
    if (now) {
        result.name = now->meta.name;
        result.uid = now->meta.uid;
        result.version = object_version(now);
    }
    w->in_flight--;
    reconcile_written(f->token, &result);
    object_free(now);
}

void flight_done(struct flight *f)
{
    object_free(f->object);
    free(f->name);
}

static void write_object(struct world *w, struct flight f)
{
    w->n_writes++;
    w->in_flight++;
    w->most_in_flight = MAX(w->most_in_flight, w->in_flight);
    if (!w->immediate) {
        vec_push(&w->flights, f);
        return;
    }
    land(w, &f);
    flight_done(&f);
}

static void on_create(void *ctx, const struct object *o, void *token)
{
    write_object(
        ctx, (struct flight){
                 .token = token, .op = WRITE_CREATE, .kind = o->kind, .object = object_copy(o) });
}

static void on_update(void *ctx, const struct object *o, void *token)
{
    write_object(ctx, (struct flight){ .token = token,
                                       .op = WRITE_UPDATE,
                                       .kind = o->kind,
                                       .object = object_copy(o),
                                       .name = xstrdup(o->meta.name) });
}

static void on_remove(void *ctx, enum kind kind, const char *ns, const char *name, void *token)
{
    assert_string_equal(ns, "shop");
    write_object(
        ctx,
        (struct flight){ .token = token, .op = WRITE_DELETE, .kind = kind, .name = xstrdup(name) });
}

static void on_event(void *ctx, const struct event *e)
{
    struct world *w = ctx;
    w->n_events++;
    assert_true(e->warning && *e->reason && *e->message);
}

void world_run(struct world *w)
{
    w->poked = false;
    w->next = reconcile_run(w->r);
}

void world_step(struct world *w)
{
    w->now += 50000000;
    deliver(w, false);
    for (size_t i = rand_below(&w->rand, 3); i > 0 && w->flights.n; i--) {
        size_t k = rand_below(&w->rand, (uint32_t)w->flights.n);
        struct flight f = w->flights.items[k];
        vec_swap_remove(&w->flights, k);
        land(w, &f);
        flight_done(&f);
    }
    if (w->poked || w->now >= w->next)
        world_run(w);
}

void world_settle(struct world *w)
{
    unsigned faults = w->fault_percent, steps = 0;
    w->fault_percent = 0;
    while (!reconcile_is_idle(w->r) || w->flights.n || w->echoes.n || w->poked) {
        world_step(w);
        if (reconcile_is_idle(w->r) || w->flights.n || w->echoes.n)
            ;
        else if (w->next != INT64_MAX && w->next > w->now)
            w->now = w->next; /* long pauses pass quickly */
        assert_true(++steps < 100000);
    }
    w->fault_percent = faults;
}

struct object_writer world_writer(struct world *w)
{
    return (struct object_writer){ .create = on_create,
                                   .update = on_update,
                                   .remove = on_remove,
                                   .event = on_event,
                                   .poke = on_poke,
                                   .now = world_now,
                                   .ctx = w };
}

void world_done(struct world *w)
{
    reconcile_free(w->r);
    vec_each (f, &w->flights)
        flight_done(f);
    vec_each (e, &w->echoes) {
        object_free(e->object);
        free(e->name);
    }
    vec_done(&w->flights);
    vec_done(&w->echoes);
    store_free(w->store);
    store_free(w->server);
}
