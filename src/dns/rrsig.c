#include "dns/rrsig.h"

#include "wire/canonical.h"

#include <string.h>

#define HEAD (RRSIG_FIXED + NAME_MAX_WIRE)

struct piece {
    uint8_t *rdata;
    uint16_t len;
};

static int compare(const struct piece *a, const struct piece *b)
{
    return rdata_compare(a->rdata, a->len, b->rdata, b->len);
}

/* ---- order: a heap sort, as qsort() allocates for many elements ---- */

static void sift(struct piece *p, size_t at, size_t n)
{
    for (size_t child = 2 * at + 1; child < n; at = child, child = 2 * at + 1) {
        if (child + 1 < n && compare(&p[child], &p[child + 1]) < 0)
            child++;
        if (compare(&p[at], &p[child]) >= 0)
            return;
        struct piece moved = p[at];
        p[at] = p[child];
        p[child] = moved;
    }
}

static void sort(struct piece *p, size_t n)
{
    for (size_t i = n / 2; i-- > 0;)
        sift(p, i, n);
    for (size_t end = n; end-- > 1;) {
        struct piece last = p[end];
        p[end] = p[0];
        p[0] = last;
        sift(p, 0, end);
    }
}

/* ---- the image ---- */

static size_t collect(struct arena *a, const struct rrset *const *sets, size_t n_sets,
                      struct piece **ret, size_t *ret_bytes)
{
    size_t n = 0, bytes = 0, used = 0;
    for (size_t i = 0; i < n_sets; i++)
        n += sets[i]->count;
    struct piece *pieces = arena_alloc(a, n * sizeof *pieces);
    for (size_t i = 0; i < n_sets; i++) {
        const uint8_t *at = sets[i]->rdata;
        for (uint16_t k = 0; k < sets[i]->count; k++) {
            size_t len;
            const uint8_t *rdata = rrset_next(sets[i], &at, &len);
            uint8_t *copy = arena_memdup(a, rdata, len);
            rdata_canonical(sets[i]->type, copy, len);
            pieces[used++] = (struct piece){ copy, (uint16_t)len };
            bytes += len;
        }
    }
    *ret = pieces;
    *ret_bytes = bytes;
    return n;
}

/* Owner, type, class and TTL, which all records have in common. */
static size_t write_head(const uint8_t *owner, const struct rrset *rr, uint32_t ttl, uint8_t *out)
{
    size_t len = name_wire_len(owner);
    name_lower(out, owner, len);
    put_u16(out + len, rr->type);
    put_u16(out + len + 2, rr->class);
    put_u32(out + len + 4, ttl);
    return len + 8;
}

void rrsig_image_make(struct arena *a, const uint8_t *owner, const struct rrset *const *sets,
                      size_t n_sets, uint32_t ttl, struct rrsig_image *ret)
{
    uint8_t head[NAME_MAX_WIRE + 8];
    size_t head_len = write_head(owner, sets[0], ttl, head), bytes;
    struct piece *pieces;
    size_t n = collect(a, sets, n_sets, &pieces, &bytes);
    size_t cap = n * (head_len + 2) + bytes;
    sort(pieces, n);
    struct wbuf w = wbuf_of((uint8_t *)arena_alloc(a, HEAD + cap) + HEAD, cap);
    for (size_t i = 0; i < n; i++) {
        if (i && compare(&pieces[i - 1], &pieces[i]) == 0)
            continue;
        wbuf_put(&w, head, head_len);
        wbuf_u16(&w, pieces[i].len);
        wbuf_put(&w, pieces[i].rdata, pieces[i].len);
    }
    bool wildcard = owner[0] == 1 && owner[1] == '*';
    *ret = (struct rrsig_image){ .records = w.base,
                                 .len = w.pos,
                                 .type = sets[0]->type,
                                 .labels = (uint8_t)(name_wire_labels(owner) - wildcard),
                                 .ttl = ttl };
}

/* ---- the signature ---- */

size_t rrsig_make(const struct dnskey *k, const struct rrsig_image *image, const uint8_t *signer,
                  const struct rrsig_times *t, uint8_t out[RRSIG_RDATA_MAX])
{
    size_t signer_len = name_wire_len(signer), fixed = RRSIG_FIXED + signer_len, sig_len;
    put_u16(out, image->type);
    out[2] = k->algorithm;
    out[3] = image->labels;
    put_u32(out + 4, image->ttl);
    put_u32(out + 8, t->expiration);
    put_u32(out + 12, t->inception);
    put_u16(out + 16, k->tag);
    memcpy(out + RRSIG_FIXED, signer, signer_len);
    memcpy(image->records - fixed, out, fixed);
    if (!dnskey_sign(k, image->records - fixed, fixed + image->len, out + fixed, &sig_len))
        return 0;
    return fixed + sig_len;
}
