#include "base/rand.h"
#include "base/rcu.h"
#include "dns/plugins/etcd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* ---- values ---- */

static struct etcd_value *value(const char *key, const char *json)
{
    struct etcd_pair p = {
        .key = key, .key_len = strlen(key), .value = json, .value_len = strlen(json)
    };
    struct err e = { .text = "" };
    return etcd_value_new(&p, &e);
}

static void refused(const char *json, const char *why)
{
    struct etcd_pair p = { .key = "/s/a", .key_len = 4, .value = json, .value_len = strlen(json) };
    struct err e = { .text = "" };
    struct etcd_value *v = etcd_value_new(&p, &e);
    assert_int_equal(v->kind, ETCD_HOST_BAD);
    assert_string_equal(e.text, why);
    assert_true(!v->host && !v->text && !v->ip.family);
    etcd_value_free(v);
}

static void test_members(void **state)
{
    (void)state;
    struct etcd_value *v =
        value("/skydns/test/a", " {\"Host\":\"10.0.0.1\",\"port\":70000,\"priority\":3,"
                                "\"weight\":9,\"ttl\":7,\"mail\":true,\"targetstrip\":2,"
                                "\"group\":\"g\",\"other\":[1],\"text\":null}\n");
    assert_int_equal(v->kind, ETCD_HOST_V4);
    assert_memory_equal(v->domain, "\001a\004test", 8);
    assert_int_equal(v->port, 70000 - 65536);
    assert_int_equal(v->priority, 3);
    assert_int_equal(v->weight, 9);
    assert_int_equal(v->ttl, 7);
    assert_int_equal(v->strip, 2);
    assert_int_equal(v->slashes, 3);
    assert_true(v->mail && !v->no_port);
    assert_string_equal(v->group, "g");
    etcd_value_free(v);
    v = value("/skydns/x", "null");
    assert_int_equal(v->kind, ETCD_HOST_NONE);
    assert_int_equal(v->priority, ETCD_PRIORITY);
    etcd_value_free(v);
    v = value("/x", "{\"host\":\"a.test\",\"text\":\"t\",\"port\":-1}");
    assert_int_equal(v->kind, ETCD_HOST_TEXT);
    assert_memory_equal(v->host, "\001a\004test", 8);
    assert_null(v->domain); /* nothing is left of its key */
    assert_true(v->no_port);
    etcd_value_free(v);
    v = value("/x/y", "{\"host\":\"::ffff:1.2.3.4\"}");
    assert_int_equal(v->kind, ETCD_HOST_V4);
    etcd_value_free(v);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    refused("", "the value is no JSON object");
    refused("[1]", "the value is no JSON object");
    refused("host: 10.0.0.1", "the value is no JSON object");
    refused("{\"host\":\"a\"} {}", "the value is not one JSON object");
    refused("{\"host\":1}", "\"host\" is not a string");
    refused("{\"port\":\"1\"}", "\"port\" is not a whole number");
    refused("{\"port\":1.5}", "\"port\" is not a whole number");
    refused("{\"ttl\":-1}", "\"ttl\" is not a whole number from 0 to 4294967295");
    refused("{\"mail\":1}", "\"mail\" is not true or false");
    refused("{\"host\":\"a..b\"}", "\"host\" is neither an address nor a name");
}

static void test_text(void **state)
{
    char json[600], x[261];
    (void)state;
    struct etcd_value *v = value("/s/a", "{\"text\":\"a\\\\b \\\\065\\\\\\\" \\\\\"}");
    assert_memory_equal(v->text, "\006ab A\" ", 7);
    assert_int_equal(v->text_len, 7);
    etcd_value_free(v);
    for (int n = 254; n <= 256; n++) {
        memset(x, 'x', (size_t)n);
        x[n] = 0;
        (void)snprintf(json, sizeof json, "{\"text\":\"%s\"}", x);
        v = value("/s/a", json);
        assert_int_equal(v->text_len, n == 254 ? 255 : n + 2); /* 255: an empty string follows */
        assert_int_equal(v->text[0], n == 254 ? 254 : 255);
        etcd_value_free(v);
    }
}

static void test_names_of_keys(void **state)
{
    static const struct {
        const char *key, *name;
    } cases[] = {
        { "/s/test/a", "a.test." },
        { "/s/b/test/a/", "a.test.b." },
        { "/s/test/x.y", "x.y.test." },
        { "/s//a", NULL },
        { "s/a", NULL },
        { "/s", NULL },
    };
    char text[NAME_TEXT_MAX];
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct etcd_value *v = value(cases[i].key, "{}");
        if (cases[i].name)
            assert_string_equal(name_to_text(v->domain, text), cases[i].name);
        else
            assert_null(v->domain);
        etcd_value_free(v);
    }
}

/* ---- the tree ---- */

struct seen {
    size_t n;
    char last[64];
    unsigned port_sum;
};

static bool note(void *ctx, const struct etcd_value *v)
{
    struct seen *s = ctx;
    assert_true(strcmp(s->last, v->key) < 0);
    (void)snprintf(s->last, sizeof s->last, "%s", v->key);
    s->n++;
    s->port_sum += v->port;
    return true;
}

#define KEYS 500

/* Random changes, against an array; an old root still shows what it showed. */
static void test_tree_at_random(void **state)
{
    struct etcd_tree t = { 0 };
    struct rand r;
    int model[KEYS] = { 0 }, before[KEYS] = { 0 };
    char key[32], json[32];
    const struct etcd_node *old = NULL;
    (void)state;
    rcu_thread_init(); /* a reader: nothing that it may look at is freed before it is quiescent */
    rand_init(&r);
    for (int i = 0; i < 20000; i++) {
        unsigned k = rand_below(&r, KEYS);
        (void)snprintf(key, sizeof key, "/s/%u/%u", k % 7, k);
        if (rand_below(&r, 3)) {
            model[k] = 1 + (int)rand_below(&r, 1000);
            (void)snprintf(json, sizeof json, "{\"port\":%d}", model[k]);
            etcd_tree_put(&t, value(key, json));
        } else {
            model[k] = 0;
            etcd_tree_del(&t, key, strlen(key));
        }
        if (i % 10)
            continue;
        struct seen all = { 0 }, past = { 0 };
        unsigned n = 0, sum = 0, n_before = 0, sum_before = 0;
        const struct etcd_node *root = etcd_tree_root(&t);
        etcd_each(root, "/s/", 3, note, &all);
        etcd_each(old, "/s/", 3, note, &past);
        for (unsigned j = 0; j < KEYS; j++) {
            n += model[j] > 0;
            sum += (unsigned)model[j];
            n_before += before[j] > 0;
            sum_before += (unsigned)before[j];
        }
        assert_int_equal(all.n, n);
        assert_int_equal(all.n, t.n);
        assert_int_equal(all.port_sum, sum);
        assert_int_equal(past.n, n_before);
        assert_int_equal(past.port_sum, sum_before);
        etcd_tree_retire(&t);
        rcu_quiescent();
        old = root;
        memcpy(before, model, sizeof model);
    }
    rcu_thread_done();
    etcd_tree_drop(&t);
    rcu_barrier_all();
}

static void test_ranges(void **state)
{
    static const char *const keys[] = { "/s/a", "/s/a-b", "/s/a/x", "/s/a/y/z", "/s/a0", "/s/b" };
    struct etcd_tree t = { 0 };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        etcd_tree_put(&t, value(keys[i], i % 2 ? "{}" : "x"));
    assert_int_equal(t.n, 6);
    assert_int_equal(t.bad, 3);
    struct seen s = { 0 };
    etcd_each(t.root, "/s/a/", 5, note, &s);
    assert_int_equal(s.n, 2);
    assert_string_equal(s.last, "/s/a/y/z");
    assert_non_null(etcd_find(t.root, "/s/a", 4));
    assert_null(etcd_find(t.root, "/s", 2));
    assert_null(etcd_find(t.root, "/s/a/", 5));
    etcd_tree_put(&t, value("/s/a", "{}"));
    assert_int_equal(t.bad, 2);
    etcd_tree_drop(&t);
    rcu_barrier_all();
}

/* ---- names ---- */

static struct etcd etcd_at(const char *path)
{
    struct etcd x = { .path_len = strlen(path), .lease_min = 30, .lease_max = 86400 };
    strcpy(x.path, path);
    return x;
}

static void key_is(const char *path, const char *name, const char *wanted)
{
    char key[ETCD_PATH_MAX + ETCD_KEY_MAX];
    struct etcd x = etcd_at(path);
    struct name n;
    assert_int_equal(name_from_text(name, &n), 0);
    key[etcd_key(&x, n.wire, key)] = 0;
    assert_string_equal(key, wanted);
}

static void test_keys_of_names(void **state)
{
    (void)state;
    key_is("/skydns", "A.b.Test.", "/skydns/test/b/a");
    key_is("/skydns", ".", "/skydns");
    key_is("", ".", "");
    key_is("", "a.", "/a");
    key_is("/s", "b/a.x.", "/s/x/b/a");
    key_is("/s", "/b//a/.x.", "/s/x/b/a");
    key_is("/s", "a\\.b\\032c\\@\\007.x.", "/s/x/a\\.b\\ c\\@\\007");
}

/* The keys of the values that a name stands for, blank after each; or how it fails. */
static const char *services(const struct etcd_tree *t, const char *name, uint16_t type, bool exact)
{
    static char text[512];
    struct etcd x = etcd_at("/s");
    struct query *q = xcalloc(1, sizeof *q);
    struct etcd_query e = { .q = q, .x = &x, .root = t->root };
    struct etcd_list list;
    struct name n;
    size_t at = 0;
    arena_init(&q->arena, 4096);
    assert_int_equal(name_from_text(name, &n), 0);
    enum etcd_found found = etcd_services(&e, n.wire, type, exact, &list);
    text[0] = 0;
    if (found != ETCD_FOUND)
        strcpy(text, found == ETCD_BROKEN ? "broken" : "no such name");
    for (size_t i = 0; found == ETCD_FOUND && i < list.n; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s ", list.items[i]->key + 3);
    arena_done(&q->arena);
    free(q);
    return text;
}

static struct etcd_tree tree_of(const char *const *pairs, size_t n)
{
    struct etcd_tree t = { 0 };
    for (size_t i = 0; i < n; i += 2)
        etcd_tree_put(&t, value(pairs[i], pairs[i + 1]));
    return t;
}

static void test_walks(void **state)
{
    static const char *const pairs[] = {
        "/s/t/a",     "{\"host\":\"1.1.1.1\"}",
        "/s/t/a/b",   "{\"host\":\"1.1.1.2\"}",
        "/s/t/a/c/x", "{\"host\":\"1.1.1.3\"}",
        "/s/t/bad",   "?",
        "/s/t/d/c/x", "{\"host\":\"1.1.1.4\"}",
        "/s/t/text",  "{\"text\":\"1\"}",
        "/s/t/none",  "{}",
    };
    struct etcd_tree t = tree_of(pairs, ARRAY_SIZE(pairs));
    (void)state;
    assert_string_equal(services(&t, "a.t.", RR_A, false), "t/a/b t/a/c/x ");
    assert_string_equal(services(&t, "a.t.", RR_A, true), "t/a ");
    assert_string_equal(services(&t, "b.a.t.", RR_A, false), "t/a/b ");
    assert_string_equal(services(&t, "bad.t.", RR_A, false), "broken");
    assert_string_equal(services(&t, "t.", RR_A, false), "t/a t/a/b t/a/c/x t/d/c/x ");
    assert_string_equal(services(&t, "t.", RR_TXT, false), "t/a t/a/b t/a/c/x t/d/c/x t/text ");
    assert_string_equal(services(&t, "none.t.", RR_A, false), "");
    assert_string_equal(services(&t, "x.t.", RR_A, false), "no such name");
    assert_string_equal(services(&t, "c.t.", RR_A, true), "no such name");
    assert_string_equal(services(&t, "c.*.t.", RR_A, false), "t/a/c/x t/d/c/x ");
    assert_string_equal(services(&t, "x.c.any.t.", RR_A, false), "t/a/c/x t/d/c/x ");
    assert_string_equal(services(&t, "*.a.t.", RR_A, false), "t/a/b t/a/c/x ");
    assert_string_equal(services(&t, "*.b.a.t.", RR_A, false), ""); /* it is, and nothing fits */
    assert_string_equal(services(&t, "x.y.*.t.", RR_A, false), "");
    etcd_tree_drop(&t);
}

static void test_groups(void **state)
{
    static const char *const pairs[] = {
        "/s/t/g/a",   "{\"host\":\"1.1.1.1\",\"group\":\"1\"}",
        "/s/t/g/b/c", "{\"host\":\"1.1.1.2\",\"group\":\"2\"}",
        "/s/t/g/d",   "{\"host\":\"1.1.1.3\"}",
        "/s/t/h/a",   "{\"host\":\"1.1.1.4\",\"group\":\"1\"}",
        "/s/t/h/b",   "{\"host\":\"1.1.1.5\",\"group\":\"2\"}",
        "/s/t/i/a/b", "{\"host\":\"1.1.1.6\",\"group\":\"1\"}",
        "/s/t/i/c",   "{\"host\":\"1.1.1.7\",\"group\":\"2\"}",
    };
    struct etcd_tree t = tree_of(pairs, ARRAY_SIZE(pairs));
    (void)state;
    assert_string_equal(services(&t, "g.t.", RR_A, false), "t/g/a t/g/d ");
    assert_string_equal(services(&t, "h.t.", RR_A, false), "t/h/a t/h/b "); /* they disagree */
    assert_string_equal(services(&t, "i.t.", RR_A, false), "t/i/c ");
    etcd_tree_drop(&t);
    rcu_barrier_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members),        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_text),           cmocka_unit_test(test_names_of_keys),
        cmocka_unit_test(test_tree_at_random), cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_keys_of_names),  cmocka_unit_test(test_walks),
        cmocka_unit_test(test_groups),
    };
    return cmocka_run_group_tests_name("etcd", tests, NULL, NULL);
}
