#include "client/pod_manifest.h"

#include "base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const char good[] =
    "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n---\n"
    "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: app, uid: u-1}\n"
    "spec:\n"
    "  dnsPolicy: None\n  hostNetwork: false\n  hostname: h\n  subdomain: s\n"
    "  setHostnameAsFQDN: true\n"
    "  dnsConfig:\n    nameservers: [1.2.3.4, 'fd00::1']\n    searches: [a, b]\n"
    "    options: [{name: ndots, value: \"2\"}, {name: edns0}]\n"
    "  hostAliases: [{ip: 10.0.0.1, hostnames: [x, y]}, {ip: 10.0.0.2}]\n"
    "  containers:\n  - name: main\n  - name: own\n"
    "    volumeMounts: [{name: v, mountPath: /data}, {name: v, mountPath: /etc/hosts}]\n"
    "status: {podIP: 10.1.0.1, podIPs: [{ip: 10.1.0.1}, {ip: 'fd01::1'}]}\n"
    "---\n"
    "kind: List\nitems:\n"
    "- {kind: Pod, metadata: {name: other}, spec: {hostNetwork: true}, status: {podIP: 10.1.0.9}}\n"
    "- {kind: Pod, metadata: {name: web}}\n";

/* The text as a file, and the Pod of it. */
static int load(const char *text, const char *which, struct arena *a, struct pod_dns *ret,
                struct err *e)
{
    char path[] = "/tmp/signpost-test-XXXXXX";
    cleanup_close int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    int rc = pod_manifest_load(path, which, a, ret, e);
    unlink(path);
    return rc;
}

static void test_all_fields(void **state)
{
    (void)state;
    struct arena a;
    struct pod_dns p;
    struct err e = { 0 };
    arena_init(&a, 4096);
    if (load(good, "app/web", &a, &p, &e) < 0)
        fail_msg("%s", e.text);
    assert_string_equal(p.name, "web");
    assert_string_equal(p.namespace, "app");
    assert_string_equal(p.uid, "u-1");
    assert_string_equal(p.policy, "None");
    assert_string_equal(p.hostname, "h");
    assert_string_equal(p.subdomain, "s");
    assert_true(p.has_config && p.hostname_as_fqdn && !p.host_network);
    assert_string_equal(strlist_join(&p.servers, &a, " "), "1.2.3.4 fd00::1");
    assert_string_equal(strlist_join(&p.searches, &a, " "), "a b");
    assert_int_equal(p.n_options, 2);
    assert_string_equal(p.options[0].name, "ndots");
    assert_string_equal(p.options[0].value, "2");
    assert_string_equal(p.options[1].name, "edns0");
    assert_null(p.options[1].value);
    assert_int_equal(p.n_aliases, 2);
    assert_string_equal(p.aliases[0].ip, "10.0.0.1");
    assert_string_equal(strlist_join(&p.aliases[0].names, &a, " "), "x y");
    assert_int_equal(p.aliases[1].names.n, 0);
    assert_string_equal(strlist_join(&p.ips, &a, " "), "10.1.0.1 fd01::1");
    assert_string_equal(strlist_join(&p.own_hosts, &a, " "), "own");
    arena_done(&a);
}

static void test_choice(void **state)
{
    (void)state;
    struct arena a;
    struct pod_dns p;
    struct err e = { 0 };
    arena_init(&a, 4096);
    assert_int_equal(load(good, "other", &a, &p, &e), 0);
    assert_string_equal(p.namespace, "default");
    assert_true(p.host_network);
    assert_false(p.has_config);
    assert_string_equal(strlist_join(&p.ips, &a, " "), "10.1.0.9");
    assert_int_equal(load(good, "default/web", &a, &p, &e), 0);
    assert_int_equal(p.ips.n, 0);
    assert_int_equal(load(good, NULL, &a, &p, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "3 Pods"));
    assert_int_equal(load(good, "web", &a, &p, &e), ERR_INVALID);
    assert_int_equal(load(good, "app/other", &a, &p, &e), ERR_NOT_FOUND);
    assert_int_equal(load("kind: Deployment\n", NULL, &a, &p, &e), ERR_NOT_FOUND);
    arena_done(&a);
}

static void test_mistakes(void **state)
{
    (void)state;
#define POD "kind: Pod\nmetadata: {name: x}\nspec:\n"
    static const struct {
        const char *text, *want; /* behind the file's name */
    } rows[] = {
        { POD "  dnsPolicy: [a]\n", ":4: spec.dnsPolicy must be a string" },
        { POD "  hostNetwork: maybe\n", ":4: spec.hostNetwork" },
        { POD "  dnsConfig: 3\n", ":4: spec.dnsConfig must be a mapping" },
        { POD "  dnsConfig: {nameservers: 1.2.3.4}\n",
          ":4: spec.dnsConfig.nameservers must be a list" },
        { POD "  dnsConfig:\n    searches:\n    - a\n    - [b]\n",
          ":7: spec.dnsConfig.searches must be a list of strings" },
        { POD "  dnsConfig: {options: [{value: x}]}\n",
          ":4: spec.dnsConfig.options[].name must be given" },
        { POD "  hostAliases: [{hostnames: [x]}]\n", ":4: spec.hostAliases[].ip must be given" },
        { "kind: Pod\nmetadata: {}\n", ":1: metadata.name must be given" },
        { POD "  a: [\n", ":" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct arena a;
        struct pod_dns p;
        struct err e = { 0 };
        arena_init(&a, 4096);
        assert_true(load(rows[i].text, NULL, &a, &p, &e) < 0);
        const char *colon = strchr(e.text, ':');
        assert_non_null(colon);
        print_message("  %s\n", e.text);
        assert_true(str_starts(colon, rows[i].want));
        arena_done(&a);
    }
    struct arena a;
    struct pod_dns p;
    arena_init(&a, 4096);
    assert_int_equal(pod_manifest_load("/nowhere/pod.yaml", NULL, &a, &p, NULL), -2);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_fields),
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
