#include "kernel/nfacct.h"

#include "kernel/nl.h"

#include <endian.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_acct.h>
#include <sys/socket.h>

static struct nlmsghdr *request(struct nl *n, uint8_t *buf, uint16_t message, uint16_t flags,
                                const char *name)
{
    struct nlmsghdr *h =
        nl_netfilter_request(n, buf, (uint16_t)(NFNL_SUBSYS_ACCT << 8 | message), flags, AF_UNSPEC);
    mnl_attr_put_strz(h, NFACCT_NAME, name);
    return h;
}

static int ask(uint16_t message, uint16_t flags, const char *name, mnl_cb_t each, void *ctx)
{
    uint8_t buf[NL_REQUEST_MAX];
    struct nl n;
    int ret = nl_open(&n, NETLINK_NETFILTER);
    if (ret < 0)
        return ret;
    ret = nl_ask(&n, request(&n, buf, message, flags, name), each, ctx);
    nl_done(&n);
    return ret;
}

int nfacct_ensure(const char *name)
{
    int ret = ask(NFNL_MSG_ACCT_NEW, NLM_F_CREATE | NLM_F_EXCL, name, NULL, NULL);
    return ret == -EEXIST || ret == -EBUSY ? 0 : ret;
}

static int on_counter(const struct nlmsghdr *h, void *ctx)
{
    const struct nlattr *a;
    mnl_attr_for_each(a, h, sizeof(struct nfgenmsg))
    {
        if (mnl_attr_get_type(a) == NFACCT_PKTS && mnl_attr_validate(a, MNL_TYPE_U64) >= 0)
            *(uint64_t *)ctx = be64toh(mnl_attr_get_u64(a));
    }
    return MNL_CB_OK;
}

int nfacct_read(const char *name, uint64_t *ret_packets)
{
    uint64_t packets = 0;
    int ret = ask(NFNL_MSG_ACCT_GET, 0, name, on_counter, &packets);
    if (ret == 0)
        *ret_packets = packets;
    return ret;
}

void nfacct_remove(const char *name)
{
    (void)ask(NFNL_MSG_ACCT_DEL, 0, name, NULL, NULL);
}
