#include "lab/door.h"

#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG     64
#define PIECE_BYTES 65536

struct door {
    uv_tcp_t listener;
    struct sockaddr_storage to;
    unsigned n;
};

/* Each side has one piece on its way to the other, and is not read meanwhile. */
struct passage;

struct side {
    uv_tcp_t tcp;
    uv_write_t write;
    struct passage *passage;
    struct side *other;
    char piece[PIECE_BYTES];
};

struct passage {
    struct door *door;
    struct side outside, inside;
    uv_connect_t connect;
    unsigned handles;
    bool ending;
};

int door_socket(int *ret_fd, uint16_t *ret_port, struct err *e)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) < 0 || listen(fd, BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) < 0) {
        int code = -errno;
        if (fd >= 0)
            close(fd);
        return err_set(e, code, "cannot listen on 127.0.0.1: %s", strerror(-code));
    }
    *ret_fd = fd;
    *ret_port = ntohs(at.sin_port);
    return 0;
}

static void on_closed(uv_handle_t *h)
{
    struct side *s = h->data;
    struct passage *p = s->passage;
    if (--p->handles)
        return;
    p->door->n--;
    free(p);
}

static void end(struct passage *p)
{
    if (p->ending)
        return;
    p->ending = true;
    uv_close((uv_handle_t *)&p->outside.tcp, on_closed);
    uv_close((uv_handle_t *)&p->inside.tcp, on_closed);
}

static void on_room(uv_handle_t *h, size_t wanted, uv_buf_t *ret)
{
    struct side *s = h->data;
    (void)wanted;
    *ret = uv_buf_init(s->piece, sizeof s->piece);
}

static void on_read(uv_stream_t *h, ssize_t n, const uv_buf_t *buf);

static void on_written(uv_write_t *w, int status)
{
    struct side *from = w->data;
    if (status < 0 || uv_read_start((uv_stream_t *)&from->tcp, on_room, on_read) < 0)
        end(from->passage);
}

static void on_read(uv_stream_t *h, ssize_t n, const uv_buf_t *buf)
{
    struct side *from = h->data;
    uv_buf_t piece = uv_buf_init(buf->base, n > 0 ? (unsigned)n : 0);
    if (n == 0)
        return;
    uv_read_stop(h);
    if (n < 0 ||
        uv_write(&from->write, (uv_stream_t *)&from->other->tcp, &piece, 1, on_written) < 0)
        end(from->passage);
}

static void on_connected(uv_connect_t *c, int status)
{
    struct passage *p = c->data;
    if (status < 0 || uv_read_start((uv_stream_t *)&p->outside.tcp, on_room, on_read) < 0 ||
        uv_read_start((uv_stream_t *)&p->inside.tcp, on_room, on_read) < 0)
        end(p);
}

static void side_init(struct side *s, struct passage *p, struct side *other)
{
    uv_tcp_init(p->door->listener.loop, &s->tcp);
    s->tcp.data = s->write.data = s;
    s->passage = p;
    s->other = other;
    p->handles++;
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct door *d = listener->data;
    if (status < 0)
        return;
    struct passage *p = xcalloc(1, sizeof *p);
    p->door = d;
    p->connect.data = p;
    side_init(&p->outside, p, &p->inside);
    side_init(&p->inside, p, &p->outside);
    d->n++;
    if (uv_accept(listener, (uv_stream_t *)&p->outside.tcp) < 0 || d->n > DOOR_PASSAGES_MAX ||
        uv_tcp_connect(&p->connect, &p->inside.tcp, (struct sockaddr *)&d->to, on_connected) < 0)
        end(p);
}

int door_open(uv_loop_t *loop, int fd, const struct ip *to, uint16_t port, struct door **ret,
              struct err *e)
{
    struct door *d = xcalloc(1, sizeof *d);
    ip_to_sockaddr(to, port, &d->to);
    uv_tcp_init(loop, &d->listener);
    d->listener.data = d;
    int code = uv_tcp_open(&d->listener, fd);
    if (code < 0)
        close(fd);
    else
        code = uv_listen((uv_stream_t *)&d->listener, BACKLOG, on_connection);
    if (code < 0) /* the handle stays with the loop, which ends with the process */
        return err_set(e, code, "cannot open a way to the lab's API: %s", uv_strerror(code));
    *ret = d;
    return 0;
}
