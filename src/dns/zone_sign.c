#include "dns/zone_sign.h"

#include "base/log.h"
#include "wire/canonical.h"

#include <errno.h>
#include <string.h>

#define SOA_NUMBERS 20   /* bytes at the end of SOA rdata: the serial first, the minimum last */
#define SETS_MAX    1024 /* parts of one RRset, by TTL */
#define TYPES_MAX   1024 /* of one name */
#define NSEC_MAX    (NAME_MAX_WIRE + 256 * 34)
#define ARENA_CHUNK 65536

struct signer {
    const struct zone_signing *s;
    const uint8_t *origin;
    struct zone_builder *builder;
    const struct zone_data *z;
    uint32_t soa_ttl, nsec_ttl;
    struct arena arena; /* of one name */
    struct strbuf text;
    FILE *out;
};

/* ---- reading ---- */

/* What signing makes. */
static bool is_made(uint16_t type)
{
    return type == RR_RRSIG || type == RR_NSEC || type == RR_NSEC3 || type == RR_NSEC3PARAM ||
           type == RR_DNSKEY || type == RR_CDNSKEY || type == RR_CDS;
}

static int take_soa(struct signer *w, const struct zone_record *r, struct err *e)
{
    uint8_t rdata[2 * NAME_MAX_WIRE + SOA_NUMBERS];
    struct zone_record changed = *r;
    if (!name_equal(r->owner, w->origin))
        return err_set(e, ERR_INVALID, "the SOA record is of another zone");
    memcpy(rdata, r->rdata, r->rdlen);
    put_u32(rdata + r->rdlen - SOA_NUMBERS, w->s->serial);
    changed.rdata = rdata;
    w->soa_ttl = r->ttl;
    w->nsec_ttl = MIN(r->ttl, get_u32(rdata + r->rdlen - 4)); /* RFC 9077 */
    return zone_builder_add(w->builder, &changed, e);
}

static int take(void *ctx, const struct zone_record *r, struct err *e)
{
    struct signer *w = ctx;
    if (atomic_load(w->s->stop))
        return err_set(e, -ECANCELED, "given up, as the server ends");
    if (is_made(r->type))
        return 0;
    return r->type == RR_SOA ? take_soa(w, r, e) : zone_builder_add(w->builder, r, e);
}

static int add(struct signer *w, uint16_t type, const uint8_t *rdata, size_t len, struct err *e)
{
    struct zone_record r = { w->z ? w->z->origin : w->origin, rdata, w->soa_ttl, type,
                             (uint16_t)len };
    return zone_builder_add(w->builder, &r, e);
}

static int add_keys(struct signer *w, struct err *e)
{
    int code = 0;
    for (size_t i = 0; code == 0 && i < w->s->n_keys; i++) {
        const struct dnskey *k = w->s->keys[i];
        uint8_t ds[DNSKEY_DS_MAX];
        dnskey_ds(k, w->origin, ds);
        code = add(w, RR_DNSKEY, k->rdata, k->rdlen, e);
        if (code == 0)
            code = add(w, RR_CDNSKEY, k->rdata, k->rdlen, e);
        if (code == 0)
            code = add(w, RR_CDS, ds, sizeof ds, e);
    }
    return code;
}

static int read_zone(struct signer *w, const char *path, struct zone_data **ret, struct err *e)
{
    struct zone_sink sink = { .record = take, .ctx = w };
    w->builder = zone_builder_new(w->origin);
    int code = zone_file_parse(&sink, path, w->origin, e);
    zone_sink_done(&sink);
    if (code == 0)
        code = add_keys(w, e);
    if (code < 0) {
        zone_builder_free(w->builder);
        return code;
    }
    code = zone_builder_end(w->builder, ret, e);
    return code < 0 ? err_wrap(e, "%s", path) : 0;
}

/* ---- writing ---- */

static void put_record(struct signer *w, const uint8_t *owner, uint32_t ttl, uint16_t type,
                       const uint8_t *rdata, size_t len)
{
    rr_to_text(owner, ttl, CLASS_IN, type, rdata, len, &w->text);
    strbuf_putc(&w->text, '\n');
}

static void put_set(struct signer *w, const struct rrset *rr)
{
    const uint8_t *at = rr->rdata;
    for (uint16_t i = 0; i < rr->count; i++) {
        size_t len;
        const uint8_t *rdata = rrset_next(rr, &at, &len);
        put_record(w, rr->owner, rr->ttl, rr->type, rdata, len);
    }
}

static int put_signatures(struct signer *w, const struct rrset *const *sets, size_t n,
                          struct err *e)
{
    struct rrsig_image image;
    uint8_t rdata[RRSIG_RDATA_MAX];
    rrsig_image_make(&w->arena, sets[0]->owner, sets, n, sets[0]->ttl, &image);
    for (size_t i = 0; i < w->s->n_keys; i++) {
        size_t len = rrsig_make(w->s->keys[i], &image, w->z->origin, &w->s->times, rdata);
        if (!len)
            return err_set(e, ERR_INVALID, "key %u signs nothing", w->s->keys[i]->tag);
        put_record(w, sets[0]->owner, sets[0]->ttl, RR_RRSIG, rdata, len);
    }
    return 0;
}

static int put_signed(struct signer *w, const struct rrset *rr, struct err *e)
{
    put_set(w, rr);
    return put_signatures(w, &rr, 1, e);
}

static int flush(struct signer *w, struct err *e)
{
    if (w->text.len && fwrite(w->text.p, 1, w->text.len, w->out) != w->text.len)
        return err_set(e, -errno, "write: %s", strerror(errno));
    strbuf_reset(&w->text);
    arena_reset(&w->arena);
    return 0;
}

/* ---- names ---- */

static bool is_cut(const struct signer *w, const struct zone_node *n)
{
    return n != w->z->apex && zone_node_rrs(n, RR_NS, 0);
}

/* At a zone cut only these are the zone's own: RFC 4035 section 2.2. */
static bool is_signed(bool cut, uint16_t type)
{
    return !cut || type == RR_DS;
}

static int by_number(const void *a, const void *b)
{
    const uint16_t *x = a, *y = b;
    return (int)*x - (int)*y;
}

static int put_nsec(struct signer *w, const struct zone_node *n, const struct zone_node *next,
                    struct err *e)
{
    uint16_t types[TYPES_MAX + 3];
    size_t n_types = 0;
    bool cut = is_cut(w, n);
    for (uint32_t i = 0; i < n->n && n_types < TYPES_MAX; i++)
        if ((is_signed(cut, n->sets[i].rr.type) || n->sets[i].rr.type == RR_NS) &&
            (i == 0 || n->sets[i].rr.type != n->sets[i - 1].rr.type))
            types[n_types++] = n->sets[i].rr.type;
    types[n_types++] = RR_RRSIG;
    types[n_types++] = RR_NSEC;
    if (n == w->z->apex)
        types[n_types++] = RR_SOA;
    qsort(types, n_types, sizeof *types, by_number);
    uint8_t rdata[2 + NSEC_MAX];
    struct wbuf out = wbuf_of(rdata, sizeof rdata);
    wbuf_u16(&out, 0);
    wbuf_put(&out, next->wire, next->len);
    type_bitmap_put(&out, types, n_types);
    put_u16(rdata, (uint16_t)(out.pos - 2));
    struct rrset nsec = { n->wire, rdata, w->nsec_ttl, RR_NSEC, CLASS_IN, 1, 0 };
    return put_signed(w, &nsec, e);
}

/* All sets of one type, which begin at i. Returns how many, or a negative code. */
static int put_type(struct signer *w, const struct zone_node *n, uint32_t i, bool sign,
                    struct err *e)
{
    const struct rrset *sets[SETS_MAX];
    int count = 0;
    for (; i < n->n && n->sets[i].rr.type == (count ? sets[0]->type : n->sets[i].rr.type); i++) {
        if (count == SETS_MAX)
            return err_set(e, ERR_LIMIT, "records of one name and type have more than %d TTLs",
                           SETS_MAX);
        sets[count++] = &n->sets[i].rr;
        put_set(w, &n->sets[i].rr);
    }
    int code = sign ? put_signatures(w, sets, (size_t)count, e) : 0;
    return code < 0 ? code : count;
}

/* next: NULL for names below a cut, which are written as they are. */
static int put_node(struct signer *w, const struct zone_node *n, const struct zone_node *next,
                    struct err *e)
{
    bool cut = is_cut(w, n);
    int code = n == w->z->apex ? put_signed(w, &w->z->soa->rr, e) : 0;
    for (uint32_t i = 0; code >= 0 && i < n->n; i += (uint32_t)code)
        code = put_type(w, n, i, next && is_signed(cut, n->sets[i].rr.type), e);
    if (code >= 0 && next)
        code = put_nsec(w, n, next, e);
    return code < 0 ? code : flush(w, e);
}

/* The next one with records that the zone has authority for, the apex behind the last; *cut: the
 * zone cut that is at hand. */
static const struct zone_node *next_own(const struct signer *w, size_t i,
                                        const struct zone_node *cut)
{
    for (; i < w->z->n_nodes; i++)
        if (w->z->nodes[i].n && (!cut || !name_is_below(w->z->nodes[i].wire, cut->wire)))
            return &w->z->nodes[i];
    return w->z->apex;
}

static int put_zone(struct signer *w, struct err *e)
{
    const struct zone_node *cut = NULL;
    int code = 0;
    for (size_t i = 0; code == 0 && i < w->z->n_nodes; i++) {
        const struct zone_node *n = &w->z->nodes[i];
        if (atomic_load(w->s->stop))
            return err_set(e, -ECANCELED, "given up, as the server ends");
        if (!n->n && n != w->z->apex)
            continue;
        bool below = cut && name_is_below(n->wire, cut->wire);
        if (!below)
            cut = is_cut(w, n) ? n : NULL;
        code = put_node(w, n, below ? NULL : next_own(w, i + 1, cut), e);
    }
    return code;
}

int zone_sign(const char *path, const uint8_t *origin, const struct zone_signing *s, FILE *out,
              struct err *e)
{
    struct signer w = { .s = s, .origin = origin, .out = out };
    struct zone_data *z = NULL;
    int code = read_zone(&w, path, &z, e);
    if (code < 0)
        return code;
    if (z->n_outside)
        log_warning("plugin/sign: %s: %zu records lie outside the zone and were left out", path,
                    z->n_outside);
    w.z = z;
    arena_init(&w.arena, ARENA_CHUNK);
    code = put_zone(&w, e);
    arena_done(&w.arena);
    strbuf_done(&w.text);
    zone_data_free(z);
    return code;
}
