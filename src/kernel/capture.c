#include "kernel/capture.h"

#include "base/cleanup.h"
#include "base/cursor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECEIVE_BUFFER  (4 << 20)
#define LOOPBACK_INDEX  1   /* of `lo`, in every network namespace */
#define FLOW_BYTES      128 /* of packets that are not DNS: headers, also those within ICMP errors */
#define DNS_PORT        53
#define IPV6_EXTENSIONS 8 /* header chains longer than this are not followed */

static int bind_to(int fd, int index)
{
    struct sockaddr_ll sa = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
    sa.sll_ifindex = index;
    return bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0 ? -errno : 0;
}

/* A socket that gets nothing yet. Protocol 0: nothing arrives before it is bound to its links.
 * SOCK_DGRAM: packets come without the link-layer header. */
static int open_socket(void)
{
    int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
    int size = RECEIVE_BUFFER;
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    return fd;
}

static int take(struct capture *c, int fd, int code)
{
    if (code < 0)
        close(fd);
    else
        c->fd = fd;
    return code;
}

int capture_open(struct capture *c, const char *link)
{
    int fd = open_socket(), index = link ? (int)if_nametoindex(link) : 0;
    if (fd < 0)
        return fd;
    return take(c, fd, index || !link ? bind_to(fd, index) : -errno);
}

/* Only what begins and ends flows, and all of that port. Classic BPF (linux/filter.h) over a packet
 * from its IP header on; X is the length of that header. A label is the place of its statement;
 * jumps are counted from the statement behind. */
static int filter_flows(int fd, uint16_t port)
{
    enum { V6 = 8, TRANSPORT = 10, PORTS = 13, NONE = 23, SHORT = 24, WHOLE = 25 };
#define LOAD(size, mode, at) BPF_STMT(BPF_LD | (size) | (mode), at)
#define IF(test, value, here, label)                                                               \
    BPF_JUMP(BPF_JMP | (test) | BPF_K, value, (label) - (here)-1, 0)
#define UNLESS(test, value, here, label)                                                           \
    BPF_JUMP(BPF_JMP | (test) | BPF_K, value, 0, (label) - (here)-1)
    struct sock_filter code[] = {
        LOAD(BPF_B, BPF_ABS, 0), /* the version */
        BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 4),
        IF(BPF_JEQ, 6, 2, V6),
        LOAD(BPF_H, BPF_ABS, 6), /* IPv4: a later fragment? */
        IF(BPF_JSET, 0x1fff, 4, NONE),
        BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
        LOAD(BPF_B, BPF_ABS, 9),
        BPF_JUMP(BPF_JMP | BPF_JA, TRANSPORT - 7 - 1, 0, 0),
        BPF_STMT(BPF_LDX | BPF_W | BPF_IMM, 40), /* V6; behind extension headers is not looked */
        LOAD(BPF_B, BPF_ABS, 6),
        BPF_STMT(BPF_ST, 0), /* TRANSPORT: keeps the protocol */
        IF(BPF_JEQ, IPPROTO_UDP, 11, PORTS),
        UNLESS(BPF_JEQ, IPPROTO_TCP, 12, SHORT),
        LOAD(BPF_H, BPF_IND, 0), /* PORTS */
        IF(BPF_JEQ, DNS_PORT, 14, WHOLE),
        IF(BPF_JEQ, port, 15, WHOLE),
        LOAD(BPF_H, BPF_IND, 2),
        IF(BPF_JEQ, DNS_PORT, 17, WHOLE),
        IF(BPF_JEQ, port, 18, WHOLE),
        LOAD(BPF_W, BPF_MEM, 0),
        UNLESS(BPF_JEQ, IPPROTO_TCP, 20, SHORT),
        LOAD(BPF_B, BPF_IND, 13),
        IF(BPF_JSET, TCP_FIN | TCP_SYN | TCP_RST, 22, SHORT),
        BPF_STMT(BPF_RET | BPF_K, 0),             /* NONE */
        BPF_STMT(BPF_RET | BPF_K, FLOW_BYTES),    /* SHORT */
        BPF_STMT(BPF_RET | BPF_K, CAPTURE_BYTES), /* WHOLE */
    };
#undef LOAD
#undef IF
#undef UNLESS
    const struct sock_fprog program = { ARRAY_SIZE(code), code };
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0 ? -errno : 0;
}

int capture_open_flows(struct capture *c)
{
    int fd = open_socket();
    if (fd < 0)
        return fd;
    int code = filter_flows(fd, DNS_PORT);
    return take(c, fd, code < 0 ? code : bind_to(fd, 0));
}

int capture_follow(struct capture *c, uint16_t port)
{
    return filter_flows(c->fd, port);
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
        bool outgoing = from.sll_pkttype == PACKET_OUTGOING;
        bool loopback = from.sll_ifindex == LOOPBACK_INDEX;
        if ((loopback && !outgoing) || !packet_parse(buf, (size_t)len, ret_packet))
            continue;
        ret_packet->time_ns = timestamp_of(&m);
        ret_packet->outgoing = outgoing;
        ret_packet->loopback = loopback;
        return 1;
    }
}

unsigned capture_lost(struct capture *c)
{
    struct tpacket_stats stats = { 0 }; /* reading sets the kernel's counters to 0 */
    socklen_t len = sizeof stats;
    getsockopt(c->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len);
    return stats.tp_drops;
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

static void read_icmp(struct cursor *c, struct packet *p)
{
    p->icmp_type = cursor_u8(c);
    p->icmp_code = cursor_u8(c);
    cursor_take(c, 6);
    if (c->bad)
        return;
    p->payload = c->base + c->pos;
    p->payload_len = cursor_left(c);
}

static bool is_icmp(const struct packet *p)
{
    return p->protocol == (p->from.family == 6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
}

static void read_transport(struct cursor *c, struct packet *p)
{
    if (is_icmp(p))
        read_icmp(c, p);
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

/* ICMP: destination unreachable, time exceeded, parameter problem (RFC 792); ICMPv6: types below
 * 128 (RFC 4443, 2.1). */
bool packet_icmp_error(const struct packet *p, struct packet *ret_about)
{
    bool v4 = p->from.family == 4;
    if (!is_icmp(p) || !p->payload)
        return false;
    if (v4 ? p->icmp_type != 3 && p->icmp_type != 11 && p->icmp_type != 12 : p->icmp_type >= 128)
        return false;
    return packet_parse(p->payload, p->payload_len, ret_about);
}

bool packet_is_port_unreachable(const struct packet *p)
{
    bool v4 = p->from.family == 4;
    return is_icmp(p) &&
           (v4 ? p->icmp_type == 3 && p->icmp_code == 3 : p->icmp_type == 1 && p->icmp_code == 4);
}
