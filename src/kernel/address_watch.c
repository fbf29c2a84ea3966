#include "kernel/address_watch.h"

#include "base/cleanup.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

int address_watch_open(struct nl *n)
{
    static const int groups[] = { RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR };
    int ret = nl_open(n, NETLINK_ROUTE);
    for (size_t i = 0; ret == 0 && i < ARRAY_SIZE(groups); i++)
        ret = nl_join(n, groups[i]);
    if (ret < 0)
        nl_done(n);
    return ret;
}

void address_watch_drain(struct nl *n)
{
    char buf[8192];
    while (recv(mnl_socket_get_fd(n->sock), buf, sizeof buf, MSG_DONTWAIT) > 0 || errno == ENOBUFS)
        errno = 0;
}
