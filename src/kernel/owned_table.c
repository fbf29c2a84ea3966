#include "kernel/owned_table.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

#define RULE_BYTES_MAX  768 /* a rule of IPv6 with its comment takes about 600 */
#define COMMENT_MAX     128
#define PRIORITY_RAW    (-300)
#define PREROUTING      "prerouting"
#define OUTPUT          "output"
#define UDATA_COMMENT   0 /* the type of a comment among a rule's user data, as nft writes it */
#define HEADER_DADDR_V4 16
#define HEADER_SADDR_V4 12
#define HEADER_DADDR_V6 24
#define HEADER_SADDR_V6 8

/* Messages of one transaction, one behind the other. */
struct batch {
    struct nl *nl;
    uint8_t *buf;
    size_t len;
    uint8_t family;
    uint32_t first, last; /* sequence numbers, without the two bounds */
    const char *table;
};

static struct nlmsghdr *put_message(struct batch *b, uint16_t type, uint16_t flags, uint8_t family,
                                    uint16_t res_id)
{
    struct nlmsghdr *h = nl_request(b->nl, b->buf + b->len, type, flags);
    struct nfgenmsg *g = mnl_nlmsg_put_extra_header(h, sizeof *g);
    *g = (struct nfgenmsg){ .nfgen_family = family,
                            .version = NFNETLINK_V0,
                            .res_id = htons(res_id) };
    return h;
}

static struct nlmsghdr *put_change(struct batch *b, unsigned type, uint16_t flags)
{
    return put_message(b, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), NLM_F_CREATE | flags,
                       b->family, 0);
}

static void end_message(struct batch *b, const struct nlmsghdr *h)
{
    b->len += MNL_ALIGN(h->nlmsg_len);
    b->last = h->nlmsg_seq;
}

static void put_bound(struct batch *b, uint16_t type)
{
    const struct nlmsghdr *h = put_message(b, type, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
    b->len += MNL_ALIGN(h->nlmsg_len);
}

static void put_u32(struct nlmsghdr *h, uint16_t type, uint32_t value)
{
    mnl_attr_put_u32(h, type, htonl(value));
}

static void put_table(struct batch *b)
{
    struct nlmsghdr *h = put_change(b, NFT_MSG_NEWTABLE, NLM_F_EXCL);
    mnl_attr_put_strz(h, NFTA_TABLE_NAME, b->table);
    put_u32(h, NFTA_TABLE_FLAGS, NFT_TABLE_F_OWNER);
    end_message(b, h);
}

static void put_chain(struct batch *b, const char *name, unsigned hook)
{
    struct nlmsghdr *h = put_change(b, NFT_MSG_NEWCHAIN, NLM_F_EXCL);
    mnl_attr_put_strz(h, NFTA_CHAIN_TABLE, b->table);
    mnl_attr_put_strz(h, NFTA_CHAIN_NAME, name);
    struct nlattr *nest = mnl_attr_nest_start(h, NFTA_CHAIN_HOOK);
    put_u32(h, NFTA_HOOK_HOOKNUM, hook);
    put_u32(h, NFTA_HOOK_PRIORITY, (uint32_t)PRIORITY_RAW);
    mnl_attr_nest_end(h, nest);
    put_u32(h, NFTA_CHAIN_POLICY, NF_ACCEPT);
    mnl_attr_put_strz(h, NFTA_CHAIN_TYPE, "filter");
    end_message(b, h);
}

/* ---- expressions of a rule ---- */

struct expression {
    struct nlattr *element, *data;
};

static struct expression start_expression(struct nlmsghdr *h, const char *name)
{
    struct expression x = { .element = mnl_attr_nest_start(h, NFTA_LIST_ELEM) };
    mnl_attr_put_strz(h, NFTA_EXPR_NAME, name);
    x.data = mnl_attr_nest_start(h, NFTA_EXPR_DATA);
    return x;
}

static void end_expression(struct nlmsghdr *h, const struct expression *x)
{
    mnl_attr_nest_end(h, x->data);
    mnl_attr_nest_end(h, x->element);
}

static void put_equals(struct nlmsghdr *h, const void *value, size_t len)
{
    struct expression x = start_expression(h, "cmp");
    put_u32(h, NFTA_CMP_SREG, NFT_REG_1);
    put_u32(h, NFTA_CMP_OP, NFT_CMP_EQ);
    struct nlattr *data = mnl_attr_nest_start(h, NFTA_CMP_DATA);
    mnl_attr_put(h, NFTA_DATA_VALUE, len, value);
    mnl_attr_nest_end(h, data);
    end_expression(h, &x);
}

static void put_payload_equals(struct nlmsghdr *h, enum nft_payload_bases base, uint32_t offset,
                               const void *value, size_t len)
{
    struct expression x = start_expression(h, "payload");
    put_u32(h, NFTA_PAYLOAD_DREG, NFT_REG_1);
    put_u32(h, NFTA_PAYLOAD_BASE, base);
    put_u32(h, NFTA_PAYLOAD_OFFSET, offset);
    put_u32(h, NFTA_PAYLOAD_LEN, (uint32_t)len);
    end_expression(h, &x);
    put_equals(h, value, len);
}

static void put_protocol_equals(struct nlmsghdr *h, uint8_t protocol)
{
    struct expression x = start_expression(h, "meta");
    put_u32(h, NFTA_META_KEY, NFT_META_L4PROTO);
    put_u32(h, NFTA_META_DREG, NFT_REG_1);
    end_expression(h, &x);
    put_equals(h, &protocol, sizeof protocol);
}

static void put_bare(struct nlmsghdr *h, const char *name)
{
    struct expression x = start_expression(h, name);
    end_expression(h, &x);
}

static void put_comment(struct nlmsghdr *h, const char *text)
{
    uint8_t data[COMMENT_MAX + 2] = { UDATA_COMMENT };
    size_t len = MIN(strlen(text), (size_t)COMMENT_MAX - 1) + 1;
    data[1] = (uint8_t)len;
    memcpy(data + 2, text, len - 1);
    mnl_attr_put(h, NFTA_RULE_USERDATA, len + 2, data);
}

static uint32_t address_offset(const struct notrack_rule *r)
{
    if (r->ip.family == 4)
        return r->from ? HEADER_SADDR_V4 : HEADER_DADDR_V4;
    return r->from ? HEADER_SADDR_V6 : HEADER_DADDR_V6;
}

static void put_rule(struct batch *b, const struct notrack_rule *r, const char *comment)
{
    struct nlmsghdr *h = put_change(b, NFT_MSG_NEWRULE, NLM_F_APPEND);
    uint16_t port = htons(r->port);
    mnl_attr_put_strz(h, NFTA_RULE_TABLE, b->table);
    mnl_attr_put_strz(h, NFTA_RULE_CHAIN, r->output ? OUTPUT : PREROUTING);
    struct nlattr *list = mnl_attr_nest_start(h, NFTA_RULE_EXPRESSIONS);
    put_payload_equals(h, NFT_PAYLOAD_NETWORK_HEADER, address_offset(r), r->ip.bytes,
                       ip_len(&r->ip));
    put_protocol_equals(h, r->protocol);
    put_payload_equals(h, NFT_PAYLOAD_TRANSPORT_HEADER, r->from ? 0 : 2, &port, sizeof port);
    put_bare(h, "counter");
    put_bare(h, "notrack");
    mnl_attr_nest_end(h, list);
    put_comment(h, comment);
    end_message(b, h);
}

/* ---- the transaction ---- */

struct contents {
    const struct notrack_rule *rules;
    size_t n;
    const char *comment;
};

static void put_contents(struct batch *b, void *ctx)
{
    const struct contents *c = ctx;
    put_table(b);
    put_chain(b, PREROUTING, NF_INET_PRE_ROUTING);
    put_chain(b, OUTPUT, NF_INET_LOCAL_OUT);
    for (size_t i = 0; i < c->n; i++)
        put_rule(b, &c->rules[i], c->comment);
}

static void put_removal(struct batch *b, void *ctx)
{
    (void)ctx;
    struct nlmsghdr *h = put_change(b, NFT_MSG_DELTABLE, 0);
    h->nlmsg_flags &= (uint16_t)~NLM_F_CREATE;
    mnl_attr_put_strz(h, NFTA_TABLE_NAME, b->table);
    end_message(b, h);
}

static struct nlmsghdr *message_at(const struct batch *b, uint32_t seq)
{
    size_t at = 0;
    struct nlmsghdr *h = (struct nlmsghdr *)b->buf;
    while (h->nlmsg_seq != seq) {
        at += MNL_ALIGN(h->nlmsg_len);
        h = (struct nlmsghdr *)(b->buf + at);
    }
    return h;
}

/* 1: nothing of this transaction, 0: all of it was taken, or the error. */
static int outcome(const struct batch *b, const struct nlmsghdr *h)
{
    if (h->nlmsg_type != NLMSG_ERROR || h->nlmsg_len < mnl_nlmsg_size(sizeof(struct nlmsgerr)))
        return 1;
    const struct nlmsgerr *told = mnl_nlmsg_get_payload(h);
    bool ours = h->nlmsg_seq >= b->first && h->nlmsg_seq <= b->last;
    return ours ? told->error : 1; /* what failed before has an error for each message */
}

static int read_outcome(const struct batch *b)
{
    _Alignas(struct nlmsghdr) uint8_t buf[8192];
    for (;;) {
        ssize_t n = mnl_socket_recvfrom(b->nl->sock, buf, sizeof buf);
        int len = (int)n, ret = 1;
        if (n < 0)
            return -errno;
        for (const struct nlmsghdr *h = (const struct nlmsghdr *)buf;
             ret > 0 && mnl_nlmsg_ok(h, len); h = mnl_nlmsg_next(h, &len))
            ret = outcome(b, h);
        if (ret <= 0)
            return ret;
    }
}

/* The last message is acknowledged when all were taken; an error is told for each message in any
 * case. */
static int send_all(struct batch *b)
{
    message_at(b, b->last)->nlmsg_flags |= NLM_F_ACK;
    if (mnl_socket_sendto(b->nl->sock, b->buf, b->len) < 0)
        return -errno;
    return read_outcome(b);
}

/* One transaction of `messages` messages at most. */
static int transact(struct owned_table *t, size_t messages, void (*put)(struct batch *b, void *ctx),
                    void *ctx)
{
    cleanup_free uint8_t *buf = xcalloc(messages + 2, RULE_BYTES_MAX);
    struct batch b = { .nl = &t->nl, .buf = buf, .family = t->family, .table = t->name };
    put_bound(&b, NFNL_MSG_BATCH_BEGIN);
    b.first = t->nl.seq + 1;
    put(&b, ctx);
    put_bound(&b, NFNL_MSG_BATCH_END);
    return send_all(&b);
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
    struct contents c = { rules, n, comment };
    t->family = rules[0].ip.family == 6 ? AF_INET6 : AF_INET;
    (void)snprintf(t->name, sizeof t->name, "%s", name);
    int ret = transact(t, n + 3, put_contents, &c);
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
    if (t->family)
        (void)transact(t, 1, put_removal, NULL);
    t->family = 0;
}

void owned_table_done(struct owned_table *t)
{
    nl_done(&t->nl);
    t->family = 0;
}
