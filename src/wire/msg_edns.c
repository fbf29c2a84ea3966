#include "wire/msg.h"

#include "base/cursor.h"

bool edns_has(const struct edns *edns, uint16_t wanted)
{
    struct cursor c = cursor_of(edns->options, edns->options_len);
    while (cursor_left(&c) && !c.bad) {
        uint16_t code = cursor_u16(&c);
        (void)cursor_take(&c, cursor_u16(&c));
        if (code == wanted)
            return true;
    }
    return false;
}

void edns_copy(const struct edns *edns, uint64_t without, struct wbuf *w)
{
    struct cursor c = cursor_of(edns->options, edns->options_len);
    while (cursor_left(&c) && !c.bad) {
        uint16_t code = cursor_u16(&c), len = cursor_u16(&c);
        const uint8_t *data = cursor_take(&c, len);
        if (!data || without & edns_bit(code))
            continue;
        wbuf_u16(w, code);
        wbuf_u16(w, len);
        wbuf_put(w, data, len);
    }
}
