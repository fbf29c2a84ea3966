#include "client/hostsfile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define HEAD                                                                                       \
    "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"                                     \
    "::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n"                           \
    "fe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n"
#define HEAD_HOST "# Kubernetes-managed hosts file (host network).\n"
#define ALIASES                                                                                    \
    "\n# Entries added by HostAliases.\n123.45.67.89\tsome.domain\tother.domain\n"                 \
    "123.45.67.89\tagain\n"

static struct strlist strlist_of(struct arena *a, const char *text)
{
    struct strlist w = { 0 };
    strlist_split(&w, a, text, strlen(text), " ");
    return w;
}

static void test_text(void **state)
{
    (void)state;
    static const struct { /* T and a number: tests/cases.txt */
        struct pod_dns pod;
        const char *ips, *node, *want;
        bool aliases;
    } rows[] = {
        /* T45 */
        { { .name = "podFoo" }, "1.2.3.4", NULL, HEAD "1.2.3.4\tpodFoo\n", false },
        /* T46 */
        { { .name = "podfoo", .subdomain = "sub" },
          "1.2.3.4",
          NULL,
          HEAD "1.2.3.4\tpodfoo.sub.app.svc.cluster.local\tpodfoo\n",
          false },
        /* T47 */
        { { .name = "x", .hostname = "podfoo", .subdomain = "sub" },
          "1.2.3.4 fd00::4",
          NULL,
          HEAD "1.2.3.4\tpodfoo.sub.app.svc.cluster.local\tpodfoo\n"
               "fd00::4\tpodfoo.sub.app.svc.cluster.local\tpodfoo\n",
          false },
        /* T48 */
        { { .name = "podfoo" }, "1.2.3.4", NULL, HEAD "1.2.3.4\tpodfoo\n" ALIASES, true },
        /* T54 */
        { { .name = "podfoo", .hostname_override = "a.b.c", .subdomain = "sub" },
          "1.2.3.4",
          NULL,
          HEAD "1.2.3.4\ta.b.c\n",
          false },
        /* T49 */
        { { .name = "podfoo", .host_network = true, .subdomain = "sub" },
          "1.2.3.4",
          "127.0.0.1 localhost\n# mine\n10.0.0.9 node\n",
          HEAD_HOST "127.0.0.1 localhost\n# mine\n10.0.0.9 node\n",
          false },
        { { .name = "podfoo", .host_network = true },
          "1.2.3.4",
          "127.0.0.1 localhost",
          HEAD_HOST "127.0.0.1 localhost" ALIASES,
          true },
        { { .name = "podfoo", .host_network = true }, "", NULL, HEAD_HOST, false },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct arena a;
        arena_init(&a, 4096);
        struct host_alias aliases[] = {
            { "123.45.67.89", strlist_of(&a, "some.domain other.domain") },
            { "123.45.67.89", strlist_of(&a, "again") },
        };
        struct pod_dns p = rows[i].pod;
        struct pod_names names;
        p.namespace = "app";
        p.ips = strlist_of(&a, rows[i].ips);
        p.aliases = aliases;
        p.n_aliases = rows[i].aliases ? ARRAY_SIZE(aliases) : 0;
        assert_int_equal(pod_names_build(&p, "cluster.local", &a, &names, NULL), 0);
        assert_string_equal(hostsfile_text(&p, &names, rows[i].node, &a), rows[i].want);
        arena_done(&a);
    }
}

/* T50 */
static void test_managed(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 4096);
    struct pod_dns p = { .name = "x", .namespace = "app", .own_hosts = strlist_of(&a, "mine") };
    assert_false(hostsfile_managed(&p, "main")); /* no IP yet */
    p.ips = strlist_of(&a, "1.2.3.4");
    assert_true(hostsfile_managed(&p, "main"));
    assert_false(hostsfile_managed(&p, "mine"));
    p.ips.n = 0;
    p.host_network = true;
    assert_true(hostsfile_managed(&p, "main"));
    assert_false(hostsfile_managed(&p, "mine"));
    arena_done(&a);
}

#define TEN   "abcdefghij"
#define SIXTY TEN TEN TEN TEN TEN TEN

static void test_names(void **state)
{
    (void)state;
    static const struct {
        struct pod_dns pod;
        const char *hostname, *domain, *nodename;
        bool cut;
    } rows[] = {
        { { .name = "web-0" }, "web-0", "", "web-0", false },
        { { .name = "web-0", .hostname = "h", .subdomain = "s" },
          "h",
          "s.app.svc.cluster.local",
          "h",
          false },
        { { .name = SIXTY "abc" }, SIXTY "abc", "", SIXTY "abc", false },
        { { .name = SIXTY "abcdefghij" }, SIXTY "abc", "", SIXTY "abc", true },
        /* T51 */
        { { .name = SIXTY "ab-defghij" }, SIXTY "ab", "", SIXTY "ab", true },
        { { .name = SIXTY ".-.defghij" }, SIXTY, "", SIXTY, true },
        /* T53 */
        { { .name = "w", .hostname_as_fqdn = true }, "w", "", "w", false },
        { { .name = "w", .hostname_as_fqdn = true, .subdomain = "s" },
          "w",
          "s.app.svc.cluster.local",
          "w.s.app.svc.cluster.local",
          false },
        /* T52: 38 + 1 + 25 = 64 */
        { { .name = TEN TEN TEN "abcdefgh", .hostname_as_fqdn = true, .subdomain = "sss" },
          TEN TEN TEN "abcdefgh",
          "sss.app.svc.cluster.local",
          TEN TEN TEN "abcdefgh.sss.app.svc.cluster.local",
          false },
        { { .name = "w", .hostname_override = "a.b.c", .subdomain = "s" },
          "a.b.c",
          "",
          "a.b.c",
          false },
        { { .name = "w", .host_network = true }, "w", "", NULL, false },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct arena a;
        struct pod_dns p = rows[i].pod;
        struct pod_names n;
        arena_init(&a, 4096);
        p.namespace = "app";
        assert_int_equal(pod_names_build(&p, "cluster.local", &a, &n, NULL), 0);
        assert_string_equal(n.hostname, rows[i].hostname);
        assert_string_equal(n.domain, rows[i].domain);
        assert_true(str_eq(n.nodename, rows[i].nodename));
        assert_int_equal(n.cut, rows[i].cut);
        arena_done(&a);
    }
}

/* T52: one character more. */
static void test_name_errors(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 4096);
    struct err e = { 0 };
    struct pod_names n;
    struct pod_dns p = { .name = TEN TEN TEN "abcdefghi",
                         .namespace = "app",
                         .subdomain = "sss",
                         .hostname_as_fqdn = true };
    assert_int_equal(pod_names_build(&p, "cluster.local", &a, &n, &e), ERR_LIMIT);
    assert_string_equal(e.text, "FQDN " TEN TEN TEN "abcdefghi.sss.app.svc.cluster.local is too "
                                "long (64 characters is the max, 65 characters requested)");
    p.name = "----------------------------------------------------------------";
    assert_int_equal(pod_names_build(&p, "cluster.local", &a, &n, &e), ERR_INVALID);
    arena_done(&a);
}

static void test_find(void **state)
{
    (void)state;
    static const char file[] = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n"
                               "10.1.1.1\tbar alias # 10.9.9.9 hidden\n"
                               "#10.1.1.2 bar\nnot-an-ip bar\nfd00::2 Bar\n"
                               "10.1.1.3 bar.app\n::ffff:10.1.1.4 mapped\n10.1.1.5 alias";
    static const struct {
        const char *name;
        uint8_t family;
        const char *want, *canonical;
    } rows[] = {
        { "bar", 0, "10.1.1.1 fd00::2", "bar" },
        { "BAR", 4, "10.1.1.1", "bar" },
        { "bar", 6, "fd00::2", "Bar" },
        { "alias", 0, "10.1.1.1 10.1.1.5", "bar" },
        { "hidden", 0, NULL, NULL },
        { "bar.", 0, NULL, NULL },
        { "bar.app", 0, "10.1.1.3", "bar.app" },
        { "10.1.1.1", 0, NULL, NULL },
        { "localhost", 0, "127.0.0.1 ::1", "localhost" },
        { "ip6-localhost", 4, "127.0.0.1", "localhost" },
        { "mapped", 4, "10.1.1.4", "mapped" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct arena a;
        struct hosts_match m;
        arena_init(&a, 4096);
        int rc = hostsfile_find(&hostsfile_glibc, file, rows[i].name, rows[i].family, &a, &m);
        assert_int_equal(rc, rows[i].want ? 0 : ERR_NOT_FOUND);
        const char *got = "";
        for (size_t j = 0; rc == 0 && j < m.n; j++) {
            char text[IP_TEXT_MAX];
            got = arena_printf(&a, "%s%s%s", got, j ? " " : "", ip_text(&m.ips[j], text));
        }
        assert_string_equal(got, rows[i].want ? rows[i].want : "");
        if (rc == 0)
            assert_string_equal(m.canonical, rows[i].canonical);
        arena_done(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),  cmocka_unit_test(test_managed),
        cmocka_unit_test(test_names), cmocka_unit_test(test_name_errors),
        cmocka_unit_test(test_find),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
