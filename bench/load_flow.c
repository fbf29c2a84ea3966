#include "load_flow.h"

#include "base/clock.h"
#include "base/cursor.h"

#include <errno.h>
#include <unistd.h>

#define BUFFER_WANT (1 << 20) /* bytes; the kernel may give less */

static void wire_up(struct flow *f)
{
    for (unsigned i = 0; i < f->window.size; i++) {
        f->in_iov[i] = (struct iovec){ f->answers[i], ANSWER_MAX };
        f->in[i].msg_hdr = (struct msghdr){ .msg_iov = &f->in_iov[i], .msg_iovlen = 1 };
        f->out[i].msg_hdr = (struct msghdr){ .msg_iov = &f->out_iov[i], .msg_iovlen = 1 };
    }
}

int flow_init(struct flow *f, const struct sockaddr *to, socklen_t to_len, unsigned window,
              struct err *e)
{
    int size = BUFFER_WANT;
    window_init(&f->window, window);
    f->fd = socket(to->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (f->fd < 0)
        return err_set(e, -errno, "socket: %s", strerror(errno));
    if (connect(f->fd, to, to_len) < 0)
        return err_set(e, -errno, "connect: %s", strerror(errno));
    /* Best effort: a window of answers must find room while another program has the core. */
    (void)setsockopt(f->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    wire_up(f);
    return 0;
}

void flow_done(struct flow *f)
{
    if (f->fd > 0)
        close(f->fd);
}

static int server_gone(struct err *e)
{
    return err_set(e, -errno, "the server does not take queries: %s", strerror(errno));
}

static int send_batch(struct flow *f, unsigned n, struct err *e)
{
    for (unsigned done = 0; done < n;) {
        int sent = sendmmsg(f->fd, f->out + done, n - done, 0);
        if (sent < 0 && errno != EINTR && errno != EAGAIN && errno != ENOBUFS)
            return server_gone(e);
        done += sent > 0 ? (unsigned)sent : 0;
    }
    return 0;
}

/* One packet may not be in two places of a batch, because its id is written into it: a file with
 * fewer queries than a window is sent in parts. */
int flow_send(struct flow *f, struct load *l, struct err *e)
{
    while (window_may_send(&f->window, l)) {
        unsigned n = 0;
        for (; n < l->queries->list.n && window_may_send(&f->window, l); n++) {
            uint16_t id;
            const struct query *q = window_next(&f->window, l, &id);
            uint8_t *packet = query_packet(l->queries, q);
            put_u16(packet, id);
            f->out_iov[n] = (struct iovec){ packet, q->len };
        }
        if (send_batch(f, n, e) < 0)
            return e->code;
    }
    return 0;
}

int flow_receive(struct flow *f, struct load *l, struct err *e)
{
    int n = recvmmsg(f->fd, f->in, f->window.size, MSG_DONTWAIT, NULL);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : server_gone(e);
    l->now_ns = clock_ns();
    for (int i = 0; i < n; i++)
        window_take(&f->window, l, f->answers[i], f->in[i].msg_len);
    return n;
}
