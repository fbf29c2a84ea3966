#include "load_latency.h"

/* Slots 0 to 63 are single nanoseconds; each doubling from there on has 64 equal steps. */
static unsigned slot_of(uint64_t ns)
{
    if (ns < LATENCY_STEPS)
        return (unsigned)ns;
    unsigned doubling = 63 - (unsigned)__builtin_clzll(ns) - 6;
    uint64_t slot = LATENCY_STEPS * (uint64_t)doubling + (ns >> doubling);
    return slot < LATENCY_SLOTS ? (unsigned)slot : LATENCY_SLOTS - 1;
}

/* The largest value that falls into it. */
static int64_t end_of(unsigned slot)
{
    if (slot < LATENCY_STEPS)
        return slot;
    unsigned doubling = slot / LATENCY_STEPS - 1;
    uint64_t step = LATENCY_STEPS + slot % LATENCY_STEPS;
    return (int64_t)(((step + 1) << doubling) - 1);
}

void latency_add(struct latency *l, int64_t ns)
{
    l->slots[slot_of(ns > 0 ? (uint64_t)ns : 0)]++;
    l->n++;
    if (ns > l->max)
        l->max = ns;
}

int64_t latency_at(const struct latency *l, double share)
{
    uint64_t want = (uint64_t)(share * (double)l->n), seen = 0;
    want += (double)want < share * (double)l->n;
    for (unsigned i = 0; i < LATENCY_SLOTS; i++) {
        seen += l->slots[i];
        if (seen >= want && seen > 0)
            return end_of(i) < l->max ? end_of(i) : l->max;
    }
    return 0;
}
