#include "wire/radix.h"

#include <string.h>

const struct radix radix_hex = { "0123456789ABCDEF", 4, false };
const struct radix radix_lower_hex = { "0123456789abcdef", 4, false };
const struct radix radix_32hex = { "0123456789ABCDEFGHIJKLMNOPQRSTUV", 5, false };
const struct radix radix_64 = { "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
                                6, true };

void radix_put(struct strbuf *out, const struct radix *r, const uint8_t *p, size_t n)
{
    uint32_t bits = 0;
    unsigned n_bits = 0, mask = (1u << r->bits) - 1, n_digits = 0;
    for (size_t i = 0; i < n; i++) {
        bits = bits << 8 | p[i];
        for (n_bits += 8; n_bits >= r->bits; n_digits++) {
            n_bits -= r->bits;
            strbuf_putc(out, r->digits[bits >> n_bits & mask]);
        }
    }
    if (n_bits) {
        strbuf_putc(out, r->digits[bits << (r->bits - n_bits) & mask]);
        n_digits++;
    }
    for (; r->padded && n_digits % 4; n_digits++)
        strbuf_putc(out, '=');
}

static int digit_of(const struct radix *r, char c)
{
    if (!r->padded && c >= 'a' && c <= 'z')
        c = (char)(c - 0x20);
    const char *at = c ? strchr(r->digits, c) : NULL;
    return at ? (int)(at - r->digits) : -1;
}

bool radix_read(struct radix_reader *reader, const char *text, size_t n, struct wbuf *out)
{
    const struct radix *r = reader->r;
    for (size_t i = 0; i < n; i++) {
        if (r->padded && text[i] == '=') {
            reader->n_pads++;
            continue;
        }
        int digit = digit_of(r, text[i]);
        if (digit < 0 || reader->n_pads)
            return false;
        reader->bits = (reader->bits << r->bits | (unsigned)digit) & 0xffff;
        reader->n_bits += r->bits;
        reader->n_digits++;
        if (reader->n_bits >= 8) {
            reader->n_bits -= 8;
            wbuf_u8(out, (uint8_t)(reader->bits >> reader->n_bits));
        }
    }
    return true;
}

bool radix_end(const struct radix_reader *reader)
{
    bool clean =
        reader->n_bits < reader->r->bits && (reader->bits & ((1u << reader->n_bits) - 1)) == 0;
    if (!reader->r->padded)
        return clean;
    return clean && reader->n_pads < 3 && (reader->n_digits + reader->n_pads) % 4 == 0;
}
