#include "dump.h"
#include "kube/selector.h"
#include "kube/slice_builder.h"
#include "picture.h"
#include "store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

struct world {
    struct store *store;
    struct snapshot *snapshot;
};

/* Puts every object of a text. (Without the comment in front it would be taken for JSON.) */
static void put(struct world *w, const char *yaml)
{
    struct objects o = { 0 };
    struct strbuf text = { 0 };
    strbuf_printf(&text, "# YAML\n%s", yaml);
    objects_read(&o, text.p, text.len, "test.yaml");
    strbuf_done(&text);
    if (o.errors.len)
        fail_msg("%s", o.errors.p);
    vec_each (it, &o.list)
        store_put(w->store, *it);
    o.list.n = 0;
    objects_done(&o);
}

static void begin_unsynced(struct world *w, const struct snapshot_options *options,
                           const char *yaml)
{
    w->store = store_new();
    put(w, yaml);
    w->snapshot = snapshot_new(w->store, options);
}

static void begin(struct world *w, const struct snapshot_options *options, const char *yaml)
{
    begin_unsynced(w, options, yaml);
    store_set_synced(w->store);
}

static void end(struct world *w)
{
    snapshot_free(w->snapshot);
    store_free(w->store);
    rcu_barrier_all();
}

static struct ip ip_of(const char *text)
{
    struct ip ip;
    assert_int_equal(ip_parse(text, &ip), 0);
    return ip;
}

static void expect_owners(const struct world *w, const char *address, const char *owners)
{
    struct strbuf b = { 0 };
    struct ip ip = ip_of(address);
    owners_text(w->snapshot, &ip, &b);
    assert_string_equal(b.p ? b.p : "", owners);
    strbuf_done(&b);
}

static void expect_endpoint(const struct snap_service *s, uint32_t i, const char *text)
{
    struct strbuf b = { 0 };
    assert_true(i < s->n_endpoints);
    endpoint_text(s, &s->endpoints[i], &b);
    assert_string_equal(b.p, text);
    strbuf_done(&b);
}

static bool visible(const struct world *w, const char *service, const char *ns)
{
    const struct snap_service *s = find_service(w->snapshot, service, ns);
    return s && s->visible && !s->hidden_empty;
}

static const struct snapshot_options plain = { .endpoints = true };

#define NAMESPACE "{kind: Namespace, apiVersion: v1, metadata: {name: prod}}\n---\n"
#define WEB                                                                                        \
    "{kind: Service, apiVersion: v1, metadata: {name: web, namespace: prod}, spec: "               \
    "{clusterIPs: [10.96.0.10, 'fd00::10'], ports: [{name: http, port: 80}, {name: dns, "          \
    "port: 53, protocol: UDP}]}}\n---\n"
#define DB                                                                                         \
    "{kind: Service, apiVersion: v1, metadata: {name: db, namespace: prod}, spec: {clusterIP: "    \
    "None, ports: [{name: pg, port: 5432}]}}\n---\n"
#define SLICE(name, service, endpoints)                                                            \
    "{kind: EndpointSlice, apiVersion: discovery.k8s.io/v1, metadata: {name: " name                \
    ", namespace: prod, labels: {kubernetes.io/service-name: " service "}}, addressType: "         \
    "IPv4, ports: [{name: pg, port: 5432}], endpoints: [" endpoints "]}\n---\n"
#define POD(name, ip, more)                                                                        \
    "{kind: Pod, apiVersion: v1, metadata: {name: " name ", namespace: prod" more                  \
    "}, spec: {containers: []}, status: {phase: Running, podIP: " ip "}}\n---\n"

static void test_cluster_ip(void **state)
{
    struct world w;
    (void)state;
    begin(&w, &plain, NAMESPACE WEB);
    const struct snap_service *s = find_service(w.snapshot, "web", "prod");
    assert_non_null(s);
    assert_int_equal(s->kind, SNAP_CLUSTER_IP);
    assert_true(s->visible);
    assert_int_equal(s->n_a, 1);
    assert_memory_equal(s->a, "\012\140\0\012", 4);
    assert_int_equal(s->n_aaaa, 1);
    assert_int_equal(s->aaaa[0], 0xfd);
    assert_int_equal(s->n_ports, 2);
    assert_int_equal(s->ports[1].number, 53);
    assert_memory_equal(s->pool + s->ports[0].name, "\004http", 5);
    assert_memory_equal(s->pool + s->ports[1].protocol, "\003udp", 4);
    assert_null(find_service(w.snapshot, "web", "default"));
    assert_null(find_service(w.snapshot, "web", "pro"));
    expect_owners(&w, "10.96.0.10", "web.prod.svc! ");
    expect_owners(&w, "fd00::10", "web.prod.svc! ");
    end(&w);
}

static void test_headless(void **state)
{
    struct world w;
    (void)state;
    begin(&w, &plain,
          NAMESPACE DB SLICE(
              "db-1", "db",
              "{addresses: [10.1.0.4], targetRef: {kind: Pod, name: db-x}, zone: US-a}, "
              "{addresses: [10.1.0.1], hostname: db-0}, "
              "{addresses: [10.1.0.3], conditions: {ready: false}}, "
              "{addresses: [10.1.0.5], conditions: {ready: false, serving: true, terminating: "
              "true}}"));
    const struct snap_service *s = find_service(w.snapshot, "db", "prod");
    assert_int_equal(s->kind, SNAP_HEADLESS);
    assert_int_equal(s->n_a, 2);
    assert_memory_equal(s->a, "\012\001\0\001\012\001\0\004", 8);
    assert_int_equal(s->n_endpoints, 2);
    expect_endpoint(s, 0, "10.1.0.1 db-0 zone= tcp/pg=5432");
    expect_endpoint(s, 1, "10.1.0.4 10-1-0-4 zone=us-a tcp/pg=5432");
    expect_owners(&w, "10.1.0.4", "10-1-0-4.db.prod.svc ");
    expect_owners(&w, "10.1.0.3", "");
    end(&w);
}

static void test_pod_names(void **state)
{
    struct world w;
    (void)state;
    begin(&w, &(struct snapshot_options){ .endpoints = true, .endpoint_pod_names = true },
          NAMESPACE DB SLICE(
              "db-1", "db",
              "{addresses: [10.1.0.1], hostname: db-0, targetRef: {kind: Pod, name: db-x}}, "
              "{addresses: [10.1.0.2], targetRef: {kind: Pod, name: db-y}}, "
              "{addresses: [10.1.0.3], targetRef: {kind: Node, name: node-1}}, "
              "{addresses: [10.1.0.4], targetRef: {kind: Pod, name: "
              "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}}"));
    const struct snap_service *s = find_service(w.snapshot, "db", "prod");
    expect_endpoint(s, 0, "10.1.0.1 db-0 zone= tcp/pg=5432");
    expect_endpoint(s, 1, "10.1.0.2 db-y zone= tcp/pg=5432");
    expect_endpoint(s, 2, "10.1.0.3 10-1-0-3 zone= tcp/pg=5432");
    expect_endpoint(s, 3, "10.1.0.4 10-1-0-4 zone= tcp/pg=5432");
    end(&w);
}

static void test_two_slices_with_one_address(void **state)
{
    struct world w;
    (void)state;
    begin(&w, &plain,
          NAMESPACE DB SLICE("a", "db", "{addresses: [10.1.0.1]}")
              SLICE("b", "db", "{addresses: [10.1.0.1]}, {addresses: [10.1.0.2]}"));
    const struct snap_service *s = find_service(w.snapshot, "db", "prod");
    assert_int_equal(s->n_endpoints, 3); /* SRV weights count both */
    assert_int_equal(s->n_a, 2);
    store_delete(w.store, KIND_SLICE, "prod", "b");
    expect_owners(&w, "10.1.0.1", "10-1-0-1.db.prod.svc ");
    expect_owners(&w, "10.1.0.2", "");
    end(&w);
}

static void test_namespaces_come_and_go(void **state)
{
    struct world w;
    (void)state;
    begin(&w, &plain, WEB DB);
    assert_false(visible(&w, "web", "prod"));
    assert_false(snapshot_namespace(w.snapshot, (const uint8_t *)"\004prod"));
    put(&w, NAMESPACE);
    assert_true(visible(&w, "web", "prod"));
    assert_true(snapshot_namespace(w.snapshot, (const uint8_t *)"\004prod"));
    store_delete(w.store, KIND_NAMESPACE, "", "prod");
    assert_false(visible(&w, "web", "prod"));
    assert_false(snapshot_namespace(w.snapshot, (const uint8_t *)"\004prod"));
    end(&w);
}

static void test_exposed_namespaces(void **state)
{
    static const char *const names[] = { "default" };
    struct world w;
    (void)state;
    begin(&w,
          &(struct snapshot_options){ .endpoints = true, .namespaces = names, .n_namespaces = 1 },
          NAMESPACE WEB);
    assert_false(visible(&w, "web", "prod"));
    assert_false(snapshot_namespace(w.snapshot, (const uint8_t *)"\004prod"));
    expect_owners(&w, "10.96.0.10", "");
    end(&w);
}

static void test_namespace_labels_change(void **state)
{
    struct arena a;
    struct world w;
    const struct selector *selector;
    (void)state;
    arena_init(&a, 1024);
    assert_int_equal(selector_parse("tier in (front)", &a, &selector, NULL), 0);
    begin(&w, &(struct snapshot_options){ .endpoints = true, .namespace_labels = selector },
          NAMESPACE WEB);
    assert_false(visible(&w, "web", "prod"));
    put(&w, "{kind: Namespace, apiVersion: v1, metadata: {name: prod, labels: {tier: front}}}");
    assert_true(visible(&w, "web", "prod"));
    put(&w, "{kind: Namespace, apiVersion: v1, metadata: {name: prod, labels: {tier: back}}}");
    assert_false(visible(&w, "web", "prod"));
    end(&w);
    arena_done(&a);
}

static void test_ignore_empty(void **state)
{
    struct world w;
    (void)state;
    begin(
        &w, &(struct snapshot_options){ .endpoints = true, .ignore_empty = true },
        NAMESPACE WEB DB SLICE("w", "web", "{addresses: [10.1.0.1], conditions: {ready: false}}"));
    assert_false(visible(&w, "web", "prod"));
    assert_true(visible(&w, "db", "prod")); /* headless ones are not touched by the option */
    put(&w, SLICE("w", "web", "{addresses: [10.1.0.1]}"));
    assert_true(visible(&w, "web", "prod"));
    store_delete(w.store, KIND_SLICE, "prod", "w");
    assert_false(visible(&w, "web", "prod"));
    end(&w);
}

static void test_external(void **state)
{
    struct world w;
    char text[NAME_TEXT_MAX];
    (void)state;
    begin(&w, &plain,
          NAMESPACE
          "{kind: Service, apiVersion: v1, metadata: {name: e, namespace: prod}, spec: {type: "
          "ExternalName, externalName: www.example.com.}}\n---\n"
          "{kind: Service, apiVersion: v1, metadata: {name: i, namespace: prod}, spec: {type: "
          "ExternalName, externalName: 192.0.2.9}}");
    const struct snap_service *s = find_service(w.snapshot, "e", "prod");
    assert_int_equal(s->kind, SNAP_EXTERNAL);
    assert_string_equal(name_to_text(s->external, text), "www.example.com.");
    s = find_service(w.snapshot, "i", "prod");
    assert_int_equal(s->kind, SNAP_EXTERNAL);
    assert_null(s->external);
    put(&w, "{kind: Service, apiVersion: v1, metadata: {name: e, namespace: prod}, spec: "
            "{clusterIP: 10.96.0.1, ports: [{port: 1}]}}");
    s = find_service(w.snapshot, "e", "prod");
    assert_int_equal(s->kind, SNAP_CLUSTER_IP);
    assert_int_equal(s->n_a, 1);
    end(&w);
}

static void test_owners(void **state)
{
    struct world w;
    (void)state;
    begin(&w, &plain,
          NAMESPACE DB SLICE("a", "db", "{addresses: [10.1.0.1], hostname: db-0}")
              SLICE("b", "ro", "{addresses: [10.1.0.1]}"));
    /* "ro" has slices but no Service: it is known by address only. */
    expect_owners(&w, "10.1.0.1", "10-1-0-1.ro.prod.svc db-0.db.prod.svc ");
    assert_false(visible(&w, "ro", "prod"));
    store_delete(w.store, KIND_SERVICE, "prod", "db");
    expect_owners(&w, "10.1.0.1", "10-1-0-1.ro.prod.svc db-0.db.prod.svc ");
    assert_false(visible(&w, "db", "prod"));
    put(&w, SLICE("a", "db", "{addresses: [10.1.0.1], hostname: db-1}"));
    expect_owners(&w, "10.1.0.1", "10-1-0-1.ro.prod.svc db-1.db.prod.svc ");
    put(&w, SLICE("a", "other", "{addresses: [10.1.0.1]}")); /* the slice changes hands */
    expect_owners(&w, "10.1.0.1", "10-1-0-1.other.prod.svc 10-1-0-1.ro.prod.svc ");
    store_delete(w.store, KIND_SLICE, "prod", "a");
    store_delete(w.store, KIND_SLICE, "prod", "b");
    expect_owners(&w, "10.1.0.1", "");
    end(&w);
}

/* One slice of a headless Service; endpoint i has the host name "host-of-some-length-I" and an
 * address of its own, or the same one as all others. */
static void put_wide_slice(struct world *w, const char *name, unsigned n, bool one_address)
{
    struct slice_builder b = { 0 };
    const struct slice_port port = { .name = "pg", .port = 5432 };
    struct slice s = { .object = { KIND_SLICE,
                                   { .namespace = "prod", .name = name, .uid = "", .origin = "" } },
                       .service = "db",
                       .ports = &port,
                       .n_ports = 1,
                       .family = 4 };
    for (unsigned i = 0; i < n; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "host-of-some-length-that-fills-the-pool-%u", i);
        struct endpoint e = { .ip = { 4, { 10, 2, (uint8_t)(i >> 8), (uint8_t)i } },
                              .conditions = ENDPOINT_READY,
                              .hostname = slice_builder_text(&b, text) };
        if (one_address)
            e.ip = (struct ip){ 4, { 10, 2, 0, 0 } };
        vec_push(&b.endpoints, e);
    }
    slice_builder_finish(&b, &s);
    store_put(w->store, object_copy(&s.object));
    slice_builder_done(&b);
}

/* The names of 2000 hosts are more than 64 KiB of text; the ports of the slices that come behind
 * must keep their names all the same. */
static void test_many_host_names(void **state)
{
    static const char *const slices[] = { "s1", "s2", "s3" };
    struct world w;
    (void)state;
    begin(&w, &plain, NAMESPACE DB);
    for (unsigned i = 0; i < 3; i++)
        put_wide_slice(&w, slices[i], 2000, false);
    const struct snap_service *s = find_service(w.snapshot, "db", "prod");
    assert_int_equal(s->n_endpoints, 6000);
    assert_int_equal(s->n_a, 2000);
    for (uint32_t i = 0; i < s->n_endpoints; i++) {
        const struct snap_port *p = &s->ports[s->groups[s->endpoints[i].group].first];
        assert_memory_equal(s->pool + p->name, "\002pg", 3);
        assert_memory_equal(s->pool + p->protocol, "\003tcp", 4);
    }
    end(&w);
}

static unsigned count_owners(const struct snapshot *s, const struct ip *ip)
{
    struct snap_owners w = snapshot_owners(s, ip);
    unsigned n = 0;
    for (struct snap_owner o; snap_owners_next(&w, &o);)
        n++;
    return n;
}

/* Pods on the host's network share its address. */
static void test_many_names_of_one_address(void **state)
{
    struct world w;
    struct strbuf b = { 0 };
    struct ip ip = { 4, { 10, 2, 0, 0 } };
    (void)state;
    begin(&w, &plain, NAMESPACE DB);
    put_wide_slice(&w, "s1", 100, true);
    assert_int_equal(count_owners(w.snapshot, &ip), 100);
    owners_text(w.snapshot, &ip, &b);
    unsigned names = 0;
    for (const char *p = b.p; *p; p++)
        names += *p == ' ';
    assert_int_equal(names, 100);
    strbuf_done(&b);
    put_wide_slice(&w, "s1", 1, true);
    assert_int_equal(count_owners(w.snapshot, &ip), 1);
    end(&w);
}

static bool has_pod(const struct world *w, const char *address)
{
    struct ip ip = ip_of(address);
    return snapshot_pod(w->snapshot, (const uint8_t *)"\004prod", &ip);
}

static const struct snapshot_options verified = { .endpoints = true, .pods = PODS_VERIFIED };

static void test_pods(void **state)
{
    struct world w;
    (void)state;
    begin(&w, &verified, POD("a", "10.1.0.1", "") POD("b", "10.1.0.2", ""));
    assert_true(has_pod(&w, "10.1.0.1"));
    struct ip ip = ip_of("10.1.0.1");
    assert_false(snapshot_pod(w.snapshot, (const uint8_t *)"\004test", &ip));
    put(&w, POD("b", "10.1.0.1", "")); /* two of them for a moment */
    assert_false(has_pod(&w, "10.1.0.2"));
    store_delete(w.store, KIND_POD, "prod", "a");
    assert_true(has_pod(&w, "10.1.0.1"));
    put(&w, "{kind: Pod, apiVersion: v1, metadata: {name: b, namespace: prod}, spec: {containers: "
            "[]}, status: {phase: Succeeded, podIP: 10.1.0.1}}");
    assert_false(has_pod(&w, "10.1.0.1"));
    end(&w);
}

/* What is being deleted keeps its name until it is gone, but gets no new one. */
static void test_pod_that_is_being_deleted(void **state)
{
    struct world w;
    (void)state;
    begin(&w, &verified, POD("a", "10.1.0.1", ""));
    put(&w, POD("a", "10.1.0.7", ", deletionTimestamp: '2026-01-01T00:00:00Z'"));
    assert_true(has_pod(&w, "10.1.0.1"));
    assert_false(has_pod(&w, "10.1.0.7"));
    store_delete(w.store, KIND_POD, "prod", "a");
    assert_false(has_pod(&w, "10.1.0.1"));
    end(&w);
}

static void test_only_the_first_pod_ip_counts(void **state)
{
    struct world w;
    (void)state;
    begin(&w, &verified,
          "{kind: Pod, apiVersion: v1, metadata: {name: a, namespace: prod}, spec: "
          "{containers: []}, status: {phase: Running, podIP: 10.1.0.1, podIPs: "
          "[{ip: 10.1.0.1}, {ip: 'fd00:1::1'}]}}");
    assert_true(has_pod(&w, "10.1.0.1"));
    assert_false(has_pod(&w, "fd00:1::1"));
    end(&w);
}

/* What was there at the start, what came before all was there, and what came after. */
static void test_built_when_synced(void **state)
{
    struct world w;
    (void)state;
    begin_unsynced(&w, &plain, NAMESPACE DB);
    put(&w, SLICE("db-1", "db", "{addresses: [10.1.0.7]}")
                SLICE("x-1", "x", "{addresses: [10.1.0.8]}"));
    expect_owners(&w, "10.1.0.7", "");
    store_set_synced(w.store);
    assert_true(visible(&w, "db", "prod"));
    expect_owners(&w, "10.1.0.7", "10-1-0-7.db.prod.svc ");
    expect_owners(&w, "10.1.0.8", "10-1-0-8.x.prod.svc ");
    put(&w, SLICE("db-2", "db", "{addresses: [10.1.0.9]}"));
    expect_owners(&w, "10.1.0.9", "10-1-0-9.db.prod.svc ");
    end(&w);
}

/* Queries are served although the source has not delivered all. */
static void test_built_before(void **state)
{
    struct world w;
    (void)state;
    begin_unsynced(&w, &plain, NAMESPACE WEB);
    assert_null(find_service(w.snapshot, "web", "prod"));
    snapshot_build(w.snapshot);
    assert_true(visible(&w, "web", "prod"));
    assert_false(snapshot_synced(w.snapshot));
    put(&w, DB);
    assert_true(visible(&w, "db", "prod"));
    store_set_synced(w.store);
    assert_true(visible(&w, "web", "prod"));
    end(&w);
}

static void test_synced_and_serial(void **state)
{
    struct world w;
    (void)state;
    begin_unsynced(&w, &plain, "");
    assert_false(snapshot_synced(w.snapshot));
    assert_int_equal(snapshot_serial(w.snapshot), 0);
    store_set_synced(w.store);
    assert_true(snapshot_synced(w.snapshot));
    put(&w, WEB);
    uint32_t serial = snapshot_serial(w.snapshot);
    assert_in_range(serial, time(NULL) - 2, time(NULL));
    end(&w);
}

static void test_dashed_addresses(void **state)
{
    static const char *const rows[][2] = { { "10.1.0.2", "10-1-0-2" },
                                           { "fd00:1::1", "fd00-1--1" },
                                           { "fd00:1::", "fd00-1--0" },
                                           { "::1", "--1" } };
    static const char *const wrong[] = { "",        "1-2-3",     "1-2-3-999", "foo",
                                         "1.2.3.4", "1-2-3-4-5", "fd00-1--g", "fd00:1::1" };
    uint8_t label[64];
    struct ip ip;
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct ip want = ip_of(rows[i][0]);
        snap_dashed_label(&want, label);
        assert_int_equal(label[0], strlen(rows[i][1]));
        assert_memory_equal(label + 1, rows[i][1], label[0]);
        assert_true(snap_dashed_ip(label, &ip));
        assert_true(ip_equal(&ip, &want));
    }
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        label[0] = (uint8_t)strlen(wrong[i]);
        memcpy(label + 1, wrong[i], label[0]);
        assert_false(snap_dashed_ip(label, &ip));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cluster_ip),
        cmocka_unit_test(test_headless),
        cmocka_unit_test(test_pod_names),
        cmocka_unit_test(test_two_slices_with_one_address),
        cmocka_unit_test(test_namespaces_come_and_go),
        cmocka_unit_test(test_exposed_namespaces),
        cmocka_unit_test(test_namespace_labels_change),
        cmocka_unit_test(test_ignore_empty),
        cmocka_unit_test(test_external),
        cmocka_unit_test(test_owners),
        cmocka_unit_test(test_many_host_names),
        cmocka_unit_test(test_many_names_of_one_address),
        cmocka_unit_test(test_pods),
        cmocka_unit_test(test_pod_that_is_being_deleted),
        cmocka_unit_test(test_only_the_first_pod_ip_counts),
        cmocka_unit_test(test_built_when_synced),
        cmocka_unit_test(test_built_before),
        cmocka_unit_test(test_synced_and_serial),
        cmocka_unit_test(test_dashed_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
