#include "explain/journey.h"
#include "explain/outcome.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

/* A request of which nothing was seen yet. */
static struct sightings blank(void)
{
    struct sightings s = { .client = "pod a/b", .typed = "web" };
    s.dns.server = s.dns.failure = s.dns.name = s.dns.empty = "";
    s.tcp.to = s.tcp.chosen = s.tcp.peer = s.tcp.rule = "";
    return s;
}

static void check(const struct sightings *s, enum outcome want, const char *words)
{
    char text[OUTCOME_TEXT_MAX];
    enum outcome o = outcome_of(s);
    assert_string_equal(outcome_word(o), outcome_word(want));
    outcome_text(o, s, text);
    if (!strstr(text, words))
        fail_msg("\"%s\" is not in: %s", words, text);
    assert_null(strchr(text, '\n'));
}

static void names(void **state)
{
    (void)state;
    struct sightings s = blank();
    check(&s, OUTCOME_NAME_UNSENT, "neither a DNS query");
    s.dns.asked = 4;
    s.dns.server = "10.96.0.10:53";
    check(&s, OUTCOME_NAME_UNHEARD, "none of its 4 queries to 10.96.0.10:53");
    s.dns.server_got = 2;
    check(&s, OUTCOME_NAME_SILENT, "2 of its 4 queries");
    s.dns.answered = 4;
    check(&s, OUTCOME_NAME_UNKNOWN, "there is no such name");
    s.dns.empty = "web.a.svc.cluster.local.";
    check(&s, OUTCOME_NAME_EMPTY, "there is web.a.svc.cluster.local., but without an address");
    s.dns.failure = "SERVFAIL";
    check(&s, OUTCOME_NAME_FAILED, "answered SERVFAIL");
    s.dns.name = "web.a.svc.cluster.local.";
    check(&s, OUTCOME_UNTRIED, "no connection attempt");
}

/* Each sighting brings the request further. */
static void attempts(void **state)
{
    (void)state;
    struct sightings s = blank();
    s.literal = true;
    check(&s, OUTCOME_UNTRIED, "no connection attempt left it");
    s.tcp.attempts = 1;
    s.tcp.to = "10.96.0.20:80";
    s.tcp.chosen = "10.244.1.4:8080";
    check(&s, OUTCOME_UNTRANSLATED, "no rule of its node knew 10.96.0.20:80");
    s.tcp.dropped = true;
    s.tcp.rule = "ip t c: drop";
    check(&s, OUTCOME_DROPPED, "dropped by a rule of its node: ip t c: drop");
    s.tcp.dropped = false;
    s.tcp.rejected = true;
    check(&s, OUTCOME_REJECTED, "refused by a rule");
    s.tcp.rejected = false;
    s.tcp.translated = true;
    check(&s, OUTCOME_LOST, "sent on to 10.244.1.4:8080, where it did not arrive");
    s.tcp.arrived = true;
    s.tcp.peer = "pod a/web-1 on n";
    check(&s, OUTCOME_PEER_SILENT, "arrived at pod a/web-1 on n, which did not answer");
    s.tcp.refused_there = true;
    check(&s, OUTCOME_PORT_CLOSED, "arrived as 10.244.1.4:8080 at pod a/web-1 on n, where nothing");
    s.tcp.refused_there = false;
    s.tcp.answered_there = true;
    check(&s, OUTCOME_ANSWER_LOST, "did not come back");
    s.tcp.answer_came = true;
    check(&s, OUTCOME_CONNECTED, "which sent nothing");
    s.reply_bytes = 3;
    check(&s, OUTCOME_ANSWERED, "answered, not in HTTP");
    s.status = 404;
    check(&s, OUTCOME_ANSWERED, "pod a/web-1 on n answered with status 404");
}

static void inside_of_the_pod(void **state)
{
    (void)state;
    struct sightings s = blank();
    s.status = 200;
    check(&s, OUTCOME_ANSWERED, "without a packet leaving it");
}

static void costs(void **state)
{
    (void)state;
    char text[OUTCOME_TEXT_MAX];
    struct sightings s = blank();
    assert_string_equal(outcome_cost(&s, text), "");
    s.dns.asked = 8;
    s.dns.before = 6;
    assert_non_null(strstr(outcome_cost(&s, text), "6 of its 8 queries"));
    assert_null(strstr(text, "attempts"));
    s.tcp.attempts = 3;
    assert_null(strstr(outcome_cost(&s, text), "attempts")); /* in vain: the verdict says it */
    s.tcp.answer_came = true;
    assert_non_null(strstr(outcome_cost(&s, text), "3 connection attempts were needed"));
    s.dns.repeated = 1;
    s.dns.ns = 5000000000;
    assert_non_null(strstr(outcome_cost(&s, text), "sent again, which is where the time went"));
    assert_int_not_equal(text[strlen(text) - 1], ' ');
}

/* Names from outside stay text in both forms. */
static void reports(void **state)
{
    (void)state;
    struct journey j = { 0 };
    struct sightings s = blank();
    struct strbuf json = { 0 }, page = { 0 };
    s.typed = "<b>\"&";
    journey_step(&j, "queries");
    journey_saw(&j, 1500000, "a < b");
    journey_step(&j, "reply");
    journey_missed(&j, "data");
    const struct journey_cause cause = { "no-such-name", "there is no <b>", NULL, false };
    struct journey_report r = { &j, &s, "it \"failed\" & <ended>", &cause, 1 };
    journey_json(&r, &json);
    journey_html(&r, &page);
    assert_non_null(strstr(json.p, "\"to\":\"<b>\\\"&\",\"outcome\":\"name-unsent\""));
    assert_non_null(strstr(json.p, "{\"text\":\"a < b\",\"atMs\":1.500}"));
    assert_non_null(strstr(json.p, "\"step\":\"reply\",\"observed\":false"));
    assert_non_null(strstr(page.p, "it &quot;failed&quot; &amp; &lt;ended&gt;"));
    assert_non_null(strstr(json.p,
                           "\"causes\":[{\"code\":\"no-such-name\",\"text\":\"there is no <b>\","
                           "\"change\":null,\"seen\":false}]"));
    assert_non_null(strstr(page.p, "there is no &lt;b&gt;"));
    assert_non_null(strstr(page.p, "a &lt; b"));
    assert_null(strstr(page.p, "<b>\""));
    strbuf_done(&json);
    strbuf_done(&page);
    journey_done(&j);
}

static void what_cannot_be_seen(void **state)
{
    (void)state;
    struct sightings s = blank();
    s.dns.asked = 2;
    s.dns.server = "10.96.0.10:53";
    s.dns.blind = true;
    check(&s, OUTCOME_NAME_UNANSWERED, "whether one arrived cannot be seen from here");
    s.dns.server_got = 1; /* it was seen all the same */
    check(&s, OUTCOME_NAME_SILENT, "1 of its 2 queries");
    s = blank();
    s.literal = s.tcp.blind = s.tcp.translated = true;
    s.tcp.attempts = 1;
    s.tcp.to = "10.96.0.20:80";
    s.tcp.peer = "pod a/c on node-2";
    check(&s, OUTCOME_UNANSWERED, "was sent on to pod a/c on node-2 and not answered");
    s.tcp.refused_here = true;
    check(&s, OUTCOME_REFUSED_AFAR, "was sent on to pod a/c on node-2 and refused");
    s.tcp.rejected = true;
    check(&s, OUTCOME_REJECTED, "by a rule of its node");
}

static void datagrams(void **state)
{
    (void)state;
    struct sightings s = blank();
    s.literal = s.udp = true;
    check(&s, OUTCOME_UNTRIED, "no datagram left it");
    s.tcp.attempts = 1;
    s.tcp.to = "10.96.0.20:53";
    s.tcp.peer = "pod a/c on node-2";
    s.tcp.arrived = true;
    check(&s, OUTCOME_PEER_SILENT, "its datagram to 10.96.0.20:53 arrived at pod a/c on node-2");
    s.tcp.refused_there = true;
    check(&s, OUTCOME_PORT_CLOSED, "its datagram to 10.96.0.20:53 arrived at pod a/c on node-2");
    s.tcp.answer_came = true;
    s.reply_bytes = 4;
    check(&s, OUTCOME_ANSWERED, "pod a/c on node-2 answered after");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(attempts),
        cmocka_unit_test(inside_of_the_pod),
        cmocka_unit_test(costs),
        cmocka_unit_test(reports),
        cmocka_unit_test(what_cannot_be_seen),
        cmocka_unit_test(datagrams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
