/* Bytes as hexadecimal, base64 and base32hex (RFC 4648), for rdata in text form. */
#pragma once

#include "base/cursor.h"
#include "base/str.h"

struct radix {
    const char *digits;
    uint8_t bits;
    bool padded; /* with "=" to full groups, and letter case counts */
};

extern const struct radix radix_hex, radix_lower_hex, radix_64, radix_32hex;

/* Text that may come in several pieces. */
struct radix_reader {
    const struct radix *r;
    uint32_t bits; /* not yet written */
    unsigned n_bits, n_digits, n_pads;
};

void radix_put(struct strbuf *out, const struct radix *r, const uint8_t *p, size_t n);
/* False: a character that does not belong there. */
bool radix_read(struct radix_reader *reader, const char *text, size_t n, struct wbuf *out);
/* False: the text ended within a byte, or its padding is wrong. */
bool radix_end(const struct radix_reader *reader);
