/* Server block keys and zone names. */
#include "base/log.h"
#include "base/str.h"
#include "config/parse.h"

#include <ctype.h>
#include <string.h>

#define ZONE_TEXT_MAX 255 /* of a zone as written */
#define ZONE_WIRE_MAX 255 /* RFC 1035 3.1 */
#define LABEL_MAX     63

static const struct {
    const char *prefix;
    enum scheme scheme;
    uint16_t port;
} schemes[] = {
    { "dns://", SCHEME_DNS, 0 },       { "tls://", SCHEME_TLS, 853 },
    { "quic://", SCHEME_QUIC, 853 },   { "grpc://", SCHEME_GRPC, 443 },
    { "https://", SCHEME_HTTPS, 443 }, { "https3://", SCHEME_HTTPS3, 443 },
    { "unix://", SCHEME_COUNT, 0 },
};

const char *scheme_text(enum scheme s)
{
    static const char *const names[] = { "dns", "tls", "quic", "grpc", "https", "https3" };
    return names[s];
}

/* Cuts the scheme off; SCHEME_COUNT for unix://, which serves nothing. *ret_port is 0 for dns. */
static enum scheme take_scheme(const char **text, uint16_t *ret_port)
{
    *ret_port = 0;
    for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
        if (!str_starts(*text, schemes[i].prefix))
            continue;
        *text += strlen(schemes[i].prefix);
        *ret_port = schemes[i].port;
        return schemes[i].scheme;
    }
    return SCHEME_DNS;
}

static bool is_integer(const char *s)
{
    s += *s == '-' || *s == '+';
    return *s && strspn(s, "0123456789") == strlen(s);
}

/* Cuts ":PORT" off the copied key; *ret_port stays when there is none. */
static int take_port(char *text, const char *key, uint16_t *ret_port, struct err *e)
{
    char *colon = strrchr(text, ':');
    long port;
    if (!colon)
        return 0;
    if (!colon[1])
        return err_set(e, ERR_INVALID,
                       "the key \"%s\" ends with a colon: add the port or leave it out", key);
    if (!is_integer(colon + 1))
        return 0;
    if (str_to_long(colon + 1 + (colon[1] == '+'), 0, 65535, &port) < 0)
        return err_set(e, ERR_INVALID, "address %s: invalid port (0 to 65535) in \"%s\"", colon + 1,
                       key);
    *ret_port = (uint16_t)port;
    *colon = 0;
    return 0;
}

/* Bytes of text that stand for one byte of a label: 1, "\." 2, "\046" 4; 0: a broken escape. */
static size_t label_byte(const char *s)
{
    if (*s != '\\')
        return 1;
    if (isdigit((unsigned char)s[1]) && isdigit((unsigned char)s[2]) &&
        isdigit((unsigned char)s[3]))
        return (s[1] - '0') * 100 + (s[2] - '0') * 10 + s[3] - '0' <= 255 ? 4 : 0;
    return s[1] ? 2 : 0;
}

/* Whether text is a domain name; *ret_dot: whether it ends with the root's dot. */
static bool is_domain_name(const char *text, bool *ret_dot)
{
    size_t label = 0, wire = 1;
    *ret_dot = str_eq(text, ".");
    if (*ret_dot)
        return true;
    if (!*text)
        return false;
    for (size_t n; *text; text += n) {
        n = label_byte(text);
        *ret_dot = *text == '.';
        if (n == 0 || (*ret_dot && label == 0) || (!*ret_dot && ++label > LABEL_MAX))
            return false;
        if (*ret_dot) {
            wire += label + 1;
            label = 0;
        }
    }
    return wire + (label ? label + 1 : 0) <= ZONE_WIRE_MAX;
}

static void zone_add(struct zone_list *z, struct arena *a, const char *zone)
{
    if (z->n == z->capacity)
        z->items = arena_grow(a, z->items, &z->capacity, 4, sizeof *z->items);
    z->items[z->n++] = zone;
}

/* The reverse zone of the first `bits` bits, which end at a label. */
static const char *reverse_zone(const struct ip *ip, unsigned bits, struct arena *a)
{
    struct strbuf b = { 0 };
    if (ip->family == 4) {
        for (unsigned i = bits / 8; i-- > 0;)
            strbuf_printf(&b, "%u.", ip->bytes[i]);
        strbuf_puts(&b, "in-addr.arpa.");
    } else {
        for (unsigned i = bits / 4; i-- > 0;)
            strbuf_printf(&b, "%x.", i % 2 ? ip->bytes[i / 2] & 15 : ip->bytes[i / 2] >> 4);
        strbuf_puts(&b, "ip6.arpa.");
    }
    char *zone = arena_strndup(a, b.p, b.len);
    strbuf_done(&b);
    return zone;
}

/* A prefix that ends inside a label becomes one zone for each value of that label. */
static void reverse_zones(const struct ip_prefix *p, struct arena *a, struct zone_list *zones)
{
    unsigned step = p->ip.family == 4 ? 8 : 4;
    unsigned bits = (p->bits + step - 1u) / step * step;
    unsigned count = 1u << (bits - p->bits);
    for (unsigned i = 0; i < count; i++) {
        struct ip ip = p->ip;
        unsigned shift = bits % 8 ? 4 : 0;
        if (bits)
            ip.bytes[(bits - 1) / 8] |= (uint8_t)(i << shift);
        zone_add(zones, a, reverse_zone(&ip, bits, a));
    }
}

/* text without scheme and port to zones. */
static int zones_of(const char *text, struct arena *a, struct zone_list *zones, struct err *e)
{
    struct ip_prefix prefix;
    bool dot;
    if (strlen(text) > ZONE_TEXT_MAX)
        return err_set(e, ERR_LIMIT, "the zone is longer than %d characters: it has %zu",
                       ZONE_TEXT_MAX, strlen(text));
    if (!is_domain_name(text, &dot))
        return err_set(e, ERR_INVALID, "zone is not a valid domain name: %s%s", text,
                       *text ? "" : "(nothing); write \".\" for all names");
    if (ip_prefix_parse(text, &prefix) == 0) {
        if (text[0] == ':' || (text[0] == '0' && strchr(text, ':')))
            return err_set(e, ERR_INVALID, "invalid CIDR %s", text);
        reverse_zones(&prefix, a, zones);
        return 0;
    }
    zone_add(zones, a, str_lower(arena_printf(a, "%s%s", text, dot ? "" : ".")));
    return 0;
}

static int split(const char *text, uint16_t *port, struct arena *a, struct zone_list *zones,
                 struct err *e)
{
    cleanup_free char *copy = xstrdup(text);
    int r = take_port(copy, text, port, e);
    return r < 0 ? r : zones_of(copy, a, zones, e);
}

int zone_expand(const char *text, struct arena *a, struct zone_list *zones, struct err *e)
{
    uint16_t port;
    (void)take_scheme(&text, &port);
    return split(text, &port, a, zones, e);
}

int key_expand(const struct token *t, uint16_t default_port, struct arena *a, key_vec *keys,
               struct err *e)
{
    const char *text = t->text;
    struct zone_list zones = { 0 };
    struct err why = { 0 };
    uint16_t port;
    enum scheme scheme = take_scheme(&text, &port);
    if (!port)
        port = default_port;
    int r = split(text, &port, a, &zones, &why);
    if (r < 0)
        return err_set(e, r, "%s:%d - error inspecting server blocks: %s", t->file, t->line,
                       why.text);
    if (scheme == SCHEME_COUNT) {
        log_warning("%s:%d - %s starts no listener: unix sockets are not served", t->file, t->line,
                    t->text);
        return 0;
    }
    const struct token *where = arena_memdup(a, t, sizeof *t);
    for (size_t i = 0; i < zones.n; i++)
        vec_push(keys, (struct key){ scheme, zones.items[i], port, where });
    return 0;
}
