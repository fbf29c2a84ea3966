/* The client's side of a control socket. */
#include "base/cursor.h"
#include "net/control.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

int control_connect(const char *path, int timeout_ms, struct control_link *ret_link, struct err *e)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    struct timeval tv = { .tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000 };
    *ret_link = (struct control_link){ .fd = -1 };
    if (strlen(path) >= sizeof sa.sun_path)
        return err_set(e, ERR_LIMIT, "control socket %s: the path is too long", path);
    strcpy(sa.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_set(e, -errno, "control socket %s: %s", path, strerror(errno));
    ret_link->fd = fd;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
    if (connect(fd, (struct sockaddr *)&sa, sizeof sa) < 0)
        return err_set(e, -errno, "control socket %s: %s", path, strerror(errno));
    return 0;
}

void control_link_done(struct control_link *l)
{
    for (unsigned i = 0; i < l->n_fds; i++)
        close(l->fds[i]);
    l->n_fds = 0;
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
}

int control_tell(struct control_link *l, const char *line, struct err *e)
{
    size_t len = strlen(line);
    for (size_t at = 0; at < len;) {
        ssize_t n = send(l->fd, line + at, len - at, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(e, -errno, "control socket: %s", strerror(errno));
        at += (size_t)n;
    }
    return 0;
}

/* What lies over the limit is closed: nobody will ask for it. */
static void keep_fds(struct control_link *l, struct msghdr *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (l->n_fds < CONTROL_FDS_WAITING)
                l->fds[l->n_fds++] = fd;
            else
                close(fd);
        }
    }
}

/* Returns the bytes that came, 0 at the end, or a negative code. */
static ssize_t receive(struct control_link *l, struct err *e)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(CONTROL_FDS_MAX * sizeof(int))];
    } control;
    struct iovec iov = { .iov_base = l->buf + l->len, .iov_len = sizeof l->buf - l->len };
    struct msghdr m = { .msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = control.bytes,
                        .msg_controllen = sizeof control.bytes };
    ssize_t n;
    do
        n = recvmsg(l->fd, &m, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_set(e, -errno, "control socket: %s",
                       errno == EAGAIN ? "no reply in time" : strerror(errno));
    keep_fds(l, &m);
    l->len += (size_t)n;
    return n;
}

int control_next(struct control_link *l, char *line, size_t size, struct err *e)
{
    for (;;) {
        struct cursor c = cursor_of(l->buf, l->len);
        const char *end = memchr(l->buf, '\n', l->len);
        size_t n = end ? (size_t)(end - l->buf) : l->len;
        if (end && n < size) {
            memcpy(line, cursor_take(&c, n), n);
            line[n] = '\0';
            l->len -= n + 1;
            memmove(l->buf, end + 1, l->len);
            return 1;
        }
        if (end || l->len == sizeof l->buf)
            return err_set(e, ERR_LIMIT, "control socket: a line is too long");
        ssize_t got = receive(l, e);
        if (got < 0)
            return (int)got;
        if (got == 0)
            return l->len ? err_set(e, ERR_PARSE, "control socket: the reply ends within a line")
                          : 0;
    }
}

int control_take_fd(struct control_link *l)
{
    if (!l->n_fds)
        return -1;
    int fd = l->fds[0];
    l->n_fds--;
    memmove(l->fds, l->fds + 1, l->n_fds * sizeof *l->fds);
    return fd;
}
