#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>

static const char *const level_names[] = { "DEBUG", "INFO", "WARNING", "ERROR", "FATAL" };
static _Atomic int lowest = LOG_INFO;
static _Atomic int log_fd = STDOUT_FILENO;

void log_set_level(enum log_level level)
{
    atomic_store(&lowest, (int)level);
}

void log_set_fd(int fd)
{
    atomic_store(&log_fd, fd);
}

void log_line(enum log_level level, const char *fmt, ...)
{
    if ((int)level < atomic_load_explicit(&lowest, memory_order_relaxed))
        return;
    char line[2048];
    int n = snprintf(line, sizeof line, "[%s] ", level_names[level]);
    va_list ap;
    va_start(ap, fmt);
    int m = vsnprintf(line + n, sizeof line - (size_t)n - 1, fmt, ap);
    va_end(ap);
    size_t len = (size_t)n + (size_t)MAX(m, 0);
    if (len > sizeof line - 2)
        len = sizeof line - 2;
    line[len++] = '\n';
    ssize_t written = write(atomic_load(&log_fd), line, len);
    (void)written; /* a log that cannot be written has nowhere to complain */
}
