#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rand.h"
#include "base/str.h"
#include "kube/service.h"
#include "kube/slice.h"
#include "store/store.h"

static struct object *make_service(const char *ns, const char *name, unsigned version)
{
    struct service s = {
        .object = { .kind = KIND_SERVICE,
                    .meta = { .namespace = ns, .name = name, .uid = "", .origin = "" } },
        .affinity_seconds = version
    };
    return object_copy(&s.object);
}

static struct object *make_slice(const char *ns, const char *name, const char *service)
{
    struct slice s = {
        .object = { .kind = KIND_SLICE,
                    .meta = { .namespace = ns, .name = name, .uid = "", .origin = "" } },
        .service = service,
        .pool = "",
        .pool_len = 1
    };
    return object_copy(&s.object);
}

/* A listener that writes down what it is told: "+a", "~a", "-a". */
struct notes {
    struct listener listener;
    struct store *store;
    struct strbuf text;
    uint64_t revision;
};

static void note(void *ctx, const struct change *c)
{
    struct notes *n = ctx;
    const struct object *o = c->new ? c->new : c->old;
    strbuf_printf(&n->text, "%c%s ", !c->old ? '+' : !c->new ? '-' : '~', o->meta.name);
    assert_true(c->revision == n->revision + 1);
    n->revision = c->revision;
    assert_ptr_equal(store_get(n->store, c->kind, o->meta.namespace, o->meta.name), c->new);
}

static void note_synced(void *ctx)
{
    strbuf_puts(&((struct notes *)ctx)->text, "synced ");
}

static struct notes *notes_new(struct store *s)
{
    struct notes *n = xcalloc(1, sizeof *n);
    n->listener = (struct listener){ .changed = note, .synced = note_synced, .ctx = n };
    n->store = s;
    strbuf_puts(&n->text, "");
    store_listen(s, &n->listener);
    return n;
}

static void notes_free(struct notes *n)
{
    store_unlisten(n->store, &n->listener);
    strbuf_done(&n->text);
    free(n);
}

static void test_changes(void **state)
{
    (void)state;
    struct store *s = store_new();
    struct notes *n = notes_new(s);
    store_put(s, make_service("ns", "a", 1));
    store_put(s, make_service("ns", "a", 1));
    store_put(s, make_service("ns", "a", 2));
    store_put(s, make_service("", "b", 1));
    store_delete(s, KIND_SERVICE, "ns", "none");
    store_delete(s, KIND_SLICE, "ns", "a");
    store_delete(s, KIND_SERVICE, "ns", "a");
    assert_string_equal(n->text.p, "+a ~a +b -a ");
    assert_int_equal(store_revision(s), 4);
    assert_int_equal(store_count(s, KIND_SERVICE), 1);
    assert_true(store_changed_unix(s) > 0);
    assert_null(store_get(s, KIND_SERVICE, "ns", "a"));
    assert_string_equal(store_get(s, KIND_SERVICE, "", "b")->meta.name, "b");
    notes_free(n);
    store_free(s);
}

static void test_synced(void **state)
{
    (void)state;
    struct store *s = store_new();
    struct notes *early = notes_new(s);
    assert_false(store_is_synced(s));
    store_set_synced(s);
    store_set_synced(s);
    assert_true(store_is_synced(s));
    struct notes *late = notes_new(s);
    assert_string_equal(early->text.p, "synced ");
    assert_string_equal(late->text.p, "synced ");
    notes_free(early);
    notes_free(late);
    store_free(s);
}

/* For each Service "a" that comes it stores a slice "a-s", and takes it away with the Service; it
 * says that all is synced when "last" comes. */
static void follow(void *ctx, const struct change *c)
{
    struct store *s = ctx;
    char name[32];
    if (c->kind != KIND_SERVICE)
        return;
    const struct meta *m = c->new ? &c->new->meta : &c->old->meta;
    (void)snprintf(name, sizeof name, "%s-s", m->name);
    if (strcmp(m->name, "last") == 0)
        store_set_synced(s);
    if (c->new)
        store_put(s, make_slice(m->namespace, name, m->name));
    else
        store_delete(s, KIND_SLICE, m->namespace, name);
    assert_int_equal(store_get(s, KIND_SLICE, m->namespace, name) != NULL, c->old != NULL);
}

static void test_listener_writes(void **state)
{
    (void)state;
    struct store *s = store_new();
    struct listener writer = { .changed = follow, .ctx = s };
    store_listen(s, &writer);
    struct notes *n = notes_new(s); /* behind the writer: still sees the changes in order */
    store_put(s, make_service("ns", "a", 1));
    store_put(s, make_service("ns", "a", 2));
    store_put(s, make_service("ns", "last", 1));
    store_delete(s, KIND_SERVICE, "ns", "a");
    assert_string_equal(n->text.p, "+a +a-s ~a +last +last-s synced -a -a-s ");
    assert_int_equal(store_count(s, KIND_SLICE), 1);
    notes_free(n);
    store_unlisten(s, &writer);
    store_free(s);
}

struct leaver {
    struct listener listener, *other;
    struct store *store;
    unsigned told;
};

static void leave(void *ctx, const struct change *c)
{
    struct leaver *l = ctx;
    (void)c;
    l->told++;
    store_unlisten(l->store, l->other ? l->other : &l->listener);
}

/* Listeners may leave, or make others leave, while they are being told. */
static void test_leave(void **state)
{
    (void)state;
    struct store *s = store_new();
    struct leaver own = { .store = s }, first = { .store = s }, second = { .store = s };
    first.other = &second.listener;
    struct leaver *all[] = { &own, &first, &second };
    for (unsigned i = 0; i < 3; i++) {
        all[i]->listener = (struct listener){ .changed = leave, .ctx = all[i] };
        store_listen(s, &all[i]->listener);
    }
    store_put(s, make_service("", "a", 1));
    store_put(s, make_service("", "b", 1));
    assert_int_equal(own.told, 1);
    assert_int_equal(first.told, 2);
    assert_int_equal(second.told, 0);
    store_free(s);
}

static void count(void *ctx, const struct object *o)
{
    (void)o;
    ++*(unsigned *)ctx;
}

static void test_each(void **state)
{
    (void)state;
    struct store *s = store_new();
    unsigned all = 0, some = 0;
    store_put(s, make_service("x", "a", 1));
    store_put(s, make_service("x", "b", 1));
    store_put(s, make_service("y", "a", 1));
    store_each(s, KIND_SERVICE, NULL, count, &all);
    store_each(s, KIND_SERVICE, "x", count, &some);
    assert_int_equal(all, 3);
    assert_int_equal(some, 2);
    store_free(s);
}

static void test_long_names(void **state)
{
    (void)state;
    char name[2000];
    struct store *s = store_new();
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = 0;
    store_put(s, make_slice("ns", name, name));
    unsigned n = 0;
    store_each_slice_of(s, "ns", name, count, &n);
    assert_int_equal(n, 1);
    store_delete(s, KIND_SLICE, "ns", name);
    assert_int_equal(store_count(s, KIND_SLICE), 0);
    store_free(s);
}

/* Random changes of slices against the plainest of models. */
#define MODEL_N  40
#define SERVICES 5

struct model {
    int service[MODEL_N]; /* of slice i; -1: it does not exist */
};

static void names_of(unsigned i, char *ns, char *name)
{
    (void)snprintf(ns, 8, "ns%u", i % 3);
    (void)snprintf(name, 8, "s%u", i / 3);
}

static void check_model(const struct store *s, const struct model *m)
{
    char ns[8], name[8], service[8];
    size_t exist = 0;
    for (unsigned i = 0; i < MODEL_N; i++) {
        names_of(i, ns, name);
        const struct object *o = store_get(s, KIND_SLICE, ns, name);
        assert_int_equal(o != NULL, m->service[i] >= 0);
        exist += o != NULL;
    }
    assert_int_equal(store_count(s, KIND_SLICE), exist);
    for (int k = 0; k < 3 * SERVICES; k++) {
        unsigned want = 0, have = 0;
        (void)snprintf(ns, sizeof ns, "ns%d", k % 3);
        (void)snprintf(service, sizeof service, "v%d", k / 3);
        for (unsigned i = 0; i < MODEL_N; i++)
            want += i % 3 == (unsigned)k % 3 && m->service[i] == k / 3;
        store_each_slice_of(s, ns, service, count, &have);
        assert_int_equal(have, want);
    }
}

static void test_model(void **state)
{
    (void)state;
    struct rand r = { { 1, 2, 3, 4 } };
    struct model m;
    struct store *s = store_new();
    memset(&m, 0xff, sizeof m);
    for (unsigned round = 0; round < 3000; round++) {
        char ns[8], name[8], service[8];
        unsigned i = rand_below(&r, MODEL_N);
        names_of(i, ns, name);
        if (rand_below(&r, 3)) {
            m.service[i] = (int)rand_below(&r, SERVICES);
            (void)snprintf(service, sizeof service, "v%d", m.service[i]);
            store_put(s, make_slice(ns, name, service));
        } else {
            m.service[i] = -1;
            store_delete(s, KIND_SLICE, ns, name);
        }
        check_model(s, &m);
    }
    store_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_synced),
        cmocka_unit_test(test_listener_writes),
        cmocka_unit_test(test_leave),
        cmocka_unit_test(test_each),
        cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
