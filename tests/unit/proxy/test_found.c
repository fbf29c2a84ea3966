/* A process that comes after another finds its table: what it writes is the difference, and
 * whatever the earlier one was doing when it was killed, the kernel ends where a fresh start would.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "kernel_memory.h"
#include "proxy/applier.h"
#include "proxy/found.h"
#include "proxy/item.h"
#include "walk.h"

#include <errno.h>
#include <stdio.h>

static const struct ip node_ips[] = { { 4, { 192, 168, 0, 1 } }, { 6, { 0xfd, 9, [15] = 1 } } };
static const struct ip_prefix ranges[] = { { { 4, { 10, 96 } }, 16 },
                                           { { 4, { 10, 97 } }, 16 }, /* side by side */
                                           { { 4, { 255, 255 } }, 16 },
                                           { { 6, { 0xfd, 0, 0, 0x96 } }, 112 } };
static const struct surroundings around = { node_ips, 2, ranges, 4 };

struct bench {
    struct world w;
    struct kernel_memory k;
    struct ruleset_options options;
    struct applier applier;
    struct applied applied;
};

static void start(struct bench *b)
{
    applier_init(&b->applier, &b->k.backend, b->w.model, &around, &b->options);
}

static void bench_init(struct bench *b, uint8_t family)
{
    *b = (struct bench){ .options = { .family = family, .mark = 0x4000 } };
    log_set_level(LOG_FATAL);
    world_init(&b->w);
    kernel_memory_init(&b->k, family);
    start(b);
}

static void bench_done(struct bench *b)
{
    applied_done(&b->applied);
    applier_done(&b->applier);
    kernel_memory_done(&b->k);
    world_done(&b->w);
}

static void run(struct bench *b)
{
    struct portal_change *c;
    applied_done(&b->applied);
    model_refresh(b->w.model);
    size_t n = model_take_changes(b->w.model, &c);
    applier_run(&b->applier, c, n, &b->applied);
    free(c);
    if (b->k.opaque && b->applier.rules)
        kernel_memory_fill(&b->k, b->applier.rules);
}

/* Forgets everything, as by kill -9. */
static void restart(struct bench *b)
{
    applier_done(&b->applier);
    b->k.calls_left = -1;
    b->k.n_texts = b->k.n_writes = b->k.n_checks = 0;
    start(b);
    run(b);
}

/* ---- what the kernel has, and what it should have */

static void push(void *ctx, const struct element *e)
{
    elements *v = ctx;
    vec_push(v, *e);
}

static int compare_whole(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct element));
}

static void sort(elements *v, bool without_slots)
{
    vec_each (e, v)
        if (without_slots && e->map >= MAP_ENDPOINTS_TCP)
            e->slot = 0;
    if (v->n > 1)
        qsort(v->items, v->n, sizeof *v->items, compare_whole);
}

static void check_same(elements *a, elements *b, bool without_slots)
{
    sort(a, without_slots);
    sort(b, without_slots);
    assert_int_equal(a->n, b->n);
    if (a->n > 0)
        assert_memory_equal(a->items, b->items, a->n * sizeof *a->items);
}

static void read_kernel(struct bench *b, elements *ret)
{
    struct found f;
    struct err e = { .code = 0 };
    int code = found_read(&b->k.backend, &b->options, &f, &e);
    if (code != 0)
        fail_msg("%d: %s", code, e.text);
    for (enum map_id map = 0; map < MAPS; map++)
        vec_each (one, &f.of[map])
            vec_push(ret, *one);
    found_done(&f);
}

static struct ruleset *fresh_rules(const struct bench *b)
{
    struct portal_change *all;
    struct ruleset *fresh = ruleset_new(&b->options);
    size_t n = model_all(b->w.model, b->options.family, &all);
    (void)ruleset_stage(fresh, all, n, &around, NULL);
    ruleset_commit(fresh);
    free(all);
    return fresh;
}

/* The kernel has what our picture has, to the slot, and what a fresh start would make. */
static void check_kernel(struct bench *b)
{
    elements kernel = { 0 }, picture = { 0 }, want = { 0 };
    struct ruleset *fresh = fresh_rules(b);
    read_kernel(b, &kernel);
    ruleset_each(b->applier.rules, push, &picture);
    ruleset_each(fresh, push, &want);
    check_same(&kernel, &picture, false);
    check_same(&kernel, &want, true);
    assert_int_equal(ruleset_counts(b->applier.rules).elements, kernel.n);
    ruleset_free(fresh);
    vec_done(&kernel);
    vec_done(&picture);
    vec_done(&want);
}

/* ---- walks */

static void walk(uint8_t family, uint64_t seed, unsigned steps)
{
    struct rand r = { { seed, 2, 3, 4 } };
    struct bench b;
    unsigned adopted = 0, written = 0;
    bench_init(&b, family);
    for (unsigned step = 0; step < steps; step++) {
        walk_step(&r, &b.w);
        if (rand_below(&r, 3) == 0) /* killed on the way, or soon */
            b.k.calls_left = 1 + (int)rand_below(&r, 8);
        run(&b);
        if (b.k.calls_left < 0)
            check_kernel(&b);
        if (b.k.calls_left < 0 && rand_below(&r, 2))
            continue;
        if (rand_below(&r, 2)) /* something happens while nobody looks */
            walk_step(&r, &b.w);
        restart(&b);
        assert_int_equal(b.applied.code, 0);
        assert_int_equal(b.applied.n_failed, 0);
        check_kernel(&b);
        adopted += b.applied.found > 0;
        restart(&b); /* and once more: there is nothing to do */
        assert_int_equal(b.applied.transactions, 0);
        assert_int_equal(b.applied.found, ruleset_counts(b.applier.rules).elements);
        written += b.k.n_writes + b.k.n_texts;
    }
    assert_true(adopted > steps / 4);
    assert_int_equal(written, 0);
    bench_done(&b);
}

static void test_killed_and_adopted(void **state)
{
    (void)state;
    walk(4, 1, 200);
    walk(6, 2, 200);
}

/* ---- what is not taken over */

static void some(struct bench *b)
{
    world_service(&b->w, "a", "10.96.0.1");
    world_slice(&b->w, "a", "1 2 3", "node2");
    world_service(&b->w, "b", "10.96.0.2");
    world_slice(&b->w, "b", "4 5", "node2");
    run(b);
}

/* In one transaction. */
static void check_made_anew(struct bench *b)
{
    assert_int_equal(b->applied.code, 0);
    assert_int_equal(b->applied.found, 0);
    assert_int_equal(b->k.n_texts, 1);
    assert_int_equal(b->k.n_writes, 1); /* the seal */
    check_kernel(b);
}

static void test_other_layout(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 4);
    some(&b);
    b.options.masquerade_all = true;
    restart(&b);
    check_made_anew(&b);
    restart(&b);
    assert_int_equal(b.applied.transactions, 0);
    bench_done(&b);
}

static void test_rules_tampered(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 4);
    some(&b);
    vec_push(&b.k.rules, xstrdup("rule services accept"));
    restart(&b);
    check_made_anew(&b);
    bench_done(&b);
}

static void test_strange_element(void **state)
{
    (void)state;
    static const struct nft_item strange[] = {
        { .key = { 1, 2, 3 }, .key_len = 3 },
        { .key = { 10, 96, 0, 9, 99, 0, 0, 0, 0, 80 },
          .key_len = 12,
          .data_len = 4 }, /* protocol */
    };
    for (unsigned i = 0; i < 2; i++) {
        struct bench b;
        bench_init(&b, 4);
        some(&b);
        kernel_memory_put(&b.k, "services", &strange[i]);
        restart(&b);
        check_made_anew(&b);
        bench_done(&b);
    }
}

static struct nft_item item_of(const struct element *e)
{
    struct nft_item items[ELEMENT_ITEMS_MAX] = { 0 };
    (void)element_items(e, 4, items);
    return items[0];
}

/* One that is gone, one that leads elsewhere, one too many: nothing but these is written. */
static void test_damaged_elements(void **state)
{
    (void)state;
    struct bench b;
    struct element ip = { .map = SET_CLUSTER_IPS, .ip = { 10, 96, 0, 1 } };
    struct element more = { .map = SET_CLUSTER_IPS, .ip = { 10, 96, 0, 77 } };
    struct element port = {
        .map = MAP_SERVICES, .ip = { 10, 96, 0, 2 }, .port = 80, .n = handle_of(5, LIST_CLUSTER)
    };
    bench_init(&b, 4);
    some(&b);
    struct nft_item one = item_of(&ip), two = item_of(&more), three = item_of(&port);
    assert_true(kernel_memory_remove(&b.k, "cluster-ips", &one));
    kernel_memory_put(&b.k, "cluster-ips", &two);
    assert_true(kernel_memory_remove(&b.k, "services", &three));
    kernel_memory_put(&b.k, "services", &three);
    restart(&b);
    assert_int_equal(b.applied.elements, 4);
    assert_int_equal(b.k.n_texts, 0);
    assert_int_equal(b.k.n_writes, 1);
    check_kernel(&b);
    bench_done(&b);
}

/* Endpoints stay in the slots where the earlier process put them. */
static void test_slots_stay(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 4);
    some(&b);
    world_slice(&b.w, "a", "2 3 9", "node2");
    run(&b);
    world_slice(&b.w, "a", "1 2 3 9", "node2");
    restart(&b);
    assert_int_equal(b.applied.elements, 3); /* slot, list deleted and added */
    check_kernel(&b);
    bench_done(&b);
}

/* ---- refusals of elements */

static void test_refused_elements(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 4);
    some(&b);
    b.k.refused = "no-endpoints";
    world_service(&b.w, "c", "10.96.0.3"); /* nobody there */
    world_slice(&b.w, "a", "1 2", "node2");
    run(&b);
    assert_int_equal(b.applied.code, 0);
    assert_false(b.applied.full);
    assert_int_equal(b.applied.n_failed, 1);
    assert_string_equal(b.applied.failed[0], "4tns/c:p");
    assert_true(b.k.n_checks > 0);
    b.k.refused = NULL;
    struct portal_change retry = { .id = b.applied.failed[0] };
    retry.new = model_find(b.w.model, retry.id);
    struct applied again;
    applier_run(&b.applier, &retry, 1, &again);
    assert_int_equal(again.n_failed, 0);
    applied_done(&again);
    check_kernel(&b);
    bench_done(&b);
}

/* ---- one element there and back */

static void there_and_back(const struct element *e, uint8_t family)
{
    struct nft_item items[ELEMENT_ITEMS_MAX] = { 0 };
    struct element back;
    assert_int_equal(element_items(e, family, items), 1);
    assert_true(element_of_item((enum map_id)e->map, family, &items[0], &back));
    assert_memory_equal(e, &back, sizeof back);
}

static void test_items(void **state)
{
    (void)state;
    struct element source = { .map = SET_SOURCES, .port = 443, .protocol = PROTO_UDP, .bits = 13 };
    for (uint32_t bits = 0; bits <= 128; bits++) {
        struct element e = source;
        e.bits = bits;
        memset(e.ip, 0xfd, sizeof e.ip);
        for (uint32_t i = 0; i < bits; i++)
            e.source[i / 8] |= (uint8_t)((i % 3 == 0) << (7 - i % 8));
        there_and_back(&e, 6);
    }
    there_and_back(&(struct element){ .map = MAP_LISTS,
                                      .handle = 0x01020304,
                                      .verdict = VERDICT_DRAW,
                                      .n = 65536,
                                      .to_port = PROTO_SCTP },
                   4);
    there_and_back(&(struct element){ .map = MAP_NO_ENDPOINTS,
                                      .ip = { 10, 1, 2, 3 },
                                      .port = 65535,
                                      .verdict = VERDICT_REJECT },
                   4);
    struct nft_item wrong = { .key = { 1, 2, 3, 4 }, .key_len = 4, .verdict = NFT_ITEM_GOTO };
    struct element e;
    static const char *const names[] = {
        "draw", "draw3-tcpx", "draw03-tcp", "remember-7", "x", ""
    };
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        (void)snprintf(wrong.chain, sizeof wrong.chain, "%s", names[i]);
        assert_false(element_of_item(MAP_LISTS, 4, &wrong, &e));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed_and_adopted), cmocka_unit_test(test_other_layout),
        cmocka_unit_test(test_rules_tampered),     cmocka_unit_test(test_strange_element),
        cmocka_unit_test(test_damaged_elements),   cmocka_unit_test(test_slots_stay),
        cmocka_unit_test(test_refused_elements),   cmocka_unit_test(test_items),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
