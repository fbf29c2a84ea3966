#include "dns/plugins/tsig.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define RECORD_FIXED 10 /* type, class, TTL, length of rdata */
#define RDATA_FIXED  16 /* all but the algorithm's name, the MAC and other data */

struct tsig_algorithm {
    const char *wire;
    const EVP_MD *(*digest)(void);
    size_t mac_len;
};

static const struct tsig_algorithm algorithms[] = {
    { "\011hmac-sha1", EVP_sha1, 20 },     { "\013hmac-sha224", EVP_sha224, 28 },
    { "\013hmac-sha256", EVP_sha256, 32 }, { "\013hmac-sha384", EVP_sha384, 48 },
    { "\013hmac-sha512", EVP_sha512, 64 },
};

const struct tsig_algorithm *tsig_algorithm_find(const uint8_t *wire)
{
    for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++)
        if (name_equal(wire, (const uint8_t *)algorithms[i].wire))
            return &algorithms[i];
    return NULL;
}

size_t tsig_mac_len(const struct tsig_algorithm *a)
{
    return a->mac_len;
}

/* ---- reading ---- */

static uint64_t cursor_u48(struct cursor *c)
{
    uint64_t high = cursor_u16(c);
    return high << 32 | cursor_u32(c);
}

static bool read_rdata(struct cursor *c, struct tsig_record *r)
{
    if (name_parse(c, &r->algorithm) < 0)
        return false;
    r->time = cursor_u48(c);
    r->fudge = cursor_u16(c);
    r->mac_len = cursor_u16(c);
    r->mac = cursor_take(c, r->mac_len);
    r->original_id = cursor_u16(c);
    r->error = cursor_u16(c);
    r->other_len = cursor_u16(c);
    r->other = cursor_take(c, r->other_len);
    return !c->bad;
}

int tsig_find(const uint8_t *msg, size_t len, struct tsig_record *ret)
{
    struct cursor c = { .base = msg, .pos = MSG_HEADER, .len = len };
    unsigned n = get_u16(msg + 6) + get_u16(msg + 8) + get_u16(msg + 10);
    if (name_parse_plain(&c, &ret->key) < 0 || !cursor_take(&c, 4))
        return ERR_PARSE;
    for (unsigned i = 0; i < n; i++) {
        ret->offset = c.pos;
        if (name_parse(&c, &ret->key) < 0)
            return ERR_PARSE;
        uint16_t type = cursor_u16(&c), class = cursor_u16(&c);
        uint32_t ttl = cursor_u32(&c);
        uint16_t rdlen = cursor_u16(&c);
        struct cursor rdata = cursor_sub(&c, rdlen);
        if (c.bad)
            return ERR_PARSE;
        if (type != RR_TSIG)
            continue;
        bool last = i + 1 == n && get_u16(msg + 10) > 0;
        if (!last || class != CLASS_ANY || ttl != 0 || !read_rdata(&rdata, ret))
            return ERR_PARSE;
        return 1;
    }
    return 0;
}

/* ---- the MAC ---- */

static void put_u48(struct wbuf *w, uint64_t v)
{
    wbuf_u16(w, (uint16_t)(v >> 32));
    wbuf_u32(w, (uint32_t)v);
}

static void put_lower(struct wbuf *w, const struct name *n)
{
    uint8_t *p = wbuf_take(w, n->len);
    if (p)
        name_lower(p, n->wire, n->len);
}

static void put_variables(struct wbuf *w, const struct tsig_record *r)
{
    put_lower(w, &r->key);
    wbuf_u16(w, CLASS_ANY);
    wbuf_u32(w, 0);
    put_lower(w, &r->algorithm);
    put_u48(w, r->time);
    wbuf_u16(w, r->fudge);
    wbuf_u16(w, r->error);
    wbuf_u16(w, r->other_len);
    wbuf_put(w, r->other, r->other_len);
}

bool tsig_mac(const struct tsig_algorithm *a, const struct tsig_key *key,
              const struct tsig_input *in, struct arena *arena, uint8_t ret_mac[TSIG_MAC_MAX])
{
    const struct tsig_record *r = in->record;
    size_t room = 2 + in->before_len + in->msg_len + tsig_record_room(r);
    struct wbuf w = wbuf_of(arena_alloc(arena, room), room);
    unsigned len = 0;
    if (in->before_len) {
        wbuf_u16(&w, (uint16_t)in->before_len);
        wbuf_put(&w, in->before, in->before_len);
    }
    wbuf_put(&w, in->msg, in->msg_len);
    if (in->timers_only) {
        put_u48(&w, r->time);
        wbuf_u16(&w, r->fudge);
    } else {
        put_variables(&w, r);
    }
    return !w.bad && HMAC(a->digest(), key->secret, (int)key->len, w.base, w.pos, ret_mac, &len);
}

/* ---- writing ---- */

size_t tsig_record_room(const struct tsig_record *r)
{
    return r->key.len + RECORD_FIXED + r->algorithm.len + RDATA_FIXED + TSIG_MAC_MAX + r->other_len;
}

size_t tsig_append(uint8_t *msg, size_t len, const struct tsig_record *r)
{
    struct wbuf w = wbuf_of(msg + len, tsig_record_room(r));
    wbuf_put(&w, r->key.wire, r->key.len);
    wbuf_u16(&w, RR_TSIG);
    wbuf_u16(&w, CLASS_ANY);
    wbuf_u32(&w, 0);
    wbuf_u16(&w, (uint16_t)(r->algorithm.len + RDATA_FIXED + r->mac_len + r->other_len));
    wbuf_put(&w, r->algorithm.wire, r->algorithm.len);
    put_u48(&w, r->time);
    wbuf_u16(&w, r->fudge);
    wbuf_u16(&w, r->mac_len);
    wbuf_put(&w, r->mac, r->mac_len);
    wbuf_u16(&w, r->original_id);
    wbuf_u16(&w, r->error);
    wbuf_u16(&w, r->other_len);
    wbuf_put(&w, r->other, r->other_len);
    put_u16(msg + 10, (uint16_t)(get_u16(msg + 10) + 1));
    return len + w.pos;
}
