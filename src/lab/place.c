#include "lab/place.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define REMOVE_DEPTH 32 /* open folders while removing a tree */

char *place_default(char out[PATH_MAX])
{
    const char *own = getenv("SIGNPOST_LAB"), *run = getenv("XDG_RUNTIME_DIR");
    if (own && *own)
        snprintf(out, PATH_MAX, "%s", own);
    else if (run && access(run, W_OK) == 0)
        snprintf(out, PATH_MAX, "%s/signpost-lab", run);
    else
        snprintf(out, PATH_MAX, "/tmp/signpost-lab-%u", (unsigned)getuid());
    return out;
}

char *place_path(char out[PATH_MAX], const char *dir, const char *fmt, ...)
{
    va_list ap;
    int n = snprintf(out, PATH_MAX, "%s/", dir), m = PATH_MAX;
    if (n < PATH_MAX) {
        va_start(ap, fmt);
        m = vsnprintf(out + n, (size_t)(PATH_MAX - n), fmt, ap);
        va_end(ap);
    }
    if (m >= PATH_MAX - n) {
        fprintf(stderr, "signpost: the path below %s is too long\n", dir);
        exit(1);
    }
    return out;
}

static int write_as(const char *path, const char *text, size_t len, mode_t mode)
{
    char temporary[PATH_MAX];
    /* A leading dot: followers of the folder pass such names over. */
    const char *slash = strrchr(path, '/');
    snprintf(temporary, sizeof temporary, "%.*s/.%s.new", (int)(slash - path), path, slash + 1);
    cleanup_close int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0)
        return -errno;
    ssize_t n = write(fd, text, len);
    if (n != (ssize_t)len)
        return n < 0 ? -errno : -ENOSPC;
    return rename(temporary, path) < 0 ? -errno : 0;
}

int place_write(const char *path, const char *text, size_t len)
{
    return write_as(path, text, len, 0644);
}

int place_write_private(const char *path, const char *text, size_t len)
{
    return write_as(path, text, len, 0600);
}

char *place_read(const char *path, size_t max)
{
    char *text;
    size_t len;
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    int code = file_read_all(fd, max, &text, &len);
    if (code == 0)
        return text;
    errno = code == ERR_LIMIT ? EFBIG : EIO;
    return NULL;
}

int place_mkdir(const char *path, mode_t mode)
{
    char part[PATH_MAX];
    snprintf(part, sizeof part, "%s", path);
    for (char *p = part + 1; (p = strchr(p, '/')); p++) {
        *p = 0;
        if (mkdir(part, 0755) < 0 && errno != EEXIST && errno != EROFS && errno != EACCES)
            return -errno;
        *p = '/';
    }
    struct stat st;
    if (mkdir(part, mode) < 0 && (errno != EEXIST || stat(part, &st) < 0 || !S_ISDIR(st.st_mode)))
        return -errno;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    remove(path);
    return 0;
}

void place_remove(const char *path)
{
    nftw(path, remove_one, REMOVE_DEPTH, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

int place_pid(const char *dir, const char *rest, pid_t *ret_pid, struct err *e)
{
    char path[PATH_MAX];
    long pid;
    cleanup_free char *text = place_read(place_path(path, dir, "%s", rest), 32);
    if (text)
        text[strcspn(text, "\n")] = 0;
    if (!text || str_to_long(text, 1, INT_MAX, &pid) < 0)
        return err_set(e, ERR_NOT_FOUND, "%s: no such file", path);
    if (kill((pid_t)pid, 0) < 0)
        return err_set(e, ERR_NOT_FOUND, "%s: process %ld has ended", path, pid);
    *ret_pid = (pid_t)pid;
    return 0;
}

int place_node_pid(const char *dir, const char *node, pid_t *ret_pid, struct err *e)
{
    char rest[600];
    (void)snprintf(rest, sizeof rest, "nodes/%s/pid", node);
    return place_pid(dir, rest, ret_pid, e);
}

/* "NAMESPACE_POD" of "NAMESPACE/POD". */
static int pod_folder(const char *pod, const char *slash, char *out, size_t size, struct err *e)
{
    int n = snprintf(out, size, "%.*s_%s", (int)(slash - pod), pod, slash + 1);
    if ((size_t)n >= size || strchr(out, '/') || strstr(out, ".."))
        return err_set(e, ERR_PARSE, "\"%s\" is not a pod: write NAMESPACE/POD", pod);
    return 0;
}

/* A bare pod name stands for the one pod of that name, whatever its namespace. */
static int find_pod(const char *dir, const char *pod, char *out, size_t size, struct err *e)
{
    char path[PATH_MAX];
    unsigned found = 0;
    DIR *d = opendir(place_path(path, dir, "pods"));
    for (struct dirent *i; d && (i = readdir(d));) {
        const char *underscore = strchr(i->d_name, '_');
        if (!underscore || strcmp(underscore + 1, pod) != 0)
            continue;
        if (found++ == 0)
            (void)snprintf(out, size, "%s", i->d_name);
    }
    if (d)
        closedir(d);
    if (found > 1)
        return err_set(e, ERR_INVALID, "%u pods are called %s: write NAMESPACE/%s", found, pod,
                       pod);
    return found ? 0 : err_set(e, ERR_NOT_FOUND, "no pod has this name");
}

int place_pod_pid(const char *dir, const char *pod, pid_t *ret_pid, struct err *e)
{
    char folder[512], rest[600];
    const char *slash = strchr(pod, '/');
    int code = slash ? pod_folder(pod, slash, folder, sizeof folder, e)
                     : find_pod(dir, pod, folder, sizeof folder, e);
    if (code == ERR_PARSE || code == ERR_INVALID)
        return code;
    snprintf(rest, sizeof rest, "pods/%s/pid", folder);
    if (code < 0 || place_pid(dir, rest, ret_pid, e) < 0)
        return err_wrap(e, "no pod %s runs in the lab (signpost lab status shows what does)", pod);
    return 0;
}
