#include "lab/prober.h"

#include "base/mem.h"
#include "base/str.h"
#include "kernel/netns.h"
#include "lab/enter.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#define EAGER_MS 100 /* between questions until the first "ready" */

struct prober {
    struct prober_target target;
    void (*changed)(void *ctx);
    void *ctx;
    uv_timer_t timer; /* the next question, or the end of waiting for an answer */
    uv_poll_t poll;
    int fd;     /* of the question under way, -1: none */
    pid_t pid;  /* the same for exec, 0: none */
    bool asked; /* HTTP: the request has been sent */
    bool ready, was_ready;
    long streak; /* equal verdicts in a row that differ from `ready` */
    int closing;
    char answer[16]; /* HTTP: "HTTP/1.1 200" */
    size_t answer_len;
};

static void ask(uv_timer_t *t);

static void wait_for_next(struct prober *p)
{
    uint64_t ms = p->was_ready ? (uint64_t)p->target.probe->period * 1000 : EAGER_MS;
    uv_timer_start(&p->timer, ask, ms, 0);
}

static void closed_poll(uv_handle_t *h)
{
    struct prober *p = h->data;
    close(p->fd);
    p->fd = -1;
    if (p->closing && --p->closing == 0)
        free(p);
    else if (!p->closing)
        wait_for_next(p);
}

static void judge(struct prober *p, bool good)
{
    long needed = good ? p->target.probe->successes : p->target.probe->failures;
    p->streak = good == p->ready ? 0 : p->streak + 1;
    if (p->streak < needed)
        return;
    p->streak = 0;
    if (p->ready != good) {
        p->ready = good;
        p->was_ready |= good;
        p->changed(p->ctx);
    }
}

/* The verdict on the question under way. */
static void answered(struct prober *p, bool good)
{
    uv_timer_stop(&p->timer);
    judge(p, good);
    if (p->fd >= 0) {
        uv_poll_stop(&p->poll);
        uv_close((uv_handle_t *)&p->poll, closed_poll);
    } else {
        wait_for_next(p);
    }
}

static void too_late(uv_timer_t *t)
{
    struct prober *p = t->data;
    if (p->pid) {
        kill(p->pid, SIGKILL); /* prober_reaped() has the word then */
        return;
    }
    answered(p, false);
}

static bool send_request(struct prober *p)
{
    struct strbuf b = { 0 };
    char ip[IP_TEXT_MAX];
    bool v6 = p->target.ip.family == 6;
    strbuf_printf(&b,
                  "GET %s%s HTTP/1.0\r\nHost: %s%s%s:%u\r\nUser-Agent: kube-probe/signpost\r\n\r\n",
                  p->target.probe->path[0] == '/' ? "" : "/", p->target.probe->path, v6 ? "[" : "",
                  ip_text(&p->target.ip, ip), v6 ? "]" : "", p->target.probe->port);
    ssize_t n = send(p->fd, b.p, b.len, MSG_NOSIGNAL);
    bool good = n == (ssize_t)b.len;
    strbuf_done(&b);
    return good;
}

/* 1: a status of 200 to 399; 0: more is to come; -1: failed. */
static int read_status(struct prober *p)
{
    ssize_t n = recv(p->fd, p->answer + p->answer_len, sizeof p->answer - 1 - p->answer_len, 0);
    if (n < 0 && errno == EAGAIN)
        return 0;
    if (n <= 0)
        return -1;
    p->answer_len += (size_t)n;
    if (p->answer_len < 12)
        return 0;
    return !strncmp(p->answer, "HTTP/1.", 7) && (p->answer[9] == '2' || p->answer[9] == '3') ? 1
                                                                                             : -1;
}

static void on_socket(uv_poll_t *h, int status, int events)
{
    struct prober *p = h->data;
    int error = 0;
    socklen_t len = sizeof error;
    getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (status < 0 || error) {
        answered(p, false);
    } else if (p->target.probe->kind == PROBE_TCP) {
        answered(p, true);
    } else if (!p->asked && (events & UV_WRITABLE)) {
        p->asked = send_request(p);
        if (!p->asked)
            answered(p, false);
        else
            uv_poll_start(&p->poll, UV_READABLE, on_socket);
    } else if (p->asked) {
        int verdict = read_status(p);
        if (verdict)
            answered(p, verdict > 0);
    }
}

static int open_socket(const struct prober_target *t)
{
    struct sockaddr_storage sa;
    socklen_t len = ip_to_sockaddr(&t->ip, t->probe->port, &sa);
    int home = netns_current(), fd = -1;
    if (home >= 0 && netns_enter(t->netns) == 0) {
        fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        netns_enter(home);
    }
    if (home >= 0)
        close(home);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, len) < 0 && errno != EINPROGRESS) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static bool ask_by_socket(struct prober *p)
{
    p->fd = open_socket(&p->target);
    if (p->fd < 0)
        return false;
    if (uv_poll_init(p->timer.loop, &p->poll, p->fd) < 0) {
        close(p->fd);
        p->fd = -1;
        return false;
    }
    p->poll.data = p;
    p->asked = false;
    p->answer_len = 0;
    uv_poll_start(&p->poll, UV_WRITABLE, on_socket);
    return true;
}

static bool ask_by_exec(struct prober *p)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    p->pid =
        enter_start(p->target.sandbox, p->target.probe->argv, (int[]){ null, null, null }, NULL);
    close(null);
    p->pid = p->pid > 0 ? p->pid : 0;
    return p->pid > 0;
}

static void ask(uv_timer_t *t)
{
    struct prober *p = t->data;
    bool under_way = p->target.probe->kind == PROBE_EXEC ? ask_by_exec(p) : ask_by_socket(p);
    if (under_way)
        uv_timer_start(&p->timer, too_late, (uint64_t)p->target.probe->timeout * 1000, 0);
    else
        answered(p, false);
}

bool prober_reaped(struct prober *p, pid_t pid, int wait_status)
{
    if (!p || !p->pid || p->pid != pid)
        return false;
    p->pid = 0;
    answered(p, enter_status(wait_status) == 0);
    return true;
}

struct prober *prober_new(uv_loop_t *loop, const struct prober_target *target,
                          void (*changed)(void *ctx), void *ctx)
{
    struct prober *p = xcalloc(1, sizeof *p);
    p->target = *target;
    p->changed = changed;
    p->ctx = ctx;
    p->fd = -1;
    uv_timer_init(loop, &p->timer);
    p->timer.data = p;
    uint64_t delay = (uint64_t)target->probe->initial_delay * 1000;
    uv_timer_start(&p->timer, ask, delay ? delay : 20, 0);
    return p;
}

static void closed_timer(uv_handle_t *h)
{
    struct prober *p = h->data;
    if (--p->closing == 0)
        free(p);
}

void prober_free(struct prober *p)
{
    if (!p)
        return;
    p->closing = 1;
    if (p->pid)
        kill(p->pid, SIGKILL);
    if (p->fd >= 0) {
        p->closing++;
        if (!uv_is_closing((uv_handle_t *)&p->poll)) {
            uv_poll_stop(&p->poll);
            uv_close((uv_handle_t *)&p->poll, closed_poll);
        }
    }
    uv_close((uv_handle_t *)&p->timer, closed_timer);
}

bool prober_is_ready(const struct prober *p)
{
    return p->ready;
}
