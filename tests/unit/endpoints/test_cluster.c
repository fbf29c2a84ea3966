#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "cmd/cluster.h"
#include "dump.h"
#include "kube/service.h"
#include "kube/slice.h"

#define PATIENCE_MS 5000

struct bed {
    char root[64], file[80], log[80];
    int fd;
    uv_loop_t loop;
    uv_timer_t guard;
    bool late;
};

static int setup(void **state)
{
    struct bed *b = xcalloc(1, sizeof *b);
    (void)snprintf(b->root, sizeof b->root, "/tmp/test-cluster-XXXXXX");
    if (!mkdtemp(b->root))
        return -1;
    (void)snprintf(b->file, sizeof b->file, "%s/a.yaml", b->root);
    (void)snprintf(b->log, sizeof b->log, "%s/log", b->root);
    b->fd = open(b->log, O_RDWR | O_CREAT | O_TRUNC, 0600);
    log_set_fd(b->fd);
    if (uv_loop_init(&b->loop) < 0)
        return -1;
    uv_timer_init(&b->loop, &b->guard);
    b->guard.data = b;
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bed *b = *state;
    uv_close((uv_handle_t *)&b->guard, NULL);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&b->loop), 0);
    log_set_fd(1);
    close(b->fd);
    (void)remove(b->file);
    (void)remove(b->log);
    (void)remove(b->root);
    free(b);
    return 0;
}

static void write_file(struct bed *b, const char *text)
{
    cleanup_fclose FILE *f = fopen(b->file, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
}

static struct cluster *open_cluster(struct bed *b, bool follow, const char *range)
{
    const char *dirs[] = { b->root };
    struct cluster *c = NULL;
    struct err e;
    const struct object_source source = { .dirs = dirs, .n_dirs = 1, .range = range };
    if (cluster_open(follow ? &b->loop : NULL, &source, &c, &e) < 0)
        fail_msg("%s", e.text);
    return c;
}

static void on_guard(uv_timer_t *t)
{
    ((struct bed *)t->data)->late = true;
}

static void run_until(struct bed *b, struct store *s, uint64_t beyond)
{
    b->late = false;
    uv_timer_start(&b->guard, on_guard, PATIENCE_MS, 0);
    while (!b->late && store_revision(s) <= beyond)
        uv_run(&b->loop, UV_RUN_ONCE);
    uv_timer_stop(&b->guard);
    assert_false(b->late);
}

static void expect_log(struct bed *b, const char *part, bool want)
{
    cleanup_free char *log = text_of_file(b->log, NULL);
    assert_non_null(log);
    if ((strstr(log, part) != NULL) != want)
        fail_msg("%s\"%s\" in: %s", want ? "no " : "", part, log);
}

static const char web[] = "apiVersion: v1\n"
                          "kind: Service\n"
                          "metadata: {name: web}\n"
                          "spec: {selector: {app: web}, ports: [{port: 80}]}\n"
                          "---\n"
                          "apiVersion: v1\n"
                          "kind: Pod\n"
                          "metadata: {name: web-1, labels: {app: web}}\n"
                          "status: {podIP: 10.244.0.1, phase: Running, conditions: [{type: Ready, "
                          "status: \"True\"}]}\n";

static void count(void *ctx, const struct object *o)
{
    *(unsigned *)ctx += slice_of(o)->n_endpoints;
}

static void test_all_together(void **state)
{
    struct bed *b = *state;
    write_file(b, web);
    struct cluster *c = open_cluster(b, false, NULL);
    struct store *s = cluster_store(c);
    const struct object *o = store_get(s, KIND_SERVICE, "default", "web");
    unsigned endpoints = 0;
    assert_true(store_is_synced(s));
    assert_non_null(o);
    assert_int_equal(service_of(o)->n_cluster_ips, 1);
    store_each_slice_of(s, "default", "web", count, &endpoints);
    assert_int_equal(endpoints, 1);
    assert_int_equal(store_count(s, KIND_NAMESPACE), 4);
    assert_non_null(store_get(s, KIND_NAMESPACE, "", "kube-system"));
    expect_log(b, "WARNING", false);
    cluster_close(c);
}

/* Implied namespaces give way to manifests, and come back. */
static void test_implied(void **state)
{
    struct bed *b = *state;
    write_file(b,
               "apiVersion: v1\nkind: Namespace\nmetadata: {name: default, labels: {team: red}}\n");
    struct cluster *c = open_cluster(b, true, NULL);
    struct store *s = cluster_store(c);
    const struct object *o = store_get(s, KIND_NAMESPACE, "", "default");
    assert_string_equal(meta_label(&o->meta, "team"), "red");
    uint64_t revision = store_revision(s);
    assert_int_equal(remove(b->file), 0);
    run_until(b, s, revision);
    o = store_get(s, KIND_NAMESPACE, "", "default");
    assert_non_null(o);
    assert_null(meta_label(&o->meta, "team"));
    assert_string_equal(meta_label(&o->meta, LABEL_METADATA_NAME), "default");
    cluster_close(c);
}

/* Told once for each namespace, and not when the Namespace comes later in the same batch. */
static void test_stray(void **state)
{
    struct bed *b = *state;
    write_file(b, "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: shop}\n"
                  "spec: {ports: [{port: 80}]}\n---\n"
                  "apiVersion: v1\nkind: Service\nmetadata: {name: b, namespace: shop}\n"
                  "spec: {ports: [{port: 80}]}\n---\n"
                  "apiVersion: v1\nkind: Service\nmetadata: {name: c, namespace: known}\n"
                  "spec: {ports: [{port: 80}]}\n---\n"
                  "apiVersion: v1\nkind: Namespace\nmetadata: {name: known}\n");
    struct cluster *c = open_cluster(b, false, NULL);
    expect_log(b, "a.yaml:1: Service shop/a: the namespace shop does not exist", true);
    expect_log(b, "shop/b", false);
    expect_log(b, "namespace known", false);
    assert_non_null(store_get(cluster_store(c), KIND_SERVICE, "shop", "b"));
    cluster_close(c);
}

static void test_range(void **state)
{
    struct bed *b = *state;
    static const char *const bad[] = { "", "10.0.0.0", "10.0.0.0/8,10.1.0.0/16", "10.0.0.0/8,",
                                       "10.0.0.0/8,fd00::/112,fd01::/112" };
    const char *dirs[] = { b->root };
    struct cluster *c;
    struct err e;
    write_file(b, web);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        const struct object_source source = { .dirs = dirs, .n_dirs = 1, .range = bad[i] };
        assert_int_equal(cluster_open(NULL, &source, &c, &e), ERR_INVALID);
        assert_non_null(strstr(e.text, "must be one address range or two"));
    }
    c = open_cluster(b, false, "fd01::/112");
    const struct object *o = store_get(cluster_store(c), KIND_SERVICE, "default", "web");
    assert_int_equal(service_of(o)->families[0], 6);
    assert_int_equal(service_of(o)->cluster_ips[0].bytes[1], 1);
    cluster_close(c);
    dirs[0] = "/nonexistent";
    const struct object_source none = { .dirs = dirs, .n_dirs = 1 };
    assert_true(cluster_open(NULL, &none, &c, &e) < 0);
}

static void test_shared(void **state)
{
    struct bed *b = *state;
    char other[80];
    const char *dirs[] = { b->root }, *same[] = { other };
    const struct object_source plain = { .dirs = dirs, .n_dirs = 1 };
    const struct object_source elsewhere = { .dirs = same, .n_dirs = 1 };
    const struct object_source ranged = { .dirs = dirs, .n_dirs = 1, .range = "10.0.0.0/16" };
    const struct object_source less = { .dirs = dirs, .n_dirs = 1, .without = PART_UID };
    struct clusters all = { .loop = &b->loop };
    struct store *x, *y, *z;
    (void)snprintf(other, sizeof other, "%s/./", b->root);
    write_file(b, web);
    assert_int_equal(clusters_open_source(&all, &plain, &x, NULL), 0);
    assert_int_equal(clusters_open_source(&all, &elsewhere, &y, NULL), 0);
    assert_int_equal(clusters_open_source(&all, &ranged, &z, NULL), 0);
    assert_ptr_equal(x, y);
    assert_ptr_not_equal(x, z);
    assert_int_equal(clusters_open_source(&all, &less, &z, NULL), 0);
    assert_ptr_not_equal(x, z);
    assert_int_equal(store_count(y, KIND_SERVICE), 1);
    clusters_close(&all);
    cluster_close(NULL);
    assert_int_equal(clusters_open_source(&all, &plain, &x, NULL), 0);
    clusters_close(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_together, setup, teardown),
        cmocka_unit_test_setup_teardown(test_implied, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stray, setup, teardown),
        cmocka_unit_test_setup_teardown(test_range, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shared, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
