/* Slices that mirror Endpoints: which are kept, written anew, made and deleted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/vec.h"
#include "endpoints/plan_mirror.h"
#include "make.h"

struct world {
    VEC(struct object *) slices; /* as they are on the server */
    unsigned n_names, max, puts, dels;
    struct mirror_report report;
};

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct world));
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    vec_each (it, &w->slices)
        object_free(*it);
    vec_done(&w->slices);
    free(w);
    return 0;
}

static struct endpoints_address address(uint8_t family, unsigned n)
{
    return (struct endpoints_address){ .ip = { .family = family, .bytes = { 10, (uint8_t)n } },
                                       .hostname = "",
                                       .node = "",
                                       .target = { "", "", "", "", "", "", "" } };
}

static size_t slice_at(const struct world *w, const char *name)
{
    for (size_t i = 0; i < w->slices.n; i++)
        if (strcmp(w->slices.items[i]->meta.name, name) == 0)
            return i;
    return w->slices.n;
}

static void put(struct world *w, struct object *o)
{
    char name[16];
    struct slice s = *slice_of(o);
    size_t at = slice_at(w, s.object.meta.name);
    (void)snprintf(name, sizeof name, "db-%02u", ++w->n_names);
    if (!*s.object.meta.name)
        s.object.meta.name = name;
    s.version = "1";
    struct object *now = object_copy(&s.object);
    object_free(o);
    if (at < w->slices.n) {
        object_free(w->slices.items[at]);
        w->slices.items[at] = now;
    } else {
        vec_push(&w->slices, now);
    }
}

/* Plans and carries out; nothing is left to do then. */
static void run(struct world *w, const struct endpoints *e)
{
    struct plan p;
    for (unsigned round = 0; round < 2; round++) {
        mirror_build(
            &(struct mirror_input){ .endpoints = e,
                                    .existing =
                                        (const struct slice *const *)(void *)w->slices.items,
                                    .n_existing = w->slices.n,
                                    .api = true,
                                    .max_addresses = w->max },
            &p, &w->report);
        if (round) {
            assert_int_equal(p.n_puts + p.n_dels, 0);
        } else {
            w->puts = (unsigned)p.n_puts;
            w->dels = (unsigned)p.n_dels;
        }
        for (size_t i = 0; i < p.n_dels; i++) {
            size_t at = slice_at(w, p.dels[i]->meta.name);
            object_free(w->slices.items[at]);
            vec_swap_remove(&w->slices, at);
        }
        for (size_t i = 0; i < p.n_puts; i++)
            put(w, p.puts[i]);
        plan_done(&p);
    }
}

static struct endpoints make(const struct endpoints_subset *subsets, uint32_t n)
{
    return (struct endpoints){
        .object = { .kind = KIND_ENDPOINTS,
                    .meta = { .namespace = "shop", .name = "db", .uid = "e", .origin = "" } },
        .subsets = subsets,
        .n_subsets = n,
        .version = "1"
    };
}

static void test_fewest_writes(void **state)
{
    struct world *w = *state;
    struct endpoints_address a[] = { address(4, 1), address(4, 2), address(6, 3) };
    struct slice_port port = { .name = "sql", .port = 5432 };
    struct endpoints_subset s = { .addresses = a, .n_addresses = 3, .ports = &port, .n_ports = 1 };
    struct endpoints e = make(&s, 1);
    run(w, &e);
    assert_int_equal(w->puts, 2); /* one a family */
    run(w, &e);
    assert_int_equal(w->puts, 0);
    a[1].node = "n1";
    run(w, &e);
    assert_int_equal(w->puts, 1);
    port.port = 5433; /* other ports: the same slices are written anew */
    run(w, &e);
    assert_int_equal(w->puts, 2);
    assert_int_equal(w->dels, 0);
    s.n_addresses = 2;
    run(w, &e);
    assert_int_equal(w->puts, 0);
    assert_int_equal(w->dels, 1);
    e.n_subsets = 0;
    run(w, &e);
    assert_int_equal(w->dels, 1);
    assert_int_equal(w->slices.n, 0);
}

/* Whatever somebody changed by hand is put right. */
static void test_put_right(void **state)
{
    struct world *w = *state;
    const struct label label = { "x", "y" }, team = { "team", "a" };
    struct endpoints_address a[] = { address(4, 1) };
    struct endpoints_subset s = { .addresses = a, .n_addresses = 1 };
    struct endpoints e = make(&s, 1);
    e.object.meta.labels = &team;
    e.object.meta.n_labels = 1;
    run(w, &e);
    for (unsigned i = 0; i < 6; i++) {
        struct slice t = *slice_of(w->slices.items[0]);
        struct endpoint ep = t.endpoints[0];
        ep.conditions ^= i == 0 ? ENDPOINT_READY : i == 1 ? ENDPOINT_SERVING_SAID : 0;
        t.endpoints = &ep;
        t.object.meta.labels = i == 2 ? &label : t.object.meta.labels;
        t.object.meta.n_labels = i == 2 ? 1 : t.object.meta.n_labels;
        t.annotations = &label;
        t.n_annotations = i == 3;
        t.owner_uid = i == 4 ? "another" : t.owner_uid;
        t.n_endpoints = i != 5;
        struct object *edited = object_copy(&t.object);
        object_free(w->slices.items[0]);
        w->slices.items[0] = edited;
        run(w, &e);
        assert_int_equal(w->puts, 1);
    }
}

/* The ready ones first, of both families together; what is no address is no endpoint. */
static void test_limit(void **state)
{
    struct world *w = *state;
    struct endpoints_address ready[] = { address(4, 1), address(6, 2), address(0, 3) };
    struct endpoints_address other[] = { address(4, 4), address(4, 5) };
    struct endpoints_subset s = {
        .addresses = ready, .n_addresses = 3, .not_ready = other, .n_not_ready = 2
    };
    struct endpoints e = make(&s, 1);
    w->max = 3;
    run(w, &e);
    assert_int_equal(w->report.invalid, 1);
    assert_int_equal(w->report.surplus, 1);
    assert_int_equal(w->slices.n, 2);
    assert_int_equal(
        slice_of(w->slices.items[0])->n_endpoints + slice_of(w->slices.items[1])->n_endpoints, 3);
}

static void test_applies(void **state)
{
    (void)state;
    const struct label skip = { LABEL_SKIP_MIRROR, "true" }, lead = { ANNOTATION_LEADER, "{}" };
    struct object *made = make_service("shop", "db", "x", 80);
    struct service s = *service_of(made);
    struct endpoints e = make(NULL, 0);
    assert_false(mirror_applies(&s, &e));
    s.n_selector = 0;
    assert_true(mirror_applies(&s, &e));
    assert_false(mirror_applies(NULL, &e));
    assert_false(mirror_applies(&s, NULL));
    e.object.meta.labels = &skip;
    e.object.meta.n_labels = 1;
    assert_false(mirror_applies(&s, &e));
    e.object.meta.n_labels = 0;
    e.annotations = &lead;
    e.n_annotations = 1;
    assert_false(mirror_applies(&s, &e));
    object_free(made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fewest_writes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_put_right, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
        cmocka_unit_test(test_applies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
