/* Reading a folder of manifests, with what goes wrong in real folders. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "lab/manifest.h"
#include "lab/place.h"

#include <stdio.h>
#include <stdlib.h>

static char folder[64];

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/manifest-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    place_remove(folder);
    return 0;
}

static void write_file(const char *name, const char *text)
{
    char path[PATH_MAX], parent[PATH_MAX];
    place_path(path, folder, "%s", name);
    (void)snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(path, '/') - path), path);
    assert_int_equal(place_mkdir(parent, 0755), 0);
    assert_int_equal(place_write(path, text, strlen(text)), 0);
}

static struct manifests read_all(const struct manifests *before)
{
    static const struct manifests nothing;
    struct manifests m;
    struct err e;
    assert_int_equal(manifests_read(folder, before ? before : &nothing, &m, &e), 0);
    return m;
}

static void documents_lists_and_folders(void **state)
{
    (void)state;
    write_file("a.yaml",
               "kind: Pod\nmetadata: {name: one}\n---\nkind: Node\nmetadata: {name: n}\n");
    write_file("deep/er/b.json", "{\"kind\":\"List\",\"items\":[{\"kind\":\"Service\",\"metadata\":"
                                 "{\"name\":\"s\",\"namespace\":\"x\"}}]}");
    write_file(".hidden.yaml", "kind: Pod\nmetadata: {name: two}\n");
    write_file("notes.txt", "kind: Pod\nmetadata: {name: three}\n");
    struct manifests m = read_all(NULL);
    assert_int_equal(m.items.n, 3);
    assert_int_equal(m.problems.n, 0);
    assert_int_equal(m.folders.n, 3);
    assert_non_null(manifests_find(&m, "Pod", "default", "one"));
    assert_non_null(manifests_find(&m, "Node", "", "n"));
    assert_non_null(manifests_find(&m, "Service", "x", "s"));
    assert_true(str_ends(manifests_find(&m, "Node", "", "n")->origin, "a.yaml:4"));
    manifests_done(&m);
}

static void types_stay(void **state)
{
    (void)state;
    write_file("a.yaml", "kind: X\nmetadata: {name: x}\nn: 80\ns: \"80\"\nb: true\nz: 0644\ne:\n");
    struct manifests m = read_all(NULL);
    json_t *json = m.items.items[0].json;
    assert_int_equal(json_integer_value(json_at(json, "n")), 80);
    assert_string_equal(json_text(json, "s"), "80");
    assert_true(json_is_true(json_at(json, "b")));
    assert_string_equal(json_text(json, "z"), "0644");
    assert_true(json_is_null(json_at(json, "e")));
    assert_null(json_at(json, "metadata.name.more"));
    manifests_done(&m);
}

static void one_object_twice(void **state)
{
    (void)state;
    write_file("a.yaml", "kind: Pod\nmetadata: {name: one}\nspec: {nodeName: first}\n");
    write_file("b.yaml", "kind: Pod\nmetadata: {name: one}\nspec: {nodeName: second}\n");
    struct manifests m = read_all(NULL);
    assert_int_equal(m.items.n, 1);
    assert_string_equal(json_text(m.items.items[0].json, "spec.nodeName"), "first");
    assert_int_equal(m.problems.n, 1);
    assert_non_null(strstr(m.problems.items[0], "b.yaml:1: Pod default/one is already in "));
    manifests_done(&m);
}

static void a_broken_file_keeps_what_it_held(void **state)
{
    (void)state;
    write_file("a.yaml", "kind: Pod\nmetadata: {name: one}\n");
    write_file("b.yaml", "kind: Pod\nmetadata: {name: two}\n");
    struct manifests before = read_all(NULL);
    write_file("a.yaml", "kind: Pod\nmetadata: {name: one\n");
    struct manifests now = read_all(&before);
    manifests_done(&before);
    assert_int_equal(now.items.n, 2);
    assert_non_null(manifests_find(&now, "Pod", "default", "one"));
    assert_int_equal(now.problems.n, 1);
    assert_non_null(strstr(now.problems.items[0], "a.yaml:"));
    manifests_done(&now);
}

static void no_object_and_no_folder(void **state)
{
    (void)state;
    struct manifests m = { 0 }, nothing = { 0 };
    struct err e;
    write_file("a.yaml", "hello: world\n");
    m = read_all(NULL);
    assert_int_equal(m.items.n, 0);
    assert_non_null(strstr(m.problems.items[0], "a.yaml:1: no kind or metadata.name"));
    manifests_done(&m);
    assert_true(manifests_read("/nonexistent", &nothing, &m, &e) < 0);
    assert_non_null(strstr(e.text, "/nonexistent: "));
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(documents_lists_and_folders),
        WITH(types_stay),
        WITH(one_object_twice),
        WITH(a_broken_file_keeps_what_it_held),
        WITH(no_object_and_no_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
