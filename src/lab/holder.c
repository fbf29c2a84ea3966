#include "lab/holder.h"

#include "base/log.h"
#include "base/str.h"
#include "kernel/netns.h"
#include "lab/door.h"
#include "lab/kubelet.h"
#include "lab/place.h"
#include "lab/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define COALESCE_MS 5 /* a change of several files is acted on once */
#define WATCH                                                                                      \
    (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_DELETE_SELF |       \
     IN_ONLYDIR)

struct holder {
    const struct holder_options *o;
    struct kubelet kubelet;
    uv_loop_t loop;
    uv_poll_t changes, lifeline;
    uv_timer_t pause;
    uv_signal_t child, term, interrupt;
    int inotify;
    bool ready_told;
};

static void printf_like(2, 3) tell(const struct holder *h, const char *fmt, ...)
{
    char line[1200];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line - 1, fmt, ap);
    va_end(ap);
    n = MIN(n, (int)sizeof line - 2);
    line[n] = '\n';
    /* Who asked may be gone: SIGPIPE is ignored, and so is the outcome. */
    if (write(h->o->report, line, (size_t)n + 1) < 0)
        return;
}

static noreturn_fn void give_up(const struct holder *h, const char *why)
{
    tell(h, "!%s", why);
    log_error("%s", why);
    _exit(1);
}

static void watch_folders(struct holder *h)
{
    vec_each (f, &h->kubelet.manifests.folders) {
        if (inotify_add_watch(h->inotify, *f, WATCH) < 0)
            log_error("cannot follow %s: %s", *f, strerror(errno));
    }
}

static void sync_now(uv_timer_t *t)
{
    struct holder *h = t->data;
    kubelet_sync(&h->kubelet);
    watch_folders(h);
}

static void on_change(uv_poll_t *p, int status, int events)
{
    struct holder *h = p->data;
    char buf[8192];
    (void)status, (void)events;
    while (read(h->inotify, buf, sizeof buf) > 0)
        continue;
    uv_timer_start(&h->pause, sync_now, COALESCE_MS, 0);
}

static void on_child(uv_signal_t *s, int number)
{
    struct holder *h = s->data;
    int status;
    (void)number;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        kubelet_reaped(&h->kubelet, pid, status);
}

/* The kernel ends everything in the PID namespace with its first process; no part of the lab can be
 * left behind. */
static noreturn_fn void end(void)
{
    log_info("the lab ends");
    _exit(0);
}

static void on_term(uv_signal_t *s, int number)
{
    (void)s, (void)number;
    end();
}

static void on_lifeline(uv_poll_t *p, int status, int events)
{
    char byte;
    (void)events;
    if (status < 0 || read(((struct holder *)p->data)->o->lifeline, &byte, 1) == 0)
        end();
}

static void tell_when_ready(void *ctx)
{
    struct holder *h = ctx;
    struct strbuf names = { 0 };
    size_t waiting = h->ready_told ? 0 : kubelet_waiting(&h->kubelet, &names);
    if (!h->ready_told && !waiting) {
        h->ready_told = true;
        tell(h, "=ready");
    } else if (waiting) {
        tell(h, "~%s", names.p);
    }
    strbuf_done(&names);
}

static void tell_what_is_wrong(struct holder *h)
{
    vec_each (p, &h->kubelet.manifests.problems)
        tell(h, "+warning: %s", *p);
    for (size_t i = 0; i < h->kubelet.pods.n; i++) {
        const struct pod_run *p = h->kubelet.pods.items[i];
        if (p->message)
            tell(h, "+warning: Pod %s does not run: %s", p->key, p->message);
    }
}

/* Watched before its Pod is started, which may be quick. */
static void watch_api(struct holder *h)
{
    char api[PATH_MAX];
    place_path(api, h->o->dir, "api");
    if (inotify_add_watch(h->inotify, api, IN_MOVED_TO | IN_ONLYDIR) < 0)
        log_error("cannot follow %s: %s", api, strerror(errno));
}

static void start_loop(struct holder *h)
{
    uv_loop_init(&h->loop);
    h->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    watch_api(h);
    uv_poll_init(&h->loop, &h->changes, h->inotify);
    uv_timer_init(&h->loop, &h->pause);
    uv_signal_init(&h->loop, &h->child);
    uv_signal_init(&h->loop, &h->term);
    uv_signal_init(&h->loop, &h->interrupt);
    h->changes.data = h->pause.data = h->child.data = h;
    uv_poll_start(&h->changes, UV_READABLE, on_change);
    uv_signal_start(&h->child, on_child, SIGCHLD);
    uv_signal_start(&h->term, on_term, SIGTERM);
    uv_signal_start(&h->interrupt, on_term, SIGINT);
    if (h->o->lifeline >= 0) {
        uv_poll_init(&h->loop, &h->lifeline, h->o->lifeline);
        h->lifeline.data = h;
        uv_poll_start(&h->lifeline, UV_READABLE | UV_DISCONNECT, on_lifeline);
    }
}

/* The lab's own view: mounts of its own, and a /proc that shows its processes. The one that was
 * there is kept open, since it knows their numbers outside. */
static void settle(struct holder *h)
{
    sandbox_outer_proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (sandbox_outer_proc < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        give_up(h, "cannot detach the lab's mounts");
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        log_warning("no /proc of the lab's own (%s): it shows the processes outside",
                    strerror(errno));
}

static noreturn_fn void run(const struct holder_options *o, int door, uint16_t door_port)
{
    static struct holder h;
    struct err e = { 0 };
    h.o = o;
    ssize_t n = readlink("/proc/self/exe", h.kubelet.program, sizeof h.kubelet.program - 1);
    if (n < 0)
        give_up(&h, "cannot read /proc/self/exe");
    prctl(PR_SET_NAME, "lab-init");
    settle(&h);
    start_loop(&h);
    h.kubelet.dir = o->dir;
    h.kubelet.source = o->source;
    h.kubelet.api = o->api;
    h.kubelet.door_fd = door;
    h.kubelet.door_port = door_port;
    h.kubelet.loop = &h.loop;
    h.kubelet.ctx = &h;
    tell(&h, "+making namespaces, links and routes");
    if (kubelet_init(&h.kubelet, &e) < 0)
        give_up(&h, e.text);
    watch_folders(&h);
    tell_what_is_wrong(&h);
    tell(&h, "+%zu pods on %u nodes run; waiting until all are ready",
         h.kubelet.pods.n + h.kubelet.n_held, h.kubelet.net.n_nodes);
    h.kubelet.changed = tell_when_ready;
    tell_when_ready(&h);
    uv_run(&h.loop, UV_RUN_DEFAULT);
    end();
}

static void write_pid(const struct holder_options *o, pid_t pid)
{
    char path[PATH_MAX], text[32];
    snprintf(text, sizeof text, "%d\n", (int)pid);
    place_write(place_path(path, o->dir, "pid"), text, strlen(text));
}

void holder_main(const struct holder_options *o)
{
    struct holder only_tells = { .o = o };
    struct err e = { 0 };
    int door;
    uint16_t door_port;
    signal(SIGPIPE, SIG_IGN);
    if (door_socket(&door, &door_port, &e) < 0)
        give_up(&only_tells, e.text);
    if (netns_enter_own_world(&e) < 0)
        give_up(&only_tells, e.text);
    /* The child waits for its number to be written: whoever hears "ready" finds it. */
    int go[2];
    if (pipe2(go, O_CLOEXEC) < 0)
        give_up(&only_tells, "cannot make a pipe");
    pid_t pid = fork();
    if (pid < 0)
        give_up(&only_tells, "cannot start a process");
    if (pid == 0) {
        char byte;
        close(go[1]);
        while (read(go[0], &byte, 1) < 0 && errno == EINTR)
            continue;
        close(go[0]);
        run(o, door, door_port);
    }
    write_pid(o, pid);
    _exit(0);
}
