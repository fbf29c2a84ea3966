#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "golden.h"
#include "kube/service.h"
#include "kube/slice.h"
#include "kube/slice_builder.h"

static char *dumped(const struct object *o)
{
    struct strbuf b = { 0 };
    dump_object(&b, o);
    return strbuf_steal(&b);
}

static void copy_case(void *ctx, const char *folder)
{
    (void)ctx;
    struct objects o = { 0 };
    golden_objects(&o, folder, "in.yaml");
    vec_each (it, &o.list) {
        cleanup_free char *before = dumped(*it);
        struct object *copy = object_copy(*it);
        assert_true(object_equal(*it, copy));
        object_free(*it);
        *it = copy;
        cleanup_free char *after = dumped(copy);
        assert_string_equal(before, after);
    }
    objects_done(&o);
}

/* Copies live on their own: the original is overwritten before the copy is looked at. */
static void test_copy(void **state)
{
    (void)state;
    golden_each(GOLDEN_DIR, copy_case, NULL);
}

static void add_case(void *ctx, const char *folder)
{
    golden_objects(ctx, folder, "in.yaml");
}

/* Objects with different text forms are unequal, those with the same are equal. */
static void test_equal(void **state)
{
    (void)state;
    struct objects o = { 0 };
    golden_each(GOLDEN_DIR, add_case, &o);
    vec_each (a, &o.list)
        vec_each (b, &o.list) {
            cleanup_free char *x = dumped(*a), *y = dumped(*b);
            if (strcmp(x, y) == 0)
                assert_true(object_equal(*a, *b));
            else if (strcmp((*a)->meta.name, (*b)->meta.name) != 0)
                assert_false(object_equal(*a, *b));
        }
    objects_done(&o);
}

static void test_equal_fields(void **state)
{
    (void)state;
    struct ip ip = { .family = 4, .bytes = { 1, 2, 3, 4 } };
    struct service a = { .object = { .kind = KIND_SERVICE,
                                     .meta = { .name = "a", .origin = "x:1" } },
                         .cluster_ips = &ip,
                         .n_cluster_ips = 1 };
    struct service b = a;
    b.object.meta.origin = "y:2";
    assert_true(object_equal(&a.object, &b.object));
    b.affinity_seconds = 1;
    assert_false(object_equal(&a.object, &b.object));
    b = a;
    b.external_name = "";
    assert_false(object_equal(&a.object, &b.object));
    b = a;
    b.n_cluster_ips = 0;
    assert_false(object_equal(&a.object, &b.object));
    struct ip other = { .family = 4, .bytes = { 1, 2, 3, 5 } };
    b = a;
    b.cluster_ips = &other;
    assert_false(object_equal(&a.object, &b.object));
}

static void test_labels(void **state)
{
    (void)state;
    const struct label labels[] = { { "a", "1" }, { "b", "" } };
    const struct label other[] = { { "b", "" }, { "c", "" } };
    struct meta m = { .labels = labels, .n_labels = 2 };
    assert_string_equal(meta_label(&m, "a"), "1");
    assert_null(meta_label(&m, "c"));
    assert_true(labels_match(&m, labels, 2));
    assert_true(labels_match(&m, other, 1));
    assert_false(labels_match(&m, other, 2));
    assert_true(labels_match(&m, NULL, 0));
}

/* Thousands of strings, each once. */
static void test_builder(void **state)
{
    (void)state;
    struct slice_builder b = { 0 };
    uint32_t at[2000];
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 2000; i++) {
            char name[16];
            (void)snprintf(name, sizeof name, "n%u", i % 1000);
            at[i] = slice_builder_text(&b, name);
            assert_true(i < 1000 || at[i] == at[i - 1000]);
        }
        for (unsigned i = 0; i < 1000; i++)
            assert_int_equal(atoi(b.pool.items + at[i] + 1), i);
        assert_int_equal(slice_builder_text(&b, ""), 0);
        assert_int_equal(slice_builder_text(&b, NULL), 0);
        slice_builder_reset(&b);
    }
    slice_builder_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copy),         cmocka_unit_test(test_equal),
        cmocka_unit_test(test_equal_fields), cmocka_unit_test(test_labels),
        cmocka_unit_test(test_builder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
