#include "net/frames.h"

#include "base/err.h"

#include <string.h>

#define FIELD_CONTENT 1

/* The fields behind the type. */
static bool read_fields(struct cursor *c, const char *content, bool *ret_fits)
{
    unsigned n = 0;
    bool fits = false;
    while (cursor_left(c) && !c->bad) {
        uint32_t field = cursor_u32(c), len = cursor_u32(c);
        const uint8_t *p = cursor_take(c, len);
        if (!p || field != FIELD_CONTENT || len > FRAMES_CONTENT_MAX)
            return false;
        fits |= len == strlen(content) && memcmp(p, content, len) == 0;
        n++;
    }
    *ret_fits = fits || n == 0;
    return !c->bad;
}

int frames_read_control(const uint8_t *p, size_t len, const char *content,
                        enum frames_control *ret_type, bool *ret_fits)
{
    struct cursor c = cursor_of(p, len);
    bool fits;
    if (len < 8)
        return len >= 4 && cursor_u32(&c) != 0 ? ERR_PARSE : 0;
    uint32_t escape = cursor_u32(&c), size = cursor_u32(&c);
    if (escape != 0 || size < 4 || size > FRAMES_CONTROL_MAX)
        return ERR_PARSE;
    if (cursor_left(&c) < size)
        return 0;
    struct cursor body = cursor_sub(&c, size);
    uint32_t type = cursor_u32(&body);
    if (type < FRAMES_ACCEPT || type > FRAMES_FINISH || !read_fields(&body, content, &fits))
        return ERR_PARSE;
    *ret_type = (enum frames_control)type;
    *ret_fits = fits;
    return (int)c.pos;
}

size_t frames_write_control(uint8_t *out, enum frames_control type, const char *content)
{
    size_t n = content ? strlen(content) : 0;
    struct wbuf w = wbuf_of(out, 16 + FRAMES_CONTENT_MAX + 4);
    wbuf_u32(&w, 0);
    wbuf_u32(&w, (uint32_t)(content ? 12 + n : 4));
    wbuf_u32(&w, type);
    if (content) {
        wbuf_u32(&w, FIELD_CONTENT);
        wbuf_u32(&w, (uint32_t)n);
        wbuf_put(&w, content, n);
    }
    return w.pos;
}
