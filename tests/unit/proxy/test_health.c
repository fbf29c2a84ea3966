/* The health and metrics servers over loopback, and the kernel settings on a copy of the tree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "proxy/health.h"
#include "proxy/tune.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static struct proxy_metrics metrics;

static uint16_t free_port(void)
{
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof sa;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    close(fd);
    return ntohs(sa.sin_port);
}

static void get(uint16_t port, const char *path, struct strbuf *out)
{
    struct sockaddr_in sa = { .sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                              .sin_port = htons(port) };
    char buf[4096];
    strbuf_reset(out);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    int n = snprintf(buf, sizeof buf, "GET %s HTTP/1.0\r\nHost: x\r\n\r\n", path);
    assert_int_equal(write(fd, buf, (size_t)n), n);
    for (ssize_t r; (r = read(fd, buf, sizeof buf)) > 0;)
        strbuf_add(out, buf, (size_t)r);
    close(fd);
}

static bool has_status(const struct strbuf *b, const char *status)
{
    return b->p && strstr(b->p, status) == b->p + strlen("HTTP/1.x ");
}

static void test_servers(void **state)
{
    (void)state;
    struct health h;
    struct health_server *probes, *pages, *third;
    struct strbuf out = { 0 };
    struct err e;
    struct ip ip = { .family = 4, .bytes = { 127, 0, 0, 1 } };
    uint16_t a = free_port(), b = free_port();
    health_init(&h, &metrics, "nftables", 1000000000);
    assert_int_equal(health_serve(&h, HEALTH_PROBES, &ip, a, &probes, &e), 0);
    assert_int_equal(health_serve(&h, HEALTH_METRICS, &ip, b, &pages, &e), 0);
    assert_true(health_serve(&h, HEALTH_METRICS, &ip, b, &third, &e) < 0);
    assert_non_null(strstr(e.text, "127.0.0.1"));
    get(a, "/healthz", &out);
    assert_true(has_status(&out, "200"));
    assert_non_null(strstr(out.p, "Content-Type: application/json"));
    assert_non_null(strstr(out.p, "\"nodeEligible\": true"));
    health_node(&h, true);
    get(a, "/healthz", &out);
    assert_true(has_status(&out, "503"));
    get(a, "/livez", &out);
    assert_true(has_status(&out, "200"));
    get(a, "/other", &out);
    assert_true(has_status(&out, "404"));
    get(b, "/proxyMode", &out);
    assert_non_null(strstr(out.p, "\r\n\r\nnftables"));
    get(b, "/healthz", &out);
    assert_non_null(strstr(out.p, "\r\n\r\nok"));
    histogram_observe(&metrics.sync[0], 3000000);
    get(b, "/metrics", &out);
    assert_non_null(strstr(out.p, "\nkubeproxy_proxy_healthz_total{code=\"503\"} 1\n"));
    assert_non_null(
        strstr(out.p, "kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family=\"IPv4\"} 1\n"));
    assert_non_null(strstr(out.p, "signpost_proxy_elements{ip_family=\"IPv6\"} 0\n"));
    health_stop(probes);
    health_stop(pages);
    health_done(&h);
    strbuf_done(&out);
}

struct tree {
    char root[64];
    struct strbuf said;
};

static void put(const struct tree *t, const char *name, const char *value)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/net/netfilter/%s", t->root, name);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    (void)fputs(value, f);
    (void)fclose(f);
}

static long number(const struct tree *t, const char *name)
{
    char path[256];
    long value = -1;
    (void)snprintf(path, sizeof path, "%s/net/netfilter/%s", t->root, name);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld", &value), 1);
    (void)fclose(f);
    return value;
}

static void note(void *ctx, const char *text)
{
    struct tree *t = ctx;
    strbuf_printf(&t->said, "%s\n", text);
}

static void test_tune(void **state)
{
    (void)state;
    struct tree t = { .root = "/tmp/tune-XXXXXX" };
    char path[256];
    assert_non_null(mkdtemp(t.root));
    (void)snprintf(path, sizeof path, "%s/net", t.root);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/net/netfilter", t.root);
    assert_int_equal(mkdir(path, 0700), 0);
    put(&t, "nf_conntrack_max", "1000\n");
    put(&t, "nf_conntrack_tcp_timeout_established", "432000\n");
    put(&t, "nf_conntrack_udp_timeout", "30\n");
    tune_apply(&(struct tune_options){ .max_per_core = 1,
                                       .min = 131072,
                                       .tcp_established_ns = 86400000000000LL,
                                       .tcp_close_wait_ns = 3600000000000LL },
               t.root, note, &t);
    assert_int_equal(number(&t, "nf_conntrack_max"), 131072);
    assert_int_equal(number(&t, "nf_conntrack_tcp_timeout_established"), 86400);
    assert_int_equal(number(&t, "nf_conntrack_udp_timeout"), 30); /* not asked for */
    assert_string_equal(t.said.p, "sysctl net/netfilter/nf_conntrack_tcp_timeout_close_wait stays "
                                  "as it is, 3600 was wanted: No such file or directory\n");
    strbuf_done(&t.said);
    (void)snprintf(path, sizeof path, "rm -r %s", t.root);
    assert_int_equal(system(path), 0);
}

int main(void)
{
    proxy_metrics_init(&metrics, MODE_NFTABLES);
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_servers),
                                        cmocka_unit_test(test_tune) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
