/* tests/golden/proto: the objects of in.yaml as an API server encodes them (in.hex, a line each)
 * decode to the same. */
#include "base/arena.h"
#include "base/mem.h"
#include "dump.h"
#include "kube/decode.h"
#include "kube/proto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MESSAGES_MAX 64

struct message {
    uint8_t *bytes;
    size_t len;
};

static struct message messages[MESSAGES_MAX];
static size_t n_messages;

static int read_messages(void **state)
{
    size_t len;
    char *text = text_of_file(PROTO_DIR "/in.hex", &len);
    (void)state;
    if (!text)
        return -1;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        struct message *m = &messages[n_messages++];
        m->len = strlen(line) / 2;
        m->bytes = xmalloc(m->len);
        for (size_t i = 0; i < m->len; i++) {
            unsigned byte;
            (void)sscanf(line + 2 * i, "%2x", &byte);
            m->bytes[i] = (uint8_t)byte;
        }
    }
    free(text);
    return 0;
}

static int free_messages(void **state)
{
    (void)state;
    while (n_messages)
        free(messages[--n_messages].bytes);
    return 0;
}

static int decode_without(struct decoder *d, unsigned without, const void *p, size_t n,
                          struct object **ret, struct err *e)
{
    struct arena a;
    struct proto_object o;
    const struct tree *t;
    arena_init(&a, 4096);
    int code = proto_unwrap(p, n, &a, &o, e);
    const struct proto_message *m = code == 0 ? proto_message_find(o.kind) : NULL;
    if (code == 0 && !m)
        code = err_set(e, ERR_UNSUPPORTED, "kind %s", o.kind);
    if (code == 0)
        code = proto_tree(m, without, o.raw, o.len, &a, &t, e);
    if (code == 0)
        code = decoder_read(d, t, o.api_version, o.kind, ret, e);
    arena_done(&a);
    return code;
}

static int decode(struct decoder *d, const void *p, size_t n, struct object **ret, struct err *e)
{
    return decode_without(d, 0, p, n, ret, e);
}

/* The decoder makes the same of a message whether the parts that it leaves out are in its tree or
 * not. */
static void test_without_parts(void **state)
{
    (void)state;
    for (unsigned without = 0; without < 64; without++) {
        struct decoder *d = decoder_new("", without);
        for (size_t i = 0; i < n_messages; i++) {
            struct strbuf whole = { 0 }, part = { 0 };
            struct object *o = NULL;
            struct err e = { 0 };
            assert_int_equal(decode(d, messages[i].bytes, messages[i].len, &o, &e), 0);
            dump_object(&whole, o);
            object_free(o);
            assert_int_equal(decode_without(d, without, messages[i].bytes, messages[i].len, &o, &e),
                             0);
            dump_object(&part, o);
            object_free(o);
            assert_string_equal(part.p, whole.p);
            strbuf_done(&whole);
            strbuf_done(&part);
        }
        decoder_free(d);
    }
}

static void test_same_as_yaml(void **state)
{
    struct objects yaml = { 0 };
    struct decoder *d = decoder_new("", 0);
    size_t len;
    char *text = text_of_file(PROTO_DIR "/in.yaml", &len);
    (void)state;
    assert_non_null(text);
    objects_read(&yaml, text, len, "in.yaml");
    assert_int_equal(yaml.errors.len, 0);
    assert_int_equal(yaml.list.n, n_messages);
    for (size_t i = 0; i < n_messages; i++) {
        struct strbuf want = { 0 }, got = { 0 };
        struct object *o = NULL;
        struct err e = { 0 };
        if (decode(d, messages[i].bytes, messages[i].len, &o, &e) < 0)
            fail_msg("message %zu: %s", i, e.text);
        yaml.list.items[i]->meta.origin = "";
        dump_object(&want, yaml.list.items[i]);
        dump_object(&got, o);
        assert_string_equal(got.p, want.p);
        object_free(o);
        strbuf_done(&want);
        strbuf_done(&got);
    }
    decoder_free(d);
    objects_done(&yaml);
    free(text);
}

/* Cut short anywhere, a message is refused, or it ended between two fields. */
static void test_cut(void **state)
{
    struct decoder *d = decoder_new("api", 0);
    size_t refused = 0, n = 0;
    (void)state;
    for (size_t i = 0; i < n_messages; i++) {
        for (size_t len = 0; len < messages[i].len; len++, n++) {
            struct object *o = NULL;
            struct err e = { 0 };
            uint8_t *copy = xmalloc(len + 1); /* exact, so that a sanitizer sees reads past it */
            memcpy(copy, messages[i].bytes, len);
            int code = decode(d, copy, len, &o, &e);
            assert_true(code < 0 ? *e.text != 0 : true);
            refused += code < 0;
            object_free(o);
            free(copy);
        }
    }
    assert_true(refused * 10 > n * 9);
    decoder_free(d);
}

static const struct tree *tree_of(const char *kind, const char *bytes, size_t n, struct arena *a)
{
    const struct tree *t = NULL;
    struct err e;
    return proto_tree(proto_message_find(kind), 0, bytes, n, a, &t, &e) == 0 ? t : NULL;
}

#define TREE(kind, bytes) tree_of(kind, bytes, sizeof bytes - 1, &a)

static void test_fields(void **state)
{
    struct arena a;
    (void)state;
    arena_init(&a, 1024);
    /* Unknown fields of every wire type are passed over; the last of two counts. */
    const struct tree *t = TREE("Status", "\x78\x01\x7a\x02zz\x79"
                                          "12345678\x7d"
                                          "1234\x1a\x01x\x1a\x02yy\x30\x94\x03");
    assert_non_null(t);
    assert_string_equal(tree_str(t, "message"), "yy");
    assert_string_equal(tree_str(t, "code"), "404");
    t = TREE("Lease", "\x12\x0c\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
    assert_null(t); /* a varint of eleven bytes' length does not fit what is said */
    t = TREE("Lease", "\x12\x0b\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
    assert_string_equal(tree_str(t, "spec.leaseDurationSeconds"), "-1");
    t = TREE("Lease", "\x12\x0b\x22\x09\x08\x80\x87\xa2\xbf\x06\x10\xe8\x07");
    assert_string_equal(tree_str(t, "spec.renewTime"), "2025-03-29T23:34:24.000001Z");
    assert_null(TREE("Status", "\x1a\x01\x00")); /* NUL in a text */
    assert_null(TREE("Status", "\x18\x01"));     /* a text as a number */
    assert_null(TREE("Status", "\x1b"));         /* groups are gone */
    assert_null(TREE("Status", "\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
    assert_null(TREE("Status", "\x02\x00")); /* field 0 */
    assert_null(proto_message_find("Deployment"));
    arena_done(&a);
}

static void test_lists_and_events(void **state)
{
    struct arena a;
    struct err e;
    const uint8_t *item;
    size_t len, n = 0;
    static const char list[] = "\x0a\x06\x12\x04"
                               "1234\x12\x03\x0a\x01x\x12\x00\x18\x05";
    (void)state;
    arena_init(&a, 1024);
    struct cursor c = cursor_of(list, sizeof list - 1);
    while (proto_list_next(&c, &item, &len, &e) == 1)
        n += 10 + len;
    assert_int_equal(n, 23);
    assert_string_equal(tree_str(TREE("List", list), "metadata.resourceVersion"), "1234");
    static const char event[] = "\x0a\x05"
                                "ADDED\x12\x06\x0a\x04rest";
    const char *type;
    assert_int_equal(proto_event(event, sizeof event - 1, &a, &type, &item, &len, &e), 0);
    assert_string_equal(type, "ADDED");
    assert_int_equal(len, 4);
    assert_memory_equal(item, "rest", 4);
    assert_true(proto_event(event, sizeof event - 2, &a, &type, &item, &len, &e) < 0);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_as_yaml),
        cmocka_unit_test(test_without_parts),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_lists_and_events),
    };
    return cmocka_run_group_tests(tests, read_messages, free_messages);
}
