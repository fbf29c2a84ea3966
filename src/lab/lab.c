#include "lab/lab.h"

#include "base/clock.h"
#include "base/str.h"
#include "lab/enter.h"
#include "lab/holder.h"
#include "lab/place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define STOP_NS 10000000000LL

int lab_find(const char *dir, pid_t *ret_pid, struct err *e)
{
    if (place_pid(dir, "pid", ret_pid, e) < 0)
        return err_set(e, ERR_NOT_FOUND,
                       "no lab runs in %s: start one with \"signpost lab up DIR\"", dir);
    return 0;
}

static int prepare(const struct lab_options *o, struct err *e)
{
    static const char *const folders[] = { "objects", "nodes", "pods", "stage", "broken", "api" };
    char path[PATH_MAX];
    pid_t pid;
    struct stat st;
    if (place_pid(o->dir, "pid", &pid, NULL) == 0)
        return err_set(e, -EEXIST,
                       "a lab already runs in %s (process %d): end it with \"signpost "
                       "lab down\", or choose another folder with --dir",
                       o->dir, (int)pid);
    if (stat(place_path(path, o->dir, "objects"), &st) == 0)
        place_remove(o->dir); /* left over from a lab that was killed */
    int code = place_mkdir(o->dir, 0700);
    if (code == 0 && (stat(o->dir, &st) < 0 || st.st_uid != geteuid()))
        code = -EPERM; /* somebody else's folder in /tmp */
    for (size_t i = 0; code == 0 && i < ARRAY_SIZE(folders); i++)
        code = place_mkdir(place_path(path, o->dir, "%s", folders[i]), 0755);
    if (code == 0)
        code = place_write(place_path(path, o->dir, "source"), o->source, strlen(o->source));
    return code < 0 ? err_set(e, code, "%s: %s", o->dir, strerror(-code)) : 0;
}

static noreturn_fn void become_holder(const struct lab_options *o, int report, int lifeline)
{
    char path[PATH_MAX];
    struct holder_options h = { o->dir, o->source, o->api, report, lifeline };
    int null = open("/dev/null", O_RDWR);
    int log = open(place_path(path, o->dir, "log"), O_WRONLY | O_CREAT | O_APPEND, 0644);
    setsid();
    dup2(null, 0);
    dup2(log < 0 ? null : log, 1);
    dup2(log < 0 ? null : log, 2);
    close(null);
    close(log);
    holder_main(&h);
}

struct listener {
    const struct lab_options *o;
    char text[4096];
    size_t len;
    char waiting[1024]; /* pods that are not ready */
    bool ready;
    struct err *e;
};

/* 1: it is ready; negative: it gave up. */
static int take_line(struct listener *l, char *line)
{
    if (line[0] == '!')
        return err_set(l->e, ERR_REFUSED, "%s", line + 1);
    if (line[0] == '=')
        return 1;
    if (line[0] == '~')
        snprintf(l->waiting, sizeof l->waiting, "%s", line + 1);
    else if (l->o->progress)
        l->o->progress(l->o->ctx, line + 1);
    return 0;
}

static int take_lines(struct listener *l, int fd)
{
    ssize_t n = read(fd, l->text + l->len, sizeof l->text - 1 - l->len);
    char *line = l->text, *end;
    if (n <= 0)
        return err_set(l->e, ERR_REFUSED,
                       "the lab's first process ended without a word: see %s/log", l->o->dir);
    l->len += (size_t)n;
    l->text[l->len] = 0;
    int code = 0;
    for (; code == 0 && (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        code = take_line(l, line);
    }
    l->len = strlen(line);
    memmove(l->text, line, l->len + 1);
    return code;
}

static int wait_ready(const struct lab_options *o, int fd, struct err *e)
{
    struct listener l = { .o = o, .e = e };
    long seconds = o->ready_s ? o->ready_s : LAB_READY_S;
    int64_t until = clock_ns() + seconds * 1000000000LL;
    for (;;) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int64_t left = (until - clock_ns()) / 1000000;
        int n = left > 0 ? poll(&p, 1, (int)left) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_set(e, -ETIMEDOUT,
                           "not ready after %ld s: %s (what they say: %s/pods/*/*.log)", seconds,
                           l.waiting, o->dir);
        int code = take_lines(&l, fd);
        if (code)
            return code < 0 ? code : 0;
    }
}

int lab_start(const struct lab_options *o, struct err *e)
{
    int report[2], life[2] = { -1, -1 };
    int code = prepare(o, e);
    if (code < 0)
        return code;
    if (pipe2(report, O_CLOEXEC) < 0 || (o->mine && pipe2(life, O_CLOEXEC) < 0))
        return err_set(e, -errno, "%s", strerror(errno));
    pid_t pid = fork();
    if (pid == 0) {
        close(report[0]);
        if (life[1] >= 0)
            close(life[1]);
        become_holder(o, report[1], life[0]);
    }
    close(report[1]);
    if (life[0] >= 0)
        close(life[0]); /* life[1] stays open, for as long as this process lives */
    code = pid < 0 ? err_set(e, -errno, "cannot start a process: %s", strerror(errno))
                   : wait_ready(o, report[0], e);
    close(report[0]);
    if (pid > 0)
        waitpid(pid, NULL, 0);
    if (code < 0 && (o->mine || code != -ETIMEDOUT))
        lab_stop(o->dir, NULL);
    return code;
}

static int wait_end(pid_t pid)
{
    cleanup_close int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd p = { .fd = fd, .events = POLLIN };
    return fd < 0 || poll(&p, 1, (int)(STOP_NS / 1000000)) > 0 ? 0 : -ETIMEDOUT;
}

/* Any pod with a network of its own that resolves by the cluster DNS. */
static int first_client(const char *dir, pid_t *ret_pid)
{
    char path[PATH_MAX], rest[NAME_MAX + 32];
    int code = ERR_NOT_FOUND;
    DIR *d = opendir(place_path(path, dir, "pods"));
    for (struct dirent *i; d && code < 0 && (i = readdir(d));) {
        char conf[PATH_MAX];
        if (i->d_name[0] == '.')
            continue;
        snprintf(rest, sizeof rest, "pods/%s/pid", i->d_name);
        cleanup_free char *text =
            place_read(place_path(conf, dir, "pods/%s/resolv.conf", i->d_name), 65536);
        if (text && strstr(text, "search ") && strstr(text, ".svc."))
            code = place_pid(dir, rest, ret_pid, NULL);
    }
    if (d)
        closedir(d);
    return code;
}

int lab_wait_names(const char *dir, struct err *e)
{
    /* A query from before there were rules is lost, and would be waited for: 5 s. */
    static const char *const argv[] = {
        "timeout", "0.5", "getent", "ahosts", "kube-dns.kube-system", NULL
    };
    char path[PATH_MAX];
    struct stat st;
    pid_t client;
    if (stat(place_path(path, dir, "objects/service_kube-system_kube-dns.json"), &st) < 0 ||
        first_client(dir, &client) < 0)
        return 0;
    for (int64_t until = clock_ns() + LAB_NAMES_NS; clock_ns() < until; usleep(20000)) {
        struct ran r = { 0 };
        int code = enter_run(client, argv, LAB_NAMES_NS, &r, e);
        int status = r.status;
        if (code < 0)
            return code;
        ran_done(&r);
        if (status == 0)
            return 0;
    }
    return err_set(e, -ETIMEDOUT,
                   "the pods are ready, but the cluster DNS gave no answer for %lld s",
                   (long long)(LAB_NAMES_NS / 1000000000));
}

int lab_stop(const char *dir, struct err *e)
{
    pid_t pid;
    char path[PATH_MAX];
    struct stat st;
    int code = lab_find(dir, &pid, e);
    if (code == 0) {
        kill(pid, SIGKILL);
        if (wait_end(pid) < 0)
            return err_set(e, -ETIMEDOUT, "process %d of the lab does not end", (int)pid);
    }
    if (stat(place_path(path, dir, "objects"), &st) == 0) {
        place_remove(dir);
        code = 0;
    }
    return code;
}
