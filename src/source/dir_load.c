#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/tree.h"
#include "kube/decode.h"
#include "source/dir_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define ARENA_CHUNK       ((size_t)256 * 1024)
#define ROOM_LEAST        ((size_t)2 << 20) /* bytes that must be had to read a file anew, */
#define ROOM_TIMES        40           /* and so many a byte of it, for its tree and the objects */
#define WRITE_PATIENCE_NS 1000000000LL /* how long a writer may keep a file open */

struct identity identity_of(const struct stat *st)
{
    return (struct identity){ .dev = st->st_dev,
                              .ino = st->st_ino,
                              .size = st->st_size,
                              .mtime = st->st_mtim,
                              .ctime = st->st_ctim };
}

static bool time_equal(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool identity_equal(const struct identity *a, const struct identity *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
           time_equal(&a->mtime, &b->mtime) && time_equal(&a->ctime, &b->ctime);
}

void file_free(struct file *f)
{
    if (!f)
        return;
    free(f->path);
    free(f->keys);
    free(f);
}

void file_queue(struct dir_source *s, struct file *f)
{
    if (f->queued)
        return;
    f->queued = true;
    vec_push(&s->load, f);
}

/* "<kind> ns/name"; to be freed. */
static char *key_of(const struct object *o)
{
    struct strbuf b = { 0 };
    strbuf_printf(&b, "%u %s/%s", o->kind, o->meta.namespace, o->meta.name);
    return strbuf_steal(&b);
}

static void tell_deleted(struct dir_source *s, char *key)
{
    char *ns = strchr(key, ' '), *name = strchr(key, '/');
    enum kind kind = (enum kind)atoi(key);
    *ns++ = 0;
    *name++ = 0;
    s->sink.del(s->sink.ctx, kind, ns, name);
}

/* Whoever inherits an object has to be read again, since losers' objects are not kept. */
static void drop_key(struct dir_source *s, struct file *f, char *key)
{
    const struct claimant *heir;
    switch (claims_drop(&s->claims, key, &f->claimant, &heir)) {
    case CLAIM_LOSER:
        break;
    case CLAIM_LAST:
        tell_deleted(s, key);
        break;
    case CLAIM_INHERITED: {
        struct file *other = (struct file *)(uintptr_t)heir;
        other->touched = true;
        file_queue(s, other);
        break;
    }
    }
}

void file_forget(struct dir_source *s, struct file *f)
{
    char *key = f->keys;
    while (key && *key) {
        char *next = key + strlen(key) + 1;
        drop_key(s, f, key);
        key = next;
    }
    free(f->keys);
    f->keys = NULL;
}

/* What one reading of a file has brought. */
struct reading {
    struct dir_source *source;
    struct file *file;
    VEC(struct object *) objects;
    struct ht seen;
    struct strbuf keys;
    size_t n_bad;
};

static void reading_done(struct reading *r)
{
    vec_done(&r->objects);
    ht_done(&r->seen);
    strbuf_done(&r->keys);
}

static void add_object(void *ctx, struct object *o)
{
    struct reading *r = ctx;
    vec_push(&r->objects, o);
}

static void add_problem(void *ctx, const struct err *e)
{
    struct reading *r = ctx;
    r->n_bad++;
    dir_problem(r->source, "%s", e->text);
}

static void tell_contest(struct dir_source *s, const struct object *o, const char *loser,
                         const char *winner)
{
    dir_problem(s, "%s: %s %s%s%s is also in %s, which comes first and is used", loser,
                kind_text(o->kind), o->meta.namespace, *o->meta.namespace ? "/" : "", o->meta.name,
                winner);
}

/* One file may be reached under two paths. */
static bool is_same_file(const struct claimant *a, const struct claimant *b)
{
    const struct file *x = (const struct file *)a, *y = (const struct file *)b;
    return x->id.dev == y->id.dev && x->id.ino == y->id.ino;
}

static void add_key(struct reading *r, const char *key)
{
    strbuf_add(&r->keys, key, strlen(key) + 1);
}

/* Puts one object, or explains why not. */
static void claim_object(struct reading *r, struct object *o)
{
    const struct claimant *me = &r->file->claimant, *winner, *beaten;
    cleanup_free char *key = key_of(o);
    if (ht_put_str(&r->seen, key, r)) {
        dir_problem(r->source, "%s: %s %s%s%s is in this file twice; the first is used",
                    o->meta.origin, kind_text(o->kind), o->meta.namespace,
                    *o->meta.namespace ? "/" : "", o->meta.name);
        object_free(o);
        return;
    }
    add_key(r, key);
    winner = claims_add(&r->source->claims, key, me, &beaten);
    if (beaten && !is_same_file(beaten, me))
        tell_contest(r->source, o, beaten->path, o->meta.origin);
    if (winner == me) {
        r->source->sink.put(r->source->sink.ctx, o);
        return;
    }
    if (!is_same_file(winner, me))
        tell_contest(r->source, o, o->meta.origin, winner->path);
    object_free(o);
}

/* Objects that are no longer in the file go, unless one of its documents was refused: it may be
 * them. */
static void drop_missing(struct reading *r)
{
    char *key = r->file->keys;
    while (key && *key) {
        char *next = key + strlen(key) + 1;
        bool found = ht_get_str(&r->seen, key);
        if (!found && r->n_bad)
            add_key(r, key);
        else if (!found)
            drop_key(r->source, r->file, key);
        key = next;
    }
}

static void apply(struct reading *r)
{
    vec_each (it, &r->objects)
        claim_object(r, *it);
    drop_missing(r);
    strbuf_add(&r->keys, "", 1);
    free(r->file->keys);
    size_t len = r->keys.len;
    r->file->keys = xrealloc(strbuf_steal(&r->keys), len); /* without the room to grow */
}

static void parse(struct dir_source *s, struct file *f, const char *text, size_t len)
{
    cleanup(reading_done) struct reading r = { .source = s, .file = f };
    cleanup(arena_done) struct arena arena;
    struct tree_doc doc;
    struct err e;
    arena_init(&arena, ARENA_CHUNK);
    if (tree_parse(text, len, f->path, &arena, &doc, &e) < 0) {
        bool had = f->keys && *f->keys;
        dir_problem(s, "%s%s", e.text, had ? "; what was read from it before stays in use" : "");
        return;
    }
    for (size_t i = 0; i < doc.n && s->sink.document; i++)
        s->sink.document(s->sink.ctx, doc.documents[i], f->path);
    for (size_t i = 0; i < doc.n; i++)
        (void)object_decode_each(doc.documents[i], f->path, s->sink.without, add_object,
                                 add_problem, &r);
    apply(&r);
}

static bool is_being_written(const struct file *f)
{
    return f->written_ns && clock_ns() - f->written_ns < WRITE_PATIENCE_NS;
}

/* The text, or NULL when the file is to be looked at later or not at all. */
static char *read_text(struct dir_source *s, struct file *f, size_t *ret_len)
{
    cleanup_close int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st, after;
    if (fd < 0 || fstat(fd, &st) < 0) {
        if (errno != ENOENT)
            dir_problem(s, "%s: cannot be read: %s", f->path, strerror(errno));
        return NULL;
    }
    f->id = identity_of(&st);
    if (!S_ISREG(st.st_mode) || st.st_size > DIR_FILE_BYTES_MAX) {
        if (S_ISREG(st.st_mode))
            dir_problem(s, "%s: larger than %ld MiB; split it", f->path, DIR_FILE_BYTES_MAX >> 20);
        else
            dir_problem(s, "%s: is no regular file", f->path);
        return NULL;
    }
    cleanup_free char *text = NULL;
    size_t n;
    /* One byte more is asked for, to notice a file that has grown meanwhile. */
    int code = file_read(fd, (size_t)st.st_size + 1, &text, &n);
    if (code < 0) {
        dir_problem(s, "%s: cannot be read: %s", f->path, strerror(-code));
        return NULL;
    }
    struct identity id = f->id;
    if (fstat(fd, &after) == 0)
        id = identity_of(&after);
    dir_drain_events(s);
    if (is_being_written(f) || n != (size_t)st.st_size || !identity_equal(&id, &f->id)) {
        f->touched = true;
        file_note(s, f);
        s->postponed = true;
        return NULL;
    }
    *ret_len = n;
    char *out = text;
    text = NULL;
    return out;
}

/* Enough for a file of that name as it is now? At the start there is nothing to go on with. */
static bool has_room(struct dir_source *s, const struct file *f)
{
    struct stat st;
    size_t size = stat(f->path, &st) == 0 && st.st_size > 0 ? (size_t)st.st_size : 0;
    bool room =
        !s->follows || size > DIR_FILE_BYTES_MAX || mem_has_room(ROOM_LEAST + size * ROOM_TIMES);
    if (!room && !s->is_short)
        dir_problem(s,
                    "%s: not read because memory is short; what was read before stays in use, and "
                    "changes are read when there is room",
                    f->path);
    s->is_short = !room;
    return room;
}

static void load_file(struct dir_source *s, struct file *f)
{
    size_t len;
    if (is_being_written(f) || !has_room(s, f)) {
        f->touched = true;
        s->postponed = true;
        return;
    }
    f->touched = false;
    cleanup_free char *text = read_text(s, f, &len);
    if (text)
        parse(s, f, text, len);
}

static int by_order(const void *a, const void *b)
{
    return claimant_compare(*(const struct claimant *const *)a, *(const struct claimant *const *)b);
}

void dir_load(struct dir_source *s)
{
    while (s->load.n) {
        __typeof__(s->load) now = s->load;
        memset(&s->load, 0, sizeof s->load);
        qsort(now.items, now.n, sizeof *now.items, by_order);
        vec_each (it, &now) {
            (*it)->queued = false;
            load_file(s, *it);
        }
        vec_done(&now);
    }
}
