/* Findings in resolv.conf files: each row says which sentences come, and no others. */
#include "client/resolvconf_lint.h"

#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define LONG64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa."
#define GOOD   "nameserver 10.96.0.10\n"

/* want: "LINE! words" of what breaks, "LINE words" of what costs, "|" between them. */
static const struct {
    const char *text, *want;
} rows[] = {
    { GOOD, "" },
    { GOOD "# nameserver x\n; search\n\n  \noptions timeout:2 attempts:3 debug\n", "" },
    { GOOD "search a.test\noptions ndots:5\n", "" }, /* a walk of two names */
    { GOOD "search a.test b.test\noptions ndots:5\n", "3 takes 6 queries instead of 2" },
    { GOOD "search a.test b.test\noptions ndots:1\n", "" },
    { "", "0! no name server" },
    { "nameserver\n", "1! nameserver '' is no IP address|0! no name server" },
    { "nameserver dns.test\n" GOOD, "1! nameserver 'dns.test' is no IP address" },
    { "nameserver fe80::1%eth0\n", "" },
    { "nameserver 127.0.0.53\n", "1! the host itself" },
    { "nameserver ::1\n", "1! the host itself" },
    { GOOD GOOD GOOD GOOD GOOD, "4 the fourth name server" },
    { " nameserver 1.1.1.1\n" GOOD, "1! begins with a blank" },
    { GOOD "domain a.test\nsearch b.test\n", "3! line 2 has no effect" },
    { GOOD "search .\n", "2 search element '.'" },
    { GOOD "search a b c d e f g\n", "2 7 search elements" },
    { GOOD "search " LONG64 LONG64 LONG64 LONG64 "test\n",
      "2! longer than 253|2! musl (Alpine) passes over this line of 267 bytes" },
    { GOOD "options rotate use-vc\n", "2 option rotate has no effect|2 option use-vc" },
    { GOOD "options ndots\n", "2! option ndots takes a number" },
    { GOOD "options timeout:x\n", "2! option timeout takes a number, 'x'" },
    { GOOD "options attempts:0\n", "2! ask nobody" },
    { GOOD "options ndots:16\n", "2 option ndots:16 counts as 15" },
    { GOOD "options timeout:31 attempts:6\n", "2 counts as 30|2 counts as 5" },
    { GOOD "options edns0 single-request single-request-reopen no-tld-query\n",
      "2 option edns0 has no effect|2 option single-request has|2 option single-request-reopen|"
      "2 option no-tld-query" },
    { GOOD "options no-reload trust-ad no-aaaa strict-error inet6\n",
      "2 option no-reload|2 option trust-ad|2 option no-aaaa|2 option strict-error|2 option "
      "inet6" },
    { GOOD "options dots:5\n", "2 'dots:5' is known to no resolver" },
    { GOOD "namserver 1.1.1.1\n", "2 'namserver' is known to no resolver" },
    { GOOD "nameserver 1.1.1.1\nsearch app.svc.cluster.local svc.cluster.local\n",
      "0! musl (Alpine) asks all of them at once|0 so that NAME.NAMESPACE is not found there" },
    { GOOD "search app.svc.cluster.local svc.cluster.local\noptions ndots:2\n",
      "3 takes 6 queries instead of 2|3 so that NAME.NAMESPACE.svc is not found there" },
    { GOOD "search app.svc.cluster.local svc.cluster.local\noptions ndots:0\n",
      "3 so that NAME is not found there" },
    { GOOD "search app.svc.cluster.local svc.cluster.local\noptions ndots:3\n",
      "3 takes 6 queries instead of 2" },
    { GOOD "nameserver 1.1.1.1\nsearch corp.test\n", "" },
    { "nameserver 10.96.0.10", "" }, /* without a line's end */
};

struct told {
    const char *want;
    const char *row;
};

static void compare(void *ctx, const struct resolvconf_finding *f)
{
    struct told *t = ctx;
    char place[24], words[128];
    size_t len = strcspn(t->want, "|");
    (void)snprintf(words, sizeof words, "%.*s", (int)len, t->want);
    (void)snprintf(place, sizeof place, "%d%s ", f->line, f->breaks ? "!" : "");
    if (!str_starts(words, place) || !strstr(f->text, words + strlen(place)))
        fail_msg("%s: '%s%s' and not '%s'", t->row, place, f->text, words);
    if (!strchr(f->text, ';'))
        fail_msg("'%s' does not say how to mend it", f->text);
    t->want += len + (t->want[len] == '|');
}

static void test_findings(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct arena a;
        struct told t = { rows[i].want, rows[i].text };
        arena_init(&a, 1024);
        resolvconf_lint(rows[i].text, &a, compare, &t);
        if (*t.want)
            fail_msg("%s: nothing was told of '%s'", rows[i].text, t.want);
        arena_done(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_findings) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
