#include "base/hash.h"

#include "base/cleanup.h"
#include "base/rand.h"

#include <string.h>

#define SHORT_MAX 256 /* bytes; nearly all keys: names have 255 */
#define WORDS     (SHORT_MAX / 8)

__extension__ typedef unsigned __int128 wide;

static uint64_t keys[WORDS + 2]; /* random; two more for the length */

__attribute__((constructor)) static void hash_seed(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        keys[i] = rand_seed();
}

static inline uint64_t load(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    memcpy(&v, p, n);
    return v;
}

/* ---- short keys ---- */

static inline wide pair(const uint64_t k[2], uint64_t a, uint64_t b)
{
    return (wide)(k[0] + a) * (k[1] + b);
}

/* The last 1 to 16 bytes. Loads that overlap spare a loop: with the length they tell all. */
static inline wide tail(const uint64_t k[2], const uint8_t *p, size_t n, size_t i)
{
    if (n >= 16)
        return pair(k, load(p + n - 16, 8), load(p + n - 8, 8));
    if (n - i >= 8)
        return pair(k, load(p, 8), load(p + n - 8, 8));
    if (n >= 4)
        return pair(k, load(p, 4), load(p + n - 4, 4));
    return n ? pair(k, p[0], (uint64_t)p[n / 2] << 8 | p[n - 1]) : 0;
}

static inline uint64_t scatter(uint64_t h)
{
    h = (h ^ h >> 32) * 0x9e3779b97f4a7c15u;
    h = (h ^ h >> 29) * 0xbf58476d1ce4e5b9u;
    return h ^ h >> 32;
}

static uint64_t hash_short(const uint8_t *p, size_t n)
{
    const uint64_t *k = keys;
    wide sum = pair(keys + WORDS, n, 0);
    size_t i = 0;
    for (; i + 16 < n; i += 16, k += 2)
        sum += pair(k, load(p + i, 8), load(p + i + 8, 8));
    sum += tail(k, p, n, i);
    return scatter((uint64_t)sum ^ (uint64_t)(sum >> 64));
}

/* ---- long keys ---- */

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

static uint64_t hash_long(const uint8_t *in, size_t n)
{
    uint64_t v[4] = { keys[0] ^ 0x736f6d6570736575ULL, keys[1] ^ 0x646f72616e646f6dULL,
                      keys[0] ^ 0x6c7967656e657261ULL, keys[1] ^ 0x7465646279746573ULL };
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

uint64_t hash_bytes(const void *p, size_t n)
{
    return n <= SHORT_MAX ? hash_short(p, n) : hash_long(p, n);
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
