#include "kernel/nft_batch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdbool.h>

struct nlmsghdr *nft_request(struct nl *nl, void *buf, uint16_t message, uint16_t flags,
                             uint8_t family)
{
    return nl_netfilter_request(nl, buf, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | message), flags,
                                family);
}

const struct nlattr *nft_find(const struct nlmsghdr *h, uint16_t type)
{
    const struct nlattr *a;
    mnl_attr_for_each(a, h, sizeof(struct nfgenmsg))
    {
        if (mnl_attr_get_type(a) == type)
            return a;
    }
    return NULL;
}

const char *nft_find_name(const struct nlmsghdr *h, uint16_t type)
{
    const struct nlattr *a = nft_find(h, type);
    return a && mnl_attr_validate(a, MNL_TYPE_NUL_STRING) >= 0 ? mnl_attr_get_str(a) : NULL;
}

static struct nlmsghdr *put_mark(struct nl *nl, void *buf, uint16_t type)
{
    struct nlmsghdr *h = nl_netfilter_request(nl, buf, type, 0, AF_UNSPEC);
    struct nfgenmsg *m = mnl_nlmsg_get_payload(h);
    m->res_id = htons(NFNL_SUBSYS_NFTABLES);
    return h;
}

void nft_batch_begin(struct nft_batch *b, struct nl *nl, uint8_t family, void *buf)
{
    *b = (struct nft_batch){ .nl = nl, .family = family };
    b->first = b->last = put_mark(nl, buf, NFNL_MSG_BATCH_BEGIN);
}

struct nlmsghdr *nft_batch_add(struct nft_batch *b, uint16_t message, uint16_t flags)
{
    void *at = mnl_nlmsg_get_payload_tail(b->last);
    b->last = nft_request(b->nl, at, message, flags, b->family);
    return b->last;
}

/* 1: nothing of this batch, 0: all of it was taken, or the error. What failed before has an error
 * for each message; what the kernel refuses as a whole has it for the first mark. */
static int outcome(struct nft_batch *b, const struct nlmsghdr *h)
{
    if (h->nlmsg_type != NLMSG_ERROR || h->nlmsg_len < mnl_nlmsg_size(sizeof(struct nlmsgerr)))
        return 1;
    const struct nlmsgerr *told = mnl_nlmsg_get_payload(h);
    bool ours = h->nlmsg_seq >= b->first->nlmsg_seq && h->nlmsg_seq <= b->last->nlmsg_seq;
    b->refused = h->nlmsg_seq;
    return ours ? told->error : 1;
}

static int read_outcome(struct nft_batch *b)
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
int nft_batch_send(struct nft_batch *b)
{
    return nft_batch_try(b, false);
}

/* Without the mark at its end a batch is judged and given up. */
int nft_batch_try(struct nft_batch *b, bool check)
{
    const uint8_t *buf = (const uint8_t *)b->first;
    void *end = mnl_nlmsg_get_payload_tail(b->last);
    b->last->nlmsg_flags |= NLM_F_ACK;
    if (!check)
        end = mnl_nlmsg_get_payload_tail(put_mark(b->nl, end, NFNL_MSG_BATCH_END));
    if (mnl_socket_sendto(b->nl->sock, buf, (size_t)((uint8_t *)end - buf)) < 0)
        return -errno;
    return read_outcome(b);
}

struct nft_expression nft_expression_begin(struct nlmsghdr *h, const char *name)
{
    struct nft_expression x = { .element = mnl_attr_nest_start(h, NFTA_LIST_ELEM) };
    mnl_attr_put_strz(h, NFTA_EXPR_NAME, name);
    x.data = mnl_attr_nest_start(h, NFTA_EXPR_DATA);
    return x;
}

void nft_expression_end(struct nlmsghdr *h, const struct nft_expression *x)
{
    mnl_attr_nest_end(h, x->data);
    mnl_attr_nest_end(h, x->element);
}

void nft_put_u32(struct nlmsghdr *h, uint16_t type, uint32_t value)
{
    mnl_attr_put_u32(h, type, htonl(value));
}

void nft_put_data(struct nlmsghdr *h, uint16_t type, const void *bytes, size_t len)
{
    struct nlattr *nest = mnl_attr_nest_start(h, type);
    mnl_attr_put(h, NFTA_DATA_VALUE, len, bytes);
    mnl_attr_nest_end(h, nest);
}

void nft_put_meta(struct nlmsghdr *h, uint32_t to, enum nft_meta_keys key)
{
    struct nft_expression x = nft_expression_begin(h, "meta");
    nft_put_u32(h, NFTA_META_KEY, key);
    nft_put_u32(h, NFTA_META_DREG, to);
    nft_expression_end(h, &x);
}

void nft_put_payload(struct nlmsghdr *h, uint32_t to, enum nft_payload_bases base, uint32_t offset,
                     uint32_t len)
{
    struct nft_expression x = nft_expression_begin(h, "payload");
    nft_put_u32(h, NFTA_PAYLOAD_DREG, to);
    nft_put_u32(h, NFTA_PAYLOAD_BASE, base);
    nft_put_u32(h, NFTA_PAYLOAD_OFFSET, offset);
    nft_put_u32(h, NFTA_PAYLOAD_LEN, len);
    nft_expression_end(h, &x);
}
