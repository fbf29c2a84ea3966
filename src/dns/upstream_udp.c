#include "dns/upstream_impl.h"

#include "base/clock.h"

#include <errno.h>

#define UDP_IN_ROUNDS 4 /* batches in a row before other events get their turn */

static int send_datagram(struct channel *c, uint16_t id, const uint8_t *msg, size_t len)
{
    uint8_t first[2];
    put_u16(first, id);
    struct iovec iov[] = { { .iov_base = first, .iov_len = sizeof first },
                           { .iov_base = (void *)(uintptr_t)(msg + 2), .iov_len = len - 2 } };
    struct msghdr h = { .msg_iov = iov, .msg_iovlen = ARRAY_SIZE(iov) };
    return sendmsg(c->fd, &h, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* A send may be told that an earlier datagram was refused: those who wait for its answer fail at
 * the wheel's next tick (not here, in the middle of another query's step). */
static void blame_earlier(struct channel *c, int error)
{
    struct wheel *wheel = &c->link->worker->wheel;
    int64_t now = clock_ns();
    c->error = error;
    c->retired = true;
    for (unsigned i = 0; c->n && i < CHANNEL_BUCKETS; i++)
        for (struct exchange *x = c->by_id[i]; x; x = x->next)
            wheel_set(wheel, &x->deadline, now);
}

int udp_channel_send(struct channel *c, uint16_t id, const uint8_t *msg, size_t len)
{
    int ret = send_datagram(c, id, msg, len);
    if (ret == -ECONNREFUSED) {
        blame_earlier(c, ret);
        ret = send_datagram(c, id, msg, len);
    }
    return ret;
}

void udp_channel_readable(struct channel *c)
{
    struct upstream_worker *uw = c->link->worker;
    for (int round = 0; round < UDP_IN_ROUNDS && c->fd >= 0; round++) {
        int n = udp_receive(c->fd, &uw->udp_in, UDP_IN_BATCH);
        if (n < 0) {
            c->retired = true;
            channel_fail(c, n);
            return;
        }
        for (int i = 0; i < n; i++)
            channel_message(c, uw->in + (size_t)i * MSG_MAX, udp_in_len(&uw->udp_in, (unsigned)i));
        if (n < UDP_IN_BATCH)
            return;
    }
}
