/* tests/golden/slices/<case>/in.yaml: objects; expect.txt: the slices that the planner computes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "endpoints/planner.h"
#include "golden.h"
#include "kube/slice.h"

static void collect(void *ctx, const struct object *o)
{
    struct objects *out = ctx;
    if (slice_of(o)->computed)
        vec_push(&out->list, object_copy(o));
}

static void golden_case(void *ctx, const char *folder)
{
    (void)ctx;
    struct objects in = { 0 }, out = { 0 };
    struct strbuf text = { 0 };
    golden_objects(&in, folder, NULL);
    if (in.errors.len)
        fail_msg("%s", in.errors.p);
    struct store *s = store_new();
    struct planner *p = planner_new(s);
    vec_each (it, &in.list)
        store_put(s, *it);
    vec_clear(&in.list);
    assert_int_equal(store_revision(s), store_count(s, KIND_SERVICE) + store_count(s, KIND_POD) +
                                            store_count(s, KIND_NODE) + store_count(s, KIND_SLICE) +
                                            store_count(s, KIND_ENDPOINTS));
    store_set_synced(s);
    store_each(s, KIND_SLICE, NULL, collect, &out);
    dump_sorted(&text, &out);
    golden_expect(folder, "expect.txt", text.p);
    strbuf_done(&text);
    planner_free(p);
    store_free(s);
    objects_done(&in);
    objects_done(&out);
}

static void test_cases(void **state)
{
    (void)state;
    golden_each(GOLDEN_DIR, golden_case, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_cases) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
