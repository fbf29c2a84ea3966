#include "source/dir.h"

#include "base/clock.h"
#include "source/dir_impl.h"

#include <errno.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>

#define SETTLE_MS     5    /* quiet time that ends a batch of changes */
#define SETTLE_MAX_MS 20   /* a batch ends even when there is no quiet */
#define SLOW_MS       1000 /* look at what inotify cannot tell */
#define ROUNDS_MAX    5    /* reads of files that change while they are read, in one batch */

#define FOLDER_EVENTS                                                                              \
    (IN_MODIFY | IN_CLOSE_WRITE | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE |            \
     IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
#define TARGET_EVENTS (IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF)

struct watch {
    struct dir_source *source; /* NULL: closing */
    uv_poll_t poll;
    uv_timer_t settle, slow;
    unsigned open; /* handles that libuv still holds */
    int fd;
    int64_t first_ns; /* first event of the running batch; 0: none */
};

void dir_problem(struct dir_source *s, const char *fmt, ...)
{
    char text[1100];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (s->sink.problem)
        s->sink.problem(s->sink.ctx, text);
}

int dir_watch(struct dir_source *s, const char *path, bool is_folder)
{
    if (s->inotify < 0)
        return -1;
    int wd = inotify_add_watch(s->inotify, path, is_folder ? FOLDER_EVENTS : TARGET_EVENTS);
    if (wd < 0 && (errno == ENOSPC || errno == ENOMEM) && !s->polling) {
        s->polling = true;
        dir_problem(s,
                    "%s: cannot be watched (%s): raise the sysctl fs.inotify.max_user_watches; "
                    "until then all files are looked at once a second",
                    path, strerror(errno));
    }
    return wd;
}

void dir_unwatch(struct dir_source *s, struct folder *f)
{
    int wd = f->wd;
    f->wd = -1;
    if (wd < 0)
        return;
    vec_each (it, &s->folders)
        if ((*it)->wd == wd)
            return; /* the same folder under another path */
    (void)inotify_rm_watch(s->inotify, wd);
}

static void mark_all(struct dir_source *s)
{
    vec_each (it, &s->folders)
        (*it)->dirty = true;
}

/* A new name whose writer will close it, as opposed to a link. */
static bool is_new_file(const struct folder *f, const char *name)
{
    cleanup_free char *path = path_join(f->path, name);
    struct stat st;
    return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1;
}

/* False: the folder has to be scanned to find out what this means. */
static bool file_event(struct dir_source *s, struct folder *f, const struct inotify_event *ev)
{
    bool appears = ev->mask & (IN_CREATE | IN_MODIFY | IN_MOVED_TO);
    if (!ev->len || ev->mask & IN_ISDIR)
        return false;
    if (ev->name[0] == '.')
        return !f->has_links; /* links may lead through it, as through "..data" */
    if (!is_manifest(ev->name))
        return ev->mask & (IN_MODIFY | IN_CLOSE_WRITE);
    struct file *file = folder_file(s, f, ev->name, appears);
    if (!file)
        return false;
    if (ev->mask & IN_MODIFY || (ev->mask & IN_CREATE && is_new_file(f, ev->name)))
        file->written_ns = clock_ns();
    if (ev->mask & (IN_CLOSE_WRITE | IN_MOVED_TO))
        file->written_ns = 0;
    file->touched = true;
    file_note(s, file);
    return true;
}

static void folder_event(struct dir_source *s, struct folder *f, const struct inotify_event *ev)
{
    if (file_event(s, f, ev))
        return;
    f->dirty = true;
    if (ev->mask & IN_IGNORED)
        f->wd = -1;
    if (f->parent && ev->mask & (IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF))
        f->parent->dirty = true;
}

/* The target of a symbolic link has changed: look at all of them again. */
static void target_event(struct dir_source *s, const struct inotify_event *ev)
{
    vec_each (it, &s->folders) {
        if (!(*it)->has_links)
            continue;
        (*it)->dirty = true;
        ht_each (e, &(*it)->files) {
            struct file *f = e->value;
            if (f->wd != ev->wd)
                continue;
            f->touched = true;
            f->written_ns = ev->mask & IN_MODIFY ? clock_ns() : 0;
        }
    }
}

static void one_event(struct dir_source *s, const struct inotify_event *ev)
{
    bool known = false;
    if (ev->mask & IN_Q_OVERFLOW) {
        mark_all(s);
        return;
    }
    vec_each (it, &s->folders) {
        if ((*it)->wd != ev->wd)
            continue;
        folder_event(s, *it, ev);
        known = true;
    }
    if (!known)
        target_event(s, ev);
}

void dir_drain_events(struct dir_source *s)
{
    _Alignas(struct inotify_event) char buf[16384];
    ssize_t n;
    if (s->inotify < 0)
        return;
    while ((n = read(s->inotify, buf, sizeof buf)) > 0) {
        for (char *p = buf; p < buf + n;) {
            const struct inotify_event *ev = (const void *)p;
            one_event(s, ev);
            p += sizeof *ev + ev->len;
        }
    }
}

static bool any_dirty(const struct dir_source *s)
{
    if (s->changed.n)
        return true;
    vec_each (it, &s->folders)
        if ((*it)->dirty)
            return true;
    return false;
}

/* One batch: what has changed is read and told. */
static void settle(struct dir_source *s)
{
    unsigned rounds = 0;
    do {
        dir_drain_events(s);
        dir_scan(s);
        dir_load(s);
    } while (any_dirty(s) && ++rounds < ROUNDS_MAX);
    if (s->sink.settled)
        s->sink.settled(s->sink.ctx);
}

static void on_settle(uv_timer_t *t)
{
    struct watch *w = t->data;
    w->first_ns = 0;
    settle(w->source);
    if (any_dirty(w->source))
        (void)uv_timer_start(&w->settle, on_settle, SETTLE_MAX_MS, 0);
}

static void on_events(uv_poll_t *p, int status, int events)
{
    struct watch *w = p->data;
    (void)status;
    (void)events;
    dir_drain_events(w->source);
    int64_t now = clock_ns();
    if (!w->first_ns)
        w->first_ns = now;
    else if (now - w->first_ns > SETTLE_MAX_MS * 1000000LL)
        return; /* the timer is due */
    (void)uv_timer_start(&w->settle, on_settle, SETTLE_MS, 0);
}

/* A given folder may be exchanged for another by a rename further up, which no watch of ours sees.
 */
static bool root_changed(struct dir_source *s, struct folder *f)
{
    struct stat st;
    bool there = stat(f->path, &st) == 0 && S_ISDIR(st.st_mode);
    if (there && !f->missing && f->dev == st.st_dev && f->ino == st.st_ino)
        return false;
    if (!there && f->missing)
        return false;
    dir_unwatch(s, f);
    return true;
}

static void on_slow(uv_timer_t *t)
{
    struct watch *w = t->data;
    struct dir_source *s = w->source;
    if (s->polling || s->postponed)
        mark_all(s);
    s->postponed = false;
    for (size_t i = 0; i < s->n_roots; i++)
        s->roots[i]->dirty |= root_changed(s, s->roots[i]);
    if (any_dirty(s) && !w->first_ns)
        on_settle(&w->settle);
}

static void on_closed(uv_handle_t *h)
{
    struct watch *w = h->data;
    if (--w->open)
        return;
    close(w->fd);
    free(w);
}

static void watch_close(struct watch *w)
{
    if (!w)
        return;
    w->source = NULL;
    uv_close((uv_handle_t *)&w->poll, on_closed);
    uv_close((uv_handle_t *)&w->settle, on_closed);
    uv_close((uv_handle_t *)&w->slow, on_closed);
}

static int watch_open(struct dir_source *s, uv_loop_t *loop, struct err *e)
{
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd < 0)
        return err_set(e, -errno,
                       "folders cannot be watched: inotify: %s; raise the sysctl "
                       "fs.inotify.max_user_instances",
                       strerror(errno));
    struct watch *w = xcalloc(1, sizeof *w);
    int r = uv_poll_init(loop, &w->poll, fd);
    if (r < 0) {
        close(fd);
        free(w);
        return err_set(e, r, "folders cannot be watched: %s", uv_strerror(r));
    }
    (void)uv_timer_init(loop, &w->settle);
    (void)uv_timer_init(loop, &w->slow);
    w->poll.data = w->settle.data = w->slow.data = w;
    w->source = s;
    w->fd = s->inotify = fd;
    w->open = 3;
    s->watch = w;
    (void)uv_poll_start(&w->poll, UV_READABLE, on_events);
    (void)uv_timer_start(&w->slow, on_slow, SLOW_MS, SLOW_MS);
    return 0;
}

static int add_roots(struct dir_source *s, const char *const *dirs, size_t n, struct err *e)
{
    s->roots = xcalloc(n + 1, sizeof *s->roots);
    for (size_t i = 0; i < n; i++) {
        struct stat st;
        bool there = stat(dirs[i], &st) == 0;
        if (there && !S_ISDIR(st.st_mode))
            return err_set(e, -ENOTDIR, "%s: is no folder", dirs[i]);
        if (!there || access(dirs[i], R_OK | X_OK) < 0)
            return err_set(e, -errno, "%s: cannot be read: %s", dirs[i], strerror(errno));
        s->roots[s->n_roots++] = folder_new(s, NULL, dirs[i], (unsigned)i);
    }
    return 0;
}

int dir_source_open(uv_loop_t *loop, const char *const *dirs, size_t n, const struct sink *sink,
                    struct dir_source **ret, struct err *e)
{
    struct dir_source *s = xcalloc(1, sizeof *s);
    s->sink = *sink;
    s->inotify = -1;
    int r = add_roots(s, dirs, n, e);
    if (r == 0 && loop)
        r = watch_open(s, loop, e);
    if (r < 0) {
        dir_source_close(s);
        return r;
    }
    settle(s);
    for (size_t i = 0; i < s->changed.n && !loop; i++)
        dir_problem(s, "%s: changes faster than it can be read", s->changed.items[i]->path);
    (void)malloc_trim(0); /* the trees of large files leave far more than what stays */
    if (any_dirty(s) && s->watch)
        (void)uv_timer_start(&s->watch->settle, on_settle, SETTLE_MAX_MS, 0);
    if (s->sink.synced)
        s->sink.synced(s->sink.ctx);
    s->follows = true;
    *ret = s;
    return 0;
}

void dir_source_close(struct dir_source *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_roots; i++)
        folder_free(s, s->roots[i]);
    free(s->roots);
    vec_done(&s->folders);
    vec_done(&s->load);
    vec_done(&s->changed);
    claims_done(&s->claims);
    watch_close(s->watch);
    free(s);
}
