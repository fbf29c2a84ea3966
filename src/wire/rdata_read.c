/* Rdata on the wire: the extent of each field, expansion of names, walking over them. */
#include "base/arena.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "wire/rdata_table.h"

/* {length byte, bytes}, as often as the cursor has bytes. */
static bool skip_strings(struct cursor *c)
{
    while (!c->bad && cursor_left(c))
        cursor_take(c, cursor_u8(c));
    return !c->bad;
}

static bool skip_options(struct cursor *c)
{
    while (!c->bad && cursor_left(c)) {
        cursor_u16(c);
        cursor_take(c, cursor_u16(c));
    }
    return !c->bad;
}

/* Parameters in strictly ascending order of their keys (RFC 9460 section 2.2). */
static bool skip_params(struct cursor *c)
{
    for (int last = -1; !c->bad && cursor_left(c);) {
        int key = cursor_u16(c);
        cursor_take(c, cursor_u16(c));
        if (key <= last)
            return false;
        last = key;
    }
    return !c->bad;
}

/* Windows in ascending order, each without zero bytes at its end (RFC 4034 section 4.1.2). */
static bool skip_bitmap(struct cursor *c)
{
    for (int last = -1; !c->bad && cursor_left(c);) {
        int window = cursor_u8(c);
        uint8_t len = cursor_u8(c);
        const uint8_t *bits = cursor_take(c, len);
        if (!bits || window <= last || len < 1 || len > 32 || bits[len - 1] == 0)
            return false;
        last = window;
    }
    return !c->bad;
}

/* Items of RFC 3123: family, prefix, {negation bit, length}, address part. */
static bool skip_apl(struct cursor *c)
{
    while (!c->bad && cursor_left(c)) {
        cursor_take(c, 3);
        cursor_take(c, cursor_u8(c) & 0x7f);
    }
    return !c->bad;
}

/* RFC 4025 section 2.5: the gateway's form is told two bytes before it. */
static bool skip_gateway(struct cursor *c)
{
    switch (c->base[c->pos - 2]) {
    case 0:
        return true;
    case 1:
        return cursor_take(c, 4);
    case 2:
        return cursor_take(c, 16);
    case 3:
        return name_skip_plain(c);
    }
    return false;
}

/* RFC 8005 section 5: lengths of identity and key, algorithm, the two. */
static bool skip_identity(struct cursor *c)
{
    uint8_t hit_len = cursor_u8(c);
    cursor_u8(c);
    uint16_t key_len = cursor_u16(c);
    cursor_take(c, hit_len);
    return cursor_take(c, key_len) && hit_len && key_len;
}

static bool skip_tag(struct cursor *c)
{
    uint8_t len = cursor_u8(c);
    const uint8_t *tag = cursor_take(c, len);
    for (unsigned i = 0; tag && i < len; i++) {
        uint8_t b = tag[i] | 0x20;
        if (!(b >= 'a' && b <= 'z') && !(tag[i] >= '0' && tag[i] <= '9'))
            return false;
    }
    return tag && len > 0;
}

static bool skip_field(char kind, struct cursor *c)
{
    switch (kind) {
    case '1':
    case 'K':
        return cursor_take(c, 1);
    case '2':
    case 'T':
    case 'e':
    case 'C':
        return cursor_take(c, 2);
    case '4':
    case 'd':
    case 't':
    case 'a':
        return cursor_take(c, 4);
    case '8':
    case 'u':
        return cursor_take(c, 6);
    case 'U':
        return cursor_take(c, 8);
    case '6':
    case 'l':
        return cursor_take(c, 16);
    case 's':
    case 'H':
    case '3':
        return cursor_take(c, cursor_u8(c));
    case 'm':
        return cursor_take(c, cursor_u16(c));
    case 'S':
        return skip_strings(c);
    case 'c':
        return skip_tag(c);
    case 'w':
        return skip_bitmap(c);
    case 'p':
        return skip_params(c);
    case 'L':
        return skip_apl(c);
    case 'g':
        return skip_gateway(c);
    case 'I':
        return skip_identity(c);
    case 'O':
        return skip_options(c);
    default: /* h, b, o, q */
        return cursor_take(c, cursor_left(c));
    }
}

bool field_take(char kind, struct cursor *c, const uint8_t **ret_p, size_t *ret_n)
{
    size_t start = c->pos;
    if (!skip_field(kind, c) || c->bad)
        return false;
    *ret_p = c->base + start;
    *ret_n = c->pos - start;
    return true;
}

static bool is_name(char kind)
{
    return kind == 'n' || kind == 'N';
}

static bool expand_name(struct cursor *c, struct wbuf *out)
{
    struct name n;
    if (name_parse(c, &n) != 0)
        return false;
    if (out)
        wbuf_put(out, n.wire, n.len);
    return true;
}

static bool expand_field(char kind, struct cursor *c, struct wbuf *out)
{
    const uint8_t *p = NULL;
    size_t n = 0;
    if (is_name(kind))
        return expand_name(c, out);
    if (kind == 'R') {
        /* Never compressed by the RFC, and expanding many pointers would multiply their size. */
        p = c->base + c->pos;
        n = cursor_left(c);
        while (cursor_left(c)) {
            if (!name_skip_plain(c))
                return false;
        }
    } else if (!field_take(kind, c, &p, &n)) {
        return false;
    }
    if (out)
        wbuf_put(out, p, n);
    return true;
}

/* out may be NULL. */
static bool expand(struct cursor *c, uint16_t type, uint16_t rdlen, struct wbuf *out)
{
    struct cursor rd = cursor_sub(c, rdlen);
    const char *fields = rr_row(type)->fields;
    for (const char *f = fields ? fields : "b"; *f; f++) {
        if (rd.bad || !expand_field(*f, &rd, out))
            return false;
    }
    return !rd.bad && cursor_left(&rd) == 0 && (!out || !out->bad);
}

int rdata_expand(struct cursor *c, uint16_t type, uint16_t rdlen, struct wbuf *out)
{
    return expand(c, type, rdlen, out) ? 0 : ERR_PARSE;
}

bool rdata_check(struct cursor *c, uint16_t type, uint16_t rdlen)
{
    return expand(c, type, rdlen, NULL);
}

bool rdata_check_plain(uint16_t type, const uint8_t *rdata, size_t len)
{
    struct cursor c = cursor_of(rdata, len);
    const char *fields = rr_row(type)->fields;
    const uint8_t *p;
    size_t n;
    for (const char *f = fields ? fields : ""; *f; f++) {
        if (is_name(*f) ? !name_skip_plain(&c) : *f != 'R' && !field_take(*f, &c, &p, &n))
            return false;
        while (*f == 'R' && cursor_left(&c)) {
            if (!name_skip_plain(&c))
                return false;
        }
    }
    return !fields || cursor_left(&c) == 0;
}

struct rdata_names rdata_names_of(uint16_t type, const uint8_t *rdata, size_t len)
{
    const struct rr_row *row = rr_row(type);
    return (struct rdata_names){
        .c = cursor_of(rdata, len),
        .field = row->fields,
        .left = row->n_names,
    };
}

/* The name that the field holds, if it is one; the cursor moves behind the field. */
static bool field_name(char kind, struct cursor *c)
{
    size_t start = c->pos;
    const uint8_t *p;
    size_t n;
    if (is_name(kind) || kind == 'R')
        return name_skip_plain(c);
    if (!field_take(kind, c, &p, &n))
        c->bad = true;
    return !c->bad && kind == 'g' && c->base[start - 2] == 3;
}

bool rdata_names_next(struct rdata_names *it, size_t *ret_off, bool *ret_compressible)
{
    while (it->left && *it->field && !it->c.bad && cursor_left(&it->c)) {
        char kind = *it->field;
        size_t start = it->c.pos;
        bool found = field_name(kind, &it->c);
        if (kind != 'R')
            it->field++;
        if (found) {
            it->left -= kind != 'R';
            *ret_off = start;
            *ret_compressible = kind == 'n';
            return true;
        }
        if (is_name(kind) || kind == 'R')
            break; /* malformed */
    }
    it->left = 0;
    return false;
}

void rdata_each_name(uint16_t type, const uint8_t *rdata, size_t len,
                     void (*fn)(void *ctx, size_t off, bool compressible), void *ctx)
{
    struct rdata_names it = rdata_names_of(type, rdata, len);
    size_t off;
    bool compressible;
    while (rdata_names_next(&it, &off, &compressible))
        fn(ctx, off, compressible);
}

size_t rrset_bytes(const struct rrset *rr)
{
    const uint8_t *at = rr->rdata;
    size_t len;
    if (rr->rdlen)
        return (size_t)rr->rdlen * rr->count;
    for (uint16_t i = 0; i < rr->count; i++)
        (void)rrset_next(rr, &at, &len);
    return (size_t)(at - rr->rdata);
}

uint8_t *rdata_of_name(struct arena *a, const uint8_t *name)
{
    size_t len = name_wire_len(name);
    uint8_t *rdata = arena_alloc(a, 2 + len);
    put_u16(rdata, (uint16_t)len);
    memcpy(rdata + 2, name, len);
    return rdata;
}
