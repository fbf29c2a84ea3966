/* The floor: a UDP server that does nothing but send back what came, with the response bit set.
 *
 * Every DNS server on the same socket interface pays at least this, so it is the unit in which
 * bench/dns.py measures. One thread, one socket; batches as large as the server's own (net/udp.h).
 */
#include "base/err.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#define BATCH_MAX   1024
#define PACKET_MAX  1500
#define HEADER_LEN  12
#define BUFFER_WANT (4 << 20) /* bytes; what the server's own sockets ask for */

struct batch {
    struct mmsghdr hdr[BATCH_MAX];
    struct iovec iov[BATCH_MAX];
    struct sockaddr_in peer[BATCH_MAX];
    uint8_t data[BATCH_MAX][PACKET_MAX];
};

static struct batch batch;

static int open_socket(uint16_t port, struct err *e)
{
    struct sockaddr_in sa = { .sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1, size = BUFFER_WANT;
    if (fd < 0)
        return err_set(e, -errno, "floor: socket: %s", strerror(errno));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size); /* best effort */
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0) {
        int code = -errno;
        close(fd);
        return err_set(e, code, "floor: udp 127.0.0.1:%u: %s", port, strerror(-code));
    }
    return fd;
}

static void batch_init(struct batch *b)
{
    for (unsigned i = 0; i < BATCH_MAX; i++) {
        b->iov[i].iov_base = b->data[i];
        b->hdr[i].msg_hdr =
            (struct msghdr){ .msg_name = &b->peer[i], .msg_iov = &b->iov[i], .msg_iovlen = 1 };
    }
}

static int receive(int fd, struct batch *b, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        b->iov[i].iov_len = PACKET_MAX;
        b->hdr[i].msg_hdr.msg_namelen = sizeof b->peer[i];
    }
    return recvmmsg(fd, b->hdr, size, MSG_WAITFORONE, NULL);
}

/* Packets shorter than a header go back as they are: only the driver's queries come here. */
static void reflect(struct batch *b, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        b->iov[i].iov_len = b->hdr[i].msg_len;
        if (b->hdr[i].msg_len >= HEADER_LEN)
            b->data[i][2] |= 0x80;
    }
}

static void send_all(int fd, struct batch *b, unsigned n)
{
    for (unsigned done = 0; done < n;) {
        int sent = sendmmsg(fd, b->hdr + done, n - done, 0);
        done += sent > 0 ? (unsigned)sent : 1; /* a refused datagram is dropped */
    }
}

static int serve(int fd, unsigned size, struct err *e)
{
    batch_init(&batch);
    for (;;) {
        int n = receive(fd, &batch, size);
        if (n < 0 && errno != EINTR)
            return err_set(e, -errno, "floor: receive: %s", strerror(errno));
        if (n <= 0)
            continue;
        reflect(&batch, (unsigned)n);
        send_all(fd, &batch, (unsigned)n);
    }
}

static int parse(int argc, char **argv, long *ret_port, long *ret_batch)
{
    static const struct option options[] = { { "port", required_argument, NULL, 'p' },
                                             { "batch", required_argument, NULL, 'b' },
                                             { 0 } };
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'p' && str_to_long(optarg, 1, UINT16_MAX, ret_port) == 0)
            continue;
        if (c == 'b' && str_to_long(optarg, 1, BATCH_MAX, ret_batch) == 0)
            continue;
        return ERR_INVALID;
    }
    return optind == argc && *ret_port ? 0 : ERR_INVALID;
}

int main(int argc, char **argv)
{
    long port = 0, size = 64;
    struct err e;
    if (parse(argc, argv, &port, &size) < 0) {
        fprintf(stderr, "usage: floor --port N [--batch 1..%d]\n", BATCH_MAX);
        return 2;
    }
    int fd = open_socket((uint16_t)port, &e);
    if (fd < 0 || serve(fd, (unsigned)size, &e) < 0)
        fprintf(stderr, "%s\n", e.text);
    return 1; /* it serves until a signal ends it */
}
