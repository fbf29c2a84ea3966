#include "kernel/nl.h"

#include <errno.h>
#include <linux/netfilter/nfnetlink.h>

#define ANSWER_MAX 32768 /* the kernel's largest dump message (mnl(3): MNL_SOCKET_DUMP_SIZE) */

int nl_open(struct nl *n, int protocol)
{
    *n = (struct nl){ .sock = mnl_socket_open2(protocol, SOCK_CLOEXEC) };
    if (!n->sock)
        return -errno;
    if (mnl_socket_bind(n->sock, 0, MNL_SOCKET_AUTOPID) < 0) {
        int code = -errno;
        nl_done(n);
        return code;
    }
    return 0;
}

void nl_done(struct nl *n)
{
    if (n->sock)
        mnl_socket_close(n->sock);
    n->sock = NULL;
}

struct nlmsghdr *nl_request(struct nl *n, void *buf, uint16_t type, uint16_t flags)
{
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    h->nlmsg_type = type;
    h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    h->nlmsg_seq = ++n->seq;
    return h;
}

struct nlmsghdr *nl_netfilter_request(struct nl *n, void *buf, uint16_t type, uint16_t flags,
                                      uint8_t family)
{
    struct nlmsghdr *h = nl_request(n, buf, type, flags);
    struct nfgenmsg *m = mnl_nlmsg_put_extra_header(h, sizeof *m);
    m->nfgen_family = family;
    m->version = NFNETLINK_V0;
    return h;
}

int nl_ask(struct nl *n, struct nlmsghdr *req, mnl_cb_t each, void *ctx)
{
    req->nlmsg_flags |= NLM_F_ACK;
    if (mnl_socket_sendto(n->sock, req, req->nlmsg_len) < 0)
        return -errno;
    uint8_t buf[ANSWER_MAX];
    unsigned port = mnl_socket_get_portid(n->sock);
    for (;;) {
        ssize_t len = mnl_socket_recvfrom(n->sock, buf, sizeof buf);
        if (len < 0)
            return -errno;
        int state = mnl_cb_run(buf, (size_t)len, req->nlmsg_seq, port, each, ctx);
        if (state == MNL_CB_ERROR)
            return -errno;
        if (state == MNL_CB_STOP)
            return 0;
    }
}

int nl_join(struct nl *n, int group)
{
    int ret = mnl_socket_setsockopt(n->sock, NETLINK_ADD_MEMBERSHIP, &group, sizeof group);
    return ret < 0 ? -errno : 0;
}

void nl_leave(struct nl *n, int group)
{
    (void)mnl_socket_setsockopt(n->sock, NETLINK_DROP_MEMBERSHIP, &group, sizeof group);
}

int nl_events(struct nl *n, mnl_cb_t each, void *ctx)
{
    uint8_t buf[ANSWER_MAX];
    for (;;) {
        ssize_t len = recv(mnl_socket_get_fd(n->sock), buf, sizeof buf, MSG_DONTWAIT);
        if (len < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        if (mnl_cb_run(buf, (size_t)len, 0, 0, each, ctx) == MNL_CB_ERROR)
            return -errno;
    }
}
