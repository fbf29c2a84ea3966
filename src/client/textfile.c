#include "client/textfile.h"

#include "base/file.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static int read_all(const char *path, size_t max, char **ret_text, size_t *ret_len, struct err *e)
{
    bool in = str_eq(path, "-");
    cleanup_close int file = in ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (!in && file < 0)
        return err_set(e, -errno, "%s: %s", path, strerror(errno));
    int code = file_read_all(in ? STDIN_FILENO : file, max, ret_text, ret_len);
    const char *name = in ? "standard input" : path;
    if (code == ERR_LIMIT)
        return err_set(e, code, "%s: larger than %zu bytes", name, max);
    return code < 0 ? err_set(e, code, "%s: %s", name, strerror(-code)) : 0;
}

int textfile_read(const char *path, size_t max, struct arena *a, const char **ret_text,
                  size_t *ret_len, struct err *e)
{
    cleanup_free char *text = NULL;
    size_t len;
    int code = read_all(path, max, &text, &len, e);
    if (code < 0)
        return code;
    if (!ret_len && strlen(text) != len)
        return err_set(e, ERR_PARSE, "%s: has a zero byte; it is no text file", path);
    *ret_text = arena_strndup(a, text, len);
    if (ret_len)
        *ret_len = len;
    return 0;
}
