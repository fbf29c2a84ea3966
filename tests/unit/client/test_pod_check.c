/* What the API server would refuse: each row is the spec of a Pod and the paths that are told. */
#include "client/pod_check.h"

#include "client/pod_manifest.h"
#include "config/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define SERVERS(list) "dnsConfig: {nameservers: [" list "]}"
#define X33           "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X63           "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X64           "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

/* want: parts of the sentences, "|" between them. T and a number: tests/cases.txt. */
static const struct {
    const char *spec;
    bool strict;
    const char *want;
} rows[] = {
    { "dnsPolicy: ClusterFirst", false, "" },
    { "dnsPolicy: clusterfirst", false, "spec.dnsPolicy: 'clusterfirst' is none of" },
    /* T35 */
    { "dnsPolicy: None", false, "spec.dnsConfig: must be given" },
    /* T36 */
    { "dnsPolicy: None, " SERVERS(""), false, "spec.dnsConfig.nameservers: at least one" },
    { "dnsPolicy: None, " SERVERS("1.2.3.4"), false, "" },
    /* T37 */
    { SERVERS("1.1.1.1, 1.1.1.2, 1.1.1.3, 1.1.1.4"), false, "must not have more than 3" },
    /* T38 */
    { SERVERS("dns.example"), false, "spec.dnsConfig.nameservers[0]: 'dns.example' must be an IP" },
    { SERVERS("010.0.0.1, 'fd00::1'"), false, "" },
    /* T39 */
    { "dnsConfig: {searches: [a_b.c]}", false, "" },
    { "dnsConfig: {searches: [a_b.c]}", true, "spec.dnsConfig.searches[0]: 'a_b.c'" },
    /* T40 */
    { "dnsConfig: {searches: [good.test., .]}", false, "" },
    { "dnsConfig: {searches: [good.test., .]}", true, "spec.dnsConfig.searches[1]: '.'" },
    { "dnsConfig: {searches: [A.test, -a]}", false, "searches[0]: 'A.test'|searches[1]: '-a'" },
    /* T41 */
    { "dnsConfig: {searches: [a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a]}",
      false, "" },
    { "dnsConfig: {searches: [a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a]}",
      false, "spec.dnsConfig.searches: must not have more than 32" },
    { "dnsConfig: {searches: [" X64 "." X64 "." X64 "." X64 "]}", false, "no more than 253" },
    /* T43 */
    { "hostAliases: [{ip: 456.78.90.123, hostnames: [a.b]}]", false,
      "spec.hostAliases[0].ip: '456.78.90.123' must be an IP address" },
    { "hostAliases: [{ip: 1.2.3.4, hostnames: [a.b, c., D]}]", false,
      "hostAliases[0].hostnames[1]: 'c.'|hostAliases[0].hostnames[2]: 'D'" },
    { "hostname: pod-a, subdomain: sub", false, "" },
    /* T44 */
    { "subdomain: a.b", false, "spec.subdomain: 'a.b'" },
    { "hostname: " X64, false, "spec.hostname: 'x" },
    { "hostnameOverride: a.b.c", false, "" },
    { "hostnameOverride: a.b.c, hostNetwork: true, setHostnameAsFQDN: true", false,
      "together with hostNetwork|together with setHostnameAsFQDN" },
    { "hostnameOverride: " X33 "." X33, false, "spec.hostnameOverride: must be no more than 64" },
};

static void compare(void *ctx, const char *text)
{
    const char **want = ctx;
    char words[128];
    size_t len = strcspn(*want, "|");
    (void)snprintf(words, sizeof words, "%.*s", (int)len, *want);
    if (!*words || !strstr(text, words))
        fail_msg("'%s' and not '%s'", text, words);
    *want += len + ((*want)[len] == '|');
}

static void read_pod(struct arena *a, const char *spec, struct pod_dns *ret)
{
    struct tree_doc doc;
    struct err e = { 0 };
    const char *text = arena_printf(a, "metadata: {name: p, namespace: app}\nspec: {%s}\n", spec);
    assert_int_equal(tree_parse(text, strlen(text), "pod", a, &doc, &e), 0);
    assert_int_equal(pod_manifest_read(doc.documents[0], "pod", a, ret, &e), 0);
}

static void test_problems(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct arena a;
        struct pod_dns pod;
        const char *want = rows[i].want;
        arena_init(&a, 4096);
        read_pod(&a, rows[i].spec, &pod);
        pod_dns_check(&pod, rows[i].strict, compare, &want);
        if (*want)
            fail_msg("%s: nothing was told of '%s'", rows[i].spec, want);
        arena_done(&a);
    }
}

/* What is allowed, but hardly meant: want as above. */
static const struct {
    const char *spec, *want;
} meant[] = {
    { "dnsPolicy: ClusterFirst", "" },
    { "dnsPolicy: Default, dnsConfig: {searches: [.]}", "" },
    { "hostNetwork: true, dnsConfig: {searches: [.]}", "" },
    { "dnsPolicy: None, " SERVERS("10.96.0.10"), "" },
    { "dnsPolicy: None, " SERVERS("127.0.0.53"), "its resolv.conf: this name server is the host" },
    { "dnsConfig: {searches: [.]}", "search element '.'|ndots:5 with 4 search elements" },
    { SERVERS("1.1.1.1"), "musl (Alpine) asks all of them at once|ndots:5 with 3" },
    { "dnsPolicy: ClusterFirstWithHostNet, hostNetwork: true, dnsConfig: {options: [{name: ndots, "
      "value: '2'}]}",
      "ndots:2 with 3 search elements|NAME.NAMESPACE.svc is not found there" },
    { "dnsConfig: {searches: [" X63 "." X63 "." X63 "." X33 "]}",
      "musl (Alpine) passes over this line of 286 bytes|ndots:5 with 4" },
    { SERVERS("1.1.1.1, 1.1.1.2, 1.1.1.3"),
      "the kubelet would write an event: DNSConfigForming: Nameserver limits|at once|ndots:5 with "
      "3" },
};

static void test_what_is_hardly_meant(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(meant); i++) {
        struct arena a;
        struct pod_dns pod;
        const char *want = meant[i].want;
        arena_init(&a, 4096);
        read_pod(&a, meant[i].spec, &pod);
        pod_dns_lint(&pod, &a, compare, &want);
        if (*want)
            fail_msg("%s: nothing was told of '%s'", meant[i].spec, want);
        arena_done(&a);
    }
}

/* T42; a manifest with such an option is refused when it is read. */
static void test_option_without_a_name(void **state)
{
    (void)state;
    const struct dns_option options[] = { { "ndots", "2" }, { "", "1" } };
    const struct pod_dns pod = { .has_config = true, .options = options, .n_options = 2 };
    const char *want = "spec.dnsConfig.options[1].name: must be given";
    pod_dns_check(&pod, false, compare, &want);
    assert_string_equal(want, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_problems),
                                        cmocka_unit_test(test_option_without_a_name),
                                        cmocka_unit_test(test_what_is_hardly_meant) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
