#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/clock.h"
#include "dump.h"
#include "source/dir.h"

#define PATIENCE_MS 5000

struct bed {
    char root[64];
    uv_loop_t loop;
    uv_timer_t guard;
    struct dir_source *source;
    struct objects objects; /* what the sink holds now; errors are the problems told */
    unsigned synced, settled;
    bool late;
};

static size_t find(struct bed *b, enum kind kind, const char *ns, const char *name)
{
    for (size_t i = 0; i < b->objects.list.n; i++) {
        const struct object *o = b->objects.list.items[i];
        if (o->kind == kind && !strcmp(o->meta.namespace, ns) && !strcmp(o->meta.name, name))
            return i;
    }
    return SIZE_MAX;
}

static void on_delete(void *ctx, enum kind kind, const char *ns, const char *name)
{
    struct bed *b = ctx;
    size_t i = find(b, kind, ns, name);
    assert_true(i != SIZE_MAX);
    object_free(b->objects.list.items[i]);
    vec_swap_remove(&b->objects.list, i);
}

static void on_put(void *ctx, struct object *o)
{
    struct bed *b = ctx;
    if (find(b, o->kind, o->meta.namespace, o->meta.name) != SIZE_MAX)
        on_delete(ctx, o->kind, o->meta.namespace, o->meta.name);
    vec_push(&b->objects.list, o);
}

static void on_synced(void *ctx)
{
    ((struct bed *)ctx)->synced++;
}

static void on_settled(void *ctx)
{
    ((struct bed *)ctx)->settled++;
}

static void on_problem(void *ctx, const char *text)
{
    struct bed *b = ctx;
    strbuf_printf(&b->objects.errors, "%s\n", text);
}

static const char *path_of(struct bed *b, const char *name)
{
    static char path[4][256];
    static unsigned next;
    char *p = path[next++ % 4];
    (void)snprintf(p, sizeof path[0], "%s/%s", b->root, name);
    return p;
}

static void write_file(struct bed *b, const char *name, const char *text)
{
    cleanup_fclose FILE *f = fopen(path_of(b, name), "w");
    if (!f)
        fail_msg("%s: %s", path_of(b, name), strerror(errno));
    assert_true(fputs(text, f) >= 0);
}

static void replace_file(struct bed *b, const char *name, const char *text)
{
    write_file(b, ".new", text);
    assert_int_equal(rename(path_of(b, ".new"), path_of(b, name)), 0);
}

static void make_folder(struct bed *b, const char *name)
{
    assert_int_equal(mkdir(path_of(b, name), 0755), 0);
}

static void open_source(struct bed *b, bool follow)
{
    struct sink sink = { b, 0, on_put, on_delete, on_synced, on_problem, on_settled, NULL, NULL };
    const char *dirs[] = { b->root };
    struct err e;
    if (dir_source_open(follow ? &b->loop : NULL, dirs, 1, &sink, &b->source, &e) < 0)
        fail_msg("%s", e.text);
}

/* The names of what the sink holds: "a b ns/c". */
static const char *names(struct bed *b)
{
    static struct strbuf out;
    struct strbuf scratch = { 0 };
    strbuf_reset(&out);
    strbuf_puts(&out, "");
    dump_sorted(&scratch, &b->objects);
    strbuf_done(&scratch);
    vec_each (it, &b->objects.list) {
        const struct meta *m = &(*it)->meta;
        strbuf_printf(&out, "%s%s%s%s", out.len ? " " : "", m->namespace, *m->namespace ? "/" : "",
                      m->name);
    }
    return out.p;
}

static const char *problems(struct bed *b)
{
    return b->objects.errors.p ? b->objects.errors.p : "";
}

static void on_guard(uv_timer_t *t)
{
    ((struct bed *)t->data)->late = true;
}

static void run_until(struct bed *b, bool (*done)(struct bed *, const char *), const char *want)
{
    b->late = false;
    uv_timer_start(&b->guard, on_guard, PATIENCE_MS, 0);
    while (!b->late && !done(b, want))
        uv_run(&b->loop, UV_RUN_ONCE);
    uv_timer_stop(&b->guard);
}

static bool has_names(struct bed *b, const char *want)
{
    return strcmp(names(b), want) == 0;
}

static bool has_problem(struct bed *b, const char *want)
{
    return strstr(problems(b), want) != NULL;
}

static void expect(struct bed *b, const char *want)
{
    run_until(b, has_names, want);
    assert_string_equal(names(b), want);
}

static void expect_problem(struct bed *b, const char *want)
{
    run_until(b, has_problem, want);
    if (!has_problem(b, want))
        fail_msg("no \"%s\" in: %s", want, problems(b));
}

/* Lets the loop run for a while in which nothing may change. */
static void run_ms(struct bed *b, unsigned ms)
{
    b->late = false;
    uv_timer_start(&b->guard, on_guard, ms, 0);
    while (!b->late)
        uv_run(&b->loop, UV_RUN_ONCE);
}

static int setup(void **state)
{
    struct bed *b = xcalloc(1, sizeof *b);
    (void)snprintf(b->root, sizeof b->root, "/tmp/test-dir-XXXXXX");
    if (!mkdtemp(b->root) || uv_loop_init(&b->loop) < 0)
        return -1;
    uv_timer_init(&b->loop, &b->guard);
    b->guard.data = b;
    *state = b;
    return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int teardown(void **state)
{
    struct bed *b = *state;
    dir_source_close(b->source);
    uv_close((uv_handle_t *)&b->guard, NULL);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&b->loop), 0);
    (void)nftw(b->root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    objects_done(&b->objects);
    free(b);
    return 0;
}

#define NS(name) "apiVersion: v1\nkind: Namespace\nmetadata: {name: " name "}\n"
#define NS_TEAM(name, team)                                                                        \
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: " name ", labels: {team: " team "}}\n"

static const char *team_of(struct bed *b, const char *name)
{
    size_t i = find(b, KIND_NAMESPACE, "", name);
    return i == SIZE_MAX ? NULL : meta_label(&b->objects.list.items[i]->meta, "team");
}

static bool has_team(struct bed *b, const char *want)
{
    return str_eq(team_of(b, "a"), want);
}

static void expect_team(struct bed *b, const char *want)
{
    run_until(b, has_team, want);
    assert_true(has_team(b, want));
}

static void test_read_once(void **state)
{
    struct bed *b = *state;
    write_file(b, "a.yaml", NS("a") "---\n" NS("b"));
    write_file(b, "c.yml", NS("c"));
    write_file(b, "d.json",
               "{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[{\"apiVersion\":\"v1\","
               "\"kind\":\"Namespace\",\"metadata\":{\"name\":\"d\"}}]}");
    write_file(b, "e.txt", NS("e"));
    write_file(b, ".f.yaml", NS("f"));
    make_folder(b, "sub");
    make_folder(b, "sub/deep");
    make_folder(b, ".hidden");
    write_file(b, "sub/deep/g.yaml", NS("g"));
    write_file(b, ".hidden/h.yaml", NS("h"));
    write_file(b, "empty.yaml", "");
    open_source(b, false);
    assert_string_equal(names(b), "a b c d g");
    assert_string_equal(problems(b), "");
    assert_int_equal(b->synced, 1);
    assert_int_equal(b->settled, 1);
}

static void test_unreadable(void **state)
{
    struct bed *b = *state;
    struct sink sink = { .ctx = b };
    struct err e;
    const char *none = path_of(b, "none"), *file = path_of(b, "a.yaml");
    write_file(b, "a.yaml", NS("a"));
    assert_int_equal(dir_source_open(NULL, &none, 1, &sink, &b->source, &e), -ENOENT);
    assert_non_null(strstr(e.text, "/none: cannot be read: No such file"));
    assert_int_equal(dir_source_open(&b->loop, &file, 1, &sink, &b->source, &e), -ENOTDIR);
    assert_non_null(strstr(e.text, "a.yaml: is no folder"));
    assert_null(b->source);
}

static void test_follow(void **state)
{
    struct bed *b = *state;
    open_source(b, true);
    assert_int_equal(b->synced, 1);
    write_file(b, "a.yaml", NS("a"));
    expect(b, "a");
    write_file(b, "a.yaml", NS("a") "---\n" NS("b"));
    expect(b, "a b");
    replace_file(b, "a.yaml", NS("b") "---\n" NS("c"));
    expect(b, "b c");
    make_folder(b, "sub");
    make_folder(b, "sub/deep");
    write_file(b, "sub/deep/d.yaml", NS("d"));
    expect(b, "b c d");
    assert_int_equal(rename(path_of(b, "sub/deep/d.yaml"), path_of(b, "e.yaml")), 0);
    write_file(b, "sub/deep/d.yaml", NS("f"));
    expect(b, "b c d f");
    assert_int_equal(rename(path_of(b, "sub"), path_of(b, ".gone")), 0);
    expect(b, "b c d");
    assert_int_equal(remove(path_of(b, "a.yaml")), 0);
    expect(b, "d");
    assert_int_equal(rename(path_of(b, ".gone"), path_of(b, "again")), 0);
    expect(b, "d f");
    write_file(b, "again/deep/d.yaml", NS("g"));
    expect(b, "d g");
    assert_string_equal(problems(b), "");
    assert_int_equal(b->synced, 1);
}

static void test_latency(void **state)
{
    struct bed *b = *state;
    int64_t worst = 0;
    open_source(b, true);
    for (unsigned i = 0; i < 5; i++) {
        write_file(b, "a.yaml", i % 2 ? NS_TEAM("a", "red") : NS_TEAM("a", "blue"));
        int64_t start = clock_ns();
        expect_team(b, i % 2 ? "red" : "blue");
        worst = MAX(worst, clock_ns() - start);
    }
    print_message("a change is seen after at most %.1f ms\n", (double)worst / 1e6);
    assert_true(worst < 200000000); /* about 6 when the machine is idle */
}

static void test_broken_keeps(void **state)
{
    struct bed *b = *state;
    write_file(b, "a.yaml", NS("a") "---\n" NS("b"));
    open_source(b, true);
    write_file(b, "a.yaml", NS("a") "---\napiVersion: v1\nkind: [\n");
    expect_problem(b, "/a.yaml:");
    expect_problem(b, "; what was read from it before stays in use");
    assert_string_equal(names(b), "a b");
    size_t told = b->objects.errors.len;
    write_file(b, "other.yaml", NS("c"));
    expect(b, "a b c");
    assert_int_equal(b->objects.errors.len, told);
    write_file(b, "a.yaml", NS("a"));
    expect(b, "a c");
    assert_int_equal(b->objects.errors.len, told);
}

/* A document that is refused may be the new form of any object of the file. */
static void test_refused_keeps(void **state)
{
    struct bed *b = *state;
    write_file(b, "a.yaml", NS("a") "---\n" NS("b"));
    open_source(b, true);
    write_file(b, "a.yaml", NS_TEAM("a", "red") "---\n" NS("B"));
    expect_team(b, "red");
    assert_string_equal(names(b), "a b");
    expect_problem(b, "/a.yaml:7: Namespace B: metadata.name: \"B\" must be a DNS label");
    write_file(b, "a.yaml", NS("a"));
    expect(b, "a");
}

static void test_contest(void **state)
{
    struct bed *b = *state;
    write_file(b, "b.yaml", NS_TEAM("a", "b"));
    write_file(b, "c.yaml", NS_TEAM("a", "c") "---\n" NS("x"));
    open_source(b, true);
    assert_string_equal(team_of(b, "a"), "b");
    expect_problem(b, "/c.yaml:1: Namespace a is also in ");
    write_file(b, "a.yaml", NS_TEAM("a", "a"));
    expect_team(b, "a");
    expect_problem(b, "/b.yaml: Namespace a is also in ");
    assert_int_equal(remove(path_of(b, "a.yaml")), 0);
    expect_team(b, "b");
    assert_int_equal(remove(path_of(b, "b.yaml")), 0);
    expect_team(b, "c");
    assert_string_equal(names(b), "a x");
    assert_int_equal(remove(path_of(b, "c.yaml")), 0);
    expect(b, "");
}

static void test_twice_in_file(void **state)
{
    struct bed *b = *state;
    write_file(b, "a.yaml", NS_TEAM("a", "one") "---\n" NS_TEAM("a", "two"));
    open_source(b, false);
    assert_string_equal(team_of(b, "a"), "one");
    expect_problem(b, "/a.yaml:5: Namespace a is in this file twice; the first is used");
}

/* How a kubelet lays out and exchanges a mounted ConfigMap. */
static void test_configmap_mount(void **state)
{
    struct bed *b = *state;
    make_folder(b, "..one");
    write_file(b, "..one/a.yaml", NS_TEAM("a", "one"));
    assert_int_equal(symlink("..one", path_of(b, "..data")), 0);
    assert_int_equal(symlink("..data/a.yaml", path_of(b, "a.yaml")), 0);
    open_source(b, true);
    assert_string_equal(team_of(b, "a"), "one");
    make_folder(b, "..two");
    write_file(b, "..two/a.yaml", NS_TEAM("a", "two"));
    assert_int_equal(symlink("..two", path_of(b, "..data_tmp")), 0);
    assert_int_equal(rename(path_of(b, "..data_tmp"), path_of(b, "..data")), 0);
    (void)remove(path_of(b, "..one/a.yaml"));
    (void)remove(path_of(b, "..one"));
    expect_team(b, "two");
    assert_string_equal(problems(b), "");
}

/* Links to a file and to a folder outside of what is watched; and one that leads in a circle. */
static void test_links(void **state)
{
    struct bed *b = *state;
    char outside[64], folder[80];
    (void)snprintf(outside, sizeof outside, "%s", b->root);
    make_folder(b, "watched");
    make_folder(b, "else");
    write_file(b, "else/x.txt", NS_TEAM("a", "one"));
    make_folder(b, "else/more");
    write_file(b, "else/more/b.yaml", NS("b"));
    assert_int_equal(symlink("../else/x.txt", path_of(b, "watched/a.yaml")), 0);
    assert_int_equal(symlink("../else/more", path_of(b, "watched/more")), 0);
    assert_int_equal(symlink("..", path_of(b, "watched/circle")), 0);
    assert_int_equal(symlink("nowhere", path_of(b, "watched/none.yaml")), 0);
    (void)snprintf(folder, sizeof folder, "%s/watched", outside);
    struct sink sink = { b, 0, on_put, on_delete, on_synced, on_problem, on_settled, NULL, NULL };
    const char *dirs[] = { folder };
    assert_int_equal(dir_source_open(&b->loop, dirs, 1, &sink, &b->source, NULL), 0);
    assert_string_equal(names(b), "a b");
    write_file(b, "else/x.txt", NS_TEAM("a", "two"));
    expect_team(b, "two");
    replace_file(b, "else/x.txt", NS_TEAM("a", "three"));
    expect_team(b, "three");
    write_file(b, "else/more/b.yaml", NS("c"));
    expect(b, "a c");
    assert_string_equal(problems(b), "");
}

static void test_half_written(void **state)
{
    struct bed *b = *state;
    static const char text[] = NS("a") "---\n" NS("b");
    write_file(b, "old.yaml", NS("o"));
    open_source(b, true);
    FILE *fresh = fopen(path_of(b, "new.yaml"), "w"), *old = fopen(path_of(b, "old.yaml"), "w");
    assert_non_null(fresh);
    assert_non_null(old);
    (void)fwrite(text, 1, sizeof text - 20, fresh);
    (void)fflush(fresh);
    write_file(b, "other.yaml", NS("x"));
    expect(b, "o x");
    run_ms(b, 60);
    assert_string_equal(names(b), "o x");
    (void)fwrite(text + sizeof text - 20, 1, 19, fresh);
    fclose(fresh);
    expect(b, "a b o x");
    fclose(old);
    expect(b, "a b x");
    assert_string_equal(problems(b), "");
}

/* A writer that never closes is not waited for endlessly. */
static void test_never_closed(void **state)
{
    struct bed *b = *state;
    open_source(b, true);
    cleanup_fclose FILE *f = fopen(path_of(b, "a.yaml"), "w");
    assert_non_null(f);
    (void)fputs(NS("a"), f);
    (void)fflush(f);
    expect(b, "a");
}

static void test_folder_comes_back(void **state)
{
    struct bed *b = *state;
    char folder[80];
    make_folder(b, "in");
    write_file(b, "in/a.yaml", NS("a"));
    (void)snprintf(folder, sizeof folder, "%s/in", b->root);
    struct sink sink = { b, 0, on_put, on_delete, on_synced, on_problem, on_settled, NULL, NULL };
    const char *dirs[] = { folder };
    assert_int_equal(dir_source_open(&b->loop, dirs, 1, &sink, &b->source, NULL), 0);
    assert_int_equal(rename(path_of(b, "in"), path_of(b, "out")), 0);
    expect_problem(b, "/in: cannot be read: No such file or directory");
    assert_string_equal(names(b), "a");
    make_folder(b, "in");
    write_file(b, "in/b.yaml", NS("b"));
    expect(b, "b");
}

static void test_limits(void **state)
{
    struct bed *b = *state;
    char path[512] = "";
    write_file(b, "big.yaml", NS("a"));
    assert_int_equal(truncate(path_of(b, "big.yaml"), DIR_FILE_BYTES_MAX + 1), 0);
    assert_int_equal(mkfifo(path_of(b, "pipe.yaml"), 0600), 0);
    for (unsigned i = 0; i < DIR_DEPTH_MAX + 2; i++) {
        (void)strcat(path, i ? "/d" : "d");
        make_folder(b, path);
    }
    open_source(b, false);
    expect_problem(b, "/big.yaml: larger than 64 MiB; split it");
    expect_problem(b, "/pipe.yaml: is no regular file");
    expect_problem(b, ": folders are nested deeper than 20 levels; left out");
    assert_string_equal(names(b), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_read_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unreadable, setup, teardown),
        cmocka_unit_test_setup_teardown(test_follow, setup, teardown),
        cmocka_unit_test_setup_teardown(test_latency, setup, teardown),
        cmocka_unit_test_setup_teardown(test_broken_keeps, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_keeps, setup, teardown),
        cmocka_unit_test_setup_teardown(test_contest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_twice_in_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_configmap_mount, setup, teardown),
        cmocka_unit_test_setup_teardown(test_links, setup, teardown),
        cmocka_unit_test_setup_teardown(test_half_written, setup, teardown),
        cmocka_unit_test_setup_teardown(test_never_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_folder_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
