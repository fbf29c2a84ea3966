#include "dns/dnskey_private.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "dns/zone_file.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <string.h>

#define DS_SHA256 2

uint16_t dnskey_tag(const uint8_t *rdata, size_t len)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum += i & 1 ? rdata[i] : (uint32_t)rdata[i] << 8;
    return (uint16_t)(sum + (sum >> 16));
}

void dnskey_ds(const struct dnskey *k, const uint8_t *owner, uint8_t out[DNSKEY_DS_MAX])
{
    uint8_t input[NAME_MAX_WIRE + DNSKEY_RDATA_MAX];
    size_t len = name_wire_len(owner);
    memcpy(input, owner, len);
    memcpy(input + len, k->rdata, k->rdlen);
    put_u16(out, k->tag);
    out[2] = k->algorithm;
    out[3] = DS_SHA256;
    SHA256(input, len + k->rdlen, out + 4);
}

/* ---- the public part ---- */

/* The first DNSKEY record of the file. */
static int take_record(void *ctx, const struct zone_record *r, struct err *e)
{
    struct dnskey *k = ctx;
    if (r->type != RR_DNSKEY || k->rdlen)
        return 0;
    if (r->rdlen < 4 || r->rdlen > DNSKEY_RDATA_MAX)
        return err_set(e, ERR_LIMIT, "a key of %u bytes; there may be up to %d", r->rdlen,
                       DNSKEY_RDATA_MAX);
    memcpy(k->owner, r->owner, name_wire_len(r->owner));
    memcpy(k->rdata, r->rdata, r->rdlen);
    k->rdlen = r->rdlen;
    k->ttl = r->ttl;
    k->flags = get_u16(r->rdata);
    k->algorithm = r->rdata[3];
    k->tag = dnskey_tag(r->rdata, r->rdlen);
    return 0;
}

static int read_public(struct dnskey *k, const struct dnskey_text *t, struct err *e)
{
    struct zone_sink sink = {
        .record = take_record, .ctx = k, .no_include = true, .default_ttl = DNSKEY_TTL
    };
    int code = zone_text_parse(&sink, t->public_name, t->public_text, t->public_len,
                               (const uint8_t *)"", e);
    zone_sink_done(&sink);
    if (code < 0)
        return code;
    if (!k->rdlen)
        return err_set(e, ERR_INVALID, "%s: no public key found", t->public_name);
    if (!dnskey_algorithm_find(k->algorithm))
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: algorithm %u is not supported; make a key of 8, 10, 13, 14 or 15",
                       t->public_name, k->algorithm);
    return 0;
}

/* ---- the private part ---- */

/* A key that does not belong to the record would sign, and nobody would believe it. */
static bool fits(const struct dnskey *k)
{
    static const uint8_t text[] = "which key is it?";
    uint8_t sig[DNSKEY_SIG_MAX];
    size_t len;
    return dnskey_sign(k, text, sizeof text, sig, &len) &&
           dnskey_verify(k, text, sizeof text, sig, len);
}

static int read_private(struct dnskey *k, const struct dnskey_text *t, struct err *e)
{
    struct dnskey_secret *s = xcalloc(1, sizeof *s);
    int code = dnskey_secret_parse(t->private_text, t->private_len, t->private_name, s, e);
    if (code == 0 && s->algorithm == k->algorithm)
        k->key = dnskey_make_private(k, s);
    OPENSSL_cleanse(s, sizeof *s);
    free(s);
    if (code < 0)
        return code;
    if (!k->key || !fits(k))
        return err_set(e, ERR_INVALID, "%s is not the private key to %s", t->private_name,
                       t->public_name);
    return 0;
}

int dnskey_parse(const struct dnskey_text *t, struct dnskey **ret, struct err *e)
{
    struct dnskey *k = xcalloc(1, sizeof *k);
    int code = read_public(k, t, e);
    if (code == 0)
        code = read_private(k, t, e);
    if (code < 0)
        dnskey_free(k);
    else
        *ret = k;
    return code;
}

int dnskey_load(const char *path, struct dnskey **ret, struct err *e)
{
    size_t n = strlen(path), cut = str_ends(path, ".key") ? 4 : str_ends(path, ".private") ? 8 : 0;
    cleanup_free char *public_name = xmalloc(n + 16), *private_name = xmalloc(n + 16);
    cleanup_free char *public_text = NULL, *private_text = NULL;
    size_t public_len = 0, private_len = 0;
    (void)sprintf(public_name, "%.*s.key", (int)(n - cut), path);
    (void)sprintf(private_name, "%.*s.private", (int)(n - cut), path);
    int code = file_load(public_name, DNSKEY_FILE_MAX, &public_text, &public_len, e);
    if (code == 0)
        code = file_load(private_name, DNSKEY_FILE_MAX, &private_text, &private_len, e);
    struct dnskey_text t = { public_name,  public_text,  public_len,
                             private_name, private_text, private_len };
    if (code == 0)
        code = dnskey_parse(&t, ret, e);
    if (private_text)
        OPENSSL_cleanse(private_text, private_len);
    return code;
}

void dnskey_free(struct dnskey *k)
{
    if (!k)
        return;
    EVP_PKEY_free(k->key);
    free(k);
}
