#include "kernel/netns.h"

#include "base/str.h"
#include "kernel/link.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define WORLD (CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC)

static int write_file(const char *path, const char *text)
{
    cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static int map_to_root(const char *path, unsigned id)
{
    char line[32];
    snprintf(line, sizeof line, "0 %u 1\n", id);
    return write_file(path, line);
}

int netns_enter_own_world(struct err *e)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    if (unshare(CLONE_NEWUSER | WORLD) < 0) {
        int code = -errno;
        if (uid == 0 && unshare(WORLD) == 0)
            return 0;
        return err_set(
            e, code,
            "user namespaces are not allowed here (%s): run as root, or allow them with "
            "sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces=10000 and, "
            "where AppArmor restricts them, kernel.apparmor_restrict_unprivileged_userns=0",
            strerror(-code));
    }
    int code = write_file("/proc/self/setgroups", "deny");
    if (code == 0 || code == -ENOENT)
        code = map_to_root("/proc/self/uid_map", uid);
    if (code == 0)
        code = map_to_root("/proc/self/gid_map", gid);
    if (code < 0)
        return err_set(e, code, "cannot map user %u into the new user namespace: %s", uid,
                       strerror(-code));
    return 0;
}

int netns_current(void)
{
    int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int netns_enter(int fd)
{
    return setns(fd, CLONE_NEWNET) < 0 ? -errno : 0;
}

static int loopback_up(void)
{
    struct link_table t;
    int code = link_table_open(&t);
    if (code < 0)
        return code;
    code = link_set_up(&t, "lo");
    link_table_done(&t);
    return code;
}

int netns_new(void)
{
    cleanup_close int home = netns_current();
    if (home < 0)
        return home;
    if (unshare(CLONE_NEWNET) < 0)
        return -errno;
    int code = loopback_up(), fd = code < 0 ? code : netns_current();
    if (netns_enter(home) < 0) {
        /* The thread would go on in the wrong place: nothing sensible is left to do. */
        fprintf(stderr, "signpost: cannot return to a network namespace: %s\n", strerror(errno));
        abort();
    }
    return fd;
}

static bool same_user_namespace(pid_t pid)
{
    char path[64];
    struct stat mine, theirs;
    snprintf(path, sizeof path, "/proc/%d/ns/user", (int)pid);
    return stat("/proc/self/ns/user", &mine) == 0 && stat(path, &theirs) == 0 &&
           mine.st_ino == theirs.st_ino && mine.st_dev == theirs.st_dev;
}

int netns_join(pid_t pid, int types)
{
    if (types & CLONE_NEWUSER && same_user_namespace(pid))
        types &= ~CLONE_NEWUSER;
    cleanup_close int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0)
        return -errno;
    return types && setns(fd, types) < 0 ? -errno : 0;
}

int netns_sysctl(const char *path, const char *value)
{
    char full[256];
    if (snprintf(full, sizeof full, "/proc/sys/%s", path) >= (int)sizeof full)
        return -ENAMETOOLONG;
    return write_file(full, value);
}
