#include "registry/storage.h"

#include "documents.h"

#include <stdlib.h>
#include <unistd.h>

static char path[] = "/tmp/registry-XXXXXX";
static struct item *loaded[8];
static size_t n_loaded;

static void on_item(void *ctx, struct item *i)
{
    (void)ctx;
    loaded[n_loaded++] = i;
}

static struct item *item_named(const char *name, int64_t revision)
{
    char text[256];
    (void)snprintf(text, sizeof text,
                   "{'kind':'ConfigMap','apiVersion':'v1','metadata':{'name':'%s','namespace':'n',"
                   "'labels':{'a':'b'}}}",
                   name);
    json_t *d = doc_of(text);
    struct item *i = item_new(resource_find("", "v1", "configmaps"), d, revision);
    json_decref(d);
    return i;
}

static int64_t load(struct storage *s)
{
    struct err e;
    int64_t revision = -1;
    for (size_t i = 0; i < n_loaded; i++)
        item_unref(loaded[i]);
    n_loaded = 0;
    assert_int_equal(storage_load(s, on_item, NULL, &revision, &e), 0);
    return revision;
}

/* What was committed is there; what was not, is not. */
static void test_commits(void **state)
{
    struct storage *s;
    struct err e = { 0 };
    struct item *a = item_named("a", 5), *b = item_named("b", 6);
    (void)state;
    assert_int_equal(storage_open(path, &s, &e), 0);
    assert_int_equal(storage_put(s, a, &e), 0);
    assert_int_equal(storage_commit(s, 5, &e), 0);
    assert_int_equal(storage_put(s, b, &e), 0);
    storage_close(s);
    assert_int_equal(storage_open(path, &s, &e), 0);
    assert_int_equal(load(s), 5);
    assert_int_equal(n_loaded, 1);
    assert_string_equal(loaded[0]->name, "a");
    assert_string_equal(loaded[0]->text, a->text);
    assert_int_equal(loaded[0]->revision, 5);
    assert_int_equal(loaded[0]->n_labels, 1);
    assert_int_equal(storage_delete(s, a, &e), 0);
    assert_int_equal(storage_commit(s, 7, &e), 0);
    assert_int_equal(load(s), 7);
    assert_int_equal(n_loaded, 0);
    storage_close(s);
    item_unref(a);
    item_unref(b);
}

static void test_refuses(void **state)
{
    struct storage *s, *other;
    struct err e = { 0 };
    (void)state;
    assert_int_equal(storage_open(path, &s, &e), 0);
    assert_true(storage_open(path, &other, &e) < 0);
    assert_non_null(strstr(e.text, "another process has it"));
    assert_int_equal(storage_set(s, "format", "99", &e), 0);
    assert_int_equal(storage_commit(s, 1, &e), 0);
    storage_close(s);
    assert_true(storage_open(path, &s, &e) < 0);
    assert_non_null(strstr(e.text, "format 99"));
    assert_true(storage_open("/nowhere/x", &s, &e) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commits),
        cmocka_unit_test(test_refuses),
    };
    int fd = mkstemp(path);
    schema_init();
    if (fd < 0)
        return 1;
    close(fd);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    static const char *const ends[] = { "", "-wal", "-shm" };
    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "%s%s", path, ends[i]);
        (void)unlink(name);
    }
    return failed;
}
