#include "net/udp.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

void udp_in_init(struct udp_in *in)
{
    memset(in, 0, sizeof *in);
    for (unsigned i = 0; i < UDP_BATCH; i++) {
        in->hdr[i].msg_hdr.msg_iov = &in->iov[i];
        in->hdr[i].msg_hdr.msg_iovlen = 1;
    }
}

void udp_in_place(struct udp_in *in, unsigned i, void *buf, size_t cap,
                  struct sockaddr_storage *peer, struct udp_local *local)
{
    struct msghdr *h = &in->hdr[i].msg_hdr;
    in->iov[i] = (struct iovec){ .iov_base = buf, .iov_len = cap };
    h->msg_name = peer;
    h->msg_namelen = sizeof *peer;
    h->msg_control = local ? local->control : NULL;
    h->msg_controllen = local ? sizeof local->control : 0;
}

/* What came as pktinfo goes back as pktinfo; the interface index is cleared, because the route back
 * may leave through another interface. */
static void keep_local(struct msghdr *h)
{
    if (!h->msg_control)
        return;
    struct udp_local *local =
        (struct udp_local *)((char *)h->msg_control - offsetof(struct udp_local, control));
    struct cmsghdr *c = CMSG_FIRSTHDR(h);
    local->len = 0;
    if (!c)
        return;
    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
        struct in_pktinfo *info = (struct in_pktinfo *)CMSG_DATA(c);
        info->ipi_spec_dst = info->ipi_addr;
        info->ipi_ifindex = 0;
        local->len = CMSG_SPACE(sizeof *info);
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
        struct in6_pktinfo *info = (struct in6_pktinfo *)CMSG_DATA(c);
        if (!IN6_IS_ADDR_LINKLOCAL(&info->ipi6_addr))
            info->ipi6_ifindex = 0;
        local->len = CMSG_SPACE(sizeof *info);
    }
}

int udp_receive(int fd, struct udp_in *in, unsigned n)
{
    int got = recvmmsg(fd, in->hdr, n, MSG_DONTWAIT, NULL);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    for (int i = 0; i < got; i++) {
        struct msghdr *h = &in->hdr[i].msg_hdr;
        keep_local(h);
        h->msg_namelen = sizeof(struct sockaddr_storage); /* the kernel shortened both */
        h->msg_controllen = h->msg_control ? sizeof((struct udp_local *)0)->control : 0;
    }
    return got;
}

unsigned udp_discard(int fd)
{
    uint8_t byte;
    unsigned n = 0;
    while (n < UDP_BATCH && recv(fd, &byte, 1, MSG_DONTWAIT) >= 0)
        n++;
    return n;
}

void udp_out_add(struct udp_out *out, const void *data, size_t len,
                 const struct sockaddr_storage *peer, const struct udp_local *local)
{
    unsigned i = out->n++;
    struct msghdr *h = &out->hdr[i].msg_hdr;
    out->iov[i] = (struct iovec){ .iov_base = (void *)(uintptr_t)data, .iov_len = len };
    *h = (struct msghdr){
        .msg_name = (void *)(uintptr_t)peer,
        .msg_namelen =
            peer->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6),
        .msg_iov = &out->iov[i],
        .msg_iovlen = 1,
    };
    if (local && local->len) {
        h->msg_control = (void *)(uintptr_t)local->control;
        h->msg_controllen = local->len;
    }
}

unsigned udp_flush(int fd, struct udp_out *out)
{
    unsigned sent = 0, dropped = 0;
    while (sent < out->n) {
        int ret = sendmmsg(fd, out->hdr + sent, out->n - sent, 0);
        if (ret > 0) {
            sent += (unsigned)ret;
        } else if (errno != EINTR) {
            sent++; /* the first of the rest was refused: leave it out */
            dropped++;
        }
    }
    out->n = 0;
    return dropped;
}
