#include "base/json.h"

#include <stdint.h>

void json_put_text(struct strbuf *out, const char *s)
{
    strbuf_putc(out, '"');
    for (; *s; s++) {
        uint8_t c = (uint8_t)*s;
        if (c == '"' || c == '\\')
            strbuf_printf(out, "\\%c", c);
        else if (c < 0x20 || c >= 0x7f) /* bytes of names are not always UTF-8 */
            strbuf_printf(out, "\\u%04x", c);
        else
            strbuf_putc(out, (char)c);
    }
    strbuf_putc(out, '"');
}

void json_put_member(struct strbuf *out, const char *key, const char *text)
{
    json_put_text(out, key);
    strbuf_putc(out, ':');
    if (text)
        json_put_text(out, text);
    else
        strbuf_puts(out, "null");
}
