#include "source/etcd_reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct arena arena;

static struct etcd_reply parse(const char *text)
{
    struct etcd_reply r;
    struct err e = { .text = "" };
    int code = etcd_reply_parse(text, strlen(text), &arena, &r, &e);
    assert_string_equal(e.text, "");
    assert_int_equal(code, 0);
    return r;
}

static void refuse(const char *text, const char *why)
{
    struct etcd_reply r = { .code = 77 };
    struct err e = { .text = "" };
    assert_int_equal(etcd_reply_parse(text, strlen(text), &arena, &r, &e), ERR_PARSE);
    assert_string_equal(e.text, why);
    assert_int_equal(r.code, 77);
}

static void test_list(void **state)
{
    (void)state;
    struct etcd_reply r = parse(
        "{\"header\":{\"cluster_id\":\"18446744073709551615\",\"revision\":\"57\"},"
        "\"kvs\":[{\"key\":\"L2E=\",\"mod_revision\":\"9\",\"value\":\"AGI=\",\"lease\":\"-3\"},"
        "{\"key\":\"L2I=\"}],\"more\":true,\"count\":\"2\"}");
    assert_int_equal(r.revision, 57);
    assert_true(r.cluster == UINT64_MAX && r.more && !r.error);
    assert_int_equal(r.n, 2);
    assert_string_equal(r.events[0].key, "/a");
    assert_memory_equal(r.events[0].value, "\0b", 3);
    assert_int_equal(r.events[0].value_len, 2);
    assert_int_equal(r.events[0].lease, -3);
    assert_int_equal(r.events[0].revision, 9);
    assert_int_equal(r.events[1].value_len, 0);
}

static void test_watch(void **state)
{
    (void)state;
    struct etcd_reply r =
        parse("{\"result\":{\"header\":{\"revision\":\"8\"},\"watch_id\":\"3\",\"fragment\":true,"
              "\"events\":[{\"kv\":{\"key\":\"YQ==\"}},{\"type\":\"DELETE\",\"kv\":{\"key\":"
              "\"Yg==\"}}]}}");
    assert_int_equal(r.watch, 3);
    assert_true(r.fragment && !r.created && !r.cancelled);
    assert_int_equal(r.n, 2);
    assert_false(r.events[0].deleted);
    assert_true(r.events[1].deleted);
    r = parse("{\"result\":{\"created\":true}}");
    assert_true(r.created);
    r = parse(
        "{\"result\":{\"canceled\":true,\"compact_revision\":\"20\",\"cancel_reason\":\"x\"}}");
    assert_true(r.cancelled && r.compact_revision == 20);
    assert_string_equal(r.reason, "x");
}

static void test_errors_of_etcd(void **state)
{
    (void)state;
    struct etcd_reply r = parse("{\"error\":\"gone\",\"message\":\"is gone\",\"code\":11}");
    assert_int_equal(r.code, ETCD_OUT_OF_RANGE);
    assert_string_equal(r.error, "is gone");
    r = parse("{\"error\":{\"grpc_code\":16,\"http_code\":401,\"message\":\"who?\"}}");
    assert_int_equal(r.code, ETCD_UNAUTHENTICATED);
    assert_string_equal(r.error, "who?");
    r = parse("{\"error\":\"nothing more\"}");
    assert_int_equal(r.code, -1);
    assert_string_equal(r.error, "nothing more");
    assert_int_equal(parse("{\"error\":\"x\",\"code\":99999999999}").code, -1);
    assert_int_equal(parse("{\"ID\":\"5\",\"TTL\":\"-1\"}").ttl, -1);
    assert_string_equal(parse("{\"token\":\"t.1\"}").token, "t.1");
}

static void test_what_is_no_reply(void **state)
{
    (void)state;
    refuse("", "the reply is no JSON object");
    refuse("<html>", "the reply is no JSON object");
    refuse("{} {}", "the reply is not one JSON object");
    refuse("{\"kvs\":[{\"value\":\"\"}]}", "a pair has no key");
    refuse("{\"kvs\":[{\"key\":\"a\"}]}", "key is not base64");
    refuse("{\"kvs\":[{\"key\":\"YQ==\",\"value\":\"%\"}]}", "value is not base64");
    refuse("{\"header\":{\"revision\":\"5x\"}}", "header.revision is no number");
    refuse("{\"header\":{\"revision\":\"99999999999999999999\"}}", "header.revision is no number");
}

static void test_requests(void **state)
{
    struct strbuf b = { 0 };
    (void)state;
    etcd_put_range(&b, "/a\0", 3, "/b", 10, 7);
    assert_string_equal(b.p, "{\"key\":\"L2EA\",\"range_end\":\"L2I=\",\"limit\":\"10\","
                             "\"revision\":\"7\"}");
    strbuf_reset(&b);
    etcd_put_watch(&b, 2, "/a", "/b", 8);
    assert_string_equal(b.p, "{\"create_request\":{\"key\":\"L2E=\",\"range_end\":\"L2I=\","
                             "\"start_revision\":\"8\",\"watch_id\":\"2\",\"progress_notify\":true,"
                             "\"fragment\":true}}\n");
    strbuf_reset(&b);
    etcd_put_login(&b, "a\"b", "c\\d\n");
    assert_string_equal(b.p, "{\"name\":\"a\\u0022b\",\"password\":\"c\\u005cd\\u000a\"}");
    strbuf_done(&b);
}

static int done(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list),           cmocka_unit_test(test_watch),
        cmocka_unit_test(test_errors_of_etcd), cmocka_unit_test(test_what_is_no_reply),
        cmocka_unit_test(test_requests),
    };
    arena_init(&arena, 4096);
    return cmocka_run_group_tests_name("etcd_reply", tests, NULL, done);
}
