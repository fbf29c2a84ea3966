#include "registry/storage.h"

#include "base/mem.h"
#include "base/str.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT "1" /* of the file; another one is refused */

enum { PUT, DELETE, SET, BEGIN, COMMIT, STATEMENT_COUNT };

#define PUT_TEXT                                                                                   \
    "INSERT INTO object VALUES(?1, ?2, ?3, ?4, ?5) "                                               \
    "ON CONFLICT DO UPDATE SET revision = ?4, text = ?5"

static const char *const texts[STATEMENT_COUNT] = {
    [PUT] = PUT_TEXT,
    [DELETE] = "DELETE FROM object WHERE kind = ?1 AND namespace = ?2 AND name = ?3",
    [SET] = "INSERT INTO setting VALUES(?1, ?2) ON CONFLICT DO UPDATE SET value = ?2",
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
};

static const char setup[] =
    "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
    "BEGIN IMMEDIATE;"
    "CREATE TABLE IF NOT EXISTS object(kind TEXT NOT NULL, namespace TEXT NOT NULL,"
    " name TEXT NOT NULL, revision INTEGER NOT NULL, text TEXT NOT NULL,"
    " PRIMARY KEY(kind, namespace, name)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS setting(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "INSERT OR IGNORE INTO setting(name, value) VALUES('format', '" FORMAT "');"
    "COMMIT";

struct storage {
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENT_COUNT];
    char *path;
    bool open; /* a transaction */
};

static int failed(struct storage *s, struct err *e)
{
    int code = sqlite3_errcode(s->db);
    if (code == SQLITE_BUSY || code == SQLITE_LOCKED)
        return err_set(e, ERR_REFUSED, "%s: another process has it", s->path);
    return err_set(e, ERR_REFUSED, "%s: %s", s->path, sqlite3_errmsg(s->db));
}

/* ---- opening ---- */

static int check_format(struct storage *s, struct err *e)
{
    cleanup_free char *format = NULL;
    int r = storage_setting(s, "format", &format, e);
    if (r == 0 && !str_eq(format, FORMAT))
        r = err_set(e, ERR_UNSUPPORTED,
                    "%s: it was written in format %s, and this program knows " FORMAT
                    " only: use the version that wrote it",
                    s->path, format ? format : "?");
    return r;
}

static int prepare(struct storage *s, struct err *e)
{
    if (sqlite3_exec(s->db, setup, NULL, NULL, NULL) != SQLITE_OK)
        return failed(s, e);
    for (int i = 0; i < STATEMENT_COUNT; i++)
        if (sqlite3_prepare_v3(s->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &s->statements[i],
                               NULL) != SQLITE_OK)
            return failed(s, e);
    return check_format(s, e);
}

int storage_open(const char *path, struct storage **ret, struct err *e)
{
    struct storage *s = xcalloc(1, sizeof *s);
    s->path = xstrdup(path);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    int r = sqlite3_open_v2(path, &s->db, flags, NULL) == SQLITE_OK ? prepare(s, e) : failed(s, e);
    if (r < 0) {
        storage_close(s);
        return r;
    }
    *ret = s;
    return 0;
}

void storage_close(struct storage *s)
{
    if (!s)
        return;
    for (int i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(s->statements[i]);
    sqlite3_close(s->db);
    free(s->path);
    free(s);
}

/* ---- reading ---- */

static const char *column(sqlite3_stmt *q, int i)
{
    const char *text = (const char *)sqlite3_column_text(q, i);
    return text ? text : "";
}

/* "v1/services": the version belongs to the text that lies beside it. */
static void kind_of(const struct resource *r, char out[128])
{
    (void)snprintf(out, 128, "%s/%s", resource_api_version(r), r->name);
}

static const struct resource *resource_named(const char *kind)
{
    char name[128];
    for (size_t i = 0; i < n_resources; i++) {
        kind_of(&resources[i], name);
        if (strcmp(name, kind) == 0)
            return &resources[i];
    }
    return NULL;
}

static int read_row(struct storage *s, sqlite3_stmt *q, struct item **ret, struct err *e)
{
    const struct resource *r = resource_named(column(q, 0));
    const char *text = column(q, 4);
    struct item *i =
        r ? item_read(r, text, (size_t)sqlite3_column_bytes(q, 4), sqlite3_column_int64(q, 3))
          : NULL;
    if (!i)
        return err_set(e, ERR_INVALID, "%s: %s %s/%s cannot be read: the file is damaged", s->path,
                       column(q, 0), column(q, 1), column(q, 2));
    *ret = i;
    return 0;
}

int storage_load(struct storage *s, void (*fn)(void *ctx, struct item *i), void *ctx,
                 int64_t *ret_revision, struct err *e)
{
    sqlite3_stmt *q = NULL;
    struct item *i = NULL;
    int r = 0, step = SQLITE_DONE;
    cleanup_free char *revision = NULL;
    static const char text[] = "SELECT kind, namespace, name, revision, text FROM object";
    if (sqlite3_prepare_v2(s->db, text, -1, &q, NULL) != SQLITE_OK)
        return failed(s, e);
    while (r == 0 && (step = sqlite3_step(q)) == SQLITE_ROW) {
        r = read_row(s, q, &i, e);
        if (r == 0)
            fn(ctx, i);
    }
    if (r == 0 && step != SQLITE_DONE)
        r = failed(s, e);
    sqlite3_finalize(q);
    if (r == 0)
        r = storage_setting(s, "revision", &revision, e);
    if (r == 0)
        *ret_revision = revision ? strtoll(revision, NULL, 10) : 0;
    return r;
}

int storage_setting(struct storage *s, const char *name, char **ret, struct err *e)
{
    sqlite3_stmt *q = NULL;
    if (sqlite3_prepare_v2(s->db, "SELECT value FROM setting WHERE name = ?1", -1, &q, NULL) !=
        SQLITE_OK)
        return failed(s, e);
    sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
    int step = sqlite3_step(q);
    char *value = step == SQLITE_ROW ? xstrdup(column(q, 0)) : NULL;
    int r = step == SQLITE_ROW || step == SQLITE_DONE ? 0 : failed(s, e);
    sqlite3_finalize(q);
    if (r == 0)
        *ret = value;
    return r;
}

/* ---- writing ---- */

static int run(struct storage *s, int which, struct err *e)
{
    sqlite3_stmt *q = s->statements[which];
    int step = sqlite3_step(q);
    int r = step == SQLITE_DONE ? 0 : failed(s, e);
    sqlite3_reset(q);
    sqlite3_clear_bindings(q);
    return r;
}

static int begin(struct storage *s, struct err *e)
{
    int r = s->open ? 0 : run(s, BEGIN, e);
    s->open |= r == 0;
    return r;
}

static void bind_key(sqlite3_stmt *q, const struct item *i, const char *kind)
{
    sqlite3_bind_text(q, 1, kind, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 2, i->namespace, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 3, i->name, -1, SQLITE_STATIC);
}

int storage_put(struct storage *s, const struct item *i, struct err *e)
{
    char kind[128];
    int r = begin(s, e);
    if (r < 0)
        return r;
    kind_of(i->resource, kind);
    bind_key(s->statements[PUT], i, kind);
    sqlite3_bind_int64(s->statements[PUT], 4, i->revision);
    sqlite3_bind_text(s->statements[PUT], 5, i->text, (int)i->len, SQLITE_STATIC);
    return run(s, PUT, e);
}

int storage_delete(struct storage *s, const struct item *i, struct err *e)
{
    char kind[128];
    int r = begin(s, e);
    if (r < 0)
        return r;
    kind_of(i->resource, kind);
    bind_key(s->statements[DELETE], i, kind);
    return run(s, DELETE, e);
}

int storage_set(struct storage *s, const char *name, const char *value, struct err *e)
{
    int r = begin(s, e);
    if (r < 0)
        return r;
    sqlite3_bind_text(s->statements[SET], 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_text(s->statements[SET], 2, value, -1, SQLITE_STATIC);
    return run(s, SET, e);
}

int storage_commit(struct storage *s, int64_t revision, struct err *e)
{
    char text[24];
    if (!s->open)
        return 0;
    (void)snprintf(text, sizeof text, "%lld", (long long)revision);
    int r = storage_set(s, "revision", text, e);
    if (r == 0)
        r = run(s, COMMIT, e);
    s->open = r < 0;
    return r;
}
