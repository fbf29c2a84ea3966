#include "dns/miss.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct miss_facts facts = { .namespace = "shop",
                                         .service = "web",
                                         .port = "_http",
                                         .protocol = "_tcp",
                                         .endpoint = "a-b",
                                         .address = "10.0.0.1",
                                         .type = "AAAA",
                                         .not_ready = 2 };

static void says(enum miss m, const struct miss_facts *f, const char *wanted)
{
    struct strbuf out = { 0 };
    miss_sentence(m, f, &out);
    assert_string_equal(out.p, wanted);
    strbuf_done(&out);
}

static void test_sentences(void **state)
{
    struct miss_facts one = facts, none = facts;
    (void)state;
    one.not_ready = 1;
    none.not_ready = 0;
    says(MISS_NAMESPACE, &facts, "there is no namespace \"shop\"");
    says(MISS_SERVICE, &facts, "there is no Service \"web\" in the namespace \"shop\"");
    says(MISS_READY, &facts,
         "the Service shop/web is headless and has no ready endpoint (2 are not)");
    says(MISS_READY, &one, "the Service shop/web is headless and has no ready endpoint (1 is not)");
    says(MISS_READY, &none,
         "the Service shop/web is headless and has no ready endpoint (there are none)");
    says(MISS_PORT, &facts, "the Service shop/web has no port \"_http\" with protocol \"_tcp\"");
    says(MISS_ENDPOINT, &facts, "the Service shop/web has no ready endpoint \"a-b\"");
    says(MISS_TYPE, &facts, "the name is there, but has no AAAA record");
    says(MISS_OWNER, &facts,
         "10.0.0.1 is neither a cluster IP nor the address of a ready endpoint");
}

/* Every cause has its phrase and its sentence, also when nothing is known about it. */
static void test_all(void **state)
{
    static const struct miss_facts nothing = { 0 };
    (void)state;
    for (int m = 0; m < MISS_COUNT; m++) {
        struct strbuf out = { 0 };
        miss_sentence((enum miss)m, &nothing, &out);
        assert_true(out.len > 5);
        assert_non_null(miss_text((enum miss)m));
        for (int k = 0; k < m; k++)
            assert_string_not_equal(miss_text((enum miss)m), miss_text((enum miss)k));
        strbuf_done(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sentences),
        cmocka_unit_test(test_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
