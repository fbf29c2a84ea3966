/* Random numbers. rand_seed() asks the kernel; struct rand is a small fast generator for shuffles
 * and back-off (xoshiro256**, Blackman and Vigna), one per thread, never for secrets. */
#pragma once

#include <stdint.h>

struct rand {
    uint64_t s[4];
};

uint64_t rand_seed(void);
void rand_init(struct rand *r);

static inline uint64_t rand_next(struct rand *r)
{
    uint64_t *s = r->s, out = s[1] * 5, t = s[1] << 17;
    out = (out << 7 | out >> 57) * 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = s[3] << 45 | s[3] >> 19;
    return out;
}

/* Uniform in [0, n); n > 0 (Lemire's multiplication; the bias is below 2^-32 for our n). */
static inline uint32_t rand_below(struct rand *r, uint32_t n)
{
    return (uint32_t)(((rand_next(r) >> 32) * n) >> 32);
}
