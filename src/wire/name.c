#include "wire/name.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <string.h>

/* A chain of pointers that carry no labels between them would cost time for nothing; no encoder
 * needs more than one pointer a label. */
#define HOPS_MAX NAME_MAX_LABELS

static inline uint8_t lower(uint8_t b)
{
    return b >= 'A' && b <= 'Z' ? b | 0x20 : b;
}

/* Adds one label (length byte at pos of the cursor's base) to the name; false: too long. */
static inline bool add_label(struct cursor *at, uint8_t len, struct name *n)
{
    const uint8_t *label = cursor_take(at, len);
    if (!label || n->len + 1u + len + 1u > NAME_MAX_WIRE)
        return false;
    n->off[n->n_labels++] = n->len;
    n->wire[n->len] = len;
    memcpy(n->wire + n->len + 1, label, len);
    n->len = (uint8_t)(n->len + 1 + len);
    return true;
}

static void add_root(struct name *n)
{
    n->off[n->n_labels] = n->len;
    n->wire[n->len++] = 0;
}

int name_parse(struct cursor *c, struct name *ret_name)
{
    struct cursor at = *c;
    size_t before = c->pos, behind = 0; /* pointers must go below `before` */
    unsigned hops = 0;
    ret_name->len = ret_name->n_labels = 0;
    for (;;) {
        uint8_t b = cursor_u8(&at);
        if (at.bad)
            return ERR_PARSE;
        if (b == 0)
            break;
        if (b <= NAME_MAX_LABEL) {
            if (!add_label(&at, b, ret_name))
                return ERR_PARSE;
            continue;
        }
        size_t target = (size_t)(b & 0x3f) << 8 | cursor_u8(&at);
        if (b < 0xc0 || at.bad || target >= before || ++hops > HOPS_MAX)
            return ERR_PARSE;
        if (!behind)
            behind = at.pos;
        before = at.pos = target;
    }
    add_root(ret_name);
    c->pos = behind ? behind : at.pos;
    return 0;
}

int name_parse_plain(struct cursor *c, struct name *ret_name)
{
    if (c->bad)
        return ERR_PARSE;
    struct cursor at = *c;
    at.len = MIN(at.len, at.pos + NAME_MAX_WIRE);
    unsigned n = 0;
    for (;;) {
        size_t off = at.pos - c->pos;
        uint8_t len = cursor_u8(&at);
        if (len > NAME_MAX_LABEL || at.bad)
            return ERR_PARSE;
        ret_name->off[n] = (uint8_t)off;
        if (len == 0)
            break;
        if (!cursor_take(&at, len))
            return ERR_PARSE;
        n++;
    }
    ret_name->n_labels = (uint8_t)n;
    ret_name->len = (uint8_t)(at.pos - c->pos);
    memcpy(ret_name->wire, c->base + c->pos, ret_name->len);
    c->pos = at.pos;
    return 0;
}

bool name_skip_plain(struct cursor *c)
{
    size_t end = MIN(c->len, c->pos + NAME_MAX_WIRE);
    for (size_t at = c->pos; !c->bad && at < end; at += 1u + c->base[at]) {
        uint8_t len = c->base[at];
        if (len > NAME_MAX_LABEL)
            return false;
        if (len == 0) {
            c->pos = at + 1;
            return true;
        }
    }
    return false;
}

void name_from_wire(const uint8_t *wire, struct name *ret_name)
{
    unsigned n = 0, at = 0;
    for (; wire[at]; at += 1u + wire[at])
        ret_name->off[n++] = (uint8_t)at;
    ret_name->off[n] = (uint8_t)at;
    ret_name->n_labels = (uint8_t)n;
    ret_name->len = (uint8_t)(at + 1);
    memcpy(ret_name->wire, wire, at + 1);
}

uint8_t name_wire_len(const uint8_t *wire)
{
    unsigned at = 0;
    while (wire[at])
        at += 1u + wire[at];
    return (uint8_t)(at + 1);
}

uint8_t name_wire_labels(const uint8_t *wire)
{
    unsigned n = 0;
    for (; *wire; wire += 1 + *wire)
        n++;
    return (uint8_t)n;
}

bool name_equal(const uint8_t *a, const uint8_t *b)
{
    /* Length bytes are below 'A', so they may go through the same comparison as letters. */
    for (unsigned i = 0;;) {
        unsigned len = a[i];
        if (len != b[i])
            return false;
        if (len == 0)
            return true;
        for (unsigned end = i++ + len; i <= end; i++) {
            if (lower(a[i]) != lower(b[i]))
                return false;
        }
    }
}

bool name_is_below(const uint8_t *a, const uint8_t *b)
{
    unsigned na = name_wire_labels(a), nb = name_wire_labels(b);
    if (na < nb)
        return false;
    for (; na > nb; na--)
        a += 1 + *a;
    return name_equal(a, b);
}

static int label_compare(const uint8_t *a, const uint8_t *b)
{
    unsigned n = MIN(*a, *b);
    for (unsigned i = 1; i <= n; i++) {
        int diff = lower(a[i]) - lower(b[i]);
        if (diff)
            return diff;
    }
    return *a - *b;
}

int name_compare(const uint8_t *a, const uint8_t *b)
{
    struct name na, nb;
    name_from_wire(a, &na);
    name_from_wire(b, &nb);
    unsigned n = MIN(na.n_labels, nb.n_labels);
    for (unsigned i = 1; i <= n; i++) {
        int diff = label_compare(a + na.off[na.n_labels - i], b + nb.off[nb.n_labels - i]);
        if (diff)
            return diff;
    }
    return na.n_labels - nb.n_labels;
}

/* Eight bytes at a time: bit 7 of each byte of `upper` is set where the byte is in 'A'..'Z'. */
static inline uint64_t lower_word(uint64_t x)
{
    const uint64_t ones = 0x0101010101010101u;
    uint64_t low7 = x & 0x7f * ones;
    uint64_t from_a = low7 + (0x80 - 'A') * ones, above_z = low7 + (0x7f - 'Z') * ones;
    uint64_t upper = (from_a ^ above_z) & ~x & 0x80 * ones;
    return x | upper >> 2;
}

static inline void lower_at(uint8_t *out, const uint8_t *in)
{
    uint64_t x;
    memcpy(&x, in, 8);
    x = lower_word(x);
    memcpy(out, &x, 8);
}

/* Sixteen: a comparison gives all ones where it holds. */
static inline void lower_vector(uint8_t *out, const uint8_t *in)
{
    typedef uint8_t bytes __attribute__((vector_size(16)));
    typedef int8_t numbers __attribute__((vector_size(16)));
    bytes x;
    memcpy(&x, in, sizeof x);
    numbers from_a = (numbers)(x - (uint8_t)('A' + 128)); /* 'A' becomes the least number */
    x |= (bytes)(from_a < (int8_t)(-128 + 26)) & 0x20;
    memcpy(out, &x, sizeof x);
}

void name_lower(uint8_t *out, const uint8_t *wire, size_t len)
{
    if (len < 8) {
        for (size_t i = 0; i < len; i++)
            out[i] = lower(wire[i]);
        return;
    }
    size_t i = 0;
    for (; i + 16 <= len; i += 16)
        lower_vector(out + i, wire + i);
    if (i + 8 < len)
        lower_at(out + i, wire + i);
    lower_at(out + len - 8, wire + len - 8); /* the rest, overlapping */
}
