/* tests/golden/objects/<case>/in.yaml decodes to what expect.txt says, errors included. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "golden.h"

static void decode_case(void *ctx, const char *folder)
{
    (void)ctx;
    struct objects o = { 0 };
    struct strbuf out = { 0 };
    golden_objects(&o, folder, "in.yaml");
    vec_each (it, &o.list)
        dump_object(&out, *it);
    if (o.errors.len)
        strbuf_puts(&out, o.errors.p);
    golden_expect(folder, "expect.txt", out.p);
    strbuf_done(&out);
    objects_done(&o);
}

static void test_cases(void **state)
{
    (void)state;
    golden_each(GOLDEN_DIR, decode_case, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_cases) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
