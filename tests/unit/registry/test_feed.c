/* What the parts of one process see of its registry, and what they write into it. */
#include "kube/pod.h"
#include "kube/service.h"
#include "loop/loop.h"
#include "registry/feed.h"
#include "registry/inside.h"
#include "registry/registry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct world {
    uv_loop_t loop;
    struct registry *registry;
    struct feed *feed;
    unsigned n_put, n_del, n_synced, n_problem;
    char first[64], last[64]; /* "Service shop/web" */
};

static void note(struct world *w, enum kind kind, const char *ns, const char *name)
{
    (void)snprintf(w->last, sizeof w->last, "%s %s/%s", kind_text(kind), ns, name);
    if (!*w->first)
        memcpy(w->first, w->last, sizeof w->first);
}

static void on_put(void *ctx, struct object *o)
{
    struct world *w = ctx;
    w->n_put++;
    note(w, o->kind, o->meta.namespace, o->meta.name);
    object_free(o);
}

static void on_del(void *ctx, enum kind kind, const char *ns, const char *name)
{
    struct world *w = ctx;
    w->n_del++;
    note(w, kind, ns, name);
}

static void on_synced(void *ctx)
{
    ((struct world *)ctx)->n_synced++;
}

static void on_problem(void *ctx, const char *text)
{
    (void)text;
    ((struct world *)ctx)->n_problem++;
}

static struct inside_reply ask(struct world *w, const char *method, const char *target,
                               const char *type, const char *body)
{
    struct inside_reply r;
    inside_send(w->registry,
                &(struct inside_request){ .method = method,
                                          .target = target,
                                          .type = type,
                                          .body = body,
                                          .body_len = body ? strlen(body) : 0 },
                &r);
    return r;
}

static int set_up(void **state)
{
    struct world *w = xcalloc(1, sizeof *w);
    struct err e;
    uv_loop_init(&w->loop);
    struct registry_options o = { .loop = &w->loop,
                                  .path = ":memory:",
                                  .cluster_ip_range = "10.96.0.0/16",
                                  .node_port_min = 30000,
                                  .node_port_max = 32767 };
    assert_int_equal(registry_open(&o, &w->registry, &e), 0);
    assert_int_equal(
        ask(w, "POST", "/api/v1/namespaces", NULL, "{\"metadata\":{\"name\":\"shop\"}}").status,
        200);
    w->feed = feed_open(
        w->registry,
        &(struct sink){
            .ctx = w, .put = on_put, .del = on_del, .synced = on_synced, .problem = on_problem });
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    feed_close(w->feed);
    registry_close(w->registry);
    loop_done(&w->loop);
    free(w);
    return 0;
}

#define SERVICES "/api/v1/namespaces/shop/services"
#define WEB      "{\"metadata\":{\"name\":\"web\"},\"spec\":{\"ports\":[{\"port\":80}]}}"

static void test_first_what_is_there(void **state)
{
    struct world *w = *state;
    assert_int_equal(w->n_synced, 1);
    assert_int_equal(w->n_put, 2);
    assert_string_equal(w->first, "Namespace /shop");
    assert_string_equal(w->last, "ServiceCIDR /kubernetes"); /* every registry has one */
}

static void test_changes_come_with_the_commit(void **state)
{
    struct world *w = *state;
    struct inside_reply r = ask(w, "POST", SERVICES "?fieldManager=us", NULL, WEB);
    assert_int_equal(r.status, 200);
    assert_string_equal(r.name, "web");
    assert_int_equal(strlen(r.uid), 36);
    assert_true(*r.version);
    assert_int_equal(w->n_put, 2); /* nobody is told of what is not durable */
    registry_commit(w->registry);
    assert_string_equal(w->last, "Service shop/web");
    unsigned before = w->n_put;
    assert_int_equal(ask(w, "DELETE", SERVICES "/web", NULL, NULL).status, 200);
    registry_commit(w->registry);
    assert_string_equal(w->last, "Service shop/web");
    assert_int_equal(w->n_put, before);
    assert_int_equal(w->n_del, 1);
}

static void test_update_needs_the_version(void **state)
{
    struct world *w = *state;
    struct inside_reply r = ask(w, "POST", SERVICES, NULL, WEB);
    char body[256];
    (void)snprintf(body, sizeof body,
                   "{\"metadata\":{\"name\":\"web\",\"resourceVersion\":\"%s\"},"
                   "\"spec\":{\"ports\":[{\"port\":81}]}}",
                   r.version);
    struct inside_reply done = ask(w, "PUT", SERVICES "/web", NULL, body);
    assert_int_equal(done.status, 200);
    assert_string_not_equal(done.version, r.version);
    done = ask(w, "PUT", SERVICES "/web", NULL, body);
    assert_int_equal(done.status, 409);
    assert_non_null(strstr(done.text, "has been modified"));
}

static void test_checks_are_those_of_all(void **state)
{
    struct world *w = *state;
    struct inside_reply r =
        ask(w, "POST", SERVICES, NULL, "{\"metadata\":{\"name\":\"web\"},\"spec\":{}}");
    assert_int_equal(r.status, 422);
    assert_non_null(strstr(r.text, "spec.ports"));
    assert_string_equal(r.name, "");
    assert_int_equal(ask(w, "GET", SERVICES "/none", NULL, NULL).status, 404);
    assert_int_equal(ask(w, "POST", "/apis/apps/v1/namespaces/shop/deployments", NULL, "{}").status,
                     404);
    assert_int_equal(ask(w, "POST", SERVICES, NULL, "{").status, 400);
}

static void test_namespace_that_ends(void **state)
{
    struct world *w = *state;
    const char *held = "{\"metadata\":{\"name\":\"m\",\"finalizers\":[\"example.org/wait\"]}}";
    assert_int_equal(ask(w, "POST", "/api/v1/namespaces/shop/configmaps", NULL, held).status, 200);
    assert_int_equal(ask(w, "DELETE", "/api/v1/namespaces/shop", NULL, NULL).status, 200);
    registry_commit(w->registry);
    struct inside_reply r = ask(w, "POST", SERVICES, NULL, WEB);
    assert_int_equal(r.status, 403);
    assert_true(r.ending);
}

static void test_ended_pods_are_gone(void **state)
{
    struct world *w = *state;
    const char *pods = "/api/v1/namespaces/shop/pods";
    assert_int_equal(ask(w, "POST", pods, NULL,
                         "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":"
                         "[{\"name\":\"c\",\"image\":\"i\"}]}}")
                         .status,
                     200);
    registry_commit(w->registry);
    assert_string_equal(w->last, "Pod shop/p");
    unsigned put = w->n_put;
    assert_int_equal(ask(w, "PATCH", "/api/v1/namespaces/shop/pods/p/status",
                         "application/merge-patch+json", "{\"status\":{\"phase\":\"Failed\"}}")
                         .status,
                     200);
    registry_commit(w->registry);
    assert_int_equal(w->n_put, put);
    assert_int_equal(w->n_del, 1);
    assert_string_equal(w->last, "Pod shop/p");
}

/* Kinds that nobody in the process reads are not decoded. */
static void test_other_kinds_are_passed_over(void **state)
{
    struct world *w = *state;
    unsigned put = w->n_put;
    assert_int_equal(ask(w, "POST", "/apis/coordination.k8s.io/v1/namespaces/shop/leases", NULL,
                         "{\"metadata\":{\"name\":\"l\"}}")
                         .status,
                     200);
    registry_commit(w->registry);
    assert_int_equal(w->n_put, put);
    assert_int_equal(w->n_problem, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_first_what_is_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_changes_come_with_the_commit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_update_needs_the_version, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_checks_are_those_of_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_namespace_that_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ended_pods_are_gone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_kinds_are_passed_over, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
