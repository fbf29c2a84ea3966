#include "kernel/conntrack.h"

#include "base/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <string.h>
#include <sys/socket.h>

#define RECEIVE_BUFFER (4 << 20)
/* Of CTA_FILTER_ORIG_FLAGS; not in the public headers of the kernel. */
#define FILTER_BY_PROTO (1u << 3)

int conntrack_open(struct conntrack *c)
{
    return nl_open(&c->nl, NETLINK_NETFILTER);
}

void conntrack_done(struct conntrack *c)
{
    nl_done(&c->nl);
}

int conntrack_fd(const struct conntrack *c)
{
    return mnl_socket_get_fd(c->nl.sock);
}

int conntrack_listen(struct conntrack *c)
{
    int size = RECEIVE_BUFFER;
    setsockopt(conntrack_fd(c), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    return nl_join(&c->nl, NFNLGRP_CONNTRACK_NEW);
}

static void read_addresses(const struct nlattr *nest, struct tuple *t)
{
    const struct nlattr *a;
    mnl_attr_for_each_nested(a, nest)
    {
        size_t len = mnl_attr_get_payload_len(a);
        uint16_t type = mnl_attr_get_type(a);
        struct ip *ip = type == CTA_IP_V4_SRC || type == CTA_IP_V6_SRC ? &t->from : &t->to;
        if (type < CTA_IP_V4_SRC || type > CTA_IP_V6_DST || (len != 4 && len != 16))
            continue;
        ip->family = len == 4 ? 4 : 6;
        memcpy(ip->bytes, mnl_attr_get_payload(a), len);
    }
}

static void read_ports(const struct nlattr *nest, struct tuple *t)
{
    const struct nlattr *a;
    mnl_attr_for_each_nested(a, nest)
    {
        uint16_t type = mnl_attr_get_type(a);
        if (type == CTA_PROTO_NUM && mnl_attr_validate(a, MNL_TYPE_U8) >= 0)
            t->protocol = mnl_attr_get_u8(a);
        else if (type == CTA_PROTO_SRC_PORT && mnl_attr_validate(a, MNL_TYPE_U16) >= 0)
            t->from_port = ntohs(mnl_attr_get_u16(a));
        else if (type == CTA_PROTO_DST_PORT && mnl_attr_validate(a, MNL_TYPE_U16) >= 0)
            t->to_port = ntohs(mnl_attr_get_u16(a));
    }
}

static void read_tuple(const struct nlattr *nest, struct tuple *t)
{
    const struct nlattr *a;
    mnl_attr_for_each_nested(a, nest)
    {
        if (mnl_attr_get_type(a) == CTA_TUPLE_IP)
            read_addresses(a, t);
        else if (mnl_attr_get_type(a) == CTA_TUPLE_PROTO)
            read_ports(a, t);
    }
}

static void read_protoinfo(const struct nlattr *nest, struct flow *f)
{
    const struct nlattr *p, *a;
    mnl_attr_for_each_nested(p, nest)
    {
        if (mnl_attr_get_type(p) != CTA_PROTOINFO_TCP)
            continue;
        mnl_attr_for_each_nested(a, p)
        {
            if (mnl_attr_get_type(a) == CTA_PROTOINFO_TCP_STATE &&
                mnl_attr_validate(a, MNL_TYPE_U8) >= 0)
                f->tcp_state = mnl_attr_get_u8(a);
        }
    }
}

static uint32_t read_u32(const struct nlattr *a)
{
    return mnl_attr_validate(a, MNL_TYPE_U32) < 0 ? 0 : ntohl(mnl_attr_get_u32(a));
}

static void read_attribute(const struct nlattr *a, struct flow *f)
{
    switch (mnl_attr_get_type(a)) {
    case CTA_TUPLE_ORIG:
        read_tuple(a, &f->original);
        break;
    case CTA_TUPLE_REPLY:
        read_tuple(a, &f->reply);
        break;
    case CTA_STATUS:
        f->status = read_u32(a);
        break;
    case CTA_TIMEOUT:
        f->timeout_seconds = read_u32(a);
        break;
    case CTA_MARK:
        f->mark = read_u32(a);
        break;
    case CTA_ID:
        f->id = read_u32(a);
        break;
    case CTA_PROTOINFO:
        read_protoinfo(a, f);
        break;
    }
}

bool flow_parse(const struct nlmsghdr *h, struct flow *ret_flow)
{
    struct flow f = { .event = FLOW_UPDATE };
    const struct nlattr *a;
    uint16_t type = h->nlmsg_type & 0xff;
    if (h->nlmsg_type >> 8 != NFNL_SUBSYS_CTNETLINK ||
        mnl_nlmsg_get_payload_len(h) < sizeof(struct nfgenmsg))
        return false;
    if (type == IPCTNL_MSG_CT_DELETE)
        f.event = FLOW_DESTROY;
    else if (type != IPCTNL_MSG_CT_NEW)
        return false;
    else if (h->nlmsg_flags & (NLM_F_CREATE | NLM_F_EXCL))
        f.event = FLOW_NEW;
    mnl_attr_for_each(a, h, sizeof(struct nfgenmsg)) read_attribute(a, &f);
    if (!f.original.from.family || !f.reply.from.family)
        return false;
    *ret_flow = f;
    return true;
}

struct teller {
    void (*fn)(void *ctx, const struct flow *f);
    void *ctx;
};

static int tell(const struct nlmsghdr *h, void *ctx)
{
    struct teller *t = ctx;
    struct flow f;
    if (flow_parse(h, &f))
        t->fn(t->ctx, &f);
    return MNL_CB_OK;
}

int conntrack_events(struct conntrack *c, void (*fn)(void *ctx, const struct flow *f), void *ctx)
{
    struct teller t = { fn, ctx };
    return nl_events(&c->nl, tell, &t);
}

static struct nlmsghdr *request(struct conntrack *c, void *buf, int type, uint16_t flags,
                                int family)
{
    return nl_netfilter_request(&c->nl, buf, (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type), flags,
                                (uint8_t)family);
}

int conntrack_dump_udp(struct conntrack *c, uint8_t family,
                       void (*fn)(void *ctx, const struct flow *f), void *ctx)
{
    struct teller t = { fn, ctx };
    uint8_t buf[NL_REQUEST_MAX];
    struct nlmsghdr *h =
        request(c, buf, IPCTNL_MSG_CT_GET, NLM_F_DUMP, family == 6 ? AF_INET6 : AF_INET);
    struct nlattr *tuple = mnl_attr_nest_start(h, CTA_TUPLE_ORIG);
    struct nlattr *proto = mnl_attr_nest_start(h, CTA_TUPLE_PROTO);
    mnl_attr_put_u8(h, CTA_PROTO_NUM, IPPROTO_UDP);
    mnl_attr_nest_end(h, proto);
    mnl_attr_nest_end(h, tuple);
    struct nlattr *filter = mnl_attr_nest_start(h, CTA_FILTER);
    mnl_attr_put_u32(h, CTA_FILTER_ORIG_FLAGS, FILTER_BY_PROTO);
    mnl_attr_nest_end(h, filter);
    return nl_ask(&c->nl, h, tell, &t);
}

/* A request about one entry. */
static struct nlmsghdr *request_of(struct conntrack *c, void *buf, int type, const struct tuple *t)
{
    bool v6 = t->from.family == 6;
    struct nlmsghdr *h = request(c, buf, type, 0, v6 ? AF_INET6 : AF_INET);
    struct nlattr *tuple = mnl_attr_nest_start(h, CTA_TUPLE_ORIG);
    struct nlattr *ip = mnl_attr_nest_start(h, CTA_TUPLE_IP);
    mnl_attr_put(h, v6 ? CTA_IP_V6_SRC : CTA_IP_V4_SRC, ip_len(&t->from), t->from.bytes);
    mnl_attr_put(h, v6 ? CTA_IP_V6_DST : CTA_IP_V4_DST, ip_len(&t->to), t->to.bytes);
    mnl_attr_nest_end(h, ip);
    struct nlattr *proto = mnl_attr_nest_start(h, CTA_TUPLE_PROTO);
    mnl_attr_put_u8(h, CTA_PROTO_NUM, t->protocol);
    mnl_attr_put_u16(h, CTA_PROTO_SRC_PORT, htons(t->from_port));
    mnl_attr_put_u16(h, CTA_PROTO_DST_PORT, htons(t->to_port));
    mnl_attr_nest_end(h, proto);
    mnl_attr_nest_end(h, tuple);
    return h;
}

int conntrack_delete(struct conntrack *c, const struct flow *f)
{
    uint8_t buf[NL_REQUEST_MAX];
    struct nlmsghdr *h = request_of(c, buf, IPCTNL_MSG_CT_DELETE, &f->original);
    mnl_attr_put_u32(h, CTA_ID, htonl(f->id)); /* not the flow that took its place */
    return nl_ask(&c->nl, h, NULL, NULL);
}

static int keep(const struct nlmsghdr *h, void *ctx)
{
    flow_parse(h, ctx);
    return MNL_CB_OK;
}

int conntrack_find(struct conntrack *c, const struct tuple *original, struct flow *ret_flow)
{
    uint8_t buf[NL_REQUEST_MAX];
    struct flow f = { .event = FLOW_UPDATE };
    int code = nl_ask(&c->nl, request_of(c, buf, IPCTNL_MSG_CT_GET, original), keep, &f);
    if (code == 0 && !f.original.from.family)
        code = -ENOENT;
    if (code == 0)
        *ret_flow = f;
    return code;
}

const char *flow_tcp_state(uint8_t state)
{
    static const char *const names[] = {
        [TCP_CONNTRACK_SYN_SENT] = "SYN_SENT",       [TCP_CONNTRACK_SYN_RECV] = "SYN_RECV",
        [TCP_CONNTRACK_ESTABLISHED] = "ESTABLISHED", [TCP_CONNTRACK_FIN_WAIT] = "FIN_WAIT",
        [TCP_CONNTRACK_CLOSE_WAIT] = "CLOSE_WAIT",   [TCP_CONNTRACK_LAST_ACK] = "LAST_ACK",
        [TCP_CONNTRACK_TIME_WAIT] = "TIME_WAIT",     [TCP_CONNTRACK_CLOSE] = "CLOSE",
        [TCP_CONNTRACK_SYN_SENT2] = "SYN_SENT2",
    };
    return state < ARRAY_SIZE(names) && names[state] ? names[state] : "";
}
