/* What the applier makes of refusals, lost tables and transactions that are too large. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernel_picture.h"
#include "proxy/applier.h"
#include "world.h"

#include <errno.h>
#include <stdio.h>

struct bench {
    struct world w;
    struct nft_dry dry;
    struct applier applier;
    struct applied applied;
    struct surroundings around;
};

static void bench_init(struct bench *b)
{
    *b = (struct bench){ 0 };
    world_init(&b->w);
    nft_dry_init(&b->dry);
    applier_init(&b->applier, &b->dry.backend, b->w.model, &b->around,
                 &(struct ruleset_options){ .family = 4 });
}

static void bench_done(struct bench *b)
{
    applied_done(&b->applied);
    applier_done(&b->applier);
    nft_dry_done(&b->dry);
    world_done(&b->w);
}

static void services(struct bench *b, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        char name[16], ip[32];
        (void)snprintf(name, sizeof name, "s%u", i);
        (void)snprintf(ip, sizeof ip, "10.96.0.%u", i);
        world_service(&b->w, name, ip);
        world_slice(&b->w, name, "1 2 3", NULL);
    }
}

static void run(struct bench *b)
{
    struct portal_change *c;
    applied_done(&b->applied);
    model_refresh(b->w.model);
    size_t n = model_take_changes(b->w.model, &c);
    applier_run(&b->applier, c, n, &b->applied);
    free(c);
}

static void test_first_is_full(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    services(&b, 0, 4);
    run(&b);
    assert_int_equal(b.applied.code, 0);
    assert_true(b.applied.full);
    assert_int_equal(b.dry.n_applied, 1);
    assert_true(str_starts(b.dry.last.p, "add table ip signpost\ndelete table ip signpost\n"));
    assert_non_null(strstr(b.dry.last.p, "10.96.0.3 . tcp . 80 : "));
    world_slice(&b.w, "s1", "1 2 3 4", NULL);
    run(&b);
    assert_false(b.applied.full);
    assert_int_equal(b.dry.n_applied, 2);
    assert_null(strstr(b.dry.last.p, "10.96.0.3"));
    assert_int_equal(b.applied.elements, 4); /* slot, hairpin, list deleted and added */
    run(&b);                                 /* nothing new: nothing written */
    assert_int_equal(b.dry.n_applied, 2);
    bench_done(&b);
}

static void check_culprit(struct bench *b, unsigned n_ok)
{
    assert_int_equal(b->applied.code, 0);
    assert_int_equal(b->applied.n_failed, 1);
    assert_string_equal(b->applied.failed[0], "4tns/s5:p");
    assert_non_null(strstr(b->applied.err.text, "refused"));
    assert_null(strstr(b->dry.last.p, "10.96.0.5 "));
    struct kernel_picture k = { 0 };
    kernel_picture_apply(&k, b->dry.last.p);
    assert_int_equal(k.elements.n, n_ok * (1 + 1 + 1 + 3) + 3); /* 3: hairpin */
    kernel_picture_done(&k);
}

static void test_culprit_in_full(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    services(&b, 0, 20);
    b.dry.poison = "10.96.0.5 ";
    run(&b);
    assert_true(b.applied.full);
    check_culprit(&b, 19);
    assert_int_equal(b.dry.n_applied,
                     2); /* the refused one and the good one: no moment in between */
    b.dry.poison = NULL;
    struct portal_change retry = { .id = b.applied.failed[0] };
    retry.new = model_find(b.w.model, retry.id);
    struct applied again;
    applier_run(&b.applier, &retry, 1, &again);
    assert_int_equal(again.n_failed, 0);
    assert_non_null(strstr(b.dry.last.p, "10.96.0.5 . tcp . 80 : "));
    applied_done(&again);
    bench_done(&b);
}

static void test_culprit_in_change(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    run(&b);
    services(&b, 0, 20);
    b.dry.poison = "10.96.0.5 ";
    run(&b);
    assert_false(b.applied.full);
    check_culprit(&b, 19);
    bench_done(&b);
}

static void test_table_lost(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    services(&b, 0, 4);
    run(&b);
    assert_true(applier_probe(&b.applier));
    b.dry.lost = true; /* somebody flushed the ruleset */
    world_slice(&b.w, "s1", "7", NULL);
    run(&b);
    assert_true(b.applied.full);
    assert_int_equal(b.applied.n_failed, 0);
    assert_non_null(strstr(b.dry.last.p, "10.96.0.3 . tcp . 80 : "));
    b.dry.lost = true;
    assert_false(applier_probe(&b.applier));
    run(&b);
    assert_true(b.applied.full);
    bench_done(&b);
}

static void test_too_large(void **state)
{
    (void)state;
    struct bench b;
    struct strbuf empty = { 0 };
    bench_init(&b);
    services(&b, 0, 30);
    struct ruleset *r = ruleset_new(&(struct ruleset_options){ .family = 4 });
    ruleset_skeleton(r, &empty);
    b.dry.max = empty.len + 1500;
    run(&b);
    assert_int_equal(b.applied.code, 0);
    assert_int_equal(b.applied.n_failed, 0);
    assert_true(b.applied.transactions > 1);
    assert_int_equal(ruleset_counts(b.applier.rules).elements, 30 * 6 + 3);
    assert_true(str_starts(b.dry.last.p, "add element"));
    ruleset_free(r);
    strbuf_done(&empty);
    bench_done(&b);
}

static int not_permitted(void *ctx, const char *text, size_t len, bool check, struct err *e)
{
    unsigned *calls = ctx;
    (void)text;
    (void)len;
    (void)check;
    ++*calls;
    return err_set(e, -EPERM, "not permitted");
}

/* Without the right to write rules no Service is to blame, and nobody hunts for one. */
static void test_not_permitted(void **state)
{
    (void)state;
    struct bench b;
    unsigned calls = 0;
    struct nft_backend forbidden = { .name = "x", .apply = not_permitted, .ctx = &calls };
    bench_init(&b);
    b.applier.backend = &forbidden;
    services(&b, 0, 20);
    run(&b);
    assert_int_equal(b.applied.code, -EPERM);
    assert_int_equal(calls, 1);
    b.applier.backend = &b.dry.backend;
    run(&b);
    assert_int_equal(b.applied.code, 0);
    assert_true(b.applied.full);
    assert_int_equal(ruleset_counts(b.applier.rules).elements, 20 * 6 + 3);
    bench_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_is_full),     cmocka_unit_test(test_culprit_in_full),
        cmocka_unit_test(test_culprit_in_change), cmocka_unit_test(test_table_lost),
        cmocka_unit_test(test_too_large),         cmocka_unit_test(test_not_permitted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
