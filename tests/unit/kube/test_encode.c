/* What is written and read again is the same object, and the text is what the API documents. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dump.h"
#include "kube/encode.h"
#include "kube/lease.h"
#include "kube/slice_builder.h"

static struct object *read_back(const struct object *written)
{
    struct strbuf text = { 0 };
    struct objects o = { 0 };
    if (written->kind == KIND_SLICE)
        encode_slice(slice_of(written), &text);
    else
        encode_endpoints(endpoints_of(written), &text);
    objects_read(&o, text.p, text.len, "text");
    if (o.errors.len)
        fail_msg("%s: %s", o.errors.p, text.p);
    assert_int_equal(o.list.n, 1);
    struct object *copy = object_copy(o.list.items[0]);
    objects_done(&o);
    strbuf_done(&text);
    return copy;
}

static void assert_same(const struct object *o)
{
    struct object *back = read_back(o);
    if (!object_equal(o, back)) {
        struct strbuf b = { 0 };
        dump_object(&b, o);
        dump_object(&b, back);
        fail_msg("%s", b.p);
    }
    object_free(back);
}

static const struct label labels[] = { { LABEL_SERVICE_NAME, "web" },
                                       { LABEL_HEADLESS, "" },
                                       { LABEL_MANAGED_BY, SLICE_CONTROLLER } };
static const struct label annotations[] = { { "note", "a \"quoted\" \\ line\nand Grüße\t\x01" } };
static const struct slice_port ports[] = {
    { .name = "", .port = 80, .protocol = PROTO_TCP },
    { .name = "dns", .port = 53, .protocol = PROTO_UDP, .app_protocol = "example.com/dns" },
    { .name = "all", .port = -1, .protocol = PROTO_SCTP },
};

static struct slice full(struct slice_builder *b)
{
    for (unsigned i = 0; i < 5; i++) {
        struct endpoint ep;
        struct endpoint_more more = { 0 };
        memset(&ep, 0, sizeof ep);
        ep.ip = (struct ip){ .family = 4, .bytes = { 10, 0, 0, (uint8_t)i } };
        ep.conditions = (uint8_t)(i + 1);
        more.pod = slice_builder_text(b, i % 2 ? "p1" : "p0");
        more.pod_namespace = slice_builder_text(b, "shop");
        if (i % 2) {
            ep.hostname = slice_builder_text(b, "db-0");
            more.node = slice_builder_text(b, "n1");
            ep.zone = slice_builder_text(b, "z1");
            more.first_hint = (uint32_t)b->hints.n;
            ep.n_hints = 1;
            vec_push(&b->hints, slice_builder_text(b, "z1"));
            ep.n_node_hints = i == 3;
            if (i == 3)
                vec_push(&b->hints, slice_builder_text(b, "n1"));
        }
        vec_push(&b->endpoints, ep);
        vec_push(&b->more, more);
        vec_push(&b->targets,
                 (struct endpoint_target){ .kind = slice_builder_text(b, "Pod"),
                                           .namespace = more.pod_namespace,
                                           .name = more.pod,
                                           .uid = slice_builder_text(b, i % 2 ? "uid-1" : NULL) });
    }
    struct slice s = { .object = { .kind = KIND_SLICE,
                                   .meta = { .namespace = "shop",
                                             .name = "web-abcde",
                                             .uid = "u-1",
                                             .origin = "",
                                             .labels = labels,
                                             .n_labels = ARRAY_SIZE(labels) } },
                       .service = "web",
                       .ports = ports,
                       .n_ports = ARRAY_SIZE(ports),
                       .family = 4,
                       .trigger_time_ns = 1767323045123456000,
                       .version = "4711",
                       .owner_uid = "u-2",
                       .annotations = annotations,
                       .n_annotations = 1 };
    slice_builder_finish(b, &s);
    return s;
}

static void test_round_trip(void **state)
{
    (void)state;
    struct slice_builder b = { 0 };
    struct slice s = full(&b);
    /* Strings come into the pool in the decoder's own order, so the first reading is what counts.
     */
    struct object *first = read_back(&s.object);
    assert_same(first);
    assert_int_equal(slice_of(first)->n_endpoints, 5);
    assert_string_equal(slice_of(first)->annotations[0].value, annotations[0].value);
    for (unsigned i = 0; i < 5; i++) {
        const struct slice *r = slice_of(first);
        const struct endpoint *x = &s.endpoints[i], *y = &r->endpoints[i];
        assert_int_equal(x->conditions | ENDPOINT_ALL_SAID, y->conditions);
        assert_int_equal(x->n_hints + x->n_node_hints, y->n_hints + y->n_node_hints);
        assert_string_equal(slice_str(&s, x->hostname), slice_str(r, y->hostname));
        assert_string_equal(slice_str(&s, s.targets[i].uid), slice_str(r, r->targets[i].uid));
    }
    object_free(first);
    slice_builder_done(&b);
}

static void test_empty_and_foreign(void **state)
{
    (void)state;
    struct slice s = { .object = { .kind = KIND_SLICE,
                                   .meta = { .namespace = "default",
                                             .name = "a",
                                             .uid = "",
                                             .origin = "text:1" } },
                       .service = "",
                       .family = 6,
                       .pool = "",
                       .pool_len = 1 };
    assert_same(&s.object);
    s.family = 0;
    s.fqdn = "x.example.org";
    assert_same(&s.object);
}

/* Mirrored endpoints say of their conditions only whether they are ready, and may stand for
 * anything. */
static void test_mirrored(void **state)
{
    (void)state;
    struct slice_builder b = { 0 };
    struct slice s = full(&b);
    s.owner_kind = "Endpoints";
    for (unsigned i = 0; i < 5; i++) {
        b.endpoints.items[i].conditions = ENDPOINT_SERVING | ENDPOINT_READY_SAID | (i & 1);
        b.more.items[i].pod = b.more.items[i].pod_namespace = 0;
        b.targets.items[i].kind = i ? slice_builder_text(&b, "VirtualMachine") : 0;
        b.targets.items[i].field_path = i ? slice_builder_text(&b, "spec.x") : 0;
        if (!i)
            b.targets.items[i] = (struct endpoint_target){ 0 };
    }
    slice_builder_finish(&b, &s);
    struct object *first = read_back(&s.object);
    assert_same(first);
    assert_string_equal(slice_of(first)->owner_kind, "Endpoints");
    for (unsigned i = 0; i < 5; i++) {
        const struct slice *r = slice_of(first);
        assert_int_equal(r->endpoints[i].conditions, s.endpoints[i].conditions);
        assert_string_equal(slice_str(r, r->targets[i].kind), i ? "VirtualMachine" : "");
        assert_string_equal(slice_str(r, r->targets[i].field_path), i ? "spec.x" : "");
        assert_int_equal(r->more[i].pod, 0);
    }
    object_free(first);
    slice_builder_done(&b);
}

#define NOBODY                                                                                     \
    {                                                                                              \
        "", "", "", "", "", "", ""                                                                 \
    }

static void test_endpoints(void **state)
{
    (void)state;
    static const struct endpoints_address addresses[] = {
        { .ip = { .family = 4, .bytes = { 10, 0, 0, 1 } },
          .hostname = "db-0",
          .node = "n1",
          .target = { "Pod", "shop", "p", "u", "v1", "spec.x", "7" } },
        { .ip = { .family = 6, .bytes = { 0x20, 1 } },
          .hostname = "",
          .node = "",
          .target = NOBODY },
    };
    static const struct slice_port subset_ports[] = {
        { .name = "", .port = 80, .protocol = PROTO_TCP },
        { .name = "dns", .port = 53, .protocol = PROTO_UDP, .app_protocol = "example.com/dns" },
    };
    static const struct endpoints_subset subsets[] = {
        { .addresses = addresses,
          .n_addresses = 2,
          .not_ready = addresses,
          .n_not_ready = 1,
          .ports = subset_ports,
          .n_ports = 2 },
        { .not_ready = addresses, .n_not_ready = 1 },
    };
    struct endpoints e = { .object = { .kind = KIND_ENDPOINTS,
                                       .meta = { .namespace = "shop",
                                                 .name = "db",
                                                 .uid = "u-1",
                                                 .origin = "",
                                                 .labels = labels,
                                                 .n_labels = 2 } },
                           .subsets = subsets,
                           .n_subsets = 2,
                           .version = "12",
                           .annotations = annotations,
                           .n_annotations = 1,
                           .trigger_time_ns = 1767323045000000000 };
    assert_same(&e.object);
    e = (struct endpoints){ .object = { .kind = KIND_ENDPOINTS,
                                        .meta = { "default", "x", "", "", NULL, 0, false } } };
    assert_same(&e.object);
}

static void test_text(void **state)
{
    (void)state;
    struct strbuf text = { 0 };
    struct slice s = { .object = { .kind = KIND_SLICE,
                                   .meta = { .namespace = "shop", .name = "", .uid = "" } },
                       .service = "web",
                       .owner_uid = "u",
                       .family = 4,
                       .pool = "",
                       .pool_len = 1 };
    encode_slice(&s, &text);
    assert_string_equal(
        text.p,
        "{\"apiVersion\":\"discovery.k8s.io/v1\",\"kind\":\"EndpointSlice\",\"metadata\":{"
        "\"namespace\":\"shop\",\"generateName\":\"web-\",\"ownerReferences\":[{\"apiVersion\":"
        "\"v1\",\"kind\":\"Service\",\"name\":\"web\",\"uid\":\"u\",\"controller\":true,"
        "\"blockOwnerDeletion\":true}]},\"addressType\":\"IPv4\",\"endpoints\":[],\"ports\":[]}");
    strbuf_done(&text);
}

static void test_lease(void **state)
{
    (void)state;
    const struct lease l = { .namespace = "kube-system",
                             .name = "x",
                             .version = "7",
                             .holder = "me_1",
                             .acquired_us = 1767323045000000,
                             .renewed_us = 1767323046000012,
                             .seconds = 15,
                             .transitions = 3 };
    struct strbuf text = { 0 };
    struct arena a;
    struct tree_doc doc;
    struct lease back;
    arena_init(&a, 1024);
    lease_encode(&l, &text);
    assert_non_null(strstr(text.p, "\"acquireTime\":\"2026-01-02T03:04:05.000000Z\""));
    assert_int_equal(tree_parse(text.p, text.len, "text", &a, &doc, NULL), 0);
    assert_int_equal(lease_read(doc.documents[0], &back), 0);
    assert_string_equal(back.holder, l.holder);
    assert_string_equal(back.version, l.version);
    assert_int_equal(back.acquired_us, l.acquired_us);
    assert_int_equal(back.renewed_us, l.renewed_us);
    assert_int_equal(back.seconds, 15);
    assert_int_equal(back.transitions, 3);
    arena_done(&a);
    strbuf_done(&text);
}

static void assert_refused(const char *json)
{
    struct arena a;
    struct tree_doc doc;
    struct lease l;
    arena_init(&a, 1024);
    assert_int_equal(tree_parse(json, strlen(json), "text", &a, &doc, NULL), 0);
    assert_int_equal(lease_read(doc.documents[0], &l), ERR_PARSE);
    arena_done(&a);
}

static void test_wrong_leases(void **state)
{
    (void)state;
    assert_refused("{}");
    assert_refused("{\"metadata\":{\"name\":\"x\"},\"spec\":{\"renewTime\":\"yesterday\"}}");
    assert_refused("{\"metadata\":{\"name\":\"x\"},\"spec\":{\"leaseDurationSeconds\":-1}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_empty_and_foreign),
        cmocka_unit_test(test_mirrored),     cmocka_unit_test(test_endpoints),
        cmocka_unit_test(test_text),         cmocka_unit_test(test_lease),
        cmocka_unit_test(test_wrong_leases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
