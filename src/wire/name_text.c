/* Names as text: presentation form (RFC 1035 section 5.1) and reverse names. */
#include "base/err.h"
#include "base/ip.h"
#include "wire/name.h"

#include <stdio.h>
#include <string.h>

/* What a zone file would misread without a backslash. */
static bool is_special(uint8_t b)
{
    return b == '.' || b == '\\' || b == '"' || b == ';' || b == '(' || b == ')' || b == '@' ||
           b == '$';
}

static char *put_byte(char *out, uint8_t b)
{
    if (b <= ' ' || b > '~')
        return out + sprintf(out, "\\%03u", b);
    if (is_special(b))
        *out++ = '\\';
    *out++ = (char)b;
    return out;
}

char *name_to_text(const uint8_t *wire, char out[NAME_TEXT_MAX])
{
    char *p = out;
    if (!*wire)
        *p++ = '.';
    for (; *wire; wire += 1 + *wire) {
        for (unsigned i = 1; i <= *wire; i++)
            p = put_byte(p, wire[i]);
        *p++ = '.';
    }
    *p = 0;
    return out;
}

/* A name being built; `label` is where the current label's length byte goes. */
struct builder {
    struct name *name;
    unsigned label, at;
    bool bad;
};

static void add_byte(struct builder *b, uint8_t byte)
{
    if (b->at - b->label > NAME_MAX_LABEL || b->at >= NAME_MAX_WIRE - 1) {
        b->bad = true;
        return;
    }
    b->name->wire[b->at++] = byte;
}

/* An empty label is only right when it is the whole name ("."), which the caller sees to. */
static void end_label(struct builder *b)
{
    unsigned len = b->at - b->label - 1;
    if (b->bad || len == 0 || b->at >= NAME_MAX_WIRE) {
        b->bad = true;
        return;
    }
    b->name->wire[b->label] = (uint8_t)len;
    b->label = b->at++;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Reads what follows a backslash. Returns how many characters that were; 0: an error. */
static size_t read_escape(const char *text, size_t n, uint8_t *ret_byte)
{
    if (n == 0)
        return 0;
    if (!is_digit(*text)) {
        *ret_byte = (uint8_t)*text;
        return 1;
    }
    if (n < 3 || !is_digit(text[1]) || !is_digit(text[2]))
        return 0;
    unsigned v = (text[0] - '0') * 100u + (text[1] - '0') * 10u + (unsigned)(text[2] - '0');
    *ret_byte = (uint8_t)v;
    return v <= 255 ? 3 : 0;
}

static void append_origin(struct builder *b, const uint8_t *origin)
{
    size_t len = origin ? name_wire_len(origin) : 1;
    if (b->bad || b->label + len > NAME_MAX_WIRE) {
        b->bad = true;
        return;
    }
    memcpy(b->name->wire + b->label, origin ? origin : (const uint8_t *)"", len);
}

/* Returns whether the text ended with a dot. */
static bool read_labels(struct builder *b, const char *text, size_t n)
{
    bool dot = false;
    for (size_t i = 0; i < n && !b->bad; i++) {
        uint8_t byte = (uint8_t)text[i];
        dot = byte == '.';
        if (dot) {
            end_label(b);
            continue;
        }
        if (byte == '\\') {
            size_t used = read_escape(text + i + 1, n - i - 1, &byte);
            b->bad |= used == 0;
            i += used;
        }
        add_byte(b, byte);
    }
    return dot;
}

int name_from_text_at(const char *text, size_t n, const uint8_t *origin, struct name *ret_name)
{
    struct name name;
    struct builder b = { .name = &name, .at = 1 };
    if (n == 0)
        return ERR_PARSE;
    if (n == 1 && *text == '.') {
        origin = NULL;
    } else if (n != 1 || *text != '@') {
        if (read_labels(&b, text, n))
            origin = NULL;
        else
            end_label(&b);
    }
    append_origin(&b, origin);
    if (b.bad)
        return ERR_PARSE;
    name_from_wire(name.wire, ret_name);
    return 0;
}

int name_from_text(const char *text, struct name *ret_name)
{
    size_t n = strlen(text);
    if (n == 1 && *text == '@') { /* a label like any other outside zone files */
        name_from_wire((const uint8_t *)"\1@", ret_name);
        return 0;
    }
    return name_from_text_at(text, n, NULL, ret_name);
}

void name_from_ip(const struct ip *ip, struct name *ret_name)
{
    char text[80], *p = text;
    if (ip->family == 4) {
        const uint8_t *b = ip->bytes;
        sprintf(text, "%u.%u.%u.%u.in-addr.arpa.", b[3], b[2], b[1], b[0]);
    } else {
        for (int i = 15; i >= 0; i--)
            p += sprintf(p, "%x.%x.", ip->bytes[i] & 15u, ip->bytes[i] >> 4);
        strcpy(p, "ip6.arpa.");
    }
    int rc = name_from_text(text, ret_name);
    (void)rc; /* always well-formed */
}

/* A decimal octet without leading zeros, or -1. */
static int label_octet(const uint8_t *label)
{
    int v = 0;
    if (label[0] < 1 || label[0] > 3 || (label[1] == '0' && label[0] > 1))
        return -1;
    for (unsigned i = 1; i <= label[0]; i++) {
        if (!is_digit((char)label[i]))
            return -1;
        v = v * 10 + label[i] - '0';
    }
    return v <= 255 ? v : -1;
}

static int label_nibble(const uint8_t *label)
{
    uint8_t c = label[1] | 0x20;
    if (label[0] != 1)
        return -1;
    if (is_digit((char)label[1]))
        return label[1] - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int ip4_of(const struct name *n, struct ip *ret_ip)
{
    struct ip ip = { .family = 4 };
    for (unsigned i = 0; i < 4; i++) {
        int v = label_octet(n->wire + n->off[i]);
        if (v < 0)
            return ERR_NOT_FOUND;
        ip.bytes[3 - i] = (uint8_t)v;
    }
    *ret_ip = ip;
    return 0;
}

static int ip6_of(const struct name *n, struct ip *ret_ip)
{
    struct ip ip = { .family = 6 };
    for (unsigned i = 0; i < 32; i++) {
        int v = label_nibble(n->wire + n->off[i]);
        if (v < 0)
            return ERR_NOT_FOUND;
        ip.bytes[15 - i / 2] |= (uint8_t)(v << (i % 2 ? 4 : 0));
    }
    *ret_ip = ip;
    return 0;
}

int name_to_ip(const uint8_t *wire, struct ip *ret_ip)
{
    struct name n;
    name_from_wire(wire, &n);
    if (n.n_labels == 6 && name_equal(wire + n.off[4], (const uint8_t *)"\7in-addr\4arpa"))
        return ip4_of(&n, ret_ip);
    if (n.n_labels == 34 && name_equal(wire + n.off[32], (const uint8_t *)"\3ip6\4arpa"))
        return ip6_of(&n, ret_ip);
    return ERR_NOT_FOUND;
}
