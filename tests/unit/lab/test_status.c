/* Objects as they are once the lab has acted on them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "lab/manifest.h"
#include "lab/status.h"

static struct topology t;

static json_t *pod_json(const char *status)
{
    return json_pack("{s:s, s:{s:s, s:s}, s:{}, s:o}", "kind", "Pod", "metadata", "namespace", "n",
                     "name", "p", "spec", "status", json_loads(status, 0, NULL));
}

static int set_up(void **state)
{
    (void)state;
    struct err e;
    return topology_add_node(&t, NULL, &e);
}

static int tear_down(void **state)
{
    (void)state;
    topology_done(&t);
    return 0;
}

static const char *condition(json_t *pod, const char *type)
{
    json_t *item;
    size_t i;
    json_array_foreach(json_at(pod, "status.conditions"), i, item)
    {
        if (str_eq(json_text(item, "type"), type))
            return json_text(item, "status");
    }
    return NULL;
}

static void containers_have_a_status_each(void **state)
{
    (void)state;
    struct err e;
    const struct topology_pod *place;
    json_t *json = json_pack("{s:s, s:{s:s, s:s}, s:{s:[{s:s, s:s}, {s:s}]}}", "kind", "Pod",
                             "metadata", "namespace", "n", "name", "q", "spec", "containers",
                             "name", "a", "image", "i:1", "name", "b");
    struct pod_status s = { .state = POD_STATE_RUNNING, .ready = true, .started = 86400 };
    assert_int_equal(topology_add_pod(&t, json, &place, &e), 0);
    json_t *full = status_of_pod(json, &t, place, &s);
    json_t *list = json_at(full, "status.containerStatuses"), *first = json_array_get(list, 0);
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(json_text(first, "name"), "a");
    assert_string_equal(json_text(first, "image"), "i:1");
    assert_true(json_is_true(json_object_get(first, "ready")));
    assert_string_equal(json_text(first, "state.running.startedAt"), "1970-01-02T00:00:00Z");
    json_decref(full);
    s = (struct pod_status){ .state = POD_STATE_PENDING };
    full = status_of_pod(json, &t, NULL, &s);
    first = json_array_get(json_at(full, "status.containerStatuses"), 1);
    assert_true(json_is_false(json_object_get(first, "ready")));
    assert_string_equal(json_text(first, "state.waiting.reason"), "ContainerCreating");
    json_decref(full);
    topology_remove_pod(&t, "n/q");
    json_decref(json);
}

static void pod_through_its_life(void **state)
{
    (void)state;
    struct err e;
    const struct topology_pod *place;
    json_t *json = pod_json("{}");
    struct pod_status s = { .state = POD_STATE_RUNNING, .ready = true, .changed = 86400 };
    assert_int_equal(topology_add_pod(&t, json, &place, &e), 0);

    json_t *full = status_of_pod(json, &t, place, &s);
    assert_string_equal(json_text(full, "status.phase"), "Running");
    assert_string_equal(json_text(full, "status.podIP"), "10.244.1.2");
    assert_string_equal(json_text(full, "status.hostIP"), "172.18.0.11");
    assert_string_equal(json_text(full, "spec.nodeName"), "node-1");
    assert_string_equal(condition(full, "Ready"), "True");
    assert_string_equal(
        json_text(json_array_get(json_at(full, "status.conditions"), 3), "lastTransitionTime"),
        "1970-01-02T00:00:00Z");
    assert_null(json_at(full, "metadata.deletionTimestamp"));
    assert_int_equal(strlen(json_text(full, "metadata.uid")), 36);

    s.state = POD_STATE_ENDING;
    s.ready = false;
    json_t *ending = status_of_pod(json, &t, place, &s);
    assert_string_equal(condition(ending, "Ready"), "False");
    assert_non_null(json_at(ending, "metadata.deletionTimestamp"));
    assert_string_equal(json_text(full, "metadata.uid"), json_text(ending, "metadata.uid"));
    assert_null(json_at(json, "spec.nodeName")); /* the manifest itself is left alone */
    json_decref(full);
    json_decref(ending);
    json_decref(json);
}

static void pod_that_does_not_run(void **state)
{
    (void)state;
    json_t *json = pod_json("{}");
    struct pod_status s = { .message = "because" };
    json_t *full = status_of_pod(json, &t, NULL, &s);
    assert_string_equal(json_text(full, "status.phase"), "Pending");
    assert_string_equal(json_text(full, "status.message"), "because");
    assert_null(json_at(full, "status.podIP"));
    assert_string_equal(condition(full, "Ready"), "False");
    json_decref(full);
    json_decref(json);
}

static void manifest_that_says_not_ready(void **state)
{
    (void)state;
    static const struct {
        const char *status;
        bool allowed;
    } cases[] = {
        { "{}", true },
        { "{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}", true },
        { "{\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\"}]}", false },
        { "{\"conditions\":[{\"type\":\"Initialized\",\"status\":\"False\"}]}", true },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        json_t *json = pod_json(cases[i].status);
        assert_int_equal(status_allows_ready(json), cases[i].allowed);
        json_decref(json);
    }
}

static void node_that_nobody_described(void **state)
{
    (void)state;
    json_t *full = status_of_node(NULL, &t.nodes.items[0]);
    assert_string_equal(json_text(full, "metadata.name"), "node-1");
    assert_string_equal(json_text(full, "spec.podCIDR"), "10.244.1.0/24");
    json_t *first = json_array_get(json_at(full, "status.addresses"), 0);
    assert_string_equal(json_text(first, "address"), "172.18.0.11");
    json_decref(full);
}

static void file_names(void **state)
{
    (void)state;
    char out[100];
    assert_string_equal(status_file_name("EndpointSlice", "a", "b.c", out, sizeof out),
                        "endpointslice_a_b.c.json");
    assert_string_equal(status_file_name("Node", "", "../x", out, sizeof out), "node__..-x.json");
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(pod_through_its_life),
        WITH(containers_have_a_status_each),
        WITH(pod_that_does_not_run),
        WITH(node_that_nobody_described),
        cmocka_unit_test(manifest_that_says_not_ready),
        cmocka_unit_test(file_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
