#include "wire/dict.h"

#include <string.h>

void dict_init(struct dict *d)
{
    memset(d->heads, 0, sizeof d->heads);
    d->n = 0;
}

static inline uint64_t load(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    memcpy(&v, p, n);
    return v;
}

/* label: length byte and text; name_len: of the name that begins with it. Overlapping loads spare a
 * loop over the bytes; labels of more than 16 bytes are told apart by their ends. */
static uint32_t hash_label(const uint8_t *label, unsigned name_len)
{
    const uint64_t k = 0x9e3779b97f4a7c15u;
    unsigned n = label[0];
    const uint8_t *end = label + 1 + n;
    uint64_t a, b;
    if (n >= 8) {
        a = load(label + 1, 8);
        b = load(end - 8, 8);
    } else if (n >= 4) {
        a = load(label + 1, 4);
        b = load(end - 4, 4);
    } else {
        a = label[1];
        b = (uint64_t)label[1 + n / 2] << 8 | end[-1];
    }
    uint64_t h = (a ^ (uint64_t)name_len << 32 ^ n) * k;
    h = (h ^ h >> 29 ^ b) * k;
    return (uint32_t)(h >> 32);
}

/* Whether the name in the message at `at` (written by us, so it is sound) is exactly `wire`. */
static bool stands_at(const uint8_t *msg, size_t at, const uint8_t *wire)
{
    for (;;) {
        while (msg[at] >= 0xc0)
            at = (size_t)(msg[at] & 0x3f) << 8 | msg[at + 1];
        size_t n = wire[0];
        if (msg[at] != n)
            return false;
        if (n == 0)
            return true;
        if (memcmp(msg + at + 1, wire + 1, n) != 0)
            return false;
        at += n + 1;
        wire += n + 1;
    }
}

static unsigned find(const struct dict *d, const uint8_t *msg, uint32_t hash, const uint8_t *wire)
{
    unsigned looked = 0;
    for (unsigned i = d->heads[hash % DICT_HEADS]; i && looked < DICT_CHAIN; looked++) {
        const struct dict_entry *e = &d->entries[i - 1];
        if (e->hash == hash && stands_at(msg, e->off, wire))
            return e->off;
        i = e->next;
    }
    return 0;
}

static void add(struct dict *d, uint32_t hash, size_t at)
{
    if (at >= DICT_OFFSETS || d->n == DICT_ENTRIES)
        return;
    uint16_t *head = &d->heads[hash % DICT_HEADS];
    d->entries[d->n++] = (struct dict_entry){ (uint16_t)at, *head, hash };
    *head = d->n;
}

void dict_add_name(struct dict *d, const struct name *n, size_t at)
{
    for (unsigned i = 0; i < n->n_labels; i++)
        add(d, hash_label(n->wire + n->off[i], n->len - n->off[i]), at + n->off[i]);
}

unsigned dict_put_name(struct dict *d, struct wbuf *w, const uint8_t *wire, bool compress)
{
    uint32_t hashes[NAME_MAX_LABELS];
    unsigned len = name_wire_len(wire), fresh = 0, n = 0, target = 0;
    for (; wire[fresh]; fresh += 1u + wire[fresh], n++) { /* the longest known end of the name */
        hashes[n] = hash_label(wire + fresh, len - fresh);
        target = find(d, w->base, hashes[n], wire + fresh);
        if (target)
            break;
    }
    size_t at = w->pos;
    bool point = compress && target;
    wbuf_put(w, wire, point ? fresh : len);
    if (point)
        wbuf_u16(w, (uint16_t)(0xc000 | target));
    if (w->bad)
        return 0;
    for (unsigned i = 0, off = 0; i < n; off += 1u + wire[off], i++)
        add(d, hashes[i], at + off);
    if (fresh == 0)
        return target;
    return at < DICT_OFFSETS ? (unsigned)at : 0;
}
