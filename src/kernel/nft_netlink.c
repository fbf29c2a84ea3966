#include "kernel/nft_netlink.h"

#include "kernel/nl.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

#define KEYS_AT_ONCE 32 /* so many fit into a request */

static struct nlmsghdr *request(struct nl *n, void *buf, uint16_t type, uint16_t flags,
                                uint8_t family)
{
    struct nlmsghdr *h = nl_request(n, buf, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags);
    struct nfgenmsg *m = mnl_nlmsg_put_extra_header(h, sizeof *m);
    m->nfgen_family = family == 4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
    m->version = NFNETLINK_V0;
    return h;
}

/* ---- reading a map */

struct reader {
    void (*fn)(void *ctx, const struct nft_item *i);
    void *ctx;
};

static uint32_t read_data(const struct nlattr *nest, uint8_t out[NFT_KEY_MAX])
{
    const struct nlattr *a;
    uint32_t len = 0;
    mnl_attr_for_each_nested(a, nest)
    {
        if (mnl_attr_get_type(a) != NFTA_DATA_VALUE || mnl_attr_get_payload_len(a) > NFT_KEY_MAX)
            continue;
        len = mnl_attr_get_payload_len(a);
        memcpy(out, mnl_attr_get_payload(a), len);
    }
    return len;
}

static uint64_t read_ms(const struct nlattr *a)
{
    return mnl_attr_validate(a, MNL_TYPE_U64) < 0 ? 0 : be64toh(mnl_attr_get_u64(a));
}

static void read_element(const struct nlattr *nest, const struct reader *r)
{
    const struct nlattr *a;
    struct nft_item i = { .key_len = 0 };
    mnl_attr_for_each_nested(a, nest)
    {
        uint16_t type = mnl_attr_get_type(a);
        if (type == NFTA_SET_ELEM_KEY)
            i.key_len = read_data(a, i.key);
        else if (type == NFTA_SET_ELEM_DATA)
            i.data_len = read_data(a, i.data);
        else if (type == NFTA_SET_ELEM_TIMEOUT)
            i.timeout_ms = read_ms(a);
        else if (type == NFTA_SET_ELEM_EXPIRATION)
            i.expires_ms = read_ms(a);
    }
    if (i.key_len > 0)
        r->fn(r->ctx, &i);
}

static int on_elements(const struct nlmsghdr *h, void *ctx)
{
    const struct nlattr *a, *b;
    if ((h->nlmsg_type & 0xff) != NFT_MSG_NEWSETELEM)
        return MNL_CB_OK;
    mnl_attr_for_each(a, h, sizeof(struct nfgenmsg))
    {
        if (mnl_attr_get_type(a) != NFTA_SET_ELEM_LIST_ELEMENTS)
            continue;
        mnl_attr_for_each_nested(b, a) read_element(b, ctx);
    }
    return MNL_CB_OK;
}

static void put_map(struct nlmsghdr *h, const char *table, const char *map)
{
    mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, table);
    mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, map);
}

int nft_read_map(void *ctx, uint8_t family, const char *table, const char *map,
                 void (*fn)(void *fn_ctx, const struct nft_item *i), void *fn_ctx)
{
    struct reader r = { fn, fn_ctx };
    uint8_t buf[NL_REQUEST_MAX];
    struct nl n;
    (void)ctx;
    int ret = nl_open(&n, NETLINK_NETFILTER);
    if (ret < 0)
        return ret;
    struct nlmsghdr *h = request(&n, buf, NFT_MSG_GETSETELEM, NLM_F_DUMP, family);
    put_map(h, table, map);
    ret = nl_ask(&n, h, on_elements, &r);
    nl_done(&n);
    return ret;
}

/* ---- deleting keys: nf_tables takes changes only between the marks of a batch */

static struct nlmsghdr *put_mark(struct nl *n, void *buf, uint16_t type)
{
    struct nlmsghdr *h = nl_request(n, buf, type, 0);
    struct nfgenmsg *m = mnl_nlmsg_put_extra_header(h, sizeof *m);
    m->nfgen_family = AF_UNSPEC;
    m->version = NFNETLINK_V0;
    m->res_id = htons(NFNL_SUBSYS_NFTABLES);
    return h;
}

static struct nlmsghdr *put_deletion(struct nl *n, void *buf, uint8_t family, const char *table,
                                     const char *map, const struct nft_key *keys, size_t count)
{
    struct nlmsghdr *h = request(n, buf, NFT_MSG_DELSETELEM, NLM_F_ACK, family);
    put_map(h, table, map);
    struct nlattr *list = mnl_attr_nest_start(h, NFTA_SET_ELEM_LIST_ELEMENTS);
    for (size_t i = 0; i < count; i++) {
        struct nlattr *one = mnl_attr_nest_start(h, NFTA_LIST_ELEM);
        struct nlattr *key = mnl_attr_nest_start(h, NFTA_SET_ELEM_KEY);
        mnl_attr_put(h, NFTA_DATA_VALUE, keys[i].len, keys[i].bytes);
        mnl_attr_nest_end(h, key);
        mnl_attr_nest_end(h, one);
    }
    mnl_attr_nest_end(h, list);
    return h;
}

static int answer(struct nl *n, uint32_t seq)
{
    uint8_t buf[8192];
    for (;;) {
        ssize_t len = mnl_socket_recvfrom(n->sock, buf, sizeof buf);
        if (len < 0)
            return -errno;
        int state = mnl_cb_run(buf, (size_t)len, seq, mnl_socket_get_portid(n->sock), NULL, NULL);
        if (state == MNL_CB_ERROR)
            return -errno;
        if (state == MNL_CB_STOP)
            return 0;
    }
}

static int delete_some(uint8_t family, const char *table, const char *map,
                       const struct nft_key *keys, size_t count)
{
    uint8_t buf[3 * NL_REQUEST_MAX];
    struct nl n;
    int ret = nl_open(&n, NETLINK_NETFILTER);
    if (ret < 0)
        return ret;
    size_t len = put_mark(&n, buf, NFNL_MSG_BATCH_BEGIN)->nlmsg_len;
    struct nlmsghdr *h = put_deletion(&n, buf + len, family, table, map, keys, count);
    uint32_t seq = h->nlmsg_seq;
    len += h->nlmsg_len;
    len += put_mark(&n, buf + len, NFNL_MSG_BATCH_END)->nlmsg_len;
    ret = mnl_socket_sendto(n.sock, buf, len) < 0 ? -errno : answer(&n, seq);
    nl_done(&n);
    return ret;
}

/* A key that has expired meanwhile makes the kernel refuse all of its batch: then one by one. */
size_t nft_delete_keys(void *ctx, uint8_t family, const char *table, const char *map,
                       const struct nft_key *keys, size_t n)
{
    size_t deleted = 0;
    (void)ctx;
    for (size_t i = 0; i < n; i += KEYS_AT_ONCE) {
        size_t some = MIN(n - i, KEYS_AT_ONCE);
        if (delete_some(family, table, map, keys + i, some) == 0) {
            deleted += some;
            continue;
        }
        for (size_t k = i; k < i + some; k++)
            deleted += delete_some(family, table, map, keys + k, 1) == 0;
    }
    return deleted;
}

/* ---- the rule that nft cannot write; registers of four bytes, the kernel's own limits hold */

#define REGISTER(i) (NFT_REG32_00 + (i))
#define IP6_SOURCE  8 /* offsets in the header */
#define IP6_TARGET  24
#define PORT_TARGET 2

static struct nlattr *begin(struct nlmsghdr *h, const char *name, struct nlattr **ret_element)
{
    *ret_element = mnl_attr_nest_start(h, NFTA_LIST_ELEM);
    mnl_attr_put_strz(h, NFTA_EXPR_NAME, name);
    return mnl_attr_nest_start(h, NFTA_EXPR_DATA);
}

static void end(struct nlmsghdr *h, struct nlattr *data, struct nlattr *element)
{
    mnl_attr_nest_end(h, data);
    mnl_attr_nest_end(h, element);
}

static void put_priority(struct nlmsghdr *h, unsigned to)
{
    struct nlattr *element, *data = begin(h, "meta", &element);
    mnl_attr_put_u32(h, NFTA_META_KEY, htonl(NFT_META_PRIORITY));
    mnl_attr_put_u32(h, NFTA_META_DREG, htonl(REGISTER(to)));
    end(h, data, element);
}

static void put_payload(struct nlmsghdr *h, unsigned to, uint32_t base, uint32_t offset,
                        uint32_t len)
{
    struct nlattr *element, *data = begin(h, "payload", &element);
    mnl_attr_put_u32(h, NFTA_PAYLOAD_DREG, htonl(REGISTER(to)));
    mnl_attr_put_u32(h, NFTA_PAYLOAD_BASE, htonl(base));
    mnl_attr_put_u32(h, NFTA_PAYLOAD_OFFSET, htonl(offset));
    mnl_attr_put_u32(h, NFTA_PAYLOAD_LEN, htonl(len));
    end(h, data, element);
}

static void put_endpoint(struct nlmsghdr *h, unsigned to)
{
    put_payload(h, to, NFT_PAYLOAD_NETWORK_HEADER, IP6_TARGET, 16);
    put_payload(h, to + 4, NFT_PAYLOAD_TRANSPORT_HEADER, PORT_TARGET, 2);
}

static void put_lookup(struct nlmsghdr *h, unsigned from, const char *set)
{
    struct nlattr *element, *data = begin(h, "lookup", &element);
    mnl_attr_put_strz(h, NFTA_LOOKUP_SET, set);
    mnl_attr_put_u32(h, NFTA_LOOKUP_SREG, htonl(REGISTER(from)));
    end(h, data, element);
}

static void put_update(struct nlmsghdr *h, unsigned key, unsigned value,
                       const struct nft_keep_rule *r)
{
    struct nlattr *element, *data = begin(h, "dynset", &element);
    mnl_attr_put_strz(h, NFTA_DYNSET_SET_NAME, r->map);
    mnl_attr_put_u32(h, NFTA_DYNSET_OP, htonl(NFT_DYNSET_OP_UPDATE));
    mnl_attr_put_u32(h, NFTA_DYNSET_SREG_KEY, htonl(REGISTER(key)));
    mnl_attr_put_u32(h, NFTA_DYNSET_SREG_DATA, htonl(REGISTER(value)));
    mnl_attr_put_u64(h, NFTA_DYNSET_TIMEOUT, htobe64((uint64_t)r->seconds * 1000));
    end(h, data, element);
}

static struct nlmsghdr *put_keep_rule(struct nl *n, void *buf, const struct nft_keep_rule *r)
{
    struct nlmsghdr *h =
        request(n, buf, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND | NLM_F_ACK, 6);
    mnl_attr_put_strz(h, NFTA_RULE_TABLE, r->table);
    mnl_attr_put_strz(h, NFTA_RULE_CHAIN, r->chain);
    struct nlattr *list = mnl_attr_nest_start(h, NFTA_RULE_EXPRESSIONS);
    put_priority(h, 0);
    put_endpoint(h, 1);
    put_lookup(h, 0, r->set);
    put_payload(h, 0, NFT_PAYLOAD_NETWORK_HEADER, IP6_SOURCE, 16);
    put_priority(h, 4);
    put_endpoint(h, 5);
    put_update(h, 0, 5, r);
    mnl_attr_nest_end(h, list);
    return h;
}

int nft_add_keep_rule(void *ctx, const struct nft_keep_rule *r)
{
    uint8_t buf[3 * NL_REQUEST_MAX];
    struct nl n;
    (void)ctx;
    int ret = nl_open(&n, NETLINK_NETFILTER);
    if (ret < 0)
        return ret;
    size_t len = put_mark(&n, buf, NFNL_MSG_BATCH_BEGIN)->nlmsg_len;
    struct nlmsghdr *h = put_keep_rule(&n, buf + len, r);
    uint32_t seq = h->nlmsg_seq;
    len += h->nlmsg_len;
    len += put_mark(&n, buf + len, NFNL_MSG_BATCH_END)->nlmsg_len;
    ret = mnl_socket_sendto(n.sock, buf, len) < 0 ? -errno : answer(&n, seq);
    nl_done(&n);
    return ret;
}

/* ---- counting rules */

static int on_rule(const struct nlmsghdr *h, void *ctx)
{
    size_t *n = ctx;
    *n += (h->nlmsg_type & 0xff) == NFT_MSG_NEWRULE;
    return MNL_CB_OK;
}

static int find_table(struct nl *n, uint8_t family, const char *table)
{
    uint8_t buf[NL_REQUEST_MAX];
    struct nlmsghdr *h = request(n, buf, NFT_MSG_GETTABLE, 0, family);
    mnl_attr_put_strz(h, NFTA_TABLE_NAME, table);
    return nl_ask(n, h, NULL, NULL);
}

int nft_count_rules(void *ctx, uint8_t family, const char *table, size_t *ret_rules)
{
    uint8_t buf[NL_REQUEST_MAX];
    struct nl n;
    (void)ctx;
    *ret_rules = 0;
    int ret = nl_open(&n, NETLINK_NETFILTER);
    if (ret < 0)
        return ret;
    ret = find_table(&n, family, table);
    if (ret == 0) {
        struct nlmsghdr *h = request(&n, buf, NFT_MSG_GETRULE, NLM_F_DUMP, family);
        mnl_attr_put_strz(h, NFTA_RULE_TABLE, table);
        ret = nl_ask(&n, h, on_rule, ret_rules);
    }
    nl_done(&n);
    return ret;
}
