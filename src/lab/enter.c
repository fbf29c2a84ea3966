#include "lab/enter.h"

#include "base/clock.h"
#include "kernel/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define EVERYTHING                                                                                 \
    (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC)

int enter_status(int wait_status)
{
    return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

static void set_environment(void)
{
    char hostname[256] = "";
    cleanup_free char *term = getenv("TERM") ? strdup(getenv("TERM")) : NULL;
    gethostname(hostname, sizeof hostname - 1);
    clearenv();
    setenv("PATH", "/.lab/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
    setenv("HOME", "/root", 1);
    setenv("HOSTNAME", hostname, 1);
    if (term)
        setenv("TERM", term, 1);
}

static noreturn_fn void exec_inside(const char *const *argv)
{
    sigset_t none;
    sigemptyset(&none);
    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    set_environment();
    if (chdir("/") < 0)
        _exit(126);
    close_range(3, ~0U, 0);
    execvp(argv[0], (char *const *)argv);
    dprintf(2, "%s: %s\n", argv[0], strerror(errno));
    _exit(errno == ENOENT ? 127 : 126);
}

/* A PID namespace is entered by children only: this one stays between, and hands the status on. */
static noreturn_fn void go_between(pid_t pid, const char *const *argv, const int fds[3])
{
    int status;
    for (int i = 0; i < 3; i++) {
        if (fds[i] >= 0)
            dup2(fds[i], i);
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int code = netns_join(pid, EVERYTHING);
    if (code < 0) {
        dprintf(2, "cannot enter the namespaces of process %d: %s\n", (int)pid, strerror(-code));
        _exit(126);
    }
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        exec_inside(argv);
    }
    /* Keys like ^C reach both; the program decides what they mean. */
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    close_range(0, ~0U, 0);
    while (child > 0 && waitpid(child, &status, 0) < 0) {
        if (errno != EINTR)
            _exit(126);
    }
    _exit(child < 0 ? 126 : enter_status(status));
}

pid_t enter_start(pid_t pid, const char *const *argv, const int fds[3], struct err *e)
{
    pid_t child = fork();
    if (child < 0)
        return err_set(e, -errno, "cannot start a process: %s", strerror(errno));
    if (child == 0)
        go_between(pid, argv, fds);
    return child;
}

void ran_done(struct ran *r)
{
    strbuf_done(&r->out);
    strbuf_done(&r->err);
}

/* Reads what is there; false at the end of the stream. */
static bool take_output(int fd, struct strbuf *b)
{
    char chunk[8192];
    ssize_t n = read(fd, chunk, sizeof chunk);
    if (n > 0 && b->len + (size_t)n <= ENTER_OUTPUT_MAX)
        strbuf_add(b, chunk, (size_t)n);
    return n > 0 && b->len + (size_t)n <= ENTER_OUTPUT_MAX;
}

static int collect(int out, int err, int64_t until_ns, struct ran *r)
{
    struct pollfd p[2] = { { .fd = out, .events = POLLIN }, { .fd = err, .events = POLLIN } };
    while (p[0].fd >= 0 || p[1].fd >= 0) {
        int64_t left = (until_ns - clock_ns()) / 1000000;
        int n = left > 0 ? poll(p, 2, (int)MIN(left, 60000)) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 && clock_ns() >= until_ns)
            return -ETIMEDOUT;
        if (p[0].revents && !take_output(out, &r->out))
            p[0].fd = -1;
        if (p[1].revents && !take_output(err, &r->err))
            p[1].fd = -1;
    }
    return 0;
}

int enter_run(pid_t pid, const char *const *argv, int64_t timeout_ns, struct ran *ret,
              struct err *e)
{
    struct ran r = { 0 };
    int out[2], err[2], status = 0;
    if (pipe2(out, O_CLOEXEC) < 0)
        return err_set(e, -errno, "%s", strerror(errno));
    if (pipe2(err, O_CLOEXEC) < 0) {
        close(out[0]);
        close(out[1]);
        return err_set(e, -errno, "%s", strerror(errno));
    }
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int64_t start = clock_ns();
    pid_t child = enter_start(pid, argv, (int[]){ null, out[1], err[1] }, e);
    close(null);
    close(out[1]);
    close(err[1]);
    int code = child < 0 ? (int)child : collect(out[0], err[0], start + timeout_ns, &r);
    close(out[0]);
    close(err[0]);
    if (child > 0 && code < 0)
        kill(child, SIGKILL);
    if (child > 0)
        waitpid(child, &status, 0);
    r.ns = clock_ns() - start;
    r.status = enter_status(status);
    strbuf_puts(&r.out, "");
    strbuf_puts(&r.err, "");
    if (code < 0) {
        ran_done(&r);
        return child < 0 ? code
                         : err_set(e, code, "%s did not end within %lld s", argv[0],
                                   (long long)(timeout_ns / 1000000000));
    }
    *ret = r;
    return 0;
}
