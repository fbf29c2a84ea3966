/* A table that lives as long as its socket, for real, in a world of our own; skipped where the
 * machine does not allow one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/netns.h"
#include "kernel/owned_table.h"
#include "kernel/privilege.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMMENT "tests: skip conntrack"

static struct notrack_rule rule(const char *ip, uint8_t protocol, bool from, bool output)
{
    struct notrack_rule r = { .protocol = protocol, .port = 53, .from = from, .output = output };
    assert_int_equal(ip_parse(ip, &r.ip), 0);
    return r;
}

static void listed(char *out, size_t size)
{
    FILE *f = popen("nft list ruleset 2>/dev/null || /usr/sbin/nft list ruleset", "re");
    assert_non_null(f);
    size_t n = fread(out, 1, size - 1, f);
    out[n] = '\0';
    assert_int_equal(pclose(f), 0);
}

static void comes_and_goes(void **state)
{
    (void)state;
    char text[4096];
    struct err e = { 0 };
    struct owned_table t, twin;
    const struct notrack_rule rules[] = {
        rule("10.96.0.10", IPPROTO_UDP, false, false),
        rule("10.96.0.10", IPPROTO_TCP, true, true),
    };
    assert_int_equal(owned_table_open(&t), 0);
    assert_int_equal(owned_table_open(&twin), 0);
    assert_false(owned_table_is_there(&t));
    assert_int_equal(owned_table_make(&t, "mine", rules, 2, COMMENT, &e), 0);
    assert_true(owned_table_is_there(&t));
    listed(text, sizeof text);
    assert_non_null(strstr(text, "table ip mine"));
    assert_non_null(strstr(text, "flags owner"));
    assert_non_null(strstr(text, "ip daddr 10.96.0.10 udp dport 53 counter packets 0 bytes 0 "
                                 "notrack comment \"" COMMENT "\""));
    assert_non_null(strstr(text, "ip saddr 10.96.0.10 tcp sport 53 counter packets 0 bytes 0 "
                                 "notrack comment \"" COMMENT "\""));
    assert_int_equal(owned_table_make(&twin, "mine", rules, 2, COMMENT, &e), -EPERM);
    assert_false(owned_table_is_there(&twin));
    owned_table_remove(&t);
    listed(text, sizeof text);
    assert_string_equal(text, "");
    assert_int_equal(owned_table_make(&twin, "mine", rules, 2, COMMENT, &e), 0);
    owned_table_done(&twin);
    listed(text, sizeof text);
    assert_string_equal(text, "");
    owned_table_done(&t);
}

static void both_families(void **state)
{
    (void)state;
    char text[4096];
    struct err e = { 0 };
    struct owned_table t;
    const struct notrack_rule six = rule("fd00::10", IPPROTO_UDP, true, true);
    assert_int_equal(owned_table_open(&t), 0);
    assert_int_equal(owned_table_make(&t, "six", &six, 1, COMMENT, &e), 0);
    listed(text, sizeof text);
    assert_non_null(strstr(text, "ip6 saddr fd00::10 udp sport 53"));
    assert_int_equal(owned_table_make(&t, "none", NULL, 0, COMMENT, &e), ERR_LIMIT);
    owned_table_done(&t);
}

static void for_reports_of_one_flow(void **state)
{
    (void)state;
    char text[4096];
    struct err e = { 0 };
    struct owned_table t;
    struct tuple f = { .from_port = 4000, .to_port = 80, .protocol = IPPROTO_TCP };
    assert_int_equal(ip_parse("10.244.1.5", &f.from), 0);
    assert_int_equal(ip_parse("10.96.0.20", &f.to), 0);
    assert_int_equal(owned_table_open(&t), 0);
    assert_int_equal(owned_table_trace(&t, "mine", &f, &e), 0);
    listed(text, sizeof text);
    assert_non_null(strstr(text, "flags owner"));
    assert_non_null(strstr(text, "type filter hook prerouting priority raw - 1"));
    assert_non_null(strstr(text, "type filter hook output priority raw - 1"));
    assert_non_null(strstr(text, "ip saddr 10.244.1.5 ip daddr 10.96.0.20 tcp sport 4000 tcp dport "
                                 "80 tcp flags syn / syn,ack meta nftrace set 1"));
    f.protocol = IPPROTO_UDP;
    f.to.family = f.from_port = f.to_port = 0;
    assert_int_equal(ip_parse("fd00::5", &f.from), 0);
    assert_int_equal(owned_table_trace(&t, "mine", &f, &e), 0); /* in its place */
    listed(text, sizeof text);
    assert_null(strstr(text, "table ip mine"));
    assert_non_null(strstr(text, "ip6 saddr fd00::5 meta l4proto udp meta nftrace set 1"));
    owned_table_done(&t);
    listed(text, sizeof text);
    assert_string_equal(text, "");
}

/* The kernel refuses such a batch as a whole: there is no answer for a message of it. */
static void needs_the_right(void **state)
{
    (void)state;
    int status = 1;
    struct err e = { 0 };
    struct owned_table t;
    const struct notrack_rule four = rule("10.96.0.10", IPPROTO_UDP, false, false);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        alarm(5);
        _exit(privilege_keep_only(0) < 0 || owned_table_open(&t) < 0 ||
              owned_table_make(&t, "four", &four, 1, COMMENT, &e) != -EPERM);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    struct err e = { 0 };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_and_goes),
        cmocka_unit_test(both_families),
        cmocka_unit_test(for_reports_of_one_flow),
        cmocka_unit_test(needs_the_right),
    };
    if (netns_enter_own_world(&e) < 0) {
        (void)fprintf(stderr, "skipped: %s\n", e.text);
        return 77;
    }
    int status = 1;
    pid_t pid = fork();
    if (pid == 0)
        return cmocka_run_group_tests(tests, NULL, NULL);
    waitpid(pid, &status, 0);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}
