#include "floor.h"

#include "base/mem.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#define PACKET_MAX 1500

struct batch {
    struct mmsghdr hdr[BATCH_MAX];
    struct iovec iov[BATCH_MAX];
    struct sockaddr_in peer[BATCH_MAX];
    uint8_t data[BATCH_MAX][PACKET_MAX];
};

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

int floor_udp(int fd, unsigned batch, struct err *e)
{
    cleanup_free struct batch *b = xcalloc(1, sizeof *b);
    batch_init(b);
    for (;;) {
        int n = receive(fd, b, batch);
        if (n < 0 && errno != EINTR)
            return err_set(e, -errno, "receive: %s", strerror(errno));
        if (n <= 0)
            continue;
        reflect(b, (unsigned)n);
        send_all(fd, b, (unsigned)n);
    }
}
