#include "base/err.h"

#include <stdarg.h>
#include <string.h>

int err_set(struct err *e, int code, const char *fmt, ...)
{
    if (!e)
        return code;
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    e->code = code;
    return code;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
    if (!e)
        return ERR_INVALID;
    char inner[sizeof e->text];
    memcpy(inner, e->text, sizeof inner);
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof e->text)
        (void)snprintf(e->text + n, sizeof e->text - (size_t)n, ": %s", inner);
    return e->code;
}

const char *err_str(int code)
{
    switch (code) {
    case ERR_PARSE:
        return "cannot be parsed";
    case ERR_INVALID:
        return "invalid value";
    case ERR_UNSUPPORTED:
        return "not supported";
    case ERR_LIMIT:
        return "limit exceeded";
    case ERR_NOT_FOUND:
        return "not found";
    case ERR_REFUSED:
        return "refused";
    default:
        return code < 0 ? strerror(-code) : "success";
    }
}
