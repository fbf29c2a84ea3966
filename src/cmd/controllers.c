#include "cmd/controllers.h"

#include "base/clock.h"

#include <string.h>

static void on_work(uv_timer_t *t)
{
    struct controllers *c = t->data;
    c->poked = false;
    int64_t next = reconcile_run(c->reconcile);
    if (c->poked || next == INT64_MAX)
        return;
    int64_t pause = next - clock_ns();
    uv_timer_start(t, on_work, pause > 0 ? (uint64_t)(pause / 1000000) + 1 : 0, 0);
}

static void on_poke(void *ctx)
{
    struct controllers *c = ctx;
    if (c->poked)
        return;
    c->poked = true;
    uv_timer_start(&c->work, on_work, 0, 0);
}

static void on_create(void *ctx, const struct object *o, void *token)
{
    struct controllers *c = ctx;
    api_writer_create(c->writer, o, token);
}

static void on_update(void *ctx, const struct object *o, void *token)
{
    struct controllers *c = ctx;
    api_writer_update(c->writer, o, token);
}

static void on_remove(void *ctx, enum kind kind, const char *ns, const char *name, void *token)
{
    struct controllers *c = ctx;
    api_writer_remove(c->writer, kind, ns, name, token);
}

static void on_event(void *ctx, const struct event *e)
{
    struct controllers *c = ctx;
    event_writer_write(c->events, e);
}

void controllers_open(struct controllers *c, uv_loop_t *loop, struct store *store,
                      const struct write_target *to, const struct controller_options *o,
                      unsigned qps, unsigned burst)
{
    struct reconcile_options options = { .max_endpoints = (unsigned)o->max_endpoints,
                                         .max_mirrored = (unsigned)o->max_mirrored,
                                         .qps = qps,
                                         .burst = burst,
                                         .writer = { .create = on_create,
                                                     .update = on_update,
                                                     .remove = on_remove,
                                                     .event = on_event,
                                                     .poke = on_poke,
                                                     .ctx = c } };
    for (unsigned i = 0; i < CONTROLLERS; i++) {
        options.busy_max[i] = o->busy_max[i];
        options.batch_ns[i] = o->batch[i];
    }
    uv_timer_init(loop, &c->work);
    c->work.data = c;
    c->writer = api_writer_new(to);
    c->events = event_writer_new(to);
    c->reconcile = reconcile_new(store, &options);
}

void controllers_start(struct controllers *c)
{
    reconcile_start(c->reconcile);
}

void controllers_stop(struct controllers *c)
{
    api_writer_cancel(c->writer);
    reconcile_stop(c->reconcile);
}

void controllers_close(struct controllers *c)
{
    if (!c->reconcile)
        return;
    api_writer_free(c->writer);
    event_writer_free(c->events);
    reconcile_free(c->reconcile);
    c->reconcile = NULL;
    uv_close((uv_handle_t *)&c->work, NULL);
}
