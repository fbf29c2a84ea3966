/* Latencies, counted in slots that grow with the value: 1/64 apart, so that a percentile is too
 * large by at most 1.6%, whatever its size. Nanoseconds. */
#pragma once

#include <stdint.h>

#define LATENCY_STEPS 64 /* a doubling */
#define LATENCY_SLOTS (LATENCY_STEPS * 40)

struct latency {
    uint64_t slots[LATENCY_SLOTS];
    uint64_t n;
    int64_t max;
};

/* Below zero counts as zero; beyond the last slot (weeks) as the last. */
void latency_add(struct latency *l, int64_t ns);
/* What the share (0 to 1) of all values does not exceed; 0 when there are none. */
int64_t latency_at(const struct latency *l, double share);
