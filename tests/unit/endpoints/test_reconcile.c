/* The controllers against a server in memory: writes take effect late, come back later still, fail,
 * or succeed without an answer. When all is quiet, the objects are those that a plan wants. */
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
#include "endpoints/plan_endpoints.h"
#include "endpoints/plan_mirror.h"
#include "make.h"
#include "reconcile_world.h"

#define MAX_ENDPOINTS 4
#define SERVICES      6
#define BY_HAND       3 /* Services e0, e1, e2, mostly without selector, whose Endpoints people make */
#define PODS          60

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

static void put_by_hand(struct world *w, const char *name)
{
    const struct object *old = store_get(w->server, KIND_ENDPOINTS, "shop", name);
    const struct label skip = { LABEL_SKIP_MIRROR, "true" };
    struct endpoints_address addresses[6];
    const struct slice_port ports[] = { { .name = "a", .port = 80 }, { .name = "b", .port = 81 } };
    for (unsigned i = 0; i < 6; i++)
        addresses[i] = (struct endpoints_address){ .ip = make_ip(9, rand_below(&w->rand, 20)),
                                                   .hostname = "",
                                                   .node = "",
                                                   .target = { "", "", "", "", "", "", "" } };
    addresses[5].ip.family = rand_below(&w->rand, 2) ? 6 : 0;
    const struct endpoints_subset subsets[] = {
        { addresses, addresses + 2, ports, 1 + rand_below(&w->rand, 2), rand_below(&w->rand, 2),
          (uint16_t)(1 + rand_below(&w->rand, 2)) },
        { addresses + 3, NULL, ports + 1, 3, 0, 1 },
    };
    const struct endpoints e = { .object = { .kind = KIND_ENDPOINTS,
                                             .meta = { .namespace = "shop",
                                                       .name = name,
                                                       .uid = old ? old->meta.uid : "",
                                                       .origin = "",
                                                       .labels = &skip,
                                                       .n_labels = rand_below(&w->rand, 5) == 0 } },
                                 .subsets = subsets,
                                 .n_subsets = rand_below(&w->rand, 3) };
    (void)put_on_server(w, &e.object);
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

/* Somebody deletes an object, or the garbage collection does. */
static void delete_any(struct world *w, enum kind kind)
{
    VEC(char *) names = { 0 };
    store_each(w->server, kind, "shop", collect_name, &names);
    if (names.n)
        delete_on_server(w, kind, names.items[rand_below(&w->rand, (uint32_t)names.n)]);
    vec_each (it, &names)
        free(*it);
    vec_done(&names);
}

/* Endpoints by somebody's hand, for a Service that may be there and may have a selector or not. */
static void change_by_hand(struct world *w)
{
    char name[8], uid[32];
    unsigned what = rand_below(&w->rand, 8);
    (void)snprintf(name, sizeof name, "e%u", rand_below(&w->rand, BY_HAND));
    (void)snprintf(uid, sizeof uid, "svc-%s-%u", name, ++w->uid);
    if (what < 1) {
        store_delete(w->store, KIND_SERVICE, "shop", name);
        return;
    }
    if (what < 3) {
        struct object *made = make_service("shop", name, what == 1 ? "a1" : NULL, 80);
        struct service s = *service_of(made);
        const struct object *old = store_get(w->store, KIND_SERVICE, "shop", name);
        s.object.meta.uid = old ? old->meta.uid : uid;
        store_put(w->store, object_copy(&s.object));
        object_free(made);
        return;
    }
    if (what < 4) {
        delete_on_server(w, KIND_ENDPOINTS, name);
        return;
    }
    const struct object *o = store_get(w->store, KIND_SERVICE, "shop", name);
    if (!o ||
        !service_of(o)->n_selector) /* others are left as people wrote them, until next time */
        put_by_hand(w, name);
}

static void change(struct world *w)
{
    char name[16];
    unsigned what = rand_below(&w->rand, 24);
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
        delete_any(w, rand_below(&w->rand, 3) ? KIND_SLICE : KIND_ENDPOINTS);
    } else if (what < 22) {
        change_by_hand(w);
    } else {
        put_node(w, rand_below(&w->rand, 4));
    }
}

/* ---- what must be true when all is quiet ---- */

struct slices {
    const char *manager;
    VEC(const struct slice *) list;
};

static void collect_slice(void *ctx, const struct object *o)
{
    struct slices *s = ctx;
    if (strcmp(meta_label(&o->meta, LABEL_MANAGED_BY), s->manager) == 0)
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

static void check_endpoints(struct world *w, const struct service *s, const struct pod **pods,
                            size_t n)
{
    const struct object *o = store_get(w->server, KIND_ENDPOINTS, "shop", s->object.meta.name);
    if (!o)
        fail_msg("no Endpoints for %s", s->object.meta.name);
    assert_null(endpoints_build(&(struct endpoints_input){
        .service = s, .pods = pods, .n_pods = n, .existing = endpoints_of(o) }));
}

/* What is to be mirrored is, and nothing else is. */
static void check_mirrored(void *ctx, const struct object *o)
{
    struct world *w = ctx;
    const char *name = o->meta.name;
    const struct object *service = store_get(w->store, KIND_SERVICE, "shop", name);
    struct slices s = { .manager = MIRRORING_CONTROLLER };
    struct mirror_report report;
    struct plan plan;
    store_each_slice_of(w->server, "shop", name, collect_slice, &s);
    if (mirror_applies(service ? service_of(service) : NULL, endpoints_of(o))) {
        mirror_build(&(struct mirror_input){ .endpoints = endpoints_of(o),
                                             .existing = s.list.items,
                                             .n_existing = s.list.n,
                                             .api = true,
                                             .max_addresses = MAX_ENDPOINTS },
                     &plan, &report);
        assert_int_equal(plan.n_puts + plan.n_dels, 0);
        plan_free(&plan);
        w->n_mirrored += s.list.n > 0;
    } else {
        assert_int_equal(s.list.n, 0);
    }
    vec_done(&s.list);
}

static void check_owner(void *ctx, const struct object *o)
{
    struct world *w = ctx;
    if (strcmp(meta_label(&o->meta, LABEL_MANAGED_BY), MIRRORING_CONTROLLER) == 0)
        assert_non_null(store_get(w->server, KIND_ENDPOINTS, "shop", slice_of(o)->service));
}

/* Nothing is left to do for the slices that are there, and they have as many endpoints as slices
 * made from nothing: then they say the same, as no endpoint can be there twice. */
static void check_service(void *ctx, const struct object *o)
{
    struct world *w = ctx;
    struct slices s = { .manager = SLICE_CONTROLLER };
    struct pods p = { .service = service_of(o) };
    struct plan from_here, from_nothing;
    unsigned have = 0;
    if (!p.service->n_selector)
        return;
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
    check_endpoints(w, p.service, p.list.items, p.list.n);
    plan_free(&from_here);
    plan_free(&from_nothing);
    vec_done(&s.list);
    vec_done(&p.list);
}

static void check(struct world *w)
{
    store_each(w->store, KIND_SERVICE, NULL, check_service, w);
    store_each(w->server, KIND_ENDPOINTS, NULL, check_mirrored, w);
    store_each(w->server, KIND_SLICE, NULL, check_owner, w);
    for (unsigned i = 0; i < SERVICES; i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "s%u", i);
        assert_int_equal(!store_get(w->server, KIND_ENDPOINTS, "shop", name),
                         !store_get(w->store, KIND_SERVICE, "shop", name));
    }
    assert_int_equal(store_count(w->store, KIND_ENDPOINTS), store_count(w->server, KIND_ENDPOINTS));
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
                                                                .max_mirrored = MAX_ENDPOINTS,
                                                                .busy_max = { 3, 3, 3 },
                                                                .qps = 50,
                                                                .burst = 20,
                                                                .writer = world_writer(w) });
    reconcile_start(w->r);
}

static unsigned live(uint64_t seed, bool immediate, unsigned fault_percent)
{
    struct world w;
    world_init(&w, seed, immediate);
    w.fault_percent = fault_percent;
    put_node(&w, 3);
    for (unsigned round = 0; round < 15; round++) {
        for (unsigned i = 0; i < 20; i++) {
            change(&w);
            world_step(&w);
        }
        world_settle(&w);
        check(&w);
    }
    assert_true(w.most_in_flight <= 9);
    world_done(&w);
    return w.n_mirrored;
}

static void test_ends_as_planned(void **state)
{
    (void)state;
    unsigned n_mirrored = 0;
    for (uint64_t seed = 1; seed < 8; seed++)
        n_mirrored += live(seed, false, 0) + live(seed, true, 0);
    assert_true(n_mirrored > 20);
}

static void test_ends_as_planned_through_faults(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed < 8; seed++) {
        (void)live(seed, false, 30);
        (void)live(seed, true, 30);
    }
}

/* One Pod that becomes ready is one write a Service; a change of which nothing shows is none. */
static void test_fewest_writes(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1, false);
    put_node(&w, 3);
    world_settle(&w);
    unsigned before = w.n_writes;
    struct object *o = object_copy(store_get(w.store, KIND_POD, "shop", "p0000"));
    struct pod p = *pod_of(o);
    p.phase = p.phase == POD_RUNNING ? POD_PENDING : POD_RUNNING;
    store_put(w.store, object_copy(&p.object));
    world_settle(&w);
    assert_int_equal(w.n_writes, before);
    p.ready = !p.ready;
    p.ready_time_ns = 1767323045000000000;
    store_put(w.store, object_copy(&p.object));
    world_settle(&w);
    assert_int_equal(w.n_writes,
                     before + 4); /* two Services share each label; slices and Endpoints */
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
    world_settle(&w);
    struct pod p = *pod_of(store_get(w.store, KIND_POD, "shop", "p0002"));
    p.ready = !p.ready;
    p.ready_time_ns = 1767323045000000000;
    store_put(w.store, object_copy(&p.object));
    world_settle(&w);
    store_each(w.server, KIND_SLICE, NULL, note_trigger, &found);
    assert_int_equal(found, 2);
    world_done(&w);
}

static void run_all(struct world *w)
{
    while (w->poked || w->now >= w->next)
        world_run(w);
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

/* A Pod on a Node that is not there lets its Service be tried again, ever more seldom; that does
 * not keep others waiting. */
static void test_a_missing_node_holds_nobody_up(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 5, true);
    for (unsigned i = 1; i < PODS; i += 2)
        put_pod(&w, i); /* half of them are on n3 */
    for (unsigned i = 0; i < 300; i++) {
        w.now += 10000000000;
        run_all(&w);
    }
    unsigned before = w.n_writes;
    struct pod p = *pod_of(store_get(w.store, KIND_POD, "shop", "p0002"));
    p.ready = !p.ready;
    store_put(w.store, object_copy(&p.object));
    run_all(&w);
    assert_true(w.n_writes > before);
    assert_true(w.n_events > 0);
    world_done(&w);
}

/* Nothing is written before the start, nor after the end. */
static void test_stops(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 4, false);
    put_node(&w, 3);
    world_run(&w);
    assert_true(w.n_writes > 0 && w.flights.n > 0);
    reconcile_stop(w.r);
    unsigned before = w.n_writes;
    vec_each (f, &w.flights)
        flight_done(f);
    vec_clear(&w.flights);
    w.in_flight = 0;
    for (unsigned i = 0; i < 100; i++) {
        change(&w);
        world_step(&w);
        assert_int_equal(reconcile_run(w.r), INT64_MAX);
    }
    assert_int_equal(w.n_writes, before);
    reconcile_start(w.r);
    world_settle(&w);
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
        cmocka_unit_test(test_a_missing_node_holds_nobody_up),
        cmocka_unit_test(test_stops),
    };
    log_set_level(LOG_ERROR); /* refusals are wanted here */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
