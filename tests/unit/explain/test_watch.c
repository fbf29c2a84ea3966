/* Flows told from packets, without a kernel: what becomes of each, and that nothing grows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "explain/watch_line.h"
#include "wire/msg.h"

#include <netinet/in.h>
#include <stdio.h>

#define SECOND 1000000000LL

struct seen {
    struct strbuf text; /* a line each */
    int n;
    struct watch *watch;
    int64_t now;
};

static struct ip ip(const char *text)
{
    struct ip made;
    assert_int_equal(ip_parse(text, &made), 0);
    return made;
}

static bool translate(void *ctx, const struct tuple *asked, struct tuple *ret_reply)
{
    (void)ctx;
    struct ip virtual = ip("10.96.0.20"), pod = ip("10.244.1.4");
    if (!ip_equal(&asked->to, &virtual))
        return false;
    *ret_reply = (struct tuple){ pod, asked->from, 8080, asked->from_port, asked->protocol };
    return true;
}

static void note(void *ctx, const struct watch_line *l)
{
    struct seen *s = ctx;
    char at[IP_PORT_TEXT_MAX] = "-";
    if (l->reply.from.family)
        ip_port_text(&l->reply.from, l->reply.from_port, at);
    strbuf_printf(&s->text, "%d%s %s %s %s %d/%u x%u %lld\n", (int)l->kind, l->incoming ? "in" : "",
                  l->name ? l->name : "-", at, watch_result_text(l->result), l->rcode, l->n_records,
                  l->attempts, (long long)l->took_ns);
    s->n++;
}

static void begin(struct seen *s)
{
    const struct watch_to to = { note, translate, s, 5 * SECOND };
    *s = (struct seen){ .now = 1000 * SECOND };
    s->watch = watch_new(&to);
}

static void end(struct seen *s, const char *want)
{
    assert_string_equal(s->text.p ? s->text.p : "", want);
    strbuf_done(&s->text);
    watch_free(s->watch);
}

static struct packet packet(struct seen *s, uint8_t protocol, const char *from, uint16_t from_port,
                            const char *to, uint16_t to_port)
{
    s->now += 1000;
    struct packet p = { .time_ns = s->now,
                        .protocol = protocol,
                        .from = ip(from),
                        .to = ip(to),
                        .from_port = from_port,
                        .to_port = to_port };
    p.outgoing = strcmp(from, "10.244.1.5") == 0;
    return p;
}

static void tcp(struct seen *s, const char *from, uint16_t from_port, const char *to,
                uint16_t to_port, uint8_t flags)
{
    struct packet p = packet(s, IPPROTO_TCP, from, from_port, to, to_port);
    p.tcp_flags = flags;
    watch_packet(s->watch, &p);
}

static void udp(struct seen *s, const char *from, uint16_t from_port, const char *to,
                uint16_t to_port, const void *bytes, size_t len)
{
    struct packet p = packet(s, IPPROTO_UDP, from, from_port, to, to_port);
    p.payload = bytes;
    p.payload_len = len;
    watch_packet(s->watch, &p);
}

static const uint8_t bar[] = "\003bar";

static void ask(struct seen *s, uint16_t port, uint16_t id, uint16_t type)
{
    uint8_t bytes[NAME_MAX_WIRE + 32];
    size_t len = msg_encode_query(bytes, id, bar, type, 0);
    udp(s, "10.244.1.5", port, "10.96.0.20", 53, bytes, len);
}

/* With the address 10.96.0.20, or none. */
static void answer(struct seen *s, uint16_t port, uint16_t id, uint16_t type, uint8_t rcode)
{
    static const uint8_t record[] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 96, 0, 20 };
    uint8_t bytes[NAME_MAX_WIRE + 64];
    size_t len = msg_encode_query(bytes, id, bar, type, 0);
    bool has = type == RR_A && rcode == RCODE_NOERROR;
    bytes[2] |= 0x80;
    bytes[3] = rcode;
    bytes[7] = has;
    memcpy(bytes + len, record, sizeof record);
    udp(s, "10.96.0.20", 53, "10.244.1.5", port, bytes, len + (has ? sizeof record : 0));
}

static void a_name_and_its_connection(void **state)
{
    (void)state;
    struct seen s;
    begin(&s);
    ask(&s, 4000, 1, RR_A);
    ask(&s, 4000, 2, RR_AAAA);
    answer(&s, 4000, 2, RR_AAAA, RCODE_NOERROR);
    answer(&s, 4000, 1, RR_A, RCODE_NOERROR);
    answer(&s, 4000, 1, RR_A, RCODE_NOERROR); /* once more: nobody waits for it */
    tcp(&s, "10.244.1.5", 5000, "10.96.0.20", 80, TCP_SYN);
    tcp(&s, "10.96.0.20", 80, "10.244.1.5", 5000, TCP_SYN | TCP_ACK);
    tcp(&s, "10.96.0.20", 80, "10.244.1.5", 5000, TCP_FIN | TCP_ACK);
    tcp(&s, "10.96.0.20", 80, "10.244.1.5", 5000, TCP_RST); /* after the end it says nothing */
    end(&s, "0 bar. 10.244.1.4:8080 ok 0/0 x1 1000\n"
            "0 bar. 10.244.1.4:8080 ok 0/1 x1 3000\n"
            "1 bar. 10.244.1.4:8080 ok 0/0 x1 1000\n");
}

static void names_are_of_a_moment(void **state)
{
    (void)state;
    struct seen s;
    begin(&s);
    ask(&s, 4000, 1, RR_A);
    answer(&s, 4000, 1, RR_A, RCODE_NOERROR);
    s.now += WATCH_NAME_NS;
    tcp(&s, "10.244.1.5", 5000, "10.96.0.20", 80, TCP_SYN);
    tcp(&s, "10.96.0.20", 80, "10.244.1.5", 5000, TCP_SYN | TCP_ACK);
    end(&s, "0 bar. 10.244.1.4:8080 ok 0/1 x1 1000\n1 - 10.244.1.4:8080 ok 0/0 x1 1000\n");
}

static void queries_in_vain(void **state)
{
    (void)state;
    struct seen s;
    begin(&s);
    ask(&s, 4000, 1, RR_A);
    answer(&s, 4000, 1, RR_A, RCODE_NXDOMAIN);
    ask(&s, 4001, 2, RR_A);
    answer(&s, 4001, 3, RR_A, RCODE_NOERROR);    /* another number */
    answer(&s, 4002, 2, RR_A, RCODE_NOERROR);    /* another port */
    answer(&s, 4001, 2, RR_AAAA, RCODE_NOERROR); /* another question */
    ask(&s, 4001, 2, RR_A);
    watch_time(s.watch, s.now + 4 * SECOND);
    assert_int_equal(s.n, 1);
    watch_time(s.watch, s.now + 5 * SECOND);
    s.now += 6 * SECOND;
    ask(&s, 4001, 2, RR_A);
    answer(&s, 4001, 2, RR_A, RCODE_SERVFAIL); /* late */
    end(&s, "0 bar. 10.244.1.4:8080 ok 3/0 x1 1000\n"
            "0 bar. 10.244.1.4:8080 no answer 0/0 x2 -1\n"
            "0 bar. 10.244.1.4:8080 ok 2/0 x3 6000006000\n");
}

static void connections_that_fail(void **state)
{
    (void)state;
    struct seen s;
    begin(&s);
    tcp(&s, "10.244.1.5", 5000, "10.96.0.21", 80, TCP_SYN);
    tcp(&s, "10.96.0.21", 80, "10.244.1.5", 5000, TCP_RST | TCP_ACK);
    tcp(&s, "10.244.1.5", 5001, "10.96.0.20", 80, TCP_SYN);
    tcp(&s, "10.244.1.5", 5001, "10.96.0.20", 80, TCP_SYN);
    watch_time(s.watch, s.now + 5 * SECOND);
    tcp(&s, "10.244.1.5", 5001, "10.96.0.20", 80, TCP_SYN); /* told already */
    tcp(&s, "10.244.1.5", 5002, "10.96.0.20", 80, TCP_SYN);
    tcp(&s, "10.96.0.20", 80, "10.244.1.5", 5002, TCP_SYN | TCP_ACK);
    tcp(&s, "10.96.0.20", 80, "10.244.1.5", 5002, TCP_RST);
    tcp(&s, "10.244.1.5", 5003, "10.96.0.20", 80, TCP_SYN);
    tcp(&s, "10.96.0.20", 80, "10.244.1.5", 5003, TCP_SYN | TCP_ACK);
    tcp(&s, "10.244.1.5", 5003, "10.96.0.20", 80, TCP_RST);
    end(&s, "1 - - refused 0/0 x1 1000\n"
            "1 - 10.244.1.4:8080 no answer 0/0 x2 -1\n"
            "1 - 10.244.1.4:8080 ok 0/0 x1 1000\n"
            "1 - 10.244.1.4:8080 reset 0/0 x1 2000\n"
            "1 - 10.244.1.4:8080 ok 0/0 x1 1000\n"
            "1 - 10.244.1.4:8080 aborted 0/0 x1 2000\n");
}

static void ports_that_are_used_again(void **state)
{
    (void)state;
    struct seen s;
    begin(&s);
    for (int i = 0; i < 2; i++) {
        tcp(&s, "10.244.1.5", 5000, "10.96.0.20", 80, TCP_SYN);
        tcp(&s, "10.96.0.20", 80, "10.244.1.5", 5000, TCP_RST | TCP_ACK);
    }
    assert_int_equal(watch_flows(s.watch), 1);
    end(&s, "1 - 10.244.1.4:8080 refused 0/0 x1 1000\n1 - 10.244.1.4:8080 refused 0/0 x1 1000\n");
}

static void somebody_else_asks(void **state)
{
    (void)state;
    struct seen s;
    begin(&s);
    tcp(&s, "10.244.1.9", 5000, "10.244.1.5", 80, TCP_SYN);
    tcp(&s, "10.244.1.5", 80, "10.244.1.9", 5000, TCP_SYN | TCP_ACK);
    end(&s, "1in - - ok 0/0 x1 1000\n");
}

static void datagrams(void **state)
{
    (void)state;
    struct seen s;
    begin(&s);
    for (int i = 0; i < 3; i++) {
        udp(&s, "10.244.1.5", 6000, "10.96.0.20", 99, "hello", 5);
        udp(&s, "10.96.0.20", 99, "10.244.1.5", 6000, "hello", 5);
    }
    udp(&s, "10.244.1.5", 6001, "10.96.0.20", 53, "no DNS", 6);
    watch_time(s.watch, s.now + 5 * SECOND);
    end(&s, "2 - 10.244.1.4:8080 ok 0/0 x1 1000\n2 - 10.244.1.4:8080 no answer 0/0 x1 -1\n");
}

/* An ICMP error about a packet from 10.244.1.5:port to 10.96.0.20:to_port. */
static void error(struct seen *s, uint8_t protocol, uint16_t port, uint16_t to_port, uint8_t code)
{
    uint8_t about[28] = { 0x45, 0, 0,  60,  0, 0, 0,  0,  64, protocol,
                          0,    0, 10, 244, 1, 5, 10, 96, 0,  20 };
    about[20] = (uint8_t)(port >> 8);
    about[21] = (uint8_t)port;
    about[22] = (uint8_t)(to_port >> 8);
    about[23] = (uint8_t)to_port;
    struct packet p = packet(s, IPPROTO_ICMP, "10.244.1.1", 0, "10.244.1.5", 0);
    p.icmp_type = 3;
    p.icmp_code = code;
    p.payload = about;
    p.payload_len = sizeof about;
    watch_packet(s->watch, &p);
}

static void errors(void **state)
{
    (void)state;
    struct seen s;
    begin(&s);
    tcp(&s, "10.244.1.5", 5000, "10.96.0.20", 80, TCP_SYN);
    error(&s, IPPROTO_TCP, 5000, 80, 4); /* a smaller packet, please */
    error(&s, IPPROTO_TCP, 5000, 80, 3);
    udp(&s, "10.244.1.5", 6000, "10.96.0.20", 99, "hello", 5);
    error(&s, IPPROTO_UDP, 6000, 99, 13);
    ask(&s, 4000, 1, RR_A);
    ask(&s, 4000, 2, RR_AAAA);
    ask(&s, 4001, 3, RR_A);
    error(&s, IPPROTO_UDP, 4000, 53, 3);
    end(&s, "1 - 10.244.1.4:8080 refused 0/0 x1 2000\n"
            "2 - 10.244.1.4:8080 unreachable 0/0 x1 1000\n"
            "0 bar. 10.244.1.4:8080 refused 0/0 x1 3000\n"
            "0 bar. 10.244.1.4:8080 refused 0/0 x1 2000\n");
}

static void tables_are_bounded(void **state)
{
    (void)state;
    struct seen s;
    begin(&s);
    for (unsigned i = 0; i < WATCH_FLOWS_MAX + 100; i++)
        tcp(&s, "10.244.1.5", (uint16_t)(1024 + i), "10.96.0.20", 80, TCP_SYN);
    assert_int_equal(watch_flows(s.watch), WATCH_FLOWS_MAX);
    assert_int_equal(watch_lost(s.watch), 100);
    watch_time(s.watch, s.now + 5 * SECOND);
    assert_int_equal(s.n, WATCH_FLOWS_MAX);
    watch_time(s.watch, s.now + 5 * SECOND + WATCH_KEEP_NS + 1);
    assert_int_equal(watch_flows(s.watch), 0);
    strbuf_done(&s.text);
    watch_free(s.watch);
}

static void names_are_bounded(void **state)
{
    (void)state;
    struct seen s;
    begin(&s);
    for (unsigned i = 0; i < WATCH_NAMES_MAX + 3; i++) {
        ask(&s, 4000, (uint16_t)i, RR_A);
        answer(&s, 4000, (uint16_t)i, RR_A, RCODE_NOERROR);
    }
    assert_int_equal(watch_lost(s.watch), 3);
    assert_int_equal(watch_flows(s.watch), 0);
    strbuf_done(&s.text);
    watch_free(s.watch);
}

static void strangers_cannot_steer_the_terminal(void **state)
{
    (void)state;
    char text[2048];
    struct addressbook book;
    struct watch_columns columns = { 0 };
    struct watch_line l = {
        .kind = WATCH_DNS, .name = "a\033[2Jb.", .type = RR_TXT, .answer = "TXT \n"
    };
    FILE *out = fmemopen(text, sizeof text, "w");
    assert_non_null(out);
    l.asked = (struct tuple){ ip("10.244.1.5"), ip("10.96.0.10"), 4000, 53, IPPROTO_UDP };
    addressbook_init(&book);
    watch_line_print(&l, &book, &columns, out);
    (void)fclose(out);
    addressbook_done(&book);
    assert_null(strchr(text, '\033'));
    assert_ptr_equal(strchr(text, '\n') + 1, text + strlen(text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_and_its_connection),
        cmocka_unit_test(names_are_of_a_moment),
        cmocka_unit_test(queries_in_vain),
        cmocka_unit_test(connections_that_fail),
        cmocka_unit_test(ports_that_are_used_again),
        cmocka_unit_test(somebody_else_asks),
        cmocka_unit_test(datagrams),
        cmocka_unit_test(errors),
        cmocka_unit_test(tables_are_bounded),
        cmocka_unit_test(names_are_bounded),
        cmocka_unit_test(strangers_cannot_steer_the_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
