/* The inside of the folder source: dir.c opens, watches and times; dir_scan.c finds out which files
 * there are; dir_load.c reads one and tells the sink. */
#pragma once

#include "base/ht.h"
#include "base/vec.h"
#include "source/claims.h"
#include "source/dir.h"

#include <sys/stat.h>

struct identity {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec mtime, ctime;
};

struct folder;

struct file {
    struct claimant claimant; /* first, so that a claimant is its file */
    struct folder *folder;
    char *path;
    struct identity id; /* when last read */
    char *keys;         /* of the objects claimed: NUL-terminated, "" behind the last; or NULL */
    int wd;             /* watch of a symbolic link's target, or -1 */
    bool seen;          /* by the running scan */
    bool touched;       /* to be read whatever its identity says */
    bool queued;        /* in the load list */
    bool changed;       /* in the list of those of which an event told */
    int64_t written_ns; /* last write without a close so far, monotonic; 0: none */
};

struct folder {
    struct folder *parent;
    char *path;
    unsigned root, depth;
    dev_t dev;
    ino_t ino;
    int wd; /* -1: not watched */
    bool dirty, seen;
    bool has_links;           /* what they point to may change unseen by this folder's watch */
    bool missing;             /* a given folder that is not there now */
    struct ht files, folders; /* by name */
};

struct watch; /* the libuv handles; they outlive the source until libuv has closed them */

struct dir_source {
    struct sink sink;
    struct folder **roots;
    size_t n_roots;
    VEC(struct folder *) folders; /* all, flat */
    VEC(struct file *) changed;   /* to be looked at, though their folder need not be scanned */
    VEC(struct file *) load;      /* to be read in this batch */
    size_t n_files;
    struct claims claims;
    struct watch *watch; /* NULL: read once */
    int inotify;         /* -1: read once */
    bool polling;        /* a watch was refused: look at everything once a second */
    bool postponed;      /* a file was being written when its turn came */
    bool full;           /* the limit of files has been reported */
    bool follows;        /* everything has been read once: from now on it can wait for memory */
    bool is_short;       /* of memory, which has been told */
};

void dir_problem(struct dir_source *s, const char *fmt, ...) printf_like(2, 3);

/* dir.c: adds a watch when the source follows changes; returns the descriptor or -1. */
int dir_watch(struct dir_source *s, const char *path, bool is_folder);
void dir_unwatch(struct dir_source *s, struct folder *f);
/* Reads what the kernel has to say; marks folders and files. */
void dir_drain_events(struct dir_source *s);

/* dir_scan.c */
struct folder *folder_new(struct dir_source *s, struct folder *parent, const char *path,
                          unsigned root);
void folder_free(struct dir_source *s, struct folder *f); /* files in it are dropped, not told */
char *path_join(const char *folder, const char *name);    /* to be freed */
bool is_manifest(const char *name);
/* The file of that name, made when it is new and looks like a manifest; may be NULL. */
struct file *folder_file(struct dir_source *s, struct folder *f, const char *name, bool make);
void file_note(struct dir_source *s, struct file *f); /* puts it in the list of changed ones */
/* Looks at every changed file and scans every dirty folder; files that are new or changed are put
 * in the load list, gone ones lose their objects. */
void dir_scan(struct dir_source *s);

/* dir_load.c */
struct identity identity_of(const struct stat *st);
bool identity_equal(const struct identity *a, const struct identity *b);
void file_queue(struct dir_source *s, struct file *f);
/* Reads the load list until it is empty. */
void dir_load(struct dir_source *s);
/* Takes back all the objects of a file that is gone. */
void file_forget(struct dir_source *s, struct file *f);
void file_free(struct file *f);
