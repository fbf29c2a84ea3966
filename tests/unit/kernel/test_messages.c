/* Messages of the connection table and of rule reports, from their attributes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/conntrack.h"
#include "kernel/nftrace.h"

#include <arpa/inet.h>
#include <endian.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

static uint8_t buf[4096];

static struct nlmsghdr *message(int subsystem, int type, uint16_t flags)
{
    memset(buf, 0, sizeof buf);
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    h->nlmsg_type = (uint16_t)(subsystem << 8 | type);
    h->nlmsg_flags = flags;
    struct nfgenmsg *m = mnl_nlmsg_put_extra_header(h, sizeof *m);
    m->nfgen_family = NFPROTO_IPV4;
    return h;
}

static void put_tuple(struct nlmsghdr *h, uint16_t type, const char *from, uint16_t from_port,
                      const char *to, uint16_t to_port)
{
    struct nlattr *tuple = mnl_attr_nest_start(h, type);
    struct nlattr *ip = mnl_attr_nest_start(h, CTA_TUPLE_IP);
    mnl_attr_put_u32(h, CTA_IP_V4_SRC, inet_addr(from));
    mnl_attr_put_u32(h, CTA_IP_V4_DST, inet_addr(to));
    mnl_attr_nest_end(h, ip);
    struct nlattr *proto = mnl_attr_nest_start(h, CTA_TUPLE_PROTO);
    mnl_attr_put_u8(h, CTA_PROTO_NUM, IPPROTO_TCP);
    mnl_attr_put_u16(h, CTA_PROTO_SRC_PORT, htons(from_port));
    mnl_attr_put_u16(h, CTA_PROTO_DST_PORT, htons(to_port));
    mnl_attr_nest_end(h, proto);
    mnl_attr_nest_end(h, tuple);
}

static struct nlmsghdr *new_flow(uint16_t flags)
{
    struct nlmsghdr *h = message(NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_NEW, flags);
    put_tuple(h, CTA_TUPLE_ORIG, "10.244.1.5", 41234, "10.96.0.20", 80);
    put_tuple(h, CTA_TUPLE_REPLY, "10.244.2.6", 8080, "10.244.1.5", 41234);
    mnl_attr_put_u32(h, CTA_STATUS, htonl(0x18a));
    mnl_attr_put_u32(h, CTA_ID, htonl(77));
    struct nlattr *info = mnl_attr_nest_start(h, CTA_PROTOINFO);
    struct nlattr *tcp = mnl_attr_nest_start(h, CTA_PROTOINFO_TCP);
    mnl_attr_put_u8(h, CTA_PROTOINFO_TCP_STATE, TCP_CONNTRACK_ESTABLISHED);
    mnl_attr_nest_end(h, tcp);
    mnl_attr_nest_end(h, info);
    return h;
}

static void check_ip(const struct ip *ip, const char *want)
{
    char text[IP_TEXT_MAX];
    assert_string_equal(ip_text(ip, text), want);
}

static void flow_with_both_tuples(void **state)
{
    (void)state;
    struct flow f;
    assert_true(flow_parse(new_flow(NLM_F_CREATE | NLM_F_EXCL), &f));
    assert_int_equal(f.event, FLOW_NEW);
    check_ip(&f.original.from, "10.244.1.5");
    check_ip(&f.original.to, "10.96.0.20");
    check_ip(&f.reply.from, "10.244.2.6");
    assert_int_equal(f.original.to_port, 80);
    assert_int_equal(f.reply.from_port, 8080);
    assert_int_equal(f.original.protocol, IPPROTO_TCP);
    assert_int_equal(f.status, 0x18a);
    assert_int_equal(f.id, 77);
    assert_string_equal(flow_tcp_state(f.tcp_state), "ESTABLISHED");
    assert_true(flow_parse(new_flow(0), &f));
    assert_int_equal(f.event, FLOW_UPDATE);
}

static void what_is_no_flow(void **state)
{
    (void)state;
    struct flow f;
    assert_false(flow_parse(message(NFNL_SUBSYS_NFTABLES, IPCTNL_MSG_CT_NEW, 0), &f));
    assert_false(flow_parse(message(NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET_STATS, 0), &f));
    struct nlmsghdr *h = message(NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_NEW, 0);
    put_tuple(h, CTA_TUPLE_ORIG, "10.0.0.1", 1, "10.0.0.2", 2);
    assert_false(flow_parse(h, &f)); /* half of one */
    h->nlmsg_len = NLMSG_HDRLEN;
    assert_false(flow_parse(h, &f));
    assert_string_equal(flow_tcp_state(200), "");
}

static void rule_report(void **state)
{
    (void)state;
    static const uint8_t ip[] = { 0x45, 0, 0,  60,  0, 0, 0,  0,  64, IPPROTO_TCP,
                                  0,    0, 10, 244, 1, 5, 10, 96, 0,  20 };
    static const uint8_t tcp[] = { 0xa1, 0x12, 0,    80, 0, 0, 0, 1, 0, 0,
                                   0,    0,    0xa0, 2,  0, 0, 0, 0, 0, 0 };
    struct nft_trace t;
    struct nlmsghdr *h = message(NFNL_SUBSYS_NFTABLES, NFT_MSG_TRACE, 0);
    mnl_attr_put_u32(h, NFTA_TRACE_TYPE, htonl(NFT_TRACE_RULE));
    mnl_attr_put_u32(h, NFTA_TRACE_ID, htonl(0xabcd));
    mnl_attr_put_strz(h, NFTA_TRACE_TABLE, "signpost");
    mnl_attr_put_strz(h, NFTA_TRACE_CHAIN, "services");
    mnl_attr_put_u64(h, NFTA_TRACE_RULE_HANDLE, htobe64(7));
    struct nlattr *verdict = mnl_attr_nest_start(h, NFTA_TRACE_VERDICT);
    mnl_attr_put_u32(h, NFTA_VERDICT_CODE, htonl((uint32_t)NFT_GOTO));
    mnl_attr_put_strz(h, NFTA_VERDICT_CHAIN, "mod3");
    mnl_attr_nest_end(h, verdict);
    mnl_attr_put(h, NFTA_TRACE_NETWORK_HEADER, sizeof ip, ip);
    mnl_attr_put(h, NFTA_TRACE_TRANSPORT_HEADER, sizeof tcp, tcp);
    assert_true(nft_trace_parse(h, &t));
    assert_int_equal(t.id, 0xabcd);
    assert_int_equal(t.type, NFT_TRACE_RULE);
    assert_string_equal(t.table, "signpost");
    assert_string_equal(t.chain, "services");
    assert_int_equal(t.handle, 7);
    assert_string_equal(nft_verdict_text(t.verdict), "goto");
    assert_string_equal(t.jump_to, "mod3");
    assert_true(t.has_packet);
    check_ip(&t.to, "10.96.0.20");
    assert_int_equal(t.from_port, 41234);
    assert_int_equal(t.to_port, 80);
    assert_string_equal(nft_family_text(t.family), "ip");
}

static void what_is_no_report(void **state)
{
    (void)state;
    struct nft_trace t;
    assert_false(nft_trace_parse(message(NFNL_SUBSYS_NFTABLES, NFT_MSG_NEWRULE, 0), &t));
    struct nlmsghdr *h = message(NFNL_SUBSYS_NFTABLES, NFT_MSG_TRACE, 0);
    mnl_attr_put(h, NFTA_TRACE_NETWORK_HEADER, 3, "abc");
    assert_true(nft_trace_parse(h, &t));
    assert_false(t.has_packet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flow_with_both_tuples),
        cmocka_unit_test(what_is_no_flow),
        cmocka_unit_test(rule_report),
        cmocka_unit_test(what_is_no_report),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
