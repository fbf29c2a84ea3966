#include "base/rand.h"

#include "base/clock.h"

#include <sys/random.h>
#include <unistd.h>

uint64_t rand_seed(void)
{
    uint64_t v;
    if (getrandom(&v, sizeof v, 0) == (ssize_t)sizeof v)
        return v;
    return (uint64_t)clock_ns() * 0x9e3779b97f4a7c15ULL ^ (uint64_t)getpid() << 32;
}

void rand_init(struct rand *r)
{
    for (int i = 0; i < 4; i++)
        r->s[i] = rand_seed();
    r->s[0] |= 1; /* the all-zero state is a fixed point */
}
