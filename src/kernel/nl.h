/* One netlink conversation, by libmnl: a request, its answers, the acknowledgement.
 *
 * The socket belongs to the network namespace in which it was opened, for good; so one process
 * talks to many namespaces by holding a `struct nl` of each. Private to kernel/. */
#pragma once

#include <libmnl/libmnl.h>
#include <stdint.h>

#define NL_REQUEST_MAX 4096 /* our longest request is a few hundred bytes */

struct nl {
    struct mnl_socket *sock; /* NULL: not open */
    uint32_t seq;
};

/* protocol: NETLINK_ROUTE, NETLINK_NETFILTER, ... Returns 0 or a negated errno. */
int nl_open(struct nl *n, int protocol) __attribute__((warn_unused_result));
void nl_done(struct nl *n);

/* A request in buf (NL_REQUEST_MAX bytes); flags are added to NLM_F_REQUEST. */
struct nlmsghdr *nl_request(struct nl *n, void *buf, uint16_t type, uint16_t flags);
/* The same for NETLINK_NETFILTER: type with its subsystem, family: AF_* or NFPROTO_*. */
struct nlmsghdr *nl_netfilter_request(struct nl *n, void *buf, uint16_t type, uint16_t flags,
                                      uint8_t family);
/* Sends it and reads until the acknowledgement or the end of the dump; each message goes to `each`
 * (may be NULL). Returns 0 or the kernel's negated errno. */
int nl_ask(struct nl *n, struct nlmsghdr *req, mnl_cb_t each, void *ctx);

/* The socket is told from now on what goes to that multicast group. Returns 0 or a negated errno.
 */
int nl_join(struct nl *n, int group);
void nl_leave(struct nl *n, int group);
/* What has been told, without waiting: each message goes to `each`. Returns 0 or a negated errno
 * (-ENOBUFS: some were lost). */
int nl_events(struct nl *n, mnl_cb_t each, void *ctx);
