#include "cmd/guard.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "kernel/landlock.h"
#include "kernel/privilege.h"
#include "kernel/syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* A sanitizer looks into its own process and writes its reports where it is told to. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static void tell(const char *measure, int code, const char *hint)
{
    if (code < 0)
        log_info("guard: %s: not to be had: %s%s", measure, err_str(code), hint);
}

/* As root, in a folder where the user may not make files. */
static int give_pidfile(const char *path, const struct privilege_user *u, struct err *e)
{
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0 || fchown(fd, u->uid, u->gid) < 0)
        return err_set(e, -errno, "pidfile %s: %s", path, strerror(errno));
    return 0;
}

static int become(const struct guard *g, const char *pidfile, struct err *e)
{
    struct privilege_user u;
    int ret = privilege_user_parse(g->user, &u, e);
    if (ret == 0 && pidfile && geteuid() == 0)
        ret = give_pidfile(pidfile, &u, e);
    if (ret == 0)
        ret = privilege_become(&u, e);
    return ret < 0 ? err_wrap(e, "-user %s", g->user) : 0;
}

int guard_begin(struct guard *g, const char *pidfile, struct err *e)
{
    g->bounding = privilege_limit_bounding(g->runs_programs ? g->capabilities : 0, g->capabilities);
    int ret = g->user ? become(g, pidfile, e) : 0;
    if (ret == 0)
        g->keep = privilege_keep_only(g->capabilities);
    return ret;
}

/* Is it that folder, or below it? Both as they are in the end, if they are there. */
static bool lies_below(const char *path, const char *folder)
{
    cleanup_free char *top = realpath(folder, NULL);
    size_t len = top ? strlen(top) : 0;
    if (len == 1)
        return true;
    return top && strncmp(path, top, len) == 0 && (!path[len] || path[len] == '/');
}

static bool may_write(const struct guard *g, const char *folder)
{
    cleanup_free char *path = realpath(folder, NULL);
    for (size_t i = 0; path && i < g->writable.n; i++)
        if (lies_below(path, g->writable.items[i]))
            return true;
    return false;
}

void guard_let_write(struct guard *g, const char *folder)
{
    if (may_write(g, folder))
        return;
    if (g->read_only) {
        log_warning("guard: files below %s cannot be written since the start: start anew, or with "
                    "-writable %s",
                    folder, folder);
        return;
    }
    g->writable.items =
        xrealloc(g->writable.items, (g->writable.n + 1) * sizeof *g->writable.items);
    g->writable.items[g->writable.n++] = xstrdup(folder);
}

/* The folder that a file lies in, in out. */
static const char *folder_of(const char *path, char *out, size_t cap)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;
    if (!slash)
        return ".";
    if (len >= cap)
        return NULL;
    memcpy(out, path, len);
    out[len] = '\0';
    return len ? out : "/";
}

void guard_let_write_beside(struct guard *g, const char *file)
{
    char folder[4096];
    const char *of_file = folder_of(file, folder, sizeof folder);
    if (of_file)
        guard_let_write(g, of_file);
}

static int write_only_below(const struct guard *g, const char *pidfile)
{
    const char *folders[GUARD_FOLDERS_MAX];
    char folder[4096];
    size_t n = 0;
    if (g->writable.n >= GUARD_FOLDERS_MAX)
        return ERR_LIMIT;
    for (size_t i = 0; i < g->writable.n; i++)
        folders[n++] = g->writable.items[i];
    const char *of_pidfile = pidfile ? folder_of(pidfile, folder, sizeof folder) : NULL;
    if (of_pidfile)
        folders[n++] = of_pidfile;
    return landlock_write_only_below(folders, n);
}

void guard_finish(struct guard *g, const char *pidfile)
{
    tell("small bounding set of capabilities", g->bounding, "");
    tell("few capabilities", g->keep, "");
    tell("no new privileges", privilege_no_new(), "");
    if (SANITIZED) {
        log_info("guard: no core files, read-only file system, list of system calls: left out in a "
                 "build with a sanitizer");
        return;
    }
    tell("no core files", privilege_no_dump(), "");
    if (g->runs_programs) {
        log_info("guard: read-only file system, list of system calls: left out, for other programs "
                 "are run");
        return;
    }
    int ret = write_only_below(g, pidfile);
    tell("read-only file system", ret, " (Landlock, Linux 5.13)");
    g->read_only = ret == 0;
    if (g->no_seccomp)
        log_info("guard: list of system calls: left out, as -no-seccomp says");
    else
        tell("list of system calls", syscalls_limit(), " (seccomp)");
}
