#include "base/mem.h"
#include "net/doh_request.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void expect(const char *target, int status, const char *message, size_t len)
{
    size_t size = strlen(target), n = 0;
    /* Of their own size, so that a sanitizer sees a byte too many. */
    char *in = xmalloc(size + 1);
    uint8_t *out = xmalloc(size + 1);
    memcpy(in, target, size);
    int got = doh_target(in, size, true, out, &n);
    if (got != status)
        fail_msg("%s: %d and not %d", target, got, status);
    if (status == 0) {
        assert_int_equal(n, len);
        assert_memory_equal(out, message, len);
    }
    free(in);
    free(out);
}

static void test_decodes(void **state)
{
    (void)state;
    expect("/dns-query?dns=", 0, "", 0);
    expect("/dns-query?dns=Zg", 0, "f", 1);
    expect("/dns-query?dns=Zm8", 0, "fo", 2);
    expect("/dns-query?dns=Zm9v", 0, "foo", 3);
    expect("/dns-query?dns=Zm9vYmFy", 0, "foobar", 6);
    expect("/dns-query?dns=-_-_", 0, "\xfb\xff\xbf", 3);
    expect("/dns-query?dns=Zm%39v", 0, "foo", 3);
    expect("/dns-query?dns=%5am%39%76", 0, "foo", 3);
    expect("/dns-query?a=b&dns=Zm9v&dnss=x&c", 0, "foo", 3);
    expect("/dns-query?&&dns=Zm9v&", 0, "foo", 3);
    expect("https://dns.test/dns-query?dns=Zm9v", 0, "foo", 3);
    expect("http://[::1]:80/dns-query?dns=Zm9v", 0, "foo", 3);
}

static void test_bad_requests(void **state)
{
    (void)state;
    expect("/dns-query", 400, NULL, 0);
    expect("/dns-query?", 400, NULL, 0);
    expect("/dns-query?DNS=Zm9v", 400, NULL, 0);
    expect("/dns-query?dns", 400, NULL, 0);
    expect("/dns-query?dns=Z", 400, NULL, 0);
    expect("/dns-query?dns=Zm9vY", 400, NULL, 0);
    expect("/dns-query?dns=Zg==", 400, NULL, 0);
    expect("/dns-query?dns=Zg%3D%3D", 400, NULL, 0);
    expect("/dns-query?dns=Zm+v", 400, NULL, 0);
    expect("/dns-query?dns=Zm/v", 400, NULL, 0);
    expect("/dns-query?dns=Zm9v&dns=Zm9v", 400, NULL, 0);
    expect("/dns-query?dns=Zm9v%", 400, NULL, 0);
    expect("/dns-query?dns=Zm9v%3", 400, NULL, 0);
    expect("/dns-query?dns=Zm9v%xx", 400, NULL, 0);
}

static void test_other_paths(void **state)
{
    (void)state;
    expect("", 404, NULL, 0);
    expect("/", 404, NULL, 0);
    expect("*", 404, NULL, 0);
    expect("/dns-quer", 404, NULL, 0);
    expect("/dns-query/?dns=Zm9v", 404, NULL, 0);
    expect("/dns-querys?dns=Zm9v", 404, NULL, 0);
    expect("/DNS-QUERY?dns=Zm9v", 404, NULL, 0);
    expect("https://dns.test", 404, NULL, 0);
    expect("https://", 404, NULL, 0);
    expect("ftp://dns.test/dns-query?dns=Zm9v", 404, NULL, 0);
}

static void test_the_query_means_nothing_to_a_post(void **state)
{
    size_t n = 7;
    (void)state;
    assert_int_equal(doh_target("/dns-query?dns=!", 16, false, NULL, &n), 0);
    assert_int_equal(doh_target("/x", 2, false, NULL, &n), 404);
    assert_int_equal(n, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decodes),
        cmocka_unit_test(test_bad_requests),
        cmocka_unit_test(test_other_paths),
        cmocka_unit_test(test_the_query_means_nothing_to_a_post),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
