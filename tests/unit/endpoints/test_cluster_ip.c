#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
#include "dump.h"
#include "endpoints/cluster_ip.h"

struct bed {
    struct store *store;
    struct cluster_ip_allocator *allocator;
    struct strbuf problems;
};

static void on_problem(void *ctx, const char *text)
{
    strbuf_printf(ctx, "%s\n", text);
}

static void open_bed(struct bed *b, const char *v4, const char *v6)
{
    struct ip_prefix ranges[2];
    size_t n = 0;
    if (v4)
        assert_int_equal(ip_prefix_parse(v4, &ranges[n++]), 0);
    if (v6)
        assert_int_equal(ip_prefix_parse(v6, &ranges[n++]), 0);
    memset(b, 0, sizeof *b);
    strbuf_puts(&b->problems, "");
    b->store = store_new();
    b->allocator = cluster_ip_new(b->store, ranges, n);
    cluster_ip_on_problem(b->allocator, on_problem, &b->problems);
}

static void close_bed(struct bed *b)
{
    cluster_ip_free(b->allocator);
    store_free(b->store);
    strbuf_done(&b->problems);
}

/* spec: what stands in a manifest behind "spec:". */
static void put(struct bed *b, const char *name, const char *spec)
{
    struct objects o = { 0 };
    struct strbuf text = { 0 };
    strbuf_printf(
        &text,
        "apiVersion: v1\nkind: Service\nmetadata: {name: %s}\nspec: {ports: [{port: 80}]%s%s}\n",
        name, *spec ? ", " : "", spec);
    objects_read(&o, text.p, text.len, "in.yaml");
    if (o.errors.len)
        fail_msg("%s", o.errors.p);
    cluster_ip_put(b->allocator, o.list.items[0]);
    vec_clear(&o.list);
    objects_done(&o);
    strbuf_done(&text);
}

static const struct service *get(struct bed *b, const char *name)
{
    const struct object *o = store_get(b->store, KIND_SERVICE, "default", name);
    return o ? service_of(o) : NULL;
}

/* "4: 10.96.1.2" or "4,6: 10.96.1.2 fd00::1". */
static const char *ips(struct bed *b, const char *name)
{
    static struct strbuf out;
    char text[IP_TEXT_MAX];
    const struct service *s = get(b, name);
    strbuf_reset(&out);
    assert_non_null(s);
    strbuf_printf(&out, "%u", s->families[0]);
    if (s->families[1])
        strbuf_printf(&out, ",%u", s->families[1]);
    strbuf_puts(&out, ":");
    for (uint8_t i = 0; i < s->n_cluster_ips; i++)
        strbuf_printf(&out, " %s", ip_text(&s->cluster_ips[i], text));
    return out.p;
}

/* These addresses are a promise: other processes and later versions must compute the same. */
static void test_stable(void **state)
{
    (void)state;
    struct bed b;
    open_bed(&b, CLUSTER_IP_DEFAULT_V4, CLUSTER_IP_DEFAULT_V6);
    put(&b, "web", "");
    put(&b, "db", "ipFamilyPolicy: PreferDualStack");
    put(&b, "six", "ipFamilies: [IPv6]");
    assert_null(get(&b, "web"));
    cluster_ip_synced(b.allocator);
    assert_string_equal(ips(&b, "web"), "4: 10.96.48.136");
    assert_string_equal(ips(&b, "db"), "4,6: 10.96.182.29 fd00:10:96::5d14");
    assert_string_equal(ips(&b, "six"), "6: fd00:10:96::69ac");
    assert_string_equal(b.problems.p, "");
    close_bed(&b);
}

static void test_left_alone(void **state)
{
    (void)state;
    struct bed b;
    open_bed(&b, "10.96.0.0/16", "fd00::/112");
    cluster_ip_synced(b.allocator);
    put(&b, "hand", "clusterIP: 10.96.0.10");
    put(&b, "far", "clusterIP: 192.168.0.1");
    put(&b, "both", "clusterIPs: [\"fd00::5\", 10.96.0.11]");
    put(&b, "half", "clusterIP: \"fd00::6\", ipFamilyPolicy: RequireDualStack");
    put(&b, "none", "clusterIP: None, selector: {app: a}");
    put(&b, "nobody", "clusterIP: None");
    put(&b, "name", "type: ExternalName, externalName: a.b");
    assert_string_equal(ips(&b, "hand"), "4: 10.96.0.10");
    assert_string_equal(ips(&b, "far"), "4: 192.168.0.1");
    assert_string_equal(ips(&b, "both"), "6,4: fd00::5 10.96.0.11");
    assert_string_equal(ips(&b, "none"), "4:");
    assert_string_equal(ips(&b, "nobody"), "4,6:");
    assert_string_equal(ips(&b, "name"), "0:");
    assert_memory_equal(ips(&b, "half"), "6,4: fd00::6 10.96.", 19);
    assert_string_equal(b.problems.p, "");
    close_bed(&b);
}

/* An address that is given to somebody by hand moves the Service that had it. */
static void test_contested(void **state)
{
    (void)state;
    struct bed b;
    char was[64], spec[128];
    open_bed(&b, "10.96.0.0/16", NULL);
    cluster_ip_synced(b.allocator);
    put(&b, "web", "");
    (void)snprintf(was, sizeof was, "%s", ips(&b, "web"));
    (void)snprintf(spec, sizeof spec, "clusterIP: %s", was + 3);
    put(&b, "hand", spec);
    assert_string_equal(ips(&b, "hand"), was);
    assert_string_not_equal(ips(&b, "web"), was);
    assert_int_equal(get(&b, "web")->n_cluster_ips, 1);
    put(&b, "more", spec);
    assert_non_null(strstr(b.problems.p,
                           "in.yaml:1: Service default/more: clusterIP 10.96.48.136 is also "
                           "that of another Service"));
    cluster_ip_delete(b.allocator, "default", "more");
    cluster_ip_delete(b.allocator, "default", "hand");
    assert_string_equal(ips(&b, "web"), was);
    assert_null(get(&b, "hand"));
    put(&b, "web", "type: ExternalName, externalName: a.b");
    assert_string_equal(ips(&b, "web"), "0:");
    put(&b, "web", "");
    assert_string_equal(ips(&b, "web"), was);
    close_bed(&b);
}

static void test_full(void **state)
{
    (void)state;
    struct bed b;
    open_bed(&b, "10.96.0.0/30", NULL);
    put(&b, "a", "");
    put(&b, "b", "");
    put(&b, "c", "");
    put(&b, "six", "ipFamilies: [IPv6]");
    cluster_ip_synced(b.allocator);
    unsigned with = 0;
    for (const char *name = "a\0b\0c\0"; *name; name += 2)
        with += get(&b, name)->n_cluster_ips;
    assert_int_equal(with, 2);
    assert_non_null(strstr(b.problems.p, ": the IPv4 range has no free clusterIP left\n"));
    assert_non_null(
        strstr(b.problems.p, "default/six: there is no IPv6 range to take a clusterIP from\n"));
    assert_string_equal(ips(&b, "six"), "6:");
    cluster_ip_delete(b.allocator, "default", "a");
    cluster_ip_delete(b.allocator, "default", "six");
    assert_int_equal(get(&b, "b")->n_cluster_ips + get(&b, "c")->n_cluster_ips, 2);
    close_bed(&b);
}

#define NAMES 30

/* Whatever the history, the store holds what a fresh start gives. */
static void test_random(void **state)
{
    (void)state;
    static const char *const specs[] = { "", "clusterIP: 10.96.0.3", "clusterIP: 10.96.0.9",
                                         "clusterIP: None", "ipFamilyPolicy: PreferDualStack" };
    struct rand r = { { 1, 2, 3, 4 } };
    int spec_of[NAMES];
    struct bed b;
    memset(spec_of, 0xff, sizeof spec_of);
    open_bed(&b, "10.96.0.0/27", "fd00::/123");
    cluster_ip_synced(b.allocator);
    for (unsigned round = 0; round < 400; round++) {
        char name[8];
        unsigned i = rand_below(&r, NAMES);
        (void)snprintf(name, sizeof name, "s%u", i);
        spec_of[i] = rand_below(&r, 3) ? (int)rand_below(&r, ARRAY_SIZE(specs)) : -1;
        if (spec_of[i] < 0)
            cluster_ip_delete(b.allocator, "default", name);
        else
            put(&b, name, specs[spec_of[i]]);
        struct bed fresh;
        open_bed(&fresh, "10.96.0.0/27", "fd00::/123");
        for (unsigned k = 0; k < NAMES; k++) {
            (void)snprintf(name, sizeof name, "s%u", k);
            if (spec_of[k] >= 0)
                put(&fresh, name, specs[spec_of[k]]);
        }
        cluster_ip_synced(fresh.allocator);
        for (unsigned k = 0; k < NAMES; k++) {
            (void)snprintf(name, sizeof name, "s%u", k);
            const struct service *x = get(&b, name), *y = get(&fresh, name);
            assert_int_equal(x != NULL, spec_of[k] >= 0);
            assert_true(x == y || object_equal(&x->object, &y->object));
        }
        close_bed(&fresh);
    }
    close_bed(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stable),    cmocka_unit_test(test_left_alone),
        cmocka_unit_test(test_contested), cmocka_unit_test(test_full),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
