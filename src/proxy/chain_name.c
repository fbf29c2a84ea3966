#include "proxy/chain_name.h"

#include "proxy/element.h"

#include <openssl/sha.h>
#include <stdio.h>

#define HASH_CHARS 16
#define HASHED_MAX 320 /* three labels of 63, protocol, address and port */

const char *const chain_prefixes[CHAIN_KINDS] = { "KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-FW-",
                                                  "KUBE-SEP-" };

char *backend_text(uint8_t family, const struct backend *b, char out[BACKEND_TEXT_SIZE])
{
    struct ip ip = ip_of_bytes(family, b->ip);
    return ip_port_text(&ip, b->port, out);
}

/* RFC 4648, section 6: five bits a character, of the first ten bytes. */
static void put_hash(const char *text, size_t len, char out[HASH_CHARS + 1])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    uint8_t hash[SHA256_DIGEST_LENGTH];
    SHA256((const uint8_t *)text, len, hash);
    for (unsigned i = 0; i < HASH_CHARS; i++) {
        unsigned bit = i * 5, byte = bit / 8;
        unsigned two = (unsigned)hash[byte] << 8 | hash[byte + 1];
        out[i] = digits[two >> (11 - bit % 8) & 31];
    }
    out[HASH_CHARS] = '\0';
}

char *chain_name(enum chain_kind kind, const struct portal *p, const struct backend *backend,
                 char out[CHAIN_NAME_SIZE])
{
    char text[HASHED_MAX], to[BACKEND_TEXT_SIZE] = "", hash[HASH_CHARS + 1];
    if (backend)
        backend_text(p->family, backend, to);
    int n = snprintf(text, sizeof text, "%s%s%s", p->owner, protocol_word(p->protocol), to);
    put_hash(text, MIN((size_t)n, sizeof text - 1), hash);
    (void)snprintf(out, CHAIN_NAME_SIZE, "%s%s", chain_prefixes[kind], hash);
    return out;
}

bool chain_name_is(const char *name, size_t len)
{
    for (unsigned i = 0; i < CHAIN_KINDS; i++) {
        size_t n = strlen(chain_prefixes[i]);
        if (len > n && memcmp(name, chain_prefixes[i], n) == 0)
            return true;
    }
    return false;
}
