/* Iptables mode: what is written when, and what becomes of refusals and lost rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/restorer.h"
#include "world.h"

#include <errno.h>
#include <stdio.h>

struct bench {
    struct world w;
    struct iptables_dry dry;
    struct restorer restorer;
    struct applied applied;
    struct surroundings around;
    struct strbuf jumps;
};

static void bench_init(struct bench *b)
{
    struct chain_options o = { .rules = { .family = 4, .mark = 1 << 14 },
                               .node_ports_everywhere = true };
    *b = (struct bench){ 0 };
    world_init(&b->w);
    iptables_dry_init(&b->dry);
    restorer_init(&b->restorer, &b->dry.backend, b->w.model, &b->around, &o);
    for (unsigned t = 0; t < RULE_TABLES; t++)
        (void)frame_rules(t, &o, NULL, &b->jumps);
    for (char *p = b->jumps.p; (p = strstr(p, "-I ")); p++)
        p[1] = 'A';
    b->dry.listed = b->jumps.p;
}

static void bench_done(struct bench *b)
{
    applied_done(&b->applied);
    restorer_done(&b->restorer);
    iptables_dry_done(&b->dry);
    world_done(&b->w);
    strbuf_done(&b->jumps);
}

static void services(struct bench *b, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        char name[16], ip[32];
        (void)snprintf(name, sizeof name, "s%u", i);
        (void)snprintf(ip, sizeof ip, "10.96.%u.%u", i / 250, i % 250);
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
    restorer_run(&b->restorer, c, n, &b->applied);
    free(c);
}

static unsigned count(const char *text, const char *what)
{
    unsigned n = 0;
    for (; (text = strstr(text, what)); text += strlen(what))
        n++;
    return n;
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
    assert_int_equal(b.dry.n_restored, 1);
    assert_int_equal(b.applied.generations, 2); /* filter and nat */
    assert_true(str_starts(b.dry.last.p, "*mangle\n:KUBE-PROXY-CANARY - [0:0]\nCOMMIT\n*filter\n"));
    assert_int_equal(count(b.dry.last.p, ":KUBE-SVC-"), 4);
    assert_int_equal(count(b.dry.last.p, ":KUBE-SEP-"), 12);
    assert_int_equal(count(b.dry.last.p, " cluster IP\""), 4);
    assert_true(str_ends(b.dry.last.p, "COMMIT\n"));
    struct chainset_counts c = chainset_counts(b.restorer.chains);
    assert_int_equal(c.rules[TABLE_FILTER], 2); /* INVALID is let through in this bench */
    assert_int_equal(c.rules[TABLE_NAT], 4 + 1 + 4 * (1 + 3 + 6));
    assert_int_equal(c.written[TABLE_NAT], c.rules[TABLE_NAT]);
    bench_done(&b);
}

static void test_changes_are_partial(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    services(&b, 0, 4);
    run(&b);
    world_slice(&b.w, "s1", "1 2 4", NULL);
    run(&b);
    assert_false(b.applied.full);
    assert_int_equal(b.dry.n_restored, 2);
    assert_null(strstr(b.dry.last.p, "*filter"));
    assert_null(strstr(b.dry.last.p, "KUBE-SERVICES"));
    assert_int_equal(count(b.dry.last.p, ":KUBE-SVC-"), 1);
    assert_int_equal(count(b.dry.last.p, ":KUBE-SEP-"), 2); /* one comes, one goes */
    assert_int_equal(count(b.dry.last.p, "-X KUBE-SEP-"), 1);
    run(&b); /* nothing new: nothing written */
    assert_int_equal(b.dry.n_restored, 2);
    world_slice(&b.w, "s1", "", NULL); /* nobody left: the shared chains change */
    run(&b);
    assert_int_equal(count(b.dry.last.p, " cluster IP\""), 3);
    assert_int_equal(count(b.dry.last.p, "-j REJECT"), 1);
    assert_int_equal(count(b.dry.last.p, "-X "), 4);
    assert_non_null(strstr(b.dry.last.p, "NOTE: this must be the last rule"));
    struct chainset_counts c = chainset_counts(b.restorer.chains);
    assert_int_equal(c.rules[TABLE_FILTER], 3);
    assert_int_equal(c.rules[TABLE_NAT], 4 + 1 + 3 * (1 + 3 + 6));
    bench_done(&b);
}

static void test_strays_go(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    services(&b, 0, 1);
    strbuf_puts(&b.dry.saved[0][1],
                "*nat\n:PREROUTING ACCEPT [0:0]\n:KUBE-SEP-OLD - [0:0]\n"
                ":KUBE-SERVICES - [0:0]\n:DOCKER - [0:0]\n"
                "-A PREROUTING -m comment --comment \"kubernetes service portals\""
                " -j KUBE-SERVICES\nCOMMIT\n");
    run(&b);
    assert_int_equal(count(b.dry.last.p, "-X "), 1);
    assert_non_null(strstr(b.dry.last.p, "-X KUBE-SEP-OLD\n"));
    assert_null(strstr(b.dry.last.p, "-I PREROUTING"));
    assert_non_null(strstr(b.dry.last.p, "-I POSTROUTING"));
    bench_done(&b);
}

static void check_culprit(const struct bench *b)
{
    assert_int_equal(b->applied.code, 0);
    assert_int_equal(b->applied.n_failed, 1);
    assert_string_equal(b->applied.failed[0], "4tns/s5:p");
    assert_non_null(strstr(b->applied.err.text, "refused"));
}

/* The poison is in the Service's own chain in the first, in a shared one in the second case. */
static void test_culprit(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    b.dry.poison = "ns/s5:p ->";
    services(&b, 0, 9);
    run(&b);
    check_culprit(&b);
    assert_true(b.applied.full);
    assert_int_equal(count(b.dry.last.p, " cluster IP\""), 8);
    assert_true(b.restorer.full_failures > 0);
    assert_false(b.restorer.full_needed);
    b.dry.poison = NULL;
    struct portal_change again = { .id = "4tns/s5:p", .new = model_find(b.w.model, "4tns/s5:p") };
    applied_done(&b.applied);
    restorer_run(&b.restorer, &again, 1, &b.applied);
    assert_int_equal(b.applied.n_failed, 0);
    assert_int_equal(count(b.dry.last.p, " cluster IP\""), 9);
    bench_done(&b);
}

static void test_culprit_among_changes(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    services(&b, 0, 2);
    run(&b);
    b.dry.poison = "10.96.0.5 ";
    services(&b, 2, 9);
    run(&b);
    check_culprit(&b);
    assert_false(b.applied.full);
    assert_int_equal(b.restorer.full_failures, 0);
    assert_int_equal(b.restorer.partial_failures, 1);
    assert_int_equal(count(b.dry.last.p, " cluster IP\""), 8);
    bench_done(&b);
}

static void test_broken_programs(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    b.dry.poison = "COMMIT";
    services(&b, 0, 9);
    run(&b);
    assert_int_equal(b.applied.code, ERR_REFUSED);
    assert_int_equal(b.applied.n_failed, 9);
    assert_int_equal(b.dry.n_refused, 2); /* and the question whether anything goes */
    assert_true(b.restorer.full_needed);
    b.dry.poison = NULL;
    run(&b);
    assert_int_equal(b.applied.code, 0);
    assert_int_equal(count(b.dry.last.p, " cluster IP\""), 9);
    bench_done(&b);
}

/* Canaries and jumps are there, but not all of the rest. */
static void test_recount(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    services(&b, 0, 2);
    run(&b);
    const char *nat = strstr(b.dry.last.p, "*nat\n");
    assert_non_null(nat);
    strbuf_add(&b.dry.saved[0][TABLE_FILTER], b.dry.last.p, (size_t)(nat - b.dry.last.p));
    strbuf_puts(&b.dry.saved[0][TABLE_NAT], nat);
    assert_true(restorer_recount(&b.restorer));
    char *rule = strstr(b.dry.saved[0][TABLE_NAT].p, "\n-A KUBE-SEP-");
    assert_non_null(rule);
    rule[1] = '#';
    assert_true(restorer_probe(&b.restorer));
    assert_false(restorer_recount(&b.restorer));
    assert_true(b.restorer.full_needed);
    bench_done(&b);
}

static void test_lost_rules(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    services(&b, 0, 2);
    run(&b);
    assert_true(restorer_probe(&b.restorer));
    b.dry.lost = true; /* the canaries */
    assert_false(restorer_probe(&b.restorer));
    run(&b);
    assert_true(b.applied.full);
    assert_true(restorer_probe(&b.restorer));
    b.dry.listed = ""; /* the jumps */
    assert_false(restorer_probe(&b.restorer));
    b.dry.listed = b.jumps.p;
    run(&b);
    b.restorer.last_full -= RESTORER_FULL_NS; /* and once an hour */
    assert_false(restorer_probe(&b.restorer));
    bench_done(&b);
}

/* Every piece is a text of its own, and nothing is lost between them. */
static void test_too_long(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    b.dry.max = 60000;
    services(&b, 0, 500);
    run(&b);
    assert_int_equal(b.applied.code, 0);
    assert_true(b.dry.n_restored > 3);
    assert_true(str_starts(b.dry.last.p, "*nat\n"));
    assert_true(str_ends(b.dry.last.p, "COMMIT\n"));
    bench_done(&b);
}

/* A rule becomes a longer message than its text says. */
static void test_pieces_too_long(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    b.dry.max = 5000;
    services(&b, 0, 100);
    run(&b);
    assert_int_equal(b.applied.code, 0);
    assert_int_equal(count(b.dry.taken.p, " cluster IP\""), 100);
    assert_true(b.applied.generations > 3);
    assert_true(b.applied.generations < count(b.dry.taken.p, "\nCOMMIT\n"));
    b.dry.max = 30; /* less than a line */
    services(&b, 100, 101);
    run(&b);
    assert_int_equal(b.applied.code, -EMSGSIZE);
    bench_done(&b);
}

/* Many chains go ahead in parts; the last restore has what leads to them, and none of them. */
static void test_parts(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    services(&b, 0, 250); /* 250 of up to 8 chains each */
    run(&b);
    assert_int_equal(b.applied.code, 0);
    assert_int_equal(b.dry.n_restored, 3);
    assert_int_equal(count(b.dry.last.p, " cluster IP\""), 250);
    assert_null(strstr(b.dry.last.p, ":KUBE-SVC-"));
    assert_null(strstr(b.dry.last.p, "-X "));
    struct chainset_counts c = chainset_counts(b.restorer.chains);
    assert_int_equal(c.rules[TABLE_NAT], 4 + 1 + 250 * (1 + 3 + 6));
    bench_done(&b);
}

/* Beyond 1,000 endpoints rules to endpoints lose their comments, all of them, and get them back. */
static void test_comments(void **state)
{
    (void)state;
    struct bench b;
    struct strbuf many = { 0 };
    bench_init(&b);
    services(&b, 0, 1);
    run(&b);
    assert_int_equal(count(b.dry.last.p, "->"), 3);
    for (unsigned i = 0; i < 5; i++) {
        char name[16], ip[32];
        (void)snprintf(name, sizeof name, "m%u", i);
        (void)snprintf(ip, sizeof ip, "10.96.1.%u", i);
        strbuf_reset(&many);
        for (unsigned k = 1; k < 251; k++)
            strbuf_printf(&many, "%u ", k);
        world_service(&b.w, name, ip);
        world_slice(&b.w, name, many.p, NULL);
    }
    strbuf_reset(&b.dry.taken);
    run(&b);
    assert_false(b.applied.full);
    assert_null(strstr(b.dry.taken.p, "->"));
    assert_int_equal(count(b.dry.taken.p, ":KUBE-SVC-"), 6); /* that of s0, too */
    world_slice(&b.w, "m0", "1", NULL);
    world_slice(&b.w, "m1", "1", NULL);
    strbuf_reset(&b.dry.taken);
    run(&b);
    assert_int_equal(count(b.dry.taken.p, "->"), 3 + 2 + 3 * 250);
    strbuf_done(&many);
    bench_done(&b);
}

/* Who deletes what in nftables, and what is left of us. */
static void test_judge(void **state)
{
    (void)state;
    assert_int_equal(frame_judge("nat", "KUBE-SERVICES"), NFT_LOST);
    assert_int_equal(frame_judge("nat", "KUBE-SEP-XPGD46QRK7WJZT7O"), NFT_LOST);
    assert_int_equal(frame_judge("mangle", "KUBE-PROXY-CANARY"), NFT_LOST);
    assert_int_equal(frame_judge("filter", "KUBE-FIREWALL"), NFT_LOST);
    assert_int_equal(frame_judge("mangle", "KUBE-KUBELET-CANARY"), NFT_UNHARMED);
    assert_int_equal(frame_judge("mangle", "KUBE-IPTABLES-HINT"), NFT_UNHARMED);
    assert_int_equal(frame_judge("nat", "POSTROUTING"), NFT_DOUBTFUL);
    assert_int_equal(frame_judge("nat", "INPUT"), NFT_UNHARMED); /* no jump of ours there */
    assert_int_equal(frame_judge("filter", "INPUT"), NFT_DOUBTFUL);
    assert_int_equal(frame_judge("mangle", "PREROUTING"), NFT_UNHARMED);
    assert_int_equal(frame_judge("nat", "DOCKER"), NFT_UNHARMED);
    assert_int_equal(frame_judge("nat", NULL), NFT_DOUBTFUL);
    assert_int_equal(frame_judge("raw", NULL), NFT_UNHARMED);
    assert_int_equal(frame_judge("signpost", "KUBE-SERVICES"), NFT_UNHARMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_judge),
        cmocka_unit_test(test_first_is_full),
        cmocka_unit_test(test_changes_are_partial),
        cmocka_unit_test(test_strays_go),
        cmocka_unit_test(test_culprit),
        cmocka_unit_test(test_culprit_among_changes),
        cmocka_unit_test(test_broken_programs),
        cmocka_unit_test(test_recount),
        cmocka_unit_test(test_lost_rules),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_pieces_too_long),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_comments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
