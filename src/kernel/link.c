#include "kernel/link.h"

#include "base/rand.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#define CREATE (NLM_F_CREATE | NLM_F_EXCL)

int link_table_open(struct link_table *t)
{
    return nl_open(&t->nl, NETLINK_ROUTE);
}

void link_table_done(struct link_table *t)
{
    nl_done(&t->nl);
}

static int family_of(const struct ip *ip)
{
    return ip->family == 6 ? AF_INET6 : AF_INET;
}

static void put_ip(struct nlmsghdr *h, uint16_t type, const struct ip *ip)
{
    mnl_attr_put(h, type, ip_len(ip), ip->bytes);
}

static struct ip ip_of_attr(const struct nlattr *a)
{
    struct ip ip = { 0 };
    size_t len = mnl_attr_get_payload_len(a);
    if (len == 4 || len == 16) {
        ip.family = len == 4 ? 4 : 6;
        memcpy(ip.bytes, mnl_attr_get_payload(a), len);
    }
    return ip;
}

static struct nlmsghdr *link_request(struct link_table *t, void *buf, uint16_t type, uint16_t flags,
                                     int index)
{
    struct nlmsghdr *h = nl_request(&t->nl, buf, type, flags);
    struct ifinfomsg *m = mnl_nlmsg_put_extra_header(h, sizeof *m);
    m->ifi_index = index;
    return h;
}

static int read_index(const struct nlmsghdr *h, void *ctx)
{
    const struct ifinfomsg *m = mnl_nlmsg_get_payload(h);
    *(int *)ctx = m->ifi_index;
    return MNL_CB_OK;
}

int link_index(struct link_table *t, const char *name)
{
    uint8_t buf[NL_REQUEST_MAX];
    struct nlmsghdr *h = link_request(t, buf, RTM_GETLINK, 0, 0);
    mnl_attr_put_strz(h, IFLA_IFNAME, name);
    int index = 0, code = nl_ask(&t->nl, h, read_index, &index);
    return code < 0 ? code : index > 0 ? index : -ENODEV;
}

static int read_name(const struct nlmsghdr *h, void *ctx)
{
    const struct nlattr *a;
    mnl_attr_for_each(a, h, sizeof(struct ifinfomsg))
    {
        if (mnl_attr_get_type(a) == IFLA_IFNAME && mnl_attr_validate(a, MNL_TYPE_NUL_STRING) >= 0)
            snprintf(ctx, 16, "%s", mnl_attr_get_str(a));
    }
    return MNL_CB_OK;
}

char *link_name(struct link_table *t, int index, char out[16])
{
    uint8_t buf[NL_REQUEST_MAX];
    snprintf(out, 16, "if%d", index);
    nl_ask(&t->nl, link_request(t, buf, RTM_GETLINK, 0, index), read_name, out);
    return out;
}

/* hardware: its address, 6 bytes, or NULL for one of the kernel's choice. */
static int add_kind(struct link_table *t, const char *name, const char *kind,
                    const uint8_t *hardware)
{
    uint8_t buf[NL_REQUEST_MAX];
    struct nlmsghdr *h = link_request(t, buf, RTM_NEWLINK, CREATE, 0);
    mnl_attr_put_strz(h, IFLA_IFNAME, name);
    if (hardware)
        mnl_attr_put(h, IFLA_ADDRESS, ETH_ALEN, hardware);
    struct nlattr *info = mnl_attr_nest_start(h, IFLA_LINKINFO);
    mnl_attr_put_strz(h, IFLA_INFO_KIND, kind);
    mnl_attr_nest_end(h, info);
    return nl_ask(&t->nl, h, NULL, NULL);
}

int link_add_bridge(struct link_table *t, const char *name)
{
    uint64_t seed = rand_seed();
    uint8_t hardware[ETH_ALEN];
    memcpy(hardware, &seed, sizeof hardware);
    hardware[0] = (hardware[0] & 0xfc) | 0x02; /* one station's, locally administered */
    return add_kind(t, name, "bridge", hardware);
}

int link_add_dummy(struct link_table *t, const char *name)
{
    return add_kind(t, name, "dummy", NULL);
}

int link_add_veth(struct link_table *t, const char *name, const char *peer, int peer_netns)
{
    uint8_t buf[NL_REQUEST_MAX];
    struct nlmsghdr *h = link_request(t, buf, RTM_NEWLINK, CREATE, 0);
    mnl_attr_put_strz(h, IFLA_IFNAME, name);
    struct nlattr *info = mnl_attr_nest_start(h, IFLA_LINKINFO);
    mnl_attr_put_strz(h, IFLA_INFO_KIND, "veth");
    struct nlattr *data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
    struct nlattr *other = mnl_attr_nest_start(h, VETH_INFO_PEER);
    mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
    mnl_attr_put_strz(h, IFLA_IFNAME, peer);
    mnl_attr_put_u32(h, IFLA_NET_NS_FD, (uint32_t)peer_netns);
    mnl_attr_nest_end(h, other);
    mnl_attr_nest_end(h, data);
    mnl_attr_nest_end(h, info);
    return nl_ask(&t->nl, h, NULL, NULL);
}

int link_set_up(struct link_table *t, const char *name)
{
    uint8_t buf[NL_REQUEST_MAX];
    int index = link_index(t, name);
    if (index < 0)
        return index;
    struct nlmsghdr *h = link_request(t, buf, RTM_NEWLINK, 0, index);
    struct ifinfomsg *m = mnl_nlmsg_get_payload(h);
    m->ifi_flags = m->ifi_change = IFF_UP;
    return nl_ask(&t->nl, h, NULL, NULL);
}

int link_set_master(struct link_table *t, const char *name, const char *bridge)
{
    uint8_t buf[NL_REQUEST_MAX];
    int index = link_index(t, name), master = link_index(t, bridge);
    if (index < 0 || master < 0)
        return index < 0 ? index : master;
    struct nlmsghdr *h = link_request(t, buf, RTM_NEWLINK, 0, index);
    mnl_attr_put_u32(h, IFLA_MASTER, (uint32_t)master);
    return nl_ask(&t->nl, h, NULL, NULL);
}

int link_set_hairpin(struct link_table *t, const char *name)
{
    uint8_t buf[NL_REQUEST_MAX];
    int index = link_index(t, name);
    if (index < 0)
        return index;
    struct nlmsghdr *h = link_request(t, buf, RTM_SETLINK, 0, index);
    ((struct ifinfomsg *)mnl_nlmsg_get_payload(h))->ifi_family = AF_BRIDGE;
    struct nlattr *port = mnl_attr_nest_start(h, IFLA_PROTINFO);
    mnl_attr_put_u8(h, IFLA_BRPORT_MODE, 1);
    mnl_attr_nest_end(h, port);
    return nl_ask(&t->nl, h, NULL, NULL);
}

int link_delete(struct link_table *t, const char *name)
{
    uint8_t buf[NL_REQUEST_MAX];
    int index = link_index(t, name);
    if (index < 0)
        return index;
    return nl_ask(&t->nl, link_request(t, buf, RTM_DELLINK, 0, index), NULL, NULL);
}

static int address_request(struct link_table *t, uint16_t type, uint16_t flags, const char *name,
                           const struct ip *ip, unsigned bits)
{
    uint8_t buf[NL_REQUEST_MAX];
    int index = link_index(t, name);
    if (index < 0)
        return index;
    struct nlmsghdr *h = nl_request(&t->nl, buf, type, flags);
    struct ifaddrmsg *m = mnl_nlmsg_put_extra_header(h, sizeof *m);
    m->ifa_family = (uint8_t)family_of(ip);
    m->ifa_prefixlen = (uint8_t)bits;
    m->ifa_flags = ip->family == 6 ? IFA_F_NODAD : 0;
    m->ifa_index = (uint32_t)index;
    put_ip(h, IFA_LOCAL, ip);
    put_ip(h, IFA_ADDRESS, ip);
    return nl_ask(&t->nl, h, NULL, NULL);
}

int link_add_address(struct link_table *t, const char *name, const struct ip *ip, unsigned bits)
{
    return address_request(t, RTM_NEWADDR, CREATE, name, ip, bits);
}

int link_delete_address(struct link_table *t, const char *name, const struct ip *ip, unsigned bits)
{
    return address_request(t, RTM_DELADDR, 0, name, ip, bits);
}

int route_add(struct link_table *t, const struct ip_prefix *to, const struct ip *gateway,
              const char *name)
{
    uint8_t buf[NL_REQUEST_MAX];
    int index = link_index(t, name);
    if (index < 0)
        return index;
    struct nlmsghdr *h = nl_request(&t->nl, buf, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
    struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof *m);
    m->rtm_family = (uint8_t)family_of(&to->ip);
    m->rtm_dst_len = to->bits;
    m->rtm_table = RT_TABLE_MAIN;
    m->rtm_protocol = RTPROT_STATIC;
    m->rtm_scope = gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
    m->rtm_type = RTN_UNICAST;
    m->rtm_flags = gateway ? RTNH_F_ONLINK : 0;
    if (to->bits)
        put_ip(h, RTA_DST, &to->ip);
    if (gateway)
        put_ip(h, RTA_GATEWAY, gateway);
    mnl_attr_put_u32(h, RTA_OIF, (uint32_t)index);
    return nl_ask(&t->nl, h, NULL, NULL);
}

static int read_route(const struct nlmsghdr *h, void *ctx)
{
    struct link_route *r = ctx;
    const struct rtmsg *m = mnl_nlmsg_get_payload(h);
    const struct nlattr *a;
    r->type = m->rtm_type;
    mnl_attr_for_each(a, h, sizeof *m)
    {
        uint16_t type = mnl_attr_get_type(a);
        if (type == RTA_OIF && mnl_attr_validate(a, MNL_TYPE_U32) >= 0)
            r->out = (int)mnl_attr_get_u32(a);
        else if (type == RTA_GATEWAY)
            r->gateway = ip_of_attr(a);
        else if (type == RTA_PREFSRC)
            r->source = ip_of_attr(a);
    }
    return MNL_CB_OK;
}

int route_get(struct link_table *t, const struct ip *to, const struct ip *from, int in,
              struct link_route *ret_route)
{
    uint8_t buf[NL_REQUEST_MAX];
    struct link_route r = { 0 };
    struct nlmsghdr *h = nl_request(&t->nl, buf, RTM_GETROUTE, 0);
    struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof *m);
    m->rtm_family = (uint8_t)family_of(to);
    m->rtm_dst_len = (uint8_t)(8 * ip_len(to));
    put_ip(h, RTA_DST, to);
    if (from) {
        m->rtm_src_len = (uint8_t)(8 * ip_len(from));
        put_ip(h, RTA_SRC, from);
    }
    if (in)
        mnl_attr_put_u32(h, RTA_IIF, (uint32_t)in);
    int code = nl_ask(&t->nl, h, read_route, &r);
    if (code == 0)
        *ret_route = r;
    return code;
}

bool route_is_local(struct link_table *t, const struct ip *to)
{
    struct link_route r;
    return route_get(t, to, NULL, 0, &r) == 0 && r.type == RTN_LOCAL;
}
