/* Objects as an API server takes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lab/api_object.h"

static json_t *read_json(const char *text)
{
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(json);
    return json;
}

static void assert_path(const char *kind, const char *namespace, const char *path)
{
    struct strbuf b = { 0 };
    assert_true(api_object_path(kind, namespace, &b));
    assert_string_equal(b.p, path);
    strbuf_done(&b);
}

static void paths(void **state)
{
    (void)state;
    struct strbuf b = { 0 };
    assert_path("Pod", "shop", "/api/v1/namespaces/shop/pods");
    assert_path("Node", "", "/api/v1/nodes");
    assert_path("EndpointSlice", "a", "/apis/discovery.k8s.io/v1/namespaces/a/endpointslices");
    assert_path("ClusterRole", "", "/apis/rbac.authorization.k8s.io/v1/clusterroles");
    assert_false(api_object_path("Deployment", "shop", &b));
    assert_null(b.p);
}

static void what_others_are_in_comes_first(void **state)
{
    (void)state;
    assert_true(api_object_rank("Namespace") < api_object_rank("Service"));
    assert_true(api_object_rank("Node") < api_object_rank("Pod"));
    assert_true(api_object_rank("ServiceAccount") < api_object_rank("Pod"));
    assert_true(api_object_has_status("Pod"));
    assert_false(api_object_has_status("ConfigMap"));
}

static void a_container_without_image_has_its_program_s_name(void **state)
{
    (void)state;
    json_t *full = read_json("{\"spec\": {\"containers\": [{\"command\": [\"sleep\", \"1\"]}, "
                             "{\"command\": [\"x\"], \"image\": \"i\"}]}}");
    json_t *want = read_json("{\"spec\": {\"containers\": [{\"command\": [\"sleep\", \"1\"], "
                             "\"image\": \"sleep\"}, {\"command\": [\"x\"], \"image\": \"i\"}]}}");
    json_t *body = api_object_body(full);
    assert_true(json_equal(body, want));
    json_decref(body);
    json_decref(want);
    json_decref(full);
}

static void a_body_has_nothing_of_the_server(void **state)
{
    (void)state;
    json_t *full =
        read_json("{\"metadata\": {\"name\": \"a\", \"uid\": \"u\", \"labels\": {\"x\": "
                  "\"1\"}, \"deletionTimestamp\": \"t\"}, \"spec\": {}, \"status\": {}}");
    json_t *want = read_json("{\"metadata\": {\"name\": \"a\", \"labels\": {\"x\": \"1\"}}, "
                             "\"spec\": {}}");
    json_t *body = api_object_body(full);
    assert_true(json_equal(body, want));
    assert_non_null(json_object_get(full, "status")); /* it is a copy */
    json_decref(full);
    json_decref(want);
    json_decref(body);
}

/* RFC 7386, section 2. */
static void apply(json_t *target, json_t *patch)
{
    const char *key;
    json_t *value;
    json_object_foreach(patch, key, value)
    {
        json_t *old = json_object_get(target, key);
        if (json_is_null(value))
            json_object_del(target, key);
        else if (json_is_object(value) && json_is_object(old))
            apply(old, value);
        else
            json_object_set(target, key, value);
    }
}

static void a_patch_makes_the_one_the_other(void **state)
{
    (void)state;
    static const char *const pairs[][3] = {
        { "{\"a\": 1, \"b\": {\"c\": 1, \"d\": 2}}", "{\"a\": 1, \"b\": {\"d\": 3, \"e\": [1]}}",
          "{\"b\": {\"c\": null, \"d\": 3, \"e\": [1]}}" },
        { "{}", "{\"a\": {\"b\": 1}}", "{\"a\": {\"b\": 1}}" },
        { "{\"a\": {\"b\": 1}}", "{\"a\": [2]}", "{\"a\": [2]}" },
        { "{\"a\": [1, 2]}", "{\"a\": [2]}", "{\"a\": [2]}" },
        { "{\"a\": 1}", "{}", "{\"a\": null}" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
        json_t *before = read_json(pairs[i][0]), *after = read_json(pairs[i][1]);
        json_t *want = read_json(pairs[i][2]), *patch = api_object_patch(before, after);
        assert_true(json_equal(patch, want));
        apply(before, patch);
        assert_true(json_equal(before, after));
        assert_null(api_object_patch(before, after));
        json_decref(before);
        json_decref(after);
        json_decref(want);
        json_decref(patch);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths),
        cmocka_unit_test(what_others_are_in_comes_first),
        cmocka_unit_test(a_body_has_nothing_of_the_server),
        cmocka_unit_test(a_container_without_image_has_its_program_s_name),
        cmocka_unit_test(a_patch_makes_the_one_the_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
