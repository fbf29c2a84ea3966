/* tests/golden/objects/<case>/in.yaml decodes to what expect.txt says, errors included. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dump.h"

static void decode_case(const char *name)
{
    char path[512];
    struct objects o = { 0 };
    struct strbuf out = { 0 };
    size_t len = 0;
    (void)snprintf(path, sizeof path, "%s/%s/in.yaml", GOLDEN_DIR, name);
    cleanup_free char *text = file_read(path, &len);
    if (!text)
        fail_msg("%s cannot be read", path);
    objects_read(&o, text, len, "in.yaml");
    vec_each (it, &o.list)
        dump_object(&out, *it);
    if (o.errors.len)
        strbuf_puts(&out, o.errors.p);
    (void)snprintf(path, sizeof path, "%s/%s/expect.txt", GOLDEN_DIR, name);
    golden_check(path, out.p ? out.p : "");
    strbuf_done(&out);
    objects_done(&o);
}

static void test_cases(void **state)
{
    (void)state;
    char **names;
    size_t n = folder_list(GOLDEN_DIR, &names);
    assert_true(n > 0);
    for (size_t i = 0; i < n; i++) {
        decode_case(names[i]);
        free(names[i]);
    }
    free(names);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_cases) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
