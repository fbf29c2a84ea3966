/* The controller against a server in memory: writes take effect late, come back later still, fail,
 * or succeed without an answer. When all is quiet, the slices are those that a plan wants. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/rand.h"
#include "base/vec.h"
#include "endpoints/plan.h"
#include "endpoints/reconcile.h"
#include "make.h"

#define MAX_ENDPOINTS 4
#define SERVICES      6
#define PODS          60

enum fault { FAULT_NONE, FAULT_REFUSED, FAULT_AWAY, FAULT_NO_ANSWER, FAULTS };

struct flight {
    void *token;
    enum write_op op;
    struct object *slice;
    char *namespace, *name;
};

struct echo {
    int64_t at;
    struct object *slice; /* NULL: deleted */
    char *name;
};

struct world {
    struct store *store;
    struct store *server; /* what is true */
    struct reconcile *r;
    int64_t now, next;
    bool poked;
    struct rand rand;
    unsigned fault_percent, n_writes, n_names, version, uid;
    unsigned in_flight, most_in_flight;
    VEC(struct flight) flights;
    VEC(struct echo) echoes;
    bool immediate; /* writes take effect from within, as in the same process */
};

static int64_t world_now(void *ctx)
{
    return ((struct world *)ctx)->now;
}

static void on_poke(void *ctx)
{
    ((struct world *)ctx)->poked = true;
}

/* As the server keeps it: with name, uid and a new version. */
static struct object *stored(struct world *w, const struct slice *s)
{
    char name[64], version[16], uid[32];
    struct slice copy = *s;
    (void)snprintf(name, sizeof name, "%s-%05u", s->service, ++w->n_names);
    (void)snprintf(uid, sizeof uid, "uid-%u", ++w->uid);
    (void)snprintf(version, sizeof version, "%u", ++w->version);
    if (!*copy.object.meta.name) {
        copy.object.meta.name = name;
        copy.object.meta.uid = uid;
    }
    copy.version = version;
    return object_copy(&copy.object);
}

static void echo(struct world *w, const char *name, const struct object *o)
{
    vec_push(&w->echoes, (struct echo){ .at = w->now + rand_below(&w->rand, 500) * 1000000LL,
                                        .slice = o ? object_copy(o) : NULL,
                                        .name = xstrdup(name) });
}

/* Events keep their order, as a watch has it. */
static void deliver(struct world *w, bool all)
{
    size_t n = 0;
    while (n < w->echoes.n && (all || w->echoes.items[n].at <= w->now)) {
        struct echo *e = &w->echoes.items[n++];
        if (e->slice)
            store_put(w->store, e->slice);
        else
            store_delete(w->store, KIND_SLICE, "shop", e->name);
        free(e->name);
    }
    if (n)
        memmove(w->echoes.items, w->echoes.items + n, (w->echoes.n - n) * sizeof *w->echoes.items);
    w->echoes.n -= n;
}

static bool apply(struct world *w, const struct flight *f, struct object **ret)
{
    const struct object *old =
        f->name ? store_get(w->server, KIND_SLICE, f->namespace, f->name) : NULL;
    *ret = NULL;
    if (f->op == WRITE_DELETE) {
        if (old) {
            store_delete(w->server, KIND_SLICE, f->namespace, f->name);
            echo(w, f->name, NULL);
        }
        return true;
    }
    if (f->op == WRITE_UPDATE &&
        (!old || strcmp(slice_of(old)->version, slice_of(f->slice)->version) != 0))
        return false;
    *ret = stored(w, slice_of(f->slice));
    store_put(w->server, object_copy(*ret));
    echo(w, (*ret)->meta.name, *ret);
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
        result.version = slice_of(now)->version;
    }
    w->in_flight--;
    reconcile_written(f->token, &result);
    object_free(now);
}

static void flight_done(struct flight *f)
{
    object_free(f->slice);
    free(f->namespace);
    free(f->name);
}

static void on_write(void *ctx, const struct slice_write *x)
{
    struct world *w = ctx;
    struct flight f = { .token = x->token,
                        .op = x->op,
                        .slice = x->slice ? object_copy(&x->slice->object) : NULL,
                        .namespace = xstrdup(x->namespace),
                        .name = x->name ? xstrdup(x->name) : NULL };
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

static void run(struct world *w)
{
    w->poked = false;
    w->next = reconcile_run(w->r);
}

static void step(struct world *w)
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
        run(w);
}

static void settle(struct world *w)
{
    unsigned faults = w->fault_percent, steps = 0;
    w->fault_percent = 0;
    while (!reconcile_is_idle(w->r) || w->flights.n || w->echoes.n || w->poked) {
        step(w);
        if (reconcile_is_idle(w->r) || w->flights.n || w->echoes.n)
            ;
        else if (w->next != INT64_MAX && w->next > w->now)
            w->now = w->next; /* long pauses pass quickly */
        assert_true(++steps < 100000);
    }
    w->fault_percent = faults;
}

/* ---- changes ---- */

static void put_service(struct world *w, unsigned n)
{
    char name[8], app[8], uid[32], color[8];
    (void)snprintf(name, sizeof name, "s%u", n);
    (void)snprintf(app, sizeof app, "a%u", n % 3);
    (void)snprintf(uid, sizeof uid, "svc-%u", n);
    (void)snprintf(color, sizeof color, "%u", rand_below(&w->rand, 2));
    struct object *made =
        make_service("shop", name, app, (uint16_t)(8080 + rand_below(&w->rand, 2)));
    struct service s = *service_of(made);
    const struct label label = { "color", color };
    const struct object *old = store_get(w->store, KIND_SERVICE, "shop", name);
    if (!old)
        (void)snprintf(uid, sizeof uid, "svc-%u-%u", n, ++w->uid);
    s.object.meta.uid = old ? old->meta.uid : uid;
    s.object.meta.labels = &label;
    s.object.meta.n_labels = 1;
    s.headless = n == 1;
    s.publish_not_ready = n == 2;
    s.traffic_distribution = rand_below(&w->rand, 2) ? "PreferClose" : NULL;
    store_put(w->store, object_copy(&s.object));
    object_free(made);
}

static void put_pod(struct world *w, unsigned n)
{
    char app[8], uid[32], node[8];
    (void)snprintf(app, sizeof app, "a%u", rand_below(&w->rand, 3));
    struct object *made = make_pod("shop", n, app, rand_below(&w->rand, 3) > 0);
    struct pod p = *pod_of(made);
    (void)snprintf(uid, sizeof uid, "pod-%u-%u", n, rand_below(&w->rand, 2));
    (void)snprintf(node, sizeof node, "n%u", n % 4);
    p.object.meta.uid = uid;
    p.object.meta.deleting = rand_below(&w->rand, 10) == 0;
    p.node = node;
    p.ready_time_ns = 1000000000LL * (1 + rand_below(&w->rand, 1000));
    store_put(w->store, object_copy(&p.object));
    object_free(made);
}

static void put_node(struct world *w, unsigned n)
{
    char name[8];
    (void)snprintf(name, sizeof name, "n%u", n);
    const struct node node = { .object = { .kind = KIND_NODE,
                                           .meta = make_meta("", name, NULL, 0) },
                               .zone = rand_below(&w->rand, 2) ? "za" : "zb" };
    store_put(w->store, object_copy(&node.object));
}

static void collect_name(void *ctx, const struct object *o)
{
    VEC(char *) *list = ctx;
    vec_push(list, xstrdup(o->meta.name));
}

/* Somebody deletes a slice, or the garbage collection does. */
static void delete_slice(struct world *w)
{
    VEC(char *) names = { 0 };
    store_each(w->server, KIND_SLICE, "shop", collect_name, &names);
    if (names.n) {
        const char *name = names.items[rand_below(&w->rand, (uint32_t)names.n)];
        store_delete(w->server, KIND_SLICE, "shop", name);
        echo(w, name, NULL);
    }
    vec_each (it, &names)
        free(*it);
    vec_done(&names);
}

static void change(struct world *w)
{
    char name[16];
    unsigned what = rand_below(&w->rand, 20);
    if (what < 10) {
        put_pod(w, rand_below(&w->rand, PODS));
    } else if (what < 14) {
        (void)snprintf(name, sizeof name, "p%04u", rand_below(&w->rand, PODS));
        store_delete(w->store, KIND_POD, "shop", name);
    } else if (what < 16) {
        put_service(w, rand_below(&w->rand, SERVICES));
    } else if (what < 17) {
        (void)snprintf(name, sizeof name, "s%u", rand_below(&w->rand, SERVICES));
        store_delete(w->store, KIND_SERVICE, "shop", name);
    } else if (what < 18) {
        delete_slice(w);
    } else {
        put_node(w, rand_below(&w->rand, 4));
    }
}

/* ---- what must be true when all is quiet ---- */

struct slices {
    VEC(const struct slice *) list;
};

static void collect_slice(void *ctx, const struct object *o)
{
    struct slices *s = ctx;
    vec_push(&s->list, slice_of(o));
}

struct pods {
    const struct service *service;
    VEC(const struct pod *) list;
};

static void collect_pod(void *ctx, const struct object *o)
{
    struct pods *p = ctx;
    if (labels_match(&o->meta, p->service->selector, p->service->n_selector))
        vec_push(&p->list, pod_of(o));
}

static const struct node *find_node(void *ctx, const char *name)
{
    const struct object *o = store_get(ctx, KIND_NODE, "", name);
    return o ? node_of(o) : NULL;
}

static unsigned count_endpoints(const struct plan *p)
{
    unsigned n = 0;
    for (size_t i = 0; i < p->n_puts; i++)
        n += slice_of(p->puts[i])->n_endpoints;
    return n;
}

static void plan_free(struct plan *p)
{
    for (size_t i = 0; i < p->n_puts; i++)
        object_free(p->puts[i]);
    plan_done(p);
}

/* Nothing is left to do for the slices that are there, and they have as many endpoints as slices
 * made from nothing: then they say the same, as no endpoint can be there twice. */
static void check_service(void *ctx, const struct object *o)
{
    struct world *w = ctx;
    struct slices s = { 0 };
    struct pods p = { .service = service_of(o) };
    struct plan from_here, from_nothing;
    unsigned have = 0;
    store_each_slice_of(w->server, "shop", o->meta.name, collect_slice, &s);
    store_each(w->store, KIND_POD, "shop", collect_pod, &p);
    struct plan_input in = { .service = p.service,
                             .pods = p.list.items,
                             .n_pods = p.list.n,
                             .node = find_node,
                             .ctx = w->store,
                             .existing = s.list.items,
                             .n_existing = s.list.n,
                             .nodes_required = true,
                             .placeholder = true,
                             .api = true,
                             .max_endpoints = MAX_ENDPOINTS };
    plan_build(&in, &from_here);
    in.n_existing = 0;
    plan_build(&in, &from_nothing);
    vec_each (it, &s.list) {
        have += (*it)->n_endpoints;
        assert_true((*it)->n_endpoints <= MAX_ENDPOINTS);
        assert_string_equal((*it)->owner_uid, o->meta.uid);
    }
    assert_int_equal(from_here.n_puts, 0);
    assert_int_equal(from_here.n_dels, 0);
    assert_int_equal(have, count_endpoints(&from_nothing));
    assert_true(s.list.n > 0);
    plan_free(&from_here);
    plan_free(&from_nothing);
    vec_done(&s.list);
    vec_done(&p.list);
}

static void check(struct world *w)
{
    store_each(w->store, KIND_SERVICE, NULL, check_service, w);
    assert_int_equal(store_count(w->store, KIND_SLICE), store_count(w->server, KIND_SLICE));
}

/* ---- */

static void world_init(struct world *w, uint64_t seed, bool immediate)
{
    *w = (struct world){ .store = store_new(), .server = store_new(), .immediate = immediate };
    for (unsigned i = 0; i < 4; i++)
        w->rand.s[i] = seed * 77 + i + 1;
    w->now = 1000000000;
    for (unsigned i = 0; i < 3; i++)
        put_node(w, i);
    for (unsigned i = 0; i < SERVICES; i++)
        put_service(w, i);
    for (unsigned i = 0; i < PODS; i += 2)
        put_pod(w, i);
    store_set_synced(w->store);
    w->r = reconcile_new(w->store, &(struct reconcile_options){ .max_endpoints = MAX_ENDPOINTS,
                                                                .busy_max = 3,
                                                                .qps = 50,
                                                                .burst = 20,
                                                                .write = on_write,
                                                                .poke = on_poke,
                                                                .now = world_now,
                                                                .ctx = w });
    reconcile_start(w->r);
}

static void world_done(struct world *w)
{
    reconcile_free(w->r);
    vec_each (f, &w->flights)
        flight_done(f);
    vec_each (e, &w->echoes) {
        object_free(e->slice);
        free(e->name);
    }
    vec_done(&w->flights);
    vec_done(&w->echoes);
    store_free(w->store);
    store_free(w->server);
}

static void live(uint64_t seed, bool immediate, unsigned fault_percent)
{
    struct world w;
    world_init(&w, seed, immediate);
    w.fault_percent = fault_percent;
    put_node(&w, 3);
    for (unsigned round = 0; round < 15; round++) {
        for (unsigned i = 0; i < 20; i++) {
            change(&w);
            step(&w);
        }
        settle(&w);
        check(&w);
    }
    assert_true(w.most_in_flight <= 3);
    world_done(&w);
}

static void test_ends_as_planned(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed < 8; seed++) {
        live(seed, false, 0);
        live(seed, true, 0);
    }
}

static void test_ends_as_planned_through_faults(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed < 8; seed++) {
        live(seed, false, 30);
        live(seed, true, 30);
    }
}

/* One Pod that becomes ready is one write a Service; a change of which nothing shows is none. */
static void test_fewest_writes(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1, false);
    put_node(&w, 3);
    settle(&w);
    unsigned before = w.n_writes;
    struct object *o = object_copy(store_get(w.store, KIND_POD, "shop", "p0000"));
    struct pod p = *pod_of(o);
    p.phase = p.phase == POD_RUNNING ? POD_PENDING : POD_RUNNING;
    store_put(w.store, object_copy(&p.object));
    settle(&w);
    assert_int_equal(w.n_writes, before);
    p.ready = !p.ready;
    p.ready_time_ns = 1767323045000000000;
    store_put(w.store, object_copy(&p.object));
    settle(&w);
    assert_int_equal(w.n_writes, before + 2); /* two Services share each label */
    object_free(o);
    world_done(&w);
}

static void note_trigger(void *ctx, const struct object *o)
{
    int64_t *found = ctx;
    if (slice_of(o)->trigger_time_ns == 1767323045000000000)
        (*found)++;
}

static void test_trigger_time(void **state)
{
    (void)state;
    struct world w;
    int64_t found = 0;
    world_init(&w, 2, false);
    put_node(&w, 3);
    settle(&w);
    struct pod p = *pod_of(store_get(w.store, KIND_POD, "shop", "p0002"));
    p.ready = !p.ready;
    p.ready_time_ns = 1767323045000000000;
    store_put(w.store, object_copy(&p.object));
    settle(&w);
    store_each(w.server, KIND_SLICE, NULL, note_trigger, &found);
    assert_int_equal(found, 2);
    world_done(&w);
}

static void run_all(struct world *w)
{
    while (w->poked || w->now >= w->next)
        run(w);
}

/* A burst, then so many a second. */
static void test_rate(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 3, true);
    for (unsigned i = 6; i < 206; i++)
        put_service(&w, i);
    run_all(&w);
    assert_int_equal(w.n_writes, 20);
    for (unsigned i = 0; i < 20; i++) {
        w.now += 50000000;
        run_all(&w);
    }
    assert_in_range(w.n_writes, 60, 70);
    world_done(&w);
}

/* Nothing is written before the start, nor after the end. */
static void test_stops(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 4, false);
    put_node(&w, 3);
    run(&w);
    assert_true(w.n_writes > 0 && w.flights.n > 0);
    reconcile_stop(w.r);
    unsigned before = w.n_writes;
    vec_each (f, &w.flights)
        flight_done(f);
    vec_clear(&w.flights);
    w.in_flight = 0;
    for (unsigned i = 0; i < 100; i++) {
        change(&w);
        step(&w);
        assert_int_equal(reconcile_run(w.r), INT64_MAX);
    }
    assert_int_equal(w.n_writes, before);
    reconcile_start(w.r);
    settle(&w);
    check(&w);
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends_as_planned),
        cmocka_unit_test(test_ends_as_planned_through_faults),
        cmocka_unit_test(test_fewest_writes),
        cmocka_unit_test(test_trigger_time),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_stops),
    };
    log_set_level(LOG_ERROR); /* refusals are wanted here */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
