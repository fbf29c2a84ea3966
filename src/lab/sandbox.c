#include "lab/sandbox.h"

#include "base/clock.h"
#include "base/str.h"
#include "kernel/netns.h"
#include "lab/place.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define SANDBOX_NEW      (CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC)
#define BACKOFF_FIRST_NS 200000000LL /* before a container is started again; doubles */
#define BACKOFF_MAX_NS   30000000000LL
#define STEADY_NS        10000000000LL /* ran this long: back-off starts anew */

int sandbox_outer_proc = -1;

struct runner {
    const struct sandbox *s;
    pid_t pids[PODSPEC_CONTAINERS_MAX]; /* 0: not running */
    int64_t started_ns[PODSPEC_CONTAINERS_MAX], again_ns[PODSPEC_CONTAINERS_MAX];
    int64_t backoff_ns[PODSPEC_CONTAINERS_MAX];
    int logs[PODSPEC_CONTAINERS_MAX]; /* opened before the root changes */
};

static void reset_signals(void)
{
    sigset_t none;
    sigemptyset(&none);
    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static noreturn_fn void run_container(const struct container *c, int log)
{
    reset_signals();
    setsid();
    int null = open("/dev/null", O_RDONLY);
    dup2(null, 0);
    dup2(log, 1);
    dup2(log, 2);
    close_range(3, ~0U, 0);
    if (chdir(c->workdir ? c->workdir : "/") < 0)
        dprintf(2, "workingDir %s: %s\n", c->workdir, strerror(errno));
    environ = (char **)c->env; /* execvp() looks in the container's PATH */
    execvp(c->argv[0], (char *const *)c->argv);
    dprintf(2, "%s: %s\n", c->argv[0], strerror(errno));
    _exit(127);
}

static void start_container(struct runner *r, unsigned i)
{
    pid_t pid = fork();
    if (pid == 0)
        run_container(&r->s->spec->containers[i], r->logs[i]);
    r->pids[i] = pid > 0 ? pid : 0;
    r->started_ns[i] = clock_ns();
    r->again_ns[i] = pid > 0 ? 0 : r->started_ns[i] + BACKOFF_FIRST_NS;
}

static void container_ended(struct runner *r, unsigned i, int status)
{
    enum restart_policy policy = r->s->spec->restart;
    int64_t now = clock_ns();
    bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    r->pids[i] = 0;
    dprintf(r->logs[i], "[lab] container %s ended with %s %d\n", r->s->spec->containers[i].name,
            WIFEXITED(status) ? "status" : "signal",
            WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    if (policy == RESTART_NEVER || (policy == RESTART_ON_FAILURE && good))
        return;
    if (now - r->started_ns[i] > STEADY_NS || !r->backoff_ns[i])
        r->backoff_ns[i] = BACKOFF_FIRST_NS;
    r->again_ns[i] = now + r->backoff_ns[i];
    r->backoff_ns[i] = MIN(2 * r->backoff_ns[i], BACKOFF_MAX_NS);
}

static unsigned n_containers(const struct runner *r)
{
    return r->s->spec ? r->s->spec->n_containers : 0;
}

static void reap(struct runner *r)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        for (unsigned i = 0; i < n_containers(r); i++) {
            if (r->pids[i] == pid)
                container_ended(r, i, status);
        }
    }
}

static unsigned n_running(const struct runner *r)
{
    unsigned n = 0;
    for (unsigned i = 0; i < n_containers(r); i++)
        n += r->pids[i] != 0;
    return n;
}

/* Wait for a signal, at most until the time given (0: for ever). Returns the signal or 0. */
static int wait_signal(const sigset_t *set, int64_t until_ns)
{
    int64_t left = until_ns - clock_ns();
    struct timespec t = { left > 0 ? left / 1000000000 : 0, left > 0 ? left % 1000000000 : 0 };
    int s = until_ns ? sigtimedwait(set, NULL, &t) : sigwaitinfo(set, NULL);
    return s > 0 ? s : 0;
}

static long pre_stop_seconds(const struct runner *r)
{
    long seconds = 0;
    for (unsigned i = 0; i < n_containers(r); i++)
        seconds = MAX(seconds, r->s->spec->containers[i].pre_stop_seconds);
    return seconds;
}

/* The hooks before the end and the end itself share the grace period. */
static noreturn_fn void end_all(struct runner *r, const sigset_t *set)
{
    int64_t now = clock_ns(), hook = now + pre_stop_seconds(r) * 1000000000LL;
    int64_t until = now + (r->s->spec ? r->s->spec->grace_seconds : 0) * 1000000000LL;
    for (hook = MIN(hook, until); clock_ns() < hook;)
        if (wait_signal(set, hook) == SIGCHLD)
            reap(r);
    for (unsigned i = 0; i < n_containers(r); i++) {
        if (r->pids[i])
            kill(r->pids[i], SIGTERM);
    }
    while (n_running(r) && clock_ns() < until) {
        if (wait_signal(set, until) == SIGCHLD)
            reap(r);
    }
    _exit(0); /* the kernel ends whatever is left in the PID namespace */
}

static int64_t start_due(struct runner *r)
{
    int64_t next = 0, now = clock_ns();
    for (unsigned i = 0; i < n_containers(r); i++) {
        if (r->again_ns[i] && r->again_ns[i] <= now)
            start_container(r, i);
        if (r->again_ns[i] && (!next || r->again_ns[i] < next))
            next = r->again_ns[i];
    }
    return next;
}

static noreturn_fn void look_after(struct runner *r, const sigset_t *set)
{
    for (;;) {
        int signal_number = wait_signal(set, start_due(r));
        if (signal_number == SIGTERM)
            end_all(r, set);
        reap(r);
    }
}

static int open_logs(struct runner *r, struct err *e)
{
    char path[PATH_MAX];
    for (unsigned i = 0; i < n_containers(r); i++) {
        place_path(path, r->s->log_dir, "%s.log", r->s->spec->containers[i].name);
        r->logs[i] = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        if (r->logs[i] < 0)
            return err_set(e, -errno, "%s: %s", path, strerror(errno));
    }
    return 0;
}

static int settle(struct runner *r, struct err *e)
{
    const struct sandbox *s = r->s;
    int code = open_logs(r, e);
    if (code == 0 && (code = netns_enter(s->netns)) < 0)
        err_set(e, code, "cannot enter its network namespace: %s", strerror(-code));
    if (code == 0 && sethostname(s->nodename, strlen(s->nodename)) < 0)
        code = err_set(e, -errno, "cannot be called %s: %s", s->nodename, strerror(errno));
    return code < 0 ? code : rootfs_enter(&s->root, e);
}

/* What was open in the parent: a held descriptor would keep the networks of other pods alive. */
static void close_others(const struct runner *r)
{
    unsigned low = 3;
    for (bool found = true; found; low++) {
        unsigned next = ~0U;
        for (unsigned i = 0; i < n_containers(r); i++) {
            if ((unsigned)r->logs[i] >= low && (unsigned)r->logs[i] < next)
                next = (unsigned)r->logs[i];
        }
        found = next != ~0U;
        if (next > low)
            close_range(low, found ? next - 1 : ~0U, 0);
        low = next;
    }
}

/* The sandbox's own process. What it has to tell goes through `tell`: a process number, or '!' and
 * a sentence. */
static noreturn_fn void sandbox_main(const struct sandbox *s, int tell)
{
    static struct runner r;
    struct err e = { 0 };
    sigset_t set;
    char self[32] = "";
    reset_signals();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "lab-sandbox");
    setsid();
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    if (readlinkat(sandbox_outer_proc, "self", self, sizeof self - 1) < 0)
        snprintf(self, sizeof self, "!no /proc: %s", strerror(errno));
    r.s = s;
    if (settle(&r, &e) < 0) {
        dprintf(tell, "!%s", e.text);
        _exit(1);
    }
    for (unsigned i = 0; i < n_containers(&r); i++)
        start_container(&r, i);
    dprintf(tell, "%s", self);
    close_others(&r);
    look_after(&r, &set);
}

static int read_report(int fd, const char *title, pid_t *ret_outer, struct err *e)
{
    char text[1024];
    size_t len = 0;
    ssize_t n;
    while (len < sizeof text - 1 && (n = read(fd, text + len, sizeof text - 1 - len)) > 0)
        len += (size_t)n;
    text[len] = 0;
    long outer;
    if (str_to_long(text, 1, INT_MAX, &outer) < 0)
        return err_set(e, ERR_REFUSED, "%s: %s", title,
                       text[0] == '!' ? text + 1 : "its first process ended without a word");
    *ret_outer = (pid_t)outer;
    return 0;
}

int sandbox_start(const struct sandbox *s, pid_t *ret_pid, pid_t *ret_outer, struct err *e)
{
    int report[2];
    sigset_t all, before;
    if (pipe2(report, O_CLOEXEC) < 0)
        return err_set(e, -errno, "%s: %s", s->title, strerror(errno));
    /* No handler of the parent may run in the child. */
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t pid = (pid_t)syscall(SYS_clone, SANDBOX_NEW | SIGCHLD, 0, 0, 0, 0);
    int code = pid < 0 ? -errno : 0;
    if (pid == 0)
        sandbox_main(s, report[1]);
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(report[1]);
    if (pid < 0)
        err_set(e, code, "%s: cannot start a process: %s", s->title, strerror(-code));
    else if ((code = read_report(report[0], s->title, ret_outer, e)) < 0)
        waitpid(pid, NULL, 0);
    close(report[0]);
    if (code == 0)
        *ret_pid = pid;
    return code;
}
