#include "kernel/nft_survey.h"

#include "base/hash.h"
#include "kernel/nft_batch.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

/* While somebody else is writing, the kernel says that its answer is of two minds. */
#define TRIES 3

struct survey {
    const char *table;
    void (*chain)(void *fn_ctx, const char *name);
    void *fn_ctx;
    uint64_t hash;
};

static void mix(struct survey *s, const struct nlattr *a)
{
    uint64_t both[2] = { s->hash,
                         hash_stable(mnl_attr_get_payload(a), mnl_attr_get_payload_len(a)) };
    s->hash = hash_stable(both, sizeof both);
}

static void mix_all(struct survey *s, const struct nlmsghdr *h, const uint16_t *types, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct nlattr *a = nft_find(h, types[i]);
        if (a)
            mix(s, a);
    }
}

static int on_chain(const struct nlmsghdr *h, void *ctx)
{
    static const uint16_t types[] = { NFTA_CHAIN_NAME, NFTA_CHAIN_HOOK, NFTA_CHAIN_POLICY,
                                      NFTA_CHAIN_TYPE };
    struct survey *s = ctx;
    const char *table = nft_find_name(h, NFTA_CHAIN_TABLE);
    const char *name = nft_find_name(h, NFTA_CHAIN_NAME);
    if ((h->nlmsg_type & 0xff) != NFT_MSG_NEWCHAIN || !table || !name ||
        strcmp(table, s->table) != 0)
        return MNL_CB_OK;
    mix_all(s, h, types, sizeof types / sizeof *types);
    if (s->chain)
        s->chain(s->fn_ctx, name);
    return MNL_CB_OK;
}

static int on_rule(const struct nlmsghdr *h, void *ctx)
{
    static const uint16_t types[] = { NFTA_RULE_CHAIN, NFTA_RULE_EXPRESSIONS };
    if ((h->nlmsg_type & 0xff) == NFT_MSG_NEWRULE)
        mix_all(ctx, h, types, sizeof types / sizeof *types);
    return MNL_CB_OK;
}

static int ask(struct nl *n, uint8_t family, struct survey *s)
{
    uint8_t buf[NL_REQUEST_MAX];
    struct nlmsghdr *h = nft_request(n, buf, NFT_MSG_GETTABLE, 0, family);
    mnl_attr_put_strz(h, NFTA_TABLE_NAME, s->table);
    int ret = nl_ask(n, h, NULL, NULL);
    if (ret < 0)
        return ret;
    ret = nl_ask(n, nft_request(n, buf, NFT_MSG_GETCHAIN, NLM_F_DUMP, family), on_chain, s);
    if (ret < 0)
        return ret;
    h = nft_request(n, buf, NFT_MSG_GETRULE, NLM_F_DUMP, family);
    mnl_attr_put_strz(h, NFTA_RULE_TABLE, s->table);
    return nl_ask(n, h, on_rule, s);
}

int nft_survey(void *ctx, uint8_t family, const char *table,
               void (*chain)(void *fn_ctx, const char *name), void *fn_ctx, uint64_t *ret_hash)
{
    struct nl n;
    (void)ctx;
    int ret = nl_open(&n, NETLINK_NETFILTER);
    if (ret < 0)
        return ret;
    struct survey s;
    unsigned tries = TRIES;
    do {
        s = (struct survey){ .table = table, .chain = chain, .fn_ctx = fn_ctx };
        ret = ask(&n, family == 4 ? NFPROTO_IPV4 : NFPROTO_IPV6, &s);
    } while (ret == -EINTR && --tries > 0);
    nl_done(&n);
    if (ret == 0)
        *ret_hash = s.hash;
    return ret;
}
