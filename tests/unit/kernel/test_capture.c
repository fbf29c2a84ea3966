/* Packets from their bytes, also from those of strangers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/capture.h"

static size_t ipv4(uint8_t *p, uint8_t protocol, const void *payload, size_t len)
{
    uint8_t header[20] = {
        0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2
    };
    header[2] = (uint8_t)((20 + len) >> 8);
    header[3] = (uint8_t)(20 + len);
    memcpy(p, header, 20);
    memcpy(p + 20, payload, len);
    return 20 + len;
}

static const uint8_t udp[] = { 0x30, 0x39, 0, 53, 0, 12, 0, 0, 'd', 'n', 's', '!' };
static const uint8_t tcp[] = { 0x30, 0x39, 0, 80, 0, 0, 0, 1, 0, 0,    0,   2,   0x60, TCP_SYN,
                               0,    0,    0, 0,  0, 0, 2, 4, 5, 0xb4, 'G', 'E', 'T' };

static void check_ip(const struct ip *ip, const char *want)
{
    char text[IP_TEXT_MAX];
    assert_string_equal(ip_text(ip, text), want);
}

static void udp_over_ipv4(void **state)
{
    (void)state;
    uint8_t bytes[128];
    struct packet p;
    size_t len = ipv4(bytes, IPPROTO_UDP, udp, sizeof udp);
    memset(bytes + len, 0xee, 10); /* padding of a short frame is not payload */
    assert_true(packet_parse(bytes, len + 10, &p));
    check_ip(&p.from, "10.0.0.1");
    check_ip(&p.to, "10.0.0.2");
    assert_int_equal(p.from_port, 12345);
    assert_int_equal(p.to_port, 53);
    assert_int_equal(p.payload_len, 4);
    assert_memory_equal(p.payload, "dns!", 4);
}

static void tcp_with_options(void **state)
{
    (void)state;
    uint8_t bytes[128];
    struct packet p;
    assert_true(packet_parse(bytes, ipv4(bytes, IPPROTO_TCP, tcp, sizeof tcp), &p));
    assert_int_equal(p.to_port, 80);
    assert_int_equal(p.tcp_flags, TCP_SYN);
    assert_int_equal(p.payload_len, 3);
    assert_memory_equal(p.payload, "GET", 3);
}

static void cut_short(void **state)
{
    (void)state;
    uint8_t bytes[128];
    struct packet p;
    size_t whole = ipv4(bytes, IPPROTO_TCP, tcp, sizeof tcp);
    for (size_t len = 0; len < 20; len++)
        assert_false(packet_parse(bytes, len, &p));
    assert_true(packet_parse(bytes, 24, &p)); /* as rule reports may be: ports and no more */
    assert_int_equal(p.from_port, 12345);
    assert_int_equal(p.to_port, 80);
    assert_null(p.payload);
    assert_true(packet_parse(bytes, whole - 1, &p));
    assert_int_equal(p.payload_len, 2);
}

static void later_fragments(void **state)
{
    (void)state;
    uint8_t bytes[128];
    struct packet p;
    size_t len = ipv4(bytes, IPPROTO_UDP, udp, sizeof udp);
    bytes[6] = 0x20; /* more fragments: the first one has the ports */
    assert_true(packet_parse(bytes, len, &p));
    bytes[7] = 1;
    assert_false(packet_parse(bytes, len, &p));
}

static size_t ipv6(uint8_t *p, uint8_t next, const void *payload, size_t len)
{
    memset(p, 0, 40);
    p[0] = 0x60;
    p[5] = (uint8_t)len;
    p[6] = next;
    p[8] = p[24] = 0xfd;
    p[23] = 1;
    p[39] = 2;
    memcpy(p + 40, payload, len);
    return 40 + len;
}

static void udp_over_ipv6(void **state)
{
    (void)state;
    uint8_t bytes[128], extended[8 + sizeof udp] = { IPPROTO_UDP };
    struct packet p;
    assert_true(packet_parse(bytes, ipv6(bytes, IPPROTO_UDP, udp, sizeof udp), &p));
    check_ip(&p.from, "fd00::1");
    check_ip(&p.to, "fd00::2");
    assert_int_equal(p.to_port, 53);
    memcpy(extended + 8, udp, sizeof udp);
    assert_true(packet_parse(bytes, ipv6(bytes, IPPROTO_HOPOPTS, extended, sizeof extended), &p));
    assert_int_equal(p.protocol, IPPROTO_UDP);
    assert_int_equal(p.payload_len, 4);
    assert_false(packet_parse(bytes, ipv6(bytes, IPPROTO_FRAGMENT, extended, sizeof extended), &p));
}

static void icmp_errors(void **state)
{
    (void)state;
    uint8_t bytes[256], error[8 + 128] = { 3, 3 };
    struct packet p, about;
    size_t len = ipv4(error + 8, IPPROTO_UDP, udp, 8); /* no more of it than its ports */
    error[8 + 3] = 99;
    assert_true(packet_parse(bytes, ipv4(bytes, IPPROTO_ICMP, error, 8 + len), &p));
    assert_true(packet_icmp_error(&p, &about));
    assert_true(packet_is_port_unreachable(&p));
    assert_int_equal(about.to_port, 53);
    check_ip(&about.to, "10.0.0.2");
    assert_true(packet_parse(bytes, ipv4(bytes, IPPROTO_ICMP, error, 8 + 10), &p));
    assert_false(packet_icmp_error(&p, &about)); /* cut within the header */
    error[1] = 1;                                /* host unreachable */
    assert_true(packet_parse(bytes, ipv4(bytes, IPPROTO_ICMP, error, 8 + len), &p));
    assert_true(packet_icmp_error(&p, &about));
    assert_false(packet_is_port_unreachable(&p));
    error[0] = 8; /* echo request */
    assert_true(packet_parse(bytes, ipv4(bytes, IPPROTO_ICMP, error, 8 + len), &p));
    assert_false(packet_icmp_error(&p, &about));
    error[0] = 1;
    error[1] = 4;
    len = ipv6(error + 8, IPPROTO_TCP, tcp, sizeof tcp);
    assert_true(packet_parse(bytes, ipv6(bytes, IPPROTO_ICMPV6, error, 8 + len), &p));
    assert_true(packet_icmp_error(&p, &about));
    assert_int_equal(about.to_port, 80);
    error[0] = 128;
    assert_true(packet_parse(bytes, ipv6(bytes, IPPROTO_ICMPV6, error, 8 + len), &p));
    assert_false(packet_icmp_error(&p, &about));
}

static void headers_without_end(void **state)
{
    (void)state;
    uint8_t bytes[256], chain[128] = { 0 }; /* each header says: one more of my kind */
    struct packet p;
    assert_false(packet_parse(bytes, ipv6(bytes, IPPROTO_HOPOPTS, chain, sizeof chain), &p));
}

static void nonsense(void **state)
{
    (void)state;
    uint8_t bytes[64];
    struct packet p;
    for (unsigned first = 0; first < 256; first++) {
        memset(bytes, (int)first, sizeof bytes);
        for (size_t len = 0; len <= sizeof bytes; len++)
            packet_parse(bytes, len, &p);
    }
    memset(bytes, 0, sizeof bytes);
    bytes[0] = 0x44; /* a header of 16 bytes */
    bytes[3] = 64;
    assert_false(packet_parse(bytes, sizeof bytes, &p));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(udp_over_ipv4), cmocka_unit_test(tcp_with_options),
        cmocka_unit_test(cut_short),     cmocka_unit_test(later_fragments),
        cmocka_unit_test(udp_over_ipv6), cmocka_unit_test(headers_without_end),
        cmocka_unit_test(icmp_errors),   cmocka_unit_test(nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
