#include "base/hash.h"

#include "base/rand.h"

#include <string.h>

static uint64_t key0, key1;

__attribute__((constructor)) static void hash_seed(void)
{
    key0 = rand_seed();
    key1 = rand_seed();
}

static inline uint64_t rotl(uint64_t x, int b)
{
    return x << b | x >> (64 - b);
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

uint64_t hash_bytes(const void *p, size_t n)
{
    const uint8_t *in = p;
    uint64_t v[4] = { key0 ^ 0x736f6d6570736575ULL, key1 ^ 0x646f72616e646f6dULL,
                      key0 ^ 0x6c7967656e657261ULL, key1 ^ 0x7465646279746573ULL };
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t m;
        memcpy(&m, in + i, 8);
        v[3] ^= m;
        sip_round(v);
        v[0] ^= m;
    }
    uint64_t last = (uint64_t)n << 56;
    for (size_t k = 0; i + k < n; k++)
        last |= (uint64_t)in[i + k] << (8 * k);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t hash_str(const char *s)
{
    return hash_bytes(s, strlen(s));
}

uint64_t hash_stable(const void *p, size_t n)
{
    const uint8_t *in = p;
    uint64_t h = 0xcbf29ce484222325ULL;
    for (size_t i = 0; i < n; i++)
        h = (h ^ in[i]) * 0x100000001b3ULL;
    return h;
}
