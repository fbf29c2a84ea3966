#include "proxy/item.h"

#include "base/cursor.h"

#include <netinet/in.h>

#define PADDING 4 /* columns are padded to so many bytes */

static const uint8_t numbers[PROTOCOLS] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP };

static size_t address_len(uint8_t family)
{
    return family == 4 ? 4 : 16;
}

/* ---- ranges */

static void last_of(uint8_t family, const uint8_t ip[16], uint32_t bits, uint8_t ret[16])
{
    memcpy(ret, ip, 16);
    for (uint32_t i = bits; i < 8 * address_len(family); i++)
        ret[i / 8] |= (uint8_t)(0x80 >> i % 8);
}

/* False: there is no next one. */
static bool step_up(uint8_t family, uint8_t ip[16])
{
    for (size_t i = address_len(family); i-- > 0;)
        if (++ip[i] != 0)
            return true;
    return false;
}

/* The prefix length of first..last, or -1: no prefix. */
static int bits_of(uint8_t family, const uint8_t first[16], const uint8_t last[16])
{
    uint8_t end[16];
    int all = (int)(8 * address_len(family)), bits = 0;
    while (bits < all && ((first[bits / 8] ^ last[bits / 8]) & 0x80 >> bits % 8) == 0)
        bits++;
    last_of(family, first, (uint32_t)bits, end);
    return memcmp(end, last, address_len(family)) == 0 ? bits : -1;
}

static void step_down(uint8_t family, uint8_t ip[16])
{
    for (size_t i = address_len(family); i-- > 0;)
        if (ip[i]-- != 0)
            return;
}

bool element_close_range(struct element *e, uint8_t family, const uint8_t next[16])
{
    uint8_t last[16];
    last_of(family, e->ip, 0, last);
    if (next) {
        memcpy(last, next, sizeof last);
        step_down(family, last);
    }
    int bits = bits_of(family, e->ip, last);
    e->bits = (uint32_t)bits;
    return bits >= 0;
}

/* ---- out */

static void put_padded(struct wbuf *w, const void *bytes, size_t len)
{
    static const uint8_t zero[PADDING];
    wbuf_put(w, bytes, len);
    wbuf_put(w, zero, (PADDING - len % PADDING) % PADDING);
}

static void put_port(struct wbuf *w, uint16_t port)
{
    uint8_t bytes[2];
    put_u16(bytes, port);
    put_padded(w, bytes, sizeof bytes);
}

static void put_column(struct wbuf *w, char column, const struct element *e, uint8_t family)
{
    switch (column) {
    case 's':
        put_padded(w, e->source, address_len(family));
        break;
    case 'p':
        put_padded(w, &numbers[e->protocol], 1);
        break;
    case 'o':
        put_port(w, e->port);
        break;
    case 'h': /* the machine's order, as the slot */
        put_padded(w, &e->handle, sizeof e->handle);
        break;
    case 'n':
        put_padded(w, &e->slot, sizeof e->slot);
        break;
    default:
        put_padded(w, e->ip, address_len(family));
        if (column == 'E')
            put_port(w, e->port);
    }
}

static uint32_t put_key(const struct element *e, uint8_t family, uint8_t out[NFT_KEY_MAX])
{
    struct wbuf w = wbuf_of(out, NFT_KEY_MAX);
    for (const char *c = map_key_columns((enum map_id)e->map); *c; c++)
        put_column(&w, *c, e, family);
    return (uint32_t)w.pos;
}

static void put_verdict(const struct element *e, struct nft_item *ret)
{
    switch ((enum verdict)e->verdict) {
    case VERDICT_DROP:
        ret->verdict = NFT_ITEM_DROP;
        return;
    case VERDICT_REMEMBER:
        ret->verdict = NFT_ITEM_JUMP;
        break;
    default:
        ret->verdict = NFT_ITEM_GOTO;
    }
    verdict_name(e, ret->chain, sizeof ret->chain);
}

static void put_value(const struct element *e, uint8_t family, char column, struct nft_item *ret)
{
    struct wbuf w = wbuf_of(ret->data, sizeof ret->data);
    if (column == 'v') {
        put_verdict(e, ret);
    } else if (column == 'h') {
        put_padded(&w, &e->n, sizeof e->n);
    } else {
        put_padded(&w, e->to, address_len(family));
        put_port(&w, e->to_port);
    }
    ret->data_len = (uint32_t)w.pos;
}

static bool end_of_range(const struct element *e, uint8_t family, struct nft_item *ret)
{
    struct element end = *e;
    last_of(family, e->ip, e->bits, end.ip);
    *ret = (struct nft_item){ .interval_end = true };
    if (!step_up(family, end.ip))
        return false;
    ret->key_len = put_key(&end, family, ret->key);
    return true;
}

unsigned element_items(const struct element *e, uint8_t family,
                       struct nft_item ret[ELEMENT_ITEMS_MAX])
{
    const char *value = map_value_column((enum map_id)e->map);
    struct nft_item *i = &ret[0];
    i->interval_end = false;
    i->key_end_len = i->data_len = 0;
    i->verdict = NFT_ITEM_NO_VERDICT;
    i->chain[0] = '\0';
    i->timeout_ms = i->expires_ms = 0;
    i->key_len = put_key(e, family, i->key);
    if (value)
        put_value(e, family, *value, i);
    if (e->map == SET_SOURCES) {
        struct element end = *e;
        last_of(family, e->source, e->bits, end.source);
        i->key_end_len = put_key(&end, family, i->key_end);
    }
    return e->map == SET_SERVICE_RANGES && end_of_range(e, family, &ret[1]) ? 2 : 1;
}

/* ---- in */

static void take_padded(struct cursor *c, void *out, size_t len)
{
    const uint8_t *p = cursor_take(c, (len + PADDING - 1) / PADDING * PADDING);
    if (p)
        memcpy(out, p, len);
}

static uint16_t take_port(struct cursor *c)
{
    uint8_t bytes[2] = { 0 };
    take_padded(c, bytes, sizeof bytes);
    return get_u16(bytes);
}

static void take_protocol(struct cursor *c, struct element *ret)
{
    uint8_t number = 0, i = 0;
    take_padded(c, &number, 1);
    while (i < PROTOCOLS && numbers[i] != number)
        i++;
    c->bad |= i == PROTOCOLS;
    ret->protocol = i;
}

static void take_column(struct cursor *c, char column, uint8_t family, struct element *ret)
{
    switch (column) {
    case 's':
        take_padded(c, ret->source, address_len(family));
        break;
    case 'p':
        take_protocol(c, ret);
        break;
    case 'o':
        ret->port = take_port(c);
        break;
    case 'h':
        take_padded(c, &ret->handle, sizeof ret->handle);
        break;
    case 'n':
        take_padded(c, &ret->slot, sizeof ret->slot);
        break;
    default:
        take_padded(c, ret->ip, address_len(family));
        if (column == 'E')
            ret->port = take_port(c);
    }
}

static bool take_key(const uint8_t *key, uint32_t len, uint8_t family, struct element *ret)
{
    struct cursor c = cursor_of(key, len);
    for (const char *p = map_key_columns((enum map_id)ret->map); *p; p++)
        take_column(&c, *p, family, ret);
    return !c.bad && cursor_left(&c) == 0;
}

static bool take_verdict(const struct nft_item *i, struct element *ret)
{
    if (i->verdict == NFT_ITEM_DROP) {
        ret->verdict = VERDICT_DROP;
        return true;
    }
    return verdict_parse(i->chain, ret) &&
           i->verdict == (ret->verdict == VERDICT_REMEMBER ? NFT_ITEM_JUMP : NFT_ITEM_GOTO);
}

static bool take_value(char column, uint8_t family, const struct nft_item *i, struct element *ret)
{
    struct cursor c = cursor_of(i->data, i->data_len);
    if (column == 'v')
        return take_verdict(i, ret);
    if (column == 'h') {
        take_padded(&c, &ret->n, sizeof ret->n);
    } else {
        take_padded(&c, ret->to, address_len(family));
        ret->to_port = take_port(&c);
    }
    return !c.bad && cursor_left(&c) == 0;
}

static bool take_source(uint8_t family, const struct nft_item *i, struct element *ret)
{
    struct element end = { .map = SET_SOURCES };
    if (!take_key(i->key_end, i->key_end_len, family, &end))
        return false;
    int bits = bits_of(family, ret->source, end.source);
    ret->bits = (uint32_t)bits;
    return bits >= 0;
}

bool element_of_item(enum map_id map, uint8_t family, const struct nft_item *i, struct element *ret)
{
    const char *value = map_value_column(map);
    *ret = (struct element){ .map = (uint8_t)map };
    if (!take_key(i->key, i->key_len, family, ret))
        return false;
    if (map == SET_SERVICE_RANGES)
        ret->slot = i->interval_end;
    if (map == SET_SOURCES)
        return take_source(family, i, ret);
    return !value || take_value(*value, family, i, ret);
}
