/* What is different between resolvers before anything is sent: how they read resolv.conf, hosts and
 * nsswitch.conf, and in which order they try the search list. What they send is held against the
 * libraries in tests/functional/test_lookup_ways.py. */
#include "client/way.h"

#include "client/stub.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define LONG_WORD "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define LONG_LINE LONG_WORD " " LONG_WORD " " LONG_WORD " " LONG_WORD " " LONG_WORD

static const char *servers_text(struct arena *a, const struct stub_conf *c)
{
    const char *out = "";
    for (unsigned i = 0; i < c->n_servers; i++) {
        char text[IP_TEXT_MAX];
        out = arena_printf(a, "%s%s%s", out, i ? " " : "", ip_text(&c->servers[i].ip, text));
    }
    return out;
}

static const struct conf_row {
    const struct way *way;
    const char *text, *servers, *searches, *ignored;
    int ndots, timeout_ms, attempts;
} conf_rows[] = {
    { &way_musl, NULL, "127.0.0.1", "", "", 1, 5000, 2 },
    { &way_musl, "search a b\ndomain c d\nnameserver 10.1\n", "10.0.0.1", "c d", "", 1, 5000, 2 },
    { &way_musl, "search a\nsearch\n", "127.0.0.1", "", "", 1, 5000, 2 },
    { &way_musl, " search a\nnameserver 10.0.0.1#x\n", "127.0.0.1", "",
      " search a|nameserver 10.0.0.1#x", 1, 5000, 2 },
    { &way_musl, "options rotate ndots:99 timeout:99 attempts:99 use-vc\n", "127.0.0.1", "",
      "rotate|use-vc", 15, 60000, 10 },
    { &way_musl, "options ndots:x timeout:.5 xattempts:3\n", "127.0.0.1", "", "", 1, 5000, 3 },
    { &way_musl, "options ndots:5\noptions attempts:0\n", "127.0.0.1", "", "", 5, 5000, 1 },
    { &way_musl, "search " LONG_LINE "\n", "127.0.0.1", "", "search " LONG_LINE, 1, 5000, 2 },
    { &way_musl,
      "nameserver fd00::1\nnameserver 10.0.0.1\nnameserver 10.0.0.2\n"
      "nameserver 10.0.0.3\n",
      "fd00::1 10.0.0.1 10.0.0.2", "", "nameserver 10.0.0.3", 1, 5000, 2 },
    { &way_go, NULL, "127.0.0.1 ::1", "", "", 1, 5000, 2 },
    { &way_go, " nameserver 10.0.0.1\n\tsearch a. . b\n", "10.0.0.1", "a b", "", 1, 5000, 2 },
    { &way_go, "nameserver 10.1\nnameserver 10.0.0.2 #x\nlookup file\n", "10.0.0.2", "",
      "nameserver 10.1|lookup file", 1, 5000, 2 },
    { &way_go, "options ndots:x timeout:0 attempts:0 edns0 no-aaaa\n", "127.0.0.1 ::1", "",
      "no-aaaa", 0, 1000, 1 },
    { &way_go, "options ndots:99 timeout:99 attempts:9\n;search a\n#search b\n", "127.0.0.1 ::1",
      "", "", 15, 99000, 9 },
    { &way_go, "search a\nsearch\ndomain\n", "127.0.0.1 ::1", "", "", 1, 5000, 2 },
    { &way_go, "domain a b\n", "127.0.0.1 ::1", "a", "", 1, 5000, 2 },
    { &way_cares, NULL, "127.0.0.1", "", "", 1, 5000, 4 },
    { &way_cares, "  nameserver 10.0.0.1,10.0.0.2 fd00::1 # x\nnameserver 10.1\n",
      "10.0.0.1 10.0.0.2 fd00::1", "", "nameserver 10.1", 1, 5000, 4 },
    { &way_cares, "options ndots:99 timeout:1 retrans:100 retry:2\noptions ndots:3 retry:9\n",
      "127.0.0.1", "", "timeout:1", 99, 100, 2 },
    { &way_cares, "search abc,ab x ABC ; y\n", "127.0.0.1", "abc x", "", 1, 5000, 4 },
    { &way_cares, "search a\nsearch #\ndomain b c\n", "127.0.0.1", "b", "search #", 1, 5000, 4 },
};

static void test_conf(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(conf_rows); i++) {
        const struct conf_row *r = &conf_rows[i];
        struct arena a;
        struct stub_conf c;
        arena_init(&a, 4096);
        print_message("  %s: %.40s\n", r->way->name, r->text ? r->text : "(no file)");
        r->way->read_conf(r->text, NULL, &a, &c);
        assert_string_equal(servers_text(&a, &c), r->servers);
        assert_string_equal(strlist_join(&c.searches, &a, " "), r->searches);
        assert_string_equal(strlist_join(&c.ignored, &a, "|"), r->ignored);
        assert_int_equal(c.ndots, r->ndots);
        assert_int_equal(c.timeout_ms, r->timeout_ms);
        assert_int_equal(c.attempts, r->attempts);
        arena_done(&a);
    }
}

/* Who heeds the environment and the name of the host. */
static void test_environment(void **state)
{
    (void)state;
    static const struct stub_env env = { "h.some.domain", "ndots:3", "x y" };
    static const struct stub_env host = { .hostname = "h.some.domain" };
    static const struct {
        const struct way *way;
        const char *searches, *by_host;
        int ndots;
    } want[] = { { &way_glibc, "x y", "some.domain", 3 },
                 { &way_musl, "a", "", 1 },
                 { &way_go, "a", "some.domain", 1 },
                 { &way_cares, "x y", "some.domain", 3 } };
    for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
        struct arena a;
        struct stub_conf c;
        arena_init(&a, 4096);
        want[i].way->read_conf("search a\n", &env, &a, &c);
        assert_string_equal(strlist_join(&c.searches, &a, " "), want[i].searches);
        assert_int_equal(c.ndots, want[i].ndots);
        want[i].way->read_conf("", &host, &a, &c);
        assert_string_equal(strlist_join(&c.searches, &a, " "), want[i].by_host);
        arena_done(&a);
    }
}

static const struct order_row {
    const struct way *way;
    const char *nsswitch, *resolv_conf, *want, *ignored;
} order_rows[] = {
    { &way_glibc, NULL, "", "files dns", "" },
    { &way_glibc, "passwd: files\n", "", "files dns", "" },
    { &way_glibc, "hosts:\tdns files # x\n", "", "dns files", "" },
    { &way_glibc, "# hosts: x\n hosts : files[NOTFOUND=return SUCCESS=continue] dns\n", "",
      "files-!+n dns", "" },
    { &way_glibc, "hosts: mdns4 [!UNAVAIL=return] dns [what=return] [NOTFOUND=merge]\n", "",
      "mdns4+nt dns", "[what=return]|[NOTFOUND=merge]" },
    { &way_glibc, "hosts: [NOTFOUND=return] dns\n", "", "dns", "[NOTFOUND=return]" },
    { &way_glibc, "hosts: dns [NOTFOUND=return", "", "dns+n", "" },
    { &way_glibc, "hosts: a b c d e f g h i j", "", "a b c d e f g h", "" },
    { &way_musl, "hosts: dns\n", "", "files dns", "" },
    { &way_go, NULL, "", "files dns", "" },
    { &way_go, "hosts: dns [NOTFOUND=return] files\n", "", "dns files", "" },
    { &way_go, "hosts: files mdns4 dns\n", "", "files dns", "" },
    { &way_go, "hosts: files resolve myhostname\n", "", "files dns", "" },
    { &way_go, "hosts: files\n", "", "files", "" },
    { &way_cares, NULL, "", "files dns", "" },
    { &way_cares, "hosts: mymachines resolve files myhostname dns\n", "", "dns files", "" },
    { &way_cares, "hosts: mymachines\n", "", "files dns", "" },
    { &way_cares, "hosts: files\n", "", "files", "" },
    { &way_cares, "hosts: files\n", "lookup bind file\n", "dns files", "" },
};

static const char *order_text(struct arena *a, const struct nss_order *o)
{
    const char *out = "";
    for (unsigned i = 0; i < o->n; i++) {
        uint8_t r = o->steps[i].returns;
        const char *more = arena_printf(
            a, "%s%s%s%s", r & 1 << NSS_NOTFOUND ? "n" : "", r & 1 << NSS_UNAVAIL ? "u" : "",
            r & 1 << NSS_TRYAGAIN ? "t" : "", r & 1 << NSS_SUCCESS ? "" : "");
        out = arena_printf(a, "%s%s%s%s%s%s", out, i ? " " : "", o->steps[i].name,
                           r & 1 << NSS_SUCCESS ? "" : "-!", *more ? "+" : "", more);
    }
    return out;
}

static void test_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(order_rows); i++) {
        const struct order_row *r = &order_rows[i];
        struct arena a;
        struct stub_conf c;
        struct stub s;
        struct nss_order o;
        arena_init(&a, 4096);
        r->way->read_conf(r->resolv_conf, NULL, &a, &c);
        stub_init(&s, r->way, &c, NULL, r->nsswitch);
        print_message("  %s: %s\n", r->way->name, r->nsswitch ? r->nsswitch : "(no file)");
        r->way->order(&s, &a, &o);
        assert_string_equal(order_text(&a, &o), r->want);
        assert_string_equal(strlist_join(&o.ignored, &a, "|"), r->ignored);
        arena_done(&a);
    }
}

/* An answer is: addresses, "-" for none, "!" for the other family's. */
static const struct hosts_row {
    const char *text, *name;
    uint8_t family;
    const char *glibc, *musl, *go, *cares;
} hosts_rows[] = {
    { "10.0.0.1 bar\nfd00::1 x bar\n10.0.0.1 bar\n", "bar", 0, "10.0.0.1 fd00::1",
      "10.0.0.1 fd00::1 10.0.0.1", "10.0.0.1 fd00::1 10.0.0.1", "10.0.0.1 fd00::1 10.0.0.1" },
    { "10.0.0.1 BAR\n", "bar", 0, "10.0.0.1", "-", "10.0.0.1", "10.0.0.1" },
    { "10.0.0.1 bar", "bar", 0, "10.0.0.1", "-", "10.0.0.1", "10.0.0.1" },
    { "10.0.0.1 bar#x", "bar", 0, "10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1" },
    { "\t10.0.0.1 bar\n", "bar", 0, "10.0.0.1", "-", "10.0.0.1", "10.0.0.1" },
    { "10.1 bar\n", "bar", 0, "-", "10.0.0.1", "-", "-" },
    { "10.0.0.1 bar.x\n", "bar.x.", 0, "-", "-", "10.0.0.1", "-" },
    { "10.0.0.1 bar.\n", "bar", 0, "-", "-", "-", "-" },
    { "10.0.0.1 bar\n", "bar", 6, "-", "!", "!", "-" },
    { "::1 bar\n", "bar", 4, "127.0.0.1", "!", "!", "-" },
    { "::ffff:10.0.0.9 bar\n", "bar", 4, "10.0.0.9", "!", "!", "-" },
    { "10.0.0.1 bars abar\n", "bar", 0, "-", "-", "-", "-" },
    { "bar bar\n10.0.0.1\n", "bar", 0, "-", "-", "-", "-" },
};

static const char *found_in(struct arena *a, const struct way *way, const struct hosts_row *r)
{
    struct hosts_match m = { 0 };
    const char *out = "";
    int rc = hostsfile_find(way->hosts, r->text, r->name, r->family, a, &m);
    if (rc < 0)
        return rc == ERR_REFUSED ? "!" : "-";
    for (size_t i = 0; i < m.n; i++) {
        char text[IP_TEXT_MAX];
        out = arena_printf(a, "%s%s%s", out, i ? " " : "", ip_text(&m.ips[i], text));
    }
    return out;
}

static void test_hosts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(hosts_rows); i++) {
        const struct hosts_row *r = &hosts_rows[i];
        struct arena a;
        arena_init(&a, 4096);
        print_message("  %s", r->text);
        assert_string_equal(found_in(&a, &way_glibc, r), r->glibc);
        assert_string_equal(found_in(&a, &way_musl, r), r->musl);
        assert_string_equal(found_in(&a, &way_go, r), r->go);
        assert_string_equal(found_in(&a, &way_cares, r), r->cares);
        arena_done(&a);
    }
}

/* musl reads lines in pieces, and a name that is cut does not count. */
static void test_long_line_of_hosts(void **state)
{
    (void)state;
    struct arena a;
    struct hosts_match m;
    arena_init(&a, 4096);
    static const char text[] = "10.0.0.1 " LONG_LINE " " LONG_LINE " bar\n";
    assert_int_equal(hostsfile_find(way_glibc.hosts, text, "bar", 0, &a, &m), 0);
    assert_int_equal(hostsfile_find(way_musl.hosts, text, "bar", 0, &a, &m), ERR_NOT_FOUND);
    arena_done(&a);
}

static const struct walk_row {
    const struct way *way;
    const char *name;
    int ndots;
    const char *searches;
    enum walk_outcome always; /* of every candidate */
    const char *want;
} walk_rows[] = {
    { &way_musl, "bar", 1, "a b", WALK_NXDOMAIN, "bar.a bar.b bar" },
    { &way_musl, "bar", 1, "a b", WALK_NODATA, "bar.a" },
    { &way_musl, "bar", 1, "a b", WALK_FAILED, "bar.a" },
    { &way_musl, "bar", 1, "a b", WALK_BAD, "bar.a bar.b bar" },
    { &way_musl_old, "bar", 1, "a b", WALK_BAD, "bar.a" },
    { &way_musl, "bar", 0, "a b", WALK_NXDOMAIN, "bar" },
    { &way_musl, "bar.", 5, "a b", WALK_NXDOMAIN, "bar." },
    { &way_go, "bar", 1, "a b", WALK_FAILED, "bar.a bar.b bar" },
    { &way_go, "bar", 0, "a b", WALK_UNREACHABLE, "bar bar.a bar.b" },
    { &way_go, "x.onion", 1, "a", WALK_NXDOMAIN, "x.onion.a" },
    { &way_go, "x.ONION.", 1, "a", WALK_NXDOMAIN, "" },
    { &way_cares, "bar", 1, "a b", WALK_NODATA, "bar.a bar.b bar" },
    { &way_cares, "bar", 1, "a b", WALK_FAILED, "bar.a" },
    { &way_cares, "x.y", 1, "a b", WALK_FAILED, "x.y" },
    { &way_cares, "x.y", 1, "a b", WALK_NXDOMAIN, "x.y x.y.a x.y.b" },
    { &way_cares, "bar", 1, "a .", WALK_NXDOMAIN, "bar.a bar.. bar" },
};

static void test_walk(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(walk_rows); i++) {
        const struct walk_row *r = &walk_rows[i];
        struct arena a;
        struct stub_conf c = { .ndots = r->ndots };
        struct strlist seen = { 0 };
        struct walk w;
        const char *name;
        arena_init(&a, 4096);
        strlist_split(&c.searches, &a, r->searches, strlen(r->searches), " ");
        walk_init(&w, r->way->walk, r->name, &c, &a);
        while ((name = walk_next(&w)) && seen.n < 20) {
            strlist_add(&seen, &a, name);
            walk_report(&w, r->always);
        }
        print_message("  %s: %s\n", r->way->name, r->name);
        assert_string_equal(strlist_join(&seen, &a, " "), r->want);
        arena_done(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conf),  cmocka_unit_test(test_environment),
        cmocka_unit_test(test_order), cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_walk),  cmocka_unit_test(test_long_line_of_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
