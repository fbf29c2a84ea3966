#include "kernel/owned_table.h"

#include "base/mem.h"
#include "kernel/capture.h" /* TCP_SYN */
#include "kernel/nft_batch.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <string.h>

#define RULE_BYTES_MAX 768 /* a rule of IPv6 with its comment takes about 600 */
/* Two rules of about 900, three messages of about 100, two marks. */
#define TRACE_BATCH_BYTES 8192
#define TCP_FLAGS_AT      13
#define COMMENT_MAX       128
#define PRIORITY_RAW      (-300)
#define PRIORITY_TRACE    (PRIORITY_RAW - 1)
#define PREROUTING        "prerouting"
#define OUTPUT            "output"
#define UDATA_COMMENT     0 /* the type of a comment among a rule's user data, as nft writes it */
#define HEADER_DADDR_V4   16
#define HEADER_SADDR_V4   12
#define HEADER_DADDR_V6   24
#define HEADER_SADDR_V6   8

static void put_table(struct nft_batch *b, const char *table)
{
    struct nlmsghdr *h = nft_batch_add(b, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL);
    mnl_attr_put_strz(h, NFTA_TABLE_NAME, table);
    nft_put_u32(h, NFTA_TABLE_FLAGS, NFT_TABLE_F_OWNER);
}

static void put_chain(struct nft_batch *b, const char *table, const char *name, unsigned hook,
                      int priority)
{
    struct nlmsghdr *h = nft_batch_add(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE | NLM_F_EXCL);
    mnl_attr_put_strz(h, NFTA_CHAIN_TABLE, table);
    mnl_attr_put_strz(h, NFTA_CHAIN_NAME, name);
    struct nlattr *nest = mnl_attr_nest_start(h, NFTA_CHAIN_HOOK);
    nft_put_u32(h, NFTA_HOOK_HOOKNUM, hook);
    nft_put_u32(h, NFTA_HOOK_PRIORITY, (uint32_t)priority);
    mnl_attr_nest_end(h, nest);
    nft_put_u32(h, NFTA_CHAIN_POLICY, NF_ACCEPT);
    mnl_attr_put_strz(h, NFTA_CHAIN_TYPE, "filter");
}

/* ---- expressions of a rule ---- */

static void put_equals(struct nlmsghdr *h, const void *value, size_t len)
{
    struct nft_expression x = nft_expression_begin(h, "cmp");
    nft_put_u32(h, NFTA_CMP_SREG, NFT_REG_1);
    nft_put_u32(h, NFTA_CMP_OP, NFT_CMP_EQ);
    nft_put_data(h, NFTA_CMP_DATA, value, len);
    nft_expression_end(h, &x);
}

static void put_payload_equals(struct nlmsghdr *h, enum nft_payload_bases base, uint32_t offset,
                               const void *value, size_t len)
{
    nft_put_payload(h, NFT_REG_1, base, offset, (uint32_t)len);
    put_equals(h, value, len);
}

static void put_protocol_equals(struct nlmsghdr *h, uint8_t protocol)
{
    nft_put_meta(h, NFT_REG_1, NFT_META_L4PROTO);
    put_equals(h, &protocol, sizeof protocol);
}

static void put_bare(struct nlmsghdr *h, const char *name)
{
    struct nft_expression x = nft_expression_begin(h, name);
    nft_expression_end(h, &x);
}

static void put_comment(struct nlmsghdr *h, const char *text)
{
    uint8_t data[COMMENT_MAX + 2] = { UDATA_COMMENT };
    size_t len = MIN(strlen(text), (size_t)COMMENT_MAX - 1) + 1;
    data[1] = (uint8_t)len;
    memcpy(data + 2, text, len - 1);
    mnl_attr_put(h, NFTA_RULE_USERDATA, len + 2, data);
}

static uint32_t address_offset(uint8_t family, bool from)
{
    if (family == 4)
        return from ? HEADER_SADDR_V4 : HEADER_DADDR_V4;
    return from ? HEADER_SADDR_V6 : HEADER_DADDR_V6;
}

static void put_rule(struct nft_batch *b, const char *table, const struct notrack_rule *r,
                     const char *comment)
{
    struct nlmsghdr *h = nft_batch_add(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
    uint16_t port = htons(r->port);
    mnl_attr_put_strz(h, NFTA_RULE_TABLE, table);
    mnl_attr_put_strz(h, NFTA_RULE_CHAIN, r->output ? OUTPUT : PREROUTING);
    struct nlattr *list = mnl_attr_nest_start(h, NFTA_RULE_EXPRESSIONS);
    put_payload_equals(h, NFT_PAYLOAD_NETWORK_HEADER, address_offset(r->ip.family, r->from),
                       r->ip.bytes, ip_len(&r->ip));
    put_protocol_equals(h, r->protocol);
    put_payload_equals(h, NFT_PAYLOAD_TRANSPORT_HEADER, r->from ? 0 : 2, &port, sizeof port);
    put_bare(h, "counter");
    put_bare(h, "notrack");
    mnl_attr_nest_end(h, list);
    put_comment(h, comment);
}

/* ---- reports of rules ---- */

static void put_address_equals(struct nlmsghdr *h, const struct ip *ip, bool from)
{
    if (ip->family)
        put_payload_equals(h, NFT_PAYLOAD_NETWORK_HEADER, address_offset(ip->family, from),
                           ip->bytes, ip_len(ip));
}

static void put_port_equals(struct nlmsghdr *h, uint16_t port, bool from)
{
    uint16_t wire = htons(port);
    if (port)
        put_payload_equals(h, NFT_PAYLOAD_TRANSPORT_HEADER, from ? 0 : 2, &wire, sizeof wire);
}

static void put_value(struct nlmsghdr *h, uint16_t type, uint8_t value)
{
    nft_put_data(h, type, &value, sizeof value);
}

static void put_is_attempt(struct nlmsghdr *h)
{
    const uint8_t syn = TCP_SYN;
    nft_put_payload(h, NFT_REG_1, NFT_PAYLOAD_TRANSPORT_HEADER, TCP_FLAGS_AT, 1);
    struct nft_expression x = nft_expression_begin(h, "bitwise");
    nft_put_u32(h, NFTA_BITWISE_SREG, NFT_REG_1);
    nft_put_u32(h, NFTA_BITWISE_DREG, NFT_REG_1);
    nft_put_u32(h, NFTA_BITWISE_LEN, 1);
    put_value(h, NFTA_BITWISE_MASK, TCP_SYN | TCP_ACK);
    put_value(h, NFTA_BITWISE_XOR, 0);
    nft_expression_end(h, &x);
    put_equals(h, &syn, sizeof syn);
}

static void put_report(struct nlmsghdr *h)
{
    struct nft_expression x = nft_expression_begin(h, "immediate");
    nft_put_u32(h, NFTA_IMMEDIATE_DREG, NFT_REG_1);
    put_value(h, NFTA_IMMEDIATE_DATA, 1);
    nft_expression_end(h, &x);
    x = nft_expression_begin(h, "meta");
    nft_put_u32(h, NFTA_META_KEY, NFT_META_NFTRACE);
    nft_put_u32(h, NFTA_META_SREG, NFT_REG_1);
    nft_expression_end(h, &x);
}

static void put_trace_rule(struct nft_batch *b, const char *table, const char *chain,
                           const struct tuple *f)
{
    struct nlmsghdr *h = nft_batch_add(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
    mnl_attr_put_strz(h, NFTA_RULE_TABLE, table);
    mnl_attr_put_strz(h, NFTA_RULE_CHAIN, chain);
    struct nlattr *list = mnl_attr_nest_start(h, NFTA_RULE_EXPRESSIONS);
    put_address_equals(h, &f->from, true);
    put_address_equals(h, &f->to, false);
    put_protocol_equals(h, f->protocol);
    put_port_equals(h, f->from_port, true);
    put_port_equals(h, f->to_port, false);
    if (f->protocol == IPPROTO_TCP)
        put_is_attempt(h);
    put_report(h);
    mnl_attr_nest_end(h, list);
}

int owned_table_trace(struct owned_table *t, const char *name, const struct tuple *f, struct err *e)
{
    uint8_t buf[TRACE_BATCH_BYTES] = { 0 };
    struct nft_batch b;
    owned_table_remove(t);
    t->family = f->from.family == 6 || f->to.family == 6 ? NFPROTO_IPV6 : NFPROTO_IPV4;
    (void)snprintf(t->name, sizeof t->name, "%s", name);
    nft_batch_begin(&b, &t->nl, t->family, buf);
    put_table(&b, t->name);
    put_chain(&b, t->name, PREROUTING, NF_INET_PRE_ROUTING, PRIORITY_TRACE);
    put_chain(&b, t->name, OUTPUT, NF_INET_LOCAL_OUT, PRIORITY_TRACE);
    put_trace_rule(&b, t->name, PREROUTING, f);
    put_trace_rule(&b, t->name, OUTPUT, f);
    int ret = nft_batch_send(&b);
    if (ret == 0)
        return 0;
    t->family = 0;
    return err_set(e, ret, "nftables: table %s could not be made: %s", name, err_str(ret));
}

int owned_table_open(struct owned_table *t)
{
    *t = (struct owned_table){ .family = 0 };
    return nl_open(&t->nl, NETLINK_NETFILTER);
}

int owned_table_make(struct owned_table *t, const char *name, const struct notrack_rule *rules,
                     size_t n, const char *comment, struct err *e)
{
    if (n == 0 || n > OWNED_RULES_MAX)
        return err_set(e, ERR_LIMIT, "%zu rules: 1 to %d", n, OWNED_RULES_MAX);
    cleanup_free uint8_t *buf = xcalloc(n + 3 + NFT_BATCH_MARKS, RULE_BYTES_MAX);
    struct nft_batch b;
    t->family = rules[0].ip.family == 6 ? NFPROTO_IPV6 : NFPROTO_IPV4;
    (void)snprintf(t->name, sizeof t->name, "%s", name);
    nft_batch_begin(&b, &t->nl, t->family, buf);
    put_table(&b, t->name);
    put_chain(&b, t->name, PREROUTING, NF_INET_PRE_ROUTING, PRIORITY_RAW);
    put_chain(&b, t->name, OUTPUT, NF_INET_LOCAL_OUT, PRIORITY_RAW);
    for (size_t i = 0; i < n; i++)
        put_rule(&b, t->name, &rules[i], comment);
    int ret = nft_batch_send(&b);
    if (ret == 0)
        return 0;
    t->family = 0;
    return err_set(e, ret, "nftables: table %s could not be made: %s", name, err_str(ret));
}

bool owned_table_is_there(const struct owned_table *t)
{
    return t->family;
}

void owned_table_remove(struct owned_table *t)
{
    uint8_t buf[(1 + NFT_BATCH_MARKS) * RULE_BYTES_MAX];
    struct nft_batch b;
    if (!t->family)
        return;
    nft_batch_begin(&b, &t->nl, t->family, buf);
    mnl_attr_put_strz(nft_batch_add(&b, NFT_MSG_DELTABLE, 0), NFTA_TABLE_NAME, t->name);
    (void)nft_batch_send(&b);
    t->family = 0;
}

void owned_table_done(struct owned_table *t)
{
    nl_done(&t->nl);
    t->family = 0;
}
