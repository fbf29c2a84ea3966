/* Random walks: after any series of changes, the commands of all steps add up to what the last
 * state asks for, nothing is added twice or deleted in vain, and slots are dense. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
#include "base/vec.h"
#include "kernel_picture.h"
#include "proxy/expand.h"
#include "proxy/ruleset.h"
#include "proxy/slots.h"
#include "walk.h"
#include "world.h"

#include <stdio.h>

static const struct ip node_ips[] = { { 4, { 192, 168, 0, 1 } }, { 6, { 0xfd, 9, [15] = 1 } } };
static const struct surroundings around = { node_ips, 2, NULL, 0 };

static struct ruleset *new_rules(uint8_t family)
{
    return ruleset_new(&(struct ruleset_options){ .family = family, .mark = 0x4000 });
}

/* ---- a walk through Services of all kinds */

static bool is_slot(const char *key)
{
    return strncmp(key, "endpoints-", strlen("endpoints-")) == 0;
}

/* Every element of a is in b with the same value; slots by their number only. */
static void check_subset(const struct kernel_picture *a, const struct kernel_picture *b)
{
    ht_each (e, &a->elements) {
        const char *other = ht_get(&b->elements, e->key, e->key_len);
        if (!other || (!is_slot(e->key) && strcmp(other, e->value) != 0))
            fail_msg("%s : %s, and there %s", e->key, (char *)e->value, other ? other : "nothing");
    }
}

/* "endpoints-tcp 3 . 1:2" with its value, as "endpoints-tcp 1:2 value": the same from both. */
static void collect_lists(const struct kernel_picture *k, struct ht *out)
{
    ht_each (e, &k->elements) {
        struct strbuf name = { 0 };
        const char *space = strchr(e->key, ' ');
        if (!is_slot(e->key))
            continue;
        strbuf_printf(&name, "%.*s %s %s", (int)(space - e->key), e->key, strstr(e->key, " . "),
                      (char *)e->value);
        assert_null(ht_put_str(out, name.p, out)); /* no endpoint twice in a list */
        strbuf_done(&name);
    }
}

static void check_lists(const struct kernel_picture *a, const struct kernel_picture *b)
{
    struct ht x = { 0 }, y = { 0 };
    collect_lists(a, &x);
    collect_lists(b, &y);
    assert_int_equal(x.n, y.n);
    ht_each (e, &x)
        assert_non_null(ht_get(&y, e->key, e->key_len));
    ht_done(&x);
    ht_done(&y);
}

static void check_against_fresh(struct world *w, uint8_t family, const struct ruleset *rules,
                                const struct kernel_picture *k)
{
    struct ruleset *fresh = new_rules(family);
    struct kernel_picture want = { 0 };
    struct portal_change *all;
    struct strbuf text = { 0 };
    size_t n = model_all(w->model, family, &all);
    (void)ruleset_stage(fresh, all, n, &around, &text);
    ruleset_commit(fresh);
    if (text.p)
        kernel_picture_apply(&want, text.p);
    check_subset(k, &want);
    check_subset(&want, k);
    check_lists(k, &want);
    assert_int_equal(ruleset_counts(rules).elements, k->elements.n);
    assert_int_equal(ruleset_counts(fresh).elements, k->elements.n);
    ht_each (c, &want.chains)
        assert_non_null(ht_get(&k->chains, c->key, c->key_len));
    strbuf_done(&text);
    free(all);
    kernel_picture_done(&want);
    ruleset_free(fresh);
}

static void one_step(struct rand *r, struct world *w, struct ruleset *rules[2],
                     struct kernel_picture k[2])
{
    struct portal_change *changes;
    walk_step(r, w);
    model_refresh(w->model);
    size_t n = model_take_changes(w->model, &changes);
    for (unsigned f = 0; f < 2; f++) {
        struct strbuf text = { 0 };
        if (rand_below(r, 4) == 0) { /* refused at first */
            (void)ruleset_stage(rules[f], changes, n, &around, &text);
            ruleset_discard(rules[f]);
            strbuf_reset(&text);
        }
        (void)ruleset_stage(rules[f], changes, n, &around, &text);
        ruleset_commit(rules[f]);
        if (text.p)
            kernel_picture_apply(&k[f], text.p);
        strbuf_done(&text);
    }
    free(changes);
}

static void test_walk(void **state)
{
    (void)state;
    struct rand r = { { 1, 2, 3, 4 } };
    struct world w;
    struct ruleset *rules[2] = { new_rules(4), new_rules(6) };
    struct kernel_picture k[2] = { 0 };
    world_init(&w);
    for (unsigned step = 0; step < 400; step++) {
        one_step(&r, &w, rules, k);
        check_against_fresh(&w, 4, rules[0], &k[0]);
        check_against_fresh(&w, 6, rules[1], &k[1]);
    }
    for (unsigned f = 0; f < 2; f++) {
        ruleset_free(rules[f]);
        kernel_picture_done(&k[f]);
    }
    world_done(&w);
}

/* ---- counts */

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, what)) != NULL; p++)
        n++;
    return n;
}

/* The fixed counts are those of the text: a line inside a chain is a rule unless it names the hook.
 */
static void test_skeleton_counts(void **state)
{
    (void)state;
    for (uint8_t mode = LOCAL_UNKNOWN; mode <= LOCAL_PREFIX; mode++) {
        struct strbuf text = { 0 };
        struct ruleset *rules = ruleset_new(&(struct ruleset_options){
            .family = 6, .local_mode = mode, .local_interface = "cni0" });
        ruleset_skeleton(rules, &text);
        const char *chains = strstr(text.p, "\tchain ");
        assert_non_null(chains);
        assert_int_equal(count(chains, "\tchain "), ruleset_counts(rules).chains);
        assert_int_equal(count(chains, "\n\t\t") - count(chains, "\n\t\ttype "),
                         ruleset_counts(rules).rules);
        strbuf_done(&text);
        ruleset_free(rules);
    }
}

static struct ruleset_counts counts_of(unsigned services)
{
    struct world w;
    struct ruleset *rules = new_rules(4);
    struct strbuf text = { 0 };
    struct portal_change *all;
    world_init(&w);
    for (unsigned i = 0; i < services; i++) {
        static const char *const hosts[] = { "1", "1 2", "1 2 3" };
        char name[16], ip[32];
        (void)snprintf(name, sizeof name, "s%u", i);
        (void)snprintf(ip, sizeof ip, "10.96.%u.%u", i / 250, i % 250);
        world_service(&w, name, ip);
        world_slice(&w, name, hosts[i % 3], "node2");
    }
    model_refresh(w.model);
    size_t n = model_all(w.model, 4, &all);
    (void)ruleset_stage(rules, all, n, &around, &text);
    ruleset_commit(rules);
    struct ruleset_counts c = ruleset_counts(rules);
    free(all);
    strbuf_done(&text);
    ruleset_free(rules);
    world_done(&w);
    return c;
}

static void test_constant(void **state)
{
    (void)state;
    struct ruleset_counts few = counts_of(30), many = counts_of(900);
    assert_int_equal(few.chains, many.chains);
    assert_int_equal(few.rules, many.rules);
    assert_int_equal(few.elements, 30 * 3 + 60 + 1);
    assert_int_equal(many.elements, 900 * 3 + 1800 + 1);
}

/* Never less than n, at most a sixteenth more, and few different ones. */
static void test_moduli(void **state)
{
    (void)state;
    unsigned different = 0;
    for (uint32_t n = 1, last = 0; n <= PORTAL_BACKENDS_MAX; n++) {
        uint32_t m = draw_modulus(n);
        assert_in_range(m, n, n + n / 16);
        assert_true(m >= last);
        assert_true(n > 64 || m == n);
        different += m != last;
        last = m;
    }
    assert_in_range(different, 200, 230);
}

/* ---- slots */

static struct backend host(unsigned i)
{
    return (struct backend){ .ip = { 10, 0, 0, (uint8_t)i }, .port = 80 };
}

static void test_slots_keep(void **state)
{
    (void)state;
    struct backend old[] = { host(5), host(2), host(9), host(4) }, out[5];
    struct backend fewer[] = { host(2), host(4), host(9) }; /* 5 is gone: 4, the last, moves */
    slots_plan(old, 4, fewer, 3, out);
    assert_int_equal(out[0].ip[3], 4);
    assert_int_equal(out[1].ip[3], 2);
    assert_int_equal(out[2].ip[3], 9);
    struct backend more[] = { host(1), host(2), host(4), host(5), host(9) };
    slots_plan(old, 4, more, 5, out);
    assert_memory_equal(out, old, sizeof old);
    assert_int_equal(out[4].ip[3], 1);
    slots_plan(NULL, 0, more, 5, out);
    assert_memory_equal(out, more, sizeof more);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_walk),       cmocka_unit_test(test_skeleton_counts),
        cmocka_unit_test(test_constant),   cmocka_unit_test(test_moduli),
        cmocka_unit_test(test_slots_keep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
