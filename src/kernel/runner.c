#include "kernel/runner.h"

#include "base/clock.h"
#include "base/mem.h"
#include "kernel/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define VARIABLES_MAX 4096 /* of the environment */

extern char **environ;

struct runner {
    int fd;
    pid_t pid;
};

/* What goes over the socket, in one packet: this, the output, what was said. */
struct head {
    int32_t status;
    uint32_t n_output, n_said;
};

/* ---- in the runner's process ---- */

/* The program's outputs as they come in; beyond its end nothing is kept. */
struct pipe_in {
    int fd;
    char *to;
    size_t n, max;
    bool all; /* more than max is an error */
};

/* False: too much. */
static bool read_pipe(struct pipe_in *p)
{
    char rest[1024];
    size_t room = p->max - p->n;
    ssize_t n = read(p->fd, room ? p->to + p->n : rest, room ? room : sizeof rest);
    if (n < 0 && errno == EINTR)
        return true;
    if (n <= 0) {
        close(p->fd);
        p->fd = -1;
        return true;
    }
    if (room)
        p->n += (size_t)n;
    return room || !p->all;
}

/* Reads both outputs to their ends. 0, -ETIMEDOUT, ERR_LIMIT; -EPIPE: nobody waits for it. */
static int listen_to(int asker, struct pipe_in pipes[2])
{
    int64_t end = clock_ns() + RUNNER_SECONDS * 1000000000LL;
    while (pipes[0].fd >= 0 || pipes[1].fd >= 0) {
        struct pollfd p[] = { { .fd = pipes[0].fd, .events = POLLIN },
                              { .fd = pipes[1].fd, .events = POLLIN },
                              { .fd = asker, .events = 0 } };
        int64_t left = (end - clock_ns()) / 1000000;
        int n = left > 0 ? poll(p, ARRAY_SIZE(p), (int)left) : 0;
        if (n == 0)
            return -ETIMEDOUT;
        if (n > 0 && p[2].revents)
            return -EPIPE;
        for (int i = 0; n > 0 && i < 2; i++)
            if (p[i].revents && !read_pipe(&pipes[i]))
                return ERR_LIMIT;
    }
    return 0;
}

static int start(const char *const *argv, char *const *env, struct pipe_in pipes[2], pid_t *ret)
{
    int out[2], said[2];
    if (pipe2(out, O_CLOEXEC) < 0)
        return -errno;
    if (pipe2(said, O_CLOEXEC) < 0) {
        int code = -errno;
        close(out[0]);
        close(out[1]);
        return code;
    }
    int code = program_start_in(argv, env, (int[]){ -1, out[1], said[1] }, ret);
    close(out[1]);
    close(said[1]);
    pipes[0].fd = out[0];
    pipes[1].fd = said[0];
    return code;
}

static int run(int asker, const char *const *argv, char *const *env, struct pipe_in pipes[2])
{
    pid_t pid;
    int code = start(argv, env, pipes, &pid);
    if (code == 0) {
        int heard = listen_to(asker, pipes);
        if (heard < 0)
            kill(pid, SIGKILL);
        code = program_wait(pid);
        code = heard < 0 ? heard : code;
    }
    for (int i = 0; i < 2; i++)
        if (pipes[i].fd >= 0)
            close(pipes[i].fd);
    return code;
}

static void answer(int asker, const char *const *argv, char *const *env)
{
    static char packet[sizeof(struct head) + RUNNER_OUTPUT_MAX + RUNNER_SAID_MAX];
    static char said[RUNNER_SAID_MAX];
    struct pipe_in pipes[] = {
        { .fd = -1, .to = packet + sizeof(struct head), .max = RUNNER_OUTPUT_MAX, .all = true },
        { .fd = -1, .to = said, .max = sizeof said },
    };
    struct head h = { .status = run(asker, argv, env, pipes) };
    h.n_output = (uint32_t)pipes[0].n;
    h.n_said = (uint32_t)pipes[1].n;
    memcpy(packet, &h, sizeof h);
    memcpy(pipes[0].to + pipes[0].n, said, pipes[1].n);
    (void)send(asker, packet, sizeof h + pipes[0].n + pipes[1].n, MSG_NOSIGNAL);
    explicit_bzero(packet, sizeof packet);
}

/* No descriptor but the socket (now 3), no rights to be had, the signals' own actions. */
static void strip(int asker)
{
    sigset_t none;
    sigemptyset(&none);
    for (int i = 1; i < NSIG; i++)
        (void)signal(i, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_NAME, "credentials");
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    int above = fcntl(asker, F_DUPFD_CLOEXEC, 3), null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int i = 0; null >= 0 && i < 3; i++)
        dup2(null, i);
    if (above != 3)
        dup3(above, 3, O_CLOEXEC);
    close_range(4, ~0U, 0);
}

static bool same_name(const char *a, const char *b)
{
    size_t len = strcspn(a, "=");
    return strncmp(a, b, len + 1) == 0;
}

/* Ours in front of what is inherited, no name twice. */
static void merge(char *asked, const char *const *own, size_t n_own, char *env[VARIABLES_MAX + 1])
{
    size_t n = 0;
    env[n++] = asked;
    for (size_t i = 0; i < n_own && n < VARIABLES_MAX; i++)
        env[n++] = (char *)(uintptr_t)own[i]; /* it is only read */
    size_t n_ours = n;
    for (char **v = environ; *v && n < VARIABLES_MAX; v++) {
        bool hidden = false;
        for (size_t i = 1; i < n_ours && !hidden; i++)
            hidden = same_name(env[i], *v);
        if (!hidden)
            env[n++] = *v;
    }
    env[n] = NULL;
}

static noreturn_fn void serve(int asker, const char *const *argv, const char *const *own,
                              size_t n_own)
{
    static char asked[RUNNER_ASKED_MAX + 1];
    static char *env[VARIABLES_MAX + 1];
    strip(asker);
    merge(asked, own, n_own, env);
    for (;;) {
        ssize_t len = recv(3, asked, RUNNER_ASKED_MAX, 0);
        if (len < 0 && errno == EINTR)
            continue;
        if (len <= 0)
            _exit(0);
        asked[len] = '\0';
        answer(3, argv, env);
    }
}

/* ---- in ours ---- */

int runner_new(const char *const *argv, const char *const *env, size_t n_env, struct runner **ret,
               struct err *e)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return err_set(e, -errno, "no socket for a process of its own: %s", strerror(errno));
    pid_t pid = fork();
    if (pid == 0)
        serve(ends[1], argv, env, n_env);
    int code = pid < 0 ? -errno : 0;
    close(ends[1]);
    if (code < 0) {
        close(ends[0]);
        return err_set(e, code, "no process of its own to run it: %s", err_str(code));
    }
    struct runner *r = xcalloc(1, sizeof *r);
    *r = (struct runner){ .fd = ends[0], .pid = pid };
    *ret = r;
    return 0;
}

void runner_free(struct runner *r)
{
    if (!r)
        return;
    close(r->fd);
    (void)program_wait(r->pid);
    free(r);
}

int runner_fd(const struct runner *r)
{
    return r->fd;
}

int runner_ask(const struct runner *r, const char *variable)
{
    size_t len = strlen(variable);
    if (len > RUNNER_ASKED_MAX)
        return -EMSGSIZE;
    return send(r->fd, variable, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

int runner_take(const struct runner *r, struct runner_reply *ret)
{
    struct head h;
    struct iovec parts[] = { { &h, sizeof h }, { ret->output, RUNNER_OUTPUT_MAX } };
    char said[RUNNER_SAID_MAX];
    struct iovec all[] = { parts[0], parts[1], { said, sizeof said } };
    struct msghdr m = { .msg_iov = all, .msg_iovlen = ARRAY_SIZE(all) };
    ssize_t n = recvmsg(r->fd, &m, MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
    if (n < (ssize_t)sizeof h || h.n_output > RUNNER_OUTPUT_MAX || h.n_said > RUNNER_SAID_MAX)
        return -EPIPE;
    /* What was said follows the output: it lies in its buffer and goes on in the next. */
    for (size_t i = 0; i < h.n_said; i++) {
        size_t at = h.n_output + i;
        ret->said[i] = at < RUNNER_OUTPUT_MAX ? ret->output[at] : said[at - RUNNER_OUTPUT_MAX];
    }
    ret->said[h.n_said] = '\0';
    ret->output[h.n_output] = '\0';
    ret->status = h.status;
    ret->len = h.n_output;
    return 1;
}
