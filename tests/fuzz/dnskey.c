/* A pair of key files, with a line "---" between them. A key that is taken signs and verifies. */
#include "dns/dnskey.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char line[] = "---\n";
    const uint8_t *cut = memmem(data, size, line, sizeof line - 1);
    const uint8_t *rest = cut ? cut + sizeof line - 1 : data + size;
    struct dnskey_text t = { "K.key",     (const char *)data, cut ? (size_t)(cut - data) : size,
                             "K.private", (const char *)rest, (size_t)(data + size - rest) };
    struct dnskey *k = NULL;
    struct err e = { 0 };
    uint8_t sig[DNSKEY_SIG_MAX], ds[DNSKEY_DS_MAX];
    size_t len;
    if (dnskey_parse(&t, &k, &e) < 0) {
        if (!e.text[0])
            abort();
        return 0;
    }
    dnskey_ds(k, k->owner, ds);
    if (!dnskey_sign(k, ds, sizeof ds, sig, &len) || len > sizeof sig ||
        !dnskey_verify(k, ds, sizeof ds, sig, len))
        abort();
    dnskey_free(k);
    return 0;
}
