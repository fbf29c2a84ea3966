#include "kernel/program.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static char *const environment[] = { (char *)"LC_ALL=C",
                                     (char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };

static int spawn_with(posix_spawn_file_actions_t *fa, posix_spawnattr_t *attr,
                      const char *const *argv, char *const *env, pid_t *ret_pid)
{
    static const char *const folders[] = { "/usr/sbin", "/sbin", "/usr/local/sbin" };
    char path[256];
    int ret = posix_spawnp(ret_pid, argv[0], fa, attr, (char *const *)argv, env);
    for (size_t i = 0; ret == ENOENT && !strchr(argv[0], '/') && i < ARRAY_SIZE(folders); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folders[i], argv[0]);
        ret = posix_spawn(ret_pid, path, fa, attr, (char *const *)argv, env);
    }
    return -ret;
}

int program_start(const char *const *argv, const int fds[3], pid_t *ret_pid)
{
    return program_start_in(argv, environment, fds, ret_pid);
}

int program_start_in(const char *const *argv, char *const *env, const int fds[3], pid_t *ret_pid)
{
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t attr;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&fa);
    posix_spawnattr_init(&attr);
    for (int i = 0; i < 3; i++) {
        if (fds[i] >= 0)
            posix_spawn_file_actions_adddup2(&fa, fds[i], i);
        else
            posix_spawn_file_actions_addopen(&fa, i, "/dev/null", O_RDWR, 0);
    }
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int ret = spawn_with(&fa, &attr, argv, env, ret_pid);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&fa);
    return ret;
}

int program_wait(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* One read; what does not fit is dropped. False at the end. */
static bool read_some(int fd, struct program_said *s)
{
    char buf[1024];
    ssize_t n = read(fd, buf, sizeof buf);
    if (n < 0)
        return errno == EINTR;
    size_t keep = MIN((size_t)n, sizeof s->text - 1 - s->n);
    memcpy(s->text + s->n, buf, keep);
    s->n += keep;
    return n > 0;
}

/* Reads until the other end is closed; false when that took too long. */
static bool listen_until_end(int fd, int timeout_ms, struct program_said *s)
{
    int64_t end = clock_ns() / 1000000 + timeout_ms;
    for (;;) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int64_t left = end - clock_ns() / 1000000;
        int n = left > 0 ? poll(&p, 1, (int)left) : 0;
        if (n == 0)
            return false;
        if (n > 0 && !read_some(fd, s))
            break;
    }
    s->text[s->n] = '\0';
    return true;
}

int program_run_to(const char *const *argv, int in_fd, int out_fd, int timeout_ms,
                   struct program_said *ret_said)
{
    int pipes[2];
    pid_t pid;
    ret_said->n = 0;
    ret_said->text[0] = '\0';
    if (pipe2(pipes, O_CLOEXEC) < 0)
        return -errno;
    cleanup_close int from = pipes[0];
    int ret = program_start(argv, (int[]){ in_fd, out_fd, pipes[1] }, &pid);
    close(pipes[1]);
    if (ret < 0)
        return ret;
    bool ended = listen_until_end(from, timeout_ms, ret_said);
    if (!ended)
        kill(pid, SIGKILL);
    int status = program_wait(pid);
    return ended ? status : -ETIMEDOUT;
}

int program_run(const char *const *argv, int in_fd, int timeout_ms, struct program_said *ret_said)
{
    return program_run_to(argv, in_fd, -1, timeout_ms, ret_said);
}

static int write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t w = write(fd, p, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0)
            return -errno;
        p += w;
        n -= (size_t)w;
    }
    return 0;
}

int program_text_fd(const char *text, size_t len)
{
    int fd = memfd_create("text", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    int ret = write_all(fd, text, len);
    if (ret == 0 && lseek(fd, 0, SEEK_SET) < 0)
        ret = -errno;
    if (ret < 0) {
        close(fd);
        return ret;
    }
    return fd;
}

const char *program_one_line(struct program_said *said)
{
    char *w = said->text;
    for (const char *r = said->text; *r; r++) {
        char c = (unsigned char)*r < ' ' ? ' ' : *r;
        if (c == ' ' && (w == said->text || w[-1] == ' '))
            continue;
        *w++ = c;
    }
    while (w > said->text && w[-1] == ' ')
        w--;
    *w = '\0';
    return said->n ? said->text : "it said nothing";
}
