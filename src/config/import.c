/* What `import` brings in, and environment variables. */
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "config/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <string.h>
#include <sys/stat.h>

static int read_all(int fd, const char *path, char **ret_text, size_t *ret_len, struct err *e)
{
    int code = file_read_all(fd, COREFILE_BYTES_MAX, ret_text, ret_len);
    if (code == ERR_LIMIT)
        return err_set(e, code, "%s: the file is larger than the limit of 1 MiB", path);
    return code < 0 ? err_set(e, code, "read %s: %s", path, strerror(-code)) : 0;
}

static int check_kind(int fd, const char *path, bool regular, struct err *e)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_set(e, -errno, "stat %s: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return err_set(e, -EISDIR, "%s: is a directory", path);
    if (regular && !S_ISREG(st.st_mode))
        return err_set(e, ERR_INVALID, "%s: is not a regular file", path);
    return 0;
}

int import_read(const char *path, bool regular, char **ret_text, size_t *ret_len, struct err *e)
{
    if (!regular && str_eq(path, "stdin"))
        return read_all(STDIN_FILENO, path, ret_text, ret_len, e);
    /* A pipe without a writer must not stop an import for ever. */
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | (regular ? O_NONBLOCK : 0));
    if (fd < 0)
        return err_set(e, -errno, "open %s: %s", path, strerror(errno));
    int r = check_kind(fd, path, regular, e);
    return r < 0 ? r : read_all(fd, path, ret_text, ret_len, e);
}

static int import_file(const struct token *at, const char *path, struct arena *a, token_vec *ret,
                       struct err *e)
{
    struct err why = { 0 };
    cleanup_free char *text = NULL;
    size_t len;
    int r = import_read(path, true, &text, &len, &why);
    if (r < 0)
        return token_err(at, e, r, "cannot import: %s", why.text);
    return lex(text, len, arena_strdup(a, path), a, ret, e);
}

/* The pattern behind the folder of the importing file, whose own wildcards are escaped. */
static void glob_pattern(const struct token *at, struct strbuf *ret)
{
    const char *slash = strrchr(at->file, '/');
    if (at->text[0] != '/' && slash) {
        for (const char *p = at->file; p <= slash; p++) {
            if (strchr("*?[]\\", *p))
                strbuf_putc(ret, '\\');
            strbuf_putc(ret, *p);
        }
    }
    strbuf_puts(ret, at->text);
}

static size_t count_char(const char *s, char c)
{
    size_t n = 0;
    for (; *s; s++)
        n += *s == c;
    return n;
}

static bool is_self_or_parent(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    return str_eq(name, ".") || str_eq(name, "..");
}

static int import_matches(const struct token *at, const glob_t *g, struct arena *a, size_t *n_files,
                          token_vec *ret, struct err *e)
{
    for (size_t i = 0; i < g->gl_pathc; i++) {
        if (is_self_or_parent(g->gl_pathv[i]))
            continue;
        if (++*n_files > COREFILE_FILES_MAX)
            return token_err(at, e, ERR_LIMIT, "maximum file import depth (%d) exceeded",
                             COREFILE_FILES_MAX);
        int r = import_file(at, g->gl_pathv[i], a, ret, e);
        if (r < 0)
            return r;
        if (ret->n > COREFILE_TOKENS_MAX)
            return token_err(at, e, ERR_LIMIT, "the imported files hold more than %d words",
                             COREFILE_TOKENS_MAX);
    }
    return 0;
}

static int no_match(const struct token *at, struct err *e)
{
    if (!strpbrk(at->text, "*?"))
        return token_err(at, e, ERR_NOT_FOUND, "File to import not found: %s", at->text);
    log_warning("No files matching import glob pattern: %s", at->text);
    return 0;
}

int import_files(const struct token *at, struct arena *a, size_t *n_files, token_vec *ret,
                 struct err *e)
{
    if (count_char(at->text, '*') > 1 || count_char(at->text, '?') > 1 || strchr(at->text, '['))
        return token_err(at, e, ERR_INVALID,
                         "the import pattern %s holds too many wildcards: only one * and one ? are "
                         "allowed, and no [",
                         at->text);
    struct strbuf pattern = { 0 };
    glob_t g = { 0 };
    glob_pattern(at, &pattern);
    int found = glob(pattern.p, GLOB_PERIOD, NULL, &g);
    int r = found == 0 ? import_matches(at, &g, a, n_files, ret, e) : no_match(at, e);
    globfree(&g);
    strbuf_done(&pattern);
    return r;
}

/* s with every `ref` (n bytes) replaced by value. */
static char *replace_all(const char *s, const char *ref, size_t n, const char *value,
                         struct arena *a)
{
    struct strbuf out = { 0 };
    char *needle = arena_strndup(a, ref, n);
    for (const char *hit; (hit = strstr(s, needle)) != NULL; s = hit + n) {
        strbuf_add(&out, s, (size_t)(hit - s));
        strbuf_puts(&out, value);
    }
    strbuf_puts(&out, s);
    char *text = arena_strndup(a, out.p, out.len);
    strbuf_done(&out);
    return text;
}

static int expand_form(struct token *t, const char *open, const char *close, struct arena *a,
                       struct err *e)
{
    for (int rounds = 0;; rounds++) {
        const char *start = strstr(t->text, open);
        const char *end = start ? strstr(start, close) : NULL;
        /* An empty name ends the replacing in this word, as in CoreDNS. */
        if (!end || end <= start + strlen(open))
            return 0;
        if (rounds == COREFILE_VARS_MAX || strlen(t->text) > COREFILE_VALUE_MAX)
            return token_err(t, e, ERR_LIMIT,
                             "environment variables expand without end in this word: one holds a "
                             "reference to itself, or the value is longer than %d bytes",
                             COREFILE_VALUE_MAX);
        char *name = arena_strndup(a, start + 2, (size_t)(end - start - 2));
        const char *value = getenv(name);
        size_t n = (size_t)(end - start) + strlen(close);
        t->text = replace_all(t->text, start, n, value ? value : "", a);
        t->quoted |= str_eq(t->text, "{") || str_eq(t->text, "}");
    }
}

int token_expand(struct token *t, struct arena *a, struct err *e)
{
    if (!strchr(t->text, '{'))
        return 0;
    int r = expand_form(t, "{%", "%}", a, e);
    return r < 0 ? r : expand_form(t, "{$", "}", a, e);
}
