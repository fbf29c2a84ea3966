#include "registry/request.h"

#include "documents.h"

static struct arena arena;

static struct request read_one(const char *target)
{
    struct request q = { 0 };
    struct fault f = { 0 };
    assert_int_equal(request_read("GET", target, &arena, &q, &f), 0);
    return q;
}

static void test_resources(void **state)
{
    (void)state;
    struct request q = read_one("/api/v1/namespaces/shop/services/web/status?x=a%2Bb+c&y");
    assert_string_equal(q.resource->kind, "Service");
    assert_string_equal(q.namespace, "shop");
    assert_string_equal(q.name, "web");
    assert_string_equal(q.sub, "status");
    assert_string_equal(request_get(&q, "x"), "a+b c");
    assert_true(request_is(&q, "y"));
    assert_false(request_is(&q, "z"));
    q = read_one("/api/v1/namespaces/shop");
    assert_string_equal(q.resource->kind, "Namespace");
    assert_string_equal(q.name, "shop");
    q = read_one("/api/v1/namespaces/shop/status");
    assert_string_equal(q.sub, "status");
    q = read_one("/apis/discovery.k8s.io/v1/endpointslices");
    assert_string_equal(q.resource->kind, "EndpointSlice");
    assert_string_equal(q.namespace, "");
    assert_null(read_one("/apis/apps/v1/namespaces/a/deployments").resource);
    assert_null(read_one("/api/v1/namespaces/a/nodes").resource);
    assert_null(read_one("/api/v1/services/web").resource);
    assert_null(read_one("/api/v1").resource);
}

static void test_bad_targets(void **state)
{
    static const char *const bad[] = {
        "", "x", "/%", "/%0", "/%zz", "/a?b=%1", "/a?b=%00", "/1/2/3/4/5/6/7/8/9/10/11/12/13"
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct request q = { 0 };
        struct fault f = { 0 };
        assert_int_equal(request_read("GET", bad[i], &arena, &q, &f), -1);
        assert_int_equal(f.code, 400);
        fault_done(&f);
    }
}

static void test_options(void **state)
{
    struct fault f = { 0 };
    int64_t n;
    bool dry;
    enum field_validation how;
    (void)state;
    struct request q = read_one("/a?limit=12&bad=1x&dryRun=All&fieldValidation=Strict");
    assert_int_equal(request_number(&q, "limit", 0, &n, &f), 0);
    assert_int_equal(n, 12);
    assert_int_equal(request_number(&q, "none", 7, &n, &f), 0);
    assert_int_equal(n, 7);
    assert_int_equal(request_number(&q, "bad", 0, &n, &f), -1);
    assert_int_equal(request_dry_run(&q, &dry, &f), 0);
    assert_true(dry);
    assert_int_equal(request_field_validation(&q, &how, &f), 0);
    assert_int_equal(how, FIELDS_STRICT);
    q = read_one("/a?dryRun=x");
    assert_int_equal(request_dry_run(&q, &dry, &f), -1);
    assert_int_equal(f.code, 422);
    fault_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resources),
        cmocka_unit_test(test_bad_targets),
        cmocka_unit_test(test_options),
    };
    schema_init();
    arena_init(&arena, 4096);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_done(&arena);
    return failed;
}
