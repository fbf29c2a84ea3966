#include "net/accept.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metric.h"

#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

static metric m_refused, m_evicted, m_paused, m_failed;
static atomic_uint taken, servers, seats = UINT32_MAX;
static atomic_bool told;

/* ---- seats ---- */

static double read_taken(void *ctx)
{
    (void)ctx;
    return atomic_load(&taken);
}

static double read_seats(void *ctx)
{
    (void)ctx;
    return atomic_load(&seats);
}

void accept_init(void)
{
    struct rlimit files = { 1024, 1024 };
    m_refused = metric_counter("signpost_tcp_refused_total",
                               "Connections closed at once because too many were open.", "");
    m_evicted = metric_counter("signpost_tcp_evicted_total",
                               "Idle connections closed to make room for new ones.", "");
    m_paused =
        metric_counter("signpost_tcp_paused_total",
                       "Times that a connection was not read from until replies were taken.", "");
    m_failed = metric_counter("signpost_tcp_accept_failures_total",
                              "Times that no connection could be taken from the kernel.", "");
    metric_gauge("signpost_tcp_connections", "Open connections of clients.", "", read_taken, NULL);
    metric_gauge("signpost_tcp_connections_max", "How many there may be, by the limit of files.",
                 "", read_seats, NULL);
    (void)getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
}

/* What is open now and is no connection. */
static unsigned count_files(void)
{
    unsigned n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n - MIN(n, atomic_load(&taken));
}

void seats_open(void)
{
    struct rlimit files = { 1024, 1024 };
    (void)getrlimit(RLIMIT_NOFILE, &files);
    rlim_t n = MIN(files.rlim_cur, UINT32_MAX);
    rlim_t kept = count_files() + MAX(n / SEATS_SPARE, MIN(n / 2, SEATS_SPARE_MIN));
    atomic_store(&seats, (unsigned)(n - MIN(n, kept)));
    atomic_fetch_add(&servers, 1);
}

void seats_close(void)
{
    atomic_fetch_sub(&servers, 1);
}

bool seat_take(unsigned n)
{
    if (n >= MAX(atomic_load(&seats) / MAX(atomic_load(&servers), 1U), 1U) || mem_is_short())
        return false;
    atomic_fetch_add(&taken, 1);
    return true;
}

void seat_leave(void)
{
    atomic_fetch_sub(&taken, 1);
}

void seat_refused(void)
{
    metric_add(m_refused, 1);
}

void seat_paused(void)
{
    metric_add(m_paused, 1);
}

void seat_evicted(void)
{
    metric_add(m_evicted, 1);
}

/* ---- the listener ---- */

static void readable(uv_poll_t *poll, int status, int events);

static void look_again(uv_timer_t *t)
{
    struct acceptor *a = t->data;
    uv_poll_start(&a->poll, UV_READABLE, readable);
}

static bool is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}

static void rest(struct acceptor *a, int error)
{
    metric_add(m_failed, 1);
    if (!atomic_exchange(&told, true))
        log_warning("connections have to wait: %s (told once; see "
                    "signpost_tcp_accept_failures_total)",
                    strerror(error));
    uv_poll_stop(&a->poll);
    uv_timer_start(&a->again, look_again, ACCEPT_PAUSE_MS, 0);
}

static void readable(uv_poll_t *poll, int status, int events)
{
    struct acceptor *a = poll->data;
    (void)status, (void)events;
    for (int i = 0; i < ACCEPT_BATCH && !uv_is_closing((uv_handle_t *)poll); i++) {
        int fd = accept4(a->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            a->take(a->ctx, fd);
        } else if (is_shortage(errno)) {
            int error = errno;
            if (a->make_room(a->ctx))
                continue;
            rest(a, error);
            return;
        } else if (errno == EAGAIN) {
            return;
        } /* else that connection is gone already: the next one */
    }
}

static void handle_closed(uv_handle_t *h)
{
    struct acceptor *a = h->data;
    if (--a->refs)
        return;
    close(a->fd);
    a->closed(a->ctx);
}

int acceptor_open(struct acceptor *a, uv_loop_t *loop, int fd)
{
    a->fd = fd;
    a->refs = 1;
    a->poll.data = a->again.data = a;
    uv_timer_init(loop, &a->again);
    int ret = uv_poll_init(loop, &a->poll, fd);
    if (ret < 0) {
        uv_close((uv_handle_t *)&a->again, handle_closed);
        return ret;
    }
    a->refs = 2;
    ret = uv_poll_start(&a->poll, UV_READABLE, readable);
    if (ret < 0)
        acceptor_close(a);
    return ret;
}

void acceptor_close(struct acceptor *a)
{
    uv_close((uv_handle_t *)&a->poll, handle_closed);
    uv_close((uv_handle_t *)&a->again, handle_closed);
}
