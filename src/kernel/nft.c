#include "kernel/nft.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

struct said {
    char text[NFT_SAID_MAX];
    size_t n;
};

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

/* A file in memory instead of a pipe: no deadlock between two full pipes, no SIGPIPE. */
static int text_fd(const char *text, size_t len)
{
    int fd = memfd_create("nft", MFD_CLOEXEC);
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

static int spawn_with(posix_spawn_file_actions_t *fa, posix_spawnattr_t *attr, char **argv,
                      pid_t *ret_pid)
{
    static const char *const places[] = { "/usr/sbin/nft", "/sbin/nft", "/usr/local/sbin/nft" };
    static char *env[] = { (char *)"LC_ALL=C", (char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
    int ret = posix_spawnp(ret_pid, "nft", fa, attr, argv, env);
    for (size_t i = 0; ret == ENOENT && i < ARRAY_SIZE(places); i++)
        ret = posix_spawn(ret_pid, places[i], fa, attr, argv, env);
    return -ret;
}

/* nft with in_fd as standard input and err_fd as standard error. */
static int spawn_nft(int in_fd, int err_fd, bool check, pid_t *ret_pid)
{
    char *argv[] = { (char *)"nft", (char *)(check ? "-c" : "-f"), (char *)(check ? "-f" : "-"),
                     (char *)(check ? "-" : NULL), NULL };
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t attr;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&fa);
    posix_spawnattr_init(&attr);
    posix_spawn_file_actions_adddup2(&fa, in_fd, 0);
    posix_spawn_file_actions_addopen(&fa, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&fa, err_fd, 2);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int ret = spawn_with(&fa, &attr, argv, ret_pid);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&fa);
    return ret;
}

/* One read; what does not fit is dropped. False at the end. */
static bool read_some(int fd, struct said *s)
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

/* Reads until the other end is closed; false when that took longer than NFT_TIMEOUT_MS. */
static bool listen_until_end(int fd, struct said *s)
{
    int64_t end = clock_ns() / 1000000 + NFT_TIMEOUT_MS;
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

static int wait_for(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* nft's messages quote the text below the sentence; one line is enough for a log. */
static void one_line(char *s)
{
    char *w = s;
    for (const char *r = s; *r; r++) {
        char c = (unsigned char)*r < ' ' ? ' ' : *r;
        if (c == ' ' && (w == s || w[-1] == ' '))
            continue;
        *w++ = c;
    }
    while (w > s && w[-1] == ' ')
        w--;
    *w = '\0';
}

static int refusal(struct said *s, int status, struct err *e)
{
    int code = strstr(s->text, "Message too long")          ? -EMSGSIZE
               : strstr(s->text, "Operation not permitted") ? -EPERM
                                                            : ERR_REFUSED;
    one_line(s->text);
    return err_set(e, code, "nft ended with status %d: %.700s", status,
                   s->n ? s->text : "it said nothing");
}

static int run_child(int in_fd, int err_read, int err_write, bool check, struct err *e)
{
    struct said said = { .n = 0 };
    pid_t pid;
    int ret = spawn_nft(in_fd, err_write, check, &pid);
    close(err_write);
    if (ret < 0)
        return err_set(e, ret, "nft cannot be started: %s (is the nftables package installed?)",
                       err_str(ret));
    bool ended = listen_until_end(err_read, &said);
    if (!ended)
        kill(pid, SIGKILL);
    int status = wait_for(pid);
    if (!ended)
        return err_set(e, ERR_REFUSED, "nft was stopped after %d seconds", NFT_TIMEOUT_MS / 1000);
    return status == 0 ? 0 : refusal(&said, status, e);
}

static int program_apply(void *ctx, const char *text, size_t len, bool check, struct err *e)
{
    (void)ctx;
    int pipes[2];
    cleanup_close int in_fd = text_fd(text, len);
    if (in_fd < 0)
        return err_set(e, in_fd, "no memory file for a transaction of %zu bytes: %s", len,
                       err_str(in_fd));
    if (pipe2(pipes, O_CLOEXEC) < 0)
        return err_set(e, -errno, "no pipe to nft: %s", err_str(-errno));
    int ret = run_child(in_fd, pipes[0], pipes[1], check, e);
    close(pipes[0]);
    return ret;
}

const struct nft_backend *nft_program(void)
{
    static const struct nft_backend program = { .name = "nft", .apply = program_apply };
    return &program;
}

static int dry_apply(void *ctx, const char *text, size_t len, bool check, struct err *e)
{
    struct nft_dry *d = ctx;
    *(check ? &d->n_checked : &d->n_applied) += 1;
    if (d->max && len > d->max)
        return err_set(e, -EMSGSIZE, "dry run: Message too long");
    if (d->poison && strstr(text, d->poison))
        return err_set(e, ERR_REFUSED, "dry run: refused because of %s", d->poison);
    if (d->lost && !strstr(text, "delete table"))
        return err_set(e, ERR_REFUSED, "dry run: No such file or directory");
    if (check)
        return 0;
    d->lost = false;
    strbuf_reset(&d->last);
    strbuf_add(&d->last, text, len);
    return 0;
}

void nft_dry_init(struct nft_dry *d)
{
    *d = (struct nft_dry){ .backend = { .name = "dry", .apply = dry_apply, .ctx = d } };
}

void nft_dry_done(struct nft_dry *d)
{
    strbuf_done(&d->last);
}
