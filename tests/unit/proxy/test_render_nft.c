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
#include "proxy/render_nft.h"
#include "proxy/skeleton.h"
#include "proxy/slots.h"

#include <stdio.h>

#define KEYS  12
#define HOSTS 9

static struct vip *random_vip(struct rand *r, const struct vip_key *key)
{
    struct vip *v = calloc(1, sizeof *v + HOSTS * sizeof *v->backends);
    assert_non_null(v);
    v->key = *key;
    for (unsigned i = 0; i < HOSTS; i++)
        if (rand_below(r, 2))
            v->backends[v->n_backends++] = (struct backend){ .ip = { 10, 0, 0, (uint8_t)i },
                                                             .port = 80,
                                                             .maybe_local = i % 2 };
    return v;
}

static struct vip_key key_of(unsigned i, uint8_t family)
{
    struct vip_key k = { .family = family, .protocol = i % 3, .port = 80 };
    k.ip[0] = 9;
    k.ip[3] = (uint8_t)(i / 4); /* several ports share an address */
    k.port = (uint16_t)(80 + i % 4);
    return k;
}

static void check_services(const struct kernel_picture *k, struct vip *const *now)
{
    char key[128], want[64];
    for (unsigned i = 0; i < KEYS; i++) {
        struct vip_key id = key_of(i, 4);
        const char *word = protocol_word(id.protocol);
        unsigned n = now[i] ? now[i]->n_backends : 0;
        (void)snprintf(key, sizeof key, "9.0.0.%u . %s . %u", id.ip[3], word, id.port);
        const char *service = kernel_picture_get(k, "services", key);
        const char *empty = kernel_picture_get(k, "no-endpoints", key);
        (void)snprintf(want, sizeof want, "goto mod%u-%s", n, word);
        assert_true(n ? service && strcmp(service, want) == 0 : !service);
        assert_true((empty != NULL) == (now[i] && n == 0));
        if (n)
            assert_non_null(ht_get_str(&k->chains, want + strlen("goto ")));
    }
}

/* Each backend sits in one slot below n; there is none above. */
static void check_slots(const struct kernel_picture *k, struct vip *const *now)
{
    char key[128], map[32];
    for (unsigned i = 0; i < KEYS; i++) {
        struct vip_key id = key_of(i, 4);
        unsigned n = now[i] ? now[i]->n_backends : 0, seen = 0;
        (void)snprintf(map, sizeof map, "endpoints-%s", protocol_word(id.protocol));
        for (unsigned slot = 0; slot < HOSTS + 1; slot++) {
            (void)snprintf(key, sizeof key, "%u . 9.0.0.%u . %u", slot, id.ip[3], id.port);
            const char *value = kernel_picture_get(k, map, key);
            assert_true((value != NULL) == (slot < n));
            for (unsigned b = 0; value && b < n; b++) {
                char want[64];
                (void)snprintf(want, sizeof want, "10.0.0.%u . 80", now[i]->backends[b].ip[3]);
                seen |= strcmp(want, value) == 0 ? 1u << b : 0;
            }
        }
        assert_int_equal(seen, (1u << n) - 1);
    }
}

static void check_shared(const struct kernel_picture *k, struct vip *const *now)
{
    char key[128];
    for (unsigned a = 0; a < KEYS / 4; a++) {
        bool used = now[4 * a] || now[4 * a + 1] || now[4 * a + 2] || now[4 * a + 3];
        (void)snprintf(key, sizeof key, "9.0.0.%u", a);
        assert_true((kernel_picture_get(k, "cluster-ips", key) != NULL) == used);
    }
    for (unsigned h = 0; h < HOSTS; h++) {
        bool used = false;
        for (unsigned i = 0; i < KEYS; i++)
            for (unsigned b = 0; now[i] && b < now[i]->n_backends; b++)
                used |= now[i]->backends[b].ip[3] == h && h % 2;
        (void)snprintf(key, sizeof key, "10.0.0.%u . 10.0.0.%u", h, h);
        assert_true((kernel_picture_get(k, "hairpin", key) != NULL) == used);
    }
}

static void one_step(struct rand *r, struct ruleset *rules, struct kernel_picture *k,
                     struct vip **now)
{
    struct vip_change changes[KEYS];
    struct vip *next[KEYS];
    struct strbuf text = { 0 };
    size_t n = 0;
    memcpy(next, now, sizeof next);
    for (unsigned i = 0; i < KEYS; i++) {
        struct vip_key key = key_of(i, 4);
        if (rand_below(r, 3))
            continue;
        next[i] = rand_below(r, 4) ? random_vip(r, &key) : NULL;
        changes[n++] = (struct vip_change){ key, next[i] };
    }
    bool commit = rand_below(r, 4) != 0;
    (void)ruleset_stage(rules, changes, n, &text);
    if (commit && text.p)
        kernel_picture_apply(k, text.p);
    if (commit)
        ruleset_commit(rules);
    else
        ruleset_discard(rules);
    for (unsigned i = 0; i < KEYS; i++)
        if (next[i] != now[i])
            free(commit ? now[i] : next[i]);
    if (commit)
        memcpy(now, next, sizeof next);
    strbuf_done(&text);
}

static void test_walk(void **state)
{
    (void)state;
    struct rand r = { { 1, 2, 3, 4 } };
    struct vip *now[KEYS] = { 0 };
    struct kernel_picture k = { 0 };
    struct ruleset *rules = ruleset_new(&(struct ruleset_options){ .family = 4 });
    for (unsigned step = 0; step < 1000; step++) {
        one_step(&r, rules, &k, now);
        check_services(&k, now);
        check_slots(&k, now);
        check_shared(&k, now);
        struct ruleset_counts c = ruleset_counts(rules);
        assert_int_equal(c.elements, k.elements.n);
        assert_int_equal(c.chains, SKELETON_CHAINS + k.chains.n);
        assert_int_equal(c.rules, SKELETON_RULES + k.n_rules);
    }
    for (unsigned i = 0; i < KEYS; i++)
        free(now[i]);
    ruleset_free(rules);
    kernel_picture_done(&k);
}

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
    struct strbuf text = { 0 };
    struct ruleset *rules = ruleset_new(&(struct ruleset_options){ .family = 6 });
    ruleset_skeleton(rules, &text);
    const char *chains = strstr(text.p, "\tchain ");
    assert_non_null(chains);
    assert_int_equal(count(chains, "\tchain "), ruleset_counts(rules).chains);
    assert_int_equal(count(chains, "\n\t\t") - count(chains, "\n\t\ttype "),
                     ruleset_counts(rules).rules);
    strbuf_done(&text);
    ruleset_free(rules);
}

static void put_ip(uint8_t *p, uint32_t ip)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(ip >> (24 - 8 * i));
}

static struct ruleset_counts counts_of(unsigned services)
{
    struct ruleset *rules = ruleset_new(&(struct ruleset_options){ .family = 4 });
    VEC(struct vip_change) list = { 0 };
    struct strbuf text = { 0 };
    for (unsigned i = 0; i < services; i++) {
        struct vip *v = calloc(1, sizeof *v + 3 * sizeof *v->backends);
        assert_non_null(v);
        v->key = (struct vip_key){ .family = 4, .port = 80 };
        put_ip(v->key.ip, 0x0a600000u + i);
        v->n_backends = 1 + i % 3;
        for (unsigned b = 0; b < v->n_backends; b++) {
            put_ip(v->backends[b].ip, 0x0af40000u + b);
            v->backends[b].port = 80;
        }
        vec_push(&list, (struct vip_change){ v->key, v });
    }
    (void)ruleset_stage(rules, list.items, list.n, &text);
    ruleset_commit(rules);
    struct ruleset_counts c = ruleset_counts(rules);
    vec_each (it, &list)
        free((void *)it->vip);
    vec_done(&list);
    strbuf_done(&text);
    ruleset_free(rules);
    return c;
}

static void test_constant(void **state)
{
    (void)state;
    struct ruleset_counts few = counts_of(30), many = counts_of(3000);
    assert_int_equal(few.chains, many.chains);
    assert_int_equal(few.rules, many.rules);
    assert_int_equal(few.elements, 30 * 2 + 60);
    assert_int_equal(many.elements, 3000 * 2 + 6000);
}

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
        cmocka_unit_test(test_walk),
        cmocka_unit_test(test_skeleton_counts),
        cmocka_unit_test(test_constant),
        cmocka_unit_test(test_slots_keep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
