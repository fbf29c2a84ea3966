#include "kernel/capture.h"

#include "base/cursor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECEIVE_BUFFER  (4 << 20)
#define IPV6_EXTENSIONS 8 /* header chains longer than this are not followed */

static int bind_to(int fd, const char *link)
{
    struct sockaddr_ll sa = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
    sa.sll_ifindex = (int)if_nametoindex(link);
    if (!sa.sll_ifindex || bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0)
        return -errno;
    return 0;
}

int capture_open(struct capture *c, const char *link)
{
    /* Protocol 0: nothing arrives before the socket is bound to the one link. SOCK_DGRAM: packets
     * come without the link-layer header. */
    int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
    int size = RECEIVE_BUFFER;
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    int code = bind_to(fd, link);
    if (code < 0) {
        close(fd);
        return code;
    }
    c->fd = fd;
    return 0;
}

void capture_done(struct capture *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

static int64_t timestamp_of(struct msghdr *m)
{
    struct timespec t;
    for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
        if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_TIMESTAMPNS) {
            memcpy(&t, CMSG_DATA(h), sizeof t);
            return t.tv_sec * 1000000000LL + t.tv_nsec;
        }
    }
    return 0;
}

int capture_read(struct capture *c, uint8_t *buf, struct packet *ret_packet)
{
    for (;;) {
        uint8_t control[64];
        struct sockaddr_ll from;
        struct iovec iov = { buf, CAPTURE_BYTES };
        struct msghdr m = { .msg_name = &from,
                            .msg_namelen = sizeof from,
                            .msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = control,
                            .msg_controllen = sizeof control };
        ssize_t len = recvmsg(c->fd, &m, 0);
        if (len < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        if (!packet_parse(buf, (size_t)len, ret_packet))
            continue;
        ret_packet->time_ns = timestamp_of(&m);
        ret_packet->outgoing = from.sll_pkttype == PACKET_OUTGOING;
        return 1;
    }
}

static struct ip read_ip(struct cursor *c, int family)
{
    struct ip ip = { .family = (uint8_t)family };
    const uint8_t *p = cursor_take(c, ip_len(&ip));
    if (p)
        memcpy(ip.bytes, p, ip_len(&ip));
    return ip;
}

/* Leaves the cursor at the transport header, cut to the packet's own length (without padding). */
static bool read_ipv4(struct cursor *c, struct packet *p)
{
    size_t words = cursor_u8(c) & 15;
    cursor_u8(c);
    uint16_t total = cursor_u16(c);
    cursor_u16(c);
    uint16_t fragment = cursor_u16(c) & 0x1fff;
    cursor_u8(c);
    p->protocol = cursor_u8(c);
    cursor_u16(c);
    p->from = read_ip(c, 4);
    p->to = read_ip(c, 4);
    if (words < 5 || fragment || total < words * 4)
        return false;
    cursor_take(c, words * 4 - 20);
    if (total < c->len)
        c->len = total;
    return !c->bad;
}

static bool is_extension(uint8_t header)
{
    return header == IPPROTO_HOPOPTS || header == IPPROTO_ROUTING || header == IPPROTO_DSTOPTS;
}

static bool read_ipv6(struct cursor *c, struct packet *p)
{
    cursor_u32(c);
    size_t length = cursor_u16(c);
    uint8_t next = cursor_u8(c);
    cursor_u8(c);
    p->from = read_ip(c, 6);
    p->to = read_ip(c, 6);
    if (40 + length < c->len)
        c->len = 40 + length;
    for (int i = 0; i < IPV6_EXTENSIONS && is_extension(next); i++) {
        next = cursor_u8(c);
        size_t units = cursor_u8(c);
        cursor_take(c, 6 + 8 * units);
    }
    p->protocol = next;
    return !c->bad && !is_extension(next) && next != IPPROTO_FRAGMENT;
}

static void skip_tcp_header(struct cursor *c, struct packet *p)
{
    cursor_take(c, 8);
    size_t header = (cursor_u8(c) >> 4) * 4;
    p->tcp_flags = cursor_u8(c);
    cursor_take(c, header >= 20 ? header - 14 : SIZE_MAX);
}

static void read_transport(struct cursor *c, struct packet *p)
{
    if (p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP)
        return;
    p->from_port = cursor_u16(c);
    p->to_port = cursor_u16(c);
    if (p->protocol == IPPROTO_TCP)
        skip_tcp_header(c, p);
    else
        cursor_take(c, 4);
    if (c->bad) /* a packet that was cut short still has its ports */
        return;
    p->payload = c->base + c->pos;
    p->payload_len = cursor_left(c);
}

bool packet_parse(const uint8_t *bytes, size_t len, struct packet *ret_packet)
{
    struct cursor c = cursor_of(bytes, len);
    struct packet p = { 0 };
    int version = len ? bytes[0] >> 4 : 0;
    if (version == 4 ? !read_ipv4(&c, &p) : version == 6 ? !read_ipv6(&c, &p) : true)
        return false;
    read_transport(&c, &p);
    *ret_packet = p;
    return true;
}
