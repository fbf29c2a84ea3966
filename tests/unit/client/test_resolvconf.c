#include "client/resolvconf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define HOST_PATH "/node/resolv.conf"
#define H0        "nameserver 8.8.8.8\nsearch host.domain\n"
#define H_OPTIONS "nameserver 8.8.8.8\nsearch host.domain\noptions ndots:2 rotate\n"
#define CLUSTER   "app.svc.cluster.local svc.cluster.local cluster.local"
#define NO_DNS                                                                                     \
    "kubelet does not have ClusterDNS IP configured and cannot create Pod using "                  \
    "\"ClusterFirst\" policy. Falling back to \"Default\" policy."

/* One Pod on one node, in words; T and a number: tests/cases.txt; "-" in what the node has means
 * "nothing set". */
struct row {
    const char *name, *policy;
    bool host_network;
    const char *host;        /* the node's file; "-": resolvConf is ""; NULL: H0 */
    const char *cluster_dns; /* NULL: 10.96.0.10 */
    const char *domain;      /* NULL: cluster.local */
    const char *node_ips;
    bool config;
    const char *servers, *searches, *options; /* of dnsConfig; option "name=value" or "name" */
    const char *want_servers, *want_searches, *want_options;
    const char *want_notes; /* "pod REASON text|node ..." */
};

static const struct row rows[] = {
    { .name = "T01 ClusterFirst",
      .policy = "ClusterFirst",
      .want_servers = "10.96.0.10",
      .want_searches = CLUSTER " host.domain",
      .want_options = "ndots:5" },
    { .name = "no policy is ClusterFirst",
      .policy = "",
      .want_servers = "10.96.0.10",
      .want_searches = CLUSTER " host.domain",
      .want_options = "ndots:5" },
    { .name = "T02 ClusterFirst on the host network",
      .policy = "ClusterFirst",
      .host_network = true,
      .want_servers = "8.8.8.8",
      .want_searches = "host.domain",
      .want_options = "" },
    { .name = "T03 ClusterFirstWithHostNet on it",
      .policy = "ClusterFirstWithHostNet",
      .host_network = true,
      .want_servers = "10.96.0.10",
      .want_searches = CLUSTER " host.domain",
      .want_options = "ndots:5" },
    { .name = "T04 ClusterFirstWithHostNet not on it",
      .policy = "ClusterFirstWithHostNet",
      .want_servers = "10.96.0.10",
      .want_searches = CLUSTER " host.domain",
      .want_options = "ndots:5" },
    { .name = "T05 Default",
      .policy = "Default",
      .want_servers = "8.8.8.8",
      .want_searches = "host.domain",
      .want_options = "" },
    { .name = "T06 Default keeps the node's options",
      .policy = "Default",
      .host = H_OPTIONS,
      .want_servers = "8.8.8.8",
      .want_searches = "host.domain",
      .want_options = "ndots:2 rotate" },
    { .name = "T07 ClusterFirst drops them",
      .policy = "ClusterFirst",
      .host = H_OPTIONS,
      .want_servers = "10.96.0.10",
      .want_searches = CLUSTER " host.domain",
      .want_options = "ndots:5" },
    { .name = "T08 None with dnsConfig",
      .policy = "None",
      .config = true,
      .servers = "1.2.3.4",
      .searches = "ns1.svc.cd.example my.dns.search.suffix",
      .options = "ndots=2 edns0",
      .want_servers = "1.2.3.4",
      .want_searches = "ns1.svc.cd.example my.dns.search.suffix",
      .want_options = "ndots:2 edns0" },
    { .name = "T09 None without",
      .policy = "None",
      .want_servers = "",
      .want_searches = "",
      .want_options = "",
      .want_notes = "log - nothing is left to write; a container runtime may then copy the node's "
                    "own file" },
    { .name = "T10 ClusterFirst with dnsConfig",
      .policy = "ClusterFirst",
      .config = true,
      .servers = "10.0.0.11",
      .searches = "my.domain",
      .options = "ndots=3 debug",
      .want_servers = "10.96.0.10 10.0.0.11",
      .want_searches = CLUSTER " host.domain my.domain",
      .want_options = "ndots:3 debug" },
    { .name = "T11 Default with dnsConfig",
      .policy = "Default",
      .config = true,
      .servers = "10.0.0.11",
      .searches = "my.domain",
      .options = "ndots=3 debug",
      .want_servers = "8.8.8.8 10.0.0.11",
      .want_searches = "host.domain my.domain",
      .want_options = "ndots:3 debug" },
    { .name = "option of the node overwritten in its place",
      .policy = "Default",
      .host = H_OPTIONS,
      .config = true,
      .options = "edns0 ndots=7",
      .want_servers = "8.8.8.8",
      .want_searches = "host.domain",
      .want_options = "ndots:7 rotate edns0" },
    { .name = "T12 server twice",
      .policy = "ClusterFirst",
      .config = true,
      .servers = "10.96.0.10",
      .want_servers = "10.96.0.10",
      .want_searches = CLUSTER " host.domain",
      .want_options = "ndots:5" },
    { .name = "T13 search twice",
      .policy = "ClusterFirst",
      .config = true,
      .searches = "svc.cluster.local",
      .want_servers = "10.96.0.10",
      .want_searches = CLUSTER " host.domain",
      .want_options = "ndots:5" },
    { .name = "a dot at the end makes another search",
      .policy = "ClusterFirst",
      .config = true,
      .searches = "foo foo.",
      .want_servers = "10.96.0.10",
      .want_searches = CLUSTER " host.domain foo foo.",
      .want_options = "ndots:5" },
    { .name = "T14 no cluster domain",
      .policy = "ClusterFirst",
      .domain = "-",
      .want_servers = "10.96.0.10",
      .want_searches = "host.domain",
      .want_options = "ndots:5" },
    { .name = "T15 no cluster DNS",
      .policy = "ClusterFirst",
      .cluster_dns = "-",
      .want_servers = "8.8.8.8",
      .want_searches = "host.domain",
      .want_options = "",
      .want_notes = "node MissingClusterDNS " NO_DNS "|pod MissingClusterDNS pod: "
                    "\"web_app(u-1)\". " NO_DNS },
    { .name = "T16 no file, Default",
      .policy = "Default",
      .host = "-",
      .node_ips = "10.0.0.1",
      .want_servers = "127.0.0.1",
      .want_searches = ".",
      .want_options = "" },
    { .name = "T17 no file, Default, two families",
      .policy = "Default",
      .host = "-",
      .node_ips = "10.0.0.1 fd00::1",
      .want_servers = "127.0.0.1 ::1",
      .want_searches = ".",
      .want_options = "" },
    { .name = "no file, Default, no node IP",
      .policy = "Default",
      .host = "-",
      .want_servers = "127.0.0.1",
      .want_searches = ".",
      .want_options = "" },
    { .name = "T18 no file, ClusterFirst",
      .policy = "ClusterFirst",
      .host = "-",
      .want_servers = "10.96.0.10",
      .want_searches = CLUSTER,
      .want_options = "ndots:5" },
    { .name = "T20 four servers",
      .policy = "ClusterFirst",
      .config = true,
      .servers = "1.1.1.1 2.2.2.2 3.3.3.3",
      .want_servers = "10.96.0.10 1.1.1.1 2.2.2.2",
      .want_searches = CLUSTER " host.domain",
      .want_options = "ndots:5",
      .want_notes = "pod DNSConfigForming Nameserver limits were exceeded, some nameservers have "
                    "been omitted, the applied nameserver line is: 10.96.0.10 1.1.1.1 2.2.2.2" },
    { .name = "T26 cluster DNS of two families",
      .policy = "ClusterFirst",
      .cluster_dns = "10.96.0.10 fd00::a",
      .want_servers = "10.96.0.10 fd00::a",
      .want_searches = CLUSTER " host.domain",
      .want_options = "ndots:5" },
    { .name = "T27 last search line, dots cut",
      .policy = "Default",
      .host = "nameserver 8.8.8.8\nsearch a b\nsearch foo. bar\n",
      .want_servers = "8.8.8.8",
      .want_searches = "foo bar",
      .want_options = "" },
    { .name = "bare search and options empty the lists",
      .policy = "Default",
      .host = H_OPTIONS "search\noptions\n",
      .want_servers = "8.8.8.8",
      .want_searches = "",
      .want_options = "" },
    { .name = "T29 blanks and comments around servers",
      .policy = "Default",
      .host = " nameserver 1.2.3.4\nnameserver\t1.2.3.5\nnameserver 1.2.3.6 #c\n",
      .want_servers = "1.2.3.4 1.2.3.5 1.2.3.6",
      .want_searches = "",
      .want_options = "" },
    { .name = "T30 comments and unknown words",
      .policy = "Default",
      .host = "; nameserver 9.9.9.9\n#nameserver 9.9.9.8\n# x\ndomain x\nsortlist 1\n" H0,
      .want_servers = "8.8.8.8",
      .want_searches = "host.domain",
      .want_options = "" },
    { .name = "no line break at the end, CR before it",
      .policy = "Default",
      .host = "nameserver 8.8.8.8\r\nsearch host.domain",
      .want_servers = "8.8.8.8",
      .want_searches = "host.domain",
      .want_options = "" },
    { .name = "T32 option without value, twice",
      .policy = "None",
      .config = true,
      .servers = "1.1.1.1",
      .options = "ndots debug=",
      .want_servers = "1.1.1.1",
      .want_searches = "",
      .want_options = "ndots debug" },
    { .name = "T33 unknown policy",
      .policy = "Sideways",
      .want_servers = "10.96.0.10",
      .want_searches = CLUSTER " host.domain",
      .want_options = "ndots:5",
      .want_notes = "log - dnsPolicy \"Sideways\" is unknown; going on as with ClusterFirst" },
    { .name = "T34 the root as the node's search",
      .policy = "ClusterFirst",
      .host = "nameserver 8.8.8.8\nsearch .\n",
      .want_servers = "10.96.0.10",
      .want_searches = CLUSTER " .",
      .want_options = "ndots:5" },
};

static struct strlist strlist_of(struct arena *a, const char *text)
{
    struct strlist w = { 0 };
    if (text && !str_eq(text, "-"))
        strlist_split(&w, a, text, strlen(text), " ");
    return w;
}

static void read_options(struct arena *a, const char *text, struct pod_dns *p)
{
    struct strlist w = strlist_of(a, text);
    struct dns_option *options = arena_zalloc(a, (w.n + 1) * sizeof *options);
    for (size_t i = 0; i < w.n; i++) {
        char *name = arena_strdup(a, w.items[i]), *equal = strchr(name, '=');
        if (equal)
            *equal = '\0';
        options[i] = (struct dns_option){ name, equal ? equal + 1 : NULL };
    }
    p->options = options;
    p->n_options = w.n;
}

static struct kubelet_dns kubelet_of(struct arena *a, const struct row *r)
{
    bool no_file = str_eq(r->host, "-");
    struct strlist ips = strlist_of(a, r->node_ips);
    struct ip *parsed = arena_zalloc(a, (ips.n + 1) * sizeof *parsed);
    for (size_t i = 0; i < ips.n; i++)
        assert_int_equal(ip_parse(ips.items[i], &parsed[i]), 0);
    return (struct kubelet_dns){
        .host_path = no_file ? "" : HOST_PATH,
        .host_text = no_file   ? NULL
                     : r->host ? r->host
                               : H0,
        .cluster_dns = strlist_of(a, r->cluster_dns ? r->cluster_dns : "10.96.0.10"),
        .cluster_domain = str_eq(r->domain, "-") ? ""
                          : r->domain            ? r->domain
                                                 : "cluster.local",
        .node_ips = parsed,
        .n_node_ips = ips.n,
    };
}

static struct pod_dns pod_of_row(struct arena *a, const struct row *r)
{
    struct pod_dns p = {
        .name = "web",
        .namespace = "app",
        .uid = "u-1",
        .policy = r->policy,
        .host_network = r->host_network,
        .has_config = r->config,
        .servers = strlist_of(a, r->servers),
        .searches = strlist_of(a, r->searches),
    };
    read_options(a, r->options, &p);
    return p;
}

static const char *notes_text(struct arena *a, const struct dns_notes *notes)
{
    static const char *const on[] = {
        [NOTE_POD] = "pod", [NOTE_NODE] = "node", [NOTE_LOG] = "log"
    };
    const char *out = "";
    for (size_t i = 0; i < notes->n; i++) {
        const struct dns_note *n = &notes->items[i];
        out = arena_printf(a, "%s%s%s %s %s", out, i ? "|" : "", on[n->on],
                           n->reason ? n->reason : "-", n->text);
    }
    return out;
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct row *r = &rows[i];
        struct arena a;
        arena_init(&a, 4096);
        struct kubelet_dns k = kubelet_of(&a, r);
        struct pod_dns p = pod_of_row(&a, r);
        struct resolvconf out;
        struct dns_notes notes;
        struct err e = { 0 };
        if (resolvconf_build(&k, &p, &a, &out, &notes, &e) < 0)
            fail_msg("%s: %s", r->name, e.text);
        print_message("  %s\n", r->name);
        assert_string_equal(strlist_join(&out.servers, &a, " "), r->want_servers);
        assert_string_equal(strlist_join(&out.searches, &a, " "), r->want_searches);
        assert_string_equal(strlist_join(&out.options, &a, " "), r->want_options);
        assert_string_equal(notes_text(&a, &notes), r->want_notes ? r->want_notes : "");
        arena_done(&a);
    }
}

/* Numbers of search domains: n of them, each of len characters, one at `long_at` of long_len. */
struct limit_row {
    const char *name;
    unsigned n, len, long_at, long_len;
    bool old_limits;
    const char *extra; /* one more at the end */
    size_t want_n, want_joined;
    bool want_note;
};

static const struct limit_row limit_rows[] = {
    { .name = "32 fit", .n = 32, .len = 3, .want_n = 32, .want_joined = 127 },
    { .name = "T21 33 do not",
      .n = 33,
      .len = 3,
      .want_n = 32,
      .want_joined = 127,
      .want_note = true },
    { .name = "old: 6 fit", .n = 6, .len = 3, .old_limits = true, .want_n = 6, .want_joined = 23 },
    { .name = "T22 old: 7 do not",
      .n = 7,
      .len = 3,
      .old_limits = true,
      .want_n = 6,
      .want_joined = 23,
      .want_note = true },
    { .name = "T22 old: 256 characters",
      .n = 6,
      .len = 50,
      .old_limits = true,
      .want_n = 5,
      .want_joined = 254,
      .want_note = true },
    { .name = "T23 one of 254 in the middle",
      .n = 5,
      .len = 3,
      .long_at = 2,
      .long_len = 254,
      .want_n = 4,
      .want_joined = 15,
      .want_note = true },
    { .name = "one of 253 stays",
      .n = 5,
      .len = 3,
      .long_at = 2,
      .long_len = 253,
      .want_n = 5,
      .want_joined = 269 },
    /* 15 x 127 + 128 + 15 blanks = 2048 */
    { .name = "T24 2048 joined fit",
      .n = 16,
      .len = 127,
      .long_at = 15,
      .long_len = 128,
      .want_n = 16,
      .want_joined = 2048 },
    { .name = "T24 2050 do not",
      .n = 16,
      .len = 127,
      .long_at = 15,
      .long_len = 128,
      .extra = "B",
      .want_n = 16,
      .want_joined = 2048,
      .want_note = true },
    { .name = "T25 number is cut before length",
      .n = 33,
      .len = 3,
      .long_at = 4,
      .long_len = 300,
      .want_n = 31,
      .want_joined = 123,
      .want_note = true },
};

static struct strlist many_searches(struct arena *a, const struct limit_row *r)
{
    struct strlist w = { 0 };
    for (unsigned i = 0; i < r->n; i++) {
        unsigned len = r->long_len && i == r->long_at ? r->long_len : r->len;
        char *word = arena_printf(a, "%0*u", (int)len, i);
        strlist_add(&w, a, word);
    }
    if (r->extra)
        strlist_add(&w, a, r->extra);
    return w;
}

static void test_limits(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(limit_rows); i++) {
        const struct limit_row *r = &limit_rows[i];
        struct arena a;
        arena_init(&a, 4096);
        struct pod_dns p = { .name = "web",
                             .namespace = "app",
                             .policy = "None",
                             .has_config = true,
                             .searches = many_searches(&a, r) };
        struct kubelet_dns k = { .host_path = "", .old_limits = r->old_limits };
        struct resolvconf out;
        struct dns_notes notes;
        assert_int_equal(resolvconf_build(&k, &p, &a, &out, &notes, NULL), 0);
        print_message("  %s\n", r->name);
        assert_int_equal(out.searches.n, r->want_n);
        assert_int_equal(strlist_joined_len(&out.searches), r->want_joined);
        assert_int_equal(notes.n, r->want_note);
        if (r->want_note) {
            const char *want = arena_printf(
                &a,
                "pod DNSConfigForming Search Line limits were exceeded, some search paths have "
                "been omitted, the applied search line is: %s",
                strlist_join(&out.searches, &a, " "));
            assert_string_equal(notes_text(&a, &notes), want);
        }
        arena_done(&a);
    }
}

/* T31 */
static void test_node_check(void **state)
{
    (void)state;
    static const struct {
        unsigned n, len, long_len;
        const char *domain, *want;
        bool old_limits;
    } checks[] = {
        { .n = 29, .len = 3, .domain = "cluster.local" },
        { .n = 30,
          .len = 3,
          .domain = "cluster.local",
          .want = "Resolv.conf file '/node/resolv.conf' contains search line consisting of more "
                  "than 29 domains!" },
        { .n = 32, .len = 3, .domain = "" },
        { .n = 4,
          .len = 3,
          .domain = "cluster.local",
          .old_limits = true,
          .want = "Resolv.conf file '/node/resolv.conf' contains search line consisting of more "
                  "than 3 domains!" },
        { .n = 2,
          .len = 3,
          .long_len = 254,
          .domain = "",
          .want = "Resolv.conf file \"/node/resolv.conf\" contains a search path which length is "
                  "more than allowed 253 chars!" },
        { .n = 17,
          .len = 120,
          .domain = "",
          .want = "Resolv.conf file '/node/resolv.conf' contains search line which length is more "
                  "than allowed 2048 chars!" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
        struct arena a;
        arena_init(&a, 4096);
        struct limit_row r = {
            .n = checks[i].n, .len = checks[i].len, .long_at = 1, .long_len = checks[i].long_len
        };
        struct strlist w = many_searches(&a, &r);
        struct kubelet_dns k = {
            .host_path = HOST_PATH,
            .cluster_domain = checks[i].domain,
            .old_limits = checks[i].old_limits,
            .host_text = arena_printf(&a, "search %s\n", strlist_join(&w, &a, " ")),
        };
        struct dns_notes notes = { 0 };
        assert_int_equal(resolvconf_check_node(&k, &a, &notes, NULL), 0);
        const char *want =
            checks[i].want ? arena_printf(&a, "node CheckLimitsForResolvConf %s", checks[i].want)
                           : "";
        assert_string_equal(notes_text(&a, &notes), want);
        arena_done(&a);
    }
}

/* T19, T28: a file that is named but missing or broken stops the Pod, whatever its policy. */
static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *policy, *text, *want;
        int code;
    } bad[] = {
        { "Default", NULL, "/node/resolv.conf: cannot be read", ERR_NOT_FOUND },
        { "None", NULL, "/node/resolv.conf: cannot be read", ERR_NOT_FOUND },
        { "Default", "search a\nnameserver\n",
          "/node/resolv.conf: line 2: nameserver list is empty", ERR_PARSE },
        { "ClusterFirst", "nameserver \t\n", "/node/resolv.conf: line 1: nameserver list is empty",
          ERR_PARSE },
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct arena a;
        arena_init(&a, 4096);
        struct kubelet_dns k = { .host_path = HOST_PATH,
                                 .host_text = bad[i].text,
                                 .cluster_dns = strlist_of(&a, "10.96.0.10") };
        struct pod_dns p = { .name = "web", .namespace = "app", .policy = bad[i].policy };
        struct resolvconf out;
        struct dns_notes notes;
        struct err e = { 0 };
        assert_int_equal(resolvconf_build(&k, &p, &a, &out, &notes, &e), bad[i].code);
        assert_true(str_starts(e.text, bad[i].want));
        arena_done(&a);
    }
}

static void test_text(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 4096);
    struct resolvconf r = { strlist_of(&a, "10.96.0.10 fd00::a"), strlist_of(&a, "a b"),
                            strlist_of(&a, "ndots:5 edns0") };
    assert_string_equal(resolvconf_text(&r, &a), "search a b\nnameserver 10.96.0.10\n"
                                                 "nameserver fd00::a\noptions ndots:5 edns0\n");
    r.searches.n = r.options.n = 0;
    r.servers.n = 1;
    assert_string_equal(resolvconf_text(&r, &a), "nameserver 10.96.0.10\n");
    r.servers.n = 0;
    assert_string_equal(resolvconf_text(&r, &a), "");
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),   cmocka_unit_test(test_limits),
        cmocka_unit_test(test_errors), cmocka_unit_test(test_node_check),
        cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
