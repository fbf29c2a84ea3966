#include "base/str.h"
#include "source/dir_impl.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

char *path_join(const char *folder, const char *name)
{
    struct strbuf b = { 0 };
    size_t n = strlen(folder);
    strbuf_printf(&b, "%s%s%s", folder, n && folder[n - 1] == '/' ? "" : "/", name);
    return strbuf_steal(&b);
}

struct folder *folder_new(struct dir_source *s, struct folder *parent, const char *path,
                          unsigned root)
{
    struct folder *f = xcalloc(1, sizeof *f);
    f->parent = parent;
    f->path = xstrdup(path);
    f->root = root;
    f->depth = parent ? parent->depth + 1 : 0;
    f->wd = -1;
    f->dirty = true;
    vec_push(&s->folders, f);
    return f;
}

void folder_free(struct dir_source *s, struct folder *f)
{
    if (!f)
        return;
    ht_each (e, &f->files)
        file_free(e->value);
    ht_each (e, &f->folders)
        folder_free(s, e->value);
    ht_done(&f->files);
    ht_done(&f->folders);
    dir_unwatch(s, f);
    for (size_t i = 0; i < s->folders.n; i++) {
        if (s->folders.items[i] != f)
            continue;
        vec_swap_remove(&s->folders, i);
        break;
    }
    free(f->path);
    free(f);
}

static void take_out(struct file **items, size_t *n, const struct file *f)
{
    for (size_t i = 0; i < *n; i++)
        if (items[i] == f)
            items[i--] = items[--*n];
}

/* Objects first, memory later: a file in one of the lists must not disappear under it. */
static void remove_file(struct dir_source *s, struct file *f)
{
    file_forget(s, f);
    if (f->queued)
        take_out(s->load.items, &s->load.n, f);
    if (f->changed)
        take_out(s->changed.items, &s->changed.n, f);
    s->n_files--;
    file_free(f);
}

static void remove_folder(struct dir_source *s, struct folder *f)
{
    ht_each (e, &f->folders)
        remove_folder(s, e->value);
    ht_done(&f->folders);
    ht_each (e, &f->files)
        remove_file(s, e->value);
    ht_done(&f->files);
    folder_free(s, f);
}

/* Following a link must not lead back to a folder that is being walked. */
static bool is_own_ancestor(const struct folder *f, const struct stat *st)
{
    for (; f; f = f->parent)
        if (f->dev == st->st_dev && f->ino == st->st_ino)
            return true;
    return false;
}

static void found_folder(struct dir_source *s, struct folder *parent, const char *name,
                         const char *path, const struct stat *st)
{
    struct folder *f = ht_get_str(&parent->folders, name);
    if (is_own_ancestor(parent, st))
        return;
    if (!f && parent->depth + 1 >= DIR_DEPTH_MAX) {
        dir_problem(s, "%s: folders are nested deeper than %d levels; left out", path,
                    DIR_DEPTH_MAX);
        return;
    }
    if (!f) {
        f = folder_new(s, parent, path, parent->root);
        ht_put_str(&parent->folders, name, f);
    }
    f->seen = true;
    if (f->dev == st->st_dev && f->ino == st->st_ino && !f->missing)
        return;
    dir_unwatch(s, f);
    f->dev = st->st_dev;
    f->ino = st->st_ino;
    f->dirty = true;
}

bool is_manifest(const char *name)
{
    return str_ends(name, ".yaml") || str_ends(name, ".yml") || str_ends(name, ".json");
}

static struct file *file_new(struct dir_source *s, struct folder *folder, const char *name)
{
    cleanup_free char *path = path_join(folder->path, name);
    if (s->n_files >= DIR_FILES_MAX) {
        if (!s->full)
            dir_problem(s, "%s: more than %d files; this one and others are left out", path,
                        DIR_FILES_MAX);
        s->full = true;
        return NULL;
    }
    struct file *f = xcalloc(1, sizeof *f);
    f->path = path;
    path = NULL;
    f->claimant = (struct claimant){ .root = folder->root, .path = f->path };
    f->folder = folder;
    f->touched = true;
    f->wd = -1;
    s->n_files++;
    ht_put_str(&folder->files, name, f);
    return f;
}

struct file *folder_file(struct dir_source *s, struct folder *f, const char *name, bool make)
{
    struct file *file = ht_get_str(&f->files, name);
    return file || !make || !is_manifest(name) || *name == '.' ? file : file_new(s, f, name);
}

static void found_file(struct dir_source *s, struct folder *folder, const char *name,
                       const char *path, const struct stat *st, bool is_link)
{
    struct file *f = folder_file(s, folder, name, true);
    struct identity id = identity_of(st);
    if (!f)
        return;
    f->seen = true;
    if (!f->touched && identity_equal(&id, &f->id))
        return;
    if (is_link)
        f->wd = dir_watch(s, path, false);
    file_queue(s, f);
}

static bool is_symlink(const char *path, const struct dirent *entry)
{
    struct stat st;
    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_LNK;
    return lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
}

static void found_entry(struct dir_source *s, struct folder *f, const struct dirent *entry)
{
    struct stat st;
    if (entry->d_name[0] == '.')
        return;
    cleanup_free char *path = path_join(f->path, entry->d_name);
    if (stat(path, &st) < 0) {
        /* A link to nowhere may point somewhere soon. */
        f->has_links |= errno == ENOENT;
        if (errno != ENOENT)
            dir_problem(s, "%s: cannot be read: %s", path, strerror(errno));
        return;
    }
    bool is_link = is_symlink(path, entry);
    f->has_links |= is_link;
    if (S_ISDIR(st.st_mode))
        found_folder(s, f, entry->d_name, path, &st);
    else if (is_manifest(entry->d_name))
        found_file(s, f, entry->d_name, path, &st, is_link);
}

/* Takes out what the scan has not seen. The keys are collected first: the tables must not change
 * while they are walked. */
static void remove_unseen(struct dir_source *s, struct folder *f)
{
    VEC(char *) gone = { 0 };
    ht_each (e, &f->files)
        if (!((struct file *)e->value)->seen)
            vec_push(&gone, e->key);
    vec_each (name, &gone) {
        struct file *file = ht_get_str(&f->files, *name);
        ht_del_str(&f->files, *name);
        remove_file(s, file);
    }
    vec_clear(&gone);
    ht_each (e, &f->folders)
        if (!((struct folder *)e->value)->seen)
            vec_push(&gone, e->key);
    vec_each (name, &gone) {
        struct folder *folder = ht_get_str(&f->folders, *name);
        ht_del_str(&f->folders, *name);
        remove_folder(s, folder);
    }
    vec_done(&gone);
}

/* A folder that cannot be read keeps its objects, unless its parent's scan finds that it is gone.
 */
static void cannot_read(struct dir_source *s, struct folder *f)
{
    int why = errno;
    dir_unwatch(s, f);
    if (!f->missing && (!f->parent || why != ENOENT))
        dir_problem(s, "%s: cannot be read: %s; what was read from it before stays in use", f->path,
                    strerror(why));
    f->missing = true;
}

static void scan_folder(struct dir_source *s, struct folder *f)
{
    struct stat st;
    f->dirty = false;
    if (f->wd < 0)
        f->wd = dir_watch(s, f->path, true);
    DIR *d = opendir(f->path);
    if (!d || fstat(dirfd(d), &st) < 0) {
        cannot_read(s, f);
        if (d)
            closedir(d);
        return;
    }
    f->dev = st.st_dev;
    f->ino = st.st_ino;
    f->missing = f->has_links = false;
    ht_each (e, &f->files)
        ((struct file *)e->value)->seen = false;
    ht_each (e, &f->folders)
        ((struct folder *)e->value)->seen = false;
    for (struct dirent *entry; (entry = readdir(d));)
        found_entry(s, f, entry);
    closedir(d);
    remove_unseen(s, f);
}

void file_note(struct dir_source *s, struct file *f)
{
    if (f->changed)
        return;
    f->changed = true;
    vec_push(&s->changed, f);
}

static const char *name_of(const struct file *f)
{
    return strrchr(f->path, '/') + 1;
}

/* Cheaper than a scan of the whole folder, which would look at each of its files. */
static void look_at(struct dir_source *s, struct file *f)
{
    struct folder *folder = f->folder;
    struct stat st;
    bool there = lstat(f->path, &st) == 0;
    if (there && S_ISREG(st.st_mode)) {
        file_queue(s, f);
    } else if (!there && errno == ENOENT) {
        cleanup_free char *name = xstrdup(name_of(f));
        ht_del_str(&folder->files, name);
        remove_file(s, f);
    } else {
        folder->dirty = true; /* a link, or a folder of that name */
    }
}

static void look_at_changed(struct dir_source *s)
{
    while (s->changed.n) {
        struct file *f = s->changed.items[--s->changed.n];
        f->changed = false;
        if (!f->folder->dirty)
            look_at(s, f);
    }
}

void dir_scan(struct dir_source *s)
{
    look_at_changed(s);
    /* Scans add folders and take some out, so the list is looked at afresh after each. */
    for (size_t i = 0; i < s->folders.n;) {
        struct folder *f = s->folders.items[i];
        if (!f->dirty) {
            i++;
            continue;
        }
        scan_folder(s, f);
        i = 0;
    }
}
