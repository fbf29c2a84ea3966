/* Rules as `nft -j list ruleset` prints them, and lines of a connection table. */
#include "explain/entries.h"
#include "explain/others.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define CHAIN(hook, prio)                                                                          \
    "{\"chain\":{\"family\":\"inet\",\"table\":\"t\",\"name\":\"c\",\"handle\":1,\"type\":"        \
    "\"filter\","                                                                                  \
    "\"hook\":\"" hook "\",\"prio\":" prio ",\"policy\":\"accept\"}}"
#define RULE(expr)                                                                                 \
    ",{\"rule\":{\"family\":\"inet\",\"table\":\"t\",\"chain\":\"c\",\"handle\":7,\"expr\":[" expr \
    "]}}"
#define MATCH(op, left, right)                                                                     \
    "{\"match\":{\"op\":\"" op "\",\"left\":" left ",\"right\":" right "}}"
#define PAYLOAD(protocol, field)                                                                   \
    "{\"payload\":{\"protocol\":\"" protocol "\",\"field\":\"" field "\"}}"
#define FROM(right) MATCH("==", PAYLOAD("ip", "saddr"), right)
#define QUERY       MATCH("==", PAYLOAD("udp", "dport"), "53")
#define RAW(n)      MATCH("==", "{\"payload\":{\"base\":\"th\",\"offset\":424,\"len\":16}}", n)
#define ONCE                                                                                       \
    MATCH("==", "{\"concat\":[" PAYLOAD("ip", "saddr") "," PAYLOAD("udp", "sport") "]}",           \
          "\"@once\"")
#define DROP   "{\"drop\":null}"
#define ACCEPT "{\"accept\":null}"

static const struct others_case {
    const char *rules;
    int found; /* -1: nothing, else which */
} cases[] = {
    { RULE(DROP), OTHERS_ALL },
    { RULE("{\"counter\":{\"packets\":0,\"bytes\":0}}," DROP), OTHERS_ALL },
    { RULE(QUERY "," DROP), OTHERS_ALL },
    { RULE("{\"reject\":{\"type\":\"icmp\"}}"), OTHERS_ALL },
    { RULE(MATCH("==", PAYLOAD("udp", "dport"), "54") "," DROP), -1 },
    { RULE(MATCH("==", PAYLOAD("tcp", "dport"), "53") "," DROP), -1 },
    { RULE(MATCH("!=", PAYLOAD("udp", "dport"), "53") "," DROP), -1 },
    { RULE(MATCH("==", PAYLOAD("udp", "dport"), "{\"set\":[52,{\"range\":[53,60]}]}") "," DROP),
      OTHERS_ALL },
    { RULE(FROM("\"10.244.1.9\"") "," DROP), OTHERS_ALL },
    { RULE(FROM("\"10.244.1.8\"") "," DROP), -1 },
    { RULE(FROM("{\"prefix\":{\"addr\":\"10.244.0.0\",\"len\":16}}") "," DROP), OTHERS_ALL },
    { RULE(FROM("{\"set\":[\"10.1.1.1\",\"10.244.1.9\"]}") "," DROP), OTHERS_ALL },
    { RULE(MATCH("==", PAYLOAD("ip6", "saddr"), "\"fd00::1\"") "," DROP), -1 },
    { RULE(FROM("\"10.244.1.9\"") "," ACCEPT) RULE(DROP), -1 },
    { RULE(FROM("\"10.244.1.8\"") "," ACCEPT) RULE(DROP), OTHERS_ALL },
    { RULE(MATCH("==", "{\"ct\":{\"key\":\"state\"}}", "\"established\"") "," ACCEPT) RULE(DROP),
      OTHERS_ALL },
    { RULE(MATCH("in", "{\"ct\":{\"key\":\"state\"}}", "[\"new\",\"invalid\"]") "," DROP),
      OTHERS_ALL },
    { RULE(MATCH("==", "{\"meta\":{\"key\":\"l4proto\"}}", "\"udp\"") "," DROP), OTHERS_ALL },
    { RULE(MATCH("==", "{\"meta\":{\"key\":\"nfproto\"}}", "\"ipv6\"") "," DROP), -1 },
    { RULE("{\"limit\":{\"rate\":1,\"per\":\"second\"}}," DROP),
      -1 }, /* some, nobody knows which */
    { RULE(MATCH("==", "{\"meta\":{\"key\":\"iifname\"}}", "\"eth0\"") "," DROP), -1 },
    { RULE(QUERY "," RAW("28") "," DROP), OTHERS_AAAA },
    { RULE(QUERY "," RAW("1") "," DROP), -1 },
    { RULE(QUERY "," ONCE "," DROP), OTHERS_SECOND },
    { RULE(ONCE "," ACCEPT) RULE(QUERY "," DROP), OTHERS_SECOND },
    { RULE("{\"jump\":{\"target\":\"other\"}}")
          RULE(ACCEPT) ",{\"rule\":{\"family\":\"inet\",\"table\":\"t\",\"chain\":\"other\","
                       "\"handle\":9,\"expr\":[" DROP "]}}",
      OTHERS_ALL },
    { RULE("{\"jump\":{\"target\":\"c\"}}"), -1 }, /* in circles: an end is found */
};

static struct others_packet query(void)
{
    struct others_packet p = { .protocol = IPPROTO_UDP, .to_port = 53 };
    assert_int_equal(ip_parse("10.244.1.9", &p.from), 0);
    assert_int_equal(ip_parse("10.96.0.10", &p.to), 0);
    return p;
}

static void read_rules(const char *chain, const char *rules, struct arena *a, struct others *ret)
{
    char text[4096];
    struct err e = { 0 };
    snprintf(text, sizeof text, "{\"nftables\":[%s%s]}", chain, rules);
    if (others_read(text, a, ret, &e) < 0)
        fail_msg("%s: %s", text, e.text);
}

static void drops(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct others o;
        struct arena a;
        struct others_finding f = { .where = "" };
        struct others_packet p = query();
        arena_init(&a, 1024);
        read_rules(CHAIN("prerouting", "-310"), cases[i].rules, &a, &o);
        bool found = others_drop(&o, HOOK_PREROUTING, &p, &a, &f);
        if (found != (cases[i].found >= 0) || (found && (int)f.which != cases[i].found))
            fail_msg("%s: %s, %d", cases[i].rules, found ? f.where : "nothing", (int)f.which);
        if (found)
            assert_non_null(strstr(f.where, "of table inet t (rule "));
        assert_false(others_drop(&o, HOOK_FORWARD, &p, &a, &f));
        arena_done(&a);
    }
}

static void sources_and_tracking(void **state)
{
    (void)state;
    struct others o;
    struct arena a;
    struct others_finding f;
    struct others_packet p = query();
    arena_init(&a, 1024);
    read_rules(CHAIN("prerouting", "-300"), RULE(QUERY ",{\"notrack\":null}"), &a, &o);
    assert_true(others_untrack(&o, &p, &a, &f) && !others_drop(&o, HOOK_PREROUTING, &p, &a, &f));
    p.to_port = 54;
    assert_false(others_untrack(&o, &p, &a, &f));
    p.to = p.from;
    static const char nat[] =
        "{\"chain\":{\"family\":\"ip\",\"table\":\"t\",\"name\":\"c\",\"type\":\"nat\","
        "\"hook\":\"postrouting\",\"prio\":%d}},{\"rule\":{\"family\":\"ip\",\"table\":"
        "\"t\",\"chain\":\"c\",\"handle\":2,\"expr\":[{\"snat\":{\"addr\":\"%s\"}}]}}";
    static const struct {
        int priority;
        const char *to;
        bool kept;
    } sources[] = { { 90, "10.244.1.9", true },
                    { 100, "10.244.1.9", false },
                    { 90, "10.1.1.1", false } };
    for (size_t i = 0; i < 3; i++) {
        char text[1024];
        snprintf(text, sizeof text, nat, sources[i].priority, sources[i].to);
        read_rules(text, "", &a, &o);
        assert_int_equal(others_keep_source(&o, &p, &a, &f), sources[i].kept);
    }
    arena_done(&a);
}

static void what_is_no_ruleset(void **state)
{
    (void)state;
    static const char *const texts[] = { "table ip t {", "{\"nftables\":1}", "[]", "", "{\"a\":" };
    static const char odd[] = "{\"nftables\":[{\"rule\":{\"expr\":3}},{\"chain\":[]},4,"
                              "{\"rule\":{\"expr\":[4,null,{\"match\":[]}]}}]}";
    struct others o;
    struct err e = { 0 };
    struct arena a;
    struct others_finding f;
    struct others_packet p = query();
    arena_init(&a, 1024);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_int_equal(others_read(texts[i], &a, &o, &e), ERR_INVALID);
        assert_non_null(strstr(e.text, "nft -j list ruleset"));
    }
    assert_int_equal(others_read(odd, &a, &o, &e), 0);
    assert_false(others_drop(&o, HOOK_PREROUTING, &p, &a, &f));
    arena_done(&a);
}

struct told {
    unsigned n;
    struct entry last;
};

static void take(void *ctx, const struct entry *e)
{
    struct told *t = ctx;
    t->last = *e;
    t->n++;
}

static void connections(void **state)
{
    (void)state;
    struct told t = { 0 };
    char text[IP_TEXT_MAX];
    entries_read("", take, &t);
    entries_read("rubbish\nudp 17 src=1 dst=\nicmp 1 29 src=10.0.0.1 dst=10.0.0.2 type=8\n", take,
                 &t);
    assert_int_equal(t.n, 0);
    entries_read("udp      17 29 src=10.244.1.9 dst=10.96.0.10 sport=40053 dport=53 [UNREPLIED] "
                 "src=10.244.2.9 "
                 "dst=10.244.1.9 sport=5353 dport=40053 mark=0 use=1\n",
                 take, &t);
    assert_int_equal(t.n, 1);
    assert_string_equal(ip_text(&t.last.chosen, text), "10.244.2.9");
    assert_true(t.last.from_port == 40053 && t.last.to_port == 53 && t.last.chosen_port == 5353);
    entries_read("ipv6     10 tcp      6 86399 ESTABLISHED src=fd00::1 dst=fd00::2 sport=1 dport=2 "
                 "src=fd00::3 "
                 "dst=fd00::1 sport=3 dport=1 [ASSURED] mark=0 zone=0 use=2",
                 take, &t);
    assert_int_equal(t.n, 2);
    assert_int_equal(t.last.protocol, IPPROTO_TCP);
    assert_string_equal(ip_text(&t.last.chosen, text), "fd00::3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drops),
        cmocka_unit_test(sources_and_tracking),
        cmocka_unit_test(what_is_no_ruleset),
        cmocka_unit_test(connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
