#include "client/textfile.h"

#include "base/str.h"

#include <errno.h>
#include <string.h>

static int read_all(FILE *f, const char *path, size_t max, struct strbuf *b, struct err *e)
{
    char piece[8192];
    size_t n;
    strbuf_puts(b, "");
    while ((n = fread(piece, 1, sizeof piece, f)) > 0) {
        if (b->len + n > max)
            return err_set(e, ERR_LIMIT, "%s: larger than %zu bytes", path, max);
        strbuf_add(b, piece, n);
    }
    return ferror(f) ? err_set(e, -errno, "%s: %s", path, strerror(errno)) : 0;
}

int textfile_read(const char *path, size_t max, struct arena *a, const char **ret_text,
                  size_t *ret_len, struct err *e)
{
    cleanup(strbuf_done) struct strbuf b = { 0 };
    bool in = str_eq(path, "-");
    cleanup_fclose FILE *f = in ? NULL : fopen(path, "re");
    if (!in && !f)
        return err_set(e, -errno, "%s: %s", path, strerror(errno));
    int rc = read_all(in ? stdin : f, in ? "standard input" : path, max, &b, e);
    if (rc < 0)
        return rc;
    if (!ret_len && strlen(b.p) != b.len)
        return err_set(e, ERR_PARSE, "%s: has a zero byte; it is no text file", path);
    *ret_text = arena_strndup(a, b.p, b.len);
    if (ret_len)
        *ret_len = b.len;
    return 0;
}
