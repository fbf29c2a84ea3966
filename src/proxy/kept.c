#include "proxy/kept.h"

#include "base/ht.h"
#include "base/vec.h"

#include <arpa/inet.h>

#define STATEMENT_CLIENTS 1000

/* client . handle : endpoint . port, as the kernel has it: columns padded to four bytes, addresses
 * and ports in network order, the handle as the machine has it. */
struct kept {
    uint8_t client[16], to[16];
    uint32_t handle;
    uint16_t port;
};

static bool read_kept(const struct nft_item *i, uint8_t family, struct kept *ret)
{
    size_t len = family == 4 ? 4 : 16;
    uint16_t port;
    *ret = (struct kept){ 0 };
    if (i->key_len != len + 4 || i->data_len != len + 4)
        return false;
    memcpy(ret->client, i->key, len);
    memcpy(&ret->handle, i->key + len, sizeof ret->handle);
    memcpy(ret->to, i->data, len);
    memcpy(&port, i->data + len, sizeof port);
    ret->port = ntohs(port);
    return true;
}

/* ---- over a new table */

struct carrier {
    const struct ruleset *staged;
    uint8_t family;
    struct strbuf *out;
    size_t n;
};

static void print_ip(uint8_t family, const uint8_t bytes[16], struct strbuf *out)
{
    char text[IP_TEXT_MAX];
    struct ip ip = ip_of_bytes(family, bytes);
    strbuf_puts(out, ip_text(&ip, text));
}

static void carry(void *ctx, const struct nft_item *i)
{
    struct carrier *c = ctx;
    struct kept k;
    if (!read_kept(i, c->family, &k) || i->expires_ms == 0 ||
        !ruleset_keeps(c->staged, k.handle, k.to, k.port))
        return;
    if (c->n % STATEMENT_CLIENTS == 0)
        strbuf_printf(c->out, "%sadd element %s " RULESET_TABLE " " RULESET_AFFINITY_MAP " { ",
                      c->n ? " }\n" : "", family_word(c->family));
    else
        strbuf_puts(c->out, ", ");
    print_ip(c->family, k.client, c->out);
    strbuf_puts(c->out, " . ");
    handle_print(k.handle, c->out);
    strbuf_printf(c->out, " timeout %llums expires %llums : ", (unsigned long long)i->timeout_ms,
                  (unsigned long long)i->expires_ms);
    print_ip(c->family, k.to, c->out);
    strbuf_printf(c->out, " . %u", k.port);
    c->n++;
}

size_t kept_carry_over(const struct nft_backend *b, const struct ruleset *staged, uint8_t family,
                       struct strbuf *out)
{
    struct carrier c = { .staged = staged, .family = family, .out = out };
    if (b->read_map)
        (void)b->read_map(b->ctx, family, RULESET_TABLE, RULESET_AFFINITY_MAP, carry, &c);
    if (c.n > 0)
        strbuf_puts(out, " }\n");
    return c.n;
}

/* ---- without their endpoint */

struct sweep {
    struct ht here; /* keys of the elements of SET_AFFINITY */
    uint8_t family;
    VEC(struct nft_key) gone;
};

static void note_here(void *ctx, const struct element *e)
{
    struct sweep *s = ctx;
    if (e->map == SET_AFFINITY)
        ht_put(&s->here, e, ELEMENT_KEY_LEN, s);
}

static void note_gone(void *ctx, const struct nft_item *i)
{
    struct sweep *s = ctx;
    struct kept k;
    if (!read_kept(i, s->family, &k))
        return;
    struct element e = { .map = SET_AFFINITY, .handle = k.handle, .port = k.port };
    struct nft_key key = { .len = i->key_len };
    memcpy(e.ip, k.to, sizeof e.ip);
    memcpy(key.bytes, i->key, i->key_len);
    if (!ht_get(&s->here, &e, ELEMENT_KEY_LEN))
        vec_push(&s->gone, key);
}

size_t kept_forget(const struct nft_backend *b, const struct ruleset *r, uint8_t family)
{
    struct sweep s = { .family = family };
    size_t n = 0;
    if (!b->read_map)
        return 0;
    ruleset_each(r, note_here, &s);
    if (b->read_map(b->ctx, family, RULESET_TABLE, RULESET_AFFINITY_MAP, note_gone, &s) == 0 &&
        s.gone.n > 0)
        n = b->delete_keys(b->ctx, family, RULESET_TABLE, RULESET_AFFINITY_MAP, s.gone.items,
                           s.gone.n);
    ht_done(&s.here);
    vec_done(&s.gone);
    return n;
}
