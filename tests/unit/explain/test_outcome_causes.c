#include "explain/outcome_causes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

/* A look-up of two queries that went well, and an answer. */
static struct sightings well(void)
{
    struct sightings s = { .client = "pod a/b", .typed = "web:80", .reply_bytes = 100 };
    s.dns.asked = s.dns.answered = 2;
    s.dns.a_answered = s.dns.aaaa = s.dns.aaaa_answered = 1;
    s.dns.server = "10.96.0.10:53";
    s.dns.name = "web.a.svc.cluster.local.";
    s.dns.failure = s.dns.empty = s.dns.entry = "";
    s.tcp.to = s.tcp.chosen = "10.96.0.20:80";
    s.tcp.peer = s.tcp.rule = "";
    s.tcp.attempts = 1;
    s.tcp.answer_came = true;
    return s;
}

static struct sightings failed(void)
{
    struct sightings s = well();
    s.reply_bytes = 0;
    s.tcp.answer_came = false;
    return s;
}

/* codes: those expected, a blank between two; "": none. */
static void check(const struct sightings *s, const char *codes, const char *words)
{
    struct journey_cause causes[OUTCOME_CAUSES_MAX];
    char got[200] = "";
    struct arena a;
    arena_init(&a, 4096);
    size_t n = outcome_causes(s, &a, causes);
    for (size_t i = 0; i < n; i++) {
        assert_true(causes[i].seen && causes[i].change);
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s", i ? " " : "", causes[i].code);
    }
    assert_string_equal(got, codes);
    if (n && !strstr(causes[0].text, words))
        fail_msg("\"%s\" is not in: %s", words, causes[0].text);
    arena_done(&a);
}

static void nothing_of_what_went_well(void **state)
{
    (void)state;
    struct sightings s = well();
    check(&s, "", "");
    s.dns.before = 2; /* of the search list, which was needed */
    s.dns.search_bytes = 300;
    s.dns.insert_failed = 3; /* somebody else's: no query was sent again */
    check(&s, "", "");
    s.dns.repeated = 1; /* lost, who knows where */
    s.dns.insert_failed = 0;
    check(&s, "", "");
}

static void lost_queries(void **state)
{
    (void)state;
    struct sightings s = well();
    s.dns.asked = 4;
    s.dns.repeated = 1;
    s.dns.seconds_lost = 1;
    check(&s, "five-seconds", "the second was lost (1 time)");
    s.dns.seconds_lost = 0;
    s.dns.insert_failed = 1; /* T103 */
    check(&s, "five-seconds", "did not take 1 entries");
    s.dns.seconds_lost = 3;
    s.dns.aaaa = 3;
    s.dns.aaaa_answered = 0;
    check(&s, "lost-aaaa", "of 3 queries for AAAA none was answered");
}

static void names(void **state)
{
    (void)state;
    struct sightings s = well();
    s.typed = "www.Example.com";
    s.dns.name = "www.example.com.";
    s.dns.before = 6;
    s.dns.asked = 8;
    check(&s, "ndots", "6 of 8 queries");
    s = failed();
    s.typed = "api.partner";
    s.dns.name = "api.partner.corp.test.";
    check(&s, "search-wildcard", "api.partner.corp.test.");
    s.tcp.to_is_somebody = true;
    check(&s, "", "");
    s = failed();
    s.tcp.attempts = 0;
    s.dns.name = "";
    s.dns.as_typed_only = true;
    s.dns.search_bytes = 255;
    check(&s, "search-line", "255 bytes");
    s.dns.search_bytes = 254;
    check(&s, "", "");
}

static void ways(void **state)
{
    (void)state;
    struct sightings s = failed();
    s.tcp.arrived = s.tcp.to_itself = true;
    check(&s, "hairpin", "its own address");
    s.tcp.to_itself = false;
    check(&s, "", "");
    s = failed(); /* T102 */
    s.tcp.attempts = s.dns.answered = 0;
    s.dns.name = "";
    check(&s, "", "");
    s.dns.entry = "10.244.2.9:53";
    s.dns.port = 40053;
    check(&s, "stale-udp", "from port 40053 to 10.96.0.10:53 on to 10.244.2.9:53");
}

static void caches_of_the_node(void **state)
{
    (void)state;
    struct sightings s = failed(); /* T105 */
    s.node = "node-1";
    s.tcp.attempts = s.dns.answered = 0;
    s.dns.name = "";
    s.dns.local = true;
    check(&s, "node-cache-dead", "refused by the node's cache: 10.96.0.10:53");
    s.dns.bound = true; /* somebody is there, and silent */
    check(&s, "", "");
    s = well(); /* T100 */
    s.dns.local = s.dns.bound = true;
    check(&s, "", "");
    s.dns.tracked = true; /* T106 */
    s.dns.chosen = "pod kube-dns-1, 10.244.1.3:53";
    check(&s, "node-cache-bypassed", "sent on to pod kube-dns-1, 10.244.1.3:53");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_of_what_went_well),
        cmocka_unit_test(lost_queries),
        cmocka_unit_test(names),
        cmocka_unit_test(ways),
        cmocka_unit_test(caches_of_the_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
