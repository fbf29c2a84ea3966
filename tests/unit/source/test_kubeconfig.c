/* Kubeconfig files and the in-cluster configuration: what is found, what is refused, and where. */
#include "base/arena.h"
#include "base/mem.h"
#include "source/kubeconfig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct bed {
    char root[32], *paths[4];
    struct arena a;
};

static int setup(void **state)
{
    struct bed *b = xcalloc(1, sizeof *b);
    strcpy(b->root, "/tmp/kubeconfig-XXXXXX");
    arena_init(&b->a, 4096);
    *state = b;
    return mkdtemp(b->root) ? 0 : -1;
}

static int teardown(void **state)
{
    struct bed *b = *state;
    for (unsigned i = 0; i < 4; i++) {
        if (b->paths[i])
            unlink(b->paths[i]);
        free(b->paths[i]);
    }
    rmdir(b->root);
    arena_done(&b->a);
    free(b);
    return 0;
}

static const char *put(struct bed *b, unsigned i, const char *name, const char *text)
{
    free(b->paths[i]);
    b->paths[i] = NULL;
    assert_true(asprintf(&b->paths[i], "%s/%s", b->root, name) > 0);
    FILE *f = fopen(b->paths[i], "we");
    assert_non_null(f);
    (void)fputs(text, f);
    (void)fclose(f);
    return b->paths[i];
}

static const char full[] =
    "apiVersion: v1\nkind: Config\ncurrent-context: one\n"
    "contexts:\n"
    "- {name: one, context: {cluster: c, user: u, namespace: shop}}\n"
    "- {name: two, context: {cluster: plain, user: tok}}\n"
    "- {name: three, context: {cluster: c, user: runs}}\n"
    "- {name: nobody, context: {cluster: plain}}\n"
    "clusters:\n"
    "- name: c\n"
    "  cluster:\n"
    "    server: https://10.0.0.1:6443//\n"
    "    certificate-authority-data: UEVNIGNh\n"
    "    tls-server-name: kubernetes\n"
    "    proxy-url: http://proxy:3128\n"
    "    extensions:\n"
    "    - {name: other, extension: 1}\n"
    "    - name: client.authentication.k8s.io/exec\n"
    "      extension: {audience: a, n: [1, true, '1', null, 0x1]}\n"
    "- {name: plain, cluster: {server: 'localhost:8080', insecure-skip-tls-verify: true}}\n"
    "users:\n"
    "- name: u\n"
    "  user: {client-certificate: pki/a.crt, client-key: /abs/a.key, as: system:admin}\n"
    "- {name: tok, user: {token: abc, username: x, password: y}}\n"
    "- name: runs\n"
    "  user:\n"
    "    exec:\n"
    "      apiVersion: client.authentication.k8s.io/v1\n"
    "      command: ./login\n"
    "      args: [get, token]\n"
    "      env: [{name: A, value: b}]\n"
    "      provideClusterInfo: true\n"
    "      interactiveMode: IfAvailable\n"
    "      installHint: install it\n";

static void test_contexts(void **state)
{
    struct bed *b = *state;
    const char *file = put(b, 0, "config", full);
    struct api_config c;
    struct err e;
    char want[80];
    assert_int_equal(kubeconfig_load(&file, 1, NULL, &b->a, &c, &e), 0);
    assert_string_equal(c.server, "https://10.0.0.1:6443");
    assert_string_equal(c.ca_pem, "PEM ca");
    assert_string_equal(c.server_name, "kubernetes");
    assert_string_equal(c.proxy, "http://proxy:3128");
    assert_string_equal(c.namespace, "shop");
    assert_string_equal(c.as, "system:admin");
    assert_string_equal(c.key, "/abs/a.key");
    (void)snprintf(want, sizeof want, "%s/pki/a.crt", b->root);
    assert_string_equal(c.cert, want);
    assert_int_equal(kubeconfig_load(&file, 1, "two", &b->a, &c, &e), 0);
    assert_string_equal(c.server, "http://localhost:8080");
    assert_string_equal(c.token, "abc");
    assert_string_equal(c.user, "x");
    assert_true(c.insecure);
    assert_string_equal(c.namespace, "default");
    assert_int_equal(kubeconfig_load(&file, 1, "three", &b->a, &c, &e), 0);
    (void)snprintf(want, sizeof want, "%s/./login", b->root);
    assert_string_equal(c.exec->command, want);
    assert_int_equal(c.exec->n_args, 2);
    assert_string_equal(c.exec->args[1], "token");
    assert_string_equal(c.exec->env[0], "A=b");
    assert_true(c.exec->cluster_info);
    assert_string_equal(c.exec->cluster_config,
                        "{\"audience\":\"a\",\"n\":[1,true,\"1\",null,\"0x1\"]}");
    assert_int_equal(kubeconfig_load(&file, 1, "nobody", &b->a, &c, &e), 0);
    assert_null(c.token);
}

/* The first file that has an entry counts; files that are not there are passed over. */
static void test_several_files(void **state)
{
    struct bed *b = *state;
    char none[64];
    (void)snprintf(none, sizeof none, "%s/none", b->root);
    const char *files[] = {
        none,
        put(b, 0, "a", "clusters: [{name: c, cluster: {server: 'https://first'}}]\n"),
        put(b, 1, "b", full),
    };
    struct api_config c;
    struct err e;
    assert_int_equal(kubeconfig_load(files, 3, NULL, &b->a, &c, &e), 0);
    assert_string_equal(c.server, "https://first");
    assert_null(c.ca_pem);
    assert_string_equal(c.as, "system:admin");
    assert_true(kubeconfig_load(files, 1, NULL, &b->a, &c, &e) < 0);
    assert_non_null(strstr(e.text, "none"));
    char list[200];
    const char *found[KUBECONFIG_FILES_MAX];
    (void)snprintf(list, sizeof list, ":%s:%s", files[1], files[2]);
    setenv("KUBECONFIG", list, 1);
    assert_int_equal(kubeconfig_files(&b->a, found), 2);
    assert_string_equal(found[1], files[2]);
    unsetenv("KUBECONFIG");
    setenv("HOME", "/home/x", 1);
    assert_int_equal(kubeconfig_files(&b->a, found), 1);
    assert_string_equal(found[0], "/home/x/.kube/config");
}

#define EXEC_USER(version)                                                                         \
    "current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"                  \
    "clusters: [{name: c, cluster: {server: 'https://a'}}]\nusers:\n"                              \
    "- {name: u, user: {exec: {command: x, apiVersion: client.authentication.k8s.io/" version

static void test_refused(void **state)
{
    struct bed *b = *state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        { "[1]\n", ":1: a kubeconfig file is one mapping" },
        { "kind: Pod\n", ":1: kind \"Pod\" is no kubeconfig" },
        { "clusters: []\n", "no current-context" },
        { "current-context: x\n", "context \"x\" does not exist" },
        { "current-context: x\ncontexts: [{name: x, context: {user: u}}]\n", "names no cluster" },
        { "current-context: x\ncontexts: [{name: x, context: {cluster: c}}]\n",
          "cluster \"c\" does not exist" },
        { "current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"
          "clusters: [{name: c, cluster: {server: 'https://a'}}]\n",
          "user \"u\" does not exist" },
        { "current-context: x\ncontexts: [{name: x, context: {cluster: c}}]\n"
          "clusters:\n- {name: c, cluster: {server: 'https://a', certificate-authority-data: "
          "'!'}}\n",
          ":4: certificate-authority-data is not base64" },
        { "current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"
          "clusters: [{name: c, cluster: {server: 'https://a'}}]\nusers:\n"
          "- {name: u, user: {auth-provider: {name: gcp}}}\n",
          ":5: auth-provider is not supported" },
        { "current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"
          "clusters: [{name: c, cluster: {server: 'https://a'}}]\nusers:\n"
          "- {name: u, user: {client-key: k}}\n",
          "come together" },
        { "current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"
          "clusters: [{name: c, cluster: {server: 'https://a'}}]\nusers:\n"
          "- {name: u, user: {exec: {command: x, apiVersion: "
          "client.authentication.k8s.io/v1alpha1}}}\n",
          "v1alpha1\" is not supported" },
        { EXEC_USER("v1") "}}}\n", ":5: exec.interactiveMode must be given with client" },
        { EXEC_USER("v1beta1") ", interactiveMode: Always}}}\n", "there is no terminal" },
        { EXEC_USER("v1") ", interactiveMode: Perhaps}}}\n", "\"Perhaps\": must be Never" },
        { EXEC_USER("v1") ", interactiveMode: Never, env: [{value: x}]}}}\n",
          "exec.env is a list" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *file = put(b, 0, "config", cases[i].text);
        struct api_config c;
        struct err e = { 0 };
        assert_true(kubeconfig_load(&file, 1, NULL, &b->a, &c, &e) < 0);
        if (!strstr(e.text, cases[i].words) || strncmp(e.text, file, strlen(file)) != 0)
            fail_msg("case %zu: %s", i, e.text);
    }
}

static void test_in_cluster(void **state)
{
    struct bed *b = *state;
    struct api_config c;
    struct err e;
    unsetenv("KUBERNETES_SERVICE_HOST");
    assert_int_equal(api_config_in_cluster(b->root, &b->a, &c, &e), ERR_NOT_FOUND);
    setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1);
    setenv("KUBERNETES_SERVICE_PORT", "443", 1);
    assert_true(api_config_in_cluster(b->root, &b->a, &c, &e) < 0);
    assert_non_null(strstr(e.text, "/token"));
    (void)put(b, 0, "token", "t");
    (void)put(b, 1, "namespace", "kube-system\n");
    assert_int_equal(api_config_in_cluster(b->root, &b->a, &c, &e), 0);
    assert_string_equal(c.server, "https://[fd00::1]:443");
    assert_string_equal(c.namespace, "kube-system");
    assert_non_null(strstr(c.ca, "/ca.crt"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_contexts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_several_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_in_cluster, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
