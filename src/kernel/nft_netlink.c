#include "kernel/nft_netlink.h"

#include "kernel/nft_batch.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <string.h>

#define KEYS_AT_ONCE 32 /* so many fit into a request */

static uint8_t protocol(uint8_t family)
{
    return family == 4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
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

/* Other verdicts are not ours: they have a code that no item has. */
static uint8_t read_code(const struct nlattr *a)
{
    int32_t code = mnl_attr_validate(a, MNL_TYPE_U32) < 0 ? 0 : (int32_t)ntohl(mnl_attr_get_u32(a));
    return code == NF_DROP    ? NFT_ITEM_DROP
           : code == NFT_JUMP ? NFT_ITEM_JUMP
           : code == NFT_GOTO ? NFT_ITEM_GOTO
                              : UINT8_MAX;
}

static void read_verdict(const struct nlattr *nest, struct nft_item *i)
{
    const struct nlattr *a;
    mnl_attr_for_each_nested(a, nest)
    {
        if (mnl_attr_get_type(a) == NFTA_VERDICT_CODE)
            i->verdict = read_code(a);
        else if (mnl_attr_get_type(a) == NFTA_VERDICT_CHAIN &&
                 mnl_attr_validate(a, MNL_TYPE_NUL_STRING) >= 0)
            (void)snprintf(i->chain, sizeof i->chain, "%s", mnl_attr_get_str(a));
    }
}

static void read_value(const struct nlattr *nest, struct nft_item *i)
{
    const struct nlattr *a;
    i->data_len = read_data(nest, i->data);
    mnl_attr_for_each_nested(a, nest)
    {
        if (mnl_attr_get_type(a) == NFTA_DATA_VERDICT)
            read_verdict(a, i);
    }
}

static void read_attribute(const struct nlattr *a, struct nft_item *i)
{
    switch (mnl_attr_get_type(a)) {
    case NFTA_SET_ELEM_KEY:
        i->key_len = read_data(a, i->key);
        break;
    case NFTA_SET_ELEM_KEY_END:
        i->key_end_len = read_data(a, i->key_end);
        break;
    case NFTA_SET_ELEM_DATA:
        read_value(a, i);
        break;
    case NFTA_SET_ELEM_FLAGS:
        i->interval_end = mnl_attr_validate(a, MNL_TYPE_U32) >= 0 &&
                          ntohl(mnl_attr_get_u32(a)) & NFT_SET_ELEM_INTERVAL_END;
        break;
    case NFTA_SET_ELEM_TIMEOUT:
        i->timeout_ms = read_ms(a);
        break;
    case NFTA_SET_ELEM_EXPIRATION:
        i->expires_ms = read_ms(a);
        break;
    default:
        break;
    }
}

void nft_read_item(const struct nlattr *nest, struct nft_item *ret)
{
    const struct nlattr *a;
    memset(ret, 0, sizeof *ret);
    mnl_attr_for_each_nested(a, nest) read_attribute(a, ret);
}

static void read_element(const struct nlattr *nest, const struct reader *r)
{
    struct nft_item i;
    nft_read_item(nest, &i);
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
    struct nlmsghdr *h = nft_request(&n, buf, NFT_MSG_GETSETELEM, NLM_F_DUMP, protocol(family));
    put_map(h, table, map);
    ret = nl_ask(&n, h, on_elements, &r);
    nl_done(&n);
    return ret;
}

/* ---- deleting keys */

struct map {
    struct nl nl;
    uint8_t family;
    const char *table, *name;
};

static void put_deletion(struct nlmsghdr *h, const struct map *m, const struct nft_key *keys,
                         size_t count)
{
    put_map(h, m->table, m->name);
    struct nlattr *list = mnl_attr_nest_start(h, NFTA_SET_ELEM_LIST_ELEMENTS);
    for (size_t i = 0; i < count; i++) {
        struct nlattr *one = mnl_attr_nest_start(h, NFTA_LIST_ELEM);
        nft_put_data(h, NFTA_SET_ELEM_KEY, keys[i].bytes, keys[i].len);
        mnl_attr_nest_end(h, one);
    }
    mnl_attr_nest_end(h, list);
}

static int delete_some(struct map *m, const struct nft_key *keys, size_t count)
{
    uint8_t buf[(1 + NFT_BATCH_MARKS) * NL_REQUEST_MAX];
    struct nft_batch b;
    nft_batch_begin(&b, &m->nl, protocol(m->family), buf);
    put_deletion(nft_batch_add(&b, NFT_MSG_DELSETELEM, 0), m, keys, count);
    return nft_batch_send(&b);
}

/* A key that has expired meanwhile makes the kernel refuse all of its batch: then one by one. */
size_t nft_delete_keys(void *ctx, uint8_t family, const char *table, const char *map,
                       const struct nft_key *keys, size_t n)
{
    struct map m = { .family = family, .table = table, .name = map };
    size_t deleted = 0;
    (void)ctx;
    if (nl_open(&m.nl, NETLINK_NETFILTER) < 0)
        return 0;
    for (size_t i = 0; i < n; i += KEYS_AT_ONCE) {
        size_t some = MIN(n - i, KEYS_AT_ONCE);
        if (delete_some(&m, keys + i, some) == 0) {
            deleted += some;
            continue;
        }
        for (size_t k = i; k < i + some; k++)
            deleted += delete_some(&m, keys + k, 1) == 0;
    }
    nl_done(&m.nl);
    return deleted;
}

/* ---- the rule that nft cannot write; registers of four bytes, the kernel's own limits hold */

#define REGISTER(i) (NFT_REG32_00 + (i))
#define IP6_SOURCE  8 /* offsets in the header */
#define IP6_TARGET  24
#define PORT_TARGET 2

static void put_endpoint(struct nlmsghdr *h, unsigned to)
{
    nft_put_payload(h, REGISTER(to), NFT_PAYLOAD_NETWORK_HEADER, IP6_TARGET, 16);
    nft_put_payload(h, REGISTER(to + 4), NFT_PAYLOAD_TRANSPORT_HEADER, PORT_TARGET, 2);
}

static void put_lookup(struct nlmsghdr *h, unsigned from, const char *set)
{
    struct nft_expression x = nft_expression_begin(h, "lookup");
    mnl_attr_put_strz(h, NFTA_LOOKUP_SET, set);
    nft_put_u32(h, NFTA_LOOKUP_SREG, REGISTER(from));
    nft_expression_end(h, &x);
}

static void put_update(struct nlmsghdr *h, unsigned key, unsigned value,
                       const struct nft_keep_rule *r)
{
    struct nft_expression x = nft_expression_begin(h, "dynset");
    mnl_attr_put_strz(h, NFTA_DYNSET_SET_NAME, r->map);
    nft_put_u32(h, NFTA_DYNSET_OP, NFT_DYNSET_OP_UPDATE);
    nft_put_u32(h, NFTA_DYNSET_SREG_KEY, REGISTER(key));
    nft_put_u32(h, NFTA_DYNSET_SREG_DATA, REGISTER(value));
    mnl_attr_put_u64(h, NFTA_DYNSET_TIMEOUT, htobe64((uint64_t)r->seconds * 1000));
    nft_expression_end(h, &x);
}

static void put_keep_rule(struct nlmsghdr *h, const struct nft_keep_rule *r)
{
    mnl_attr_put_strz(h, NFTA_RULE_TABLE, r->table);
    mnl_attr_put_strz(h, NFTA_RULE_CHAIN, r->chain);
    struct nlattr *list = mnl_attr_nest_start(h, NFTA_RULE_EXPRESSIONS);
    nft_put_meta(h, REGISTER(0), NFT_META_PRIORITY);
    put_endpoint(h, 1);
    put_lookup(h, 0, r->set);
    nft_put_payload(h, REGISTER(0), NFT_PAYLOAD_NETWORK_HEADER, IP6_SOURCE, 16);
    nft_put_meta(h, REGISTER(4), NFT_META_PRIORITY);
    put_endpoint(h, 5);
    put_update(h, 0, 5, r);
    mnl_attr_nest_end(h, list);
}

int nft_add_keep_rule(void *ctx, const struct nft_keep_rule *r)
{
    uint8_t buf[(1 + NFT_BATCH_MARKS) * NL_REQUEST_MAX];
    struct nft_batch b;
    struct nl n;
    (void)ctx;
    int ret = nl_open(&n, NETLINK_NETFILTER);
    if (ret < 0)
        return ret;
    nft_batch_begin(&b, &n, NFPROTO_IPV6, buf);
    put_keep_rule(nft_batch_add(&b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND), r);
    ret = nft_batch_send(&b);
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
    struct nlmsghdr *h = nft_request(n, buf, NFT_MSG_GETTABLE, 0, protocol(family));
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
        struct nlmsghdr *h = nft_request(&n, buf, NFT_MSG_GETRULE, NLM_F_DUMP, protocol(family));
        mnl_attr_put_strz(h, NFTA_RULE_TABLE, table);
        ret = nl_ask(&n, h, on_rule, ret_rules);
    }
    nl_done(&n);
    return ret;
}
