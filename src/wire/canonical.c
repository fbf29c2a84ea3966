#include "wire/canonical.h"

#include "wire/rdata_table.h"

#define WINDOW_TYPES 256

static bool is_lowered(uint16_t type)
{
    switch (type) {
    case RR_NS:
    case RR_MD:
    case RR_MF:
    case RR_CNAME:
    case RR_SOA:
    case RR_MB:
    case RR_MG:
    case RR_MR:
    case RR_PTR:
    case RR_MINFO:
    case RR_MX:
    case RR_RP:
    case RR_AFSDB:
    case RR_RT:
    case RR_SIG:
    case RR_PX:
    case RR_SRV:
    case RR_NAPTR:
    case RR_KX:
    case RR_DNAME:
    case RR_RRSIG:
        return true;
    default:
        return false;
    }
}

void rdata_canonical(uint16_t type, uint8_t *rdata, size_t len)
{
    size_t off;
    bool compressible;
    if (!is_lowered(type))
        return;
    struct rdata_names it = rdata_names_of(type, rdata, len);
    while (rdata_names_next(&it, &off, &compressible))
        name_lower(rdata + off, rdata + off, name_wire_len(rdata + off));
}

int rdata_compare(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
    size_t n = a_len < b_len ? a_len : b_len;
    int order = n ? memcmp(a, b, n) : 0;
    return order ? order : (a_len > b_len) - (a_len < b_len);
}

void type_bitmap_put(struct wbuf *out, const uint16_t *types, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint8_t bits[WINDOW_TYPES / 8] = { 0 }, len = 0;
        unsigned window = types[i] / WINDOW_TYPES;
        for (; i < n && types[i] / WINDOW_TYPES == window; i++) {
            unsigned bit = types[i] % WINDOW_TYPES;
            bits[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
            len = (uint8_t)(bit / 8 + 1);
        }
        wbuf_u8(out, (uint8_t)window);
        wbuf_u8(out, len);
        wbuf_put(out, bits, len);
    }
}

/* ---- the next name ---- */

/* The first label with its last byte one higher; bytes that cannot be raised are cut off. */
static bool raise_label(const uint8_t *lower, size_t len, uint8_t *out)
{
    uint8_t n = lower[0];
    while (n && lower[n] == 0xff)
        n--;
    if (n == 0)
        return false;
    memcpy(out, lower, 1u + n);
    out[0] = n;
    out[n]++;
    if (out[n] >= 'A' && out[n] <= 'Z') /* capitals count as small letters */
        out[n] = 'Z' + 1;
    memcpy(out + 1 + n, lower + 1 + lower[0], len - 1 - lower[0]);
    return true;
}

bool name_after(const uint8_t *name, bool subtree, uint8_t out[NAME_MAX_WIRE])
{
    uint8_t lower[NAME_MAX_WIRE];
    size_t len = name_wire_len(name), label = lower[0] = name[0];
    name_lower(lower, name, len);
    if (!subtree && len + 2 <= NAME_MAX_WIRE) {
        out[0] = 1;
        out[1] = 0;
        memcpy(out + 2, lower, len);
        return true;
    }
    if (label == 0 || label == NAME_MAX_LABEL || len == NAME_MAX_WIRE)
        return raise_label(lower, len, out);
    memcpy(out, lower, 1 + label);
    out[0]++;
    out[1 + label] = 0;
    memcpy(out + 2 + label, lower + 1 + label, len - 1 - label);
    return true;
}
