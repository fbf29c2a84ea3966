#include "client/walk.h"

#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define S1   "app.svc.cluster.local"
#define S2   "svc.cluster.local"
#define S3   "cluster.local"
#define KUBE "search " S1 " " S2 " " S3 "\noptions ndots:5\n"
#define NX   WALK_HOST_NOT_FOUND

/* outcomes: "NAME=OUTCOME ..."; names that are not listed do not exist. */
struct row {
    const char *title, *name, *conf, *outcomes, *want;
    enum walk_error error;
};

static const struct row rows[] = {
    { "same namespace", "bar", KUBE, "bar." S1 "=found", "bar." S1, WALK_OK },
    { "other namespace", "bar.other", KUBE, "bar.other." S2 "=found",
      "bar.other." S1 " bar.other." S2, WALK_OK },
    { "with svc", "bar.other.svc", KUBE, "bar.other.svc." S3 "=found",
      "bar.other.svc." S1 " bar.other.svc." S2 " bar.other.svc." S3, WALK_OK },
    { "whole name, four dots", "bar.other." S2, KUBE, "bar.other." S2 "=found",
      "bar.other." S2 "." S1 " bar.other." S2 "." S2 " bar.other." S2 "." S3 " bar.other." S2,
      WALK_OK },
    { "external", "a.b.com", KUBE, "a.b.com=found",
      "a.b.com." S1 " a.b.com." S2 " a.b.com." S3 " a.b.com", WALK_OK },
    { "external, five candidates", "a.b.com", "search s1 s2 s3 s4\noptions ndots:5\n",
      "a.b.com=found", "a.b.com.s1 a.b.com.s2 a.b.com.s3 a.b.com.s4 a.b.com", WALK_OK },
    { "dot at the end", "a.b.com.", KUBE, "a.b.com.=found", "a.b.com.", WALK_OK },
    { "dot at the end, nowhere", "bar.", KUBE, "", "bar.", NX },
    { "five dots, nowhere", "a.b.c.d.e.f", KUBE, "",
      "a.b.c.d.e.f a.b.c.d.e.f." S1 " a.b.c.d.e.f." S2 " a.b.c.d.e.f." S3, NX },
    { "five dots, NODATA first", "a.b.c.d.e.f", "search s1\noptions ndots:5\n",
      "a.b.c.d.e.f=NODATA", "a.b.c.d.e.f a.b.c.d.e.f.s1", WALK_NO_DATA },
    { "five dots, SERVFAIL first", "a.b.c.d.e.f", "search s1\noptions ndots:5\n",
      "a.b.c.d.e.f=SERVFAIL", "a.b.c.d.e.f a.b.c.d.e.f.s1", WALK_TRY_AGAIN },
    { "five dots, refused first", "a.b.c.d.e.f", "search s1\noptions ndots:5\n",
      "a.b.c.d.e.f=failed a.b.c.d.e.f.s1=found", "a.b.c.d.e.f a.b.c.d.e.f.s1", WALK_OK },
    { "ndots 2, as it is first", "k.default.svc", "search s1 s2 s3\noptions ndots:2\n",
      "k.default.svc.s3=found", "k.default.svc k.default.svc.s1 k.default.svc.s2 k.default.svc.s3",
      WALK_OK },
    { "ndots 2, list first", "k.default", "search s1 s2\noptions ndots:2\n", "k.default.s2=found",
      "k.default.s1 k.default.s2", WALK_OK },
    { "ndots 0", "bar", "search s1\noptions ndots:0\n", "bar.s1=found", "bar bar.s1", WALK_OK },
    { "ndots 1", "bar", "search s1\noptions ndots:1\n", "bar.s1=found", "bar.s1", WALK_OK },
    { "ndots 20 counts as 15", "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p", "search s1\noptions ndots:20\n",
      "", "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.s1", NX },
    { "NODATA goes on", "bar", "search s1 s2\n", "bar.s1=NODATA bar.s2=found", "bar.s1 bar.s2",
      WALK_OK },
    { "NODATA is remembered", "bar", "search s1 s2\n", "bar.s1=NODATA", "bar.s1 bar.s2 bar",
      WALK_NO_DATA },
    { "SERVFAIL goes on", "bar", "search s1 s2\n", "bar.s1=SERVFAIL bar.s2=found", "bar.s1 bar.s2",
      WALK_OK },
    { "SERVFAIL is remembered", "bar", "search s1 s2\n", "bar.s1=SERVFAIL", "bar.s1 bar.s2 bar",
      WALK_TRY_AGAIN },
    { "NODATA before SERVFAIL", "bar", "search s1 s2\n", "bar.s1=SERVFAIL bar.s2=NODATA",
      "bar.s1 bar.s2 bar", WALK_NO_DATA },
    { "refused leaves the list", "bar", "search s1 s2\n", "bar.s1=failed bar.s2=found",
      "bar.s1 bar", NX },
    { "refused twice", "bar", "search s1 s2\n", "bar.s1=failed bar=failed", "bar.s1 bar",
      WALK_TRY_AGAIN },
    { "NODATA, then refused", "bar", "search s1 s2 s3\n", "bar.s1=NODATA bar.s2=failed",
      "bar.s1 bar.s2 bar", WALK_NO_DATA },
    { "bad leaves the list", "bar", "search s1 s2\n", "bar.s1=bad", "bar.s1 bar", NX },
    { "bad as it is", "bar", "search s1\n", "bar=bad", "bar.s1 bar", WALK_NO_RECOVERY },
    { "nobody there", "bar", "search s1 s2\n", "bar.s1=unreachable", "bar.s1", WALK_TRY_AGAIN },
    { "nobody there, after NODATA", "bar", "search s1 s2 s3\n", "bar.s1=NODATA bar.s2=unreachable",
      "bar.s1 bar.s2", WALK_TRY_AGAIN },
    { "nobody there, as it is first", "a.b", "search s1 s2\n", "a.b=unreachable a.b.s1=unreachable",
      "a.b a.b.s1", WALK_TRY_AGAIN },
    { "ten suffixes", "x", "search d1 d2 d3 d4 d5 d6 d7 d8 d9 d10\n", "x.d9=found",
      "x.d1 x.d2 x.d3 x.d4 x.d5 x.d6 x.d7 x.d8 x.d9", WALK_OK },
    { "root in the list", "a.b", "search s1. . s2\noptions ndots:5\n", "", "a.b.s1. a.b. a.b.s2",
      NX },
    { "dot before a suffix", "bar", "search .s1\n", "", "bar.s1 bar", NX },
    { "last of search and domain", "bar", "search aa bb\ndomain cc\nsearch dd\n", "", "bar.dd bar",
      NX },
    { "no list", "bar", "nameserver 127.0.0.1\n", "", "bar", NX },
    { "SRV name as address", "_http._tcp.web.default", KUBE, "_http._tcp.web.default." S2 "=NODATA",
      "_http._tcp.web.default." S1 " _http._tcp.web.default." S2 " _http._tcp.web.default." S3
      " _http._tcp.web.default",
      WALK_NO_DATA },
    { "letter case is kept", "BaR", KUBE, "BaR." S1 "=found", "BaR." S1, WALK_OK },
    { "no-tld-query", "bar", "search s1\noptions no-tld-query\n", "", "bar.s1", NX },
    { "no-tld-query, one dot", "bar.x", "search s1\noptions no-tld-query ndots:2\n", "",
      "bar.x.s1 bar.x", NX },
    { "no-tld-query, no list", "bar", "options no-tld-query\n", "", "bar", NX },
};

static enum walk_outcome outcome_of(struct arena *a, const char *outcomes, const char *name)
{
    struct strlist l = { 0 };
    strlist_split(&l, a, outcomes, strlen(outcomes), " ");
    size_t len = strlen(name);
    for (size_t i = 0; i < l.n; i++) {
        if (strncmp(l.items[i], name, len) != 0 || l.items[i][len] != '=')
            continue;
        for (int o = 0; o < WALK_OUTCOME_COUNT; o++) {
            if (str_eq(walk_outcome_text(o), l.items[i] + len + 1))
                return o;
        }
        fail_msg("unknown outcome in %s", l.items[i]);
    }
    return WALK_NXDOMAIN;
}

static void test_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct row *r = &rows[i];
        struct arena a;
        struct stub_conf conf;
        struct walk w;
        struct strlist seen = { 0 };
        const char *name;
        arena_init(&a, 4096);
        stub_conf_parse(r->conf, NULL, &a, &conf);
        walk_init(&w, &walk_glibc, r->name, &conf, &a);
        while ((name = walk_next(&w)) && seen.n < 20) {
            strlist_add(&seen, &a, name);
            walk_report(&w, outcome_of(&a, r->outcomes, name));
        }
        print_message("  %s\n", r->title);
        assert_string_equal(strlist_join(&seen, &a, " "), r->want);
        assert_int_equal(walk_error(&w), r->error);
        assert_null(walk_next(&w));
        arena_done(&a);
    }
}

#define R(...)                                                                                     \
    &(const struct walk_reply)                                                                     \
    {                                                                                              \
        .ra = true, __VA_ARGS__                                                                    \
    }

static void test_judge(void **state)
{
    (void)state;
    const struct {
        const struct walk_reply *first, *second;
        enum walk_outcome want;
    } judged[] = {
        { R(.answers = 1), NULL, WALK_FOUND },
        { R(.answers = 1), R(.rcode = 3), WALK_FOUND },
        { R(.rcode = 3), R(.answers = 1), WALK_FOUND },
        { R(.rcode = 2), R(.answers = 1), WALK_FOUND },
        { R(.rcode = 1), R(.answers = 1), WALK_FOUND },
        { R(.rcode = 0), NULL, WALK_NODATA },
        { R(.rcode = 0), R(.rcode = 0), WALK_NODATA },
        { R(.rcode = 3), R(.rcode = 3), WALK_NXDOMAIN },
        { R(.rcode = 0), R(.rcode = 3), WALK_NXDOMAIN },
        { R(.rcode = 3), R(.rcode = 0), WALK_NXDOMAIN },
        { R(.rcode = 3), R(.rcode = 2), WALK_NXDOMAIN },
        { R(.rcode = 2), R(.rcode = 3), WALK_SERVFAIL },
        { R(.rcode = 2), NULL, WALK_SERVFAIL },
        { R(.rcode = 0), R(.rcode = 2), WALK_FAILED },
        { R(.rcode = 1), NULL, WALK_BAD },
        { R(.rcode = 0), R(.rcode = 1), WALK_BAD },
        { R(.rcode = 3, .answers = 1), NULL, WALK_NXDOMAIN },
    };
    for (size_t i = 0; i < ARRAY_SIZE(judged); i++)
        assert_int_equal(walk_judge(judged[i].first, judged[i].second), judged[i].want);
}

static void test_useless(void **state)
{
    (void)state;
    assert_true(walk_reply_useless(R(.rcode = 2)));
    assert_true(walk_reply_useless(R(.rcode = 4)));
    assert_true(walk_reply_useless(R(.rcode = 5)));
    assert_false(walk_reply_useless(R(.rcode = 1)));
    assert_false(walk_reply_useless(R(.rcode = 3)));
    assert_false(walk_reply_useless(R(.rcode = 0)));
    assert_true(walk_reply_useless(&(struct walk_reply){ 0 }));
    assert_false(walk_reply_useless(&(struct walk_reply){ .aa = true }));
    assert_false(walk_reply_useless(&(struct walk_reply){ .additional = 1 }));
    assert_false(walk_reply_useless(&(struct walk_reply){ .answers = 1 }));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_judge),
        cmocka_unit_test(test_useless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
