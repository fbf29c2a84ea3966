#include "kernel/nftrace.h"

#include "kernel/capture.h"

#include <arpa/inet.h>
#include <endian.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <string.h>

int nft_tracer_open(struct nft_tracer *t)
{
    int code = nl_open(&t->nl, NETLINK_NETFILTER);
    if (code == 0)
        code = nl_join(&t->nl, NFNLGRP_NFTRACE);
    if (code < 0)
        nft_tracer_done(t);
    return code;
}

void nft_tracer_done(struct nft_tracer *t)
{
    nl_done(&t->nl);
}

int nft_tracer_fd(const struct nft_tracer *t)
{
    return mnl_socket_get_fd(t->nl.sock);
}

static uint32_t read_u32(const struct nlattr *a)
{
    return mnl_attr_validate(a, MNL_TYPE_U32) < 0 ? 0 : ntohl(mnl_attr_get_u32(a));
}

static void read_text(const struct nlattr *a, char *out, size_t size)
{
    if (mnl_attr_validate(a, MNL_TYPE_NUL_STRING) >= 0)
        snprintf(out, size, "%s", mnl_attr_get_str(a));
}

static void read_verdict(const struct nlattr *nest, struct nft_trace *t)
{
    const struct nlattr *a;
    mnl_attr_for_each_nested(a, nest)
    {
        if (mnl_attr_get_type(a) == NFTA_VERDICT_CODE)
            t->verdict = (int)read_u32(a);
        else if (mnl_attr_get_type(a) == NFTA_VERDICT_CHAIN)
            read_text(a, t->jump_to, sizeof t->jump_to);
    }
}

/* Network and transport header come as two attributes. */
struct headers {
    uint8_t bytes[256];
    size_t len;
};

static void add_header(struct headers *h, const struct nlattr *a)
{
    size_t len = mnl_attr_get_payload_len(a);
    if (len <= sizeof h->bytes - h->len) {
        memcpy(h->bytes + h->len, mnl_attr_get_payload(a), len);
        h->len += len;
    }
}

static void read_packet(const struct headers *h, struct nft_trace *t)
{
    struct packet p;
    if (!packet_parse(h->bytes, h->len, &p))
        return;
    t->has_packet = true;
    t->from = p.from;
    t->to = p.to;
    t->from_port = p.from_port;
    t->to_port = p.to_port;
}

static void read_attribute(const struct nlattr *a, struct nft_trace *t, struct headers *h)
{
    switch (mnl_attr_get_type(a)) {
    case NFTA_TRACE_TABLE:
        read_text(a, t->table, sizeof t->table);
        break;
    case NFTA_TRACE_CHAIN:
        read_text(a, t->chain, sizeof t->chain);
        break;
    case NFTA_TRACE_RULE_HANDLE:
        if (mnl_attr_validate(a, MNL_TYPE_U64) >= 0)
            t->handle = be64toh(mnl_attr_get_u64(a));
        break;
    case NFTA_TRACE_TYPE:
        t->type = (enum nft_trace_type)read_u32(a);
        break;
    case NFTA_TRACE_VERDICT:
        read_verdict(a, t);
        break;
    case NFTA_TRACE_ID:
        t->id = read_u32(a);
        break;
    case NFTA_TRACE_NETWORK_HEADER:
    case NFTA_TRACE_TRANSPORT_HEADER:
        add_header(h, a);
        break;
    case NFTA_TRACE_IIF:
        t->in = read_u32(a);
        break;
    case NFTA_TRACE_OIF:
        t->out = read_u32(a);
        break;
    }
}

bool nft_trace_parse(const struct nlmsghdr *h, struct nft_trace *ret_event)
{
    struct nft_trace t = { 0 };
    struct headers headers = { .len = 0 };
    const struct nlattr *a;
    if (h->nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_TRACE) ||
        mnl_nlmsg_get_payload_len(h) < sizeof(struct nfgenmsg))
        return false;
    const struct nfgenmsg *m = mnl_nlmsg_get_payload(h);
    t.family = m->nfgen_family;
    mnl_attr_for_each(a, h, sizeof *m) read_attribute(a, &t, &headers);
    if (headers.len)
        read_packet(&headers, &t);
    *ret_event = t;
    return true;
}

struct teller {
    void (*fn)(void *ctx, const struct nft_trace *e);
    void *ctx;
};

static int tell(const struct nlmsghdr *h, void *ctx)
{
    struct teller *t = ctx;
    struct nft_trace e;
    if (nft_trace_parse(h, &e))
        t->fn(t->ctx, &e);
    return MNL_CB_OK;
}

int nft_tracer_events(struct nft_tracer *t, void (*fn)(void *ctx, const struct nft_trace *e),
                      void *ctx)
{
    struct teller teller = { fn, ctx };
    return nl_events(&t->nl, tell, &teller);
}

const char *nft_verdict_text(int verdict)
{
    switch (verdict) {
    case NF_DROP:
        return "drop";
    case NF_ACCEPT:
        return "accept";
    case NF_STOLEN:
        return "stolen";
    case NF_QUEUE:
        return "queue";
    case NFT_CONTINUE:
        return "continue";
    case NFT_BREAK:
        return "break";
    case NFT_JUMP:
        return "jump";
    case NFT_GOTO:
        return "goto";
    case NFT_RETURN:
        return "return";
    default:
        return "verdict";
    }
}

const char *nft_family_text(uint8_t family)
{
    switch (family) {
    case NFPROTO_INET:
        return "inet";
    case NFPROTO_IPV4:
        return "ip";
    case NFPROTO_IPV6:
        return "ip6";
    case NFPROTO_NETDEV:
        return "netdev";
    case NFPROTO_BRIDGE:
        return "bridge";
    default:
        return "arp";
    }
}
