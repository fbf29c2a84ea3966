#include "base/file.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define FIRST_BYTES 8192

int file_read(int fd, size_t max, char **ret_text, size_t *ret_len)
{
    size_t room = MIN(max, (size_t)FIRST_BYTES), len = 0;
    char *text = xmalloc(room + 1);
    while (len < max) {
        if (len == room) {
            room = MIN(max, 2 * room);
            text = xrealloc(text, room + 1);
        }
        ssize_t n = read(fd, text + len, room - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            int code = -errno;
            free(text);
            return code;
        }
        if (n == 0)
            break;
        len += (size_t)n;
    }
    text[len] = 0;
    *ret_text = text;
    *ret_len = len;
    return 0;
}

int file_read_all(int fd, size_t max, char **ret_text, size_t *ret_len)
{
    char *text;
    size_t len;
    int code = file_read(fd, max + 1, &text, &len);
    if (code < 0)
        return code;
    if (len > max) {
        free(text);
        return ERR_LIMIT;
    }
    *ret_text = text;
    *ret_len = len;
    return 0;
}

int file_load(const char *path, size_t max, char **ret_text, size_t *ret_len, struct err *e)
{
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(e, -errno, "open %s: %s", path, strerror(errno));
    int code = file_read_all(fd, max, ret_text, ret_len);
    return code < 0 ? err_set(e, code, "read %s: %s", path, err_str(code)) : 0;
}
