#include "net/control.h"

#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

struct control_client {
    struct control_server *server;
    struct control_client *next;
    uv_poll_t poll;
    uv_timer_t idle;
    int fd;
    unsigned handles, holds;
    bool closed, ending;
    struct strbuf out;
    size_t sent;
    void (*gone)(void *ctx);
    void *gone_ctx;
    size_t len;
    char buf[CONTROL_LINE_MAX];
};

struct control_server {
    uv_loop_t *loop;
    uv_poll_t poll;
    int fd;
    control_handler *handler;
    void *ctx;
    struct control_client *clients;
    unsigned n_clients;
    char *path;
    dev_t dev; /* of the socket file: is it still ours? */
    ino_t inode;
};

/* ---- a client's end ---- */

static void client_free_if_done(struct control_client *c)
{
    if (!c->closed || c->handles || c->holds)
        return;
    strbuf_done(&c->out);
    free(c);
}

static void client_handle_closed(uv_handle_t *h)
{
    struct control_client *c = h->data;
    if (--c->handles == 0) {
        close(c->fd);
        client_free_if_done(c);
    }
}

static void client_close(struct control_client *c)
{
    if (c->closed)
        return;
    c->closed = true;
    struct control_client **at = &c->server->clients;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    c->server->n_clients--;
    uv_close((uv_handle_t *)&c->poll, client_handle_closed);
    uv_close((uv_handle_t *)&c->idle, client_handle_closed);
    if (c->gone)
        c->gone(c->gone_ctx);
}

void control_hold(struct control_client *c)
{
    c->holds++;
    uv_timer_stop(&c->idle);
}

static void on_idle(uv_timer_t *t)
{
    client_close(t->data);
}

void control_release(struct control_client *c)
{
    c->holds--;
    if (!c->closed && !c->holds)
        uv_timer_start(&c->idle, on_idle, CONTROL_IDLE_MS, 0);
    client_free_if_done(c);
}

void control_on_gone(struct control_client *c, void (*fn)(void *ctx), void *ctx)
{
    c->gone = fn;
    c->gone_ctx = ctx;
}

/* ---- sending ---- */

static void on_event(uv_poll_t *poll, int status, int events);

static void client_flush(struct control_client *c)
{
    while (c->sent < c->out.len) {
        ssize_t n =
            send(c->fd, c->out.p + c->sent, c->out.len - c->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN) {
            client_close(c);
            return;
        }
        if (n < 0)
            break;
        c->sent += (size_t)n;
    }
    bool all = c->sent == c->out.len;
    if (all) {
        strbuf_reset(&c->out);
        c->sent = 0;
    }
    if (all && c->ending)
        client_close(c);
    else
        uv_poll_start(&c->poll, UV_READABLE | (all ? 0 : UV_WRITABLE), on_event);
}

void control_send(struct control_client *c, const char *text, size_t len)
{
    if (c->closed)
        return;
    if (c->out.len - c->sent + len > CONTROL_OUT_MAX) {
        client_close(c);
        return;
    }
    strbuf_add(&c->out, text, len);
    client_flush(c);
}

bool control_send_fds(struct control_client *c, const char *line, const int *fds, unsigned n)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(CONTROL_FDS_MAX * sizeof(int))];
    } control = { 0 };
    struct iovec iov = { .iov_base = (void *)(uintptr_t)line, .iov_len = strlen(line) };
    struct msghdr m = { .msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = control.bytes,
                        .msg_controllen = CMSG_SPACE(n * sizeof(int)) };
    if (c->closed || c->out.len || n == 0 || n > CONTROL_FDS_MAX)
        return false;
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(n * sizeof(int));
    memcpy(CMSG_DATA(h), fds, n * sizeof(int));
    ssize_t sent = sendmsg(c->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent == (ssize_t)iov.iov_len;
}

void control_end(struct control_client *c)
{
    if (c->closed)
        return;
    c->ending = true;
    client_flush(c);
}

/* ---- receiving ---- */

/* Hands over the complete lines. */
static void client_lines(struct control_client *c)
{
    char *end;
    control_hold(c); /* a handler may close it */
    while (!c->closed && !c->ending && (end = memchr(c->buf, '\n', c->len))) {
        char line[CONTROL_LINE_MAX];
        size_t n = (size_t)(end - c->buf);
        memcpy(line, c->buf, n);
        line[n] = '\0';
        c->len -= n + 1;
        memmove(c->buf, end + 1, c->len);
        c->server->handler(c->server->ctx, c, line);
    }
    if (c->len == sizeof c->buf)
        client_close(c);
    control_release(c);
}

static void client_read(struct control_client *c)
{
    ssize_t n = recv(c->fd, c->buf + c->len, sizeof c->buf - c->len, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        client_close(c);
        return;
    }
    c->len += (size_t)n;
    client_lines(c);
}

static void on_event(uv_poll_t *poll, int status, int events)
{
    struct control_client *c = poll->data;
    if (status < 0) {
        client_close(c);
        return;
    }
    control_hold(c);
    if (events & UV_WRITABLE)
        client_flush(c);
    if (!c->closed && events & UV_READABLE)
        client_read(c);
    control_release(c);
}

/* ---- the listener ---- */

static void client_new(struct control_server *s, int fd)
{
    struct control_client *c = xcalloc(1, sizeof *c);
    c->server = s;
    c->fd = fd;
    c->poll.data = c->idle.data = c;
    c->handles = 2;
    uv_poll_init(s->loop, &c->poll, fd);
    uv_timer_init(s->loop, &c->idle);
    uv_timer_start(&c->idle, on_idle, CONTROL_IDLE_MS, 0);
    c->next = s->clients;
    s->clients = c;
    s->n_clients++;
    uv_poll_start(&c->poll, UV_READABLE, on_event);
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
    struct control_server *s = poll->data;
    (void)status, (void)events;
    int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (s->n_clients >= CONTROL_CLIENTS_MAX)
        close(fd);
    else
        client_new(s, fd);
}

static int address_of(const char *path, struct sockaddr_un *ret, struct err *e)
{
    *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof ret->sun_path || !*path)
        return err_set(e, ERR_LIMIT, "control socket %s: the path must have 1 to %zu bytes", path,
                       sizeof ret->sun_path - 1);
    strcpy(ret->sun_path, path);
    return 0;
}

/* Does anybody listen there? */
static bool is_in_use(const struct sockaddr_un *sa)
{
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd >= 0 &&
           (connect(fd, (const struct sockaddr *)sa, sizeof *sa) == 0 || errno == EAGAIN);
}

/* Bound under another name first: whoever connects finds either the old socket or the new one, and
 * the mode is that of the file from its first moment. */
static int bind_aside(int fd, const char *path, struct err *e)
{
    struct sockaddr_un sa;
    cleanup(strbuf_done) struct strbuf aside = { 0 };
    strbuf_printf(&aside, "%s.%d", path, (int)getpid());
    int ret = address_of(aside.p, &sa, e);
    if (ret < 0)
        return ret;
    (void)unlink(aside.p);
    if (fchmod(fd, 0600) < 0 || bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0)
        return err_set(e, -errno, "control socket %s: %s", path, strerror(errno));
    ret =
        chmod(aside.p, 0600) < 0 || listen(fd, CONTROL_CLIENTS_MAX) < 0 || rename(aside.p, path) < 0
            ? -errno
            : 0;
    if (ret == 0)
        return 0;
    (void)unlink(aside.p);
    return err_set(e, ret, "control socket %s: %s", path, strerror(-ret));
}

static int listen_at(const char *path, bool replace, int *ret_fd, struct err *e)
{
    struct sockaddr_un sa;
    struct stat st;
    int ret = address_of(path, &sa, e);
    if (ret < 0)
        return ret;
    if (stat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
        return err_set(e, -EEXIST, "control socket %s: there is something else of that name", path);
    if (!replace && is_in_use(&sa))
        return err_set(e, -EADDRINUSE, "control socket %s: another process listens there", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set(e, -errno, "control socket %s: %s", path, strerror(errno));
    ret = bind_aside(fd, path, e);
    if (ret < 0) {
        close(fd);
        return ret;
    }
    *ret_fd = fd;
    return 0;
}

int control_server_open(uv_loop_t *loop, const char *path, bool replace, control_handler *handler,
                        void *ctx, struct control_server **ret, struct err *e)
{
    struct stat st;
    int fd = -1, code = listen_at(path, replace, &fd, e);
    if (code < 0)
        return code;
    struct control_server *s = xcalloc(1, sizeof *s);
    s->loop = loop;
    s->fd = fd;
    s->handler = handler;
    s->ctx = ctx;
    s->path = xstrdup(path);
    if (stat(path, &st) == 0) {
        s->dev = st.st_dev;
        s->inode = st.st_ino;
    }
    s->poll.data = s;
    uv_poll_init(loop, &s->poll, fd);
    uv_poll_start(&s->poll, UV_READABLE, on_connection);
    *ret = s;
    return 0;
}

static void server_closed(uv_handle_t *h)
{
    struct control_server *s = h->data;
    close(s->fd);
    free(s->path);
    free(s);
}

void control_server_close(struct control_server *s)
{
    struct stat st;
    if (!s)
        return;
    while (s->clients)
        client_close(s->clients);
    if (stat(s->path, &st) == 0 && st.st_dev == s->dev && st.st_ino == s->inode)
        (void)unlink(s->path);
    uv_close((uv_handle_t *)&s->poll, server_closed);
}
