#include "kernel/nft_watch.h"

#include "base/cleanup.h"
#include "kernel/nft_batch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#define RECEIVE_BUFFER (1 << 20)
#define ATTR_TABLE     1 /* the same in the messages of tables, chains, rules, sets and elements */

#define TYPE(message) (NFNL_SUBSYS_NFTABLES << 8 | (message))

/* By the first message of a packet: the kernel puts many of a kind into one. */
static int filter_additions(int fd)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_type)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(TYPE(NFT_MSG_NEWSETELEM)), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
    };
    struct sock_fprog program = { ARRAY_SIZE(code), code };
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0 ? -errno : 0;
}

int nft_watch_open(struct nft_watch *w)
{
    int size = RECEIVE_BUFFER;
    *w = (struct nft_watch){ .pending = { NFT_UNHARMED } };
    int ret = nl_open(&w->nl, NETLINK_NETFILTER);
    if (ret < 0)
        return ret;
    setsockopt(nft_watch_fd(w), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    ret = filter_additions(nft_watch_fd(w));
    if (ret == 0)
        ret = nl_join(&w->nl, NFNLGRP_NFTABLES);
    if (ret < 0)
        nft_watch_done(w);
    return ret;
}

void nft_watch_done(struct nft_watch *w)
{
    nl_done(&w->nl);
}

void nft_watch_pause(struct nft_watch *w)
{
    nl_leave(&w->nl, NFNLGRP_NFTABLES);
}

int nft_watch_resume(struct nft_watch *w)
{
    return nl_join(&w->nl, NFNLGRP_NFTABLES);
}

int nft_watch_fd(const struct nft_watch *w)
{
    return mnl_socket_get_fd(w->nl.sock);
}

struct watching {
    struct nft_watch *watch;
    enum nft_harm (*judge)(const char *table, const char *chain);
    uint32_t own;
    enum nft_harm *harm;
};

static bool is_deletion(uint16_t message)
{
    return message == NFT_MSG_DELTABLE || message == NFT_MSG_DELCHAIN ||
           message == NFT_MSG_DELRULE || message == NFT_MSG_DELSET || message == NFT_MSG_DELSETELEM;
}

static enum nft_harm harm_of(const struct watching *w, const struct nlmsghdr *h, uint16_t message)
{
    const char *table = nft_find_name(h, ATTR_TABLE);
    const char *chain = message == NFT_MSG_DELCHAIN  ? nft_find_name(h, NFTA_CHAIN_NAME)
                        : message == NFT_MSG_DELRULE ? nft_find_name(h, NFTA_RULE_CHAIN)
                                                     : NULL;
    return table ? w->judge(table, chain) : NFT_UNHARMED;
}

static uint32_t read_generation(const struct nlmsghdr *h)
{
    const struct nlattr *a;
    mnl_attr_for_each(a, h, sizeof(struct nfgenmsg))
    {
        if (mnl_attr_get_type(a) == NFTA_GEN_ID && mnl_attr_validate(a, MNL_TYPE_U32) >= 0)
            return ntohl(mnl_attr_get_u32(a));
    }
    return 0;
}

static void end_transaction(struct watching *w, uint32_t generation)
{
    for (unsigned f = 0; f < 2; f++) {
        if ((int32_t)(generation - w->own) > 0)
            w->harm[f] = MAX(w->harm[f], w->watch->pending[f]);
        w->watch->pending[f] = NFT_UNHARMED;
    }
}

static void note_deletion(struct watching *w, const struct nlmsghdr *h, uint16_t message,
                          unsigned f)
{
    enum nft_harm harm = harm_of(w, h, message);
    w->watch->pending[f] = MAX(w->watch->pending[f], harm);
}

static int on_message(const struct nlmsghdr *h, void *ctx)
{
    struct watching *w = ctx;
    uint16_t message = h->nlmsg_type & 0xff;
    if (h->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES ||
        mnl_nlmsg_get_payload_len(h) < sizeof(struct nfgenmsg))
        return MNL_CB_OK;
    const struct nfgenmsg *m = mnl_nlmsg_get_payload(h);
    if (message == NFT_MSG_NEWGEN)
        end_transaction(w, read_generation(h));
    else if (is_deletion(message) &&
             (m->nfgen_family == NFPROTO_IPV4 || m->nfgen_family == NFPROTO_IPV6))
        note_deletion(w, h, message, m->nfgen_family == NFPROTO_IPV6);
    return MNL_CB_OK;
}

int nft_watch_read(struct nft_watch *w,
                   enum nft_harm (*judge)(const char *table, const char *chain), uint32_t own,
                   enum nft_harm ret[2])
{
    struct watching ctx = { w, judge, own, ret };
    return nl_events(&w->nl, on_message, &ctx);
}

static int on_generation(const struct nlmsghdr *h, void *ctx)
{
    if ((h->nlmsg_type & 0xff) == NFT_MSG_NEWGEN)
        *(uint32_t *)ctx = read_generation(h);
    return MNL_CB_OK;
}

uint32_t nft_generation(void)
{
    uint8_t buf[NL_REQUEST_MAX];
    uint32_t generation = 0;
    struct nl n;
    if (nl_open(&n, NETLINK_NETFILTER) < 0)
        return 0;
    struct nlmsghdr *h = nft_request(&n, buf, NFT_MSG_GETGEN, 0, AF_UNSPEC);
    if (nl_ask(&n, h, on_generation, &generation) < 0)
        generation = 0;
    nl_done(&n);
    return generation;
}
