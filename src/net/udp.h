/* Datagrams in batches: one system call receives up to UDP_BATCH queries, one sends their replies.
 *
 * The caller lends a buffer and a peer address for each place of the batch. The pair {receive,
 * send} is all that the server knows of sockets, so another filling (io_uring, AF_XDP) can replace
 * this one. */
#pragma once

#include "base/ip.h"

#include <stdbool.h>
#include <sys/socket.h>

#define UDP_BATCH 64

/* Which address of ours the datagram was sent to; kept so that the reply leaves from it. */
struct udp_local {
    uint8_t len; /* of control; 0: the socket is bound to one address */
    char control[CMSG_SPACE(sizeof(struct in6_pktinfo))] __attribute__((aligned(8)));
};

struct udp_in {
    struct mmsghdr hdr[UDP_BATCH];
    struct iovec iov[UDP_BATCH];
};

void udp_in_init(struct udp_in *in);
/* Place i receives into buf; peer and local are filled by udp_receive(). local NULL: not wanted. */
void udp_in_place(struct udp_in *in, unsigned i, void *buf, size_t cap,
                  struct sockaddr_storage *peer, struct udp_local *local);
/* Returns how many datagrams came (0: none waiting) or a negated errno. Lengths: udp_in_len(). */
int udp_receive(int fd, struct udp_in *in, unsigned n);

/* Throws away at most UDP_BATCH datagrams that nobody has a place for; returns how many. */
unsigned udp_discard(int fd);

static inline size_t udp_in_len(const struct udp_in *in, unsigned i)
{
    return in->hdr[i].msg_len;
}

struct udp_out {
    unsigned n;
    struct mmsghdr hdr[UDP_BATCH];
    struct iovec iov[UDP_BATCH];
};

/* Adds a reply; data, peer and local must stay until udp_flush(). The caller flushes at UDP_BATCH.
 */
void udp_out_add(struct udp_out *out, const void *data, size_t len,
                 const struct sockaddr_storage *peer, const struct udp_local *local);
/* Sends all. Datagrams that the kernel refuses (full buffer, unreachable) are dropped, as the
 * network would; returns how many. */
unsigned udp_flush(int fd, struct udp_out *out);
