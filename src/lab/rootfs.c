#include "lab/rootfs.h"

#include "base/str.h"
#include "lab/place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* From sys/mount.h, which cannot be included together with linux/mount.h in this C library. */
int mount(const char *source, const char *target, const char *type, unsigned long flags,
          const void *data);
int umount2(const char *target, int flags);
#define DETACH 2

static int failed(struct err *e, const char *what, const char *path)
{
    int code = -errno;
    return err_set(e, code, "cannot %s %s: %s", what, path, strerror(-code));
}

/* With all mounts below it. Read-only is set on each: a bind mount of a folder does not hand its
 * flags down. */
static int bind(const char *from, const char *to, bool writable)
{
    struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
    if (mount(from, to, NULL, MS_BIND | MS_REC, NULL) < 0)
        return -1;
    return writable ? 0 : (int)syscall(SYS_mount_setattr, -1, to, AT_RECURSIVE, &attr, sizeof attr);
}

static bool is_one_of(const char *name, const char *const *list)
{
    for (; *list; list++) {
        if (!strcmp(name, *list))
            return true;
    }
    return false;
}

static int copy_link(const char *from, const char *to)
{
    char target[PATH_MAX];
    ssize_t n = readlink(from, target, sizeof target - 1);
    if (n < 0)
        return -1;
    target[n] = 0;
    return symlink(target, to);
}

static int add_top_entry(const char *name, const char *root, struct err *e)
{
    static const char *const own[] = { "proc", "dev",  "tmp",  "run",        "etc",
                                       "var",  "root", ".lab", "lost+found", NULL };
    char from[PATH_MAX], to[PATH_MAX];
    struct stat st;
    place_path(from, "", "%s", name);
    place_path(to, root, "%s", name);
    if (is_one_of(name, own) || lstat(from, &st) < 0)
        return 0;
    if (S_ISLNK(st.st_mode))
        return copy_link(from, to) < 0 ? failed(e, "copy the link", from) : 0;
    if (!S_ISDIR(st.st_mode))
        return 0;
    if (mkdir(to, 0755) < 0 || bind(from, to, false) < 0)
        return failed(e, "show", from);
    return 0;
}

static int add_top(const char *root, struct err *e)
{
    DIR *d = opendir("/");
    if (!d)
        return failed(e, "read", "/");
    int code = 0;
    for (struct dirent *entry; code == 0 && (entry = readdir(d));) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            code = add_top_entry(entry->d_name, root, e);
    }
    closedir(d);
    return code;
}

static int add_own_folders(const char *root, struct err *e)
{
    static const struct {
        const char *name;
        mode_t mode;
    } own[] = {
        { "tmp", 01777 },     { "run", 0755 },  { "root", 0700 },     { "proc", 0555 },
        { "dev", 0755 },      { "etc", 0755 },  { "var", 0755 },      { "var/lib", 0755 },
        { "var/tmp", 01777 }, { ".lab", 0755 }, { ".lab/bin", 0755 }, { ".lab/etc", 0755 },
        { ".lab/var", 0755 },
    };
    char path[PATH_MAX];
    for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
        place_path(path, root, "%s", own[i].name);
        if (mkdir(path, own[i].mode) < 0 || chmod(path, own[i].mode) < 0)
            return failed(e, "make", path);
    }
    if (bind("/dev", place_path(path, root, "dev"), true) < 0)
        return failed(e, "show", "/dev");
    /* Where a new procfs is refused (a container that hides parts of it), the lab's own must do. */
    place_path(path, root, "proc");
    if (mount("proc", path, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0 &&
        bind("/proc", path, true) < 0)
        return failed(e, "show", "/proc");
    return 0;
}

static int write_text(const char *root, const char *name, const char *text, struct err *e)
{
    char path[PATH_MAX];
    place_path(path, root, "%s", name);
    int code = place_write(path, text, strlen(text));
    return code < 0 ? err_set(e, code, "cannot write %s: %s", path, strerror(-code)) : 0;
}

/* A folder of the pod's own with a link to each entry of this machine's, so that volumes can be
 * mounted inside of it. */
static int add_links(const char *root, const char *folder, const char *const *except, struct err *e)
{
    char from[PATH_MAX], path[PATH_MAX], target[PATH_MAX];
    DIR *d = opendir(place_path(from, "", "%s", folder));
    if (!d)
        return errno == ENOENT ? 0 : failed(e, "read", from);
    int code = 0;
    for (struct dirent *entry; code == 0 && (entry = readdir(d));) {
        if (is_one_of(entry->d_name, except))
            continue;
        place_path(target, "/.lab", "%s/%s", folder, entry->d_name);
        place_path(path, root, "%s/%s", folder, entry->d_name);
        code = symlink(target, path) < 0 ? failed(e, "link", path) : 0;
    }
    closedir(d);
    return code;
}

static int add_var(const char *root, struct err *e)
{
    static const char *const own[] = { ".", "..", "lib", "tmp", NULL };
    static const char *const none[] = { ".", "..", NULL };
    char path[PATH_MAX];
    if (bind("/var", place_path(path, root, ".lab/var"), false) < 0)
        return failed(e, "show", "/var");
    int code = add_links(root, "var", own, e);
    return code < 0 ? code : add_links(root, "var/lib", none, e);
}

/* nsswitch.conf as container images have it: a machine's own may ask daemons that pods cannot
 * reach, and keep ".local" from DNS. */
static int add_etc(const char *root, const struct rootfs *r, struct err *e)
{
    static const char *const own[] = { ".",         "..",       "resolv.conf",   "hosts",
                                       "host.conf", "hostname", "nsswitch.conf", NULL };
    char path[PATH_MAX], line[300];
    if (bind("/etc", place_path(path, root, ".lab/etc"), false) < 0)
        return failed(e, "show", "/etc");
    int code = add_links(root, "etc", own, e);
    snprintf(line, sizeof line, "%s\n", r->hostname);
    if (code == 0)
        code = write_text(root, "etc/hostname", line, e);
    return code < 0 ? code
                    : write_text(root, "etc/nsswitch.conf",
                                 "passwd: files\ngroup: files\nhosts: files dns\nnetworks: files\n"
                                 "services: files\nprotocols: files\n",
                                 e);
}

static int make_target(const char *path, bool file)
{
    char parent[PATH_MAX];
    if (!file)
        return place_mkdir(path, 0755);
    snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(path, '/') - path), path);
    int code = place_mkdir(parent, 0755);
    int fd = code < 0 ? -1 : open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    if (fd < 0)
        return code < 0 ? code : -errno;
    close(fd);
    return 0;
}

static int add_bind(const char *root, const struct rootfs_bind *b, struct err *e)
{
    char path[PATH_MAX];
    place_path(path, root, "%s", b->to + 1);
    int code = make_target(path, b->file);
    if (code < 0)
        return err_set(
            e, code,
            "cannot make a place for %s in the pod: %s (this machine's folders are "
            "read-only there; choose a path below /etc, /run, /tmp, /var/lib or a new one)",
            b->to, strerror(-code));
    return bind(b->from, path, b->writable) < 0 ? failed(e, "mount", b->from) : 0;
}

static int add_program(const char *root, const char *program, struct err *e)
{
    struct rootfs_bind b = { program, "/.lab/bin/signpost", .file = true };
    return add_bind(root, &b, e);
}

/* The stage becomes the root; the old one, stacked below it, is let go. */
static int change_root(const char *root, struct err *e)
{
    if (chdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
        return failed(e, "enter", root);
    if (umount2(".", DETACH) < 0 || chdir("/") < 0)
        return failed(e, "leave the old root below", root);
    return 0;
}

int rootfs_enter(const struct rootfs *r, struct err *e)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return failed(e, "detach the mounts below", "/");
    if (mount("pod", r->stage, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=64m") < 0)
        return failed(e, "mount a tmpfs on", r->stage);
    int code = add_own_folders(r->stage, e);
    if (code == 0)
        code = add_top(r->stage, e);
    if (code == 0)
        code = add_etc(r->stage, r, e);
    if (code == 0)
        code = add_var(r->stage, e);
    if (code == 0)
        code = add_program(r->stage, r->program, e);
    for (size_t i = 0; code == 0 && i < r->n_binds; i++)
        code = add_bind(r->stage, &r->binds[i], e);
    return code < 0 ? code : change_root(r->stage, e);
}
